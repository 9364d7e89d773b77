/* World `total`: a running total, "Start at 17. +5 x2 -9. Total?\n" (labels.md 0.3). */
#include "problem/world.h"

static void total_question(rung_buf *out, chain *c, rung_rng *r) {
    (void)r;
    rung_buf_printf(out, "Start at %d.", c->start);
    for (int32_t t = 0; t < c->n; t++) rung_buf_printf(out, " %c%d", c->op[t].o, c->op[t].b);
    rung_buf_str(out, ". Total?\n");
}

void world_total_texts(void (*add)(void *ud, const char *text, bool opens), void *ud) {
    add(ud, "Start at . Total", true);
}

const world_impl world_total = {"total", 4, 8, total_question, 0};
