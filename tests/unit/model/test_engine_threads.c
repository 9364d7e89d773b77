/* Engines of several threads that share one model: each gives what it gives alone. */
#include "random_model.h"

#include "rung/model.h"

#include <pthread.h>

enum { N_THREADS = 3, N_SAMPLES = 12, MAX_TOK = 16 };

typedef struct worker {
    rung_model *model;
    int32_t tok[N_SAMPLES][MAX_TOK], n[N_SAMPLES];
    float hidden[RM_EMBD];
    int n_log;
    rung_status st;
    rung_error err;
} worker;

static int on_log(void *ud, rung_level level, const char *name, const rung_field *fields) {
    (void)level, (void)name, (void)fields;
    ((worker *)ud)->n_log++;
    return 0;
}

static rung_status on_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    (void)err;
    worker *w = ud;
    w->n[o->i] = o->n_tok;
    memcpy(w->tok[o->i], o->tok, sizeof *o->tok * (size_t)o->n_tok);
    return RUNG_OK;
}

static rung_status on_eval(void *ud, const rung_eval_out *o, rung_error *err) {
    (void)err;
    memcpy(((worker *)ud)->hidden, o->hidden, sizeof(float) * RM_EMBD);
    return RUNG_OK;
}

static void *work(void *ud) {
    worker *w = ud;
    rung_engine *e = NULL;
    rung_engine_opts o = RUNG_ENGINE_OPTS_INIT;
    rung_log log = {.emit = on_log, .ud = w};
    o.n_threads = 1;
    o.n_seq = 4;
    o.exact = true;
    int32_t tok[40], at = 39;
    for (int i = 0; i < 40; i++) tok[i] = i + 1;
    rung_eval v = {.tok = tok, .n_tok = 40, .at = &at, .n_at = 1, .hidden = true};
    rung_gen g = {.prompt = {.user = "what is one and one"},
                  .sampling = RUNG_SAMPLING_INIT,
                  .n = N_SAMPLES,
                  .max_tok = MAX_TOK,
                  .seed = 2};
    rung_engine_cb cb = {.on_gen = on_gen, .on_eval = on_eval, .ud = w};
    rung_status st = rung_engine_open(&e, w->model, &o, &log, &w->err);
    for (int i = 0; i < 3 && st == RUNG_OK; i++) {
        st = rung_engine_gen(e, &g, &w->err);
        if (st == RUNG_OK) st = rung_engine_eval(e, &v, &w->err);
        if (st == RUNG_OK) st = rung_engine_run(e, &cb, &w->err);
    }
    rung_engine_close(e);
    w->st = st;
    return NULL;
}

static void engines_share_a_model(void **state) {
    (void)state;
    rung_model *m = NULL;
    rm_dir_make();
    random_model_write(rm_path("m.gguf"), &(random_model_opts){.seed = 3, .no_eos = true});
    assert_ok(rung_model_load(&m, rm_path("m.gguf"), NULL, &terr));
    static worker alone, w[N_THREADS];
    alone.model = m;
    work(&alone);
    assert_int_equal(alone.st, RUNG_OK);
    pthread_t t[N_THREADS];
    for (int i = 0; i < N_THREADS; i++) {
        w[i].model = m;
        assert_int_equal(pthread_create(&t[i], NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(t[i], NULL);
        if (w[i].st != RUNG_OK) fail_msg("%s | %s", w[i].err.what, w[i].err.detail);
        assert_memory_equal(w[i].tok, alone.tok, sizeof alone.tok);
        assert_memory_equal(w[i].hidden, alone.hidden, sizeof alone.hidden);
        assert_true(w[i].n_log > 0); /* each hears its own */
    }
    assert_true(alone.n[0] == MAX_TOK);
    rung_model_free(m);
    rm_dir_remove();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engines_share_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
