/* Claims with letters: identities, and what follows from equations that are stated. */
#ifndef RUNG_SRC_VERIFY_STEP_ALGEBRA_H
#define RUNG_SRC_VERIFY_STEP_ALGEBRA_H
#include "rung/step.h"
#include "verify/step/formula.h"

enum { GIVEN_MAX = 64 };
typedef struct algebra {
    theory t;
    int32_t given[GIVEN_MAX];
    size_t n_given;
    bool contradictory;
    rung_solver *solver;
    rung_arena *arena;
    rung_buf *explain; /* NULL none */
} algebra;
/* given: text whose claims with letters hold, and lines "int x, y"; NULL none. */
rung_status algebra_init(algebra *a, const char *given, rung_solver *solver, rung_arena *arena,
                         rung_buf *explain, rung_error *err);
void algebra_clear(algebra *a);
/* Decides a claim of kind ALGEBRA in text; *note: the counter-model of a wrong one, else "". */
rung_status algebra_decide(rung_step_claim *c, const char **note, algebra *a, const char *text,
                           size_t n, rung_error *err);
#endif
