/* Whole traces, independent of each other (search.md 2.1, 2.2, 2.4, 2.5): greedy, self-consistency
 * (plain, weighted, adaptive), best-of-N, weighted vote. They differ in how many and in who
 * chooses. */
#include "search/search_impl.h"

#include <math.h>
#include <string.h>

static search_ask *want_whole(search *s, int32_t n, rung_error *err) {
    search_ask *a = search_want_text(s, 0, n, err);
    if (!a) return NULL;
    a->n_steps = 0;
    a->max_tok = s->o->max_tok;
    return a;
}

static rung_status greedy_expand(search *s, rung_error *err) {
    search_ask *a = want_whole(s, 1, err);
    if (!a) return RUNG_E_NOMEM;
    a->temperature = 0.0;
    return RUNG_OK;
}

static rung_status all_expand(search *s, rung_error *err) {
    return want_whole(s, s->o->n, err) ? RUNG_OK : RUNG_E_NOMEM;
}

static rung_status keep_all(search *s, rung_error *err) {
    for (int32_t i = 0; i < s->n_fresh; i++) RUNG_TRY(search_finish(s, s->fresh[i], err));
    return RUNG_OK;
}

static bool once(const search *s) {
    return s->round > 0;
}

/* Adaptive: a few more at a time, until the leading answer would win with the wanted certainty. */
static rung_status more_expand(search *s, rung_error *err) {
    int32_t left = s->o->n - s->n_done, n = s->round == 0 ? s->o->width : s->o->width / 2;
    if (n < 1) n = 1;
    return want_whole(s, n < left ? n : left, err) ? RUNG_OK : RUNG_E_NOMEM;
}

/* P(p > 1/2) for p ~ Beta(v1 + 1, v2 + 1) = P(Binomial(v1 + v2 + 1, 1/2) <= v1). */
double search_mode_posterior(int64_t v1, int64_t v2) {
    int64_t n = v1 + v2 + 1;
    int sign;
    double sum = 0.0, top = lgamma_r((double)n + 1.0, &sign) - (double)n * M_LN2;
    for (int64_t i = 0; i <= v1; i++)
        sum += exp(top - lgamma_r((double)i + 1.0, &sign) - lgamma_r((double)(n - i) + 1.0, &sign));
    return fmin(1.0, sum);
}

static bool mode_is_sure(const search *s) {
    int64_t first = 0, second = 0;
    for (int32_t i = 0; i < s->n_done; i++) {
        const char *key = s->node[s->done[i]].key;
        bool seen = !key[0]; /* no answer is no class */
        int64_t votes = 0;
        for (int32_t j = 0; j < s->n_done && !seen; j++) {
            bool same = strcmp(s->node[s->done[j]].key, key) == 0;
            if (same && j < i) seen = true;
            votes += same;
        }
        if (seen) continue;
        if (votes > first) {
            second = first;
            first = votes;
        } else if (votes > second) {
            second = votes;
        }
    }
    return first > 0 && search_mode_posterior(first, second) >= s->o->confidence;
}

static bool sure_or_enough(const search *s) {
    return s->n_done >= s->o->n || s->over_budget || mode_is_sure(s);
}

#define ROW(id, name, help, select, needs, n, expand, stop)                                        \
    const search_method id = {{name, help, select, needs}, n, NULL, expand, NULL, keep_all, stop};
ROW(search_greedy, "greedy", "one trace, the likeliest token each time", "majority", false, 1,
    greedy_expand, once)
ROW(search_sc, "sc", "self-consistency: the most frequent answer of n", "majority", false, 16,
    all_expand, once)
ROW(search_sc_weighted, "sc_weighted",
    "self-consistency, votes weighted by the policy's confidence", "vote_confidence", false, 16,
    all_expand, once)
ROW(search_sc_adaptive, "sc_adaptive",
    "self-consistency that stops when the leading answer is sure enough", "majority", false, 16,
    more_expand, sure_or_enough)
ROW(search_bon, "bon", "best of n by the trace's score", "bon_prm", true, 16, all_expand, once)
ROW(search_vote, "vote", "votes of n weighted by the traces' scores", "vote_prm", true, 16,
    all_expand, once)
