/* export -> import -> export is the same bytes; import is all or nothing. */
#include "store/base64.h"
#include "store_fixture.h"

#include <sqlite3.h>

/* One of everything, with the values that are easy to lose. */
static rung_store *full_store(void) {
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    rung_run run = {.name = "pool \"x\"\n",
                    .kind = "trace.sample",
                    .config = "{\"t\":0.1}",
                    .seed = UINT64_MAX};
    fx_ok(rung_run_begin(s, &run, e));
    fx_ok(rung_run_spend(s, run.id, 7, 0.1, e));
    int64_t p = fx_problem(s, "a", "test", 1), node[4];
    int64_t q = fx_problem(s, "a\xC3\xA9", "test", 1);
    int64_t t1 = fx_trace(s, run.id, p, 0, 4, 2, node);
    fx_trace(s, run.id, p, 1, 3, 2, NULL);
    fx_trace(s, run.id, q, 0, 1, 0, NULL);
    rung_step step[1] = {{.byte_end = 8}};
    rung_trace odd = {.run = run.id,
                      .problem = q,
                      .i = 9,
                      .text = "x\0y \xff\n\xE2\x82",
                      .n_bytes = 8,
                      .n_steps = 1,
                      .first_error = -1};
    fx_ok(rung_trace_put(s, &odd, step, NULL, e));
    static const double reals[] = {0.1, 1.0 / 3.0, 5e-324, 1.7976931348623157e308, -0.0, 1e22, 3.0};
    for (int i = 0; i < 7; i++) fx_ok(rung_metric_put(s, run.id, i, "m", reals[i], e));
    fx_ok(rung_metric_put(s, run.id, 7, "m", NAN, e));
    rung_rollout r = {.run = run.id, .node = node[1], .i = 0, .text = "so", .logprob = NAN};
    fx_ok(rung_rollout_put(s, &r, NULL, e));
    r.i = 1;
    r.logprob = -1.0 / 3.0;
    fx_ok(rung_rollout_put(s, &r, NULL, e));
    rung_label l = {.run = run.id, .node = node[0], .source = "mc", .hard = -1, .soft = NAN};
    fx_ok(rung_label_put(s, &l, NULL, e));
    rung_model_row m = {.name = "prm", .path = "", .hash = "h", .kind = "prm", .meta = "{}"};
    fx_ok(rung_model_put(s, &m, e));
    fx_ok(rung_score_put(s, node[0], m.id, 0.1, e));
    fx_ok(rung_result_put(s, run.id, "claim", "{\"v\":1}", e));
    unsigned char bytes[256];
    for (int i = 0; i < 256; i++) bytes[i] = (unsigned char)i;
    fx_ok(rung_cache_put(s, "k", (const char *)bytes, 256, e));
    fx_ok(rung_cache_put(s, "empty", "", 0, e));
    char sql[160];
    snprintf(sql, sizeof sql, "INSERT INTO critique VALUES(1, %lld, %lld, 0, 'c', 'text', 2, '{}')",
             (long long)run.id, (long long)t1);
    assert_int_equal(sqlite3_exec(rung_store_sqlite(s), sql, NULL, NULL, NULL), SQLITE_OK);
    fx_check_ok(s);
    return s;
}

static const char *dump_to_file(const char *text) {
    static char path[128];
    snprintf(path, sizeof path, "%s/dump.jsonl", fx_folder);
    fx_ok(rung_file_write(path, text, strlen(text), e));
    return path;
}

static rung_store *second_store(void) {
    char path[128];
    snprintf(path, sizeof path, "%s/second.db", fx_folder);
    return fx_open(path, RUNG_STORE_CREATE);
}

