/* rung/curve.h: curves of a training: metric rows of its run in the store and, on request,
 * TensorBoard event files, which Weights & Biases imports too. */
#ifndef RUNG_CURVE_H
#define RUNG_CURVE_H
#include "rung/event.h"
#include "rung/store.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Names that dashboards know (docs/formats.md): TRL's, and verl's where TRL has none. The step of a
 * row is their train/global_step. */
#define RUNG_CURVE_LOSS       "train/loss"
#define RUNG_CURVE_RATE       "train/learning_rate"
#define RUNG_CURVE_GRAD_NORM  "train/grad_norm"
#define RUNG_CURVE_TOKENS     "train/num_tokens" /* so far */
#define RUNG_CURVE_STEP_TIME  "train/step_time"  /* seconds */
#define RUNG_CURVE_EPOCH      "train/epoch"
#define RUNG_CURVE_THROUGHPUT "perf/throughput" /* tokens a second */
#define RUNG_CURVE_EVAL_LOSS  "eval/loss"
#define RUNG_CURVE_EVAL_AUC   "eval/auc"

/* Rows are kept back and written in one short transaction: after 64, after 2 seconds, or by flush -
 * which a trainer asks for before each checkpoint, so that a curve is never behind it. A row told
 * again after a resume changes nothing.
 *   store        NULL: none; borrowed, as is log
 *   tensorboard  a directory, NULL: none. When it can no longer be written, a warning says so once
 *                and the training goes on
 *   not thread-safe */
typedef struct rung_curve rung_curve;
rung_status rung_curve_open(rung_curve **out, rung_store *store, int64_t run,
                            const char *tensorboard, const rung_log *log, rung_error *err);
/* Numbers that are not finite are left out. A failure of the store is kept for flush and close. */
void rung_curve_put(rung_curve *c, int64_t step, const char *name, double value);
rung_status rung_curve_flush(rung_curve *c, rung_error *err);
rung_status rung_curve_close(rung_curve *c, rung_error *err); /* flushes; NULL: nothing */

/* One event file, DIR/events.out.tfevents.<unix time>.<host>; DIR is made when it is not there.
 * What earlier files of DIR say about the step of the first put and later ones is taken back: a
 * training that goes on from a checkpoint comes by some steps again.
 *   not thread-safe */
typedef struct rung_tensorboard rung_tensorboard;
rung_status rung_tensorboard_open(rung_tensorboard **out, const char *dir, rung_error *err);
/* One number of a curve. E_FULL, E_IO: nothing more is written after that. */
rung_status rung_tensorboard_put(rung_tensorboard *t, int64_t step, const char *name, double value,
                                 rung_error *err);
/* What was put reaches the file now; else at the latest with the first put after two seconds. */
rung_status rung_tensorboard_flush(rung_tensorboard *t, rung_error *err);
rung_status rung_tensorboard_close(rung_tensorboard *t, rung_error *err); /* NULL: nothing */

#ifdef __cplusplus
}
#endif
#endif
