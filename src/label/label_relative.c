/* GenPRM's relative progress (labels.md 8): a step is right when the chance to succeed does not
 * fall by it. A prefix is compared with its parent at the same look: both by their first m
 * outcomes. The parent is extended when a child needs it longer than the parent did for its own
 * label, so what is said of a step depends on the draws alone. */
#include "label/label_plan.h"
#include "label/roller.h"

#include <math.h>
#include <string.h>

typedef struct rel_node {
    roll_job job;
    int32_t pending;  /* outcomes that somebody wants */
    int32_t look;     /* of its own label */
    bool begun, done; /* its label */
    bool fixed;       /* no rollouts: the verdict is its value */
} rel_node;

typedef struct rel_root {
    int64_t problem;
    rel_node v;
    int32_t k;     /* of the problem, 0 = not known yet */
    int32_t first; /* a plan node of this problem */
} rel_root;

typedef struct relative {
    const rung_relative_opts *o;
    rung_store *store;
    int64_t run;
    roller *r;
    label_plan plan;
    rel_node *node; /* per node of the plan */
    int32_t *root_of;
    rel_root *root;
    int32_t n_roots;
    int32_t k_hard, k_mid, k_easy, k_max;
    progress_rule rule;
    rung_relative_report report;
} relative;

static rel_node *parent_of(relative *w, int32_t index) {
    int32_t p = w->plan.node[index].parent;
    return p < 0 ? &w->root[w->root_of[index]].v : &w->node[p];
}

static int32_t k_of(const relative *w, int32_t index) {
    return w->root[w->root_of[index]].k;
}

/* Counts of a prefix at look m; of an end of traces: its verdict. */
static roll_counts counts_at(const relative *w, const rel_node *v, int32_t index, int32_t m) {
    if (!v->fixed) return roll_job_counts(&v->job, m);
    rung_verdict x = w->plan.node[index].verdict;
    return (roll_counts){.n = 1,
                         .c = x == RUNG_VERDICT_CORRECT,
                         .wrong = x == RUNG_VERDICT_WRONG,
                         .unknown = x == RUNG_VERDICT_UNKNOWN};
}

static progress_counts of(const roll_counts *k, bool is_sure) {
    return (progress_counts){k->c, k->wrong, is_sure};
}

static rung_status want(relative *w, rel_node *v, int32_t m, double key, rung_error *err) {
    if (v->fixed || v->job.have >= m) return RUNG_OK;
    if (m > v->pending) v->pending = m;
    if (v->job.state != ROLL_IDLE) return RUNG_OK; /* taken up when it comes back */
    return roller_ask(w->r, &v->job, v->pending, key, err);
}

static rung_status put_label(relative *w, int32_t index, const roll_counts *k, int32_t hard,
                             double soft, rung_error *err) {
    rung_label l = {.run = w->run,
                    .node = w->plan.node[index].id,
                    .source = "relative",
                    .labeler = roller_name(w->r),
                    .hard = hard,
                    .soft = soft,
                    .n = k->c + k->wrong,
                    .c = k->c,
                    .n_unknown = k->unknown};
    return roller_label(w->r, &l, err);
}

static rung_status begin_children(relative *w, int32_t first, rung_error *err);

/* Below a prefix that never succeeds: all 0, without rollouts (nothing is divided by 0). */
static rung_status all_zero(relative *w, int32_t first, rung_error *err) {
    const roll_counts none = {0};
    for (int32_t i = first; i >= 0; i = w->plan.node[i].sibling) {
        if (w->node[i].begun) continue;
        w->node[i].begun = w->node[i].done = true;
        RUNG_TRY(put_label(w, i, &none, 0, 0.0, err));
        RUNG_TRY(all_zero(w, w->plan.node[i].child, err));
    }
    return RUNG_OK;
}

static rung_status finish(relative *w, int32_t index, const roll_counts *k, int32_t hard,
                          double soft, rung_error *err) {
    w->node[index].done = true;
    RUNG_TRY(put_label(w, index, k, hard, soft, err));
    int32_t child = w->plan.node[index].child;
    if (hard == 0 && w->o->roll.stop_at_zero) return RUNG_OK;
    if (k->c == 0 && k->wrong > 0) return all_zero(w, child, err);
    return begin_children(w, child, err);
}

