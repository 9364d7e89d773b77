#include "label/node_sums.h"

static int64_t *slot_of(const node_sums *z, int64_t node) {
    uint64_t mask = (uint64_t)z->n_slots - 1;
    uint64_t at = ((uint64_t)node * 0x9E3779B97F4A7C15u >> 20) & mask;
    while (z->slot[at] && z->row[z->slot[at] - 1].node != node) at = (at + 1) & mask;
    return &z->slot[at];
}

static rung_status grow(node_sums *z, rung_error *err) {
    int64_t cap = z->cap ? z->cap * 2 : 512;
    node_sum *row = rung_realloc(z->row, (size_t)cap * sizeof *row);
    if (row) z->row = row;
    int64_t *slot = rung_calloc((size_t)cap * 2, sizeof *slot);
    if (!row || !slot) {
        rung_free(slot);
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld nodes", (long long)cap);
    }
    rung_free(z->slot);
    z->slot = slot;
    z->n_slots = cap * 2;
    z->cap = cap;
    for (int64_t i = 0; i < z->n; i++) *slot_of(z, z->row[i].node) = i + 1;
    return RUNG_OK;
}

rung_status node_sums_add_soft(node_sums *z, int64_t node, bool right, double soft,
                               rung_error *err) {
    if (z->n == z->cap) RUNG_TRY(grow(z, err));
    int64_t *at = slot_of(z, node);
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
    if (z->n == 0) return NULL;
    int64_t at = *slot_of(z, node);
    return at ? &z->row[at - 1] : NULL;
}

void node_sums_clear(node_sums *z) {
    rung_free(z->row);
    rung_free(z->slot);
    *z = (node_sums){0};
}
