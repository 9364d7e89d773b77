/* Training a whole base, or adapters on it, as a reward model: what the loop (reward_tune.c), the
 * batches (reward_tune_batch.c) and the losses (reward_tune_loss.c, reward_tune_ratio.c) share. */
#ifndef RUNG_SRC_REWARD_TUNE_H
#define RUNG_SRC_REWARD_TUNE_H
#include "reward/reward_impl.h"
#include "rung/loss.h"

/* What is read: two words after each step, the log-ratio of its tokens, a head's score. */
typedef enum tune_by { TUNE_WORDS, TUNE_RATIO, TUNE_HEAD } tune_by;

typedef struct tune_doc {
    reward_layout l;
    int64_t example;
    double *ref; /* ratio: logprob of each token under the base */
    size_t at;   /* where it begins in the batch that holds it */
} tune_doc;

/* A batch, [B*T] each unless said otherwise. */
typedef struct tune_batch {
    int32_t *tok, *which; /* which: document in its row, -1 padding */
    tune_doc **doc;       /* [documents] */
    int32_t n_docs;
    /* words and heads: what is read, [n] each; at: row x T + token; row: the set's. ratio: group
     * and score (z) of each document */
    int64_t *at, n;
    int32_t *row, *group;
    double *target, *old, *score;
    /* words: the same by position; ratio: the steps' tokens. sample: which read, which document */
    double *mask, *want;
    int32_t *next, *sample;
    double *ref, *logprob;
    float *weight;                 /* mask as floats */
    double *label, *sample_weight; /* [documents] */
} tune_batch;

typedef struct tune_state { /* in the checkpoint; old values of rows follow it */
    int32_t epoch, best_epoch;
    int64_t next;
    double sum_w;
    int64_t n_tok; /* read in all steps so far, no padding */
    double best_loss, sum;
} tune_state;

typedef struct tuner {
    const reward_set *set;
    const rung_reward_train_opts *o;
    reward_defaults d;
    const rung_log *log;
    rung_store *store;     /* ratio: what the reference says is kept in it */
    const char *base_hash; /* whose logprobs those are */
    rung_net *net;
    tune_by by;
    rung_loss_id loss;
    double beta, kto_zero;
    int32_t plus, minus;
    tune_doc *doc; /* one per example; with kto as many again: each prompt with the steps of the
                      next problem's */
    int64_t n_docs;
    int32_t n_rows, n_row_tok; /* B, T */
    bool spans;                /* the loss compares rows: a problem's traces stay together */
    int64_t n_tok_train;
    tune_batch b;
    uint32_t *order; /* the documents in hand, in order */
    double *p, *z;   /* [set->n_rows] probability and, of a head, score */
    double *old;     /* [set->n_rows] value: scores when the epoch began */
    double *balance; /* ratio: [examples] weights of the training side */
    char *checkpoint, *best;
    void *blob; /* what a checkpoint holds beside the net */
    size_t n_blob;
    tune_state state;
} tuner;

/* reward_tune_batch.c */
rung_status tune_lay_out(tuner *w, rung_store *s, const rung_model *m, const reward_format *f,
                         rung_error *err);
rung_status tune_batch_init(tuner *w, rung_error *err); /* after tune_lay_out: sets n_rows, too */
void tune_batch_clear(tuner *w);
int64_t tune_list(tuner *w, bool train, bool held);             /* into order; how many */
rung_status tune_shuffle(tuner *w, int64_t n, rung_error *err); /* by the epoch's address */
/* Fills a batch from order[*next...): row by row, a document goes into the first row it fits. */
rung_batch tune_pack(tuner *w, int64_t *next, int64_t n_docs);
int64_t tune_count_tokens(const tuner *w);

/* reward_tune_loss.c */
rung_status tune_loss_init(tuner *w, rung_error *err); /* head on the net, reference, balance */
/* p and z of every row of the listed sides. */
rung_status tune_predict(tuner *w, bool train, bool held, rung_error *err);
/* Loss of the batch in hand, its gradient added; share: the weight that the mean is over. */
rung_status tune_grad(double *value, double *share, tuner *w, const rung_batch *b, rung_error *err);
/* The training's own loss on the held-out side, from p and z. */
rung_status tune_held_loss(double *loss, tuner *w, rung_error *err);
rung_loss_opts tune_loss_opts(const tuner *w);
/* What the loss of a batch is a mean over; 0: nothing to compare, and no step to take. finite [n]:
 * any numbers, none of them counts. */
rung_status tune_share(double *share, const tuner *w, const rung_loss_data *d, const double *finite,
                       rung_error *err);

/* reward_tune_ratio.c */
rung_status tune_ratio_init(tuner *w, rung_error *err); /* balance and reference */
/* Mismatched documents of kto, after the others are laid out; raises *longest. */
rung_status tune_ratio_mismatch(tuner *w, int32_t *longest, rung_error *err);
/* z0 of kto: before order[next..n) is packed; before the held-out loss. */
rung_status tune_ratio_before(tuner *w, int64_t next, int64_t n, rung_error *err);
rung_status tune_ratio_before_held(tuner *w, rung_error *err);
/* z and P(right) = sigma(beta z) of each trace of the batch. */
rung_status tune_ratio_predict(tuner *w, const rung_batch *b, rung_error *err);
rung_status tune_ratio_grad(double *value, double *share, tuner *w, const rung_batch *b,
                            rung_error *err);
/* A problem without a right trace, or without a wrong one, compares nothing (rewards.md 1): its
 * group becomes -1. Traces of a problem are neighbours. */
void reward_drop_plain_groups(int32_t *group, const double *label, int64_t n);
#endif
