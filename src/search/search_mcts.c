/* Monte-Carlo tree search (search.md 2.12): one loop, four selection rules, two ways to value a
 * leaf.
 *
 *   uct    W/n + c sqrt(ln n_parent / n), unvisited first; a rollout to the end from a new child
 *   puct   Q + c prior sqrt(n_parent) / (1 + n); the state's own score
 *   az     Q + prior (ln((n_parent + base + 1)/base) + init) sqrt(n_parent)/(1 + n), Q = score if n
 * = 0 pucb   max return + (ln((n_parent + base + 1)/base) + c) prior sqrt(ln n_parent)/(1 + n)
 *
 * A simulation descends, asks for up to M distinct children, values, and backs up. What is finished
 * is closed: it is a candidate, its value is backed up once, and it is not selected again; so are
 * states whose children are all closed. When the simulations end without a finished trace, the most
 * visited path is written to its end (ours). */
#include "search/search_impl.h"

#include <math.h>
#include <string.h>

#define C_UCT   2.0     /* rStar */
#define C_PUCT  1.25    /* AlphaMath */
#define AZ_BASE 19652.0 /* OpenR */
#define AZ_INIT 1.25
#define PUCB_C  4.0 /* RethinkMCTS */
#define PUCB_B  10.0
#define NOISE   0.25 /* share of root noise, Dirichlet(0.3) (OpenR) */
#define NOISE_A 0.3

typedef enum mcts_phase { MCTS_EXPAND, MCTS_ROLLOUT, MCTS_CLOSE } mcts_phase;
typedef struct mcts_state {
    mcts_phase phase;
    int32_t at; /* the leaf of this simulation, or where the rollout starts */
    int32_t n_sims;
    bool closing;
} mcts_state;
typedef double (*mcts_rule)(const search *s, const search_node *p, const search_node *v);

static double own_score(const search *s, int32_t node) {
    return node == 0 ? 0.0 : fmax(0.0, search_value(s, node));
}

static double mean_value(const search_node *v) {
    return v->n_visits ? v->value_sum / v->n_visits : 0.0;
}

static double rule_uct(const search *s, const search_node *p, const search_node *v) {
    double c = s->o->explore > 0.0 ? s->o->explore : C_UCT;
    if (v->n_visits == 0) return (double)INFINITY;
    return mean_value(v) +
           c * sqrt(log((double)(p->n_visits > 1 ? p->n_visits : 1)) / (double)v->n_visits);
}
static double rule_puct(const search *s, const search_node *p, const search_node *v) {
    double c = s->o->explore > 0.0 ? s->o->explore : C_PUCT;
    return mean_value(v) + c * v->prior * sqrt((double)p->n_visits) / (1.0 + v->n_visits);
}
static double rule_az(const search *s, const search_node *p, const search_node *v) {
    double init = s->o->explore > 0.0 ? s->o->explore : AZ_INIT, n = (double)p->n_visits;
    double q = v->n_visits ? mean_value(v) : own_score(s, (int32_t)(v - s->node));
    return q +
           v->prior * (log((n + AZ_BASE + 1.0) / AZ_BASE) + init) * sqrt(n) / (1.0 + v->n_visits);
}
static double rule_pucb(const search *s, const search_node *p, const search_node *v) {
    double c = s->o->explore > 0.0 ? s->o->explore : PUCB_C, n = (double)p->n_visits;
    double beta = log((n + PUCB_B + 1.0) / PUCB_B) + c, q = v->n_visits ? v->value_max : 0.0;
    return q + beta * v->prior * sqrt(log(n > 1.0 ? n : 1.0)) / (1.0 + v->n_visits);
}

static mcts_rule rule_of(const search *s) {
    return s->m == &search_uct || s->m == &search_rstar ? rule_uct
           : s->m == &search_az                         ? rule_az
           : s->m == &search_pucb                       ? rule_pucb
                                                        : rule_puct;
}

static rung_status mcts_begin(search *s, rung_error *err) {
    mcts_state *m = rung_arena_alloc(s->arena, sizeof *m);
    if (!m) return rung_fail(err, RUNG_E_NOMEM, "no memory for tree search");
    s->state = m;
    return RUNG_OK;
}

