/* Searches that come one by one on one engine: alone and together they give the same, they can be
 * stopped, cancelled and dropped, and what they tell as they grow is their tree. */
#include "../model/random_model.h"

#include "rung/search.h"

#include <math.h>

static rung_model *model;
static rung_engine *engine;

typedef struct run {
    char text[2048], key[128];
    int n_events, n_nodes, n_answers, n_told_nodes, n_traces;
    bool failed, stopped;
    double score;
    rung_search_live *live;
    rung_search_ledger ledger;
} run;

static rung_status on_event(void *ud, const rung_search_event *e, rung_error *err) {
    run *r = ud;
    (void)err;
    r->n_events++;
    if (strcmp(e->kind, "node") == 0) {
        r->n_told_nodes++;
        assert_int_equal(e->node, r->n_told_nodes); /* 0 is the root */
        assert_true(e->parent >= 0 && e->parent < e->node);
    } else {
        assert_true(e->node >= 0 && e->node <= r->n_told_nodes);
    }
    return RUNG_OK;
}

static void on_answer(void *ud, const rung_search_answer *a, const rung_error *why) {
    run *r = ud;
    r->n_answers++;
    r->failed = a == NULL;
    if (!a) {
        assert_int_not_equal(why->code, RUNG_OK);
    } else {
        int32_t end = 0;
        snprintf(r->text, sizeof r->text, "%.*s", a->n_bytes, a->text);
        snprintf(r->key, sizeof r->key, "%s", a->key);
        r->n_nodes = a->n_nodes;
        r->n_traces = a->n_traces;
        r->stopped = a->stopped;
        r->score = a->score;
        r->ledger = a->ledger;
        for (int32_t k = 0; k < a->n_steps; k++) {
            assert_true(a->step_bytes[k] > end);
            end = a->step_bytes[k];
        }
        if (a->n_steps) assert_int_equal(end, a->n_bytes);
    }
    rung_search_live_free(r->live);
    r->live = NULL;
}

static rung_search_opts opts_of(const char *method, uint64_t seed) {
    rung_search_opts o = RUNG_SEARCH_OPTS_INIT;
    o.method = method;
    o.n = 4;
    o.width = 2;
    o.depth = 5;
    o.step_tok = 6;
    o.max_tok = 24;
    o.scorer = RUNG_SEARCH_SCORE_CONFIDENCE;
    o.split = "delimiter:a";
    o.seed = seed;
    return o;
}

static void begin(run *r, const rung_search_opts *o) {
    rung_search_host h = {.engine = engine};
    rung_problem p = {.set = "t", .key = "k", .question = "a question", .verifier = "math"};
    rung_search_live_cb cb = {on_event, on_answer, r};
    *r = (run){0};
    assert_ok(rung_search_live_new(&r->live, &h, o, &p, &cb, &terr));
}

static rung_status on_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    rung_taker *t = o->ud;
    (void)ud;
    return t->take(t, o, err);
}

static void finish(void) {
    rung_engine_cb cb = {.on_gen = on_gen};
    assert_ok(rung_engine_run(engine, &cb, &terr));
}

static void together_as_alone(void **state) {
    static const char *const method[] = {"beam", "sc", "mcts_uct", "best_first"};
    static run alone[4], beside[4];
    (void)state;
    for (int i = 0; i < 4; i++) {
        rung_search_opts o = opts_of(method[i], 3 + (uint64_t)i);
        begin(&alone[i], &o);
        finish();
        assert_int_equal(alone[i].n_answers, 1);
        assert_false(alone[i].failed);
        assert_int_equal(alone[i].n_nodes, alone[i].n_told_nodes + 1);
        assert_true(alone[i].ledger.gen_tok > 0 && alone[i].n_traces > 0);
    }
    for (int i = 0; i < 4; i++) {
        rung_search_opts o = opts_of(method[i], 3 + (uint64_t)i);
        begin(&beside[i], &o);
    }
    finish();
    for (int i = 0; i < 4; i++) {
        assert_int_equal(beside[i].n_answers, 1);
        assert_string_equal(beside[i].text, alone[i].text);
        assert_int_equal(beside[i].n_events, alone[i].n_events);
        assert_true(beside[i].score == alone[i].score ||
                    (isnan(beside[i].score) && isnan(alone[i].score)));
    }
}

