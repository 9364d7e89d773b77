/* Step scores against step labels (feedback.md 10.6, 10.7). The positive class of AP is the wrong
 * step, scored 1 - p; AUROC is the same either way round. Steps without a label (after the first
 * error, say) are counted and left out. Intervals resample problems. */
#include "bench/steps.h"
#include "rung/claim.h"
#include "rung/problem.h"
#include "trace/flow.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEVEL       0.95
#define N_BOOT      2000
#define N_BINS      RUNG_STEP_BINS
#define N_MASS      10 /* groups of equal mass beside the bins of equal width */
#define N_CURVE     10 /* bins of the reliability diagram */
#define N_POSITIONS 24
#define N_OFFSETS   9 /* -4 .. +4 steps from the first wrong one */

typedef rung_step_item item;
typedef struct series {
    void *v; /* double[n] */
    int64_t n, cap;
} series;
typedef struct steps {
    void *item; /* item[n] */
    int64_t n, cap;
    int64_t n_traces, n_unscored, n_unlabelled, last_problem;
    uint32_t n_problems;
    bool of_world, left_out;
    int64_t n_left_out; /* traces of problems that were asked to be left out */
    rung_first_set first;
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
    rung_first_clear(&a->first);
}

static rung_status push(series *s, double v, rung_error *err) {
    RUNG_TRY(rung_grow(&s->v, &s->cap, s->n + 1, sizeof(double), err));
    ((double *)s->v)[s->n++] = v;
    return RUNG_OK;
}

/* *y_out: 1 right, 0 wrong, NaN without a label. */
static rung_status add_step(double *y_out, steps *a, rung_store *s, const rung_trace *t, int32_t i,
                            double score, const rung_steps_opts *o, rung_error *err) {
    const char *source = o->label_source;
    *y_out = (double)NAN;
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
    RUNG_TRY(rung_label_get(&l, &found, s, o->label_run, t->step[i].node, source, err));
    if (!found) l = (rung_label){.hard = -1, .soft = (double)NAN};
    double y = l.hard >= 0 ? (double)l.hard : l.soft;
    if (!found && strcmp(source, "truth") == 0) y = rung_trace_truth(t, i);
    if (isnan(y)) {
        a->n_unlabelled++;
        return RUNG_OK;
    }
    RUNG_TRY(rung_grow(&a->item, &a->cap, a->n + 1, sizeof(item), err));
    const rung_step *step = &t->step[i];
    bool hard = a->of_world && rung_world_is_hard(t->text + step->byte_begin,
                                                  (size_t)(step->byte_end - step->byte_begin));
    *y_out = y > 0.5 ? 1.0 : 0.0;
    ((item *)a->item)[a->n++] =
        (item){score, y > 0.5 ? 1.0 : 0.0, l.soft, a->n_problems - 1, hard, t->problem};
    return RUNG_OK;
}

static rung_status next_problem(steps *a, rung_store *s, int64_t id, const rung_steps_opts *o,
                                rung_error *err) {
    if (id == a->last_problem) return RUNG_OK;
    rung_problem p;
    rung_arena *arena = rung_arena_new(0);
    if (!arena) return rung_fail(err, RUNG_E_NOMEM, "out of memory for a problem");
    rung_status st = rung_problem_get(s, &p, arena, id, err);
    a->of_world = st == RUNG_OK && p.world[0];
    a->left_out = st == RUNG_OK && o->leave_out && o->leave_out(o->ud, &p);
    rung_arena_free(arena);
    a->n_problems += !a->left_out;
    a->last_problem = id;
    return st;
}

static rung_status add_trace(steps *a, rung_store *s, const rung_trace *t, const double *score,
                             double *y, const rung_steps_opts *o, rung_error *err) {
    for (int32_t i = 0; i < t->n_steps; i++)
        RUNG_TRY(add_step(&y[i], a, s, t, i, score[i], o, err));
    return rung_first_add(&a->first, score, y, t->n_steps, a->n_problems - 1, err);
}

static rung_status load(steps *a, rung_store *s, const rung_steps_opts *o, rung_error *err) {
    rung_iter *it = NULL;
    const rung_trace *t;
    void *score = NULL; /* scores, then labels */
    int64_t cap = 0;
    a->last_problem = -1;
    rung_status st = rung_trace_iter(&it, s, &o->traces, err);
    if (st != RUNG_OK) goto out;
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        RUNG_GOTO(next_problem(a, s, t->problem, o, err));
        a->n_traces += !a->left_out;
        a->n_left_out += a->left_out;
        if (a->left_out) continue;
        RUNG_GOTO(rung_grow(&score, &cap, 2 * (int64_t)t->n_steps, sizeof(double), err));
        RUNG_GOTO(rung_step_scores(score, s, t, o->model, err));
        RUNG_GOTO(add_trace(a, s, t, score, (double *)score + t->n_steps, o, err));
    }
    if (st == RUNG_DONE) st = RUNG_OK;
