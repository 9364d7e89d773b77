/* Products, whole and in tiles, against sums in double, on odd sizes, strides and transposes; the
 * same bits with any number of threads; nothing beside C is written. exp in rows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rung/rng.h"
#include "train/gemm.h"
#include "train/parallel.h"
#include "train/vec.h"

#include <cmocka.h>

typedef bool (*product_fn)(bool, bool, int64_t, int64_t, int64_t, float, const float *, int64_t,
                           const float *, int64_t, float, float *, int64_t);

typedef struct size {
    int64_t m, n, k;
} size;
/* One tile and many, odd borders, thin ones. */
static const size SIZES[] = {{1, 1, 1},      {6, 16, 8},      {5, 15, 7},    {7, 17, 9},
                             {97, 33, 256},  {98, 31, 257},   {64, 16, 513}, {13, 2049, 70},
                             {3, 2100, 300}, {200, 40, 1100}, {49, 50, 51},  {1700, 16, 5},
                             {1024, 8, 300}, {8, 700, 1024},  {700, 8, 1024}};

typedef struct matrix {
    float *x;
    int64_t n; /* numbers */
} matrix;

static matrix noise(int64_t rows, int64_t ld, uint64_t address) {
    matrix a = {malloc((size_t)(rows * ld) * sizeof(float)), rows * ld};
    assert_non_null(a.x);
    rung_rng r = rung_rng_at(3, RUNG_STREAM_TEST, address, 0);
    for (int64_t i = 0; i < a.n; i++) a.x[i] = (float)(rung_rng_f64(&r) - 0.5);
    return a;
}

/* Sums of k products of numbers below a half: f32 rounds each addition by 2^-24 of a sum that grows
 * like sqrt(k) / 12; 1e-6 sqrt(k) leaves room. */
static void check_size(product_fn f, const size *s, bool ta, bool tb, float alpha, float beta) {
    int64_t lda = (ta ? s->m : s->k) + 3, ldb = (tb ? s->k : s->n) + 1, ldc = s->n + 2;
    matrix a = noise(ta ? s->k : s->m, lda, 1), b = noise(tb ? s->n : s->k, ldb, 2);
    matrix c = noise(s->m, ldc, 3), was = noise(s->m, ldc, 3);
    if (beta == 0) {
        for (int64_t i = 0; i < s->m * s->n; i++) c.x[i / s->n * ldc + i % s->n] = NAN;
    }
    assert_true(f(ta, tb, s->m, s->n, s->k, alpha, a.x, lda, b.x, ldb, beta, c.x, ldc));
    for (int64_t i = 0; i < s->m; i++) {
        for (int64_t j = 0; j < ldc; j++) {
            double sum = 0;
            for (int64_t p = 0; j < s->n && p < s->k; p++)
                sum += (double)(ta ? a.x[p * lda + i] : a.x[i * lda + p]) *
                       (double)(tb ? b.x[j * ldb + p] : b.x[p * ldb + j]);
            double want = (double)alpha * sum + (double)beta * (double)was.x[i * ldc + j];
            if (j >= s->n)
                assert_true(c.x[i * ldc + j] == was.x[i * ldc + j]);
            else if (!(fabs((double)c.x[i * ldc + j] - want) < 1e-6 * sqrt((double)s->k) + 1e-7))
                fail_msg("%lld x %lld x %lld, %d %d: C(%lld, %lld) = %.9g, not %.9g",
                         (long long)s->m, (long long)s->n, (long long)s->k, ta, tb, (long long)i,
                         (long long)j, (double)c.x[i * ldc + j], want);
        }
    }
    free(a.x);
    free(b.x);
    free(c.x);
    free(was.x);
}

static void check_product(product_fn f) {
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        for (int t = 0; t < 4; t++)
            check_size(f, &SIZES[i], t & 1, t >> 1, t == 1 ? 0.7f : 1,
                       t == 2 ? 0.5f : (float)(i % 2));
    }
}

static void test_products(void **state) {
    (void)state;
    check_product(rung_gemm);
    check_product(rung_gemm_one);
}

/* NaN in A reaches the row that it belongs to, and no other. */
static void test_nan(void **state) {
    (void)state;
    enum { M = 50, N = 49, K = 64 };
    matrix a = noise(M, K, 4), b = noise(K, N, 5), c = noise(M, N, 6);
    a.x[7 * K + 5] = NAN;
    assert_true(rung_gemm(false, false, M, N, K, 1, a.x, K, b.x, N, 0, c.x, N));
    for (int64_t i = 0; i < M * N; i++) assert_int_equal(isnan(c.x[i]) != 0, i / N == 7);
    free(a.x);
    free(b.x);
    free(c.x);
}

static void test_threads(void **state) {
    (void)state;
    enum { M = 150, N = 96, K = 600 };
    int before = omp_get_max_threads();
    matrix a = noise(K, M, 7), b = noise(K, N, 8), want = noise(M, N, 9), c = noise(M, N, 9);
    for (int threads = 1; threads <= 5; threads++) {
        matrix *to = threads == 1 ? &want : &c;
        memset(to->x, 0, (size_t)to->n * sizeof(float));
        omp_set_num_threads(threads);
        assert_true(rung_gemm(true, false, M, N, K, 1, a.x, M, b.x, N, 1, to->x, N));
        assert_memory_equal(to->x, want.x, (size_t)want.n * sizeof(float));
    }
    omp_set_num_threads(before);
    free(a.x);
    free(b.x);
    free(want.x);
    free(c.x);
}

/* exp in rows, eight at a time and the rest: 2 ulp, ends, NaN. */
static void test_exp_rows(void **state) {
    (void)state;
    enum { N = 1003 };
    float x[N], y[N], was[N];
    double sum = 0, dot = 0;
    for (int i = 0; i < N; i++) {
        was[i] = x[i] = (float)(-88.5 + 0.17 * i);
        y[i] = (float)(i % 7) - 3;
    }
    double got = rung_exp_row(x, 1.5f, N);
    for (int i = 0; i < N; i++) {
        double z = fmin(fmax((double)(was[i] - 1.5f), (double)-87.3f), 88), want = exp(z);
        assert_true(fabs((double)x[i] / want - 1) < 2.4e-7);
        sum += (double)x[i];
        dot += (double)x[i] * (double)y[i];
    }
    assert_true(fabs(got / sum - 1) < 1e-12);
    memcpy(x, was, sizeof x);
    assert_true(fabs(rung_exp_dot_row(x, y, 1.5f, N) / dot - 1) < 1e-12);
    for (int i = 0; i < 20; i++) x[i] = i == 3 || i == 17 ? NAN : 0;
    assert_true(isnan(rung_exp_row(x, 0, 20)));
    for (int i = 0; i < 20; i++) assert_int_equal(isnan(x[i]) != 0, i == 3 || i == 17);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_products), cmocka_unit_test(test_nan),
                                       cmocka_unit_test(test_threads),
                                       cmocka_unit_test(test_exp_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
