/* Internal to reward/: how a trace becomes tokens with read-out positions, the labelled set, the
 * file. */
#ifndef RUNG_SRC_REWARD_IMPL_H
#define RUNG_SRC_REWARD_IMPL_H
#include "model/gguf_file.h"
#include "reward/reward_calibration.h"
#include "reward/reward_classifier.h"
#include "reward/reward_format.h"
#include "rung/ensemble.h"
#include "rung/loss.h"
#include "rung/reward.h"

/* A format on a model: what does not change from trace to trace. */
typedef struct reward_plan {
    const rung_model *model;
    const reward_format *format;
    int32_t *tag, n_tag;
    bool tag_counts;       /* a step may not hold it */
    rung_chat_frame frame; /* turns, ask, and continue with a template of its own */
    bool framed;
    int32_t positive[REWARD_WORDS_MAX], negative[REWARD_WORDS_MAX];
} reward_plan;
/* E_MODEL with counts: a tag, a positive or a negative that is not exactly one token here. Formats
 * of the trace's own tokens may have a longer tag: nothing is looked for in them. */
rung_status reward_plan_init(reward_plan *out, const rung_model *m, const reward_format *f,
                             rung_error *err);
void reward_plan_clear(reward_plan *p);

/* Tokens of prompt + steps (+ tags), and for each step the position that is read. It grows at its
 * end only. */
typedef struct reward_layout {
    int32_t *tok, n_tok, cap;
    int32_t *at, *begin, *end, n_at, cap_at; /* n_at = steps; [begin, end): the step's own tokens */
    int32_t n_prompt;
    int32_t *tail, n_tail, cap_tail; /* ask: the questions after the steps, one after the other */
    int32_t *tail_end;               /* where the step's ends in tail */
    char *waiting;                   /* turns: the question, until the first step comes */
} reward_layout;
rung_status reward_layout_begin(reward_layout *out, const reward_plan *p, const char *question,
                                rung_error *err);
/* One step more. tok: its own tokens, borrowed; NULL: from the text. No change on failure:
 * E_FORMAT, a step without tokens; E_MISMATCH with counts, one that holds the tag, or whose
 * read-outs are not exactly one. */
rung_status reward_layout_step(reward_layout *l, const reward_plan *p, const char *text, size_t n,
                               const int32_t *tok, int32_t n_tok, rung_error *err);
rung_status reward_layout_copy(reward_layout *out, const reward_layout *l, rung_error *err);
/* The whole of a trace. RUNG_E_FORMAT names the trace and the step when span = tokens = label
 * cannot be had. *spelled: the trace's own tokens were not this model's (or absent), so the text
 * was tokenised again; *by_step: even that step by step, because a token would have straddled a
 * border. */
rung_status reward_layout_trace(reward_layout *out, bool *spelled, bool *by_step,
                                const reward_plan *plan, const rung_problem *p, const rung_trace *t,
                                rung_error *err);
/* The same with a plan of its own. */
rung_status reward_layout_make(reward_layout *out, bool *spelled, bool *by_step,
                               const rung_model *m, const reward_format *f, const rung_problem *p,
                               const rung_trace *t, rung_error *err);
void reward_layout_clear(reward_layout *l);

/* One trace with at least one label: positions to read, what they should say. */
typedef struct reward_example {
    int64_t trace, problem;
    int32_t first, n; /* rows [first, first+n) of the set */
    int32_t own;      /* rows before it are copies of earlier examples' rows */
    bool held;
} reward_example;
/* Rows in the store's order: by problem, trace, step. */
typedef struct reward_set {
    reward_example *example;
    int64_t n_examples, cap_examples;
    int32_t *step;  /* which step of the trace a row reads */
    int64_t *node;  /* its node */
    int32_t *group; /* rows that pair losses compare: steps after the same steps; the outcomes of
                       one problem */
    int32_t *same;  /* the first row of that node: itself, or an earlier one with the same prefix */
    float *target;  /* what is trained: 0..1 */
    bool *hard;     /* what is measured */
    int64_t n_rows, cap_rows, n_held_rows;
    int32_t n_problems, n_held_problems;
    char *trained_on; /* addresses of the training problems, ascending, 16 hex digits each */
    char hash[33];    /* of all of it: another set is another training */
} reward_set;
rung_status reward_set_read(reward_set *out, rung_store *s, const rung_reward_train_opts *o,
                            rung_error *err);
void reward_set_clear(reward_set *set);
/* Traces of more than n_ctx tokens (0: any) stop the training by name, or are left out and told:
 * never cut. Those that the format cannot lay out are left out and told (reward.skip). */
