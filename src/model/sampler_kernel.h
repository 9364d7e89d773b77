/* Passes over a row of logits in blocks: maximum and sums of exponentials from one reading, with
 * the widest vectors that the machine has. */
#ifndef RUNG_SRC_SAMPLER_KERNEL_H
#define RUNG_SRC_SAMPLER_KERNEL_H
#include <stdbool.h>
#include <stdint.h>

enum { SAMPLER_BLOCK = 256 };

/* exp(x / T) is computed as 2^(x * c), c = log2(e) / T in two floats. Below min_x (weights under
 * 1.7e-38 of the largest) a weight is 0. */
typedef struct exp_scale {
    float hi, lo, min_x;
} exp_scale;

/* 256 neighbours of a row. The sums are relative to exp(ref / T), ref = the largest logit of this
 * and the blocks before; a sum may be off by 5e-36 from weights that are 0. */
typedef struct sampler_block {
    const float *z; /* [256]; what lies beyond the row reads as -inf */
    float max, ref;
    float sum, sum_t; /* at T = 1; at the sampling temperature */
} sampler_block;

/* Relative error of a weight at T = 1 and x in [-86.98, 0]: at most 2.4e-7 with fused multiply-add
 * (9.9e-8 seen, every 37th f32), 6e-6 without (2.7e-6 seen); of a sum of 256 another 8e-7 at worst
 * (13 additions); of sum_t another 2.1e-7 (a shorter polynomial). */
typedef struct sampler_kernel {
    const char *name; /* "avx512", "native" */
    /* Fills max, ref and sum of n blocks (sum_t too when t is not NULL). *ref: the largest so far,
     * -inf at first. A sum is NaN when a logit of the block is. */
    void (*pass)(sampler_block *b, int32_t n, float *ref, const exp_scale *one, const exp_scale *t);
    /* w[256] = exp((z - ref) / T), exactly 0 below min_x. */
    void (*weights)(float *w, const float *z, float ref, const exp_scale *c);
    /* Those of a block with z >= floor, in order; returns how many. */
    int32_t (*collect)(int32_t *id, float *value, const float *z, int32_t first, float floor);
} sampler_kernel;

const sampler_kernel *rung_sampler_kernel(void);
exp_scale rung_exp_scale(double temperature);
/* All that this machine can run, for tests; NULL past the end. */
const sampler_kernel *rung_sampler_kernel_at(int i);
#endif
