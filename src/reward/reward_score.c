/* Scores of stored traces: per step (prm) or at the leaf (orm), only what is missing.
 *
 * Traces are taken problem by problem into a window of the scorer, which reads what they share
 * once. Rows go into the store as traces are done, with the tokens and seconds they took. */
#include "base/json.h"
#include "reward/reward_ensemble.h"
#include "reward/reward_ids.h"
#include "reward/reward_scorer.h"
#include "trace/flow.h"

#include <math.h>
#include <string.h>

enum { WINDOW = 256, WINDOW_MAX = 4096, FLUSH_ROWS = 1024 };

typedef struct score_row {
    int64_t node;
    double value;
} score_row;

/* A trace in the window. */
typedef struct score_item {
    int64_t live, trace, *node;
    int32_t first, n_steps;
    bool done;
} score_item;

typedef struct work {
    rung_reward *r;
    rung_store *store;
    const rung_log *log;
    int64_t run;
    rung_scorer *scorer;
    rung_scorer_stats members; /* ensemble: what its members have read */
    int64_t raw_model; /* calibrated: the row that may hold scores without the map; 0 none */
    rung_ids traces;   /* with a missing score */
    reward_ids known;  /* nodes that have their score */
    score_item item[WINDOW_MAX];
    int32_t n_items;
    size_t next;
    score_row *row;
    size_t n_rows, cap_rows;
    double row_t, spent_t;
    int64_t spent_tok, n_done;
    rung_score_report out;
} work;

static int64_t tokens_read(const work *w) {
    rung_scorer_stats st = {0};
    if (w->scorer) rung_scorer_get_stats(&st, w->scorer);
    return st.n_tok + w->members.n_tok;
}

/* Rows and what they cost, all or nothing. */
static rung_status flush(work *w, rung_error *err) {
    double now = rung_now();
    int64_t n_tok = tokens_read(w);
    if (w->n_rows == 0 && n_tok == w->spent_tok) return RUNG_OK;
    RUNG_TRY(rung_store_begin(w->store, err));
    rung_status st = RUNG_OK;
    for (size_t i = 0; i < w->n_rows && st == RUNG_OK; i++)
        st = rung_score_put(w->store, w->row[i].node, w->out.model, w->row[i].value, err);
    if (st == RUNG_OK && w->run)
        st = rung_run_spend(w->store, w->run, n_tok - w->spent_tok, now - w->spent_t, err);
    if (st != RUNG_OK) {
        rung_store_rollback(w->store);
        return st;
    }
    RUNG_TRY(rung_store_commit(w->store, err));
    w->out.n_steps += (int64_t)w->n_rows;
    w->n_rows = 0;
    w->spent_tok = n_tok;
    w->spent_t = now;
    return RUNG_OK;
}

/* Traces of equal text share their nodes: the first score stays. */
static rung_status push(work *w, int64_t node, double value, rung_error *err) {
    int64_t one = 1;
    bool is_new;
    RUNG_TRY(reward_ids_put(&one, &is_new, &w->known, node, err));
    if (!is_new) return RUNG_OK;
    if (!isfinite(value))
        return rung_fail(err, RUNG_E_MODEL, "the score of node %lld is not finite",
                         (long long)node);
    if (w->n_rows == w->cap_rows) {
        size_t cap = w->cap_rows ? w->cap_rows * 2 : FLUSH_ROWS;
        score_row *grown = rung_realloc(w->row, cap * sizeof *grown);
        if (!grown) return rung_fail(err, RUNG_E_NOMEM, "no memory for %zu scores", cap);
        w->row = grown;
        w->cap_rows = cap;
    }
    if (w->n_rows == 0) w->row_t = rung_now();
    w->row[w->n_rows++] = (score_row){node, value};
    return RUNG_OK;
}

static rung_status trace_done(work *w, rung_error *err) {
    w->n_done++;
    if (w->n_rows >= FLUSH_ROWS || (w->n_rows && rung_now() - w->row_t > RUNG_FLUSH_S))
        RUNG_TRY(flush(w, err));
    return rung_progress(w->log, "traces", w->n_done, w->out.n_traces, tokens_read(w), err);
}

