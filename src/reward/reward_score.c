/* Scores of stored traces: per step (prm) or at the leaf (orm), only what is missing. */
#include "reward/reward_ids.h"
#include "reward/reward_impl.h"
#include "trace/flow.h"

#include <math.h>
#include <string.h>

enum { SCORE_WINDOW = 64, SCORE_FLUSH = 1024 };

typedef struct score_job {
    int64_t trace;
    int64_t *node;
    int32_t n;
    bool used;
} score_job;

typedef struct score_row {
    int64_t node;
    double value;
} score_row;

typedef struct scorer {
    rung_reward *r;
    rung_store *store;
    int64_t model;
    const rung_log *log;
    rung_ids traces;
    reward_ids known; /* nodes in the store, or asked for in this call */
    size_t next;
    score_job job[SCORE_WINDOW];
    int32_t n_out;
    score_row *row;
    size_t n_rows, cap_rows;
    double row_t;
    int64_t n_done, n_total, n_tok, n_spelled, n_by_step, n_skipped;
} scorer;

static rung_status flush(scorer *w, rung_error *err) {
    if (w->n_rows == 0) return RUNG_OK;
    RUNG_TRY(rung_store_begin(w->store, err));
    rung_status st = RUNG_OK;
    for (size_t i = 0; i < w->n_rows && st == RUNG_OK; i++)
        st = rung_score_put(w->store, w->row[i].node, w->model, w->row[i].value, err);
    if (st != RUNG_OK) {
        rung_store_rollback(w->store);
        return st;
    }
    w->n_rows = 0;
    return rung_store_commit(w->store, err);
}

static rung_status push(scorer *w, int64_t node, double value, rung_error *err) {
    if (!isfinite(value))
        return rung_fail(err, RUNG_E_MODEL, "the score of node %lld is not finite",
                         (long long)node);
    if (w->n_rows == w->cap_rows) {
        size_t cap = w->cap_rows ? w->cap_rows * 2 : SCORE_FLUSH;
        score_row *grown = rung_realloc(w->row, cap * sizeof *grown);
        if (!grown) return rung_fail(err, RUNG_E_NOMEM, "no memory for %zu scores", cap);
        w->row = grown;
        w->cap_rows = cap;
    }
    if (w->n_rows == 0) w->row_t = rung_now();
    w->row[w->n_rows++] = (score_row){node, value};
    return RUNG_OK;
}

static rung_status trace_done(scorer *w, rung_error *err) {
    w->n_done++;
    if (w->n_rows >= SCORE_FLUSH || (w->n_rows && rung_now() - w->row_t > RUNG_FLUSH_S))
        RUNG_TRY(flush(w, err));
    return rung_progress(w->log, "traces", w->n_done, w->n_total, w->n_tok, err);
}

static bool outcome_only(const rung_reward *r) {
    return r->kind == RUNG_REWARD_ORM_HEAD;
}

static int32_t first_step(const rung_reward *r, const rung_trace *t) {
    return outcome_only(r) && t->n_steps ? t->n_steps - 1 : 0;
}

/* First step of t whose score is neither stored nor asked for; n_steps when none. A node's
 * descendants come after it, so all from there on are missing. */
static rung_status first_missing(int32_t *first, scorer *w, const rung_trace *t, rung_error *err) {
    int32_t k = first_step(w->r, t);
    for (; k < t->n_steps; k++) {
        int64_t node = t->step[k].node, one = 1;
        double value;
        bool found = reward_ids_has(&w->known, node), is_new;
        if (found) continue;
        RUNG_TRY(rung_score_get(&value, &found, w->store, node, w->model, err));
        if (!found) break;
        RUNG_TRY(reward_ids_put(&one, &is_new, &w->known, node, err));
    }
    *first = k;
    return RUNG_OK;
}

