/* The likeliest tokens of a place, for interfaces that show them. */
#include "model/engine_local.h"

#include <math.h>

void rung_top_logprobs(int32_t *tok, float *logprob, int32_t k, const float *logits, int32_t n) {
    float most = -INFINITY;
    double sum = 0.0;
    int32_t have = 0;
    for (int32_t i = 0; i < n; i++) most = logits[i] > most ? logits[i] : most;
    for (int32_t i = 0; i < n; i++) {
        float z = logits[i];
        sum += exp((double)z - (double)most);
        if (have == k && !(z > logits[tok[k - 1]])) continue;
        int32_t at = have < k ? have++ : k - 1;
        for (; at > 0 && z > logits[tok[at - 1]]; at--) tok[at] = tok[at - 1];
        tok[at] = i;
    }
    double norm = (double)most + log(sum);
    for (int32_t i = 0; i < have; i++) logprob[i] = (float)((double)logits[tok[i]] - norm);
    for (int32_t i = have; i < k; i++) { /* more were asked for than there are */
        tok[i] = -1;
        logprob[i] = -INFINITY;
    }
}
