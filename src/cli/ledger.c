/* What an engine did and, of a remote one, what it cost: said at the end, kept with the run. */
#include "cli/session.h"

#include <stdio.h>
#include <string.h>

static rung_endpoint_stats sums(const rung_engine *e) {
    rung_endpoint_stats all = {.url = ""}, one;
    for (size_t i = 0; rung_engine_endpoint(&one, e, i); i++) {
        all.n_requests += one.n_requests;
        all.n_replies += one.n_replies;
        all.n_choices += one.n_choices;
        all.n_moved += one.n_moved;
        all.prompt_tok += one.prompt_tok;
        all.cached_tok += one.cached_tok;
        all.completion_tok += one.completion_tok;
        all.n_no_usage += one.n_no_usage;
        all.cost += one.cost;
        for (int k = 0; k < RUNG_REMOTE_FAILURE_COUNT; k++) all.n_failures[k] += one.n_failures[k];
    }
    return all;
}

/* "2 timeout, 1 busy" */
static void failures_text(char *buf, size_t n_buf, const rung_endpoint_stats *s) {
    size_t at = 0;
    buf[0] = 0;
    for (int k = 0; k < RUNG_REMOTE_FAILURE_COUNT && at < n_buf; k++) {
        if (!s->n_failures[k]) continue;
        int n =
            snprintf(buf + at, n_buf - at, "%s%lld %s", at ? ", " : "", (long long)s->n_failures[k],
                     rung_remote_failure_name((rung_remote_failure)k));
        at += n > 0 ? (size_t)n : 0;
    }
}

static void say_endpoint(cli_app *app, const rung_endpoint_stats *s) {
    char failed[200];
    failures_text(failed, sizeof failed, s);
    cli_say(app,
            "  %s (%s, %s): %lld replies of %lld requests, %lld samples, at most %d at once%s%s",
            s->url, s->dialect, s->state, (long long)s->n_replies, (long long)s->n_requests,
            (long long)s->n_choices, s->window_max, *failed ? "; failed: " : "", failed);
}

static void say_remote(cli_app *app, const cli_engine *e, const rung_engine_stats *g) {
    rung_endpoint_stats all = sums(e->engine), one;
    cli_say(app, "remote: %lld requests, %lld retries, %lld moved, %lld replies from the store",
            (long long)all.n_requests, (long long)g->n_retries, (long long)all.n_moved,
            (long long)g->n_cache_hits);
    for (size_t i = 0; rung_engine_endpoint(&one, e->engine, i); i++) say_endpoint(app, &one);
    if (all.n_replies == 0) return;
    const char *least = all.n_no_usage ? "at least " : "";
    cli_say(app, "ledger: %s%lld prompt tokens (%lld cached), %lld written; cost %s%.6g", least,
            (long long)all.prompt_tok, (long long)all.cached_tok, (long long)all.completion_tok,
            least, all.cost);
}

void cli_exact_cost(cli_call *c, const rung_engine *e) {
    rung_engine_stats s;
    if (!e) return;
    rung_engine_get_stats(&s, e);
    if (!(s.exact_fast_s > 0.0)) return;
    double cost = s.decode_s / s.exact_fast_s - 1.0;
    cli_say(c->app,
            "exact mode: %+.1f%% of computing time, measured on this work (%.1f s for %.1f)",
            100.0 * cost, s.decode_s, s.exact_fast_s);
}

static void exact_result(cli_call *c, const rung_engine *e) {
    rung_engine_stats s;
    if (!e) return;
    rung_engine_get_stats(&s, e);
    if (s.exact_fast_s > 0.0) cli_result_real(c, "exact_cost", s.decode_s / s.exact_fast_s - 1.0);
}

void cli_engine_stats(cli_call *c, const cli_engine *e) {
    rung_engine_stats s;
    if (!e->engine) return;
    rung_engine_get_stats(&s, e->engine);
    if (s.n_generated + s.n_prompt_new + s.n_requests + s.n_retries + s.n_cache_hits == 0) return;
    cli_say(c->app,
            "engine: %lld tokens written, %lld prompt tokens read, %lld forked, %.0f tokens/s",
            (long long)s.n_generated, (long long)s.n_prompt_new, (long long)s.n_prompt_forked,
            s.wall_s > 0 ? (double)s.n_generated / s.wall_s : 0.0);
    cli_exact_cost(c, e->engine);
    if (!e->model) say_remote(c->app, e, &s);
}

