/* rung/advantage.h: from rewards to the advantage of every token: published credit methods as rows
 * of one table, and what is done to rewards before.
 *
 * Answers lie one after another: answer i has the tokens first[i] .. first[i + 1]. Sums in f64 in a
 * fixed order, so the number of threads changes nothing; tokens in f32. What the policy did not
 * write (mask 0) gets 0 and is in no mean. */
#ifndef RUNG_ADVANTAGE_H
#define RUNG_ADVANTAGE_H
#include "rung/loss.h"
#ifdef __cplusplus
extern "C" {
#endif

/* What a row cannot do without; bits. */
enum {
    RUNG_ADVANTAGE_NEEDS_GROUP = 1,    /* at least two answers a group */
    RUNG_ADVANTAGE_NEEDS_VALUE = 2,    /* a value head */
    RUNG_ADVANTAGE_NEEDS_BASELINE = 4, /* the greedy answer's reward */
    RUNG_ADVANTAGE_NEEDS_STEPS = 8,    /* source 0 */
    RUNG_ADVANTAGE_NEEDS_PROCESS = 16  /* source 0 or token_reward */
};
#define RUNG_ADVANTAGE_NEEDS_0 0

/* X(ID, name, names of others, needs, aggregation of its authors, help). R = all rewards of an
 * answer added up, o = its outcome, r_t rewards of tokens, K answers a group. Formulas:
 * docs/design/rl.md. verl:, trl: and openrlhf: are the names that those use. */
#define RUNG_ADVANTAGES(X)                                                                         \
    X(REINFORCE, "reinforce", "openrlhf:reinforce", 0, TOKEN_MEAN,                                 \
      "discounted return, no baseline")                                                            \
    X(RLOO, "rloo", "verl:rloo,verl:rloo_vectorized,openrlhf:rloo,trl:rloo", GROUP,                \
      SEQ_MEAN_TOKEN_SUM, "R minus the mean of the others")                                        \
    X(GRPO, "grpo", "verl:grpo,verl:grpo_vectorized,openrlhf:group_norm,trl:group", GROUP,         \
      SEQ_MEAN_TOKEN_MEAN, "(R - mean) / sd of the group")                                         \
    X(GRPO_NOSTD, "grpo_nostd", "trl:none", GROUP, SEQ_SUM_CONST, "R - mean of the group")         \
    X(GRPO_BATCH_STD, "grpo_batch_std", "trl:batch", GROUP, SEQ_MEAN_TOKEN_MEAN,                   \
      "group mean, sd of the whole batch")                                                         \
    X(GRPO_PROCESS, "grpo_process", "", GROUP | NEEDS_STEPS, SEQ_MEAN_TOKEN_MEAN,                  \
      "step rewards standardised over the group, later ones added up")                             \
    X(DR_GRPO, "dr_grpo", "openrlhf:dr_grpo,trl:dr_grpo", GROUP, SEQ_SUM_CONST,                    \
      "R - mean, summed over a constant length")                                                   \
    X(DAPO, "dapo", "trl:dapo", GROUP, TOKEN_MEAN,                                                 \
      "grpo's; overlong penalty, clip-higher and dynamic sampling beside it")                      \
    X(REINFORCE_PP, "reinforce_pp", "verl:reinforce_plus_plus", 0, TOKEN_MEAN,                     \
      "return, whitened over all tokens")                                                          \
    X(REINFORCE_PP_BASELINE, "reinforce_pp_baseline",                                              \
      "verl:reinforce_plus_plus_baseline,openrlhf:reinforce_baseline", GROUP, TOKEN_MEAN,          \
      "R - mean of the group, whitened over all tokens")                                           \
    X(GAE, "gae", "verl:gae,openrlhf:gae", VALUE, TOKEN_MEAN,                                      \
      "generalised advantage with a value head, whitened")                                         \
    X(REMAX, "remax", "verl:remax", BASELINE, TOKEN_MEAN, "return - R of the greedy answer")       \
    X(OPO, "opo", "verl:opo", GROUP, SEQ_MEAN_TOKEN_SUM, "R - mean weighted by length")            \
    X(GPG, "gpg", "verl:gpg", GROUP, TOKEN_MEAN, "R - mean, over the share of rewards not 0")      \
    X(PASS_AT_K, "pass_at_k", "verl:grpo_passk", GROUP, SEQ_MEAN_TOKEN_MEAN,                       \
      "the best answer alone: best - second, over sd")                                             \
    X(PRIME, "prime", "", GROUP | NEEDS_PROCESS, TOKEN_MEAN,                                       \
      "outcome and process against the others apart, added, whitened")                             \
    X(MIN_FORM, "min_form", "", GROUP | NEEDS_STEPS, TOKEN_MEAN,                                   \
      "the worst step counts: soft minimum, token-level baseline (PURE)")                          \
    X(PAV, "pav", "", STEPS, SEQ_MEAN_TOKEN_SUM,                                                   \
      "o + alpha x the step's progress under a prover, minus the value")                           \
    X(OPRL, "oprl", "", GROUP | NEEDS_STEPS, SEQ_MEAN_TOKEN_MEAN,                                  \
      "group z of outcomes + alpha x group z of step rewards")                                     \
    X(THOUGHT, "thought", "", GROUP | NEEDS_STEPS, SEQ_MEAN_TOKEN_MEAN,                            \
      "wrong thoughts of right answers lose, unmatched ones of wrong answers are spared")          \
    X(RENORM, "renorm", "", STEPS | NEEDS_VALUE, TOKEN_MEAN,                                       \
      "step reward + outcome - mu, through gae (PPR)")                                             \
    X(CAPO, "capo", "", GROUP | NEEDS_STEPS, SEQ_MEAN_TOKEN_MEAN,                                  \
      "wrong steps lose, standardised over the group's tokens")                                    \
    X(FG, "fg", "", VALUE | NEEDS_STEPS, TOKEN_MEAN,                                               \
      "rewards of several densities, weighted, through gae (FG-RLHF)")
typedef enum rung_advantage_id {
#define X(id, name, others, needs, aggregation, help) RUNG_ADVANTAGE_##id,
    RUNG_ADVANTAGES(X)
#undef X
        RUNG_ADVANTAGE_COUNT
} rung_advantage_id;
const char *rung_advantage_name(rung_advantage_id id);
const char *rung_advantage_help(rung_advantage_id id);
const char *rung_advantage_others(rung_advantage_id id); /* "verl:gae,openrlhf:gae" */
unsigned rung_advantage_needs(rung_advantage_id id);
rung_loss_aggregation rung_advantage_aggregation(rung_advantage_id id);
/* By our name, or "verl:NAME", "trl:NAME", "openrlhf:NAME"; a bare name of theirs where it is not
 * one of ours. */
bool rung_advantage_find(rung_advantage_id *out, const char *name);

/* Rewards at the ends of spans: steps, thoughts, turns, sentences. */
typedef struct rung_step_rewards {
    const int64_t *first; /* [n + 1] spans of answer i: first[i] .. first[i + 1] */
    const int32_t *end;   /* last token of the span, counted from the answer's first; ascending */
    const double *reward; /* what it means is the row's: docs/design/rl.md */
    double weight;        /* 0 = 1 */
    double mean, sd;      /* standardised first: (reward - mean) / sd; sd 0: not */
} rung_step_rewards;

/* Borrowed. Arrays that the row does not need may be NULL. */
typedef struct rung_advantage_data {
    int32_t n;
    const int64_t *first;            /* [n + 1] */
    const uint8_t *mask;             /* [tokens] 1 = the policy wrote it; NULL: all */
    const int32_t *group;            /* [n] answers of one problem */
    const uint8_t *known;            /* [n] 0 = no verdict: in no mean, advantage 0; NULL: all 1 */
    const double *outcome;           /* [n] NULL: all 0 */
    const double *baseline;          /* [n] remax */
    const rung_step_rewards *source; /* [n_sources]; rows read source 0, sums and fg read all */
    int32_t n_sources;
    const float *token_reward; /* [tokens] */
    const float *value;        /* [tokens] of the state before the token */
    const float *old, *ref;    /* [tokens] logprobs, for the KL in the reward */
} rung_advantage_data;

typedef enum rung_kl_kind { RUNG_KL_K1, RUNG_KL_ABS, RUNG_KL_K2, RUNG_KL_K3 } rung_kl_kind;
/* k1 (kl), abs, k2 (mse), k3 (low_var_kl): verl's names too; learning.md 4.2 K */
bool rung_kl_find(rung_kl_kind *out, const char *name);
double rung_kl_of(rung_kl_kind kind, double logprob, double ref);
/* beta for the next update: beta (1 + step clip(kl / target - 1, -.2, .2)); learning.md 4.2 J */
double rung_kl_adapt(double beta, double kl, double target, double step);

/* min_form: which of the published arithmetics. */
typedef enum rung_min_variant {
    RUNG_MIN_PAPER,      /* outcome against the others, returns against a token-level baseline */
    RUNG_MIN_CODE_VERL,  /* outcome joins the returns, one baseline for both */
    RUNG_MIN_CODE_TOKEN, /* baseline = mean reward of a token of the others x tokens of the step */
    RUNG_MIN_CODE_STEP   /* baseline = mean reward of a step of the others */
} rung_min_variant;
typedef enum rung_min_credit {
    RUNG_MIN_SOFT,   /* rewards weighted by softmax(-reward / temperature) */
    RUNG_MIN_SUM,    /* as they are: the sum form */
    RUNG_MIN_STRICT, /* returns: least reward of the steps to come */
    RUNG_MIN_TOKENS  /* least over tokens, those between steps counting 0: as the code has it */
} rung_min_credit;
typedef enum rung_whiten { RUNG_WHITEN_ROW, RUNG_WHITEN_ON, RUNG_WHITEN_OFF } rung_whiten;

/* 0 = the default named. */
typedef struct rung_advantage_opts {
    size_t struct_size;
    double gamma;   /* 1 */
    double lambda;  /* gae, fg .95; renorm 1 */
    double eps;     /* beside a standard deviation; 1e-6 (trl: 1e-4) */
    double kl_coef; /* per token off the reward; 0 = none */
    rung_kl_kind kl;
    rung_whiten whiten;  /* gae, reinforce_pp*, prime, min_form, renorm, fg do by themselves */
    double outcome_coef; /* prime, min_form; 1 */
    double process_coef; /* prime; 1 */
    double temperature;  /* min_form; .1 */
    rung_min_variant min_variant;
    rung_min_credit min_credit;
    int32_t length_max;  /* min_form: N, the generation limit; must be given */
    bool keep_step_ends; /* min_form's code_token, code_step: do not zero the tokens at step ends */
    bool prime_code;     /* prime: each token's own mean is in its baseline, as the code has it */
    bool prime_unscaled; /* prime: not divided by the batch's largest return first */
    double alpha;        /* pav 3, oprl 1, thought 1 */
    double mu;           /* renorm; 1. Below 0: 0 */
    double w_whole, w_process; /* capo; 2, 1 */
    bool plain_std;            /* pass_at_k: not divided by the standard deviation */
    bool fg_code;      /* fg: whitens by the root of the biased deviation, as the release does */
    int32_t n_threads; /* 0 = all cores */
} rung_advantage_opts;
#define RUNG_ADVANTAGE_OPTS_INIT                                                                   \
    { .struct_size = sizeof(rung_advantage_opts) }

typedef struct rung_advantage_figures {
    int32_t n_groups, n_flat;      /* groups; those whose rewards are all equal (no gradient) */
    int32_t n_unknown, n_empty;    /* answers without a verdict; without a token of the policy's */
    double reward_mean, reward_sd; /* of R over known answers */
    double mean, sd, max_abs;      /* of the advantage over unmasked tokens of known answers */
} rung_advantage_figures;

/* The advantage of every token into advantage [tokens]; returns [tokens] (NULL: not): what a value
 * head should learn.
 *   fails  RUNG_E_INVAL: something needed is missing, not finite, or a group of one (says where);
 *          RUNG_E_NOMEM
 *   pure   no RNG; the same bits for any number of threads */
rung_status rung_advantage(float *advantage, float *returns, rung_advantage_figures *figures,
                           rung_advantage_id id, const rung_advantage_data *d,
                           const rung_advantage_opts *o, rung_error *err);

/* Before the table ------------------------------------------------------------------------------
 */

/* r_h softmax(-r / temperature)_h over n steps (in place allowed); rewards.md 3 */
void rung_softmin_rewards(double *out, const double *reward, int64_t n, double temperature);
/* DAPO's overlong penalty, 0 .. -1: 0 up to length_max - cache, falling over cache tokens;
 * learning.md 4.2 H */
double rung_overlong_penalty(int64_t n_tok, int64_t length_max, int64_t cache);
/* How k critiques of one solution become the weight of each step: rewards.md 8 */
#define RUNG_VOTES(X)                                                                              \
    X(INTERSECTION, "intersection", "all critiques call it wrong")                                 \
    X(MAJORITY, "majority", "at least half do (a tie counts as wrong)")                            \
    X(UNION, "union", "any does")                                                                  \
    X(AVERAGE, "average", "the share that does")                                                   \
    X(GREEDY, "greedy", "the first critique alone")
typedef enum rung_vote {
#define X(id, name, help) RUNG_VOTE_##id,
    RUNG_VOTES(X)
#undef X
        RUNG_VOTE_COUNT
} rung_vote;
bool rung_vote_find(rung_vote *out, const char *name);
const char *rung_vote_name(rung_vote v);
/* wrong [n_critiques][n_steps], 1 = called wrong; usable [n_critiques] 0 = the reply could not be
 * read (NULL: all 1). None usable: all 0. */
void rung_vote_steps(double *weight, rung_vote vote, const uint8_t *wrong, const uint8_t *usable,
                     int32_t n_critiques, int32_t n_steps);

#ifdef __cplusplus
}
#endif
#endif
