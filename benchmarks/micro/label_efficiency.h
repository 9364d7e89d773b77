/* CHAIN (labels.md 0.3) in closed form: what each labeler says of the first error, and what it
 * costs, with a fixed K and with stopping, on the same draws. The rules are those of the labelers
 * (label/rollout_rule.h, label/tree/omega.h); only the model is a formula. */
#ifndef RUNG_BENCH_LABEL_EFFICIENCY_H
#define RUNG_BENCH_LABEL_EFFICIENCY_H
#include "label/rollout_rule.h"
#include "rung/rng.h"
#include "rung/stat.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EFF_T = 8, EFF_TOK = 8 }; /* steps, tokens of a step */
static const double eff_slips[] = {.01, .03, .06, .1, .2, .3};

typedef struct eff_trace {
    double p, rho;
    bool bad[EFF_T]; /* state after each step */
    int32_t err;     /* first bad step, -1 none */
    uint64_t id, seed;
} eff_trace;

static inline eff_trace eff_make(uint64_t seed, uint64_t i, double rho) {
    eff_trace t = {.p = eff_slips[i % 6], .rho = rho, .err = -1, .id = i, .seed = seed};
    rung_rng r = rung_rng_at(seed, RUNG_STREAM_TRACE, i, 0);
    bool bad = false;
    for (int32_t k = 0; k < EFF_T; k++) {
        bad = bad ? rung_rng_f64(&r) >= rho : rung_rng_f64(&r) < t.p;
        t.bad[k] = bad;
        if (bad && t.err < 0) t.err = k;
    }
    return t;
}

/* Chance that a completion from after step k (-1: the problem) ends well. */
static inline double eff_chance(const eff_trace *t, int32_t k) {
    double ok = k < 0 || !t->bad[k];
    for (int32_t j = k + 1; j < EFF_T; j++) ok = ok * (1 - t->p) + (1 - ok) * t->rho;
    return ok;
}

typedef struct eff_cost {
    double rolls, tok;
} eff_cost;

/* Outcome i from after step k, addressed. */
static inline bool eff_roll(const eff_trace *t, int32_t k, int32_t i) {
    rung_rng r =
        rung_rng_at(t->seed, RUNG_STREAM_ROLLOUT, t->id * 64 + (uint64_t)(k + 1), (uint64_t)i);
    return rung_rng_f64_at(&r, 0) < eff_chance(t, k);
}

static inline void eff_pay(eff_cost *c, int32_t k, int32_t n) {
    c->rolls += n;
    c->tok += (double)n * (EFF_T - 1 - k) * EFF_TOK;
}

static inline int32_t eff_count(const eff_trace *t, int32_t k, int32_t m) {
    int32_t c = 0;
    for (int32_t i = 0; i < m; i++) c += eff_roll(t, k, i);
    return c;
}

/* Hard label of a prefix by a rule. */
static inline int32_t eff_prefix(const eff_trace *t, int32_t k, const rollout_rule *r,
                                 eff_cost *cost) {
    if (k == EFF_T - 1) return !t->bad[k];
    int32_t m = 0, c;
    do {
        m = rollout_rule_next(r, m);
        c = eff_count(t, k, m);
    } while (!rollout_rule_settled(r, m, c, m - c));
    eff_pay(cost, k, m);
    return rollout_rule_hard(r, c, m - c);
}

/* mc: every prefix, or up to the first zero. */
static inline int32_t eff_mc(const eff_trace *t, const rollout_rule *r, bool cut, eff_cost *cost) {
    int32_t first = -1;
    for (int32_t k = 0; k < EFF_T; k++) {
        int32_t hard = eff_prefix(t, k, r, cost);
        if (hard == 0 && first < 0) first = k;
        if (first >= 0 && cut) break;
    }
    return first;
}

/* binary: wrong traces are searched; a right one is taken to be right. */
static inline int32_t eff_binary(const eff_trace *t, const rollout_rule *r, eff_cost *cost) {
    if (!t->bad[EFF_T - 1]) return -1;
    int32_t lo = 0, hi = EFF_T;
    while (hi - lo > 1) {
        int32_t m = lo + (hi - lo) / 2;
        if (eff_prefix(t, m - 1, r, cost) == 1)
            lo = m;
        else
            hi = m;
    }
    return hi - 1;
}

