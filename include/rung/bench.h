/* rung/bench.h: measure: answers at equal budget, ProcessBench, speed, the report. */
#ifndef RUNG_BENCH_H
#define RUNG_BENCH_H
#include "rung/search.h"
#include "rung/stat.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct rung_answer_opts {
    size_t struct_size;
    rung_filter traces;           /* run = the sampling run of the test pool */
    int64_t prm_model, orm_model; /* rows of model; 0 none */
    rung_aggregate_id aggregate;
    const int64_t *greedy_run; /* NULL or the run sampled at T = 0 */
    int32_t n_subsets;         /* of each size k, for methods without a closed form; 0 = 200 */
    uint64_t seed;
    int32_t n_boot;       /* 0 = 10000 */
    const char *baseline; /* NULL = "majority" for paired tests; every method is also compared with
                             "single" */
    const char *lm_eval; /* NULL, or a folder for lm-evaluation-harness's result and sample files */
} rung_answer_opts;
#define RUNG_ANSWER_OPTS_INIT                                                                      \
    { .struct_size = sizeof(rung_answer_opts), .aggregate = RUNG_AGGREGATE_MIN }
/* Accuracy of every method at k = 1, 2, 4, ... n of the same pool: mean over problems, 95%
 * bootstrap interval over problems, mean tokens; paired difference with the baseline and with one
 * sample, McNemar at k = n, Holm over methods. Appends one JSON object; docs/formats-bench.md has
 * its fields. A chosen trace whose verdict is unknown is not correct; its share is printed.
 * Problems with fewer traces than the largest pool are left out, counted and warned of. */
rung_status rung_bench_answer(rung_buf *json, rung_store *s, const rung_answer_opts *o,
                              const rung_log *log, rung_error *err);
/* What the object's vs averages: of each problem, the accuracy of `method` less that of `over` with
 * the whole pool. *out[*n], by problem id; rung_free it. E_NOT_FOUND: a method was not measured. */
typedef struct rung_answer_diff {
    int64_t problem;
    double diff;
} rung_answer_diff;
rung_status rung_bench_answer_diffs(rung_answer_diff **out, int64_t *n, rung_store *s,
                                    const rung_answer_opts *o, const char *method, const char *over,
                                    const rung_log *log, rung_error *err);
/* One claim over several seeds. diff[k][0..n[k]) of seed k, by problem id; problems that not every
 * seed has are left out and counted. Seeds are averaged inside a problem, then problems are drawn
 * (feedback.md 10.5): the interval speaks of new problems; how much seeds differ is said beside it.
 */
typedef struct rung_seeds {
    int64_t n_problems, n_left_out;
    double diff;      /* mean over problems of the mean over seeds */
    rung_interval ci; /* 95% */
    double seed_sd;   /* of the seeds' own means, n - 1 in the denominator; NaN for one seed */
    double seed_diff[64];
} rung_seeds;
rung_status rung_bench_seeds(rung_seeds *out, rung_answer_diff *const *diff, const int64_t *n,
                             int n_seeds, uint64_t seed, rung_error *err);
/* Are all conditions (one a line) met by such an object? Of accuracies with the whole pool, in
 * shares: "bon_prm>0.5", "vote_prm-majority>=0.02", "ci vote_prm-majority>0" (the whole 95%
 * interval). failed: those that are not, with what was measured; appended. E_INVAL: unreadable, or
 * of a method that was not measured. _check reads them alone, before the work. */
rung_status rung_bench_require(bool *met, rung_buf *failed, const char *json,
                               const char *conditions, rung_error *err);
rung_status rung_bench_require_check(const char *conditions, rung_error *err);
/* The same object as a text table for eyes, without escape codes. E_FORMAT: not such an object. */
rung_status rung_bench_answer_table(rung_buf *text, const char *json, rung_error *err);
/* ProcessBench (labels.md 1): the problems of `set` (or the traces of a run) whose first error is
 * known, against the first step that scores below tau, or against what a labeler claims: a critic's
 * votes, rollouts, ... tau < 0: the tau that maximises F1 on tune_set (when it is the set itself
 * the object says so), NULL: that of the model's calibration, E_INVAL when it has none. A trace
 * without all its scores, or of which the labeler says nothing that can be read, is a miss in
 * either class and is counted. */
typedef struct rung_pb_opts {
    size_t struct_size;
    const char *set;
    int64_t model;
    double tau;
    const char *tune_set;
    uint64_t seed;
    int32_t n_boot; /* 0 = 10000 */
    rung_filter traces;
    const rung_label_source *labels; /* NULL: scores of model */
} rung_pb_opts;
#define RUNG_PB_OPTS_INIT                                                                          \
    { .struct_size = sizeof(rung_pb_opts), .tau = 0.5 }
rung_status rung_bench_processbench(rung_buf *json, rung_store *s, const rung_pb_opts *o,
                                    rung_error *err);
/* Step scores against labels (feedback.md 10.6, 10.7): AUROC, AP, Brier, ECE with intervals over
 * problems, reliability bins, the first wrong step at a threshold; score by step position. model 0:
 * the policy's own confidence (least token probability of the step) from the stored logprobs.
 * Labels are of label_source; hard where there is one, else soft. Appends one JSON object
 * (docs/formats-bench.md). */
