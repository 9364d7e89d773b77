/* rung reward import: a published head beside its model; rung reward ensemble */
#include "cli/session.h"
#include "rung/ensemble.h"
#include "rung/reward.h"
#include <string.h>

static const cli_opt import_opts[] = {
    OPT_PATH("source", "", CLI_FREE,
             "safetensors: a file, an index of several, or the folder that holds them"),
    OPT_STR("format", "", "NAME|FILE", CLI_FREE,
            "how the model is read: a name that reward show lists, or a YAML file"),
    OPT_PATH("base", "", CLI_FREE, "the model that the head belongs to, a GGUF file"),
    OPT_PATH("out", "", CLI_FREE, "the sidecar to write"),
    OPT_STR("head", "", "NAME[,NAME]", CLI_FREE,
            "the layers' tensors, without .weight and .bias; empty = as the format says"),
};
const cli_group cli_reward_import_group = CLI_GROUP_OF("import", import_opts);

rung_status cli_reward_import(cli_call *c, rung_error *err) {
    rung_reward_import_opts o = RUNG_REWARD_IMPORT_OPTS_INIT;
    rung_reward_import_report r;
    double t0 = rung_now();
    RUNG_TRY(cli_need(c, "format", "--format qwen-math-prm; rung reward show lists them", err));
    RUNG_TRY(cli_need(c, "base", "--base model.gguf: what the head was trained on", err));
    RUNG_TRY(cli_need(c, "out", "--out prm.gguf", err));
    o.source = cli_str(c, "source");
    o.format = cli_str(c, "format");
    o.base_path = cli_str(c, "base");
    o.out_path = cli_str(c, "out");
    o.head = cli_str(c, "head");
    RUNG_TRY(cli_can_write(o.out_path, err));
    RUNG_TRY(rung_reward_import(&r, &o, err));
    if (r.n_hidden)
        rung_buf_printf(&c->summary, "%s: a head of %d inputs, %d hidden units, %d outputs",
                        o.out_path, r.n_in, r.n_hidden, r.n_out);
    else
        rung_buf_printf(&c->summary, "%s: a head of %d inputs, %d outputs", o.out_path, r.n_in,
                        r.n_out);
    cli_result_open(c, NULL);
    cli_result_str(c, "out", o.out_path);
    cli_result_str(c, "format", o.format);
    cli_result_int(c, "n_in", r.n_in);
    cli_result_int(c, "n_hidden", r.n_hidden);
    cli_result_int(c, "n_out", r.n_out);
    cli_result_close(c, t0);
    return RUNG_OK;
}

/* ---- ensemble */

static const char *combines(size_t i) {
    return i < RUNG_COMBINE_COUNT ? rung_combine_name((rung_combine_id)i) : NULL;
}

static const cli_opt ensemble_opts[] = {
    {"member", CLI_LIST, "", "FILE", 0, 0, NULL, CLI_FREE,
     "a reward model, its path from the ensemble's folder, or \"confidence\"; again for each",
     NULL},
    OPT_NAMES("combine", "mean", combines, CLI_FREE, "how the members' scores become one"),
    OPT_NAMES("aggregate", "min", cli_names_aggregates, CLI_FREE,
              "how to make one score of a trace, written into the file"),
    OPT_STR("format", "", "NAME|FILE", CLI_FREE, "of members that do not say how they are read"),
    OPT_PATH("reference", "", CLI_FREE, "of members that are log-ratios: what they began as"),
    OPT_PATH("out", "", CLI_FREE, "the file to write"),
};
const cli_group cli_reward_ensemble_group = CLI_GROUP_OF("ensemble", ensemble_opts);

/* The lines of --member; they live as long as the app's arena. */
static rung_status split_members(const char *member[RUNG_ENSEMBLE_MAX], size_t *n, cli_call *c,
                                 rung_error *err) {
    const char *text = cli_str(c, "member");
    char *copy = rung_arena_strndup(c->app->arena, text, strlen(text));
    if (!copy) return rung_fail(err, RUNG_E_NOMEM, "no memory for the members");
    for (char *p = copy; p && *p; *n += 1) {
        if (*n == RUNG_ENSEMBLE_MAX)
            return rung_fail(err, RUNG_E_INVAL, "more than %d members", RUNG_ENSEMBLE_MAX);
        char *end = strchr(p, '\n');
        if (end) *end = 0;
        member[*n] = p;
        p = end ? end + 1 : NULL;
    }
    return RUNG_OK;
}

rung_status cli_reward_ensemble(cli_call *c, rung_error *err) {
    rung_reward_ensemble_opts o = RUNG_REWARD_ENSEMBLE_OPTS_INIT;
    const char *member[RUNG_ENSEMBLE_MAX];
    double t0 = rung_now();
    RUNG_TRY(cli_need(c, "member", "--member a.gguf --member b.gguf", err));
    RUNG_TRY(cli_need(c, "out", "--out both.gguf", err));
    RUNG_TRY(split_members(member, &o.n_members, c, err));
    RUNG_TRY(cli_can_write(cli_str(c, "out"), err));
    (void)rung_combine_find(&o.combine, cli_str(c, "combine"));
    (void)rung_aggregate_find(&o.aggregate, cli_str(c, "aggregate"));
    o.member = member;
    o.format = cli_str(c, "format");
    o.reference = cli_str(c, "reference");
    o.out_path = cli_str(c, "out");
    o.log = &c->app->log;
    RUNG_TRY(rung_reward_ensemble(&o, err));
    rung_buf_printf(&c->summary, "%s: %s of %zu reward models", o.out_path,
                    rung_combine_name(o.combine), o.n_members);
    cli_result_open(c, NULL);
    cli_result_str(c, "out", o.out_path);
    cli_result_str(c, "combine", rung_combine_name(o.combine));
    cli_result_int(c, "n_members", (int64_t)o.n_members);
    cli_result_close(c, t0);
    return RUNG_OK;
}
