/* World `logic`: chains of deductions in FLD's notation (labels.md 6A). */
#ifndef RUNG_SRC_PROBLEM_WORLD_LOGIC_H
#define RUNG_SRC_PROBLEM_WORLD_LOGIC_H
#include "rung/problem.h"

rung_status logic_make(rung_buf *question, rung_buf *answer, rung_buf *solution, rung_buf *meta,
                       const rung_world_opts *o, uint64_t i, rung_error *err);
rung_status logic_first_error(int32_t *out, const char *meta, const char *const *step,
                              const int32_t *n_bytes, int32_t n, rung_error *err);
rung_status logic_plant(rung_buf *trace, struct rung_planted *out, const char *meta, uint64_t j,
                        double slip, rung_error *err);
#endif
