/* 64-bit keys (an id, a hash) to numbers that are not 0: open addressing, grows by itself.
 * Internal. */
#ifndef RUNG_SRC_KEYMAP_H
#define RUNG_SRC_KEYMAP_H
#include "rung/base.h"

typedef struct keymap {
    uint64_t *key;
    int64_t *value; /* 0 = the place is free */
    size_t n, cap;
} keymap; /* {0} is empty */

/* The value of key; 0 when it is new: set another one then. NULL: out of memory. Until the next
 * keymap_at. */
int64_t *keymap_at(keymap *m, uint64_t key);
int64_t keymap_get(const keymap *m, uint64_t key); /* 0: not there */
void keymap_clear(keymap *m);
#endif
