/* Products with bf16 operands and f32 sums: oneDNN's matmul where the CPU has the instruction; the
 * same numbers through f32 products elsewhere, for tests. */
#include "rung/base.h"
#include "train/gemm.h"

#include <oneapi/dnnl/dnnl.h>

/* Round to nearest, ties to even; NaN stays NaN. */
static uint16_t to_bf16(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static void round_rows(uint16_t *dst, const float *src, int64_t rows, int64_t cols, int64_t ld) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < cols; j++) dst[i * cols + j] = to_bf16(src[i * ld + j]);
    }
}

static void widen_rows(float *dst, const float *src, int64_t rows, int64_t cols, int64_t ld) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < cols; j++) {
            uint32_t u = (uint32_t)to_bf16(src[i * ld + j]) << 16;
            memcpy(&dst[i * cols + j], &u, sizeof u);
        }
    }
}

static bool emulated(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a,
                     int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
    float *wa = rung_alloc((size_t)(m * k) * sizeof *wa);
    float *wb = rung_alloc((size_t)(k * n) * sizeof *wb);
    bool ok = wa && wb;
    if (ok) {
        widen_rows(wa, a, trans_a ? k : m, trans_a ? m : k, lda);
        widen_rows(wb, b, trans_b ? n : k, trans_b ? k : n, ldb);
        ok = rung_gemm(trans_a, trans_b, m, n, k, 1, wa, trans_a ? m : k, wb, trans_b ? k : n, beta,
                       c, ldc);
    }
    rung_free(wa);
    rung_free(wb);
    return ok;
}

/* One tile: a primitive of its own (oneDNN caches what it compiled by shape), on this thread. */
static bool tile(dnnl_engine_t engine, const uint16_t *a, const dnnl_dims_t stride_a,
                 const uint16_t *b, const dnnl_dims_t stride_b, float *c, int64_t ldc, int64_t m,
                 int64_t n, int64_t k, bool add) {
    dnnl_dims_t da = {m, k}, db = {k, n}, dc = {m, n}, stride_c = {ldc, 1};
    dnnl_memory_desc_t ma, mb, mc;
    dnnl_matmul_desc_t desc;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t prim = NULL;
    dnnl_memory_t mem[3] = {NULL, NULL, NULL};
    dnnl_stream_t stream = NULL;
    bool ok = dnnl_memory_desc_init_by_strides(&ma, 2, da, dnnl_bf16, stride_a) == dnnl_success &&
              dnnl_memory_desc_init_by_strides(&mb, 2, db, dnnl_bf16, stride_b) == dnnl_success &&
              dnnl_memory_desc_init_by_strides(&mc, 2, dc, dnnl_f32, stride_c) == dnnl_success &&
              dnnl_matmul_desc_init(&desc, &ma, &mb, NULL, &mc) == dnnl_success &&
              dnnl_primitive_attr_create(&attr) == dnnl_success &&
              dnnl_post_ops_create(&ops) == dnnl_success;
    if (ok && add)
        ok = dnnl_post_ops_append_sum(ops, 1.0f) == dnnl_success &&
             dnnl_primitive_attr_set_post_ops(attr, ops) == dnnl_success;
    ok = ok && dnnl_primitive_desc_create(&pd, &desc, attr, engine, NULL) == dnnl_success &&
         dnnl_primitive_create(&prim, pd) == dnnl_success &&
         dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) == dnnl_success &&
         dnnl_memory_create(&mem[0], &ma, engine, (void *)(uintptr_t)a) == dnnl_success &&
         dnnl_memory_create(&mem[1], &mb, engine, (void *)(uintptr_t)b) == dnnl_success &&
         dnnl_memory_create(&mem[2], &mc, engine, c) == dnnl_success;
    if (ok) {
        dnnl_exec_arg_t args[] = {
            {DNNL_ARG_SRC, mem[0]}, {DNNL_ARG_WEIGHTS, mem[1]}, {DNNL_ARG_DST, mem[2]}};
        ok = dnnl_primitive_execute(prim, stream, 3, args) == dnnl_success &&
             dnnl_stream_wait(stream) == dnnl_success;
    }
    for (int i = 0; i < 3; i++) {
        if (mem[i]) dnnl_memory_destroy(mem[i]);
    }
    if (stream) dnnl_stream_destroy(stream);
    if (prim) dnnl_primitive_destroy(prim);
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (ops) dnnl_post_ops_destroy(ops);
    if (attr) dnnl_primitive_attr_destroy(attr);
    return ok;
}

static bool native(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a,
                   int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
    uint16_t *ha = rung_alloc((size_t)(m * k) * sizeof *ha);
    uint16_t *hb = rung_alloc((size_t)(k * n) * sizeof *hb);
    dnnl_engine_t engine = NULL;
    bool ok = ha && hb && dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success;
    if (ok) {
        int64_t pm, pn;
        dnnl_dims_t sa = {trans_a ? 1 : k, trans_a ? m : 1},
                    sb = {trans_b ? 1 : n, trans_b ? k : 1};
        round_rows(ha, a, trans_a ? k : m, trans_a ? m : k, lda);
        round_rows(hb, b, trans_b ? n : k, trans_b ? k : n, ldb);
        rung_gemm_cut(&pm, &pn, m, n, k);
#pragma omp parallel for schedule(dynamic, 1) reduction(&& : ok)
        for (int64_t t = 0; t < pm * pn; t++) {
            int64_t i0 = rung_gemm_border(t % pm, pm, m), i1 = rung_gemm_border(t % pm + 1, pm, m);
            int64_t j0 = rung_gemm_border(t / pm, pn, n), j1 = rung_gemm_border(t / pm + 1, pn, n);
            ok = tile(engine, ha + i0 * sa[0], sa, hb + j0 * sb[1], sb, c + i0 * ldc + j0, ldc,
                      i1 - i0, j1 - j0, k, beta != 0) &&
                 ok;
        }
    }
    if (engine) dnnl_engine_destroy(engine);
    rung_free(ha);
    rung_free(hb);
    return ok;
}

bool rung_gemm_has_bf16(void) {
    const unsigned need = dnnl_cpu_isa_avx512_core_bf16; /* sets of bits, each holds those before */
    return ((unsigned)dnnl_get_effective_cpu_isa() & need) == need;
}

bool rung_gemm_in(rung_gemm_mode mode, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k,
                  const real *a, int64_t lda, const real *b, int64_t ldb, real beta, real *c,
                  int64_t ldc) {
    switch (mode) {
    case RUNG_GEMM_BF16: return native(trans_a, trans_b, m, n, k, a, lda, b, ldb, beta, c, ldc);
    case RUNG_GEMM_EMULATED:
        return emulated(trans_a, trans_b, m, n, k, a, lda, b, ldb, beta, c, ldc);
    default: return rung_gemm(trans_a, trans_b, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
    }
}
