/* Rollouts at the engine's full speed: every prompt queued at once, nothing verified or stored. */
#include "bench/load.h"
#include <stdio.h>
#include <string.h>

typedef struct tally {
    int64_t n, n_tok, n_stop[6];
} tally;
static const char *const stops[] = {"eos", "stop", "length", "context", "cancelled", "error"};
enum { N_STOPS = sizeof stops / sizeof stops[0] };

static rung_status on_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    tally *t = ud;
    (void)err;
    t->n++;
    t->n_tok += o->n_tok;
    for (int i = 0; i < N_STOPS; i++) t->n_stop[i] += strcmp(o->stop, stops[i]) == 0;
    return RUNG_OK;
}

/* What a peer is to be given: the very tokens, so that its template or tokenizer cannot differ. */
static rung_status write_prompts(const load_work *w, const char *path, rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, 256u << 20);
    FILE *f = fopen(path, "we");
    if (!f) return rung_fail_errno(err, "could not write %s", path);
    for (int64_t k = 0; k < w->n; k++) {
        const load_prompt *p = (const load_prompt *)w->prompt + k;
        rung_buf_printf(&b, "{\"v\":1,\"i\":%lld,\"problem\":%lld,\"tok\":[", (long long)k,
                        (long long)p->problem);
        for (int32_t i = 0; i < p->n_tok; i++) rung_buf_printf(&b, "%s%d", i ? "," : "", p->tok[i]);
        rung_buf_str(&b, "]}\n");
    }
    rung_status st = rung_buf_check(&b, err);
    bool bad = st == RUNG_OK && b.n > 0 && fwrite(b.data, 1, b.n, f) != b.n;
    bad |= fclose(f) != 0;
    if (st == RUNG_OK && bad) st = rung_fail_errno(err, "could not write %s", path);
    rung_buf_clear(&b);
    return st;
}

static rung_status submit(rung_engine *e, const load_prompt *p, const rung_load_opts *o,
                          rung_error *err) {
    rung_gen g = {.prompt = {o->system, p->user, p->prefix},
                  .sampling = o->sampling,
                  .n = o->n ? o->n : 8,
                  .max_tok = o->max_tok ? o->max_tok : 64,
                  .seed = o->seed,
                  .stream = RUNG_STREAM_ROLLOUT,
                  .key = p->key};
    return rung_engine_gen(e, &g, err);
}

static void put(rung_buf *b, const load_work *w, const tally *t, const rung_load_opts *o,
                double wall_s) {
    rung_buf_printf(
        b,
        "{\"v\":1,\"bench\":\"rollouts\",\"rows\":%lld,\"prompts\":%lld,\"n\":%d,\"max_tokens\":%d,"
        "\"samples\":%lld,\"tokens_kept\":%lld,\"tokens_prompts\":%lld,\"tokens_union\":%lld",
        (long long)w->n_rows, (long long)w->n, o->n ? o->n : 8, o->max_tok ? o->max_tok : 64,
        (long long)t->n, (long long)t->n_tok, (long long)w->n_tok, (long long)w->n_union);
    for (int i = 0; i < N_STOPS; i++)
        rung_buf_printf(b, ",\"n_%s\":%lld", stops[i], (long long)t->n_stop[i]);
    rung_buf_printf(b, ",\"wall_s\":%.6f", wall_s);
}

static rung_status run(load_work *w, rung_buf *json, rung_engine *e, const rung_model *m,
                       const rung_load_opts *o, rung_error *err) {
    tally t = {0};
    rung_engine_cb cb = {.on_gen = on_gen, .ud = &t};
    load_mark begin;
    rung_engine_stats after;
    if (o->prompts_out) RUNG_TRY(write_prompts(w, o->prompts_out, err));
    rung_load_begin(&begin, e);
    for (int64_t k = 0; k < w->n; k++) {
        rung_status st = submit(e, (const load_prompt *)w->prompt + k, o, err);
        if (st != RUNG_OK) {
            rung_engine_clear(e);
            return st;
        }
    }
    RUNG_TRY(rung_engine_run(e, &cb, err));
    double wall_s = rung_now() - begin.now;
    rung_engine_get_stats(&after, e);
    if (after.n_generated == begin.stats.n_generated) {
        rung_fail(err, RUNG_E_LIMIT, "no prompt left room for one token");
        return rung_error_hint(err, "shorter prompts, a model with a longer context, or --ctx");
    }
    put(json, w, &t, o, wall_s);
    rung_buf_printf(json, ",\"tokens_per_s\":%.6g",
                    (double)(after.n_generated - begin.stats.n_generated) / wall_s);
    rung_load_put_stats(json, e, &begin);
    rung_load_put_model(json, m);
    rung_buf_str(json, "}");
    return rung_buf_check(json, err);
}

rung_status rung_bench_rollouts(rung_buf *json, rung_store *s, rung_engine *e,
                                const rung_load_opts *o, rung_error *err) {
    load_work w;
    const rung_model *m;
    if (o->struct_size != sizeof *o || o->n < 0 || o->max_tok < 0)
        return rung_fail(err, RUNG_E_INVAL, "rung_load_opts: another size, or a negative count");
    RUNG_TRY(rung_load_model(&m, e, err));
    rung_status st = rung_load_read(&w, s, m, o, err);
    if (st == RUNG_OK) st = run(&w, json, e, m, o, err);
    rung_load_clear(&w);
    return st;
}
