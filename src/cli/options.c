/* Resolving options: defaults < config file < environment < flags, each checked against its row of
 * the option table (style H15). */
#include "base/names.h"
#include "cli/cli.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool name_equal(const char *a, const char *b) {
    for (; *a && *b; a++, b++) {
        char x = *a == '_' ? '-' : *a, y = *b == '_' ? '-' : *b;
        if (x != y) return false;
    }
    return *a == *b;
}

const char *cli_origin_name(cli_origin o) {
    static const char *const names[] = {"default", "file", "environment", "flag", "recipe"};
    return names[o];
}

const char *cli_nearest(const char *word, const char *const *names, size_t n) {
    return rung_nearest(word, names, n);
}

void cli_call_init(cli_call *c, cli_app *app, const cli_cmd *cmd) {
    memset(c, 0, sizeof *c);
    c->app = app;
    c->cmd = cmd;
    rung_buf_init(&c->result, 256u << 20);
    rung_buf_init(&c->summary, 1u << 16);
    for (size_t g = 0; g < CLI_MAX_GROUPS && cmd->group[g]; g++) {
        for (size_t i = 0; i < cmd->group[g]->n && c->n_values < CLI_MAX_VALUES; i++) {
            cli_value *v = &c->value[c->n_values++];
            v->opt = &cmd->group[g]->opt[i];
            v->text = v->opt->dflt;
            v->origin = CLI_DEFAULT;
        }
    }
}

void cli_call_clear(cli_call *c) {
    rung_buf_clear(&c->result);
    rung_buf_clear(&c->summary);
}

cli_value *cli_value_find(cli_call *c, const char *name) {
    for (size_t i = 0; i < c->n_values; i++) {
        if (name_equal(c->value[i].opt->name, name)) return &c->value[i];
    }
    return NULL;
}

bool cli_arg_at(const char *args, size_t i, char buf[48], bool *optional) {
    const char *p = args;
    for (;;) {
        while (*p == ' ') p++;
        if (!*p) return false;
        size_t n = strcspn(p, " ");
        if (i == 0) {
            *optional = p[n - 1] == '?';
            snprintf(buf, 48, "%.*s", (int)(*optional ? n - 1 : n), p);
            return true;
        }
        p += n;
        i--;
    }
}

void cli_env_name(char buf[96], const cli_cmd *cmd, const char *option) {
    if (cmd) {
        snprintf(buf, 96, "RUNG_%s%s%s_%s", cmd->noun, *cmd->verb ? "_" : "", cmd->verb, option);
    } else {
        snprintf(buf, 96, "RUNG_%s", option);
    }
    for (char *p = buf; *p; p++) *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
}

/* ---- checking one value */

static rung_status check_number(const cli_opt *o, const char *text, const char *where,
                                rung_status code, rung_error *err) {
    char *end = NULL;
    double v;
    errno = 0;
    if (o->kind == CLI_INT) {
        long long i = strtoll(text, &end, 10);
        v = (double)i;
        if (end == text || *end || errno) {
            return rung_fail(err, code, "%s%s: \"%s\" is not a whole number", where, o->name, text);
        }
    } else {
        v = strtod(text, &end);
        if (end == text || *end || !isfinite(v)) {
            return rung_fail(err, code, "%s%s: \"%s\" is not a number", where, o->name, text);
        }
    }
    if (o->lo < o->hi && !(v >= o->lo && v <= o->hi)) {
        return rung_fail(err, code, "%s%s: %s is out of range %g..%g", where, o->name, text, o->lo,
                         o->hi);
    }
    return RUNG_OK;
}

void cli_choices_text(rung_buf *b, const cli_opt *o, const char *sep) {
    if (o->names) {
        for (size_t i = 0; o->names(i); i++) {
            rung_buf_printf(b, "%s%s", i ? sep : "", o->names(i));
        }
        return;
    }
    for (const char *p = o->choices ? o->choices : ""; *p; p++) {
        if (*p == '|')
            rung_buf_str(b, sep);
        else
            rung_buf_append(b, p, 1);
    }
}

