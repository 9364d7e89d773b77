/* What sampling traces and rollouts (trace/, label/) share: addresses of draws, the pace of
 * writing. Internal to the flow folders. */
#ifndef RUNG_SRC_FLOW_H
#define RUNG_SRC_FLOW_H
#include "rung/model.h"

/* Rows wait in memory and are written in one short transaction, so that the store's write lock is
 * never held while a model computes. A kill -9 loses at most this much work. */
enum { RUNG_FLUSH_ROWS = 64 };
#define RUNG_FLUSH_S 1.0

/* Samples that are queued or running at once. Enough to keep every sequence of the engine busy,
 * few enough that a million problems need no more memory than a thousand. */
enum { RUNG_QUEUE_AHEAD = 512 };

/* Address of a problem's draws: what it is, not when it was imported. Equal in every store. */
uint64_t rung_problem_address(const rung_problem *p);
/* Address of the draws of rollouts from a prefix: problem and path, never creation order (style
 * H12). */
uint64_t rung_prefix_address(const rung_problem *p, const char *prefix, size_t n);

/* What a known first error says of step i: 1 right, 0 the wrong one, NaN after it or not known. */
double rung_trace_truth(const rung_trace *t, int32_t i);

typedef struct rung_ids {
    int64_t *id;
    size_t n, cap;
} rung_ids;
rung_status rung_ids_push(rung_ids *ids, int64_t id, rung_error *err);
void rung_ids_clear(rung_ids *ids);
/* Ids of the problems of f, read at once: no iterator stays open while rows are written. */
rung_status rung_problem_ids(rung_ids *out, rung_store *s, const rung_filter *f, rung_error *err);

/* Name to keep with rows: given, else the local model's, else "remote". buf: 96 bytes. */
const char *rung_engine_name(char buf[96], const rung_engine *e, const char *given);
/* Is this a finished sample, or one that must be made again ("error", "cancelled")? */
bool rung_gen_is_whole(const rung_gen_out *o);

/* Runs what was queued, if anything (n_out); when queueing had failed, forgets it and returns that
 * failure. */
rung_status rung_engine_drain(rung_engine *e, const rung_engine_cb *cb, rung_status queued,
                              int64_t n_out, rung_error *err);
/* E_MODEL or E_REMOTE when n_failed > 0: how many ("samples") are missing, and how to go on. */
rung_status rung_failed_samples(const rung_engine *e, int64_t n_failed, const char *what,
                                rung_error *err);
#endif
