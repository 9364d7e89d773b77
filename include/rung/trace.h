/* rung/trace.h: the policy writes traces; text is split into steps; span = tokens = label or an
 * error. */
#ifndef RUNG_TRACE_H
#define RUNG_TRACE_H
#include "rung/model.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Splitting: a table. "line": after each newline; "blank": after a blank line (\n\n); "step":
 * before "Step k:"; "delimiter:TEXT": after TEXT; "given": one step. Spans are contiguous and cover
 * all bytes; white-space-only pieces join the step before (the first: the one after). */
rung_status rung_split_steps(rung_step **step, int32_t *n_steps, const char *how, const char *text,
                             size_t n, rung_error *err); /* rung_free */
/* Fill tok_begin/tok_end from the byte spans. A token across a border belongs to the step of its
 * first byte. E_FORMAT when a step gets none. */
rung_status rung_split_tokens(rung_step *step, int32_t n_steps, const rung_model *m,
                              const int32_t *tok, int32_t n_tok, rung_error *err);

/* The same, but a step without a token of its own (a border inside a token) joins the one before:
 * *n_steps may fall, *n_joined (NULL allowed) says by how many. */
rung_status rung_split_align(rung_step *step, int32_t *n_steps, int32_t *n_joined,
                             const rung_model *m, const int32_t *tok, int32_t n_tok,
                             rung_error *err);

typedef struct rung_sample_opts {
    size_t struct_size;
    int32_t n, max_tok;
    rung_sampling sampling;
    uint64_t seed;
    const char *split_how;       /* NULL = "line" for worlds, "blank" otherwise */
    const char *system, *suffix; /* prompt: system (NULL none), question + suffix */
    rung_filter problems;
    const char *stop;      /* a trace also ends after this text; NULL none */
    const char *generator; /* name kept with each trace; NULL = the model file's ("remote" there) */
} rung_sample_opts;
#define RUNG_SAMPLE_OPTS_INIT                                                                      \
    {                                                                                              \
        .struct_size = sizeof(rung_sample_opts), .n = 1, .max_tok = 512,                           \
        .sampling = RUNG_SAMPLING_INIT                                                             \
    }
/* n traces of each problem into run_id: split, extract, verify, truth of the world. Only what is
 * missing is sampled. */
rung_status rung_trace_sample(rung_store *s, rung_engine *e, int64_t run_id,
                              const rung_sample_opts *o, const rung_log *log, rung_error *err);
/* Traces with errors at known places, for problems of worlds that can plant them
 * (rung_world.plant): n of each, sample i being the world's number i. Each step has a label of
 * source "planted" in the same run: right or wrong by itself, also behind the first error. Only
 * what is missing is made. */
typedef struct rung_plant_opts {
    size_t struct_size;
    int32_t n;
    double slip; /* chance of an error in a step, in [0, 1] */
    rung_filter problems;
} rung_plant_opts;
#define RUNG_PLANT_OPTS_INIT                                                                       \
    { .struct_size = sizeof(rung_plant_opts), .n = 1, .slip = 0.3 }
typedef struct rung_plant_counts {
    int64_t n_traces, n_steps, n_planted, n_wrong; /* new ones */
    int64_t n_had, n_left_out; /* traces that were there; problems of worlds that cannot */
} rung_plant_counts;
rung_status rung_trace_plant(rung_plant_counts *out, rung_store *s, int64_t run_id,
                             const rung_plant_opts *o, const rung_log *log, rung_error *err);
/* The prompt that sampling, rollouts and scoring share. Caller's buffer holds user text. */
rung_status rung_trace_prompt(rung_buf *user, const rung_problem *p, const char *suffix,
                              rung_error *err);
/* Fills answer, key, verdict, rule, first_error of a trace from its text (strings in a). Of a trace
 * with stop "length" or "context" only a marked and whole answer counts: else unknown, with the
 * reason. */
rung_status rung_trace_judge(rung_trace *t, rung_arena *a, const rung_problem *p, rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
