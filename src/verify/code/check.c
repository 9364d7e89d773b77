/* Programs against tests: a job's frames out, results in, the verdict. Several boxes at once, one
 * loop, no threads. */
#include "verify/code/compare.h"
#include "verify/code/pool.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { COMPILE_S = 120, SLACK_S = 20, PATIENCE = 9 }; /* PATIENCE: more than the box's own */

typedef struct slot {
    bool used, ended; /* ended: all results are here or never come */
    size_t i, n_done;
    rung_code_job job;
    rung_code_result result;
    wire wire;
    double t0, deadline;
} slot;

static const char *const langs[] = {"python", "c", "javascript"};
enum { N_LANGS = sizeof langs / sizeof *langs };

const char *rung_code_lang_name(rung_code_lang l) {
    return (unsigned)l < N_LANGS ? langs[l] : "?";
}

rung_status rung_code_lang_find(rung_code_lang *out, const char *name, rung_error *err) {
    for (size_t i = 0; i < N_LANGS; i++)
        if (strcmp(name, langs[i]) == 0) {
            *out = (rung_code_lang)i;
            return RUNG_OK;
        }
    rung_fail(err, RUNG_E_INVAL, "no language \"%.40s\"", name);
    return rung_error_hint(err, "python, c or javascript");
}

void rung_code_result_clear(rung_code_result *r) {
    rung_free(r->test);
    *r = (rung_code_result){0};
}

/* ---- frames out */

static void put(wire *w, rung_buf *json, const void *blob, size_t n) {
    wire_put(w, json, blob, n);
    rung_buf_reset(json);
}

/* JSON text given by the caller; what is none is the test's fault. */
static bool is_json(const char *p, size_t n, bool array) {
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)p, n, 0, &rung_json_alc, NULL);
    bool ok = doc && (!array || yyjson_is_arr(yyjson_doc_get_root(doc)) ||
                      yyjson_is_arr(yyjson_obj_get(yyjson_doc_get_root(doc), "args")));
    yyjson_doc_free(doc);
    return ok;
}

static void put_args(rung_buf *b, const rung_code_test *t) {
    yyjson_doc *doc =
        yyjson_read_opts((char *)(uintptr_t)t->input, t->n_input, 0, &rung_json_alc, NULL);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (yyjson_is_obj(root)) {
        static const char *const key[] = {"args", "kwargs"}, *const word[] = {"args", "kw"};
        for (int i = 0; i < 2; i++) {
            char *text =
                yyjson_val_write_opts(yyjson_obj_get(root, key[i]), 0, &rung_json_alc, NULL, NULL);
            if (text) rung_buf_printf(b, ",\"%s\":%s", word[i], text);
            rung_free(text);
        }
    } else {
        rung_buf_str(b, ",\"args\":");
        rung_buf_append(b, t->input, t->n_input);
    }
    yyjson_doc_free(doc);
}

static void put_test(wire *w, rung_buf *b, const rung_code_job *job, const rung_code_test *t) {
    const char *entry = t->entry ? t->entry : job->entry ? job->entry : "";
    if (t->kind == RUNG_TEST_STDIN) {
        rung_buf_str(b, "{\"case\":1}");
        put(w, b, t->input, t->n_input);
        return;
    }
    if (t->kind == RUNG_TEST_CALL && is_json(t->input, t->n_input, true) &&
        is_json(t->want, t->n_want, false)) {
        rung_buf_str(b, "{\"fn\":");
        rung_buf_json_str(b, entry, strlen(entry));
        put_args(b, t);
        rung_buf_str(b, ",\"want\":");
        rung_buf_append(b, t->want, t->n_want);
        rung_buf_printf(b, ",\"tol\":%.17g}", t->tolerance);
    } else { /* a call that is no JSON becomes an assert that cannot be compiled: "bad test" */
        static const char broken[] = "not JSON: arguments or result of this test";
        bool ok = t->kind == RUNG_TEST_ASSERT;
        rung_buf_str(b, "{\"code\":");
        rung_buf_json_str(b, ok ? t->input : broken, ok ? t->n_input : sizeof broken - 1);
        rung_buf_str(b, "}");
    }
    put(w, b, NULL, 0);
}

