/* The table of advantage estimators, what each needs, and how a row is run. */
#include "rl/advantage_job.h"
#include "train/loss_row.h"

#define GROUP         RUNG_ADVANTAGE_NEEDS_GROUP
#define STEPS         RUNG_ADVANTAGE_NEEDS_STEPS
#define VALUE         RUNG_ADVANTAGE_NEEDS_VALUE
#define BASELINE      RUNG_ADVANTAGE_NEEDS_BASELINE
#define NEEDS_STEPS   RUNG_ADVANTAGE_NEEDS_STEPS
#define NEEDS_VALUE   RUNG_ADVANTAGE_NEEDS_VALUE
#define NEEDS_PROCESS RUNG_ADVANTAGE_NEEDS_PROCESS
static const struct {
    const char *name, *others, *help;
    unsigned needs;
    rung_loss_aggregation aggregation;
} rows[RUNG_ADVANTAGE_COUNT] = {
#define X(id, name, others, needs, aggregation, help)                                              \
    [RUNG_ADVANTAGE_##id] = {name, others, help, needs, RUNG_LOSS_##aggregation},
    RUNG_ADVANTAGES(X)
#undef X
};

static const struct {
    adv_row_fn *fn;
    bool whiten;
    double lambda, alpha; /* their defaults */
} how[RUNG_ADVANTAGE_COUNT] = {
    [RUNG_ADVANTAGE_REINFORCE] = {adv_reinforce, false, 0, 0},
    [RUNG_ADVANTAGE_RLOO] = {adv_group_scalar, false, 0, 0},
    [RUNG_ADVANTAGE_GRPO] = {adv_group_scalar, false, 0, 0},
    [RUNG_ADVANTAGE_GRPO_NOSTD] = {adv_group_scalar, false, 0, 0},
    [RUNG_ADVANTAGE_GRPO_BATCH_STD] = {adv_batch_std, false, 0, 0},
    [RUNG_ADVANTAGE_GRPO_PROCESS] = {adv_grpo_process, false, 0, 0},
    [RUNG_ADVANTAGE_DR_GRPO] = {adv_group_scalar, false, 0, 0},
    [RUNG_ADVANTAGE_DAPO] = {adv_group_scalar, false, 0, 0},
    [RUNG_ADVANTAGE_REINFORCE_PP] = {adv_reinforce, true, 0, 0},
    [RUNG_ADVANTAGE_REINFORCE_PP_BASELINE] = {adv_pp_baseline, true, 0, 0},
    [RUNG_ADVANTAGE_GAE] = {adv_gae, true, .95, 0},
    [RUNG_ADVANTAGE_REMAX] = {adv_remax, false, 0, 0},
    [RUNG_ADVANTAGE_OPO] = {adv_group_scalar, false, 0, 0},
    [RUNG_ADVANTAGE_GPG] = {adv_group_scalar, false, 0, 0},
    [RUNG_ADVANTAGE_PASS_AT_K] = {adv_group_scalar, false, 0, 0},
    [RUNG_ADVANTAGE_PRIME] = {adv_prime, true, 0, 0},
    [RUNG_ADVANTAGE_MIN_FORM] = {adv_min_form, true, 0, 0},
    [RUNG_ADVANTAGE_PAV] = {adv_pav, false, 0, 3},
    [RUNG_ADVANTAGE_OPRL] = {adv_oprl, false, 0, 1},
    [RUNG_ADVANTAGE_THOUGHT] = {adv_thought, false, 0, 1},
    [RUNG_ADVANTAGE_RENORM] = {adv_renorm, true, 1, 0},
    [RUNG_ADVANTAGE_CAPO] = {adv_capo, false, 0, 0},
    [RUNG_ADVANTAGE_FG] = {adv_fg, true, .95, 0},
};

const char *rung_advantage_name(rung_advantage_id id) {
    return (unsigned)id < RUNG_ADVANTAGE_COUNT ? rows[id].name : "?";
}
const char *rung_advantage_help(rung_advantage_id id) {
    return (unsigned)id < RUNG_ADVANTAGE_COUNT ? rows[id].help : "?";
}
const char *rung_advantage_others(rung_advantage_id id) {
    return (unsigned)id < RUNG_ADVANTAGE_COUNT ? rows[id].others : "";
}
unsigned rung_advantage_needs(rung_advantage_id id) {
    return (unsigned)id < RUNG_ADVANTAGE_COUNT ? rows[id].needs : 0;
}
rung_loss_aggregation rung_advantage_aggregation(rung_advantage_id id) {
    return (unsigned)id < RUNG_ADVANTAGE_COUNT ? rows[id].aggregation : RUNG_LOSS_TOKEN_MEAN;
}

/* Is `name` in "verl:gae,trl:none", whole or as the part after the colon? */
static bool listed(const char *list, const char *name) {
    size_t n = strlen(name);
    while (*list) {
        size_t len = strcspn(list, ",");
        const char *colon = memchr(list, ':', len), *bare = colon ? colon + 1 : list;
        if ((len == n && memcmp(list, name, n) == 0) ||
            ((size_t)(list + len - bare) == n && memcmp(bare, name, n) == 0))
            return true;
        list += len;
        list += *list == ',';
    }
    return false;
}

bool rung_advantage_find(rung_advantage_id *out, const char *name) {
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < RUNG_ADVANTAGE_COUNT && name[0]; i++) {
            if (pass == 0 ? strcmp(rows[i].name, name) != 0 : !listed(rows[i].others, name))
                continue;
            *out = (rung_advantage_id)i;
            return true;
        }
    }
    return false;
}

