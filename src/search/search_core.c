/* The tree of a search and the loop over its method's hooks. */
#include "search/search_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PHASE_EXPAND, PHASE_TAKE, PHASE_SCORE, PHASE_KEEP, PHASE_OVER };

void search_opts_fill(rung_search_opts *o) {
    if (!o->n) o->n = 4; /* the driver puts the row's there before */
    if (!o->width) o->width = 4;
    if (!o->depth) o->depth = 40;
    if (!o->step_tok) o->step_tok = 256;
    if (!o->max_tok) o->max_tok = 2048;
    if (!o->tau) o->tau = 64;
    if (o->confidence <= 0.0) o->confidence = .95;
    if (o->threshold <= 0.0) o->threshold = .5;
    if (!o->iterations) o->iterations = 2;
    if (!o->n_ref) o->n_ref = 1;
    if (!o->at_once) o->at_once = 32;
}

static rung_status no_memory(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "no memory for a search");
}

rung_status search_push(int32_t **list, int32_t *n, int32_t *cap, int32_t v, rung_error *err) {
    if (*n == *cap) {
        int32_t more = *cap ? *cap * 2 : 64;
        int32_t *grown = rung_realloc(*list, (size_t)more * sizeof *grown);
        if (!grown) return no_memory(err);
        *list = grown;
        *cap = more;
    }
    (*list)[(*n)++] = v;
    return RUNG_OK;
}

rung_status search_event(search *s, const char *kind, int32_t node, double value, int32_t n,
                         rung_error *err) {
    if (s->n_events == s->cap_events) {
        int32_t more = s->cap_events ? s->cap_events * 2 : 256;
        rung_search_event *grown = rung_realloc(s->event, (size_t)more * sizeof *grown);
        if (!grown) return no_memory(err);
        s->event = grown;
        s->cap_events = more;
    }
    s->event[s->n_events++] =
        (rung_search_event){kind, node, s->node[node].parent, value, n, NULL, 0};
    return RUNG_OK;
}

/* ---- nodes */

static rung_status new_node(int32_t *id, search *s, int32_t parent, rung_error *err) {
    if (s->n_nodes == s->cap_nodes) {
        int32_t more = s->cap_nodes ? s->cap_nodes * 2 : 64;
        search_node *grown = rung_realloc(s->node, (size_t)more * sizeof *grown);
        if (!grown) return no_memory(err);
        s->node = grown;
        s->cap_nodes = more;
    }
    const double none = (double)NAN;
    search_node *v = &s->node[s->n_nodes];
    *v = (search_node){.parent = parent, .first = -1, .last = -1, .next = -1, .live = -1};
    v->text = v->stop = v->key = "";
    v->score = v->weight = v->sum_logprob = v->min_logprob = none;
    v->sum_entropy = v->sum_certainty = none;
    v->prior = 1.0;
    *id = s->n_nodes++;
    if (parent < 0) return RUNG_OK;
    search_node *p = &s->node[parent];
    v->depth = p->depth + 1;
    v->scratch = p->scratch;
    v->n_path_bytes = p->n_path_bytes;
    v->n_path_tok = p->n_path_tok;
    if (p->last >= 0)
        s->node[p->last].next = *id;
    else
        p->first = *id;
    p->last = *id;
    p->n_children++;
    return RUNG_OK;
}

static void set_logprobs(search_node *v) {
    if (!v->logprob) return;
    v->sum_logprob = 0.0;
    v->min_logprob = 0.0;
    for (int32_t i = 0; i < v->n_tok; i++) {
        v->sum_logprob += (double)v->logprob[i];
        v->min_logprob = fmin(v->min_logprob, (double)v->logprob[i]);
    }
    v->prior = v->n_tok ? exp(v->sum_logprob / (double)v->n_tok) : 1.0;
}

static double sum_of(const float *x, int32_t from, int32_t to) {
    double sum = 0.0;
    for (int32_t i = from; x && i < to; i++) sum += (double)x[i];
    return x ? sum : (double)NAN;
}

/* Step k of a delivered text as a node under parent. Children of one draw: the first step has the
 * draw's address, the steps after it follow from it. */
