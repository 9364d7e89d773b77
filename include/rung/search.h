/* rung/search.h: choose an answer from sampled traces. A table of methods; all see the same pool.
 */
#ifndef RUNG_SEARCH_H
#define RUNG_SEARCH_H
#include "rung/reward.h"
#ifdef __cplusplus
extern "C" {
#endif

/* One candidate as a method sees it. */
typedef struct rung_candidate {
    const char *key; /* "" = no answer: never forms a class (search.md 2.2) */
    bool correct;
    double prm, orm, confidence; /* aggregated; NaN none */
    int64_t tokens;
} rung_candidate;
/* Which candidate of pool[0..n) is chosen; -1 = no answer. Ties: smallest index (first come). Pure.
 */
typedef struct rung_method {
    const char *name, *help;
    int (*choose)(const rung_candidate *pool, int n);
    bool needs_prm, needs_orm, needs_confidence;
} rung_method;
const rung_method *rung_method_at(size_t i); /* single, majority, bon_prm, bon_orm, bon_confidence,
                                                vote_prm, vote_orm, vote_confidence, oracle */
const rung_method *rung_method_find(const char *name);

#ifdef __cplusplus
}
#endif
#endif
