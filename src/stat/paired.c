/* Paired tests and corrections for many of them (feedback.md 10.4). */
#include "rung/rng.h"
#include "rung/stat.h"
#include "stat/sorted.h"
#include <math.h>
#include <stdlib.h>

#define EXACT_MAX      20    /* items up to which all 2^n sign flips are enumerated */
#define FLIP_TOLERANCE 1e-12 /* a flip counts as extreme when it ties up to rounding */

/* P(X = i) for X ~ Binomial(n, 1/2). */
static double half_binomial(int64_t n, int64_t i) {
    int sign;
    return exp(lgamma_r((double)n + 1.0, &sign) - lgamma_r((double)i + 1.0, &sign) -
               lgamma_r((double)(n - i) + 1.0, &sign) - (double)n * M_LN2);
}

rung_mcnemar rung_mcnemar_test(int64_t b, int64_t c) {
    rung_mcnemar t = {.b = b, .c = c, .p_exact = 1.0, .p_mid = 1.0, .chi2 = 0.0, .p_chi2 = 1.0};
    if (b < 0 || c < 0) {
        t.p_exact = t.p_mid = t.chi2 = t.p_chi2 = (double)NAN;
        return t;
    }
    int64_t n = b + c, least = b < c ? b : c;
    if (n == 0) return t;
    double at = half_binomial(n, least), term = at, tail = at;
    for (int64_t i = least; i > 0 && term > 0.0; i--) { /* P(i-1) = P(i) i / (n-i+1) */
        term *= (double)i / (double)(n - i + 1);
        tail += term;
    }
    t.p_exact = fmin(1.0, 2.0 * tail);
    t.p_mid = fmin(1.0, 2.0 * tail - at);
    double gap = fmax(0.0, fabs((double)(b - c)) - 1.0); /* the correction never crosses zero */
    t.chi2 = gap * gap / (double)n;
    t.p_chi2 = erfc(sqrt(0.5 * t.chi2));
    return t;
}

static double permutation_exact(const double *d, int64_t n, double observed) {
    uint32_t n_flips = (uint32_t)1 << n, hits = 0;
    for (uint32_t mask = 0; mask < n_flips; mask++) {
        double sum = 0.0;
        for (int64_t i = 0; i < n; i++) sum += (mask >> i & 1u) ? -d[i] : d[i];
        hits += fabs(sum) >= observed - FLIP_TOLERANCE;
    }
    return (double)hits / (double)n_flips;
}

/* Flip f of item i is bit i % 64 of draw i / 64 at (seed, BOOTSTRAP, flip f, 1). */
static double permutation_random(const double *d, int64_t n, double observed, int n_flip,
                                 uint64_t seed) {
    int64_t hits = 0;
    for (int f = 0; f < n_flip; f++) {
        rung_rng r = rung_rng_at(seed, RUNG_STREAM_BOOTSTRAP, (uint64_t)f, 1);
        double sum = 0.0;
        uint64_t bits = 0;
        for (int64_t i = 0; i < n; i++) {
            if (i % 64 == 0) bits = rung_rng_u64_at(&r, (uint64_t)(i / 64));
            sum += (bits & 1u) ? -d[i] : d[i];
            bits >>= 1;
        }
        hits += fabs(sum) >= observed - FLIP_TOLERANCE;
    }
    return (double)(1 + hits) / (double)(n_flip + 1); /* the identity counts: p is never 0 */
}

double rung_permutation_paired(const double *d, int64_t n, int n_flip, uint64_t seed) {
    if (n < 1 || (n > EXACT_MAX && n_flip < 1)) return (double)NAN;
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(d[i])) return (double)NAN;
        sum += d[i];
    }
    if (n <= EXACT_MAX) return permutation_exact(d, n, fabs(sum));
    return permutation_random(d, n, fabs(sum), n_flip, seed);
}

