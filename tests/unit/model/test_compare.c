/* Two models on the same text: the formula on numbers, models whose logits are known, refusals. */
#include "random_model.h"

#include "model/weights.h"

static int setup(void **state) {
    (void)state;
    rm_dir_make();
    setenv("XDG_CACHE_HOME", rm_dir, 1);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    rm_dir_remove();
    return 0;
}

/* p = (1/4, 3/4), q = (1/2, 1/2): ln 2 - H(p) = 0.130812035941137 */
static void formula(void **state) {
    (void)state;
    float p[2] = {0.0f, 1.0986122886681098f}, q[2] = {7.0f, 7.0f};
    assert_true(fabs(rung_logits_kl(p, q, 2) - 0.130812035941137) < 1e-7);
    /* the other way: ln(2)/2 + ln(2/3)/2 */
    assert_true(fabs(rung_logits_kl(q, p, 2) - 0.143841036225890) < 1e-7);
    assert_true(rung_logits_kl(p, p, 2) == 0.0);
    float far_p[2] = {1000.0f, 0.0f}, far_q[2] = {0.0f, 1000.0f};
    assert_true(fabs(rung_logits_kl(far_p, far_q, 2) - 1000.0) < 1e-6); /* no overflow */
}

static void put(rung_gguf_writer *w, const char *name, int n_dims, int64_t a, int64_t b, float v,
                int column) {
    int64_t dims[2] = {a, b};
    float *x = calloc((size_t)(a * b), sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < a * b; i++) {
        if (column < 0 || i % a == column) x[i] = v;
    }
    rung_gguf_put_tensor(w, name, RUNG_GGUF_F32, n_dims, dims, x);
    free(x);
}

/* Blocks that add nothing; every token is the first unit vector, so that the state after the norm
 * is h = 1/sqrt(1/64 + 1e-5) there, and token t's logit is h times the first weight of its row. */
static void known_model(const char *path, float logit0, float logit1) {
    float h = 1.0f / sqrtf(1.0f / RM_EMBD + 1e-5f);
    rung_gguf_writer *w = rung_gguf_writer_new();
    assert_non_null(w);
    rm_keys(w, &(random_model_opts){0});
    put(w, "token_embd.weight", 2, RM_EMBD, RM_VOCAB, 1.0f, 0);
    put(w, "output_norm.weight", 1, RM_EMBD, 1, 1.0f, -1);
    int64_t dims[2] = {RM_EMBD, RM_VOCAB};
    static float head[RM_EMBD * RM_VOCAB];
    memset(head, 0, sizeof head);
    head[0] = logit0 / h;
    head[RM_EMBD] = logit1 / h;
    rung_gguf_put_tensor(w, "output.weight", RUNG_GGUF_F32, 2, dims, head);
    for (int l = 0; l < RM_LAYER; l++) {
        static const struct {
            const char *name;
            int64_t a, b;
        } t[] = {{"attn_q", RM_EMBD, RM_EMBD}, {"attn_k", RM_EMBD, RM_EMBD},
                 {"attn_v", RM_EMBD, RM_EMBD}, {"attn_output", RM_EMBD, RM_EMBD},
                 {"ffn_gate", RM_EMBD, RM_FF}, {"ffn_up", RM_EMBD, RM_FF},
                 {"ffn_down", RM_FF, RM_EMBD}};
        char name[64];
        for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
            snprintf(name, sizeof name, "blk.%d.%s.weight", l, t[i].name);
            put(w, name, 2, t[i].a, t[i].b, 0.0f, -1);
        }
        snprintf(name, sizeof name, "blk.%d.attn_norm.weight", l);
        put(w, name, 1, RM_EMBD, 1, 1.0f, -1);
        snprintf(name, sizeof name, "blk.%d.ffn_norm.weight", l);
        put(w, name, 1, RM_EMBD, 1, 1.0f, -1);
    }
    assert_ok(rung_gguf_write(w, path, &terr));
    rung_gguf_writer_free(w);
}

static rung_comparison compare(const char *a, const char *b, int32_t n, rung_weights wb) {
    rung_model *m[2] = {NULL, NULL};
    rung_model_opts o = RUNG_MODEL_OPTS_INIT;
    rung_comparison c;
    int32_t tok[700];
    for (int32_t i = 0; i < n; i++) tok[i] = 40 + (i * 7) % 60;
    assert_ok(rung_model_load(&m[0], rm_path(a), &o, &terr));
    o.weights = wb;
    assert_ok(rung_model_load(&m[1], rm_path(b), &o, &terr));
    assert_ok(rung_model_compare(&c, m[0], m[1], tok, n, 1, NULL, &terr));
    rung_model_free(m[0]);
    rung_model_free(m[1]);
    assert_int_equal(c.n_tokens, n);
    return c;
}

