#include "train/core.h"
#include "train/gemm.h"
#include "train/kernel.h"
#include "train/parallel.h"

#include <stdio.h>

/* Layout -------------------------------------------------------------------------------------- */

static rung_status check_shape(const rung_net_shape *s, rung_error *err) {
    const int32_t dims[] = {s->n_vocab,   s->n_embd, s->n_layer, s->n_head,
                            s->n_head_kv, s->n_ff,   s->n_ctx};
    static const char *const names[] = {"n_vocab",   "n_embd", "n_layer", "n_head",
                                        "n_head_kv", "n_ff",   "n_ctx"};
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        if (dims[i] <= 0 || dims[i] > (1 << 24))
            return rung_fail(err, RUNG_E_INVAL, "net shape: %s is %d", names[i], dims[i]);
    }
    if (s->n_embd % s->n_head != 0 || (s->n_embd / s->n_head) % 2 != 0)
        return rung_fail(err, RUNG_E_INVAL, "net shape: %d heads do not cut %d into even widths",
                         s->n_head, s->n_embd);
    if (s->n_head % s->n_head_kv != 0)
        return rung_fail(err, RUNG_E_INVAL, "net shape: %d heads over %d key heads", s->n_head,
                         s->n_head_kv);
    if (!(s->rope_base > 0) || !(s->rms_eps > 0))
        return rung_fail(err, RUNG_E_INVAL,
                         "net shape: rope_base %g and rms_eps %g must be above 0",
                         (double)s->rope_base, (double)s->rms_eps);
    return RUNG_OK;
}

static int64_t add_tensor(rung_core *c, int32_t layer, const char *name, int64_t rows, int64_t cols,
                          bool norm, bool into_resid) {
    rung_core_tensor *t = &c->tensor[c->n_tensors++];
    if (layer < 0)
        snprintf(t->name, sizeof t->name, "%s.weight", name);
    else
        snprintf(t->name, sizeof t->name, "blk.%d.%s.weight", layer, name);
    t->rows = rows;
    t->cols = cols;
    t->norm = norm;
    t->into_resid = into_resid;
    t->at = c->n_params;
    c->n_params += rows * cols;
    return t->at;
}

/* The table of tensors and shapes: llama. */
static void lay_out(rung_core *c) {
    const rung_net_shape *s = &c->shape;
    int64_t d = s->n_embd, f = s->n_ff, kv = (int64_t)s->n_head_kv * c->hd;
    c->embd = add_tensor(c, -1, "token_embd", s->n_vocab, d, false, false);
    for (int32_t l = 0; l < s->n_layer; l++) {
        rung_core_layer *y = &c->layer[l];
        y->attn_norm = add_tensor(c, l, "attn_norm", 1, d, true, false);
        y->qkv = add_tensor(c, l, "attn_q", d, d, false, false);
        add_tensor(c, l, "attn_k", kv, d, false, false);
        add_tensor(c, l, "attn_v", kv, d, false, false);
        y->wo = add_tensor(c, l, "attn_output", d, d, false, true);
        y->ffn_norm = add_tensor(c, l, "ffn_norm", 1, d, true, false);
        y->gu = add_tensor(c, l, "ffn_gate", f, d, false, false);
        add_tensor(c, l, "ffn_up", f, d, false, false);
        y->down = add_tensor(c, l, "ffn_down", d, f, false, true);
    }
    c->out_norm = add_tensor(c, -1, "output_norm", 1, d, true, false);
    c->out = s->tied ? c->embd : add_tensor(c, -1, "output", s->n_vocab, d, false, false);
}

static void fill_rope(rung_core *c) {
    int32_t half = c->hd / 2;
    for (int32_t p = 0; p < c->shape.n_ctx; p++) {
        for (int32_t j = 0; j < half; j++) {
            double angle = p * pow((double)c->shape.rope_base, -2.0 * j / c->hd);
            c->cos_t[(int64_t)p * half + j] = (real)cos(angle);
            c->sin_t[(int64_t)p * half + j] = (real)sin(angle);
        }
    }
}