static void put_failures(rung_buf *b, const rung_endpoint_stats *s) {
    bool any = false;
    rung_buf_str(b, ",\"failures\":{");
    for (int k = 0; k < RUNG_REMOTE_FAILURE_COUNT; k++) {
        if (!s->n_failures[k]) continue;
        rung_buf_printf(b, "%s\"%s\":%lld", any ? "," : "",
                        rung_remote_failure_name((rung_remote_failure)k),
                        (long long)s->n_failures[k]);
        any = true;
    }
    rung_buf_str(b, "}");
}

static void put_counts(rung_buf *b, const rung_endpoint_stats *s) {
    rung_buf_printf(b,
                    "\"requests\":%lld,\"replies\":%lld,\"samples\":%lld,\"moved\":%lld,"
                    "\"prompt_tokens\":%lld,\"cached_tokens\":%lld,\"completion_tokens\":%lld,"
                    "\"replies_without_usage\":%lld,\"cost\":%.9g",
                    (long long)s->n_requests, (long long)s->n_replies, (long long)s->n_choices,
                    (long long)s->n_moved, (long long)s->prompt_tok, (long long)s->cached_tok,
                    (long long)s->completion_tok, (long long)s->n_no_usage, s->cost);
    put_failures(b, s);
}

static void put_name(rung_buf *b, const char *key, const char *value) {
    rung_buf_printf(b, "\"%s\":", key);
    rung_buf_json_str(b, value, strlen(value));
    rung_buf_str(b, ",");
}

static bool asked(const cli_engine *e, rung_engine_stats *g) {
    if (!e->engine || e->model) return false;
    rung_engine_get_stats(g, e->engine);
    return g->n_requests + g->n_retries > 0;
}

rung_status cli_ledger_keep(cli_call *c, const cli_engine *e, const rung_run *run, rung_status st,
                            rung_error *err) {
    rung_engine_stats g;
    rung_endpoint_stats one;
    if (!asked(e, &g) || run->id <= 0) return st;
    rung_endpoint_stats all = sums(e->engine);
    rung_buf b;
    rung_buf_init(&b, 1u << 20);
    rung_buf_printf(&b,
                    "{\"v\":1,\"ended_ms\":%lld,\"wall_s\":%.3f,\"retries\":%lld,"
                    "\"replies_from_store\":%lld,\"price_in\":%.9g,\"price_cached\":%.9g,"
                    "\"price_out\":%.9g,",
                    (long long)rung_unix_ms(), g.wall_s, (long long)g.n_retries,
                    (long long)g.n_cache_hits, cli_real(c, "price-in"), cli_real(c, "price-cached"),
                    cli_real(c, "price-out"));
    put_counts(&b, &all);
    rung_buf_str(&b, ",\"endpoints\":[");
    for (size_t i = 0; rung_engine_endpoint(&one, e->engine, i); i++) {
        rung_buf_str(&b, i ? ",{" : "{");
        put_name(&b, "url", one.url);
        put_name(&b, "model", one.model);
        put_name(&b, "dialect", one.dialect);
        put_name(&b, "state", one.state);
        rung_buf_printf(&b, "\"busy_s\":%.3f,\"at_once\":%d,", one.busy_s, one.window_max);
        put_counts(&b, &one);
        rung_buf_str(&b, "}");
    }
    rung_buf_str(&b, "]}");
    rung_error *told = st == RUNG_OK ? err : NULL; /* the first failure is told */
    rung_status kept = rung_buf_check(&b, told);
    if (kept == RUNG_OK) kept = rung_result_put(c->app->store, run->id, "ledger", b.data, told);
    rung_buf_clear(&b);
    return st == RUNG_OK ? kept : st;
}

void cli_ledger_result(cli_call *c, const cli_engine *e) {
    rung_engine_stats g;
    exact_result(c, e->engine);
    if (!asked(e, &g)) return;
    rung_endpoint_stats all = sums(e->engine);
    rung_buf_printf(&c->result, ",\"remote\":{\"retries\":%lld,", (long long)g.n_retries);
    put_counts(&c->result, &all);
    rung_buf_str(&c->result, "}");
}
