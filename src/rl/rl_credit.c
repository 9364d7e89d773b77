/* The step's answers as the table of advantages reads them. */
#include "rl/loop.h"

typedef struct lay {
    int64_t *first, *step_first;
    int32_t *group, *end;
    uint8_t *mask, *known;
    double *outcome, *reward, *baseline;
    float *old, *ref, *advantage, *value, *ret, *dense;
    int64_t n_tok, n_steps;
} lay;

static bool is_masked(const rl_loop *l, const rl_answer *a) {
    return a->truncated && l->o->overlong == RUNG_RL_OVERLONG_MASK;
}

static rung_status make_room(lay *y, rl_loop *l, rung_error *err) {
    size_t n = (size_t)l->n_answers;
    for (int32_t i = 0; i < l->n_answers; i++) {
        y->n_tok += l->answer[i].n_resp;
        y->n_steps += l->answer[i].n_steps;
    }
    size_t t = (size_t)y->n_tok, h = (size_t)y->n_steps;
    y->first = rl_room(l->arena, (n + 1) * sizeof *y->first, err);
    y->step_first = rl_room(l->arena, (n + 1) * sizeof *y->step_first, err);
    y->group = rl_room(l->arena, n * sizeof *y->group, err);
    y->known = rl_room(l->arena, n, err);
    y->outcome = rl_room(l->arena, n * sizeof *y->outcome, err);
    y->baseline = rl_room(l->arena, n * sizeof *y->baseline, err);
    y->end = rl_room(l->arena, h * sizeof *y->end, err);
    y->reward = rl_room(l->arena, h * sizeof *y->reward, err);
    y->mask = rl_room(l->arena, t, err);
    y->old = rl_room(l->arena, t * sizeof *y->old, err);
    y->ref = rl_room(l->arena, t * sizeof *y->ref, err);
    y->advantage = rl_room(l->arena, t * sizeof *y->advantage, err);
    y->value = rl_room(l->arena, t * sizeof *y->value, err);
    y->ret = rl_room(l->arena, t * sizeof *y->ret, err);
    y->dense = rl_room(l->arena, t * sizeof *y->dense, err);
    bool ok = y->first && y->step_first && y->group && y->known && y->outcome && y->baseline &&
              y->end && y->reward && y->mask && y->old && y->ref && y->advantage && y->value &&
              y->ret && y->dense;
    return ok ? RUNG_OK : RUNG_E_NOMEM;
}

/* Best of k of the policy as prover: 1 - (1 - q)^k; rewards.md 4 */
static double prover(double q, int32_t k) {
    return -expm1(k * log1p(-fmin(q, 1 - 1e-12)));
}

static double group_rate(const rl_loop *l, int32_t group) {
    double sum = 0, n = 0;
    for (int32_t i = 0; i < l->n_answers; i++) {
        if (l->answer[i].prompt != group || !l->answer[i].known) continue;
        sum += l->answer[i].right;
        n += 1;
    }
    return n > 0 ? sum / n : 0;
}

/* The log-ratio of step h under the implicit model, as the row wants it. */
static double implicit_reward(const rl_loop *l, const rl_answer *a, int32_t h) {
    double beta = l->o->implicit_beta > 0 ? l->o->implicit_beta : .05, x = 0;
    for (int32_t q = h > 0 ? a->step_end[h - 1] + 1 : 0; q <= a->step_end[h]; q++)
        x += (double)a->dense[q];
    switch (l->estimator) {
    case RUNG_ADVANTAGE_CAPO: return x < 0;
    case RUNG_ADVANTAGE_THOUGHT: return x >= 0;
    case RUNG_ADVANTAGE_RENORM: return 1 / (1 + exp(-beta * x));
    default: return beta * x;
    }
}

/* P(right) of step h as the row wants it. */
static double step_reward(const rl_loop *l, const rl_answer *a, int32_t h, double rate) {
    if (!a->step_p) return implicit_reward(l, a, h);
    double p = a->step_p[h];
    int32_t k = l->o->prover_k > 0 ? l->o->prover_k : 4;
    switch (l->estimator) {
    case RUNG_ADVANTAGE_RENORM: return p;
    case RUNG_ADVANTAGE_CAPO: return p < 0.5;
    case RUNG_ADVANTAGE_THOUGHT: return p >= 0.5;
    case RUNG_ADVANTAGE_PAV: /* the bare problem's value stands before the first step */
        return prover(p, k) - prover(h > 0 ? a->step_p[h - 1] : rate, k);
    default: return 2 * p - 1;
    }
}

