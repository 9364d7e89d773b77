/* The first word with an endpoint, and the first after it was down: GET /v1/models says the
 * dialect and the model; GET /props the slots of a llama-server. A server that answers anything is
 * there; what it does not say is left as it is. Samples of several endpoints are only mixed when
 * all serve one model: the names that they tell must agree unless they were mapped (model=), and
 * the weights' sizes, where both tell one, always. */
#include "model/remote.h"

#include <stdio.h>
#include <string.h>

#define HELLO_S  5.0
#define SILENT_S 10.0 /* with work and no sign of life: then it is asked for one, ... */
#define SILENT   0.25 /* ... or after this share of the time-out */

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool same_model(const endpoint *a, const endpoint *b) {
    bool files = a->dialect->any_model || b->dialect->any_model;
    const char *x = a->hello.model, *y = b->hello.model;
    return strcmp(x, y) == 0 || (files && strcmp(base_name(x), base_name(y)) == 0);
}

static rung_status two_models(const endpoint *a, const endpoint *b, const char *what,
                              rung_error *err) {
    rung_fail(err, RUNG_E_INVAL, "endpoints serve %s: %s \"%.60s\", %s \"%.60s\"", what, a->address,
              a->hello.model, b->address, b->hello.model);
    return rung_error_hint(err, "if it is one model under two names, map them: %s#model=NAME",
                           b->address);
}

static rung_status agree(const remote *e, const endpoint *ep, rung_error *err) {
    for (int32_t i = 0; i < e->n_ep; i++) {
        const endpoint *other = &e->ep[i];
        if (other == ep || !other->hello.n_models || !ep->hello.n_models) continue;
        bool mapped = other->model_given && ep->model_given;
        if (!mapped && !same_model(other, ep)) {
            return two_models(other, ep, "different models", err);
        }
        if (other->hello.size && ep->hello.size && other->hello.size != ep->hello.size) {
            return two_models(other, ep, "weights of different sizes", err);
        }
    }
    return RUNG_OK;
}

/* The model to ask for is the one that is served, when there is but one. */
static rung_status name_model(endpoint *ep, rung_error *err) {
    if (ep->model_given || ep->hello.n_models == 0) return RUNG_OK;
    if (ep->hello.n_models > 1) {
        rung_fail(err, RUNG_E_INVAL, "endpoint %s serves %d models: %s", ep->address,
                  ep->hello.n_models, ep->hello.models);
        return rung_error_hint(err, "name one with --remote-model");
    }
    rung_free(ep->model);
    ep->model = rung_strdup(ep->hello.model);
    return ep->model ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "no memory for a model's name");
}

/* The first window of a server that tells its slots: all of them busy. */
static void fit_window(remote *e, endpoint *ep, double now) {
    if (ep->hello.n_slots < 1) return;
    int32_t n = e->waiting ? e->waiting->n : 1;
    if (ep->n_max == 0 || ep->n_max > ep->hello.n_slots) ep->n_max = ep->hello.n_slots;
    if (n > ep->n_max) n = ep->n_max;
    int32_t size = (ep->hello.n_slots + n - 1) / n;
    rung_window_init(&ep->window, size < ep->cap ? size : ep->cap, ep->cap, now);
}

static rung_status learned(remote *e, endpoint *ep, rung_error *err) {
    double now = rung_now();
    bool again = ep->n_bad > 0;
    if (!ep->dialect_given && ep->hello.dialect) ep->dialect = ep->hello.dialect;
    RUNG_TRY(name_model(ep, err));
    RUNG_TRY(agree(e, ep, err));
    if (!again) fit_window(e, ep, now);
    ep->state = ENDPOINT_UP;
    ep->up_t = now;
    ep->not_before = 0.0;
    rung_event(e->base.log, RUNG_INFO, "remote.endpoint", RUNG_S("url", ep->address),
               RUNG_S("dialect", ep->dialect->name), RUNG_S("model", ep->model ? ep->model : ""),
               RUNG_I("slots", ep->hello.n_slots), RUNG_S("state", again ? "back" : "up"));
    return RUNG_OK;
}

