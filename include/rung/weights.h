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

/* Two models of the same tokens on the same text, in windows of 512 tokens: after each token, the
 * distribution of the next one.
 *   mean_kl, max_kl   nats, KL(A || B) over the whole vocabulary at T = 1, f64
 *   top1              share of the places where both have the same likeliest token
 *   max_diff          largest |logit of A - logit of B|
 *   fails             E_MISMATCH other tokens; E_INVAL no tokens */
typedef struct rung_comparison {
    int32_t n_tokens;
    double mean_kl, max_kl, top1, max_diff;
    double wall_a_s, wall_b_s; /* seconds of reading; of computing where there is one thread */
} rung_comparison;
rung_status rung_model_compare(rung_comparison *out, rung_model *a, rung_model *b,
                               const int32_t *tok, int32_t n_tok, int32_t n_threads /* 0 = all */,
                               const rung_log *log, rung_error *err);

const char *rung_sample_text(void); /* a page of prose, sums and code, for want of another text */

/* What is fastest on this machine for the weights of one file. Measured once (calibrate.c says
 * how), kept under $XDG_CACHE_HOME/rung/calibration as JSON, good for this file, this CPU, this
 * number of cores and this libllama. */
enum { RUNG_CALIBRATION_N = 6 };
typedef struct rung_calibration_row {
    bool measured, offered;           /* offered: keeps what the file holds, and fits */
    double tok_s[RUNG_CALIBRATION_N]; /* matrix products of n[] sequences, one token each */
    double read_s;                    /* tokens/s of reading: as of the last n, without the head */
} rung_calibration_row;
typedef struct rung_calibration {
    char model[33], machine[33], cpu[96], llama[32];
    int32_t n_cores;
    bool busy; /* others used the cores: rates are one thread's computing time, times threads */
    int64_t made_ms;
    double wall_s;
    int32_t n[RUNG_CALIBRATION_N];
    rung_calibration_row type[RUNG_WEIGHTS_COUNT];
    rung_weights best; /* for as many sequences as are best */
    int32_t n_seq, n_batch, n_threads;
    /* The whole model, measured: tokens/s of reading and of writing n_seq sequences, as it is and
     * as best; 0 = not measured. KL of best against f32 weights on n_kl tokens, and as-is's own. */
    double read_as_is, read_best, write_as_is, write_best;
    int32_t n_kl;
    double kl_best, kl_as_is;
} rung_calibration;
typedef struct rung_calibrate_opts {
    size_t struct_size;
    bool again;        /* measure although a calibration is there */
    int32_t n_threads; /* 0 = all cores */
    double max_s;      /* of measuring, conversion not counted; 0 = 20 */
    double kl_max;     /* nats; 0 = 1e-3 */
} rung_calibrate_opts;
#define RUNG_CALIBRATE_OPTS_INIT                                                                   \
    { .struct_size = sizeof(rung_calibrate_opts) }
rung_status rung_calibrate(rung_calibration *out, const char *path, const rung_calibrate_opts *o,
                           const rung_log *log, rung_error *err);
/* The one that is cached. found = false (and OK): none, or not of this machine, or broken. */
rung_status rung_calibration_get(rung_calibration *out, bool *found, const char *path,
                                 rung_error *err);
/* What auto takes for n_seq sequences at once (0: as many as are best): the best type, or as-is
 * where that is as fast. */
rung_weights rung_calibration_best(const rung_calibration *c, int32_t n_seq);
/* What "auto" means for this file here, measured now if it has not been. Its converted file is
 * made; if that cannot be, the event "weights.as_is" (a warning) says why and it is AS_IS. */
rung_status rung_weights_choose(rung_weights *out, const char *path, int32_t n_seq,
                                const rung_log *log, rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
