/* What lies between the matrix products: each one pass over memory, rows in parallel. Results do
 * not depend on the number of threads. n rows of d numbers, row-major, unless said otherwise. */
#ifndef RUNG_SRC_TRAIN_KERNEL_H
#define RUNG_SRC_TRAIN_KERNEL_H
#include "train/real.h"
#include <stdbool.h>

/* Sums over rows are cut into this many fixed pieces and added in order. */
#define RUNG_N_PIECES 16

/* x += add (NULL: nothing), y = x w / sqrt(mean(x^2) + eps); rstd[n] is kept for the way back. */
void rung_kern_rmsnorm(real *y, real *rstd, real *x, const real *add, const real *w, int64_t n,
                       int64_t d, double eps);
/* The same y from the kept rstd. */
void rung_kern_rmsnorm_again(real *y, const real *x, const real *rstd, const real *w, int64_t n,
                             int64_t d);
/* dx += J^T dy; dw (NULL: frozen) += sum over rows. piece: scratch [RUNG_N_PIECES][d]. */
void rung_kern_rmsnorm_back(real *dx, real *dw, real *piece, const real *dy, const real *x,
                            const real *rstd, const real *w, int64_t n, int64_t d);
/* Adds a bias of d numbers to each row of stride ld, and back: db += sum over rows. */
void rung_kern_bias(real *x, int64_t ld, const real *bias, int64_t n, int64_t d);
void rung_kern_bias_back(real *db, real *piece, const real *dx, int64_t ld, int64_t n, int64_t d);
/* Rotates n_head heads of width hd at the start of each row (stride ld) by pos[row]. A pair is two
 * consecutive numbers (ggml's "norm" kind), or halves: j and j + hd/2 (its "neox" kind). table:
 * [pos][hd/2] cos, sin. sign -1 turns back (its own transpose). */
void rung_kern_rope(real *x, int64_t ld, const int32_t *pos, int64_t n, int64_t n_head, int64_t hd,
                    const real *cos_t, const real *sin_t, real sign, bool halves);
/* act = silu(gate) up; gu rows are gate[d] then up[d]. */
void rung_kern_swiglu(real *act, const real *gu, int64_t n, int64_t d);
/* In place: act holds its own gradient and becomes the activation, made again; gu becomes its
 * gradient. */
void rung_kern_swiglu_back(real *gu, real *act, int64_t n, int64_t d);
/* x[row] = table[tok[row]], and back: dtable[tok[row]] += dx[row], rows in order. */
void rung_kern_embed(real *x, const real *table, const int32_t *tok, int64_t n, int64_t d);
void rung_kern_embed_back(real *dtable, const real *dx, const int32_t *tok, int64_t n, int64_t d);
/* Sum of squares in f64, in fixed pieces. */
double rung_kern_sumsq(const real *x, int64_t n);
#endif
