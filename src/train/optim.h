/* AdamW over one range of numbers, for the net and for heads. */
#ifndef RUNG_SRC_TRAIN_OPTIM_H
#define RUNG_SRC_TRAIN_OPTIM_H
#include "rung/train.h"
#include "train/real.h"

typedef struct rung_adam {
    float grad_scale, beta1, beta2, step_size, inv_bias2, eps, keep;
} rung_adam;

/* Constants of step t (from 1) under a gradient of this norm. */
rung_adam rung_adam_at(const rung_adamw *o, int64_t t, double grad_norm);
/* One pass: clip, moments, bias correction, decoupled decay (if decay), gradient zeroed. */
void rung_adam_range(float *w, float *dw, float *m, float *v, int64_t n, rung_adam a, bool decay);
#endif
