/* ln p of given texts: every text is queued before the engine runs, so that what texts share is
 * read once; each token is read once. */
#include "rung/text.h"

#include <string.h>

typedef struct text_job {
    int32_t *tok;
    int32_t n_tok, first; /* tok[first..n_tok) have a logprob */
} text_job;

typedef struct text_run {
    text_job *job;
    int64_t n;
    rung_status (*on_text)(void *ud, const rung_text_out *o, rung_error *err);
    void *ud;
} text_run;

static rung_status join(text_job *j, const int32_t *tok, int32_t n, rung_error *err) {
    int32_t *grown = rung_realloc(j->tok, ((size_t)j->n_tok + (size_t)n + 1) * sizeof *grown);
    if (!grown) return rung_fail(err, RUNG_E_NOMEM, "no memory for a text");
    if (n) memcpy(grown + j->n_tok, tok, (size_t)n * sizeof *tok);
    j->tok = grown;
    j->n_tok += n;
    return RUNG_OK;
}

/* With a context the text goes on after it; alone it begins after BOS, and where the model has none
 * its first token is given, not predicted. */
static rung_status lay_out(text_job *j, const rung_model *m, const rung_text *t, rung_error *err) {
    int32_t *tok = NULL, n = 0;
    if (t->context) {
        rung_prompt p = {t->system, t->context, NULL};
        RUNG_TRY(rung_prompt_tokens(&j->tok, &j->n_tok, &j->first, m, &p, err));
        RUNG_TRY(rung_model_tokenize_on(&tok, &n, m, t->text, strlen(t->text), false, err));
    } else {
        RUNG_TRY(rung_model_tokenize(&tok, &n, m, t->text, strlen(t->text), true, false, err));
        j->first = 1;
    }
    rung_status st = join(j, tok, n, err);
    rung_free(tok);
    int32_t end = rung_model_eos(m);
    if (st == RUNG_OK && t->end && end >= 0) st = join(j, &end, 1, err);
    if (st == RUNG_OK && j->n_tok <= j->first)
        st = rung_fail(err, RUNG_E_INVAL, "it has no token that anything comes before");
    return st;
}

static rung_status on_eval(void *ud, const rung_eval_out *o, rung_error *err) {
    text_run *r = ud;
    int64_t i = (const text_job *)o->ud - r->job;
    const text_job *j = &r->job[i];
    if (!o->logprob) return rung_fail(err, RUNG_E_MODEL, "the engine gave no logprobs");
    rung_text_out out = {.i = i,
                         .tok = j->tok + j->first,
                         .logprob = o->logprob + j->first,
                         .n_tok = j->n_tok - j->first,
                         .n_new = o->n_new};
    for (int32_t k = 0; k < out.n_tok; k++) out.sum += (double)out.logprob[k];
    return r->on_text ? r->on_text(r->ud, &out, err) : RUNG_OK;
}

static rung_status queue(text_run *r, rung_engine *e, const rung_text *text, rung_error *err) {
    for (int64_t i = 0; i < r->n; i++) {
        text_job *j = &r->job[i];
        rung_status st = lay_out(j, rung_engine_model(e), &text[i], err);
        rung_eval v = {
            .tok = j->tok, .n_tok = j->n_tok, .logprobs = true, .from = j->first - 1, .ud = j};
        if (st == RUNG_OK) st = rung_engine_eval(e, &v, err);
        if (st != RUNG_OK) return rung_error_detail(err, "text %lld", (long long)i), st;
    }
    return RUNG_OK;
}

rung_status rung_text_logprobs(rung_engine *e, const rung_text *text, int64_t n,
                               rung_status (*on_text)(void *ud, const rung_text_out *o,
                                                      rung_error *err),
                               void *ud, rung_error *err) {
    if (!rung_engine_model(e)) {
        rung_fail(err, RUNG_E_INVAL,
                  "a remote endpoint does not give the logprobs of a given text");
        return rung_error_hint(err, "use a local model");
    }
    text_run r = {.n = n, .on_text = on_text, .ud = ud};
    r.job = rung_calloc((size_t)n + 1, sizeof *r.job);
    if (!r.job) return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld texts", (long long)n);
    rung_engine_cb cb = {.on_eval = on_eval, .ud = &r};
    rung_status st = queue(&r, e, text, err);
    if (st == RUNG_OK)
        st = rung_engine_run(e, &cb, err);
    else
        rung_engine_clear(e);
    for (int64_t i = 0; i < n; i++) rung_free(r.job[i].tok);
    rung_free(r.job);
    return st;
}
