/* rung bench search */
#include "cli/session.h"
#include "rung/bench.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const cli_opt search_opts[] = {
    OPT_STR("runs", "", "A,B,...", CLI_KEY, "search runs, by name or number"),
    OPT_STR("baseline", "", "RUN", CLI_KEY, "run of the paired tests, empty = the first"),
    OPT_STR("pilot", "", "RUN", CLI_KEY,
            "traces whose pass rate says how hard a problem is: the compute-optimal choice"),
    OPT_INT("bins", "5", "N", 0, RUNG_OPTIMAL_BINS, CLI_KEY,
            "difficulty bins by quantiles, 0 = three absolute ones"),
    OPT_INT("boot", "10000", "N", 100, 1e7, CLI_KEY, "bootstrap samples of the intervals"),
    OPT_SEED,
    OPT_NAME,
};
const cli_group cli_bench_search_group = CLI_GROUP_OF("measurement", search_opts);

enum { MAX_ARMS = 64 };

static rung_status read_arms(rung_search_arm *arm, int32_t *n, cli_call *c, rung_store *s,
                             rung_error *err) {
    const char *at = cli_str(c, "runs");
    for (*n = 0; at && *at; (*n)++) {
        size_t len = strcspn(at, ",");
        if (*n == MAX_ARMS)
            return rung_fail(err, RUNG_E_INVAL, "more than %d runs to compare", MAX_ARMS);
        char *name = rung_arena_strndup(c->app->arena, at, len);
        if (!name) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
        arm[*n] = (rung_search_arm){.name = name};
        RUNG_TRY(cli_run_lookup(&arm[*n].run, c, s, name, err));
        at += len + (at[len] == ',');
    }
    return RUNG_OK;
}

static rung_status find_baseline(int32_t *at, const rung_search_arm *arm, int32_t n, cli_call *c,
                                 rung_error *err) {
    const char *name = cli_str(c, "baseline");
    *at = 0;
    if (!name) return RUNG_OK;
    for (int32_t k = 0; k < n; k++) {
        if (strcmp(arm[k].name, name) != 0) continue;
        *at = k;
        return RUNG_OK;
    }
    return rung_fail(err, RUNG_E_INVAL, "the baseline %s is none of the runs", name);
}

static void arm_json(rung_buf *b, const rung_search_arm *a) {
    rung_buf_str(b, "{\"name\":");
    rung_buf_json_str(b, a->name, strlen(a->name));
    rung_buf_printf(b, ",\"run\":%lld,\"n_correct\":%lld,\"n_unknown\":%lld,\"n_no_answer\":%lld",
                    (long long)a->run, (long long)a->n_correct, (long long)a->n_unknown,
                    (long long)a->n_no_answer);
    cli_put_real(b, "accuracy", a->acc);
    cli_put_interval(b, "ci95", a->ci);
    cli_put_real(b, "diff", a->diff);
    cli_put_interval(b, "diff_ci95", a->diff_ci);
    cli_put_real(b, "p", a->p);
    cli_put_real(b, "p_holm", a->p_holm);
    rung_buf_printf(b, ",\"tokens\":%lld,\"scored_tokens\":%lld,\"scored_tokens_read\":%lld",
                    (long long)a->cost.gen_tok, (long long)a->cost.scored_tok,
                    (long long)a->cost.scored_new_tok);
    cli_put_real(b, "flops_cached", a->cost.flops_cached);
    cli_put_real(b, "flops_naive", a->cost.flops_naive);
    rung_buf_str(b, "}");
}

static void optimal_json(rung_buf *b, const rung_optimal *o, const rung_search_arm *arm) {
    rung_buf_str(b, ",\"compute_optimal\":{\"v\":1");
    cli_put_real(b, "accuracy", o->acc);
    cli_put_interval(b, "ci95", o->ci);
    cli_put_real(b, "single_accuracy", o->single_acc);
    cli_put_real(b, "diff", o->diff);
    cli_put_interval(b, "diff_ci95", o->diff_ci);
    rung_buf_str(b, ",\"bins\":[");
    for (int32_t k = 0; k < o->n_bins; k++) {
        rung_buf_printf(b, "%s{\"n\":%lld", k ? "," : "", (long long)o->n_bin[k]);
        cli_put_real(b, "accuracy", o->bin_acc[k]);
        rung_buf_str(b, ",\"choice\":[");
        for (int f = 0; f < 2; f++) {
            const char *name = arm[o->choice[f][k]].name;
            if (f) rung_buf_str(b, ",");
            rung_buf_json_str(b, name, strlen(name));
        }
        rung_buf_str(b, "]}");
    }
    rung_buf_str(b, "]}");
}

