/* What can be said of a configuration before a model is read. */
#include "rl/loop.h"

static const char *const sources[] = {
#define X(id, name, help) name,
    RUNG_RL_SOURCES(X)
#undef X
};
static const char *const overlongs[] = {
#define X(id, name, help) name,
    RUNG_RL_OVERLONG(X)
#undef X
};
const char *rung_rl_source_name(size_t i) {
    return i < RUNG_RL_SOURCE_COUNT ? sources[i] : NULL;
}
const char *rung_rl_overlong_name(size_t i) {
    return i < RUNG_RL_OVERLONG_COUNT ? overlongs[i] : NULL;
}

static rung_status unknown_name(const char *what, const char *name, bool loss, rung_error *err) {
    rung_buf list;
    rung_buf_init(&list, 4096);
    for (int i = 0; i < (loss ? (int)RUNG_LOSS_COUNT : (int)RUNG_ADVANTAGE_COUNT); i++) {
        if (loss && !(rung_loss_needs((rung_loss_id)i) & RUNG_LOSS_NEEDS_ADVANTAGE)) continue;
        rung_buf_printf(&list, "%s%s", list.n ? " " : "",
                        loss ? rung_loss_name((rung_loss_id)i)
                             : rung_advantage_name((rung_advantage_id)i));
    }
    rung_fail(err, RUNG_E_INVAL, "no %s \"%s\"", what, name);
    rung_error_hint(err, "one of %s; or verl:NAME, trl:NAME", list.data ? list.data : "");
    rung_buf_clear(&list);
    return RUNG_E_INVAL;
}

static rung_status check_needs(const rung_rl_opts *o, rung_advantage_id id, rung_error *err) {
    unsigned needs = rung_advantage_needs(id);
    const char *name = rung_advantage_name(id);
    if ((needs & RUNG_ADVANTAGE_NEEDS_GROUP) && o->group < 2) {
        rung_fail(err, RUNG_E_INVAL, "estimator %s compares answers of one problem: group is %d",
                  name, o->group);
        return rung_error_hint(err, "at least 2; or an estimator without groups: reinforce, remax");
    }
    if ((needs & (RUNG_ADVANTAGE_NEEDS_STEPS | RUNG_ADVANTAGE_NEEDS_PROCESS)) &&
        o->source == RUNG_RL_SOURCE_NONE) {
        rung_fail(err, RUNG_E_INVAL, "estimator %s needs step rewards", name);
        return rung_error_hint(
            err, "steps: truth (a world's checker), reward (with a model file) or implicit");
    }
    return RUNG_OK;
}

static rung_status check_kl(const rung_rl_opts *o, rung_error *err) {
    bool in_loss = o->loss_opts.kl_coef > 0 || o->kl_exact > 0;
    if (in_loss && o->credit.kl_coef != 0) {
        rung_fail(err, RUNG_E_INVAL, "KL both in the reward (%g) and in the loss (%g)",
                  o->credit.kl_coef, o->loss_opts.kl_coef + o->kl_exact);
        return rung_error_hint(err, "one of them: twice the pull under two names");
    }
    if (o->loss_opts.kl_coef > 0 && o->kl_exact > 0)
        return rung_fail(err, RUNG_E_INVAL, "KL in the loss both estimated and exact");
    if ((in_loss || o->credit.kl_coef != 0) && o->no_reference)
        return rung_fail(err, RUNG_E_INVAL, "a KL needs the reference");
    return RUNG_OK;
}

