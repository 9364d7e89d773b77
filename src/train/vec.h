/* Eight numbers at a time, where the compiler may use AVX2 and FMA and `real` is float. Loops that
 * take exp are written with it: compilers turn the clamps of rung_real_exp into branches and blends
 * that cost three times the arithmetic. Elsewhere the plain loops beside them do the work. */
#ifndef RUNG_SRC_TRAIN_VEC_H
#define RUNG_SRC_TRAIN_VEC_H
#include "train/real.h"

#if defined(__AVX2__) && defined(__FMA__) && !defined(RUNG_REAL_F64)
#define RUNG_VEC 8
#include <immintrin.h>

/* rung_real_exp, with fused multiply-adds. */
static inline __m256 rung_vec_exp(__m256 x) {
    /* max and min give their second operand when one is NaN */
    x = _mm256_max_ps(_mm256_set1_ps(-87.3f), x);
    x = _mm256_min_ps(_mm256_set1_ps(88.0f), x);
    const __m256 magic = _mm256_set1_ps(12582912.0f);
    __m256 t = _mm256_fmadd_ps(x, _mm256_set1_ps(1.44269504f), magic);
    __m256 n = _mm256_sub_ps(t, magic);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
    r = _mm256_fmadd_ps(n, _mm256_set1_ps(2.12194440e-4f), r);
    __m256 p = _mm256_set1_ps(1.9875691500e-4f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
    p = _mm256_add_ps(_mm256_fmadd_ps(_mm256_mul_ps(p, r), r, r), _mm256_set1_ps(1));
    __m256i bits = _mm256_add_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(127 - 0x4b400000));
    return _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23)));
}

/* 1 / (1 + exp(-x)) */
static inline __m256 rung_vec_sigmoid(__m256 x) {
    __m256 one = _mm256_set1_ps(1);
    __m256 e = rung_vec_exp(_mm256_xor_ps(x, _mm256_set1_ps(-0.0f)));
    return _mm256_div_ps(one, _mm256_add_ps(one, e));
}

/* sum + the eight numbers, in four lanes of double. */
static inline __m256d rung_vec_sum(__m256d sum, __m256 x) {
    sum = _mm256_add_pd(sum, _mm256_cvtps_pd(_mm256_castps256_ps128(x)));
    return _mm256_add_pd(sum, _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)));
}

/* sum + the eight products, exact in double before they are added. */
static inline __m256d rung_vec_dot(__m256d sum, __m256 x, __m256 y) {
    sum = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(x)),
                          _mm256_cvtps_pd(_mm256_castps256_ps128(y)), sum);
    return _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)),
                           _mm256_cvtps_pd(_mm256_extractf128_ps(y, 1)), sum);
}

static inline double rung_vec_total(__m256d sum) {
    double lane[4];
    _mm256_storeu_pd(lane, sum);
    return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}
#endif

/* x[j] = exp(x[j] - top); returns their sum. */
static inline double rung_exp_row(real *x, real top, int64_t n) {
    double sum = 0;
    int64_t j = 0;
#ifdef RUNG_VEC
    __m256d acc = _mm256_setzero_pd();
    for (; j + RUNG_VEC <= n; j += RUNG_VEC) {
        __m256 e = rung_vec_exp(_mm256_sub_ps(_mm256_loadu_ps(x + j), _mm256_set1_ps(top)));
        _mm256_storeu_ps(x + j, e);
        acc = rung_vec_sum(acc, e);
    }
    sum = rung_vec_total(acc);
#endif
    for (; j < n; j++) {
        x[j] = rung_real_exp(x[j] - top);
        sum += (double)x[j];
    }
    return sum;
}

/* The same, and the sum is that of x[j] y[j]. */
static inline double rung_exp_dot_row(real *x, const real *y, real top, int64_t n) {
    double sum = 0;
    int64_t j = 0;
#ifdef RUNG_VEC
    __m256d acc = _mm256_setzero_pd();
    for (; j + RUNG_VEC <= n; j += RUNG_VEC) {
        __m256 e = rung_vec_exp(_mm256_sub_ps(_mm256_loadu_ps(x + j), _mm256_set1_ps(top)));
        _mm256_storeu_ps(x + j, e);
        acc = rung_vec_dot(acc, e, _mm256_loadu_ps(y + j));
    }
    sum = rung_vec_total(acc);
#endif
    for (; j < n; j++) {
        x[j] = rung_real_exp(x[j] - top);
        sum += (double)x[j] * (double)y[j];
    }
    return sum;
}
#endif
