/* JSON in: yyjson, with file and line in every error. */
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#define JSONL_MAX_LINE ((size_t)64 << 20)
#define JSONL_CHUNK    ((size_t)1 << 16)

static void *alc_malloc(void *ctx, size_t n) {
    (void)ctx;
    return rung_alloc(n);
}
static void *alc_realloc(void *ctx, void *p, size_t old, size_t n) {
    (void)ctx;
    (void)old;
    return rung_realloc(p, n);
}
static void alc_free(void *ctx, void *p) {
    (void)ctx;
    rung_free(p);
}
const yyjson_alc rung_json_alc = {alc_malloc, alc_realloc, alc_free, NULL};

struct rung_jsonl {
    int fd;
    bool close_fd, eof;
    char *name;
    size_t max_line;
    int64_t line;
    char *chunk;
    size_t chunk_n, chunk_at;
    rung_buf text;
    yyjson_doc *doc;
};

rung_status rung_jsonl_open(rung_jsonl **out, const char *path, size_t max_line, rung_error *err) {
    *out = NULL;
    bool is_stdin = strcmp(path, "-") == 0;
    rung_jsonl *r = rung_calloc(1, sizeof *r);
    if (!r) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    r->fd = -1;
    r->max_line = max_line ? max_line : JSONL_MAX_LINE;
    rung_buf_init(&r->text, r->max_line);
    r->name = rung_strdup(is_stdin ? "standard input" : path);
    r->chunk = rung_alloc(JSONL_CHUNK);
    if (!r->name || !r->chunk) {
        rung_jsonl_close(r);
        return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    }
    r->close_fd = !is_stdin;
    r->fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0) {
        rung_status st = rung_fail_errno(err, "could not open \"%s\"", path);
        rung_jsonl_close(r);
        return st;
    }
    *out = r;
    return RUNG_OK;
}

void rung_jsonl_close(rung_jsonl *r) {
    if (!r) return;
    if (r->close_fd && r->fd >= 0) close(r->fd);
    yyjson_doc_free(r->doc);
    rung_buf_clear(&r->text);
    rung_free(r->chunk);
    rung_free(r->name);
    rung_free(r);
}

int64_t rung_jsonl_line(const rung_jsonl *r) {
    return r->line;
}

