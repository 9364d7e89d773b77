/* rung bench partial | rejection: what early rejection rests on (search.md 1). */
#include "base/json.h"
#include "cli/session.h"
#include "rung/claim.h"
#include <math.h>
#include <string.h>

static const cli_opt partial_opts[] = {
    OPT_STR("run", "", "RUN", CLI_KEY,
            "a search run of early_rejection with --rescore; --width 1 rejects nobody"),
    OPT_INT("boot", "2000", "N", 100, 1e7, CLI_KEY, "bootstrap samples of the intervals"),
    OPT_SEED,
    OPT_NAME,
};
const cli_group cli_bench_partial_group = CLI_GROUP_OF("measurement", partial_opts);
static const cli_opt rejection_opts[] = {
    OPT_INT("candidates", "16", "N", 2, 4096, CLI_KEY, "candidates of a draw"),
    OPT_INT("keep", "1", "N", 1, 4095, CLI_KEY, "how many of them go on"),
    OPT_INT("tau", "4", "TOKENS", 1, 4096, CLI_KEY, "token scores that a partial score averages"),
    OPT_REAL("noise", "1", "SD", 1e-6, 1e6, CLI_KEY,
             "standard deviation of a token score, in that of the candidates' worth"),
    OPT_INT("draws", "2000", "N", 2, 1e8, CLI_KEY, "draws"),
    OPT_SEED,
    OPT_NAME,
};
const cli_group cli_bench_rejection_group = CLI_GROUP_OF("measurement", rejection_opts);

static rung_status which(int64_t *id, rung_store **s, cli_call *c, rung_error *err) {
    RUNG_TRY(cli_need(c, "run", "--run early", err));
    RUNG_TRY(cli_store(s, c, RUNG_STORE_CREATE, err));
    return cli_run_lookup(id, c, *s, cli_str(c, "run"), err);
}

rung_status cli_bench_partial(cli_call *c, rung_error *err) {
    rung_store *s;
    rung_run run;
    rung_partial z;
    int64_t id = 0;
    double t0 = rung_now();
    RUNG_TRY(which(&id, &s, c, err));
    RUNG_TRY(cli_run_begin(&run, c, NULL, err));
    RUNG_TRY(
        rung_bench_partial(&z, s, id, (int)cli_int(c, "boot"), (uint64_t)cli_int(c, "seed"), err));
    cli_result_open(c, &run);
    cli_result_str(c, "metric", "partial");
    cli_result_int(c, "n", z.n);
    cli_result_int(c, "n_paused", z.n_paused);
    cli_result_int(c, "n_problems", z.n_problems);
    cli_result_real(c, "seen", z.tokens_share);
    cli_result_real(c, "pearson", z.pearson);
    cli_put_interval(&c->result, "pearson_ci95", z.pearson_ci);
    cli_result_real(c, "kendall", z.kendall);
    cli_put_interval(&c->result, "kendall_ci95", z.kendall_ci);
    cli_result_close(c, t0);
    RUNG_TRY(cli_run_end(c, &run, "partial", t0, err));
    return c->app->json ? RUNG_OK : cli_print_flat(c, err);
}

static rung_status rejection(rung_rejection *z, rung_arm *arm, cli_call *c, rung_error *err) {
    return rung_bench_rejection(z, arm, (int32_t)cli_int(c, "candidates"),
                                (int32_t)cli_int(c, "keep"), (int32_t)cli_int(c, "tau"),
                                cli_real(c, "noise"), cli_int(c, "draws"),
                                (uint64_t)cli_int(c, "seed"), err);
}

rung_status cli_bench_rejection(cli_call *c, rung_error *err) {
    rung_store *s;
    rung_run run;
    rung_rejection z;
    double t0 = rung_now();
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    RUNG_TRY(cli_run_begin(&run, c, NULL, err));
    RUNG_TRY(rejection(&z, NULL, c, err));
    cli_result_open(c, &run);
    cli_result_str(c, "metric", "rejection");
    cli_result_int(c, "tau", z.tau);
    cli_result_int(c, "n", cli_int(c, "draws"));
    cli_result_real(c, "rejected", z.rejected);
    cli_result_real(c, "bound", z.bound);
    cli_put_interval(&c->result, "diff_ci95", z.diff_ci);
    cli_result_close(c, t0);
    RUNG_TRY(cli_run_end(c, &run, "rejection", t0, err));
    return c->app->json ? RUNG_OK : cli_print_flat(c, err);
}

/* ---- arms of a claim */

static rung_status search_arm(rung_arm *out, cli_call *c, rung_search_figure f, rung_error *err) {
    yyjson_doc *doc = yyjson_read(c->result.data, c->result.n, 0);
    int64_t run = rung_json_i64(yyjson_doc_get_root(doc), "run", 0);
    yyjson_doc_free(doc);
    if (!run) return rung_fail(err, RUNG_E_INVAL, "a search without a run is no arm of a claim");
    return rung_arm_search(out, c->app->store, run, f, err);
}

bool cli_search_arm_of(rung_status *st, rung_arm *out, rung_arm_metric *how, cli_call *c,
                       const char *metric, rung_error *err) {
    bool run = c->cmd->fn == cli_search_run;
    *how = RUNG_ARM_RATIO;
    if (run && strcmp(metric, "accuracy") == 0) {
        *st = search_arm(out, c, RUNG_SEARCH_ACCURACY, err);
    } else if (run && strcmp(metric, "right") == 0) {
        *st = search_arm(out, c, RUNG_SEARCH_RIGHT, err);
    } else if (run && strcmp(metric, "answers") == 0) {
        *st = search_arm(out, c, RUNG_SEARCH_ANSWERS, err);
    } else if (c->cmd->fn == cli_bench_partial && strcmp(metric, "pearson") == 0) {
        rung_store *s;
        int64_t id = 0;
        *how = RUNG_ARM_PEARSON;
        *st = which(&id, &s, c, err);
        if (*st == RUNG_OK) *st = rung_arm_partial(out, s, id, err);
    } else if (c->cmd->fn == cli_bench_rejection && strcmp(metric, "excess") == 0) {
        rung_rejection z;
        *st = rejection(&z, out, c, err);
    } else {
        return false;
    }
    return true;
}
