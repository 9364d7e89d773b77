/* Tool sessions: what lives on between blocks, what ends, what comes back; and rewrites of lines.
 */
#include "sandbox_test.h"

static rung_code_session *session;
static rung_block_result r;

static void run_as(const char *block, const rung_code_limits *l) {
    rung_error err = RUNG_ERROR_INIT;
    if (rung_code_session_run(&r, session, block, strlen(block), l, &err) != RUNG_OK)
        fail_msg("%s", err.what);
}

static void run(const char *block) {
    run_as(block, NULL);
}

static void wants(const char *block, rung_code_reason why, const char *out, const char *value) {
    run(block);
    if (r.reason != why || strcmp(r.out, out) != 0 || strcmp(r.value, value) != 0)
        fail_msg("\"%s\" (%s), printed \"%s\", value \"%s\", alive %d for:\n%s",
                 rung_code_reason_text(r.reason), r.detail, r.out, r.value, r.alive, block);
}

static void open_session(bool replay, const rung_code_limits *l) {
    rung_error err = RUNG_ERROR_INIT;
    rung_session_opts o = RUNG_SESSION_OPTS_INIT;
    o.replay = replay;
    if (l) o.limits = *l;
    assert_int_equal(rung_code_session_new(&session, sandbox, &o, &err), RUNG_OK);
}

static void lives(void **state) {
    NEED_SANDBOX
    open_session(false, NULL);
    wants("x = 20\ndef f(n):\n    return n + 1", RUNG_CODE_PASSED, "", "");
    wants("f(x)", RUNG_CODE_PASSED, "", "21");
    wants("print('a'); x += 1\nx * 2", RUNG_CODE_PASSED, "a\n", "42");
    wants("None", RUNG_CODE_PASSED, "", "");
    wants("import sys\nprint('to err', file=sys.stderr)", RUNG_CODE_PASSED, "", "");
    assert_string_equal(r.errs, "to err\n");
    wants("print('first')\nx = 7\n1 / 0\nx = 8", RUNG_CODE_EXCEPTION, "first\n", "");
    assert_string_equal(r.detail, "ZeroDivisionError: division by zero (block 6, line 3)");
    assert_true(r.alive);
    wants("x", RUNG_CODE_PASSED, "", "7"); /* what it did before it raised is done */
    wants("def g(:", RUNG_CODE_COMPILE, "", "");
    assert_true(r.alive);
    wants("raise SyntaxError('mine')", RUNG_CODE_EXCEPTION, "", "");
    wants("raise SystemExit(3)", RUNG_CODE_EXCEPTION, "", "");
    wants("x, __name__", RUNG_CODE_PASSED, "", "(7, '__main__')");
    wants("input()", RUNG_CODE_EXCEPTION, "", ""); /* nobody types */
    wants("open('/tmp/a', 'w').write('kept')\nopen('/tmp/a').read()", RUNG_CODE_PASSED, "",
          "'kept'");
    wants("open('/tmp/a').read()", RUNG_CODE_PASSED, "", "'kept'");
    run("\xff\xfe = 1");
    assert_int_equal(r.reason, RUNG_CODE_COMPILE);
    wants("x", RUNG_CODE_PASSED, "", "7");
    rung_code_session_free(session);
}

/* Time, output and memory over the limit; the namespace lives on where that can be. */
static void limits(void **state) {
    NEED_SANDBOX
    rung_code_limits l = {.wall_s = 3, .cpu_s = 1, .memory = 128u << 20, .output = 65536};
    rung_code_limits more = {.wall_s = 20, .cpu_s = 5};
    open_session(false, &l);
    run("x = 1");
    run("x = 2\nwhile True: pass");
    assert_int_equal(r.reason, RUNG_CODE_TIME);
    assert_true(r.alive);
    wants("x", RUNG_CODE_PASSED, "", "2");
    run_as(
        "import time\nt = time.process_time()\nwhile time.process_time() < t + 1.5: pass\n'done'",
        &more); /* its own limits */
    assert_int_equal(r.reason, RUNG_CODE_PASSED);
    assert_string_equal(r.value, "'done'");
    run("while True: print('x' * 1000)");
    assert_int_equal(r.reason, RUNG_CODE_FLOOD);
    assert_int_equal(r.n_out, 65536);
    assert_true(r.alive);
    wants("x", RUNG_CODE_PASSED, "", "2");
    run("y = 'a' * (1 << 30)");
    assert_int_equal(r.reason, RUNG_CODE_MEMORY);
    assert_true(r.alive);
    wants("x", RUNG_CODE_PASSED, "", "2");
    run("import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass");
    assert_int_equal(r.reason, RUNG_CODE_TIME);
    assert_false(r.alive); /* it would not be interrupted */
    run("x");
    assert_int_equal(r.reason, RUNG_CODE_EXCEPTION);
    assert_non_null(strstr(r.detail, "NameError"));
    rung_code_session_free(session);
}