/* One look at a step: enough outcomes of it and of its parent, or ask for them. */
static rung_status look(relative *w, int32_t index, rung_error *err) {
    rel_node *v = &w->node[index], *p = parent_of(w, index);
    int32_t k = k_of(w, index);
    while (v->begun && !v->done) {
        if ((!v->fixed && v->job.have < v->look) || p->job.have < v->look) {
            RUNG_TRY(want(w, v, v->look, index, err));
            return want(w, p, v->look, index, err);
        }
        roll_counts a = counts_at(w, v, index, v->look);
        roll_counts b = roll_job_counts(&p->job, v->look);
        double soft;
        int32_t hard = progress_hard(&soft, &w->rule, of(&a, v->fixed), of(&b, false));
        bool last = v->look >= k;
        if (last || progress_settled(&w->rule, v->look, k, of(&a, v->fixed), of(&b, false)))
            return finish(w, index, &a, hard, soft, err);
        v->look = progress_next(&w->rule, v->look, k);
    }
    return RUNG_OK;
}

static rung_status begin_children(relative *w, int32_t first, rung_error *err) {
    for (int32_t i = first; i >= 0; i = w->plan.node[i].sibling) {
        rel_node *v = &w->node[i];
        const plan_node *n = &w->plan.node[i];
        if (v->begun) continue;
        v->begun = true;
        v->fixed = !rung_plan_samples(n);
        v->look = progress_next(&w->rule, 0, k_of(w, i));
        roll_job_init(&v->job, n->id, n->problem, w->k_max, false);
        v->job.owner = i;
        RUNG_TRY(look(w, i, err));
    }
    return RUNG_OK;
}

/* The first steps of a root's problem: the plan keeps no list of them, so walk its traces' nodes.
 */
static rung_status begin_problem(relative *w, int32_t root, rung_error *err) {
    for (int32_t i = w->root[root].first; i < w->plan.n && w->root_of[i] == root; i++) {
        if (w->plan.node[i].parent >= 0 || w->node[i].begun) continue;
        w->plan.node[i].sibling = -1;
        RUNG_TRY(begin_children(w, i, err));
    }
    return RUNG_OK;
}

static rung_status root_ready(relative *w, int32_t index, rung_error *err) {
    rel_root *z = &w->root[index];
    if (z->k == 0) {
        roll_counts k = roll_job_counts(&z->v.job, z->v.job.have);
        double rate = k.c + k.wrong ? (double)k.c / (k.c + k.wrong) : 0.0;
        z->k = rate < 0.1 ? w->k_hard : rate < 0.9 ? w->k_mid : w->k_easy;
        if (z->v.job.have < z->k && (k.c == 0 || w->o->roll.stopping == RUNG_STOPPING_FIXED))
            return want(w, &z->v, z->k, -1.0, err);
    }
    roll_counts k = roll_job_counts(&z->v.job, z->v.job.have);
    if (k.c == 0) {
        w->report.n_hopeless++;
        return RUNG_OK;
    }
    return begin_problem(w, index, err);
}

static rung_status on_ready(void *ud, roll_job *j, rung_error *err) {
    relative *w = ud;
    bool is_root = j->owner < 0;
    int32_t index = is_root ? (int32_t)(-j->owner - 1) : (int32_t)j->owner;
    rel_node *v = is_root ? &w->root[index].v : &w->node[index];
    if (v->pending > j->have) return roller_ask(w->r, j, v->pending, j->key, err);
    if (is_root && !v->begun) {
        bool knew = w->root[index].k != 0;
        RUNG_TRY(root_ready(w, index, err));
        v->begun = knew || v->job.state == ROLL_IDLE;
        if (!v->begun) return RUNG_OK;
    }
    if (!is_root) RUNG_TRY(look(w, index, err));
    if (!is_root) { /* children that wait for it */
        for (int32_t i = w->plan.node[index].child; i >= 0; i = w->plan.node[i].sibling)
            RUNG_TRY(look(w, i, err));
        return RUNG_OK;
    }
    for (int32_t i = w->root[index].first; i < w->plan.n && w->root_of[i] == index; i++)
        if (w->plan.node[i].parent < 0) RUNG_TRY(look(w, i, err));
    return RUNG_OK;
}

/* ---- setting up */

