/* Trace -> tokens with read-out positions; span = tokens = label, or an error. */
#include "reward/reward_impl.h"

#include <string.h>

void reward_layout_clear(reward_layout *l) {
    rung_free(l->tok);
    rung_free(l->at);
    *l = (reward_layout){0};
}

/* Do these tokens spell the trace's text in this model's vocabulary? A pool sampled by another
 * model may carry ids that mean something else here. */
static rung_status spells(bool *yes, const rung_model *m, const rung_trace *t, rung_error *err) {
    rung_model_info info;
    rung_model_get_info(&info, m);
    rung_buf b;
    rung_buf_init(&b, 64u << 20);
    *yes = true;
    for (int32_t i = 0; i < t->n_tok && *yes; i++) {
        size_t before = b.n;
        if (t->tok[i] < 0 || t->tok[i] >= info.n_vocab) {
            *yes = false;
            break;
        }
        rung_model_piece(&b, m, t->tok[i], false);
        *yes = b.n <= (size_t)t->n_bytes &&
               (b.n == before || !memcmp(b.data + before, t->text + before, b.n - before));
    }
    if (b.n != (size_t)t->n_bytes) *yes = false;
    rung_status st = rung_buf_check(&b, err);
    rung_buf_clear(&b);
    return st;
}

/* No token may hold the end of one step and the beginning of the next. */
static rung_status borders_hold(const rung_step *step, int32_t n_steps, const rung_model *m,
                                const int32_t *tok, rung_error *err) {
    rung_buf piece;
    rung_buf_init(&piece, 1u << 20);
    int64_t at = 0;
    rung_status st = RUNG_OK;
    for (int32_t k = 0; k < n_steps && st == RUNG_OK; k++) {
        if (at != step[k].byte_begin)
            st = rung_fail(err, RUNG_E_FORMAT, "a token straddles the border before step %d", k);
        for (int32_t i = step[k].tok_begin; i < step[k].tok_end; i++) {
            rung_buf_reset(&piece);
            rung_model_piece(&piece, m, tok[i], false);
            at += (int64_t)piece.n;
        }
    }
    rung_buf_clear(&piece);
    return st;
}

/* Append n tokens to l->tok, which has room for *cap. */
static rung_status append(reward_layout *l, int32_t *cap, const int32_t *tok, int32_t n,
                          rung_error *err) {
    if (l->n_tok + n > *cap) {
        int32_t want = (l->n_tok + n) * 2 + 64;
        int32_t *grown = rung_realloc(l->tok, (size_t)want * sizeof *grown);
        if (!grown) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d tokens", want);
        l->tok = grown;
        *cap = want;
    }
    if (n) memcpy(l->tok + l->n_tok, tok, (size_t)n * sizeof *tok);
    l->n_tok += n;
    return RUNG_OK;
}

/* Each step's text tokenised on its own: borders hold by construction. */
static rung_status tokenize_by_step(rung_step *step, int32_t n_steps, int32_t **tok, int32_t *n_tok,
                                    const rung_model *m, const rung_trace *t, rung_error *err) {
    reward_layout l = {0};
    int32_t cap = 0;
    rung_status st = RUNG_OK;
    for (int32_t k = 0; k < n_steps && st == RUNG_OK; k++) {
        int32_t *part = NULL, n = 0;
        st =
            rung_model_tokenize(&part, &n, m, t->text + step[k].byte_begin,
                                (size_t)(step[k].byte_end - step[k].byte_begin), false, false, err);
        if (st == RUNG_OK && n == 0)
            st = rung_fail(err, RUNG_E_FORMAT, "trace %lld, step %d: no tokens", (long long)t->id,
                           k);
        step[k].tok_begin = l.n_tok;
        if (st == RUNG_OK) st = append(&l, &cap, part, n, err);
        step[k].tok_end = l.n_tok;
        rung_free(part);
    }
    if (st != RUNG_OK) {
        reward_layout_clear(&l);
        return st;
    }
    *tok = l.tok;
    *n_tok = l.n_tok;
    return RUNG_OK;
}

