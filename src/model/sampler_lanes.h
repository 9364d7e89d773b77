/* The passes over logits, written once for vectors of LANES floats; sampler_kernel.c and
 * sampler_kernel_avx512.c include this. Defines `LANE_TABLE`. No include guard: a template.
 *
 * Whatever LANES is, terms are added in the same order (32 running sums, then a fixed tree), so on
 * machines with fused multiply-add a result does not depend on the width of the registers. */
#include <string.h>

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef uint32_t uvec __attribute__((vector_size(4 * LANES)));

enum { N_ACC = 32 / LANES };

LANE_FN vec load(const float *p) {
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

LANE_FN vec all(float x) {
    return (vec){0} + x;
}

/* The larger of each lane; b where either is NaN. */
LANE_FN vec max_or_second(vec a, vec b) {
#if defined(__AVX512F__) && LANES == 16
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX__) && LANES == 8
    return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__) && LANES == 4
    return (vec)_mm_max_ps((__m128)a, (__m128)b);
#else
    ivec m = a > b;
    return (vec)((m & (ivec)a) | (~m & (ivec)b));
#endif
}

LANE_FN vec fma_lanes(vec a, vec b, vec c) {
#if defined(__AVX512F__) && LANES == 16
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__) && LANES == 8
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

LANE_FN bool any_at_least(vec v, vec floor) {
#if defined(__AVX512F__) && LANES == 16
    return _mm512_cmp_ps_mask((__m512)v, (__m512)floor, _CMP_GE_OQ) != 0;
#elif defined(__AVX__) && LANES == 8
    return _mm256_movemask_ps(_mm256_cmp_ps((__m256)v, (__m256)floor, _CMP_GE_OQ)) != 0;
#else
    ivec in = v >= floor;
    int64_t half[LANES / 2], any = 0;
    memcpy(half, &in, sizeof half);
    for (int j = 0; j < LANES / 2; j++) any |= half[j];
    return any != 0;
#endif
}

/* x[i] = 2^(x[i] * c) for x <= 0, c = c->hi + c->lo. The exponent k is rounded off by adding
 * 1.5 * 2^23 (k then sits in the low bits), the rest r in [-1/2, 1/2] goes through the polynomial
 * of degree 6 with p(0) = 1 and the least largest relative error (2.6e-9, by Remez exchange). NaN
 * stays NaN; what lies below c->min_x is taken as c->min_x (1.6e-38). Four at a time, step by step:
 * one alone would wait for each of its own results. */
enum { N_EXP = 4, EXP_STEP = N_EXP * LANES };
#define EACH for (int i = 0; i < N_EXP; i++)

LANE_FN void exp_lanes(vec x[N_EXP], const exp_scale *c) {
    const vec magic = all(12582912.0f), floor = all(c->min_x), hi = all(c->hi), lo = all(c->lo);
    vec t[N_EXP], p[N_EXP];
    EACH x[i] = max_or_second(floor, x[i]);
    EACH t[i] = fma_lanes(x[i], hi, magic);
    EACH p[i] = fma_lanes(x[i], hi, magic - t[i]);
    EACH x[i] = fma_lanes(x[i], lo, p[i]);
    EACH p[i] = fma_lanes(x[i], all(1.559467760e-04f), all(1.340664391e-03f));
    EACH p[i] = fma_lanes(p[i], x[i], all(9.617692975e-03f));
    EACH p[i] = fma_lanes(p[i], x[i], all(5.550310551e-02f));
    EACH p[i] = fma_lanes(p[i], x[i], all(2.402265278e-01f));
    EACH p[i] = fma_lanes(p[i], x[i], all(6.931472150e-01f));
    EACH p[i] = fma_lanes(p[i], x[i], all(1.0f));
    EACH x[i] = (vec)((uvec)p[i] + ((uvec)t[i] << 23));
}

/* For sums at the sampling temperature, which find a block and normalise: degree 5 (2.1e-7), and c
 * in one float: another |x| c 4.2e-8, so 5e-6 of weights near 1e-38, where it does not count. */
LANE_FN void exp_for_sum(vec x[N_EXP], const exp_scale *c) {
    const vec magic = all(12582912.0f), floor = all(c->min_x), hi = all(c->hi);
    vec t[N_EXP], p[N_EXP];
    EACH x[i] = max_or_second(floor, x[i]);
    EACH t[i] = fma_lanes(x[i], hi, magic);
    EACH x[i] = fma_lanes(x[i], hi, magic - t[i]);
    EACH p[i] = fma_lanes(x[i], all(1.327647200e-03f), all(9.675541334e-03f));
    EACH p[i] = fma_lanes(p[i], x[i], all(5.550713273e-02f));
    EACH p[i] = fma_lanes(p[i], x[i], all(2.402211972e-01f));
    EACH p[i] = fma_lanes(p[i], x[i], all(6.931469671e-01f));
    EACH p[i] = fma_lanes(p[i], x[i], all(1.0f));
    EACH x[i] = (vec)((uvec)p[i] + ((uvec)t[i] << 23));
}

