/* rung convert, rung label export: labelled solutions in the formats of others. */
#include "cli/format_opts.h"
#include "rung/label.h"
#include <stdio.h>
#include <string.h>

static const cli_opt read_opts[] = {
    OPT_STR("tag", "", "TEXT", CLI_KEY,
            "tagged formats: what closes a step, empty = the format's own"),
    OPT_STR("input-key", "", "NAME", CLI_KEY, "format tag: key of the text, empty = input"),
    OPT_STR("value-key", "", "NAME", CLI_KEY, "format tag: key of the labels, empty = value"),
    OPT_BOOL("drop-screening", "false", CLI_KEY,
             "PRM800K: leave out quality-control and screening rows"),
};
const cli_group cli_format_read_group = CLI_GROUP_OF("reading", read_opts);

static const cli_opt write_opts[] = {
    OPT_CHOICE("neutral", "reject", "reject|right|wrong|unlabelled", CLI_KEY,
               "what a neutral step becomes where there are two marks only"),
    OPT_CHOICE("after-error", "reject", "reject|truncate|wrong|right", CLI_KEY,
               "what follows the first wrong step unlabelled, where every step wants a label"),
    OPT_REAL("threshold", "0", "X", 0, 1, CLI_KEY, "a value above this is right"),
    OPT_BOOL("each-branch", "false", CLI_KEY, "a tree gives a row per leaf, not its own path only"),
};
const cli_group cli_format_write_group = CLI_GROUP_OF("what the target cannot say", write_opts);

static int choice(cli_call *c, const char *name, const char *const *names, int n) {
    const char *s = cli_value_find(c, name) ? cli_str(c, name) : NULL;
    for (int i = 0; s && i < n; i++)
        if (strcmp(names[i], s) == 0) return i;
    return 0;
}

void cli_format_opts(rung_format_opts *o, cli_call *c) {
    static const char *const neutral[] = {"reject", "right", "wrong", "unlabelled"};
    static const char *const after[] = {"reject", "truncate", "wrong", "right"};
    o->neutral = (rung_neutral)choice(c, "neutral", neutral, 4);
    o->after_error = (rung_after_error)choice(c, "after-error", after, 4);
    if (cli_value_find(c, "threshold")) {
        o->threshold = cli_real(c, "threshold");
        o->each_branch = cli_flag(c, "each-branch");
    }
    if (cli_value_find(c, "tag")) o->tag = cli_str(c, "tag");
    if (cli_value_find(c, "input-key")) {
        o->input_key = cli_str(c, "input-key");
        o->value_key = cli_str(c, "value-key");
        o->drop_screening = cli_flag(c, "drop-screening");
    }
}

/* ---- the closing report */

static void tally(cli_call *c, const rung_tally *t, const char *what, bool by_element) {
    for (int32_t i = 0; i < t->n; i++) {
        char lines[128] = "";
        size_t at = 0;
        for (int k = 0; k < RUNG_TALLY_LINES && t->row[i].line[k]; k++) {
            int n = snprintf(lines + at, sizeof lines - at, "%s%lld",
                             k            ? ", "
                             : by_element ? " (elements "
                                          : " (lines ",
                             (long long)t->row[i].line[k]);
            if (n > 0) at += (size_t)n;
        }
        cli_say(c->app, "%s %lld x %s%s%s", what, (long long)t->row[i].n, t->row[i].what, lines,
                at == 0                          ? ""
                : t->row[i].n > RUNG_TALLY_LINES ? ", ...)"
                                                 : ")");
    }
}

static rung_status report(cli_call *c, const rung_format_report *r, const char *to, double t0,
                          rung_error *err) {
    tally(c, &r->rejected, "rejected", r->by_element);
    tally(c, &r->lost, "not carried", r->by_element);
    rung_buf_printf(&c->summary, "%lld rows in, %lld rows out to %s, %lld rejected",
                    (long long)r->n_in, (long long)r->n_out, to, (long long)r->n_rejected);
    if (r->n_left_out) rung_buf_printf(&c->summary, ", %lld left out", (long long)r->n_left_out);
    if (strcmp(to, "-") == 0 && c->app->json) return RUNG_OK; /* standard output is the data */
    cli_result_open(c, NULL);
    rung_buf json;
    rung_buf_init(&json, 1 << 20);
    rung_format_report_json(&json, r);
    rung_status st = rung_buf_check(&json, err);
    if (st == RUNG_OK) cli_result_json(c, "report", json.data);
    rung_buf_clear(&json);
    cli_result_close(c, t0);
    return st;
}

static rung_status ended(const rung_format_report *r, const char *what, rung_error *err) {
    if (r->n_rejected == 0) return RUNG_OK;
    rung_fail(err, RUNG_E_FORMAT, "%lld of %lld %s were rejected", (long long)r->n_rejected,
              (long long)r->n_in, what);
    return rung_error_hint(err, "each is named above; the others are written");
}

