/* libFuzzer targets of the server; tests/fuzz/run.sh builds and runs them.
 *   serve   the body of a request: read and whole, or refused with a reason
 *   http    bytes on a connection of the real server, which has no worker: it answers or closes,
 *           and goes on living */
#include "serve/serve_impl.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void promise(bool kept) {
    if (!kept) abort();
}

static const rung_serve_caps caps = {.name = "m",
                                     .method = "sample",
                                     .max_tok = 100,
                                     .n = 4,
                                     .budget_tok = 1000,
                                     .deadline_s = 10,
                                     .sampling = RUNG_SAMPLING_INIT};

#ifdef FUZZ_SERVE
static void use_text(const serve_ask *a) {
    promise(a->n >= 1 && a->n <= caps.n && a->max_tok >= 0 && a->max_tok <= caps.max_tok);
    promise(a->n_top >= 0 && a->n_top <= RUNG_TOP_MAX && a->n_stop <= SERVE_STOP_MAX);
    for (int32_t i = 0; i < a->n_stop; i++) promise(strlen(a->stop[i]) > 0);
    promise(a->kind == SERVE_CHAT ? a->user != NULL : a->n_prompts > 0);
    for (int32_t i = 0; i < a->n_turns; i++) promise(a->turn[i].user && a->turn[i].reply);
    for (int32_t i = 0; i < a->n_prompts; i++)
        promise((a->prompt[i].text != NULL) != (a->prompt[i].n_tok > 0));
    promise(a->deadline_s > 0.0 && a->deadline_s <= caps.deadline_s);
}

/* The first byte says what is asked. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    rung_arena *a = rung_arena_new(64u << 20);
    rung_error err = RUNG_ERROR_INIT;
    serve_ask ask;
    if (!a || n == 0) {
        rung_arena_free(a);
        return 0;
    }
    serve_kind kind = (serve_kind)(data[0] % (SERVE_DETOKENIZE + 1));
    rung_status st = serve_ask_read(&ask, a, kind, (const char *)data + 1, n - 1, &caps, &err);
    if (st != RUNG_OK) {
        promise(err.what[0] != 0 && err.code == st);
    } else if (kind == SERVE_CHAT || kind == SERVE_COMPLETION) {
        use_text(&ask);
    } else if (kind == SERVE_VERIFY || kind == SERVE_COMPUTE_SCORE) {
        for (int32_t i = 0; i < ask.n_checks; i++)
            promise(ask.check[i].gold && ask.check[i].text && ask.check[i].verifier);
    } else if (kind == SERVE_TOKENIZE || kind == SERVE_DETOKENIZE) {
        promise(ask.n_prompts == 1);
        promise(kind == SERVE_DETOKENIZE ? ask.prompt->n_tok > 0 : ask.prompt->text || ask.user);
    } else {
        for (int32_t i = 0; i < ask.n_scored; i++) promise(ask.scored[i].text != NULL);
    }
    rung_arena_free(a);
    return 0;
}
#else
static serve *server;

/* What rung_serve's loop does for HTTP. */
static void *serve_clients(void *none) {
    for (;;) {
        struct pollfd f = {.fd = server->http_fd, .events = POLLIN};
        (void)poll(&f, 1, serve_http_patience(server, 100));
        serve_http_run(server);
        serve_http_sweep(server, rung_now());
    }
    return none;
}

static void begin(void) {
    rung_error err = RUNG_ERROR_INIT;
    server = rung_calloc(1, sizeof *server);
    promise(server != NULL);
    server->o = (rung_serve_opts){.listen = "127.0.0.1:0",
                                  .caps = caps,
                                  .queue = 4,
                                  .active = 4,
                                  .connections = 64,
                                  .max_body = 4096,
                                  .idle_s = 5,
                                  .body_s = 5};
    server->draining = true; /* no worker: what would be worked on is refused */
    for (int k = 0; k < SERVE_N_ROLES; k++) server->worker[k].tail = &server->worker[k].queue;
    promise(serve_http_start(server, &err) == RUNG_OK);
    pthread_t t;
    promise(pthread_create(&t, NULL, serve_clients, NULL) == 0);
}

enum { PATIENCE_MS = 20000, ANSWER_MS = 3 };

static int dial(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)server->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    promise(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    return fd;
}

/* What comes within `ms` of the last bytes; only the first are looked at. True: something came. */
static bool listen_to(int fd, int ms) {
    char bytes[4096];
    bool any = false;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, any ? 0 : ms) == 1) {
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        if (got <= 0) break;
        promise(any || (got >= 5 && memcmp(bytes, "HTTP/", 5) == 0));
        any = true;
    }
    return any;
}

/* The server lives: a client that asks properly is answered after each input. Whether the input is
 * answered at all is its own affair: a request may be incomplete, so the wait for it is short. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const char health[] = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    static int other = -1; /* kept alive between inputs */
    const struct linger at_once = {1, 0};
    if (!server) begin();
    int fd = dial();
    (void)!send(fd, data, n, MSG_NOSIGNAL);
    (void)listen_to(fd, ANSWER_MS);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
    if (other < 0) other = dial();
    if (send(other, health, sizeof health - 1, MSG_NOSIGNAL) < 0 ||
        !listen_to(other, PATIENCE_MS)) { /* evicted or idle for long: again, once */
        close(other);
        other = dial();
        promise(send(other, health, sizeof health - 1, MSG_NOSIGNAL) > 0);
        promise(listen_to(other, PATIENCE_MS));
    }
    return 0;
}
#endif
