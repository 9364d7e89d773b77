/* Inside the loop: one step's answers, and the parts that work on them. */
#ifndef RUNG_SRC_RL_LOOP_H
#define RUNG_SRC_RL_LOOP_H
#include "rung/reward.h"
#include "rung/rl.h"
#include "rung/trace.h"
#include "rung/train.h"

#include <math.h>
#include <string.h>

/* An answer: prompt, then what the policy wrote, its end token included. Strings and arrays in the
 * step's arena. Token arrays of the answer's own part have n_resp numbers. */
typedef struct rl_answer {
    int32_t prompt, i;        /* place in the wave; sample of it */
    int64_t problem, version; /* row in the store; updates the sampler had seen */
    const int32_t *tok;       /* [n_prompt + n_resp] */
    int32_t n_prompt, n_resp;
    float *sampler;    /* logprobs as drawn; NaN where the sampler told none (the end token) */
    double *old, *ref; /* by the trainer; ref NULL without a reference */
    const char *text, *stop;
    int32_t n_bytes;
    double outcome; /* after overlong rules */
    bool known, right, truncated, no_answer;
    int32_t n_steps, *step_end;    /* in the answer's own tokens */
    double *step_p;                /* P(right) of each step; NULL none */
    int32_t first_error, n_repeat; /* repeated lines */
    float *advantage;
    double *value; /* [n_resp] of the state before each token; NULL without a critic */
    float *ret;    /* [n_resp] what the critic should say */
    float *dense;  /* [n_resp] source IMPLICIT: ln p(model) - ln p(reference) of each token */
    rung_trace trace;
    bool trained;
} rl_answer;

/* Checkpoints kept for a roll-back; roll-backs of a run; rows of the watch's window. */
enum { RL_GOOD_MAX = 16, RL_ROLLBACKS = 3, RL_WINDOW = 10 };

typedef struct rl_state { /* everything beside the net that the next step depends on; in checkpoints
                           */
    int64_t step, cursor, pushed_step, n_answers, n_tok, n_dropped, n_alarms;
    uint64_t config;
    double entropy_first, reward_first, reward_last;
    int64_t n_first, n_last;
    rung_watch watch;
    int64_t n_rollbacks;
    int32_t n_good; /* checkpoints that a roll-back may go to, the oldest first */
    int64_t good[RL_GOOD_MAX];
} rl_state;

/* What one step measured. */
typedef struct rl_figures {
    double outcome, reward, accuracy, known, length, length_wrong, truncated, steps_per_answer,
        repeat_share, flat_share, no_answer, loss, grad_norm, kl, entropy, clip_low, clip_high, gap,
        gap_max, stale, advantage_sd, agreement, pushed_ms, sample_s, train_s;
    double step_reward, vf_loss, vf_explained, implicit_loss, implicit_pairs;
    int64_t n_groups, n_dropped, n_tok, n_waves;
} rl_figures;

typedef struct rl_loop {
    const rung_rl_opts *o;
    const rung_log *log;
    rung_store *store;
    int64_t run;
    rung_advantage_id estimator;
    rung_loss_id loss;
    rung_loss_opts loss_opts;
    rung_net *net;
    rung_net *ref; /* NULL: none, or the net itself with its adapters left out */
    bool has_ref;
    rung_net *critic, *implicit; /* NULL without */
    int64_t saved_step;          /* of the checkpoint that is there; -1 none */
    rung_model *model;           /* the sampler's weights, and the vocabulary */
    rung_engine *engine;
    rung_model *reward_model;
    rung_engine *reward_engine;
    rung_reward *reward;
    int64_t *problem; /* ids */
    int64_t n_problems;
    char sampler_path[256];
    rung_arena *arena, *wave_arena;
    rl_answer *answer; /* of the step: groups one after another */
    int32_t n_answers, cap_answers;
    double *greedy; /* [groups] remax */
    rl_state at;
    rl_figures f;
} rl_loop;

/* rl_nets.c: opens them; checkpoints of all of them together; back to the newest of at.good. */
rung_status rl_nets_open(rl_loop *l, rung_error *err);
void rl_nets_close(rl_loop *l);
rung_status rl_save(rl_loop *l, rung_error *err);
rung_status rl_resume(rl_loop *l, rung_error *err);
rung_status rl_roll_back(rl_loop *l, rung_error *err);
/* The seed of draws: another one after each roll-back. */
uint64_t rl_seed(const rl_loop *l);
double rl_lr(const rl_loop *l, double lr); /* halved at each roll-back */
/* rl_sampler.c: the net's weights as the engine's; *ms: how long. */
rung_status rl_push(rl_loop *l, double *ms, rung_error *err);
/* rl_sample.c: fills l->answer with groups that passed; advances the cursor. */
rung_status rl_sample(rl_loop *l, rung_error *err);
/* rl_reward.c: step rewards of all answers into step_p. */
rung_status rl_reward_open(rl_loop *l, rung_error *err);
rung_status rl_reward_steps(rl_loop *l, rl_answer *a, int32_t n, rung_error *err);
/* rl_credit.c: advantages of the step's answers. */
rung_status rl_credit(rl_loop *l, rung_error *err);
/* rl_update.c: logprobs of old policy and reference; epochs of minibatches. */
rung_status rl_logprobs(rl_loop *l, rung_error *err);
rung_status rl_update(rl_loop *l, rung_error *err);
/* rl_implicit.c: the implicit model's rewards, and its own step. After the logprobs. */
rung_status rl_implicit(rl_loop *l, rung_error *err);

void *rl_room(rung_arena *a, size_t n, rung_error *err); /* NULL: err is set */
#endif
