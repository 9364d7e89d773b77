/* Entropy and certainty of a place, by hand; and that the engine tells them of the distributions
 * that it drew from, token by token. */
#include "random_model.h"

#include "model/engine_local.h"

#define NEAR(a, b, tol) assert_true(fabs((double)(a) - (double)(b)) <= (tol))

static void by_hand(void **ud) {
    (void)ud;
    float h, kl;
    const float two[] = {0.0f, 1.0986123f}; /* p = 1/4, 3/4 */
    rung_spread(&h, &kl, two, 2);
    NEAR(h, .56233514, 1e-6);  /* 2 ln 2 - 3/4 ln 3 */
    NEAR(kl, .14384104, 1e-6); /* ln 2 - 1/2 ln 3 */
    const float flat[] = {7.0f, 7.0f, 7.0f, 7.0f};
    rung_spread(&h, &kl, flat, 4);
    NEAR(h, log(4.0), 1e-6);
    NEAR(kl, 0.0, 1e-7);
    const float some[] = {0.0f, -INFINITY, 0.0f}; /* a token that cannot come */
    rung_spread(&h, &kl, some, 3);
    NEAR(h, log(2.0), 1e-6);
    NEAR(kl, 0.0, 1e-7);
    const float sure[] = {100.0f, 0.0f};
    rung_spread(&h, &kl, sure, 2);
    NEAR(h, 0.0, 1e-6);
    NEAR(kl, 50.0 - log(2.0), 1e-4);
    rung_spread(&h, &kl, some + 1, 1);
    assert_true(isnan(h) && isnan(kl));
}

typedef struct told {
    int32_t tok[64], n;
    float entropy[64], certainty[64];
    bool any;
} told;
static told one;

static rung_status on_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    (void)ud;
    (void)err;
    one.n = o->n_tok;
    one.any = o->entropy != NULL;
    assert_true(o->n_tok <= 64);
    memcpy(one.tok, o->tok, sizeof *o->tok * (size_t)o->n_tok);
    if (!one.any) return RUNG_OK;
    memcpy(one.entropy, o->entropy, sizeof *o->entropy * (size_t)o->n_tok);
    memcpy(one.certainty, o->certainty, sizeof *o->certainty * (size_t)o->n_tok);
    return RUNG_OK;
}

static int n_seen;
static rung_status on_eval(void *ud, const rung_eval_out *o, rung_error *err) {
    (void)ud;
    (void)err;
    for (int32_t k = 0; k < o->n_at; k++, n_seen++) {
        float h, kl;
        rung_spread(&h, &kl, o->logits + (size_t)k * RM_VOCAB, RM_VOCAB);
        NEAR(h, one.entropy[k], 1e-3);
        NEAR(kl, one.certainty[k], 1e-3);
    }
    return RUNG_OK;
}

static void as_drawn(void **ud) {
    (void)ud;
    rung_model *m = NULL;
    rung_engine *e = NULL;
    rung_engine_opts o = RUNG_ENGINE_OPTS_INIT;
    rm_dir_make();
    random_model_write(rm_path("m.gguf"),
                       &(random_model_opts){.seed = 3, .no_eos = true, .sharp = 3.0f});
    assert_ok(rung_model_load(&m, rm_path("m.gguf"), NULL, &terr));
    o.n_threads = 1;
    assert_ok(rung_engine_open(&e, m, &o, NULL, &terr));
    int32_t tok[80] = {72, 101, 108, 108, 111}, at[40];
    enum { N_PROMPT = 5, N = 40 };
    rung_gen g = {.sampling = RUNG_SAMPLING_INIT,
                  .n = 1,
                  .max_tok = N,
                  .seed = 5,
                  .stream = RUNG_STREAM_TRACE,
                  .prompt_tok = tok,
                  .n_prompt_tok = N_PROMPT};
    rung_engine_cb cb = {.on_gen = on_gen, .on_eval = on_eval};
    assert_ok(rung_engine_gen(e, &g, &terr));
    assert_ok(rung_engine_run(e, &cb, &terr));
    assert_false(one.any); /* not asked for */
    g.spread = true;
    assert_ok(rung_engine_gen(e, &g, &terr));
    assert_ok(rung_engine_run(e, &cb, &terr));
    assert_true(one.any && one.n > 8);
    memcpy(tok + N_PROMPT, one.tok, sizeof *tok * (size_t)one.n);
    for (int32_t k = 0; k < one.n; k++) at[k] = N_PROMPT - 1 + k;
    rung_eval v = {.tok = tok, .n_tok = N_PROMPT + one.n, .at = at, .n_at = one.n, .logits = true};
    assert_ok(rung_engine_eval(e, &v, &terr));
    assert_ok(rung_engine_run(e, &cb, &terr));
    assert_int_equal(n_seen, one.n);
    float least = 1e9f, most = 0.0f;
    for (int32_t k = 0; k < one.n; k++) {
        least = fminf(least, one.entropy[k]);
        most = fmaxf(most, one.entropy[k]);
    }
    assert_true(most > least + .01f); /* they differ: the order was checked */
    rung_engine_close(e);
    rung_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_hand), cmocka_unit_test(as_drawn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
