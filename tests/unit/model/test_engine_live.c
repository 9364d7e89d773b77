/* Work that comes while the engine runs: rounds, pauses, tokens as they are drawn, the likeliest of
 * each place, prompts as tokens and as conversations. */
#include "random_model.h"

#include "rung/model.h"

#include <math.h>

static rung_model *model;
static rung_engine *engine;

typedef struct seen {
    int n_done, n_rounds, n_told, pause_at, submit_at, n_eval;
    int32_t tok[64], n_tok, top[64 * 4], end_tok;
    float lp[64], top_lp[64 * 4];
    char text[512], told[512], stop[16];
} seen;
static seen s;

static rung_status on_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    (void)ud;
    (void)err;
    s.n_done++;
    s.n_tok = o->n_tok;
    s.end_tok = o->end_tok;
    assert_in_range(o->n_tok, 0, 63);
    memcpy(s.tok, o->tok, sizeof *o->tok * (size_t)o->n_tok);
    memcpy(s.lp, o->logprob, sizeof *o->logprob * (size_t)o->n_tok);
    if (o->top_tok) memcpy(s.top, o->top_tok, sizeof *o->top_tok * (size_t)o->n_tok * 4);
    if (o->top_tok) memcpy(s.top_lp, o->top_logprob, sizeof *o->top_logprob * (size_t)o->n_tok * 4);
    snprintf(s.text, sizeof s.text, "%.*s", o->n_bytes, o->text);
    snprintf(s.stop, sizeof s.stop, "%s", o->stop);
    return RUNG_OK;
}

static rung_gen gen_of(const char *user, int32_t max_tok) {
    return (rung_gen){.prompt = {.user = user},
                      .sampling = RUNG_SAMPLING_INIT,
                      .n = 1,
                      .max_tok = max_tok,
                      .seed = 5,
                      .stream = RUNG_STREAM_TRACE};
}

static rung_status on_round(void *ud, rung_error *err) {
    (void)ud;
    s.n_rounds++;
    if (s.n_rounds == s.submit_at) {
        rung_gen g = gen_of("another question", 5);
        return rung_engine_gen(engine, &g, err);
    }
    return s.n_rounds == s.pause_at ? RUNG_DONE : RUNG_OK;
}

static rung_status on_token(void *ud, const rung_gen_out *o, rung_error *err) {
    (void)ud;
    (void)err;
    s.n_told++;
    assert_null(o->stop);
    assert_int_equal(o->n_tok, s.n_told);
    assert_memory_equal(o->text, s.told, strlen(s.told)); /* it grows at its end */
    snprintf(s.told, sizeof s.told, "%.*s", o->n_bytes, o->text);
    return RUNG_OK;
}

static rung_status on_eval(void *ud, const rung_eval_out *o, rung_error *err) {
    (void)ud;
    (void)err;
    s.n_eval++;
    for (int32_t i = 0; i < 4 && o->top_tok; i++) { /* of the second token */
        s.top[i] = o->top_tok[4 + i];
        s.top_lp[i] = o->top_logprob[4 + i];
    }
    return RUNG_OK;
}

static void run(const rung_gen *g) {
    rung_engine_cb cb = {.on_gen = on_gen, .on_round = on_round, .on_token = on_token};
    assert_ok(rung_engine_gen(engine, g, &terr));
    assert_ok(rung_engine_run(engine, &cb, &terr));
}

static void work_joins_while_it_runs(void **state) {
    (void)state;
    s = (seen){.submit_at = 3};
    rung_gen g = gen_of("a question", 12);
    run(&g);
    assert_int_equal(s.n_done, 2);
    assert_in_range(s.n_rounds, 12, 14); /* five tokens more, but not five calls more */
}

static void a_paused_run_goes_on(void **state) {
    (void)state;
    char whole[512];
    rung_engine_cb cb = {.on_gen = on_gen, .on_round = on_round};
    rung_gen g = gen_of("a question", 12);
    s = (seen){0};
    run(&g);
    snprintf(whole, sizeof whole, "%s", s.text);
    s = (seen){.pause_at = 5};
    run(&g);
    assert_int_equal(s.n_done, 0);
    /* readings alone leave it as it is */
    int32_t tok[] = {1, 2, 3}, at[] = {2};
    rung_eval v = {.tok = tok, .n_tok = 3, .at = at, .n_at = 1, .hidden = true};
    rung_engine_cb reads = {.on_eval = on_eval};
    assert_ok(rung_engine_eval(engine, &v, &terr));
    assert_ok(rung_engine_run(engine, &reads, &terr));
    assert_int_equal(s.n_eval, 1);
    assert_int_equal(s.n_done, 0);
    assert_ok(rung_engine_run(engine, &cb, &terr));
    assert_int_equal(s.n_done, 1);
    assert_string_equal(s.text, whole);
    /* given up in the pause: nothing is left of it, and the engine works on */
    s = (seen){.pause_at = 5};
    run(&g);
    rung_engine_clear(engine);
    s = (seen){0};
    assert_ok(rung_engine_run(engine, &cb, &terr));
    assert_int_equal(s.n_done, 0);
    run(&g);
    assert_string_equal(s.text, whole);
}

