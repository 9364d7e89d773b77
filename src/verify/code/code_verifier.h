/* What the table of verifiers takes from here. Internal header. */
#ifndef RUNG_SRC_VERIFY_CODE_CODE_VERIFIER_H
#define RUNG_SRC_VERIFY_CODE_CODE_VERIFIER_H
#include "rung/verify.h"

void extract_code(rung_answer *out, const char *text, size_t n);
void key_code(char key[128], const char *answer);
void key_code_in(char key[128], const char *meta, const char *answer);
void check_code(rung_check *out, const char *gold, const char *answer);
void check_code_in(rung_check *out, const char *meta, const char *gold, const char *answer);
#endif
