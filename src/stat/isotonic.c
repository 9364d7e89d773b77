/* Maps from scores to probabilities that are fitted on held-out data: isotonic regression by
 * pooling adjacent violators, Platt's sigmoid; and the threshold of the earliest wrong step. */
#include "rung/stat.h"
#include "stat/sorted.h"
#include <math.h>
#include <stdlib.h>

/* A run of equal scores, then of pooled ones. */
typedef struct block {
    double lo, hi, sum, n;
} block;

static bool violates(const block *a, const block *b) {
    return a->sum * b->n >= b->sum * a->n; /* equal means are one block, too */
}

int64_t rung_isotonic_fit(rung_knot *knot, const double *x, const double *y, int64_t n) {
    rung_pair *s = rung_pairs_sorted(x, y, n);
    block *b = rung_alloc((size_t)(n > 0 ? n : 1) * sizeof *b);
    int64_t n_blocks = 0, n_knots = 0;
    for (int64_t i = 0, end; s && b && i < n; i = end) {
        block one = {s[i].x, s[i].x, 0.0, 0.0};
        for (end = i; end < n && s[end].x == s[i].x; end++) one.sum += s[end].y, one.n += 1.0;
        b[n_blocks++] = one;
        while (n_blocks > 1 && violates(&b[n_blocks - 2], &b[n_blocks - 1])) {
            block *into = &b[n_blocks - 2], last = b[--n_blocks];
            into->hi = last.hi;
            into->sum += last.sum;
            into->n += last.n;
        }
    }
    for (int64_t i = 0; i < n_blocks; i++) {
        double mean = b[i].sum / b[i].n;
        knot[n_knots++] = (rung_knot){b[i].lo, mean};
        if (b[i].hi > b[i].lo) knot[n_knots++] = (rung_knot){b[i].hi, mean};
    }
    bool ok = s && b;
    rung_free(s);
    rung_free(b);
    return ok ? n_knots : -1;
}

double rung_isotonic_at(const rung_knot *knot, int64_t n, double x) {
    if (n < 1 || isnan(x)) return (double)NAN;
    if (x <= knot[0].x) return knot[0].y;
    if (x >= knot[n - 1].x) return knot[n - 1].y;
    int64_t lo = 0, hi = n - 1; /* knot[lo].x <= x < knot[hi].x */
    while (hi - lo > 1) {
        int64_t mid = lo + (hi - lo) / 2;
        if (knot[mid].x <= x)
            lo = mid;
        else
            hi = mid;
    }
    double width = knot[hi].x - knot[lo].x, share = (x - knot[lo].x) / width;
    return knot[lo].y + share * (knot[hi].y - knot[lo].y);
}

bool rung_platt_fit(double *a, double *b, const double *x, const double *y, int64_t n) {
    double n_pos = 0.0, n_neg = 0.0;
    double *t = n > 0 ? rung_alloc((size_t)n * sizeof *t) : NULL;
    if (!t) return false;
    for (int64_t i = 0; i < n; i++) *(y[i] > 0.5 ? &n_pos : &n_neg) += 1.0;
    double up = (n_pos + 1.0) / (n_pos + 2.0), down = 1.0 / (n_neg + 2.0);
    for (int64_t i = 0; i < n; i++) t[i] = y[i] > 0.5 ? up : down;
    bool ok = n_pos > 0.0 && n_neg > 0.0 && rung_logistic_fit(a, b, x, t, n);
    rung_free(t);
    return ok;
}

/* Thresholds that differ are half way between neighbouring scores; the one of the largest F1, the
 * least of equals. One case's prediction changes only at the scores that are below all before them
 * (its running minima): so one sweep from high to low over those. */
typedef struct fall {
    double score; /* tau above it: the case says `pred` */
    int64_t item;
    int32_t pred;
} fall;

static int by_score(const void *x, const void *y) {
    const fall *a = x, *b = y;
    if (a->score != b->score) return a->score < b->score ? -1 : 1;
    if (a->item != b->item) return a->item < b->item ? -1 : 1;
    return (a->pred < b->pred) - (a->pred > b->pred); /* the later step first: the earlier stays */
}

static int64_t list_falls(fall *f, const double *score, const int64_t *first, int64_t n) {
    int64_t m = 0;
    for (int64_t i = 0; i < n; i++) {
        double least = (double)INFINITY;
        for (int64_t k = first[i]; k < first[i + 1]; k++) {
            if (!(score[k] < least)) continue;
            least = score[k];
            f[m++] = (fall){least, i, (int32_t)(k - first[i])};
        }
    }
    return m;
}

static double harmonic(double hit_err, double n_err, double hit_cor, double n_cor) {
    double a = 100.0 * hit_err / n_err, b = 100.0 * hit_cor / n_cor;
    return a + b == 0.0 ? 0.0 : 2.0 * a * b / (a + b);
}

rung_status rung_first_error_threshold(double *tau, double *f1, const double *score,
                                       const int64_t *first, const int32_t *label, int64_t n,
                                       rung_error *err) {
    int64_t n_scores = n > 0 ? first[n] : 0;
    double n_err = 0.0, n_cor = 0.0, hit[2] = {0.0, 0.0};
    *tau = 0.5;
    *f1 = (double)NAN;
    for (int64_t i = 0; i < n; i++) *(label[i] == -1 ? &n_cor : &n_err) += 1.0;
    if (n_err < 1.0 || n_cor < 1.0)
        return rung_fail(err, RUNG_E_FORMAT,
                         "a threshold needs traces with an error and without: %.0f and %.0f", n_err,
                         n_cor);
    fall *f = rung_alloc(((size_t)n_scores + 1) * sizeof *f);
    int32_t *pred = rung_alloc((size_t)n * sizeof *pred);
    if (!f || !pred) {
        rung_free(f);
        rung_free(pred);
        return rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld scores", (long long)n_scores);
    }
    int64_t m = list_falls(f, score, first, n);
    qsort(f, (size_t)m, sizeof *f, by_score);
    for (int64_t i = 0; i < n; i++) pred[i] = -1;
    hit[1] = n_cor; /* below every score: nothing is called wrong */
    double best = -1.0;
    for (int64_t i = 0, end; i < m; i = end) {
        for (end = i; end < m && f[end].score == f[i].score; end++) {
            const fall *e = &f[end];
            int32_t want = label[e->item];
            if (want == -1)
                hit[1] -= pred[e->item] == -1;
            else
                hit[0] += (double)(e->pred == want) - (double)(pred[e->item] == want);
            pred[e->item] = e->pred;
        }
        double value = harmonic(hit[0], n_err, hit[1], n_cor);
        if (end == m || value <= best) continue; /* above all scores there is no half way */
        best = value;
        *tau = 0.5 * (f[i].score + f[end].score);
    }
    if (best >= 0.0) *f1 = best;
    rung_free(f);
    rung_free(pred);
    return RUNG_OK;
}
