#include "label/roller.h"
#include "label/roll_heap.h"
#include "trace/flow.h"

#include <math.h>
#include <string.h>

typedef struct roll_slot { /* a job whose rollouts are queued or running */
    rung_arena *arena;
    rung_problem problem;
    rung_buf prefix;
    bool *skip;
    roll_job *job;
    int32_t n_left;
    bool failed, cancelled;
} roll_slot;

struct roller {
    roller_opts a;
    char name_buf[96];
    const char *name;
    roll_heap heap;
    roll_spent spent; /* by problem */
    roll_slot *slot;
    int32_t n_out;
    int64_t rollouts_of; /* the run that keeps them */
    rung_arena *arena, *read;
    rung_rollout rollout[RUNG_FLUSH_ROWS];
    rung_label label[RUNG_FLUSH_ROWS];
    int32_t n_rollouts, n_labels;
    double row_t, spent_t;
    int64_t n_done, n_total, n_failed, n_tok_used, n_tok_cancelled_row, n_asked;
    bool is_over;
    roller_stats stats;
    rung_buf user, whole;
};

roll_counts roll_job_counts(const roll_job *j, int32_t m) {
    roll_counts k = {0};
    for (int32_t i = 0; j->verdict && i < m && i < j->cap; i++) {
        if (j->verdict[i] == ROLL_MISSING) continue;
        k.n++;
        k.n_tok += j->n_tok[i];
        k.c += j->verdict[i] == RUNG_VERDICT_CORRECT;
        k.wrong += j->verdict[i] == RUNG_VERDICT_WRONG;
        k.unknown += j->verdict[i] == RUNG_VERDICT_UNKNOWN;
    }
    return k;
}

void roll_job_init(roll_job *j, int64_t node, int64_t problem, int32_t cap, bool with_text) {
    *j = (roll_job){.node = node, .problem = problem, .cap = cap, .with_text = with_text};
}

static rung_status make_room(roll_job *j, rung_error *err) {
    if (j->verdict) return RUNG_OK;
    size_t n = (size_t)j->cap;
    j->verdict = rung_alloc(n + 1);
    j->n_tok = rung_calloc(n + 1, sizeof *j->n_tok);
    if (j->with_text) j->text = rung_calloc(n + 1, sizeof *j->text);
    if (!j->verdict || !j->n_tok || (j->with_text && !j->text))
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %d outcomes", j->cap);
    memset(j->verdict, ROLL_MISSING, n);
    return RUNG_OK;
}

void roll_job_clear(roll_job *j) {
    for (int32_t i = 0; j->text && i < j->cap; i++) rung_free(j->text[i]);
    rung_free(j->text);
    rung_free(j->verdict);
    rung_free(j->n_tok);
    j->text = NULL;
    j->verdict = NULL;
    j->n_tok = NULL;
}

rung_status roll_job_know(roll_job *j, rung_verdict verdict, int32_t n_tok, rung_error *err) {
    RUNG_TRY(make_room(j, err));
    for (int32_t i = 0; i < j->cap; i++) {
        if (j->verdict[i] != ROLL_MISSING) continue;
        j->verdict[i] = (uint8_t)verdict;
        j->n_tok[i] = n_tok;
        break;
    }
    return RUNG_OK;
}

/* ---- rows */

rung_status roller_flush(roller *r, rung_error *err) {
    if (r->n_rollouts == 0 && r->n_labels == 0 && r->n_tok_cancelled_row == 0) return RUNG_OK;
    rung_store *s = r->a.store;
    RUNG_TRY(rung_store_begin(s, err));
    rung_status st = RUNG_OK;
    int64_t n_tok = r->n_tok_cancelled_row;
    bool is_new;
    for (int32_t i = 0; i < r->n_rollouts && st == RUNG_OK; i++) {
        is_new = false;
        st = rung_rollout_put(s, &r->rollout[i], &is_new, err);
        if (is_new) n_tok += r->rollout[i].n_tok;
    }
    for (int32_t i = 0; i < r->n_labels && st == RUNG_OK; i++)
        st = rung_label_put(s, &r->label[i], &is_new, err);
    double now = rung_now();
    if (st == RUNG_OK) st = rung_run_spend(s, r->a.run, n_tok, now - r->spent_t, err);
    if (st != RUNG_OK) {
        rung_store_rollback(s);
        return st;
    }
    RUNG_TRY(rung_store_commit(s, err));
    r->spent_t = now;
    r->n_rollouts = r->n_labels = 0;
    r->n_tok_cancelled_row = 0;
    rung_arena_reset(r->arena);
    return RUNG_OK;
}

