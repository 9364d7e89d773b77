/* One difference over several seeds of the same problems. */
#include "rung/bench.h"
#include <math.h>

#define LEVEL  0.95
#define N_BOOT 10000

/* The diff of a problem in a list by id; NaN: not there. */
static double find(const rung_answer_diff *d, int64_t n, int64_t problem) {
    int64_t lo = 0, hi = n;
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        if (d[mid].problem < problem)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && d[lo].problem == problem ? d[lo].diff : (double)NAN;
}

static double sd_of(const double *x, int n) {
    double mean = 0.0, sum = 0.0;
    for (int k = 0; k < n; k++) mean += x[k] / n;
    for (int k = 0; k < n; k++) sum += (x[k] - mean) * (x[k] - mean);
    return n > 1 ? sqrt(sum / (n - 1)) : (double)NAN;
}

rung_status rung_bench_seeds(rung_seeds *out, rung_answer_diff *const *diff, const int64_t *n,
                             int n_seeds, uint64_t seed, rung_error *err) {
    enum { MAX_SEEDS = sizeof out->seed_diff / sizeof out->seed_diff[0] };
    *out = (rung_seeds){.seed_sd = (double)NAN};
    if (n_seeds < 1 || n_seeds > MAX_SEEDS)
        return rung_fail(err, RUNG_E_INVAL, "%d seeds: 1 to %d", n_seeds, (int)MAX_SEEDS);
    double *mean = rung_calloc((size_t)n[0] + 1, sizeof *mean);
    if (!mean)
        return rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld problems", (long long)n[0]);
    int64_t most = 0;
    for (int k = 0; k < n_seeds; k++)
        if (n[k] > most) most = n[k];
    for (int64_t i = 0; i < n[0]; i++) {
        double x[MAX_SEEDS], sum = 0.0;
        for (int k = 0; k < n_seeds; k++) sum += x[k] = find(diff[k], n[k], diff[0][i].problem);
        if (isnan(sum)) continue;
        for (int k = 0; k < n_seeds; k++) out->seed_diff[k] += x[k];
        mean[out->n_problems++] = sum / n_seeds;
    }
    rung_status st = RUNG_OK;
    if (out->n_problems == 0) {
        st = rung_fail(err, RUNG_E_NOT_FOUND, "no problem was measured with every seed");
    } else {
        for (int64_t i = 0; i < out->n_problems; i++) out->diff += mean[i];
        out->diff /= (double)out->n_problems;
        for (int k = 0; k < n_seeds; k++) out->seed_diff[k] /= (double)out->n_problems;
        out->seed_sd = sd_of(out->seed_diff, n_seeds);
        out->n_left_out = most - out->n_problems;
        out->ci = rung_bootstrap_mean(mean, out->n_problems, N_BOOT, LEVEL, seed);
    }
    rung_free(mean);
    return st;
}
