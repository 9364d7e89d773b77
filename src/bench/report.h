/* bench/report.h: the report's data and its page. */
#ifndef RUNG_SRC_BENCH_REPORT_H
#define RUNG_SRC_BENCH_REPORT_H
#include "bench/pool.h"

/* The JSON object that the page reads: docs/formats-bench.md has its fields. */
rung_status rung_report_data(rung_buf *json, rung_store *s, const char *title, const char *command,
                             const rung_log *log, rung_error *err);
/* "examples":[..] of the traces in f, scored by model (0: own confidence). */
rung_status rung_report_examples(rung_buf *json, rung_store *s, const rung_filter *f, int64_t model,
                                 rung_error *err);
/* "searches":[..],"trees":[..], of every search run, the newest first; any: there is one. */
rung_status rung_report_searches(rung_buf *json, bool *any, rung_store *s, const rung_run *runs,
                                 int64_t n_runs, rung_error *err);
/* JSON that may stand inside a script element: < > & become \u escapes, which mean the same. */
void rung_put_script_safe(rung_buf *out, const char *json, size_t n);
void rung_put_html_text(rung_buf *out, const char *text);
#endif
