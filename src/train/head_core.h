/* A head's scores and gradient on one batch; compiled with double by the gradient test. */
#ifndef RUNG_SRC_TRAIN_HEAD_CORE_H
#define RUNG_SRC_TRAIN_HEAD_CORE_H
#include "train/real.h"
#include <stdbool.h>

/* Parameters in one block, O = n_out outputs: linear: w1 [O][D], b1 [O]; else w1 [H][D], b1 [H], w2
 * [O][H], b2 [O]. Two outputs: the score is the second minus the first, the logit of class 1 under
 * softmax, so every loss of scores is one of classes. */
typedef struct rung_head_dims {
    int64_t n_in, n_hidden; /* 0 hidden = linear */
    int64_t n_out;          /* 0 = 1; or 2 */
} rung_head_dims;

int64_t rung_head_n_params(rung_head_dims d);
/* z [n]: the head's scores of x [n][n_in]; hid [n][n_hidden]: kept for the way back (unused when
 * linear). False: no memory for a product. */
bool rung_head_core_forward(real *z, real *hid, const real *p, rung_head_dims d, const real *x,
                            int64_t n);
/* g (written) from dz [n], after a forward; hid is used up. */
bool rung_head_core_back(real *g, real *hid, const real *dz, const real *p, rung_head_dims d,
                         const real *x, int64_t n);
/* dx [n][n_in] (written) after rung_head_core_back, which has left in hid what it needs. */
bool rung_head_core_dx(real *dx, const real *hid, const real *dz, const real *p, rung_head_dims d,
                       int64_t n);
#endif
