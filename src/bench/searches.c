/* Search runs against each other on the problems they share: accuracy and cost per run, paired
 * differences to a baseline (exact McNemar, Holm over the runs), and the compute-optimal choice per
 * difficulty bin (search.md 2.9, 2.13). */
#include "bench/pool.h"
#include "rung/search.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct table {
    rung_search_arm *arm;
    int32_t n_arms, at;
    int64_t *problem, n, cap; /* of the first run; kept: those that every run has */
    int32_t *n_runs;
    double *correct; /* [n_arms][n] NaN: the run lacks it */
} table;

static int64_t place_of(const table *t, int64_t problem) {
    int64_t lo = 0, hi = t->n; /* rows come by problem */
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        if (t->problem[mid] < problem)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < t->n && t->problem[lo] == problem ? lo : -1;
}

static rung_status note_problem(void *ud, const rung_search_row *r, rung_error *err) {
    table *t = ud;
    void *block = t->problem;
    rung_status st = rung_grow(&block, &t->cap, t->n + 1, sizeof *t->problem, err);
    t->problem = block;
    if (st == RUNG_OK) t->problem[t->n++] = r->problem;
    return st;
}

static rung_status note_answer(void *ud, const rung_search_row *r, rung_error *err) {
    table *t = ud;
    rung_search_arm *a = &t->arm[t->at];
    rung_search_ledger cost;
    int64_t i = place_of(t, r->problem);
    if (i < 0) return RUNG_OK;
    RUNG_TRY(rung_search_ledger_read(&cost, r->ledger, err));
    rung_search_ledger_add(&a->cost, &cost);
    bool correct = strcmp(r->outcome, "correct") == 0;
    a->n_correct += correct;
    a->n_unknown += strcmp(r->outcome, "unknown") == 0;
    a->n_no_answer += strcmp(r->outcome, "no_answer") == 0;
    t->correct[(int64_t)t->at * t->n + i] = correct ? 1.0 : 0.0;
    t->n_runs[i]++;
    return RUNG_OK;
}

/* Problems that some run lacks are left out of the runs that have them, costs too: read again. */
static rung_status keep_shared(table *t, rung_store *s, rung_error *err) {
    int64_t kept = 0;
    for (int64_t i = 0; i < t->n; i++)
        if (t->n_runs[i] == t->n_arms) t->problem[kept++] = t->problem[i];
    if (kept == t->n) return RUNG_OK;
    t->n = kept;
    for (int64_t i = 0; i < kept; i++) t->n_runs[i] = 0;
    for (int32_t k = 0; k < t->n_arms; k++) {
        const char *name = t->arm[k].name;
        int64_t run = t->arm[k].run;
        t->arm[k] = (rung_search_arm){.name = name, .run = run};
        t->at = k;
        RUNG_TRY(rung_search_rows(s, run, 0, note_answer, t, err));
    }
    return RUNG_OK;
}

static rung_status compare(table *t, int32_t baseline, int n_boot, uint64_t seed, rung_error *err) {
    double *d = rung_calloc((size_t)t->n + 1, sizeof *d);
    double *p = rung_calloc((size_t)t->n_arms, 2 * sizeof *p);
    if (!d || !p) {
        rung_free(d);
        rung_free(p);
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld problems", (long long)t->n);
    }
    const double *base = t->correct + (int64_t)baseline * t->n;
    int32_t m = 0;
    for (int32_t k = 0; k < t->n_arms; k++) {
        rung_search_arm *a = &t->arm[k];
        const double *x = t->correct + (int64_t)k * t->n;
        int64_t b = 0, c = 0;
        for (int64_t i = 0; i < t->n; i++) {
            d[i] = x[i] - base[i];
            b += d[i] > 0.0;
            c += d[i] < 0.0;
        }
        a->acc = (double)a->n_correct / (double)t->n;
        a->ci = rung_bootstrap_mean(x, t->n, n_boot, .95, seed);
        a->diff = (double)(b - c) / (double)t->n;
        a->diff_ci = rung_bootstrap_mean(d, t->n, n_boot, .95, seed);
        a->p = a->p_holm = 1.0;
        if (k == baseline) continue;
        p[m++] = a->p = rung_mcnemar_test(b, c).p_exact;
    }
    rung_holm(p + t->n_arms, p, (size_t)m);
    for (int32_t k = 0, at = 0; k < t->n_arms; k++)
        if (k != baseline) t->arm[k].p_holm = p[t->n_arms + at++];
    rung_free(d);
    rung_free(p);
    return RUNG_OK;
}

