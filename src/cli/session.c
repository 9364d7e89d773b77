/* What most commands begin and end with: the store, the run's row, the filter, the engine. */
#include "cli/session.h"
#include "rung/weights.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

rung_status cli_store(rung_store **out, cli_call *c, int flags, rung_error *err) {
    cli_app *app = c->app;
    if (!app->store) {
        if (!(flags & RUNG_STORE_CREATE) && access(app->store_path, F_OK) != 0) {
            rung_fail(err, RUNG_E_NOT_FOUND, "there is no store \"%s\"", app->store_path);
            return rung_error_hint(err, "name it with --store, or begin with rung problem "
                                        "generate or rung problem import");
        }
        RUNG_TRY(rung_store_open(&app->store, app->store_path, flags, err));
    }
    *out = app->store;
    return RUNG_OK;
}

static bool has_option(const cli_call *c, const char *name) {
    for (size_t i = 0; i < c->n_values; i++) {
        if (strcmp(c->value[i].opt->name, name) == 0) return true;
    }
    return false;
}

rung_status cli_run_begin(rung_run *run, cli_call *c, const char *extra, rung_error *err) {
    rung_buf config;
    char kind[64];
    memset(run, 0, sizeof *run);
    rung_buf_init(&config, 1u << 20);
    rung_status st = cli_config_text(&config, run->config_hash, c, extra, err);
    if (st != RUNG_OK) goto out;
    snprintf(kind, sizeof kind, "%s%s%s", c->cmd->noun, *c->cmd->verb ? "." : "", c->cmd->verb);
    run->kind = rung_arena_strndup(c->app->arena, kind, strlen(kind));
    run->config = rung_arena_strndup(c->app->arena, config.data, config.n);
    run->name = has_option(c, "name") ? cli_str(c, "name") : NULL;
    run->seed = has_option(c, "seed") ? (uint64_t)cli_int(c, "seed") : 0;
    if (!run->kind || !run->config) {
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory");
        goto out;
    }
    st = rung_run_begin(c->app->store, run, err);
out:
    rung_buf_clear(&config);
    return st;
}

/* In one transaction: killed in between, a run would be measured again and hold two results. */
rung_status cli_run_end(cli_call *c, rung_run *run, const char *result_kind, double t0,
                        rung_error *err) {
    rung_store *s = c->app->store;
    RUNG_TRY(rung_buf_check(&c->result, err));
    RUNG_TRY(rung_store_begin(s, err));
    rung_status st = RUNG_OK;
    if (result_kind) st = rung_result_put(s, run->id, result_kind, c->result.data, err);
    if (st == RUNG_OK && t0 > 0) {
        st = rung_run_spend(s, run->id, c->tokens, rung_now() - t0, err);
    }
    if (st == RUNG_OK) st = rung_run_finish(s, run->id, err);
    if (st == RUNG_OK) return rung_store_commit(s, err);
    rung_store_rollback(s);
    return st;
}

rung_status cli_run_lookup(int64_t *id, cli_call *c, rung_store *s, const char *name,
                           rung_error *err) {
    char *end = NULL;
    rung_run run;
    long long v = strtoll(name, &end, 10);
    if (end != name && !*end && v > 0) {
        *id = v;
        return RUNG_OK;
    }
    RUNG_TRY(rung_run_find(&run, c->app->arena, s, name, err));
    *id = run.id;
    return RUNG_OK;
}

