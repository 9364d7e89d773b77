/* What a labelling run gave for its rollouts: labels, their balance, their agreement with the
 * world's truth (labels.md 3, 7). */
#include "base/keymap.h"
#include "bench/pool.h"
#include "rung/claim.h"
#include "trace/flow.h"
#include <math.h>
#include <string.h>

typedef struct yield {
    rung_label_yield z;
    rung_arm *arm;
    rung_yield_figure figure;
    rung_store *s;
    const rung_label_source *from;
    keymap node;    /* seen -> 1 */
    keymap problem; /* labels of it + 1 */
    double x, y;    /* of the problem at hand */
    int64_t at;
} yield;

static rung_status flush(yield *w, rung_error *err) {
    if (!w->at) return RUNG_OK;
    int64_t *seen = keymap_at(&w->problem, (uint64_t)w->at);
    if (!seen) return rung_fail(err, RUNG_E_NOMEM, "out of memory for problems");
    *seen = 1;
    bool labels = w->figure == RUNG_YIELD_LABELS;
    if (w->arm && (labels || w->y > 0.0))
        RUNG_TRY(rung_arm_push(w->arm, (uint64_t)w->at, w->x, labels ? 1.0 : w->y, err));
    w->z.n_labelled += w->y > 0.0 || (labels && w->x > 0.0);
    w->x = w->y = 0.0;
    return RUNG_OK;
}

static rung_status add_step(yield *w, const rung_trace *t, int32_t k, rung_error *err) {
    int64_t *seen = keymap_at(&w->node, (uint64_t)t->step[k].node);
    if (!seen) return rung_fail(err, RUNG_E_NOMEM, "out of memory for prefixes");
    if (*seen) return RUNG_OK;
    *seen = 1;
    rung_label l;
    bool found = false;
    RUNG_TRY(rung_label_get(&l, &found, w->s, w->from->run, t->step[k].node, w->from->source, err));
    if (!found || l.hard < 0) return RUNG_OK;
    double truth = rung_trace_truth(t, k);
    bool known = !isnan(truth), agrees = known && (truth > 0.5) == (l.hard == 1);
    w->z.n_labels++;
    w->z.n_hard_1 += l.hard == 1;
    w->z.n_known += known;
    w->z.n_agree += agrees;
    bool agree = w->figure == RUNG_YIELD_AGREE;
    w->x += w->figure == RUNG_YIELD_LABELS ? 1.0 : agree ? agrees : l.hard == 1;
    w->y += agree ? known : 1.0;
    return RUNG_OK;
}

/* Problems that no trace of the labeler has: 0 labels. */
static rung_status add_missing(yield *w, const rung_filter *problems, rung_error *err) {
    rung_iter *it = NULL;
    const rung_problem *p;
    rung_filter f = *problems;
    f.run = f.trace = 0;
    rung_status st = rung_problem_iter(&it, w->s, &f, err);
    while (st == RUNG_OK && (st = rung_problem_next(&p, it, err)) == RUNG_OK) {
        w->z.n_problems++;
        if (w->arm && w->figure == RUNG_YIELD_LABELS && !keymap_get(&w->problem, (uint64_t)p->id))
            st = rung_arm_push(w->arm, (uint64_t)p->id, 0.0, 1.0, err);
    }
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

rung_status rung_bench_yield(rung_label_yield *out, rung_arm *arm, rung_yield_figure figure,
                             rung_store *s, const rung_label_source *labels,
                             const rung_filter *traces, const rung_filter *problems,
                             rung_error *err) {
    yield w = {.arm = arm, .figure = figure, .s = s, .from = labels};
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_status st = rung_trace_iter(&it, s, traces, err);
    while (st == RUNG_OK && (st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if (t->problem != w.at) st = flush(&w, err);
        w.at = t->problem;
        for (int32_t k = 0; k < t->n_steps && st == RUNG_OK; k++) st = add_step(&w, t, k, err);
    }
    if (st == RUNG_DONE) st = flush(&w, err);
    if (st == RUNG_OK) st = add_missing(&w, problems, err);
    rung_iter_free(it);
    keymap_clear(&w.node);
    keymap_clear(&w.problem);
    *out = w.z;
    return st;
}
