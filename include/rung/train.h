/* rung/train.h: training decoders of Llama shape on the CPU: forward and backward by hand, matrix
 * products by oneDNN.
 *
 * A loss plugs in as a function of logits (or hidden states) and targets that returns the value and
 * dL/dlogits. f32 throughout; sums in f64; reductions in a fixed order: same seed, same bits. */
#ifndef RUNG_TRAIN_H
#define RUNG_TRAIN_H
#include "rung/event.h"
#include "rung/rng.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef enum rung_arch { RUNG_ARCH_LLAMA, RUNG_ARCH_QWEN2 } rung_arch; /* as GGUF names them */
typedef struct rung_net_shape {
    int32_t n_vocab, n_embd, n_layer, n_head, n_head_kv, n_ff, n_ctx;
    float rope_base, rms_eps;
    bool tied;
    int32_t arch;       /* rung_arch */
    int32_t n_head_dim; /* width of a head; 0 = n_embd / n_head */
} rung_net_shape;
typedef struct rung_net
    rung_net; /* weights, gradients, activations of one decoder (llama architecture) */
rung_status rung_net_new(rung_net **out, const rung_net_shape *shape, uint64_t seed,
                         rung_error *err); /* N(0, .02), residual outputs / sqrt(2 L) */
rung_status rung_net_load(rung_net **out, const char *gguf_path,
                          rung_error *err); /* vocabulary keys are kept for the export */
rung_status rung_net_save(const rung_net *net, const char *gguf_path,
                          const char *type /* f32 f16 bf16 q8_0 */, rung_error *err);
/* Texts are raw bytes up to their NUL (escaped in the file); "" stands for the zero byte. type: 1
 * normal, 3 control; NULL: all normal. n = n_vocab; eos -1: none. */
rung_status rung_net_set_vocab(rung_net *net, const char *const *token_text,
                               const int32_t *token_type, size_t n, int32_t eos, rung_error *err);
void rung_net_set_meta(rung_net *net, const char *key,
                       const char *value); /* extra GGUF string key, e.g. "general.name" */
void rung_net_set_meta_f32(rung_net *net, const char *key, const float *number, size_t n);
void rung_net_free(rung_net *net);
const rung_net_shape *rung_net_get_shape(const rung_net *net);
int64_t rung_net_n_params(const rung_net *net);  /* frozen ones too */
int64_t rung_net_n_trained(const rung_net *net); /* what gradients and moments are kept for */

/* Low-rank adapters (Hu et al. 2021): y = x W^T + alpha/rank drop(x) A^T B^T on a frozen base,
 * whose tensors stay as the file has them (any ggml type) and are dequantised for each product. A
 * starts uniform in +-1/sqrt(cols), B at 0, so that step 0 is the base. Needs rung_net_load_frozen.
 */
typedef struct rung_lora_opts {
    size_t struct_size;
    int32_t rank;        /* 0 = 8 */
    double alpha;        /* 0 = 2 rank */
    double dropout;      /* of the adapter's input, [0, 1); in 1/65536ths */
    const char *targets; /* names as in GGUF, with commas: attn_q,attn_v (NULL: these two), attn_k,
                            attn_output, ffn_gate, ffn_up, ffn_down, or "all" */
    uint64_t seed;
} rung_lora_opts;
#define RUNG_LORA_OPTS_INIT                                                                        \
    { .struct_size = sizeof(rung_lora_opts) }
/* The file is mapped until the net is freed. */
rung_status rung_net_load_frozen(rung_net **out, const char *gguf_path, rung_error *err);
rung_status rung_net_add_lora(rung_net *net, const rung_lora_opts *o, rung_error *err);
/* The adapters alone, as libllama's llama_adapter_lora_init loads them; type f32 or f16. With
 * adapters rung_net_save writes the base with them merged in; type "keep": tensors without adapters
 * byte for byte as they were, adapted ones as f16. */
rung_status rung_net_save_lora(const rung_net *net, const char *gguf_path, const char *type,
                               rung_error *err);

/* Forward passes leave the adapters out, so that the base is read (the reference of a policy that
 * trains through adapters): until muted again with false. Gradients are not to be taken meanwhile.
 */
