/* The remote engine against llama-server of the pinned source, when tools/deps.sh --llama-server
 * has built it: completions at T = 0 equal the local engine's on the same model; chat continues a
 * prefix; n > 1, logprobs and stop strings as the server gives them. */
#include "unit/model/random_model.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "rung/model.h"

static pid_t server;
static int port;
static char bin[512];

static const char chatml[] = "{% for message in messages %}{{'<|im_start|>' + message['role'] + "
                             "'\\n' + message['content'] + "
                             "'<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
                             "'<|im_start|>assistant\\n' }}"
                             "{% endif %}";

static int free_port(void) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int p = 0;
    if (bind(s, (struct sockaddr *)&a, n) == 0 && getsockname(s, (struct sockaddr *)&a, &n) == 0) {
        p = ntohs(a.sin_port);
    }
    close(s);
    return p;
}

static bool answers(void) {
    char cmd[160];
    snprintf(cmd, sizeof cmd, "curl -fs -o %s http://127.0.0.1:%d/health", rm_path("health"), port);
    return system(cmd) == 0;
}

static void start_server(const char *model) {
    char port_text[16];
    port = free_port();
    snprintf(port_text, sizeof port_text, "%d", port);
    server = fork();
    if (server == 0) {
        int log = open(rm_path("server.log"), O_CREAT | O_WRONLY, 0600);
        dup2(log, 1);
        dup2(log, 2);
        execl(bin, bin, "-m", model, "--port", port_text, "-np", "4", "-c", "2048", "-t", "1",
              "--no-warmup", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 240 && !answers(); i++) {
        usleep(250000);
        if (waitpid(server, NULL, WNOHANG) == server) {
            port = 0;
            fail_msg("llama-server ended at once: %s", rm_path("server.log"));
        }
    }
}

static int setup(void **state) {
    (void)state;
    rm_dir_make();
    const char *deps = getenv("RUNG_DEPS_DIR");
    snprintf(bin, sizeof bin, "%s/bin/llama-server", deps ? deps : "");
    if (access(bin, X_OK) != 0) {
        print_message("SKIPPED: no %s (tools/deps.sh --llama-server builds it)\n", bin);
        return 0;
    }
    random_model_write(rm_path("m.gguf"),
                       &(random_model_opts){.seed = 3, .no_eos = true, .chat = chatml, .sharp = 3});
    start_server(rm_path("m.gguf"));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    if (port) {
        kill(server, SIGTERM);
        waitpid(server, NULL, 0);
    }
    rm_dir_remove();
    return 0;
}

typedef struct answer {
    char text[512], stop[16];
    int n_tok;
    double lp;
    int n_seen;
} answer;
static answer got[16];

static rung_status on_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    (void)ud, (void)err;
    answer *a = &got[(intptr_t)o->ud + o->i];
    snprintf(a->text, sizeof a->text, "%.*s", o->n_bytes, o->text);
    snprintf(a->stop, sizeof a->stop, "%s", o->stop);
    a->n_tok = o->n_tok;
    a->n_seen++;
    a->lp = 0;
    for (int i = 0; o->logprob && i < o->n_tok; i++) a->lp += (double)o->logprob[i];
    return RUNG_OK;
}

static void run(rung_engine *e, const rung_gen *g, int n) {
    memset(got, 0, sizeof got);
    for (int i = 0; i < n; i++) assert_ok(rung_engine_gen(e, &g[i], &terr));
    rung_engine_cb cb = {.on_gen = on_gen};
    assert_ok(rung_engine_run(e, &cb, &terr));
}

static rung_engine *open_remote(bool completions) {
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    rung_engine_opts o = RUNG_ENGINE_OPTS_INIT;
    o.completions = completions;
    o.concurrency = 4;
    rung_engine *e = NULL;
    assert_ok(rung_engine_open_remote(&e, url, &o, NULL, &terr));
    return e;
}

