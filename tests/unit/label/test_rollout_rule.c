/* The rules that stop rollouts, against brute force over every sequence of outcomes, and against a
 * fixed K by simulation. */
#include "label/rollout_rule.h"
#include "rung/rng.h"
#include "rung/stat.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Outcomes of a sequence: bit i of right, bit i of unknown. Where it stops; the label there. */
static int32_t walk(const rollout_rule *r, uint32_t right, uint32_t unknown, int32_t *hard) {
    int32_t m = 0;
    for (;;) {
        m = rollout_rule_next(r, m);
        int32_t c = 0, wrong = 0;
        for (int32_t i = 0; i < m; i++) {
            if (unknown >> i & 1) continue;
            c += right >> i & 1;
            wrong += !(right >> i & 1);
        }
        *hard = rollout_rule_hard(r, c, wrong);
        if (rollout_rule_settled(r, m, c, wrong)) return m;
    }
}

static void looks(void **state) {
    (void)state;
    rollout_rule r = {.stopping = RUNG_STOPPING_EXACT, .k = 12};
    const int32_t want[] = {1, 2, 4, 8, 12};
    for (int32_t i = 0, m = 0; i < 5; i++) assert_int_equal(m = rollout_rule_next(&r, m), want[i]);
    r.stopping = RUNG_STOPPING_FIXED;
    assert_int_equal(rollout_rule_next(&r, 0), 12);
}

/* The exact rule: in each of the 3^K sequences (right, wrong, unknown) the label is that of all K,
 * and it never stops later than it could. */
static void exact_is_exact(void **state) {
    (void)state;
    const double thetas[] = {0, .25, .5, .8};
    for (int k = 1; k <= 7; k++)
        for (int t = 0; t < 4; t++) {
            rollout_rule exact = {RUNG_STOPPING_EXACT, k, thetas[t], .95, 0, .3}, fixed = exact;
            fixed.stopping = RUNG_STOPPING_FIXED;
            int saved = 0;
            for (uint32_t u = 0; u < 1u << k; u++)
                for (uint32_t x = 0; x < 1u << k; x++) {
                    int32_t a, b, n = walk(&exact, x, u, &a);
                    assert_int_equal(walk(&fixed, x, u, &b), k);
                    assert_int_equal(a, b);
                    saved += k - n;
                }
            assert_true(k < 3 || saved > 0);
        }
    /* by hand: theta = 0, one success settles; theta = .5 of 8 known: 4 failures do */
    rollout_rule r = {RUNG_STOPPING_EXACT, 8, 0, .95, 0, .3};
    assert_true(rollout_rule_settled(&r, 1, 1, 0) && !rollout_rule_settled(&r, 7, 0, 7));
    r.theta = .5;
    assert_true(rollout_rule_settled(&r, 4, 0, 4) && !rollout_rule_settled(&r, 4, 4, 0));
    assert_true(rollout_rule_settled(&r, 5, 5, 0) && !rollout_rule_settled(&r, 4, 0, 3));
}

/* Coins on both sides of theta = .5: the bound names the wrong side in less than 5% of sequences,
 * and asks for less than half of K = 128. */
static void bound_keeps_its_level(void **state) {
    (void)state;
    rollout_rule r = {RUNG_STOPPING_CONFIDENCE, 128, .5, .95, 0, .3};
    const double ps[] = {.2, .35, .7, .9};
    int n_all = 0;
    for (int k = 0; k < 4; k++) {
        int n_wrong = 0, n_used = 0;
        for (uint64_t s = 0; s < 1000; s++) {
            rung_rng g = rung_rng_at(2, RUNG_STREAM_TEST, s, (uint64_t)k);
            int32_t m = 0, c = 0;
            do {
                for (int32_t next = rollout_rule_next(&r, m); m < next; m++)
                    c += rung_rng_f64(&g) < ps[k];
            } while (!rollout_rule_settled(&r, m, c, m - c));
            n_wrong += rollout_rule_hard(&r, c, m - c) != (ps[k] > .5);
            n_used += m;
        }
        assert_true(n_wrong <= 50);
        n_all += n_used;
    }
    assert_true(n_all < 4 * 1000 * 64);
}

static void margin_and_width(void **state) {
    (void)state;
    /* none of 8: the bound is below .439, see test_stat_stopping */
    rollout_rule r = {RUNG_STOPPING_CONFIDENCE, 32, 0, .95, .45, .3};
    assert_true(rollout_rule_settled(&r, 8, 0, 8));
    r.margin = .43;
    assert_false(rollout_rule_settled(&r, 8, 0, 8));
    r.stopping = RUNG_STOPPING_WIDTH;
    rung_interval set = rung_confseq_bernoulli(3, 16, .95);
    r.width = set.hi - set.lo + .001;
    assert_true(rollout_rule_settled(&r, 16, 3, 13));
    r.width -= .002;
    assert_false(rollout_rule_settled(&r, 16, 3, 13));
    assert_true(rollout_rule_settled(&r, 32, 3, 29));
}

