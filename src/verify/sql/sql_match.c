/* Execution match: what gold and answer give, compared. The rules are in docs/verifiers.md. */
#include "verify/sql/sql_order.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { GRIDS = 2, TRIES_MAX = 5000, COLS_MAX = 64 };
static const uint64_t TAG_NULL = 0x9e3779b97f4a7c15u;

/* ---- values as hashes ---- */

static uint64_t hash_int(int64_t i) {
    return rung_hash64(&i, sizeof i, 1);
}

/* A real is its 12 significant digits: sums in another order differ in the 15th. Two grids half a
 * step apart, so that equal values cannot straddle a border in both. */
static uint64_t hash_real(double d, int grid) {
    char text[40];
    if (fabs(d) < 9e15 && d == floor(d)) return hash_int((int64_t)d);
    snprintf(text, sizeof text, "%.11e", d);
    if (grid == 1 && isfinite(d)) {
        const char *e = strchr(text, 'e');
        snprintf(text, sizeof text, "%.11e", d + 0.5 * pow(10.0, (e ? atoi(e + 1) : 0) - 11));
    }
    double v = strtod(text, NULL);
    if (fabs(v) < 9e15 && v == floor(v)) return hash_int((int64_t)v);
    return rung_hash64(text, strlen(text), 2);
}

static uint64_t hash_value(const rung_sql_value *v, int grid) {
    switch (v->type) {
    case RUNG_SQL_INT: return hash_int(v->i);
    case RUNG_SQL_REAL: return hash_real(v->d, grid);
    case RUNG_SQL_TEXT: return rung_hash64(v->s ? v->s : "", (size_t)v->n, 3);
    case RUNG_SQL_BLOB: return rung_hash64(v->s ? v->s : "", (size_t)v->n, 4);
    case RUNG_SQL_NULL: break;
    }
    return TAG_NULL;
}

typedef struct table { /* hashes of a result's cells */
    uint64_t *cell;    /* [rows][cols] */
    uint64_t *row;     /* [rows]: of rows under a column order, scratch */
    int32_t rows, cols;
} table;

static bool table_make(table *t, rung_arena *a, const rung_sql_result *r, int grid) {
    size_t n = (size_t)r->n_rows * (size_t)r->n_cols;
    t->rows = r->n_rows;
    t->cols = r->n_cols;
    t->cell = rung_arena_alloc(a, (n + 1) * sizeof *t->cell);
    t->row = rung_arena_alloc(a, ((size_t)r->n_rows + 1) * sizeof *t->row);
    if (!t->cell || !t->row) return false;
    for (size_t i = 0; i < n; i++) t->cell[i] = hash_value(&r->cell[i], grid);
    return true;
}

static int by_value(const void *a, const void *b) {
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

/* Row hashes with column order[c] at place c. */
static void hash_rows(table *t, const int32_t *order) {
    uint64_t row[COLS_MAX];
    for (int32_t k = 0; k < t->rows; k++) {
        const uint64_t *cell = t->cell + (size_t)k * (size_t)t->cols;
        for (int32_t c = 0; c < t->cols; c++) row[c] = cell[order[c]];
        t->row[k] = rung_hash64(row, (size_t)t->cols * sizeof *row, 5);
    }
}

/* A column as a multiset. */
static uint64_t hash_column(const table *t, int32_t c) {
    uint64_t sum = 0, mix = 0;
    for (int32_t k = 0; k < t->rows; k++) {
        uint64_t h = t->cell[(size_t)k * (size_t)t->cols + (size_t)c];
        sum += h;
        mix += rung_hash64(&h, sizeof h, 6);
    }
    return sum ^ (mix << 1);
}

/* ---- rows under an order of columns ---- */

typedef struct matching {
    table gold, answer;
    uint64_t *gold_rows;     /* in gold's order */
    uint64_t *sorted, *mine; /* scratch: sorted row hashes of gold, of the answer */
    const uint64_t *group; /* [rows]: equal where rows are equal in gold's order; NULL: not known */
    bool ordered, in_order;
    bool same_rows;  /* some order of columns gave gold's rows */
    bool same_order; /* and in gold's order */
    int tries;
} matching;

/* Row by row, or run by run of rows that are equal in gold's order. */
static bool order_agrees(matching *m) {
    int32_t n = m->gold.rows;
    if (!m->group) return memcmp(m->gold_rows, m->answer.row, (size_t)n * sizeof(uint64_t)) == 0;
    uint64_t *g = m->sorted, *w = m->mine; /* scratch: what they held is not needed any more */
    memcpy(g, m->gold_rows, (size_t)n * sizeof *g);
    memcpy(w, m->answer.row, (size_t)n * sizeof *w);
    for (int32_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && m->group[to] == m->group[from];) to++;
        qsort(g + from, (size_t)(to - from), sizeof *g, by_value);
        qsort(w + from, (size_t)(to - from), sizeof *w, by_value);
    }
    return memcmp(g, w, (size_t)n * sizeof *g) == 0;
}

