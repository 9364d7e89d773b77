/* rung/rl.h: the loop that reinforces a policy: sample, verify, reward steps, curate groups,
 * credit, loss, update, new weights into the sampler. */
#ifndef RUNG_RL_H
#define RUNG_RL_H
#include "rung/advantage.h"
#include "rung/model.h"
#include "rung/store.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Where step rewards come from. */
#define RUNG_RL_SOURCES(X)                                                                         \
    X(NONE, "none", "the outcome alone")                                                           \
    X(TRUTH, "truth", "the world's own checker: +1 before the first error, -1 from it on")         \
    X(REWARD, "reward", "a process reward model's P(right), as 2 P - 1")                           \
    X(IMPLICIT, "implicit", "log-ratios of a model that learns from the outcomes along the way")
typedef enum rung_rl_source {
#define X(id, name, help) RUNG_RL_SOURCE_##id,
    RUNG_RL_SOURCES(X)
#undef X
        RUNG_RL_SOURCE_COUNT
} rung_rl_source;
const char *rung_rl_source_name(size_t i); /* NULL past the end */
/* What becomes of answers that hit the length limit. */
#define RUNG_RL_OVERLONG(X)                                                                        \
    X(MASK, "mask", "no loss on their tokens; they count in the group")                            \
    X(DROP, "drop", "no verdict: in no mean, no loss")                                             \
    X(PENALTY, "penalty", "reward -1")                                                             \
    X(SOFT, "soft", "DAPO's penalty on all, falling over the last tokens before the limit")        \
    X(KEEP, "keep", "reward as the verifier has it, 0 without an answer")
typedef enum rung_rl_overlong {
#define X(id, name, help) RUNG_RL_OVERLONG_##id,
    RUNG_RL_OVERLONG(X)
#undef X
        RUNG_RL_OVERLONG_COUNT
} rung_rl_overlong;
const char *rung_rl_overlong_name(size_t i);
/* What an implicit reward model learns from the outcomes by; rewards.md 2 (ce), 5 (dpo). */
typedef enum rung_rl_implicit_loss {
    RUNG_RL_IMPLICIT_CE,
    RUNG_RL_IMPLICIT_DPO
} rung_rl_implicit_loss;

/* Which groups are trained on. Pure; rewards.md 2 (pass rate), learning.md 4.2 H (dynamic
 * sampling).
 */
typedef struct rung_rl_filter {
    double pass_lo, pass_hi; /* mean outcome of the known answers, inclusive; hi 0 = 1 */
    bool keep_flat;          /* also groups whose outcomes are all equal */
} rung_rl_filter;
/* NULL: keep; else why not: "unknown" "pass_low" "pass_high" "flat". */
const char *rung_rl_filter_group(const rung_rl_filter *f, const double *outcome,
                                 const uint8_t *known, int32_t n);
/* PROF: of n answers the m to train on, right ones by the best, wrong ones by the worst mean step
 * score, as many of both as the limits allow; rewards.md 9.
 *   outcome > 0 = right; n_steps NULL: no length term. both false: wrong ones as they come
 *   keep [n] is written; returns how many of them (m, or n when n < m) */
int32_t rung_rl_prof(uint8_t *keep, const double *outcome, const double *score,
                     const int32_t *n_steps, int32_t n, int32_t m, bool both);

