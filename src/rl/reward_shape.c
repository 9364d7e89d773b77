/* What is done to rewards before the table: KL, soft minimum, overlong penalty, votes. */
#include "rung/advantage.h"

#include <math.h>
#include <string.h>

/* exp of this is no ratio any more; an estimate of more than KL_MAX is a token gone wrong
 * (learning.md 4.2 K). */
#define LOG_RATIO_MAX 20.0
#define KL_MAX        10.0

bool rung_kl_find(rung_kl_kind *out, const char *name) {
    static const struct {
        const char *name;
        rung_kl_kind kind;
    } kinds[] = {{"k1", RUNG_KL_K1},        {"kl", RUNG_KL_K1},  {"abs", RUNG_KL_ABS},
                 {"k2", RUNG_KL_K2},        {"mse", RUNG_KL_K2}, {"k3", RUNG_KL_K3},
                 {"low_var_kl", RUNG_KL_K3}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].name, name) != 0) continue;
        *out = kinds[i].kind;
        return true;
    }
    return false;
}

double rung_kl_of(rung_kl_kind kind, double logprob, double ref) {
    double d = logprob - ref, cut = fmin(fmax(d, -LOG_RATIO_MAX), LOG_RATIO_MAX);
    switch (kind) {
    case RUNG_KL_ABS: return fabs(d);
    case RUNG_KL_K2: return d * d / 2;
    case RUNG_KL_K3: return isnan(d) ? d : fmin(expm1(-cut) + cut, KL_MAX);
    default: return d;
    }
}

double rung_kl_adapt(double beta, double kl, double target, double step) {
    double off = kl / target - 1;
    return beta * (1 + step * fmin(fmax(off, -.2), .2));
}

void rung_softmin_rewards(double *out, const double *reward, int64_t n, double temperature) {
    double low = (double)INFINITY, sum = 0;
    for (int64_t h = 0; h < n; h++) low = fmin(low, reward[h]);
    for (int64_t h = 0; h < n; h++) sum += exp((low - reward[h]) / temperature);
    for (int64_t h = 0; h < n; h++) out[h] = exp((low - reward[h]) / temperature) / sum * reward[h];
}

double rung_overlong_penalty(int64_t n_tok, int64_t length_max, int64_t cache) {
    if (n_tok > length_max) return -1;
    if (cache <= 0 || n_tok <= length_max - cache) return 0;
    return (double)(length_max - cache - n_tok) / (double)cache;
}

static const char *const votes[RUNG_VOTE_COUNT] = {
#define X(id, name, help) name,
    RUNG_VOTES(X)
#undef X
};

bool rung_vote_find(rung_vote *out, const char *name) {
    for (int i = 0; i < RUNG_VOTE_COUNT; i++) {
        if (strcmp(votes[i], name) != 0) continue;
        *out = (rung_vote)i;
        return true;
    }
    return false;
}

const char *rung_vote_name(rung_vote v) {
    return (unsigned)v < RUNG_VOTE_COUNT ? votes[v] : "?";
}

void rung_vote_steps(double *weight, rung_vote vote, const uint8_t *wrong, const uint8_t *usable,
                     int32_t n_critiques, int32_t n_steps) {
    int32_t n = 0;
    for (int32_t c = 0; c < n_critiques; c++) n += !usable || usable[c];
    if (vote == RUNG_VOTE_GREEDY && n > 1) n = 1;
    for (int32_t s = 0; s < n_steps; s++) {
        int32_t count = 0, seen = 0;
        for (int32_t c = 0; c < n_critiques && seen < n; c++) {
            if (usable && !usable[c]) continue;
            count += wrong[(int64_t)c * n_steps + s] != 0;
            seen++;
        }
        switch (vote) {
        case RUNG_VOTE_INTERSECTION: weight[s] = n > 0 && count == n; break;
        case RUNG_VOTE_MAJORITY: weight[s] = count > 0 && 2 * count >= n; break;
        case RUNG_VOTE_AVERAGE: weight[s] = n > 0 ? (double)count / n : 0; break;
        default: weight[s] = count > 0; break;
        }
    }
}
