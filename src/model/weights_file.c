/* The cache of converted files: made once, under a lock, whole or not at all. What
 * is converted row by row goes through ggml's own to_float and quantise functions. */
#include "model/weights.h"

#include "model/gguf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SLAB_NUMBERS ((int64_t)4 << 20)  /* converted at a time: 16 MB of f32 */
#define DISK_SPARE   ((int64_t)64 << 20) /* left free on the disk */

typedef struct maker {
    struct gguf_context *in, *out;
    const char *data; /* of the source's tensors, mapped */
    rung_out *file;
    rung_weights w;
    off_t at, total;
    const rung_log *log;
} maker;

static rung_status put(maker *m, const void *p, size_t n, rung_error *err) {
    RUNG_TRY(rung_out_write(m->file, p, n, err));
    m->at += (off_t)n;
    return rung_progress(m->log, "MB", m->at >> 20, m->total >> 20, 0, err);
}

void rung_weights_convert(void *to, enum ggml_type type, const float *from, int64_t n_rows,
                          int64_t n) {
    if (type == GGML_TYPE_F32) {
        memcpy(to, from, (size_t)(n_rows * n) * sizeof *from);
    } else if (type == GGML_TYPE_F16) {
        ggml_fp32_to_fp16_row(from, to, n_rows * n);
    } else if (type == GGML_TYPE_BF16) {
        ggml_fp32_to_bf16_row(from, to, n_rows * n);
    } else {
        ggml_quantize_chunk(type, from, to, 0, n_rows, n, NULL);
    }
}

/* Rows of tensor i in slabs: read as f32, write as its new type. */
static rung_status put_converted(maker *m, int64_t i, enum ggml_type to, rung_error *err) {
    enum ggml_type from = gguf_get_tensor_type(m->in, i);
    const int64_t *ne = gguf_get_tensor_ne(m->in, i);
    int64_t n_rows = ne[1] * ne[2] * ne[3], most = SLAB_NUMBERS / ne[0];
    if (most < 1) most = 1;
    size_t in_row = ggml_row_size(from, ne[0]), out_row = ggml_row_size(to, ne[0]);
    const char *src = m->data + gguf_get_tensor_offset(m->in, i);
    float *f = rung_alloc((size_t)(most * ne[0]) * sizeof *f);
    char *out = to == GGML_TYPE_F32 ? NULL : rung_alloc((size_t)most * out_row);
    rung_status st = RUNG_OK;
    if (!f || (to != GGML_TYPE_F32 && !out)) {
        st = rung_fail(err, RUNG_E_NOMEM, "no memory to convert tensor %s",
                       gguf_get_tensor_name(m->in, i));
    }
    for (int64_t r = 0; r < n_rows && st == RUNG_OK; r += most) {
        int64_t rows = n_rows - r < most ? n_rows - r : most;
        const char *p = src + (size_t)r * in_row;
        if (from == GGML_TYPE_F32) {
            memcpy(f, p, (size_t)rows * in_row);
        } else {
            ggml_get_type_traits(from)->to_float(p, f, rows * ne[0]);
        }
        if (out) rung_weights_convert(out, to, f, rows, ne[0]);
        st = put(m, out ? (void *)out : (void *)f, (size_t)rows * out_row, err);
    }
    rung_free(f);
    rung_free(out);
    return st;
}

static rung_status put_tensors(maker *m, rung_error *err) {
    static const char zero[256] = {0};
    size_t align = gguf_get_alignment(m->out);
    for (int64_t i = 0; i < gguf_get_n_tensors(m->in); i++) {
        enum ggml_type from = gguf_get_tensor_type(m->in, i),
                       to = rung_weights_target(m->in, i, m->w);
        if (to == from) {
            RUNG_TRY(put(m, m->data + gguf_get_tensor_offset(m->in, i),
                         gguf_get_tensor_size(m->in, i), err));
        } else {
            RUNG_TRY(put_converted(m, i, to, err));
        }
        size_t n = gguf_get_tensor_size(m->out, i), rest = GGML_PAD(n, align) - n;
        for (; rest > 0; rest -= rest < sizeof zero ? rest : sizeof zero) {
            RUNG_TRY(put(m, zero, rest < sizeof zero ? rest : sizeof zero, err));
        }
    }
    return RUNG_OK;
}

