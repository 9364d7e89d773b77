#include "train/loss_logits.h"

/* ln sum exp(z / t), in f64. */
static double log_sum_exp(const real *z, int32_t n, double t) {
    double top = (double)rung_real_max(z, n), sum = 0;
    for (int32_t k = 0; k < n; k++) sum += exp(((double)z[k] - top) / t);
    return log(sum) + top / t;
}

void rung_logits_logprob(double *logprob, double *entropy, const real *logits, const int32_t *tok,
                         const double *mask, int64_t n, int32_t n_vocab, double temperature) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        const real *z = logits + i * n_vocab;
        logprob[i] = 0;
        if (entropy) entropy[i] = 0;
        if (mask[i] == 0) continue;
        double lse = log_sum_exp(z, n_vocab, temperature);
        logprob[i] = (double)z[tok[i]] / temperature - lse;
        for (int32_t k = 0; entropy && k < n_vocab; k++) {
            double l = (double)z[k] / temperature - lse;
            entropy[i] -= exp(l) * l;
        }
    }
}

/* dl/dz_k = (1[k = tok] - p_k) / t;  dH/dz_k = -p_k (ln p_k + H) / t */
void rung_logits_logprob_back(real *dlogits, const double *dlogprob, const double *dentropy,
                              const real *logits, const int32_t *tok, const double *mask, int64_t n,
                              int32_t n_vocab, double temperature) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        const real *z = logits + i * n_vocab;
        real *dz = dlogits + i * n_vocab;
        double g = dlogprob[i], e = dentropy ? dentropy[i] : 0, h = 0;
        if (mask[i] == 0 || (g == 0 && e == 0)) {
            memset(dz, 0, (size_t)n_vocab * sizeof *dz);
            continue;
        }
        double lse = log_sum_exp(z, n_vocab, temperature);
        for (int32_t k = 0; e != 0 && k < n_vocab; k++) {
            double l = (double)z[k] / temperature - lse;
            h -= exp(l) * l;
        }
        for (int32_t k = 0; k < n_vocab; k++) {
            double l = (double)z[k] / temperature - lse, p = exp(l);
            dz[k] = (real)(-p * (g + e * (l + h)) / temperature);
        }
        dz[tok[i]] = (real)((double)dz[tok[i]] + g / temperature);
    }
}

/* KL of one row; the logs' sums out. */
static double kl_row(double *lse, double *ref_lse, const real *z, const real *q, int32_t n_vocab,
                     double t) {
    double kl = 0;
    *lse = log_sum_exp(z, n_vocab, t);
    *ref_lse = log_sum_exp(q, n_vocab, t);
    for (int32_t k = 0; k < n_vocab; k++) {
        double l = (double)z[k] / t - *lse;
        kl += exp(l) * (l - ((double)q[k] / t - *ref_lse));
    }
    return kl;
}

void rung_logits_exact_kl(double *kl, const real *logits, const real *ref, const double *mask,
                          int64_t n, int32_t n_vocab, double temperature) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        double a, b;
        kl[i] = mask[i] == 0
                    ? 0
                    : kl_row(&a, &b, logits + i * n_vocab, ref + i * n_vocab, n_vocab, temperature);
    }
}

/* dKL/dz_k = p_k (ln p_k - ln ref_k - KL) / t */
void rung_logits_exact_kl_back(real *dlogits, const double *dkl, const real *logits,
                               const real *ref, const double *mask, int64_t n, int32_t n_vocab,
                               double temperature) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        const real *z = logits + i * n_vocab, *q = ref + i * n_vocab;
        real *dz = dlogits + i * n_vocab;
        double lse, ref_lse;
        if (mask[i] == 0 || dkl[i] == 0) continue;
        double kl = kl_row(&lse, &ref_lse, z, q, n_vocab, temperature);
        for (int32_t k = 0; k < n_vocab; k++) {
            double l = (double)z[k] / temperature - lse;
            double m = (double)q[k] / temperature - ref_lse;
            dz[k] = (real)((double)dz[k] + dkl[i] * exp(l) * (l - m - kl) / temperature);
        }
    }
}