/* Steps of the answer, or all of them in one place: its last token. */
static void put_steps(lay *y, const rl_loop *l, const rl_answer *a, int64_t *h) {
    double rate = l->estimator == RUNG_ADVANTAGE_PAV ? group_rate(l, a->prompt) : 0, sum = 0;
    for (int32_t q = 0; q < a->n_steps; q++) {
        double r = step_reward(l, a, q, rate);
        sum += r;
        if (l->o->steps_at_end) continue;
        y->end[*h] = a->step_end[q];
        y->reward[(*h)++] = r;
    }
    if (!l->o->steps_at_end || a->n_steps == 0) return;
    y->end[*h] = a->n_resp - 1;
    y->reward[(*h)++] = sum;
}

static void put_answer(lay *y, const rl_loop *l, int32_t i, int64_t *t, int64_t *h) {
    const rl_answer *a = &l->answer[i];
    bool masked = is_masked(l, a), has = a->step_p || a->dense;
    unsigned needs = rung_advantage_needs(l->estimator);
    bool can_do_without =
        l->estimator == RUNG_ADVANTAGE_THOUGHT || l->estimator == RUNG_ADVANTAGE_CAPO || masked;
    y->group[i] = a->prompt;
    y->outcome[i] = a->outcome;
    y->baseline[i] = l->greedy[a->prompt]; /* the group's greedy answer, for each of its own */
    y->known[i] = a->known;
    if (!has && (needs & RUNG_ADVANTAGE_NEEDS_STEPS) && !can_do_without) y->known[i] = 0;
    if (has && !masked) put_steps(y, l, a, h);
    for (int32_t q = 0; q < a->n_resp; q++, ++*t) {
        y->mask[*t] = !masked;
        y->old[*t] = (float)a->old[q];
        y->ref[*t] = a->ref ? (float)a->ref[q] : 0;
        y->value[*t] = a->value ? (float)a->value[q] : 0;
        y->dense[*t] = a->dense && !masked ? a->dense[q] : 0;
    }
    y->first[i + 1] = *t;
    y->step_first[i + 1] = *h;
}

rung_status rl_credit(rl_loop *l, rung_error *err) {
    lay y = {0};
    int64_t t = 0, h = 0;
    rung_advantage_opts o = l->o->credit;
    rung_advantage_figures f;
    RUNG_TRY(make_room(&y, l, err));
    for (int32_t i = 0; i < l->n_answers; i++) put_answer(&y, l, i, &t, &h);
    rung_step_rewards steps = {
        .first = y.step_first, .end = y.end, .reward = y.reward, .weight = l->o->step_weight};
    bool by_token = l->implicit && l->estimator == RUNG_ADVANTAGE_PRIME;
    bool with_steps = l->o->source != RUNG_RL_SOURCE_NONE && !by_token;
    rung_advantage_data d = {.n = l->n_answers,
                             .first = y.first,
                             .mask = y.mask,
                             .group = y.group,
                             .known = y.known,
                             .outcome = y.outcome,
                             .baseline = y.baseline,
                             .source = with_steps ? &steps : NULL,
                             .n_sources = with_steps,
                             .token_reward = by_token ? y.dense : NULL,
                             .value = l->critic ? y.value : NULL,
                             .old = y.old,
                             .ref = l->has_ref ? y.ref : NULL};
    o.length_max = l->o->max_tok + 1;
    o.n_threads = l->o->n_threads;
    RUNG_TRY(rung_advantage(y.advantage, l->critic ? y.ret : NULL, &f, l->estimator, &d, &o, err));
    for (int32_t i = 0; i < l->n_answers; i++) {
        l->answer[i].advantage = y.advantage + y.first[i];
        l->answer[i].ret = y.ret + y.first[i];
        l->answer[i].trained = y.known[i] && !is_masked(l, &l->answer[i]);
    }
    l->f.reward = f.reward_mean;
    l->f.advantage_sd = f.sd;
    return RUNG_OK;
}
