/* verl's keys as ours: a table, and the few that depend on each other. */
#include "rung/rl.h"
#include "base/yaml.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACTOR "actor_rollout_ref.actor."
/* X(their key, our key): the value is taken as it stands. */
static const struct {
    const char *theirs, *ours;
} same[] = {
    {"algorithm.gamma", "gamma"},
    {"algorithm.lam", "lambda"},
    {"critic.optim.lr", "critic-lr"},
    {"critic.cliprange_value", "clip-value"},
    {"trainer.critic_warmup", "critic-warmup"},
    {"actor_rollout_ref.model.lora_rank", "lora-rank"},
    {"actor_rollout_ref.model.lora_alpha", "lora-alpha"},
    {"algorithm.adv_estimator", "estimator"},
    {ACTOR "policy_loss.loss_mode", "loss"},
    {ACTOR "loss_agg_mode", "aggregation"},
    {ACTOR "clip_ratio_low", "clip-low"},
    {ACTOR "clip_ratio_high", "clip-high"},
    {ACTOR "clip_ratio_c", "clip-dual"},
    {ACTOR "ppo_epochs", "epochs"},
    {ACTOR "optim.lr", "lr"},
    {ACTOR "optim.lr_warmup_steps", "warmup"},
    {ACTOR "optim.weight_decay", "weight-decay"},
    {ACTOR "grad_clip", "clip"},
    {"actor_rollout_ref.rollout.n", "group"},
    {"actor_rollout_ref.rollout.temperature", "temperature"},
    {"data.train_batch_size", "prompts"},
    {"data.max_response_length", "max-tokens"},
    {"data.seed", "seed"},
    {"trainer.total_training_steps", "steps"},
    {"trainer.save_freq", "checkpoint-every"},
    {"algorithm.filter_groups.max_num_gen_batches", "waves"},
    {"reward_model.overlong_buffer.len", "overlong-cache"},
};
/* Read with others, or without a meaning on one machine; a line about these would say nothing. */
static const char *const silent[] = {"algorithm.norm_adv_by_std_in_grpo",
                                     "algorithm.use_kl_in_reward",
                                     "algorithm.kl_ctrl.",
                                     ACTOR "use_kl_loss",
                                     ACTOR "kl_loss_",
                                     ACTOR "entropy_coeff",
                                     ACTOR "clip_ratio",
                                     ACTOR "ppo_mini_batch_size",
                                     ACTOR "ppo_micro_",
                                     ACTOR "ppo_max_token_len",
                                     ACTOR "fsdp_config.",
                                     ACTOR "use_",
                                     ACTOR "strategy",
                                     ACTOR "checkpoint.",
                                     ACTOR "ulysses",
                                     ACTOR "profiler",
                                     ACTOR "engine",
                                     "algorithm.filter_groups.enable",
                                     "reward_model.overlong_buffer.enable",
                                     "data.",
                                     "trainer.",
                                     "actor_rollout_ref.rollout.gpu_",
                                     "actor_rollout_ref.rollout.tensor_",
                                     "ray_",
                                     "global_profiler.",
                                     "_target_",
                                     "defaults",
                                     "hydra"};

typedef struct flat {
    char key[192];
    const char *value;
} flat;
enum { FLAT_MAX = 2048 };

static bool begins(const char *s, const char *with) {
    return strncmp(s, with, strlen(with)) == 0;
}

static rung_status flatten(flat *f, size_t *n, const char *prefix, const rung_yaml_node *node,
                           rung_error *err) {
    for (size_t i = 0; i < rung_yaml_count(node); i++) {
        const rung_yaml_node *v = rung_yaml_item(node, i);
        char key[192];
        snprintf(key, sizeof key, "%s%s%s", prefix, prefix[0] ? "." : "", rung_yaml_key(node, i));
        if (rung_yaml_kind_of(v) == RUNG_YAML_MAP) {
            RUNG_TRY(flatten(f, n, key, v, err));
            continue;
        }
        if (rung_yaml_kind_of(v) != RUNG_YAML_SCALAR) continue;
        if (*n == FLAT_MAX) return rung_fail(err, RUNG_E_LIMIT, "more than %d keys", FLAT_MAX);
        memcpy(f[*n].key, key, sizeof key);
        f[(*n)++].value = rung_yaml_scalar(v);
    }
    return RUNG_OK;
}

