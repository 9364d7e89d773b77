/* Growable bytes with a declared cap. */
#include "base/utf8.h"
#include "rung/base.h"

#include <stdio.h>
#include <string.h>

#define BUF_DEFAULT_MAX ((size_t)1 << 30)
#define BUF_FIRST       ((size_t)64)

void rung_buf_init(rung_buf *b, size_t max_bytes) {
    memset(b, 0, sizeof *b);
    b->max = max_bytes ? max_bytes : BUF_DEFAULT_MAX;
}

void rung_buf_clear(rung_buf *b) {
    rung_free(b->data);
    rung_buf_init(b, b->max);
}

void rung_buf_reset(rung_buf *b) {
    b->n = 0;
    b->failed = b->over = false;
    if (b->data) b->data[0] = '\0';
}

/* Room for n more bytes and the NUL; false sets failed. */
static bool buf_grow(rung_buf *b, size_t n) {
    if (b->failed) return false;
    if (n > b->max || b->n > b->max - n) {
        b->failed = b->over = true;
        return false;
    }
    size_t need = b->n + n + 1;
    if (need <= b->cap) return true;
    size_t cap = b->cap ? b->cap : BUF_FIRST;
    while (cap < need) cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap > b->max && need <= b->max) cap = b->max; /* never hold much more than the cap */
    if (cap < need) cap = need;
    char *p = rung_realloc(b->data, cap);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->data = p;
    b->cap = cap;
    return true;
}

void rung_buf_append(rung_buf *b, const void *p, size_t n) {
    if (!buf_grow(b, n)) return;
    if (n) memcpy(b->data + b->n, p, n);
    b->n += n;
    b->data[b->n] = '\0';
}

void rung_buf_str(rung_buf *b, const char *s) {
    rung_buf_append(b, s, strlen(s));
}

void rung_buf_printf(rung_buf *b, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    char small[256];
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->failed = true;
    } else if ((size_t)n < sizeof small) {
        rung_buf_append(b, small, (size_t)n);
    } else if (buf_grow(b, (size_t)n)) {
        vsnprintf(b->data + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

static void json_escape(rung_buf *b, unsigned char c) {
    static const char *const names[0x20] = {
        ['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f", ['\r'] = "\\r"};
    if (c == '"') {
        rung_buf_append(b, "\\\"", 2);
    } else if (c == '\\') {
        rung_buf_append(b, "\\\\", 2);
    } else if (names[c]) {
        rung_buf_append(b, names[c], 2);
    } else {
        rung_buf_printf(b, "\\u%04x", c);
    }
}

void rung_buf_json_str(rung_buf *b, const char *s, size_t n) {
    rung_buf_append(b, "\"", 1);
    size_t plain = 0, i = 0; /* s[plain..i) needs no change */
    while (i < n) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            i++;
            continue;
        }
        size_t n_bad = 0, n_good = c < 0x80 ? 0 : rung_utf8_len(s + i, n - i, &n_bad);
        if (n_good) {
            i += n_good;
            continue;
        }
        rung_buf_append(b, s + plain, i - plain);
        if (c < 0x80) {
            json_escape(b, c);
            i++;
        } else {
            rung_buf_append(b, "\xEF\xBF\xBD", 3);
            i += n_bad;
        }
        plain = i;
    }
    rung_buf_append(b, s + plain, n - plain);
    rung_buf_append(b, "\"", 1);
}

char *rung_buf_take(rung_buf *b, size_t *n) {
    if (!b->failed && !b->data) buf_grow(b, 0);
    char *p = NULL;
    if (!b->failed) {
        p = b->data;
        p[b->n] = '\0';
        if (n) *n = b->n;
    } else {
        rung_free(b->data);
        if (n) *n = 0;
    }
    rung_buf_init(b, b->max);
    return p;
}

rung_status rung_buf_check(const rung_buf *b, rung_error *err) {
    if (!b->failed) return RUNG_OK;
    if (b->over)
        return rung_fail(err, RUNG_E_LIMIT, "text is longer than its cap of %zu bytes", b->max);
    return rung_fail(err, RUNG_E_NOMEM, "out of memory");
}
