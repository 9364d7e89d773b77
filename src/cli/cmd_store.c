/* rung store check | export | import */
#include "cli/session.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
    FILE *f;
    int64_t n;
    int error;
} sink;

static int write_line(void *ud, const char *line, size_t n) {
    sink *k = ud;
    if (cli_interrupted) return -1;
    if (fwrite(line, 1, n, k->f) != n || (line[n - 1] != '\n' && fputc('\n', k->f) == EOF)) {
        k->error = errno;
        return -1;
    }
    k->n++;
    return 0;
}

static rung_status sink_failed(cli_call *c, const sink *k, const char *path, rung_error *err) {
    if (cli_interrupted) return rung_fail(err, RUNG_E_CANCELLED, "export stopped");
    if (k->error == EPIPE && strcmp(path, "-") == 0) c->app->out_closed = true;
    errno = k->error;
    rung_fail_errno(err, "could not write %s", path);
    return rung_error_hint(err, "the export is incomplete");
}

/* A file is written beside its name and renamed when it is whole. */
rung_status cli_store_export(cli_call *c, rung_error *err) {
    rung_store *s;
    char part[4096];
    const char *path = cli_str(c, "file");
    if (!path) path = "-";
    bool to_stdout = strcmp(path, "-") == 0;
    if (!to_stdout) RUNG_TRY(cli_can_write(path, err));
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_READ_ONLY, err));
    if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part) {
        return rung_fail(err, RUNG_E_INVAL, "path too long: %.80s...", path);
    }
    sink k = {.f = to_stdout ? stdout : fopen(part, "wb")};
    if (!k.f) return rung_fail_errno(err, "could not write %s", part);
    rung_status st = rung_store_export(s, write_line, &k, err);
    if (fflush(k.f) != 0 && !k.error) k.error = errno;
    if (k.error || cli_interrupted) st = sink_failed(c, &k, path, err);
    if (!to_stdout) {
        if (st == RUNG_OK && fsync(fileno(k.f)) != 0)
            st = rung_fail_errno(err, "could not write %s", part);
        fclose(k.f);
        if (st == RUNG_OK && rename(part, path) != 0) {
            st = rung_fail_errno(err, "could not rename %s", part);
        }
        if (st != RUNG_OK) (void)unlink(part);
    }
    if (st == RUNG_OK) {
        rung_buf_printf(&c->summary, "%lld rows written to %s", (long long)k.n, path);
        if (!to_stdout) {
            cli_result_open(c, NULL);
            cli_result_int(c, "n_rows", k.n);
            cli_result_close(c, 0);
        }
    }
    return st;
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