static const char *value_of(const flat *f, size_t n, const char *key) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(f[i].key, key) == 0) return f[i].value;
    return NULL;
}
static bool is_true(const char *v) {
    return v && (strcmp(v, "true") == 0 || strcmp(v, "True") == 0);
}
static bool is_set(const char *v) {
    return v && v[0] && strcmp(v, "null") != 0 && strcmp(v, "None") != 0 && strcmp(v, "???") != 0 &&
           v[0] != '$';
}

static void put(rung_buf *b, const char *key, const char *value, const char *theirs) {
    rung_buf_printf(b, "rl.train.%s = %s   # %s\n", key, value, theirs);
}

/* KL: in the reward or in the loss, never both (verl allows it; here it is refused). */
static void put_kl(rung_buf *b, rung_buf *lost, const flat *f, size_t n) {
    static const char *const kinds[][2] = {
        {"kl", "k1"},   {"k1", "k1"},         {"abs", "abs"},        {"mse", "k2"},
        {"k2", "k2"},   {"low_var_kl", "k3"}, {"k3", "k3"},          {"k1+", "k1+"},
        {"k3+", "k3+"}, {"kl+", "k1+"},       {"low_var_kl+", "k3+"}};
    bool in_loss = is_true(value_of(f, n, ACTOR "use_kl_loss"));
    bool in_reward = is_true(value_of(f, n, "algorithm.use_kl_in_reward"));
    const char *coef = value_of(f, n, ACTOR "kl_loss_coef");
    const char *type = value_of(f, n, ACTOR "kl_loss_type");
    const char *reward = value_of(f, n, "algorithm.kl_ctrl.kl_coef");
    put(b, "kl", in_loss ? is_set(coef) ? coef : "0.001" : "0", ACTOR "use_kl_loss, kl_loss_coef");
    for (size_t i = 0; in_loss && is_set(type) && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i][0], type) == 0)
            put(b, "kl-estimator", kinds[i][1], ACTOR "kl_loss_type");
    if (in_reward && in_loss)
        rung_buf_str(
            lost, "# no place: algorithm.use_kl_in_reward beside actor.use_kl_loss: one KL only\n");
    else if (in_reward)
        put(b, "kl-reward", is_set(reward) ? reward : "0.001", "algorithm.kl_ctrl.kl_coef");
    const char *ctrl = value_of(f, n, "algorithm.kl_ctrl.type");
    if (in_reward && is_set(ctrl) && strcmp(ctrl, "fixed") != 0)
        rung_buf_printf(lost, "# no place: algorithm.kl_ctrl.type = %s\n", ctrl);
}

/* Values that two of their keys make. */
static void put_joint(rung_buf *b, rung_buf *lost, const flat *f, size_t n) {
    const char *batch = value_of(f, n, "data.train_batch_size");
    const char *mini = value_of(f, n, ACTOR "ppo_mini_batch_size");
    const char *ent = value_of(f, n, ACTOR "entropy_coeff");
    const char *clip = value_of(f, n, ACTOR "clip_ratio");
    char text[64];
    if (is_set(batch) && is_set(mini) && atof(mini) > 0) {
        double parts = atof(batch) / atof(mini);
        snprintf(text, sizeof text, "%.0f", parts < 1 ? 1 : floor(parts));
        put(b, "minibatches", text, "data.train_batch_size / ppo_mini_batch_size");
    }
    if (is_set(ent)) put(b, "entropy", ent, ACTOR "entropy_coeff");
    if (is_set(clip) && !is_set(value_of(f, n, ACTOR "clip_ratio_low")))
        put(b, "clip-low", clip, ACTOR "clip_ratio");
    if (is_set(clip) && !is_set(value_of(f, n, ACTOR "clip_ratio_high")))
        put(b, "clip-high", clip, ACTOR "clip_ratio");
    if (is_true(value_of(f, n, "reward_model.overlong_buffer.enable")))
        put(b, "overlong", "soft", "reward_model.overlong_buffer.enable");
    if (!is_true(value_of(f, n, "algorithm.filter_groups.enable")))
        put(b, "keep-flat", "true", "algorithm.filter_groups.enable: verl trains on flat groups");
    put_kl(b, lost, f, n);
}

