#include "train/attention.h"
#include "train/gemm.h"
#include "train/parallel.h"
#include "train/vec.h"

/* Row i of scores s[0..i] becomes probabilities, the rest of n zeros; returns log-sum-exp. */
static real softmax_row(real *s, int64_t i, int64_t n) {
    real top = rung_real_max(s, i + 1);
    double sum = rung_exp_row(s, top, i + 1);
    real inv = (real)(1 / sum);
#pragma omp simd
    for (int64_t j = 0; j <= i; j++) s[j] *= inv;
    for (int64_t j = i + 1; j < n; j++) s[j] = 0;
    return top + (real)log(sum);
}

/* Queries go in blocks of QUERY_BLOCK: a block reads only the keys up to its own end, so that the
 * half of the scores above the diagonal is never made, and the scratch grows with the document's
 * length, not with its square. */
#define QUERY_BLOCK 64

int64_t rung_attention_scratch(int64_t n_max) {
    return 2 * (n_max < QUERY_BLOCK ? n_max : QUERY_BLOCK) * n_max;
}

static int64_t block_end(int64_t i, int64_t n) {
    return i + QUERY_BLOCK < n ? i + QUERY_BLOCK : n;
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
        for (int64_t i0 = 0; i0 < n; i0 += QUERY_BLOCK) {
            int64_t end = block_end(i0, n), m = end - i0, row = seg->start + i0;
            ok &= rung_gemm_one(false, true, m, end, hd, scale, base + i0 * ld + h * hd, ld, k, ld,
                                0, s, end);
            for (int64_t i = 0; i < m; i++)
                lse[(row + i) * a->n_head + h] = softmax_row(s + i * end, i0 + i, end);
            ok &= rung_gemm_one(false, false, m, hd, end, 1, s, end, v, ld, 0,
                                out + row * ldo + h * hd, ldo);
        }
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
    real delta = (real)rung_exp_dot_row(p, dp, lse, i + 1);
#pragma omp simd
    for (int64_t j = 0; j <= i; j++) dp[j] = p[j] * (dp[j] - delta) * scale;
    for (int64_t j = i + 1; j < n; j++) p[j] = dp[j] = 0;
}

/* Key heads gather from the blocks of their group, in order. */
static void zero_rows(real *x, int64_t ld, int64_t n, int64_t hd) {
    for (int64_t i = 0; i < n; i++) memset(x + i * ld, 0, (size_t)hd * sizeof *x);
}

static bool back_task(real *dqkv, const real *dout, const real *lse, const real *qkv,
                      const rung_attention *a, const rung_segment *seg, int32_t kv, real *p) {
    int64_t n = seg->n, hd = a->hd, ld = a->ld, ldo = a->n_head * hd, at = seg->start * ld;
    int64_t off_k = (a->n_head + kv) * hd, off_v = off_k + a->n_head_kv * hd;
    int32_t group = a->n_head / a->n_head_kv;
    real scale = (real)(1 / sqrt((double)hd));
    const real *k = qkv + at + off_k, *v = qkv + at + off_v;
    bool ok = true;
    zero_rows(dqkv + at + off_k, ld, n, hd);
    zero_rows(dqkv + at + off_v, ld, n, hd);
    for (int32_t h = kv * group; h < (kv + 1) * group; h++) {
        for (int64_t i0 = 0; i0 < n; i0 += QUERY_BLOCK) {
            int64_t end = block_end(i0, n), m = end - i0, row = seg->start + i0;
            const real *q = qkv + row * ld + h * hd, *d_o = dout + row * ldo + h * hd;
            real *dp = p + m * end;
            ok &= rung_gemm_one(false, true, m, end, hd, scale, q, ld, k, ld, 0, p, end);
            ok &= rung_gemm_one(false, true, m, end, hd, 1, d_o, ldo, v, ld, 0, dp, end);
            for (int64_t i = 0; i < m; i++)
                softmax_back_row(p + i * end, dp + i * end, lse[(row + i) * a->n_head + h], scale,
                                 i0 + i, end);
            ok &= rung_gemm_one(true, false, end, hd, m, 1, p, end, d_o, ldo, 1, dqkv + at + off_v,
                                ld);
            ok &=
                rung_gemm_one(true, false, end, hd, m, 1, dp, end, q, ld, 1, dqkv + at + off_k, ld);
            ok &= rung_gemm_one(false, false, m, hd, end, 1, dp, end, k, ld, 0,
                                dqkv + row * ld + h * hd, ld);
        }
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
