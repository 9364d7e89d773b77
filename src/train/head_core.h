/* A head's loss and gradient on one batch; compiled with double by the gradient test. */
#ifndef RUNG_SRC_TRAIN_HEAD_CORE_H
#define RUNG_SRC_TRAIN_HEAD_CORE_H
#include "train/real.h"
#include <stdbool.h>

/* Parameters in one block: linear: w1 [D], b1 [1]; else w1 [H][D], b1 [H], w2 [H], b2 [1]. */
typedef struct rung_head_dims {
    int64_t n_in, n_hidden; /* 0 hidden = linear */
} rung_head_dims;

int64_t rung_head_n_params(rung_head_dims d);
/* Mean over the batch, by weight, of y softplus(-z) + (1 - y) softplus(z). g (NULL: loss only) is
 * written. w NULL: all 1. z [n] logits out; hid [n][H] scratch (unused when linear). False: no
 * memory for a product. */
bool rung_head_core_grad(double *loss, real *g, real *z, real *hid, const real *p, rung_head_dims d,
                         const real *x, const real *y, const real *w, int64_t n);
#endif
