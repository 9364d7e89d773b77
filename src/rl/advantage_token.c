/* What rows share, token by token; and the rows that are a sum over the tokens to come. */
#include "rl/advantage_job.h"
#include "train/parallel.h"

/* Beside a variance under a root: rewards.md 0, whiten. */
#define WHITEN_FLOOR 1e-8
/* Below this share of its mean a spread is rounding: a constant advantage whitens to 0. */
#define FLAT_SHARE 1e-12

void moments_merge(moments *into, const moments *m) {
    if (m->n == 0) return;
    double n = into->n + m->n, move = m->mean - into->mean;
    into->m2 += m->m2 + move * move * into->n * m->n / n;
    into->mean += move * m->n / n;
    into->top = fmax(into->top, m->top);
    into->n = n;
}

double *adv_scratch(const adv_job *j) {
    return j->scratch + (size_t)omp_get_thread_num() * 2 * (size_t)(j->longest + 8);
}

void adv_process_rewards(double *r, const adv_job *j, int32_t i) {
    int64_t n = adv_length(j, i);
    const uint8_t *mask = adv_mask(j, i);
    const float *x = j->d->token_reward ? j->d->token_reward + j->d->first[i] : NULL;
    if (!x)
        memset(r, 0, (size_t)n * sizeof *r);
    else if (!mask)
        for (int64_t t = 0; t < n; t++) r[t] = (double)x[t];
    else
        for (int64_t t = 0; t < n; t++) r[t] = mask[t] ? (double)x[t] : 0;
    for (int32_t s = 0; s < j->d->n_sources; s++) {
        const rung_step_rewards *q = j->d->source + s;
        double w = q->weight == 0 ? 1 : q->weight;
        for (int64_t h = q->first[i]; h < q->first[i + 1]; h++)
            r[q->end[h]] += w * (q->sd > 0 ? (q->reward[h] - q->mean) / q->sd : q->reward[h]);
    }
}

void adv_take_kl(double *r, const adv_job *j, int32_t i) {
    if (j->o.kl_coef == 0) return;
    const float *old = j->d->old + j->d->first[i], *ref = j->d->ref + j->d->first[i];
    const uint8_t *mask = adv_mask(j, i);
    for (int64_t t = 0; t < adv_length(j, i); t++)
        if (!mask || mask[t])
            r[t] -= j->o.kl_coef * rung_kl_of(j->o.kl, (double)old[t], (double)ref[t]);
}

void adv_all_rewards(double *r, const adv_job *j, int32_t i) {
    adv_process_rewards(r, j, i);
    adv_take_kl(r, j, i);
    if (j->last[i] >= 0) r[j->last[i]] += adv_outcome(j, i);
}

void adv_suffix_sum(double *g, const uint8_t *mask, int64_t n, double gamma) {
    double run = 0;
    for (int64_t t = n - 1; t >= 0; t--) {
        if (mask && !mask[t]) {
            g[t] = 0;
            continue;
        }
        g[t] = run = g[t] + gamma * run;
    }
}

static void put_masked(float *a, moments *m, const double *x, const uint8_t *mask, int64_t n) {
    double sum = 0, count = 0, m2 = 0, top = 0;
    for (int64_t t = 0; t < n; t++) {
        a[t] = mask[t] ? (float)x[t] : 0;
        sum += mask[t] ? x[t] : 0;
        count += mask[t] != 0;
    }
    double mean = count > 0 ? sum / count : 0;
    for (int64_t t = 0; t < n; t++) {
        if (!mask[t]) continue;
        m2 += (x[t] - mean) * (x[t] - mean);
        top = fmax(top, fabs(x[t]));
    }
    *m = (moments){count, mean, m2, top};
}

static void put_whole(float *a, moments *m, const double *x, int64_t n) {
    double sum = 0, m2 = 0, top = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t t = 0; t < n; t++) {
        a[t] = (float)x[t];
        sum += x[t];
    }
    double mean = n > 0 ? sum / (double)n : 0;
#pragma omp simd reduction(+ : m2) reduction(max : top)
    for (int64_t t = 0; t < n; t++) {
        double size = x[t] < 0 ? -x[t] : x[t];
        m2 += (x[t] - mean) * (x[t] - mean);
        top = size > top ? size : top;
    }
    *m = (moments){(double)n, mean, m2, top};
}

