/* rung store check | export | import */
#include "cli/session.h"
#include <errno.h>
#include <string.h>

static const cli_opt check_opts[] = {
    OPT_BOOL("strict", "false", CLI_FREE, "exit 1 when work is left"),
};
const cli_group cli_store_check_group = CLI_GROUP_OF("check", check_opts);
static const cli_opt export_opts[] = {
    OPT_PATH("file", "-", CLI_KEY, "where to; - is standard output"),
};
const cli_group cli_store_export_group = CLI_GROUP_OF("export", export_opts);
static const cli_opt import_opts[] = {
    OPT_PATH("file", "", CLI_KEY, "an export; - is standard input"),
};
const cli_group cli_store_import_group = CLI_GROUP_OF("import", import_opts);

rung_status cli_store_check(cli_call *c, rung_error *err) {
    rung_store *s;
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_READ_ONLY, err));
    rung_status st = rung_store_check(&c->result, s, err);
    if (!c->app->json && c->result.n > 0) {
        RUNG_TRY(cli_out(c->app, c->result.data, c->result.n, err));
        RUNG_TRY(cli_out(c->app, "\n", 1, err));
    }
    return st;
}

typedef struct sink {
    rung_out *out;
    int64_t n;
    rung_error *err;
    rung_status st; /* of the write that failed */
    bool pipe_closed;
} sink;

static int write_line(void *ud, const char *line, size_t n) {
    sink *k = ud;
    if (cli_interrupted) return -1;
    k->st = rung_out_write(k->out, line, n, k->err);
    if (k->st == RUNG_OK && line[n - 1] != '\n') k->st = rung_out_write(k->out, "\n", 1, k->err);
    k->pipe_closed = k->st != RUNG_OK && errno == EPIPE;
    if (k->st != RUNG_OK) return -1;
    k->n++;
    return 0;
}

rung_status cli_store_export(cli_call *c, rung_error *err) {
    rung_store *s;
    const char *path = cli_str(c, "file");
    if (!path) path = "-";
    bool to_stdout = strcmp(path, "-") == 0;
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_READ_ONLY, err));
    rung_error why = RUNG_ERROR_INIT;
    sink k = {.err = &why};
    RUNG_TRY(rung_out_open(&k.out, path, err));
    rung_status st = rung_store_export(s, write_line, &k, err);
    if (cli_interrupted) st = rung_fail(err, RUNG_E_CANCELLED, "export stopped");
    if (k.st != RUNG_OK) {
        *err = why;
        st = k.st;
    }
    if (st == RUNG_OK)
        st = rung_out_commit(k.out, err);
    else
        rung_out_discard(k.out);
    if (to_stdout && k.pipe_closed) c->app->out_closed = true;
    if (st != RUNG_OK && to_stdout) rung_error_hint(err, "the export is incomplete");
    if (st != RUNG_OK) return st;
    rung_buf_printf(&c->summary, "%lld rows written to %s", (long long)k.n, path);
    if (!to_stdout) {
        cli_result_open(c, NULL);
        cli_result_int(c, "n_rows", k.n);
        cli_result_close(c, 0);
    }
    return RUNG_OK;
}

rung_status cli_store_import(cli_call *c, rung_error *err) {
    rung_store *s;
    int64_t n = 0;
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    RUNG_TRY(rung_store_import(&n, s, cli_str(c, "file"), err));
    rung_buf_printf(&c->summary, "%lld new rows from %s", (long long)n, cli_str(c, "file"));
    cli_result_open(c, NULL);
    cli_result_int(c, "n_rows", n);
    cli_result_close(c, 0);
    return RUNG_OK;
}
