/* The core's own sources compiled with double: the gradient of every tensor against central finite
 * differences at 1e-6 relative, on odd shapes. This binary takes nothing of train/'s library. */
#define RUNG_REAL_F64 1
#include "../../../src/train/arch.c"
#include "../../../src/train/attention.c"
#include "../../../src/train/core.c"
#include "../../../src/train/core_ce.c"
#include "../../../src/train/core_linear.c"
#include "../../../src/train/core_pass.c"
#include "../../../src/train/core_read.c"
#include "../../../src/train/frozen.c"
#include "../../../src/train/gemm.c"
#include "../../../src/train/head_core.c"
#include "../../../src/train/kernel.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include "rung/rng.h"

#include <cmocka.h>

#include "golden.h"
#include "rung/loss.h"

typedef struct shape_case {
    const char *name;
    rung_net_shape s;
    int32_t rows, n_tok;
    const int32_t *doc; /* NULL: one document per row */
    unsigned lora;      /* slots with adapters on a frozen base; 0 = all is trained */
    double dropout;
    int32_t drop_layers; /* layers whose activations are not kept */
    int by;              /* what the loss is a function of */
} shape_case;
/* All logits; the fused cross entropy; scores of a head (linear, two layers; of one output, of two
 * classes); two words' logits. */
enum { BY_LOGITS, BY_CE, BY_HEAD, BY_HEAD2, BY_CLASSES, BY_CLASSES2, BY_WORDS };

typedef struct problem {
    rung_batch b;
    int32_t *tok, *doc, *target;
    float *weight;
    double *coef;
} problem;

/* Positions that a head reads: those of documents, the first of them twice. */
static int64_t list_positions(int64_t *at, const problem *p) {
    int64_t n = 0;
    for (int64_t i = 0; i < (int64_t)p->b.n_rows * p->b.n_tok; i++) {
        if (p->b.doc[i] < 0) continue;
        at[n++] = i;
        if (n == 1) at[n++] = i;
    }
    return n;
}

/* L = sum of coef z + sum of z^2 / 8 of what is read from hidden states. */
static double loss_of_states(rung_core *c, const shape_case *k, const problem *p, bool grad) {
    rung_error err = RUNG_ERROR_INIT;
    int64_t at[128], n = (int64_t)k->rows * k->n_tok;
    double z[128], dz[128], mask[128], sum = 0;
    if (k->by != BY_WORDS) n = list_positions(at, p);
    for (int64_t i = 0; i < n; i++) mask[i] = p->b.doc[i] >= 0;
    assert_int_equal(rung_core_hidden(c, &p->b, &err), RUNG_OK);
    assert_int_equal(k->by == BY_WORDS ? rung_core_words(z, c, 2, 4, mask, &err)
                                       : rung_core_score(z, c, at, n, &err),
                     RUNG_OK);
    for (int64_t i = 0; i < n; i++) {
        bool on = k->by != BY_WORDS || mask[i] > 0;
        if (on) sum += p->coef[i] * z[i] + z[i] * z[i] / 8;
        dz[i] = on ? p->coef[i] + z[i] / 4 : 0;
    }
    if (grad)
        assert_int_equal(k->by == BY_WORDS ? rung_core_words_back(c, dz, 2, 4, &err)
                                           : rung_core_score_back(c, dz, at, n, &err),
                         RUNG_OK);
    return sum;
}

/* L = sum of coef * logits + sum of (logits)^2 / 8: known gradient, nothing cancels. */
static double loss_of(rung_core *c, const shape_case *k, const problem *p, bool grad) {
    rung_error err = RUNG_ERROR_INIT;
    int64_t n = (int64_t)k->rows * k->n_tok, v = c->shape.n_vocab;
    double sum = 0;
    if (k->by >= BY_HEAD) return loss_of_states(c, k, p, grad);
    if (k->by == BY_CE) {
        assert_int_equal(rung_core_hidden(c, &p->b, &err), RUNG_OK);
        assert_int_equal(rung_core_ce(&sum, NULL, c, p->target, p->weight, 0, 1, grad, &err),
                         RUNG_OK);
        return sum;
    }
    assert_int_equal(rung_core_forward(c, &p->b, &err), RUNG_OK);
    for (int64_t i = 0; i < n * v; i++) {
        bool on = p->b.doc[i / v] >= 0;
        double z = c->logits[i];
        if (on) sum += p->coef[i] * z + z * z / 8;
        if (grad) c->dlogits[i] = on ? p->coef[i] + z / 4 : 0;
    }
    if (grad) assert_int_equal(rung_core_back(c, &err), RUNG_OK);
    return sum;
}