void adv_put(adv_job *j, int32_t i, const double *x) {
    float *a = j->a + j->d->first[i];
    int64_t n = adv_length(j, i);
    const uint8_t *mask = adv_mask(j, i);
    if (!adv_known(j, i))
        memset(a, 0, (size_t)n * sizeof *a);
    else if (mask)
        put_masked(a, &j->part[i], x, mask, n);
    else
        put_whole(a, &j->part[i], x, n);
}

void adv_put_returns(adv_job *j, int32_t i, const double *x) {
    if (!j->ret) return;
    float *r = j->ret + j->d->first[i];
    const uint8_t *mask = adv_mask(j, i);
    bool known = adv_known(j, i);
    for (int64_t t = 0; t < adv_length(j, i); t++)
        r[t] = known && (!mask || mask[t]) ? (float)x[t] : 0;
}

static void fill_one(float *to, double v, const uint8_t *mask, int64_t n) {
    float x = (float)v;
    if (!mask)
        for (int64_t t = 0; t < n; t++) to[t] = x;
    else
        for (int64_t t = 0; t < n; t++) to[t] = mask[t] ? x : 0;
}

void adv_fill_all(adv_job *j) {
#pragma omp parallel for schedule(static) num_threads(j->n_threads)
    for (int32_t i = 0; i < j->d->n; i++) {
        double v = adv_known(j, i) ? j->scalar[i] : 0;
        fill_one(j->a + j->d->first[i], v, adv_mask(j, i), adv_length(j, i));
        if (j->ret)
            fill_one(j->ret + j->d->first[i], adv_known(j, i) ? j->total[i] : 0, adv_mask(j, i),
                     adv_length(j, i));
        j->part[i] = (moments){(double)j->n_tok[i], v, 0, j->n_tok[i] > 0 ? fabs(v) : 0};
    }
}

/* The variance; or what fg's release takes for it, the biased standard deviation. */
static double spread_of(const adv_job *j, const moments *m) {
    if (m->n < 2) return 0;
    if (j->id == RUNG_ADVANTAGE_FG && j->o.fg_code) return sqrt(m->m2 / m->n);
    return m->m2 / (m->n - 1);
}

void adv_whiten_by(double *mean, double *inv, adv_job *j) {
    moments all = {0, 0, 0, 0};
    for (int32_t i = 0; i < j->d->n; i++)
        if (adv_known(j, i)) moments_merge(&all, &j->part[i]);
    double var = spread_of(j, &all);
    bool flat = all.n < 2 || all.m2 / all.n <= FLAT_SHARE * FLAT_SHARE * all.mean * all.mean;
    *mean = all.mean;
    *inv = flat ? 0 : 1 / sqrt(var + WHITEN_FLOOR);
    j->f.mean = 0;
    j->f.sd = all.n > 1 ? sqrt(all.m2 / (all.n - 1)) * *inv : 0;
}

void adv_whiten_all(adv_job *j) {
    double mean, inv;
    adv_whiten_by(&mean, &inv, j);
#pragma omp parallel for schedule(static) num_threads(j->n_threads)
    for (int32_t i = 0; i < j->d->n; i++) {
        float *a = j->a + j->d->first[i];
        const uint8_t *mask = adv_mask(j, i);
        int64_t n = adv_length(j, i);
        if (!adv_known(j, i)) continue;
        double top = 0;
        if (!mask) {
#pragma omp simd reduction(max : top)
            for (int64_t t = 0; t < n; t++) {
                double x = ((double)a[t] - mean) * inv, size = x < 0 ? -x : x;
                a[t] = (float)x;
                top = size > top ? size : top;
            }
        } else {
            for (int64_t t = 0; t < n; t++) {
                a[t] = mask[t] ? (float)(((double)a[t] - mean) * inv) : 0;
                top = fmax(top, fabs((double)a[t]));
            }
        }
        j->part[i].top = top;
    }
    for (int32_t i = 0; i < j->d->n; i++)
        if (adv_known(j, i)) j->f.max_abs = fmax(j->f.max_abs, j->part[i].top);
}

/* Rows -------------------------------------------------------------------------------------------
 */

/* G_t = sum over s >= t of gamma^(s-t) r_s, less the answer's own baseline where there is one */
static rung_status returns_less(adv_job *j, const double *baseline) {
#pragma omp parallel for schedule(static) num_threads(j->n_threads)
    for (int32_t i = 0; i < j->d->n; i++) {
        double *r = adv_scratch(j);
        adv_all_rewards(r, j, i);
        adv_suffix_sum(r, adv_mask(j, i), adv_length(j, i), j->o.gamma);
        adv_put_returns(j, i, r);
        for (int64_t t = 0; baseline && t < adv_length(j, i); t++) r[t] -= baseline[i];
        adv_put(j, i, r);
    }
    return RUNG_OK;
}

