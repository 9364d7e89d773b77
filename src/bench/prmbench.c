/* PRMBench (feedback.md 10.7): a step is called valid when its score is above a threshold; counts
 * are pooled over all error classes; PRMScore = (F1 of valid + F1 of invalid) / 2. */
#include "base/json.h"
#include "bench/pool.h"
#include "rung/bench_file.h"
#include <math.h>
#include <string.h>

#define LEVEL 0.95
/* Classes as the files spell them, without "correct", which is in no total. Redundant and circular
 * steps are called so below a threshold of their own. */
static const char *const classes[] = {
    "redundency",           "circular",   "counterfactual",    "step_contradiction",
    "domain_inconsistency", "confidence", "missing_condition", "deception",
    "multi_solutions"};
enum { N_CLASSES = sizeof classes / sizeof classes[0], TOTAL = N_CLASSES, N_ROWS };

typedef struct case_count {
    rung_prmbench z;
    int32_t at; /* class */
} case_count;
typedef struct prmbench {
    rung_store *s;
    const rung_prmbench_opts *o;
    void *row; /* case_count[n] */
    int64_t n, cap, n_unscored, n_missing, n_correct_class;
    void *score, *valid, *error; /* of the case at hand */
    int64_t score_cap, valid_cap, error_cap;
} prmbench;

/* -1: the class is "correct"; E_FORMAT: none of them. */
static rung_status class_of(int32_t *at, const rung_rated *r, rung_error *err) {
    yyjson_doc *doc = r->extra ? yyjson_read(r->extra, strlen(r->extra), 0) : NULL;
    const char *name = rung_json_str(yyjson_doc_get_root(doc), "classification", "");
    rung_status st = RUNG_OK;
    *at = 0;
    while (*at < N_CLASSES && strcmp(classes[*at], name) != 0) (*at)++;
    if (*at == N_CLASSES) {
        if (strcmp(name, "correct") == 0)
            *at = -1;
        else
            st = rung_fail(err, RUNG_E_FORMAT, "\"classification\" is no class of PRMBench");
    }
    yyjson_doc_free(doc);
    return st;
}

/* Scores of the case's trace; *scored false: it has none, or not all. */
static rung_status scores_of(bool *scored, prmbench *w, const rung_rated *r, int32_t n,
                             rung_error *err) {
    int64_t problem = 0;
    rung_iter *it = NULL;
    const rung_trace *t;
    *scored = false;
    if (r->id) RUNG_TRY(rung_problem_by_key(&problem, w->s, w->o->set, r->id, err));
    if (!problem) return w->n_missing++, RUNG_OK;
    RUNG_TRY(rung_trace_iter(&it, w->s, &(rung_filter){.problem = problem}, err));
    rung_status st = rung_trace_next(&t, it, err);
    if (st == RUNG_OK && t->n_steps == n) {
        st = rung_step_scores(w->score, w->s, t, w->o->model, err);
        *scored = true;
        for (int32_t k = 0; k < n; k++) *scored = *scored && !isnan(((double *)w->score)[k]);
    }
    rung_iter_free(it);
    w->n_unscored += !*scored;
    return st == RUNG_DONE ? RUNG_OK : st;
}

static rung_status take(void *ud, const rung_rated *r, int64_t line, rung_error *err) {
    prmbench *w = ud;
    int32_t at, n = r->n_steps;
    bool scored;
    (void)line;
    RUNG_TRY(class_of(&at, r, err));
    if (at < 0) return w->n_correct_class++, RUNG_OK;
    RUNG_TRY(rung_grow(&w->score, &w->score_cap, n, sizeof(double), err));
    RUNG_TRY(rung_grow(&w->valid, &w->valid_cap, n, sizeof(bool), err));
    RUNG_TRY(rung_grow(&w->error, &w->error_cap, n, sizeof(bool), err));
    RUNG_TRY(scores_of(&scored, w, r, n, err));
    if (!scored) return RUNG_OK;
    double tau = at < 2 ? w->o->tau_redundant : w->o->tau;
    for (int32_t k = 0; k < n; k++) {
        ((bool *)w->valid)[k] = ((double *)w->score)[k] > tau;
        ((bool *)w->error)[k] = r->step[k].mark == RUNG_MARK_WRONG;
    }
    RUNG_TRY(rung_grow(&w->row, &w->cap, w->n + 1, sizeof(case_count), err));
    case_count *c = (case_count *)w->row + w->n++;
    *c = (case_count){.at = at};
    rung_prmbench_add(&c->z, w->valid, w->error, n);
    return RUNG_OK;
}

