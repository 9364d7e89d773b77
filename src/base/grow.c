#include "base/grow.h"

enum { GROW_LEAST = 256 };

bool grow_arrays(int64_t *cap, int64_t n, const grow_array *array, size_t n_arrays) {
    if (n <= *cap) return true;
    int64_t want = *cap < INT64_MAX / 2 && 2 * *cap > n ? 2 * *cap : n;
    if (want < GROW_LEAST) want = GROW_LEAST;
    for (size_t i = 0; i < n_arrays; i++) {
        if ((uint64_t)want > SIZE_MAX / array[i].width) return false;
        void *p = rung_realloc(*array[i].at, (size_t)want * array[i].width);
        if (!p) return false;
        *array[i].at = p;
    }
    *cap = want;
    return true;
}
