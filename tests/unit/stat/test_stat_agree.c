/* Every vector of feedback.md 10.2, 10.3 and what 10.4-10.7 add to test_stat_vectors.c; the values
 * without a citation are computed by hand in the comment beside them. */
#include "rung/rng.h"
#include "rung/stat.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define NEAR(a, b, tol) assert_true(fabs((a) - (b)) <= (tol))

static void kappas(void **ud) {
    (void)ud;
    const double two[] = {20, 5, 10, 15}, three[] = {10, 3, 1, 2, 12, 4, 0, 3, 15};
    NEAR(rung_kappa_weighted(three, 3, RUNG_KAPPA_LINEAR), .673507, 5e-7);
    NEAR(rung_kappa_weighted(three, 3, RUNG_KAPPA_QUADRATIC), .744898, 5e-7);
    /* two categories: every weight is 0 or 1, so the weighted ones are Cohen's */
    NEAR(rung_kappa_weighted(two, 2, RUNG_KAPPA_LINEAR), .40, 1e-12);
    NEAR(rung_kappa_weighted(two, 2, RUNG_KAPPA_QUADRATIC), .40, 1e-12);
    NEAR(rung_gwet_ac1(two, 2), .405941, 5e-7);
    /* high prevalence: kappa falls to -.03 while 94% agree; AC1 does not */
    const double skewed[] = {94, 3, 3, 0};
    assert_true(rung_kappa(skewed, 2) < 0.0);
    assert_true(rung_gwet_ac1(skewed, 2) > 0.93);
    const double fleiss[] = {3, 0, 2, 1, 0, 3, 1, 2, 3, 0};
    NEAR(rung_kappa_fleiss(fleiss, 5, 2), .444444, 5e-7);
    const double uneven[] = {3, 0, 1, 1};
    assert_true(isnan(rung_kappa_fleiss(uneven, 2, 2)));
    const double one[] = {3, 0, 3, 0};
    assert_true(isnan(rung_kappa_fleiss(one, 2, 2)));
    const double empty[] = {0, 0, 0, 0};
    assert_true(isnan(rung_kappa_weighted(empty, 2, RUNG_KAPPA_LINEAR)));
    assert_true(isnan(rung_gwet_ac1(empty, 2)));
}

static void krippendorff(void **ud) {
    (void)ud;
    const double x = NAN;
    const double v[3][15] = {{x, x, x, x, x, 3, 4, 1, 2, 1, 1, 3, 3, x, 3},
                             {1, x, 2, 1, 3, 3, 4, 3, x, x, x, x, x, x, x},
                             {x, x, 2, 1, 3, 4, 4, x, 2, 1, 1, 3, 3, x, 4}};
    NEAR(rung_krippendorff(&v[0][0], 3, 15, RUNG_ALPHA_NOMINAL), .691358, 5e-7);
    NEAR(rung_krippendorff(&v[0][0], 3, 15, RUNG_ALPHA_ORDINAL), .806721, 5e-7);
    NEAR(rung_krippendorff(&v[0][0], 3, 15, RUNG_ALPHA_INTERVAL), .810845, 5e-7);
    NEAR(rung_krippendorff(&v[0][0], 3, 15, RUNG_ALPHA_RATIO), .808944, 5e-7);
    const double same[2][3] = {{1, 1, 1}, {1, 1, 1}}; /* one value only: undefined */
    assert_true(isnan(rung_krippendorff(&same[0][0], 2, 3, RUNG_ALPHA_NOMINAL)));
    const double lonely[2][3] = {{1, 2, 3}, {x, x, x}}; /* no unit has two ratings */
    assert_true(isnan(rung_krippendorff(&lonely[0][0], 2, 3, RUNG_ALPHA_INTERVAL)));
    const double perfect[2][3] = {{1, 2, 3}, {1, 2, 3}};
    NEAR(rung_krippendorff(&perfect[0][0], 2, 3, RUNG_ALPHA_INTERVAL), 1.0, 1e-15);
}

