/* The remote engine against tests/remote/fault_server.py: whatever the server does to single
 * requests, the results are those of a run without faults. */
#include "random_model.h"

#include "model/remote_wire.h"
#include "remote/fault_client.h"

static int setup(void **state) {
    (void)state;
    rm_dir_make();
    fault_start();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    fault_stop();
    rm_dir_remove();
    return 0;
}

/* Runs ------------------------------------------------------------------------------------------
 */

enum { N_PROMPTS = 24, N_EACH = 5, N_ALL = N_PROMPTS * N_EACH };
typedef struct answer {
    char text[256], stop[16];
    int n_tok, n_seen;
    double lp;
} answer;
static answer got[N_ALL];
static int n_got, stop_after;

static rung_status on_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    (void)ud;
    answer *a = &got[(intptr_t)o->ud * N_EACH + o->i];
    snprintf(a->text, sizeof a->text, "%.*s", o->n_bytes, o->text);
    snprintf(a->stop, sizeof a->stop, "%s", o->stop);
    a->n_tok = o->n_tok;
    a->n_seen++;
    a->lp = 0;
    assert_null(o->tok);
    for (int i = 0; o->logprob && i < o->n_tok; i++) a->lp += (double)o->logprob[i];
    n_got++;
    if (stop_after && n_got >= stop_after) return rung_fail(err, RUNG_E_FORMAT, "test says stop");
    return RUNG_OK;
}

static rung_engine_opts fast(void) {
    rung_engine_opts o = RUNG_ENGINE_OPTS_INIT;
    o.model_name = "m";
    o.backoff_s = 0.01;
    o.timeout_s = 20;
    return o;
}

static void submit_all(rung_engine *e, const char *stop, const bool *skip) {
    static char text[N_PROMPTS][64];
    for (int p = 0; p < N_PROMPTS; p++) {
        snprintf(text[p], sizeof text[p], "question \"%d\" \xc3\xa9\n", p);
        rung_gen g = {.prompt = {.system = p % 2 ? "be brief" : NULL,
                                 .user = text[p],
                                 .prefix = p % 3 ? "So " : NULL},
                      .sampling = RUNG_SAMPLING_INIT,
                      .n = N_EACH,
                      .max_tok = 100,
                      .stop = {stop},
                      .skip = skip ? skip + p * N_EACH : NULL,
                      .seed = 3,
                      .stream = RUNG_STREAM_TRACE,
                      .key = (uint64_t)p,
                      .ud = (void *)(intptr_t)p};
        assert_ok(rung_engine_gen(e, &g, &terr));
    }
}

static rung_status run_mode(rung_engine_stats *st, const char *mode, const char *stop,
                            const rung_engine_opts *o, const bool *skip, rung_error *err) {
    rung_engine *e = NULL;
    assert_ok(rung_engine_open_remote(&e, fault_url(mode), o, NULL, &terr));
    submit_all(e, stop, skip);
    memset(got, 0, sizeof got);
    n_got = 0;
    rung_engine_cb cb = {.on_gen = on_gen};
    rung_status rc = rung_engine_run(e, &cb, err);
    rung_engine_get_stats(st, e);
    rung_engine_close(e);
    return rc;
}

static answer clean[2][2][N_ALL]; /* [completions][stop] */
static void make_clean(void) {
    static bool done;
    if (done) return;
    for (int c = 0; c < 2; c++) {
        for (int s = 0; s < 2; s++) {
            rung_engine_opts o = fast();
            o.completions = c;
            rung_engine_stats st;
            assert_ok(run_mode(&st, "clean", s ? "\n\n" : NULL, &o, NULL, &terr));
            assert_int_equal(n_got, N_ALL);
            assert_int_equal(st.n_requests, N_PROMPTS);
            assert_int_equal(st.n_retries, 0);
            memcpy(clean[c][s], got, sizeof got);
        }
    }
    done = true;
}

