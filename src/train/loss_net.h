/* A row of the table under a net, in three parts: prepared, evaluated, taken back. Between the
 * first two the caller fills x (and entropy): from all logits (loss_net.c) or block by block
 * (net_loss.c). */
#ifndef RUNG_SRC_TRAIN_LOSS_NET_H
#define RUNG_SRC_TRAIN_LOSS_NET_H
#include "rung/loss.h"

typedef struct rung_loss_plug {
    rung_loss_on_net *o;
    int64_t n; /* B*T */
    int32_t n_vocab;
    double temperature;
    bool words;                 /* x is logit(plus) - logit(minus), else the logprob of tok */
    double *mask;               /* [n] 0: this position counts for nothing */
    double *x, *dx;             /* [n]; dx: the gradient, after eval */
    double *entropy, *dentropy; /* [n]; NULL: not asked for */
    double *kl, *dkl;           /* [n] exact, of all logits; NULL: not asked for */
    uint8_t *selected;          /* [n] scratch */
} rung_loss_plug;

rung_status rung_loss_plug_init(rung_loss_plug *p, rung_loss_on_net *o, const rung_batch *b,
                                int32_t n_vocab, rung_error *err); /* E_INVAL: says where */
void rung_loss_plug_clear(rung_loss_plug *p);
rung_status rung_loss_plug_eval(double *value, int64_t *n_terms, rung_loss_plug *p,
                                rung_error *err);
#endif
