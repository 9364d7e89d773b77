/* Several endpoints, and label mc over endpoints that fail in every way:
 * tests/remote/fault_server.py gives answers that depend on the request alone, so every run must
 * end with the same labels. */
#include "remote/fault_client.h"

#include "rung/label.h"
#include "rung/problem.h"

#include <math.h>

#define OK(expr)                                                                                   \
    do {                                                                                           \
        rung_error ok_err = RUNG_ERROR_INIT, *err = &ok_err;                                       \
        if ((expr) != RUNG_OK)                                                                     \
            fail_msg("%s: %s | %s | %s", #expr, ok_err.what, ok_err.detail, ok_err.hint);          \
        (void)err;                                                                                 \
    } while (0)

static char folder[64];

static int setup(void **state) {
    (void)state;
    strcpy(folder, "/tmp/rung_many_XXXXXX");
    if (!mkdtemp(folder)) return -1;
    fault_start();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    char cmd[128];
    fault_stop();
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", folder);
    return system(cmd);
}

/* A fixed load: n prompts, k samples each -------------------------------------------------------
 */

enum { MOST = 600 };
static int n_seen[MOST];
static char text_of[MOST][160];
static int n_done, each;

static rung_status on_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    (void)ud, (void)err;
    int at = (int)(intptr_t)o->ud * each + o->i;
    n_seen[at]++;
    snprintf(text_of[at], sizeof text_of[0], "%.*s", o->n_bytes, o->text);
    n_done++;
    return RUNG_OK;
}

static rung_engine_opts fast(void) {
    rung_engine_opts o = RUNG_ENGINE_OPTS_INIT;
    o.backoff_s = 0.02;
    o.timeout_s = 20;
    return o;
}

static rung_status load(rung_engine **out, const char *urls, const rung_engine_opts *o, int n,
                        int k, rung_error *why) {
    memset(n_seen, 0, sizeof n_seen);
    n_done = 0;
    each = k;
    OK(rung_engine_open_remote(out, urls, o, NULL, err));
    for (int p = 0; p < n; p++) {
        char text[32];
        snprintf(text, sizeof text, "prompt %d", p);
        rung_gen g = {.prompt = {.user = text},
                      .sampling = RUNG_SAMPLING_INIT,
                      .n = k,
                      .max_tok = 100,
                      .key = (uint64_t)p,
                      .ud = (void *)(intptr_t)p};
        OK(rung_engine_gen(*out, &g, err));
    }
    rung_engine_cb cb = {.on_gen = on_gen};
    return rung_engine_run(*out, &cb, why);
}

static void all_once(int n, int k) {
    for (int i = 0; i < n * k; i++) assert_int_equal(n_seen[i], 1);
}

static rung_endpoint_stats stats_of(const rung_engine *e, size_t i) {
    rung_endpoint_stats s;
    assert_true(rung_engine_endpoint(&s, e, i));
    return s;
}

static const char *two(const char *a, const char *b) {
    static char urls[400];
    snprintf(urls, sizeof urls, "%s,%s", fault_url(a), fault_url(b));
    return urls;
}

/* Speed -----------------------------------------------------------------------------------------
 */

static double time_of(const char *urls, size_t n_ep) {
    rung_engine_opts o = fast();
    rung_engine *e;
    double t0 = rung_now();
    OK(load(&e, urls, &o, 60, 2, err));
    double s = rung_now() - t0;
    all_once(60, 2);
    for (size_t i = 0; i < n_ep; i++) assert_string_equal(stats_of(e, i).state, "up");
    for (size_t i = 0; i < n_ep; i++) assert_true(stats_of(e, i).n_choices > 0);
    rung_engine_close(e);
    return s;
}

/* 4 slots of 100 ms each: 120 samples take 3 s on one endpoint, 1.5 s on two. On a machine that is
 * busy with other things the server is late: the best of three rounds counts. */
static void two_endpoints_halve_the_time(void **state) {
    (void)state;
    NEED_SERVER();
    double best = 0.0;
    for (int k = 0; k < 3 && best < 1.5; k++) {
        char a[64], b[64], c[64];
        snprintf(a, sizeof a, "slots-4-100/a%d", k);
        snprintf(b, sizeof b, "slots-4-100/b%d", k);
        snprintf(c, sizeof c, "slots-4-100/c%d", k);
        double one = time_of(fault_url(a), 1), both = time_of(two(b, c), 2);
        print_message("one endpoint %.2f s, two %.2f s\n", one, both);
        assert_true(one >= 3.0);
        if (one / both > best) best = one / both;
    }
    assert_true(best > 1.3);
}

