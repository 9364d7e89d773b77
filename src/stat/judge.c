/* Controls of a judge's biases: order, length, ties, votes of critiques (feedback.md 10.2). */
#include "rung/stat.h"
#include <math.h>

rung_pref rung_pref_of_scores(double a, double b, double epsilon) {
    if (isnan(a) || isnan(b)) return RUNG_PREF_ERROR;
    if (fabs(a - b) <= epsilon) return RUNG_PREF_TIE;
    return a > b ? RUNG_PREF_A : RUNG_PREF_B;
}

rung_pref rung_pref_swapped(rung_pref ab, rung_pref ba) {
    if (ab == RUNG_PREF_ERROR || ba == RUNG_PREF_ERROR) return RUNG_PREF_ERROR;
    return ab == ba ? ab : RUNG_PREF_TIE;
}

static double share(int64_t part, int64_t whole) {
    return whole > 0 ? (double)part / (double)whole : (double)NAN;
}

rung_pairwise rung_pairwise_swap(const rung_pref *ab, const rung_pref *ba, int64_t n) {
    rung_pairwise z = {0};
    int64_t n_same = 0, n_first = 0, n_second = 0;
    for (int64_t i = 0; i < n; i++) {
        rung_pref p = rung_pref_swapped(ab[i], ba[i]);
        z.n_win += p == RUNG_PREF_A;
        z.n_loss += p == RUNG_PREF_B;
        z.n_tie += p == RUNG_PREF_TIE;
        z.n_error += p == RUNG_PREF_ERROR;
        if (p == RUNG_PREF_ERROR) continue;
        n_same += ab[i] == ba[i];
        n_first += ab[i] == RUNG_PREF_A && ba[i] == RUNG_PREF_B;
        n_second += ab[i] == RUNG_PREF_B && ba[i] == RUNG_PREF_A;
    }
    int64_t n_known = n - z.n_error;
    z.win_rate = share(z.n_win, n_known);
    z.adjusted =
        n_known ? ((double)z.n_win + 0.5 * (double)z.n_tie) / (double)n_known : (double)NAN;
    z.consistency = share(n_same, n_known);
    z.first_bias = share(n_first - n_second, n_known - n_same);
    return z;
}

void rung_pref_agreement(double *with_ties, double *without_ties, const rung_pref *x,
                         const rung_pref *y, int64_t n) {
    int64_t n_all = 0, n_same = 0, n_plain = 0, n_plain_same = 0;
    for (int64_t i = 0; i < n; i++) {
        if (x[i] == RUNG_PREF_ERROR || y[i] == RUNG_PREF_ERROR) continue;
        n_all++;
        n_same += x[i] == y[i];
        if (x[i] == RUNG_PREF_TIE || y[i] == RUNG_PREF_TIE) continue;
        n_plain++;
        n_plain_same += x[i] == y[i];
    }
    *with_ties = share(n_same, n_all);
    *without_ties = share(n_plain_same, n_plain);
}

static double win_of(rung_pref p) {
    return p == RUNG_PREF_A ? 1.0 : p == RUNG_PREF_B ? 0.0 : 0.5;
}

rung_length_bias rung_length_control(const rung_pref *pref, const double *len_a,
                                     const double *len_b, int64_t n) {
    const double nan_ = (double)NAN;
    rung_length_bias z = {nan_, nan_, nan_, nan_, nan_};
    double sum[3] = {0}, count[3] = {0}, mean = 0.0, var = 0.0;
    int64_t m = 0;
    double *x = rung_calloc(n > 0 ? (size_t)n : 1, 2 * sizeof *x), *y = x + (n > 0 ? n : 1);
    if (!x) return z;
    for (int64_t i = 0; i < n; i++) {
        if (pref[i] == RUNG_PREF_ERROR) continue;
        double d = len_a[i] - len_b[i], w = win_of(pref[i]);
        int side = d > 0.0 ? 0 : d < 0.0 ? 1 : 2;
        sum[side] += w;
        count[side] += 1.0;
        x[m] = d;
        y[m++] = w;
        mean += d;
    }
    mean = m ? mean / (double)m : 0.0;
    for (int64_t i = 0; i < m; i++) var += (x[i] - mean) * (x[i] - mean);
    double sd = m > 1 ? sqrt(var / (double)(m - 1)) : 0.0;
    if (count[0] > 0.0) z.longer = sum[0] / count[0];
    if (count[1] > 0.0) z.shorter = sum[1] / count[1];
    if (count[2] > 0.0) z.equal = sum[2] / count[2];
    if (sd > 0.0) { /* not centred: 0 must stay "equally long" */
        double a, b;
        for (int64_t i = 0; i < m; i++) x[i] = tanh(x[i] / sd);
        if (rung_logistic_fit(&a, &b, x, y, m)) {
            z.slope = a;
            z.adjusted = 1.0 / (1.0 + exp(-b));
        }
    }
    rung_free(x);
    return z;
}

int32_t rung_critique_vote(const int32_t *pred, int64_t n) {
    int32_t winner = RUNG_PRED_NONE;
    int64_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        if (pred[i] == RUNG_PRED_NONE) continue;
        int64_t votes = 0;
        for (int64_t j = 0; j < n; j++) votes += pred[j] == pred[i];
        if (votes > most) most = votes, winner = pred[i];
    }
    return winner;
}

void rung_step_votes(double *v, int32_t n_steps, const int32_t *pred, int64_t n) {
    int64_t n_parsed = 0;
    for (int64_t i = 0; i < n; i++) n_parsed += pred[i] != RUNG_PRED_NONE;
    for (int32_t k = 0; k < n_steps; k++) {
        int64_t votes = 0;
        for (int64_t i = 0; i < n; i++) votes += pred[i] == k;
        v[k] = share(votes, n_parsed);
    }
}
