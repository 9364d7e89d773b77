/* Losses that are a sum over items: tokens or scores. */
#include "train/loss_row.h"

double rung_loss_item_ce(double *g, loss_job *j, int64_t i) { /* learning.md 4.2 A */
    *g = -1;
    return -j->d->x[i];
}

/* s softplus(-x) + (1 - s) softplus(x); labels.md 3 (pointwise soft and hard), labels.md 2 E */
double rung_loss_item_bce(double *g, loss_job *j, int64_t i) {
    double x = j->d->x[i], t = j->d->target[i];
    *g = loss_sigma(x) - t;
    return t * rung_softplus(-x) + (1 - t) * rung_softplus(x);
}

double rung_loss_item_class_ce(double *g, loss_job *j, int64_t i) { /* labels.md 2 E */
    int32_t c = j->o.n_class;
    const double *x = j->d->x + i * c;
    double t = j->d->target[i], top = x[0], sum = 0, l = 0;
    for (int32_t k = 1; k < c; k++) top = x[k] > top ? x[k] : top;
    for (int32_t k = 0; k < c; k++) sum += g[k] = exp(x[k] - top);
    double log_sum = log(sum) + top;
    for (int32_t k = 0; k < c; k++) {
        double q = c == 2 ? (k == 1 ? t : 1 - t) : (double)(k == (int32_t)t);
        if (q > 0) l += q * (log_sum - x[k]);
        g[k] = g[k] / sum - q;
    }
    return l;
}

double rung_loss_item_mse(double *g, loss_job *j, int64_t i) { /* labels.md 2 E, soft */
    double s = loss_sigma(j->d->x[i]), e = s - j->d->target[i];
    *g = 2 * e * s * (1 - s);
    return e * e;
}

/* 1/2 max((V - R)^2, (V_old + clip(V - V_old, +-c) - R)^2); learning.md 4.2 J */
double rung_loss_item_value(double *g, loss_job *j, int64_t i) {
    double v = j->d->x[i], e = v - j->d->target[i], c = j->o.clip_value;
    *g = e;
    if (c <= 0) return e * e / 2;
    double move = v - j->d->old[i];
    if (fabs(move) <= c) return e * e / 2;
    double cut = j->d->old[i] + copysign(c, move) - j->d->target[i];
    if (cut * cut <= e * e) return e * e / 2;
    *g = 0;
    return cut * cut / 2;
}

/* KL to a reference, d = l - ref; learning.md 4.2 K ------------------------------------------- */

/* A KL estimate of more than this is a token gone wrong, not a distance (learning.md 4.2 K). */
#define K3_MAX 10.0

static double k3_of(double d) {
    return expm1(-d) + d;
}

static double ratio_of(const loss_job *j, int64_t i) {
    return j->d->x[i] - j->d->ref[i];
}

double rung_loss_item_kl1(double *g, loss_job *j, int64_t i) {
    *g = 1;
    return ratio_of(j, i);
}

double rung_loss_item_kl2(double *g, loss_job *j, int64_t i) {
    double d = ratio_of(j, i);
    *g = d;
    return d * d / 2;
}

double rung_loss_item_kl3(double *g, loss_job *j, int64_t i) {
    double d = ratio_of(j, i), k = k3_of(d);
    *g = k < K3_MAX ? -expm1(-d) : 0;
    return k < K3_MAX ? k : K3_MAX;
}

double rung_loss_item_kl_abs(double *g, loss_job *j, int64_t i) {
    double d = ratio_of(j, i);
    *g = d > 0 ? 1 : d < 0 ? -1 : 0;
    return fabs(d);
}
