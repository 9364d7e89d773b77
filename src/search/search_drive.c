/* The driver: searches of many problems on one engine, from the store to the store.
 *
 * Every problem is a search of its own that asks for text and scores. Continuations of all problems
 * are queued together; a problem goes on as soon as its own are there, unless it waits for the
 * reward model. When nothing is left to sample, all that wait are scored in one run. */
#include "search/search_drive.h"

#include <stdio.h>
#include <string.h>

/* ---- text */

static int32_t count_delimiters(const char *text, int32_t n, const char *delimiter) {
    int32_t found = 0;
    size_t len = strlen(delimiter);
    for (size_t i = 0; i + len <= (size_t)n; i++) {
        if (memcmp(text + i, delimiter, len) != 0) continue;
        found++;
        i += len - 1;
    }
    return found;
}

static bool enough_steps(void *ud, int32_t i, const char *text, int32_t n_bytes) {
    const search_job *j = ud;
    (void)i;
    return count_delimiters(text, n_bytes, j->delimiter) >= j->n_steps;
}

static bool is_plain(const search_ask *a) {
    return a->node == 0 && a->n_steps == 0 && a->temperature < 0.0 && !a->cue;
}

/* Draws of whole traces from the question are those of `trace sample` with the same seed. */
static void address(rung_gen *g, const search_slot *p, const search_ask *a) {
    bool plain = is_plain(a);
    g->stream = plain ? RUNG_STREAM_TRACE : RUNG_STREAM_SEARCH;
    g->key = plain ? p->s.address : p->s.node[a->node].addr;
    g->seed = p->w->o.seed;
}

/* Draws that another run has made already are taken from its traces. skip[n]: which. */
static rung_status reuse(bool *skip, int32_t *n_have, search_slot *p, int32_t at, rung_error *err) {
    const search_ask *a = &p->s.ask[at];
    rung_filter f = {.run = p->w->o.reuse_run, .problem = p->problem.id};
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_status st;
    RUNG_TRY(rung_trace_iter(&it, p->w->store, &f, err));
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        int32_t i = t->i - a->i0;
        if (i < 0 || i >= a->n || skip[i]) continue;
        search_text x = {.text = t->text,
                         .n_bytes = t->n_bytes,
                         .tok = t->n_tok ? t->tok : NULL,
                         .logprob = t->logprob,
                         .logprob_draw = t->logprob_draw,
                         .n_tok = t->n_tok,
                         .step = t->step,
                         .n_steps = t->n_steps,
                         .stop = t->stop};
        st = search_deliver(&p->s, at, i, &x, err);
        if (st != RUNG_OK) break;
        skip[i] = true;
        ++*n_have;
    }
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

static bool needs_spread(const rung_search_opts *o) {
    return o->scorer == RUNG_SEARCH_SCORE_ENTROPY || o->scorer == RUNG_SEARCH_SCORE_CERTAINTY;
}

static rung_status submit_ask(search_slot *p, int32_t at, rung_error *err) {
    search_driver *w = p->w;
    const search_ask *a = &p->s.ask[at];
    bool *skip = NULL;
    int32_t n_have = 0;
    if (w->o.reuse_run && is_plain(a)) {
        skip = rung_arena_alloc(p->s.arena, (size_t)a->n);
        if (!skip) return rung_fail(err, RUNG_E_NOMEM, "no memory for a request");
        RUNG_TRY(reuse(skip, &n_have, p, at, err));
        if (n_have == a->n) return RUNG_OK;
    }
    RUNG_TRY(rung_trace_prompt(&w->user, &p->problem, w->o.suffix, err));
    if (a->cue) rung_buf_str(&w->user, a->cue);
    rung_buf_reset(&w->text);
    if (w->o.prefix) rung_buf_str(&w->text, w->o.prefix);
    search_path_text(&w->text, &p->s, a->node);
    RUNG_TRY(rung_buf_check(&w->user, err));
    RUNG_TRY(rung_buf_check(&w->text, err));
    search_job *j = rung_arena_alloc(p->s.arena, sizeof *j);
    if (!j) return rung_fail(err, RUNG_E_NOMEM, "no memory for a request");
    *j = (search_job){.taker.take = search_take,
                      .next = p->job,
                      .slot = p,
                      .at = at,
                      .n_steps = a->n_steps,
                      .i0 = a->i0,
                      .delimiter = p->delimiter};
    p->job = j;
    rung_gen g = {.prompt = {w->o.system, w->user.data, w->text.n ? w->text.data : NULL},
                  .sampling = w->o.sampling,
                  .n = a->n,
                  .i0 = a->i0,
                  .skip = skip,
                  .max_tok = a->max_tok,
                  .stop = {w->o.stop},
                  .turn = w->o.turn,
                  .n_turns = w->o.n_turns,
                  .spread = needs_spread(&w->o),
                  .ud = j};
    if (a->temperature >= 0.0) g.sampling.temperature = a->temperature;
    if (a->n_steps == 1) g.stop[w->o.stop ? 1 : 0] = p->delimiter;
    if (a->n_steps > 1) g.stop_fn = enough_steps;
    address(&g, p, a);
    p->n_left += a->n - n_have;
    w->n_out += a->n - n_have;
    return rung_engine_gen(w->engine, &g, err);
}

