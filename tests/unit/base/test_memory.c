/* Allocation hook, arena, capped buffers, UTF-8, hashes. */
#include "base/grow.h"
#include "base/utf8.h"
#include "rung/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void hook_fails_the_nth_and_all_later(void **state) {
    (void)state;
    rung_alloc_fail_after(3);
    void *a = rung_alloc(8), *b = rung_calloc(2, 4);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(rung_alloc(8));
    assert_null(rung_realloc(a, 64)); /* a stays valid */
    assert_null(rung_strdup("x"));
    rung_alloc_fail_after(0);
    void *c = rung_alloc(0); /* zero bytes is still an address of one's own */
    assert_non_null(c);
    rung_free(a);
    rung_free(b);
    rung_free(c);
    rung_free(NULL);
    assert_null(rung_calloc(SIZE_MAX / 2, 3));
    assert_null(rung_strndup("x", SIZE_MAX));
    assert_null(rung_strdup(NULL));
}

/* All or the old room: when the second array cannot grow, both still hold what they held. */
static void arrays_grow_together(void **state) {
    (void)state;
    double *a = NULL;
    char *b = NULL;
    int64_t cap = 0;
    const grow_array both[] = {GROW_ARRAY(a), GROW_ARRAY(b)};
    assert_true(grow_arrays(&cap, 1, both, 2));
    assert_int_equal(cap, 256);
    for (int i = 0; i < 256; i++) a[i] = i, b[i] = (char)i;
    assert_true(grow_arrays(&cap, 256, both, 2));
    assert_int_equal(cap, 256);
    assert_true(grow_arrays(&cap, 257, both, 2));
    assert_int_equal(cap, 512);
    rung_alloc_fail_after(2);
    assert_false(grow_arrays(&cap, 513, both, 2));
    rung_alloc_fail_after(0);
    assert_int_equal(cap, 512);
    assert_false(grow_arrays(&cap, INT64_MAX, both, 2));
    assert_true(grow_arrays(&cap, 5000, both, 2));
    assert_int_equal(cap, 5000);
    for (int i = 0; i < 256; i++) assert_true(a[i] == i && b[i] == (char)i);
    rung_free(a);
    rung_free(b);
}

static void arena_gives_zeroed_aligned_separate_memory(void **state) {
    (void)state;
    rung_arena *a = rung_arena_new(0);
    unsigned char *seen[200];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 200; i++) {
            size_t n = i * 37 % 501;
            unsigned char *p = rung_arena_alloc(a, n);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % 16, 0);
            for (size_t k = 0; k < n; k++) assert_int_equal(p[k], 0);
            memset(p, (int)i, n);
            seen[i] = p;
        }
        for (size_t i = 0; i < 200; i++)
            for (size_t k = 0; k < i * 37 % 501; k++) assert_int_equal(seen[i][k], (int)i);
        assert_non_null(rung_arena_alloc(a, 3 << 20)); /* larger than a block */
        rung_arena_reset(a);
    }
    char *s = rung_arena_strndup(a, "hello", 4);
    assert_string_equal(s, "hell");
    rung_arena_free(a);
    rung_arena_free(NULL);
}

static void arena_keeps_its_cap(void **state) {
    (void)state;
    rung_arena *a = rung_arena_new(1000);
    assert_null(rung_arena_alloc(a, 1001));
    assert_non_null(rung_arena_alloc(a, 900));
    assert_null(rung_arena_alloc(a, 101));
    assert_non_null(rung_arena_alloc(a, 100));
    rung_arena_reset(a);
    assert_non_null(rung_arena_alloc(a, 1000));
    assert_null(rung_arena_alloc(a, SIZE_MAX));
    rung_arena_free(a);
    rung_alloc_fail_after(1);
    assert_null(rung_arena_new(0));
    rung_alloc_fail_after(0);
}

