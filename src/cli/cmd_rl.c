/* rung rl train | watch | config: the policy reinforced; alarms on a run's log; a configuration of
 * another trainer's. */
#include "cli/session.h"
#include "rung/curve.h"
#include "rung/rl.h"
#include "rung/trace.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const cli_opt train_opts[] = {
    OPT_PATH("policy", "", CLI_NOTE, "the GGUF file to train: llama or qwen2"),
    OPT_PATH("reference", "", CLI_NOTE,
             "KL is measured to this one; empty = the policy as it starts"),
    OPT_PATH("out", "", CLI_NOTE, "the GGUF file to write"),
    OPT_CHOICE("type", "f16", "f32|f16|bf16|q8_0|keep", CLI_KEY,
               "number format of --out; keep: what has no adapters stays as it was"),
    OPT_INT("steps", "100", "N", 1, 1e9, CLI_KEY, "batches of answers to learn from"),
    OPT_INT("prompts", "8", "N", 1, 1e6, CLI_KEY, "problems a step"),
    OPT_INT("group", "8", "N", 1, 1024, CLI_KEY, "answers a problem"),
    OPT_INT("max-tokens", "128", "TOKENS", 1, 1e6, CLI_KEY, "length limit of an answer"),
    OPT_REAL("temperature", "1", "T", 0, 100, CLI_KEY, "of sampling, and of the ratio"),
    OPT_STR(
        "estimator", "grpo_nostd", "NAME", CLI_KEY,
        "how rewards become advantages: reinforce, rloo, grpo, prime, min_form, ...; verl:NAME, "
        "trl:NAME"),
    OPT_STR("loss", "ppo", "NAME", CLI_KEY,
            "policy loss: ppo, reinforce, cispo, sapo, geo_mean, clip_cov, kl_cov; verl:gspo, ..."),
    OPT_STR("aggregation", "", "NAME", CLI_KEY,
            "how tokens become one number; empty = as the estimator's authors do"),
    OPT_REAL("clip-low", "0.2", "E", -1, 1, CLI_KEY, "ratio's clip below; -1 = none"),
    OPT_REAL("clip-high", "0.28", "E", -1, 1000, CLI_KEY, "ratio's clip above; -1 = none"),
    OPT_REAL("clip-dual", "0", "C", 0, 1000, CLI_KEY,
             "dual clip where the advantage is negative; 0 = off"),
    OPT_REAL("clip-sampler", "2", "C", 0, 1000, CLI_KEY, "bound of p(trainer) / p(sampler)"),
    OPT_REAL("kl", "0.001", "BETA", 0, 1000, CLI_KEY, "KL to the reference, in the loss"),
    OPT_CHOICE("kl-estimator", "k2", "k1|k2|k3|abs|k1+|k3+", CLI_KEY,
               "of the KL in the loss; + = its value, k2's gradient"),
    OPT_REAL("kl-reward", "0", "BETA", 0, 1000, CLI_KEY, "KL per token off the reward instead"),
    OPT_REAL("kl-exact", "0", "BETA", 0, 1000, CLI_KEY,
             "exact KL over the vocabulary, in the loss"),
    OPT_REAL("entropy", "0", "COEF", -10, 10, CLI_KEY, "entropy's coefficient in the loss"),
    OPT_REAL("gamma", "1", "G", 0, 1, CLI_KEY, "discount of later rewards"),
    OPT_NAMES("steps-from", "none", rung_rl_source_name, CLI_KEY,
              "step rewards: none, truth (the world's checker) or reward (a model)"),
    OPT_PATH(
        "reward", "", CLI_NOTE,
        "steps-from reward: the process reward model; implicit: what it starts as, empty = the "
        "policy"),
    OPT_PATH("reward-base", "", CLI_NOTE, "its base; empty = the policy as it starts"),
    OPT_CHOICE("reward-update", "online", "online|frozen", CLI_KEY,
               "steps-from implicit: it learns from each step's outcomes, or stays (PRIME)"),
    OPT_CHOICE("reward-order", "after", "after|before", CLI_KEY,
               "implicit: it learns after or before its rewards are read"),
    OPT_CHOICE("reward-loss", "ce", "ce|dpo", CLI_KEY,
               "implicit: by outcomes (PRIME), or by right against wrong answers (OPRL)"),
    OPT_CHOICE("reward-reference", "initial", "initial|old", CLI_KEY,
               "implicit: log-ratio to --reference, or to the policy that sampled (OPRL)"),
    OPT_REAL("reward-beta", "0.05", "BETA", 0, 1000, CLI_KEY, "implicit: of its loss"),
    OPT_REAL("reward-lr", "0", "LR", 0, 1, CLI_KEY, "implicit: learning rate, 0 = twice --lr"),
    OPT_REAL("step-weight", "1", "W", 0, 1000, CLI_KEY,
             "of step rewards in rows that add them up (sums, fg)"),
    OPT_CHOICE("density", "step", "step|answer", CLI_KEY,
               "step rewards at the ends of steps, or their sum at the answer's"),
    OPT_REAL("lambda", "0", "L", 0, 1, CLI_KEY, "gae, fg 0.95, renorm 1; 0 = that"),
    OPT_PATH("critic", "", CLI_NOTE,
             "gae, renorm, fg: the model under the value head; empty = the policy as it starts"),
    OPT_REAL("critic-lr", "0", "LR", 0, 1, CLI_KEY, "its learning rate, 0 = 5 times --lr"),
    OPT_INT("critic-warmup", "0", "STEPS", 0, 1e9, CLI_KEY, "steps in which it learns alone"),
    OPT_REAL("clip-value", "0.2", "E", 0, 1000, CLI_KEY, "values' clip around the old; 0 = off"),
    OPT_INT("lora-rank", "0", "RANK", 0, 4096, CLI_KEY,
            "train adapters of this rank on the file's weights as they are, 0 = all weights"),
    OPT_REAL("lora-alpha", "0", "ALPHA", 0, 1e6, CLI_KEY, "scale is ALPHA / RANK, 0 = 2 RANK"),
    OPT_STR("lora-targets", "attn_q,attn_v", "LIST", CLI_KEY,
            "tensors with adapters, as GGUF names them, or all"),
    OPT_PATH("lora-out", "", CLI_NOTE, "also write the adapters alone, for libllama's --lora"),
    OPT_CHOICE("min-variant", "paper", "paper|code_verl|code_token|code_step", CLI_KEY,
               "min_form: which arithmetic"),
    OPT_CHOICE("min-credit", "soft", "soft|sum|strict|tokens", CLI_KEY,
               "min_form: soft minimum, plain sum, ..."),
    OPT_REAL("alpha", "0", "A", 0, 1000, CLI_KEY,
             "pav 3, oprl 1, thought 1: weight of the process; 0 = that"),
    OPT_REAL("pass-low", "0", "RATE", 0, 1, CLI_KEY, "groups below this pass rate are left out"),
    OPT_REAL("pass-high", "1", "RATE", 0, 1, CLI_KEY, "groups above this pass rate are left out"),
    OPT_BOOL("keep-flat", "false", CLI_KEY, "also groups whose rewards are all equal"),
    OPT_INT("waves", "1", "N", 1, 1000, CLI_KEY,
            "ask more problems while groups are missing, at most so many times (dynamic sampling)"),
    OPT_INT("prof-keep", "0", "N", 0, 1024, CLI_KEY,
            "keep so many answers of a group: right ones with the best steps, wrong ones with the "
            "worst"),
    OPT_BOOL("prof-positive", "false", CLI_KEY, "rank right answers only"),
    OPT_NAMES("overlong", "mask", rung_rl_overlong_name, CLI_KEY,
              "answers at the length limit: mask, drop, penalty, soft or keep"),
    OPT_INT("overlong-cache", "0", "TOKENS", 0, 1e6, CLI_KEY,
            "overlong soft: where it begins; 0 = a fifth"),
    OPT_INT("epochs", "1", "N", 1, 1000, CLI_KEY, "inner epochs over a batch"),
    OPT_INT("minibatches", "1", "N", 1, 10000, CLI_KEY, "updates an epoch"),
    OPT_INT("push-every", "1", "STEPS", 1, 10000, CLI_KEY, "steps between pushes of new weights"),
    OPT_INT("max-stale", "1", "STEPS", 1, 10000, CLI_KEY, "steps that answers may lie behind"),
    OPT_CHOICE("sampler-type", "f16", "f32|f16|bf16|q8_0", CLI_KEY, "of the sampler's weights"),
    OPT_REAL("lr", "0.0003", "LR", 0, 1, CLI_KEY,
             "learning rate, constant after the warm-up; with adapters rather 2e-5 to 1e-4"),
    OPT_INT("warmup", "0", "STEPS", 0, 1e9, CLI_KEY, "updates until the whole learning rate"),
    OPT_REAL("weight-decay", "0", "W", 0, 10, CLI_KEY, "AdamW's"),
    OPT_REAL("clip", "1", "NORM", 0, 1e9, CLI_KEY, "largest gradient norm, 0 = off"),
    OPT_INT("rows", "8", "ROWS", 1, 4096, CLI_KEY, "rows of a micro-batch"),
    OPT_INT("row-tokens", "256", "TOKENS", 8, 65536, CLI_KEY,
            "tokens of a row: prompt and answer fit"),
    OPT_STR("system", "", "TEXT", CLI_KEY, "system message"),
    OPT_STR("suffix", "", "TEXT", CLI_KEY, "text after the question"),
    OPT_STR("stop", "", "TEXT", CLI_KEY, "an answer also ends after this text"),
    OPT_STR("split-steps", "", "HOW", CLI_KEY,
            "line, blank, step, given or delimiter:TEXT; empty = by world"),
    OPT_BOOL("exact", "false", CLI_KEY, "the sampler's exact mode: same seed, same bits"),
    OPT_SEED,
    OPT_CHOICE(
        "on-alarm", "continue", "continue|pause|rollback", CLI_FREE,
        "an alarm: tell it, stop (resumable), or back to a good checkpoint with other draws"),
    OPT_BOOL("keep-traces", "true", CLI_FREE, "every answer into the store, generator policy@STEP"),
    OPT_PATH("checkpoint", "", CLI_FREE, "empty = beside --out, removed at the end"),
    OPT_INT("checkpoint-every", "10", "STEPS", 1, 1e9, CLI_FREE, "steps between checkpoints"),
    OPT_PATH("tensorboard", "", CLI_FREE, "curves also as TensorBoard event files in this folder"),
    OPT_NAME,
};
const cli_group cli_rl_train_group = CLI_GROUP_OF("reinforcing", train_opts);

