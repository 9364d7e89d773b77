/* Is a GBNF text a grammar that libllama takes? Says where it is not, which libllama does not. */
#ifndef RUNG_SRC_SAMPLER_GBNF_H
#define RUNG_SRC_SAMPLER_GBNF_H
#include "rung/base.h"

#include <stdbool.h>

/* E_FORMAT: "grammar, line 3, column 7: ...". *names_tokens: it holds <token> or <[id]> elements;
 * whether the vocabulary has them is not looked at. */
rung_status rung_gbnf_check(bool *names_tokens, const char *text, rung_error *err);
#endif
