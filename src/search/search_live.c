/* One search from outside on an engine that others use, too: its driver has one slot, which is the
 * search. Whoever owns the engine runs it and hands samples to their takers; searches that wait for
 * the reward model are scored together by rung_search_live_score. */
#include "search/search_drive.h"

#include <math.h>
#include <string.h>

struct rung_search_live {
    search_driver w;
    search_slot slot;
    rung_search_live_cb cb;
    int32_t n_told; /* events */
    bool cancelled, ended, busy;
    rung_error why;
};

/* ---- beginning */

static bool copy(const char **s, rung_arena *a) {
    if (*s) *s = rung_arena_strndup(a, *s, strlen(*s));
    return true;
}

static bool copy_or(const char **s, rung_arena *a, const char *none) {
    const char *from = *s ? *s : none;
    *s = rung_arena_strndup(a, from, strlen(from));
    return *s != NULL;
}

/* Strings of the options and the problem live in the slot's arena. */
static rung_status copy_all(rung_search_live *l, const rung_problem *p, rung_error *err) {
    rung_arena *a = l->slot.arena;
    rung_search_opts *o = &l->w.o;
    rung_problem *q = &l->slot.problem;
    const char **text[] = {&o->system, &o->suffix,          &o->stop, &o->split, &o->prefix,
                           &o->select, &o->sampling.grammar};
    bool ok = true;
    *q = *p;
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        bool had = *text[i] != NULL;
        copy(text[i], a);
        ok = ok && (!had || *text[i]);
    }
    ok = ok && copy_or(&q->set, a, "") && copy_or(&q->split, a, "") && copy_or(&q->key, a, "") &&
         copy_or(&q->question, a, "") && copy_or(&q->answer, a, "") &&
         copy_or(&q->solution, a, "") && copy_or(&q->world, a, "") && copy_or(&q->meta, a, "{}") &&
         copy_or(&q->verifier, a, "math");
    if (ok && o->n_turns > 0) {
        rung_turn *t = rung_arena_alloc(a, (size_t)o->n_turns * sizeof *t);
        ok = t != NULL;
        for (int32_t i = 0; ok && i < o->n_turns; i++) {
            t[i] = o->turn[i];
            ok = copy_or(&t[i].user, a, "") && copy_or(&t[i].reply, a, "");
        }
        o->turn = t;
    }
    if (ok && o->sampling.n_bias > 0) {
        size_t n = (size_t)o->sampling.n_bias * sizeof *o->sampling.bias;
        rung_logit_bias *b = rung_arena_alloc(a, n);
        ok = b != NULL;
        if (ok) memcpy(b, o->sampling.bias, n);
        o->sampling.bias = b;
    }
    return ok ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "no memory for a search");
}

/* Equal questions with equal seeds have equal draws, whoever asks. */
static uint64_t address_of(const rung_search_live *l) {
    const rung_search_opts *o = &l->w.o;
    uint64_t h = 0;
    for (int32_t i = 0; i < o->n_turns; i++) {
        h = rung_hash64(o->turn[i].user, strlen(o->turn[i].user), h);
        h = rung_hash64(o->turn[i].reply, strlen(o->turn[i].reply), h);
    }
    if (o->prefix) h = rung_hash64(o->prefix, strlen(o->prefix), h);
    return rung_hash64(l->slot.problem.question, strlen(l->slot.problem.question), h);
}

static rung_status begin(rung_search_live *l, const rung_search_host *h, const rung_search_opts *o,
                         const rung_problem *problem, rung_error *err) {
    search_driver *w = &l->w;
    search_slot *p = &l->slot;
    rung_buf_init(&w->user, 16u << 20);
    rung_buf_init(&w->text, 16u << 20);
    w->store = h->store;
    w->engine = h->engine;
    w->scorer = h->scorer;
    w->run = h->run;
    w->log = h->log;
    w->live = l;
    w->slot = p;
    w->o = *o;
    w->o.at_once = 1;
    w->o.reuse_run = 0;
    w->m = search_method_find(o->method);
    if (!w->o.n) w->o.n = w->m->n;
    search_opts_fill(&w->o);
    w->o.method = w->m->info.name;
    w->generator = rung_engine_name(w->name, h->engine, o->generator);
    w->spent_t = p->t0 = rung_now();
    p->w = w;
    p->live_root = -1;
    p->arena = rung_arena_new(64u << 20);
    p->s.arena = rung_arena_new(0);
    if (!p->arena || !p->s.arena) return rung_fail(err, RUNG_E_NOMEM, "no memory for a search");
    RUNG_TRY(copy_all(l, problem, err));
    p->verifier = rung_verifier_find(p->problem.verifier);
    p->world = p->problem.world[0] ? rung_world_find(p->problem.world) : NULL;
    p->s.judge = search_judge_node;
    p->s.is_final = search_step_is_final;
    p->s.ud = p;
    RUNG_TRY(search_set_delimiter(p, err));
    p->used = true;
    RUNG_TRY(search_begin(&p->s, &w->o, w->m, address_of(l), err));
    return search_count_header(p, err);
}