static rung_gen gen_of(const char *user, const char *prefix, double t, int n, int at) {
    return (rung_gen){.prompt = {.user = user, .prefix = prefix},
                      .sampling = {.temperature = t, .top_p = 1.0},
                      .n = n,
                      .max_tok = 12,
                      .seed = 1,
                      .stream = RUNG_STREAM_TRACE,
                      .key = (uint64_t)at,
                      .ud = (void *)(intptr_t)at};
}

static int bytes_equal(const char *a, const char *b) {
    int n = 0;
    while (a[n] && a[n] == b[n]) n++;
    return n;
}

/* Greedy, raw text: what the local engine gives, up to bytes that are no text (JSON has none). */
static void greedy_completions_equal_the_local_engine(void **state) {
    (void)state;
    if (!port) skip();
    rung_gen g[2] = {gen_of("abc the step", NULL, 0, 1, 0), gen_of("abcd", " step", 0, 1, 1)};
    rung_engine *e = open_remote(true);
    run(e, g, 2);
    rung_engine_close(e);
    answer remote[2];
    memcpy(remote, got, sizeof remote);
    rung_model *m = NULL;
    rung_model_opts mo = RUNG_MODEL_OPTS_INIT;
    mo.chat_template = "raw";
    assert_ok(rung_model_load(&m, rm_path("m.gguf"), &mo, &terr));
    assert_ok(rung_engine_open(&e, m, NULL, NULL, &terr));
    run(e, g, 2);
    for (int i = 0; i < 2; i++) {
        size_t text = strspn(got[i].text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ "
                                          "0123456789.,:;!?()[]{}<>+-*/=_#$%&@^~|'\"\n");
        assert_true(bytes_equal(remote[i].text, got[i].text) >= (int)text);
        assert_string_equal(remote[i].stop, "length");
        assert_int_equal(remote[i].n_tok, got[i].n_tok);
    }
    rung_engine_close(e);
    rung_model_free(m);
}

static void chat_n_and_seeds(void **state) {
    (void)state;
    if (!port) skip();
    rung_engine *e = open_remote(false);
    rung_gen g[2] = {gen_of("abc", NULL, 1.0, 3, 0), gen_of("abc", "so the step", 1.0, 6, 4)};
    run(e, g, 2);
    answer first[16];
    memcpy(first, got, sizeof got);
    for (int i = 0; i < 3; i++) assert_int_equal(got[i].n_seen, 1);
    for (int i = 4; i < 10; i++) assert_int_equal(got[i].n_seen, 1); /* 6 > -np 4: asked in parts */
    assert_string_not_equal(got[0].text, got[1].text);
    run(e, g, 2); /* the same seeds */
    int same = 0;
    for (int i = 0; i < 10; i++) same += strcmp(got[i].text, first[i].text) == 0;
    assert_true(same >= 8); /* its logits depend on the batch too */
    rung_engine_close(e);
}

/* Two servers of the tiny policy: a fixed load at T = 0 gives what one gives, both do some of it;
 * then one is killed in mid-run and the other does the rest. */
enum { N_PAIR = 24 };
static char pair_text[N_PAIR][512];
static int pair_seen[N_PAIR], n_pair, kill_at;
static pid_t pair_pid[2];

static rung_status on_pair(void *ud, const rung_gen_out *o, rung_error *err) {
    (void)err;
    (void)ud;
    int at = (int)(intptr_t)o->ud;
    snprintf(pair_text[at], sizeof pair_text[0], "%.*s", o->n_bytes, o->text);
    pair_seen[at]++;
    if (++n_pair == kill_at) {
        kill(pair_pid[1], SIGKILL);
        waitpid(pair_pid[1], NULL, 0);
    }
    return RUNG_OK;
}

