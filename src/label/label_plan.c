#include "label/label_plan.h"

#include <string.h>

/* A trace that ends here with a known verdict settles it (labels.md 0.1: for the last step MC is
 * the verifier's word); a trace that only broke off here does not. */
bool rung_plan_samples(const plan_node *v) {
    return v->verdict == RUNG_VERDICT_UNKNOWN && v->internal;
}

static rung_status grow(label_plan *p, rung_error *err) {
    int32_t cap = p->cap ? p->cap * 2 : 1024;
    plan_node *node = rung_realloc(p->node, (size_t)cap * sizeof *node);
    if (!node) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d nodes", cap);
    p->node = node;
    p->cap = cap;
    return RUNG_OK;
}

static rung_status visit(label_plan *p, int32_t *index, int64_t id, int64_t problem, int32_t parent,
                         rung_error *err) {
    if (p->n == p->cap) RUNG_TRY(grow(p, err));
    int64_t *at = keymap_at(&p->at, (uint64_t)id);
    if (!at) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d nodes", p->n + 1);
    if (!*at) {
        p->node[p->n] =
            (plan_node){.id = id, .problem = problem, .parent = parent, .child = -1, .sibling = -1};
        *at = ++p->n;
    }
    *index = (int32_t)*at - 1;
    return RUNG_OK;
}

static rung_status add_trace(label_plan *p, const rung_trace *t, rung_error *err) {
    int32_t parent = -1;
    for (int32_t k = 0; k < t->n_steps; k++) {
        int32_t i = 0;
        RUNG_TRY(visit(p, &i, t->step[k].node, t->problem, parent, err));
        if (k + 1 < t->n_steps)
            p->node[i].internal = true;
        else if (t->verdict != RUNG_VERDICT_UNKNOWN)
            p->node[i].verdict = t->verdict;
        parent = i;
    }
    p->n_traces++;
    return RUNG_OK;
}

rung_status rung_plan_read(label_plan *out, rung_store *s, const rung_filter *traces,
                           int32_t traces_per_problem, rung_error *err) {
    *out = (label_plan){0};
    rung_iter *it;
    RUNG_TRY(rung_trace_iter(&it, s, traces, err));
    const rung_trace *t;
    rung_status st;
    int64_t problem = 0, n_of_problem = 0;
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if (t->problem != problem) problem = t->problem, n_of_problem = 0;
        if (traces_per_problem > 0 && n_of_problem++ >= traces_per_problem) continue;
        if ((st = add_trace(out, t, err)) != RUNG_OK) break;
    }
    rung_iter_free(it);
    if (st != RUNG_DONE) {
        rung_plan_clear(out);
        return st;
    }
    for (int32_t i = out->n - 1; i >= 0; i--) { /* backwards: children in order of appearance */
        plan_node *v = &out->node[i];
        if (v->parent < 0) continue;
        v->sibling = out->node[v->parent].child;
        out->node[v->parent].child = i;
    }
    return RUNG_OK;
}

void rung_plan_clear(label_plan *p) {
    rung_free(p->node);
    keymap_clear(&p->at);
    *p = (label_plan){0};
}
