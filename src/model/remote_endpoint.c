/* The endpoints: reading their addresses, choosing one for a request, their health and ledger.
 *
 * A request goes where it will be done first: the least (samples out there + its own) / speed among
 * the endpoints with room in their window; the home of its prompt, where the prompts that it shares
 * a beginning with went, is taken for HOME_SHARE cheaper, because a serving engine's prefix cache
 * is worth more than a short wait. An endpoint that fails DOWN_AFTER times in a row, or refuses a
 * connection, is down; it is asked again after a pause that doubles. */
#include "model/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOME_SHARE    0.75
#define DOWN_AFTER    3
#define DOWN_S_MAX    60.0
#define RETRY_AFTER_S 600.0 /* longer pauses than this are not granted to a server */
#define WINDOW_START  8
#define WINDOW_MAX    256

/* ---- reading */

static rung_status no_memory(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "no memory for an endpoint");
}

static char *cut_word(const char *s, size_t n) {
    char *word = rung_alloc(n + 1);
    if (!word) return NULL;
    memcpy(word, s, n);
    word[n] = 0;
    return word;
}

static rung_status make_url(char **out, const char *base, const char *path, rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, 1 << 14);
    rung_status st = rung_wire_url(&b, base, path, err);
    if (st == RUNG_OK && !(*out = rung_buf_take(&b, NULL))) st = no_memory(err);
    rung_buf_clear(&b);
    return st;
}

/* /props lies at the server's root, not under /v1. */
static rung_status make_props_url(endpoint *ep, rung_error *err) {
    static const char tail[] = "/v1/models";
    size_t n = strlen(ep->models_url), k = sizeof tail - 1;
    rung_buf b;
    rung_buf_init(&b, 1 << 14);
    if (n > k && strcmp(ep->models_url + n - k, tail) == 0) n -= k;
    rung_buf_append(&b, ep->models_url, n);
    rung_buf_str(&b, "/props");
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK && !(ep->props_url = rung_buf_take(&b, NULL))) st = no_memory(err);
    rung_buf_clear(&b);
    return st;
}

static rung_status unknown_dialect(const char *name, rung_error *err) {
    char list[160];
    size_t at = 0;
    for (size_t i = 0; rung_wire_dialect_at(i) && at < sizeof list; i++) {
        int n = snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "",
                         rung_wire_dialect_at(i)->name);
        at += n > 0 ? (size_t)n : 0;
    }
    rung_fail(err, RUNG_E_INVAL, "no dialect \"%s\"", name);
    return rung_error_hint(err, "one of %s", list);
}

static rung_status set_dialect(endpoint *ep, const char *name, rung_error *err) {
    ep->dialect = rung_wire_dialect(name);
    ep->dialect_given = true;
    return ep->dialect ? RUNG_OK : unknown_dialect(name, err);
}

/* One "key=value" after '#'. */
static rung_status setting(endpoint *ep, const char *s, size_t n, rung_error *err) {
    const char *eq = memchr(s, '=', n);
    size_t k = eq ? (size_t)(eq - s) : n;
    char value[256];
    snprintf(value, sizeof value, "%.*s", eq ? (int)(n - k - 1) : 0, eq ? eq + 1 : "");
    if (eq && k == 5 && memcmp(s, "model", k) == 0 && *value) {
        rung_free(ep->model);
        ep->model = rung_strdup(value);
        ep->model_given = true;
        return ep->model ? RUNG_OK : no_memory(err);
    }
    if (eq && k == 7 && memcmp(s, "dialect", k) == 0) return set_dialect(ep, value, err);
    if (eq && k == 11 && memcmp(s, "concurrency", k) == 0) {
        char *end;
        long v = strtol(value, &end, 10);
        if (end != value && !*end && v > 0 && v <= 4096) {
            ep->cap = (int32_t)v;
            return RUNG_OK;
        }
    }
    rung_fail(err, RUNG_E_INVAL, "endpoint %s: unknown setting \"%.*s\"", ep->address, (int)n, s);
    return rung_error_hint(err,
                           "after '#': model=NAME, dialect=NAME, concurrency=N, joined by '&'");
}

