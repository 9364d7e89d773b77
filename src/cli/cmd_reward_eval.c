/* rung reward calibrate | eval: what stored scores mean, and how good they are */
#include "base/json.h"
#include "cli/session.h"
#include "rung/bench.h"
#include "rung/calibrate.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *calibrations(size_t i) {
    return i < RUNG_CALIBRATION_COUNT ? rung_calibration_name((rung_calibration_id)i) : NULL;
}

#define OPT_PROBLEMS                                                                               \
    OPT_CHOICE("problems", "unseen", "unseen|all", CLI_KEY,                                        \
               "unseen: without those that the model was trained on, as its file says")
#define OPT_SEEN_AS                                                                                \
    OPT_STR("format", "", "NAME|FILE", CLI_NOTE,                                                   \
            "how somebody else's model is read; as it was scored"),                                \
        OPT_PATH("reference", "", CLI_NOTE, "log-ratio: the model that the policy began as")

static const cli_opt calibrate_opts[] = {
    OPT_PATH("file", "", CLI_NOTE, "the reward model, whose scores are in the store"),
    OPT_PATH("out", "", CLI_NOTE, "the model with its calibration; may be the file itself"),
    OPT_NAMES("method", "platt", calibrations, CLI_KEY, "the map from scores to probabilities"),
    OPT_BOOL("by-position", "false", CLI_KEY, "a map for each step number with enough labels"),
    OPT_INT("least", "25", "N", 1, 1e6, CLI_KEY, "by position: labels of each class it needs"),
    OPT_STR("source", "truth", "NAME", CLI_KEY, "labels of this source"),
    OPT_STR("label-run", "", "NAME", CLI_KEY, "labels of this run, empty = the newest"),
    OPT_PROBLEMS,
    OPT_SEEN_AS,
    OPT_NAME,
};
const cli_group cli_reward_calibrate_group = CLI_GROUP_OF("calibration", calibrate_opts);

static const cli_opt eval_opts[] = {
    OPT_PATH("file", "", CLI_NOTE,
             "the reward model, whose scores are in the store; \"confidence\" = the policy's own"),
    OPT_STR("source", "truth", "NAME", CLI_KEY, "labels of this source"),
    OPT_STR("label-run", "", "NAME", CLI_KEY, "labels of this run, empty = the newest"),
    OPT_STR(
        "threshold", "model", "TAU", CLI_KEY,
        "a step below it counts as wrong: a number; model = the one in the file, else .5; test = "
        "chosen on the measured traces themselves, and said so"),
    OPT_PROBLEMS,
    OPT_PATH("plot", "", CLI_FREE, "the reliability diagram as an SVG file"),
    OPT_BOOL("raw", "false", CLI_KEY, "the scores without the file's calibration"),
    OPT_INT("boot", "2000", "N", 100, 1e6, CLI_KEY, "bootstrap samples of the intervals"),
    OPT_SEEN_AS,
    OPT_SEED,
    OPT_NAME,
};
const cli_group cli_reward_eval_group = CLI_GROUP_OF("measurement", eval_opts);

/* What the file says; nothing is scored. */
static rung_status open_keys(rung_reward **r, cli_call *c, bool raw, rung_error *err) {
    rung_reward_open_opts o = RUNG_REWARD_OPEN_OPTS_INIT;
    o.format = cli_str(c, "format");
    o.reference = cli_str(c, "reference");
    o.log = &c->app->log;
    o.keys_only = true;
    o.raw = raw;
    return rung_reward_open_as(r, cli_str(c, "file"), &o, err);
}

/* ---- calibrate */

static void figure(cli_call *c, const char *name, const double v[2]) {
    char key[32];
    for (int i = 0; i < 2; i++) {
        snprintf(key, sizeof key, "%s_%s", name, i ? "after" : "before");
        cli_result_real(c, key, v[i]);
    }
}

