/* Counters, and their text for Prometheus. */
#include "serve/serve_impl.h"

#include <stdio.h>
#include <string.h>

static const double bucket[SERVE_BUCKETS] = {.005, .01, .025, .05, .1, .25, .5,
                                             1,    2.5, 5,    10,  30, 60,  300};

void serve_histogram_add(serve_histogram *h, double seconds) {
    int k = 0;
    while (k < SERVE_BUCKETS && seconds > bucket[k]) k++;
    h->n[k]++;
    h->sum += seconds;
}

void serve_count(serve *s, const serve_request *r) {
    size_t i = 31; /* no route */
    int c = r->status / 100;
    for (size_t k = 0; r->route && serve_route_at(k) && k < 31; k++)
        if (serve_route_at(k) == r->route) i = k;
    s->m.requests[i][c >= 1 && c <= 5 ? c : 0]++;
    if (r->route && r->route->role != SERVE_LOCAL)
        serve_histogram_add(&s->m.latency, rung_now() - r->t0);
}

static void head(rung_buf *b, const char *name, const char *type, const char *help) {
    rung_buf_printf(b, "# HELP rung_%s %s\n# TYPE rung_%s %s\n", name, help, name, type);
}

static void one(rung_buf *b, const char *name, const char *type, const char *help, double v) {
    head(b, name, type, help);
    rung_buf_printf(b, "rung_%s %.15g\n", name, v);
}

static void histogram(rung_buf *b, const char *name, const char *help, const serve_histogram *h) {
    int64_t n = 0;
    head(b, name, "histogram", help);
    for (int k = 0; k < SERVE_BUCKETS; k++) {
        n += h->n[k];
        rung_buf_printf(b, "rung_%s_bucket{le=\"%g\"} %lld\n", name, bucket[k], (long long)n);
    }
    n += h->n[SERVE_BUCKETS];
    rung_buf_printf(b, "rung_%s_bucket{le=\"+Inf\"} %lld\nrung_%s_sum %.6f\nrung_%s_count %lld\n",
                    name, (long long)n, name, h->sum, name, (long long)n);
}

static void by_route(rung_buf *b, const serve_metrics *m) {
    head(b, "requests_total", "counter", "requests by path and status class");
    for (size_t i = 0; i < 32; i++)
        for (int c = 0; c < 6; c++) {
            const serve_route *r = i < 31 ? serve_route_at(i) : NULL;
            if (m->requests[i][c])
                rung_buf_printf(b, "rung_requests_total{path=\"%s\",status=\"%dxx\"} %lld\n",
                                r ? r->path : "", c, (long long)m->requests[i][c]);
        }
}

static void by_role(rung_buf *b, const serve *s) {
    static const char *const role[] = {"model", "verify"};
    head(b, "queue_requests", "gauge", "requests that wait for a worker");
    for (int k = 0; k < SERVE_N_ROLES; k++)
        rung_buf_printf(b, "rung_queue_requests{worker=\"%s\"} %d\n", role[k],
                        s->worker[k].n_queue);
    head(b, "active_requests", "gauge", "requests at a worker");
    for (int k = 0; k < SERVE_N_ROLES; k++)
        rung_buf_printf(b, "rung_active_requests{worker=\"%s\"} %d\n", role[k],
                        s->worker[k].n_sent);
    head(b, "worker_starts_total", "counter", "starts of a worker: more than one are restarts");
    for (int k = 0; k < SERVE_N_ROLES; k++)
        rung_buf_printf(b, "rung_worker_starts_total{worker=\"%s\"} %lld\n", role[k],
                        (long long)s->worker[k].n_starts);
    head(b, "worker_ready", "gauge", "1: it takes requests");
    for (int k = 0; k < SERVE_N_ROLES; k++)
        rung_buf_printf(b, "rung_worker_ready{worker=\"%s\"} %d\n", role[k], s->worker[k].ready);
}

void serve_metrics_text(serve_request *r, const char *path) {
    serve *s = r->s;
    rung_buf *b = &r->out;
    (void)path;
    const serve_metrics *m = &s->m;
    const serve_gauge *g = &s->worker[SERVE_MODEL].gauge;
    by_route(b, m);
    by_role(b, s);
    histogram(b, "request_seconds", "from the header to the last byte", &m->latency);
    histogram(b, "first_byte_seconds", "from the header to the worker's first byte", &m->first);
    one(b, "prompt_tokens_total", "counter", "tokens of prompts", (double)m->prompt_tok);
    one(b, "generated_tokens_total", "counter", "tokens drawn, judges' too", (double)m->gen_tok);
    one(b, "scored_tokens_total", "counter", "tokens that reward models were asked about",
        (double)m->scored_tok);
    one(b, "searches_total", "counter", "requests answered by a search", (double)m->n_searches);
    one(b, "clients_gone_total", "counter", "clients that left before their reply",
        (double)m->n_gone);
    one(b, "refused_total", "counter", "requests refused because the queue was full",
        (double)m->n_refused);
    one(b, "expired_total", "counter", "requests ended by the server at their deadline",
        (double)m->n_expired);
    one(b, "stopped_total", "counter", "replies cut short at their deadline", (double)m->n_stopped);
    one(b, "connections", "gauge", "open connections", s->n_conns);
    one(b, "connections_evicted_total", "counter", "idle connections closed to make room",
        (double)m->n_evicted_conns);
    one(b, "connections_slow_total", "counter", "connections closed because they were slow",
        (double)m->n_slow_conns);
    one(b, "engine_decode_calls_total", "counter", "calls of the model, since the worker began",
        (double)g->n_decode_calls);
    one(b, "engine_generated_tokens_total", "counter", "tokens drawn, since the worker began",
        (double)g->n_generated);
    one(b, "engine_prompt_tokens_computed_total", "counter", "prompt tokens computed",
        (double)g->n_prompt_new);
    one(b, "engine_prompt_tokens_cached_total", "counter", "prompt tokens taken from the cache",
        (double)g->n_prompt_forked);
    one(b, "engine_evictions_total", "counter", "cached texts given up", (double)g->n_evicted);
    one(b, "engine_decode_seconds_total", "counter", "seconds in the model", g->decode_s);
    one(b, "engine_cache_bytes", "gauge", "bytes of the cells of the cache", (double)g->kv_bytes);
    one(b, "uptime_seconds", "gauge", "since the server began", rung_now() - s->begun);
    serve_answer(r, 200, "text/plain; version=0.0.4; charset=utf-8");
}
