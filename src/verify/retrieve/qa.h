/* What the table of verifiers takes from here. Internal header. */
#ifndef RUNG_SRC_VERIFY_RETRIEVE_QA_H
#define RUNG_SRC_VERIFY_RETRIEVE_QA_H
#include "rung/verify.h"

void key_qa(char key[128], const char *answer);
void check_qa(rung_check *out, const char *gold, const char *answer);
#endif
