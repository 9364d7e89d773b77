/* What a request's samples share, and what one continuation has seen. */
#include "model/sampler.h"
#include "model/sampler_gbnf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_DEFAULT 64 /* libllama's tools look back so far */

rung_status rung_sampling_check(const rung_sampling *s, rung_error *err) {
    if (!(s->temperature >= 0.0) || s->temperature > 100.0 || !(s->top_p > 0.0) || s->top_p > 1.0 ||
        s->top_k < 0 || !(s->min_p >= 0.0) || s->min_p > 1.0) {
        rung_fail(err, RUNG_E_INVAL,
                  "sampling out of range: temperature %g, top_k %d, top_p %g, min_p %g",
                  s->temperature, s->top_k, s->top_p, s->min_p);
        return rung_error_hint(err,
                               "temperature 0..100, top_k >= 0, 0 < top_p <= 1, 0 <= min_p <= 1");
    }
    if (!(s->repeat_penalty >= 0.0) || s->repeat_penalty > 100.0 ||
        !(fabs(s->presence_penalty) <= 100.0) || !(fabs(s->frequency_penalty) <= 100.0) ||
        s->penalty_last_n < -1) {
        rung_fail(err, RUNG_E_INVAL,
                  "sampling out of range: repeat_penalty %g, presence_penalty %g, "
                  "frequency_penalty %g, penalty_last_n %d",
                  s->repeat_penalty, s->presence_penalty, s->frequency_penalty, s->penalty_last_n);
        return rung_error_hint(err, "repeat_penalty 0..100 (1 = off), presence and frequency "
                                    "-100..100 (0 = off), penalty_last_n >= -1 (-1 = all)");
    }
    if (s->n_bias < 0 || (s->n_bias > 0 && !s->bias))
        return rung_fail(err, RUNG_E_INVAL, "%d logit biases, and no list of them", s->n_bias);
    for (int32_t i = 0; i < s->n_bias; i++) {
        float b = s->bias[i].bias;
        if (s->bias[i].tok >= 0 && b == b && b < INFINITY) continue;
        rung_fail(err, RUNG_E_INVAL, "logit bias %d: token %d, bias %g", i, s->bias[i].tok,
                  (double)b);
        return rung_error_hint(err, "a token's number and a finite bias, or -inf to ban it");
    }
    bool names_tokens;
    return s->grammar && s->grammar[0] ? rung_gbnf_check(&names_tokens, s->grammar, err) : RUNG_OK;
}

static int by_tok(const void *a, const void *b) {
    const rung_logit_bias *x = a, *y = b;
    return x->tok < y->tok ? -1 : x->tok > y->tok;
}

static rung_status copy_biases(sampler_plan *p, rung_error *err) {
    const rung_sampling *s = &p->s;
    if (s->n_bias == 0) return RUNG_OK;
    for (int32_t i = 0; i < s->n_bias; i++) {
        if (s->bias[i].tok < p->n_vocab) continue;
        rung_fail(err, RUNG_E_INVAL, "logit bias %d: there is no token %d", i, s->bias[i].tok);
        return rung_error_hint(err, "the vocabulary has tokens 0..%d", p->n_vocab - 1);
    }
    p->bias = rung_alloc((size_t)s->n_bias * sizeof *p->bias);
    if (!p->bias) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d biases", s->n_bias);
    memcpy(p->bias, s->bias, (size_t)s->n_bias * sizeof *p->bias);
    qsort(p->bias, (size_t)s->n_bias, sizeof *p->bias, by_tok);
    int32_t n = 0;
    for (int32_t i = 0; i < s->n_bias; i++) {
        if (n > 0 && p->bias[n - 1].tok == p->bias[i].tok)
            p->bias[n - 1].bias += p->bias[i].bias;
        else
            p->bias[n++] = p->bias[i];
    }
    p->s.bias = p->bias;
    p->s.n_bias = n;
    return RUNG_OK;
}

