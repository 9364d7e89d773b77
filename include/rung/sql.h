/* rung/sql.h: queries that a model wrote -> results, observations, verdicts.
 *
 * A query runs in a worker process of its own that holds one SQLite database open for reading and
 * can do nothing else: docs/design/sql.md says which wall stops what. Its clock stands still and
 * its random numbers repeat, work is counted and not timed, so that a result depends on the
 * database, the query and the limits alone, and is kept under these three. One caller at a time. */
#ifndef RUNG_SQL_H
#define RUNG_SQL_H
#include "rung/store.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Limits of one query; 0 = the default in brackets. */
typedef struct rung_sql_limits {
    int64_t work;   /* operations of SQLite's machine [20 million, about a second] */
    int64_t memory; /* bytes of SQLite's heap [256 MiB] */
    int64_t bytes;  /* of the result [4 MiB] */
    int64_t rows;   /* of the result [10,000] */
    double wall_s;  /* then the worker is killed: a guard against a loaded machine [60] */
} rung_sql_limits;

typedef struct rung_sql_opts {
    size_t struct_size;
    rung_sql_limits limits;
    const char *folder;  /* where databases are looked for by name; NULL: none */
    rung_store *cache;   /* results are kept here too; NULL: only in memory */
    int32_t n_workers;   /* databases held open at once; 0 = 8 */
    int64_t cache_bytes; /* results kept in memory; 0 = 64 MiB, < 0 none */
} rung_sql_opts;
#define RUNG_SQL_OPTS_INIT                                                                         \
    { .struct_size = sizeof(rung_sql_opts) }

/* A database: a file, a name below the folder (NAME/NAME.sqlite as Spider has it, NAME.sqlite,
 * NAME.db), or a script of CREATE and INSERT that makes it. One of the two is not NULL. */
typedef struct rung_sql_db {
    const char *file;
    const char *script;
} rung_sql_db;

/* id, value (never renumbered), verdict that it means for an answer, text */
#define RUNG_SQL_OUTCOMES(X)                                                                       \
    X(OK, 0, UNKNOWN, "ok")                                                                        \
    X(ERROR, 1, WRONG, "error")          /* SQLite says no: syntax, no such column, ... */         \
    X(NO_QUERY, 2, WRONG, "not a query") /* it would write, or holds several statements */         \
    X(DENIED, 3, UNKNOWN, "not allowed") /* reads what may not be read, calls what may not be */   \
    X(WORK, 4, UNKNOWN, "work limit")                                                              \
    X(MEMORY, 5, UNKNOWN, "memory limit")                                                          \
    X(STARVED, 6, UNKNOWN, "killed by the clock")                                                  \
    X(DAMAGED, 7, UNKNOWN, "database unreadable")                                                  \
    X(CRASHED, 8, UNKNOWN, "worker ended")
typedef enum rung_sql_outcome {
#define X(id, value, verdict, text) RUNG_SQL_##id = value,
    RUNG_SQL_OUTCOMES(X)
#undef X
} rung_sql_outcome;
const char *rung_sql_outcome_text(rung_sql_outcome o);

typedef enum rung_sql_type {
    RUNG_SQL_NULL = 0,
    RUNG_SQL_INT,
    RUNG_SQL_REAL,
    RUNG_SQL_TEXT,
    RUNG_SQL_BLOB
} rung_sql_type;
typedef struct rung_sql_value {
    rung_sql_type type;
    int32_t n;     /* bytes of text or blob */
    int64_t i;     /* of an integer */
    double d;      /* of a real */
    const char *s; /* of text or blob; NUL-terminated too */
} rung_sql_value;
typedef struct rung_sql_result {
    rung_sql_outcome outcome;
    const char *error; /* SQLite's own words where it failed; "" */
    int32_t n_cols, n_rows;
    bool truncated;             /* there was more: a cap was reached */
    const char *const *col;     /* [n_cols] */
    const rung_sql_value *cell; /* [n_rows][n_cols] */
    int64_t work;
} rung_sql_result;

typedef struct rung_sql rung_sql;
rung_status rung_sql_new(rung_sql **out, const rung_sql_opts *opts, rung_error *err);
void rung_sql_free(rung_sql *s);
/* The result of a query, whatever it is; strings and cells in a. E_NOT_FOUND: no such database,
 * E_FORMAT: a script that makes none, E_SANDBOX: no worker can be had. */
rung_status rung_sql_run(rung_sql_result *out, rung_arena *a, rung_sql *s, const rung_sql_db *db,
                         const char *sql, rung_error *err);
typedef struct rung_sql_counts {
    int64_t n_run, n_cached,
        n_workers; /* queries that ran, that did not have to; workers started */
} rung_sql_counts;
rung_sql_counts rung_sql_count(const rung_sql *s);

/* The database's hash (of the file's bytes or the script's), 32 hex digits. */
rung_status rung_sql_db_hash(char out[33], rung_sql *s, const rung_sql_db *db, rung_error *err);
/* Comments and needless blanks out, keywords in capitals, no semicolon at the end: what is run and
 * what results are kept under. Any bytes. */
