/* Policy losses: item rows on the ratio of the policy to the one that sampled. rho = exp(l - old).
 */
#include "train/loss_row.h"

#include <stdlib.h>

/* exp of this is no ratio any more (learning.md 4.2, rho). */
#define LOG_RATIO_MAX 20.0
/* The same for a ratio of geometric means. */
#define LOG_GEO_MAX 20.0

static double k3_of(double d) {
    return expm1(-d) + d;
}
static double clip_from(const loss_job *j) {
    return j->o.clip_low < 0 ? 0 : 1 - j->o.clip_low;
}
static double clip_to(const loss_job *j) {
    return j->o.clip_high < 0 ? (double)INFINITY : 1 + j->o.clip_high;
}

/* rho of an item, and its derivative by x (0 where the exponent was cut). */
static double rho_of(double *drho, loss_job *j, int64_t i) {
    double u = j->d->x[i] - j->d->old[i];
    double rho = exp(fmin(fmax(u, -LOG_RATIO_MAX), LOG_RATIO_MAX));
    *drho = fabs(u) <= LOG_RATIO_MAX ? rho : 0;
    j->f.kl += k3_of(u);
    return rho;
}

/* PPO-clip; learning.md 4.2 F ------------------------------------------------------------------ */

double rung_loss_item_ppo(double *g, loss_job *j, int64_t i) {
    const rung_loss_data *d = j->d;
    double a = d->advantage[i];
    double u = j->o.sequence_ratio ? j->z[loss_sample_of(d, i)] : d->x[i] - d->old[i];
    double rho = exp(fmin(fmax(u, -LOG_RATIO_MAX), LOG_RATIO_MAX));
    double du = fabs(u) <= LOG_RATIO_MAX ? rho : 0, trust = loss_trust(j, i);
    double lo = clip_from(j), hi = clip_to(j);
    double cut = fmin(fmax(rho, lo), hi), l = -a * rho, dl = -a * du;
    if (-a * cut > l) {
        j->f.clip_low += rho < lo;
        j->f.clip_high += rho > hi;
        l = -a * cut;
        dl = 0;
    }
    if (j->o.clip_dual > 0 && a < 0 && l > -j->o.clip_dual * a) {
        j->f.clip_dual += 1;
        l = -j->o.clip_dual * a;
        dl = 0;
    }
    j->f.kl += k3_of(u);
    *g = trust * dl;
    return trust * l;
}

/* -A l: what every ratio's gradient is at the policy that sampled (verl's gpg). */
double rung_loss_item_reinforce(double *g, loss_job *j, int64_t i) {
    double w = -loss_trust(j, i) * j->d->advantage[i], drho;
    (void)rho_of(&drho, j, i);
    *g = w;
    return w * j->d->x[i];
}

/* -sg(clip(rho)) A l (MiniMax-M1, arXiv 2506.13585) */
double rung_loss_item_cispo(double *g, loss_job *j, int64_t i) {
    double drho, rho = rho_of(&drho, j, i), lo = clip_from(j), hi = clip_to(j);
    double w = -loss_trust(j, i) * fmin(fmax(rho, lo), hi) * j->d->advantage[i];
    j->f.clip_low += rho < lo;
    j->f.clip_high += rho > hi;
    *g = w;
    return w * j->d->x[i];
}

/* -A 4/tau sigma(tau (rho - 1)): a gate instead of a clip (SAPO) */
double rung_loss_item_sapo(double *g, loss_job *j, int64_t i) {
    double drho, rho = rho_of(&drho, j, i), a = j->d->advantage[i];
    double tau = a > 0 ? j->o.tau_pos : j->o.tau_neg, s = loss_sigma(tau * (rho - 1));
    double w = -loss_trust(j, i) * a;
    *g = w * 4 * s * (1 - s) * drho;
    return w * 4 / tau * s;
}

