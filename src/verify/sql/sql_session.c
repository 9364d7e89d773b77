/* What a policy sees of a result, and the queries of one rollout. */
#include "verify/sql/sql_lex.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CELL_SHOWN = 200, QUERIES = 10, ROWS_SHOWN = 3, SEEN_MAX = 64 };

/* At most CELL_SHOWN bytes, on one line. */
static void show_text(rung_buf *out, const char *s, int32_t n) {
    int32_t k = 0;
    for (; k < n && k < CELL_SHOWN; k++) {
        char c = s[k];
        if (c == '\n')
            rung_buf_str(out, "\\n");
        else if (c == '\t')
            rung_buf_str(out, " ");
        else if ((unsigned char)c < ' ' || c == 0x7f)
            rung_buf_str(out, "?");
        else
            rung_buf_append(out, &c, 1);
    }
    while (k < n && ((unsigned char)s[k] & 0xc0) == 0x80) rung_buf_append(out, &s[k++], 1);
    if (k < n) rung_buf_printf(out, "... (%d bytes)", n);
}

static void show_real(rung_buf *out, double d) {
    char text[40];
    snprintf(text, sizeof text, "%.15g", d);
    rung_buf_str(out, text);
    if (isfinite(d) && !strpbrk(text, ".eE")) rung_buf_str(out, ".0");
}

static void show_value(rung_buf *out, const rung_sql_value *v) {
    switch (v->type) {
    case RUNG_SQL_NULL: rung_buf_str(out, "NULL"); break;
    case RUNG_SQL_INT: rung_buf_printf(out, "%lld", (long long)v->i); break;
    case RUNG_SQL_REAL: show_real(out, v->d); break;
    case RUNG_SQL_TEXT: show_text(out, v->s, v->n); break;
    case RUNG_SQL_BLOB:
        rung_buf_str(out, "x'");
        for (int32_t i = 0; i < v->n && i < CELL_SHOWN / 2; i++)
            rung_buf_printf(out, "%02x", (unsigned char)v->s[i]);
        rung_buf_str(out, v->n > CELL_SHOWN / 2 ? "...'" : "'");
        break;
    }
}

void rung_sql_render(rung_buf *out, const rung_sql_result *r, int32_t n_rows) {
    if (r->outcome != RUNG_SQL_OK) {
        rung_buf_printf(out, "%s", rung_sql_outcome_text(r->outcome));
        if (r->error[0]) rung_buf_printf(out, ": %s", r->error);
        rung_buf_str(out, "\n");
        return;
    }
    for (int32_t c = 0; c < r->n_cols; c++) {
        if (c > 0) rung_buf_str(out, " | ");
        show_text(out, r->col[c], (int32_t)strlen(r->col[c]));
    }
    rung_buf_str(out, "\n");
    int32_t n = n_rows > 0 && n_rows < r->n_rows ? n_rows : r->n_rows;
    for (int32_t k = 0; k < n; k++) {
        for (int32_t c = 0; c < r->n_cols; c++) {
            if (c > 0) rung_buf_str(out, " | ");
            show_value(out, &r->cell[(size_t)k * (size_t)r->n_cols + (size_t)c]);
        }
        rung_buf_str(out, "\n");
    }
    if (r->n_rows == 0) rung_buf_str(out, "(no rows)\n");
    if (n < r->n_rows || r->truncated)
        rung_buf_printf(out, "(%d of %s%d rows)\n", n, r->truncated ? "more than " : "", r->n_rows);
}

struct rung_sql_session {
    rung_sql *s;
    char *file, *script;
    rung_sql_db db;
    int32_t n_max, n_rows;
    rung_sql_tally n;
    uint64_t seen[SEEN_MAX];
    int32_t n_seen;
    rung_arena *a;
};

rung_status rung_sql_session_new(rung_sql_session **out, rung_sql *s, const rung_sql_db *db,
                                 int32_t n_max, int32_t n_rows, rung_error *err) {
    char hash[33];
    *out = NULL;
    RUNG_TRY(rung_sql_db_hash(hash, s, db, err)); /* a database that is not there is told now */
    rung_sql_session *t = rung_calloc(1, sizeof *t);
    if (!t) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    t->s = s;
    t->n_max = n_max > 0 ? n_max : QUERIES;
    t->n_rows = n_rows > 0 ? n_rows : ROWS_SHOWN;
    t->a = rung_arena_new(0);
    t->file = db->file ? rung_strdup(db->file) : NULL;
    t->script = db->script ? rung_strdup(db->script) : NULL;
    t->db = (rung_sql_db){t->file, t->script};
    if (!t->a || (!t->file && !t->script)) {
        rung_sql_session_free(t);
        return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    }
    *out = t;
    return RUNG_OK;
}

void rung_sql_session_free(rung_sql_session *t) {
    if (!t) return;
    rung_arena_free(t->a);
    rung_free(t->file);
    rung_free(t->script);
    rung_free(t);
}

rung_sql_tally rung_sql_session_tally(const rung_sql_session *t) {
    return t->n;
}

/* Does it read a table? SELECT 1 explores nothing (learning.md 11.8). */
static bool reads_table(const char *sql) {
    const char *p = sql, *end = sql + strlen(sql);
    for (sql_token t = sql_next(&p, end); t.kind != SQL_END; t = sql_next(&p, end))
        if (sql_is(&t, "from") || sql_is(&t, "pragma")) return true;
    return false;
}

static rung_status count_distinct(rung_sql_session *t, const char *sql, rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, 64 << 20);
    rung_sql_normal(&b, sql);
    rung_status st = rung_buf_check(&b, err);
    uint64_t h = st == RUNG_OK && b.n > 0 ? rung_hash64(b.data, b.n, 0) : 0;
    rung_buf_clear(&b);
    for (int32_t i = 0; i < t->n_seen; i++)
        if (t->seen[i] == h) return st;
    if (t->n_seen == SEEN_MAX || st != RUNG_OK) return st;
    t->seen[t->n_seen++] = h;
    t->n.n_distinct++;
    return RUNG_OK;
}

rung_status rung_sql_session_query(rung_buf *observation, rung_sql_session *t, const char *sql,
                                   rung_error *err) {
    rung_sql_result r;
    if (t->n.n_issued >= t->n_max) {
        rung_buf_printf(observation, "limit reached: %d queries\n", t->n_max);
        return rung_buf_check(observation, err);
    }
    t->n.n_issued++;
    rung_arena_reset(t->a);
    RUNG_TRY(rung_sql_run(&r, t->a, t->s, &t->db, sql, err));
    t->n.n_ok += r.outcome == RUNG_SQL_OK;
    if (r.outcome == RUNG_SQL_OK && reads_table(sql)) RUNG_TRY(count_distinct(t, sql, err));
    rung_sql_render(observation, &r, t->n_rows);
    return rung_buf_check(observation, err);
}
