/* The remote backend: requests over libcurl's multi interface to one or several endpoints. */
#ifndef RUNG_SRC_REMOTE_H
#define RUNG_SRC_REMOTE_H
#include "model/engine.h"
#include "model/remote_window.h"
#include "model/remote_wire.h"

#include <curl/curl.h>

/* What was submitted; samples are handed out to requests. */
typedef struct remote_job {
    rung_gen gen;  /* its strings and lists are copies */
    char *text[7]; /* the copies: system, user, prefix, four stops */
    rung_turn *turn;
    rung_logit_bias *bias;
    char *grammar;
    uint64_t home;  /* hash of system and user: prompts that share a beginning share it */
    int32_t n_left; /* requests that still hold it */
} remote_job;

typedef struct endpoint endpoint;

/* Samples i .. i+n-1 of a job in one HTTP request; or, without a job, an endpoint's hello. */
typedef struct request {
    struct request *next;
    remote_job *job;
    int32_t i, n; /* i counts from the job's i0 */
    int32_t attempt;
    endpoint *ep, *failed_on; /* where it is; where it failed last and stays away from until ... */
    double not_before, sent;  /* ... then */
    int64_t replies_seen;     /* of failed_on when it said "busy" */
    CURL *curl;               /* NULL while it waits */
    rung_buf body, reply;
    char key[33], curl_error[CURL_ERROR_SIZE];
} request;

typedef enum endpoint_state {
    ENDPOINT_NEW = 0,
    ENDPOINT_GREETING,
    ENDPOINT_UP,
    ENDPOINT_DOWN
} endpoint_state;

struct endpoint {
    char *address; /* as given, without its settings */
    char *url, *models_url, *props_url;
    char *model; /* to ask for; NULL: the server has but one and does not tell its name */
    const wire_dialect *dialect;
    bool model_given, dialect_given;
    wire_hello hello;
    request greeting; /* not in any list */
    bool greeting_props;
    endpoint_state state;
    remote_window window;
    int32_t cap;              /* requests at once, at most */
    int32_t n_active, n_out;  /* requests there, samples in them */
    int32_t n_max, n_lone;    /* choices in one request, 0 = not known; replies in a row of one */
    int32_t n_bad;            /* failures in a row */
    int32_t n_rounds;         /* of those, sent after the one before was known */
    double bad_t, up_t;       /* when the last one was; when it was last greeted */
    double not_before;        /* nothing is sent before */
    double busy_since, heard; /* since it has work; its last sign of life */
    bool checking;            /* the greeting in flight asks whether it is still there */
    bool starved;             /* there was not enough to do to fill the window */
    rung_endpoint_stats stats;
};

typedef struct remote {
    rung_engine base;
    rung_engine_opts opts;
    char *model_name, *key_env;
    CURLM *multi;
    struct curl_slist *headers;
    endpoint *ep;
    int32_t n_ep;
    bool agreed; /* the endpoints' models were compared */
    request *waiting, **tail, *active;
    int32_t n_active, n_again; /* n_again: waiting ones that failed before */
    const rung_engine_cb *cb;
} remote;

/* remote.c: to the front of the queue with what is in flight at ep, if another one can take it. */
void rung_remote_move_away(remote *e, endpoint *ep);

/* remote_http.c */
rung_status rung_remote_headers(remote *e, rung_error *err);
rung_status rung_remote_send(remote *e, request *r, rung_error *err); /* to r->ep */
/* The endpoint's models (or its /props): r is ep->greeting. */
rung_status rung_remote_ask(remote *e, request *r, const char *url, double timeout_s,
                            rung_error *err);
/* What became of a finished transfer: OK (a reply to read), E_BUSY (try again; *pause says when at
 * the earliest, 0 = as you like), E_REMOTE (do not try again), E_LIMIT (fewer choices at once).
 * *kind: of a failure. */
rung_status rung_remote_outcome(double *pause, rung_remote_failure *kind, remote *e, request *r,
                                CURLcode rc, rung_error *err);
long rung_remote_code(request *r, CURLcode rc); /* HTTP status of a greeting, 0 = no answer */
void rung_remote_end(remote *e, request *r);    /* takes it off the line */

/* remote_endpoint.c: which endpoint, how much of it, is it there? */
rung_status rung_endpoints_read(remote *e, const char *urls, rung_error *err);
void rung_endpoints_clear(remote *e);
endpoint *rung_endpoint_pick(const remote *e, const request *r, double now); /* NULL: none now */
bool rung_endpoint_any_room(const remote *e, double now);
void rung_endpoint_took(endpoint *ep, const request *r, double now);
void rung_endpoint_gave(endpoint *ep, const request *r, double now); /* whatever came of it */
void rung_endpoint_good(endpoint *ep, const request *r, int64_t n_got, const wire_usage *u,
                        double now);
/* Counts the failure; true: the endpoint is down from now on. */
bool rung_endpoint_bad(remote *e, endpoint *ep, double sent, rung_remote_failure kind, double pause,
                       double now);
void rung_endpoints_starved(remote *e); /* after what could start has started */
bool rung_endpoint_others_up(const remote *e, const endpoint *but);
bool rung_endpoints_hopeless(const remote *e); /* each has failed more often than is tried */
void rung_remote_stats(rung_endpoint_stats *out, const remote *e, const endpoint *ep);
void rung_endpoint_reach(rung_buf *out, const remote *e); /* their addresses, for a hint */

/* remote_hello.c */
rung_status rung_endpoints_greet(remote *e, double now, rung_error *err); /* those that are due */
/* Asks endpoints that have work and have been silent for long whether they are still there. */
rung_status rung_endpoints_check(remote *e, double now, rung_error *err);
rung_status rung_endpoint_greeted(remote *e, endpoint *ep, CURLcode rc, rung_error *err);
#endif