static void assert_same(const answer *want) {
    for (int i = 0; i < N_ALL; i++) {
        assert_int_equal(got[i].n_seen, 1);
        assert_string_equal(got[i].text, want[i].text);
        assert_string_equal(got[i].stop, want[i].stop);
        assert_int_equal(got[i].n_tok, want[i].n_tok);
        assert_true(fabs(got[i].lp - want[i].lp) < 1e-6);
    }
}

static void a_clean_run(void **state) {
    (void)state;
    NEED_SERVER();
    make_clean();
    assert_string_equal(clean[0][0][0].stop, "eos");
    assert_true(clean[0][0][0].n_tok > 5 && clean[0][0][0].lp < 0);
    assert_non_null(strstr(clean[0][0][0].text, "#### "));
    assert_string_not_equal(clean[0][0][0].text, clean[0][0][1].text);
    assert_string_equal(clean[0][1][0].stop, "stop");
    assert_string_equal(strstr(clean[0][1][0].text, "\n\n"), "\n\n"); /* kept, at the end */
    assert_string_not_equal(clean[0][0][0].text, clean[1][0][0].text);
}

static void faults_change_nothing(void **state) {
    (void)state;
    NEED_SERVER();
    make_clean();
    static const char *modes[] = {"mixed", "500",  "broken", "cut",  "empty", "close",
                                  "429",   "busy", "fewer",  "more", "only1", "shuffled"};
    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
        rung_engine_opts o = fast();
        o.completions = m % 2;
        o.concurrency = m % 3 ? 8 : 32;
        rung_engine_stats st;
        const char *mode = modes[m];
        assert_ok(run_mode(&st, mode, "\n\n", &o, NULL, &terr));
        assert_same(clean[m % 2][1]);
        if (m < 8) {
            /* libcurl itself asks again when a kept connection was closed before the answer */
            bool few = strchr("mc4", *mode) && strcmp(mode, "cut") != 0;
            if (st.n_retries < (few ? 2 : N_PROMPTS))
                fail_msg("%s: %d retries", mode, (int)st.n_retries);
        } else {
            assert_int_equal(st.n_retries, 0);
        }
        if (strcmp(mode, "fewer") == 0) assert_int_equal(st.n_requests, 2 * N_PROMPTS);
        if (strcmp(mode, "only1") == 0) assert_true(st.n_requests >= N_ALL);
        if (strcmp(mode, "more") == 0) assert_int_equal(st.n_requests, N_PROMPTS);
        if (strcmp(mode, "429") == 0) assert_true(st.wall_s > 0.95); /* it asked for a second */
    }
}

static void slow_replies_are_tried_again(void **state) {
    (void)state;
    NEED_SERVER();
    make_clean();
    rung_engine_opts o = fast();
    o.timeout_s = 0.7;
    o.concurrency = 32;
    o.retries = 20; /* a loaded machine is slow by itself */
    rung_engine_stats st;
    assert_ok(run_mode(&st, "slow", NULL, &o, NULL, &terr));
    assert_same(clean[0][0]);
    assert_true(st.n_retries >= 2);
}

static void servers_that_say_little(void **state) {
    (void)state;
    NEED_SERVER();
    make_clean();
    rung_engine_opts o = fast();
    rung_engine_stats st;
    assert_ok(run_mode(&st, "silent", "\n\n", &o, NULL, &terr));
    for (int i = 0; i < N_ALL; i++) {
        assert_string_equal(got[i].text, clean[0][1][i].text);
        assert_string_equal(got[i].stop, "stop");
        assert_int_equal(got[i].n_tok, 0);
    }
}

