/* Monte-Carlo step labels, Math-Shepherd (labels.md 3): from each prefix but the last, up to K
 * completions; hard = 1[c / known > theta], soft = c / known.
 *
 * The unit of work is a node (a prefix), so traces that share one share its rollouts. The roller
 * makes them; when a node has had enough is the rule's to say (rollout_rule.h). Nodes are asked for
 * in the order of the plan, depth first, which keeps prefixes resident; or, with `allocate`, where
 * the next rollout is likeliest to change a label. */
#include "label/label_plan.h"
#include "label/roller.h"

#include <math.h>
#include <string.h>

typedef struct labeler {
    const rung_mc_opts *o;
    rung_store *store;
    int64_t run;
    roller *r;
    rollout_rule rule;
    label_plan plan;
    roll_job *job;           /* per node of the plan */
    int32_t *stack, n_stack; /* released, not yet looked at */
} labeler;

static rung_status label_node(labeler *w, int32_t index, int32_t c, int32_t wrong, int32_t unknown,
                              int32_t *hard, rung_error *err) {
    int32_t n = c + wrong;
    *hard = rollout_rule_hard(&w->rule, c, wrong);
    rung_label l = {.run = w->run,
                    .node = w->plan.node[index].id,
                    .source = "mc",
                    .labeler = roller_name(w->r),
                    .hard = *hard,
                    .soft = n ? (double)c / n : (double)NAN,
                    .n = n,
                    .c = c,
                    .n_unknown = unknown};
    return roller_label(w->r, &l, err);
}

static void push_children(labeler *w, int32_t index) {
    int32_t first = w->n_stack;
    for (int32_t c = w->plan.node[index].child; c >= 0; c = w->plan.node[c].sibling)
        w->stack[w->n_stack++] = c;
    for (int32_t a = first, b = w->n_stack - 1; a < b; a++, b--) { /* first child on top */
        int32_t t = w->stack[a];
        w->stack[a] = w->stack[b];
        w->stack[b] = t;
    }
}

/* The work below a cut node will not be done: take it out of the total. */
static void cut_below(labeler *w, int32_t index) {
    int32_t bottom = w->n_stack;
    push_children(w, index);
    while (w->n_stack > bottom) {
        int32_t i = w->stack[--w->n_stack];
        if (rung_plan_samples(&w->plan.node[i])) roller_total(w->r, -w->o->k);
        push_children(w, i);
    }
}

/* A label is known: in the cutting mode, this decides about the steps after it. */
static void node_done(labeler *w, int32_t index, int32_t hard) {
    if (!w->o->stop_at_zero) return;
    if (hard == 0)
        cut_below(w, index);
    else
        push_children(w, index);
}

/* What the next outcomes are worth, per token; a prefix without any comes first. */
static double key_of(const labeler *w, const roll_job *j) {
    if (!w->o->allocate) return (double)j->owner;
    roll_counts k = roll_job_counts(j, j->have);
    if (k.n == 0) return -1.0;
    double tok = fmax(1.0, (double)k.n_tok / k.n);
    return -rollout_rule_doubt(&w->rule, k.n, k.c, k.wrong) / tok;
}

static rung_status ask(labeler *w, roll_job *j, rung_error *err) {
    return roller_ask(w->r, j, rollout_rule_next(&w->rule, j->have), key_of(w, j), err);
}

static rung_status start(labeler *w, int32_t index, rung_error *err) {
    const plan_node *v = &w->plan.node[index];
    if (!w->o->stop_at_zero) push_children(w, index);
    bool samples = rung_plan_samples(v), found = false;
    int32_t hard;
    rung_label l;
    RUNG_TRY(rung_label_get(&l, &found, w->store, w->run, v->id, "mc", err));
    if (found) {
        if (samples) roller_total(w->r, -w->o->k);
        node_done(w, index, l.hard);
        return RUNG_OK;
    }
    if (!samples) {
        bool right = v->verdict == RUNG_VERDICT_CORRECT, wrong = v->verdict == RUNG_VERDICT_WRONG;
        RUNG_TRY(label_node(w, index, right, wrong, !right && !wrong, &hard, err));
        node_done(w, index, hard);
        return RUNG_OK;
    }
    roll_job *j = &w->job[index];
    roll_job_init(j, v->id, v->problem, w->o->k, false);
    j->owner = index;
    return ask(w, j, err);
}

