/* Reading whole traces: one evaluation a trace with a read-out at each step's end, or, as scorers
 * without a cache of their own do it, one evaluation a step. */
#include "bench/load.h"
#include "bench/pool.h"
#include <math.h>
#include <string.h>

typedef struct text {
    const int32_t *tok, *at;
    int32_t n_tok, n_at;
} text;
typedef struct texts {
    rung_arena *arena;
    void *row; /* text[n] */
    int64_t n, cap, n_tok, n_steps;
    void *tok, *at; /* int32_t, scratch of the row being made */
    int64_t tok_cap, at_cap;
} texts;

static rung_status append(texts *w, int32_t *n, const int32_t *tok, int32_t n_new,
                          rung_error *err) {
    RUNG_TRY(rung_grow(&w->tok, &w->tok_cap, *n + n_new, sizeof(int32_t), err));
    if (n_new) memcpy((int32_t *)w->tok + *n, tok, (size_t)n_new * sizeof *tok);
    *n += n_new;
    return RUNG_OK;
}

static const int32_t *keep(texts *w, const void *p, int32_t n) {
    int32_t *q = rung_arena_alloc(w->arena, (size_t)n * sizeof *q + 1);
    if (q && n) memcpy(q, p, (size_t)n * sizeof *q);
    return q;
}

/* Each step's text is tokenized on its own, so that its last token is its own. */
static rung_status add_steps(texts *w, int32_t *n, const rung_model *m, const rung_trace *t,
                             rung_error *err) {
    RUNG_TRY(rung_grow(&w->at, &w->at_cap, t->n_steps, sizeof(int32_t), err));
    for (int32_t k = 0; k < t->n_steps; k++) {
        const rung_step *s = &t->step[k];
        int32_t *tok = NULL, n_tok = 0;
        RUNG_TRY(rung_model_tokenize(&tok, &n_tok, m, t->text + s->byte_begin,
                                     (size_t)(s->byte_end - s->byte_begin), false, false, err));
        rung_status st = append(w, n, tok, n_tok, err);
        rung_free(tok);
        if (st == RUNG_OK && n_tok == 0)
            st = rung_fail(err, RUNG_E_FORMAT, "trace %lld, step %d: no tokens", (long long)t->id,
                           k);
        RUNG_TRY(st);
        ((int32_t *)w->at)[k] = *n - 1;
    }
    return RUNG_OK;
}

static rung_status add_trace(texts *w, rung_store *s, const rung_model *m, const rung_trace *t,
                             const rung_load_opts *o, rung_error *err) {
    rung_problem p;
    rung_buf user;
    int32_t *tok = NULL, n_tok = 0, n = 0;
    RUNG_TRY(rung_problem_get(s, &p, w->arena, t->problem, err));
    rung_buf_init(&user, 16u << 20);
    rung_status st = rung_trace_prompt(&user, &p, o->suffix, err);
    if (st == RUNG_OK) {
        rung_prompt prompt = {o->system, user.data ? user.data : "", NULL};
        st = rung_prompt_tokens(&tok, &n_tok, NULL, m, &prompt, err);
    }
    rung_buf_clear(&user);
    if (st == RUNG_OK) st = append(w, &n, tok, n_tok, err);
    rung_free(tok);
    RUNG_TRY(st);
    RUNG_TRY(add_steps(w, &n, m, t, err));
    RUNG_TRY(rung_grow(&w->row, &w->cap, w->n + 1, sizeof(text), err));
    text r = {keep(w, w->tok, n), keep(w, w->at, t->n_steps), n, t->n_steps};
    if (!r.tok || !r.at) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d tokens", n);
    ((text *)w->row)[w->n++] = r;
    w->n_tok += n;
    w->n_steps += t->n_steps;
    return RUNG_OK;
}

static rung_status read_texts(texts *w, rung_store *s, const rung_model *m, const rung_load_opts *o,
                              rung_error *err) {
    rung_iter *it;
    const rung_trace *t;
    w->arena = rung_arena_new(0);
    if (!w->arena) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    RUNG_TRY(rung_trace_iter(&it, s, &o->what, err));
    rung_status st;
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if (t->n_steps > 0 && (st = add_trace(w, s, m, t, o, err)) != RUNG_OK) break;
    }
    rung_iter_free(it);
    if (st != RUNG_DONE) return st;
    if (w->n > 0) return RUNG_OK;
    rung_fail(err, RUNG_E_NOT_FOUND, "no traces match");
    return rung_error_hint(err, "sample or import some first, or check --set and --run");
}

