/* Which prefixes of the chosen traces need a label: the tree of their nodes, each once, parents
 * before children. Read from the store in one go; depends on the traces alone, not on what has been
 * labelled, so a resumed run works through the same plan. */
#ifndef RUNG_SRC_LABEL_PLAN_H
#define RUNG_SRC_LABEL_PLAN_H
#include "base/keymap.h"
#include "rung/label.h"

typedef struct plan_node {
    int64_t id, problem;
    int32_t parent;         /* index in the plan, -1 at a first step */
    int32_t child, sibling; /* first child, next sibling; -1 none */
    rung_verdict verdict;   /* known verdict of a trace that ends here, else unknown */
    bool internal;          /* some trace goes on after it */
} plan_node;

typedef struct label_plan {
    plan_node *node;
    int32_t n, cap;
    keymap at; /* id -> index + 1 */
    int64_t n_traces;
} label_plan;

rung_status rung_plan_read(label_plan *out, rung_store *s, const rung_filter *traces,
                           int32_t traces_per_problem, rung_error *err);
void rung_plan_clear(label_plan *p);
/* Does this node get its label from rollouts? Else from the verdict (which may be unknown). */
bool rung_plan_samples(const plan_node *v);
#endif
