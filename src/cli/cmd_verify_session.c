/* rung verify session: blocks of Python in one namespace, a line of JSON each way. */
#include "base/json.h"
#include "cli/session.h"
#include <string.h>

static const cli_opt session_opts[] = {
    OPT_PATH("file", "", CLI_KEY,
             "JSON lines: {\"code\": ..}, {\"rebuild\": true} or {\"reset\": true}; - is standard "
             "input"),
    OPT_BOOL("replay", "false", CLI_KEY,
             "after a block that ended the namespace, run the others again before the next"),
};
const cli_group cli_verify_session_group = CLI_GROUP_OF("session", session_opts);

typedef struct talk {
    cli_call *c;
    rung_code_session *s;
    const char *path;
    int64_t line, n, n_passed, n_ended, n_replayed, n_bad;
} talk;

static void text_field(rung_buf *b, const char *key, const char *s, size_t n) {
    rung_buf_printf(b, ",\"%s\":", key);
    rung_buf_json_str(b, s, n);
}

static rung_status say_line(talk *t, rung_buf *b, rung_error *err) {
    rung_buf_str(b, "}\n");
    RUNG_TRY(rung_buf_check(b, err));
    RUNG_TRY(cli_out(t->c->app, b->data, b->n, err));
    return cli_out_end(t->c->app, err); /* who sent the block waits for this line */
}

static rung_status one_block(talk *t, yyjson_val *row, rung_buf *b, rung_error *err) {
    yyjson_val *code = yyjson_obj_get(row, "code");
    rung_code_limits l = {.wall_s = rung_json_f64(row, "wall_s", 0.0),
                          .cpu_s = rung_json_f64(row, "cpu_s", 0.0)};
    rung_block_result r;
    RUNG_TRY(rung_code_session_run(&r, t->s, yyjson_get_str(code), yyjson_get_len(code), &l, err));
    t->n++;
    t->n_passed += r.reason == RUNG_CODE_PASSED;
    t->n_ended += !r.alive;
    t->n_replayed += (int64_t)r.n_replayed;
    rung_buf_printf(b, "{\"v\":1,\"block\":%lld,\"reason\":\"%s\"", (long long)t->n,
                    rung_code_reason_text(r.reason));
    text_field(b, "detail", r.detail, strlen(r.detail));
    text_field(b, "stdout", r.out, r.n_out);
    text_field(b, "stderr", r.errs, r.n_errs);
    text_field(b, "value", r.value, r.n_value);
    rung_buf_printf(b, ",\"alive\":%s,\"n_replayed\":%zu,\"us\":%.0f,\"cpu_us\":%.0f",
                    r.alive ? "true" : "false", r.n_replayed, r.wall_s * 1e6, r.cpu_s * 1e6);
    return say_line(t, b, err);
}

static rung_status one_line(talk *t, yyjson_val *row, rung_error *err) {
    rung_buf b;
    size_t n = 0;
    rung_status st;
    rung_buf_init(&b, 256u << 20);
    if (yyjson_is_str(yyjson_obj_get(row, "code"))) {
        st = one_block(t, row, &b, err);
    } else if (yyjson_get_bool(yyjson_obj_get(row, "rebuild"))) {
        st = rung_code_session_rebuild(&n, t->s, err);
        t->n_replayed += (int64_t)n;
        rung_buf_printf(&b, "{\"v\":1,\"rebuilt\":%zu", n);
        if (st == RUNG_OK) st = say_line(t, &b, err);
    } else if (yyjson_get_bool(yyjson_obj_get(row, "reset"))) {
        st = rung_code_session_reset(t->s, err);
        rung_buf_str(&b, "{\"v\":1,\"reset\":true");
        if (st == RUNG_OK) st = say_line(t, &b, err);
    } else {
        st = rung_fail(err, RUNG_E_FORMAT,
                       "%s:%lld: needs the string \"code\", or \"rebuild\" or \"reset\"", t->path,
                       (long long)t->line);
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

rung_status cli_verify_session(cli_call *c, rung_error *err) {
    rung_session_opts o = RUNG_SESSION_OPTS_INIT;
    rung_sandbox *sb = NULL;
    rung_jsonl *in = NULL;
    rung_error first = RUNG_ERROR_INIT;
    talk t = {.c = c, .path = cli_str(c, "file")};
    double t0 = rung_now();
    RUNG_TRY(cli_need(c, "file", "JSON lines with \"code\", or -", err));
    rung_status st = cli_sandbox(&sb, c, err);
    o.replay = cli_flag(c, "replay");
    if (st == RUNG_OK) st = rung_code_session_new(&t.s, sb, &o, err);
    if (st == RUNG_OK) st = rung_jsonl_open(&in, t.path, 0, err);
    if (st == RUNG_OK) st = whole(&t, in, &first, err);
    if (st == RUNG_OK) {
        cli_result_open(c, NULL);
        cli_result_int(c, "n", t.n);
        cli_result_int(c, "n_passed", t.n_passed);
        cli_result_int(c, "n_ended", t.n_ended);
        cli_result_int(c, "n_replayed", t.n_replayed);
        cli_result_int(c, "n_rejected", t.n_bad);
        cli_result_close(c, t0);
        rung_buf_printf(&c->summary, "%lld blocks: %lld ran to their end, %lld ended the namespace",
                        (long long)t.n, (long long)t.n_passed, (long long)t.n_ended);
    }
    if (st == RUNG_OK && t.n_bad > 0) {
        if (err) *err = first;
        st = RUNG_E_FORMAT;
    }
    rung_jsonl_close(in);
    rung_code_session_free(t.s);
    rung_sandbox_free(sb);
    return st;
}
