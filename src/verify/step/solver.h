/* Inside of the solver: the worker process and what is asked of it. */
#ifndef RUNG_SRC_VERIFY_STEP_SOLVER_H
#define RUNG_SRC_VERIFY_STEP_SOLVER_H
#include "rung/step.h"

typedef enum solver_answer {
    SOLVER_UNSAT = 0,
    SOLVER_SAT,
    SOLVER_UNKNOWN, /* Z3 gave up by itself */
    SOLVER_LIMIT,   /* rlimit or memory */
    SOLVER_BAD,     /* the query was not read: our error */
    SOLVER_DIED
} solver_answer;

/* Asks whether the query (SMT-LIB: declarations and assertions) is satisfiable. model: of a SAT
 * one, "x = 3, y = 1/2" by name; of an UNKNOWN one the reason. Nothing is asked where s is NULL:
 * UNKNOWN. Fails only when no worker can be started. */
rung_status solver_ask(solver_answer *out, rung_buf *model, rung_solver *s, const char *query,
                       size_t n, rung_error *err);

/* Appends what was asked, in SMT-LIB, and what came of it; out NULL: nothing. */
void solver_explain(rung_buf *out, const char *query, size_t n, solver_answer answer);

/* What the two processes say to each other: a head, then n bytes. */
typedef struct solver_head {
    uint32_t n;
    uint32_t rlimit; /* to the worker: the limit; from it: units used */
    uint32_t answer; /* from the worker */
} solver_head;
enum { SOLVER_QUERY_MAX = 1 << 20, SOLVER_MODEL_MAX = 1 << 14 };
/* The worker's life; never returns. */
void solver_work(int fd, uint32_t memory_mb) __attribute__((noreturn));
bool solver_read(int fd, void *p, size_t n);
bool solver_write(int fd, const void *p, size_t n);
#endif
