/* Step scores against step labels (feedback.md 10.6, 10.7). The positive class of AP is the wrong
 * step, scored 1 - p; AUROC is the same either way round. Steps without a label (after the first
 * error, say) are counted and left out. Intervals resample problems. */
#include "bench/pool.h"
#include "rung/claim.h"
#include "rung/problem.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEVEL       0.95
#define N_BOOT      2000
#define N_BINS      15 /* of ECE and MCE; 10 groups of equal mass beside them */
#define N_MASS      10
#define N_CURVE     10 /* bins of the reliability diagram */
#define N_POSITIONS 24
#define N_OFFSETS   9 /* -4 .. +4 steps from the first wrong one */

typedef struct item {
    double p, y, soft; /* score; 1 right, 0 wrong; soft label or NaN */
    int64_t problem_id;
    uint32_t problem; /* dense number */
    bool hard;        /* a hard operation of a world */
} item;
typedef struct series {
    void *v; /* double[n] */
    int64_t n, cap;
} series;
typedef struct steps {
    void *item; /* item[n] */
    int64_t n, cap;
    int64_t n_traces, n_unscored, n_unlabelled, last_problem;
    uint32_t n_problems;
    bool of_world;
    series position[2][N_POSITIONS]; /* scores by position: [0] right traces, [1] wrong ones */
    series offset[N_OFFSETS];        /* of wrong traces, by distance from the first wrong step */
} steps;

static void steps_clear(steps *a) {
    rung_free(a->item);
    for (int i = 0; i < N_POSITIONS; i++) {
        rung_free(a->position[0][i].v);
        rung_free(a->position[1][i].v);
    }
    for (int i = 0; i < N_OFFSETS; i++) rung_free(a->offset[i].v);
}

static rung_status push(series *s, double v, rung_error *err) {
    RUNG_TRY(rung_grow(&s->v, &s->cap, s->n + 1, sizeof(double), err));
    ((double *)s->v)[s->n++] = v;
    return RUNG_OK;
}

/* What a known first error says of step i: 1 right, 0 the wrong one, NaN after it or not known. */
double rung_truth_of(const rung_trace *t, int32_t i) {
    if (t->first_error == RUNG_FIRST_ERROR_UNKNOWN) return (double)NAN;
    if (t->first_error == -1 || i < t->first_error) return 1.0;
    return i == t->first_error ? 0.0 : (double)NAN;
}

static rung_status add_step(steps *a, rung_store *s, const rung_trace *t, int32_t i, double score,
                            const char *source, rung_error *err) {
    if (isnan(score)) {
        a->n_unscored++;
        return RUNG_OK;
    }
    if (i < N_POSITIONS && t->verdict != RUNG_VERDICT_UNKNOWN)
        RUNG_TRY(push(&a->position[t->verdict == RUNG_VERDICT_WRONG][i], score, err));
    int32_t from = i - t->first_error + N_OFFSETS / 2;
    if (t->first_error >= 0 && from >= 0 && from < N_OFFSETS)
        RUNG_TRY(push(&a->offset[from], score, err));
    rung_label l;
    bool found = false;
    RUNG_TRY(rung_label_get(&l, &found, s, 0, t->step[i].node, source, err));
    if (!found) l = (rung_label){.hard = -1, .soft = (double)NAN};
    double y = l.hard >= 0 ? (double)l.hard : l.soft;
    if (!found && strcmp(source, "truth") == 0) y = rung_truth_of(t, i);
    if (isnan(y)) {
        a->n_unlabelled++;
        return RUNG_OK;
    }
    RUNG_TRY(rung_grow(&a->item, &a->cap, a->n + 1, sizeof(item), err));
    const rung_step *step = &t->step[i];
    bool hard = a->of_world && rung_world_is_hard(t->text + step->byte_begin,
                                                  (size_t)(step->byte_end - step->byte_begin));
    ((item *)a->item)[a->n++] = (item){.p = score,
                                       .y = y > 0.5 ? 1.0 : 0.0,
                                       .soft = l.soft,
                                       .problem_id = t->problem,
                                       .problem = a->n_problems - 1,
                                       .hard = hard};
    return RUNG_OK;
}

