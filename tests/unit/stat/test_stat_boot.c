/* Clusters, strata, BCa (feedback.md 10.5). The long simulations are in
 * test_stat_simulation_long.c. */
#include "rung/rng.h"
#include "rung/stat.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define NEAR(a, b, tol) assert_true(fabs((a) - (b)) <= (tol))

typedef struct data {
    const double *x, *y;
    int64_t n_seen; /* items of the last resample */
    double y_seen;
} data;

static double mean_of(void *ud, const uint32_t *index, int64_t n) {
    data *d = ud;
    double sum = 0.0;
    d->n_seen = n;
    d->y_seen = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += d->x[index[i]];
        if (d->y) d->y_seen += d->y[index[i]];
    }
    return n ? sum / (double)n : (double)NAN;
}

static double count_y(void *ud, const uint32_t *index, int64_t n) {
    mean_of(ud, index, n);
    return ((data *)ud)->y_seen;
}

static rung_boot_out run(const rung_boot *b) {
    rung_boot_out out;
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_boot_run(&out, b, &err), RUNG_OK);
    return out;
}

/* x = i^2/10, i = 1..20: an independent script with 400,000 resamples gave mean 14.35, percentile
 * [9.10, 19.98], BCa [9.41, 20.38] (the end points move by .05 with its seed). */
static void bca_vector(void **ud) {
    (void)ud;
    double x[20];
    for (int i = 0; i < 20; i++) x[i] = (i + 1) * (i + 1) / 10.0;
    data d = {.x = x};
    rung_boot b = {.stat = mean_of, .ud = &d, .n = 20, .n_boot = 40000, .level = .95, .seed = 3};
    rung_boot_out plain = run(&b);
    NEAR(plain.value, 14.35, 1e-12);
    NEAR(plain.ci.lo, 9.10, .12);
    NEAR(plain.ci.hi, 19.98, .12);
    b.bca = true;
    rung_boot_out bca = run(&b);
    NEAR(bca.ci.lo, 9.41, .12);
    NEAR(bca.ci.hi, 20.38, .12);
    assert_false(bca.degenerate);
    /* the plain one is rung_bootstrap's */
    b.n_boot = 500;
    b.bca = false;
    rung_interval same = rung_bootstrap(mean_of, &d, 20, 500, .95, 3);
    plain = run(&b);
    assert_true(plain.ci.lo == same.lo && plain.ci.hi == same.hi);
}

static void degenerate(void **ud) {
    (void)ud;
    const double x[] = {2, 2, 2, 2};
    data d = {.x = x};
    rung_boot b = {.stat = mean_of, .ud = &d, .n = 4, .n_boot = 100, .level = .95, .bca = true};
    rung_boot_out out = run(&b);
    assert_true(out.degenerate && out.ci.lo == 2.0 && out.ci.hi == 2.0);
}

/* 10 clusters of 10 equal items: as 10 items, not as 100, so the interval is three times as wide.
 */
static void clusters(void **ud) {
    (void)ud;
    double x[100];
    int64_t first[11];
    for (int i = 0; i < 100; i++) x[i] = i / 10;
    for (int i = 0; i <= 10; i++) first[i] = 10 * i;
    data d = {.x = x};
    rung_boot b = {.stat = mean_of, .ud = &d, .n = 100, .n_boot = 4000, .level = .95, .seed = 4};
    rung_boot_out naive = run(&b);
    b.cluster_first = first;
    b.n_clusters = 10;
    rung_boot_out whole = run(&b);
    assert_int_equal(d.n_seen, 100);
    double ratio = (whole.ci.hi - whole.ci.lo) / (naive.ci.hi - naive.ci.lo);
    assert_true(ratio > 2.6 && ratio < 3.7); /* sqrt(10) = 3.16 */
    /* unequal clusters: the statistic is pooled over their items */
    for (int i = 1; i <= 10; i++) first[i] = i < 10 ? i : 100;
    whole = run(&b);
    assert_true(whole.value == naive.value);
    first[10] = 99;
    rung_boot_out out;
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_boot_run(&out, &b, &err), RUNG_E_INVAL);
}

