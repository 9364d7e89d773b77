/* The scorer from inside reward/: layouts made elsewhere, and word of each trace as it is done. */
#ifndef RUNG_SRC_REWARD_SCORER_H
#define RUNG_SRC_REWARD_SCORER_H
#include "reward/reward_impl.h"

const reward_plan *reward_scorer_plan(const rung_scorer *s);
/* A live trace of a finished layout, which is taken on success. Steps before `first` are not
 * scored (a log-ratio that accumulates: they are, or the later ones would begin at nothing). */
rung_status reward_scorer_add(int64_t *live, rung_scorer *s, reward_layout *take, int32_t first,
                              rung_error *err);
/* done: called once for each trace that had steps to score, as soon as they are; it may call get.
 */
typedef struct reward_scorer_cb {
    rung_status (*done)(void *ud, int64_t live, rung_error *err);
    void *ud;
} reward_scorer_cb;
rung_status reward_scorer_run(rung_scorer *s, const reward_scorer_cb *cb, rung_error *err);
#endif