/* A search of problem p with three events, one of them not UTF-8 and with a NUL. */
static void put_search(rung_store *s, int64_t run, int64_t p) {
    rung_search_row r = {.run = run,
                         .problem = p,
                         .method = "beam",
                         .chosen = 1,
                         .answer_key = "q:5/1",
                         .verdict = RUNG_VERDICT_CORRECT,
                         .outcome = "correct",
                         .n_traces = 2,
                         .n_nodes = 3,
                         .ledger = "{}"};
    const rung_search_event event[] = {{"node", 1, 0, 0.5, 1, "a\0\xff", 3},
                                       {"score", 1, 0, 1.0 / 3.0, 0, NULL, 0},
                                       {"choose", 1, 0, NAN, 0, NULL, 0}};
    bool is_new = false;
    fx_ok(rung_search_put(s, &r, event, 3, &is_new, e));
    assert_true(is_new);
    r.chosen = 0; /* the first stays, its events are not doubled */
    fx_ok(rung_search_put(s, &r, event, 3, &is_new, e));
    assert_false(is_new);
    r.verdict = (rung_verdict)3;
    assert_int_equal(rung_search_put(s, &r, event, 3, &is_new, NULL), RUNG_E_INVAL);
}

static rung_status see_event(void *ud, const rung_search_event *v, rung_error *err) {
    (void)err;
    int *n = ud;
    if (*n == 0)
        assert_true(v->n_bytes == 3 && memcmp(v->text, "a\0\xff", 3) == 0 && v->value == 0.5);
    if (*n == 2) assert_true(isnan(v->value) && strcmp(v->kind, "choose") == 0);
    ++*n;
    return RUNG_OK;
}

static rung_status see_row(void *ud, const rung_search_row *r, rung_error *err) {
    (void)err;
    assert_int_equal(r->chosen, 1);
    assert_string_equal(r->answer_key, "q:5/1");
    ++*(int *)ud;
    return RUNG_OK;
}

static void searches(void **state) {
    (void)state;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    int64_t run = fx_run(s, "search.run"), p = fx_problem(s, "a", "test", 1);
    int n = 0;
    put_search(s, run, p);
    fx_ok(rung_search_events(s, run, p, see_event, &n, e));
    assert_int_equal(n, 3);
    n = 0;
    fx_ok(rung_search_rows(s, run, 0, see_row, &n, e));
    fx_ok(rung_search_rows(s, run, p, see_row, &n, e));
    fx_ok(rung_search_rows(s, run, p + 1, see_row, &n, e));
    assert_int_equal(n, 2);
    fx_check_ok(s);
    rung_store *t = second_store();
    char *a = fx_export(s);
    fx_ok(rung_store_import(NULL, t, dump_to_file(a), e));
    char *b = fx_export(t);
    assert_string_equal(a, b);
    rung_free(a);
    rung_free(b);
    rung_store_close(s);
    rung_store_close(t);
}

static void round_trip(void **state) {
    (void)state;
    rung_store *s = full_store(), *t = second_store();
    assert_int_equal(sqlite3_exec(rung_store_sqlite(s), /* of one trace; the others have none */
                                  "UPDATE trace SET logprob_draw=logprob WHERE i=0", NULL, NULL,
                                  NULL),
                     SQLITE_OK);
    char *a = fx_export(s);
    for (const char *table = "run\0model\0problem\0node\0trace\0trace_step\0rollout\0label\0score\0"
                             "critique\0metric\0result\0cache\0";
         *table; table += strlen(table) + 1) {
        char start[64]; /* a table that the export forgot is seen here */
        snprintf(start, sizeof start, "\n{\"table\":\"%s\",", table);
        assert_non_null(strstr(a, start));
    }
    int64_t n = -1, n_lines = 0;
    for (const char *p = a; *p; p++) n_lines += *p == '\n';
    fx_ok(rung_store_import(&n, t, dump_to_file(a), e));
    assert_int_equal(n, n_lines - 1); /* all but the line about the store */
    char *b = fx_export(t);
    assert_string_equal(a, b);
    fx_check_ok(t);
    fx_ok(rung_store_import(&n, t, dump_to_file(a), e)); /* into an equal store: nothing to do */
    assert_int_equal(n, 0);
    rung_free(a);
    rung_free(b);
    rung_store_close(s);
    rung_store_close(t);
}