double loss_geo_log_ratio(bool *is_free, const loss_job *j, int64_t i) {
    double u = j->d->x[i] - j->d->old[i], a = j->d->advantage[i];
    *is_free = true;
    if (a == 0) *is_free = false;
    if (a > 0 && j->o.clip_high >= 0 && u > j->o.clip_high) *is_free = false;
    if (a < 0 && j->o.clip_low >= 0 && u < -j->o.clip_low) *is_free = false;
    return *is_free ? u : a > 0 ? j->o.clip_high : a < 0 ? -j->o.clip_low : 0;
}

/* -mean(A) exp(mean of clipped ln rho): the same for every token of the sample; its gradient is by
 * the mean and spread over the tokens that no clip holds (GMPO, arXiv 2507.20673) */
double rung_loss_item_geo_mean(double *g, loss_job *j, int64_t i) {
    int64_t s = loss_sample_of(j->d, i);
    bool is_free;
    double z = fmin(fmax(j->z[s], -LOG_GEO_MAX), LOG_GEO_MAX), a = j->d->advantage[i];
    (void)loss_geo_log_ratio(&is_free, j, i);
    j->f.clip_high += a > 0 && !is_free;
    j->f.clip_low += a < 0 && !is_free;
    j->f.kl += k3_of(j->d->x[i] - j->d->old[i]);
    *g = -j->a[s] * exp(z + j->log_trust[s]);
    return *g;
}

/* ppo's clip; what was selected counts 0 (arXiv 2505.22617, clip-cov) */
double rung_loss_item_clip_cov(double *g, loss_job *j, int64_t i) {
    double drho, rho = rho_of(&drho, j, i), a = j->d->advantage[i], trust = loss_trust(j, i);
    double lo = clip_from(j), hi = clip_to(j), cut = fmin(fmax(rho, lo), hi);
    *g = 0;
    if (j->d->selected[i]) {
        j->f.clip_dual += 1;
        return 0;
    }
    if (-a * cut > -a * rho) {
        j->f.clip_low += rho < lo;
        j->f.clip_high += rho > hi;
        return -trust * a * cut;
    }
    *g = -trust * a * drho;
    return -trust * a * rho;
}

/* -A rho, and coef |l - old| where selected (the same paper, kl-cov) */
double rung_loss_item_kl_cov(double *g, loss_job *j, int64_t i) {
    double drho, rho = rho_of(&drho, j, i), a = j->d->advantage[i], trust = loss_trust(j, i);
    double u = j->d->x[i] - j->d->old[i], c = j->d->selected[i] ? j->o.cov_coef : 0;
    j->f.clip_dual += j->d->selected[i] != 0;
    *g = trust * (-a * drho + c * (u > 0 ? 1 : u < 0 ? -1 : 0));
    return trust * (-a * rho + c * fabs(u));
}

/* Which tokens -----------------------------------------------------------------------------------
 */

typedef struct ranked {
    double key;
    int64_t item;
} ranked;

static int by_key(const void *x, const void *y) { /* largest first, then by number */
    const ranked *a = x, *b = y;
    if (a->key != b->key) return a->key > b->key ? -1 : 1;
    return (a->item > b->item) - (a->item < b->item);
}

/* Clipped by ppo's own clip: never picked. */
static bool is_clipped(const rung_loss_data *d, const rung_loss_opts *o, int64_t i) {
    double rho = exp(d->x[i] - d->old[i]), a = d->advantage[i];
    double lo = o->clip_low < 0 ? 0 : 1 - o->clip_low;
    double hi = o->clip_high < 0 ? (double)INFINITY : 1 + o->clip_high;
    return -a * fmin(fmax(rho, lo), hi) > -a * rho;
}

static int64_t rank_items(ranked *r, double *n_all, bool clip, const rung_loss_data *d,
                          const rung_loss_opts *o) {
    double n = 0, a = 0, l = 0;
    int64_t count = 0;
    rung_rng rng = rung_rng_at(o->seed, RUNG_STREAM_SUBSET, 0, 0);
    for (int64_t i = 0; i < d->n; i++) {
        if (loss_item_weight(d, i) == 0) continue;
        n += 1;
        a += d->advantage[i];
        l += d->x[i];
    }
    *n_all = n;
    for (int64_t i = 0; i < d->n; i++) {
        if (loss_item_weight(d, i) == 0) continue;
        double cov = (d->advantage[i] - a / n) * (d->x[i] - l / n);
        if (clip && (is_clipped(d, o, i) || !(cov > o->cov_low && cov < o->cov_high))) continue;
        r[count++] = (ranked){clip ? rung_rng_f64_at(&rng, (uint64_t)i) : cov, i};
    }
    return count;
}

