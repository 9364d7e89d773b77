/* One token from logits: exact truncation, no full sort, draws addressed by the caller.
 *
 * With z_i the logits and m their maximum, w_i = exp((z_i - m) / T). In this order (that of the
 * common Python samplers): temperature, then top_k (the k largest), then top_p (the smallest head
 * of the sorted survivors whose share of the survivors' weight reaches p), then min_p (w_i >=
 * min_p). The token is the one where the running sum of the kept weights passes u * total; kept
 * tokens are walked in id order when nothing is cut, from the last id down with min_p alone, else
 * from the largest down (ties: lower id first).
 *
 * Only what a cut needs is ordered: candidates are collected by a threshold on the logits that is
 * lowered until they hold enough weight (or k tokens), then popped from a heap. */
#include "model/model_impl.h"

#include <math.h>
#include <string.h>

#define LANES 16
/* exp(x) for x <= 0 to a few units in the last place of f32, in plain operations so that compilers
 * vectorise it. Below -87 f32 has only subnormals left: 0. */
#define EXP_FLOOR (-87.0f)

static inline float exp_neg(float x) {
    float c = x < EXP_FLOOR ? EXP_FLOOR : x;
    float k = (c * 1.44269504f + 12582912.0f) - 12582912.0f; /* 1.5 * 2^23: rounds to an integer */
    float f = (c - k * 0.693359375f) - k * -2.12194440e-4f;  /* ln 2 in two parts */
    float p = 1.9875691e-4f;
    p = p * f + 1.3981999e-3f;
    p = p * f + 8.3334519e-3f;
    p = p * f + 4.1665796e-2f;
    p = p * f + 1.6666666e-1f;
    p = p * f + 5.0e-1f;
    p = p * (f * f) + f + 1.0f;
    union {
        int32_t i;
        float f;
    } scale = {.i = ((int32_t)k + 127) << 23};
    return x < EXP_FLOOR ? 0.0f : p * scale.f;
}

/* Maximum; false when a logit is NaN or none is finite or one is +inf. */
static bool find_max(float *max, const float *z, int32_t n) {
    float best[LANES];
    int32_t bad[LANES], i = 0;
    for (int j = 0; j < LANES; j++) best[j] = -INFINITY, bad[j] = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            float v = z[i + j];
            best[j] = v > best[j] ? v : best[j];
            bad[j] |= v != v;
        }
    }
    for (; i < n; i++) {
        best[0] = z[i] > best[0] ? z[i] : best[0];
        bad[0] |= z[i] != z[i];
    }
    for (int j = 1; j < LANES; j++) {
        best[0] = best[j] > best[0] ? best[j] : best[0];
        bad[0] |= bad[j];
    }
    *max = best[0];
    return !bad[0] && best[0] > -INFINITY && best[0] < INFINITY;
}

/* Sum of exp((z - max) * inv_t), in f64 over fixed lanes; the terms go to w when it is not NULL. */
static double sum_exp(float *w, const float *z, int32_t n, float max, float inv_t) {
    double acc[LANES] = {0};
    float e[LANES];
    int32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int j = 0; j < LANES; j++) e[j] = exp_neg((z[i + j] - max) * inv_t);
        for (int j = 0; j < LANES; j++) acc[j] += (double)e[j];
        if (w) memcpy(w + i, e, sizeof e);
    }
    for (; i < n; i++) {
        float v = exp_neg((z[i] - max) * inv_t);
        if (w) w[i] = v;
        acc[0] += (double)v;
    }
    double s = 0.0;
    for (int j = 0; j < LANES; j++) s += acc[j];
    return s;
}

/* a before b in the order of the cuts: larger logit, then lower id. */
static bool before(const float *z, int32_t a, int32_t b) {
    return z[a] > z[b] || (z[a] == z[b] && a < b);
}

/* Restores the heap (first in order on top) below node i. */
static void sift_down(int32_t *heap, int32_t n, int32_t i, const float *z) {
    int32_t item = heap[i];
    for (;;) {
        int32_t c = 2 * i + 1;
        if (c >= n) break;
        if (c + 1 < n && before(z, heap[c + 1], heap[c])) c++;
        if (!before(z, heap[c], item)) break;
        heap[i] = heap[c];
        i = c;
    }
    heap[i] = item;
}

/* Pops the first of heap[0..n) to its end, so that popped ids lie at the array's end, last first.
 */
static int32_t pop(int32_t *heap, int32_t *n, const float *z) {
    int32_t top = heap[0];
    heap[0] = heap[--*n];
    if (*n > 0) sift_down(heap, *n, 0, z);
    heap[*n] = top;
    return top;
}