static double rel_error(double a, double b) {
    double top = fabs(a) > fabs(b) ? fabs(a) : fabs(b);
    return fabs(a - b) / (top > 1e-3 ? top : 1e-3);
}

/* Noise in f32 as a file would have it. */
typedef struct base {
    float *block[256];
    int n;
} base;
static rung_status find_noise(void *ud, rung_frozen *f, const rung_core_tensor *t,
                              rung_error *err) {
    base *b = ud;
    (void)err;
    float *x = calloc((size_t)(t->rows * t->cols), sizeof *x);
    rung_rng r = rung_rng_at(7, RUNG_STREAM_TEST, (uint64_t)b->n, 1);
    for (int64_t i = 0; i < t->rows * t->cols; i++) x[i] = (float)(0.3 * rung_rng_normal(&r));
    b->block[b->n++] = x;
    f->data = x;
    f->type = 0;
    f->row_bytes = (size_t)t->cols * sizeof *x;
    return RUNG_OK;
}

static rung_core *make_core(const shape_case *k, base *frozen) {
    rung_core *c;
    rung_error err = RUNG_ERROR_INIT;
    frozen->n = 0;
    if (k->lora) {
        rung_core_lora lora = {3, 0.7, k->dropout, 11, 5, false};
        assert_int_equal(rung_core_new_frozen(&c, &k->s, find_noise, frozen, &err), RUNG_OK);
        assert_int_equal(rung_core_adapt(c, k->lora, &lora, &err), RUNG_OK);
    } else {
        assert_int_equal(rung_core_new(&c, &k->s, &err), RUNG_OK);
    }
    if (k->by >= BY_HEAD && k->by <= BY_CLASSES2) {
        int32_t n_hidden = k->by == BY_HEAD || k->by == BY_CLASSES ? 0 : 5;
        assert_int_equal(rung_core_add_read(c, n_hidden, k->by < BY_CLASSES ? 1 : 2, &err),
                         RUNG_OK);
        for (int64_t j = 0; j < k->s.n_embd; j++) {
            c->read_mean[j] = 0.1 * (double)j;
            c->read_inv_sd[j] = 1.5 - 0.05 * (double)j;
        }
    }
    rung_rng r = rung_rng_at(5, RUNG_STREAM_TEST, (uint64_t)c->n_params, 0);
    for (int64_t i = 0; i < c->n_params; i++) c->w[i] = 0.3 * rung_rng_normal(&r);
    if (k->drop_layers)
        c->budget = rung_core_memory(c, (int64_t)k->rows * k->n_tok, k->n_tok,
                                     k->s.n_layer - k->drop_layers);
    return c;
}

static void make_problem(problem *p, const shape_case *k) {
    int64_t n = (int64_t)k->rows * k->n_tok;
    p->tok = calloc((size_t)n, sizeof *p->tok);
    p->doc = calloc((size_t)n, sizeof *p->doc);
    p->target = calloc((size_t)n, sizeof *p->target);
    p->weight = calloc((size_t)n, sizeof *p->weight);
    p->coef = calloc((size_t)n * (size_t)k->s.n_vocab, sizeof *p->coef);
    rung_rng r = rung_rng_at(6, RUNG_STREAM_TEST, (uint64_t)n, 0);
    for (int64_t i = 0; i < n; i++) {
        p->tok[i] = (int32_t)rung_rng_below(&r, (uint64_t)k->s.n_vocab);
        p->target[i] = (int32_t)rung_rng_below(&r, (uint64_t)k->s.n_vocab);
        p->doc[i] = k->doc ? k->doc[i] : 0;
        p->weight[i] = p->doc[i] < 0 || i % 3 == 1 ? 0 : (float)rung_rng_f64(&r);
    }
    for (int64_t i = 0; i < n * k->s.n_vocab; i++) p->coef[i] = rung_rng_normal(&r);
    p->b = (rung_batch){k->rows, k->n_tok, p->tok, p->doc};
}

