/* Products of activations with a weight: trained, frozen in the type of its file, adapted. */
#include "train/core.h"

#include "rung/rng.h"

rung_product rung_core_product(const rung_core *c, int32_t layer, rung_slot first, int32_t n_part) {
    rung_product p = {.n_part = n_part};
    for (int32_t i = 0; i < n_part; i++) {
        p.part[i] = c->layer[layer].slot[(int32_t)first + i];
        p.rows += c->tensor[p.part[i]].rows;
        p.cols = c->tensor[p.part[i]].cols;
    }
    return p;
}

/* Weights of a frozen net ---------------------------------------------------------------------- */

/* Dequantising at each product costs 3% of a step of 1024 tokens, and more of a shorter one. Where
 * all matrices take no more than this as f32, and no budget of memory was set, it is done once. */
#define WIDE_MOST ((int64_t)1 << 30)

static bool is_matrix(const rung_core_tensor *t) {
    return t->at < 0 && t->role != ROLE_NORM && t->role != ROLE_BIAS;
}

static void widen(rung_core *c) {
    int64_t n = 0;
    for (int32_t i = 0; i < c->n_tensors; i++)
        n += is_matrix(&c->tensor[i]) ? c->tensor[i].rows * c->tensor[i].cols : 0;
    if (c->cap_wide == n || c->budget > 0 || n * (int64_t)sizeof(real) > WIDE_MOST) return;
    c->wide = rung_alloc((size_t)n * sizeof(real));
    if (!c->wide) return; /* then at each product */
    c->cap_wide = n;
    real *at = c->wide; /* in the order of tensors: parts of a product lie together */
    for (int32_t i = 0; i < c->n_tensors; i++) {
        rung_core_tensor *t = &c->tensor[i];
        if (!is_matrix(t)) continue;
        rung_frozen_rows(at, &t->frozen, 0, t->rows, t->cols);
        t->wide = at;
        at += t->rows * t->cols;
    }
}

/* One product's, or a piece of the head's, as f32. */
#define HEAD_PIECE ((int64_t)1 << 22)

rung_status rung_core_reserve_weights(rung_core *c, rung_error *err) {
    if (c->tensor[c->embd].at >= 0) return RUNG_OK;
    widen(c);
    int64_t d = c->shape.n_embd, most = d * (HEAD_PIECE / d > 0 ? HEAD_PIECE / d : 1);
    if (most > d * c->shape.n_vocab) most = d * c->shape.n_vocab;
    static const rung_slot first[] = {SLOT_Q, SLOT_OUT, SLOT_GATE, SLOT_DOWN};
    static const int32_t parts[] = {3, 1, 2, 1};
    for (int i = 0; i < 4; i++) {
        rung_product p = rung_core_product(c, 0, first[i], parts[i]);
        if (p.rows * p.cols > most) most = p.rows * p.cols;
    }
    return rung_core_grow(&c->weights, &c->cap_weights, most, "a product's weights", err);
}

/* [rows][cols]: where they lie, or dequantised into c->weights. */
static const real *weights_of(rung_core *c, const rung_product *p) {
    const rung_core_tensor *t = &c->tensor[p->part[0]];
    if (t->at >= 0) return c->w + t->at; /* parts lie together: the order of the table */
    if (t->wide) return t->wide;
    real *at = c->weights;
    for (int32_t i = 0; i < p->n_part; i++) {
        t = &c->tensor[p->part[i]];
        rung_frozen_rows(at, &t->frozen, 0, t->rows, t->cols);
        at += t->rows * t->cols;
    }
    return c->weights;
}

/* Low-rank factors --------------------------------------------------------------------------- */

/* One draw of 16 bits an entry: kept when it is not below p 2^16. y = x kept / (1 - p); add: y +=.
 */
