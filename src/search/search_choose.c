/* The answer of a search: a pool method over what is finished. */
#include "search/search_impl.h"

#include <math.h>

static double path_confidence(const search *s, int32_t node) {
    double least = 0.0;
    for (int32_t v = node; v > 0; v = s->node[v].parent) {
        if (isnan(s->node[v].min_logprob) && s->node[v].n_bytes > 0) return (double)NAN;
        if (s->node[v].n_tok > 0) least = fmin(least, s->node[v].min_logprob);
    }
    return exp(least);
}

/* Nothing finished: the best open state stands for what there is, without an answer. */
static rung_status take_open(search *s, rung_error *err) {
    int32_t best = -1;
    for (int32_t v = 1; v < s->n_nodes; v++) {
        if (s->node[v].scratch || s->node[v].pruned || s->node[v].first >= 0) continue;
        if (best < 0 || search_value(s, v) > search_value(s, best)) best = v;
    }
    return best < 0 ? RUNG_OK : search_finish(s, best, err);
}

rung_status search_choose(int32_t *chosen, search *s, rung_error *err) {
    const rung_method *m = rung_method_find(s->o->select ? s->o->select : s->m->info.select);
    *chosen = -1;
    if (!m)
        return rung_fail(err, RUNG_E_NOT_FOUND, "no method \"%s\" to choose by",
                         s->o->select ? s->o->select : s->m->info.select);
    bool none = s->n_done == 0;
    if (none) RUNG_TRY(take_open(s, err));
    if (s->n_done == 0) return RUNG_OK;
    rung_candidate *c = rung_calloc((size_t)s->n_done, sizeof *c);
    if (!c) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d candidates", s->n_done);
    bool scored = s->o->scorer != RUNG_SEARCH_SCORE_NONE, weighed = false;
    for (int32_t i = 0; i < s->n_done; i++) {
        int32_t v = s->done[i];
        double value = !isnan(s->node[v].weight) ? s->node[v].weight
                       : scored                  ? search_value(s, v)
                                                 : (double)NAN;
        weighed |= !isnan(value);
        c[i] = (rung_candidate){.key = none ? "" : s->node[v].key,
                                .correct = s->node[v].verdict == RUNG_VERDICT_CORRECT,
                                .prm = value,
                                .orm = value,
                                .confidence = path_confidence(s, v),
                                .tokens = s->node[v].n_path_tok};
    }
    if (!weighed && m->needs_prm) m = rung_method_find("majority"); /* nothing to weigh by */
    *chosen = m->choose(c, s->n_done);
    rung_free(c);
    if (*chosen >= 0)
        return search_event(s, "choose", s->done[*chosen], search_value(s, s->done[*chosen]), 0,
                            err);
    return RUNG_OK;
}