static void check_case(const shape_case *k) {
    base frozen;
    problem p;
    rung_core *c = make_core(k, &frozen);
    make_problem(&p, k);
    loss_of(c, k, &p, true);
    if (k->drop_layers) assert_int_equal(c->n_keep, k->s.n_layer - k->drop_layers);
    double worst = 0;
    int n_checked = 0;
    for (int32_t t = 0; t < c->n_tensors; t++) {
        int64_t size = c->tensor[t].rows * c->tensor[t].cols;
        int64_t stride = size > 40 ? size / 40 : 1; /* at least 40 entries of each tensor */
        if (c->tensor[t].at < 0) continue;
        for (int64_t j = 0; j < size; j += stride, n_checked++) {
            double *w = &c->w[c->tensor[t].at + j], keep = *w, h = 1e-4, f[4];
            static const double at[] = {-2, -1, 1, 2};
            for (int q = 0; q < 4; q++) {
                *w = keep + at[q] * h;
                f[q] = loss_of(c, k, &p, false);
            }
            *w = keep;
            /* 4-point rule, error O(h^4); f64 rounding leaves about 1e-10 */
            double fd = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h);
            double e = rel_error(fd, c->dw[c->tensor[t].at + j]);
            if (e > worst) worst = e;
            if (e > 1e-6)
                fail_msg("%s: %s[%lld] gradient %.10g, finite difference %.10g", k->name,
                         c->tensor[t].name, (long long)j, c->dw[c->tensor[t].at + j], fd);
        }
    }
    print_message("  %s: worst relative error %.2g of %d\n", k->name, worst, n_checked);
    assert_true(n_checked > 50);
    void *all[] = {p.tok, p.doc, p.target, p.weight, p.coef};
    for (int i = 0; i < 5; i++) free(all[i]);
    rung_core_free(c);
    for (int i = 0; i < frozen.n; i++) free(frozen.block[i]);
}

