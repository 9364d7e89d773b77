/* Programs against tests: what is right, what is wrong, and why. */
#include "base/json.h"
#include "rung/verify.h"
#include "sandbox_test.h"

static void cases(void **state) {
    NEED_SANDBOX
    static const char *const sum = "a, b = map(int, input().split())\nprint(a + b)\n";
    rung_code_test t[] = {case_of("2 3\n", "5\n"), case_of("-1 1", "0"), case_of("9 9\n", "19\n")};
    rung_code_result r = run_tests_of(RUNG_CODE_PYTHON, sum, "", t, 3, NULL);
    assert_int_equal(r.verdict, RUNG_VERDICT_WRONG);
    assert_int_equal(r.reason, RUNG_CODE_OUTPUT);
    assert_int_equal(r.n_passed, 2);
    assert_int_equal(r.first, 2);
    assert_string_equal(r.detail, "line 1: got \"18\", not \"19\"");
    assert_int_equal(r.test[0].reason, RUNG_CODE_PASSED);
    rung_code_result_clear(&r);
    r = run_tests_of(RUNG_CODE_PYTHON, sum, "", t, 2, NULL);
    assert_int_equal(r.verdict, RUNG_VERDICT_CORRECT);
    rung_code_result_clear(&r);
}

static void case_reasons(void **state) {
    NEED_SANDBOX
    rung_code_limits quick = {.wall_s = 2, .cpu_s = 1, .memory = 128u << 20, .output = 65536};
    rung_code_test t = case_of("", "ok\n");
    one_test("print('ok')", t, NULL, RUNG_CODE_PASSED, NULL);
    one_test("print('ok')  \nprint()\nimport sys; sys.exit(0)", t, NULL, RUNG_CODE_PASSED, NULL);
    one_test("print('ok'", t, NULL, RUNG_CODE_COMPILE, "SyntaxError");
    one_test("print('no')", t, NULL, RUNG_CODE_OUTPUT, "got \"no\", not \"ok\"");
    one_test("print('ok')\nprint('more')", t, NULL, RUNG_CODE_OUTPUT, "line 2");
    one_test("print('ok')\n1/0", t, NULL, RUNG_CODE_EXCEPTION, "ZeroDivisionError");
    one_test("print('ok')\nraise SystemExit(3)", t, NULL, RUNG_CODE_EXCEPTION, "exit status 3");
    one_test("input()", t, NULL, RUNG_CODE_EXCEPTION, "EOFError");
    one_test("while True: pass", t, &quick, RUNG_CODE_TIME, "CPU");
    one_test("x = 'a' * (1 << 30)", t, &quick, RUNG_CODE_MEMORY, "MemoryError");
    one_test("while True: print('x' * 1000)", t, &quick, RUNG_CODE_FLOOD, "65536");
    one_test("import os; os.kill(os.getpid(), 11)", t, NULL, RUNG_CODE_KILLED, "SIGSEGV");
    one_test("import os; os.kill(os.getpid(), 9)", t, NULL, RUNG_CODE_KILLED, "SIGKILL");
    one_test("import threading, time\n"
             "def late():\n    time.sleep(0.2); print('ok')\n"
             "threading.Thread(target=late).start()",
             t, NULL, RUNG_CODE_PASSED, NULL);
    one_test("import atexit; atexit.register(lambda: print('ok'))", t, NULL, RUNG_CODE_PASSED,
             NULL);
    one_test(
        "import os; print('ok' if os.listdir('/tmp') == [] and os.environ.get('HOME') == '/tmp' "
        "else os.listdir('/tmp'))",
        t, NULL, RUNG_CODE_PASSED, NULL);
    one_test("if __name__ == '__main__': print('ok')", t, NULL, RUNG_CODE_PASSED, NULL);
}

/* Sleeping is the program's time, waiting for a core is not: only the first may be wrong. */
static void sleeping(void **state) {
    NEED_SANDBOX
    rung_code_limits quick = {.wall_s = 1.5, .cpu_s = 1};
    one_test("import time; time.sleep(60)", case_of("", ""), &quick, RUNG_CODE_TIME, NULL);
}