static rung_status number_roots(relative *w, rung_error *err) {
    size_t n = (size_t)w->plan.n + 1;
    w->node = rung_calloc(n, sizeof *w->node);
    w->root_of = rung_calloc(n, sizeof *w->root_of);
    w->root = rung_calloc(n, sizeof *w->root);
    if (!w->node || !w->root_of || !w->root)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %d nodes", w->plan.n);
    for (int32_t i = 0; i < w->plan.n; i++) { /* traces come problem by problem */
        int64_t problem = w->plan.node[i].problem;
        if (i == 0 || w->plan.node[i - 1].problem != problem) {
            rel_root *z = &w->root[w->n_roots];
            int64_t node;
            *z = (rel_root){.problem = problem, .first = i};
            RUNG_TRY(rung_node_put(&node, w->store, problem, 0, "", 0, err));
            roll_job_init(&z->v.job, node, problem, w->k_max, false);
            z->v.job.owner = -1 - w->n_roots++;
        }
        w->root_of[i] = w->n_roots - 1;
    }
    return RUNG_OK;
}

/* Traces of the model that completes are rollouts from the bare problem. */
static rung_status know_traces(relative *w, rung_error *err) {
    rung_iter *it;
    const rung_trace *t;
    rung_status st;
    int32_t at = 0;
    RUNG_TRY(rung_trace_iter(&it, w->store, &w->o->roll.traces, err));
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        while (at < w->n_roots && w->root[at].problem != t->problem) at++;
        if (at == w->n_roots) at = 0;
        if (w->root[at].problem != t->problem || strcmp(t->generator, roller_name(w->r)) != 0)
            continue;
        if ((st = roll_job_know(&w->root[at].v.job, t->verdict, t->n_tok, err)) != RUNG_OK) break;
    }
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

static rung_status drive(relative *w, const rung_log *log, rung_error *err) {
    RUNG_TRY(
        rung_plan_read(&w->plan, w->store, &w->o->roll.traces, w->o->roll.traces_per_problem, err));
    if (w->plan.n_traces == 0) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no traces match");
        return rung_error_hint(err, "sample or import some first");
    }
    RUNG_TRY(number_roots(w, err));
    RUNG_TRY(know_traces(w, err));
    w->report.n_problems = w->n_roots;
    rung_event(log, RUNG_INFO, "label.relative", RUNG_I("problems", w->n_roots),
               RUNG_I("prefixes", w->plan.n), RUNG_D("eps", w->rule.eps));
    for (int32_t i = 0; i < w->n_roots; i++) {
        w->root[i].v.pending = w->k_easy;
        RUNG_TRY(roller_ask(w->r, &w->root[i].v.job, w->k_easy, -1.0, err));
    }
    return roller_run(w->r, err);
}

static rung_status check(relative *w, const rung_relative_opts *o, rung_error *err) {
    if (o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "rung_relative_opts of another size");
    w->k_hard = o->k_hard ? o->k_hard : 128;
    w->k_mid = o->k_mid ? o->k_mid : 64;
    w->k_easy = o->k_easy ? o->k_easy : 32;
    w->k_max = w->k_hard > w->k_mid ? w->k_hard : w->k_mid;
    w->k_max = w->k_max > w->k_easy ? w->k_max : w->k_easy;
    w->rule =
        progress_rule_of(o->roll.stopping, o->difference, o->eps, o->roll.level, o->roll.margin);
    if (w->k_hard < 1 || w->k_mid < 1 || w->k_easy < 1 || !(w->rule.eps <= 2.0))
        return rung_fail(err, RUNG_E_INVAL, "k from 1 on, eps up to 2");
    return RUNG_OK;
}

rung_status rung_label_relative(rung_relative_report *out, rung_store *s, rung_engine *e,
                                int64_t run_id, const rung_relative_opts *o, const rung_log *log,
                                rung_error *err) {
    relative w = {.o = o, .store = s, .run = run_id};
    RUNG_TRY(check(&w, o, err));
    roller_opts ro = {.store = s,
                      .engine = e,
                      .run = run_id,
                      .o = &o->roll,
                      .log = log,
                      .ready = on_ready,
                      .ud = &w};
    rung_status st = roller_new(&w.r, &ro, err);
    if (st == RUNG_OK) st = drive(&w, log, err);
    for (int32_t i = 0; w.node && i < w.plan.n; i++) roll_job_clear(&w.node[i].job);
    for (int32_t i = 0; w.root && i < w.n_roots; i++) roll_job_clear(&w.root[i].v.job);
    if (out) *out = w.report;
    rung_free(w.node);
    rung_free(w.root);
    rung_free(w.root_of);
    rung_plan_clear(&w.plan);
    roller_free(w.r);
    return st;
}
