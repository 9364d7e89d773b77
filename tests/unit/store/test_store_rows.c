/* Every kind of row: what goes in comes out, and a repeat is free. */
#include "rung/verdict.h"
#include "store_fixture.h"

#include <sqlite3.h>

static int64_t count(rung_store *s, const char *sql) {
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_prepare_v2(rung_store_sqlite(s), sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

static void runs(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    rung_store_set_llama(s, "0.5.0 \"x\"");
    rung_run a = {
        .name = "pool", .kind = "trace.sample", .config = "{\"n\":8}", .seed = UINT64_MAX};
    fx_ok(rung_run_begin(s, &a, e));
    assert_true(a.id > 0);
    assert_int_equal(strlen(a.config_hash), 32);
    assert_true(a.started_ms > 0 && a.finished_ms == 0);
    assert_non_null(strstr(a.versions, "\"llama\":\"0.5.0 \\\"x\\\"\""));
    assert_non_null(strstr(a.versions, "\"rung\":"));
    assert_non_null(strstr(a.machine, "\"cores\":"));
    assert_non_null(strstr(a.machine, "\"simd\":"));
    /* the same work resumes, named or not */
    rung_run b = {.kind = "trace.sample", .config = "{\"n\":8}", .seed = UINT64_MAX};
    fx_ok(rung_run_begin(s, &b, e));
    assert_int_equal(b.id, a.id);
    assert_string_equal(b.name, "pool");
    assert_true(b.seed == UINT64_MAX);
    /* another seed is other work; its name must be free */
    rung_run c = {.name = "pool", .kind = "trace.sample", .config = "{\"n\":8}", .seed = 2};
    assert_int_equal(rung_run_begin(s, &c, &err), RUNG_E_INVAL);
    assert_non_null(strstr(err.what, "\"pool\""));
    assert_true(err.hint[0]);
    assert_int_equal(count(s, "SELECT count(*) FROM run"), 1); /* nothing is left of the attempt */
    c = (rung_run){.kind = "trace.sample", .config = "{\"n\":8}", .seed = 2};
    fx_ok(rung_run_begin(s, &c, e));
    assert_true(c.id != a.id);
    c.name = "later"; /* a name may come later */
    fx_ok(rung_run_begin(s, &c, e));
    assert_string_equal(c.name, "later");
    c.name = "other"; /* but not change */
    assert_int_equal(rung_run_begin(s, &c, &err), RUNG_E_INVAL);
    fx_ok(rung_run_spend(s, a.id, 100, 1.5, e));
    fx_ok(rung_run_spend(s, a.id, 11, 0.25, e));
    fx_ok(rung_run_finish(s, a.id, e));
    rung_arena *arena = rung_arena_new(0);
    rung_run f;
    fx_ok(rung_run_find(&f, arena, s, "pool", e));
    assert_int_equal(f.tokens, 111);
    assert_true(f.wall_s == 1.75);
    assert_true(f.finished_ms >= f.started_ms);
    int64_t finished = f.finished_ms;
    usleep(3000);
    fx_ok(rung_run_finish(s, a.id, e)); /* the first end stays */
    fx_ok(rung_run_find(&f, arena, s, "pool", e));
    assert_int_equal(f.finished_ms, finished);
    assert_int_equal(rung_run_find(&f, arena, s, "pol", &err), RUNG_E_NOT_FOUND);
    assert_string_equal(err.hint, "did you mean \"pool\"?");
    assert_int_equal(rung_run_spend(s, 999, 1, 0.0, &err), RUNG_E_NOT_FOUND);
    assert_int_equal(rung_run_finish(s, 999, &err), RUNG_E_NOT_FOUND);
    assert_int_equal(rung_run_spend(s, a.id, 1, NAN, &err), RUNG_E_INVAL);
    rung_run *list = NULL;
    int64_t n = 0;
    fx_ok(rung_run_list(&list, &n, arena, s, e));
    assert_int_equal(n, 2);
    assert_int_equal(list[0].id, a.id);
    assert_int_equal(list[0].tokens, 111);
    assert_string_equal(list[1].name, "later");
    assert_string_equal(list[1].config_hash, c.config_hash);
    rung_run none = {.config = "{}"};
    assert_int_equal(rung_run_begin(s, &none, &err), RUNG_E_INVAL);
    rung_arena_free(arena);
    rung_store_close(s);
}

static void problems(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    rung_problem p = {.set = "gsm8k",
                      .split = "test",
                      .key = "1",
                      .question = "q \xC3\xA9",
                      .answer = "4",
                      .solution = NULL,
                      .world = "",
                      .meta = "{}",
                      .verifier = "math"};
    bool is_new = false;
    fx_ok(rung_problem_put(s, &p, &is_new, e));
    assert_true(is_new);
    int64_t id = p.id;
    p.question = "changed"; /* the first stays */
    fx_ok(rung_problem_put(s, &p, &is_new, e));
    assert_false(is_new);
    assert_int_equal(p.id, id);
    rung_arena *a = rung_arena_new(0);
    rung_problem q;
    fx_ok(rung_problem_get(s, &q, a, id, e));
    assert_string_equal(q.question, "q \xC3\xA9");
    assert_string_equal(q.solution, "");
    assert_string_equal(q.split, "test");
    assert_string_equal(q.verifier, "math");
    assert_int_equal(rung_problem_get(s, &q, a, 77, &err), RUNG_E_NOT_FOUND);
    assert_int_equal(err.problem_id, 77);
    p.key = "";
    assert_int_equal(rung_problem_put(s, &p, NULL, &err), RUNG_E_INVAL);
    rung_arena_free(a);
    rung_store_close(s);
}

static void traces_share_their_prefix(void **state) {
    (void)state;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    int64_t run = fx_run(s, "trace.sample"), p1 = fx_problem(s, "a", "test", 1),
            p2 = fx_problem(s, "a", "test", 2), n1[4], n2[4], n3[4];
    int64_t t1 = fx_trace(s, run, p1, 0, 4, 2, n1);
    fx_trace(s, run, p1, 1, 4, 2, n2);
    fx_trace(s, run, p2, 0, 4, 2, n3);
    assert_int_equal(n1[0], n2[0]);
    assert_int_equal(n1[1], n2[1]);
    assert_true(n1[2] != n2[2] && n1[3] != n2[3]);
    for (int k = 0; k < 4; k++) assert_true(n3[k] != n1[k]); /* another problem, another tree */
    assert_int_equal(count(s, "SELECT count(*) FROM node"), 4 + 2 + 4);
    assert_int_equal(fx_trace(s, run, p1, 0, 4, 2, n2), t1); /* a repeat is free */
    assert_int_equal(n2[3], n1[3]);
    assert_int_equal(count(s, "SELECT count(*) FROM trace"), 3);
    rung_buf b;
    rung_buf_init(&b, 0);
    rung_buf_str(&b, ">");
    fx_ok(rung_node_prefix(&b, s, n1[2], e));
    assert_string_equal(b.data, ">same0\nsame1\nt0_2\n");
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_node_prefix(&b, s, 999, &err), RUNG_E_NOT_FOUND);
    rung_buf_clear(&b);
    rung_arena *a = rung_arena_new(0);
    rung_node n, m;
    fx_ok(rung_node_get(&n, a, s, n1[2], e));
    assert_int_equal(n.parent, n1[1]);
    assert_int_equal(n.depth, 2);
    assert_int_equal(n.problem, p1);
    assert_string_equal(n.text, "t0_2\n");
    fx_ok(rung_node_get(&m, a, s, n1[0], e));
    assert_int_equal(m.parent, 0);
    assert_true(m.path != n.path && m.path != 0);
    /* The address is made of the text alone: 16 zero bytes, then "same0\n". */
    unsigned char pre[22] = {0};
    memcpy(pre + 16, "same0\n", 6);
    char hex[33];
    rung_hash_hex(hex, pre, sizeof pre);
    for (int i = 0; i < 8; i++) {
        unsigned byte = 0;
        sscanf(hex + 2 * i, "%2x", &byte);
        assert_int_equal((m.path >> (8 * i)) & 0xff, byte);
    }
    assert_int_equal(rung_node_get(&m, a, s, 999, &err), RUNG_E_NOT_FOUND);
    rung_arena_free(a);
    fx_check_ok(s);
    rung_store_close(s);
}

static void traces_come_back_exactly(void **state) {
    (void)state;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    int64_t run = fx_run(s, "trace.sample"), p = fx_problem(s, "a", "test", 1);
    const char text[] =
        "x\0y \xff\n\xE2\x82"; /* a NUL, bad UTF-8, a cut character: bytes are bytes */
    int32_t tok[3] = {INT32_MIN, 0, INT32_MAX};
    float lp[3] = {-0.0f, -1e-38f, -123.456f};
    rung_step step[2] = {{.byte_end = 6, .tok_end = 1},
                         {.byte_begin = 6, .byte_end = 8, .tok_begin = 1, .tok_end = 3}};
    rung_trace t = {.run = run,
                    .problem = p,
                    .i = 3,
                    .generator = "g",
                    .text = text,
                    .n_bytes = 8,
                    .tok = tok,
                    .logprob = lp,
                    .n_tok = 3,
                    .n_steps = 2,
                    .answer = "a",
                    .answer_key = "k",
                    .verdict = RUNG_VERDICT_WRONG,
                    .verifier = "v",
                    .rule = "r",
                    .reason = "why",
                    .stop = "length",
                    .first_error = 1,
                    .first_error_source = "truth"};
    bool is_new = false;
    fx_ok(rung_trace_put(s, &t, step, &is_new, e));
    assert_true(is_new);
    /* no tokens, no steps, no text */
    rung_trace empty = {.run = run, .problem = p, .i = 4, .first_error = -1};
    fx_ok(rung_trace_put(s, &empty, NULL, &is_new, e));
    rung_iter *it = NULL;
    const rung_trace *r = NULL;
    fx_ok(rung_trace_iter(&it, s, NULL, e));
    fx_ok(rung_trace_next(&r, it, e));
    assert_int_equal(r->id, t.id);
    assert_int_equal(r->n_bytes, 8);
    assert_memory_equal(r->text, text, 9); /* with a NUL after it */
    assert_int_equal(r->n_tok, 3);
    assert_memory_equal(r->tok, tok, sizeof tok);
    assert_memory_equal(r->logprob, lp, sizeof lp); /* every bit, -0 too */
    assert_int_equal(r->n_steps, 2);
    assert_int_equal(r->step[1].byte_begin, 6);
    assert_int_equal(r->step[1].tok_end, 3);
    assert_int_equal(r->step[1].node, step[1].node);
    assert_string_equal(r->generator, "g");
    assert_string_equal(r->answer, "a");
    assert_string_equal(r->answer_key, "k");
    assert_int_equal(r->verdict, RUNG_VERDICT_WRONG);
    assert_string_equal(r->verifier, "v");
    assert_string_equal(r->rule, "r");
    assert_string_equal(r->reason, "why");
    assert_string_equal(r->stop, "length");
    assert_int_equal(r->first_error, 1);
    assert_string_equal(r->first_error_source, "truth");
    fx_ok(rung_trace_next(&r, it, e));
    assert_int_equal(r->n_tok + r->n_bytes + r->n_steps, 0);
    assert_string_equal(r->text, "");
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_trace_next(&r, it, &err), RUNG_DONE);
    assert_int_equal(rung_trace_next(&r, it, &err), RUNG_DONE);
    assert_null(r);
    rung_iter_free(it);
    rung_iter_free(NULL);
    fx_check_ok(s);
    rung_store_close(s);
}