typedef struct rung_rl_opts {
    size_t struct_size;
    const char *policy;       /* GGUF that the trainer can load: llama or qwen2 */
    const char *reference;    /* NULL = the policy as it starts */
    const char *out;          /* the trained policy; NULL = not written */
    const char *out_type;     /* NULL = f16 */
    const char *checkpoint;   /* NULL none; one that is there is gone on from */
    int64_t checkpoint_every; /* steps; 0 = 10 */
    rung_filter problems;
    const char *system, *suffix, *stop, *split_how;
    int64_t steps;          /* updates of the policy's batch */
    int32_t prompts, group; /* a step trains on so many groups of so many answers; 8, 8 */
    int32_t max_tok;        /* an answer's limit; 128 */
    double temperature;     /* 1 */
    const char *estimator;  /* a row of RUNG_ADVANTAGES or another's name; NULL = grpo_nostd */
    rung_advantage_opts credit;
    const char *loss;         /* a policy loss of the table or another's name; NULL = ppo */
    const char *aggregation;  /* NULL = the estimator's */
    rung_loss_opts loss_opts; /* clips, kl_coef (in the loss), kl, ... */
    double kl_exact;          /* coefficient of the exact KL in the loss */
    double entropy_coef;
    bool no_reference; /* no KL is measured: a forward pass less */
    rung_rl_source source;
    const char *reward, *reward_base; /* source REWARD; base NULL = the policy as it starts */
    int32_t prover_k;                 /* pav: prover = best of k of the policy; 4 */
    double step_weight;               /* of step rewards; 0 = 1 */
    bool steps_at_end; /* an answer's step rewards are added up on its last token (density) */
    /* Source IMPLICIT: a model of its own, from `reward` (NULL = the policy as it starts); token
     * rewards are ln p(model) - ln p(reference). */
    bool implicit_frozen;                /* it does not learn */
    bool implicit_update_first;          /* rewards after its step of the batch, not before */
    bool implicit_rolling;               /* reference = the policy that sampled (OPRL) */
    rung_rl_implicit_loss implicit_loss; /* ce */
    double implicit_beta, implicit_lr;   /* .05; 0 = twice the policy's */
    /* Rows with a value head: a linear head on a net of its own. */
    const char *critic;    /* NULL = the policy as it starts */
    double critic_lr;      /* 0 = 5 times the policy's */
    int64_t critic_warmup; /* steps in which it learns alone */
    double clip_value;     /* 0 = .2; below 0: none */
    /* Adapters of this rank are what learns, on frozen weights as the file has them; the sampler
     * keeps those and takes new adapters. 0 = all weights learn. */
    int32_t lora_rank;
    double lora_alpha;        /* 0 = 2 rank */
    const char *lora_targets; /* NULL = attn_q,attn_v */
    const char *lora_out;     /* the adapters alone; NULL = not written */
    rung_rl_filter filter;
    int32_t waves;      /* dynamic sampling: at most so many times the prompts a step; 1 */
    int32_t prof_keep;  /* PROF: answers a group kept of those sampled; 0 = all */
    bool prof_positive; /* PROF-POS: only right answers are ranked */
    rung_rl_overlong overlong;
    int32_t overlong_cache;        /* soft: tokens; 0 = a fifth of max_tok */
    int32_t epochs, minibatches;   /* inner epochs over a batch, updates an epoch; 1, 1 */
    int32_t push_every, max_stale; /* updates between pushes of weights; most updates an answer may
                                      lie behind; 1, 1 */
    const char *sampler_type;      /* of the sampler's weights: f32, f16, q8_0; NULL = f16 */
    rung_adamw adamw;              /* lr 0 = 3e-4; learning.md 4.3 */
    int64_t warmup;
    int32_t rows, row_tok; /* micro-batch; 8 x 256 */
    uint64_t seed;
    bool exact; /* same seed, same bits: the sampler in exact mode */
    int32_t n_threads;
    /* An alarm: NULL = "continue"; "pause" = stop, resumable; "rollback" = back to the last
     * checkpoint older than the watch's window at which no alarm stood, then on with other draws
     * and half the learning rate; stops at the fourth. Needs a checkpoint. */
    const char *watch_action;
    bool keep_traces; /* all answers into the store, generator NAME@VERSION */
    void (*on_metric)(void *ud, int64_t step, const char *name,
                      double value); /* name NULL: flush */
    void *metric_ud;
} rung_rl_opts;
#define RUNG_RL_OPTS_INIT                                                                          \
    {                                                                                              \
        .struct_size = sizeof(rung_rl_opts), .credit = RUNG_ADVANTAGE_OPTS_INIT,                   \
        .loss_opts = RUNG_LOSS_OPTS_INIT, .adamw = {                                               \
            0,                                                                                     \
            .9,                                                                                    \
            .95,                                                                                   \
            1e-8,                                                                                  \
            0,                                                                                     \
            1.0                                                                                    \
        }                                                                                          \
    }
/* Alarms --------------------------------------------------------------------------------------- */

/* What a run measured at a step; NaN: not measured. reward: what is optimised; verifier: share of
 * right answers. Shares in [0, 1]. */