static void failures_that_stay(void **state) {
    (void)state;
    NEED_SERVER();
    rung_engine_opts o = fast();
    rung_engine_stats st;
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(run_mode(&st, "dead", NULL, &o, NULL, &err), RUNG_E_REMOTE);
    assert_non_null(strstr(err.what, "always"));
    assert_non_null(strstr(err.hint, "again to go on"));
    assert_int_equal(n_got, 0);
    /* a key is asked for, sent only from the environment, and never shown */
    setenv("RUNG_TEST_KEY", "closed sesame", 1);
    o.api_key_env = "RUNG_TEST_KEY";
    assert_int_equal(run_mode(&st, "auth", NULL, &o, NULL, &err), RUNG_E_REMOTE);
    assert_int_equal(st.n_retries, 0);
    assert_non_null(strstr(err.hint, "RUNG_TEST_KEY"));
    assert_null(strstr(err.what, "sesame"));
    assert_null(strstr(err.detail, "sesame"));
    setenv("RUNG_TEST_KEY", "open sesame", 1);
    assert_ok(run_mode(&st, "auth", NULL, &o, NULL, &terr));
    unsetenv("RUNG_TEST_KEY");
    assert_int_equal(n_got, N_ALL);
    /* nobody listens there */
    int keep = fault_port;
    fault_port = 1;
    o.retries = 2;
    assert_int_equal(run_mode(&st, "clean", NULL, &o, NULL, &err), RUNG_E_REMOTE);
    fault_port = keep;
    assert_true(st.n_retries >= 2);
    assert_non_null(strstr(err.hint, "is the server running at http://127.0.0.1:1/"));
    rung_engine *e = NULL;
    static const char *bad[] = {"127.0.0.1:80", "ftp://x/v1", "http://", "http://me:pw@host/v1",
                                "http://a b/"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(rung_engine_open_remote(&e, bad[i], &o, NULL, &err), RUNG_E_INVAL);
        assert_null(e);
    }
    char path[64];
    snprintf(path, sizeof path, "http://127.0.0.1:%d/x/y", fault_port);
    assert_ok(rung_engine_open_remote(&e, path, &o, NULL, &terr));
    submit_all(e, NULL, NULL);
    rung_engine_cb cb = {.on_gen = on_gen};
    assert_int_equal(rung_engine_run(e, &cb, &err), RUNG_E_REMOTE);
    assert_non_null(strstr(err.what, "404: no such path"));
    int32_t tok = 1, at = 0;
    rung_eval v = {.tok = &tok, .n_tok = 1, .at = &at, .n_at = 1, .hidden = true};
    assert_int_equal(rung_engine_eval(e, &v, &err), RUNG_E_INVAL);
    rung_engine_close(e);
}

/* The server dies in mid-run; what was reported is kept by the caller, the rest is asked for later.
 */
static void a_dead_server_leaves_resumable_work(void **state) {
    (void)state;
    NEED_SERVER();
    make_clean();
    rung_engine_opts o = fast();
    o.retries = 1;
    rung_engine_stats st;
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(run_mode(&st, "dies", NULL, &o, NULL, &err), RUNG_E_REMOTE);
    assert_true(n_got >= N_EACH && n_got < N_ALL);
    static answer first[N_ALL];
    bool have[N_ALL];
    memcpy(first, got, sizeof got);
    for (int i = 0; i < N_ALL; i++) have[i] = got[i].n_seen > 0;
    have[7] = false; /* one sample of a request whose others are there */
    first[7].n_seen = 0;
    assert_ok(run_mode(&st, "clean", NULL, &o, have, &terr));
    for (int i = 0; i < N_ALL; i++) {
        assert_int_equal(got[i].n_seen, !have[i]);
        if (have[i]) got[i] = first[i];
    }
    assert_same(clean[0][0]);
}

