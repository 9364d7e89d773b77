/* A grammar over a model's tokens: libllama's grammar sampler behind checks. */
#ifndef RUNG_SRC_SAMPLER_GRAMMAR_H
#define RUNG_SRC_SAMPLER_GRAMMAR_H
#include "model/model_impl.h"

typedef struct grammar grammar; /* where one text is in a grammar */

/* At the start of the text. E_FORMAT with line and column. */
rung_status rung_grammar_new(grammar **out, const rung_model *m, const char *text, rung_error *err);
/* *to (NULL, or an earlier copy: replaced) becomes a copy of the state. */
rung_status rung_grammar_copy(grammar **to, const grammar *from, rung_error *err);
void rung_grammar_free(grammar *g);
/* Sets logit = -inf where a token may not come next. Reads only: many threads may ask at once. */
void rung_grammar_apply(const grammar *g, llama_token_data *cand, size_t n);
/* All tokens at once: ok[id] = may come next. Kept for the grammar's other texts. */
void rung_grammar_mask(bool *ok, const grammar *g);
/* tok, which apply let through, has come. *ended: nothing can follow but the end of the text. */
rung_status rung_grammar_accept(grammar *g, int32_t tok, bool *ended, rung_error *err);
#endif
