/* Cross entropy fused with the head: logits are made for a block of rows at a time and become their
 * own gradient, so that a vocabulary of 150 thousand costs a block, not twice N x V. Only positions
 * that count are made. */
#include "train/core.h"
#include "train/parallel.h"
#include "train/vec.h"

#define HEAD_BYTES ((int64_t)96 << 20) /* logits of one block */
/* A vocabulary is often a power of two or near: rows that begin a multiple of 4096 bytes apart fall
 * on the same cache lines, and the head's product loses 4%. */
#define ROW_GAP 16

/* -log softmax(z)[target]; grad: z becomes scale (softmax(z) - onehot). */
static double ce_row(real *z, int64_t n, int32_t target, double scale, bool grad) {
    real top = rung_real_max(z, n);
    double at = (double)z[target], sum = rung_exp_row(z, top, n);
    if (grad) {
        real inv = (real)(scale / sum);
#pragma omp simd
        for (int64_t j = 0; j < n; j++) z[j] *= inv;
        z[target] -= (real)scale;
    }
    return log(sum) + (double)top - at;
}

static rung_status check(double *sum, int64_t *n_rows, const rung_core *c, const int32_t *target,
                         const float *weight, rung_error *err) {
    *sum = 0;
    *n_rows = 0;
    for (int64_t i = 0; i < c->n; i++) {
        if (!(weight[i] >= 0) || !isfinite(weight[i]))
            return rung_fail(err, RUNG_E_INVAL, "loss: weight %g at position %lld",
                             (double)weight[i], (long long)i);
        if (weight[i] == 0) continue;
        if (target[i] < 0 || target[i] >= c->shape.n_vocab)
            return rung_fail(err, RUNG_E_INVAL, "loss: target %d at position %lld is not below %d",
                             target[i], (long long)i, c->shape.n_vocab);
        *sum += (double)weight[i];
        ++*n_rows;
    }
    return RUNG_OK;
}

/* What one block of rows needs: which rows, their hidden states side by side, logits, losses. */
typedef struct block {
    int64_t *row;
    double *loss;
    real *x, *z;
    int64_t cap, ld; /* rows; numbers from one row of logits to the next */
} block;

/* dst row to[i] (NULL: i) = src row from[i] (NULL: i). */
static void copy_rows(real *dst, const int64_t *to, const real *src, const int64_t *from, int64_t n,
                      int64_t d) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++)
        memcpy(dst + (to ? to[i] : i) * d, src + (from ? from[i] : i) * d, (size_t)d * sizeof *dst);
}

static bool run_block(rung_core *c, block *b, int64_t n, const int32_t *target, const float *weight,
                      double factor, bool grad) {
    int64_t d = c->shape.n_embd, v = c->shape.n_vocab;
    copy_rows(b->x, NULL, c->xf, b->row, n, d);
    if (!rung_core_head(c, b->z, b->ld, b->x, n)) return false;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        int64_t r = b->row[i];
        b->loss[i] = ce_row(b->z + i * b->ld, v, target[r], factor * (double)weight[r], grad);
    }
    if (!grad) return true;
    if (!rung_core_head_back(c, c->act, b->z, b->ld, b->x, n)) return false;
    copy_rows(c->xn, b->row, c->act, NULL, n, d);
    return true;
}

static rung_status block_init(block *b, rung_core *c, int64_t n_rows, rung_error *err) {
    int64_t d = c->shape.n_embd, v = c->shape.n_vocab, act = c->shape.n_ff;
    if (c->dim[DIM_A] > act) act = c->dim[DIM_A];
    memset(b, 0, sizeof *b);
    b->ld = v + ROW_GAP;
    b->cap = HEAD_BYTES / (v * (int64_t)sizeof(real));
    if (b->cap > n_rows) b->cap = n_rows;
    if (b->cap * d > c->n * act) b->cap = c->n * act / d; /* c->act takes the gradient */
    if (b->cap < 1) b->cap = 1;
    RUNG_TRY(
        rung_core_grow(&c->head, &c->cap_head, b->cap * (b->ld + d), "a block of logits", err));
    b->z = c->head;
    b->x = c->head + b->cap * b->ld;
    b->row = rung_alloc((size_t)b->cap * sizeof *b->row);
    b->loss = rung_alloc((size_t)b->cap * sizeof *b->loss);
    if (b->row && b->loss) return RUNG_OK;
    return rung_fail(err, RUNG_E_NOMEM, "no memory for a block of %lld rows", (long long)b->cap);
}

static bool run_blocks(double *value, double *row_loss, rung_core *c, block *b,
                       const int32_t *target, const float *weight, double norm, double scale,
                       bool grad) {
    int64_t at = 0;
    while (at < c->n) {
        int64_t n = 0;
        for (; at < c->n && n < b->cap; at++) {
            if (weight[at] > 0) b->row[n++] = at;
        }
        if (n == 0) break;
        if (!run_block(c, b, n, target, weight, scale / norm, grad)) return false;
        for (int64_t i = 0; i < n; i++) {
            *value += (double)weight[b->row[i]] / norm * b->loss[i];
            if (row_loss) row_loss[b->row[i]] = b->loss[i];
        }
    }
    return true;
}

rung_status rung_core_ce(double *value, double *row_loss, rung_core *c, const int32_t *target,
                         const float *weight, double norm, double scale, bool grad,
                         rung_error *err) {
    if (c->n == 0) return rung_fail(err, RUNG_E_MISUSE, "a loss without a forward before it");
    double sum;
    int64_t n_rows;
    size_t n = (size_t)c->n, row_bytes = (size_t)c->shape.n_embd * sizeof(real);
    block b = {0};
    *value = 0;
    RUNG_TRY(check(&sum, &n_rows, c, target, weight, err));
    if (norm == 0) norm = sum;
    if (row_loss) memset(row_loss, 0, n * sizeof *row_loss);
    for (int64_t i = 0; grad && i < c->n; i++) {
        if (weight[i] == 0) memset(c->xn + i * c->shape.n_embd, 0, row_bytes);
    }
    rung_status st = RUNG_OK;
    if (n_rows > 0) {
        st = block_init(&b, c, n_rows, err);
        if (st == RUNG_OK && !run_blocks(value, row_loss, c, &b, target, weight, norm, scale, grad))
            st = rung_core_no_product(err);
    }
    rung_free(b.row);
    rung_free(b.loss);
    if (st == RUNG_OK && grad && isfinite(*value) && !rung_core_back_layers(c))
        st = rung_core_no_product(err);
    return st;
}
