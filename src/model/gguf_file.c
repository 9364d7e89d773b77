/* GGUF files through ggml's reader and writer. ggml aborts on misuse (wrong key type, duplicate
 * tensor, row not a multiple of its block), so everything is checked here before each call, and
 * tensor data is read with pread after its range was checked against the file's length. */
#include "model/gguf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <gguf.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct rung_gguf {
    struct gguf_context *ctx;
    int fd;
    const char *map; /* the whole file, once a view was asked for */
    size_t n_map;
    char path[512];
};

/* Reading ------------------------------------------------------------------------------------- */

static rung_status check_head(int fd, const char *path, int64_t n_file, rung_error *err) {
    unsigned char head[24] = {0};
    ssize_t n = pread(fd, head, sizeof head, 0);
    if (n < 0) return rung_fail_errno(err, "could not read model \"%s\"", path);
    if (n < 4 || memcmp(head, "GGUF", 4) != 0) {
        rung_fail(err, RUNG_E_MODEL, "\"%s\" is not a GGUF file: no magic at its start", path);
        return rung_error_hint(err, "give a model in GGUF format, as llama.cpp reads it");
    }
    if (n < (ssize_t)sizeof head) {
        rung_fail(err, RUNG_E_MODEL, "\"%s\" is cut: %lld bytes, less than a GGUF header", path,
                  (long long)n_file);
        return rung_error_hint(err, "fetch or write the file again");
    }
    return RUNG_OK;
}

/* Every tensor lies inside the file and has no empty dimension. ggml has already refused sizes
 * that overflow. */
static rung_status check_tensors(const rung_gguf *g, int64_t n_file, rung_error *err) {
    size_t start = gguf_get_data_offset(g->ctx);
    for (int64_t i = 0; i < gguf_get_n_tensors(g->ctx); i++) {
        const char *name = gguf_get_tensor_name(g->ctx, i);
        const int64_t *ne = gguf_get_tensor_ne(g->ctx, i);
        for (int d = 0; d < GGML_MAX_DIMS; d++) {
            if (ne[d] <= 0)
                return rung_fail(err, RUNG_E_MODEL, "tensor %s of \"%s\" has an empty dimension",
                                 name, g->path);
        }
        size_t size = gguf_get_tensor_size(g->ctx, i), off = gguf_get_tensor_offset(g->ctx, i), end;
        if (__builtin_add_overflow(start, off, &end) || __builtin_add_overflow(end, size, &end) ||
            end > (size_t)n_file) {
            rung_fail(err, RUNG_E_MODEL, "\"%s\" is cut: tensor %s lies beyond its %lld bytes",
                      g->path, name, (long long)n_file);
            return rung_error_hint(err, "fetch or write the file again");
        }
    }
    return RUNG_OK;
}

rung_status rung_gguf_open(rung_gguf **out, const char *path, rung_error *err) {
    *out = NULL;
    rung_gguf *g = rung_calloc(1, sizeof *g);
    if (!g) return rung_fail(err, RUNG_E_NOMEM, "no memory to open \"%s\"", path);
    snprintf(g->path, sizeof g->path, "%s", path);
    rung_status st = RUNG_OK;
    struct stat sb;
    g->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (g->fd < 0 || fstat(g->fd, &sb) != 0) {
        st = rung_fail_errno(err, "could not open model \"%s\"", path);
        goto out;
    }
    if (!S_ISREG(sb.st_mode)) {
        st = rung_fail(err, RUNG_E_MODEL, "\"%s\" is not a regular file", path);
        goto out;
    }
    RUNG_GOTO(check_head(g->fd, path, sb.st_size, err));
    struct gguf_init_params params = {.no_alloc = true, .ctx = NULL};
    g->ctx = gguf_init_from_file(path, params);
    if (!g->ctx) {
        st = rung_fail(err, RUNG_E_MODEL, "\"%s\" is cut or not a valid GGUF file", path);
        rung_error_hint(err, "fetch or write the file again");
        goto out;
    }
    RUNG_GOTO(check_tensors(g, sb.st_size, err));
    *out = g;
    g = NULL;
out:
    rung_gguf_free(g);
    return st;
}

