/* rung label mc | binary | relative: the labelers that rest on rollouts, and their options. */
#include "cli/label_common.h"
#include <stdio.h>
#include <string.h>

static const char *stopping_at(size_t i) {
    return rung_stopping_name((rung_stopping)i);
}

static const cli_opt rollout_opts[] = {
    OPT_INT("k", "8", "ROLLOUTS", 1, 100000, CLI_KEY, "rollouts from each prefix, at most"),
    OPT_NAMES(
        "stopping", "fixed", stopping_at, CLI_KEY,
        "when a prefix has had enough: fixed = all K; exact = when the rest cannot change the "
        "label; confidence = or a bound that holds at every look says so; width = when the "
        "bound is narrow"),
    OPT_REAL("theta", "0", "SHARE", 0, 0.999999, CLI_KEY,
             "a step is right when more than this share of the known outcomes is correct"),
    OPT_REAL("level", "0", "0..1", 0, 0.999999, CLI_KEY,
             "confidence of the bound, 0 = 0.95, label relative 0.8"),
    OPT_REAL(
        "margin", "0", "SHARE", 0, 1, CLI_KEY,
        "stopping confidence: a bound below theta + margin settles \"wrong\"; label relative: how "
        "far below eps a step has surely lost progress, 0 = 5/8 of it"),
    OPT_REAL("width", "0.3", "SHARE", 0.001, 1, CLI_KEY, "stopping width: how narrow"),
    OPT_INT("budget-tokens", "0", "TOKENS", 0, 1e15, CLI_KEY,
            "tokens of all rollouts used, 0 = no limit"),
    OPT_INT("problem-tokens", "0", "TOKENS", 0, 1e15, CLI_KEY,
            "tokens of the rollouts used for a problem, 0 = no limit"),
    OPT_BOOL("allocate", "false", CLI_KEY,
             "the next rollout goes where it is likeliest to change a label, per token"),
    OPT_BOOL("eager", "false", CLI_KEY,
             "a label that is settled cancels its rollouts under way: cheaper, but counts vary"),
    OPT_BOOL("share", "true", CLI_KEY,
             "keep the rollouts where every labeler that samples alike finds them"),
    OPT_INT("traces-per-problem", "0", "N", 0, CLI_INT_MAX, CLI_KEY,
            "label only the first, 0 = all"),
};
const cli_group cli_rollout_group = CLI_GROUP_OF("rollouts", rollout_opts);

rung_status cli_rollout_opts(rung_mc_opts *o, cli_engine *e, cli_call *c, rung_store *s,
                             rung_error *err) {
    RUNG_TRY(cli_need(c, "run", "--run names the sampling run whose steps are labelled", err));
    RUNG_TRY(cli_filter(&o->traces, c, s, err));
    RUNG_TRY(cli_sampling(&o->sampling, c, err));
    RUNG_TRY(cli_engine_open(e, c, err));
    o->k = (int32_t)cli_int(c, "k");
    o->max_tok = (int32_t)cli_int(c, "max-tokens");
    o->seed = (uint64_t)cli_int(c, "seed");
    o->system = cli_str(c, "system");
    o->suffix = cli_str(c, "suffix");
    o->stop = cli_str(c, "stop");
    o->traces_per_problem = (int32_t)cli_int(c, "traces-per-problem");
    o->labeler = e->name;
    rung_stopping_find(&o->stopping, cli_str(c, "stopping"));
    o->theta = cli_real(c, "theta");
    o->level = cli_real(c, "level");
    o->margin = cli_real(c, "margin");
    o->width = cli_real(c, "width");
    o->budget_tok = cli_int(c, "budget-tokens");
    o->problem_tok = cli_int(c, "problem-tokens");
    o->allocate = cli_flag(c, "allocate");
    o->eager = cli_flag(c, "eager");
    return RUNG_OK;
}

