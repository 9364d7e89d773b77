/* Traces and their scores, read once into memory. */
#include "bench/pool.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

rung_status rung_grow(void **p, int64_t *cap, int64_t n, size_t size, rung_error *err) {
    if (n <= *cap) return RUNG_OK;
    int64_t want = *cap < 32 ? 64 : *cap * 2;
    if (want < n) want = n;
    void *q = rung_realloc(*p, (size_t)want * size);
    if (!q) return rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld rows", (long long)want);
    *p = q;
    *cap = want;
    return RUNG_OK;
}

void rung_put_num(rung_buf *b, double v) {
    if (isfinite(v))
        rung_buf_printf(b, "%.9g", v);
    else
        rung_buf_str(b, "null");
}

void rung_put_interval(rung_buf *b, rung_interval ci) {
    rung_buf_str(b, "[");
    rung_put_num(b, ci.lo);
    rung_buf_str(b, ",");
    rung_put_num(b, ci.hi);
    rung_buf_str(b, "]");
}

rung_outcome rung_outcome_of(const rung_trace *t) {
    if (t->verdict == RUNG_VERDICT_CORRECT) return RUNG_OUTCOME_CORRECT;
    if (!t->answer || !t->answer[0]) return RUNG_OUTCOME_NO_ANSWER;
    return t->verdict == RUNG_VERDICT_WRONG ? RUNG_OUTCOME_WRONG : RUNG_OUTCOME_UNKNOWN;
}

static double confidence_of(const rung_trace *t, const rung_step *step) {
    if (!t->logprob || step->tok_begin < 0 || step->tok_end > t->n_tok ||
        step->tok_begin >= step->tok_end)
        return (double)NAN;
    double least = 0.0;
    for (int32_t i = step->tok_begin; i < step->tok_end; i++)
        least = fmin(least, (double)t->logprob[i]);
    return exp(least);
}

rung_status rung_step_scores(double *out, rung_store *s, const rung_trace *t, int64_t model,
                             rung_error *err) {
    for (int32_t i = 0; i < t->n_steps; i++) {
        if (model == 0) {
            out[i] = confidence_of(t, &t->step[i]);
            continue;
        }
        bool found = false;
        RUNG_TRY(rung_score_get(&out[i], &found, s, t->step[i].node, model, err));
        if (!found) out[i] = (double)NAN;
    }
    return RUNG_OK;
}

/* NaN unless every step has a score. */
static rung_status aggregate_of(double *out, const double *score, int32_t n, rung_aggregate_id id,
                                rung_error *err) {
    *out = (double)NAN;
    if (n == 0) return RUNG_OK;
    for (int32_t i = 0; i < n; i++)
        if (isnan(score[i])) return RUNG_OK;
    return rung_aggregate(out, id, score, (size_t)n, err);
}

typedef struct loader {
    rung_store *store;
    int64_t prm_model, orm_model, not_run;
    rung_aggregate_id aggregate;
    void *score; /* double[score_cap], scratch */
    int64_t score_cap;
    void *node[2]; /* int64_t[n_node], of the problem being filled: scored by prm, orm */
    int64_t n_node[2], node_cap[2];
    int64_t c_cap; /* of the problem being filled */
} loader;

static rung_status note_node(loader *l, int which, int64_t node, rung_error *err) {
    RUNG_TRY(rung_grow(&l->node[which], &l->node_cap[which], l->n_node[which] + 1, sizeof(int64_t),
                       err));
    ((int64_t *)l->node[which])[l->n_node[which]++] = node;
    return RUNG_OK;
}

