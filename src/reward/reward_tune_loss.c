/* What a base that trains is asked for, and how far off it is: two words after each step (labels.md
 * 3), the log-ratio of the steps' tokens to the base that it began as (reward_tune_ratio.c), or the
 * scores of a head that trains with it (labels.md 2 E, 3; learning.md 4.2 C, J). */
#include "reward/reward_tune.h"

#include <math.h>
#include <string.h>

/* A column of hidden states is divided by its spread, but by no less than this share of the spread
 * of all of them together: a nearly constant one would turn the least step of the base into a
 * change of every score. */
#define SD_SHARE 0.1

static int64_t n_positions(const tuner *w) {
    return (int64_t)w->n_rows * w->n_row_tok;
}

/* A head on the net --------------------------------------------------------------------------- */

typedef struct spread {
    double *sum, *square; /* [D] */
    int64_t n;
} spread;

static rung_status measure(spread *s, tuner *w, int64_t d, rung_error *err) {
    int64_t n = tune_list(w, true, false), next = 0;
    while (next < n) {
        rung_batch b = tune_pack(w, &next, n);
        const float *x;
        RUNG_TRY(rung_net_hidden(&x, w->net, &b, err));
        for (int64_t i = 0; i < w->b.n; i++) {
            for (int64_t j = 0; j < d; j++) {
                double v = (double)x[w->b.at[i] * d + j];
                s->sum[j] += v;
                s->square[j] += v * v;
            }
        }
        s->n += w->b.n;
    }
    return RUNG_OK;
}

/* Mean and 1/sd of what is read on the training side, under the base as it is. */
static void columns(float *mean, float *inv_sd, const spread *s, int64_t d) {
    double all = 0, n = (double)s->n;
    for (int64_t j = 0; j < d; j++) {
        double m = s->sum[j] / n;
        all += fmax(s->square[j] / n - m * m, 0) / (double)d;
    }
    double least = SD_SHARE * sqrt(all);
    for (int64_t j = 0; j < d; j++) {
        double m = s->sum[j] / n, sd = sqrt(fmax(s->square[j] / n - m * m, 0));
        mean[j] = (float)m;
        inv_sd[j] = all > 0 ? (float)(1 / fmax(sd, least)) : 1;
    }
}

static rung_status add_head(tuner *w, rung_error *err) {
    int64_t d = rung_net_get_shape(w->net)->n_embd;
    double *block = rung_calloc((size_t)(3 * d), sizeof *block);
    if (!block) return rung_fail(err, RUNG_E_NOMEM, "no memory for a head");
    spread s = {block, block + d, 0};
    float *mean = (float *)(block + 2 * d), *inv_sd = mean + d;
    rung_status st = measure(&s, w, d, err);
    if (st == RUNG_OK) {
        columns(mean, inv_sd, &s, d);
        st = rung_net_add_head(w->net, w->o->n_hidden, w->o->n_out, mean, inv_sd, w->o->seed, err);
    }
    rung_free(block);
    return st;
}

rung_status tune_loss_init(tuner *w, rung_error *err) {
    if (w->by == TUNE_HEAD) return add_head(w, err);
    return w->by == TUNE_RATIO ? tune_ratio_init(w, err) : RUNG_OK;
}

/* Scores -------------------------------------------------------------------------------------- */

static double sigmoid(double z) {
    return 1 / (1 + exp(-z));
}

static rung_status predict_rows(tuner *w, const rung_batch *b, rung_error *err) {
    tune_batch *k = &w->b;
    if (w->by == TUNE_HEAD) {
        RUNG_TRY(rung_net_scores(k->score, w->net, b, k->at, k->n, err));
    } else {
        RUNG_TRY(rung_net_words(k->logprob, w->net, b, w->plus, w->minus, k->mask, err));
        for (int64_t i = 0; i < k->n; i++) k->score[i] = k->logprob[k->at[i]];
    }
    for (int64_t i = 0; i < k->n; i++) {
        double z = k->score[i];
        w->z[k->row[i]] = z;
        w->p[k->row[i]] = w->loss == RUNG_LOSS_VALUE ? rung_head_value(z) : sigmoid(z);
    }
    return RUNG_OK;
}

rung_status tune_predict(tuner *w, bool train, bool held, rung_error *err) {
    int64_t n = tune_list(w, train, held), next = 0;
    while (next < n) {
        rung_batch b = tune_pack(w, &next, n);
        RUNG_TRY(w->by == TUNE_RATIO ? tune_ratio_predict(w, &b, err) : predict_rows(w, &b, err));
    }
    return RUNG_OK;
}

/* Losses -------------------------------------------------------------------------------------- */

rung_loss_opts tune_loss_opts(const tuner *w) {
    rung_loss_opts o = RUNG_LOSS_OPTS_INIT;
    if (w->by == TUNE_RATIO) o.beta = w->beta;
    o.kto_zero = w->kto_zero;
    o.clip_value = w->loss == RUNG_LOSS_VALUE ? w->o->clip_value : 0;
    return o;
}