static void replies_are_kept(void **state) {
    (void)state;
    NEED_SERVER();
    make_clean();
    rung_store *s = NULL;
    assert_ok(rung_store_open(&s, rm_path("c.db"), RUNG_STORE_CREATE, &terr));
    rung_engine_opts o = fast();
    o.cache = s;
    rung_engine_stats st;
    for (int round = 0; round < 2; round++) {
        assert_ok(run_mode(&st, "fewer", NULL, &o, NULL, &terr));
        assert_same(clean[0][0]);
        assert_int_equal(st.n_requests, round ? 0 : 2 * N_PROMPTS);
        assert_int_equal(st.n_cache_hits, round ? 2 * N_PROMPTS : 0);
    }
    o.model_name = "another"; /* is another request */
    assert_ok(run_mode(&st, "fewer", NULL, &o, NULL, &terr));
    assert_int_equal(st.n_cache_hits, 0);
    rung_store_close(s);
}

static void callbacks_can_stop(void **state) {
    (void)state;
    NEED_SERVER();
    rung_engine_opts o = fast();
    rung_engine_stats st;
    rung_error err = RUNG_ERROR_INIT;
    stop_after = 3;
    assert_int_equal(run_mode(&st, "clean", NULL, &o, NULL, &err), RUNG_E_FORMAT);
    stop_after = 0;
    assert_int_equal(n_got, 3);
    assert_string_equal(err.what, "test says stop");
}

static void out_of_memory_anywhere(void **state) {
    (void)state;
    NEED_SERVER();
    rung_store *s = NULL;
    assert_ok(rung_store_open(&s, rm_path("oom.db"), RUNG_STORE_CREATE, &terr));
    rung_engine_opts o = fast();
    o.cache = s;
    o.retries = 1;
    int n = 1;
    for (;; n++) {
        char name[32];
        snprintf(name, sizeof name, "model %d", n); /* nothing comes from the cache */
        o.model_name = name;
        rung_gen g = {.prompt = {.user = "q", .prefix = "p"},
                      .sampling = RUNG_SAMPLING_INIT,
                      .n = 3,
                      .max_tok = 100,
                      .stop = {"x"}};
        rung_engine_cb cb = {.on_gen = on_gen};
        rung_error err = RUNG_ERROR_INIT;
        rung_engine *e = NULL;
        rung_alloc_fail_after(n);
        rung_status st = rung_engine_open_remote(&e, fault_url("clean"), &o, NULL, &err);
        if (st == RUNG_OK) st = rung_engine_gen(e, &g, &err);
        if (st == RUNG_OK) st = rung_engine_run(e, &cb, &err);
        rung_alloc_fail_after(0);
        rung_engine_close(e);
        if (st == RUNG_OK) break;
        assert_true(strlen(err.what) > 0);
    }
    assert_in_range(n, 15, 300);
    rung_store_close(s);
}

/* The wire, without a server --------------------------------------------------------------------
 */

static void expect_body(const rung_gen *g, bool completions, const char *want) {
    rung_buf b;
    rung_buf_init(&b, 1 << 16);
    assert_ok(rung_wire_body(&b, g, rung_wire_dialect_at(0), "m", completions, 2, 3, &terr));
    rung_rng r = rung_rng_at(g->seed, g->stream, g->key, 0);
    char text[1024];
    snprintf(text, sizeof text, want, (long long)((rung_rng_u64_at(&r, 0) & 0x3fffffff) + 2));
    assert_string_equal(b.data, text);
    rung_buf_clear(&b);
}

