/* Completion scripts from the tables: nouns, verbs, flags and the values of choices. */
#include "cli/cli.h"
#include <stdio.h>
#include <string.h>

/* Distinct nouns, in order. */
static void nouns(rung_buf *b) {
    for (size_t k = 0; cli_cmd_at(k); k++) {
        if (k > 0 && strcmp(cli_cmd_at(k - 1)->noun, cli_cmd_at(k)->noun) == 0) continue;
        rung_buf_printf(b, "%s%s", k ? " " : "", cli_cmd_at(k)->noun);
    }
}

static void verbs(rung_buf *b, const char *noun) {
    const char *sep = "";
    for (size_t k = 0; cli_cmd_at(k); k++) {
        if (strcmp(cli_cmd_at(k)->noun, noun) != 0 || !*cli_cmd_at(k)->verb) continue;
        rung_buf_printf(b, "%s%s", sep, cli_cmd_at(k)->verb);
        sep = " ";
    }
}

static void flags(rung_buf *b, const cli_cmd *cmd) {
    for (size_t g = 0; g < CLI_MAX_GROUPS && cmd->group[g]; g++) {
        for (size_t i = 0; i < cmd->group[g]->n; i++) {
            rung_buf_printf(b, "--%s ", cmd->group[g]->opt[i].name);
        }
    }
    rung_buf_str(b, "--help");
}

static bool noun_starts(size_t k) {
    return k == 0 || strcmp(cli_cmd_at(k - 1)->noun, cli_cmd_at(k)->noun) != 0;
}

/* "trace sample") words="--n ..." ;; */
static void bash_cases(rung_buf *b) {
    char name[64];
    for (size_t k = 0; cli_cmd_at(k); k++) {
        const cli_cmd *cmd = cli_cmd_at(k);
        if (noun_starts(k) && *cmd->verb) {
            rung_buf_printf(b, "    '%s ') words='", cmd->noun);
            verbs(b, cmd->noun);
            rung_buf_str(b, "' ;;\n");
        }
        rung_buf_printf(b, "    '%s'|'%s '*) words='", cli_cmd_name(cmd, name), name);
        flags(b, cmd);
        rung_buf_str(b, "' ;;\n");
    }
}

/* Values of a choice flag: the same name means the same choices in every command but a few, so the
 * case is by command and flag. */
static void bash_values(rung_buf *b) {
    char name[64];
    for (size_t k = 0; cli_cmd_at(k); k++) {
        const cli_cmd *cmd = cli_cmd_at(k);
        for (size_t g = 0; g < CLI_MAX_GROUPS && cmd->group[g]; g++) {
            for (size_t i = 0; i < cmd->group[g]->n; i++) {
                const cli_opt *o = &cmd->group[g]->opt[i];
                if (o->kind != CLI_CHOICE) continue;
                rung_buf_printf(b, "    '%s --%s') words='", cli_cmd_name(cmd, name), o->name);
                cli_choices_text(b, o, " ");
                rung_buf_str(b, "'; found=1 ;;\n");
            }
        }
    }
}