static int32_t first_step(const rung_reward *r, const rung_trace *t) {
    return reward_of_outcome(r) && t->n_steps ? t->n_steps - 1 : 0;
}

/* First step of t without a score; n_steps when none. What the model without its calibration has
 * scored already goes through the map. A node's descendants come after it, so all
 * from there on are missing. */
static rung_status first_missing(int32_t *first, work *w, const rung_trace *t, rung_error *err) {
    int32_t k = first_step(w->r, t);
    for (; k < t->n_steps; k++) {
        int64_t node = t->step[k].node, one = 1;
        double value;
        bool found = reward_ids_has(&w->known, node), is_new;
        if (found) continue;
        RUNG_TRY(rung_score_get(&value, &found, w->store, node, w->out.model, err));
        if (!found && w->raw_model) {
            RUNG_TRY(rung_score_get(&value, &found, w->store, node, w->raw_model, err));
            if (found) {
                RUNG_TRY(push(w, node, rung_reward_calibrated(w->r, value, k), err));
                continue;
            }
        }
        if (!found) break;
        RUNG_TRY(reward_ids_put(&one, &is_new, &w->known, node, err));
    }
    *first = k;
    return RUNG_OK;
}

static rung_status collect(work *w, const rung_filter *f, rung_error *err) {
    rung_iter *it;
    RUNG_TRY(rung_trace_iter(&it, w->store, f, err));
    const rung_trace *t;
    rung_status st;
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        int32_t first;
        st = first_missing(&first, w, t, err);
        w->out.n_traces++;
        if (st == RUNG_OK && first < t->n_steps) st = rung_ids_push(&w->traces, t->id, err);
        if (st != RUNG_OK) break;
    }
    rung_iter_free(it);
    w->n_done = w->out.n_traces - (int64_t)w->traces.n;
    return st == RUNG_DONE ? RUNG_OK : st;
}

/* exp of the least ln p among the step's tokens, from what sampling stored. */
static rung_status score_confidence(work *w, rung_error *err) {
    for (; w->next < w->traces.n; w->next++) {
        rung_iter *it;
        const rung_trace *t;
        RUNG_TRY(reward_trace_get(&t, &it, w->store, w->traces.id[w->next], err));
        rung_status st = RUNG_OK;
        if (!t->logprob || t->n_tok == 0) w->out.n_skipped++;
        for (int32_t k = 0; t->logprob && t->n_tok && k < t->n_steps && st == RUNG_OK; k++) {
            double least = 0.0;
            for (int32_t i = t->step[k].tok_begin; i < t->step[k].tok_end; i++)
                least = fmin(least, (double)t->logprob[i]);
            st = push(w, t->step[k].node, exp(least), err);
        }
        rung_iter_free(it);
        if (st == RUNG_OK) st = trace_done(w, err);
        if (st != RUNG_OK) return st;
    }
    return RUNG_OK;
}

/* Windows -------------------------------------------------------------------------------------- */

/* A trace that cannot be read stays unscored, is counted and named. */
static rung_status skip(work *w, int64_t trace, const rung_error *e, rung_error *err) {
    w->out.n_skipped++;
    w->out.n_skipped_tag += e->code == RUNG_E_MISMATCH;
    w->out.n_skipped_context += e->code == RUNG_E_LIMIT;
    rung_event(w->log, RUNG_WARN, "reward.skip", RUNG_I("trace", trace), RUNG_S("why", e->what));
    return trace_done(w, err);
}

static rung_status add_item(work *w, const rung_trace *t, int32_t first, reward_layout *l,
                            rung_error *err) {
    score_item *i = &w->item[w->n_items];
    *i = (score_item){.live = -1, .trace = t->id, .first = first, .n_steps = t->n_steps};
    i->node = rung_alloc((size_t)t->n_steps * sizeof *i->node);
    if (!i->node) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d steps", t->n_steps);
    w->n_items++;
    for (int32_t k = 0; k < t->n_steps; k++) i->node[k] = t->step[k].node;
    return reward_scorer_add(&i->live, w->scorer, l, first, err);
}

