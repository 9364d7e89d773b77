/* Exact mode: whatever is forked, evicted, cancelled, read in between or in which order, every
 * sample and every reading has the bits of a plain run of it alone. */
#include "random_model.h"

#include "rung/model.h"

enum { N_KIND = 48, N_SAMPLE = 4, N_TEXT = 32, MAX_TOK = 10, ROUNDS = 20 };

typedef struct sample {
    bool known;
    int32_t n, tok[MAX_TOK];
    float lp[MAX_TOK], lq[MAX_TOK];
    char stop[12];
} sample;

typedef struct kind { /* a request: prompt and settings */
    char user[80], prefix[120];
    rung_gen g;
    sample alone[N_SAMPLE];
} kind;

typedef struct text { /* an evaluation */
    int32_t tok[200], at[6];
    rung_eval v;
    bool known;
    float *x; /* hidden, logits, logprob */
} text;

static rung_model *model;
static kind kinds[N_KIND];
static text texts[N_TEXT];
static rung_rng rng;
static int n_compared, n_cut, n_read, n_left;

static int below(int n) {
    return (int)rung_rng_below(&rng, (uint64_t)n);
}

static bool ends_in_e(void *ud, int32_t i, const char *s, int32_t n) {
    (void)ud, (void)i;
    return n > 2 && s[n - 1] == 'e';
}

/* Prompts are paths of a random tree: half of them continue another one. */
static void make_kinds(void) {
    static const char *step[] = {"one ", "two, ", "the end. ", "Step 3: ", "abcd", "x"};
    static const rung_logit_bias bias[] = {{65, -INFINITY}, {66, 2.0f}};
    for (int k = 0; k < N_KIND; k++) {
        kind *q = &kinds[k];
        memset(q, 0, sizeof *q);
        if (k > 0 && below(4)) {
            memcpy(q->user, kinds[below(k)].user, sizeof q->user);
        } else {
            snprintf(q->user, sizeof q->user, "question %d of the tree%s", below(6),
                     below(2) ? ", which is a longer one" : "");
        }
        for (int s = below(5); s > 0; s--) strcat(q->prefix, step[below(6)]);
        q->g = (rung_gen){.prompt = {.user = q->user, .prefix = q->prefix},
                          .sampling = RUNG_SAMPLING_INIT,
                          .n = N_SAMPLE,
                          .max_tok = 1 + below(MAX_TOK),
                          .seed = 9,
                          .stream = RUNG_STREAM_ROLLOUT,
                          .key = (uint64_t)k,
                          .ud = q};
        rung_sampling *s = &q->g.sampling;
        if (below(4) == 0) s->temperature = below(2) ? 0.0 : 0.7;
        if (below(4) == 0) s->top_k = 1 + below(20);
        if (below(4) == 0) s->top_p = 0.9;
        if (below(4) == 0) s->min_p = 0.05;
        if (below(6) == 0) s->repeat_penalty = 1.2;
        if (below(6) == 0) s->bias = bias, s->n_bias = 2;
        if (below(4) == 0) q->g.stop[0] = below(2) ? "t" : "he";
        if (below(4) == 0) q->g.stop_tok[q->g.n_stop_tok++] = 97;
        if (below(4) == 0) q->g.stop_fn = ends_in_e;
    }
    strcpy(kinds[0].user, "a");
    kinds[0].prefix[0] = 0; /* a prompt of one token */
}

static void make_texts(void) {
    for (int k = 0; k < N_TEXT; k++) {
        text *t = &texts[k];
        memset(t, 0, sizeof *t);
        int n = 2 + below(198), same = 0;
        if (k > 0 && below(3)) {
            const text *p = &texts[below(k)];
            same = below(p->v.n_tok < n ? p->v.n_tok : n);
            memcpy(t->tok, p->tok, sizeof(int32_t) * (size_t)same);
        }
        for (int i = same; i < n; i++) t->tok[i] = below(250) + 1;
        int n_at = 0;
        for (int p = below(n); p < n && n_at < 6; p += 1 + below(20)) t->at[n_at++] = p;
        t->v = (rung_eval){.tok = t->tok, .n_tok = n, .at = t->at, .n_at = n_at, .ud = t};
        t->v.hidden = below(2);
        t->v.logits = below(2) || !t->v.hidden;
        t->v.logprobs = below(3) == 0;
        if (t->v.logprobs) t->v.from = below(n);
    }
}

