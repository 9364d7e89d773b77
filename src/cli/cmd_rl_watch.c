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

/* What rung (its curves, its events), TRL and verl call each series. PREFIX*INFIX stands for the
 * first key that begins with one and holds the other: names that hold a function's or a data set's.
 */
static bool is_like(const char *key, const char *pattern, size_t n_prefix) {
    return strncmp(key, pattern, n_prefix) == 0 && strstr(key + n_prefix, pattern + n_prefix + 1);
}

static yyjson_val *find_like(yyjson_val *row, const char *pattern) {
    const char *star = strchr(pattern, '*');
    size_t i, n;
    yyjson_val *k, *v;
    if (!star) return yyjson_obj_get(row, pattern);
    yyjson_obj_foreach(row, i, n, k, v) {
        if (is_like(yyjson_get_str(k), pattern, (size_t)(star - pattern))) return v;
    }
    return NULL;
}

static double series_of(yyjson_val *row, const char *own, const char *const *names) {
    yyjson_val *v = own && own[0] ? yyjson_obj_get(row, own) : NULL;
    for (int i = 0; !v && names[i]; i++) v = find_like(row, names[i]);
    return v && yyjson_is_num(v) ? yyjson_get_num(v) : (double)NAN;
}

static rung_watch_row watch_row(const cli_call *c, yyjson_val *v, int64_t step) {
    static const char *const reward[] = {"critic/rewards/mean", "reward", NULL};
    static const char *const verifier[] = {"critic/score/mean", "accuracy", "val-core/*/acc/",
                                           "rewards/*accuracy", NULL};
    static const char *const kl[] = {"kl", "actor/kl_loss", "objective/kl", NULL};
    static const char *const entropy[] = {"entropy", "actor/entropy", NULL};
    static const char *const length[] = {"response_length/mean", "completions/mean_length",
                                         "length", NULL};
    static const char *const steps[] = {"completions/steps", "steps", NULL};
    static const char *const repeats[] = {"completions/repeats", "repeats", NULL};
    static const char *const undivided[] = {"completions/undivided", "undivided", NULL};
    static const char *const flat[] = {"frac_reward_zero_std", "flat", NULL};
    static const char *const agreement[] = {"rewards/step/agreement", "agreement", NULL};
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

/* Something that this watches is in the row; summaries and other events have nothing. */
static bool has_series(const rung_watch_row *x) {
    const double v[] = {x->reward, x->verifier, x->kl, x->entropy, x->length, x->grad_norm};
    bool any = false;
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++) any = any || !isnan(v[i]);
    return any;
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

typedef struct watching {
    cli_call *c;
    rung_watch w;
    rung_watch_opts o;
    int64_t n, n_alarms;
} watching;

static rung_status watch_one(watching *k, yyjson_val *row, rung_error *err) {
    char say[4096];
    yyjson_val *data = yyjson_obj_get(row, "data"); /* verl's file logger: {"step", "data"} */
    int64_t step = rung_json_i64(row, "step", rung_json_i64(row, "train/global_step", k->n + 1));
    if (yyjson_is_obj(data)) row = data;
    step = rung_json_i64(row, "training/global_step", step);
    rung_watch_row x = watch_row(k->c, row, step);
    if (!has_series(&x)) return RUNG_OK;
    uint32_t bits = rung_watch_put(&k->w, say, sizeof say, &x, &k->o);
    k->n++;
    k->n_alarms += __builtin_popcount(bits);
    return bits ? tell_alarms(k->c, say, step, bits, err) : RUNG_OK;
}

/* A row, or a document that holds them: trainer_state.json of transformers and TRL. */
static rung_status watch_line(watching *k, yyjson_val *row, rung_error *err) {
    yyjson_val *all = yyjson_obj_get(row, "log_history"), *v;
    size_t i, n;
    if (!yyjson_is_arr(all)) return watch_one(k, row, err);
    yyjson_arr_foreach(all, i, n, v) {
        RUNG_TRY(watch_one(k, v, err));
    }
    return RUNG_OK;
}

rung_status cli_rl_watch(cli_call *c, rung_error *err) {
    watching k = {.c = c, .o = RUNG_WATCH_OPTS_INIT};
    rung_jsonl *r = NULL;
    yyjson_val *row;
    rung_status st;
    k.o.window = (int32_t)cli_int(c, "window");
    k.o.kl_max = cli_real(c, "kl-max");
    k.o.drop = cli_real(c, "drop");
    RUNG_TRY(rung_jsonl_open(&r, cli_str(c, "file"), 0, err));
    while ((st = rung_jsonl_next(&row, r, err)) == RUNG_OK) {
        st = watch_line(&k, row, err);
        if (st != RUNG_OK) break;
    }
    rung_jsonl_close(r);
    if (st != RUNG_DONE) return st;
    if (k.n == 0) {
        rung_fail(err, RUNG_E_INVAL,
                  "\"%s\" has nothing to watch: no reward, accuracy, kl, entropy",
                  cli_str(c, "file"));
        return rung_error_hint(err,
                               "JSON lines, a row a step, keys as rung, TRL or verl call them; "
                               "others by --reward-key, --verifier-key");
    }
    rung_buf_printf(&c->summary, "%lld steps, %lld alarm%s", (long long)k.n, (long long)k.n_alarms,
                    k.n_alarms == 1 ? "" : "s");
    cli_result_open(c, NULL);
    cli_result_int(c, "steps", k.n);
    cli_result_int(c, "n_alarms", k.n_alarms);
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