out:
    rung_iter_free(it);
    rung_free(score);
    return st;
}

int rung_step_item_cmp(const void *x, const void *y) {
    double a = ((const item *)x)->p, b = ((const item *)y)->p;
    return (a > b) - (a < b);
}

typedef rung_step_draw weighted;

static void draw(weighted *w, const uint32_t *index, int64_t n) {
    for (uint32_t i = 0; i < w->n_problems; i++) w->weight[i] = 0.0;
    for (int64_t i = 0; i < n; i++) w->weight[index[i]] += 1.0;
}

double rung_step_auroc(void *ud, const uint32_t *index, int64_t n_index) {
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

double rung_step_brier(void *ud, const uint32_t *index, int64_t n_index) {
    weighted *w = ud;
    draw(w, index, n_index);
    double n = 0.0, sum = 0.0;
    for (int64_t i = 0; i < w->n; i++) {
        double weight = w->weight[w->item[i].problem], d = w->item[i].p - w->item[i].y;
        n += weight;
        sum += weight * d * d;
    }
    return n > 0.0 ? sum / n : (double)NAN;
}

/* Bins as in rung_reliability: (l, u], 0 in the first. Scores outside [0, 1] have none. */
double rung_step_ece(void *ud, const uint32_t *index, int64_t n_index) {
    weighted *w = ud;
    double gap[N_BINS] = {0.0}, n = 0.0, sum = 0.0;
    draw(w, index, n_index);
    for (int64_t i = 0; i < w->n; i++) {
        double p = w->item[i].p, weight = w->weight[w->item[i].problem];
        if (!(p >= 0.0 && p <= 1.0)) return (double)NAN;
        int bin = (int)ceil(p * (double)N_BINS) - 1;
        gap[bin < 0 ? 0 : bin] += weight * (p - w->item[i].y);
        n += weight;
    }
    for (int b = 0; b < N_BINS; b++) sum += fabs(gap[b]);
    return n > 0.0 ? sum / n : (double)NAN;
}

/* AP of wrong steps by 1 - p: the lowest scores are taken first. */
double rung_step_ap(void *ud, const uint32_t *index, int64_t n_index) {
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

void rung_step_put(rung_buf *b, const char *key, double (*stat)(void *, const uint32_t *, int64_t),
                   rung_step_draw *d) {
    uint32_t *all = rung_calloc((size_t)d->n_problems + 1, sizeof *all);
    for (uint32_t i = 0; all && i < d->n_problems; i++) all[i] = i;
    put(b, key, all ? stat(d, all, d->n_problems) : (double)NAN);
    rung_free(all);
    rung_buf_printf(b, ",\"%s_ci95\":", key);
    rung_put_interval(b, rung_bootstrap(stat, d, d->n_problems, d->n_boot, LEVEL, d->seed));
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
    put(b, "brier_skill", chance > 0.0 ? 1.0 - brier / chance : (double)NAN);
    put(b, "nll", rung_nll(p, y, n));
    put(b, "ece_mass10", rung_ece_mass(p, y, n, N_MASS));
    put(b, "mce15", rung_mce(p, y, n, N_BINS));
    put_bins(b, p, y, n);
    for (int64_t i = 0; soft && i < n; i++) y[i] = it[i].soft;
    put(b, "brier_soft", soft ? rung_brier(p, y, n) : (double)NAN);
    put(b, "ece15_soft", soft ? rung_ece(p, y, n, N_BINS) : (double)NAN);
}

/* The steps that the policy's own probabilities get wrong: hard operations alone. */
static rung_status put_hard(rung_buf *b, const steps *a, rung_step_draw d, rung_error *err) {
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
        d.item = hard, d.n = n;
        rung_buf_printf(b, ",\"n_hard\":%lld,\"n_hard_wrong\":%lld", (long long)n,
                        (long long)n_wrong);
        rung_step_put(b, "auroc_hard", rung_step_auroc, &d);
    }
    rung_free(hard);
    return RUNG_OK;
}

static rung_status put_ranking(rung_buf *b, steps *a, const rung_steps_opts *o, rung_error *err) {
    double *weight = rung_calloc((size_t)a->n_problems + 1, sizeof *weight);
    if (!weight)
        return rung_fail(err, RUNG_E_NOMEM, "out of memory for %u problems", a->n_problems);
    rung_step_draw d = {a->item,       a->n,    weight,
                        a->n_problems, o->seed, o->n_boot > 0 ? o->n_boot : N_BOOT};
    rung_step_put(b, "auroc", rung_step_auroc, &d);
    rung_step_put(b, "ap_wrong", rung_step_ap, &d);
    rung_step_put(b, "brier", rung_step_brier, &d);
    rung_step_put(b, "ece15", rung_step_ece, &d);
    rung_status st = put_hard(b, a, d, err);
    double tau = o->tune_on_test ? (double)NAN : isnan(o->threshold) ? 0.5 : o->threshold;
    if (st == RUNG_OK)
        st = rung_first_put(b, &a->first, tau,
                            isnan(o->threshold) ? "0.5, as nothing was said" : o->threshold_from, d,
                            err);
    rung_free(weight);
    return st;
}

static rung_status put_object(rung_buf *json, steps *a, const rung_steps_opts *o, double *room,
                              rung_error *err) {
    rung_buf_printf(
        json, "{\"v\":1,\"metric\":\"steps\",\"model\":%lld,\"score\":\"%s\",\"label_source\":",
        (long long)o->model, o->model ? "reward" : "confidence");
    rung_buf_json_str(json, o->label_source, strlen(o->label_source));
    rung_buf_printf(json,
                    ",\"n_steps\":%lld,\"n_traces\":%lld,\"n_problems\":%u,\"n_unscored\":%lld,"
                    "\"n_unlabelled\":%lld,\"n_left_out\":%lld,\"run\":%lld,\"seed\":%llu",
                    (long long)a->n, (long long)a->n_traces, a->n_problems,
                    (long long)a->n_unscored, (long long)a->n_unlabelled, (long long)a->n_left_out,
                    (long long)o->traces.run, (unsigned long long)o->seed);
    if (o->note) {
        rung_buf_str(json, ",");
        rung_buf_str(json, o->note);
    }
    RUNG_TRY(put_ranking(json, a, o, err));
    put_calibration(json, a->item, a->n, room, room + a->n);
    put_shapes(json, a);
    rung_buf_str(json, "}");
    return rung_buf_check(json, err);
}

rung_status rung_bench_steps_as(rung_buf *json, rung_store *s, const rung_steps_opts *o,
                                rung_error *err) {
    if (!o || o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "rung_steps_opts of another size");
    if (!o->label_source || !o->label_source[0])
        return rung_fail(err, RUNG_E_INVAL, "steps are measured against labels: name their source");
    steps *a = rung_calloc(1, sizeof *a);
    size_t mark = json->n;
    double *room = NULL;
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_status st;
    RUNG_GOTO(load(a, s, o, err));
    if (a->n_traces == 0) {
        st = rung_fail(err, RUNG_E_NOT_FOUND, "no traces match: nothing to measure");
        if (a->n_left_out)
            rung_error_hint(err, "all %lld are of problems that the model was trained on",
                            (long long)a->n_left_out);
        goto out;
    }
    if (a->n) qsort(a->item, (size_t)a->n, sizeof(item), rung_step_item_cmp);
    room = rung_calloc((size_t)a->n + 1, 2 * sizeof *room);
    if (!room) {
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld steps", (long long)a->n);
        goto out;
    }
    st = put_object(json, a, o, room, err);
out:
    if (st != RUNG_OK && json->data) json->data[json->n = mark] = 0; /* no half object */
    rung_free(room);
    steps_clear(a);
    rung_free(a);
    return st;
}

rung_status rung_bench_steps(rung_buf *json, rung_store *s, int64_t model, const char *label_source,
                             const rung_filter *traces, uint64_t seed, rung_error *err) {
    rung_steps_opts o = RUNG_STEPS_OPTS_INIT;
    o.model = model;
    o.label_source = label_source;
    o.seed = seed;
    if (traces) o.traces = *traces;
    return rung_bench_steps_as(json, s, &o, err);
}

rung_status rung_arm_steps(rung_arm *out, rung_store *s, int64_t model, const char *label_source,
                           const rung_filter *traces, rung_error *err) {
    steps a = {0};
    rung_steps_opts o = RUNG_STEPS_OPTS_INIT;
    o.model = model;
    o.label_source = label_source;
    if (traces) o.traces = *traces;
    rung_status st = load(&a, s, &o, err);
    for (int64_t i = 0; i < a.n && st == RUNG_OK; i++) {
        const item *x = (const item *)a.item + i;
        st = rung_arm_push(out, (uint64_t)x->problem_id, x->p, x->y, err);
    }
    steps_clear(&a);
    return st;
}
