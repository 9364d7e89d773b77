#include "train/attention.h"
#include "train/gemm.h"
#include "train/parallel.h"

/* Row i of scores s[0..i] becomes probabilities, the rest of n zeros; returns log-sum-exp. */
static real softmax_row(real *s, int64_t i, int64_t n) {
    real top = rung_real_max(s, i + 1);
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j <= i; j++) {
        s[j] = rung_real_exp(s[j] - top);
        sum += (double)s[j];
    }
    real inv = (real)(1 / sum);
#pragma omp simd
    for (int64_t j = 0; j <= i; j++) s[j] *= inv;
    for (int64_t j = i + 1; j < n; j++) s[j] = 0;
    return top + (real)log(sum);
}

static bool forward_task(real *out, real *lse, const real *qkv, const rung_attention *a,
                         const rung_segment *seg, int32_t kv, real *s) {
    int64_t n = seg->n, hd = a->hd, ld = a->ld, ldo = a->n_head * hd;
    int32_t group = a->n_head / a->n_head_kv;
    const real *base = qkv + seg->start * ld;
    const real *k = base + (a->n_head + kv) * hd, *v = k + a->n_head_kv * hd;
    real scale = (real)(1 / sqrt((double)hd));
    bool ok = true;
    for (int32_t h = kv * group; h < (kv + 1) * group; h++) {
        ok &= rung_gemm(false, true, n, n, hd, scale, base + h * hd, ld, k, ld, 0, s, n);
        for (int64_t i = 0; i < n; i++)
            lse[(seg->start + i) * a->n_head + h] = softmax_row(s + i * n, i, n);
        ok &= rung_gemm(false, false, n, hd, n, 1, s, n, v, ld, 0, out + seg->start * ldo + h * hd,
                        ldo);
    }
    return ok;
}

bool rung_attention_forward(real *out, real *lse, const real *qkv, const rung_attention *a) {
    int64_t n_task = a->n_seg * a->n_head_kv;
    bool ok = true;
#pragma omp parallel for schedule(dynamic, 1) reduction(&& : ok)
    for (int64_t t = 0; t < n_task; t++) {
        real *s = a->scratch + omp_get_thread_num() * a->n_scratch;
        ok = forward_task(out, lse, qkv, a, &a->seg[t / a->n_head_kv], (int32_t)(t % a->n_head_kv),
                          s) &&
             ok;
    }
    return ok;
}

/* p holds scaled scores, dp = dout v^T. In place: p = probabilities, dp = dscores. */
static void softmax_back_row(real *p, real *dp, real lse, real scale, int64_t i, int64_t n) {
    double dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t j = 0; j <= i; j++) {
        p[j] = rung_real_exp(p[j] - lse);
        dot += (double)p[j] * (double)dp[j];
    }
    real delta = (real)dot;
#pragma omp simd
    for (int64_t j = 0; j <= i; j++) dp[j] = p[j] * (dp[j] - delta) * scale;
    for (int64_t j = i + 1; j < n; j++) p[j] = dp[j] = 0;
}

static bool back_task(real *dqkv, const real *dout, const real *lse, const real *qkv,
                      const rung_attention *a, const rung_segment *seg, int32_t kv, real *p) {
    int64_t n = seg->n, hd = a->hd, ld = a->ld, ldo = a->n_head * hd, at = seg->start * ld;
    int64_t off_k = (a->n_head + kv) * hd, off_v = off_k + a->n_head_kv * hd;
    int32_t group = a->n_head / a->n_head_kv;
    real *dp = p + n * n, scale = (real)(1 / sqrt((double)hd));
    bool ok = true;
    for (int32_t g = 0; g < group; g++) {
        int32_t h = kv * group + g;
        const real *q = qkv + at + h * hd, *k = qkv + at + off_k, *v = qkv + at + off_v;
        const real *d_o = dout + seg->start * ldo + h * hd;
        real more = g == 0 ? 0 : 1; /* key heads gather from their group, in order */
        ok &= rung_gemm(false, true, n, n, hd, scale, q, ld, k, ld, 0, p, n);
        ok &= rung_gemm(false, true, n, n, hd, 1, d_o, ldo, v, ld, 0, dp, n);
        for (int64_t i = 0; i < n; i++)
            softmax_back_row(p + i * n, dp + i * n, lse[(seg->start + i) * a->n_head + h], scale, i,
                             n);
        ok &= rung_gemm(true, false, n, hd, n, 1, p, n, d_o, ldo, more, dqkv + at + off_v, ld);
        ok &= rung_gemm(true, false, n, hd, n, 1, dp, n, q, ld, more, dqkv + at + off_k, ld);
        ok &= rung_gemm(false, false, n, hd, n, 1, dp, n, k, ld, 0, dqkv + at + h * hd, ld);
    }
    return ok;
}

bool rung_attention_back(real *dqkv, const real *dout, const real *lse, const real *qkv,
                         const rung_attention *a) {
    int64_t n_task = a->n_seg * a->n_head_kv;
    bool ok = true;
#pragma omp parallel for schedule(dynamic, 1) reduction(&& : ok)
    for (int64_t t = 0; t < n_task; t++) {
        real *p = a->scratch + omp_get_thread_num() * a->n_scratch;
        ok = back_task(dqkv, dout, lse, qkv, a, &a->seg[t / a->n_head_kv],
                       (int32_t)(t % a->n_head_kv), p) &&
             ok;
    }
    return ok;
}