void rung_gguf_free(rung_gguf *g) {
    if (!g) return;
    if (g->ctx) gguf_free(g->ctx);
    if (g->map) munmap((void *)(uintptr_t)g->map, g->n_map);
    if (g->fd >= 0) close(g->fd);
    rung_free(g);
}

bool rung_gguf_has(const rung_gguf *g, const char *key) {
    return gguf_find_key(g->ctx, key) >= 0;
}

const char *rung_gguf_str(const rung_gguf *g, const char *key, const char *dflt) {
    int64_t id = gguf_find_key(g->ctx, key);
    if (id < 0 || gguf_get_kv_type(g->ctx, id) != GGUF_TYPE_STRING) return dflt;
    return gguf_get_val_str(g->ctx, id);
}

/* Element i of numbers stored as `type`; false when the type is no number. */
static bool number_at(double *d, int64_t *n, enum gguf_type type, const void *p, int64_t i) {
#define CASE(TYPE, ctype)                                                                          \
    case GGUF_TYPE_##TYPE: {                                                                       \
        ctype v;                                                                                   \
        memcpy(&v, (const char *)p + (size_t)i * sizeof v, sizeof v);                              \
        *d = (double)v;                                                                            \
        *n = (int64_t)v;                                                                           \
        return true;                                                                               \
    }
    switch (type) {
        CASE(UINT8, uint8_t)
        CASE(INT8, int8_t)
        CASE(BOOL, int8_t)
        CASE(UINT16, uint16_t)
        CASE(INT16, int16_t)
        CASE(UINT32, uint32_t)
        CASE(INT32, int32_t)
        CASE(INT64, int64_t)
        CASE(UINT64, uint64_t)
    case GGUF_TYPE_FLOAT32: {
        float v;
        memcpy(&v, (const char *)p + (size_t)i * sizeof v, sizeof v);
        *d = (double)v;
        *n = 0;
        return true;
    }
    case GGUF_TYPE_FLOAT64: {
        memcpy(d, (const char *)p + (size_t)i * sizeof *d, sizeof *d);
        *n = 0;
        return true;
    }
    default: return false;
    }
#undef CASE
}

static bool key_number(double *d, int64_t *n, enum gguf_type *type, const rung_gguf *g,
                       const char *key) {
    int64_t id = gguf_find_key(g->ctx, key);
    if (id < 0) return false;
    *type = gguf_get_kv_type(g->ctx, id);
    if (*type == GGUF_TYPE_STRING || *type == GGUF_TYPE_ARRAY) return false;
    return number_at(d, n, *type, gguf_get_val_data(g->ctx, id), 0);
}

int64_t rung_gguf_i64(const rung_gguf *g, const char *key, int64_t dflt) {
    double d;
    int64_t n;
    enum gguf_type type;
    if (!key_number(&d, &n, &type, g, key)) return dflt;
    return type == GGUF_TYPE_FLOAT32 || type == GGUF_TYPE_FLOAT64 ? dflt : n;
}

double rung_gguf_f64(const rung_gguf *g, const char *key, double dflt) {
    double d;
    int64_t n;
    enum gguf_type type;
    return key_number(&d, &n, &type, g, key) ? d : dflt;
}

int64_t rung_gguf_arr_n(const rung_gguf *g, const char *key) {
    int64_t id = gguf_find_key(g->ctx, key);
    if (id < 0 || gguf_get_kv_type(g->ctx, id) != GGUF_TYPE_ARRAY) return -1;
    return (int64_t)gguf_get_arr_n(g->ctx, id);
}

const char *rung_gguf_arr_str(const rung_gguf *g, const char *key, int64_t i) {
    if (i < 0 || i >= rung_gguf_arr_n(g, key)) return NULL;
    int64_t id = gguf_find_key(g->ctx, key);
    if (gguf_get_arr_type(g->ctx, id) != GGUF_TYPE_STRING) return NULL;
    return gguf_get_arr_str(g->ctx, id, (size_t)i);
}