static void bodies(void **state) {
    (void)state;
    rung_gen g = {.prompt = {"s", "q \"1\"\n", "So"},
                  .sampling = {.temperature = 0.5, .top_p = 1.0},
                  .max_tok = 9,
                  .stream = RUNG_STREAM_TRACE};
    expect_body(&g, false,
                "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
                "{\"role\":\"user\",\"content\":\"q \\\"1\\\"\\n\"},"
                "{\"role\":\"assistant\",\"content\":\"So\"}],"
                "\"continue_final_message\":true,\"add_generation_prompt\":false,"
                "\"n\":3,\"max_tokens\":9,\"temperature\":0.5,\"top_p\":1.0,\"seed\":%lld,"
                "\"stream\":false,\"logprobs\":true}");
    g.prompt.prefix = NULL;
    g.sampling = (rung_sampling){.temperature = 1.0, .top_k = 20, .top_p = 0.5, .min_p = 0.25};
    g.stop[0] = "\n\n";
    g.stop[1] = "#";
    expect_body(&g, true,
                "{\"model\":\"m\",\"prompt\":\"sq \\\"1\\\"\\n\",\"n\":3,\"max_tokens\":9,"
                "\"temperature\":1.0,\"top_p\":0.5,\"seed\":%lld,\"stream\":false,\"top_k\":20,"
                "\"min_p\":0.25,\"logprobs\":1,\"stop\":[\"\\n\\n\",\"#\"]}");
    g.prompt.user = "cut \xc3";
    rung_buf b;
    rung_buf_init(&b, 1 << 16);
    assert_int_equal(rung_wire_body(&b, &g, rung_wire_dialect_at(0), "m", true, 0, 1, &terr),
                     RUNG_E_INVAL);
    rung_buf_clear(&b);
}

static void replies(void **state) {
    (void)state;
    rung_gen g = {.stop = {"\n\n"}};
    static const char *bad[] = {"",
                                "{",
                                "[]",
                                "null",
                                "{\"choices\":[]}",
                                "{\"choices\":[{}]}",
                                "{\"choices\":[{\"text\":5}]}",
                                "{\"choices\":[{\"message\":{}}]}",
                                "{\"choices\":[{\"index\":4,\"text\":\"x\"}]}",
                                "not json"};
    wire_choice c[3];
    wire_usage u;
    const wire_dialect *d0 = rung_wire_dialect_at(0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(rung_wire_reply(c, &u, bad[i], strlen(bad[i]), &g, d0, 3, &terr),
                         RUNG_E_FORMAT);
    }
    const char *r = "{\"choices\":[{\"index\":2,\"text\":\"b\",\"finish_reason\":\"length\"},"
                    "{\"index\":0,\"text\":\"a\",\"finish_reason\":\"stop\",\"stop_reason\":null},"
                    "{\"index\":9,\"text\":\"z\"}],\"usage\":{\"completion_tokens\":12}}";
    assert_ok(rung_wire_reply(c, &u, r, strlen(r), &g, d0, 3, &terr));
    assert_string_equal(c[0].text, "a");
    assert_string_equal(c[0].stop, "eos");
    assert_int_equal(c[0].n_tok, 4);
    assert_null(c[1].text);
    assert_string_equal(c[2].text, "b");
    assert_string_equal(c[2].stop, "length");
    for (int i = 0; i < 3; i++) rung_wire_choice_clear(&c[i]);
    r = "{\"choices\":[{\"text\":\"a\",\"finish_reason\":\"content_filter\"},"
        "{\"text\":\"a\\u0000b\\n\\n\",\"finish_reason\":\"stop\",\"stop_reason\":\"\\n\\n\","
        "\"logprobs\":{\"token_logprobs\":[-1,null]}}]}";
    assert_ok(rung_wire_reply(c, &u, r, strlen(r), &g, d0, 3, &terr));
    assert_string_equal(c[0].stop, "error");
    assert_int_equal(c[1].n_bytes, 5);
    assert_string_equal(c[1].stop, "stop");
    assert_null(c[1].logprob);
    for (int i = 0; i < 3; i++) rung_wire_choice_clear(&c[i]);
    r = "{\"choices\":[{\"text\":\"a\",\"finish_reason\":\"length\",\"logprobs\":"
        "{\"content\":[{\"logprob\":-1},{\"logprob\":-2}]}}],"
        "\"usage\":{\"completion_tokens\":%d}}";
    for (int used = 3; used < 5; used++) { /* 3: two and the end; 4: some are missing */
        char text[256];
        snprintf(text, sizeof text, r, used);
        assert_ok(rung_wire_reply(c, &u, text, strlen(text), &g, d0, 1, &terr));
        assert_int_equal(c[0].n_tok, used == 3 ? 2 : 4);
        assert_true(!c[0].logprob == (used == 4));
        rung_wire_choice_clear(&c[0]);
    }
    char said[12];
    rung_wire_message(said, sizeof said, "{\"error\":{\"message\":\"too long a text\"}}", 39);
    assert_string_equal(said, "too long a ");
    rung_wire_message(said, sizeof said, "<html>", 6);
    assert_string_equal(said, "");
    static const char *urls[][2] = {{"http://h:1", "http://h:1/v1/chat/completions"},
                                    {"http://h:1/", "http://h:1/v1/chat/completions"},
                                    {"https://h/v1", "https://h/v1/chat/completions"},
                                    {"https://h/api/v3/", "https://h/api/v3/chat/completions"}};
    for (size_t i = 0; i < 4; i++) {
        rung_buf b;
        rung_buf_init(&b, 1 << 10);
        assert_ok(rung_wire_url(&b, urls[i][0], "/chat/completions", &terr));
        assert_string_equal(b.data, urls[i][1]);
        rung_buf_clear(&b);
    }
}

