/* The table of tools: every row by the one interface; the calculator's lines. */
#include "rung/tool.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const rung_sql_db DB_SCRIPT = {
    .script =
        "CREATE TABLE t(a INT, b TEXT); INSERT INTO t VALUES(1,'x'),(2,'y'),(3,'z'),(4,'z');"};

typedef struct ground {
    rung_tool_opts o;
    rung_sandbox *sandbox;
    rung_sql *sql;
    rung_index *index;
} ground;

/* false: this machine has no sandbox, and the tool wants one. */
static bool ground_of(ground *g, const rung_tool *t) {
    rung_error err = RUNG_ERROR_INIT;
    *g = (ground){.o = RUNG_TOOL_OPTS_INIT};
    if (strcmp(t->name, "python") == 0) {
        rung_sandbox_opts so = RUNG_SANDBOX_OPTS_INIT;
        so.n_boxes = 1;
        if (rung_sandbox_new(&g->sandbox, &so, &err) != RUNG_OK) {
            printf("SKIPPED: python, no sandbox: %s\n", err.what);
            return false;
        }
        g->o.sandbox = g->sandbox;
    } else if (strcmp(t->name, "sql") == 0) {
        assert_int_equal(rung_sql_new(&g->sql, NULL, &err), RUNG_OK);
        g->o.sql = g->sql;
        g->o.db = &DB_SCRIPT;
    } else if (strcmp(t->name, "retrieve") == 0) {
        assert_int_equal(rung_index_new(&g->index, NULL, NULL, &err), RUNG_OK);
        assert_int_equal(rung_index_add(g->index, "d1", "Vik", "A stave church stands here.", &err),
                         RUNG_OK);
        assert_int_equal(rung_index_add(g->index, "d2", "Oslo", "Trams run here.", &err), RUNG_OK);
        g->o.index = g->index;
    }
    return true;
}

static void ground_clear(ground *g) {
    rung_sandbox_free(g->sandbox);
    rung_sql_free(g->sql);
    rung_index_free(g->index);
}

static rung_tool_outcome run(rung_buf *seen, const rung_tool *t, void *s, const char *block) {
    rung_tool_outcome out = {0};
    rung_error err = RUNG_ERROR_INIT;
    rung_buf_reset(seen);
    if (t->run(seen, &out, s, block, strlen(block), NULL, &err) != RUNG_OK)
        fail_msg("%s: %s: %s", t->name, block, err.what);
    assert_non_null(out.reason);
    return out;
}

