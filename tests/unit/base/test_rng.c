/* Philox 4x32-10 against the published vectors; the draws made of it against their distributions.
 * Every statistic below is a fixed number (fixed seed), so a bound of 4.9 standard deviations (one
 * side of normal: p < 1e-6) is a check of the code, not a lottery. */
#include "rung/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Random123, kat_vectors, lines "philox4x32 10". */
static void philox_known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t ctr[4], key[2], out[4];
    } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof kat / sizeof kat[0]; i++) {
        uint32_t out[4];
        rung_philox4x32(out, kat[i].ctr, kat[i].key);
        assert_memory_equal(out, kat[i].out, sizeof out);
    }
}

/* Stored runs depend on these: a change of the address scheme must be seen here. */
static void addresses_are_pinned(void **state) {
    (void)state;
    rung_rng r = rung_rng_at(42, RUNG_STREAM_TEST, 7, 3);
    assert_true(rung_rng_u64_at(&r, 0) == UINT64_C(0xcdb023ecc6fe28f4));
    assert_true(rung_rng_u64_at(&r, UINT64_C(1) << 40) == UINT64_C(0xa9f3b564f3458e34));
}

static void addresses_do_not_collide(void **state) {
    (void)state;
    uint64_t seen[2000];
    size_t n = 0;
    for (uint64_t seed = 0; seed < 3; seed++)
        for (int stream = 1; stream < 4; stream++)
            for (uint64_t p = 0; p < 4; p++)
                for (uint64_t k = 0; k < 4; k++)
                    for (uint64_t d = 0; d < 3; d++) {
                        /* also with high halves, which go to the key */
                        uint64_t hp = p >= 2 ? p << 32 : p, hk = k >= 2 ? k << 33 : k;
                        rung_rng r = rung_rng_at(seed, (rung_stream)stream, hp, hk);
                        seen[n++] = rung_rng_u64_at(&r, d);
                    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) assert_true(seen[i] != seen[j]);
}

static void sequence_is_the_addressed_draws(void **state) {
    (void)state;
    rung_rng r = rung_rng_at(1, RUNG_STREAM_TEST, 2, 3), copy = r;
    for (uint64_t i = 0; i < 100; i++) {
        double x = rung_rng_f64(&r);
        assert_true(x >= 0.0 && x < 1.0);
        assert_true(x == rung_rng_f64_at(&copy, i));
    }
    (void)rung_rng_normal(&r);
    assert_int_equal(r.next, 102); /* always two draws */
}

static void f64_is_uniform(void **state) {
    (void)state;
    enum { N = 200000, BINS = 64 };
    rung_rng r = rung_rng_at(5, RUNG_STREAM_TEST, 0, 0);
    int count[BINS] = {0};
    double sum = 0.0;
    for (int i = 0; i < N; i++) {
        double x = rung_rng_f64(&r);
        sum += x;
        count[(int)(x * BINS)]++;
    }
    assert_true(fabs(sum / N - 0.5) < 4.9 * sqrt(1.0 / 12.0 / N));
    double chi = 0.0, want = (double)N / BINS;
    for (int i = 0; i < BINS; i++) chi += (count[i] - want) * (count[i] - want) / want;
    double dof = BINS - 1;
    assert_true(fabs(chi - dof) < 4.9 * sqrt(2.0 * dof));
}

static void below_is_uniform_and_in_range(void **state) {
    (void)state;
    enum { N = 120000 };
    static const uint64_t sizes[] = {1, 2, 3, 6, 10, 37, 100};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        uint64_t n = sizes[s];
        int count[100] = {0};
        rung_rng r = rung_rng_at(6, RUNG_STREAM_TEST, n, 0);
        for (int i = 0; i < N; i++) {
            uint64_t x = rung_rng_below(&r, n);
            assert_true(x < n);
            count[x]++;
        }
        double chi = 0.0, want = (double)N / (double)n, dof = (double)(n - 1);
        for (uint64_t i = 0; i < n; i++) chi += (count[i] - want) * (count[i] - want) / want;
        assert_true(fabs(chi - dof) <= 4.9 * sqrt(2.0 * dof));
    }
}

/* n = 3 * 2^62: without rejection the lowest third would come twice as often (2^64 mod n = 2^62).
 */
