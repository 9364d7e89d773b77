/* bench/answer.h: accuracy of the methods on one problem's pool, and the sums over problems. */
#ifndef RUNG_SRC_BENCH_ANSWER_H
#define RUNG_SRC_BENCH_ANSWER_H
#include "bench/pool.h"

/* Expectations over a random k-subset of one problem's pool. */
typedef struct rung_cell {
    double acc;       /* the chosen answer is correct */
    double no_answer; /* no answer was chosen */
    double unknown;   /* an answer whose verdict is unknown was chosen */
} rung_cell;
/* "exact": a closed form; "subsets": the mean over all k-subsets, or n_subsets random ones. */
const char *rung_estimator_of(const rung_method *m);
/* cell[i_method * n_k + i_k] of one problem; methods without a closed form share their subsets,
 * addressed by (seed, stream SUBSET, problem, k). */
rung_status rung_answer_cells(rung_cell *cell, const rung_trace_pool_problem *p,
                              const rung_method *const *method, int n_methods, const int32_t *k,
                              int n_k, int n_subsets, uint64_t seed, rung_error *err);
#define RUNG_ARM_MAX     64
#define RUNG_K_MAX       16 /* k = 1, 2, 4, .. 16384 and n */
#define RUNG_N_BASELINES 2

/* One method as it is measured: a row of the table, or the greedy run. */
typedef struct rung_arm {
    const char *name, *help;
    const rung_method *method; /* NULL: the greedy run */
    int n_k;                   /* points of its curve: 1 for one trace, else all */
    bool scored_prm, scored_orm;
} rung_arm;
typedef struct rung_measure {
    const rung_answer_opts *o;
    rung_trace_pool pool, greedy;
    int32_t n, n_short; /* traces of each problem; problems with fewer, left out */
    int64_t n_problems;
    rung_trace_pool_problem *kept; /* [n_problems] */
    int32_t k[RUNG_K_MAX];
    int n_k;
    rung_arm arm[RUNG_ARM_MAX];
    int n_arms, i_base[RUNG_N_BASELINES]; /* -1 none */
    struct {
        const char *name, *reason;
    } skipped[RUNG_ARM_MAX];
    int n_skipped;
    int m;             /* columns: n_arms * n_k accuracies, then differences */
    double *x;         /* [n_problems][m] */
    double *mean;      /* [m] */
    rung_interval *ci; /* [m] */
    rung_cell *cell;   /* [n_arms * n_k] means over problems */
    uint8_t *full;     /* [n_arms][n_problems] right with the whole pool: 0 or 1 */
    double tokens_mean, s_per_tok;
    struct { /* of a trace of the pool: what the reward model read, and how long; NaN not known */
        double tok, s;
    } scoring[2]; /* prm, orm */
    int32_t n_subsets, n_boot;
} rung_measure;

static inline int rung_column(const rung_measure *a, int i_arm, int i_k) {
    return i_arm * a->n_k + i_k;
}
static inline int rung_diff_column(const rung_measure *a, int i_arm, int i_base) {
    return a->n_arms * a->n_k + i_arm * RUNG_N_BASELINES + i_base;
}

/* The greedy run's traces of a problem that is kept. */
const rung_trace_pool_problem *rung_answer_greedy(const rung_measure *a, int64_t id);
/* Result and sample files of lm-evaluation-harness; lm_eval.c. */
rung_status rung_answer_lm_eval(const char *folder, rung_store *s, const rung_measure *a,
                                rung_error *err);

/* Appends the whole object; its "sets" member. */
rung_status rung_answer_put(rung_buf *json, const rung_measure *a, rung_store *s, rung_error *err);
rung_status rung_answer_put_sets(rung_buf *json, const rung_measure *a, rung_store *s,
                                 rung_error *err);
#endif
