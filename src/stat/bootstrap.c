/* Bootstrap intervals, percentile and BCa (feedback.md 10.5). Resample b draws its n indices from
 * stream BOOTSTRAP at (seed, b): the same resamples for every statistic with the same seed and n,
 * so that intervals of differences are paired by construction and threads could split b without
 * changing a number. */
#include "rung/rng.h"
#include "rung/stat.h"
#include "stat/sorted.h"
#include <math.h>

static const rung_interval UNDEFINED = {(double)NAN, (double)NAN};

static bool sane(int64_t n, int n_boot, double level) {
    return n > 0 && n <= UINT32_MAX && n_boot > 1 && level > 0.0 && level < 1.0;
}

static void resample(uint32_t *index, int64_t n, uint64_t seed, int b) {
    rung_rng r = rung_rng_at(seed, RUNG_STREAM_BOOTSTRAP, (uint64_t)b, 0);
    for (int64_t i = 0; i < n; i++) index[i] = (uint32_t)rung_rng_below(&r, (uint64_t)n);
}

/* Undefined resamples (one class only, say) are left out; fewer than half defined: no interval. */
static rung_interval percentile(double *t, int n_boot, double level) {
    int n = 0;
    for (int b = 0; b < n_boot; b++)
        if (!isnan(t[b])) t[n++] = t[b];
    if (n < 2 || 2 * n < n_boot) return UNDEFINED;
    rung_sort_f64(t, n);
    double tail = 0.5 * (1.0 - level);
    return (rung_interval){rung_quantile_sorted(t, n, tail),
                           rung_quantile_sorted(t, n, 1.0 - tail)};
}

/* What rung_boot_run works with: clusters of items, drawn within their strata. */
typedef struct boot {
    const rung_boot *o;
    int64_t n_clusters, n_strata;
    uint32_t *index;        /* [n_index_max] of items: one resample */
    uint32_t *order;        /* [n_clusters] clusters, a stratum after the other */
    int64_t *stratum_first; /* [n_strata + 1] in order */
    double *t;              /* [n_boot] */
} boot;

static int64_t cluster_begin(const boot *w, int64_t c) {
    return w->o->cluster_first ? w->o->cluster_first[c] : c;
}

static int64_t add_cluster(const boot *w, int64_t at, int64_t c) {
    for (int64_t i = cluster_begin(w, c); i < cluster_begin(w, c + 1); i++)
        w->index[at++] = (uint32_t)i;
    return at;
}

/* The most items that a resample can hold: the longest cluster, as often as there are clusters. */
static int64_t index_max(const boot *w) {
    int64_t longest = 0;
    for (int64_t c = 0; c < w->n_clusters; c++) {
        int64_t len = cluster_begin(w, c + 1) - cluster_begin(w, c);
        if (len > longest) longest = len;
    }
    return longest * w->n_clusters;
}

static void sort_strata(boot *w) {
    for (int64_t s = 0, at = 0; s < w->n_strata; s++) {
        w->stratum_first[s] = at;
        for (int64_t c = 0; c < w->n_clusters; c++)
            if (!w->o->stratum || w->o->stratum[c] == s) w->order[at++] = (uint32_t)c;
    }
    w->stratum_first[w->n_strata] = w->n_clusters;
}

/* The draws of a plain bootstrap (one stratum, no clusters) are those of resample(). */
static double boot_statistic(const boot *w, int b) {
    rung_rng r = rung_rng_at(w->o->seed, RUNG_STREAM_BOOTSTRAP, (uint64_t)b, 0);
    int64_t at = 0;
    for (int64_t s = 0; s < w->n_strata; s++) {
        int64_t first = w->stratum_first[s], n = w->stratum_first[s + 1] - first;
        for (int64_t i = 0; i < n; i++)
            at = add_cluster(w, at, w->order[first + (int64_t)rung_rng_below(&r, (uint64_t)n)]);
    }
    return w->o->stat(w->o->ud, w->index, at);
}

