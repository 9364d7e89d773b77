/* The table of losses, what each needs, and how a row becomes value and gradient. */
#include "train/loss_row.h"

#define NEEDS(what) RUNG_LOSS_NEEDS_##what
#define POLICY      (RUNG_LOSS_NEEDS_OLD | RUNG_LOSS_NEEDS_ADVANTAGE)
static const struct {
    unsigned needs;
    double beta, margin;    /* their defaults */
    loss_item_fn *item;     /* one of the two */
    loss_sample_fn *sample; /* reads z */
} how[RUNG_LOSS_COUNT] = {
    [RUNG_LOSS_CE] = {0, 0, 0, rung_loss_item_ce, NULL},
    [RUNG_LOSS_BCE] = {NEEDS(TARGET), 0, 0, rung_loss_item_bce, NULL},
    [RUNG_LOSS_CLASS_CE] = {NEEDS(TARGET), 0, 0, rung_loss_item_class_ce, NULL},
    [RUNG_LOSS_MSE] = {NEEDS(TARGET), 0, 0, rung_loss_item_mse, NULL},
    [RUNG_LOSS_VALUE] = {NEEDS(TARGET), 0, 0, rung_loss_item_value, NULL},
    [RUNG_LOSS_BRADLEY_TERRY] = {NEEDS(PAIR), 1, 0, NULL, rung_loss_sample_pairs},
    [RUNG_LOSS_MARGIN] = {NEEDS(PAIR), 1, 1, NULL, rung_loss_sample_margin},
    [RUNG_LOSS_OMEGA] = {NEEDS(GROUP) | NEEDS(REWARD), 1, 0, NULL, rung_loss_sample_omega},
    [RUNG_LOSS_IMPLICIT_CE] = {NEEDS(REF) | NEEDS(LABEL), .05, 0, NULL, rung_loss_sample_implicit},
    [RUNG_LOSS_DPO] = {NEEDS(REF) | NEEDS(PAIR), .1, 0, NULL, rung_loss_sample_pairs},
    [RUNG_LOSS_IPO] = {NEEDS(REF) | NEEDS(PAIR), .1, 0, NULL, rung_loss_sample_ipo},
    [RUNG_LOSS_REGRESSION] = {NEEDS(REF) | NEEDS(PAIR) | NEEDS(REWARD), .1, 0, NULL,
                              rung_loss_sample_regression},
    [RUNG_LOSS_KTO] = {NEEDS(REF) | NEEDS(LABEL), .1, 0, NULL, rung_loss_sample_kto},
    [RUNG_LOSS_NCA] = {NEEDS(REF) | NEEDS(GROUP) | NEEDS(REWARD), .01, 0, NULL,
                       rung_loss_sample_nca},
    [RUNG_LOSS_INFO_NCA] = {NEEDS(REF) | NEEDS(GROUP) | NEEDS(REWARD), .01, 0, NULL,
                            rung_loss_sample_info_nca},
    [RUNG_LOSS_KL_K1] = {NEEDS(REF), 0, 0, rung_loss_item_kl1, NULL},
    [RUNG_LOSS_KL_K2] = {NEEDS(REF), 0, 0, rung_loss_item_kl2, NULL},
    [RUNG_LOSS_KL_K3] = {NEEDS(REF), 0, 0, rung_loss_item_kl3, NULL},
    [RUNG_LOSS_KL_ABS] = {NEEDS(REF), 0, 0, rung_loss_item_kl_abs, NULL},
    [RUNG_LOSS_PPO] = {POLICY, 0, 0, rung_loss_item_ppo, NULL},
    [RUNG_LOSS_REINFORCE] = {POLICY, 0, 0, rung_loss_item_reinforce, NULL},
    [RUNG_LOSS_CISPO] = {POLICY, 0, 0, rung_loss_item_cispo, NULL},
    [RUNG_LOSS_SAPO] = {POLICY, 0, 0, rung_loss_item_sapo, NULL},
    [RUNG_LOSS_GEO_MEAN] = {POLICY, 0, 0, rung_loss_item_geo_mean, NULL},
    [RUNG_LOSS_CLIP_COV] = {POLICY | NEEDS(SELECTED), 0, 0, rung_loss_item_clip_cov, NULL},
    [RUNG_LOSS_KL_COV] = {POLICY | NEEDS(SELECTED), 0, 0, rung_loss_item_kl_cov, NULL},
};

