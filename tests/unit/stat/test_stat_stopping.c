/* Fusion of labelers, and the confidence sequence that rollouts stop by. */
#include "rung/rng.h"
#include "rung/stat.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NEAR(a, b, tol) assert_true(fabs((a) - (b)) <= (tol))

static const int8_t MARK[7 * 3] = {1, 1, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 1, 1, -1, 0, 0, 0};

static void dawid_skene(void **ud) {
    (void)ud;
    rung_dawid_skene d;
    double post[7];
    rung_error e = RUNG_ERROR_INIT;
    /* one step of EM, by hand: prior (1 + 10/3) / 9; labeler 0 says right to 1, 2, 5 and 6 */
    assert_int_equal(rung_dawid_skene_fit(&d, post, MARK, NULL, 7, 3, 1, 0, &e), RUNG_OK);
    NEAR(d.prior, (1 + 2. / 3 + 1 + 1. / 3 + 2. / 3 + 1) / 9, 1e-12);
    NEAR(d.sens[0], (.5 + 2. / 3 + 1 + 2. / 3 + 1) / (1 + 11. / 3), 1e-12);
    NEAR(d.sens[2], .681818, 5e-7);
    NEAR(d.spec[1], .807692, 5e-7);
    NEAR(post[0], .849442, 5e-7);
    NEAR(post[4], .720322, 5e-7);
    /* at rest: the same as by a second program */
    assert_int_equal(rung_dawid_skene_fit(&d, post, MARK, NULL, 7, 3, 500, 1e-12, &e), RUNG_OK);
    NEAR(d.prior, .519676, 1e-6);
    NEAR(d.sens[0], .854246, 1e-6);
    NEAR(d.spec[2], .580013, 1e-6);
    NEAR(post[4], .653617, 1e-6);
    NEAR(post[5], .949140, 1e-6);
    assert_true(d.n_iter > 5 && d.n_iter < 500);
    /* one item that is known turns the split vote of the others */
    const int8_t gold[7] = {-1, -1, -1, -1, 0, -1, -1};
    assert_int_equal(rung_dawid_skene_fit(&d, post, MARK, gold, 7, 3, 500, 1e-12, &e), RUNG_OK);
    assert_true(post[4] == 0.0);
    NEAR(post[2], .029921, 1e-6);
    NEAR(d.sens[2], .493983, 1e-6);
    assert_int_equal(rung_dawid_skene_fit(&d, post, MARK, NULL, 7, 0, 5, 0, &e), RUNG_E_INVAL);
}

/* 1,000 items, labelers right in 95, 70 and 60%: the fit finds that out, beats the majority. */
static void dawid_skene_finds_the_good_one(void **ud) {
    (void)ud;
    enum { N = 1000 };
    static int8_t mark[N * 3], truth[N];
    static double post[N];
    const double good[3] = {.95, .70, .60};
    for (int u = 0; u < N; u++) {
        rung_rng r = rung_rng_at(3, RUNG_STREAM_TEST, (uint64_t)u, 0);
        truth[u] = rung_rng_f64(&r) < .6;
        for (int j = 0; j < 3; j++)
            mark[u * 3 + j] = (int8_t)(rung_rng_f64(&r) < good[j] ? truth[u] : !truth[u]);
    }
    rung_dawid_skene d;
    assert_int_equal(rung_dawid_skene_fit(&d, post, mark, NULL, N, 3, 1000, 1e-10, NULL), RUNG_OK);
    int n_fused = 0, n_majority = 0;
    for (int u = 0; u < N; u++) {
        n_fused += (post[u] > .5) == truth[u];
        n_majority += (mark[u * 3] + mark[u * 3 + 1] + mark[u * 3 + 2] >= 2) == truth[u];
    }
    for (int j = 0; j < 3; j++) {
        NEAR(d.sens[j], good[j], .08);
        NEAR(d.spec[j], good[j], .08);
    }
    assert_true(n_fused > n_majority + 50 && n_fused > 920);
}