static rung_status collect(scorer *w, const rung_filter *f, rung_error *err) {
    rung_iter *it;
    RUNG_TRY(rung_trace_iter(&it, w->store, f, err));
    const rung_trace *t;
    rung_status st;
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        int32_t first;
        st = first_missing(&first, w, t, err);
        w->n_total++;
        if (st == RUNG_OK && first < t->n_steps) st = rung_ids_push(&w->traces, t->id, err);
        if (st != RUNG_OK) break;
    }
    rung_iter_free(it);
    w->n_done = w->n_total - (int64_t)w->traces.n;
    return st == RUNG_DONE ? RUNG_OK : st;
}

/* exp of the least ln p among the step's tokens, from what sampling stored. */
static rung_status score_confidence(scorer *w, rung_error *err) {
    for (; w->next < w->traces.n; w->next++) {
        rung_iter *it;
        const rung_trace *t;
        RUNG_TRY(reward_trace_get(&t, &it, w->store, w->traces.id[w->next], err));
        rung_status st = RUNG_OK;
        if (!t->logprob || t->n_tok == 0) w->n_skipped++;
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

/* Only what is missing is asked for: what traces of a problem share is computed once, and the
 * engine takes the tokens before the first asked position from its cache. */
static rung_status queue_eval(scorer *w, score_job *j, const reward_layout *l, const rung_trace *t,
                              int32_t first, rung_error *err) {
    j->n = l->n_at - first;
    j->node = rung_alloc((size_t)j->n * sizeof *j->node);
    if (!j->node) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d steps", j->n);
    for (int32_t k = 0; k < j->n; k++) j->node[k] = t->step[first + k].node;
    j->trace = t->id;
    bool token = w->r->kind == RUNG_REWARD_PRM_TOKEN;
    rung_eval v = {.tok = l->tok,
                   .n_tok = l->at[l->n_at - 1] + 1,
                   .at = l->at + first,
                   .n_at = j->n,
                   .hidden = !token,
                   .logits = token,
                   .ud = j};
    rung_status st = rung_engine_eval(w->r->engine, &v, err);
    if (st != RUNG_OK) {
        rung_free(j->node);
        j->node = NULL;
        return st;
    }
    j->used = true;
    w->n_out++;
    for (int32_t k = 0; k < j->n; k++) {
        int64_t one = 1;
        bool is_new;
        RUNG_TRY(reward_ids_put(&one, &is_new, &w->known, j->node[k], err));
    }
    return RUNG_OK;
}

/* Lay one trace out and queue it. A trace that cannot be read (no steps, too long for the context)
 * stays unscored and is named. */
static rung_status submit(scorer *w, score_job *j, int64_t id, rung_error *err) {
    rung_arena *a = rung_arena_new(0);
    rung_iter *it = NULL;
    reward_layout l = {0};
    rung_status st = RUNG_OK;
    if (!a) RUNG_GOTO(rung_fail(err, RUNG_E_NOMEM, "no memory to read a trace"));
    const rung_trace *t;
    rung_problem p;
    RUNG_GOTO(reward_trace_get(&t, &it, w->store, id, err));
    int32_t first;
    RUNG_GOTO(first_missing(&first, w, t, err));
    if (first == t->n_steps) {
        st = trace_done(w, err);
        goto out;
    }
    RUNG_GOTO(rung_problem_get(w->store, &p, a, t->problem, err));
    bool spelled, by_step;
    rung_error e = RUNG_ERROR_INIT;
    st = reward_layout_make(&l, &spelled, &by_step, rung_engine_model(w->r->engine), &w->r->format,
                            &p, t, &e);
    if (st == RUNG_OK) {
        w->n_spelled += spelled;
        w->n_by_step += by_step;
        st = queue_eval(w, j, &l, t, first, &e);
    }
    if (st == RUNG_E_FORMAT || st == RUNG_E_LIMIT) {
        w->n_skipped++;
        rung_event(w->log, RUNG_WARN, "reward.skip", RUNG_I("trace", id), RUNG_S("why", e.what));
        st = trace_done(w, err);
    } else if (st != RUNG_OK && err) {
        *err = e;
    }
out:
    rung_iter_free(it);
    rung_arena_free(a);
    reward_layout_clear(&l);
    return st;
}

static rung_status fill(scorer *w, rung_error *err) {
    for (int32_t k = 0; k < SCORE_WINDOW; k++)
        while (!w->job[k].used && w->next < w->traces.n)
            RUNG_TRY(submit(w, &w->job[k], w->traces.id[w->next++], err));
    return RUNG_OK;
}

/* P(+) / (P(+) + P(-)): a sigmoid of the logits' difference. */
static double plus_share(const float *logit, int32_t plus, int32_t minus) {
    return 1.0 / (1.0 + exp((double)logit[minus] - (double)logit[plus]));
}

static rung_status on_eval(void *ud, const rung_eval_out *o, rung_error *err) {
    scorer *w = ud;
    score_job *j = o->ud;
    rung_model_info info;
    rung_model_get_info(&info, rung_engine_model(w->r->engine));
    bool token = w->r->kind == RUNG_REWARD_PRM_TOKEN;
    if (o->n_at != j->n || !(token ? o->logits : o->hidden))
        return rung_fail(err, RUNG_E_MODEL, "the engine gave no read-out");
    for (int32_t k = 0; k < j->n; k++) {
        double p = token ? plus_share(o->logits + (size_t)k * (size_t)info.n_vocab, w->r->plus,
                                      w->r->minus)
                         : rung_head_score(w->r->head, o->hidden + (size_t)k * (size_t)info.n_embd);
        RUNG_TRY(push(w, j->node[k], p, err));
    }
    rung_free(j->node);
    j->node = NULL;
    j->used = false;
    w->n_out--;
    w->n_tok += o->n_new;
    RUNG_TRY(fill(w, err));
    return trace_done(w, err);
}

static rung_status register_model(int64_t *id, scorer *w, rung_error *err) {
    rung_reward *r = w->r;
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
    rung_buf_str(&meta, "}");
    rung_status st = rung_buf_check(&meta, err);
    rung_model_row row = {.name = slash ? slash + 1 : r->path,
                          .path = r->file ? r->path : "",
                          .hash = r->hash,
                          .kind = reward_row_kind(r->kind),
                          .meta = meta.data};
    if (st == RUNG_OK) st = rung_model_put(w->store, &row, err);
    rung_buf_clear(&meta);
    w->model = *id = row.id;
    return st;
}

static rung_status score_all(scorer *w, rung_error *err) {
    if (w->r->kind == RUNG_REWARD_CONFIDENCE) return score_confidence(w, err);
    rung_status st = fill(w, err);
    rung_engine_cb cb = {.on_eval = on_eval, .ud = w};
    return rung_engine_drain(w->r->engine, &cb, st, w->n_out, err);
}

rung_status rung_reward_score(int64_t *model_id, rung_reward *r, rung_store *s,
                              const rung_filter *f, const rung_log *log, rung_error *err) {
    scorer *w = rung_calloc(1, sizeof *w);
    if (!w) return rung_fail(err, RUNG_E_NOMEM, "no memory to score");
    w->r = r;
    w->store = s;
    w->log = log;
    int64_t id = 0;
    rung_status st = register_model(&id, w, err);
    if (st == RUNG_OK) st = collect(w, f, err);
    if (st == RUNG_OK) st = score_all(w, err);
    rung_status kept = flush(w, st == RUNG_OK ? err : NULL); /* the first failure is told */
    if (st == RUNG_OK) st = kept;
    bool odd = w->n_by_step || w->n_skipped;
    rung_event(log, odd ? RUNG_WARN : RUNG_INFO, "reward.score",
               RUNG_S("kind", rung_reward_kind_name(r->kind)), RUNG_I("traces", w->n_total),
               RUNG_I("tokens", w->n_tok), RUNG_I("retokenised", w->n_spelled),
               RUNG_I("retokenised_by_step", w->n_by_step), RUNG_I("skipped", w->n_skipped));
    for (int32_t k = 0; k < SCORE_WINDOW; k++) rung_free(w->job[k].node);
    rung_free(w->row);
    rung_ids_clear(&w->traces);
    reward_ids_clear(&w->known);
    rung_free(w);
    if (model_id) *model_id = id;
    return st;
}
