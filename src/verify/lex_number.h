/* Numbers of the lexer: one place for all ways of writing them. */
#ifndef RUNG_SRC_VERIFY_LEX_NUMBER_H
#define RUNG_SRC_VERIFY_LEX_NUMBER_H
#include "verify/lex.h"
bool lex_number(tok *t, lexer *l); /* false: no number begins here */
#endif
