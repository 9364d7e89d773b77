/* rung/reward.h: reward models: architecture x read-out, one file each. Aggregates of step scores.
 */
#ifndef RUNG_REWARD_H
#define RUNG_REWARD_H
#include "rung/label.h"
#include "rung/model.h"
#include "rung/train.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Aggregates (search.md 2.3): name, help. Scores are probabilities; probabilities are floored at
 * 1e-9 in logs. n = 0 gives -1, of a sum -1e300: below every score. */
#define RUNG_AGGREGATES(X)                                                                         \
    X(MIN, "min", "weakest step")                                                                  \
    X(PROD, "prod", "product of the steps, computed in logs")                                      \
    X(LAST, "last", "score of the final step")                                                     \
    X(MEAN, "mean", "mean of the steps")                                                           \
    X(MAX, "max", "best step")                                                                     \
    X(GEO, "geo", "geometric mean")                                                                \
    X(LOGIT_SUM, "logit_sum", "sum of logits, clipped to [1e-7, 1 - 1e-7]")                        \
    X(SUM, "sum", "sum of the steps: of log-ratios of single steps, the trace's (rewards.md 1)")
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

/* Rows that `reward train` makes, then those it does not. */
#define RUNG_REWARD_KINDS(X)                                                                       \
    X(PRM_HEAD, "prm_head", "prm", "small head on the frozen base at each step end")               \
    X(ORM_HEAD, "orm_head", "orm", "small head on the frozen base at the last step end")           \
    X(PRM_TOKEN, "prm_token", "prm", "the whole model trained to say + or - after each step")      \
    X(PRM_IMPLICIT, "prm_implicit", "prm", "the whole model trained on outcomes by its log-ratio") \
    X(CONFIDENCE, "confidence", "prm", "the policy's least token probability in a step; no file")  \
    X(PRM_FORMAT, "prm_format", "prm", "somebody else's model, read as its format says")           \
    X(PRM_ENSEMBLE, "prm_ensemble", "prm", "several of these, their scores combined")
typedef enum rung_reward_kind {
#define X(id, name, row, help) RUNG_REWARD_##id,
    RUNG_REWARD_KINDS(X)
#undef X
        RUNG_REWARD_KIND_COUNT
} rung_reward_kind;
const char *rung_reward_kind_name(rung_reward_kind k);
bool rung_reward_kind_find(rung_reward_kind *out, const char *name);
/* What of it trains: a head on the frozen base, adapters on the base (and a head), all weights (and
 * a head). */
typedef enum rung_tune {
    RUNG_TUNE_DEFAULT,
    RUNG_TUNE_HEAD,
    RUNG_TUNE_LORA,
    RUNG_TUNE_ALL
} rung_tune;
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
    const char *save_type;       /* when the base trains: f32 f16 bf16 q8_0, keep; NULL = f16 */
    rung_weights weights;        /* heads: of the base whose states they learn from */
    const char *chat_template;   /* heads: how the base reads prompts, as in rung_model_opts */
    bool exact;                  /* heads: rung_engine_opts.exact */
    const char *loss; /* heads and prm_token: bce (also NULL), mse, bradley_terry, margin,
                         omega_pairwise; heads also value. The last three compare steps with the
                         same steps before them, an ORM's traces of one problem: their scores rank,
                         they are no probabilities. prm_implicit: implicit_ce (also NULL, bce), dpo,
                         ipo, kto, nca, info_nca */
    double beta;      /* prm_implicit: of the log-ratio; 0 = 0.05 */
    int32_t balance;  /* prm_implicit by implicit_ce or kto: rung_loss_balance of rung/loss.h */
    const char *tensorboard; /* curves also as event files in this directory; NULL not */
    bool drop_too_long;  /* leave out traces longer than the base's context (event reward.too_long),
                            else they stop the training; never cut */
    rung_tune tune;      /* 0 = heads: the head; prm_token, prm_implicit: all. A head that trains
                            with its base is one file with it */
    rung_lora_opts lora; /* RUNG_TUNE_LORA; struct_size may be 0, seed 0 = the training's */
    double clip_value;   /* loss value: how far a value may move in an epoch; 0 = any */
    const char *precision; /* when the base trains: as rung_net_set_precision; NULL = auto */
    int64_t memory;        /* when the base trains: as rung_net_set_memory; 0 = keep all */
    bool single;   /* prm_implicit: the score of a step is its own log-ratio, else all up to it */
    bool plain;    /* prm_implicit: as it is, else through a sigmoid */
    int32_t n_out; /* heads: 1 (also 0), or 2: two classes by softmax, class 1 is right */
    const char *format; /* NULL: rung's own, by system, suffix, tag and read; else a built-in
                           format's name or a YAML file: what is trained has its structure, its
                           file declares it, and those four must not be given */
} rung_reward_train_opts;
#define RUNG_REWARD_TRAIN_OPTS_INIT                                                                \
    { .struct_size = sizeof(rung_reward_train_opts), .label_source = "mc" }
