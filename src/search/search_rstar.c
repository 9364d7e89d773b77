/* rStar (search.md 2.12): tree search whose children are actions, valued by agreement alone, and a
 * choice by mutual consistency.
 *
 *   A1 one step   A2 the rest of the solution   A3 the next sub-question with its answer
 *   A4 the last sub-question answered again (after A3)   A5 the problem in other words (first)
 *
 * A3 to A5 are asked for by a cue after the question. A rollout draws M ends of a new child: its
 * worth is the share of the most frequent answer among them, 0 without one; no label is needed. In
 * the end each candidate is cut at 20 to 50% of its steps, four times, and completed; it stays if
 * half of the completions agree. The published method has a second model complete them; here it is
 * the policy itself, which agrees with itself more easily. */
#include "search/search_impl.h"

#include <math.h>
#include <string.h>

enum { N_CUTS = 4 };
typedef enum action { A1 = 0, A2, A3, A4, A5, N_ACTIONS } action;
static const char *const cues[N_ACTIONS] = {
    [A3] = "\n\nGo on with the next sub-question: state it, then answer it.",
    [A4] = "\n\nThink about the last sub-question once more, and answer it anew.",
    [A5] = "\n\nBegin by saying the problem in other words, condition by condition."};

typedef enum { RSTAR_EXPAND, RSTAR_ROLLOUT, RSTAR_CONSIST } rstar_phase;
typedef struct rstar_state {
    rstar_phase phase;
    int32_t at, n_sims;
    action asked[N_ACTIONS]; /* of this expansion, in order of the asks */
    int32_t n_asked;
    bool over;
} rstar_state;

static rung_status rstar_begin(search *s, rung_error *err) {
    s->state = rung_arena_alloc(s->arena, sizeof(rstar_state));
    return s->state ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "no memory for tree search");
}

static rung_status want_end(search *s, int32_t node, int32_t n, bool scratch, rung_error *err) {
    search_ask *a = search_want_text(s, node, n, err);
    if (!a) return RUNG_E_NOMEM;
    a->n_steps = 0;
    a->scratch = scratch;
    a->max_tok = s->o->max_tok - s->node[node].n_path_tok;
    if (a->max_tok < 1) a->max_tok = 1;
    return RUNG_OK;
}

static rung_status want_action(search *s, action what, rung_error *err) {
    rstar_state *m = s->state;
    m->asked[m->n_asked++] = what;
    if (what == A2) return want_end(s, m->at, s->o->width, false, err);
    search_ask *a = search_want_text(s, m->at, 1, err);
    if (!a) return RUNG_E_NOMEM;
    a->cue = cues[what];
    return RUNG_OK;
}

static rung_status expand_actions(search *s, rung_error *err) {
    rstar_state *m = s->state;
    m->n_asked = 0;
    m->at = search_select(s, m->n_sims);
    bool deep = s->node[m->at].depth + 1 >= s->o->depth;
    if (!deep) RUNG_TRY(want_action(s, A1, err));
    RUNG_TRY(want_action(s, A2, err));
    if (!deep) RUNG_TRY(want_action(s, A3, err));
    if (!deep && s->node[m->at].action == A3) RUNG_TRY(want_action(s, A4, err));
    if (!deep && m->at == 0) RUNG_TRY(want_action(s, A5, err));
    return RUNG_OK;
}

/* A place to cut: the state after 20 to 50% of the steps, at least one of which is left over. */
static int32_t cut_at(const search *s, int32_t leaf, rung_rng *r) {
    int32_t depth = s->node[leaf].depth;
    int32_t keep = (int32_t)floor((0.2 + 0.3 * rung_rng_f64(r)) * (double)depth);
    while (s->node[leaf].depth > keep) leaf = s->node[leaf].parent;
    return leaf;
}

static rung_status expand_cuts(search *s, rung_error *err) {
    for (int32_t i = 0; i < s->n_done; i++) {
        rung_rng r = search_rng(s, 8, (uint64_t)i);
        for (int32_t k = 0; k < N_CUTS; k++)
            RUNG_TRY(want_end(s, cut_at(s, s->done[i], &r), 1, true, err));
    }
    return RUNG_OK;
}

static bool spent(const search *s) {
    const rstar_state *m = s->state;
    return m->n_sims >= s->o->n || s->node[0].closed || s->over_budget;
}

static rung_status rstar_expand(search *s, rung_error *err) {
    rstar_state *m = s->state;
    if (m->phase == RSTAR_ROLLOUT) return want_end(s, m->at, s->o->width, false, err);
    if (!spent(s)) return expand_actions(s, err);
    m->phase = RSTAR_CONSIST;
    return expand_cuts(s, err);
}

static rung_status no_scores(search *s, rung_error *err) {
    (void)s;
    (void)err;
    return RUNG_OK;
}

