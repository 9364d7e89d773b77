/* Estimators against brute force; intervals and tests against simulation with known truth. */
#include "rung/rng.h"
#include "rung/stat.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define NEAR(a, b, tol) assert_true(fabs((a) - (b)) <= (tol))
#define N               8

/* Mean over all k-subsets of N items of the best item's correctness, ties averaged; score NULL:
 * whether any is correct. */
static double brute(const double *score, const bool *correct, int k) {
    double sum = 0.0;
    int n_subsets = 0;
    for (unsigned set = 0; set < 1u << N; set++) {
        if (__builtin_popcount(set) != k) continue;
        double best = -INFINITY, n_best = 0, n_right = 0;
        for (int i = 0; i < N; i++) {
            if (!(set >> i & 1u)) continue;
            double s = score ? score[i] : correct[i];
            if (s > best) {
                best = s;
                n_best = n_right = 0;
            }
            if (s == best) {
                n_best++;
                n_right += correct[i];
            }
        }
        sum += n_right / n_best;
        n_subsets++;
    }
    return sum / n_subsets;
}

static void pass_at_k(void **ud) {
    (void)ud;
    for (int c = 0; c <= N; c++) {
        bool correct[N];
        for (int i = 0; i < N; i++) correct[i] = i < c;
        for (int k = 1; k <= N; k++) NEAR(rung_pass_at_k(N, c, k), brute(NULL, correct, k), 1e-12);
    }
    assert_true(rung_pass_at_k(10, 6, 5) == 1.0);
    assert_true(rung_pass_at_k(10, 0, 5) == 0.0);
    assert_true(isnan(rung_pass_at_k(4, 1, 5)));
    assert_true(isnan(rung_pass_at_k(4, 5, 1)));
    /* large n: c/n at k = 1, the limit 1 - (1-p)^k, and both branches of the product */
    NEAR(rung_pass_at_k(1000000000, 1000, 1), 1e-6, 1e-15);
    NEAR(rung_pass_at_k(1000000000, 10000000, 100), 1.0 - pow(0.99, 100), 1e-6);
    NEAR(rung_pass_at_k(1000000000, 2000000, 1500000), 1.0, 1e-9);
    NEAR(rung_pass_at_k(4000000000, 1100000, 1100000), rung_pass_at_k(4000000000, 1100001, 1100000),
         1e-6);
}

static void bon_at_k(void **ud) {
    (void)ud;
    for (uint64_t trial = 0; trial < 200; trial++) {
        rung_rng r = rung_rng_at(1, RUNG_STREAM_TEST, trial, 0);
        uint64_t levels = 1 + trial % 9; /* 1 level: all tied; 9: few ties */
        double score[N];
        bool correct[N];
        for (int i = 0; i < N; i++) {
            score[i] = (double)rung_rng_below(&r, levels) / 10.0;
            correct[i] = rung_rng_below(&r, 2);
        }
        for (int k = 1; k <= N; k++)
            NEAR(rung_bon_at_k(score, correct, N, k), brute(score, correct, k), 1e-12);
    }
}

static void bon_edges(void **ud) {
    (void)ud;
    const double score[] = {NAN, 0.1, 0.9};
    const bool correct[] = {true, false, true};
    NEAR(rung_bon_at_k(score, correct, 3, 3), 1.0, 1e-15);
    NEAR(rung_bon_at_k(score, correct, 3, 1), 2.0 / 3.0, 1e-15);
    /* subsets {NaN,.1} wrong, {NaN,.9} right, {.1,.9} right */
    NEAR(rung_bon_at_k(score, correct, 3, 2), 2.0 / 3.0, 1e-15);
    assert_true(isnan(rung_bon_at_k(score, correct, 3, 4)));
    /* a score that equals correctness makes best-of-k the same as pass@k (search.md 0.7a) */
    double s[40];
    bool c[40];
    for (int i = 0; i < 40; i++) s[i] = c[i] = i % 5 == 0;
    for (int k = 1; k <= 40; k++) NEAR(rung_bon_at_k(s, c, 40, k), rung_pass_at_k(40, 8, k), 1e-12);
    /* a constant score is a random choice */
    for (int i = 0; i < 40; i++) s[i] = 0.5;
    for (int k = 1; k <= 40; k++) NEAR(rung_bon_at_k(s, c, 40, k), 0.2, 1e-12);
}

typedef struct data {
    const double *x, *y;
} data;

static double mean_of(void *ud, const uint32_t *index, int64_t n) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += ((data *)ud)->x[index[i]];
    return sum / (double)n;
}

static double auroc_of(void *ud, const uint32_t *index, int64_t n) {
    double x[64], y[64];
    for (int64_t i = 0; i < n; i++) {
        x[i] = ((data *)ud)->x[index[i]];
        y[i] = ((data *)ud)->y[index[i]];
    }
    return rung_auroc(x, y, n);
}

