/* rung problem import | generate | show */
#include "cli/format_opts.h"
#include "rung/problem.h"
#include <stdio.h>
#include <string.h>

#define IMPORT_ROWS(names)                                                                         \
    OPT_NAMES("format", "", names, CLI_KEY, "what the file is"),                                   \
        OPT_PATH("file", "", CLI_KEY, "the file; - is standard input"),                            \
        OPT_STR("set", "", "NAME", CLI_KEY,                                                        \
                "set to put the problems in, empty = the format's name"),                          \
        OPT_STR("split", "", "NAME", CLI_KEY,                                                      \
                "split to put them in, empty = by the file's name, else test"),                    \
        OPT_INT("limit", "0", "ROWS", 0, CLI_INT_MAX, CLI_KEY, "at most this many rows, 0 = all"), \
        OPT_INT("skip", "0", "ROWS", 0, CLI_INT_MAX, CLI_KEY, "leave out the first rows")
static const cli_opt import_opts[] = {IMPORT_ROWS(cli_names_formats)};
const cli_group cli_problem_import_group = CLI_GROUP_OF("import", import_opts);
static const cli_opt trace_import_opts[] = {IMPORT_ROWS(cli_names_formats), OPT_NAME};
const cli_group cli_trace_import_group = CLI_GROUP_OF("import", trace_import_opts);
const cli_group cli_label_import_group = CLI_GROUP_OF("import", trace_import_opts);

static const cli_opt generate_opts[] = {
    OPT_NAMES("world", "", cli_names_worlds, CLI_KEY, "which world"),
    OPT_STR("splits", "train=100,test=100", "LIST", CLI_KEY,
            "splits and how many problems of each"),
    OPT_STR("set", "", "NAME", CLI_KEY, "set to put them in, empty = the world's name"),
    OPT_INT("first", "0", "I", 0, 1e15, CLI_KEY, "number of the first problem"),
    OPT_INT("steps-min", "0", "STEPS", 0, 1000, CLI_KEY, "fewest operations, 0 = the world's"),
    OPT_INT("steps-max", "0", "STEPS", 0, 1000, CLI_KEY, "most operations, 0 = the world's"),
    OPT_INT("operand-max", "0", "N", 0, 99, CLI_KEY, "largest number added or taken away, 0 = 9"),
    OPT_INT("max", "0", "N", 0, 1e9, CLI_KEY, "totals stay within 0..max, 0 = the world's"),
    OPT_REAL("hard", "-1", "SHARE", -1, 1, CLI_KEY, "share of hard operations, -1 = as they fall"),
    OPT_SEED,
};
const cli_group cli_problem_generate_group = CLI_GROUP_OF("generate", generate_opts);

static const cli_opt show_opts[] = {
    OPT_BOOL("solution", "false", CLI_FREE, "with the reference solution"),
};
const cli_group cli_problem_show_group = CLI_GROUP_OF("show", show_opts);

/* rung problem, trace and label import: what a row holds decides. */
static rung_status import_file(cli_call *c, rung_import_report *r, const rung_import_opts *given,
                               rung_error *err) {
    rung_import_opts o = *given;
    rung_store *s;
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    const rung_format *f = rung_format_find(cli_str(c, "format"));
    if (!f) return rung_fail(err, RUNG_E_INVAL, "no format %s", cli_str(c, "format"));
    o.set = cli_str(c, "set");
    o.split = cli_str(c, "split");
    o.limit = cli_int(c, "limit");
    o.skip = cli_int(c, "skip");
    memset(r, 0, sizeof *r);
    rung_status st = rung_import(r, s, f, cli_str(c, "file"), &o, &c->app->log, err);
    rung_buf_printf(&c->summary,
                    "%lld rows read: %lld new problems, %lld already there, %lld rejected, %lld "
                    "new traces",
                    (long long)r->n_rows, (long long)r->n_new, (long long)r->n_same,
                    (long long)r->n_rejected, (long long)r->n_traces);
    if (o.labels) rung_buf_printf(&c->summary, ", %lld new labels", (long long)r->n_labels);
    if (r->n_left_out) rung_buf_printf(&c->summary, ", %lld left out", (long long)r->n_left_out);
    cli_result_open(c, NULL);
    cli_result_int(c, "n_rows", r->n_rows);
    cli_result_int(c, "n_new", r->n_new);
    cli_result_int(c, "n_same", r->n_same);
    cli_result_int(c, "n_rejected", r->n_rejected);
    cli_result_int(c, "n_left_out", r->n_left_out);
    cli_result_int(c, "n_traces", r->n_traces);
    if (o.labels) cli_result_int(c, "n_labels", r->n_labels);
    cli_result_close(c, 0);
    if (st == RUNG_OK && r->n_rejected > 0) {
        st = rung_fail(err, RUNG_E_FORMAT, "%lld of %lld rows of %s were rejected",
                       (long long)r->n_rejected, (long long)r->n_rows, cli_str(c, "file"));
        rung_error_hint(err, "each is named above; the others are in the store");
    }
    return st;
}

