/* rung/reward.h: reward models: architecture x read-out, one file each. Aggregates of step scores.
 */
#ifndef RUNG_REWARD_H
#define RUNG_REWARD_H
#include "rung/label.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Aggregates (search.md 2.3): name, help. Scores are probabilities; probabilities are floored at
 * 1e-9 in logs. n = 0 gives -1. */
#define RUNG_AGGREGATES(X)                                                                         \
    X(MIN, "min", "weakest step")                                                                  \
    X(PROD, "prod", "product of the steps, computed in logs")                                      \
    X(LAST, "last", "score of the final step")                                                     \
    X(MEAN, "mean", "mean of the steps")                                                           \
    X(MAX, "max", "best step")                                                                     \
    X(GEO, "geo", "geometric mean")                                                                \
    X(LOGIT_SUM, "logit_sum", "sum of logits, clipped to [1e-7, 1 - 1e-7]")
typedef enum rung_aggregate_id {
#define X(id, name, help) RUNG_AGGREGATE_##id,
    RUNG_AGGREGATES(X)
#undef X
        RUNG_AGGREGATE_COUNT
} rung_aggregate_id;
const char *rung_aggregate_name(rung_aggregate_id id);
bool rung_aggregate_find(rung_aggregate_id *out, const char *name);
rung_status rung_aggregate(double *out, rung_aggregate_id id, const double *score, size_t n_steps,
                           rung_error *err); /* E_INVAL: not finite */

#define RUNG_REWARD_KINDS(X)                                                                       \
    X(PRM_HEAD, "prm_head", "prm", "small head on the frozen base at each step end")               \
    X(ORM_HEAD, "orm_head", "orm", "small head on the frozen base at the last step end")           \
    X(PRM_TOKEN, "prm_token", "prm", "the whole model trained to say + or - after each step")      \
    X(CONFIDENCE, "confidence", "prm", "the policy's least token probability in a step; no file")
typedef enum rung_reward_kind {
#define X(id, name, row, help) RUNG_REWARD_##id,
    RUNG_REWARD_KINDS(X)
#undef X
        RUNG_REWARD_KIND_COUNT
} rung_reward_kind;
const char *rung_reward_kind_name(rung_reward_kind k);
bool rung_reward_kind_find(rung_reward_kind *out, const char *name);
typedef struct rung_reward rung_reward;
typedef struct rung_reward_train_opts {
    size_t struct_size;
    rung_reward_kind kind;
    const char *label_source;
    int64_t label_run;
    bool soft;
    const char *base_path, *out_path;
    uint64_t seed;
    double held_share; /* of problems; 0 = 0.2 */
    int32_t n_hidden, epochs, batch;
    double lr;                         /* 0 = the kind's default */
    const char *system, *suffix, *tag; /* format: prompt as in sampling; tag: text put after each
                                          step before the read-out ("" none) */
    rung_filter traces;
    bool read_before_tag; /* read at the step's own last token although a tag follows it */
    bool tag_first; /* the tag also stands before the first step: it says from the start what is
                       asked */
    bool keep_after_error; /* train on steps after the first hard = 0, too (they are masked else:
                              labels.md 0.1) */
    rung_aggregate_id aggregate; /* written into the file: how to make one score of a trace */
    int32_t patience;            /* epochs without a better held-out loss; 0 = the kind's default */
    const char *save_type;       /* prm_token: f32 f16 bf16 q8_0; NULL = f16 */
    const char *chat_template;   /* heads: how the base reads prompts, as in rung_model_opts */
} rung_reward_train_opts;
#define RUNG_REWARD_TRAIN_OPTS_INIT                                                                \
    { .struct_size = sizeof(rung_reward_train_opts), .label_source = "mc" }
typedef struct rung_reward_report {
    int64_t n_train, n_held;
    double loss_train, loss_held, auc_held, brier_held, ece_held;
    int32_t epochs; /* prm_token; 0 for heads */
} rung_reward_report;
rung_status rung_reward_train(rung_reward_report *out, rung_store *s, int64_t run_id,
                              const rung_reward_train_opts *o, const rung_log *log,
                              rung_error *err);

/* The file: GGUF with the head's tensors (or the whole model) and keys rung.reward.*: kind, base
 * hash, format, aggregate, training config. */
rung_status rung_reward_open(rung_reward **out, const char *path,
                             rung_engine *base /* NULL for prm_token: opens itself */,
                             rung_error *err); /* another base: E_MISMATCH. path "confidence": the
                                                  row of the table that has no file */
void rung_reward_free(rung_reward *r);
rung_reward_kind rung_reward_kind_of(const rung_reward *r);
const char *rung_reward_hash(const rung_reward *r);
rung_aggregate_id rung_reward_aggregate_of(const rung_reward *r); /* as trained for */
/* A key of the file ("label_source", "base_hash", "held_auc", ...: docs/formats.md); dflt if
 * absent. */
const char *rung_reward_key(const rung_reward *r, const char *key, const char *dflt);
/* Scores of every step (prm) or of the last (orm) of the traces in f into the store; only what is
 * missing. model_id: row of the model table. */
rung_status rung_reward_score(int64_t *model_id, rung_reward *r, rung_store *s,
                              const rung_filter *f, const rung_log *log, rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