/* Doubt by hand, theta = 0: after m failures of K, the chance of any success in the rest. */
static void doubt(void **state) {
    (void)state;
    rollout_rule r = {RUNG_STOPPING_EXACT, 8, 0, .95, 0, .3};
    double none = 1;
    for (int i = 0; i < 4; i++) none *= (4.5 + i) / (5 + i); /* 4 more failures after 4 */
    assert_true(fabs(rollout_rule_doubt(&r, 4, 0, 4) - (1 - none)) < 1e-12);
    assert_true(rollout_rule_doubt(&r, 4, 1, 3) == 0.0); /* nothing can change it */
    assert_true(rollout_rule_doubt(&r, 8, 0, 8) == 0.0);
    r.theta = .5;
    assert_true(rollout_rule_doubt(&r, 4, 2, 2) > rollout_rule_doubt(&r, 4, 3, 1));
    for (int m = 0; m < 8; m++)
        for (int c = 0; c <= m; c++) {
            double d = rollout_rule_doubt(&r, m, c, m - c);
            assert_true(d >= 0.0 && d <= .5);
            if (rollout_rule_settled(&r, m, c, m - c) && m > 0) assert_true(d < 1e-12);
        }
}

/* Progress, exact: with every continuation of two prefixes the label is that of all K. */
static void progress_exactly(void **state) {
    (void)state;
    enum { K = 6 };
    for (int mode = 0; mode < 3; mode++) {
        progress_rule r = progress_rule_of(RUNG_STOPPING_EXACT, mode == 1, 0, 0, 0);
        int saved = 0;
        for (uint32_t x = 0; x < 1u << K; x++)
            for (uint32_t y = 0; y < 1u << K; y++) {
                progress_counts a = {0}, b = {0}, all = {0}, all2 = {0};
                int32_t m = 0;
                double soft;
                a.is_sure = all.is_sure = mode == 2;
                for (int32_t i = 0; i < K; i++) {
                    *(x >> i & 1 ? &all.c : &all.wrong) += 1;
                    *(y >> i & 1 ? &all2.c : &all2.wrong) += 1;
                }
                if (mode == 2) all.c = x & 1, all.wrong = !(x & 1);
                do {
                    for (int32_t next = progress_next(&r, m, K); m < next; m++) {
                        *(x >> m & 1 ? &a.c : &a.wrong) += 1;
                        *(y >> m & 1 ? &b.c : &b.wrong) += 1;
                    }
                    if (mode == 2) a.c = x & 1, a.wrong = !(x & 1);
                } while (!progress_settled(&r, m, K, a, b));
                assert_int_equal(progress_hard(&soft, &r, a, b),
                                 progress_hard(&soft, &r, all, all2));
                saved += K - m;
            }
        assert_true(saved > 0);
    }
}

/* Progress with a bound: the lines by hand, and a step far from them settles early. */
static void progress_by_bound(void **state) {
    (void)state;
    progress_rule r = progress_rule_of(RUNG_STOPPING_CONFIDENCE, false, 0, 0, 0);
    assert_true(fabs(r.eps - .8) < 1e-12 && fabs(r.gain[0] - .3) < 1e-12 && r.gain[1] == 1.0 &&
                r.level == .8);
    r = progress_rule_of(RUNG_STOPPING_CONFIDENCE, false, 0, 0, .4);
    progress_counts all = {4, 0, false}, none = {0, 4, false}, half = {2, 2, false};
    /* e-values 2.92 and 19.1 (test_stat_stopping) against 1 / (1 - level) */
    r.level = .65;
    assert_true(progress_settled(&r, 4, 64, all, all));
    r.level = .66;
    assert_false(progress_settled(&r, 4, 64, all, all));
    assert_true(progress_settled(&r, 4, 64, none, all));
    r.level = .95;
    assert_false(progress_settled(&r, 4, 64, none, all));
    assert_false(progress_settled(&r, 4, 64, half, half));
    assert_true(progress_settled(&r, 64, 64, half, half));
    r = progress_rule_of(RUNG_STOPPING_CONFIDENCE, true, .3, 0, .2);
    assert_true(fabs(r.loss[0] - .5) < 1e-12 && r.loss[1] == 0.0 && r.gain[0] == 1.0);
    r = progress_rule_of(RUNG_STOPPING_FIXED, false, .5, .9, .1);
    assert_true(fabs(r.gain[0] - .4) < 1e-12 && !progress_settled(&r, 4, 64, none, all));
    const int32_t want[] = {4, 6, 8, 10, 13, 17, 22, 29, 38, 50, 64};
    r.stopping = RUNG_STOPPING_CONFIDENCE;
    for (int32_t i = 0, m = 0; i < 11; i++) assert_int_equal(m = progress_next(&r, m, 64), want[i]);
}

static void names(void **state) {
    (void)state;
    rung_stopping s;
    for (int i = 0; i < RUNG_STOPPING_COUNT; i++) {
        assert_true(rung_stopping_find(&s, rung_stopping_name((rung_stopping)i)));
        assert_int_equal(s, i);
        assert_true(strlen(rung_stopping_help(s)) > 4);
    }
    assert_null(rung_stopping_name(RUNG_STOPPING_COUNT));
    assert_false(rung_stopping_find(&s, "never"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks),
        cmocka_unit_test(exact_is_exact),
        cmocka_unit_test(bound_keeps_its_level),
        cmocka_unit_test(margin_and_width),
        cmocka_unit_test(doubt),
        cmocka_unit_test(progress_exactly),
        cmocka_unit_test(progress_by_bound),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
