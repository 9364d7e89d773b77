/* rung label judge | human | tool */
#include "cli/label_common.h"
#include "rung/step.h"
#include <string.h>

static const char *prompt_at(size_t i) {
    const rung_judge_prompt *p = rung_judge_prompt_at(i);
    return p ? p->name : NULL;
}

static const cli_opt judge_opts[] = {
    OPT_NAMES(
        "prompt", "processbench", prompt_at, CLI_KEY,
        "what the judge is asked: processbench (index in a box) or consensus (an analysis per "
        "paragraph, then a conclusion)"),
    OPT_INT("votes", "1", "N", 1, 10000, CLI_KEY,
            "replies per trace; several need a temperature above 0"),
    OPT_INT("traces-per-problem", "0", "N", 0, CLI_INT_MAX, CLI_KEY,
            "judge only the first, 0 = all"),
    OPT_NAME,
};
const cli_group cli_label_judge_group = CLI_GROUP_OF("the judge", judge_opts);

rung_status cli_label_judge(cli_call *c, rung_error *err) {
    rung_judge_opts o = RUNG_JUDGE_OPTS_INIT;
    rung_judge_report z = {0};
    rung_store *s;
    cli_engine e = {0};
    rung_run run = {0};
    double t0 = rung_now();
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    RUNG_TRY(cli_need(c, "run", "--run names the run whose traces are judged", err));
    RUNG_TRY(cli_filter(&o.traces, c, s, err));
    RUNG_TRY(cli_sampling(&o.sampling, c, err));
    RUNG_TRY(cli_engine_open(&e, c, err));
    o.prompt = cli_str(c, "prompt");
    o.votes = (int32_t)cli_int(c, "votes");
    o.max_tok = (int32_t)cli_int(c, "max-tokens");
    o.seed = (uint64_t)cli_int(c, "seed");
    o.system = cli_str(c, "system");
    o.labeler = e.name;
    o.traces_per_problem = (int32_t)cli_int(c, "traces-per-problem");
    rung_status st = cli_run_begin(&run, c, e.hash, err);
    if (st == RUNG_OK) st = rung_label_judge(&z, s, e.engine, run.id, &o, &c->app->log, err);
    if (st == RUNG_OK)
        cli_say(c->app, "%lld traces, %lld replies, %lld of them unparsed", (long long)z.n_traces,
                (long long)z.n_replies, (long long)z.n_unparsed);
    return cli_label_end(c, &e, &run, &o.traces, "judge", t0, st, err);
}

static const cli_opt human_opts[] = {
    OPT_PATH("file", "", CLI_KEY,
             "JSON lines: trace (or set, key, i) and first_error or labels; - = standard input"),
    OPT_STR("labeler", "human", "NAME", CLI_KEY, "who marked, where a row does not say"),
    OPT_NAME,
};
const cli_group cli_label_human_group = CLI_GROUP_OF("marks", human_opts);

rung_status cli_label_human(cli_call *c, rung_error *err) {
    rung_store *s;
    rung_run run;
    rung_filter f;
    rung_human_report z;
    char hash[33] = "stdin";
    double t0 = rung_now();
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    RUNG_TRY(cli_filter(&f, c, s, err));
    if (strcmp(cli_str(c, "file"), "-") != 0)
        RUNG_TRY(rung_hash_file(hash, cli_str(c, "file"), err));
    RUNG_TRY(cli_run_begin(&run, c, hash, err));
    RUNG_TRY(rung_label_human(&z, s, run.id, cli_str(c, "file"), cli_str(c, "labeler"), &f,
                              &c->app->log, err));
    RUNG_TRY(cli_run_end(c, &run, NULL, t0, err));
    rung_buf_printf(&c->summary, "%lld rows, %lld rejected; %lld traces, %lld labels, %lld new",
                    (long long)z.n_rows, (long long)z.n_rejected, (long long)z.n_traces,
                    (long long)z.n_labels, (long long)z.n_new);
    cli_result_open(c, &run);
    cli_result_int(c, "n_rows", z.n_rows);
    cli_result_int(c, "n_rejected", z.n_rejected);
    cli_result_int(c, "n_traces", z.n_traces);
    cli_result_int(c, "n_labels", z.n_labels);
    cli_result_close(c, t0);
    return RUNG_OK;
}

static const char *verifier_at(size_t i) {
    const rung_step_verifier *v = rung_step_verifier_at(i);
    return v ? v->name : NULL;
}

static const cli_opt tool_opts[] = {
    OPT_NAMES("verifier", "step", verifier_at, CLI_KEY, "who checks the steps"),
    OPT_BOOL("strict", "false", CLI_KEY, "= means equal: what only holds rounded is wrong"),
    OPT_NAME,
};
const cli_group cli_label_tool_group = CLI_GROUP_OF("the tool", tool_opts);

rung_status cli_label_tool(cli_call *c, rung_error *err) {
    rung_store *s;
    rung_run run;
    rung_filter f;
    rung_tool_report z;
    double t0 = rung_now();
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    RUNG_TRY(cli_filter(&f, c, s, err));
    const rung_step_verifier *v = rung_step_verifier_find(cli_str(c, "verifier"));
    RUNG_TRY(cli_run_begin(&run, c, v ? v->version : NULL, err));
    RUNG_TRY(rung_label_tool(&z, s, run.id, cli_str(c, "verifier"), cli_flag(c, "strict"), &f,
                             &c->app->log, err));
    RUNG_TRY(cli_run_end(c, &run, NULL, t0, err));
    rung_buf_printf(&c->summary, "%lld traces: %lld steps right, %lld wrong, %lld undecided",
                    (long long)z.n_traces, (long long)z.n_right, (long long)z.n_wrong,
                    (long long)z.n_unknown);
    cli_result_open(c, &run);
    cli_result_str(c, "source", v ? v->source : "");
    cli_result_int(c, "n_traces", z.n_traces);
    cli_result_int(c, "n_hard_1", z.n_right);
    cli_result_int(c, "n_hard_0", z.n_wrong);
    cli_result_int(c, "n_unknown", z.n_unknown);
    cli_result_close(c, t0);
    return RUNG_OK;
}