static const int32_t docs[] = {0, 0, 0, 1, 1, 2, -1, 0, 1, 1, 1, 1, 1, -1};
static const int32_t hole[] = {-1, -1, -1, -1, -1, 0, 0, -1, 3, 3}; /* a row of padding alone */
enum {
    QV = 1 << SLOT_Q | 1 << SLOT_V,
    ALL = QV | 1 << SLOT_K | 1 << SLOT_OUT | 1 << SLOT_GATE | 1 << SLOT_UP | 1 << SLOT_DOWN,
    QWEN2 = RUNG_ARCH_QWEN2
};
static const shape_case cases[] = {
    {"odd", {11, 18, 2, 3, 3, 13, 16, 10000, 1e-5f, false, 0, 0}, 2, 7, NULL, 0, 0, 0, BY_LOGITS},
    {"grouped queries, tied",
     {7, 24, 2, 6, 2, 10, 16, 500, 1e-5f, true, 0, 0},
     1,
     5,
     NULL,
     0,
     0,
     0,
     BY_LOGITS},
    {"one key head",
     {9, 16, 1, 4, 1, 8, 8, 10000, 1e-6f, false, 0, 0},
     3,
     4,
     NULL,
     0,
     0,
     0,
     BY_LOGITS},
    {"one token", {5, 8, 2, 2, 1, 6, 4, 10000, 1e-5f, true, 0, 0}, 1, 1, NULL, 0, 0, 0, BY_LOGITS},
    {"document mask",
     {13, 12, 2, 2, 2, 9, 8, 10000, 1e-5f, false, 0, 0},
     2,
     7,
     docs,
     0,
     0,
     0,
     BY_LOGITS},
    {"masked row",
     {6, 12, 2, 3, 1, 5, 8, 10000, 1e-5f, true, 0, 0},
     2,
     5,
     hole,
     0,
     0,
     0,
     BY_LOGITS},
    {"qwen2: biases, halves",
     {9, 20, 2, 5, 1, 11, 16, 1000, 1e-6f, true, QWEN2, 0},
     2,
     7,
     docs,
     0,
     0,
     0,
     BY_LOGITS},
    {"heads of their own width",
     {9, 10, 2, 3, 3, 7, 16, 1000, 1e-6f, false, QWEN2, 6},
     1,
     9,
     NULL,
     0,
     0,
     0,
     BY_LOGITS},
    {"70 tokens: two query blocks",
     {5, 8, 1, 2, 1, 6, 80, 10000, 1e-5f, true, 0, 0},
     1,
     70,
     NULL,
     0,
     0,
     0,
     BY_LOGITS},
    {"fused cross entropy",
     {11, 12, 2, 2, 1, 9, 16, 10000, 1e-5f, true, 0, 0},
     2,
     7,
     docs,
     0,
     0,
     0,
     BY_CE},
    {"one layer of three kept",
     {7, 12, 3, 2, 1, 9, 16, 10000, 1e-5f, false, 0, 0},
     2,
     7,
     docs,
     0,
     0,
     2,
     BY_LOGITS},
    {"no layer kept",
     {7, 12, 3, 2, 1, 9, 16, 10000, 1e-5f, true, QWEN2, 0},
     2,
     7,
     docs,
     0,
     0,
     3,
     BY_CE},
    {"adapters on q, v",
     {7, 12, 2, 3, 1, 9, 16, 10000, 1e-5f, false, 0, 0},
     2,
     7,
     docs,
     QV,
     0,
     0,
     BY_LOGITS},
    {"adapters on all, tied, fused, recomputed",
     {7, 12, 2, 2, 2, 9, 16, 10000, 1e-5f, true, QWEN2, 0},
     2,
     7,
     docs,
     ALL,
     0,
     2,
     BY_CE},
    {"adapters with dropout",
     {7, 12, 2, 2, 2, 9, 16, 10000, 1e-5f, false, 0, 0},
     2,
     7,
     NULL,
     ALL,
     0.3,
     2,
     BY_LOGITS},
    {"head that trains with the net",
     {11, 12, 2, 2, 1, 9, 16, 10000, 1e-5f, false, 0, 0},
     2,
     7,
     docs,
     0,
     0,
     0,
     BY_HEAD},
    {"head of two layers, adapters, recomputed",
     {7, 12, 3, 3, 1, 9, 16, 10000, 1e-5f, true, QWEN2, 0},
     2,
     7,
     docs,
     QV,
     0.3,
     2,
     BY_HEAD2},
    {"head of two classes",
     {11, 12, 2, 2, 1, 9, 16, 10000, 1e-5f, false, 0, 0},
     2,
     7,
     docs,
     0,
     0,
     0,
     BY_CLASSES},
    {"head of two layers and two classes",
     {7, 12, 2, 3, 1, 9, 16, 10000, 1e-5f, true, 0, 0},
     2,
     7,
     docs,
     0,
     0,
     0,
     BY_CLASSES2},
    {"two words, tied",
     {7, 12, 2, 3, 1, 9, 16, 10000, 1e-5f, true, 0, 0},
     2,
     7,
     docs,
     0,
     0,
     0,
     BY_WORDS},
    {"two words of a frozen output",
     {9, 12, 2, 2, 2, 9, 16, 10000, 1e-5f, false, 0, 0},
     2,
     7,
     docs,
     ALL,
     0,
     0,
     BY_WORDS},
};

static void test_gradients(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) check_case(&cases[i]);
}

/* Two forwards of the parts of a packed row give what the packed row gives (f64: exactly but for
 * the order of sums). */
static void test_packing(void **state) {
    (void)state;
    rung_net_shape s = {17, 16, 2, 2, 1, 12, 16, 10000, 1e-5f, false, 0, 0};
    rung_core *c;
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_core_new(&c, &s, &err), RUNG_OK);
    rung_rng r = rung_rng_at(6, RUNG_STREAM_TEST, 0, 0);
    for (int64_t i = 0; i < c->n_params; i++) c->w[i] = 0.3 * rung_rng_normal(&r);
    int32_t tok[12], doc[12];
    for (int i = 0; i < 12; i++) {
        tok[i] = (int32_t)rung_rng_below(&r, 17);
        doc[i] = i < 5 ? 0 : i < 10 ? 4 : -1;
    }
    double packed[12 * 17];
    assert_int_equal(rung_core_forward(c, &(rung_batch){1, 12, tok, doc}, &err), RUNG_OK);
    memcpy(packed, c->logits, sizeof packed);
    int32_t zero[5] = {0};
    for (int p = 0; p < 2; p++) {
        assert_int_equal(rung_core_forward(c, &(rung_batch){1, 5, tok + 5 * p, zero}, &err),
                         RUNG_OK);
        for (int i = 0; i < 5 * 17; i++)
            assert_float_equal(c->logits[i], packed[5 * p * 17 + i], 1e-12);
    }
    rung_core_free(c);
}

