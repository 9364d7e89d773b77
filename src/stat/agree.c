/* Agreement of raters (feedback.md 10.3). Undefined (chance agreement of 1, one value only, no
 * items) is NaN. */
#include "rung/stat.h"
#include "stat/sorted.h"
#include <math.h>

static double row_sum(const double *table, int k, int i) {
    double sum = 0.0;
    for (int j = 0; j < k; j++) sum += table[i * k + j];
    return sum;
}

static double column_sum(const double *table, int k, int j) {
    double sum = 0.0;
    for (int i = 0; i < k; i++) sum += table[i * k + j];
    return sum;
}

static double table_sum(const double *table, int k) {
    double n = 0.0;
    for (int i = 0; i < k; i++) n += row_sum(table, k, i);
    return n;
}

double rung_kappa(const double *table, int k) {
    double n = table_sum(table, k), agree = 0.0, chance = 0.0;
    if (k < 1 || !(n > 0.0)) return (double)NAN;
    for (int i = 0; i < k; i++) {
        agree += table[i * k + i] / n;
        chance += row_sum(table, k, i) / n * (column_sum(table, k, i) / n);
    }
    return chance < 1.0 ? (agree - chance) / (1.0 - chance) : (double)NAN;
}

double rung_kappa_weighted(const double *table, int k, rung_kappa_weight w) {
    double n = table_sum(table, k), seen = 0.0, chance = 0.0;
    if (k < 2 || !(n > 0.0)) return (double)NAN;
    for (int i = 0; i < k; i++) {
        double row = row_sum(table, k, i) / n;
        for (int j = 0; j < k; j++) {
            double d = fabs((double)(i - j)) / (double)(k - 1);
            if (w == RUNG_KAPPA_QUADRATIC) d *= d;
            seen += d * table[i * k + j] / n;
            chance += d * row * column_sum(table, k, j) / n;
        }
    }
    return chance > 0.0 ? 1.0 - seen / chance : (double)NAN;
}

double rung_gwet_ac1(const double *table, int k) {
    double n = table_sum(table, k), agree = 0.0, chance = 0.0;
    if (k < 2 || !(n > 0.0)) return (double)NAN;
    for (int i = 0; i < k; i++) {
        double pi = (row_sum(table, k, i) + column_sum(table, k, i)) / (2.0 * n);
        agree += table[i * k + i] / n;
        chance += pi * (1.0 - pi) / (double)(k - 1);
    }
    return chance < 1.0 ? (agree - chance) / (1.0 - chance) : (double)NAN;
}

double rung_kappa_fleiss(const double *count, int64_t n_items, int k) {
    double agree = 0.0, chance = 0.0;
    double m = n_items > 0 && k > 0 ? row_sum(count, k, 0) : 0.0;
    if (m < 2.0) return (double)NAN;
    for (int64_t i = 0; i < n_items; i++) {
        double sum = 0.0, squares = 0.0;
        for (int j = 0; j < k; j++) {
            double c = count[i * k + j];
            sum += c;
            squares += c * c;
        }
        if (sum != m) return (double)NAN; /* another number of raters: not Fleiss's kappa */
        agree += (squares - m) / (m * (m - 1.0));
    }
    agree /= (double)n_items;
    for (int j = 0; j < k; j++) {
        double p = 0.0;
        for (int64_t i = 0; i < n_items; i++) p += count[i * k + j];
        p /= (double)n_items * m;
        chance += p * p;
    }
    return chance < 1.0 ? (agree - chance) / (1.0 - chance) : (double)NAN;
}

/* The distinct values of all units with at least two ratings, how often each, and the running
 * counts (of values up to and with this one) that the ordinal distance needs. */
typedef struct spectrum {
    double *v, *count, *upto;
    int64_t k;
    double n;
} spectrum;

