/* Requests that a search answers: one search per choice, with a seed of its own. */
#include "rung/verify.h"
#include "serve/work.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static rung_status no_memory(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "no memory for a search");
}

/* ---- the tree, as it is told */

static void number(rung_buf *b, const char *key, double x) {
    if (isfinite(x)) rung_buf_printf(b, ",\"%s\":%.6g", key, x);
}

static void event_json(rung_buf *b, const rung_search_event *e) {
    rung_buf_printf(b, "{\"kind\":\"%s\",\"node\":%d", e->kind, e->node);
    if (e->text) {
        rung_buf_printf(b, ",\"parent\":%d,\"text\":", e->parent);
        rung_buf_json_str(b, e->text, (size_t)e->n_bytes);
        if (e->n) rung_buf_str(b, ",\"scratch\":true");
    } else if (e->n) {
        rung_buf_printf(b, ",\"visits\":%d", e->n);
    }
    number(b, "value", e->value);
    rung_buf_str(b, "}");
}

static void stream_event(work_find *f, const rung_search_event *e) {
    work_ask *a = f->a;
    rung_buf *b = &a->w->out;
    rung_buf_reset(b);
    rung_buf_printf(b,
                    "data: {\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", a->name,
                    a->ask.kind == SERVE_CHAT ? "chat.completion.chunk" : "text_completion",
                    (long long)a->created);
    rung_buf_json_str(b, a->w->o->caps.name, strlen(a->w->o->caps.name));
    rung_buf_printf(b, ",\"choices\":[],\"rung\":{\"choice\":%d,\"event\":", f->choice);
    event_json(b, e);
    rung_buf_str(b, "}}\n\n");
    if (!b->failed) work_send(a, b->data, b->n);
}

static rung_status keep_node(work_find *f, const rung_search_event *e, rung_error *err) {
    rung_tree *t = &f->tree;
    if (t->n == f->cap) {
        int32_t cap = f->cap ? f->cap * 2 : 64;
        rung_tree_node *grown = rung_arena_alloc(f->a->arena, (size_t)cap * sizeof *grown);
        if (!grown) return no_memory(err);
        if (t->n) memcpy(grown, t->node, (size_t)t->n * sizeof *grown);
        t->node = grown;
        f->cap = cap;
    }
    const double none = (double)NAN;
    if (t->n == 0)
        t->node[t->n++] = (rung_tree_node){.parent = -1, .text = "", .score = none, .value = none};
    if (strcmp(e->kind, "node") == 0) {
        if (t->n == f->cap) return keep_node(f, e, err);
        t->node[t->n++] = (rung_tree_node){
            .parent = e->parent, .score = none, .value = none, .scratch = e->n != 0};
    }
    if (e->node < 0 || e->node >= t->n) return RUNG_OK;
    rung_tree_node *v = &t->node[e->node];
    if (e->text) {
        v->text = rung_arena_strndup(f->a->arena, e->text, (size_t)e->n_bytes);
        if (!v->text) return no_memory(err);
    }
    if (strcmp(e->kind, "score") == 0) v->score = e->value;
    if (strcmp(e->kind, "value") == 0) {
        v->value = e->value;
        v->n_visits = e->n;
    }
    if (strcmp(e->kind, "keep") == 0) {
        v->kept = true;
        v->pruned = false;
    }
    v->pruned |= strcmp(e->kind, "prune") == 0;
    v->done |= strcmp(e->kind, "done") == 0;
    v->chosen |= strcmp(e->kind, "choose") == 0;
    return RUNG_OK;
}

static rung_status on_event(void *ud, const rung_search_event *e, rung_error *err) {
    work_find *f = ud;
    work_ask *a = f->a;
    if (a->cancelled || a->failed) return RUNG_OK;
    if (a->ask.stream && a->ask.events) stream_event(f, e);
    return a->ask.tree ? keep_node(f, e, err) : RUNG_OK;
}

/* ---- the answer */

