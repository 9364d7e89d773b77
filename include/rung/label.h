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
    double theta;     /* hard = 1[c / known > theta] */
    double level;     /* of the bound; 0 = .95 */
    double margin;    /* the bound below theta + margin settles 0 */
    double width;     /* WIDTH: 0 = .3 */
    int64_t rollouts; /* run that keeps them, for all labelers that sample alike; 0 = own */
    int64_t budget_tok, problem_tok; /* tokens of the rollouts used, found or made; 0 = no limit */
    bool allocate; /* next goes the rollout that is likeliest to change a label, per token */
    bool eager;    /* a settled label cancels its rollouts under way: cheaper, n and c vary */
} rung_mc_opts;
#define RUNG_MC_OPTS_INIT                                                                          \
    { .struct_size = sizeof(rung_mc_opts), .k = 8, .max_tok = 512, .sampling = RUNG_SAMPLING_INIT }
rung_status rung_label_mc(rung_store *s, rung_engine *e, int64_t run_id, const rung_mc_opts *o,
                          const rung_log *log, rung_error *err);
/* OmegaPRM (labels.md 3): binary search for the first wrong unit of wrong rollouts, in a tree of
 * prefixes per problem. The traces of the sampling run are the root's rollouts; a problem without a
 * right and a wrong one is left out. Labels at every prefix that was estimated (soft = MC, hard =
 * 1[c / known > theta]) and at the end of every searched rollout that is wrong in its last unit. A
 * searched rollout becomes a trace of run_id, cut into units. roll.stop_at_zero has no meaning. */
typedef struct rung_binary_opts {
    size_t struct_size;
    rung_mc_opts roll;
    double alpha, beta, len, c_puct; /* Q = alpha^(1-MC) beta^(tokens/len); U's factor */
    int32_t limit;                   /* searches per problem */
    const char *units;               /* a splitting of steps ("line") or words:N; NULL = line */
} rung_binary_opts;
#define RUNG_BINARY_OPTS_INIT                                                                      \
    {                                                                                              \
        .struct_size = sizeof(rung_binary_opts), .roll = RUNG_MC_OPTS_INIT, .alpha = 0.5,          \
        .beta = 0.9, .len = 500, .c_puct = 0.125, .limit = 100                                     \
    }
typedef struct rung_binary_report {
    int64_t n_problems, n_skipped; /* skipped: all right, all wrong or nothing known */
    int64_t n_searches, n_probes, n_reused, n_abandoned;
} rung_binary_report;
rung_status rung_label_binary(rung_binary_report *out, rung_store *s, rung_engine *e,
                              int64_t run_id, const rung_binary_opts *o, const rung_log *log,
                              rung_error *err);
/* GenPRM (labels.md 8): a step is right when the chance of success does not fall by it:
 * MC(s, a) / MC(s) >= eps, or MC(s, a) - MC(s) >= -eps. K by the problem's pass rate. The bare
 * problem's rollouts are the traces of the sampling run, where the same model wrote them, and more.
 * With a stopping rule other than FIXED a step is settled when the bounds of both settle it. Steps
 * after a prefix with MC 0 are 0 (or, with stop_at_zero, nothing comes after a 0). soft = the
 * ratio, or 1 + the difference, cut to [0, 1]. */
typedef struct rung_relative_opts {
    size_t struct_size;
    rung_mc_opts roll; /* k: not read */
    bool difference;
    double eps;                    /* 0 = .8 (ratio), .3 (difference) */
    int32_t k_hard, k_mid, k_easy; /* pass rate below .1, below .9, above; 0 = 128, 64, 32 */
} rung_relative_opts;
#define RUNG_RELATIVE_OPTS_INIT                                                                    \
    { .struct_size = sizeof(rung_relative_opts), .roll = RUNG_MC_OPTS_INIT }
typedef struct rung_relative_report {
    int64_t n_problems, n_hopeless; /* hopeless: never solved, no labels */
} rung_relative_report;
rung_status rung_label_relative(rung_relative_report *out, rung_store *s, rung_engine *e,
                                int64_t run_id, const rung_relative_opts *o, const rung_log *log,
                                rung_error *err);

