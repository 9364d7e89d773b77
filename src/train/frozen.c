#include "train/frozen.h"
#include "model/gguf_file.h"

#ifdef RUNG_REAL_F64
#define PIECE 256 /* a multiple of every type's block */
#endif

static void one_row(real *dst, const rung_frozen *f, int64_t row, int64_t cols) {
    const char *src = (const char *)f->data + (size_t)row * f->row_bytes;
#ifdef RUNG_REAL_F64
    for (int64_t j = 0; j < cols; j += PIECE) { /* the gradient test */
        float narrow[PIECE];
        int64_t n = j + PIECE < cols ? PIECE : cols - j;
        rung_gguf_to_f32(narrow, f->type, src + (size_t)j * f->row_bytes / (size_t)cols, n);
        for (int64_t i = 0; i < n; i++) dst[j + i] = (real)narrow[i];
    }
#else
    rung_gguf_to_f32(dst, f->type, src, cols);
#endif
}

void rung_frozen_rows(real *dst, const rung_frozen *f, int64_t from, int64_t n, int64_t cols) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) one_row(dst + i * cols, f, from + i, cols);
}

void rung_frozen_gather(real *dst, const rung_frozen *f, const int32_t *tok, int64_t n,
                        int64_t cols) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) one_row(dst + i * cols, f, tok[i], cols);
}