static void calibrate_result(cli_call *c, const rung_run *run, const rung_calibrate_report *r,
                             double t0) {
    rung_buf_printf(&c->summary,
                    "%s: %s on %lld steps of %lld traces, %lld problems: ECE %.3f -> %.3f, Brier "
                    "%.3f -> %.3f, cross-fitted; threshold %.3f",
                    cli_str(c, "out"), cli_str(c, "method"), (long long)r->n_steps,
                    (long long)r->n_traces, (long long)r->n_problems, r->ece[0], r->ece[1],
                    r->brier[0], r->brier[1], r->threshold);
    if (r->n_left_out)
        rung_buf_printf(&c->summary, "; %lld traces of problems it was trained on left out",
                        (long long)r->n_left_out);
    if (!r->trained_known)
        rung_buf_str(&c->summary, "; its file does NOT name the problems it was trained on");
    cli_result_open(c, run);
    cli_result_str(c, "out", cli_str(c, "out"));
    cli_result_str(c, "method", cli_str(c, "method"));
    cli_result_int(c, "n_steps", r->n_steps);
    cli_result_int(c, "n_traces", r->n_traces);
    cli_result_int(c, "n_problems", r->n_problems);
    cli_result_int(c, "n_left_out", r->n_left_out);
    cli_result_int(c, "n_unscored", r->n_unscored);
    cli_result_int(c, "n_unlabelled", r->n_unlabelled);
    cli_result_str(c, "trained_on_known", r->trained_known ? "yes" : "no");
    cli_result_int(c, "n_maps", r->n_maps);
    cli_result_real(c, "temperature", r->temperature);
    cli_result_real(c, "a", r->a);
    cli_result_real(c, "b", r->b);
    figure(c, "nll", r->nll);
    figure(c, "brier", r->brier);
    figure(c, "ece15", r->ece);
    cli_result_real(c, "threshold", r->threshold);
    cli_result_real(c, "f1_fitted", r->f1);
    cli_result_close(c, t0);
}

rung_status cli_reward_calibrate(cli_call *c, rung_error *err) {
    rung_calibrate_opts o = RUNG_CALIBRATE_OPTS_INIT;
    rung_calibrate_report report;
    rung_reward *r = NULL;
    rung_store *s;
    rung_run run;
    double t0 = rung_now();
    const char *label_run = cli_str(c, "label-run");
    RUNG_TRY(cli_need(c, "out", "--out prm-calibrated.gguf", err));
    RUNG_TRY(cli_need(c, "source", "--source truth", err));
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    RUNG_TRY(cli_filter(&o.traces, c, s, err));
    if (label_run) RUNG_TRY(cli_run_lookup(&o.label_run, c, s, label_run, err));
    RUNG_TRY(cli_can_write(cli_str(c, "out"), err));
    (void)rung_calibration_find(&o.method, cli_str(c, "method"));
    o.by_position = cli_flag(c, "by-position");
    o.least = (int32_t)cli_int(c, "least");
    o.label_source = cli_str(c, "source");
    o.all_problems = strcmp(cli_str(c, "problems"), "all") == 0;
    o.out_path = cli_str(c, "out");
    RUNG_TRY(open_keys(&r, c, true, err));
    rung_status st = cli_run_begin(&run, c, rung_reward_hash(r), err);
    if (st == RUNG_OK) st = rung_reward_calibrate(&report, r, s, &o, &c->app->log, err);
    rung_reward_free(r);
    RUNG_TRY(st);
    calibrate_result(c, &run, &report, t0);
    return cli_run_end(c, &run, "reward.calibrate", t0, err);
}

/* ---- eval */

static bool was_trained_on(void *ud, const rung_problem *p) {
    return rung_reward_trained_on(ud, p) == 1;
}

static rung_status threshold_of(rung_steps_opts *o, cli_call *c, const rung_reward *r,
                                rung_error *err) {
    const char *text = cli_str(c, "threshold");
    char *end = NULL;
    if (!text || strcmp(text, "model") == 0) {
        o->threshold = rung_reward_threshold(r);
        o->threshold_from = "the model's file: chosen with its calibration";
        return RUNG_OK;
    }
    if (strcmp(text, "test") == 0) {
        o->tune_on_test = true;
        return RUNG_OK;
    }
    o->threshold = strtod(text, &end);
    o->threshold_from = "given";
    if (end != text && !*end && isfinite(o->threshold)) return RUNG_OK;
    return rung_fail(err, RUNG_E_INVAL, "--threshold %s is neither a number nor model or test",
                     text);
}

