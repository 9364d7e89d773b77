/* PRIME and PURE: outcome and process rewards against the other answers of the group. */
#include "rl/advantage_job.h"

/* Beside the largest return that process rewards are divided by: rewards.md 2 */
#define SCALE_FLOOR 1e-6

/* v_i - mean of the others', 0 where nothing can be compared; into `to`. */
static void leave_one_out(double *to, const adv_job *j, const double *v) {
    memset(to, 0, (size_t)j->d->n * sizeof *to);
    for (int32_t g = 0; g < j->n_groups; g++) {
        const int32_t *who = j->who + j->first[g];
        int32_t n = j->first[g + 1] - j->first[g];
        double sum = 0, mean, sd;
        bool flat;
        adv_mean_sd(&mean, &sd, &flat, v, who, n);
        for (int32_t k = 0; k < n; k++) sum += v[who[k]];
        for (int32_t k = 0; k < n && n > 1 && !flat; k++)
            to[who[k]] = (n * v[who[k]] - sum) / (n - 1);
    }
}

/* Mean of the others' v: the baseline itself. */
static void mean_of_others(double *to, const adv_job *j, const double *v) {
    memset(to, 0, (size_t)j->d->n * sizeof *to);
    for (int32_t g = 0; g < j->n_groups; g++) {
        const int32_t *who = j->who + j->first[g];
        int32_t n = j->first[g + 1] - j->first[g];
        double sum = 0;
        for (int32_t k = 0; k < n; k++) sum += v[who[k]];
        for (int32_t k = 0; k < n && n > 1; k++) to[who[k]] = (sum - v[who[k]]) / (n - 1);
    }
}

/* PRIME ------------------------------------------------------------------------------------------
 */

/* Mean process reward of a token into extra[i]; the largest absolute suffix sum of the batch. */
static double prime_means(adv_job *j) {
    double top = 0;
#pragma omp parallel for schedule(static) num_threads(j->n_threads) reduction(max : top)
    for (int32_t i = 0; i < j->d->n; i++) {
        double *s = adv_scratch(j), sum = 0, most = 0;
        j->extra[i] = 0;
        if (!adv_known(j, i) || j->last[i] < 0) continue;
        adv_process_rewards(s, j, i);
        for (int64_t t = j->last[i]; t >= 0; t--) {
            sum += s[t]; /* masked ones are 0 */
            double size = sum < 0 ? -sum : sum;
            most = size > most ? size : most;
        }
        j->extra[i] = sum / (double)j->n_tok[i];
        top = most > top ? most : top;
    }
    return top;
}

/* a_i + sum over u >= t of gamma^(u-t) (s_u - base_i), both against the mean of the others;
 * rewards.md 2. prime_code: s_u K/(K-1) - (sum of all means)/(K-1), the own mean in the sum. */
rung_status adv_prime(adv_job *j, rung_error *err) {
    double top = prime_means(j), scale = j->o.prime_unscaled ? 1 : 1 / (top + SCALE_FLOOR);
    double *own = rung_calloc((size_t)j->d->n + 1, sizeof *own);
    if (!own) return rung_fail(err, RUNG_E_NOMEM, "no memory for advantages");
    if (j->d->outcome) leave_one_out(j->scalar, j, j->d->outcome);
    for (int32_t g = 0; g < j->n_groups; g++) /* of one known answer nothing can be said */
        for (int32_t k = j->first[g]; k < j->first[g + 1]; k++)
            own[j->who[k]] = j->first[g + 1] - j->first[g];
    double *base = j->total; /* not needed any more: reward figures come from a copy below */
    double *total = rung_alloc(((size_t)j->d->n + 1) * sizeof *total);
    if (!total) {
        rung_free(own);
        return rung_fail(err, RUNG_E_NOMEM, "no memory for advantages");
    }
    memcpy(total, j->total, (size_t)j->d->n * sizeof *total);
    mean_of_others(base, j, j->extra);
#pragma omp parallel for schedule(static) num_threads(j->n_threads)
    for (int32_t i = 0; i < j->d->n; i++) {
        double *s = adv_scratch(j), k = own[i], grow = 1, off = base[i];
        int64_t n = adv_length(j, i);
        if (j->o.prime_code && k > 1) {
            grow = k / (k - 1);
            off = base[i] + j->extra[i] / (k - 1);
        }
        adv_process_rewards(s, j, i);
        double coef = k > 1 ? j->o.process_coef * scale : 0,
               whole = j->o.outcome_coef * j->scalar[i];
        for (int64_t t = 0; t < n; t++) s[t] = coef * (grow * s[t] - off);
        adv_take_kl(s, j, i);
        adv_suffix_sum(s, adv_mask(j, i), n, j->o.gamma);
        for (int64_t t = 0; t < n; t++) s[t] += whole;
        adv_put(j, i, s);
        adv_put_returns(j, i, s);
    }
    memcpy(j->total, total, (size_t)j->d->n * sizeof *total);
    rung_free(total);
    rung_free(own);
    return RUNG_OK;
}