static rung_status keep_answer(work_find *f, const rung_search_answer *x, rung_error *err) {
    work_ask *a = f->a;
    work_choice *c = &a->choice[f->choice];
    rung_arena *m = a->arena;
    size_t n = (size_t)x->n_steps;
    work_text t = {.text = x->text,
                   .n_bytes = x->n_bytes,
                   .n_tok = x->tok ? x->n_tok : 0,
                   .tok = x->tok,
                   .logprob = x->logprob};
    RUNG_TRY(work_keep(c, a, &t, err));
    c->answer = *x;
    c->answer.text = c->t.text;
    c->answer.tok = c->t.tok;
    c->answer.logprob = c->t.logprob;
    c->answer.key = rung_arena_strndup(m, x->key, strlen(x->key));
    c->answer.stop = rung_arena_strndup(m, x->stop, strlen(x->stop));
    double *score = rung_arena_alloc(m, n * sizeof *score + 1);
    int32_t *end = rung_arena_alloc(m, n * sizeof *end + 1);
    if (!c->answer.key || !c->answer.stop || !score || !end) return no_memory(err);
    if (n) memcpy(score, x->step_score, n * sizeof *score);
    if (n) memcpy(end, x->step_bytes, n * sizeof *end);
    c->answer.step_score = score;
    c->answer.step_bytes = end;
    if (x->problem)
        snprintf(f->id, sizeof f->id, "%lld-%lld", (long long)a->w->o->run, (long long)x->problem);
    bool whole = strcmp(x->stop, "eos") == 0 || strcmp(x->stop, "stop") == 0;
    c->finish = whole && !x->stopped ? "stop" : "length";
    c->done = true;
    return RUNG_OK;
}

static void on_answer(void *ud, const rung_search_answer *x, const rung_error *why) {
    work_find *f = ud;
    work_ask *a = f->a;
    rung_error err = RUNG_ERROR_INIT;
    rung_search_live *l = f->live;
    f->live = NULL;
    if (x) {
        rung_search_ledger_add(&a->ledger, &x->ledger);
        if (f->choice == 0) a->cost.prompt_tok = x->n_prompt_tok;
        a->cost.gen_tok += x->ledger.gen_tok + x->ledger.judge_out_tok;
        a->cost.scored_tok += x->ledger.scored_tok;
    }
    if (!a->cancelled && !a->failed) {
        if (!x)
            work_fail(a, work_status_of(why->code), why);
        else if (x->stopped && x->n_bytes == 0) {
            rung_fail(&err, RUNG_E_LIMIT, "its time was over before there was an answer");
            work_fail(a, 504, &err);
        } else if (keep_answer(f, x, &err) != RUNG_OK) {
            work_fail(a, 500, &err);
        } else if (a->ask.stream) {
            work_chunk(a, &a->choice[f->choice], &a->choice[f->choice].t, true);
        }
    }
    rung_search_live_free(l);
    work_part_done(a);
}

/* ---- beginning */

static rung_search_opts opts_of(const work_ask *a, int32_t choice) {
    const serve_ask *q = &a->ask;
    rung_search_opts o = a->w->o->search;
    rung_search_info info = {0};
    o.method = serve_ask_method(q, &a->w->o->caps);
    if (!rung_search_find(&info, o.method)) { /* a pool method: n traces, and it chooses */
        o.select = o.method;
        o.method = "sc";
        (void)rung_search_find(&info, o.method);
    }
    if (q->select) o.select = q->select;
    if (q->search_n) o.n = q->search_n;
    if (q->width) o.width = q->width;
    if (q->depth) o.depth = q->depth;
    if (q->step_tok) o.step_tok = q->step_tok;
    if (q->lookahead) o.lookahead = q->lookahead;
    if (q->aggregate) (void)rung_aggregate_find(&o.aggregate, q->aggregate);
    if (q->scorer)
        (void)rung_search_scorer_find(&o.scorer, q->scorer);
    else if (a->w->scorer)
        o.scorer = RUNG_SEARCH_SCORE_REWARD;
    else if (strncmp(o.method, "tot_", 4) == 0)
        o.scorer = RUNG_SEARCH_SCORE_JUDGE;
    else if (info.needs_score && o.scorer == RUNG_SEARCH_SCORE_NONE)
        o.scorer = RUNG_SEARCH_SCORE_CONFIDENCE;
    o.max_tok = q->max_tok;
    o.budget_tok = q->budget_tok;
    o.sampling = q->sampling;
    o.seed = a->seed + (uint64_t)choice;
    if (q->n_stop) o.stop = q->stop[0];
    if (q->kind == SERVE_CHAT) {
        if (q->system) o.system = q->system;
        o.turn = q->turn;
        o.n_turns = q->n_turns;
        o.prefix = q->prefix;
    }
    return o;
}