/* Of n ends: the first with the most frequent answer, and that answer's share. -1: no answer. */
static rung_status mode_of(int32_t *leaf, double *share, search *s, const int32_t *end, int32_t n,
                           rung_error *err) {
    int32_t most = 0;
    *leaf = -1;
    *share = 0.0;
    for (int32_t i = 0; i < n; i++)
        if (s->judge) RUNG_TRY(s->judge(s->ud, s, end[i], err));
    for (int32_t i = 0; i < n; i++) {
        const char *key = s->node[end[i]].key;
        int32_t votes = 0;
        for (int32_t j = 0; j < n && key[0]; j++) votes += !strcmp(s->node[end[j]].key, key);
        if (votes > most) most = votes, *leaf = end[i];
    }
    *share = n > 0 ? (double)most / n : 0.0;
    return RUNG_OK;
}

/* Ends of one state: the most frequent answer's first is a candidate, worth its share. */
static rung_status take_ends(search *s, int32_t from, const int32_t *end, int32_t n,
                             rung_error *err) {
    int32_t leaf;
    double share;
    RUNG_TRY(mode_of(&leaf, &share, s, end, n, err));
    search_backup(s, from, share);
    if (leaf < 0) return RUNG_OK;
    s->node[leaf].weight = share;
    return search_finish(s, leaf, err);
}

static int32_t child_of(const search *s, int32_t leaf, int32_t at) {
    while (s->node[leaf].parent != at) leaf = s->node[leaf].parent;
    return leaf;
}

/* A2's ends are leaves of the tree: closed. The others wait for a rollout; the first goes now. */
static rung_status keep_actions(search *s, rung_error *err) {
    rstar_state *m = s->state;
    int32_t open = -1, k = 0, expanded = m->at;
    for (int32_t j = 0; j < m->n_asked; j++) {
        int32_t n = m->asked[j] == A2 ? s->o->width : 1;
        for (int32_t i = k; i < k + n; i++) {
            int32_t leaf = s->fresh[i], child = child_of(s, leaf, expanded);
            s->node[child].action = (uint8_t)m->asked[j];
            if (m->asked[j] == A2 || s->node[leaf].end == SEARCH_DONE)
                search_close(s, leaf);
            else if (open < 0)
                open = leaf;
        }
        if (m->asked[j] == A2 || s->node[s->fresh[k]].end == SEARCH_DONE)
            RUNG_TRY(take_ends(s, expanded, s->fresh + k, n, err));
        k += n;
    }
    m->n_sims++;
    if (open >= 0) {
        m->phase = RSTAR_ROLLOUT;
        m->at = open;
    }
    return RUNG_OK;
}

static rung_status keep_rollout(search *s, rung_error *err) {
    rstar_state *m = s->state;
    m->phase = RSTAR_EXPAND;
    RUNG_TRY(take_ends(s, m->at, s->fresh, s->n_fresh, err));
    s->node[m->at].first = s->node[m->at].last = -1; /* the tree below is still to be grown */
    s->node[m->at].n_children = 0;
    return RUNG_OK;
}

/* Who stays: half of the completions say the same. Nobody stays: everybody does. */
static rung_status keep_consistent(search *s, rung_error *err) {
    rstar_state *m = s->state;
    int32_t n = 0;
    m->over = true;
    bool *stays = rung_arena_alloc(s->arena, (size_t)s->n_done + 1);
    if (!stays) return rung_fail(err, RUNG_E_NOMEM, "no memory for candidates");
    for (int32_t i = 0; i < s->n_done; i++) {
        int32_t agree = 0;
        for (int32_t k = 0; k < N_CUTS; k++) {
            int32_t end = s->fresh[i * N_CUTS + k];
            if (s->judge) RUNG_TRY(s->judge(s->ud, s, end, err));
            const char *key = s->node[s->done[i]].key;
            agree += key[0] && strcmp(key, s->node[end].key) == 0;
        }
        stays[i] = 2 * agree >= N_CUTS;
        n += stays[i];
    }
    if (n == 0) return RUNG_OK;
    int32_t kept = 0;
    for (int32_t i = 0; i < s->n_done; i++) {
        if (stays[i])
            s->done[kept++] = s->done[i];
        else
            RUNG_TRY(search_prune(s, s->done[i], err));
    }
    s->n_done = kept;
    return RUNG_OK;
}

static rung_status rstar_keep(search *s, rung_error *err) {
    const rstar_state *m = s->state;
    return m->phase == RSTAR_EXPAND    ? keep_actions(s, err)
           : m->phase == RSTAR_ROLLOUT ? keep_rollout(s, err)
                                       : keep_consistent(s, err);
}

static bool rstar_stop(const search *s) {
    const rstar_state *m = s->state;
    return m->over;
}

const search_method search_rstar = {
    {"rstar", "tree search over five actions, valued by agreement, checked by consistency",
     "vote_prm", false},
    16,
    rstar_begin,
    rstar_expand,
    no_scores,
    rstar_keep,
    rstar_stop};
