/* Plain continuations: /v1/completions, and chat without a search. */
#include "serve/work.h"

#include <string.h>

static rung_status no_memory(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "no memory for a request");
}

static void *dup_in(rung_arena *a, const void *p, size_t n) {
    void *q = rung_arena_alloc(a, n + 1);
    if (q && n) memcpy(q, p, n);
    return q;
}

/* ---- what comes back */

rung_status work_keep(work_choice *c, work_ask *a, const work_text *t, rung_error *err) {
    size_t n = (size_t)(t->n_tok + t->n_end), n_top = n * (size_t)a->ask.n_top;
    c->t = *t;
    c->t.text = dup_in(a->arena, t->text, (size_t)t->n_bytes);
    if (t->tok) c->t.tok = dup_in(a->arena, t->tok, n * sizeof *t->tok);
    if (t->logprob) c->t.logprob = dup_in(a->arena, t->logprob, n * sizeof *t->logprob);
    if (t->top_tok) c->t.top_tok = dup_in(a->arena, t->top_tok, n_top * sizeof *t->top_tok);
    if (t->top_logprob)
        c->t.top_logprob = dup_in(a->arena, t->top_logprob, n_top * sizeof *t->top_logprob);
    bool ok = c->t.text && (!t->tok || c->t.tok) && (!t->logprob || c->t.logprob) &&
              (!t->top_tok || c->t.top_tok) && (!t->top_logprob || c->t.top_logprob);
    return ok ? RUNG_OK : no_memory(err);
}

static work_text text_of(const rung_gen_out *o) {
    return (work_text){.text = o->text,
                       .n_bytes = o->n_bytes,
                       .n_tok = o->n_tok,
                       .tok = o->tok,
                       .logprob = o->logprob,
                       .top_tok = o->top_tok,
                       .top_logprob = o->top_logprob};
}

/* A text completion tells the token that ended it, too (as vLLM does: who asks for one token gets
 * the logprobs of one). */
static rung_status with_end(work_text *t, work_ask *a, const rung_gen_out *o, rung_error *err) {
    size_t n = (size_t)t->n_tok;
    if (o->end_tok < 0 || a->ask.kind != SERVE_COMPLETION || !a->ask.logprobs) return RUNG_OK;
    int32_t *tok = rung_arena_alloc(a->arena, (n + 1) * sizeof *tok);
    float *lp = rung_arena_alloc(a->arena, (n + 1) * sizeof *lp);
    if (!tok || !lp) return no_memory(err);
    if (n) memcpy(tok, t->tok, n * sizeof *tok);
    if (n) memcpy(lp, t->logprob, n * sizeof *lp);
    tok[n] = o->end_tok;
    lp[n] = o->end_logprob;
    t->tok = tok;
    t->logprob = lp;
    t->n_end = 1;
    return RUNG_OK;
}

static const char *finish_of(const char *stop) {
    return strcmp(stop, "eos") == 0 || strcmp(stop, "stop") == 0 ? "stop" : "length";
}

static void take_whole(work_ask *a, work_choice *c, const rung_gen_out *o) {
    rung_error err = RUNG_ERROR_INIT;
    work_text t = text_of(o);
    c->finish = finish_of(o->stop);
    if (with_end(&t, a, o, &err) != RUNG_OK || work_keep(c, a, &t, &err) != RUNG_OK) {
        work_fail(a, 500, &err);
        return;
    }
    c->done = true;
    if (a->ask.stream) work_chunk(a, c, &c->t, true);
}

static rung_status take(rung_taker *taker, const rung_gen_out *o, rung_error *err) {
    work_gen *g = (work_gen *)taker;
    work_ask *a = g->a;
    rung_error why = RUNG_ERROR_INIT;
    (void)err;
    a->cost.gen_tok += o->n_tok;
    if (!g->counted) a->cost.prompt_tok += o->n_prompt_tok;
    g->counted = true;
    if (!a->cancelled && !a->failed) {
        if (strcmp(o->stop, "error") == 0) {
            rung_fail(&why, RUNG_E_MODEL, "the continuation failed");
            work_fail(a, a->w->m ? 500 : 502, &why);
        } else if (strcmp(o->stop, "context") == 0 && o->n_tok == 0) {
            rung_fail(&why, RUNG_E_LIMIT, "a prompt of %d tokens does not fit the context",
                      o->n_prompt_tok);
            work_fail(a, 400, &why);
        } else {
            take_whole(a, &a->choice[g->prompt * a->ask.n + o->i], o);
        }
    }
    work_part_done(a);
    return RUNG_OK;
}

rung_status work_on_token(void *ud, const rung_gen_out *o, rung_error *err) {
    work_gen *g = o->ud; /* only ours are told */
    work_ask *a = g->a;
    (void)ud;
    (void)err;
    if (a->cancelled || a->failed) return RUNG_OK;
    work_text t = text_of(o);
    work_chunk(a, &a->choice[g->prompt * a->ask.n + o->i], &t, false);
    return RUNG_OK;
}

rung_status work_on_eval(void *ud, const rung_eval_out *o, rung_error *err) {
    work_read *r = o->ud;
    work_ask *a = r->a;
    size_t n = (size_t)r->n_tok, n_top = n * (size_t)a->ask.n_top;
    (void)ud;
    (void)err;
    r->logprob = dup_in(a->arena, o->logprob, n * sizeof *o->logprob);
    if (o->top_tok) r->top_tok = dup_in(a->arena, o->top_tok, n_top * sizeof *o->top_tok);
    if (o->top_tok)
        r->top_logprob = dup_in(a->arena, o->top_logprob, n_top * sizeof *o->top_logprob);
    if (!r->logprob || (o->top_tok && (!r->top_tok || !r->top_logprob))) {
        rung_error why = RUNG_ERROR_INIT;
        no_memory(&why);
        work_fail(a, 500, &why);
    }
    work_part_done(a);
    return RUNG_OK;
}