static const struct {
    const char *name, *help;
    rung_loss_takes takes;
} what[RUNG_LOSS_COUNT] = {
#define X(id, name, takes, help) [RUNG_LOSS_##id] = {name, help, RUNG_LOSS_TAKES_##takes},
    RUNG_LOSSES(X)
#undef X
};

static const struct {
    const char *name, *verl, *trl;
} aggregations[RUNG_LOSS_AGGREGATION_COUNT] = {
#define X(id, name, verl, trl, help) [RUNG_LOSS_##id] = {name, verl, trl},
    RUNG_LOSS_AGGREGATIONS(X)
#undef X
};

const char *rung_loss_name(rung_loss_id id) {
    return (unsigned)id < RUNG_LOSS_COUNT ? what[id].name : "?";
}
const char *rung_loss_help(rung_loss_id id) {
    return (unsigned)id < RUNG_LOSS_COUNT ? what[id].help : "?";
}
rung_loss_takes rung_loss_takes_of(rung_loss_id id) {
    return what[id].takes;
}
unsigned rung_loss_needs(rung_loss_id id) {
    return how[id].needs;
}
const char *rung_loss_aggregation_name(rung_loss_aggregation a) {
    return (unsigned)a < RUNG_LOSS_AGGREGATION_COUNT ? aggregations[a].name : "?";
}

bool rung_loss_find(rung_loss_id *out, const char *name) {
    for (int i = 0; i < RUNG_LOSS_COUNT; i++) {
        if (strcmp(what[i].name, name) != 0) continue;
        *out = (rung_loss_id)i;
        return true;
    }
    return false;
}

bool rung_loss_aggregation_find(rung_loss_aggregation *out, const char *name) {
    for (int i = 0; i < RUNG_LOSS_AGGREGATION_COUNT && name[0]; i++) {
        if (strcmp(aggregations[i].name, name) != 0 && strcmp(aggregations[i].verl, name) != 0 &&
            strcmp(aggregations[i].trl, name) != 0)
            continue;
        *out = (rung_loss_aggregation)i;
        return true;
    }
    return false;
}

static bool is_policy(rung_loss_id id) {
    return (how[id].needs & NEEDS(ADVANTAGE)) != 0;
}
/* Its gradient is by a mean over the sample's tokens. */
static bool by_sample(rung_loss_id id, const rung_loss_opts *o) {
    return id == RUNG_LOSS_GEO_MEAN || (id == RUNG_LOSS_PPO && o->sequence_ratio);
}

/* Options and input -------------------------------------------------------------------------------
 */

static double or_else(double x, double dflt) {
    return x == 0 ? dflt : x;
}

static rung_status resolve(rung_loss_opts *out, rung_loss_id id, const rung_loss_opts *given,
                           rung_error *err) {
    static const rung_loss_opts none = RUNG_LOSS_OPTS_INIT;
    rung_loss_opts o = given ? *given : none;
    if (o.struct_size != sizeof o)
        return rung_fail(err, RUNG_E_INVAL, "rung_loss_opts of another size");
    if ((unsigned)id >= RUNG_LOSS_COUNT || (unsigned)o.aggregation >= RUNG_LOSS_AGGREGATION_COUNT)
        return rung_fail(err, RUNG_E_INVAL, "loss %d, aggregation %d: no such row", (int)id,
                         (int)o.aggregation);
    o.beta = or_else(o.beta, how[id].beta);
    o.margin = or_else(o.margin, how[id].margin);
    o.alpha = or_else(o.alpha, 1e-4);
    o.desirable = or_else(o.desirable, 1);
    o.undesirable = or_else(o.undesirable, 1);
    o.clip_low = or_else(o.clip_low, .2);
    o.clip_high = or_else(o.clip_high, .2);
    o.clip_sampler = or_else(o.clip_sampler, 2);
    o.cov_share = or_else(o.cov_share, 2e-4);
    o.cov_low = or_else(o.cov_low, 1);
    o.cov_high = or_else(o.cov_high, 5);
    o.cov_coef = or_else(o.cov_coef, 1);
    o.tau_pos = or_else(o.tau_pos, 1);
    o.tau_neg = or_else(o.tau_neg, 1.05);
    if (o.kl == 0) o.kl = RUNG_LOSS_KL_K2;
    if (o.kl_value == 0) o.kl_value = o.kl;
    if (o.n_class == 0) o.n_class = 2;
    if (id == RUNG_LOSS_BRADLEY_TERRY || id == RUNG_LOSS_MARGIN || id == RUNG_LOSS_OMEGA)
        o.no_reference = true;
    if (o.no_reference && id != RUNG_LOSS_DPO && id != RUNG_LOSS_IPO &&
        (how[id].needs & NEEDS(REF)))
        return rung_fail(err, RUNG_E_INVAL, "loss %s is about a reference", what[id].name);
    if (!(o.beta >= 0) || !(o.smoothing >= 0 && o.smoothing < 0.5) || !(o.alpha > 0) ||
        !(o.denominator >= 0) || !isfinite(o.margin) || !isfinite(o.kto_zero) || o.n_class < 2 ||
        !(o.desirable >= 0) || !(o.undesirable >= 0) || !(o.clip_value >= 0) || o.clip_low > 1 ||
        !(o.kl_coef >= 0) || o.kl < RUNG_LOSS_KL_K1 || o.kl > RUNG_LOSS_KL_ABS ||
        o.kl_value < RUNG_LOSS_KL_K1 || o.kl_value > RUNG_LOSS_KL_ABS || !(o.cov_share > 0) ||
        !(o.cov_coef >= 0) || !(o.tau_pos > 0) || !(o.tau_neg > 0) ||
        (o.clip_dual != 0 && !(o.clip_dual > 1)) || !(o.clip_sampler > 0))
        return rung_fail(err, RUNG_E_INVAL, "loss %s: an option is out of its range",
                         what[id].name);
    if (how[id].item && o.aggregation == RUNG_LOSS_SEQ_SUM_CONST && !(o.length_max > 0))
        return rung_fail(err, RUNG_E_INVAL, "aggregation seq_sum_const needs length_max");
    *out = o;
    return RUNG_OK;
}

