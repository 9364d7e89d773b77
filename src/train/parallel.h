/* OpenMP where the compiler builds it in, one thread where it does not (clang: see RungDeps.cmake).
 */
#ifndef RUNG_SRC_PARALLEL_H
#define RUNG_SRC_PARALLEL_H
#ifdef _OPENMP
#include <omp.h>
#else
static inline int omp_get_max_threads(void) {
    return 1;
}
static inline int omp_get_thread_num(void) {
    return 0;
}
static inline void omp_set_num_threads(int n) {
    (void)n;
}
#endif
#endif
