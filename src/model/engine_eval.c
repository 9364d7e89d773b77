/* The local backend reads: hidden states and logits at chosen positions, logprobs of given tokens.
 * Positions that are asked for are computed anew even where the cache holds them (it holds keys and
 * values, not outputs); those before the first are taken from it. */
#include "model/engine_local.h"

#include <math.h>
#include <string.h>

typedef struct reading {
    float *hidden, *logits, *logprob;
    int32_t i_at; /* next asked position */
    int32_t n_embd, n_vocab;
} reading;

static void reading_clear(reading *r) {
    rung_free(r->hidden);
    rung_free(r->logits);
    rung_free(r->logprob);
}

static rung_status reading_init(reading *r, const local *e, const job *j, rung_error *err) {
    const rung_eval *v = &j->eval;
    *r = (reading){.n_embd = e->kv.n_embd, .n_vocab = e->base.model->info.n_vocab};
    size_t n = (size_t)v->n_at;
    if (v->hidden) r->hidden = rung_calloc(n * (size_t)r->n_embd, sizeof(float));
    if (v->logits) r->logits = rung_calloc(n * (size_t)r->n_vocab, sizeof(float));
    if (v->logprobs) r->logprob = rung_calloc((size_t)v->n_tok, sizeof(float));
    if ((v->hidden && !r->hidden) || (v->logits && !r->logits) || (v->logprobs && !r->logprob)) {
        return rung_fail(err, RUNG_E_NOMEM, "no memory to read %d positions", v->n_at);
    }
    return RUNG_OK;
}

static rung_status not_finite(const local *e, int32_t p, rung_error *err) {
    rung_fail(err, RUNG_E_MODEL, "model %s gives values that are not numbers at token %d",
              e->base.model->info.name, p);
    return rung_error_hint(err, "its weights are damaged or overflow: fetch or train it again");
}

static bool all_finite(const float *x, int32_t n) {
    bool ok = true;
    for (int32_t i = 0; i < n; i++) ok &= isfinite(x[i]) != 0;
    return ok;
}

/* Output row `row` (batch index b) belongs to position p: copy what was asked of it. */
static rung_status read_row(reading *r, const local *e, const job *j, int32_t b, int32_t row,
                            int32_t p, rung_error *err) {
    const rung_eval *v = &j->eval;
    bool asked = r->i_at < v->n_at && j->at[r->i_at] == p;
    const float *logits = NULL;
    if (!e->kv.skip_head) {
        logits = llama_get_logits_ith(e->kv.ctx, b);
        if (!logits) return rung_fail(err, RUNG_E_MODEL, "libllama gave no logits");
    }
    if (asked && v->hidden) {
        if (row >= e->kv.n_hidden) {
            return rung_fail(err, RUNG_E_MODEL, "architecture %s gives no hidden states",
                             e->base.model->info.arch);
        }
        float *x = r->hidden + (size_t)r->i_at * (size_t)r->n_embd;
        memcpy(x, e->kv.hidden + (size_t)row * (size_t)r->n_embd, (size_t)r->n_embd * sizeof *x);
        if (!all_finite(x, r->n_embd)) return not_finite(e, p, err);
    }
    if (asked && v->logits) {
        float *z = r->logits + (size_t)r->i_at * (size_t)r->n_vocab;
        memcpy(z, logits, (size_t)r->n_vocab * sizeof *z);
        for (int32_t t = 0; t < r->n_vocab; t++) {
            if (z[t] != z[t]) return not_finite(e, p, err);
        }
    }
    if (v->logprobs && p >= v->from && p + 1 < j->n_tok) {
        double lp = rung_logprob_of(logits, r->n_vocab, j->tok[p + 1]);
        if (!(lp <= 0.0)) return not_finite(e, p, err);
        r->logprob[p + 1] = (float)lp;
    }
    r->i_at += asked;
    return RUNG_OK;
}

/* Is an output wanted at p? i: the next asked position at or after the batch's reading so far. */
static bool wanted(const job *j, int32_t p, int32_t *i) {
    bool asked = *i < j->eval.n_at && j->at[*i] == p && (j->eval.hidden || j->eval.logits);
    while (*i < j->eval.n_at && j->at[*i] <= p) ++*i;
    return asked || (j->eval.logprobs && p >= j->eval.from && p + 1 < j->n_tok);
}

static rung_status read_chunk(reading *r, local *e, const job *j, int32_t s, int32_t end,
                              rung_error *err) {
    kv *k = &e->kv;
    int32_t p0 = k->stream[s].n, i = r->i_at, n_out = 0, row = 0;
    rung_kv_begin(k);
    while (k->batch.n_tokens < k->n_batch && k->stream[s].n < end && n_out < k->n_out_max) {
        int32_t p = k->stream[s].n;
        bool out = wanted(j, p, &i);
        n_out += out;
        rung_kv_add(k, s, j->tok[p], out);
    }
    RUNG_TRY(rung_kv_decode(k, err));
    for (int32_t b = 0; b < k->batch.n_tokens; b++) {
        if (k->batch.logits[b]) RUNG_TRY(read_row(r, e, j, b, row++, p0 + b, err));
    }
    return RUNG_OK;
}

rung_status rung_local_eval(local *e, job *j, rung_error *err) {
    const rung_eval *v = &j->eval;
    kv *k = &e->kv;
    bool at = v->n_at > 0 && (v->hidden || v->logits);
    int32_t begin = at ? j->at[0] : v->from, end = at ? j->at[v->n_at - 1] + 1 : 0;
    if (v->logprobs && v->from < begin) begin = v->from;
    if (v->logprobs && j->n_tok - 1 > end) end = j->n_tok - 1;
    int32_t n_new = 0;
    reading r;
    rung_status st = reading_init(&r, e, j, err);
    if (st == RUNG_OK && end > 0) {
        int32_t s = rung_kv_acquire(k, j->tok, begin);
        n_new = end - k->stream[s].n;
        e->base.stats.n_prompt_forked += k->stream[s].n;
        k->want_hidden = v->hidden && v->n_at > 0;
        k->skip_head = k->want_hidden && !v->logits && !v->logprobs;
        while (st == RUNG_OK && k->stream[s].n < end) st = read_chunk(&r, e, j, s, end, err);
        k->want_hidden = k->skip_head = false;
        e->base.stats.n_prompt_new += n_new;
    }
    rung_eval_out o = {.ud = j->ud,
                       .n_at = v->n_at,
                       .hidden = r.hidden,
                       .logits = r.logits,
                       .logprob = r.logprob,
                       .n_new = n_new};
    if (st == RUNG_OK && e->cb->on_eval) st = e->cb->on_eval(e->cb->ud, &o, err);
    reading_clear(&r);
    return st;
}
