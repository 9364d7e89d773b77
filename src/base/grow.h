/* Parallel arrays that grow together. Internal. */
#ifndef RUNG_SRC_GROW_H
#define RUNG_SRC_GROW_H
#include "rung/base.h"

typedef struct grow_array {
    void **at;    /* the array's pointer, NULL at first */
    size_t width; /* of an element */
} grow_array;
#define GROW_ARRAY(p) ((grow_array){(void **)&(p), sizeof *(p)})

/* Room for n elements in each of them, at least doubled, at least 256. False: out of memory; each
 * array keeps its elements and *cap what all of them hold. */
bool grow_arrays(int64_t *cap, int64_t n, const grow_array *array, size_t n_arrays);
#endif