static rung_status submit_all(search_slot *p, rung_error *err) {
    p->job = NULL;
    for (int32_t k = 0; k < p->s.n_asks; k++) RUNG_TRY(submit_ask(p, k, err));
    return RUNG_OK;
}

/* A whole trace falls into its steps; one step stays one, whatever it holds. */
static rung_status split(search_text *t, rung_step **step, search_slot *p, const search_ask *a,
                         const rung_gen_out *o, rung_error *err) {
    const rung_model *m = rung_engine_model(p->w->engine);
    if (a->n_steps == 1 || t->n_bytes == 0) return RUNG_OK;
    RUNG_TRY(rung_split_steps(step, &t->n_steps, p->split, t->text, (size_t)t->n_bytes, err));
    if (m && o->tok && t->n_steps > 0)
        RUNG_TRY(rung_split_align(*step, &t->n_steps, NULL, m, o->tok, o->n_tok, err));
    t->step = *step;
    return RUNG_OK;
}

static rung_status take_text(search_slot *p, const search_job *j, const rung_gen_out *o,
                             rung_error *err) {
    const search_ask *a = &p->s.ask[j->at];
    search_text t = {.text = o->text,
                     .n_bytes = o->n_bytes,
                     .tok = o->tok,
                     .logprob = o->logprob,
                     .logprob_draw = o->logprob_draw,
                     .entropy = o->entropy,
                     .certainty = o->certainty,
                     .n_tok = o->n_tok,
                     .stop = o->stop};
    rung_step *step = NULL;
    p->s.ledger.prompt_new_tok += o->n_prompt_new;
    p->w->n_tok += o->n_tok;
    if (memchr(o->text, 0, (size_t)o->n_bytes))
        t.stop = "context"; /* no prompt can go on from it */
    rung_status st = split(&t, &step, p, a, o, err);
    if (st == RUNG_OK) st = search_deliver(&p->s, j->at, o->i - j->i0, &t, err);
    rung_free(step);
    return st;
}

/* ---- slots */

static rung_status fill(search_driver *w, rung_error *err);

static void close_slot(search_slot *p) {
    search_score_drop(p);
    search_clear(&p->s);
    p->used = false;
}

static rung_status end_slot(search_slot *p, rung_error *err) {
    search_driver *w = p->w;
    rung_status st = RUNG_OK;
    if (w->live) return search_live_end(w->live, err);
    if (p->failed) {
        w->n_failed++;
    } else {
        st = search_keep_result(p, err);
        w->n_done++;
    }
    close_slot(p);
    if (st != RUNG_OK) return st;
    RUNG_TRY(rung_progress(w->log, "problems", w->n_done, (int64_t)w->problems.n, w->n_tok, err));
    return fill(w, err);
}

rung_status search_go_on(search_slot *p, rung_error *err) {
    for (;;) {
        search_need need = SEARCH_IS_OVER;
        if (p->failed || p->stopping) return end_slot(p, err);
        RUNG_TRY(search_advance(&need, &p->s, err));
        if (p->w->live) RUNG_TRY(search_live_tell(p->w->live, err));
        if (need == SEARCH_IS_OVER) return end_slot(p, err);
        RUNG_TRY(need == SEARCH_NEEDS_TEXT ? submit_all(p, err) : search_score_begin(p, err));
        if (p->n_left > 0 || p->waits) return RUNG_OK;
    }
}

static rung_status take_sample(search_job *j, const rung_gen_out *o, rung_error *err) {
    search_slot *p = j->slot;
    search_driver *w = p->w;
    bool judges = j->judges;
    w->n_out--;
    p->n_left--;
    if (!rung_gen_is_whole(o))
        p->failed = !p->stopping;
    else if (judges)
        RUNG_TRY(search_score_judged(p, j->at, o, err));
    else
        RUNG_TRY(take_text(p, j, o, err));
    if (p->n_left > 0) return RUNG_OK;
    if (judges) search_score_judged_all(p);
    return search_go_on(p, err);
}

/* A failure of a live search is its own: the others on the engine go on. */
rung_status search_take(rung_taker *t, const rung_gen_out *o, rung_error *err) {
    search_job *j = (search_job *)t;
    rung_search_live *l = j->slot->w->live;
    rung_error why = RUNG_ERROR_INIT;
    if (!l) return take_sample(j, o, err);
    rung_status st = take_sample(j, o, &why);
    return st == RUNG_OK ? st : search_live_failed(l, &why);
}

