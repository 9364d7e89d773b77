/* Every published vector of feedback.md 10.3-10.7 that stat.h has a function for. */
#include "rung/stat.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define NEAR(a, b, tol) assert_true(fabs((a) - (b)) <= (tol))
#define COUNT(v)        (sizeof(v) / sizeof *(v))

static const double P[] = {.95, .9, .8, .7, .65, .55, .45, .3, .2, .05};
static const double Y[] = {1, 1, 0, 1, 1, 0, 1, 0, 0, 0};

static void mcnemar(void **ud) {
    (void)ud;
    rung_mcnemar t = rung_mcnemar_test(12, 5);
    NEAR(t.p_exact, .143463, 5e-7);
    NEAR(t.p_mid, .096252, 5e-7);
    NEAR(t.chi2, 2.117647, 5e-7);
    NEAR(t.p_chi2, .145610, 5e-7);
    /* by hand: b + c = 5, least 1: 2 (1 + 5) / 32 = .375, mid .375 - 5/32 */
    t = rung_mcnemar_test(1, 4);
    NEAR(t.p_exact, .375, 1e-12);
    NEAR(t.p_mid, .21875, 1e-12);
    assert_true(rung_mcnemar_test(4, 1).p_exact == t.p_exact);
    t = rung_mcnemar_test(0, 0);
    assert_true(t.p_exact == 1.0 && t.p_mid == 1.0 && t.p_chi2 == 1.0);
    t = rung_mcnemar_test(3, 3); /* capped at 1; the correction does not go past 0 */
    assert_true(t.p_exact == 1.0 && t.chi2 == 0.0);
    NEAR(t.p_mid, 1.0, 1e-12);
    /* large: exact and chi-square agree, no underflow at 2^-100000 */
    t = rung_mcnemar_test(50500, 49500);
    NEAR(t.p_exact, t.p_chi2, 2e-5);
    assert_true(t.p_exact > 0.001 && t.p_exact < 0.01);
    assert_true(isnan(rung_mcnemar_test(-1, 2).p_exact));
}

static void permutation(void **ud) {
    (void)ud;
    const double d[] = {1, .5, -.2, .8, .3, -.1, .6, .4};
    NEAR(rung_permutation_paired(d, 8, 0, 1), .0390625, 1e-15);
    const double same[] = {0, 0, 0};
    assert_true(rung_permutation_paired(same, 3, 0, 1) == 1.0);
    /* of +-1 and zeros it is the exact McNemar test: b = 9, c = 2 */
    double pm[14] = {1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, 0, 0, 0};
    NEAR(rung_permutation_paired(pm, 14, 0, 1), rung_mcnemar_test(9, 2).p_exact, 1e-12);
    /* by random flips (n > 20): the same p within its Monte Carlo error, never 0, seed repeats it
     */
    double many[40] = {0};
    memcpy(many, pm, sizeof pm);
    double p = rung_permutation_paired(many, 40, 20000, 7);
    NEAR(p, rung_mcnemar_test(9, 2).p_exact, 0.007);
    assert_true(p == rung_permutation_paired(many, 40, 20000, 7));
    assert_true(p != rung_permutation_paired(many, 40, 20000, 8));
    for (int i = 0; i < 40; i++) many[i] = 1.0 + i;
    assert_true(rung_permutation_paired(many, 40, 999, 7) == 1.0 / 1000.0);
    many[3] = NAN;
    assert_true(isnan(rung_permutation_paired(many, 40, 999, 7)));
}

static void corrections(void **ud) {
    (void)ud;
    const double p[] = {.001, .008, .039, .041, .042, .060, .074, .205};
    const double holm[] = {.008, .056, .234, .234, .234, .234, .234, .234};
    const double bh[] = {.008, .032, .0672, .0672, .0672, .08, .0846, .205};
    const size_t order[] = {3, 0, 7, 5, 1, 6, 2, 4}; /* the input need not be sorted */
    double shuffled[8], got_holm[8], got_bh[8];
    for (size_t i = 0; i < 8; i++) shuffled[i] = p[order[i]];
    rung_holm(got_holm, shuffled, 8);
    rung_benjamini_hochberg(got_bh, shuffled, 8);
    for (size_t i = 0; i < 8; i++) {
        NEAR(got_holm[i], holm[order[i]], 1e-12);
        NEAR(got_bh[i], bh[order[i]], 5e-5);
    }
    double one[2] = {0.9, 0.8}, out[2];
    rung_holm(out, one, 2);
    assert_true(out[0] == 1.0 && out[1] == 1.0);
    one[1] = NAN;
    rung_holm(out, one, 2);
    assert_true(isnan(out[0]));
}

