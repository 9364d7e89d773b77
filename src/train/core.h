/* The numeric core: one decoder's weights, gradients and activations; forward and backward by hand.
 * Knows nothing of files or optimisers. Shapes: N = rows x tokens, V vocabulary, D embedding,
 * A = heads x head width, K = key heads x head width, Q = A + 2K, F feed-forward. */
#ifndef RUNG_SRC_TRAIN_CORE_H
#define RUNG_SRC_TRAIN_CORE_H
#include "train/arch.h"
#include "train/attention.h"
#include "train/frozen.h"
#include "train/gemm.h"
#include "train/head_core.h"

/* One tensor: trained (a place in the blocks of weights and gradients) or frozen as a file has it;
 * an adapted one is frozen and has a pair of low-rank factors among the trained ones. */
typedef struct rung_core_tensor {
    char name[64]; /* as GGUF has it; factors: NAME.lora_a, NAME.lora_b */
    int64_t rows, cols;
    rung_role role;
    int64_t at;         /* in w and dw; -1 = frozen */
    rung_frozen frozen; /* when at < 0 */
    const real *wide;   /* the same, dequantised once; NULL: at each product */
    int32_t lora;       /* index of A [rank][cols], B [rows][rank] follows; -1 = none */
} rung_core_tensor;

/* Indices into tensor[]; -1 = the architecture has none. */
typedef struct rung_core_layer {
    int32_t slot[SLOT_COUNT];
} rung_core_layer;

/* What one layer keeps for the way back; norms' outputs and the activation are made again. */
typedef struct rung_core_kept {
    real *x; /* the layer's input: always kept */
    real *rstd1, *qkv, *att, *lse, *x_mid, *rstd2, *gu;
} rung_core_kept;

typedef struct rung_core_lora {
    int32_t rank; /* 0 = none */
    real scale;   /* alpha / rank */
    double dropout;
    uint64_t seed;
    int64_t
        step; /* address of dropout's draws, one for a forward and its backward; -1 = no dropout */
    bool muted; /* a forward leaves the factors out: the base */
} rung_core_lora;

typedef struct rung_core {
    rung_net_shape shape;
    const rung_arch_row *arch;
    int64_t dim[DIM_COUNT], qkv; /* qkv: Q */
    int32_t hd;                  /* head width */
    real *w, *dw;                /* [n_params] each: the trained tensors */
    int64_t n_params, n_frozen;  /* numbers */
    int32_t n_tensors, cap_tensors;
    rung_core_tensor *tensor;
    rung_core_layer *layer;
    int32_t embd, out_norm, out; /* tensors; out == embd when tied */
    rung_core_lora lora;
    rung_gemm_mode mode;
    real *cos_t, *sin_t; /* [n_ctx][hd/2] */

    /* The last forward: sized for the largest batch seen. */
    int64_t n, cap_n, cap_t; /* N now; reserved: rows, tokens in a row */
    int n_threads;
    int64_t budget; /* bytes for activations, 0 = all are kept */
    int32_t n_keep; /* layers that keep all; the others only their input */
    real *block;    /* all of the following but logits */
    size_t n_block; /* bytes */
    rung_core_kept *kept;
    real *x_last, *xf, *rstd_f, *dx, *xn, *act, *dqkv, *piece, *scratch;
    real *logits, *dlogits; /* [N][V] each, for losses of any form; cap_logits numbers each */
    int64_t cap_logits;
    real *weights; /* a frozen product's weights as f32, or a piece of the head's */
    int64_t cap_weights;
    real *wide; /* all frozen matrices as f32, where that is little: core_linear.c */
    int64_t cap_wide;
    real *low, *dropped; /* low-rank inner [N][rank] twice; [N][widest] input after dropout */
    int64_t cap_low, cap_dropped;
    real *head; /* rows of logits of the fused cross entropy */
    int64_t cap_head;
    int32_t *tok, *pos;
    rung_segment *seg;
    int64_t n_seg;

    /* A head on final hidden states that trains with the net (core_read.c); n_in 0 = none. */
    rung_head_dims read;
    int64_t read_at;     /* where its numbers begin in w and dw */
    int32_t read_tensor; /* its first tensor; the others follow, the last ones of the core */
    real *read_mean, *read_inv_sd; /* [D] what its inputs are standardised by: 0 and 1 at first */
    real *read_block;              /* what is read, for the way back */
    int64_t cap_read;
} rung_core;

/* Every tensor is trained. */
rung_status rung_core_new(rung_core **out, const rung_net_shape *shape, rung_error *err);
/* A core whose weights stay as a file has them, all of them; `find` tells where. Then adapters. */
rung_status rung_core_new_frozen(rung_core **out, const rung_net_shape *shape,
                                 rung_status (*find)(void *ud, rung_frozen *f,
                                                     const rung_core_tensor *t, rung_error *err),
                                 void *ud, rung_error *err);