/* A line of the table: value and interval of one member. */
static void figure_row(cli_table *t, const char *what, yyjson_val *o, const char *key) {
    char ci_key[48];
    snprintf(ci_key, sizeof ci_key, "%s_ci95", key);
    yyjson_val *v = yyjson_obj_get(o, key), *ci = yyjson_obj_get(o, ci_key);
    cli_cell(t, "%s", what);
    if (yyjson_is_num(v))
        cli_cell(t, "%.4g", yyjson_get_num(v));
    else
        cli_cell(t, "-");
    if (yyjson_is_num(yyjson_arr_get(ci, 0)))
        cli_cell(t, "%.4g .. %.4g", yyjson_get_num(yyjson_arr_get(ci, 0)),
                 yyjson_get_num(yyjson_arr_get(ci, 1)));
    else
        cli_cell(t, "%s", ci ? "-" : "");
}

static rung_status print_figures(cli_call *c, yyjson_val *o, rung_error *err) {
    static const char *const head[] = {"measure", "value", "95% interval"};
    static const struct {
        const char *what, *key;
        bool first; /* of the first error */
    } row[] = {{"AUROC, steps", "auroc", false},
               {"AP of wrong steps", "ap_wrong", false},
               {"Brier", "brier", false},
               {"Brier skill", "brier_skill", false},
               {"ECE, 15 bins", "ece15", false},
               {"NLL", "nll", false},
               {"AUROC, first wrong step against those before", "auroc", true},
               {"AP of the first wrong step", "ap", true},
               {"first wrong step is the lowest so far", "lowest", true},
               {"AUROC, traces with an error by their least score", "trace_auroc", true},
               {"AP of traces with an error", "trace_ap", true},
               {"erroneous traces, exact step, %", "acc_err", true},
               {"right traces, %", "acc_cor", true},
               {"F1", "f1", true}};
    cli_table t;
    cli_table_init(&t, head, CLI_N(head));
    yyjson_val *first = yyjson_obj_get(o, "first_error");
    for (size_t i = 0; i < CLI_N(row); i++)
        figure_row(&t, row[i].what, row[i].first ? first : o, row[i].key);
    return cli_table_print(&t, c->app, err);
}

static rung_status print_bins(cli_call *c, yyjson_val *o, rung_error *err) {
    static const char *const head[] = {"score", "steps", "mean score", "right", "95% interval", ""};
    static const char bar[] = "########################################";
    cli_table t;
    cli_table_init(&t, head, CLI_N(head));
    yyjson_val *bin;
    size_t i, n;
    yyjson_arr_foreach(yyjson_obj_get(o, "bins"), i, n, bin) {
        yyjson_val *ci = yyjson_obj_get(bin, "ci95");
        double y = rung_json_f64(bin, "y", 0);
        cli_cell(&t, "%.1f-%.1f", rung_json_f64(bin, "lo", 0), rung_json_f64(bin, "hi", 0));
        cli_cell(&t, "%lld", (long long)rung_json_i64(bin, "n", 0));
        cli_cell(&t, "%.3f", rung_json_f64(bin, "p", 0));
        cli_cell(&t, "%.3f", y);
        cli_cell(&t, "%.3f .. %.3f", yyjson_get_num(yyjson_arr_get(ci, 0)),
                 yyjson_get_num(yyjson_arr_get(ci, 1)));
        cli_cell(&t, "%.*s", (int)(y * 40 + 0.5), bar);
    }
    return cli_table_print(&t, c->app, err);
}

static rung_status print_eval(cli_call *c, rung_error *err) {
    yyjson_doc *doc = yyjson_read(c->result.data, c->result.n, 0);
    yyjson_val *o = yyjson_doc_get_root(doc), *first = yyjson_obj_get(o, "first_error");
    rung_status st = print_figures(c, o, err);
    if (st == RUNG_OK) st = cli_outf(c->app, err, "\n");
    if (st == RUNG_OK) st = print_bins(c, o, err);
    rung_buf_printf(
        &c->summary,
        "%lld steps of %lld traces, %lld problems; %lld steps without a score, %lld "
        "without a label, %lld traces of problems it was trained on left out; threshold "
        "%.4g (%s)",
        (long long)rung_json_i64(o, "n_steps", 0), (long long)rung_json_i64(o, "n_traces", 0),
        (long long)rung_json_i64(o, "n_problems", 0), (long long)rung_json_i64(o, "n_unscored", 0),
        (long long)rung_json_i64(o, "n_unlabelled", 0),
        (long long)rung_json_i64(o, "n_left_out", 0),
        rung_json_f64(first, "threshold", (double)NAN), rung_json_str(first, "threshold_from", ""));
    yyjson_doc_free(doc);
    return st;
}