/* PURE ------------------------------------------------------------------------------------------
 */

/* Step rewards as they enter the returns, at the ends of their steps; s needs no zeroing. */
static void min_rewards(double *s, const adv_job *j, int32_t i) {
    int64_t steps = adv_n_steps(j, 0, i);
    const int32_t *end = adv_ends(j, 0, i);
    const double *r = adv_step_rewards(j, 0, i);
    double *w = s + j->longest + 8; /* the second row of the scratch: steps <= tokens */
    memset(s, 0, (size_t)adv_length(j, i) * sizeof *s);
    if (j->o.min_credit == RUNG_MIN_SOFT) rung_softmin_rewards(w, r, steps, j->o.temperature);
    for (int64_t h = 0; h < steps; h++) s[end[h]] += j->o.min_credit == RUNG_MIN_SOFT ? w[h] : r[h];
}

/* Least reward of the steps that end at t or later; 0 behind the last. In place. */
static void strict_returns(double *s, const adv_job *j, int32_t i) {
    const int32_t *end = adv_ends(j, 0, i);
    const double *r = adv_step_rewards(j, 0, i);
    int64_t h = adv_n_steps(j, 0, i) - 1;
    double low = 0;
    for (int64_t t = adv_length(j, i) - 1; t >= 0; t--) {
        for (bool first = h == adv_n_steps(j, 0, i) - 1; h >= 0 && end[h] == t; h--, first = false)
            low = first ? r[h] : fmin(low, r[h]);
        s[t] = low;
    }
}

/* As released: the running minimum over tokens, padding up to N included. */
static void token_returns(double *s, const adv_job *j, int32_t i) {
    int64_t n = adv_length(j, i);
    double low = n < j->o.length_max ? 0 : (double)INFINITY;
    for (int64_t t = n - 1; t >= 0; t--) s[t] = low = fmin(low, s[t]);
}

/* Returns of an answer: process, KL, and (code_verl) the outcome. */
static void min_returns(double *s, const adv_job *j, int32_t i) {
    const uint8_t *mask = adv_mask(j, i);
    int64_t n = adv_length(j, i);
    double o = j->o.min_variant == RUNG_MIN_CODE_VERL ? j->o.outcome_coef * adv_outcome(j, i) : 0;
    min_rewards(s, j, i);
    if (j->o.min_credit == RUNG_MIN_STRICT) {
        double *kl = s + j->longest + 8;
        strict_returns(s, j, i);
        memset(kl, 0, (size_t)n * sizeof *kl);
        adv_take_kl(kl, j, i);
        if (j->last[i] >= 0) kl[j->last[i]] += o;
        adv_suffix_sum(kl, mask, n, j->o.gamma);
        for (int64_t t = 0; t < n; t++) s[t] = !mask || mask[t] ? s[t] + kl[t] : 0;
        return;
    }
    if (j->last[i] >= 0) s[j->last[i]] += o;
    adv_take_kl(s, j, i);
    if (j->o.min_credit == RUNG_MIN_TOKENS)
        token_returns(s, j, i);
    else
        adv_suffix_sum(s, mask, n, j->o.gamma);
}

/* [v - mean of the others' v] + returns - (mean over the others of the sum of their returns) / N;
 * rewards.md 3. code_verl: v is part of the returns, the baseline is one. */
static rung_status min_token_baseline(adv_job *j, rung_error *err) {
    double *base = rung_alloc(((size_t)j->d->n + 1) * sizeof *base);
    if (!base) return rung_fail(err, RUNG_E_NOMEM, "no memory for advantages");
    bool apart = j->o.min_variant == RUNG_MIN_PAPER;
#pragma omp parallel for schedule(static) num_threads(j->n_threads)
    for (int32_t i = 0; i < j->d->n; i++) {
        double *s = adv_scratch(j), sum = 0;
        const uint8_t *mask = adv_mask(j, i);
        min_returns(s, j, i);
        bool all = j->o.min_credit == RUNG_MIN_TOKENS; /* the code's baseline counts every token */
        for (int64_t t = 0; t < adv_length(j, i); t++) sum += all || !mask || mask[t] ? s[t] : 0;
        j->extra[i] = sum / j->o.length_max;
    }
    mean_of_others(base, j, j->extra);
    if (apart && j->d->outcome) leave_one_out(j->scalar, j, j->d->outcome);
#pragma omp parallel for schedule(static) num_threads(j->n_threads)
    for (int32_t i = 0; i < j->d->n; i++) {
        double *s = adv_scratch(j), off = base[i] - j->o.outcome_coef * j->scalar[i];
        min_returns(s, j, i);
        adv_put_returns(j, i, s);
        for (int64_t t = 0; t < adv_length(j, i); t++) s[t] -= off;
        adv_put(j, i, s);
    }
    rung_free(base);
    return RUNG_OK;
}