static run *to_end;
static int end_at, n_rounds;
static bool cancels, late;

static rung_status on_round(void *ud, rung_error *err) {
    (void)ud;
    (void)err;
    if (++n_rounds != end_at) return RUNG_OK;
    late = to_end->live == NULL; /* it was over before */
    if (late) return RUNG_OK;
    if (cancels)
        rung_search_live_cancel(to_end->live);
    else
        rung_search_live_stop(to_end->live);
    return RUNG_OK;
}

/* At every round: it answers once, with what there is, or with nothing; the other is not touched.
 */
static void stopped_and_cancelled(void **state) {
    static run whole, r, other;
    (void)state;
    rung_search_opts o = opts_of("beam", 9), p = opts_of("sc", 2);
    begin(&whole, &p);
    finish();
    for (end_at = 1; end_at < 16; end_at += 2)
        for (int c = 0; c < 2; c++) {
            cancels = c == 1;
            n_rounds = 0;
            late = true;
            to_end = &r;
            begin(&r, &o);
            begin(&other, &p);
            rung_engine_cb cb = {.on_gen = on_gen, .on_round = on_round};
            assert_ok(rung_engine_run(engine, &cb, &terr));
            finish();
            assert_int_equal(r.n_answers, 1);
            if (!late) assert_int_equal(r.failed, cancels);
            if (!late && !cancels) assert_true(r.stopped);
            if (end_at == 1) assert_false(late);
            assert_int_equal(other.n_answers, 1);
            assert_string_equal(other.text, whole.text);
        }
}

/* The engine was cleared under it: nobody calls back, it is freed. */
static void dropped(void **state) {
    static run r;
    (void)state;
    rung_search_opts o = opts_of("beam", 1);
    begin(&r, &o);
    rung_engine_clear(engine);
    rung_search_live_free(r.live);
    assert_int_equal(r.n_answers, 0);
}

static void refused(void **state) {
    (void)state;
    rung_search_host h = {.engine = engine};
    rung_problem p = {.question = "q"};
    rung_search_live_cb cb = {NULL, on_answer, NULL};
    rung_search_live *l = NULL;
    rung_search_opts o = opts_of("nonsense", 1);
    assert_int_equal(rung_search_live_new(&l, &h, &o, &p, &cb, &terr), RUNG_E_NOT_FOUND);
    o = opts_of("beam", 1);
    o.scorer = RUNG_SEARCH_SCORE_NONE;
    assert_int_equal(rung_search_live_new(&l, &h, &o, &p, &cb, &terr), RUNG_E_INVAL);
    o.scorer = RUNG_SEARCH_SCORE_REWARD;
    assert_int_equal(rung_search_live_new(&l, &h, &o, &p, &cb, &terr), RUNG_E_INVAL);
    o = opts_of("beam", 1);
    o.split = "given";
    assert_int_equal(rung_search_live_new(&l, &h, &o, &p, &cb, &terr), RUNG_E_INVAL);
    assert_null(l);
}

static int setup(void **state) {
    (void)state;
    rung_engine_opts o = RUNG_ENGINE_OPTS_INIT;
    rm_dir_make();
    random_model_write(rm_path("m.gguf"), &(random_model_opts){.seed = 3});
    o.n_seq = 6;
    o.n_threads = 1;
    o.exact = true;
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
        cmocka_unit_test(together_as_alone),
        cmocka_unit_test(stopped_and_cancelled),
        cmocka_unit_test(dropped),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
