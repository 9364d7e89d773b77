/* Rows with one advantage an answer, from rewards of the answers to one problem. R_i = total[i]. */
#include "rl/advantage_job.h"

void adv_mean_sd(double *mean, double *sd, bool *flat, const double *x, const int32_t *who,
                 int32_t n) {
    double sum = 0, m2 = 0;
    *flat = true;
    for (int32_t k = 0; k < n; k++) {
        sum += x[who[k]];
        *flat = *flat && x[who[k]] == x[who[0]];
    }
    *mean = n > 0 ? sum / n : 0;
    for (int32_t k = 0; k < n; k++) m2 += (x[who[k]] - *mean) * (x[who[k]] - *mean);
    *sd = n > 1 && !*flat ? sqrt(m2 / (n - 1)) : 0;
}

/* R - (sum of the others) / (K - 1); learning.md 4.2 G */
static void group_rloo(adv_job *j, const int32_t *who, int32_t n) {
    double sum = 0;
    for (int32_t k = 0; k < n; k++) sum += j->total[who[k]];
    for (int32_t k = 0; k < n; k++) j->scalar[who[k]] = (n * j->total[who[k]] - sum) / (n - 1);
}

/* (R - mean) / (sd + eps); learning.md 4.2 H */
static void group_z(adv_job *j, const int32_t *who, int32_t n) {
    double mean, sd;
    bool flat;
    adv_mean_sd(&mean, &sd, &flat, j->total, who, n);
    for (int32_t k = 0; k < n; k++) j->scalar[who[k]] = (j->total[who[k]] - mean) / (sd + j->o.eps);
}

/* R - mean; learning.md 4.2 H (without std, Dr.GRPO) */
static void group_centre(adv_job *j, const int32_t *who, int32_t n) {
    double mean, sd;
    bool flat;
    adv_mean_sd(&mean, &sd, &flat, j->total, who, n);
    for (int32_t k = 0; k < n; k++) j->scalar[who[k]] = j->total[who[k]] - mean;
}

/* R - sum(length R) / sum(length): the baseline of least variance under equal gradient norm a token
 * (OPO). */
static void group_opo(adv_job *j, const int32_t *who, int32_t n) {
    double sum = 0, len = 0;
    for (int32_t k = 0; k < n; k++) {
        sum += (double)j->n_tok[who[k]] * j->total[who[k]];
        len += (double)j->n_tok[who[k]];
    }
    for (int32_t k = 0; k < n; k++) j->scalar[who[k]] = len > 0 ? j->total[who[k]] - sum / len : 0;
}

/* The best alone: (best - second) / (sd + eps) (pass@k). */
static void group_best(adv_job *j, const int32_t *who, int32_t n) {
    double mean, sd, second = -(double)INFINITY;
    bool flat;
    int32_t best = 0;
    adv_mean_sd(&mean, &sd, &flat, j->total, who, n);
    for (int32_t k = 1; k < n; k++)
        if (j->total[who[k]] > j->total[who[best]]) best = k;
    for (int32_t k = 0; k < n; k++)
        if (k != best) second = fmax(second, j->total[who[k]]);
    double lead = j->total[who[best]] - second;
    j->scalar[who[best]] = j->o.plain_std ? lead : lead / (sd + j->o.eps);
}

typedef void group_fn(adv_job *j, const int32_t *who, int32_t n);

/* Groups whose rewards are all equal get exactly 0: the rounding of a mean is no signal. A group of
 * which one answer is known has nothing to compare. */
static void over_groups(adv_job *j, group_fn *fn) {
    for (int32_t g = 0; g < j->n_groups; g++) {
        const int32_t *who = j->who + j->first[g];
        int32_t n = j->first[g + 1] - j->first[g];
        double mean, sd;
        bool flat;
        adv_mean_sd(&mean, &sd, &flat, j->total, who, n);
        j->f.n_flat += flat;
        if (n > 1 && !flat) fn(j, who, n);
    }
}

rung_status adv_group_scalar(adv_job *j, rung_error *err) {
    static group_fn *const fn[RUNG_ADVANTAGE_COUNT] = {
        [RUNG_ADVANTAGE_RLOO] = group_rloo,      [RUNG_ADVANTAGE_GRPO] = group_z,
        [RUNG_ADVANTAGE_DAPO] = group_z,         [RUNG_ADVANTAGE_GRPO_NOSTD] = group_centre,
        [RUNG_ADVANTAGE_DR_GRPO] = group_centre, [RUNG_ADVANTAGE_GPG] = group_centre,
        [RUNG_ADVANTAGE_OPO] = group_opo,        [RUNG_ADVANTAGE_PASS_AT_K] = group_best};
    (void)err;
    over_groups(j, fn[j->id]);
    if (j->id == RUNG_ADVANTAGE_GPG) { /* over the share of answers whose reward is not 0 */
        double known = j->d->n - j->f.n_unknown, some = 0;
        for (int32_t i = 0; i < j->d->n; i++) some += adv_known(j, i) && j->total[i] != 0;
        for (int32_t i = 0; i < j->d->n; i++) j->scalar[i] *= known / fmax(some, 1);
    }
    adv_fill_all(j);
    return RUNG_OK;
}

