/* The kernel at the width that the build may assume, and the choice of a wider one at run time. */
#include "model/sampler_kernel.h"

#include <math.h>
#include <stddef.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
#define LANE_FN    static inline __attribute__((always_inline))
#define LANE_BODY  static
#define LANE_NAME  "native"
#define LANE_TABLE rung_sampler_kernel_native
extern const sampler_kernel rung_sampler_kernel_native, rung_sampler_kernel_avx512;
#include "model/sampler_lanes.h"

/* A portable build has AVX2 at most: the wider one is asked for where the processor has it. */
#if defined(__x86_64__) && !defined(__AVX512F__)
static bool has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("fma");
}
#else
static bool has_avx512(void) {
    return false;
}
#endif

const sampler_kernel *rung_sampler_kernel_at(int i) {
    if (i == 0) return &rung_sampler_kernel_native;
    return i == 1 && has_avx512() ? &rung_sampler_kernel_avx512 : NULL;
}

const sampler_kernel *rung_sampler_kernel(void) {
    return has_avx512() ? &rung_sampler_kernel_avx512 : &rung_sampler_kernel_native;
}

exp_scale rung_exp_scale(double temperature) {
    double c = 1.4426950408889634 / temperature;
    exp_scale s = {.hi = (float)c};
    s.lo = (float)(c - (double)s.hi);
    s.min_x = (float)(-125.5 / c);
    return s;
}