static void probing_fills_an_endpoint(void **state) {
    (void)state;
    NEED_SERVER();
    rung_engine_opts o = fast();
    rung_engine *e;
    OK(load(&e, fault_url("slots-32-30/wide"), &o, 600, 1, err));
    all_once(600, 1);
    rung_endpoint_stats s = stats_of(e, 0);
    rung_engine_close(e);
    if (s.window_max < 16) fail_msg("window %d at most", s.window_max);
    assert_true(fault_stat("slots-32-30/wide", NULL, "at_once") >= 16);
    o.concurrency = 3; /* a cap is a cap */
    OK(load(&e, fault_url("slots-32-30/capped"), &o, 60, 1, err));
    rung_engine_close(e);
    assert_int_equal(fault_stat("slots-32-30/capped", NULL, "at_once"), 3);
    char url[200];
    o.concurrency = 0;
    snprintf(url, sizeof url, "%s#concurrency=2", fault_url("slots-32-30/capped2"));
    OK(load(&e, url, &o, 60, 1, err));
    rung_engine_close(e);
    assert_int_equal(fault_stat("slots-32-30/capped2", NULL, "at_once"), 2);
}

/* 429 above 4 at once: found, and not run into again and again. */
static void probing_keeps_below_a_limit(void **state) {
    (void)state;
    NEED_SERVER();
    rung_engine_opts o = fast();
    rung_engine *e;
    OK(load(&e, fault_url("limit-4-10/x"), &o, 300, 1, err));
    all_once(300, 1);
    rung_endpoint_stats s = stats_of(e, 0);
    rung_engine_close(e);
    int64_t busy = s.n_failures[RUNG_REMOTE_BUSY];
    assert_int_equal(busy, fault_stat("limit-4-10/x", "injected", "429"));
    if (busy < 1 || busy > 60) fail_msg("%d of 300 refused", (int)busy);
}

/* A server of 4 slots tells so: k = 6 is asked for in parts of 4 and 2 without a refusal. */
static void slots_are_asked_for(void **state) {
    (void)state;
    NEED_SERVER();
    rung_engine_opts o = fast();
    rung_engine *e;
    OK(load(&e, fault_url("clean/slots=4/owner=llamacpp/model=t"), &o, 10, 6, err));
    all_once(10, 6);
    rung_endpoint_stats s = stats_of(e, 0);
    assert_string_equal(s.dialect, "llama-server");
    assert_string_equal(s.model, "t");
    assert_int_equal(s.n_requests, 20);
    assert_int_equal(s.n_failures[RUNG_REMOTE_MANY], 0);
    rung_engine_close(e);
}

/* A server that ignores n: after two lone replies it is asked for one at a time, several at once.
 */
static void servers_that_ignore_n(void **state) {
    (void)state;
    NEED_SERVER();
    rung_engine_opts o = fast();
    rung_engine *e;
    OK(load(&e, fault_url("lone/x"), &o, 20, 6, err));
    all_once(20, 6);
    rung_endpoint_stats s = stats_of(e, 0);
    assert_int_equal(s.n_requests, 120);
    assert_in_range(s.n_failures[RUNG_REMOTE_FEWER], 2,
                    16); /* those in flight when it was learned */
    rung_engine_close(e);
}

/* Models ----------------------------------------------------------------------------------------
 */

static void expect_refusal(const char *urls, const char *what, const char *hint) {
    rung_engine_opts o = fast();
    rung_engine *e;
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(load(&e, urls, &o, 4, 2, &err), RUNG_E_INVAL);
    if (!strstr(err.what, what)) fail_msg("no \"%s\" in: %s", what, err.what);
    if (!strstr(err.hint, hint)) fail_msg("no \"%s\" in: %s", hint, err.hint);
    assert_int_equal(n_done, 0);
    rung_engine_close(e);
}

