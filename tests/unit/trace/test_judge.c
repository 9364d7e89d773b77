/* What a trace that was cut is worth: an answer only where it marked one and finished it. */
#include "rung/problem.h"
#include "rung/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void judge(const char *text, const char *stop, rung_verdict verdict, const char *answer,
                  const char *reason) {
    rung_problem p = {
        .set = "t", .key = "1", .answer = "18", .world = "", .meta = "{}", .verifier = "math"};
    rung_trace t = {.text = text, .n_bytes = (int32_t)strlen(text), .stop = stop};
    rung_arena *a = rung_arena_new(0);
    rung_error err = RUNG_ERROR_INIT;
    if (rung_trace_judge(&t, a, &p, &err) != RUNG_OK) fail_msg("%s", err.what);
    if (t.verdict != verdict || strcmp(t.answer, answer) != 0 || strcmp(t.reason, reason) != 0) {
        fail_msg("\"%s\" (%s): verdict %d, answer \"%s\", reason \"%s\"", text, stop ? stop : "-",
                 (int)t.verdict, t.answer, t.reason);
    }
    assert_int_equal(t.answer_key[0] != 0, answer[0] != 0);
    assert_int_equal(t.rule[0] != 0, answer[0] != 0);
    rung_arena_free(a);
}

static void a_cut_trace_has_the_answer_it_marked(void **state) {
    (void)state;
    static const char before[] = "cut before a final answer",
                      inside[] = "cut inside the final answer";
    /* the last number of a text that ended by itself is its answer, of one that was cut it is not
     */
    judge("9 + 9 = 18", "eos", RUNG_VERDICT_CORRECT, "18", "");
    judge("9 + 9 = 18", NULL, RUNG_VERDICT_CORRECT, "18", "");
    judge("9 + 9 = 18", "given", RUNG_VERDICT_CORRECT, "18", "");
    judge("9 + 8 = 17", "stop", RUNG_VERDICT_WRONG, "17", "");
    judge("9 + 9 = 18, and then", "length", RUNG_VERDICT_UNKNOWN, "", before);
    judge("9 + 8 = 17, and then", "length", RUNG_VERDICT_UNKNOWN, "", before);
    judge("9 + 9 = 18, and then", "context", RUNG_VERDICT_UNKNOWN, "", before);
    judge("no number here", "length", RUNG_VERDICT_UNKNOWN, "", before);
    judge("", "length", RUNG_VERDICT_UNKNOWN, "", before);
    /* a marked answer stands, unless it may not be whole */
    judge("9 + 9 = 18\n#### 18\n", "length", RUNG_VERDICT_CORRECT, "18", "");
    judge("#### 18\nLet me check", "length", RUNG_VERDICT_CORRECT, "18", "");
    judge("#### 17\n", "length", RUNG_VERDICT_WRONG, "17", "");
    judge("so \\boxed{18}", "length", RUNG_VERDICT_CORRECT, "18", "");
    judge("9 + 9 = 18\n#### 1", "length", RUNG_VERDICT_UNKNOWN, "", inside);
    judge("9 + 9 = 18\n#### 18", "length", RUNG_VERDICT_UNKNOWN, "", inside);
    judge("9 + 9 = 18\n#### 18", "eos", RUNG_VERDICT_CORRECT, "18", "");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_cut_trace_has_the_answer_it_marked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