/* Low-rank factors for these slots (bits 1 << slot) of every layer: A N(0, 1/sqrt(cols)) from the
 * seed's draws is the caller's work; B starts at zero. Allocates w and dw. */
rung_status rung_core_adapt(rung_core *c, unsigned slots, const rung_core_lora *lora,
                            rung_error *err);
void rung_core_free(rung_core *c);
/* Bytes of activations of rows x tokens with n_keep layers kept whole; docs/design/training.md. */
int64_t rung_core_memory(const rung_core *c, int64_t n, int64_t n_tok, int32_t n_keep);

/* The layers, up to final hidden states in c->xf [N][D]. */
rung_status rung_core_hidden(rung_core *c, const rung_batch *b, rung_error *err);
/* rung_core_hidden, then logits of every position in c->logits [N][V]. */
rung_status rung_core_forward(rung_core *c, const rung_batch *b, rung_error *err);
/* From c->dlogits, after a forward: adds to c->dw. */
rung_status rung_core_back(rung_core *c, rung_error *err);
/* Cross entropy without all the logits at once: after rung_core_hidden, sum(w l) / norm with its
 * gradient times scale (grad: the whole way back is done). norm 0: the batch's own sum of weights.
 * Positions with weight 0 are not made. row_loss [N] or NULL: l of each, 0 where w = 0. */
rung_status rung_core_ce(double *value, double *row_loss, rung_core *c, const int32_t *target,
                         const float *weight, double norm, double scale, bool grad,
                         rung_error *err);

/* Reading hidden states (core_read.c): after rung_core_hidden. Each `back` does the whole way back.
 *   add_read  a head of n_hidden units (0: linear), n_out outputs, at zero, the last tensors of the
 * core score     z [n]: its scores of positions at[n], for the score_back after it words     z [N]:
 * logit(plus) - logit(minus) where mask is not 0, else 0 */
rung_status rung_core_add_read(rung_core *c, int32_t n_hidden, int32_t n_out, rung_error *err);
rung_status rung_core_score(real *z, rung_core *c, const int64_t *at, int64_t n, rung_error *err);
rung_status rung_core_score_back(rung_core *c, const real *dz, const int64_t *at, int64_t n,
                                 rung_error *err);
rung_status rung_core_words(double *z, rung_core *c, int32_t plus, int32_t minus,
                            const double *mask, rung_error *err);
rung_status rung_core_words_back(rung_core *c, const double *dz, int32_t plus, int32_t minus,
                                 rung_error *err);
/* The way back from c->xn = dL/dxf. */
rung_status rung_core_read_done(rung_core *c, rung_error *err);

/* Internal to the core's files ---------------------------------------------------------------- */

/* Tensors whose rows lie one after another in one product's output. */
typedef struct rung_product {
    int32_t part[3], n_part;
    int64_t rows, cols;
} rung_product;
rung_product rung_core_product(const rung_core *c, int32_t layer, rung_slot first, int32_t n_part);
/* y [n][rows] = x w^T (+ low-rank part). */
bool rung_core_linear(rung_core *c, real *y, const real *x, const rung_product *p, int64_t n);
/* dw += dy^T x of what is trained. */
bool rung_core_linear_dw(rung_core *c, const real *dy, const real *x, const rung_product *p,
                         int64_t n);
/* dx = dy w (+ low-rank part). */
bool rung_core_linear_dx(rung_core *c, real *dx, const real *dy, const rung_product *p, int64_t n);
/* Memory for the weights of a frozen net's products. */
rung_status rung_core_reserve_weights(rung_core *c, rung_error *err);
/* Rows of logits lie ld >= V numbers apart. */
bool rung_core_head(rung_core *c, real *logits, int64_t ld, const real *x, int64_t n);
bool rung_core_head_back(rung_core *c, real *dx, const real *dlogits, int64_t ld, const real *x,
                         int64_t n);
rung_status rung_core_begin(rung_core *c, const rung_batch *b, rung_error *err);
/* At least n numbers at *p; what was there is lost. */
rung_status rung_core_grow(real **p, int64_t *cap, int64_t n, const char *what, rung_error *err);
bool rung_core_back_layers(rung_core *c); /* from c->xn = dL/dxf */
/* A vector (norm, bias) or NULL for tensor -1. */
const real *rung_core_vector(const rung_core *c, int32_t tensor);
real *rung_core_grad_of(const rung_core *c, int32_t tensor); /* NULL: frozen */
rung_status rung_core_no_product(rung_error *err);
#endif
