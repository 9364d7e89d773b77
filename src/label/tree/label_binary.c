/* OmegaPRM on the store and the engine (labels.md 3): a tree per problem (omega.c), whose probes go
 * to the roller. One probe of a problem is under way at a time, all problems at once.
 *
 * A prefix is a node of the store's tree, a unit below the other, so that rollouts made here are
 * those of any other labeler. The search follows from the stored rollouts alone: a resumed run
 * walks the same way and asks only for what is missing. */
#include "label/roller.h"
#include "label/tree/omega.h"

#include <math.h>
#include <string.h>

typedef struct tree {
    omega o;
    bool is_open;
    int64_t problem;
    roll_job job;
    int32_t probe;      /* node of o that the job is about */
    int32_t n_kept;     /* searches whose traces are stored */
    int64_t *unit_node; /* of the search under way: nodes of the store at its boundaries */
    int32_t cap_units, s, r;
} tree;

typedef struct binary {
    const rung_binary_opts *o;
    rung_store *store;
    int64_t run;
    roller *r;
    rollout_rule rule;
    tree *tree;
    int64_t n_trees, cap_trees;
    rung_binary_report report;
    const rung_log *log;
    rung_arena *arena;
    bool warned;
} binary;

/* ---- the roots: traces of the sampling run */

static rung_status new_tree(tree **out, binary *w, int64_t problem, rung_error *err) {
    if (w->n_trees == w->cap_trees) {
        int64_t cap = w->cap_trees ? w->cap_trees * 2 : 64;
        tree *grown = rung_realloc(w->tree, (size_t)cap * sizeof *grown);
        if (!grown) return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld trees", (long long)cap);
        w->tree = grown;
        w->cap_trees = cap;
    }
    *out = &w->tree[w->n_trees++];
    memset(*out, 0, sizeof **out);
    (*out)->problem = problem;
    (*out)->s = (*out)->r = -1;
    return RUNG_OK;
}

typedef struct roots {
    omega_roll *roll;
    int32_t n, cap, n_right, n_wrong;
    rung_arena *arena;
} roots;

static rung_status add_root(roots *z, const rung_trace *t, rung_error *err) {
    if (z->n == z->cap) {
        int32_t cap = z->cap ? z->cap * 2 : 32;
        omega_roll *grown = rung_realloc(z->roll, (size_t)cap * sizeof *grown);
        if (!grown) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d traces", cap);
        z->roll = grown;
        z->cap = cap;
    }
    const char *text = rung_arena_strndup(z->arena, t->text, (size_t)t->n_bytes);
    if (!text) return rung_fail(err, RUNG_E_NOMEM, "no memory for a trace");
    int32_t n_tok = t->n_tok > 0 ? t->n_tok : t->n_bytes / 4; /* foreign traces have no tokens */
    z->roll[z->n++] = (omega_roll){text, t->n_bytes, n_tok, t->verdict};
    z->n_right += t->verdict == RUNG_VERDICT_CORRECT;
    z->n_wrong += t->verdict == RUNG_VERDICT_WRONG;
    return RUNG_OK;
}

static rung_status close_problem(binary *w, roots *z, int64_t problem, rung_error *err) {
    rung_status st = RUNG_OK;
    if (z->n_right > 0 && z->n_wrong > 0) {
        tree *t = NULL;
        const rung_binary_opts *o = w->o;
        omega_opts oo = {o->roll.theta,
                         o->alpha,
                         o->beta,
                         o->len,
                         o->c_puct,
                         o->limit,
                         o->units ? o->units : "line"};
        st = new_tree(&t, w, problem, err);
        if (st == RUNG_OK) {
            t->is_open = true;
            st = omega_init(&t->o, &oo, err);
        }
        if (st == RUNG_OK) st = omega_give(&t->o, 0, z->roll, z->n, err);
    } else if (z->n > 0) {
        w->report.n_skipped++;
    }
    w->report.n_problems += z->n > 0;
    z->n = z->n_right = z->n_wrong = 0;
    rung_arena_reset(z->arena);
    return st;
}

