/* One token from logits: exact cuts, no full sort, draws addressed by the caller.
 *
 * The row is read once, in blocks of 256 (sampler_kernel.h): maximum and sum of exp(z) of each. The
 * sums give the model's logprob and, at T = 1 or with their twins at T, the block that an uncut
 * draw falls into; only that block is looked at again. What a cut keeps is always "all that is not
 * after (z, id)" in the order larger logit, then lower id. Candidates come from blocks whose
 * maximum reaches a threshold, and the border among them from a partition by weight or by count,
 * not a sort. Biases and penalties change copies of the blocks that they touch. */
#include "model/sampler.h"
#include "model/sampler_kernel.h"

#include <math.h>
#include <string.h>

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#define T_ARGMAX 1e-6 /* no colder: logits in f32 differ by more than that or not at all */

typedef struct border {
    float z;
    int32_t id; /* kept: z larger, or equal and no higher id */
} border;

typedef struct item {
    float z;
    int32_t id;
    double w;
} item;

typedef struct row {
    const sampler_kernel *k;
    int32_t n, n_blocks;
    sampler_block *b;
    float *own; /* [n_blocks][256]: copies of blocks that are changed or cut short */
    int32_t *id;
    float *z; /* candidates, in id order */
    item *item;
    float max; /* of the row as it is drawn from */
    double temperature;
} row;

static size_t padded(int32_t n) {
    return ((size_t)n + SAMPLER_BLOCK - 1) / SAMPLER_BLOCK * SAMPLER_BLOCK;
}

size_t rung_sample_scratch(int32_t n) {
    size_t m = padded(n);
    return m * (sizeof(item) + 2 * sizeof(float) + sizeof(int32_t)) +
           m / SAMPLER_BLOCK * sizeof(sampler_block) + 64;
}

static void row_init(row *r, const float *logits, int32_t n, const sampler_kernel *k,
                     void *scratch) {
    size_t m = padded(n);
    *r = (row){.k = k, .n = n, .n_blocks = (int32_t)(m / SAMPLER_BLOCK)};
    r->item = scratch;
    r->b = (sampler_block *)(void *)(r->item + m);
    r->own = (float *)(void *)(r->b + r->n_blocks);
    r->z = r->own + m;
    r->id = (int32_t *)(void *)(r->z + m);
    for (int32_t i = 0; i < r->n_blocks; i++) r->b[i].z = logits + (size_t)i * SAMPLER_BLOCK;
    if (m > (size_t)n) { /* the last block is short: a copy filled up */
        int32_t last = r->n_blocks - 1, from = last * SAMPLER_BLOCK;
        float *own = r->own + from;
        for (int32_t i = 0; i < SAMPLER_BLOCK; i++)
            own[i] = from + i < n ? logits[from + i] : -INFINITY;
        r->b[last].z = own;
    }
}

/* Sum over the blocks relative to max; NaN when a logit is. */
static double total_of(const row *r, double max, double t, bool hot) {
    double sum = 0.0, scale = 0.0;
    float ref = NAN;
    for (int32_t i = 0; i < r->n_blocks; i++) {
        const sampler_block *b = &r->b[i];
        if (b->ref != ref) scale = exp(((double)(ref = b->ref) - max) / t);
        sum += (double)(hot ? b->sum_t : b->sum) * scale;
    }
    return sum;
}

/* --- what a cut keeps ------------------------------------------------------------------------- */

static bool before(const item *a, const item *b) {
    return a->z > b->z || (a->z == b->z && a->id < b->id);
}

static void swap(item *a, item *b) {
    item t = *a;
    *a = *b;
    *b = t;
}

static void sort_few(item *x, int32_t n) {
    for (int32_t i = 1; i < n; i++) {
        item v = x[i];
        int32_t j = i;
        for (; j > 0 && before(&v, &x[j - 1]); j--) x[j] = x[j - 1];
        x[j] = v;
    }
}