static rung_status on_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    rung_taker *t = o->ud;
    (void)ud;
    return t->take(t, o, err);
}

/* How a step ends, as text that a generation can stop at. */
rung_status search_set_delimiter(search_slot *p, rung_error *err) {
    const char *how = p->w->o.split;
    if (!how) how = p->problem.world && p->problem.world[0] ? "line" : "blank";
    p->split = how;
    const char *text = strcmp(how, "line") == 0                         ? "\n"
                       : strcmp(how, "blank") == 0                      ? "\n\n"
                       : strncmp(how, "delimiter:", 10) == 0 && how[10] ? how + 10
                                                                        : NULL;
    if (!text || strlen(text) >= sizeof p->delimiter) {
        rung_fail(err, RUNG_E_INVAL, "steps split by \"%s\" cannot be searched", how);
        return rung_error_hint(err, "line, blank or delimiter:TEXT: a step must have an end");
    }
    snprintf(p->delimiter, sizeof p->delimiter, "%s", text);
    p->s.delimiter = p->delimiter;
    return RUNG_OK;
}

rung_status search_count_header(search_slot *p, rung_error *err) {
    search_driver *w = p->w;
    const rung_model *m = rung_engine_model(w->engine);
    int32_t *tok = NULL, n = 0, n_header = 0;
    if (!m) return RUNG_OK; /* remote: what the server reports is in its own ledger */
    RUNG_TRY(rung_trace_prompt(&w->user, &p->problem, w->o.suffix, err));
    rung_prompt prompt = {w->o.system, w->user.data, w->o.prefix};
    RUNG_TRY(rung_chat_tokens(&tok, &n, &n_header, m, w->o.turn, w->o.n_turns, &prompt, err));
    rung_free(tok);
    p->s.n_header_tok = n; /* with what the reply begins with, if anything */
    return RUNG_OK;
}

static rung_status open_slot(search_slot *p, search_driver *w, int64_t id, rung_error *err) {
    if (!p->arena) p->arena = rung_arena_new(0);
    if (!p->s.arena) p->s.arena = rung_arena_new(0);
    if (!p->arena || !p->s.arena) return rung_fail(err, RUNG_E_NOMEM, "no memory for a problem");
    rung_arena_reset(p->arena);
    p->w = w;
    RUNG_TRY(rung_problem_get(w->store, &p->problem, p->arena, id, err));
    p->verifier = rung_verifier_find(p->problem.verifier ? p->problem.verifier : "");
    p->world = p->problem.world && p->problem.world[0] ? rung_world_find(p->problem.world) : NULL;
    p->live_root = -1;
    p->waits = p->failed = false;
    p->t0 = rung_now();
    p->s.judge = search_judge_node;
    p->s.is_final = search_step_is_final;
    p->s.ud = p;
    RUNG_TRY(search_set_delimiter(p, err));
    p->used = true;
    RUNG_TRY(search_begin(&p->s, &w->o, w->m, rung_problem_address(&p->problem), err));
    return search_count_header(p, err);
}

/* The store has no answer to it yet. */
static bool is_missing(search_driver *w, int64_t id) {
    while (w->next_have < w->have.n && w->have.id[w->next_have] < id) w->next_have++;
    return w->next_have >= w->have.n || w->have.id[w->next_have] != id;
}

static rung_status fill(search_driver *w, rung_error *err) {
    for (int32_t k = 0; k < w->o.at_once; k++) {
        search_slot *p = &w->slot[k];
        while (!p->used && w->next < w->problems.n) {
            int64_t id = w->problems.id[w->next++];
            if (!is_missing(w, id)) continue;
            RUNG_TRY(open_slot(p, w, id, err));
            RUNG_TRY(search_go_on(p, err));
        }
    }
    return RUNG_OK;
}

/* ---- the run */

static rung_status note_have(void *ud, const rung_search_row *r, rung_error *err) {
    return rung_ids_push(ud, r->problem, err);
}

static rung_status prepare(search_driver *w, rung_error *err) {
    RUNG_TRY(rung_problem_ids(&w->problems, w->store, &w->o.problems, err));
    if (w->problems.n == 0) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no problems match");
        return rung_error_hint(err, "import or generate some first, or check --set and --split");
    }
    RUNG_TRY(rung_search_rows(w->store, w->run, 0, note_have, &w->have, err));
    for (size_t i = 0; i < w->problems.n; i++) w->n_done += !is_missing(w, w->problems.id[i]);
    w->next_have = 0;
    w->slot = rung_calloc((size_t)w->o.at_once, sizeof *w->slot);
    w->waiting = rung_calloc((size_t)w->o.at_once, sizeof *w->waiting);
    if (!w->slot || !w->waiting) return rung_fail(err, RUNG_E_NOMEM, "no memory for searches");
    bool reads =
        w->o.scorer == RUNG_SEARCH_SCORE_REWARD || w->o.scorer == RUNG_SEARCH_SCORE_ENSEMBLE;
    if (reads && !w->o.reward)
        return rung_fail(err, RUNG_E_INVAL, "scorer %s needs a reward model",
                         rung_search_scorer_name(w->o.scorer));
    if (reads) RUNG_TRY(rung_scorer_open(&w->scorer, w->o.reward, err));
    if (reads) RUNG_TRY(rung_scorer_cache(w->scorer, w->store, err));
    w->spent_t = rung_now();
    return RUNG_OK;
}

