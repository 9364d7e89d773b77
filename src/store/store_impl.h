/* What the files of src/store share. Internal to this folder and its tests. */
#ifndef RUNG_SRC_STORE_IMPL_H
#define RUNG_SRC_STORE_IMPL_H
#include "rung/store.h"
#include <sqlite3.h>

#define STORE_APPLICATION_ID 0x52756e67 /* "Rung" in the SQLite header */
#define STORE_BUSY_MS        60000
#define STORE_N_STMTS        128 /* a power of two, over twice the number of SQL texts */

typedef struct store_stmt {
    const char *sql; /* the literal's address is the key */
    sqlite3_stmt *stmt;
} store_stmt;

struct rung_store {
    sqlite3 *db;
    char *path;
    bool read_only;
    int depth;           /* of begin/commit */
    bool doomed;         /* an inner rollback: the outermost commit will not commit */
    rung_arena *strings; /* what run_begin hands out; lives as long as the handle */
    char llama[64];
    store_stmt stmts[STORE_N_STMTS];
};

/* --- store.c ---------------------------------------------------------------------------------- */
/* Status for a SQLite result code; fills err (what = fmt..., the reason appended; SQL in detail).
 */
rung_status store_fail(rung_store *s, int rc, rung_error *err, const char *fmt, ...)
    RUNG_PRINTF(4, 5);
/* A prepared statement for a string literal, reset and unbound; kept until close. */
rung_status store_sql(sqlite3_stmt **out, rung_store *s, const char *sql, rung_error *err);
/* OK (a row), DONE or failure. After DONE or failure the statement is reset. */
rung_status store_step(rung_store *s, sqlite3_stmt *st, rung_error *err, const char *what);
/* Bind parameters 1, 2, ...: i int64, I int64 with 0 as NULL, d double with NaN as NULL,
 * t text (NULL is ""), N text (NULL is NULL), T text + size_t, b blob + size_t. Pointers must live
 * until the step. */
int store_bind(sqlite3_stmt *st, const char *kinds, ...);
/* Prepare, bind, run to the end; *n_changed (NULL allowed) = rows changed. */
rung_status store_run(int64_t *n_changed, rung_store *s, rung_error *err, const char *what,
                      const char *sql, const char *kinds, ...);
/* One integer of one row; *found = false when there is no row. */
rung_status store_get_i64(int64_t *out, bool *found, rung_store *s, rung_error *err,
                          const char *what, const char *sql, const char *kinds, ...);
rung_status store_exec(rung_store *s, const char *sql, rung_error *err);
/* Text of a column into an arena, never NULL unless memory ran out. */
char *store_text(rung_arena *a, sqlite3_stmt *st, int column);
/* A piece of work that must be whole: a transaction, or a savepoint inside one. */
rung_status store_unit_begin(rung_store *s, rung_error *err);
rung_status store_unit_end(rung_store *s, rung_status st,
                           rung_error *err); /* commits if st is OK */

/* --- store_schema.c --------------------------------------------------------------------------- */
/* migrations[v] takes a store of version v to v + 1. */
extern const char *const store_migrations[];
extern const int store_n_migrations; /* = the version this build writes */
rung_status store_migrate(rung_store *s, const char *const *migrations, int n, rung_error *err);

typedef enum { COL_INT, COL_REAL, COL_TEXT, COL_BLOB } store_col_kind;
typedef struct store_col {
    const char *name;
    store_col_kind kind;
    int since; /* the schema version that brought it; NULL in what older ones exported */
} store_col;
typedef struct store_table {
    const char *name, *order; /* order: columns of its key */
    store_col col[24];
} store_table;
extern const store_table store_tables[]; /* parents before children */
extern const size_t store_n_tables;

/* --- store_verdict.c -------------------------------------------------------------------------- */
/* The verdict row of a trace just judged. */
rung_status store_put_judged(rung_store *s, const rung_trace *t, rung_error *err);

/* --- store_machine.c -------------------------------------------------------------------------- */
void store_machine_json(rung_buf *b);
void store_versions_json(rung_buf *b, const rung_store *s);
#endif