static int64_t find(const spectrum *s, double x) {
    int64_t lo = 0, hi = s->k - 1;
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        if (s->v[mid] < x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static double squared_distance(const spectrum *s, rung_alpha_metric metric, int64_t c, int64_t d) {
    if (c == d) return 0.0;
    double x = s->v[c], y = s->v[d], gap = x - y;
    switch (metric) {
    case RUNG_ALPHA_NOMINAL: return 1.0;
    case RUNG_ALPHA_INTERVAL: break;
    case RUNG_ALPHA_RATIO: gap = x + y != 0.0 ? gap / (x + y) : 0.0; break;
    case RUNG_ALPHA_ORDINAL: {
        int64_t lo = c < d ? c : d, hi = c < d ? d : c;
        double between = s->upto[hi] - s->upto[lo] + s->count[lo];
        gap = between - 0.5 * (s->count[lo] + s->count[hi]);
        break;
    }
    }
    return gap * gap;
}

static int64_t n_ratings(const double *value, int64_t n_raters, int64_t n_units, int64_t unit) {
    int64_t m = 0;
    for (int64_t r = 0; r < n_raters; r++) m += !isnan(value[r * n_units + unit]);
    return m;
}

static bool spectrum_make(spectrum *s, const double *value, int64_t n_raters, int64_t n_units) {
    size_t most = (size_t)(n_raters * n_units) + 1;
    double *all = rung_calloc(most, sizeof *all);
    s->v = rung_calloc(most, 3 * sizeof *s->v);
    if (!all || !s->v) {
        rung_free(all);
        return false;
    }
    s->count = s->v + most;
    s->upto = s->count + most;
    int64_t n = 0;
    for (int64_t u = 0; u < n_units; u++) {
        if (n_ratings(value, n_raters, n_units, u) < 2) continue;
        for (int64_t r = 0; r < n_raters; r++)
            if (!isnan(value[r * n_units + u])) all[n++] = value[r * n_units + u];
    }
    rung_sort_f64(all, n);
    for (int64_t i = 0; i < n; i++) {
        if (s->k == 0 || all[i] != s->v[s->k - 1]) s->v[s->k++] = all[i];
        s->count[s->k - 1] += 1.0;
        s->upto[s->k - 1] = (double)(i + 1);
    }
    s->n = (double)n;
    rung_free(all);
    return true;
}

/* Sum over units of the distances of their ordered pairs of ratings, each unit over (m - 1). */
static double seen_distance(const spectrum *s, const double *value, int64_t n_raters,
                            int64_t n_units, rung_alpha_metric metric) {
    double total = 0.0;
    for (int64_t u = 0; u < n_units; u++) {
        int64_t m = n_ratings(value, n_raters, n_units, u);
        if (m < 2) continue;
        double sum = 0.0;
        for (int64_t a = 0; a < n_raters; a++) {
            double x = value[a * n_units + u];
            for (int64_t b = 0; b < a && !isnan(x); b++) {
                double y = value[b * n_units + u];
                if (!isnan(y)) sum += 2.0 * squared_distance(s, metric, find(s, x), find(s, y));
            }
        }
        total += sum / (double)(m - 1);
    }
    return total;
}

double rung_krippendorff(const double *value, int64_t n_raters, int64_t n_units,
                         rung_alpha_metric metric) {
    if (n_raters < 2 || n_units < 1) return (double)NAN;
    spectrum s = {0};
    double alpha = (double)NAN;
    if (spectrum_make(&s, value, n_raters, n_units) && s.k > 1) {
        double chance = 0.0, seen = seen_distance(&s, value, n_raters, n_units, metric);
        for (int64_t c = 0; c < s.k; c++)
            for (int64_t d = 0; d < c; d++)
                chance += 2.0 * s.count[c] * s.count[d] * squared_distance(&s, metric, c, d);
        if (chance > 0.0) alpha = 1.0 - (s.n - 1.0) * seen / chance;
    }
    rung_free(s.v);
    return alpha;
}
