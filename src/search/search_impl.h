/* Inside of a search (docs/design/search.md). A search is the tree of one problem and a row of the
 * table of methods. It never touches a model: it asks for continuations and scores, and whoever
 * drives it (search_drive.c on an engine, a test by hand) delivers them. Results are taken in the
 * order of the asks, whatever the order of their arrival. Internal to this folder and its tests. */
#ifndef RUNG_SRC_SEARCH_IMPL_H
#define RUNG_SRC_SEARCH_IMPL_H
#include "rung/search.h"
#include "rung/verify.h"

typedef enum search_end {                  /* how far a node's text is */
                          SEARCH_OPEN = 0, /* a step has ended: may be continued */
                          SEARCH_CUT,      /* inside a step (early rejection) */
                          SEARCH_DONE      /* end of text, final answer, or out of length */
} search_end;

typedef struct search_node {
    int32_t parent, first, last, next; /* children in order; -1 none */
    int32_t depth, n_children;
    uint64_t addr;    /* of its draws: path of texts and draw numbers, never creation order */
    uint64_t path;    /* of its text alone: equal for equal prefixes */
    const char *text; /* this step; in the arena */
    const int32_t *tok;
    const float *logprob, *logprob_draw;
    int32_t n_bytes, n_tok, n_path_bytes, n_path_tok; /* path: with all steps before */
    int32_t n_drawn;                                  /* draws taken from it so far */
    double sum_logprob, min_logprob;                  /* of the step; NaN not known */
    double sum_entropy, sum_certainty;                /* over its tokens; NaN not known */
    double score;                                     /* of the step; NaN none */
    double weight; /* of a candidate, where it is not the aggregate of its scores; NaN */
    double prior, value_sum, value_max; /* tree search */
    double gen_sum, sub_sum;            /* AB-MCTS: scores of children, of all below */
    int32_t n_visits, n_closed, n_gen, n_sub,
        place;                            /* n_closed: children; place: among its siblings */
    int64_t live;                         /* of the scorer; -1 none */
    uint8_t action;                       /* rStar */
    uint8_t end, pruned, scratch, closed; /* closed: nothing below is left to select */
    uint8_t scored;                       /* asked for; score stays NaN when it could not be */
    const char *stop, *key;               /* key: of the answer, when done; "" none */
    rung_verdict verdict;
} search_node;

/* A wish for n continuations of a node. */
typedef struct search_ask {
    int32_t node, n, i0; /* draws i0 .. i0+n-1 of the node */
    int32_t max_tok;
    int32_t n_steps;         /* ends after this many steps; 0 = runs to the end of the text */
    double temperature;      /* < 0 = as configured */
    bool scratch;            /* thrown away: a look ahead, a rollout */
    bool extend;             /* the node's own step goes on (n = 1) */
    bool partial;            /* what the token limit ends is a cut step, not a done one */
    const char *cue;         /* put after the question for this ask alone; NULL none */
    struct search_text *out; /* [n] delivered */
    int32_t n_left;
} search_ask;

typedef struct search_text {
    const char *text;
    const int32_t *tok;
    const float *logprob, *logprob_draw;
    const float *entropy, *certainty; /* of each token's distribution; NULL not known */
    const rung_step *step;            /* how the text falls into steps; NULL: one */
    int32_t n_bytes, n_tok, n_steps;
    const char *stop; /* "eos" "stop" "length" "context" */
} search_text;

typedef struct search search;
typedef struct search_method {
    rung_search_info info;
    int32_t n;                                         /* N when none is given */
    rung_status (*begin)(search *s, rung_error *err);  /* NULL: nothing to prepare */
    rung_status (*expand)(search *s, rung_error *err); /* asks for continuations */
    rung_status (*score)(search *s, rung_error *err);  /* wants scores; NULL: of all new nodes */
    rung_status (*keep)(search *s, rung_error *err); /* selects, prunes, backs up; NULL: nothing */
    bool (*stop)(const search *s);                   /* after keep, before expand */
} search_method;
const search_method *search_method_find(const char *name);
const search_method *search_method_at(size_t i);

typedef enum search_need { SEARCH_NEEDS_TEXT, SEARCH_NEEDS_SCORES, SEARCH_IS_OVER } search_need;