static rung_status check_choice(const cli_opt *o, const char *text, const char *where,
                                rung_status code, rung_error *err) {
    const char *list[64];
    size_t n = 0;
    rung_buf names;
    rung_buf_init(&names, 1u << 16);
    cli_choices_text(&names, o, "|");
    rung_status st = rung_buf_check(&names, err);
    if (st != RUNG_OK || names.n == 0) goto out;
    st = rung_fail(err, code, "%s%s: \"%s\" is not one of %s", where, o->name, text, names.data);
    for (char *p = names.data; p && n < 64;) {
        list[n++] = p;
        p = strchr(p, '|');
        if (p) *p++ = 0;
        if (strcmp(list[n - 1], text) == 0) st = RUNG_OK;
    }
    if (st == RUNG_OK) {
        if (err) *err = (rung_error)RUNG_ERROR_INIT;
    } else {
        const char *near = cli_nearest(text, list, n);
        if (near) rung_error_hint(err, "did you mean \"%s\"?", near);
    }
out:
    rung_buf_clear(&names);
    return st;
}

/* Canonical text of a bool, NULL when it is none. */
static const char *bool_text(const char *text) {
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(text, yes[i]) == 0) return "true";
        if (strcmp(text, no[i]) == 0) return "false";
    }
    return NULL;
}

rung_status cli_set(cli_call *c, cli_value *v, const char *text, cli_origin origin,
                    const char *where, rung_status code, rung_error *err) {
    const cli_opt *o = v->opt;
    if (!*text) { /* set back to nothing, where nothing is a value */
        if (*o->dflt && (o->kind == CLI_INT || o->kind == CLI_REAL || o->kind == CLI_BOOL)) {
            return rung_fail(err, code, "%s%s: an empty value", where, o->name);
        }
    } else if (o->kind == CLI_INT || o->kind == CLI_REAL) {
        RUNG_TRY(check_number(o, text, where, code, err));
    } else if (o->kind == CLI_CHOICE) {
        RUNG_TRY(check_choice(o, text, where, code, err));
    } else if (o->kind == CLI_BOOL) {
        const char *b = bool_text(text);
        if (!b) {
            return rung_fail(err, code, "%s%s: \"%s\" is neither true nor false", where, o->name,
                             text);
        }
        text = b;
    }
    if (o->kind == CLI_LIST && v->origin == origin && *v->text) {
        rung_buf both;
        rung_buf_init(&both, 1u << 20);
        rung_buf_printf(&both, "%s\n%s", v->text, text);
        v->text = both.failed ? NULL : rung_arena_strndup(c->app->arena, both.data, both.n);
        rung_buf_clear(&both);
    } else {
        v->text = rung_arena_strndup(c->app->arena, text, strlen(text));
    }
    if (!v->text) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    v->origin = origin;
    return RUNG_OK;
}

rung_status cli_unknown_option(const cli_call *c, const char *name, const char *where,
                               rung_status code, rung_error *err) {
    const char *names[CLI_MAX_VALUES];
    char cmd[64];
    for (size_t i = 0; i < c->n_values; i++) names[i] = c->value[i].opt->name;
    const char *near = cli_nearest(name, names, c->n_values);
    const char *dash = code == RUNG_E_INVAL ? "--" : "";
    rung_fail(err, code, "%sunknown option %s%s for \"%s\"", where, dash, name,
              cli_cmd_name(c->cmd, cmd));
    if (near) return rung_error_hint(err, "did you mean %s%s?", dash, near);
    return rung_error_hint(err, "rung %s --help lists its options", cli_cmd_name(c->cmd, cmd));
}

/* ---- flags */

/* "--name", "--name=value", "--no-name". took_next: the value was argv[i + 1]. */
static rung_status parse_flag(cli_call *c, const char *arg, const char *next, bool *took_next,
                              rung_error *err) {
    char name[64];
    const char *eq = strchr(arg, '=');
    size_t n = eq ? (size_t)(eq - arg) : strlen(arg);
    *took_next = false;
    snprintf(name, sizeof name, "%.*s", (int)n, arg);
    cli_value *v = cli_value_find(c, name);
    if (!v && !eq && strncmp(name, "no-", 3) == 0) {
        v = cli_value_find(c, name + 3);
        if (v && v->opt->kind == CLI_BOOL) {
            return cli_set(c, v, "false", CLI_FLAG, "--", RUNG_E_INVAL, err);
        }
        v = NULL;
    }
    if (!v) return cli_unknown_option(c, name, "", RUNG_E_INVAL, err);
    if (eq) return cli_set(c, v, eq + 1, CLI_FLAG, "--", RUNG_E_INVAL, err);
    if (v->opt->kind == CLI_BOOL) return cli_set(c, v, "true", CLI_FLAG, "--", RUNG_E_INVAL, err);
    if (!next) {
        rung_fail(err, RUNG_E_INVAL, "--%s needs a value", v->opt->name);
        return rung_error_hint(err, "--%s %s", v->opt->name, *v->opt->unit ? v->opt->unit : "TEXT");
    }
    *took_next = true;
    return cli_set(c, v, next, CLI_FLAG, "--", RUNG_E_INVAL, err);
}

