/* Losses by one number a sample: z, the sum of its scores or log-ratios. */
#include "train/loss_row.h"

#include <stdlib.h>

static bool is_there(const loss_job *j, int64_t s) {
    return j->len[s] > 0 && loss_weight(j->d, s) > 0;
}

/* Pairs -----------------------------------------------------------------------------------------
 */

/* Loss of a pair by its difference of z; derivative into g. */
typedef double pair_fn(double *g, const loss_job *j, int64_t p, double diff);

static rung_status over_pairs(double *sum, double *den, double *dz, loss_job *j, pair_fn *fn) {
    const rung_loss_data *d = j->d;
    for (int64_t p = 0; p < d->n_pairs; p++) {
        int32_t up = d->pair[2 * p], down = d->pair[2 * p + 1];
        double w = d->pair_weight ? d->pair_weight[p] : 1, g;
        if (w == 0 || !is_there(j, up) || !is_there(j, down)) continue;
        w *= loss_weight(d, up) * loss_weight(d, down);
        *sum += w * fn(&g, j, p, j->z[up] - j->z[down]);
        *den += w;
        dz[up] += w * g;
        dz[down] -= w * g;
        j->f.n += 1;
        j->f.chosen += j->o.beta * j->z[up];
        j->f.rejected += j->o.beta * j->z[down];
        j->f.accuracy += j->z[up] > j->z[down] ? 1 : j->z[up] == j->z[down] ? 0.5 : 0;
    }
    return RUNG_OK;
}

static double margin_of(const loss_job *j, int64_t p) {
    return j->d->pair_margin ? j->d->pair_margin[p] : j->o.margin;
}

/* -(1-e) ln sigma(h) - e ln sigma(-h); learning.md 4.2 C; heads: Bradley-Terry */
static double pair_logistic(double *g, const loss_job *j, int64_t p, double diff) {
    double h = j->o.beta * diff - margin_of(j, p), e = j->o.smoothing;
    *g = j->o.beta * (loss_sigma(h) - (1 - e));
    return (1 - e) * rung_softplus(-h) + e * rung_softplus(h);
}

static double pair_margin(double *g, const loss_job *j, int64_t p, double diff) {
    double l = margin_of(j, p) - diff;
    *g = l > 0 ? -1 : 0;
    return l > 0 ? l : 0;
}

static double pair_ipo(double *g, const loss_job *j, int64_t p, double diff) {
    (void)p;
    double e = diff - 1 / (2 * j->o.beta);
    *g = 2 * e;
    return e * e;
}

static double pair_regression(double *g, const loss_job *j, int64_t p, double diff) {
    const double *r = j->d->reward;
    double e = j->o.beta * diff - (r[j->d->pair[2 * p]] - r[j->d->pair[2 * p + 1]]);
    *g = 2 * e * j->o.beta;
    return e * e;
}

rung_status rung_loss_sample_pairs(double *sum, double *den, double *dz, loss_job *j,
                                   rung_error *err) {
    (void)err;
    return over_pairs(sum, den, dz, j, pair_logistic);
}
rung_status rung_loss_sample_margin(double *sum, double *den, double *dz, loss_job *j,
                                    rung_error *err) {
    (void)err;
    return over_pairs(sum, den, dz, j, pair_margin);
}
rung_status rung_loss_sample_ipo(double *sum, double *den, double *dz, loss_job *j,
                                 rung_error *err) {
    (void)err;
    return over_pairs(sum, den, dz, j, pair_ipo);
}
rung_status rung_loss_sample_regression(double *sum, double *den, double *dz, loss_job *j,
                                        rung_error *err) {
    (void)err;
    return over_pairs(sum, den, dz, j, pair_regression);
}

/* One sample at a time ----------------------------------------------------------------------------
 */

static void note_outcome(loss_job *j, double label, double h, double cut) {
    bool right = label > 0.5;
    j->f.n += 1;
    j->f.accuracy += h == cut ? 0.5 : right == (h > cut);
    *(right ? &j->f.chosen : &j->f.rejected) += h;
}

