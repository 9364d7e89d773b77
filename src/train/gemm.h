/* Matrix products, the one place where oneDNN is called (and where a GPU would be reached). */
#ifndef RUNG_SRC_TRAIN_GEMM_H
#define RUNG_SRC_TRAIN_GEMM_H
#include "train/real.h"
#include <stdbool.h>

/* C = alpha op(A) op(B) + beta C; row-major; op(A) is [m][k], op(B) [k][n], C [m][n]; ld* are row
 * lengths as stored. Cut into tiles whose borders follow from m, n and k alone, a tile a thread,
 * the inner dimension never cut: the bits do not depend on the number of threads. Called outside
 * parallel regions. False: oneDNN refused (no memory). */
bool rung_gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, real alpha,
               const real *a, int64_t lda, const real *b, int64_t ldb, real beta, real *c,
               int64_t ldc);
/* The same on the calling thread, uncut; called inside a parallel region. */
bool rung_gemm_one(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, real alpha,
                   const real *a, int64_t lda, const real *b, int64_t ldb, real beta, real *c,
                   int64_t ldc);
#endif
