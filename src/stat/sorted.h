/* stat/sorted.h: one sorted view of (value, weight) pairs, shared by ranks, bins and quantiles. */
#ifndef RUNG_SRC_STAT_SORTED_H
#define RUNG_SRC_STAT_SORTED_H
#include <stdint.h>

typedef struct rung_pair {
    double x, y;
} rung_pair;
/* n pairs by ascending x; rung_free() it. NULL when out of memory, n < 1 or any value is NaN. */
rung_pair *rung_pairs_sorted(const double *x, const double *y, int64_t n);
/* Quantile of ascending v[n], 0 <= q <= 1, by linear interpolation between order statistics. */
double rung_quantile_sorted(const double *v, int64_t n, double q);
/* Ascending, in place. */
void rung_sort_f64(double *v, int64_t n);
/* Inverse of the standard normal distribution function, 0 < p < 1; NaN outside. */
double rung_normal_quantile(double p);
#endif
