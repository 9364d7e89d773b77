#include "train/kernel.h"
#include "train/vec.h"

static void piece_range(int64_t *lo, int64_t *hi, int64_t i, int64_t n) {
    *lo = n * i / RUNG_N_PIECES;
    *hi = n * (i + 1) / RUNG_N_PIECES;
}

static void add_pieces(real *out, const real *piece, int64_t d) {
    for (int64_t j = 0; j < d; j++) {
        double s = 0;
        for (int64_t p = 0; p < RUNG_N_PIECES; p++) s += (double)piece[p * d + j];
        out[j] += (real)s;
    }
}

static void scale_row(real *y, const real *x, real r, const real *w, int64_t d) {
#pragma omp simd
    for (int64_t j = 0; j < d; j++) y[j] = x[j] * r * w[j];
}

void rung_kern_rmsnorm(real *y, real *rstd, real *x, const real *add, const real *w, int64_t n,
                       int64_t d, double eps) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        real *xi = x + i * d;
        double s = 0;
        if (add) {
            const real *ai = add + i * d;
#pragma omp simd
            for (int64_t j = 0; j < d; j++) xi[j] += ai[j];
        }
#pragma omp simd reduction(+ : s)
        for (int64_t j = 0; j < d; j++) s += (double)xi[j] * (double)xi[j];
        rstd[i] = (real)(1.0 / sqrt(s / (double)d + eps));
        scale_row(y + i * d, xi, rstd[i], w, d);
    }
}

void rung_kern_rmsnorm_again(real *y, const real *x, const real *rstd, const real *w, int64_t n,
                             int64_t d) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) scale_row(y + i * d, x + i * d, rstd[i], w, d);
}

/* With xhat = x r and g = dy w: dx += r g - x r^3 mean(g x); dw += dy xhat. */
void rung_kern_rmsnorm_back(real *dx, real *dw, real *piece, const real *dy, const real *x,
                            const real *rstd, const real *w, int64_t n, int64_t d) {
#pragma omp parallel for schedule(static)
    for (int64_t p = 0; p < RUNG_N_PIECES; p++) {
        int64_t lo, hi;
        piece_range(&lo, &hi, p, n);
        real *acc = piece + p * d;
        memset(acc, 0, (size_t)d * sizeof *acc);
        for (int64_t i = lo; i < hi; i++) {
            const real *xi = x + i * d, *gi = dy + i * d;
            real *di = dx + i * d, r = rstd[i];
            double s = 0;
#pragma omp simd reduction(+ : s)
            for (int64_t j = 0; j < d; j++) s += (double)(gi[j] * w[j]) * (double)xi[j];
            real c = (real)(s * (double)r * (double)r * (double)r / (double)d);
#pragma omp simd
            for (int64_t j = 0; j < d; j++) {
                di[j] += gi[j] * w[j] * r - xi[j] * c;
                acc[j] += gi[j] * xi[j] * r;
            }
        }
    }
    if (dw) add_pieces(dw, piece, d);
}

void rung_kern_bias(real *x, int64_t ld, const real *bias, int64_t n, int64_t d) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < d; j++) x[i * ld + j] += bias[j];
    }
}

void rung_kern_bias_back(real *db, real *piece, const real *dx, int64_t ld, int64_t n, int64_t d) {
#pragma omp parallel for schedule(static)
    for (int64_t p = 0; p < RUNG_N_PIECES; p++) {
        int64_t lo, hi;
        piece_range(&lo, &hi, p, n);
        real *acc = piece + p * d;
        memset(acc, 0, (size_t)d * sizeof *acc);
        for (int64_t i = lo; i < hi; i++) {
            for (int64_t j = 0; j < d; j++) acc[j] += dx[i * ld + j];
        }
    }
    add_pieces(db, piece, d);
}

