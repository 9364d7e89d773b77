/* The kernel for AVX-512, in builds that may not assume it; empty elsewhere. */
#include "model/sampler_kernel.h"

#include <math.h>
#include <stddef.h>

extern const sampler_kernel rung_sampler_kernel_avx512;

#if defined(__x86_64__) && !defined(__AVX512F__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,fma"))), apply_to = function)
#define RUNG_POP_TARGET 1
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,fma")
#endif
#include <immintrin.h>
#ifdef __clang__ /* the pragma gives the instructions, not the macro that says so */
#define __AVX512F__ 1
#endif
#define LANES      16
#define LANE_FN    static inline __attribute__((always_inline))
#define LANE_BODY  static
#define LANE_NAME  "avx512"
#define LANE_TABLE rung_sampler_kernel_avx512
#include "model/sampler_lanes.h"
#ifdef RUNG_POP_TARGET
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
const sampler_kernel rung_sampler_kernel_avx512 = {0};
#endif
