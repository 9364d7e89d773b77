/* rung(1) from the tables, as roff (man macros). */
#include "cli/cli.h"
#include <stdio.h>
#include <string.h>

/* roff text: a leading dot or quote and every backslash and minus must be escaped. */
static void esc(rung_buf *b, const char *s) {
    if (*s == '.' || *s == '\'') rung_buf_str(b, "\\&");
    for (; *s; s++) {
        if (*s == '\\')
            rung_buf_str(b, "\\e");
        else if (*s == '-')
            rung_buf_str(b, "\\-");
        else
            rung_buf_append(b, s, 1);
    }
}

static void option(rung_buf *b, const cli_opt *o) {
    char dflt[240];
    rung_buf_str(b, ".TP\n\\fB\\-\\-");
    esc(b, o->name);
    rung_buf_str(b, "\\fR");
    if (o->kind != CLI_BOOL) {
        rung_buf_str(b, " \\fI");
        esc(b, *o->unit ? o->unit : "TEXT");
        rung_buf_str(b, "\\fR");
    }
    rung_buf_str(b, "\n");
    esc(b, o->help);
    if (o->kind == CLI_CHOICE) {
        rung_buf list;
        rung_buf_init(&list, 1u << 16);
        cli_choices_text(&list, o, ", ");
        rung_buf_str(b, ": ");
        if (list.n > 0) esc(b, list.data);
        rung_buf_clear(&list);
    }
    cli_default_text(dflt, sizeof dflt, o);
    esc(b, dflt);
    rung_buf_str(b, "\n");
}

static void command(rung_buf *b, const cli_cmd *cmd) {
    char name[64], arg[48];
    bool optional;
    rung_buf_printf(b, ".SS \"rung %s", cli_cmd_name(cmd, name));
    for (size_t i = 0; cli_arg_at(cmd->args, i, arg, &optional); i++) {
        rung_buf_printf(b, optional ? " [%s]" : " %s", arg);
    }
    rung_buf_str(b, "\"\n");
    esc(b, cmd->help);
    rung_buf_str(b, ".\n");
    if (cmd->example) {
        rung_buf_str(b, ".PP\n.nf\n  rung ");
        esc(b, cmd->example);
        rung_buf_str(b, "\n.fi\n");
    }
    for (size_t g = 0; g < CLI_MAX_GROUPS && cmd->group[g]; g++) {
        if (cmd->group[g] == &cli_global_group) continue;
        for (size_t i = 0; i < cmd->group[g]->n; i++) option(b, &cmd->group[g]->opt[i]);
    }
}

static const char head[] =
    ".TH RUNG 1 \"\" \"rung " RUNG_VERSION "\" \"User Commands\"\n"
    ".SH NAME\nrung \\- process supervision for language\\-model reasoning\n"
    ".SH SYNOPSIS\n\\fBrung\\fR \\fInoun\\fR \\fIverb\\fR [\\fIoptions\\fR]\n"
    ".SH DESCRIPTION\n"
    "Give it problems whose answers can be checked and a model. It samples solutions step by step, "
    "finds where each\nfirst goes wrong, trains a reward model on that, and uses it to choose "
    "answers. Every stage hands rows to the\nnext through one store (a SQLite file) and can be "
    "stopped and run again: work that is done is not done twice.\n";

static const char tail[] =
    ".SH CONFIGURATION\n"
    "A config file has lines \\fItrace.sample.n = 8   # comment\\fR: command, option, value. "
    "\\fBrung config show\\fR prints\nevery key with its value and origin, in that form. Defaults "
    "give way to the file (\\fB\\-\\-config\\fR or\n\\fBRUNG_CONFIG\\fR), that to the environment "
    "(\\fBRUNG_TRACE_SAMPLE_N\\fR), that to flags.\n"
    ".SH EXIT STATUS\n"
    "0 done; 1 ran, and the answer is no; 2 usage; 3 bad input; 4 store or system; 5 model; "
    "6 interrupted and resumable.\n"
    ".SH FILES\n.TP\n\\fIrung.db\\fR\nthe store, unless \\-\\-store names another\n"
    ".SH ENVIRONMENT\n.TP\n\\fBRUNG_API_KEY\\fR\nkey of a remote endpoint; it is read from the "
    "environment only\n.TP\n\\fBRUNG_DEBUG\\fR\nprint debug events too\n";

rung_status cli_man_page(cli_app *app, rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, 4u << 20);
    rung_buf_str(&b, head);
    rung_buf_str(&b, ".SH OPTIONS\nOf every command:\n");
    for (size_t i = 0; i < cli_global_group.n; i++) option(&b, &cli_global_group.opt[i]);
    rung_buf_str(&b, ".SH COMMANDS\n");
    for (size_t k = 0; cli_cmd_at(k); k++) command(&b, cli_cmd_at(k));
    rung_buf_str(&b, tail);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) st = cli_out(app, b.data, b.n, err);
    rung_buf_clear(&b);
    return st;
}
