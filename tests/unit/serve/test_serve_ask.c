/* Requests read from JSON: what comes out, what is refused and why; frames of the pipe; the token.
 */
#include "serve/serve_ask.h"
#include "serve/serve_impl.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static const rung_serve_caps caps = {.name = "tiny",
                                     .method = "beam",
                                     .max_tok = 100,
                                     .n = 8,
                                     .budget_tok = 5000,
                                     .deadline_s = 60,
                                     .sampling = {.temperature = 0.7, .top_p = 0.9}};
#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]"
static rung_arena *arena;
static rung_error err;

static rung_status read_as(serve_ask *a, serve_kind kind, const char *body) {
    rung_arena_reset(arena);
    err = (rung_error)RUNG_ERROR_INIT;
    return serve_ask_read(a, arena, kind, body, strlen(body), &caps, &err);
}

static void refused(serve_kind kind, const char *body, rung_status st, const char *word) {
    serve_ask a;
    rung_status got = read_as(&a, kind, body);
    if (got != st || !strstr(err.what, word)) fail_msg("%s: %d \"%s\"", body, got, err.what);
}

static void test_tokens(void **state) {
    serve_ask a;
    (void)state;
    assert_int_equal(
        read_as(&a, SERVE_TOKENIZE, "{\"prompt\":\"ab\",\"add_special_tokens\":false}"), RUNG_OK);
    assert_string_equal(a.prompt->text, "ab");
    assert_false(a.add_special);
    assert_int_equal(read_as(&a, SERVE_TOKENIZE, "{" USER ",\"return_token_strs\":true}"), RUNG_OK);
    assert_null(a.prompt->text);
    assert_string_equal(a.user, "q");
    assert_true(a.add_special && a.token_texts);
    assert_int_equal(read_as(&a, SERVE_DETOKENIZE, "{\"tokens\":[3,0]}"), RUNG_OK);
    assert_int_equal(a.prompt->n_tok, 2);
    assert_int_equal(a.prompt->tok[0], 3);
    assert_int_equal(read_as(&a, SERVE_TOKENIZER, ""), RUNG_OK);
    refused(SERVE_TOKENIZE, "{}", RUNG_E_INVAL, "prompt");
    refused(SERVE_TOKENIZE, "{" USER ",\"add_generation_prompt\":false}", RUNG_E_INVAL,
            "add_gener");
    refused(SERVE_DETOKENIZE, "{\"tokens\":[-1]}", RUNG_E_INVAL, "token");
    refused(SERVE_DETOKENIZE, "{\"tokens\":[]}", RUNG_E_INVAL, "empty");
}

static void test_chat(void **state) {
    serve_ask a;
    (void)state;
    assert_int_equal(
        read_as(&a, SERVE_CHAT,
                "{\"model\":\"tiny:sample\",\"messages\":[{\"role\":\"system\",\"content\":\"be "
                "brief\"},"
                "{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"b\"},"
                "{\"role\":\"assistant\",\"content\":\"c\"},"
                "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"d\"}]}],"
                "\"n\":2,\"stop\":[\"x\",\"yy\"],\"seed\":-5,\"top_k\":-1,\"logprobs\":true,"
                "\"top_logprobs\":4,\"unknown_to_us\":{}}"),
        RUNG_OK);
    assert_string_equal(a.system, "be brief");
    assert_int_equal(a.n_turns, 1);
    assert_string_equal(a.turn[0].user, "a\n\nb");
    assert_string_equal(a.turn[0].reply, "c");
    assert_string_equal(a.user, "d");
    assert_null(a.prefix);
    assert_int_equal(a.n, 2);
    assert_int_equal(a.max_tok, 100);
    assert_int_equal(a.n_stop, 2);
    assert_string_equal(a.stop[1], "yy");
    assert_true(a.has_seed);
    assert_int_equal((int64_t)a.seed, -5);
    assert_int_equal(a.sampling.top_k, 0);
    assert_true(a.sampling.temperature == 0.7 && a.sampling.top_p == 0.9);
    assert_true(a.logprobs && a.n_top == 4);
    assert_int_equal(a.budget_tok, 5000);
    assert_string_equal(serve_ask_method(&a, &caps), "sample");
    assert_int_equal(read_as(&a, SERVE_CHAT, "{" USER "}"), RUNG_OK);
    assert_string_equal(serve_ask_method(&a, &caps), "beam");
}

