/* Matrix product, the one place where oneDNN is called (and where a GPU would be reached). */
#ifndef RUNG_SRC_TRAIN_GEMM_H
#define RUNG_SRC_TRAIN_GEMM_H
#include "train/real.h"
#include <stdbool.h>

/* C = alpha op(A) op(B) + beta C; row-major; op(A) is [m][k], op(B) [k][n], C [m][n]; ld* are row
 * lengths as stored. Inside a parallel region it runs on the calling thread alone. False: oneDNN
 * refused (no memory). */
bool rung_gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, real alpha,
               const real *a, int64_t lda, const real *b, int64_t ldb, real beta, real *c,
               int64_t ldc);
#endif
