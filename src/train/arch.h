/* The architectures, as GGUF has them: one table of tensors and shapes, one row per architecture.
 * A third that is made of these parts is a row of RUNG_ARCHS. */
#ifndef RUNG_SRC_TRAIN_ARCH_H
#define RUNG_SRC_TRAIN_ARCH_H
#include "rung/train.h"

typedef enum rung_rope { RUNG_ROPE_PAIRS, RUNG_ROPE_HALVES } rung_rope; /* ggml: norm, neox */
enum { RUNG_HAS_QKV_BIAS = 1 };

typedef struct rung_arch_row {
    const char *name;
    rung_rope rope;
    unsigned has;
} rung_arch_row;
/* NULL: none of that number or name. */
const rung_arch_row *rung_arch_of(int32_t arch);
int32_t rung_arch_find(const char *name); /* -1: none */

/* Sizes that tensors are made of: 1, V vocabulary, D embedding, A = heads x head width, K = key
 * heads x head width, F feed-forward. */
typedef enum rung_dim { DIM_1, DIM_V, DIM_D, DIM_A, DIM_K, DIM_F, DIM_COUNT } rung_dim;
void rung_arch_dims(int64_t dims[DIM_COUNT], const rung_net_shape *s);

typedef enum rung_role {
    ROLE_MATRIX,
    ROLE_RESID, /* writes to the residual stream: starts smaller */
    ROLE_NORM,  /* ones at first; no decay; stored as f32 */
    ROLE_BIAS   /* zeros at first; no decay; stored as f32 */
} rung_role;

/* X(slot, name, rows, cols, role, only in architectures that have this; 0 = all). The order is that
 * of memory: q, k, v and gate, up lie together, one product each. */
#define RUNG_LAYER_TENSORS(X)                                                                      \
    X(ATTN_NORM, "attn_norm.weight", DIM_1, DIM_D, ROLE_NORM, 0)                                   \
    X(Q, "attn_q.weight", DIM_A, DIM_D, ROLE_MATRIX, 0)                                            \
    X(K, "attn_k.weight", DIM_K, DIM_D, ROLE_MATRIX, 0)                                            \
    X(V, "attn_v.weight", DIM_K, DIM_D, ROLE_MATRIX, 0)                                            \
    X(Q_BIAS, "attn_q.bias", DIM_1, DIM_A, ROLE_BIAS, RUNG_HAS_QKV_BIAS)                           \
    X(K_BIAS, "attn_k.bias", DIM_1, DIM_K, ROLE_BIAS, RUNG_HAS_QKV_BIAS)                           \
    X(V_BIAS, "attn_v.bias", DIM_1, DIM_K, ROLE_BIAS, RUNG_HAS_QKV_BIAS)                           \
    X(OUT, "attn_output.weight", DIM_D, DIM_A, ROLE_RESID, 0)                                      \
    X(FFN_NORM, "ffn_norm.weight", DIM_1, DIM_D, ROLE_NORM, 0)                                     \
    X(GATE, "ffn_gate.weight", DIM_F, DIM_D, ROLE_MATRIX, 0)                                       \
    X(UP, "ffn_up.weight", DIM_F, DIM_D, ROLE_MATRIX, 0)                                           \
    X(DOWN, "ffn_down.weight", DIM_D, DIM_F, ROLE_RESID, 0)
typedef enum rung_slot {
#define X(slot, name, rows, cols, role, has) SLOT_##slot,
    RUNG_LAYER_TENSORS(X)
#undef X
        SLOT_COUNT
} rung_slot;

typedef struct rung_tensor_row {
    const char *name; /* after "blk.N." */
    rung_dim rows, cols;
    rung_role role;
    unsigned has;
} rung_tensor_row;
extern const rung_tensor_row rung_layer_tensors[SLOT_COUNT];

/* E_INVAL when the sizes do not go together. */
rung_status rung_arch_check(const rung_net_shape *s, rung_error *err);
#endif
