/* The remote backend: the queue, retries, the reply cache.
 *
 * A failure of the line or the server (no connection, time-out, cut or broken reply, 408, 425, 429,
 * 5xx) is tried again: at once on another endpoint, on the same one after backoff * 2^k * (0.5 ..
 * 1.5) and not before what Retry-After asks; other answers are final. "Busy" (429, 503) is no try
 * of the request while the endpoint answers others, and no connection never is. A reply with fewer
 * choices than asked for is taken and the rest asked for anew; an endpoint that refuses n > 1 is
 * asked for half as many, one that ignores it for one at a time. Seeds go by sample, so none of
 * this changes what a server that honours seeds returns. Replies are kept under the hash of
 * address, model, body and samples: a run that is repeated after a crash pays for nothing twice. */
#include "model/remote.h"

#include <string.h>

#define BACKOFF_S     0.5
#define PAUSE_S_MAX   60.0  /* between two tries, unless the server asks for more ... */
#define RETRY_AFTER_S 600.0 /* ... up to this */
#define WAIT_S        0.5   /* the longest that the loop sleeps */
#define ROUND_S       0.02  /* ... when somebody wants to be asked for more work */

static rung_status no_memory(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "no memory to queue a request");
}

static void unref(remote_job *j) {
    if (--j->n_left > 0) return;
    for (size_t k = 0; k < sizeof j->text / sizeof *j->text; k++) rung_free(j->text[k]);
    for (int32_t i = 0; j->turn && i < j->gen.n_turns; i++) {
        rung_free((void *)(uintptr_t)j->turn[i].user);
        rung_free((void *)(uintptr_t)j->turn[i].reply);
    }
    rung_free(j->turn);
    rung_free(j->bias);
    rung_free(j->grammar);
    rung_free(j);
}

static void request_free(remote *e, request *r) {
    rung_remote_end(e, r);
    rung_buf_clear(&r->body);
    rung_buf_clear(&r->reply);
    unref(r->job);
    rung_free(r);
}

static void enqueue(remote *e, request *r) {
    r->next = NULL;
    *e->tail = r;
    e->tail = &r->next;
}

/* In front of the others: it has waited before. */
static void enqueue_first(remote *e, request *r) {
    e->n_again += r->failed_on != NULL;
    r->next = e->waiting;
    if (!e->waiting) e->tail = &r->next;
    e->waiting = r;
}

static request *new_request(remote *e, remote_job *j, int32_t i, int32_t n) {
    request *r = rung_calloc(1, sizeof *r);
    if (!r) return NULL;
    r->job = j;
    r->i = i;
    r->n = n;
    rung_buf_init(&r->body, (size_t)1 << 27);
    rung_buf_init(&r->reply, 1);
    j->n_left++;
    enqueue(e, r);
    return r;
}

static void unlink_waiting(remote *e, request *r) {
    request **p = &e->waiting;
    while (*p != r) p = &(*p)->next;
    *p = r->next;
    if (e->tail == &r->next) e->tail = p;
    r->next = NULL;
    e->n_again -= r->failed_on != NULL;
}

static void link_active(remote *e, request *r) {
    r->next = e->active;
    e->active = r;
    e->n_active++;
    rung_endpoint_took(r->ep, r, rung_now());
}

static void unlink_active(remote *e, request *r) {
    request **p = &e->active;
    while (*p != r) p = &(*p)->next;
    *p = r->next;
    r->next = NULL;
    e->n_active--;
    rung_endpoint_gave(r->ep, r, rung_now());
}