static void bad_traces_are_refused_whole(void **state) {
    (void)state;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    int64_t run = fx_run(s, "trace.sample"), p = fx_problem(s, "a", "test", 1);
    int32_t tok[2] = {1, 2};
    float lp[2] = {0, 0};
    static const struct {
        int32_t b0, b1, b2, b3, t1, t2, t3, first_error, step;
    } bad[] = {
        {0, 2, 2, 3, 1, 1, 2, -2, -1}, /* text of 4 bytes not covered */
        {0, 2, 3, 4, 1, 1, 2, -2, 1},  /* gap */
        {0, 2, 1, 4, 1, 1, 2, -2, 1},  /* overlap */
        {1, 2, 2, 4, 1, 1, 2, -2, 0},  /* does not start at 0 */
        {0, 2, 2, 4, 1, 0, 2, -2, 1},  /* tokens overlap */
        {0, 2, 2, 4, 1, 1, 1, -2, -1}, /* tokens not covered */
        {0, 2, 2, 4, 1, 1, 2, 2, 2},   /* first error past the end */
        {0, 2, 2, 4, 1, 1, 2, -3, -3}, {0, 5, 5, 4, 1, 1, 2, -2, 1}, /* backwards */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        rung_error err = RUNG_ERROR_INIT;
        rung_step step[2] = {{.byte_begin = bad[i].b0, .byte_end = bad[i].b1, .tok_end = bad[i].t1},
                             {.byte_begin = bad[i].b2,
                              .byte_end = bad[i].b3,
                              .tok_begin = bad[i].t2,
                              .tok_end = bad[i].t3}};
        rung_trace t = {.run = run,
                        .problem = p,
                        .i = 5,
                        .text = "abcd",
                        .n_bytes = 4,
                        .tok = tok,
                        .logprob = lp,
                        .n_tok = 2,
                        .n_steps = 2,
                        .first_error = bad[i].first_error};
        assert_int_equal(rung_trace_put(s, &t, step, NULL, &err), RUNG_E_INVAL);
        assert_int_equal(err.problem_id, p);
        assert_int_equal(err.rollout, 5);
        assert_int_equal(err.step, bad[i].step);
    }
    rung_error err = RUNG_ERROR_INIT; /* unknown run: the database refuses, whole */
    rung_step one = {.byte_end = 1};
    rung_trace t = {
        .run = 99, .problem = p, .text = "a", .n_bytes = 1, .n_steps = 1, .first_error = -1};
    assert_int_equal(rung_trace_put(s, &t, &one, NULL, &err), RUNG_E_INVAL);
    assert_non_null(strstr(err.what, "refers to a row that is not there"));
    t.run = run;
    t.verdict = (rung_verdict)3;
    assert_int_equal(rung_trace_put(s, &t, &one, NULL, &err), RUNG_E_INVAL);
    assert_int_equal(count(s, "SELECT count(*) FROM trace"), 0);
    assert_int_equal(count(s, "SELECT count(*) FROM node"), 0);
    rung_store_close(s);
}

