/* rung/endpoint.h: what a remote engine tells of its endpoints. Part of rung/model.h. */
#ifndef RUNG_ENDPOINT_H
#define RUNG_ENDPOINT_H
#include "rung/base.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct rung_engine rung_engine;
/* What can go wrong with one request; every failure is counted under one of these. */
#define RUNG_REMOTE_FAILURES(X)                                                                    \
    X(CONNECT, "connect", "no connection")                                                         \
    X(TIMEOUT, "timeout", "no answer in time, or 408")                                             \
    X(CUT, "cut", "the connection broke before the end of the reply")                              \
    X(SERVER, "server", "500 and other failures of the server")                                    \
    X(BUSY, "busy", "429, 503, 425: too many requests")                                            \
    X(BROKEN, "broken", "a reply that is not JSON or holds no choice")                             \
    X(FEWER, "fewer", "a good reply with fewer choices than asked for")                            \
    X(MANY, "many", "n choices at once refused")                                                   \
    X(FINAL, "final", "refused for good")
typedef enum rung_remote_failure {
#define X(id, name, help) RUNG_REMOTE_##id,
    RUNG_REMOTE_FAILURES(X)
#undef X
        RUNG_REMOTE_FAILURE_COUNT
} rung_remote_failure;
const char *rung_remote_failure_name(rung_remote_failure f);

/* The ledger of one endpoint: what was asked of it and what it said it used. */
typedef struct rung_endpoint_stats {
    const char *url, *model, *dialect; /* borrowed from the engine; model "" when not known */
    const char *state;                 /* "new" "up" "down" */
    int64_t n_requests, n_replies, n_choices, n_moved; /* n_moved: taken back when it went down */
    int64_t n_failures[RUNG_REMOTE_FAILURE_COUNT];
    int64_t prompt_tok, cached_tok, completion_tok; /* as the server reports; cached is in prompt */
    int64_t n_no_usage;         /* replies that reported none: the sums are lower bounds */
    int32_t window, window_max; /* requests at once: now, and the most that probing came to */
    double busy_s, cost;
} rung_endpoint_stats;
/* false past the last endpoint (i = 0 already, when local). */
bool rung_engine_endpoint(rung_endpoint_stats *out, const rung_engine *e, size_t i);

#ifdef __cplusplus
}
#endif
#endif
