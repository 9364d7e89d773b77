/* rung <noun> <verb>: find the row, resolve its options, run it, say how it went. */
#include "cli/cmds.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first Ctrl-C asks the stage to stop at its next unit of work, the second one kills. */
static void on_signal(int sig) {
    (void)sig;
    cli_interrupted = 1;
}

/* A library that gives up in the middle of a call (ggml asserts) ends the command, not what is in
 * the store: said by hand, since nothing else may be called here. */
static void on_abort(int sig) {
    static const char text[] =
        "rung: a library gave up in the middle of a call (its words are above)\n"
        "hint: what is in the store is kept, and the same command goes on from there; "
        "rung model info FILE tries a model by itself\n";
    (void)sig;
    ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);
    _exit(n >= 0 ? 5 : 4);
}

static void install_signals(void) {
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = on_signal;
    sa.sa_flags = (int)(SA_RESETHAND | SA_RESTART);
    sigemptyset(&sa.sa_mask);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sa.sa_handler = on_abort;
    sigaction(SIGABRT, &sa, NULL);
    (void)setenv("GGML_NO_BACKTRACE", "1", 0); /* its debugger would wait for the terminal */
    sa.sa_handler = SIG_IGN; /* a closed pipe is a failed write, told apart by errno */
    sa.sa_flags = 0;
    sigaction(SIGPIPE, &sa, NULL);
    sigaction(SIGXFSZ, &sa, NULL); /* a file size limit too: EFBIG */
}

/* argv as a shell would read it back. */
static char *quoted_command(rung_arena *a, int argc, char **argv) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-+=./:,@%";
    rung_buf b;
    rung_buf_init(&b, 1u << 20);
    for (int i = 0; i < argc; i++) {
        if (i > 0) rung_buf_str(&b, " ");
        if (argv[i][0] && argv[i][strspn(argv[i], plain)] == 0) {
            rung_buf_str(&b, argv[i]);
            continue;
        }
        rung_buf_str(&b, "'");
        for (const char *p = argv[i]; *p; p++) {
            if (*p == '\'')
                rung_buf_str(&b, "'\\''");
            else
                rung_buf_append(&b, p, 1);
        }
        rung_buf_str(&b, "'");
    }
    char *s = b.failed ? NULL : rung_arena_strndup(a, b.data, b.n);
    rung_buf_clear(&b);
    return s;
}

static void globals_from(cli_app *app, const cli_call *c) {
    app->store_path = cli_str(c, "store");
    if (!app->store_path) app->store_path = "rung.db";
    app->config_path = cli_str(c, "config");
    app->json = cli_flag(c, "json");
    app->quiet = cli_flag(c, "quiet");
    app->dry_run = cli_flag(c, "dry-run");
    app->threads = (int)cli_int(c, "threads");
}

/* defaults < file < environment < flags. The flags are read twice: first for --config and --help.
 */
static rung_status resolve(cli_call *c, int argc, char **argv, bool *help, rung_error *err) {
    cli_call first;
    cli_call_init(&first, c->app, c->cmd);
    rung_status st = cli_parse_flags(&first, argc, argv, help, err);
    const char *config = st == RUNG_OK && !*help ? cli_str(&first, "config") : NULL;
    if (!config) config = getenv("RUNG_CONFIG");
    cli_call_clear(&first);
    if (st != RUNG_OK || *help) return st;
    if (config && *config) RUNG_TRY(cli_apply_file(c, config, err));
    RUNG_TRY(cli_apply_env(c, err));
    RUNG_TRY(cli_parse_flags(c, argc, argv, help, err));
    return cli_check_args(c, err);
}

rung_status cli_call_run(cli_call *c, rung_error *err) {
    rung_status st = c->cmd->fn(c, err);
    if (st == RUNG_OK && c->result.failed) st = rung_buf_check(&c->result, err);
    return st;
}

