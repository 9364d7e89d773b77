/* Sorting, quantiles, the normal quantile. */
#include "stat/sorted.h"
#include "rung/base.h"
#include <math.h>
#include <stdlib.h>

static int cmp_f64(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int cmp_pair(const void *a, const void *b) {
    double x = ((const rung_pair *)a)->x, y = ((const rung_pair *)b)->x;
    return (x > y) - (x < y);
}

void rung_sort_f64(double *v, int64_t n) {
    qsort(v, (size_t)n, sizeof *v, cmp_f64);
}

rung_pair *rung_pairs_sorted(const double *x, const double *y, int64_t n) {
    if (n < 1) return NULL;
    rung_pair *p = rung_calloc((size_t)n, sizeof *p);
    if (!p) return NULL;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(x[i]) || isnan(y[i])) {
            rung_free(p);
            return NULL;
        }
        p[i] = (rung_pair){x[i], y[i]};
    }
    qsort(p, (size_t)n, sizeof *p, cmp_pair);
    return p;
}

double rung_quantile_sorted(const double *v, int64_t n, double q) {
    if (n < 1) return (double)NAN;
    double at = q * (double)(n - 1);
    int64_t i = (int64_t)floor(at);
    if (i >= n - 1) return v[n - 1];
    double share = at - (double)i;
    return v[i] + share * (v[i + 1] - v[i]);
}

/* Bisection on erfc brackets the root, Newton polishes it: no table of coefficients to trust, and
 * no call needs to be fast (one per interval). */
double rung_normal_quantile(double p) {
    if (!(p > 0.0 && p < 1.0)) return (double)NAN;
    if (p > 0.5) return -rung_normal_quantile(1.0 - p);
    double lo = -40.0, hi = 0.0; /* the distribution function at -40 is below the least double */
    for (int i = 0; i < 60; i++) {
        double mid = 0.5 * (lo + hi);
        if (0.5 * erfc(-mid * M_SQRT1_2) < p)
            lo = mid;
        else
            hi = mid;
    }
    double z = 0.5 * (lo + hi);
    double density = exp(-0.5 * z * z) / sqrt(2.0 * M_PI);
    if (density > 0.0) z -= (0.5 * erfc(-z * M_SQRT1_2) - p) / density;
    return z;
}
