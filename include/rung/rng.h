/* rung/rng.h: draws addressed, not sequenced.
 * Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011): key = f(seed, stream), counter = (problem,
 * rollout, draw). Threads, ranks and restarts do not change who gets which number. Pure,
 * thread-safe. */
#ifndef RUNG_RNG_H
#define RUNG_RNG_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef enum rung_stream { /* never renumbered: stored runs depend on it */
                           RUNG_STREAM_WORLD = 1,
                           RUNG_STREAM_TRACE = 2,
                           RUNG_STREAM_ROLLOUT = 3,
                           RUNG_STREAM_INIT = 4,
                           RUNG_STREAM_SHUFFLE = 5,
                           RUNG_STREAM_BOOTSTRAP = 6,
                           RUNG_STREAM_SUBSET = 7,
                           RUNG_STREAM_DROPOUT = 8,
                           RUNG_STREAM_RETRY = 9,
                           RUNG_STREAM_CORPUS = 10,
                           RUNG_STREAM_SPLIT = 11,
                           RUNG_STREAM_SEARCH = 12,
                           RUNG_STREAM_TEST = 99
} rung_stream;

typedef struct rung_rng {
    uint32_t key[2];
    uint32_t hi[2];
    uint64_t next;
} rung_rng; /* a value; copy freely */

void rung_philox4x32(uint32_t out[4], const uint32_t ctr[4], const uint32_t key[2]);
rung_rng rung_rng_at(uint64_t seed, rung_stream stream, uint64_t problem, uint64_t rollout);
uint64_t rung_rng_u64_at(const rung_rng *r, uint64_t draw);
double rung_rng_f64_at(const rung_rng *r, uint64_t draw); /* [0,1), 53 bits */
/* Sequential convenience over r->next. */
double rung_rng_f64(rung_rng *r);
uint64_t rung_rng_below(rung_rng *r, uint64_t n); /* uniform in [0,n), no modulo bias; n > 0 */
int64_t rung_rng_between(rung_rng *r, int64_t lo, int64_t hi);   /* inclusive */
double rung_rng_normal(rung_rng *r);                             /* N(0,1), Box-Muller */
void rung_rng_shuffle(rung_rng *r, uint32_t *items, uint32_t n); /* Fisher-Yates */

#ifdef __cplusplus
}
#endif
#endif
