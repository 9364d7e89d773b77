/* The local backend's scheduler (docs/design/engine.md).
 *
 * Each round: cancelled samples are reported; whatever can start, starts, first come first served;
 * evaluations get a call when they fill one or have waited; then one call makes the next token of
 * every live continuation. A request starts from its prompt's stream: the prompt is computed once,
 * together with the queued prompts that continue it, and each of these forks at its own end. */
#include "model/engine_local.h"

#include <string.h>

/* Decode calls that evaluations wait for company, and tokens that are company enough. */
enum { READ_WAIT = 8, READ_FULL = 512 };
/* Queued requests that are looked at for prompts that continue the one at hand. */
enum { AHEAD = 64 };

/* Prompts -------------------------------------------------------------------------------------- */

/* A stream is wanted again by the requests whose prompts it holds: pinned up to the longest. */
static void repin(local *e, int32_t s) {
    kv_stream *st = &e->kv.stream[s];
    st->pin = 0;
    int32_t left = AHEAD;
    for (const job *q = e->gens.head; q && left > 0; q = q->next, left--) {
        if (q->prefilled && q->stream == s && q->n_tok > st->pin) st->pin = q->n_tok;
    }
}

/* Every prompt stream is wanted: the one that was used longest ago is given up, and what it held is
 * computed again when its turn comes. */
static void give_up_oldest(local *e) {
    kv *k = &e->kv;
    int32_t s = k->n_seq;
    for (int32_t i = k->n_seq; i < k->n_stream; i++) {
        if (k->stream[i].used < k->stream[s].used) s = i;
    }
    int32_t left = AHEAD;
    for (job *q = e->gens.head; q && left > 0; q = q->next, left--) {
        if (!q->prefilled || q->stream != s) continue;
        q->prefilled = false;
        q->stream = -1;
        rung_free(q->logits);
        q->logits = NULL;
    }
    k->stream[s].pin = 0;
}

static bool continues(const job *a, const job *b) {
    return b->n_tok >= a->n_tok && !memcmp(a->tok, b->tok, (size_t)a->n_tok * sizeof *a->tok);
}

static bool may_join(const local *e, const job *q) {
    return !q->prefilled && !q->cancelled && q->n_tok <= e->kv.n_cells;
}

/* The longest prompt among the next requests that continues j's, step by step. */
static const job *longest(const local *e, const job *j) {
    int32_t left = AHEAD;
    const job *end = j;
    for (const job *q = j->next; q && left > 0; q = q->next, left--) {
        if (may_join(e, q) && continues(end, q)) end = q;
    }
    return end;
}

/* Requests whose prompts end within the computed part of `end`: in[0..n). */
static int32_t boundaries(job **in, const local *e, job *j, const job *end, int32_t from) {
    int32_t n = 0, left = AHEAD + 1;
    for (job *q = j; q && left > 0; q = q->next, left--) {
        if (may_join(e, q) && q->n_tok > from && continues(q, end)) in[n++] = q;
    }
    return n;
}

/* One call of at most `n` rows; logits are kept for requests that end in it. *counted: prompt
 * tokens that some request has been charged for. */
