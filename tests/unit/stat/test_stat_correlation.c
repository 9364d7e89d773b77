/* Correlations by hand, weights as counts, the bound of early rejection. */
#include "rung/stat.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NEAR(a, b, tol) assert_true(fabs((a) - (b)) <= (tol))

static void by_hand(void **ud) {
    (void)ud;
    const double x[] = {1, 2, 3, 4}, y[] = {2, 1, 4, 3};
    NEAR(rung_pearson(x, y, NULL, 4), .6, 1e-12);        /* 3 / sqrt(5 5) */
    NEAR(rung_kendall(x, y, NULL, 4), 1.0 / 3.0, 1e-12); /* (4 - 2) / 6 */
    const double tx[] = {1, 1, 2, 3}, ty[] = {1, 2, 2, 3};
    NEAR(rung_kendall(tx, ty, NULL, 4), .8, 1e-12); /* 4 / sqrt(5 5) */
    NEAR(rung_pearson(x, x, NULL, 4), 1.0, 1e-12);
    const double down[] = {8, 6, 4, 2};
    NEAR(rung_pearson(x, down, NULL, 4), -1.0, 1e-12);
    NEAR(rung_kendall(x, down, NULL, 4), -1.0, 1e-12);
}

static void constant(void **ud) {
    (void)ud;
    const double x[] = {1, 2, 3}, c[] = {5, 5, 5};
    assert_true(isnan(rung_pearson(x, c, NULL, 3)));
    assert_true(isnan(rung_kendall(c, x, NULL, 3)));
    assert_true(isnan(rung_pearson(x, x, NULL, 0)));
    assert_true(isnan(rung_kendall(x, x, NULL, 1)));
}

/* A weight of w is w copies. */
static void weights_are_counts(void **ud) {
    (void)ud;
    const double x[] = {.1, .9, .4, .4, .7}, y[] = {.3, .8, .1, .6, .6}, w[] = {2, 1, 0, 3, 1};
    double cx[16], cy[16];
    int64_t n = 0;
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < (int)w[i]; k++, n++) cx[n] = x[i], cy[n] = y[i];
    assert_int_equal(n, 7);
    NEAR(rung_pearson(x, y, w, 5), rung_pearson(cx, cy, NULL, n), 1e-12);
    NEAR(rung_kendall(x, y, w, 5), rung_kendall(cx, cy, NULL, n), 1e-12);
}

static void bound(void **ud) {
    (void)ud;
    NEAR(rung_rejection_bound(2, 2, 1), exp(-1), 1e-12);
    NEAR(rung_rejection_bound(16, 4, 1), 15 * exp(-4), 1e-12);
    NEAR(rung_rejection_bound(16, 4, 2), 1.0, 0); /* 15 / e: no more than certain */
    NEAR(rung_rejection_bound(1, 0, 1), 0.0, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_hand), cmocka_unit_test(constant),
                                       cmocka_unit_test(weights_are_counts),
                                       cmocka_unit_test(bound)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
