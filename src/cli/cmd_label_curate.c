/* rung label fuse | curate | audit | examples: what comes between labelers and a trainer. */
#include "cli/label_common.h"
#include "rung/stat.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "SOURCE@RUN" or "SOURCE@RUN=WEIGHT"; without @RUN: the newest run that has such labels. */
rung_status cli_label_source(rung_label_source *out, cli_call *c, rung_store *s, const char *text,
                             rung_error *err) {
    char buf[256], *at, *eq;
    *out = (rung_label_source){0};
    snprintf(buf, sizeof buf, "%s", text);
    if ((eq = strchr(buf, '=')) != NULL) {
        char *end;
        *eq = 0;
        out->weight = strtod(eq + 1, &end);
        if (end == eq + 1 || *end || !(out->weight > 0.0))
            return rung_fail(err, RUNG_E_INVAL, "\"%s\": a weight above 0 after =", text);
    }
    if ((at = strchr(buf, '@')) != NULL) {
        *at = 0;
        RUNG_TRY(cli_run_lookup(&out->run, c, s, at + 1, err));
    }
    out->source = rung_arena_strndup(c->app->arena, buf, strlen(buf));
    if (!out->source) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    return buf[0] ? RUNG_OK : rung_fail(err, RUNG_E_INVAL, "\"%s\": SOURCE@RUN is wanted", text);
}

/* ---- fuse */

static const char *fusion_at(size_t i) {
    return rung_fusion_name((rung_fusion)i);
}

static const cli_opt fuse_opts[] = {
    {"labels", CLI_LIST, "", "SOURCE@RUN", 0, 0, NULL, CLI_KEY,
     "a labeler's labels; given once for each; =WEIGHT behind it for --method weighted", NULL},
    OPT_STR("gold", "", "SOURCE@RUN", CLI_KEY, "labels that are known to be right, empty = none"),
    OPT_NAMES("method", "dawid_skene", fusion_at, CLI_KEY,
              "dawid_skene: error rates of each labeler by EM; majority; weighted; agreement: only "
              "where all say the same"),
    OPT_NAME,
};
const cli_group cli_label_fuse_group = CLI_GROUP_OF("labelers", fuse_opts);

static rung_status fuse_report(cli_call *c, const rung_run *run, const rung_fuse_report *z,
                               char **name, int32_t n, double t0, rung_error *err) {
    static const char *const head[] = {"labelers", "steps", "agree", "kappa", "AC1", "alpha"};
    cli_table t;
    cli_table_init(&t, head, CLI_N(head));
    cli_result_open(c, run);
    cli_result_int(c, "n_items", z->n_items);
    cli_result_int(c, "n_labels", z->n_labels);
    cli_result_int(c, "n_gold", z->n_gold);
    cli_result_real(c, "alpha", z->alpha);
    rung_buf_str(&c->result, ",\"pairs\":[");
    for (int32_t k = 0; k < z->n_pairs; k++) {
        const rung_fuse_pair *p = &z->pair[k];
        const double v[] = {p->agree, p->kappa, p->ac1, p->alpha};
        static const char *const key[] = {"agree", "kappa", "ac1", "alpha"};
        cli_cell(&t, "%s, %s", name[p->a], name[p->b]);
        cli_cell(&t, "%lld", (long long)p->n);
        rung_buf_printf(&c->result, "%s{\"a\":", k ? "," : "");
        rung_buf_json_str(&c->result, name[p->a], strlen(name[p->a]));
        rung_buf_str(&c->result, ",\"b\":");
        rung_buf_json_str(&c->result, name[p->b], strlen(name[p->b]));
        rung_buf_printf(&c->result, ",\"n\":%lld", (long long)p->n);
        for (int j = 0; j < 4; j++) {
            cli_result_real(c, key[j], v[j]);
            if (isfinite(v[j]))
                cli_cell(&t, "%.3f", v[j]);
            else
                cli_cell(&t, "-");
        }
        rung_buf_str(&c->result, "}");
    }
    rung_buf_str(&c->result, "],\"labelers\":[");
    for (int32_t j = 0; j < n; j++) {
        rung_buf_printf(&c->result, "%s{\"name\":", j ? "," : "");
        rung_buf_json_str(&c->result, name[j], strlen(name[j]));
        if (z->n_iter > 0) {
            cli_result_real(c, "sensitivity", z->sens[j]);
            cli_result_real(c, "specificity", z->spec[j]);
            cli_say(c->app, "%s: calls %.3f of the right steps right, %.3f of the wrong ones wrong",
                    name[j], z->sens[j], z->spec[j]);
        }
        rung_buf_str(&c->result, "}");
    }
    rung_buf_str(&c->result, "]");
    cli_result_close(c, t0);
    if (!c->app->json && !c->app->quiet) return cli_table_print(&t, c->app, err);
    rung_buf_clear(&t.cells);
    return RUNG_OK;
}