static rung_status refill(rung_jsonl *r, rung_error *err) {
    ssize_t n;
    do {
        n = read(r->fd, r->chunk, JSONL_CHUNK);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return rung_fail_errno(err, "could not read \"%s\"", r->name);
    r->chunk_n = (size_t)n;
    r->chunk_at = 0;
    r->eof = n == 0;
    return RUNG_OK;
}

/* The next line, without its newline, in r->text (failed when over the cap; the rest of an overlong
 * line is skipped).  DONE at the end. */
static rung_status next_line(rung_jsonl *r, rung_error *err) {
    rung_buf_reset(&r->text);
    bool any = false;
    for (;;) {
        if (r->chunk_at == r->chunk_n && !r->eof) RUNG_TRY(refill(r, err));
        if (r->eof) {
            if (!any) return RUNG_DONE;
            break;
        }
        any = true;
        const char *at = r->chunk + r->chunk_at;
        size_t left = r->chunk_n - r->chunk_at;
        const char *nl = memchr(at, '\n', left);
        size_t n = nl ? (size_t)(nl - at) : left;
        rung_buf_append(&r->text, at, n);
        r->chunk_at += nl ? n + 1 : n;
        if (nl) break;
    }
    r->line++;
    return RUNG_OK;
}

static bool is_blank(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (s[i] != ' ' && s[i] != '\t' && s[i] != '\r') return false;
    return true;
}

static rung_status parse_line(yyjson_val **root, rung_jsonl *r, char *text, size_t n,
                              rung_error *err) {
    yyjson_read_err why;
    r->doc = yyjson_read_opts(text, n, YYJSON_READ_NOFLAG, &rung_json_alc, &why);
    if (r->doc) {
        *root = yyjson_doc_get_root(r->doc);
        return RUNG_OK;
    }
    if (why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_fail(err, RUNG_E_FORMAT, "%s:%lld: bad JSON at byte %zu of %zu: %s", r->name,
              (long long)r->line, why.pos + 1, n, why.msg);
    if (why.pos >= n) rung_error_hint(err, "the line is cut short; is the file whole?");
    return RUNG_E_FORMAT;
}

rung_status rung_jsonl_next(yyjson_val **root, rung_jsonl *r, rung_error *err) {
    *root = NULL;
    yyjson_doc_free(r->doc);
    r->doc = NULL;
    for (;;) {
        rung_status st = next_line(r, err);
        if (st != RUNG_OK) return st;
        if (r->text.failed && r->text.over)
            return rung_fail(err, RUNG_E_LIMIT, "%s:%lld: line is longer than %zu bytes", r->name,
                             (long long)r->line, r->max_line);
        if (r->text.failed) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
        char *text = r->text.data;
        size_t n = r->text.n;
        if (r->line == 1 && n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
            text += 3; /* a byte order mark is not data */
            n -= 3;
        }
        if (n == 0 || is_blank(text, n)) continue;
        return parse_line(root, r, text, n, err);
    }
}

rung_status rung_json_load(yyjson_doc **doc, const char *path, rung_error *err) {
    *doc = NULL;
    rung_buf b;
    rung_buf_init(&b, 0);
    rung_status st = rung_file_read(&b, path, err);
    if (st != RUNG_OK) goto out;
    yyjson_read_err why;
    *doc = yyjson_read_opts(b.data, b.n, YYJSON_READ_NOFLAG, &rung_json_alc, &why);
    if (*doc) goto out;
    if (why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION) {
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory");
        goto out;
    }
    size_t line = 1, column = 1, chr = 0;
    yyjson_locate_pos(b.data, b.n, why.pos, &line, &column, &chr);
    st = rung_fail(err, RUNG_E_FORMAT, "%s:%zu:%zu: bad JSON: %s", path, line, column, why.msg);
    if (why.pos >= b.n) rung_error_hint(err, "the file is cut short; is it whole?");
out:
    rung_buf_clear(&b);
    return st;
}

const char *rung_json_str(yyjson_val *obj, const char *key, const char *dflt) {
    yyjson_val *v = yyjson_obj_get(obj, key);
    return yyjson_is_str(v) ? yyjson_get_str(v) : dflt;
}

/* An integer, also when written 3.0; false when v is anything else or does not fit. */
static bool as_i64(int64_t *out, yyjson_val *v) {
    if (yyjson_is_sint(v)) {
        *out = yyjson_get_sint(v);
        return true;
    }
    if (yyjson_is_uint(v) && yyjson_get_uint(v) <= INT64_MAX) {
        *out = (int64_t)yyjson_get_uint(v);
        return true;
    }
    if (yyjson_is_real(v)) {
        double d = yyjson_get_real(v);
        if (d >= -0x1p63 && d < 0x1p63 && d == floor(d)) {
            *out = (int64_t)d;
            return true;
        }
    }
    return false;
}

int64_t rung_json_i64(yyjson_val *obj, const char *key, int64_t dflt) {
    int64_t x;
    return as_i64(&x, yyjson_obj_get(obj, key)) ? x : dflt;
}

double rung_json_f64(yyjson_val *obj, const char *key, double dflt) {
    yyjson_val *v = yyjson_obj_get(obj, key);
    return yyjson_is_num(v) ? yyjson_get_num(v) : dflt;
}

static rung_status bad_member(yyjson_val *v, const char *key, const char *want, rung_error *err) {
    if (!v) return rung_fail(err, RUNG_E_FORMAT, "key \"%s\" is missing", key);
    return rung_fail(err, RUNG_E_FORMAT, "key \"%s\" must be %s, not %s", key, want,
                     yyjson_get_type_desc(v));
}

rung_status rung_json_str_req(const char **out, yyjson_val *obj, const char *key, rung_error *err) {
    yyjson_val *v = yyjson_obj_get(obj, key);
    if (!yyjson_is_str(v)) return bad_member(v, key, "a string", err);
    *out = yyjson_get_str(v);
    return RUNG_OK;
}

rung_status rung_json_i64_req(int64_t *out, yyjson_val *obj, const char *key, rung_error *err) {
    yyjson_val *v = yyjson_obj_get(obj, key);
    if (!as_i64(out, v)) return bad_member(v, key, "an integer", err);
    return RUNG_OK;
}