static void below_has_no_modulo_bias(void **state) {
    (void)state;
    enum { N = 60000 };
    uint64_t n = UINT64_C(3) << 62;
    rung_rng r = rung_rng_at(7, RUNG_STREAM_TEST, 0, 0);
    int third[3] = {0};
    for (int i = 0; i < N; i++) third[rung_rng_below(&r, n) >> 62]++;
    double chi = 0.0, want = N / 3.0;
    for (int i = 0; i < 3; i++) chi += (third[i] - want) * (third[i] - want) / want;
    assert_true(chi < 2.0 + 4.9 * 2.0);
    assert_true(r.next > N); /* a quarter of the draws was rejected */
}

static void between_is_inclusive(void **state) {
    (void)state;
    rung_rng r = rung_rng_at(8, RUNG_STREAM_TEST, 0, 0);
    bool seen[5] = {false};
    for (int i = 0; i < 200; i++) {
        int64_t x = rung_rng_between(&r, -2, 2);
        assert_true(x >= -2 && x <= 2);
        seen[x + 2] = true;
    }
    for (int i = 0; i < 5; i++) assert_true(seen[i]);
    assert_true(rung_rng_between(&r, 4, 4) == 4);
    int neg = 0;
    for (int i = 0; i < 200; i++) neg += rung_rng_between(&r, INT64_MIN, INT64_MAX) < 0;
    assert_true(neg > 60 && neg < 140);
}

static void normal_has_its_moments(void **state) {
    (void)state;
    enum { N = 200000 };
    rung_rng r = rung_rng_at(9, RUNG_STREAM_TEST, 0, 0);
    double m1 = 0.0, m2 = 0.0, m3 = 0.0, m4 = 0.0;
    int in1 = 0;
    for (int i = 0; i < N; i++) {
        double x = rung_rng_normal(&r);
        assert_true(isfinite(x));
        m1 += x;
        m2 += x * x;
        m3 += x * x * x;
        m4 += x * x * x * x;
        in1 += fabs(x) < 1.0;
    }
    double root = sqrt((double)N); /* variances of the moments: 1, 2, 15, 96 */
    assert_true(fabs(m1 / N) < 4.9 * 1.0 / root);
    assert_true(fabs(m2 / N - 1.0) < 4.9 * sqrt(2.0) / root);
    assert_true(fabs(m3 / N) < 4.9 * sqrt(15.0) / root);
    assert_true(fabs(m4 / N - 3.0) < 4.9 * sqrt(96.0) / root);
    assert_true(fabs((double)in1 / N - 0.682689492137) < 4.9 * 0.4654 / root);
}

static void shuffle_is_a_fair_permutation(void **state) {
    (void)state;
    enum { N = 24000 };
    int count[24] = {0};
    rung_rng r = rung_rng_at(10, RUNG_STREAM_TEST, 0, 0);
    for (int i = 0; i < N; i++) {
        uint32_t v[4] = {0, 1, 2, 3};
        rung_rng_shuffle(&r, v, 4);
        uint32_t mask = 0, code = 0;
        for (uint32_t a = 0; a < 4; a++) {
            mask |= 1u << v[a];
            uint32_t smaller = 0; /* Lehmer code */
            for (uint32_t b = a + 1; b < 4; b++) smaller += v[b] < v[a];
            code = code * (4 - a) + smaller;
        }
        assert_int_equal(mask, 15);
        count[code]++;
    }
    double chi = 0.0;
    for (int i = 0; i < 24; i++) chi += (count[i] - 1000.0) * (count[i] - 1000.0) / 1000.0;
    assert_true(fabs(chi - 23.0) < 4.9 * sqrt(46.0));
    uint32_t one = 5;
    rung_rng_shuffle(&r, &one, 1);
    rung_rng_shuffle(&r, &one, 0);
    assert_int_equal(one, 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(addresses_are_pinned),
        cmocka_unit_test(addresses_do_not_collide),
        cmocka_unit_test(sequence_is_the_addressed_draws),
        cmocka_unit_test(f64_is_uniform),
        cmocka_unit_test(below_is_uniform_and_in_range),
        cmocka_unit_test(below_has_no_modulo_bias),
        cmocka_unit_test(between_is_inclusive),
        cmocka_unit_test(normal_has_its_moments),
        cmocka_unit_test(shuffle_is_a_fair_permutation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
