/* One llama_context: making it, one call, hidden states, the number of threads. */
#include "model/engine_decode.h"

#include <ggml-backend.h>
#include <ggml.h>
#include <string.h>

/* ggml's OpenMP workers spin between operations. With more runnable threads than cores one call
 * then takes up to a hundred times longer than on one thread. So now and then PROBES calls try the
 * other setting; the first only wakes it. It must be faster by a fifth to be kept. Probes that
 * change nothing become rarer. All threads that got their cores, no more and no less, need none:
 * a probe on a quiet machine only costs (3 of the first 64 calls, 4% of them). */
#define PROBES        3
#define PROBE_GAP     64
#define PROBE_GAP_MAX 4096
#define MUST_GAIN     0.8
#define GOT_LEAST     0.85 /* CPU seconds a thread and second of wall */
#define GOT_MOST      1.15 /* more: something else in this process computes too */

/* Hidden states are read where libllama computes them: the output rows after the final norm. Its
 * own embedding mode would compute the vocabulary head for every token of the batch. When only
 * hidden states are wanted, false stops the graph before the head. */
static bool on_node(struct ggml_tensor *t, bool ask, void *ud) {
    decoder *d = ud;
    if (!d->want_hidden || strcmp(t->name, "result_norm") != 0) return false;
    if (ask) return true;
    int64_t rows = t->ne[1];
    if (t->type == GGML_TYPE_F32 && t->ne[0] == d->n_embd && rows <= d->n_out_max) {
        ggml_backend_tensor_get(t, d->hidden, 0, (size_t)(rows * t->ne[0]) * sizeof(float));
        d->n_hidden = (int32_t)rows;
    }
    return !d->skip_head;
}

/* f16 keys and values of one position in all layers. */
int64_t rung_cell_bytes(const rung_model_info *i) {
    return (int64_t)i->n_layer * 2 * (i->n_embd_k + i->n_embd_v) *
           (i->n_head_kv > 0 ? i->n_head_kv : 1);
}

static rung_status make_context(decoder *d, int32_t threads, rung_error *err) {
    struct llama_context_params p = llama_context_default_params();
    p.n_ctx = (uint32_t)d->n_cells * (d->unified ? 1u : (uint32_t)d->n_seq);
    p.n_seq_max = (uint32_t)d->n_seq;
    p.n_batch = p.n_ubatch = (uint32_t)d->n_batch;
    p.n_outputs_max = (uint32_t)(d->n_out_max > d->n_seq ? d->n_out_max : d->n_seq);
    p.n_threads = p.n_threads_batch = threads;
    p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    p.kv_unified = d->unified;
    p.no_perf = true;
    p.cb_eval = on_node;
    p.cb_eval_user_data = d;
    rung_llama_clear_error();
    d->ctx = llama_init_from_model(d->model->llama, p);
    if (d->ctx && d->model->adapter) {
        struct llama_adapter_lora *one = d->model->adapter;
        float scale = 1;
        if (llama_set_adapters_lora(d->ctx, &one, 1, &scale) != 0)
            return rung_fail(err, RUNG_E_MODEL, "libllama could not use the adapter");
    }
    if (d->ctx) return RUNG_OK;
    rung_fail(err, RUNG_E_MODEL, "libllama could not make a context of %d sequences and %u cells",
              d->n_seq, p.n_ctx);
    rung_error_detail(err, "%s", rung_llama_error());
    return rung_error_hint(err, "ask for fewer sequences or a smaller context");
}

int32_t rung_decoder_threads(const rung_model *m, const rung_engine_opts *o) {
    if (o->n_threads > 0) return o->n_threads;
    return m->info.n_threads_best > 0 ? m->info.n_threads_best : rung_n_cores();
}

rung_status rung_decoder_open(decoder *d, const rung_model *m, const rung_engine_opts *o,
                              rung_engine_stats *stats, rung_error *err) {
    int32_t threads = rung_decoder_threads(m, o);
    d->model = m;
    d->stats = stats;
    d->n_embd = m->info.n_embd;
    d->memory = o->memory;
    d->share = 1.0;
    RUNG_TRY(rung_decoder_fits(d, &m->info, o->max_bytes, err));
    d->hidden = rung_calloc((size_t)d->n_out_max * (size_t)d->n_embd, sizeof *d->hidden);
    if (!d->hidden) return rung_fail(err, RUNG_E_NOMEM, "no memory for the engine");
    RUNG_TRY(make_context(d, threads, err));
    d->mem = llama_get_memory(d->ctx);
    d->charged = rung_decoder_bytes(d, &m->info);
    if (d->memory) d->memory->used += d->charged;
    stats->kv_bytes += rung_cell_bytes(&m->info) * (int64_t)llama_n_ctx(d->ctx);
    d->batch = llama_batch_init(d->n_batch, 0, 1);
    d->n_threads[0] = threads;
    d->n_threads[1] = 1;
    d->adapt = o->n_threads == 0 && threads > 1;
    d->probe_in = PROBES;
    d->probe_gap = PROBE_GAP;
    return RUNG_OK;
}