rung_status tune_share(double *share, const tuner *w, const rung_loss_data *d, const double *finite,
                       rung_error *err) {
    rung_loss_data of = *d;
    rung_loss_opts o = tune_loss_opts(w);
    of.x = finite;
    return rung_loss_denominator(share, w->loss, &of, &o, err);
}

/* Rows that are read as the table has them; *pair is the caller's. */
static rung_status rows_of(rung_loss_data *d, int32_t **pair, const tuner *w, int64_t n,
                           const double *target, const double *old, const int32_t *group,
                           rung_error *err) {
    *pair = NULL;
    *d = (rung_loss_data){
        .n = n, .n_samples = n, .target = target, .reward = target, .old = old, .group = group};
    if (!(rung_loss_needs(w->loss) & RUNG_LOSS_NEEDS_PAIR)) return RUNG_OK;
    RUNG_TRY(rung_loss_pairs(pair, &d->n_pairs, target, group, n, err));
    d->pair = *pair;
    return RUNG_OK;
}

/* The words after each step: item = position, sample = row. */
static rung_status grad_words(double *value, double *share, tuner *w, const rung_batch *b,
                              rung_error *err) {
    const tune_batch *k = &w->b;
    int32_t *pair;
    int64_t n_terms;
    rung_loss_on_net l = {
        .id = w->loss, .opts = tune_loss_opts(w), .plus = w->plus, .minus = w->minus};
    rung_loss loss = {rung_loss_on_net_fn, &l};
    RUNG_TRY(rows_of(&l.data, &pair, w, k->n, k->target, NULL, k->group, err));
    l.data.n = n_positions(w);
    l.data.mask = k->mask;
    l.data.sample = k->sample;
    l.data.target = k->want;
    rung_status st = tune_share(share, w, &l.data, k->want, err);
    if (st == RUNG_OK && *share > 0)
        st = rung_net_grad(value, &n_terms, w->net, b, &loss, 1.0, err);
    rung_free(pair);
    return st;
}

static rung_status grad_head(double *value, double *share, tuner *w, const rung_batch *b,
                             rung_error *err) {
    const tune_batch *k = &w->b;
    int32_t *pair;
    rung_loss_on_head l = {
        .id = w->loss, .opts = tune_loss_opts(w), .at = k->at, .score = k->score};
    RUNG_TRY(rows_of(&l.data, &pair, w, k->n, k->target, k->old, k->group, err));
    rung_status st = tune_share(share, w, &l.data, k->score, err);
    if (st == RUNG_OK && *share > 0) st = rung_net_grad_head(value, w->net, b, &l, 1.0, err);
    rung_free(pair);
    return st;
}

rung_status tune_grad(double *value, double *share, tuner *w, const rung_batch *b,
                      rung_error *err) {
    *value = 0;
    return w->by == TUNE_RATIO   ? tune_ratio_grad(value, share, w, b, err)
           : w->by == TUNE_WORDS ? grad_words(value, share, w, b, err)
                                 : grad_head(value, share, w, b, err);
}

rung_status tune_held_loss(double *loss, tuner *w, rung_error *err) {
    size_t n = (size_t)w->set->n_held_rows + 1;
    double *x = rung_calloc(3 * n, sizeof *x), *y = x + n, *none = y + n;
    int32_t *group = rung_alloc(n * sizeof *group), *pair = NULL;
    rung_status st = RUNG_OK;
    int64_t m = 0;
    if (!x || !group) RUNG_GOTO(rung_fail(err, RUNG_E_NOMEM, "no memory for %zu rows", n));
    for (int64_t e = 0; e < w->set->n_examples; e++) {
        const reward_example *ex = &w->set->example[e];
        for (int32_t r = ex->first; ex->held && r < ex->first + ex->n; r++, m++) {
            x[m] = w->z[r];
            y[m] = (double)w->set->target[r];
            group[m] = w->set->group[r];
        }
    }
    if (w->by == TUNE_RATIO && w->spans) reward_drop_plain_groups(group, y, m);
    rung_loss_data d;
    if (w->by == TUNE_RATIO) RUNG_GOTO(tune_ratio_before_held(w, err));
    rung_loss_opts o = tune_loss_opts(w);
    o.clip_value = 0; /* a clip is the training's */
    RUNG_GOTO(rows_of(&d, &pair, w, m, y, NULL, group, err));
    d.x = x;
    d.label = y;
    d.ref = none; /* of a log-ratio: x has it in it */
    RUNG_GOTO(rung_loss_eval(loss, NULL, NULL, w->loss, &d, &o, err));
out:
    rung_free(x);
    rung_free(group);
    rung_free(pair);
    return st;
}