/* Puts those before the pivot first; returns the pivot's place. */
static int32_t partition(item *x, int32_t n) {
    int32_t mid = n / 2;
    if (before(&x[mid], &x[0])) swap(&x[mid], &x[0]);
    if (before(&x[n - 1], &x[0])) swap(&x[n - 1], &x[0]);
    if (before(&x[n - 1], &x[mid])) swap(&x[n - 1], &x[mid]);
    swap(&x[mid], &x[n - 1]);
    int32_t to = 0;
    for (int32_t i = 0; i < n - 1; i++) {
        if (before(&x[i], &x[n - 1])) swap(&x[i], &x[to++]);
    }
    swap(&x[to], &x[n - 1]);
    return to;
}

/* The last item of the smallest head whose weight reaches goal (of all when none does). */
static border head(item *x, int32_t n, double goal) {
    enum { FEW = 24 };
    double sum = 0.0;
    while (n > FEW) {
        int32_t p = partition(x, n);
        double left = sum;
        for (int32_t i = 0; i < p; i++) left += x[i].w;
        if (left >= goal) {
            n = p;
        } else if (left + x[p].w >= goal || p + 1 == n) {
            return (border){x[p].z, x[p].id};
        } else {
            sum = left + x[p].w;
            x += p + 1;
            n -= p + 1;
        }
    }
    sort_few(x, n);
    int32_t i = 0;
    while (i + 1 < n && (sum += x[i].w) < goal) i++;
    return (border){x[i].z, x[i].id};
}

/* Candidates with z >= floor, in id order. */
static int32_t collect(row *r, float floor) {
    int32_t n = 0;
    for (int32_t i = 0; i < r->n_blocks; i++) {
        if (!(r->b[i].max >= floor)) continue;
        n += r->k->collect(r->id + n, r->z + n, r->b[i].z, i * SAMPLER_BLOCK, floor);
    }
    while (n > 0 && r->id[n - 1] >= r->n) n--; /* floor -inf takes the filling, too */
    return n;
}

static int32_t keep(row *r, int32_t n, border b) {
    int32_t m = 0;
    for (int32_t i = 0; i < n; i++) {
        if (r->z[i] < b.z || (r->z[i] == b.z && r->id[i] > b.id)) continue;
        r->id[m] = r->id[i];
        r->z[m++] = r->z[i];
    }
    return m;
}

/* Items of the n candidates with weights at temperature t; returns their sum. */
static double weigh(row *r, int32_t n, double t) {
    exp_scale c = rung_exp_scale(t);
    float in[SAMPLER_BLOCK], w[SAMPLER_BLOCK];
    double sum = 0.0;
    for (int32_t i = 0; i < n; i += SAMPLER_BLOCK) {
        int32_t m = n - i < SAMPLER_BLOCK ? n - i : SAMPLER_BLOCK;
        memcpy(in, r->z + i, (size_t)m * sizeof *in);
        for (int32_t j = m; j < SAMPLER_BLOCK; j++) in[j] = -INFINITY;
        r->k->weights(w, in, r->max, &c);
        for (int32_t j = 0; j < m; j++) {
            r->item[i + j] = (item){r->z[i + j], r->id[i + j], (double)w[j]};
            sum += (double)w[j];
        }
    }
    return sum;
}

static int by_size(float *x, int32_t n, int32_t k) { /* x[k] as if sorted, largest first */
    int32_t lo = 0, hi = n - 1;
    while (lo < hi) {
        float p = x[lo + (hi - lo) / 2];
        int32_t i = lo, j = hi;
        while (i <= j) {
            while (x[i] > p) i++;
            while (x[j] < p) j--;
            if (i > j) break;
            float t = x[i];
            x[i++] = x[j];
            x[j--] = t;
        }
        if (k <= j)
            hi = j;
        else if (k >= i)
            lo = i;
        else
            break;
    }
    return k;
}