rung_status cli_label_fuse(cli_call *c, rung_error *err) {
    rung_store *s;
    rung_run run;
    rung_label_source in[RUNG_LABELERS_MAX], gold;
    char *name[RUNG_LABELERS_MAX];
    rung_fusion how = RUNG_FUSION_DAWID_SKENE;
    rung_fuse_report z;
    int32_t n = 0;
    double t0 = rung_now();
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    RUNG_TRY(cli_need(c, "labels", "--labels mc@mc --labels judge@judge", err));
    for (const char *p = cli_str(c, "labels"); *p; p += *p == '\n') {
        size_t len = strcspn(p, "\n");
        if (n == RUNG_LABELERS_MAX)
            return rung_fail(err, RUNG_E_LIMIT, "more than %d labelers", RUNG_LABELERS_MAX);
        name[n] = rung_arena_strndup(c->app->arena, p, len);
        if (!name[n]) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
        RUNG_TRY(cli_label_source(&in[n], c, s, name[n], err));
        n++;
        p += len;
    }
    for (int32_t j = 0; j < n; j++)
        if (in[j].run == 0)
            return rung_fail(err, RUNG_E_INVAL, "\"%s\": of which run? SOURCE@RUN", name[j]);
    const char *known = cli_str(c, "gold");
    if (known) RUNG_TRY(cli_label_source(&gold, c, s, known, err));
    rung_fusion_find(&how, cli_str(c, "method"));
    RUNG_TRY(cli_run_begin(&run, c, NULL, err));
    RUNG_TRY(rung_label_fuse(&z, s, run.id, in, n, known ? &gold : NULL, how, err));
    RUNG_TRY(cli_run_end(c, &run, NULL, t0, err));
    rung_buf_printf(&c->summary, "%lld steps of %d labelers fused, %lld labels",
                    (long long)z.n_items, n, (long long)z.n_labels);
    return fuse_report(c, &run, &z, name, n, t0, err);
}

/* ---- curate */

static const cli_opt curate_opts[] = {
    OPT_STR("filters", "", "NAME,NAME", CLI_KEY,
            "in this order: consensus, confidence, denoise, truncate, balance, merge, last_step, "
            "dedupe, decontaminate, sample, split"),
    OPT_STR("labels", "mc", "SOURCE@RUN", CLI_KEY, "the labels; without @RUN: the newest run's"),
    OPT_STR("other", "", "SOURCE@RUN", CLI_KEY, "consensus: the other labeler"),
    OPT_REAL("confidence", "0.75", "SHARE", 0, 1, CLI_KEY,
             "confidence: least share of a problem's traces that are right"),
    OPT_INT("distance", "2", "STEPS", 0, 1000, CLI_KEY, "denoise: softened steps before the error"),
    OPT_CHOICE("soften", "ratio", "ratio|raw", CLI_KEY,
               "denoise: soft labels c / known divided by the self-confidence, or as they are"),
    OPT_INT("keep", "0", "TRACES", 0, 1e12, CLI_KEY, "sample: so many traces"),
    OPT_CHOICE("by", "traces", "traces|classes|length", CLI_KEY,
               "balance: traces, classes of steps, classes at each prefix length"),
    OPT_REAL("merge", "0.2", "SHARE", 0, 1, CLI_KEY, "merge: share of neighbouring pairs"),
    OPT_STR("bench-set", "", "NAME", CLI_KEY, "decontaminate: the problems of the test set"),
    OPT_STR("bench-split", "", "NAME", CLI_KEY, "decontaminate: of this split, empty = all"),
    OPT_INT("ngram", "13", "WORDS", 1, 1000, CLI_KEY, "decontaminate: words in a row"),
    OPT_REAL("held", "0.1", "SHARE", 0.000001, 1, CLI_KEY, "split: share of problems held out"),
    OPT_BOOL("keep-held", "false", CLI_KEY, "split: keep the held-out ones"),
    OPT_SEED,
    OPT_NAME,
};
const cli_group cli_label_curate_group = CLI_GROUP_OF("curation", curate_opts);

