/* Streams of the KV cache: which tokens each holds, forks, eviction. */
#include "model/engine_local.h"

#include <string.h>

/* The whole cache, when the caller does not say: streams and cells are chosen to stay below. */
#define KV_BYTES_MAX ((int64_t)2 << 30)

static int32_t min32(int64_t a, int64_t b) {
    return (int32_t)(a < b ? a : b);
}

static int32_t max32(int64_t a, int64_t b) {
    return (int32_t)(a > b ? a : b);
}

/* How many streams of how many cells. Small models are bound by the overhead of a call, so they get
 * more sequences; a stream's cells come in units of 256 (libllama's padding). */
static void choose_sizes(kv *k, const rung_model_info *i, const rung_engine_opts *o) {
    int32_t n_seq = o->n_seq;
    if (n_seq == 0) n_seq = i->n_seq_best;
    if (n_seq == 0) n_seq = i->n_params < 50000000 ? 64 : i->n_params < 2500000000 ? 32 : 16;
    n_seq = min32(n_seq, 240);
    int32_t n_prompt = n_seq >= 8 ? 8 : 4;
    int64_t cells;
    if (o->n_ctx > 0) {
        int64_t most = max32(3, o->n_ctx / 256);
        if (n_seq + n_prompt > most) n_prompt = min32(n_prompt, max32(2, most / 4));
        n_seq = min32(n_seq, max32(1, most - n_prompt));
        cells = o->n_ctx / (n_seq + n_prompt);
    } else {
        cells = i->n_ctx_train > 0 ? min32(i->n_ctx_train, 2048) : 2048;
        int64_t bytes = KV_BYTES_MAX;
        if (o->max_bytes > 0 && o->max_bytes / 2 < bytes) bytes = o->max_bytes / 2;
        int64_t most = bytes / max32(1, rung_cell_bytes(i) * cells); /* streams */
        if (n_seq + n_prompt > most && o->n_seq == 0) {
            n_prompt = min32(n_prompt, 4);
            n_seq = max32(4, most - n_prompt);
        }
    }
    if (o->exact) n_seq = max32(1, n_seq / RUNG_EXACT_PAD) * RUNG_EXACT_PAD;
    k->n_seq = n_seq;
    k->n_stream = n_seq + n_prompt;
    k->n_cells = max32(256, (cells + 255) / 256 * 256);
}

void rung_kv_choose(kv *k, const rung_model *m, const rung_engine_opts *o) {
    choose_sizes(k, &m->info, o);
    k->d.n_seq = k->n_stream;
    k->d.n_cells = k->n_cells;
    int32_t n_batch = m->info.n_batch_best > 0 ? m->info.n_batch_best : 512;
    k->d.n_batch = max32(o->n_batch > 0 ? o->n_batch : n_batch, k->n_seq);
    int64_t rows = RUNG_LOGITS_BYTES_MAX / ((int64_t)m->info.n_vocab * 4);
    k->d.n_out_max = max32(k->n_seq, min32(k->d.n_batch, max32(1, rows)));
    k->exact = o->exact;
    if (o->exact)
        k->d.n_out_max = max32(k->n_seq, k->d.n_out_max / RUNG_EXACT_PAD * RUNG_EXACT_PAD);
    k->chunk_max = o->exact ? min32(RUNG_EXACT_ROWS, k->d.n_batch) : k->d.n_batch;
    /* padding must not lead beyond what the model was trained for */
    if (m->info.n_ctx_train > 0) k->n_cells = min32(k->n_cells, m->info.n_ctx_train);
    if (o->exact) k->n_cells = min32(k->n_cells, k->d.n_cells - RUNG_EXACT_PAD);
}

rung_status rung_kv_open(kv *k, const rung_model *m, const rung_engine_opts *o,
                         rung_engine_stats *stats, rung_error *err) {
    if (k->stream) return RUNG_OK;
    kv_stream *stream = rung_calloc((size_t)k->n_stream, sizeof *stream);
    if (!stream) return rung_fail(err, RUNG_E_NOMEM, "no memory for the engine");
    rung_status st = RUNG_OK;
    for (int32_t s = 0; s < k->n_stream && st == RUNG_OK; s++) {
        stream[s].tok = rung_calloc((size_t)k->n_cells + RUNG_EXACT_PAD, sizeof(int32_t));
        if (!stream[s].tok) st = rung_fail(err, RUNG_E_NOMEM, "no memory for the engine");
    }
    if (st == RUNG_OK) st = rung_decoder_open(&k->d, m, o, stats, err);
    k->stream = stream;
    if (st == RUNG_OK && k->exact) st = rung_kv_find_unit(k, m, err);
    if (st != RUNG_OK) rung_kv_close(k);
    return st;
}

