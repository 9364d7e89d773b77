/* The worlds that are no chains of numbers. Internal header. */
#ifndef RUNG_SRC_PROBLEM_WORLD_DOCS_H
#define RUNG_SRC_PROBLEM_WORLD_DOCS_H
#include "rung/problem.h"

rung_status lookup_make(rung_buf *question, rung_buf *answer, rung_buf *solution, rung_buf *meta,
                        const rung_world_opts *o, uint64_t i, rung_error *err);
rung_status lookup_first_error(int32_t *out, const char *meta, const char *const *step,
                               const int32_t *n_bytes, int32_t n_steps, rung_error *err);
rung_status sql_make(rung_buf *question, rung_buf *answer, rung_buf *solution, rung_buf *meta,
                     const rung_world_opts *o, uint64_t i, rung_error *err);
rung_status sql_first_error(int32_t *out, const char *meta, const char *const *step,
                            const int32_t *n_bytes, int32_t n_steps, rung_error *err);
const char *world_trim(const char *s, size_t *n); /* blanks at both ends off */
#endif