/* Ids with z >= floor, in id order; their weight in *mass. */
static int32_t collect(int32_t *id, double *mass, const float *z, const float *w, int32_t n,
                       float floor) {
    int32_t m = 0, i = 0;
    double s = 0.0;
    for (; i + LANES <= n; i += LANES) {
        int any = 0;
        for (int j = 0; j < LANES; j++) any |= z[i + j] >= floor;
        if (!any) continue;
        for (int j = 0; j < LANES; j++) {
            if (z[i + j] >= floor) id[m++] = i + j, s += (double)w[i + j];
        }
    }
    for (; i < n; i++) {
        if (z[i] >= floor) id[m++] = i, s += (double)w[i];
    }
    *mass = s;
    return m;
}

/* What the cuts of s keep: the last `kept` (returned) of the *n_all ids in id, largest last. */
static int32_t cut(int32_t *id, int32_t *n_all, const float *z, const float *w, int32_t n,
                   float max, double total, const rung_sampling *s) {
    int32_t k = s->top_k > 0 && s->top_k < n ? s->top_k : n;
    bool by_p = s->top_p < 1.0;
    double t = s->temperature, mass = 0.0, goal = s->top_p * total;
    float floor = -INFINITY;
    int32_t m = 0;
    if (s->min_p > 0.0) { /* w_i >= min_p; exact in the logits, as the maximum is kept anyway */
        floor = (float)((double)max + t * log(s->min_p < 1.0 ? s->min_p : 1.0));
    }
    if (k == n && !by_p) {
        m = collect(id, &mass, z, w, n, floor);
    } else {
        /* 8 units below the maximum a token has 1/3000 of its weight: the first try suffices when
         * the distribution is not flat. */
        for (double depth = 8.0;; depth *= 2.0) {
            float lim = depth > 512.0 ? -INFINITY : (float)((double)max - depth * t);
            m = collect(id, &mass, z, w, n, lim);
            if (lim == -INFINITY || m >= k || (k == n && mass >= goal)) break;
        }
    }
    *n_all = m;
    if (k == n && !by_p) return m; /* min_p alone: the draw needs no order */
    for (int32_t i = m / 2 - 1; i >= 0; i--) sift_down(id, m, i, z);
    int32_t left = m, kept = 0;
    double sum = 0.0;
    while (left > 0 && kept < k && (k < n || sum < goal)) {
        sum += (double)w[pop(id, &left, z)];
        kept++;
    }
    if (k < n && by_p) { /* share of the k survivors */
        double need = s->top_p * sum, run = 0.0;
        int32_t i = 0;
        while (i < kept && run < need) run += (double)w[id[m - 1 - i++]];
        kept = i > 0 ? i : 1;
    }
    while (kept > 1 && z[id[m - kept]] < floor) kept--;
    return kept;
}

static int32_t argmax(const float *z, int32_t n, float max) {
    for (int32_t i = 0; i < n; i++) {
        if (z[i] == max) return i;
    }
    return n - 1;
}

static int32_t draw_all(const float *w, int32_t n, double goal) {
    double run = 0.0;
    int32_t last = 0;
    for (int32_t i = 0; i < n; i++) {
        if (!(w[i] > 0.0f)) continue;
        run += (double)w[i];
        last = i;
        if (run > goal) break;
    }
    return last;
}

int32_t rung_sample_token(double *logprob, const float *logits, int32_t n, const rung_sampling *s,
                          double u, void *scratch) {
    float *w = scratch, max;
    int32_t *id = (int32_t *)(void *)(w + n), tok;
    if (n < 1 || !find_max(&max, logits, n)) return -1;
    double z1 = 0.0;
    if (s->temperature <= 0.0) {
        tok = argmax(logits, n, max);
    } else {
        double total = sum_exp(w, logits, n, max, (float)(1.0 / s->temperature));
        if (s->temperature == 1.0) z1 = total;
        bool cuts = (s->top_k > 0 && s->top_k < n) || s->top_p < 1.0 || s->min_p > 0.0;
        if (!cuts) {
            tok = draw_all(w, n, u * total);
        } else {
            int32_t m = 0, kept = cut(id, &m, logits, w, n, max, total, s);
            double sum = 0.0, run = 0.0;
            for (int32_t i = 0; i < kept; i++) sum += (double)w[id[m - 1 - i]];
            tok = id[m - 1];
            for (int32_t i = 0; i < kept && !(run > u * sum); i++) {
                if (w[id[m - 1 - i]] > 0.0f) tok = id[m - 1 - i];
                run += (double)w[id[m - 1 - i]];
            }
        }
    }
    if (logprob) {
        if (z1 == 0.0) z1 = sum_exp(NULL, logits, n, max, 1.0f);
        *logprob = ((double)logits[tok] - (double)max) - log(z1);
    }
    return tok;
}

double rung_logprob_of(const float *logits, int32_t n, int32_t tok) {
    float max;
    if (n < 1 || !find_max(&max, logits, n)) return (double)NAN;
    double z = sum_exp(NULL, logits, n, max, 1.0f);
    return ((double)logits[tok] - (double)max) - log(z);
}