void search_backup(search *s, int32_t node, double value) {
    for (int32_t v = node; v >= 0; v = s->node[v].parent) {
        search_node *x = &s->node[v];
        if (x->n_visits == 0 || value > x->value_max) x->value_max = value;
        x->n_visits++;
        x->value_sum += value;
    }
}

void search_close(search *s, int32_t node) {
    while (node >= 0 && !s->node[node].closed) {
        s->node[node].closed = 1;
        node = s->node[node].parent;
        if (node < 0 || ++s->node[node].n_closed < s->node[node].n_children) return;
    }
}

/* From the root to a state without children. Ties: the first; the unvisited of UCT and equal PUCT
 * scores are drawn by the search's own generator. */
int32_t search_select(search *s, int32_t sim) {
    mcts_rule rule = rule_of(s);
    rung_rng r = search_rng(s, 4, (uint64_t)sim);
    int32_t at = 0;
    while (s->node[at].first >= 0) {
        const search_node *p = &s->node[at];
        int32_t best = -1, n_tied = 0;
        double most = 0.0;
        for (int32_t c = p->first; c >= 0; c = s->node[c].next) {
            if (s->node[c].closed) continue;
            double v = rule(s, p, &s->node[c]);
            if (best < 0 || v > most)
                most = v, best = c, n_tied = 1;
            else if (v == most && rung_rng_below(&r, (uint64_t)++n_tied) == 0)
                best = c;
        }
        if (best < 0) return -1; /* all closed */
        at = best;
    }
    return at;
}

static int32_t most_visited(const search *s) {
    int32_t at = 0;
    while (s->node[at].first >= 0) {
        int32_t best = -1;
        for (int32_t c = s->node[at].first; c >= 0; c = s->node[c].next) {
            if (s->node[c].pruned || s->node[c].end == SEARCH_DONE) continue;
            if (best < 0 || s->node[c].n_visits > s->node[best].n_visits) best = c;
        }
        if (best < 0) break;
        at = best;
    }
    return at;
}

static rung_status want_rest(search *s, int32_t node, rung_error *err) {
    search_ask *a = search_want_text(s, node, 1, err);
    if (!a) return RUNG_E_NOMEM;
    a->n_steps = 0;
    a->max_tok = s->o->max_tok - s->node[node].n_path_tok;
    if (a->max_tok < 1) a->max_tok = 1;
    return RUNG_OK;
}

static bool spent(const search *s) {
    const mcts_state *m = s->state;
    return m->n_sims >= s->o->n || s->node[0].closed || s->over_budget;
}

static rung_status mcts_expand(search *s, rung_error *err) {
    mcts_state *m = s->state;
    if (m->phase == MCTS_ROLLOUT) return want_rest(s, m->at, err);
    if (spent(s)) {
        m->closing = true;
        return want_rest(s, most_visited(s), err);
    }
    m->at = search_select(s, m->n_sims);
    search_ask *a = search_want_text(s, m->at, s->o->width, err);
    if (!a) return RUNG_E_NOMEM;
    if (s->node[m->at].depth + 1 >= s->o->depth) {
        a->n_steps = 0;
        a->max_tok = s->o->max_tok - s->node[m->at].n_path_tok;
    }
    return RUNG_OK;
}

/* Without a scorer a rollout is worth the share of finished traces that agree with it (rStar). */
static double worth(const search *s, int32_t leaf) {
    if (s->o->scorer != RUNG_SEARCH_SCORE_NONE) return own_score(s, leaf);
    const char *key = s->node[leaf].key;
    int32_t same = 0;
    if (!key[0]) return 0.0;
    for (int32_t i = 0; i < s->n_done; i++) same += strcmp(s->node[s->done[i]].key, key) == 0;
    return (double)same / s->n_done;
}

static rung_status take_done(search *s, int32_t node, rung_error *err) {
    RUNG_TRY(search_finish(s, node, err));
    search_backup(s, node, worth(s, node));
    search_close(s, node);
    return RUNG_OK;
}

