/* rung bench rollouts | decode | score: how fast the engine does the work. Nothing is stored; the
 * peers' side is in benchmarks/. */
#include "base/json.h"
#include "cli/session.h"
#include "rung/bench.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cli_opt rollouts_opts[] = {
    OPT_INT("k", "8", "ROLLOUTS", 1, 100000, CLI_KEY, "continuations of each prompt"),
    OPT_CHOICE("from", "steps", "steps|problems", CLI_KEY,
               "continue every step prefix but the last of the traces, or the problems themselves"),
    OPT_PATH("prompts-out", "", CLI_FREE, "write the prompts' tokens, a JSON object a line"),
};
const cli_group cli_bench_rollouts_group = CLI_GROUP_OF("measurement", rollouts_opts);
static const cli_opt decode_opts[] = {
    OPT_STR(
        "sizes", "1,4,16,64", "N,...", CLI_KEY,
        "sequences at once; also opens the engine for the largest, unless --sequences is given"),
    OPT_INT("prompt-tokens", "256", "TOKENS", 1, 1e6, CLI_KEY, "length of the shared prompt"),
};
const cli_group cli_bench_decode_group = CLI_GROUP_OF("measurement", decode_opts);
static const cli_opt score_opts[] = {
    OPT_CHOICE("read", "hidden", "hidden|logits", CLI_KEY, "what is read at each step's end"),
    OPT_BOOL("per-step", "false", CLI_KEY,
             "one evaluation a step from an empty cache, as scorers without a cache do it"),
};
const cli_group cli_bench_score_group = CLI_GROUP_OF("measurement", score_opts);

/* The measurement's object becomes the command's, with the time it took to open the engine. */
static rung_status finish(cli_call *c, rung_buf *json, double load_s, rung_error *err) {
    char name[64];
    RUNG_TRY(rung_buf_check(json, err));
    cli_result_open(c, NULL);
    rung_buf_printf(&c->result, ",\"load_s\":%.3f,\"threads\":%d,", load_s,
                    c->app->threads ? c->app->threads : rung_n_cores());
    rung_buf_str(&c->result, json->data + strlen("{\"v\":1,"));
    rung_buf_printf(&c->summary, "%s: done", cli_cmd_name(c->cmd, name));
    return rung_buf_check(&c->result, err);
}

static void load_opts(rung_load_opts *o, const cli_call *c) {
    *o = (rung_load_opts)RUNG_LOAD_OPTS_INIT;
    o->system = cli_str(c, "system");
    o->suffix = cli_str(c, "suffix");
}

static rung_status rollouts(cli_call *c, rung_store *s, rung_engine *e, rung_load_opts *o,
                            rung_buf *json, rung_error *err) {
    o->problems = strcmp(cli_str(c, "from"), "problems") == 0;
    o->n = (int32_t)cli_int(c, "k");
    o->max_tok = (int32_t)cli_int(c, "max-tokens");
    RUNG_TRY(cli_sampling(&o->sampling, c, err));
    o->seed = (uint64_t)cli_int(c, "seed");
    o->prompts_out = cli_str(c, "prompts-out");
    return rung_bench_rollouts(json, s, e, o, err);
}

static rung_status score(cli_call *c, rung_store *s, rung_engine *e, rung_load_opts *o,
                         rung_buf *json, rung_error *err) {
    o->logits = strcmp(cli_str(c, "read"), "logits") == 0;
    o->per_step = cli_flag(c, "per-step");
    return rung_bench_score(json, s, e, o, err);
}

typedef rung_status (*load_fn)(cli_call *c, rung_store *s, rung_engine *e, rung_load_opts *o,
                               rung_buf *json, rung_error *err);

static rung_status with_store(cli_call *c, load_fn fn, rung_error *err) {
    rung_load_opts o;
    rung_store *s;
    cli_engine e = {0};
    rung_buf json;
    rung_buf_init(&json, 1u << 20);
    load_opts(&o, c);
    RUNG_TRY(cli_need(c, "policy", "--policy models/tiny.gguf", err));
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_READ_ONLY, err));
    RUNG_TRY(cli_filter(&o.what, c, s, err));
    double t0 = rung_now();
    RUNG_TRY(cli_engine_open(&e, c, err));
    double load_s = rung_now() - t0;
    rung_status st = fn(c, s, e.engine, &o, &json, err);
    if (st == RUNG_OK) st = finish(c, &json, load_s, err);
    cli_engine_close(&e);
    rung_buf_clear(&json);
    return st == RUNG_OK && !c->app->json ? cli_print_flat(c, err) : st;
}

