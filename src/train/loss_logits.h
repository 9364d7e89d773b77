/* Between logits and logprobs, both ways; compiled with double by the gradient test. Rows are
 * independent, so nothing depends on the number of threads. Positions with mask 0 give 0 and are
 * not read. */
#ifndef RUNG_SRC_TRAIN_LOSS_LOGITS_H
#define RUNG_SRC_TRAIN_LOSS_LOGITS_H
#include "train/real.h"
#include <stdint.h>

/* ln softmax(logits / temperature) at tok, and (NULL: not) the entropy of that softmax. */
void rung_logits_logprob(double *logprob, double *entropy, const real *logits, const int32_t *tok,
                         const double *mask, int64_t n, int32_t n_vocab, double temperature);
/* dlogits (written) from the gradients by logprob and (NULL: none) by entropy. */
void rung_logits_logprob_back(real *dlogits, const double *dlogprob, const double *dentropy,
                              const real *logits, const int32_t *tok, const double *mask, int64_t n,
                              int32_t n_vocab, double temperature);
/* sum over v of pi (ln pi - ln ref), pi and ref the softmax of logits / temperature. */
void rung_logits_exact_kl(double *kl, const real *logits, const real *ref, const double *mask,
                          int64_t n, int32_t n_vocab, double temperature);
/* Its gradient times dkl, added to dlogits. */
void rung_logits_exact_kl_back(real *dlogits, const double *dkl, const real *logits,
                               const real *ref, const double *mask, int64_t n, int32_t n_vocab,
                               double temperature);
#endif