static void rollouts(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    int64_t run = fx_run(s, "label.mc"), p = fx_problem(s, "a", "test", 1), node[2];
    fx_trace(s, run, p, 0, 2, 2, node);
    static const rung_verdict v[] = {RUNG_VERDICT_CORRECT, RUNG_VERDICT_WRONG, RUNG_VERDICT_CORRECT,
                                     RUNG_VERDICT_UNKNOWN};
    for (int i = 0; i < 4; i++) {
        rung_rollout r = {.run = run,
                          .node = node[1],
                          .i = i * 2,
                          .text = "so 4",
                          .answer = "4",
                          .rule = "last",
                          .reason = "",
                          .stop = "eos",
                          .verdict = v[i],
                          .n_tok = 10 + i,
                          .logprob = i == 3 ? NAN : -1.5,
                          .verifier = i == 3 ? NULL : "math-3",
                          .decided_by = i == 3   ? NULL
                                        : i == 2 ? ""
                                                 : "rational",
                          .judged_us = i == 3 ? 0 : 17,
                          .at_ms = i == 1 ? 1234 : 0};
        bool is_new = false;
        fx_ok(rung_rollout_put(s, &r, &is_new, e));
        assert_true(is_new);
        int64_t id = r.id;
        fx_ok(rung_rollout_put(s, &r, &is_new, e));
        assert_false(is_new);
        assert_int_equal(r.id, id);
    }
    rung_rollout_counts c;
    fx_ok(rung_rollout_count(&c, s, run, node[1], e));
    assert_int_equal(c.n, 4);
    assert_int_equal(c.n_correct, 2);
    assert_int_equal(c.n_wrong, 1);
    assert_int_equal(c.n_unknown, 1);
    assert_int_equal(c.n_tok, 46);
    fx_ok(rung_rollout_count(&c, s, run, node[0], e));
    assert_int_equal(c.n + c.n_correct + (int)c.n_tok, 0);
    rung_rollout *row; /* who judged them, by what and when; of the last nobody knows */
    rung_arena *a = rung_arena_new(0);
    int32_t n = 0;
    fx_ok(rung_rollout_list(&row, &n, a, s, run, node[1], e));
    assert_int_equal(n, 4);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(row[i].verifier, "math-3");
        assert_string_equal(row[i].decided_by, i == 2 ? "" : "rational");
        assert_int_equal(row[i].judged_us, 17);
        assert_true(i == 1 ? row[i].at_ms == 1234 : row[i].at_ms > 1700000000000);
    }
    assert_null(row[3].verifier);
    assert_null(row[3].decided_by);
    assert_int_equal(row[3].judged_us, 0);
    assert_int_equal(row[3].at_ms, 0);
    rung_arena_free(a);
    bool have[5];
    memset(have, 1, sizeof have);
    fx_ok(rung_rollout_have(have, 5, s, run, node[1], e));
    for (int i = 0; i < 5; i++) assert_int_equal(have[i], i % 2 == 0);
    rung_rollout r = {.run = run, .node = node[1], .i = 9, .logprob = -INFINITY};
    assert_int_equal(rung_rollout_put(s, &r, NULL, &err), RUNG_E_INVAL);
    r.logprob = 0.0;
    r.node = 12345;
    assert_int_equal(rung_rollout_put(s, &r, NULL, &err), RUNG_E_INVAL);
    fx_check_ok(s);
    rung_store_close(s);
}

