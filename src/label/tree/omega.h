/* OmegaPRM's tree over one problem (labels.md 3), its bookkeeping alone: which prefix to estimate
 * next, which pair (state, wrong rollout) to search, where each rollout first goes wrong. Knows no
 * store and no model: whoever drives it gives it rollouts. Linear-log in their number.
 *
 *   omega_give(root's rollouts); while (omega_next(&node)) omega_give(rollouts of node)
 *
 * Repairs of labels.md 3.8: only wrong rollouts of nodes with 0 < MC < 1 are candidates and each
 * pair is searched once; offsets are always those of r from s; the leaf of a final wrong unit is
 * added; nothing after it is; the sum of visits runs over all nodes; equal prefixes are one node,
 * whatever spans they came in; unknown outcomes are neither right nor wrong. */
#ifndef RUNG_SRC_OMEGA_H
#define RUNG_SRC_OMEGA_H
#include "base/keymap.h"
#include "rung/label.h"

typedef struct omega_roll {
    const char *text; /* of omega's arena once given */
    int32_t n_bytes, n_tok;
    rung_verdict verdict;
} omega_roll;

typedef struct omega_node {
    uint64_t hash[2]; /* of the whole prefix */
    int32_t parent;   /* left, when it was added; -1 at the root */
    const char *edge; /* the text from parent to here: a view of a rollout */
    int32_t n_edge;
    int32_t n, c, n_unknown; /* n = known outcomes */
    bool is_known, is_leaf;  /* leaf: the end of a whole wrong rollout */
    int32_t n_visits;
    int32_t *pool, n_pool, at_pool; /* its wrong rollouts, best first; those before at are spent */
    int64_t mark;                   /* the driver's: id of the node in the store */
} omega_node;

typedef struct omega_search { /* one (s, r), as it ended */
    int32_t s, roll;
    int32_t n_units, first_wrong; /* unit index in r */
    int32_t leaf;                 /* node s + r[0..first_wrong] */
} omega_search;

typedef struct omega_opts {
    double theta;                    /* a prefix leads to answers when MC > theta */
    double alpha, beta, len, c_puct; /* Q = alpha^(1-MC) beta^(tokens/len) */
    int32_t limit;                   /* searches */
    const char *units;               /* a splitting of steps, or words:N */
} omega_opts;

typedef struct omega {
    omega_opts o;
    rung_arena *arena;
    omega_node *node;
    int32_t n_nodes, cap_nodes;
    omega_roll *roll;
    int32_t n_rolls, cap_rolls;
    omega_search *search;
    int32_t n_searches, cap_searches;
    int32_t n_probes, n_reused, n_abandoned;
    keymap of_prefix;            /* hash -> node + 1 */
    struct omega_bucket *bucket; /* of nodes with N visits, a heap by their best Q */
    int32_t n_buckets;
    /* the search under way */
    bool searching;
    int32_t s, r, lo, hi, left, n_units, cap_units;
    int32_t *bound;    /* [n_units + 1] byte offsets in r */
    uint64_t (*at)[2]; /* [n_units + 1] prefix hashes */
    int32_t probe;     /* node whose rollouts are wanted, -1 none */
} omega;

rung_status omega_init(omega *o, const omega_opts *opts, rung_error *err); /* node 0 = the root */
void omega_clear(omega *o);
/* The rollouts of a node, once. Texts are copied. */
rung_status omega_give(omega *o, int32_t node, const omega_roll *roll, int32_t n, rung_error *err);
/* The node whose rollouts are wanted next, -1: the limit is reached or the pool empty. */
rung_status omega_next(int32_t *node, omega *o, rung_error *err);
double omega_mc(const omega_node *v);
/* Q + U that a pair has now. */
double omega_value(const omega *o, int32_t s, int32_t roll);
/* Boundaries of units: *bound[0..*n], from 0 to n_bytes; *cap as allocated. Empty text: 0 units. */
rung_status omega_units(int32_t **bound, int32_t *n, int32_t *cap, const char *how,
                        const char *text, int32_t n_bytes, rung_error *err);
#endif