double rung_gguf_arr_f64(const rung_gguf *g, const char *key, int64_t i, double dflt) {
    if (i < 0 || i >= rung_gguf_arr_n(g, key)) return dflt;
    int64_t id = gguf_find_key(g->ctx, key), n;
    enum gguf_type type = gguf_get_arr_type(g->ctx, id);
    double d;
    if (type == GGUF_TYPE_STRING || type == GGUF_TYPE_ARRAY) return dflt;
    return number_at(&d, &n, type, gguf_get_arr_data(g->ctx, id), i) ? d : dflt;
}

int64_t rung_gguf_n_tensors(const rung_gguf *g) {
    return gguf_get_n_tensors(g->ctx);
}

const char *rung_gguf_tensor_name(const rung_gguf *g, int64_t i) {
    return i < 0 || i >= gguf_get_n_tensors(g->ctx) ? NULL : gguf_get_tensor_name(g->ctx, i);
}

bool rung_gguf_tensor_shape(int64_t dims[4], const char **type, const rung_gguf *g, int64_t i) {
    enum ggml_type t = gguf_get_tensor_type(g->ctx, i);
    const int64_t *ne = gguf_get_tensor_ne(g->ctx, i);
    for (int d = 0; d < 4; d++) dims[d] = ne[d];
    *type = ggml_type_name(t);
    return t == GGML_TYPE_F32 || ggml_get_type_traits(t)->to_float;
}

bool rung_gguf_has_tensor(const rung_gguf *g, const char *name) {
    return gguf_find_tensor(g->ctx, name) >= 0;
}

static rung_status read_range(const rung_gguf *g, void *dst, size_t n, size_t off,
                              rung_error *err) {
    char *p = dst;
    while (n > 0) {
        ssize_t r = pread(g->fd, p, n, (off_t)off);
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) return rung_fail_errno(err, "could not read model \"%s\"", g->path);
        if (r == 0)
            return rung_fail(err, RUNG_E_MODEL, "\"%s\" was cut while it was read", g->path);
        p += r;
        off += (size_t)r;
        n -= (size_t)r;
    }
    return RUNG_OK;
}

rung_status rung_gguf_tensor(float **data, int64_t dims[4], const rung_gguf *g, const char *name,
                             rung_error *err) {
    *data = NULL;
    int64_t id = gguf_find_tensor(g->ctx, name);
    if (id < 0) {
        rung_fail(err, RUNG_E_MODEL, "\"%s\" has no tensor %s", g->path, name);
        return RUNG_E_MODEL;
    }
    const int64_t *ne = gguf_get_tensor_ne(g->ctx, id);
    for (int d = 0; d < 4; d++) dims[d] = ne[d];
    int64_t n = ne[0] * ne[1] * ne[2] * ne[3]; /* representable: checked by ggml's reader */
    enum ggml_type type = gguf_get_tensor_type(g->ctx, id);
    const struct ggml_type_traits *traits = ggml_get_type_traits(type);
    if (type != GGML_TYPE_F32 && !traits->to_float)
        return rung_fail(err, RUNG_E_MODEL, "tensor %s of \"%s\" has type %s, not a real number",
                         name, g->path, ggml_type_name(type));
    size_t size = gguf_get_tensor_size(g->ctx, id);
    size_t off = gguf_get_data_offset(g->ctx) + gguf_get_tensor_offset(g->ctx, id);
    float *f = rung_calloc((size_t)n, sizeof *f);
    void *raw = type == GGML_TYPE_F32 ? NULL : rung_alloc(size);
    rung_status st = RUNG_OK;
    if (!f || (type != GGML_TYPE_F32 && !raw)) {
        st = rung_fail(err, RUNG_E_NOMEM, "no memory for tensor %s (%lld numbers)", name,
                       (long long)n);
        goto out;
    }
    RUNG_GOTO(read_range(g, raw ? raw : (void *)f, size, off, err));
    if (raw) traits->to_float(raw, f, n);
    *data = f;
    f = NULL;
out:
    rung_free(raw);
    rung_free(f);
    return st;
}