static double leave_out(const boot *w, int64_t without) {
    int64_t at = 0;
    for (int64_t c = 0; c < w->n_clusters; c++)
        if (c != without) at = add_cluster(w, at, c);
    return w->o->stat(w->o->ud, w->index, at);
}

/* a = sum (mean - t_(i))^3 / (6 (sum (mean - t_(i))^2)^1.5) over the leave-one-out values. */
static double acceleration(const boot *w) {
    double *jack = rung_calloc((size_t)w->n_clusters, sizeof *jack);
    if (!jack) return (double)NAN;
    double mean = 0.0, square = 0.0, cube = 0.0;
    int64_t n = 0;
    for (int64_t c = 0; c < w->n_clusters; c++) {
        double t = leave_out(w, c);
        if (!isnan(t)) jack[n++] = t, mean += t;
    }
    mean /= n > 0 ? (double)n : 1.0;
    for (int64_t i = 0; i < n; i++) {
        double d = mean - jack[i];
        square += d * d;
        cube += d * d * d;
    }
    rung_free(jack);
    return square > 0.0 ? cube / (6.0 * pow(square, 1.5)) : 0.0;
}

static double normal_cdf(double z) {
    return 0.5 * erfc(-z * M_SQRT1_2);
}

/* t ascending, n > 0 of them. The bias counts resamples equal to the value as half below it. */
static rung_interval bca(const boot *w, const double *t, int64_t n, double value) {
    double below = 0.0, tail = 0.5 * (1.0 - w->o->level), a = acceleration(w);
    for (int64_t i = 0; i < n; i++) below += t[i] < value ? 1.0 : t[i] == value ? 0.5 : 0.0;
    double share = below / (double)n;
    if (!(share > 0.0 && share < 1.0) || isnan(a)) return UNDEFINED;
    double z0 = rung_normal_quantile(share), at[2];
    for (int side = 0; side < 2; side++) {
        double z = z0 + rung_normal_quantile(side ? 1.0 - tail : tail);
        at[side] = rung_quantile_sorted(t, n, normal_cdf(z0 + z / (1.0 - a * z)));
    }
    return (rung_interval){at[0], at[1]};
}

static void boot_interval(rung_boot_out *out, const boot *w) {
    int n = 0, n_boot = w->o->n_boot;
    for (int b = 0; b < n_boot; b++)
        if (!isnan(w->t[b])) w->t[n++] = w->t[b];
    out->n_undefined = n_boot - n;
    if (n < 2 || 2 * n < n_boot) return;
    rung_sort_f64(w->t, n);
    out->degenerate = w->t[0] == w->t[n - 1];
    double tail = 0.5 * (1.0 - w->o->level);
    if (w->o->bca && !out->degenerate)
        out->ci = bca(w, w->t, n, out->value);
    else
        out->ci = (rung_interval){rung_quantile_sorted(w->t, n, tail),
                                  rung_quantile_sorted(w->t, n, 1.0 - tail)};
}

static rung_status boot_check(boot *w, rung_error *err) {
    const rung_boot *o = w->o;
    w->n_clusters = o->cluster_first ? o->n_clusters : o->n;
    w->n_strata = 1;
    if (!sane(o->n, o->n_boot, o->level) || w->n_clusters < 1)
        return rung_fail(err, RUNG_E_INVAL, "bootstrap of %lld items, %d resamples, level %g",
                         (long long)o->n, o->n_boot, o->level);
    for (int64_t c = 0; o->stratum && c < w->n_clusters; c++) {
        if (o->stratum[c] < 0)
            return rung_fail(err, RUNG_E_INVAL, "bootstrap: item %lld has stratum %d", (long long)c,
                             o->stratum[c]);
        if (o->stratum[c] >= w->n_strata) w->n_strata = o->stratum[c] + 1;
    }
    for (int64_t c = 0; o->cluster_first && c < w->n_clusters; c++)
        if (o->cluster_first[c] > o->cluster_first[c + 1])
            return rung_fail(err, RUNG_E_INVAL, "bootstrap: cluster %lld ends before it begins",
                             (long long)c);
    if (o->cluster_first && (o->cluster_first[0] != 0 || o->cluster_first[w->n_clusters] != o->n))
        return rung_fail(err, RUNG_E_INVAL, "bootstrap: the clusters are not the %lld items",
                         (long long)o->n);
    return RUNG_OK;
}

