/* Particle filter and particle Gibbs (search.md 2.11): every unstopped particle takes a step, then
 * ancestors are drawn in proportion to p/(1-p) of their whole prefixes. Stopped particles stay in
 * the pool: they can be copied, or die. In Gibbs some particles of an iteration are references:
 * they keep their path, and a copy of one goes on from where the others are. */
#include "search/search_impl.h"

#include <math.h>

#define P_MARGIN 1e-7 /* keeps a weight of certainty finite (search.md 2.11) */

typedef struct particle_state {
    int32_t n, n_ref, n_iterations, iteration, t;
    int32_t *at;    /* [n] free particles first, then references: node; a reference: its leaf */
    int32_t *moved; /* [n] which asks' leaves are whose: scratch */
    double *log_w;  /* [n] */
    int32_t *pick;
} particle_state;

static rung_status particle_begin(search *s, int32_t n_iterations, rung_error *err) {
    particle_state *p = rung_arena_alloc(s->arena, sizeof *p);
    if (!p) return rung_fail(err, RUNG_E_NOMEM, "no memory for particles");
    p->n_iterations = n_iterations;
    p->n = s->o->n / n_iterations > 1 ? s->o->n / n_iterations : 2;
    p->at = rung_arena_alloc(s->arena, (size_t)p->n * sizeof *p->at);
    p->moved = rung_arena_alloc(s->arena, (size_t)p->n * sizeof *p->moved);
    p->log_w = rung_arena_alloc(s->arena, (size_t)p->n * sizeof *p->log_w);
    p->pick = rung_arena_alloc(s->arena, (size_t)p->n * sizeof *p->pick);
    if (!p->at || !p->moved || !p->log_w || !p->pick)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for particles");
    s->state = p;
    return RUNG_OK;
}

static rung_status filter_begin(search *s, rung_error *err) {
    return particle_begin(s, 1, err);
}

static rung_status gibbs_begin(search *s, rung_error *err) {
    return particle_begin(s, s->o->iterations, err);
}

/* "Stopped": its text is over, or it has the most steps. */
static bool stopped(const search *s, int32_t node) {
    return s->node[node].end == SEARCH_DONE || s->node[node].depth >= s->o->depth;
}

/* Where a particle's path is after t steps; a shorter one stays at its end. */
static int32_t cut_to(const search *s, int32_t node, int32_t t) {
    while (s->node[node].depth > t) node = s->node[node].parent;
    return node;
}

static double log_weight(const search *s, int32_t node) {
    if (node == 0) return 0.0;
    double p = fmin(fmax(search_value(s, node), P_MARGIN), 1.0 - P_MARGIN);
    return log(p) - log1p(-p);
}

/* One ask per distinct node: copies of a particle are samples of one prompt. */
static rung_status particle_expand(search *s, rung_error *err) {
    particle_state *p = s->state;
    int32_t n_free = p->n - p->n_ref, at = 0;
    for (int32_t i = 0; i < p->n; i++) p->moved[i] = -1;
    for (int32_t i = 0; i < n_free; i++) {
        if (stopped(s, p->at[i]) || p->moved[i] >= 0) continue;
        int32_t n = 0;
        for (int32_t j = i; j < n_free; j++)
            if (p->at[j] == p->at[i]) p->moved[j] = at + n++;
        if (!search_want_text(s, p->at[i], n, err)) return RUNG_E_NOMEM;
        at += n;
    }
    return RUNG_OK;
}

