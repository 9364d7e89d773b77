/* The local backend's scheduler.
 *
 * First in, first out. The request at the head is prefilled (only what no resident prefix holds),
 * its continuations fork from that one prompt as streams come free and take their first token from
 * the prompt's last logits; when all have started the next request follows. Whatever can start does
 * so before each decode, so the batch is full while the queue lasts. Then one decode call makes the
 * next token of every live continuation. Evaluations run when they reach the head. */
#include "model/engine_local.h"

#include <string.h>

static rung_status bad_logits(const local *e, rung_error *err) {
    rung_fail(err, RUNG_E_MODEL, "model %s gives logits that are not numbers",
              e->base.model->info.name);
    return rung_error_hint(err, "its weights are damaged or overflow: fetch or train it again");
}

/* Prepare live continuation l's next draw from logits. */
static rung_status aim(rung_draw *d, const live *l, const float *logits, rung_error *err) {
    if (!logits) return rung_fail(err, RUNG_E_MODEL, "libllama gave no logits");
    double u = rung_rng_f64_at(&l->rng, (uint64_t)l->n);
    *d = (rung_draw){.logits = logits, .seq = &l->seq, .u = u};
    return RUNG_OK;
}

/* Draw for e->draw[0..n); the threads that decode also draw. */
static rung_status sample(local *e, int32_t n, rung_error *err) {
    const kv *k = &e->kv;
    int32_t n_threads = k->n_threads[k->with] < e->n_sampler ? k->n_threads[k->with] : e->n_sampler;
    double t0 = rung_now();
    rung_draw_many(e->draw, n, e->base.model->info.n_vocab, n_threads, e->scratch);
    e->base.stats.sample_s += rung_now() - t0;
    e->base.stats.n_generated += n;
    for (int32_t i = 0; i < n; i++) {
        if (e->draw[i].tok == DRAW_BAD_LOGITS) return bad_logits(e, err);
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

/* Is there a stop string that ends in text[old..n)? */
static bool hit_stop(const job *j, const rung_buf *text, size_t old) {
    size_t from = old + 1 > j->stop_max ? old + 1 - j->stop_max : 0;
    for (int i = 0; i < 4 && j->stop[i]; i++) {
        if (memmem(text->data + from, text->n - from, j->stop[i], strlen(j->stop[i]))) return true;
    }
    return false;
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
        return RUNG_OK;
    }
    if (!grow(l)) return rung_fail(err, RUNG_E_NOMEM, "no memory for a continuation");
    l->tok[l->n] = l->last = tok;
    l->logprob[l->n] = (float)d->logprob;
    l->logprob_draw[l->n++] = (float)d->logprob_draw;
    RUNG_TRY(rung_seq_accept(&l->seq, tok, &ended, err));
    size_t old = l->text.n;
    rung_model_piece(&l->text, e->base.model, tok, false);
    RUNG_TRY(rung_buf_check(&l->text, err));
    if (ended) {
        *stop = "eos";
    } else if (l->j->stop_max && l->text.n > old && hit_stop(l->j, &l->text, old)) {
        *stop = "stop";
    } else if (l->n >= l->j->gen.max_tok) {
        *stop = "length";
    } else if (used >= e->kv.n_cells) {
        *stop = "context";
    }
    return RUNG_OK;
}

static void unref(job *j) {
    if (--j->n_live == 0 && j->next_i >= j->gen.n) rung_job_free(j);
}

/* Report a continuation that has ended and free its place. The callback may submit more. */
static rung_status report(local *e, live *l, const char *stop, rung_error *err) {
    job *j = l->j;
    rung_gen_out o = {.ud = j->ud,
                      .i = l->i,
                      .text = l->text.data ? l->text.data : "",
                      .n_bytes = (int32_t)l->text.n,
                      .tok = l->tok,
                      .logprob = l->logprob,
                      .logprob_draw = l->logprob_draw,
                      .n_tok = l->n,
                      .stop = stop,
                      .n_prompt_new = l->n_prompt_new};
    rung_status st = e->cb->on_gen ? e->cb->on_gen(e->cb->ud, &o, err) : RUNG_OK;
    l->j = NULL;
    e->n_live--;
    unref(j);
    return st;
}

static void skip_done(job *j) {
    while (j->next_i < j->gen.n && j->skip && j->skip[j->next_i]) j->next_i++;
}

/* Start the head's next continuation at free place s. */
static rung_status start(local *e, job *j, int32_t s, rung_error *err) {
    live *l = &e->live[s];
    l->j = j;
    l->i = j->gen.i0 + j->next_i++;
    l->rng = rung_rng_at(j->gen.seed, j->gen.stream, j->gen.key, (uint64_t)l->i);
    l->n = 0;
    l->n_prompt_new = j->n_new;
    rung_buf_reset(&l->text);
    e->base.stats.n_prompt_new += j->n_new;
    e->base.stats.n_prompt_forked += j->n_tok - j->n_new;
    j->n_new = 0;
    skip_done(j);
    j->n_live++;
    e->n_live++;
    if (j->n_tok > e->kv.n_cells) return report(e, l, "context", err);
    const char *stop;
    RUNG_TRY(rung_seq_begin(&l->seq, j->plan, j->tok, j->n_tok, err));
    RUNG_TRY(aim(e->draw, l, j->logits, err));
    RUNG_TRY(sample(e, 1, err));
    RUNG_TRY(accept(e, l, e->draw, j->n_tok, &stop, err));
    if (stop) return report(e, l, stop, err);
    rung_kv_fork(&e->kv, s, j->stream);
    return RUNG_OK;
}

/* Compute the prompt but for what a resident prefix holds; keep the logits of its last token. */
static rung_status prefill(local *e, job *j, rung_error *err) {
    kv *k = &e->kv;
    j->prefilled = true;
    skip_done(j);
    if (j->n_tok > k->n_cells) return RUNG_OK;
    int32_t n_vocab = e->base.model->info.n_vocab, last = -1;
    j->logits = rung_alloc((size_t)n_vocab * sizeof *j->logits);
    if (!j->logits) return rung_fail(err, RUNG_E_NOMEM, "no memory for logits");
    int32_t s = j->stream = rung_kv_acquire(k, j->tok, j->n_tok - 1);
    j->n_new = j->n_tok - k->stream[s].n;
    k->want_hidden = k->skip_head = false;
    while (k->stream[s].n < j->n_tok) {
        rung_kv_begin(k);
        while (k->batch.n_tokens < k->n_batch && k->stream[s].n < j->n_tok) {
            int32_t p = k->stream[s].n;
            last = rung_kv_add(k, s, j->tok[p], p == j->n_tok - 1);
        }
        RUNG_TRY(rung_kv_decode(k, err));
        RUNG_TRY(rung_engine_tick(&e->base, e->n_live, err));
    }
    const float *logits = llama_get_logits_ith(k->ctx, last);
    if (!logits) return rung_fail(err, RUNG_E_MODEL, "libllama gave no logits");
    memcpy(j->logits, logits, (size_t)n_vocab * sizeof *logits);
    return RUNG_OK;
}

static job *pop_head(local *e) {
    job *j = e->head;
    e->head = j->next;
    if (!e->head) e->tail = &e->head;
    return j;
}

static int32_t free_place(const local *e) {
    for (int32_t s = 0; s < e->kv.n_seq; s++) {
        if (!e->live[s].j) return s;
    }
    return -1;
}

static rung_status admit_gen(local *e, job *j, rung_error *err) {
    rung_status st = j->prefilled ? RUNG_OK : prefill(e, j, err);
    while (st == RUNG_OK && j->next_i < j->gen.n) {
        int32_t s = free_place(e);
        if (s < 0) return RUNG_OK;
        /* The last one may end at once and take the job with it: leave the queue before. */
        bool is_last = true;
        for (int32_t i = j->next_i + 1; i < j->gen.n && is_last; i++)
            is_last = j->skip && j->skip[i];
        if (is_last) {
            pop_head(e);
            return start(e, j, s, err);
        }
        st = start(e, j, s, err);
    }
    return st;
}

/* Start all that can start; done when every place is taken or the queue is empty. */
static rung_status admit(local *e, rung_error *err) {
    while (e->head) {
        job *j = e->head;
        if (j->is_eval) {
            pop_head(e);
            rung_status st = rung_local_eval(e, j, err);
            rung_job_free(j);
            if (st != RUNG_OK) return st;
            RUNG_TRY(rung_engine_tick(&e->base, e->n_live, err));
            continue;
        }
        if (e->n_live == e->kv.n_seq) return RUNG_OK;
        RUNG_TRY(admit_gen(e, j, err));
    }
    return RUNG_OK;
}

/* Close the gaps: the last live continuation moves to the first free place. */
static void compact(local *e) {
    int32_t top = e->kv.n_seq - 1;
    for (int32_t s = 0; s < e->n_live; s++) {
        if (e->live[s].j) continue;
        while (!e->live[top].j) top--;
        rung_kv_fork(&e->kv, s, top);
        rung_kv_clear(&e->kv, top);
        live t = e->live[s];
        e->live[s] = e->live[top];
        e->live[top] = t;
    }
}

/* One token for every live continuation. */
static rung_status step(local *e, rung_error *err) {
    kv *k = &e->kv;
    int32_t n = e->n_live;
    k->want_hidden = k->skip_head = false;
    rung_kv_begin(k);
    for (int32_t s = 0; s < n; s++) rung_kv_add(k, s, e->live[s].last, true);
    rung_kv_try_threads(k);
    double t0 = rung_now();
    RUNG_TRY(rung_kv_decode(k, err));
    rung_kv_note_time(k, rung_now() - t0);
    for (int32_t s = 0; s < n; s++)
        RUNG_TRY(aim(&e->draw[s], &e->live[s], llama_get_logits_ith(k->ctx, s), err));
    RUNG_TRY(sample(e, n, err));
    for (int32_t s = 0; s < n; s++) {
        live *l = &e->live[s];
        const char *stop;
        RUNG_TRY(accept(e, l, &e->draw[s], k->stream[s].n, &stop, err));
        if (stop) RUNG_TRY(report(e, l, stop, err));
    }
    return RUNG_OK;
}

static rung_status run_all(local *e, rung_error *err) {
    for (;;) {
        RUNG_TRY(admit(e, err));
        if (e->n_live == 0) {
            if (!e->head) return RUNG_OK;
            continue;
        }
        compact(e);
        RUNG_TRY(step(e, err));
        RUNG_TRY(rung_engine_tick(&e->base, e->n_live, err));
    }
}

/* After a failure nothing queued or live stays, and the cache is taken to hold nothing. */
static void drop_all(local *e) {
    for (int32_t s = 0; s < e->kv.n_seq; s++) {
        job *j = e->live[s].j;
        e->live[s].j = NULL;
        if (j && --j->n_live == 0 && j != e->head) rung_job_free(j);
    }
    e->n_live = 0;
    while (e->head) rung_job_free(pop_head(e));
    llama_memory_clear(e->kv.mem, false);
    for (int32_t s = 0; s < e->kv.n_stream; s++) {
        e->kv.stream[s].n = 0;
        e->kv.stream[s].used = 0;
    }
}

rung_status rung_local_run(rung_engine *base, const rung_engine_cb *cb, rung_error *err) {
    local *e = (local *)base;
    e->cb = cb;
    rung_status st = run_all(e, err);
    if (st != RUNG_OK) drop_all(e);
    e->cb = NULL;
    return st;
}
