/* cli/cli.h: the command as one table. Every noun and verb is a row (commands.c), every flag is a
 * row of an option table beside its command; flags, config files, the environment, recipes, help,
 * the man page, completions and the run's config text all walk the same rows. */
#ifndef RUNG_SRC_CLI_CLI_H
#define RUNG_SRC_CLI_CLI_H
#include "rung/event.h"
#include "rung/model.h"
#include <signal.h>

typedef enum cli_kind {
    CLI_STR = 0,
    CLI_INT,
    CLI_REAL,
    CLI_BOOL,
    CLI_CHOICE,
    CLI_PATH,
    CLI_LIST /* text; a repeated flag adds a line */
} cli_kind;

/* Does the value decide what comes out? KEY: it is in the run's config text and in its hash. NOTE:
 * in the text only (a path, where the file's hash is the key). FREE: in neither (threads, --name).
 */
typedef enum cli_use { CLI_KEY = 0, CLI_NOTE, CLI_FREE } cli_use;

/* One option. dflt "" = not set. A CLI_CHOICE has choices "a|b|c" or walks a registry with names.
 */
typedef struct cli_opt {
    const char *name; /* "max-tokens"; the same word in every place, '_' is read as '-' */
    cli_kind kind;
    const char *dflt;
    const char *unit; /* placeholder and unit in help: "N", "FILE", "0..1" */
    double lo, hi;    /* of numbers; lo == hi: any */
    const char *choices;
    cli_use use;
    const char *help;
    const char *(*names)(size_t i); /* NULL past the end */
} cli_opt;

typedef struct cli_group {
    const char *title;
    const cli_opt *opt;
    size_t n;
} cli_group;

typedef enum cli_origin { CLI_DEFAULT = 0, CLI_FILE, CLI_ENV, CLI_FLAG, CLI_RECIPE } cli_origin;
typedef struct cli_value {
    const cli_opt *opt;
    const char *text;
    cli_origin origin;
} cli_value;

enum { CLI_MAX_GROUPS = 8, CLI_MAX_VALUES = 96 };

typedef struct cli_call cli_call;
typedef rung_status (*cli_fn)(cli_call *c, rung_error *err);
typedef struct cli_cmd {
    const char *noun, *verb; /* verb "" for one-word commands */
    const char *args;        /* positional options in order, "world file?": ? = may be left out */
    const char *help;        /* one line */
    const char *example;     /* without the leading "rung " */
    const cli_group *group[CLI_MAX_GROUPS]; /* NULL-terminated */
    cli_fn fn;
    bool measuring; /* its --json ends with one result object */
} cli_cmd;

/* One process: globals, the store, the renderer. */
typedef struct cli_app {
    const char *store_path, *config_path;
    bool json, quiet, dry_run;
    int threads;
    rung_memory memory; /* of --memory, for all models of the command */
    rung_store *store;
    rung_log log;
    struct cli_render *render;
    rung_arena *arena;
    char **argv;
    char *resume; /* the exact command that goes on */
    bool out_closed;
} cli_app;

/* One invocation of a command with its resolved options. The command leaves its result object in
 * `result` and says in `summary` what it did, in one line. */
struct cli_call {
    cli_app *app;
    const cli_cmd *cmd;
    cli_value value[CLI_MAX_VALUES];
    size_t n_values;
    rung_buf result, summary;
    int64_t tokens;
    bool in_recipe;
};

/* ---- commands.c */
const cli_cmd *cli_cmd_at(size_t i); /* NULL past the end */
const cli_cmd *cli_cmd_find(const char *noun, const char *verb);
const char *cli_cmd_name(const cli_cmd *cmd, char buf[64]); /* "trace sample" */
extern const cli_group cli_global_group;

/* ---- options.c: resolving */
void cli_call_init(cli_call *c, cli_app *app, const cli_cmd *cmd); /* every option at its default */
void cli_call_clear(cli_call *c);
cli_value *cli_value_find(cli_call *c, const char *name); /* NULL; '_' = '-' */
/* Check and set; where: "file:3:5: " or "" before the message. code: E_INVAL for flags, E_FORMAT
 * for files. */
rung_status cli_set(cli_call *c, cli_value *v, const char *text, cli_origin origin,
                    const char *where, rung_status code, rung_error *err);
/* No such option: says so with the nearest. */
rung_status cli_unknown_option(const cli_call *c, const char *name, const char *where,
                               rung_status code, rung_error *err);