static void try_order(matching *m, const int32_t *order) {
    size_t n = (size_t)m->gold.rows;
    m->tries++;
    hash_rows(&m->answer, order);
    memcpy(m->sorted, m->gold_rows, n * sizeof(uint64_t));
    memcpy(m->mine, m->answer.row, n * sizeof(uint64_t));
    qsort(m->sorted, n, sizeof(uint64_t), by_value);
    qsort(m->mine, n, sizeof(uint64_t), by_value);
    if (memcmp(m->sorted, m->mine, n * sizeof(uint64_t)) != 0) return;
    m->same_rows = true;
    m->same_order = !m->ordered || order_agrees(m);
}

/* Every way to give each column of gold one of the answer's that holds the same values. */
static void try_columns(matching *m, int32_t *order, int32_t c, uint64_t used, const uint64_t *want,
                        const uint64_t *have) {
    if ((m->same_rows && m->same_order) || m->tries >= TRIES_MAX) return;
    if (c == m->gold.cols) {
        try_order(m, order);
        return;
    }
    for (int32_t k = 0; k < m->answer.cols; k++) {
        if (used >> k & 1 || have[k] != want[c]) continue;
        order[c] = k;
        try_columns(m, order, c + 1, used | (uint64_t)1 << k, want, have);
    }
}

static void match_columns(matching *m) {
    int32_t order[COLS_MAX];
    uint64_t want[COLS_MAX], have[COLS_MAX];
    for (int32_t c = 0; c < m->gold.cols; c++) order[c] = c;
    hash_rows(&m->gold, order);
    m->gold_rows = m->gold.row;
    m->same_rows = m->same_order = false;
    m->tries = 0;
    try_order(m, order);
    if (m->in_order || (m->same_rows && m->same_order)) return;
    for (int32_t c = 0; c < m->gold.cols; c++) {
        want[c] = hash_column(&m->gold, c);
        have[c] = hash_column(&m->answer, c);
    }
    /* with equal multisets of columns every beginning can be finished: the search never stalls */
    uint64_t a[COLS_MAX], b[COLS_MAX];
    size_t n = (size_t)m->gold.cols;
    memcpy(a, want, n * sizeof *a);
    memcpy(b, have, n * sizeof *b);
    qsort(a, n, sizeof *a, by_value);
    qsort(b, n, sizeof *b, by_value);
    if (memcmp(a, b, n * sizeof *a) == 0) try_columns(m, order, 0, 0, want, have);
}

/* ---- gold's order ---- */

/* Equal in an order: case does not count, since a column may be NOCASE. */
static uint64_t hash_key(const rung_sql_value *v) {
    char low[256];
    if (v->type != RUNG_SQL_TEXT || (size_t)v->n > sizeof low) return hash_value(v, 0);
    for (int32_t i = 0; i < v->n; i++)
        low[i] = v->s[i] >= 'A' && v->s[i] <= 'Z' ? (char)(v->s[i] | 0x20) : v->s[i];
    return rung_hash64(low, (size_t)v->n, 7);
}

static uint64_t hash_keys(const sql_order *o, const rung_sql_result *r, int64_t row) {
    uint64_t key[ORDER_TERMS_MAX];
    for (int32_t k = 0; k < o->n_terms; k++)
        key[k] = hash_key(&r->cell[(size_t)row * (size_t)r->n_cols + (size_t)o->at[k]]);
    return rung_hash64(key, (size_t)o->n_terms * sizeof *key, 8);
}

static bool holds_terms(const sql_order *o, const rung_sql_result *r) {
    for (int32_t k = 0; k < o->n_terms; k++)
        if (o->at[k] >= r->n_cols) return false;
    return r->outcome == RUNG_SQL_OK;
}

typedef struct judging {
    rung_sql_check *out;
    rung_sql *s;
    const rung_sql_db *db;
    rung_arena *a;
    rung_sql_result gold, answer;
    sql_order order;
} judging;

