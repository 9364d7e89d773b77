/* How many tokens a perfect cache would compute: the nodes of the trie of all texts that were asked
 * for. A node is known by the hash of its path; 64 bits, so that among ten million tokens one in
 * 400,000 runs would count one too few. */
#include "model/engine_local.h"

/* 2 Mi paths, 32 MiB at most; beyond that nobody counts. */
#define UNION_SLOTS_MAX ((size_t)1 << 22)

static bool put(token_union *u, uint64_t h) {
    size_t i = h & (u->cap - 1);
    while (u->slot[i] && u->slot[i] != h) i = (i + 1) & (u->cap - 1);
    bool is_new = !u->slot[i];
    u->slot[i] = h;
    u->n += is_new;
    return is_new;
}

static bool grow(token_union *u) {
    token_union to = {.cap = u->cap ? 2 * u->cap : 1024};
    if (to.cap > UNION_SLOTS_MAX) return false;
    to.slot = rung_calloc(to.cap, sizeof *to.slot);
    if (!to.slot) return false;
    for (size_t i = 0; i < u->cap; i++) {
        if (u->slot[i]) put(&to, u->slot[i]);
    }
    rung_free(u->slot);
    *u = to;
    return true;
}

void rung_union_add(token_union *u, const int32_t *tok, int32_t n) {
    uint64_t h = 1;
    for (int32_t i = 0; i < n && !u->lost; i++) {
        h = (h ^ (uint64_t)(uint32_t)tok[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
        h += h == 0;
        if (2 * (u->n + 1) > u->cap && !grow(u))
            u->lost = true;
        else
            put(u, h);
    }
}

void rung_union_clear(token_union *u) {
    rung_free(u->slot);
    *u = (token_union){0};
}
