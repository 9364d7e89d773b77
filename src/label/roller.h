/* The rollout budgeter, beneath every labeler that samples. A job is a prefix; whoever asks for m
 * outcomes of it gets the verdicts of rollouts 0..m-1, read from the store where somebody made them
 * before, made where not, and never made twice: rollouts are rows keyed (run of the rollouts,
 * prefix, i), their draws addressed by (seed, problem and path, i, token).
 *
 * Jobs that want more wait in a heap by their key, smallest first. Rows and labels are written
 * together in short transactions, so that a label is never there before its rollouts. */
#ifndef RUNG_SRC_ROLLER_H
#define RUNG_SRC_ROLLER_H
#include "label/rollout_rule.h"

enum { ROLL_MISSING = 255 };
typedef enum { ROLL_IDLE = 0, ROLL_WAITS, ROLL_RUNS, ROLL_FAILED } roll_state;

typedef struct roll_job { /* the labeler's memory; filled by roller_job */
    int64_t node, problem;
    int32_t cap;        /* most outcomes that will ever be asked for */
    int32_t want, have; /* i < want asked for; i < have known */
    uint8_t *verdict;   /* [cap], ROLL_MISSING */
    int32_t *n_tok;     /* [cap] */
    char **text;        /* [cap] of the continuations; NULL unless asked for */
    double key;
    int64_t order; /* between equal keys */
    struct roll_job *next;
    bool with_text, is_read;
    roll_state state;
    int64_t owner; /* the labeler's index */
} roll_job;

typedef struct roll_counts {
    int32_t n, c, wrong, unknown;
    int64_t n_tok;
} roll_counts;
/* Of outcomes i < m. */
roll_counts roll_job_counts(const roll_job *j, int32_t m);

typedef struct roller roller;
typedef struct roller_opts {
    rung_store *store;
    rung_engine *engine;
    int64_t run; /* that pays */
    const rung_mc_opts *o;
    const rung_log *log;
    /* The outcomes that were asked for are there. May ask for more, of this or of other jobs. */
    rung_status (*ready)(void *ud, roll_job *j, rung_error *err);
    /* EAGER (NULL: never): do the outcomes so far, in whatever order, settle it? */
    bool (*settled)(void *ud, const roll_job *j);
    void *ud;
} roller_opts;
rung_status roller_new(roller **out, const roller_opts *o, rung_error *err);
void roller_free(roller *r);
/* A job; with_text: continuations are kept until roll_job_clear. */
void roll_job_init(roll_job *j, int64_t node, int64_t problem, int32_t cap, bool with_text);
/* An outcome that is known from elsewhere (a trace of the same model is a rollout from the bare
 * problem): the first that is missing. Before it is asked for. */
rung_status roll_job_know(roll_job *j, rung_verdict verdict, int32_t n_tok, rung_error *err);
void roll_job_clear(roll_job *j);
/* Make outcomes i < want known, then call ready. */
rung_status roller_ask(roller *r, roll_job *j, int32_t want, double key, rung_error *err);
/* A label row, in the transaction of the rollouts that it rests on or in a later one. Strings must
 * live as long as the roller. */
rung_status roller_label(roller *r, const rung_label *l, rung_error *err);
/* Until nobody asks for anything, or the budget is spent. */
rung_status roller_run(roller *r, rung_error *err);
/* Rows that wait, now. */
rung_status roller_flush(roller *r, rung_error *err);
rung_arena *roller_arena(roller *r);        /* emptied by each flush */
void roller_total(roller *r, int64_t more); /* to the total that progress shows */
typedef struct roller_stats {
    int64_t n_made, n_found, n_tok_made, n_tok_found, n_cancelled, n_tok_cancelled, n_over_budget;
} roller_stats;
roller_stats roller_get_stats(const roller *r);
const char *roller_name(const roller *r); /* who completes */
#endif
