/* What the files of the driver share: many searches at once on one engine. */
#ifndef RUNG_SRC_SEARCH_DRIVE_H
#define RUNG_SRC_SEARCH_DRIVE_H
#include "rung/problem.h"
#include "rung/trace.h"
#include "search/search_impl.h"
#include "trace/flow.h"

typedef struct search_slot {
    search s;
    rung_arena *arena; /* the problem's strings */
    rung_problem problem;
    const rung_verifier *verifier;
    const rung_world *world;
    struct search_driver *w;
    const char *split;
    char delimiter[32];
    int32_t n_left;    /* generations and judgements not reported yet */
    int64_t live_root; /* of the scorer; -1 none */
    double t0;
    bool used, waits, failed; /* waits: for the reward model */
    double *vote;             /* judge: [2 n_want] sum and number of votes */
    int64_t *live_want;       /* reward model: [n_want] */
    struct search_job *job;   /* a live search: what is under way */
    bool stopping;            /* it ends with what it has, as soon as nothing is under way */
} search_slot;

typedef struct search_job { /* ud of a generation */
    rung_taker taker;
    struct search_job *next; /* of the slot */
    search_slot *slot;
    int32_t at;  /* the ask, or the place in want[] */
    bool judges; /* a judgement */
    int32_t n_steps, i0;
    const char *delimiter;
} search_job;

typedef struct search_driver {
    rung_store *store;
    rung_engine *engine;
    int64_t run;
    rung_search_opts o;
    const search_method *m;
    const rung_log *log;
    const char *generator;
    char name[96];
    rung_ids problems, have;
    size_t next, next_have;
    search_slot *slot, **waiting; /* [at_once]; waiting: scratch */
    int32_t n_out, n_waiting;
    rung_scorer *scorer;
    rung_buf user, text;
    rung_search_live *live; /* NULL: problems of the store */
    double spent_t;
    int64_t n_done, n_tok, n_failed, n_unscored;
} search_driver;

/* ---- search_score.c */
/* Fills want[] of a slot: at once, or by generations of a judge (n_left), or by the reward model
 * (waits). */
rung_status search_score_begin(search_slot *p, rung_error *err);
rung_status search_score_judged(search_slot *p, int32_t at, const rung_gen_out *o, rung_error *err);
void search_score_judged_all(search_slot *p);
/* All of p[0..n) wait for the reward model: one run of the scorer. */
rung_status search_score_waiting(search_slot **p, int32_t n, rung_scorer *scorer, rung_error *err);
void search_score_drop(search_slot *p); /* what the scorer holds of this problem */

/* ---- search_drive.c */
rung_status search_check(const rung_search_opts *o, const search_method *m, rung_error *err);
rung_status search_go_on(search_slot *p, rung_error *err); /* until it needs somebody, or is over */
rung_status search_take(rung_taker *t, const rung_gen_out *o, rung_error *err); /* of a job */
rung_status search_set_delimiter(search_slot *p, rung_error *err);
rung_status search_count_header(search_slot *p, rung_error *err);

/* ---- search_live.c */
rung_status search_live_tell(rung_search_live *l, rung_error *err); /* events since the last call */
rung_status search_live_end(rung_search_live *l, rung_error *err);
rung_status search_live_failed(rung_search_live *l, const rung_error *why);

/* ---- search_keep.c */
/* Key and verdict of a node that is done; strings in the search's arena. */
rung_status search_judge_node(void *ud, search *s, int32_t node, rung_error *err);
bool search_step_is_final(void *ud, const char *step, int32_t n_bytes);
/* Chooses, and writes traces, answer, events and cost in one transaction. */
rung_status search_keep_result(search_slot *p, rung_error *err);
#endif