/* name, a block that passes and what it shows, one that does not and its reason */
static const struct {
    const char *name, *good, *shown, *bad, *reason, *bad_shown;
} rows[] = {
    {"python", "x = 6 * 7\nprint('a')\nx", "a\n42\n", "1/0", "exception", "division by zero"},
    {"calculator", "x = 6 * 7\nx/5", "x = 42\n42/5 (8.40000000000000)\n", "x + nothing", "error",
     "error: nothing is not defined\n"},
    {"sql", "SELECT a FROM t ORDER BY a", "a\n1\n2\n(2 of 4 rows)\n", "SELECT c FROM t", "error",
     "error: no such column: c\n"},
    {"retrieve", "stave church", "[1] Vik (d1): A stave church stands here.\n", "zeppelin",
     "nothing found", "(nothing found)\n"},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

/* Every row: open, a good block, a bad one, the limit, reset, close; sessions do not see each
 * other; without what it stands on it does not open. */
static void every_row(void **state) {
    (void)state;
    size_t n = 0;
    for (const rung_tool *t; (t = rung_tool_at(n)); n++) {
        assert_true(n < N_ROWS);
        assert_string_equal(t->name, rows[n].name);
        assert_ptr_equal(rung_tool_find(t->name), t);
        assert_true(t->help[0] && t->block[0]);
        rung_error err = RUNG_ERROR_INIT;
        void *s = NULL;
        ground g;
        rung_buf seen;
        if (strcmp(t->name, "calculator") != 0)
            assert_int_equal(t->open(&s, NULL, &err), RUNG_E_INVAL);
        assert_null(s);
        if (!ground_of(&g, t)) continue;
        rung_buf_init(&seen, 1 << 20);
        g.o.n_max = 3;
        g.o.n_shown = 2;
        if (t->open(&s, &g.o, &err) != RUNG_OK) fail_msg("%s: %s", t->name, err.what);
        rung_tool_outcome r = run(&seen, t, s, rows[n].good);
        assert_true(r.ok && r.alive && r.wall_s >= 0);
        assert_string_equal(r.reason, "passed");
        assert_string_equal(seen.data, rows[n].shown);
        r = run(&seen, t, s, rows[n].bad);
        assert_true(!r.ok && r.alive);
        assert_string_equal(r.reason, rows[n].reason);
        assert_non_null(strstr(seen.data, rows[n].bad_shown));
        rung_buf members;
        rung_buf_init(&members, 1 << 20);
        t->members(&members, s);
        assert_int_equal(members.data[0], ',');
        rung_buf_clear(&members);
        r = run(&seen, t, s, rows[n].good);
        assert_true(r.ok);
        r = run(&seen, t, s, rows[n].good);
        assert_false(r.ok);
        assert_string_equal(r.reason, "limit");
        assert_non_null(strstr(seen.data, "limit reached: 3 "));
        assert_int_equal(t->reset(s, &err), RUNG_OK);
        r = run(&seen, t, s, rows[n].good);
        assert_true(r.ok);
        t->close(s);
        t->close(NULL);
        rung_buf_clear(&seen);
        ground_clear(&g);
    }
    assert_int_equal(n, N_ROWS);
    assert_null(rung_tool_find("nothing"));
    rung_tool_opts bad = RUNG_TOOL_OPTS_INIT;
    rung_error err = RUNG_ERROR_INIT;
    void *s;
    bad.struct_size = sizeof bad + 1;
    assert_int_equal(rung_tool_find("calculator")->open(&s, &bad, &err), RUNG_E_INVAL);
}

static void python_rebuilds(void **state) {
    (void)state;
    const rung_tool *t = rung_tool_find("python");
    rung_error err = RUNG_ERROR_INIT;
    ground g;
    void *s;
    size_t n = 0;
    rung_buf seen;
    if (!ground_of(&g, t)) skip();
    rung_buf_init(&seen, 1 << 20);
    assert_int_equal(t->open(&s, &g.o, &err), RUNG_OK);
    assert_true(run(&seen, t, s, "x = 5").ok);
    rung_tool_outcome r = run(&seen, t, s, "import os; os._exit(3)");
    assert_false(r.ok || r.alive);
    assert_int_equal(t->rebuild(&n, s, &err), RUNG_OK);
    assert_int_equal(n, 1);
    assert_true(run(&seen, t, s, "x").ok);
    assert_string_equal(seen.data, "5\n");
    assert_true(run(&seen, t, s, "pass").ok);
    assert_string_equal(seen.data, "(no output)\n");
    t->close(s);
    rung_buf_clear(&seen);
    ground_clear(&g);
}

/* By hand: exact values, names, relations both ways, and what is no number. */
static void calculator(void **state) {
    (void)state;
    static const struct {
        const char *line, *want;
    } t[] = {
        {"1/3 + 1/6", "1/2 (0.500000000000000)\n"},
        {"a = 0.1 + 0.2", "a = 3/10 (0.300000000000000)\n"},
        {"a == 0.3", "true\n"},
        {"a = 0.3\na > 0.3\na >= 0.3\na != 0.3",
         "a = 3/10 (0.300000000000000)\nfalse\ntrue\nfalse\n"},
        {"2a", "3/5 (0.600000000000000)\n"},
        {"total_2 = 20% of 50", NULL},
        {"total_2 = 2^10\ntotal_2 - 24", "total_2 = 1024\n1000\n"},
        {"6e3 + 1", "6001\n"},
        {"2e = 1", NULL},
        {"\\frac{3}{4} < \\sqrt{2}", "true\n"},
        {"\\pi > 3.15", "false\n"},
        {"sqrt(2)*sqrt(8) = 4", "true\n"},
        {"r = sqrt(2)\nr^2", "r = \\sqrt[2]{2} (1.41421356237310)\n2\n"},
        {"-(\\sqrt{3})^4", "-9\n"},
        {"1/0", "error: not defined\n"},
        {"10^{10^{10}}", "error: too large\n"},
        {"pi = 3", "error: that name has a meaning of its own\n"},
        {"b", "error: b is not defined\n"},
        {"3 apples", "error: apples is not defined\n"},
        {"(1,2)", "error: no number\n"},
        {"# a note\n\n  1+1  ", "2\n"},
        {"1 < 2 < 3", "true\n"},
        {"1 < 2 < 2", "false\n"},
        {"i^2", "-1\n"},
        {"a = b", "error: b is not defined\n"},
    };
    rung_calculator *c;
    rung_error err = RUNG_ERROR_INIT;
    rung_buf b;
    assert_int_equal(rung_calculator_new(&c, &err), RUNG_OK);
    rung_buf_init(&b, 1 << 20);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        int32_t n_bad = -1;
        rung_buf_reset(&b);
        assert_int_equal(rung_calculator_run(&b, &n_bad, c, t[i].line, strlen(t[i].line), &err),
                         RUNG_OK);
        if (t[i].want && strcmp(b.data, t[i].want) != 0)
            fail_msg("%s\ngave %s\nwant %s", t[i].line, b.data, t[i].want);
        assert_int_equal(n_bad > 0, strstr(b.data, "error: ") != NULL);
    }
    rung_calculator_free(c);
    rung_calculator_free(NULL);
    rung_buf_clear(&b);
}