/* Options and input ---------------------------------------------------------------------------- */

static double or_else(double x, double dflt) {
    return x == 0 ? dflt : x;
}

static rung_status resolve(adv_job *j, const rung_advantage_opts *given, rung_error *err) {
    static const rung_advantage_opts none = RUNG_ADVANTAGE_OPTS_INIT;
    rung_advantage_opts o = given ? *given : none;
    if (o.struct_size != sizeof o)
        return rung_fail(err, RUNG_E_INVAL, "rung_advantage_opts of another size");
    if ((unsigned)j->id >= RUNG_ADVANTAGE_COUNT)
        return rung_fail(err, RUNG_E_INVAL, "advantage %d: no such row", (int)j->id);
    o.gamma = or_else(o.gamma, 1);
    o.lambda = or_else(o.lambda, how[j->id].lambda);
    o.eps = or_else(o.eps, 1e-6);
    o.outcome_coef = or_else(o.outcome_coef, 1);
    o.process_coef = or_else(o.process_coef, 1);
    o.temperature = or_else(o.temperature, .1);
    o.alpha = or_else(o.alpha, how[j->id].alpha);
    o.mu = o.mu < 0 ? 0 : or_else(o.mu, 1);
    o.w_whole = or_else(o.w_whole, 2);
    o.w_process = or_else(o.w_process, 1);
    if (!(o.gamma > 0 && o.gamma <= 1) || !(o.lambda >= 0 && o.lambda <= 1) || !(o.eps > 0) ||
        !isfinite(o.kl_coef) || !(o.temperature > 0) || !isfinite(o.alpha) || !isfinite(o.mu) ||
        !isfinite(o.w_whole) || !isfinite(o.w_process) || !isfinite(o.outcome_coef) ||
        !isfinite(o.process_coef) || (unsigned)o.kl > RUNG_KL_K3 ||
        (unsigned)o.min_variant > RUNG_MIN_CODE_STEP || (unsigned)o.min_credit > RUNG_MIN_TOKENS)
        return rung_fail(err, RUNG_E_INVAL, "advantage %s: an option is out of its range",
                         rows[j->id].name);
    j->whiten = o.whiten == RUNG_WHITEN_ROW ? how[j->id].whiten : o.whiten == RUNG_WHITEN_ON;
    if (o.whiten == RUNG_WHITEN_ROW && j->id == RUNG_ADVANTAGE_MIN_FORM &&
        o.min_variant >= RUNG_MIN_CODE_TOKEN)
        j->whiten = false; /* that code does not */
    j->n_threads = o.n_threads > 0 ? o.n_threads : rung_n_cores();
    if (j->n_threads > j->d->n) j->n_threads = j->d->n > 0 ? j->d->n : 1;
    j->o = o;
    return RUNG_OK;
}