static rung_status curate_report(cli_call *c, const rung_run *run, const rung_curate_count *z,
                                 int32_t n, double t0, rung_error *err) {
    static const char *const head[] = {"filter", "traces", "kept", "labels", "kept ", "why"};
    cli_table t;
    cli_table_init(&t, head, CLI_N(head));
    cli_result_open(c, run);
    rung_buf_str(&c->result, ",\"filters\":[");
    for (int32_t k = 0; k < n; k++) {
        rung_buf why;
        rung_buf_init(&why, 1u << 16);
        rung_buf_str(&why, "");
        rung_buf_printf(&c->result,
                        "%s{\"filter\":\"%s\",\"traces_in\":%lld,\"traces_out\":%lld,"
                        "\"labels_in\":%lld,\"labels_out\":%lld,\"reasons\":{",
                        k ? "," : "", z[k].filter, (long long)z[k].traces_in,
                        (long long)z[k].traces_out, (long long)z[k].labels_in,
                        (long long)z[k].labels_out);
        for (int r = 0; r < RUNG_CURATE_REASONS && z[k].reason[r].why; r++) {
            rung_buf_printf(&c->result, "%s\"%s\":%lld", r ? "," : "", z[k].reason[r].why,
                            (long long)z[k].reason[r].n);
            rung_buf_printf(&why, "%s%lld %s", r ? "; " : "", (long long)z[k].reason[r].n,
                            z[k].reason[r].why);
        }
        rung_buf_str(&c->result, "}}");
        cli_cell(&t, "%s", z[k].filter);
        cli_cell(&t, "%lld", (long long)z[k].traces_in);
        cli_cell(&t, "%lld", (long long)z[k].traces_out);
        cli_cell(&t, "%lld", (long long)z[k].labels_in);
        cli_cell(&t, "%lld", (long long)z[k].labels_out);
        cli_cell(&t, "%s", why.data ? why.data : "");
        rung_buf_clear(&why);
    }
    rung_buf_str(&c->result, "]");
    cli_result_int(c, "n_traces", z[n - 1].traces_out);
    cli_result_int(c, "n_labels", z[n - 1].labels_out);
    cli_result_close(c, t0);
    rung_buf_printf(&c->summary, "kept %lld of %lld traces, %lld of %lld labels",
                    (long long)z[n - 1].traces_out, (long long)z[0].traces_in,
                    (long long)z[n - 1].labels_out, (long long)z[0].labels_in);
    if (!c->app->json && !c->app->quiet) return cli_table_print(&t, c->app, err);
    rung_buf_clear(&t.cells);
    return RUNG_OK;
}

rung_status cli_label_curate(cli_call *c, rung_error *err) {
    enum { MOST = 16 };
    rung_curate_opts o = RUNG_CURATE_OPTS_INIT;
    rung_curate_count count[MOST];
    rung_store *s;
    rung_run run;
    int32_t n = 0;
    double t0 = rung_now();
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    RUNG_TRY(cli_need(c, "run", "--run names the run whose traces are curated", err));
    RUNG_TRY(cli_need(c, "filters", "--filters consensus,truncate,balance", err));
    RUNG_TRY(cli_need(c, "labels", "--labels mc@NAME", err));
    RUNG_TRY(cli_filter(&o.traces, c, s, err));
    RUNG_TRY(cli_label_source(&o.labels, c, s, cli_str(c, "labels"), err));
    if (cli_str(c, "other")) RUNG_TRY(cli_label_source(&o.other, c, s, cli_str(c, "other"), err));
    o.seed = (uint64_t)cli_int(c, "seed");
    o.confidence = cli_real(c, "confidence");
    o.keep = cli_int(c, "keep");
    o.undivided = strcmp(cli_str(c, "soften"), "raw") == 0;
    o.distance = cli_int(c, "distance") ? (int32_t)cli_int(c, "distance") : -1;
    o.by = cli_str(c, "by");
    o.merge = cli_real(c, "merge");
    o.bench = cli_str(c, "bench-set");
    o.bench_split = cli_str(c, "bench-split");
    o.ngram = (int32_t)cli_int(c, "ngram");
    o.held = cli_real(c, "held");
    o.keep_held = cli_flag(c, "keep-held");
    RUNG_TRY(cli_run_begin(&run, c, NULL, err));
    RUNG_TRY(rung_label_curate(count, &n, MOST, s, run.id, cli_str(c, "filters"), &o, NULL, err));
    RUNG_TRY(cli_run_end(c, &run, NULL, t0, err));
    return curate_report(c, &run, count, n, t0, err);
}

/* ---- audit */

static const cli_opt audit_opts[] = {
    OPT_STR("labels", "mc", "SOURCE@RUN", CLI_KEY, "the labels; without @RUN: the newest run's"),
};
const cli_group cli_label_audit_group = CLI_GROUP_OF("audit", audit_opts);

