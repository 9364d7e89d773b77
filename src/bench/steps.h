/* bench/steps.h: what the measures of step scores share: items weighted by how often a resample
 * drew their problem, and the measures by the first wrong step. */
#ifndef RUNG_SRC_BENCH_STEPS_H
#define RUNG_SRC_BENCH_STEPS_H
#include "bench/pool.h"

typedef struct rung_step_item {
    double p, y, soft; /* score; 1 right, 0 wrong; soft label or NaN */
    uint32_t problem;  /* dense number */
    bool hard;         /* a hard operation of a world */
    int64_t problem_id;
} rung_step_item;
int rung_step_item_cmp(const void *a, const void *b); /* ascending by score */

/* Items ascending by score; each counts as often as `index` names its problem. The statistics are
 * for rung_bootstrap: over problems. */
typedef struct rung_step_draw {
    const rung_step_item *item;
    int64_t n;
    double *weight; /* [n_problems] scratch */
    uint32_t n_problems;
    uint64_t seed;
    int n_boot;
} rung_step_draw;
double rung_step_auroc(void *draw, const uint32_t *index, int64_t n);
/* Average precision of wrong steps by 1 - p. */
double rung_step_ap(void *draw, const uint32_t *index, int64_t n);
double rung_step_brier(void *draw, const uint32_t *index, int64_t n);
double rung_step_ece(void *draw, const uint32_t *index, int64_t n);
enum { RUNG_STEP_BINS = 15 }; /* of ECE and MCE */

/* ,"key":value,"key_ci95":[..] of a statistic over the problems. */
void rung_step_put(rung_buf *b, const char *key, double (*stat)(void *, const uint32_t *, int64_t),
                   rung_step_draw *d);

/* Traces whose steps are scored and labelled up to their first wrong one, or to the end. */
typedef struct rung_first_set {
    void *item;    /* rung_step_item: steps up to the first wrong one */
    void *whole;   /* rung_step_item: one a trace, its least score; y = 0: it has a wrong step */
    void *score;   /* double: of the same steps as item, in order */
    void *first;   /* int64_t[n + 1] */
    void *label;   /* int32_t[n] */
    void *problem; /* uint32_t[n] */
    int64_t n, n_item, cap_item, cap_whole, cap_score, cap_first, cap_label, cap_problem;
    int64_t n_incomplete;
} rung_first_set;
void rung_first_clear(rung_first_set *f);
/* y: 1, 0, NaN none; score NaN none; [n]. */
rung_status rung_first_add(rung_first_set *f, const double *score, const double *y, int32_t n,
                           uint32_t problem, rung_error *err);
/* ,"first_error":{...}; sorts. tau NaN: chosen on these traces, and said so. */
rung_status rung_first_put(rung_buf *b, rung_first_set *f, double tau, const char *tau_from,
                           rung_step_draw d, rung_error *err);
#endif