static rung_status read_one(remote *e, endpoint *ep, const char *s, size_t n, rung_error *err) {
    const char *hash = memchr(s, '#', n);
    size_t n_url = hash ? (size_t)(hash - s) : n;
    rung_buf_init(&ep->greeting.body, 1);
    rung_buf_init(&ep->greeting.reply, 1);
    ep->greeting.ep = ep;
    ep->dialect = rung_wire_dialect_at(0);
    ep->cap = e->opts.concurrency > 0 ? e->opts.concurrency : WINDOW_MAX;
    ep->address = cut_word(s, n_url);
    if (!ep->address) return no_memory(err);
    if (strchr(ep->address, '@')) {
        rung_fail(err, RUNG_E_INVAL, "an endpoint's address must not hold a name or a password");
        return rung_error_hint(err, "put the key into the environment variable RUNG_API_KEY");
    }
    const char *path = e->opts.completions ? "/completions" : "/chat/completions";
    RUNG_TRY(make_url(&ep->url, ep->address, path, err));
    RUNG_TRY(make_url(&ep->models_url, ep->address, "/models", err));
    RUNG_TRY(make_props_url(ep, err));
    if (e->model_name) {
        ep->model = rung_strdup(e->model_name);
        ep->model_given = true;
        if (!ep->model) return no_memory(err);
    }
    if (e->opts.dialect && *e->opts.dialect) RUNG_TRY(set_dialect(ep, e->opts.dialect, err));
    for (size_t at = n_url + 1; at < n;) {
        const char *end = memchr(s + at, '&', n - at);
        size_t k = end ? (size_t)(end - s) - at : n - at;
        RUNG_TRY(setting(ep, s + at, k, err));
        at += k + 1;
    }
    int32_t start = ep->cap < WINDOW_START ? ep->cap : WINDOW_START;
    rung_window_init(&ep->window, start, ep->cap, rung_now());
    return RUNG_OK;
}

static rung_status no_twins(const remote *e, rung_error *err) {
    for (int32_t i = 0; i < e->n_ep; i++) {
        for (int32_t j = 0; j < i; j++) {
            if (strcmp(e->ep[i].url, e->ep[j].url) == 0) {
                return rung_fail(err, RUNG_E_INVAL, "endpoint %s is named twice", e->ep[i].address);
            }
        }
    }
    return RUNG_OK;
}

rung_status rung_endpoints_read(remote *e, const char *urls, rung_error *err) {
    static const char between[] = ", \t\r\n";
    size_t n = 0;
    for (const char *p = urls + strspn(urls, ",\r\n"); *p; p += strspn(p, between)) {
        n++;
        p += strcspn(p, ",\r\n");
    }
    if (n == 0) return rung_fail(err, RUNG_E_INVAL, "no endpoint is named");
    e->ep = rung_calloc(n, sizeof *e->ep);
    if (!e->ep) return no_memory(err);
    for (const char *p = urls + strspn(urls, ",\r\n"); *p; p += strspn(p, between)) {
        size_t k = strcspn(p, ",\r\n");
        e->n_ep++;
        RUNG_TRY(read_one(e, &e->ep[e->n_ep - 1], p, k, err));
        p += k;
    }
    return no_twins(e, err);
}

void rung_endpoints_clear(remote *e) {
    for (int32_t i = 0; i < e->n_ep; i++) {
        endpoint *ep = &e->ep[i];
        rung_remote_end(e, &ep->greeting);
        rung_buf_clear(&ep->greeting.body);
        rung_buf_clear(&ep->greeting.reply);
        rung_free(ep->address);
        rung_free(ep->url);
        rung_free(ep->models_url);
        rung_free(ep->props_url);
        rung_free(ep->model);
    }
    rung_free(e->ep);
    e->ep = NULL;
    e->n_ep = 0;
}

/* ---- choosing */