/* t softplus(-h) + (1-t) softplus(h), h = beta z; rewards.md 1 */
rung_status rung_loss_sample_implicit(double *sum, double *den, double *dz, loss_job *j,
                                      rung_error *err) {
    (void)err;
    double n_right = 0;
    for (int64_t s = 0; s < j->d->n_samples; s++) {
        if (!is_there(j, s)) continue;
        double w = loss_weight(j->d, s), h = j->o.beta * j->z[s], t = j->d->label[s];
        *sum += w * (t * rung_softplus(-h) + (1 - t) * rung_softplus(h));
        *den += w;
        dz[s] = w * j->o.beta * (loss_sigma(h) - t);
        note_outcome(j, t, h, 0);
        n_right += t > 0.5;
    }
    j->f.chosen *= n_right > 0 ? j->f.n / n_right : (double)NAN; /* divided by n later */
    j->f.rejected *= j->f.n > n_right ? j->f.n / (j->f.n - n_right) : (double)NAN;
    return RUNG_OK;
}

/* lam_D (1 - sigma(h - beta z0)) or lam_U (1 - sigma(beta z0 - h)); learning.md 4.2 D */
rung_status rung_loss_sample_kto(double *sum, double *den, double *dz, loss_job *j,
                                 rung_error *err) {
    (void)err;
    double n_right = 0;
    for (int64_t s = 0; s < j->d->n_samples; s++) {
        if (!is_there(j, s)) continue;
        bool good = j->d->label[s] > 0.5;
        double w = loss_weight(j->d, s) * (good ? j->o.desirable : j->o.undesirable);
        double u = j->o.beta * (j->z[s] - j->o.kto_zero), p = loss_sigma(u), q = loss_sigma(-u);
        *sum += w * (good ? q : p);
        *den += loss_weight(j->d, s);
        dz[s] = (good ? -w : w) * j->o.beta * p * q;
        note_outcome(j, good, j->o.beta * j->z[s], j->o.beta * j->o.kto_zero);
        n_right += good;
    }
    j->f.chosen *= n_right > 0 ? j->f.n / n_right : (double)NAN;
    j->f.rejected *= j->f.n > n_right ? j->f.n / (j->f.n - n_right) : (double)NAN;
    return RUNG_OK;
}

/* Groups ------------------------------------------------------------------------------------------
 */

typedef struct grouped {
    int32_t group, sample;
} grouped;

static int by_group(const void *a, const void *b) {
    const grouped *x = a, *y = b;
    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    return (x->sample > y->sample) - (x->sample < y->sample);
}

int32_t *rung_loss_group_order(int64_t *n, const int32_t *group, int64_t n_samples) {
    grouped *g = rung_alloc((size_t)(n_samples + 1) * sizeof *g);
    int32_t *order = rung_alloc((size_t)(n_samples + 1) * sizeof *order);
    *n = 0;
    if (g && order) {
        for (int64_t s = 0; s < n_samples; s++)
            if (group[s] >= 0) g[(*n)++] = (grouped){group[s], (int32_t)s};
        qsort(g, (size_t)*n, sizeof *g, by_group);
        for (int64_t i = 0; i < *n; i++) order[i] = g[i].sample;
    }
    rung_free(g);
    if (g && order) return order;
    rung_free(order);
    return NULL;
}

/* The loss of one group: samples who[0..n), all there. */
typedef void group_fn(double *sum, double *den, double *dz, loss_job *j, const int32_t *who,
                      int64_t n);

static rung_status over_groups(double *sum, double *den, double *dz, loss_job *j, group_fn *fn,
                               rung_error *err) {
    int64_t n, n_there = 0;
    int32_t *who = rung_loss_group_order(&n, j->d->group, j->d->n_samples);
    if (!who)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for a loss of %lld samples",
                         (long long)j->d->n_samples);
    for (int64_t i = 0; i < n; i++)
        if (is_there(j, who[i])) who[n_there++] = who[i];
    for (int64_t i = 0, end; i < n_there; i = end) {
        for (end = i + 1; end < n_there && j->d->group[who[end]] == j->d->group[who[i]];) end++;
        fn(sum, den, dz, j, who + i, end - i);
    }
    rung_free(who);
    return RUNG_OK;
}

