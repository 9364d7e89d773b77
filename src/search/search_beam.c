/* Search in breadth, step by step (search.md 2.6-2.8): beam search in three published shapes, DVTS,
 * both with look-ahead, tree of thoughts (breadth).
 *
 * A round asks every beam for children, scores them (after k more greedy steps where there is
 * look-ahead), and keeps the best. What has finished keeps its place among the candidates. */
#include "search/search_impl.h"

#include <math.h>
#include <string.h>

typedef struct beam_state {
    int32_t it, width;     /* rounds done; beams still wanted */
    bool looking;          /* the look-ahead of this round is under way */
    int32_t *cand, n_cand; /* children of this round, and how many per tree (DVTS) */
    int32_t *tree;         /* DVTS: the node each tree is at; -1 stopped */
} beam_state;

static int32_t at_least_one(int32_t v) {
    return v > 0 ? v : 1;
}

static bool is_last(const search *s) {
    const beam_state *b = s->state;
    return b->it + 1 >= s->o->depth;
}

static rung_status beam_begin(search *s, rung_error *err) {
    beam_state *b = rung_arena_alloc(s->arena, sizeof *b);
    size_t most = (size_t)s->o->n * (size_t)s->o->width + (size_t)s->o->n + 1;
    if (b) b->cand = rung_arena_alloc(s->arena, most * sizeof *b->cand);
    if (b) b->tree = rung_arena_alloc(s->arena, (size_t)s->o->n * sizeof *b->tree + 1);
    if (!b || !b->cand || !b->tree) return rung_fail(err, RUNG_E_NOMEM, "no memory for beams");
    b->width = s->o->n;
    s->state = b;
    return search_push(&s->active, &s->n_active, &s->cap_active, 0, err);
}

static rung_status want_step(search *s, int32_t node, int32_t n, rung_error *err) {
    search_ask *a = search_want_text(s, node, n, err);
    if (!a) return RUNG_E_NOMEM;
    if (is_last(s)) {
        a->n_steps = 0;
        a->max_tok = s->o->max_tok - s->node[node].n_path_tok;
        if (a->max_tok < 1) a->max_tok = 1;
    }
    return RUNG_OK;
}

/* k greedy steps after every child that can go on; thrown away once they are scored. */
static rung_status expand_look(search *s, rung_error *err) {
    const beam_state *b = s->state;
    for (int32_t i = 0; i < b->n_cand; i++) {
        if (s->node[b->cand[i]].end == SEARCH_DONE) continue;
        search_ask *a = search_want_text(s, b->cand[i], 1, err);
        if (!a) return RUNG_E_NOMEM;
        a->n_steps = s->o->lookahead;
        a->max_tok *= s->o->lookahead;
        a->temperature = 0.0;
        a->scratch = true;
    }
    return RUNG_OK;
}

/* N copies of the beams, cyclically: they diverge by sampling. */
static rung_status beam_expand(search *s, rung_error *err) {
    const beam_state *b = s->state;
    if (b->looking) return expand_look(s, err);
    int32_t n = s->o->n, k = s->n_active;
    for (int32_t j = 0; j < k; j++) RUNG_TRY(want_step(s, s->active[j], n / k + (j < n % k), err));
    return RUNG_OK;
}

/* SBS: every beam has M children; so that the first round is as large as the others, the root has
 * N M. In the other shape the root has M. */
static rung_status sbs_expand(search *s, rung_error *err) {
    const beam_state *b = s->state;
    if (b->looking) return expand_look(s, err);
    for (int32_t j = 0; j < s->n_active; j++)
        RUNG_TRY(want_step(s, s->active[j], s->o->width * (b->it == 0 ? s->o->n : 1), err));
    return RUNG_OK;
}

static rung_status cots_expand(search *s, rung_error *err) {
    const beam_state *b = s->state;
    if (b->looking) return expand_look(s, err);
    for (int32_t j = 0; j < s->n_active; j++)
        RUNG_TRY(want_step(s, s->active[j], s->o->width, err));
    return RUNG_OK;
}

