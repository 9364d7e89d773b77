/* rung/sampling.h: how a token is drawn. Part of rung/model.h. */
#ifndef RUNG_SAMPLING_H
#define RUNG_SAMPLING_H
#include "rung/base.h"
#ifdef __cplusplus
extern "C" {
#endif

/* How a token is drawn from logits z. In this order, which is that of llama.cpp's own chain:
 *   grammar            tokens that it does not allow next: z = -inf
 *   bias               z += bias (-inf bans)
 *   repeat_penalty r   tokens seen in the window: z = z > 0 ? z / r : z * r
 *   frequency, presence_penalty   ... and z -= times seen * frequency + presence
 *   top_k              the k largest
 *   top_p              the smallest head of the rest, largest first, whose share reaches p
 *   min_p              those whose p is at least min_p times the largest
 *   temperature T      z / T; with temperature_first before top_k, as vLLM and transformers do
 * then one draw by inverse transform, kept tokens in order of their ids. Equal logits: the lower id
 * is the larger. All zero but temperature and top_p = off, as RUNG_SAMPLING_INIT has it. */
typedef struct rung_logit_bias {
    int32_t tok;
    float bias; /* finite or -INFINITY */
} rung_logit_bias;
typedef struct rung_sampling {
    double temperature;  /* 0 (and below 1e-6) = argmax, lowest id on a tie */
    int32_t top_k;       /* 0 = off */
    double top_p, min_p; /* 1 / 0 = off */
    bool temperature_first;
    double repeat_penalty; /* 0 and 1 = off */
    double presence_penalty, frequency_penalty;
    int32_t penalty_last_n; /* the window: that many tokens of prompt and continuation; 0 = 64, -1 =
                               all */
    const rung_logit_bias *bias;
    int32_t n_bias;
    const char *grammar; /* GBNF with a rule "root", NULL none: the continuation alone is in its
                            language and ends ("eos") when nothing can follow. Without top_k, min_p
                            or temperature 0 all tokens are asked of it: tens of ms each */
} rung_sampling;
#define RUNG_SAMPLING_INIT                                                                         \
    { .temperature = 1.0, .top_p = 1.0 }
/* Ranges, and the grammar's syntax (E_FORMAT with line and column): all that can be said without a
 * model. Engines check when they are asked to sample. */
rung_status rung_sampling_check(const rung_sampling *s, rung_error *err);
/* One token from logits f32[n]; u in [0,1) is the draw. logprob (NULL: not wanted): ln p at T = 1
 * over all tokens, and ln p under what was drawn from (0 for an argmax). -1 when a logit is NaN or
 * +inf or none is finite, -2 when the biases leave none. Penalties and grammar need what came
 * before: engines apply them, this does not. Pure but for scratch, rung_sample_scratch(n) bytes. */
int32_t rung_sample_token(double logprob[2], const float *logits, int32_t n, const rung_sampling *s,
                          double u, void *scratch);
size_t rung_sample_scratch(int32_t n);

#ifdef __cplusplus
}
#endif
#endif