/* Group mean, standard deviation of the whole batch; learning.md 4.2 H */
rung_status adv_batch_std(adv_job *j, rung_error *err) {
    double mean, sd;
    bool flat;
    (void)err;
    adv_mean_sd(&mean, &sd, &flat, j->total, j->who, j->first[j->n_groups]);
    over_groups(j, group_centre);
    for (int32_t i = 0; i < j->d->n; i++) j->scalar[i] /= sd + j->o.eps;
    adv_fill_all(j);
    return RUNG_OK;
}

/* R - mean of the group on every token, whitened over all tokens; learning.md 4.2 I */
rung_status adv_pp_baseline(adv_job *j, rung_error *err) {
    (void)err;
    over_groups(j, group_centre);
    adv_fill_all(j);
    return RUNG_OK;
}

/* Over steps --------------------------------------------------------------------------------------
 */

/* Mean and sd over all step rewards of a group. */
static void step_mean_sd(double *mean, double *sd, const adv_job *j, const int32_t *who,
                         int32_t n) {
    moments m = {0, 0, 0, 0};
    double lo = (double)INFINITY, hi = -(double)INFINITY;
    for (int32_t k = 0; k < n; k++) {
        const double *r = adv_step_rewards(j, 0, who[k]);
        for (int64_t h = 0; h < adv_n_steps(j, 0, who[k]); h++) {
            moments_merge(&m, &(moments){1, r[h], 0, 0});
            lo = fmin(lo, r[h]);
            hi = fmax(hi, r[h]);
        }
    }
    *mean = hi > lo ? m.mean : m.n > 0 ? lo : 0;
    *sd = m.n > 1 && hi > lo ? sqrt(m.m2 / (m.n - 1)) : 0;
}

/* r~ = (r - mean) / sd over all steps of the group; A_t = sum of r~ over steps that end at t or
 * later; learning.md 4.2 H (process form) */
static void process_group(adv_job *j, const int32_t *who, int32_t n) {
    double mean, sd;
    step_mean_sd(&mean, &sd, j, who, n);
    j->f.n_flat += sd == 0;
    for (int32_t k = 0; k < n; k++) {
        double *a = adv_scratch(j);
        const int32_t *end = adv_ends(j, 0, who[k]);
        const double *r = adv_step_rewards(j, 0, who[k]);
        memset(a, 0, (size_t)adv_length(j, who[k]) * sizeof *a);
        for (int64_t h = 0; h < adv_n_steps(j, 0, who[k]); h++)
            a[end[h]] += (r[h] - mean) / (sd + j->o.eps);
        adv_take_kl(a, j, who[k]);
        adv_suffix_sum(a, adv_mask(j, who[k]), adv_length(j, who[k]), 1);
        adv_put(j, who[k], a);
        adv_put_returns(j, who[k], a);
    }
}

/* Rows that write known answers of groups alone leave the others' tokens to this. */
static void clear_unknown(adv_job *j) {
    for (int32_t i = 0; i < j->d->n; i++) {
        if (adv_known(j, i)) continue;
        adv_put(j, i, j->scratch);
        adv_put_returns(j, i, j->scratch);
    }
}

rung_status adv_grpo_process(adv_job *j, rung_error *err) {
    (void)err;
    clear_unknown(j);
    for (int32_t g = 0; g < j->n_groups; g++)
        process_group(j, j->who + j->first[g], j->first[g + 1] - j->first[g]);
    return RUNG_OK;
}

/* A step's credit on each of its tokens; what comes after the last step is that step's. No steps:
 * `none` everywhere. */
static void put_steps(adv_job *j, int32_t i, const double *credit, double none) {
    double *a = adv_scratch(j);
    int64_t n = adv_length(j, i), steps = adv_n_steps(j, 0, i), h = 0;
    const int32_t *end = adv_ends(j, 0, i);
    const float *v = j->d->value ? j->d->value + j->d->first[i] : NULL;
    for (int64_t t = 0; t < n; t++) {
        while (h + 1 < steps && t > end[h]) h++;
        a[t] = steps > 0 ? credit[h] : none;
    }
    adv_put_returns(j, i, a);
    for (int64_t t = 0; v && j->id == RUNG_ADVANTAGE_PAV && t < n; t++) a[t] -= (double)v[t];
    adv_put(j, i, a);
}

/* Room for a credit a step: no more steps than tokens, else it would not be a span. */
static double *step_room(const adv_job *j) {
    return adv_scratch(j) + j->longest + 8;
}

/* o + alpha A^mu(step), the value head's baseline off; the step's own, no suffix sum; rewards.md 4
 */
rung_status adv_pav(adv_job *j, rung_error *err) {
    (void)err;
    for (int32_t i = 0; i < j->d->n; i++) {
        double *credit = step_room(j), o = adv_outcome(j, i);
        const double *r = adv_step_rewards(j, 0, i);
        for (int64_t h = 0; h < adv_n_steps(j, 0, i); h++) credit[h] = o + j->o.alpha * r[h];
        put_steps(j, i, credit, o);
    }
    return RUNG_OK;
}