/* Keys and the table of tensors. general.file_type stays the source's: it says what the weights
 * are, not how they lie here. */
static rung_status put_head(maker *m, const char *hash, rung_error *err) {
    m->out = gguf_init_empty();
    gguf_set_kv(m->out, m->in);
    gguf_set_val_str(m->out, "rung.weights.source", hash);
    gguf_set_val_str(m->out, "rung.weights.type", rung_weights_name(m->w));
    m->total = 0;
    for (int64_t i = 0; i < gguf_get_n_tensors(m->in); i++) {
        struct ggml_tensor t = {.type = gguf_get_tensor_type(m->in, i)};
        memcpy(t.ne, gguf_get_tensor_ne(m->in, i), sizeof t.ne);
        t.nb[0] = ggml_type_size(t.type);
        t.nb[1] = ggml_row_size(t.type, t.ne[0]);
        for (int d = 2; d < GGML_MAX_DIMS; d++) t.nb[d] = t.nb[d - 1] * (size_t)t.ne[d - 1];
        ggml_set_name(&t, gguf_get_tensor_name(m->in, i));
        gguf_add_tensor(m->out, &t);
        gguf_set_tensor_type(m->out, t.name, rung_weights_target(m->in, i, m->w));
        m->total += (off_t)GGML_PAD(gguf_get_tensor_size(m->out, i), gguf_get_alignment(m->out));
    }
    size_t n = gguf_get_meta_size(m->out);
    m->total += (off_t)n;
    void *head = rung_alloc(n);
    if (!head) return rung_fail(err, RUNG_E_NOMEM, "no memory to convert a model");
    gguf_get_meta_data(m->out, head);
    rung_status st = put(m, head, n, err);
    rung_free(head);
    return st;
}

static rung_status check_space(const maker *m, const char *folder, rung_error *err) {
    struct statvfs v;
    if (statvfs(folder, &v) != 0) return RUNG_OK; /* the write will tell */
    int64_t left = (int64_t)v.f_bavail * (int64_t)v.f_frsize;
    if (left >= (int64_t)m->total + DISK_SPARE) return RUNG_OK;
    rung_fail(err, RUNG_E_FULL, "weights as %s need %.2f GB in \"%s\", where %.2f GB are free",
              rung_weights_name(m->w), (double)m->total / 1e9, folder, (double)left / 1e9);
    return rung_error_hint(err, "set XDG_CACHE_HOME to another disk, or use --weights as-is");
}

static rung_status map_source(maker *m, void **map, size_t *n_map, const char *path,
                              rung_error *err) {
    struct stat sb;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &sb) != 0) {
        rung_fail_errno(err, "could not open model \"%s\"", path);
        if (fd >= 0) close(fd);
        return err ? err->code : RUNG_E_IO;
    }
    *n_map = (size_t)sb.st_size;
    *map = mmap(NULL, *n_map, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (*map == MAP_FAILED) {
        *map = NULL;
        return rung_fail_errno(err, "could not map model \"%s\"", path);
    }
    m->in = gguf_init_from_file(path, (struct gguf_init_params){.no_alloc = true});
    if (!m->in) return rung_fail(err, RUNG_E_MODEL, "\"%s\" is not a valid GGUF file", path);
    m->data = (const char *)*map + gguf_get_data_offset(m->in);
    return RUNG_OK;
}

