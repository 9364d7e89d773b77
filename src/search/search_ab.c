/* AB-MCTS-A: tree search with adaptive branching (Inoue et al. 2025, 2503.04412; the Beta variant).
 * At each state Thompson sampling decides between a new child (its posterior: scores of the
 * children drawn here) and going on below (posterior: all scores below), then, below, between the
 * children.
 *
 * A simulation makes one step in O(depth log children): each child holds a draw from its posterior
 * in a tournament over the siblings. It is drawn anew when its posterior changes; of the others one
 * in turn on each visit. A draw is thus at most as many visits old as there are siblings (ours; the
 * published code draws all of them afresh, which costs O(children)). */
#include "search/search_impl.h"

#define AB_PRIOR 0.5 /* Beta(1/2, 1/2) */

enum { AB_FRESH = 1 };

/* The children of a state and who leads: win[1] is the champion's place, win[i] that of the better
 * of win[2i] and win[2i + 1]; place p is leaf cap + p. */
typedef struct ab_contest {
    int32_t n, cap, turn;
    int32_t *child, *win;
    double *draw; /* < 0: closed, or empty */
} ab_contest;

typedef struct ab_state {
    int32_t at, n_sims;
    bool closing;
    ab_contest *contest; /* [cap] of nodes */
    int32_t cap;
} ab_state;

static rung_status ab_begin(search *s, rung_error *err) {
    s->state = rung_arena_alloc(s->arena, sizeof(ab_state));
    return s->state ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "no memory for tree search");
}

static double thompson(rung_rng *r, double sum, int32_t n) {
    return search_draw_beta(r, AB_PRIOR + sum, AB_PRIOR + (double)n - sum);
}

static void settle(ab_contest *c, int32_t place, double draw) {
    c->draw[place] = draw;
    for (int32_t i = (c->cap + place) / 2; i >= 1; i /= 2) {
        int32_t a = c->win[2 * i], b = c->win[2 * i + 1];
        c->win[i] = c->draw[b] > c->draw[a] ? b : a; /* the first on a tie */
    }
}

static rung_status grow_contest(search *s, ab_contest *c, rung_error *err) {
    int32_t cap = c->cap ? c->cap * 2 : 4;
    ab_contest g = {.n = c->n, .cap = cap, .turn = c->turn};
    g.child = rung_arena_alloc(s->arena, (size_t)cap * sizeof *g.child);
    g.win = rung_arena_alloc(s->arena, (size_t)cap * 2 * sizeof *g.win);
    g.draw = rung_arena_alloc(s->arena, (size_t)cap * sizeof *g.draw);
    if (!g.child || !g.win || !g.draw)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for tree search");
    for (int32_t i = 0; i < cap; i++) {
        g.win[cap + i] = i;
        g.draw[i] = i < c->n ? c->draw[i] : -1.0;
        if (i < c->n) g.child[i] = c->child[i];
    }
    for (int32_t i = cap - 1; i >= 1; i--) {
        int32_t a = g.win[2 * i], b = g.win[2 * i + 1];
        g.win[i] = g.draw[b] > g.draw[a] ? b : a;
    }
    *c = g;
    return RUNG_OK;
}

static rung_status room_for_nodes(search *s, rung_error *err) {
    ab_state *m = s->state;
    if (s->n_nodes <= m->cap) return RUNG_OK;
    int32_t cap = s->n_nodes * 2;
    ab_contest *grown = rung_arena_alloc(s->arena, (size_t)cap * sizeof *grown);
    if (!grown) return rung_fail(err, RUNG_E_NOMEM, "no memory for tree search");
    for (int32_t i = 0; i < m->cap; i++) grown[i] = m->contest[i];
    m->contest = grown;
    m->cap = cap;
    return RUNG_OK;
}

static double draw_child(search *s, int32_t child, rung_rng *r) {
    const search_node *v = &s->node[child];
    return v->closed ? -1.0 : thompson(r, v->sub_sum, v->n_sub);
}

