/* Two models on the same tokens: how far are their distributions apart? Both are read in the same
 * chunks, so that the same model twice gives the same numbers to the last bit. */
#include "model/calibrate.h"
#include "model/model_impl.h"

#include <math.h>
#include <string.h>

#define WINDOW 512 /* tokens that attend to each other at most */
#define CHUNK  64  /* rows of logits held of each: 39 MB at 152k tokens */

typedef struct reader {
    rung_engine *e;
    float *logits; /* [CHUNK][n_vocab] */
    size_t n;
    double wall_s;
    int32_t n_threads;
} reader;

static rung_status keep(void *ud, const rung_eval_out *o, rung_error *err) {
    reader *r = ud;
    (void)err;
    memcpy(r->logits, o->logits, r->n * sizeof *r->logits);
    return RUNG_OK;
}

/* Logits at tok[begin .. end), given tok[0 .. begin), which the cache holds by now. */
static rung_status read_logits(reader *r, const int32_t *tok, int32_t begin, int32_t end,
                               int32_t n_vocab, rung_error *err) {
    int32_t at[CHUNK];
    for (int32_t p = begin; p < end; p++) at[p - begin] = p;
    rung_eval v = {.tok = tok, .n_tok = end, .at = at, .n_at = end - begin, .logits = true};
    rung_engine_cb cb = {.on_eval = keep, .ud = r};
    double t0 = rung_probe_clock(r->n_threads);
    r->n = (size_t)(end - begin) * (size_t)n_vocab;
    RUNG_TRY(rung_engine_eval(r->e, &v, err));
    rung_status st = rung_engine_run(r->e, &cb, err);
    r->wall_s += rung_probe_clock(r->n_threads) - t0;
    return st;
}

double rung_logits_kl(const float *p, const float *q, int32_t n) {
    double mp = -HUGE_VAL, mq = -HUGE_VAL, sp = 0.0, sq = 0.0, sum = 0.0;
    for (int32_t t = 0; t < n; t++) {
        if ((double)p[t] > mp) mp = (double)p[t];
        if ((double)q[t] > mq) mq = (double)q[t];
    }
    for (int32_t t = 0; t < n; t++) {
        double w = exp((double)p[t] - mp);
        sp += w;
        sq += exp((double)q[t] - mq);
        if (w > 0.0) sum += w * (((double)p[t] - mp) - ((double)q[t] - mq));
    }
    double kl = sum / sp - log(sp) + log(sq);
    return kl < 0.0 ? 0.0 : kl; /* below 0 by rounding only */
}

static void add_row(rung_comparison *c, const float *a, const float *b, int32_t n) {
    int32_t top_a = 0, top_b = 0;
    for (int32_t t = 0; t < n; t++) {
        double d = fabs((double)a[t] - (double)b[t]);
        if (d > c->max_diff) c->max_diff = d;
        if (a[t] > a[top_a]) top_a = t;
        if (b[t] > b[top_b]) top_b = t;
    }
    double kl = memcmp(a, b, (size_t)n * sizeof *a) == 0 ? 0.0 : rung_logits_kl(a, b, n);
    c->mean_kl += kl;
    if (kl > c->max_kl) c->max_kl = kl;
    c->top1 += top_a == top_b;
    c->n_tokens++;
}

/* Ids must mean the same text in both. */
static rung_status same_tokens(const rung_model *a, const rung_model *b, rung_error *err) {
    rung_buf x, y;
    int32_t t = 0, n = a->info.n_vocab;
    bool same = n == b->info.n_vocab;
    rung_buf_init(&x, 1u << 20);
    rung_buf_init(&y, 1u << 20);
    for (; same && t < n; t++) {
        rung_buf_reset(&x);
        rung_buf_reset(&y);
        rung_model_piece(&x, a, t, true);
        rung_model_piece(&y, b, t, true);
        same = x.n == y.n && (x.n == 0 || memcmp(x.data, y.data, x.n) == 0);
    }
    rung_buf_clear(&x);
    rung_buf_clear(&y);
    if (same) return RUNG_OK;
    rung_fail(err, RUNG_E_MISMATCH, "the two models do not have the same tokens");
    if (n != b->info.n_vocab) {
        return rung_error_detail(err, "%d and %d tokens", n, b->info.n_vocab);
    }
    return rung_error_detail(err, "token %d is another text", t - 1);
}

static rung_status open_reader(reader *r, rung_model *m, int32_t n_threads, rung_error *err) {
    rung_engine_opts o = RUNG_ENGINE_OPTS_INIT;
    o.n_seq = 1;
    o.n_threads = r->n_threads = n_threads;
    o.n_ctx = 3 * WINDOW; /* one live stream, two of prompts */
    r->logits = rung_alloc((size_t)CHUNK * (size_t)m->info.n_vocab * sizeof(float));
    if (!r->logits) return rung_fail(err, RUNG_E_NOMEM, "no memory to compare models");
    return rung_engine_open(&r->e, m, &o, NULL, err);
}

static rung_status compare(rung_comparison *c, reader r[2], const int32_t *tok, int32_t n_tok,
                           int32_t window, int32_t n_vocab, const rung_log *log, rung_error *err) {
    for (int32_t begin = 0; begin < n_tok; begin += window) {
        int32_t n = n_tok - begin < window ? n_tok - begin : window;
        for (int32_t p = 0; p < n; p += CHUNK) {
            int32_t end = p + CHUNK < n ? p + CHUNK : n;
            for (int k = 0; k < 2; k++)
                RUNG_TRY(read_logits(&r[k], tok + begin, p, end, n_vocab, err));
            for (int32_t i = 0; i < end - p; i++) {
                size_t row = (size_t)i * (size_t)n_vocab;
                add_row(c, r[0].logits + row, r[1].logits + row, n_vocab);
            }
            RUNG_TRY(rung_progress(log, "tokens", begin + end, n_tok, 0, err));
        }
    }
    c->mean_kl /= c->n_tokens;
    c->top1 /= c->n_tokens;
    c->wall_a_s = r[0].wall_s;
    c->wall_b_s = r[1].wall_s;
    return RUNG_OK;
}

rung_status rung_model_compare(rung_comparison *out, rung_model *a, rung_model *b,
                               const int32_t *tok, int32_t n_tok, int32_t n_threads,
                               const rung_log *log, rung_error *err) {
    reader r[2] = {{0}, {0}};
    rung_status st = RUNG_OK;
    memset(out, 0, sizeof *out);
    if (n_tok < 1) return rung_fail(err, RUNG_E_INVAL, "there is no text to compare models on");
    RUNG_TRY(same_tokens(a, b, err));
    int32_t window = WINDOW;
    if (a->info.n_ctx_train > 0 && a->info.n_ctx_train < window) window = a->info.n_ctx_train;
    if (b->info.n_ctx_train > 0 && b->info.n_ctx_train < window) window = b->info.n_ctx_train;
    RUNG_GOTO(open_reader(&r[0], a, n_threads, err));
    RUNG_GOTO(open_reader(&r[1], b, n_threads, err));
    st = compare(out, r, tok, n_tok, window, a->info.n_vocab, log, err);
out:
    for (int k = 0; k < 2; k++) {
        rung_engine_close(r[k].e);
        rung_free(r[k].logits);
    }
    return st;
}