rung_status rung_gguf_raw(void *data, size_t n, const rung_gguf *g, int64_t i, rung_error *err) {
    if (i < 0 || i >= gguf_get_n_tensors(g->ctx) || n > gguf_get_tensor_size(g->ctx, i)) {
        return rung_fail(err, RUNG_E_MODEL, "\"%s\" has no %zu bytes of tensor %lld", g->path, n,
                         (long long)i);
    }
    return read_range(g, data, n, gguf_get_data_offset(g->ctx) + gguf_get_tensor_offset(g->ctx, i),
                      err);
}

static rung_status map_file(rung_gguf *g, rung_error *err) {
    struct stat sb;
    if (g->map) return RUNG_OK;
    if (fstat(g->fd, &sb) != 0) return rung_fail_errno(err, "could not map \"%s\"", g->path);
    void *p = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_PRIVATE, g->fd, 0);
    if (p == MAP_FAILED) return rung_fail_errno(err, "could not map \"%s\"", g->path);
    g->map = p;
    g->n_map = (size_t)sb.st_size;
    return RUNG_OK;
}

rung_status rung_gguf_view(const void **data, int32_t *type, size_t *row_bytes, int64_t dims[4],
                           rung_gguf *g, const char *name, rung_error *err) {
    int64_t id = gguf_find_tensor(g->ctx, name);
    if (id < 0) return rung_fail(err, RUNG_E_MODEL, "\"%s\" has no tensor %s", g->path, name);
    enum ggml_type t = gguf_get_tensor_type(g->ctx, id);
    if (t != GGML_TYPE_F32 && !ggml_get_type_traits(t)->to_float)
        return rung_fail(err, RUNG_E_MODEL, "tensor %s of \"%s\" has type %s, not a real number",
                         name, g->path, ggml_type_name(t));
    RUNG_TRY(map_file(g, err));
    size_t off = gguf_get_data_offset(g->ctx) + gguf_get_tensor_offset(g->ctx, id);
    if (off + gguf_get_tensor_size(g->ctx, id) > g->n_map)
        return rung_fail(err, RUNG_E_MODEL, "\"%s\" was cut while it was open", g->path);
    for (int d = 0; d < 4; d++) dims[d] = gguf_get_tensor_ne(g->ctx, id)[d];
    *data = g->map + off;
    *type = (int32_t)t;
    *row_bytes = ggml_row_size(t, dims[0]);
    return RUNG_OK;
}

void rung_gguf_to_f32(float *dst, int32_t type, const void *src, int64_t n) {
    if (type == GGML_TYPE_F32)
        memcpy(dst, src, (size_t)n * sizeof *dst);
    else
        ggml_get_type_traits((enum ggml_type)type)->to_float(src, dst, n);
}

/* Writing ------------------------------------------------------------------------------------- */

struct rung_gguf_writer {
    struct gguf_context *ctx;
    void **data; /* one converted block per tensor */
    size_t n, cap;
    rung_error failed; /* the first failed put */
};

rung_gguf_writer *rung_gguf_writer_new(void) {
    rung_gguf_writer *w = rung_calloc(1, sizeof *w);
    if (!w) return NULL;
    w->failed = (rung_error)RUNG_ERROR_INIT;
    w->ctx = gguf_init_empty();
    return w;
}

void rung_gguf_writer_free(rung_gguf_writer *w) {
    if (!w) return;
    gguf_free(w->ctx);
    for (size_t i = 0; i < w->n; i++) rung_free(w->data[i]);
    rung_free(w->data);
    rung_free(w);
}

static bool put_ok(rung_gguf_writer *w, const char *key) {
    if (w->failed.code != RUNG_OK) return false;
    if (key && key[0]) return true;
    rung_fail(&w->failed, RUNG_E_INVAL, "GGUF key is empty");
    return false;
}

