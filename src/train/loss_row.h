/* Inside the losses: what a table row is made of, and what all rows share. */
#ifndef RUNG_SRC_TRAIN_LOSS_ROW_H
#define RUNG_SRC_TRAIN_LOSS_ROW_H
#include "rung/loss.h"
#include "train/real.h"

/* One evaluation. Options are resolved: defaults are in their places. */
typedef struct loss_job {
    const rung_loss_data *d;
    rung_loss_opts o;
    double *len;       /* [n_samples] sum of masks; 0: the sample is not there */
    double *z;         /* [n_samples] of the rows that need it */
    double *a;         /* [n_samples] geo_mean: mean advantage */
    double *log_trust; /* [n_samples] geo_mean: mean log of the sampler's weight */
    rung_loss_figures f;
} loss_job;

/* Loss of item i; its derivative by x[i] into g (n_class of them for class_ce). */
typedef double loss_item_fn(double *g, loss_job *j, int64_t i);
/* Sum over what it counts of the loss by z, derivatives into dz (zeroed before), and the sum of
 * weights. */
typedef rung_status loss_sample_fn(double *sum, double *denominator, double *dz, loss_job *j,
                                   rung_error *err);

loss_item_fn rung_loss_item_ce, rung_loss_item_bce, rung_loss_item_class_ce, rung_loss_item_mse,
    rung_loss_item_value, rung_loss_item_kl1, rung_loss_item_kl2, rung_loss_item_kl3,
    rung_loss_item_ppo, rung_loss_item_kl_abs, rung_loss_item_reinforce, rung_loss_item_cispo,
    rung_loss_item_sapo, rung_loss_item_geo_mean, rung_loss_item_clip_cov, rung_loss_item_kl_cov;
loss_sample_fn rung_loss_sample_pairs, rung_loss_sample_margin, rung_loss_sample_ipo,
    rung_loss_sample_regression, rung_loss_sample_omega, rung_loss_sample_implicit,
    rung_loss_sample_kto, rung_loss_sample_nca, rung_loss_sample_info_nca;

static inline double loss_sigma(double x) {
    return 1 / (1 + exp(-x));
}
static inline int64_t loss_sample_of(const rung_loss_data *d, int64_t i) {
    return d->sample ? d->sample[i] : i;
}
static inline double loss_mask(const rung_loss_data *d, int64_t i) {
    return d->mask ? d->mask[i] : 1;
}
static inline double loss_weight(const rung_loss_data *d, int64_t s) {
    return d->weight ? d->weight[s] : 1;
}
/* Weight of item i: 0 when it, its sample or its sample's weight is not there. */
static inline double loss_item_weight(const rung_loss_data *d, int64_t i) {
    int64_t s = loss_sample_of(d, i);
    return s < 0 ? 0 : loss_mask(d, i) * loss_weight(d, s);
}

/* ln(ratio) of a token as geo_mean clips it; *free: the clip did not act. */
double loss_geo_log_ratio(bool *is_free, const loss_job *j, int64_t i);
/* What the sampler's logprob makes a token count: min(exp(old - sampler), c). */
static inline double loss_trust(const loss_job *j, int64_t i) {
    const rung_loss_data *d = j->d;
    return d->sampler ? fmin(exp(d->old[i] - d->sampler[i]), j->o.clip_sampler) : 1;
}

rung_status rung_loss_select_items(uint8_t *selected, bool clip, const rung_loss_data *d,
                                   const rung_loss_opts *o, rung_error *err);

/* Samples in the order of (group, number), those of group -1 left out; *n of them. rung_free() it;
 * NULL: no memory. */
int32_t *rung_loss_group_order(int64_t *n, const int32_t *group, int64_t n_samples);
#endif
