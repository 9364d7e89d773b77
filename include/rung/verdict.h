/* rung/verdict.h: what verifiers said of stored traces, by which rule, and when. */
#ifndef RUNG_VERDICT_H
#define RUNG_VERDICT_H
#include "rung/store.h"
#ifdef __cplusplus
extern "C" {
#endif

/* What a verifier said of a stored trace. One row for each verifier and version: by the same
 * version again it takes the place of the old one. */
typedef struct rung_verdict_row {
    int64_t trace;
    const char *verifier, *version; /* "math", "math-3" */
    rung_verdict verdict;
    const char *answer, *answer_key;
    const char *extracted_by, *rule, *reason; /* "boxed"; "rational", "" not known; why unknown */
    int64_t us;                               /* time it took; 0 not known */
    int64_t at_ms;                            /* when, since 1970; 0 to rung_verdict_put: now */
} rung_verdict_row;
rung_status rung_verdict_put(rung_store *s, const rung_verdict_row *v, rung_error *err);
/* All of a trace, by verifier and version; strings in a. */
rung_status rung_verdict_rows(rung_verdict_row **out, size_t *n, rung_arena *a, rung_store *s,
                              int64_t trace, rung_error *err);
/* A stored trace that was judged again (t->id; rung_trace_judge): its answer, answer_key, verdict,
 * verifier, rule, reason and first error take the place of what the store says of it, and a verdict
 * row is put. Text and steps stay. rung_trace_put puts the row for a trace just judged. */
rung_status rung_trace_rejudge(rung_store *s, const rung_trace *t, rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
