/* Draws that searches need: gamma, beta, ancestors. */
#include "search/search_impl.h"

#include <math.h>

/* Marsaglia and Tsang (2000); shapes below 1 by the boost u^(1/shape). */
double search_draw_gamma(rung_rng *r, double shape) {
    if (shape < 1.0) {
        double u = 1.0 - rung_rng_f64(r);
        return search_draw_gamma(r, shape + 1.0) * pow(u, 1.0 / shape);
    }
    double d = shape - 1.0 / 3.0, c = 1.0 / sqrt(9.0 * d);
    for (;;) {
        double x = rung_rng_normal(r), v = 1.0 + c * x;
        if (v <= 0.0) continue;
        v = v * v * v;
        double u = 1.0 - rung_rng_f64(r), x2 = x * x;
        if (u < 1.0 - 0.0331 * x2 * x2) return d * v;
        if (log(u) < 0.5 * x2 + d * (1.0 - v + log(v))) return d * v;
    }
}

#define EXP_MAX 700.0 /* keeps w finite */

static double odds(double beta, double a, double u, double *v) {
    *v = beta * log(u / (1.0 - u));
    return a * exp(fmin(*v, EXP_MAX));
}

/* Cheng (1978), BB: both parameters above 1. Returns w; the beta is w / (big + w) for the smaller.
 */
static double cheng_bb(rung_rng *r, double a, double b) {
    double sum = a + b, beta = sqrt((sum - 2.0) / (2.0 * a * b - sum)), gamma = a + 1.0 / beta;
    for (;;) {
        double u1 = 1.0 - rung_rng_f64(r), u2 = 1.0 - rung_rng_f64(r), v;
        if (u1 >= 1.0) continue;
        double w = odds(beta, a, u1, &v), z = u1 * u1 * u2;
        double g = gamma * v - 1.3862943611198906, s = a + g - w;
        if (s + 2.6094379124341003 >= 5.0 * z) return w;
        double t = log(z);
        if (s > t || g + sum * log(sum / (b + w)) >= t) return w;
    }
}

/* BC: one of them at most 1; a is the larger. */
static double cheng_bc(rung_rng *r, double a, double b) {
    double sum = a + b, beta = 1.0 / b, delta = 1.0 + a - b;
    double k1 = delta * (0.0138889 + 0.0416667 * b) / (a * beta - 0.777778);
    double k2 = 0.25 + (0.5 + 0.25 / delta) * b;
    for (;;) {
        double u1 = 1.0 - rung_rng_f64(r), u2 = 1.0 - rung_rng_f64(r), v, z;
        if (u1 >= 1.0) continue;
        if (u1 < 0.5) {
            double y = u1 * u2;
            z = u1 * y;
            if (0.25 * u2 + z - y >= k1) continue;
        } else {
            z = u1 * u1 * u2;
            if (z <= 0.25) return odds(beta, a, u1, &v);
            if (z >= k2) continue;
        }
        double w = odds(beta, a, u1, &v);
        if (sum * (log(sum / (b + w)) + v) - 1.3862943611198906 >= log(z)) return w;
    }
}

double search_draw_beta(rung_rng *r, double a, double b) {
    double low = fmin(a, b), high = fmax(a, b);
    if (low > 1.0) {
        double w = cheng_bb(r, low, high);
        return a == low ? w / (high + w) : high / (high + w);
    }
    double w = cheng_bc(r, high, low);
    return a == high ? w / (low + w) : low / (low + w);
}

rung_status search_resample(int32_t *out, int32_t n, const double *log_w, int32_t n_from,
                            rung_rng *r, rung_error *err) {
    double top = -(double)INFINITY, sum = 0.0;
    double *upto = rung_alloc((size_t)n_from * sizeof *upto + 1);
    if (!upto) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d particles", n_from);
    for (int32_t i = 0; i < n_from; i++) top = fmax(top, log_w[i]);
    for (int32_t i = 0; i < n_from; i++) upto[i] = sum += exp(log_w[i] - top);
    for (int32_t k = 0; k < n; k++) {
        double u = rung_rng_f64(r) * sum;
        int32_t lo = 0, hi = n_from - 1;
        while (lo < hi) { /* the first whose running sum is above u */
            int32_t mid = lo + (hi - lo) / 2;
            if (upto[mid] > u)
                hi = mid;
            else
                lo = mid + 1;
        }
        out[k] = lo;
    }
    rung_free(upto);
    return RUNG_OK;
}