static rung_status next_problem(steps *a, rung_store *s, int64_t id, rung_error *err) {
    if (id == a->last_problem) return RUNG_OK;
    rung_problem p;
    rung_arena *arena = rung_arena_new(0);
    if (!arena) return rung_fail(err, RUNG_E_NOMEM, "out of memory for a problem");
    rung_status st = rung_problem_get(s, &p, arena, id, err);
    a->of_world = st == RUNG_OK && p.world[0];
    rung_arena_free(arena);
    a->n_problems++;
    a->last_problem = id;
    return st;
}

static rung_status load(steps *a, rung_store *s, int64_t model, const char *source,
                        const rung_filter *f, rung_error *err) {
    rung_iter *it = NULL;
    const rung_trace *t;
    void *score = NULL;
    int64_t cap = 0;
    a->last_problem = -1;
    rung_status st = rung_trace_iter(&it, s, f, err);
    if (st != RUNG_OK) goto out;
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        RUNG_GOTO(next_problem(a, s, t->problem, err));
        a->n_traces++;
        RUNG_GOTO(rung_grow(&score, &cap, t->n_steps, sizeof(double), err));
        RUNG_GOTO(rung_step_scores(score, s, t, model, err));
        for (int32_t i = 0; i < t->n_steps; i++)
            RUNG_GOTO(add_step(a, s, t, i, ((double *)score)[i], source, err));
    }
    if (st == RUNG_DONE) st = RUNG_OK;
out:
    rung_iter_free(it);
    rung_free(score);
    return st;
}

static int cmp_item(const void *x, const void *y) {
    double a = ((const item *)x)->p, b = ((const item *)y)->p;
    return (a > b) - (a < b);
}

/* Items ascending by score, each counted weight[problem] times. */
typedef struct weighted {
    const item *item;
    int64_t n;
    double *weight;
    uint32_t n_problems;
} weighted;

static void draw(weighted *w, const uint32_t *index, int64_t n) {
    for (uint32_t i = 0; i < w->n_problems; i++) w->weight[i] = 0.0;
    for (int64_t i = 0; i < n; i++) w->weight[index[i]] += 1.0;
}

static double auroc_of(void *ud, const uint32_t *index, int64_t n_index) {
    weighted *w = ud;
    draw(w, index, n_index);
    double n_pos = 0.0, n_neg = 0.0, wins = 0.0;
    for (int64_t begin = 0, end; begin < w->n; begin = end) {
        double pos = 0.0, neg = 0.0;
        for (end = begin; end < w->n && w->item[end].p == w->item[begin].p; end++)
            *(w->item[end].y > 0.5 ? &pos : &neg) += w->weight[w->item[end].problem];
        wins += pos * (n_neg + 0.5 * neg);
        n_pos += pos;
        n_neg += neg;
    }
    return n_pos > 0.0 && n_neg > 0.0 ? wins / (n_pos * n_neg) : (double)NAN;
}

/* AP of wrong steps by 1 - p: the lowest scores are taken first. */
static double ap_of(void *ud, const uint32_t *index, int64_t n_index) {
    weighted *w = ud;
    draw(w, index, n_index);
    double hits = 0.0, taken = 0.0, sum = 0.0;
    for (int64_t begin = 0, end; begin < w->n; begin = end) {
        double wrong = 0.0;
        for (end = begin; end < w->n && w->item[end].p == w->item[begin].p; end++) {
            double weight = w->weight[w->item[end].problem];
            taken += weight;
            wrong += w->item[end].y > 0.5 ? 0.0 : weight;
        }
        hits += wrong;
        if (taken > 0.0) sum += wrong * hits / taken;
    }
    return hits > 0.0 && hits < taken ? sum / hits : (double)NAN;
}

static void put(rung_buf *b, const char *key, double v) {
    rung_buf_printf(b, ",\"%s\":", key);
    rung_put_num(b, v);
}

static void put_bins(rung_buf *b, const double *p, const double *y, int64_t n) {
    rung_reliability_bin bin[N_CURVE];
    rung_buf_str(b, ",\"bins\":[");
    if (rung_reliability(bin, p, y, n, N_CURVE)) {
        for (int i = 0, first = 1; i < N_CURVE; i++) {
            if (bin[i].n == 0) continue;
            rung_interval ci =
                rung_wilson((int64_t)(bin[i].y * (double)bin[i].n + 0.5), bin[i].n, LEVEL);
            rung_buf_printf(b, "%s{\"lo\":%g,\"hi\":%g,\"n\":%lld,\"p\":%.6g,\"y\":%.6g,\"ci95\":",
                            first ? "" : ",", (double)i / N_CURVE, (double)(i + 1) / N_CURVE,
                            (long long)bin[i].n, bin[i].p, bin[i].y);
            rung_put_interval(b, ci);
            rung_buf_str(b, "}");
            first = 0;
        }
    }
    rung_buf_str(b, "]");
}