static rung_status make(const char *at, const char *folder, const char *path, const char *hash,
                        rung_weights w, const rung_log *log, rung_error *err) {
    maker m = {.w = w, .log = log};
    void *map = NULL;
    size_t n_map = 0;
    rung_status st = RUNG_OK;
    RUNG_GOTO(map_source(&m, &map, &n_map, path, err));
    RUNG_GOTO(rung_out_open(&m.file, at, err));
    RUNG_GOTO(put_head(&m, hash, err));
    RUNG_GOTO(check_space(&m, folder, err));
    RUNG_GOTO(put_tensors(&m, err));
out:
    if (st == RUNG_OK)
        st = rung_out_commit(m.file, err);
    else
        rung_out_discard(m.file);
    if (m.in) gguf_free(m.in);
    if (m.out) gguf_free(m.out);
    if (map) munmap(map, n_map);
    return st;
}

/* Whole, and made of this source. */
static bool usable(const char *path, const char *hash, rung_weights w) {
    rung_gguf *g = NULL;
    if (access(path, R_OK) != 0 || rung_gguf_open(&g, path, NULL) != RUNG_OK) return false;
    bool ok = strcmp(rung_gguf_str(g, "rung.weights.source", ""), hash) == 0 &&
              strcmp(rung_gguf_str(g, "rung.weights.type", ""), rung_weights_name(w)) == 0;
    rung_gguf_free(g);
    return ok;
}

/* One conversion at a time in the folder; the lock file stays. */
static rung_status lock_folder(int *fd, const rung_buf *folder, rung_error *err) {
    rung_buf name;
    rung_buf_init(&name, 8192);
    rung_buf_printf(&name, "%s/lock", folder->data);
    *fd = open(name.data, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    rung_status st = RUNG_OK;
    if (*fd < 0) st = rung_fail_errno(err, "could not create \"%s\"", name.data);
    while (st == RUNG_OK && flock(*fd, LOCK_EX) != 0) {
        if (errno != EINTR) st = rung_fail_errno(err, "could not lock \"%s\"", name.data);
    }
    rung_buf_clear(&name);
    return st;
}

static rung_status make_locked(const char *at, const char *path, const char *hash, rung_weights w,
                               const rung_log *log, rung_error *err) {
    rung_buf folder;
    int fd = -1;
    rung_buf_init(&folder, 8192);
    rung_buf_append(&folder, at, (size_t)(strrchr(at, '/') - at));
    rung_status st = lock_folder(&fd, &folder, err);
    if (st == RUNG_OK && !usable(at, hash, w)) { /* else another process has made it meanwhile */
        rung_event(log, RUNG_INFO, "weights.make", RUNG_S("type", rung_weights_name(w)),
                   RUNG_S("model", path), RUNG_S("path", at));
        st = make(at, folder.data, path, hash, w, log, err);
    }
    if (fd >= 0) close(fd);
    if ((st == RUNG_E_FULL || st == RUNG_E_IO) && err && !err->hint[0]) {
        rung_error_hint(err, "set XDG_CACHE_HOME to a folder with room that can be written, or use "
                             "--weights as-is");
    }
    rung_buf_clear(&folder);
    return st;
}

rung_status rung_weights_file_of(rung_buf *out, const char *path, const char *hash, rung_weights w,
                                 const rung_log *log, rung_error *err) {
    rung_weights_fit fit[RUNG_WEIGHTS_COUNT];
    if ((unsigned)w >= RUNG_WEIGHTS_AUTO) {
        return rung_fail(err, RUNG_E_MISUSE, "no type of weights: %d", (int)w);
    }
    RUNG_TRY(rung_weights_fits_of(fit, path, hash, err));
    if (!fit[w].changes) {
        rung_buf_str(out, path);
        return rung_buf_check(out, err);
    }
    size_t n = out->n;
    RUNG_TRY(rung_weights_path(out, hash, w, err));
    if (usable(out->data + n, hash, w)) return RUNG_OK;
    return make_locked(out->data + n, path, hash, w, log, err);
}

rung_status rung_weights_file(rung_buf *out, const char *path, rung_weights w, const rung_log *log,
                              rung_error *err) {
    char hash[33];
    RUNG_TRY(rung_hash_file(hash, path, err));
    return rung_weights_file_of(out, path, hash, w, log, err);
}
