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
 * lowered until they hold enough weight, then popped from a heap; the k largest come from one pass.
 */
#include "model/model_impl.h"

#include <math.h>
#include <string.h>

/* The compilers' own vectors (gcc, clang), as wide as a register of the machine built for. */
#ifdef __AVX__
#define LANES 8
#else
#define LANES 4
#endif
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef double dvec __attribute__((vector_size(8 * LANES)));

static inline vec load(const float *p) {
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline vec select_vec(ivec mask, vec a, vec b) {
    return (vec)((mask & (ivec)a) | (~mask & (ivec)b));
}

static inline vec all(float x) {
    return (vec){0} + x;
}

/* exp(x) for x <= 0 to a few units in the last place of f32. Below -87 f32 has only subnormals
 * left: 0. */
#define EXP_FLOOR (-87.0f)

static inline vec exp_neg(vec x) {
    ivec tiny = x < all(EXP_FLOOR);
    vec c = select_vec(tiny, all(EXP_FLOOR), x);
    vec k = (c * 1.44269504f + 12582912.0f) - 12582912.0f; /* 1.5 * 2^23: rounds to an integer */
    vec f = (c - k * 0.693359375f) - k * -2.12194440e-4f;  /* ln 2 in two parts */
    vec p = f * 1.9875691e-4f + 1.3981999e-3f;
    p = p * f + 8.3334519e-3f;
    p = p * f + 4.1665796e-2f;
    p = p * f + 1.6666666e-1f;
    p = p * f + 5.0e-1f;
    p = p * (f * f) + f + 1.0f;
    ivec scale = (__builtin_convertvector(k, ivec) + 127) << 23;
    return select_vec(tiny, all(0.0f), p * (vec)scale);
}

/* The last, partial lanes: what is missing reads as `fill`. */
static inline vec load_tail(const float *p, int32_t n, float fill) {
    vec v = all(fill);
    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
}

/* Maximum; false when a logit is NaN or none is finite or one is +inf. */
static bool find_max(float *max, const float *z, int32_t n) {
    vec best = all(-INFINITY);
    ivec bad = {0};
    for (int32_t i = 0; i < n; i += LANES) {
        vec v = i + LANES <= n ? load(z + i) : load_tail(z + i, n - i, -INFINITY);
        bad |= v != v;
        best = select_vec(v > best, v, best);
    }
    float m = best[0];
    int32_t any = bad[0];
    for (int j = 1; j < LANES; j++) {
        m = best[j] > m ? best[j] : m;
        any |= bad[j];
    }
    *max = m;
    return !any && m > -INFINITY && m < INFINITY;
}

/* Sum of exp((z - max) * inv_t), in f64 over fixed lanes; the terms go to w when it is not NULL. */
static double sum_exp(float *w, const float *z, int32_t n, float max, float inv_t) {
    dvec acc = {0};
    for (int32_t i = 0; i < n; i += LANES) {
        int32_t left = n - i;
        vec v = left >= LANES ? load(z + i) : load_tail(z + i, left, -INFINITY);
        vec e = exp_neg((v - max) * inv_t);
        acc += __builtin_convertvector(e, dvec);
        if (w) memcpy(w + i, &e, (size_t)(left < LANES ? left : LANES) * sizeof *w);
    }
    double s = 0.0;
    for (int j = 0; j < LANES; j++) s += acc[j];
    return s;
}

/* a before b in the order of the cuts: larger logit, then lower id. */
static bool before(const float *z, int32_t a, int32_t b) {
    return z[a] > z[b] || (z[a] == z[b] && a < b);
}

/* Restores the heap below node i; on top lies the first in order, or with `last` the last. */
static void sift_down(int32_t *heap, int32_t n, int32_t i, const float *z, bool last) {
    int32_t item = heap[i];
    for (;;) {
        int32_t c = 2 * i + 1;
        if (c >= n) break;
        if (c + 1 < n && before(z, heap[c + 1], heap[c]) != last) c++;
        if (before(z, heap[c], item) == last) break;
        heap[i] = heap[c];
        i = c;
    }
    heap[i] = item;
}

static void make_heap(int32_t *heap, int32_t n, const float *z, bool last) {
    for (int32_t i = n / 2 - 1; i >= 0; i--) sift_down(heap, n, i, z, last);
}

/* The top of heap[0..n) moves to its end: popped ids fill the array from the back. */
static int32_t pop(int32_t *heap, int32_t *n, const float *z, bool last) {
    int32_t top = heap[0];
    heap[0] = heap[--*n];
    if (*n > 0) sift_down(heap, *n, 0, z, last);
    heap[*n] = top;
    return top;
}

static inline bool none_at_least(const float *z, float floor) {
    ivec in = load(z) >= all(floor);
    int64_t half[LANES / 2], any = 0;
    memcpy(half, &in, sizeof half);
    for (int j = 0; j < LANES / 2; j++) any |= half[j];
    return any == 0;
}

/* The k first in order, first at id[0]: a heap with the worst of the best on top. */
static void top_k(int32_t *id, const float *z, int32_t n, int32_t k) {
    int32_t i = 0, left = k;
    for (; i < k; i++) id[i] = i;
    make_heap(id, k, z, true);
    while (i < n) {
        if (i + LANES <= n && none_at_least(z + i, z[id[0]])) {
            i += LANES;
            continue;
        }
        int32_t end = i + LANES < n ? i + LANES : n;
        for (; i < end; i++) {
            if (!before(z, i, id[0])) continue;
            id[0] = i;
            sift_down(id, k, 0, z, true);
        }
    }
    while (left > 0) (void)pop(id, &left, z, true);
}

/* Ids with z >= floor, in id order; their weight in *mass. */
static int32_t collect(int32_t *id, double *mass, const float *z, const float *w, int32_t n,
                       float floor) {
    int32_t m = 0;
    double s = 0.0;
    for (int32_t i = 0; i < n; i += LANES) {
        int32_t end = i + LANES < n ? i + LANES : n;
        if (end - i == LANES && none_at_least(z + i, floor)) continue;
        for (int32_t j = i; j < end; j++) {
            if (z[j] >= floor) id[m++] = j, s += (double)w[j];
        }
    }
    *mass = s;
    return m;
}

static void reverse(int32_t *id, int32_t n) {
    for (int32_t i = 0, j = n - 1; i < j; i++, j--) {
        int32_t t = id[i];
        id[i] = id[j];
        id[j] = t;
    }
}

/* The smallest head of the order whose weight reaches goal, first at id[0]; returns its length.
 * Candidates are those above a threshold that sinks until they weigh enough. 8 units below the
 * maximum a token has 1/3000 of its weight: the first try suffices unless the distribution is flat.
 */
static int32_t top_p(int32_t *id, const float *z, const float *w, int32_t n, float max, double t,
                     double goal) {
    int32_t m = 0, left, kept = 0;
    double mass = 0.0, sum = 0.0;
    for (double depth = 8.0;; depth *= 1.5) {
        float floor = depth > 512.0 ? -INFINITY : (float)((double)max - depth * t);
        m = collect(id, &mass, z, w, n, floor);
        if (floor == -INFINITY || mass >= goal) break;
    }
    make_heap(id, m, z, false);
    for (left = m; left > 0 && sum < goal; kept++) sum += (double)w[pop(id, &left, z, false)];
    reverse(id, m);
    return kept;
}

/* What the cuts of s keep: id[0..returned), in order (with min_p alone in id order). */
static int32_t cut(int32_t *id, const float *z, const float *w, int32_t n, float max, double total,
                   const rung_sampling *s) {
    bool by_k = s->top_k > 0 && s->top_k < n, by_p = s->top_p < 1.0;
    double t = s->temperature, sum = 0.0, run = 0.0;
    /* w_i >= min_p, in the logits; the maximum always stays */
    float floor = s->min_p > 0.0 ? (float)((double)max + t * log(s->min_p)) : -INFINITY;
    int32_t kept;
    if (by_k) {
        kept = s->top_k;
        top_k(id, z, n, kept);
        for (int32_t i = 0; i < kept; i++) sum += (double)w[id[i]];
        if (by_p) { /* share of the k survivors */
            int32_t i = 0;
            while (i < kept && run < s->top_p * sum) run += (double)w[id[i++]];
            kept = i;
        }
    } else if (by_p) {
        kept = top_p(id, z, w, n, max, t, s->top_p * total);
    } else {
        return collect(id, &sum, z, w, n, floor);
    }
    while (kept > 1 && z[id[kept - 1]] < floor) kept--;
    return kept;
}

static int32_t argmax(const float *z, int32_t n, float max) {
    for (int32_t i = 0; i < n; i++) {
        if (z[i] == max) return i;
    }
    return n - 1;
}

/* First id at which the running sum of w passes `goal`; sums of 256 at a time skip ahead. */
static int32_t draw_all(const float *w, int32_t n, double goal) {
    double run = 0.0;
    int32_t last = 0, i = 0;
    for (; i + 256 <= n; i += 256) {
        dvec acc = {0};
        for (int j = 0; j < 256; j += LANES) acc += __builtin_convertvector(load(w + i + j), dvec);
        double sum = 0.0;
        for (int j = 0; j < LANES; j++) sum += acc[j];
        if (run + sum > goal) break;
        run += sum;
    }
    int32_t from = i;
    for (; i < n; i++) {
        if (!(w[i] > 0.0f)) continue;
        run += (double)w[i];
        last = i;
        if (run > goal) return i;
    }
    for (i = from - 1; last < from && i > last; i--) { /* rounding ate the end: last that can be */
        if (w[i] > 0.0f) last = i;
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
            int32_t kept = cut(id, logits, w, n, max, total, s);
            double sum = 0.0, run = 0.0;
            for (int32_t i = 0; i < kept; i++) sum += (double)w[id[i]];
            tok = id[0];
            for (int32_t i = 0; i < kept && !(run > u * sum); i++) {
                if (w[id[i]] > 0.0f) tok = id[i];
                run += (double)w[id[i]];
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
