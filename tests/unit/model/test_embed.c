/* Vectors of texts against the engine's own hidden states. */
#include "rung/embed.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static rung_model *model;

static int setup(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_model_opts o = RUNG_MODEL_OPTS_INIT;
    rung_status st = rung_model_load(&model, RUNG_SOURCE_DIR "/models/tiny.gguf", &o, &err);
    if (st != RUNG_OK) print_error("%s\n", err.what);
    return st == RUNG_OK ? 0 : 1;
}

static int teardown(void **state) {
    (void)state;
    rung_model_free(model);
    return 0;
}

static rung_embedder *embedder(rung_pooling p, const char *query_prefix) {
    rung_error err = RUNG_ERROR_INIT;
    rung_embedder_opts o = RUNG_EMBEDDER_OPTS_INIT;
    rung_embedder *e;
    o.pooling = p;
    o.n_threads = 1;
    o.query_prefix = query_prefix;
    if (rung_embedder_new(&e, model, &o, &err) != RUNG_OK) fail_msg("%s", err.what);
    return e;
}

static double cosine(const float *a, const float *b, int32_t n) {
    double dot = 0;
    for (int32_t d = 0; d < n; d++) dot += (double)a[d] * (double)b[d];
    return dot;
}

static const char *const texts[] = {"Start at 17. +5 x2 -9. Total?\n", "22x2=44\n", "44-9=35\n"};

static void lengths_and_independence(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    for (int p = 0; p < RUNG_POOLING_COUNT; p++) {
        rung_embedder *e = embedder((rung_pooling)p, NULL);
        int32_t n = rung_embedder_dim(e);
        float *all = calloc((size_t)n * 3, sizeof *all), *one = calloc((size_t)n, sizeof *one);
        assert_int_equal(rung_embedder_run(all, e, texts, 3, false, &err), RUNG_OK);
        for (int i = 2; i >= 0; i--) { /* alone and in another order: the same */
            assert_true(fabs(cosine(all + i * n, all + i * n, n) - 1) < 1e-5);
            assert_int_equal(rung_embedder_run(one, e, &texts[i], 1, false, &err), RUNG_OK);
            assert_memory_equal(one, all + i * n, (size_t)n * sizeof *one);
        }
        /* a first token sees nothing before it: equal beginnings, equal vectors */
        bool same = cosine(all + n, all + 2 * n, n) > 1 - 1e-6;
        if (p != RUNG_POOLING_FIRST) assert_false(same);
        free(all);
        free(one);
        rung_embedder_free(e);
    }
}

static void prefixes_and_limits(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_embedder *e = embedder(RUNG_POOLING_MEAN, "Start at ");
    int32_t n = rung_embedder_dim(e);
    float *a = calloc((size_t)n, sizeof *a), *b = calloc((size_t)n, sizeof *b);
    const char *rest = "17. +5", *whole = "Start at 17. +5", *none = "";
    assert_int_equal(rung_embedder_run(a, e, &rest, 1, true, &err), RUNG_OK);
    assert_int_equal(rung_embedder_run(b, e, &whole, 1, false, &err), RUNG_OK);
    assert_memory_equal(a, b, (size_t)n * sizeof *a);
    assert_int_equal(rung_embedder_run(a, e, &none, 1, false, &err), RUNG_E_INVAL);
    /* longer than the context: cut, not refused */
    char *text = malloc(20001);
    memset(text, '7', 20000);
    text[20000] = '\0';
    const char *t = text;
    assert_int_equal(rung_embedder_run(a, e, &t, 1, false, &err), RUNG_OK);
    assert_true(fabs(cosine(a, a, n) - 1) < 1e-5);
    free(text), free(a), free(b);
    rung_embedder_free(e);
}

/* ---- the same pooling over the engine's hidden states */

typedef struct seen {
    double *mean, *last;
    int32_t n_dim;
} seen;

static rung_status on_eval(void *ud, const rung_eval_out *o, rung_error *err) {
    seen *s = ud;
    (void)err;
    for (int32_t i = 0; i < o->n_at; i++)
        for (int32_t d = 0; d < s->n_dim; d++) {
            s->mean[d] += o->hidden[i * s->n_dim + d];
            if (i + 1 == o->n_at) s->last[d] = o->hidden[i * s->n_dim + d];
        }
    return RUNG_OK;
}

static double angle(const float *v, const double *h, int32_t n) {
    double dot = 0, norm = 0;
    for (int32_t d = 0; d < n; d++) dot += v[d] * h[d], norm += h[d] * h[d];
    return dot / sqrt(norm);
}

static void as_the_engine_sees(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_engine_opts o = {.struct_size = sizeof o, .n_threads = 1, .n_seq = 1, .n_ctx = 256};
    rung_engine *en;
    int32_t *tok, n_tok, at[64];
    rung_embedder *mean = embedder(RUNG_POOLING_MEAN, NULL),
                  *last = embedder(RUNG_POOLING_LAST, NULL);
    int32_t n = rung_embedder_dim(mean);
    seen s = {calloc((size_t)n, sizeof(double)), calloc((size_t)n, sizeof(double)), n};
    float *v = calloc((size_t)n, sizeof *v);
    if (rung_engine_open(&en, model, &o, NULL, &err) != RUNG_OK) fail_msg("%s", err.what);
    assert_int_equal(
        rung_model_tokenize(&tok, &n_tok, model, texts[0], strlen(texts[0]), true, false, &err),
        RUNG_OK);
    assert_in_range(n_tok, 2, 64);
    for (int32_t i = 0; i < n_tok; i++) at[i] = i;
    rung_eval ev = {.tok = tok, .n_tok = n_tok, .at = at, .n_at = n_tok, .hidden = true};
    rung_engine_cb cb = {.on_eval = on_eval, .ud = &s};
    assert_int_equal(rung_engine_eval(en, &ev, &err), RUNG_OK);
    assert_int_equal(rung_engine_run(en, &cb, &err), RUNG_OK);
    assert_int_equal(rung_embedder_run(v, mean, &texts[0], 1, false, &err), RUNG_OK);
    assert_true(angle(v, s.mean, n) > 0.999);
    assert_int_equal(rung_embedder_run(v, last, &texts[0], 1, false, &err), RUNG_OK);
    assert_true(angle(v, s.last, n) > 0.999);
    assert_true(angle(v, s.mean, n) < 0.999); /* and the two are not one */
    rung_free(tok);
    free(v), free(s.mean), free(s.last);
    rung_engine_close(en);
    rung_embedder_free(mean);
    rung_embedder_free(last);
}

int main(void) {
    const struct CMUnitTest t[] = {
        cmocka_unit_test(lengths_and_independence),
        cmocka_unit_test(prefixes_and_limits),
        cmocka_unit_test(as_the_engine_sees),
    };
    return cmocka_run_group_tests(t, setup, teardown);
}