static rung_status print(cli_call *c, const rung_search_arm *arm, int32_t n,
                         const rung_optimal *opt, rung_error *err) {
    static const char *const head[] = {"run",  "accuracy", "95%",    "difference", "95%",
                                       "Holm", "tokens",   "scored", "GFLOP",      "naive"};
    cli_table t;
    cli_table_init(&t, head, CLI_N(head));
    for (int32_t k = 0; k < n; k++) {
        const rung_search_arm *a = &arm[k];
        cli_cell(&t, "%s", a->name);
        cli_cell(&t, "%.1f", 100.0 * a->acc);
        cli_cell(&t, "%.1f..%.1f", 100.0 * a->ci.lo, 100.0 * a->ci.hi);
        cli_cell(&t, "%+.1f", 100.0 * a->diff);
        cli_cell(&t, "%.1f..%.1f", 100.0 * a->diff_ci.lo, 100.0 * a->diff_ci.hi);
        cli_cell(&t, "%.3g", a->p_holm);
        cli_cell(&t, "%lld", (long long)a->cost.gen_tok);
        cli_cell(&t, "%lld", (long long)a->cost.scored_new_tok);
        cli_cell(&t, "%.1f", 1e-9 * a->cost.flops_cached);
        cli_cell(&t, "%.1f", 1e-9 * a->cost.flops_naive);
    }
    RUNG_TRY(cli_table_print(&t, c->app, err));
    if (!opt) return RUNG_OK;
    RUNG_TRY(cli_outf(c->app, err,
                      "compute-optimal: %.1f, one strategy for all: %.1f, difference %+.1f "
                      "[%.1f, %.1f]\n",
                      100.0 * opt->acc, 100.0 * opt->single_acc, 100.0 * opt->diff,
                      100.0 * opt->diff_ci.lo, 100.0 * opt->diff_ci.hi));
    for (int32_t k = 0; k < opt->n_bins; k++)
        RUNG_TRY(cli_outf(c->app, err, "  bin %d (%lld problems, %.1f): %s | %s\n", k + 1,
                          (long long)opt->n_bin[k], 100.0 * opt->bin_acc[k],
                          arm[opt->choice[0][k]].name, arm[opt->choice[1][k]].name));
    return RUNG_OK;
}

rung_status cli_bench_search(cli_call *c, rung_error *err) {
    static rung_search_arm arm[MAX_ARMS];
    rung_bench_searches_opts o = {.struct_size = sizeof o};
    rung_store *s;
    rung_run run;
    rung_optimal opt;
    int32_t n = 0;
    int64_t n_problems = 0;
    double t0 = rung_now();
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    RUNG_TRY(read_arms(arm, &n, c, s, err));
    RUNG_TRY(find_baseline(&o.baseline, arm, n, c, err));
    const char *pilot = cli_str(c, "pilot");
    if (pilot) RUNG_TRY(cli_run_lookup(&o.pilot_run, c, s, pilot, err));
    o.n_bins = (int)cli_int(c, "bins");
    o.n_boot = (int)cli_int(c, "boot");
    o.seed = (uint64_t)cli_int(c, "seed");
    RUNG_TRY(cli_run_begin(&run, c, NULL, err));
    RUNG_TRY(rung_bench_searches(arm, n, &n_problems, pilot ? &opt : NULL, s, &o, err));
    cli_result_open(c, &run);
    cli_result_int(c, "n_problems", n_problems);
    cli_result_str(c, "baseline", arm[o.baseline].name);
    rung_buf_str(&c->result, ",\"arms\":[");
    for (int32_t k = 0; k < n; k++) {
        if (k) rung_buf_str(&c->result, ",");
        arm_json(&c->result, &arm[k]);
    }
    rung_buf_str(&c->result, "]");
    if (pilot) optimal_json(&c->result, &opt, arm);
    cli_result_close(c, t0);
    RUNG_TRY(cli_run_end(c, &run, "search_table", t0, err));
    return c->app->json ? RUNG_OK : print(c, arm, n, pilot ? &opt : NULL, err);
}
