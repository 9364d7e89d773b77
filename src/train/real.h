/* The number type of the core: float in the library; the gradient test compiles the same sources
 * with double (RUNG_REAL_F64) so that finite differences can be checked at 1e-6. */
#ifndef RUNG_SRC_TRAIN_REAL_H
#define RUNG_SRC_TRAIN_REAL_H
#include <math.h>
#include <stdint.h>
#include <string.h>

/* ln(1 + exp z) without overflow. */
static inline double rung_softplus(double z) {
    return z > 0 ? z + log1p(exp(-z)) : log1p(exp(z));
}

#ifdef RUNG_REAL_F64
typedef double real;
static inline real rung_real_exp(real x) {
    return exp(x);
}
#else
typedef float real;

/* exp(x) in f32 within 2 ulp (checked in the test), written so that compilers vectorise it: x = n
 * ln 2 + r with |r| <= ln 2 / 2, a polynomial for exp(r), 2^n built from its bits. Below -87.3 the
 * result is the smallest normal number, above 88 it is exp(88); NaN stays NaN. */
static inline real rung_real_exp(real x) {
    x = x < -87.3f ? -87.3f : x;
    x = x > 88.0f ? 88.0f : x;
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float t = x * 1.44269504f + magic;
    float n = t - magic;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f; /* ln 2 in two parts */
    float p = 1.9875691500e-4f;                            /* minimax on |r| (Cephes' expf) */
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &t, sizeof bits);
    bits = (bits - 0x4b400000u + 127u) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}
#endif

/* The largest of n > 0 numbers. Eight lanes, so that compilers vectorise it. */
static inline real rung_real_max(const real *x, int64_t n) {
    real lane[8];
    int64_t i = 0;
    for (int k = 0; k < 8; k++) lane[k] = x[0];
    for (; i + 8 <= n; i += 8) {
        for (int k = 0; k < 8; k++) lane[k] = x[i + k] > lane[k] ? x[i + k] : lane[k];
    }
    for (; i < n; i++) lane[0] = x[i] > lane[0] ? x[i] : lane[0];
    for (int k = 1; k < 8; k++) lane[0] = lane[k] > lane[0] ? lane[k] : lane[0];
    return lane[0];
}
#endif
