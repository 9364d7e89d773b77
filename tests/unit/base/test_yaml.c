/* YAML: the tree, and the line and column of everything that is wrong. */
#include "base/yaml.h"
#include "rung/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static rung_yaml *parse(const char *text) {
    rung_error e = RUNG_ERROR_INIT;
    rung_yaml *y = NULL;
    rung_status st = rung_yaml_parse(&y, text, strlen(text), "r.yaml", &e);
    if (st != RUNG_OK) print_message("%s\n", e.what);
    assert_int_equal(st, RUNG_OK);
    return y;
}

static void a_recipe(void **state) {
    (void)state;
    rung_yaml *y = parse("# comment\n"
                         "name: demo\n"
                         "stages:\n"
                         "  - kind: trace.sample   # the pool\n"
                         "    options: {n: 16, temperature: 0.80, top_p: 1}\n"
                         "  - kind: \"label.mc\"\n"
                         "    note: |\n"
                         "      two\n"
                         "      lines\n"
                         "empty:\n"
                         "list: [a, 'b c', \"d\\n\"]\n");
    assert_string_equal(rung_yaml_name(y), "r.yaml");
    const rung_yaml_node *root = rung_yaml_root(y);
    assert_int_equal(rung_yaml_kind_of(root), RUNG_YAML_MAP);
    assert_int_equal(rung_yaml_count(root), 4);
    assert_string_equal(rung_yaml_key(root, 0), "name");
    assert_string_equal(rung_yaml_scalar(rung_yaml_get(root, "name")), "demo");
    const rung_yaml_node *stages = rung_yaml_get(root, "stages");
    assert_int_equal(rung_yaml_kind_of(stages), RUNG_YAML_SEQ);
    assert_int_equal(rung_yaml_count(stages), 2);
    const rung_yaml_node *opts = rung_yaml_get(rung_yaml_item(stages, 0), "options");
    assert_string_equal(rung_yaml_scalar(rung_yaml_get(opts, "temperature")), "0.80");
    assert_int_equal(rung_yaml_line(rung_yaml_get(opts, "temperature")), 5);
    assert_int_equal(rung_yaml_column(rung_yaml_get(opts, "temperature")), 35);
    assert_int_equal(rung_yaml_line(opts), 5);
    assert_int_equal(rung_yaml_column(opts), 14);
    assert_int_equal(rung_yaml_key_line(root, 1), 3);
    assert_int_equal(rung_yaml_line(stages), 4);
    assert_string_equal(rung_yaml_scalar(rung_yaml_get(rung_yaml_item(stages, 1), "note")),
                        "two\nlines\n");
    assert_string_equal(rung_yaml_scalar(rung_yaml_get(root, "empty")), "");
    const rung_yaml_node *list = rung_yaml_get(root, "list");
    assert_string_equal(rung_yaml_scalar(rung_yaml_item(list, 1)), "b c");
    assert_string_equal(rung_yaml_scalar(rung_yaml_item(list, 2)), "d\n");
    assert_null(rung_yaml_item(list, 3));
    assert_null(rung_yaml_key(list, 0));
    assert_null(rung_yaml_get(list, "a"));
    assert_null(rung_yaml_get(root, "nam"));
    assert_null(rung_yaml_scalar(list));
    assert_int_equal(rung_yaml_count(rung_yaml_get(root, "name")), 0);
    rung_yaml_free(y);
    rung_yaml_free(NULL);
}

static void errors_have_a_place(void **state) {
    (void)state;
    static const struct {
        const char *text, *place, *part;
    } table[] = {
        {"a: 1\nb: [1, 2\nc: 3\n", "r.yaml:", ""},
        {"a: 1\n  b: 2\n", "r.yaml:1:4: ", "multiline"},
        {"a: 1\na: 2\n", "r.yaml:2:1: ", "key \"a\" is there twice (line 1)"},
        {"m:\n  x: 1\n  x: 2\n", "r.yaml:3:3: ", "twice"},
        {"a: &x 1\nb: *x\n", "r.yaml:2:5: ", "aliases"},
        {"[a, b]: 1\n", "r.yaml:1:1: ", "key must be plain text"},
        {"a: 1\n---\nb: 2\n", "r.yaml:2:", "second document"},
        {"a: \"x\n", "r.yaml:", ""},
        {"\tb: 1\n", "r.yaml:1:", ""},
        {"b: 1\na: \x01\n", "r.yaml:2:4: ", "control"},
        {"a:\n% \xff- x\n", "r.yaml:2:3: ", "not UTF-8"}, /* libfyaml alone never returns */
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        rung_error e = RUNG_ERROR_INIT;
        rung_yaml *y = (void *)1;
        rung_status st = rung_yaml_parse(&y, table[i].text, strlen(table[i].text), "r.yaml", &e);
        if (st != RUNG_E_FORMAT || strncmp(e.what, table[i].place, strlen(table[i].place)) != 0 ||
            !strstr(e.what, table[i].part))
            fail_msg("case %zu: %d %s", i, (int)st, e.what);
        assert_null(y);
    }
}

