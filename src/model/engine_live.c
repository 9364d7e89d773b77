/* The local backend's live continuations: draws, ends, reports, one token for all of them. */
#include "model/engine_local.h"

#include <string.h>

/* Prepare live continuation l's next draw from logits. */
static void aim(rung_draw *d, const live *l, const float *logits) {
    double u = rung_rng_f64_at(&l->rng, (uint64_t)l->n);
    *d = (rung_draw){.logits = logits, .seq = &l->seq, .u = u};
}

/* Draw for e->draw[0..n); the threads that decode also draw. */
static rung_status sample(local *e, int32_t n, rung_error *err) {
    const decoder *d = &e->kv.d;
    int32_t n_threads = d->n_threads[d->with] < e->n_sampler ? d->n_threads[d->with] : e->n_sampler;
    double t0 = rung_now();
    rung_draw_many(e->draw, n, e->base.model->info.n_vocab, n_threads, e->scratch);
    e->base.stats.sample_s += rung_now() - t0;
    e->base.stats.n_generated += n;
    for (int32_t i = 0; i < n; i++) {
        if (e->draw[i].tok == DRAW_BAD_LOGITS) return rung_not_numbers(e->base.model, err);
        if (e->draw[i].tok >= 0 || e->draw[i].seq->grammar) continue;
        rung_fail(err, RUNG_E_INVAL, "the logit biases leave no token to draw");
        return rung_error_hint(err, "ban fewer tokens");
    }
    return RUNG_OK;
}

static bool grow(live *l) {
    if (l->n < l->cap) return true;
    int32_t cap = l->cap ? l->cap * 2 : 64;
    int32_t *tok = rung_realloc(l->tok, (size_t)cap * sizeof *tok);
    if (tok) l->tok = tok;
    float *lp = rung_realloc(l->logprob, (size_t)cap * sizeof *lp);
    if (lp) l->logprob = lp;
    float *lq = rung_realloc(l->logprob_draw, (size_t)cap * sizeof *lq);
    if (lq) l->logprob_draw = lq;
    if (!tok || !lp || !lq) return false;
    l->cap = cap;
    return true;
}

/* The likeliest tokens where token l->n is about to be noted. */
static bool note_top(local *e, live *l, const float *logits) {
    int32_t k = l->j->gen.n_top, need = (l->n + 1) * k;
    if (k == 0) return true;
    if (need > l->cap_top) {
        int32_t cap = need * 2;
        int32_t *tok = rung_realloc(l->top_tok, (size_t)cap * sizeof *tok);
        if (tok) l->top_tok = tok;
        float *lp = rung_realloc(l->top_logprob, (size_t)cap * sizeof *lp);
        if (lp) l->top_logprob = lp;
        if (!tok || !lp) return false;
        l->cap_top = cap;
    }
    size_t at = (size_t)l->n * (size_t)k;
    rung_top_logprobs(l->top_tok + at, l->top_logprob + at, k, logits, e->base.model->info.n_vocab);
    return true;
}

/* Entropy and certainty where token l->n is about to be noted: two rows of cap_spread. */
static bool note_spread(local *e, live *l, const float *logits) {
    if (!l->j->gen.spread) return true;
    if (l->n >= l->cap_spread) {
        int32_t cap = l->cap_spread ? l->cap_spread * 2 : 64;
        float *grown = rung_realloc(l->spread, 2 * (size_t)cap * sizeof *grown);
        if (!grown) return false;
        size_t old = (size_t)l->cap_spread;
        if (old) memmove(grown + cap, grown + old, old * sizeof *grown);
        l->spread = grown;
        l->cap_spread = cap;
    }
    rung_spread(&l->spread[l->n], &l->spread[l->cap_spread + l->n], logits,
                e->base.model->info.n_vocab);
    return true;
}

/* Is there a stop string that ends in text[old..n)? */
static bool hit_stop(const job *j, const rung_buf *text, size_t old) {
    size_t from = old + 1 > j->stop_max ? old + 1 - j->stop_max : 0;
    for (int i = 0; i < 4 && j->stop[i]; i++) {
        if (memmem(text->data + from, text->n - from, j->stop[i], strlen(j->stop[i]))) return true;
    }
    return false;
}

