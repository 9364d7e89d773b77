/* Is a program's output the wanted one? Internal header. */
#ifndef RUNG_SRC_VERIFY_CODE_COMPARE_H
#define RUNG_SRC_VERIFY_CODE_COMPARE_H
#include "rung/code.h"

/* why: where they part, in one line; untouched when they are the same. */
bool output_same(char why[320], const char *got, size_t n_got, const char *want, size_t n_want,
                 rung_code_compare how, double tolerance);
#endif
