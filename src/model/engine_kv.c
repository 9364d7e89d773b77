/* Streams of the KV cache: which tokens each holds, forks, eviction, decoding. */
#include "model/engine_local.h"

#include <ggml-backend.h>
#include <ggml.h>
#include <string.h>

/* Rows of logits of one call: 152k-token vocabularies would take 300 MB for a batch of 512. */
#define LOGITS_BYTES_MAX ((int64_t)64 << 20)
/* The whole cache, when the caller does not say: streams and cells are chosen to stay below. */
#define KV_BYTES_MAX ((int64_t)2 << 30)

/* ggml's OpenMP workers spin between operations. With more runnable threads than cores one call
 * then takes up to a hundred times longer than on one thread. So now and then PROBES calls try the
 * other setting; the first only wakes it. It must be faster by a fifth to be kept. Probes that
 * change nothing become rarer. */
#define PROBES        3
#define PROBE_GAP     64
#define PROBE_GAP_MAX 4096
#define MUST_GAIN     0.8

/* Hidden states are read where libllama computes them: the output rows after the final norm. Its
 * own embedding mode would compute the vocabulary head for every token of the batch. When only
 * hidden states are wanted, false stops the graph before the head. */
static bool on_node(struct ggml_tensor *t, bool ask, void *ud) {
    kv *k = ud;
    if (!k->want_hidden || strcmp(t->name, "result_norm") != 0) return false;
    if (ask) return true;
    int64_t rows = t->ne[1];
    if (t->type == GGML_TYPE_F32 && t->ne[0] == k->n_embd && rows <= k->n_out_max) {
        ggml_backend_tensor_get(t, k->hidden, 0, (size_t)(rows * t->ne[0]) * sizeof(float));
        k->n_hidden = (int32_t)rows;
    }
    return !k->skip_head;
}

static int64_t bytes_per_cell(const rung_model_info *i) {
    int64_t heads = i->n_head > 0 ? i->n_head : 1;
    return (int64_t)i->n_layer * 2 * 2 * (i->n_embd / heads) *
           (i->n_head_kv > 0 ? i->n_head_kv : heads);
}

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
        int64_t most = KV_BYTES_MAX / max32(1, bytes_per_cell(i) * cells); /* streams */
        if (n_seq + n_prompt > most && o->n_seq == 0) {
            n_prompt = min32(n_prompt, 4);
            n_seq = max32(4, most - n_prompt);
        }
    }
    k->n_seq = n_seq;
    k->n_stream = n_seq + n_prompt;
    k->n_cells = max32(256, (cells + 255) / 256 * 256);
}

static rung_status make_context(kv *k, const rung_model *m, const rung_engine_opts *o,
                                rung_error *err) {
    struct llama_context_params p = llama_context_default_params();
    int32_t threads = o->n_threads > 0 ? o->n_threads : rung_n_cores();
    if (o->n_threads == 0 && m->info.n_threads_best > 0) threads = m->info.n_threads_best;
    p.n_ctx = (uint32_t)k->n_cells * (uint32_t)k->n_stream;
    p.n_seq_max = (uint32_t)k->n_stream;
    p.n_batch = p.n_ubatch = (uint32_t)k->n_batch;
    p.n_outputs_max = (uint32_t)max32(k->n_out_max, k->n_stream);
    p.n_threads = p.n_threads_batch = threads;
    p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    p.kv_unified = false;
    p.no_perf = true;
    p.cb_eval = on_node;
    p.cb_eval_user_data = k;
    rung_llama_clear_error();
    k->ctx = llama_init_from_model(m->llama, p);
    if (!k->ctx) {
        rung_fail(err, RUNG_E_MODEL, "libllama could not make a context of %d x %d cells",
                  k->n_stream, k->n_cells);
        rung_error_detail(err, "%s", rung_llama_last_error());
        return rung_error_hint(err, "ask for fewer sequences or a smaller context");
    }
    k->mem = llama_get_memory(k->ctx);
    k->n_cells = (int32_t)llama_n_ctx_seq(k->ctx);
    /* padding must not lead beyond what the model was trained for */
    if (m->info.n_ctx_train > 0) k->n_cells = min32(k->n_cells, m->info.n_ctx_train);
    k->n_threads[0] = threads;
    k->n_threads[1] = 1;
    k->adapt = o->n_threads == 0 && threads > 1;
    k->probe_in = PROBES;
    k->probe_gap = PROBE_GAP;
    return RUNG_OK;
}

rung_status rung_kv_open(kv *k, const rung_model *m, const rung_engine_opts *o,
                         rung_engine_stats *stats, rung_error *err) {
    choose_sizes(k, &m->info, o);
    k->stats = stats;
    k->n_embd = m->info.n_embd;
    int32_t n_batch = m->info.n_batch_best > 0 ? m->info.n_batch_best : 512;
    k->n_batch = max32(o->n_batch > 0 ? o->n_batch : n_batch, k->n_seq);
    int64_t rows = LOGITS_BYTES_MAX / ((int64_t)m->info.n_vocab * 4);
    k->n_out_max = max32(k->n_seq, min32(k->n_batch, max32(1, rows)));
    RUNG_TRY(make_context(k, m, o, err));
    stats->kv_bytes = bytes_per_cell(&m->info) * (int64_t)llama_n_ctx(k->ctx);
    k->batch = llama_batch_init(k->n_batch, 0, 1);
    k->stream = rung_calloc((size_t)k->n_stream, sizeof *k->stream);
    k->hidden = rung_calloc((size_t)k->n_out_max * (size_t)k->n_embd, sizeof *k->hidden);
    if (!k->stream || !k->hidden) return rung_fail(err, RUNG_E_NOMEM, "no memory for the engine");
    for (int32_t s = 0; s < k->n_stream; s++) {
        k->stream[s].tok = rung_calloc((size_t)k->n_cells, sizeof(int32_t));
        if (!k->stream[s].tok) return rung_fail(err, RUNG_E_NOMEM, "no memory for the engine");
    }
    return RUNG_OK;
}