rung_status rung_plan_new(sampler_plan **out, const rung_model *m, const rung_sampling *s,
                          rung_error *err) {
    *out = NULL;
    RUNG_TRY(rung_sampling_check(s, err));
    sampler_plan *p = rung_calloc(1, sizeof *p);
    if (!p) return rung_fail(err, RUNG_E_NOMEM, "no memory for a sampling plan");
    p->s = *s;
    p->n_vocab = m->info.n_vocab;
    p->penalties = (s->repeat_penalty > 0.0 && s->repeat_penalty != 1.0) ||
                   s->presence_penalty != 0.0 || s->frequency_penalty != 0.0;
    if (p->s.penalty_last_n == 0) p->s.penalty_last_n = WINDOW_DEFAULT;
    rung_status st = copy_biases(p, err);
    if (st == RUNG_OK && s->grammar && s->grammar[0])
        st = rung_grammar_new(&p->grammar, m, s->grammar, err);
    p->s.grammar = NULL; /* the caller's text may go */
    if (st != RUNG_OK) {
        rung_plan_free(p);
        return st;
    }
    *out = p;
    return RUNG_OK;
}

void rung_plan_free(sampler_plan *p) {
    if (!p) return;
    rung_grammar_free(p->grammar);
    rung_free(p->bias);
    rung_free(p);
}

/* --- the window of the penalties -------------------------------------------------------------- */

/* Place of tok in the counts, or where it belongs. */
static int32_t place(const sampler_seq *q, int32_t tok) {
    int32_t lo = 0, hi = q->n_count;
    while (lo < hi) {
        int32_t mid = lo + (hi - lo) / 2;
        if (q->count[mid].tok < tok)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool count_in(sampler_seq *q, int32_t tok) {
    int32_t i = place(q, tok);
    if (i < q->n_count && q->count[i].tok == tok) {
        q->count[i].n++;
        return true;
    }
    if (q->n_count == q->cap_count) {
        int32_t cap = q->cap_count ? q->cap_count * 2 : 64;
        tok_count *c = rung_realloc(q->count, (size_t)cap * sizeof *c);
        if (!c) return false;
        q->count = c;
        q->cap_count = cap;
    }
    memmove(q->count + i + 1, q->count + i, (size_t)(q->n_count - i) * sizeof *q->count);
    q->count[i] = (tok_count){tok, 1};
    q->n_count++;
    return true;
}

static void count_out(sampler_seq *q, int32_t tok) {
    int32_t i = place(q, tok);
    if (--q->count[i].n > 0) return;
    q->n_count--;
    memmove(q->count + i, q->count + i + 1, (size_t)(q->n_count - i) * sizeof *q->count);
}

static rung_status see(sampler_seq *q, int32_t tok, rung_error *err) {
    int32_t window = q->plan->s.penalty_last_n;
    if (window > 0 && q->n_ring == window) {
        count_out(q, q->ring[q->at]);
        q->n_ring--;
    }
    if (!count_in(q, tok)) return rung_fail(err, RUNG_E_NOMEM, "no memory for the penalties");
    if (window > 0) {
        q->ring[q->at] = tok;
        q->at = (q->at + 1) % window;
        q->n_ring++;
    }
    return RUNG_OK;
}

rung_status rung_seq_begin(sampler_seq *q, const sampler_plan *p, const int32_t *prompt,
                           int32_t n_prompt, rung_error *err) {
    q->plan = p;
    q->n_count = q->n_ring = q->at = 0;
    if (p->grammar) {
        RUNG_TRY(rung_grammar_copy(&q->grammar, p->grammar, err));
    } else {
        rung_grammar_free(q->grammar);
        q->grammar = NULL;
    }
    if (!p->penalties) return RUNG_OK;
    int32_t window = p->s.penalty_last_n;
    if (window > q->cap_ring) {
        int32_t *ring = rung_realloc(q->ring, (size_t)window * sizeof *ring);
        if (!ring) return rung_fail(err, RUNG_E_NOMEM, "no memory for the penalties");
        q->ring = ring;
        q->cap_ring = window;
    }
    int32_t from = window > 0 && n_prompt > window ? n_prompt - window : 0;
    for (int32_t i = from; i < n_prompt; i++) RUNG_TRY(see(q, prompt[i], err));
    return RUNG_OK;
}

rung_status rung_seq_accept(sampler_seq *q, int32_t tok, bool *ended, rung_error *err) {
    *ended = false;
    if (q->plan->penalties) RUNG_TRY(see(q, tok, err));
    return q->grammar ? rung_grammar_accept(q->grammar, tok, ended, err) : RUNG_OK;
}

void rung_seq_clear(sampler_seq *q) {
    rung_free(q->count);
    rung_free(q->ring);
    rung_grammar_free(q->grammar);
    memset(q, 0, sizeof *q);
}
