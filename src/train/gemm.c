#include "train/gemm.h"

#ifdef RUNG_REAL_F64
bool rung_gemm_one(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, real alpha,
                   const real *a, int64_t lda, const real *b, int64_t ldb, real beta, real *c,
                   int64_t ldc) {
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            real s = 0;
            for (int64_t p = 0; p < k; p++)
                s += (trans_a ? a[p * lda + i] : a[i * lda + p]) *
                     (trans_b ? b[j * ldb + p] : b[p * ldb + j]);
            c[i * ldc + j] = alpha * s + (beta == 0 ? 0 : beta * c[i * ldc + j]);
        }
    }
    return true;
}
#else
#include <oneapi/dnnl/dnnl.h>

bool rung_gemm_one(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, real alpha,
                   const real *a, int64_t lda, const real *b, int64_t ldb, real beta, real *c,
                   int64_t ldc) {
    return dnnl_sgemm(trans_a ? 'T' : 'N', trans_b ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb,
                      beta, c, ldc) == dnnl_success;
}
#endif

/* A tile of 40 million multiplications is a millisecond of one core: long against starting it,
 * short against a product. Smaller products still become up to 8 tiles, of 30 microseconds at
 * least. A tile packs its rows and columns anew, so its sides stay at 128 or above: at 64 a product
 * of 768 x 256 x 2048 loses 7%. */
#define TILE_MOST      40e6
#define TILE_LEAST     1.2e6
#define TILE_SIDE_MIN  128
#define TILES_OF_SMALL 8

int64_t rung_gemm_border(int64_t i, int64_t n_pieces, int64_t n) {
    return i == n_pieces ? n : n * i / n_pieces / 16 * 16;
}

void rung_gemm_cut(int64_t *pm, int64_t *pn, int64_t m, int64_t n, int64_t k) {
    double all = (double)m * (double)n * (double)k, most = all / TILES_OF_SMALL;
    if (most > TILE_MOST) most = TILE_MOST;
    if (most < TILE_LEAST) most = TILE_LEAST;
    *pm = *pn = 1;
    while (all / (double)(*pm * *pn) > most) {
        bool rows = m / *pm >= n / *pn;
        if ((rows ? m / *pm : n / *pn) < 2 * TILE_SIDE_MIN) break;
        if (rows)
            *pm *= 2;
        else
            *pn *= 2;
    }
}

bool rung_gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, real alpha,
               const real *a, int64_t lda, const real *b, int64_t ldb, real beta, real *c,
               int64_t ldc) {
    int64_t pm, pn;
    rung_gemm_cut(&pm, &pn, m, n, k);
    bool ok = true;
#pragma omp parallel for schedule(dynamic, 1) reduction(&& : ok)
    for (int64_t t = 0; t < pm * pn; t++) { /* down b's part first: it stays in the cache */
        int64_t i0 = rung_gemm_border(t % pm, pm, m), i1 = rung_gemm_border(t % pm + 1, pm, m);
        int64_t j0 = rung_gemm_border(t / pm, pn, n), j1 = rung_gemm_border(t / pm + 1, pn, n);
        ok = rung_gemm_one(trans_a, trans_b, i1 - i0, j1 - j0, k, alpha,
                           a + (trans_a ? i0 : i0 * lda), lda, b + (trans_b ? j0 * ldb : j0), ldb,
                           beta, c + i0 * ldc + j0, ldc) &&
             ok;
    }
    return ok;
}

#ifdef RUNG_REAL_F64
bool rung_gemm_in(rung_gemm_mode mode, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k,
                  const real *a, int64_t lda, const real *b, int64_t ldb, real beta, real *c,
                  int64_t ldc) {
    (void)mode;
    return rung_gemm(trans_a, trans_b, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
}
#endif
