/* Judges: critiques of whole traces, votes, and the labels that follow (labels.md 1, 2). */
#include "base/json.h"
#include "label/node_sums.h"
#include "trace/flow.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct judge_slot {
    rung_arena *arena;
    int64_t trace;
    int32_t n_steps, n_left;
    bool *skip;
    bool used;
} judge_slot;

typedef struct judge {
    const rung_judge_opts *o;
    const rung_judge_prompt *prompt;
    rung_store *store;
    rung_engine *engine;
    int64_t run;
    const rung_log *log;
    char name_buf[96];
    const char *name;
    rung_ids traces;
    size_t at;
    judge_slot *slot;
    int32_t n_out, n_votes;
    int64_t n_failed, n_done, n_total, n_tok;
    double spent_t;
    rung_buf user;
    rung_judge_report report;
} judge;

/* A claim as it stands in the critique's meta: votes are on words, as in the published script. */
static const char *claim_of(const rung_critique *c, yyjson_doc **doc) {
    *doc = yyjson_read(c->meta, strlen(c->meta), 0);
    return rung_json_str(yyjson_doc_get_root(*doc), "claim", "");
}

int32_t rung_judge_vote(const rung_critique *c, int32_t n) {
    int32_t best = -1, best_count = 0;
    for (int32_t i = 0; i < n; i++) {
        yyjson_doc *a, *b;
        const char *x = claim_of(&c[i], &a);
        int32_t count = 0;
        for (int32_t j = 0; *x && j < n; j++) {
            count += strcmp(claim_of(&c[j], &b), x) == 0;
            yyjson_doc_free(b);
        }
        if (count > best_count) best = i, best_count = count;
        yyjson_doc_free(a);
    }
    return best < 0 ? RUNG_FIRST_ERROR_UNKNOWN : c[best].first_error;
}

static rung_status read_traces(judge *w, rung_error *err) {
    rung_iter *it;
    const rung_trace *t;
    rung_status st;
    int64_t problem = 0, n = 0;
    RUNG_TRY(rung_trace_iter(&it, w->store, &w->o->traces, err));
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if (t->problem != problem) problem = t->problem, n = 0;
        if (t->n_steps == 0 || (w->o->traces_per_problem > 0 && n++ >= w->o->traces_per_problem))
            continue;
        if ((st = rung_ids_push(&w->traces, t->id, err)) != RUNG_OK) break;
    }
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

static rung_status one_trace(rung_iter **it, const rung_trace **t, rung_store *s, int64_t id,
                             rung_error *err) {
    RUNG_TRY(rung_trace_iter(it, s, &(rung_filter){.trace = id}, err));
    rung_status st = rung_trace_next(t, *it, err);
    if (st == RUNG_DONE)
        st = rung_fail(err, RUNG_E_NOT_FOUND, "there is no trace %lld", (long long)id);
    if (st != RUNG_OK) rung_iter_free(*it);
    return st;
}

static rung_status submit(judge *w, judge_slot *s, const rung_trace *t, rung_error *err) {
    rung_problem p;
    RUNG_TRY(rung_problem_get(w->store, &p, s->arena, t->problem, err));
    rung_buf_reset(&w->user);
    RUNG_TRY(w->prompt->ask(&w->user, p.question, t, err));
    rung_gen g = {.prompt = {w->o->system, w->user.data, NULL},
                  .sampling = w->o->sampling,
                  .n = w->n_votes,
                  .skip = s->skip,
                  .max_tok = w->o->max_tok,
                  .seed = w->o->seed,
                  .stream = RUNG_STREAM_ROLLOUT,
                  .key = rung_hash64(w->user.data, w->user.n, rung_problem_address(&p)),
                  .ud = s};
    if (memchr(w->user.data, 0, w->user.n)) {
        rung_event(w->log, RUNG_WARN, "label.skip", RUNG_I("trace", t->id),
                   RUNG_S("why", "its text holds a NUL byte"));
        return RUNG_OK;
    }
    RUNG_TRY(rung_engine_gen(w->engine, &g, err));
    s->used = true;
    w->n_out += s->n_left;
    return RUNG_OK;
}

static rung_status start(judge *w, judge_slot *s, int64_t id, rung_error *err) {
    rung_iter *it;
    const rung_trace *t;
    rung_critique *c;
    int32_t n;
    if (!s->arena) s->arena = rung_arena_new(0);
    if (!s->arena) return rung_fail(err, RUNG_E_NOMEM, "no memory for a critique");
    rung_arena_reset(s->arena);
    s->skip = rung_arena_alloc(s->arena, (size_t)w->n_votes + 1);
    if (!s->skip) return rung_fail(err, RUNG_E_NOMEM, "no memory for a critique");
    RUNG_TRY(rung_critique_list(&c, &n, s->arena, w->store, w->run, id, err));
    s->n_left = w->n_votes;
    for (int32_t i = 0; i < n; i++) {
        if (c[i].i < 0 || c[i].i >= w->n_votes) continue;
        s->skip[c[i].i] = true;
        s->n_left--;
        w->n_done++;
    }
    if (s->n_left == 0) return RUNG_OK;
    RUNG_TRY(one_trace(&it, &t, w->store, id, err));
    s->trace = id;
    s->n_steps = t->n_steps;
    rung_status st = submit(w, s, t, err);
    rung_iter_free(it);
    return st;
}

