/* Weights that are read, never written: rows of a tensor in the type its file has. */
#ifndef RUNG_SRC_TRAIN_FROZEN_H
#define RUNG_SRC_TRAIN_FROZEN_H
#include "train/real.h"
#include <stddef.h>

typedef struct rung_frozen {
    const void *data; /* borrowed */
    int32_t type;     /* ggml's number of it */
    size_t row_bytes;
    real *vector; /* norms and biases: read once, owned; else NULL */
} rung_frozen;

/* Rows from..from+n of a tensor with cols columns, in parallel. */
void rung_frozen_rows(real *dst, const rung_frozen *f, int64_t from, int64_t n, int64_t cols);
/* Row i of dst is row tok[i]. */
void rung_frozen_gather(real *dst, const rung_frozen *f, const int32_t *tok, int64_t n,
                        int64_t cols);
#endif
