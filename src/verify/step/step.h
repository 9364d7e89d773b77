/* Inside of the verifiers of steps: the table's rows. */
#ifndef RUNG_SRC_VERIFY_STEP_STEP_H
#define RUNG_SRC_VERIFY_STEP_STEP_H
#include "rung/step.h"

enum { STEP_CLAIMS_MAX = 256 }; /* of one step; more are counted, not decided */

void step_set(rung_step_verdict *v, rung_verdict verdict, const char *rule, const char *reason);
rung_status step_check(rung_step_verdict *out, rung_arena *a, const rung_step_task *task,
                       rung_solver *solver, rung_error *err);
rung_status logic_check(rung_step_verdict *out, rung_arena *a, const rung_step_task *task,
                        rung_solver *solver, rung_error *err);
#endif