void rung_kern_rope(real *x, int64_t ld, const int32_t *pos, int64_t n, int64_t n_head, int64_t hd,
                    const real *cos_t, const real *sin_t, real sign, bool halves) {
    int64_t half = hd / 2;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        const real *c = cos_t + pos[i] * half, *s = sin_t + pos[i] * half;
        for (int64_t h = 0; h < n_head; h++) {
            real *v = x + i * ld + h * hd;
            if (halves) {
#pragma omp simd
                for (int64_t j = 0; j < half; j++) {
                    real a = v[j], b = v[j + half], sj = sign * s[j];
                    v[j] = a * c[j] - b * sj;
                    v[j + half] = a * sj + b * c[j];
                }
            } else {
#pragma omp simd
                for (int64_t j = 0; j < half; j++) {
                    real a = v[2 * j], b = v[2 * j + 1], sj = sign * s[j];
                    v[2 * j] = a * c[j] - b * sj;
                    v[2 * j + 1] = a * sj + b * c[j];
                }
            }
        }
    }
}

static void swiglu_row(real *a, const real *g, const real *u, int64_t d) {
    int64_t j = 0;
#ifdef RUNG_VEC
    for (; j + RUNG_VEC <= d; j += RUNG_VEC) {
        __m256 x = _mm256_loadu_ps(g + j), y = _mm256_loadu_ps(u + j);
        _mm256_storeu_ps(a + j, _mm256_mul_ps(_mm256_mul_ps(x, rung_vec_sigmoid(x)), y));
    }
#endif
    for (; j < d; j++) a[j] = g[j] / (1 + rung_real_exp(-g[j])) * u[j];
}

void rung_kern_swiglu(real *act, const real *gu, int64_t n, int64_t d) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) swiglu_row(act + i * d, gu + i * 2 * d, gu + i * 2 * d + d, d);
}

/* With s = sigma(g), silu = g s: silu' = s + silu (1 - s). */
static void swiglu_back_row(real *g, real *u, real *a, int64_t d) {
    int64_t j = 0;
#ifdef RUNG_VEC
    for (; j + RUNG_VEC <= d; j += RUNG_VEC) {
        __m256 x = _mm256_loadu_ps(g + j), y = _mm256_loadu_ps(u + j), da = _mm256_loadu_ps(a + j);
        __m256 s = rung_vec_sigmoid(x), silu = _mm256_mul_ps(x, s);
        __m256 slope = _mm256_fmadd_ps(silu, _mm256_sub_ps(_mm256_set1_ps(1), s), s);
        _mm256_storeu_ps(a + j, _mm256_mul_ps(silu, y));
        _mm256_storeu_ps(g + j, _mm256_mul_ps(_mm256_mul_ps(da, y), slope));
        _mm256_storeu_ps(u + j, _mm256_mul_ps(da, silu));
    }
#endif
    for (; j < d; j++) {
        real s = 1 / (1 + rung_real_exp(-g[j])), silu = g[j] * s, da = a[j];
        a[j] = silu * u[j];
        g[j] = da * u[j] * (s + silu * (1 - s));
        u[j] = da * silu;
    }
}

void rung_kern_swiglu_back(real *gu, real *act, int64_t n, int64_t d) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++)
        swiglu_back_row(gu + i * 2 * d, gu + i * 2 * d + d, act + i * d, d);
}

void rung_kern_embed(real *x, const real *table, const int32_t *tok, int64_t n, int64_t d) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) memcpy(x + i * d, table + tok[i] * d, (size_t)d * sizeof *x);
}

/* Parallel over columns, so that each entry is summed by one thread in the order of rows. */
void rung_kern_embed_back(real *dtable, const real *dx, const int32_t *tok, int64_t n, int64_t d) {
#pragma omp parallel for schedule(static)
    for (int64_t p = 0; p < RUNG_N_PIECES; p++) {
        int64_t lo, hi;
        piece_range(&lo, &hi, p, d);
        for (int64_t i = 0; i < n; i++) {
            real *t = dtable + tok[i] * d;
            const real *g = dx + i * d;
            for (int64_t j = lo; j < hi; j++) t[j] += g[j];
        }
    }
}

double rung_kern_sumsq(const real *x, int64_t n) {
    double piece[RUNG_N_PIECES], total = 0;
#pragma omp parallel for schedule(static)
    for (int64_t p = 0; p < RUNG_N_PIECES; p++) {
        int64_t lo, hi;
        piece_range(&lo, &hi, p, n);
        double s = 0;
#pragma omp simd reduction(+ : s)
        for (int64_t i = lo; i < hi; i++) s += (double)x[i] * (double)x[i];
        piece[p] = s;
    }
    for (int p = 0; p < RUNG_N_PIECES; p++) total += piece[p];
    return total;
}