static rung_status flush_if_due(roller *r, rung_error *err) {
    bool full = r->n_rollouts == RUNG_FLUSH_ROWS || r->n_labels == RUNG_FLUSH_ROWS;
    bool waits = r->n_rollouts || r->n_labels;
    return full || (waits && rung_now() - r->row_t > RUNG_FLUSH_S) ? roller_flush(r, err) : RUNG_OK;
}

static void row_waits(roller *r) {
    if (r->n_rollouts == 0 && r->n_labels == 0) r->row_t = rung_now();
}

rung_status roller_label(roller *r, const rung_label *l, rung_error *err) {
    row_waits(r);
    r->label[r->n_labels++] = *l;
    return flush_if_due(r, err);
}

/* ---- jobs */

static rung_status tell(roller *r, roll_job *j, rung_error *err) {
    j->state = ROLL_IDLE;
    return r->a.ready(r->a.ud, j, err);
}

/* What others made of this prefix before, once. */
static rung_status read_stored(roller *r, roll_job *j, rung_error *err) {
    rung_rollout *row;
    int32_t n;
    RUNG_TRY(make_room(j, err));
    j->is_read = true;
    rung_arena_reset(r->read);
    RUNG_TRY(rung_rollout_list(&row, &n, r->read, r->a.store, r->rollouts_of, j->node, err));
    for (int32_t k = 0; k < n; k++) {
        int32_t i = row[k].i;
        if (i < 0 || i >= j->cap || j->verdict[i] != ROLL_MISSING) continue;
        j->verdict[i] = (uint8_t)row[k].verdict;
        j->n_tok[i] = row[k].n_tok;
        r->stats.n_found++;
        r->stats.n_tok_found += row[k].n_tok;
        if (j->text && !(j->text[i] = rung_strdup(row[k].text)))
            return rung_fail(err, RUNG_E_NOMEM, "no memory for a rollout");
    }
    return RUNG_OK;
}

rung_status roller_ask(roller *r, roll_job *j, int32_t want, double key, rung_error *err) {
    if (j->state == ROLL_WAITS || j->state == ROLL_RUNS)
        return rung_fail(err, RUNG_E_MISUSE, "prefix %lld is under way", (long long)j->node);
    if (want > j->want) j->want = want < j->cap ? want : j->cap;
    j->state = ROLL_WAITS;
    j->key = key;
    j->order = r->n_asked++;
    return roll_heap_push(&r->heap, j, err);
}

/* Outcomes i in [have, want) become part of what is used. */
static rung_status take_outcomes(roller *r, roll_job *j, rung_error *err) {
    int64_t n_tok = 0;
    for (; j->have < j->want && j->verdict[j->have] != ROLL_MISSING; j->have++) {
        n_tok += j->n_tok[j->have];
        r->n_done++;
    }
    r->n_tok_used += n_tok;
    return roll_spent_add(&r->spent, j->problem, n_tok, err);
}

static bool over_budget(roller *r, const roll_job *j) {
    const rung_mc_opts *o = r->a.o;
    if (o->budget_tok > 0 && r->n_tok_used >= o->budget_tok) r->is_over = true;
    return r->is_over ||
           (o->problem_tok > 0 && roll_spent_of(&r->spent, j->problem) >= o->problem_tok);
}

