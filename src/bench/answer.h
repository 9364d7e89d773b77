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
#endif
