/* Clients of rung serve, for benchmarks/serve.sh: each holds one connection, asks, waits for the
 * whole reply and asks the next question of one common list, until the list is through. One thread
 * for all of them, so that asking takes as little as can be from the cores that answer.
 *   bench_serve_load PORT CLIENTS REQUESTS BODIES PATH [SECONDS]
 * BODIES: a JSON body a line, over and over; SECONDS: no new request after so long. One JSON
 * object: replies, tokens, wall_s, p50_ms, p99_ms, cpu_s. Exit 1: a reply that was not 200. */
#include "rung/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BODIES_MAX = 65536, CLIENTS_MAX = 4096, LINE_MAX_BYTES = 1 << 20, SILENCE_MS = 900000 };

typedef struct client {
    int fd;
    bool busy;
    double t0;
    rung_buf in;
} client;

typedef struct load {
    int port, epoll;
    char *body[BODIES_MAX], *path;
    int32_t n_bodies, n_clients;
    int64_t n_requests, n_asked, n_done, n_failed, tokens;
    double until, *took;
    client *c;
} load;

static bool connect_client(client *c, load *l, uint32_t i) {
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)l->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
    rung_buf_init(&c->in, 64u << 20);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a) != 0) return false;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e) == 0;
}

/* false: nothing is left to ask, or the server has gone. */
static bool ask(client *c, load *l) {
    rung_buf b;
    if (l->n_asked >= l->n_requests || rung_now() >= l->until) return false;
    const char *body = l->body[l->n_asked++ % l->n_bodies];
    rung_buf_init(&b, 2u << 20);
    rung_buf_printf(&b,
                    "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                    "Content-Length: %zu\r\n\r\n",
                    l->path, l->port, strlen(body));
    rung_buf_str(&b, body);
    c->t0 = rung_now();
    c->busy = true;
    bool ok = !b.failed && send(c->fd, b.data, b.n, MSG_NOSIGNAL) == (ssize_t)b.n;
    rung_buf_clear(&b);
    return ok;
}

/* The length of the whole reply; 0: it is not known yet. */
static size_t reply_length(const rung_buf *in) {
    const char *end = in->n ? memmem(in->data, in->n, "\r\n\r\n", 4) : NULL;
    if (!end) return 0;
    for (const char *at = in->data; at < end;) {
        if (strncasecmp(at, "Content-Length:", 15) == 0)
            return (size_t)(end + 4 - in->data) + (size_t)strtoull(at + 15, NULL, 10);
        at = memmem(at, (size_t)(end + 2 - at), "\r\n", 2);
        at += 2;
    }
    return 0;
}

static void take(client *c, load *l) {
    static const char key[] = "\"completion_tokens\":";
    const char *at = memmem(c->in.data, c->in.n, key, sizeof key - 1);
    if (c->in.n < 12 || strncmp(c->in.data + 9, "200", 3) != 0) l->n_failed++;
    if (at) l->tokens += strtoll(at + sizeof key - 1, NULL, 10);
    l->took[l->n_done++] = rung_now() - c->t0;
    c->busy = false;
    rung_buf_reset(&c->in);
}

/* false: the connection is over. */
static bool hear(client *c) {
    char bytes[16384];
    for (;;) {
        ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno == EAGAIN;
        if (n == 0) return false;
        rung_buf_append(&c->in, bytes, (size_t)n);
        if ((size_t)n < sizeof bytes) return !c->in.failed;
    }
}

static bool wrong(const char *what) {
    fprintf(stderr, "bench_serve_load: %s\n", what);
    return false;
}

static bool run(load *l) {
    struct epoll_event e[256];
    int64_t open = 0;
    for (int32_t i = 0; i < l->n_clients; i++) open += ask(&l->c[i], l);
    while (open > 0) {
        int n = epoll_wait(l->epoll, e, 256, SILENCE_MS);
        if (n == 0) return wrong("no reply for minutes");
        for (int i = 0; i < n; i++) {
            client *c = &l->c[e[i].data.u32];
            if (!hear(c)) return wrong("a connection was closed");
            size_t len = reply_length(&c->in);
            if (len == 0 || c->in.n < len) continue;
            take(c, l);
            open += (int64_t)ask(c, l) - 1;
        }
    }
    return true;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool read_bodies(load *l, const char *path) {
    static char line[LINE_MAX_BYTES];
    FILE *f = fopen(path, "r");
    if (!f) return false;
    while (l->n_bodies < BODIES_MAX && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (line[0]) l->body[l->n_bodies++] = strdup(line);
    }
    fclose(f);
    return l->n_bodies > 0;
}

static void tell(const load *l, double wall) {
    struct rusage u;
    int64_t n = l->n_done;
    getrusage(RUSAGE_SELF, &u);
    double cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
    qsort(l->took, (size_t)n, sizeof *l->took, by_value);
    printf("{\"v\":1,\"clients\":%d,\"replies\":%lld,\"failed\":%lld,\"tokens\":%lld,"
           "\"wall_s\":%.4f,\"tok_per_s\":%.1f,\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"cpu_s\":%.3f}\n",
           l->n_clients, (long long)n, (long long)l->n_failed, (long long)l->tokens, wall,
           (double)l->tokens / wall, n ? 1e3 * l->took[n / 2] : 0.0,
           n ? 1e3 * l->took[n * 99 / 100] : 0.0, cpu);
}

int main(int argc, char **argv) {
    static load l;
    if (argc < 6) {
        fprintf(stderr, "usage: bench_serve_load PORT CLIENTS REQUESTS BODIES PATH [SECONDS]\n");
        return 2;
    }
    l.port = atoi(argv[1]);
    l.n_clients = atoi(argv[2]);
    l.n_requests = atoll(argv[3]);
    l.path = argv[5];
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l.n_clients < 1 || l.n_clients > CLIENTS_MAX || !read_bodies(&l, argv[4])) return 2;
    l.c = calloc((size_t)l.n_clients, sizeof *l.c);
    l.took = calloc((size_t)l.n_requests + 1, sizeof *l.took);
    if (!l.c || !l.took) return 2;
    for (int32_t i = 0; i < l.n_clients; i++)
        if (!connect_client(&l.c[i], &l, (uint32_t)i)) return 1;
    double t0 = rung_now();
    l.until = argc > 6 ? t0 + atof(argv[6]) : t0 + 1e9;
    bool whole = run(&l);
    tell(&l, rung_now() - t0);
    return whole && l.n_failed == 0 ? 0 : 1;
}
