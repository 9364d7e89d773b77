/* The earliest wrong step: prediction from scores, ProcessBench's three numbers (labels.md 1). */
#include "rung/stat.h"
#include <math.h>

int32_t rung_first_below(const double *score, int32_t n, double tau) {
    for (int32_t t = 0; t < n; t++)
        if (score[t] < tau) return t;
    return -1;
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
