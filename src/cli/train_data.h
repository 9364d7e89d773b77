/* Pairs of prompt and reply for rung model train --data: read and tokenised once. */
#ifndef RUNG_SRC_CLI_TRAIN_DATA_H
#define RUNG_SRC_CLI_TRAIN_DATA_H
#include "rung/model.h"
#include "rung/train.h"

typedef struct train_doc {
    int64_t at;          /* in tok */
    int32_t n, n_prompt; /* tokens; of them before the reply */
} train_doc;
typedef struct train_data {
    train_doc *doc;
    int32_t n_docs, cap_docs, n_train; /* the rest are held out */
    int32_t *tok;
    int64_t n_tok, cap_tok;
    uint64_t seed, epoch; /* order holds this epoch's */
    uint32_t *order;      /* [n_train] */
    int32_t *target;      /* of the document last given */
    float *weight;
    int32_t cap_out;
    int32_t rows, row_tok; /* of a held-out batch */
} train_data;

/* One JSON object a line: {"prompt","completion"}, {"question","answer"} or {"problem","solution"},
 * and "system" if there is one, through the model's chat template; the reply ends with the model's
 * end token. n_train documents, then n_held; 0 train: all but the held-out ones. */
rung_status train_data_read(train_data *d, const rung_model *vocab, const char *path,
                            int32_t n_train, int32_t n_held, rung_error *err);
void train_data_clear(train_data *d);
/* rung_sft_opts.doc with ud = train_data: epoch after epoch, each in an order of its own. */
rung_status train_data_doc(void *ud, uint64_t i, const int32_t **tok, const int32_t **target,
                           const float **weight, int32_t *n, rung_error *err);
/* rung_sft_opts.held: mean loss of a held-out reply's token. */
rung_status train_data_held(void *ud, double *loss, rung_net *net, rung_error *err);
/* Mean loss of each held-out document's reply, [n_docs - n_train]. */
rung_status train_data_losses(double *doc_loss, double *loss, train_data *d, rung_net *net,
                              rung_error *err);
#endif
