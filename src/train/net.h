/* What a rung_net is made of. */
#ifndef RUNG_SRC_TRAIN_NET_H
#define RUNG_SRC_TRAIN_NET_H
#include "model/gguf_file.h"
#include "rung/loss.h"
#include "train/core.h"

typedef struct rung_net_meta {
    char *key, *value;
    float *number; /* [n] instead of value */
    size_t n;
} rung_net_meta;

struct rung_net {
    rung_core *core;
    real *m, *v; /* AdamW's moments */
    real *ema;   /* moving average of the weights; NULL = none */
    double ema_decay;
    int64_t steps, micro; /* optimiser steps; gradients gathered since the last */
    unsigned lora_slots;
    double lora_alpha;
    rung_gguf *src;    /* the file it was loaded from: its keys go into the export; NULL */
    char **token_text; /* escaped; NULL: none set */
    int32_t *token_type;
    int32_t n_token, eos;
    rung_net_meta *meta;
    size_t n_meta;
    bool failed; /* a set_meta ran out of memory; told at save */
};

/* A net with zeroed weights. */
rung_status rung_net_alloc(rung_net **out, const rung_net_shape *shape, rung_error *err);
/* A net around a core, which it takes, also when it fails. */
rung_status rung_net_wrap(rung_net **out, rung_core *core, rung_error *err);
/* The moments for c->n_params weights. */
rung_status rung_net_moments(rung_net *net, rung_error *err);
/* A step whose gradients are first divided by `div`. */
rung_status rung_net_step_div(double *grad_norm, rung_net *net, const rung_adamw *o, double div,
                              rung_error *err);
/* Dropout's draws are addressed by step and micro-batch: a resumed run draws the same. From here to
 * core->lora.step = -1 a forward is one of training. */
void rung_net_begin(rung_net *net);
rung_status rung_net_not_finite(const rung_net *net, const char *what, rung_error *err);
/* rung_net_grad of rung_loss_on_net_fn and rung_loss_pair_fn without all the logits (net_loss.c).
 */
rung_status rung_net_grad_row(double *value, int64_t *n_terms, rung_net *net, const rung_batch *b,
                              rung_loss_on_net *loss, double scale, rung_error *err);
rung_status rung_net_grad_pair(double *value, int64_t *n_terms, rung_net *net, const rung_batch *b,
                               const rung_loss_pair *pair, double scale, rung_error *err);
#endif