/* After it was down: one request at a time until one is answered, and of those that have failed
 * before: another new one that fails would tell less. */
static bool on_trial(const endpoint *ep) {
    return ep->n_bad >= DOWN_AFTER;
}

static bool has_room(const endpoint *ep, double now) {
    int32_t size = on_trial(ep) ? 1 : ep->window.size;
    return ep->state == ENDPOINT_UP && ep->not_before <= now && ep->n_active < size;
}

bool rung_endpoint_any_room(const remote *e, double now) {
    for (int32_t i = 0; i < e->n_ep; i++) {
        if (has_room(&e->ep[i], now)) return true;
    }
    return false;
}

/* Samples per second while it had work; 0 = not known. */
static double speed(const endpoint *ep, double now) {
    double busy = ep->stats.busy_s + (ep->n_active > 0 ? now - ep->busy_since : 0.0);
    return busy > 0.0 ? (double)ep->stats.n_choices / busy : 0.0;
}

static double fastest(const remote *e, double now) {
    double best = 0.0;
    for (int32_t i = 0; i < e->n_ep; i++) {
        double s = speed(&e->ep[i], now);
        if (s > best) best = s;
    }
    return best > 0.0 ? best : 1.0;
}

endpoint *rung_endpoint_pick(const remote *e, const request *r, double now) {
    endpoint *best = NULL;
    double least = 0.0, unknown = e->n_ep > 1 ? fastest(e, now) : 1.0;
    for (int32_t i = 0; i < e->n_ep; i++) {
        endpoint *ep = &e->ep[i];
        if (!has_room(ep, now) || (ep == r->failed_on && r->not_before > now)) continue;
        if (on_trial(ep) && !r->failed_on && e->n_again > 0) continue;
        double s = speed(ep, now);
        double cost = (double)(ep->n_out + r->n) / (s > 0.0 ? s : unknown);
        if ((int32_t)(r->job->home % (uint64_t)e->n_ep) == i) cost *= HOME_SHARE;
        if (best && (ep == r->failed_on) != (best == r->failed_on)) {
            if (ep == r->failed_on) continue; /* the other one, whatever it costs */
        } else if (best && cost >= least) {
            continue;
        }
        best = ep;
        least = cost;
    }
    return best;
}

/* ---- what became of requests */

void rung_endpoint_took(endpoint *ep, const request *r, double now) {
    if (ep->n_active++ == 0) ep->busy_since = ep->heard = now;
    ep->n_out += r->n;
    ep->stats.n_requests++;
}

void rung_endpoint_gave(endpoint *ep, const request *r, double now) {
    if (--ep->n_active == 0) ep->stats.busy_s += now - ep->busy_since;
    ep->n_out -= r->n;
}

/* A server that twice in a row gave one choice where more were asked for ignores n. */
static void learn_n(endpoint *ep, int32_t n, int64_t n_got) {
    if (n < 2) return;
    ep->n_lone = n_got == 1 ? ep->n_lone + 1 : 0;
    if (ep->n_lone == 2) ep->n_max = 1;
}

void rung_endpoint_good(endpoint *ep, const request *r, int64_t n_got, const wire_usage *u,
                        double now) {
    rung_endpoint_stats *s = &ep->stats;
    int64_t n = n_got < r->n ? n_got : r->n;
    ep->n_bad = ep->n_rounds = 0;
    s->n_replies++;
    s->n_choices += n;
    s->n_failures[RUNG_REMOTE_FEWER] += n < r->n;
    s->prompt_tok += u->prompt_tok;
    s->cached_tok += u->cached_tok;
    s->completion_tok += u->completion_tok;
    s->n_no_usage += !u->known;
    learn_n(ep, r->n, n_got);
    double work = u->completion_tok > 0 ? (double)u->completion_tok : (double)n;
    rung_window_done(&ep->window, now, work, !ep->starved);
    ep->heard = now;
}

