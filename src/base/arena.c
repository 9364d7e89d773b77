/* Arena: blocks that double up to a bound, freed together.  Debug builds use one block per
 * allocation, so that ASan and valgrind see each. */
#include "rung/base.h"

#include <stdalign.h>
#include <string.h>

#define ARENA_DEFAULT_MAX ((size_t)1 << 30)
#define ARENA_BLOCK_MIN   ((size_t)4096)
#define ARENA_BLOCK_MAX   ((size_t)1 << 20)
#define ARENA_ALIGN       ((size_t)16)

typedef struct block {
    alignas(16) struct block *next;
    size_t cap, used;
} block;

struct rung_arena {
    block *head;  /* being filled; older ones follow */
    block *spare; /* kept by reset */
    size_t max, total, block_size;
};

rung_arena *rung_arena_new(size_t max_bytes) {
    rung_arena *a = rung_calloc(1, sizeof *a);
    if (!a) return NULL;
    a->max = max_bytes ? max_bytes : ARENA_DEFAULT_MAX;
    a->block_size = ARENA_BLOCK_MIN;
    return a;
}

#ifdef RUNG_DEBUG_BUILD
static const bool one_block_each = true;
#else
static const bool one_block_each = false;
#endif

static block *block_get(rung_arena *a, size_t n) {
    for (block **p = &a->spare; *p; p = &(*p)->next) {
        if ((*p)->cap < n) continue;
        block *b = *p;
        *p = b->next;
        b->used = 0;
        return b;
    }
    size_t cap = n;
    if (!one_block_each) {
        if (cap < a->block_size) cap = a->block_size;
        if (a->block_size < ARENA_BLOCK_MAX) a->block_size *= 2;
    }
    block *b = rung_alloc(sizeof *b + cap);
    if (!b) return NULL;
    b->cap = cap;
    b->used = 0;
    return b;
}

void *rung_arena_alloc(rung_arena *a, size_t n_bytes) {
    if (n_bytes > a->max || n_bytes > SIZE_MAX - 2 * ARENA_ALIGN) return NULL;
    size_t n = n_bytes ? n_bytes : 1;
    if (!one_block_each) n = (n + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
    if (n > a->max - a->total && n_bytes > a->max - a->total) return NULL;
    block *b = a->head;
    if (!b || one_block_each || b->cap - b->used < n) {
        b = block_get(a, n);
        if (!b) return NULL;
        b->next = a->head;
        a->head = b;
    }
    void *p = (char *)(b + 1) + b->used;
    b->used += n;
    a->total += n_bytes;
    return memset(p, 0, n);
}

char *rung_arena_strndup(rung_arena *a, const char *s, size_t n) {
    if (n == SIZE_MAX) return NULL;
    char *copy = rung_arena_alloc(a, n + 1);
    if (copy && n) memcpy(copy, s, n);
    return copy;
}

static void blocks_free(block *b) {
    while (b) {
        block *next = b->next;
        rung_free(b);
        b = next;
    }
}

void rung_arena_reset(rung_arena *a) {
    a->total = 0;
    if (one_block_each) {
        blocks_free(a->head);
        a->head = NULL;
        return;
    }
    while (a->head) {
        block *b = a->head;
        a->head = b->next;
        b->next = a->spare;
        a->spare = b;
    }
}

void rung_arena_free(rung_arena *a) {
    if (!a) return;
    blocks_free(a->head);
    blocks_free(a->spare);
    rung_free(a);
}
