/* ProcessBench (labels.md 1): the first step whose score falls below tau against the marked first
 * error. Exact index, strict <, subsets never pooled. */
#include "bench/pool.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N_BOOT    10000
#define LEVEL     0.95
#define N_TAU_MAX 4096 /* thresholds tried; more distinct scores than that are thinned evenly */
#define N_SWEEP   21

/* Cases in columns; the steps of case i are score[begin[i]] .. score[begin[i+1]]. */
typedef struct cases {
    int64_t n, cap, n_score, score_cap, begin_cap, problem_cap, complete_cap;
    void *label;    /* int32_t[n] */
    void *problem;  /* int64_t[n] */
    void *begin;    /* int64_t[n+1] */
    void *complete; /* bool[n]: every step has a score */
    void *score;    /* double[n_score] */
    int64_t n_unscored, n_unlabelled;
} cases;

static void cases_clear(cases *c) {
    rung_free(c->label);
    rung_free(c->problem);
    rung_free(c->begin);
    rung_free(c->complete);
    rung_free(c->score);
}

static rung_status add_case(cases *c, rung_store *s, const rung_trace *t, int64_t model,
                            rung_error *err) {
    RUNG_TRY(rung_grow(&c->label, &c->cap, c->n + 1, sizeof(int32_t), err));
    RUNG_TRY(rung_grow(&c->problem, &c->problem_cap, c->n + 1, sizeof(int64_t), err));
    RUNG_TRY(rung_grow(&c->begin, &c->begin_cap, c->n + 2, sizeof(int64_t), err));
    RUNG_TRY(rung_grow(&c->complete, &c->complete_cap, c->n + 1, sizeof(bool), err));
    RUNG_TRY(rung_grow(&c->score, &c->score_cap, c->n_score + t->n_steps + 1, sizeof(double), err));
    double *score = (double *)c->score + c->n_score;
    RUNG_TRY(rung_step_scores(score, s, t, model, err));
    bool complete = t->n_steps > 0;
    for (int32_t i = 0; i < t->n_steps; i++) complete = complete && !isnan(score[i]);
    ((int32_t *)c->label)[c->n] = t->first_error;
    ((int64_t *)c->problem)[c->n] = t->problem;
    ((bool *)c->complete)[c->n] = complete;
    ((int64_t *)c->begin)[c->n] = c->n_score;
    c->n_score += t->n_steps;
    ((int64_t *)c->begin)[++c->n] = c->n_score;
    c->n_unscored += !complete;
    return RUNG_OK;
}

static rung_status load(cases *c, rung_store *s, const rung_pb_opts *o, const char *set,
                        rung_error *err) {
    rung_filter f = o->traces;
    f.set = set;
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_status st = rung_trace_iter(&it, s, &f, err);
    if (st != RUNG_OK) goto out;
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if (t->first_error == RUNG_FIRST_ERROR_UNKNOWN)
            c->n_unlabelled++;
        else
            RUNG_GOTO(add_case(c, s, t, o->model, err));
    }
    if (st == RUNG_DONE) st = RUNG_OK;
    if (st == RUNG_OK && c->n == 0) {
        st = rung_fail(err, RUNG_E_NOT_FOUND, "set \"%s\" has no traces with a known first error",
                       set);
        rung_error_hint(err, "import the set first: `rung problem import processbench FILE`");
    }
out:
    rung_iter_free(it);
    return st;
}

static void predict(int32_t *pred, const cases *c, double tau) {
    const int64_t *begin = c->begin;
    for (int64_t i = 0; i < c->n; i++)
        pred[i] = ((bool *)c->complete)[i]
                      ? rung_first_below((double *)c->score + begin[i],
                                         (int32_t)(begin[i + 1] - begin[i]), tau)
                      : RUNG_PRED_NONE;
}

