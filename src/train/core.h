/* The numeric core: one decoder's weights, gradients and activations; forward and backward by hand.
 * Knows nothing of files, losses or optimisers. Shapes: N = rows x tokens, D embedding, V
 * vocabulary, F feed-forward, Q = (heads + 2 key heads) x head width. */
#ifndef RUNG_SRC_TRAIN_CORE_H
#define RUNG_SRC_TRAIN_CORE_H
#include "rung/train.h"
#include "train/attention.h"

/* One tensor of the block of weights; the gradients and both moments have the same layout. */
typedef struct rung_core_tensor {
    char name[48]; /* as GGUF has it */
    int64_t at, rows, cols;
    bool norm;       /* a vector of ones at first; no decay; stored as f32 */
    bool into_resid; /* writes to the residual stream: starts smaller */
} rung_core_tensor;

/* Where a layer's tensors begin in the block. q, k, v lie together, gate and up too: one product
 * each. */
typedef struct rung_core_layer {
    int64_t attn_norm, qkv, wo, ffn_norm, gu, down;
} rung_core_layer;

/* What one layer keeps for the way back. */
typedef struct rung_core_kept {
    real *x, *xn1, *rstd1, *qkv, *att, *lse, *x_mid, *xn2, *rstd2, *gu, *act;
} rung_core_kept;

typedef struct rung_core {
    rung_net_shape shape;
    int32_t hd;   /* head width */
    int64_t qkv;  /* Q */
    real *w, *dw; /* [n_params] each */
    int64_t n_params, n_tensors;
    rung_core_tensor *tensor;
    rung_core_layer *layer;
    int64_t embd, out_norm, out; /* out == embd when tied */
    real *cos_t, *sin_t;         /* [n_ctx][hd/2] */

    /* The last forward: sized for the largest batch seen. */
    int64_t n, cap_n, cap_t; /* N now; reserved: rows, tokens in a row */
    int n_threads;
    real *block; /* all of the following */
    rung_core_kept *kept;
    real *x_last, *xf, *rstd_f, *logits, *dlogits, *dx, *dxn, *dwide, *dact, *piece, *scratch;
    int32_t *tok, *pos;
    rung_segment *seg;
    int64_t n_seg;
} rung_core;

rung_status rung_core_new(rung_core **out, const rung_net_shape *shape, rung_error *err);
void rung_core_free(rung_core *c);
/* Logits of every position in c->logits [N][V], final hidden states in c->xf [N][D]. */
rung_status rung_core_forward(rung_core *c, const rung_batch *b, rung_error *err);
/* From c->dlogits, after a forward: adds to c->dw. */
rung_status rung_core_back(rung_core *c, rung_error *err);
#endif
