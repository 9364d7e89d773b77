/* The trie's size by hand and against a set of prefixes; refusals. */
#include "bench/load.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PROMPT(...)                                                                                \
    {                                                                                              \
        .tok = (const int32_t[]){__VA_ARGS__},                                                     \
        .n_tok = (int32_t)(sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t))                     \
    }

/* 1 2 3 and 1 2 4 share two, 1 2 adds none, 5 shares nothing, a repeat adds none. */
static void union_by_hand(void **state) {
    (void)state;
    load_prompt p[] = {PROMPT(1, 2, 4), PROMPT(5), PROMPT(1, 2), PROMPT(1, 2, 3), PROMPT(5)};
    assert_int_equal(rung_load_union(p, 5), 5);
    assert_int_equal(rung_load_union(p, 1), 2); /* sorted now: 1 2 comes first */
    assert_int_equal(rung_load_union(NULL, 0), 0);
    load_prompt nested[] = {PROMPT(7), PROMPT(7, 7), PROMPT(7, 7, 7), PROMPT(7, 7, 7, 7)};
    assert_int_equal(rung_load_union(nested, 4), 4);
}

/* Distinct prefixes counted one by one, without order or neighbours. */
static int64_t slow_union(const load_prompt *p, int n) {
    int64_t sum = 0;
    for (int k = 0; k < n; k++) {
        for (int32_t len = 1; len <= p[k].n_tok; len++) {
            bool seen = false;
            for (int j = 0; j < k && !seen; j++) {
                seen = p[j].n_tok >= len &&
                       memcmp(p[j].tok, p[k].tok, (size_t)len * sizeof *p[k].tok) == 0;
            }
            sum += !seen;
        }
    }
    return sum;
}

static void union_of_random_lists(void **state) {
    (void)state;
    rung_rng r = rung_rng_at(5, RUNG_STREAM_TEST, 0, 0);
    for (int round = 0; round < 300; round++) {
        int32_t tok[24][8];
        load_prompt p[24] = {0};
        int n = (int)rung_rng_between(&r, 1, 24);
        for (int k = 0; k < n; k++) {
            p[k].n_tok = (int32_t)rung_rng_between(&r, 1, 8);
            p[k].tok = tok[k];
            for (int32_t i = 0; i < p[k].n_tok; i++)
                tok[k][i] = (int32_t)rung_rng_between(&r, 0, 2);
        }
        int64_t want = slow_union(p, n);
        assert_int_equal(rung_load_union(p, n), want);
    }
}

static void another_size_is_refused(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_load_opts l = RUNG_LOAD_OPTS_INIT;
    rung_decode_opts d = RUNG_DECODE_OPTS_INIT;
    rung_buf b;
    rung_buf_init(&b, 0);
    l.struct_size--;
    assert_int_equal(rung_bench_rollouts(&b, NULL, NULL, &l, &err), RUNG_E_INVAL);
    assert_int_equal(rung_bench_score(&b, NULL, NULL, &l, &err), RUNG_E_INVAL);
    assert_int_equal(rung_bench_decode(&b, NULL, &d, &err), RUNG_E_INVAL); /* no points */
    int32_t none = 0;
    d.n_seq = &none;
    d.n_points = 1;
    assert_int_equal(rung_bench_decode(&b, NULL, &d, &err), RUNG_E_INVAL);
    assert_int_equal(b.n, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(union_by_hand),
        cmocka_unit_test(union_of_random_lists),
        cmocka_unit_test(another_size_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
