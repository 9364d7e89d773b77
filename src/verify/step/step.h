/* Inside of the verifiers of steps: the table's rows. */
#ifndef RUNG_SRC_VERIFY_STEP_STEP_H
#define RUNG_SRC_VERIFY_STEP_STEP_H
#include "rung/step.h"

enum { STEP_CLAIMS_MAX = 256 }; /* of one step; more are counted, not decided */

/* Marks of keys: claims of a step, a formula that a step concludes, a label, all steps of a text.
 */
enum { STEP_KEY_CLAIMS = 'a', STEP_KEY_FORMULA = 'f', STEP_KEY_LABEL = 'l', STEP_KEY_ALL = 'w' };
/* A class (answer.h: key_set) in the arena; "" for n = 0. */
rung_status step_key(const char **out, rung_arena *a, char mark, const char *text, size_t n,
                     rung_error *err);
void step_set(rung_step_verdict *v, rung_verdict verdict, const char *rule, const char *reason);
rung_status step_check(rung_step_verdict *out, rung_arena *a, const rung_step_task *task,
                       rung_solver *solver, rung_error *err);
rung_status logic_check(rung_step_verdict *out, rung_arena *a, const rung_step_task *task,
                        rung_solver *solver, rung_error *err);
#endif