/* A judge names the first error of a whole solution. A table of prompts: tags, form of replies. */
typedef struct rung_judge_prompt {
    const char *name, *help;
    int32_t first_tag; /* paragraphs are numbered from here: 0 or 1 */
    rung_status (*ask)(rung_buf *out, const char *problem, const rung_trace *t, rung_error *err);
    /* First error in a reply: -1 none, RUNG_FIRST_ERROR_UNKNOWN unparsed. claim: the words it
     * rests on, for the vote. */
    int32_t (*parse)(char claim[64], const char *reply, int32_t n_steps);
} rung_judge_prompt;
const rung_judge_prompt *rung_judge_prompt_at(size_t i);
const rung_judge_prompt *rung_judge_prompt_find(const char *name);
typedef struct rung_judge_opts {
    size_t struct_size;
    const char *prompt; /* NULL = processbench */
    int32_t votes;      /* replies per trace; 0 = 1 */
    int32_t max_tok;
    rung_sampling sampling;
    uint64_t seed;
    const char *system, *labeler;
    rung_filter traces;
    int32_t traces_per_problem;
} rung_judge_opts;
#define RUNG_JUDGE_OPTS_INIT                                                                       \
    {                                                                                              \
        .struct_size = sizeof(rung_judge_opts), .votes = 1, .max_tok = 2048,                       \
        .sampling = RUNG_SAMPLING_INIT                                                             \
    }
typedef struct rung_judge_report {
    int64_t n_traces, n_replies, n_unparsed;
} rung_judge_report;
/* Critiques, one per vote; then labels "judge" at the nodes: n = parsed votes on the step (of all
 * traces that share it), c = those that call it right, hard by their majority; what comes after a
 * vote's first error has none from it. */
rung_status rung_label_judge(rung_judge_report *out, rung_store *s, rung_engine *e, int64_t run_id,
                             const rung_judge_opts *o, const rung_log *log, rung_error *err);
/* A simulated judge: one critique per trace of known first error, which it names with this chance;
 * else any place, drawn evenly from -1 .. n_steps-1. */
rung_status rung_label_simulate(rung_judge_report *out, rung_store *s, int64_t run_id,
                                double accuracy, uint64_t seed, const rung_filter *traces,
                                rung_error *err);
/* What n critiques of a trace name: the most frequent claim, the first on a tie; not unparsed. */
int32_t rung_judge_vote(const rung_critique *c, int32_t n);

/* A verifier of steps (rung/step.h) labels each step up to the first wrong one; where it decides
 * nothing the step has a row without a label (n_unknown 1). Source: the verifier's ("tool",
 * "formal"). */
typedef struct rung_tool_report {
    int64_t n_traces, n_right, n_wrong, n_unknown, n_new;
} rung_tool_report;
rung_status rung_label_tool(rung_tool_report *out, rung_store *s, int64_t run_id,
                            const char *verifier, bool strict, const rung_filter *traces,
                            const rung_log *log, rung_error *err);

/* Marks of people from JSON lines: {"trace":ID} or {"set","key","i"}, and "first_error" (or
 * "label") or "labels":[1,0,null,...]. A refused line is an event "label.reject" with line and
 * reason. */
typedef struct rung_human_report {
    int64_t n_rows, n_rejected, n_traces, n_labels, n_new;
} rung_human_report;
rung_status rung_label_human(rung_human_report *out, rung_store *s, int64_t run_id,
                             const char *path, const char *labeler, const rung_filter *traces,
                             const rung_log *log, rung_error *err);

#define RUNG_FUSIONS(X)                                                                            \
    X(DAWID_SKENE, "dawid_skene", "each labeler's own error rates, by EM; gold items teach them")  \
    X(MAJORITY, "majority", "most votes; a tie gives none")                                        \
    X(WEIGHTED, "weighted", "votes weighted, by --weights or by the log odds on gold items")       \
    X(AGREEMENT, "agreement", "only where at least two spoke and all say the same")
typedef enum rung_fusion {
#define X(id, name, help) RUNG_FUSION_##id,
    RUNG_FUSIONS(X)
#undef X
        RUNG_FUSION_COUNT
} rung_fusion;
const char *rung_fusion_name(rung_fusion f);
bool rung_fusion_find(rung_fusion *out, const char *name);
typedef struct rung_label_source {
    int64_t run;
    const char *source;
    double weight; /* WEIGHTED: 0 = 1, or from gold */
} rung_label_source;
typedef struct rung_fuse_pair { /* two labelers on the steps that both labelled */
    int32_t a, b;
    int64_t n;
    double agree, kappa, ac1, alpha;
} rung_fuse_pair;
typedef struct rung_fuse_report {
    int64_t n_items, n_labels, n_gold, n_new;
    double sens[16], spec[16], prior, alpha; /* Dawid-Skene's; alpha of all labelers */
    int32_t n_iter, n_pairs;
    rung_fuse_pair pair[120];
} rung_fuse_report;
/* Writes source "fused": hard, soft (the posterior, or the share of the votes), n labelers, c of
 * them for right. run_id 0: only the report. gold NULL: none. */
rung_status rung_label_fuse(rung_fuse_report *out, rung_store *s, int64_t run_id,
                            const rung_label_source *in, int32_t n_in,
                            const rung_label_source *gold, rung_fusion how, rung_error *err);

