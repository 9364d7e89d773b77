/* bench/bias.h: biases of best-of-N, collected problem by problem. Internal. */
#ifndef RUNG_SRC_BENCH_BIAS_H
#define RUNG_SRC_BENCH_BIAS_H
#include "bench/pool.h"

/* Appends {"n_right":..,"process_error":..,...}: shares with their intervals over the n problems of
 * z. */
void rung_put_bias(rung_buf *b, const rung_bon_bias *z, int64_t n, double tau, int n_boot,
                   uint64_t seed);
#endif
