/* Isotonic regression and Platt's sigmoid against fits by hand, the threshold against trying all.
 */
#include "rung/rng.h"
#include "rung/stat.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define OK(call)                                                                                   \
    do {                                                                                           \
        rung_error e = RUNG_ERROR_INIT, *err = &e;                                                 \
        assert_int_equal(call, RUNG_OK);                                                           \
    } while (0)

static void near(double a, double b, double tol) {
    if (!(fabs(a - b) <= tol)) fail_msg("%.17g is not %.17g", a, b);
}

static void pav_by_hand(void **state) {
    (void)state;
    /* 1 3 2 4 3 5 -> 1, (3+2)/2, (4+3)/2, 5 */
    const double x[] = {1, 2, 3, 4, 5, 6}, y[] = {1, 3, 2, 4, 3, 5};
    const rung_knot want[] = {{1, 1}, {2, 2.5}, {3, 2.5}, {4, 3.5}, {5, 3.5}, {6, 5}};
    rung_knot k[12];
    assert_int_equal(rung_isotonic_fit(k, x, y, 6), 6);
    for (int i = 0; i < 6; i++) {
        near(k[i].x, want[i].x, 0);
        near(k[i].y, want[i].y, 1e-15);
    }
    near(rung_isotonic_at(k, 6, 0), 1, 0);
    near(rung_isotonic_at(k, 6, 1.5), 1.75, 1e-15);
    near(rung_isotonic_at(k, 6, 2.5), 2.5, 1e-15);
    near(rung_isotonic_at(k, 6, 3.25), 2.75, 1e-15);
    near(rung_isotonic_at(k, 6, 7), 5, 0);
}

static void pav_pools_back(void **state) {
    (void)state;
    /* outcomes 1 0 1 0 0 1 in order of the score: 1 0 -> 1/2; 1 0 0 -> 1/3, below 1/2, so 2/5 */
    const double x[] = {.9, .1, .5, .4, .2, .6}, y[] = {1, 1, 0, 1, 0, 0};
    rung_knot k[12]; /* by x: .1 1, .2 0, .4 1, .5 0, .6 0, .9 1 */
    assert_int_equal(rung_isotonic_fit(k, x, y, 6), 3);
    near(k[0].x, .1, 0);
    near(k[0].y, .4, 1e-15);
    near(k[1].x, .6, 0);
    near(k[1].y, .4, 1e-15);
    near(k[2].y, 1, 0);
}

static void pav_ties_and_trouble(void **state) {
    (void)state;
    const double x[] = {.5, .5, .5, .7}, y[] = {1, 0, 0, 1};
    rung_knot k[8];
    assert_int_equal(rung_isotonic_fit(k, x, y, 4), 2);
    near(k[0].y, 1. / 3, 1e-15);
    const double bad[] = {.5, NAN};
    assert_int_equal(rung_isotonic_fit(k, bad, y, 2), -1);
    assert_int_equal(rung_isotonic_fit(k, x, y, 0), -1);
    assert_true(isnan(rung_isotonic_at(k, 0, .5)));
}

/* Two scores only, so the two weights reach both targets: at x = 1 three of four are right, at x =
 * -1 one of four. Platt: n+ = n- = 4, targets 5/6 and 1/6; means (3 x 5/6 + 1/6)/4 = 2/3 and 1/3;
 * so b = 0, a = ln 2. */
static void platt_by_hand(void **state) {
    (void)state;
    const double x[] = {1, 1, 1, 1, -1, -1, -1, -1}, y[] = {1, 1, 1, 0, 1, 0, 0, 0};
    double a, b;
    assert_true(rung_platt_fit(&a, &b, x, y, 8));
    near(a, M_LN2, 1e-9);
    near(b, 0, 1e-9);
    /* separable, where plain maximum likelihood has none: targets 3/4 and 1/4, so a = ln 3 */
    const double apart[] = {1, 1, -1, -1}, z[] = {1, 1, 0, 0};
    assert_false(rung_logistic_fit(&a, &b, apart, z, 4));
    assert_true(rung_platt_fit(&a, &b, apart, z, 4));
    near(a, log(3), 1e-9);
    near(b, 0, 1e-9);
    assert_false(rung_platt_fit(&a, &b, apart, apart, 1));
}