/* What decides about a rollout's draws and nothing else: who, how, from which prompt, the seed. */
rung_status cli_rollouts_of(int64_t *run, cli_call *c, const cli_engine *e, rung_error *err) {
    static const char *const names[] = {"api",
                                        "chat-template",
                                        "exact",
                                        "frequency-penalty",
                                        "grammar",
                                        "logit-bias",
                                        "max-tokens",
                                        "min-p",
                                        "penalty-last-n",
                                        "presence-penalty",
                                        "remote-model",
                                        "repeat-penalty",
                                        "stop",
                                        "suffix",
                                        "system",
                                        "temperature",
                                        "temperature-first",
                                        "top-k",
                                        "top-p",
                                        "weights"};
    *run = 0;
    if (!cli_flag(c, "share")) return RUNG_OK;
    rung_buf config;
    rung_buf_init(&config, 1u << 20);
    rung_buf_str(&config, "{\"model\":");
    rung_buf_json_str(&config, e->hash, strlen(e->hash));
    for (size_t i = 0; i < CLI_N(names); i++) {
        const cli_value *v = cli_value_find(c, names[i]);
        if (!v || !*v->text) continue;
        rung_buf_printf(&config, ",\"%s\":", names[i]);
        rung_buf_json_str(&config, v->text, strlen(v->text));
    }
    rung_buf_str(&config, "}");
    rung_status st = rung_buf_check(&config, err);
    rung_run pool = {
        .kind = "rollouts", .config = config.data, .seed = (uint64_t)cli_int(c, "seed")};
    if (st == RUNG_OK) st = rung_run_begin(c->app->store, &pool, err);
    if (st == RUNG_OK && !pool.finished_ms) st = rung_run_finish(c->app->store, pool.id, err);
    *run = pool.id;
    rung_buf_clear(&config);
    return st;
}

rung_status cli_label_end(cli_call *c, cli_engine *e, rung_run *run, const rung_filter *traces,
                          const char *source, double t0, rung_status st, rung_error *err) {
    rung_store *s = c->app->store;
    cli_label_census z;
    rung_engine_stats es;
    cli_engine_stats(c, e);
    if (e->engine) {
        rung_engine_get_stats(&es, e->engine);
        c->tokens = es.n_generated;
    }
    st = cli_ledger_keep(c, e, run, st, err);
    if (st == RUNG_OK) st = rung_run_finish(s, run->id, err);
    if (st == RUNG_OK) st = cli_label_count(&z, s, traces, run->id, source, err);
    if (st == RUNG_OK) {
        cli_label_report(c, &z, run, source);
        if (c->tokens) cli_result_int(c, "tokens", c->tokens);
        if (e->weights[0]) cli_result_str(c, "weights", e->weights);
        cli_ledger_result(c, e);
        cli_result_close(c, t0);
    }
    cli_engine_close(e);
    return st;
}

/* ---- mc */

static const cli_opt mc_opts[] = {
    OPT_BOOL("stop-at-zero", "false", CLI_KEY, "no rollouts after the first step that is wrong"),
    OPT_NAME,
};
const cli_group cli_label_mc_group = CLI_GROUP_OF("labels", mc_opts);

rung_status cli_label_mc(cli_call *c, rung_error *err) {
    rung_mc_opts o = RUNG_MC_OPTS_INIT;
    rung_store *s;
    cli_engine e = {0};
    rung_run run = {0};
    double t0 = rung_now();
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    rung_status st = cli_rollout_opts(&o, &e, c, s, err);
    o.stop_at_zero = cli_flag(c, "stop-at-zero");
    if (st == RUNG_OK) st = cli_run_begin(&run, c, e.hash, err);
    if (st == RUNG_OK) st = cli_rollouts_of(&o.rollouts, c, &e, err);
    if (st == RUNG_OK) st = rung_label_mc(s, e.engine, run.id, &o, &c->app->log, err);
    return cli_label_end(c, &e, &run, &o.traces, "mc", t0, st, err);
}

/* ---- binary */

static const cli_opt binary_opts[] = {
    OPT_REAL("alpha", "0.5", "0..1", 1e-9, 1, CLI_KEY, "weight of a prefix that is likely right"),
    OPT_REAL("beta", "0.9", "0..1", 1e-9, 1, CLI_KEY, "weight of a short rollout"),
    OPT_REAL("length", "500", "TOKENS", 1e-3, 1e9, CLI_KEY, "a rollout this long weighs beta"),
    OPT_REAL("c-puct", "0.125", "C", 0, 1e6, CLI_KEY, "weight of prefixes that were searched less"),
    OPT_INT("searches", "100", "N", 1, CLI_INT_MAX, CLI_KEY, "at most this many per problem"),
    OPT_STR("units", "line", "HOW", CLI_KEY,
            "what a search tells apart: a splitting of steps (line, blank, step, ...) or words:N"),
    OPT_NAME,
};
const cli_group cli_label_binary_group = CLI_GROUP_OF("the tree", binary_opts);