void rung_kv_close(kv *k) {
    int32_t n_cells = k->d.n_cells, n_batch = k->d.n_batch, n_out_max = k->d.n_out_max;
    rung_decoder_close(&k->d);
    k->d.n_seq = k->n_stream; /* it may be opened again */
    k->d.n_cells = n_cells;
    k->d.n_batch = n_batch;
    k->d.n_out_max = n_out_max;
    for (int32_t s = 0; k->stream && s < k->n_stream; s++) rung_free(k->stream[s].tok);
    rung_free(k->stream);
    k->stream = NULL;
}

void rung_kv_cut(kv *k, int32_t s, int32_t n) {
    if (k->stream[s].n > n) llama_memory_seq_rm(k->d.mem, s, n, -1);
    if (k->stream[s].n > n) k->stream[s].n = n;
}

void rung_kv_clear(kv *k, int32_t s) {
    rung_kv_cut(k, s, 0);
    k->stream[s].used = 0;
}

void rung_kv_forget(kv *k) {
    if (!k->stream) return;
    llama_memory_clear(k->d.mem, false);
    for (int32_t s = 0; s < k->n_stream; s++) {
        k->stream[s].n = k->stream[s].pin = 0;
        k->stream[s].used = 0;
    }
    k->clock = 0;
}

void rung_kv_fork(kv *k, int32_t dst, int32_t src, int32_t n) {
    kv_stream *d = &k->stream[dst], *s = &k->stream[src];
    rung_kv_clear(k, dst);
    s->used = ++k->clock;
    if (n > 0) {
        llama_memory_seq_cp(k->d.mem, src, dst, -1, -1);
        memcpy(d->tok, s->tok, (size_t)s->n * sizeof *s->tok);
    }
    d->n = n > 0 ? s->n : 0;
    rung_kv_cut(k, dst, n);
    d->used = k->clock;
}

static int32_t common(const kv_stream *s, const int32_t *tok, int32_t limit) {
    int32_t n = s->n < limit ? s->n : limit, i = 0;
    while (i < n && s->tok[i] == tok[i]) i++;
    return i;
}

int32_t rung_kv_acquire(kv *k, const int32_t *tok, int32_t limit) {
    int32_t best = -1, n_best = 0, victim = -1;
    for (int32_t s = 0; s < k->n_stream; s++) {
        const kv_stream *st = &k->stream[s];
        int32_t n = common(st, tok, limit);
        /* among equals a prompt stream, which may be used in place */
        if (n > n_best || (n > 0 && n == n_best && s >= k->n_seq)) best = s, n_best = n;
        if (s < k->n_seq || st->pin > 0) continue;
        if (victim < 0 || st->used < k->stream[victim].used) victim = s;
    }
    /* In place: nothing is lost, or it is the one that would go anyway, or less is lost than kept
     * and no stream is free: texts that grow side by side keep what they have, while there is room.
     * And nothing that a queued request waits for. */
    int32_t lost = best >= 0 ? k->stream[best].n - n_best : 0;
    bool full = victim < 0 || k->stream[victim].n > 0;
    bool in_place = best >= k->n_seq && n_best >= k->stream[best].pin &&
                    (lost == 0 || best == victim || (lost <= n_best && full));
    if (!in_place && victim < 0) return -1;
    if (in_place) {
        rung_kv_cut(k, best, n_best);
    } else {
        if (k->stream[victim].n > 0) k->d.stats->n_evicted++;
        if (best >= 0) {
            rung_kv_fork(k, victim, best, n_best);
        } else {
            rung_kv_clear(k, victim);
        }
        best = victim;
    }
    k->stream[best].used = ++k->clock;
    return best;
}

int32_t rung_kv_add(kv *k, int32_t s, int32_t tok, bool output) {
    kv_stream *st = &k->stream[s];
    int32_t i = rung_decoder_add(&k->d, s, st->n, tok, output);
    st->tok[st->n++] = tok;
    return i;
}
