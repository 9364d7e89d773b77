/* HTTP by libmicrohttpd inside the loop: who may ask, how much, how slowly. Requests for
 * workers are suspended until there is something to send. */
#include "serve/serve_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER_BYTES = 32 << 10, TOKEN_MAX = 512, HARD_LIMIT_MORE = 64, DROPPED_BODIES = 4 };
#define SWEEP_S 0.05
#define LEAVE_S 1.0 /* for replies to slow clients, when the server ends */

/* ---- connections */

static void on_connection(void *cls, struct MHD_Connection *con, void **context,
                          enum MHD_ConnectionNotificationCode code) {
    serve *s = cls;
    serve_conn *c = *context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *i =
            MHD_get_connection_info(con, MHD_CONNECTION_INFO_CONNECTION_FD);
        c = rung_calloc(1, sizeof *c);
        *context = c;
        if (c) {
            c->fd = i ? i->connect_fd : -1;
            c->since = rung_now();
            c->next = s->conns;
            if (s->conns) s->conns->prev = c;
            s->conns = c;
            s->n_conns++;
        }
    } else if (c) {
        if (c->prev)
            c->prev->next = c->next;
        else
            s->conns = c->next;
        if (c->next) c->next->prev = c->prev;
        s->n_conns--;
        rung_free(c);
        *context = NULL;
    }
}

static void shut(serve_conn *c, int64_t *count) {
    if (c->shut) return;
    c->shut = true;
    ++*count;
    (void)shutdown(c->fd, SHUT_RDWR); /* MHD sees it and closes */
}

void serve_http_sweep(serve *s, double now) {
    int32_t open = 0;
    if (now < s->swept + SWEEP_S && s->n_conns <= s->o.connections) return;
    s->swept = now; /* not at each request: there may be ten thousand */
    for (serve_conn *c = s->conns; c; c = c->next) {
        if (c->phase == CONN_IDLE && now - c->since > s->o.idle_s)
            shut(c, &s->m.n_slow_conns);
        else if (c->phase == CONN_BODY && now - c->since > s->o.body_s)
            shut(c, &s->m.n_slow_conns);
        open += !c->shut;
    }
    while (open > s->o.connections) { /* the one that has been idle longest makes room */
        serve_conn *oldest = NULL;
        for (serve_conn *c = s->conns; c; c = c->next)
            if (!c->shut && c->phase == CONN_IDLE && (!oldest || c->since < oldest->since))
                oldest = c;
        if (!oldest) return;
        shut(oldest, &s->m.n_evicted_conns);
        open--;
    }
}

/* ---- who may ask */

/* All of the longer one is looked at, whatever the first difference. */
bool serve_token_fits(const char *token, const char *given) {
    size_t n = strlen(token), m = strlen(given);
    unsigned char differ = (unsigned char)(n != m || n >= TOKEN_MAX);
    for (size_t i = 0; i < TOKEN_MAX; i++) {
        unsigned char a = (unsigned char)(i < n ? token[i] : 0);
        unsigned char b = (unsigned char)(i < m ? given[i] : 0);
        differ = (unsigned char)(differ | (a ^ b));
    }
    return differ == 0;
}

static const char *header(struct MHD_Connection *con, const char *name) {
    return MHD_lookup_connection_value(con, MHD_HEADER_KIND, name);
}

static bool may_ask(const serve *s, struct MHD_Connection *con) {
    const char *h = header(con, "Authorization");
    if (!s->o.token) return true;
    if (!h || strncasecmp(h, "Bearer ", 7) != 0) return serve_token_fits(s->o.token, "");
    return serve_token_fits(s->o.token, h + 7);
}

/* host of "host:port", "[v6]:port" */
static bool is_loopback_name(const char *host) {
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i]);
        if (strncasecmp(host, names[i], n) == 0 && (!host[n] || host[n] == ':')) return true;
    }
    return false;
}

/* A page of another origin may not ask: browsers name the page's origin. And a name that somebody
 * else's DNS points at this machine is not ours. */
static bool origin_fits(const serve *s, struct MHD_Connection *con) {
    const char *origin = header(con, "Origin"), *host = header(con, "Host");
    if (s->loopback && host && !is_loopback_name(host)) return false;
    if (!origin) return true;
    if (s->o.cors && (strcmp(s->o.cors, "*") == 0 || strcmp(s->o.cors, origin) == 0)) return true;
    const char *at = strstr(origin, "://");
    return at && host && strcasecmp(at + 3, host) == 0;
}

/* ---- replies */

static void add(struct MHD_Response *m, const char *key, const char *value) {
    (void)MHD_add_response_header(m, key, value);
}