static void labels_and_scores(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    int64_t run = fx_run(s, "label.mc"), later = fx_run(s, "label.mc2"),
            p = fx_problem(s, "a", "test", 1), node[2];
    fx_trace(s, run, p, 0, 2, 2, node);
    rung_label l = {.run = run,
                    .node = node[0],
                    .source = "mc",
                    .labeler = "tiny",
                    .hard = 1,
                    .soft = 0.1 + 0.2,
                    .n = 8,
                    .c = 3,
                    .n_unknown = 2};
    bool is_new = false, found = false;
    fx_ok(rung_label_put(s, &l, &is_new, e));
    assert_true(is_new);
    rung_label first = l;
    l.soft = 0.9;
    fx_ok(rung_label_put(s, &l, &is_new, e));
    assert_false(is_new);
    rung_label got;
    fx_ok(rung_label_get(&got, &found, s, run, node[0], "mc", e));
    assert_true(found);
    assert_true(got.soft == first.soft);
    assert_int_equal(got.hard, 1);
    assert_int_equal(got.n * 100 + got.c * 10 + got.n_unknown, 832);
    l.run = later;
    l.soft = NAN;
    l.hard = -1;
    fx_ok(rung_label_put(s, &l, &is_new, e));
    fx_ok(rung_label_get(&got, &found, s, 0, node[0], "mc", e)); /* the newest */
    assert_int_equal(got.run, later);
    assert_true(isnan(got.soft));
    fx_ok(rung_label_get(&got, &found, s, run, node[0], "judge", e));
    assert_false(found);
    static const rung_label bad[] = {{.source = "mc", .hard = 2, .n = 1, .c = 1},
                                     {.source = "mc", .soft = 1.5, .n = 1, .c = 1},
                                     {.source = "mc", .n = 1, .c = 2},
                                     {.source = "", .n = 1, .c = 1},
                                     {.source = "mc", .n = 1, .c = 1, .n_unknown = -1},
                                     {.source = "mc", .soft = -INFINITY}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        rung_label b = bad[i];
        b.run = run;
        b.node = node[1];
        assert_int_equal(rung_label_put(s, &b, NULL, &err), RUNG_E_INVAL);
    }
    rung_model_row m = {.name = "prm", .path = "/m", .hash = "h1", .kind = "prm", .meta = "{}"};
    fx_ok(rung_model_put(s, &m, e));
    int64_t id = m.id;
    fx_ok(rung_model_put(s, &m, e));
    assert_int_equal(m.id, id);
    m.kind = "policy"; /* the same file as another thing */
    fx_ok(rung_model_put(s, &m, e));
    assert_true(m.id != id);
    rung_arena *a = rung_arena_new(0);
    rung_model_row back;
    fx_ok(rung_model_get(&back, a, s, id, e));
    assert_string_equal(back.kind, "prm");
    assert_string_equal(back.hash, "h1");
    assert_int_equal(rung_model_get(&back, a, s, 99, &err), RUNG_E_NOT_FOUND);
    rung_arena_free(a);
    double v = 0;
    fx_ok(rung_score_put(s, node[0], id, 1.0 / 3.0, e));
    fx_ok(rung_score_put(s, node[0], id, 0.5, e));
    fx_ok(rung_score_get(&v, &found, s, node[0], id, e));
    assert_true(found && v == 1.0 / 3.0);
    fx_ok(rung_score_get(&v, &found, s, node[1], id, e));
    assert_false(found);
    assert_int_equal(rung_score_put(s, node[1], id, NAN, &err), RUNG_E_INVAL);
    assert_int_equal(rung_score_put(s, node[1], id, INFINITY, &err), RUNG_E_INVAL);
    rung_store_close(s);
}

