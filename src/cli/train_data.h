/* Documents for rung model train --data and --run: read and tokenised once, into a file that is
 * mapped (train_spool.h). */
#ifndef RUNG_SRC_CLI_TRAIN_DATA_H
#define RUNG_SRC_CLI_TRAIN_DATA_H
#include "cli/train_spool.h"
#include "rung/model.h"
#include "rung/store.h"
#include "rung/train.h"

typedef struct train_data {
    train_spool spool;
    uint32_t *pick;          /* [n_docs] which of the file: those to train on, then the held-out */
    int32_t n_docs, n_train; /* the rest are held out */
    uint64_t seed, epoch;    /* order holds this epoch's */
    uint32_t *order;         /* [n_train] of pick */
    int32_t *target;         /* of the document last given */
    float *weight;
    int32_t cap_out;
    int32_t rows, row_tok; /* of a held-out batch */
    int64_t n_dropped;     /* too long; 0 when the tokens were there already */
    double *held_loss; /* [n_docs - n_train] train_data_held leaves it here; borrowed, or NULL */
    double held_mean;
    int64_t held_step; /* of which step these are; -1 none */
} train_data;

/* Where documents come from. */
typedef struct train_source {
    const rung_model *vocab;
    const char *what; /* "line" or "trace": what an id is */
    const char *path; /* JSON lines; NULL = traces of the store */
    rung_store *store;
    rung_filter filter;
    bool correct, known; /* traces: right ones only, those with a verdict only */
    bool duplicates;     /* traces: also a text that the problem has already */
    const char *system, *suffix;
    const char *labels; /* traces: tokens count up to the first step that labels of this source (of
                           label_run; 0 = the newest) call wrong; NULL = all */
    int64_t label_run;
    int32_t row_tok; /* longer documents are refused, or left out and told */
    bool drop;
    int32_t n_train, n_held; /* 0 train: all but the held-out ones */
    uint64_t seed;           /* traces: which problems are held out */
    const rung_log *log;
} train_source;

/* What the documents are made from, as a hash: lines or traces, in order. */
rung_status train_source_hash(char out[33], const train_source *src, rung_error *err);
/* The documents: from the file of tokens at path when it is there and of this key, else read,
 * tokenised and put there. JSON lines: one object each, {"prompt","completion"},
 * {"question","answer"} or {"problem","solution"}, and "system" if there is one, through the
 * model's chat template; the reply ends with the model's end token; the first n_train rows, then
 * n_held. Traces: as they were sampled, the end token after those that ended by themselves; held
 * out are whole problems, those with the smallest draws. */
rung_status train_data_open(train_data *d, const char *path, const char *key,
                            const train_source *src, rung_error *err);
void train_data_clear(train_data *d);
/* rung_sft_opts.doc with ud = train_data: epoch after epoch, each in an order of its own. */
rung_status train_data_doc(void *ud, uint64_t i, const int32_t **tok, const int32_t **target,
                           const float **weight, int32_t *n, rung_error *err);
/* rung_sft_opts.held: mean loss of a held-out reply's token; kept in held_loss, held_mean. */
rung_status train_data_held(void *ud, double *loss, rung_net *net, rung_error *err);
/* Mean loss of each held-out document's reply, [n_docs - n_train]. */
rung_status train_data_losses(double *doc_loss, double *loss, train_data *d, rung_net *net,
                              rung_error *err);
/* Tokens of held-out document k that count. */
int32_t train_data_held_tok(const train_data *d, int32_t k);
#endif
