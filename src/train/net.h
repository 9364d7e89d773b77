/* What a rung_net is made of. */
#ifndef RUNG_SRC_TRAIN_NET_H
#define RUNG_SRC_TRAIN_NET_H
#include "model/gguf_file.h"
#include "train/core.h"

typedef struct rung_net_meta {
    char *key, *value;
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
#endif