LANE_FN float tree_sum(const vec acc[N_ACC]) {
    float s[32];
    memcpy(s, acc, sizeof s);
    for (int w = 16; w > 0; w /= 2) {
        for (int j = 0; j < w; j++) s[j] += s[j + w];
    }
    return s[0];
}

LANE_FN float block_max(const float *z) {
    vec best[N_ACC];
    for (int a = 0; a < N_ACC; a++) best[a] = load(z + a * LANES);
    for (int i = 32; i < SAMPLER_BLOCK; i += 32) {
        for (int a = 0; a < N_ACC; a++) best[a] = max_or_second(load(z + i + a * LANES), best[a]);
    }
    for (int a = 1; a < N_ACC; a++) best[0] = max_or_second(best[a], best[0]);
    float m[LANES];
    memcpy(m, best, sizeof m);
    for (int w = LANES / 2; w > 0; w /= 2) {
        for (int j = 0; j < w; j++) m[j] = m[j] > m[j + w] ? m[j] : m[j + w];
    }
    return m[0];
}

LANE_FN void add_lanes(vec acc[N_ACC], const vec x[N_EXP]) {
    EACH acc[i % N_ACC] += x[i];
}

LANE_FN float block_sum(const float *z, float ref, const exp_scale *c) {
    vec acc[N_ACC];
    for (int a = 0; a < N_ACC; a++) acc[a] = all(0.0f);
    for (int j = 0; j < SAMPLER_BLOCK; j += EXP_STEP) {
        vec x[N_EXP];
        EACH x[i] = load(z + j + i * LANES) - ref;
        exp_lanes(x, c);
        add_lanes(acc, x);
    }
    return tree_sum(acc);
}

/* Both sums from one reading; the order of each is that of block_sum. */
LANE_FN void block_sums(sampler_block *b, float ref, const exp_scale *one, const exp_scale *t) {
    vec acc[N_ACC], hot[N_ACC];
    for (int a = 0; a < N_ACC; a++) acc[a] = hot[a] = all(0.0f);
    for (int j = 0; j < SAMPLER_BLOCK; j += EXP_STEP) {
        vec x[N_EXP], y[N_EXP];
        EACH x[i] = y[i] = load(b->z + j + i * LANES) - ref;
        exp_lanes(x, one);
        add_lanes(acc, x);
        exp_for_sum(y, t);
        add_lanes(hot, y);
    }
    b->sum = tree_sum(acc);
    b->sum_t = tree_sum(hot);
}

LANE_BODY void pass(sampler_block *b, int32_t n, float *ref, const exp_scale *one,
                    const exp_scale *t) {
    for (int32_t i = 0; i < n; i++) {
        float m = b[i].max = block_max(b[i].z);
        b[i].sum = b[i].sum_t = 0.0f;
        if (m > *ref) *ref = m;
        b[i].ref = *ref;
        if (!(m > -INFINITY)) { /* nothing but -inf, or NaN in the lanes that were looked at */
            for (int j = 0; j < SAMPLER_BLOCK; j++) {
                if (b[i].z[j] != b[i].z[j]) b[i].sum = b[i].z[j];
            }
        } else {
            if (t) {
                block_sums(&b[i], *ref, one, t);
            } else {
                b[i].sum = block_sum(b[i].z, *ref, one);
            }
        }
    }
}

LANE_BODY void weights(float *w, const float *z, float ref, const exp_scale *c) {
    for (int j = 0; j < SAMPLER_BLOCK; j += EXP_STEP) {
        vec x[N_EXP];
        ivec in[N_EXP];
        EACH x[i] = load(z + j + i * LANES) - ref;
        EACH in[i] = x[i] >= all(c->min_x);
        exp_lanes(x, c);
        EACH x[i] = (vec)((ivec)x[i] & in[i]);
        memcpy(w + j, x, sizeof x);
    }
}

LANE_BODY int32_t collect(int32_t *id, float *value, const float *z, int32_t first, float floor) {
    int32_t n = 0;
    for (int i = 0; i < SAMPLER_BLOCK; i += LANES) {
        if (!any_at_least(load(z + i), all(floor))) continue;
        for (int j = i; j < i + LANES; j++) {
            if (!(z[j] >= floor)) continue;
            id[n] = first + j;
            value[n++] = z[j];
        }
    }
    return n;
}

const sampler_kernel LANE_TABLE = {LANE_NAME, pass, weights, collect};
