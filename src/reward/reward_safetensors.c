/* safetensors: u64 length of the header, the header as JSON (name -> dtype, shape, data_offsets),
 * the data. Every size is checked against the file before it is used; only what is asked for is
 * read. */
#include "reward/reward_safetensors.h"

#include "base/json.h"
#include "base/names.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_MAX = 100 << 20, NUMBERS_MAX = 1 << 28, NEAR_MAX = 4096 };

typedef struct part { /* one file, open */
    char path[1024];
    int fd;
    int64_t start, n_data;
    yyjson_doc *doc;
} part;

struct safetensors {
    char path[1024];
    yyjson_doc *index; /* NULL: one file */
    part one;
};

static void part_close(part *p) {
    if (p->fd >= 0) close(p->fd);
    yyjson_doc_free(p->doc);
    p->fd = -1;
    p->doc = NULL;
}

static rung_status bad_file(const char *path, const char *why, rung_error *err) {
    rung_fail(err, RUNG_E_FORMAT, "\"%s\" is not a whole safetensors file: %s", path, why);
    return rung_error_hint(err, "fetch it again; a .bin or .pt file must be converted first");
}

static rung_status read_at(void *to, size_t n, const part *p, int64_t at, rung_error *err) {
    char *c = to;
    while (n > 0) {
        ssize_t r = pread(p->fd, c, n, (off_t)at);
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) return rung_fail_errno(err, "could not read \"%s\"", p->path);
        if (r == 0) return bad_file(p->path, "cut while it was read", err);
        c += r;
        at += r;
        n -= (size_t)r;
    }
    return RUNG_OK;
}

static rung_status read_header(part *p, int64_t n_file, rung_error *err) {
    unsigned char b[8];
    uint64_t n = 0;
    if (n_file < 8) return bad_file(p->path, "shorter than its header's length", err);
    RUNG_TRY(read_at(b, 8, p, 0, err));
    for (int i = 7; i >= 0; i--) n = n << 8 | b[i];
    if (n < 2 || n > HEADER_MAX || (int64_t)n > n_file - 8)
        return bad_file(p->path, "its header is longer than the file", err);
    p->start = 8 + (int64_t)n;
    p->n_data = n_file - p->start;
    char *text = rung_alloc((size_t)n);
    if (!text)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for a header of %llu bytes",
                         (unsigned long long)n);
    rung_status st = read_at(text, (size_t)n, p, 8, err);
    if (st == RUNG_OK) {
        p->doc = yyjson_read_opts(text, (size_t)n, 0, &rung_json_alc, NULL);
        if (!p->doc || !yyjson_is_obj(yyjson_doc_get_root(p->doc)))
            st = bad_file(p->path, "its header is no JSON object", err);
    }
    rung_free(text);
    return st;
}

