/* rung bench answer | processbench | steps, and rung report */
#include "base/json.h"
#include "cli/label_common.h"
#include "rung/claim.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define OPT_BOOT                                                                                   \
    OPT_INT("boot", "10000", "N", 100, 1e7, CLI_KEY, "bootstrap samples of the intervals")
static const cli_opt answer_opts[] = {
    OPT_STR("prm", "", "MODEL", CLI_KEY, "process scores of this model: its file, name or number"),
    OPT_STR("orm", "", "MODEL", CLI_KEY, "outcome scores of this model"),
    OPT_NAMES("aggregate", "min", cli_names_aggregates, CLI_KEY,
              "how step scores make one score of a trace"),
    OPT_STR("greedy", "", "RUN", CLI_KEY, "the run that was sampled at temperature 0"),
    OPT_STR("baseline", "majority", "METHOD", CLI_KEY, "method of the paired tests"),
    OPT_INT("subsets", "200", "N", 1, 1e6, CLI_KEY, "random subsets of each size"),
    {"require", CLI_LIST, "", "CONDITION", 0, 0, NULL, CLI_FREE,
     "exit 1 unless it is met, as vote_prm-majority>0 (ci before it: by the whole interval); may "
     "be "
     "given again",
     NULL},
    OPT_STR("lm-eval", "", "FOLDER", CLI_FREE,
            "write result and sample files of lm-evaluation-harness there"),
    OPT_BOOT,
    OPT_SEED,
    OPT_NAME,
};
const cli_group cli_bench_answer_group = CLI_GROUP_OF("measurement", answer_opts);
static const cli_opt pb_opts[] = {
    OPT_STR("prm", "", "MODEL", CLI_KEY, "step scores of this model: its file, name or number"),
    OPT_STR("labels", "", "SOURCE@RUN", CLI_KEY,
            "what a labeler claims instead of scores: judge@RUN is a critic, with its votes"),
    OPT_REAL(
        "tau", "0.5", "TAU", -1, 1, CLI_KEY,
        "a step below it is wrong; -1 = the one that maximises F1 on --tune, or without it the "
        "calibrated model's own"),
    OPT_STR("tune", "", "SET", CLI_KEY,
            "set on which tau is chosen; the measured set itself must be named, and is said"),
    OPT_BOOT,
    OPT_SEED,
    OPT_NAME,
};
const cli_group cli_bench_processbench_group = CLI_GROUP_OF("measurement", pb_opts);
static const cli_opt steps_opts[] = {
    OPT_STR("prm", "", "MODEL", CLI_KEY,
            "step scores of this model; empty = the policy's own least token probability"),
    OPT_STR("source", "truth", "NAME", CLI_KEY, "labels of this source"),
    OPT_SEED,
    OPT_NAME,
};
const cli_group cli_bench_steps_group = CLI_GROUP_OF("measurement", steps_opts);
static const cli_opt labels_opts[] = {
    OPT_STR("labels", "", "SOURCE@RUN", CLI_KEY, "the labels to count"),
    OPT_NAME,
};
const cli_group cli_bench_labels_group = CLI_GROUP_OF("measurement", labels_opts);
static const cli_opt report_opts[] = {
    OPT_PATH("out", "report.html", CLI_FREE, "where to write it"),
    OPT_STR("title", "rung report", "TEXT", CLI_FREE, "its heading"),
    OPT_STR("command", "", "TEXT", CLI_FREE, "what a reader types to make it again, empty = this"),
};
const cli_group cli_report_group = CLI_GROUP_OF("report", report_opts);

/* A measurement begins a run of its own, appends its object, keeps it in the store. */
typedef struct measure {
    rung_store *store;
    rung_filter filter;
    rung_run run;
    double t0;
} measure;

static rung_status begin(measure *m, cli_call *c, rung_error *err) {
    memset(m, 0, sizeof *m);
    m->t0 = rung_now();
    RUNG_TRY(cli_store(&m->store, c, RUNG_STORE_CREATE, err));
    return cli_filter(&m->filter, c, m->store, err);
}

static rung_status end(measure *m, cli_call *c, const char *kind, rung_error *err) {
    RUNG_TRY(rung_buf_check(&c->result, err));
    while (c->result.n > 0 && c->result.data[c->result.n - 1] == '\n') {
        c->result.data[--c->result.n] = 0;
    }
    return cli_run_end(c, &m->run, kind, m->t0, err);
}