/* Any bytes; names that would double with each line come to an end; too many names. */
static void hostile(void **state) {
    (void)state;
    rung_calculator *c;
    rung_error err = RUNG_ERROR_INIT;
    rung_buf b;
    char line[600];
    uint64_t seed = 7;
    int32_t n_bad = 0;
    assert_int_equal(rung_calculator_new(&c, &err), RUNG_OK);
    rung_buf_init(&b, 64 << 20);
    double t0 = rung_cpu_now();
    for (int i = 0; i < 2000; i++) {
        static const char set[] = "ab12=+-*/^(){}\\sqrt<>!. \n\0_%,e";
        size_t n = (size_t)(i % 60);
        for (size_t k = 0; k < n; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            line[k] = i % 4 ? set[(seed >> 33) % (sizeof set - 1)] : (char)(seed >> 56);
        }
        rung_buf_reset(&b);
        assert_int_equal(rung_calculator_run(&b, NULL, c, line, n, &err), RUNG_OK);
    }
    for (int i = 1; i < 40; i++) {
        int n = i == 1 ? sprintf(line, "z1 = sqrt(2) + sqrt(3)")
                       : sprintf(line, "z%d = z%d^2 * z%d + 1", i, i - 1, i - 1);
        rung_buf_reset(&b);
        assert_int_equal(rung_calculator_run(&b, &n_bad, c, line, (size_t)n, &err), RUNG_OK);
    }
    assert_int_equal(n_bad, 1); /* in the end it was too much */
    for (int i = 0; i < 300; i++) {
        int n = sprintf(line, "name%d = %d", i, i);
        rung_buf_reset(&b);
        assert_int_equal(rung_calculator_run(&b, &n_bad, c, line, (size_t)n, &err), RUNG_OK);
    }
    assert_string_equal(b.data, "error: too many names\n");
    memset(line, 'x', 500);
    rung_buf_reset(&b);
    assert_int_equal(rung_calculator_run(&b, &n_bad, c, line, 500, &err), RUNG_OK);
    assert_int_equal(n_bad, 1);
    assert_true(rung_cpu_now() - t0 < 60.0);
    rung_calculator_free(c);
    rung_buf_clear(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(python_rebuilds),
        cmocka_unit_test(calculator),
        cmocka_unit_test(hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
