/* Inside the advantage table: one call's work, and what rows share. */
#ifndef RUNG_SRC_RL_ADVANTAGE_JOB_H
#define RUNG_SRC_RL_ADVANTAGE_JOB_H
#include "rung/advantage.h"

#include <math.h>
#include <string.h>

/* Count, mean, sum of squared deviations; merged in order (Chan et al.), so threads change nothing.
 */
typedef struct moments {
    double n, mean, m2, top; /* top: largest absolute value */
} moments;
void moments_merge(moments *into, const moments *m);

typedef struct adv_job {
    const rung_advantage_data *d;
    rung_advantage_opts o; /* resolved */
    rung_advantage_id id;
    float *a, *ret;
    bool whiten, whitened; /* wanted; done by the row itself */
    double *total;         /* [n] R: all rewards of the answer */
    double *scalar;        /* [n] rows with one advantage an answer */
    double *extra;         /* [n] what a row keeps between passes */
    int64_t *last;         /* [n] last token the policy wrote, from the answer's first; -1 = none */
    int64_t *n_tok;        /* [n] tokens the policy wrote */
    moments *part;         /* [n] of the advantages written so far */
    int32_t *who;          /* known answers, by group */
    int32_t *first;        /* [n_groups + 1] into who */
    int32_t n_groups;
    double *scratch; /* [n_threads][2 * longest] */
    int64_t longest;
    int n_threads;
    rung_advantage_figures f;
} adv_job;

typedef rung_status adv_row_fn(adv_job *j, rung_error *err);
adv_row_fn adv_reinforce, adv_group_scalar, adv_batch_std, adv_grpo_process, adv_pp_baseline,
    adv_gae, adv_remax, adv_prime, adv_min_form, adv_pav, adv_oprl, adv_thought, adv_renorm,
    adv_capo, adv_fg;

static inline int64_t adv_length(const adv_job *j, int32_t i) {
    return j->d->first[i + 1] - j->d->first[i];
}
static inline bool adv_known(const adv_job *j, int32_t i) {
    return !j->d->known || j->d->known[i];
}
static inline double adv_outcome(const adv_job *j, int32_t i) {
    return j->d->outcome ? j->d->outcome[i] : 0;
}
/* Mask of the answer's tokens; NULL: all. */
static inline const uint8_t *adv_mask(const adv_job *j, int32_t i) {
    return j->d->mask ? j->d->mask + j->d->first[i] : NULL;
}
/* Steps of answer i in source s. */
static inline int64_t adv_n_steps(const adv_job *j, int32_t s, int32_t i) {
    return j->d->source[s].first[i + 1] - j->d->source[s].first[i];
}
static inline const int32_t *adv_ends(const adv_job *j, int32_t s, int32_t i) {
    return j->d->source[s].end + j->d->source[s].first[i];
}
static inline const double *adv_step_rewards(const adv_job *j, int32_t s, int32_t i) {
    return j->d->source[s].reward + j->d->source[s].first[i];
}
/* The scratch of this thread: two rows of `longest`. */
double *adv_scratch(const adv_job *j);

/* r[t] of an answer: token rewards and every source's steps (added to what is there when add). */
void adv_process_rewards(double *r, const adv_job *j, int32_t i);
void adv_take_kl(double *r, const adv_job *j, int32_t i);     /* off every token, with kl_coef */
void adv_all_rewards(double *r, const adv_job *j, int32_t i); /* those, the KL, the outcome */
/* g[t] = sum over s >= t of gamma^(s-t) r[s] over the policy's tokens; in place. */
void adv_suffix_sum(double *g, const uint8_t *mask, int64_t n, double gamma);
/* Writes an answer's advantages, 0 where masked or unknown, and notes their moments. */
void adv_put(adv_job *j, int32_t i, const double *x);
void adv_put_returns(adv_job *j, int32_t i, const double *x);
/* scalar[i] to every token of every answer. */
void adv_fill_all(adv_job *j);
/* (A - mean) / sqrt(var + 1e-8) over all tokens; rewards.md 0 */
void adv_whiten_all(adv_job *j);
/* What it would take off and multiply by; figures but max_abs are set. */
void adv_whiten_by(double *mean, double *inv, adv_job *j);
/* Unbiased mean and sd; *flat: all equal (sd exactly 0). n < 2: sd 0. */
void adv_mean_sd(double *mean, double *sd, bool *flat, const double *x, const int32_t *who,
                 int32_t n);
/* GAE of one answer: r in, advantage out; returns into ret where asked. */
void adv_gae_one(adv_job *j, int32_t i, double *r);
#endif
