/* Calibration of probabilities against outcomes (feedback.md 10.6). y may be soft, in [0,1]. */
#include "rung/stat.h"
#include "stat/sorted.h"
#include <math.h>

#define NLL_CLIP 1e-12 /* keeps one confident mistake finite */

double rung_brier(const double *p, const double *y, int64_t n) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += (p[i] - y[i]) * (p[i] - y[i]);
    return n > 0 ? sum / (double)n : (double)NAN;
}

double rung_nll(const double *p, const double *y, int64_t n) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(p[i])) return (double)NAN;
        double q = fmin(fmax(p[i], NLL_CLIP), 1.0 - NLL_CLIP);
        sum -= y[i] * log(q) + (1.0 - y[i]) * log1p(-q);
    }
    return n > 0 ? sum / (double)n : (double)NAN;
}

/* Bin b holds (b/M, (b+1)/M]; 0 goes into the first. The quotient decides, not the product p * M,
 * whose rounding would move 0.07 of 100 bins one up. */
static int bin_of(double p, int n_bins) {
    int b = (int)ceil(p * (double)n_bins) - 1;
    if (b > 0 && p <= (double)b / (double)n_bins) b--;
    if (b < n_bins - 1 && p > (double)(b + 1) / (double)n_bins) b++;
    return b < 0 ? 0 : b >= n_bins ? n_bins - 1 : b;
}

bool rung_reliability(rung_reliability_bin *bin, const double *p, const double *y, int64_t n,
                      int n_bins) {
    for (int b = 0; b < n_bins; b++) bin[b] = (rung_reliability_bin){0};
    for (int64_t i = 0; i < n; i++) {
        if (!(p[i] >= 0.0 && p[i] <= 1.0) || isnan(y[i])) return false;
        rung_reliability_bin *at = &bin[bin_of(p[i], n_bins)];
        at->n++;
        at->p += p[i];
        at->y += y[i];
    }
    for (int b = 0; b < n_bins; b++) {
        if (bin[b].n == 0) continue;
        bin[b].p /= (double)bin[b].n;
        bin[b].y /= (double)bin[b].n;
    }
    return n > 0;
}

/* sum or maximum of the gaps of equal-width bins; NaN when undefined */
static double width_gap(const double *p, const double *y, int64_t n, int n_bins, bool largest) {
    if (n < 1 || n_bins < 1) return (double)NAN;
    rung_reliability_bin *bin = rung_calloc((size_t)n_bins, sizeof *bin);
    double value = (double)NAN;
    if (bin && rung_reliability(bin, p, y, n, n_bins)) {
        value = 0.0;
        for (int b = 0; b < n_bins; b++) {
            if (bin[b].n == 0) continue;
            double gap = fabs(bin[b].p - bin[b].y), share = (double)bin[b].n / (double)n;
            value = largest ? fmax(value, gap) : value + share * gap;
        }
    }
    rung_free(bin);
    return value;
}

double rung_ece(const double *p, const double *y, int64_t n, int n_bins) {
    return width_gap(p, y, n, n_bins, false);
}

double rung_mce(const double *p, const double *y, int64_t n, int n_bins) {
    return width_gap(p, y, n, n_bins, true);
}

/* Items with equal p share their mean outcome, so that the order of the input cannot move an
 * outcome across a group's border. */
static void level_ties(rung_pair *s, int64_t n) {
    for (int64_t begin = 0, end; begin < n; begin = end) {
        double sum = 0.0;
        for (end = begin; end < n && s[end].x == s[begin].x; end++) sum += s[end].y;
        for (int64_t i = begin; i < end; i++) s[i].y = sum / (double)(end - begin);
    }
}

double rung_ece_mass(const double *p, const double *y, int64_t n, int n_groups) {
    if (n < 1 || n_groups < 1) return (double)NAN;
    rung_pair *s = rung_pairs_sorted(p, y, n);
    if (!s) return (double)NAN;
    level_ties(s, n);
    double value = 0.0;
    for (int g = 0; g < n_groups; g++) {
        double gap = 0.0;
        for (int64_t i = n * g / n_groups; i < n * (g + 1) / n_groups; i++) gap += s[i].x - s[i].y;
        value += fabs(gap);
    }
    rung_free(s);
    return value / (double)n;
}

