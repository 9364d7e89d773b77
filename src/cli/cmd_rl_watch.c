/* rung rl watch | config: alarms on a run's log, ours or another trainer's; a configuration of
 * verl's. */
#include "base/json.h"
#include "cli/session.h"
#include "rung/rl.h"

#include <math.h>
#include <string.h>

/* rl watch ---------------------------------------------------------------------------------------
 */

static const cli_opt watch_opts[] = {
    OPT_PATH("file", "", CLI_FREE, "JSON lines of a run, a row a step; - = standard input"),
    OPT_INT("window", "10", "ROWS", 2, 32, CLI_FREE,
            "rows of a mean; the first ones are the start"),
    OPT_REAL("kl-max", "10", "NATS", 0, 1e9, CLI_FREE, "of KL to the reference, per sequence"),
    OPT_REAL("drop", "0.02", "SHARE", 0, 1, CLI_FREE,
             "accuracy lost before reward hacking is told"),
    OPT_STR("reward-key", "", "KEY", CLI_FREE,
            "what is optimised; empty = as rung, TRL, verl call it"),
    OPT_STR("verifier-key", "", "KEY", CLI_FREE, "share of right answers; empty = as they call it"),
};
const cli_group cli_rl_watch_group = CLI_GROUP_OF("watching", watch_opts);

/* What rung, TRL and verl call each series. */
static double series_of(yyjson_val *row, const char *own, const char *const *names) {
    yyjson_val *v = own && own[0] ? yyjson_obj_get(row, own) : NULL;
    for (int i = 0; !v && names[i]; i++) v = yyjson_obj_get(row, names[i]);
    return v && yyjson_is_num(v) ? yyjson_get_num(v) : (double)NAN;
}

static rung_watch_row watch_row(const cli_call *c, yyjson_val *v, int64_t step) {
    static const char *const reward[] = {"critic/rewards/mean", "reward", NULL};
    static const char *const verifier[] = {"critic/score/mean", "val-core/acc", "accuracy", NULL};
    static const char *const kl[] = {"kl", "actor/kl_loss", "objective/kl", NULL};
    static const char *const entropy[] = {"entropy", "actor/entropy", NULL};
    static const char *const length[] = {"response_length/mean", "completions/mean_length", NULL};
    static const char *const steps[] = {"completions/steps", NULL};
    static const char *const repeats[] = {"completions/repeats", NULL};
    static const char *const undivided[] = {"completions/undivided", NULL};
    static const char *const flat[] = {"frac_reward_zero_std", NULL};
    static const char *const agreement[] = {"rewards/step/agreement", NULL};
    static const char *const grad[] = {"train/grad_norm", "actor/grad_norm", "grad_norm", NULL};
    return (rung_watch_row){.step = step,
                            .reward = series_of(v, cli_str(c, "reward-key"), reward),
                            .verifier = series_of(v, cli_str(c, "verifier-key"), verifier),
                            .kl = series_of(v, NULL, kl),
                            .entropy = series_of(v, NULL, entropy),
                            .length = series_of(v, NULL, length),
                            .steps = series_of(v, NULL, steps),
                            .repeats = series_of(v, NULL, repeats),
                            .undivided = series_of(v, NULL, undivided),
                            .flat = series_of(v, NULL, flat),
                            .agreement = series_of(v, NULL, agreement),
                            .grad_norm = series_of(v, NULL, grad)};
}

static rung_status tell_alarms(cli_call *c, char *say, int64_t step, uint32_t bits,
                               rung_error *err) {
    if (!c->app->json) return cli_out(c->app, say, strlen(say), err);
    for (int a = 0; a < RUNG_ALARM_COUNT; a++) {
        if (!(bits & (1u << a))) continue;
        RUNG_TRY(cli_outf(c->app, err, "{\"v\":1,\"alarm\":\"%s\",\"step\":%lld,\"help\":\"%s\"}\n",
                          rung_alarm_name((rung_alarm)a), (long long)step,
                          rung_alarm_help((rung_alarm)a)));
    }
    return RUNG_OK;
}

rung_status cli_rl_watch(cli_call *c, rung_error *err) {
    rung_watch_opts o = RUNG_WATCH_OPTS_INIT;
    rung_watch w = {0};
    rung_jsonl *r = NULL;
    yyjson_val *row;
    rung_status st;
    int64_t n = 0, n_alarms = 0;
    char say[4096];
    o.window = (int32_t)cli_int(c, "window");
    o.kl_max = cli_real(c, "kl-max");
    o.drop = cli_real(c, "drop");
    RUNG_TRY(rung_jsonl_open(&r, cli_str(c, "file"), 0, err));
    while ((st = rung_jsonl_next(&row, r, err)) == RUNG_OK) {
        int64_t step = rung_json_i64(row, "step", rung_json_i64(row, "train/global_step", n + 1));
        rung_watch_row x = watch_row(c, row, step);
        uint32_t bits = rung_watch_put(&w, say, sizeof say, &x, &o);
        n++;
        n_alarms += __builtin_popcount(bits);
        if (bits && (st = tell_alarms(c, say, step, bits, err)) != RUNG_OK) break;
    }
    rung_jsonl_close(r);
    if (st != RUNG_DONE) return st;
    rung_buf_printf(&c->summary, "%lld steps, %lld alarms", (long long)n, (long long)n_alarms);
    cli_result_open(c, NULL);
    cli_result_int(c, "steps", n);
    cli_result_int(c, "n_alarms", n_alarms);
    cli_result_close(c, 0);
    return RUNG_OK;
}

/* rl config --------------------------------------------------------------------------------------
 */

static const cli_opt config_opts[] = {
    OPT_PATH("from-verl", "", CLI_FREE, "verl's configuration, YAML"),
};
const cli_group cli_rl_config_group = CLI_GROUP_OF("config", config_opts);

rung_status cli_rl_config(cli_call *c, rung_error *err) {
    rung_buf ours, lost;
    RUNG_TRY(cli_need(c, "from-verl", "rl config --from-verl ppo_trainer.yaml > rung.conf", err));
    rung_buf_init(&ours, 1u << 20);
    rung_buf_init(&lost, 1u << 20);
    rung_status st = rung_rl_from_verl(&ours, &lost, cli_str(c, "from-verl"), err);
    if (st == RUNG_OK && ours.n) st = cli_out(c->app, ours.data, ours.n, err);
    if (st == RUNG_OK && lost.n) st = cli_out(c->app, lost.data, lost.n, err);
    rung_buf_clear(&ours);
    rung_buf_clear(&lost);
    return st;
}
