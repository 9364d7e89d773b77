/* The table of searches, and the names of scorers. */
#include "search/search_impl.h"

#include <string.h>

static const search_method *const rows[] = {
    &search_greedy, &search_sc,         &search_sc_weighted, &search_sc_adaptive, &search_bon,
    &search_vote,   &search_beam,       &search_beam_sbs,    &search_beam_cots,   &search_dvts,
    &search_early,  &search_best_first, &search_tot_bfs,     &search_tot_dfs,     &search_particle,
    &search_gibbs,  &search_uct,        &search_puct,        &search_az,          &search_pucb,
    &search_ab,     &search_rstar,
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

const search_method *search_method_at(size_t i) {
    return i < N_ROWS ? rows[i] : NULL;
}

const search_method *search_method_find(const char *name) {
    for (size_t i = 0; i < N_ROWS; i++)
        if (!strcmp(rows[i]->info.name, name)) return rows[i];
    return NULL;
}

bool rung_search_at(rung_search_info *out, size_t i) {
    const search_method *m = search_method_at(i);
    if (m) *out = m->info;
    return m != NULL;
}

bool rung_search_find(rung_search_info *out, const char *name) {
    const search_method *m = search_method_find(name);
    if (m) *out = m->info;
    return m != NULL;
}

static const char *const scorers[] = {
#define X(id, name, help) name,
    RUNG_SEARCH_SCORERS(X)
#undef X
};

const char *rung_search_scorer_name(rung_search_scorer s) {
    return (unsigned)s < RUNG_SEARCH_SCORER_COUNT ? scorers[s] : "?";
}

bool rung_search_scorer_find(rung_search_scorer *out, const char *name) {
    for (int i = 0; i < RUNG_SEARCH_SCORER_COUNT; i++)
        if (!strcmp(scorers[i], name)) {
            *out = (rung_search_scorer)i;
            return true;
        }
    return false;
}