/* Labelled prefixes as training examples, JSON lines. pointwise: an edge from a labelled prefix to
 * the next one below it, with its text and label; pairwise: two edges from one prefix whose soft
 * labels differ; tree: a problem's prefixes, each with its text and MC. from->run is needed. */
const char *rung_example_kind_at(size_t i); /* NULL past the end */
rung_status rung_label_examples(int64_t *n, rung_store *s, const rung_label_source *from,
                                const char *kind,
                                int (*write)(void *ud, const char *line, size_t n), void *ud,
                                rung_error *err);

/* The first error that a labeler claims: of a judge, by its critiques; else the first step whose
 * label is 0. -1: every step is right. RUNG_FIRST_ERROR_UNKNOWN: not labelled so far. */
rung_status rung_label_claim(int32_t *out, rung_store *s, const rung_trace *t,
                             const rung_label_source *from, rung_error *err);

/* Curation: a table of filters; a chain of them reads traces and their labels, and writes what is
 * left as a run of its own: traces, and labels "curated". */
typedef struct rung_curate_opts {
    size_t struct_size;
    rung_filter traces;
    rung_label_source labels, other; /* other: consensus */
    uint64_t seed;
    double confidence; /* least self-confidence; 0 = .75 */
    int32_t distance;  /* denoise: softened steps before the error; 0 = 2, -1 = none */
    const char *by;    /* balance: traces, classes, length */
    double merge;      /* share of neighbouring pairs to merge; 0 = .2 */
    const char *bench; /* decontaminate against the problems of this set */
    const char *bench_split;
    int32_t ngram;  /* decontaminate: words; 0 = 13 */
    double held;    /* split: share of problems held out; 0 = .1 */
    bool keep_held; /* split: keep the held-out ones instead */
    int64_t keep;   /* sample: so many traces */
    bool undivided; /* denoise: soft = c / known, not divided by self-confidence */
} rung_curate_opts;
#define RUNG_CURATE_OPTS_INIT                                                                      \
    { .struct_size = sizeof(rung_curate_opts) }
enum { RUNG_CURATE_REASONS = 6 };
typedef struct rung_curate_count { /* what a filter did */
    const char *filter;
    int64_t traces_in, traces_out, labels_in, labels_out;
    struct {
        const char *why;
        int64_t n;
    } reason[RUNG_CURATE_REASONS]; /* why NULL ends the list */
} rung_curate_count;
typedef struct rung_curator {
    const char *name, *help;
} rung_curator;
const rung_curator *rung_curator_at(size_t i);
/* filters: names separated by commas, in this order. count[n_max]: one per filter; *n of them. */
rung_status rung_label_curate(rung_curate_count *count, int32_t *n, int32_t n_max, rung_store *s,
                              int64_t run_id, const char *filters, const rung_curate_opts *o,
                              const rung_log *log, rung_error *err);

/* Label audit (labels.md 4): first errors against the truth, by self-confidence (share of the
 * problem's traces that are right). Offsets t_pred - err; -1 is read as the number of steps. */
enum { RUNG_AUDIT_BUCKETS = 4, RUNG_AUDIT_OFFSET = 8 };
typedef struct rung_audit_bucket {
    double lo, hi; /* self-confidence in [lo, hi); the last one is [lo, 1] */
    int64_t n, n_under, n_over, n_exact_error, n_exact_right;
    int64_t n_right_answer, n_hidden;          /* right answers; those with an error before */
    int64_t offset[2 * RUNG_AUDIT_OFFSET + 1]; /* clipped at both ends */
    int64_t n_steps, n_step_right;             /* labels that agree with the truth */
} rung_audit_bucket;
typedef struct rung_audit {
    rung_audit_bucket bucket[RUNG_AUDIT_BUCKETS + 1]; /* the last one: all */
    int64_t n_unlabelled;        /* traces with a known truth that the labeler says nothing of */
    double acc_err, acc_cor, f1; /* ProcessBench's, in percent */
} rung_audit;
rung_status rung_label_audit(rung_audit *out, rung_store *s, const rung_filter *traces,
                             const rung_label_source *labels, rung_error *err);

/* The labelers, a table: what `rung label NAME` runs. */
typedef struct rung_labeler {
    const char *name, *source, *help;
    bool needs_model, rolls_out;
} rung_labeler;
const rung_labeler *rung_labeler_at(size_t i);
const rung_labeler *rung_labeler_find(const char *name);

/* From trace.first_error: 1 before it, 0 at it, none after it; source = who said so: "truth" (a
 * world's checker) or "human". *n: steps labelled by this call. */
rung_status rung_label_truth(int64_t *n, rung_store *s, int64_t run_id, const rung_filter *traces,
                             rung_error *err);

/* Traces and step labels into a file of a format (rung/format.h): a row per trace, in a tree of
 * prefixes (math_aps) per problem. source NULL: first errors only. */
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
