/* The worker that verifies, and reads the store: one request after the other. Exact maths on what
 * strangers send, and reports of large stores, are kept away from the server and from the models.
 */
#include "rung/verify.h"
#include "serve/work.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

typedef struct verdict {
    rung_answer answer;
    rung_check check;
} verdict;

static void judge(verdict *v, const serve_check *c) {
    const rung_verifier *row = rung_verifier_find(c->verifier);
    *v = (verdict){.answer = {{0}, "given", false}};
    if (c->whole)
        row->extract(&v->answer, c->text, strlen(c->text));
    else
        snprintf(v->answer.text, sizeof v->answer.text, "%s", c->text);
    if (!c->whole && strlen(c->text) >= sizeof v->answer.text)
        v->check = (rung_check){RUNG_VERDICT_UNKNOWN, "", "the answer is too long"};
    else
        row->check(&v->check, c->gold, v->answer.text);
}

static void verdict_json(rung_buf *b, const verdict *v) {
    rung_buf_printf(b, "{\"verdict\":\"%s\",\"answer\":", rung_verdict_name(v->check.verdict));
    rung_buf_json_str(b, v->answer.text, strlen(v->answer.text));
    rung_buf_printf(b, ",\"found_by\":\"%s\",\"rule\":\"%s\",\"reason\":", v->answer.rule,
                    v->check.rule ? v->check.rule : "");
    const char *why = v->check.reason ? v->check.reason : "";
    rung_buf_json_str(b, why, strlen(why));
    rung_buf_str(b, "}");
}

/* verl: a number, and beside it what its logs show. A verdict that is not known earns nothing, and
 * says so. */
static void score_json(rung_buf *b, const verdict *v) {
    bool right = v->check.verdict == RUNG_VERDICT_CORRECT;
    rung_buf_printf(b, "{\"score\":%s,\"acc\":%s,\"known\":%s,\"pred\":", right ? "1.0" : "0.0",
                    right ? "1.0" : "0.0",
                    v->check.verdict == RUNG_VERDICT_UNKNOWN ? "0.0" : "1.0");
    rung_buf_json_str(b, v->answer.text, strlen(v->answer.text));
    rung_buf_str(b, "}");
}

/* A batch for verl: the scores alone first, then all that is known. */
static rung_status answer(rung_buf *b, const serve_ask *a, rung_arena *arena, rung_error *err) {
    bool score = a->kind == SERVE_COMPUTE_SCORE;
    verdict *v = rung_arena_alloc(arena, (size_t)a->n_checks * sizeof *v + 1);
    if (!v) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d verdicts", a->n_checks);
    for (int32_t i = 0; i < a->n_checks; i++) judge(&v[i], &a->check[i]);
    if (!a->one && score) {
        rung_buf_str(b, "{\"scores\":[");
        for (int32_t i = 0; i < a->n_checks; i++)
            rung_buf_printf(b, "%s%.1f", i ? "," : "",
                            v[i].check.verdict == RUNG_VERDICT_CORRECT ? 1.0 : 0.0);
        rung_buf_str(b, "],\"results\":[");
    } else if (!a->one) {
        rung_buf_str(b, "{\"items\":[");
    }
    for (int32_t i = 0; i < a->n_checks; i++) {
        if (i) rung_buf_str(b, ",");
        if (score)
            score_json(b, &v[i]);
        else
            verdict_json(b, &v[i]);
    }
    if (!a->one) rung_buf_str(b, "]}");
    return rung_buf_check(b, err);
}

static void reply(serve_pipe *p, uint64_t id, int status, bool html, const rung_buf *b) {
    serve_head h = {status, 0, html};
    serve_cost c = {0};
    serve_pipe_put(p, SERVE_HEAD, id, &h, sizeof h, NULL, 0);
    serve_pipe_put(p, SERVE_DATA, id, b->data, b->n, NULL, 0);
    serve_pipe_put(p, SERVE_END, id, &c, sizeof c, NULL, 0);
}

static rung_status do_ask(rung_buf *b, serve_kind kind, const char *body, size_t n,
                          rung_arena *arena, const char *store, rung_error *err) {
    static const rung_serve_caps none = {.name = ""};
    serve_ask a;
    if (kind >= SERVE_TREE) return work_read_store(b, kind, body, n, arena, store, err);
    RUNG_TRY(serve_ask_read(&a, arena, kind, body, n, &none, err));
    return answer(b, &a, arena, err);
}

static void on_ask(serve_pipe *p, const serve_frame *f, rung_arena *arena, rung_buf *b,
                   const char *store) {
    rung_error err = RUNG_ERROR_INIT;
    serve_ask_head h;
    if (f->n < sizeof h) return;
    memcpy(&h, f->data, sizeof h);
    rung_buf_reset(b);
    rung_arena_reset(arena);
    rung_status st =
        do_ask(b, (serve_kind)h.kind, f->data + sizeof h, f->n - sizeof h, arena, store, &err);
    if (st != RUNG_OK) {
        rung_buf_clear(b); /* it may have failed for its size */
        serve_error_json(b, work_status_of(st), NULL, err.what, err.hint);
    }
    reply(p, f->id, st == RUNG_OK ? 200 : work_status_of(st),
          st == RUNG_OK && h.kind == SERVE_REPORT, b);
}

rung_status rung_serve_verify(int fd, const char *store_path, rung_error *err) {
    serve_pipe p;
    serve_frame f;
    rung_buf b;
    rung_arena *arena = rung_arena_new(256u << 20);
    if (!arena) return rung_fail(err, RUNG_E_NOMEM, "no memory for a worker");
    serve_pipe_init(&p, fd);
    rung_buf_init(&b, 60u << 20);
    serve_pipe_put(&p, SERVE_READY, 0, "{}", 2, NULL, 0);
    while (serve_pipe_flush(&p, true) && serve_pipe_read(&p)) {
        bool any = false;
        while (serve_pipe_next(&f, &p)) {
            if (f.type == SERVE_ASK) on_ask(&p, &f, arena, &b, store_path);
            if (!serve_pipe_flush(&p, true)) break;
            any = true;
        }
        struct pollfd w = {.fd = fd, .events = POLLIN};
        if (!any) (void)poll(&w, 1, 1000);
    }
    rung_buf_clear(&b);
    rung_arena_free(arena);
    serve_pipe_close(&p);
    return RUNG_OK;
}