/* A_E + alpha A_S: z of outcomes over the group, z of step rewards over all its steps; rewards.md 5
 */
rung_status adv_oprl(adv_job *j, rung_error *err) {
    (void)err;
    for (int32_t i = 0; i < j->d->n; i++) j->extra[i] = adv_outcome(j, i);
    clear_unknown(j);
    for (int32_t g = 0; g < j->n_groups; g++) {
        const int32_t *who = j->who + j->first[g];
        int32_t n = j->first[g + 1] - j->first[g];
        double mean, sd, step_mean, step_sd;
        bool flat;
        adv_mean_sd(&mean, &sd, &flat, j->extra, who, n);
        step_mean_sd(&step_mean, &step_sd, j, who, n);
        j->f.n_flat += flat && step_sd == 0;
        for (int32_t k = 0; k < n; k++) {
            double *credit = step_room(j);
            const double *r = adv_step_rewards(j, 0, who[k]);
            double whole = flat ? 0 : (j->extra[who[k]] - mean) / (sd + j->o.eps);
            for (int64_t h = 0; h < adv_n_steps(j, 0, who[k]); h++)
                credit[h] = whole + j->o.alpha * (r[h] - step_mean) / (step_sd + j->o.eps);
            put_steps(j, who[k], credit, whole);
        }
    }
    return RUNG_OK;
}

/* Thoughts: reward 1 = correct (right answers) or taken over by the final answer (wrong ones).
 * Right: z, less alpha x accuracy of the group in wrong thoughts. Wrong: z in thoughts taken over,
 * 0 in the others; rewards.md 6, the closed form of its two propositions. */
rung_status adv_thought(adv_job *j, rung_error *err) {
    (void)err;
    for (int32_t i = 0; i < j->d->n; i++) j->extra[i] = adv_outcome(j, i);
    clear_unknown(j);
    for (int32_t g = 0; g < j->n_groups; g++) {
        const int32_t *who = j->who + j->first[g];
        int32_t n = j->first[g + 1] - j->first[g];
        double mean, sd, right = 0;
        bool flat;
        adv_mean_sd(&mean, &sd, &flat, j->extra, who, n);
        for (int32_t k = 0; k < n; k++) right += j->extra[who[k]] > 0;
        j->f.n_flat += flat && right == 0;
        for (int32_t k = 0; k < n; k++) {
            double *credit = step_room(j);
            const double *r = adv_step_rewards(j, 0, who[k]);
            double z = flat ? 0 : (j->extra[who[k]] - mean) / (sd + j->o.eps);
            double low = j->extra[who[k]] > 0 ? z - j->o.alpha * right / n : 0;
            for (int64_t h = 0; h < adv_n_steps(j, 0, who[k]); h++)
                credit[h] = r[h] > 0.5 ? z : low;
            put_steps(j, who[k], credit, z);
        }
    }
    return RUNG_OK;
}

/* W_whole o - W_process w(step of t); step rewards are the weights that the votes gave. */
static void capo_rewards(double *r, const adv_job *j, int32_t i) {
    const int32_t *end = adv_ends(j, 0, i);
    const double *w = adv_step_rewards(j, 0, i);
    int64_t t = 0;
    for (int64_t h = 0; h < adv_n_steps(j, 0, i); h++)
        for (; t <= end[h]; t++) r[t] = j->o.w_whole * adv_outcome(j, i) - j->o.w_process * w[h];
    for (; t < adv_length(j, i); t++) r[t] = j->o.w_whole * adv_outcome(j, i);
}

/* Standardised over the tokens of all answers of the group, no suffix sum; rewards.md 8 */
rung_status adv_capo(adv_job *j, rung_error *err) {
    (void)err;
    clear_unknown(j);
    for (int32_t g = 0; g < j->n_groups; g++) {
        const int32_t *who = j->who + j->first[g];
        int32_t n = j->first[g + 1] - j->first[g];
        moments m = {0, 0, 0, 0};
        double lo = (double)INFINITY, hi = -(double)INFINITY, *r = adv_scratch(j);
        for (int32_t k = 0; k < n; k++) {
            const uint8_t *mask = adv_mask(j, who[k]);
            capo_rewards(r, j, who[k]);
            for (int64_t t = 0; t < adv_length(j, who[k]); t++) {
                if (mask && !mask[t]) continue;
                moments_merge(&m, &(moments){1, r[t], 0, 0});
                lo = fmin(lo, r[t]);
                hi = fmax(hi, r[t]);
            }
        }
        double inv = hi > lo ? 1 / (sqrt(m.m2 / (m.n - 1)) + j->o.eps) : 0;
        j->f.n_flat += !(hi > lo);
        for (int32_t k = 0; k < n; k++) {
            capo_rewards(r, j, who[k]);
            adv_put_returns(j, who[k], r);
            for (int64_t t = 0; t < adv_length(j, who[k]); t++) r[t] = (r[t] - m.mean) * inv;
            adv_put(j, who[k], r);
        }
    }
    return RUNG_OK;
}