static rung_status prefill_call(local *e, const job *end, int32_t s, int32_t n, job **in,
                                int32_t n_in, int32_t *counted, rung_error *err) {
    kv *k = &e->kv;
    int32_t row[AHEAD + 1], p0 = k->stream[s].n;
    rung_decoder_begin(&k->d);
    while (k->d.batch.n_tokens < n && k->d.n_out < k->d.n_out_max) {
        int32_t p = k->stream[s].n;
        bool out = false;
        for (int32_t i = 0; i < n_in; i++) {
            if (in[i]->n_tok - 1 != p) continue;
            out = true;
            row[i] = k->d.batch.n_tokens;
        }
        rung_kv_add(k, s, end->tok[p], out);
    }
    int32_t p1 = k->stream[s].n;
    int32_t n_rows = rung_decoder_rows(&k->d, p1 - p0);
    while (k->d.batch.n_tokens < n_rows) rung_kv_add(k, s, 0, false);
    k->d.share = k->exact && k->d.batch.n_tokens == k->chunk_max ? k->chunk_share : 1.0;
    rung_status st = rung_decoder_run(&k->d, false, err);
    k->d.share = 1.0;
    RUNG_TRY(st);
    rung_kv_cut(k, s, p1);
    size_t bytes = (size_t)e->base.model->info.n_vocab * sizeof(float);
    for (int32_t p = p0; p < p1; p++) {
        for (int32_t i = 0; i < n_in; i++) {
            job *q = in[i];
            if (q->n_tok - 1 != p) continue;
            const float *logits;
            RUNG_TRY(rung_decoder_logits(&logits, &k->d, row[i], err));
            q->logits = rung_alloc(bytes);
            if (!q->logits) return rung_fail(err, RUNG_E_NOMEM, "no memory for logits");
            memcpy(q->logits, logits, bytes);
            q->prefilled = true;
            q->stream = s;
            q->n_new = p + 1 - *counted;
            *counted = p + 1;
        }
    }
    return RUNG_OK;
}

/* Compute j's prompt but for what is resident, and on through the prompts that continue it. */
static rung_status prefill(local *e, job *j, rung_error *err) {
    kv *k = &e->kv;
    if (j->n_tok > k->n_cells) {
        j->prefilled = true;
        return RUNG_OK;
    }
    int32_t s = rung_kv_acquire(k, j->tok, j->n_tok - 1);
    if (s < 0) {
        give_up_oldest(e);
        s = rung_kv_acquire(k, j->tok, j->n_tok - 1);
    }
    const job *end = longest(e, j);
    job *in[AHEAD + 1];
    int32_t from = k->stream[s].n, n_in = boundaries(in, e, j, end, from), n_end = end->n_tok;
    while (k->stream[s].n < n_end) {
        int32_t left = n_end - k->stream[s].n;
        RUNG_TRY(prefill_call(e, end, s, left < k->chunk_max ? left : k->chunk_max, in, n_in, &from,
                              err));
        RUNG_TRY(rung_engine_tick(&e->base, e->n_live, err));
    }
    repin(e, s);
    return RUNG_OK;
}

/* Admission ------------------------------------------------------------------------------------ */

static int32_t free_place(const local *e) {
    for (int32_t s = 0; s < e->kv.n_seq; s++) {
        if (!e->live[s].j) return s;
    }
    return -1;
}

static rung_status admit_gen(local *e, job *j, rung_error *err) {
    if (!j->prefilled) RUNG_TRY(prefill(e, j, err));
    while (j->next_i < j->gen.n && !j->cancelled) {
        int32_t s = free_place(e);
        if (s < 0) return RUNG_OK;
        /* The last one may end at once and take the job with it: leave the queue before. */
        bool is_last = true;
        for (int32_t i = j->next_i + 1; i < j->gen.n && is_last; i++)
            is_last = j->skip && j->skip[i];
        int32_t stream = j->stream;
        if (is_last) rung_queue_pop(&e->gens);
        RUNG_TRY(rung_live_start(e, j, s, err));
        if (!is_last) continue;
        if (stream >= 0) repin(e, stream);
        return RUNG_OK;
    }
    return RUNG_OK;
}

/* Cancelled requests leave the queue: what had not begun is reported without text. */
static rung_status sweep_queue(local *e, rung_error *err) {
    job **at = &e->gens.head;
    while (*at) {
        job *j = *at;
        if (!j->cancelled) {
            at = &j->next;
            continue;
        }
        *at = j->next;
        if (!*at) e->gens.tail = at;
        if (j->stream >= 0) repin(e, j->stream);
        j->n_live++; /* it must outlive its last live sample */
        rung_status st = RUNG_OK;
        for (; j->next_i < j->gen.n && st == RUNG_OK; rung_job_skip_done(j)) {
            rung_gen_out o = {.ud = j->ud,
                              .i = j->gen.i0 + j->next_i++,
                              .text = "",
                              .stop = "cancelled",
                              .end_tok = -1};
            e->base.stats.n_cancelled++;
            if (e->cb->on_gen) st = e->cb->on_gen(e->cb->ud, &o, err);
        }
        j->next_i = j->gen.n;
        rung_job_unref(j);
        if (st != RUNG_OK) return st;
        at = &e->gens.head; /* the callback may have cancelled more */
    }
    return RUNG_OK;
}

