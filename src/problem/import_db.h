/* Problems that name a database. Internal to src/problem. */
#ifndef RUNG_SRC_PROBLEM_IMPORT_DB_H
#define RUNG_SRC_PROBLEM_IMPORT_DB_H
#include "rung/store.h"

/* A problem of the verifier sql whose meta names a database by id and not yet by place: looked for
 * beside the file as database/ID/ID.sqlite (Spider), its tables put before the question, the
 * reference query run. Strings in a. E_FORMAT: no such database, or the query does not run. */
rung_status import_db(rung_problem *p, const char *file, rung_arena *a, rung_error *err);
#endif