static rung_status print_outcome(cli_call *c, rung_error *err) {
    if (c->summary.n > 0) cli_say(c->app, "%s", c->summary.data);
    if (c->app->json && c->result.n > 0) {
        RUNG_TRY(cli_out(c->app, c->result.data, c->result.n, err));
        RUNG_TRY(cli_out(c->app, "\n", 1, err));
    }
    return cli_out_end(c->app, err);
}

static int finish(cli_app *app, rung_status st, rung_error *err) {
    if (app->out_closed) return 0;
    if (st == RUNG_OK) return 0;
    if (err->code == RUNG_OK) err->code = st;
    if (st == RUNG_E_CANCELLED) {
        cli_say(app, "%s", err->what[0] ? err->what : "stopped");
        fprintf(stderr, "rung: interrupted; what is done is kept. To go on:\n  %s\n",
                app->resume ? app->resume : "the same command");
        return rung_status_exit_code(st);
    }
    if (st == RUNG_E_ANSWER_NO && !err->what[0]) return rung_status_exit_code(st);
    cli_print_error(err);
    return rung_status_exit_code(st);
}

/* What the OpenMP runtime reads before main: the limit of --threads, and that threads soon sleep at
 * a barrier (on a shared machine two spinning threads made sampling five times slower than one).
 * The few microseconds that they spin first (SPINS) keep a single sequence's small operations from
 * paying a system call each: 10% of its decoding. Set, then started once more. */
#define SPINS "10000"

static void settle_threads(const cli_app *app) {
    char text[16];
    const char *have = getenv("OMP_NUM_THREADS");
    if (!app->argv) return;
    snprintf(text, sizeof text, "%d", app->threads);
    bool limit = app->threads > 0 && !(have && strcmp(have, text) == 0);
    bool sleepy = !getenv("OMP_WAIT_POLICY") && !getenv("GOMP_SPINCOUNT");
    if (!limit && !sleepy) return;
    if ((!limit || setenv("OMP_NUM_THREADS", text, 1) == 0) &&
        (!sleepy ||
         (setenv("OMP_WAIT_POLICY", "passive", 1) == 0 && setenv("GOMP_SPINCOUNT", SPINS, 1) == 0)))
        (void)execv("/proc/self/exe", app->argv);
}

/* Does the command run or train a model? Those with an engine's options do, and some of these. */
static bool computes(const cli_cmd *cmd) {
    static const char *const nouns[] = {"reward", "model", "run"};
    for (size_t i = 0; i < CLI_N(nouns); i++)
        if (strcmp(cmd->noun, nouns[i]) == 0) return true;
    for (size_t i = 0; cmd->group[i]; i++)
        if (cmd->group[i] == &cli_engine_group) return true;
    return false;
}

static int run_command(cli_app *app, const cli_cmd *cmd, int argc, char **argv) {
    rung_error err = RUNG_ERROR_INIT;
    cli_call c;
    bool help = false;
    cli_call_init(&c, app, cmd);
    rung_status st = resolve(&c, argc, argv, &help, &err);
    if (st == RUNG_OK && help) {
        st = cli_help_command(app, cmd, &err);
        if (st == RUNG_OK) st = cli_out_end(app, &err);
    } else if (st == RUNG_OK) {
        globals_from(app, &c);
        if (computes(cmd)) settle_threads(app);
        st = app->dry_run ? cli_print_values(&c, true, &err) : cli_call_run(&c, &err);
        rung_status st2 = print_outcome(&c, st == RUNG_OK ? &err : NULL); /* the first is told */
        if (st == RUNG_OK) st = st2;
    }
    rung_store_close(app->store);
    app->store = NULL;
    cli_render_free(app->render);
    app->render = NULL;
    int code = finish(app, st, &err);
    cli_call_clear(&c);
    return code;
}

/* ---- finding the row */

static int usage_error(const char *what, const char *near_noun, const char *near) {
    fprintf(stderr, "rung: %s\n", what);
    if (near)
        fprintf(stderr, "hint: did you mean %s%s?\n", near_noun, near);
    else
        fprintf(stderr, "hint: rung --help lists the commands\n");
    return 2;
}