/* ---- rung convert */

static const cli_opt convert_opts[] = {
    OPT_NAMES("from", "", cli_names_formats, CLI_KEY, "what the input is"),
    OPT_NAMES("to", "", cli_names_formats, CLI_KEY, "what to write"),
    OPT_PATH("in", "-", CLI_KEY, "the input; - is standard input"),
    OPT_PATH("out", "-", CLI_KEY, "where to; - is standard output"),
    OPT_INT("limit", "0", "ROWS", 0, CLI_INT_MAX, CLI_KEY, "at most this many rows, 0 = all"),
    OPT_INT("skip", "0", "ROWS", 0, CLI_INT_MAX, CLI_KEY, "leave out the first rows"),
    OPT_BOOL("formats", "false", CLI_FREE, "print the table of formats"),
};
const cli_group cli_convert_group = CLI_GROUP_OF("convert", convert_opts);

static rung_status print_formats(cli_call *c, rung_error *err) {
    static const char *const head[] = {"format", "labels", "trees", "what it is"};
    cli_table t;
    cli_table_init(&t, head, 4);
    for (size_t i = 0; rung_format_at(i); i++) {
        const rung_format *f = rung_format_at(i);
        unsigned can = rung_format_can_carry(f);
        cli_cell(&t, "%s", rung_format_name(f));
        cli_cell(&t, "%s%s%s%s",
                 can & RUNG_CAN_INDEX  ? "first error"
                 : can & RUNG_CAN_HARD ? "right, wrong"
                                       : "",
                 can & RUNG_CAN_NEUTRAL ? ", neutral" : "",
                 can & RUNG_CAN_HARD && can & RUNG_CAN_SOFT ? ", " : "",
                 can & RUNG_CAN_SOFT ? "values" : "");
        cli_cell(&t, "%s", can & RUNG_CAN_TREE ? "yes" : "");
        cli_cell(&t, "%s", rung_format_help(f));
    }
    return cli_table_print(&t, c->app, err);
}

rung_status cli_convert(cli_call *c, rung_error *err) {
    rung_format_opts o = RUNG_FORMAT_OPTS_INIT;
    rung_format_report r = {0};
    double t0 = rung_now();
    if (cli_flag(c, "formats")) return print_formats(c, err);
    RUNG_TRY(cli_need(c, "from", "rung convert --formats lists them", err));
    RUNG_TRY(cli_need(c, "to", "rung convert --formats lists them", err));
    cli_format_opts(&o, c);
    o.limit = cli_int(c, "limit");
    o.skip = cli_int(c, "skip");
    const char *in = cli_str(c, "in"), *out = cli_str(c, "out");
    rung_status st = rung_format_convert(&r, rung_format_find(cli_str(c, "from")), in ? in : "-",
                                         rung_format_find(cli_str(c, "to")), out ? out : "-", &o,
                                         &c->app->log, err);
    if (st == RUNG_OK) st = report(c, &r, out ? out : "-", t0, err);
    if (st == RUNG_OK) st = ended(&r, "rows", err);
    rung_format_report_clear(&r);
    return st;
}

/* ---- rung label export */

static const cli_opt export_opts[] = {
    OPT_NAMES("format", "", cli_names_formats, CLI_KEY, "what to write"),
    OPT_PATH("file", "-", CLI_KEY, "where to; - is standard output"),
    OPT_STR("source", "", "NAME", CLI_KEY,
            "labels of this source: mc, human, truth, ...; empty = first errors only"),
    OPT_STR("label-run", "", "NAME", CLI_KEY, "of this labelling run, empty = the newest"),
};
const cli_group cli_label_export_group = CLI_GROUP_OF("export", export_opts);

rung_status cli_label_export(cli_call *c, rung_error *err) {
    rung_export_opts o = RUNG_EXPORT_OPTS_INIT;
    rung_format_opts how = RUNG_FORMAT_OPTS_INIT;
    rung_format_report r = {0};
    rung_store *s;
    double t0 = rung_now();
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_READ_ONLY, err));
    RUNG_TRY(cli_filter(&o.traces, c, s, err));
    cli_format_opts(&how, c);
    o.source = cli_str(c, "source");
    const char *run = cli_str(c, "label-run"), *file = cli_str(c, "file");
    if (run) RUNG_TRY(cli_run_lookup(&o.label_run, c, s, run, err));
    rung_status st = rung_label_export(&r, s, rung_format_find(cli_str(c, "format")),
                                       file ? file : "-", &o, &how, &c->app->log, err);
    if (st == RUNG_OK) st = report(c, &r, file ? file : "-", t0, err);
    if (st == RUNG_OK) st = ended(&r, "traces", err);
    rung_format_report_clear(&r);
    return st;
}
