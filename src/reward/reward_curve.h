/* reward/reward_curve.h: a log that keeps what trainers say about steps and epochs. */
#ifndef RUNG_SRC_REWARD_CURVE_H
#define RUNG_SRC_REWARD_CURVE_H
#include "rung/curve.h"
#include "rung/reward.h"

/* Of event reward.step (fields at_step, loss, lr, grad_norm, tok, tok_s) train/loss and the rest of
 * the step's names (rung/curve.h); of reward.epoch (at_step, epoch, loss, held_loss, held_auc)
 * train/epoch, eval/loss, eval/auc, and train/loss from trainers that tell no steps; before
 * reward.checkpoint everything is written. Trainers tell before they checkpoint, so a killed and
 * resumed training ends with the same rows. */
typedef struct reward_curve {
    rung_curve *curve;
    const rung_log *to; /* everything passes on to it; NULL none */
    bool steps;         /* a reward.step was seen */
    rung_status st;     /* of the store */
    rung_error err;
    rung_log log; /* hand this to the trainer */
} reward_curve;
rung_status reward_curve_init(reward_curve *c, rung_store *s, int64_t run, const char *tensorboard,
                              const rung_log *to, rung_error *err);
/* st, or the store's failure that stopped the training. */
rung_status reward_curve_close(reward_curve *c, rung_status st, rung_error *err);
#endif