void rung_gguf_put_str(rung_gguf_writer *w, const char *key, const char *v) {
    if (put_ok(w, key)) gguf_set_val_str(w->ctx, key, v);
}
void rung_gguf_put_u32(rung_gguf_writer *w, const char *key, uint32_t v) {
    if (put_ok(w, key)) gguf_set_val_u32(w->ctx, key, v);
}
void rung_gguf_put_f32(rung_gguf_writer *w, const char *key, float v) {
    if (put_ok(w, key)) gguf_set_val_f32(w->ctx, key, v);
}
void rung_gguf_put_bool(rung_gguf_writer *w, const char *key, bool v) {
    if (put_ok(w, key)) gguf_set_val_bool(w->ctx, key, v);
}
void rung_gguf_put_arr_str(rung_gguf_writer *w, const char *key, const char *const *v, size_t n) {
    /* ggml's prototype lacks a const; it only reads the pointers */
    if (put_ok(w, key)) gguf_set_arr_str(w->ctx, key, (const char **)(uintptr_t)v, n);
}
void rung_gguf_put_arr_f32(rung_gguf_writer *w, const char *key, const float *v, size_t n) {
    if (put_ok(w, key)) gguf_set_arr_data(w->ctx, key, GGUF_TYPE_FLOAT32, v, n);
}
void rung_gguf_put_arr_i32(rung_gguf_writer *w, const char *key, const int32_t *v, size_t n) {
    if (put_ok(w, key)) gguf_set_arr_data(w->ctx, key, GGUF_TYPE_INT32, v, n);
}
void rung_gguf_put_all(rung_gguf_writer *w, const rung_gguf *g) {
    if (w->failed.code != RUNG_OK) return;
    if (w->n > 0) { /* the file's alignment would move tensors that are already placed */
        rung_fail(&w->failed, RUNG_E_MISUSE, "keys of another file go in before tensors");
        return;
    }
    gguf_set_kv(w->ctx, g->ctx);
}
void rung_gguf_put_remove(rung_gguf_writer *w, const char *key) {
    if (put_ok(w, key)) gguf_remove_key(w->ctx, key);
}

static enum ggml_type ggml_type_of(rung_gguf_type type) {
    static const enum ggml_type types[] = {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16,
                                           GGML_TYPE_Q8_0};
    return types[type];
}

static bool tensor_ok(rung_gguf_writer *w, const char *name, enum ggml_type type, int n_dims,
                      const int64_t *dims) {
    if (n_dims < 1 || n_dims > GGML_MAX_DIMS || strlen(name) >= GGML_MAX_NAME) {
        rung_fail(&w->failed, RUNG_E_INVAL, "tensor %.80s: %d dimensions or too long a name", name,
                  n_dims);
        return false;
    }
    int64_t n = 1;
    for (int d = 0; d < n_dims; d++) {
        if (dims[d] <= 0 || __builtin_mul_overflow(n, dims[d], &n) || n > INT64_MAX / 8) {
            rung_fail(&w->failed, RUNG_E_INVAL, "tensor %s: dimension %d is %lld", name, d,
                      (long long)dims[d]);
            return false;
        }
    }
    if (dims[0] % ggml_blck_size(type) != 0) {
        rung_fail(&w->failed, RUNG_E_INVAL, "tensor %s: rows of %lld do not divide into %s blocks",
                  name, (long long)dims[0], ggml_type_name(type));
        rung_error_hint(&w->failed, "store it as f16");
        return false;
    }
    if (gguf_find_tensor(w->ctx, name) >= 0) {
        rung_fail(&w->failed, RUNG_E_INVAL, "tensor %s was put twice", name);
        return false;
    }
    return true;
}

