/* What each kind of server is asked for, word by word, and what is refused. */
#include "model/remote_sampling.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect_words(const rung_sampling *s, const char *server, const char *want) {
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_wire_more_check(s, server, &err), RUNG_OK);
    yyjson_mut_doc *d = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(d);
    yyjson_mut_doc_set_root(d, root);
    assert_true(rung_wire_more_add(d, root, s, server));
    char *text = yyjson_mut_write(d, 0, NULL);
    assert_string_equal(text, want);
    free(text);
    yyjson_mut_doc_free(d);
}

static void expect_refused(const rung_sampling *s, const char *server, const char *why) {
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_wire_more_check(s, server, &err), RUNG_E_INVAL);
    if (!strstr(err.what, why)) fail_msg("%s", err.what);
    assert_true(err.hint[0] != 0);
}

static void words(void **state) {
    (void)state;
    static const rung_logit_bias bias[] = {{5, 1.5f}, {7, -INFINITY}};
    rung_sampling s = RUNG_SAMPLING_INIT;
    expect_words(&s, NULL, "{}");
    s.presence_penalty = 0.5;
    s.frequency_penalty = -0.25;
    s.bias = bias;
    s.n_bias = 2;
    const char *plain = "{\"presence_penalty\":0.5,\"frequency_penalty\":-0.25,"
                        "\"logit_bias\":{\"5\":1.5,\"7\":-100.0}}";
    expect_words(&s, NULL, plain);
    expect_words(&s, "openai", plain);
    expect_words(&s, "vllm", plain);
    s.repeat_penalty = 1.25;
    s.penalty_last_n = 32;
    s.grammar = "root ::= \"a\"";
    s.temperature_first = true;
    expect_words(&s, "llama-server",
                 "{\"presence_penalty\":0.5,\"frequency_penalty\":-0.25,\"repeat_penalty\":1.25,"
                 "\"repeat_last_n\":32,\"logit_bias\":{\"5\":1.5,\"7\":false},"
                 "\"grammar\":\"root ::= \\\"a\\\"\","
                 "\"samplers\":[\"penalties\",\"temperature\",\"top_k\",\"top_p\",\"min_p\"]}");
    s = (rung_sampling)RUNG_SAMPLING_INIT;
    s.repeat_penalty = 1.25;
    s.penalty_last_n = -1;
    s.temperature_first = true;
    expect_words(&s, "vllm", "{\"repetition_penalty\":1.25}");
}

static void refusals(void **state) {
    (void)state;
    rung_sampling s = RUNG_SAMPLING_INIT;
    s.repeat_penalty = 1.25;
    expect_refused(&s, NULL, "a repeat penalty");
    expect_refused(&s, "vllm", "a window of the penalties"); /* 64 by default; it has no window */
    s.repeat_penalty = 1.0;
    s.presence_penalty = 1.0;
    s.penalty_last_n = 16;
    expect_refused(&s, "openai", "a window of the penalties");
    s = (rung_sampling)RUNG_SAMPLING_INIT;
    s.grammar = "root ::= \"a\"";
    expect_refused(&s, "vllm", "a GBNF grammar");
    s = (rung_sampling)RUNG_SAMPLING_INIT;
    s.temperature_first = true;
    expect_refused(&s, NULL, "an order of the filters");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(words), cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