typedef struct rung_watch_row {
    int64_t step;
    double reward, verifier, kl /* nats a sequence */, entropy, length, steps, repeats, undivided,
        flat, agreement, grad_norm;
} rung_watch_row;
#define RUNG_ALARMS(X)                                                                             \
    X(HACK, "reward_hacking", "the reward rises while the verifier's accuracy falls")              \
    X(KL, "kl", "farther from the reference than the limit")                                       \
    X(ENTROPY, "entropy", "entropy below a tenth of the start")                                    \
    X(LENGTH, "length", "answers twice or half as long as at the start")                           \
    X(STEPS, "steps", "twice or half the steps an answer")                                         \
    X(REPEATS, "repeats", "more answers say a line twice")                                         \
        X(UNDIVIDED, "undivided", "step delimiters vanish: more answers of one step")              \
            X(FLAT, "flat_groups", "nearly all groups have equal rewards: nothing is learned")     \
                X(AGREEMENT, "agreement", "the reward model agrees less with the verifier")        \
                    X(GRADIENT, "gradient", "gradient norm not finite, or far above the start")
typedef enum rung_alarm {
#define X(id, name, help) RUNG_ALARM_##id,
    RUNG_ALARMS(X)
#undef X
        RUNG_ALARM_COUNT
} rung_alarm;
const char *rung_alarm_name(rung_alarm a);
const char *rung_alarm_help(rung_alarm a);
typedef struct rung_watch_opts {
    size_t struct_size;
    int32_t
        window; /* rows of a mean; 10. The first window is the start that later ones are held to */
    double kl_max; /* 10; learning.md 4.3 */
    double drop;   /* accuracy that must be lost before "reward_hacking"; .02 */
    double sigmas; /* and how sure, by the spread of rows within windows; 4 */
} rung_watch_opts;
#define RUNG_WATCH_OPTS_INIT                                                                       \
    { .struct_size = sizeof(rung_watch_opts) }
/* The memory of a watch; a value: copy it into a checkpoint. */
enum { RUNG_WATCH_WINDOW_MAX = 32, RUNG_WATCH_SERIES = 11 };
typedef struct rung_watch {
    int64_t n;
    double base[RUNG_WATCH_SERIES], base_sd[RUNG_WATCH_SERIES];
    double ring[RUNG_WATCH_SERIES][RUNG_WATCH_WINDOW_MAX];
    double best, best_sd, best_reward, best_reward_sd; /* verifier's best window; the reward then */
    uint32_t on; /* alarms that stand: told once until they are over */
} rung_watch;
/* One more row. Bits of the alarms that begin with it; say [n_say] gets a line for each, what was
 * seen against what. */
uint32_t rung_watch_put(rung_watch *w, char *say, size_t n_say, const rung_watch_row *row,
                        const rung_watch_opts *o);

/* Everything that can be said without a model: unknown names, a group of one where answers are
 * compared, KL in reward and loss, a row that needs what nothing here gives. */
rung_status rung_rl_check(const rung_rl_opts *o, rung_error *err);

/* A verl configuration (YAML, resolved or overrides of one's own) as lines of a config file of
 * ours, "rl.train.KEY = value   # theirs", appended to ours; to lost a line for each key that has
 * no place here and is not merely about machines. */
rung_status rung_rl_from_verl(rung_buf *ours, rung_buf *lost, const char *path, rung_error *err);

typedef struct rung_rl_report {
    int64_t steps, n_answers, n_tok, n_groups_dropped, n_alarms, n_rollbacks;
    double reward_first, reward_last; /* mean outcome of the first and last tenth of the steps */
    double kl_last, push_ms, sampler_gap; /* ms a push; mean |ln p trainer - ln p sampler| */
    bool paused;                          /* by an alarm */
} rung_rl_report;
/* run 0 and store with problems only: traces are not kept. E_CANCELLED: the checkpoint resumes. */
/* A checkpoint with what lies beside it (critic, implicit model, older ones kept for a roll-back).
 */
void rung_rl_remove_checkpoint(const char *path);
rung_status rung_rl_train(rung_rl_report *out, rung_store *s, int64_t run, const rung_rl_opts *o,
                          const rung_log *log, rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