static void metrics_results_cache(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    int64_t r1 = fx_run(s, "reward.train"), r2 = fx_run(s, "bench.answer");
    for (int64_t step = 0; step < 4; step++) {
        fx_ok(
            rung_metric_put(s, r1, step, "loss", step == 2 ? NAN : 1.0 / (1.0 + (double)step), e));
        fx_ok(rung_metric_put(s, r1, step, "auc", 0.5, e));
    }
    fx_ok(rung_metric_put(s, r1, 0, "loss", 9.0, e)); /* the first stays */
    fx_ok(rung_metric_put(s, r2, 0, "loss", 7.0, e));
    assert_int_equal(rung_metric_put(s, r1, 9, "loss", INFINITY, &err), RUNG_E_INVAL);
    rung_iter *it = NULL;
    int64_t step;
    const char *name;
    double v;
    fx_ok(rung_metric_iter(&it, s, r1, "loss", e));
    for (int64_t i = 0; i < 4; i++) {
        fx_ok(rung_metric_next(&step, &name, &v, it, e));
        fx_ok(rung_metric_put(s, r1, 100 + i, "loss", 1.0, e)); /* writing meanwhile */
        assert_int_equal(step, i);
        assert_string_equal(name, "loss");
        if (i == 2) {
            assert_true(isnan(v));
        } else {
            assert_true(v == 1.0 / (1.0 + (double)i));
        }
    }
    rung_iter_free(it);
    fx_ok(rung_metric_iter(&it, s, r1, NULL, e));
    int n = 0;
    rung_status st;
    while ((st = rung_metric_next(&step, &name, &v, it, &err)) == RUNG_OK) n++;
    assert_int_equal(st, RUNG_DONE);
    assert_int_equal(n, 12);
    const rung_problem *p;
    assert_int_equal(rung_problem_next(&p, it, &err), RUNG_E_MISUSE);
    rung_iter_free(it);

    fx_ok(rung_result_put(s, r1, "claim", "{\"v\":1}", e));
    fx_ok(rung_result_put(s, r2, "claim", "{\"v\":2}", e));
    fx_ok(rung_result_put(s, r2, "claim", "{\"v\":2}", e)); /* a repeat is free */
    fx_ok(rung_result_put(s, r2, "bench", "{\"v\":3}", e));
    int64_t run;
    const char *json;
    fx_ok(rung_result_iter(&it, s, "claim", e));
    fx_ok(rung_result_next(&run, &json, it, e));
    assert_int_equal(run, r2);
    assert_string_equal(json, "{\"v\":2}");
    fx_ok(rung_result_next(&run, &json, it, e));
    assert_int_equal(run, r1);
    assert_int_equal(rung_result_next(&run, &json, it, &err), RUNG_DONE);
    rung_iter_free(it);
    fx_ok(rung_result_iter(&it, s, NULL, e));
    for (n = 0; rung_result_next(&run, &json, it, &err) == RUNG_OK;) n++;
    assert_int_equal(n, 3);
    rung_iter_free(it);

    bool found = true;
    rung_buf b;
    rung_buf_init(&b, 100);
    fx_ok(rung_cache_get(&b, &found, s, "k", e));
    assert_false(found);
    fx_ok(rung_cache_put(s, "k", "a\0b", 3, e));
    fx_ok(rung_cache_put(s, "k", "zz", 2, e));
    fx_ok(rung_cache_get(&b, &found, s, "k", e));
    assert_true(found && b.n == 3 && memcmp(b.data, "a\0b", 3) == 0);
    fx_ok(rung_cache_put(s, "empty", "", 0, e));
    rung_buf_reset(&b);
    fx_ok(rung_cache_get(&b, &found, s, "empty", e));
    assert_true(found && b.n == 0);
    rung_buf_clear(&b);
    rung_store_close(s);
}