static rung_status begin_one(work_ask *a, int32_t i, rung_error *err) {
    work *w = a->w;
    work_find *f = &a->find[i];
    char key[64];
    *f = (work_find){.a = a, .choice = i};
    snprintf(key, sizeof key, "%s/%d", a->name, i);
    rung_search_opts o = opts_of(a, i);
    bool keeps = w->o->store && !a->ask.no_keep;
    rung_search_host h = {w->e, w->scorer, keeps ? w->o->store : NULL, w->o->run, w->o->log};
    rung_problem p = {.set = "served",
                      .split = "served",
                      .key = key,
                      .question = a->ask.kind == SERVE_CHAT ? a->ask.user : a->ask.prompt[0].text,
                      .verifier = w->o->verifier ? w->o->verifier : "math"};
    rung_search_live_cb cb = {on_event, on_answer, f};
    a->n_left++;
    rung_search_live *l = NULL;
    int32_t before = a->n_left;
    rung_status st = rung_search_live_new(&l, &h, &o, &p, &cb, err);
    if (st != RUNG_OK)
        a->n_left--;
    else if (a->n_left == before && !a->choice[i].done)
        f->live = l; /* else it was over at once, and is freed */
    return st;
}

rung_status work_begin_search(work_ask *a, rung_error *err) {
    int32_t n = a->ask.n;
    if (a->ask.logprobs && !a->w->m)
        return rung_fail(err, RUNG_E_INVAL, "the policy is an endpoint: no logprobs");
    a->cost.searched = 1;
    a->choice = rung_arena_alloc(a->arena, (size_t)n * sizeof *a->choice);
    a->find = rung_arena_alloc(a->arena, (size_t)n * sizeof *a->find);
    if (!a->choice || !a->find) return no_memory(err);
    a->n_choices = n;
    for (int32_t i = 0; i < n; i++) a->choice[i].index = i;
    for (int32_t i = 0; i < n; i++) {
        a->n_finds = i + 1;
        RUNG_TRY(begin_one(a, i, err));
    }
    return RUNG_OK;
}

/* ---- what is told of it */

static void tree_json(rung_buf *b, const rung_tree *t) {
    rung_buf_str(b, ",\"tree\":[");
    for (int32_t v = 1; v < t->n; v++) {
        const rung_tree_node *x = &t->node[v];
        rung_buf_printf(b, "%s{\"node\":%d,\"parent\":%d,\"text\":", v > 1 ? "," : "", v,
                        x->parent);
        rung_buf_json_str(b, x->text ? x->text : "", x->text ? strlen(x->text) : 0);
        number(b, "score", x->score);
        number(b, "value", x->value);
        if (x->n_visits) rung_buf_printf(b, ",\"visits\":%d", x->n_visits);
        rung_buf_printf(b, ",\"kept\":%s,\"pruned\":%s,\"done\":%s,\"chosen\":%s}",
                        x->kept ? "true" : "false", x->pruned ? "true" : "false",
                        x->done ? "true" : "false", x->chosen ? "true" : "false");
    }
    rung_buf_str(b, "]");
}

void work_search_json(rung_buf *b, const work_ask *a, const work_choice *c) {
    const rung_search_answer *x = &c->answer;
    const work_find *f = &a->find[c->index];
    rung_answer taken = {{0}, "", false};
    const rung_verifier *v = rung_verifier_find(a->w->o->verifier ? a->w->o->verifier : "math");
    const char *key = x->key ? x->key : "";
    if (v && key[0]) v->extract(&taken, x->text, (size_t)x->n_bytes);
    rung_buf_printf(b, "{\"index\":%d,\"answer\":", c->index);
    rung_buf_json_str(b, taken.text, strlen(taken.text));
    rung_buf_str(b, ",\"answer_key\":");
    rung_buf_json_str(b, key, strlen(key));
    number(b, "score", x->score);
    rung_buf_printf(b, ",\"traces\":%d,\"nodes\":%d,\"steps\":[", x->n_traces, x->n_nodes);
    for (int32_t k = 0; k < x->n_steps; k++) {
        int32_t from = k ? x->step_bytes[k - 1] : 0;
        rung_buf_printf(b, "%s{\"text\":", k ? "," : "");
        rung_buf_json_str(b, x->text + from, (size_t)(x->step_bytes[k] - from));
        number(b, "score", x->step_score[k]);
        rung_buf_str(b, "}");
    }
    rung_buf_str(b, "]");
    if (f->id[0]) rung_buf_printf(b, ",\"tree_id\":\"%s\"", f->id);
    if (a->ask.tree) tree_json(b, &f->tree);
    rung_buf_str(b, "}");
}