static rung_status part_open(part *p, const char *path, rung_error *err) {
    struct stat sb;
    *p = (part){.fd = -1};
    if (snprintf(p->path, sizeof p->path, "%s", path) >= (int)sizeof p->path)
        return rung_fail(err, RUNG_E_LIMIT, "too long a path: \"%.80s...\"", path);
    p->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (p->fd < 0 || fstat(p->fd, &sb) != 0)
        return rung_fail_errno(err, "could not open \"%s\"", path);
    return read_header(p, sb.st_size, err);
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool is_folder(const char *path) {
    struct stat sb;
    return stat(path, &sb) == 0 && S_ISDIR(sb.st_mode);
}

static rung_status resolve(char *at, size_t n_at, const char *path, rung_error *err) {
    static const char *const names[] = {"model.safetensors.index.json", "model.safetensors"};
    if (strlen(path) + 32 >= n_at)
        return rung_fail(err, RUNG_E_LIMIT, "too long a path: \"%.80s...\"", path);
    snprintf(at, n_at, "%s", path);
    if (!is_folder(path)) return RUNG_OK;
    for (int i = 0; i < 2; i++) {
        snprintf(at, n_at, "%s/%s", path, names[i]);
        if (access(at, R_OK) == 0) return RUNG_OK;
    }
    return rung_fail(err, RUNG_E_NOT_FOUND, "folder \"%s\" holds neither %s nor %s", path, names[1],
                     names[0]);
}

rung_status safetensors_open(safetensors **out, const char *path, rung_error *err) {
    *out = NULL;
    safetensors *s = rung_calloc(1, sizeof *s);
    if (!s) return rung_fail(err, RUNG_E_NOMEM, "no memory to open \"%s\"", path);
    s->one.fd = -1;
    rung_status st = resolve(s->path, sizeof s->path, path, err);
    if (st == RUNG_OK && ends_with(s->path, ".json")) {
        st = rung_json_load(&s->index, s->path, err);
        if (st == RUNG_OK &&
            !yyjson_is_obj(yyjson_obj_get(yyjson_doc_get_root(s->index), "weight_map")))
            st = rung_fail(err, RUNG_E_FORMAT, "\"%s\" has no weight_map", s->path);
    } else if (st == RUNG_OK) {
        st = part_open(&s->one, s->path, err);
    }
    if (st == RUNG_OK)
        *out = s;
    else
        safetensors_close(s);
    return st;
}

void safetensors_close(safetensors *s) {
    if (!s) return;
    part_close(&s->one);
    yyjson_doc_free(s->index);
    rung_free(s);
}

/* The object whose keys are the tensors' names. */
static yyjson_val *names_of(const safetensors *s) {
    yyjson_val *root = yyjson_doc_get_root(s->index ? s->index : s->one.doc);
    return s->index ? yyjson_obj_get(root, "weight_map") : root;
}

bool safetensors_has(const safetensors *s, const char *name) {
    return yyjson_obj_get(names_of(s), name) != NULL;
}

static rung_status not_there(const safetensors *s, const char *name, rung_error *err) {
    const char *list[NEAR_MAX];
    size_t i, max, n = 0;
    yyjson_val *key, *val;
    yyjson_obj_foreach(names_of(s), i, max, key, val) {
        (void)val;
        if (n < NEAR_MAX) list[n++] = yyjson_get_str(key);
    }
    const char *near = rung_nearest(name, list, n);
    rung_fail(err, RUNG_E_NOT_FOUND, "\"%s\" has no tensor %s", s->path, name);
    return near ? rung_error_hint(err, "did you mean %s?", near)
                : rung_error_hint(err, "--head NAME[,NAME] says what the head's layers are called");
}

typedef struct place { /* of a tensor */
    int64_t begin, n_bytes, rows, columns;
    int32_t size; /* bytes of a number */
    char dtype[8];
} place;

static int32_t size_of(const char *dtype) {
    static const struct {
        const char *name;
        int32_t size;
    } types[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, dtype) == 0) return types[i].size;
    return 0;
}

static rung_status bad_tensor(const part *p, const char *name, const char *why, rung_error *err) {
    return rung_fail(err, RUNG_E_FORMAT, "\"%s\": tensor %s: %s", p->path, name, why);
}

static rung_status locate(place *out, const part *p, const char *name, rung_error *err) {
    yyjson_val *t = yyjson_obj_get(yyjson_doc_get_root(p->doc), name);
    yyjson_val *shape = yyjson_obj_get(t, "shape"), *at = yyjson_obj_get(t, "data_offsets");
    const char *dtype = yyjson_get_str(yyjson_obj_get(t, "dtype"));
    size_t n_dims = yyjson_arr_size(shape);
    if (!dtype || !yyjson_is_arr(shape) || yyjson_arr_size(at) != 2)
        return bad_tensor(p, name, "no dtype, shape and data_offsets", err);
    *out = (place){.rows = 1, .size = size_of(dtype)};
    snprintf(out->dtype, sizeof out->dtype, "%s", dtype);
    if (!out->size) return bad_tensor(p, name, "its type is none of F64, F32, F16, BF16", err);
    if (n_dims < 1 || n_dims > 2) return bad_tensor(p, name, "not one or two dimensions", err);
    int64_t d[2] = {1, 1};
    for (size_t i = 0; i < n_dims; i++) {
        yyjson_val *v = yyjson_arr_get(shape, i);
        d[i] = yyjson_is_uint(v) ? (int64_t)yyjson_get_uint(v) : 0;
        if (d[i] < 1 || d[i] > NUMBERS_MAX) return bad_tensor(p, name, "an impossible shape", err);
    }
    out->rows = n_dims == 2 ? d[0] : 1;
    out->columns = n_dims == 2 ? d[1] : d[0];
    if (out->rows > NUMBERS_MAX / out->columns)
        return bad_tensor(p, name, "too large for a head", err);
    yyjson_val *b = yyjson_arr_get(at, 0), *e = yyjson_arr_get(at, 1);
    int64_t begin = yyjson_is_uint(b) ? (int64_t)yyjson_get_uint(b) : -1;
    int64_t end = yyjson_is_uint(e) ? (int64_t)yyjson_get_uint(e) : -1;
    out->n_bytes = out->rows * out->columns * out->size;
    if (begin < 0 || end < begin || end > p->n_data)
        return bad_tensor(p, name, "its data lie beyond the end of the file", err);
    if (end - begin != out->n_bytes)
        return bad_tensor(p, name, "its data are not as long as its shape and type say", err);
    out->begin = p->start + begin;
    return RUNG_OK;
}