static rung_status open_slot(roller *r, roll_slot *s, roll_job *j, rung_error *err) {
    if (!s->arena) {
        s->arena = rung_arena_new(0);
        rung_buf_init(&s->prefix, 16u << 20);
    }
    if (s->arena) rung_arena_reset(s->arena);
    s->skip = s->arena ? rung_arena_alloc(s->arena, (size_t)j->want + 1) : NULL;
    if (!s->skip) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d rollouts", j->want);
    s->job = j;
    s->failed = s->cancelled = false;
    s->n_left = 0;
    for (int32_t i = j->have; i < j->want; i++) {
        s->skip[i - j->have] = j->verdict[i] != ROLL_MISSING;
        s->n_left += !s->skip[i - j->have];
    }
    rung_buf_reset(&s->prefix);
    rung_buf_str(&s->prefix, "");
    RUNG_TRY(rung_node_prefix(&s->prefix, r->a.store, j->node, err));
    return rung_buf_check(&s->prefix, err);
}

static rung_status submit(roller *r, roll_slot *s, rung_error *err) {
    const rung_mc_opts *o = r->a.o;
    roll_job *j = s->job;
    RUNG_TRY(rung_problem_get(r->a.store, &s->problem, s->arena, j->problem, err));
    RUNG_TRY(rung_trace_prompt(&r->user, &s->problem, o->suffix, err));
    rung_gen g = {.prompt = {o->system, r->user.data, s->prefix.data ? s->prefix.data : ""},
                  .sampling = o->sampling,
                  .i0 = j->have,
                  .n = j->want - j->have,
                  .skip = s->skip,
                  .max_tok = o->max_tok,
                  .stop = {o->stop},
                  .seed = o->seed,
                  .stream = RUNG_STREAM_ROLLOUT,
                  .key = rung_prefix_address(&s->problem, s->prefix.data, s->prefix.n),
                  .ud = s};
    RUNG_TRY(rung_engine_gen(r->a.engine, &g, err));
    j->state = ROLL_RUNS;
    r->n_out += s->n_left;
    if (o->problem_tok > 0) RUNG_TRY(roll_spent_hold(&r->spent, j->problem, true, err));
    return RUNG_OK;
}

/* A job from the heap: ready at once, sampled in slot s, put off, or given up. */
static rung_status begin(roller *r, roll_slot *s, roll_job *j, rung_error *err) {
    if (!j->is_read) RUNG_TRY(read_stored(r, j, err));
    RUNG_TRY(take_outcomes(r, j, err));
    if (j->have == j->want) return tell(r, j, err);
    if (over_budget(r, j)) {
        j->state = ROLL_FAILED;
        r->stats.n_over_budget++;
        return RUNG_OK;
    }
    if (r->a.o->problem_tok > 0 && roll_spent_is_held(&r->spent, j->problem))
        return roll_spent_wait(&r->spent, j, err);
    RUNG_TRY(open_slot(r, s, j, err));
    if (s->prefix.data && memchr(s->prefix.data, 0, s->prefix.n)) { /* a prompt is a C string */
        rung_event(r->a.log, RUNG_WARN, "label.skip", RUNG_I("node", j->node),
                   RUNG_S("why", "the step text holds a NUL byte"));
        s->job = NULL;
        j->state = ROLL_FAILED;
        return RUNG_OK;
    }
    return submit(r, s, err);
}

static rung_status fill(roller *r, rung_error *err) {
    int32_t k = 0;
    while (r->heap.n > 0) {
        const roll_job *next = r->heap.item[0];
        int32_t n = next->want - next->have;
        if (r->n_out > 0 && r->n_out + n > RUNG_QUEUE_AHEAD) return RUNG_OK;
        while (k < RUNG_QUEUE_AHEAD && r->slot[k].job) k++;
        if (k == RUNG_QUEUE_AHEAD) return RUNG_OK;
        RUNG_TRY(begin(r, &r->slot[k], roll_heap_pop(&r->heap), err));
    }
    return RUNG_OK;
}

/* ---- what comes back */