static void tokens_are_told(void **state) {
    (void)state;
    rung_gen g = gen_of("a question", 9);
    g.told = true;
    s = (seen){0};
    run(&g);
    assert_int_equal(s.n_tok, 9);
    assert_int_equal(s.n_told, 8); /* the last one is on_gen's */
    assert_memory_equal(s.text, s.told, strlen(s.told));
}

static void the_likeliest_are_those_of_the_logits(void **state) {
    (void)state;
    rung_model_info info;
    rung_model_get_info(&info, model);
    rung_gen g = gen_of("a question", 6);
    g.n_top = 4;
    g.sampling.temperature = 0.0;
    s = (seen){0};
    run(&g);
    for (int32_t i = 0; i < s.n_tok; i++) {
        assert_int_equal(s.top[4 * i], s.tok[i]); /* greedy: the likeliest is drawn */
        assert_true(fabsf(s.top_lp[4 * i] - s.lp[i]) < 1e-5f);
        for (int32_t k = 1; k < 4; k++) assert_true(s.top_lp[4 * i + k] <= s.top_lp[4 * i + k - 1]);
    }
    int32_t tok[] = {5, 6, 7};
    rung_eval v = {.tok = tok, .n_tok = 3, .logprobs = true, .n_top = 4};
    rung_engine_cb reads = {.on_eval = on_eval};
    assert_ok(rung_engine_eval(engine, &v, &terr));
    assert_ok(rung_engine_run(engine, &reads, &terr));
    for (int32_t k = 1; k < 4; k++) assert_true(s.top_lp[k] <= s.top_lp[k - 1]);
    assert_true(s.top_lp[0] < 0.0f && s.top[0] != s.top[1]);
    g.n_top = RUNG_TOP_MAX + 1;
    assert_int_equal(rung_engine_gen(engine, &g, &terr), RUNG_E_INVAL);
}

static void a_prompt_may_be_tokens(void **state) {
    (void)state;
    char text[512];
    int32_t *tok, n;
    rung_prompt p = {.user = "a question"};
    rung_gen g = gen_of("a question", 9);
    s = (seen){0};
    run(&g);
    snprintf(text, sizeof text, "%s", s.text);
    assert_ok(rung_prompt_tokens(&tok, &n, NULL, model, &p, &terr));
    g.prompt = (rung_prompt){.user = "something else"};
    g.prompt_tok = tok;
    g.n_prompt_tok = n;
    s = (seen){0};
    run(&g);
    assert_string_equal(s.text, text);
    tok[0] = 1 << 30;
    assert_int_equal(rung_engine_gen(engine, &g, &terr), RUNG_E_INVAL);
    rung_free(tok);
}

/* Earlier turns stand where the template puts them; text of control tokens in them stays text. */
static void conversations(void **state) {
    (void)state;
    rung_turn turn[] = {{"u1", "r1"}, {"u2", "r2"}};
    rung_prompt p = {.system = "s", .user = "u3", .prefix = "p"};
    int32_t *tok, n, n_header;
    char want[256], got[512];
    rung_buf b;
    rung_buf_init(&b, 4096);
    assert_ok(rung_chat_tokens(&tok, &n, &n_header, model, turn, 2, &p, &terr));
    for (int32_t i = 0; i < n; i++) rung_model_piece(&b, model, tok[i], true);
    snprintf(got, sizeof got, "%.*s", (int)b.n, b.data);
    rung_model_info info;
    rung_model_get_info(&info, model);
    if (strcmp(info.chat, "raw") == 0)
        snprintf(want, sizeof want, "su1r1u2r2u3p");
    else
        snprintf(want, sizeof want, "u3");
    assert_non_null(strstr(got, want));
    assert_true(n_header < n);
    rung_free(tok);
    rung_buf_clear(&b);
}

static int setup(void **state) {
    (void)state;
    rung_engine_opts o = RUNG_ENGINE_OPTS_INIT;
    rm_dir_make();
    random_model_write(rm_path("m.gguf"), &(random_model_opts){.seed = 3, .no_eos = true});
    o.n_seq = 4;
    o.n_ctx = 4 * 256;
    o.n_threads = 1;
    o.exact = true; /* what follows may then be compared to the bit */
    if (rung_model_load(&model, rm_path("m.gguf"), NULL, &terr) != RUNG_OK) return 1;
    return rung_engine_open(&engine, model, &o, NULL, &terr) != RUNG_OK;
}

static int teardown(void **state) {
    (void)state;
    rung_engine_close(engine);
    rung_model_free(model);
    rm_dir_remove();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_joins_while_it_runs),
        cmocka_unit_test(a_paused_run_goes_on),
        cmocka_unit_test(tokens_are_told),
        cmocka_unit_test(the_likeliest_are_those_of_the_logits),
        cmocka_unit_test(a_prompt_may_be_tokens),
        cmocka_unit_test(conversations),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
