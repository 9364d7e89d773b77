/* rung/model.h: a language model: tokens, samples, logprobs, hidden states.
 * The only folder behind it (src/model) sees llama.h, ggml.h and HTTP.
 *
 * rung_model   weights + vocabulary of a GGUF file (mmap).        rung_engine   runs one: local (KV
 * cache, scheduler) or remote. */
#ifndef RUNG_MODEL_H
#define RUNG_MODEL_H
#include "rung/endpoint.h"
#include "rung/event.h"
#include "rung/rng.h"
#include "rung/sampling.h"
#include "rung/store.h"
#ifdef __cplusplus
extern "C" {
#endif

/* How the weights lie in memory (rung/weights.h): id, name, help. */
#define RUNG_WEIGHTS(X)                                                                            \
    X(AS_IS, "as-is", "as the file holds them")                                                    \
    X(F32, "f32", "exact, 4 bytes a weight")                                                       \
    X(BF16, "bf16", "2 bytes a weight")                                                            \
    X(F16, "f16", "2 bytes a weight, small range")                                                 \
    X(Q8_0, "q8_0", "8 bits a weight and a scale per 32")                                          \
    X(Q4_0, "q4_0", "4 bits a weight and a scale per 32: changes most models")                     \
    X(AUTO, "auto", "the fastest on this machine that keeps what the file holds")
typedef enum rung_weights {
#define X(id, name, help) RUNG_WEIGHTS_##id,
    RUNG_WEIGHTS(X)
#undef X
        RUNG_WEIGHTS_COUNT
} rung_weights;

/* What the models and engines that are opened with it may take together: weights as they lie in
 * memory, caches, calls. Kept by the caller until they are closed; not for several threads. */
typedef struct rung_memory {
    int64_t max_bytes; /* 0 = no limit but the machine's */
    int64_t used;      /* by what is open */
} rung_memory;

typedef struct rung_model rung_model;
typedef struct rung_model_opts {
    size_t struct_size;
    bool vocab_only;
    const char *chat_template; /* NULL: from the file; "raw": none; else a name libllama knows
                                  ("chatml", ...) or a template text */
    rung_weights weights;
    int32_t n_seq;       /* AUTO: sequences that will run at once; 0 = as many as are best */
    const rung_log *log; /* says what is measured or converted; NULL none */
    rung_memory *memory; /* NULL: no budget. E_LIMIT before anything is read that does not fit */
} rung_model_opts;
#define RUNG_MODEL_OPTS_INIT                                                                       \
    { .struct_size = sizeof(rung_model_opts) }
rung_status rung_model_load(rung_model **out, const char *path, const rung_model_opts *o,
                            rung_error *err); /* E_MODEL + hint on any bad file */
void rung_model_free(rung_model *m);
/* A low-rank adapter over the loaded weights, a GGUF file as rung_net_save_lora writes it, in place
 * of the one before; NULL = none. Engines that are opened afterwards sample and read with it; none
 * may be open meanwhile. The weights are not read again, and the file is not needed afterwards. */
rung_status rung_model_set_adapter(rung_model *m, const char *path, rung_error *err);
/* Load the file and compute a few tokens in a child process, unless this file went well before on
 * this machine (a note under $XDG_CACHE_HOME/rung/tried): where libllama would end the process,
 * this is E_MODEL with its words, and the caller goes on. For programs whose other threads hold no
 * locks that a load needs. */
rung_status rung_model_try(const char *path, const rung_log *log, rung_error *err);
typedef struct rung_model_info {
    char name[96], arch[32], hash[33], chat[32] /* "raw" or the template's name */, storage[16];
    int32_t n_vocab, n_embd, n_layer, n_head, n_head_kv, n_ctx_train;
    int32_t n_embd_k, n_embd_v; /* of one head */
    int64_t n_params, n_bytes;  /* bytes: of all tensors as they lie in memory */
    char weights[8];            /* "as-is", "f32", ...; the hash is the file's */
    /* calibrated, when the weights were asked for in another type; 0 = not known */
    int32_t n_seq_best, n_batch_best, n_threads_best;
} rung_model_info;
void rung_model_get_info(rung_model_info *out, const rung_model *m);
const char *rung_model_meta(const rung_model *m, const char *key, char *buf,
                            size_t n_buf); /* GGUF key as text; NULL absent */

/* Tokens. special: control tokens in the text are recognised; bos: add BOS when the model wants it.
 * *tok is rung_free()d by the caller. */
rung_status rung_model_tokenize(int32_t **tok, int32_t *n_tok, const rung_model *m,
                                const char *text, size_t n, bool bos, bool special,
                                rung_error *err);
/* Bytes of one token appended to b (may be a partial UTF-8 sequence); control tokens give nothing
 * unless special. */
void rung_model_piece(rung_buf *b, const rung_model *m, int32_t tok, bool special);
int32_t
rung_model_token(const rung_model *m,
                 const char *text); /* id of the token whose text is exactly this; -1 none */
int32_t rung_model_eos(const rung_model *m);
bool rung_model_is_eog(const rung_model *m, int32_t tok);
/* The same of text that goes on after other text: SentencePiece vocabularies put no space before
 * it.
 */
rung_status rung_model_tokenize_on(int32_t **tok, int32_t *n_tok, const rung_model *m,
                                   const char *text, size_t n, bool special, rung_error *err);
/* Pieces joined and tokenised as one text, in which only those that are not plain may be control
 * tokens. begin: with BOS when the model wants it; else the text goes on after other text. */
typedef struct rung_piece {
    const char *text;
    bool plain;
} rung_piece;
rung_status rung_model_tokenize_pieces(int32_t **tok, int32_t *n_tok, const rung_model *m,
                                       const rung_piece *piece, int32_t n_pieces, bool begin,
                                       rung_error *err);

/* What to continue: a conversation whose last turn is an assistant's, begun with `prefix` and not
 * closed. raw models: user + prefix joined as they are. */
typedef struct rung_prompt {
    const char *system, *user, *prefix;
} rung_prompt; /* system, prefix may be NULL */
rung_status rung_prompt_tokens(int32_t **tok, int32_t *n_tok,
                               int32_t *n_header /* tokens before prefix */, const rung_model *m,
                               const rung_prompt *p, rung_error *err);
/* The same with earlier turns between system and user. */
typedef struct rung_turn {
    const char *user, *reply;
} rung_turn;
rung_status rung_chat_tokens(int32_t **tok, int32_t *n_tok, int32_t *n_header, const rung_model *m,
                             const rung_turn *turn, int32_t n_turns, const rung_prompt *p,
                             rung_error *err);
/* What a chat template puts around texts: head USER tail REPLY rest USER tail REPLY rest ... */
typedef struct rung_chat_frame {
    char *head, *tail, *rest;
} rung_chat_frame;
/* chat: NULL = the model's own template, else as in rung_model_opts. reply: NULL, or what the
 * assistant says in every turn; it is then the beginning of rest. E_MODEL: a template that rewrites
 * earlier turns. */
rung_status rung_chat_frame_make(rung_chat_frame *out, const rung_model *m, const char *chat,
                                 const char *system, const char *reply, rung_error *err);
void rung_chat_frame_clear(rung_chat_frame *f);

/* n continuations of one prompt. */
enum { RUNG_STOP_TOK_MAX = 4, RUNG_TOP_MAX = 20 };
typedef struct rung_gen {
    rung_prompt prompt;     /* copied by submit */
    rung_sampling sampling; /* copied, with its lists */
    int32_t n, i0;          /* samples i0 .. i0+n-1 */
    const bool *skip;       /* NULL, or bool[n]: samples already in the store, not made again */
    int32_t max_tok;
    const char *stop[4]; /* end strings, across token borders, kept to the end of the last token, so
                            that text = tokens; NULL ends the list; EOS always stops */
    uint64_t seed;       /* draws: rung_rng_at(seed, stream, key, i), at the token's position */
    rung_stream stream;
    uint64_t key;                                    /* problem or node id */
    void *ud;                                        /* handed back */
    int32_t stop_tok[RUNG_STOP_TOK_MAX], n_stop_tok; /* local: tokens that end it; kept */
    /* local: a pure rule on the text so far, asked after each token; true ends it */
    bool (*stop_fn)(void *ud, int32_t i, const char *text, int32_t n_bytes);
    const rung_turn *turn; /* earlier turns of the conversation, between system and user; copied */
    int32_t n_turns;
    const int32_t *prompt_tok; /* local: these tokens instead of prompt and turns; copied */
    int32_t n_prompt_tok;
    bool told;     /* local: on_token hears of each token */
    int32_t n_top; /* local: that many likeliest tokens of each place are told, too; <= TOP_MAX */
    bool spread;   /* local: entropy and certainty of each place are told, too */
} rung_gen;
typedef struct rung_gen_out {
    void *ud;
    int32_t i;
    const char *text;
    int32_t n_bytes; /* borrowed for the call */
    const int32_t *tok;
    const float *logprob;      /* under the model: T = 1, all tokens */
    const float *logprob_draw; /* under what it was drawn from (penalties, filters, temperature) */
    int32_t n_tok;        /* without EOS; remote: tok, logprob_draw NULL, logprob when offered */
    const char *stop;     /* "eos" "stop" "length" "context" "cancelled" "error" */
    int32_t n_prompt_new; /* prompt tokens computed for this sample (0 when forked) */
    int32_t n_prompt_tok; /* tokens of the prompt; remote: 0 */
    int32_t end_tok;      /* local, stop "eos": the token that ended it; else -1 */
    float end_logprob;
    const int32_t *top_tok; /* [n_tok, and a row for end_tok][n_top], likeliest first; or NULL */
    const float *top_logprob;
    /* [n_tok] of the model's distribution (T = 1) at each place, in nats: entropy; KL(uniform ||
     * p); NULL: not asked for */
    const float *entropy, *certainty;
} rung_gen_out;

/* Reading: hidden states and logits at chosen positions of given tokens. */
typedef struct rung_eval {
    const int32_t *tok;
    int32_t n_tok; /* copied by submit */
    const int32_t *at;
    int32_t n_at;                  /* ascending positions; copied */
    bool hidden, logits, logprobs; /* last-layer hidden state (after the final norm) f32[n_embd],
                                      logits f32[n_vocab], ln p(tok[p] | before) for p > from */
    int32_t from; /* of logprobs: the first token that must be read; 0 = from the start. What comes
                     before is taken from the cache, and the last token, whose successor nobody asks
                     for, is not read: a text that grows is read once */
    void *ud;
    int32_t n_top; /* with logprobs: the likeliest tokens at each of these places; <= TOP_MAX */
} rung_eval;
typedef struct rung_eval_out {
    void *ud;
    int32_t n_at;
    const float *hidden;      /* [n_at][n_embd] or NULL */
    const float *logits;      /* [n_at][n_vocab] or NULL */
    const float *logprob;     /* [n_tok], [0..from] = 0, or NULL */
    int32_t n_new;            /* tokens computed (the rest came from the cache) */
    const int32_t *top_tok;   /* [n_tok][n_top], those of token p in row p; NULL not asked for */
    const float *top_logprob; /* as logprob */
} rung_eval_out;

typedef struct rung_engine rung_engine;
typedef struct rung_engine_opts {
    size_t struct_size;
    int32_t n_threads;   /* 0 = all cores */
    int32_t n_seq;       /* sequences at once; 0 = chosen from the model's size */
    int32_t n_ctx;       /* KV cells in all; 0 = chosen */
    int32_t n_batch;     /* 0 = 512 */
    rung_store *cache;   /* remote: replies are kept here; NULL none */
    int32_t concurrency; /* remote: most requests at once on an endpoint; 0 = found by probing */
    double timeout_s;    /* remote: 0 = 120 */
    int32_t retries;     /* remote: 0 = 5 */
    const char *api_key_env; /* remote: NULL = RUNG_API_KEY */
    const char *model_name;  /* remote: NULL = what the endpoint serves */
    bool completions;        /* remote: /v1/completions with raw text instead of chat */
    double backoff_s;        /* remote: first pause before a retry, doubled each time; 0 = 0.5 */
    const char *dialect;     /* remote: NULL = detected; "vllm", "llama-server", ... */
    double price_in, price_cached, price_out; /* remote: per million tokens; price_cached 0 = as
                                                 price_in */
    int64_t max_bytes; /* local: memory for cache and calls, weights apart; 0 = what there is */
    bool exact; /* local: the same bits whatever the order, company, sizes, threads, restarts */
    rung_memory *memory; /* local: a budget that is shared with others; NULL none */
} rung_engine_opts;
#define RUNG_ENGINE_OPTS_INIT                                                                      \
    { .struct_size = sizeof(rung_engine_opts) }
rung_status rung_engine_open(rung_engine **out, rung_model *m, const rung_engine_opts *o,
                             const rung_log *log, rung_error *err);
/* urls: one endpoint or several, separated by commas or line ends: http://HOST:PORT/v1, each with
 * settings of its own after '#' when it needs them: #model=NAME&dialect=NAME&concurrency=N. Several
 * endpoints must serve the same model: the names that they tell agree, or model= maps them. Nothing
 * is sent before the first run. */
rung_status rung_engine_open_remote(rung_engine **out, const char *urls, const rung_engine_opts *o,
                                    const rung_log *log, rung_error *err);
/* Name of dialect i; NULL past the end. */
const char *rung_dialect_name(size_t i);
void rung_engine_close(rung_engine *e);
const rung_model *rung_engine_model(const rung_engine *e); /* NULL when remote */
/* Queue work, then run until the queue is empty. Callbacks come from inside run, on the calling
 * thread, and may submit more. A non-OK return of a callback ends run with that status; the queue
 * is dropped. Order of completion is not defined; queue depth is free (docs/design/engine.md: first
 * come, first served; a prefix that is resident is never computed again). */
rung_status rung_engine_gen(rung_engine *e, const rung_gen *g, rung_error *err);
rung_status rung_engine_eval(rung_engine *e, const rung_eval *v, rung_error *err); /* local only */
/* Local: what is not reported yet of requests with this ud costs nothing more and is reported with
 * stop "cancelled", by this or the next run. From a callback, too. Returns how many. */
int32_t rung_engine_cancel(rung_engine *e, const void *ud);
typedef struct rung_engine_cb {
    rung_status (*on_gen)(void *ud, const rung_gen_out *o, rung_error *err);
    rung_status (*on_eval)(void *ud, const rung_eval_out *o, rung_error *err);
    void *ud;
    /* Asked between two calls of the model (remote: between two looks at the line): may submit and
     * cancel, so that work that comes meanwhile joins what is under way. RUNG_DONE: run returns
     * with RUNG_OK and everything queued or under way stays for the next run. NULL: never. */
    rung_status (*on_round)(void *ud, rung_error *err);
    /* Local, of requests with `told`: a token has been drawn; the continuation so far, stop NULL.
     * The last one is told by on_gen alone. Text may end inside a character. */
    rung_status (*on_token)(void *ud, const rung_gen_out *so_far, rung_error *err);
} rung_engine_cb;
/* Local, without on_gen: evaluations alone are done; continuations stand still until another run.
 */
rung_status rung_engine_run(rung_engine *e, const rung_engine_cb *cb, rung_error *err);
/* Forget what is queued and, local, every cached prefix: what follows does not depend on what came
 * before, to the last bit. Not from a callback. */
void rung_engine_clear(rung_engine *e);
typedef struct rung_engine_stats {
    int64_t n_prompt_new, n_prompt_forked, n_generated, n_decode_calls, n_requests, n_retries,
        n_cache_hits, n_evicted, n_cancelled;
    double decode_s, sample_s, wall_s;
    int64_t kv_bytes;          /* local: what the cells of the cache take, used or not */
    int64_t n_prompt_distinct; /* local: nodes of the trie of all texts asked for; -1: too many */
    double exact_fast_s; /* exact mode: what decode_s would have been in calls of the fast mode's
                            shapes, by trials in between; 0 otherwise */
} rung_engine_stats;
void rung_engine_get_stats(rung_engine_stats *out, const rung_engine *e);

#ifdef __cplusplus
}
#endif
#endif