static rung_status copy_turns(remote_job *j, const rung_gen *g, rung_error *err) {
    j->gen.turn = NULL;
    if (g->n_turns == 0) return RUNG_OK;
    j->turn = rung_calloc((size_t)g->n_turns, sizeof *j->turn);
    if (!j->turn) return no_memory(err);
    j->gen.turn = j->turn;
    for (int32_t i = 0; i < g->n_turns; i++) {
        j->turn[i].user = rung_strdup(g->turn[i].user);
        j->turn[i].reply = rung_strdup(g->turn[i].reply);
        if (!j->turn[i].user || !j->turn[i].reply) return no_memory(err);
        j->home = rung_hash64(g->turn[i].user, strlen(g->turn[i].user), j->home);
    }
    return RUNG_OK;
}

static rung_status copy_job(remote_job *j, const rung_gen *g, rung_error *err) {
    const char *from[7] = {g->prompt.system, g->prompt.user, g->prompt.prefix};
    j->gen = *g;
    j->gen.skip = NULL;
    if (g->sampling.n_bias > 0) {
        size_t n = (size_t)g->sampling.n_bias * sizeof *j->bias;
        j->bias = rung_alloc(n);
        if (!j->bias) return no_memory(err);
        memcpy(j->bias, g->sampling.bias, n);
        j->gen.sampling.bias = j->bias;
    }
    if (g->sampling.grammar) {
        j->grammar = rung_strdup(g->sampling.grammar);
        if (!j->grammar) return no_memory(err);
        j->gen.sampling.grammar = j->grammar;
    }
    for (int k = 0; k < 4 && g->stop[k]; k++) from[3 + k] = g->stop[k];
    for (int k = 0; k < 7; k++) {
        if (!from[k]) continue;
        j->text[k] = rung_strdup(from[k]);
        if (!j->text[k]) return no_memory(err);
        if (k < 2) j->home = rung_hash64(from[k], strlen(from[k]), j->home);
    }
    j->gen.prompt = (rung_prompt){j->text[0], j->text[1], j->text[2]};
    for (int k = 0; k < 4; k++) j->gen.stop[k] = j->text[3 + k];
    return copy_turns(j, g, err);
}

static rung_status remote_gen(rung_engine *base, const rung_gen *g, rung_error *err) {
    remote *e = (remote *)base;
    remote_job *j = rung_calloc(1, sizeof *j);
    if (!j) return no_memory(err);
    rung_status st = copy_job(j, g, err);
    j->n_left = 1; /* ours while requests are made */
    for (int32_t i = 0; st == RUNG_OK && i < g->n;) {
        int32_t end = i;
        while (end < g->n && !(g->skip && g->skip[end])) end++;
        if (end > i && !new_request(e, j, i, end - i)) st = no_memory(err);
        i = end + 1;
    }
    unref(j);
    return st;
}

/* The choices are the samples from r->i on: report those that came, ask again for the others. */
static rung_status deliver(remote *e, request *r, wire_choice *c, rung_error *err) {
    rung_status st = RUNG_OK;
    for (int32_t k = 0; k < r->n && st == RUNG_OK; k++) {
        if (!c[k].text) {
            int32_t end = k;
            while (end < r->n && !c[end].text) end++;
            if (!new_request(e, r->job, r->i + k, end - k)) return no_memory(err);
            k = end - 1;
            continue;
        }
        rung_gen_out o = {.ud = r->job->gen.ud,
                          .i = r->job->gen.i0 + r->i + k,
                          .text = c[k].text,
                          .n_bytes = (int32_t)c[k].n_bytes,
                          .logprob = c[k].logprob,
                          .n_tok = c[k].n_tok,
                          .stop = c[k].stop,
                          .end_tok = -1};
        e->base.stats.n_generated += c[k].n_tok;
        if (e->cb->on_gen) st = e->cb->on_gen(e->cb->ud, &o, err);
    }
    return st;
}

