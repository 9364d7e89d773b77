/* Early rejection (search.md 1): a step is scored after its first tau tokens, and only the best N/M
 * candidates may finish it. Two phases a round: partial steps, then the survivors' rest.
 *
 * The edge cases (a)-(h) of the reference code are repaired; `replicate` has them as they were. */
#include "search/search_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct early_state {
    int32_t it, width; /* rounds done; survivors wanted */
    bool finishing;    /* the survivors' steps are being finished */
    int32_t *survivor, n_survivors;
    int32_t *length, n_lengths, cap_lengths; /* of finished steps, for the median */
} early_state;

static rung_status early_begin(search *s, rung_error *err) {
    early_state *e = rung_arena_alloc(s->arena, sizeof *e);
    if (e) e->survivor = rung_arena_alloc(s->arena, ((size_t)s->o->n + 1) * sizeof *e->survivor);
    if (e) e->cap_lengths = 4096;
    if (e) e->length = rung_arena_alloc(s->arena, (size_t)e->cap_lengths * sizeof *e->length);
    if (!e || !e->survivor || !e->length)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for beams");
    e->width = s->o->n / s->o->width > 0 ? s->o->n / s->o->width : 1;
    s->state = e;
    return search_push(&s->active, &s->n_active, &s->cap_active, 0, err);
}

static int by_number(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static int32_t tau_now(search *s) {
    early_state *e = s->state;
    if (s->o->tau_share <= 0.0 || e->n_lengths == 0) return s->o->tau;
    qsort(e->length, (size_t)e->n_lengths, sizeof *e->length, by_number);
    double t = ceil(s->o->tau_share * (double)e->length[e->n_lengths / 2]);
    return t > 1.0 ? (int32_t)t : 1;
}

static void note_length(search *s, int32_t node) {
    early_state *e = s->state;
    if (e->n_lengths < e->cap_lengths) e->length[e->n_lengths++] = s->node[node].n_tok;
}

/* (a) The reference draws M candidates in the first round, from one root; ours as many as later. */
static rung_status early_expand(search *s, rung_error *err) {
    early_state *e = s->state;
    if (e->finishing) {
        for (int32_t i = 0; i < e->n_survivors; i++) {
            int32_t v = e->survivor[i];
            if (s->node[v].end != SEARCH_CUT && !s->o->replicate) continue; /* (b) has ended */
            if (s->node[v].end == SEARCH_DONE) continue;
            search_ask *a = search_want_text(s, v, 1, err);
            if (!a) return RUNG_E_NOMEM;
            a->extend = true;
        }
        return RUNG_OK;
    }
    int32_t tau = tau_now(s);
    for (int32_t j = 0; j < s->n_active; j++) {
        bool first = e->it == 0 && !s->o->replicate;
        search_ask *a = search_want_text(s, s->active[j], first ? s->o->n : s->o->width, err);
        if (!a) return RUNG_E_NOMEM;
        a->partial = tau < a->max_tok;
        if (a->partial) a->max_tok = tau;
    }
    return RUNG_OK;
}

static rung_status early_score(search *s, rung_error *err) {
    const early_state *e = s->state;
    for (int32_t i = 0; i < s->n_fresh; i++) {
        if (e->finishing && !s->o->rescore) continue; /* published: the partial score stays */
        s->node[s->fresh[i]].scored = 0;
        RUNG_TRY(search_want_score(s, s->fresh[i], err));
    }
    return RUNG_OK;
}

/* (c) The reference leaves the delimiter of its score request inside the text. */
static rung_status leave_delimiter(search *s, int32_t node, rung_error *err) {
    search_node *v = &s->node[node];
    size_t n = strlen(s->delimiter), old = (size_t)v->n_bytes;
    char *text = rung_arena_alloc(s->arena, old + n + 1);
    if (!text) return rung_fail(err, RUNG_E_NOMEM, "no memory for a step");
    memcpy(text, v->text, old);
    memcpy(text + old, s->delimiter, n);
    v->text = text;
    v->tok = NULL; /* no longer what was drawn */
    v->logprob = v->logprob_draw = NULL;
    v->n_bytes += (int32_t)n;
    v->n_path_bytes += (int32_t)n;
    return RUNG_OK;
}

static rung_status keep_partial(search *s, rung_error *err) {
    early_state *e = s->state;
    int32_t *cand = s->fresh, n = 0;
    double *value = rung_arena_alloc(s->arena, (size_t)s->n_fresh * sizeof *value + 1);
    if (!value) return rung_fail(err, RUNG_E_NOMEM, "no memory for beams");
    for (int32_t i = 0; i < s->n_fresh; i++) {
        if (s->node[cand[i]].n_bytes == 0 && s->node[cand[i]].end != SEARCH_DONE) continue;
        cand[n++] = cand[i];
    }
    bool differ = false;
    for (int32_t i = 0; i < n; i++) {
        value[i] = search_value(s, cand[i]);
        differ |= value[i] != value[0];
    }
    if (n > 1 && !differ) /* (e) the first ones stay */
        RUNG_TRY(search_event(s, "no_signal", cand[0], value[0], n, err));
    search_sort(cand, value, n);
    e->n_survivors = 0;
    for (int32_t i = 0; i < n; i++) {
        if (e->n_survivors >= e->width) {
            RUNG_TRY(search_prune(s, cand[i], err));
            continue;
        }
        RUNG_TRY(search_event(s, "keep", cand[i], value[i], 0, err));
        if (s->o->replicate && s->node[cand[i]].end == SEARCH_CUT)
            RUNG_TRY(leave_delimiter(s, cand[i], err));
        e->survivor[e->n_survivors++] = cand[i];
    }
    s->n_active = 0;
    e->finishing = true;
    return RUNG_OK;
}

/* (d) An empty rest ends the step. (h) A finished beam keeps its place: one survivor less. */
static rung_status keep_finished(search *s, rung_error *err) {
    early_state *e = s->state;
    bool all = true;
    for (int32_t i = 0; i < e->n_survivors; i++) {
        search_node *v = &s->node[e->survivor[i]];
        if (v->end == SEARCH_CUT) v->end = SEARCH_OPEN;
        note_length(s, e->survivor[i]);
        all &= v->end == SEARCH_DONE;
    }
    for (int32_t i = 0; i < e->n_survivors; i++) {
        int32_t v = e->survivor[i];
        if (s->node[v].end != SEARCH_DONE) {
            RUNG_TRY(search_push(&s->active, &s->n_active, &s->cap_active, v, err));
        } else if (s->o->replicate && !all) {
            RUNG_TRY(search_prune(s, v, err)); /* lost while a sibling goes on */
        } else {
            RUNG_TRY(search_finish(s, v, err));
            if (!s->o->replicate) e->width--;
        }
    }
    e->it++;
    e->finishing = false;
    return RUNG_OK;
}

static rung_status early_keep(search *s, rung_error *err) {
    early_state *e = s->state;
    return e->finishing ? keep_finished(s, err) : keep_partial(s, err);
}

static bool early_stop(const search *s) {
    const early_state *e = s->state;
    if (e->finishing) return false;
    return s->n_active == 0 || e->it >= s->o->depth || s->over_budget || e->width < 1;
}

const search_method search_early = {{"early_rejection",
                                     "step beam that drops candidates after their first tau tokens",
                                     "bon_prm", true},
                                    16,
                                    early_begin,
                                    early_expand,
                                    early_score,
                                    early_keep,
                                    early_stop};