static void bash(rung_buf *b) {
    rung_buf_str(b, "# bash completion of rung; made by: rung completion bash\n"
                    "_rung() {\n"
                    "  local cur prev words='' found='' cmd\n"
                    "  cur=${COMP_WORDS[COMP_CWORD]}; prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                    "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    COMPREPLY=($(compgen -W '");
    nouns(b);
    rung_buf_str(b, "' -- \"$cur\")); return\n  fi\n"
                    "  cmd=\"${COMP_WORDS[1]} ${COMP_WORDS[2]}\"\n"
                    "  [ \"$COMP_CWORD\" -eq 2 ] && cmd=\"${COMP_WORDS[1]} \"\n"
                    "  case \"$cmd $prev\" in\n");
    bash_values(b);
    rung_buf_str(b, "  esac\n  [ -n \"$found\" ] || case \"$cmd\" in\n");
    bash_cases(b);
    rung_buf_str(
        b, "  esac\n"
           "  case \"$cur\" in\n"
           "    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
           "    *) if [ \"$COMP_CWORD\" -eq 2 ] || [ -n \"$found\" ]; then\n"
           "         COMPREPLY=($(compgen -W \"$words\" -- \"$cur\") $(compgen -f -- \"$cur\"))\n"
           "       else COMPREPLY=($(compgen -f -- \"$cur\")); fi ;;\n"
           "  esac\n}\ncomplete -o filenames -F _rung rung\n");
}

/* In single quotes: 'it'\''s' */
static void quoted(rung_buf *b, const char *s) {
    rung_buf_str(b, "'");
    for (; *s; s++) {
        if (*s == '\'')
            rung_buf_str(b, "'\\''");
        else
            rung_buf_append(b, s, 1);
    }
    rung_buf_str(b, "'");
}

static void fish(rung_buf *b) {
    char name[64];
    rung_buf_str(b, "# fish completion of rung; made by: rung completion fish\n");
    for (size_t k = 0; cli_cmd_at(k); k++) {
        const cli_cmd *cmd = cli_cmd_at(k);
        if (noun_starts(k)) {
            rung_buf_printf(b, "complete -c rung -n __fish_use_subcommand -f -a %s\n", cmd->noun);
        }
        if (*cmd->verb) {
            rung_buf_printf(b, "complete -c rung -n '__fish_seen_subcommand_from %s' -f -a %s -d ",
                            cmd->noun, cmd->verb);
            quoted(b, cmd->help);
            rung_buf_str(b, "\n");
        }
        for (size_t g = 0; g < CLI_MAX_GROUPS && cmd->group[g]; g++) {
            for (size_t i = 0; i < cmd->group[g]->n; i++) {
                const cli_opt *o = &cmd->group[g]->opt[i];
                rung_buf_printf(b, "complete -c rung -n '__fish_seen_subcommand_from %s",
                                cmd->noun);
                if (*cmd->verb)
                    rung_buf_printf(b, "; and __fish_seen_subcommand_from %s", cmd->verb);
                rung_buf_printf(b, "' -l %s%s -d ", o->name, o->kind == CLI_BOOL ? "" : " -r");
                quoted(b, o->help);
                if (o->kind == CLI_CHOICE) {
                    rung_buf_str(b, " -f -a '");
                    cli_choices_text(b, o, " ");
                    rung_buf_str(b, "'");
                }
                rung_buf_str(b, "\n");
            }
        }
        (void)name;
    }
}

/* zsh text inside [..] of _arguments: brackets and colons are its own. */
static void zsh_text(rung_buf *b, const char *s) {
    for (; *s; s++) {
        if (*s == '[' || *s == ']' || *s == ':' || *s == '\\') rung_buf_str(b, "\\");
        if (*s == '\'')
            rung_buf_str(b, "'\\''");
        else
            rung_buf_append(b, s, 1);
    }
}

static void zsh_option(rung_buf *b, const cli_opt *o) {
    rung_buf_printf(b, " '--%s%s[", o->name, o->kind == CLI_BOOL ? "" : "=");
    zsh_text(b, o->help);
    rung_buf_str(b, "]");
    if (o->kind == CLI_CHOICE) {
        rung_buf_printf(b, ":%s:(", o->name);
        cli_choices_text(b, o, " ");
        rung_buf_str(b, ")");
    } else if (o->kind == CLI_PATH) {
        rung_buf_printf(b, ":%s:_files", o->name);
    } else if (o->kind != CLI_BOOL) {
        rung_buf_printf(b, ":%s: ", o->name);
    }
    rung_buf_str(b, "'");
}

static void zsh(rung_buf *b) {
    rung_buf_str(b, "#compdef rung\n# zsh completion of rung; made by: rung completion zsh\n"
                    "_rung() {\n  if (( CURRENT == 2 )); then\n    compadd ");
    nouns(b);
    rung_buf_str(b, "; return\n  fi\n  if (( CURRENT == 3 )); then\n    case $words[2] in\n");
    for (size_t k = 0; cli_cmd_at(k); k++) {
        if (!noun_starts(k) || !*cli_cmd_at(k)->verb) continue;
        rung_buf_printf(b, "      %s) compadd ", cli_cmd_at(k)->noun);
        verbs(b, cli_cmd_at(k)->noun);
        rung_buf_str(b, "; return ;;\n");
    }
    rung_buf_str(b, "    esac\n  fi\n  case \"$words[2] $words[3]\" in\n");
    for (size_t k = 0; cli_cmd_at(k); k++) {
        const cli_cmd *cmd = cli_cmd_at(k);
        rung_buf_printf(b, "    '%s %s'%s) _arguments -s", cmd->noun, cmd->verb,
                        *cmd->verb ? "" : "*");
        for (size_t g = 0; g < CLI_MAX_GROUPS && cmd->group[g]; g++) {
            for (size_t i = 0; i < cmd->group[g]->n; i++) zsh_option(b, &cmd->group[g]->opt[i]);
        }
        rung_buf_str(b, " '*:file:_files' ;;\n");
    }
    rung_buf_str(b, "  esac\n}\n_rung \"$@\"\n");
}

rung_status cli_completion_script(cli_app *app, const char *shell, rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, 4u << 20);
    if (strcmp(shell, "bash") == 0)
        bash(&b);
    else if (strcmp(shell, "zsh") == 0)
        zsh(&b);
    else
        fish(&b);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) st = cli_out(app, b.data, b.n, err);
    rung_buf_clear(&b);
    return st;
}
