/* Answers in packed rows: what a net reads of a step. */
#ifndef RUNG_SRC_RL_PACK_H
#define RUNG_SRC_RL_PACK_H
#include "rl/loop.h"

typedef struct rl_pack {
    rung_batch b;
    int32_t rows, n_tok, n_docs;
    int32_t *tok, *doc, *target, *sample, *used, *n_doc;
    double *mask, *old, *ref, *sampler, *advantage, *entropy, *logprob;
    int32_t *who;  /* [n_docs] answers in the pack */
    int64_t *base; /* [n_docs] place of the first own token's logits */
} rl_pack;

/* Room for o->rows x o->row_tok tokens, in the step's arena. */
rung_status rl_pack_room(rl_pack *p, rl_loop *l, rung_error *err);
/* Answers order[from..n) while they fit, each into the first row with room; how many. */
int32_t rl_pack_fill(rl_pack *p, const rl_loop *l, const uint32_t *order, int32_t from, int32_t n);
/* Logprobs of the answers' tokens at the loop's temperature; entropy may be NULL. */
rung_status rl_pack_read(double *logprob, double *entropy, rung_net *net, rl_pack *p,
                         const rl_loop *l, rung_error *err);
rung_status rl_pack_read_ref(double *logprob, rl_pack *p, const rl_loop *l, rung_error *err);

/* rl_value.c, no-ops without a critic: values of the pack's answers; gradients of a minibatch of
 * den tokens; the critic's step; the figure of how much it explains. */
rung_status rl_value_read(rl_loop *l, rl_pack *p, rung_error *err);
rung_status rl_value_grad(rl_loop *l, rl_pack *p, double den, rung_error *err);
rung_status rl_value_step(rl_loop *l, rung_error *err);
void rl_value_note(rl_loop *l);
#endif