/* A: p(0) = 1/2, the other 299 tokens 1/598 each. B: all 1/300. C: token 1 twice as likely as any
 * other.
 *   KL(A || B) = ln(150)/2 + ln(300/598)/2 = 2.160413507
 *   KL(A || C) = ln(301/2)/2 + (ln(301/1196) + 298 ln(301/598)) / 598 = 2.162582188 */
static void known_models(void **state) {
    (void)state;
    known_model(rm_path("a.gguf"), logf(299.0f), 0.0f);
    known_model(rm_path("b.gguf"), 0.0f, 0.0f);
    known_model(rm_path("c.gguf"), 0.0f, logf(2.0f));
    rung_comparison x = compare("a.gguf", "b.gguf", 70, RUNG_WEIGHTS_AS_IS);
    double ab = 0.5 * log(150.0) + 0.5 * log(300.0 / 598.0);
    assert_true(fabs(ab - 2.160413507) < 1e-8);
    assert_true(fabs(x.mean_kl - ab) < 1e-4);
    assert_true(fabs(x.max_kl - ab) < 1e-4);
    assert_true(fabs(x.max_diff - log(299.0)) < 1e-3);
    assert_true(x.top1 == 1.0); /* equal logits: the lowest id, which is A's choice */
    x = compare("a.gguf", "c.gguf", 70, RUNG_WEIGHTS_AS_IS);
    double ac = 0.5 * log(150.5) + (log(301.0 / 1196.0) + 298.0 * log(301.0 / 598.0)) / 598.0;
    assert_true(fabs(x.mean_kl - ac) < 1e-4);
    assert_true(x.top1 == 0.0);
}

/* Over several windows and chunks. */
static void same_model_gives_zero(void **state) {
    (void)state;
    random_model_write(rm_path("m.gguf"), &(random_model_opts){.seed = 3});
    rung_comparison x = compare("m.gguf", "m.gguf", 700, RUNG_WEIGHTS_AS_IS);
    assert_true(x.mean_kl == 0.0 && x.max_kl == 0.0 && x.max_diff == 0.0 && x.top1 == 1.0);
    rung_comparison bf16 = compare("m.gguf", "m.gguf", 200, RUNG_WEIGHTS_BF16);
    rung_comparison q8 = compare("m.gguf", "m.gguf", 200, RUNG_WEIGHTS_Q8_0);
    rung_comparison q4 = compare("m.gguf", "m.gguf", 200, RUNG_WEIGHTS_Q4_0);
    assert_true(bf16.mean_kl > 0.0 && bf16.mean_kl < 1e-3);
    assert_true(q8.mean_kl > bf16.mean_kl * 0.1 && q8.mean_kl < 1e-2);
    assert_true(q4.mean_kl > 5.0 * q8.mean_kl && q4.max_kl > q4.mean_kl);
    assert_true(q4.top1 < bf16.top1 + 1e-9);
}

static void refusals(void **state) {
    (void)state;
    rung_model *a = NULL, *b = NULL;
    rung_comparison c;
    int32_t tok[3] = {50, 51, 52}, bad[2] = {50, RM_VOCAB};
    random_model_write(rm_path("m.gguf"), &(random_model_opts){.seed = 3});
    assert_ok(rung_model_load(&a, rm_path("m.gguf"), NULL, &terr));
    char tiny[512];
    snprintf(tiny, sizeof tiny, "%s/models/tiny.gguf", RUNG_SOURCE_DIR);
    assert_ok(rung_model_load(&b, tiny, NULL, &terr));
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_model_compare(&c, a, b, tok, 3, 1, NULL, &err), RUNG_E_MISMATCH);
    assert_true(strlen(err.detail) > 0);
    assert_int_equal(rung_model_compare(&c, a, a, tok, 0, 1, NULL, NULL), RUNG_E_INVAL);
    assert_int_equal(rung_model_compare(&c, a, a, bad, 2, 1, NULL, NULL), RUNG_E_INVAL);
    rung_model_free(a);
    rung_model_free(b);
    random_model_write(rm_path("nan.gguf"), &(random_model_opts){.seed = 3, .nan_at = NAN});
    assert_ok(rung_model_load(&a, rm_path("nan.gguf"), NULL, &terr));
    assert_int_equal(rung_model_compare(&c, a, a, tok, 3, 1, NULL, &err), RUNG_E_MODEL);
    rung_model_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formula),
        cmocka_unit_test(known_models),
        cmocka_unit_test(same_model_gives_zero),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