/* How easy each problem is: the pass rate of the pilot's traces, unknown verdicts left out. */
static rung_status difficulty(double *value, const table *t, rung_store *s, int64_t pilot,
                              rung_error *err) {
    rung_iter *it = NULL;
    const rung_trace *x;
    rung_status st;
    double *n = rung_calloc((size_t)t->n + 1, sizeof *n);
    if (!n) return rung_fail(err, RUNG_E_NOMEM, "no memory for a pilot");
    st = rung_trace_iter(&it, s, &(rung_filter){.run = pilot}, err);
    while (st == RUNG_OK && (st = rung_trace_next(&x, it, err)) == RUNG_OK) {
        int64_t i = place_of(t, x->problem);
        if (i < 0 || x->verdict == RUNG_VERDICT_UNKNOWN) continue;
        value[i] += x->verdict == RUNG_VERDICT_CORRECT;
        n[i] += 1.0;
    }
    rung_iter_free(it);
    if (st == RUNG_DONE) st = RUNG_OK;
    for (int64_t i = 0; i < t->n && st == RUNG_OK; i++) {
        if (n[i] > 0.0) value[i] /= n[i];
        if (n[i] <= 0.0)
            st = rung_fail(err, RUNG_E_NOT_FOUND, "the pilot has no verdict on problem %lld",
                           (long long)t->problem[i]);
    }
    rung_free(n);
    return st;
}

static rung_status optimal(rung_optimal *out, const table *t, rung_store *s, int64_t pilot,
                           int n_bins, int n_boot, uint64_t seed, rung_error *err) {
    double *value = rung_calloc((size_t)t->n + 1, sizeof *value);
    if (!value) return rung_fail(err, RUNG_E_NOMEM, "no memory for a pilot");
    rung_status st = difficulty(value, t, s, pilot, err);
    if (st == RUNG_OK)
        st = rung_compute_optimal(out, t->correct, t->n_arms, value, t->n, n_bins, n_boot, seed,
                                  err);
    rung_free(value);
    return st;
}

rung_status rung_bench_searches(rung_search_arm *arm, int32_t n_arms, int64_t *n_problems,
                                rung_optimal *opt, rung_store *s, const rung_bench_searches_opts *o,
                                rung_error *err) {
    table t = {.arm = arm, .n_arms = n_arms};
    if (n_arms < 1 || o->baseline < 0 || o->baseline >= n_arms)
        return rung_fail(err, RUNG_E_INVAL, "no search runs to compare");
    rung_status st = rung_search_rows(s, arm[0].run, 0, note_problem, &t, err);
    if (st != RUNG_OK) goto out;
    t.n_runs = rung_calloc((size_t)t.n + 1, sizeof *t.n_runs);
    t.correct = rung_calloc(((size_t)t.n + 1) * (size_t)n_arms, sizeof *t.correct);
    if (!t.n_runs || !t.correct) {
        st = rung_fail(err, RUNG_E_NOMEM, "no memory for %lld problems", (long long)t.n);
        goto out;
    }
    for (t.at = 0; t.at < n_arms; t.at++) {
        arm[t.at] = (rung_search_arm){.name = arm[t.at].name, .run = arm[t.at].run};
        RUNG_GOTO(rung_search_rows(s, arm[t.at].run, 0, note_answer, &t, err));
    }
    RUNG_GOTO(keep_shared(&t, s, err));
    *n_problems = t.n;
    if (t.n == 0) {
        st = rung_fail(err, RUNG_E_NOT_FOUND, "the runs share no problem");
        rung_error_hint(err, "rung search run --policy makes such runs");
        goto out;
    }
    RUNG_GOTO(compare(&t, o->baseline, o->n_boot, o->seed, err));
    if (opt) st = optimal(opt, &t, s, o->pilot_run, o->n_bins, o->n_boot, o->seed, err);
out:
    rung_free(t.problem);
    rung_free(t.n_runs);
    rung_free(t.correct);
    return st;
}
