/* The guard: one SQLite database, open for reading, and nothing else. It runs in the worker, and
 * in tests and the fuzzer in their own process. Internal header. */
#ifndef RUNG_SRC_VERIFY_SQL_GUARD_H
#define RUNG_SRC_VERIFY_SQL_GUARD_H
#include "rung/sql.h"

typedef struct sql_guard sql_guard;
rung_sql_limits guard_limits(const rung_sql_limits *l); /* defaults filled in; NULL: all */
/* script: CREATE and INSERT only, in memory; else the file at path, as it is on the disk. why:
 * SQLite's words when it fails (NULL). After it returns no file is opened any more. */
sql_guard *guard_open(const char *path, const char *script, const rung_sql_limits *l,
                      char why[200]);
void guard_close(sql_guard *g);
/* One query; the result as a frame (frame.h), appended. */
void guard_query(rung_buf *frame, sql_guard *g, const char *sql, size_t n,
                 const rung_sql_limits *l);
#endif
