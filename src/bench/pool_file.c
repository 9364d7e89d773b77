/* Best-of-N from a file of scored candidates: every aggregate with every way of choosing
 * (search.md 2.1-2.5; labels.md 2). */
#include "base/json.h"
#include "base/keymap.h"
#include "bench/bias.h"
#include "rung/bench_file.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEVEL 0.95

typedef struct pool_row {
    int64_t problem, candidate; /* problem: its place */
    const char *answer;         /* "" none */
    const double *score;        /* [n] */
    int32_t n, first_error;
    int8_t correct; /* 1, 0; -1 nobody knows */
} pool_row;
typedef struct pool_file {
    rung_arena *arena;
    void *row; /* pool_row[n] */
    int64_t n, cap, n_lines, n_unknown, n_unscored, n_outside;
    keymap problem, seen; /* hash of the id -> place + 1; hash of both -> 1 */
    int64_t n_problems;
    rung_format_report report;
    const rung_log *log;
    const char *path;
} pool_file;

static void reject(pool_file *p, const char *why, int64_t line) {
    rung_format_report_reject(&p->report, why, line);
    p->report.n_rejected++;
    rung_event(p->log, RUNG_WARN, "pool.reject", RUNG_S("file", p->path), RUNG_I("line", line),
               RUNG_S("reason", why));
}

/* NULL: good; else what is wrong. */
static const char *read_scores(pool_row *out, yyjson_val *list, rung_arena *a, bool *outside) {
    size_t k, n = yyjson_arr_size(list);
    yyjson_val *v;
    if (!list || yyjson_is_null(list)) return NULL;
    if (!yyjson_is_arr(list)) return "\"step_scores\" is no list";
    if (n > INT32_MAX) return "more step scores than there can be steps";
    double *score = rung_arena_alloc(a, (n + 1) * sizeof *score);
    if (!score) return "out of memory";
    yyjson_arr_foreach(list, k, n, v) {
        score[k] = yyjson_is_num(v) ? yyjson_get_num(v) : (double)NAN;
        if (!isfinite(score[k])) return "a step score that is no finite number";
        *outside = *outside || score[k] < 0.0 || score[k] > 1.0;
    }
    out->score = score;
    out->n = (int32_t)n;
    return NULL;
}

/* Text or number as text in the arena; NULL: neither. */
static const char *text_of(yyjson_val *v, rung_arena *a) {
    char number[64];
    const char *s = yyjson_get_str(v);
    if (yyjson_is_int(v)) {
        snprintf(number, sizeof number, "%lld", (long long)yyjson_get_sint(v));
        s = number;
    } else if (yyjson_is_real(v)) {
        snprintf(number, sizeof number, "%.17g", yyjson_get_real(v));
        s = number;
    }
    return s ? rung_arena_strndup(a, s, strlen(s)) : NULL;
}

static const char *read_row(pool_row *out, pool_file *p, yyjson_val *row, const char **problem,
                            bool *outside) {
    *out = (pool_row){.answer = "", .first_error = -2, .correct = -1};
    if (!yyjson_is_obj(row)) return "not an object";
    *problem = text_of(yyjson_obj_get(row, "problem_id"), p->arena);
    if (!*problem) return "no \"problem_id\"";
    yyjson_val *candidate = yyjson_obj_get(row, "candidate");
    if (!yyjson_is_int(candidate)) return "no whole number \"candidate\"";
    out->candidate = yyjson_get_sint(candidate);
    yyjson_val *answer = yyjson_obj_get(row, "answer");
    if (answer && !yyjson_is_null(answer)) {
        out->answer = text_of(answer, p->arena);
        if (!out->answer) return "\"answer\" is neither text nor a number";
    }
    yyjson_val *correct = yyjson_obj_get(row, "correct");
    if (yyjson_is_bool(correct))
        out->correct = yyjson_get_bool(correct);
    else if (correct && !yyjson_is_null(correct))
        return "\"correct\" is not true, false or null";
    const char *why = read_scores(out, yyjson_obj_get(row, "step_scores"), p->arena, outside);
    if (why) return why;
    yyjson_val *error = yyjson_obj_get(row, "first_error");
    if (!error || yyjson_is_null(error)) return NULL;
    if (!yyjson_is_int(error) || yyjson_get_sint(error) < -1 ||
        (out->n > 0 && yyjson_get_sint(error) >= out->n) || yyjson_get_sint(error) > INT32_MAX)
        return "\"first_error\" is no step";
    out->first_error = (int32_t)yyjson_get_sint(error);
    return NULL;
}

