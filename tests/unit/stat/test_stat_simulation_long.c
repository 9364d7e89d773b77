/* The simulations of feedback.md 10.11 at their full size. */
#include "rung/rng.h"
#include "rung/stat.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define NEAR(a, b, tol) assert_true(fabs((a) - (b)) <= (tol))

/* 2,000 null pairs of systems, n = 50. */
static void type_one(void **ud) {
    (void)ud;
    int n_exact = 0, n_mid = 0, n_permutation = 0;
    const int n_sim = 2000;
    for (int s = 0; s < n_sim; s++) {
        rung_rng r = rung_rng_at(31, RUNG_STREAM_TEST, (uint64_t)s, 0);
        int64_t b = 0, c = 0;
        double d[50];
        for (int i = 0; i < 50; i++) {
            bool one = rung_rng_f64(&r) < .6, two = rung_rng_f64(&r) < .6;
            b += one && !two;
            c += two && !one;
            d[i] = rung_rng_normal(&r) - rung_rng_normal(&r);
        }
        rung_mcnemar t = rung_mcnemar_test(b, c);
        n_exact += t.p_exact <= .05;
        n_mid += t.p_mid <= .05;
        n_permutation += rung_permutation_paired(d, 50, 1999, (uint64_t)s) <= .05;
    }
    assert_true((double)n_exact / n_sim <= .05);
    assert_true((double)n_mid / n_sim <= .065 && n_mid >= n_exact);
    NEAR((double)n_permutation / n_sim, .05, .015);
}

typedef struct data {
    const double *x, *y;
} data;

static double auroc_of(void *ud, const uint32_t *index, int64_t n) {
    double x[64], y[64];
    for (int64_t i = 0; i < n; i++) {
        x[i] = ((data *)ud)->x[index[i]];
        y[i] = ((data *)ud)->y[index[i]];
    }
    return rung_auroc(x, y, n);
}

/* AUROC at n = 60: percentile and BCa cover within [.90, .98] in 1,000 simulations. */
static void auroc_coverage(void **ud) {
    (void)ud;
    const double truth = 0.5 * erfc(-0.5);
    int hits[2] = {0};
    const int n_sim = 1000;
    for (int s = 0; s < n_sim; s++) {
        rung_rng r = rung_rng_at(32, RUNG_STREAM_TEST, (uint64_t)s, 0);
        double x[60], y[60];
        int32_t stratum[60];
        for (int i = 0; i < 60; i++) {
            y[i] = i % 2;
            stratum[i] = i % 2;
            x[i] = rung_rng_normal(&r) + y[i];
        }
        data d = {x, y};
        for (int bca = 0; bca < 2; bca++) {
            rung_boot b = {.stat = auroc_of,
                           .ud = &d,
                           .n = 60,
                           .stratum = stratum,
                           .bca = bca,
                           .n_boot = 1000,
                           .level = .95,
                           .seed = (uint64_t)s};
            rung_boot_out out;
            assert_int_equal(rung_boot_run(&out, &b, NULL), RUNG_OK);
            hits[bca] += out.ci.lo <= truth && truth <= out.ci.hi;
        }
    }
    for (int bca = 0; bca < 2; bca++)
        assert_true((double)hits[bca] / n_sim >= .90 && (double)hits[bca] / n_sim <= .98);
}

/* 20 hypotheses, 10 of them true nulls: BH keeps the mean share of false discoveries at .05 (it is
 * .05 x 10/20 for independent ones), BY below it, Holm keeps the chance of any. */
static void false_discoveries(void **ud) {
    (void)ud;
    double bh_share = 0.0, by_share = 0.0;
    int holm_any = 0, all_null = 0;
    const int n_sim = 5000;
    for (int s = 0; s < n_sim; s++) {
        rung_rng r = rung_rng_at(33, RUNG_STREAM_TEST, (uint64_t)s, 0);
        double p[20], adjusted[20];
        for (int i = 0; i < 20; i++) {
            double z = rung_rng_normal(&r) + (i < 10 ? 0.0 : 3.0);
            p[i] = erfc(fabs(z) * M_SQRT1_2);
        }
        for (int which = 0; which < 2; which++) {
            int found = 0, wrong = 0;
            if (which)
                rung_benjamini_yekutieli(adjusted, p, 20);
            else
                rung_benjamini_hochberg(adjusted, p, 20);
            for (int i = 0; i < 20; i++) {
                found += adjusted[i] <= .05;
                wrong += i < 10 && adjusted[i] <= .05;
            }
            *(which ? &by_share : &bh_share) += found ? (double)wrong / found : 0.0;
        }
        rung_holm(adjusted, p, 20);
        bool any = false;
        for (int i = 0; i < 10; i++) any |= adjusted[i] <= .05;
        holm_any += any;
        for (int i = 0; i < 20; i++) p[i] = rung_rng_f64(&r);
        rung_holm(adjusted, p, 20);
        any = false;
        for (int i = 0; i < 20; i++) any |= adjusted[i] <= .05;
        all_null += any;
    }
    NEAR(bh_share / n_sim, .025, .004);
    assert_true(by_share < bh_share && bh_share / n_sim <= .05);
    assert_true((double)holm_any / n_sim <= .055);
    NEAR((double)all_null / n_sim, .0488, .009); /* 1 - .95^(1/...) within 3 standard errors */
}

/* A PRM with random scores: AUROC .5, AP = prevalence. */
static void random_prm(void **ud) {
    (void)ud;
    double auroc = 0.0, ap = 0.0;
    const int n_sim = 400;
    for (int s = 0; s < n_sim; s++) {
        rung_rng r = rung_rng_at(34, RUNG_STREAM_TEST, (uint64_t)s, 0);
        static double x[2000], y[2000];
        for (int i = 0; i < 2000; i++) {
            x[i] = rung_rng_f64(&r);
            y[i] = i % 5 == 0;
        }
        auroc += rung_auroc(x, y, 2000) / n_sim;
        ap += rung_average_precision(x, y, 2000) / n_sim;
    }
    NEAR(auroc, .5, .003);
    NEAR(ap, .2, .004);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(type_one),
        cmocka_unit_test(auroc_coverage),
        cmocka_unit_test(false_discoveries),
        cmocka_unit_test(random_prm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