/* Steps alone make the returns (nothing per token, no discount, no injected text): they are
 * constant between the ends of steps, so sums and moments are over steps and each token is written
 * once. */
static bool is_stepwise(const adv_job *j) {
    return !j->d->mask && j->o.kl_coef == 0 && j->o.gamma == 1 &&
           (j->o.min_credit == RUNG_MIN_SOFT || j->o.min_credit == RUNG_MIN_SUM);
}

/* Return of each step's tokens into level (of source 0's numbering), their sum into extra. */
static void step_levels(double *level, adv_job *j) {
    bool joint = j->o.min_variant == RUNG_MIN_CODE_VERL;
    for (int32_t i = 0; i < j->d->n; i++) {
        int64_t steps = adv_n_steps(j, 0, i);
        const int32_t *end = adv_ends(j, 0, i);
        const double *r = adv_step_rewards(j, 0, i);
        double *g = level + j->d->source[0].first[i];
        double o = joint ? j->o.outcome_coef * adv_outcome(j, i) : 0, run = o;
        int64_t covered = steps > 0 ? end[steps - 1] + 1 : 0;
        double sum = o * (double)(adv_length(j, i) - covered);
        if (j->o.min_credit == RUNG_MIN_SOFT)
            rung_softmin_rewards(g, r, steps, j->o.temperature);
        else if (steps > 0)
            memcpy(g, r, (size_t)steps * sizeof *g);
        for (int64_t h = steps - 1; h >= 0; h--) {
            g[h] = run += g[h];
            sum += g[h] * (double)(end[h] - (h > 0 ? end[h - 1] : -1));
        }
        j->extra[i] = sum / j->o.length_max;
    }
}

/* Moments of an answer's advantages, level - off, step by step. */
static void step_moments(adv_job *j, int32_t i, const double *g, double rest, double off) {
    const int32_t *end = adv_ends(j, 0, i);
    int64_t steps = adv_n_steps(j, 0, i), at = 0;
    moments m = {0, 0, 0, 0};
    for (int64_t h = 0; h < steps; h++) {
        double x = g[h] - off;
        moments_merge(&m, &(moments){(double)(end[h] + 1 - at), x, 0, fabs(x)});
        at = end[h] + 1;
    }
    moments_merge(&m, &(moments){(double)(adv_length(j, i) - at), rest - off, 0, fabs(rest - off)});
    j->part[i] = m;
}

static void write_run(float *a, int64_t from, int64_t to, double x) {
    float v = (float)x;
    for (int64_t t = from; t < to; t++) a[t] = v;
}

/* (level - off - mean) inv to the tokens of every step, as returns without either. */
static void write_levels(float *a, const adv_job *j, int32_t i, const double *g, double rest,
                         double off, double inv) {
    const int32_t *end = adv_ends(j, 0, i);
    int64_t steps = adv_n_steps(j, 0, i), at = 0;
    for (int64_t h = 0; h < steps; at = end[h++] + 1)
        write_run(a, at, end[h] + 1, (g[h] - off) * inv);
    write_run(a, at, adv_length(j, i), (rest - off) * inv);
}

