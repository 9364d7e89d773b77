/* How long do the matrix products of a model take in each type of weights? Measured on the file's
 * own weights with ggml's CPU backend, one matrix per shape, scaled by how often the shape occurs.
 * Attention, norms and sampling cost the same for every type and are left out. */
#include "model/calibrate.h"

#include "model/gguf_file.h"
#include "rung/rng.h"

#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PROBE_NUMBERS ((int64_t)8 << 20) /* of one matrix; more than any L2, 32 MB as f32 */
#define MAX_SHAPES    24
#define N_MAX         512 /* tokens at once */
#define SHARE_S       0.3 /* long enough to meet the others' time slices */

typedef struct shape {
    int64_t ne0, rows, tensor; /* rows measured; index of the tensor that they come from */
    int64_t ne1;
    enum ggml_type from;
    double times; /* measured rows that the model has, over `rows` */
    bool head;
} shape;

struct probe {
    shape shape[MAX_SHAPES];
    int n_shapes;
    struct ggml_context *ctx;
    struct ggml_tensor *weight[RUNG_WEIGHTS_COUNT][MAX_SHAPES];
    ggml_backend_buffer_t buffer[RUNG_WEIGHTS_COUNT][MAX_SHAPES];
    ggml_backend_t cpu;
    float *input; /* N_MAX rows of the widest matrix */
    int64_t widest;
};

/* Of a mixture's experts only those in use are multiplied. */
static double share_in_use(const struct gguf_context *g, const rung_gguf *keys, int64_t i) {
    char name[96];
    const char *arch = rung_gguf_str(keys, "general.architecture", "");
    int64_t n = gguf_get_tensor_ne(g, i)[2];
    if (n <= 1) return 1.0;
    snprintf(name, sizeof name, "%s.expert_used_count", arch);
    int64_t used = rung_gguf_i64(keys, name, n);
    return used > 0 && used <= n ? (double)used : (double)n;
}

static void add_shape(probe *p, const struct gguf_context *g, const rung_gguf *keys, int64_t i) {
    const int64_t *ne = gguf_get_tensor_ne(g, i);
    enum ggml_type from = gguf_get_tensor_type(g, i);
    const char *name = gguf_get_tensor_name(g, i);
    bool head = strncmp(name, "blk.", 4) != 0;
    double share = share_in_use(g, keys, i);
    for (int s = 0; s < p->n_shapes; s++) {
        shape *x = &p->shape[s];
        if (x->ne0 != ne[0] || x->ne1 != ne[1] || x->from != from || x->head != head) continue;
        x->times += share * (double)ne[1] / (double)x->rows;
        return;
    }
    if (p->n_shapes == MAX_SHAPES) return; /* rare shapes of a strange model */
    int64_t rows = PROBE_NUMBERS / ne[0] / 64 * 64;
    if (rows < 64) rows = 64;
    if (rows > ne[1]) rows = ne[1];
    p->shape[p->n_shapes++] =
        (shape){ne[0], rows, i, ne[1], from, share * (double)ne[1] / (double)rows, head};
    if (ne[0] > p->widest) p->widest = ne[0];
}

/* A matrix is whatever would become f32 or is f32 already. */
static bool is_product(const struct gguf_context *g, int64_t i) {
    return rung_weights_target(g, i, RUNG_WEIGHTS_Q4_0) == GGML_TYPE_Q4_0 ||
           rung_weights_target(g, i, RUNG_WEIGHTS_BF16) == GGML_TYPE_BF16;
}

/* The first buffer type that takes the matrix, in libllama's order: the CPU's extra ones
 * (repacking), then plain memory. */
static ggml_backend_buffer_type_t place_for(probe *p, struct ggml_tensor *w) {
    ggml_backend_dev_t dev = ggml_backend_get_device(p->cpu);
    ggml_backend_dev_get_extra_bufts_t get =
        (ggml_backend_dev_get_extra_bufts_t)(uintptr_t)ggml_backend_reg_get_proc_address(
            ggml_backend_dev_backend_reg(dev), "ggml_backend_dev_get_extra_bufts");
    struct ggml_tensor *x = ggml_new_tensor_2d(p->ctx, GGML_TYPE_F32, w->ne[0], N_MAX);
    struct ggml_tensor *y = ggml_mul_mat(p->ctx, w, x);
    ggml_backend_buffer_type_t found = ggml_backend_cpu_buffer_type();
    for (ggml_backend_buffer_type_t *t = get ? get(dev) : NULL; t && *t; t++) {
        w->buffer = ggml_backend_buft_alloc_buffer(*t, 0);
        bool takes = ggml_backend_dev_supports_op(dev, y);
        ggml_backend_buffer_free(w->buffer);
        w->buffer = NULL;
        if (!takes) continue;
        found = *t;
        break;
    }
    return found;
}

