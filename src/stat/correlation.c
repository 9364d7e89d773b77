/* How two readings of the same things go together (search.md 1.7): Pearson's r, Kendall's tau-b,
 * and the bound on losing the best candidate to noise. Weights are counts: resamples of clusters
 * need no copies. */
#include "rung/stat.h"

#include <math.h>

double rung_pearson(const double *x, const double *y, const double *weight, int64_t n) {
    double sum = 0.0, mx = 0.0, my = 0.0, xx = 0.0, yy = 0.0, xy = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double w = weight ? weight[i] : 1.0;
        sum += w;
        mx += w * x[i];
        my += w * y[i];
    }
    if (!(sum > 0.0)) return (double)NAN;
    mx /= sum;
    my /= sum;
    for (int64_t i = 0; i < n; i++) {
        double w = weight ? weight[i] : 1.0, a = x[i] - mx, b = y[i] - my;
        xx += w * a * a;
        yy += w * b * b;
        xy += w * a * b;
    }
    double r = xy / sqrt(xx * yy); /* 0/0: one of them is constant */
    return xx > 0.0 && yy > 0.0 ? fmax(-1.0, fmin(1.0, r)) : (double)NAN;
}

/* tau-b = (concordant - discordant) / sqrt((pairs - ties in x) (pairs - ties in y)). An item of
 * weight w is w items that are tied with each other. */
double rung_kendall(const double *x, const double *y, const double *weight, int64_t n) {
    double s = 0.0, pairs_x = 0.0, pairs_y = 0.0;
    for (int64_t i = 1; i < n; i++) {
        double wi = weight ? weight[i] : 1.0, row = 0.0, row_x = 0.0, row_y = 0.0;
        if (wi == 0.0) continue; /* exact: weights are counts */
        for (int64_t j = 0; j < i; j++) {
            double w = weight ? weight[j] : 1.0;
            int a = (x[i] > x[j]) - (x[i] < x[j]), b = (y[i] > y[j]) - (y[i] < y[j]);
            row += w * (double)(a * b);
            row_x += w * (double)(a != 0);
            row_y += w * (double)(b != 0);
        }
        s += wi * row;
        pairs_x += wi * row_x;
        pairs_y += wi * row_y;
    }
    return pairs_x > 0.0 && pairs_y > 0.0 ? s / sqrt(pairs_x * pairs_y) : (double)NAN;
}

double rung_rejection_bound(int64_t n, double gap, double sigma) {
    if (n < 2) return 0.0;
    return fmin(1.0, (double)(n - 1) * exp(-gap * gap / (4.0 * sigma * sigma)));
}