/* p ascending with the place each came from; NULL when out of memory or a p is NaN. */
static rung_pair *by_p(const double *p, size_t m) {
    double *at = rung_calloc(m, sizeof *at);
    if (!at) return NULL;
    for (size_t i = 0; i < m; i++) at[i] = (double)i;
    rung_pair *s = rung_pairs_sorted(p, at, (int64_t)m);
    rung_free(at);
    return s;
}

static void all_nan(double *adjusted, size_t m) {
    for (size_t i = 0; i < m; i++) adjusted[i] = (double)NAN;
}

void rung_holm(double *adjusted, const double *p, size_t m) {
    if (m == 0) return;
    rung_pair *s = by_p(p, m);
    if (!s) {
        all_nan(adjusted, m);
        return;
    }
    double running = 0.0;
    for (size_t j = 0; j < m; j++) {
        running = fmax(running, fmin(1.0, (double)(m - j) * s[j].x));
        adjusted[(size_t)s[j].y] = running;
    }
    rung_free(s);
}

void rung_benjamini_hochberg(double *adjusted, const double *p, size_t m) {
    if (m == 0) return;
    rung_pair *s = by_p(p, m);
    if (!s) {
        all_nan(adjusted, m);
        return;
    }
    double running = 1.0;
    for (size_t j = m; j-- > 0;) {
        running = fmin(running, (double)m * s[j].x / (double)(j + 1));
        adjusted[(size_t)s[j].y] = running;
    }
    rung_free(s);
}

void rung_benjamini_yekutieli(double *adjusted, const double *p, size_t m) {
    double harmonic = 0.0;
    for (size_t i = 1; i <= m; i++) harmonic += 1.0 / (double)i;
    rung_benjamini_hochberg(adjusted, p, m);
    for (size_t i = 0; i < m; i++) adjusted[i] = fmin(1.0, adjusted[i] * harmonic);
}

rung_effect rung_effect_paired(const double *d, int64_t n) {
    rung_effect e = {(double)NAN, (double)NAN};
    double mean = 0.0, var = 0.0;
    if (n < 1) return e;
    for (int64_t i = 0; i < n; i++) mean += d[i];
    mean /= (double)n;
    for (int64_t i = 0; i < n; i++) var += (d[i] - mean) * (d[i] - mean);
    e.points = 100.0 * mean;
    if (n > 1 && var > 0.0) e.d_z = mean / sqrt(var / (double)(n - 1));
    return e;
}

double rung_odds_ratio(int64_t b, int64_t c) {
    if (b < 0 || c < 0) return (double)NAN;
    double add = b == 0 || c == 0 ? 0.5 : 0.0;
    return ((double)b + add) / ((double)c + add);
}

/* Sorted by cluster, then by place; first appearances keep the caller's order. */
typedef struct member {
    int64_t cluster, at;
} member;

static int by_cluster(const void *a, const void *b) {
    const member *x = a, *y = b;
    if (x->cluster != y->cluster) return x->cluster < y->cluster ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

int64_t rung_cluster_means(double *mean, const double *x, const int64_t *cluster, int64_t n) {
    if (n < 1) return 0;
    member *m = rung_calloc((size_t)n, sizeof *m);
    double *of = rung_calloc((size_t)n, sizeof *of);
    bool *is_first = rung_calloc((size_t)n, sizeof *is_first);
    int64_t n_clusters = -1;
    if (m && of && is_first) {
        for (int64_t i = 0; i < n; i++) m[i] = (member){cluster[i], i};
        qsort(m, (size_t)n, sizeof *m, by_cluster);
        for (int64_t begin = 0, end; begin < n; begin = end) {
            double sum = 0.0;
            for (end = begin; end < n && m[end].cluster == m[begin].cluster; end++)
                sum += x[m[end].at];
            of[m[begin].at] = sum / (double)(end - begin);
            is_first[m[begin].at] = true;
        }
        n_clusters = 0;
        for (int64_t i = 0; i < n; i++)
            if (is_first[i]) mean[n_clusters++] = of[i];
    }
    rung_free(m);
    rung_free(of);
    rung_free(is_first);
    return n_clusters;
}