static void confidence_sequence(void **ud) {
    (void)ud;
    /* against a scan of p by a second program */
    rung_interval i = rung_confseq_bernoulli(4, 8, .95);
    NEAR(i.lo, .0944, 2e-5);
    NEAR(i.hi, .9056, 2e-5);
    i = rung_confseq_bernoulli(3, 32, .95);
    NEAR(i.lo, .00742, 2e-5);
    NEAR(i.hi, .32966, 2e-5);
    /* by hand, no success in 1: M(p) = 1/2 / (1 - p) reaches 20 at p = 1 - 1/40 */
    i = rung_confseq_bernoulli(0, 1, .95);
    assert_true(i.lo == 0.0);
    NEAR(i.hi, 1 - 1. / 40, 1e-9);
    /* none in 8: (1-p)^8 = B(1/2, 8.5) / B(1/2, 1/2) / 20 = (6435/32768) / 20 */
    i = rung_confseq_bernoulli(0, 8, .95);
    NEAR(i.hi, 1 - pow(6435. / 32768 / 20, 1. / 8), 1e-9);
    i = rung_confseq_bernoulli(8, 8, .95);
    NEAR(i.lo, pow(6435. / 32768 / 20, 1. / 8), 1e-9);
    assert_true(i.hi == 1.0);
    i = rung_confseq_bernoulli(0, 0, .95);
    assert_true(i.lo == 0.0 && i.hi == 1.0);
    assert_true(isnan(rung_confseq_bernoulli(3, 2, .95).lo));
}

/* It holds at every look at once: the share of 2,000 sequences that ever lose the truth within 300
 * tosses stays below the level, where a Wilson interval at every look loses it in far more. */
static void confidence_at_every_look(void **ud) {
    (void)ud;
    const double ps[] = {.05, .3, .5};
    for (int k = 0; k < 3; k++) {
        int n_lost = 0, n_wilson = 0;
        for (int s = 0; s < 2000; s++) {
            rung_rng r = rung_rng_at(9, RUNG_STREAM_TEST, (uint64_t)s, (uint64_t)k);
            bool lost = false, wilson = false;
            for (int n = 1, c = 0; n <= 300; n++) {
                c += rung_rng_f64(&r) < ps[k];
                if (n % 5 && n > 20) continue;
                rung_interval a = rung_confseq_bernoulli(c, n, .95), b = rung_wilson(c, n, .95);
                lost |= ps[k] < a.lo || ps[k] > a.hi;
                wilson |= ps[k] < b.lo || ps[k] > b.hi;
            }
            n_lost += lost;
            n_wilson += wilson;
        }
        assert_true(n_lost <= 2000 * .05);
        assert_true(n_wilson > 2000 * .15);
    }
}

static void urn(void **ud) {
    (void)ud;
    NEAR(rung_urn_above(0, 0, 1, 1), .5, 1e-12);
    NEAR(rung_urn_above(0, 3, 1, 1), .125, 1e-12); /* 1/2 / 4 */
    double none = 1;
    for (int i = 0; i < 5; i++) none *= (3.5 + i) / (4 + i);
    NEAR(rung_urn_above(0, 3, 5, 1), 1 - none, 1e-12);
    NEAR(rung_urn_above(2, 4, 4, 3), .36328125, 1e-9);
    assert_true(rung_urn_above(2, 4, 3, 0) == 1.0 && rung_urn_above(2, 4, 3, 4) == 0.0);
    NEAR(rung_urn_above(5, 9, 128, 1) + rung_urn_above(4, 9, 128, 128), 1.0, 1e-2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dawid_skene),
        cmocka_unit_test(dawid_skene_finds_the_good_one),
        cmocka_unit_test(confidence_sequence),
        cmocka_unit_test(confidence_at_every_look),
        cmocka_unit_test(urn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