static rung_status step_node(int32_t *id, search *s, const search_ask *a, const search_text *t,
                             int32_t k, int32_t parent, uint64_t draw, rung_error *err) {
    rung_step whole = {.byte_end = t->n_bytes, .tok_end = t->n_tok};
    const rung_step *st = t->n_steps > 0 ? &t->step[k] : &whole;
    RUNG_TRY(new_node(id, s, parent, err));
    search_node *v = &s->node[*id];
    v->text = t->text + st->byte_begin;
    v->n_bytes = st->byte_end - st->byte_begin;
    bool has_tok = t->n_tok > 0 && st->tok_end > st->tok_begin;
    v->n_tok = has_tok ? st->tok_end - st->tok_begin : 0;
    v->tok = t->tok && has_tok ? t->tok + st->tok_begin : NULL;
    v->logprob = t->logprob && has_tok ? t->logprob + st->tok_begin : NULL;
    v->logprob_draw = t->logprob_draw && has_tok ? t->logprob_draw + st->tok_begin : NULL;
    v->sum_entropy = sum_of(t->entropy, st->tok_begin, st->tok_end);
    v->sum_certainty = sum_of(t->certainty, st->tok_begin, st->tok_end);
    v->n_path_bytes += v->n_bytes;
    v->n_path_tok += v->n_tok;
    v->addr = rung_hash64(v->text, (size_t)v->n_bytes, s->node[parent].addr + draw);
    v->path = rung_hash64(v->text, (size_t)v->n_bytes, s->node[parent].path);
    v->scratch |= a->scratch;
    set_logprobs(v);
    RUNG_TRY(search_event(s, "node", *id, v->prior, v->scratch, err));
    s->event[s->n_events - 1].text = v->text;
    s->event[s->n_events - 1].n_bytes = v->n_bytes;
    return RUNG_OK;
}

static bool ends_here(const search *s, const search_ask *a, const search_node *v,
                      const search_text *t) {
    if (strcmp(t->stop, "eos") == 0 || strcmp(t->stop, "context") == 0) return true;
    if (v->n_bytes == 0 || a->n_steps == 0) return true;
    if (strcmp(t->stop, "length") == 0 && !a->partial) return true;
    return s->is_final && s->is_final(s->ud, v->text, v->n_bytes);
}

/* What a partial step (early rejection) grew by. */
static rung_status extend_node(search *s, const search_ask *a, const search_text *t,
                               rung_error *err) {
    search_node *v = &s->node[a->node];
    size_t n_tok = (size_t)(v->n_tok + t->n_tok);
    char *text = rung_arena_alloc(s->arena, (size_t)(v->n_bytes + t->n_bytes) + 1);
    int32_t *tok = rung_arena_alloc(s->arena, n_tok * sizeof *tok + 1);
    float *lp = rung_arena_alloc(s->arena, n_tok * sizeof *lp + 1);
    float *draw = rung_arena_alloc(s->arena, n_tok * sizeof *draw + 1);
    if (!text || !tok || !lp || !draw) return no_memory(err);
    if (v->n_bytes) memcpy(text, v->text, (size_t)v->n_bytes);
    if (t->n_bytes) memcpy(text + v->n_bytes, t->text, (size_t)t->n_bytes);
    bool both = (v->tok || !v->n_tok) && (t->tok || !t->n_tok);
    bool logs = (v->logprob || !v->n_tok) && (t->logprob || !t->n_tok);
    bool draws = (v->logprob_draw || !v->n_tok) && (t->logprob_draw || !t->n_tok);
    size_t a4 = (size_t)v->n_tok * 4, b4 = (size_t)t->n_tok * 4;
    if (both && a4) memcpy(tok, v->tok, a4);
    if (both && b4) memcpy(tok + v->n_tok, t->tok, b4);
    if (logs && a4) memcpy(lp, v->logprob, a4);
    if (logs && b4) memcpy(lp + v->n_tok, t->logprob, b4);
    if (draws && a4) memcpy(draw, v->logprob_draw, a4);
    if (draws && b4) memcpy(draw + v->n_tok, t->logprob_draw, b4);
    v->text = text;
    v->tok = both ? tok : NULL;
    v->logprob = logs ? lp : NULL;
    v->logprob_draw = draws ? draw : NULL;
    v->sum_entropy += sum_of(t->entropy, 0, t->n_tok);
    v->sum_certainty += sum_of(t->certainty, 0, t->n_tok);
    v->n_bytes += t->n_bytes;
    v->n_tok += t->n_tok;
    v->n_path_bytes += t->n_bytes;
    v->n_path_tok += t->n_tok;
    set_logprobs(v);
    v->stop = t->stop;
    v->addr = rung_hash64(v->text, (size_t)v->n_bytes, v->addr);
    v->path = rung_hash64(v->text, (size_t)v->n_bytes, s->node[v->parent].path);
    v->end = SEARCH_OPEN;
    if (t->n_bytes > 0 && ends_here(s, a, v, t)) v->end = SEARCH_DONE;
    if (t->n_bytes == 0 && strcmp(t->stop, "stop") != 0) v->end = SEARCH_DONE;
    RUNG_TRY(search_event(s, "extend", a->node, v->prior, 0, err));
    s->event[s->n_events - 1].text = v->text;
    s->event[s->n_events - 1].n_bytes = v->n_bytes;
    return search_push(&s->fresh, &s->n_fresh, &s->cap_fresh, a->node, err);
}

