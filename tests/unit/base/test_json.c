/* JSONL with file and line in every error; whole JSON files; typed members. */
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];

static void put(const char *text, size_t n) {
    strcpy(path, "/tmp/rung_json_XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), (ssize_t)n);
    close(fd);
}

static void lines_and_their_numbers(void **state) {
    (void)state;
    rung_error e = RUNG_ERROR_INIT;
    const char *text =
        "\xEF\xBB\xBF{\"a\":1}\r\n\n  \t\n{\"a\":2\n[3]\n{\"a\":4}"; /* line 4 cut, no final newline
                                                                      */
    put(text, strlen(text));
    rung_jsonl *r = NULL;
    yyjson_val *v;
    assert_int_equal(rung_jsonl_open(&r, path, 0, &e), RUNG_OK);
    assert_int_equal(rung_jsonl_next(&v, r, &e), RUNG_OK);
    assert_int_equal(rung_json_i64(v, "a", 0), 1);
    assert_int_equal(rung_jsonl_line(r), 1);
    assert_int_equal(rung_jsonl_next(&v, r, &e), RUNG_E_FORMAT);
    char want[96];
    snprintf(want, sizeof want, "%s:4: ", path);
    assert_int_equal(strncmp(e.what, want, strlen(want)), 0);
    assert_non_null(strstr(e.hint, "cut short"));
    assert_int_equal(rung_jsonl_line(r), 4);
    assert_int_equal(rung_jsonl_next(&v, r, &e), RUNG_OK);
    assert_true(yyjson_is_arr(v));
    assert_int_equal(rung_jsonl_next(&v, r, &e), RUNG_OK);
    assert_int_equal(rung_json_i64(v, "a", 0), 4);
    assert_int_equal(rung_jsonl_line(r), 6);
    assert_int_equal(rung_jsonl_next(&v, r, &e), RUNG_DONE);
    assert_int_equal(rung_jsonl_next(&v, r, &e), RUNG_DONE);
    rung_jsonl_close(r);
    rung_jsonl_close(NULL);
    unlink(path);
}

static void long_lines_are_refused_and_skipped(void **state) {
    (void)state;
    rung_error e = RUNG_ERROR_INIT;
    rung_buf b;
    rung_buf_init(&b, 0);
    rung_buf_str(&b, "{\"a\":1}\n\"");
    for (int i = 0; i < 200000; i++) rung_buf_str(&b, "x"); /* over several reads */
    rung_buf_str(&b, "\"\n{\"a\":3}\n");
    put(b.data, b.n);
    rung_jsonl *r = NULL;
    yyjson_val *v;
    assert_int_equal(rung_jsonl_open(&r, path, 100, &e), RUNG_OK);
    assert_int_equal(rung_jsonl_next(&v, r, &e), RUNG_OK);
    assert_int_equal(rung_jsonl_next(&v, r, &e), RUNG_E_LIMIT);
    assert_non_null(strstr(e.what, ":2: line is longer than 100 bytes"));
    assert_int_equal(rung_jsonl_next(&v, r, &e), RUNG_OK);
    assert_int_equal(rung_json_i64(v, "a", 0), 3);
    rung_jsonl_close(r);
    assert_int_equal(rung_jsonl_open(&r, path, 0, &e), RUNG_OK); /* with room it is read */
    assert_int_equal(rung_jsonl_next(&v, r, &e), RUNG_OK);
    assert_int_equal(rung_jsonl_next(&v, r, &e), RUNG_OK);
    assert_int_equal(yyjson_get_len(v), 200000);
    rung_jsonl_close(r);
    rung_buf_clear(&b);
    unlink(path);
}

static void bad_files(void **state) {
    (void)state;
    rung_error e = RUNG_ERROR_INIT;
    rung_jsonl *r = (void *)1;
    yyjson_val *v;
    assert_int_equal(rung_jsonl_open(&r, "/tmp/rung/none.jsonl", 0, &e), RUNG_E_NOT_FOUND);
    assert_null(r);
    assert_int_equal(rung_jsonl_open(&r, "/tmp", 0, &e), RUNG_OK);
    assert_int_equal(rung_jsonl_next(&v, r, &e), RUNG_E_IO); /* a folder */
    rung_jsonl_close(r);
    /* NaN, raw bytes, bad UTF-8 and deep nesting are errors or data, never a crash */
    static const char bad[] = "{\"a\":NaN}\n\x00\x01\xff\n{\"a\":\"\xff\"}\n";
    put(bad, sizeof bad - 1);
    assert_int_equal(rung_jsonl_open(&r, path, 0, &e), RUNG_OK);
    for (int i = 0; i < 3; i++) assert_int_equal(rung_jsonl_next(&v, r, &e), RUNG_E_FORMAT);
    assert_int_equal(rung_jsonl_next(&v, r, &e), RUNG_DONE);
    rung_jsonl_close(r);
    unlink(path);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    rung_error e = RUNG_ERROR_INIT;
    put("{\"a\":[1,2,3],\"b\":\"text\"}\n", 25);
    int n = 1;
    for (;; n++) {
        rung_jsonl *r = NULL;
        yyjson_val *v;
        rung_alloc_fail_after(n);
        rung_status st = rung_jsonl_open(&r, path, 0, &e);
        if (st == RUNG_OK) st = rung_jsonl_next(&v, r, &e);
        rung_alloc_fail_after(0);
        rung_jsonl_close(r);
        if (st == RUNG_OK) break;
        assert_int_equal(st, RUNG_E_NOMEM);
        assert_true(n < 50);
    }
    assert_true(n > 4);
    unlink(path);
}

static void whole_files(void **state) {
    (void)state;
    rung_error e = RUNG_ERROR_INIT;
    yyjson_doc *doc = NULL;
    put("{\n \"a\": 1,\n \"b\" 2\n}", 20);
    assert_int_equal(rung_json_load(&doc, path, &e), RUNG_E_FORMAT);
    char want[96];
    snprintf(want, sizeof want, "%s:3:6: ", path);
    assert_int_equal(strncmp(e.what, want, strlen(want)), 0);
    unlink(path);
    put("{\"a\":1}", 7);
    assert_int_equal(rung_json_load(&doc, path, &e), RUNG_OK);
    assert_int_equal(rung_json_i64(yyjson_doc_get_root(doc), "a", 0), 1);
    yyjson_doc_free(doc);
    unlink(path);
    put("", 0);
    assert_int_equal(rung_json_load(&doc, path, &e), RUNG_E_FORMAT);
    unlink(path);
    assert_int_equal(rung_json_load(&doc, path, &e), RUNG_E_NOT_FOUND);
}

static void members(void **state) {
    (void)state;
    rung_error e = RUNG_ERROR_INIT;
    const char *text = "{\"s\":\"x\",\"i\":-5,\"r\":3.0,\"h\":3.5,\"big\":18446744073709551615,"
                       "\"huge\":1e300,\"n\":null,\"max\":9223372036854775807}";
    yyjson_doc *doc = yyjson_read(text, strlen(text), 0);
    yyjson_val *v = yyjson_doc_get_root(doc);
    assert_string_equal(rung_json_str(v, "s", "d"), "x");
    assert_string_equal(rung_json_str(v, "i", "d"), "d");
    assert_null(rung_json_str(v, "none", NULL));
    assert_int_equal(rung_json_i64(v, "i", 0), -5);
    assert_int_equal(rung_json_i64(v, "r", 0), 3);
    assert_int_equal(rung_json_i64(v, "h", 7), 7);
    assert_int_equal(rung_json_i64(v, "big", 7), 7);
    assert_int_equal(rung_json_i64(v, "huge", 7), 7);
    assert_int_equal(rung_json_i64(v, "max", 7), INT64_MAX);
    assert_true(rung_json_f64(v, "h", 0.0) == 3.5);
    assert_true(rung_json_f64(v, "i", 0.0) == -5.0);
    assert_true(rung_json_f64(v, "s", 2.0) == 2.0);
    const char *s = NULL;
    int64_t i = 0;
    assert_int_equal(rung_json_str_req(&s, v, "s", &e), RUNG_OK);
    assert_int_equal(rung_json_str_req(&s, v, "zz", &e), RUNG_E_FORMAT);
    assert_string_equal(e.what, "key \"zz\" is missing");
    assert_int_equal(rung_json_str_req(&s, v, "i", &e), RUNG_E_FORMAT);
    assert_string_equal(e.what, "key \"i\" must be a string, not sint");
    assert_int_equal(rung_json_i64_req(&i, v, "i", &e), RUNG_OK);
    assert_int_equal(i, -5);
    assert_int_equal(rung_json_i64_req(&i, v, "h", &e), RUNG_E_FORMAT);
    assert_int_equal(rung_json_i64_req(&i, v, "n", &e), RUNG_E_FORMAT);
    assert_null(rung_json_str(NULL, "s", NULL)); /* not an object */
    yyjson_doc_free(doc);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_and_their_numbers),
        cmocka_unit_test(long_lines_are_refused_and_skipped),
        cmocka_unit_test(bad_files),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(whole_files),
        cmocka_unit_test(members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
