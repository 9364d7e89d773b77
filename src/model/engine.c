/* rung_engine: checks that both backends share, then the backend. */
#include "model/engine.h"
#include "model/sampler.h"

#include <string.h>

#define TICK_S 0.5

rung_status rung_engine_opts_read(rung_engine_opts *out, const rung_engine_opts *in,
                                  rung_error *err) {
    *out = (rung_engine_opts)RUNG_ENGINE_OPTS_INIT;
    if (!in) return RUNG_OK;
    if (in->struct_size > sizeof *out) {
        return rung_fail(err, RUNG_E_INVAL, "rung_engine_opts is of a newer version");
    }
    memcpy(out, in, in->struct_size);
    if (out->n_threads < 0 || out->n_seq < 0 || out->n_ctx < 0 || out->n_batch < 0 ||
        out->concurrency < 0 || out->retries < 0 || out->max_bytes < 0 ||
        !(out->timeout_s >= 0.0) || !(out->price_in >= 0.0) || !(out->price_cached >= 0.0) ||
        !(out->price_out >= 0.0)) {
        return rung_fail(err, RUNG_E_INVAL, "an engine option is negative");
    }
    return RUNG_OK;
}

void rung_engine_set_log(rung_engine *e, const rung_log *log) {
    if (!log) return;
    e->log_copy = *log;
    e->log = &e->log_copy;
}

rung_status rung_engine_tick(rung_engine *e, int64_t n_live, rung_error *err) {
    double now = rung_now();
    if (now - e->last_tick < TICK_S) return RUNG_OK;
    e->last_tick = now;
    int stop = rung_event(e->log, RUNG_PROGRESS, "engine.progress", RUNG_I("n_live", n_live),
                          RUNG_I("n_generated", e->stats.n_generated),
                          RUNG_I("n_prompt_new", e->stats.n_prompt_new));
    return stop ? rung_fail(err, RUNG_E_CANCELLED, "cancelled while sampling") : RUNG_OK;
}

void rung_engine_close(rung_engine *e) {
    if (e) e->ops->close(e);
}

const rung_model *rung_engine_model(const rung_engine *e) {
    return e->model;
}

rung_status rung_engine_gen(rung_engine *e, const rung_gen *g, rung_error *err) {
    if (g->n < 0 || g->i0 < 0 || g->max_tok < 1) {
        return rung_fail(err, RUNG_E_INVAL, "n %d, i0 %d, max_tok %d: out of range", g->n, g->i0,
                         g->max_tok);
    }
    if (g->n_stop_tok < 0 || g->n_stop_tok > RUNG_STOP_TOK_MAX)
        return rung_fail(err, RUNG_E_INVAL, "%d stop tokens: not in 0..%d", g->n_stop_tok,
                         RUNG_STOP_TOK_MAX);
    if (g->n_top < 0 || g->n_top > RUNG_TOP_MAX || g->n_turns < 0 ||
        (g->prompt_tok && g->n_prompt_tok < 1))
        return rung_fail(err, RUNG_E_INVAL,
                         "%d likeliest tokens, %d turns, %d tokens: out of range", g->n_top,
                         g->n_turns, g->n_prompt_tok);
    if (!e->model && (g->prompt_tok || g->n_top || g->spread)) {
        rung_fail(err, RUNG_E_INVAL, "an endpoint takes text and tells one token of a place");
        return rung_error_hint(err, "use a local model");
    }
    if (!e->model && (g->n_stop_tok || g->stop_fn)) {
        rung_fail(err, RUNG_E_INVAL, "an endpoint stops at strings only");
        return rung_error_hint(err, "give stop strings, or use a local model");
    }
    RUNG_TRY(rung_sampling_check(&g->sampling, err));
    return e->ops->gen(e, g, err);
}

rung_status rung_engine_eval(rung_engine *e, const rung_eval *v, rung_error *err) {
    if (!e->ops->eval) {
        rung_fail(err, RUNG_E_INVAL, "a remote endpoint gives no hidden states or logits");
        return rung_error_hint(err, "score with a local model");
    }
    if (v->n_tok < 1 || v->n_at < 0 || (v->n_at == 0 && !v->logprobs)) {
        return rung_fail(err, RUNG_E_INVAL,
                         "evaluation of %d tokens at %d positions asks for nothing", v->n_tok,
                         v->n_at);
    }
    if (v->n_top < 0 || v->n_top > RUNG_TOP_MAX || (v->n_top > 0 && !v->logprobs))
        return rung_fail(err, RUNG_E_INVAL, "%d likeliest tokens: not in 0..%d, or no logprobs",
                         v->n_top, RUNG_TOP_MAX);
    if (v->from < 0 || v->from >= v->n_tok) {
        return rung_fail(err, RUNG_E_INVAL, "logprobs after token %d of %d", v->from, v->n_tok);
    }
    for (int32_t i = 0; i < v->n_at; i++) {
        if (v->at[i] < 0 || v->at[i] >= v->n_tok || (i > 0 && v->at[i] <= v->at[i - 1])) {
            return rung_fail(err, RUNG_E_INVAL,
                             "position %d (number %d) is not ascending in [0, %d)", v->at[i], i,
                             v->n_tok);
        }
    }
    return e->ops->eval(e, v, err);
}

rung_status rung_engine_run(rung_engine *e, const rung_engine_cb *cb, rung_error *err) {
    if (e->running) return rung_fail(err, RUNG_E_MISUSE, "rung_engine_run called from a callback");
    double t0 = rung_now();
    e->running = true;
    rung_status st = e->ops->run(e, cb, err);
    e->running = false;
    e->stats.wall_s += rung_now() - t0;
    return st;
}

int32_t rung_engine_cancel(rung_engine *e, const void *ud) {
    return e->ops->cancel ? e->ops->cancel(e, ud) : 0;
}

void rung_engine_clear(rung_engine *e) {
    if (!e->running) e->ops->clear(e);
}

void rung_engine_get_stats(rung_engine_stats *out, const rung_engine *e) {
    *out = e->stats;
}

bool rung_engine_endpoint(rung_endpoint_stats *out, const rung_engine *e, size_t i) {
    return e->ops->endpoint && e->ops->endpoint(out, e, i);
}