/* IEEE half to float: normal, subnormal, infinite and NaN. */
static float from_half(uint16_t h) {
    int e = h >> 10 & 31, m = h & 1023;
    float v = e == 0    ? ldexpf((float)m, -24)
              : e == 31 ? (m ? NAN : INFINITY)
                        : ldexpf((float)(m + 1024), e - 25);
    return h & 0x8000 ? -v : v;
}

static float number(const unsigned char *b, const place *t) {
    uint64_t bits = 0;
    for (int32_t i = t->size - 1; i >= 0; i--) bits = bits << 8 | b[i];
    if (t->size == 8) {
        double v;
        memcpy(&v, &bits, sizeof v);
        return (float)v;
    }
    if (t->size == 2 && t->dtype[0] == 'F') return from_half((uint16_t)bits);
    uint32_t word = (uint32_t)(t->size == 2 ? bits << 16 : bits);
    float v;
    memcpy(&v, &word, sizeof v);
    return v;
}

static rung_status convert(float **data, const part *p, const place *t, const char *name,
                           rung_error *err) {
    int64_t n = t->rows * t->columns;
    unsigned char *raw = rung_alloc((size_t)t->n_bytes);
    float *f = rung_alloc((size_t)n * sizeof *f);
    rung_status st = raw && f ? read_at(raw, (size_t)t->n_bytes, p, t->begin, err)
                              : rung_fail(err, RUNG_E_NOMEM, "no memory for tensor %s", name);
    for (int64_t i = 0; i < n && st == RUNG_OK; i++) {
        f[i] = number(raw + i * t->size, t);
        if (!isfinite(f[i])) st = bad_tensor(p, name, "a value that is not finite", err);
    }
    rung_free(raw);
    if (st == RUNG_OK)
        *data = f;
    else
        rung_free(f);
    return st;
}

static rung_status tensor_in(float **data, int64_t *rows, int64_t *columns, const part *p,
                             const char *name, rung_error *err) {
    place t;
    RUNG_TRY(locate(&t, p, name, err));
    *rows = t.rows;
    *columns = t.columns;
    return convert(data, p, &t, name, err);
}

rung_status safetensors_tensor(float **data, int64_t *rows, int64_t *columns, const safetensors *s,
                               const char *name, rung_error *err) {
    char path[2100];
    *data = NULL;
    if (!safetensors_has(s, name)) return not_there(s, name, err);
    if (!s->index) return tensor_in(data, rows, columns, &s->one, name, err);
    const char *file = yyjson_get_str(yyjson_obj_get(names_of(s), name));
    if (!file || !*file || strchr(file, '/'))
        return rung_fail(err, RUNG_E_FORMAT, "\"%s\": tensor %s lies in no file beside it", s->path,
                         name);
    const char *slash = strrchr(s->path, '/');
    snprintf(path, sizeof path, "%.*s%s", slash ? (int)(slash + 1 - s->path) : 0, s->path, file);
    part p;
    rung_status st = part_open(&p, path, err);
    if (st == RUNG_OK && !yyjson_obj_get(yyjson_doc_get_root(p.doc), name))
        st = bad_tensor(&p, name, "the index says it is here, the file does not", err);
    if (st == RUNG_OK) st = tensor_in(data, rows, columns, &p, name, err);
    part_close(&p);
    return st;
}
