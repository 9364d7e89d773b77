/* rung serve: the server, and its workers, which are this command started again. */
#include "cli/session.h"
#include "rung/search.h"
#include "rung/serve.h"
#include "rung/verify.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *names_serve_methods(size_t i) {
    return i == 0 ? "sample" : cli_names_searches(i - 1);
}

static const cli_opt serve_opts[] = {
    OPT_STR("listen", "127.0.0.1:8000", "HOST:PORT", CLI_FREE,
            "where; port 0 = any that is free. Beyond loopback a token is needed (--token-env); "
            "TLS is a proxy's"),
    OPT_STR("token-env", "RUNG_SERVE_TOKEN", "VARIABLE", CLI_FREE,
            "environment variable that holds the token which requests must bear; empty = none"),
    OPT_STR("cors", "", "ORIGIN", CLI_FREE, "pages of this origin may ask, too; * = any"),
    OPT_STR("served-name", "", "NAME", CLI_FREE,
            "the model's name in requests; empty = the file's. NAME:METHOD asks for a method"),
    OPT_NAMES("method", "sample", names_serve_methods, CLI_KEY,
              "what answers chat requests that name no method; sample = no search"),
    OPT_STR("reward", "", "MODEL", CLI_NOTE, "reward model that scores steps: its GGUF file"),
    OPT_STR("reward-format", "", "FORMAT", CLI_NOTE,
            "how a reward model of others is read: a built-in format or its YAML file"),
    OPT_NAMES("score", "", cli_names_scorers, CLI_KEY,
              "where step scores come from; empty = the reward model if there is one"),
    OPT_NAMES("aggregate", "", cli_names_aggregates, CLI_KEY,
              "how step scores make one score; empty = last"),
    OPT_INT("n", "0", "N", 0, 100000, CLI_KEY,
            "samples, beams, particles, simulations of a search, 0 = the method's"),
    OPT_INT("width", "4", "CHILDREN", 1, 1000, CLI_KEY, "children of a state"),
    OPT_INT("depth", "40", "STEPS", 1, 500, CLI_KEY, "most rounds, or steps of a trace"),
    OPT_INT("step-tokens", "256", "TOKENS", 1, 1e6, CLI_KEY, "longest step"),
    OPT_STR("split-steps", "blank", "HOW", CLI_KEY, "line, blank or delimiter:TEXT"),
    OPT_NAMES("verifier", "math", cli_names_verifiers, CLI_KEY,
              "which one takes answers out of traces, for votes and final steps"),
    OPT_INT("max-choices", "16", "N", 1, 1024, CLI_FREE, "most choices (n) of a request"),
    OPT_INT("budget-tokens", "16384", "TOKENS", 0, 1e12, CLI_FREE,
            "most tokens that one search may draw; the round that passes it is the last, 0 = all"),
    OPT_REAL("deadline", "600", "S", 0.1, 86400, CLI_FREE,
             "most seconds of a request, waiting included; then it answers with what it has"),
    OPT_INT("queue", "256", "REQUESTS", 1, 1e6, CLI_FREE, "requests that may wait; then 429"),
    OPT_INT("active", "64", "REQUESTS", 1, 4096, CLI_FREE, "requests that are worked on at once"),
    OPT_INT("connections", "512", "N", 1, 65536, CLI_FREE,
            "open connections; then the one that is idle longest is closed"),
    OPT_INT("max-body", "4194304", "BYTES", 1024, 1e9, CLI_FREE, "largest body of a request"),
    OPT_REAL("idle", "30", "S", 0.1, 86400, CLI_FREE,
             "a connection without a whole request header for so long is closed"),
    OPT_REAL("body", "30", "S", 0.1, 86400, CLI_FREE, "a body must be there after so long"),
    OPT_REAL("drain", "30", "S", 0, 86400, CLI_FREE,
             "after SIGTERM requests that are there have so long"),
    OPT_BOOL("keep", "true", CLI_FREE, "keep finished searches in the store: /tree/ID shows them"),
    OPT_NAME,
};
const cli_group cli_serve_group = CLI_GROUP_OF("serve", serve_opts);