static rung_status check_there(const adv_job *j, rung_error *err) {
    const rung_advantage_data *d = j->d;
    unsigned needs = rows[j->id].needs;
    bool steps = d->n_sources > 0 && d->source;
    const char *what = NULL;
    if ((needs & GROUP) && !d->group) what = "groups";
    if ((needs & VALUE) && !d->value) what = "values";
    if ((needs & BASELINE) && !d->baseline) what = "the greedy answers' rewards";
    if ((needs & STEPS) && !steps) what = "step rewards";
    if ((needs & NEEDS_PROCESS) && !steps && !d->token_reward) what = "step or token rewards";
    if (j->o.kl_coef != 0 && (!d->old || !d->ref)) what = "logprobs of policy and reference";
    if (d->n < 0 || d->n_sources < 0 || !d->first) what = "answers";
    if (what && d->n != 0)
        return rung_fail(err, RUNG_E_INVAL, "advantage %s needs %s", rows[j->id].name, what);
    return RUNG_OK;
}

static rung_status bad_number(const adv_job *j, const char *what, int32_t i, double v,
                              rung_error *err) {
    return rung_fail(err, RUNG_E_INVAL, "advantage %s: %s of answer %d is %g", rows[j->id].name,
                     what, i, v);
}

static rung_status check_steps(const adv_job *j, int32_t s, int32_t i, rung_error *err) {
    const int32_t *end = adv_ends(j, s, i);
    const double *r = adv_step_rewards(j, s, i);
    const uint8_t *mask = adv_mask(j, i);
    if (j->id != RUNG_ADVANTAGE_FG && adv_n_steps(j, s, i) > adv_length(j, i))
        return rung_fail(err, RUNG_E_INVAL, "advantage %s: answer %d has %lld steps, %lld tokens",
                         rows[j->id].name, i, (long long)adv_n_steps(j, s, i),
                         (long long)adv_length(j, i));
    for (int64_t h = 0; h < adv_n_steps(j, s, i); h++) {
        if (!isfinite(r[h])) return bad_number(j, "a step reward", i, r[h], err);
        if (end[h] < 0 || end[h] >= adv_length(j, i) || (h > 0 && end[h] < end[h - 1]))
            return rung_fail(
                err, RUNG_E_INVAL, "advantage %s: step %lld of answer %d ends at token %d of %lld",
                rows[j->id].name, (long long)h, i, end[h], (long long)adv_length(j, i));
        if (mask && !mask[end[h]])
            return rung_fail(err, RUNG_E_INVAL,
                             "advantage %s: step %lld of answer %d ends at token %d, which the "
                             "policy did not write",
                             rows[j->id].name, (long long)h, i, end[h]);
    }
    return RUNG_OK;
}

static rung_status check_answers(const adv_job *j, rung_error *err) {
    const rung_advantage_data *d = j->d;
    for (int32_t i = 0; i < d->n; i++) {
        if (adv_length(j, i) < 0)
            return rung_fail(err, RUNG_E_INVAL, "advantage: answer %d has %lld tokens", i,
                             (long long)adv_length(j, i));
        if (!adv_known(j, i)) continue;
        if (!isfinite(adv_outcome(j, i)))
            return bad_number(j, "the outcome", i, adv_outcome(j, i), err);
        if ((rows[j->id].needs & BASELINE) && !isfinite(d->baseline[i]))
            return bad_number(j, "the greedy answer's reward", i, d->baseline[i], err);
        for (int32_t s = 0; s < d->n_sources; s++) RUNG_TRY(check_steps(j, s, i, err));
    }
    for (int32_t s = 0; s < d->n_sources; s++)
        if (!isfinite(d->source[s].weight) || !isfinite(d->source[s].mean) ||
            !(d->source[s].sd >= 0))
            return rung_fail(err, RUNG_E_INVAL, "advantage: weight %g, mean %g, sd %g of source %d",
                             d->source[s].weight, d->source[s].mean, d->source[s].sd, s);
    return RUNG_OK;
}