static size_t n_floats(const text *t) {
    size_t n = 0;
    if (t->v.hidden) n += (size_t)t->v.n_at * RM_EMBD;
    if (t->v.logits) n += (size_t)t->v.n_at * RM_VOCAB;
    return n + (t->v.logprobs ? (size_t)t->v.n_tok : 0);
}

static void pack(float *x, const text *t, const rung_eval_out *o) {
    if (t->v.hidden) {
        memcpy(x, o->hidden, sizeof *x * RM_EMBD * (size_t)t->v.n_at);
        x += RM_EMBD * t->v.n_at;
    }
    if (t->v.logits) {
        memcpy(x, o->logits, sizeof *x * RM_VOCAB * (size_t)t->v.n_at);
        x += RM_VOCAB * t->v.n_at;
    }
    if (t->v.logprobs) memcpy(x, o->logprob, sizeof *x * (size_t)t->v.n_tok);
}

/* Alone ---------------------------------------------------------------------------------------- */

static rung_status keep_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    (void)ud, (void)err;
    sample *s = &((kind *)o->ud)->alone[o->i];
    s->known = true;
    s->n = o->n_tok;
    memcpy(s->tok, o->tok, sizeof *o->tok * (size_t)o->n_tok);
    memcpy(s->lp, o->logprob, sizeof(float) * (size_t)o->n_tok);
    memcpy(s->lq, o->logprob_draw, sizeof(float) * (size_t)o->n_tok);
    snprintf(s->stop, sizeof s->stop, "%s", o->stop);
    return RUNG_OK;
}

static rung_status keep_eval(void *ud, const rung_eval_out *o, rung_error *err) {
    (void)ud, (void)err;
    text *t = o->ud;
    t->x = calloc(n_floats(t) + 1, sizeof *t->x);
    assert_non_null(t->x);
    pack(t->x, t, o);
    t->known = true;
    return RUNG_OK;
}

static rung_engine *open_engine(int n_seq, int n_ctx, int n_threads) {
    rung_engine_opts o = RUNG_ENGINE_OPTS_INIT;
    o.n_seq = n_seq;
    o.n_ctx = n_ctx;
    o.n_threads = n_threads;
    o.exact = true;
    rung_engine *e = NULL;
    assert_ok(rung_engine_open(&e, model, &o, NULL, &terr));
    return e;
}

/* One request of one sample at a time, nothing cached. */
static void run_alone(void) {
    rung_engine *e = open_engine(4, 0, 1);
    rung_engine_cb cb = {.on_gen = keep_gen, .on_eval = keep_eval};
    for (int k = 0; k < N_KIND; k++) {
        for (int i = 0; i < N_SAMPLE; i++) {
            rung_gen g = kinds[k].g;
            g.i0 = i;
            g.n = 1;
            rung_engine_clear(e);
            assert_ok(rung_engine_gen(e, &g, &terr));
            assert_ok(rung_engine_run(e, &cb, &terr));
            assert_true(kinds[k].alone[i].known);
        }
    }
    for (int k = 0; k < N_TEXT; k++) {
        rung_engine_clear(e);
        assert_ok(rung_engine_eval(e, &texts[k].v, &terr));
        assert_ok(rung_engine_run(e, &cb, &terr));
        assert_true(texts[k].known);
    }
    rung_engine_close(e);
}

/* Together --------------------------------------------------------------------------------------
 */

static rung_engine *engine;