static void asserts(void **state) {
    NEED_SANDBOX
    rung_code_limits quick = {.wall_s = 2, .cpu_s = 1, .memory = 128u << 20, .output = 65536};
    static const char *const f = "def f(x):\n    return x * 2\n";
    one_test(f, assert_of("assert f(2) == 4"), NULL, RUNG_CODE_PASSED, NULL);
    one_test(f, assert_of("assert candidate([1]) == [1, 1]"), NULL, RUNG_CODE_PASSED, NULL);
    one_test(f, assert_of("assert f(2) == 5, 'no'"), NULL, RUNG_CODE_OUTPUT,
             "at `assert f(2) == 5");
    one_test(f, assert_of("assert f(2) =="), NULL, RUNG_CODE_BAD_TEST, "SyntaxError");
    one_test(f, assert_of("import no_such_module"), NULL, RUNG_CODE_BAD_TEST, NULL);
    one_test("def f(x:", assert_of("assert f(2) == 4"), NULL, RUNG_CODE_COMPILE, "SyntaxError");
    one_test("1/0", assert_of("assert f(2) == 4"), NULL, RUNG_CODE_EXCEPTION, "ZeroDivision");
    one_test("def f(x): return x.y", assert_of("assert f(2) == 4"), NULL, RUNG_CODE_EXCEPTION,
             "AttributeError");
    one_test("def g(x): pass", assert_of("assert f(2) == 4"), NULL, RUNG_CODE_EXCEPTION,
             "NameError");
    one_test("def f(x): assert x > 3; return 4", assert_of("assert f(2) == 4"), NULL,
             RUNG_CODE_EXCEPTION, "AssertionError");
    one_test("def f(x):\n    while True: pass", assert_of("f(2)"), &quick, RUNG_CODE_TIME, NULL);
    one_test("while True: pass", assert_of("f(2)"), &quick, RUNG_CODE_TIME, NULL);
    one_test("def f(x): return 'a' * (1 << 30)", assert_of("f(2)"), &quick, RUNG_CODE_MEMORY, NULL);
    one_test("def f(x):\n    while True: print('x' * 1000)", assert_of("f(2)"), &quick,
             RUNG_CODE_FLOOD, NULL);
    one_test("import os\ndef f(x): os._exit(0)", assert_of("f(2)"), NULL, RUNG_CODE_EXCEPTION,
             "exited with status 0");
    one_test("import ctypes\ndef f(x): ctypes.string_at(0)", assert_of("f(2)"), NULL,
             RUNG_CODE_KILLED, "SIGSEGV");
    one_test("def f(x): return 10 ** 18", assert_of("n = 0\nfor i in range(f(2)): n += 1"), &quick,
             RUNG_CODE_TIME, "test's own");
}