static void test_continue(void **state) {
    serve_ask a;
    (void)state;
    assert_int_equal(read_as(&a, SERVE_CHAT,
                             "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},"
                             "{\"role\":\"assistant\",\"content\":\"so \"}],"
                             "\"continue_final_message\":true,\"add_generation_prompt\":false,"
                             "\"model\":\"tiny:sample\",\"max_completion_tokens\":7}"),
                     RUNG_OK);
    assert_string_equal(a.prefix, "so ");
    assert_int_equal(a.max_tok, 7);
    assert_string_equal(serve_ask_method(&a, &caps), "sample");
    refused(SERVE_CHAT,
            "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},"
            "{\"role\":\"assistant\",\"content\":\"so \"}]}",
            RUNG_E_INVAL, "assistant's");
    refused(SERVE_CHAT,
            "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}],"
            "\"continue_final_message\":true}",
            RUNG_E_INVAL, "nothing to continue");
}

static void test_completion(void **state) {
    serve_ask a;
    (void)state;
    assert_int_equal(read_as(&a, SERVE_COMPLETION,
                             "{\"prompt\":\"p\",\"echo\":true,\"logprobs\":0,"
                             "\"max_tokens\":0}"),
                     RUNG_OK);
    assert_true(a.echo && a.logprobs && a.n_top == 0 && a.max_tok == 0 && a.n_prompts == 1);
    assert_string_equal(a.prompt[0].text, "p");
    assert_string_equal(serve_ask_method(&a, &caps), "sample");
    assert_int_equal(read_as(&a, SERVE_COMPLETION, "{\"prompt\":[1,2,3]}"), RUNG_OK);
    assert_int_equal(a.prompt[0].n_tok, 3);
    assert_int_equal(read_as(&a, SERVE_COMPLETION, "{\"prompt\":[[1],\"b\",[2,3]]}"), RUNG_OK);
    assert_int_equal(a.n_prompts, 3);
    assert_int_equal(a.prompt[2].tok[1], 3);
    assert_int_equal(
        read_as(&a, SERVE_COMPLETION, "{\"prompt\":\"p\",\"logit_bias\":{\"5\":-100,\"6\":2.5}}"),
        RUNG_OK);
    assert_int_equal(a.sampling.n_bias, 2);
    assert_true(isinf(a.sampling.bias[0].bias) && a.sampling.bias[1].bias == 2.5f);
    refused(SERVE_COMPLETION, "{\"prompt\":\"p\",\"max_tokens\":0}", RUNG_E_INVAL, "nothing");
    refused(SERVE_COMPLETION, "{\"prompt\":[]}", RUNG_E_INVAL, "empty");
    refused(SERVE_COMPLETION, "{\"prompt\":[-1]}", RUNG_E_INVAL, "token");
    refused(SERVE_COMPLETION, "{}", RUNG_E_INVAL, "prompt");
    refused(SERVE_COMPLETION, "{\"prompt\":\"p\",\"echo\":true,\"rung\":{\"method\":\"sc\"}}",
            RUNG_E_INVAL, "echo");
}

static void test_refused(void **state) {
    char deep[400];
    (void)state;
    refused(SERVE_CHAT, "{" USER, RUNG_E_FORMAT, "JSON");
    refused(SERVE_CHAT, "[]", RUNG_E_FORMAT, "object");
    refused(SERVE_CHAT, "", RUNG_E_FORMAT, "JSON");
    refused(SERVE_CHAT, "{" USER ",\"n\":9}", RUNG_E_INVAL, "1..8");
    refused(SERVE_CHAT, "{" USER ",\"n\":1.5}", RUNG_E_INVAL, "whole");
    refused(SERVE_CHAT, "{" USER ",\"n\":\"2\"}", RUNG_E_INVAL, "whole");
    refused(SERVE_CHAT, "{" USER ",\"max_tokens\":101}", RUNG_E_INVAL, "max_tokens");
    refused(SERVE_CHAT, "{" USER ",\"temperature\":-0.1}", RUNG_E_INVAL, "temperature");
    refused(SERVE_CHAT, "{" USER ",\"tools\":[{}]}", RUNG_E_INVAL, "tools");
    refused(SERVE_CHAT, "{" USER ",\"best_of\":2}", RUNG_E_INVAL, "best_of");
    refused(SERVE_CHAT, "{" USER ",\"top_logprobs\":2}", RUNG_E_INVAL, "logprobs");
    refused(SERVE_CHAT, "{" USER ",\"model\":\"tinier\"}", RUNG_E_NOT_FOUND, "tinier");
    refused(SERVE_CHAT, "{" USER ",\"model\":\"tiny:no\"}", RUNG_E_INVAL, "no method");
    refused(SERVE_CHAT, "{" USER ",\"stop\":\"\"}", RUNG_E_INVAL, "stop");
    refused(SERVE_CHAT, "{" USER ",\"stop\":[1]}", RUNG_E_INVAL, "stop");
    refused(SERVE_CHAT, "{" USER ",\"rung\":{\"metod\":1}}", RUNG_E_INVAL, "metod");
    refused(SERVE_CHAT, "{" USER ",\"rung\":{\"budget_tokens\":5001}}", RUNG_E_INVAL, "budget");
    refused(SERVE_CHAT, "{" USER ",\"rung\":{\"deadline_s\":61}}", RUNG_E_INVAL, "deadline");
    refused(SERVE_CHAT, "{" USER ",\"grammar\":\"root ::= (\"}", RUNG_E_FORMAT, "");
    refused(SERVE_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\\u0000b\"}]}",
            RUNG_E_INVAL, "NUL");
    refused(SERVE_CHAT, "{\"messages\":[{\"role\":\"tool\",\"content\":\"a\"}]}", RUNG_E_INVAL,
            "tool");
    refused(SERVE_CHAT, "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"}]}", RUNG_E_INVAL,
            "before");
    refused(SERVE_CHAT, "{\"messages\":[{\"role\":\"system\",\"content\":\"a\"}]}", RUNG_E_INVAL,
            "nobody");
    memset(deep, '[', 200);
    memset(deep + 200, ']', 199);
    deep[399] = 0;
    refused(SERVE_CHAT, deep, RUNG_E_FORMAT, "deeper");
    memset(deep, '[', 200); /* brackets in a string are text */
    memcpy(deep, "{\"a\":\"\\\"", 8);
    memcpy(deep + 200, "\"}", 3);
    refused(SERVE_CHAT, deep, RUNG_E_INVAL, "messages");
}

