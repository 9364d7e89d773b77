/* rung model chat | compare-logits (info, compare, calibrate are in cmd_weights.c) */
#include "cli/session.h"
#include "rung/train.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cli_opt chat_opts[] = {
    OPT_STR("prompt", "", "TEXT", CLI_FREE, "one turn; empty = a turn per line of standard input"),
    OPT_STR("prefix", "", "TEXT", CLI_FREE, "begin the reply with this"),
};
const cli_group cli_model_chat_group = CLI_GROUP_OF("chat", chat_opts);
static const cli_opt compare_opts[] = {
    OPT_PATH("file", "", CLI_FREE, "a GGUF file of llama shape"),
    OPT_STR("text", "start 17; +5; x2\n17+5=22\n", "TEXT", CLI_FREE, "text to read"),
    OPT_REAL("tolerance", "0.001", "X", 0, 1000, CLI_FREE, "largest difference that is accepted"),
};
const cli_group cli_model_compare_logits_group = CLI_GROUP_OF("comparison", compare_opts);

/* ---- chat */

typedef struct chat {
    cli_call *c;
    rung_sampling sampling;
    int64_t turn, n_tok;
} chat;

static rung_status on_reply(void *ud, const rung_gen_out *o, rung_error *err) {
    chat *k = ud;
    rung_buf b;
    k->n_tok += o->n_tok;
    rung_buf_init(&b, 64u << 20);
    if (k->c->app->json) {
        rung_buf_printf(&b, "{\"v\":1,\"turn\":%lld,\"reply\":", (long long)k->turn);
        rung_buf_json_str(&b, o->text, (size_t)o->n_bytes);
        rung_buf_printf(&b, ",\"tokens\":%d,\"stop\":\"%s\"}\n", o->n_tok, o->stop);
    } else {
        cli_clean(&b, o->text, (size_t)o->n_bytes);
        if (b.n == 0 || b.data[b.n - 1] != '\n') rung_buf_str(&b, "\n");
    }
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) st = cli_out(k->c->app, b.data, b.n, err);
    if (st == RUNG_OK) st = cli_out_end(k->c->app, err);
    rung_buf_clear(&b);
    return st;
}

static rung_status turn(chat *k, cli_engine *e, const char *user, rung_error *err) {
    cli_call *c = k->c;
    rung_gen g = {.prompt = {cli_str(c, "system"), user, cli_str(c, "prefix")},
                  .sampling = k->sampling,
                  .n = 1,
                  .max_tok = (int32_t)cli_int(c, "max-tokens"),
                  .stop = {cli_str(c, "stop")},
                  .seed = (uint64_t)cli_int(c, "seed"),
                  .stream = RUNG_STREAM_TRACE,
                  .key = (uint64_t)k->turn};
    rung_engine_cb cb = {.on_gen = on_reply, .ud = k};
    RUNG_TRY(rung_engine_gen(e->engine, &g, err));
    RUNG_TRY(rung_engine_run(e->engine, &cb, err));
    k->turn++;
    return RUNG_OK;
}

static rung_status turns_of_stdin(chat *k, cli_engine *e, rung_error *err) {
    char *line = NULL;
    size_t cap = 0;
    rung_status st = RUNG_OK;
    const char *suffix = cli_str(k->c, "suffix");
    while (st == RUNG_OK && !cli_interrupted) {
        ssize_t n = getline(&line, &cap, stdin);
        if (n < 0) break;
        if (n > 0 && line[n - 1] == '\n') line[--n] = 0;
        rung_buf user;
        rung_buf_init(&user, 64u << 20);
        rung_buf_str(&user, line);
        if (suffix) rung_buf_str(&user, suffix);
        st = rung_buf_check(&user, err);
        if (st == RUNG_OK && user.n > 0) st = turn(k, e, user.data, err);
        rung_buf_clear(&user);
    }
    free(line);
    return st;
}

rung_status cli_model_chat(cli_call *c, rung_error *err) {
    cli_engine e = {0};
    chat k = {.c = c};
    const char *prompt = cli_str(c, "prompt");
    double t0 = rung_now();
    RUNG_TRY(cli_sampling(&k.sampling, c, err));
    RUNG_TRY(cli_engine_open(&e, c, err));
    rung_status st = prompt ? turn(&k, &e, prompt, err) : turns_of_stdin(&k, &e, err);
    cli_engine_close(&e);
    if (st == RUNG_OK) {
        cli_result_open(c, NULL);
        cli_result_int(c, "turns", k.turn);
        cli_result_int(c, "tokens", k.n_tok);
        cli_result_close(c, t0);
    }
    return st;
}