/* Ended on purpose, and rebuilt when asked: without what ended it, with what raised. */
static void rebuilt(void **state) {
    NEED_SANDBOX
    rung_error err = RUNG_ERROR_INIT;
    size_t n = 0;
    open_session(true, NULL);
    run("import random\nxs = [random.random() for _ in range(3)]\nprint(xs)");
    char first[200];
    snprintf(first, sizeof first, "%s", r.out);
    run("n = 5\nraise ValueError");
    run("import os\nn = 6\nos._exit(1)");
    assert_false(r.alive);
    assert_int_equal(r.reason, RUNG_CODE_EXCEPTION);
    run("print(xs)\nn");
    assert_int_equal(r.n_replayed, 2);
    assert_string_equal(r.out, first); /* the same draws: nothing hidden comes from outside */
    assert_string_equal(r.value, "5");
    assert_int_equal(rung_code_session_rebuild(&n, session, &err), RUNG_OK);
    assert_int_equal(n, 3);
    wants("n", RUNG_CODE_PASSED, "", "5");
    assert_int_equal(r.n_replayed, 0);
    run("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"); /* from inside: ignored by 1 */
    run("import ctypes\nctypes.string_at(0)");
    assert_false(r.alive);
    wants("n", RUNG_CODE_PASSED, "", "5");
    assert_int_equal(rung_code_session_reset(session, &err), RUNG_OK);
    run("n");
    assert_int_equal(r.reason, RUNG_CODE_EXCEPTION);
    rung_code_session_free(session);
}

/* The walls of a program stand around a session, too, and it cannot speak for the tester. */
static void walls(void **state) {
    NEED_SANDBOX
    open_session(false, NULL);
    wants("import os\nsorted(p for p in ('/etc/passwd', '/root', '/home') if os.path.exists(p))",
          RUNG_CODE_PASSED, "", "[]");
    run("import socket\nsocket.socket()");
    assert_int_equal(r.reason, RUNG_CODE_EXCEPTION);
    run("import os\nos.write(3, b'\\xff' * 64)");
    assert_int_equal(r.reason, RUNG_CODE_TAMPERED);
    assert_false(r.alive);
    run("import os, struct, json\nt = json.dumps({'ok': [1, 2]}).encode()\n"
        "os.write(3, struct.pack('<II', len(t), 0) + t)");
    assert_int_equal(r.reason, RUNG_CODE_TAMPERED);
    run("'still here'");
    assert_int_equal(r.reason, RUNG_CODE_PASSED);
    rung_code_session_free(session);
}

/* Sessions hold boxes; checks go on in what is left, and an error says when there is none. */
static void holding(void **state) {
    NEED_SANDBOX
    rung_error err = RUNG_ERROR_INIT;
    rung_code_session *a, *b, *none = NULL;
    rung_block_result q;
    assert_int_equal(rung_code_session_new(&a, sandbox, NULL, &err), RUNG_OK);
    one_test("print('ok')", case_of("", "ok\n"), NULL, RUNG_CODE_PASSED, NULL);
    assert_int_equal(rung_code_session_new(&b, sandbox, NULL, &err), RUNG_OK);
    assert_int_equal(rung_code_session_new(&none, sandbox, NULL, &err), RUNG_E_LIMIT);
    assert_null(none);
    rung_code_test t = case_of("", "ok\n");
    rung_code_job job = {.program = "print('ok')", .n_program = 11, .test = &t, .n_tests = 1};
    rung_code_result res;
    assert_int_equal(rung_code_check(&res, sandbox, &job, &err), RUNG_E_MISUSE);
    assert_int_equal(rung_code_session_run(&q, a, "x = 'a'", 7, NULL, &err), RUNG_OK);
    assert_int_equal(rung_code_session_run(&q, b, "x = 'b'", 7, NULL, &err), RUNG_OK);
    assert_int_equal(rung_code_session_run(&q, a, "x", 1, NULL, &err), RUNG_OK);
    assert_string_equal(q.value, "'a'"); /* a namespace each */
    rung_code_session_free(b);
    one_test("print('ok')", case_of("", "ok\n"), NULL, RUNG_CODE_PASSED, NULL);
    assert_int_equal(rung_code_session_run(&q, a, "x", 1, NULL, &err), RUNG_OK);
    assert_string_equal(q.value, "'a'");
    rung_code_session_free(a);
}