static rung_status drive(search_driver *w, rung_error *err) {
    RUNG_TRY(prepare(w, err));
    rung_event(w->log, RUNG_INFO, "search.run", RUNG_S("method", w->m->info.name),
               RUNG_I("n", w->o.n), RUNG_I("problems", w->problems.n), RUNG_I("done", w->n_done));
    rung_engine_cb cb = {.on_gen = on_gen, .ud = w};
    rung_status st = fill(w, err);
    while (st == RUNG_OK) {
        if (w->n_out > 0) st = rung_engine_run(w->engine, &cb, err);
        if (st != RUNG_OK || w->n_waiting == 0) break;
        int32_t n = 0;
        for (int32_t k = 0; k < w->o.at_once; k++)
            if (w->slot[k].used && w->slot[k].waits) w->waiting[n++] = &w->slot[k];
        st = search_score_waiting(w->waiting, n, w->scorer, err);
        for (int32_t k = 0; k < n && st == RUNG_OK; k++) {
            w->waiting[k]->waits = false;
            w->n_waiting--;
            st = search_go_on(w->waiting[k], err);
        }
    }
    if (st != RUNG_OK) rung_engine_clear(w->engine);
    if (st == RUNG_OK && w->n_unscored)
        rung_event(w->log, RUNG_WARN, "search.unscored", RUNG_I("steps", w->n_unscored));
    return st == RUNG_OK ? rung_failed_samples(w->engine, w->n_failed, "problems", err) : st;
}

rung_status search_check(const rung_search_opts *o, const search_method *m, rung_error *err) {
    if (!m) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no search named \"%s\"", o->method ? o->method : "");
        return rung_error_hint(err, "rung help search run lists them");
    }
    if (m->info.needs_score && o->scorer == RUNG_SEARCH_SCORE_NONE) {
        rung_fail(err, RUNG_E_INVAL, "method %s needs step scores", m->info.name);
        return rung_error_hint(err, "name a reward model, or the policy's own confidence");
    }
    if (o->reuse_run && needs_spread(o)) {
        rung_fail(err, RUNG_E_INVAL, "kept traces do not tell the distributions that %s needs",
                  rung_search_scorer_name(o->scorer));
        return rung_error_hint(err, "sample anew, or score by logprob or confidence");
    }
    if (o->n < 0 || o->width < 0 || o->depth < 0 || o->step_tok < 0 || o->max_tok < 0 ||
        o->lookahead < 0 || o->flip < 0.0 || o->flip > 1.0)
        return rung_fail(err, RUNG_E_INVAL, "a size of the search is negative");
    return RUNG_OK;
}

static void driver_clear(search_driver *w) {
    for (int32_t k = 0; w->slot && k < w->o.at_once; k++) {
        if (w->slot[k].s.arena) search_clear(&w->slot[k].s);
        rung_arena_free(w->slot[k].s.arena);
        rung_arena_free(w->slot[k].arena);
    }
    rung_scorer_close(w->scorer);
    rung_free(w->slot);
    rung_free(w->waiting);
    rung_ids_clear(&w->problems);
    rung_ids_clear(&w->have);
    rung_buf_clear(&w->user);
    rung_buf_clear(&w->text);
    rung_free(w);
}

rung_status rung_search_run(rung_store *s, rung_engine *e, int64_t run_id,
                            const rung_search_opts *o, const rung_log *log, rung_error *err) {
    if (o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "rung_search_opts of another size");
    const search_method *m = search_method_find(o->method ? o->method : "");
    RUNG_TRY(search_check(o, m, err));
    search_driver *w = rung_calloc(1, sizeof *w);
    if (!w) return rung_fail(err, RUNG_E_NOMEM, "no memory to search");
    w->store = s;
    w->engine = e;
    w->run = run_id;
    w->o = *o;
    w->m = m;
    w->log = log;
    if (!w->o.n) w->o.n = m->n;
    search_opts_fill(&w->o);
    w->generator = rung_engine_name(w->name, e, o->generator);
    rung_buf_init(&w->user, 16u << 20);
    rung_buf_init(&w->text, 16u << 20);
    rung_status st = drive(w, err);
    driver_clear(w);
    return st;
}
