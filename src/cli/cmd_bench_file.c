/* rung bench pool | bias: best-of-N on a file of scored candidates; what it hides. */
#include "base/json.h"
#include "cli/session.h"
#include "rung/bench_file.h"
#include <math.h>
#include <string.h>

static const cli_opt pool_opts[] = {
    OPT_PATH("file", "", CLI_NOTE,
             "JSON lines with problem_id, candidate, answer, correct, step_scores; - = standard "
             "input"),
    OPT_REAL("tau", "0.5", "TAU", 0, 1, CLI_KEY, "a step below it counts as flagged"),
    OPT_INT("boot", "10000", "N", 100, 1e7, CLI_KEY, "bootstrap samples of the intervals"),
    OPT_SEED,
};
const cli_group cli_bench_pool_group = CLI_GROUP_OF("measurement", pool_opts);
static const cli_opt bias_opts[] = {
    OPT_STR("prm", "", "MODEL", CLI_KEY,
            "step scores of this model; empty = the policy's own least token probability"),
    OPT_REAL("tau", "0.5", "TAU", 0, 1, CLI_KEY, "a step below it counts as flagged"),
    OPT_INT("boot", "10000", "N", 100, 1e7, CLI_KEY, "bootstrap samples of the intervals"),
    OPT_SEED,
    OPT_NAME,
};
const cli_group cli_bench_bias_group = CLI_GROUP_OF("measurement", bias_opts);

static const cli_opt prmbench_opts[] = {
    OPT_PATH("file", "", CLI_NOTE, "PRMBench's own file: classes and wrong steps"),
    OPT_STR("prm", "", "MODEL", CLI_KEY,
            "step scores of this model; empty = the policy's own least token probability"),
    OPT_REAL("tau", "0.5", "TAU", 0, 1, CLI_KEY, "a step scored above it is called valid"),
    OPT_REAL("tau-redundant", "0.15", "TAU", 0, 1, CLI_KEY,
             "the same in the classes redundency and circular"),
    OPT_INT("boot", "10000", "N", 100, 1e7, CLI_KEY, "bootstrap samples of the intervals"),
    OPT_SEED,
    OPT_NAME,
};
const cli_group cli_bench_prmbench_group = CLI_GROUP_OF("measurement", prmbench_opts);

static void cell_real(cli_table *t, const char *fmt, yyjson_val *v) {
    char text[48] = "-";
    if (yyjson_is_num(v)) snprintf(text, sizeof text, fmt, yyjson_get_num(v));
    cli_cell(t, "%s", text);
}

static void cell_interval(cli_table *t, const char *fmt, yyjson_val *v) {
    char text[96] = "-";
    yyjson_val *lo = yyjson_arr_get(v, 0), *hi = yyjson_arr_get(v, 1);
    if (yyjson_is_num(lo) && yyjson_is_num(hi)) {
        char a[40], b[40];
        snprintf(a, sizeof a, fmt, yyjson_get_num(lo));
        snprintf(b, sizeof b, fmt, yyjson_get_num(hi));
        snprintf(text, sizeof text, "%s..%s", a, b);
    }
    cli_cell(t, "%s", text);
}

static rung_status print_bias(cli_call *c, yyjson_val *bias, rung_error *err) {
    static const char *const row[3][4] = {
        {"right answers with a wrong step", "process_error", "process_error_ci95", "n_right"},
        {"of these, with a step below tau", "flagged", "flagged_ci95", "n_flawed_scored"},
        {"least score at the last step", "least_last", "least_last_ci95", "n_scored"}};
    static const char *const head[] = {"bias of best-of-n", "share", "95%", "n"};
    cli_table t;
    cli_table_init(&t, head, CLI_N(head));
    for (size_t k = 0; k < CLI_N(row); k++) {
        cli_cell(&t, "%s", row[k][0]);
        cell_real(&t, "%.4f", yyjson_obj_get(bias, row[k][1]));
        cell_interval(&t, "%.4f", yyjson_obj_get(bias, row[k][2]));
        cli_cell(&t, "%lld", (long long)rung_json_i64(bias, row[k][3], 0));
    }
    return cli_table_print(&t, c->app, err);
}

static rung_status print_pool(cli_call *c, yyjson_val *root, rung_error *err) {
    static const char *const head[] = {"method", "accuracy", "95%", "to the vote", "95% ", "Holm"};
    cli_table t;
    yyjson_arr_iter it = yyjson_arr_iter_with(yyjson_obj_get(root, "methods"));
    cli_table_init(&t, head, CLI_N(head));
    for (yyjson_val *m; (m = yyjson_arr_iter_next(&it)) != NULL;) {
        cli_cell(&t, "%s", rung_json_str(m, "name", ""));
        cell_real(&t, "%.4f", yyjson_obj_get(m, "acc"));
        cell_interval(&t, "%.4f", yyjson_obj_get(m, "ci95"));
        cell_real(&t, "%+.4f", yyjson_obj_get(m, "diff"));
        cell_interval(&t, "%+.4f", yyjson_obj_get(m, "diff_ci95"));
        cell_real(&t, "%.3g", yyjson_obj_get(m, "p_holm"));
    }
    RUNG_TRY(cli_table_print(&t, c->app, err));
    return print_bias(c, yyjson_obj_get(root, "bias"), err);
}