static rung_status put_job(slot *s, const rung_sandbox *sb, const box *bx,
                           const rung_code_limits *l, rung_error *err) {
    const rung_code_job *job = &s->job;
    bool cases = job->test[0].kind == RUNG_TEST_STDIN;
    rung_buf b;
    rung_buf_init(&b, 64u << 20);
    (void)sb;
    rung_buf_printf(&b, "{\"mode\":\"%s\",\"lang\":\"%s\",\"landlock\":%d,",
                    cases ? "cases" : "tests", langs[job->lang], bx->landlock);
    limits_json(&b, l, cases ? 0.0 : (double)job->n_tests);
    rung_buf_str(&b, ",\"tools\":{\"cc\":\"/usr/bin/cc\",\"node\":\"/usr/bin/node\"}}");
    put(&s->wire, &b, job->program, job->n_program);
    if (!cases) {
        rung_buf_str(&b, "{\"setup\":");
        rung_buf_json_str(&b, job->setup ? job->setup : "", job->setup ? strlen(job->setup) : 0);
        if (job->entry && *job->entry) {
            rung_buf_str(&b, ",\"entry\":");
            rung_buf_json_str(&b, job->entry, strlen(job->entry));
        }
        rung_buf_str(&b, "}");
        put(&s->wire, &b, NULL, 0);
    }
    for (size_t i = 0; i < job->n_tests; i++) put_test(&s->wire, &b, job, &job->test[i]);
    rung_buf_str(&b, "{\"end\":1}");
    put(&s->wire, &b, NULL, 0);
    rung_status st = b.failed || s->wire.out.failed
                         ? rung_fail(err, RUNG_E_LIMIT, "a program or a test over 64 MiB")
                         : RUNG_OK;
    rung_buf_clear(&b);
    return st;
}

/* ---- results in */

static void set_outcome(rung_code_outcome *o, rung_code_reason why, const char *detail) {
    o->reason = why;
    snprintf(o->detail, sizeof o->detail, "%s", detail ? detail : "");
}

static void take_result(slot *s, box *b, yyjson_val *root, const char *blob, size_t n_blob) {
    rung_code_outcome *o = &s->result.test[s->n_done];
    const rung_code_test *t = &s->job.test[s->n_done];
    set_outcome(o, reason_find(rung_json_str(root, "reason", "")),
                rung_json_str(root, "detail", ""));
    bool ended = o->reason == RUNG_CODE_SYSTEM || o->reason == RUNG_CODE_KILLED;
    if (ended && cgroup_out_of_memory(&b->group))
        set_outcome(o, RUNG_CODE_MEMORY, "all its processes together (control group)");
    o->wall_s = rung_json_f64(root, "wall", 0.0);
    o->cpu_s = rung_json_f64(root, "cpu", 0.0);
    if (t->kind == RUNG_TEST_STDIN && o->reason == RUNG_CODE_PASSED) {
        size_t n_out = (size_t)rung_json_i64(root, "n_out", 0);
        if (n_out > n_blob) n_out = n_blob;
        if (!output_same(o->detail, blob, n_out, t->want ? t->want : "", t->n_want, s->job.compare,
                         t->tolerance))
            o->reason = RUNG_CODE_OUTPUT;
    }
    s->n_done++;
}

/* What is missing never comes. */
static void give_up(slot *s, const char *why) {
    for (; s->n_done < s->job.n_tests; s->n_done++)
        set_outcome(&s->result.test[s->n_done], RUNG_CODE_SANDBOX, why);
    s->ended = true;
}

static void read_results(slot *s, box *b) {
    wire_pull(&s->wire);
    while (!s->ended) {
        yyjson_doc *doc;
        const char *blob;
        size_t n_blob;
        rung_error e = RUNG_ERROR_INIT;
        rung_status st = wire_next(&doc, &blob, &n_blob, &s->wire, &e);
        if (st == RUNG_DONE) break;
        if (st != RUNG_OK) {
            give_up(s, e.what);
            return;
        }
        yyjson_val *root = yyjson_doc_get_root(doc);
        const char *failed = rung_json_str(root, "failed", NULL);
        if (failed) {
            give_up(s, failed);
        } else if (yyjson_obj_get(root, "reason")) {
            take_result(s, b, root, blob, n_blob);
            s->ended = s->n_done == s->job.n_tests;
        }
        yyjson_doc_free(doc);
    }
    if (!s->ended && s->wire.ended) {
        char words[200];
        box_last_words(words, b);
        give_up(s, words[0] ? words : "the sandbox ended early");
    }
}