/* Lay one trace out into the window. */
static rung_status take(work *w, const rung_trace *t, rung_arena *a, rung_error *err) {
    reward_layout l = {0};
    rung_problem p;
    int32_t first;
    bool spelled, by_step;
    RUNG_TRY(first_missing(&first, w, t, err));
    if (first == t->n_steps) return trace_done(w, err);
    RUNG_TRY(rung_problem_get(w->store, &p, a, t->problem, err));
    rung_error e = RUNG_ERROR_INIT;
    rung_status st =
        reward_layout_trace(&l, &spelled, &by_step, reward_scorer_plan(w->scorer), &p, t, &e);
    if (st == RUNG_E_FORMAT || st == RUNG_E_MISMATCH) return skip(w, t->id, &e, err);
    if (st == RUNG_OK) {
        w->out.n_spelled += spelled;
        w->out.n_by_step += by_step;
        st = add_item(w, t, first, &l, &e);
    }
    reward_layout_clear(&l);
    if (st != RUNG_OK && err) *err = e;
    return st;
}

/* Whole problems until the window is full. */
static rung_status fill(work *w, rung_error *err) {
    rung_arena *a = rung_arena_new(0);
    int64_t problem = 0;
    rung_status st = a ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "no memory to read traces");
    while (st == RUNG_OK && w->next < w->traces.n && w->n_items < WINDOW_MAX) {
        rung_iter *it;
        const rung_trace *t;
        st = reward_trace_get(&t, &it, w->store, w->traces.id[w->next], err);
        if (st != RUNG_OK) break;
        bool full = w->n_items >= WINDOW && t->problem != problem;
        problem = t->problem;
        if (!full) {
            st = take(w, t, a, err);
            w->next++;
        }
        rung_iter_free(it);
        rung_arena_reset(a);
        if (full) break;
    }
    rung_arena_free(a);
    return st;
}

static rung_status on_done(void *ud, int64_t live, rung_error *err) {
    work *w = ud;
    const double *score;
    int32_t n;
    for (int32_t i = 0; i < w->n_items; i++) {
        score_item *it = &w->item[i];
        if (it->live != live || it->done) continue;
        rung_scorer_get(&score, &n, w->scorer, live, NULL); /* too long: told after the window */
        for (int32_t k = it->first; k < n; k++) RUNG_TRY(push(w, it->node[k], score[k], err));
        it->done = n == it->n_steps;
        return it->done ? trace_done(w, err) : RUNG_OK;
    }
    return RUNG_OK;
}

static rung_status close_window(work *w, rung_status st, rung_error *err) {
    const double *score;
    int32_t n;
    for (int32_t i = 0; i < w->n_items; i++) {
        score_item *it = &w->item[i];
        rung_error e = RUNG_ERROR_INIT;
        if (st == RUNG_OK && !it->done &&
            rung_scorer_get(&score, &n, w->scorer, it->live, &e) != RUNG_OK)
            st = skip(w, it->trace, &e, err);
        rung_scorer_drop(w->scorer, it->live);
        rung_free(it->node);
    }
    w->n_items = 0;
    return st;
}

static rung_status score_windows(work *w, rung_error *err) {
    reward_scorer_cb cb = {on_done, w};
    if (w->traces.n == 0) return RUNG_OK;
    RUNG_TRY(rung_scorer_open(&w->scorer, w->r, err));
    RUNG_TRY(rung_scorer_cache(w->scorer, w->store, err));
    rung_status st = RUNG_OK;
    while (st == RUNG_OK && w->next < w->traces.n) {
        st = fill(w, err);
        if (st == RUNG_OK) st = reward_scorer_run(w->scorer, &cb, err);
        st = close_window(w, st, err);
    }
    return st;
}

/* The ledger ----------------------------------------------------------------------------------- */

