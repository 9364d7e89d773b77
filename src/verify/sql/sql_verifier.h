/* What the table of verifiers takes from here. Internal header. */
#ifndef RUNG_SRC_VERIFY_SQL_VERIFIER_H
#define RUNG_SRC_VERIFY_SQL_VERIFIER_H
#include "rung/verify.h"

void extract_sql(rung_answer *out, const char *text, size_t n);
void key_sql(char key[128], const char *answer);
void check_sql(rung_check *out, const char *gold, const char *answer);
void key_sql_in(char key[128], const char *meta, const char *answer);
void check_sql_in(rung_check *out, const char *meta, const char *gold, const char *answer);
#endif