static void models_agree_or_are_mapped(void **state) {
    (void)state;
    NEED_SERVER();
    rung_engine_opts o = fast();
    rung_engine *e;
    expect_refusal(two("clean/model=a/1", "clean/model=b/1"), "different models", "#model=NAME");
    expect_refusal(fault_url("clean/model=a/model=b"), "serves 2 models: a, b", "--remote-model");
    expect_refusal(
        two("clean/owner=llamacpp/model=x/size=5", "clean/owner=llamacpp/model=x/size=6"),
        "different sizes", "");
    OK(load(&e,
            two("clean/owner=llamacpp/model=%2Fp%2Fx.gguf/size=5",
                "clean/owner=llamacpp/model=x.gguf/size=5"),
            &o, 4, 2, err));
    rung_engine_close(e);
    char urls[400];
    snprintf(urls, sizeof urls, "%s#model=a&dialect=vllm\n%s#model=b", fault_url("clean/model=a/2"),
             fault_url("clean/owner=vllm/model=b/2"));
    OK(load(&e, urls, &o, 30, 2, err));
    all_once(30, 2);
    for (size_t i = 0; i < 2; i++) {
        rung_endpoint_stats s = stats_of(e, i);
        assert_string_equal(s.model, i ? "b" : "a");
        assert_string_equal(s.dialect, "vllm");
        assert_true(s.n_choices > 0);
    }
    rung_engine_close(e);
    o.model_name = "a"; /* one name for all */
    OK(load(&e, two("clean/model=a/model=c/3", "clean/model=b/model=a/3"), &o, 4, 2, err));
    rung_engine_close(e);
    rung_error err = RUNG_ERROR_INIT;
    static const char *bad[] = {"",
                                ",",
                                "http://h:1#model",
                                "http://h:1#nodel=x",
                                "http://h:1#concurrency=0",
                                "http://h:1#dialect=vlm",
                                "http://h:1,http://h:1/v1/"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(rung_engine_open_remote(&e, bad[i], NULL, NULL, &err), RUNG_E_INVAL);
        assert_null(e);
    }
    o.dialect = "vlm";
    assert_int_equal(rung_engine_open_remote(&e, "http://h:1", &o, NULL, &err), RUNG_E_INVAL);
    assert_non_null(strstr(err.hint, "vllm"));
}

/* Endpoints that die ----------------------------------------------------------------------------
 */

static const char *mortal_url(int n_answers, const char *mode) {
    static char url[160];
    char path[64];
    snprintf(path, sizeof path, "mortal/%d", n_answers);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/%s/v1", fault_number(path, NULL, "port"), mode);
    return url;
}

/* It answers 10 requests, then nobody any more: what it has in flight hangs. The time-out is far
 * away, so only moving the requests ends this in time. */
static void requests_in_flight_move(void **state) {
    (void)state;
    NEED_SERVER();
    rung_engine_opts o = fast();
    rung_engine *e;
    char urls[400];
    double t0 = rung_now();
    snprintf(urls, sizeof urls, "%s,%s", mortal_url(10, "slots-8-10/dying"),
             fault_url("slots-8-10/alive"));
    OK(load(&e, urls, &o, 120, 2, err));
    all_once(120, 2);
    rung_endpoint_stats dead = stats_of(e, 0), alive = stats_of(e, 1);
    assert_true(rung_now() - t0 < 15.0);
    assert_string_equal(dead.state, "down");
    assert_in_range(dead.n_replies, 1, 10); /* what was on its way when it went down was moved */
    assert_true(dead.n_moved > 0);
    assert_true(dead.n_failures[RUNG_REMOTE_CONNECT] + dead.n_failures[RUNG_REMOTE_CUT] > 0);
    assert_int_equal(alive.n_replies + dead.n_replies, 120);
    rung_engine_close(e);
}

/* One that was never there, beside one that is: the work is done, and says so. */
static void an_endpoint_that_is_not_there(void **state) {
    (void)state;
    NEED_SERVER();
    rung_engine_opts o = fast();
    rung_engine *e;
    char urls[400];
    snprintf(urls, sizeof urls, "http://127.0.0.1:1/v1,%s", fault_url("clean/lonely"));
    OK(load(&e, urls, &o, 50, 2, err));
    all_once(50, 2);
    assert_string_equal(stats_of(e, 0).state, "down");
    assert_int_equal(stats_of(e, 0).n_requests, 0);
    assert_int_equal(stats_of(e, 1).n_replies, 50);
    rung_engine_close(e);
    rung_error err = RUNG_ERROR_INIT; /* none is there */
    o.retries = 2;
    assert_int_equal(load(&e, "http://127.0.0.1:1,http://127.0.0.1:2", &o, 2, 1, &err),
                     RUNG_E_REMOTE);
    assert_non_null(strstr(err.hint, "http://127.0.0.1:1, http://127.0.0.1:2"));
    rung_engine_close(e);
}

/* The ledger ------------------------------------------------------------------------------------
 */

