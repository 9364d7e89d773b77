/* When may one stop tossing a coin? Confidence sequences hold at every look at once, so that
 * stopping when they have said enough keeps the level (Ville 1939; Robbins 1970). */
#include "rung/stat.h"
#include <math.h>

static const double PRIOR = 0.5; /* Jeffreys' beta(1/2, 1/2) as the mixture: narrow near 0 and 1 */
enum { BISECTIONS = 60 };

static double log_beta(double a, double b) {
    return lgamma(a) + lgamma(b) - lgamma(a + b);
}

/* Mixture martingale against p: M = B(c + a, w + a) / B(a, a) / (p^c (1-p)^w). Under p its mean is
 * 1 at every n, so M ever reaches 1/alpha with probability at most alpha. */
static double log_martingale(int64_t c, int64_t w, double p) {
    double m = log_beta((double)c + PRIOR, (double)w + PRIOR) - log_beta(PRIOR, PRIOR);
    if (c > 0) m -= (double)c * log(p);
    if (w > 0) m -= (double)w * log1p(-p);
    return m;
}

/* The end between `in`, which belongs to the set, and `out`, which may not. */
static double end_of(int64_t c, int64_t w, double in, double out, double limit) {
    if (log_martingale(c, w, out) < limit) return out;
    for (int i = 0; i < BISECTIONS; i++) {
        double mid = 0.5 * (in + out);
        if (log_martingale(c, w, mid) < limit)
            in = mid;
        else
            out = mid;
    }
    return out;
}

rung_interval rung_confseq_bernoulli(int64_t c, int64_t n, double level) {
    if (c < 0 || n < c || !(level > 0.0 && level < 1.0))
        return (rung_interval){(double)NAN, (double)NAN};
    if (n == 0) return (rung_interval){0.0, 1.0};
    double limit = -log1p(-level), p = (double)c / (double)n;
    return (rung_interval){c == 0 ? 0.0 : end_of(c, n - c, p, 0.0, limit),
                           c == n ? 1.0 : end_of(c, n - c, p, 1.0, limit)};
}

/* Polya's urn: the chance of j successes in r more draws after c in n is beta-binomial. Summed in
 * logs from its ratio form, r is small. */
double rung_urn_above(int64_t c, int64_t n, int64_t r, int64_t least) {
    if (c < 0 || n < c || r < 0) return (double)NAN;
    if (least <= 0) return 1.0;
    if (least > r) return 0.0;
    double a = (double)c + PRIOR, b = (double)(n - c) + PRIOR, sum = 0.0;
    for (int64_t j = least; j <= r; j++) {
        double choose = -log((double)r + 1.0) - log_beta((double)(r - j) + 1.0, (double)j + 1.0);
        sum += exp(choose + log_beta(a + (double)j, b + (double)(r - j)) - log_beta(a, b));
    }
    return sum < 1.0 ? sum : 1.0;
}