rung_status rung_core_new(rung_core **out, const rung_net_shape *shape, rung_error *err) {
    *out = NULL;
    RUNG_TRY(check_shape(shape, err));
    rung_core *c = rung_calloc(1, sizeof *c);
    if (!c) return rung_fail(err, RUNG_E_NOMEM, "no memory for a net");
    c->shape = *shape;
    c->hd = shape->n_embd / shape->n_head;
    c->qkv = (shape->n_head + 2 * (int64_t)shape->n_head_kv) * c->hd;
    size_t layers = (size_t)shape->n_layer, half = (size_t)c->hd / 2;
    c->tensor = rung_calloc(9 * layers + 3, sizeof *c->tensor);
    c->layer = rung_calloc(layers, sizeof *c->layer);
    c->kept = rung_calloc(layers, sizeof *c->kept);
    c->cos_t = rung_calloc((size_t)shape->n_ctx * half, sizeof(real));
    c->sin_t = rung_calloc((size_t)shape->n_ctx * half, sizeof(real));
    bool ok = c->tensor && c->layer && c->kept && c->cos_t && c->sin_t;
    if (ok) {
        lay_out(c);
        c->w = rung_calloc((size_t)c->n_params, sizeof(real));
        c->dw = rung_calloc((size_t)c->n_params, sizeof(real));
        ok = c->w && c->dw;
    }
    if (!ok) {
        rung_core_free(c);
        return rung_fail(err, RUNG_E_NOMEM, "no memory for the weights of a net");
    }
    fill_rope(c);
    *out = c;
    return RUNG_OK;
}

static void drop_block(rung_core *c) {
    rung_free(c->block);
    rung_free(c->tok);
    rung_free(c->pos);
    rung_free(c->seg);
    c->block = NULL;
    c->tok = c->pos = NULL;
    c->seg = NULL;
    c->cap_n = c->cap_t = 0;
}

void rung_core_free(rung_core *c) {
    if (!c) return;
    drop_block(c);
    rung_free(c->tensor);
    rung_free(c->layer);
    rung_free(c->kept);
    rung_free(c->cos_t);
    rung_free(c->sin_t);
    rung_free(c->w);
    rung_free(c->dw);
    rung_free(c);
}

/* Activations --------------------------------------------------------------------------------- */

/* Gives each array its place; with base NULL only counts. */
static int64_t carve(rung_core *c, real *base, int64_t n, int64_t t) {
    int64_t at = 0, d = c->shape.n_embd, f = c->shape.n_ff, v = c->shape.n_vocab;
    int64_t wide = 2 * f > c->qkv ? 2 * f : c->qkv, act = f > d ? f : d;
#define PLACE(field, count)                                                                        \
    do {                                                                                           \
        if (base) field = base + at;                                                               \
        at += ((count) + 15) / 16 * 16; /* keeps each array on a cache line */                     \
    } while (0)
    for (int32_t l = 0; l < c->shape.n_layer; l++) {
        rung_core_kept *k = &c->kept[l];
        PLACE(k->x, n * d);
        PLACE(k->xn1, n * d);
        PLACE(k->rstd1, n);
        PLACE(k->qkv, n * c->qkv);
        PLACE(k->att, n * d);
        PLACE(k->lse, n * c->shape.n_head);
        PLACE(k->x_mid, n * d);
        PLACE(k->xn2, n * d);
        PLACE(k->rstd2, n);
        PLACE(k->gu, n * 2 * f);
        PLACE(k->act, n * f);
    }
    PLACE(c->x_last, n * d);
    PLACE(c->xf, n * d);
    PLACE(c->rstd_f, n);
    PLACE(c->logits, n * v);
    PLACE(c->dlogits, n * v);
    PLACE(c->dx, n * d);
    PLACE(c->dxn, n * d);
    PLACE(c->dwide, n * wide);
    PLACE(c->dact, n * act);
    PLACE(c->piece, RUNG_N_PIECES * d);
    PLACE(c->scratch, c->n_threads * rung_attention_scratch(t));
#undef PLACE
    return at;
}

static rung_status reserve(rung_core *c, int64_t n, int64_t t, rung_error *err) {
    if (n <= c->cap_n && t <= c->cap_t && omp_get_max_threads() <= c->n_threads) return RUNG_OK;
    drop_block(c);
    c->n_threads = omp_get_max_threads();
    int64_t count = carve(c, NULL, n, t);
    c->block = rung_alloc((size_t)count * sizeof(real));
    c->tok = rung_alloc((size_t)n * sizeof *c->tok);
    c->pos = rung_alloc((size_t)n * sizeof *c->pos);
    c->seg = rung_alloc((size_t)n * sizeof *c->seg);
    if (!c->block || !c->tok || !c->pos || !c->seg) {
        drop_block(c);
        rung_fail(err, RUNG_E_NOMEM, "no memory for the activations of %lld tokens (%lld MB)",
                  (long long)n, (long long)(count * (int64_t)sizeof(real) >> 20));
        return rung_error_hint(err, "use fewer rows or shorter ones");
    }
    carve(c, c->block, n, t);
    c->cap_n = n;
    c->cap_t = t;
    return RUNG_OK;
}