static unsigned needs_of(rung_loss_id id, const rung_loss_opts *o) {
    unsigned n = how[id].needs;
    if (o->no_reference) n &= ~(unsigned)NEEDS(REF);
    if (is_policy(id) && o->kl_coef > 0) n |= NEEDS(REF);
    if (id == RUNG_LOSS_VALUE && o->clip_value > 0) n |= NEEDS(OLD);
    return n;
}

static rung_status check_there(rung_loss_id id, const rung_loss_data *d, unsigned needs,
                               rung_error *err) {
    const struct {
        unsigned bit;
        const void *p;
        const char *name;
    } parts[] = {
        {NEEDS(TARGET), d->target, "target"}, {NEEDS(REF), d->ref, "ref"},
        {NEEDS(OLD), d->old, "old"},          {NEEDS(ADVANTAGE), d->advantage, "advantage"},
        {NEEDS(LABEL), d->label, "label"},    {NEEDS(GROUP), d->group, "group"},
        {NEEDS(REWARD), d->reward, "reward"}, {NEEDS(SELECTED), d->selected, "selected"}};
    if (d->n < 0 || d->n_samples < 0 || d->n_samples > INT32_MAX || d->n_pairs < 0)
        return rung_fail(err, RUNG_E_INVAL, "loss %s: %lld items of %lld samples", what[id].name,
                         (long long)d->n, (long long)d->n_samples);
    if (!d->sample && d->n != d->n_samples)
        return rung_fail(err, RUNG_E_INVAL, "loss %s: %lld items are not %lld samples",
                         what[id].name, (long long)d->n, (long long)d->n_samples);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if ((needs & parts[i].bit) && !parts[i].p && d->n > 0)
            return rung_fail(err, RUNG_E_INVAL, "loss %s needs %s", what[id].name, parts[i].name);
    }
    if ((needs & NEEDS(PAIR)) && !d->pair && d->n_pairs > 0)
        return rung_fail(err, RUNG_E_INVAL, "loss %s needs pairs", what[id].name);
    return RUNG_OK;
}

static rung_status bad_item(rung_loss_id id, const char *field, int64_t i, double v,
                            rung_error *err) {
    return rung_fail(err, RUNG_E_INVAL, "loss %s: %s is %g at item %lld", what[id].name, field, v,
                     (long long)i);
}