/* Lengths, groups, totals ------------------------------------------------------------------------
 */

static void measure(adv_job *j) {
    for (int32_t i = 0; i < j->d->n; i++) {
        int64_t n = adv_length(j, i), at = n - 1;
        const uint8_t *mask = adv_mask(j, i);
        if (n > j->longest) j->longest = n;
        j->n_tok[i] = n;
        if (mask) {
            int64_t sum = 0;
            for (int64_t t = 0; t < n; t++) sum += mask[t] != 0;
            j->n_tok[i] = sum;
            while (at >= 0 && !mask[at]) at--;
        }
        j->last[i] = at;
        j->f.n_empty += at < 0;
        j->f.n_unknown += !adv_known(j, i);
    }
}

/* Known answers by group; a group of one is refused where answers are compared. */
static rung_status find_groups(adv_job *j, rung_error *err) {
    int64_t n = 0;
    if (!j->d->group) return RUNG_OK;
    int32_t *order = rung_loss_group_order(&n, j->d->group, j->d->n);
    if (!order) return rung_fail(err, RUNG_E_NOMEM, "no memory for groups");
    int32_t at = 0;
    rung_status st = RUNG_OK;
    for (int64_t i = 0, end; i < n && st == RUNG_OK; i = end) {
        int32_t g = j->d->group[order[i]];
        j->first[j->n_groups++] = at;
        for (end = i; end < n && j->d->group[order[end]] == g; end++)
            if (adv_known(j, order[end])) j->who[at++] = order[end];
        if (end - i == 1 && (rows[j->id].needs & GROUP)) {
            st = rung_fail(err, RUNG_E_INVAL, "advantage %s: group %d has one answer",
                           rows[j->id].name, g);
            if (err) rung_error_hint(err, "it compares answers of one problem: sample two or more");
        }
    }
    if (st == RUNG_OK && n < j->d->n && (rows[j->id].needs & GROUP))
        st = rung_fail(err, RUNG_E_INVAL, "advantage %s: %lld answers are in no group",
                       rows[j->id].name, (long long)(j->d->n - n));
    j->first[j->n_groups] = at;
    rung_free(order);
    return st;
}

static bool has_token_rewards(const adv_job *j) {
    return j->d->token_reward || j->o.kl_coef != 0;
}

static void add_totals(adv_job *j) {
    bool token = has_token_rewards(j);
#pragma omp parallel for schedule(static) num_threads(j->n_threads) if (token)
    for (int32_t i = 0; i < j->d->n; i++) {
        double sum = 0;
        if (!adv_known(j, i)) continue;
        if (token) {
            double *r = adv_scratch(j);
            adv_all_rewards(r, j, i);
            for (int64_t t = 0; t <= j->last[i]; t++) sum += r[t];
            if (j->last[i] < 0) sum = adv_outcome(j, i);
        } else {
            sum = adv_outcome(j, i);
            for (int32_t s = 0; s < j->d->n_sources; s++) {
                const rung_step_rewards *q = j->d->source + s;
                double w = q->weight == 0 ? 1 : q->weight;
                for (int64_t h = q->first[i]; h < q->first[i + 1]; h++)
                    sum += w * (q->sd > 0 ? (q->reward[h] - q->mean) / q->sd : q->reward[h]);
            }
        }
        j->total[i] = sum;
    }
}