static void transactions_nest(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    assert_int_equal(rung_store_commit(s, &err), RUNG_E_MISUSE);
    fx_ok(rung_store_begin(s, e));
    fx_ok(rung_store_begin(s, e));
    fx_problem(s, "a", "x", 1);
    fx_ok(rung_store_commit(s, e));
    fx_problem(s, "a", "x", 2);
    rung_store_rollback(s);
    assert_int_equal(count(s, "SELECT count(*) FROM problem"), 0);
    fx_ok(rung_store_begin(s, e)); /* a failed put undoes itself, not the batch */
    int64_t p = fx_problem(s, "a", "x", 3);
    rung_step one = {.byte_end = 1};
    rung_trace t = {
        .run = 99, .problem = p, .text = "a", .n_bytes = 1, .n_steps = 1, .first_error = -1};
    assert_int_equal(rung_trace_put(s, &t, &one, NULL, &err), RUNG_E_INVAL);
    fx_ok(rung_store_commit(s, e));
    assert_int_equal(count(s, "SELECT count(*) FROM problem"), 1);
    fx_ok(rung_store_begin(s, e)); /* an inner rollback dooms the whole */
    fx_problem(s, "a", "x", 4);
    fx_ok(rung_store_begin(s, e));
    rung_store_rollback(s);
    assert_int_equal(rung_store_commit(s, &err), RUNG_E_STORE);
    assert_int_equal(count(s, "SELECT count(*) FROM problem"), 1);
    fx_problem(s, "a", "x", 5); /* and the handle goes on */
    fx_ok(rung_store_begin(s, e));
    fx_problem(s, "a", "x", 6);
    rung_store_close(s); /* closing rolls back */
    s = fx_open(fx_db, 0);
    assert_int_equal(count(s, "SELECT count(*) FROM problem"), 2);
    rung_store_close(s);
    rung_store_close(NULL);
}