/* group[k] for gold's rows; NULL where the rows' keys cannot be had. */
static rung_status groups_of(const uint64_t **group, judging *j, rung_error *err) {
    rung_sql_result keys;
    *group = NULL;
    if (!j->order.keys) return RUNG_OK;
    RUNG_TRY(rung_sql_run(&keys, j->a, j->s, j->db, j->order.keys, err));
    if (!holds_terms(&j->order, &keys) || keys.n_rows != j->gold.n_rows) return RUNG_OK;
    uint64_t *g = rung_arena_alloc(j->a, ((size_t)keys.n_rows + 1) * sizeof *g);
    if (!g) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    for (int32_t k = 0; k < keys.n_rows; k++) {
        for (int32_t c = 0; c < j->gold.n_cols; c++) { /* the same rows in the same order? */
            size_t i = (size_t)k * (size_t)keys.n_cols + (size_t)c;
            size_t i_gold = (size_t)k * (size_t)j->gold.n_cols + (size_t)c;
            if (hash_value(&keys.cell[i], 0) != hash_value(&j->gold.cell[i_gold], 0))
                return RUNG_OK;
        }
        g[k] = hash_keys(&j->order, &keys, k);
    }
    *group = g;
    return RUNG_OK;
}

/* Are the rows on both sides of gold's LIMIT equal in its order? */
static rung_status tied(judging *j, rung_error *err) {
    const sql_order *o = &j->order;
    rung_sql_result all;
    if (o->limit <= 0 || !o->all || o->offset < 0) return RUNG_OK;
    RUNG_TRY(rung_sql_run(&all, j->a, j->s, j->db, o->all, err));
    int64_t last = o->offset + o->limit - 1;
    if (!holds_terms(o, &all)) return RUNG_OK;
    if (last + 1 < all.n_rows)
        j->out->gold_tied = hash_keys(o, &all, last) == hash_keys(o, &all, last + 1);
    if (o->offset > 0 && o->offset < all.n_rows)
        j->out->gold_tied |= hash_keys(o, &all, o->offset - 1) == hash_keys(o, &all, o->offset);
    return RUNG_OK;
}

/* ---- the verdict ---- */

static void say(rung_sql_check *out, rung_verdict v, const char *rule, const char *reason) {
    out->verdict = v;
    out->rule = rule;
    out->reason = reason;
}

static rung_status differ(judging *j, const char *rule, rung_error *err) {
    RUNG_TRY(tied(j, err));
    if (j->out->gold_tied) {
        say(j->out, RUNG_VERDICT_UNKNOWN, "", "the reference's LIMIT cuts through equal rows");
    } else {
        say(j->out, RUNG_VERDICT_WRONG, rule, "");
    }
    return RUNG_OK;
}

static rung_status compare(judging *j, const rung_sql_check_opts *o, rung_error *err) {
    matching m = {.ordered = j->out->ordered, .in_order = o->columns_in_order};
    bool rows = false, order = false, exhausted = false;
    size_t n = (size_t)j->gold.n_rows + 1;
    m.sorted = rung_arena_alloc(j->a, n * sizeof *m.sorted);
    m.mine = rung_arena_alloc(j->a, n * sizeof *m.mine);
    if (!m.sorted || !m.mine) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    for (int pass = 0; pass < 2 && !order; pass++) { /* the keys are asked for only when needed */
        if (pass == 1 && !(rows && m.ordered)) break;
        if (pass == 1) RUNG_TRY(groups_of(&m.group, j, err));
        if (pass == 1 && !m.group) break;
        for (int grid = 0; grid < GRIDS && !order; grid++) {
            if (!table_make(&m.gold, j->a, &j->gold, grid) ||
                !table_make(&m.answer, j->a, &j->answer, grid))
                return rung_fail(err, RUNG_E_NOMEM, "out of memory");
            match_columns(&m);
            rows = rows || m.same_rows;
            order = m.same_rows && m.same_order;
            exhausted = exhausted || m.tries >= TRIES_MAX;
        }
    }
    if (order) {
        say(j->out, RUNG_VERDICT_CORRECT, "execution", "");
    } else if (exhausted) {
        say(j->out, RUNG_VERDICT_UNKNOWN, "", "too many orders of columns");
    } else if (rows && !m.group) {
        say(j->out, RUNG_VERDICT_UNKNOWN, "", "another order, and ties cannot be told");
    } else {
        return differ(j, rows ? "order" : "execution", err);
    }
    return RUNG_OK;
}

