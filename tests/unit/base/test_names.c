/* Nearest names. */
#include "base/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void distances(void **state) {
    (void)state;
    assert_int_equal(rung_edit_distance("", ""), 0);
    assert_int_equal(rung_edit_distance("abc", ""), 3);
    assert_int_equal(rung_edit_distance("kitten", "sitting"), 3); /* the textbook pair */
    assert_int_equal(rung_edit_distance("ab", "ba"), 1);          /* a swap */
    assert_int_equal(rung_edit_distance("ca", "abc"), 3);         /* OSA: no edit inside a swap */
    assert_int_equal(rung_edit_distance("Top-P", "top_p"), 0);
    assert_int_equal(rung_edit_distance("tempreture", "temperature"), 2);
    char a[300], b[300]; /* longer than the rows */
    memset(a, 'a', 299);
    memset(b, 'b', 299);
    a[299] = b[299] = '\0';
    assert_int_equal(rung_edit_distance(a, b), 128);
}

static void nearest(void **state) {
    (void)state;
    static const char *const list[] = {"--temperature", "--top-p", NULL, "--top-k", "--seed", "-n"};
    assert_string_equal(rung_nearest("--tempreture", list, 6), "--temperature");
    assert_string_equal(rung_nearest("--sede", list, 6), "--seed");
    assert_string_equal(rung_nearest("--top-x", list, 6), "--top-p"); /* first of equals */
    assert_null(rung_nearest("--completely-else", list, 6));
    assert_null(rung_nearest("", list, 6));
    assert_null(rung_nearest("xy", list, 6)); /* nothing in common with -n */
    assert_null(rung_nearest("--seed", list, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances),
        cmocka_unit_test(nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
