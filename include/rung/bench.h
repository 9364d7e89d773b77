/* rung/bench.h: measure: answers at equal budget, ProcessBench, the report. */
#ifndef RUNG_BENCH_H
#define RUNG_BENCH_H
#include "rung/search.h"
#include "rung/stat.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct rung_answer_opts {
    size_t struct_size;
    rung_filter traces;           /* run = the sampling run(s) of the test pool */
    int64_t prm_model, orm_model; /* rows of model; 0 none */
    rung_aggregate_id aggregate;
    const int64_t *greedy_run; /* NULL or the run sampled at T = 0 */
    int32_t n_subsets;         /* of each size k, for methods without a closed form; 0 = 200 */
    uint64_t seed;
    int32_t n_boot;       /* 0 = 10000 */
    const char *baseline; /* NULL = "majority" for paired tests; every method is also compared with
                             "single" */
} rung_answer_opts;
#define RUNG_ANSWER_OPTS_INIT                                                                      \
    { .struct_size = sizeof(rung_answer_opts), .aggregate = RUNG_AGGREGATE_MIN }
/* Accuracy of every method at k = 1, 2, 4, ... n of the same pool: mean over problems, 95%
 * bootstrap interval over problems, mean tokens; paired difference with the baseline and with one
 * sample, McNemar at k = n, Holm over methods. Appends one JSON object; docs/formats.md has its
 * fields. */
rung_status rung_bench_answer(rung_buf *json, rung_store *s, const rung_answer_opts *o,
                              const rung_log *log, rung_error *err);
/* ProcessBench from stored scores (labels.md 1); tau < 0: the tau that maximises F1 on `tune`
 * subset (named in the output). */
typedef struct rung_pb_opts {
    size_t struct_size;
    const char *set;
    int64_t model;
    double tau;
    const char *tune_set;
    uint64_t seed;
    int32_t n_boot;
    rung_filter traces;
} rung_pb_opts;
#define RUNG_PB_OPTS_INIT                                                                          \
    { .struct_size = sizeof(rung_pb_opts), .tau = 0.5 }
rung_status rung_bench_processbench(rung_buf *json, rung_store *s, const rung_pb_opts *o,
                                    rung_error *err);
/* Step scores against labels: AUROC, AP, Brier, ECE, reliability bins; per source. Appends one JSON
 * object. */
rung_status rung_bench_steps(rung_buf *json, rung_store *s, int64_t model, const char *label_source,
                             const rung_filter *traces, uint64_t seed, rung_error *err);
/* One self-contained HTML file. */
rung_status rung_report_write(const char *path, rung_store *s, const char *title,
                              const char *command, const rung_log *log, rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
