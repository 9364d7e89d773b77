/* Exact mode's foundations: which shapes of calls give the same bits here, and what keeping to them
 * costs. The cost is measured on the model itself: of prompts when the engine opens, a few chunks
 * against one call of the same rows; of decode calls on the work itself, where now and then a call
 * that would be filled up is first computed as fast mode would. */
#include "model/engine_local.h"

#include <string.h>

/* Exact mode rests on what ggml's kernels do on this machine with this file: see that a row does
 * not depend on how many others share its call. */
enum { TEST_TOK = 24 };

static rung_status test_prompt(float *out, kv *k, int32_t first, int32_t n_vocab, rung_error *err) {
    int32_t s = k->n_seq, last = 0, n[2] = {first, TEST_TOK - first};
    rung_kv_clear(k, s);
    for (int i = 0; i < 2; i++) {
        rung_decoder_begin(&k->d);
        for (int32_t t = 0; t < n[i]; t++) {
            last = rung_kv_add(k, s, (k->stream[s].n * 37 + 11) % n_vocab, t == n[i] - 1);
        }
        RUNG_TRY(rung_decoder_run(&k->d, false, err));
    }
    const float *z;
    RUNG_TRY(rung_decoder_logits(&z, &k->d, last, err));
    memcpy(out, z, (size_t)n_vocab * sizeof *z);
    return RUNG_OK;
}

static rung_status test_live(float *out, kv *k, int32_t rows, int32_t n_vocab, rung_error *err) {
    for (int32_t s = 0; s < rows; s++) rung_kv_fork(k, s, k->n_seq, TEST_TOK - s);
    rung_decoder_begin(&k->d);
    for (int32_t s = 0; s < rows; s++) rung_kv_add(k, s, (s + 5) % n_vocab, true);
    RUNG_TRY(rung_decoder_run(&k->d, false, err));
    const float *z;
    RUNG_TRY(rung_decoder_logits(&z, &k->d, 0, err));
    memcpy(out, z, (size_t)n_vocab * sizeof *z);
    return RUNG_OK;
}

/* a, b: f32[n_vocab] each. */
static rung_status test_unit(bool *same, kv *k, int32_t unit, float *a, float *b, int32_t n_vocab,
                             rung_error *err) {
    size_t bytes = (size_t)n_vocab * sizeof(float);
    k->d.unit = unit;
    *same = false;
    RUNG_TRY(test_prompt(a, k, unit == 1 ? 2 : 4, n_vocab, err));
    RUNG_TRY(test_prompt(b, k, unit == 1 ? 17 : 16, n_vocab, err));
    if (memcmp(a, b, bytes) != 0) return RUNG_OK;
    RUNG_TRY(test_live(a, k, unit == 1 ? 2 : 4, n_vocab, err));
    RUNG_TRY(test_live(b, k, unit == 1 ? 3 : (k->n_seq < 8 ? k->n_seq : 8), n_vocab, err));
    *same = !memcmp(a, b, bytes);
    return RUNG_OK;
}

enum { TIME_CHUNKS = 4, TIME_REPEATS = 3, TWIN_EVERY = 16 };
#define TIME_ENOUGH 0.5 /* seconds of a measurement that need no repetition */

/* Seconds for n rows of one sequence in calls of at most `rows`. */
static rung_status time_rows(double *seconds, kv *k, int32_t n, int32_t rows, int32_t n_vocab,
                             rung_error *err) {
    int32_t s = k->n_seq;
    double before = k->d.stats->decode_s;
    rung_kv_clear(k, s);
    while (k->stream[s].n < n) {
        rung_decoder_begin(&k->d);
        for (int32_t i = 0; i < rows && k->stream[s].n < n; i++)
            rung_kv_add(k, s, (k->stream[s].n * 37 + 11) % n_vocab, false);
        RUNG_TRY(rung_decoder_run(&k->d, false, err));
    }
    *seconds = k->d.stats->decode_s - before;
    return RUNG_OK;
}

/* A prompt of a few chunks against the same in one call; the least of some tries. */
static rung_status time_chunks(kv *k, int32_t n_vocab, rung_error *err) {
    int32_t most = k->d.n_batch < k->n_cells ? k->d.n_batch : k->n_cells;
    int32_t n = most / k->chunk_max * k->chunk_max;
    if (n > TIME_CHUNKS * k->chunk_max) n = TIME_CHUNKS * k->chunk_max;
    k->chunk_share = 1.0;
    k->twin_in = 1;
    if (n <= k->chunk_max) return RUNG_OK;
    double best[2] = {1e9, 1e9}, total = 0.0, t;
    for (int i = 0; i < TIME_REPEATS && total < TIME_ENOUGH; i++) {
        for (int whole = 0; whole < 2; whole++) {
            RUNG_TRY(time_rows(&t, k, n, whole ? n : k->chunk_max, n_vocab, err));
            if (t < best[whole]) best[whole] = t;
            total += t;
        }
    }
    if (best[0] > 0.0 && best[1] > 0.0) k->chunk_share = best[1] / best[0];
    return RUNG_OK;
}

rung_status rung_kv_find_unit(kv *k, const rung_model *m, rung_error *err) {
    int32_t n = m->info.n_vocab;
    float *a = rung_alloc((size_t)n * sizeof *a), *b = rung_alloc((size_t)n * sizeof *b);
    rung_status st = a && b ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "no memory for logits");
    bool same = false;
    rung_engine_stats kept = *k->d.stats; /* tests are no work */
    if (st == RUNG_OK) st = test_unit(&same, k, 1, a, b, n, err);
    if (st == RUNG_OK && !same) st = test_unit(&same, k, RUNG_EXACT_PAD, a, b, n, err);
    rung_free(a);
    rung_free(b);
    if (st == RUNG_OK && same) st = time_chunks(k, n, err);
    rung_kv_forget(k);
    *k->d.stats = kept;
    if (st != RUNG_OK || same) return st;
    rung_fail(err, RUNG_E_MODEL, "no exact mode for model %s on this machine", m->info.name);
    rung_error_detail(err, "a row's logits depend on how many rows share its call");
    return rung_error_hint(err, "leave out --exact, or use another storage type");
}

rung_status rung_live_twin(local *e, rung_error *err) {
    kv *k = &e->kv;
    k->d.share = k->twin[0] > 0.0 ? k->twin[1] / k->twin[0] : 1.0;
    if (--k->twin_in > 0) return RUNG_OK;
    rung_engine_stats kept = e->base.stats; /* a measurement is no work */
    int32_t unit = k->d.unit;
    k->d.unit = 0;
    rung_decoder_begin(&k->d);
    for (int32_t s = 0; s < e->n_live; s++) rung_kv_add(k, s, e->live[s].last, true);
    rung_status st = rung_decoder_run(&k->d, false, err);
    k->d.unit = unit;
    for (int32_t s = 0; s < e->n_live; s++) rung_kv_cut(k, s, k->stream[s].n - 1);
    k->twin[1] += e->base.stats.decode_s - kept.decode_s;
    e->base.stats = kept;
    return st;
}

void rung_live_twin_done(local *e, double seconds) {
    kv *k = &e->kv;
    k->d.share = 1.0;
    if (k->twin_in > 0) return;
    k->twin[0] += seconds;
    k->twin_in = TWIN_EVERY;
}