static void clear(rung_search_live *l) {
    if (l->slot.used) search_score_drop(&l->slot);
    if (l->slot.s.arena) search_clear(&l->slot.s);
    rung_arena_free(l->slot.s.arena);
    rung_arena_free(l->slot.arena);
    rung_buf_clear(&l->w.user);
    rung_buf_clear(&l->w.text);
    rung_free(l);
}

static bool reads(const rung_search_opts *o) {
    return o->scorer == RUNG_SEARCH_SCORE_REWARD || o->scorer == RUNG_SEARCH_SCORE_ENSEMBLE;
}

rung_status rung_search_live_new(rung_search_live **out, const rung_search_host *h,
                                 const rung_search_opts *o, const rung_problem *p,
                                 const rung_search_live_cb *cb, rung_error *err) {
    *out = NULL;
    if (o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "rung_search_opts of another size");
    RUNG_TRY(search_check(o, search_method_find(o->method ? o->method : ""), err));
    if (reads(o) && !h->scorer)
        return rung_fail(err, RUNG_E_INVAL, "scorer %s needs a reward model",
                         rung_search_scorer_name(o->scorer));
    rung_search_live *l = rung_calloc(1, sizeof *l);
    if (!l) return rung_fail(err, RUNG_E_NOMEM, "no memory for a search");
    l->cb = *cb;
    l->why = (rung_error)RUNG_ERROR_INIT;
    rung_status st = begin(l, h, o, p, err);
    if (st != RUNG_OK) {
        clear(l);
        return st;
    }
    *out = l;
    rung_error why = RUNG_ERROR_INIT;
    st = search_go_on(&l->slot, &why);
    return st == RUNG_OK ? st : search_live_failed(l, &why);
}

void rung_search_live_free(rung_search_live *l) {
    if (!l) return;
    if (l->busy)
        l->ended = true; /* inside its own on_answer: freed behind it */
    else
        clear(l);
}

/* ---- under way */

rung_status search_live_tell(rung_search_live *l, rung_error *err) {
    search *s = &l->slot.s;
    for (; l->n_told < s->n_events; l->n_told++)
        if (l->cb.on_event) RUNG_TRY(l->cb.on_event(l->cb.ud, &s->event[l->n_told], err));
    return RUNG_OK;
}

bool rung_search_live_waits(const rung_search_live *l) {
    return l->slot.waits;
}

static void cancel_jobs(rung_search_live *l) {
    for (search_job *j = l->slot.job; j; j = j->next) (void)rung_engine_cancel(l->w.engine, j);
}

/* Ends as soon as nothing is under way. */
static void end_soon(rung_search_live *l) {
    search_slot *p = &l->slot;
    rung_error err = RUNG_ERROR_INIT;
    p->stopping = true;
    p->waits = false;
    if (p->n_left > 0)
        cancel_jobs(l);
    else if (search_live_end(l, &err) != RUNG_OK)
        (void)search_live_failed(l, &err);
}

void rung_search_live_stop(rung_search_live *l) {
    if (!l->slot.stopping) end_soon(l);
}

void rung_search_live_cancel(rung_search_live *l) {
    bool ends = l->slot.stopping;
    if (!l->cancelled) l->why.code = RUNG_E_CANCELLED;
    l->cancelled = true;
    if (!ends) end_soon(l);
}

rung_status search_live_failed(rung_search_live *l, const rung_error *why) {
    if (!l->cancelled) l->why = *why;
    l->cancelled = true;
    end_soon(l);
    return RUNG_OK;
}

rung_status rung_search_live_score(rung_search_live *const *l, int32_t n, rung_scorer *scorer,
                                   rung_error *err) {
    search_slot **p = rung_alloc(((size_t)n + 1) * sizeof *p);
    if (!p) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d searches", n);
    for (int32_t i = 0; i < n; i++) p[i] = &l[i]->slot;
    rung_status st = search_score_waiting(p, n, scorer, err);
    for (int32_t i = 0; i < n && st == RUNG_OK; i++) {
        rung_error why = RUNG_ERROR_INIT;
        p[i]->waits = false;
        p[i]->w->n_waiting = 0;
        if (search_go_on(p[i], &why) != RUNG_OK) st = search_live_failed(l[i], &why);
    }
    rung_free(p);
    return st;
}

/* ---- the end */

static rung_status join_tokens(rung_search_answer *a, search *s, int32_t leaf, rung_error *err) {
    const search_node *v = &s->node[leaf];
    int32_t *tok = rung_arena_alloc(s->arena, (size_t)v->n_path_tok * sizeof *tok + 1);
    float *lp = rung_arena_alloc(s->arena, (size_t)v->n_path_tok * sizeof *lp + 1);
    bool all = true;
    if (!tok || !lp) return rung_fail(err, RUNG_E_NOMEM, "no memory for an answer");
    int32_t at = v->n_path_tok;
    for (int32_t x = leaf; x > 0; x = s->node[x].parent) {
        const search_node *y = &s->node[x];
        at -= y->n_tok;
        all &= y->n_tok == 0 || (y->tok && y->logprob);
        if (!all || y->n_tok == 0) continue;
        memcpy(tok + at, y->tok, (size_t)y->n_tok * sizeof *tok);
        memcpy(lp + at, y->logprob, (size_t)y->n_tok * sizeof *lp);
    }
    a->n_tok = v->n_path_tok;
    a->tok = all && at == 0 ? tok : NULL;
    a->logprob = all && at == 0 ? lp : NULL;
    return RUNG_OK;
}

