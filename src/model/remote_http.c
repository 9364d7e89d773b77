/* One request as an HTTP transfer. The key goes from the environment into a header and nowhere
 * else; redirects are not followed, so it stays with the endpoint it is for. */
#include "model/remote.h"

#include <stdlib.h>
#include <string.h>

#define REPLY_BYTES_MAX ((size_t)64 << 20)
#define CONNECT_MS_MAX  10000

rung_status rung_remote_headers(remote *e, rung_error *err) {
    static const char *fixed[] = {"Content-Type: application/json", "Accept: application/json",
                                  "Expect:"};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        struct curl_slist *l = curl_slist_append(e->headers, fixed[i]);
        if (!l) return rung_fail(err, RUNG_E_NOMEM, "no memory for headers");
        e->headers = l;
    }
    const char *key = getenv(e->key_env);
    if (!key || !*key) return RUNG_OK;
    if (strpbrk(key, "\r\n")) {
        return rung_fail(err, RUNG_E_INVAL, "the key in %s holds a line end", e->key_env);
    }
    rung_buf b;
    rung_buf_init(&b, 1 << 16);
    rung_buf_printf(&b, "Authorization: Bearer %s", key);
    struct curl_slist *l = b.failed ? NULL : curl_slist_append(e->headers, b.data);
    if (b.data) memset(b.data, 0, b.n);
    rung_buf_clear(&b);
    if (!l) return rung_fail(err, RUNG_E_NOMEM, "no memory for headers");
    e->headers = l;
    return RUNG_OK;
}

static size_t on_data(char *data, size_t size, size_t n, void *ud) {
    request *r = ud;
    rung_buf_append(&r->reply, data, size * n);
    return r->reply.failed ? 0 : size * n;
}

static bool is_loopback(const char *url) {
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    return strncmp(host, "localhost", 9) == 0 || strncmp(host, "127.", 4) == 0 ||
           strncmp(host, "[::1]", 5) == 0;
}

static bool set_options(remote *e, request *r, const char *url, double timeout_s) {
    CURL *c = r->curl;
    long ms = (long)(timeout_s * 1000.0);
    CURLcode bad = CURLE_OK;
#define SET(option, value)                                                                         \
    if (!bad) bad = curl_easy_setopt(c, option, value)
    SET(CURLOPT_URL, url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTPHEADER, e->headers);
    if (r->job) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
        SET(CURLOPT_POSTFIELDS, r->body.data);
    }
    SET(CURLOPT_WRITEFUNCTION, on_data);
    SET(CURLOPT_WRITEDATA, r);
    SET(CURLOPT_PRIVATE, r);
    SET(CURLOPT_ERRORBUFFER, r->curl_error);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_TIMEOUT_MS, ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, ms < CONNECT_MS_MAX ? ms : (long)CONNECT_MS_MAX);
    if (is_loopback(url)) SET(CURLOPT_NOPROXY, "*");
#undef SET
    return !bad;
}

static rung_status begin(remote *e, request *r, const char *url, double timeout_s,
                         rung_error *err) {
    rung_buf_clear(&r->reply);
    rung_buf_init(&r->reply, REPLY_BYTES_MAX);
    r->curl_error[0] = 0;
    r->curl = curl_easy_init();
    if (!r->curl || !set_options(e, r, url, timeout_s) ||
        curl_multi_add_handle(e->multi, r->curl)) {
        if (r->curl) curl_easy_cleanup(r->curl);
        r->curl = NULL;
        return rung_fail(err, RUNG_E_NOMEM, "could not start a request");
    }
    r->sent = rung_now();
    return RUNG_OK;
}

rung_status rung_remote_send(remote *e, request *r, rung_error *err) {
    RUNG_TRY(begin(e, r, r->ep->url, e->opts.timeout_s, err));
    e->base.stats.n_requests++;
    return RUNG_OK;
}

rung_status rung_remote_ask(remote *e, request *r, const char *url, double timeout_s,
                            rung_error *err) {
    return begin(e, r, url, timeout_s, err);
}