static void add(rung_prmbench *sum, const rung_prmbench *z) {
    sum->tp += z->tp;
    sum->fp += z->fp;
    sum->tn += z->tn;
    sum->fn += z->fn;
    sum->n_first += z->n_first;
    sum->n_first_hit += z->n_first_hit;
    sum->n_step += z->n_step;
    sum->n_step_hit += z->n_step_hit;
    sum->n_right += z->n_right;
    sum->n_right_hit += z->n_right_hit;
    sum->n_wrong += z->n_wrong;
    sum->n_wrong_hit += z->n_wrong_hit;
}

typedef struct of_class {
    const case_count *row;
    int32_t at; /* TOTAL: all */
} of_class;

static double score_of(void *ud, const uint32_t *index, int64_t n) {
    const of_class *c = ud;
    rung_prmbench sum = {0};
    for (int64_t i = 0; i < n; i++)
        if (c->at == TOTAL || c->row[index[i]].at == c->at) add(&sum, &c->row[index[i]].z);
    return rung_prmbench_get(&sum).score;
}

static void put(rung_buf *b, const char *key, double v) {
    rung_buf_printf(b, ",\"%s\":", key);
    rung_put_num(b, v);
}

static void put_class(rung_buf *b, const prmbench *w, int32_t at) {
    rung_prmbench sum = {0};
    int64_t n = 0;
    of_class c = {w->row, at};
    for (int64_t i = 0; i < w->n; i++) {
        if (at != TOTAL && c.row[i].at != at) continue;
        add(&sum, &c.row[i].z);
        n++;
    }
    rung_prmbench_score s = rung_prmbench_get(&sum);
    rung_interval ci = {(double)NAN, (double)NAN};
    if (n > 0) ci = rung_bootstrap(score_of, &c, w->n, w->o->n_boot, LEVEL, w->o->seed);
    rung_buf_printf(b, "{\"class\":\"%s\",\"n\":%lld", at == TOTAL ? "total" : classes[at],
                    (long long)n);
    put(b, "prmscore", s.score);
    rung_buf_str(b, ",\"ci95\":");
    rung_put_interval(b, ci);
    put(b, "f1", s.f1);
    put(b, "f1_negative", s.f1_negative);
    put(b, "acc_step", s.acc_step);
    put(b, "acc_right", s.acc_right);
    put(b, "acc_wrong", s.acc_wrong);
    put(b, "acc_first", s.acc_first);
    rung_buf_str(b, "}");
}

static rung_status put_object(rung_buf *b, const prmbench *w, const rung_format_report *report,
                              rung_error *err) {
    rung_buf_printf(b,
                    "{\"v\":1,\"metric\":\"prmbench\",\"n\":%lld,\"n_unscored\":%lld,"
                    "\"n_missing\":%lld,\"n_correct_class\":%lld,\"model\":%lld,\"threshold\":%g,"
                    "\"threshold_redundant\":%g,\"seed\":%llu,\"file\":",
                    (long long)w->n, (long long)w->n_unscored, (long long)w->n_missing,
                    (long long)w->n_correct_class, (long long)w->o->model, w->o->tau,
                    w->o->tau_redundant, (unsigned long long)w->o->seed);
    rung_format_report_json(b, report);
    rung_buf_str(b, ",\"classes\":[");
    for (int32_t at = 0; at < N_CLASSES; at++) {
        if (at) rung_buf_str(b, ",");
        put_class(b, w, at);
    }
    rung_buf_str(b, "],\"total\":");
    put_class(b, w, TOTAL);
    rung_buf_str(b, "}");
    return rung_buf_check(b, err);
}

rung_status rung_bench_prmbench(rung_buf *json, rung_store *s, const char *path,
                                const rung_prmbench_opts *o, const rung_log *log, rung_error *err) {
    if (!o || o->struct_size != sizeof *o || !o->set || !o->set[0])
        return rung_fail(err, RUNG_E_INVAL, "prmbench needs the set that was imported");
    prmbench w = {.s = s, .o = o};
    rung_format_report report = {0};
    rung_format_opts how = RUNG_FORMAT_OPTS_INIT;
    rung_status st =
        rung_format_read(&report, rung_format_find("prmbench"), path, &how, log, take, &w, err);
    if (st == RUNG_OK && w.n == 0) {
        st = rung_fail(err, RUNG_E_NOT_FOUND,
                       "no case of %s is scored (%lld without a problem of set \"%s\")", path,
                       (long long)w.n_missing, o->set);
        rung_error_hint(err, "rung label import prmbench FILE --set %.60s, then rung reward score",
                        o->set);
    }
    if (st == RUNG_OK) st = put_object(json, &w, &report, err);
    rung_format_report_clear(&report);
    rung_free(w.row);
    rung_free(w.score);
    rung_free(w.valid);
    rung_free(w.error);
    return st;
}