rung_status rung_boot_run(rung_boot_out *out, const rung_boot *o, rung_error *err) {
    boot w = {.o = o};
    *out = (rung_boot_out){(double)NAN, UNDEFINED, false, 0};
    RUNG_TRY(boot_check(&w, err));
    w.index = rung_calloc((size_t)index_max(&w) + 1, sizeof *w.index);
    w.order = rung_calloc((size_t)w.n_clusters, sizeof *w.order);
    w.stratum_first = rung_calloc((size_t)w.n_strata + 1, sizeof *w.stratum_first);
    w.t = rung_calloc((size_t)o->n_boot, sizeof *w.t);
    rung_status st = RUNG_OK;
    if (!w.index || !w.order || !w.stratum_first || !w.t) {
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory for %d resamples", o->n_boot);
    } else {
        sort_strata(&w);
        out->value = leave_out(&w, -1);
        for (int b = 0; b < o->n_boot; b++) w.t[b] = boot_statistic(&w, b);
        boot_interval(out, &w);
    }
    rung_free(w.index);
    rung_free(w.order);
    rung_free(w.stratum_first);
    rung_free(w.t);
    return st;
}

rung_interval rung_bootstrap(double (*stat)(void *ud, const uint32_t *index, int64_t n), void *ud,
                             int64_t n, int n_boot, double level, uint64_t seed) {
    rung_boot_out out;
    rung_boot o = {.stat = stat, .ud = ud, .n = n, .n_boot = n_boot, .level = level, .seed = seed};
    return rung_boot_run(&out, &o, NULL) == RUNG_OK ? out.ci : UNDEFINED;
}

rung_status rung_bootstrap_means(rung_interval *out, const double *x, int64_t n, int32_t m,
                                 int n_boot, double level, uint64_t seed, rung_error *err) {
    if (!sane(n, n_boot, level) || m < 1)
        return rung_fail(err, RUNG_E_INVAL, "bootstrap of %lld items, %d resamples, level %g",
                         (long long)n, n_boot, level);
    uint32_t *index = rung_calloc((size_t)n, sizeof *index);
    double *t = rung_calloc((size_t)n_boot * (size_t)m, sizeof *t);
    double *sum = rung_calloc((size_t)m, sizeof *sum);
    rung_status st = RUNG_OK;
    if (!index || !t || !sum) {
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory for %d resamples of %d series", n_boot, m);
        goto out;
    }
    for (int b = 0; b < n_boot; b++) {
        resample(index, n, seed, b);
        for (int32_t j = 0; j < m; j++) sum[j] = 0.0;
        for (int64_t i = 0; i < n; i++) {
            const double *row = x + (size_t)index[i] * (size_t)m;
            for (int32_t j = 0; j < m; j++) sum[j] += row[j];
        }
        for (int32_t j = 0; j < m; j++)
            t[(size_t)j * (size_t)n_boot + (size_t)b] = sum[j] / (double)n;
    }
    for (int32_t j = 0; j < m; j++)
        out[j] = percentile(t + (size_t)j * (size_t)n_boot, n_boot, level);
out:
    rung_free(index);
    rung_free(t);
    rung_free(sum);
    return st;
}

rung_interval rung_bootstrap_mean(const double *x, int64_t n, int n_boot, double level,
                                  uint64_t seed) {
    rung_interval ci;
    if (rung_bootstrap_means(&ci, x, n, 1, n_boot, level, seed, NULL) != RUNG_OK) return UNDEFINED;
    return ci;
}
