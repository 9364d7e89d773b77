/* The local backend: one llama_context, a stream of the KV cache per sequence.
 *
 * Streams [0, n_seq) hold live continuations, dense from 0 before each decode (so that one call is
 * one batch of neighbouring streams). Streams [n_seq, n_stream) hold prompts: the resident prefixes
 * that new prompts extend, cut or copy. A fork copies a whole stream (libllama copies nothing less)
 * and then drops the tail. Every llama_decode call is made to be exactly one ubatch, so output rows
 * come in batch order. */
#ifndef RUNG_SRC_ENGINE_LOCAL_H
#define RUNG_SRC_ENGINE_LOCAL_H
#include "model/engine.h"
#include "model/model_impl.h"
#include "model/sampler.h"

typedef struct kv_stream {
    int32_t *tok; /* what the cells hold: tok[0..n) at positions 0..n-1 */
    int32_t n;
    int64_t used; /* clock of the last use */
} kv_stream;

typedef struct kv {
    struct llama_context *ctx;
    llama_memory_t mem;
    kv_stream *stream;
    int32_t n_seq, n_stream, n_cells; /* n_cells: of one stream */
    int64_t clock;
    struct llama_batch batch;
    int32_t n_batch, n_out_max; /* tokens, output rows of one call */
    bool want_hidden, skip_head;
    float *hidden; /* [n_out_max][n_embd] */
    int32_t n_hidden;
    int32_t n_embd;
    rung_engine_stats *stats;
    int32_t n_threads[2], with;  /* all, one; which of the two is in use */
    bool adapt;                  /* the caller left the number of threads to us */
    int64_t probe_in, probe_gap; /* calls until the next probe (below 0: in it), and between two */
    double cost[2];              /* seconds a token, smoothed; 0 = not measured */
} kv;

rung_status rung_kv_open(kv *k, const rung_model *m, const rung_engine_opts *o,
                         rung_engine_stats *stats, rung_error *err);
void rung_kv_close(kv *k);
/* A prompt stream that holds the longest prefix of tok that any stream holds, at most `limit`
 * tokens of it; stream[].n says how many. */
int32_t rung_kv_acquire(kv *k, const int32_t *tok, int32_t limit);
void rung_kv_fork(kv *k, int32_t dst, int32_t src); /* dst becomes a copy of src */
void rung_kv_forget(kv *k);                         /* every stream empty, as after opening */
void rung_kv_clear(kv *k, int32_t s);
/* Start a batch; add the next token of stream s (returns its index in the batch); decode. */
void rung_kv_begin(kv *k);
int32_t rung_kv_add(kv *k, int32_t s, int32_t tok, bool output);
rung_status rung_kv_decode(kv *k, rung_error *err);
/* Before and after the decode of the live continuations: now and then the other number of threads
 * is tried, and kept when it is faster. */
void rung_kv_try_threads(kv *k);
void rung_kv_note_time(kv *k, double seconds);

typedef struct job {
    struct job *next;
    bool is_eval;
    void *ud;
    int32_t *tok;
    int32_t n_tok;
    int32_t stream, n_new; /* prompt's stream; tokens computed for it, not yet reported */
    rung_gen gen;          /* prompt strings not kept; skip and stop are copies */
    sampler_plan *plan;
    bool *skip;
    char *stop[4];
    size_t stop_max;
    int32_t next_i, n_live; /* next sample to start; live or not yet reported */
    bool prefilled;
    float *logits; /* of the prompt's last token */
    rung_eval eval;
    int32_t *at;
} job;

typedef struct live {
    job *j; /* NULL: free */
    int32_t i, last;
    rung_rng rng;
    sampler_seq seq;
    int32_t *tok;
    float *logprob, *logprob_draw;
    int32_t n, cap, n_prompt_new;
    rung_buf text;
} live;

typedef struct local {
    rung_engine base;
    kv kv;
    job *head, **tail;
    live *live; /* [n_seq]; live[s] occupies stream s */
    int32_t n_live;
    rung_draw *draw;   /* [n_seq] */
    void *scratch;     /* n_sampler times rung_sample_scratch */
    int32_t n_sampler; /* threads that draw */
    const rung_engine_cb *cb;
} local;

void rung_job_free(job *j);
rung_status rung_local_run(rung_engine *e, const rung_engine_cb *cb, rung_error *err);
/* Evaluate the tokens of j and report. */
rung_status rung_local_eval(local *e, job *j, rung_error *err);
#endif