static rung_status put_weight(probe *p, rung_weights w, int s, enum ggml_type type,
                              const void *data, rung_error *err) {
    const shape *x = &p->shape[s];
    struct ggml_tensor *t = ggml_new_tensor_2d(p->ctx, type, x->ne0, x->rows);
    ggml_backend_buffer_type_t place = place_for(p, t);
    ggml_backend_buffer_t b =
        ggml_backend_buft_alloc_buffer(place, ggml_backend_buft_get_alloc_size(place, t));
    if (!b) return rung_fail(err, RUNG_E_NOMEM, "no memory to calibrate");
    p->buffer[w][s] = b;
    if (ggml_backend_tensor_alloc(b, t, ggml_backend_buffer_get_base(b)) != GGML_STATUS_SUCCESS) {
        return rung_fail(err, RUNG_E_MODEL, "ggml could not place a matrix");
    }
    ggml_backend_tensor_set(t, data, 0, ggml_nbytes(t));
    p->weight[w][s] = t;
    return RUNG_OK;
}

static rung_status put_shape(probe *p, int s, const rung_gguf *file, const struct gguf_context *g,
                             const bool *want, rung_error *err) {
    const shape *x = &p->shape[s];
    size_t n_row = ggml_row_size(x->from, x->ne0);
    char *raw = rung_alloc((size_t)x->rows * n_row);
    float *f = rung_alloc((size_t)(x->rows * x->ne0) * sizeof *f);
    char *out = rung_alloc((size_t)(x->rows * x->ne0) * sizeof *f);
    rung_status st = RUNG_OK;
    if (!raw || !f || !out) {
        st = rung_fail(err, RUNG_E_NOMEM, "no memory to calibrate");
        goto out;
    }
    RUNG_GOTO(rung_gguf_raw(raw, (size_t)x->rows * n_row, file, x->tensor, err));
    if (x->from == GGML_TYPE_F32) {
        memcpy(f, raw, (size_t)x->rows * n_row);
    } else {
        ggml_get_type_traits(x->from)->to_float(raw, f, x->rows * x->ne0);
    }
    for (int w = 0; w < RUNG_WEIGHTS_AUTO && st == RUNG_OK; w++) {
        if (!want[w]) continue;
        enum ggml_type to = rung_weights_target(g, x->tensor, (rung_weights)w);
        if (to != x->from) rung_weights_convert(out, to, f, x->rows, x->ne0);
        st = put_weight(p, (rung_weights)w, s, to, to == x->from ? raw : out, err);
    }
out:
    rung_free(raw);
    rung_free(f);
    rung_free(out);
    return st;
}

static rung_status fill(probe *p, const rung_gguf *file, const struct gguf_context *g,
                        const bool *want, rung_error *err) {
    for (int64_t i = 0; i < gguf_get_n_tensors(g); i++) {
        if (is_product(g, i)) add_shape(p, g, file, i);
    }
    if (p->n_shapes == 0) {
        return rung_fail(err, RUNG_E_MODEL, "there is no matrix to calibrate with");
    }
    size_t n = (size_t)RUNG_WEIGHTS_COUNT * MAX_SHAPES * 3;
    p->ctx = ggml_init(
        (struct ggml_init_params){.mem_size = n * ggml_tensor_overhead() + 4096, .no_alloc = true});
    p->cpu = ggml_backend_cpu_init();
    p->input = rung_alloc((size_t)(p->widest * N_MAX) * sizeof *p->input);
    if (!p->ctx || !p->cpu || !p->input) {
        return rung_fail(err, RUNG_E_NOMEM, "no memory to calibrate");
    }
    rung_rng r = rung_rng_at(1, RUNG_STREAM_TEST, 0, 0);
    for (int64_t i = 0; i < p->widest * N_MAX; i++) {
        p->input[i] = i < 65536 ? (float)rung_rng_normal(&r) : p->input[i - 65536];
    }
    for (int s = 0; s < p->n_shapes; s++) RUNG_TRY(put_shape(p, s, file, g, want, err));
    return RUNG_OK;
}

rung_status rung_probe_open(probe **out, const char *path, const bool want[RUNG_WEIGHTS_COUNT],
                            rung_error *err) {
    rung_gguf *file = NULL;
    *out = NULL;
    RUNG_TRY(rung_gguf_open(&file, path, err));
    struct gguf_context *g = gguf_init_from_file(path, (struct gguf_init_params){.no_alloc = true});
    probe *p = rung_calloc(1, sizeof *p);
    rung_status st = RUNG_OK;
    if (!g || !p) {
        st = rung_fail(err, RUNG_E_NOMEM, "no memory to calibrate");
    } else {
        st = fill(p, file, g, want, err);
    }
    if (g) gguf_free(g);
    rung_gguf_free(file);
    if (st != RUNG_OK) {
        rung_probe_close(p);
        return st;
    }
    *out = p;
    return RUNG_OK;
}

void rung_probe_close(probe *p) {
    if (!p) return;
    for (int w = 0; w < RUNG_WEIGHTS_COUNT; w++) {
        for (int s = 0; s < p->n_shapes; s++) {
            if (p->buffer[w][s]) ggml_backend_buffer_free(p->buffer[w][s]);
        }
    }
    if (p->ctx) ggml_free(p->ctx);
    if (p->cpu) ggml_backend_free(p->cpu);
    rung_free(p->input);
    rung_free(p);
}

