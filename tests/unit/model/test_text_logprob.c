/* Logprobs of given texts: their sum is that of one token at a time, what texts share is read once.
 * An argument is a model to be checked instead of the small one. */
#include "random_model.h"
#include "rung/text.h"

#define OK(expr)                                                                                   \
    do {                                                                                           \
        rung_error ok_e_ = RUNG_ERROR_INIT, *err = &ok_e_;                                         \
        if ((expr) != RUNG_OK)                                                                     \
            fail_msg("%s:%d: %s | %s | %s", __FILE__, __LINE__, ok_e_.what, ok_e_.detail,          \
                     ok_e_.hint);                                                                  \
    } while (0)

static const char *path;
static rung_model *model;
static rung_engine *engine;

enum { MOST = 256 };
typedef struct seen {
    int32_t n, n_new, tok[MOST];
    float logprob[MOST];
    double sum;
    int n_calls;
} seen;
static rung_status on_text(void *ud, const rung_text_out *o, rung_error *err) {
    seen *s = (seen *)ud + o->i;
    (void)err;
    assert_true(o->n_tok <= MOST);
    s->n = o->n_tok;
    s->n_new = o->n_new;
    s->sum = o->sum;
    s->n_calls++;
    memcpy(s->tok, o->tok, sizeof *s->tok * (size_t)o->n_tok);
    memcpy(s->logprob, o->logprob, sizeof *s->logprob * (size_t)o->n_tok);
    return RUNG_OK;
}

static double one_logprob;
static int32_t one_tok, n_vocab;
static rung_status on_logits(void *ud, const rung_eval_out *o, rung_error *err) {
    double most = -1e30, z = 0;
    (void)ud, (void)err;
    for (int32_t i = 0; i < n_vocab; i++) most = fmax(most, (double)o->logits[i]);
    for (int32_t i = 0; i < n_vocab; i++) z += exp((double)o->logits[i] - most);
    one_logprob = (double)o->logits[one_tok] - most - log(z);
    return RUNG_OK;
}
/* ln p(tok[n]) after tok[0..n), from the logits of the last of them */
static double one_token(const int32_t *tok, int32_t n) {
    int32_t at = n - 1;
    rung_engine_cb cb = {.on_eval = on_logits};
    rung_eval v = {.tok = tok, .n_tok = n, .at = &at, .n_at = 1, .logits = true};
    one_tok = tok[n];
    OK(rung_engine_eval(engine, &v, err));
    OK(rung_engine_run(engine, &cb, err));
    return one_logprob;
}

static const char *const context = "A train goes 60 km in an hour. How far in 3 hours? ";
static const char *const texts[] = {"It goes 60 * 3 = 180 km. The answer is 180.",
                                    "It goes 60 + 3 = 63 km.", "180",
                                    "It goes 60 * 3 = 180 km. The answer is 18, as abcd the."};
enum { N = 4 };

static void sums_of_single_tokens(void **state) {
    (void)state;
    static seen got[N];
    rung_text t[N];
    memset(got, 0, sizeof got);
    for (int i = 0; i < N; i++) t[i] = (rung_text){NULL, context, texts[i], i == 2};
    OK(rung_text_logprobs(engine, t, N, on_text, got, err));
    for (int i = 0; i < N; i++) {
        int32_t tok[MOST], *header, n, k;
        rung_prompt p = {NULL, context, NULL};
        OK(rung_prompt_tokens(&header, &n, &k, model, &p, err));
        memcpy(tok, header, sizeof *tok * (size_t)n);
        memcpy(tok + n, got[i].tok, sizeof *tok * (size_t)got[i].n);
        rung_free(header);
        assert_int_equal(got[i].n_calls, 1);
        double sum = 0, worst = 0;
        rung_engine_clear(engine);
        for (int32_t j = 0; j < got[i].n; j++) {
            double lp = one_token(tok, n + j);
            worst = fmax(worst, fabs(lp - (double)got[i].logprob[j]));
            sum += lp;
        }
        printf("%d tokens: %.6f, one by one %.6f, largest difference of a token %.1e\n", got[i].n,
               got[i].sum, sum, worst);
        assert_true(fabs(sum - got[i].sum) < 1e-4);
        assert_true(got[i].sum < -1);
    }
    /* the end token was asked for in one of them */
    assert_int_equal(got[2].tok[got[2].n - 1], rung_model_eos(model));
    assert_int_not_equal(got[1].tok[got[1].n - 1], rung_model_eos(model));
}

static void what_is_shared_is_read_once(void **state) {
    (void)state;
    static seen got[N];
    rung_text t[N];
    int32_t *header, n, k, total = 0;
    rung_prompt p = {NULL, context, NULL};
    for (int i = 0; i < N; i++) t[i] = (rung_text){NULL, context, texts[i], false};
    OK(rung_prompt_tokens(&header, &n, &k, model, &p, err));
    rung_free(header);
    rung_engine_clear(engine);
    OK(rung_text_logprobs(engine, t, N, on_text, got, err));
    int32_t texts_tok = 0;
    for (int i = 0; i < N; i++) total += got[i].n_new, texts_tok += got[i].n;
    /* the context once; of each text all but its last token, and the context's last one, of which
     * each text asks what follows */
    assert_true(total <= n - 1 + texts_tok);
}

static void alone(void **state) {
    (void)state;
    seen got;
    rung_text t = {NULL, NULL, "abcd the ab", false};
    int32_t *tok, n;
    memset(&got, 0, sizeof got);
    OK(rung_model_tokenize(&tok, &n, model, t.text, strlen(t.text), true, false, err));
    rung_free(tok);
    OK(rung_text_logprobs(engine, &t, 1, on_text, &got, err));
    assert_int_equal(got.n, n - 1); /* its first token, or BOS, is given */
    rung_error e = RUNG_ERROR_INIT;
    t.text = "";
    assert_int_equal(rung_text_logprobs(engine, &t, 1, on_text, &got, &e), RUNG_E_INVAL);
    assert_string_equal(e.detail, "text 0");
    char *many = malloc(1 << 20);
    memset(many, '#', (1 << 20) - 1);
    many[(1 << 20) - 1] = 0;
    rung_text two[2] = {{NULL, NULL, "abcd the", false}, {NULL, NULL, many, false}};
    int before = got.n_calls;
    assert_int_equal(rung_text_logprobs(engine, two, 2, on_text, &got, &e), RUNG_E_LIMIT);
    assert_string_equal(e.detail, "text 1");
    assert_int_equal(got.n_calls, before); /* nothing was read */
    free(many);
}

int main(int argc, char **argv) {
    rung_error err = RUNG_ERROR_INIT;
    rm_dir_make();
    path = argc > 1 ? argv[1] : rm_path("text.gguf");
    if (argc < 2) random_model_write(path, &(random_model_opts){.seed = 3});
    rung_engine_opts o = RUNG_ENGINE_OPTS_INIT;
    o.n_seq = 8;
    o.exact = true;
    if (rung_model_load(&model, path, NULL, &err) != RUNG_OK ||
        rung_engine_open(&engine, model, &o, NULL, &err) != RUNG_OK) {
        fprintf(stderr, "%s\n", err.what);
        return 1;
    }
    rung_model_info info;
    rung_model_get_info(&info, model);
    n_vocab = info.n_vocab;
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums_of_single_tokens),
                                       cmocka_unit_test(what_is_shared_is_read_once),
                                       cmocka_unit_test(alone)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rung_engine_close(engine);
    rung_model_free(model);
    rm_dir_remove();
    return failed;
}