static char *body_of(const rung_gen *g, const char *dialect, bool completions, int32_t n) {
    rung_buf b;
    rung_buf_init(&b, 1 << 16);
    assert_ok(rung_wire_body(&b, g, rung_wire_dialect(dialect), "m", completions, 0, n, &terr));
    return rung_buf_take(&b, NULL);
}

#define expect_in(text, part, yes)                                                                 \
    do {                                                                                           \
        if ((strstr(text, part) != NULL) != (yes)) fail_msg("%s in %s", part, text);               \
    } while (0)

/* What each kind of server is told: how to go on, to keep the stop string, the seed. */
static void dialects_of_bodies(void **state) {
    (void)state;
    rung_gen g = {.prompt = {NULL, "q", "So"},
                  .sampling = RUNG_SAMPLING_INIT,
                  .max_tok = 9,
                  .stop = {"\n\n"}};
    char *b = body_of(&g, "vllm", false, 4);
    expect_in(b, "\"continue_final_message\":true", true);
    expect_in(b, "\"include_stop_str_in_output\":true", true);
    expect_in(b, "\"seed\":", true);
    rung_free(b);
    for (int n = 1; n < 3; n++) {
        b = body_of(&g, "sglang", false, n);
        expect_in(b, "\"no_stop_trim\":true", true);
        expect_in(b, "\"seed\":", n == 1); /* the same for all choices: only for one */
        rung_free(b);
    }
    b = body_of(&g, "mistral", false, 2);
    expect_in(b, "{\"role\":\"assistant\",\"content\":\"So\",\"prefix\":true}", true);
    expect_in(b, "\"random_seed\":", true);
    expect_in(b, "continue_final_message", false);
    rung_free(b);
    b = body_of(&g, "openai", true, 1); /* raw text needs no words for going on */
    expect_in(b, "\"prompt\":\"qSo\"", true);
    expect_in(b, "\"max_tokens\":9", true);
    rung_free(b);
    rung_buf r;
    rung_buf_init(&r, 1 << 16);
    const wire_dialect *openai = rung_wire_dialect("openai");
    assert_int_equal(rung_wire_body(&r, &g, openai, "m", false, 0, 1, &terr), RUNG_E_INVAL);
    g.prompt.prefix = NULL;
    b = body_of(&g, "openai", false, 1);
    expect_in(b, "\"max_completion_tokens\":9", true);
    rung_free(b);
    g.sampling.top_k = 5;
    assert_int_equal(rung_wire_body(&r, &g, openai, "m", false, 0, 1, &terr), RUNG_E_INVAL);
    rung_buf_clear(&r);
}

