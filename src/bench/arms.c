/* Arms of a claim: figures over items, and the interval of their difference over seeds and
 * clusters (feedback.md 10.5). */
#include "bench/pool.h"
#include "rung/claim.h"
#include "rung/rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEVEL 0.95
enum { MAX_SEEDS = 64 };

rung_status rung_arm_push(rung_arm *a, uint64_t cluster, double x, double y, rung_error *err) {
    void *p = a->item;
    rung_status st = rung_grow(&p, &a->cap, a->n + 1, sizeof *a->item, err);
    a->item = p;
    if (st == RUNG_OK) a->item[a->n++] = (rung_arm_item){cluster, x, y};
    return st;
}

void rung_arm_clear(rung_arm *a) {
    rung_free(a->item);
    *a = (rung_arm){0};
}

/* ---- figures over weighted items */

typedef struct placed { /* an item with the place of its cluster */
    double x, y;
    int64_t at;
} placed;

static double f1_of(double hit_err, double n_err, double hit_cor, double n_cor) {
    double a = hit_err / n_err, b = hit_cor / n_cor; /* 0/0: NaN, undefined */
    return a + b == 0.0 ? 0.0 : 2.0 * a * b / (a + b);
}

static double sums_of(rung_arm_metric m, const placed *p, int64_t n, const double *weight) {
    double sx = 0.0, sy = 0.0, hit[2] = {0.0, 0.0}, all[2] = {0.0, 0.0};
    for (int64_t i = 0; i < n; i++) {
        double w = weight[p[i].at];
        if (w == 0.0) continue; /* exact: weights are counts */
        sx += w * p[i].x;
        sy += w * p[i].y;
        int k = p[i].y > 0.5;
        hit[k] += w * p[i].x;
        all[k] += w;
    }
    switch (m) {
    case RUNG_ARM_F1: return f1_of(hit[1], all[1], hit[0], all[0]);
    case RUNG_ARM_ACC_ERR: return hit[1] / all[1];
    case RUNG_ARM_ACC_COR: return hit[0] / all[0];
    case RUNG_ARM_RARE: return fmin(sx / sy, 1.0 - sx / sy);
    default: return sx / sy;
    }
}

/* Items ascending by x. */
static double auroc_of(const placed *p, int64_t n, const double *weight) {
    double n_pos = 0.0, n_neg = 0.0, wins = 0.0;
    for (int64_t begin = 0, end; begin < n; begin = end) {
        double pos = 0.0, neg = 0.0;
        for (end = begin; end < n && p[end].x == p[begin].x; end++)
            *(p[end].y > 0.5 ? &pos : &neg) += weight[p[end].at];
        wins += pos * (n_neg + 0.5 * neg);
        n_pos += pos;
        n_neg += neg;
    }
    return n_pos > 0.0 && n_neg > 0.0 ? wins / (n_pos * n_neg) : (double)NAN;
}

static double pearson_of(const placed *p, int64_t n, const double *weight) {
    double sum = 0.0, mx = 0.0, my = 0.0, xx = 0.0, yy = 0.0, xy = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double w = weight[p[i].at];
        sum += w;
        mx += w * p[i].x;
        my += w * p[i].y;
    }
    for (int64_t i = 0; i < n; i++) {
        double w = weight[p[i].at], a = p[i].x - mx / sum, b = p[i].y - my / sum;
        xx += w * a * a;
        yy += w * b * b;
        xy += w * a * b;
    }
    return xy / sqrt(xx * yy); /* 0/0: a constant one */
}

static double figure(rung_arm_metric m, const placed *p, int64_t n, const double *weight) {
    if (m == RUNG_ARM_AUROC) return auroc_of(p, n, weight);
    return m == RUNG_ARM_PEARSON ? pearson_of(p, n, weight) : sums_of(m, p, n, weight);
}

/* ---- items in place */

static int by_number(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int by_x(const void *a, const void *b) {
    double x = ((const placed *)a)->x, y = ((const placed *)b)->x;
    return (x > y) - (x < y);
}

typedef struct compare {
    rung_arm_metric m;
    int n_seeds;
    placed *p[2][MAX_SEEDS]; /* [arm, over][seed] */
    int64_t n[2][MAX_SEEDS];
    bool against_constant;
    double constant;
    uint64_t *cluster; /* sorted, each once */
    int64_t n_clusters;
    double *weight;
    uint64_t seed;
} compare;

static rung_status list_clusters(compare *w, const rung_arm *const side[2], rung_error *err) {
    int64_t n = 0;
    for (int k = 0; k < 2; k++)
        for (int j = 0; side[k] && j < w->n_seeds; j++) n += side[k][j].n;
    w->cluster = rung_calloc((size_t)n + 1, sizeof *w->cluster);
    w->weight = rung_calloc((size_t)n + 1, sizeof *w->weight);
    if (!w->cluster || !w->weight)
        return rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld items", (long long)n);
    n = 0;
    for (int k = 0; k < 2; k++)
        for (int j = 0; side[k] && j < w->n_seeds; j++)
            for (int64_t i = 0; i < side[k][j].n; i++) w->cluster[n++] = side[k][j].item[i].cluster;
    qsort(w->cluster, (size_t)n, sizeof *w->cluster, by_number);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || w->cluster[i] != w->cluster[i - 1])
            w->cluster[w->n_clusters++] = w->cluster[i];
    return RUNG_OK;
}

