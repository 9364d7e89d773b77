/* Who is right when labelers differ. */
#include "rung/stat.h"
#include <math.h>

/* Dawid and Skene 1979, two classes: each labeler has a chance to call a right item right (sens)
 * and a wrong one wrong (spec); EM from the majority. Items with gold keep it and so teach who is
 * good. One pseudo-item per cell keeps a labeler with few marks from being certain. */
static const double PSEUDO = 0.5;
static const double P_FLOOR = 1e-12; /* keeps logs finite */

static void maximise(rung_dawid_skene *d, const double *post, const int8_t *mark, int64_t n,
                     int32_t m) {
    double right = 1.0, all = 2.0;
    for (int64_t u = 0; u < n; u++) right += post[u], all += 1.0;
    d->prior = right / all;
    for (int32_t j = 0; j < m; j++) {
        double tp = PSEUDO, p = 2.0 * PSEUDO, tn = PSEUDO, q = 2.0 * PSEUDO;
        for (int64_t u = 0; u < n; u++) {
            int8_t v = mark[u * m + j];
            if (v < 0) continue;
            p += post[u];
            q += 1.0 - post[u];
            if (v)
                tp += post[u];
            else
                tn += 1.0 - post[u];
        }
        d->sens[j] = tp / p;
        d->spec[j] = tn / q;
    }
}

static double posterior(const rung_dawid_skene *d, const int8_t *mark, int32_t m) {
    double l1 = log(fmax(d->prior, P_FLOOR)), l0 = log(fmax(1.0 - d->prior, P_FLOOR));
    for (int32_t j = 0; j < m; j++) {
        if (mark[j] < 0) continue;
        double a = mark[j] ? d->sens[j] : 1.0 - d->sens[j];
        double b = mark[j] ? 1.0 - d->spec[j] : d->spec[j];
        l1 += log(fmax(a, P_FLOOR));
        l0 += log(fmax(b, P_FLOOR));
    }
    return 1.0 / (1.0 + exp(l0 - l1));
}

static double majority(const int8_t *mark, int32_t m) {
    double n = 0.0, c = 0.0;
    for (int32_t j = 0; j < m; j++)
        if (mark[j] >= 0) n += 1.0, c += mark[j];
    return n > 0.0 ? c / n : 0.5;
}

rung_status rung_dawid_skene_fit(rung_dawid_skene *d, double *post, const int8_t *mark,
                                 const int8_t *gold, int64_t n, int32_t m, int32_t max_iter,
                                 double tol, rung_error *err) {
    if (n < 1 || m < 1 || m > RUNG_LABELERS_MAX)
        return rung_fail(err, RUNG_E_INVAL, "%lld items, %d labelers: need at least 1, at most %d",
                         (long long)n, m, RUNG_LABELERS_MAX);
    *d = (rung_dawid_skene){.n_labelers = m};
    for (int64_t u = 0; u < n; u++)
        post[u] = gold && gold[u] >= 0 ? (double)gold[u] : majority(mark + u * m, m);
    for (d->n_iter = 0; d->n_iter < max_iter;) {
        double moved = 0.0;
        maximise(d, post, mark, n, m);
        for (int64_t u = 0; u < n; u++) {
            if (gold && gold[u] >= 0) continue;
            double p = posterior(d, mark + u * m, m);
            moved = fmax(moved, fabs(p - post[u]));
            post[u] = p;
        }
        d->n_iter++;
        if (moved <= tol) break;
    }
    return RUNG_OK;
}