rung_status cli_label_binary(cli_call *c, rung_error *err) {
    rung_binary_opts o = RUNG_BINARY_OPTS_INIT;
    rung_binary_report z = {0};
    rung_store *s;
    cli_engine e = {0};
    rung_run run = {0};
    double t0 = rung_now();
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    rung_status st = cli_rollout_opts(&o.roll, &e, c, s, err);
    o.alpha = cli_real(c, "alpha");
    o.beta = cli_real(c, "beta");
    o.len = cli_real(c, "length");
    o.c_puct = cli_real(c, "c-puct");
    o.limit = (int32_t)cli_int(c, "searches");
    o.units = cli_str(c, "units");
    if (st == RUNG_OK) st = cli_run_begin(&run, c, e.hash, err);
    if (st == RUNG_OK) st = cli_rollouts_of(&o.roll.rollouts, c, &e, err);
    if (st == RUNG_OK) st = rung_label_binary(&z, s, e.engine, run.id, &o, &c->app->log, err);
    if (st == RUNG_OK)
        cli_say(
            c->app,
            "%lld problems, %lld left out (all right or all wrong); %lld searches, %lld prefixes "
            "estimated, %lld found in the tree, %lld searches nobody could decide",
            (long long)z.n_problems, (long long)z.n_skipped, (long long)z.n_searches,
            (long long)z.n_probes, (long long)z.n_reused, (long long)z.n_abandoned);
    rung_filter mine = {.run = run.id};
    return cli_label_end(c, &e, &run, &mine, "binary", t0, st, err);
}

/* ---- relative */

static const cli_opt relative_opts[] = {
    OPT_BOOL("difference", "false", CLI_KEY, "compare by difference, not by ratio"),
    OPT_REAL("eps", "0", "EPS", 0, 2, CLI_KEY,
             "right from this ratio on, or down to this loss; 0 = 0.8, or 0.3 with --difference"),
    OPT_INT("k-hard", "128", "ROLLOUTS", 1, 100000, CLI_KEY, "K where the pass rate is below 0.1"),
    OPT_INT("k-mid", "64", "ROLLOUTS", 1, 100000, CLI_KEY, "K where it is below 0.9"),
    OPT_INT("k-easy", "32", "ROLLOUTS", 1, 100000, CLI_KEY, "K above that"),
    OPT_BOOL("stop-at-zero", "false", CLI_KEY, "no rollouts after the first step that is wrong"),
    OPT_NAME,
};
const cli_group cli_label_relative_group = CLI_GROUP_OF("progress", relative_opts);

rung_status cli_label_relative(cli_call *c, rung_error *err) {
    rung_relative_opts o = RUNG_RELATIVE_OPTS_INIT;
    rung_relative_report z = {0};
    rung_store *s;
    cli_engine e = {0};
    rung_run run = {0};
    double t0 = rung_now();
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    rung_status st = cli_rollout_opts(&o.roll, &e, c, s, err);
    o.difference = cli_flag(c, "difference");
    o.eps = cli_real(c, "eps");
    o.k_hard = (int32_t)cli_int(c, "k-hard");
    o.k_mid = (int32_t)cli_int(c, "k-mid");
    o.k_easy = (int32_t)cli_int(c, "k-easy");
    o.roll.stop_at_zero = cli_flag(c, "stop-at-zero");
    if (st == RUNG_OK) st = cli_run_begin(&run, c, e.hash, err);
    if (st == RUNG_OK) st = cli_rollouts_of(&o.roll.rollouts, c, &e, err);
    if (st == RUNG_OK) st = rung_label_relative(&z, s, e.engine, run.id, &o, &c->app->log, err);
    if (st == RUNG_OK)
        cli_say(c->app, "%lld problems, %lld of them never solved", (long long)z.n_problems,
                (long long)z.n_hopeless);
    return cli_label_end(c, &e, &run, &o.roll.traces, "relative", t0, st, err);
}
