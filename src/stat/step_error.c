/* The earliest wrong step: prediction from scores, ProcessBench's three numbers (labels.md 1),
 * PRMBench's score (feedback.md 10.7), the biases of best-of-N (labels.md 2). */
#include "rung/stat.h"
#include <math.h>

int32_t rung_first_below(const double *score, int32_t n, double tau) {
    for (int32_t t = 0; t < n; t++)
        if (score[t] < tau) return t;
    return -1;
}

void rung_bon_bias_add(rung_bon_bias *z, bool right, int32_t first_error, const double *score,
                       int32_t n, double tau) {
    bool known = first_error >= -1, scored = n > 0;
    int32_t least = 0;
    for (int32_t k = 0; k < n; k++) {
        scored = scored && !isnan(score[k]);
        if (score[k] < score[least]) least = k; /* the first of equal ones */
    }
    if (right && known) {
        z->n_right++;
        z->n_flawed += first_error >= 0;
        z->n_seen += first_error >= 0 && scored;
        z->n_flagged += first_error >= 0 && scored && score[least] < tau;
    }
    if (!scored || n < 2) return;
    z->n_scored++;
    z->n_last += least == n - 1;
}

rung_pb rung_processbench(const int32_t *pred, const int32_t *label, int64_t n) {
    rung_pb r = {0};
    double hit_err = 0.0, hit_cor = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double hit = pred[i] == label[i] ? 1.0 : 0.0;
        if (label[i] == -1) {
            r.n_cor++;
            hit_cor += hit;
        } else {
            r.n_err++;
            hit_err += hit;
        }
    }
    r.acc_err = r.n_err ? 100.0 * hit_err / (double)r.n_err : (double)NAN;
    r.acc_cor = r.n_cor ? 100.0 * hit_cor / (double)r.n_cor : (double)NAN;
    double sum = r.acc_err + r.acc_cor; /* NaN when a class is missing: undefined, not 0 */
    r.f1 = sum == 0.0 ? 0.0 : 2.0 * r.acc_err * r.acc_cor / sum;
    return r;
}

void rung_prmbench_add(rung_prmbench *z, const bool *valid, const bool *error, int32_t n_steps) {
    bool met = false; /* the first error */
    for (int32_t k = 0; k < n_steps; k++) {
        bool right = !error[k];
        z->tp += right && valid[k];
        z->fn += right && !valid[k];
        z->fp += !right && valid[k];
        z->tn += !right && !valid[k];
        z->n_right += right;
        z->n_right_hit += right && valid[k];
        z->n_wrong += !right;
        z->n_wrong_hit += !right && !valid[k];
        z->n_step++;
        z->n_step_hit += right == valid[k];
        if (right || met) continue;
        met = true;
        z->n_first++;
        z->n_first_hit += !valid[k];
    }
}

static double ratio(int64_t part, int64_t whole) {
    return whole > 0 ? (double)part / (double)whole : (double)NAN;
}

static double f1_of(int64_t hit, int64_t false_alarm, int64_t missed) {
    double p = ratio(hit, hit + false_alarm), r = ratio(hit, hit + missed);
    return p + r == 0.0 ? 0.0 : 2.0 * p * r / (p + r); /* NaN stays NaN */
}

rung_prmbench_score rung_prmbench_get(const rung_prmbench *z) {
    rung_prmbench_score s = {.f1 = f1_of(z->tp, z->fp, z->fn),
                             .f1_negative = f1_of(z->tn, z->fn, z->fp),
                             .acc_step = ratio(z->n_step_hit, z->n_step),
                             .acc_right = ratio(z->n_right_hit, z->n_right),
                             .acc_wrong = ratio(z->n_wrong_hit, z->n_wrong),
                             .acc_first = ratio(z->n_first_hit, z->n_first)};
    s.score = 0.5 * s.f1 + 0.5 * s.f1_negative;
    return s;
}

double rung_prmbench_similarity(const double *modified, const double *original, int64_t n) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += fabs(modified[i] - original[i]);
    return n > 0 ? sum / (double)n : (double)NAN;
}