/* ---- rewrites */

static const char *const subject = "def f(xs, k):\n"                  /* 1 */
                                   "    \"\"\"a text\"\"\"\n"         /* 2 */
                                   "    total = 0  # \xc3\xa9\n"      /* 3 */
                                   "    for i in range(len(xs)):\n"   /* 4 */
                                   "        if xs[i] < k:\n"          /* 5 */
                                   "            total += xs[i] * 2\n" /* 6 */
                                   "    return total + len([y for y in xs if 0 < y < k])\n";

static void rewriting(void **state) {
    NEED_SANDBOX
    static const struct {
        int32_t line;
        const char *mode, *op, *text;
    } want[] = {
        {3, "mutate", "off-by-one", "    total = 1  # \xc3\xa9"},
        {4, "mutate", "off-by-one", "    for i in range(len(xs) - 1):"},
        {4, "mutate", "variable", "    for i in range(len(k)):"},
        {4, "refactor", "expand", "    for i in range(0, len(xs)):"},
        {5, "mutate", "condition", "        if xs[i] >= k:"},
        {5, "mutate", "off-by-one", "        if xs[i] <= k:"},
        {5, "mutate", "off-by-one", "        if xs[i - 1] < k:"},
        {5, "refactor", "commute", "        if k > xs[i]:"},
        {5, "refactor", "expand", "        if (not xs[i] >= k):"},
        {6, "mutate", "operator", "            total -= xs[i] * 2"},
        {6, "mutate", "constant", "            total += xs[i] * 0"},
        {6, "refactor", "expand", "            total = total + (xs[i] * 2)"},
        {6, "refactor", "commute", "            total += 2 * xs[i]"},
        {7, "refactor", "rename", "    return total + len([y_ for y_ in xs if 0 < y_ < k])"},
        {7, "refactor", "expand", "    return total + len([y for y in xs if (0 < y and y < k)])"},
        {7, "refactor", "commute", "    return len([y for y in xs if 0 < y < k]) + total"},
    };
    rung_arena *a = rung_arena_new(0);
    rung_error err = RUNG_ERROR_INIT;
    rung_rewrite_opts o = RUNG_REWRITE_OPTS_INIT;
    rung_code_rewrite *w = NULL, *again = NULL;
    size_t n = 0, n_again = 0;
    if (rung_code_rewrites(&w, &n, a, sandbox, subject, strlen(subject), &o, &err) != RUNG_OK)
        fail_msg("%s", err.what);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        size_t k = 0;
        while (k < n && !(w[k].line == want[i].line && strcmp(w[k].mode, want[i].mode) == 0 &&
                          strcmp(w[k].op, want[i].op) == 0 && strcmp(w[k].text, want[i].text) == 0))
            k++;
        if (k == n) fail_msg("not found: %d %s %s", want[i].line, want[i].op, want[i].text);
    }
    for (size_t k = 0; k < n; k++) { /* one line changes, and it is the one that is told */
        const char *p = rung_code_rewrite_apply(a, subject, strlen(subject), &w[k]), *q = subject;
        for (int32_t line = 1; *p || *q; line++) {
            size_t n_p = strcspn(p, "\n"), n_q = strcspn(q, "\n");
            bool same = n_p == n_q && memcmp(p, q, n_p) == 0;
            if (same == (line == w[k].line)) fail_msg("line %d of: %s", line, w[k].text);
            if (!same && (n_p != strlen(w[k].text) || memcmp(p, w[k].text, n_p) != 0))
                fail_msg("line %d is not: %s", line, w[k].text);
            p += n_p + (p[n_p] == '\n');
            q += n_q + (q[n_q] == '\n');
        }
        assert_true(w[k].line != 1 && w[k].line != 2);
    }
    o.per_line = 2;
    o.first_line = 5;
    o.seed = 3;
    assert_int_equal(rung_code_rewrites(&w, &n, a, sandbox, subject, strlen(subject), &o, &err),
                     RUNG_OK);
    assert_int_equal(n, 3 * 2 * 2);
    assert_int_equal(
        rung_code_rewrites(&again, &n_again, a, sandbox, subject, strlen(subject), &o, &err),
        RUNG_OK);
    assert_int_equal(n_again, n);
    for (size_t k = 0; k < n; k++) {
        assert_true(w[k].line >= 5);
        assert_string_equal(w[k].text, again[k].text);
    }
    assert_int_equal(rung_code_rewrites(&w, &n, a, sandbox, "def f(:", 7, NULL, &err),
                     RUNG_E_FORMAT);
    assert_non_null(strstr(err.what, "SyntaxError"));
    rung_arena_free(a);
}