void rung_net_mute_lora(rung_net *net, bool muted);

/* A packed batch: rows of n_tok tokens; pos restarts and attention is blocked at document starts.
 */
typedef struct rung_batch {
    int32_t n_rows, n_tok; /* B, T */
    const int32_t *tok;    /* [B*T] */
    const int32_t *doc; /* [B*T] document number within its row; a query sees only its own document.
                           -1 = padding */
} rung_batch;
/* The loss: reads logits f32[B*T][V], writes dlogits (same shape; zero rows where there is no
 * loss), returns the value. Called once per forward. n_terms: how many positions counted. */
typedef struct rung_loss {
    rung_status (*fn)(double *value, int64_t *n_terms, float *dlogits, const float *logits,
                      const rung_batch *b, int32_t n_vocab, void *ud, rung_error *err);
    void *ud;
} rung_loss;
/* Masked cross entropy, sum(w loss) / sum(w): ud = rung_loss_ce. No position counted: 0. */
typedef struct rung_loss_ce {
    const int32_t *target;
    const float *weight; /* [B*T] each; target of position t, usually tok[t+1] */
} rung_loss_ce;
rung_status rung_loss_ce_fn(double *value, int64_t *n_terms, float *dlogits, const float *logits,
                            const rung_batch *b, int32_t n_vocab, void *ud, rung_error *err);
/* Token-pair PRM (labels.md 3): cross entropy on two tokens only, soft target s = P(plus); ud =
 * rung_loss_pair. sum(w loss) / sum(w). */
typedef struct rung_loss_pair {
    int32_t plus, minus;
    const float *target;
    const float *weight;
} rung_loss_pair;
rung_status rung_loss_pair_fn(double *value, int64_t *n_terms, float *dlogits, const float *logits,
                              const rung_batch *b, int32_t n_vocab, void *ud, rung_error *err);

rung_status rung_net_forward(const float **logits,
                             const float **hidden /* [B*T][D], after the final norm; may be NULL */,
                             rung_net *net, const rung_batch *b, rung_error *err);
/* forward, loss, backward; gradients are added to (zeroed by rung_net_step). Losses of any form get
 * all logits and write their gradient: 8 B T V bytes. rung_loss_ce_fn, rung_loss_pair_fn and
 * rung_loss_on_net_fn (rung/loss.h) go through blocks of rows or two rows of the output instead. */
rung_status rung_net_grad(double *value, int64_t *n_terms, rung_net *net, const rung_batch *b,
                          const rung_loss *loss, double scale, rung_error *err);

/* Cross entropy without all logits at once (they are made in blocks of rows; positions of weight 0
 * are not made): value = sum(w l) / norm, gradients times scale are added. norm 0: the batch's own
 * sum of weights. rung_net_grad with rung_loss_ce_fn comes here by itself. */
rung_status rung_net_grad_ce(double *value, rung_net *net, const rung_batch *b,
                             const rung_loss_ce *ce, double norm, double scale, rung_error *err);
/* The value alone; row_loss [B*T] or NULL: l of each position, 0 where its weight is 0. */
rung_status rung_net_ce(double *value, double *row_loss, rung_net *net, const rung_batch *b,
                        const rung_loss_ce *ce, rung_error *err);

/* Losses of hidden states. A loss may be a function of final hidden states f32[B*T][D] (after the
 * last norm) instead of logits: fn writes dL/dhidden, same shape. No logits are made. */
typedef struct rung_loss_hidden {
    rung_status (*fn)(double *value, int64_t *n_terms, float *dhidden, const float *hidden,
                      const rung_batch *b, int32_t n_embd, void *ud, rung_error *err);
    void *ud;
} rung_loss_hidden;
rung_status rung_net_hidden(const float **hidden, rung_net *net, const rung_batch *b,
                            rung_error *err); /* [B*T][D]; borrowed until the next call */
rung_status rung_net_grad_hidden(double *value, int64_t *n_terms, rung_net *net,
                                 const rung_batch *b, const rung_loss_hidden *loss, double scale,
                                 rung_error *err);