static rung_status check_items(rung_loss_id id, const rung_loss_data *d, const rung_loss_opts *o,
                               unsigned needs, rung_error *err) {
    int64_t width = id == RUNG_LOSS_CLASS_CE ? o->n_class : 1;
    bool ratio = is_policy(id);
    const struct {
        const double *p;
        const char *name;
    } parts[] = {{(needs & NEEDS(REF)) ? d->ref : NULL, "ref"},
                 {(needs & NEEDS(OLD)) ? d->old : NULL, "old"},
                 {(needs & NEEDS(ADVANTAGE)) ? d->advantage : NULL, "advantage"},
                 {(needs & NEEDS(TARGET)) ? d->target : NULL, "target"},
                 {ratio ? d->sampler : NULL, "sampler"}};
    for (int64_t i = 0; i < d->n; i++) {
        if (loss_sample_of(d, i) >= d->n_samples || loss_sample_of(d, i) < -1)
            return bad_item(id, "sample", i, (double)loss_sample_of(d, i), err);
        if (d->mask && !(d->mask[i] >= 0 && isfinite(d->mask[i])))
            return bad_item(id, "mask", i, d->mask[i], err);
        if (loss_item_weight(d, i) == 0) continue;
        for (int64_t k = 0; k < width; k++)
            if (!isfinite(d->x[i * width + k]))
                return bad_item(id, "x", i, d->x[i * width + k], err);
        for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++)
            if (parts[k].p && !isfinite(parts[k].p[i]))
                return bad_item(id, parts[k].name, i, parts[k].p[i], err);
        if (!(needs & NEEDS(TARGET)) || id == RUNG_LOSS_VALUE) continue;
        double t = d->target[i], top = id == RUNG_LOSS_CLASS_CE ? o->n_class - 1 : 1;
        bool whole = id == RUNG_LOSS_CLASS_CE && o->n_class > 2;
        if (!(t >= 0 && t <= top) || (whole && t != floor(t)))
            return bad_item(id, "target", i, t, err);
    }
    return RUNG_OK;
}

static rung_status check_samples(rung_loss_id id, const rung_loss_data *d, unsigned needs,
                                 rung_error *err) {
    for (int64_t s = 0; s < d->n_samples; s++) {
        double w = loss_weight(d, s);
        if (!(w >= 0 && isfinite(w)))
            return rung_fail(err, RUNG_E_INVAL, "loss %s: weight %g of sample %lld", what[id].name,
                             w, (long long)s);
        if (w == 0) continue;
        if ((needs & NEEDS(LABEL)) && !(d->label[s] >= 0 && d->label[s] <= 1))
            return rung_fail(err, RUNG_E_INVAL, "loss %s: label %g of sample %lld", what[id].name,
                             d->label[s], (long long)s);
        if ((needs & NEEDS(REWARD)) && !isfinite(d->reward[s]))
            return rung_fail(err, RUNG_E_INVAL, "loss %s: reward %g of sample %lld", what[id].name,
                             d->reward[s], (long long)s);
    }
    for (int64_t p = 0; (needs & NEEDS(PAIR)) && p < d->n_pairs; p++) {
        int32_t a = d->pair[2 * p], b = d->pair[2 * p + 1];
        double w = d->pair_weight ? d->pair_weight[p] : 1;
        double m = d->pair_margin ? d->pair_margin[p] : 0;
        if (a < 0 || b < 0 || a >= d->n_samples || b >= d->n_samples || a == b ||
            !(w >= 0 && isfinite(w)) || !isfinite(m))
            return rung_fail(err, RUNG_E_INVAL,
                             "loss %s: pair %lld: %d over %d, weight %g, margin %g", what[id].name,
                             (long long)p, a, b, w, m);
    }
    return RUNG_OK;
}

/* Sums --------------------------------------------------------------------------------------------
 */

static void measure_samples(loss_job *j, bool by_old) {
    const rung_loss_data *d = j->d;
    const double *base = by_old ? d->old : j->o.no_reference ? NULL : d->ref;
    for (int64_t i = 0; i < d->n; i++) {
        if (loss_item_weight(d, i) == 0) continue;
        int64_t s = loss_sample_of(d, i);
        double m = loss_mask(d, i);
        bool is_free;
        j->len[s] += m;
        if (j->a) {
            j->z[s] += m * loss_geo_log_ratio(&is_free, j, i);
            j->a[s] += m * d->advantage[i];
            j->log_trust[s] += m * log(loss_trust(j, i));
        } else if (j->z) {
            j->z[s] += m * (d->x[i] - (base ? base[i] : 0));
        }
    }
    bool mean = by_old || j->o.mean_tokens;
    for (int64_t s = 0; j->z && mean && s < d->n_samples; s++) {
        if (!(j->len[s] > 0)) continue;
        j->z[s] /= j->len[s];
        if (j->a) j->a[s] /= j->len[s];
        if (j->a) j->log_trust[s] /= j->len[s];
    }
}

