/* bench/pool.h: what a measurement looks at, read once: the traces of a filter with their scores.
 */
#ifndef RUNG_SRC_BENCH_POOL_H
#define RUNG_SRC_BENCH_POOL_H
#include "rung/bench.h"

/* Why a trace counts as it does. "no answer" is told apart from a verdict that is unknown. */
typedef enum rung_outcome {
    RUNG_OUTCOME_CORRECT,
    RUNG_OUTCOME_WRONG,
    RUNG_OUTCOME_UNKNOWN,
    RUNG_OUTCOME_NO_ANSWER,
    RUNG_OUTCOME_COUNT
} rung_outcome;
rung_outcome rung_outcome_of(const rung_trace *t);

typedef struct rung_trace_pool_problem {
    int64_t id;
    int32_t n;
    rung_candidate *c; /* [n], in order of run and i; keys live in the pool's arena */
    uint8_t *outcome;  /* [n] of rung_outcome */
} rung_trace_pool_problem;
typedef struct rung_trace_pool {
    rung_arena *arena;
    rung_trace_pool_problem *problem;
    int64_t n_problems, cap;
    int64_t n_traces, n_tok;
    int64_t n_outcome[RUNG_OUTCOME_COUNT];
    int64_t n_no_prm, n_no_orm, n_no_confidence; /* traces that lack a score */
    int64_t n_prm_nodes, n_orm_nodes; /* scored prefixes: what traces share counts once */
    char policy[128];                 /* generator of the first trace */
} rung_trace_pool;
/* models 0: no such score.  rung_trace_pool_clear() whatever the status. */
rung_status rung_trace_pool_load(rung_trace_pool *p, rung_store *s, const rung_filter *f,
                                 int64_t prm_model, int64_t orm_model, rung_aggregate_id aggregate,
                                 int64_t not_run, rung_error *err);
void rung_trace_pool_clear(rung_trace_pool *p);

/* One score per step into out[t->n_steps]; NaN where there is none. model 0: the policy's own
 * confidence, exp of the least token logprob of the step. */
rung_status rung_step_scores(double *out, rung_store *s, const rung_trace *t, int64_t model,
                             rung_error *err);
/* Grows *p to hold at least n items of size; E_NOMEM keeps the old block. */
rung_status rung_grow(void **p, int64_t *cap, int64_t n, size_t size, rung_error *err);
/* A JSON number, or null when it is not finite. */
void rung_put_num(rung_buf *b, double v);
void rung_put_interval(rung_buf *b, rung_interval ci);
#endif