/* Does tok, which ended text at n bytes, end continuation l by one of its request's own rules? */
static bool ends_here(const live *l, int32_t tok, size_t old) {
    const job *j = l->j;
    for (int32_t i = 0; i < j->gen.n_stop_tok; i++) {
        if (j->gen.stop_tok[i] == tok) return true;
    }
    if (j->stop_max && l->text.n > old && hit_stop(j, &l->text, old)) return true;
    const char *text = l->text.data ? l->text.data : "";
    return j->gen.stop_fn && j->gen.stop_fn(j->ud, l->i, text, (int32_t)l->text.n);
}

static rung_status no_memory(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "no memory for a continuation");
}

/* Take the sampled token; *stop says why the continuation ends, NULL when it goes on. `used` cells
 * are taken: the token needs one more to be decoded. */
static rung_status accept(local *e, live *l, const rung_draw *d, int32_t used, const char **stop,
                          rung_error *err) {
    int32_t tok = d->tok;
    bool ended;
    *stop = NULL;
    if (tok < 0) { /* the vocabulary has no words for what the grammar wants next */
        *stop = "error";
        return RUNG_OK;
    }
    if (rung_model_is_eog(e->base.model, tok)) {
        *stop = "eos";
        l->end_tok = tok;
        l->end_logprob = (float)d->logprob;
        return note_top(e, l, d->logits) ? RUNG_OK : no_memory(err);
    }
    if (!grow(l) || !note_top(e, l, d->logits) || !note_spread(e, l, d->logits))
        return no_memory(err);
    l->tok[l->n] = l->last = tok;
    l->logprob[l->n] = (float)d->logprob;
    l->logprob_draw[l->n++] = (float)d->logprob_draw;
    RUNG_TRY(rung_seq_accept(&l->seq, tok, &ended, err));
    size_t old = l->text.n;
    rung_model_piece(&l->text, e->base.model, tok, false);
    RUNG_TRY(rung_buf_check(&l->text, err));
    if (ended) {
        *stop = "eos";
    } else if (ends_here(l, tok, old)) {
        *stop = "stop";
    } else if (l->n >= l->j->gen.max_tok) {
        *stop = "length";
    } else if (used >= e->kv.n_cells) {
        *stop = "context";
    }
    return RUNG_OK;
}

void rung_job_unref(job *j) {
    if (--j->n_live == 0 && j->next_i >= j->gen.n) rung_job_free(j);
}

static rung_gen_out so_far(const live *l, const char *stop) {
    const job *j = l->j;
    bool top = j->gen.n_top > 0, spread = j->gen.spread && l->spread;
    return (rung_gen_out){.ud = j->ud,
                          .i = l->i,
                          .text = l->text.data ? l->text.data : "",
                          .n_bytes = (int32_t)l->text.n,
                          .tok = l->tok,
                          .logprob = l->logprob,
                          .logprob_draw = l->logprob_draw,
                          .n_tok = l->n,
                          .stop = stop,
                          .n_prompt_new = l->n_prompt_new,
                          .n_prompt_tok = j->n_tok,
                          .end_tok = stop ? l->end_tok : -1,
                          .end_logprob = l->end_logprob,
                          .top_tok = top ? l->top_tok : NULL,
                          .top_logprob = top ? l->top_logprob : NULL,
                          .entropy = spread ? l->spread : NULL,
                          .certainty = spread ? l->spread + l->cap_spread : NULL};
}

/* It goes on: its caller may want to hear of each token. */
static rung_status tell_token(local *e, const live *l, rung_error *err) {
    if (!l->j->gen.told || !e->cb->on_token) return RUNG_OK;
    rung_gen_out o = so_far(l, NULL);
    return e->cb->on_token(e->cb->ud, &o, err);
}

