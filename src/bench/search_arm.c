/* Search runs as arms of a claim (search.md 0.7), and early rejection's premise: does the score of
 * a step's beginning say what the whole step's will be (search.md 1.7)? */
#include "bench/pool.h"
#include "rung/claim.h"

#include <math.h>
#include <string.h>

/* ---- answers */

typedef struct answers {
    rung_arm *arm;
    rung_search_figure figure;
    int64_t problem;
    double n, n_right;
    char (*key)[96]; /* distinct ones of the problem; longer keys by their beginning and hash */
    int64_t n_keys, cap;
} answers;

static rung_status chosen(void *ud, const rung_search_row *r, rung_error *err) {
    answers *w = ud;
    return rung_arm_push(w->arm, (uint64_t)r->problem, strcmp(r->outcome, "correct") == 0, 1.0,
                         err);
}

static rung_status flush(answers *w, rung_error *err) {
    double x = w->figure == RUNG_SEARCH_RIGHT ? w->n_right / w->n : (double)w->n_keys;
    bool any = w->n > 0.0;
    w->n = w->n_right = 0.0;
    w->n_keys = 0;
    return any ? rung_arm_push(w->arm, (uint64_t)w->problem, x, 1.0, err) : RUNG_OK;
}

static rung_status note_key(answers *w, const char *key, rung_error *err) {
    char short_key[96];
    size_t n = strlen(key);
    if (n == 0) return RUNG_OK; /* no answer is no class */
    memset(short_key, 0, sizeof short_key);
    memcpy(short_key, key, n < 80 ? n : 80);
    if (n >= 80) {
        uint64_t h = rung_hash64(key, n, 0);
        memcpy(short_key + 80, &h, sizeof h);
    }
    for (int64_t i = 0; i < w->n_keys; i++)
        if (memcmp(w->key[i], short_key, sizeof short_key) == 0) return RUNG_OK;
    void *block = w->key;
    rung_status st = rung_grow(&block, &w->cap, w->n_keys + 1, sizeof *w->key, err);
    w->key = block;
    if (st == RUNG_OK) memcpy(w->key[w->n_keys++], short_key, sizeof short_key);
    return st;
}

