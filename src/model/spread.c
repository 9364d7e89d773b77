/* How spread out the model's distribution of a place is: its entropy, and how far it is from
 * uniform (self-certainty, Kang et al. 2025, from memory). */
#include "model/engine_local.h"

#include <math.h>

/* entropy = ln Z - sum p z; certainty = KL(uniform || p) = ln Z - mean z - ln n, with z relative to
 * the largest. Logits of -inf are tokens that cannot come: they are not counted. */
void rung_spread(float *entropy, float *certainty, const float *logits, int32_t n) {
    float most = -INFINITY;
    double sum = 0.0, weighted = 0.0, plain = 0.0;
    int32_t have = 0;
    for (int32_t i = 0; i < n; i++) most = logits[i] > most ? logits[i] : most;
    for (int32_t i = 0; i < n; i++) {
        if (!(logits[i] > -INFINITY)) continue;
        double z = (double)logits[i] - (double)most, w = exp(z);
        sum += w;
        weighted += w * z;
        plain += z;
        have++;
    }
    if (have == 0) {
        *entropy = *certainty = NAN;
        return;
    }
    double log_z = log(sum), h = log_z - weighted / sum;
    double kl = log_z - plain / (double)have - log((double)have);
    *entropy = (float)fmax(h, 0.0); /* rounding alone goes below */
    *certainty = (float)fmax(kl, 0.0);
}
