/* One table from ids and hashes to numbers, for all who count, number or remember. */
#include "base/keymap.h"

static size_t place_of(const keymap *m, uint64_t key) {
    size_t mask = m->cap - 1;
    size_t at = (size_t)(key * 0x9E3779B97F4A7C15u >> 20) & mask;
    while (m->value[at] && m->key[at] != key) at = (at + 1) & mask;
    return at;
}

static bool grow(keymap *m) {
    keymap wide = {.n = m->n, .cap = m->cap ? m->cap * 2 : 1024};
    wide.key = rung_calloc(wide.cap, sizeof *wide.key);
    wide.value = rung_calloc(wide.cap, sizeof *wide.value);
    if (!wide.key || !wide.value) {
        keymap_clear(&wide);
        return false;
    }
    for (size_t i = 0; i < m->cap; i++) {
        if (!m->value[i]) continue;
        size_t at = place_of(&wide, m->key[i]);
        wide.key[at] = m->key[i];
        wide.value[at] = m->value[i];
    }
    keymap_clear(m);
    *m = wide;
    return true;
}

int64_t *keymap_at(keymap *m, uint64_t key) {
    if (2 * (m->n + 1) > m->cap && !grow(m)) return NULL;
    size_t at = place_of(m, key);
    if (!m->value[at]) {
        m->key[at] = key;
        m->n++;
    }
    return &m->value[at];
}

int64_t keymap_get(const keymap *m, uint64_t key) {
    return m->cap ? m->value[place_of(m, key)] : 0;
}

void keymap_clear(keymap *m) {
    rung_free(m->key);
    rung_free(m->value);
    *m = (keymap){0};
}