static void add_headers(struct MHD_Response *m, const serve_request *r) {
    char text[32];
    const char *origin = r->con ? header(r->con, "Origin") : NULL;
    add(m, "Content-Type", r->type);
    add(m, "X-Content-Type-Options", "nosniff");
    if (r->retry_after > 0) {
        snprintf(text, sizeof text, "%d", r->retry_after);
        add(m, "Retry-After", text);
    }
    if (r->status == 401) add(m, "WWW-Authenticate", "Bearer realm=\"rung\"");
    if (r->status == 405) add(m, "Allow", r->allow);
    if (strncmp(r->type, "text/html", 9) == 0) {
        add(m, "Content-Security-Policy",
            "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
            "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'");
        add(m, "Referrer-Policy", "no-referrer");
    }
    if (r->stream) {
        add(m, "Cache-Control", "no-cache");
        add(m, "X-Accel-Buffering", "no");
    } else {
        add(m, "Cache-Control", "no-store");
    }
    if (r->s->o.cors && origin) {
        add(m, "Access-Control-Allow-Origin", strcmp(r->s->o.cors, "*") == 0 ? "*" : origin);
        add(m, "Access-Control-Allow-Headers", "authorization, content-type");
        add(m, "Vary", "Origin");
    }
}

/* More of a stream; nothing there: MHD waits until it is resumed. */
static ssize_t read_stream(void *cls, uint64_t pos, char *buf, size_t max) {
    serve_request *r = cls;
    (void)pos;
    size_t n = r->out.n - r->taken;
    ssize_t got;
    if (n > max) n = max;
    if (n > 0) {
        memcpy(buf, r->out.data + r->taken, n);
        r->taken += n;
        got = (ssize_t)n;
        if (r->taken == r->out.n) {
            rung_buf_reset(&r->out);
            r->taken = 0;
        }
    } else if (r->whole || r->out.failed) {
        got = r->out.failed ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        r->suspended = true;
        MHD_suspend_connection(r->con);
        got = 0;
    }
    return got;
}