typedef struct rung_steps_opts {
    size_t struct_size;
    int64_t model;
    const char *label_source;
    int64_t label_run; /* 0 = the newest */
    rung_filter traces;
    uint64_t seed;
    int32_t n_boot;             /* 0 = 2000 */
    double threshold;           /* NaN: .5 */
    const char *threshold_from; /* where it was chosen, for the reader */
    bool tune_on_test;          /* choose it on the measured traces; the object says so */
    bool (*leave_out)(void *ud, const rung_problem *p); /* its traces are counted and left out */
    void *ud;
    const char *note; /* members that go into the object as they are: "\"a\":1"; NULL none */
} rung_steps_opts;
#define RUNG_STEPS_OPTS_INIT                                                                       \
    { .struct_size = sizeof(rung_steps_opts), .threshold = (double)NAN }
rung_status rung_bench_steps_as(rung_buf *json, rung_store *s, const rung_steps_opts *o,
                                rung_error *err);
rung_status rung_bench_steps(rung_buf *json, rung_store *s, int64_t model, const char *label_source,
                             const rung_filter *traces, uint64_t seed, rung_error *err);
/* Such an object's reliability diagram as an SVG file: share right against score with Wilson
 * intervals, how many steps lie where. E_NOT_FOUND: it has no bins. */
rung_status rung_bench_reliability_svg(rung_buf *svg, const char *json, const char *title,
                                       rung_error *err);
/* Speed of a local engine on the work of this library: docs/design/bench-engine.md says what is
 * timed and how peers are given the same. Each appends one JSON object; nothing is written to the
 * store. Reading, tokenizing and opening are outside the timed span; the engine should be fresh.
 * All fail with E_INVAL on a remote engine, whose tokens are not known, and E_NOT_FOUND when no row
 * fits. */
typedef struct rung_load_opts {
    size_t struct_size;
    rung_filter what;
    const char *system, *suffix; /* as in sampling */
    /* rollouts: n continuations of every step prefix but the last of the traces in `what`, or of
     * the problems themselves */
    bool problems;
    int32_t n, max_tok; /* 0 = 8, 64 */
    rung_sampling sampling;
    uint64_t seed;
    const char
        *prompts_out; /* NULL, or a file for what a peer is to be given: a JSON object a line */
    /* score */
    bool per_step; /* one evaluation a step from an empty cache, as scorers without a cache do it */
    bool logits;   /* read logits at step ends; else hidden states */
} rung_load_opts;
#define RUNG_LOAD_OPTS_INIT                                                                        \
    { .struct_size = sizeof(rung_load_opts), .sampling = RUNG_SAMPLING_INIT }
rung_status rung_bench_rollouts(rung_buf *json, rung_store *s, rung_engine *e,
                                const rung_load_opts *o, rung_error *err);
rung_status rung_bench_score(rung_buf *json, rung_store *s, rung_engine *e, const rung_load_opts *o,
                             rung_error *err);
/* n_tok tokens decoded and sampled for each of n_seq continuations of one prompt of n_prompt
 * tokens, for every n_seq in the list. The prompt is computed before the timed span; a
 * continuation's first token comes from the prompt's logits and is not counted. End tokens are
 * banned, so that none ends early; a bias list of the caller's is not used. */
typedef struct rung_decode_opts {
    size_t struct_size;
    const int32_t *n_seq;
    int32_t n_points, n_prompt, n_tok;
    rung_sampling sampling;
    uint64_t seed;
} rung_decode_opts;
#define RUNG_DECODE_OPTS_INIT                                                                      \
    {                                                                                              \
        .struct_size = sizeof(rung_decode_opts), .n_prompt = 256, .n_tok = 64,                     \
        .sampling = RUNG_SAMPLING_INIT                                                             \
    }
rung_status rung_bench_decode(rung_buf *json, rung_engine *e, const rung_decode_opts *o,
                              rung_error *err);
/* Search runs on the problems they share. in: name, run; the rest is filled. diff, p: against the
 * baseline, paired; Holm over the others. opt (NULL: not wanted): the compute-optimal choice among
 * the runs, by the pass rate of the pilot's traces. */
typedef struct rung_search_arm {
    const char *name;
    int64_t run, n_correct, n_unknown, n_no_answer;
    double acc, diff, p, p_holm;
    rung_interval ci, diff_ci;
    rung_search_ledger cost;
} rung_search_arm;
typedef struct rung_bench_searches_opts {
    size_t struct_size;
    int32_t baseline; /* index of an arm */
    int64_t pilot_run;
    int n_bins; /* as in rung_compute_optimal */
    int n_boot;
    uint64_t seed;
} rung_bench_searches_opts;
rung_status rung_bench_searches(rung_search_arm *arm, int32_t n_arms, int64_t *n_problems,
                                rung_optimal *opt, rung_store *s, const rung_bench_searches_opts *o,
                                rung_error *err);
/* One self-contained HTML file from what the store holds: results of kind "answer", "steps",
 * "processbench" (newest of each), traces, scores, labels, metrics, runs. `command`: what the
 * reader types to make it again. E_NOT_FOUND when there is no "answer" result. */
rung_status rung_report_write(const char *path, rung_store *s, const char *title,
                              const char *command, const rung_log *log, rung_error *err);
/* The same, appended to html. */
rung_status rung_report_html(rung_buf *html, rung_store *s, const char *title, const char *command,
                             const rung_log *log, rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