static rung_status take_row(pool_file *p, yyjson_val *json, int64_t line, rung_error *err) {
    pool_row row;
    const char *id = NULL;
    bool outside = false;
    const char *why = read_row(&row, p, json, &id, &outside);
    if (why) return reject(p, why, line), RUNG_OK;
    uint64_t key = rung_hash64(id, strlen(id), 0);
    int64_t *twice = keymap_at(&p->seen, rung_hash64(&row.candidate, sizeof row.candidate, key));
    if (!twice) return rung_fail(err, RUNG_E_NOMEM, "out of memory for a pool");
    if (*twice) return reject(p, "this candidate of the problem stands above", line), RUNG_OK;
    *twice = 1;
    int64_t *at = keymap_at(&p->problem, key);
    if (!at) return rung_fail(err, RUNG_E_NOMEM, "out of memory for a pool");
    if (!*at) *at = ++p->n_problems;
    row.problem = *at - 1;
    RUNG_TRY(rung_grow(&p->row, &p->cap, p->n + 1, sizeof row, err));
    ((pool_row *)p->row)[p->n++] = row;
    p->n_unknown += row.correct < 0;
    p->n_unscored += row.n == 0;
    p->n_outside += outside;
    return RUNG_OK;
}

static int by_problem(const void *a, const void *b) {
    const pool_row *x = a, *y = b;
    if (x->problem != y->problem) return x->problem < y->problem ? -1 : 1;
    return (x->candidate > y->candidate) - (x->candidate < y->candidate);
}

static rung_status read_file(pool_file *p, rung_error *err) {
    rung_jsonl *file;
    rung_status st;
    RUNG_TRY(rung_jsonl_open(&file, p->path, 0, err));
    for (;;) {
        yyjson_val *row;
        rung_error e = RUNG_ERROR_INIT;
        st = rung_jsonl_next(&row, file, &e);
        if (st == RUNG_DONE) break;
        p->n_lines++;
        if (st == RUNG_E_FORMAT || st == RUNG_E_LIMIT) {
            reject(p, "not a line of JSON", rung_jsonl_line(file));
            continue;
        }
        if (st != RUNG_OK && err) *err = e;
        if (st == RUNG_OK) st = take_row(p, row, rung_jsonl_line(file), err);
        if (st != RUNG_OK) break;
    }
    rung_jsonl_close(file);
    if (st != RUNG_DONE) return st;
    if (p->n == 0)
        return rung_fail(err, RUNG_E_NOT_FOUND, "%s: no row that can be used (%lld lines)", p->path,
                         (long long)p->n_lines);
    qsort(p->row, (size_t)p->n, sizeof(pool_row), by_problem);
    return RUNG_OK;
}

/* ---- choosing */

/* One way of choosing: a column of the table. */
typedef struct column {
    char name[48];
    const char *select, *aggregate; /* NULL: it needs none */
    const rung_method *method;      /* NULL: mean and pass */
    int id;                         /* aggregate, -1 none */
    int64_t n_unknown, n_no_answer;
} column;
enum { COL_MEAN, COL_PASS, COL_MAJORITY, COL_FIRST, N_COLS = COL_FIRST + 2 * RUNG_AGGREGATE_COUNT };

static void make_columns(column *c) {
    static const char *const ways[2][2] = {{"bon", "bon_prm"}, {"vote", "vote_prm"}};
    memset(c, 0, N_COLS * sizeof *c);
    snprintf(c[COL_MEAN].name, sizeof c->name, "mean");
    snprintf(c[COL_PASS].name, sizeof c->name, "pass");
    snprintf(c[COL_MAJORITY].name, sizeof c->name, "majority");
    c[COL_MAJORITY].method = rung_method_find("majority");
    for (int k = 0; k < COL_FIRST; k++) c[k].id = -1;
    for (int k = COL_FIRST; k < N_COLS; k++) {
        int way = (k - COL_FIRST) / RUNG_AGGREGATE_COUNT,
            id = (k - COL_FIRST) % RUNG_AGGREGATE_COUNT;
        c[k].id = id;
        c[k].aggregate = rung_aggregate_name((rung_aggregate_id)id);
        c[k].select = ways[way][0];
        c[k].method = rung_method_find(ways[way][1]);
        snprintf(c[k].name, sizeof c->name, "%s_%s", c[k].select, c[k].aggregate);
    }
}

