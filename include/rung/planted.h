/* rung/planted.h: proofs of the world `logic` with errors at known places. */
#ifndef RUNG_PLANTED_H
#define RUNG_PLANTED_H
#include "rung/problem.h"
#ifdef __cplusplus
extern "C" {
#endif

enum { RUNG_PLANTED_STEPS_MAX = 64 }; /* docs/design/problem.md */
typedef struct rung_planted {
    int32_t n_steps;     /* lines of the trace, the label's line too */
    int32_t first_error; /* of them, -1 none */
    bool
        right[RUNG_PLANTED_STEPS_MAX]; /* each step by itself: does it follow from what it cites? */
    bool planted[RUNG_PLANTED_STEPS_MAX]; /* an error was put here; its step never follows */
} rung_planted;
/* Trace number j of problem number i of world `logic` with these options: its reference proof, each
 * line with an error of its own with chance slip (another conclusion, another premise, one less).
 * Appended to trace, a line a step. Pure, thread-safe; the same everywhere for the same numbers. */
rung_status rung_logic_planted(rung_buf *trace, rung_planted *out, const rung_world_opts *o,
                               uint64_t i, uint64_t j, double slip, rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
