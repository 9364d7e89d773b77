/* When has a prefix had enough rollouts? Pure rules over counts; the store, the engine and the
 * simulation in tests all ask the same ones. A look happens after m = 1, 2, 4, 8, ..., K outcomes
 * (FIXED: after K), in the order of their numbers, so that what a label says depends on the draws
 * alone and not on which rollout came back first. */
#ifndef RUNG_SRC_ROLLOUT_RULE_H
#define RUNG_SRC_ROLLOUT_RULE_H
#include "rung/label.h"

typedef struct rollout_rule {
    rung_stopping stopping;
    int32_t k; /* at most */
    double theta, level, margin, width;
} rollout_rule;

rollout_rule rollout_rule_of(const rung_mc_opts *o); /* defaults filled in */
/* The look after the one at m (0: the first). */
int32_t rollout_rule_next(const rollout_rule *r, int32_t m);
/* After m outcomes, c correct and `wrong` wrong among them, the others unknown. */
bool rollout_rule_settled(const rollout_rule *r, int32_t m, int32_t c, int32_t wrong);
/* 1[c / known > theta]; -1 when nothing is known. */
int32_t rollout_rule_hard(const rollout_rule *r, int32_t c, int32_t wrong);
/* Chance that the rest of the K rollouts turns the label that is likelier now: what the next one is
 * worth. */
double rollout_rule_doubt(const rollout_rule *r, int32_t m, int32_t c, int32_t wrong);
#endif
