/* Estimators over a pool of samples (search.md 2.10) and the Wilson interval (feedback.md 10.5). */
#include "rung/stat.h"
#include "stat/sorted.h"
#include <math.h>

/* ln of C(n-c,k)/C(n,k): the share of k-subsets that miss all c marked items. */
static double log_miss(int64_t n, int64_t c, int64_t k) {
    int64_t few = c < k ? c : k, many = c < k ? k : c;
    if (few > 1000000) { /* a product of that many factors is slow and no more exact than this */
        int sign;
        double a = lgamma_r((double)(n - c) + 1.0, &sign), b = lgamma_r((double)n + 1.0, &sign);
        return a - lgamma_r((double)(n - c - k) + 1.0, &sign) - b +
               lgamma_r((double)(n - k) + 1.0, &sign);
    }
    double sum = 0.0;
    for (int64_t j = n - few + 1; j <= n; j++) sum += log1p(-(double)many / (double)j);
    return sum;
}

double rung_pass_at_k(int64_t n, int64_t c, int64_t k) {
    if (n < 1 || c < 0 || c > n || k < 1 || k > n) return (double)NAN;
    if (n - c < k) return 1.0;
    return -expm1(log_miss(n, c, k));
}

double rung_pass_all_k(int64_t n, int64_t c, int64_t k) {
    if (n < 1 || c < 0 || c > n || k < 1 || k > n) return (double)NAN;
    return c < k ? 0.0 : exp(log_miss(n, n - c, k)); /* no subset holds one of the n - c wrong */
}

/* Rank i (1-based, descending score) is the best of a k-subset in C(n-i,k-1) of the C(n,k) subsets;
 * the ratio of neighbours, (n-i-k+1)/(n-i), gives all weights without a factorial. Within a tie
 * block each member is equally likely to be the one taken. */
double rung_bon_at_k(const double *score, const bool *correct, int n, int k) {
    if (n < 1 || k < 1 || k > n) return (double)NAN;
    double *x = rung_calloc((size_t)n, 2 * sizeof *x);
    if (!x) return (double)NAN;
    double sum = 0.0, weight = (double)k / (double)n;
    for (int i = 0; i < n; i++) { /* a trace without a score never beats a scored one */
        x[i] = isnan(score[i]) ? -(double)INFINITY : score[i];
        x[n + i] = correct[i] ? 1.0 : 0.0;
    }
    rung_pair *sorted = rung_pairs_sorted(x, x + n, n);
    rung_free(x);
    if (!sorted) return (double)NAN;
    for (int end = n; end > 0;) {
        int begin = end;
        double block_weight = 0.0, block_correct = 0.0;
        while (begin > 0 && sorted[begin - 1].x == sorted[end - 1].x) {
            int rank = n - begin + 1;
            block_correct += sorted[begin - 1].y;
            block_weight += weight;
            if (rank < n) weight *= (double)(n - rank - k + 1) / (double)(n - rank);
            if (weight < 0.0) weight = 0.0;
            begin--;
        }
        sum += block_weight * block_correct / (double)(end - begin);
        end = begin;
    }
    rung_free(sorted);
    return sum;
}

rung_interval rung_wilson(int64_t c, int64_t n, double level) {
    rung_interval ci = {(double)NAN, (double)NAN};
    if (n < 1 || c < 0 || c > n || !(level > 0.0 && level < 1.0)) return ci;
    double z = rung_normal_quantile(0.5 + 0.5 * level), m = (double)n, p = (double)c / m;
    double scale = 1.0 + z * z / m, centre = (p + z * z / (2.0 * m)) / scale;
    double half = z * sqrt(p * (1.0 - p) / m + z * z / (4.0 * m * m)) / scale;
    ci.lo = c == 0 ? 0.0 : centre - half; /* exact at the ends, where rounding would give -1e-17 */
    ci.hi = c == n ? 1.0 : centre + half;
    return ci;
}
