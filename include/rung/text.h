/* rung/text.h: logprobs of given texts.
 */
#ifndef RUNG_TEXT_H
#define RUNG_TEXT_H
#include "rung/model.h"
#ifdef __cplusplus
extern "C" {
#endif

/* ln p of given texts, all queued before the engine runs (nothing else may be queued). on_text
 * comes once a text, in any order; what it is given is borrowed for the call. E_LIMIT, before
 * anything is read: a text does not fit the context (detail says which). */
typedef struct rung_text {
    const char *system, *context; /* as a prompt's system and user; context NULL: the text alone, as
                                     it is */
    const char *text;
    bool end; /* the model's end token counts, too */
} rung_text;
typedef struct rung_text_out {
    int64_t i;
    const int32_t *tok;
    const float *logprob; /* [n_tok]: ln p(tok | context and what came before), T = 1 */
    int32_t n_tok; /* of the text that have one: all, or all but the first (no context, no BOS) */
    double sum;
    int32_t n_new; /* tokens computed */
} rung_text_out;
rung_status rung_text_logprobs(rung_engine *e, const rung_text *text, int64_t n,
                               rung_status (*on_text)(void *ud, const rung_text_out *o,
                                                      rung_error *err),
                               void *ud, rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