rung_status cli_filter(rung_filter *f, cli_call *c, rung_store *s, rung_error *err) {
    memset(f, 0, sizeof *f);
    f->set = cli_str(c, "set");
    f->split = cli_str(c, "split");
    f->limit = cli_int(c, "limit");
    f->skip = cli_int(c, "skip");
    const char *run = has_option(c, "run") ? cli_str(c, "run") : NULL;
    return run ? cli_run_lookup(&f->run, c, s, run, err) : RUNG_OK;
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool row_fits(const rung_model_row *m, const char *name, const char *kind) {
    if (kind && strcmp(m->kind, kind) != 0) return false;
    return strcmp(m->path, name) == 0 || strcmp(m->name, name) == 0 || strcmp(m->hash, name) == 0 ||
           (*m->path && strcmp(base_name(m->path), name) == 0);
}

rung_status cli_model_lookup(int64_t *id, cli_call *c, rung_store *s, const char *name,
                             const char *kind, rung_error *err) {
    const char *names[64];
    size_t n = 0;
    char *end = NULL;
    rung_model_row m;
    long long number = strtoll(name, &end, 10);
    *id = 0;
    if (end != name && !*end) {
        *id = number;
        return rung_model_get(&m, c->app->arena, s, number, err);
    }
    for (int64_t i = 1;; i++) { /* rows are numbered from 1 and never deleted */
        rung_error e = RUNG_ERROR_INIT;
        rung_status st = rung_model_get(&m, c->app->arena, s, i, &e);
        if (st == RUNG_E_NOT_FOUND) break;
        if (st != RUNG_OK) {
            if (err) *err = e;
            return st;
        }
        if (row_fits(&m, name, kind)) *id = i;
        if (n < 64 && (!kind || strcmp(m.kind, kind) == 0)) names[n++] = *m.path ? m.path : m.name;
    }
    if (*id) return RUNG_OK;
    const char *near = cli_nearest(name, names, n);
    rung_fail(err, RUNG_E_NOT_FOUND, "no scores of a model \"%s\" in the store", name);
    if (near) return rung_error_hint(err, "did you mean \"%s\"?", near);
    return rung_error_hint(err, "rung reward score FILE puts them there");
}

/* ---- engine */

static bool is_url(const char *policy) {
    return strncmp(policy, "http://", 7) == 0 || strncmp(policy, "https://", 8) == 0;
}

static rung_status open_remote(cli_engine *e, const cli_call *c, const char *urls,
                               rung_engine_opts *o, rung_error *err) {
    const char *model = cli_str(c, "remote-model");
    o->cache = c->app->store;
    o->concurrency = (int32_t)cli_int(c, "concurrency");
    o->timeout_s = cli_real(c, "timeout");
    o->retries = (int32_t)cli_int(c, "retries");
    o->api_key_env = cli_str(c, "api-key-env");
    o->model_name = model;
    o->dialect = cli_str(c, "dialect");
    o->price_in = cli_real(c, "price-in");
    o->price_cached = cli_real(c, "price-cached");
    o->price_out = cli_real(c, "price-out");
    o->completions = strcmp(cli_str(c, "api"), "completions") == 0;
    snprintf(e->hash, sizeof e->hash, "remote");
    if (model) {
        snprintf(e->name, sizeof e->name, "%s", model);
    } else { /* the first address, without its settings */
        snprintf(e->name, sizeof e->name, "%.*s", (int)strcspn(urls, "#,\n"), urls);
    }
    return rung_engine_open_remote(&e->engine, urls, o, &c->app->log, err);
}

/* --policy and every --endpoint, a line each; NULL: a local model. */
static rung_status endpoints(const char **urls, const cli_call *c, rung_error *err) {
    const char *policy = cli_str(c, "policy"), *more = cli_str(c, "endpoint");
    *urls = NULL;
    if (policy && !is_url(policy)) {
        if (!more) return RUNG_OK;
        return rung_fail(err, RUNG_E_INVAL,
                         "--policy names a file, --endpoint a server: one of them");
    }
    size_t n = (policy ? strlen(policy) : 0) + (more ? strlen(more) : 0) + 2;
    char *text = rung_arena_alloc(c->app->arena, n);
    if (!text) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    snprintf(text, n, "%s%s%s", policy ? policy : "", policy && more ? "\n" : "", more ? more : "");
    *urls = text;
    return RUNG_OK;
}

rung_status cli_weights(rung_weights *out, cli_call *c, const char *path, int32_t n_seq,
                        rung_error *err) {
    cli_value *v = cli_value_find(c, "weights");
    *out = RUNG_WEIGHTS_AS_IS;
    if (!v || !rung_weights_find(out, v->text) || *out != RUNG_WEIGHTS_AUTO) return RUNG_OK;
    RUNG_TRY(rung_weights_choose(out, path, n_seq, &c->app->log, err));
    v->text = rung_weights_name(*out);
    return RUNG_OK;
}

static rung_status open_local(cli_engine *e, cli_call *c, const char *path, rung_engine_opts *o,
                              rung_error *err) {
    rung_model_opts mo = RUNG_MODEL_OPTS_INIT;
    rung_model_info info;
    mo.chat_template = cli_str(c, "chat-template");
    bool one = strcmp(c->cmd->verb, "chat") == 0; /* a turn at a time */
    RUNG_TRY(rung_model_try(path, &c->app->log, err));
    RUNG_TRY(cli_weights(&mo.weights, c, path, one ? 1 : o->n_seq, err));
    mo.log = &c->app->log;
    mo.memory = o->memory;
    RUNG_TRY(rung_model_load(&e->model, path, &mo, err));
    rung_model_get_info(&info, e->model);
    snprintf(e->hash, sizeof e->hash, "%s", info.hash);
    snprintf(e->name, sizeof e->name, "%s", info.name);
    snprintf(e->weights, sizeof e->weights, "%s", info.weights);
    return rung_engine_open(&e->engine, e->model, o, &c->app->log, err);
}

void cli_engine_opts(rung_engine_opts *o, cli_call *c) {
    c->app->memory.max_bytes = cli_int(c, "memory") << 20;
    o->n_threads = c->app->threads;
    o->n_seq = (int32_t)cli_int(c, "sequences");
    o->n_ctx = (int32_t)cli_int(c, "ctx");
    o->n_batch = (int32_t)cli_int(c, "batch");
    o->exact = cli_flag(c, "exact");
    o->memory = c->app->memory.max_bytes > 0 ? &c->app->memory : NULL;
}

rung_status cli_engine_open(cli_engine *e, cli_call *c, rung_error *err) {
    rung_engine_opts o = RUNG_ENGINE_OPTS_INIT;
    const char *urls;
    memset(e, 0, sizeof *e);
    if (!cli_str(c, "endpoint")) {
        RUNG_TRY(
            cli_need(c, "policy", "--policy models/tiny.gguf, or the URL of an endpoint", err));
    }
    RUNG_TRY(endpoints(&urls, c, err));
    cli_engine_opts(&o, c);
    if (o.exact && urls) {
        rung_fail(err, RUNG_E_INVAL, "an endpoint has no exact mode");
        return rung_error_hint(err, "leave out --exact, or use a GGUF file");
    }
    rung_status st =
        urls ? open_remote(e, c, urls, &o, err) : open_local(e, c, cli_str(c, "policy"), &o, err);
    if (st != RUNG_OK) cli_engine_close(e);
    return st;
}

void cli_engine_close(cli_engine *e) {
    rung_engine_close(e->engine);
    rung_model_free(e->model);
    memset(e, 0, sizeof *e);
}

/* Non-embedding parameters: all but the token table, and the output table where it is not the same.
 */
rung_flops_model cli_model_size(const rung_model *m) {
    rung_flops_model f = {0};
    rung_model_info info;
    if (!m) return f; /* remote: not known */
    rung_model_get_info(&info, m);
    f.n_params = (double)info.n_params - (double)info.n_vocab * (double)info.n_embd;
    f.n_layer = (double)info.n_layer;
    f.width = (double)info.n_embd;
    return f;
}

/* Lines of ID:BIAS. */
static rung_status read_biases(rung_sampling *s, cli_call *c, const char *text, rung_error *err) {
    int32_t n = 1;
    for (const char *p = text; *p; p++) n += *p == '\n';
    rung_logit_bias *list = rung_arena_alloc(c->app->arena, (size_t)n * sizeof *list);
    if (!list) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    for (int32_t i = 0; i < n; i++) {
        char *end = NULL;
        size_t len = strcspn(text, "\n");
        long id = strtol(text, &end, 10);
        bool ok = end != text && *end == ':' && id >= 0 && id <= INT32_MAX;
        const char *value = ok ? end + 1 : text;
        double bias = ok ? strtod(value, &end) : 0.0;
        if (!ok || end == value || end != text + len) {
            rung_fail(err, RUNG_E_INVAL, "--logit-bias: \"%.*s\" is not ID:BIAS", (int)len, text);
            return rung_error_hint(err, "--logit-bias 198:-inf bans token 198");
        }
        list[i] = (rung_logit_bias){(int32_t)id, (float)bias};
        text += len + (text[len] == '\n');
    }
    s->bias = list;
    s->n_bias = n;
    return RUNG_OK;
}

static rung_status read_grammar(rung_sampling *s, cli_call *c, const char *path, rung_error *err) {
    rung_buf text;
    rung_buf_init(&text, 1u << 20);
    rung_status st = rung_file_read(&text, path, err);
    if (st == RUNG_OK && (text.n == 0 || memchr(text.data, 0, text.n)))
        st = rung_fail(err, RUNG_E_FORMAT, "%s: not a grammar", path);
    if (st == RUNG_OK) {
        s->grammar = rung_arena_strndup(c->app->arena, text.data, text.n);
        cli_value *v = cli_value_find(c, "grammar");
        if (s->grammar && v) v->text = s->grammar;
        if (!s->grammar) st = rung_fail(err, RUNG_E_NOMEM, "out of memory");
    }
    rung_buf_clear(&text);
    return st;
}

rung_status cli_sampling(rung_sampling *out, cli_call *c, rung_error *err) {
    const char *bias = cli_str(c, "logit-bias"), *grammar = cli_str(c, "grammar");
    *out = (rung_sampling)RUNG_SAMPLING_INIT;
    out->temperature = cli_real(c, "temperature");
    out->top_k = (int32_t)cli_int(c, "top-k");
    out->top_p = cli_real(c, "top-p");
    out->min_p = cli_real(c, "min-p");
    out->temperature_first = cli_flag(c, "temperature-first");
    out->repeat_penalty = cli_real(c, "repeat-penalty");
    out->presence_penalty = cli_real(c, "presence-penalty");
    out->frequency_penalty = cli_real(c, "frequency-penalty");
    out->penalty_last_n = (int32_t)cli_int(c, "penalty-last-n");
    if (bias) RUNG_TRY(read_biases(out, c, bias, err));
    if (grammar) RUNG_TRY(read_grammar(out, c, grammar, err));
    return rung_sampling_check(out, err);
}

/* ---- files to write */

rung_status cli_can_write(const char *path, rung_error *err) {
    char folder[4096];
    struct stat sb;
    if (strcmp(path, "-") == 0) {
        return rung_fail(err, RUNG_E_INVAL, "this goes to a file, not to standard output");
    }
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(n ? n : 1) : 1, slash ? path : ".");
    if (stat(path, &sb) == 0 && S_ISDIR(sb.st_mode)) {
        return rung_fail(err, RUNG_E_IO, "could not write %s: it is a folder", path);
    }
    if (access(folder, W_OK) == 0) return RUNG_OK;
    rung_fail(err, RUNG_E_IO, "could not write %s: folder %s: %s", path, folder, strerror(errno));
    return rung_error_hint(err, errno == ENOENT ? "make the folder first"
                                                : "choose a folder that you may write to");
}