static void swaps(void **ud) {
    (void)ud;
    const rung_pref A = RUNG_PREF_A, B = RUNG_PREF_B, T = RUNG_PREF_TIE, E = RUNG_PREF_ERROR;
    const rung_pref ab[] = {A, A, B, T, A, B, E, T}, ba[] = {A, B, B, A, B, A, A, T};
    /* A; first wins both -> tie; B; tie; tie; second wins both -> tie; dropped; tie */
    rung_pairwise z = rung_pairwise_swap(ab, ba, 8);
    assert_int_equal(z.n_win, 1);
    assert_int_equal(z.n_loss, 1);
    assert_int_equal(z.n_tie, 5);
    assert_int_equal(z.n_error, 1);
    NEAR(z.win_rate, 1.0 / 7.0, 1e-12);
    NEAR(z.adjusted, .5, 1e-12);
    NEAR(z.consistency, 3.0 / 7.0, 1e-12);        /* A A, B B, T T */
    NEAR(z.first_bias, (2.0 - 1.0) / 4.0, 1e-12); /* of A B, T A, A B, B A */
    /* the control of 10.11: a judge that always picks the first shown gives all ties */
    rung_pref first[20], second[20];
    for (int i = 0; i < 20; i++) first[i] = A, second[i] = B;
    z = rung_pairwise_swap(first, second, 20);
    assert_true(z.n_tie == 20 && z.win_rate == 0.0 && z.adjusted == .5 && z.consistency == 0.0 &&
                z.first_bias == 1.0);
    z = rung_pairwise_swap(first, second, 0);
    assert_true(isnan(z.win_rate) && isnan(z.first_bias));
    assert_int_equal(rung_pref_of_scores(3.0, 3.05, 0.1), T);
    assert_int_equal(rung_pref_of_scores(3.0, 3.2, 0.1), B);
    assert_int_equal(rung_pref_of_scores(NAN, 3.2, 0.1), E);
}

/* A random judge agrees in 1/3 of the pairs with ties as a class, in 1/2 without. */
static void ties_in_agreement(void **ud) {
    (void)ud;
    static rung_pref x[30000], y[30000];
    rung_rng r = rung_rng_at(5, RUNG_STREAM_TEST, 1, 0);
    for (int i = 0; i < 30000; i++) {
        x[i] = (rung_pref)rung_rng_below(&r, 3);
        y[i] = (rung_pref)rung_rng_below(&r, 3);
    }
    double with, without;
    rung_pref_agreement(&with, &without, x, y, 30000);
    NEAR(with, 1.0 / 3.0, .01);
    NEAR(without, .5, .015);
    x[0] = RUNG_PREF_ERROR;
    rung_pref_agreement(&with, &without, x, y, 1);
    assert_true(isnan(with) && isnan(without));
}

/* A judge that only sees length: adjusted for it, A wins half the time although A is longer. */
static void length(void **ud) {
    (void)ud;
    enum { N = 4000 };
    static rung_pref p[N];
    static double a[N], b[N];
    for (int i = 0; i < N; i++) {
        rung_rng r = rung_rng_at(6, RUNG_STREAM_TEST, (uint64_t)i, 0);
        a[i] = 100.0 + 40.0 * rung_rng_normal(&r) + 30.0;
        b[i] = 100.0 + 40.0 * rung_rng_normal(&r);
        double logit = 2.0 * tanh((a[i] - b[i]) / 56.0);
        p[i] = rung_rng_f64(&r) < 1.0 / (1.0 + exp(-logit)) ? RUNG_PREF_A : RUNG_PREF_B;
    }
    rung_length_bias z = rung_length_control(p, a, b, N);
    assert_true(z.longer > .75 && z.shorter < .3);
    NEAR(z.adjusted, .5, .04);
    NEAR(z.slope, 2.0, .3);
    for (int i = 0; i < N; i++) b[i] = a[i]; /* equally long: nothing to fit */
    z = rung_length_control(p, a, b, N);
    assert_true(isnan(z.adjusted) && isnan(z.longer) && z.equal > .5);
}

static void critiques(void **ud) {
    (void)ud;
    const int32_t none = RUNG_PRED_NONE;
    const int32_t v[] = {none, 2, -1, 2, -1, none}; /* 2 and -1 tie: first seen */
    assert_int_equal(rung_critique_vote(v, 6), 2);
    assert_int_equal(rung_critique_vote(v + 2, 1), -1);
    assert_int_equal(rung_critique_vote(&none, 1), RUNG_PRED_NONE);
    double share[4];
    rung_step_votes(share, 4, v, 6);
    assert_true(share[0] == 0.0 && share[1] == 0.0 && share[2] == .5 && share[3] == 0.0);
    rung_step_votes(share, 4, &none, 1);
    assert_true(isnan(share[0]));
}