static double pause_after(const remote *e, const endpoint *ep) {
    double pause = e->opts.backoff_s;
    for (int32_t k = 1; k < ep->n_rounds && pause < DOWN_S_MAX; k++) pause *= 2.0;
    return pause < DOWN_S_MAX ? pause : DOWN_S_MAX;
}

bool rung_endpoint_bad(remote *e, endpoint *ep, double sent, rung_remote_failure kind, double pause,
                       double now) {
    ep->stats.n_failures[kind]++;
    if (kind != RUNG_REMOTE_TIMEOUT) ep->heard = now;
    if (kind == RUNG_REMOTE_BUSY || kind == RUNG_REMOTE_TIMEOUT) {
        rung_window_cut(&ep->window, now, sent);
    }
    if (kind == RUNG_REMOTE_BUSY) { /* it is there, it wants to be left alone */
        if (pause > RETRY_AFTER_S) pause = RETRY_AFTER_S;
        if (now + pause > ep->not_before) ep->not_before = now + pause;
        return false;
    }
    if (kind == RUNG_REMOTE_FINAL || kind == RUNG_REMOTE_MANY) return false;
    if (ep->state == ENDPOINT_GREETING || sent < ep->up_t) return false; /* an old story */
    if (sent >= ep->bad_t) ep->n_rounds++;
    ep->bad_t = now;
    ep->n_bad++;
    if (ep->n_bad < DOWN_AFTER && kind != RUNG_REMOTE_CONNECT) return false;
    if (ep->n_bad < DOWN_AFTER) ep->n_bad = DOWN_AFTER;
    double until = now + pause_after(e, ep);
    if (until > ep->not_before) ep->not_before = until;
    bool was_up = ep->state != ENDPOINT_DOWN;
    ep->state = ENDPOINT_DOWN;
    rung_window_init(&ep->window, 1, ep->cap, now);
    return was_up;
}

void rung_endpoints_starved(remote *e) {
    for (int32_t i = 0; i < e->n_ep; i++) {
        e->ep[i].starved = e->ep[i].n_active < e->ep[i].window.size;
    }
}

bool rung_endpoint_others_up(const remote *e, const endpoint *but) {
    for (int32_t i = 0; i < e->n_ep; i++) {
        if (&e->ep[i] != but && e->ep[i].state == ENDPOINT_UP && e->ep[i].n_bad == 0) return true;
    }
    return false;
}

bool rung_endpoints_hopeless(const remote *e) {
    for (int32_t i = 0; i < e->n_ep; i++) {
        if (e->ep[i].n_rounds <= e->opts.retries) return false;
    }
    return true;
}

void rung_endpoint_reach(rung_buf *out, const remote *e) {
    for (int32_t i = 0; i < e->n_ep; i++) {
        rung_buf_printf(out, "%s%s", i ? ", " : "", e->ep[i].address);
    }
}

/* ---- the ledger */

const char *rung_remote_failure_name(rung_remote_failure f) {
    static const char *const names[] = {
#define X(id, name, help) name,
        RUNG_REMOTE_FAILURES(X)
#undef X
    };
    return (unsigned)f < RUNG_REMOTE_FAILURE_COUNT ? names[f] : "?";
}

void rung_remote_stats(rung_endpoint_stats *out, const remote *e, const endpoint *ep) {
    static const char *const states[] = {"new", "new", "up", "down"};
    const rung_engine_opts *o = &e->opts;
    double cached = o->price_cached > 0.0 ? o->price_cached : o->price_in;
    *out = ep->stats;
    out->url = ep->address;
    out->model = ep->model ? ep->model : "";
    out->dialect = ep->dialect->name;
    out->state =
        states[ep->state == ENDPOINT_GREETING && ep->n_bad > 0 ? ENDPOINT_DOWN : ep->state];
    out->window = ep->window.size;
    out->window_max = ep->window.top;
    if (ep->n_active > 0) out->busy_s += rung_now() - ep->busy_since;
    out->cost = ((double)(out->prompt_tok - out->cached_tok) * o->price_in +
                 (double)out->cached_tok * cached + (double)out->completion_tok * o->price_out) /
                1e6;
}
