/* Decoding and sampling n sequences from one prompt, as llama-batched-bench does it (which does not
 * sample). */
#include "bench/load.h"
#include "bench/pool.h"
#include <math.h>
#include <string.h>

#define LINES_MAX 4096
#define NEAR      64 /* bytes around the place that bisection finds */

/* Plain text, a line a step: no model ends soon after it, every vocabulary can spell it. */
static rung_status make_text(rung_buf *b, int32_t n_bytes, rung_error *err) {
    rung_buf_init(b, 1u << 20);
    for (int i = 1; i <= LINES_MAX && b->n < (size_t)n_bytes; i++) {
        rung_buf_printf(b, "Step %d: add %d to the total, then write down %d and go on.\n", i,
                        i * 7 % 90 + 10, i * 31 % 900 + 100);
    }
    return rung_buf_check(b, err);
}

/* Tokens of the prompt whose user text is the first k bytes; -1: *st says why. */
static int32_t tokens_of(rung_status *st, char *text, size_t k, const rung_model *m,
                         rung_error *err) {
    int32_t *tok = NULL, n_tok = 0;
    char kept = text[k];
    text[k] = 0;
    rung_prompt p = {NULL, text, NULL};
    *st = rung_prompt_tokens(&tok, &n_tok, NULL, m, &p, err);
    text[k] = kept;
    rung_free(tok);
    return *st == RUNG_OK ? n_tok : -1;
}

/* Cuts the text where the whole prompt has exactly n tokens. More bytes are more tokens but for
 * the last few, which may join: bisection finds the neighbourhood, a scan the place. */
static rung_status cut_to(char *text, size_t n_text, const rung_model *m, int32_t n,
                          rung_error *err) {
    size_t lo = 1, hi = n_text;
    rung_status st = RUNG_OK;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int32_t got = tokens_of(&st, text, mid, m, err);
        if (st != RUNG_OK) return st;
        if (got < n)
            lo = mid + 1;
        else
            hi = mid;
    }
    size_t from = lo > NEAR ? lo - NEAR : 1, end = lo + NEAR < n_text ? lo + NEAR : n_text;
    for (size_t k = from; k <= end; k++) {
        int32_t got = tokens_of(&st, text, k, m, err);
        if (st != RUNG_OK) return st;
        if (got == n) {
            text[k] = 0;
            return RUNG_OK;
        }
    }
    rung_fail(err, RUNG_E_LIMIT, "no prompt of exactly %d tokens could be made", n);
    return rung_error_hint(err, "one byte of text takes %d with the chat template, all of it %d",
                           tokens_of(&st, text, 1, m, NULL), tokens_of(&st, text, n_text, m, NULL));
}

typedef struct tally {
    int64_t n, n_early;
    int32_t max_tok;
} tally;

static rung_status on_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    tally *t = ud;
    if (strcmp(o->stop, "context") == 0) {
        rung_fail(err, RUNG_E_LIMIT,
                  "the context is too small for the prompt and its continuation");
        return rung_error_hint(err, "a larger --ctx, or fewer --sequences");
    }
    t->n++;
    t->n_early += o->n_tok < t->max_tok;
    return RUNG_OK;
}

/* The tokens that would end a continuation, banned: batched-bench does not stop at them either. */
static rung_status ban_ends(rung_sampling *s, void **list, const rung_model *m, rung_error *err) {
    rung_model_info info;
    int64_t cap = 0;
    rung_model_get_info(&info, m);
    s->n_bias = 0;
    for (int32_t t = 0; t < info.n_vocab; t++) {
        if (!rung_model_is_eog(m, t)) continue;
        RUNG_TRY(rung_grow(list, &cap, s->n_bias + 1, sizeof(rung_logit_bias), err));
        ((rung_logit_bias *)*list)[s->n_bias++] = (rung_logit_bias){t, -INFINITY};
    }
    s->bias = *list;
    return RUNG_OK;
}

static rung_status sample(rung_engine *e, const char *text, const rung_decode_opts *o, int32_t n,
                          int32_t max_tok, tally *t, rung_error *err) {
    *t = (tally){.max_tok = max_tok};
    rung_engine_cb cb = {.on_gen = on_gen, .ud = t};
    rung_gen g = {.prompt = {NULL, text, NULL},
                  .sampling = o->sampling,
                  .n = n,
                  .max_tok = max_tok,
                  .seed = o->seed,
                  .stream = RUNG_STREAM_ROLLOUT,
                  .key = (uint64_t)n};
    RUNG_TRY(rung_engine_gen(e, &g, err));
    return rung_engine_run(e, &cb, err);
}

/* The prompt first, untimed for the point: what is measured then is n_tok decodes of n sequences.
 */
static rung_status point(rung_buf *json, rung_engine *e, const char *text,
                         const rung_decode_opts *o, int32_t n_seq, rung_error *err) {
    load_mark begin;
    rung_engine_stats s1;
    tally t;
    rung_engine_clear(e);
    double t0 = rung_now();
    RUNG_TRY(sample(e, text, o, 1, 1, &t, err));
    rung_load_begin(&begin, e);
    RUNG_TRY(sample(e, text, o, n_seq, o->n_tok + 1, &t, err));
    double wall_s = rung_now() - begin.now;
    rung_engine_get_stats(&s1, e);
    long long tokens = (long long)(s1.n_generated - begin.stats.n_generated) - n_seq;
    rung_buf_printf(json,
                    "{\"n_seq\":%d,\"tokens\":%lld,\"n_early\":%lld,\"wall_s\":%.6f,"
                    "\"tokens_per_s\":%.6g,\"prefill_s\":%.6f",
                    n_seq, tokens, (long long)t.n_early, wall_s, (double)tokens / wall_s,
                    begin.now - t0);
    rung_load_put_stats(json, e, &begin);
    rung_buf_str(json, "}");
    return RUNG_OK;
}

rung_status rung_bench_decode(rung_buf *json, rung_engine *e, const rung_decode_opts *opts,
                              rung_error *err) {
    const rung_decode_opts *o = opts;
    rung_decode_opts banned;
    const rung_model *m;
    void *list = NULL;
    rung_buf text;
    if (o->struct_size != sizeof *o || o->n_points < 1 || o->n_prompt < 1 || o->n_tok < 1)
        return rung_fail(err, RUNG_E_INVAL, "rung_decode_opts: another size, or a count below 1");
    for (int32_t i = 0; i < o->n_points; i++) {
        if (o->n_seq[i] < 1) return rung_fail(err, RUNG_E_INVAL, "%d sequences", o->n_seq[i]);
    }
    RUNG_TRY(rung_load_model(&m, e, err));
    banned = *opts;
    o = &banned;
    rung_status st = make_text(&text, o->n_prompt * 8, err);
    if (st == RUNG_OK) st = ban_ends(&banned.sampling, &list, m, err);
    if (st == RUNG_OK) st = cut_to(text.data, text.n, m, o->n_prompt, err);
    rung_buf_printf(json, "{\"v\":1,\"bench\":\"decode\",\"prompt_tokens\":%d,\"tokens_each\":%d",
                    o->n_prompt, o->n_tok);
    rung_buf_str(json, ",\"points\":[");
    for (int32_t i = 0; i < o->n_points && st == RUNG_OK; i++) {
        if (i) rung_buf_str(json, ",");
        st = point(json, e, text.data, o, o->n_seq[i], err);
    }
    rung_buf_str(json, "]");
    rung_load_put_model(json, m);
    rung_buf_str(json, "}");
    rung_buf_clear(&text);
    rung_free(list);
    return st == RUNG_OK ? rung_buf_check(json, err) : st;
}