/* The k largest of n candidates, of equal ones the lower ids. */
static int32_t keep_k(row *r, int32_t n, int32_t k) {
    if (n <= k) return n;
    float *x = (float *)(void *)r->item;
    int32_t equal = k, m = 0;
    memcpy(x, r->z, (size_t)n * sizeof *x);
    float least = x[by_size(x, n, k - 1)];
    for (int32_t i = 0; i < n; i++) equal -= r->z[i] > least;
    for (int32_t i = 0; i < n; i++) {
        if (r->z[i] < least || (r->z[i] == least && equal-- <= 0)) continue;
        r->id[m] = r->id[i];
        r->z[m++] = r->z[i];
    }
    return m;
}

/* The k largest. k blocks whose maxima reach a threshold hold k tokens that do. */
static int32_t cut_top_k(row *r, int32_t k) {
    enum { SMALL = 4096 }; /* so few are all looked at */
    int32_t n = 0;
    if (k <= r->n_blocks) {
        for (int32_t i = 0; i < r->n_blocks; i++) r->z[i] = r->b[i].max;
        n = collect(r, r->z[by_size(r->z, r->n_blocks, k - 1)]);
    } else if (r->n <= SMALL) {
        n = collect(r, -INFINITY);
    } else {
        for (float depth = 4.0f; n < k; depth *= 1.5f)
            n = collect(r, depth > 512.0f ? -INFINITY : r->max - depth);
    }
    return keep_k(r, n, k);
}

/* The head of weight p. 8 T below the maximum a token has 1/3000 of its weight: the first threshold
 * suffices unless the distribution is flat. */
static int32_t cut_top_p(row *r, double p, double t, double total) {
    int32_t n;
    for (double depth = 8.0;; depth *= 1.5) {
        float floor = depth > 512.0 ? -INFINITY : (float)((double)r->max - depth * t);
        n = collect(r, floor);
        double sum = weigh(r, n, t);
        if (floor == -INFINITY || sum >= p * total) break;
    }
    return keep(r, n, head(r->item, n, p * total));
}

static bool has_top_k(const row *r, const rung_sampling *s) {
    return s->top_k > 0 && s->top_k < r->n;
}

/* p >= min_p * largest p, in the logits; the largest itself always stays. */
static float min_p_floor(const row *r, const rung_sampling *s, double t) {
    float floor = s->min_p > 0.0 ? (float)((double)r->max + t * log(s->min_p)) : -INFINITY;
    return floor < r->max ? floor : r->max;
}

/* top_p over the n candidates that top_k left, then min_p. */
static int32_t cut_kept(row *r, const rung_sampling *s, double t, int32_t n) {
    if (s->top_p < 1.0) {
        double sum = weigh(r, n, t);
        n = keep(r, n, head(r->item, n, s->top_p * sum));
    }
    return keep(r, n, (border){min_p_floor(r, s, t), INT32_MAX});
}

/* The cuts of s; returns how many candidates stay. `hot`: the blocks' sums at the temperature of
 * the cuts are in sum_t. */
static int32_t cut(row *r, const rung_sampling *s, double t, bool hot) {
    if (has_top_k(r, s)) return cut_kept(r, s, t, cut_top_k(r, s->top_k));
    if (!(s->top_p < 1.0)) return collect(r, min_p_floor(r, s, t));
    int32_t n = cut_top_p(r, s->top_p, t, total_of(r, (double)r->max, t, hot));
    return keep(r, n, (border){min_p_floor(r, s, t), INT32_MAX});
}

/* --- draws ------------------------------------------------------------------------------------ */

static int32_t argmax(const row *r) {
    for (int32_t i = 0; i < r->n_blocks; i++) {
        if (r->b[i].max != r->max) continue;
        for (int32_t j = 0; j < SAMPLER_BLOCK; j++) {
            if (r->b[i].z[j] == r->max) return i * SAMPLER_BLOCK + j;
        }
    }
    return 0;
}

/* Where the running sum over all tokens, in id order, passes goal. The block is found by the sums;
 * when rounding takes the end of its walk, the last token of it that can be drawn is. */
