/* What reads final hidden states beside the head of logits: a small head that trains with the net,
 * and the difference of two logits without the others. */
#include "train/core.h"

#include <stdio.h>

rung_status rung_core_add_read(rung_core *c, int32_t n_hidden, int32_t n_out, rung_error *err) {
    int64_t d = c->shape.n_embd, o = n_out > 0 ? n_out : 1, h = n_hidden > 0 ? n_hidden : o;
    if (c->read.n_in > 0) return rung_fail(err, RUNG_E_MISUSE, "the net has a head already");
    if (n_hidden < 0 || n_hidden > (1 << 20))
        return rung_fail(err, RUNG_E_INVAL, "a head of %d hidden units", n_hidden);
    if (n_out < 0 || n_out > 2)
        return rung_fail(err, RUNG_E_INVAL, "a head has 1 or 2 outputs, not %d", n_out);
    const rung_head_dims dims = {d, n_hidden, o};
    const struct {
        const char *name;
        int64_t rows, cols;
        rung_role role;
    } part[] = {{"head.w1", h, d, ROLE_MATRIX},
                {"head.b1", 1, h, ROLE_BIAS},
                {"head.w2", o, n_hidden, ROLE_MATRIX},
                {"head.b2", 1, o, ROLE_BIAS}};
    size_t n_part = n_hidden > 0 ? 4 : 2, n_own = (size_t)c->n_tensors;
    size_t n_w = (size_t)(c->n_params + rung_head_n_params(dims));
    rung_core_tensor *all = rung_realloc(c->tensor, (n_own + n_part) * sizeof *all);
    if (all) c->tensor = all;
    real *w = rung_realloc(c->w, n_w * sizeof *w);
    if (w) c->w = w;
    real *dw = rung_realloc(c->dw, n_w * sizeof *dw);
    if (dw) c->dw = dw;
    c->read_mean = rung_calloc((size_t)d, sizeof(real));
    c->read_inv_sd = rung_calloc((size_t)d, sizeof(real));
    if (!all || !w || !dw || !c->read_mean || !c->read_inv_sd)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for a head of %d hidden units", n_hidden);
    for (int64_t i = 0; i < d; i++) c->read_inv_sd[i] = 1;
    memset(w + c->n_params, 0, (n_w - (size_t)c->n_params) * sizeof *w);
    memset(dw + c->n_params, 0, (n_w - (size_t)c->n_params) * sizeof *dw);
    c->read = dims;
    c->read_at = c->n_params;
    c->read_tensor = c->n_tensors;
    for (size_t i = 0; i < n_part; i++) {
        rung_core_tensor *t = &c->tensor[c->n_tensors++];
        memset(t, 0, sizeof *t);
        snprintf(t->name, sizeof t->name, "%s", part[i].name);
        t->rows = part[i].rows;
        t->cols = part[i].cols;
        t->role = part[i].role;
        t->at = c->n_params;
        t->lora = -1;
        c->n_params += t->rows * t->cols;
    }
    c->cap_tensors = c->n_tensors;
    return RUNG_OK;
}

/* Positions that are read, standardised [n][D]; the hidden layer [n][H]; one gradient of the head.
 */
typedef struct read_block {
    real *x, *hid, *g;
} read_block;

static read_block block_of(const rung_core *c, int64_t n) {
    real *x = c->read_block;
    real *hid = x + n * c->read.n_in;
    return (read_block){x, hid, hid + n * c->read.n_hidden};
}

static rung_status check_positions(const rung_core *c, const int64_t *at, int64_t n,
                                   rung_error *err) {
    for (int64_t i = 0; i < n; i++) {
        if (at[i] < 0 || at[i] >= c->n)
            return rung_fail(err, RUNG_E_INVAL, "item %lld reads position %lld of %lld",
                             (long long)i, (long long)at[i], (long long)c->n);
    }
    return RUNG_OK;
}