/* ---- beginning */

/* More stop texts than the engine takes, looked for where the last token may have ended one. */
static bool hits_stop(void *ud, int32_t i, const char *text, int32_t n_bytes) {
    const work_gen *g = ud;
    const serve_ask *q = &g->a->ask;
    enum { TAIL = 768 }; /* a stop text and the longest token */
    (void)i;
    int32_t from = n_bytes > TAIL ? n_bytes - TAIL : 0;
    for (int32_t k = 0; k < q->n_stop; k++)
        if (memmem(text + from, (size_t)(n_bytes - from), q->stop[k], strlen(q->stop[k])))
            return true;
    return false;
}

/* The tokens of a completion's prompt: as they are, or of text in which control tokens are read. */
static rung_status tokens_of(work_read *r, const work_ask *a, const serve_prompt *p,
                             rung_error *err) {
    if (p->text) {
        RUNG_TRY(rung_model_tokenize(&r->tok, &r->n_tok, a->w->m, p->text, strlen(p->text), true,
                                     true, err));
        if (r->n_tok > 0) return RUNG_OK;
        return rung_fail(err, RUNG_E_INVAL, "prompt: is empty");
    }
    r->tok = rung_alloc((size_t)p->n_tok * sizeof *r->tok);
    if (!r->tok) return no_memory(err);
    memcpy(r->tok, p->tok, (size_t)p->n_tok * sizeof *r->tok);
    r->n_tok = p->n_tok;
    return RUNG_OK;
}

static rung_status submit_read(work_ask *a, work_read *r, rung_error *err) {
    rung_eval v = {
        .tok = r->tok, .n_tok = r->n_tok, .logprobs = true, .n_top = a->ask.n_top, .ud = r};
    a->n_left++;
    rung_status st = rung_engine_eval(a->w->e, &v, err);
    if (st != RUNG_OK) a->n_left--;
    return st;
}

static rung_status submit_gen(work_ask *a, work_gen *g, const work_read *r, rung_error *err) {
    const serve_ask *q = &a->ask;
    rung_gen x = {.prompt = {q->system, q->user, q->prefix},
                  .sampling = q->sampling,
                  .n = q->n,
                  .max_tok = q->max_tok,
                  .seed = a->seed,
                  .stream = RUNG_STREAM_TRACE,
                  .key = (uint64_t)g->prompt,
                  .ud = g,
                  .n_stop_tok = q->n_stop_tok,
                  .turn = q->turn,
                  .n_turns = q->n_turns,
                  .told = q->stream,
                  .n_top = q->logprobs ? q->n_top : 0};
    memcpy(x.stop_tok, q->stop_tok, sizeof x.stop_tok);
    if (q->n_stop <= 4)
        for (int32_t k = 0; k < q->n_stop; k++) x.stop[k] = q->stop[k];
    else
        x.stop_fn = hits_stop;
    if (q->kind == SERVE_COMPLETION && a->w->m) {
        x.prompt_tok = r->tok;
        x.n_prompt_tok = r->n_tok;
        x.n_turns = 0;
    } else if (q->kind == SERVE_COMPLETION) {
        x.prompt = (rung_prompt){NULL, q->prompt[g->prompt].text, NULL};
    }
    a->n_left += q->n;
    rung_status st = rung_engine_gen(a->w->e, &x, err);
    if (st != RUNG_OK) a->n_left -= q->n;
    return st;
}

/* An endpoint takes text and gives it back: no tokens. */
static rung_status check_remote(const work_ask *a, rung_error *err) {
    const serve_ask *q = &a->ask;
    if (a->w->m) return RUNG_OK;
    for (int32_t i = 0; i < q->n_prompts; i++)
        if (q->prompt[i].tok)
            return rung_fail(err, RUNG_E_INVAL, "prompt: the policy is an endpoint: text only");
    if (q->echo || q->logprobs)
        return rung_fail(err, RUNG_E_INVAL, "the policy is an endpoint: no echo, no logprobs");
    return RUNG_OK;
}

rung_status work_begin_text(work_ask *a, rung_error *err) {
    const serve_ask *q = &a->ask;
    int32_t n = q->kind == SERVE_CHAT ? 1 : q->n_prompts;
    RUNG_TRY(check_remote(a, err));
    a->n_choices = n * q->n;
    a->choice = rung_arena_alloc(a->arena, (size_t)a->n_choices * sizeof *a->choice);
    a->gen = rung_arena_alloc(a->arena, (size_t)n * sizeof *a->gen);
    a->read = rung_arena_alloc(a->arena, (size_t)n * sizeof *a->read);
    if (!a->choice || !a->gen || !a->read) {
        a->n_choices = 0;
        return no_memory(err);
    }
    for (int32_t i = 0; i < a->n_choices; i++) a->choice[i].index = i;
    for (int32_t i = 0; i < n; i++) {
        work_read *r = &a->read[i];
        work_gen *g = &a->gen[i];
        *r = (work_read){.a = a};
        *g = (work_gen){.taker.take = take, .a = a, .prompt = i};
        a->n_reads = i + 1;
        if (q->kind == SERVE_COMPLETION && a->w->m) RUNG_TRY(tokens_of(r, a, &q->prompt[i], err));
        if (q->echo && q->logprobs) RUNG_TRY(submit_read(a, r, err));
        if (q->max_tok > 0) {
            RUNG_TRY(submit_gen(a, g, r, err));
            a->n_gens = i + 1;
        } else {
            a->cost.prompt_tok += r->n_tok;
        }
    }
    return RUNG_OK;
}