/* A described tensor and room for its bytes; NULL: remembered as failed. */
static void *place_tensor(struct ggml_tensor *t, rung_gguf_writer *w, const char *name,
                          enum ggml_type type, int n_dims, const int64_t *dims) {
    if (!put_ok(w, name) || !tensor_ok(w, name, type, n_dims, dims)) return NULL;
    memset(t, 0, sizeof *t);
    t->type = type;
    for (int d = 0; d < GGML_MAX_DIMS; d++) t->ne[d] = d < n_dims ? dims[d] : 1;
    t->nb[0] = ggml_type_size(type);
    t->nb[1] = t->nb[0] * (size_t)(t->ne[0] / ggml_blck_size(type));
    for (int d = 2; d < GGML_MAX_DIMS; d++) t->nb[d] = t->nb[d - 1] * (size_t)t->ne[d - 1];
    ggml_set_name(t, name);
    size_t size = ggml_nbytes(t);
    void *raw = rung_alloc(size);
    if (w->n == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 64;
        void **p = rung_realloc(w->data, cap * sizeof *p);
        if (p) {
            w->data = p;
            w->cap = cap;
        }
    }
    if (!raw || w->n == w->cap) {
        rung_free(raw);
        rung_fail(&w->failed, RUNG_E_NOMEM, "no memory for tensor %s (%zu bytes)", name, size);
        return NULL;
    }
    w->data[w->n++] = raw;
    return raw;
}

static void add_tensor(rung_gguf_writer *w, const struct ggml_tensor *t, const void *raw) {
    gguf_add_tensor(w->ctx, t);
    gguf_set_tensor_data(w->ctx, t->name, raw);
}

void rung_gguf_put_tensor(rung_gguf_writer *w, const char *name, rung_gguf_type rtype, int n_dims,
                          const int64_t *dims, const float *data) {
    enum ggml_type type = ggml_type_of(rtype);
    struct ggml_tensor t;
    void *raw = place_tensor(&t, w, name, type, n_dims, dims);
    if (!raw) return;
    int64_t n_rows = t.ne[1] * t.ne[2] * t.ne[3], n = t.ne[0] * n_rows;
    if (type == GGML_TYPE_F32) memcpy(raw, data, ggml_nbytes(&t));
    if (type == GGML_TYPE_F16) ggml_fp32_to_fp16_row(data, raw, n);
    if (type == GGML_TYPE_BF16) ggml_fp32_to_bf16_row(data, raw, n);
    if (type == GGML_TYPE_Q8_0) ggml_quantize_chunk(type, data, raw, 0, n_rows, t.ne[0], NULL);
    add_tensor(w, &t, raw);
}

void rung_gguf_put_copy(rung_gguf_writer *w, const char *name, rung_gguf *g) {
    const void *data;
    int32_t type;
    size_t row_bytes;
    int64_t dims[4];
    struct ggml_tensor t;
    if (!put_ok(w, name)) return;
    if (rung_gguf_view(&data, &type, &row_bytes, dims, g, name, &w->failed) != RUNG_OK) return;
    int n_dims = 4;
    while (n_dims > 1 && dims[n_dims - 1] == 1) n_dims--;
    void *raw = place_tensor(&t, w, name, (enum ggml_type)type, n_dims, dims);
    if (!raw) return;
    memcpy(raw, data, ggml_nbytes(&t));
    add_tensor(w, &t, raw);
}

rung_status rung_gguf_write(rung_gguf_writer *w, const char *path, rung_error *err) {
    if (w->failed.code != RUNG_OK) {
        if (err) *err = w->failed;
        return w->failed.code;
    }
    size_t n_meta = gguf_get_meta_size(w->ctx), align = gguf_get_alignment(w->ctx), n = n_meta;
    for (size_t i = 0; i < w->n; i++)
        n += GGML_PAD(gguf_get_tensor_size(w->ctx, (int64_t)i), align);
    char *all = rung_calloc(n, 1);
    if (!all) return rung_fail(err, RUNG_E_NOMEM, "no memory to write \"%s\" (%zu bytes)", path, n);
    gguf_get_meta_data(w->ctx, all);
    char *p = all + n_meta;
    for (size_t i = 0; i < w->n; i++) {
        size_t size = gguf_get_tensor_size(w->ctx, (int64_t)i);
        memcpy(p, w->data[i], size);
        p += GGML_PAD(size, align);
    }
    rung_status st = rung_file_write(path, all, n, err);
    rung_free(all);
    return st;
}
