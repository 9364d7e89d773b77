/* One llama_context with its batch: the local engine has one for live continuations (engine_kv.c)
 * and one for reading (engine_read.c). Every call is made to be exactly one ubatch, so output rows
 * come in batch order. */
#ifndef RUNG_SRC_ENGINE_DECODE_H
#define RUNG_SRC_ENGINE_DECODE_H
#include "model/engine.h"
#include "model/model_impl.h"

/* Exact mode: each row of a call is computed alike, whatever the other rows. ggml's CPU kernels do
 * so for calls of at most RUNG_EXACT_ROWS tokens (64 in one sequence take tiled attention), at
 * least two (one row takes other products), and for some storage types a multiple of four (blocks
 * of rows). The same holds of output rows in the last layer and the head. */
enum { RUNG_EXACT_ROWS = 60, RUNG_EXACT_PAD = 4 };

typedef struct decoder {
    struct llama_context *ctx; /* NULL: not made yet */
    llama_memory_t mem;
    struct llama_batch batch;
    const rung_model *model;
    rung_engine_stats *stats;
    int32_t n_cells, n_seq, n_batch, n_out_max; /* cells of one stream, sequences, tokens and
                                                   output rows of a call */
    int32_t unit;  /* exact mode: rows come in multiples of it, and at least two; 0 = fast mode */
    bool unified;  /* one stream that all sequences share */
    int32_t n_out; /* output rows of the batch so far */
    bool want_hidden, skip_head;
    float *hidden; /* [n_out_max][n_embd]: rows of the last call, in batch order */
    int32_t n_hidden, n_embd;
    int32_t n_threads[2], with;  /* all, one; which of the two is in use */
    bool adapt;                  /* the caller left the number of threads to us */
    int64_t probe_in, probe_gap; /* calls until the next probe (below 0: in it), and between two */
    double cost[2];              /* seconds a token, smoothed; 0 = not measured */
    double got_wall, got_cpu;    /* seconds of the calls just before a probe */
    double share;                /* exact mode: of the next call's time, what a fast call takes */
    rung_memory *memory;         /* NULL, or where `charged` bytes are taken from */
    int64_t charged;
} decoder;

int64_t rung_cell_bytes(const rung_model_info *i); /* of the KV cache, per cell */
int64_t rung_decoder_bytes(const decoder *d, const rung_model_info *i); /* about; from above */
/* E_LIMIT when the context would take more than the budgets leave (the engine's own, 0 = none, and
 * d->memory) or than there is. */
rung_status rung_decoder_fits(const decoder *d, const rung_model_info *i, int64_t budget,
                              rung_error *err);
/* Sizes are set by the caller: n_cells, n_seq, n_batch, n_out_max, unified. */
rung_status rung_decoder_open(decoder *d, const rung_model *m, const rung_engine_opts *o,
                              rung_engine_stats *stats, rung_error *err);
int32_t rung_decoder_threads(const rung_model *m, const rung_engine_opts *o);
void rung_decoder_close(decoder *d);

int32_t rung_decoder_rows(const decoder *d, int32_t n); /* that a call for n tokens must have */
void rung_decoder_begin(decoder *d);
/* The next token of sequence s; returns its index in the batch. */
int32_t rung_decoder_add(decoder *d, int32_t s, int32_t pos, int32_t tok, bool output);
/* steady: calls of about this size repeat, so that the number of threads may be tried on it. */
rung_status rung_decoder_run(decoder *d, bool steady, rung_error *err);
/* Logits of batch index b, f32[n_vocab]. */
rung_status rung_decoder_logits(const float **z, const decoder *d, int32_t b, rung_error *err);
rung_status rung_not_numbers(const rung_model *m, rung_error *err);
#endif
