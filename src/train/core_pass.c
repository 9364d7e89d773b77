/* Forward and backward through the layers, in the order of the formulas. */
#include "train/core.h"
#include "train/kernel.h"
#include "train/parallel.h"

static rung_attention attention_of(const rung_core *c) {
    return (rung_attention){.seg = c->seg,
                            .n_seg = c->n_seg,
                            .n_head = c->shape.n_head,
                            .n_head_kv = c->shape.n_head_kv,
                            .hd = c->hd,
                            .ld = c->qkv,
                            .scratch = c->scratch,
                            .n_scratch = rung_attention_scratch(c->cap_t)};
}

/* Rows of no document take no part in attention. */
static void zero_padding(const rung_core *c, real *x, int64_t ld) {
    int64_t at = 0;
    for (int64_t s = 0; s <= c->n_seg; s++) {
        int64_t to = s < c->n_seg ? c->seg[s].start : c->n;
        memset(x + at * ld, 0, (size_t)((to - at) * ld) * sizeof *x);
        if (s < c->n_seg) at = to + c->seg[s].n;
    }
}

static void rotate(const rung_core *c, real *qkv, real sign) {
    rung_kern_rope(qkv, c->qkv, c->pos, c->n, c->shape.n_head + c->shape.n_head_kv, c->hd, c->cos_t,
                   c->sin_t, sign, c->arch->rope == RUNG_ROPE_HALVES);
}

static void add_biases(const rung_core *c, int32_t layer, real *qkv) {
    int64_t off = 0;
    for (int32_t i = SLOT_Q_BIAS; i <= SLOT_V_BIAS; i++) {
        int32_t t = c->layer[layer].slot[i];
        if (t < 0) continue;
        rung_kern_bias(qkv + off, c->qkv, rung_core_vector(c, t), c->n, c->tensor[t].cols);
        off += c->tensor[t].cols;
    }
}

static void biases_back(const rung_core *c, int32_t layer, const real *dqkv) {
    int64_t off = 0;
    for (int32_t i = SLOT_Q_BIAS; i <= SLOT_V_BIAS; i++) {
        int32_t t = c->layer[layer].slot[i];
        real *db = rung_core_grad_of(c, t);
        if (db) rung_kern_bias_back(db, c->piece, dqkv + off, c->qkv, c->n, c->tensor[t].cols);
        if (t >= 0) off += c->tensor[t].cols;
    }
}

/* add: what the layer before has not yet added to this one's input; NULL: nothing. x_next NULL:
 * made again for the way back, which does not ask for the output. */
static bool layer_forward(rung_core *c, int32_t l, const real *add, real *x_next) {
    const rung_core_layer *y = &c->layer[l];
    rung_core_kept *k = &c->kept[l];
    int64_t n = c->n, d = c->shape.n_embd, f = c->shape.n_ff;
    double eps = (double)c->shape.rms_eps;
    rung_attention a = attention_of(c);
    rung_product qkv = rung_core_product(c, l, SLOT_Q, 3),
                 out = rung_core_product(c, l, SLOT_OUT, 1);
    rung_product gu = rung_core_product(c, l, SLOT_GATE, 2),
                 down = rung_core_product(c, l, SLOT_DOWN, 1);
    rung_kern_rmsnorm(c->xn, k->rstd1, k->x, add, rung_core_vector(c, y->slot[SLOT_ATTN_NORM]), n,
                      d, eps);
    bool ok = rung_core_linear(c, k->qkv, c->xn, &qkv, n);
    add_biases(c, l, k->qkv);
    rotate(c, k->qkv, 1);
    zero_padding(c, k->att, c->dim[DIM_A]);
    ok &= rung_attention_forward(k->att, k->lse, k->qkv, &a);
    ok &= rung_core_linear(c, k->x_mid, k->att, &out, n);
    rung_kern_rmsnorm(c->xn, k->rstd2, k->x_mid, k->x, rung_core_vector(c, y->slot[SLOT_FFN_NORM]),
                      n, d, eps);
    ok &= rung_core_linear(c, k->gu, c->xn, &gu, n);
    if (!x_next) return ok;
    rung_kern_swiglu(c->act, k->gu, n, f);
    return ok && rung_core_linear(c, x_next, c->act, &down, n);
}

static void embed(rung_core *c) {
    const rung_core_tensor *t = &c->tensor[c->embd];
    if (t->at >= 0)
        rung_kern_embed(c->kept[0].x, c->w + t->at, c->tok, c->n, t->cols);
    else
        rung_frozen_gather(c->kept[0].x, &t->frozen, c->tok, c->n, t->cols);
}

rung_status rung_core_hidden(rung_core *c, const rung_batch *b, rung_error *err) {
    RUNG_TRY(rung_core_begin(c, b, err));
    RUNG_TRY(rung_core_reserve_weights(c, err));
    int32_t layers = c->shape.n_layer;
    bool ok = true;
    embed(c);
    for (int32_t l = 0; l < layers; l++)
        ok &= layer_forward(c, l, l > 0 ? c->kept[l - 1].x_mid : NULL,
                            l + 1 < layers ? c->kept[l + 1].x : c->x_last);
    rung_kern_rmsnorm(c->xf, c->rstd_f, c->x_last, c->kept[layers - 1].x_mid,
                      rung_core_vector(c, c->out_norm), c->n, c->shape.n_embd,
                      (double)c->shape.rms_eps);
    if (ok) return RUNG_OK;
    c->n = 0;
    return rung_core_no_product(err);
}