static rung_status read_roots(binary *w, roots *z, rung_error *err) {
    rung_iter *it;
    const rung_trace *t;
    rung_status st;
    int64_t problem = 0;
    RUNG_TRY(rung_trace_iter(&it, w->store, &w->o->roll.traces, err));
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if (t->problem != problem) {
            st = close_problem(w, z, problem, err);
            problem = t->problem;
        }
        if (st != RUNG_OK) break;
        int32_t most = w->o->roll.traces_per_problem;
        if (most > 0 && z->n >= most) continue;
        if (strcmp(t->generator, roller_name(w->r)) != 0 && !w->warned) {
            w->warned = true;
            rung_event(w->log, RUNG_WARN, "label.root", RUNG_S("generator", t->generator),
                       RUNG_S("why", "traces of another model than the one that completes count as "
                                     "rollouts from the problem"));
        }
        if ((st = add_root(z, t, err)) != RUNG_OK) break;
    }
    rung_iter_free(it);
    return st == RUNG_DONE ? close_problem(w, z, problem, err) : st;
}

/* ---- prefixes in the store */

/* Nodes of the store at the boundaries of the search under way, up to unit m. */
static rung_status mark_units(binary *w, tree *t, int32_t m, rung_error *err) {
    omega *o = &t->o;
    if (t->s != o->s || t->r != o->r) {
        if (o->n_units + 1 > t->cap_units) {
            rung_free(t->unit_node);
            t->cap_units = 2 * (o->n_units + 1);
            t->unit_node = rung_alloc((size_t)t->cap_units * sizeof *t->unit_node);
            if (!t->unit_node) return rung_fail(err, RUNG_E_NOMEM, "no memory for units");
        }
        memset(t->unit_node, 0, (size_t)t->cap_units * sizeof *t->unit_node);
        t->s = o->s;
        t->r = o->r;
        t->unit_node[0] = o->node[o->s].mark;
    }
    const char *text = o->roll[o->r].text;
    for (int32_t k = 0; k < m; k++) {
        if (t->unit_node[k + 1]) continue;
        RUNG_TRY(rung_node_put(&t->unit_node[k + 1], w->store, t->problem, t->unit_node[k],
                               text + o->bound[k], (size_t)(o->bound[k + 1] - o->bound[k]), err));
    }
    return RUNG_OK;
}

/* ---- what a search leaves: a trace in units, and the label of its end */

/* Appends the steps from the first one to node. */
static rung_status chain(rung_buf *text, rung_buf *ends, binary *w, int64_t node, rung_error *err) {
    rung_node v;
    if (node == 0) return RUNG_OK;
    RUNG_TRY(rung_node_get(&v, w->arena, w->store, node, err));
    RUNG_TRY(chain(text, ends, w, v.parent, err));
    rung_buf_str(text, v.text);
    int32_t end = (int32_t)text->n;
    rung_buf_append(ends, &end, sizeof end);
    return RUNG_OK;
}

static rung_status put_trace(binary *w, const tree *t, int32_t i, const rung_buf *text,
                             const rung_buf *ends, rung_error *err) {
    int32_t n = (int32_t)(ends->n / sizeof(int32_t)), from = 0;
    const int32_t *end = (const int32_t *)(const void *)ends->data;
    rung_step *step = rung_arena_alloc(w->arena, ((size_t)n + 1) * sizeof *step);
    if (!step) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d steps", n);
    for (int32_t k = 0; k < n; from = end[k++])
        step[k] = (rung_step){.byte_begin = from, .byte_end = end[k]};
    rung_problem p;
    RUNG_TRY(rung_problem_get(w->store, &p, w->arena, t->problem, err));
    rung_trace v = {.run = w->run,
                    .problem = t->problem,
                    .i = i,
                    .generator = roller_name(w->r),
                    .text = text->data,
                    .n_bytes = (int32_t)text->n,
                    .step = step,
                    .n_steps = n,
                    .stop = "given",
                    .first_error_source = ""};
    RUNG_TRY(rung_trace_judge(&v, w->arena, &p, err));
    return rung_trace_put(w->store, &v, step, NULL, err);
}