static rung_status join_steps(rung_search_answer *a, search *s, int32_t leaf, rung_error *err) {
    int32_t n = 0, k;
    for (int32_t x = leaf; x > 0; x = s->node[x].parent) n += s->node[x].n_bytes > 0;
    double *score = rung_arena_alloc(s->arena, (size_t)n * sizeof *score + 1);
    int32_t *end = rung_arena_alloc(s->arena, (size_t)n * sizeof *end + 1);
    if (!score || !end) return rung_fail(err, RUNG_E_NOMEM, "no memory for an answer");
    k = n;
    for (int32_t x = leaf; x > 0; x = s->node[x].parent) {
        if (s->node[x].n_bytes == 0) continue;
        score[--k] = s->node[x].score;
        end[k] = s->node[x].n_path_bytes;
    }
    a->step_score = score;
    a->step_bytes = end;
    a->n_steps = n;
    return RUNG_OK;
}

static rung_status describe(rung_search_answer *a, rung_search_live *l, int32_t leaf,
                            rung_error *err) {
    search *s = &l->slot.s;
    const search_node *v = &s->node[leaf];
    rung_buf b;
    rung_buf_init(&b, 16u << 20);
    search_path_text(&b, s, leaf);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) {
        char *text = rung_arena_strndup(s->arena, b.data ? b.data : "", b.n);
        a->text = text;
        a->n_bytes = (int32_t)b.n;
        if (!text) st = rung_fail(err, RUNG_E_NOMEM, "no memory for an answer");
    }
    rung_buf_clear(&b);
    if (st != RUNG_OK) return st;
    a->key = v->key;
    a->stop = v->end == SEARCH_DONE ? v->stop : "length";
    if (s->o->scorer != RUNG_SEARCH_SCORE_NONE) a->score = search_value(s, leaf);
    RUNG_TRY(join_tokens(a, s, leaf, err));
    return join_steps(a, s, leaf, err);
}

/* The problem, its traces, its tree: together or not at all. */
static rung_status keep(rung_search_live *l, rung_error *err) {
    search_driver *w = &l->w;
    bool is_new;
    RUNG_TRY(rung_store_begin(w->store, err));
    rung_status st = rung_problem_put(w->store, &l->slot.problem, &is_new, err);
    if (st == RUNG_OK) st = search_keep_result(&l->slot, err);
    if (st == RUNG_OK) return rung_store_commit(w->store, err);
    rung_store_rollback(w->store);
    return st;
}

static rung_status finish(rung_search_answer *a, rung_search_live *l, rung_error *err) {
    search *s = &l->slot.s;
    int32_t chosen = -1;
    if (l->w.store)
        RUNG_TRY(keep(l, err));
    else
        RUNG_TRY(search_choose(&chosen, s, err));
    for (int32_t i = s->n_events - 1; i >= 0 && chosen < 0; i--) {
        if (strcmp(s->event[i].kind, "choose") != 0) continue;
        for (int32_t k = 0; k < s->n_done; k++)
            if (s->done[k] == s->event[i].node) chosen = k;
    }
    RUNG_TRY(search_live_tell(l, err));
    s->ledger.wall_s = rung_now() - l->slot.t0;
    a->problem = l->w.store ? l->slot.problem.id : 0;
    a->n_traces = s->n_done;
    a->n_nodes = s->n_nodes;
    a->n_prompt_tok = s->n_header_tok;
    a->ledger = s->ledger;
    a->stopped = l->slot.stopping;
    return chosen >= 0 ? describe(a, l, s->done[chosen], err) : RUNG_OK;
}

rung_status search_live_end(rung_search_live *l, rung_error *err) {
    rung_search_answer a = {.text = "", .key = "", .stop = "length", .score = (double)NAN};
    (void)err;
    if (l->busy) return RUNG_OK;
    if (l->slot.failed && !l->cancelled) {
        rung_fail(&l->why, rung_engine_model(l->w.engine) ? RUNG_E_MODEL : RUNG_E_REMOTE,
                  "a continuation failed");
        l->cancelled = true;
    }
    if (!l->cancelled && finish(&a, l, &l->why) != RUNG_OK) l->cancelled = true;
    search_score_drop(&l->slot);
    l->busy = true;
    l->cb.on_answer(l->cb.ud, l->cancelled ? NULL : &a, &l->why);
    l->busy = false;
    if (l->ended) clear(l);
    return RUNG_OK;
}