/* ---- what both sides read */

static rung_status served_name(char out[96], const cli_call *c, rung_error *err) {
    const char *name = cli_str(c, "served-name"), *path = cli_str(c, "policy");
    if (!path) path = cli_str(c, "endpoint");
    if (!path) {
        rung_fail(err, RUNG_E_INVAL, "there is nothing to serve");
        return rung_error_hint(err, "--policy models/tiny.gguf, or the URL of an endpoint");
    }
    const char *slash = strrchr(path, '/');
    bool url = strstr(path, "://") != NULL;
    if (!name && url) name = cli_str(c, "remote-model");
    if (!name && url) name = "remote";
    if (!name) name = slash ? slash + 1 : path;
    size_t n = strlen(name);
    if (n > 5 && !cli_str(c, "served-name") && strcmp(name + n - 5, ".gguf") == 0) n -= 5;
    snprintf(out, 96, "%.*s", (int)n, name);
    if (out[0] && !strchr(out, ':')) return RUNG_OK;
    return rung_fail(err, RUNG_E_INVAL, "--served-name: must not be empty or hold a colon");
}

static rung_status caps_of(rung_serve_caps *caps, char name[96], cli_call *c, rung_error *err) {
    RUNG_TRY(served_name(name, c, err));
    *caps = (rung_serve_caps){.name = name,
                              .method = cli_str(c, "method"),
                              .split = cli_str(c, "split-steps"),
                              .max_tok = (int32_t)cli_int(c, "max-tokens"),
                              .n = (int32_t)cli_int(c, "max-choices"),
                              .budget_tok = cli_int(c, "budget-tokens"),
                              .deadline_s = cli_real(c, "deadline")};
    return cli_sampling(&caps->sampling, c, err);
}

/* ---- the worker */

static rung_status open_reward(rung_search_opts *o, cli_call *c, const cli_engine *e,
                               rung_error *err) {
    const char *path = cli_str(c, "reward");
    rung_reward_open_opts ro = RUNG_REWARD_OPEN_OPTS_INIT;
    rung_engine_opts eo = RUNG_ENGINE_OPTS_INIT;
    bool base = false;
    if (!path) return RUNG_OK;
    eo.n_threads = c->app->threads;
    eo.exact = cli_flag(c, "exact");
    ro.engine = &eo;
    ro.log = &c->app->log;
    ro.format = cli_str(c, "reward-format");
    RUNG_TRY(rung_reward_needs_base(&base, path, err));
    if (base && !e->model) {
        rung_fail(err, RUNG_E_INVAL, "%s reads the policy's hidden states: an endpoint has none",
                  path);
        return rung_error_hint(err, "a reward model of its own (prm_token) goes with any policy");
    }
    if (!base) RUNG_TRY(rung_model_try(path, &c->app->log, err));
    if (!base) RUNG_TRY(cli_weights(&ro.weights, c, path, 0, err));
    ro.base = base ? e->engine : NULL;
    RUNG_TRY(rung_reward_open_as(&o->reward, path, &ro, err));
    o->reward_on_policy = base;
    o->scorer = RUNG_SEARCH_SCORE_REWARD;
    return RUNG_OK;
}

static rung_status set_search(rung_search_opts *o, cli_call *c, const cli_engine *e,
                              rung_error *err) {
    o->n = (int32_t)cli_int(c, "n");
    o->width = (int32_t)cli_int(c, "width");
    o->depth = (int32_t)cli_int(c, "depth");
    o->step_tok = (int32_t)cli_int(c, "step-tokens");
    o->split = cli_str(c, "split-steps");
    o->system = cli_str(c, "system");
    o->suffix = cli_str(c, "suffix");
    o->stop = cli_str(c, "stop");
    o->generator = e->name;
    o->policy_size = o->reward_size = cli_model_size(e->model);
    RUNG_TRY(open_reward(o, c, e, err));
    if (cli_str(c, "score")) (void)rung_search_scorer_find(&o->scorer, cli_str(c, "score"));
    if (cli_str(c, "aggregate")) (void)rung_aggregate_find(&o->aggregate, cli_str(c, "aggregate"));
    return RUNG_OK;
}