static rung_status parse_positional(cli_call *c, size_t i, const char *arg, rung_error *err) {
    char name[48], cmd[64];
    bool optional;
    if (!cli_arg_at(c->cmd->args, i, name, &optional)) {
        rung_fail(err, RUNG_E_INVAL, "unexpected argument \"%s\"", arg);
        return rung_error_hint(err, "rung %s --help shows what it takes",
                               cli_cmd_name(c->cmd, cmd));
    }
    cli_value *v = cli_value_find(c, name);
    if (!v) return rung_fail(err, RUNG_E_MISUSE, "argument %s has no row in the table", name);
    return cli_set(c, v, arg, CLI_FLAG, "", RUNG_E_INVAL, err);
}

rung_status cli_parse_flags(cli_call *c, int argc, char **argv, bool *help, rung_error *err) {
    size_t n_pos = 0;
    bool only_args = false;
    for (int i = 0; i < argc; i++) {
        const char *a = argv[i];
        if (!only_args && strcmp(a, "--") == 0) {
            only_args = true;
        } else if (!only_args && (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0)) {
            *help = true;
            return RUNG_OK;
        } else if (!only_args && a[0] == '-' && a[1] == '-') {
            bool took = false;
            RUNG_TRY(parse_flag(c, a + 2, i + 1 < argc ? argv[i + 1] : NULL, &took, err));
            if (took) i++;
        } else if (!only_args && a[0] == '-' && a[1]) {
            rung_fail(err, RUNG_E_INVAL, "unknown option %s", a);
            return rung_error_hint(err, "options are written out: --name value; \"-\" alone is "
                                        "standard input, -- ends the options");
        } else {
            RUNG_TRY(parse_positional(c, n_pos++, a, err));
        }
    }
    return RUNG_OK;
}

rung_status cli_check_args(const cli_call *c, rung_error *err) {
    char name[48], cmd[64];
    bool optional;
    for (size_t i = 0; cli_arg_at(c->cmd->args, i, name, &optional); i++) {
        const char *text = cli_str(c, name);
        if (text || optional) continue;
        rung_fail(err, RUNG_E_INVAL, "%s is missing", name);
        return rung_error_hint(err, "for example: rung %s",
                               c->cmd->example ? c->cmd->example : cli_cmd_name(c->cmd, cmd));
    }
    return RUNG_OK;
}

/* ---- config file: trace.sample.n = 8   # comment */

static char *trim(char *s) {
    while (isspace((unsigned char)*s)) s++;
    size_t n = strlen(s);
    while (n > 0 && isspace((unsigned char)s[n - 1])) s[--n] = 0;
    return s;
}

/* Text in quotes, in place: \n \t \" \\ are escapes. NULL when the quote does not close. */
static char *quoted_value(char *s) {
    char *to = s;
    for (char *p = s + 1; *p; p++) {
        if (*p == '"') {
            char *rest = trim(p + 1);
            *to = 0;
            return *rest && *rest != '#' ? NULL : s;
        }
        if (*p == '\\' && p[1]) {
            p++;
            *to++ = *p == 'n' ? '\n' : *p == 't' ? '\t' : *p;
        } else {
            *to++ = *p;
        }
    }
    return NULL;
}

/* Value of a line: quotes keep '#' and blanks; NULL when the quotes do not close. */
static char *file_value(char *s) {
    s = trim(s);
    if (*s == '"') return quoted_value(s);
    for (char *p = s; *p; p++) {
        if (*p == '#' && (p == s || isspace((unsigned char)p[-1]))) {
            *p = 0;
            break;
        }
    }
    return trim(s);
}

