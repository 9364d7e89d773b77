/* libFuzzer target of the formats: the first byte names one, the rest is a row. What is read must
 * be written, and what was written once is written again the same, by itself and by way of rung's
 * own form. */
#include "format/row.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

typedef struct turn {
    rung_arena *a;
    yyjson_doc *doc;
    rung_rated r;
} turn;

/* Reads text as one row of f; false: it is none. */
static bool read_row(turn *t, const rung_format *f, const char *text, size_t n) {
    rung_format_opts o = RUNG_FORMAT_OPTS_INIT;
    rung_error err = RUNG_ERROR_INIT;
    t->a = rung_arena_new(64 << 20);
    t->doc = yyjson_read(text, n, 0);
    t->r = (rung_rated)RUNG_RATED_INIT;
    yyjson_val *root = yyjson_doc_get_root(t->doc);
    if (!yyjson_is_obj(root)) return false;
    for (yyjson_val *v = root; v < unsafe_yyjson_get_next(root); v++)
        if (yyjson_is_str(v) && memchr(yyjson_get_str(v), '\0', yyjson_get_len(v))) return false;
    return f->read(&t->r, root, NULL, t->a, &o, &err) == RUNG_OK;
}

static void end_turn(turn *t) {
    yyjson_doc_free(t->doc);
    rung_arena_free(t->a);
}

static bool write_row(rung_buf *b, const rung_format *f, const rung_rated *r) {
    int64_t rows;
    return rung_format_write(b, &rows, f, r, NULL, 1, NULL, NULL) == RUNG_OK;
}

/* f's text -> record -> f's text again; by way of `through` when it is not NULL. */
static bool once(rung_buf *out, const rung_format *f, const rung_format *through, const char *text,
                 size_t n) {
    turn t, u;
    rung_buf own;
    bool ok = read_row(&t, f, text, n);
    if (ok && through) {
        rung_buf_init(&own, 0);
        if (!write_row(&own, through, &t.r)) abort(); /* it holds everything */
        if (!read_row(&u, through, own.data, own.n)) abort();
        ok = write_row(out, f, &u.r);
        end_turn(&u);
        rung_buf_clear(&own);
    } else if (ok) {
        ok = write_row(out, f, &t.r);
    }
    end_turn(&t);
    return ok;
}

static bool same(const rung_buf *a, const rung_buf *b) {
    yyjson_doc *x = yyjson_read(a->data, a->n, 0), *y = yyjson_read(b->data, b->n, 0);
    bool is = x && y && yyjson_equals(yyjson_doc_get_root(x), yyjson_doc_get_root(y));
    yyjson_doc_free(x);
    yyjson_doc_free(y);
    return is;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    size_t n_formats = 0;
    while (rung_format_at(n_formats)) n_formats++;
    if (n < 2) return 0;
    const rung_format *f = rung_format_at(data[0] % n_formats), *own = rung_format_find("jsonl");
    rung_buf first, again, around;
    rung_buf_init(&first, 0);
    rung_buf_init(&again, 0);
    rung_buf_init(&around, 0);
    if (once(&first, f, NULL, (const char *)data + 1, n - 1)) {
        if (!once(&again, f, NULL, first.data, first.n) || !same(&first, &again)) abort();
        if (!once(&around, f, own, first.data, first.n) || !same(&first, &around)) abort();
    }
    rung_buf_clear(&first);
    rung_buf_clear(&again);
    rung_buf_clear(&around);
    return 0;
}
