/* The row `sql` of the table of verifiers: the answer of a trace is a query, its class what the
 * query gives on the problem's database. */
#include "verify/sql/sql_verifier.h"
#include "verify/answer.h"
#include "verify/sql/sql_lex.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- extraction ---- */

typedef struct span {
    const char *p;
    size_t n;
} span;

static const char *find_last(span s, const char *what, size_t n_what) {
    if (s.n < n_what) return NULL;
    for (size_t i = s.n - n_what + 1; i-- > 0;)
        if (memcmp(s.p + i, what, n_what) == 0) return s.p + i;
    return NULL;
}

static bool fire(rung_answer *out, const char *rule, bool flexible, const char *p,
                 const char *end) {
    while (p < end && (unsigned char)*p <= ' ') p++;
    while (p < end && ((unsigned char)end[-1] <= ' ' || end[-1] == ';')) end--;
    if (p == end) return false;
    size_t n = (size_t)(end - p);
    out->rule = rule;
    out->flexible = flexible;
    out->text[0] = '\0';
    if (n >= sizeof out->text || memchr(p, '\0', n)) return true; /* too long: none, rule kept */
    memcpy(out->text, p, n);
    out->text[n] = '\0';
    return true;
}

/* The last <final_sql>...</final_sql> (learning.md 11.2). */
static bool rule_final(rung_answer *out, span s) {
    const char *close = find_last(s, "</final_sql>", 12);
    if (!close) return false;
    const char *open = find_last((span){s.p, (size_t)(close - s.p)}, "<final_sql>", 11);
    return open && fire(out, "final_sql", false, open + 11, close);
}

static bool starts_query(const char *p, const char *end) {
    sql_token t = sql_next(&p, end);
    while (sql_is(&t, "(")) t = sql_next(&p, end);
    return sql_is(&t, "select") || sql_is(&t, "with") || sql_is(&t, "values");
}

/* The last line "#### SELECT ...", to the end of the line. */
static bool rule_marks(rung_answer *out, span s) {
    const char *at = find_last(s, "#### ", 5), *end = s.p + s.n;
    if (!at || (at > s.p && at[-1] != '\n')) return false;
    const char *nl = memchr(at, '\n', (size_t)(end - at));
    if (!starts_query(at + 5, nl ? nl : end)) return false;
    return fire(out, "marks", false, at + 5, nl ? nl : end);
}

/* The last closed block ```sql ... ``` or ``` ... ``` that starts as a query does. */
static bool rule_fence(rung_answer *out, span s) {
    const char *close = find_last(s, "```", 3);
    while (close) {
        span before = {s.p, (size_t)(close - s.p)};
        const char *open = find_last(before, "```", 3);
        if (!open) return false;
        const char *body = open + 3;
        while (body < close && *body != '\n' && *body != ' ') body++; /* the language */
        if (starts_query(body, close) && fire(out, "fence", false, body, close)) return true;
        close = open;
    }
    return false;
}

/* The last SELECT or WITH that begins a line, to a semicolon or an empty line. */
static bool rule_line(rung_answer *out, span s) {
    const char *end = s.p + s.n, *best = NULL;
    for (const char *line = s.p; line && line < end;) {
        const char *p = line, *nl = memchr(line, '\n', (size_t)(end - line));
        sql_token t = sql_next(&p, nl ? nl : end);
        if (sql_is(&t, "with") || (sql_is(&t, "select") && !best)) best = t.p;
        /* a further SELECT of the same query stands behind no empty line and no semicolon */
        else if (sql_is(&t, "select")) {
            const char *gap = memmem(best, (size_t)(t.p - best), "\n\n", 2);
            if (gap || memchr(best, ';', (size_t)(t.p - best))) best = t.p;
        }
        line = nl ? nl + 1 : NULL;
    }
    if (!best) return false;
    const char *to = best;
    while (to < end && *to != ';' && !(*to == '\n' && to + 1 < end && to[1] == '\n')) to++;
    return fire(out, "line", true, best, to);
}

void extract_sql(rung_answer *out, const char *text, size_t n) {
    span s = {text ? text : "", text ? n : 0};
    memset(out, 0, sizeof *out);
    out->rule = "";
    if (rule_final(out, s) || rule_marks(out, s) || rule_fence(out, s)) return;
    (void)rule_line(out, s);
}