/* The fit is a stationary point: the gradient by finite differences is 0. */
static void platt_is_a_minimum(void **state) {
    (void)state;
    const double x[] = {-2, -1, -.5, .3, .9, 1.5, 2.2}, y[] = {0, 0, 1, 0, 1, 1, 1};
    const double up = 5. / 6, down = 1. / 5, h = 1e-5;
    double a, b, g[2];
    assert_true(rung_platt_fit(&a, &b, x, y, 7));
    for (int which = 0; which < 2; which++) {
        double at[2];
        for (int s = 0; s < 2; s++) {
            double u = a + (which == 0 ? (s ? h : -h) : 0), v = b + (which == 1 ? (s ? h : -h) : 0);
            at[s] = 0;
            for (int i = 0; i < 7; i++) {
                double z = u * x[i] + v, t = y[i] > .5 ? up : down;
                at[s] += log1p(exp(z)) - t * z;
            }
        }
        g[which] = (at[1] - at[0]) / (2 * h);
    }
    near(g[0], 0, 1e-8);
    near(g[1], 0, 1e-8);
}

static void threshold_by_hand(void **state) {
    (void)state;
    /* a right trace that never falls below .6; two wrong ones, at step 1 by .4 and at step 0 by .5
     */
    const double score[] = {.9, .6, .8, .4, .2, .5, .1};
    const int64_t first[] = {0, 2, 5, 7};
    const int32_t label[] = {-1, 1, 0};
    double tau, f1;
    OK(rung_first_error_threshold(&tau, &f1, score, first, label, 3, err));
    near(tau, .55, 1e-15);
    near(f1, 100, 1e-12);
    assert_int_equal(rung_first_error_threshold(&tau, &f1, score, first, label, 1, NULL),
                     RUNG_E_FORMAT);
    const double flat[] = {.3, .3, .3, .3, .3, .3, .3};
    OK(rung_first_error_threshold(&tau, &f1, flat, first, label, 3, err));
    near(tau, .5, 0);
    assert_true(isnan(f1));
}

/* Against trying every half way point one by one. */
static void threshold_of_many(void **state) {
    (void)state;
    enum { N = 60, T = 7 };
    for (uint64_t round = 0; round < 20; round++) {
        double score[N * T], best = -1;
        int64_t first[N + 1] = {0};
        int32_t label[N], pred[N];
        rung_rng g = rung_rng_at(round, RUNG_STREAM_TEST, 0, 0);
        for (int i = 0; i < N; i++) {
            int len = 1 + (int)rung_rng_below(&g, T);
            label[i] = rung_rng_below(&g, 3) == 0 ? -1 : (int32_t)rung_rng_below(&g, (uint64_t)len);
            first[i + 1] = first[i] + len;
            for (int64_t k = first[i]; k < first[i + 1]; k++)
                score[k] = (double)rung_rng_below(&g, 40) / 40 *
                           (label[i] >= 0 && k - first[i] == label[i] ? .5 : 1);
        }
        for (int i = 0; i < 80; i++) { /* scores are 80ths; half way points between two of them */
            double lo = -1, hi = 2, at = (i + .5) / 80;
            for (int64_t k = 0; k < first[N]; k++) {
                if (score[k] < at && score[k] > lo) lo = score[k];
                if (score[k] > at && score[k] < hi) hi = score[k];
            }
            if (lo < 0 || hi > 1) continue;
            for (int c = 0; c < N; c++)
                pred[c] =
                    rung_first_below(score + first[c], (int32_t)(first[c + 1] - first[c]), at);
            double f1 = rung_processbench(pred, label, N).f1;
            if (f1 > best) best = f1;
        }
        double tau, f1;
        OK(rung_first_error_threshold(&tau, &f1, score, first, label, N, err));
        near(f1, best, 1e-9);
        for (int c = 0; c < N; c++)
            pred[c] = rung_first_below(score + first[c], (int32_t)(first[c + 1] - first[c]), tau);
        near(rung_processbench(pred, label, N).f1, best, 1e-9);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pav_by_hand),          cmocka_unit_test(pav_pools_back),
        cmocka_unit_test(pav_ties_and_trouble), cmocka_unit_test(platt_by_hand),
        cmocka_unit_test(platt_is_a_minimum),   cmocka_unit_test(threshold_by_hand),
        cmocka_unit_test(threshold_of_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