rung_status cli_bench_rollouts(cli_call *c, rung_error *err) {
    return with_store(c, rollouts, err);
}

rung_status cli_bench_score(cli_call *c, rung_error *err) {
    return with_store(c, score, err);
}

/* ---- decode */

enum { SIZES_MAX = 32 };

static rung_status read_sizes(int32_t size[SIZES_MAX], int32_t *n, cli_call *c, rung_error *err) {
    const char *p = cli_str(c, "sizes");
    int32_t most = 0;
    *n = 0;
    while (p && *p) {
        char *end = NULL;
        long v = strtol(p, &end, 10);
        if (end == p || v < 1 || v > 4096 || (*end && *end != ',') || *n == SIZES_MAX) {
            rung_fail(err, RUNG_E_INVAL, "--sizes \"%s\" is not a list of 1..4096",
                      cli_str(c, "sizes"));
            return rung_error_hint(err, "--sizes 1,4,16,64");
        }
        size[(*n)++] = (int32_t)v;
        if (v > most) most = (int32_t)v;
        p = *end ? end + 1 : end;
    }
    if (*n == 0) return cli_need(c, "sizes", "--sizes 1,4,16,64", err);
    if (cli_int(c, "sequences") > 0) return RUNG_OK;
    char text[16];
    snprintf(text, sizeof text, "%d", most);
    const char *kept = rung_arena_strndup(c->app->arena, text, strlen(text));
    if (!kept) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    return cli_set(c, cli_value_find(c, "sequences"), kept, CLI_DEFAULT, "", RUNG_E_INVAL, err);
}

static rung_status print_points(cli_call *c, rung_error *err) {
    static const char *const head[] = {"sequences", "tokens", "tokens/s", "wall_s", "sample_s"};
    static const char *const key[] = {"tokens_per_s", "wall_s", "sample_s"};
    cli_table t;
    yyjson_doc *doc = yyjson_read(c->result.data, c->result.n, 0);
    if (!doc) return rung_fail(err, RUNG_E_FORMAT, "the result is not JSON");
    yyjson_val *points = yyjson_obj_get(yyjson_doc_get_root(doc), "points"), *p;
    size_t i, n;
    cli_table_init(&t, head, CLI_N(head));
    yyjson_arr_foreach(points, i, n, p) {
        cli_cell(&t, "%lld", (long long)yyjson_get_sint(yyjson_obj_get(p, "n_seq")));
        cli_cell(&t, "%lld", (long long)yyjson_get_sint(yyjson_obj_get(p, "tokens")));
        for (size_t k = 0; k < CLI_N(key); k++)
            cli_cell(&t, "%.4g", yyjson_get_num(yyjson_obj_get(p, key[k])));
    }
    yyjson_doc_free(doc);
    return cli_table_print(&t, c->app, err);
}

rung_status cli_bench_decode(cli_call *c, rung_error *err) {
    rung_decode_opts o = RUNG_DECODE_OPTS_INIT;
    int32_t size[SIZES_MAX];
    cli_engine e = {0};
    rung_buf json;
    rung_buf_init(&json, 1u << 20);
    RUNG_TRY(read_sizes(size, &o.n_points, c, err));
    o.n_seq = size;
    o.n_prompt = (int32_t)cli_int(c, "prompt-tokens");
    o.n_tok = (int32_t)cli_int(c, "max-tokens");
    RUNG_TRY(cli_sampling(&o.sampling, c, err));
    o.seed = (uint64_t)cli_int(c, "seed");
    double t0 = rung_now();
    RUNG_TRY(cli_engine_open(&e, c, err));
    double load_s = rung_now() - t0;
    rung_status st = rung_bench_decode(&json, e.engine, &o, err);
    if (st == RUNG_OK) st = finish(c, &json, load_s, err);
    cli_engine_close(&e);
    rung_buf_clear(&json);
    return st == RUNG_OK && !c->app->json ? print_points(c, err) : st;
}
