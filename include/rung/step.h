/* rung/step.h: the steps of a trace -> verdicts: arithmetic that a step states, algebra under
 * stated equations, proofs. docs/design/verify.md says what each verdict rests on. */
#ifndef RUNG_STEP_H
#define RUNG_STEP_H
#include "rung/store.h"
#ifdef __cplusplus
extern "C" {
#endif

/* A claim "left = right" found in a text: GSM8K's marks <<48/2=24>>, "12 * 3 = 36", "36/4 is 9",
 * "20% of 50 is 10", each neighbour pair of a chain "a = b = c". */
typedef enum rung_claim_kind {
    RUNG_CLAIM_MARK = 0, /* inside << >> */
    RUNG_CLAIM_PLAIN,    /* numbers only */
    RUNG_CLAIM_ALGEBRA   /* with letters: not decided here, see rung_step_check */
} rung_claim_kind;
typedef struct rung_step_claim {
    rung_claim_kind kind;
    int32_t begin, end;            /* bytes [begin, end) of the text: the whole claim */
    int32_t left_end, right_begin; /* the left side ends, the right side begins */
    char relation[4];              /* "=" "~" (about) "<" "<=" ">" ">=" "!=" "is" */
    rung_verdict verdict;
    const char *rule;   /* "exact" "percent" "rounded" "float"; "" when unknown */
    const char *reason; /* why unknown, or why wrong in a word; "" */
    char value[128];    /* of the left side, in lowest terms: "7/2"; "" when it was not read */
    char right[128];    /* of the right side */
} rung_step_claim;
typedef struct rung_claim_opts {
    size_t struct_size;
    bool strict; /* = means equal: what only holds rounded is wrong */
} rung_claim_opts;
#define RUNG_CLAIM_OPTS_INIT                                                                       \
    { .struct_size = sizeof(rung_claim_opts) }
/* Claims in the order of their begin; n_max of them, marks before others, when there are more.
 * Returns how many there are. Any
 * bytes; time and memory linear in n, work per claim bounded; thread-safe. 0 on lack of memory. */
size_t rung_step_claims(rung_step_claim *out, size_t n_max, const char *text, size_t n,
                        const rung_claim_opts *opts);

/* The solver: Z3 in a process of its own. Work is counted in Z3's own resource units, so that a
 * verdict does not depend on the machine's load; a query is read by a fresh context, so that it
 * does not depend on what was asked before. One caller at a time. */
typedef struct rung_solver rung_solver;
typedef struct rung_solver_opts {
    size_t struct_size;
    uint32_t rlimit;    /* resource units of one query; 0 = 2,000,000, about 4 s */
    uint32_t memory_mb; /* of the process; 0 = 1024 */
    double wall_s;      /* a stop for what rlimit does not count; 0 = 60. Counted as unknown */
} rung_solver_opts;
#define RUNG_SOLVER_OPTS_INIT                                                                      \
    { .struct_size = sizeof(rung_solver_opts) }
rung_status rung_solver_new(rung_solver **out, const rung_solver_opts *opts, rung_error *err);
void rung_solver_free(rung_solver *s);
typedef struct rung_solver_counts {
    int64_t n, n_unsat, n_sat, n_unknown; /* queries; of the unknown: */
    int64_t n_limit, n_died;              /* out of rlimit or memory; killed or crashed */
    int64_t rlimit;                       /* units in all */
} rung_solver_counts;
void rung_solver_counted(rung_solver_counts *out, const rung_solver *s);

/* What is known of a step. */
typedef struct rung_step_verdict {
    rung_verdict verdict;
    const char *rule;   /* "arithmetic" "identity" "z3" ...; "" when unknown */
    const char *reason; /* why unknown or wrong; "" */
    const char *note;   /* a counter-model: "x = 3, y = 1/2"; "" none. In the arena */
    const char *key; /* class of what the step states: equal where two steps claim the same of the
                      * same values, or give a proof the same label; "" none. In the arena */
    int32_t begin, end; /* bytes of the step that decided; equal: the whole step */
    int32_t n_claims, n_wrong, n_unknown;
} rung_step_verdict;

/* The steps of a trace, and what they rest on. */
typedef struct rung_step_task {
    size_t struct_size;
    const char *question; /* logic: facts and hypothesis, or declarations and assumptions */
    const char *given;    /* step: equations that hold, a line each; NULL none */
    const char *answer;   /* logic: the right last step's label; NULL not known */
    const char *const *step;
    const int32_t *n_bytes;
    int32_t n_steps;
    bool strict;       /* step: = means equal */
    rung_buf *explain; /* gets lines of text: each claim, how it was read, what decided; NULL */
} rung_step_task;
#define RUNG_STEP_TASK_INIT                                                                        \
    { .struct_size = sizeof(rung_step_task) }

/* A table of verifiers of steps: each labels the steps of a trace. A step is judged by itself: one
 * that follows from a wrong earlier step is right. Whoever wants hard labels takes the verdicts up
 * to the first wrong one and leaves unknown steps without a label. */
typedef struct rung_step_verifier {
    const char *name, *help, *version;
    const char *source; /* of a label made from it: "tool", "formal" */
    /* out[n_steps]; notes in a. solver NULL: what needs it is unknown. Fails only for lack of
     * memory or of the solver, never because of the text. */
    rung_status (*check)(rung_step_verdict *out, rung_arena *a, const rung_step_task *task,
                         rung_solver *solver, rung_error *err);
} rung_step_verifier;
const rung_step_verifier *rung_step_verifier_at(size_t i); /* NULL past the end */
const rung_step_verifier *rung_step_verifier_find(const char *name);
/* The class of a whole: its label's where a step gives one, else of all that the steps state, in
 * order; "" when they state nothing. */
void rung_step_key(char key[128], const rung_step_verdict *v, int32_t n_steps);
/* Index of the first wrong step; -1 none. */
int32_t rung_step_first_wrong(const rung_step_verdict *v, int32_t n_steps);

#ifdef __cplusplus
}
#endif
#endif