static rung_status sweep(local *e, rung_error *err) {
    while (e->cancels) {
        e->cancels = false;
        for (int32_t s = 0; s < e->kv.n_seq; s++) {
            live *l = &e->live[s];
            if (l->j && l->j->cancelled) RUNG_TRY(rung_live_report(e, l, "cancelled", err));
        }
        RUNG_TRY(sweep_queue(e, err));
    }
    return RUNG_OK;
}

/* Start all that can start; done when every place is taken or the queue is empty. */
static rung_status admit(local *e, rung_error *err) {
    RUNG_TRY(sweep(e, err));
    while (e->gens.head && e->n_live < e->kv.n_seq) {
        RUNG_TRY(admit_gen(e, e->gens.head, err));
        RUNG_TRY(sweep(e, err));
    }
    return RUNG_OK;
}

int32_t rung_local_cancel(rung_engine *base, const void *ud) {
    local *e = (local *)base;
    int32_t n = 0;
    for (int32_t s = 0; s < e->kv.n_seq; s++) {
        const job *j = e->live[s].j;
        n += j && j->ud == ud && !j->cancelled;
    }
    for (job *j = e->gens.head; j; j = j->next) {
        if (j->ud != ud || j->cancelled) continue;
        j->cancelled = e->cancels = true;
        for (int32_t i = j->next_i; i < j->gen.n; i++) n += !(j->skip && j->skip[i]);
    }
    for (int32_t s = 0; s < e->kv.n_seq; s++) {
        job *j = e->live[s].j; /* of requests that have left the queue, too */
        if (j && j->ud == ud) j->cancelled = e->cancels = true;
    }
    return n;
}

/* Evaluations wait until they fill a call, but not for long while continuations live. */
static bool read_now(local *e) {
    if (!rung_reader_busy(e)) return false;
    if (e->n_live == 0 || e->n_eval_tok >= READ_FULL || ++e->n_waited > READ_WAIT) {
        e->n_waited = READ_WAIT;
        return true;
    }
    return false;
}

/* Readings alone: continuations keep their places and stand still. */
static rung_status run_readings(local *e, rung_error *err) {
    while (rung_reader_busy(e)) {
        RUNG_TRY(rung_read_step(e, err));
        RUNG_TRY(rung_engine_tick(&e->base, e->n_live, err));
    }
    return RUNG_OK;
}

static rung_status run_all(local *e, rung_error *err) {
    for (;;) {
        rung_status st = e->cb->on_round ? e->cb->on_round(e->cb->ud, err) : RUNG_OK;
        if (st == RUNG_DONE) return RUNG_OK;
        RUNG_TRY(st);
        RUNG_TRY(admit(e, err));
        bool read = read_now(e);
        if (read) RUNG_TRY(rung_read_step(e, err));
        if (e->n_live > 0) {
            RUNG_TRY(rung_live_step(e, err));
        } else if (!read && !e->gens.head) {
            return RUNG_OK;
        }
        RUNG_TRY(rung_engine_tick(&e->base, e->n_live, err));
    }
}

void rung_live_drop_all(local *e) {
    for (int32_t s = 0; s < e->kv.n_seq; s++) {
        job *j = e->live[s].j;
        e->live[s].j = NULL;
        if (j && --j->n_live == 0 && j != e->gens.head) rung_job_free(j);
    }
    e->n_live = 0;
    e->cancels = false;
}

rung_status rung_local_run(rung_engine *base, const rung_engine_cb *cb, rung_error *err) {
    local *e = (local *)base;
    e->cb = cb;
    rung_llama_log(base->log);
    rung_status st = cb->on_gen ? run_all(e, err) : run_readings(e, err);
    if (st != RUNG_OK) base->ops->clear(base); /* the caches are taken to hold nothing */
    rung_llama_log(NULL);
    e->cb = NULL;
    return st;
}