static rung_status keep_in(rung_serve_work_opts *o, cli_call *c, const cli_engine *e,
                           rung_error *err) {
    rung_run run = {0};
    if (!cli_flag(c, "keep")) return RUNG_OK;
    RUNG_TRY(cli_store(&o->store, c, RUNG_STORE_CREATE, err));
    RUNG_TRY(cli_run_begin(&run, c, e->hash, err));
    o->run = run.id;
    if (o->search.reward)
        RUNG_TRY(rung_reward_register(&o->search.score_model, o->search.reward, o->store, err));
    return RUNG_OK;
}

static rung_status work(cli_call *c, int fd, rung_error *err) {
    rung_serve_work_opts o = RUNG_SERVE_WORK_OPTS_INIT;
    cli_engine e = {0};
    char name[96];
    o.fd = fd;
    o.verifier = cli_str(c, "verifier");
    o.fixed_seed = cli_is_set(c, "seed");
    o.seed = (uint64_t)cli_int(c, "seed");
    rung_status st = caps_of(&o.caps, name, c, err);
    if (st == RUNG_OK) st = cli_engine_open(&e, c, err);
    if (st == RUNG_OK) st = set_search(&o.search, c, &e, err);
    if (st == RUNG_OK) st = keep_in(&o, c, &e, err);
    o.engine = e.engine;
    o.reward = o.search.reward;
    if (st == RUNG_OK)
        st = rung_serve_work(&o, err);
    else
        rung_serve_cannot(fd, err);
    rung_reward_free(o.search.reward);
    cli_engine_close(&e);
    return st;
}

/* ---- the server */

static bool asked_to_stop(void *ud) {
    (void)ud;
    return cli_interrupted != 0;
}

static void say_url(void *ud, const char *url) {
    cli_call *c = ud;
    rung_error quiet = RUNG_ERROR_INIT;
    (void)cli_outf(c->app, &quiet, c->app->json ? "{\"v\":1,\"url\":\"%s\"}\n" : "%s\n", url);
    (void)cli_out_end(c->app, &quiet);
    cli_say(c->app, "serving at %s; SIGTERM ends it", url);
}

rung_status cli_serve(cli_call *c, rung_error *err) {
    rung_serve_opts o = RUNG_SERVE_OPTS_INIT;
    char name[96];
    int fd;
    const char *role = rung_serve_role(&fd), *variable = cli_str(c, "token-env");
    if (strcmp(role, "verify") == 0) return rung_serve_verify(fd, c->app->store_path, err);
    if (strcmp(role, "model") == 0) return work(c, fd, err);
    if (!c->app->argv || c->in_recipe)
        return rung_fail(err, RUNG_E_INVAL, "a server cannot be a stage of a recipe");
    RUNG_TRY(caps_of(&o.caps, name, c, err));
    o.listen = cli_str(c, "listen");
    o.token = variable ? getenv(variable) : NULL;
    if (o.token && !o.token[0]) o.token = NULL;
    o.cors = cli_str(c, "cors");
    o.queue = (int32_t)cli_int(c, "queue");
    o.active = (int32_t)cli_int(c, "active");
    o.connections = (int32_t)cli_int(c, "connections");
    o.max_body = cli_int(c, "max-body");
    o.idle_s = cli_real(c, "idle");
    o.body_s = cli_real(c, "body");
    o.drain_s = cli_real(c, "drain");
    o.argv = c->app->argv;
    o.log = &c->app->log;
    o.stop = asked_to_stop;
    o.on_listen = say_url;
    o.ud = c;
    return rung_serve(&o, err);
}