static void drop(const rung_core *c, int32_t tensor, real *y, const real *x, int64_t n,
                 int64_t cols, bool add) {
    uint64_t below = (uint64_t)(c->lora.dropout * 65536.0 + 0.5);
    real scale = (real)(1 / (1 - (double)below / 65536.0));
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        uint64_t where = ((uint64_t)tensor << 40) | (uint64_t)i;
        rung_rng r = rung_rng_at(c->lora.seed, RUNG_STREAM_DROPOUT, (uint64_t)c->lora.step, where);
        for (int64_t j = 0; j < cols; j += 4) {
            uint64_t bits = rung_rng_u64_at(&r, (uint64_t)(j / 4));
            for (int64_t k = j; k < j + 4 && k < cols; k++, bits >>= 16) {
                real kept = (bits & 0xffff) >= below ? scale : 0;
                y[i * cols + k] = x[i * cols + k] * kept + (add ? y[i * cols + k] : 0);
            }
        }
    }
}

static const real *input_of(rung_core *c, int32_t tensor, const real *x, int64_t n, int64_t cols) {
    if (c->lora.dropout == 0 || c->lora.step < 0) return x;
    drop(c, tensor, c->dropped, x, n, cols, false);
    return c->dropped;
}

/* y += s drop(x) A^T B^T; y has rows of ld numbers. */
static bool adapt(rung_core *c, int32_t tensor, real *y, int64_t ld, const real *x, int64_t n) {
    const rung_core_tensor *t = &c->tensor[tensor];
    const real *a = c->w + c->tensor[t->lora].at, *b = c->w + c->tensor[t->lora + 1].at;
    int64_t r = c->lora.rank;
    const real *in = input_of(c, tensor, x, n, t->cols);
    return rung_gemm(false, true, n, r, t->cols, 1, in, t->cols, a, t->cols, 0, c->low, r) &&
           rung_gemm(false, true, n, t->rows, r, c->lora.scale, c->low, r, b, r, 1, y, ld);
}

/* ds = s dy B, the gradient at the inner side, into the second half of c->low. */
static real *inner_grad(rung_core *c, const rung_core_tensor *t, const real *dy, int64_t ld,
                        int64_t n, bool *ok) {
    int64_t r = c->lora.rank;
    real *ds = c->low + n * r;
    *ok &= rung_gemm(false, false, n, r, t->rows, c->lora.scale, dy, ld,
                     c->w + c->tensor[t->lora + 1].at, r, 0, ds, r);
    return ds;
}

static bool adapt_dw(rung_core *c, int32_t tensor, const real *dy, int64_t ld, const real *x,
                     int64_t n) {
    const rung_core_tensor *t = &c->tensor[tensor];
    int64_t r = c->lora.rank, at_a = c->tensor[t->lora].at, at_b = c->tensor[t->lora + 1].at;
    bool ok = true;
    const real *in = input_of(c, tensor, x, n, t->cols), *ds = inner_grad(c, t, dy, ld, n, &ok);
    ok &= rung_gemm(false, true, n, r, t->cols, 1, in, t->cols, c->w + at_a, t->cols, 0, c->low, r);
    ok &=
        rung_gemm(true, false, t->rows, r, n, c->lora.scale, dy, ld, c->low, r, 1, c->dw + at_b, r);
    return ok &&
           rung_gemm(true, false, r, t->cols, n, 1, ds, r, in, t->cols, 1, c->dw + at_a, t->cols);
}

static bool adapt_dx(rung_core *c, int32_t tensor, real *dx, const real *dy, int64_t ld,
                     int64_t n) {
    const rung_core_tensor *t = &c->tensor[tensor];
    bool ok = true, dropping = c->lora.dropout > 0 && c->lora.step >= 0;
    const real *ds = inner_grad(c, t, dy, ld, n, &ok), *a = c->w + c->tensor[t->lora].at;
    int64_t r = c->lora.rank;
    ok &= rung_gemm(false, false, n, t->cols, r, 1, ds, r, a, t->cols, dropping ? 0 : 1,
                    dropping ? c->dropped : dx, t->cols);
    if (dropping) drop(c, tensor, dx, c->dropped, n, t->cols, true);
    return ok;
}