void rung_kv_close(kv *k) {
    if (k->ctx) llama_free(k->ctx);
    if (k->batch.token) llama_batch_free(k->batch);
    for (int32_t s = 0; k->stream && s < k->n_stream; s++) rung_free(k->stream[s].tok);
    rung_free(k->stream);
    rung_free(k->hidden);
    memset(k, 0, sizeof *k);
}

static void cut(kv *k, int32_t s, int32_t n) {
    if (k->stream[s].n > n) llama_memory_seq_rm(k->mem, s, n, -1);
    if (k->stream[s].n > n) k->stream[s].n = n;
}

void rung_kv_clear(kv *k, int32_t s) {
    cut(k, s, 0);
    k->stream[s].used = 0;
}

void rung_kv_forget(kv *k) {
    if (k->mem) llama_memory_clear(k->mem, false);
    for (int32_t s = 0; k->stream && s < k->n_stream; s++) {
        k->stream[s].n = 0;
        k->stream[s].used = 0;
    }
    k->clock = 0;
}

void rung_kv_fork(kv *k, int32_t dst, int32_t src) {
    kv_stream *d = &k->stream[dst], *s = &k->stream[src];
    rung_kv_clear(k, dst);
    if (s->n > 0) {
        llama_memory_seq_cp(k->mem, src, dst, -1, -1);
        memcpy(d->tok, s->tok, (size_t)s->n * sizeof *s->tok);
    }
    d->n = s->n;
    d->used = ++k->clock;
}

static int32_t common(const kv_stream *s, const int32_t *tok, int32_t limit) {
    int32_t n = s->n < limit ? s->n : limit, i = 0;
    while (i < n && s->tok[i] == tok[i]) i++;
    return i;
}

int32_t rung_kv_acquire(kv *k, const int32_t *tok, int32_t limit) {
    int32_t best = -1, n_best = 0, victim = -1;
    for (int32_t s = 0; s < k->n_stream; s++) {
        int32_t n = common(&k->stream[s], tok, limit);
        /* among equals a prompt stream, which may be used in place */
        if (n > n_best || (n > 0 && n == n_best && s >= k->n_seq)) best = s, n_best = n;
        if (s < k->n_seq) continue;
        if (victim < 0 || k->stream[s].used < k->stream[victim].used) victim = s;
    }
    /* In place: nothing is lost, or it is the one that would go anyway, or less is lost than kept
     * and no stream is free: texts that grow side by side keep what they have, while there is room.
     */
    int32_t lost = best >= 0 ? k->stream[best].n - n_best : 0;
    bool in_place = best >= k->n_seq &&
                    (lost == 0 || best == victim || (lost <= n_best && k->stream[victim].n > 0));
    if (in_place) {
        cut(k, best, n_best);
    } else {
        if (k->stream[victim].n > 0) k->stats->n_evicted++;
        if (best >= 0) {
            rung_kv_fork(k, victim, best);
            cut(k, victim, n_best);
        } else {
            rung_kv_clear(k, victim);
        }
        best = victim;
    }
    k->stream[best].used = ++k->clock;
    return best;
}

void rung_kv_begin(kv *k) {
    k->batch.n_tokens = 0;
}

int32_t rung_kv_add(kv *k, int32_t s, int32_t tok, bool output) {
    struct llama_batch *b = &k->batch;
    int32_t i = b->n_tokens++;
    kv_stream *st = &k->stream[s];
    b->token[i] = tok;
    b->pos[i] = st->n;
    b->n_seq_id[i] = 1;
    b->seq_id[i][0] = s;
    b->logits[i] = output;
    st->tok[st->n++] = tok;
    return i;
}

rung_status rung_kv_decode(kv *k, rung_error *err) {
    double t0 = rung_now();
    k->n_hidden = 0;
    rung_llama_clear_error();
    int32_t rc = llama_decode(k->ctx, k->batch);
    llama_synchronize(k->ctx);
    k->stats->decode_s += rung_now() - t0;
    k->stats->n_decode_calls++;
    if (rc == 0) return RUNG_OK;
    rung_fail(err, RUNG_E_MODEL, "libllama could not decode %d tokens (code %d)", k->batch.n_tokens,
              rc);
    return rung_error_detail(err, "%s", rung_llama_last_error());
}

static void use(kv *k, int32_t which) {
    if (k->with == which) return;
    k->with = which;
    llama_set_n_threads(k->ctx, k->n_threads[which], k->n_threads[which]);
}

void rung_kv_try_threads(kv *k) {
    if (!k->adapt) return;
    if (k->probe_in == 0) use(k, !k->with);
    if (k->probe_in > -PROBES) return;
    bool better = k->cost[k->with] < k->cost[!k->with] * MUST_GAIN;
    if (!better) use(k, !k->with);
    k->probe_gap = better ? PROBE_GAP : 2 * k->probe_gap;
    if (k->probe_gap > PROBE_GAP_MAX) k->probe_gap = PROBE_GAP_MAX;
    k->probe_in = k->probe_gap;
}

void rung_kv_note_time(kv *k, double seconds) {
    if (!k->adapt) return;
    double *cost = &k->cost[k->with], now = seconds / k->batch.n_tokens;
    int64_t at = k->probe_in--;
    /* the calls just before the probe and all of it but its first; least of them: noise only adds
     */
    if (at == PROBES - 1 || at == -1) {
        *cost = now;
    } else if ((at > 0 && at < PROBES) || at < -1) {
        *cost = now < *cost ? now : *cost;
    }
}