/* What version 1 exported has no logprob_draw: NULL then. A version-2 line must have it. */
static void older_exports_come_in(void **state) {
    (void)state;
    rung_store *s = full_store(), *t = second_store();
    rung_error err = RUNG_ERROR_INIT;
    char *now = fx_export(s), *old = strdup(now), *at;
    while ((at = strstr(old, ",\"logprob_draw\":null"))) memmove(at, at + 20, strlen(at + 20) + 1);
    assert_null(strstr(old, "logprob_draw"));
    static const char judged[] =
        ",\"verifier\":null,\"decided_by\":null,\"us\":null,\"at_ms\":null";
    size_t n_judged = sizeof judged - 1;
    int n_rollouts = 0;
    for (; (at = strstr(old, judged)); n_rollouts++)
        memmove(at, at + n_judged, strlen(at + n_judged) + 1);
    assert_int_equal(n_rollouts, 2);
    assert_int_equal(rung_store_import(NULL, t, dump_to_file(old), &err), RUNG_E_FORMAT);
    assert_non_null(strstr(err.what, "missing key \"logprob_draw\""));
    at = strstr(old, "\"schema\":5");
    assert_non_null(at);
    at[9] = '1';
    fx_ok(rung_store_import(NULL, t, dump_to_file(old), e));
    char *back = fx_export(t);
    assert_string_equal(back, now);
    free(old);
    rung_free(now);
    rung_free(back);
    rung_store_close(s);
    rung_store_close(t);
}

static void unequal_stores_are_refused_untouched(void **state) {
    (void)state;
    rung_store *s = full_store(), *t = second_store();
    rung_error err = RUNG_ERROR_INIT;
    char *a = fx_export(s);
    fx_problem(t, "z", "test", 5);
    char *before = fx_export(t);
    assert_int_equal(rung_store_import(NULL, t, dump_to_file(a), &err), RUNG_E_STORE);
    assert_non_null(strstr(err.hint, "nothing was changed"));
    char *after = fx_export(t);
    assert_string_equal(before, after);
    rung_free(after);
    rung_free(before);
    fx_problem(s, "a", "test", 99); /* the store has one row more than the file */
    before = fx_export(s);
    assert_int_equal(rung_store_import(NULL, s, dump_to_file(a), &err), RUNG_E_STORE);
    after = fx_export(s);
    assert_string_equal(before, after);
    rung_free(a);
    rung_free(after);
    rung_free(before);
    rung_store_close(s);
    rung_store_close(t);
}