static int32_t draw_uncut(const row *r, double goal, bool hot) {
    double run = 0.0, scale = 0.0;
    float ref = NAN, w[SAMPLER_BLOCK];
    exp_scale c = rung_exp_scale(r->temperature);
    for (int32_t i = 0; i < r->n_blocks; i++) {
        const sampler_block *b = &r->b[i];
        if (b->ref != ref) {
            scale = exp(((double)(ref = b->ref) - (double)r->max) / r->temperature);
        }
        double sum = (double)(hot ? b->sum_t : b->sum) * scale;
        if (!(run + sum > goal)) {
            run += sum;
            continue;
        }
        int32_t last = -1;
        r->k->weights(w, b->z, b->ref, &c);
        for (int32_t j = 0; j < SAMPLER_BLOCK && !(run > goal); j++) {
            if (w[j] > 0.0f) last = i * SAMPLER_BLOCK + j;
            run += (double)w[j] * scale;
        }
        if (last >= 0) return last;
    }
    return argmax(r);
}

static int32_t draw_kept(row *r, int32_t n, double u, double *sum) {
    *sum = weigh(r, n, r->temperature);
    double goal = u * *sum, run = 0.0;
    int32_t tok = r->id[0];
    for (int32_t i = 0; i < n && !(run > goal); i++) {
        if (r->item[i].w > 0.0) tok = r->item[i].id;
        run += r->item[i].w;
    }
    return tok;
}

/* --- biases and penalties --------------------------------------------------------------------- */

static float *own_cell(row *r, int32_t id) {
    int32_t i = id / SAMPLER_BLOCK;
    float *own = r->own + (size_t)i * SAMPLER_BLOCK;
    if (r->b[i].z != own) {
        memcpy(own, r->b[i].z, SAMPLER_BLOCK * sizeof *own);
        r->b[i].z = own;
    }
    r->b[i].ref = NAN; /* its sums no longer hold */
    return own + id % SAMPLER_BLOCK;
}

static void penalize(row *r, const rung_sampling *s, const tok_count *c, int32_t n) {
    float rep = s->repeat_penalty > 0.0 ? (float)s->repeat_penalty : 1.0f;
    for (int32_t i = 0; i < n; i++) {
        if (c[i].tok < 0 || c[i].tok >= r->n) continue;
        float *z = own_cell(r, c[i].tok);
        *z = *z <= 0.0f ? *z * rep : *z / rep;
        *z -= (float)c[i].n * (float)s->frequency_penalty + (float)s->presence_penalty;
    }
}

/* Changed blocks are read again. */
static void refresh(row *r, const exp_scale *one, const exp_scale *hot) {
    for (int32_t i = 0; i < r->n_blocks; i++) {
        if (r->b[i].ref == r->b[i].ref) continue;
        float ref = -INFINITY;
        r->k->pass(&r->b[i], 1, &ref, one, hot);
    }
    r->max = -INFINITY;
    for (int32_t i = 0; i < r->n_blocks; i++) {
        if (r->b[i].max > r->max) r->max = r->b[i].max;
    }
}

/* --- grammar ---------------------------------------------------------------------------------- */

/* Does what s keeps depend on few tokens only? */
static bool asks_few(const row *r, const rung_sampling *s) {
    return s->temperature < T_ARGMAX || has_top_k(r, s) || (s->min_p > 0.0 && !(s->top_p < 1.0));
}

static void mask_all(row *r, const grammar *g) {
    bool *ok = (bool *)(void *)r->item;
    rung_grammar_mask(ok, g);
    for (int32_t i = 0; i < r->n; i++) {
        if (!ok[i]) *own_cell(r, i) = -INFINITY;
    }
}

/* Of the n candidates those that may come next. */
static int32_t allowed(row *r, const grammar *g, int32_t n) {
    llama_token_data *cand = (llama_token_data *)(void *)r->item;
    int32_t m = 0;
    for (int32_t i = 0; i < n; i++) cand[i] = (llama_token_data){.id = r->id[i], .logit = r->z[i]};
    rung_grammar_apply(g, cand, (size_t)n);
    for (int32_t i = 0; i < n; i++) {
        if (!(cand[i].logit > -INFINITY)) continue;
        r->id[m] = cand[i].id;
        r->z[m++] = cand[i].logit;
    }
    return m;
}