static rung_status answer_options(rung_answer_opts *o, int64_t *greedy, measure *m, cli_call *c,
                                  rung_error *err) {
    const char *prm = cli_str(c, "prm"), *orm = cli_str(c, "orm"), *g = cli_str(c, "greedy");
    *o = (rung_answer_opts)RUNG_ANSWER_OPTS_INIT;
    RUNG_TRY(begin(m, c, err));
    if (prm) RUNG_TRY(cli_model_lookup(&o->prm_model, c, m->store, prm, "prm", err));
    if (orm) RUNG_TRY(cli_model_lookup(&o->orm_model, c, m->store, orm, "orm", err));
    if (g) RUNG_TRY(cli_run_lookup(greedy, c, m->store, g, err));
    o->traces = m->filter;
    o->greedy_run = g ? greedy : NULL;
    (void)rung_aggregate_find(&o->aggregate, cli_str(c, "aggregate"));
    o->n_subsets = (int32_t)cli_int(c, "subsets");
    o->n_boot = (int32_t)cli_int(c, "boot");
    o->seed = (uint64_t)cli_int(c, "seed");
    o->baseline = cli_str(c, "baseline");
    return RUNG_OK;
}

/* Said on stderr by the error itself; the object is there all the same. */
static rung_status require(cli_call *c, rung_error *err) {
    bool met = true;
    rung_buf failed;
    rung_buf_init(&failed, 1u << 16);
    rung_status st = rung_bench_require(&met, &failed, c->result.data, cli_str(c, "require"), err);
    if (st == RUNG_OK && !met)
        st = rung_fail(err, RUNG_E_ANSWER_NO, "not met: %.140s", failed.data ? failed.data : "");
    rung_buf_clear(&failed);
    return st;
}

rung_status cli_bench_answer(cli_call *c, rung_error *err) {
    rung_answer_opts o;
    measure m;
    int64_t greedy = 0;
    rung_buf table;
    RUNG_TRY(rung_bench_require_check(cli_str(c, "require"), err));
    RUNG_TRY(answer_options(&o, &greedy, &m, c, err));
    o.lm_eval = cli_str(c, "lm-eval");
    RUNG_TRY(cli_run_begin(&m.run, c, NULL, err));
    RUNG_TRY(rung_bench_answer(&c->result, m.store, &o, &c->app->log, err));
    RUNG_TRY(end(&m, c, "answer", err));
    if (c->app->json) return require(c, err);
    rung_buf_init(&table, 16u << 20);
    rung_status st = rung_bench_answer_table(&table, c->result.data, err);
    if (st == RUNG_OK) st = cli_out(c->app, table.data, table.n, err);
    rung_buf_clear(&table);
    return st == RUNG_OK ? require(c, err) : st;
}

rung_status cli_answer_diffs(rung_answer_diff **out, int64_t *n, cli_call *c, const char *method,
                             const char *over, rung_error *err) {
    rung_answer_opts o;
    measure m;
    int64_t greedy = 0;
    *out = NULL;
    RUNG_TRY(answer_options(&o, &greedy, &m, c, err));
    return rung_bench_answer_diffs(out, n, m.store, &o, method, over, &c->app->log, err);
}

/* ---- flat objects as two columns */

static void value_cell(cli_table *t, yyjson_val *v) {
    const char *text = yyjson_get_str(v);
    if (text) {
        cli_cell(t, "%s", text);
    } else if (yyjson_is_real(v)) {
        cli_cell(t, "%.4g", yyjson_get_real(v));
    } else if (yyjson_is_num(v)) {
        cli_cell(t, "%lld", (long long)yyjson_get_sint(v));
    } else if (yyjson_is_bool(v)) {
        cli_cell(t, "%s", yyjson_get_bool(v) ? "yes" : "no");
    } else if (yyjson_is_arr(v) && yyjson_arr_size(v) == 2 && yyjson_is_num(yyjson_arr_get(v, 0))) {
        cli_cell(t, "[%.4g, %.4g]", yyjson_get_num(yyjson_arr_get(v, 0)),
                 yyjson_get_num(yyjson_arr_get(v, 1)));
    } else {
        cli_cell(t, "-");
    }
}