static rung_status take_text(search *s, const search_ask *a, int32_t i, rung_error *err) {
    const search_text *t = &a->out[i];
    if (a->extend) return extend_node(s, a, t, err);
    int32_t at = a->node, n = t->n_steps > 0 ? t->n_steps : 1;
    for (int32_t k = 0; k < n; k++)
        RUNG_TRY(step_node(&at, s, a, t, k, at, k == 0 ? (uint64_t)(a->i0 + i) + 1 : 0, err));
    search_node *leaf = &s->node[at];
    leaf->stop = t->stop;
    bool cut = a->partial && strcmp(t->stop, "length") == 0;
    leaf->end = cut ? SEARCH_CUT : SEARCH_OPEN;
    if (ends_here(s, a, leaf, t)) leaf->end = SEARCH_DONE;
    if (leaf->end == SEARCH_OPEN && !search_may_go_on(s, at)) leaf->end = SEARCH_DONE;
    return search_push(&s->fresh, &s->n_fresh, &s->cap_fresh, at, err);
}

bool search_may_go_on(const search *s, int32_t node) {
    return s->node[node].n_path_tok < s->o->max_tok;
}

/* ---- asks */

search_ask *search_want_text(search *s, int32_t node, int32_t n, rung_error *err) {
    if (s->n_asks == s->cap_asks) {
        int32_t more = s->cap_asks ? s->cap_asks * 2 : 16;
        search_ask *grown = rung_realloc(s->ask, (size_t)more * sizeof *grown);
        if (!grown) {
            no_memory(err);
            return NULL;
        }
        s->ask = grown;
        s->cap_asks = more;
    }
    int32_t left = s->o->max_tok - s->node[node].n_path_tok;
    search_ask *a = &s->ask[s->n_asks];
    *a = (search_ask){.node = node,
                      .n = n,
                      .i0 = s->node[node].n_drawn,
                      .max_tok = left < s->o->step_tok ? left : s->o->step_tok,
                      .n_steps = 1,
                      .temperature = -1.0,
                      .n_left = n};
    a->out = rung_arena_alloc(s->arena, (size_t)n * sizeof *a->out + 1);
    if (!a->out) {
        no_memory(err);
        return NULL;
    }
    if (a->max_tok < 1) a->max_tok = 1;
    s->node[node].n_drawn += n;
    s->n_asks++;
    return a;
}

/* A generation pays for its prompt and what it draws. Positions count from the prompt's start. */
static void charge_text(search *s, const search_ask *a, const search_text *t) {
    rung_search_ledger *l = &s->ledger;
    const rung_flops_model *m = &s->o->policy_size;
    int64_t at = s->n_header_tok + s->node[a->node].n_path_tok;
    l->n_gen++;
    l->prompt_tok += at;
    l->gen_tok += t->n_tok;
    l->flops_naive += rung_flops(m, 0, at + t->n_tok);
    if (!s->prompt_counted) l->flops_cached += rung_flops(m, 0, s->n_header_tok);
    s->prompt_counted = true;
    l->flops_cached += rung_flops(m, at, at + t->n_tok);
}

