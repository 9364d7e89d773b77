/* Inside of the server: one thread. Its loop (serve.c) waits for clients and workers at once; HTTP
 * (serve_http.c) runs inside it, so that a request costs two wakings and no lock. */
#ifndef RUNG_SRC_SERVE_IMPL_H
#define RUNG_SRC_SERVE_IMPL_H
#include "serve/serve_ask.h"
#include "serve/serve_pipe.h"

#include <microhttpd.h>
#include <sys/types.h>

typedef struct serve serve;
typedef struct serve_request serve_request;

/* Who answers. */
typedef enum serve_role { SERVE_MODEL = 0, SERVE_VERIFIER, SERVE_N_ROLES, SERVE_LOCAL } serve_role;

typedef struct serve_route {
    const char *method, *path;
    serve_role role;
    serve_kind kind;                                   /* of what workers answer */
    bool open;                                         /* without a token */
    void (*local)(serve_request *r, const char *path); /* path: what follows the route's */
    bool under;                                        /* the route is what the path begins with */
} serve_route;
const serve_route *serve_route_at(size_t i); /* NULL past the end */
/* NULL: none; *allow: methods of that path, "" when there is none. */
const serve_route *serve_route_find(const char *method, const char *path, char allow[64]);

typedef struct serve_conn { /* an open connection */
    struct serve_conn *next, *prev;
    int fd;
    double since; /* idle, or its request's body, or its work, since */
    enum { CONN_IDLE, CONN_BODY, CONN_WORK } phase;
    bool shut;
} serve_conn;

typedef enum serve_state { REQUEST_BODY, REQUEST_QUEUED, REQUEST_SENT, REQUEST_OVER } serve_state;

struct serve_request {
    serve *s;
    serve_request *next; /* of the queue, or of those at the worker */
    uint64_t id;
    const serve_route *route;
    char path[256];
    struct MHD_Connection *con; /* NULL: the client has gone */
    serve_conn *conn;
    int fd;
    serve_state state;
    rung_buf body;
    bool too_large, suspended, answered;
    double t0, deadline, last_data;
    bool stream, head, whole;
    /* the reply */
    int status;
    const char *type; /* content type; a literal */
    rung_buf out;
    size_t taken;     /* of a stream */
    size_t n_dropped; /* bytes of the body */
    int32_t retry_after;
    char allow[64];
    bool cancelled; /* the worker has been told */
};

typedef struct serve_worker {
    serve_role role;
    pid_t pid; /* 0: not running */
    serve_pipe pipe;
    bool ready;
    double started, not_before; /* of the next start */
    int32_t n_failures;         /* in a row */
    int64_t n_starts;
    char why[256]; /* it ended */
    char info[1024];
    serve_gauge gauge;
    serve_request *queue, **tail, *sent;
    int32_t n_queue, n_sent;
    double service_s; /* mean time of a request at the worker, moving */
} serve_worker;

enum { SERVE_BUCKETS = 14 };
typedef struct serve_histogram {
    int64_t n[SERVE_BUCKETS + 1];
    double sum;
} serve_histogram;
typedef struct serve_metrics {
    int64_t requests[32][6]; /* route, status class: 0 other, 1xx .. 5xx */
    int64_t prompt_tok, gen_tok, scored_tok, n_searches, n_gone, n_refused, n_expired, n_stopped;
    int64_t n_evicted_conns, n_slow_conns;
    serve_histogram latency, first;
} serve_metrics;

struct serve {
    rung_serve_opts o;
    struct MHD_Daemon *mhd;
    int http_fd; /* readable: MHD has something to do */
    serve_worker worker[SERVE_N_ROLES];
    serve_conn *conns;
    int32_t n_conns;
    uint64_t n_requests;
    bool draining, loopback;
    char host[80], url[128];
    int port;
    double begun, swept;
    serve_metrics m;
    rung_error cannot;
};

/* ---- serve.c */
/* What stands in r->out is the whole reply, or r->status and an error. */
void serve_answer(serve_request *r, int status, const char *type);
void serve_refuse(serve_request *r, int status, const char *code, const char *message,
                  const char *hint);
void serve_resume(serve_request *r); /* MHD looks at it again */
/* Takes a request whose body is here; false: it was refused. */
bool serve_enqueue(serve_request *r);
void serve_request_free(serve_request *r);
void serve_unlink(serve_request **list, serve_request *r);

/* ---- serve_worker.c */
rung_status serve_worker_start(serve_worker *w, const serve *s, rung_error *err);
/* What it sent; false: it has ended. */
bool serve_worker_read(serve_worker *w, serve *s);
void serve_worker_ended(serve_worker *w, serve *s);
void serve_worker_dispatch(serve_worker *w, serve *s);
void serve_worker_stop(serve_worker *w);

/* ---- serve_http.c */
rung_status serve_http_start(serve *s, rung_error *err);
void serve_http_stop_listening(serve *s);
void serve_http_stop(serve *s);
void serve_http_run(serve *s); /* what clients sent, and what there is for them; does not wait */
int serve_http_patience(const serve *s, int ms); /* until it must run again, at most ms */
void serve_http_sweep(serve *s, double now);     /* slow and idle connections */
bool serve_token_fits(const char *token, const char *given); /* in constant time */

/* ---- serve_local.c */
void serve_health(serve_request *r, const char *path);
void serve_models(serve_request *r, const char *path);
void serve_metrics_text(serve_request *r, const char *path);
void serve_page(serve_request *r, const char *path);
/* ---- serve_metrics.c */
void serve_count(serve *s, const serve_request *r);
void serve_histogram_add(serve_histogram *h, double seconds);
#endif