/* logit(plus) - logit(minus) of each position, [B*T]; 0 where mask is 0. Two rows of the output
 * matrix are read, whatever the vocabulary. */
rung_status rung_net_words(double *z, rung_net *net, const rung_batch *b, int32_t plus,
                           int32_t minus, const double *mask, rung_error *err);

/* A head on final hidden states that trains with the net (value heads, PRMs, ORMs, reward models):
 * Linear(D, O) or Linear(D, H) -> ReLU -> Linear(H, O), O = 1 (also 0) or 2 as in rung_head, inputs
 * standardised by mean and 1/sd (NULL: as they are). Its weights are trained weights of the net:
 * one optimiser, one clip, one checkpoint; biases do not decay. Starts at zero (linear) or by He et
 * al. 2015 from the seed. Goes on after load and adapters, before rung_net_set_ema and
 * rung_net_resume; on a frozen base without adapters it trains alone. Losses: rung_net_grad_head
 * (rung/loss.h). rung_net_save leaves it out.
 */
struct rung_head;
rung_status rung_net_add_head(rung_net *net, int32_t n_hidden, int32_t n_out, const float *mean,
                              const float *inv_sd, uint64_t seed, rung_error *err);
/* Scores, before any sigmoid, of positions at[n] (row x T + token) of the batch. */
rung_status rung_net_scores(double *score, rung_net *net, const rung_batch *b, const int64_t *at,
                            int64_t n, rung_error *err);
/* The head as it is now; rung_head_free() it. */
rung_status rung_net_get_head(struct rung_head **out, const rung_net *net, rung_error *err);

/* Products in "f32", "bf16" (operands rounded, sums f32; master weights, moments and everything
 * between products stay f32; E_NOT_BUILT where the CPU lacks avx512_bf16), or "auto". */
rung_status rung_net_set_precision(rung_net *net, const char *name, rung_error *err);
/* Bytes that activations may take, 0 = all are kept. Layers that do not fit keep their input alone
 * and are run again on the way back; E_LIMIT at the next forward when even that does not fit. */
void rung_net_set_memory(rung_net *net, int64_t bytes);
int64_t rung_net_activation_bytes(const rung_net *net); /* allocated now, beside w, dw, m, v */
/* Moving average of the weights after each step, e += (1 - decay) (w - e); 0 = none. swap: the
 * average becomes the weights (to save or to measure), and back. Goes into checkpoints. */
rung_status rung_net_set_ema(rung_net *net, double decay, rung_error *err);
void rung_net_swap_ema(rung_net *net);

typedef struct rung_adamw {
    double lr, beta1, beta2, eps, weight_decay, clip;
} rung_adamw;
#define RUNG_ADAMW_INIT                                                                            \
    { 1e-3, 0.9, 0.95, 1e-8, 0.1, 1.0 }
typedef enum { RUNG_SCHEDULE_CONSTANT, RUNG_SCHEDULE_LINEAR, RUNG_SCHEDULE_COSINE } rung_schedule;
double rung_lr_at(rung_schedule s, double lr, double lr_min, int64_t step, int64_t warmup,
                  int64_t total); /* step from 0 */
/* One AdamW step on the gathered gradients, then zero them. grad_norm: before clipping; clip 0:
 * none. E_FORMAT on NaN: weights, moments and step count unchanged, the gradients dropped. */
rung_status rung_net_step(double *grad_norm, rung_net *net, const rung_adamw *opt, rung_error *err);
int64_t rung_net_steps(const rung_net *net);
/* Checkpoint: weights, moments, step, and the caller's state blob; atomic; resumes bit-equal. */
rung_status rung_net_checkpoint(const rung_net *net, const char *path, const void *state,
                                size_t n_state, rung_error *err);
rung_status rung_net_resume(rung_net *net, const char *path, void *state, size_t n_state,
                            rung_error *err); /* E_MISMATCH on another shape or size */

/* Supervised fine-tuning: documents are asked for by number, packed whole into rows; checkpoints
 * resume exactly. Numbers run from 0 without end: the caller maps them to documents (shuffled by an
 * addressed draw). One that does not fit is asked for again in the next batch. A checkpoint file
 * that is there is gone on from; `steps` counts from the net's own step count (0 after new or
 * load).
 */
