/* rung model info | calibrate | compare: what a model takes in memory and how fast it is here. */
#include "cli/session.h"
#include "rung/weights.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const cli_opt info_opts[] = {
    OPT_PATH("file", "", CLI_FREE, "a GGUF file"),
    OPT_BOOL("calibrate", "false", CLI_FREE, "measure now if that has not been done"),
};
const cli_group cli_model_info_group = CLI_GROUP_OF("model", info_opts);

static const cli_opt calibrate_opts[] = {
    OPT_PATH("file", "", CLI_FREE, "a GGUF file"),
    OPT_BOOL("again", "false", CLI_FREE, "measure although a calibration is there"),
    OPT_REAL("seconds", "20", "S", 1, 3600, CLI_FREE,
             "about this long, conversion not counted; more is more exact"),
};
const cli_group cli_model_calibrate_group = CLI_GROUP_OF("calibration", calibrate_opts);

static const cli_opt compare_opts[] = {
    OPT_PATH("a", "", CLI_FREE, "a GGUF file: the reference"),
    OPT_PATH("b", "", CLI_FREE, "another one of the same tokens; empty = the same file"),
    OPT_NAMES("weights-a", "as-is", cli_names_weights, CLI_FREE, "how A's weights lie in memory"),
    OPT_NAMES("weights-b", "as-is", cli_names_weights, CLI_FREE, "how B's weights lie in memory"),
    OPT_PATH("text", "", CLI_FREE,
             "file with the text to read, \"-\" = standard input; empty = a "
             "built-in page of prose, sums and code"),
    OPT_INT("tokens", "0", "N", 0, CLI_INT_MAX, CLI_FREE, "read at most this many, 0 = all"),
    OPT_REAL("kl-max", "0", "NATS", 0, 1000, CLI_FREE,
             "exit 1 when the mean KL is not below this, 0 = off"),
};
const cli_group cli_model_compare_group = CLI_GROUP_OF("comparison", compare_opts);

/* ---- the calibration, for people and as part of a result */

static void result_calibration(cli_call *c, const rung_calibration *k) {
    rung_buf *b = &c->result;
    rung_buf_printf(b, ",\"calibration\":{\"weights\":\"%s\",\"sequences\":%d,\"batch\":%d,",
                    rung_weights_name(k->best), k->n_seq, k->n_batch);
    rung_buf_printf(b, "\"threads\":%d,\"kv\":\"streams\",\"single\":\"%s\",\"n\":[", k->n_threads,
                    rung_weights_name(rung_calibration_best(k, 1)));
    for (int i = 0; i < RUNG_CALIBRATION_N; i++) rung_buf_printf(b, "%s%d", i ? "," : "", k->n[i]);
    rung_buf_str(b, "],\"types\":[");
    bool first = true;
    for (int w = 0; w < RUNG_WEIGHTS_AUTO; w++) {
        const rung_calibration_row *r = &k->type[w];
        if (!r->measured) continue;
        rung_buf_printf(b, "%s{\"type\":\"%s\",\"offered\":%s,\"read_tok_s\":%.5g,\"tok_s\":[",
                        first ? "" : ",", rung_weights_name((rung_weights)w),
                        r->offered ? "true" : "false", r->read_s);
        for (int i = 0; i < RUNG_CALIBRATION_N; i++) {
            rung_buf_printf(b, "%s%.5g", i ? "," : "", r->tok_s[i]);
        }
        rung_buf_str(b, "]}");
        first = false;
    }
    rung_buf_printf(b,
                    "],\"read_as_is\":%.5g,\"read_best\":%.5g,\"write_as_is\":%.5g,"
                    "\"write_best\":%.5g,\"n_kl\":%d,\"kl_best\":%.5g,\"kl_as_is\":%.5g,"
                    "\"cpu\":",
                    k->read_as_is, k->read_best, k->write_as_is, k->write_best, k->n_kl, k->kl_best,
                    k->kl_as_is);
    rung_buf_json_str(b, k->cpu, strlen(k->cpu));
    rung_buf_printf(b, ",\"cores\":%d,\"busy\":%s,\"wall_s\":%.3f}", k->n_cores,
                    k->busy ? "true" : "false", k->wall_s);
}