static rung_status not_there(remote *e, endpoint *ep, CURLcode rc, rung_error *err) {
    rung_remote_failure kind;
    double pause;
    rung_error why = RUNG_ERROR_INIT;
    rung_status st = rung_remote_outcome(&pause, &kind, e, &ep->greeting, rc, &why);
    rung_remote_end(e, &ep->greeting);
    if (st == RUNG_OK || st == RUNG_E_REMOTE) { /* nothing that waiting mends */
        if (err) *err = why;
        return st == RUNG_OK ? rung_fail(err, RUNG_E_REMOTE, "libcurl failed") : st;
    }
    if (ep->state == ENDPOINT_GREETING) ep->state = ENDPOINT_NEW;
    ep->checking = false;
    rung_endpoint_bad(e, ep, ep->greeting.sent, RUNG_REMOTE_CONNECT, 0.0, rung_now());
    rung_event(e->base.log, RUNG_WARN, "remote.down", RUNG_S("url", ep->address),
               RUNG_S("why", why.what), RUNG_D("pause_s", ep->not_before - rung_now()));
    rung_remote_move_away(e, ep);
    if (!rung_endpoints_hopeless(e)) {
        e->base.stats.n_retries++;
        return RUNG_OK;
    }
    rung_buf all;
    rung_buf_init(&all, 4096);
    rung_endpoint_reach(&all, e);
    rung_fail(err, RUNG_E_REMOTE, "%s", why.what);
    rung_error_detail(err, "given up after %d tries", ep->n_rounds);
    rung_error_hint(err, "is the server running at %s? run the same command again to go on",
                    all.failed ? ep->address : all.data);
    rung_buf_clear(&all);
    return RUNG_E_REMOTE;
}

rung_status rung_endpoints_greet(remote *e, double now, rung_error *err) {
    for (int32_t i = 0; i < e->n_ep; i++) {
        endpoint *ep = &e->ep[i];
        bool due = ep->state == ENDPOINT_NEW || ep->state == ENDPOINT_DOWN;
        if (!due || ep->not_before > now || ep->greeting.curl) continue;
        double s = e->opts.timeout_s < HELLO_S ? e->opts.timeout_s : HELLO_S;
        RUNG_TRY(rung_remote_ask(e, &ep->greeting, ep->models_url, s, err));
        ep->greeting_props = false;
        ep->hello = (wire_hello){0};
        ep->state = ENDPOINT_GREETING;
    }
    return RUNG_OK;
}

rung_status rung_endpoints_check(remote *e, double now, rung_error *err) {
    double patience = SILENT * e->opts.timeout_s;
    if (patience > SILENT_S) patience = SILENT_S;
    for (int32_t i = 0; i < e->n_ep; i++) {
        endpoint *ep = &e->ep[i];
        if (ep->state != ENDPOINT_UP || ep->n_active == 0 || now - ep->heard < patience ||
            ep->greeting.curl || !rung_endpoint_others_up(e, ep)) {
            continue;
        }
        RUNG_TRY(rung_remote_ask(e, &ep->greeting, ep->models_url, HELLO_S, err));
        ep->checking = true;
    }
    return RUNG_OK;
}

rung_status rung_endpoint_greeted(remote *e, endpoint *ep, CURLcode rc, rung_error *err) {
    request *r = &ep->greeting;
    long code = rung_remote_code(r, rc);
    if (ep->checking && code > 0) { /* slow, but there */
        rung_remote_end(e, r);
        ep->checking = false;
        ep->heard = rung_now();
        return RUNG_OK;
    }
    bool gateway = code == 502 || code == 503 || code == 504; /* nobody behind it, or loading */
    if (!ep->greeting_props && (code == 0 || gateway)) return not_there(e, ep, rc, err);
    const char *reply = r->reply.data ? r->reply.data : "";
    if (code == 200 && !ep->greeting_props) rung_wire_models(&ep->hello, reply, r->reply.n);
    if (code == 200 && ep->greeting_props) rung_wire_props(&ep->hello, reply, r->reply.n);
    rung_remote_end(e, r);
    const wire_dialect *d = ep->hello.dialect;
    if (!ep->greeting_props && (!d || d->any_model)) {
        ep->greeting_props = true;
        return rung_remote_ask(e, r, ep->props_url, HELLO_S, err);
    }
    return learned(e, ep, err);
}
