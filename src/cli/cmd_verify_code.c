/* rung verify code: programs against tests, in the sandbox. */
#include "base/json.h"
#include "cli/session.h"
#include "rung/code.h"
#include <stdio.h>
#include <string.h>

static const cli_opt code_opts[] = {
    OPT_PATH(
        "file", "", CLI_KEY,
        "JSON lines: a program and its tests each (HumanEval, MBPP or docs/verifiers.md); - is "
        "standard input"),
    OPT_BOOL("each", "false", CLI_KEY, "say how every test of a program went, too"),
};
const cli_group cli_verify_code_group = CLI_GROUP_OF("code", code_opts);

typedef struct row row; /* a line of input, until its line of output is out */
struct row {
    row *next;
    rung_arena *arena; /* of its job */
    rung_buf line;     /* of output */
    int64_t line_no;
    size_t job;
    bool is_job, done;
};

typedef struct work {
    cli_call *c;
    rung_jsonl *in;
    const char *path;
    row *first, *last; /* in the order of the input */
    int64_t n[3], n_bad, n_tests, n_passed;
    bool each;
    rung_error first_bad;
} work;

static void row_free(row *r) {
    rung_buf_clear(&r->line);
    rung_arena_free(r->arena);
    rung_free(r);
}

static row *row_new(work *w) {
    row *r = rung_calloc(1, sizeof *r);
    if (!r) return NULL;
    r->line_no = rung_jsonl_line(w->in);
    rung_buf_init(&r->line, 16u << 20);
    r->arena = rung_arena_new(0);
    if (!r->arena) {
        row_free(r);
        return NULL;
    }
    if (w->last)
        w->last->next = r;
    else
        w->first = r;
    w->last = r;
    return r;
}

static void drop_first(work *w) {
    row *r = w->first;
    w->first = r->next;
    if (!w->first) w->last = NULL;
    row_free(r);
}

/* Lines leave in the order in which they came. */
static rung_status print_ready(work *w, rung_error *err) {
    while (w->first && w->first->done) {
        rung_status st = rung_buf_check(&w->first->line, err);
        if (st == RUNG_OK) st = cli_out(w->c->app, w->first->line.data, w->first->line.n, err);
        drop_first(w);
        if (st != RUNG_OK) return st;
    }
    return RUNG_OK;
}

static void outcome_json(rung_buf *b, rung_code_reason why, const char *detail) {
    rung_buf_printf(b, "\"reason\":\"%s\",\"detail\":", rung_code_reason_text(why));
    rung_buf_json_str(b, detail, strlen(detail));
}

static void result_json(rung_buf *b, const rung_code_result *r, bool each) {
    rung_buf_printf(b, "{\"v\":1,\"verdict\":\"%s\",\"rule\":\"tests\",",
                    rung_verdict_name(r->verdict));
    outcome_json(b, r->reason, r->detail);
    rung_buf_printf(b, ",\"n_tests\":%zu,\"n_passed\":%zu,\"us\":%.0f", r->n_tests, r->n_passed,
                    r->wall_s * 1e6);
    for (size_t i = 0; each && i < r->n_tests; i++) {
        rung_buf_printf(b, "%s{", i ? "," : ",\"tests\":[");
        outcome_json(b, r->test[i].reason, r->test[i].detail);
        rung_buf_printf(b, ",\"wall_s\":%.4f,\"cpu_s\":%.4f}%s", r->test[i].wall_s,
                        r->test[i].cpu_s, i + 1 == r->n_tests ? "]" : "");
    }
    rung_buf_str(b, "}\n");
}

static void bad_row(work *w, row *r, const rung_error *e) {
    if (w->n_bad++ == 0) w->first_bad = *e;
    cli_say(w->c->app, "rejected: %s", e->what);
    rung_buf_str(&r->line, "{\"v\":1,\"verdict\":\"unknown\",\"rule\":\"\",\"reason\":\"bad row\","
                           "\"detail\":");
    rung_buf_json_str(&r->line, e->what, strlen(e->what));
    rung_buf_str(&r->line, "}\n");
    r->done = true;
}