static rung_status start_released(labeler *w, rung_error *err) {
    while (w->n_stack > 0) RUNG_TRY(start(w, w->stack[--w->n_stack], err));
    return RUNG_OK;
}

static rung_status on_ready(void *ud, roll_job *j, rung_error *err) {
    labeler *w = ud;
    int32_t index = (int32_t)j->owner, hard;
    roll_counts k = roll_job_counts(j, w->o->eager ? j->cap : j->have);
    if (!rollout_rule_settled(&w->rule, k.n, k.c, k.wrong) && j->have < j->cap)
        return ask(w, j, err);
    roller_total(w->r, j->have - w->o->k);
    roll_job_clear(j);
    RUNG_TRY(label_node(w, index, k.c, k.wrong, k.unknown, &hard, err));
    node_done(w, index, hard);
    return start_released(w, err);
}

static bool is_settled(void *ud, const roll_job *j) {
    const labeler *w = ud;
    roll_counts k = roll_job_counts(j, j->cap);
    return rollout_rule_settled(&w->rule, k.n, k.c, k.wrong);
}

static rung_status prepare(labeler *w, rung_error *err) {
    RUNG_TRY(rung_plan_read(&w->plan, w->store, &w->o->traces, w->o->traces_per_problem, err));
    if (w->plan.n_traces == 0) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no traces match");
        return rung_error_hint(err, "sample or import some first");
    }
    w->stack = rung_alloc(((size_t)w->plan.n + 1) * sizeof *w->stack);
    w->job = rung_calloc((size_t)w->plan.n + 1, sizeof *w->job);
    if (!w->stack || !w->job)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %d nodes", w->plan.n);
    for (int32_t i = w->plan.n - 1; i >= 0; i--) {
        if (w->plan.node[i].parent < 0) w->stack[w->n_stack++] = i;
        if (rung_plan_samples(&w->plan.node[i])) roller_total(w->r, w->o->k);
    }
    return RUNG_OK;
}

static rung_status drive(labeler *w, const rung_log *log, rung_error *err) {
    RUNG_TRY(prepare(w, err));
    rung_event(log, RUNG_INFO, "label.mc", RUNG_I("traces", w->plan.n_traces),
               RUNG_I("prefixes", w->plan.n), RUNG_I("k", w->o->k),
               RUNG_S("stopping", rung_stopping_name(w->o->stopping)));
    RUNG_TRY(start_released(w, err));
    return roller_run(w->r, err);
}

rung_status rung_label_mc(rung_store *s, rung_engine *e, int64_t run_id, const rung_mc_opts *o,
                          const rung_log *log, rung_error *err) {
    labeler *w = rung_calloc(1, sizeof *w);
    if (!w) return rung_fail(err, RUNG_E_NOMEM, "no memory to label");
    *w = (labeler){.o = o, .store = s, .run = run_id};
    roller_opts ro = {.store = s,
                      .engine = e,
                      .run = run_id,
                      .o = o,
                      .log = log,
                      .ready = on_ready,
                      .settled = is_settled,
                      .ud = w};
    rung_status st = roller_new(&w->r, &ro, err);
    if (st == RUNG_OK) {
        w->rule = rollout_rule_of(o);
        st = drive(w, log, err);
    }
    for (int32_t i = 0; w->job && i < w->plan.n; i++) roll_job_clear(&w->job[i]);
    roller_free(w->r);
    rung_free(w->stack);
    rung_free(w->job);
    rung_plan_clear(&w->plan);
    rung_free(w);
    return st;
}