/* Copies tokens, numbers positions from each document's start, lists the documents. */
static rung_status take_batch(rung_core *c, const rung_batch *b, rung_error *err) {
    c->n_seg = 0;
    for (int32_t r = 0; r < b->n_rows; r++) {
        int32_t n_doc = 0;
        for (int32_t t = 0; t < b->n_tok; t++) {
            int64_t i = (int64_t)r * b->n_tok + t;
            int32_t doc = b->doc[i], before = t > 0 ? b->doc[i - 1] : -1;
            if (b->tok[i] < 0 || b->tok[i] >= c->shape.n_vocab)
                return rung_fail(err, RUNG_E_INVAL, "row %d token %d: id %d is not below %d", r, t,
                                 b->tok[i], c->shape.n_vocab);
            c->tok[i] = b->tok[i];
            c->pos[i] = 0;
            if (doc < 0) continue;
            if (doc == before) {
                c->pos[i] = c->pos[i - 1] + 1;
                c->seg[c->n_seg - 1].n++;
            } else {
                if (doc < n_doc)
                    return rung_fail(err, RUNG_E_INVAL,
                                     "row %d token %d: document %d comes back after %d", r, t, doc,
                                     n_doc - 1);
                n_doc = doc + 1;
                c->seg[c->n_seg++] = (rung_segment){i, 1};
            }
            if (c->pos[i] >= c->shape.n_ctx)
                return rung_fail(err, RUNG_E_INVAL, "row %d: a document is longer than n_ctx %d", r,
                                 c->shape.n_ctx);
        }
    }
    return RUNG_OK;
}

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

static void zero_padding(const rung_core *c, const rung_batch *b, real *x, int64_t ld) {
    for (int64_t i = 0; i < c->n; i++) {
        if (b->doc[i] < 0) memset(x + i * ld, 0, (size_t)ld * sizeof *x);
    }
}

/* Forward ------------------------------------------------------------------------------------- */

/* y (+)= x w^T: x [n][in], w [out][in]. */
static bool linear(real *y, const real *x, const real *w, int64_t n, int64_t in, int64_t out,
                   bool add) {
    return rung_gemm(false, true, n, out, in, 1, x, in, w, in, add ? 1 : 0, y, out);
}

static bool layer_forward(rung_core *c, int32_t l, real *x_next, const rung_batch *b) {
    const rung_core_layer *y = &c->layer[l];
    rung_core_kept *k = &c->kept[l];
    int64_t n = c->n, d = c->shape.n_embd, f = c->shape.n_ff;
    int64_t n_rot = c->shape.n_head + c->shape.n_head_kv;
    double eps = (double)c->shape.rms_eps;
    rung_attention a = attention_of(c);
    bool ok = true;
    rung_kern_rmsnorm(k->xn1, k->rstd1, k->x, c->w + y->attn_norm, n, d, eps);
    ok &= linear(k->qkv, k->xn1, c->w + y->qkv, n, d, c->qkv, false);
    rung_kern_rope(k->qkv, c->qkv, c->pos, n, n_rot, c->hd, c->cos_t, c->sin_t, 1);
    zero_padding(c, b, k->att, d);
    ok &= rung_attention_forward(k->att, k->lse, k->qkv, &a);
    rung_kern_copy(k->x_mid, k->x, n * d);
    ok &= linear(k->x_mid, k->att, c->w + y->wo, n, d, d, true);
    rung_kern_rmsnorm(k->xn2, k->rstd2, k->x_mid, c->w + y->ffn_norm, n, d, eps);
    ok &= linear(k->gu, k->xn2, c->w + y->gu, n, d, 2 * f, false);
    rung_kern_swiglu(k->act, k->gu, n, f);
    rung_kern_copy(x_next, k->x_mid, n * d);
    return ok && linear(x_next, k->act, c->w + y->down, n, f, d, true);
}

static rung_status gemm_failed(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "oneDNN could not run a matrix product: no memory");
}

