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

/* GenPRM's progress: a step against the prefix before it, both by as many outcomes. */
typedef struct progress_rule {
    rung_stopping stopping;
    bool difference;
    double eps, level;
    double gain[2], loss[2]; /* lines p = gain q - loss: a step that surely loses progress lies
                              * below the first, one that surely keeps it above the second */
} progress_rule;
typedef struct progress_counts {
    int32_t c, wrong;
    bool is_sure; /* a verdict: no rollouts stand behind it */
} progress_counts;
/* eps 0: .8 of the chance before, or a loss of .3; level 0: .8; margin: how far below eps a step
 * surely loses progress, 0: 5/8 of eps (ratio: from .8 to .3), or as far again (difference). */
progress_rule progress_rule_of(rung_stopping stopping, bool difference, double eps, double level,
                               double margin);
int32_t progress_next(const progress_rule *r, int32_t m, int32_t k);
/* 1, 0, or -1: nothing is known. *soft: the ratio, or 1 + the difference, cut to [0, 1]. */
int32_t progress_hard(double *soft, const progress_rule *r, progress_counts step,
                      progress_counts before);
/* After m of k outcomes each. EXACT: the rest cannot change the label. CONFIDENCE: or the counts
 * exclude the other kind of step: "right" when a sure loss is excluded, "wrong" when a step without
 * any loss is. */
bool progress_settled(const progress_rule *r, int32_t m, int32_t k, progress_counts step,
                      progress_counts before);
#endif
