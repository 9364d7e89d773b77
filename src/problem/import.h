/* Inside of the importers: one row of a foreign file, before it goes into the store. */
#ifndef RUNG_SRC_PROBLEM_IMPORT_H
#define RUNG_SRC_PROBLEM_IMPORT_H
#include "base/json.h"
#include "rung/problem.h"
#include "rung/verify.h"

/* A line over this many bytes, or a trace with more steps, is rejected. */
enum { IMPORT_LINE_MAX = 4 << 20, IMPORT_STEPS_MAX = 4096 };

typedef struct import_row {
    rung_problem p;        /* key NULL: hash of the question; set and split NULL: the import's */
    yyjson_val *steps;     /* array of strings; NULL: no trace */
    const char *separator; /* put behind every step but the last that has no newline of its own */
    const char *generator;
    int32_t first_error;
    const char *first_error_source;
    rung_verdict verdict;
    const char *verdict_by; /* "human", "given"; NULL: check the answer by p.verifier */
    int32_t i;              /* -1: ordinal of the row among those of its key in this file */
} import_row;

/* Reads one row; E_FORMAT with the reason in err.what rejects it. Strings: the JSON's or in a. */
typedef rung_status (*import_row_fn)(import_row *out, yyjson_val *root, rung_arena *a,
                                     rung_error *err);
rung_status import_rows(rung_import_report *out, rung_store *s, const char *importer,
                        const char *set_default, import_row_fn row, const char *path,
                        const rung_import_opts *o, const rung_log *log, rung_error *err);
#endif
