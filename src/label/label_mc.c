/* Monte-Carlo step labels, Math-Shepherd (labels.md 3): from each prefix but the last, K
 * completions; hard = 1[c > 0], soft = c / (c + wrong).
 *
 * The unit of work is a node (a prefix), so traces that share one share its rollouts. Rollouts are
 * keyed (run, node, i), their draws addressed by (seed, problem and path, i, token). A node's label
 * is written in the transaction of its last rollout or a later one, never before all K are there.
 */
#include "label/label_plan.h"
#include "trace/flow.h"

#include <math.h>
#include <string.h>

typedef struct node_slot { /* a node whose rollouts are queued or running */
    rung_arena *arena;
    rung_problem problem;
    rung_buf prefix;
    bool *have;
    rung_rollout_counts count;
    int32_t index, n_left;
    bool used, failed;
} node_slot;

typedef struct labeler {
    rung_store *store;
    rung_engine *engine;
    int64_t run;
    const rung_mc_opts *o;
    const rung_log *log;
    const char *name;
    char name_buf[96];
    label_plan plan;
    int32_t *stack, n_stack; /* nodes that may be worked on; depth first keeps prefixes resident */
    node_slot *slot;
    int32_t n_out;
    rung_arena *arena;
    rung_rollout rollout[RUNG_FLUSH_ROWS];
    rung_label label[RUNG_FLUSH_ROWS];
    int32_t n_rollouts, n_labels;
    double row_t, spent_t;
    int64_t n_done, n_total, n_tok, n_failed;
    rung_buf user, whole;
} labeler;

static rung_status flush(labeler *w, rung_error *err) {
    if (w->n_rollouts == 0 && w->n_labels == 0) return RUNG_OK;
    RUNG_TRY(rung_store_begin(w->store, err));
    rung_status st = RUNG_OK;
    int64_t n_tok = 0;
    bool is_new;
    for (int32_t i = 0; i < w->n_rollouts && st == RUNG_OK; i++) {
        is_new = false;
        st = rung_rollout_put(w->store, &w->rollout[i], &is_new, err);
        if (is_new) n_tok += w->rollout[i].n_tok;
    }
    for (int32_t i = 0; i < w->n_labels && st == RUNG_OK; i++)
        st = rung_label_put(w->store, &w->label[i], &is_new, err);
    double now = rung_now();
    if (st == RUNG_OK) st = rung_run_spend(w->store, w->run, n_tok, now - w->spent_t, err);
    if (st != RUNG_OK) {
        rung_store_rollback(w->store);
        return st;
    }
    RUNG_TRY(rung_store_commit(w->store, err));
    w->spent_t = now;
    w->n_rollouts = w->n_labels = 0;
    rung_arena_reset(w->arena);
    return RUNG_OK;
}

static rung_status flush_if_due(labeler *w, rung_error *err) {
    bool full = w->n_rollouts == RUNG_FLUSH_ROWS || w->n_labels == RUNG_FLUSH_ROWS;
    bool waits = w->n_rollouts || w->n_labels;
    return full || (waits && rung_now() - w->row_t > RUNG_FLUSH_S) ? flush(w, err) : RUNG_OK;
}

static void row_waits(labeler *w) {
    if (w->n_rollouts == 0 && w->n_labels == 0) w->row_t = rung_now();
}

/* Unknown outcomes are counted and are in neither class; none known, no label (hard -1, soft NaN):
 * a time-out never becomes "wrong". */
static int32_t put_label(labeler *w, int64_t node, int32_t c, int32_t wrong, int32_t unknown) {
    int32_t n = c + wrong;
    row_waits(w);
    w->label[w->n_labels++] = (rung_label){.run = w->run,
                                           .node = node,
                                           .source = "mc",
                                           .labeler = w->name,
                                           .hard = n ? c > 0 : -1,
                                           .soft = n ? (double)c / n : (double)NAN,
                                           .n = n,
                                           .c = c,
                                           .n_unknown = unknown};
    return n ? c > 0 : -1;
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
        if (rung_plan_samples(&w->plan.node[i])) w->n_total -= w->o->k;
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

static rung_status submit(labeler *w, node_slot *s, const plan_node *v, rung_error *err) {
    RUNG_TRY(rung_problem_get(w->store, &s->problem, s->arena, v->problem, err));
    RUNG_TRY(rung_trace_prompt(&w->user, &s->problem, w->o->suffix, err));
    rung_gen g = {.prompt = {w->o->system, w->user.data, s->prefix.data},
                  .sampling = w->o->sampling,
                  .n = w->o->k,
                  .skip = s->have,
                  .max_tok = w->o->max_tok,
                  .stop = {w->o->stop},
                  .seed = w->o->seed,
                  .stream = RUNG_STREAM_ROLLOUT,
                  .key = rung_prefix_address(&s->problem, s->prefix.data, s->prefix.n),
                  .ud = s};
    RUNG_TRY(rung_engine_gen(w->engine, &g, err));
    s->used = true;
    s->failed = false;
    w->n_out += s->n_left;
    return RUNG_OK;
}

static rung_status open_slot(node_slot *s, int32_t k, rung_error *err) {
    if (!s->arena) {
        s->arena = rung_arena_new(0);
        rung_buf_init(&s->prefix, 16u << 20);
    }
    if (s->arena) rung_arena_reset(s->arena);
    s->have = s->arena ? rung_arena_alloc(s->arena, (size_t)k) : NULL;
    return s->have ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "no memory for %d rollouts", k);
}