rung_status rung_loss_select_items(uint8_t *selected, bool clip, const rung_loss_data *d,
                                   const rung_loss_opts *o, rung_error *err) {
    ranked *r = rung_alloc(((size_t)d->n + 1) * sizeof *r);
    if (!r) return rung_fail(err, RUNG_E_NOMEM, "no memory for a loss");
    double n_all;
    int64_t n = rank_items(r, &n_all, clip, d, o), take = (int64_t)(o->cov_share * n_all);
    if (take < 1) take = 1;
    if (take > n) take = n;
    qsort(r, (size_t)n, sizeof *r, by_key);
    memset(selected, 0, (size_t)d->n);
    for (int64_t k = 0; k < take; k++) selected[r[k].item] = 1;
    rung_free(r);
    return RUNG_OK;
}

/* Names of others --------------------------------------------------------------------------------
 */

/* verl and TRL call a loss and its mean by one name; here the mean is an option of its own. */
static const struct {
    const char *verl, *trl;
    rung_loss_id id;
    bool sequence;    /* one ratio a sample */
    double clip_high; /* 0 = the row's default */
    rung_loss_aggregation aggregation;
} policies[] = {
    {"vanilla", "bnpo", RUNG_LOSS_PPO, false, 0, RUNG_LOSS_TOKEN_MEAN},
    {"", "grpo", RUNG_LOSS_PPO, false, 0, RUNG_LOSS_SEQ_MEAN_TOKEN_MEAN},
    {"", "dr_grpo", RUNG_LOSS_PPO, false, 0, RUNG_LOSS_SEQ_SUM_CONST},
    {"", "dapo", RUNG_LOSS_PPO, false, .28, RUNG_LOSS_TOKEN_MEAN},
    {"gspo", "", RUNG_LOSS_PPO, true, 0, RUNG_LOSS_SEQ_MEAN_TOKEN_MEAN},
    {"cispo", "cispo", RUNG_LOSS_CISPO, false, 0, RUNG_LOSS_TOKEN_MEAN},
    {"sapo", "sapo", RUNG_LOSS_SAPO, false, 0, RUNG_LOSS_SEQ_MEAN_TOKEN_MEAN},
    {"geo_mean", "", RUNG_LOSS_GEO_MEAN, false, 0, RUNG_LOSS_SEQ_MEAN_TOKEN_MEAN},
    {"clip_cov", "", RUNG_LOSS_CLIP_COV, false, 0, RUNG_LOSS_TOKEN_MEAN},
    {"kl_cov", "", RUNG_LOSS_KL_COV, false, 0, RUNG_LOSS_TOKEN_MEAN},
    {"gpg", "", RUNG_LOSS_REINFORCE, false, 0, RUNG_LOSS_TOKEN_MEAN},
};

bool rung_loss_policy_find(rung_loss_id *out, rung_loss_opts *o, const char *name) {
    bool verl = strncmp(name, "verl:", 5) == 0, trl = strncmp(name, "trl:", 4) == 0;
    const char *bare = verl ? name + 5 : trl ? name + 4 : name;
    if (!bare[0]) return false;
    if (!verl && !trl && rung_loss_find(out, bare) &&
        (rung_loss_needs(*out) & RUNG_LOSS_NEEDS_ADVANTAGE))
        return true;
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        if ((trl || strcmp(policies[i].verl, bare) != 0) &&
            (verl || strcmp(policies[i].trl, bare) != 0))
            continue;
        *out = policies[i].id;
        o->sequence_ratio = policies[i].sequence;
        o->sequence_token = policies[i].sequence; /* as their code has it */
        o->aggregation = policies[i].aggregation;
        if (policies[i].clip_high > 0) o->clip_high = policies[i].clip_high;
        return true;
    }
    return false;
}
