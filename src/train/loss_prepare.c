/* What losses are given beside logprobs and scores: pairs, weights, KTO's zero point. */
#include "train/loss_row.h"

rung_status rung_loss_kto_zero(double *out, const rung_loss_data *d, rung_error *err) {
    double *z = rung_calloc(2 * (size_t)(d->n_samples + 1), sizeof *z), sum = 0, n = 0;
    *out = 0;
    if (!z) return rung_fail(err, RUNG_E_NOMEM, "no memory for a loss");
    double *len = z + d->n_samples + 1;
    rung_status st = d->ref ? RUNG_OK : rung_fail(err, RUNG_E_INVAL, "kto's zero point needs ref");
    for (int64_t i = 0; i < d->n && st == RUNG_OK; i++) {
        int64_t s = loss_sample_of(d, i);
        double m = loss_item_weight(d, i) > 0 ? loss_mask(d, i) : 0;
        if (m == 0) continue;
        if (s >= d->n_samples || !isfinite(d->x[i]) || !isfinite(d->ref[i]))
            st = rung_fail(err, RUNG_E_INVAL, "kto's zero point: item %lld: %g, reference %g",
                           (long long)i, d->x[i], d->ref[i]);
        else
            z[s] += m * (d->x[i] - d->ref[i]), len[s] += m;
    }
    for (int64_t s = 0; s < d->n_samples; s++) {
        if (len[s] == 0) continue;
        sum += loss_weight(d, s) * z[s];
        n += loss_weight(d, s);
    }
    rung_free(z);
    if (st == RUNG_OK && n > 0) *out = fmax(0, sum / n);
    return st;
}

rung_status rung_loss_pairs(int32_t **pair, int64_t *n_pairs, const double *label,
                            const int32_t *group, int64_t n, rung_error *err) {
    int64_t n_in, count = 0, at = 0;
    *pair = NULL;
    *n_pairs = 0;
    int32_t *who = rung_loss_group_order(&n_in, group, n);
    if (!who)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for pairs of %lld samples", (long long)n);
    for (int pass = 0; pass < 2; pass++) { /* counts, then writes */
        for (int64_t i = 0, end; i < n_in; i = end) {
            for (end = i + 1; end < n_in && group[who[end]] == group[who[i]];) end++;
            for (int64_t a = i; a < end; a++) {
                for (int64_t b = i; b < end; b++) {
                    if (!(label[who[a]] > 0.5) || label[who[b]] > 0.5) continue;
                    if (pass == 0) {
                        count++;
                        continue;
                    }
                    (*pair)[2 * at] = who[a];
                    (*pair)[2 * at + 1] = who[b];
                    at++;
                }
            }
        }
        if (pass == 0) *pair = rung_alloc((size_t)(2 * count + 1) * sizeof **pair);
        if (!*pair) break;
    }
    rung_free(who);
    if (!*pair) return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld pairs", (long long)count);
    *n_pairs = count;
    return RUNG_OK;
}

/* Both classes of who[0..n) count min(right, wrong) in all. */
static void balance(double *weight, const double *label, const int32_t *who, int64_t n) {
    double n_class[2] = {0, 0};
    for (int64_t k = 0; k < n; k++) n_class[label[who[k]] > 0.5] += 1;
    double least = fmin(n_class[0], n_class[1]);
    for (int64_t k = 0; k < n; k++) weight[who[k]] = least / n_class[label[who[k]] > 0.5];
}

rung_status rung_loss_weights(double *weight, rung_loss_balance b, const double *label,
                              const int32_t *group, int64_t n, rung_error *err) {
    for (int64_t s = 0; s < n; s++) weight[s] = 1;
    if (b == RUNG_BALANCE_NONE || n == 0) return RUNG_OK;
    int64_t n_in;
    int32_t *who = rung_loss_group_order(&n_in, group, n);
    if (!who)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for weights of %lld samples", (long long)n);
    if (b == RUNG_BALANCE_DATASET) {
        balance(weight, label, who, n_in);
    } else {
        for (int64_t i = 0, end; i < n_in; i = end) {
            for (end = i + 1; end < n_in && group[who[end]] == group[who[i]];) end++;
            balance(weight, label, who + i, end - i);
        }
    }
    rung_free(who);
    return RUNG_OK;
}