rung_status rung_reward_register(int64_t *model, const rung_reward *r, rung_store *s,
                                 rung_error *err) {
    const char *slash = strrchr(r->path, '/');
    rung_buf meta;
    rung_buf_init(&meta, 1u << 16);
    const char *source = rung_reward_key(r, "label_source", "");
    const char *base = rung_reward_key(r, "base_hash", "");
    rung_buf_printf(&meta, "{\"reward\":\"%s\",\"aggregate\":\"%s\",\"label_source\":",
                    rung_reward_kind_name(r->kind), rung_aggregate_name(r->aggregate));
    rung_buf_json_str(&meta, source, strlen(source));
    rung_buf_str(&meta, ",\"base_hash\":");
    rung_buf_json_str(&meta, base, strlen(base));
    if (r->calibration.json) {
        rung_buf_printf(&meta, ",\"calibration\":\"%s\"",
                        rung_calibration_name(r->calibration.method));
        if (isfinite(r->calibration.threshold))
            rung_buf_printf(&meta, ",\"threshold\":%.17g", r->calibration.threshold);
    }
    if (r->format.name) {
        rung_buf_str(&meta, ",\"format\":");
        rung_buf_json_str(&meta, r->format.name, strlen(r->format.name));
    }
    rung_buf_str(&meta, "}");
    rung_status st = rung_buf_check(&meta, err);
    rung_model_row row = {.name = slash ? slash + 1 : r->path,
                          .path = r->file ? r->path : "",
                          .hash = r->hash,
                          .kind = reward_row_kind(r),
                          .meta = meta.data};
    if (st == RUNG_OK) st = rung_model_put(s, &row, err);
    rung_buf_clear(&meta);
    *model = row.id;
    return st;
}

/* The run is tied to the model before it spends anything, so that the cost of a killed run counts.
 */
static rung_status tie_run(work *w, rung_error *err) {
    if (!w->run) return RUNG_OK;
    rung_buf b;
    rung_buf_init(&b, 1u << 10);
    rung_buf_printf(&b, "{\"v\":1,\"model\":%lld}", (long long)w->out.model);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) st = rung_result_put(w->store, w->run, "score.model", b.data, err);
    rung_buf_clear(&b);
    return st;
}

static void add_run(rung_score_cost *out, const rung_run *run, int64_t n, int64_t id) {
    for (int64_t i = 0; i < n; i++)
        if (run[i].id == id) {
            out->n_tok += run[i].tokens;
            out->wall_s += run[i].wall_s;
        }
}

rung_status rung_reward_cost(rung_score_cost *out, bool *found, rung_store *s, int64_t model,
                             rung_error *err) {
    rung_arena *a = rung_arena_new(0);
    rung_iter *it = NULL;
    rung_run *run;
    int64_t n = 0, id;
    const char *json;
    *out = (rung_score_cost){0};
    *found = false;
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "no memory for the ledger");
    rung_status st = rung_run_list(&run, &n, a, s, err);
    if (st == RUNG_OK) st = rung_result_iter(&it, s, "score.model", err);
    while (st == RUNG_OK && (st = rung_result_next(&id, &json, it, err)) == RUNG_OK) {
        yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
        bool own = rung_json_i64(yyjson_doc_get_root(doc), "model", 0) == model;
        yyjson_doc_free(doc);
        if (!own) continue;
        *found = true;
        add_run(out, run, n, id);
    }
    rung_iter_free(it);
    rung_arena_free(a);
    if (st == RUNG_DONE) st = RUNG_OK;
    return st == RUNG_OK ? rung_score_count(&out->n_steps, s, model, err) : st;
}

/* ---------------------------------------------------------------------------------------------- */

/* An ensemble: each member scores what it has not, then the store's scores are combined. */
static rung_status score_members(work *w, const rung_filter *f, int64_t *model, rung_error *err) {
    for (int32_t i = 0; i < w->r->n_members; i++) {
        rung_score_report one;
        RUNG_TRY(rung_reward_score(&one, w->r->member[i], w->store, 0, f, w->log, err));
        model[i] = one.model;
        w->members.n_tok += one.n_tok;
        w->members.n_tok_cached += one.n_tok_cached;
        if (one.n_skipped > w->out.n_skipped) { /* of the member that left out the most */
            w->out.n_skipped = one.n_skipped;
            w->out.n_skipped_tag = one.n_skipped_tag;
            w->out.n_skipped_context = one.n_skipped_context;
        }
        RUNG_TRY(flush(w, err));
    }
    return RUNG_OK;
}