rung_status rung_core_forward(rung_core *c, const rung_batch *b, rung_error *err) {
    RUNG_TRY(rung_core_hidden(c, b, err));
    int64_t size = c->n * c->shape.n_vocab, cap = c->cap_logits;
    rung_status st = rung_core_grow(&c->logits, &cap, size, "logits", err);
    if (st == RUNG_OK) st = rung_core_grow(&c->dlogits, &c->cap_logits, size, "logits", err);
    if (st == RUNG_OK && !rung_core_head(c, c->logits, c->shape.n_vocab, c->xf, c->n))
        st = rung_core_no_product(err);
    if (st != RUNG_OK) c->n = 0;
    return st;
}

/* Backward ------------------------------------------------------------------------------------ */

/* c->dx: in, the gradient of the layer's output; out, of its input (not of a frozen first one's).
 */
static bool layer_back(rung_core *c, int32_t l) {
    const rung_core_layer *y = &c->layer[l];
    const rung_core_kept *k = &c->kept[l];
    int64_t n = c->n, d = c->shape.n_embd, f = c->shape.n_ff;
    const real *w1 = rung_core_vector(c, y->slot[SLOT_ATTN_NORM]);
    const real *w2 = rung_core_vector(c, y->slot[SLOT_FFN_NORM]);
    rung_attention a = attention_of(c);
    rung_product qkv = rung_core_product(c, l, SLOT_Q, 3),
                 out = rung_core_product(c, l, SLOT_OUT, 1);
    rung_product gu = rung_core_product(c, l, SLOT_GATE, 2),
                 down = rung_core_product(c, l, SLOT_DOWN, 1);
    bool ok = rung_core_linear_dx(c, c->act, c->dx, &down, n);
    rung_kern_swiglu_back(k->gu, c->act, n, f);
    ok &= rung_core_linear_dw(c, c->dx, c->act, &down, n);
    rung_kern_rmsnorm_again(c->xn, k->x_mid, k->rstd2, w2, n, d);
    ok &= rung_core_linear_dw(c, k->gu, c->xn, &gu, n);
    ok &= rung_core_linear_dx(c, c->xn, k->gu, &gu, n);
    rung_kern_rmsnorm_back(c->dx, rung_core_grad_of(c, y->slot[SLOT_FFN_NORM]), c->piece, c->xn,
                           k->x_mid, k->rstd2, w2, n, d);
    ok &= rung_core_linear_dw(c, c->dx, k->att, &out, n);
    ok &= rung_core_linear_dx(c, c->act, c->dx, &out, n);
    zero_padding(c, c->dqkv, c->qkv);
    ok &= rung_attention_back(c->dqkv, c->act, k->lse, k->qkv, &a);
    rotate(c, c->dqkv, -1);
    biases_back(c, l, c->dqkv);
    rung_kern_rmsnorm_again(c->xn, k->x, k->rstd1, w1, n, d);
    ok &= rung_core_linear_dw(c, c->dqkv, c->xn, &qkv, n);
    if (l == 0 && c->tensor[c->embd].at < 0) return ok; /* nothing below is trained */
    ok &= rung_core_linear_dx(c, c->xn, c->dqkv, &qkv, n);
    rung_kern_rmsnorm_back(c->dx, rung_core_grad_of(c, y->slot[SLOT_ATTN_NORM]), c->piece, c->xn,
                           k->x, k->rstd1, w1, n, d);
    return ok;
}

bool rung_core_back_layers(rung_core *c) {
    int64_t n = c->n, d = c->shape.n_embd;
    int32_t layers = c->shape.n_layer;
    bool ok = true;
    memset(c->dx, 0, (size_t)(n * d) * sizeof(real));
    rung_kern_rmsnorm_back(c->dx, rung_core_grad_of(c, c->out_norm), c->piece, c->xn, c->x_last,
                           c->rstd_f, rung_core_vector(c, c->out_norm), n, d);
    for (int32_t l = layers - 1; l >= 0; l--) {
        /* the last layer is the last that used the shared set */
        if (l >= c->n_keep && l < layers - 1) ok &= layer_forward(c, l, NULL, NULL);
        ok &= layer_back(c, l);
    }
    real *dtable = rung_core_grad_of(c, c->embd);
    if (dtable) rung_kern_embed_back(dtable, c->dx, c->tok, n, d);
    c->n = 0; /* activations are spent */
    return ok;
}

rung_status rung_core_back(rung_core *c, rung_error *err) {
    if (c->n == 0) return rung_fail(err, RUNG_E_MISUSE, "backward without a forward before it");
    bool ok = rung_core_head_back(c, c->xn, c->dlogits, c->shape.n_vocab, c->xf, c->n);
    ok &= rung_core_back_layers(c);
    return ok ? RUNG_OK : rung_core_no_product(err);
}