/* ---- results */

void cli_result_open(cli_call *c, const rung_run *run) {
    char name[64];
    rung_buf_printf(&c->result, "{\"v\":1,\"command\":\"%s\"", cli_cmd_name(c->cmd, name));
    if (run && run->id > 0) {
        rung_buf_printf(&c->result, ",\"run\":%lld", (long long)run->id);
        if (run->name && *run->name) {
            rung_buf_str(&c->result, ",\"name\":");
            rung_buf_json_str(&c->result, run->name, strlen(run->name));
        }
    }
}

void cli_put_real(rung_buf *b, const char *key, double v) {
    if (v - v != 0.0)
        rung_buf_printf(b, ",\"%s\":null", key);
    else
        rung_buf_printf(b, ",\"%s\":%.9g", key, v);
}

void cli_put_interval(rung_buf *b, const char *key, rung_interval ci) {
    if (ci.lo - ci.lo != 0.0 || ci.hi - ci.hi != 0.0)
        rung_buf_printf(b, ",\"%s\":null", key);
    else
        rung_buf_printf(b, ",\"%s\":[%.9g,%.9g]", key, ci.lo, ci.hi);
}

void cli_result_int(cli_call *c, const char *key, int64_t v) {
    rung_buf_printf(&c->result, ",\"%s\":%lld", key, (long long)v);
}

void cli_result_real(cli_call *c, const char *key, double v) {
    cli_put_real(&c->result, key, v);
}

void cli_result_json(cli_call *c, const char *key, const char *json) {
    rung_buf_printf(&c->result, ",\"%s\":%s", key, json);
}

void cli_result_str(cli_call *c, const char *key, const char *v) {
    rung_buf_printf(&c->result, ",\"%s\":", key);
    rung_buf_json_str(&c->result, v, strlen(v));
}

void cli_result_close(cli_call *c, double t0) {
    if (t0 > 0) rung_buf_printf(&c->result, ",\"wall_s\":%.3f", rung_now() - t0);
    rung_buf_str(&c->result, "}");
}
