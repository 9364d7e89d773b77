/* The local backend: one context for live continuations, one for reading, each made when first
 * needed.
 *
 * Continuations have a stream of the KV cache each. Streams [0, n_seq) hold live ones, dense from 0
 * before each decode (so that one call is one batch of neighbouring streams). Streams [n_seq,
 * n_stream) hold prompts: the resident prefixes that new prompts extend, cut or copy. A fork copies
 * a whole stream (libllama copies nothing less) and then drops the tail. */
#ifndef RUNG_SRC_ENGINE_LOCAL_H
#define RUNG_SRC_ENGINE_LOCAL_H
#include "model/engine_decode.h"
#include "model/sampler.h"

/* Rows of logits of one call: 152k-token vocabularies would take 300 MB for a batch of 512. */
#define RUNG_LOGITS_BYTES_MAX ((int64_t)64 << 20)

typedef struct kv_stream {
    int32_t *tok; /* what the cells hold: tok[0..n) at positions 0..n-1 */
    int32_t n;
    int32_t pin;  /* tokens of it that queued requests fork from */
    int64_t used; /* clock of the last use */
} kv_stream;

typedef struct kv {
    decoder d;
    kv_stream *stream;
    int32_t n_seq, n_stream, n_cells; /* n_cells: of one stream */
    bool exact;
    int32_t chunk_max;  /* rows of a call that computes a prompt */
    double chunk_share; /* exact mode: time of fast mode's calls in that of full chunks */
    double twin[2];     /* seconds of padded decode calls, and of the same without padding */
    int32_t twin_in;    /* padded calls until one is tried without */
    int64_t clock;
} kv;

void rung_kv_choose(kv *k, const rung_model *m, const rung_engine_opts *o); /* sizes only */
/* Exact mode (engine_exact.c): the unit that holds on this machine, what chunks cost. */
rung_status rung_kv_find_unit(kv *k, const rung_model *m, rung_error *err);
rung_status rung_kv_open(kv *k, const rung_model *m, const rung_engine_opts *o,
                         rung_engine_stats *stats, rung_error *err); /* no-op when open */
void rung_kv_close(kv *k);
/* A prompt stream that holds the longest prefix of tok that any stream holds, at most `limit`
 * tokens of it; stream[].n says how many. -1: all prompt streams are pinned. */
int32_t rung_kv_acquire(kv *k, const int32_t *tok, int32_t limit);
/* dst becomes a copy of the first n tokens of src. */
void rung_kv_fork(kv *k, int32_t dst, int32_t src, int32_t n);
void rung_kv_cut(kv *k, int32_t s, int32_t n); /* tokens from n on are dropped */
void rung_kv_forget(kv *k);                    /* every stream empty, as after opening */
void rung_kv_clear(kv *k, int32_t s);
/* The next token of stream s joins the call; returns its index in the batch. */
int32_t rung_kv_add(kv *k, int32_t s, int32_t tok, bool output);

typedef struct job {
    struct job *next;
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
    bool prefilled, cancelled;
    float *logits; /* of the prompt's last token */
    rung_eval eval;
    int32_t *at;
    int32_t begin, end; /* evaluation: tokens [0, begin) may come from the cache, [end, ..) are not
                           read */
} job;

typedef struct token_union { /* distinct prefixes of all texts asked for */
    uint64_t *slot;
    size_t cap, n;
    bool lost; /* too many to count */
} token_union;
void rung_union_add(token_union *u, const int32_t *tok, int32_t n);
void rung_union_clear(token_union *u);

typedef struct queue {
    job *head, **tail;
} queue;
void rung_queue_push(queue *q, job *j);
job *rung_queue_pop(queue *q); /* NULL when empty */

typedef struct live {
    job *j; /* NULL: free */
    int32_t i, last;
    rung_rng rng;
    sampler_seq seq;
    int32_t *tok;
    float *logprob, *logprob_draw;
    int32_t *top_tok; /* [cap][n_top] of its request, NULL: not asked for yet */
    float *top_logprob;
    int32_t cap_top; /* entries of both */
    float *spread;   /* [2][cap] entropy, certainty of its request; NULL: not asked for yet */
    int32_t cap_spread;
    int32_t end_tok; /* that ended it; -1 */
    float end_logprob;
    int32_t n, cap, n_prompt_new;
    rung_buf text;
} live;

typedef struct reader reader;
typedef struct local {
    rung_engine base;
    rung_engine_opts o;
    kv kv;
    reader *reader; /* NULL until something is read */
    queue gens, evals;
    token_union asked;
    int64_t n_eval_tok; /* to be read by what is queued */
    int32_t n_waited;   /* decode calls since evaluations began to wait */
    live *live;         /* [n_seq]; live[s] occupies stream s */
    int32_t n_live;
    bool cancels;      /* something was cancelled and is not reported yet */
    rung_draw *draw;   /* [n_seq] */
    void *scratch;     /* n_sampler times rung_sample_scratch */
    int32_t n_sampler; /* threads that draw */
    const rung_engine_cb *cb;
} local;

void rung_job_free(job *j);
rung_status rung_local_run(rung_engine *e, const rung_engine_cb *cb, rung_error *err);
void rung_job_unref(job *j);     /* one live sample less; freed after the last */
void rung_job_skip_done(job *j); /* next_i passes samples that are not to be made */

/* engine_live.c */
rung_status rung_live_start(local *e, job *j, int32_t s, rung_error *err); /* at free place s */
/* Tell how a continuation ended and free its place. The callback may submit and cancel. */
rung_status rung_live_report(local *e, live *l, const char *stop, rung_error *err);
rung_status rung_live_step(local *e, rung_error *err);
void rung_live_drop_all(local *e); /* without a report; before the queue is emptied */
/* top_logprob.c: the k likeliest of n, likeliest first (equal: the lower id), and their ln p. */
void rung_top_logprobs(int32_t *tok, float *logprob, int32_t k, const float *logits, int32_t n);
/* spread.c */
void rung_spread(float *entropy, float *certainty, const float *logits, int32_t n);

/* engine_exact.c. Before a decode call that is filled up: now and then the same rows without,
 * timed; after it. */
rung_status rung_live_twin(local *e, rung_error *err);
void rung_live_twin_done(local *e, double seconds);

int32_t rung_local_cancel(rung_engine *e, const void *ud);
/* engine_read.c: evaluations. */
void rung_eval_span(int32_t *begin, int32_t *end, const rung_eval *v);
rung_status rung_reader_open(local *e, rung_error *err); /* no-op when open */
void rung_reader_close(local *e);
void rung_reader_forget(local *e); /* what is read and what is resident; not the queue */
int64_t rung_reader_cells(const local *e);
bool rung_reader_busy(const local *e);
/* Take in what fits and do one call. */
rung_status rung_read_step(local *e, rung_error *err);
#endif