static void calibration(void **ud) {
    (void)ud;
    NEAR(rung_ece(P, Y, 10, 5), .085, 1e-12);
    NEAR(rung_mce(P, Y, 10, 5), .30, 1e-12);
    NEAR(rung_ece(P, Y, 10, 10), .325, 1e-12);
    NEAR(rung_ece_mass(P, Y, 10, 5), .135, 1e-12);
    NEAR(rung_brier(P, Y, 10), .16025, 1e-12);
    NEAR(rung_nll(P, Y, 10), .478168, 5e-7);
    NEAR(1.0 - rung_brier(P, Y, 10) / .25, .359, 1e-12); /* skill against the base rate */
}

static void bins(void **ud) {
    (void)ud;
    /* borders belong to the bin below; 0 to the first; .07 * 100 rounds above 7 and must not move
     */
    const double p[] = {0.0, 0.2, 0.20000001, 1.0}, y[] = {0, 0, 1, 1};
    rung_reliability_bin bin[100];
    assert_true(rung_reliability(bin, p, y, 4, 5));
    assert_int_equal(bin[0].n, 2);
    assert_int_equal(bin[1].n, 1);
    assert_int_equal(bin[4].n, 1);
    NEAR(bin[0].p, 0.1, 1e-12);
    for (int i = 1; i <= 100; i++) {
        double edge = i / 100.0, one = 1.0;
        assert_true(rung_reliability(bin, &edge, &one, 1, 100));
        assert_int_equal(bin[i - 1].n, 1);
    }
    double over = 1.0001;
    assert_false(rung_reliability(bin, &over, y, 1, 5));
    assert_true(isnan(rung_ece(&over, y, 1, 5)));
    assert_true(isnan(rung_ece(P, Y, 0, 5)));
    /* ties: the order of the outcomes within equal p does not matter */
    const double tied[] = {.5, .5, .5, .5}, up[] = {0, 0, 1, 1}, mixed[] = {1, 0, 1, 0};
    assert_true(rung_ece_mass(tied, up, 4, 2) == rung_ece_mass(tied, mixed, 4, 2));
    NEAR(rung_ece_mass(tied, up, 4, 2), 0.0, 1e-15);
}

static void ranking(void **ud) {
    (void)ud;
    NEAR(rung_auroc(P, Y, 10), .84, 1e-12);
    NEAR(rung_average_precision(P, Y, 10), .852857, 5e-7);
    const double flat[] = {.5, .5, .5, .5}, y[] = {1, 0, 0, 0}, none[] = {0, 0, 0, 0};
    NEAR(rung_auroc(flat, y, 4), .5, 1e-15);
    NEAR(rung_average_precision(flat, y, 4), .25, 1e-15); /* chance level = prevalence */
    assert_true(isnan(rung_auroc(flat, none, 4)));
    assert_true(isnan(rung_average_precision(flat, none, 4)));
    const double hole[] = {.5, NAN, .5, .5};
    assert_true(isnan(rung_auroc(hole, y, 4)));
    assert_true(isnan(rung_auroc(flat, y, 0)));
}

static void kappa(void **ud) {
    (void)ud;
    const double two[] = {20, 5, 10, 15}, three[] = {10, 3, 1, 2, 12, 4, 0, 3, 15};
    NEAR(rung_kappa(two, 2), .40, 1e-12);
    NEAR(rung_kappa(three, 3), .605583, 5e-7);
    const double one_class[] = {9, 0, 0, 0}, empty[] = {0, 0, 0, 0};
    assert_true(isnan(rung_kappa(one_class, 2)));
    assert_true(isnan(rung_kappa(empty, 2)));
}