typedef struct rl_job {
    cli_call *c;
    rung_run run;
    rung_curve *curve;
} rl_job;

static void on_metric(void *ud, int64_t step, const char *name, double value) {
    rl_job *j = ud;
    if (!name)
        (void)rung_curve_flush(j->curve, NULL);
    else
        rung_curve_put(j->curve, step, name, value);
}

static int word_at(const char *word, const char *choices) {
    int at = 0;
    size_t n = strlen(word);
    for (const char *p = choices; *p; at++) {
        size_t len = strcspn(p, "|");
        if (len == n && memcmp(p, word, n) == 0) return at;
        p += len + (p[len] == '|');
    }
    return 0;
}

static int name_at(const char *word, const char *(*names)(size_t)) {
    for (size_t i = 0; names(i); i++)
        if (strcmp(names(i), word) == 0) return (int)i;
    return 0;
}

/* 0 in the options means their default, so 0 as a wish is a number too small to act. */
static double or_tiny(double x) {
    return x == 0 ? 1e-12 : x;
}

static void fill_loss(rung_rl_opts *o, const cli_call *c) {
    static const rung_loss_id value[] = {RUNG_LOSS_KL_K1,  RUNG_LOSS_KL_K2, RUNG_LOSS_KL_K3,
                                         RUNG_LOSS_KL_ABS, RUNG_LOSS_KL_K1, RUNG_LOSS_KL_K3};
    int kl = word_at(cli_str(c, "kl-estimator"), "k1|k2|k3|abs|k1+|k3+");
    o->estimator = cli_str(c, "estimator");
    o->loss = cli_str(c, "loss");
    o->aggregation = cli_str(c, "aggregation");
    o->loss_opts.clip_low = or_tiny(cli_real(c, "clip-low"));
    o->loss_opts.clip_high = or_tiny(cli_real(c, "clip-high"));
    o->loss_opts.clip_dual = cli_real(c, "clip-dual");
    o->loss_opts.clip_sampler = cli_real(c, "clip-sampler");
    o->loss_opts.kl_coef = cli_real(c, "kl");
    o->loss_opts.kl_value = value[kl];
    o->loss_opts.kl = kl >= 4 ? RUNG_LOSS_KL_K2 : value[kl];
    o->kl_exact = cli_real(c, "kl-exact");
    o->entropy_coef = cli_real(c, "entropy");
    o->credit.kl_coef = cli_real(c, "kl-reward");
    /* --kl has a default; a KL asked for elsewhere takes its place, both asked for is an error */
    if ((o->credit.kl_coef > 0 || o->kl_exact > 0) && !cli_is_set(c, "kl"))
        o->loss_opts.kl_coef = 0;
    o->credit.gamma = or_tiny(cli_real(c, "gamma"));
    o->credit.alpha = cli_real(c, "alpha");
    o->credit.min_variant = (rung_min_variant)word_at(cli_str(c, "min-variant"),
                                                      "paper|code_verl|code_token|code_step");
    o->credit.min_credit =
        (rung_min_credit)word_at(cli_str(c, "min-credit"), "soft|sum|strict|tokens");
    o->adamw.lr = cli_real(c, "lr");
    o->adamw.weight_decay = cli_real(c, "weight-decay");
    o->adamw.clip = cli_real(c, "clip");
}

