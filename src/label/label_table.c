#include "rung/label.h"

#include <string.h>

static const rung_labeler labelers[] = {
    {"mc", "mc", "Monte Carlo: rollouts from every prefix (Math-Shepherd; SCAN's early stop)", true,
     true},
    {"binary", "binary", "binary search for the first error in a tree of prefixes (OmegaPRM)", true,
     true},
    {"relative", "relative", "does the chance of success fall by the step (GenPRM)", true, true},
    {"judge", "judge", "a model reads the solution and names its first error", true, false},
    {"tool", "tool", "a verifier of steps: arithmetic recomputed (source tool), proofs (formal)",
     false, false},
    {"human", "human", "marks of people, from JSON lines", false, false},
    {"truth", "truth", "a world's checker, or imported marks", false, false},
    {"fuse", "fused", "several labelers' labels as one", false, false},
};

const rung_labeler *rung_labeler_at(size_t i) {
    return i < sizeof labelers / sizeof labelers[0] ? &labelers[i] : NULL;
}

const rung_labeler *rung_labeler_find(const char *name) {
    for (size_t i = 0; i < sizeof labelers / sizeof labelers[0]; i++)
        if (strcmp(labelers[i].name, name) == 0) return &labelers[i];
    return NULL;
}