/* Before a look ahead only what is done is scored; the others by what follows them. */
static rung_status beam_score(search *s, rung_error *err) {
    const beam_state *b = s->state;
    for (int32_t i = 0; i < s->n_fresh; i++) {
        bool later = s->o->lookahead > 0 && !b->looking && s->node[s->fresh[i]].end != SEARCH_DONE;
        if (!later) RUNG_TRY(search_want_score(s, s->fresh[i], err));
    }
    return RUNG_OK;
}

/* The children of this round and their values; false: they must be looked ahead of first. */
static bool round_is_whole(double *value, search *s) {
    beam_state *b = s->state;
    if (!b->looking) {
        b->n_cand = s->n_fresh;
        bool open = false;
        for (int32_t i = 0; i < s->n_fresh; i++) {
            b->cand[i] = s->fresh[i];
            open |= s->node[s->fresh[i]].end != SEARCH_DONE;
        }
        if (s->o->lookahead > 0 && open && !is_last(s)) {
            b->looking = true;
            return false;
        }
        for (int32_t i = 0; i < b->n_cand; i++) value[i] = search_value(s, b->cand[i]);
        return true;
    }
    b->looking = false;
    for (int32_t i = 0, at = 0; i < b->n_cand; i++) {
        bool done = s->node[b->cand[i]].end == SEARCH_DONE;
        value[i] = search_value(s, done ? b->cand[i] : s->fresh[at++]);
    }
    return true;
}

static rung_status keep_node(search *s, int32_t node, double value, rung_error *err) {
    RUNG_TRY(search_event(s, "keep", node, value, 0, err));
    return search_push(&s->active, &s->n_active, &s->cap_active, node, err);
}

/* More finished than N (the freed places were filled again): the best N are the candidates. */
static rung_status beam_close(search *s, rung_error *err) {
    const beam_state *b = s->state;
    if (s->n_active > 0 && b->it < s->o->depth && !s->over_budget) return RUNG_OK;
    if (s->n_done <= s->o->n) return RUNG_OK;
    double *value = rung_arena_alloc(s->arena, (size_t)s->n_done * sizeof *value);
    if (!value) return rung_fail(err, RUNG_E_NOMEM, "no memory for beams");
    for (int32_t i = 0; i < s->n_done; i++) value[i] = search_value(s, s->done[i]);
    search_sort(s->done, value, s->n_done);
    for (int32_t i = s->o->n; i < s->n_done; i++) RUNG_TRY(search_prune(s, s->done[i], err));
    s->n_done = s->o->n;
    return RUNG_OK;
}

static double *value_room(search *s, rung_error *err) {
    const beam_state *b = s->state;
    int32_t n = s->n_fresh > b->n_cand ? s->n_fresh : b->n_cand;
    double *value = rung_arena_alloc(s->arena, (size_t)n * sizeof *value + 1);
    if (!value) rung_fail(err, RUNG_E_NOMEM, "no memory for beams");
    return value;
}

static bool same_as_kept(const search *s, int32_t node) {
    for (int32_t i = 0; i < s->n_active; i++)
        if (s->node[s->active[i]].path == s->node[node].path) return true;
    return false;
}

static rung_status beam_keep(search *s, rung_error *err) {
    beam_state *b = s->state;
    double *value = value_room(s, err);
    if (!value) return RUNG_E_NOMEM;
    if (!round_is_whole(value, s)) return RUNG_OK;
    int32_t k = at_least_one(s->o->n / s->o->width);
    s->n_active = 0;
    search_sort(b->cand, value, b->n_cand);
    for (int32_t i = 0; i < b->n_cand; i++) {
        int32_t v = b->cand[i];
        if (s->node[v].end == SEARCH_DONE)
            RUNG_TRY(search_finish(s, v, err));
        else if (s->n_active < k && (s->o->replicate || !same_as_kept(s, v)))
            RUNG_TRY(keep_node(s, v, value[i], err));
        else
            RUNG_TRY(search_prune(s, v, err));
    }
    b->it++;
    return beam_close(s, err);
}

