/* The worlds' text as token documents for the trainer: what goes in, what should come out, what
 * counts. */
#ifndef RUNG_SRC_CLI_TRAIN_TEXT_H
#define RUNG_SRC_CLI_TRAIN_TEXT_H
#include "rung/model.h"
#include "rung/problem.h"
#include "rung/train.h"

typedef struct train_text {
    rung_corpus_opts corpus;
    const rung_model *vocab; /* tokenises as the trained model will */
    float check_weight;      /* of a verdict in checking text */
    float check_lm;          /* of a line's true result there; 0 = only the verdicts count */
    uint64_t first;          /* number of the first document */
    rung_buf prompt, doc;
    int32_t *tok, *target;
    float *weight;
    int32_t n, cap;
    rung_corpus_kind kind; /* of the document last made */
} train_text;

/* corpus, vocab and weights are set by the caller; clear frees the buffers. */
void train_text_init(train_text *t);
void train_text_clear(train_text *t);
/* rung_sft_opts.doc with ud = train_text. Document i of the training text is number first + i. */
rung_status train_text_doc(void *ud, uint64_t i, const int32_t **tok, const int32_t **target,
                           const float **weight, int32_t *n, rung_error *err);

/* Loss on held-out documents, a document a row. */
typedef struct train_held {
    double loss_solve, loss_check, check_accuracy; /* NaN: none of that kind */
    int64_t n_solve, n_check;                      /* tokens and verdicts that counted */
} train_held;
rung_status train_text_held(train_held *out, rung_net *net, train_text *t, uint64_t first,
                            int64_t n_docs, int32_t rows, int32_t n_tok, const rung_log *log,
                            rung_error *err);

/* The worlds' vocabulary into the net. */
rung_status train_text_set_vocab(rung_net *net, const rung_vocab *v, rung_error *err);
#endif
