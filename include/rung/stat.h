/* rung/stat.h: estimators, intervals and tests (feedback.md 10, search.md 2.10). Pure; seeded where
 * random. NaN = undefined. */
#ifndef RUNG_STAT_H
#define RUNG_STAT_H
#include "rung/base.h"
#ifdef __cplusplus
extern "C" {
#endif
typedef struct rung_interval {
    double lo, hi;
} rung_interval;

double rung_pass_at_k(int64_t n, int64_t c, int64_t k); /* 1 - C(n-c,k)/C(n,k) */
/* Exact expected correctness of the best of a random k-subset; tied scores average over the tie
 * block (search.md 2.10). */
double rung_bon_at_k(const double *score, const bool *correct, int n, int k);
rung_interval rung_wilson(int64_t c, int64_t n, double level);
/* Percentile bootstrap over items (problems) of the mean of x. */
rung_interval rung_bootstrap_mean(const double *x, int64_t n, int n_boot, double level,
                                  uint64_t seed);
/* Of any statistic: stat(ud, index[n], n). */
rung_interval rung_bootstrap(double (*stat)(void *ud, const uint32_t *index, int64_t n), void *ud,
                             int64_t n, int n_boot, double level, uint64_t seed);
/* The means of m series over the same items: x[n][m] -> out[m]. Resample b is the same for every
 * series and for every call with the same seed and n, so the interval of a difference series is
 * paired. */
rung_status rung_bootstrap_means(rung_interval *out, const double *x, int64_t n, int32_t m,
                                 int n_boot, double level, uint64_t seed, rung_error *err);
typedef struct rung_mcnemar {
    int64_t b, c;
    double p_exact, p_mid, chi2, p_chi2;
} rung_mcnemar;
rung_mcnemar rung_mcnemar_test(int64_t b, int64_t c);
double rung_permutation_paired(const double *d, int64_t n, int n_flip,
                               uint64_t seed); /* exact for n <= 20 */
void rung_holm(double *adjusted, const double *p, size_t m);
void rung_benjamini_hochberg(double *adjusted, const double *p, size_t m);
/* p in [0,1]: probability; y in [0,1]: outcome, soft or hard. */
typedef struct rung_reliability_bin {
    int64_t n;
    double p, y; /* means inside the bin; 0 when empty */
} rung_reliability_bin;
/* Equal width (l, u], p = 0 in the first. False: n < 1, a p outside [0,1] or a NaN. */
bool rung_reliability(rung_reliability_bin *bin, const double *p, const double *y, int64_t n,
                      int n_bins);
double rung_brier(const double *p, const double *y, int64_t n);
double rung_ece(const double *p, const double *y, int64_t n,
                int n_bins); /* over the bins of rung_reliability */
double rung_ece_mass(const double *p, const double *y, int64_t n, int n_groups); /* equal mass */
double rung_mce(const double *p, const double *y, int64_t n, int n_bins);
double rung_nll(const double *p, const double *y, int64_t n);
double rung_auroc(const double *score, const double *y, int64_t n); /* P(pos > neg) + P(equal)/2 */
double rung_average_precision(const double *score, const double *y, int64_t n);
double rung_kappa(const double *table, int k); /* [k][k] counts */
/* ProcessBench (labels.md 1): pred and label per case; pred RUNG_PRED_NONE = unparsed, a miss. In
 * percent. */
#define RUNG_PRED_NONE (-2)
typedef struct rung_pb {
    double acc_err, acc_cor, f1;
    int64_t n_err, n_cor;
} rung_pb;
rung_pb rung_processbench(const int32_t *pred, const int32_t *label, int64_t n);
int32_t rung_first_below(const double *score, int32_t n,
                         double tau); /* smallest t with score < tau (strict), else -1 */
#ifdef __cplusplus
}
#endif
#endif