rung_status cli_parse_flags(cli_call *c, int argc, char **argv, bool *help, rung_error *err);
rung_status cli_apply_file(cli_call *c, const char *path, rung_error *err);
rung_status cli_apply_env(cli_call *c, rung_error *err);
rung_status cli_check_args(const cli_call *c, rung_error *err); /* needed positionals are there */
const char *cli_origin_name(cli_origin o);
/* nth word of `args` ("world file?") into buf; false past the end. */
bool cli_arg_at(const char *args, size_t i, char buf[48], bool *optional);
void cli_env_name(char buf[96], const cli_cmd *cmd, const char *option); /* RUNG_TRACE_SAMPLE_N */
const char *cli_nearest(const char *word, const char *const *names, size_t n); /* NULL: none near */

/* The options of c as lines of a config file (objects with --json), with origin. cmd_meta.c */
rung_status cli_print_values(const cli_call *c, bool globals, rung_error *err);

/* Typed reads of a resolved option. A name that is not in the table ends the program: it is a bug.
 */
const char *cli_str(const cli_call *c, const char *name); /* NULL when empty */
int64_t cli_int(const cli_call *c, const char *name);     /* 0 when empty */
double cli_real(const cli_call *c, const char *name);
bool cli_flag(const cli_call *c, const char *name);
bool cli_is_set(const cli_call *c, const char *name); /* not at its default */
rung_status cli_need(const cli_call *c, const char *name, const char *hint,
                     rung_error *err); /* E_INVAL when empty */

/* The run's config text: KEY and NOTE options as one JSON object, keys sorted. hash: over the KEY
 * ones, the command's name and `extra` (hash of a model file, ... ; NULL none). */
rung_status cli_config_text(rung_buf *json, char hash[33], const cli_call *c, const char *extra,
                            rung_error *err);

/* ---- help.c, manpage.c, completion.c */
rung_status cli_help_overview(cli_app *app, rung_error *err);
rung_status cli_help_command(cli_app *app, const cli_cmd *cmd, rung_error *err);
rung_status cli_man_page(cli_app *app, rung_error *err);
rung_status cli_completion_script(cli_app *app, const char *shell, rung_error *err);
void cli_default_text(char *buf, size_t n, const cli_opt *o);          /* " [default 8, 1..4096]" */
void cli_choices_text(rung_buf *b, const cli_opt *o, const char *sep); /* "min|prod|last" */

/* ---- render.c: stdout = data, stderr = talk */
typedef struct cli_render cli_render;
cli_render *cli_render_new(cli_app *app);
void cli_render_free(cli_render *r);
void cli_say(cli_app *app, const char *fmt, ...) RUNG_PRINTF(2, 3); /* talk; silent with --quiet */
void cli_print_error(const rung_error *err);
rung_status cli_out(cli_app *app, const char *text, size_t n, rung_error *err);
rung_status cli_outf(cli_app *app, rung_error *err, const char *fmt, ...) RUNG_PRINTF(3, 4);
rung_status cli_out_end(cli_app *app, rung_error *err); /* flush and check */
extern volatile sig_atomic_t cli_interrupted;

/* A table for eyes: add the cells row by row, print once; numbers to the right. */
typedef struct cli_table {
    rung_buf cells; /* NUL-separated */
    size_t n_cols, n_cells;
} cli_table;
void cli_table_init(cli_table *t, const char *const *head, size_t n_cols);
void cli_cell(cli_table *t, const char *fmt, ...) RUNG_PRINTF(2, 3);
rung_status cli_table_print(cli_table *t, cli_app *app, rung_error *err); /* and clear */
/* Text of models and files made safe for a terminal: control bytes but newline and tab become '?'.
 */
void cli_clean(rung_buf *out, const char *text, size_t n);

/* ---- session.c: what most commands begin and end with */
rung_status cli_store(rung_store **out, cli_call *c, int flags, rung_error *err);
/* Options -> config, run row. extra as in cli_config_text. name from --name. */
rung_status cli_run_begin(rung_run *run, cli_call *c, const char *extra, rung_error *err);
/* Result object (kind NULL: none), cost since t0 (0: the stage has counted it itself) and end of
 * the run, all or nothing. */
rung_status cli_run_end(cli_call *c, rung_run *run, const char *result_kind, double t0,
                        rung_error *err);
rung_status cli_filter(rung_filter *f, cli_call *c, rung_store *s, rung_error *err);

#endif