rung_status reward_set_fit(reward_set *set, rung_store *s, const rung_model *m,
                           const reward_format *f, int32_t n_ctx, bool drop, const rung_log *log,
                           rung_error *err);

/* Hidden states of every row, f32[n_rows][n_embd], from the frozen base; kept in `cache` as they
 * come, so that a killed run goes on. */
rung_status reward_features(float **x, rung_engine *e, rung_store *s, const reward_set *set,
                            const reward_format *f, const char *cache, const rung_log *log,
                            rung_error *err);

/* One trace by id; strings and arrays live until the iterator is freed. */
rung_status reward_trace_get(const rung_trace **t, rung_iter **it, rung_store *s, int64_t id,
                             rung_error *err);

/* rung.reward.* keys, all text. */
typedef struct reward_keys {
    const char *key[40];
    char value[40][8192];
    int n;
} reward_keys;
void reward_key_put(reward_keys *k, const char *key, const char *fmt, ...) RUNG_PRINTF(3, 4);
/* Everything about a training that its file must say, but the measurements. */
rung_status reward_keys_fill(reward_keys *k, const rung_reward_train_opts *o,
                             const reward_format *f, const rung_model_info *base,
                             const reward_set *set, rung_error *err);
void reward_keys_measure(reward_keys *k, const rung_reward_report *r);
/* Heads in files (reward_head.c). published: in the tensors that others' heads have. */
rung_status reward_head_write(const char *path, const rung_head *h, const reward_keys *k,
                              const reward_set *set, bool published, rung_error *err);
rung_status reward_head_put_keys(rung_net *net, rung_error *err); /* of one trained with its base */
bool reward_head_in_keys(const rung_gguf *g);

/* Held-out (or any) figures of scores p against a set's rows. */
void reward_measure(rung_reward_report *out, const double *p, const reward_set *set);

typedef struct reward_defaults {
    int32_t epochs, batch, patience;
    double lr, held_share;
} reward_defaults;
reward_defaults reward_defaults_of(const rung_reward_train_opts *o);
/* What trains; never RUNG_TUNE_DEFAULT. */
rung_tune reward_tune_of(const rung_reward_train_opts *o);
rung_loss_id reward_loss_of(const rung_reward_train_opts *o);
/* Does the outcome of a trace label it? */
bool reward_reads_outcome(rung_reward_kind k);
bool reward_is_head(rung_reward_kind k);
/* The base trains, whole or through adapters; a head with it. */
rung_status reward_train_net(rung_reward_report *out, reward_keys *keys, rung_store *s,
                             const reward_set *set, const reward_format *f, const rung_model *m,
                             const char *base_hash, const rung_reward_train_opts *o,
                             const rung_log *log, rung_error *err);

struct rung_reward {
    rung_reward_kind kind;
    rung_aggregate_id aggregate;
    char *path;
    char hash[33];
    reward_format format; /* strings borrowed from doc or file */
    reward_format_doc doc;
    rung_gguf *file;
    rung_head *head;
    reward_classifier classifier;
    rung_model *model; /* its own: a token model, a foreign model */
    rung_engine *engine;
    bool owns_engine;
    rung_model *reference; /* log-ratio */
    rung_engine *reference_engine;
    reward_calibration calibration; /* json NULL: none */
    rung_combine_id combine;        /* of an ensemble; engine is then a member's */
    rung_reward **member;
    int32_t n_members;
};
rung_status reward_head_read(rung_reward *r, const rung_model_info *base, rung_error *err);
rung_status reward_head_read_keys(rung_reward *r, rung_error *err);
/* Does it name its training problems? */
bool reward_trained_known(const rung_reward *r);
/* The hash of the model without its calibration, and its row in the store; 0: it has none. */
const char *reward_raw_hash(const rung_reward *r);
rung_status reward_raw_model(int64_t *model, const rung_reward *r, rung_store *s, rung_error *err);
/* Does it score answers at their last step, not steps? */
bool reward_of_outcome(const rung_reward *r);
/* Column `kind` of the model table: "prm" or "orm". */
const char *reward_row_kind(const rung_reward *r);
/* PATH.KEY.SUFFIX: work in progress beside the result, named after what it belongs to, so that
 * what another training left behind is never taken for ours. rung_free() it; NULL: no memory. */
char *reward_beside(const char *path, const char *key, const char *suffix);
/* What a training is: hash of its keys. */
void reward_keys_hash(char out[33], const reward_keys *k);
/* Token names of the +/- read-out. */
#define REWARD_PLUS  "<+>"
#define REWARD_MINUS "<->"
#endif