static rung_status measure(cli_call *c, rung_steps_opts *o, rung_reward *r, rung_error *err) {
    char note[200];
    rung_problem any = {.set = "", .key = ""};
    const char *trained = rung_reward_trained_on(r, &any) >= 0 ? "yes" : "no";
    bool raw = cli_flag(c, "raw") || !rung_reward_calibration(r);
    snprintf(note, sizeof note, "\"problems\":\"%s\",\"trained_on_known\":\"%s\",\"calibrated\":%s",
             cli_str(c, "problems"), trained, raw ? "false" : "true");
    o->note = note;
    if (strcmp(cli_str(c, "problems"), "unseen") == 0) {
        o->leave_out = was_trained_on;
        o->ud = r;
    }
    return rung_bench_steps_as(&c->result, c->app->store, o, err);
}

static rung_status plot(cli_call *c, rung_error *err) {
    const char *file = cli_str(c, "file"), *slash = strrchr(file, '/');
    rung_buf svg;
    rung_buf_init(&svg, 1u << 20);
    rung_status st =
        rung_bench_reliability_svg(&svg, c->result.data, slash ? slash + 1 : file, err);
    if (st == RUNG_OK) st = rung_file_write(cli_str(c, "plot"), svg.data, svg.n, err);
    rung_buf_clear(&svg);
    return st;
}

/* The row of its scores; 0 (the policy's own) for "confidence". */
static rung_status scores_of(int64_t *model, cli_call *c, rung_reward *r, rung_error *err) {
    *model = 0;
    if (rung_reward_kind_of(r) == RUNG_REWARD_CONFIDENCE) return RUNG_OK;
    int64_t n = 0;
    RUNG_TRY(rung_reward_register(model, r, c->app->store, err));
    RUNG_TRY(rung_score_count(&n, c->app->store, *model, err));
    if (n > 0) return RUNG_OK;
    rung_fail(err, RUNG_E_NOT_FOUND, "the store holds no scores of %s", cli_str(c, "file"));
    return rung_error_hint(err, "rung reward score puts them there");
}

rung_status cli_reward_eval(cli_call *c, rung_error *err) {
    rung_steps_opts o = RUNG_STEPS_OPTS_INIT;
    rung_reward *r = NULL;
    rung_store *s;
    rung_run run;
    double t0 = rung_now();
    const char *label_run = cli_str(c, "label-run");
    RUNG_TRY(cli_need(c, "source", "--source truth", err));
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    RUNG_TRY(cli_filter(&o.traces, c, s, err));
    if (cli_str(c, "plot")) RUNG_TRY(cli_can_write(cli_str(c, "plot"), err));
    if (label_run) RUNG_TRY(cli_run_lookup(&o.label_run, c, s, label_run, err));
    o.label_source = cli_str(c, "source");
    o.seed = (uint64_t)cli_int(c, "seed");
    o.n_boot = (int32_t)cli_int(c, "boot");
    RUNG_TRY(open_keys(&r, c, cli_flag(c, "raw"), err));
    rung_status st = threshold_of(&o, c, r, err);
    if (st == RUNG_OK) st = scores_of(&o.model, c, r, err);
    if (st == RUNG_OK) st = cli_run_begin(&run, c, rung_reward_hash(r), err);
    if (st == RUNG_OK) st = measure(c, &o, r, err);
    rung_reward_free(r);
    RUNG_TRY(st);
    if (cli_str(c, "plot")) RUNG_TRY(plot(c, err));
    RUNG_TRY(cli_run_end(c, &run, "steps", t0, err));
    return c->app->json ? RUNG_OK : print_eval(c, err);
}