/* *readable = false: the reply cannot be used and nothing was delivered. */
static rung_status take_reply(bool *readable, remote *e, request *r, const char *reply, size_t n,
                              bool keep, rung_error *err) {
    *readable = true;
    wire_choice *c = rung_calloc((size_t)r->n, sizeof *c);
    if (!c) return no_memory(err);
    wire_usage u;
    rung_status st = rung_wire_reply(c, &u, reply, n, &r->job->gen, r->ep->dialect, r->n, err);
    if (st == RUNG_E_FORMAT) *readable = false;
    if (st == RUNG_OK) {
        int64_t n_got = 0;
        for (int32_t k = 0; k < r->n; k++) n_got += c[k].text != NULL;
        if (keep) rung_endpoint_good(r->ep, r, n_got, &u, rung_now());
        if (keep && e->opts.cache) st = rung_cache_put(e->opts.cache, r->key, reply, n, err);
        if (st == RUNG_OK) st = deliver(e, r, c, err);
        for (int32_t k = 0; k < r->n; k++) rung_wire_choice_clear(&c[k]);
    }
    rung_free(c);
    return st;
}

/* Body and key of r for its endpoint. */
static rung_status make_body(remote *e, request *r, rung_error *err) {
    const rung_gen *g = &r->job->gen;
    const endpoint *ep = r->ep;
    int32_t i = g->i0 + r->i;
    rung_buf_reset(&r->body);
    RUNG_TRY(
        rung_wire_body(&r->body, g, ep->dialect, ep->model, e->opts.completions, i, r->n, err));
    rung_buf b;
    rung_buf_init(&b, (size_t)1 << 28);
    rung_buf_printf(&b, "%s\n%lld\n%d\n%d\n", ep->url, (long long)ep->hello.size, i, i + r->n);
    rung_buf_append(&b, r->body.data, r->body.n);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) rung_hash_hex(r->key, b.data, b.n);
    rung_buf_clear(&b);
    return st;
}

/* A kept reply of any of the endpoints will do: they serve one model. */
static rung_status from_cache(remote *e, request *r, bool *found, rung_error *err) {
    *found = false;
    endpoint *chosen = r->ep;
    rung_status st = RUNG_OK;
    rung_buf b;
    rung_buf_init(&b, (size_t)1 << 27);
    for (int32_t i = 0; e->opts.cache && i < e->n_ep && st == RUNG_OK && !*found; i++) {
        r->ep = &e->ep[i];
        if (r->ep->state == ENDPOINT_NEW) continue; /* its model is not known yet */
        rung_buf_reset(&b);
        st = make_body(e, r, err);
        if (st == RUNG_OK) st = rung_cache_get(&b, found, e->opts.cache, r->key, err);
        if (st != RUNG_OK || !*found) continue;
        st = take_reply(found, e, r, b.data ? b.data : "", b.n, false, err);
        e->base.stats.n_cache_hits += *found;
        if (!*found) st = RUNG_OK; /* kept by another version: ask the server */
    }
    rung_buf_clear(&b);
    r->ep = chosen;
    if (st != RUNG_OK || *found) return st;
    return make_body(e, r, err);
}

/* A waiting request goes to the cache or onto the line to r->ep. */
static rung_status start(remote *e, request *r, endpoint *ep, rung_error *err) {
    if (ep->n_max > 0 && r->n > ep->n_max) {
        request *rest = new_request(e, r->job, r->i + ep->n_max, r->n - ep->n_max);
        if (!rest) return no_memory(err);
        r->n = ep->n_max;
    }
    unlink_waiting(e, r);
    bool found = false;
    r->ep = ep;
    rung_status st = from_cache(e, r, &found, err);
    if (st == RUNG_OK && !found) st = rung_remote_send(e, r, err);
    if (st != RUNG_OK || found) {
        request_free(e, r);
        return st;
    }
    link_active(e, r);
    return RUNG_OK;
}