static rung_status print(cli_call *c, bool pool, rung_error *err) {
    if (c->app->json) return RUNG_OK;
    yyjson_doc *doc = yyjson_read(c->result.data, c->result.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!doc) return rung_fail(err, RUNG_E_FORMAT, "the result is not JSON");
    rung_status st =
        pool ? print_pool(c, root, err) : print_bias(c, yyjson_obj_get(root, "bias"), err);
    yyjson_doc_free(doc);
    return st;
}

rung_status cli_bench_pool(cli_call *c, rung_error *err) {
    rung_pool_file_opts o = RUNG_POOL_FILE_OPTS_INIT;
    o.tau = cli_real(c, "tau");
    o.n_boot = (int32_t)cli_int(c, "boot");
    o.seed = (uint64_t)cli_int(c, "seed");
    RUNG_TRY(rung_bench_pool_file(&c->result, cli_str(c, "file"), &o, &c->app->log, err));
    yyjson_doc *doc = yyjson_read(c->result.data, c->result.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    rung_buf_printf(&c->summary, "%lld candidates of %lld problems, %lld lines rejected",
                    (long long)rung_json_i64(root, "n_candidates", 0),
                    (long long)rung_json_i64(root, "n_problems", 0),
                    (long long)rung_json_i64(root, "n_rejected", 0));
    if (rung_json_i64(root, "n_outside", 0) > 0)
        cli_say(c->app,
                "%lld candidates have scores outside 0..1: prod, geo and logit_sum, which need "
                "probabilities, cut them off",
                (long long)rung_json_i64(root, "n_outside", 0));
    yyjson_doc_free(doc);
    return print(c, true, err);
}

rung_status cli_bench_bias(cli_call *c, rung_error *err) {
    rung_store *s;
    rung_filter f;
    rung_run run;
    int64_t model = 0;
    double t0 = rung_now();
    const char *prm = cli_str(c, "prm");
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    RUNG_TRY(cli_filter(&f, c, s, err));
    if (prm) RUNG_TRY(cli_model_lookup(&model, c, s, prm, NULL, err));
    RUNG_TRY(cli_run_begin(&run, c, NULL, err));
    RUNG_TRY(rung_bench_bias(&c->result, s, model, cli_real(c, "tau"), &f,
                             (int32_t)cli_int(c, "boot"), (uint64_t)cli_int(c, "seed"), err));
    RUNG_TRY(cli_run_end(c, &run, "bias", t0, err));
    return print(c, false, err);
}

static void prmbench_row(cli_table *t, yyjson_val *v) {
    static const char *const key[] = {"f1", "f1_negative", "acc_right", "acc_wrong", "acc_first"};
    cli_cell(t, "%s", rung_json_str(v, "class", ""));
    cli_cell(t, "%lld", (long long)rung_json_i64(v, "n", 0));
    cell_real(t, "%.4f", yyjson_obj_get(v, "prmscore"));
    cell_interval(t, "%.4f", yyjson_obj_get(v, "ci95"));
    for (size_t k = 0; k < CLI_N(key); k++) cell_real(t, "%.4f", yyjson_obj_get(v, key[k]));
}

rung_status cli_bench_prmbench(cli_call *c, rung_error *err) {
    static const char *const head[] = {"class",       "cases",       "PRMScore",
                                       "95%",         "F1",          "negative F1",
                                       "right steps", "wrong steps", "first error"};
    rung_prmbench_opts o = RUNG_PRMBENCH_OPTS_INIT;
    rung_store *s;
    rung_run run;
    double t0 = rung_now();
    const char *prm = cli_str(c, "prm");
    RUNG_TRY(cli_need(c, "set", "--set names the set that label import made", err));
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    if (prm) RUNG_TRY(cli_model_lookup(&o.model, c, s, prm, NULL, err));
    o.set = cli_str(c, "set");
    o.tau = cli_real(c, "tau");
    o.tau_redundant = cli_real(c, "tau-redundant");
    o.n_boot = (int32_t)cli_int(c, "boot");
    o.seed = (uint64_t)cli_int(c, "seed");
    RUNG_TRY(cli_run_begin(&run, c, NULL, err));
    RUNG_TRY(rung_bench_prmbench(&c->result, s, cli_str(c, "file"), &o, &c->app->log, err));
    RUNG_TRY(cli_run_end(c, &run, "prmbench", t0, err));
    if (c->app->json) return RUNG_OK;
    cli_table t;
    yyjson_doc *doc = yyjson_read(c->result.data, c->result.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_arr_iter it = yyjson_arr_iter_with(yyjson_obj_get(root, "classes"));
    cli_table_init(&t, head, CLI_N(head));
    for (yyjson_val *v; (v = yyjson_arr_iter_next(&it)) != NULL;) prmbench_row(&t, v);
    prmbench_row(&t, yyjson_obj_get(root, "total"));
    yyjson_doc_free(doc);
    return cli_table_print(&t, c->app, err);
}