static void submit_any(void) {
    n_left--;
    if (below(3) == 0) {
        assert_ok(rung_engine_eval(engine, &texts[below(N_TEXT)].v, &terr));
        return;
    }
    rung_gen g = kinds[below(N_KIND)].g;
    bool skip[N_SAMPLE];
    for (int i = 0; i < N_SAMPLE; i++) skip[i] = below(4) == 0;
    if (below(2)) g.skip = skip;
    g.i0 = below(N_SAMPLE);
    g.n = 1 + below(N_SAMPLE - g.i0);
    assert_ok(rung_engine_gen(engine, &g, &terr));
}

static rung_status same_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    (void)ud, (void)err;
    const sample *s = &((kind *)o->ud)->alone[o->i];
    bool cancelled = strcmp(o->stop, "cancelled") == 0;
    assert_true(cancelled ? o->n_tok <= s->n : o->n_tok == s->n);
    if (!cancelled) assert_string_equal(o->stop, s->stop);
    for (int t = 0; t < o->n_tok; t++) {
        assert_int_equal(o->tok[t], s->tok[t]);
        assert_memory_equal(&o->logprob[t], &s->lp[t], sizeof(float));
        assert_memory_equal(&o->logprob_draw[t], &s->lq[t], sizeof(float));
    }
    n_compared += !cancelled;
    n_cut += cancelled;
    if (n_left > 0 && below(3) == 0) submit_any();
    if (below(8) == 0) (void)rung_engine_cancel(engine, &kinds[below(N_KIND)]);
    return RUNG_OK;
}

static rung_status same_eval(void *ud, const rung_eval_out *o, rung_error *err) {
    (void)ud, (void)err;
    const text *t = o->ud;
    float *x = calloc(n_floats(t) + 1, sizeof *x);
    assert_non_null(x);
    pack(x, t, o);
    assert_memory_equal(x, t->x, n_floats(t) * sizeof *x);
    free(x);
    n_read++;
    if (n_left > 0 && below(3) == 0) submit_any();
    return RUNG_OK;
}

static void check_rounds(int rounds) {
    rung_engine_cb cb = {.on_gen = same_gen, .on_eval = same_eval};
    int64_t n_evicted = 0, n_forked = 0;
    n_compared = n_cut = n_read = 0;
    for (int r = 0; r < rounds; r++) {
        /* cells for few or many: 256 a stream */
        int n_seq = 4 * (1 + below(4));
        int n_threads = r % 8 == 0 ? 2 : 1;
        engine = open_engine(n_seq, below(2) ? 256 * (n_seq + 2) : 0, n_threads);
        for (int pass = 0; pass < 3; pass++) {
            n_left = 30;
            for (int i = 10 + below(10); i > 0; i--) submit_any();
            assert_ok(rung_engine_run(engine, &cb, &terr));
            if (below(3) == 0) rung_engine_clear(engine);
        }
        rung_engine_stats st;
        rung_engine_get_stats(&st, engine);
        n_evicted += st.n_evicted;
        n_forked += st.n_prompt_forked;
        rung_engine_close(engine);
    }
    print_message("%d samples, %d cancelled, %d readings, %lld evictions, %lld tokens forked\n",
                  n_compared, n_cut, n_read, (long long)n_evicted, (long long)n_forked);
    assert_true(n_compared > 30 * rounds && n_cut > rounds / 4 && n_read > 10 * rounds);
    assert_true(n_evicted > rounds);
}

static void together_equals_alone(void **state) {
    (void)state;
    random_model_write(rm_path("m.gguf"), &(random_model_opts){.seed = 3});
    assert_ok(rung_model_load(&model, rm_path("m.gguf"), NULL, &terr));
    rng = rung_rng_at(20, RUNG_STREAM_TEST, 0, 0);
    for (int tree = 0; tree < 2; tree++) {
        make_kinds();
        make_texts();
        run_alone();
        check_rounds(ROUNDS);
        for (int k = 0; k < N_TEXT; k++) free(texts[k].x);
    }
    rung_model_free(model);
}

static int setup(void **state) {
    (void)state;
    rm_dir_make();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    rm_dir_remove();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(together_equals_alone),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