static double pause_of(const remote *e, const request *r, double asked) {
    const rung_gen *g = &r->job->gen;
    rung_rng rng = rung_rng_at(g->seed, RUNG_STREAM_RETRY, g->key, (uint64_t)(g->i0 + r->i));
    double pause = e->opts.backoff_s * (0.5 + rung_rng_f64_at(&rng, (uint64_t)r->attempt));
    for (int32_t k = 0; k < r->attempt && pause < PAUSE_S_MAX; k++) pause *= 2.0;
    if (pause > PAUSE_S_MAX) pause = PAUSE_S_MAX;
    if (asked > RETRY_AFTER_S) asked = RETRY_AFTER_S;
    return pause > asked ? pause : asked;
}

static rung_status give_up(const remote *e, const request *r, const rung_error *why,
                           rung_error *err) {
    rung_buf all;
    rung_buf_init(&all, 4096);
    rung_endpoint_reach(&all, e);
    rung_fail(err, RUNG_E_REMOTE, "%s", why->what);
    rung_error_detail(err, "given up after %d tries", r->attempt + 1);
    if (why->hint[0]) {
        rung_error_hint(err, "%s", why->hint);
    } else {
        rung_error_hint(err, "is the server running at %s? run the same command again to go on",
                        all.failed ? r->ep->address : all.data);
    }
    rung_buf_clear(&all);
    return RUNG_E_REMOTE;
}

/* The endpoint is down; when it is the only one, it may still answer. */
void rung_remote_move_away(remote *e, endpoint *ep) {
    if (!rung_endpoint_others_up(e, ep)) return;
    for (request *r = e->active, *next; r; r = next) {
        next = r->next;
        if (r->ep != ep) continue;
        rung_remote_end(e, r);
        unlink_active(e, r);
        r->failed_on = ep;
        ep->stats.n_moved++;
        enqueue_first(e, r);
    }
}

/* Was this a try of the request, or only the endpoint's trouble? */
static bool is_try(request *r, rung_remote_failure kind) {
    if (kind == RUNG_REMOTE_CONNECT) return false;
    if (kind != RUNG_REMOTE_BUSY) return true;
    bool moves = r->ep->stats.n_replies > r->replies_seen && r->failed_on == r->ep;
    r->replies_seen = r->ep->stats.n_replies;
    return !moves;
}

/* After a failed try: queue it again, or give up. */
static rung_status again(remote *e, request *r, rung_remote_failure kind, double asked,
                         const rung_error *why, rung_error *err) {
    endpoint *ep = r->ep;
    double now = rung_now();
    bool down = rung_endpoint_bad(e, ep, r->sent, kind, asked, now);
    if (down) {
        rung_event(e->base.log, RUNG_WARN, "remote.down", RUNG_S("url", ep->address),
                   RUNG_S("why", why->what), RUNG_D("pause_s", ep->not_before - now));
        rung_remote_move_away(e, ep);
    }
    bool counts = is_try(r, kind);
    if (kind == RUNG_REMOTE_FINAL || rung_endpoints_hopeless(e) ||
        (counts && r->attempt >= e->opts.retries)) {
        return give_up(e, r, why, err);
    }
    double pause = pause_of(e, r, asked);
    rung_event(e->base.log, RUNG_WARN, "remote.retry", RUNG_S("why", why->what),
               RUNG_S("kind", rung_remote_failure_name(kind)), RUNG_I("attempt", r->attempt + 1),
               RUNG_D("pause_s", pause));
    r->attempt += counts;
    r->failed_on = ep;
    r->not_before = now + pause;
    e->base.stats.n_retries++;
    enqueue_first(e, r);
    return RUNG_OK;
}

/* n choices at once are too many for this endpoint: half as many from now on. */
static void fewer_at_once(remote *e, request *r) {
    endpoint *ep = r->ep;
    ep->stats.n_failures[RUNG_REMOTE_MANY]++;
    if (ep->n_max == 0 || r->n / 2 < ep->n_max) ep->n_max = r->n / 2;
    enqueue_first(e, r);
}