/* Bradley-Terry over all pairs that differ in reward; labels.md 3, pairwise */
static void group_omega(double *sum, double *den, double *dz, loss_job *j, const int32_t *who,
                        int64_t n) {
    const double *r = j->d->reward;
    for (int64_t a = 0; a < n; a++) {
        for (int64_t b = a + 1; b < n; b++) {
            if (r[who[a]] == r[who[b]]) continue;
            bool first = r[who[a]] > r[who[b]];
            int32_t up = first ? who[a] : who[b], down = first ? who[b] : who[a];
            double w = loss_weight(j->d, up) * loss_weight(j->d, down);
            double h = j->o.beta * (j->z[up] - j->z[down]);
            double g = w * j->o.beta * (loss_sigma(h) - 1);
            *sum += w * rung_softplus(-h);
            *den += w;
            dz[up] += g;
            dz[down] -= g;
            j->f.n += 1;
            j->f.accuracy += h > 0 ? 1 : h == 0 ? 0.5 : 0;
        }
    }
}

static double top_reward(const loss_job *j, const int32_t *who, int64_t n) {
    double top = j->d->reward[who[0]];
    for (int64_t k = 1; k < n; k++) top = fmax(top, j->d->reward[who[k]]);
    return top;
}

/* q = softmax(reward / alpha) as numerators over *sum: ties share equally. */
static double q_of(const loss_job *j, int32_t s, double top) {
    return exp((j->d->reward[s] - top) / j->o.alpha);
}

static double q_sum(const loss_job *j, const int32_t *who, int64_t n, double top) {
    double sum = 0;
    for (int64_t k = 0; k < n; k++) sum += q_of(j, who[k], top);
    return sum;
}

/* -q ln sigma(h) - ln sigma(-h) / K; learning.md 4.2 E */
static void group_nca(double *sum, double *den, double *dz, loss_job *j, const int32_t *who,
                      int64_t n) {
    double top = top_reward(j, who, n), all = q_sum(j, who, n, top), share = 1 / (double)n;
    for (int64_t k = 0; k < n; k++) {
        int32_t s = who[k];
        double w = loss_weight(j->d, s), q = q_of(j, s, top) / all, h = j->o.beta * j->z[s];
        *sum += w * (q * rung_softplus(-h) + share * rung_softplus(h));
        *den += w * share;
        dz[s] = w * j->o.beta * (share * loss_sigma(h) - q * loss_sigma(-h));
    }
    j->f.n += 1;
}

/* -sum q ln softmax(h); learning.md 4.2 E */
static void group_info_nca(double *sum, double *den, double *dz, loss_job *j, const int32_t *who,
                           int64_t n) {
    double top_r = top_reward(j, who, n), all = q_sum(j, who, n, top_r);
    double top = -(double)INFINITY, e = 0, mass = 0;
    for (int64_t k = 0; k < n; k++) top = fmax(top, j->o.beta * j->z[who[k]]);
    for (int64_t k = 0; k < n; k++) e += exp(j->o.beta * j->z[who[k]] - top);
    for (int64_t k = 0; k < n; k++) {
        int32_t s = who[k];
        double w = loss_weight(j->d, s), q = w * q_of(j, s, top_r) / all;
        *sum += q * (log(e) + top - j->o.beta * j->z[s]);
        *den += w / (double)n;
        dz[s] -= j->o.beta * q;
        mass += q;
    }
    for (int64_t k = 0; k < n; k++)
        dz[who[k]] += j->o.beta * mass * exp(j->o.beta * j->z[who[k]] - top) / e;
    j->f.n += 1;
}

rung_status rung_loss_sample_omega(double *sum, double *den, double *dz, loss_job *j,
                                   rung_error *err) {
    return over_groups(sum, den, dz, j, group_omega, err);
}
rung_status rung_loss_sample_nca(double *sum, double *den, double *dz, loss_job *j,
                                 rung_error *err) {
    return over_groups(sum, den, dz, j, group_nca, err);
}
rung_status rung_loss_sample_info_nca(double *sum, double *den, double *dz, loss_job *j,
                                      rung_error *err) {
    return over_groups(sum, den, dz, j, group_info_nca, err);
}
