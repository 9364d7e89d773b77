/* ORDER BY and LIMIT of a reference, read from its tokens: rows that are equal in its order may
 * stand in any order, and where its LIMIT cuts through such rows another answer is as good. */
#include "verify/sql/sql_order.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct scan { /* what stands at the top level, outside brackets */
    const char *from, *order, *limit, *end;
    const char *terms; /* behind ORDER BY */
    bool compound, distinct;
} scan;

static void scan_top(scan *s, const char *sql) {
    const char *p = sql, *end = sql + strlen(sql);
    sql_token t, before = {0};
    int depth = 0;
    bool seen_select = false;
    *s = (scan){.end = end};
    while ((t = sql_next(&p, end)).kind != SQL_END) {
        if (sql_is(&t, "(")) depth++;
        if (sql_is(&t, ")")) depth--;
        if (sql_is(&t, ";") && depth == 0) {
            s->end = t.p;
            return;
        }
        if (depth == 0 && t.kind == SQL_WORD) {
            bool after_distinct = before.kind == SQL_WORD && sql_is(&before, "distinct");
            bool after_select = before.kind == SQL_WORD && sql_is(&before, "select");
            if (sql_is(&t, "select")) seen_select = true;
            if (sql_is(&t, "distinct") && after_select) s->distinct = true;
            if (sql_is(&t, "from") && seen_select && !s->from && !after_distinct) s->from = t.p;
            if (sql_is(&t, "union") || sql_is(&t, "intersect") || sql_is(&t, "except"))
                s->compound = true;
            if (sql_is(&t, "order") && !s->order) s->order = t.p;
            if (sql_is(&t, "by") && s->order && !s->terms && before.kind == SQL_WORD &&
                sql_is(&before, "order"))
                s->terms = p;
            if (sql_is(&t, "limit") && s->order) s->limit = t.p;
        }
        before = t;
    }
}

/* A term without ASC, DESC, COLLATE name, NULLS FIRST. */
typedef struct term {
    const char *p;
    size_t n;
    int n_tokens;
    sql_token first, last;
} term;

/* The next term before end; false: none is left. */
static bool next_term(term *out, const char **at, const char *end) {
    const char *p = *at;
    int depth = 0;
    bool open = true; /* still inside the expression */
    sql_token t;
    *out = (term){0};
    while ((t = sql_next(&p, end)).kind != SQL_END) {
        if (depth == 0 && sql_is(&t, ",")) break;
        if (sql_is(&t, "(")) depth++;
        if (sql_is(&t, ")")) depth--;
        if (depth == 0 && (sql_is(&t, "asc") || sql_is(&t, "desc") || sql_is(&t, "collate") ||
                           sql_is(&t, "nulls")))
            open = false;
        if (!open) continue;
        if (!out->p) {
            out->p = t.p;
            out->first = t;
        }
        out->last = t;
        out->n = (size_t)(t.p + t.n - out->p);
        out->n_tokens++;
    }
    *at = p;
    return out->p != NULL;
}

/* The text of a name, its quotes taken off. */
static bool same_name(const sql_token *t, const char *name) {
    const char *p = t->p;
    size_t n = (size_t)t->n;
    if (t->kind == SQL_QUOTED && n >= 2) p++, n -= 2;
    return strlen(name) == n && strncasecmp(p, name, n) == 0;
}

/* The one column of the result with that name; -1: none or several. */
static int32_t column_named(const rung_sql_result *r, const sql_token *t) {
    int32_t found = -1;
    for (int32_t c = 0; c < r->n_cols; c++) {
        if (!same_name(t, r->col[c])) continue;
        if (found >= 0) return -1;
        found = c;
    }
    return found;
}

/* The result's column that a term means by itself; -1: it has to be computed. */
static int32_t column_of(const term *t, const rung_sql_result *r, bool only_columns) {
    if (t->n_tokens == 1 && t->first.kind == SQL_NUMBER) {
        long k = strtol(t->first.p, NULL, 10);
        return k >= 1 && k <= r->n_cols ? (int32_t)k - 1 : -1;
    }
    if (t->n_tokens == 1) return column_named(r, &t->first);
    if (!only_columns) return -1;
    if (t->n_tokens == 3 && t->last.kind == SQL_WORD) return column_named(r, &t->last);
    sql_token whole = {SQL_WORD, t->p, (int32_t)t->n, false}; /* count(*): the column's own name */
    return column_named(r, &whole);
}

static void read_limit(sql_order *o, const scan *s) {
    const char *p = s->limit;
    o->limit = -1;
    o->offset = 0;
    if (!p) return;
    (void)sql_next(&p, s->end);
    sql_token n = sql_next(&p, s->end), word = sql_next(&p, s->end), m = sql_next(&p, s->end);
    if (n.kind != SQL_NUMBER) return;
    int64_t first = strtoll(n.p, NULL, 10);
    if (word.kind == SQL_END) {
        o->limit = first;
        return;
    }
    if (m.kind != SQL_NUMBER || sql_next(&p, s->end).kind != SQL_END) return;
    int64_t second = strtoll(m.p, NULL, 10);
    bool comma = sql_is(&word, ",");
    o->limit = comma ? second : first;
    o->offset = comma ? first : second;
}

/* head [, (term) ...] rest: the select list grows before FROM. */
static char *with_terms(rung_arena *a, const char *sql, const char *from, const char *to,
                        const rung_buf *extra) {
    rung_buf b;
    rung_buf_init(&b, 64 << 20);
    const char *cut = from && extra->n > 0 ? from : to;
    rung_buf_append(&b, sql, (size_t)(cut - sql));
    if (extra->n > 0) rung_buf_append(&b, extra->data, extra->n);
    rung_buf_str(&b, " ");
    rung_buf_append(&b, cut, (size_t)(to - cut));
    char *text = b.failed ? NULL : rung_arena_strndup(a, b.data, b.n);
    rung_buf_clear(&b);
    return text;
}

rung_status sql_order_read(sql_order *out, rung_arena *a, const char *sql,
                           const rung_sql_result *gold, rung_error *err) {
    scan s;
    term t;
    rung_buf extra;
    *out = (sql_order){.limit = -1};
    scan_top(&s, sql);
    out->ordered = s.order != NULL && s.terms != NULL;
    if (!out->ordered) return RUNG_OK;
    read_limit(out, &s);
    bool only_columns = s.compound || s.distinct || !s.from, told = true;
    /* a LIMIT before the ORDER BY is no SQL: whoever runs it says so */
    const char *p = s.terms, *end = s.limit && s.limit > s.terms ? s.limit : s.end;
    int32_t n_extra = 0;
    rung_buf_init(&extra, 1 << 20);
    while (told && next_term(&t, &p, end)) {
        int32_t c = column_of(&t, gold, only_columns);
        told = out->n_terms < ORDER_TERMS_MAX && (c >= 0 || !only_columns);
        if (!told) break;
        if (c < 0) {
            rung_buf_str(&extra, ", (");
            rung_buf_append(&extra, t.p, t.n);
            rung_buf_str(&extra, ")");
            c = gold->n_cols + n_extra++;
        }
        out->at[out->n_terms++] = c;
    }
    rung_status st = rung_buf_check(&extra, err);
    if (st == RUNG_OK && told && out->n_terms > 0) {
        out->keys = with_terms(a, sql, s.from, s.end, &extra);
        out->all = with_terms(a, sql, s.from, end, &extra);
        if (!out->keys || !out->all) st = rung_fail(err, RUNG_E_NOMEM, "out of memory");
    }
    rung_buf_clear(&extra);
    return st;
}