void rung_remote_end(remote *e, request *r) {
    if (!r->curl) return;
    curl_multi_remove_handle(e->multi, r->curl);
    curl_easy_cleanup(r->curl);
    r->curl = NULL;
}

/* Codes of a transfer that will not become better by waiting. */
static bool is_final(CURLcode rc) {
    return rc == CURLE_UNSUPPORTED_PROTOCOL || rc == CURLE_URL_MALFORMAT ||
           rc == CURLE_OUT_OF_MEMORY || rc == CURLE_PEER_FAILED_VERIFICATION ||
           rc == CURLE_SSL_CACERT_BADFILE;
}

static rung_remote_failure kind_of(request *r, CURLcode rc) {
    long n_sent = 0; /* bytes of the request: also on a connection that was there already */
    curl_easy_getinfo(r->curl, CURLINFO_REQUEST_SIZE, &n_sent);
    if (is_final(rc)) return RUNG_REMOTE_FINAL;
    if (rc == CURLE_COULDNT_CONNECT || rc == CURLE_COULDNT_RESOLVE_HOST ||
        rc == CURLE_COULDNT_RESOLVE_PROXY) {
        return RUNG_REMOTE_CONNECT;
    }
    if (rc != CURLE_OPERATION_TIMEDOUT) return RUNG_REMOTE_CUT;
    return n_sent > 0 ? RUNG_REMOTE_TIMEOUT : RUNG_REMOTE_CONNECT;
}

static rung_status http_failure(rung_remote_failure *kind, remote *e, request *r, long code,
                                rung_error *err) {
    char said[160];
    rung_wire_message(said, sizeof said, r->reply.data ? r->reply.data : "", r->reply.n);
    bool busy = code == 425 || code == 429 || code == 503;
    bool fewer = (code == 400 || code == 422) && r->n > 1;
    *kind = busy          ? RUNG_REMOTE_BUSY
            : code == 408 ? RUNG_REMOTE_TIMEOUT
            : code >= 500 ? RUNG_REMOTE_SERVER
            : fewer       ? RUNG_REMOTE_MANY
                          : RUNG_REMOTE_FINAL;
    rung_status st = *kind == RUNG_REMOTE_FINAL  ? RUNG_E_REMOTE
                     : *kind == RUNG_REMOTE_MANY ? RUNG_E_LIMIT
                                                 : RUNG_E_BUSY;
    rung_fail(err, st, "endpoint %s answered %ld%s%s", r->ep->url, code, *said ? ": " : "", said);
    if (code == 401 || code == 403) {
        rung_error_hint(err, "put the endpoint's key into the environment variable %s", e->key_env);
    } else if (code == 404 || code == 405) {
        rung_error_hint(err,
                        "is the address right (usually it ends in /v1), and the model's name?");
    }
    return st;
}

long rung_remote_code(request *r, CURLcode rc) {
    long code = 0;
    if (rc == CURLE_OK) curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &code);
    return code;
}

rung_status rung_remote_outcome(double *pause, rung_remote_failure *kind, remote *e, request *r,
                                CURLcode rc, rung_error *err) {
    *pause = 0.0;
    *kind = RUNG_REMOTE_FINAL;
    if (rc == CURLE_WRITE_ERROR && r->reply.failed) {
        return rung_fail(err, RUNG_E_REMOTE, "endpoint %s sent more than %zu bytes", r->ep->url,
                         REPLY_BYTES_MAX);
    }
    if (rc != CURLE_OK) {
        const char *why = r->curl_error[0] ? r->curl_error : curl_easy_strerror(rc);
        *kind = kind_of(r, rc);
        return rung_fail(err, *kind == RUNG_REMOTE_FINAL ? RUNG_E_REMOTE : RUNG_E_BUSY,
                         "endpoint %s: %s", r->ep->url, why);
    }
    curl_off_t after = 0;
    curl_easy_getinfo(r->curl, CURLINFO_RETRY_AFTER, &after);
    *pause = (double)after;
    long code = rung_remote_code(r, rc);
    return code == 200 ? RUNG_OK : http_failure(kind, e, r, code, err);
}
