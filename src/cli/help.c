/* Help from the tables: the overview and one page per command. */
#include "cli/cli.h"
#include <stdio.h>
#include <string.h>

void cli_default_text(char *buf, size_t n, const cli_opt *o) {
    char range[64] = "", dflt[160] = "";
    if (o->lo < o->hi && o->hi < 2e9) {
        snprintf(range, sizeof range, o->kind == CLI_INT ? "%.0f..%.0f" : "%g..%g", o->lo, o->hi);
    }
    if (*o->dflt && o->kind != CLI_BOOL && !strchr(o->dflt, '\n')) {
        snprintf(dflt, sizeof dflt, "default %s", o->dflt);
    }
    if (o->kind == CLI_BOOL && strcmp(o->dflt, "true") == 0) {
        snprintf(dflt, sizeof dflt, "default on, --no-%s turns it off", o->name);
    }
    if (!*range && !*dflt)
        snprintf(buf, n, "%s", "");
    else
        snprintf(buf, n, " [%s%s%s]", dflt, *dflt && *range ? ", " : "", range);
}

static void usage(rung_buf *b, const cli_cmd *cmd) {
    char name[64], arg[48];
    bool optional;
    rung_buf_printf(b, "usage: rung %s", cli_cmd_name(cmd, name));
    for (size_t i = 0; cli_arg_at(cmd->args, i, arg, &optional); i++) {
        for (char *p = arg; *p; p++) {
            if (*p >= 'a' && *p <= 'z') *p = (char)(*p - 'a' + 'A');
        }
        rung_buf_printf(b, optional ? " [%s]" : " %s", arg);
    }
    rung_buf_str(b, " [options]\n");
}

/* help text from column 28 on, wrapped at 96 */
static void wrap(rung_buf *b, const char *text, int col) {
    enum { INDENT = 28, RIGHT = 96 };
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (col > INDENT && col + 1 + n > RIGHT) {
            rung_buf_printf(b, "\n%*s", INDENT, "");
            col = INDENT;
        } else if (col > INDENT) {
            rung_buf_str(b, " ");
            col++;
        }
        rung_buf_append(b, text, (size_t)n);
        col += n;
        text += n;
        while (*text == ' ') text++;
    }
    rung_buf_str(b, "\n");
}

static void option_row(rung_buf *b, const cli_opt *o) {
    char left[160], dflt[240], text[900];
    rung_buf choices;
    rung_buf_init(&choices, 1u << 16);
    if (o->kind == CLI_CHOICE) cli_choices_text(&choices, o, ", ");
    const char *unit = o->kind == CLI_BOOL ? "" : *o->unit ? o->unit : "TEXT";
    snprintf(left, sizeof left, "  --%s%s%s", o->name, *unit ? " " : "", unit);
    cli_default_text(dflt, sizeof dflt, o);
    snprintf(text, sizeof text, "%s%s%s%s", o->help, o->kind == CLI_CHOICE ? ": " : "",
             choices.data ? choices.data : "", dflt);
    rung_buf_clear(&choices);
    rung_buf_str(b, left);
    int col = (int)strlen(left);
    if (col > 26) {
        rung_buf_printf(b, "\n%28s", "");
    } else {
        rung_buf_printf(b, "%*s", 28 - col, "");
    }
    wrap(b, text, 28);
}

static rung_status print(cli_app *app, rung_buf *b, rung_error *err) {
    rung_status st = rung_buf_check(b, err);
    if (st == RUNG_OK) st = cli_out(app, b->data, b->n, err);
    rung_buf_clear(b);
    return st;
}

rung_status cli_help_command(cli_app *app, const cli_cmd *cmd, rung_error *err) {
    rung_buf b;
    char env[96];
    rung_buf_init(&b, 1u << 20);
    usage(&b, cmd);
    rung_buf_printf(&b, "%s\n", cmd->help);
    if (cmd->example) rung_buf_printf(&b, "\nexample\n  rung %s\n", cmd->example);
    for (size_t g = 0; g < CLI_MAX_GROUPS && cmd->group[g]; g++) {
        rung_buf_printf(&b, "\n%s\n", cmd->group[g]->title);
        for (size_t i = 0; i < cmd->group[g]->n; i++) option_row(&b, &cmd->group[g]->opt[i]);
    }
    cli_env_name(env, cmd, "<option>");
    rung_buf_printf(&b,
                    "\nThe same names work in a config file (%s%s%s.<option> = value) and in the "
                    "environment (%s);\na flag wins over the environment, that over the file.\n",
                    cmd->noun, *cmd->verb ? "." : "", cmd->verb, env);
    return print(app, &b, err);
}

rung_status cli_help_overview(cli_app *app, rung_error *err) {
    rung_buf b;
    char name[64];
    rung_buf_init(&b, 1u << 20);
    rung_buf_str(&b, "usage: rung <noun> <verb> [options]\n"
                     "Process supervision for language-model reasoning: sample, label, score, "
                     "choose, measure.\n\n");
    for (size_t k = 0; cli_cmd_at(k); k++) {
        const cli_cmd *cmd = cli_cmd_at(k);
        rung_buf_printf(&b, "  %-22s %s\n", cli_cmd_name(cmd, name), cmd->help);
    }
    rung_buf_printf(&b, "\n%s\n", cli_global_group.title);
    for (size_t i = 0; i < cli_global_group.n; i++) option_row(&b, &cli_global_group.opt[i]);
    rung_buf_str(&b, "\nexit codes\n  0 done   1 ran, the answer is no   2 usage   3 bad input   "
                     "4 store or system   5 model   6 interrupted, resumable\n\n"
                     "first steps\n  rung run recipes/demo.yaml\n  rung trace sample --help\n");
    return print(app, &b, err);
}