static int cmp_f64(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Half way between neighbouring scores is every threshold that differs; the least tau with the
 * largest F1 wins. */
static rung_status tune(double *tau, const cases *c, rung_error *err) {
    double *s = rung_calloc((size_t)c->n_score + 1, sizeof *s);
    int32_t *pred = rung_calloc((size_t)c->n, sizeof *pred);
    if (!s || !pred) {
        rung_free(s);
        rung_free(pred);
        return rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld scores", (long long)c->n_score);
    }
    int64_t n = 0;
    for (int64_t i = 0; i < c->n_score; i++)
        if (!isnan(((double *)c->score)[i])) s[n++] = ((double *)c->score)[i];
    qsort(s, (size_t)n, sizeof *s, cmp_f64);
    int64_t stride = n / N_TAU_MAX + 1;
    double best = -1.0;
    *tau = 0.5;
    for (int64_t i = 0; i + stride < n; i += stride) {
        if (s[i] == s[i + stride]) continue;
        double at = 0.5 * (s[i] + s[i + stride]);
        predict(pred, c, at);
        double f1 = rung_processbench(pred, c->label, c->n).f1;
        if (f1 > best) { /* false when undefined */
            best = f1;
            *tau = at;
        }
    }
    rung_free(s);
    rung_free(pred);
    return RUNG_OK;
}

/* Bootstrap over problems: all cases of a drawn problem come along. */
typedef struct resampled {
    const cases *c;
    const int32_t *pred;
    const int64_t *first; /* [n_problems+1]: cases of problem j */
} resampled;

static double f1_of(void *ud, const uint32_t *index, int64_t n) {
    const resampled *r = ud;
    const int32_t *label = r->c->label;
    double n_err = 0.0, n_cor = 0.0, hit_err = 0.0, hit_cor = 0.0;
    for (int64_t j = 0; j < n; j++) {
        for (int64_t i = r->first[index[j]]; i < r->first[index[j] + 1]; i++) {
            double hit = r->pred[i] == label[i];
            *(label[i] == -1 ? &n_cor : &n_err) += 1.0;
            *(label[i] == -1 ? &hit_cor : &hit_err) += hit;
        }
    }
    double a = 100.0 * hit_err / n_err, b = 100.0 * hit_cor / n_cor; /* 0/0 is NaN: left out */
    return a + b == 0.0 ? 0.0 : 2.0 * a * b / (a + b);
}

static rung_status interval_of(rung_interval *ci, const cases *c, const int32_t *pred,
                               const rung_pb_opts *o, rung_error *err) {
    int64_t *first = rung_calloc((size_t)c->n + 1, sizeof *first), n = 0;
    if (!first)
        return rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld cases", (long long)c->n);
    for (int64_t i = 0; i < c->n; i++)
        if (i == 0 || ((int64_t *)c->problem)[i] != ((int64_t *)c->problem)[i - 1]) first[n++] = i;
    first[n] = c->n;
    resampled r = {c, pred, first};
    *ci = rung_bootstrap(f1_of, &r, n, o->n_boot > 0 ? o->n_boot : N_BOOT, LEVEL, o->seed);
    rung_free(first);
    return RUNG_OK;
}

static void put_pb(rung_buf *b, rung_pb r) {
    rung_buf_str(b, "\"acc_err\":");
    rung_put_num(b, r.acc_err);
    rung_buf_str(b, ",\"acc_cor\":");
    rung_put_num(b, r.acc_cor);
    rung_buf_str(b, ",\"f1\":");
    rung_put_num(b, r.f1);
}

static void put_result(rung_buf *b, const rung_pb_opts *o, const cases *c, int32_t *pred,
                       double tau, const char *tuned_on, rung_interval ci) {
    rung_pb r = rung_processbench(pred, c->label, c->n);
    rung_buf_str(b, "{\"v\":1,\"metric\":\"processbench\",\"subset\":");
    rung_buf_json_str(b, o->set, strlen(o->set));
    rung_buf_printf(b, ",\"n\":%lld,", (long long)c->n);
    put_pb(b, r);
    rung_buf_str(b, ",\"threshold\":");
    rung_put_num(b, tau);
    rung_buf_str(b, ",\"ci95\":");
    rung_put_interval(b, ci);
    rung_buf_printf(b,
                    ",\"model\":%lld,\"n_err\":%lld,\"n_cor\":%lld,\"n_unscored\":%lld,"
                    "\"n_unlabelled\":%lld,\"seed\":%llu,\"tuned_on\":",
                    (long long)o->model, (long long)r.n_err, (long long)r.n_cor,
                    (long long)c->n_unscored, (long long)c->n_unlabelled,
                    (unsigned long long)o->seed);
    if (tuned_on)
        rung_buf_json_str(b, tuned_on, strlen(tuned_on));
    else
        rung_buf_str(b, "null");
    rung_buf_str(b, ",\"sweep\":[");
    for (int i = 0; i < N_SWEEP; i++) {
        double at = (double)i / (double)(N_SWEEP - 1);
        predict(pred, c, at);
        rung_buf_printf(b, "%s{\"threshold\":%g,", i ? "," : "", at);
        put_pb(b, rung_processbench(pred, c->label, c->n));
        rung_buf_str(b, "}");
    }
    rung_buf_str(b, "]}");
}

rung_status rung_bench_processbench(rung_buf *json, rung_store *s, const rung_pb_opts *o,
                                    rung_error *err) {
    if (!o || o->struct_size != sizeof *o || !o->set || !o->set[0])
        return rung_fail(err, RUNG_E_INVAL, "processbench needs options with a set");
    cases c = {0}, other = {0};
    double tau = o->tau;
    const char *tuned_on = NULL;
    int32_t *pred = NULL;
    rung_interval ci;
    rung_status st;
    RUNG_GOTO(load(&c, s, o, o->set, err));
    if (tau < 0.0) {
        tuned_on = o->tune_set && o->tune_set[0] ? o->tune_set : o->set;
        const cases *on = &c;
        if (strcmp(tuned_on, o->set) != 0) {
            RUNG_GOTO(load(&other, s, o, tuned_on, err));
            on = &other;
        }
        RUNG_GOTO(tune(&tau, on, err));
    }
    if (c.n_unscored == c.n) {
        st = rung_fail(err, RUNG_E_NOT_FOUND, "no trace of set \"%s\" is scored by model %lld",
                       o->set, (long long)o->model);
        rung_error_hint(err, "score them first with `rung reward score`");
        goto out;
    }
    pred = rung_calloc((size_t)c.n, sizeof *pred);
    if (!pred) {
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld cases", (long long)c.n);
        goto out;
    }
    predict(pred, &c, tau);
    RUNG_GOTO(interval_of(&ci, &c, pred, o, err));
    put_result(json, o, &c, pred, tau, tuned_on, ci);
    st = rung_buf_check(json, err);
out:
    rung_free(pred);
    cases_clear(&c);
    cases_clear(&other);
    return st;
}