static rung_status min_stepwise(adv_job *j, rung_error *err) {
    bool joint = j->o.min_variant == RUNG_MIN_CODE_VERL;
    const int64_t *first = j->d->source[0].first;
    size_t n_all = (size_t)first[j->d->n] + (size_t)j->d->n + 1;
    double *base = rung_alloc(n_all * sizeof *base), mean = 0, inv = 1, top = 0;
    if (!base) return rung_fail(err, RUNG_E_NOMEM, "no memory for advantages");
    double *level = base + j->d->n;
    step_levels(level, j);
    mean_of_others(base, j, j->extra);
    if (!joint && j->d->outcome) leave_one_out(j->scalar, j, j->d->outcome);
    for (int32_t i = 0; i < j->d->n; i++) {
        base[i] -= j->o.outcome_coef * j->scalar[i];
        double rest = joint ? j->o.outcome_coef * adv_outcome(j, i) : 0;
        if (adv_known(j, i)) step_moments(j, i, level + first[i], rest, base[i]);
    }
    if (j->whiten) adv_whiten_by(&mean, &inv, j);
    j->whitened = j->whiten;
#pragma omp parallel for schedule(static) num_threads(j->n_threads) reduction(max : top)
    for (int32_t i = 0; i < j->d->n; i++) {
        bool known = adv_known(j, i);
        double rest = joint && known ? j->o.outcome_coef * adv_outcome(j, i) : 0;
        const double *g = level + first[i];
        float *a = j->a + j->d->first[i], *ret = j->ret ? j->ret + j->d->first[i] : NULL;
        write_levels(a, j, i, g, rest, base[i] + mean, known ? inv : 0);
        if (ret) write_levels(ret, j, i, g, rest, 0, known ? 1 : 0);
        for (int64_t h = 0; known && h <= adv_n_steps(j, 0, i); h++) {
            bool past = h == adv_n_steps(j, 0, i);
            int64_t covered = h > 0 ? adv_ends(j, 0, i)[h - 1] + 1 : 0;
            if (past && covered == adv_length(j, i)) break;
            double x = fabs(((past ? rest : g[h]) - base[i] - mean) * inv);
            top = x > top ? x : top;
        }
    }
    if (j->whiten) j->f.max_abs = top;
    rung_free(base);
    return RUNG_OK;
}

/* The first code: step rewards less a baseline per token (its separator not counted) or per step,
 * the outcome against the others at the last token, suffix sums, 0 at the ends of steps; rewards.md
 * 3, framework A */
static rung_status min_step_baseline(adv_job *j, rung_error *err) {
    bool per_token = j->o.min_variant == RUNG_MIN_CODE_TOKEN;
    double *base = rung_calloc(2 * (size_t)j->d->n + 2, sizeof *base);
    if (!base) return rung_fail(err, RUNG_E_NOMEM, "no memory for advantages");
    double *len = base + j->d->n + 1;
    for (int32_t i = 0; i < j->d->n; i++) {
        double *s = adv_scratch(j), sum = 0;
        int64_t steps = adv_n_steps(j, 0, i);
        min_rewards(s, j, i);
        for (int64_t t = 0; t < adv_length(j, i); t++) sum += s[t];
        j->extra[i] = per_token ? sum : steps > 0 ? sum / (double)steps : 0;
        len[i] = per_token ? (double)j->n_tok[i] : 1;
    }
    for (int32_t g = 0; g < j->n_groups; g++) {
        const int32_t *who = j->who + j->first[g];
        int32_t n = j->first[g + 1] - j->first[g];
        double sum = 0, all = 0;
        for (int32_t k = 0; k < n; k++) {
            sum += j->extra[who[k]];
            all += len[who[k]];
        }
        for (int32_t k = 0; k < n; k++) {
            double others = all - len[who[k]];
            base[who[k]] = others > 0 ? (sum - j->extra[who[k]]) / others : 0;
        }
    }
    if (j->d->outcome) leave_one_out(j->scalar, j, j->d->outcome);
    for (int32_t i = 0; i < j->d->n; i++) {
        double *s = adv_scratch(j);
        const int32_t *end = adv_ends(j, 0, i);
        min_rewards(s, j, i);
        for (int64_t h = 0; h < adv_n_steps(j, 0, i); h++) {
            int64_t from = h > 0 ? end[h - 1] + 1 : 0;
            s[end[h]] -= base[i] * (per_token ? (double)(end[h] - from) : 1);
        }
        if (j->last[i] >= 0) s[j->last[i]] += j->o.outcome_coef * j->scalar[i];
        adv_take_kl(s, j, i);
        adv_suffix_sum(s, adv_mask(j, i), adv_length(j, i), j->o.gamma);
        for (int64_t h = 0; h < adv_n_steps(j, 0, i) && !j->o.keep_step_ends; h++) s[end[h]] = 0;
        adv_put_returns(j, i, s);
        adv_put(j, i, s);
    }
    rung_free(base);
    return RUNG_OK;
}

rung_status adv_min_form(adv_job *j, rung_error *err) {
    if (j->o.min_variant >= RUNG_MIN_CODE_TOKEN) return min_step_baseline(j, err);
    if (!(j->o.length_max > 0) || j->longest > j->o.length_max)
        return rung_fail(err, RUNG_E_INVAL,
                         "advantage min_form: an answer of %lld tokens, length_max %d",
                         (long long)j->longest, j->o.length_max);
    return is_stepwise(j) ? min_stepwise(j, err) : min_token_baseline(j, err);
}