double rung_brier_skill(const double *p, const double *y, int64_t n) {
    double mean = 0.0;
    for (int64_t i = 0; i < n; i++) mean += y[i];
    mean = n > 0 ? mean / (double)n : (double)NAN;
    double base = mean * (1.0 - mean);
    return base > 0.0 ? 1.0 - rung_brier(p, y, n) / base : (double)NAN;
}

/* -ln sigmoid, -ln (1 - sigmoid), without overflow */
static double logistic_loss(double z, double y) {
    double soft = z > 0.0 ? z + log1p(exp(-z)) : log1p(exp(z)); /* ln(1 + e^z) */
    return soft - y * z;
}

static double scaled_nll(const double *logit, const double *y, int64_t n, double log_t) {
    double sum = 0.0, scale = exp(-log_t);
    for (int64_t i = 0; i < n; i++) sum += logistic_loss(logit[i] * scale, y[i]);
    return sum;
}

/* The loss is convex in 1/T, so it has one valley in ln T: golden section finds it. A minimum at
 * an end of the range is none. */
double rung_temperature_fit(const double *logit, const double *y, int64_t n) {
    const double edge = log(1e4), golden = 0.5 * (sqrt(5.0) - 1.0);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(logit[i]) || !(y[i] >= 0.0 && y[i] <= 1.0)) return (double)NAN;
    if (n < 1) return (double)NAN;
    double lo = -edge, hi = edge, a = hi - golden * (hi - lo), b = lo + golden * (hi - lo);
    double fa = scaled_nll(logit, y, n, a), fb = scaled_nll(logit, y, n, b);
    while (hi - lo > 1e-10) {
        if (fa <= fb) {
            hi = b, b = a, fb = fa;
            a = hi - golden * (hi - lo);
            fa = scaled_nll(logit, y, n, a);
        } else {
            lo = a, a = b, fa = fb;
            b = lo + golden * (hi - lo);
            fb = scaled_nll(logit, y, n, b);
        }
    }
    double at = 0.5 * (lo + hi);
    return fabs(at) < edge - 1e-3 ? exp(at) : (double)NAN;
}

typedef struct logistic {
    double loss, grad[2], hess[3]; /* aa, ab, bb */
} logistic;

static logistic logistic_at(double a, double b, const double *x, const double *y, int64_t n) {
    logistic l = {0};
    for (int64_t i = 0; i < n; i++) {
        double z = a * x[i] + b, p = 1.0 / (1.0 + exp(-z)), w = p * (1.0 - p), d = p - y[i];
        l.loss += logistic_loss(z, y[i]);
        l.grad[0] += d * x[i];
        l.grad[1] += d;
        l.hess[0] += w * x[i] * x[i];
        l.hess[1] += w * x[i];
        l.hess[2] += w;
    }
    return l;
}

/* Newton with step halving. Separable data have no maximum: the weights run away and are refused.
 */
bool rung_logistic_fit(double *a, double *b, const double *x, const double *y, int64_t n) {
    double u = 0.0, v = 0.0;
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]) || !(y[i] >= 0.0 && y[i] <= 1.0)) return false;
    if (n < 2) return false;
    logistic l = logistic_at(u, v, x, y, n);
    for (int step = 0; step < 100; step++) {
        double det = l.hess[0] * l.hess[2] - l.hess[1] * l.hess[1];
        if (!(det > 1e-12 * l.hess[0] * l.hess[2])) return false;
        double du = (l.hess[2] * l.grad[0] - l.hess[1] * l.grad[1]) / det;
        double dv = (l.hess[0] * l.grad[1] - l.hess[1] * l.grad[0]) / det;
        double size = 1.0;
        logistic next = logistic_at(u - du, v - dv, x, y, n);
        for (; next.loss > l.loss && size > 1e-6; size *= 0.5)
            next = logistic_at(u - 0.5 * size * du, v - 0.5 * size * dv, x, y, n);
        u -= size * du, v -= size * dv;
        bool done = fabs(size * du) + fabs(size * dv) < 1e-10 * (1.0 + fabs(u) + fabs(v));
        l = logistic_at(u, v, x, y, n);
        if (done) {
            *a = u, *b = v;
            return l.loss > 1e-6 * (double)n; /* a loss of nothing: separable */
        }
    }
    return false;
}