static int cmp_f64(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double at_share(const series *s, double q) {
    double at = q * (double)(s->n - 1);
    int64_t i = (int64_t)at;
    const double *v = s->v;
    return i + 1 < s->n ? v[i] + (at - (double)i) * (v[i + 1] - v[i]) : v[i];
}

/* {"n","mean","q25","q75"}; sorts the series */
static void put_series(rung_buf *b, series *s) {
    double sum = 0.0;
    for (int64_t i = 0; i < s->n; i++) sum += ((double *)s->v)[i];
    rung_buf_printf(b, "\"n\":%lld", (long long)s->n);
    if (s->n == 0) return;
    qsort(s->v, (size_t)s->n, sizeof(double), cmp_f64);
    put(b, "mean", sum / (double)s->n);
    put(b, "q25", at_share(s, 0.25));
    put(b, "q75", at_share(s, 0.75));
}

static void put_shapes(rung_buf *b, steps *a) {
    static const char *const name[2] = {"right", "wrong"};
    bool first = true;
    rung_buf_str(b, ",\"positions\":[");
    for (int i = 0; i < N_POSITIONS; i++) {
        for (int w = 0; w < 2; w++) {
            if (a->position[w][i].n == 0) continue;
            rung_buf_printf(b, "%s{\"step\":%d,\"trace\":\"%s\",", first ? "" : ",", i, name[w]);
            put_series(b, &a->position[w][i]);
            rung_buf_str(b, "}");
            first = false;
        }
    }
    rung_buf_str(b, "],\"offsets\":[");
    first = true;
    for (int i = 0; i < N_OFFSETS; i++) {
        if (a->offset[i].n == 0) continue;
        rung_buf_printf(b, "%s{\"from_first_error\":%d,", first ? "" : ",", i - N_OFFSETS / 2);
        put_series(b, &a->offset[i]);
        rung_buf_str(b, "}");
        first = false;
    }
    rung_buf_str(b, "]");
}

static void put_calibration(rung_buf *b, const item *it, int64_t n, double *p, double *y) {
    double share = 0.0;
    bool soft = n > 0;
    for (int64_t i = 0; i < n; i++) {
        p[i] = it[i].p;
        y[i] = it[i].y;
        share += y[i] / (double)(n ? n : 1);
        soft = soft && !isnan(it[i].soft);
    }
    double brier = rung_brier(p, y, n), chance = share * (1.0 - share);
    put(b, "share_wrong", n ? 1.0 - share : (double)NAN);
    put(b, "brier", brier);
    put(b, "brier_skill", chance > 0.0 ? 1.0 - brier / chance : (double)NAN);
    put(b, "nll", rung_nll(p, y, n));
    put(b, "ece15", rung_ece(p, y, n, N_BINS));
    put(b, "ece_mass10", rung_ece_mass(p, y, n, N_MASS));
    put(b, "mce15", rung_mce(p, y, n, N_BINS));
    put_bins(b, p, y, n);
    for (int64_t i = 0; soft && i < n; i++) y[i] = it[i].soft;
    put(b, "brier_soft", soft ? rung_brier(p, y, n) : (double)NAN);
    put(b, "ece15_soft", soft ? rung_ece(p, y, n, N_BINS) : (double)NAN);
}

/* The steps that the policy's own probabilities get wrong: hard operations alone. */
static rung_status put_hard(rung_buf *b, const steps *a, double *weight, const uint32_t *all,
                            uint64_t seed, rung_error *err) {
    const item *it = a->item;
    int64_t n = 0, n_wrong = 0;
    item *hard = rung_calloc((size_t)a->n + 1, sizeof *hard);
    if (!hard) return rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld steps", (long long)a->n);
    for (int64_t i = 0; i < a->n; i++) {
        if (!it[i].hard) continue;
        n_wrong += it[i].y < 0.5;
        hard[n++] = it[i];
    }
    if (n > 0) {
        weighted w = {hard, n, weight, a->n_problems};
        rung_buf_printf(b, ",\"n_hard\":%lld,\"n_hard_wrong\":%lld", (long long)n,
                        (long long)n_wrong);
        put(b, "auroc_hard", auroc_of(&w, all, a->n_problems));
        rung_buf_str(b, ",\"auroc_hard_ci95\":");
        rung_put_interval(b, rung_bootstrap(auroc_of, &w, a->n_problems, N_BOOT, LEVEL, seed));
    }
    rung_free(hard);
    return RUNG_OK;
}

static rung_status put_ranking(rung_buf *b, const steps *a, uint64_t seed, rung_error *err) {
    double *weight = rung_calloc((size_t)a->n_problems + 1, sizeof *weight);
    uint32_t *all = rung_calloc((size_t)a->n_problems + 1, sizeof *all);
    if (!weight || !all) {
        rung_free(weight);
        rung_free(all);
        return rung_fail(err, RUNG_E_NOMEM, "out of memory for %u problems", a->n_problems);
    }
    for (uint32_t i = 0; i < a->n_problems; i++) all[i] = i;
    weighted w = {a->item, a->n, weight, a->n_problems};
    put(b, "auroc", auroc_of(&w, all, a->n_problems));
    rung_buf_str(b, ",\"auroc_ci95\":");
    rung_put_interval(b, rung_bootstrap(auroc_of, &w, a->n_problems, N_BOOT, LEVEL, seed));
    put(b, "ap_wrong", ap_of(&w, all, a->n_problems));
    rung_buf_str(b, ",\"ap_wrong_ci95\":");
    rung_put_interval(b, rung_bootstrap(ap_of, &w, a->n_problems, N_BOOT, LEVEL, seed));
    rung_status st = put_hard(b, a, weight, all, seed, err);
    rung_free(weight);
    rung_free(all);
    return st;
}

rung_status rung_bench_steps(rung_buf *json, rung_store *s, int64_t model, const char *label_source,
                             const rung_filter *traces, uint64_t seed, rung_error *err) {
    rung_filter none = {0};
    if (!label_source || !label_source[0])
        return rung_fail(err, RUNG_E_INVAL, "steps are measured against labels: name their source");
    steps *a = rung_calloc(1, sizeof *a);
    size_t mark = json->n;
    double *p = NULL;
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_status st;
    RUNG_GOTO(load(a, s, model, label_source, traces ? traces : &none, err));
    if (a->n_traces == 0) {
        st = rung_fail(err, RUNG_E_NOT_FOUND, "no traces match: nothing to measure");
        goto out;
    }
    if (a->n) qsort(a->item, (size_t)a->n, sizeof(item), cmp_item);
    p = rung_calloc((size_t)a->n + 1, 2 * sizeof *p);
    if (!p) {
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld steps", (long long)a->n);
        goto out;
    }
    rung_buf_printf(
        json, "{\"v\":1,\"metric\":\"steps\",\"model\":%lld,\"score\":\"%s\",\"label_source\":",
        (long long)model, model ? "reward" : "confidence");
    rung_buf_json_str(json, label_source, strlen(label_source));
    rung_buf_printf(json,
                    ",\"n_steps\":%lld,\"n_traces\":%lld,\"n_problems\":%u,\"n_unscored\":%lld,"
                    "\"n_unlabelled\":%lld,\"run\":%lld,\"seed\":%llu",
                    (long long)a->n, (long long)a->n_traces, a->n_problems,
                    (long long)a->n_unscored, (long long)a->n_unlabelled,
                    traces ? (long long)traces->run : 0, (unsigned long long)seed);
    RUNG_GOTO(put_ranking(json, a, seed, err));
    put_calibration(json, a->item, a->n, p, p + a->n);
    put_shapes(json, a);
    rung_buf_str(json, "}");
    st = rung_buf_check(json, err);
out:
    if (st != RUNG_OK && json->data) json->data[json->n = mark] = 0; /* no half object */
    rung_free(p);
    steps_clear(a);
    rung_free(a);
    return st;
}

rung_status rung_arm_steps(rung_arm *out, rung_store *s, int64_t model, const char *label_source,
                           const rung_filter *traces, rung_error *err) {
    steps a = {0};
    rung_status st = load(&a, s, model, label_source, traces, err);
    for (int64_t i = 0; i < a.n && st == RUNG_OK; i++) {
        const item *x = (const item *)a.item + i;
        st = rung_arm_push(out, (uint64_t)x->problem_id, x->p, x->y, err);
    }
    steps_clear(&a);
    return st;
}