/* Products ------------------------------------------------------------------------------------ */

bool rung_core_linear(rung_core *c, real *y, const real *x, const rung_product *p, int64_t n) {
    bool ok = rung_gemm_in(c->mode, false, true, n, p->rows, p->cols, x, p->cols, weights_of(c, p),
                           p->cols, 0, y, p->rows);
    int64_t off = 0;
    for (int32_t i = 0; i < p->n_part; i++) {
        if (c->tensor[p->part[i]].lora >= 0 && !c->lora.muted)
            ok &= adapt(c, p->part[i], y + off, p->rows, x, n);
        off += c->tensor[p->part[i]].rows;
    }
    return ok;
}

bool rung_core_linear_dw(rung_core *c, const real *dy, const real *x, const rung_product *p,
                         int64_t n) {
    bool ok = true;
    int64_t off = 0, at = c->tensor[p->part[0]].at;
    if (at >= 0)
        return rung_gemm_in(c->mode, true, false, p->rows, p->cols, n, dy, p->rows, x, p->cols, 1,
                            c->dw + at, p->cols);
    for (int32_t i = 0; i < p->n_part; i++) {
        if (c->tensor[p->part[i]].lora >= 0) ok &= adapt_dw(c, p->part[i], dy + off, p->rows, x, n);
        off += c->tensor[p->part[i]].rows;
    }
    return ok;
}

bool rung_core_linear_dx(rung_core *c, real *dx, const real *dy, const rung_product *p, int64_t n) {
    bool ok = rung_gemm_in(c->mode, false, false, n, p->cols, p->rows, dy, p->rows,
                           weights_of(c, p), p->cols, 0, dx, p->cols);
    int64_t off = 0;
    for (int32_t i = 0; i < p->n_part; i++) {
        if (c->tensor[p->part[i]].lora >= 0)
            ok &= adapt_dx(c, p->part[i], dx, dy + off, p->rows, n);
        off += c->tensor[p->part[i]].rows;
    }
    return ok;
}

/* The head, in pieces of its rows when it is frozen -------------------------------------------- */

/* Rows from..from+n of the head's weights. */
static const real *head_rows(rung_core *c, const rung_core_tensor *t, int64_t from, int64_t n) {
    if (t->at >= 0) return c->w + t->at + from * t->cols;
    if (t->wide) return t->wide + from * t->cols;
    rung_frozen_rows(c->weights, &t->frozen, from, n, t->cols);
    return c->weights;
}

bool rung_core_head(rung_core *c, real *logits, int64_t ld, const real *x, int64_t n) {
    const rung_core_tensor *t = &c->tensor[c->out];
    int64_t v = t->rows, d = t->cols, step = t->at >= 0 ? v : c->cap_weights / d;
    bool ok = true;
    for (int64_t at = 0; at < v; at += step) {
        int64_t m = v - at < step ? v - at : step;
        ok &= rung_gemm_in(c->mode, false, true, n, m, d, x, d, head_rows(c, t, at, m), d, 0,
                           logits + at, ld);
    }
    return ok;
}

bool rung_core_head_back(rung_core *c, real *dx, const real *dlogits, int64_t ld, const real *x,
                         int64_t n) {
    const rung_core_tensor *t = &c->tensor[c->out];
    int64_t v = t->rows, d = t->cols, step = t->at >= 0 ? v : c->cap_weights / d;
    bool ok = true;
    if (t->at >= 0)
        ok &= rung_gemm_in(c->mode, true, false, v, d, n, dlogits, ld, x, d, 1, c->dw + t->at, d);
    for (int64_t at = 0; at < v; at += step) {
        int64_t m = v - at < step ? v - at : step;
        ok &= rung_gemm_in(c->mode, false, false, n, d, m, dlogits + at, ld, head_rows(c, t, at, m),
                           d, at > 0 ? 1 : 0, dx, d);
    }
    return ok;
}