/* Which command and option does key name? Global keys have no dot. cmd NULL: global. */
static const cli_opt *key_option(const char *key, const cli_cmd **cmd, const char **option) {
    const char *dot = strrchr(key, '.');
    *cmd = NULL;
    *option = dot ? dot + 1 : key;
    if (!dot) {
        for (size_t i = 0; i < cli_global_group.n; i++) {
            if (name_equal(cli_global_group.opt[i].name, key)) return &cli_global_group.opt[i];
        }
        return NULL;
    }
    for (size_t k = 0; (*cmd = cli_cmd_at(k)); k++) {
        char full[64];
        snprintf(full, sizeof full, "%s%s%s", (*cmd)->noun, *(*cmd)->verb ? "." : "", (*cmd)->verb);
        size_t n = strlen(full);
        if (n != (size_t)(dot - key) || strncmp(full, key, n) != 0) continue;
        for (size_t g = 0; g < CLI_MAX_GROUPS && (*cmd)->group[g]; g++) {
            for (size_t i = 0; i < (*cmd)->group[g]->n; i++) {
                if (name_equal((*cmd)->group[g]->opt[i].name, *option)) {
                    return &(*cmd)->group[g]->opt[i];
                }
            }
        }
        return NULL;
    }
    return NULL;
}

static rung_status unknown_key(const char *key, const char *where, rung_error *err) {
    enum { MAX = 1024 };
    rung_buf names;
    const char *list[MAX];
    size_t n = 0;
    rung_buf_init(&names, 1u << 20);
    for (size_t k = 0;; k++) {
        const cli_cmd *cmd = cli_cmd_at(k);
        if (!cmd) break;
        for (size_t g = 0; g < CLI_MAX_GROUPS && cmd->group[g]; g++) {
            for (size_t i = 0; i < cmd->group[g]->n; i++) {
                rung_buf_printf(
                    &names, "%s%s%s%s%s", cmd->group[g] == &cli_global_group ? "" : cmd->noun,
                    cmd->group[g] == &cli_global_group || !*cmd->verb ? "" : ".",
                    cmd->group[g] == &cli_global_group ? "" : cmd->verb,
                    cmd->group[g] == &cli_global_group ? "" : ".", cmd->group[g]->opt[i].name);
                rung_buf_append(&names, "", 1);
            }
        }
    }
    if (!names.failed) {
        for (const char *p = names.data; p < names.data + names.n && n < MAX; p += strlen(p) + 1) {
            list[n++] = p;
        }
    }
    rung_fail(err, RUNG_E_FORMAT, "%sunknown key \"%s\"", where, key);
    const char *near = cli_nearest(key, list, n);
    if (near)
        rung_error_hint(err, "did you mean \"%s\"?", near);
    else
        rung_error_hint(err, "rung config show prints every key");
    rung_buf_clear(&names);
    return RUNG_E_FORMAT;
}

static rung_status file_line(cli_call *c, char *line, const char *where, rung_error *err) {
    char *s = trim(line);
    if (!*s || *s == '#') return RUNG_OK;
    char *eq = strchr(s, '=');
    if (!eq) {
        rung_fail(err, RUNG_E_FORMAT, "%sno \"=\" in \"%s\"", where, s);
        return rung_error_hint(err, "a line is: trace.sample.n = 8   # comment");
    }
    *eq = 0;
    char *key = trim(s);
    const cli_cmd *cmd;
    const char *option;
    const cli_opt *o = key_option(key, &cmd, &option);
    if (!o) return unknown_key(key, where, err);
    char *value = file_value(eq + 1);
    if (!value) return rung_fail(err, RUNG_E_FORMAT, "%sa quote that does not close", where);
    if (cmd && cmd != c->cmd) { /* another command's: checked, not used */
        cli_value scratch = {.opt = o, .text = o->dflt};
        return cli_set(c, &scratch, value, CLI_FILE, where, RUNG_E_FORMAT, err);
    }
    cli_value *v = cli_value_find(c, option);
    if (!v) return RUNG_OK;
    return cli_set(c, v, value, CLI_FILE, where, RUNG_E_FORMAT, err);
}

rung_status cli_apply_file(cli_call *c, const char *path, rung_error *err) {
    rung_buf text;
    rung_status st = RUNG_OK;
    int line = 0;
    rung_buf_init(&text, 4u << 20);
    RUNG_GOTO(rung_file_read(&text, path, err));
    for (char *p = text.data; p && *p; line++) {
        char where[300];
        char *end = strchr(p, '\n');
        if (end) *end = 0;
        snprintf(where, sizeof where, "%s:%d: ", path, line + 1);
        RUNG_GOTO(file_line(c, p, where, err));
        p = end ? end + 1 : NULL;
    }
out:
    rung_buf_clear(&text);
    return st;
}

