/* The remote backend: requests over libcurl's multi interface. */
#ifndef RUNG_SRC_REMOTE_H
#define RUNG_SRC_REMOTE_H
#include "model/engine.h"
#include "model/remote_wire.h"

#include <curl/curl.h>

/* What was submitted; samples are handed out to requests. */
typedef struct remote_job {
    rung_gen gen;   /* its strings are copies */
    char *text[7];  /* the copies: system, user, prefix, four stops */
    int32_t n_left; /* requests that still hold it */
} remote_job;

/* Samples i .. i+n-1 of a job in one HTTP request. */
typedef struct request {
    struct request *next;
    remote_job *job;
    int32_t i, n; /* i counts from the job's i0 */
    int32_t attempt;
    double not_before;
    CURL *curl; /* NULL while it waits */
    rung_buf body, reply;
    char key[33], curl_error[CURL_ERROR_SIZE];
} request;

typedef struct remote {
    rung_engine base;
    rung_engine_opts opts;
    rung_buf url;
    char *model_name, *key_env;
    CURLM *multi;
    struct curl_slist *headers;
    request *waiting, **tail, *active;
    int32_t n_active,
        n_max; /* n_max: choices that the server gives in one request; 0 = not known */
    const rung_engine_cb *cb;
} remote;

/* remote_http.c */
rung_status rung_remote_headers(remote *e, rung_error *err);
rung_status rung_remote_send(remote *e, request *r, rung_error *err);
/* What became of a finished transfer: OK (a reply to read), E_BUSY (try again; *pause says when at
 * the earliest, 0 = as you like), E_REMOTE (do not try again), E_LIMIT (fewer choices at once). */
rung_status rung_remote_outcome(double *pause, remote *e, request *r, CURLcode rc, rung_error *err);
#endif
