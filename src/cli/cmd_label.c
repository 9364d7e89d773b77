/* rung label truth | show; counting labels for all labelers */
#include "cli/label_common.h"
#include "rung/label.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const cli_opt truth_opts[] = {
    OPT_REAL("judge", "0", "SHARE", 0, 1, CLI_KEY,
             "critiques of a simulated judge instead: it names the first error with this chance, "
             "else any place; 0 = the truth itself"),
    OPT_SEED,
    OPT_NAME,
};
const cli_group cli_label_truth_group = CLI_GROUP_OF("labels", truth_opts);
static const cli_opt show_opts[] = {
    OPT_STR("source", "mc", "NAME", CLI_FREE, "labels of this source: mc, truth, human, ..."),
    OPT_STR("label-run", "", "NAME", CLI_FREE, "of this labelling run, empty = the newest"),
    OPT_BOOL("steps", "false", CLI_FREE, "a row per step"),
};
const cli_group cli_label_show_group = CLI_GROUP_OF("show", show_opts);

/* ---- counting and showing */

static void count(cli_label_census *z, const rung_label *l) {
    z->n_labels++;
    z->n_good += l->hard == 1;
    z->n_bad += l->hard == 0;
    z->n_known += l->n;
    z->n_c += l->c;
    z->n_unknown += l->n_unknown;
    if (isfinite(l->soft)) {
        z->soft += l->soft;
        z->n_soft++;
    }
}

static rung_status print_step(cli_call *c, cli_table *table, const rung_trace *t, int32_t k,
                              const rung_label *l, rung_error *err) {
    if (c->app->json) {
        char hard[16] = "null", soft[32] = "null"; /* null: no outcome is known */
        if (l->hard >= 0) snprintf(hard, sizeof hard, "%d", l->hard);
        if (isfinite(l->soft)) snprintf(soft, sizeof soft, "%.6g", l->soft);
        return cli_outf(c->app, err,
                        "{\"v\":1,\"problem\":%lld,\"trace\":%lld,\"step\":%d,\"node\":%lld,"
                        "\"hard\":%s,\"soft\":%s,\"n\":%d,\"c\":%d,\"n_unknown\":%d}\n",
                        (long long)t->problem, (long long)t->id, k, (long long)t->step[k].node,
                        hard, soft, l->n, l->c, l->n_unknown);
    }
    const rung_step *s = &t->step[k];
    rung_buf text;
    int32_t n = s->byte_end - s->byte_begin;
    rung_buf_init(&text, 1u << 20);
    cli_clean(&text, t->text + s->byte_begin, (size_t)(n > 60 ? 60 : n));
    for (size_t i = 0; i < text.n; i++) {
        if (text.data[i] == '\n') text.data[i] = ' ';
    }
    cli_cell(table, "%lld", (long long)t->problem);
    cli_cell(table, "%lld", (long long)t->id);
    cli_cell(table, "%d", k);
    cli_cell(table, "%d", l->hard);
    if (isfinite(l->soft))
        cli_cell(table, "%.3f", l->soft);
    else
        cli_cell(table, "-");
    cli_cell(table, "%d", l->c);
    cli_cell(table, "%d", l->n);
    cli_cell(table, "%d", l->n_unknown);
    cli_cell(table, "%s", text.data ? text.data : "");
    rung_buf_clear(&text);
    return RUNG_OK;
}

/* Labels at the step ends of the traces in f; print = a row each. */
static rung_status walk(cli_label_census *z, cli_call *c, rung_store *s, const rung_filter *f,
                        int64_t run, const char *source, cli_table *table, rung_error *err) {
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_status st;
    memset(z, 0, sizeof *z);
    RUNG_TRY(rung_trace_iter(&it, s, f, err));
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        for (int32_t k = 0; k < t->n_steps && st == RUNG_OK; k++) {
            rung_label l;
            bool found = false;
            st = rung_label_get(&l, &found, s, run, t->step[k].node, source, err);
            z->n_steps++;
            if (st != RUNG_OK || !found) continue;
            count(z, &l);
            if (table) st = print_step(c, table, t, k, &l, err);
        }
        if (st != RUNG_OK) break;
    }
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