static rung_status check_numbers(const rung_rl_opts *o, rung_error *err) {
    const struct {
        bool bad;
        const char *what;
    } rows[] = {
        {o->steps < 1, "steps must be at least 1"},
        {o->prompts < 1, "prompts must be at least 1"},
        {o->group < 1 || o->group > 1024, "group must be 1 to 1024"},
        {o->max_tok < 1, "max_tok must be at least 1"},
        {!(o->temperature > 0), "temperature must be above 0: the ratio is at it"},
        {o->rows < 1 || o->row_tok < 8, "rows, row_tok: no room for an answer"},
        {!(o->adamw.lr >= 0), "lr must not be below 0"},
        {o->filter.pass_lo < 0 || o->filter.pass_hi > 1, "pass rates lie in 0 to 1"},
        {o->filter.pass_hi != 0 && o->filter.pass_lo > o->filter.pass_hi,
         "pass_lo is above pass_hi"},
        {o->push_every < 0 || o->max_stale < 0, "push_every, max_stale must not be below 0"},
        {o->push_every > (o->max_stale > 0 ? o->max_stale : 1),
         "push_every lets answers lie farther behind than max_stale"},
        {o->lora_rank < 0, "lora_rank must not be below 0"},
        {o->lora_out && o->lora_rank == 0, "lora_out without lora_rank: all weights learn"},
        {o->out_type && strcmp(o->out_type, "keep") == 0 && o->lora_rank == 0,
         "type keep without lora_rank: all weights learn"},
        {o->critic_lr < 0 || o->critic_warmup < 0, "critic_lr, critic_warmup must not be below 0"},
        {o->implicit_lr < 0 || o->implicit_beta < 0,
         "implicit_lr, implicit_beta must not be below 0"},
        {o->prof_keep > o->group, "prof_keep is more than the group"},
        {o->prof_keep == 1, "prof_keep must be at least 2"},
        {o->prof_keep > 0 && o->source == RUNG_RL_SOURCE_NONE, "PROF ranks by step rewards"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].bad) return rung_fail(err, RUNG_E_INVAL, "%s", rows[i].what);
    return RUNG_OK;
}

static rung_status check_implicit(const rung_rl_opts *o, rung_error *err) {
    if (o->source != RUNG_RL_SOURCE_IMPLICIT) return RUNG_OK;
    if (o->prof_keep > 0)
        return rung_fail(err, RUNG_E_INVAL,
                         "PROF ranks answers before an implicit model has read them");
    if (o->no_reference && !o->implicit_rolling)
        return rung_fail(err, RUNG_E_INVAL, "an implicit reward is a log-ratio to the reference");
    return RUNG_OK;
}

static rung_status check_action(const rung_rl_opts *o, rung_error *err) {
    static const char *const actions[] = {"continue", "pause", "rollback"};
    size_t i = 0;
    if (!o->watch_action) return RUNG_OK;
    while (i < 3 && strcmp(o->watch_action, actions[i]) != 0) i++;
    if (i == 3)
        return rung_fail(err, RUNG_E_INVAL, "on an alarm: continue, pause or rollback, not \"%s\"",
                         o->watch_action);
    if (i == 2 && !o->checkpoint)
        return rung_fail(err, RUNG_E_INVAL, "a roll-back needs a checkpoint to go back to");
    return RUNG_OK;
}

rung_status rung_rl_check(const rung_rl_opts *o, rung_error *err) {
    rung_advantage_id id = RUNG_ADVANTAGE_GRPO_NOSTD;
    rung_loss_id loss = RUNG_LOSS_PPO;
    rung_loss_opts lo = o->loss_opts;
    rung_loss_aggregation how;
    if (o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "rung_rl_opts of another size");
    if (!o->policy) return rung_fail(err, RUNG_E_INVAL, "no policy to train");
    if (o->estimator && !rung_advantage_find(&id, o->estimator))
        return unknown_name("estimator", o->estimator, false, err);
    if (o->loss && !rung_loss_policy_find(&loss, &lo, o->loss))
        return unknown_name("policy loss", o->loss, true, err);
    if (o->aggregation && !rung_loss_aggregation_find(&how, o->aggregation)) {
        rung_fail(err, RUNG_E_INVAL, "no aggregation \"%s\"", o->aggregation);
        return rung_error_hint(
            err,
            "token_mean seq_mean_token_mean seq_mean_token_sum seq_sum_const, or verl's, TRL's");
    }
    RUNG_TRY(check_numbers(o, err));
    RUNG_TRY(check_needs(o, id, err));
    RUNG_TRY(check_kl(o, err));
    if (o->source == RUNG_RL_SOURCE_REWARD && !o->reward)
        return rung_fail(err, RUNG_E_INVAL, "steps from a reward model: which file?");
    RUNG_TRY(check_implicit(o, err));
    return check_action(o, err);
}
