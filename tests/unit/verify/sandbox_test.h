/* Shared by the tests of the sandbox: one sandbox per process, or a loud, counted skip. */
#ifndef RUNG_TESTS_SANDBOX_TEST_H
#define RUNG_TESTS_SANDBOX_TEST_H
#include "rung/code.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifndef SANDBOX_MODE /* a test of the weaker mode names it */
#define SANDBOX_MODE RUNG_SANDBOX_BWRAP
#endif

static rung_sandbox *sandbox;

/* Group set-up. Where namespaces are impossible every test skips, and says so; with
 * RUNG_NEED_SANDBOX=1 it fails instead. */
static int sandbox_open(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_sandbox_opts o = RUNG_SANDBOX_OPTS_INIT;
    o.n_boxes = 2;
    o.mode = SANDBOX_MODE;
    if (rung_sandbox_new(&sandbox, &o, &err) == RUNG_OK) {
        print_message("sandbox: %s\n", rung_sandbox_describe_view(sandbox));
        return 0;
    }
    print_message("SKIPPED, ALL TESTS OF THIS FILE: %s (%s)\n", err.what, err.hint);
    const char *need = getenv("RUNG_NEED_SANDBOX");
    return need && *need == '1' ? -1 : 0;
}

static int sandbox_close(void **state) {
    (void)state;
    rung_sandbox_free(sandbox);
    sandbox = NULL;
    return 0;
}

#define NEED_SANDBOX                                                                               \
    (void)state;                                                                                   \
    if (!sandbox) {                                                                                \
        print_message("SKIPPED: no sandbox on this machine\n");                                    \
        skip();                                                                                    \
    }

static inline rung_code_test case_of(const char *in, const char *want) {
    return (rung_code_test){RUNG_TEST_STDIN, in, want, strlen(in), strlen(want), NULL, 0};
}
static inline rung_code_test assert_of(const char *text) {
    return (rung_code_test){RUNG_TEST_ASSERT, text, NULL, strlen(text), 0, NULL, 0};
}
static inline rung_code_test call_of(const char *args, const char *want) {
    return (rung_code_test){RUNG_TEST_CALL, args, want, strlen(args), strlen(want), NULL, 0};
}

/* result: the caller clears it */
static rung_code_result run_tests_of(rung_code_lang lang, const char *program, const char *entry,
                                     const rung_code_test *t, size_t n,
                                     const rung_code_limits *limits) {
    rung_code_result r;
    rung_error err = RUNG_ERROR_INIT;
    rung_code_limits more = limits ? *limits : (rung_code_limits){0};
    rung_code_job job = {.lang = lang,
                         .program = program,
                         .n_program = strlen(program),
                         .entry = entry,
                         .setup = "",
                         .test = t,
                         .n_tests = n,
                         .limits = limits};
    for (int i = 0;; i++) { /* a loaded machine: the same with more patience, at most 4 times */
        bool starved = false;
        if (rung_code_check(&r, sandbox, &job, &err) != RUNG_OK) fail_msg("%s", err.what);
        for (size_t k = 0; k < n; k++) starved |= r.test[k].reason == RUNG_CODE_STARVED;
        if (!starved || i == 4) return r;
        print_message("starved, once more\n");
        more.wall_s = more.wall_s > 0 ? 2 * more.wall_s : 20;
        job.limits = &more;
        rung_code_result_clear(&r);
    }
}

/* One test of a Python program; the reason must be this one. */
static inline void one_test(const char *program, rung_code_test t, const rung_code_limits *limits,
                            rung_code_reason want, const char *detail) {
    rung_code_result r = run_tests_of(RUNG_CODE_PYTHON, program, "f", &t, 1, limits);
    if (r.reason != want || r.verdict != rung_code_reason_verdict(want) ||
        (detail && !strstr(r.detail, detail)))
        fail_msg("%s: \"%s\" (%s), not \"%s\"%s%s, for:\n%s", rung_verdict_name(r.verdict),
                 rung_code_reason_text(r.reason), r.detail, rung_code_reason_text(want),
                 detail ? " with " : "", detail ? detail : "", program);
    rung_code_result_clear(&r);
}
#endif