static float largest(const row *r, int32_t n) {
    float m = -INFINITY;
    for (int32_t i = 0; i < n; i++) m = r->z[i] > m ? r->z[i] : m;
    return m;
}

/* The candidates that s can keep, from the top down until there are enough; cut but for top_p. */
static int32_t cut_allowed(row *r, const grammar *g, const rung_sampling *s, double t) {
    bool by_k = has_top_k(r, s), greedy = s->temperature < T_ARGMAX;
    int32_t want = by_k && !greedy ? s->top_k : 1, n;
    float floor, top = r->max;
    for (float depth = 4.0f;; depth *= 2.0f) {
        floor = depth > 512.0f ? -INFINITY : top - depth;
        n = allowed(r, g, collect(r, floor));
        if (n >= want || floor == -INFINITY) break;
    }
    if (n == 0) return 0;
    r->max = largest(r, n);
    if (greedy) return keep(r, n, (border){r->max, INT32_MAX});
    if (by_k) n = keep_k(r, n, s->top_k);
    if (!by_k && min_p_floor(r, s, t) < floor) n = allowed(r, g, collect(r, min_p_floor(r, s, t)));
    return cut_kept(r, s, t, n);
}

/* --- one token -------------------------------------------------------------------------------- */

/* Biases, penalties and a grammar that has to be asked for all tokens. */
static void change(row *r, const rung_sampling *s, const sampler_seq *seq, const exp_scale *one,
                   const exp_scale *hot) {
    bool ask_all = seq && seq->grammar && !asks_few(r, s);
    if (ask_all) mask_all(r, seq->grammar);
    for (int32_t i = 0; i < s->n_bias; i++) *own_cell(r, s->bias[i].tok) += s->bias[i].bias;
    if (seq) penalize(r, s, seq->count, seq->n_count);
    if (ask_all || s->n_bias > 0 || (seq && seq->n_count > 0)) refresh(r, one, hot);
}

/* Sets d->tok; *sum: the weight of all that it was drawn from, relative to r->max. */
static void draw(rung_draw *d, row *r, const rung_sampling *s, bool hot, double *sum) {
    bool greedy = s->temperature < T_ARGMAX;
    double t_cut = s->temperature_first ? s->temperature : 1.0;
    if (d->seq && d->seq->grammar && asks_few(r, s)) {
        int32_t n = cut_allowed(r, d->seq->grammar, s, t_cut);
        if (n == 0) return;
        d->tok = greedy ? r->id[0] : draw_kept(r, n, d->u, sum);
    } else if (greedy) {
        d->tok = argmax(r);
    } else if (has_top_k(r, s) || s->top_p < 1.0 || s->min_p > 0.0) {
        d->tok = draw_kept(r, cut(r, s, t_cut, hot), d->u, sum);
    } else {
        *sum = total_of(r, (double)r->max, r->temperature, hot);
        d->tok = draw_uncut(r, d->u * *sum, hot);
    }
}

/* Is the weight of all tokens at the sampling temperature asked for, and not at 1? */
static bool needs_hot(const row *r, const rung_sampling *s) {
    if (s->temperature < T_ARGMAX || s->temperature == 1.0 || has_top_k(r, s)) return false;
    return s->top_p < 1.0 ? s->temperature_first : !(s->min_p > 0.0);
}