static void bootstrap_paired(void **ud) {
    (void)ud;
    double x[30][3], one[30];
    for (int i = 0; i < 30; i++) {
        rung_rng r = rung_rng_at(3, RUNG_STREAM_TEST, (uint64_t)i, 1);
        x[i][0] = rung_rng_f64(&r);
        x[i][1] = rung_rng_f64(&r);
        x[i][2] = x[i][0] - x[i][0]; /* a difference of equals: exactly [0, 0] */
        one[i] = x[i][1];
    }
    rung_interval ci[3];
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_bootstrap_means(ci, &x[0][0], 30, 3, 500, .95, 9, &err), RUNG_OK);
    rung_interval alone = rung_bootstrap_mean(one, 30, 500, .95, 9);
    data d = {one, NULL};
    rung_interval any = rung_bootstrap(mean_of, &d, 30, 500, .95, 9);
    assert_true(ci[1].lo == alone.lo && ci[1].hi == alone.hi);
    NEAR(any.lo, alone.lo, 1e-12);
    NEAR(any.hi, alone.hi, 1e-12);
    assert_true(ci[2].lo == 0.0 && ci[2].hi == 0.0);
    assert_true(ci[0].lo < ci[0].hi);
    rung_interval other = rung_bootstrap_mean(one, 30, 500, .95, 10);
    assert_true(other.lo != alone.lo);
    assert_true(isnan(rung_bootstrap_mean(one, 0, 500, .95, 9).lo));
    assert_int_equal(rung_bootstrap_means(ci, &x[0][0], 30, 3, 1, .95, 9, &err), RUNG_E_INVAL);
    /* the statistic is undefined in most resamples: so is the interval */
    const double flat[3] = {1, 2, 3}, y[3] = {0, 0, 0};
    d = (data){flat, y};
    assert_true(isnan(rung_bootstrap(auroc_of, &d, 3, 200, .95, 1).lo));
}

/* Share of simulated 95% intervals that hold the true mean: near .95, a little below at n = 40. */
static void bootstrap_covers_mean(void **ud) {
    (void)ud;
    int hits = 0;
    const int n_sim = 600;
    for (int s = 0; s < n_sim; s++) {
        rung_rng r = rung_rng_at(11, RUNG_STREAM_TEST, (uint64_t)s, 2);
        double x[40];
        for (int i = 0; i < 40; i++) x[i] = rung_rng_f64(&r) < 0.4 ? 1.0 : 0.0;
        rung_interval ci = rung_bootstrap_mean(x, 40, 400, .95, (uint64_t)s);
        hits += ci.lo <= 0.4 && 0.4 <= ci.hi;
    }
    double share = (double)hits / n_sim;
    assert_true(share > .90 && share < .975);
}

/* AUROC at n = 60 (feedback.md 10.11): positives N(1,1), negatives N(0,1): truth Phi(1/sqrt 2). */
static void bootstrap_covers_auroc(void **ud) {
    (void)ud;
    const double truth = 0.5 * erfc(-1.0 / sqrt(2.0) / sqrt(2.0));
    int hits = 0;
    const int n_sim = 250;
    for (int s = 0; s < n_sim; s++) {
        rung_rng r = rung_rng_at(12, RUNG_STREAM_TEST, (uint64_t)s, 3);
        double x[60], y[60];
        for (int i = 0; i < 60; i++) {
            y[i] = i % 2;
            x[i] = rung_rng_normal(&r) + y[i];
        }
        data d = {x, y};
        rung_interval ci = rung_bootstrap(auroc_of, &d, 60, 200, .95, (uint64_t)s);
        hits += ci.lo <= truth && truth <= ci.hi;
    }
    double share = (double)hits / n_sim;
    assert_true(share >= .90 && share <= .98);
}

/* No difference between two systems: how often does a test say there is one at .05? */
static void type_one_error(void **ud) {
    (void)ud;
    int n_mcnemar = 0, n_permutation = 0;
    const int n_sim = 2000;
    for (int s = 0; s < n_sim; s++) {
        rung_rng r = rung_rng_at(13, RUNG_STREAM_TEST, (uint64_t)s, 4);
        int64_t b = 0, c = 0;
        double d[50];
        for (int i = 0; i < 50; i++) {
            bool one = rung_rng_f64(&r) < .6, two = rung_rng_f64(&r) < .6;
            b += one && !two;
            c += two && !one;
            d[i] = rung_rng_normal(&r);
        }
        n_mcnemar += rung_mcnemar_test(b, c).p_exact <= .05;
        n_permutation += rung_permutation_paired(d, 50, 99, (uint64_t)s) <= .05;
    }
    assert_true((double)n_mcnemar / n_sim <= .05);
    assert_true((double)n_mcnemar / n_sim > .01); /* conservative, but not blind */
    NEAR((double)n_permutation / n_sim, .05, .015);
}

/* 20 true nulls: Holm keeps the chance of any rejection at .05, plain p does not. */
static void family_wise(void **ud) {
    (void)ud;
    int any_holm = 0, any_plain = 0;
    const int n_sim = 2000;
    for (int s = 0; s < n_sim; s++) {
        rung_rng r = rung_rng_at(14, RUNG_STREAM_TEST, (uint64_t)s, 5);
        double p[20], adjusted[20];
        for (int i = 0; i < 20; i++) p[i] = rung_rng_f64(&r);
        rung_holm(adjusted, p, 20);
        bool holm = false, plain = false;
        for (int i = 0; i < 20; i++) {
            holm |= adjusted[i] <= .05;
            plain |= p[i] <= .05;
        }
        any_holm += holm;
        any_plain += plain;
    }
    assert_true((double)any_holm / n_sim <= .06);
    assert_true((double)any_plain / n_sim > .5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pass_at_k),
        cmocka_unit_test(bon_at_k),
        cmocka_unit_test(bon_edges),
        cmocka_unit_test(bootstrap_paired),
        cmocka_unit_test(bootstrap_covers_mean),
        cmocka_unit_test(bootstrap_covers_auroc),
        cmocka_unit_test(type_one_error),
        cmocka_unit_test(family_wise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