static rung_status finish(remote *e, request *r, CURLcode rc, rung_error *err) {
    rung_error why = RUNG_ERROR_INIT;
    rung_remote_failure kind;
    double asked;
    rung_status st = rung_remote_outcome(&asked, &kind, e, r, rc, &why);
    rung_remote_end(e, r);
    if (st == RUNG_OK) {
        bool readable;
        const char *reply = r->reply.data ? r->reply.data : "";
        st = take_reply(&readable, e, r, reply, r->reply.n, true, &why);
        if (readable) { /* delivered, or a failure of ours: the store, the callback */
            if (st != RUNG_OK && err) *err = why;
            unlink_active(e, r);
            request_free(e, r);
            return st;
        }
        kind = RUNG_REMOTE_BROKEN;
    }
    unlink_active(e, r);
    if (kind == RUNG_REMOTE_MANY) {
        fewer_at_once(e, r);
        return RUNG_OK;
    }
    st = again(e, r, kind, asked, &why, err);
    if (st != RUNG_OK) request_free(e, r);
    return st;
}

static void sooner(double *wait_s, double t, double now) {
    double wait = t > now ? t - now : 0.0;
    if (wait < *wait_s) *wait_s = wait;
}

/* Nothing is sent before every endpoint that is there has told its model. */
static bool all_greeted(const remote *e) {
    for (int32_t i = 0; i < e->n_ep; i++) {
        endpoint_state s = e->ep[i].state;
        if (!e->agreed && (s == ENDPOINT_NEW || s == ENDPOINT_GREETING)) return false;
    }
    return true;
}

/* Starts what may start; *wait_s: how long nothing can happen but on the line. */
static rung_status start_ready(remote *e, double *wait_s, rung_error *err) {
    double now = rung_now();
    *wait_s = WAIT_S;
    if (e->waiting) RUNG_TRY(rung_endpoints_greet(e, now, err));
    e->agreed = e->agreed || all_greeted(e);
    for (int32_t i = 0; i < e->n_ep; i++) {
        if (e->ep[i].not_before > now) sooner(wait_s, e->ep[i].not_before, now);
    }
    if (!e->agreed) return RUNG_OK;
    RUNG_TRY(rung_endpoints_check(e, now, err));
    request *r = e->waiting, **end = e->tail;
    while (r && rung_endpoint_any_room(e, now)) {
        bool last = &r->next == end; /* what start() queues waits for the next round */
        request *next = r->next;
        endpoint *ep = rung_endpoint_pick(e, r, now);
        if (ep) {
            RUNG_TRY(start(e, r, ep, err));
        } else {
            sooner(wait_s, r->not_before, now);
        }
        r = last ? NULL : next;
    }
    rung_endpoints_starved(e);
    if (e->waiting && rung_endpoint_any_room(e, now)) {
        for (r = e->waiting; r; r = r->next) {
            sooner(wait_s, r->failed_on ? r->not_before : now, now);
        }
    }
    return RUNG_OK;
}

static rung_status on_message(remote *e, CURLMsg *m, rung_error *err) {
    char *p = NULL;
    curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &p);
    request *r = (request *)(void *)p;
    if (r->job) return finish(e, r, m->data.result, err);
    return rung_endpoint_greeted(e, r->ep, m->data.result, err);
}

static rung_status run_all(remote *e, rung_error *err) {
    while (e->waiting || e->active || e->cb->on_round) {
        double wait_s;
        rung_status asked = e->cb->on_round ? e->cb->on_round(e->cb->ud, err) : RUNG_OK;
        if (asked == RUNG_DONE) return RUNG_OK;
        RUNG_TRY(asked);
        if (!e->waiting && !e->active) return RUNG_OK;
        RUNG_TRY(start_ready(e, &wait_s, err));
        int running = 0, left = 0;
        if (curl_multi_perform(e->multi, &running)) {
            return rung_fail(err, RUNG_E_REMOTE, "libcurl failed");
        }
        CURLMsg *m;
        bool any = false;
        while ((m = curl_multi_info_read(e->multi, &left))) {
            if (m->msg != CURLMSG_DONE) continue;
            RUNG_TRY(on_message(e, m, err));
            any = true;
        }
        RUNG_TRY(rung_engine_tick(&e->base, e->n_active, err));
        if (!any && (e->waiting || e->active)) {
            if (e->cb->on_round && wait_s > ROUND_S) wait_s = ROUND_S;
            curl_multi_poll(e->multi, NULL, 0, (int)(wait_s * 1000.0) + 1, NULL);
        }
    }
    return RUNG_OK;
}