/* learning.md 4.2 F (reinforce), I (reinforce++) */
rung_status adv_reinforce(adv_job *j, rung_error *err) {
    (void)err;
    return returns_less(j, NULL);
}

/* The reward of the greedy answer is the baseline (ReMax). */
rung_status adv_remax(adv_job *j, rung_error *err) {
    (void)err;
    return returns_less(j, j->d->baseline);
}

/* delta_t = r_t + gamma V_{t+1} - V_t; A_t = delta_t + gamma lambda A_{t+1}; V behind the end is 0,
 * tokens of others are jumped over; returns before whitening; learning.md 4.2 J */
void adv_gae_one(adv_job *j, int32_t i, double *r) {
    const float *v = j->d->value + j->d->first[i];
    const uint8_t *mask = adv_mask(j, i);
    float *ret = j->ret && adv_known(j, i) ? j->ret + j->d->first[i] : NULL;
    double next = 0, a = 0, gamma = j->o.gamma, decay = j->o.gamma * j->o.lambda;
    for (int64_t t = adv_length(j, i) - 1; t >= 0; t--) {
        if (mask && !mask[t]) {
            r[t] = 0;
            if (ret) ret[t] = 0;
            continue;
        }
        double now = (double)v[t];
        a = r[t] + gamma * next - now + decay * a;
        next = now;
        r[t] = a;
        if (ret) ret[t] = (float)(a + now);
    }
    if (j->ret && !ret)
        memset(j->ret + j->d->first[i], 0, (size_t)adv_length(j, i) * sizeof *j->ret);
    adv_put(j, i, r);
}

rung_status adv_gae(adv_job *j, rung_error *err) {
    (void)err;
#pragma omp parallel for schedule(static) num_threads(j->n_threads)
    for (int32_t i = 0; i < j->d->n; i++) {
        double *r = adv_scratch(j);
        adv_all_rewards(r, j, i);
        adv_gae_one(j, i, r);
    }
    return RUNG_OK;
}

/* Rewards of several densities in one sum, scaled to unit variance (their mean kept), then gae;
 * rewards.md 10 */
rung_status adv_fg(adv_job *j, rung_error *err) {
    (void)err;
    moments all = {0, 0, 0, 0};
    for (int32_t i = 0; i < j->d->n; i++) {
        double *r = adv_scratch(j);
        const uint8_t *mask = adv_mask(j, i);
        if (!adv_known(j, i)) continue;
        adv_all_rewards(r, j, i);
        for (int64_t t = 0; t < adv_length(j, i); t++)
            if (!mask || mask[t]) moments_merge(&all, &(moments){1, r[t], 0, 0});
    }
    double var = spread_of(j, &all), inv = var == 0 ? 1 : 1 / sqrt(var + WHITEN_FLOOR);
#pragma omp parallel for schedule(static) num_threads(j->n_threads)
    for (int32_t i = 0; i < j->d->n; i++) {
        double *r = adv_scratch(j);
        adv_all_rewards(r, j, i);
        for (int64_t t = 0; t < adv_length(j, i); t++) r[t] = (r[t] - all.mean) * inv + all.mean;
        adv_gae_one(j, i, r);
    }
    return RUNG_OK;
}

/* r_p + o - mu at the ends of all turns but the last, which keeps o; rewards.md 7 */
rung_status adv_renorm(adv_job *j, rung_error *err) {
    (void)err;
#pragma omp parallel for schedule(static) num_threads(j->n_threads)
    for (int32_t i = 0; i < j->d->n; i++) {
        double *r = adv_scratch(j), o = adv_outcome(j, i);
        const int32_t *end = adv_ends(j, 0, i);
        const double *p = adv_step_rewards(j, 0, i);
        memset(r, 0, (size_t)adv_length(j, i) * sizeof *r);
        for (int64_t h = 0; h + 1 < adv_n_steps(j, 0, i); h++) r[end[h]] += p[h] + o - j->o.mu;
        if (j->last[i] >= 0) r[j->last[i]] += o;
        adv_take_kl(r, j, i);
        adv_gae_one(j, i, r);
    }
    return RUNG_OK;
}