static void more_corrections(void **ud) {
    (void)ud;
    const double p[] = {.001, .008, .039, .041, .042, .060, .074, .205};
    double bh[8], by[8], h = 0.0;
    rung_benjamini_hochberg(bh, p, 8);
    rung_benjamini_yekutieli(by, p, 8);
    for (int i = 1; i <= 8; i++) h += 1.0 / i;
    for (int i = 0; i < 8; i++) NEAR(by[i], fmin(1.0, bh[i] * h), 1e-12);
    NEAR(by[0], .008 * 2.717857142857, 1e-9);
    const double d[] = {1, .5, -.2, .8, .3, -.1, .6, .4};
    rung_effect e = rung_effect_paired(d, 8); /* mean 3.3/8, sd of n - 1 */
    NEAR(e.points, 41.25, 1e-9);
    NEAR(e.d_z, .4125 / sqrt(1.18875 / 7.0), 1e-9);
    NEAR(rung_odds_ratio(12, 5), 2.4, 1e-12);
    NEAR(rung_odds_ratio(3, 0), 7.0, 1e-12); /* 3.5 / .5 */
    const int64_t cluster[] = {7, 3, 7, 3, 3, 9};
    const double x[] = {1, 2, 3, 5, 8, 4};
    double mean[6];
    assert_int_equal(rung_cluster_means(mean, x, cluster, 6), 3);
    NEAR(mean[0], 2.0, 1e-15);
    NEAR(mean[1], 5.0, 1e-15);
    NEAR(mean[2], 4.0, 1e-15);
}

static void pass_all(void **ud) {
    (void)ud;
    NEAR(rung_pass_all_k(8, 5, 3), 10.0 / 56.0, 1e-12); /* C(5,3)/C(8,3) */
    assert_true(rung_pass_all_k(8, 2, 3) == 0.0);
    NEAR(rung_pass_all_k(8, 8, 8), 1.0, 1e-15);
    NEAR(rung_pass_all_k(8, 3, 1), 3.0 / 8.0, 1e-12);
    assert_true(isnan(rung_pass_all_k(4, 5, 1)));
}

static void calibration_fits(void **ud) {
    (void)ud;
    static const double P[] = {.95, .9, .8, .7, .65, .55, .45, .3, .2, .05};
    static const double Y[] = {1, 1, 0, 1, 1, 0, 1, 0, 0, 0};
    NEAR(rung_brier_skill(P, Y, 10), .359, 1e-12);
    /* outcomes that follow sigmoid(z / 2.5): both fits find it; accuracy is untouched by T > 0 */
    enum { N = 20000 };
    static double z[N], y[N];
    for (int i = 0; i < N; i++) {
        rung_rng r = rung_rng_at(8, RUNG_STREAM_TEST, (uint64_t)i, 0);
        z[i] = 3.0 * rung_rng_normal(&r);
        y[i] = rung_rng_f64(&r) < 1.0 / (1.0 + exp(-z[i] / 2.5)) ? 1.0 : 0.0;
    }
    double t = rung_temperature_fit(z, y, N), a, b;
    NEAR(t, 2.5, .15);
    assert_true(rung_logistic_fit(&a, &b, z, y, N));
    NEAR(a, .4, .02);
    NEAR(b, 0.0, .05);
    /* at the minimum the gradient vanishes: mean z (p - y) = 0 */
    double grad = 0.0;
    for (int i = 0; i < N; i++) grad += z[i] * (1.0 / (1.0 + exp(-z[i] / t)) - y[i]);
    NEAR(grad / N, 0.0, 1e-6);
    const double sep_x[] = {-1, -2, 1, 2}, sep_y[] = {0, 0, 1, 1};
    assert_false(rung_logistic_fit(&a, &b, sep_x, sep_y, 4));
    assert_true(isnan(rung_temperature_fit(sep_x, sep_y, 4))); /* T -> 0 */
    const double flat[] = {1, 1, 1, 1}, mixed[] = {0, 1, 0, 1};
    assert_false(rung_logistic_fit(&a, &b, flat, mixed, 4));
    /* by hand: x = +-1, 3 of 4 right on the one side and 1 of 4 on the other: a = ln 3, b = 0 */
    const double x8[] = {1, 1, 1, 1, -1, -1, -1, -1}, y8[] = {1, 1, 1, 0, 1, 0, 0, 0};
    assert_true(rung_logistic_fit(&a, &b, x8, y8, 8));
    NEAR(a, log(3.0), 1e-9);
    NEAR(b, 0.0, 1e-9);
    NEAR(rung_temperature_fit(x8, y8, 8), 1.0 / log(3.0), 1e-6);
}