/* ---- without a database: the text alone ---- */

static bool normal_hash(char hex[33], const char *sql) {
    rung_buf b;
    rung_buf_init(&b, 1 << 20);
    rung_sql_normal(&b, sql ? sql : "");
    bool ok = !b.failed && b.n > 0;
    if (ok) rung_hash_hex(hex, b.data, b.n);
    rung_buf_clear(&b);
    return ok;
}

void key_sql(char key[128], const char *answer) {
    char hex[33];
    key[0] = '\0';
    if (normal_hash(hex, answer)) snprintf(key, 128, "t:%s", hex);
}

void check_sql(rung_check *out, const char *gold, const char *answer) {
    char a[33], b[33];
    if (!normal_hash(b, answer)) {
        check_set(out, RUNG_VERDICT_UNKNOWN, "", "no answer");
    } else if (!normal_hash(a, gold)) {
        check_set(out, RUNG_VERDICT_UNKNOWN, "", "no reference answer");
    } else if (memcmp(a, b, 32) == 0) {
        check_set(out, RUNG_VERDICT_CORRECT, "text", "");
    } else {
        check_set(out, RUNG_VERDICT_UNKNOWN, "", "no database to run it on");
    }
}

/* ---- with the problem's database; its workers are shared by all threads, one at a time ---- */

static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static rung_sql *shared;

static const char *why_not(rung_status st) {
    switch (st) {
    case RUNG_E_NOT_FOUND: return "no such database";
    case RUNG_E_FORMAT: return "the database cannot be opened";
    case RUNG_E_SANDBOX: return "no process to run queries in";
    default: return "the query could not be run";
    }
}

rung_status rung_sql_with_meta(const char *meta, rung_sql_fn fn, void *ud, rung_error *err) {
    rung_sql_db db;
    rung_arena *a = rung_arena_new(0);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_status st = rung_sql_db_from_meta(&db, a, meta, err);
    if (st == RUNG_OK) {
        pthread_mutex_lock(&shared_lock);
        if (!shared) st = rung_sql_new(&shared, NULL, err);
        if (st == RUNG_OK) st = fn(ud, shared, &db, err);
        pthread_mutex_unlock(&shared_lock);
    }
    rung_arena_free(a);
    return st;
}

/* A meta without a database is no error of a query: E_NOT_FOUND. */
static rung_status on_database(const char *meta, rung_sql_fn fn, void *ud) {
    rung_error err = RUNG_ERROR_INIT;
    rung_sql_db db;
    rung_arena *a = rung_arena_new(0);
    if (!a) return RUNG_E_NOMEM;
    rung_status st = rung_sql_db_from_meta(&db, a, meta, &err);
    rung_arena_free(a);
    return st == RUNG_OK ? rung_sql_with_meta(meta, fn, ud, &err) : RUNG_E_NOT_FOUND;
}

typedef struct ask {
    const char *gold, *answer;
    char *key;
    rung_sql_check check;
} ask;

static rung_status do_match(void *ud, rung_sql *s, const rung_sql_db *db, rung_error *err) {
    ask *q = ud;
    return rung_sql_match(&q->check, s, db, q->gold, q->answer, NULL, err);
}

static rung_status do_key(void *ud, rung_sql *s, const rung_sql_db *db, rung_error *err) {
    ask *q = ud;
    return rung_sql_key(q->key, s, db, q->answer, err);
}

void check_sql_in(rung_check *out, const char *meta, const char *gold, const char *answer) {
    ask q = {.gold = gold, .answer = answer};
    rung_status st = on_database(meta, do_match, &q);
    if (st == RUNG_OK)
        check_set(out, q.check.verdict, q.check.rule, q.check.reason);
    else
        check_set(out, RUNG_VERDICT_UNKNOWN, "", why_not(st));
}

/* Votes go over results, not over text (learning.md 11.8). */
void key_sql_in(char key[128], const char *meta, const char *answer) {
    ask q = {.answer = answer, .key = key};
    key[0] = '\0';
    if (on_database(meta, do_key, &q) != RUNG_OK) key[0] = '\0';
}
