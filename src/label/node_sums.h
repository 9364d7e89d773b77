/* Votes summed at nodes: traces that share a prefix share its votes. */
#ifndef RUNG_SRC_NODE_SUMS_H
#define RUNG_SRC_NODE_SUMS_H
#include "base/keymap.h"
#include "rung/label.h"

typedef struct node_sum {
    int64_t node;
    int32_t n, c;
    double soft; /* sum, for those who add one */
} node_sum;
typedef struct node_sums {
    node_sum *row; /* in order of first appearance */
    int64_t n, cap;
    keymap at; /* node -> row + 1 */
} node_sums;
rung_status node_sums_add(node_sums *z, int64_t node, bool right, rung_error *err);
rung_status node_sums_add_soft(node_sums *z, int64_t node, bool right, double soft,
                               rung_error *err);
node_sum *node_sums_find(const node_sums *z, int64_t node); /* NULL none */
void node_sums_clear(node_sums *z);
#endif