/* Values cross between two processes and stay what they are. */
static void values(void **state) {
    NEED_SANDBOX
    static const char *const f = "def f(*a, **k):\n    return a[0] if a else k\n";
    static const char *const t[] = {
        "for v in (None, True, 0, -1, 2**63, -2**200, 0.1, float('inf'), 'a\\u20ac\\ud800', "
        "b'\\x00x',\n"
        "          [1, [2, (3,)]], (), (1,), {1: 'a', (2, 3): [4]}, set(), {1, 2}, "
        "frozenset([3]),\n"
        "          1+2j, range(1, 9, 2), bytearray(b'q')):\n"
        "    got = f(v)\n"
        "    assert got == v and type(got) is type(v), (v, got)",
        "import math\nassert math.isnan(f(float('nan')))",
        "from decimal import Decimal\nfrom fractions import Fraction\nfrom collections import "
        "deque\n"
        "for v in (Decimal('1.10'), Fraction(1, 3), deque([1, 2])): assert f(v) == v",
        "assert f(a=1, b=[2]) == {'a': 1, 'b': [2]}",
        "assert f(f) is not None",
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        one_test(f, assert_of(t[i]), NULL, RUNG_CODE_PASSED, NULL);
    one_test("def f(x):\n    x.sort()", assert_of("v = [3, 1, 2]\nf(v)\nassert v == [1, 2, 3]"),
             NULL, RUNG_CODE_PASSED, NULL);
    one_test("def f(g, x):\n    return g(g(x))", assert_of("assert f(lambda v: v + 3, 1) == 7"),
             NULL, RUNG_CODE_PASSED, NULL);
    one_test("def f(n):\n    for i in range(n): yield i",
             assert_of("assert list(f(4)) == [0, 1, 2, 3]"), NULL, RUNG_CODE_PASSED, NULL);
    one_test("class Node:\n    def __init__(self, v): self.v, self.next = v, None\n"
             "def f(n):\n    return n.v + (f(n.next) if n.next else 0)",
             assert_of("a = Node(1)\na.next = Node(5)\nassert f(a) == 6 and a.next.v == 5"), NULL,
             RUNG_CODE_PASSED, NULL);
    one_test("def f(x): raise KeyError(x)",
             assert_of("try:\n    f(1)\n    assert False\nexcept KeyError:\n    pass"), NULL,
             RUNG_CODE_PASSED, NULL);
}

static void calls(void **state) {
    NEED_SANDBOX
    static const char *const f = "def f(a, b=1):\n    return (a, [b])\n";
    one_test(f, call_of("[2]", "[2, [1]]"), NULL, RUNG_CODE_PASSED, NULL);
    one_test(f,
             call_of("{\"args\": [2], \"kwargs\": {\"b\": {\"k\": null}}}", "[2, [{\"k\": null}]]"),
             NULL, RUNG_CODE_PASSED, NULL);
    one_test(f, call_of("[2]", "[2, [2]]"), NULL, RUNG_CODE_OUTPUT, "got (2, [1])");
    one_test(f, call_of("[true]", "[1, [1]]"), NULL, RUNG_CODE_OUTPUT, NULL);
    one_test(f, call_of("[2", "[2, [2]]"), NULL, RUNG_CODE_BAD_TEST, NULL);
    one_test(f, call_of("[]", "1"), NULL, RUNG_CODE_EXCEPTION, "TypeError");
    rung_code_test t = call_of("[1, 3]", "0.3333");
    one_test("def f(a, b): return a / b", t, NULL, RUNG_CODE_OUTPUT, NULL);
    t.tolerance = 1e-3;
    one_test("def f(a, b): return a / b", t, NULL, RUNG_CODE_PASSED, NULL);
}

static void after_a_kill(void **state) {
    NEED_SANDBOX
    rung_code_limits quick = {.wall_s = 2, .cpu_s = 1};
    rung_code_test t[] = {assert_of("assert f(1) == 1"), assert_of("f(2)"), assert_of("f(1)")};
    rung_code_result r = run_tests_of(
        RUNG_CODE_PYTHON, "def f(x):\n    while x == 2: pass\n    return x\n", "f", t, 3, &quick);
    assert_int_equal(r.verdict, RUNG_VERDICT_WRONG);
    assert_int_equal(r.test[0].reason, RUNG_CODE_PASSED);
    assert_int_equal(r.test[1].reason, RUNG_CODE_TIME);
    assert_int_equal(r.test[2].reason, RUNG_CODE_NOT_RUN);
    assert_string_equal(r.test[2].detail, "after: time-out");
    rung_code_result_clear(&r);
}

static void comparing(void **state) {
    NEED_SANDBOX
    static const struct {
        const char *out, *want;
        rung_code_compare how;
        double tol;
        bool same;
    } t[] = {
        {"a  \nb\n\n", "a\nb", RUNG_COMPARE_LINES, 0, true},
        {"a\n b\n", "a\nb", RUNG_COMPARE_LINES, 0, false},
        {"a b\n", "a  b\n", RUNG_COMPARE_LINES, 0, false},
        {"a b\n", "a  b\n", RUNG_COMPARE_TOKENS, 0, true},
        {"a\nb", "a b", RUNG_COMPARE_TOKENS, 0, true},
        {"a b c", "a b", RUNG_COMPARE_TOKENS, 0, false},
        {"0.3333 x", "0.33333 x", RUNG_COMPARE_TOKENS, 1e-3, true},
        {"0.3333", "0.33333", RUNG_COMPARE_TOKENS, 0, false},
        {"nan", "0.3", RUNG_COMPARE_TOKENS, 1, false},
        {"a\n", "a", RUNG_COMPARE_EXACT, 0, false},
        {"a\n", "a\n", RUNG_COMPARE_EXACT, 0, true},
        {"", "", RUNG_COMPARE_EXACT, 0, true},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rung_code_test one = case_of(t[i].out, t[i].want);
        one.tolerance = t[i].tol;
        static const char *const cat = "import sys; sys.stdout.write(sys.stdin.read())";
        rung_error err = RUNG_ERROR_INIT;
        rung_code_result r;
        rung_code_job job = {.program = cat,
                             .n_program = strlen(cat),
                             .test = &one,
                             .n_tests = 1,
                             .compare = t[i].how};
        assert_int_equal(rung_code_check(&r, sandbox, &job, &err), RUNG_OK);
        if ((r.verdict == RUNG_VERDICT_CORRECT) != t[i].same)
            fail_msg("%zu: \"%s\" \"%s\": %s", i, t[i].out, t[i].want, r.detail);
        rung_code_result_clear(&r);
    }
}

static void other_languages(void **state) {
    NEED_SANDBOX
    static const char *const c = "#include <stdio.h>\n"
                                 "int main(void) { int a, b; if (scanf(\"%d %d\", &a, &b) != 2) "
                                 "return 1; printf(\"%d\\n\", a + b); return 0; }\n";
    static const char *const js = "const s = require('fs').readFileSync(0, 'utf8').split(' ');\n"
                                  "console.log(Number(s[0]) + Number(s[1]));\n";
    rung_code_test t[] = {case_of("2 3\n", "5\n"), case_of("1 1\n", "2\n"), case_of("x", "2\n")};
    const struct {
        rung_code_lang lang;
        const char *good, *broken;
        rung_code_reason last, compile;
    } l[] = {{RUNG_CODE_C, c, "int main( {", RUNG_CODE_EXCEPTION, RUNG_CODE_COMPILE},
             {RUNG_CODE_JAVASCRIPT, js, "let (", RUNG_CODE_OUTPUT, RUNG_CODE_EXCEPTION}};
    for (size_t i = 0; i < 2; i++) {
        rung_code_result r = run_tests_of(l[i].lang, l[i].good, "", t, 3, NULL);
        if (r.reason == RUNG_CODE_NO_TOOL) {
            print_message("SKIPPED: no %s here\n", rung_code_lang_name(l[i].lang));
            assert_int_equal(r.verdict, RUNG_VERDICT_UNKNOWN);
            rung_code_result_clear(&r);
            continue;
        }
        if (r.test[0].reason != RUNG_CODE_PASSED || r.test[1].reason != RUNG_CODE_PASSED ||
            r.test[2].reason != l[i].last)
            fail_msg("%s: %s: %s", rung_code_lang_name(l[i].lang), rung_code_reason_text(r.reason),
                     r.detail);
        rung_code_result_clear(&r);
        r = run_tests_of(l[i].lang, l[i].broken, "", t, 1, NULL);
        if (r.reason != l[i].compile) fail_msg("%s: %s", rung_code_reason_text(r.reason), r.detail);
        rung_code_result_clear(&r);
    }
}

static void rows(void **state) {
    (void)state;
    rung_arena *a = rung_arena_new(0);
    rung_error err = RUNG_ERROR_INIT;
    rung_code_job job;
    static const char *const good[] = {
        "{\"program\":\"p\",\"tests\":[{\"stdin\":\"1\",\"stdout\":\"2\"}]}",
        "{\"program\":\"p\",\"entry_point\":\"f\",\"tests\":[{\"call\":[1],\"want\":2}]}",
        "{\"code\":\"p\",\"test_list\":[\"assert 1\",\"assert 2\"]}",
        "{\"prompt\":\"p\",\"completion\":\"q\",\"entry_point\":\"f\",\"test\":\"def check(c):0\"}",
    };
    for (size_t i = 0; i < 4; i++) {
        if (rung_code_job_parse(&job, a, good[i], strlen(good[i]), &err) != RUNG_OK)
            fail_msg("%s: %s", good[i], err.what);
        assert_int_equal(job.n_tests, i == 2 ? 2 : 1);
    }
    assert_string_equal(job.program, "pq");
    assert_string_equal(job.test[0].input, "def check(c):0\ncheck(f)\n");
    static const char *const bad[] = {"{",
                                      "[]",
                                      "{\"program\":\"p\"}",
                                      "{\"tests\":[]}",
                                      "{\"program\":\"p\",\"tests\":[{}]}",
                                      "{\"program\":\"p\",\"tests\":[],\"language\":\"cobol\"}",
                                      "{\"test_list\":[]}",
                                      "{\"code\":\"p\",\"test_list\":[1]}",
                                      "{\"test\":\"x\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rung_status st = rung_code_job_parse(&job, a, bad[i], strlen(bad[i]), &err);
        if (st != RUNG_E_FORMAT && st != RUNG_E_INVAL) fail_msg("accepted: %s", bad[i]);
    }
    rung_arena_free(a);
}

/* Without bubblewrap nothing runs, and the error says what to do. */
static void refuses(void **state) {
    (void)state;
    rung_sandbox *s = NULL;
    rung_error err = RUNG_ERROR_INIT;
    rung_sandbox_opts o = RUNG_SANDBOX_OPTS_INIT;
    o.bwrap = "/nonexistent/bwrap";
    assert_int_equal(rung_sandbox_new(&s, &o, &err), RUNG_E_SANDBOX);
    assert_non_null(strstr(err.what, "/nonexistent/bwrap"));
    assert_non_null(strstr(err.hint, "weaker mode"));
    assert_null(s);
    o.bwrap = "/bin/false";
    assert_int_equal(rung_sandbox_new(&s, &o, &err), RUNG_E_SANDBOX);
    assert_int_equal(rung_status_exit_code(RUNG_E_SANDBOX), 4);
}

/* HumanEval's own solutions; RUNG_DATA. */
static rung_arena *he_arena;
static rung_jsonl *he;
static int he_correct, he_n;

static rung_status he_next(rung_code_job *job, size_t i, void *ud, rung_error *err) {
    (void)i, (void)ud;
    yyjson_val *root;
    rung_status st = rung_jsonl_next(&root, he, err);
    if (st != RUNG_OK) return st;
    size_t n;
    char *text = yyjson_val_write(root, 0, &n);
    st = rung_code_job_parse(job, he_arena, text, n, err);
    free(text);
    return st;
}

static rung_status he_done(size_t i, const rung_code_result *r, void *ud, rung_error *err) {
    (void)ud, (void)err;
    he_n++;
    he_correct += r->verdict == RUNG_VERDICT_CORRECT;
    if (r->verdict != RUNG_VERDICT_CORRECT)
        print_message("job %zu: %s: %s\n", i, rung_code_reason_text(r->reason), r->detail);
    return RUNG_OK;
}

static void human_eval(void **state) {
    NEED_SANDBOX
    const char *dir = getenv("RUNG_DATA");
    if (!dir || !*dir) {
        print_message("SKIPPED: set RUNG_DATA to a folder with humaneval/HumanEval.jsonl.gz\n");
        skip();
    }
    char cmd[1024], path[] = "/tmp/rung-humaneval-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    snprintf(cmd, sizeof cmd, "gzip -dc '%s/humaneval/HumanEval.jsonl.gz' > %s", dir, path);
    assert_int_equal(system(cmd), 0);
    rung_error err = RUNG_ERROR_INIT;
    he_arena = rung_arena_new(0);
    assert_int_equal(rung_jsonl_open(&he, path, 0, &err), RUNG_OK);
    double t0 = rung_now();
    if (rung_code_check_many(sandbox, he_next, he_done, NULL, &err) != RUNG_OK)
        fail_msg("%s", err.what);
    print_message("HumanEval: %d of %d in %.1f s\n", he_correct, he_n, rung_now() - t0);
    assert_int_equal(he_n, 164);
    assert_int_equal(he_correct, 164);
    rung_jsonl_close(he);
    rung_arena_free(he_arena);
    remove(path);
}

/* ---- the row `code` of the table of verifiers */

static void extracted(void **state) {
    (void)state;
    static const struct {
        const char *text, *program, *rule;
    } rows[] = {
        {"Here:\n```python\ndef f():\n    return 1\n```\nDone.", "def f():\n    return 1", "fence"},
        {"```\na = 1\n```\nbetter:\n```py\n\n    b = 2\n\n```", "    b = 2", "fence"},
        {"    return x + 1\n", "    return x + 1", "whole"},
        {"```python\nx = 1\n", "", ""}, /* never closed: it was cut */
        {"```\nx = 1\n```\n```\ny", "x = 1", "fence"},
        {"say `f` and ```", "say `f` and ```", "whole"},
        {"```\n\n```", "", ""},
        {"", "", ""},
    };
    const rung_verifier *v = rung_verifier_find("code");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rung_answer a;
        v->extract(&a, rows[i].text, strlen(rows[i].text));
        if (strcmp(a.text, rows[i].program) != 0 || strcmp(a.rule, rows[i].rule) != 0)
            fail_msg("row %zu: \"%s\" by \"%s\"", i, a.text, a.rule);
        assert_int_equal(a.flexible, strcmp(a.rule, "whole") == 0);
    }
    char a[128], b[128];
    v->key(a, "x = 1  \n\ny = 2\n");
    v->key(b, "x = 1\ny = 2");
    assert_string_equal(a, b);
    v->key(b, "x = 1\n y = 2");
    assert_string_not_equal(a, b);
}