static rung_status print_rates(const rung_calibration *k, cli_app *app, rung_error *err) {
    const char *head[RUNG_CALIBRATION_N + 3] = {"products, tokens/s", "read"};
    char text[RUNG_CALIBRATION_N][16];
    cli_table t;
    for (int i = 0; i < RUNG_CALIBRATION_N; i++) {
        snprintf(text[i], sizeof text[i], "%d at once", k->n[i]);
        head[i + 2] = text[i];
    }
    head[RUNG_CALIBRATION_N + 2] = "";
    cli_table_init(&t, head, RUNG_CALIBRATION_N + 3);
    for (int w = 0; w < RUNG_WEIGHTS_AUTO; w++) {
        const rung_calibration_row *r = &k->type[w];
        if (!r->measured) continue;
        cli_cell(&t, "%s", rung_weights_name((rung_weights)w));
        cli_cell(&t, "%.4g", r->read_s);
        for (int i = 0; i < RUNG_CALIBRATION_N; i++) cli_cell(&t, "%.4g", r->tok_s[i]);
        cli_cell(&t, "%s", (int)k->best == w ? "<- auto" : r->offered ? "" : "refused");
    }
    return cli_table_print(&t, app, err);
}

static rung_status print_calibration(const rung_calibration *k, cli_app *app, rung_error *err) {
    char day[32];
    time_t made = (time_t)(k->made_ms / 1000);
    struct tm tm;
    strftime(day, sizeof day, "%Y-%m-%d", gmtime_r(&made, &tm));
    RUNG_TRY(cli_outf(app, err,
                      "calibrated  %s on %s, %d cores, in %.1f s\nauto        %s, %d sequences, "
                      "batch %d, %d threads; one sequence: %s\n",
                      day, k->cpu, k->n_cores, k->wall_s, rung_weights_name(k->best), k->n_seq,
                      k->n_batch, k->n_threads, rung_weights_name(rung_calibration_best(k, 1))));
    if (k->n_kl > 0) {
        RUNG_TRY(cli_outf(app, err,
                          "whole model reads %.4g tokens/s (as it is %.4g), writes 16 sequences at "
                          "%.4g (%.4g)\nmean KL     %.2g nats to exact weights on %d tokens (as it "
                          "is %.2g)\n",
                          k->read_best, k->read_as_is, k->write_best, k->write_as_is, k->kl_best,
                          k->n_kl, k->kl_as_is));
    }
    return print_rates(k, app, err);
}

rung_status cli_model_calibrate(cli_call *c, rung_error *err) {
    rung_calibrate_opts o = RUNG_CALIBRATE_OPTS_INIT;
    rung_calibration k;
    double t0 = rung_now();
    o.again = cli_flag(c, "again");
    o.max_s = cli_real(c, "seconds");
    o.n_threads = c->app->threads;
    RUNG_TRY(rung_model_try(cli_str(c, "file"), &c->app->log, err));
    RUNG_TRY(rung_calibrate(&k, cli_str(c, "file"), &o, &c->app->log, err));
    cli_result_open(c, NULL);
    cli_result_str(c, "hash", k.model);
    cli_result_str(c, "weights", rung_weights_name(k.best));
    result_calibration(c, &k);
    cli_result_close(c, t0);
    return c->app->json ? RUNG_OK : print_calibration(&k, c->app, err);
}

/* ---- info */

static int64_t kv_bytes_per_token(const rung_model_info *i) {
    if (i->n_head < 1) return 0;
    return (int64_t)i->n_layer * 2 * (i->n_embd_k + i->n_embd_v) * i->n_head_kv;
}

