/* E-values of two Bernoulli means against a line between them, valid at every look. */
#include "rung/stat.h"
#include <math.h>

/* Chance of a sequence with c right and w wrong under the mixture Beta(1/2, 1/2), in logs. */
static double log_mixture(int64_t c, int64_t w) {
    const double log_pi = 1.1447298858494002; /* B(1/2, 1/2) = pi */
    double a = (double)c + 0.5, b = (double)w + 0.5;
    return lgamma(a) + lgamma(b) - lgamma(a + b) - log_pi;
}

static double log_likelihood(double c, double w, double p) {
    double x = c > 0.0 ? c * log(p) : 0.0;
    return w > 0.0 ? x + w * log1p(-p) : x;
}

typedef struct line { /* p = r q - d */
    double c, w, c2, w2, r, d;
} line;

static double slope(const line *l, double q) {
    double p = l->r * q - l->d;
    double s = l->c > 0.0 ? l->c * l->r / p : 0.0;
    if (l->w > 0.0) s -= l->w * l->r / (1.0 - p);
    if (l->c2 > 0.0) s += l->c2 / q;
    return l->w2 > 0.0 ? s - l->w2 / (1.0 - q) : s;
}

/* The likelihood is concave along the line: its slope changes sign once. */
static double best_on_line(const line *l, double lo, double hi) {
    for (int i = 0; i < 60; i++) { /* 2^-60: beyond the last bit */
        double q = 0.5 * (lo + hi);
        if (slope(l, q) > 0.0)
            lo = q;
        else
            hi = q;
    }
    double q = 0.5 * (lo + hi);
    return log_likelihood(l->c, l->w, l->r * q - l->d) + log_likelihood(l->c2, l->w2, q);
}

double rung_evalue_line(int64_t c, int64_t w, int64_t c2, int64_t w2, double r, double d,
                        bool below) {
    double n = (double)(c + w), n2 = (double)(c2 + w2);
    if (n <= 0.0 || n2 <= 0.0) return 0.0;
    double p = (double)c / n, q = (double)c2 / n2, top = r * q - d;
    double seen = log_mixture(c, w) + log_mixture(c2, w2);
    if (below ? p <= top : p >= top) { /* the best point of all is in it */
        double best = log_likelihood((double)c, (double)w, p);
        return seen - best - log_likelihood((double)c2, (double)w2, q);
    }
    double lo = fmax(0.0, d / r), hi = fmin(1.0, (1.0 + d) / r);
    if (lo >= hi) return (double)INFINITY; /* no such pair */
    line l = {(double)c, (double)w, (double)c2, (double)w2, r, d};
    return seen - best_on_line(&l, lo, hi);
}

double rung_evalue_known(int64_t c2, int64_t w2, double q0, bool at_least) {
    double n = (double)(c2 + w2);
    if (n <= 0.0) return 0.0;
    if (at_least ? q0 > 1.0 : q0 < 0.0) return (double)INFINITY;
    double q = (double)c2 / n, at = at_least ? fmax(q, q0) : fmin(q, q0);
    return log_mixture(c2, w2) - log_likelihood((double)c2, (double)w2, at);
}
