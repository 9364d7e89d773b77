/* Search by one state at a time: best first over the whole frontier, and tree of thoughts in depth
 * (a stack, states below a threshold left, backtracking). A round expands one state; N rounds. */
#include "search/search_impl.h"

static rung_status first_begin(search *s, rung_error *err) {
    return search_push(&s->active, &s->n_active, &s->cap_active, 0, err);
}

static rung_status expand_at(search *s, int32_t at, rung_error *err) {
    int32_t node = s->active[at];
    for (int32_t i = at; i + 1 < s->n_active; i++) s->active[i] = s->active[i + 1];
    s->n_active--;
    search_ask *a = search_want_text(s, node, s->o->width, err);
    if (!a) return RUNG_E_NOMEM;
    if (s->node[node].depth + 1 >= s->o->depth) { /* the last step runs to the end */
        a->n_steps = 0;
        a->max_tok = s->o->max_tok - s->node[node].n_path_tok;
        if (a->max_tok < 1) a->max_tok = 1;
    }
    return search_event(s, "keep", node, search_value(s, node), 0, err);
}

static int32_t best_open(const search *s) {
    int32_t best = 0;
    double most = 0.0;
    for (int32_t i = 0; i < s->n_active; i++) {
        double v = s->active[i] ? search_value(s, s->active[i]) : 1.0;
        if (i == 0 || v > most) most = v, best = i; /* the first on a tie */
    }
    return best;
}

static rung_status best_expand(search *s, rung_error *err) {
    return expand_at(s, best_open(s), err);
}

static rung_status best_keep(search *s, rung_error *err) {
    for (int32_t i = 0; i < s->n_fresh; i++) {
        int32_t v = s->fresh[i];
        if (s->node[v].end == SEARCH_DONE)
            RUNG_TRY(search_finish(s, v, err));
        else
            RUNG_TRY(search_push(&s->active, &s->n_active, &s->cap_active, v, err));
    }
    return RUNG_OK;
}

/* Over when no open state is better than the best finished one: with a score that never rises along
 * a path (min, prod) nothing better can come. */
static bool best_stop(const search *s) {
    if (s->n_active == 0 || s->round >= s->o->n || s->over_budget) return true;
    if (s->n_done == 0) return false;
    double done = search_value(s, s->done[0]);
    for (int32_t i = 1; i < s->n_done; i++) {
        double v = search_value(s, s->done[i]);
        if (v > done) done = v;
    }
    int32_t open = s->active[best_open(s)];
    return open != 0 && search_value(s, open) <= done;
}

static rung_status depth_expand(search *s, rung_error *err) {
    return expand_at(s, s->n_active - 1, err);
}

/* Children by value, the best on top; those below the threshold are left. */
static rung_status depth_keep(search *s, rung_error *err) {
    double *value = rung_arena_alloc(s->arena, (size_t)s->n_fresh * sizeof *value + 1);
    if (!value) return rung_fail(err, RUNG_E_NOMEM, "no memory for states");
    for (int32_t i = 0; i < s->n_fresh; i++) value[i] = search_value(s, s->fresh[i]);
    search_sort(s->fresh, value, s->n_fresh);
    for (int32_t i = s->n_fresh - 1; i >= 0; i--) {
        int32_t v = s->fresh[i];
        if (value[i] < s->o->threshold)
            RUNG_TRY(search_prune(s, v, err));
        else if (s->node[v].end == SEARCH_DONE)
            RUNG_TRY(search_finish(s, v, err));
        else
            RUNG_TRY(search_push(&s->active, &s->n_active, &s->cap_active, v, err));
    }
    return RUNG_OK;
}

static bool depth_stop(const search *s) {
    return s->n_active == 0 || s->n_done > 0 || s->round >= s->o->n || s->over_budget;
}

const search_method search_best_first = {
    {"best_first", "the best open state of all is expanded next", "bon_prm", true},
    32,
    first_begin,
    best_expand,
    NULL,
    best_keep,
    best_stop};
const search_method search_tot_dfs = {
    {"tot_dfs", "tree of thoughts in depth: states below a threshold are left", "bon_prm", true},
    32,
    first_begin,
    depth_expand,
    NULL,
    depth_keep,
    depth_stop};
