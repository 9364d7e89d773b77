/* Reference solutions with planted errors as traces, so that whoever labels steps can be held
 * against the truth of every one of them (labels.md 6, honest check a). */
#include "rung/planted.h"
#include "rung/trace.h"

#include <math.h>
#include <string.h>

static const char SOURCE[] = "planted";

typedef struct planter {
    rung_store *s;
    int64_t run;
    const rung_plant_opts *o;
    rung_arena *a; /* of one trace */
    rung_plant_counts *n;
} planter;

static rung_status put_labels(planter *w, const rung_trace *t, const rung_planted *truth,
                              rung_error *err) {
    for (int32_t k = 0; k < t->n_steps; k++) {
        rung_label l = {.run = w->run,
                        .node = t->step[k].node,
                        .source = SOURCE,
                        .labeler = "world",
                        .hard = truth->right[k],
                        .soft = truth->right[k] ? 1.0 : 0.0,
                        .n = 1,
                        .c = truth->right[k]};
        RUNG_TRY(rung_label_put(w->s, &l, NULL, err));
        w->n->n_steps++;
        w->n->n_planted += truth->planted[k];
        w->n->n_wrong += !truth->right[k];
    }
    return RUNG_OK;
}

/* Trace i of the problem; the world's checker has to find the first error where it was put. */
static rung_status put_one(planter *w, const rung_problem *p, const rung_planted *truth,
                           const rung_buf *text, int32_t i, rung_error *err) {
    rung_step *step = NULL;
    int32_t n_steps = 0;
    bool is_new = false;
    RUNG_TRY(rung_split_steps(&step, &n_steps, "line", text->data, text->n, err));
    rung_trace t = {.run = w->run,
                    .problem = p->id,
                    .i = i,
                    .generator = SOURCE,
                    .text = text->data,
                    .n_bytes = (int32_t)text->n,
                    .step = step,
                    .n_steps = n_steps,
                    .stop = "given",
                    .first_error = RUNG_FIRST_ERROR_UNKNOWN,
                    .first_error_source = ""};
    rung_status st = rung_trace_judge(&t, w->a, p, err);
    if (st == RUNG_OK && (n_steps != truth->n_steps || t.first_error != truth->first_error))
        st = rung_fail(err, RUNG_E_MISUSE, "problem %lld: its first error is not where it was put",
                       (long long)p->id);
    if (st == RUNG_OK) st = rung_trace_put(w->s, &t, step, &is_new, err);
    if (st == RUNG_OK && is_new) {
        w->n->n_traces++;
        st = put_labels(w, &t, truth, err);
    }
    if (st == RUNG_OK && !is_new) w->n->n_had++;
    rung_free(step);
    return st;
}

static rung_status plant_problem(planter *w, const rung_problem *p, rung_error *err) {
    const rung_world *world = rung_world_find(p->world);
    rung_status st = RUNG_OK;
    if (!world || !world->plant) {
        w->n->n_left_out++;
        return RUNG_OK;
    }
    for (int32_t i = 0; i < w->o->n && st == RUNG_OK; i++) {
        rung_planted truth;
        rung_buf text;
        rung_buf_init(&text, 1 << 20);
        rung_arena_reset(w->a);
        st = world->plant(&text, &truth, p->meta, (uint64_t)i, w->o->slip, err);
        if (st == RUNG_OK) st = put_one(w, p, &truth, &text, i, err);
        rung_buf_clear(&text);
    }
    return st;
}

rung_status rung_trace_plant(rung_plant_counts *out, rung_store *s, int64_t run_id,
                             const rung_plant_opts *o, const rung_log *log, rung_error *err) {
    rung_iter *it = NULL;
    const rung_problem *p;
    planter w = {.s = s, .run = run_id, .o = o, .n = out};
    memset(out, 0, sizeof *out);
    if (o->n < 1 || !(o->slip >= 0.0 && o->slip <= 1.0))
        return rung_fail(err, RUNG_E_INVAL,
                         "planting %d traces with chance %g: need 1 or more, 0..1", o->n, o->slip);
    w.a = rung_arena_new(0);
    if (!w.a) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_status st = rung_problem_iter(&it, s, &o->problems, err);
    while (st == RUNG_OK && (st = rung_problem_next(&p, it, err)) == RUNG_OK) {
        st = rung_store_begin(s, err); /* a problem's traces and labels, whole or not at all */
        if (st != RUNG_OK) break;
        st = plant_problem(&w, p, err);
        if (st == RUNG_OK)
            st = rung_store_commit(s, err);
        else
            rung_store_rollback(s);
        if (st == RUNG_OK) st = rung_progress(log, "traces", out->n_traces, 0, 0, err);
    }
    rung_iter_free(it);
    rung_arena_free(w.a);
    return st == RUNG_DONE ? RUNG_OK : st;
}
