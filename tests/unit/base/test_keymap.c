/* The table of keys: what was put is found, what was not is not, through many growths. */
#include "base/keymap.h"
#include "rung/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void numbers(void **state) {
    (void)state;
    keymap m = {0};
    assert_int_equal(keymap_get(&m, 7), 0);
    for (uint64_t k = 0; k < 20000; k++) { /* 0 is a key as any other */
        int64_t *v = keymap_at(&m, k << 32);
        assert_non_null(v);
        assert_int_equal(*v, 0);
        *v = (int64_t)k + 1;
    }
    assert_int_equal(m.n, 20000);
    for (uint64_t k = 0; k < 20000; k++) {
        assert_int_equal(keymap_get(&m, k << 32), k + 1);
        assert_int_equal(*keymap_at(&m, k << 32), k + 1);
        assert_int_equal(keymap_get(&m, (k << 32) + 1), 0);
    }
    assert_int_equal(m.n, 20000);
    keymap_clear(&m);
    assert_int_equal(keymap_get(&m, 0), 0);
}

static void counts(void **state) {
    (void)state;
    keymap m = {0};
    int64_t want[50] = {0};
    rung_rng r = rung_rng_at(3, RUNG_STREAM_TEST, 0, 0);
    for (int i = 0; i < 5000; i++) {
        uint64_t k = rung_rng_below(&r, 50);
        want[k]++;
        ++*keymap_at(&m, k * 0x123456789u);
    }
    for (uint64_t k = 0; k < 50; k++) assert_int_equal(keymap_get(&m, k * 0x123456789u), want[k]);
    keymap_clear(&m);
}

static void no_memory(void **state) {
    (void)state;
    keymap m = {0};
    *keymap_at(&m, 1) = 5;
    for (uint64_t k = 2; k < 512; k++) *keymap_at(&m, k) = 1;
    for (int nth = 1; nth <= 2; nth++) { /* either half of the wider table */
        rung_alloc_fail_after(nth);
        int64_t *v = keymap_at(&m, 512);
        if (v) *v = 1; /* room was left */
        v = keymap_at(&m, 513);
        rung_alloc_fail_after(0);
        assert_null(v);
        assert_int_equal(keymap_get(&m, 1), 5);
    }
    *keymap_at(&m, 513) = 9;
    assert_int_equal(keymap_get(&m, 513), 9);
    keymap_clear(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(numbers), cmocka_unit_test(counts),
                                       cmocka_unit_test(no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