/* wrong beats unknown beats correct; the first test of the winner is told. */
static void sum_up(rung_code_result *r) {
    r->verdict = r->n_tests > 0 ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_UNKNOWN;
    r->reason = r->n_tests > 0 ? RUNG_CODE_PASSED : RUNG_CODE_BAD_TEST;
    r->n_passed = 0;
    if (r->n_tests == 0) snprintf(r->detail, sizeof r->detail, "no tests");
    for (size_t i = 0; i < r->n_tests; i++) {
        rung_verdict v = rung_code_reason_verdict(r->test[i].reason);
        r->n_passed += v == RUNG_VERDICT_CORRECT;
        if (v == RUNG_VERDICT_CORRECT || r->verdict == RUNG_VERDICT_WRONG) continue;
        if (v == RUNG_VERDICT_UNKNOWN && r->verdict == RUNG_VERDICT_UNKNOWN) continue;
        r->verdict = v;
        r->reason = r->test[i].reason;
        r->first = i;
        memcpy(r->detail, r->test[i].detail, sizeof r->detail);
    }
}

/* ---- the loop */

static const char *tool_of(rung_code_lang l) {
    return l == RUNG_CODE_C ? "/usr/bin/cc" : l == RUNG_CODE_JAVASCRIPT ? "/usr/bin/node" : NULL;
}

static rung_status check_job(const rung_code_job *job, rung_error *err) {
    if (!job->program || (unsigned)job->lang >= N_LANGS)
        return rung_fail(err, RUNG_E_INVAL, "a job needs a program and a language");
    for (size_t i = 0; i < job->n_tests; i++) {
        bool cases = job->test[i].kind == RUNG_TEST_STDIN;
        if (cases != (job->test[0].kind == RUNG_TEST_STDIN))
            return rung_fail(err, RUNG_E_INVAL,
                             "test %zu: standard input cases and asserts or "
                             "calls do not mix",
                             i);
        if (!cases && job->lang != RUNG_CODE_PYTHON)
            return rung_fail(err, RUNG_E_INVAL, "test %zu: asserts and calls are for python", i);
    }
    return RUNG_OK;
}

static rung_status slot_begin(slot *s, rung_sandbox *sb, size_t i_box, rung_error *err) {
    box *b = &sb->box[i_box];
    rung_code_limits l = limits_of(s->job.limits, &sb->opts.limits);
    const char *tool = tool_of(s->job.lang);
    int fd;
    s->result = (rung_code_result){.n_tests = s->job.n_tests};
    s->n_done = 0;
    s->ended = false;
    s->t0 = rung_now();
    wire_open(&s->wire, -1);
    RUNG_TRY(check_job(&s->job, err));
    s->result.test = rung_calloc(s->job.n_tests + 1, sizeof *s->result.test);
    if (!s->result.test) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    if (s->job.n_tests == 0 || (tool && access(tool, X_OK) != 0)) {
        for (; s->n_done < s->job.n_tests; s->n_done++)
            set_outcome(&s->result.test[s->n_done], RUNG_CODE_NO_TOOL, tool);
        s->ended = true;
        return RUNG_OK;
    }
    RUNG_TRY(pool_ready(sb, i_box, err));
    box_limit(b, &l);
    (void)cgroup_out_of_memory(&b->group);
    RUNG_TRY(put_job(s, sb, b, &l, err));
    RUNG_TRY(box_submit(&fd, b, err));
    s->wire.fd = fd;
    wire_push(&s->wire);
    s->deadline = s->t0 + (double)(s->job.n_tests + 1) * (PATIENCE * l.wall_s + 2.0) + SLACK_S +
                  (s->job.lang == RUNG_CODE_C ? COMPILE_S : 0);
    return RUNG_OK;
}

static rung_status slot_end(slot *s, rung_code_done_fn done, void *ud, rung_error *err) {
    s->result.wall_s = rung_now() - s->t0;
    sum_up(&s->result);
    wire_close(&s->wire);
    s->used = false;
    rung_status st = done(s->i, &s->result, ud, err);
    rung_code_result_clear(&s->result);
    return st;
}

typedef struct loop {
    rung_sandbox *sb;
    slot slot[MAX_BOXES];
    size_t n_used, i_next;
    bool no_more;
} loop;

/* A slot for every box that is free. */
static rung_status fill(loop *l, rung_code_next_fn next, rung_code_done_fn done, void *ud,
                        rung_error *err) {
    for (size_t k = 0; k < l->sb->n_boxes && !l->no_more; k++) {
        slot *s = &l->slot[k];
        while (!s->used && !l->no_more && !l->sb->held[k] && !l->sb->box[k].busy) {
            *s = (slot){.wire = {.fd = -1}};
            rung_status st = next(&s->job, l->i_next, ud, err);
            if (st == RUNG_DONE) {
                l->no_more = true;
                break;
            }
            if (st != RUNG_OK) return st;
            s->i = l->i_next++;
            s->used = true;
            RUNG_TRY(slot_begin(s, l->sb, k, err));
            if (s->ended) RUNG_TRY(slot_end(s, done, ud, err));
        }
    }
    return RUNG_OK;
}

