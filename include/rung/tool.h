/* rung/tool.h: what a policy may use while it writes a solution: a table of tools, one interface.
 *
 * A session is the use of one tool by one solution (a rollout): blocks go in, each gives back the
 * text that the policy is shown. Sessions of one tool do not see each other. What a tool works on
 * (a sandbox, a database, documents) is opened by the caller and outlives its sessions. One caller
 * at a time for sessions that share one of these. */
#ifndef RUNG_TOOL_H
#define RUNG_TOOL_H
#include "rung/code.h"
#include "rung/retrieve.h"
#include "rung/sql.h"
#ifdef __cplusplus
extern "C" {
#endif

/* What sessions stand on; a tool looks at its own fields alone, borrowed until the session ends. */
typedef struct rung_tool_opts {
    size_t struct_size;
    int32_t n_max;   /* blocks of a session; 0 = the tool's own limit */
    int32_t n_shown; /* rows or passages of an observation; 0 = the tool's own number */
    /* python */
    rung_sandbox *sandbox;
    const rung_session_opts *session; /* NULL: the sandbox's limits, no replay */
    /* sql */
    rung_sql *sql;
    const rung_sql_db *db; /* copied */
    /* retrieve */
    rung_index *index;
    rung_rank by;
} rung_tool_opts;
#define RUNG_TOOL_OPTS_INIT                                                                        \
    { .struct_size = sizeof(rung_tool_opts) }

/* What became of a block. */
typedef struct rung_tool_outcome {
    bool ok;            /* it did what it says; an exception or an error of SQL is an observation */
    bool alive;         /* false: what earlier blocks had made is gone */
    const char *reason; /* "passed"; why not ok, in a word or two: "exception", "error", "limit" */
    double wall_s, cpu_s; /* cpu_s 0: not known */
} rung_tool_outcome;

typedef struct rung_tool {
    const char *name, *help;
    const char *block; /* what a block is, for help: "Python", "a query" */
    /* E_INVAL: opts lack what the tool stands on. */
    rung_status (*open)(void **session, const rung_tool_opts *opts, rung_error *err);
    /* Appends what the policy is shown. OK whatever became of the block. limits: of this block;
     * NULL: the session's; tools that count work instead ignore them. */
    rung_status (*run)(rung_buf *observation, rung_tool_outcome *out, void *session,
                       const char *block, size_t n, const rung_code_limits *limits,
                       rung_error *err);
    /* Members of a JSON object about the last block and the session, each with a comma before it.
     */
    void (*members)(rung_buf *json, void *session);
    rung_status (*reset)(void *session, rung_error *err); /* as newly opened */
    /* All blocks again that did not end the namespace, in a new one; NULL: nothing to rebuild. */
    rung_status (*rebuild)(size_t *n_run, void *session, rung_error *err);
    void (*close)(void *session); /* NULL is fine */
} rung_tool;
const rung_tool *rung_tool_at(size_t i); /* NULL past the end */
const rung_tool *rung_tool_find(const char *name);

/* ---- the calculator, behind the row `calculator`: exact arithmetic with names */
typedef struct rung_calculator rung_calculator;
rung_status rung_calculator_new(rung_calculator **out, rung_error *err);
void rung_calculator_free(rung_calculator *c);
/* A line each of "name = expression", "expression", "left = right" (also < <= > >=; == compares
 * where = would name), in the notation that the maths verifier reads. Appends a line for each:
 * "x = 7/2 (3.5)", "true", "error: ...". *n_bad: lines that gave an error. Work is bounded by line
 * as for a verdict. */
rung_status rung_calculator_run(rung_buf *out, int32_t *n_bad, rung_calculator *c,
                                const char *block, size_t n, rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