static int by_id(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* The problem is full: how many different prefixes of it have scores. */
static void count_nodes(rung_trace_pool *p, loader *l) {
    int64_t *total[2] = {&p->n_prm_nodes, &p->n_orm_nodes};
    for (int w = 0; w < 2; w++) {
        int64_t *id = l->node[w];
        if (l->n_node[w]) qsort(id, (size_t)l->n_node[w], sizeof *id, by_id);
        for (int64_t i = 0; i < l->n_node[w]; i++) *total[w] += i == 0 || id[i] != id[i - 1];
        l->n_node[w] = 0;
    }
}

static rung_status score_candidate(rung_candidate *c, loader *l, const rung_trace *t,
                                   rung_error *err) {
    c->prm = c->orm = (double)NAN;
    RUNG_TRY(rung_grow(&l->score, &l->score_cap, t->n_steps, sizeof(double), err));
    RUNG_TRY(rung_step_scores(l->score, l->store, t, 0, err));
    RUNG_TRY(aggregate_of(&c->confidence, l->score, t->n_steps, l->aggregate, err));
    if (l->prm_model) {
        RUNG_TRY(rung_step_scores(l->score, l->store, t, l->prm_model, err));
        RUNG_TRY(aggregate_of(&c->prm, l->score, t->n_steps, l->aggregate, err));
        for (int32_t k = 0; k < t->n_steps; k++)
            if (!isnan(((const double *)l->score)[k]))
                RUNG_TRY(note_node(l, 0, t->step[k].node, err));
    }
    if (l->orm_model && t->n_steps > 0) {
        bool found = false;
        RUNG_TRY(rung_score_get(&c->orm, &found, l->store, t->step[t->n_steps - 1].node,
                                l->orm_model, err));
        if (!found) c->orm = (double)NAN;
        if (found) RUNG_TRY(note_node(l, 1, t->step[t->n_steps - 1].node, err));
    }
    return RUNG_OK;
}

/* The problem of this trace: the last one, or a new one (rows come by problem). */
static rung_status problem_of(rung_trace_pool_problem **out, rung_trace_pool *p, loader *l,
                              int64_t id, rung_error *err) {
    if (p->n_problems == 0 || p->problem[p->n_problems - 1].id != id) {
        count_nodes(p, l);
        void *block = p->problem;
        rung_status st = rung_grow(&block, &p->cap, p->n_problems + 1, sizeof *p->problem, err);
        p->problem = block;
        if (st != RUNG_OK) return st;
        p->problem[p->n_problems++] = (rung_trace_pool_problem){.id = id};
        l->c_cap = 0;
    }
    *out = &p->problem[p->n_problems - 1];
    return RUNG_OK;
}

static rung_status add_trace(rung_trace_pool *p, loader *l, const rung_trace *t, rung_error *err) {
    rung_trace_pool_problem *at;
    RUNG_TRY(problem_of(&at, p, l, t->problem, err));
    void *c = at->c, *outcome = at->outcome;
    int64_t outcome_cap = l->c_cap;
    rung_status st = rung_grow(&outcome, &outcome_cap, at->n + 1, 1, err);
    at->outcome = outcome;
    if (st == RUNG_OK) st = rung_grow(&c, &l->c_cap, at->n + 1, sizeof *at->c, err);
    at->c = c;
    if (st != RUNG_OK) return st;
    rung_outcome o = rung_outcome_of(t);
    const char *key = t->answer_key ? t->answer_key : "";
    rung_candidate *cand = &at->c[at->n];
    *cand = (rung_candidate){.correct = o == RUNG_OUTCOME_CORRECT, .tokens = t->n_tok};
    cand->key = rung_arena_strndup(p->arena, key, strlen(key));
    if (!cand->key) return rung_fail(err, RUNG_E_NOMEM, "out of memory for answers");
    RUNG_TRY(score_candidate(cand, l, t, err));
    at->outcome[at->n++] = (uint8_t)o;
    p->n_outcome[o]++;
    p->n_traces++;
    p->n_tok += t->n_tok;
    p->n_no_prm += isnan(cand->prm);
    p->n_no_orm += isnan(cand->orm);
    p->n_no_confidence += isnan(cand->confidence);
    return RUNG_OK;
}

rung_status rung_trace_pool_load(rung_trace_pool *p, rung_store *s, const rung_filter *f,
                                 int64_t prm_model, int64_t orm_model, rung_aggregate_id aggregate,
                                 int64_t not_run, rung_error *err) {
    *p = (rung_trace_pool){.arena = rung_arena_new(0)};
    if (!p->arena) return rung_fail(err, RUNG_E_NOMEM, "out of memory for a pool of traces");
    loader l = {.store = s,
                .prm_model = prm_model,
                .orm_model = orm_model,
                .not_run = not_run,
                .aggregate = aggregate};
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_status st = rung_trace_iter(&it, s, f, err);
    if (st != RUNG_OK) goto out;
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if (not_run && t->run == not_run) continue;
        if (p->n_traces == 0 && t->generator)
            memcpy(p->policy, t->generator, strnlen(t->generator, sizeof p->policy - 1));
        RUNG_GOTO(add_trace(p, &l, t, err));
    }
    if (st == RUNG_DONE) st = RUNG_OK;
    count_nodes(p, &l);
out:
    rung_iter_free(it);
    rung_free(l.score);
    rung_free(l.node[0]);
    rung_free(l.node[1]);
    return st;
}

void rung_trace_pool_clear(rung_trace_pool *p) {
    for (int64_t i = 0; i < p->n_problems; i++) {
        rung_free(p->problem[i].c);
        rung_free(p->problem[i].outcome);
    }
    rung_free(p->problem);
    rung_arena_free(p->arena);
    *p = (rung_trace_pool){0};
}