static rung_status score_ensemble(work *w, const int64_t *model, rung_error *err) {
    for (; w->next < w->traces.n; w->next++) {
        rung_iter *it;
        const rung_trace *t;
        RUNG_TRY(reward_trace_get(&t, &it, w->store, w->traces.id[w->next], err));
        rung_status st = RUNG_OK;
        for (int32_t k = first_step(w->r, t); k < t->n_steps && st == RUNG_OK; k++) {
            double score[RUNG_ENSEMBLE_MAX];
            bool found = true;
            for (int32_t i = 0; i < w->r->n_members && found && st == RUNG_OK; i++)
                st = rung_score_get(&score[i], &found, w->store, t->step[k].node, model[i], err);
            if (st != RUNG_OK || !found) break;
            st = push(w, t->step[k].node, reward_ensemble_score(w->r, score, k), err);
        }
        rung_iter_free(it);
        if (st == RUNG_OK) st = trace_done(w, err);
        if (st != RUNG_OK) return st;
    }
    return RUNG_OK;
}

static rung_status score_all(work *w, const rung_filter *f, rung_error *err) {
    RUNG_TRY(rung_reward_register(&w->out.model, w->r, w->store, err));
    if (rung_reward_calibration(w->r))
        RUNG_TRY(reward_raw_model(&w->raw_model, w->r, w->store, err));
    RUNG_TRY(tie_run(w, err));
    int64_t model[RUNG_ENSEMBLE_MAX];
    if (w->r->n_members) RUNG_TRY(score_members(w, f, model, err));
    RUNG_TRY(collect(w, f, err));
    rung_status st = w->r->n_members                        ? score_ensemble(w, model, err)
                     : w->r->kind == RUNG_REWARD_CONFIDENCE ? score_confidence(w, err)
                                                            : score_windows(w, err);
    rung_status kept = flush(w, st == RUNG_OK ? err : NULL); /* the first failure is told */
    return st == RUNG_OK ? kept : st;
}

rung_status rung_reward_score(rung_score_report *out, rung_reward *r, rung_store *s, int64_t run_id,
                              const rung_filter *f, const rung_log *log, rung_error *err) {
    work *w = rung_calloc(1, sizeof *w);
    if (!w) return rung_fail(err, RUNG_E_NOMEM, "no memory to score");
    w->r = r;
    w->store = s;
    w->log = log;
    w->run = run_id;
    double t0 = w->spent_t = rung_now();
    rung_status st = score_all(w, f, err);
    rung_score_report *o = &w->out;
    rung_scorer_stats read = {0};
    if (w->scorer) rung_scorer_get_stats(&read, w->scorer);
    o->n_tok = read.n_tok + w->members.n_tok;
    o->n_tok_cached = read.n_tok_cached + w->members.n_tok_cached;
    o->n_scored = w->n_done - o->n_skipped;
    o->wall_s = rung_now() - t0;
    rung_event(log, o->n_by_step || o->n_skipped ? RUNG_WARN : RUNG_INFO, "reward.score",
               RUNG_S("kind", rung_reward_kind_name(r->kind)), RUNG_I("traces", o->n_traces),
               RUNG_I("steps", o->n_steps), RUNG_I("tokens", o->n_tok),
               RUNG_I("tokens_cached", o->n_tok_cached), RUNG_D("wall_s", o->wall_s),
               RUNG_I("retokenised", o->n_spelled), RUNG_I("retokenised_by_step", o->n_by_step),
               RUNG_I("skipped", o->n_skipped), RUNG_I("skipped_tag", o->n_skipped_tag),
               RUNG_I("skipped_context", o->n_skipped_context));
    if (out) *out = *o;
    rung_scorer_close(w->scorer);
    rung_free(w->row);
    rung_ids_clear(&w->traces);
    reward_ids_clear(&w->known);
    rung_free(w);
    return st;
}