typedef struct rung_sft_opts {
    size_t struct_size;
    int64_t steps;
    int32_t rows, n_tok; /* B x T tokens a step */
    rung_adamw adamw;
    rung_schedule schedule;
    int64_t warmup;
    double lr_min;
    uint64_t seed;
    const char *checkpoint;
    int64_t checkpoint_every; /* NULL none */
    /* Document i: tokens, and per token the target (what its logits should say) and weight (0 = no
     * loss). Borrowed until the next call. */
    rung_status (*doc)(void *ud, uint64_t i, const int32_t **tok, const int32_t **target,
                       const float **weight, int32_t *n, rung_error *err);
    void *ud;
    /* train/loss, ... of every step. name NULL: a checkpoint is about to be written, so what was
     * told must be kept now. */
    void (*on_metric)(void *ud, int64_t step, const char *name, double value);
    void *metric_ud;    /* NULL none */
    bool drop_too_long; /* leave out documents longer than a row (event train.too_long), else they
                           stop the run */
    int32_t accumulate; /* batches a step: their losses are summed, then divided by all their
                           weights, as one batch would be; 0 = 1 */
    int32_t keep_last;  /* checkpoints kept: FILE, FILE.1 the one before, ...; 0 = 1 */
    /* Loss on held-out documents, asked for before each checkpoint (NULL: never): eval/loss. The
     * least so far is also kept as FILE.best. */
    rung_status (*held)(void *ud, double *loss, rung_net *net, rung_error *err);
} rung_sft_opts;
rung_status rung_sft_train(rung_net *net, const rung_sft_opts *o, const rung_log *log,
                           rung_error *err);

/* Small heads on frozen hidden states: one linear layer, or Linear(D,H) -> ReLU -> Linear(H,O);
 * inputs standardised with stored mean and sd. O = 2: two classes by softmax, class 1 is right; its
 * score is the second output minus the first. Loss: a row of the table on the score, soft targets
 * in [0,1] and weights. */
typedef struct rung_head {
    int32_t n_in, n_hidden /* 0 = linear */;
    float *mean, *inv_sd, *w1, *b1, *w2, *b2;
    int32_t epochs; /* run by rung_head_train; 0: it came from elsewhere */
    bool value;     /* trained by loss value: the output is the score, not its sigmoid */
    int32_t n_out;  /* O; 0 = 1 */
} rung_head;        /* w1 [H][D], b1 [H], w2 [O][H], b2 [O]; with n_hidden 0 w1 [O][D], b1 [O] */
typedef struct rung_head_opts {
    int32_t n_hidden, epochs, batch;
    double lr, weight_decay;
    uint64_t seed;
    int32_t patience;
    int32_t loss;  /* rung_loss_id of rung/loss.h: bce (also 0), mse, value, bradley_terry, margin,
                      omega_pairwise; the last three compare rows of a group, whole in one batch */
    double margin; /* of the pair losses; 0 = the row's own */
    double clip_value; /* of loss value, around the scores when the epoch began; 0 = none */
    int32_t n_out;     /* 1 (also 0) or 2; loss value: 1 */
} rung_head_opts;
typedef struct rung_head_data {
    const float *x;
    const float *y, *w;
    const int32_t *group;
    int64_t n;
    const bool *positive; /* [n] side of each row in the events' AUC; NULL: y above 1/2 */
} rung_head_data; /* x [n][D]; group: rows that pair losses compare have one number; may be NULL */
rung_status rung_head_train(rung_head **out, int32_t n_in, const rung_head_data *train,
                            const rung_head_data *held, const rung_head_opts *o,
                            const char *checkpoint /* NULL or path: resumes */, const rung_log *log,
                            rung_error *err);               /* early stop on held loss */
double rung_head_score(const rung_head *h, const float *x); /* P(y = 1), or the value, in (0,1) */
double rung_head_value(double z); /* an output of loss value as a score: cut to (0,1) */
void rung_head_free(rung_head *h);

#ifdef __cplusplus
}
#endif
#endif
