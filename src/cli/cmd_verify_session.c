/* rung verify session: a session of a tool (rung/tool.h), a line of JSON each way. */
#include "base/json.h"
#include "cli/session.h"
#include "rung/tool.h"
#include <string.h>

static const char *names_tools(size_t i) {
    const rung_tool *t = rung_tool_at(i);
    return t ? t->name : NULL;
}

static const cli_opt session_opts[] = {
    OPT_PATH("file", "", CLI_KEY,
             "JSON lines: {\"block\": ..} (or \"code\", \"query\"), {\"rebuild\": true} or "
             "{\"reset\": true}; - is standard input"),
    OPT_NAMES("tool", "python", names_tools, CLI_KEY, "what the blocks are for"),
    OPT_BOOL("replay", "false", CLI_KEY,
             "python: after a block that ended the namespace, run the others again before the "
             "next"),
    OPT_INT("max", "0", "BLOCKS", 0, 1000000, CLI_KEY,
            "blocks of the session, 0 = the tool's own limit (sql 10, retrieve 4)"),
    OPT_INT("shown", "0", "N", 0, 10000, CLI_KEY,
            "rows or passages of an observation, 0 = the tool's own number (3)"),
    OPT_STR("db", "", "FILE|NAME", CLI_KEY, "sql: the database: a file, or a name below --folder"),
    OPT_PATH("script", "", CLI_KEY, "sql: a file of CREATE and INSERT that makes it instead"),
    OPT_STR("folder", "", "FOLDER", CLI_KEY, "sql: where databases lie (rung verify sql)"),
    OPT_PATH("docs", "", CLI_KEY, "retrieve: JSON lines with \"id\", \"title\" and \"text\""),
};
const cli_group cli_verify_session_group = CLI_GROUP_OF("session", session_opts);

typedef struct talk {
    cli_call *c;
    const rung_tool *tool;
    void *s;
    const char *path;
    int64_t line, n, n_passed, n_ended, n_replayed, n_bad;
} talk;

/* What a tool stands on, opened for the one that is asked for. */
typedef struct ground {
    rung_tool_opts o;
    rung_session_opts session;
    rung_sandbox *sandbox;
    rung_sql *sql;
    rung_sql_db db;
    rung_buf script;
    rung_index *index;
} ground;

static rung_status open_db(ground *g, cli_call *c, rung_error *err) {
    rung_sql_opts o = RUNG_SQL_OPTS_INIT;
    const char *script = cli_str(c, "script"), *db = cli_str(c, "db");
    if (!script == !db) {
        rung_fail(err, RUNG_E_INVAL, "the tool sql needs one database");
        return rung_error_hint(err, "--db FILE, or --script FILE of CREATE and INSERT");
    }
    if (script) RUNG_TRY(rung_file_read(&g->script, script, err));
    g->db = (rung_sql_db){db, script ? g->script.data : NULL};
    o.folder = cli_str(c, "folder");
    g->o.db = &g->db;
    RUNG_TRY(rung_sql_new(&g->sql, &o, err));
    g->o.sql = g->sql;
    return RUNG_OK;
}

static rung_status open_docs(ground *g, cli_call *c, rung_error *err) {
    int64_t n = 0;
    RUNG_TRY(cli_need(c, "docs", "JSON lines of documents", err));
    RUNG_TRY(rung_index_new(&g->index, NULL, NULL, err));
    g->o.index = g->index;
    return rung_index_add_file(&n, g->index, cli_str(c, "docs"), err);
}

static rung_status open_ground(ground *g, cli_call *c, const rung_tool *tool, rung_error *err) {
    g->o = (rung_tool_opts)RUNG_TOOL_OPTS_INIT;
    g->session = (rung_session_opts)RUNG_SESSION_OPTS_INIT;
    rung_buf_init(&g->script, 64u << 20);
    g->o.n_max = (int32_t)cli_int(c, "max");
    g->o.n_shown = (int32_t)cli_int(c, "shown");
    g->session.replay = cli_flag(c, "replay");
    g->o.session = &g->session;
    if (strcmp(tool->name, "sql") == 0) return open_db(g, c, err);
    if (strcmp(tool->name, "retrieve") == 0) return open_docs(g, c, err);
    if (strcmp(tool->name, "python") != 0) return RUNG_OK;
    RUNG_TRY(cli_sandbox(&g->sandbox, c, err));
    g->o.sandbox = g->sandbox;
    return RUNG_OK;
}

static void close_ground(ground *g) {
    rung_sandbox_free(g->sandbox);
    rung_sql_free(g->sql);
    rung_buf_clear(&g->script);
    rung_index_free(g->index);
}

static rung_status say_line(talk *t, rung_buf *b, rung_error *err) {
    rung_buf_str(b, "}\n");
    RUNG_TRY(rung_buf_check(b, err));
    RUNG_TRY(cli_out(t->c->app, b->data, b->n, err));
    return cli_out_end(t->c->app, err); /* who sent the block waits for this line */
}