static rung_status keep_search(binary *w, tree *t, int32_t i, rung_error *err) {
    omega *o = &t->o;
    const omega_search *f = &o->search[i];
    rung_buf text, ends;
    rung_arena_reset(w->arena);
    rung_buf_init(&text, 32u << 20);
    rung_buf_init(&ends, 32u << 20);
    rung_status st = chain(&text, &ends, w, o->node[f->s].mark, err);
    const omega_roll *r = &o->roll[f->roll];
    int32_t *bound = NULL, n = 0, cap = 0, base = (int32_t)text.n;
    if (st == RUNG_OK) st = omega_units(&bound, &n, &cap, o->o.units, r->text, r->n_bytes, err);
    rung_buf_append(&text, r->text, (size_t)r->n_bytes);
    for (int32_t k = 1; k <= n; k++) {
        int32_t end = base + bound[k];
        rung_buf_append(&ends, &end, sizeof end);
    }
    if (st == RUNG_OK) st = rung_buf_check(&text, err);
    if (st == RUNG_OK) st = rung_buf_check(&ends, err);
    if (st == RUNG_OK) st = put_trace(w, t, i, &text, &ends, err);
    rung_free(bound);
    rung_buf_clear(&text);
    rung_buf_clear(&ends);
    return st;
}

static rung_status put_label(binary *w, const omega_node *v, rung_error *err) {
    rung_label l = {.run = w->run,
                    .node = v->mark,
                    .source = "binary",
                    .labeler = roller_name(w->r),
                    .hard = rollout_rule_hard(&w->rule, v->c, v->n - v->c),
                    .soft = v->n ? omega_mc(v) : (double)NAN,
                    .n = v->n,
                    .c = v->c,
                    .n_unknown = v->n_unknown};
    return roller_label(w->r, &l, err);
}

/* Searches that have ended since. The end of a rollout that is wrong in its last unit only gets its
 * node and its label here: nobody rolled out from it. */
static rung_status keep_ended(binary *w, tree *t, rung_error *err) {
    omega *o = &t->o;
    for (; t->n_kept < o->n_searches; t->n_kept++) {
        const omega_search *f = &o->search[t->n_kept];
        RUNG_TRY(keep_search(w, t, t->n_kept, err));
        omega_node *leaf = &o->node[f->leaf];
        if (!leaf->is_leaf || leaf->mark) continue;
        const char *text = o->roll[f->roll].text;
        int32_t *bound = NULL, n = 0, cap = 0;
        int64_t at = o->node[f->s].mark;
        rung_status st =
            omega_units(&bound, &n, &cap, o->o.units, text, o->roll[f->roll].n_bytes, err);
        for (int32_t k = 0; k < n && st == RUNG_OK; k++)
            st = rung_node_put(&at, w->store, t->problem, at, text + bound[k],
                               (size_t)(bound[k + 1] - bound[k]), err);
        rung_free(bound);
        RUNG_TRY(st);
        leaf->mark = at;
        RUNG_TRY(put_label(w, leaf, err));
    }
    return RUNG_OK;
}

/* ---- driving */

static rung_status next_probe(binary *w, tree *t, rung_error *err) {
    RUNG_TRY(omega_next(&t->probe, &t->o, err));
    RUNG_TRY(keep_ended(w, t, err));
    if (t->probe < 0) return RUNG_OK;
    omega *o = &t->o;
    int32_t m = o->lo + (o->hi - o->lo) / 2;
    RUNG_TRY(mark_units(w, t, m, err));
    o->node[t->probe].mark = t->unit_node[m];
    roll_job_init(&t->job, t->unit_node[m], t->problem, w->o->roll.k, true);
    t->job.owner = t - w->tree;
    roller_total(w->r, w->o->roll.k);
    return roller_ask(w->r, &t->job, rollout_rule_next(&w->rule, 0), (double)t->job.owner, err);
}