/* labels.md 7.7: with more tests fewer mutants pass for harmless, and refactorings stay so. */
static rung_arena *pool;
static const rung_code_rewrite *candidate;
static size_t n_candidates, n_label[2][2]; /* [mutate, refactor][label] */
static rung_code_test f_tests[20];
static size_t n_f_tests;

static rung_status candidate_next(rung_code_job *job, size_t i, void *ud, rung_error *err) {
    (void)ud, (void)err;
    static const rung_code_limits quick = {.wall_s = 20, .cpu_s = 1};
    if (i >= n_candidates) return RUNG_DONE;
    const char *p = rung_code_rewrite_apply(pool, subject, strlen(subject), &candidate[i]);
    *job = (rung_code_job){.program = p,
                           .n_program = strlen(p),
                           .entry = "f",
                           .setup = "",
                           .test = f_tests,
                           .n_tests = n_f_tests,
                           .limits = &quick};
    return RUNG_OK;
}

static rung_status candidate_done(size_t i, const rung_code_result *res, void *ud,
                                  rung_error *err) {
    (void)ud, (void)err;
    bool refactor = strcmp(candidate[i].mode, "refactor") == 0;
    if (res->verdict == RUNG_VERDICT_UNKNOWN) return RUNG_OK;
    n_label[refactor][res->verdict == RUNG_VERDICT_CORRECT]++;
    if (refactor && res->verdict != RUNG_VERDICT_CORRECT)
        print_message("a refactoring that fails: %s (%s)\n", candidate[i].text, res->detail);
    return RUNG_OK;
}

static void labels_by_tests(void **state) {
    NEED_SANDBOX
    static const struct {
        const char *in, *want;
    } t[20] = {{"[[], 3]", "0"},           {"[[1], 3]", "3"},          {"[[3], 3]", "0"},
               {"[[2, 5], 5]", "5"},       {"[[5, 2], 5]", "5"},       {"[[0, 1], 5]", "3"},
               {"[[-1, 1], 5]", "1"},      {"[[1, 1, 1], 2]", "9"},    {"[[4, 3, 2], 4]", "12"},
               {"[[9], 9]", "0"},          {"[[8], 9]", "17"},         {"[[0], 1]", "0"},
               {"[[-3], 0]", "-6"},        {"[[-3], -3]", "0"},        {"[[1, 2, 3, 4], 3]", "8"},
               {"[[4, 3, 2, 1], 3]", "8"}, {"[[7, 7], 8]", "30"},      {"[[1, 9], 2]", "3"},
               {"[[9, 1], 2]", "3"},       {"[[2, 2, 2, 2], 3]", "20"}};
    rung_error err = RUNG_ERROR_INIT;
    rung_rewrite_opts o = RUNG_REWRITE_OPTS_INIT;
    rung_code_rewrite *w = NULL;
    static const size_t sizes[] = {1, 5, 20};
    size_t passing[3];
    pool = rung_arena_new(0);
    assert_int_equal(
        rung_code_rewrites(&w, &n_candidates, pool, sandbox, subject, strlen(subject), &o, &err),
        RUNG_OK);
    candidate = w;
    for (size_t i = 0; i < 20; i++) f_tests[i] = call_of(t[i].in, t[i].want);
    for (size_t k = 0; k < 3; k++) {
        memset(n_label, 0, sizeof n_label);
        n_f_tests = sizes[k];
        if (rung_code_check_many(sandbox, candidate_next, candidate_done, NULL, &err) != RUNG_OK)
            fail_msg("%s", err.what);
        passing[k] = n_label[0][1];
        print_message("%zu tests: %zu of %zu mutations pass, %zu of %zu refactorings\n", sizes[k],
                      n_label[0][1], n_label[0][0] + n_label[0][1], n_label[1][1],
                      n_label[1][0] + n_label[1][1]);
        assert_int_equal(n_label[1][0], 0);
    }
    assert_true(passing[0] > passing[1] && passing[1] > passing[2]);
    assert_true(passing[2] * 10 < n_candidates); /* equivalent mutants are the floor */
    rung_arena_free(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lives),           cmocka_unit_test(limits),  cmocka_unit_test(rebuilt),
        cmocka_unit_test(walls),           cmocka_unit_test(holding), cmocka_unit_test(rewriting),
        cmocka_unit_test(labels_by_tests),
    };
    return cmocka_run_group_tests(tests, sandbox_open, sandbox_close);
}