static void bad_dumps_name_their_line(void **state) {
    (void)state;
    static const char ok[] =
        "{\"table\":\"store\",\"v\":1,\"schema\":5}\n"
        "{\"table\":\"problem\",\"id\":1,\"set\":\"a\",\"split\":\"\",\"key\":\"k\",\"question\":"
        "\"q\","
        "\"answer\":\"\",\"solution\":\"\",\"world\":\"\",\"meta\":\"\",\"verifier\":\"\"}\n";
    static const struct {
        const char *line, *part;
    } bad[] = {
        {"{\"table\":\"nodes\"}", "unknown table \"nodes\""},
        {"{\"id\":3}", "no key \"table\""},
        {"[1]", "not a JSON object"},
        {"{\"table\":\"cache\",\"key\":\"a\"", "bad JSON"},
        {"{\"table\":\"cache\",\"key\":\"a\"}", "missing key \"reply\""},
        {"{\"table\":\"cache\",\"key\":\"a\",\"reply\":\"YQ\"}", "not base64: key \"reply\""},
        {"{\"table\":\"cache\",\"key\":4,\"reply\":\"\"}", "wrong type: key \"key\""},
        {"{\"table\":\"cache\",\"key\":\"a\",\"reply\":\"\",\"x\":1}", "unknown key \"x\""},
        {"{\"table\":\"score\",\"node\":1,\"model\":1.5,\"value\":1}", "wrong type: key \"model\""},
        {"{\"table\":\"problem\",\"id\":2,\"set\":\"a\",\"split\":\"\",\"key\":\"k\",\"question\":"
         "\"q\","
         "\"answer\":\"\",\"solution\":\"\",\"world\":\"\",\"meta\":\"\",\"verifier\":\"\"}",
         "UNIQUE"},
        {"{\"table\":\"store\",\"schema\":77}", "schema version 77"},
        {"{\"table\":\"node\",\"id\":1,\"problem\":1,\"parent\":null,\"depth\":null,\"path\":\"\","
         "\"text\":\"\"}",
         "NOT NULL"},
    };
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[1024];
        rung_error err = RUNG_ERROR_INIT;
        snprintf(text, sizeof text, "%s%s\n", ok, bad[i].line);
        rung_status st = rung_store_import(NULL, s, dump_to_file(text), &err);
        if (st != RUNG_E_FORMAT || !strstr(err.what, bad[i].part) || !strstr(err.what, ":3: "))
            fail_msg("case %zu: %d \"%s\"", i, (int)st, err.what);
    }
    rung_error err = RUNG_ERROR_INIT; /* a score of a node that no line brings */
    char text[1024];
    snprintf(text, sizeof text, "%s{\"table\":\"score\",\"node\":1,\"model\":1,\"value\":1}\n", ok);
    assert_int_equal(rung_store_import(NULL, s, dump_to_file(text), &err), RUNG_E_FORMAT);
    assert_int_equal(rung_store_import(NULL, s, "/tmp/rung/none", &err), RUNG_E_NOT_FOUND);
    char *all = fx_export(s); /* nothing of any of them stayed */
    assert_string_equal(all, "{\"table\":\"store\",\"v\":1,\"schema\":5}\n");
    rung_free(all);
    rung_store_close(s);
}

static int stop_at_third(void *ud, const char *line, size_t n) {
    (void)line;
    (void)n;
    return ++*(int *)ud == 3;
}

static void export_can_be_stopped(void **state) {
    (void)state;
    rung_store *s = full_store();
    rung_error err = RUNG_ERROR_INIT;
    int n = 0;
    assert_int_equal(rung_store_export(s, stop_at_third, &n, &err), RUNG_E_CANCELLED);
    assert_int_equal(n, 3);
    fx_problem(s, "z", "test", 1); /* no transaction is left behind */
    rung_store_close(s);
}

/* RFC 4648, section 10. */
static void base64_vectors(void **state) {
    (void)state;
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    rung_buf b;
    rung_buf_init(&b, 100);
    for (size_t i = 0; i < 7; i++) {
        rung_buf_reset(&b);
        rung_buf_str(&b, "");
        store_base64_put(&b, (const unsigned char *)pairs[i][0], strlen(pairs[i][0]));
        assert_string_equal(b.data, pairs[i][1]);
        rung_buf_reset(&b);
        assert_true(store_base64_get(&b, pairs[i][1], strlen(pairs[i][1])));
        assert_string_equal(b.data, pairs[i][0]);
    }
    static const char *const bad[] = {
        "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zm 9", "Zg==Zg=="};
    for (size_t i = 0; i < 8; i++) assert_false(store_base64_get(&b, bad[i], strlen(bad[i])));
    rung_buf_clear(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(searches, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(round_trip, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(older_exports_come_in, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(unequal_stores_are_refused_untouched, fx_setup,
                                        fx_teardown),
        cmocka_unit_test_setup_teardown(bad_dumps_name_their_line, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(export_can_be_stopped, fx_setup, fx_teardown),
        cmocka_unit_test(base64_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