static rung_status fill(judge *w, rung_error *err) {
    for (int32_t k = 0; k < RUNG_QUEUE_AHEAD; k++) {
        while (!w->slot[k].used && w->at < w->traces.n) {
            if (w->n_out > 0 && w->n_out + w->n_votes > RUNG_QUEUE_AHEAD) return RUNG_OK;
            RUNG_TRY(start(w, &w->slot[k], w->traces.id[w->at++], err));
        }
    }
    return RUNG_OK;
}

static rung_status keep(judge *w, const judge_slot *s, const rung_gen_out *o, rung_error *err) {
    char claim[64];
    rung_buf meta, text;
    rung_buf_init(&meta, 1u << 16);
    rung_buf_init(&text, 32u << 20);
    rung_buf_append(&text, o->text, (size_t)o->n_bytes);
    rung_buf_str(&text, "");
    rung_status st = rung_buf_check(&text, err);
    const char *reply = text.data ? text.data : "";
    int32_t e = w->prompt->parse(claim, reply, s->n_steps);
    rung_buf_printf(&meta, "{\"prompt\":\"%s\",\"claim\":", w->prompt->name);
    rung_buf_json_str(&meta, claim, strlen(claim));
    rung_buf_printf(&meta, ",\"n_tok\":%d,\"stop\":\"%s\"}", o->n_tok, o->stop);
    rung_critique c = {.run = w->run,
                       .trace = s->trace,
                       .i = o->i,
                       .critic = w->name,
                       .text = reply,
                       .first_error = e,
                       .meta = meta.data};
    bool is_new;
    double now = rung_now();
    if (st == RUNG_OK) st = rung_buf_check(&meta, err);
    if (st == RUNG_OK) st = rung_store_begin(w->store, err);
    if (st == RUNG_OK) {
        st = rung_critique_put(w->store, &c, &is_new, err);
        if (st == RUNG_OK)
            st = rung_run_spend(w->store, w->run, is_new ? o->n_tok : 0, now - w->spent_t, err);
        if (st == RUNG_OK)
            st = rung_store_commit(w->store, err);
        else
            rung_store_rollback(w->store);
    }
    w->spent_t = now;
    rung_buf_clear(&meta);
    rung_buf_clear(&text);
    return st;
}

static rung_status on_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    judge *w = ud;
    judge_slot *s = o->ud;
    w->n_out--;
    if (rung_gen_is_whole(o)) {
        RUNG_TRY(keep(w, s, o, err));
        w->n_tok += o->n_tok;
        w->n_done++;
    } else {
        w->n_failed++;
    }
    if (--s->n_left == 0) {
        s->used = false;
        RUNG_TRY(fill(w, err));
    }
    return rung_progress(w->log, "critiques", w->n_done, w->n_total, w->n_tok, err);
}

/* ---- labels: votes at the nodes */

static rung_status tally(judge *w, node_sums *z, rung_error *err) {
    rung_arena *a = rung_arena_new(0);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "no memory for labels");
    rung_status st = RUNG_OK;
    for (size_t i = 0; i < w->traces.n && st == RUNG_OK; i++) {
        rung_iter *it;
        const rung_trace *t;
        rung_critique *c;
        int32_t n = 0;
        rung_arena_reset(a);
        st = rung_critique_list(&c, &n, a, w->store, w->run, w->traces.id[i], err);
        if (st == RUNG_OK) st = one_trace(&it, &t, w->store, w->traces.id[i], err);
        if (st != RUNG_OK) break;
        w->report.n_traces++;
        for (int32_t v = 0; v < n && st == RUNG_OK; v++) {
            int32_t e = c[v].first_error;
            w->report.n_replies++;
            w->report.n_unparsed += e == RUNG_FIRST_ERROR_UNKNOWN;
            for (int32_t k = 0; k < t->n_steps && e != RUNG_FIRST_ERROR_UNKNOWN; k++) {
                st = node_sums_add(z, t->step[k].node, k != e, err);
                if (st != RUNG_OK || k == e) break;
            }
        }
        rung_iter_free(it);
    }
    rung_arena_free(a);
    return st;
}

static rung_status put_labels(judge *w, rung_error *err) {
    node_sums z = {0};
    rung_status st = tally(w, &z, err);
    if (st == RUNG_OK) st = rung_store_begin(w->store, err);
    if (st == RUNG_OK) {
        for (int64_t i = 0; i < z.n && st == RUNG_OK; i++) {
            const node_sum *v = &z.row[i];
            bool is_new;
            rung_label l = {.run = w->run,
                            .node = v->node,
                            .source = "judge",
                            .labeler = w->name,
                            .hard = 2 * v->c == v->n ? -1 : 2 * v->c > v->n,
                            .soft = (double)v->c / v->n,
                            .n = v->n,
                            .c = v->c};
            st = rung_label_put(w->store, &l, &is_new, err);
        }
        if (st == RUNG_OK)
            st = rung_store_commit(w->store, err);
        else
            rung_store_rollback(w->store);
    }
    node_sums_clear(&z);
    return st;
}