/* The best B of all children, finished ones too; a finished one takes its place for good. */
static rung_status sbs_keep(search *s, rung_error *err) {
    beam_state *b = s->state;
    double *value = value_room(s, err);
    if (!value) return RUNG_E_NOMEM;
    if (!round_is_whole(value, s)) return RUNG_OK;
    s->n_active = 0;
    int32_t room = b->width;
    search_sort(b->cand, value, b->n_cand);
    for (int32_t i = 0; i < b->n_cand; i++) {
        int32_t v = b->cand[i];
        if (room <= 0) {
            RUNG_TRY(search_prune(s, v, err));
            continue;
        }
        room--;
        if (s->node[v].end != SEARCH_DONE) {
            RUNG_TRY(keep_node(s, v, value[i], err));
            continue;
        }
        RUNG_TRY(search_finish(s, v, err));
        b->width--;
    }
    b->it++;
    return RUNG_OK;
}

static bool beam_stop(const search *s) {
    const beam_state *b = s->state;
    if (b->looking) return false;
    return s->n_active == 0 || b->it >= s->o->depth || s->over_budget;
}

/* ---- DVTS: K = N/M greedy trees that never compare */

static int32_t n_trees(const search *s) {
    return at_least_one(s->o->n / s->o->width);
}

static rung_status dvts_expand(search *s, rung_error *err) {
    const beam_state *b = s->state;
    if (b->looking) return expand_look(s, err);
    for (int32_t j = 0; j < n_trees(s); j++)
        if (b->tree[j] >= 0) RUNG_TRY(want_step(s, b->tree[j], s->o->width, err));
    return RUNG_OK;
}

/* The last round of a tree gives all its siblings as candidates, each with its own scores. */
static rung_status tree_keep(search *s, int32_t j, const int32_t *child, const double *value,
                             rung_error *err) {
    beam_state *b = s->state;
    int32_t best = 0, m = s->o->width;
    for (int32_t i = 1; i < m; i++)
        if (value[i] > value[best]) best = i;
    bool over = s->node[child[best]].end == SEARCH_DONE || b->it + 1 >= s->o->depth;
    if (over || s->over_budget) {
        for (int32_t i = 0; i < m; i++) RUNG_TRY(search_finish(s, child[i], err));
        b->tree[j] = -1;
        return RUNG_OK;
    }
    for (int32_t i = 0; i < m; i++)
        if (i != best) RUNG_TRY(search_prune(s, child[i], err));
    b->tree[j] = child[best];
    return keep_node(s, child[best], value[best], err);
}

static rung_status dvts_keep(search *s, rung_error *err) {
    beam_state *b = s->state;
    double *value = value_room(s, err);
    if (!value) return RUNG_E_NOMEM;
    if (!round_is_whole(value, s)) return RUNG_OK;
    s->n_active = 0;
    for (int32_t j = 0, at = 0; j < n_trees(s); j++) {
        if (b->tree[j] < 0) continue;
        RUNG_TRY(tree_keep(s, j, b->cand + at, value + at, err));
        at += s->o->width;
    }
    b->it++;
    return RUNG_OK;
}

#define ROW(id, name, help, n, expand, keep)                                                       \
    const search_method id = {                                                                     \
        {name, help, "bon_prm", true}, n, beam_begin, expand, beam_score, keep, beam_stop};
ROW(search_beam, "beam", "step beam: N beams, the best N/M kept and copied", 16, beam_expand,
    beam_keep)
ROW(search_beam_sbs, "beam_sbs", "step beam: N beams of M children, the best N kept (AlphaMath)", 4,
    sbs_expand, sbs_keep)
ROW(search_beam_cots, "beam_cots",
    "step beam: M children of the root, then the best N less those finished", 4, cots_expand,
    sbs_keep)
ROW(search_dvts, "dvts", "N/M greedy trees that do not compare with each other", 16, dvts_expand,
    dvts_keep)
ROW(search_tot_bfs, "tot_bfs", "tree of thoughts in breadth: N states of M proposals each", 4,
    sbs_expand, sbs_keep)
