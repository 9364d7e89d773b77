/* Step rewards: the world's truth, or a process reward model that reads the answers. */
#include "rl/loop.h"

rung_status rl_reward_open(rl_loop *l, rung_error *err) {
    const rung_rl_opts *o = l->o;
    rung_reward_open_opts ro = RUNG_REWARD_OPEN_OPTS_INIT;
    rung_engine_opts eo = RUNG_ENGINE_OPTS_INIT;
    rung_model_opts mo = RUNG_MODEL_OPTS_INIT;
    bool sidecar = false;
    if (o->source != RUNG_RL_SOURCE_REWARD) return RUNG_OK;
    eo.n_threads = o->n_threads;
    eo.exact = o->exact;
    RUNG_TRY(rung_reward_needs_base(&sidecar, o->reward, err));
    if (sidecar) { /* the base it was trained on, which the loop does not change */
        RUNG_TRY(rung_model_load(&l->reward_model, o->reward_base ? o->reward_base : o->policy, &mo,
                                 err));
        RUNG_TRY(rung_engine_open(&l->reward_engine, l->reward_model, &eo, NULL, err));
    }
    ro.base = l->reward_engine;
    ro.engine = &eo;
    ro.log = l->log;
    return rung_reward_open_as(&l->reward, o->reward, &ro, err);
}

static rung_status room(rl_loop *l, rl_answer *a, rung_error *err) {
    a->step_p = rl_room(l->arena, (size_t)a->n_steps * sizeof *a->step_p, err);
    return a->step_p ? RUNG_OK : RUNG_E_NOMEM;
}

/* +1 before the first error, -1 from it on; not known: no step rewards. */
static rung_status by_truth(rl_loop *l, rl_answer *a, rung_error *err) {
    if (a->first_error == RUNG_FIRST_ERROR_UNKNOWN) return RUNG_OK;
    RUNG_TRY(room(l, a, err));
    for (int32_t h = 0; h < a->n_steps; h++)
        a->step_p[h] = a->first_error < 0 || h < a->first_error ? 1 : 0;
    return RUNG_OK;
}

/* What the model reads is the text of each step, as search and score give it. */
static rung_status read_one(rung_scorer *s, int64_t *live, const rung_problem *p,
                            const rl_answer *a, rung_error *err) {
    RUNG_TRY(rung_scorer_begin(live, s, p->question, err));
    for (int32_t h = 0; h < a->trace.n_steps; h++) {
        const rung_step *q = &a->trace.step[h];
        RUNG_TRY(rung_scorer_step(s, *live, a->text + q->byte_begin,
                                  (size_t)(q->byte_end - q->byte_begin), NULL, 0, err));
    }
    return RUNG_OK;
}

static rung_status take_scores(rl_loop *l, rung_scorer *s, int64_t live, rl_answer *a,
                               rung_error *err) {
    const double *score;
    int32_t n;
    rung_status st = rung_scorer_get(&score, &n, s, live, err);
    if (st == RUNG_E_LIMIT) return RUNG_OK; /* too long to read: no step rewards, never 0 */
    if (st != RUNG_OK) return st;
    if (n != a->n_steps) return RUNG_OK; /* an answer of nothing but its end */
    RUNG_TRY(room(l, a, err));
    memcpy(a->step_p, score, (size_t)n * sizeof *score);
    return RUNG_OK;
}

static rung_status by_model(rl_loop *l, rl_answer *a, int32_t n, rung_error *err) {
    rung_scorer *s = NULL;
    int64_t *live = rl_room(l->arena, (size_t)n * sizeof *live, err);
    if (!live) return RUNG_E_NOMEM;
    RUNG_TRY(rung_scorer_open(&s, l->reward, err));
    rung_status st = RUNG_OK;
    for (int32_t i = 0; i < n && st == RUNG_OK; i++) {
        rung_problem p;
        st = rung_problem_get(l->store, &p, l->arena, a[i].problem, err);
        if (st == RUNG_OK) st = read_one(s, &live[i], &p, &a[i], err);
    }
    if (st == RUNG_OK) st = rung_scorer_run(s, err);
    for (int32_t i = 0; i < n && st == RUNG_OK; i++) st = take_scores(l, s, live[i], &a[i], err);
    rung_scorer_close(s);
    return st;
}

rung_status rl_reward_steps(rl_loop *l, rl_answer *a, int32_t n, rung_error *err) {
    if (l->o->source == RUNG_RL_SOURCE_NONE || l->o->source == RUNG_RL_SOURCE_IMPLICIT)
        return RUNG_OK; /* an implicit model's come with the logprobs */
    if (l->o->source == RUNG_RL_SOURCE_REWARD) return by_model(l, a, n, err);
    for (int32_t i = 0; i < n; i++) RUNG_TRY(by_truth(l, &a[i], err));
    return RUNG_OK;
}
