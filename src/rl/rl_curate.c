/* Which groups, and which answers of a group, are trained on. */
#include "rung/rl.h"

#include <math.h>
#include <stdlib.h>

const char *rung_rl_filter_group(const rung_rl_filter *f, const double *outcome,
                                 const uint8_t *known, int32_t n) {
    double sum = 0, lo = (double)INFINITY, hi = -(double)INFINITY;
    int32_t n_known = 0;
    for (int32_t i = 0; i < n; i++) {
        if (!known[i]) continue;
        n_known++;
        sum += outcome[i];
        lo = fmin(lo, outcome[i]);
        hi = fmax(hi, outcome[i]);
    }
    if (n_known < 2) return "unknown";
    double rate = sum / n_known, top = f->pass_hi == 0 ? 1 : f->pass_hi;
    if (rate < f->pass_lo) return "pass_low";
    if (rate > top) return "pass_high";
    if (lo == hi && !f->keep_flat) return "flat";
    return NULL;
}

/* A trace of one step or of this many has an odd length: rewards.md 9 */
enum { PROF_STEPS_MAX = 30 };
#define PROF_LENGTH 10.0 /* lambda there */

typedef struct ranked {
    double key;
    int32_t i;
} ranked;

static int smallest_first(const void *x, const void *y) {
    const ranked *a = x, *b = y;
    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    return (a->i > b->i) - (a->i < b->i);
}

/* c = mean score - lambda 1[H = 1 or H >= H_max] o, o = +1 or -1: an odd length is dropped first on
 * both sides; so is a score that could not be had (NaN). Kept first = smallest key. */
static double prof_key(bool right, double score, int32_t steps, bool with_steps, bool both,
                       int32_t i) {
    bool odd = with_steps && (steps <= 1 || steps >= PROF_STEPS_MAX);
    if (!right && !both) return i;
    if (isnan(score)) return (double)INFINITY;
    return (right ? -score : score) + (odd ? PROF_LENGTH : 0);
}

int32_t rung_rl_prof(uint8_t *keep, const double *outcome, const double *score,
                     const int32_t *n_steps, int32_t n, int32_t m, bool both) {
    int32_t n_right = 0, taken = 0;
    ranked *r = rung_alloc(((size_t)n + 1) * sizeof *r);
    if (m > n) m = n;
    for (int32_t i = 0; i < n; i++) {
        keep[i] = r == NULL && i < m;
        n_right += outcome[i] > 0;
    }
    if (!r) return m;
    int32_t lo = m - (n - n_right) > 0 ? m - (n - n_right) : 0, hi = n_right < m ? n_right : m;
    int32_t k = (m + 1) / 2; /* as near half as the limits allow, half rounded up */
    k = k < lo ? lo : k > hi ? hi : k;
    for (int side = 0; side < 2; side++) {
        int32_t count = 0, want = side == 0 ? k : m - k;
        for (int32_t i = 0; i < n; i++) {
            bool right = outcome[i] > 0;
            if (right != (side == 0)) continue;
            r[count++] = (ranked){
                prof_key(right, score[i], n_steps ? n_steps[i] : 0, n_steps != NULL, both, i), i};
        }
        qsort(r, (size_t)count, sizeof *r, smallest_first);
        for (int32_t q = 0; q < count && q < want; q++) {
            keep[r[q].i] = 1;
            taken++;
        }
    }
    rung_free(r);
    return taken;
}