static void remote_clear(rung_engine *base) {
    remote *e = (remote *)base;
    while (e->active) {
        request *r = e->active;
        unlink_active(e, r);
        request_free(e, r);
    }
    while (e->waiting) {
        request *r = e->waiting;
        unlink_waiting(e, r);
        request_free(e, r);
    }
}

static rung_status remote_run(rung_engine *base, const rung_engine_cb *cb, rung_error *err) {
    remote *e = (remote *)base;
    e->cb = cb;
    rung_status st = run_all(e, err);
    if (st != RUNG_OK) remote_clear(base);
    e->cb = NULL;
    return st;
}

static void remote_close(rung_engine *base) {
    remote *e = (remote *)base;
    remote_clear(base);
    rung_endpoints_clear(e);
    if (e->multi) curl_multi_cleanup(e->multi);
    for (struct curl_slist *l = e->headers; l; l = l->next) memset(l->data, 0, strlen(l->data));
    curl_slist_free_all(e->headers);
    rung_free(e->model_name);
    rung_free(e->key_env);
    rung_free(e);
}

static bool remote_endpoint(rung_endpoint_stats *out, const rung_engine *base, size_t i) {
    const remote *e = (const remote *)base;
    if (i >= (size_t)e->n_ep) return false;
    rung_remote_stats(out, e, &e->ep[i]);
    return true;
}

static const engine_ops remote_ops = {.gen = remote_gen,
                                      .run = remote_run,
                                      .clear = remote_clear,
                                      .close = remote_close,
                                      .endpoint = remote_endpoint};

static rung_status open_into(remote *e, const char *urls, rung_error *err) {
    rung_engine_opts *o = &e->opts;
    if (o->retries == 0) o->retries = 5;
    if (o->timeout_s <= 0.0) o->timeout_s = 120.0;
    if (!(o->backoff_s > 0.0)) o->backoff_s = BACKOFF_S;
    e->key_env = rung_strdup(o->api_key_env ? o->api_key_env : "RUNG_API_KEY");
    if (o->model_name) e->model_name = rung_strdup(o->model_name);
    if (!e->key_env || (o->model_name && !e->model_name)) return no_memory(err);
    RUNG_TRY(rung_endpoints_read(e, urls, err));
    static bool once;
    if (!once && curl_global_init(CURL_GLOBAL_DEFAULT)) {
        return rung_fail(err, RUNG_E_REMOTE, "libcurl could not start");
    }
    once = true;
    e->multi = curl_multi_init();
    if (!e->multi) return no_memory(err);
    return rung_remote_headers(e, err);
}

rung_status rung_engine_open_remote(rung_engine **out, const char *urls,
                                    const rung_engine_opts *opts, const rung_log *log,
                                    rung_error *err) {
    *out = NULL;
    remote *e = rung_calloc(1, sizeof *e);
    if (!e) return rung_fail(err, RUNG_E_NOMEM, "no memory for an engine");
    e->base.ops = &remote_ops;
    e->tail = &e->waiting;
    rung_engine_set_log(&e->base, log);
    rung_status st = rung_engine_opts_read(&e->opts, opts, err);
    if (st == RUNG_OK) st = open_into(e, urls, err);
    if (st != RUNG_OK) {
        remote_close(&e->base);
        return st;
    }
    *out = &e->base;
    return RUNG_OK;
}