typedef struct tally {
    int64_t n_read, n_new;
} tally;

static rung_status on_eval(void *ud, const rung_eval_out *o, rung_error *err) {
    tally *t = ud;
    const float *x = o->hidden ? o->hidden : o->logits;
    if (!x || !isfinite(x[0])) return rung_fail(err, RUNG_E_MODEL, "a read-out is missing");
    t->n_read += o->n_at;
    t->n_new += o->n_new;
    return RUNG_OK;
}

static rung_status submit(rung_engine *e, const text *r, int32_t first, int32_t n_at,
                          const rung_load_opts *o, rung_error *err) {
    rung_eval v = {.tok = r->tok,
                   .n_tok = r->at[first + n_at - 1] + 1,
                   .at = r->at + first,
                   .n_at = n_at,
                   .hidden = !o->logits,
                   .logits = o->logits};
    return rung_engine_eval(e, &v, err);
}

static rung_status one_pass(const texts *w, rung_engine *e, const rung_engine_cb *cb,
                            const rung_load_opts *o, rung_error *err) {
    for (int64_t k = 0; k < w->n; k++) {
        const text *r = (const text *)w->row + k;
        rung_status st = submit(e, r, 0, r->n_at, o, err);
        if (st != RUNG_OK) {
            rung_engine_clear(e);
            return st;
        }
    }
    return rung_engine_run(e, cb, err);
}

static rung_status step_by_step(const texts *w, rung_engine *e, const rung_engine_cb *cb,
                                const rung_load_opts *o, rung_error *err) {
    for (int64_t k = 0; k < w->n; k++) {
        const text *r = (const text *)w->row + k;
        for (int32_t i = 0; i < r->n_at; i++) {
            rung_engine_clear(e);
            RUNG_TRY(submit(e, r, i, 1, o, err));
            RUNG_TRY(rung_engine_run(e, cb, err));
        }
    }
    return RUNG_OK;
}

static rung_status run(const texts *w, rung_buf *json, rung_engine *e, const rung_model *m,
                       const rung_load_opts *o, rung_error *err) {
    tally t = {0};
    rung_engine_cb cb = {.on_eval = on_eval, .ud = &t};
    load_mark begin;
    rung_load_begin(&begin, e);
    RUNG_TRY((o->per_step ? step_by_step : one_pass)(w, e, &cb, o, err));
    double wall_s = rung_now() - begin.now;
    if (t.n_read != w->n_steps)
        return rung_fail(err, RUNG_E_MODEL, "%lld of %lld steps were read", (long long)t.n_read,
                         (long long)w->n_steps);
    rung_buf_printf(json,
                    "{\"v\":1,\"bench\":\"score\",\"how\":\"%s\",\"rows\":%lld,\"steps\":%lld,"
                    "\"tokens\":%lld,\"tokens_computed\":%lld,\"wall_s\":%.6f,"
                    "\"tokens_per_s\":%.6g,\"rows_per_s\":%.6g",
                    o->per_step ? "a call per step" : "one pass", (long long)w->n,
                    (long long)w->n_steps, (long long)w->n_tok, (long long)t.n_new, wall_s,
                    (double)w->n_tok / wall_s, (double)w->n / wall_s);
    rung_load_put_stats(json, e, &begin);
    rung_load_put_model(json, m);
    rung_buf_str(json, "}");
    return rung_buf_check(json, err);
}

rung_status rung_bench_score(rung_buf *json, rung_store *s, rung_engine *e, const rung_load_opts *o,
                             rung_error *err) {
    texts w = {0};
    const rung_model *m;
    if (o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "rung_load_opts of another size");
    RUNG_TRY(rung_load_model(&m, e, err));
    rung_status st = read_texts(&w, s, m, o, err);
    if (st == RUNG_OK) st = run(&w, json, e, m, o, err);
    rung_free(w.row);
    rung_free(w.tok);
    rung_free(w.at);
    rung_arena_free(w.arena);
    return st;
}