static void wilson(void **ud) {
    (void)ud;
    rung_interval ci = rung_wilson(37, 50, .95);
    NEAR(ci.lo, .604468, 5e-7);
    NEAR(ci.hi, .841285, 5e-7);
    ci = rung_wilson(0, 10, .95);
    assert_true(ci.lo == 0.0 && ci.hi > 0.2 && ci.hi < 0.35);
    ci = rung_wilson(10, 10, .95);
    assert_true(ci.hi == 1.0 && ci.lo < 0.8);
    assert_true(isnan(rung_wilson(1, 0, .95).lo));
}

static double choose(int n, int c) {
    return exp(lgamma(n + 1.0) - lgamma(c + 1.0) - lgamma(n - c + 1.0));
}

static double wilson_coverage(int n, double p) {
    double sum = 0.0;
    for (int c = 0; c <= n; c++) {
        rung_interval ci = rung_wilson(c, n, .95);
        if (ci.lo <= p && p <= ci.hi) sum += choose(n, c) * pow(p, c) * pow(1 - p, n - c);
    }
    return sum;
}

static void wilson_covers(void **ud) {
    (void)ud;
    NEAR(wilson_coverage(50, .5), .935091, 1e-6);
    NEAR(wilson_coverage(50, .1), .970308, 1e-6);
    NEAR(wilson_coverage(200, .5), .944034, 1e-6);
}

static void processbench(void **ud) {
    (void)ud;
    /* F1 of 40 and 90 is 55.384615: 10 wrong traces of which 4 are hit, 10 right with 9 */
    int32_t label[20], pred[20];
    for (int i = 0; i < 20; i++) {
        label[i] = i < 10 ? i % 4 : -1;
        pred[i] = i < 4 || i >= 11 ? label[i] : RUNG_PRED_NONE;
    }
    rung_pb r = rung_processbench(pred, label, 20);
    NEAR(r.acc_err, 40.0, 1e-12);
    NEAR(r.acc_cor, 90.0, 1e-12);
    NEAR(r.f1, 55.384615, 5e-7);
    assert_int_equal(r.n_err, 10);
    assert_int_equal(r.n_cor, 10);
    /* the shape of the gsm8k subset: 37 of 207 first errors at step 0, 193 without (labels.md 1.7a)
     */
    static int32_t l[400], x[400];
    for (int i = 0; i < 400; i++) l[i] = i < 37 ? 0 : i < 207 ? 1 + i % 7 : -1;
    r = rung_processbench(l, l, 400);
    assert_true(r.acc_err == 100.0 && r.acc_cor == 100.0 && r.f1 == 100.0);
    for (int i = 0; i < 400; i++) x[i] = -1;
    r = rung_processbench(x, l, 400);
    assert_true(r.acc_err == 0.0 && r.acc_cor == 100.0 && r.f1 == 0.0);
    for (int i = 0; i < 400; i++) x[i] = 0;
    r = rung_processbench(x, l, 400);
    NEAR(r.acc_err, 17.9, 0.05);
    assert_true(r.acc_cor == 0.0 && r.f1 == 0.0);
    r = rung_processbench(x, l, 207); /* one class only: undefined, not 0 */
    assert_true(isnan(r.acc_cor) && isnan(r.f1) && r.n_cor == 0);
}

static void first_below(void **ud) {
    (void)ud;
    const double s[] = {.9, .5, .4, .1};
    assert_int_equal(rung_first_below(s, 4, .5), 2); /* strict */
    assert_int_equal(rung_first_below(s, 4, .50001), 1);
    assert_int_equal(rung_first_below(s, 4, .1), -1);
    assert_int_equal(rung_first_below(s, 0, .5), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mcnemar),       cmocka_unit_test(permutation),
        cmocka_unit_test(corrections),   cmocka_unit_test(calibration),
        cmocka_unit_test(bins),          cmocka_unit_test(ranking),
        cmocka_unit_test(kappa),         cmocka_unit_test(wilson),
        cmocka_unit_test(wilson_covers), cmocka_unit_test(processbench),
        cmocka_unit_test(first_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