/* Children that say the same are one: equal texts on equal prefixes. */
static rung_status drop_twins(search *s, rung_error *err) {
    for (int32_t i = 0; i < s->n_fresh; i++) {
        int32_t v = s->fresh[i];
        bool twin = false;
        for (int32_t j = 0; j < i && !twin; j++)
            twin = s->fresh[j] >= 0 && s->node[s->fresh[j]].path == s->node[v].path;
        if (!twin) continue;
        RUNG_TRY(search_prune(s, v, err));
        while (v > 0 && s->node[v].parent != ((mcts_state *)s->state)->at) v = s->node[v].parent;
        search_close(s, v);
        s->fresh[i] = -1;
    }
    return RUNG_OK;
}

/* Root noise: prior <- .75 prior + .25 Dirichlet(.3) over the children (OpenR). */
static void add_noise(search *s) {
    double sum = 0.0;
    rung_rng r = search_rng(s, 5, 0);
    for (int32_t c = s->node[0].first; c >= 0; c = s->node[c].next)
        sum += s->node[c].gen_sum = search_draw_gamma(&r, NOISE_A);
    for (int32_t c = s->node[0].first; c >= 0; c = s->node[c].next) {
        double share = sum > 0.0 ? s->node[c].gen_sum / sum : 0.0;
        s->node[c].prior = (1.0 - NOISE) * s->node[c].prior + NOISE * share;
    }
}

static rung_status keep_expanded(search *s, rung_error *err) {
    mcts_state *m = s->state;
    int32_t open = -1;
    RUNG_TRY(drop_twins(s, err));
    if (s->m == &search_az && m->at == 0) add_noise(s);
    for (int32_t i = 0; i < s->n_fresh; i++) {
        int32_t v = s->fresh[i];
        if (v < 0) continue;
        if (s->node[v].end == SEARCH_DONE)
            RUNG_TRY(take_done(s, v, err));
        else if (open < 0)
            open = v;
    }
    m->n_sims++;
    if (s->m == &search_uct && open >= 0) {
        m->phase = MCTS_ROLLOUT;
        m->at = open;
    } else if (m->at > 0 && s->m != &search_uct) {
        search_backup(s, m->at, own_score(s, m->at));
    } else if (m->at == 0) {
        s->node[0].n_visits++;
    }
    return RUNG_OK;
}

static rung_status mcts_keep(search *s, rung_error *err) {
    mcts_state *m = s->state;
    if (m->closing) return search_finish(s, s->fresh[0], err);
    if (m->phase == MCTS_EXPAND) return keep_expanded(s, err);
    m->phase = MCTS_EXPAND;
    int32_t leaf = s->fresh[0], from = m->at;
    RUNG_TRY(search_finish(s, leaf, err));
    search_backup(s, from, worth(s, leaf));
    /* the rollout stays as a candidate, but the tree under its start is still to be grown */
    s->node[from].first = s->node[from].last = -1;
    s->node[from].n_children = 0;
    return RUNG_OK;
}

static bool mcts_stop(const search *s) {
    const mcts_state *m = s->state;
    if (m->closing) return true;
    if (m->phase == MCTS_ROLLOUT) return false;
    return spent(s) && s->n_done > 0;
}

#define ROW(id, name, help)                                                                        \
    const search_method id = {                                                                     \
        {name, help, "bon_prm", true}, 32, mcts_begin, mcts_expand, NULL, mcts_keep, mcts_stop};
const search_method search_uct = {
    {"mcts_uct", "tree search, UCT with rollouts; without scores a rollout is worth its votes",
     "vote_prm", false},
    32,
    mcts_begin,
    mcts_expand,
    NULL,
    mcts_keep,
    mcts_stop};
ROW(search_puct, "mcts_puct", "tree search, PUCT with the policy's own prior (AlphaMath)")
ROW(search_az, "mcts_az", "tree search, AlphaZero's rule with root noise (OpenR)")
ROW(search_pucb, "mcts_pucb", "tree search, P-UCB over the largest return (RethinkMCTS)")
