/* rung/search.h: spend tokens at test time. Two tables: methods that choose an answer from a pool
 * of sampled traces, and searches that decide what to sample. One driver, one ledger for all. */
#ifndef RUNG_SEARCH_H
#define RUNG_SEARCH_H
#include "rung/reward.h"
#ifdef __cplusplus
extern "C" {
#endif

/* One candidate as a method sees it. */
typedef struct rung_candidate {
    const char *key; /* "" = no answer: never forms a class (search.md 2.2) */
    bool correct;
    double prm, orm, confidence; /* aggregated; NaN none */
    int64_t tokens;
} rung_candidate;
/* Which candidate of pool[0..n) is chosen; -1 = no answer. Ties: smallest index (first come). Pure.
 */
typedef struct rung_method {
    const char *name, *help;
    int (*choose)(const rung_candidate *pool, int n);
    bool needs_prm, needs_orm, needs_confidence;
} rung_method;
const rung_method *rung_method_at(size_t i); /* single, majority, bon_prm, bon_orm, bon_confidence,
                                                vote_prm, vote_orm, vote_confidence, oracle */
const rung_method *rung_method_find(const char *name);

/* --- searches -------------------------------------------------------------------------------- */

/* A row: hooks expand, score, keep, stop (src/search/search_impl.h). */
typedef struct rung_search_info {
    const char *name, *help;
    const char *select; /* the pool method that takes the answer from what is finished */
    bool needs_score;
} rung_search_info;
bool rung_search_at(rung_search_info *out, size_t i); /* false past the end */
bool rung_search_find(rung_search_info *out, const char *name);

/* Where step scores come from. */
#define RUNG_SEARCH_SCORERS(X)                                                                     \
    X(NONE, "none", "no step scores")                                                              \
    X(REWARD, "reward", "a reward model, read as the text grows")                                  \
    X(CONFIDENCE, "confidence", "the policy's least token probability in the step")                \
    X(LOGPROB, "logprob", "the policy's mean token probability in the step (geometric)")           \
    X(TRUTH, "truth",                                                                              \
      "the world's own checker, flipped with a given chance: for tests and bounds")                \
    X(JUDGE, "judge", "the policy asked about the steps so far: sure, likely, impossible")         \
    X(ENSEMBLE, "ensemble", "mean of the reward model and the policy's mean token probability")    \
    X(ENTROPY, "entropy", "exp(-mean entropy) of the policy's distributions in the step")          \
    X(CERTAINTY, "self_certainty", "1 - exp(-mean KL from uniform) of the same distributions")
typedef enum rung_search_scorer {
#define X(id, name, help) RUNG_SEARCH_SCORE_##id,
    RUNG_SEARCH_SCORERS(X)
#undef X
        RUNG_SEARCH_SCORER_COUNT
} rung_search_scorer;
const char *rung_search_scorer_name(rung_search_scorer s);
bool rung_search_scorer_find(rung_search_scorer *out, const char *name);

/* The ledger (search.md 2.13): what the answer to one problem cost. */
typedef struct rung_search_ledger {
    int64_t n_gen;          /* generations, scratch ones too */
    int64_t prompt_tok;     /* of their prompts, each paying its whole prefix */
    int64_t prompt_new_tok; /* of these, computed by the engine */
    int64_t gen_tok;
    int64_t scored_tok;     /* texts that a reward model was asked about, from their beginning */
    int64_t scored_new_tok; /* of these, new ones: what incremental scoring reads */
    int64_t judge_in_tok, judge_out_tok;
    double flops_cached, flops_naive; /* shared prefixes once; every generation its whole prefix */
    double tool_s, wall_s;
} rung_search_ledger;
void rung_search_ledger_add(rung_search_ledger *sum, const rung_search_ledger *x);
rung_status rung_search_ledger_read(rung_search_ledger *out, const char *json, rung_error *err);
/* A model as the ledger sees it: non-embedding parameters, layers, attention width. */
typedef struct rung_flops_model {
    double n_params, n_layer, width;
} rung_flops_model;
/* FLOPs of processing the tokens at positions from .. to-1: 2P + 4 L D c each. */
double rung_flops(const rung_flops_model *m, int64_t from, int64_t to);

typedef struct rung_search_opts {
    size_t struct_size;
    const char *method;
    int32_t n;          /* N: samples, beams, particles, simulations; 0 = 4 */
    int32_t width;      /* M: children of a node; 0 = 4 */
    int32_t depth;      /* most rounds, or steps of a trace; 0 = 40 */
    int32_t step_tok;   /* tokens of a step; 0 = 256 */
    int32_t max_tok;    /* tokens of a trace; 0 = 2048 */
    int64_t budget_tok; /* sampled tokens of a problem; the round that passes it is the last; 0 = no
                           limit */
    int32_t lookahead;  /* steps rolled out greedily before a candidate is scored */
    int32_t tau;        /* early rejection: tokens before the partial score; 0 = 64 */
    double tau_share;   /* > 0: tau = this share of the running median step length */
    bool rescore;       /* early rejection: score the finished step once more */
    bool replicate;     /* as the reference code of a method has it, its slips included */
    double explore;     /* c of a selection rule; 0 = the rule's */
    double confidence;  /* adaptive: posterior of the mode at which sampling stops; 0 = .95 */
    double threshold;   /* depth first: a state below it is left; 0 = .5 */
    int32_t iterations; /* particle Gibbs; 0 = 2 */
    int32_t n_ref;      /* particle Gibbs: reference particles; 0 = 1 */
    bool draw;          /* particles: draw the answer by weight, else the largest */
    const char *select; /* pool method; NULL = the row's */
    rung_aggregate_id aggregate;
    rung_search_scorer scorer;
    double flip; /* of truth: chance that a step's verdict is turned around */
    rung_reward *reward;
    bool reward_on_policy; /* its base is the policy: tokens are handed over as they were drawn */
    int64_t score_model;   /* row of the reward model in the store: step scores are kept; 0 = not */
    rung_flops_model policy_size, reward_size;
    rung_sampling sampling;
    uint64_t seed;
    const char *system, *suffix, *stop;
    const char *split; /* how text is cut into steps; NULL = "line" for worlds, "blank" */
    rung_filter problems;
    int64_t reuse_run; /* whole traces of this sampling run stand for the same draws (same policy,
                          sampling, length and seed: then exactly); 0 = none */
    int32_t at_once;   /* problems searched at once; 0 = 32 */
    const char *generator;
    const rung_turn *turn; /* earlier turns of the conversation, before every question */
    int32_t n_turns;
    const char *prefix; /* how the reply has begun: no part of it is searched; NULL none */
} rung_search_opts;
#define RUNG_SEARCH_OPTS_INIT                                                                      \
    {                                                                                              \
        .struct_size = sizeof(rung_search_opts), .method = "beam",                                 \
        .aggregate = RUNG_AGGREGATE_LAST, .sampling = RUNG_SAMPLING_INIT                           \
    }
/* Searches every problem of o->problems that run_id has no answer to yet. A problem is a unit: its
 * answer, traces, events and cost are written in one transaction. */
rung_status rung_search_run(rung_store *s, rung_engine *e, int64_t run_id,
                            const rung_search_opts *o, const rung_log *log, rung_error *err);

/* --- questions that come one by one, on an engine that others use, too (a server) ------------- */

/* What the ud of every generation on such an engine begins with: who takes the sample. */
typedef struct rung_taker {
    rung_status (*take)(struct rung_taker *t, const rung_gen_out *o, rung_error *err);
} rung_taker;
typedef struct rung_search_host {
    rung_engine *engine; /* its on_gen hands each sample to the rung_taker that is its ud */
    rung_scorer *scorer; /* of opts.reward; NULL none */
    rung_store *store;   /* NULL: nothing is kept; else finished searches are, under run */
    int64_t run;
    const rung_log *log;
} rung_search_host;
typedef struct rung_search_answer {
    const char *text; /* of the chosen trace, without the prefix; "" none */
    int32_t n_bytes;
    const int32_t *tok; /* NULL not known */
    const float *logprob;
    int32_t n_tok;
    const char *key, *stop; /* canonical answer, "" none; "length": it is not finished */
    double score;           /* aggregate of its step scores; NaN none */
    const double *step_score;
    const int32_t *step_bytes; /* [n_steps] NaN: could not be scored; where each step ends */
    int32_t n_steps, n_traces, n_nodes, n_prompt_tok;
    int64_t problem; /* where it is kept; 0 not */
    bool stopped;    /* by rung_search_live_stop: what there was by then */
    rung_search_ledger ledger;
} rung_search_answer;
typedef struct rung_search_live rung_search_live;
typedef struct rung_search_live_cb {
    /* NULL, or each event as the tree grows */
    rung_status (*on_event)(void *ud, const rung_search_event *e, rung_error *err);
    /* Once, at the end: the answer, or NULL and why. It may free the search. */
    void (*on_answer)(void *ud, const rung_search_answer *a, const rung_error *why);
    void *ud;
} rung_search_live_cb;
/* Queues the first work. p: question, verifier, world; set, key: under which it is kept. Strings of
 * p and o are copied. After a failure here on_answer is not called. */
rung_status rung_search_live_new(rung_search_live **out, const rung_search_host *h,
                                 const rung_search_opts *o, const rung_problem *p,
                                 const rung_search_live_cb *cb, rung_error *err);
/* It wants scores of the reward model. */
bool rung_search_live_waits(const rung_search_live *l);
/* Scores of those that wait, in one run of the scorer, outside rung_engine_run; then they go on. */
rung_status rung_search_live_score(rung_search_live *const *l, int32_t n, rung_scorer *scorer,
                                   rung_error *err);
/* No more work is begun: it answers with what it has (stop), or with nothing (cancel), soon. */
void rung_search_live_stop(rung_search_live *l);
void rung_search_live_cancel(rung_search_live *l);
void rung_search_live_free(rung_search_live *l); /* after on_answer, or after rung_engine_clear */

/* The search tree of one problem from its events. Nodes are numbered in the order of creation; 0 is
 * the root. Strings in the arena. */
typedef struct rung_tree_node {
    int32_t parent;      /* -1: the root */
    const char *text;    /* of the step */
    double score, value; /* NaN none; value: mean backed-up value of tree search */
    int32_t n_visits;
    bool kept, pruned, done, scratch, chosen;
} rung_tree_node;
typedef struct rung_tree {
    rung_tree_node *node;
    int32_t n;
} rung_tree;
rung_status rung_search_replay(rung_tree *out, rung_arena *a, rung_store *s, int64_t run,
                               int64_t problem, rung_error *err);
/* Its nodes but the root as a JSON array, appended: node, parent, text, score, value, visits, kept,
 * pruned, done, scratch, chosen. */
void rung_tree_json(rung_buf *out, const rung_tree *t);
/* One line a node, indented: step, score, what became of it; appended. */
void rung_tree_print(rung_buf *out, const rung_tree *t);

#ifdef __cplusplus
}
#endif
#endif