static rung_status place(placed **out, const compare *w, const rung_arm *a, rung_error *err) {
    placed *p = *out = rung_calloc((size_t)a->n + 1, sizeof *p);
    if (!p) return rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld items", (long long)a->n);
    for (int64_t i = 0; i < a->n; i++) {
        const rung_arm_item *item = &a->item[i];
        const uint64_t *at = bsearch(&item->cluster, w->cluster, (size_t)w->n_clusters,
                                     sizeof *w->cluster, by_number);
        p[i] = (placed){item->x, item->y, at - w->cluster};
    }
    if (w->m == RUNG_ARM_AUROC) qsort(p, (size_t)a->n, sizeof *p, by_x);
    return RUNG_OK;
}

static double diff_of(const compare *w, int j) {
    double a = figure(w->m, w->p[0][j], w->n[0][j], w->weight);
    double b = w->against_constant ? w->constant : figure(w->m, w->p[1][j], w->n[1][j], w->weight);
    return a - b;
}

/* One resample: its clusters are index; its seeds are drawn by what index says, so that they do not
 * depend on the order of the calls. */
static double resampled(void *ud, const uint32_t *index, int64_t n) {
    compare *w = ud;
    memset(w->weight, 0, (size_t)w->n_clusters * sizeof *w->weight);
    for (int64_t i = 0; i < n; i++) w->weight[index[i]] += 1.0;
    uint64_t key = rung_hash64(index, (size_t)n * sizeof *index, w->seed);
    rung_rng r = rung_rng_at(w->seed, RUNG_STREAM_BOOTSTRAP, key, 1);
    int count[MAX_SEEDS] = {0};
    for (int j = 0; j < w->n_seeds; j++) count[rung_rng_below(&r, (uint64_t)w->n_seeds)]++;
    double sum = 0.0;
    for (int j = 0; j < w->n_seeds; j++)
        if (count[j] > 0) sum += count[j] * diff_of(w, j);
    return sum / w->n_seeds;
}

double rung_arm_value(rung_arm_metric m, const rung_arm *a) {
    compare w = {.m = m, .n_seeds = 1};
    const rung_arm *side[2] = {a, NULL};
    double v = (double)NAN;
    if (a->n > 0 && list_clusters(&w, side, NULL) == RUNG_OK &&
        place(&w.p[0][0], &w, a, NULL) == RUNG_OK) {
        for (int64_t i = 0; i < w.n_clusters; i++) w.weight[i] = 1.0;
        v = figure(m, w.p[0][0], a->n, w.weight);
    }
    rung_free(w.p[0][0]);
    rung_free(w.cluster);
    rung_free(w.weight);
    return v;
}

static void by_seed(rung_arms *out, compare *w) {
    double mean = 0.0, square = 0.0;
    for (int64_t i = 0; i < w->n_clusters; i++) w->weight[i] = 1.0;
    for (int j = 0; j < w->n_seeds; j++) {
        double a = figure(w->m, w->p[0][j], w->n[0][j], w->weight);
        out->arm += a / w->n_seeds;
        out->seed_diff[j] = diff_of(w, j);
        out->over += (a - out->seed_diff[j]) / w->n_seeds;
        mean += out->seed_diff[j] / w->n_seeds;
    }
    for (int j = 0; j < w->n_seeds; j++)
        square += (out->seed_diff[j] - mean) * (out->seed_diff[j] - mean);
    out->diff = mean;
    out->seed_sd = w->n_seeds > 1 ? sqrt(square / (w->n_seeds - 1)) : (double)NAN;
    out->n_clusters = w->n_clusters;
}

rung_status rung_arms_compare(rung_arms *out, rung_arm_metric m, const rung_arm *arm,
                              const rung_arm *over, double constant, int n_seeds, int n_boot,
                              uint64_t seed, rung_error *err) {
    *out = (rung_arms){.seed_sd = (double)NAN};
    if (n_seeds < 1 || n_seeds > MAX_SEEDS || (unsigned)m >= RUNG_ARM_METRIC_COUNT)
        return rung_fail(err, RUNG_E_INVAL, "%d seeds: 1 to %d", n_seeds, MAX_SEEDS);
    compare w = {
        .m = m, .n_seeds = n_seeds, .against_constant = !over, .constant = constant, .seed = seed};
    const rung_arm *const side[2] = {arm, over};
    rung_status st = list_clusters(&w, side, err);
    for (int k = 0; k < 2 && st == RUNG_OK; k++)
        for (int j = 0; side[k] && j < n_seeds && st == RUNG_OK; j++) {
            w.n[k][j] = side[k][j].n;
            if (w.n[k][j] == 0)
                st = rung_fail(err, RUNG_E_NOT_FOUND, "an arm of the claim has nothing measured");
            else
                st = place(&w.p[k][j], &w, &side[k][j], err);
        }
    if (st == RUNG_OK) {
        by_seed(out, &w);
        out->ci = rung_bootstrap(resampled, &w, w.n_clusters, n_boot, LEVEL, seed);
    }
    for (int k = 0; k < 2; k++)
        for (int j = 0; j < n_seeds; j++) rung_free(w.p[k][j]);
    rung_free(w.cluster);
    rung_free(w.weight);
    return st;
}