rung_status cli_problem_import(cli_call *c, rung_error *err) {
    rung_import_opts o = RUNG_IMPORT_OPTS_INIT;
    rung_import_report r;
    return import_file(c, &r, &o, err);
}

static rung_status want_rows(cli_call *c, int64_t n, const rung_import_report *r, const char *what,
                             rung_error *err) {
    if (r->n_rows == 0 || n > 0 || r->n_same > 0) return RUNG_OK;
    rung_fail(err, RUNG_E_FORMAT, "no row of %s holds %s", cli_str(c, "file"), what);
    return rung_error_hint(err, "rung problem import reads sets without solutions");
}

rung_status cli_trace_import(cli_call *c, rung_error *err) {
    rung_import_opts o = RUNG_IMPORT_OPTS_INIT;
    rung_import_report r;
    o.name = cli_str(c, "name");
    RUNG_TRY(import_file(c, &r, &o, err));
    return want_rows(c, r.n_traces, &r, "a trace", err);
}

rung_status cli_label_import(cli_call *c, rung_error *err) {
    rung_import_opts o = RUNG_IMPORT_OPTS_INIT;
    rung_format_opts how = RUNG_FORMAT_OPTS_INIT;
    rung_import_report r;
    cli_format_opts(&how, c);
    o.labels = true;
    o.name = cli_str(c, "name");
    o.format = &how;
    RUNG_TRY(import_file(c, &r, &o, err));
    return want_rows(c, r.n_labels, &r, "a label", err);
}

rung_status cli_problem_generate(cli_call *c, rung_error *err) {
    rung_world_opts o = RUNG_WORLD_OPTS_INIT;
    rung_store *s;
    int64_t n_new = 0;
    double t0 = rung_now();
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    o.seed = (uint64_t)cli_int(c, "seed");
    o.steps_min = (int32_t)cli_int(c, "steps-min");
    o.steps_max = (int32_t)cli_int(c, "steps-max");
    o.operand_max = (int32_t)cli_int(c, "operand-max");
    o.max = (int32_t)cli_int(c, "max");
    o.hard = cli_real(c, "hard");
    RUNG_TRY(rung_problem_generate(&n_new, s, cli_str(c, "world"), cli_str(c, "set"),
                                   cli_str(c, "splits"), (uint64_t)cli_int(c, "first"), &o,
                                   &c->app->log, err));
    rung_buf_printf(&c->summary, "%lld new problems of world %s (%s)", (long long)n_new,
                    cli_str(c, "world"), cli_str(c, "splits"));
    cli_result_open(c, NULL);
    cli_result_str(c, "world", cli_str(c, "world"));
    cli_result_int(c, "n_new", n_new);
    cli_result_close(c, t0);
    return RUNG_OK;
}

/* ---- show */

static void json_field(rung_buf *b, const char *key, const char *text) {
    rung_buf_printf(b, ",\"%s\":", key);
    rung_buf_json_str(b, text ? text : "", text ? strlen(text) : 0);
}

static void problem_json(rung_buf *b, const rung_problem *p) {
    rung_buf_printf(b, "{\"v\":1,\"problem\":%lld", (long long)p->id);
    json_field(b, "set", p->set);
    json_field(b, "split", p->split);
    json_field(b, "key", p->key);
    json_field(b, "question", p->question);
    json_field(b, "answer", p->answer);
    json_field(b, "solution", p->solution);
    json_field(b, "world", p->world);
    json_field(b, "verifier", p->verifier);
    rung_buf_str(b, "}\n");
}

static void problem_text(rung_buf *b, const rung_problem *p, bool solution) {
    rung_buf_printf(b, "problem %lld  %s/%s  %s\n", (long long)p->id, p->set, p->split, p->key);
    cli_clean(b, p->question, strlen(p->question));
    rung_buf_printf(b, "\n-> ");
    cli_clean(b, p->answer, strlen(p->answer));
    if (solution && *p->solution) {
        rung_buf_str(b, "\n");
        cli_clean(b, p->solution, strlen(p->solution));
    }
    rung_buf_str(b, "\n\n");
}

rung_status cli_problem_show(cli_call *c, rung_error *err) {
    rung_store *s;
    rung_filter f;
    rung_iter *it = NULL;
    const rung_problem *p;
    rung_buf b;
    int64_t n = 0;
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_READ_ONLY, err));
    RUNG_TRY(cli_filter(&f, c, s, err));
    RUNG_TRY(rung_problem_iter(&it, s, &f, err));
    rung_buf_init(&b, 64u << 20);
    rung_status st;
    while ((st = rung_problem_next(&p, it, err)) == RUNG_OK) {
        rung_buf_reset(&b);
        if (c->app->json)
            problem_json(&b, p);
        else
            problem_text(&b, p, cli_flag(c, "solution"));
        st = rung_buf_check(&b, err);
        if (st == RUNG_OK) st = cli_out(c->app, b.data, b.n, err);
        if (st != RUNG_OK) break;
        n++;
    }
    rung_buf_clear(&b);
    rung_iter_free(it);
    if (st == RUNG_DONE) st = RUNG_OK;
    if (st == RUNG_OK && n == 0) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no problem matches");
        st = rung_error_hint(err, "look at --set and --split");
    }
    return st;
}
