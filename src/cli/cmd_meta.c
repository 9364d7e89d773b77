/* rung config show | version | help | completion: the command about itself. */
#include "cli/session.h"
#include <stdio.h>
#include <string.h>

static const cli_opt config_opts[] = {
    OPT_STR("command", "", "NAME", CLI_FREE, "only this command, written \"trace sample\""),
};
const cli_group cli_config_show_group = CLI_GROUP_OF("config", config_opts);
static const cli_opt help_opts[] = {
    OPT_STR("noun", "", "NOUN", CLI_FREE, "first word of a command"),
    OPT_STR("verb", "", "VERB", CLI_FREE, "second word"),
    OPT_BOOL("man", "false", CLI_FREE, "print the man page rung(1) as roff"),
};
const cli_group cli_help_group = CLI_GROUP_OF("help", help_opts);
static const cli_opt completion_opts[] = {
    OPT_CHOICE("shell", "", "bash|zsh|fish", CLI_FREE, "for which shell"),
};
const cli_group cli_completion_group = CLI_GROUP_OF("completion", completion_opts);
const cli_group cli_version_group = {"version", NULL, 0};

/* ---- config show */

/* A value as a config file wants it: quoted when it must be. */
static void config_value(rung_buf *b, const char *text) {
    if (!strpbrk(text, "#\"\n\t\\") && *text != ' ') {
        rung_buf_str(b, text);
        return;
    }
    rung_buf_str(b, "\"");
    for (const char *p = text; *p; p++) {
        if (*p == '\n')
            rung_buf_str(b, "\\n");
        else if (*p == '\t')
            rung_buf_str(b, "\\t");
        else if (*p == '"' || *p == '\\')
            rung_buf_printf(b, "\\%c", *p);
        else
            rung_buf_append(b, p, 1);
    }
    rung_buf_str(b, "\"");
}

static void config_line(rung_buf *b, const char *key, const cli_value *v) {
    const cli_opt *o = v->opt;
    char dflt[240];
    size_t at = b->n;
    rung_buf_printf(b, "%s%s = ", *v->text ? "" : "# ", key);
    config_value(b, v->text);
    size_t n = b->n - at;
    cli_default_text(dflt, sizeof dflt, o);
    rung_buf_printf(b, "%*s # %s%s%s%s (%s)\n", n < 40 ? (int)(40 - n) : 0, "", o->help,
                    *o->unit ? ", " : "", o->unit, strchr(dflt, '\n') ? "" : dflt,
                    cli_origin_name(v->origin));
}

static void config_json(rung_buf *b, const char *key, const cli_value *v) {
    rung_buf_str(b, "{\"v\":1,\"key\":");
    rung_buf_json_str(b, key, strlen(key));
    rung_buf_str(b, ",\"value\":");
    rung_buf_json_str(b, v->text, strlen(v->text));
    rung_buf_printf(b, ",\"origin\":\"%s\",\"default\":", cli_origin_name(v->origin));
    rung_buf_json_str(b, v->opt->dflt, strlen(v->opt->dflt));
    rung_buf_str(b, ",\"help\":");
    rung_buf_json_str(b, v->opt->help, strlen(v->opt->help));
    rung_buf_str(b, "}\n");
}

static void show_value(rung_buf *b, bool json, const char *key, const cli_value *v) {
    if (json)
        config_json(b, key, v);
    else
        config_line(b, key, v);
}

static bool is_global(const cli_opt *o) {
    return o >= cli_global_group.opt && o < cli_global_group.opt + cli_global_group.n;
}

static void show_values(rung_buf *b, const cli_call *of, bool globals) {
    char key[128];
    for (size_t i = 0; i < of->n_values; i++) {
        const cli_value *v = &of->value[i];
        if (is_global(v->opt) != globals) continue;
        if (globals)
            snprintf(key, sizeof key, "%s", v->opt->name);
        else
            snprintf(key, sizeof key, "%s%s%s.%s", of->cmd->noun, *of->cmd->verb ? "." : "",
                     of->cmd->verb, v->opt->name);
        show_value(b, of->app->json, key, v);
    }
}