static void fill_nets(rung_rl_opts *o, const cli_call *c) {
    double clip = cli_real(c, "clip-value");
    o->implicit_frozen = strcmp(cli_str(c, "reward-update"), "frozen") == 0;
    o->implicit_update_first = strcmp(cli_str(c, "reward-order"), "before") == 0;
    o->implicit_rolling = strcmp(cli_str(c, "reward-reference"), "old") == 0;
    o->implicit_loss =
        strcmp(cli_str(c, "reward-loss"), "dpo") == 0 ? RUNG_RL_IMPLICIT_DPO : RUNG_RL_IMPLICIT_CE;
    o->implicit_beta = cli_real(c, "reward-beta");
    o->implicit_lr = cli_real(c, "reward-lr");
    o->step_weight = or_tiny(cli_real(c, "step-weight"));
    o->steps_at_end = strcmp(cli_str(c, "density"), "answer") == 0;
    o->credit.lambda = cli_real(c, "lambda");
    o->critic = cli_str(c, "critic");
    o->critic_lr = cli_real(c, "critic-lr");
    o->critic_warmup = cli_int(c, "critic-warmup");
    o->clip_value = clip == 0 ? -1 : clip;
    o->lora_rank = (int32_t)cli_int(c, "lora-rank");
    o->lora_alpha = cli_real(c, "lora-alpha");
    o->lora_targets = cli_str(c, "lora-targets");
    o->lora_out = cli_str(c, "lora-out");
}

