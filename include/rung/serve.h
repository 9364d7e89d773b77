/* rung/serve.h: answers over HTTP: an OpenAI-compatible server behind which searches run.
 *
 * Two kinds of process. The server (rung_serve) speaks HTTP and holds no model; its workers, which
 * are the same program started again with RUNG_SERVE_WORKER in the environment, hold the models
 * (rung_serve_work) or verify answers (rung_serve_verify), and are started again when they end. */
#ifndef RUNG_SERVE_H
#define RUNG_SERVE_H
#include "rung/search.h"
#ifdef __cplusplus
extern "C" {
#endif

/* What a request may ask for at most, and what holds when it does not say. Both sides read it. */
typedef struct rung_serve_caps {
    const char *name;   /* of the model that is served */
    const char *method; /* of chat requests that name none; "sample" = no search */
    const char *split;  /* how steps are split; told to the page */
    int32_t max_tok;    /* most tokens of a continuation; also when a request does not say */
    int32_t n;          /* most choices */
    int64_t budget_tok; /* most tokens that a search may draw; also when it does not say */
    double deadline_s;  /* most seconds; also when it does not say */
    rung_sampling sampling;
} rung_serve_caps;

typedef struct rung_serve_opts {
    size_t struct_size;
    const char
        *listen;       /* "127.0.0.1:8000", "[::1]:8000"; port 0: any. Other than loopback: token */
    const char *token; /* what Authorization: Bearer must hold; NULL: nobody is asked */
    const char *cors;  /* the one other origin whose pages may ask, "*" any; NULL none */
    rung_serve_caps caps;
    int32_t queue;       /* requests that may wait; more: 429; 0 = 256 */
    int32_t active;      /* requests that a worker has at once; 0 = 64 */
    int32_t connections; /* open connections; then the one idle longest goes; 0 = 512 */
    int64_t max_body;    /* bytes of a request; 0 = 4 MiB */
    double idle_s;       /* until a whole request has begun; 0 = 30 */
    double body_s;       /* from its header to its last byte; 0 = 30 */
    double drain_s;      /* after SIGTERM; 0 = 30 */
    char *const *argv;   /* of this program, to start workers with */
    const rung_log *log;
    bool (*stop)(void *ud); /* true: stop taking requests, finish those that are there, return */
    void (*on_listen)(void *ud, const char *url); /* it listens; models may still be loading */
    void *ud;
} rung_serve_opts;
#define RUNG_SERVE_OPTS_INIT                                                                       \
    { .struct_size = sizeof(rung_serve_opts) }
/* Until stop, or until a worker cannot be started at all (its own error). */
rung_status rung_serve(const rung_serve_opts *o, rung_error *err);

/* Is this process a worker? "" no; else "model" or "verify", and its end of the pipe. */
const char *rung_serve_role(int *fd);

typedef struct rung_serve_work_opts {
    size_t struct_size;
    int fd;
    rung_serve_caps caps;
    rung_engine *engine;
    rung_reward *reward;     /* NULL none */
    rung_search_opts search; /* scorer, sizes, split, ...: what holds when a request does not say */
    const char *verifier;    /* that reads answers; NULL = math */
    rung_store *store;       /* NULL: searches are not kept */
    int64_t run;
    const rung_log *log;
    bool fixed_seed; /* requests that give none have this one; else each has another */
    uint64_t seed;
} rung_serve_work_opts;
#define RUNG_SERVE_WORK_OPTS_INIT                                                                  \
    { .struct_size = sizeof(rung_serve_work_opts), .search = RUNG_SEARCH_OPTS_INIT }
/* Until the server closes the pipe. */
rung_status rung_serve_work(const rung_serve_work_opts *o, rung_error *err);
/* store_path: NULL none; it need not be there yet. */
rung_status rung_serve_verify(int fd, const char *store_path, rung_error *err);
/* Tell the server that this worker cannot begin, and why. */
void rung_serve_cannot(int fd, const rung_error *why);

#ifdef __cplusplus
}
#endif
#endif