static rung_status print_buf(const cli_call *c, rung_buf *b, rung_error *err) {
    rung_status st = rung_buf_check(b, err);
    if (st == RUNG_OK && b->n > 0) st = cli_out(c->app, b->data, b->n, err);
    rung_buf_clear(b);
    return st;
}

rung_status cli_print_values(const cli_call *c, bool globals, rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, 16u << 20);
    if (globals) show_values(&b, c, true);
    show_values(&b, c, false);
    return print_buf(c, &b, err);
}

static rung_status show_command(rung_buf *b, cli_call *c, const cli_cmd *cmd, rung_error *err) {
    cli_call of;
    cli_call_init(&of, c->app, cmd);
    rung_status st = RUNG_OK;
    if (c->app->config_path) st = cli_apply_file(&of, c->app->config_path, err);
    if (st == RUNG_OK) st = cli_apply_env(&of, err);
    if (st == RUNG_OK) show_values(b, &of, false);
    cli_call_clear(&of);
    return st;
}

rung_status cli_config_show(cli_call *c, rung_error *err) {
    const char *only = cli_str(c, "command");
    rung_buf b;
    char name[64];
    rung_status st = RUNG_OK;
    bool found = only == NULL;
    rung_buf_init(&b, 16u << 20);
    if (!only) show_values(&b, c, true);
    for (size_t k = 0; cli_cmd_at(k) && st == RUNG_OK; k++) {
        if (only && strcmp(cli_cmd_name(cli_cmd_at(k), name), only) != 0) continue;
        found = true;
        if (!only && !c->app->json) rung_buf_str(&b, "\n");
        st = show_command(&b, c, cli_cmd_at(k), err);
    }
    if (st == RUNG_OK && found) return print_buf(c, &b, err);
    rung_buf_clear(&b);
    if (st != RUNG_OK) return st;
    rung_fail(err, RUNG_E_INVAL, "no command \"%s\"", only);
    return rung_error_hint(err, "rung --help lists them");
}

/* ---- version, help, completion */

rung_status cli_version(cli_call *c, rung_error *err) {
    if (!c->app->json) {
        return cli_outf(c->app, err, "rung %s  (llama.cpp %s, %s, %s)\n", RUNG_VERSION,
                        RUNG_LLAMA_VERSION, RUNG_COMPILER, RUNG_BUILD_TYPE);
    }
    cli_result_open(c, NULL);
    cli_result_str(c, "version", RUNG_VERSION);
    cli_result_str(c, "llama_cpp", RUNG_LLAMA_VERSION);
    cli_result_str(c, "compiler", RUNG_COMPILER);
    cli_result_str(c, "build", RUNG_BUILD_TYPE);
    cli_result_int(c, "cores", rung_n_cores());
    cli_result_close(c, 0);
    return RUNG_OK;
}

rung_status cli_help(cli_call *c, rung_error *err) {
    const char *noun = cli_str(c, "noun"), *verb = cli_str(c, "verb");
    if (cli_flag(c, "man")) return cli_man_page(c->app, err);
    if (!noun) return cli_help_overview(c->app, err);
    const cli_cmd *cmd = cli_cmd_find(noun, verb ? verb : "");
    if (cmd) return cli_help_command(c->app, cmd, err);
    bool any = false;
    for (size_t k = 0; cli_cmd_at(k) && !verb; k++) {
        if (strcmp(cli_cmd_at(k)->noun, noun) != 0) continue;
        RUNG_TRY(cli_help_command(c->app, cli_cmd_at(k), err));
        RUNG_TRY(cli_out(c->app, "\n", 1, err));
        any = true;
    }
    if (any) return RUNG_OK;
    rung_fail(err, RUNG_E_INVAL, "no command \"%s%s%s\"", noun, verb ? " " : "", verb ? verb : "");
    return rung_error_hint(err, "rung --help lists them");
}

rung_status cli_completion(cli_call *c, rung_error *err) {
    return cli_completion_script(c->app, cli_str(c, "shell"), err);
}