static rung_status drive(judge *w, rung_error *err) {
    RUNG_TRY(read_traces(w, err));
    if (w->traces.n == 0) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no traces match");
        return rung_error_hint(err, "sample or import some first");
    }
    w->slot = rung_calloc(RUNG_QUEUE_AHEAD, sizeof *w->slot);
    if (!w->slot) return rung_fail(err, RUNG_E_NOMEM, "no memory to judge");
    w->n_total = (int64_t)w->traces.n * w->n_votes;
    w->spent_t = rung_now();
    rung_event(w->log, RUNG_INFO, "label.judge", RUNG_I("traces", (int64_t)w->traces.n),
               RUNG_I("votes", w->n_votes), RUNG_S("prompt", w->prompt->name));
    rung_engine_cb cb = {.on_gen = on_gen, .ud = w};
    rung_status st = fill(w, err);
    st = rung_engine_drain(w->engine, &cb, st, w->n_out, err);
    if (st == RUNG_OK) st = rung_failed_samples(w->engine, w->n_failed, "critiques", err);
    return st == RUNG_OK ? put_labels(w, err) : st;
}

rung_status rung_label_judge(rung_judge_report *out, rung_store *s, rung_engine *e, int64_t run_id,
                             const rung_judge_opts *o, const rung_log *log, rung_error *err) {
    if (o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "rung_judge_opts of another size");
    if (o->votes < 0 || o->votes > 10000 || o->max_tok < 1)
        return rung_fail(err, RUNG_E_INVAL, "votes = %d, max_tok = %d", o->votes, o->max_tok);
    judge w = {.o = o, .store = s, .engine = e, .run = run_id, .log = log};
    w.prompt = rung_judge_prompt_find(o->prompt ? o->prompt : "processbench");
    if (!w.prompt)
        return rung_fail(err, RUNG_E_NOT_FOUND, "no judge prompt named \"%s\"", o->prompt);
    w.n_votes = o->votes ? o->votes : 1;
    w.name = rung_engine_name(w.name_buf, e, o->labeler);
    rung_buf_init(&w.user, 32u << 20);
    rung_status st = drive(&w, err);
    for (int32_t k = 0; w.slot && k < RUNG_QUEUE_AHEAD; k++) rung_arena_free(w.slot[k].arena);
    rung_free(w.slot);
    rung_ids_clear(&w.traces);
    rung_buf_clear(&w.user);
    if (out) *out = w.report;
    return st;
}

/* ---- a judge of known accuracy */

static rung_status simulate_one(judge *w, const rung_trace *t, double accuracy, uint64_t seed,
                                rung_error *err) {
    char meta[96];
    uint64_t key = rung_hash64(t->text, (size_t)t->n_bytes, (uint64_t)t->problem);
    rung_rng r = rung_rng_at(seed, RUNG_STREAM_SUBSET, key, (uint64_t)t->i);
    int32_t e = t->first_error;
    if (rung_rng_f64(&r) >= accuracy) e = (int32_t)rung_rng_below(&r, (uint64_t)t->n_steps + 1) - 1;
    snprintf(meta, sizeof meta, "{\"prompt\":\"simulated\",\"claim\":\"%d\"}", e);
    rung_critique c = {.run = w->run,
                       .trace = t->id,
                       .critic = "simulated",
                       .text = "",
                       .first_error = e,
                       .meta = meta};
    bool is_new;
    return rung_critique_put(w->store, &c, &is_new, err);
}

rung_status rung_label_simulate(rung_judge_report *out, rung_store *s, int64_t run_id,
                                double accuracy, uint64_t seed, const rung_filter *traces,
                                rung_error *err) {
    rung_judge_opts o = RUNG_JUDGE_OPTS_INIT;
    if (!(accuracy >= 0.0 && accuracy <= 1.0))
        return rung_fail(err, RUNG_E_INVAL, "accuracy %g of a judge", accuracy);
    o.traces = *traces;
    judge w = {.o = &o, .store = s, .run = run_id, .name = "simulated"};
    rung_status st = read_traces(&w, err);
    if (st == RUNG_OK) st = rung_store_begin(s, err);
    if (st == RUNG_OK) {
        for (size_t i = 0; i < w.traces.n && st == RUNG_OK; i++) {
            rung_iter *it;
            const rung_trace *t;
            st = one_trace(&it, &t, s, w.traces.id[i], err);
            if (st != RUNG_OK) break;
            if (t->first_error != RUNG_FIRST_ERROR_UNKNOWN)
                st = simulate_one(&w, t, accuracy, seed, err);
            rung_iter_free(it);
        }
        if (st == RUNG_OK)
            st = rung_store_commit(s, err);
        else
            rung_store_rollback(s);
    }
    if (st == RUNG_OK) st = put_labels(&w, err);
    rung_ids_clear(&w.traces);
    if (out) *out = w.report;
    return st;
}