/* relative: up to the first step that loses progress. have[k + 1]: outcomes paid for. */
static inline int32_t eff_relative(const eff_trace *t, const progress_rule *r, int32_t k_max,
                                   eff_cost *cost) {
    int32_t have[EFF_T + 1] = {0}, first = -1;
    for (int32_t k = 0; k < EFF_T && first < 0; k++) {
        bool sure = k == EFF_T - 1;
        for (int32_t m = progress_next(r, 0, k_max);; m = progress_next(r, m, k_max)) {
            for (int32_t j = k - 1; j <= k; j++) {
                if ((j == k && sure) || have[j + 1] >= m) continue;
                eff_pay(cost, j, m - have[j + 1]);
                have[j + 1] = m;
            }
            int32_t a = sure ? !t->bad[k] : eff_count(t, k, m), b = eff_count(t, k - 1, m);
            progress_counts x = {a, sure ? !a : m - a, sure}, y = {b, m - b, false};
            double soft;
            int32_t hard = progress_hard(&soft, r, x, y);
            if (!progress_settled(r, m, k_max, x, y)) continue;
            if (hard == 0 || (!sure && a == 0)) first = k;
            break;
        }
    }
    return first;
}

typedef enum { EFF_MC_ALL, EFF_MC_CUT, EFF_BINARY, EFF_RELATIVE, EFF_LABELERS } eff_labeler;
static const char *const eff_names[] = {"mc, all steps", "mc, up to the first zero", "binary",
                                        "relative (ratio .8)"};

static inline int32_t eff_label(eff_cost *cost, const eff_trace *t, eff_labeler who,
                                rung_stopping stop, int32_t k, double level) {
    rollout_rule r = {stop, k, 0, level, 0, .3};
    progress_rule q = progress_rule_of(stop, false, .8, level, 0);
    if (who == EFF_BINARY) return eff_binary(t, &r, cost);
    if (who == EFF_RELATIVE) return eff_relative(t, &q, k, cost);
    return eff_mc(t, &r, who == EFF_MC_CUT, cost);
}

typedef struct eff_row {
    double acc[2], rolls[2], tok[2]; /* fixed, stopping */
    rung_interval acc_ci[2], diff_ci, ratio_ci;
    double diff, ratio; /* stopping - fixed in accuracy; stopping / fixed in tokens */
} eff_row;

typedef struct eff_ratio {
    const double *a, *b;
} eff_ratio;
static inline double eff_ratio_of(void *ud, const uint32_t *index, int64_t n) {
    const eff_ratio *x = ud;
    double a = 0, b = 0;
    for (int64_t i = 0; i < n; i++) a += x->a[index[i]], b += x->b[index[i]];
    return b > 0 ? a / b : (double)NAN;
}

/* n traces; the stopping arm by `stop` at `level`. */
static inline eff_row eff_measure(eff_labeler who, double rho, int32_t k, rung_stopping stop,
                                  double level, int64_t n, uint64_t seed) {
    eff_row z = {0};
    double *hit = calloc((size_t)n * 5, sizeof *hit);
    if (!hit) abort();
    double *other = hit + n, *d = hit + 2 * n, *tok[2] = {hit + 3 * n, hit + 4 * n};
    for (int64_t i = 0; i < n; i++) {
        eff_trace t = eff_make(seed, (uint64_t)i, rho);
        for (int arm = 0; arm < 2; arm++) {
            eff_cost c = {0};
            int32_t e = eff_label(&c, &t, who, arm ? stop : RUNG_STOPPING_FIXED, k, level);
            (arm ? other : hit)[i] = e == t.err;
            tok[arm][i] = c.tok;
            z.acc[arm] += e == t.err;
            z.rolls[arm] += c.rolls;
            z.tok[arm] += c.tok;
        }
        d[i] = other[i] - hit[i];
        z.diff += d[i];
    }
    for (int arm = 0; arm < 2; arm++) {
        z.acc_ci[arm] = rung_wilson((int64_t)z.acc[arm], n, .95);
        z.acc[arm] /= (double)n;
        z.rolls[arm] /= (double)n;
        z.tok[arm] /= (double)n;
    }
    z.diff /= (double)n;
    z.diff_ci = rung_bootstrap_mean(d, n, 1000, .95, seed);
    eff_ratio x = {tok[1], tok[0]};
    z.ratio = z.tok[1] / z.tok[0];
    z.ratio_ci = rung_bootstrap(eff_ratio_of, &x, n, 1000, .95, seed);
    free(hit);
    return z;
}
#endif