/* *tok is the caller's; step gets its token spans. */
static rung_status trace_tokens(int32_t **tok, int32_t *n_tok, rung_step *step, bool *spelled,
                                bool *by_step, const rung_model *m, const rung_trace *t,
                                rung_error *err) {
    bool own = false;
    *spelled = *by_step = false;
    if (t->n_tok > 0) RUNG_TRY(spells(&own, m, t, err));
    rung_status st;
    if (own) {
        *tok = rung_alloc((size_t)t->n_tok * sizeof **tok);
        if (!*tok) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d tokens", t->n_tok);
        memcpy(*tok, t->tok, (size_t)t->n_tok * sizeof **tok);
        *n_tok = t->n_tok;
        st = rung_split_tokens(step, t->n_steps, m, *tok, *n_tok, err);
        if (st == RUNG_OK) return RUNG_OK;
        rung_free(*tok);
        *tok = NULL;
        rung_error_detail(err, "trace %lld", (long long)t->id);
        return st;
    }
    *spelled = true;
    RUNG_TRY(rung_model_tokenize(tok, n_tok, m, t->text, (size_t)t->n_bytes, false, false, err));
    rung_error quiet = RUNG_ERROR_INIT;
    st = rung_split_tokens(step, t->n_steps, m, *tok, *n_tok, &quiet);
    if (st == RUNG_OK) st = borders_hold(step, t->n_steps, m, *tok, &quiet);
    if (st == RUNG_OK) return RUNG_OK;
    rung_free(*tok);
    *tok = NULL;
    *by_step = true;
    return tokenize_by_step(step, t->n_steps, tok, n_tok, m, t, err);
}

static rung_status lay(reward_layout *out, const rung_model *m, const reward_format *f,
                       const rung_step *step, int32_t n_steps, const int32_t *tok,
                       rung_error *err) {
    int32_t cap = out->n_tok, n_tag = 0, *tag = NULL;
    out->at = rung_alloc((size_t)n_steps * sizeof *out->at);
    if (!out->at) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d steps", n_steps);
    if (f->tag && f->tag[0])
        RUNG_TRY(rung_model_tokenize(&tag, &n_tag, m, f->tag, strlen(f->tag), false, true, err));
    rung_status st = f->tag_first ? append(out, &cap, tag, n_tag, err) : RUNG_OK;
    for (int32_t k = 0; k < n_steps && st == RUNG_OK; k++) {
        st = append(out, &cap, tok + step[k].tok_begin, step[k].tok_end - step[k].tok_begin, err);
        if (st == RUNG_OK && f->read_before_tag) out->at[k] = out->n_tok - 1;
        if (st == RUNG_OK) st = append(out, &cap, tag, n_tag, err);
        if (st == RUNG_OK && !f->read_before_tag) out->at[k] = out->n_tok - 1;
    }
    out->n_at = n_steps;
    rung_free(tag);
    return st;
}

rung_status reward_layout_make(reward_layout *out, bool *spelled, bool *by_step,
                               const rung_model *m, const reward_format *f, const rung_problem *p,
                               const rung_trace *t, rung_error *err) {
    *out = (reward_layout){0};
    *spelled = *by_step = false;
    if (t->n_steps == 0)
        return rung_fail(err, RUNG_E_FORMAT, "trace %lld has no steps", (long long)t->id);
    rung_buf user;
    rung_buf_init(&user, 16u << 20);
    rung_step *step = rung_alloc((size_t)t->n_steps * sizeof *step);
    int32_t *tok = NULL, n_tok = 0;
    rung_status st = RUNG_OK;
    if (!step) RUNG_GOTO(rung_fail(err, RUNG_E_NOMEM, "no memory for %d steps", t->n_steps));
    memcpy(step, t->step, (size_t)t->n_steps * sizeof *step);
    RUNG_GOTO(rung_trace_prompt(&user, p, f->suffix, err));
    rung_prompt prompt = {f->system, user.data, NULL};
    int32_t n_header;
    RUNG_GOTO(rung_prompt_tokens(&out->tok, &out->n_tok, &n_header, m, &prompt, err));
    out->n_prompt = out->n_tok;
    RUNG_GOTO(trace_tokens(&tok, &n_tok, step, spelled, by_step, m, t, err));
    RUNG_GOTO(lay(out, m, f, step, t->n_steps, tok, err));
out:
    rung_free(step);
    rung_free(tok);
    rung_buf_clear(&user);
    if (st != RUNG_OK) {
        reward_layout_clear(out);
        if (err) err->problem_id = p->id;
    }
    return st;
}

rung_status reward_trace_get(const rung_trace **t, rung_iter **it, rung_store *s, int64_t id,
                             rung_error *err) {
    RUNG_TRY(rung_trace_iter(it, s, &(rung_filter){.trace = id}, err));
    rung_status st = rung_trace_next(t, *it, err);
    if (st == RUNG_OK) return RUNG_OK;
    rung_iter_free(*it);
    *it = NULL;
    if (st != RUNG_DONE) return st;
    return rung_fail(err, RUNG_E_NOT_FOUND, "trace %lld is not in the store", (long long)id);
}
