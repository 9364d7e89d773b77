/* rung/loss.h: losses as table rows: each a function of token logprobs or of a head's scores, and
 * of what they should be, that gives the value and the gradient. Everything in f64; sigmoids
 * through softplus; sums in order.
 *
 * Items are tokens (rows that take logprobs) or scores (rows that take scores). Items belong to
 * samples; masks are per item, weights per sample. A masked item may hold anything, also NaN: it
 * adds nothing and its gradient is 0. A sample without an unmasked item is not there. */
#ifndef RUNG_LOSS_H
#define RUNG_LOSS_H
#include "rung/train.h"
#ifdef __cplusplus
extern "C" {
#endif

/* X(ID, name, takes, help). l = logprob of a token, m = mask, x = score (before any sigmoid), s =
 * sigma(x), d = l - ref, z = sum over the sample of m d, h = beta z. Formulas:
 * docs/design/losses.md */
#define RUNG_LOSSES(X)                                                                             \
    X(CE, "ce", LOGPROB, "masked cross entropy: -l")                                               \
    X(BCE, "bce", SCORE, "binary cross entropy of s with soft targets: PRM and ORM heads, tags")   \
    X(CLASS_CE, "class_ce", SCORE, "cross entropy of n_class scores an item")                      \
    X(MSE, "mse", SCORE, "squared error of s")                                                     \
    X(VALUE, "value", SCORE, "half squared error of x, clipped around the old value")              \
    X(BRADLEY_TERRY, "bradley_terry", SCORE, "pairs: -ln sigma(x+ - x- - margin)")                 \
    X(MARGIN, "margin", SCORE, "pairs: max(0, margin - (x+ - x-))")                                \
    X(OMEGA, "omega_pairwise", SCORE, "all pairs of a group that differ in reward, Bradley-Terry") \
    X(IMPLICIT_CE, "implicit_ce", LOGPROB, "cross entropy of sigma(h) with the outcome")           \
    X(DPO, "dpo", LOGPROB, "pairs: -ln sigma(h+ - h- - margin), label smoothing")                  \
    X(IPO, "ipo", LOGPROB, "pairs: (z+ - z- - 1/(2 beta))^2")                                      \
    X(REGRESSION, "reward_regression", LOGPROB, "pairs: (h+ - h- - (reward+ - reward-))^2")        \
    X(KTO, "kto", LOGPROB, "unpaired: 1 - sigma(+-(h - beta z0)), two weights")                    \
    X(NCA, "nca", LOGPROB, "groups: -q ln sigma(h) - ln sigma(-h) / K, q = softmax(reward/alpha)") \
    X(INFO_NCA, "info_nca", LOGPROB, "groups: -q ln softmax(h)")                                   \
    X(KL_K1, "kl_k1", LOGPROB, "d: unbiased, its gradient as a loss is not KL's")                  \
    X(KL_K2, "kl_k2", LOGPROB, "d^2/2: its gradient is that of KL(policy, reference)")             \
    X(KL_K3, "kl_k3", LOGPROB, "exp(-d) - 1 + d: unbiased, never below 0")                         \
    X(KL_ABS, "kl_abs", LOGPROB, "|d|")                                                            \
    X(PPO, "ppo", LOGPROB, "clipped policy gradient, two clips, dual clip, KL beside it")          \
    X(REINFORCE, "reinforce", LOGPROB, "-A l: no ratio, for strictly on-policy updates")           \
    X(CISPO, "cispo", LOGPROB, "-A l times the clipped ratio, which has no gradient")              \
    X(SAPO, "sapo", LOGPROB, "-A times a soft gate of the ratio, 4/tau sigma(tau (ratio - 1))")    \
    X(GEO_MEAN, "geo_mean", LOGPROB, "-mean A times the geometric mean of clipped ratios (GMPO)")  \
    X(CLIP_COV, "clip_cov", LOGPROB, "ppo without some tokens of high covariance of l and A")      \
    X(KL_COV, "kl_cov", LOGPROB, "-A ratio, |l - old| beside it where the covariance is highest")
typedef enum rung_loss_id {
#define X(id, name, takes, help) RUNG_LOSS_##id,
    RUNG_LOSSES(X)
#undef X
        RUNG_LOSS_COUNT
} rung_loss_id;
typedef enum rung_loss_takes { RUNG_LOSS_TAKES_LOGPROB, RUNG_LOSS_TAKES_SCORE } rung_loss_takes;
const char *rung_loss_name(rung_loss_id id);
const char *rung_loss_help(rung_loss_id id);
rung_loss_takes rung_loss_takes_of(rung_loss_id id);
/* What a row cannot do without; bits. */
enum {
    RUNG_LOSS_NEEDS_TARGET = 1,
    RUNG_LOSS_NEEDS_REF = 2,
    RUNG_LOSS_NEEDS_OLD = 4,
    RUNG_LOSS_NEEDS_ADVANTAGE = 8,
    RUNG_LOSS_NEEDS_LABEL = 16,
    RUNG_LOSS_NEEDS_GROUP = 32,
    RUNG_LOSS_NEEDS_REWARD = 64,
    RUNG_LOSS_NEEDS_PAIR = 128,
    RUNG_LOSS_NEEDS_SELECTED = 256
};
unsigned rung_loss_needs(rung_loss_id id);
bool rung_loss_find(rung_loss_id *out, const char *name);

/* How item losses become one number (learning.md 4.2). Found by our name or by verl's and TRL's. L
 * item loss, m mask, w weight of the sample, n = sum of m over the sample; samples without an
 * unmasked item are not counted. */
#define RUNG_LOSS_AGGREGATIONS(X)                                                                  \
    X(TOKEN_MEAN, "token_mean", "token-mean", "dapo", "sum w m L / sum w m")                       \
    X(SEQ_MEAN_TOKEN_MEAN, "seq_mean_token_mean", "seq-mean-token-mean", "grpo",                   \
      "mean over samples of sum m L / n")                                                          \
    X(SEQ_MEAN_TOKEN_SUM, "seq_mean_token_sum", "seq-mean-token-sum", "",                          \
      "mean over samples of sum m L")                                                              \
    X(SEQ_SUM_CONST, "seq_sum_const", "seq-mean-token-sum-norm", "dr_grpo",                        \
      "mean over samples of sum m L / length_max")
typedef enum rung_loss_aggregation {
#define X(id, name, verl, trl, help) RUNG_LOSS_##id,
    RUNG_LOSS_AGGREGATIONS(X)
#undef X
        RUNG_LOSS_AGGREGATION_COUNT
} rung_loss_aggregation;
const char *rung_loss_aggregation_name(rung_loss_aggregation a);
bool rung_loss_aggregation_find(rung_loss_aggregation *out, const char *name);

/* What a row reads; borrowed. Arrays that it does not need may be NULL. */
typedef struct rung_loss_data {
    int64_t n;             /* items */
    const double *x;       /* [n] logprobs of the tokens, or scores; class_ce: [n][n_class] */
    const double *mask;    /* [n] 0 = not there, else how much it counts; NULL: all 1 */
    const int32_t *sample; /* [n] its sample, -1 = none; NULL: item i is sample i, n_samples = n */
    const double *target;  /* [n] bce, mse: in [0,1]; class_ce: the class, with two classes also the
                              probability of class 1; value: the return */
    const double *ref;     /* [n] logprobs under the reference */
    const double *old;     /* [n] ppo: logprobs under the policy that sampled, as the trainer
                              computes them; value: the old values */
    const double *sampler; /* [n] ppo: logprobs as the sampler gave them; NULL: same as old */
    const double *advantage; /* [n] */
    int64_t n_samples;
    const double *weight; /* [n_samples] >= 0; NULL: all 1 */
    const double *label;  /* [n_samples] in [0,1]; kto: 1 desirable, 0 not */
    const int32_t *group; /* [n_samples] of one problem or one prefix; -1 = none */
    const double *reward; /* [n_samples] */
    int64_t n_pairs;
    const int32_t *pair;       /* [n_pairs][2] samples: the better, the worse */
    const double *pair_weight; /* [n_pairs] >= 0; NULL: all 1 */
    const double *pair_margin; /* [n_pairs]; NULL: options' */
    const uint8_t *selected;   /* [n] clip_cov, kl_cov: 1 = picked by rung_loss_select */
} rung_loss_data;

/* 0 = the default named. */
typedef struct rung_loss_opts {
    size_t struct_size;
    rung_loss_aggregation aggregation; /* of rows that are a sum over items; token_mean */
    double length_max;                 /* seq_sum_const: must be given */
    double denominator; /* what the sum is divided by; 0 = this batch's own (rung_loss_denominator).
                           Micro-batches and ranks: the sum of theirs, then their values add up */
    double beta;        /* implicit_ce .05; dpo, ipo, kto, reward_regression .1; nca, info_nca .01;
                           bradley_terry, omega_pairwise 1 */
    double smoothing;   /* dpo, bradley_terry: probability that a pair is the wrong way round */
    double margin;      /* dpo, bradley_terry 0; margin 1 */
    double alpha;       /* nca, info_nca: temperature of rewards; 1e-4 */
    double desirable, undesirable; /* kto: 1, 1 */
    double kto_zero;               /* kto: z0, from rung_loss_kto_zero */
    double clip_low, clip_high; /* ppo, cispo, clip_cov: .2, .2; geo_mean: of the log ratio; below
                                   0: no clip on that side */
    double clip_dual;           /* ppo: c, above 1; 0 = none */
    double clip_value;          /* value: c_v, around old; 0 = none */
    double clip_sampler;        /* policy losses: bound of exp(old - sampler); 2 */
    double kl_coef;             /* policy losses: of the KL term; 0 = none, else ref is needed */
    rung_loss_id kl;            /* policy losses: KL_K1, K2, K3 or KL_ABS; 0 = KL_K2 */
    rung_loss_id kl_value;      /* its value by this estimator, its gradient by kl (verl's k1+,
                                   k3+: kl_value K3, kl K2); 0 = kl's own */
    double cov_share;           /* clip_cov, kl_cov: share of tokens picked; 2e-4 */
    double cov_low, cov_high;   /* clip_cov: covariances between these may be picked; 1, 5 */
    double cov_coef;            /* kl_cov: of |l - old| where picked; 1 */
    double tau_pos, tau_neg;    /* sapo: where A > 0, elsewhere; 1, 1.05 */
    uint64_t seed;              /* clip_cov: which of those that may be */
    bool sequence_ratio;        /* ppo: one ratio a sample, exp(mean of l - old) (GSPO) */
    bool sequence_token;        /* with it: the gradient of a token by its own A (GSPO-token) */
    bool mean_tokens;  /* rows of samples: z divided by the sample's tokens (SimPO, TRL's IPO) */
    bool no_reference; /* dpo, ipo: ref taken as 0 (SimPO: with mean_tokens and a margin) */
    int32_t n_class;   /* class_ce: at least 2; 0 = 2 */
} rung_loss_opts;
#define RUNG_LOSS_OPTS_INIT                                                                        \
    { .struct_size = sizeof(rung_loss_opts) }

/* What is worth a curve beside the loss; NaN where the row has no such thing. */
typedef struct rung_loss_figures {
    double n;                              /* items, samples, pairs that counted */
    double clip_low, clip_high, clip_dual; /* ppo: share of items whose ratio was cut */
    double kl;                             /* mean over items of k3 (ppo: of l - old) */
    double chosen, rejected;               /* mean h of better and worse samples */
    double accuracy;                       /* share of pairs or outcomes on the right side */
} rung_loss_figures;

/* Value, and its gradient by x into dx (written, same shape as x; NULL: value only).
 *   fails  RUNG_E_INVAL: something needed is missing, out of its range or not finite (says where);
 *          RUNG_E_NOMEM
 *   nothing counted: value 0, gradient 0 */
rung_status rung_loss_eval(double *value, double *dx, rung_loss_figures *figures, rung_loss_id id,
                           const rung_loss_data *d, const rung_loss_opts *o, rung_error *err);
/* What rung_loss_eval divides this batch's sum by. */
rung_status rung_loss_denominator(double *out, rung_loss_id id, const rung_loss_data *d,
                                  const rung_loss_opts *o, rung_error *err);

/* clip_cov, kl_cov: which items, by (A - mean A)(l - mean l) over the unmasked items of the whole
 * batch; selected [n] is written. The random choice of clip_cov is drawn by (seed, item).
 */
rung_status rung_loss_select(uint8_t *selected, rung_loss_id id, const rung_loss_data *d,
                             const rung_loss_opts *o, rung_error *err);
/* A policy loss by the name that verl (vanilla, gspo, cispo, geo_mean, clip_cov, kl_cov, gpg, sapo)
 * or TRL (grpo, bnpo, dr_grpo, dapo, cispo, sapo) gives it, "verl:" or "trl:" in front or not, or
 * by ours (ppo, ...): the row, and what it sets in the options. False: no such. */
bool rung_loss_policy_find(rung_loss_id *out, rung_loss_opts *o, const char *name);

/* kto: z0 = max(0, mean over samples of z), from a batch of mismatched prompts and answers. */
rung_status rung_loss_kto_zero(double *out, const rung_loss_data *mismatched, rung_error *err);
/* All pairs of a right (label > 1/2) and a wrong sample of one group; *pair is rung_free()d. */
rung_status rung_loss_pairs(int32_t **pair, int64_t *n_pairs, const double *label,
                            const int32_t *group, int64_t n, rung_error *err);
/* implicit_ce's balancing, as weights: what dropping samples of the larger class at random until
 * both are equal in number would give on average. DATASET: over all; INSTRUCTION: in each group. */
typedef enum rung_loss_balance {
    RUNG_BALANCE_NONE,
    RUNG_BALANCE_DATASET,
    RUNG_BALANCE_INSTRUCTION
} rung_loss_balance;
rung_status rung_loss_weights(double *weight, rung_loss_balance b, const double *label,
                              const int32_t *group, int64_t n, rung_error *err);

/* A row as the loss of a net (train.h): ud = rung_loss_on_net. Under rung_net_grad the logits are
 * made in blocks of rows that count, twice where they are more than one block: once for the
 * logprobs, once for the gradient. data.n is B*T, data.x is not read:
 * logprobs of tok under logits / temperature; rows that take scores read logit(plus) - logit(minus)
 * (labels.md 3). */
typedef struct rung_loss_on_net {
    rung_loss_id id;
    rung_loss_data data;
    rung_loss_opts opts;
    const int32_t *tok;  /* [B*T] the token that position t's logits are asked about */
    double temperature;  /* 0 = 1: must be that of sampling */
    double entropy_coef; /* ppo: minus this times the mean entropy, aggregated as the loss is */
    int32_t plus, minus;
    /* The exact KL to a reference, sum over v of pi (ln pi - ln ref), times a coefficient,
     * aggregated as the loss is. Needs the reference's logits, [B*T][V]; 0 = none. */
    double kl_exact_coef;
    const float *ref_logits;
    double kl_exact;           /* out: its mean over unmasked positions */
    rung_loss_figures figures; /* out */
    double entropy;            /* out: mean entropy of unmasked positions; with entropy_coef */
} rung_loss_on_net;
rung_status rung_loss_on_net_fn(double *value, int64_t *n_terms, float *dlogits,
                                const float *logits, const rung_batch *b, int32_t n_vocab, void *ud,
                                rung_error *err);
/* A row that takes scores, but for class_ce, as the loss of a net's own head
 * (rung_net_add_head): item i is the score of position at[i] of the batch; data.x is not read. */
typedef struct rung_loss_on_head {
    rung_loss_id id;
    rung_loss_data data;
    rung_loss_opts opts;
    const int64_t *at;         /* [data.n] row x T + token */
    double *score;             /* [data.n] out, before any sigmoid; NULL: not told */
    rung_loss_figures figures; /* out */
} rung_loss_on_head;
/* Forward, loss, backward through head and net; gradients times scale are added to. */
rung_status rung_net_grad_head(double *value, rung_net *net, const rung_batch *b,
                               rung_loss_on_head *loss, double scale, rung_error *err);
/* Logprobs of tok where mask is not 0, and the entropy there (NULL: not asked for), of a net on a
 * batch; logits are made in blocks of the rows that count. [B*T]; 0 elsewhere. */
rung_status rung_net_logprobs(double *logprob, double *entropy, rung_net *net, const rung_batch *b,
                              const int32_t *tok, const double *mask, double temperature,
                              rung_error *err);
/* Logprobs of tok under a net's logits: what old and ref are made of. [B*T]; 0 where mask is 0. */
rung_status rung_loss_logprobs(double *logprob, const float *logits, const int32_t *tok,
                               const double *mask, int64_t n, int32_t n_vocab, double temperature,
                               rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