static void the_ledger_adds_up(void **state) {
    (void)state;
    NEED_SERVER();
    rung_engine_opts o = fast();
    o.price_in = 2.0;
    o.price_cached = 0.5;
    o.price_out = 10.0;
    rung_engine *e;
    OK(load(&e, fault_url("clean/ledger"), &o, 30, 3, err));
    rung_endpoint_stats s = stats_of(e, 0);
    assert_int_equal(s.prompt_tok, 30 * 100);
    assert_int_equal(s.cached_tok, 30 * 40);
    assert_int_equal(s.completion_tok, 30 * 3 * 7);
    assert_true(fabs(s.cost - 30 * (60 * 2.0 + 40 * 0.5 + 21 * 10.0) / 1e6) < 1e-12);
    assert_int_equal(s.n_no_usage, 0);
    rung_endpoint_stats none;
    assert_false(rung_engine_endpoint(&none, e, 1));
    rung_engine_close(e);
    OK(load(&e, fault_url("silent/ledger"), &o, 5, 1, err));
    assert_int_equal(stats_of(e, 0).n_no_usage, 5);
    rung_engine_close(e);
}

/* label mc under faults -------------------------------------------------------------------------
 */

enum { N_PROBLEMS = 24, K = 4 };

static void make_store(rung_store **s, const char *name, int64_t *pool) {
    char path[128];
    bool is_new;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    OK(rung_store_open(s, path, RUNG_STORE_CREATE, err));
    rung_run run = {.kind = "trace.import", .config = "{}", .name = "pool"};
    OK(rung_run_begin(*s, &run, err));
    *pool = run.id;
    for (int p = 0; p < N_PROBLEMS; p++) {
        char key[16], question[64], answer[8], text[160];
        snprintf(key, sizeof key, "q%d", p);
        snprintf(question, sizeof question, "Question %d?\n", p);
        snprintf(answer, sizeof answer, "%d", p % 3);
        rung_problem pr = {.set = "t",
                           .split = "test",
                           .key = key,
                           .question = question,
                           .answer = answer,
                           .solution = "",
                           .world = "",
                           .meta = "{}",
                           .verifier = "math"};
        OK(rung_problem_put(*s, &pr, &is_new, err));
        for (int i = 0; i < 2; i++) {
            int n = snprintf(text, sizeof text,
                             "Take %d\n\nSo %d and %d\n\nThen %d\n\nAnd %d\n\n#### %d", i, p, i, i,
                             p + i, (p + i) % 3);
            rung_step *step;
            rung_trace t = {.run = run.id,
                            .problem = pr.id,
                            .i = i,
                            .generator = "x",
                            .text = text,
                            .n_bytes = n,
                            .stop = "eos",
                            .first_error = RUNG_FIRST_ERROR_UNKNOWN,
                            .first_error_source = ""};
            OK(rung_split_steps(&step, &t.n_steps, "blank", text, (size_t)n, err));
            rung_arena *a = rung_arena_new(0);
            OK(rung_trace_judge(&t, a, &pr, err));
            t.step = step;
            OK(rung_trace_put(*s, &t, step, &is_new, err));
            rung_free(step);
            rung_arena_free(a);
        }
    }
}

/* Every label and every rollout, without what may differ: row ids in order of arrival. */
static char *dump(rung_store *s, int64_t run, int *n_rollouts) {
    rung_buf b;
    rung_iter *it;
    const rung_trace *t;
    rung_buf_init(&b, 16u << 20);
    *n_rollouts = 0;
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK) {
        for (int32_t k = 0; k < t->n_steps; k++) {
            rung_label l;
            bool found;
            rung_rollout_counts c;
            OK(rung_label_get(&l, &found, s, run, t->step[k].node, "mc", err));
            OK(rung_rollout_count(&c, s, run, t->step[k].node, err));
            rung_buf_printf(&b, "%lld %d.%d: %d %d %d of %d, %lld tokens; %d %g\n",
                            (long long)t->problem, t->i, k, c.n_correct, c.n_wrong, c.n_unknown,
                            c.n, (long long)c.n_tok, found ? l.hard : -9, found ? l.soft : -9.0);
            *n_rollouts += c.n;
        }
    }
    rung_iter_free(it);
    return rung_buf_take(&b, NULL);
}

static char *label(const char *name, const char *urls, const rung_engine_opts *opts,
                   rung_endpoint_stats *st, int n_st, int *n_rollouts) {
    rung_store *s;
    rung_engine *e;
    int64_t pool;
    make_store(&s, name, &pool);
    rung_run run = {.kind = "label.mc", .config = "{}"};
    OK(rung_run_begin(s, &run, err));
    rung_mc_opts o = RUNG_MC_OPTS_INIT;
    o.k = K;
    o.max_tok = 64;
    o.traces.run = pool;
    rung_engine_opts eo = *opts;
    eo.cache = s;
    eo.model_name = "m";
    OK(rung_engine_open_remote(&e, urls, &eo, NULL, err));
    OK(rung_label_mc(s, e, run.id, &o, NULL, err));
    for (int i = 0; i < n_st; i++) {
        st[i] = stats_of(e, (size_t)i);
        st[i].url = st[i].model = "";
    }
    rung_engine_close(e);
    char *all = dump(s, run.id, n_rollouts);
    rung_store_close(s);
    return all;
}

