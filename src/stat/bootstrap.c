/* Percentile bootstrap (feedback.md 10.5). Resample b draws its n indices from stream BOOTSTRAP at
 * (seed, b): the same resamples for every statistic with the same seed and n, so that intervals of
 * differences are paired by construction and threads could split b without changing a number. */
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

rung_interval rung_bootstrap(double (*stat)(void *ud, const uint32_t *index, int64_t n), void *ud,
                             int64_t n, int n_boot, double level, uint64_t seed) {
    if (!sane(n, n_boot, level)) return UNDEFINED;
    uint32_t *index = rung_calloc((size_t)n, sizeof *index);
    double *t = rung_calloc((size_t)n_boot, sizeof *t);
    rung_interval ci = UNDEFINED;
    if (index && t) {
        for (int b = 0; b < n_boot; b++) {
            resample(index, n, seed, b);
            t[b] = stat(ud, index, n);
        }
        ci = percentile(t, n_boot, level);
    }
    rung_free(index);
    rung_free(t);
    return ci;
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
