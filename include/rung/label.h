/* rung/label.h: give each step of a trace a label. A table of labelers. */
#ifndef RUNG_LABEL_H
#define RUNG_LABEL_H
#include "rung/format.h"
#include "rung/trace.h"
#ifdef __cplusplus
extern "C" {
#endif

/* When a prefix has had enough rollouts. Looks happen after 1, 2, 4, 8, ..., K outcomes. */
#define RUNG_STOPPINGS(X)                                                                          \
    X(FIXED, "fixed", "all K")                                                                     \
    X(EXACT, "exact", "as soon as the rest cannot change the label of all K")                      \
    X(CONFIDENCE, "confidence", "exact, or a bound at --level that holds at every look")           \
    X(WIDTH, "width", "the bound is as narrow as --width (soft labels)")
typedef enum rung_stopping {
#define X(id, name, help) RUNG_STOPPING_##id,
    RUNG_STOPPINGS(X)
#undef X
        RUNG_STOPPING_COUNT
} rung_stopping;
const char *rung_stopping_name(rung_stopping s); /* NULL past the end */
const char *rung_stopping_help(rung_stopping s);
bool rung_stopping_find(rung_stopping *out, const char *name);

/* Math-Shepherd (labels.md 3): K completions from each prefix but the last; hard = 1[c > 0], soft =
 * c / (c + wrong); the last step's label is the trace's own verdict. Unknown outcomes are stored
 * and counted and are in neither; none known -> no label. */
typedef struct rung_mc_opts {
    size_t struct_size;
    int32_t k, max_tok;
    rung_sampling sampling;
    uint64_t seed;
    const char *system, *suffix;
    bool stop_at_zero;  /* no rollouts after the first step with hard = 0 (SCAN); later steps stay
                           unlabelled */
    rung_filter traces; /* run = the sampling run */
    int32_t traces_per_problem; /* 0 = all */
    const char *stop;           /* as in sampling; NULL none */
    const char *labeler;        /* who completes; NULL = the model file's name ("remote" there) */
    rung_stopping stopping;
    double theta;  /* hard = 1[c / known > theta] */
    double level;  /* of the bound; 0 = .95 */
    double margin; /* the bound below theta + margin settles 0 */
    double width;  /* WIDTH: 0 = .3 */
    int64_t
        rollouts; /* run that keeps the rollouts, for every labeler that samples alike; 0 = own */
    int64_t budget_tok, problem_tok; /* tokens of the rollouts used, found or made; 0 = no limit */
    bool allocate; /* next goes the rollout that is likeliest to change a label, per token */
    bool eager;    /* a settled label cancels its rollouts under way: cheaper, n and c vary */
} rung_mc_opts;
#define RUNG_MC_OPTS_INIT                                                                          \
    { .struct_size = sizeof(rung_mc_opts), .k = 8, .max_tok = 512, .sampling = RUNG_SAMPLING_INIT }
rung_status rung_label_mc(rung_store *s, rung_engine *e, int64_t run_id, const rung_mc_opts *o,
                          const rung_log *log, rung_error *err);
/* From trace.first_error: 1 before it, 0 at it, steps after it unlabelled; source = who said so:
 * "truth" (a world's checker) or "human". *n: steps labelled by this call. */
rung_status rung_label_truth(int64_t *n, rung_store *s, int64_t run_id, const rung_filter *traces,
                             rung_error *err);

/* Traces and the labels of their steps into a file of a format (rung/format.h): a row per trace; in
 * a tree of prefixes (math_aps) a row per problem. source NULL: first errors only. */
typedef struct rung_export_opts {
    size_t struct_size;
    rung_filter traces;
    const char *source;
    int64_t label_run; /* 0: the newest that has a label of that source */
} rung_export_opts;
#define RUNG_EXPORT_OPTS_INIT                                                                      \
    { .struct_size = sizeof(rung_export_opts) }
rung_status rung_label_export(rung_format_report *out, rung_store *s, const rung_format *f,
                              const char *path, const rung_export_opts *o,
                              const rung_format_opts *how, const rung_log *log, rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