static void test_scoring(void **state) {
    serve_ask a;
    (void)state;
    assert_int_equal(read_as(&a, SERVE_POOLING, "{\"model\":\"prm\",\"input\":\"x<tag>\"}"),
                     RUNG_OK);
    assert_true(a.n_scored == 1 && !a.scored[0].question);
    assert_int_equal(
        read_as(&a, SERVE_POOLING,
                "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\","
                "\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"t\"}]}"),
        RUNG_OK);
    assert_string_equal(a.scored[0].question, "q");
    assert_string_equal(a.scored[0].text, "t");
    assert_int_equal(read_as(&a, SERVE_SCORE, "{\"text_1\":\"q\",\"text_2\":[\"a\",\"b\"]}"),
                     RUNG_OK);
    assert_int_equal(a.n_scored, 2);
    assert_string_equal(a.scored[1].question, "q");
    assert_string_equal(a.scored[1].text, "b");
    assert_int_equal(read_as(&a, SERVE_SCORE,
                             "{\"queries\":[\"p\",\"q\"],\"documents\":[\"a\","
                             "\"b\"]}"),
                     RUNG_OK);
    assert_string_equal(a.scored[0].question, "p");
    refused(SERVE_SCORE, "{\"text_1\":[\"p\",\"q\"],\"text_2\":[\"a\"]}", RUNG_E_INVAL, "2 texts");
    assert_int_equal(read_as(&a, SERVE_CLASSIFY, "{\"input\":[\"a\"],\"activation\":false}"),
                     RUNG_OK);
    assert_false(a.activation);
    assert_int_equal(read_as(&a, SERVE_GET_REWARD,
                             "{\"query\":[\"Q: 3*4? A: 12\",\"alone\"],\"prompts\":[\"Q: 3*4?\","
                             "\"other\"],\"labels\":[\"12\",\"\"]}"),
                     RUNG_OK);
    assert_string_equal(a.scored[0].question, "Q: 3*4?");
    assert_string_equal(a.scored[0].text, " A: 12");
    assert_string_equal(a.scored[1].text, "alone");
    refused(SERVE_GET_REWARD, "{\"query\":[\"a\"],\"prompts\":[]}", RUNG_E_INVAL, "empty");
    refused(SERVE_POOLING, "{\"input\":5}", RUNG_E_INVAL, "input");
    refused(SERVE_POOLING, "{\"input\":\"a\",\"encoding_format\":\"base64\"}", RUNG_E_INVAL,
            "float");
}