static void by_meta(const char *meta, const char *program, rung_verdict verdict, const char *why) {
    const rung_verifier *v = rung_verifier_find("code");
    rung_check c;
    rung_verifier_check(&c, v, meta, "", program);
    const char *got = c.verdict == RUNG_VERDICT_CORRECT ? c.rule : c.reason;
    if (c.verdict != verdict || strcmp(got, why) != 0)
        fail_msg("%s: verdict %d, \"%s\", not %d, \"%s\"", program, c.verdict, got, verdict, why);
}

static void judged_by_meta(void **state) {
    NEED_SANDBOX
    static const char own[] =
        "{\"code\":{\"tests\":[{\"call\":[1],\"want\":2}],\"entry_point\":\"f\"},\"x\":0}";
    static const char human[] =
        "{\"code\":{\"prompt\":\"def f(x):\\n    'one more'\\n\",\"entry_point\":\"f\","
        "\"test\":\"def check(c):\\n    assert c(1) == 2\\n\"}}";
    by_meta(own, "def f(x): return x + 1", RUNG_VERDICT_CORRECT, "tests");
    by_meta(own, "def f(x): return x + 2", RUNG_VERDICT_WRONG, "wrong output");
    by_meta(own, "", RUNG_VERDICT_UNKNOWN, "no answer");
    by_meta(human, "    return x + 1", RUNG_VERDICT_CORRECT, "tests");            /* a body */
    by_meta(human, "def f(x):\n    return x + 1", RUNG_VERDICT_CORRECT, "tests"); /* all of it */
    by_meta(human, "    return x", RUNG_VERDICT_WRONG, "wrong output");
    by_meta("{}", "x = 1", RUNG_VERDICT_UNKNOWN, "no tests to run it on");
    by_meta("no JSON", "x = 1", RUNG_VERDICT_UNKNOWN, "no tests to run it on");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extracted),       cmocka_unit_test(judged_by_meta),
        cmocka_unit_test(cases),           cmocka_unit_test(case_reasons),
        cmocka_unit_test(sleeping),        cmocka_unit_test(asserts),
        cmocka_unit_test(values),          cmocka_unit_test(calls),
        cmocka_unit_test(after_a_kill),    cmocka_unit_test(comparing),
        cmocka_unit_test(other_languages), cmocka_unit_test(rows),
        cmocka_unit_test(refuses),         cmocka_unit_test(human_eval),
    };
    return cmocka_run_group_tests(tests, sandbox_open, sandbox_close);
}
