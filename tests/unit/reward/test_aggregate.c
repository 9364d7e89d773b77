/* Aggregates: hand values of search.md 2.3 and properties over the whole table. */
#include "rung/reward.h"
#include "rung/rng.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static double agg(rung_aggregate_id id, const double *r, size_t n) {
    double v = NAN;
    rung_error e = RUNG_ERROR_INIT;
    assert_int_equal(rung_aggregate(&v, id, r, n, &e), RUNG_OK);
    return v;
}
static void near(double a, double b, double tol) {
    if (!(fabs(a - b) <= tol)) fail_msg("%.17g is not %.17g", a, b);
}

static bool sums(int id) {
    return id == RUNG_AGGREGATE_LOGIT_SUM || id == RUNG_AGGREGATE_SUM;
}

static void by_hand(void **s) {
    (void)s;
    const double r[] = {.5, .9, .8};
    near(agg(RUNG_AGGREGATE_MIN, r, 3), .5, 0);
    near(agg(RUNG_AGGREGATE_MAX, r, 3), .9, 0);
    near(agg(RUNG_AGGREGATE_LAST, r, 3), .8, 0);
    near(agg(RUNG_AGGREGATE_MEAN, r, 3), 2.2 / 3, 1e-15);
    near(agg(RUNG_AGGREGATE_PROD, r, 3), .36, 1e-15);
    near(agg(RUNG_AGGREGATE_GEO, r, 3), cbrt(.36), 1e-15);
    near(agg(RUNG_AGGREGATE_LOGIT_SUM, r, 3), log(1.) + log(9.) + log(4.), 1e-14);
    const double ratio[] = {-.5, 2, -3}; /* log-ratios are no probabilities */
    near(agg(RUNG_AGGREGATE_SUM, ratio, 3), -1.5, 1e-15);
    near(agg(RUNG_AGGREGATE_MIN, ratio, 3), -3, 0);
    const double hard[] = {1, 0};
    near(agg(RUNG_AGGREGATE_PROD, hard, 2), 1e-9, 1e-20);  /* floored */
    near(agg(RUNG_AGGREGATE_LOGIT_SUM, hard, 2), 0, 1e-8); /* clipped on both sides */
    near(agg(RUNG_AGGREGATE_GEO, hard, 2), sqrt(1e-9), 1e-15);
}

static void all_ones(void **s) {
    (void)s;
    const double r[] = {1, 1, 1, 1, 1};
    for (int id = 0; id < RUNG_AGGREGATE_COUNT; id++)
        if (!sums(id)) near(agg(id, r, 5), 1.0, 1e-12);
}

/* A worse step never helps; except for `last`, order does not matter. */
static void properties(void **s) {
    (void)s;
    rung_rng g = rung_rng_at(1, RUNG_STREAM_TEST, 0, 0);
    for (int round = 0; round < 2000; round++) {
        size_t n = 1 + rung_rng_below(&g, 12);
        double r[12], worse[12], mixed[12];
        uint32_t order[12];
        for (size_t i = 0; i < n; i++) {
            r[i] = worse[i] = rung_rng_f64(&g);
            order[i] = (uint32_t)i;
        }
        worse[rung_rng_below(&g, n)] *= rung_rng_f64(&g);
        rung_rng_shuffle(&g, order, (uint32_t)n);
        for (size_t i = 0; i < n; i++) mixed[i] = r[order[i]];
        for (int id = 0; id < RUNG_AGGREGATE_COUNT; id++) {
            double v = agg(id, r, n);
            assert_true(agg(id, worse, n) <= v);
            if (id != RUNG_AGGREGATE_LAST) near(agg(id, mixed, n), v, 1e-12 + 1e-12 * fabs(v));
            if (!sums(id)) assert_true(v >= 0 && v <= 1);
            if (n == 1 && id != RUNG_AGGREGATE_LOGIT_SUM) near(v, r[0], 1e-12);
        }
    }
}

static void refusals(void **s) {
    (void)s;
    const double nan[] = {.5, NAN}, inf[] = {INFINITY, .5};
    double v = 7;
    for (int id = 0; id < RUNG_AGGREGATE_COUNT; id++) {
        rung_error e = RUNG_ERROR_INIT;
        assert_int_equal(rung_aggregate(&v, id, nan, 2, &e), RUNG_E_INVAL);
        assert_int_equal(e.step, 1);
        assert_int_equal(rung_aggregate(&v, id, inf, 2, &e), RUNG_E_INVAL);
        assert_int_equal(e.step, 0);
        assert_true(v == 7); /* untouched */
        near(agg(id, NULL, 0), id == RUNG_AGGREGATE_SUM ? -1e300 : -1, 0);
    }
    assert_int_equal(rung_aggregate(&v, RUNG_AGGREGATE_COUNT, nan, 1, NULL), RUNG_E_INVAL);
}

static void names(void **s) {
    (void)s;
    for (int id = 0; id < RUNG_AGGREGATE_COUNT; id++) {
        rung_aggregate_id back = RUNG_AGGREGATE_COUNT;
        assert_true(rung_aggregate_find(&back, rung_aggregate_name(id)));
        assert_int_equal(back, id);
    }
    rung_aggregate_id x;
    assert_false(rung_aggregate_find(&x, "median"));
    assert_string_equal(rung_aggregate_name(RUNG_AGGREGATE_COUNT), "?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),  cmocka_unit_test(all_ones), cmocka_unit_test(properties),
        cmocka_unit_test(refusals), cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
