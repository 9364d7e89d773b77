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

/* Two coins and a line, by hand. The mixture of 4 equal outcomes is 1/2 3/4 5/6 7/8 = .2734375. */
static void lines(void **state) {
    (void)state;
    const double four = .2734375 * .2734375;
    /* none of 4 and all of 4 against p >= q: best p = q = 1/2 */
    assert_true(fabs(rung_evalue_line(0, 4, 4, 0, 1, 0, false) - log(four / pow(.5, 8))) < 1e-9);
    /* all and all against p <= .4 q: best q = 1 */
    assert_true(fabs(rung_evalue_line(4, 0, 4, 0, .4, 0, true) - log(four / pow(.4, 4))) < 1e-9);
    /* one of each kind against p >= q: 1/4 over 1/4 */
    assert_true(fabs(rung_evalue_line(0, 1, 1, 0, 1, 0, false)) < 1e-12);
    /* where the counts lie in it there is no evidence */
    assert_true(rung_evalue_line(3, 1, 3, 1, 1, 0, true) <= 0.0);
    /* difference: all of 4 and none of 4 against p <= q - .5: best p = 0 gives 0, p = 1/2, q = 1
     * gives 0, between them p = 1/4, q = 3/4 */
    assert_true(fabs(rung_evalue_line(4, 0, 0, 4, 1, .5, true) - log(four / pow(.25, 8))) < 1e-9);
    /* no such pair: p = q + 1.5 */
    assert_true(isinf(rung_evalue_line(1, 1, 1, 1, 1, -1.5, false)));
    assert_true(rung_evalue_line(0, 0, 3, 0, 1, 0, true) == 0.0);
    /* one coin: all of 4 against q <= 1/2; against q <= 0; none of 4 against it */
    assert_true(fabs(rung_evalue_known(4, 0, .5, false) - log(.2734375 * 16)) < 1e-12);
    assert_true(isinf(rung_evalue_known(4, 0, 0, false)) && rung_evalue_known(4, 0, 0, false) > 0);
    assert_true(rung_evalue_known(0, 4, 0, false) < 0.0);
    assert_true(isinf(rung_evalue_known(4, 0, 2.5, true)));
}

/* Whatever the looks, a true line is excluded in less than alpha of the sequences. */
static void lines_keep_their_level(void **state) {
    (void)state;
    const double at[][4] = {/* p, q, gain, below */
                            {.32, .8, .4, 1},
                            {.2, .5, .4, 1},
                            {.6, .6, 1, 0},
                            {.9, .9, 1, 0}};
    for (uint64_t k = 0; k < 4; k++) {
        int n_out = 0;
        for (uint64_t i = 0; i < 1000; i++) {
            rung_rng g = rung_rng_at(9, RUNG_STREAM_TEST, i, k);
            int64_t c = 0, c2 = 0;
            for (int64_t m = 1; m <= 96; m++) {
                c += rung_rng_f64(&g) < at[k][0];
                c2 += rung_rng_f64(&g) < at[k][1];
                if (m % 4) continue;
                if (rung_evalue_line(c, m - c, c2, m - c2, at[k][2], 0, at[k][3] > 0) < log(5))
                    continue;
                n_out++;
                break;
            }
        }
        assert_true(n_out < 200); /* alpha = .2 */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dawid_skene),
        cmocka_unit_test(dawid_skene_finds_the_good_one),
        cmocka_unit_test(confidence_sequence),
        cmocka_unit_test(confidence_at_every_look),
        cmocka_unit_test(urn),
        cmocka_unit_test(lines),
        cmocka_unit_test(lines_keep_their_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
