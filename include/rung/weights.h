/* rung/weights.h: how the weights of a model lie in memory: types, the cache of converted files,
 * the calibration that chooses, comparing two models.
 *
 * A file says what the weights are; the machine says which type multiplies fastest (on a CPU with
 * avx512_bf16 it is bf16, on an AVX2 one often f32). A type KEEPS a file when it holds every weight
 * of it up to the rounding that the file's own types have: only such types are offered by "auto",
 * any other has to be asked for by name. Norms, biases and tables that are only looked up stay as
 * they are. Converted files lie under $XDG_CACHE_HOME/rung/weights (~/.cache/rung/weights), named
 * by the hash of the file, the type and a version; they may be deleted at any time. */
#ifndef RUNG_WEIGHTS_H
#define RUNG_WEIGHTS_H
#include "rung/model.h"
#ifdef __cplusplus
extern "C" {
#endif

const char *rung_weights_name(rung_weights w); /* "bf16"; NULL out of range */
const char *rung_weights_help(rung_weights w);
bool rung_weights_find(rung_weights *out, const char *name);

/* What the file would be in each type. keeps: see above. changes: it is not what the file holds
 * already. made: the converted file is in the cache. AUTO's row is empty. */
typedef struct rung_weights_fit {
    int64_t n_bytes; /* of all tensors, as they would lie in memory */
    bool keeps, changes, made;
} rung_weights_fit;
rung_status rung_weights_fits(rung_weights_fit out[RUNG_WEIGHTS_COUNT], const char *path,
                              rung_error *err);

/* The file that holds the weights of `path` in type w (not AUTO): path itself when that changes
 * nothing, else the one in the cache, made now when it is missing or broken. The events
 * "weights.make" and progress "MB" go to log.
 *   fails   E_FULL, E_IO: the cache cannot be written (nothing is left there); E_CANCELLED */
rung_status rung_weights_file(rung_buf *out, const char *path, rung_weights w, const rung_log *log,
                              rung_error *err);

int64_t rung_memory_available(void); /* bytes this process may still take; INT64_MAX unknown */

#ifdef __cplusplus
}
#endif
#endif