static rung_status one_block(talk *t, yyjson_val *row, yyjson_val *block, rung_buf *b,
                             rung_error *err) {
    rung_code_limits l = {.wall_s = rung_json_f64(row, "wall_s", 0.0),
                          .cpu_s = rung_json_f64(row, "cpu_s", 0.0)};
    rung_tool_outcome r = {0};
    rung_buf seen;
    rung_buf_init(&seen, 256u << 20);
    rung_status st =
        t->tool->run(&seen, &r, t->s, yyjson_get_str(block), yyjson_get_len(block), &l, err);
    if (st == RUNG_OK) {
        t->n++;
        t->n_passed += r.ok;
        t->n_ended += !r.alive;
        rung_buf_printf(b, "{\"v\":1,\"block\":%lld,\"reason\":\"%s\",\"observation\":",
                        (long long)t->n, r.reason);
        rung_buf_json_str(b, seen.data ? seen.data : "", seen.n);
        t->tool->members(b, t->s);
        rung_buf_printf(b, ",\"alive\":%s,\"us\":%.0f,\"cpu_us\":%.0f", r.alive ? "true" : "false",
                        r.wall_s * 1e6, r.cpu_s * 1e6);
        st = say_line(t, b, err);
    }
    rung_buf_clear(&seen);
    return st;
}

static rung_status one_line(talk *t, yyjson_val *row, rung_error *err) {
    static const char *const keys[] = {"block", "code", "query"};
    rung_buf b;
    size_t n = 0;
    rung_status st;
    yyjson_val *block = NULL;
    for (size_t k = 0; k < sizeof keys / sizeof *keys && !yyjson_is_str(block); k++)
        block = yyjson_obj_get(row, keys[k]);
    rung_buf_init(&b, 512u << 20);
    if (yyjson_is_str(block)) {
        st = one_block(t, row, block, &b, err);
    } else if (yyjson_get_bool(yyjson_obj_get(row, "rebuild")) && t->tool->rebuild) {
        st = t->tool->rebuild(&n, t->s, err);
        t->n_replayed += (int64_t)n;
        rung_buf_printf(&b, "{\"v\":1,\"rebuilt\":%zu", n);
        if (st == RUNG_OK) st = say_line(t, &b, err);
    } else if (yyjson_get_bool(yyjson_obj_get(row, "reset"))) {
        st = t->tool->reset(t->s, err);
        rung_buf_str(&b, "{\"v\":1,\"reset\":true");
        if (st == RUNG_OK) st = say_line(t, &b, err);
    } else {
        st = rung_fail(err, RUNG_E_FORMAT, "%s:%lld: needs the string \"block\", or \"reset\"%s",
                       t->path, (long long)t->line, t->tool->rebuild ? " or \"rebuild\"" : "");
    }
    rung_buf_clear(&b);
    return st;
}

static rung_status whole(talk *t, rung_jsonl *in, rung_error *first, rung_error *err) {
    for (;;) {
        rung_error e = RUNG_ERROR_INIT;
        yyjson_val *row;
        if (cli_interrupted) return rung_fail(err, RUNG_E_CANCELLED, "stopped");
        rung_status st = rung_jsonl_next(&row, in, &e);
        t->line = rung_jsonl_line(in);
        if (st == RUNG_OK) st = one_line(t, row, &e);
        if (st == RUNG_DONE) return RUNG_OK;
        if (st == RUNG_E_FORMAT) {
            if (t->n_bad++ == 0) *first = e;
            cli_say(t->c->app, "rejected: %s", e.what);
        } else if (st != RUNG_OK) {
            if (err) *err = e;
            return st;
        }
    }
}

static void say_result(cli_call *c, const talk *t, double t0) {
    cli_result_open(c, NULL);
    cli_result_int(c, "n", t->n);
    cli_result_int(c, "n_passed", t->n_passed);
    cli_result_int(c, "n_ended", t->n_ended);
    cli_result_int(c, "n_replayed", t->n_replayed);
    cli_result_int(c, "n_rejected", t->n_bad);
    cli_result_str(c, "tool", t->tool->name);
    cli_result_close(c, t0);
    rung_buf_printf(&c->summary, "%lld blocks: %lld ran to their end, %lld ended the namespace",
                    (long long)t->n, (long long)t->n_passed, (long long)t->n_ended);
}

rung_status cli_verify_session(cli_call *c, rung_error *err) {
    rung_jsonl *in = NULL;
    rung_error first = RUNG_ERROR_INIT;
    ground g = {.sandbox = NULL};
    talk t = {.c = c, .path = cli_str(c, "file"), .tool = rung_tool_find(cli_str(c, "tool"))};
    double t0 = rung_now();
    RUNG_TRY(cli_need(c, "file", "JSON lines with \"block\", or -", err));
    if (!t.tool) return rung_fail(err, RUNG_E_INVAL, "no tool %s", cli_str(c, "tool"));
    rung_status st = open_ground(&g, c, t.tool, err);
    if (st == RUNG_OK) st = t.tool->open(&t.s, &g.o, err);
    if (st == RUNG_OK) st = rung_jsonl_open(&in, t.path, 0, err);
    if (st == RUNG_OK) st = whole(&t, in, &first, err);
    if (st == RUNG_OK) say_result(c, &t, t0);
    if (st == RUNG_OK && t.n_bad > 0) {
        if (err) *err = first;
        st = RUNG_E_FORMAT;
    }
    rung_jsonl_close(in);
    t.tool->close(t.s);
    close_ground(&g);
    return st;
}