/* One problem: what each column gives, 0 or 1 (mean: a share), into x[N_COLS]. */
static rung_status answer_one(double *x, column *c, rung_candidate *pool, const pool_row *row,
                              int32_t n, rung_error *err) {
    int32_t n_right = 0;
    for (int32_t i = 0; i < n; i++) {
        pool[i] = (rung_candidate){.key = row[i].answer, .correct = row[i].correct == 1};
        pool[i].orm = pool[i].confidence = (double)NAN;
        n_right += row[i].correct == 1;
    }
    x[COL_MEAN] = (double)n_right / (double)n;
    x[COL_PASS] = n_right > 0;
    for (int k = COL_MAJORITY; k < N_COLS; k++) {
        for (int32_t i = 0; i < n && c[k].id >= 0; i++) {
            pool[i].prm = (double)NAN;
            if (row[i].n > 0)
                RUNG_TRY(rung_aggregate(&pool[i].prm, (rung_aggregate_id)c[k].id, row[i].score,
                                        (size_t)row[i].n, err));
        }
        int at = c[k].method->choose(pool, n);
        x[k] = at >= 0 && pool[at].correct;
        c[k].n_no_answer += at < 0 || !pool[at].key[0];
        c[k].n_unknown += at >= 0 && pool[at].key[0] && row[at].correct < 0;
    }
    return RUNG_OK;
}

/* ---- the object */

static void put_column(rung_buf *b, const column *c, int k, const double *mean,
                       const rung_interval *ci, const double *p, const double *holm, int64_t n) {
    rung_buf_printf(b, "%s{\"name\":\"%s\",\"acc\":", k > COL_MEAN ? "," : "", c[k].name);
    rung_put_num(b, mean[k]);
    rung_buf_str(b, ",\"ci95\":");
    rung_put_interval(b, ci[k]);
    if (c[k].aggregate)
        rung_buf_printf(b, ",\"select\":\"%s\",\"aggregate\":\"%s\"", c[k].select, c[k].aggregate);
    if (c[k].method)
        rung_buf_printf(b, ",\"unknown\":%.9g,\"no_answer\":%.9g",
                        (double)c[k].n_unknown / (double)n, (double)c[k].n_no_answer / (double)n);
    if (k >= COL_FIRST) {
        rung_buf_str(b, ",\"diff\":");
        rung_put_num(b, mean[k] - mean[COL_MAJORITY]);
        rung_buf_str(b, ",\"diff_ci95\":");
        rung_put_interval(b, ci[N_COLS + k]);
        rung_buf_str(b, ",\"p\":");
        rung_put_num(b, p[k - COL_FIRST]);
        rung_buf_str(b, ",\"p_holm\":");
        rung_put_num(b, holm[k - COL_FIRST]);
    }
    rung_buf_str(b, "}");
}

/* x[n][2 * N_COLS]: accuracies, then differences from the vote. */
static rung_status put_columns(rung_buf *b, const column *c, const double *x, int64_t n,
                               const rung_pool_file_opts *o, rung_error *err) {
    enum { M = 2 * N_COLS, N_TESTS = N_COLS - COL_FIRST };
    double mean[N_COLS] = {0}, p[N_TESTS], holm[N_TESTS];
    rung_interval ci[M];
    RUNG_TRY(rung_bootstrap_means(ci, x, n, M, o->n_boot, LEVEL, o->seed, err));
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < N_COLS; k++) mean[k] += x[i * M + k] / (double)n;
    for (int k = COL_FIRST; k < N_COLS; k++) {
        int64_t wins = 0, losses = 0;
        for (int64_t i = 0; i < n; i++) {
            wins += x[i * M + N_COLS + k] > 0.0;
            losses += x[i * M + N_COLS + k] < 0.0;
        }
        p[k - COL_FIRST] = rung_mcnemar_test(wins, losses).p_exact;
    }
    rung_holm(holm, p, N_TESTS);
    rung_buf_str(b, ",\"methods\":[");
    for (int k = 0; k < N_COLS; k++) put_column(b, c, k, mean, ci, p, holm, n);
    rung_buf_str(b, "]");
    return RUNG_OK;
}

