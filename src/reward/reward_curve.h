/* reward/reward_curve.h: a log that keeps what trainers say at the end of an epoch. */
#ifndef RUNG_SRC_REWARD_CURVE_H
#define RUNG_SRC_REWARD_CURVE_H
#include "rung/reward.h"

/* Metrics epoch_loss_train, epoch_loss_held, epoch_auc_held of `run`, one row per epoch. Trainers
 * tell before they checkpoint, so a killed and resumed training ends with the same rows. */
typedef struct reward_curve {
    rung_store *store;
    int64_t run;
    const rung_log *to; /* everything passes on to it; NULL none */
    rung_status st;     /* of the store */
    rung_error err;
    rung_log log; /* hand this to the trainer */
} reward_curve;
void reward_curve_init(reward_curve *c, rung_store *s, int64_t run, const rung_log *to);
/* st, or the store's failure that stopped the training. */
rung_status reward_curve_check(const reward_curve *c, rung_status st, rung_error *err);
#endif