rung_status search_deliver(search *s, int32_t ask, int32_t i, const search_text *t,
                           rung_error *err) {
    search_ask *a = &s->ask[ask];
    search_text *o = &a->out[i];
    size_t n_tok = (size_t)t->n_tok;
    *o = *t;
    char *text = rung_arena_strndup(s->arena, t->text, (size_t)t->n_bytes);
    char *stop = rung_arena_strndup(s->arena, t->stop, strlen(t->stop));
    int32_t *tok = rung_arena_alloc(s->arena, n_tok * sizeof *tok + 1);
    float *lp = rung_arena_alloc(s->arena, n_tok * sizeof *lp + 1);
    float *draw = rung_arena_alloc(s->arena, n_tok * sizeof *draw + 1);
    rung_step *step = rung_arena_alloc(s->arena, (size_t)t->n_steps * sizeof *step + 1);
    if (!text || !stop || !tok || !lp || !draw || !step) return no_memory(err);
    if (t->entropy && t->certainty) {
        float *spread = rung_arena_alloc(s->arena, 2 * n_tok * sizeof *spread + 1);
        if (!spread) return no_memory(err);
        if (n_tok) memcpy(spread, t->entropy, n_tok * sizeof *spread);
        if (n_tok) memcpy(spread + n_tok, t->certainty, n_tok * sizeof *spread);
        o->entropy = spread;
        o->certainty = spread + n_tok;
    }
    if (t->tok && n_tok) memcpy(tok, t->tok, n_tok * sizeof *tok);
    if (t->logprob && n_tok) memcpy(lp, t->logprob, n_tok * sizeof *lp);
    if (t->logprob_draw && n_tok) memcpy(draw, t->logprob_draw, n_tok * sizeof *draw);
    if (t->n_steps > 0) memcpy(step, t->step, (size_t)t->n_steps * sizeof *step);
    o->text = text;
    o->stop = stop;
    o->tok = t->tok ? tok : NULL;
    o->logprob = t->logprob ? lp : NULL;
    o->logprob_draw = t->logprob_draw ? draw : NULL;
    o->step = step;
    a->n_left--;
    return RUNG_OK;
}

/* ---- scores */

rung_status search_want_score(search *s, int32_t node, rung_error *err) {
    if (s->o->scorer == RUNG_SEARCH_SCORE_NONE || node == 0) return RUNG_OK;
    return search_push(&s->want, &s->n_want, &s->cap_want, node, err);
}

void search_set_score(search *s, int32_t node, double score) {
    s->node[node].score = isfinite(score) ? score : (double)NAN;
    s->node[node].scored = 1;
}

double search_value(const search *s, int32_t node) {
    double small[64], *r = small, value = SEARCH_EMPTY_SCORE;
    int32_t depth = s->node[node].depth, n = 0;
    if (s->o->scorer == RUNG_SEARCH_SCORE_NONE) return 0.0;
    if (depth > 64 && !(r = rung_alloc((size_t)depth * sizeof *r))) return value;
    for (int32_t v = node; v > 0; v = s->node[v].parent) {
        const search_node *x = &s->node[v];
        if (x->n_bytes == 0) continue; /* end of text without a step of its own */
        r[n++] = isnan(x->score) ? 0.0 : x->score;
    }
    for (int32_t i = 0, j = n - 1; i < j; i++, j--) {
        double t = r[i];
        r[i] = r[j];
        r[j] = t;
    }
    if (rung_aggregate(&value, s->o->aggregate, r, (size_t)n, NULL) != RUNG_OK)
        value = SEARCH_EMPTY_SCORE;
    if (r != small) rung_free(r);
    return value;
}

/* ---- helpers of the methods */

rung_status search_finish(search *s, int32_t node, rung_error *err) {
    if (s->judge) RUNG_TRY(s->judge(s->ud, s, node, err));
    RUNG_TRY(search_event(s, "done", node, search_value(s, node), 0, err));
    return search_push(&s->done, &s->n_done, &s->cap_done, node, err);
}

rung_status search_prune(search *s, int32_t node, rung_error *err) {
    s->node[node].pruned = 1;
    return search_event(s, "prune", node, search_value(s, node), 0, err);
}

void search_path_text(rung_buf *out, const search *s, int32_t node) {
    size_t n = (size_t)s->node[node].n_path_bytes, at = out->n + n;
    for (size_t i = 0; i < n; i++) rung_buf_append(out, "", 1); /* room, then from the end */
    rung_buf_append(out, "", 0);
    if (out->failed) return;
    for (int32_t v = node; v > 0; v = s->node[v].parent) {
        at -= (size_t)s->node[v].n_bytes;
        if (s->node[v].n_bytes) memcpy(out->data + at, s->node[v].text, (size_t)s->node[v].n_bytes);
    }
}

typedef struct ranked {
    int32_t id, place;
    double value;
} ranked;

static int by_value(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->value != y->value) return x->value > y->value ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

void search_sort(int32_t *id, double *value, int32_t n) {
    ranked small[64], *r = small;
    if (n > 64 && !(r = rung_alloc((size_t)n * sizeof *r))) return;
    for (int32_t i = 0; i < n; i++) r[i] = (ranked){id[i], i, value[i]};
    qsort(r, (size_t)n, sizeof *r, by_value);
    for (int32_t i = 0; i < n; i++) {
        id[i] = r[i].id;
        value[i] = r[i].value;
    }
    if (r != small) rung_free(r);
}