static rung_status keep_rollout(roller *r, roll_slot *s, const rung_gen_out *o, rung_error *err) {
    roll_job *j = s->job;
    rung_buf_reset(&r->whole);
    rung_buf_append(&r->whole, s->prefix.data ? s->prefix.data : "", s->prefix.n);
    rung_buf_append(&r->whole, o->text, (size_t)o->n_bytes);
    rung_buf_str(&r->whole, "");
    RUNG_TRY(rung_buf_check(&r->whole, err));
    rung_trace t = {.text = r->whole.data ? r->whole.data : "",
                    .n_bytes = (int32_t)r->whole.n,
                    .stop = o->stop};
    RUNG_TRY(rung_trace_judge(&t, r->arena, &s->problem, err));
    /* an empty local continuation has no list, but its sum is 0 */
    double logprob = o->logprob || rung_engine_model(r->a.engine) ? 0.0 : (double)NAN;
    for (int32_t i = 0; o->logprob && i < o->n_tok; i++) logprob += (double)o->logprob[i];
    char *text = rung_arena_strndup(r->arena, o->text, (size_t)o->n_bytes);
    char *stop = rung_arena_strndup(r->arena, o->stop, strlen(o->stop));
    if (!text || !stop) return rung_fail(err, RUNG_E_NOMEM, "no memory for a rollout");
    row_waits(r);
    r->rollout[r->n_rollouts++] = (rung_rollout){.run = r->rollouts_of,
                                                 .node = j->node,
                                                 .i = o->i,
                                                 .text = text,
                                                 .answer = t.answer,
                                                 .rule = t.rule,
                                                 .reason = t.reason,
                                                 .stop = stop,
                                                 .verdict = t.verdict,
                                                 .n_tok = o->n_tok,
                                                 .logprob = logprob,
                                                 .verifier = t.verifier,
                                                 .decided_by = t.decided_by,
                                                 .judged_us = t.judged_us};
    j->verdict[o->i] = (uint8_t)t.verdict;
    j->n_tok[o->i] = o->n_tok;
    if (j->text && !(j->text[o->i] = rung_strndup(o->text, (size_t)o->n_bytes)))
        return rung_fail(err, RUNG_E_NOMEM, "no memory for a rollout");
    r->stats.n_made++;
    r->stats.n_tok_made += o->n_tok;
    return RUNG_OK;
}

static rung_status slot_done(roller *r, roll_slot *s, rung_error *err) {
    roll_job *j = s->job;
    s->job = NULL;
    if (r->a.o->problem_tok > 0) {
        RUNG_TRY(roll_spent_hold(&r->spent, j->problem, false, err));
        for (roll_job *w = roll_spent_waiting(&r->spent, j->problem), *next; w; w = next) {
            next = w->next;
            RUNG_TRY(roll_heap_push(&r->heap, w, err));
        }
    }
    if (s->failed) {
        j->state = ROLL_FAILED;
        return RUNG_OK;
    }
    RUNG_TRY(take_outcomes(r, j, err));
    for (; j->have < j->want; j->have++) /* eager: these are not missed */
        if (j->verdict[j->have] != ROLL_MISSING) r->n_tok_used += j->n_tok[j->have];
    return tell(r, j, err);
}

/* Every request under way is given back: the budget is spent. */
static void cancel_all(roller *r) {
    for (int32_t k = 0; k < RUNG_QUEUE_AHEAD; k++) {
        roll_slot *s = &r->slot[k];
        if (!s->job || s->failed) continue;
        s->failed = true;
        r->stats.n_over_budget++;
        rung_engine_cancel(r->a.engine, s);
    }
}

static rung_status on_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    roller *r = ud;
    roll_slot *s = o->ud;
    r->n_out--;
    s->n_left--;
    if (rung_gen_is_whole(o)) {
        RUNG_TRY(keep_rollout(r, s, o, err));
        if (r->a.o->eager && r->a.settled && s->n_left > 0 && !s->cancelled && !s->failed &&
            r->a.settled(r->a.ud, s->job)) {
            s->cancelled = true;
            rung_engine_cancel(r->a.engine, s);
        }
    } else if (strcmp(o->stop, "cancelled") == 0) {
        r->stats.n_cancelled++;
        r->stats.n_tok_cancelled += o->n_tok;
        r->n_tok_cancelled_row += o->n_tok; /* they were paid for */
    } else {
        s->failed = true;
        r->n_failed++;
    }
    bool is_free = s->n_left == 0;
    if (is_free) RUNG_TRY(slot_done(r, s, err));
    RUNG_TRY(flush_if_due(r, err));
    if (is_free) RUNG_TRY(fill(r, err));
    if (r->is_over) cancel_all(r);
    return rung_progress(r->a.log, "rollouts", r->n_done, r->n_total, r->stats.n_tok_made, err);
}

