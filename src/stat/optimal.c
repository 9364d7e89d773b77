/* Compute-optimal choice among strategies (search.md 2.9, Snell et al.): per difficulty bin the
 * strategy that was best on one fold answers the other, and the other way round. */
#include "rung/rng.h"
#include "rung/stat.h"
#include "stat/sorted.h"
#include <math.h>

/* Bin of every problem: by quantiles of its value, 0 = the largest values = the easiest; equal
 * values keep their order. By absolute limits (Liu et al.): [.5, 1], [.1, .5), [0, .1). */
static rung_status bins_of(int32_t *bin, const double *value, int64_t n, int n_bins,
                           rung_error *err) {
    if (n_bins == 0) {
        for (int64_t i = 0; i < n; i++) bin[i] = value[i] >= .5 ? 0 : value[i] >= .1 ? 1 : 2;
        return RUNG_OK;
    }
    double *at = rung_calloc((size_t)n, sizeof *at);
    if (!at) return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld problems", (long long)n);
    for (int64_t i = 0; i < n; i++) at[i] = (double)i;
    rung_pair *s = rung_pairs_sorted(value, at, n);
    rung_free(at);
    if (!s) return rung_fail(err, RUNG_E_INVAL, "a difficulty is not a number");
    for (int64_t i = 0; i < n; i++)
        bin[(int64_t)s[i].y] = (int32_t)((int64_t)n_bins * (n - 1 - i) / n);
    rung_free(s);
    return RUNG_OK;
}

/* The strategy with the largest mean over the problems of a fold and bin (bin -1: all bins); the
 * first on a tie, 0 when there are none. */
static int32_t best_on(const double *correct, int32_t m, const int32_t *bin, const uint8_t *fold,
                       int64_t n, int f, int32_t b) {
    int32_t best = 0;
    double most = -1.0;
    for (int32_t k = 0; k < m; k++) {
        double sum = 0.0;
        for (int64_t i = 0; i < n; i++)
            if (fold[i] == f && (b < 0 || bin[i] == b)) sum += correct[(int64_t)k * n + i];
        if (sum > most) most = sum, best = k;
    }
    return best;
}

static void measure(rung_optimal *out, const double *chosen, const double *single, int64_t n,
                    int n_boot, uint64_t seed) {
    double sum = 0.0, one = 0.0;
    double *d = rung_calloc((size_t)n, sizeof *d);
    for (int64_t i = 0; i < n; i++) {
        sum += chosen[i];
        one += single[i];
        if (d) d[i] = chosen[i] - single[i];
    }
    out->acc = sum / (double)n;
    out->single_acc = one / (double)n;
    out->ci = rung_bootstrap_mean(chosen, n, n_boot, .95, seed);
    out->diff = out->acc - out->single_acc;
    out->diff_ci = d ? rung_bootstrap_mean(d, n, n_boot, .95, seed) : out->ci;
    rung_free(d);
}

rung_status rung_compute_optimal(rung_optimal *out, const double *correct, int32_t n_strategies,
                                 const double *value, int64_t n, int n_bins, int n_boot,
                                 uint64_t seed, rung_error *err) {
    *out = (rung_optimal){.n_bins = n_bins ? n_bins : 3};
    if (n < 2 || n_strategies < 1 || n_bins < 0 || n_bins > RUNG_OPTIMAL_BINS)
        return rung_fail(err, RUNG_E_INVAL, "%lld problems, %d strategies, %d bins", (long long)n,
                         n_strategies, n_bins);
    int32_t *bin = rung_calloc((size_t)n, sizeof *bin);
    uint8_t *fold = rung_calloc((size_t)n, 1);
    double *chosen = rung_calloc((size_t)n, 2 * sizeof *chosen);
    rung_status st = RUNG_OK;
    if (!bin || !fold || !chosen) {
        st = rung_fail(err, RUNG_E_NOMEM, "no memory for %lld problems", (long long)n);
        goto out;
    }
    RUNG_GOTO(bins_of(bin, value, n, n_bins, err));
    for (int32_t b = 0; b < out->n_bins; b++) { /* each bin in halves, drawn by seed */
        rung_rng r = rung_rng_at(seed, RUNG_STREAM_SUBSET, (uint64_t)b, 1);
        int64_t left = 0, to_one = 0;
        for (int64_t i = 0; i < n; i++) left += bin[i] == b;
        out->n_bin[b] = left;
        to_one = left / 2;
        for (int64_t i = 0; i < n; i++) {
            if (bin[i] != b) continue;
            fold[i] = rung_rng_below(&r, (uint64_t)left--) < (uint64_t)to_one;
            to_one -= fold[i];
        }
        for (int f = 0; f < 2; f++)
            out->choice[f][b] = best_on(correct, n_strategies, bin, fold, n, !f, b);
    }
    for (int f = 0; f < 2; f++)
        out->single[f] = best_on(correct, n_strategies, bin, fold, n, !f, -1);
    for (int64_t i = 0; i < n; i++) {
        chosen[i] = correct[(int64_t)out->choice[fold[i]][bin[i]] * n + i];
        chosen[n + i] = correct[(int64_t)out->single[fold[i]] * n + i];
        out->bin_acc[bin[i]] += chosen[i];
    }
    for (int32_t b = 0; b < out->n_bins; b++)
        out->bin_acc[b] = out->n_bin[b] ? out->bin_acc[b] / (double)out->n_bin[b] : (double)NAN;
    measure(out, chosen, chosen + n, n, n_boot, seed);
out:
    rung_free(bin);
    rung_free(fold);
    rung_free(chosen);
    return st;
}