static rung_status take_room(adv_job *j, rung_error *err) {
    size_t n = (size_t)j->d->n + 1;
    j->total = rung_calloc(3 * n, sizeof *j->total);
    j->last = rung_calloc(2 * n, sizeof *j->last);
    j->part = rung_calloc(n, sizeof *j->part);
    j->who = rung_calloc(2 * n + 1, sizeof *j->who);
    if (!j->total || !j->last || !j->part || !j->who)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for advantages of %d answers", j->d->n);
    j->scalar = j->total + n;
    j->extra = j->scalar + n;
    j->n_tok = j->last + n;
    j->first = j->who + n;
    measure(j);
    j->scratch =
        rung_alloc((size_t)j->n_threads * 2 * (size_t)(j->longest + 8) * sizeof *j->scratch);
    if (!j->scratch)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for answers of %lld tokens",
                         (long long)j->longest);
    return RUNG_OK;
}

/* Names the number that made a result not finite. */
static rung_status find_bad(const adv_job *j, int32_t i, rung_error *err) {
    const struct {
        const float *p;
        const char *name;
    } parts[] = {{j->d->token_reward, "a token reward"},
                 {j->d->value, "a value"},
                 {j->d->old, "a logprob of the policy"},
                 {j->d->ref, "a logprob of the reference"}};
    const uint8_t *mask = adv_mask(j, i);
    for (size_t k = 0; k < 4; k++) {
        const float *x = parts[k].p ? parts[k].p + j->d->first[i] : NULL;
        for (int64_t t = 0; x && t < adv_length(j, i); t++)
            if ((!mask || mask[t]) && !isfinite(x[t]))
                return bad_number(j, parts[k].name, i, (double)x[t], err);
    }
    return bad_number(j, "the advantage", i, j->part[i].mean, err);
}

static rung_status finish(adv_job *j, rung_error *err) {
    moments all = {0, 0, 0, 0}, reward = {0, 0, 0, 0};
    for (int32_t i = 0; i < j->d->n; i++) {
        if (!adv_known(j, i)) continue;
        if (!isfinite(j->part[i].mean) || !isfinite(j->part[i].m2) || !isfinite(j->total[i]))
            return find_bad(j, i, err);
        moments_merge(&all, &j->part[i]);
        moments_merge(&reward, &(moments){1, j->total[i], 0, 0});
    }
    if (j->whiten && !j->whitened) adv_whiten_all(j);
    j->f.n_groups = j->n_groups;
    j->f.reward_mean = reward.mean;
    j->f.reward_sd = reward.n > 1 ? sqrt(reward.m2 / (reward.n - 1)) : 0;
    if (!j->whiten) {
        j->f.mean = all.mean;
        j->f.sd = all.n > 1 ? sqrt(all.m2 / (all.n - 1)) : 0;
        j->f.max_abs = all.top;
    }
    return RUNG_OK;
}

static rung_status run(adv_job *j, rung_error *err) {
    RUNG_TRY(check_answers(j, err));
    RUNG_TRY(take_room(j, err));
    RUNG_TRY(find_groups(j, err));
    add_totals(j);
    for (int32_t i = 0; i < j->d->n; i++)
        if (!isfinite(j->total[i])) return find_bad(j, i, err);
    RUNG_TRY(how[j->id].fn(j, err));
    return finish(j, err);
}

rung_status rung_advantage(float *advantage, float *returns, rung_advantage_figures *figures,
                           rung_advantage_id id, const rung_advantage_data *d,
                           const rung_advantage_opts *o, rung_error *err) {
    adv_job j = {.d = d, .id = id, .a = advantage, .ret = returns};
    RUNG_TRY(resolve(&j, o, err));
    RUNG_TRY(check_there(&j, err));
    rung_status st = run(&j, err);
    if (figures && st == RUNG_OK) *figures = j.f;
    rung_free(j.total);
    rung_free(j.last);
    rung_free(j.part);
    rung_free(j.who);
    rung_free(j.scratch);
    return st;
}
