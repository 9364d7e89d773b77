/* What best-of-N hides of a reward model (labels.md 2): right answers with a wrong process, those
 * of them that it flags, and how often the last step has the least score. */
#include "bench/bias.h"
#include "rung/bench_file.h"
#include <math.h>
#include <string.h>

#define LEVEL 0.95

typedef struct share {
    const rung_bon_bias *z;
    int which;
} share;

static void parts(double *part, double *whole, const rung_bon_bias *z, int which) {
    const int64_t of[3][2] = {
        {z->n_flawed, z->n_right}, {z->n_flagged, z->n_seen}, {z->n_last, z->n_scored}};
    *part += (double)of[which][0];
    *whole += (double)of[which][1];
}

static double share_of(void *ud, const uint32_t *index, int64_t n) {
    const share *s = ud;
    double part = 0.0, whole = 0.0;
    for (int64_t i = 0; i < n; i++) parts(&part, &whole, &s->z[index[i]], s->which);
    return part / whole; /* 0/0 is NaN: left out */
}

void rung_put_bias(rung_buf *b, const rung_bon_bias *z, int64_t n, double tau, int n_boot,
                   uint64_t seed) {
    static const char *const name[3] = {"process_error", "flagged", "least_last"};
    rung_bon_bias sum = {0};
    for (int64_t i = 0; i < n; i++) {
        sum.n_right += z[i].n_right;
        sum.n_flawed += z[i].n_flawed;
        sum.n_seen += z[i].n_seen;
        sum.n_flagged += z[i].n_flagged;
        sum.n_scored += z[i].n_scored;
        sum.n_last += z[i].n_last;
    }
    rung_buf_printf(b,
                    "{\"n_right\":%lld,\"n_flawed\":%lld,\"n_flawed_scored\":%lld,"
                    "\"n_flagged\":%lld,\"n_scored\":%lld,\"n_least_last\":%lld,\"threshold\":",
                    (long long)sum.n_right, (long long)sum.n_flawed, (long long)sum.n_seen,
                    (long long)sum.n_flagged, (long long)sum.n_scored, (long long)sum.n_last);
    rung_put_num(b, tau);
    for (int k = 0; k < 3; k++) {
        double part = 0.0, whole = 0.0;
        share s = {z, k};
        parts(&part, &whole, &sum, k);
        rung_interval ci = {(double)NAN, (double)NAN};
        if (whole > 0.0) ci = rung_bootstrap(share_of, &s, n, n_boot, LEVEL, seed);
        rung_buf_printf(b, ",\"%s\":", name[k]);
        rung_put_num(b, part / whole);
        rung_buf_printf(b, ",\"%s_ci95\":", name[k]);
        rung_put_interval(b, ci);
    }
    rung_buf_str(b, "}");
}

typedef struct collect {
    void *z, *score; /* rung_bon_bias[n], double[score_cap] */
    int64_t n, cap, score_cap, problem, n_traces, n_unscored;
} collect;

static rung_status add_trace(collect *w, rung_store *s, const rung_trace *t, int64_t model,
                             double tau, rung_error *err) {
    if (w->n == 0 || w->problem != t->problem) { /* traces come by problem */
        RUNG_TRY(rung_grow(&w->z, &w->cap, w->n + 1, sizeof(rung_bon_bias), err));
        ((rung_bon_bias *)w->z)[w->n++] = (rung_bon_bias){0};
        w->problem = t->problem;
    }
    RUNG_TRY(rung_grow(&w->score, &w->score_cap, t->n_steps, sizeof(double), err));
    RUNG_TRY(rung_step_scores(w->score, s, t, model, err));
    bool scored = t->n_steps > 0;
    for (int32_t k = 0; k < t->n_steps; k++)
        scored = scored && !isnan(((const double *)w->score)[k]);
    w->n_traces++;
    w->n_unscored += !scored;
    rung_bon_bias_add((rung_bon_bias *)w->z + w->n - 1, t->verdict == RUNG_VERDICT_CORRECT,
                      t->first_error, w->score, scored ? t->n_steps : 0, tau);
    return RUNG_OK;
}

rung_status rung_bench_bias(rung_buf *json, rung_store *s, int64_t model, double tau,
                            const rung_filter *traces, int32_t n_boot, uint64_t seed,
                            rung_error *err) {
    collect w = {0};
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_status st = rung_trace_iter(&it, s, traces, err);
    while (st == RUNG_OK && (st = rung_trace_next(&t, it, err)) == RUNG_OK)
        st = add_trace(&w, s, t, model, tau, err);
    if (st == RUNG_DONE) st = RUNG_OK;
    if (st == RUNG_OK && w.n_traces == 0)
        st = rung_fail(err, RUNG_E_NOT_FOUND, "no trace to look at");
    if (st == RUNG_OK) {
        rung_buf_printf(json,
                        "{\"v\":1,\"metric\":\"bias\",\"model\":%lld,\"n_problems\":%lld,"
                        "\"n_traces\":%lld,\"n_unscored\":%lld,\"seed\":%llu,\"bias\":",
                        (long long)model, (long long)w.n, (long long)w.n_traces,
                        (long long)w.n_unscored, (unsigned long long)seed);
        rung_put_bias(json, w.z, w.n, tau, n_boot, seed);
        rung_buf_str(json, "}");
        st = rung_buf_check(json, err);
    }
    rung_iter_free(it);
    rung_free(w.z);
    rung_free(w.score);
    return st;
}