/* One product: weight of type w and shape s by n columns. */
typedef struct product {
    struct ggml_context *ctx;
    struct ggml_cgraph *graph;
    ggml_backend_buffer_t buffer;
    double least;
} product;

static bool product_open(product *m, probe *p, int w, int s, int32_t n) {
    m->ctx = ggml_init((struct ggml_init_params){.mem_size = 8 * ggml_tensor_overhead() +
                                                             ggml_graph_overhead_custom(8, false),
                                                 .no_alloc = true});
    if (!m->ctx) return false;
    struct ggml_tensor *x = ggml_new_tensor_2d(m->ctx, GGML_TYPE_F32, p->shape[s].ne0, n);
    struct ggml_tensor *y = ggml_mul_mat(m->ctx, p->weight[w][s], x);
    m->graph = ggml_new_graph_custom(m->ctx, 8, false);
    ggml_build_forward_expand(m->graph, y);
    m->buffer = ggml_backend_alloc_ctx_tensors(m->ctx, p->cpu);
    if (!m->buffer) return false;
    ggml_backend_tensor_set(x, p->input, 0, ggml_nbytes(x));
    m->least = HUGE_VAL;
    return true;
}

static void product_close(product *m) {
    if (m->buffer) ggml_backend_buffer_free(m->buffer);
    if (m->ctx) ggml_free(m->ctx);
}

double rung_probe_clock(int32_t n_threads) {
    struct timespec t = {0};
    if (n_threads != 1) return rung_now();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double rung_probe_share(probe *p, int32_t n_threads) {
    product m = {0};
    double share = 1.0;
    int w = 0;
    while (w < RUNG_WEIGHTS_AUTO && !p->weight[w][0]) w++;
    if (w == RUNG_WEIGHTS_AUTO || !product_open(&m, p, w, 0, 64)) {
        product_close(&m);
        return share;
    }
    ggml_backend_cpu_set_n_threads(p->cpu, n_threads);
    double wall = rung_now(), cpu = rung_cpu_now();
    do {
        if (ggml_backend_graph_compute(p->cpu, m.graph) != GGML_STATUS_SUCCESS) break;
    } while (rung_now() - wall < SHARE_S);
    wall = rung_now() - wall;
    cpu = rung_cpu_now() - cpu;
    product_close(&m);
    return fmin(1.0, cpu / (wall * n_threads));
}

static rung_status time_shape(double least[RUNG_WEIGHTS_COUNT], probe *p, const bool *want, int s,
                              int32_t n, int32_t n_threads, int reps, rung_error *err) {
    product m[RUNG_WEIGHTS_COUNT] = {{0}};
    rung_status st = RUNG_OK;
    for (int w = 0; w < RUNG_WEIGHTS_AUTO; w++) {
        if (!want[w] || product_open(&m[w], p, w, s, n)) continue;
        st = rung_fail(err, RUNG_E_NOMEM, "no memory to calibrate");
    }
    for (int k = 0; k <= reps && st == RUNG_OK; k++) { /* the first wakes the threads */
        for (int w = 0; w < RUNG_WEIGHTS_AUTO && st == RUNG_OK; w++) {
            if (!want[w]) continue;
            double t0 = rung_probe_clock(n_threads);
            if (ggml_backend_graph_compute(p->cpu, m[w].graph) != GGML_STATUS_SUCCESS) {
                st = rung_fail(err, RUNG_E_MODEL, "ggml could not multiply");
            }
            double t = rung_probe_clock(n_threads) - t0;
            if (t < m[w].least) m[w].least = t;
        }
    }
    for (int w = 0; w < RUNG_WEIGHTS_AUTO; w++) {
        least[w] = m[w].least;
        product_close(&m[w]);
    }
    return st;
}

rung_status rung_probe_time(double body_s[RUNG_WEIGHTS_COUNT], double head_s[RUNG_WEIGHTS_COUNT],
                            probe *p, const bool want[RUNG_WEIGHTS_COUNT], int32_t n,
                            int32_t n_threads, int reps, rung_error *err) {
    memset(body_s, 0, RUNG_WEIGHTS_COUNT * sizeof *body_s);
    memset(head_s, 0, RUNG_WEIGHTS_COUNT * sizeof *head_s);
    if (n < 1 || n > N_MAX) return rung_fail(err, RUNG_E_INVAL, "%d tokens at once", n);
    ggml_backend_cpu_set_n_threads(p->cpu, n_threads);
    for (int s = 0; s < p->n_shapes; s++) {
        double least[RUNG_WEIGHTS_COUNT];
        RUNG_TRY(time_shape(least, p, want, s, n, n_threads, reps, err));
        for (int w = 0; w < RUNG_WEIGHTS_AUTO; w++) {
            if (!want[w]) continue;
            double t = least[w] * p->shape[s].times;
            *(p->shape[s].head ? &head_s[w] : &body_s[w]) += t;
        }
    }
    return RUNG_OK;
}