static void put_head(rung_buf *b, const pool_file *p, int32_t least, int32_t most,
                     const rung_pool_file_opts *o) {
    rung_buf_str(b, "{\"v\":1,\"metric\":\"pool\",\"file\":");
    rung_buf_json_str(b, p->path, strlen(p->path));
    rung_buf_printf(b,
                    ",\"n_problems\":%lld,\"n_candidates\":%lld,\"n_least\":%d,\"n_most\":%d,"
                    "\"n_lines\":%lld,\"n_rejected\":%lld,\"n_unknown\":%lld,\"n_unscored\":%lld,"
                    "\"n_outside\":%lld,\"seed\":%llu,\"n_boot\":%d,\"rejected\":[",
                    (long long)p->n_problems, (long long)p->n, least, most, (long long)p->n_lines,
                    (long long)p->report.n_rejected, (long long)p->n_unknown,
                    (long long)p->n_unscored, (long long)p->n_outside, (unsigned long long)o->seed,
                    o->n_boot);
    for (int32_t k = 0; k < p->report.rejected.n; k++) {
        const rung_tally_row *r = &p->report.rejected.row[k];
        rung_buf_printf(b, "%s{\"reason\":", k ? "," : "");
        rung_buf_json_str(b, r->what, strlen(r->what));
        rung_buf_printf(b, ",\"n\":%lld,\"lines\":[", (long long)r->n);
        for (int i = 0; i < RUNG_TALLY_LINES && r->line[i]; i++)
            rung_buf_printf(b, "%s%lld", i ? "," : "", (long long)r->line[i]);
        rung_buf_str(b, "]}");
    }
    rung_buf_str(b, "]");
}

typedef struct work {
    column c[N_COLS];
    double *x;            /* [n_problems][2 * N_COLS] */
    rung_bon_bias *z;     /* [n_problems] */
    int64_t *first;       /* [n_problems + 1] */
    rung_candidate *pool; /* [most] */
    int32_t least, most;
} work;

static rung_status prepare(work *w, const pool_file *p, rung_error *err) {
    const pool_row *row = p->row;
    size_t n = (size_t)p->n_problems;
    w->x = rung_calloc(n * 2 * N_COLS, sizeof *w->x);
    w->z = rung_calloc(n, sizeof *w->z);
    w->first = rung_calloc(n + 1, sizeof *w->first);
    if (w->first) {
        for (int64_t i = 0; i < p->n; i++) w->first[row[i].problem + 1] = i + 1;
        w->least = INT32_MAX;
        for (size_t i = 0; i < n; i++) {
            int32_t m = (int32_t)(w->first[i + 1] - w->first[i]);
            w->least = m < w->least ? m : w->least;
            w->most = m > w->most ? m : w->most;
        }
        w->pool = rung_calloc((size_t)w->most, sizeof *w->pool);
    }
    if (!w->x || !w->z || !w->first || !w->pool)
        return rung_fail(err, RUNG_E_NOMEM, "out of memory for %zu problems", n);
    make_columns(w->c);
    return RUNG_OK;
}

static rung_status measure(rung_buf *json, work *w, pool_file *p, const rung_pool_file_opts *o,
                           rung_error *err) {
    const pool_row *row = p->row;
    RUNG_TRY(prepare(w, p, err));
    for (int64_t i = 0; i < p->n_problems; i++) {
        double *x = w->x + i * 2 * N_COLS;
        int32_t n = (int32_t)(w->first[i + 1] - w->first[i]);
        RUNG_TRY(answer_one(x, w->c, w->pool, row + w->first[i], n, err));
        for (int k = 0; k < N_COLS; k++) x[N_COLS + k] = x[k] - x[COL_MAJORITY];
        for (int64_t j = w->first[i]; j < w->first[i + 1]; j++)
            rung_bon_bias_add(&w->z[i], row[j].correct == 1, row[j].first_error, row[j].score,
                              row[j].n, o->tau);
    }
    if (w->least != w->most)
        rung_event(p->log, RUNG_WARN, "pool.sizes", RUNG_S("file", p->path),
                   RUNG_I("least", w->least), RUNG_I("most", w->most));
    put_head(json, p, w->least, w->most, o);
    RUNG_TRY(put_columns(json, w->c, w->x, p->n_problems, o, err));
    rung_buf_str(json, ",\"bias\":");
    rung_put_bias(json, w->z, p->n_problems, o->tau, o->n_boot, o->seed);
    rung_buf_str(json, "}");
    return rung_buf_check(json, err);
}

rung_status rung_bench_pool_file(rung_buf *json, const char *path, const rung_pool_file_opts *o,
                                 const rung_log *log, rung_error *err) {
    if (!path || !o || o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "a pool needs a file and options");
    pool_file p = {.arena = rung_arena_new(0), .log = log, .path = path};
    work w = {0};
    rung_status st =
        p.arena ? read_file(&p, err) : rung_fail(err, RUNG_E_NOMEM, "out of memory for a pool");
    if (st == RUNG_OK) st = measure(json, &w, &p, o, err);
    rung_free(w.x);
    rung_free(w.z);
    rung_free(w.first);
    rung_free(w.pool);
    rung_free(p.row);
    keymap_clear(&p.problem);
    keymap_clear(&p.seen);
    rung_format_report_clear(&p.report);
    rung_arena_free(p.arena);
    return st;
}