/* Sleeps until a box speaks, ends or is late. false: nothing is under way. */
static bool wait_for_boxes(loop *l) {
    struct pollfd p[2 * MAX_BOXES];
    nfds_t n = 0;
    double first = rung_now() + 60;
    for (size_t k = 0; k < l->sb->n_boxes; k++) {
        slot *s = &l->slot[k];
        box *b = &l->sb->box[k];
        if (l->sb->held[k]) continue;
        if (s->used) {
            p[n++] = (struct pollfd){s->wire.fd,
                                     (short)(POLLIN | (wire_unsent(&s->wire) ? POLLOUT : 0)), 0};
            if (s->deadline < first) first = s->deadline;
        } else if (b->busy) {
            p[n++] = (struct pollfd){b->control, POLLIN, 0};
        }
    }
    if (n == 0) return false;
    double left = first - rung_now();
    (void)poll(p, n, left > 0 ? (int)(left * 1000) + 1 : 0);
    return true;
}

static rung_status step(loop *l, rung_code_done_fn done, void *ud, rung_error *err) {
    for (size_t k = 0; k < l->sb->n_boxes; k++) {
        slot *s = &l->slot[k];
        box *b = &l->sb->box[k];
        if (l->sb->held[k]) continue;
        if (b->busy && !box_settle(b)) {
            if (s->used) read_results(s, b);
            if (s->used && !s->ended) give_up(s, "the sandbox ended");
            box_stop(b);
        }
        if (!s->used) continue;
        wire_push(&s->wire);
        read_results(s, b);
        if (!s->ended && rung_now() > s->deadline) {
            give_up(s, "no answer in time");
            box_stop(b);
        }
        if (s->ended) RUNG_TRY(slot_end(s, done, ud, err));
    }
    return RUNG_OK;
}

rung_status rung_code_check_many(rung_sandbox *sb, rung_code_next_fn next, rung_code_done_fn done,
                                 void *ud, rung_error *err) {
    rung_status st = RUNG_OK;
    loop *l = rung_calloc(1, sizeof *l);
    if (!l) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    l->sb = sb;
    size_t n_free = 0;
    for (size_t k = 0; k < sb->n_boxes; k++) n_free += !sb->held[k];
    if (n_free == 0) st = rung_fail(err, RUNG_E_MISUSE, "every box is held by a session");
    while (st == RUNG_OK) {
        st = fill(l, next, done, ud, err);
        if (st != RUNG_OK) break;
        bool under_way = false;
        for (size_t k = 0; k < sb->n_boxes; k++) under_way |= l->slot[k].used;
        if (l->no_more && !under_way) break; /* what boxes still clear away is the next caller's */
        (void)wait_for_boxes(l);
        st = step(l, done, ud, err);
    }
    for (size_t k = 0; k < sb->n_boxes; k++) {
        if (!l->slot[k].used) continue;
        box_stop(&sb->box[k]);
        wire_close(&l->slot[k].wire);
        rung_code_result_clear(&l->slot[k].result);
    }
    rung_free(l);
    return st;
}

/* ---- one */

typedef struct single {
    const rung_code_job *job;
    rung_code_result *out;
} single;

static rung_status single_next(rung_code_job *job, size_t i, void *ud, rung_error *err) {
    (void)err;
    if (i > 0) return RUNG_DONE;
    *job = *((single *)ud)->job;
    return RUNG_OK;
}

static rung_status single_done(size_t i, const rung_code_result *r, void *ud, rung_error *err) {
    (void)i;
    rung_code_result *out = ((single *)ud)->out;
    *out = *r;
    out->test = rung_calloc(r->n_tests + 1, sizeof *r->test);
    if (!out->test) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    memcpy(out->test, r->test, r->n_tests * sizeof *r->test);
    return RUNG_OK;
}

rung_status rung_code_check(rung_code_result *out, rung_sandbox *s, const rung_code_job *job,
                            rung_error *err) {
    *out = (rung_code_result){0};
    rung_status st = rung_code_check_many(s, single_next, single_done, &(single){job, out}, err);
    if (st != RUNG_OK) rung_code_result_clear(out);
    return st;
}