rung_status roller_run(roller *r, rung_error *err) {
    r->spent_t = rung_now();
    rung_status st = fill(r, err);
    rung_engine_cb cb = {.on_gen = on_gen, .ud = r};
    st = rung_engine_drain(r->a.engine, &cb, st, r->n_out, err);
    rung_status kept = roller_flush(r, st == RUNG_OK ? err : NULL); /* the first failure is told */
    if (st == RUNG_OK) st = kept;
    if (st == RUNG_OK) st = rung_failed_samples(r->a.engine, r->n_failed, "rollouts", err);
    if (st == RUNG_OK && r->stats.n_over_budget > 0)
        rung_event(r->a.log, RUNG_INFO, "label.budget", RUNG_I("tokens", r->n_tok_used),
                   RUNG_I("prefixes_left", r->stats.n_over_budget));
    return st;
}

/* ---- life */

void roller_total(roller *r, int64_t more) {
    r->n_total += more;
}

rung_arena *roller_arena(roller *r) {
    return r->arena;
}

roller_stats roller_get_stats(const roller *r) {
    return r->stats;
}

const char *roller_name(const roller *r) {
    return r->name;
}

static rung_status check_opts(const rung_mc_opts *o, rung_error *err) {
    if (o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "rung_mc_opts of another size");
    if (o->k < 1 || o->max_tok < 1)
        return rung_fail(err, RUNG_E_INVAL, "k = %d and max_tok = %d: both must be at least 1",
                         o->k, o->max_tok);
    if (!rung_stopping_name(o->stopping) || !(o->theta >= 0.0 && o->theta < 1.0) ||
        !(o->level >= 0.0 && o->level < 1.0) || !(o->margin >= 0.0) || !(o->width >= 0.0))
        return rung_fail(
            err, RUNG_E_INVAL,
            "theta %g and level %g must be in [0, 1), margin %g and width %g from 0 on", o->theta,
            o->level, o->margin, o->width);
    return RUNG_OK;
}

rung_status roller_new(roller **out, const roller_opts *o, rung_error *err) {
    *out = NULL;
    RUNG_TRY(check_opts(o->o, err));
    roller *r = rung_calloc(1, sizeof *r);
    if (!r) return rung_fail(err, RUNG_E_NOMEM, "no memory to label");
    r->a = *o;
    r->rollouts_of = o->o->rollouts ? o->o->rollouts : o->run;
    r->name = rung_engine_name(r->name_buf, o->engine, o->o->labeler);
    rung_buf_init(&r->user, 16u << 20);
    rung_buf_init(&r->whole, 32u << 20);
    r->slot = rung_calloc(RUNG_QUEUE_AHEAD, sizeof *r->slot);
    r->arena = rung_arena_new(0);
    r->read = rung_arena_new(0);
    if (!r->slot || !r->arena || !r->read) {
        roller_free(r);
        return rung_fail(err, RUNG_E_NOMEM, "no memory to label");
    }
    *out = r;
    return RUNG_OK;
}

void roller_free(roller *r) {
    if (!r) return;
    for (int32_t k = 0; r->slot && k < RUNG_QUEUE_AHEAD; k++) {
        rung_arena_free(r->slot[k].arena);
        rung_buf_clear(&r->slot[k].prefix);
    }
    rung_free(r->slot);
    rung_arena_free(r->arena);
    rung_arena_free(r->read);
    roll_heap_clear(&r->heap);
    roll_spent_clear(&r->spent);
    rung_buf_clear(&r->user);
    rung_buf_clear(&r->whole);
    rung_free(r);
}
