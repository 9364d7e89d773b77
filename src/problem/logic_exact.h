/* Does a conclusion follow from a premise? Decided without a solver, for formulas whose quantifiers
 * do not stand inside each other. */
#ifndef RUNG_SRC_PROBLEM_LOGIC_EXACT_H
#define RUNG_SRC_PROBLEM_LOGIC_EXACT_H
#include "verify/step/formula.h"

typedef enum exact_answer { EXACT_NO = 0, EXACT_YES, EXACT_OPEN } exact_answer;
/* OPEN: nested quantifiers, too large, or more work than the budget. */
exact_answer exact_follows(const theory *t, int32_t premise, int32_t goal);
#endif