/* Begin work on a node; s stays free when there is nothing to sample. */
static rung_status start(labeler *w, node_slot *s, int32_t index, rung_error *err) {
    const plan_node *v = &w->plan.node[index];
    if (!w->o->stop_at_zero) push_children(w, index);
    bool samples = rung_plan_samples(v), found = false;
    rung_label l;
    RUNG_TRY(rung_label_get(&l, &found, w->store, w->run, v->id, "mc", err));
    if (found) {
        if (samples) w->n_done += w->o->k;
        node_done(w, index, l.hard);
        return RUNG_OK;
    }
    if (!samples) {
        bool right = v->verdict == RUNG_VERDICT_CORRECT, wrong = v->verdict == RUNG_VERDICT_WRONG;
        node_done(w, index, put_label(w, v->id, right, wrong, !right && !wrong));
        return flush_if_due(w, err);
    }
    RUNG_TRY(open_slot(s, w->o->k, err));
    RUNG_TRY(rung_rollout_have(s->have, w->o->k, w->store, w->run, v->id, err));
    RUNG_TRY(rung_rollout_count(&s->count, w->store, w->run, v->id, err));
    s->index = index;
    s->n_left = w->o->k;
    for (int32_t i = 0; i < w->o->k; i++) s->n_left -= s->have[i];
    w->n_done += w->o->k - s->n_left;
    if (s->n_left == 0) {
        const rung_rollout_counts *c = &s->count;
        node_done(w, index, put_label(w, v->id, c->n_correct, c->n_wrong, c->n_unknown));
        return flush_if_due(w, err);
    }
    rung_buf_reset(&s->prefix);
    RUNG_TRY(rung_node_prefix(&s->prefix, w->store, v->id, err));
    RUNG_TRY(rung_buf_check(&s->prefix, err));
    if (memchr(s->prefix.data, 0, s->prefix.n)) { /* a prompt is a C string */
        rung_event(w->log, RUNG_WARN, "label.skip", RUNG_I("node", v->id),
                   RUNG_S("why", "the step text holds a NUL byte"));
        if (w->o->stop_at_zero) cut_below(w, index);
        w->n_total -= w->o->k;
        return RUNG_OK;
    }
    return submit(w, s, v, err);
}

static rung_status fill(labeler *w, rung_error *err) {
    for (int32_t k = 0; k < RUNG_QUEUE_AHEAD && w->n_stack; k++) {
        node_slot *s = &w->slot[k];
        while (!s->used && w->n_stack) {
            if (w->n_out > 0 && w->n_out + w->o->k > RUNG_QUEUE_AHEAD) return RUNG_OK;
            RUNG_TRY(start(w, s, w->stack[--w->n_stack], err));
        }
    }
    return RUNG_OK;
}

static rung_status keep_rollout(labeler *w, node_slot *s, const rung_gen_out *o, rung_error *err) {
    rung_buf_reset(&w->whole);
    rung_buf_append(&w->whole, s->prefix.data, s->prefix.n);
    rung_buf_append(&w->whole, o->text, (size_t)o->n_bytes);
    RUNG_TRY(rung_buf_check(&w->whole, err));
    rung_trace t = {.text = w->whole.data, .n_bytes = (int32_t)w->whole.n, .stop = o->stop};
    RUNG_TRY(rung_trace_judge(&t, w->arena, &s->problem, err));
    /* an empty local continuation has no list, but its sum is 0 */
    double logprob = o->logprob || rung_engine_model(w->engine) ? 0.0 : (double)NAN;
    for (int32_t i = 0; o->logprob && i < o->n_tok; i++) logprob += (double)o->logprob[i];
    char *text = rung_arena_strndup(w->arena, o->text, (size_t)o->n_bytes);
    char *stop = rung_arena_strndup(w->arena, o->stop, strlen(o->stop));
    if (!text || !stop) return rung_fail(err, RUNG_E_NOMEM, "no memory for a rollout");
    row_waits(w);
    w->rollout[w->n_rollouts++] = (rung_rollout){.run = w->run,
                                                 .node = w->plan.node[s->index].id,
                                                 .i = o->i,
                                                 .text = text,
                                                 .answer = t.answer,
                                                 .rule = t.rule,
                                                 .reason = t.reason,
                                                 .stop = stop,
                                                 .verdict = t.verdict,
                                                 .n_tok = o->n_tok,
                                                 .logprob = logprob};
    s->count.n_correct += t.verdict == RUNG_VERDICT_CORRECT;
    s->count.n_wrong += t.verdict == RUNG_VERDICT_WRONG;
    s->count.n_unknown += t.verdict == RUNG_VERDICT_UNKNOWN;
    w->n_done++;
    w->n_tok += o->n_tok;
    return RUNG_OK;
}

