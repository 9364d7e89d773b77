/* Matrix products, the one place where oneDNN is called (and where a GPU would be reached). */
#ifndef RUNG_SRC_TRAIN_GEMM_H
#define RUNG_SRC_TRAIN_GEMM_H
#include "train/real.h"
#include <stdbool.h>

/* F32; BF16: both operands rounded to bf16, sums in f32, on CPUs that have it; EMULATED: the same
 * numbers through f32 products, anywhere (the product of two bf16 is exact in f32). */
typedef enum rung_gemm_mode { RUNG_GEMM_F32, RUNG_GEMM_BF16, RUNG_GEMM_EMULATED } rung_gemm_mode;
bool rung_gemm_has_bf16(void); /* this CPU, this oneDNN */

/* C = alpha op(A) op(B) + beta C; row-major; op(A) is [m][k], op(B) [k][n], C [m][n]; ld* are row
 * lengths as stored. Cut into tiles whose borders follow from m, n and k alone, a tile a thread,
 * the inner dimension never cut: the bits do not depend on the number of threads. Called outside
 * parallel regions. False: oneDNN refused (no memory). */
bool rung_gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, real alpha,
               const real *a, int64_t lda, const real *b, int64_t ldb, real beta, real *c,
               int64_t ldc);
/* rung_gemm with alpha 1 in that mode; beta 0 or 1. */
bool rung_gemm_in(rung_gemm_mode mode, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k,
                  const real *a, int64_t lda, const real *b, int64_t ldb, real beta, real *c,
                  int64_t ldc);
/* oneDNN's product, uncut; in a parallel region on the calling thread, else on oneDNN's own. */
bool rung_gemm_one(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, real alpha,
                   const real *a, int64_t lda, const real *b, int64_t ldb, real beta, real *c,
                   int64_t ldc);
/* How a product is cut: into pm x pn tiles; where piece i of n begins. */
void rung_gemm_cut(int64_t *pm, int64_t *pn, int64_t m, int64_t n, int64_t k);
int64_t rung_gemm_border(int64_t i, int64_t n_pieces, int64_t n);
#endif