rung_status cli_print_flat(cli_call *c, rung_error *err) {
    static const char *const head[] = {"figure", "value"};
    cli_table t;
    yyjson_doc *doc = yyjson_read(c->result.data, c->result.n, 0);
    if (!doc) return rung_fail(err, RUNG_E_FORMAT, "the result is not JSON");
    yyjson_obj_iter it = yyjson_obj_iter_with(yyjson_doc_get_root(doc));
    cli_table_init(&t, head, 2);
    for (yyjson_val *k; (k = yyjson_obj_iter_next(&it)) != NULL;) {
        yyjson_val *v = yyjson_obj_iter_get_val(k);
        bool pair =
            yyjson_is_arr(v) && yyjson_arr_size(v) == 2 && yyjson_is_num(yyjson_arr_get(v, 0));
        const char *key = yyjson_get_str(k);
        if (yyjson_is_obj(v) || yyjson_is_null(v) || (yyjson_is_arr(v) && !pair)) continue;
        if (!key || strcmp(key, "v") == 0) continue;
        cli_cell(&t, "%s", key);
        value_cell(&t, v);
    }
    yyjson_doc_free(doc);
    return cli_table_print(&t, c->app, err);
}

static rung_status pb_options(rung_pb_opts *o, rung_label_source *labels, measure *m, cli_call *c,
                              rung_error *err) {
    const char *prm = cli_str(c, "prm"), *from = cli_str(c, "labels");
    if (!cli_str(c, "set") && !cli_str(c, "run"))
        RUNG_TRY(cli_need(c, "set", "--set names the imported ProcessBench subset", err));
    if (prm && from) return rung_fail(err, RUNG_E_INVAL, "either --prm or --labels");
    *o = (rung_pb_opts)RUNG_PB_OPTS_INIT;
    RUNG_TRY(begin(m, c, err));
    if (prm) RUNG_TRY(cli_model_lookup(&o->model, c, m->store, prm, NULL, err));
    if (from) RUNG_TRY(cli_label_source(labels, c, m->store, from, err));
    o->labels = from ? labels : NULL;
    o->set = cli_str(c, "set");
    o->tau = cli_real(c, "tau");
    o->tune_set = cli_str(c, "tune");
    o->seed = (uint64_t)cli_int(c, "seed");
    o->n_boot = (int32_t)cli_int(c, "boot");
    o->traces = m->filter;
    return RUNG_OK;
}

rung_status cli_bench_processbench(cli_call *c, rung_error *err) {
    rung_pb_opts o;
    rung_label_source labels;
    measure m;
    RUNG_TRY(pb_options(&o, &labels, &m, c, err));
    RUNG_TRY(cli_run_begin(&m.run, c, NULL, err));
    RUNG_TRY(rung_bench_processbench(&c->result, m.store, &o, err));
    RUNG_TRY(end(&m, c, "processbench", err));
    return c->app->json ? RUNG_OK : cli_print_flat(c, err);
}

rung_status cli_bench_steps(cli_call *c, rung_error *err) {
    measure m;
    int64_t model = 0;
    const char *prm = cli_str(c, "prm");
    RUNG_TRY(cli_need(c, "source", "--source truth", err));
    RUNG_TRY(begin(&m, c, err));
    if (prm) RUNG_TRY(cli_model_lookup(&model, c, m.store, prm, NULL, err));
    RUNG_TRY(cli_run_begin(&m.run, c, NULL, err));
    RUNG_TRY(rung_bench_steps(&c->result, m.store, model, cli_str(c, "source"), &m.filter,
                              (uint64_t)cli_int(c, "seed"), err));
    RUNG_TRY(end(&m, c, "steps", err));
    return c->app->json ? RUNG_OK : cli_print_flat(c, err);
}

static rung_status yield_source(rung_label_source *from, measure *m, cli_call *c, rung_error *err) {
    RUNG_TRY(cli_need(c, "labels", "--labels mc@mc", err));
    RUNG_TRY(begin(m, c, err));
    RUNG_TRY(cli_label_source(from, c, m->store, cli_str(c, "labels"), err));
    if (!from->run) return rung_fail(err, RUNG_E_INVAL, "--labels: of which run? SOURCE@RUN");
    if (strcmp(from->source, "binary") == 0) m->filter.run = from->run; /* its own traces */
    return RUNG_OK;
}