struct search {
    const rung_search_opts *o; /* with every default filled in */
    const search_method *m;
    rung_arena *arena;
    uint64_t address; /* of the problem */
    search_node *node;
    int32_t n_nodes, cap_nodes;
    search_ask *ask;
    int32_t n_asks, cap_asks;
    int32_t *want, n_want, cap_want; /* nodes whose path needs scores */
    int32_t *fresh, n_fresh,
        cap_fresh;                   /* leaves of what was delivered last, in order of the asks */
    int32_t *done, n_done, cap_done; /* candidates for the answer, in order */
    int32_t *active, n_active, cap_active; /* the method's own list */
    rung_search_event *event;
    int32_t n_events, cap_events;
    int32_t round, phase;
    int32_t n_header_tok; /* of the prompt before the first step */
    bool over_budget, prompt_counted;
    rung_search_ledger ledger;
    void *state; /* the method's own, in the arena */
    /* the driver's: answer key and verdict of a node that is done; is this step's answer marked? */
    rung_status (*judge)(void *ud, search *s, int32_t node, rung_error *err);
    bool (*is_final)(void *ud, const char *step, int32_t n_bytes);
    void *ud;
    const char *delimiter; /* ends a step: "\n" or "\n\n" */
};

/* ---- search_core.c */
void search_opts_fill(rung_search_opts *o); /* defaults */
rung_status search_begin(search *s, const rung_search_opts *o, const search_method *m,
                         uint64_t address, rung_error *err);
/* Runs the hooks until text or scores are needed (ask[], want[]) or it is over. */
rung_status search_advance(search_need *need, search *s, rung_error *err);
/* The text of draw i (0-based in the ask). Copied. */
rung_status search_deliver(search *s, int32_t ask, int32_t i, const search_text *t,
                           rung_error *err);
void search_set_score(search *s, int32_t node, double score); /* NaN: could not be scored */
void search_clear(search *s); /* frees all but the arena, which is reset */

/* For methods: */
search_ask *search_want_text(search *s, int32_t node, int32_t n,
                             rung_error *err); /* NULL: E_NOMEM */
rung_status search_want_score(search *s, int32_t node, rung_error *err);
rung_status search_event(search *s, const char *kind, int32_t node, double value, int32_t n,
                         rung_error *err);
rung_status search_push(int32_t **list, int32_t *n, int32_t *cap, int32_t v, rung_error *err);
/* A candidate for the answer, now: judged, and told. */
rung_status search_finish(search *s, int32_t node, rung_error *err);
rung_status search_prune(search *s, int32_t node, rung_error *err);
/* Aggregate of the step scores on the path; EMPTY_SCORE without steps; a step that could not be
 * scored counts as 0. */
double search_value(const search *s, int32_t node);
void search_path_text(rung_buf *out, const search *s, int32_t node);
/* Node ids by value, largest first; equal values keep their order. Scratch value[n]. */
void search_sort(int32_t *id, double *value, int32_t n);
rung_rng search_rng(const search *s, uint64_t purpose, uint64_t i);
/* The steps that can follow a node at most; false: it is as deep as allowed. */
bool search_may_go_on(const search *s, int32_t node);

/* ---- search_choose.c: chosen index into done, -1 none */
rung_status search_choose(int32_t *chosen, search *s, rung_error *err);

/* Beta(a, b), a, b > 0, by two gamma draws; draws of r. */
double search_draw_gamma(rung_rng *r, double shape);
double search_draw_beta(rung_rng *r, double a, double b);
/* n draws with replacement in proportion to exp(log_w): ancestors of particles. */
rung_status search_resample(int32_t *out, int32_t n, const double *log_w, int32_t n_from,
                            rung_rng *r, rung_error *err);
/* P(the mode's true share is above a half, of it and the runner-up together): Beta posterior with a
 * flat prior of v1 against v2 votes. */
double search_mode_posterior(int64_t v1, int64_t v2);

/* ---- search_mcts.c, for rStar, too */
void search_backup(search *s, int32_t node, double value); /* to the root: visits, sum, largest */
void search_close(search *s, int32_t node); /* and all above whose children are all closed */
/* The leaf that the row's rule leads to; -1: all is closed. sim addresses its draws. */
int32_t search_select(search *s, int32_t sim);

/* ---- the rows, file by file */
extern const search_method search_greedy, search_sc, search_sc_weighted, search_sc_adaptive,
    search_bon, search_vote, search_beam, search_beam_sbs, search_beam_cots, search_dvts,
    search_early, search_best_first, search_tot_bfs, search_tot_dfs, search_particle, search_gibbs,
    search_uct, search_puct, search_az, search_pucb, search_ab, search_rstar;

/* ---- ledger */
void search_ledger_json(rung_buf *out, const rung_search_ledger *l);

#define SEARCH_EMPTY_SCORE (-1.0) /* of a path without steps: never beats a scored one */
#endif
