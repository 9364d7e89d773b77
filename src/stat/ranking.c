/* How well a score ranks (feedback.md 10.7): AUROC, AP, selective answering, semantic entropy. */
#include "rung/stat.h"
#include "stat/sorted.h"
#include <math.h>

static bool positive(double y) {
    return y > 0.5;
}

/* Counts pairs block by block: a positive beats every negative below it and half of those tied. */
double rung_auroc(const double *score, const double *y, int64_t n) {
    rung_pair *s = rung_pairs_sorted(score, y, n);
    if (!s) return (double)NAN;
    double n_pos = 0.0, n_neg = 0.0, wins = 0.0;
    for (int64_t begin = 0, end; begin < n; begin = end) {
        double pos = 0.0, neg = 0.0;
        for (end = begin; end < n && s[end].x == s[begin].x; end++)
            *(positive(s[end].y) ? &pos : &neg) += 1.0;
        wins += pos * (n_neg + 0.5 * neg);
        n_pos += pos;
        n_neg += neg;
    }
    rung_free(s);
    return n_pos > 0.0 && n_neg > 0.0 ? wins / (n_pos * n_neg) : (double)NAN;
}

/* Sum over distinct thresholds, highest first, of (recall gained) x precision; no interpolation. */
double rung_average_precision(const double *score, const double *y, int64_t n) {
    rung_pair *s = rung_pairs_sorted(score, y, n);
    if (!s) return (double)NAN;
    double hits = 0.0, taken = 0.0, sum = 0.0;
    for (int64_t end = n, begin; end > 0; end = begin) {
        double pos = 0.0;
        for (begin = end; begin > 0 && s[begin - 1].x == s[end - 1].x; begin--)
            pos += positive(s[begin - 1].y) ? 1.0 : 0.0;
        hits += pos;
        taken += (double)(end - begin);
        sum += pos * hits / taken;
    }
    rung_free(s);
    return hits > 0.0 && hits < (double)n ? sum / hits : (double)NAN;
}

double rung_auroc_macro(const double *score, const double *y, const int64_t *first,
                        int64_t n_traces) {
    double sum = 0.0;
    int64_t n = 0;
    for (int64_t t = 0; t < n_traces; t++) {
        double a = rung_auroc(score + first[t], y + first[t], first[t + 1] - first[t]);
        if (isnan(a)) continue; /* one class only */
        sum += a;
        n++;
    }
    return n ? sum / (double)n : (double)NAN;
}

double rung_selective(double *accuracy, const double *confidence, const double *y, int64_t n) {
    rung_pair *s = rung_pairs_sorted(confidence, y, n);
    if (!s) return (double)NAN;
    double hits = 0.0, area = 0.0;
    int64_t taken = 0;
    for (int64_t end = n, begin; end > 0; end = begin) {
        double block = 0.0;
        for (begin = end; begin > 0 && s[begin - 1].x == s[end - 1].x; begin--)
            block += s[begin - 1].y;
        double mean = block / (double)(end - begin);
        for (int64_t j = 1; j <= end - begin; j++) { /* any of the tied is equally likely */
            double a = (hits + (double)j * mean) / (double)(taken + j);
            if (accuracy) accuracy[taken + j - 1] = a;
            area += a;
        }
        hits += block;
        taken += end - begin;
    }
    rung_free(s);
    return area / (double)n;
}

/* ln sum exp over the members of i's cluster; NaN when i is not the cluster's first. */
static double cluster_loglik(int64_t *size, const double *loglik, const int32_t *cluster, int64_t n,
                             int64_t i) {
    double top = -(double)INFINITY, sum = 0.0;
    *size = 0;
    for (int64_t j = 0; j < n; j++) {
        if (cluster[j] != cluster[i]) continue;
        if (j < i) return (double)NAN;
        top = fmax(top, loglik[j]);
        ++*size;
    }
    for (int64_t j = i; j < n; j++)
        if (cluster[j] == cluster[i]) sum += exp(loglik[j] - top);
    return top + log(sum);
}

rung_entropy rung_semantic_entropy(const double *loglik, const int32_t *cluster, int64_t n) {
    const double nan_ = (double)NAN;
    rung_entropy e = {nan_, nan_, nan_};
    double top = -(double)INFINITY, sum = 0.0, mean = 0.0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(loglik[i])) return e;
        top = fmax(top, loglik[i]);
        mean += loglik[i];
    }
    if (n < 1) return e;
    for (int64_t i = 0; i < n; i++) sum += exp(loglik[i] - top);
    double total = top + log(sum);
    e = (rung_entropy){0.0, 0.0, -mean / (double)n};
    for (int64_t i = 0; i < n; i++) {
        int64_t size;
        double l = cluster_loglik(&size, loglik, cluster, n, i) - total;
        if (isnan(l)) continue;
        double share = (double)size / (double)n;
        e.se -= exp(l) * l;
        e.counts -= share * log(share);
    }
    return e;
}
