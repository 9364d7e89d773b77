/* JSON in: yyjson with file and line in every error. Internal header; yyjson itself may be used by
 * any folder. JSON out: yyjson_mut, or rung_buf_printf + rung_buf_json_str for single lines. */
#ifndef RUNG_SRC_JSON_H
#define RUNG_SRC_JSON_H
#include "rung/base.h"
#include <yyjson.h>

/* yyjson on rung_alloc, so that tests can make it fail. */
extern const yyjson_alc rung_json_alc;

/* One JSON value per line. Blank lines are skipped. A line over max_line bytes is E_LIMIT for that
 * line. "-" is stdin. */
typedef struct rung_jsonl rung_jsonl;
rung_status rung_jsonl_open(rung_jsonl **out, const char *path, size_t max_line /* 0 = 64 MiB */,
                            rung_error *err);
/* OK: *root is borrowed until the next call. DONE: end. E_FORMAT: this line is bad ("file:3: ..."),
 * the next call goes on with the following line. Other codes: cannot go on. */
rung_status rung_jsonl_next(yyjson_val **root, rung_jsonl *r, rung_error *err);
int64_t rung_jsonl_line(const rung_jsonl *r); /* 1-based number of the line last returned */
void rung_jsonl_close(rung_jsonl *r);

/* A whole file holding a JSON value; *doc is the caller's: yyjson_doc_free(). */
rung_status rung_json_load(yyjson_doc **doc, const char *path, rung_error *err);

/* Typed members: dflt when absent or of another type (3.0 is an integer); *_req set E_FORMAT naming
 * the key when absent or of another type. */
const char *rung_json_str(yyjson_val *obj, const char *key, const char *dflt);
int64_t rung_json_i64(yyjson_val *obj, const char *key, int64_t dflt);
double rung_json_f64(yyjson_val *obj, const char *key, double dflt);
rung_status rung_json_str_req(const char **out, yyjson_val *obj, const char *key, rung_error *err);
rung_status rung_json_i64_req(int64_t *out, yyjson_val *obj, const char *key, rung_error *err);
#endif
