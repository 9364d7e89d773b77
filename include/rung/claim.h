/* rung/claim.h: does a published comparison hold here? Two arms, each measured with several seeds;
 * the difference of a figure, its interval over seeds and problems together. */
#ifndef RUNG_CLAIM_H
#define RUNG_CLAIM_H
#include "rung/bench.h"
#ifdef __cplusplus
extern "C" {
#endif

/* What an arm's items add up to. x and y of an item: */
#define RUNG_ARM_METRICS(X)                                                                        \
    X(RATIO, "ratio", "sum of x over sum of y")                                                    \
    X(F1, "f1", "ProcessBench's F1; x = hit, y = the case has an error")                           \
    X(ACC_ERR, "acc_err", "share of hits among cases with an error; x, y as for f1")               \
    X(ACC_COR, "acc_cor", "share of hits among cases without one; x, y as for f1")                 \
    X(AUROC, "auroc", "area under the curve; x = score, y = 1 of the positive class")              \
    X(RARE, "rare", "share of the rarer class; x = positives, y = all")                            \
    X(PEARSON, "pearson", "correlation of x with y")
typedef enum rung_arm_metric {
#define X(id, name, help) RUNG_ARM_##id,
    RUNG_ARM_METRICS(X)
#undef X
        RUNG_ARM_METRIC_COUNT
} rung_arm_metric;

typedef struct rung_arm_item {
    uint64_t cluster; /* drawn together: a problem, a question */
    double x, y;
} rung_arm_item;
typedef struct rung_arm { /* {0} is empty */
    rung_arm_item *item;
    int64_t n, cap;
} rung_arm;
rung_status rung_arm_push(rung_arm *a, uint64_t cluster, double x, double y, rung_error *err);
void rung_arm_clear(rung_arm *a);
double rung_arm_value(rung_arm_metric m, const rung_arm *a); /* NaN: undefined */

/* arm[n_seeds] against over[n_seeds], or against a constant (over NULL). Seeds of equal number are
 * paired, and so are clusters wherever they occur. The interval draws seeds, then clusters (the
 * same ones for both arms and all seeds): it speaks of new seeds and new problems. */
typedef struct rung_arms {
    double arm, over, diff; /* means over seeds */
    rung_interval ci;       /* 95%, of diff */
    double seed_diff[64], seed_sd;
    int64_t n_clusters;
} rung_arms;
rung_status rung_arms_compare(rung_arms *out, rung_arm_metric m, const rung_arm *arm,
                              const rung_arm *over, double constant, int n_seeds, int n_boot,
                              uint64_t seed, rung_error *err);

/* Arms out of the store, appended to *out. As the benches of the same name count. */
rung_status rung_arm_processbench(rung_arm *out, rung_store *s, const rung_pb_opts *o,
                                  rung_error *err);
rung_status rung_arm_steps(rung_arm *out, rung_store *s, int64_t model, const char *label_source,
                           const rung_filter *traces, rung_error *err);

/* What a labelling run gave: how many labels, how many of them right-labels, how many agree with
 * the world's truth, what they cost. A label is of a prefix; it counts once. */
typedef struct rung_label_yield {
    int64_t n_problems, n_labelled; /* of the filter; with a label */
    int64_t n_labels, n_hard_1;
    int64_t n_known, n_agree; /* labels whose truth is known; equal to it */
} rung_label_yield;
typedef enum rung_yield_figure {
    RUNG_YIELD_LABELS = 0, /* labels per problem: x = labels, y = 1 */
    RUNG_YIELD_RARE,       /* x = labels "right", y = labels */
    RUNG_YIELD_AGREE       /* x = labels that agree with the truth, y = labels of known truth */
} rung_yield_figure;
/* traces: whose steps (the labelling run's own for a tree); problems of `problems` without any
 * label count as 0. arm NULL: not wanted. */
rung_status rung_bench_yield(rung_label_yield *out, rung_arm *arm, rung_yield_figure figure,
                             rung_store *s, const rung_label_source *labels,
                             const rung_filter *traces, const rung_filter *problems,
                             rung_error *err);

/* What a search run (or a sampling run, but for `accuracy`) came to, a problem an item. */
typedef enum rung_search_figure {
    RUNG_SEARCH_ACCURACY = 0, /* x = the chosen answer is right */
    RUNG_SEARCH_RIGHT,        /* x = share of its traces that are right; y = 1 */
    RUNG_SEARCH_ANSWERS       /* x = distinct answers among its traces; y = 1 */
} rung_search_figure;
rung_status rung_arm_search(rung_arm *out, rung_store *s, int64_t run, rung_search_figure figure,
                            rung_error *err);

/* Early rejection's premise (search.md 1.7 i): of every step that was finished, its score after the
 * first tau tokens against that of the whole step. A run of `early_rejection` with --rescore; with
 * --width 1 nobody is rejected, so that candidates are of every kind. */
typedef struct rung_partial {
    int64_t n, n_paused, n_problems; /* steps with both scores; of them, paused inside the step */
    double pearson, kendall;
    rung_interval pearson_ci, kendall_ci; /* 95%, problems drawn whole */
    double tokens_share;                  /* mean share of a step's bytes that was seen */
} rung_partial;
rung_status rung_bench_partial(rung_partial *out, rung_store *s, int64_t run, int n_boot,
                               uint64_t seed, rung_error *err);
rung_status rung_arm_partial(rung_arm *out, rung_store *s, int64_t run, rung_error *err);

/* Its bound, simulated (search.md 1.7 iii): n candidates of standard normal worth are read with the
 * mean of tau noises; how often another one than the best reads highest (keep = 1: or does not stay
 * among the `keep` highest), and the bound, both of the same draws. */
typedef struct rung_rejection {
    int32_t tau;
    double rejected, bound; /* means over draws */
    rung_interval diff_ci;  /* 95%, of rejected - bound */
} rung_rejection;
rung_status rung_bench_rejection(rung_rejection *out, rung_arm *arm, int32_t n, int32_t keep,
                                 int32_t tau, double noise, int64_t n_draws, uint64_t seed,
                                 rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