rung_status rung_core_score(real *z, rung_core *c, const int64_t *at, int64_t n, rung_error *err) {
    if (c->read.n_in == 0) return rung_fail(err, RUNG_E_MISUSE, "the net has no head to score by");
    if (c->n == 0) return rung_fail(err, RUNG_E_MISUSE, "a score without a forward before it");
    RUNG_TRY(check_positions(c, at, n, err));
    int64_t d = c->read.n_in, np = rung_head_n_params(c->read);
    RUNG_TRY(rung_core_grow(&c->read_block, &c->cap_read, n * (d + c->read.n_hidden) + np,
                            "the positions a head reads", err));
    read_block k = block_of(c, n);
    for (int64_t i = 0; i < n; i++) {
        const real *x = c->xf + at[i] * d;
        for (int64_t j = 0; j < d; j++)
            k.x[i * d + j] = (x[j] - c->read_mean[j]) * c->read_inv_sd[j];
    }
    if (n == 0 || rung_head_core_forward(z, k.hid, c->w + c->read_at, c->read, k.x, n))
        return RUNG_OK;
    return rung_core_no_product(err);
}

rung_status rung_core_score_back(rung_core *c, const real *dz, const int64_t *at, int64_t n,
                                 rung_error *err) {
    int64_t d = c->read.n_in, np = rung_head_n_params(c->read);
    real *dw = c->dw + c->read_at;
    const real *w = c->w + c->read_at;
    read_block k = block_of(c, n);
    memset(c->xn, 0, (size_t)(c->n * d) * sizeof(real));
    if (n == 0) return rung_core_read_done(c, err);
    if (!rung_head_core_back(k.g, k.hid, dz, w, c->read, k.x, n)) return rung_core_no_product(err);
    for (int64_t i = 0; i < np; i++) dw[i] += k.g[i];
    /* dL/d(standardised input) takes the place of the input */
    if (!rung_head_core_dx(k.x, k.hid, dz, w, c->read, n)) return rung_core_no_product(err);
    for (int64_t i = 0; i < n; i++) {
        real *dx = c->xn + at[i] * d;
        for (int64_t j = 0; j < d; j++) dx[j] += k.x[i * d + j] * c->read_inv_sd[j];
    }
    return rung_core_read_done(c, err);
}

rung_status rung_core_read_done(rung_core *c, rung_error *err) {
    bool below = c->read.n_in == 0 || c->n_params > rung_head_n_params(c->read);
    if (!below) { /* nothing under the head is trained */
        c->n = 0;
        return RUNG_OK;
    }
    return rung_core_back_layers(c) ? RUNG_OK : rung_core_no_product(err);
}

/* Two words ------------------------------------------------------------------------------------ */

rung_status rung_core_words(double *z, rung_core *c, int32_t plus, int32_t minus,
                            const double *mask, rung_error *err) {
    if (c->n == 0) return rung_fail(err, RUNG_E_MISUSE, "a score without a forward before it");
    const rung_core_tensor *t = &c->tensor[c->out];
    int64_t d = t->cols;
    int32_t word[2] = {plus, minus};
    RUNG_TRY(rung_core_grow(&c->read_block, &c->cap_read, 2 * d, "two rows of the output", err));
    real *u = c->read_block;
    if (t->at < 0) rung_frozen_gather(u, &t->frozen, word, 2, d);
    for (int k = 0; t->at >= 0 && k < 2; k++)
        memcpy(u + k * d, c->w + t->at + word[k] * d, (size_t)d * sizeof *u);
    for (int64_t j = 0; j < d; j++) u[j] -= u[d + j];
    for (int64_t i = 0; i < c->n; i++) {
        double s = 0;
        z[i] = 0;
        if (mask[i] == 0) continue;
        for (int64_t j = 0; j < d; j++) s += (double)c->xf[i * d + j] * (double)u[j];
        z[i] = s;
    }
    return RUNG_OK;
}

rung_status rung_core_words_back(rung_core *c, const double *dz, int32_t plus, int32_t minus,
                                 rung_error *err) {
    const rung_core_tensor *t = &c->tensor[c->out];
    int64_t d = t->cols;
    const real *u = c->read_block;
    real *dplus = t->at < 0 ? NULL : c->dw + t->at + plus * d;
    real *dminus = t->at < 0 ? NULL : c->dw + t->at + minus * d;
    for (int64_t i = 0; i < c->n; i++) {
        real g = (real)dz[i], *dx = c->xn + i * d;
        const real *x = c->xf + i * d;
        for (int64_t j = 0; j < d; j++) dx[j] = g * u[j];
        if (g == 0 || !dplus) continue;
        for (int64_t j = 0; j < d; j++) {
            dplus[j] += g * x[j];
            dminus[j] -= g * x[j];
        }
    }
    return rung_core_read_done(c, err);
}