static void run_pair(rung_endpoint_stats st[2], const char *urls, int n_urls) {
    rung_engine_opts o = RUNG_ENGINE_OPTS_INIT;
    o.completions = true;
    o.backoff_s = 0.05;
    rung_engine *e = NULL;
    memset(pair_seen, 0, sizeof pair_seen);
    n_pair = 0;
    assert_ok(rung_engine_open_remote(&e, urls, &o, NULL, &terr));
    for (int i = 0; i < N_PAIR; i++) {
        char text[64];
        snprintf(text, sizeof text, "Start at %d. +4. +%d. Total?\n", 3 + i, 1 + i % 7);
        rung_gen g = {.prompt = {.user = text},
                      .sampling = {.temperature = 0, .top_p = 1.0},
                      .n = 1,
                      .max_tok = 40,
                      .key = (uint64_t)i,
                      .ud = (void *)(intptr_t)i};
        assert_ok(rung_engine_gen(e, &g, &terr));
    }
    rung_engine_cb cb = {.on_gen = on_pair};
    assert_ok(rung_engine_run(e, &cb, &terr));
    for (int i = 0; i < N_PAIR; i++) assert_int_equal(pair_seen[i], 1);
    for (int i = 0; i < n_urls; i++) {
        assert_true(rung_engine_endpoint(&st[i], e, (size_t)i));
        assert_string_equal(st[i].dialect, "llama-server");
        assert_non_null(strstr(st[i].model, "tiny.gguf"));
        st[i].url = st[i].model = st[i].dialect = "";
    }
    rung_engine_close(e);
}

static void a_pair_on_the_tiny_policy(void **state) {
    (void)state;
    if (!port) skip();
    pid_t first_pid = server;
    int first_port = port;
    char url[2][64], urls[160], alone[N_PAIR][512];
    for (int k = 0; k < 2; k++) {
        start_server(RUNG_SOURCE_DIR "/models/tiny.gguf");
        pair_pid[k] = server;
        snprintf(url[k], sizeof url[k], "http://127.0.0.1:%d", port);
    }
    server = first_pid;
    port = first_port;
    snprintf(urls, sizeof urls, "%s,%s", url[0], url[1]);
    rung_endpoint_stats st[2];
    run_pair(st, url[0], 1);
    assert_true(st[0].prompt_tok > 10 * N_PAIR && st[0].completion_tok > N_PAIR);
    memcpy(alone, pair_text, sizeof alone);
    run_pair(st, urls, 2);
    int same = 0;
    for (int i = 0; i < N_PAIR; i++) same += strcmp(alone[i], pair_text[i]) == 0;
    assert_true(same >= N_PAIR - 4); /* logits depend on the batch in their last bits */
    assert_true(st[0].n_replies > 0 && st[1].n_replies > 0);
    assert_int_equal(st[0].n_replies + st[1].n_replies, N_PAIR);
    kill_at = 5;
    run_pair(st, urls, 2);
    kill_at = 0;
    assert_string_equal(st[1].state, "down");
    assert_int_equal(st[0].n_replies + st[1].n_replies, N_PAIR);
    kill(pair_pid[0], SIGTERM);
    waitpid(pair_pid[0], NULL, 0);
}

static void dead_now(void **state) {
    (void)state;
    if (!port) skip();
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    port = 0;
    rung_engine_opts o = RUNG_ENGINE_OPTS_INIT;
    o.backoff_s = 0.01;
    rung_engine *e = NULL;
    assert_ok(rung_engine_open_remote(&e, url, &o, NULL, &terr));
    rung_gen g = gen_of("abc", NULL, 1.0, 1, 0);
    assert_ok(rung_engine_gen(e, &g, &terr));
    rung_engine_cb cb = {.on_gen = on_gen};
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_engine_run(e, &cb, &err), RUNG_E_REMOTE);
    assert_non_null(strstr(err.hint, "is the server running"));
    rung_engine_close(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_completions_equal_the_local_engine),
        cmocka_unit_test(chat_n_and_seeds),
        cmocka_unit_test(a_pair_on_the_tiny_policy),
        cmocka_unit_test(dead_now),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
