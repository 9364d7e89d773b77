/* How well a score ranks (feedback.md 10.7), and agreement of two raters (10.3). */
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

double rung_kappa(const double *table, int k) {
    double n = 0.0, agree = 0.0, chance = 0.0;
    for (int i = 0; i < k * k; i++) n += table[i];
    if (k < 1 || !(n > 0.0)) return (double)NAN;
    for (int i = 0; i < k; i++) {
        double row = 0.0, column = 0.0;
        for (int j = 0; j < k; j++) {
            row += table[i * k + j];
            column += table[j * k + i];
        }
        agree += table[i * k + i] / n;
        chance += row / n * (column / n);
    }
    return chance < 1.0 ? (agree - chance) / (1.0 - chance) : (double)NAN;
}
