/* Claims with letters under stated equations: each verdict was worked out by hand. */
#include "rung/step.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static rung_solver *solver;

static int setup(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    return rung_solver_new(&solver, NULL, &err) == RUNG_OK ? 0 : -1;
}
static int teardown(void **state) {
    (void)state;
    rung_solver_free(solver);
    return 0;
}

static const struct {
    const char *given, *step;
    char verdict;
    const char *why; /* rule, or reason where it is not correct */
} rows[] = {
    {"", "(a + b)^2 = a^2 + 2ab + b^2", 'C', "identity"},
    {"", "\\frac{x^2 - 1}{x - 1} = x + 1", 'C', "identity"},
    {"", "2x + 3 = 7", 'U', "letters"},
    {"", "\\sqrt{16} = 4", 'C', "value"},
    {"", "\\sqrt{16} = 5", 'W', "not equal"},
    {"2x + 3 = 7", "2x = 4", 'C', "follows"},
    {"2x + 3 = 7", "so x = 2", 'C', "follows"},
    {"2x + 3 = 7", "so x = 3", 'W', "does not follow"},
    {"x + y = 10; x - y = 2", "Adding, $2x = 12$", 'C', "follows"},
    {"x + y = 10; x - y = 2", "Hence $y = 4$", 'C', "follows"},
    {"x + y = 10; x - y = 2", "Hence $y = 5$", 'W', "does not follow"},
    {"x + y = 10", "x = 6", 'W', "does not follow"}, /* it may be, but does not follow */
    {"Given that x + y = 10 and x - y = 2.", "x = 6", 'C', "follows"},
    {"x^2 = 9; x > 0", "x = 3", 'C', "follows"},
    {"x^2 = 9", "x = 3", 'W', "does not follow"},
    {"x^2 = 9", "x = 3 or x = -3", 'U', "one of several"},
    {"x^2 = 9", "If x = 3 then all is well", 'U', "a case"},
    {"x + y = 10", "Let y = 4", 'U', "a definition"},
    {"x + y = 10", "z = 4", 'U', "of a letter nothing is stated"},
    {"x = 1; x = 2", "x = 3", 'U', "what is given contradicts itself"},
    {"x > 2; x < 4", "x = 3", 'W', "does not follow"},
    {"int x; x > 2; x < 4", "x = 3", 'C', "follows"},
    {"nat n", "n >= 0", 'U', "letters"}, /* nothing is stated of n but its kind */
    {"nat n; n < 1", "n = 0", 'C', "follows"},
    {"0.5x = 1.05", "x = 2.1", 'C', "follows"},
    {"y = \\frac{x}{2}; x = 7", "y = 3.5", 'C', "follows"},
    {"x * y = 12; x + y = 7; x > y", "x = 4", 'C', "follows"},
    {"x + y = 10", "3 + 4 = 8", 'W', "not equal"},
};

static void claims(void **state) {
    (void)state;
    const rung_step_verifier *v = rung_step_verifier_find("step");
    int n_bad = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rung_step_verdict out;
        rung_step_task t = RUNG_STEP_TASK_INIT;
        rung_error err = RUNG_ERROR_INIT;
        rung_arena *a = rung_arena_new(0);
        int32_t n = (int32_t)strlen(rows[i].step);
        t.given = rows[i].given;
        t.step = &rows[i].step;
        t.n_bytes = &n;
        t.n_steps = 1;
        assert_int_equal(v->check(&out, a, &t, solver, &err), RUNG_OK);
        const char *why = out.verdict == RUNG_VERDICT_CORRECT ? out.rule : out.reason;
        if ("UCW"[out.verdict] != rows[i].verdict || strcmp(why, rows[i].why) != 0) {
            print_message("  %s |- %s: %c %s (%s), want %c %s\n", rows[i].given, rows[i].step,
                          "UCW"[out.verdict], why, out.note, rows[i].verdict, rows[i].why);
            n_bad++;
        }
        rung_arena_free(a);
    }
    assert_int_equal(n_bad, 0);
}

static void counter_model(void **state) {
    (void)state;
    const rung_step_verifier *v = rung_step_verifier_find("step");
    const char *step = "Hence $y = 5$";
    int32_t n = (int32_t)strlen(step);
    rung_step_verdict out;
    rung_step_task t = RUNG_STEP_TASK_INIT;
    rung_error err = RUNG_ERROR_INIT;
    rung_arena *a = rung_arena_new(0);
    t.given = "x + y = 10\nx - y = 2";
    t.step = &step;
    t.n_bytes = &n;
    t.n_steps = 1;
    assert_int_equal(v->check(&out, a, &t, solver, &err), RUNG_OK);
    assert_string_equal(out.note, "x = 6, y = 4");
    assert_int_equal(out.begin, 7);
    /* without a solver what needs it is unknown */
    assert_int_equal(v->check(&out, a, &t, NULL, &err), RUNG_OK);
    assert_int_equal(out.verdict, RUNG_VERDICT_UNKNOWN);
    rung_arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(claims), cmocka_unit_test(counter_model)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