/* A trace just judged brings its row; judged again, the trace says the new verdict and the row of
 * the older version stays. A store that version 3 left gets rows from its traces' columns. */
static void verdicts(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    int64_t run = fx_run(s, "trace.sample"), p = fx_problem(s, "a", "x", 1);
    rung_step one = {.byte_end = 1};
    rung_arena *a = rung_arena_new(0);
    rung_verdict_row *row;
    size_t n;
    rung_trace t = {.run = run,
                    .problem = p,
                    .text = "4",
                    .n_bytes = 1,
                    .n_steps = 1,
                    .answer = "4",
                    .answer_key = "n:4",
                    .verdict = RUNG_VERDICT_CORRECT,
                    .verifier = "math-3",
                    .rule = "number",
                    .first_error = -1,
                    .decided_by = "rational",
                    .judged_us = 12};
    int64_t before = rung_unix_ms();
    fx_ok(rung_trace_put(s, &t, &one, NULL, e));
    fx_ok(rung_verdict_rows(&row, &n, a, s, t.id, e));
    assert_int_equal(n, 1);
    assert_string_equal(row[0].verifier, "math");
    assert_string_equal(row[0].version, "math-3");
    assert_string_equal(row[0].extracted_by, "number");
    assert_string_equal(row[0].rule, "rational");
    assert_int_equal(row[0].verdict, RUNG_VERDICT_CORRECT);
    assert_int_equal(row[0].us, 12);
    assert_true(row[0].at_ms >= before && row[0].at_ms <= rung_unix_ms());
    t.verifier = "math-4";
    t.verdict = RUNG_VERDICT_WRONG;
    t.decided_by = "algebraic";
    t.answer = "5";
    t.first_error = 0;
    fx_ok(rung_trace_rejudge(s, &t, e));
    fx_ok(rung_trace_rejudge(s, &t, e)); /* again: the same row */
    fx_ok(rung_verdict_rows(&row, &n, a, s, t.id, e));
    assert_int_equal(n, 2);
    assert_string_equal(row[0].version, "math-3");
    assert_int_equal(row[0].verdict, RUNG_VERDICT_CORRECT);
    assert_string_equal(row[1].version, "math-4");
    assert_string_equal(row[1].rule, "algebraic");
    assert_int_equal(row[1].verdict, RUNG_VERDICT_WRONG);
    assert_int_equal(count(s, "SELECT count(*) FROM trace WHERE verdict=2 AND answer='5' AND"
                              " verifier='math-4' AND first_error=0 AND text='4'"),
                     1);
    t.first_error = 1; /* it has one step */
    assert_int_equal(rung_trace_rejudge(s, &t, &err), RUNG_E_INVAL);
    t.first_error = 0;
    int64_t id = t.id;
    t.id = 77;
    assert_int_equal(rung_trace_rejudge(s, &t, &err), RUNG_E_NOT_FOUND);
    rung_verdict_row bad = {.trace = id, .verifier = "", .version = "v"};
    assert_int_equal(rung_verdict_put(s, &bad, &err), RUNG_E_INVAL);
    bad.verifier = "other";
    fx_ok(rung_verdict_put(s, &bad, e));
    fx_ok(rung_verdict_rows(&row, &n, a, s, id, e));
    assert_int_equal(n, 3);
    fx_ok(rung_verdict_rows(&row, &n, a, s, 77, e));
    assert_int_equal(n, 0);
    fx_check_ok(s);
    char *dump = fx_export(s);
    assert_non_null(strstr(dump, "\"version\":\"math-4\""));
    rung_free(dump);
    assert_int_equal(sqlite3_exec(rung_store_sqlite(s),
                                  "DROP TABLE verdict;"
                                  "ALTER TABLE rollout DROP COLUMN verifier;"
                                  "ALTER TABLE rollout DROP COLUMN decided_by;"
                                  "ALTER TABLE rollout DROP COLUMN us;"
                                  "ALTER TABLE rollout DROP COLUMN at_ms;"
                                  "PRAGMA user_version=3",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    rung_store_close(s);
    s = fx_open(fx_db, 0);
    assert_int_equal(count(s, "SELECT count(*) FROM verdict WHERE verifier='math' AND"
                              " version='math-4' AND verdict=2 AND rule='' AND us IS NULL AND"
                              " at_ms>0"),
                     1);
    rung_store_close(s);
    rung_arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(verdicts, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(runs, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(problems, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(traces_share_their_prefix, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(traces_come_back_exactly, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(bad_traces_are_refused_whole, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(rollouts, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(labels_and_scores, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(metrics_results_cache, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(transactions_nest, fx_setup, fx_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
