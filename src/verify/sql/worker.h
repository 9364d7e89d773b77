/* rung's end of a worker process. Internal header. */
#ifndef RUNG_SRC_VERIFY_SQL_WORKER_H
#define RUNG_SRC_VERIFY_SQL_WORKER_H
#include "rung/sql.h"
#include <sys/types.h>

typedef struct sql_worker {
    pid_t pid; /* 0: none */
    int fd;
} sql_worker;

/* One of path, script is NULL. E_SANDBOX: no process; E_FORMAT: SQLite cannot open that. */
rung_status worker_start(sql_worker *w, const char *path, const char *script,
                         const rung_sql_limits *l, rung_error *err);
/* Frame of the result, appended. DONE: the worker did not answer in wall_s or ended; it is gone
 * then, and *starved says which of the two. */
rung_status worker_query(rung_buf *frame, bool *starved, sql_worker *w, const char *sql,
                         const rung_sql_limits *l, rung_error *err);
void worker_stop(sql_worker *w);

extern const unsigned char rung_sql_worker_exe[]; /* embedded at build time */
extern const size_t rung_sql_worker_exe_n;
#endif