/* Where the next child goes. A state that is done has no children; its score has been counted. */
static int32_t ab_select(search *s) {
    ab_state *m = s->state;
    rung_rng r = search_rng(s, 6, (uint64_t)m->n_sims);
    int32_t at = 0;
    for (;;) {
        const search_node *v = &s->node[at];
        if (v->first < 0 || v->n_closed == v->n_children) return at;
        double fresh = thompson(&r, v->gen_sum, v->n_gen);
        double on = thompson(&r, v->sub_sum - v->value_max, v->n_sub - (at ? 1 : 0));
        if (fresh >= on) return at;
        ab_contest *c = &m->contest[at];
        for (int32_t k = 0; k < AB_FRESH && k < c->n; k++) {
            int32_t place = c->turn++ % c->n;
            settle(c, place, draw_child(s, c->child[place], &r));
        }
        at = c->child[c->win[1]];
    }
}

/* The child's place among its siblings, with a first draw; and a new draw for all above it, whose
 * posteriors have changed. */
static rung_status enter(search *s, int32_t child, rung_error *err) {
    ab_state *m = s->state;
    RUNG_TRY(room_for_nodes(s, err));
    int32_t parent = s->node[child].parent;
    ab_contest *c = &m->contest[parent];
    rung_rng r = search_rng(s, 7, (uint64_t)m->n_sims);
    if (c->n == c->cap) RUNG_TRY(grow_contest(s, c, err));
    s->node[child].n_gen = 0;
    s->node[child].place = c->n;
    c->child[c->n] = child;
    settle(c, c->n++, draw_child(s, child, &r));
    for (int32_t v = parent; v > 0; v = s->node[v].parent) {
        c = &m->contest[s->node[v].parent];
        settle(c, s->node[v].place, draw_child(s, v, &r));
    }
    return RUNG_OK;
}

static int32_t best_leaf(const search *s) {
    int32_t best = 0;
    for (int32_t v = 1; v < s->n_nodes; v++)
        if (s->node[v].end == SEARCH_OPEN &&
            (best == 0 || search_value(s, v) > search_value(s, best)))
            best = v;
    return best;
}

static bool ab_spent(const search *s) {
    const ab_state *m = s->state;
    return m->n_sims >= s->o->n || s->over_budget;
}

static rung_status ab_expand(search *s, rung_error *err) {
    ab_state *m = s->state;
    bool to_end = false;
    if (ab_spent(s)) {
        m->closing = to_end = true;
        m->at = best_leaf(s);
    } else {
        m->at = ab_select(s);
        to_end = s->node[m->at].depth + 1 >= s->o->depth;
    }
    search_ask *a = search_want_text(s, m->at, 1, err);
    if (!a) return RUNG_E_NOMEM;
    if (to_end) {
        a->n_steps = 0;
        a->max_tok = s->o->max_tok - s->node[m->at].n_path_tok;
        if (a->max_tok < 1) a->max_tok = 1;
    }
    return RUNG_OK;
}

static rung_status ab_keep(search *s, rung_error *err) {
    ab_state *m = s->state;
    int32_t leaf = s->fresh[0], child = leaf;
    m->n_sims++;
    if (m->closing) return search_finish(s, leaf, err);
    while (s->node[child].parent != m->at) child = s->node[child].parent;
    double score = search_value(s, leaf);
    score = score > 0.0 ? score < 1.0 ? score : 1.0 : 0.0;
    s->node[child].value_max = score; /* what its draw was worth */
    s->node[m->at].gen_sum += score;
    s->node[m->at].n_gen++;
    for (int32_t v = child; v >= 0; v = s->node[v].parent) {
        s->node[v].sub_sum += score;
        s->node[v].n_sub++;
        s->node[v].value_sum += score;
        s->node[v].n_visits++;
    }
    bool done = s->node[leaf].end == SEARCH_DONE;
    s->node[child].closed = done;
    s->node[m->at].n_closed += done;
    RUNG_TRY(enter(s, child, err));
    return done ? search_finish(s, leaf, err) : RUNG_OK;
}

static bool ab_stop(const search *s) {
    const ab_state *m = s->state;
    return m->closing || (ab_spent(s) && s->n_done > 0);
}

const search_method search_ab = {
    {"ab_mcts", "tree search with adaptive branching: wider or deeper by Thompson sampling",
     "bon_prm", true},
    32,
    ab_begin,
    ab_expand,
    NULL,
    ab_keep,
    ab_stop};