rung_status rung_core_forward(rung_core *c, const rung_batch *b, rung_error *err) {
    if (b->n_rows <= 0 || b->n_tok <= 0)
        return rung_fail(err, RUNG_E_INVAL, "a batch of %d rows of %d tokens", b->n_rows, b->n_tok);
    int64_t n = (int64_t)b->n_rows * b->n_tok, d = c->shape.n_embd;
    int32_t layers = c->shape.n_layer;
    c->n = 0;
    RUNG_TRY(reserve(c, n, b->n_tok, err));
    RUNG_TRY(take_batch(c, b, err));
    c->n = n;
    rung_kern_embed(c->kept[0].x, c->w + c->embd, c->tok, n, d);
    bool ok = true;
    for (int32_t l = 0; l < layers; l++)
        ok &= layer_forward(c, l, l + 1 < layers ? c->kept[l + 1].x : c->x_last, b);
    rung_kern_rmsnorm(c->xf, c->rstd_f, c->x_last, c->w + c->out_norm, n, d,
                      (double)c->shape.rms_eps);
    ok &= linear(c->logits, c->xf, c->w + c->out, n, d, c->shape.n_vocab, false);
    if (ok) return RUNG_OK;
    c->n = 0;
    return gemm_failed(err);
}

/* Backward ------------------------------------------------------------------------------------ */

/* dx = dy w; dw += dy^T x. */
static bool linear_back(real *dx, real *dw, const real *dy, const real *x, const real *w, int64_t n,
                        int64_t in, int64_t out) {
    return rung_gemm(true, false, out, in, n, 1, dy, out, x, in, 1, dw, in) &&
           rung_gemm(false, false, n, in, out, 1, dy, out, w, in, 0, dx, in);
}

/* c->dx: in, the gradient of the layer's output; out, of its input. */
static bool layer_back(rung_core *c, int32_t l) {
    const rung_core_layer *y = &c->layer[l];
    const rung_core_kept *k = &c->kept[l];
    int64_t n = c->n, d = c->shape.n_embd, f = c->shape.n_ff;
    int64_t n_rot = c->shape.n_head + c->shape.n_head_kv;
    const real *w = c->w;
    real *dw = c->dw;
    rung_attention a = attention_of(c);
    bool ok = true;
    ok &= linear_back(c->dact, dw + y->down, c->dx, k->act, w + y->down, n, f, d);
    rung_kern_swiglu_back(c->dwide, c->dact, k->gu, n, f);
    ok &= linear_back(c->dxn, dw + y->gu, c->dwide, k->xn2, w + y->gu, n, d, 2 * f);
    rung_kern_rmsnorm_back(c->dx, dw + y->ffn_norm, c->piece, c->dxn, k->x_mid, k->rstd2,
                           w + y->ffn_norm, n, d);
    ok &= linear_back(c->dact, dw + y->wo, c->dx, k->att, w + y->wo, n, d, d);
    memset(c->dwide, 0, (size_t)(n * c->qkv) * sizeof(real)); /* rows of no document */
    ok &= rung_attention_back(c->dwide, c->dact, k->lse, k->qkv, &a);
    rung_kern_rope(c->dwide, c->qkv, c->pos, n, n_rot, c->hd, c->cos_t, c->sin_t, -1);
    ok &= linear_back(c->dxn, dw + y->qkv, c->dwide, k->xn1, w + y->qkv, n, d, c->qkv);
    rung_kern_rmsnorm_back(c->dx, dw + y->attn_norm, c->piece, c->dxn, k->x, k->rstd1,
                           w + y->attn_norm, n, d);
    return ok;
}

rung_status rung_core_back(rung_core *c, rung_error *err) {
    if (c->n == 0) return rung_fail(err, RUNG_E_MISUSE, "backward without a forward before it");
    int64_t n = c->n, d = c->shape.n_embd;
    bool ok = linear_back(c->dxn, c->dw + c->out, c->dlogits, c->xf, c->w + c->out, n, d,
                          c->shape.n_vocab);
    memset(c->dx, 0, (size_t)(n * d) * sizeof(real));
    rung_kern_rmsnorm_back(c->dx, c->dw + c->out_norm, c->piece, c->dxn, c->x_last, c->rstd_f,
                           c->w + c->out_norm, n, d);
    for (int32_t l = c->shape.n_layer - 1; l >= 0; l--) ok &= layer_back(c, l);
    rung_kern_embed_back(c->dw + c->embd, c->dx, c->tok, n, d);
    c->n = 0; /* activations are spent */
    return ok ? RUNG_OK : gemm_failed(err);
}
