/* rung/embed.h: text -> a vector of length 1, by any GGUF that libllama can run: encoders made for
 * it (BERT and its kin) and decoders (mean or last hidden state). One caller at a time. */
#ifndef RUNG_EMBED_H
#define RUNG_EMBED_H
#include "rung/model.h"
#ifdef __cplusplus
extern "C" {
#endif

#define RUNG_POOLINGS(X)                                                                           \
    X(AUTO, "auto", "what the file says; mean where it says nothing")                              \
    X(MEAN, "mean", "mean of all positions")                                                       \
    X(LAST, "last", "the last position")                                                           \
    X(FIRST, "first", "the first position (cls)")
typedef enum rung_pooling {
#define X(id, name, help) RUNG_POOLING_##id,
    RUNG_POOLINGS(X)
#undef X
        RUNG_POOLING_COUNT
} rung_pooling;
const char *rung_pooling_name(rung_pooling p); /* NULL past the end */

typedef struct rung_embedder_opts {
    size_t struct_size;
    rung_pooling pooling;
    int32_t n_threads; /* 0 = all cores */
    int32_t n_tok_max; /* of a text; what is longer is cut; 0 = 512, at most the model's context */
    const char *query_prefix, *passage_prefix; /* as the model's card asks: "query: "; NULL none */
} rung_embedder_opts;
#define RUNG_EMBEDDER_OPTS_INIT                                                                    \
    { .struct_size = sizeof(rung_embedder_opts) }

typedef struct rung_embedder rung_embedder;
/* m is borrowed. */
rung_status rung_embedder_new(rung_embedder **out, const rung_model *m,
                              const rung_embedder_opts *opts, rung_error *err);
void rung_embedder_free(rung_embedder *e);
int32_t rung_embedder_dim(const rung_embedder *e);
/* out: n vectors of rung_embedder_dim floats. ud is the rung_embedder: fits rung_embed_fn of
 * retrieve.h. E_INVAL for an empty text. */
rung_status rung_embedder_run(float *out, void *ud, const char *const *text, int32_t n,
                              bool is_query, rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