void rung_decoder_close(decoder *d) {
    if (d->ctx) llama_free(d->ctx);
    if (d->batch.token) llama_batch_free(d->batch);
    rung_free(d->hidden);
    if (d->memory) d->memory->used -= d->charged;
    memset(d, 0, sizeof *d);
}

void rung_decoder_begin(decoder *d) {
    d->batch.n_tokens = 0;
    d->n_out = 0;
}

int32_t rung_decoder_add(decoder *d, int32_t s, int32_t pos, int32_t tok, bool output) {
    struct llama_batch *b = &d->batch;
    int32_t i = b->n_tokens++;
    b->token[i] = tok;
    b->pos[i] = pos;
    b->n_seq_id[i] = 1;
    b->seq_id[i][0] = s;
    b->logits[i] = output;
    d->n_out += output;
    return i;
}

static void use(decoder *d, int32_t which) {
    if (d->with == which) return;
    d->with = which;
    llama_set_n_threads(d->ctx, d->n_threads[which], d->n_threads[which]);
}

static bool all_got_their_cores(const decoder *d) {
    double whole = d->got_wall * d->n_threads[0];
    return d->with == 0 && d->got_cpu >= GOT_LEAST * whole && d->got_cpu <= GOT_MOST * whole;
}

/* Now and then the other number of threads is tried, and kept when it is faster. */
static void try_threads(decoder *d) {
    if (d->probe_in == 0) {
        if (all_got_their_cores(d)) {
            d->probe_in = d->probe_gap;
            return;
        }
        use(d, !d->with);
    }
    if (d->probe_in > -PROBES) return;
    bool better = d->cost[d->with] < d->cost[!d->with] * MUST_GAIN;
    if (!better) use(d, !d->with);
    d->probe_gap = better ? PROBE_GAP : 2 * d->probe_gap;
    if (d->probe_gap > PROBE_GAP_MAX) d->probe_gap = PROBE_GAP_MAX;
    d->probe_in = d->probe_gap;
}

static void note_time(decoder *d, double seconds, double cpu) {
    double *cost = &d->cost[d->with], now = seconds / d->batch.n_tokens;
    int64_t at = d->probe_in--;
    if (at == PROBES) d->got_wall = d->got_cpu = 0;
    if (at > 0 && at <= PROBES) {
        d->got_wall += seconds;
        d->got_cpu += cpu;
    }
    /* the calls just before the probe and all of it but its first; least of them: noise only adds
     */
    if (at == PROBES - 1 || at == -1) {
        *cost = now;
    } else if ((at > 0 && at < PROBES) || at < -1) {
        *cost = now < *cost ? now : *cost;
    }
}

int32_t rung_decoder_rows(const decoder *d, int32_t n) {
    if (!d->unit || n == 0) return n;
    if (n < 2) n = 2;
    return (n + d->unit - 1) / d->unit * d->unit;
}

/* More output rows, whose values nobody reads. */
static void pad_outputs(decoder *d) {
    int32_t n = rung_decoder_rows(d, d->n_out);
    for (int32_t i = 0; d->n_out < n && i < d->batch.n_tokens; i++) {
        if (d->batch.logits[i]) continue;
        d->batch.logits[i] = true;
        d->n_out++;
    }
}

rung_status rung_decoder_run(decoder *d, bool steady, rung_error *err) {
    steady = steady && d->adapt;
    pad_outputs(d);
    if (steady) try_threads(d);
    double cpu = steady ? rung_cpu_now() : 0, t0 = rung_now();
    d->n_hidden = 0;
    rung_llama_clear_error();
    int32_t rc = llama_decode(d->ctx, d->batch);
    llama_synchronize(d->ctx);
    double t = rung_now() - t0;
    if (steady) note_time(d, t, rung_cpu_now() - cpu);
    d->stats->decode_s += t;
    if (d->unit) d->stats->exact_fast_s += t * d->share;
    d->stats->n_decode_calls++;
    if (rc == 0) return RUNG_OK;
    rung_fail(err, RUNG_E_MODEL, "libllama could not decode %d tokens (code %d)", d->batch.n_tokens,
              rc);
    return rung_error_detail(err, "%s", rung_llama_error());
}

rung_status rung_decoder_logits(const float **z, const decoder *d, int32_t b, rung_error *err) {
    *z = llama_get_logits_ith(d->ctx, b);
    return *z ? RUNG_OK : rung_fail(err, RUNG_E_MODEL, "libllama gave no logits");
}

rung_status rung_not_numbers(const rung_model *m, rung_error *err) {
    rung_fail(err, RUNG_E_MODEL, "model %s gives values that are not numbers", m->info.name);
    return rung_error_hint(err, "its weights are damaged or overflow: fetch or train it again");
}