static rung_status parse_row(rung_code_job *job, work *w, row *r, yyjson_val *root,
                             rung_error *err) {
    size_t n = 0;
    char *text = yyjson_val_write_opts(root, 0, &rung_json_alc, &n, NULL);
    if (!text) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_error e = RUNG_ERROR_INIT;
    rung_status st = rung_code_job_parse(job, r->arena, text, n, &e);
    rung_free(text);
    if (st == RUNG_OK) return st;
    return rung_fail(err, st == RUNG_E_INVAL ? RUNG_E_FORMAT : st, "%s:%lld: %s", w->path,
                     (long long)r->line_no, e.what);
}

static rung_status next_job(rung_code_job *job, size_t i, void *ud, rung_error *err) {
    work *w = ud;
    for (;;) {
        rung_error e = RUNG_ERROR_INIT;
        yyjson_val *root;
        if (cli_interrupted) return rung_fail(err, RUNG_E_CANCELLED, "stopped");
        rung_status st = rung_jsonl_next(&root, w->in, &e);
        if (st == RUNG_DONE) return st;
        if (st != RUNG_OK && st != RUNG_E_FORMAT) {
            if (err) *err = e;
            return st;
        }
        row *r = row_new(w);
        if (!r) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
        if (st == RUNG_OK) st = parse_row(job, w, r, root, &e);
        if (st == RUNG_OK) {
            r->job = i;
            r->is_job = true;
            return st;
        }
        if (st != RUNG_E_FORMAT) {
            if (err) *err = e;
            return st;
        }
        bad_row(w, r, &e);
        RUNG_TRY(print_ready(w, err));
    }
}

static rung_status job_done(size_t i, const rung_code_result *res, void *ud, rung_error *err) {
    work *w = ud;
    row *r = w->first;
    while (r && !(r->is_job && r->job == i)) r = r->next;
    if (!r) return rung_fail(err, RUNG_E_MISUSE, "a result without its row");
    w->n[res->verdict]++;
    w->n_tests += (int64_t)res->n_tests;
    w->n_passed += (int64_t)res->n_passed;
    result_json(&r->line, res, w->each);
    r->done = true;
    return print_ready(w, err);
}

static void result_object(cli_call *c, const work *w, double t0) {
    cli_result_open(c, NULL);
    cli_result_int(c, "n", w->n[0] + w->n[1] + w->n[2]);
    cli_result_int(c, "n_correct", w->n[RUNG_VERDICT_CORRECT]);
    cli_result_int(c, "n_wrong", w->n[RUNG_VERDICT_WRONG]);
    cli_result_int(c, "n_unknown", w->n[RUNG_VERDICT_UNKNOWN]);
    cli_result_int(c, "n_rejected", w->n_bad);
    cli_result_int(c, "n_tests", w->n_tests);
    cli_result_int(c, "n_passed", w->n_passed);
    cli_result_close(c, t0);
}

rung_status cli_verify_code(cli_call *c, rung_error *err) {
    rung_sandbox *sb = NULL;
    work *w = rung_calloc(1, sizeof *w);
    if (!w) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    w->c = c;
    w->path = cli_str(c, "file");
    w->each = cli_flag(c, "each");
    double t0 = rung_now();
    rung_status st = RUNG_OK;
    if (!w->path) st = rung_fail(err, RUNG_E_INVAL, "needs a file of JSON lines, or -");
    if (st == RUNG_OK) st = cli_sandbox(&sb, c, err);
    if (st == RUNG_OK) st = rung_jsonl_open(&w->in, w->path, 0, err);
    if (st == RUNG_OK) st = rung_code_check_many(sb, next_job, job_done, w, err);
    if (st == RUNG_OK) st = print_ready(w, err);
    if (st == RUNG_OK) {
        result_object(c, w, t0);
        rung_buf_printf(&c->summary,
                        "%lld programs: %lld correct, %lld wrong, %lld unknown; %lld "
                        "rejected",
                        (long long)(w->n[0] + w->n[1] + w->n[2]), (long long)w->n[1],
                        (long long)w->n[2], (long long)w->n[0], (long long)w->n_bad);
        if (w->n_bad > 0) {
            if (err) *err = w->first_bad;
            st = RUNG_E_FORMAT;
        }
    }
    while (w->first) drop_first(w);
    rung_jsonl_close(w->in);
    rung_sandbox_free(sb);
    rung_free(w);
    return st;
}