static void fill_sampling(rung_rl_opts *o, const cli_call *c) {
    o->policy = cli_str(c, "policy");
    o->reference = cli_str(c, "reference");
    o->out = cli_str(c, "out");
    o->out_type = cli_str(c, "type");
    o->checkpoint_every = cli_int(c, "checkpoint-every");
    o->system = cli_str(c, "system");
    o->suffix = cli_str(c, "suffix");
    o->stop = cli_str(c, "stop");
    o->split_how = cli_str(c, "split-steps");
    o->steps = cli_int(c, "steps");
    o->prompts = (int32_t)cli_int(c, "prompts");
    o->group = (int32_t)cli_int(c, "group");
    o->max_tok = (int32_t)cli_int(c, "max-tokens");
    o->temperature = cli_real(c, "temperature");
    o->source = (rung_rl_source)name_at(cli_str(c, "steps-from"), rung_rl_source_name);
    o->reward = cli_str(c, "reward");
    o->reward_base = cli_str(c, "reward-base");
    o->filter.pass_lo = cli_real(c, "pass-low");
    o->filter.pass_hi = cli_real(c, "pass-high");
    o->filter.keep_flat = cli_flag(c, "keep-flat");
    o->waves = (int32_t)cli_int(c, "waves");
    o->prof_keep = (int32_t)cli_int(c, "prof-keep");
    o->prof_positive = cli_flag(c, "prof-positive");
    o->overlong = (rung_rl_overlong)name_at(cli_str(c, "overlong"), rung_rl_overlong_name);
    o->overlong_cache = (int32_t)cli_int(c, "overlong-cache");
    o->epochs = (int32_t)cli_int(c, "epochs");
    o->minibatches = (int32_t)cli_int(c, "minibatches");
    o->push_every = (int32_t)cli_int(c, "push-every");
    o->max_stale = (int32_t)cli_int(c, "max-stale");
    o->sampler_type = cli_str(c, "sampler-type");
    o->warmup = cli_int(c, "warmup");
    o->rows = (int32_t)cli_int(c, "rows");
    o->row_tok = (int32_t)cli_int(c, "row-tokens");
    o->exact = cli_flag(c, "exact");
    o->seed = (uint64_t)cli_int(c, "seed");
    o->watch_action = cli_str(c, "on-alarm");
    o->keep_traces = cli_flag(c, "keep-traces");
    o->n_threads = c->app->threads;
}