/* ---- compare-logits */

typedef struct engine_logits {
    float *copy;
    size_t n;
} engine_logits;

static rung_status on_eval(void *ud, const rung_eval_out *o, rung_error *err) {
    engine_logits *l = ud;
    if (!o->logits) return rung_fail(err, RUNG_E_MODEL, "the engine gave no logits");
    memcpy(l->copy, o->logits, l->n * sizeof *l->copy);
    return RUNG_OK;
}

static rung_status read_engine(engine_logits *l, rung_model *m, const int32_t *tok, int32_t n_tok,
                               const cli_app *app, rung_error *err) {
    rung_engine *e = NULL;
    rung_engine_opts o = RUNG_ENGINE_OPTS_INIT;
    rung_status st = RUNG_OK;
    int32_t *at = rung_calloc((size_t)n_tok, sizeof *at);
    if (!at) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    for (int32_t i = 0; i < n_tok; i++) at[i] = i;
    o.n_threads = app->threads;
    rung_eval v = {.tok = tok, .n_tok = n_tok, .at = at, .n_at = n_tok, .logits = true};
    rung_engine_cb cb = {.on_eval = on_eval, .ud = l};
    RUNG_GOTO(rung_engine_open(&e, m, &o, &app->log, err));
    RUNG_GOTO(rung_engine_eval(e, &v, err));
    RUNG_GOTO(rung_engine_run(e, &cb, err));
out:
    rung_engine_close(e);
    rung_free(at);
    return st;
}

static rung_status largest_difference(double *out, rung_net *net, const engine_logits *l,
                                      const int32_t *tok, int32_t n_tok, rung_error *err) {
    int32_t *doc = rung_calloc((size_t)n_tok, sizeof *doc);
    if (!doc) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_batch b = {1, n_tok, tok, doc};
    const float *logits = NULL;
    rung_status st = rung_net_forward(&logits, NULL, net, &b, err);
    double most = 0.0;
    for (size_t i = 0; i < l->n && st == RUNG_OK; i++) {
        double d = fabs((double)logits[i] - (double)l->copy[i]);
        if (!(d <= most)) most = d;
    }
    rung_free(doc);
    *out = most;
    return st;
}

rung_status cli_model_compare_logits(cli_call *c, rung_error *err) {
    rung_model_opts o = RUNG_MODEL_OPTS_INIT;
    rung_model *m = NULL;
    rung_net *net = NULL;
    int32_t *tok = NULL, n_tok = 0;
    engine_logits l = {0};
    double most = 0.0, tolerance = cli_real(c, "tolerance");
    rung_status st = RUNG_OK;
    const char *path = cli_str(c, "file"), *text = cli_str(c, "text");
    RUNG_TRY(cli_need(c, "text", "--text 'start 17; +5'", err));
    RUNG_GOTO(rung_model_load(&m, path, &o, err));
    RUNG_GOTO(rung_net_load(&net, path, err));
    RUNG_GOTO(rung_model_tokenize(&tok, &n_tok, m, text, strlen(text), false, true, err));
    l.n = (size_t)n_tok * (size_t)rung_net_get_shape(net)->n_vocab;
    l.copy = rung_calloc(l.n ? l.n : 1, sizeof *l.copy);
    if (!l.copy) {
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory");
        goto out;
    }
    RUNG_GOTO(read_engine(&l, m, tok, n_tok, c->app, err));
    RUNG_GOTO(largest_difference(&most, net, &l, tok, n_tok, err));
    cli_result_open(c, NULL);
    cli_result_int(c, "n_tokens", n_tok);
    cli_result_real(c, "max_abs_diff", most);
    cli_result_real(c, "tolerance", tolerance);
    cli_result_close(c, 0);
    if (!c->app->json) {
        RUNG_GOTO(cli_outf(c->app, err, "largest difference %.3g over %d tokens x %d logits\n",
                           most, n_tok, rung_net_get_shape(net)->n_vocab));
    }
    if (!(most <= tolerance)) {
        st = rung_fail(err, RUNG_E_ANSWER_NO, "the logits differ by %.3g, more than %g", most,
                       tolerance);
    }
out:
    rung_free(l.copy);
    rung_free(tok);
    rung_net_free(net);
    rung_model_free(m);
    return st;
}