/* Each class keeps its number: the count of positives is the same in every resample. */
static void strata(void **ud) {
    (void)ud;
    double x[30], y[30];
    int32_t stratum[30];
    for (int i = 0; i < 30; i++) {
        x[i] = i;
        y[i] = i % 5 == 0;
        stratum[i] = i % 5 == 0;
    }
    data d = {.x = x, .y = y};
    rung_boot b = {.stat = count_y, .ud = &d, .n = 30, .n_boot = 300, .level = .95, .seed = 5};
    rung_boot_out free_ = run(&b);
    assert_true(free_.ci.lo < 6.0 && free_.ci.hi > 6.0);
    b.stratum = stratum;
    rung_boot_out kept = run(&b);
    assert_true(kept.degenerate && kept.ci.lo == 6.0 && kept.value == 6.0);
    stratum[3] = -1;
    rung_boot_out out;
    assert_int_equal(rung_boot_run(&out, &b, NULL), RUNG_E_INVAL);
}

/* BCa covers the mean of a skewed distribution (exponential, n = 30) better than percentiles. */
static void bca_covers_skewed(void **ud) {
    (void)ud;
    int plain = 0, bca = 0;
    const int n_sim = 400;
    for (int s = 0; s < n_sim; s++) {
        rung_rng r = rung_rng_at(21, RUNG_STREAM_TEST, (uint64_t)s, 0);
        double x[30];
        for (int i = 0; i < 30; i++) x[i] = -log1p(-rung_rng_f64(&r));
        data d = {.x = x};
        rung_boot b = {
            .stat = mean_of, .ud = &d, .n = 30, .n_boot = 400, .level = .95, .seed = (uint64_t)s};
        rung_boot_out p = run(&b);
        b.bca = true;
        rung_boot_out q = run(&b);
        plain += p.ci.lo <= 1.0 && 1.0 <= p.ci.hi;
        bca += q.ci.lo <= 1.0 && 1.0 <= q.ci.hi;
    }
    assert_true(bca >= plain);
    assert_true((double)bca / n_sim > .90 && (double)bca / n_sim < .98);
}

/* Two strategies: one solves the easy half, the other the hard half; bins find that and reach 1, a
 * single strategy stays at .5. When both are alike, bins gain nothing. */
static void compute_optimal(void **ud) {
    (void)ud;
    enum { N = 200 };
    static double correct[2][N], value[N];
    for (int i = 0; i < N; i++) {
        value[i] = i / (double)N;
        correct[0][i] = i >= N / 2;
        correct[1][i] = i < N / 2;
    }
    rung_optimal o;
    assert_int_equal(rung_compute_optimal(&o, &correct[0][0], 2, value, N, 4, 500, 1, NULL),
                     RUNG_OK);
    assert_true(o.acc == 1.0 && o.n_bins == 4 && o.n_bin[0] == 50);
    NEAR(o.single_acc, .5, .1);
    assert_true(o.choice[0][0] == 0 && o.choice[1][3] == 1 && o.diff_ci.lo > .3);
    assert_int_equal(rung_compute_optimal(&o, &correct[0][0], 2, value, N, 0, 500, 1, NULL),
                     RUNG_OK);
    assert_true(o.n_bins == 3 && o.n_bin[0] == 100 && o.n_bin[1] == 80 && o.n_bin[2] == 20);
    for (int i = 0; i < N; i++) {
        rung_rng r = rung_rng_at(9, RUNG_STREAM_TEST, (uint64_t)i, 0);
        for (int k = 0; k < 2; k++) correct[k][i] = rung_rng_f64(&r) < .5;
    }
    assert_int_equal(rung_compute_optimal(&o, &correct[0][0], 2, value, N, 5, 500, 1, NULL),
                     RUNG_OK);
    assert_true(o.diff_ci.lo < 0.0 && o.diff_ci.hi > 0.0); /* noise is not a gain */
    assert_int_equal(rung_compute_optimal(&o, &correct[0][0], 2, value, 1, 5, 500, 1, NULL),
                     RUNG_E_INVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bca_vector),        cmocka_unit_test(degenerate),
        cmocka_unit_test(clusters),          cmocka_unit_test(strata),
        cmocka_unit_test(bca_covers_skewed), cmocka_unit_test(compute_optimal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