/* Heads under every loss that takes scores: the same rule; soft targets, weights with a zero among
 * them, groups of three. */
typedef struct head_case {
    rung_head_dims d;
    double x[45], y[9], w[9], p[34], z[9], hid[36];
    int32_t group[9], *pair;
    int64_t n_pairs;
    rung_loss_id id;
} head_case;

static double head_loss(head_case *c, double *g) {
    double value, dz[9];
    rung_error err = RUNG_ERROR_INIT;
    rung_loss_data d = {.n = 9,
                        .x = c->z,
                        .target = c->y,
                        .n_samples = 9,
                        .weight = c->w,
                        .group = c->group,
                        .reward = c->y,
                        .pair = c->pair,
                        .n_pairs = c->n_pairs};
    assert_true(rung_head_core_forward(c->z, c->hid, c->p, c->d, c->x, 9));
    if (rung_loss_eval(&value, dz, NULL, c->id, &d, NULL, &err) != RUNG_OK)
        fail_msg("%s", err.what);
    if (g) assert_true(rung_head_core_back(g, c->hid, dz, c->p, c->d, c->x, 9));
    return value;
}

static void check_head(head_case *c, rung_rng *r) {
    double g[34];
    int64_t n = rung_head_n_params(c->d);
    for (int64_t i = 0; i < n; i++) c->p[i] = rung_rng_normal(r);
    head_loss(c, g);
    for (int64_t i = 0; i < n; i++) {
        double keep = c->p[i], h = 1e-5, up, down;
        c->p[i] = keep + h;
        up = head_loss(c, NULL);
        c->p[i] = keep - h;
        down = head_loss(c, NULL);
        c->p[i] = keep;
        double e = rel_error((up - down) / (2 * h), g[i]);
        if (e > 1e-6)
            fail_msg("%s: head gradient %lld is %g off", rung_loss_name(c->id), (long long)i, e);
    }
}

static void test_head(void **state) {
    (void)state;
    static head_case c;
    rung_rng r = rung_rng_at(8, RUNG_STREAM_TEST, 0, 0);
    for (int i = 0; i < 45; i++) c.x[i] = rung_rng_normal(&r);
    for (int i = 0; i < 9; i++) {
        c.y[i] = rung_rng_f64(&r);
        c.w[i] = i == 4 ? 0 : rung_rng_f64(&r);
        c.group[i] = i / 3;
    }
    assert_int_equal(rung_loss_pairs(&c.pair, &c.n_pairs, c.y, c.group, 9, NULL), RUNG_OK);
    static const rung_loss_id ids[] = {RUNG_LOSS_BCE, RUNG_LOSS_MSE, RUNG_LOSS_BRADLEY_TERRY,
                                       RUNG_LOSS_MARGIN, RUNG_LOSS_OMEGA};
    for (int k = 0; k < 20; k++) {
        c.id = ids[k / 4];
        c.d = (rung_head_dims){5, k % 2 ? 4 : 0, k % 4 / 2 ? 2 : 1};
        check_head(&c, &r);
    }
    rung_free(c.pair);
    /* By hand: one row, z = ln 3, y = 1/2: dz = 1/4, dw = x/4. */
    double one[2] = {2, -1}, dz = 0.25, q[3] = {0.5 * log(3), 0, 0}, dq[3], z;
    assert_true(rung_head_core_forward(&z, NULL, q, (rung_head_dims){2, 0, 1}, one, 1));
    assert_float_equal(z, log(3), 1e-12);
    assert_true(rung_head_core_back(dq, NULL, &dz, q, (rung_head_dims){2, 0, 1}, one, 1));
    assert_float_equal(dq[0], 0.5, 1e-12);
    assert_float_equal(dq[1], -0.25, 1e-12);
    assert_float_equal(dq[2], 0.25, 1e-12);
    /* Two outputs: z = (1 x 2 + 3 x -1 + .5) - (2 x 2 + 1 x -1 - .5) = -.5 - 2.5. */
    double two[6] = {2, 1, 1, 3, -.5, .5}, d2[6];
    rung_head_dims dims = {2, 0, 2};
    assert_int_equal(rung_head_n_params(dims), 6);
    assert_true(rung_head_core_forward(&z, NULL, two, dims, one, 1));
    assert_float_equal(z, -3, 1e-12);
    assert_true(rung_head_core_back(d2, NULL, &dz, two, dims, one, 1));
    static const double want[6] = {-.5, .25, .5, -.25, -.25, .25};
    for (int i = 0; i < 6; i++) assert_float_equal(d2[i], want[i], 1e-12);
}