static void expect_stop(const char *dialect, const char *choice, const char *stop,
                        const char *text) {
    rung_gen g = {.stop = {"\n\n", "##"}};
    char r[256];
    wire_choice c;
    wire_usage u;
    snprintf(r, sizeof r, "{\"choices\":[{\"index\":0,%s}]}", choice);
    assert_ok(rung_wire_reply(&c, &u, r, strlen(r), &g, rung_wire_dialect(dialect), 1, &terr));
    assert_string_equal(c.stop, stop);
    assert_string_equal(c.text, text);
    assert_false(u.known);
    rung_wire_choice_clear(&c);
}

static void dialects_of_replies(void **state) {
    (void)state;
#define END "\"finish_reason\":\"stop\""
    expect_stop("vllm", "\"text\":\"a##\",\"stop_reason\":\"##\"," END, "stop", "a##");
    expect_stop("vllm", "\"text\":\"a\",\"stop_reason\":null," END, "eos", "a");
    expect_stop("sglang", "\"text\":\"a\",\"matched_stop\":\"##\"," END, "stop", "a##");
    expect_stop("sglang", "\"text\":\"a##\"," END, "stop", "a##");
    expect_stop("sglang", "\"text\":\"a\",\"matched_stop\":151645," END, "eos", "a");
    expect_stop("sglang", "\"text\":\"a\"," END, "eos", "a");
    expect_stop("llama-server", "\"text\":\"a\",\"stop_reason\":\"##\"," END, "stop", "a");
    expect_stop("generic", "\"text\":\"a\",\"stop_reason\":\"##\"," END, "stop", "a##");
}

static void hellos(void **state) {
    (void)state;
    wire_hello h = {0};
    const char *r = "{\"data\":[{\"id\":\"a/b\",\"owned_by\":\"vllm\"},{\"id\":\"c\"},{}]}";
    rung_wire_models(&h, r, strlen(r));
    assert_int_equal(h.n_models, 2);
    assert_string_equal(h.model, "a/b");
    assert_string_equal(h.models, "a/b, c");
    assert_string_equal(h.dialect->name, "vllm");
    h = (wire_hello){0};
    r = "{\"data\":[{\"id\":\"x.gguf\",\"owned_by\":\"llamacpp\",\"meta\":{\"size\":77}}]}";
    rung_wire_models(&h, r, strlen(r));
    assert_int_equal(h.size, 77);
    rung_wire_props(&h, "{\"total_slots\":4}", 17);
    assert_int_equal(h.n_slots, 4);
    assert_string_equal(h.dialect->name, "llama-server");
    static const char *odd[] = {"", "[]", "{\"data\":5}", "{\"data\":[7]}", "<html>", "null"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        h = (wire_hello){0};
        rung_wire_models(&h, odd[i], strlen(odd[i]));
        rung_wire_props(&h, odd[i], strlen(odd[i]));
        assert_int_equal(h.n_models, 0);
        assert_null(h.dialect);
    }
    assert_string_equal(rung_wire_dialect_of_owner("system")->name, "openai");
    assert_null(rung_wire_dialect_of_owner(""));
    assert_null(rung_wire_dialect_of_owner("openai|system"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies),
        cmocka_unit_test(dialects_of_bodies),
        cmocka_unit_test(dialects_of_replies),
        cmocka_unit_test(hellos),
        cmocka_unit_test(replies),
        cmocka_unit_test(a_clean_run),
        cmocka_unit_test(faults_change_nothing),
        cmocka_unit_test(slow_replies_are_tried_again),
        cmocka_unit_test(servers_that_say_little),
        cmocka_unit_test(failures_that_stay),
        cmocka_unit_test(a_dead_server_leaves_resumable_work),
        cmocka_unit_test(replies_are_kept),
        cmocka_unit_test(callbacks_can_stop),
        cmocka_unit_test(out_of_memory_anywhere),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