void rung_sql_normal(rung_buf *out, const char *sql);
/* Column names and at most n_rows rows as a policy sees them, or the error:
 *   name | n
 *   Oslo | 3
 *   (2 of 14 rows) */
void rung_sql_render(rung_buf *out, const rung_sql_result *r, int32_t n_rows);

/* A session: the queries of one rollout. Nothing of one is seen by another. */
typedef struct rung_sql_session rung_sql_session;
typedef struct rung_sql_tally {
    int32_t n_issued;   /* queries asked */
    int32_t n_ok;       /* that ran */
    int32_t n_distinct; /* different ones that ran and read a table */
} rung_sql_tally;
/* db is copied. n_max queries, 0 = 10; n_rows shown, 0 = 3 (learning.md 11.3). */
rung_status rung_sql_session_new(rung_sql_session **out, rung_sql *s, const rung_sql_db *db,
                                 int32_t n_max, int32_t n_rows, rung_error *err);
void rung_sql_session_free(rung_sql_session *t);
/* Appends what the policy is shown: rows, SQLite's error, or "limit reached". */
rung_status rung_sql_session_query(rung_buf *observation, rung_sql_session *t, const char *sql,
                                   rung_error *err);
rung_sql_tally rung_sql_session_tally(const rung_sql_session *t);

/* ---- verdicts */

/* Execution match: gold and answer are run and their results compared, as lists where gold has a
 * top-level ORDER BY, else as multisets; columns in any order, as Spider's test suite allows.
 * Values: docs/verifiers.md. */
typedef struct rung_sql_check_opts {
    size_t struct_size;
    bool columns_in_order; /* column k of the answer stands against column k of gold */
} rung_sql_check_opts;
#define RUNG_SQL_CHECK_OPTS_INIT                                                                   \
    { .struct_size = sizeof(rung_sql_check_opts) }
typedef struct rung_sql_check {
    rung_verdict verdict;
    const char *rule;   /* "execution" "order" "error" "not a query"; "" */
    const char *reason; /* why unknown; "" */
    char detail[240];   /* SQLite's words, what differs */
    bool ordered;       /* gold orders its rows */
    bool gold_empty;    /* gold gives no row: weak evidence, whatever the verdict */
    bool gold_tied;     /* rows beyond gold's LIMIT are equal in its order: another right answer
                           may exist, so a difference is unknown */
    int32_t gold_rows, answer_rows;
} rung_sql_check;
rung_status rung_sql_match(rung_sql_check *out, rung_sql *s, const rung_sql_db *db,
                           const char *gold, const char *answer, const rung_sql_check_opts *opts,
                           rung_error *err);
/* Class of an answer for votes: equal keys <=> results equal as multisets of rows (columns in
 * order). "" when it gives no result. */
rung_status rung_sql_key(char key[128], rung_sql *s, const rung_sql_db *db, const char *answer,
                         rung_error *err);

/* Exact-set match as Spider defines it: the parts of both queries compared, values and DISTINCT
 * left out, columns that a foreign key ties taken as one. */
#define RUNG_SQL_PARTS(X)                                                                          \
    X(SELECT, "select")                                                                            \
    X(SELECT_NO_AGG, "select(no AGG)")                                                             \
    X(WHERE, "where")                                                                              \
    X(WHERE_NO_OP, "where(no OP)")                                                                 \
    X(GROUP_NO_HAVING, "group(no Having)")                                                         \
    X(GROUP, "group")                                                                              \
    X(ORDER, "order")                                                                              \
    X(AND_OR, "and/or")                                                                            \
    X(IUEN, "IUEN")                                                                                \
    X(KEYWORDS, "keywords")                                                                        \
    X(FROM, "from")
typedef enum rung_sql_part {
#define X(id, text) RUNG_SQL_PART_##id,
    RUNG_SQL_PARTS(X)
#undef X
        RUNG_SQL_PART_COUNT
} rung_sql_part;
const char *rung_sql_part_text(rung_sql_part p);
typedef struct rung_sql_exact {
    rung_verdict verdict; /* UNKNOWN: one of the two is beyond Spider's grammar, or names what the
                             database has not */
    const char *reason;
    char detail[160];
    bool same[RUNG_SQL_PART_COUNT];
} rung_sql_exact;
rung_status rung_sql_exact_match(rung_sql_exact *out, rung_sql *s, const rung_sql_db *db,
                                 const char *gold, const char *answer, rung_error *err);

/* Problem meta {"db": "file or name"} or {"db": {"script": ".."}} -> db, strings in a. */
rung_status rung_sql_db_from_meta(rung_sql_db *out, rung_arena *a, const char *meta,
                                  rung_error *err);

/* Runs fn on the database that a problem's meta names, with the one rung_sql that all of a process
 * share (default limits), under its lock: workers and results outlive the call. */
typedef rung_status (*rung_sql_fn)(void *ud, rung_sql *s, const rung_sql_db *db, rung_error *err);
rung_status rung_sql_with_meta(const char *meta, rung_sql_fn fn, void *ud, rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