static void draw_row(rung_draw *d, row *r, const rung_sampling *s) {
    bool greedy = s->temperature < T_ARGMAX, hot = needs_hot(r, s);
    exp_scale one = rung_exp_scale(1.0), at_t = rung_exp_scale(greedy ? 1.0 : s->temperature);
    float max = -INFINITY;
    d->tok = DRAW_BAD_LOGITS;
    r->k->pass(r->b, r->n_blocks, &max, &one, hot ? &at_t : NULL);
    double z1 = total_of(r, (double)max, 1.0, false), sum = 1.0;
    if (!(max > -INFINITY && max < INFINITY) || z1 != z1) return;
    r->max = max;
    r->temperature = greedy ? 1.0 : s->temperature;
    change(r, s, d->seq, &one, hot ? &at_t : NULL);
    d->tok = DRAW_NOTHING_LEFT;
    if (!(r->max > -INFINITY)) return;
    draw(d, r, s, hot, &sum);
    if (d->tok < 0) return;
    double z = (double)r->b[d->tok / SAMPLER_BLOCK].z[d->tok % SAMPLER_BLOCK];
    d->logprob_draw = greedy ? 0.0 : (z - (double)r->max) / r->temperature - log(sum);
    d->logprob = ((double)d->logits[d->tok] - (double)max) - log(z1);
}

int32_t rung_sample_token(double logprob[2], const float *logits, int32_t n, const rung_sampling *s,
                          double u, void *scratch) {
    if (n < 1) return DRAW_BAD_LOGITS;
    rung_draw d = {.logits = logits, .u = u};
    row r;
    row_init(&r, logits, n, rung_sampler_kernel(), scratch);
    draw_row(&d, &r, s);
    if (logprob && d.tok >= 0) {
        logprob[0] = d.logprob;
        logprob[1] = d.logprob_draw;
    }
    return d.tok;
}

void rung_draw_one(rung_draw *d, void *scratch) {
    const sampler_plan *p = d->seq->plan;
    row r;
    row_init(&r, d->logits, p->n_vocab, rung_sampler_kernel(), scratch);
    draw_row(d, &r, &p->s);
}

#if defined(_OPENMP)
/* ThreadSanitizer does not see how OpenMP's threads begin and end: it is told. */
static void hand_over(void *p) {
#if defined(__SANITIZE_THREAD__)
    __tsan_release(p);
#else
    (void)p;
#endif
}

static void take_over(void *p) {
#if defined(__SANITIZE_THREAD__)
    __tsan_acquire(p);
#else
    (void)p;
#endif
}
#endif

void rung_draw_many(rung_draw *d, int32_t n, int32_t n_vocab, int32_t n_threads, void *scratch) {
    size_t each = rung_sample_scratch(n_vocab);
#if defined(_OPENMP)
    if (n_threads > n) n_threads = n;
    hand_over(d);
#pragma omp parallel num_threads(n_threads) if (n_threads > 1) default(shared)
    {
        take_over(d);
#pragma omp for schedule(dynamic)
        for (int32_t i = 0; i < n; i++)
            rung_draw_one(&d[i], (char *)scratch + (size_t)omp_get_thread_num() * each);
        hand_over(scratch);
    }
    take_over(scratch);
#else
    (void)n_threads, (void)each;
    for (int32_t i = 0; i < n; i++) rung_draw_one(&d[i], scratch);
#endif
}

double rung_logprob_of(const float *logits, int32_t n, int32_t tok) {
    if (n < 1) return (double)NAN;
    const sampler_kernel *k = rung_sampler_kernel();
    exp_scale one = rung_exp_scale(1.0);
    float tail[SAMPLER_BLOCK], ref = -INFINITY;
    double sum = 0.0, at = -HUGE_VAL; /* sum relative to exp(at) */
    for (int32_t i = 0; i < n; i += SAMPLER_BLOCK) {
        sampler_block b = {.z = logits + i};
        if (n - i < SAMPLER_BLOCK) {
            for (int32_t j = 0; j < SAMPLER_BLOCK; j++)
                tail[j] = i + j < n ? logits[i + j] : -INFINITY;
            b.z = tail;
        }
        k->pass(&b, 1, &ref, &one, NULL);
        if ((double)ref > at) {
            if (at > -HUGE_VAL) sum *= exp(at - (double)ref);
            at = (double)ref;
        }
        sum += (double)b.sum;
    }
    if (!(at > -HUGE_VAL && at < HUGE_VAL)) return (double)NAN;
    return ((double)logits[tok] - at) - log(sum);
}
