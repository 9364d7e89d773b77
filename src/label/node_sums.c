#include "label/node_sums.h"

static rung_status grow(node_sums *z, rung_error *err) {
    int64_t cap = z->cap ? z->cap * 2 : 512;
    node_sum *row = rung_realloc(z->row, (size_t)cap * sizeof *row);
    if (!row) return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld nodes", (long long)cap);
    z->row = row;
    z->cap = cap;
    return RUNG_OK;
}

rung_status node_sums_add_soft(node_sums *z, int64_t node, bool right, double soft,
                               rung_error *err) {
    if (z->n == z->cap) RUNG_TRY(grow(z, err));
    int64_t *at = keymap_at(&z->at, (uint64_t)node);
    if (!at) return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld nodes", (long long)z->n + 1);
    if (!*at) {
        z->row[z->n] = (node_sum){.node = node};
        *at = ++z->n;
    }
    node_sum *v = &z->row[*at - 1];
    v->n++;
    v->c += right;
    v->soft += soft;
    return RUNG_OK;
}

rung_status node_sums_add(node_sums *z, int64_t node, bool right, rung_error *err) {
    return node_sums_add_soft(z, node, right, right ? 1.0 : 0.0, err);
}

node_sum *node_sums_find(const node_sums *z, int64_t node) {
    int64_t at = keymap_get(&z->at, (uint64_t)node);
    return at ? &z->row[at - 1] : NULL;
}

void node_sums_clear(node_sums *z) {
    rung_free(z->row);
    keymap_clear(&z->at);
    *z = (node_sums){0};
}
