/* Text as the model sees it, laid out by somebody else: it is read where the tag stands in it. */
#include "reward/reward_scorer.h"

#include <string.h>

const char *rung_reward_tag(const rung_reward *r) {
    return r->format.tag ? r->format.tag : "";
}

/* The read-outs: at the tag, or at the token before it; without a tag at the end. */
static void find_read_outs(reward_layout *l, const reward_plan *p) {
    int32_t from = 0, n = 0;
    bool tagged = p->n_tag == 1;
    for (int32_t i = 0; i < l->n_tok; i++) {
        bool here = tagged ? l->tok[i] == p->tag[0] : i == l->n_tok - 1;
        if (!here || (tagged && i == 0)) continue;
        l->begin[n] = from;
        l->end[n] = tagged ? i : i + 1;
        l->at[n] = tagged && p->format->read_before_tag ? i - 1 : i;
        if (n > 0 && l->at[n] <= l->at[n - 1]) continue; /* two tags in a row */
        n++;
        from = i + 1;
    }
    l->n_at = n;
}

static rung_status lay_out(reward_layout *l, const reward_plan *p, const char *text, size_t n,
                           rung_error *err) {
    RUNG_TRY(rung_model_tokenize(&l->tok, &l->n_tok, p->model, text, n, true, true, err));
    size_t room = ((size_t)l->n_tok + 1) * sizeof *l->at;
    l->cap = l->n_tok;
    l->cap_at = l->n_tok;
    l->at = rung_alloc(room);
    l->begin = rung_alloc(room);
    l->end = rung_alloc(room);
    l->tail_end = rung_calloc(room, 1);
    if (!l->at || !l->begin || !l->end || !l->tail_end)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %d tokens", l->n_tok);
    find_read_outs(l, p);
    if (l->n_at > 0) return RUNG_OK;
    if (p->n_tag != 1) return rung_fail(err, RUNG_E_FORMAT, "the text has no tokens");
    rung_fail(err, RUNG_E_FORMAT, "the text does not hold the tag \"%.20s\"", p->format->tag);
    return rung_error_hint(err, "the model is read at the tag, which ends every step");
}

rung_status rung_scorer_raw(int64_t *live, rung_scorer *s, const char *text, size_t n,
                            rung_error *err) {
    const reward_plan *p = reward_scorer_plan(s);
    const reward_format *f = p->format;
    if (f->layout == REWARD_LAYOUT_ASK || f->score == REWARD_READOUT_LOG_RATIO) {
        rung_fail(err, RUNG_E_INVAL, "this reward model cannot read text as it is");
        return rung_error_hint(err, "give it the question and the solution apart, as messages");
    }
    reward_layout l = {0};
    rung_status st = lay_out(&l, p, text, n, err);
    if (st == RUNG_OK) st = reward_scorer_add(live, s, &l, 0, err);
    reward_layout_clear(&l);
    return st;
}