rung_status cli_label_count(cli_label_census *z, rung_store *s, const rung_filter *f, int64_t run,
                            const char *source, rung_error *err) {
    return walk(z, NULL, s, f, run, source, NULL, err);
}

void cli_label_report(cli_call *c, const cli_label_census *z, const rung_run *run,
                      const char *source) {
    rung_buf_printf(&c->summary,
                    "%lld of %lld steps labelled by %s: %lld right, %lld wrong; %lld of %lld known "
                    "outcomes correct, %lld unknown",
                    (long long)z->n_labels, (long long)z->n_steps, source, (long long)z->n_good,
                    (long long)z->n_bad, (long long)z->n_c, (long long)z->n_known,
                    (long long)z->n_unknown);
    cli_result_open(c, run);
    cli_result_str(c, "source", source);
    cli_result_int(c, "n_steps", z->n_steps);
    cli_result_int(c, "n_labels", z->n_labels);
    cli_result_int(c, "n_hard_1", z->n_good);
    cli_result_int(c, "n_hard_0", z->n_bad);
    cli_result_real(c, "mean_soft", z->n_soft ? z->soft / (double)z->n_soft : (double)NAN);
    cli_result_int(c, "n_known", z->n_known);
    cli_result_int(c, "n_unknown", z->n_unknown);
}

/* ---- commands */

rung_status cli_label_truth(cli_call *c, rung_error *err) {
    rung_store *s;
    rung_run run;
    rung_filter f;
    int64_t n = 0;
    double t0 = rung_now();
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    RUNG_TRY(cli_filter(&f, c, s, err));
    RUNG_TRY(cli_run_begin(&run, c, NULL, err));
    double judge = cli_real(c, "judge");
    if (judge > 0.0) {
        rung_judge_report z;
        RUNG_TRY(rung_label_simulate(&z, s, run.id, judge, (uint64_t)cli_int(c, "seed"), &f, err));
        n = z.n_traces;
    } else {
        RUNG_TRY(rung_label_truth(&n, s, run.id, &f, err));
    }
    RUNG_TRY(cli_run_end(c, &run, NULL, t0, err));
    rung_buf_printf(&c->summary,
                    judge > 0.0 ? "%lld traces judged by a simulated judge"
                                : "%lld steps labelled from known first errors",
                    (long long)n);
    cli_result_open(c, &run);
    cli_result_int(c, "n_labels", n);
    cli_result_close(c, t0);
    return RUNG_OK;
}

rung_status cli_label_show(cli_call *c, rung_error *err) {
    static const char *const head[] = {"problem", "trace", "step",    "hard", "soft",
                                       "c",       "n",     "unknown", "text"};
    rung_store *s;
    rung_filter f;
    cli_label_census z;
    int64_t run = 0;
    cli_table table;
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_READ_ONLY, err));
    RUNG_TRY(cli_filter(&f, c, s, err));
    RUNG_TRY(cli_need(c, "source", "--source mc", err));
    const char *name = cli_str(c, "label-run"), *source = cli_str(c, "source");
    if (name) RUNG_TRY(cli_run_lookup(&run, c, s, name, err));
    bool rows = cli_flag(c, "steps");
    cli_table_init(&table, head, CLI_N(head));
    rung_status st = walk(&z, c, s, &f, run, source, rows ? &table : NULL, err);
    if (st == RUNG_OK && rows && !c->app->json)
        st = cli_table_print(&table, c->app, err);
    else
        rung_buf_clear(&table.cells);
    if (st != RUNG_OK) return st;
    cli_label_report(c, &z, NULL, source);
    cli_result_close(c, 0);
    if (!c->app->json) {
        RUNG_TRY(cli_outf(c->app, err, "%s\n", c->summary.data));
        rung_buf_reset(&c->summary);
    }
    return RUNG_OK;
}