static void hostile_input(void **state) {
    (void)state;
    rung_error e = RUNG_ERROR_INIT;
    rung_yaml *y = NULL;
    char deep[400];
    memset(deep, '[', 200);
    memset(deep + 200, ']', 199);
    deep[399] = '\0';
    assert_int_equal(rung_yaml_parse(&y, deep, 399, "d", &e), RUNG_E_FORMAT);
    assert_int_equal(rung_yaml_parse(&y, "a: 1\0b", 6, "d", &e), RUNG_E_FORMAT);
    assert_int_equal(rung_yaml_load(&y, "/tmp/rung/none.yaml", &e), RUNG_E_NOT_FOUND);
}

/* 1,500 recipes with 1 to 6 bytes changed, cut, dropped or added (fixed seed): a tree or an error
 * with a place, never a crash or a hang. */
static void changed_recipes_are_read_or_refused(void **state) {
    (void)state;
    static const char recipe[] =
        "name: demo\nstages:\n  - kind: trace.sample\n    o: {n: 16, t: [1, 'b',"
        " \"c\\n\"]}\n  - note: |\n      two\n    k: &a 1\n? x\n: !!str y\n# c\n";
    static const char alphabet[] = "\n :-[]{}'\"|>&*!%#?,@`ab1\t\\~.\x80\xff";
    int n_ok = 0;
    for (uint64_t i = 0; i < 1500; i++) {
        rung_rng r = rung_rng_at(7, RUNG_STREAM_TEST, i, 0);
        char text[400];
        size_t n = sizeof recipe - 1;
        memcpy(text, recipe, n);
        for (uint64_t k = rung_rng_below(&r, 6) + 1; k > 0; k--) {
            size_t at = rung_rng_below(&r, n);
            char c = alphabet[rung_rng_below(&r, sizeof alphabet - 1)];
            switch (rung_rng_below(&r, 4)) {
            case 0: text[at] = c; break;
            case 1: memmove(text + at, text + at + 1, --n - at); break;
            case 2:
                memmove(text + at + 1, text + at, n++ - at);
                text[at] = c;
                break;
            default: n = at + 2 < n ? at + 2 : n;
            }
            if (n < 2) break;
        }
        rung_error e = RUNG_ERROR_INIT;
        rung_yaml *y = NULL;
        rung_status st = rung_yaml_parse(&y, text, n, "f.yaml", &e);
        if (st == RUNG_OK) {
            n_ok++;
        } else if (st != RUNG_E_FORMAT || strncmp(e.what, "f.yaml:", 7) != 0) {
            fail_msg("case %d: %d %s", (int)i, (int)st, e.what);
        }
        rung_yaml_free(y);
    }
    assert_true(n_ok > 200 && n_ok < 1300); /* both kinds occur */
}

static void empty_is_an_empty_map(void **state) {
    (void)state;
    static const char *const texts[] = {"", "\n\n", "# only a comment\n", "---\n"};
    for (size_t i = 0; i < 4; i++) {
        rung_yaml *y = parse(texts[i]);
        assert_int_equal(rung_yaml_kind_of(rung_yaml_root(y)), RUNG_YAML_MAP);
        assert_int_equal(rung_yaml_count(rung_yaml_root(y)), 0);
        rung_yaml_free(y);
    }
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    const char *text = "a: [1, 2, {b: c}]\nd: e\n";
    int n = 1;
    for (;; n++) {
        rung_error e = RUNG_ERROR_INIT;
        rung_yaml *y = NULL;
        rung_alloc_fail_after(n);
        rung_status st = rung_yaml_parse(&y, text, strlen(text), "r.yaml", &e);
        rung_alloc_fail_after(0);
        rung_yaml_free(y);
        if (st == RUNG_OK) break;
        assert_int_equal(st, RUNG_E_NOMEM);
        assert_true(n < 100);
    }
    assert_true(n > 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recipe),
        cmocka_unit_test(errors_have_a_place),
        cmocka_unit_test(hostile_input),
        cmocka_unit_test(changed_recipes_are_read_or_refused),
        cmocka_unit_test(empty_is_an_empty_map),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