typedef struct rung_reward_report {
    int64_t n_train, n_held;
    double loss_train, loss_held, auc_held, brier_held, ece_held;
    int32_t epochs; /* that were run, the ones without gain at the end too */
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
/* The same for models that others trained. A format says what such a model reads and where its
 * score is (docs/formats-reward.md): the name of a built-in one, or a YAML file. A GGUF that holds
 * its format (key rung.reward.format) needs none. */
typedef struct rung_reward_open_opts {
    size_t struct_size;
    rung_engine *base; /* of a head or another sidecar; borrowed */
    const char *format;
    const char *reference;          /* log_ratio: the reference's GGUF file */
    const rung_engine_opts *engine; /* of models that it opens itself; NULL = defaults */
    const rung_log *log;
    rung_weights weights; /* of models that it opens itself: those of the base, when there is one */
    bool keys_only;       /* to ask what the file says: no base is needed, nothing can be scored */
    bool raw;             /* scores as the model gives them: without the calibration in its file */
} rung_reward_open_opts;
#define RUNG_REWARD_OPEN_OPTS_INIT                                                                 \
    { .struct_size = sizeof(rung_reward_open_opts) }
rung_status rung_reward_open_as(rung_reward **out, const char *path, const rung_reward_open_opts *o,
                                rung_error *err);
/* Is the file a sidecar, to be opened onto its base? */
rung_status rung_reward_needs_base(bool *yes, const char *path, rung_error *err);
/* The format of a built-in name or a file (checked) as YAML, appended. */
rung_status rung_reward_format_show(rung_buf *yaml, const char *name_or_path, rung_error *err);
/* The nth built-in format; false past the end. Strings of the table; buf: scratch of 160 bytes. */
bool rung_reward_format_at(char name[48], char help[160], size_t i);
void rung_reward_free(rung_reward *r);
rung_reward_kind rung_reward_kind_of(const rung_reward *r);
const rung_engine *rung_reward_engine(const rung_reward *r); /* that reads; NULL: confidence */
const char *rung_reward_hash(const rung_reward *r);
rung_aggregate_id rung_reward_aggregate_of(const rung_reward *r); /* as trained for */
/* A key of the file ("label_source", "base_hash", "held_auc", ...: docs/formats.md); dflt if
 * absent. */
const char *rung_reward_key(const rung_reward *r, const char *key, const char *dflt);
/* A head that others published becomes a sidecar of its model: source is a safetensors file, an
 * index of several, or their folder; the format says what the layers are called and how the model
 * is read. */
typedef struct rung_reward_import_opts {
    size_t struct_size;
    const char *source, *format;      /* format: as in rung_reward_open_opts */
    const char *base_path, *out_path; /* the model's GGUF file; the sidecar */
    const char *head; /* NULL: the format's; "a" or "a,b": tensors a.weight, a.bias, ... */
} rung_reward_import_opts;
#define RUNG_REWARD_IMPORT_OPTS_INIT                                                               \
    { .struct_size = sizeof(rung_reward_import_opts) }
typedef struct rung_reward_import_report {
    int32_t n_in, n_hidden, n_out; /* n_hidden 0: one layer */
} rung_reward_import_report;
/* E_NOT_FOUND: no such tensor; E_MISMATCH: shapes that fit neither one another nor the base;
 * E_FORMAT: no safetensors, values that are not finite, a format without a head. */
rung_status rung_reward_import(rung_reward_import_report *out, const rung_reward_import_opts *o,
                               rung_error *err);
/* Its row in the store's model table, made when it is not there. */
rung_status rung_reward_register(int64_t *model, const rung_reward *r, rung_store *s,
                                 rung_error *err);
/* Scores of every step (prm) or of the last (orm) of the traces in f into the store; only what is
 * missing. What is shared is read once. Tokens read and seconds are added to the run (run_id 0:
 * not), and the run is tied to the model, so that benches can show what scoring costs. */
typedef struct rung_score_report {
    int64_t model;               /* row of the model table */
    int64_t n_traces;            /* of f; n_scored: of them with all their scores when it ended */
    int64_t n_scored, n_steps;   /* n_steps: new scores */
    int64_t n_tok, n_tok_cached; /* tokens read; tokens that the cache held */
    double wall_s;
    int64_t n_spelled, n_by_step; /* traces whose text was tokenised again; step by step */
    int64_t n_skipped, n_skipped_tag, n_skipped_context; /* left out, named by reward.skip: in all,
                                                            for read-outs that are not its steps,
                                                            for want of context */
} rung_score_report;
rung_status rung_reward_score(rung_score_report *out, rung_reward *r, rung_store *s, int64_t run_id,
                              const rung_filter *f, const rung_log *log, rung_error *err);
/* What scoring with a model has cost so far, over all its runs. False: the ledger has nothing. */
typedef struct rung_score_cost {
    int64_t n_tok, n_steps; /* tokens read; scores of the model in the store */
    double wall_s;
} rung_score_cost;
rung_status rung_reward_cost(rung_score_cost *out, bool *found, rung_store *s, int64_t model,
                             rung_error *err);

/* Scoring as text grows: many live traces at once, forks of scored prefixes. Steps are laid out as
 * they come and scored together by run, each new token read once: what a trace shares with another
 * or with itself one step ago comes from the engine's cache, as long as it is resident.
 *   not thread-safe; the reward model is borrowed and its engine is used by run alone */
typedef struct rung_scorer rung_scorer;
rung_status rung_scorer_open(rung_scorer **out, rung_reward *r, rung_error *err); /* E_MISUSE:
                                                                     confidence reads no tokens */
void rung_scorer_close(rung_scorer *s);
/* Log-ratios: what the reference says of a step is kept in the store and never asked again. Other
 * kinds: nothing. The store is borrowed. */
rung_status rung_scorer_cache(rung_scorer *s, rung_store *store, rung_error *err);
/* A live trace without steps. *live stays its number until drop. */
rung_status rung_scorer_begin(int64_t *live, rung_scorer *s, const char *question, rung_error *err);
/* Another live trace with the same steps and scores so far (also those not scored yet). */
rung_status rung_scorer_fork(int64_t *live, rung_scorer *s, int64_t from, rung_error *err);
/* One more step. tok: its tokens in the base's vocabulary, NULL: from the text. The trace stays as
 * it was on failure: E_FORMAT, no tokens; E_MISMATCH, with counts, it holds the tag or its
 * read-outs are not exactly one. */
rung_status rung_scorer_step(rung_scorer *s, int64_t live, const char *text, size_t n,
                             const int32_t *tok, int32_t n_tok, rung_error *err);
/* Score every step that is not scored yet. A trace too long for the context does not stop the
 * others: its get says so. A failure leaves what is not scored as it was; run may be tried again.
 */
rung_status rung_scorer_run(rung_scorer *s, rung_error *err);
/* Scores of the first *n steps; borrowed until the next call with s. E_LIMIT: it did not fit. */
rung_status rung_scorer_get(const double **score, int32_t *n, const rung_scorer *s, int64_t live,
                            rung_error *err);
void rung_scorer_drop(rung_scorer *s, int64_t live);
/* A live trace of text as the model sees it, control tokens and all, that somebody else laid out:
 * one step for each tag in it (the format's: rung_reward_tag, "" none), or one in all. E_FORMAT: no
 * tag where there must be one; E_INVAL: a format that asks for more than one text. */
rung_status rung_scorer_raw(int64_t *live, rung_scorer *s, const char *text, size_t n,
                            rung_error *err);
const char *rung_reward_tag(const rung_reward *r);
int32_t rung_scorer_tokens(const rung_scorer *s, int64_t live); /* of its text so far */
typedef struct rung_scorer_stats {
    int64_t n_tok, n_tok_cached, n_steps, n_reads; /* read, from the cache; scored; evaluations */
    double wall_s;
} rung_scorer_stats;
void rung_scorer_get_stats(rung_scorer_stats *out, const rung_scorer *s);

#ifdef __cplusplus
}
#endif
#endif