static enum MHD_Result send_reply(serve_request *r) {
    struct MHD_Response *m;
    if (r->stream) {
        m = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, read_stream, r, NULL);
    } else {
        const char *text = r->out.data ? r->out.data : "";
        if (r->out.failed) {
            r->status = 500;
            text = "{\"error\":{\"message\":\"the reply was too large\",\"type\":\"server_error\","
                   "\"param\":null,\"code\":\"internal_error\"}}";
        }
        m = MHD_create_response_from_buffer(r->out.failed ? strlen(text) : r->out.n,
                                            (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    }
    if (!m) return MHD_NO;
    add_headers(m, r);
    r->answered = true;
    enum MHD_Result ok = MHD_queue_response(r->con, (unsigned int)r->status, m);
    MHD_destroy_response(m);
    return ok;
}

/* ---- requests */

static void refuse_method(serve_request *r) {
    if (r->allow[0])
        serve_refuse(r, 405, NULL, "this path does not take that method", NULL);
    else
        serve_refuse(r, 404, NULL, "there is nothing at this path", NULL);
}

/* What its header alone decides. */
static void look_at_header(serve_request *r, const char *method) {
    serve *s = r->s;
    const char *length = header(r->con, "Content-Length");
    if (strlen(method) >= 16) method = "";
    r->route = serve_route_find(strcmp(method, "HEAD") == 0 ? "GET" : method, r->path, r->allow);
    if (!origin_fits(s, r->con)) {
        serve_refuse(r, 403, NULL, "this origin may not ask", "see --cors");
    } else if (s->o.cors && strcmp(method, "OPTIONS") == 0) {
        serve_answer(r, 204, "text/plain");
    } else if (!(r->route && r->route->open) && !may_ask(s, r->con)) {
        serve_refuse(r, 401, NULL, "the token is missing or not the right one",
                     "Authorization: Bearer TOKEN");
    } else if (!r->route) {
        refuse_method(r);
    } else if (length && strtoll(length, NULL, 10) > s->o.max_body) {
        serve_refuse(r, 413, NULL, "the body is too large", NULL);
    }
}

/* A refusal that is sent while the client is still sending may never be read: its body is taken
 * and dropped, unless it is long, or the client asks first. */
static bool answers_now(const serve_request *r) {
    const char *length = header(r->con, "Content-Length");
    bool far = length && strtoll(length, NULL, 10) > r->s->o.max_body * DROPPED_BODIES;
    return r->whole && (far || header(r->con, "Expect"));
}

static serve_request *new_request(serve *s, struct MHD_Connection *con, const char *url,
                                  const char *method) {
    serve_request *r = rung_calloc(1, sizeof *r);
    if (!r) return NULL;
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(con, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    r->s = s;
    r->con = con;
    r->conn = i ? i->socket_context : NULL;
    r->fd = r->conn ? r->conn->fd : -1;
    r->t0 = rung_now();
    r->type = "application/json";
    rung_buf_init(&r->body, (size_t)s->o.max_body + 1);
    rung_buf_init(&r->out, 128u << 20);
    snprintf(r->path, sizeof r->path, "%s", strlen(url) < sizeof r->path ? url : "/too/long");
    r->id = ++s->n_requests;
    if (r->conn) {
        r->conn->phase = CONN_BODY;
        r->conn->since = r->t0;
    }
    look_at_header(r, method);
    return r;
}

/* The whole body is here. */
static void take(serve_request *r) {
    serve *s = r->s;
    rung_error err = RUNG_ERROR_INIT;
    if (r->too_large || r->body.failed) {
        serve_refuse(r, 413, NULL, "the body is too large", NULL);
        return;
    }
    const char *rest = r->path + (r->route->under ? strlen(r->route->path) : 0);
    if (r->route->role == SERVE_LOCAL) {
        r->route->local(r, rest);
        return;
    }
    if (r->route->kind >= SERVE_TOKENIZER) { /* the path is all there is */
        rung_buf_reset(&r->body);
        rung_buf_str(&r->body, r->route->under ? rest : "");
        r->deadline = r->t0 + s->o.caps.deadline_s;
        (void)serve_enqueue(r);
        return;
    }
    rung_arena *a = rung_arena_new((size_t)s->o.max_body * 8 + (1 << 20));
    serve_ask ask;
    rung_status st = a ? serve_ask_read(&ask, a, r->route->kind, r->body.data ? r->body.data : "",
                                        r->body.n, &s->o.caps, &err)
                       : rung_fail(&err, RUNG_E_NOMEM, "no memory for a request");
    r->deadline = r->t0 + s->o.caps.deadline_s;
    if (st == RUNG_OK && ask.deadline_s > 0.0) r->deadline = r->t0 + ask.deadline_s;
    rung_arena_free(a);
    if (st == RUNG_OK)
        (void)serve_enqueue(r);
    else
        serve_refuse(r,
                     st == RUNG_E_NOT_FOUND ? 404
                     : st == RUNG_E_NOMEM   ? 503
                                            : 400,
                     NULL, err.what, err.hint);
}

static enum MHD_Result take_body(serve_request *r, const char *data, size_t *n) {
    if (r->body.n + *n > (size_t)r->s->o.max_body) r->too_large = true;
    if (r->too_large || r->whole) {
        r->n_dropped += *n;
        if (r->n_dropped > (size_t)r->s->o.max_body * DROPPED_BODIES) return MHD_NO;
    } else {
        rung_buf_append(&r->body, data, *n);
    }
    *n = 0;
    return MHD_YES;
}

static enum MHD_Result on_access(void *cls, struct MHD_Connection *con, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *n_data, void **context) {
    serve *s = cls;
    serve_request *r = *context;
    (void)version;
    if (!r) {
        r = *context = new_request(s, con, url, method);
        if (!r) return MHD_NO;
        return answers_now(r) ? send_reply(r) : MHD_YES;
    }
    if (*n_data > 0) return take_body(r, data, n_data);
    if (r->state == REQUEST_BODY && !r->whole) {
        if (r->conn) r->conn->phase = CONN_WORK;
        take(r);
    }
    enum MHD_Result ok = MHD_YES;
    if (r->answered) {
        ok = MHD_NO;
    } else if (r->whole || (r->stream && r->head)) {
        ok = send_reply(r);
    } else {
        r->suspended = true;
        MHD_suspend_connection(con);
    }
    return ok;
}

static void on_completed(void *cls, struct MHD_Connection *con, void **context,
                         enum MHD_RequestTerminationCode code) {
    serve *s = cls;
    serve_request *r = *context;
    (void)con;
    (void)code;
    if (!r) return;
    *context = NULL;
    r->con = NULL;
    r->suspended = false;
    if (r->conn) {
        r->conn->phase = CONN_IDLE;
        r->conn->since = rung_now();
    }
    serve_count(s, r);
    bool working = r->state == REQUEST_QUEUED || r->state == REQUEST_SENT;
    if (working && !r->whole) s->m.n_gone++;
    if (!working) serve_request_free(r); /* else the loop frees its work, and it */
}

/* ---- listening */

/* "HOST:PORT" or "[HOST]:PORT"; the address, and whether it is this machine's own. */
static rung_status read_listen(serve *s, struct sockaddr_storage *addr, socklen_t *n,
                               rung_error *err) {
    const char *text = s->o.listen, *colon = strrchr(text, ':');
    char port[16];
    struct addrinfo want = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    size_t len = colon ? (size_t)(colon - text) : 0;
    bool v6 = len > 2 && text[0] == '[' && text[len - 1] == ']';
    if (!colon || len == 0 || len - 2 * v6 >= sizeof s->host || strlen(colon + 1) > 5) {
        rung_fail(err, RUNG_E_INVAL, "--listen \"%.80s\" is not HOST:PORT", text);
        return rung_error_hint(err, "127.0.0.1:8000, or [::1]:8000");
    }
    snprintf(s->host, sizeof s->host, "%.*s", (int)(len - 2 * v6), text + v6);
    snprintf(port, sizeof port, "%s", colon + 1);
    if (getaddrinfo(s->host, port, &want, &found) != 0 || !found)
        return rung_fail(err, RUNG_E_INVAL, "--listen: no address for \"%.80s\"", text);
    *n = found->ai_addrlen;
    memcpy(addr, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    if (addr->ss_family == AF_INET)
        s->loopback =
            (ntohl(((struct sockaddr_in *)addr)->sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
    else
        s->loopback = IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)addr)->sin6_addr);
    if (s->loopback || (s->o.token && s->o.token[0])) return RUNG_OK;
    rung_fail(err, RUNG_E_INVAL, "--listen %.80s can be reached by others: it needs a token", text);
    return rung_error_hint(err, "RUNG_SERVE_TOKEN=SECRET in the environment; for TLS put a proxy "
                                "before it");
}

static rung_status bind_to(int *out, serve *s, rung_error *err) {
    struct sockaddr_storage a;
    socklen_t n = 0;
    int one = 1;
    RUNG_TRY(read_listen(s, &a, &n, err));
    int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return rung_fail_errno(err, "could not make a socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, n) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &n) != 0) {
        rung_fail_errno(err, "could not listen on %s", s->o.listen);
        close(fd);
        return rung_error_hint(err, "another port: --listen %s:0 takes any that is free", s->host);
    }
    bool v6 = a.ss_family == AF_INET6;
    s->port =
        ntohs(v6 ? ((struct sockaddr_in6 *)&a)->sin6_port : ((struct sockaddr_in *)&a)->sin_port);
    snprintf(s->url, sizeof s->url, "http://%s%s%s:%d", v6 ? "[" : "", s->host, v6 ? "]" : "",
             s->port);
    *out = fd;
    return RUNG_OK;
}

rung_status serve_http_start(serve *s, rung_error *err) {
    int fd = -1;
    RUNG_TRY(bind_to(&fd, s, err));
    s->mhd = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_access, s,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned int)s->o.connections + HARD_LIMIT_MORE, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HEADER_BYTES, MHD_OPTION_END);
    const union MHD_DaemonInfo *i =
        s->mhd ? MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    s->http_fd = i ? i->epoll_fd : -1;
    if (s->http_fd >= 0) return RUNG_OK;
    if (s->mhd)
        MHD_stop_daemon(s->mhd); /* closes fd */
    else
        close(fd);
    s->mhd = NULL;
    return rung_fail(err, RUNG_E_IO, "libmicrohttpd could not start");
}

void serve_http_run(serve *s) {
    int left = 4; /* others wait, too */
    do (void)MHD_run(s->mhd);
    while (--left > 0 && serve_http_patience(s, 1) == 0);
}

int serve_http_patience(const serve *s, int ms) {
    MHD_UNSIGNED_LONG_LONG t;
    return MHD_get_timeout(s->mhd, &t) == MHD_YES && t < (unsigned)ms ? (int)t : ms;
}

static bool any_works(const serve *s) {
    const serve_conn *c = s->conns;
    while (c && c->phase != CONN_WORK) c = c->next;
    return c != NULL;
}

void serve_http_stop_listening(serve *s) {
    MHD_socket fd = MHD_quiesce_daemon(s->mhd);
    if (fd != MHD_INVALID_SOCKET) close(fd);
}

void serve_http_stop(serve *s) {
    double until = rung_now() + LEAVE_S;
    if (!s->mhd) return;
    while (any_works(s) && rung_now() < until) { /* the last replies leave */
        struct pollfd f = {.fd = s->http_fd, .events = POLLIN};
        (void)poll(&f, 1, serve_http_patience(s, 10));
        serve_http_run(s);
    }
    MHD_stop_daemon(s->mhd);
    s->mhd = NULL;
}