static rung_status resample(search *s, rung_error *err) {
    particle_state *p = s->state;
    int32_t n_free = p->n - p->n_ref;
    rung_rng r = search_rng(s, 1, (uint64_t)p->iteration << 32 | (uint64_t)p->t);
    for (int32_t i = 0; i < p->n; i++) {
        int32_t at = i < n_free ? p->at[i] : cut_to(s, p->at[i], p->t);
        p->log_w[i] = log_weight(s, at);
    }
    RUNG_TRY(search_resample(p->pick, n_free, p->log_w, p->n, &r, err));
    for (int32_t i = 0; i < n_free; i++) {
        int32_t from = p->pick[i];
        p->moved[i] = from < n_free ? p->at[from] : cut_to(s, p->at[from], p->t);
    }
    for (int32_t i = 0; i < n_free; i++) s->node[p->moved[i]].n_gen = p->t; /* survives */
    for (int32_t i = 0; i < n_free; i++) {
        const search_node *v = &s->node[p->at[i]];
        if (v->n_gen != p->t && p->at[i] != 0 && !v->pruned)
            RUNG_TRY(search_prune(s, p->at[i], err));
    }
    for (int32_t i = 0; i < n_free; i++) {
        p->at[i] = p->moved[i];
        s->node[p->at[i]].pruned = 0;
        RUNG_TRY(search_event(s, "keep", p->at[i], search_value(s, p->at[i]), 0, err));
    }
    return RUNG_OK;
}

/* Of the last iteration: every particle is a candidate, a copied one once. One drawn by weight
 * comes first and alone, when the answer is to be drawn. */
static rung_status finish_all(search *s, rung_error *err) {
    particle_state *p = s->state;
    for (int32_t i = 0; i < p->n; i++) p->log_w[i] = log_weight(s, p->at[i]);
    if (s->o->draw) {
        rung_rng r = search_rng(s, 2, (uint64_t)p->iteration);
        RUNG_TRY(search_resample(p->pick, 1, p->log_w, p->n, &r, err));
        return search_finish(s, p->at[p->pick[0]], err);
    }
    for (int32_t i = 0; i < p->n; i++) {
        bool seen = false;
        for (int32_t j = 0; j < i && !seen; j++) seen = p->at[j] == p->at[i];
        if (!seen) RUNG_TRY(search_finish(s, p->at[i], err));
    }
    return RUNG_OK;
}

static bool all_stopped(const search *s) {
    const particle_state *p = s->state;
    for (int32_t i = 0; i < p->n - p->n_ref; i++)
        if (!stopped(s, p->at[i])) return false;
    return true;
}

/* The next iteration's references, at the end of the particles; the free ones start again. */
static rung_status next_iteration(search *s, rung_error *err) {
    particle_state *p = s->state;
    int32_t n_ref = s->o->n_ref < p->n ? s->o->n_ref : p->n - 1;
    rung_rng r = search_rng(s, 3, (uint64_t)p->iteration);
    for (int32_t i = 0; i < p->n; i++) p->log_w[i] = log_weight(s, p->at[i]);
    RUNG_TRY(search_resample(p->pick, n_ref, p->log_w, p->n, &r, err));
    for (int32_t i = 0; i < n_ref; i++) p->moved[i] = p->at[p->pick[i]];
    for (int32_t i = 0; i < n_ref; i++) p->at[p->n - n_ref + i] = p->moved[i];
    for (int32_t i = 0; i < p->n - n_ref; i++) p->at[i] = 0;
    p->n_ref = n_ref;
    p->t = 0;
    return RUNG_OK;
}

static rung_status particle_keep(search *s, rung_error *err) {
    particle_state *p = s->state;
    for (int32_t i = 0; i < p->n - p->n_ref; i++)
        if (p->moved[i] >= 0) p->at[i] = s->fresh[p->moved[i]];
    p->t++;
    RUNG_TRY(resample(s, err));
    if (!all_stopped(s) && !s->over_budget) return RUNG_OK;
    p->iteration++;
    if (p->iteration >= p->n_iterations || s->over_budget) {
        p->iteration = p->n_iterations;
        return finish_all(s, err);
    }
    return next_iteration(s, err);
}

static bool particle_stop(const search *s) {
    const particle_state *p = s->state;
    return p->iteration >= p->n_iterations;
}

const search_method search_particle = {
    {"particle", "particle filter: ancestors drawn by the odds of their prefixes", "bon_prm", true},
    16,
    filter_begin,
    particle_expand,
    NULL,
    particle_keep,
    particle_stop};
const search_method search_gibbs = {
    {"particle_gibbs", "particle Gibbs: iterations that keep reference particles", "bon_prm", true},
    16,
    gibbs_begin,
    particle_expand,
    NULL,
    particle_keep,
    particle_stop};