static void test_verify(void **state) {
    serve_ask a;
    (void)state;
    assert_int_equal(read_as(&a, SERVE_VERIFY, "{\"gold\":72,\"answer\":\"72\"}"), RUNG_OK);
    assert_string_equal(a.check[0].gold, "72");
    assert_false(a.check[0].whole);
    assert_int_equal(read_as(&a, SERVE_COMPUTE_SCORE,
                             "{\"data_source\":\"d\",\"solution_str\":\"#### 1\","
                             "\"ground_truth\":\"1\",\"extra_info\":null}"),
                     RUNG_OK);
    assert_true(a.check[0].whole && a.one);
    refused(SERVE_VERIFY, "{\"gold\":\"1\"}", RUNG_E_INVAL, "answer");
    refused(SERVE_VERIFY, "{\"answer\":\"1\"}", RUNG_E_INVAL, "gold");
    refused(SERVE_VERIFY, "{\"gold\":\"1\",\"answer\":\"1\",\"verifier\":\"sql\"}", RUNG_E_INVAL,
            "not served");
    refused(SERVE_VERIFY, "{\"gold\":\"1\",\"answer\":\"1\",\"verifier\":\"/etc/passwd\"}",
            RUNG_E_INVAL, "not served");
    refused(SERVE_COMPUTE_SCORE, "{\"solution_strs\":[\"a\"],\"ground_truths\":[]}", RUNG_E_INVAL,
            "ground_truths");
}

static void test_no_memory(void **state) {
    const char *body = "{" USER ",\"stop\":[\"a\"],\"logit_bias\":{\"1\":1},\"rung\":{\"method\":"
                       "\"sc\"}}";
    serve_ask a;
    (void)state;
    for (int64_t n = 1; n < 40; n++) {
        rung_arena *own = rung_arena_new(0);
        rung_alloc_fail_after(n);
        rung_error e = RUNG_ERROR_INIT;
        rung_status st = serve_ask_read(&a, own, SERVE_CHAT, body, strlen(body), &caps, &e);
        rung_alloc_fail_after(0);
        rung_arena_free(own);
        assert_true(st == RUNG_OK || st == RUNG_E_NOMEM || st == RUNG_E_FORMAT);
    }
}

static void test_pipe(void **state) {
    int fd[2];
    serve_pipe p, q;
    serve_frame f;
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    serve_pipe_init(&p, fd[0]);
    serve_pipe_init(&q, fd[1]);
    char *big = calloc(1, 3 << 20);
    memset(big, 'x', 3 << 20);
    serve_pipe_put(&p, SERVE_ASK, 7, "ab", 2, "cde", 3);
    serve_pipe_put(&p, SERVE_DATA, 8, big, 3 << 20, NULL, 0);
    assert_true(serve_pipe_flush(&p, false)); /* what follows is put behind half a frame */
    serve_pipe_put(&p, SERVE_END, 9, NULL, 0, NULL, 0);
    static const serve_frame_type type[] = {SERVE_ASK, SERVE_DATA, SERVE_END};
    int n = 0;
    for (int i = 0; i < 10000 && n < 3; i++) { /* the socket holds less than all of it */
        assert_true(serve_pipe_flush(&p, false));
        assert_true(serve_pipe_read(&q));
        while (serve_pipe_next(&f, &q)) {
            assert_int_equal(f.type, type[n++]);
            assert_int_equal(f.id, 6 + n);
            if (n == 1) assert_memory_equal(f.data, "abcde", 5);
            if (n == 2) assert_true(f.n == 3 << 20 && memcmp(f.data, big, f.n) == 0);
            if (n == 3) assert_int_equal(f.n, 0);
        }
    }
    assert_int_equal(n, 3);
    free(big);
    serve_pipe_close(&p);
    assert_false(serve_pipe_read(&q));
    serve_pipe_close(&q);
}

static void test_token(void **state) {
    char allow[64];
    (void)state;
    assert_true(serve_token_fits("abc", "abc"));
    assert_false(serve_token_fits("abc", "abd"));
    assert_false(serve_token_fits("abc", "ab"));
    assert_false(serve_token_fits("abc", "abcd"));
    assert_false(serve_token_fits("abc", ""));
    assert_non_null(serve_route_find("POST", "/v1/completions", allow));
    assert_null(serve_route_find("GET", "/v1/completions", allow));
    assert_string_equal(allow, "POST");
    assert_null(serve_route_find("GET", "/v1/completions/x", allow));
    assert_string_equal(allow, "");
    assert_non_null(serve_route_find("GET", "/tree/1-2", allow));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),   cmocka_unit_test(test_chat),
        cmocka_unit_test(test_continue), cmocka_unit_test(test_completion),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_scoring),
        cmocka_unit_test(test_verify),   cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_pipe),     cmocka_unit_test(test_token),
    };
    arena = rung_arena_new(0);
    int bad = cmocka_run_group_tests(tests, NULL, NULL);
    rung_arena_free(arena);
    return bad;
}