static void prmbench(void **ud) {
    (void)ud;
    const bool valid[] = {1, 1, 1, 0, 1, 0}, error[] = {0, 0, 1, 1, 0, 0}; /* 1-based {3, 4} */
    rung_prmbench z = {0};
    rung_prmbench_add(&z, valid, error, 6);
    assert_true(z.tp == 3 && z.fp == 1 && z.tn == 1 && z.fn == 1);
    rung_prmbench_score s = rung_prmbench_get(&z);
    NEAR(s.f1, .75, 1e-12);
    NEAR(s.f1_negative, .5, 1e-12);
    NEAR(s.score, .625, 1e-12);
    NEAR(s.acc_step, 4.0 / 6.0, 1e-12);
    NEAR(s.acc_right, .75, 1e-12);
    NEAR(s.acc_wrong, .5, 1e-12);
    assert_true(s.acc_first == 0.0); /* step 3 was called valid */
    /* why the negative F1 is needed: "all valid" has F1 .8 and finds no error at all */
    const bool all[] = {1, 1, 1, 1, 1, 1};
    rung_prmbench lazy = {0};
    rung_prmbench_add(&lazy, all, error, 6);
    s = rung_prmbench_get(&lazy);
    NEAR(s.f1, .8, 1e-12);
    assert_true(isnan(s.f1_negative) && isnan(s.score) && s.acc_wrong == 0.0);
    const double m[] = {.5, 1.0}, o[] = {1.0, .75};
    NEAR(rung_prmbench_similarity(m, o, 2), .375, 1e-15);
}

static void selective(void **ud) {
    (void)ud;
    const double conf[] = {.9, .8, .7, .6}, y[] = {1, 1, 0, 1};
    double acc[4];
    NEAR(rung_selective(acc, conf, y, 4), (1.0 + 1.0 + 2.0 / 3.0 + .75) / 4.0, 1e-12);
    NEAR(acc[2], 2.0 / 3.0, 1e-12);
    const double tied[] = {.5, .5, .5, .5}; /* no information: the base rate at every share */
    NEAR(rung_selective(acc, tied, y, 4), .75, 1e-12);
    NEAR(acc[0], .75, 1e-12);
    const double macro_s[] = {.1, .9, .9, .1, .5, .5}, macro_y[] = {0, 1, 0, 1, 1, 1};
    const int64_t first[] = {0, 2, 4, 6}; /* 1, 0, undefined */
    NEAR(rung_auroc_macro(macro_s, macro_y, first, 3), .5, 1e-15);
}

static void semantic_entropy(void **ud) {
    (void)ud;
    const double l[] = {log(.5), log(.4), log(.45), log(.2)};
    const int32_t cluster[] = {0, 0, 1, 2};
    rung_entropy e = rung_semantic_entropy(l, cluster, 4);
    NEAR(e.se, .938926, 5e-7);
    NEAR(e.counts, 1.039721, 5e-7);
    NEAR(e.naive, 1.004346, 5e-7);
    const int32_t one[] = {4, 4, 4, 4};
    e = rung_semantic_entropy(l, one, 4);
    NEAR(e.se, 0.0, 1e-12);
    NEAR(e.counts, 0.0, 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kappas),
        cmocka_unit_test(krippendorff),
        cmocka_unit_test(swaps),
        cmocka_unit_test(ties_in_agreement),
        cmocka_unit_test(length),
        cmocka_unit_test(critiques),
        cmocka_unit_test(more_corrections),
        cmocka_unit_test(pass_all),
        cmocka_unit_test(calibration_fits),
        cmocka_unit_test(prmbench),
        cmocka_unit_test(selective),
        cmocka_unit_test(semantic_entropy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