/* dL/d(loss of item i), before the denominator. */
static double item_share(const loss_job *j, int64_t i) {
    double w = loss_item_weight(j->d, i);
    if (w == 0) return 0;
    switch (j->o.aggregation) {
    case RUNG_LOSS_SEQ_MEAN_TOKEN_MEAN: return w / j->len[loss_sample_of(j->d, i)];
    case RUNG_LOSS_SEQ_SUM_CONST: return w / j->o.length_max;
    default: return w;
    }
}

static double item_denominator(const loss_job *j) {
    double sum = 0;
    bool tokens = j->o.aggregation == RUNG_LOSS_TOKEN_MEAN;
    for (int64_t i = 0; tokens && i < j->d->n; i++) sum += loss_item_weight(j->d, i);
    for (int64_t s = 0; !tokens && s < j->d->n_samples; s++)
        if (j->len[s] > 0) sum += loss_weight(j->d, s);
    return sum;
}

/* Adds coef x the row's loss to *value and its gradient to dx (NULL: not). */
static void add_items(double *value, double *dx, loss_job *j, loss_item_fn *fn, double coef,
                      int64_t width) {
    double g[64], *wide = NULL, sum = 0;
    double *at = width <= 64 ? g : (wide = rung_alloc((size_t)width * sizeof *wide));
    for (int64_t i = 0; at && i < j->d->n; i++) {
        double share = coef * item_share(j, i);
        if (share == 0) continue;
        sum += share * fn(at, j, i);
        j->f.n += 1;
        for (int64_t k = 0; dx && k < width; k++) dx[i * width + k] += share * at[k];
    }
    rung_free(wide);
    *value += at ? sum : (double)NAN;
}

/* A gradient by the sample's mean log-ratio becomes one by each of its tokens. */
static rung_status spread_ratio(double *dx, const loss_job *j, rung_error *err) {
    double *sum = rung_calloc((size_t)j->d->n_samples + 1, sizeof *sum);
    if (!sum) return rung_fail(err, RUNG_E_NOMEM, "no memory for a loss");
    for (int64_t i = 0; i < j->d->n; i++)
        if (loss_item_weight(j->d, i) > 0) sum[loss_sample_of(j->d, i)] += dx[i];
    for (int64_t i = 0; i < j->d->n; i++) {
        if (loss_item_weight(j->d, i) == 0) continue;
        int64_t s = loss_sample_of(j->d, i);
        bool is_free = true;
        if (j->a) (void)loss_geo_log_ratio(&is_free, j, i);
        dx[i] = is_free ? sum[s] * loss_mask(j->d, i) / j->len[s] : 0;
    }
    rung_free(sum);
    return RUNG_OK;
}

static rung_status run_items(double *value, double *dx, rung_loss_id id, loss_job *j,
                             rung_error *err) {
    int64_t width = id == RUNG_LOSS_CLASS_CE ? j->o.n_class : 1;
    double den = j->o.denominator > 0 ? j->o.denominator : item_denominator(j);
    if (den <= 0) return RUNG_OK;
    add_items(value, dx, j, how[id].item, 1, width);
    if (dx && by_sample(id, &j->o) && !(id == RUNG_LOSS_PPO && j->o.sequence_token))
        RUNG_TRY(spread_ratio(dx, j, err));
    double n = j->f.n, aside = 0;
    if (is_policy(id) && j->o.kl_coef > 0) {
        add_items(value, NULL, j, how[j->o.kl_value].item, j->o.kl_coef, 1);
        if (dx) add_items(&aside, dx, j, how[j->o.kl].item, j->o.kl_coef, 1);
    }
    j->f.n = n;
    if (!isfinite(*value))
        return rung_fail(err, RUNG_E_NOMEM, "no memory for a loss of %d classes", j->o.n_class);
    *value /= den;
    for (int64_t i = 0; dx && i < j->d->n * width; i++) dx[i] /= den;
    return RUNG_OK;
}

static rung_status run_samples(double *value, double *dx, double *den, rung_loss_id id, loss_job *j,
                               rung_error *err) {
    const rung_loss_data *d = j->d;
    double *dz = rung_calloc((size_t)d->n_samples + 1, sizeof *dz), sum = 0;
    if (!dz) return rung_fail(err, RUNG_E_NOMEM, "no memory for a loss");
    rung_status st = how[id].sample(&sum, den, dz, j, err);
    double over = j->o.denominator > 0 ? j->o.denominator : *den;
    if (st == RUNG_OK && over > 0) {
        *value = sum / over;
        for (int64_t i = 0; dx && i < d->n; i++) {
            if (loss_item_weight(d, i) == 0) continue;
            int64_t s = loss_sample_of(d, i);
            double m = loss_mask(d, i) / (j->o.mean_tokens ? j->len[s] : 1);
            dx[i] = m * dz[s] / over;
        }
    }
    rung_free(dz);
    return st;
}