static rung_status on_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    labeler *w = ud;
    node_slot *s = o->ud;
    w->n_out--;
    if (rung_gen_is_whole(o)) {
        RUNG_TRY(keep_rollout(w, s, o, err));
    } else {
        s->failed = true;
        w->n_failed++;
    }
    if (--s->n_left == 0) {
        s->used = false;
        if (!s->failed) {
            const rung_rollout_counts *c = &s->count;
            int64_t node = w->plan.node[s->index].id;
            node_done(w, s->index, put_label(w, node, c->n_correct, c->n_wrong, c->n_unknown));
        }
    }
    RUNG_TRY(flush_if_due(w, err));
    if (!s->used) RUNG_TRY(fill(w, err));
    return rung_progress(w->log, "rollouts", w->n_done, w->n_total, w->n_tok, err);
}

static rung_status prepare(labeler *w, rung_error *err) {
    RUNG_TRY(rung_plan_read(&w->plan, w->store, &w->o->traces, w->o->traces_per_problem, err));
    if (w->plan.n_traces == 0) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no traces match");
        return rung_error_hint(err, "sample or import some first");
    }
    w->stack = rung_alloc(((size_t)w->plan.n + 1) * sizeof *w->stack);
    w->slot = rung_calloc(RUNG_QUEUE_AHEAD, sizeof *w->slot);
    w->arena = rung_arena_new(0);
    if (!w->stack || !w->slot || !w->arena)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %d nodes", w->plan.n);
    for (int32_t i = w->plan.n - 1; i >= 0; i--) {
        if (w->plan.node[i].parent < 0) w->stack[w->n_stack++] = i;
        if (rung_plan_samples(&w->plan.node[i])) w->n_total += w->o->k;
    }
    w->spent_t = rung_now();
    return RUNG_OK;
}

static rung_status drive(labeler *w, rung_error *err) {
    RUNG_TRY(prepare(w, err));
    rung_event(w->log, RUNG_INFO, "label.mc", RUNG_I("traces", w->plan.n_traces),
               RUNG_I("prefixes", w->plan.n), RUNG_I("k", w->o->k), RUNG_I("total", w->n_total));
    rung_status st = fill(w, err);
    rung_engine_cb cb = {.on_gen = on_gen, .ud = w};
    st = rung_engine_drain(w->engine, &cb, st, w->n_out, err);
    rung_status kept = flush(w, st == RUNG_OK ? err : NULL); /* the first failure is told */
    if (st == RUNG_OK) st = kept;
    if (st == RUNG_OK) st = rung_failed_samples(w->engine, w->n_failed, "rollouts", err);
    return st;
}

rung_status rung_label_mc(rung_store *s, rung_engine *e, int64_t run_id, const rung_mc_opts *o,
                          const rung_log *log, rung_error *err) {
    if (o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "rung_mc_opts of another size");
    if (o->k < 1 || o->max_tok < 1)
        return rung_fail(err, RUNG_E_INVAL, "k = %d and max_tok = %d: both must be at least 1",
                         o->k, o->max_tok);
    labeler *w = rung_calloc(1, sizeof *w);
    if (!w) return rung_fail(err, RUNG_E_NOMEM, "no memory to label");
    w->store = s;
    w->engine = e;
    w->run = run_id;
    w->o = o;
    w->log = log;
    w->name = rung_engine_name(w->name_buf, e, o->labeler);
    rung_buf_init(&w->user, 16u << 20);
    rung_buf_init(&w->whole, 32u << 20);
    rung_status st = drive(w, err);
    for (int32_t k = 0; w->slot && k < RUNG_QUEUE_AHEAD; k++) {
        rung_arena_free(w->slot[k].arena);
        rung_buf_clear(&w->slot[k].prefix);
    }
    rung_free(w->slot);
    rung_free(w->stack);
    rung_arena_free(w->arena);
    rung_plan_clear(&w->plan);
    rung_buf_clear(&w->user);
    rung_buf_clear(&w->whole);
    rung_free(w);
    return st;
}