static void result_info(cli_call *c, const rung_model_info *i, const rung_weights_fit *f) {
    cli_result_open(c, NULL);
    cli_result_str(c, "name", i->name);
    cli_result_str(c, "arch", i->arch);
    cli_result_str(c, "storage", i->storage);
    cli_result_str(c, "chat", i->chat);
    cli_result_int(c, "n_params", i->n_params);
    cli_result_int(c, "n_bytes", i->n_bytes);
    cli_result_int(c, "n_vocab", i->n_vocab);
    cli_result_int(c, "n_embd", i->n_embd);
    cli_result_int(c, "n_layer", i->n_layer);
    cli_result_int(c, "n_head", i->n_head);
    cli_result_int(c, "n_head_kv", i->n_head_kv);
    cli_result_int(c, "n_ctx_train", i->n_ctx_train);
    cli_result_str(c, "hash", i->hash);
    cli_result_int(c, "kv_bytes_per_token", kv_bytes_per_token(i));
    cli_result_int(c, "memory_available", rung_memory_available());
    rung_buf_str(&c->result, ",\"weights\":[");
    for (int w = 0; w < RUNG_WEIGHTS_AUTO; w++) {
        rung_buf_printf(&c->result,
                        "%s{\"type\":\"%s\",\"n_bytes\":%lld,\"keeps\":%s,\"changes\":%s,\"made\":"
                        "%s}",
                        w ? "," : "", rung_weights_name((rung_weights)w), (long long)f[w].n_bytes,
                        f[w].keeps ? "true" : "false", f[w].changes ? "true" : "false",
                        f[w].made ? "true" : "false");
    }
    rung_buf_str(&c->result, "]");
}

static rung_status print_fits(const rung_weights_fit *f, cli_app *app, rung_error *err) {
    static const char *const head[] = {"weights", "MB in memory", "keeps the file", "converted"};
    cli_table t;
    cli_table_init(&t, head, 4);
    for (int w = 0; w < RUNG_WEIGHTS_AUTO; w++) {
        cli_cell(&t, "%s", rung_weights_name((rung_weights)w));
        cli_cell(&t, "%.1f", (double)f[w].n_bytes / 1e6);
        cli_cell(&t, "%s", !f[w].changes ? "is the file" : f[w].keeps ? "yes" : "by name only");
        cli_cell(&t, "%s", f[w].made ? "yes" : "");
    }
    return cli_table_print(&t, app, err);
}

static rung_status print_info(const rung_model_info *i, cli_app *app, rung_error *err) {
    return cli_outf(app, err,
                    "name        %s\narch        %s, %s, %.1f MB\nparameters  %.2f M\n"
                    "shape       %d layers, %d wide, %d heads (%d for keys), context %d\n"
                    "vocabulary  %d tokens, chat: %s\nhash        %s\n"
                    "KV cache    %.1f KB a token; %.1f GB of memory are free\n",
                    i->name, i->arch, i->storage, (double)i->n_bytes / 1e6,
                    (double)i->n_params / 1e6, i->n_layer, i->n_embd, i->n_head, i->n_head_kv,
                    i->n_ctx_train, i->n_vocab, i->chat, i->hash,
                    (double)kv_bytes_per_token(i) / 1e3, (double)rung_memory_available() / 1e9);
}

rung_status cli_model_info(cli_call *c, rung_error *err) {
    rung_model_opts o = RUNG_MODEL_OPTS_INIT;
    rung_weights_fit fit[RUNG_WEIGHTS_COUNT];
    rung_calibration k;
    rung_model *m = NULL;
    rung_model_info i;
    bool found = false;
    const char *path = cli_str(c, "file");
    RUNG_TRY(rung_model_try(path, &c->app->log, err));
    RUNG_TRY(rung_model_load(&m, path, &o, err));
    rung_model_get_info(&i, m);
    rung_model_free(m);
    RUNG_TRY(rung_weights_fits(fit, path, err));
    if (cli_flag(c, "calibrate")) {
        rung_calibrate_opts ko = RUNG_CALIBRATE_OPTS_INIT;
        ko.n_threads = c->app->threads;
        RUNG_TRY(rung_calibrate(&k, path, &ko, &c->app->log, err));
        found = true;
        RUNG_TRY(rung_weights_fits(fit, path, err));
    } else if (rung_calibration_get(&k, &found, path, NULL) != RUNG_OK) {
        found = false; /* no cache folder: nothing was calibrated */
    }
    result_info(c, &i, fit);
    if (found) result_calibration(c, &k);
    cli_result_close(c, 0);
    if (c->app->json) return RUNG_OK;
    RUNG_TRY(print_info(&i, c->app, err));
    RUNG_TRY(print_fits(fit, c->app, err));
    if (found) return print_calibration(&k, c->app, err);
    return cli_outf(c->app, err, "not calibrated on this machine: rung model calibrate %s\n", path);
}