static rung_status of_traces(answers *w, rung_store *s, int64_t run, rung_error *err) {
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_status st = rung_trace_iter(&it, s, &(rung_filter){.run = run}, err);
    while (st == RUNG_OK && (st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if (t->problem != w->problem) st = flush(w, err);
        w->problem = t->problem;
        w->n += 1.0;
        w->n_right += t->verdict == RUNG_VERDICT_CORRECT;
        if (st == RUNG_OK) st = note_key(w, t->answer_key ? t->answer_key : "", err);
    }
    rung_iter_free(it);
    return st == RUNG_DONE ? flush(w, err) : st;
}

rung_status rung_arm_search(rung_arm *out, rung_store *s, int64_t run, rung_search_figure figure,
                            rung_error *err) {
    answers w = {.arm = out, .figure = figure};
    if (figure == RUNG_SEARCH_ACCURACY) return rung_search_rows(s, run, 0, chosen, &w, err);
    rung_status st = of_traces(&w, s, run, err);
    rung_free(w.key);
    return st;
}

/* ---- partial scores */

typedef struct pair {
    double first, last;
    int64_t problem;
    int32_t seen, whole; /* bytes after the pause, of the whole step */
    bool has_score, paused, pruned, finished;
} pair;

typedef struct pairs {
    rung_store *s;
    int64_t run, problem;
    pair *node; /* of the problem at hand */
    int64_t n_nodes, cap_nodes;
    pair *p; /* of all */
    int64_t n, cap;
} pairs;

static rung_status on_event(void *ud, const rung_search_event *e, rung_error *err) {
    pairs *w = ud;
    if (strcmp(e->kind, "node") == 0 && e->node >= w->n_nodes) {
        void *block = w->node;
        rung_status st = rung_grow(&block, &w->cap_nodes, e->node + 1, sizeof *w->node, err);
        w->node = block;
        if (st != RUNG_OK) return st;
        for (; w->n_nodes <= e->node; w->n_nodes++)
            w->node[w->n_nodes] = (pair){.problem = w->problem};
        w->node[e->node].seen = w->node[e->node].whole = e->n_bytes;
    }
    if (e->node < 0 || e->node >= w->n_nodes) return RUNG_OK;
    pair *v = &w->node[e->node];
    if (strcmp(e->kind, "score") == 0 && isfinite(e->value)) {
        if (!v->has_score) v->first = e->value;
        v->last = e->value;
        v->finished = !v->paused || v->has_score;
        v->has_score = true;
    } else if (strcmp(e->kind, "extend") == 0) {
        v->paused = true;
        v->finished = false; /* until it is scored once more */
        v->whole = e->n_bytes;
    } else if (strcmp(e->kind, "prune") == 0) {
        v->pruned = true;
    }
    return RUNG_OK;
}

static rung_status on_search(void *ud, const rung_search_row *r, rung_error *err) {
    pairs *w = ud;
    w->problem = r->problem;
    w->n_nodes = 0;
    RUNG_TRY(rung_search_events(w->s, w->run, r->problem, on_event, w, err));
    for (int64_t i = 0; i < w->n_nodes; i++) {
        if (!w->node[i].has_score || w->node[i].pruned || !w->node[i].finished) continue;
        void *block = w->p;
        rung_status st = rung_grow(&block, &w->cap, w->n + 1, sizeof *w->p, err);
        w->p = block;
        if (st != RUNG_OK) return st;
        w->p[w->n++] = w->node[i];
    }
    return RUNG_OK;
}

static rung_status collect(pairs *w, rung_store *s, int64_t run, rung_error *err) {
    *w = (pairs){.s = s, .run = run};
    rung_status st = rung_search_rows(s, run, 0, on_search, w, err);
    if (st == RUNG_OK && w->n < 3) {
        rung_fail(err, RUNG_E_NOT_FOUND, "the run has %lld steps with a partial and a whole score",
                  (long long)w->n);
        st = rung_error_hint(
            err, "rung search run --method early_rejection --rescore --width 1 makes them");
    }
    return st;
}

static void clear(pairs *w) {
    rung_free(w->node);
    rung_free(w->p);
}

rung_status rung_arm_partial(rung_arm *out, rung_store *s, int64_t run, rung_error *err) {
    pairs w;
    rung_status st = collect(&w, s, run, err);
    for (int64_t i = 0; i < w.n && st == RUNG_OK; i++)
        st = rung_arm_push(out, (uint64_t)w.p[i].problem, w.p[i].first, w.p[i].last, err);
    clear(&w);
    return st;
}

/* Problems are drawn whole: a weight per pair. */
typedef struct draws {
    double *x, *y, *weight;
    int64_t n, *first; /* [n_problems + 1] */
    bool ranks;
} draws;

static double correlation(void *ud, const uint32_t *index, int64_t n) {
    draws *d = ud;
    for (int64_t i = 0; i < d->n; i++) d->weight[i] = 0.0;
    for (int64_t k = 0; k < n; k++)
        for (int64_t i = d->first[index[k]]; i < d->first[index[k] + 1]; i++) d->weight[i] += 1.0;
    return d->ranks ? rung_kendall(d->x, d->y, d->weight, d->n)
                    : rung_pearson(d->x, d->y, d->weight, d->n);
}

static rung_status correlate(rung_partial *out, const pairs *w, int n_boot, uint64_t seed,
                             rung_error *err) {
    enum { KENDALL_BOOT = 200 }; /* each takes n^2 / 2 steps */
    size_t n = (size_t)w->n;
    draws d = {.n = w->n};
    d.x = rung_calloc(3 * n + 1, sizeof *d.x);
    d.first = rung_calloc(n + 2, sizeof *d.first);
    if (!d.x || !d.first) {
        rung_free(d.x);
        rung_free(d.first);
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld steps", (long long)w->n);
    }
    d.y = d.x + n;
    d.weight = d.y + n;
    double share = 0.0;
    for (int64_t i = 0; i < w->n; i++) {
        const pair *p = &w->p[i];
        if (i == 0 || p->problem != w->p[i - 1].problem) d.first[out->n_problems++] = i;
        d.x[i] = p->first;
        d.y[i] = p->last;
        out->n_paused += p->paused;
        share += p->whole > 0 ? (double)p->seen / (double)p->whole : 1.0;
    }
    d.first[out->n_problems] = w->n;
    out->n = w->n;
    out->tokens_share = share / (double)w->n;
    out->pearson = rung_pearson(d.x, d.y, NULL, w->n);
    out->kendall = rung_kendall(d.x, d.y, NULL, w->n);
    out->pearson_ci = rung_bootstrap(correlation, &d, out->n_problems, n_boot, .95, seed);
    d.ranks = true;
    out->kendall_ci = rung_bootstrap(correlation, &d, out->n_problems,
                                     n_boot < KENDALL_BOOT ? n_boot : KENDALL_BOOT, .95, seed);
    rung_free(d.x);
    rung_free(d.first);
    return RUNG_OK;
}

rung_status rung_bench_partial(rung_partial *out, rung_store *s, int64_t run, int n_boot,
                               uint64_t seed, rung_error *err) {
    pairs w;
    *out = (rung_partial){0};
    rung_status st = collect(&w, s, run, err);
    if (st == RUNG_OK) st = correlate(out, &w, n_boot, seed, err);
    clear(&w);
    return st;
}

/* ---- the bound */

/* One draw: worths, the mean of tau noises on each. Returns the lead of the best. */
static double draw_gap(double *worth, double *read, int32_t n, int32_t tau, double noise,
                       rung_rng *r, int32_t *best) {
    double second = -HUGE_VAL;
    *best = 0;
    for (int32_t i = 0; i < n; i++) {
        double sum = 0.0;
        worth[i] = rung_rng_normal(r);
        for (int32_t k = 0; k < tau; k++) sum += rung_rng_normal(r);
        read[i] = worth[i] + noise * sum / (double)tau;
        if (worth[i] > worth[*best]) *best = i;
    }
    for (int32_t i = 0; i < n; i++)
        if (i != *best && worth[i] > second) second = worth[i];
    return worth[*best] - second;
}

rung_status rung_bench_rejection(rung_rejection *out, rung_arm *arm, int32_t n, int32_t keep,
                                 int32_t tau, double noise, int64_t n_draws, uint64_t seed,
                                 rung_error *err) {
    *out = (rung_rejection){.tau = tau};
    if (n < 2 || keep < 1 || keep >= n || tau < 1 || !(noise > 0.0) || n_draws < 2)
        return rung_fail(err, RUNG_E_INVAL, "%d of %d candidates, tau %d: not a rejection", keep, n,
                         tau);
    double *worth = rung_calloc((size_t)n, 2 * sizeof *worth);
    double *d = rung_calloc((size_t)n_draws, sizeof *d);
    rung_status st = RUNG_OK;
    if (!worth || !d) st = rung_fail(err, RUNG_E_NOMEM, "no memory for draws");
    for (int64_t t = 0; t < n_draws && st == RUNG_OK; t++) {
        rung_rng r = rung_rng_at(seed, RUNG_STREAM_SEARCH, (uint64_t)t, (uint64_t)tau);
        int32_t best = 0, above = 0;
        double gap = draw_gap(worth, worth + n, n, tau, noise, &r, &best);
        for (int32_t i = 0; i < n; i++) above += i != best && worth[n + i] > worth[n + best];
        double lost = above >= keep, bound = rung_rejection_bound(n, gap, noise / sqrt(tau));
        d[t] = lost - bound;
        out->rejected += lost / (double)n_draws;
        out->bound += bound / (double)n_draws;
        if (arm) st = rung_arm_push(arm, (uint64_t)t, d[t], 1.0, err);
    }
    if (st == RUNG_OK) out->diff_ci = rung_bootstrap_mean(d, n_draws, 2000, .95, seed);
    rung_free(worth);
    rung_free(d);
    return st;
}
