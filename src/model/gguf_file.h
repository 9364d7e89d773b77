/* GGUF files, read and written whole: tensors as f32, keys as they are. For train/ (weights in and
 * out) and reward/ (heads). Internal header of model/. Wraps ggml's gguf reader and writer; checks
 * sizes before any ggml call. */
#ifndef RUNG_SRC_GGUF_FILE_H
#define RUNG_SRC_GGUF_FILE_H
#include "rung/base.h"

typedef struct rung_gguf rung_gguf;
rung_status rung_gguf_open(rung_gguf **out, const char *path,
                           rung_error *err); /* E_MODEL: not GGUF, truncated, bad shapes */
void rung_gguf_free(rung_gguf *g);
bool rung_gguf_has(const rung_gguf *g, const char *key);
const char *rung_gguf_str(const rung_gguf *g, const char *key, const char *dflt);
int64_t rung_gguf_i64(const rung_gguf *g, const char *key,
                      int64_t dflt); /* any integer or bool type */
double rung_gguf_f64(const rung_gguf *g, const char *key, double dflt);
int64_t rung_gguf_arr_n(const rung_gguf *g, const char *key); /* -1 absent */
const char *rung_gguf_arr_str(const rung_gguf *g, const char *key, int64_t i);
double rung_gguf_arr_f64(const rung_gguf *g, const char *key, int64_t i,
                         double dflt); /* any numeric or bool array */
int64_t rung_gguf_n_tensors(const rung_gguf *g);
const char *rung_gguf_tensor_name(const rung_gguf *g, int64_t i); /* NULL out of range */
/* Shape and type of tensor i; false: its numbers cannot be read as real ones. */
bool rung_gguf_tensor_shape(int64_t dims[4], const char **type, const rung_gguf *g, int64_t i);
bool rung_gguf_has_tensor(const rung_gguf *g, const char *name);
/* dims in ggml order (fastest first). f32 copy of any ggml type; caller frees. */
rung_status rung_gguf_tensor(float **data, int64_t dims[4], const rung_gguf *g, const char *name,
                             rung_error *err);
/* The first n bytes of tensor i as they lie in the file; E_MODEL if it has fewer. */
rung_status rung_gguf_raw(void *data, size_t n, const rung_gguf *g, int64_t i, rung_error *err);

/* Tensor `name` as it lies in the file, mapped read-only: valid until rung_gguf_free. type: ggml's
 * number; row_bytes: of one row of dims[0] numbers. E_MODEL: no such tensor, no real numbers. */
rung_status rung_gguf_view(const void **data, int32_t *type, size_t *row_bytes, int64_t dims[4],
                           rung_gguf *g, const char *name, rung_error *err);
/* n numbers (whole blocks) of a type that rung_gguf_view has given. Pure, thread-safe. */
void rung_gguf_to_f32(float *dst, int32_t type, const void *src, int64_t n);

typedef enum { RUNG_GGUF_F32, RUNG_GGUF_F16, RUNG_GGUF_BF16, RUNG_GGUF_Q8_0 } rung_gguf_type;
typedef struct rung_gguf_writer rung_gguf_writer;
/* A failed put (no memory, duplicate tensor, shape that the type cannot hold, empty key) is
 * remembered and returned by rung_gguf_write. A key put twice keeps its last value. */
rung_gguf_writer *rung_gguf_writer_new(void); /* NULL: out of memory */
void rung_gguf_writer_free(rung_gguf_writer *w);
void rung_gguf_put_str(rung_gguf_writer *w, const char *key, const char *v);
void rung_gguf_put_u32(rung_gguf_writer *w, const char *key, uint32_t v);
void rung_gguf_put_f32(rung_gguf_writer *w, const char *key, float v);
void rung_gguf_put_bool(rung_gguf_writer *w, const char *key, bool v);
void rung_gguf_put_arr_str(rung_gguf_writer *w, const char *key, const char *const *v, size_t n);
void rung_gguf_put_arr_f32(rung_gguf_writer *w, const char *key, const float *v, size_t n);
void rung_gguf_put_arr_i32(rung_gguf_writer *w, const char *key, const int32_t *v, size_t n);
void rung_gguf_put_all(rung_gguf_writer *w, const rung_gguf *g); /* every key of g, no tensors */
void rung_gguf_put_remove(rung_gguf_writer *w, const char *key); /* absent is fine */
void rung_gguf_put_tensor(rung_gguf_writer *w, const char *name, rung_gguf_type type, int n_dims,
                          const int64_t *dims, const float *data); /* converted now */
/* Tensor `name` of g, byte for byte. */
void rung_gguf_put_copy(rung_gguf_writer *w, const char *name, rung_gguf *g);
rung_status rung_gguf_write(rung_gguf_writer *w, const char *path, rung_error *err); /* atomic */
#endif