static void audit_bucket(cli_call *c, cli_table *t, const rung_audit_bucket *b, bool all) {
    if (all)
        cli_cell(t, "all");
    else
        cli_cell(t, "%.2f-%.2f", b->lo, b->hi);
    const int64_t v[] = {b->n, b->n_under, b->n_over, b->n_exact_error, b->n_exact_right};
    for (int k = 0; k < 5; k++) cli_cell(t, "%lld", (long long)v[k]);
    if (b->n_right_answer)
        cli_cell(t, "%.1f", 100.0 * (double)b->n_hidden / (double)b->n_right_answer);
    else
        cli_cell(t, "-");
    if (b->n_steps)
        cli_cell(t, "%.1f", 100.0 * (double)b->n_step_right / (double)b->n_steps);
    else
        cli_cell(t, "-");
    rung_buf_printf(&c->result,
                    "{\"lo\":%g,\"hi\":%g,\"n\":%lld,\"under\":%lld,\"over\":%lld,"
                    "\"exact_error\":%lld,\"exact_right\":%lld,\"right_answers\":%lld,"
                    "\"hidden\":%lld,\"steps\":%lld,\"steps_right\":%lld,\"offset\":[",
                    b->lo, b->hi, (long long)b->n, (long long)b->n_under, (long long)b->n_over,
                    (long long)b->n_exact_error, (long long)b->n_exact_right,
                    (long long)b->n_right_answer, (long long)b->n_hidden, (long long)b->n_steps,
                    (long long)b->n_step_right);
    for (int k = 0; k <= 2 * RUNG_AUDIT_OFFSET; k++)
        rung_buf_printf(&c->result, "%s%lld", k ? "," : "", (long long)b->offset[k]);
    rung_buf_str(&c->result, "]}");
}

rung_status cli_label_audit(cli_call *c, rung_error *err) {
    static const char *const head[] = {"self-confidence", "traces",       "too early", "too late",
                                       "exact, wrong",    "exact, right", "hidden %",  "steps %"};
    rung_store *s;
    rung_filter f;
    rung_label_source from;
    rung_audit z;
    cli_table t;
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_READ_ONLY, err));
    RUNG_TRY(cli_filter(&f, c, s, err));
    RUNG_TRY(cli_need(c, "labels", "--labels mc@NAME", err));
    RUNG_TRY(cli_label_source(&from, c, s, cli_str(c, "labels"), err));
    RUNG_TRY(rung_label_audit(&z, s, &f, &from, err));
    const rung_audit_bucket *all = &z.bucket[RUNG_AUDIT_BUCKETS];
    cli_table_init(&t, head, CLI_N(head));
    cli_result_open(c, NULL);
    rung_buf_str(&c->result, ",\"buckets\":[");
    for (int k = 0; k <= RUNG_AUDIT_BUCKETS; k++) {
        if (k) rung_buf_str(&c->result, ",");
        audit_bucket(c, &t, &z.bucket[k], k == RUNG_AUDIT_BUCKETS);
    }
    rung_buf_str(&c->result, "]");
    cli_result_int(c, "n", all->n);
    cli_result_int(c, "n_unlabelled", z.n_unlabelled);
    cli_result_real(c, "exact",
                    all->n ? (double)(all->n_exact_error + all->n_exact_right) / (double)all->n
                           : (double)NAN);
    cli_result_real(c, "acc_err", z.acc_err);
    cli_result_real(c, "acc_cor", z.acc_cor);
    cli_result_real(c, "f1", z.f1);
    cli_result_close(c, 0);
    rung_buf_printf(&c->summary,
                    "%lld traces, %lld without a claim; first error: acc_err %.1f, acc_cor %.1f, "
                    "F1 %.1f",
                    (long long)all->n, (long long)z.n_unlabelled, z.acc_err, z.acc_cor, z.f1);
    if (c->app->json) {
        rung_buf_clear(&t.cells);
        return RUNG_OK;
    }
    return cli_table_print(&t, c->app, err);
}

/* ---- examples */

static const cli_opt examples_opts[] = {
    OPT_STR("labels", "", "SOURCE@RUN", CLI_FREE, "the labels, such as binary@tree"),
    OPT_NAMES("kind", "pointwise", rung_example_kind_at, CLI_FREE,
              "pointwise: edges with their label; pairwise: two edges from one prefix; tree: a "
              "problem a line"),
};
const cli_group cli_label_examples_group = CLI_GROUP_OF("examples", examples_opts);

typedef struct out_lines {
    cli_app *app;
    rung_error *err;
} out_lines;

static int out_line(void *ud, const char *line, size_t n) {
    out_lines *o = ud;
    return cli_out(o->app, line, n, o->err) != RUNG_OK;
}

rung_status cli_label_examples(cli_call *c, rung_error *err) {
    rung_store *s;
    rung_label_source from;
    int64_t n = 0;
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_READ_ONLY, err));
    RUNG_TRY(cli_need(c, "labels", "--labels binary@tree", err));
    RUNG_TRY(cli_label_source(&from, c, s, cli_str(c, "labels"), err));
    if (from.run == 0) return rung_fail(err, RUNG_E_INVAL, "of which run? SOURCE@RUN");
    out_lines o = {c->app, err};
    RUNG_TRY(rung_label_examples(&n, s, &from, cli_str(c, "kind"), out_line, &o, err));
    rung_buf_printf(&c->summary, "%lld lines", (long long)n);
    return cli_out_end(c->app, err);
}