rung_status cli_bench_labels(cli_call *c, rung_error *err) {
    rung_label_source from;
    rung_label_yield z;
    measure m;
    RUNG_TRY(yield_source(&from, &m, c, err));
    RUNG_TRY(cli_run_begin(&m.run, c, NULL, err));
    RUNG_TRY(
        rung_bench_yield(&z, NULL, RUNG_YIELD_LABELS, m.store, &from, &m.filter, &m.filter, err));
    cli_result_open(c, &m.run);
    cli_result_str(c, "metric", "labels");
    cli_result_str(c, "labels", cli_str(c, "labels"));
    cli_result_int(c, "n_problems", z.n_problems);
    cli_result_int(c, "n_labelled", z.n_labelled);
    cli_result_int(c, "n_labels", z.n_labels);
    cli_result_int(c, "n_hard_1", z.n_hard_1);
    cli_result_real(c, "share_right", (double)z.n_hard_1 / (double)z.n_labels);
    cli_result_int(c, "n_known", z.n_known);
    cli_result_real(c, "agreement", (double)z.n_agree / (double)z.n_known);
    cli_result_close(c, m.t0);
    RUNG_TRY(end(&m, c, "labels", err));
    return c->app->json ? RUNG_OK : cli_print_flat(c, err);
}

/* ---- arms of a claim: what these stages measured, item by item */

static rung_status steps_arm(rung_arm *out, cli_call *c, rung_error *err) {
    measure m;
    int64_t model = 0;
    const char *prm = cli_str(c, "prm");
    RUNG_TRY(begin(&m, c, err));
    if (prm) RUNG_TRY(cli_model_lookup(&model, c, m.store, prm, NULL, err));
    return rung_arm_steps(out, m.store, model, cli_str(c, "source"), &m.filter, err);
}

rung_status cli_arm_of(rung_arm *out, rung_arm_metric *how, cli_call *c, const char *metric,
                       rung_error *err) {
    static const struct {
        const char *name;
        rung_status (*fn)(cli_call *, rung_error *);
        rung_arm_metric how;
        rung_yield_figure yield;
    } figures[] = {{"f1", cli_bench_processbench, RUNG_ARM_F1, 0},
                   {"acc_err", cli_bench_processbench, RUNG_ARM_ACC_ERR, 0},
                   {"acc_cor", cli_bench_processbench, RUNG_ARM_ACC_COR, 0},
                   {"auroc", cli_bench_steps, RUNG_ARM_AUROC, 0},
                   {"labels", cli_bench_labels, RUNG_ARM_RATIO, RUNG_YIELD_LABELS},
                   {"rare", cli_bench_labels, RUNG_ARM_RARE, RUNG_YIELD_RARE},
                   {"agreement", cli_bench_labels, RUNG_ARM_RATIO, RUNG_YIELD_AGREE}};
    size_t k = 0;
    while (k < CLI_N(figures) &&
           (strcmp(figures[k].name, metric) != 0 || figures[k].fn != c->cmd->fn))
        k++;
    rung_status st;
    if (k == CLI_N(figures) && cli_search_arm_of(&st, out, how, c, metric, err)) return st;
    if (k == CLI_N(figures))
        return rung_fail(err, RUNG_E_INVAL, "%s %s has no figure \"%s\" for a claim", c->cmd->noun,
                         c->cmd->verb, metric);
    *how = figures[k].how;
    measure m;
    rung_label_source from;
    if (figures[k].fn == cli_bench_steps) return steps_arm(out, c, err);
    if (figures[k].fn == cli_bench_processbench) {
        rung_pb_opts o;
        RUNG_TRY(pb_options(&o, &from, &m, c, err));
        return rung_arm_processbench(out, m.store, &o, err);
    }
    rung_label_yield z;
    RUNG_TRY(yield_source(&from, &m, c, err));
    return rung_bench_yield(&z, out, figures[k].yield, m.store, &from, &m.filter, &m.filter, err);
}

rung_status cli_report(cli_call *c, rung_error *err) {
    rung_store *s;
    double t0 = rung_now();
    const char *command = cli_str(c, "command"), *title = cli_str(c, "title");
    const char *out = cli_str(c, "out");
    RUNG_TRY(cli_need(c, "out", "--out report.html", err));
    RUNG_TRY(cli_can_write(out, err));
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_READ_ONLY, err));
    RUNG_TRY(rung_report_write(out, s, title ? title : "rung report",
                               command ? command : c->app->resume, &c->app->log, err));
    rung_buf_printf(&c->summary, "report written to %s", out);
    cli_result_open(c, NULL);
    cli_result_str(c, "out", out);
    cli_result_close(c, t0);
    return RUNG_OK;
}