/* ---- compare */

static rung_status load_side(rung_model **m, cli_call *c, const char *path, const char *option,
                             rung_error *err) {
    rung_model_opts o = RUNG_MODEL_OPTS_INIT;
    rung_weights_find(&o.weights, cli_str(c, option));
    o.log = &c->app->log;
    RUNG_TRY(rung_model_try(path, o.log, err));
    return rung_model_load(m, path, &o, err);
}

static rung_status read_text(rung_buf *b, cli_call *c, rung_error *err) {
    const char *path = cli_str(c, "text");
    if (path) return rung_file_read(b, path, err);
    rung_buf_str(b, rung_sample_text());
    return rung_buf_check(b, err);
}

static rung_status say_comparison(cli_call *c, const rung_comparison *x, rung_model *m[2],
                                  double t0, rung_error *err) {
    rung_model_info a, b;
    rung_model_get_info(&a, m[0]);
    rung_model_get_info(&b, m[1]);
    cli_result_open(c, NULL);
    cli_result_str(c, "a", a.hash);
    cli_result_str(c, "b", b.hash);
    cli_result_str(c, "weights_a", a.weights);
    cli_result_str(c, "weights_b", b.weights);
    cli_result_int(c, "n_tokens", x->n_tokens);
    cli_result_real(c, "mean_kl", x->mean_kl);
    cli_result_real(c, "max_kl", x->max_kl);
    cli_result_real(c, "top1", x->top1);
    cli_result_real(c, "max_abs_diff", x->max_diff);
    cli_result_real(c, "read_tok_s_a", x->n_tokens / x->wall_a_s);
    cli_result_real(c, "read_tok_s_b", x->n_tokens / x->wall_b_s);
    cli_result_close(c, t0);
    if (c->app->json) return RUNG_OK;
    return cli_outf(c->app, err,
                    "%s %s against %s %s on %d tokens\n"
                    "mean KL                  %.4g nats (largest %.4g)\n"
                    "same likeliest token     %.2f%%\n"
                    "largest logit difference %.4g\n"
                    "read                     %.4g and %.4g tokens/s\n",
                    a.name, a.weights, b.name, b.weights, x->n_tokens, x->mean_kl, x->max_kl,
                    100.0 * x->top1, x->max_diff, x->n_tokens / x->wall_a_s,
                    x->n_tokens / x->wall_b_s);
}

rung_status cli_model_compare(cli_call *c, rung_error *err) {
    rung_model *m[2] = {NULL, NULL};
    rung_comparison x;
    rung_buf text;
    int32_t *tok = NULL, n_tok = 0;
    rung_status st = RUNG_OK;
    double t0 = rung_now(), kl_max = cli_real(c, "kl-max");
    const char *a = cli_str(c, "a"), *b = cli_str(c, "b");
    int64_t most = cli_int(c, "tokens");
    rung_buf_init(&text, 64u << 20);
    RUNG_GOTO(read_text(&text, c, err));
    RUNG_GOTO(load_side(&m[0], c, a, "weights-a", err));
    RUNG_GOTO(load_side(&m[1], c, b ? b : a, "weights-b", err));
    RUNG_GOTO(rung_model_tokenize(&tok, &n_tok, m[0], text.data, text.n, true, false, err));
    if (most > 0 && n_tok > most) n_tok = (int32_t)most;
    RUNG_GOTO(rung_model_compare(&x, m[0], m[1], tok, n_tok, c->app->threads, &c->app->log, err));
    RUNG_GOTO(say_comparison(c, &x, m, t0, err));
    if (kl_max > 0 && !(x.mean_kl < kl_max)) {
        st = rung_fail(err, RUNG_E_ANSWER_NO, "the mean KL is %.3g nats, not below %g", x.mean_kl,
                       kl_max);
    }
out:
    rung_buf_clear(&text);
    rung_free(tok);
    rung_model_free(m[0]);
    rung_model_free(m[1]);
    return st;
}