static int injected(const char *prefix, const char *kind) {
    int n = fault_stat(prefix, "injected", kind);
    return n > 0 ? n : 0;
}

/* Three endpoints: one fails in one of ten requests, in every way; one dies after 15 answers; one
 * never was there. The labels are those of a run without any of this; no rollout is there twice;
 * what the server spoiled is in the ledger, kind by kind. */
static void labels_survive_every_failure(void **state) {
    (void)state;
    NEED_SERVER();
    rung_engine_opts o = fast();
    int n_clean, n_chaos;
    rung_endpoint_stats clean, st[3];
    char *want = label("clean.db", fault_url("clean/quiz"), &o, &clean, 1, &n_clean);
    assert_int_equal(clean.n_replies, clean.n_requests);
    assert_int_equal(clean.n_choices, n_clean);
    assert_true(n_clean > 300);
    char urls[600];
    snprintf(urls, sizeof urls, "%s,%s,http://127.0.0.1:1/v1", fault_url("chaos-10/quiz"),
             mortal_url(15, "clean/quiz"));
    o.timeout_s = 1.5;
    o.retries = 20; /* a loaded machine times out by itself */
    char *got = label("chaos.db", urls, &o, st, 3, &n_chaos);
    assert_string_equal(got, want);
    assert_int_equal(n_chaos, n_clean);
    rung_free(got);
    rung_free(want);
    const char *p = "chaos-10/quiz";
    const int64_t *f = st[0].n_failures;
    const struct {
        int64_t seen;
        int made;
    } kind[] = {{f[RUNG_REMOTE_SERVER], injected(p, "500")},
                {f[RUNG_REMOTE_BUSY], injected(p, "429") + injected(p, "busy")},
                {f[RUNG_REMOTE_BROKEN], injected(p, "broken") + injected(p, "empty")},
                {f[RUNG_REMOTE_FEWER], injected(p, "fewer")},
                {f[RUNG_REMOTE_CUT], injected(p, "cut") + injected(p, "close")}};
    int64_t n_missed = 0;
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
        if (kind[i].seen > kind[i].made) {
            fail_msg("kind %d: %d seen, %d made", (int)i, (int)kind[i].seen, kind[i].made);
        }
        n_missed += kind[i].made - kind[i].seen;
    }
    if (f[RUNG_REMOTE_TIMEOUT] + st[0].n_moved < injected(p, "slow")) {
        fail_msg("%d time-outs, %d moved, %d slow", (int)f[RUNG_REMOTE_TIMEOUT], (int)st[0].n_moved,
                 injected(p, "slow"));
    }
    /* unseen: what libcurl asked for again by itself, on a connection that was closed before the
     * answer; what was moved, or had timed out, before its failure came */
    int64_t n_late = f[RUNG_REMOTE_TIMEOUT] - injected(p, "slow");
    int64_t n_unseen = injected(p, "close") + st[0].n_moved + (n_late > 0 ? n_late : 0);
    if (n_missed > n_unseen) fail_msg("%d missed, %d explained", (int)n_missed, (int)n_unseen);
    int kinds = 0;
    static const char *const all[] = {"500", "broken", "cut",  "empty", "close",
                                      "429", "busy",   "slow", "fewer", "more"};
    for (size_t i = 0; i < 10; i++) kinds += injected(p, all[i]) > 0;
    assert_int_equal(kinds, 10);
    /* nothing twice: each sample came with exactly one reply */
    assert_int_equal(st[0].n_choices + st[1].n_choices + st[2].n_choices, n_clean);
    assert_string_equal(st[1].state, "down");
    assert_in_range(st[1].n_replies, 1, 15);
    assert_string_equal(st[2].state, "down");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_endpoints_halve_the_time),
        cmocka_unit_test(probing_fills_an_endpoint),
        cmocka_unit_test(probing_keeps_below_a_limit),
        cmocka_unit_test(slots_are_asked_for),
        cmocka_unit_test(servers_that_ignore_n),
        cmocka_unit_test(models_agree_or_are_mapped),
        cmocka_unit_test(requests_in_flight_move),
        cmocka_unit_test(an_endpoint_that_is_not_there),
        cmocka_unit_test(the_ledger_adds_up),
        cmocka_unit_test(labels_survive_every_failure),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