static void buf_appends_and_takes(void **state) {
    (void)state;
    rung_buf b;
    rung_buf_init(&b, 0);
    for (int i = 0; i < 1000; i++) rung_buf_printf(&b, "%d,", i);
    assert_int_equal(b.n, 10 * 2 + 90 * 3 + 900 * 4);
    assert_int_equal(b.data[b.n], 0);
    char big[600];
    memset(big, 'y', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    rung_buf_reset(&b);
    rung_buf_printf(&b, "%s|%s", big, big); /* longer than the small path */
    assert_int_equal(b.n, 2 * 599 + 1);
    size_t n = 0;
    char *p = rung_buf_take(&b, &n);
    assert_int_equal(n, 1199);
    assert_int_equal(strlen(p), 1199);
    rung_free(p);
    assert_int_equal(b.n, 0);
    p = rung_buf_take(&b, &n); /* nothing is the empty string */
    assert_string_equal(p, "");
    assert_int_equal(n, 0);
    rung_free(p);
}

static void buf_fails_once_and_stays_failed(void **state) {
    (void)state;
    rung_error e = RUNG_ERROR_INIT;
    rung_buf b;
    rung_buf_init(&b, 10);
    rung_buf_str(&b, "0123456789"); /* exactly the cap */
    assert_int_equal(rung_buf_check(&b, &e), RUNG_OK);
    rung_buf_str(&b, "x");
    rung_buf_str(&b, "");
    assert_int_equal(b.n, 10);
    assert_int_equal(rung_buf_check(&b, &e), RUNG_E_LIMIT);
    assert_null(rung_buf_take(&b, NULL));
    rung_buf_str(&b, "ok again");
    assert_int_equal(rung_buf_check(&b, &e), RUNG_OK);
    rung_buf_clear(&b);
    rung_alloc_fail_after(1);
    rung_buf_str(&b, "x");
    rung_alloc_fail_after(0);
    assert_int_equal(rung_buf_check(&b, &e), RUNG_E_NOMEM);
    rung_buf_clear(&b);
}

static void json_of(rung_buf *b, const char *s, size_t n) {
    rung_buf_reset(b);
    rung_buf_json_str(b, s, n);
}

static void json_strings_are_escaped(void **state) {
    (void)state;
    rung_buf b;
    rung_buf_init(&b, 0);
    json_of(&b, "a\"b\\c\n\r\t\b\f\x01\x1f/\x7f", 14);
    assert_string_equal(b.data, "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001\\u001f/\x7f\"");
    json_of(&b, "a\0b", 3);
    assert_string_equal(b.data, "\"a\\u0000b\"");
    json_of(&b, "", 0);
    assert_string_equal(b.data, "\"\"");
    json_of(&b, "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9); /* valid: as it is */
    assert_string_equal(b.data, "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"");
    /* Unicode standard, table 3-8 (U+FFFD per maximal subpart): 61 F1 80 80 E1 80 C2 62 80 63 80 BF
     * 64 */
    json_of(&b, "\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64", 13);
    assert_string_equal(b.data, "\"a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
                                "b\xEF\xBF\xBD"
                                "c\xEF\xBF\xBD\xEF\xBF\xBD"
                                "d\"");
    rung_buf_clear(&b);
}

static void utf8_is_strict(void **state) {
    (void)state;
    static const struct {
        const char *s;
        size_t n, len, bad;
    } table[] = {{"a", 1, 1, 0},
                 {"\xC2\x80", 2, 2, 0},
                 {"\xC1\xBF", 2, 0, 1},     /* overlong */
                 {"\xE0\x9F\xBF", 3, 0, 1}, /* overlong */
                 {"\xE0\xA0\x80", 3, 3, 0},
                 {"\xED\xA0\x80", 3, 0, 1}, /* surrogate */
                 {"\xED\x9F\xBF", 3, 3, 0},
                 {"\xF0\x8F\xBF\xBF", 4, 0, 1}, /* overlong */
                 {"\xF4\x8F\xBF\xBF", 4, 4, 0}, /* U+10FFFF */
                 {"\xF4\x90\x80\x80", 4, 0, 1}, /* above */
                 {"\xF5\x80", 2, 0, 1},
                 {"\xE2\x82", 2, 0, 2}, /* cut */
                 {"\x80", 1, 0, 1}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        size_t bad = 0;
        assert_int_equal(rung_utf8_len(table[i].s, table[i].n, &bad), table[i].len);
        assert_int_equal(bad, table[i].bad);
    }
    assert_int_equal(rung_utf8_partial("abc", 3), 0);
    assert_int_equal(rung_utf8_partial("ab\xE2\x82", 4), 2);
    assert_int_equal(rung_utf8_partial("ab\xE2\x82\xAC", 5), 0);
    assert_int_equal(rung_utf8_partial("\xF0\x9F\x98", 3), 3);
    assert_int_equal(rung_utf8_partial("a\x80\x80\x80\x80", 5), 0);
    assert_int_equal(rung_utf8_partial("\xC3", 1), 1);
    assert_int_equal(rung_utf8_partial("", 0), 0);
}

static void hashes_are_pinned(void **state) {
    (void)state;
    char hex[33];
    rung_hash_hex(hex, "", 0); /* xxHash's published value of XXH3_128bits of nothing */
    assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
    assert_true(rung_hash64("", 0, 0) ==
                UINT64_C(0x2d06800538d394c2)); /* XXH3_64bits, same place */
    assert_true(rung_hash64("a", 1, 0) != rung_hash64("a", 1, 1));
    char path[] = "/tmp/rung_hash_XXXXXX";
    int fd = mkstemp(path);
    static char block[300000]; /* over one read */
    for (size_t i = 0; i < sizeof block; i++) block[i] = (char)(i * 31);
    assert_int_equal(write(fd, block, sizeof block), (ssize_t)sizeof block);
    close(fd);
    char whole[33];
    rung_error e = RUNG_ERROR_INIT;
    rung_hash_hex(whole, block, sizeof block);
    assert_int_equal(rung_hash_file(hex, path, &e), RUNG_OK);
    assert_string_equal(hex, whole);
    unlink(path);
    assert_int_equal(rung_hash_file(hex, path, &e), RUNG_E_NOT_FOUND);
    assert_int_equal(rung_hash_file(hex, "/tmp", &e), RUNG_E_IO);
}

static void clocks_and_cores(void **state) {
    (void)state;
    double a = rung_now(), b = rung_now();
    assert_true(b >= a);
    assert_true(rung_unix_ms() > INT64_C(1700000000000));
    assert_true(rung_n_cores() >= 1);
    assert_int_equal(setenv("OMP_NUM_THREADS", "1", 1), 0);
    assert_int_equal(rung_n_cores(), 1);
    assert_int_equal(setenv("OMP_NUM_THREADS", "100000", 1), 0); /* lowers only */
    assert_true(rung_n_cores() >= 1 && rung_n_cores() < 100000);
    assert_int_equal(setenv("OMP_NUM_THREADS", "x", 1), 0);
    assert_true(rung_n_cores() >= 1);
    unsetenv("OMP_NUM_THREADS");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hook_fails_the_nth_and_all_later),
        cmocka_unit_test(arrays_grow_together),
        cmocka_unit_test(arena_gives_zeroed_aligned_separate_memory),
        cmocka_unit_test(arena_keeps_its_cap),
        cmocka_unit_test(buf_appends_and_takes),
        cmocka_unit_test(buf_fails_once_and_stays_failed),
        cmocka_unit_test(json_strings_are_escaped),
        cmocka_unit_test(utf8_is_strict),
        cmocka_unit_test(hashes_are_pinned),
        cmocka_unit_test(clocks_and_cores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