static int list_verbs(const char *noun, FILE *to, int code) {
    fprintf(to, "usage: rung %s <verb> [options]\n", noun);
    for (size_t i = 0; cli_cmd_at(i); i++) {
        const cli_cmd *c = cli_cmd_at(i);
        if (strcmp(c->noun, noun) == 0) fprintf(to, "  %-16s %s\n", c->verb, c->help);
    }
    return code;
}

static int unknown_noun(const char *noun) {
    const char *names[128];
    size_t n = 0;
    char what[160];
    for (size_t i = 0; cli_cmd_at(i) && n < 128; i++) names[n++] = cli_cmd_at(i)->noun;
    snprintf(what, sizeof what, "unknown command \"%.100s\"", noun);
    return usage_error(what, "", cli_nearest(noun, names, n));
}

static int unknown_verb(const char *noun, const char *verb) {
    const char *names[64];
    size_t n = 0;
    char what[240], prefix[64];
    for (size_t i = 0; cli_cmd_at(i) && n < 64; i++) {
        if (strcmp(cli_cmd_at(i)->noun, noun) == 0) names[n++] = cli_cmd_at(i)->verb;
    }
    snprintf(what, sizeof what, "unknown command \"%.60s %.100s\"", noun, verb);
    const char *near = cli_nearest(verb, names, n);
    snprintf(prefix, sizeof prefix, "%.60s ", noun);
    if (near) return usage_error(what, prefix, near);
    fprintf(stderr, "rung: %s\n", what);
    return list_verbs(noun, stderr, 2);
}

static bool is_noun(const char *word) {
    for (size_t i = 0; cli_cmd_at(i); i++) {
        if (strcmp(cli_cmd_at(i)->noun, word) == 0) return true;
    }
    return false;
}

static int dispatch(cli_app *app, int argc, char **argv) {
    rung_error err = RUNG_ERROR_INIT;
    if (argc < 2) {
        fputs("usage: rung <noun> <verb> [options]\nhint: rung --help lists the commands\n",
              stderr);
        return 2;
    }
    const char *noun = argv[1];
    if (strcmp(noun, "--help") == 0 || strcmp(noun, "-h") == 0) {
        rung_status st = cli_help_overview(app, &err);
        if (st == RUNG_OK) st = cli_out_end(app, &err);
        return finish(app, st, &err);
    }
    if (strcmp(noun, "--version") == 0) noun = "version";
    const cli_cmd *cmd = cli_cmd_find(noun, "");
    if (cmd && argc > 2 && argv[2][0] != '-' && argv[2][0] && cli_cmd_find(noun, argv[2])) {
        cmd = cli_cmd_find(noun, argv[2]); /* "verify math" beside "verify FILE" */
        return run_command(app, cmd, argc - 3, argv + 3);
    }
    if (cmd) return run_command(app, cmd, argc - 2, argv + 2);
    if (noun[0] == '-') {
        fprintf(stderr,
                "rung: unknown option %s\nhint: options come after the command: rung <noun> "
                "<verb> %s ...\n",
                noun, noun);
        return 2;
    }
    if (!is_noun(noun)) return unknown_noun(noun);
    if (argc < 3) return list_verbs(noun, stderr, 2);
    if (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0) {
        return list_verbs(noun, stdout, 0);
    }
    cmd = cli_cmd_find(noun, argv[2]);
    if (!cmd) return unknown_verb(noun, argv[2]);
    return run_command(app, cmd, argc - 3, argv + 3);
}

int main(int argc, char **argv) {
    cli_app app;
    memset(&app, 0, sizeof app);
    install_signals();
    app.arena = rung_arena_new(256u << 20);
    if (!app.arena || !cli_render_new(&app)) {
        fputs("rung: out of memory\n", stderr);
        return 4;
    }
    app.argv = argv;
    app.resume = quoted_command(app.arena, argc, argv);
    int code = dispatch(&app, argc, argv);
    if (app.render) cli_render_free(app.render);
    rung_arena_free(app.arena);
    return code;
}
