/* Types of weights, for the files of model/. */
#ifndef RUNG_SRC_WEIGHTS_H
#define RUNG_SRC_WEIGHTS_H
#include "rung/weights.h"
#include <ggml.h>
#include <gguf.h>

/* Raise when the same source would give another converted file. */
#define WEIGHTS_VERSION 1

/* Type of the multiplied tensors; GGML_TYPE_COUNT: as they are. */
enum ggml_type rung_weights_type(rung_weights w);
/* Does type `to` hold whatever `from` holds, up to half of from's own rounding? */
bool rung_weights_keeps(enum ggml_type to, enum ggml_type from);
/* What tensor i of the file becomes. */
enum ggml_type rung_weights_target(const struct gguf_context *g, int64_t i, rung_weights w);
/* n_rows rows of n numbers in ggml's own rounding. */
void rung_weights_convert(void *to, enum ggml_type type, const float *from, int64_t n_rows,
                          int64_t n);

/* $XDG_CACHE_HOME/rung/NAME/ appended to b and made. */
rung_status rung_cache_folder(rung_buf *b, const char *name, rung_error *err);
/* With the file's hash known. */
rung_status rung_weights_fits_of(rung_weights_fit out[RUNG_WEIGHTS_COUNT], const char *path,
                                 const char *hash, rung_error *err);
rung_status rung_weights_file_of(rung_buf *out, const char *path, const char *hash, rung_weights w,
                                 const rung_log *log, rung_error *err);
/* The name of the converted file, whether it is there or not. */
rung_status rung_weights_path(rung_buf *b, const char *hash, rung_weights w, rung_error *err);

/* KL(p || q) in nats of the distributions that two rows of n logits make at T = 1. */
double rung_logits_kl(const float *p, const float *q, int32_t n);
#endif