rung_status cli_apply_env(cli_call *c, rung_error *err) {
    for (size_t i = 0; i < c->n_values; i++) {
        cli_value *v = &c->value[i];
        bool global =
            v->opt >= cli_global_group.opt && v->opt < cli_global_group.opt + cli_global_group.n;
        char name[96], where[110];
        cli_env_name(name, global ? NULL : c->cmd, v->opt->name);
        const char *text = getenv(name);
        if (!text) continue;
        snprintf(where, sizeof where, "environment %s: ", name);
        RUNG_TRY(cli_set(c, v, text, CLI_ENV, where, RUNG_E_INVAL, err));
    }
    return RUNG_OK;
}

/* ---- typed reads */

static const cli_value *must_find(const cli_call *c, const char *name) {
    for (size_t i = 0; i < c->n_values; i++) {
        if (strcmp(c->value[i].opt->name, name) == 0) return &c->value[i];
    }
    fprintf(stderr, "rung: internal: %s %s has no option %s\n", c->cmd->noun, c->cmd->verb, name);
    abort();
}

const char *cli_str(const cli_call *c, const char *name) {
    const char *t = must_find(c, name)->text;
    return *t ? t : NULL;
}

int64_t cli_int(const cli_call *c, const char *name) {
    const char *t = must_find(c, name)->text;
    return *t ? (int64_t)strtoll(t, NULL, 10) : 0;
}

double cli_real(const cli_call *c, const char *name) {
    const char *t = must_find(c, name)->text;
    return *t ? strtod(t, NULL) : 0.0;
}

bool cli_flag(const cli_call *c, const char *name) {
    return strcmp(must_find(c, name)->text, "true") == 0;
}

bool cli_is_set(const cli_call *c, const char *name) {
    return must_find(c, name)->origin != CLI_DEFAULT;
}

rung_status cli_need(const cli_call *c, const char *name, const char *hint, rung_error *err) {
    if (cli_str(c, name)) return RUNG_OK;
    rung_fail(err, RUNG_E_INVAL, "--%s is missing", name);
    return rung_error_hint(err, "%s", hint);
}

/* ---- the run's config text */

static int by_name(const void *a, const void *b) {
    const cli_value *const *x = a, *const *y = b;
    return strcmp((*x)->opt->name, (*y)->opt->name);
}

static void config_value(rung_buf *b, const cli_value *v) {
    for (const char *p = v->opt->name; *p; p++) {
        char ch = *p == '-' ? '_' : *p;
        if (p == v->opt->name) rung_buf_str(b, "\"");
        rung_buf_append(b, &ch, 1);
    }
    rung_buf_str(b, "\":");
    switch (v->opt->kind) {
    case CLI_INT: rung_buf_printf(b, "%lld", strtoll(v->text, NULL, 10)); break;
    case CLI_REAL: rung_buf_printf(b, "%.12g", strtod(v->text, NULL)); break;
    case CLI_BOOL: rung_buf_str(b, v->text); break;
    default: rung_buf_json_str(b, v->text, strlen(v->text));
    }
}

static void config_object(rung_buf *b, const cli_value *const *list, size_t n, bool only_key) {
    const char *sep = "";
    rung_buf_str(b, "{");
    for (size_t i = 0; i < n; i++) {
        if (!*list[i]->text) continue; /* not set: not in the text, so new options change no hash */
        if (list[i]->opt->use == CLI_FREE) continue;
        if (only_key && list[i]->opt->use != CLI_KEY) continue;
        rung_buf_str(b, sep);
        config_value(b, list[i]);
        sep = ",";
    }
    rung_buf_str(b, "}");
}

rung_status cli_config_text(rung_buf *json, char hash[33], const cli_call *c, const char *extra,
                            rung_error *err) {
    const cli_value *list[CLI_MAX_VALUES];
    rung_buf key;
    char cmd[64];
    for (size_t i = 0; i < c->n_values; i++) list[i] = &c->value[i];
    qsort(list, c->n_values, sizeof *list, by_name);
    rung_buf_init(&key, 1u << 20);
    rung_buf_printf(&key, "%s\n%s\n", cli_cmd_name(c->cmd, cmd), extra ? extra : "");
    config_object(&key, list, c->n_values, true);
    rung_status st = rung_buf_check(&key, err);
    if (st == RUNG_OK) rung_hash_hex(hash, key.data, key.n);
    rung_buf_clear(&key);
    if (st != RUNG_OK) return st;
    config_object(json, list, c->n_values, false);
    return rung_buf_check(json, err);
}
