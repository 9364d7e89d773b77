/* rung/bench_file.h: benches on what others scored: a pool of candidates in a file, PRMBench, and
 * what best-of-N does not tell about a reward model. */
#ifndef RUNG_BENCH_FILE_H
#define RUNG_BENCH_FILE_H
#include "rung/bench.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Best-of-N from a file of JSON lines, a candidate each: problem_id (text or number), candidate
 * (its number, in whose order ties are broken), answer (text, null = none), correct (true, false,
 * null = nobody knows), step_scores (numbers; null or empty = not scored), and, where it is known,
 * first_error (-1 none). Every aggregate with every way of choosing (best-of-n, weighted vote), the
 * plain vote, one candidate, and the bound, all over the same candidates; intervals by bootstrap
 * over problems; paired tests against the vote. Appends one JSON object (docs/formats-bench.md). A
 * bad line is an event "pool.reject" with its line and reason, is counted and costs nothing else.
 *   fails  E_NOT_FOUND: the file; no good row */
typedef struct rung_pool_file_opts {
    size_t struct_size;
    double tau; /* of the biases: a step below it is flagged */
    int32_t n_boot;
    uint64_t seed;
} rung_pool_file_opts;
#define RUNG_POOL_FILE_OPTS_INIT                                                                   \
    { .struct_size = sizeof(rung_pool_file_opts), .tau = 0.5, .n_boot = 10000 }
rung_status rung_bench_pool_file(rung_buf *json, const char *path, const rung_pool_file_opts *o,
                                 const rung_log *log, rung_error *err);

/* The three biases of best-of-N (labels.md 2) of stored traces and scores of a model: how many
 * right answers have a wrong step in them, how many of those the model flags, how often the least
 * score is the last step's. Appends one JSON object. */
rung_status rung_bench_bias(rung_buf *json, rung_store *s, int64_t model, double tau,
                            const rung_filter *traces, int32_t n_boot, uint64_t seed,
                            rung_error *err);

/* PRMBench: the published file (classes, wrong steps from 1) against the stored scores of its
 * imported set (`rung label import prmbench FILE --set SET`). A step is called valid above tau; in
 * the classes redundency and circular above tau_redundant. Totals pool the error classes. A case
 * without all its scores is left out and counted. Appends one JSON object. */
typedef struct rung_prmbench_opts {
    size_t struct_size;
    const char *set;
    int64_t model; /* 0: the policy's own confidence */
    double tau, tau_redundant;
    int32_t n_boot;
    uint64_t seed;
} rung_prmbench_opts;
#define RUNG_PRMBENCH_OPTS_INIT                                                                    \
    {                                                                                              \
        .struct_size = sizeof(rung_prmbench_opts), .tau = 0.5, .tau_redundant = 0.15,              \
        .n_boot = 10000                                                                            \
    }
rung_status rung_bench_prmbench(rung_buf *json, rung_store *s, const char *path,
                                const rung_prmbench_opts *o, const rung_log *log, rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
