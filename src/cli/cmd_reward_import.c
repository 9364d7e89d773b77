/* rung reward import: a published head beside its model */
#include "cli/session.h"
#include "rung/reward.h"

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
