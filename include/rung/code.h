/* rung/code.h: model-written programs -> verdicts, in a sandbox.
 *
 * A sandbox is a pool of boxes: bubblewrap with a warm Python inside that forks one process per
 * program. The program runs in namespaces of its own and is judged by another process, which it can
 * neither see nor reach; the verdict travels on a descriptor that only that process holds.
 * docs/design/sandbox.md says which wall stops what. Linux only. One caller at a time. */
#ifndef RUNG_CODE_H
#define RUNG_CODE_H
#include "rung/store.h"
#ifdef __cplusplus
extern "C" {
#endif

/* id, value (never renumbered), verdict it leads to, text */
#define RUNG_CODE_REASONS(X)                                                                       \
    X(NOT_RUN, 0, UNKNOWN, "not run")                                                              \
    X(PASSED, 1, CORRECT, "passed")                                                                \
    X(COMPILE, 2, WRONG, "compile error")                                                          \
    X(OUTPUT, 3, WRONG, "wrong output")                                                            \
    X(EXCEPTION, 4, WRONG, "exception")                                                            \
    X(TIME, 5, WRONG, "time-out")                                                                  \
    X(MEMORY, 6, WRONG, "memory")                                                                  \
    X(FLOOD, 7, WRONG, "output flood")                                                             \
    X(KILLED, 8, WRONG, "killed")                                                                  \
    X(TAMPERED, 9, WRONG, "tampered")                                                              \
    X(STARVED, 10, UNKNOWN, "starved")                                                             \
    X(SYSTEM, 11, UNKNOWN, "killed by the system")                                                 \
    X(BAD_TEST, 12, UNKNOWN, "bad test")                                                           \
    X(SANDBOX, 13, UNKNOWN, "sandbox failed")                                                      \
    X(NO_TOOL, 14, UNKNOWN, "no tool for the language")

typedef enum rung_code_reason {
#define X(id, value, verdict, text) RUNG_CODE_##id = value,
    RUNG_CODE_REASONS(X)
#undef X
} rung_code_reason;
const char *rung_code_reason_text(rung_code_reason r);
rung_verdict rung_code_reason_verdict(rung_code_reason r);

/* Limits of one program; 0 = the default in brackets. */
typedef struct rung_code_limits {
    double wall_s;      /* of one test or session block [10] */
    double cpu_s;       /* of one test, all threads [5] */
    uint64_t memory;    /* address space of a process, resident bytes of all of them [512 MiB] */
    uint64_t output;    /* bytes of standard output and error per test [1 MiB] */
    uint64_t tmp;       /* size of its /tmp, and of any file [64 MiB] */
    uint32_t processes; /* besides its first; threads count [16] */
} rung_code_limits;

/* BWRAP or nothing: where bubblewrap cannot run, rung_sandbox_new fails with E_SANDBOX. LIMITS has
 * no namespaces (seccomp, Landlock where present and rlimits only) and is used only when asked for.
 */
typedef enum rung_sandbox_mode { RUNG_SANDBOX_BWRAP = 0, RUNG_SANDBOX_LIMITS } rung_sandbox_mode;
typedef struct rung_sandbox_opts {
    size_t struct_size;
    rung_sandbox_mode mode;
    uint32_t n_boxes;   /* programs at once; 0 = one per core */
    const char *python; /* NULL: /usr/bin/python3 (the boxes see /usr and little else) */
    const char *bwrap;  /* NULL: bwrap of the PATH */
    rung_code_limits limits;
} rung_sandbox_opts;
#define RUNG_SANDBOX_OPTS_INIT                                                                     \
    { .struct_size = sizeof(rung_sandbox_opts) }

typedef struct rung_sandbox rung_sandbox;
/* Starts one box to see that it can; the others start when needed. */
rung_status rung_sandbox_new(rung_sandbox **out, const rung_sandbox_opts *opts, rung_error *err);
void rung_sandbox_free(rung_sandbox *s);
/* One line about the walls that stand: "bubblewrap, seccomp, landlock 7; python 3.11.2". */
const char *rung_sandbox_describe_view(const rung_sandbox *s);

typedef enum rung_code_lang {
    RUNG_CODE_PYTHON = 0,
    RUNG_CODE_C,
    RUNG_CODE_JAVASCRIPT
} rung_code_lang;
const char *rung_code_lang_name(rung_code_lang l);
rung_status rung_code_lang_find(rung_code_lang *out, const char *name, rung_error *err);
typedef enum rung_code_compare {
    RUNG_COMPARE_LINES = 0, /* blanks at line ends and empty lines at the end do not count */
    RUNG_COMPARE_EXACT,
    RUNG_COMPARE_TOKENS /* words; numbers within `tolerance`, absolute or relative */
} rung_code_compare;
typedef enum rung_code_kind {
    RUNG_TEST_STDIN = 0, /* a new process: `input` to its stdin; stdout must be `want`, status 0 */
    RUNG_TEST_ASSERT,    /* Python text run by the tester; `candidate` is the entry point */
    RUNG_TEST_CALL       /* entry point on JSON array (or {"args","kwargs"}) `input`; JSON `want` */
} rung_code_kind;
typedef struct rung_code_test {
    rung_code_kind kind;
    const char *input, *want; /* of an assert: input is its text, want NULL */
    size_t n_input, n_want;
    const char *entry; /* of a call; NULL: the job's */
    double tolerance;  /* numbers of a call or of tokens; 0 = exact */
} rung_code_test;
typedef struct rung_code_job {
    rung_code_lang lang;
    const char *program;
    size_t n_program;
    const char *entry; /* asserts and calls: the function under test; "" none */
    const char *setup; /* Python that the tests need (imports, helpers); the tester's, not the
                        * program's; "" none */
    const rung_code_test *test;
    size_t n_tests; /* all of one kind: STDIN, or ASSERT and CALL */
    rung_code_compare compare;
    const rung_code_limits *limits; /* NULL: the sandbox's */
} rung_code_job;

typedef struct rung_code_outcome {
    rung_code_reason reason;
    char detail[320];
    double wall_s, cpu_s;
} rung_code_outcome;
/* CORRECT: there are tests and all passed. WRONG: one failed for a reason of the program's. Else
 * UNKNOWN. reason and detail are those of the first test that decided. */
typedef struct rung_code_result {
    rung_verdict verdict;
    rung_code_reason reason;
    char detail[320];
    size_t n_tests, n_passed, first; /* first: the test that decided */
    rung_code_outcome *test;         /* [n_tests]; rung_code_result_clear frees */
    double wall_s;
} rung_code_result;
void rung_code_result_clear(rung_code_result *r);

/* OK whatever the verdict is. E_SANDBOX when no box can be had any more. */
rung_status rung_code_check(rung_code_result *out, rung_sandbox *s, const rung_code_job *job,
                            rung_error *err);
/* Many at once, boxes in parallel. next: fills *job (borrowed until its done), DONE ends. done gets
 * results as they come, in any order; any other status of either stops the whole. i counts from 0.
 */
typedef rung_status (*rung_code_next_fn)(rung_code_job *job, size_t i, void *ud, rung_error *err);
typedef rung_status (*rung_code_done_fn)(size_t i, const rung_code_result *r, void *ud,
                                         rung_error *err);
rung_status rung_code_check_many(rung_sandbox *s, rung_code_next_fn next, rung_code_done_fn done,
                                 void *ud, rung_error *err);

/* ---- a tool session: one namespace that lives over the blocks of one solution
 *
 * A session holds a box of its sandbox until it is freed; checks go on in the other boxes. A block
 * that raises leaves the namespace as it is; one over its time or output is interrupted and the
 * namespace lives on; one that cannot be interrupted, or takes too much memory, ends it. */
typedef struct rung_code_session rung_code_session;
typedef struct rung_session_opts {
    size_t struct_size;
    rung_code_limits limits; /* of a block; 0 = the sandbox's */
    bool replay;             /* an ended namespace is rebuilt before the next block runs */
} rung_session_opts;
#define RUNG_SESSION_OPTS_INIT                                                                     \
    { .struct_size = sizeof(rung_session_opts) }
typedef struct rung_block_result { /* strings: until the session's next call */
    rung_code_reason reason;       /* PASSED: ran to its end */
    char detail[320];
    const char *out, *errs, *value; /* printed; value: repr of a last expression, "" none */
    size_t n_out, n_errs, n_value;
    bool alive;        /* false: the namespace is gone; the next block begins a new one */
    size_t n_replayed; /* blocks run again before this one */
    double wall_s, cpu_s;
} rung_block_result;
/* E_LIMIT when every box is held. */
rung_status rung_code_session_new(rung_code_session **out, rung_sandbox *s,
                                  const rung_session_opts *opts, rung_error *err);
void rung_code_session_free(rung_code_session *s); /* before its sandbox */
/* OK whatever became of the block. limits: NULL = the session's (wall_s and cpu_s count). */
rung_status rung_code_session_run(rung_block_result *out, rung_code_session *s, const char *block,
                                  size_t n, const rung_code_limits *limits, rung_error *err);
/* A new namespace, and in it every block again that did not end one, in order, output dropped. A
 * block that ends it now is left out from now on. *n_run (NULL allowed): blocks run again. */
rung_status rung_code_session_rebuild(size_t *n_run, rung_code_session *s, rung_error *err);
rung_status rung_code_session_reset(rung_code_session *s, rung_error *err); /* new and empty */

/* ---- one line of a Python program rewritten (labels.md 7), candidates only: tests label them */
typedef struct rung_code_rewrite {
    int32_t line;          /* 1-based */
    const char *mode, *op; /* "mutate" | "refactor"; "operator" "constant" "variable" ... */
    const char *text;      /* the new line */
    size_t begin, end;     /* bytes of the program that `with` takes the place of */
    const char *with;
} rung_code_rewrite;
typedef struct rung_rewrite_opts {
    size_t struct_size;
    uint64_t seed;       /* which ones, when there are more than per_line */
    uint32_t per_line;   /* of each mode; 0 = all */
    uint32_t first_line; /* lines before it stay as they are; 0 = from the first */
} rung_rewrite_opts;
#define RUNG_REWRITE_OPTS_INIT                                                                     \
    { .struct_size = sizeof(rung_rewrite_opts) }
/* *out[*n], by line, in a. E_FORMAT: not a Python program, or too long to parse in the limits. */
rung_status rung_code_rewrites(rung_code_rewrite **out, size_t *n, rung_arena *a, rung_sandbox *s,
                               const char *program, size_t n_program, const rung_rewrite_opts *opts,
                               rung_error *err);
/* The rewritten program, NUL-terminated, in a; NULL: out of memory. */
char *rung_code_rewrite_apply(rung_arena *a, const char *program, size_t n_program,
                              const rung_code_rewrite *r);

/* A JSON row -> job, strings in a: HumanEval (prompt, entry_point, test, completion or
 * canonical_solution), MBPP (test_list, code or completion, test_setup_code) or our own (docs/
 * verifiers.md). E_FORMAT names what is missing. */
rung_status rung_code_job_parse(rung_code_job *out, rung_arena *a, const char *json, size_t n,
                                rung_error *err);
/* The same from a row without its program (or a problem's meta with that row as "code"), and the
 * program: HumanEval's completion goes behind the prompt. */
rung_status rung_code_job_with(rung_code_job *out, rung_arena *a, const char *tests, size_t n,
                               const char *program, rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
