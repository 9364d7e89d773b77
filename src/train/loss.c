/* Losses: value and dL/dlogits. Probabilities stay in logs; sums over rows in f64, in row order. */
#include "rung/train.h"
#include "train/real.h"

/* Sum of weights over counted rows; E_INVAL for a negative or non-finite weight. */
static rung_status count_rows(double *sum, int64_t *n_terms, const float *weight, int64_t n,
                              rung_error *err) {
    *sum = 0;
    *n_terms = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!(weight[i] >= 0) || !isfinite(weight[i]))
            return rung_fail(err, RUNG_E_INVAL, "loss: weight %g at position %lld",
                             (double)weight[i], (long long)i);
        if (weight[i] > 0) {
            *sum += (double)weight[i];
            ++*n_terms;
        }
    }
    return RUNG_OK;
}

static double add_up(const double *x, int64_t n) {
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += x[i];
    return s;
}

/* -log softmax(z)[target] and, times scale, its gradient softmax(z) - onehot. */
static double ce_row(float *dz, const float *z, int32_t n_vocab, int32_t target, float scale) {
    float top = rung_real_max(z, n_vocab);
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int32_t j = 0; j < n_vocab; j++) {
        dz[j] = rung_real_exp(z[j] - top);
        sum += (double)dz[j];
    }
    float inv = (float)((double)scale / sum);
#pragma omp simd
    for (int32_t j = 0; j < n_vocab; j++) dz[j] *= inv;
    dz[target] -= scale;
    return log(sum) + (double)top - (double)z[target];
}

rung_status rung_loss_ce_fn(double *value, int64_t *n_terms, float *dlogits, const float *logits,
                            const rung_batch *b, int32_t n_vocab, void *ud, rung_error *err) {
    const rung_loss_ce *o = ud;
    int64_t n = (int64_t)b->n_rows * b->n_tok, v = n_vocab;
    double sum;
    *value = 0;
    RUNG_TRY(count_rows(&sum, n_terms, o->weight, n, err));
    for (int64_t i = 0; i < n; i++) {
        if (o->weight[i] > 0 && (o->target[i] < 0 || o->target[i] >= n_vocab))
            return rung_fail(err, RUNG_E_INVAL, "loss: target %d at position %lld is not below %d",
                             o->target[i], (long long)i, n_vocab);
    }
    double *row = rung_calloc((size_t)n, sizeof *row);
    if (!row)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for a loss of %lld rows", (long long)n);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        double w = (double)o->weight[i];
        if (w > 0)
            row[i] =
                w / sum *
                ce_row(dlogits + i * v, logits + i * v, n_vocab, o->target[i], (float)(w / sum));
        else
            memset(dlogits + i * v, 0, (size_t)v * sizeof *dlogits);
    }
    *value = add_up(row, n);
    rung_free(row);
    return RUNG_OK;
}

/* z = logit(+) - logit(-), s soft target: s softplus(-z) + (1 - s) softplus(z); dz =
 * sigma(z) - s.
 */
rung_status rung_loss_pair_fn(double *value, int64_t *n_terms, float *dlogits, const float *logits,
                              const rung_batch *b, int32_t n_vocab, void *ud, rung_error *err) {
    const rung_loss_pair *o = ud;
    int64_t n = (int64_t)b->n_rows * b->n_tok, v = n_vocab;
    double sum;
    *value = 0;
    if (o->plus < 0 || o->plus >= n_vocab || o->minus < 0 || o->minus >= n_vocab ||
        o->plus == o->minus)
        return rung_fail(err, RUNG_E_INVAL, "loss: token pair %d, %d of %d tokens", o->plus,
                         o->minus, n_vocab);
    RUNG_TRY(count_rows(&sum, n_terms, o->weight, n, err));
    memset(dlogits, 0, (size_t)(n * v) * sizeof *dlogits);
    for (int64_t i = 0; i < n; i++) {
        double w = (double)o->weight[i], s = (double)o->target[i];
        if (w == 0) continue;
        if (!(s >= 0 && s <= 1))
            return rung_fail(err, RUNG_E_INVAL, "loss: soft target %g at position %lld", s,
                             (long long)i);
        const float *li = logits + i * v;
        double z = (double)li[o->plus] - (double)li[o->minus];
        double dz = w / sum * (1 / (1 + exp(-z)) - s);
        *value += w / sum * (s * rung_softplus(-z) + (1 - s) * rung_softplus(z));
        dlogits[i * v + o->plus] = (float)dz;
        dlogits[i * v + o->minus] = (float)-dz;
    }
    return RUNG_OK;
}