/* Their estimator by our name; grpo without the deviation is a row of its own here. */
static void put_estimator(rung_buf *b, rung_buf *lost, const flat *f, size_t n, const char *name) {
    rung_advantage_id id;
    char theirs[96];
    const char *std = value_of(f, n, "algorithm.norm_adv_by_std_in_grpo");
    snprintf(theirs, sizeof theirs, "verl:%.80s", name);
    if (!rung_advantage_find(&id, theirs)) {
        rung_buf_printf(lost, "# no place: algorithm.adv_estimator = %s: no such row here\n", name);
        return;
    }
    if (id == RUNG_ADVANTAGE_GRPO && std && !is_true(std)) id = RUNG_ADVANTAGE_GRPO_NOSTD;
    put(b, "estimator", rung_advantage_name(id), "algorithm.adv_estimator");
}

static void put_loss(rung_buf *b, rung_buf *lost, const char *name) {
    rung_loss_opts o = RUNG_LOSS_OPTS_INIT;
    rung_loss_id id;
    char theirs[96];
    snprintf(theirs, sizeof theirs, "verl:%.80s", name);
    if (rung_loss_policy_find(&id, &o, theirs))
        put(b, "loss", theirs, ACTOR "policy_loss.loss_mode");
    else
        rung_buf_printf(lost, "# no place: " ACTOR "policy_loss.loss_mode = %s: no such row here\n",
                        name);
}

static void put_one(rung_buf *b, rung_buf *lost, const flat *f, size_t n, size_t i) {
    const char *key = f[i].key, *v = f[i].value;
    for (size_t k = 0; k < sizeof same / sizeof same[0]; k++) {
        if (strcmp(same[k].theirs, key) != 0) continue;
        bool off = !is_set(v) || (v[0] == '-' && strcmp(same[k].ours, "seed") != 0);
        if (off) return;
        if (strcmp(same[k].ours, "estimator") == 0)
            put_estimator(b, lost, f, n, v);
        else if (strcmp(same[k].ours, "loss") == 0)
            put_loss(b, lost, v);
        else if (strcmp(same[k].ours, "waves") != 0 ||
                 is_true(value_of(f, n, "algorithm.filter_groups.enable")))
            put(b, same[k].ours, v, key);
        return;
    }
    for (size_t k = 0; k < sizeof silent / sizeof silent[0]; k++)
        if (begins(key, silent[k])) return;
    if (is_set(v)) rung_buf_printf(lost, "# no place: %s = %s\n", key, v);
}

rung_status rung_rl_from_verl(rung_buf *ours, rung_buf *lost, const char *path, rung_error *err) {
    rung_yaml *y = NULL;
    size_t n = 0;
    RUNG_TRY(rung_yaml_load(&y, path, err));
    flat *f = rung_calloc(FLAT_MAX, sizeof *f);
    rung_status st = f ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "no memory for a configuration");
    if (st == RUNG_OK && rung_yaml_kind_of(rung_yaml_root(y)) != RUNG_YAML_MAP)
        st = rung_fail(err, RUNG_E_FORMAT, "%s: not a map of settings", path);
    if (st == RUNG_OK) st = flatten(f, &n, "", rung_yaml_root(y), err);
    for (size_t i = 0; st == RUNG_OK && i < n; i++) put_one(ours, lost, f, n, i);
    if (st == RUNG_OK) put_joint(ours, lost, f, n);
    rung_free(f);
    rung_yaml_free(y);
    if (st == RUNG_OK) st = rung_buf_check(ours, err);
    return st == RUNG_OK ? rung_buf_check(lost, err) : st;
}