rung_rng search_rng(const search *s, uint64_t purpose, uint64_t i) {
    return rung_rng_at(s->o->seed, RUNG_STREAM_SEARCH, s->address ^ (purpose << 56), i);
}

/* ---- the loop */

rung_status search_begin(search *s, const rung_search_opts *o, const search_method *m,
                         uint64_t address, rung_error *err) {
    s->o = o;
    s->m = m;
    s->address = address;
    s->phase = PHASE_EXPAND;
    s->round = 0;
    s->n_nodes = s->n_asks = s->n_want = s->n_fresh = s->n_done = s->n_active = s->n_events = 0;
    s->over_budget = s->prompt_counted = false;
    s->ledger = (rung_search_ledger){0};
    s->state = NULL;
    int32_t root = 0;
    RUNG_TRY(new_node(&root, s, -1, err));
    s->node[root].addr = address;
    return m->begin ? m->begin(s, err) : RUNG_OK;
}

static rung_status take_all(search *s, rung_error *err) {
    s->n_fresh = 0;
    for (int32_t k = 0; k < s->n_asks; k++)
        for (int32_t i = 0; i < s->ask[k].n; i++) {
            charge_text(s, &s->ask[k], &s->ask[k].out[i]);
            RUNG_TRY(take_text(s, &s->ask[k], i, err));
        }
    if (s->o->budget_tok > 0 && s->ledger.gen_tok >= s->o->budget_tok) s->over_budget = true;
    return RUNG_OK;
}

static rung_status want_fresh(search *s, rung_error *err) {
    for (int32_t i = 0; i < s->n_fresh; i++) RUNG_TRY(search_want_score(s, s->fresh[i], err));
    return RUNG_OK;
}

static rung_status tell_scores(search *s, rung_error *err) {
    for (int32_t i = 0; i < s->n_want; i++)
        for (int32_t v = s->want[i]; v > 0 && s->node[v].scored == 1; v = s->node[v].parent) {
            s->node[v].scored = 2; /* told */
            RUNG_TRY(search_event(s, "score", v, s->node[v].score, 0, err));
        }
    return RUNG_OK;
}

/* What tree search has learnt of each node it passed, once at the end. */
static rung_status tell_values(search *s, rung_error *err) {
    for (int32_t v = 0; v < s->n_nodes; v++) {
        const search_node *x = &s->node[v];
        if (x->n_visits > 0)
            RUNG_TRY(search_event(s, "value", v, x->value_sum / x->n_visits, x->n_visits, err));
    }
    return RUNG_OK;
}

rung_status search_advance(search_need *need, search *s, rung_error *err) {
    for (;;) {
        switch (s->phase) {
        case PHASE_EXPAND:
            s->n_asks = s->n_want = s->n_fresh = 0;
            if (s->m->stop(s)) {
                s->phase = PHASE_OVER;
                RUNG_TRY(tell_values(s, err));
                break;
            }
            RUNG_TRY(s->m->expand(s, err));
            s->phase = PHASE_TAKE;
            if (s->n_asks == 0) break;
            *need = SEARCH_NEEDS_TEXT;
            return RUNG_OK;
        case PHASE_TAKE:
            RUNG_TRY(take_all(s, err));
            RUNG_TRY(s->m->score ? s->m->score(s, err) : want_fresh(s, err));
            s->phase = PHASE_SCORE;
            if (s->n_want == 0) break;
            *need = SEARCH_NEEDS_SCORES;
            return RUNG_OK;
        case PHASE_SCORE:
            RUNG_TRY(tell_scores(s, err));
            s->phase = PHASE_KEEP;
            break;
        case PHASE_KEEP:
            if (s->m->keep) RUNG_TRY(s->m->keep(s, err));
            s->round++;
            s->phase = PHASE_EXPAND;
            break;
        default: *need = SEARCH_IS_OVER; return RUNG_OK;
        }
    }
}

void search_clear(search *s) {
    rung_free(s->node);
    rung_free(s->ask);
    rung_free(s->want);
    rung_free(s->fresh);
    rung_free(s->done);
    rung_free(s->active);
    rung_free(s->event);
    rung_arena *a = s->arena;
    *s = (search){.arena = a};
    if (a) rung_arena_reset(a);
}
