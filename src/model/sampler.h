/* Sampling inside the model layer: a plan per request, a history per continuation, draws for many
 * rows of logits at once. */
#ifndef RUNG_SRC_SAMPLER_H
#define RUNG_SRC_SAMPLER_H
#include "model/model_impl.h"
#include "model/sampler_grammar.h"

/* What the samples of one request share. Its strings and lists are copies. */
typedef struct sampler_plan {
    rung_sampling s;
    rung_logit_bias *bias; /* by id; an id that was given twice has the sum */
    int32_t n_bias, n_vocab;
    bool penalties;
    grammar *grammar; /* at its start; NULL none */
} sampler_plan;

typedef struct tok_count {
    int32_t tok, n;
} tok_count;

/* What one continuation has seen: the window of the penalties, where it is in the grammar. Zeroed
 * at first; _begin takes it over from any earlier continuation. */
typedef struct sampler_seq {
    const sampler_plan *plan;
    tok_count *count; /* by id: how often in the window */
    int32_t n_count, cap_count;
    int32_t *ring; /* the window, oldest overwritten; NULL when it has no end */
    int32_t n_ring, at, cap_ring;
    grammar *grammar; /* NULL none */
} sampler_seq;

/* For a model: ids of the biases, the grammar. E_INVAL; E_FORMAT: the grammar, with line and
 * column.
 */
rung_status rung_plan_new(sampler_plan **out, const rung_model *m, const rung_sampling *s,
                          rung_error *err);
void rung_plan_free(sampler_plan *p);
rung_status rung_seq_begin(sampler_seq *q, const sampler_plan *p, const int32_t *prompt,
                           int32_t n_prompt, rung_error *err);
/* The continuation goes on with tok. *ended: the grammar lets nothing follow. */
rung_status rung_seq_accept(sampler_seq *q, int32_t tok, bool *ended, rung_error *err);
void rung_seq_clear(sampler_seq *q);

enum { DRAW_BAD_LOGITS = -1, DRAW_NOTHING_LEFT = -2 };
typedef struct rung_draw {
    const float *logits; /* f32[n_vocab], not written to */
    const sampler_seq *seq;
    double u; /* in [0, 1) */
    /* out: token or DRAW_*; ln p under the model, and under what was drawn from */
    int32_t tok;
    double logprob, logprob_draw;
} rung_draw;
/* scratch: rung_sample_scratch(n_vocab) bytes. */
void rung_draw_one(rung_draw *d, void *scratch);
/* n draws over at most n_threads threads; scratch: n_threads times rung_sample_scratch bytes. Every
 * draw is its own: the result does not depend on n_threads. */
void rung_draw_many(rung_draw *d, int32_t n, int32_t n_vocab, int32_t n_threads, void *scratch);
#endif