/* PyTorch in f64 on the same weights: logits, and every gradient of its cross entropy (its
 * dL/dlogits is made here, in f64). */
static void check_golden(const char *name) {
    rung_error err = RUNG_ERROR_INIT;
    yyjson_doc *doc = golden_load(name);
    yyjson_val *root = yyjson_doc_get_root(doc);
    rung_net_shape shape = golden_shape(root);
    rung_core *c;
    size_t n;
    if (rung_core_new(&c, &shape, &err) != RUNG_OK) fail_msg("%s", err.what);
    for (int64_t t = 0; t < c->n_tensors; t++) {
        double *x = golden_numbers(golden_get(golden_get(root, "tensors"), c->tensor[t].name), &n);
        assert_int_equal(n, c->tensor[t].rows * c->tensor[t].cols);
        for (size_t i = 0; i < n; i++) /* exact in f32, written with 9 digits */
            c->w[c->tensor[t].at + (int64_t)i] = (float)x[i];
        free(x);
    }
    int32_t *tok = golden_ints(golden_get(root, "tok")),
            *doc_of = golden_ints(golden_get(root, "doc"));
    int32_t *target = golden_ints(golden_get(root, "target"));
    double *weight = golden_numbers(golden_get(root, "weight"), &n), sum = 0, loss = 0, worst = 0;
    rung_batch b = {(int32_t)yyjson_get_int(golden_get(root, "n_rows")),
                    (int32_t)yyjson_get_int(golden_get(root, "n_tok")), tok, doc_of};
    if (rung_core_forward(c, &b, &err) != RUNG_OK) fail_msg("%s", err.what);
    int64_t v = shape.n_vocab;
    size_t n_logits;
    double *logits = golden_numbers(golden_get(root, "logits"), &n_logits);
    for (size_t i = 0; i < n; i++) sum += weight[i] = (float)weight[i];
    for (int64_t i = 0; i < (int64_t)n; i++) {
        const double *z = c->logits + i * v;
        double e = 0;
        for (int64_t k = 0; k < v; k++) e += exp(z[k]);
        for (int64_t k = 0; k < v; k++) {
            if (doc_of[i] >= 0) worst = fmax(worst, fabs(z[k] - logits[i * v + k]));
            c->dlogits[i * v + k] = weight[i] / sum * (exp(z[k]) / e - (k == target[i]));
        }
        loss += weight[i] / sum * (log(e) - z[target[i]]);
    }
    if (worst >= 1e-10) fail_msg("%s: logits %g off", name, worst);
    assert_float_equal(loss, yyjson_get_num(golden_get(root, "loss")), 1e-10);
    if (rung_core_back(c, &err) != RUNG_OK) fail_msg("%s", err.what);
    for (int64_t t = 0; t < c->n_tensors; t++) {
        double *x = golden_numbers(golden_get(golden_get(root, "grad"), c->tensor[t].name), &n);
        for (size_t i = 0; i < n; i++) {
            double e = fabs(x[i] - c->dw[c->tensor[t].at + (int64_t)i]);
            worst = fmax(worst, e);
            if (e > 1e-10)
                fail_msg("%s: gradient of %s[%zu]: %g off", name, c->tensor[t].name, i, e);
        }
        free(x);
    }
    print_message("  %s: worst difference %.2g\n", name, worst);
    free(tok);
    free(doc_of);
    free(target);
    free(weight);
    free(logits);
    rung_core_free(c);
    yyjson_doc_free(doc);
}

static void test_pytorch(void **state) {
    (void)state;
    check_golden("llama");
    check_golden("qwen2");
}

int main(void) {
    omp_set_num_threads(1); /* tiny shapes: barriers would be all of the time */
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradients),
                                       cmocka_unit_test(test_packing), cmocka_unit_test(test_head),
                                       cmocka_unit_test(test_pytorch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