static rung_status give(binary *w, tree *t, rung_error *err) {
    roll_job *j = &t->job;
    rung_arena_reset(w->arena);
    omega_roll *roll = rung_arena_alloc(w->arena, ((size_t)j->cap + 1) * sizeof *roll);
    if (!roll) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d rollouts", j->cap);
    int32_t n = 0;
    for (int32_t i = 0; i < j->have; i++) {
        if (j->verdict[i] == ROLL_MISSING || !j->text[i]) continue;
        roll[n++] = (omega_roll){j->text[i], (int32_t)strlen(j->text[i]), j->n_tok[i],
                                 (rung_verdict)j->verdict[i]};
    }
    RUNG_TRY(omega_give(&t->o, t->probe, roll, n, err));
    roller_total(w->r, j->have - j->cap);
    roll_job_clear(j);
    return put_label(w, &t->o.node[t->probe], err);
}

static rung_status on_ready(void *ud, roll_job *j, rung_error *err) {
    binary *w = ud;
    tree *t = &w->tree[j->owner];
    roll_counts k = roll_job_counts(j, j->have);
    if (!rollout_rule_settled(&w->rule, k.n, k.c, k.wrong))
        return roller_ask(w->r, j, rollout_rule_next(&w->rule, j->have), j->key, err);
    RUNG_TRY(give(w, t, err));
    return next_probe(w, t, err);
}

static rung_status drive(binary *w, rung_error *err) {
    roots z = {.arena = rung_arena_new(0)};
    if (!z.arena) return rung_fail(err, RUNG_E_NOMEM, "no memory for traces");
    rung_status st = read_roots(w, &z, err);
    rung_free(z.roll);
    rung_arena_free(z.arena);
    RUNG_TRY(st);
    if (w->report.n_problems == 0) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no traces match");
        return rung_error_hint(err, "sample or import some first");
    }
    rung_event(w->log, RUNG_INFO, "label.binary", RUNG_I("problems", w->report.n_problems),
               RUNG_I("skipped", w->report.n_skipped), RUNG_I("k", w->o->roll.k),
               RUNG_I("limit", w->o->limit));
    for (int64_t i = 0; i < w->n_trees; i++) RUNG_TRY(next_probe(w, &w->tree[i], err));
    return roller_run(w->r, err);
}

static rung_status check(const rung_binary_opts *o, rung_error *err) {
    if (o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "rung_binary_opts of another size");
    if (!(o->alpha > 0.0 && o->alpha <= 1.0) || !(o->beta > 0.0 && o->beta <= 1.0) ||
        !(o->len > 0.0) || !(o->c_puct >= 0.0) || o->limit < 1)
        return rung_fail(err, RUNG_E_INVAL,
                         "alpha %g and beta %g must be in (0, 1], len %g above 0, c_puct %g from 0 "
                         "on, limit %d from 1 on",
                         o->alpha, o->beta, o->len, o->c_puct, o->limit);
    return RUNG_OK;
}

rung_status rung_label_binary(rung_binary_report *out, rung_store *s, rung_engine *e,
                              int64_t run_id, const rung_binary_opts *o, const rung_log *log,
                              rung_error *err) {
    RUNG_TRY(check(o, err));
    binary w = {.o = o, .store = s, .run = run_id, .log = log, .rule = rollout_rule_of(&o->roll)};
    w.arena = rung_arena_new(0);
    if (!w.arena) return rung_fail(err, RUNG_E_NOMEM, "no memory to label");
    roller_opts ro = {.store = s,
                      .engine = e,
                      .run = run_id,
                      .o = &o->roll,
                      .log = log,
                      .ready = on_ready,
                      .ud = &w};
    rung_status st = roller_new(&w.r, &ro, err);
    if (st == RUNG_OK) st = drive(&w, err);
    for (int64_t i = 0; i < w.n_trees; i++) {
        tree *t = &w.tree[i];
        w.report.n_searches += t->o.n_searches;
        w.report.n_probes += t->o.n_probes;
        w.report.n_reused += t->o.n_reused;
        w.report.n_abandoned += t->o.n_abandoned;
        roll_job_clear(&t->job);
        if (t->is_open) omega_clear(&t->o);
        rung_free(t->unit_node);
    }
    if (out) *out = w.report;
    rung_free(w.tree);
    roller_free(w.r);
    rung_arena_free(w.arena);
    return st;
}