/* What can be said before rows are compared; true: it was said. */
static bool by_shape(judging *j) {
    rung_sql_check *out = j->out;
    const rung_sql_result *g = &j->gold, *w = &j->answer;
    if (w->outcome != RUNG_SQL_OK) {
        static const rung_verdict means[] = {
#define X(id, value, verdict, text) RUNG_VERDICT_##verdict,
            RUNG_SQL_OUTCOMES(X)
#undef X
        };
        bool wrong = means[w->outcome] == RUNG_VERDICT_WRONG;
        const char *text = rung_sql_outcome_text(w->outcome);
        say(out, means[w->outcome], wrong ? text : "", wrong ? "" : text);
        snprintf(out->detail, sizeof out->detail, "%.239s", w->error);
    } else if (g->n_rows == 0 && w->n_rows == 0 && !w->truncated) {
        say(out, RUNG_VERDICT_CORRECT, "execution", "");
    } else if (g->n_cols != w->n_cols) {
        say(out, RUNG_VERDICT_WRONG, "execution", "");
        snprintf(out->detail, sizeof out->detail, "%d columns, the reference gives %d", w->n_cols,
                 g->n_cols);
    } else if (w->truncated && w->n_rows <= g->n_rows) {
        say(out, RUNG_VERDICT_UNKNOWN, "", "the answer's result is over the cap");
    } else if (g->n_cols > COLS_MAX) {
        say(out, RUNG_VERDICT_UNKNOWN, "", "more than 64 columns");
    } else {
        return false;
    }
    return true;
}

static rung_status judge(judging *j, const char *gold, const char *answer,
                         const rung_sql_check_opts *o, rung_error *err) {
    rung_sql_check *out = j->out;
    RUNG_TRY(rung_sql_run(&j->gold, j->a, j->s, j->db, gold, err));
    if (j->gold.outcome != RUNG_SQL_OK || j->gold.truncated) {
        say(out, RUNG_VERDICT_UNKNOWN, "",
            j->gold.truncated ? "the reference's result is over the cap" : "the reference fails");
        snprintf(out->detail, sizeof out->detail, "%.239s", j->gold.error);
        return RUNG_OK;
    }
    out->gold_rows = j->gold.n_rows;
    out->gold_empty = j->gold.n_rows == 0;
    RUNG_TRY(sql_order_read(&j->order, j->a, gold, &j->gold, err));
    out->ordered = j->order.ordered;
    RUNG_TRY(rung_sql_run(&j->answer, j->a, j->s, j->db, answer, err));
    out->answer_rows = j->answer.n_rows;
    if (by_shape(j)) return RUNG_OK;
    if (j->gold.n_rows != j->answer.n_rows) {
        snprintf(out->detail, sizeof out->detail, "%s%d rows, the reference gives %d",
                 j->answer.truncated ? "more than " : "", j->answer.n_rows, j->gold.n_rows);
        if (j->order.limit != j->gold.n_rows || j->answer.truncated) {
            say(out, RUNG_VERDICT_WRONG, "execution", "");
            return RUNG_OK;
        }
        return differ(j, "execution", err);
    }
    return compare(j, o, err);
}

static bool nothing(const char *s) {
    return !s || !s[strspn(s, " \t\r\n;")];
}

rung_status rung_sql_match(rung_sql_check *out, rung_sql *s, const rung_sql_db *db,
                           const char *gold, const char *answer, const rung_sql_check_opts *opts,
                           rung_error *err) {
    static const rung_sql_check_opts none = RUNG_SQL_CHECK_OPTS_INIT;
    rung_sql_check_opts o = none;
    memset(out, 0, sizeof *out);
    say(out, RUNG_VERDICT_UNKNOWN, "", nothing(gold) ? "no reference answer" : "no answer");
    if (opts && (opts->struct_size == 0 || opts->struct_size > sizeof o))
        return rung_fail(err, RUNG_E_INVAL, "rung_sql_check_opts has another size");
    if (opts) memcpy(&o, opts, opts->struct_size);
    if (nothing(gold) || nothing(answer)) return RUNG_OK;
    judging j = {.out = out, .s = s, .db = db, .a = rung_arena_new(0)};
    if (!j.a) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_status st = judge(&j, gold, answer, &o, err);
    rung_arena_free(j.a);
    return st;
}

rung_status rung_sql_key(char key[128], rung_sql *s, const rung_sql_db *db, const char *answer,
                         rung_error *err) {
    rung_sql_result r;
    table t;
    int32_t order[COLS_MAX];
    char hex[33];
    key[0] = '\0';
    if (nothing(answer)) return RUNG_OK;
    rung_arena *a = rung_arena_new(0);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_status st = rung_sql_run(&r, a, s, db, answer, err);
    if (st == RUNG_OK && r.outcome == RUNG_SQL_OK && !r.truncated && r.n_cols <= COLS_MAX) {
        if (!table_make(&t, a, &r, 0)) {
            st = rung_fail(err, RUNG_E_NOMEM, "out of memory");
        } else {
            for (int32_t c = 0; c < t.cols; c++) order[c] = c;
            hash_rows(&t, order);
            qsort(t.row, (size_t)t.rows, sizeof *t.row, by_value);
            rung_hash_hex(hex, t.row, (size_t)t.rows * sizeof *t.row);
            snprintf(key, 128, "q:%d:%s", t.rows ? t.cols : 0, hex);
        }
    }
    rung_arena_free(a);
    return st;
}