static rung_status report(rl_job *j, const rung_rl_opts *o, const rung_rl_report *r, double t0,
                          rung_error *err) {
    cli_call *c = j->c;
    c->tokens = r->n_tok;
    rung_buf_printf(
        &c->summary,
        "%s: %lld steps, %lld answers, reward %.3f at first, %.3f at last; KL %.3g nats; "
        "weights into the sampler %.1f ms; |ln p trainer - sampler| %.2g; %lld alarms; "
        "%.0f s",
        o->out ? o->out : "nothing written", (long long)r->steps, (long long)r->n_answers,
        r->reward_first, r->reward_last, r->kl_last, r->push_ms, r->sampler_gap,
        (long long)r->n_alarms, rung_now() - t0);
    cli_result_open(c, &j->run);
    cli_result_str(c, "out", o->out ? o->out : "");
    cli_result_int(c, "steps", r->steps);
    cli_result_int(c, "n_answers", r->n_answers);
    cli_result_int(c, "n_groups_dropped", r->n_groups_dropped);
    cli_result_int(c, "n_alarms", r->n_alarms);
    cli_result_int(c, "n_rollbacks", r->n_rollbacks);
    cli_result_real(c, "reward_first", r->reward_first);
    cli_result_real(c, "reward_last", r->reward_last);
    cli_result_real(c, "kl_last", r->kl_last);
    cli_result_real(c, "push_ms", r->push_ms);
    cli_result_real(c, "sampler_gap", r->sampler_gap);
    cli_result_close(c, t0);
    return cli_run_end(c, &j->run, "rl.train", t0, err);
}

/* The same training has already written this file? */
static rung_status extra_hash(char both[144], const rung_rl_opts *o, rung_error *err) {
    char a[33], b[33] = "", d[33] = "", e[33] = "";
    RUNG_TRY(rung_hash_file(a, o->policy, err));
    if (o->reference) RUNG_TRY(rung_hash_file(b, o->reference, err));
    if (o->reward) RUNG_TRY(rung_hash_file(d, o->reward, err));
    if (o->critic) RUNG_TRY(rung_hash_file(e, o->critic, err));
    snprintf(both, 144, "%s.%s.%s.%s", a, b, d, e);
    return RUNG_OK;
}

rung_status cli_rl_train(cli_call *c, rung_error *err) {
    rung_rl_opts o = RUNG_RL_OPTS_INIT;
    rung_rl_report r;
    rung_store *store = NULL;
    rl_job j = {.c = c};
    char both[144], checkpoint[4096];
    double t0 = rung_now();
    RUNG_TRY(cli_need(c, "policy", "--policy models/tiny.gguf", err));
    RUNG_TRY(cli_need(c, "out", "--out reinforced.gguf", err));
    fill_sampling(&o, c);
    fill_loss(&o, c);
    fill_nets(&o, c);
    o.checkpoint = checkpoint; /* its name depends on the run's */
    RUNG_TRY(rung_rl_check(&o, err));
    RUNG_TRY(cli_can_write(o.out, err));
    RUNG_TRY(cli_store(&store, c, 0, err));
    RUNG_TRY(cli_filter(&o.problems, c, store, err));
    RUNG_TRY(extra_hash(both, &o, err));
    RUNG_TRY(cli_run_begin(&j.run, c, both, err));
    snprintf(checkpoint, sizeof checkpoint, "%.4000s.%.8s.ckpt", o.out, j.run.config_hash);
    o.checkpoint = cli_str(c, "checkpoint") ? cli_str(c, "checkpoint") : checkpoint;
    if (j.run.finished_ms != 0 && access(o.out, R_OK) == 0) {
        rung_buf_printf(&c->summary, "%s is there, from this very training", o.out);
        cli_result_open(c, &j.run);
        cli_result_str(c, "out", o.out);
        cli_result_close(c, 0);
        return RUNG_OK;
    }
    o.on_metric = on_metric;
    o.metric_ud = &j;
    RUNG_TRY(
        rung_curve_open(&j.curve, store, j.run.id, cli_str(c, "tensorboard"), &c->app->log, err));
    rung_status st = rung_rl_train(&r, store, j.run.id, &o, &c->app->log, err);
    rung_error lost = RUNG_ERROR_INIT;
    if (rung_curve_close(j.curve, &lost) != RUNG_OK)
        rung_event(&c->app->log, RUNG_WARN, "rl.metric_lost", RUNG_S("why", lost.what));
    if (st != RUNG_OK) return st;
    if (r.paused) {
        rung_fail(err, RUNG_E_CANCELLED, "stopped at step %lld by an alarm", (long long)r.steps);
        return rung_error_hint(err, "the same command with --on-alarm continue goes on from there");
    }
    if (!cli_str(c, "checkpoint")) rung_rl_remove_checkpoint(o.checkpoint);
    return report(&j, &o, &r, t0, err);
}