/* Report a continuation that has ended and free its place. The callback may submit more. */
rung_status rung_live_report(local *e, live *l, const char *stop, rung_error *err) {
    job *j = l->j;
    rung_gen_out o = so_far(l, stop);
    e->base.stats.n_cancelled += j->cancelled;
    l->j = NULL;
    e->n_live--;
    rung_status st = e->cb->on_gen ? e->cb->on_gen(e->cb->ud, &o, err) : RUNG_OK;
    rung_job_unref(j);
    return st;
}

void rung_job_skip_done(job *j) {
    while (j->next_i < j->gen.n && j->skip && j->skip[j->next_i]) j->next_i++;
}

rung_status rung_live_start(local *e, job *j, int32_t s, rung_error *err) {
    live *l = &e->live[s];
    l->j = j;
    l->i = j->gen.i0 + j->next_i++;
    l->rng = rung_rng_at(j->gen.seed, j->gen.stream, j->gen.key, (uint64_t)l->i);
    l->n = 0;
    l->end_tok = -1;
    l->n_prompt_new = j->n_new;
    rung_buf_reset(&l->text);
    e->base.stats.n_prompt_new += j->n_new;
    e->base.stats.n_prompt_forked += j->n_tok - j->n_new;
    j->n_new = 0;
    rung_job_skip_done(j);
    j->n_live++;
    e->n_live++;
    if (j->n_tok > e->kv.n_cells) return rung_live_report(e, l, "context", err);
    const char *stop;
    RUNG_TRY(rung_seq_begin(&l->seq, j->plan, j->tok, j->n_tok, err));
    aim(e->draw, l, j->logits);
    RUNG_TRY(sample(e, 1, err));
    RUNG_TRY(accept(e, l, e->draw, j->n_tok, &stop, err));
    if (stop) return rung_live_report(e, l, stop, err);
    rung_kv_fork(&e->kv, s, j->stream, j->n_tok);
    return tell_token(e, l, err);
}

/* Close the gaps: the last live continuation moves to the first free place. */
static void compact(local *e) {
    int32_t top = e->kv.n_seq - 1;
    for (int32_t s = 0; s < e->n_live; s++) {
        if (e->live[s].j) continue;
        while (!e->live[top].j) top--;
        rung_kv_fork(&e->kv, s, top, e->kv.stream[top].n);
        rung_kv_clear(&e->kv, top);
        live t = e->live[s];
        e->live[s] = e->live[top];
        e->live[top] = t;
    }
}

/* One token for every live continuation. In exact mode free places fill the call up. */
rung_status rung_live_step(local *e, rung_error *err) {
    kv *k = &e->kv;
    compact(e);
    int32_t n = e->n_live, n_rows = rung_decoder_rows(&k->d, n);
    if (n_rows > n) RUNG_TRY(rung_live_twin(e, err));
    rung_decoder_begin(&k->d);
    for (int32_t s = 0; s < n; s++) rung_kv_add(k, s, e->live[s].last, true);
    for (int32_t s = n; s < n_rows; s++) {
        rung_kv_clear(k, s);
        rung_kv_add(k, s, 0, true);
    }
    double before = e->base.stats.decode_s;
    RUNG_TRY(rung_decoder_run(&k->d, true, err));
    if (n_rows > n) rung_live_twin_done(e, e->base.stats.decode_s - before);
    for (int32_t s = n; s < n_rows; s++) rung_kv_clear(k, s);
    for (int32_t s = 0; s < n; s++) {
        const float *logits;
        RUNG_TRY(rung_decoder_logits(&logits, &k->d, s, err));
        aim(&e->draw[s], &e->live[s], logits);
    }
    RUNG_TRY(sample(e, n, err));
    for (int32_t s = 0; s < n; s++) {
        live *l = &e->live[s];
        const char *stop;
        if (l->j->cancelled) continue; /* by a callback just now */
        RUNG_TRY(accept(e, l, &e->draw[s], k->stream[s].n, &stop, err));
        RUNG_TRY(stop ? rung_live_report(e, l, stop, err) : tell_token(e, l, err));
    }
    return RUNG_OK;
}
