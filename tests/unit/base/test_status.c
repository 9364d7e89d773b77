/* Status table, error object. */
#include "rung/base.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void table_is_consistent(void **state) {
    (void)state;
    static const struct {
        rung_status st;
        int value, exit_code;
        const char *name;
    } pinned[] = {/* scripts rely on these numbers */
                  {RUNG_OK, 0, 0, "RUNG_OK"},
                  {RUNG_DONE, 1, 0, "RUNG_DONE"},
                  {RUNG_E_INVAL, -2, 2, "RUNG_E_INVAL"},
                  {RUNG_E_FULL, -5, 4, "RUNG_E_FULL"},
                  {RUNG_E_FORMAT, -6, 3, "RUNG_E_FORMAT"},
                  {RUNG_E_MODEL, -9, 5, "RUNG_E_MODEL"},
                  {RUNG_E_CANCELLED, -12, 6, "RUNG_E_CANCELLED"},
                  {RUNG_E_ANSWER_NO, -16, 1, "RUNG_E_ANSWER_NO"},
                  {RUNG_E_SANDBOX, -17, 4, "RUNG_E_SANDBOX"}};
    for (size_t i = 0; i < sizeof pinned / sizeof pinned[0]; i++) {
        assert_int_equal((int)pinned[i].st, pinned[i].value);
        assert_int_equal(rung_status_exit_code(pinned[i].st), pinned[i].exit_code);
        assert_string_equal(rung_status_name(pinned[i].st), pinned[i].name);
        assert_true(strlen(rung_status_text(pinned[i].st)) > 0);
    }
    assert_string_equal(rung_status_name((rung_status)77), "RUNG_?");
    assert_int_equal(rung_status_exit_code((rung_status)77), 4);
}

static void fail_sets_and_clears(void **state) {
    (void)state;
    rung_error e = RUNG_ERROR_INIT;
    e.problem_id = 5;
    strcpy(e.hint, "old");
    assert_int_equal(rung_fail(&e, RUNG_E_IO, "could not %s %d", "read", 7), RUNG_E_IO);
    assert_string_equal(e.what, "could not read 7");
    assert_string_equal(e.hint, "");
    assert_int_equal(e.problem_id, -1);
    assert_int_equal(rung_error_hint(&e, "try %s", "again"), RUNG_E_IO);
    assert_int_equal(rung_error_detail(&e, "errno %d", 3), RUNG_E_IO);
    assert_string_equal(e.hint, "try again");
    assert_string_equal(e.detail, "errno 3");
    assert_int_equal(rung_fail(NULL, RUNG_E_FULL, "x"), RUNG_E_FULL);
    assert_int_equal(rung_error_hint(NULL, "x"), RUNG_E_INVAL);
}

static void fail_may_read_the_error_it_writes(void **state) {
    (void)state;
    rung_error e = RUNG_ERROR_INIT;
    rung_fail(&e, RUNG_E_IO, "inner");
    rung_fail(&e, RUNG_E_STORE, "outer: %s", e.what);
    assert_string_equal(e.what, "outer: inner");
}

static void long_and_odd_text_stays_one_clean_line(void **state) {
    (void)state;
    rung_error e = RUNG_ERROR_INIT;
    char big[1000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    rung_fail(&e, RUNG_E_IO, "%s", big);
    assert_int_equal(strlen(e.what), sizeof e.what - 1);
    rung_error_detail(&e, "%s", big);
    assert_int_equal(strlen(e.detail), sizeof e.detail - 1);
    rung_fail(&e, RUNG_E_IO, "a\nb\tc\x01");
    assert_string_equal(e.what, "a b c ");
    /* A character cut in two at the end disappears: 238 x, then a 3-byte euro sign. */
    big[238] = '\0';
    rung_fail(&e, RUNG_E_IO, "%s\xE2\x82\xAC", big);
    assert_int_equal(strlen(e.what), 238);
    big[236] = '\0';
    rung_fail(&e, RUNG_E_IO, "%s\xE2\x82\xAC", big);
    assert_int_equal(strlen(e.what), 239);
}

static void errno_gives_code_and_reason(void **state) {
    (void)state;
    static const struct {
        int e;
        rung_status st;
    } table[] = {{ENOSPC, RUNG_E_FULL},  {EDQUOT, RUNG_E_FULL},      {EFBIG, RUNG_E_FULL},
                 {ENOMEM, RUNG_E_NOMEM}, {ENOENT, RUNG_E_NOT_FOUND}, {EACCES, RUNG_E_IO}};
    rung_error e = RUNG_ERROR_INIT;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        errno = table[i].e;
        assert_int_equal(rung_fail_errno(&e, "could not open \"%s\"", "a"), table[i].st);
        assert_int_equal(errno, table[i].e);
        assert_int_equal(strncmp(e.what, "could not open \"a\": ", 20), 0);
        assert_true(strlen(e.what) > 22);
    }
    errno = ENOSPC; /* the reason survives a path longer than the line */
    char big[600];
    memset(big, 'p', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    rung_fail_errno(&e, "%s", big);
    assert_non_null(strstr(e.what, "No space left"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_consistent),
        cmocka_unit_test(fail_sets_and_clears),
        cmocka_unit_test(fail_may_read_the_error_it_writes),
        cmocka_unit_test(long_and_odd_text_stays_one_clean_line),
        cmocka_unit_test(errno_gives_code_and_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
