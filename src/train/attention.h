/* Causal attention inside documents, grouped queries. A batch is cut into segments, one per
 * document; each (segment, key head) is one task, so packed documents cost no more than alone. */
#ifndef RUNG_SRC_TRAIN_ATTENTION_H
#define RUNG_SRC_TRAIN_ATTENTION_H
#include "train/real.h"
#include <stdbool.h>

typedef struct rung_segment {
    int64_t start; /* row of the batch where the document begins */
    int32_t n;     /* its tokens */
} rung_segment;

typedef struct rung_attention {
    const rung_segment *seg;
    int64_t n_seg;
    int32_t n_head, n_head_kv, hd;
    int64_t ld; /* row length of qkv: (n_head + 2 n_head_kv) hd */
    real *scratch;
    int64_t n_scratch; /* numbers per thread: rung_attention_scratch(longest document) */
} rung_attention;

int64_t rung_attention_scratch(int64_t n_max);
/* out [rows][n_head hd], lse [rows][n_head] from rotated q, k and v; rows outside all segments are
 * left as they are. */
bool rung_attention_forward(real *out, real *lse, const real *qkv, const rung_attention *a);
/* dqkv (same rows; the others are left as they are) from dout; probabilities are recomputed from
 * lse. */
bool rung_attention_back(real *dqkv, const real *dout, const real *lse, const real *qkv,
                         const rung_attention *a);
#endif