static void finish_figures(rung_loss_figures *out, const loss_job *j, rung_loss_id id) {
    rung_loss_figures f = j->f;
    bool ppo = is_policy(id), nothing = f.n == 0;
    bool pairs = (how[id].needs & NEEDS(PAIR)) != 0, outcome = (how[id].needs & NEEDS(LABEL)) != 0;
    double *shares[] = {&f.clip_low, &f.clip_high, &f.clip_dual, &f.kl};
    for (size_t i = 0; i < 4; i++) *shares[i] = ppo && !nothing ? *shares[i] / f.n : (double)NAN;
    f.accuracy =
        (pairs || outcome || id == RUNG_LOSS_OMEGA) && !nothing ? f.accuracy / f.n : (double)NAN;
    f.chosen = (pairs || outcome) && !nothing ? f.chosen / f.n : (double)NAN;
    f.rejected = (pairs || outcome) && !nothing ? f.rejected / f.n : (double)NAN;
    *out = f;
}

static rung_status evaluate(double *value, double *dx, double *den, rung_loss_figures *figures,
                            rung_loss_id id, const rung_loss_data *d, const rung_loss_opts *given,
                            rung_error *err) {
    loss_job j = {.d = d};
    *value = *den = 0;
    RUNG_TRY(resolve(&j.o, id, given, err));
    unsigned needs = needs_of(id, &j.o);
    RUNG_TRY(check_there(id, d, needs, err));
    RUNG_TRY(check_samples(id, d, needs, err));
    RUNG_TRY(check_items(id, d, &j.o, needs, err));
    int64_t width = id == RUNG_LOSS_CLASS_CE ? j.o.n_class : 1;
    bool by_old = by_sample(id, &j.o);
    size_t n_sums = (size_t)d->n_samples + 1;
    double *sums = rung_calloc(4 * n_sums, sizeof *sums);
    if (!sums) return rung_fail(err, RUNG_E_NOMEM, "no memory for a loss");
    j.len = sums;
    if (how[id].sample || by_old) j.z = sums + n_sums;
    if (id == RUNG_LOSS_GEO_MEAN) {
        j.a = sums + 2 * n_sums;
        j.log_trust = sums + 3 * n_sums;
    }
    measure_samples(&j, by_old);
    if (dx) memset(dx, 0, (size_t)(d->n * width) * sizeof *dx);
    rung_status st;
    if (how[id].sample) {
        st = run_samples(value, dx, den, id, &j, err);
    } else {
        *den = item_denominator(&j);
        st = run_items(value, dx, id, &j, err);
    }
    if (figures && st == RUNG_OK) finish_figures(figures, &j, id);
    rung_free(sums);
    return st;
}

rung_status rung_loss_eval(double *value, double *dx, rung_loss_figures *figures, rung_loss_id id,
                           const rung_loss_data *d, const rung_loss_opts *o, rung_error *err) {
    double den;
    return evaluate(value, dx, &den, figures, id, d, o, err);
}

rung_status rung_loss_denominator(double *out, rung_loss_id id, const rung_loss_data *d,
                                  const rung_loss_opts *o, rung_error *err) {
    double value;
    return evaluate(&value, NULL, out, NULL, id, d, o, err);
}

rung_status rung_loss_select(uint8_t *selected, rung_loss_id id, const rung_loss_data *d,
                             const rung_loss_opts *given, rung_error *err) {
    rung_loss_opts o;
    RUNG_TRY(resolve(&o, id, given, err));
    if (!(how[id].needs & NEEDS(SELECTED)))
        return rung_fail(err, RUNG_E_INVAL, "loss %s selects nothing", what[id].name);
    unsigned needs = POLICY;
    RUNG_TRY(check_there(id, d, needs, err));
    RUNG_TRY(check_samples(id, d, needs, err));
    RUNG_TRY(check_items(id, d, &o, needs, err));
    return rung_loss_select_items(selected, id == RUNG_LOSS_CLIP_COV, d, &o, err);
}
