/* rung/event.h: events, not text. A module emits named events with typed fields; the caller renders
 * them. */
#ifndef RUNG_EVENT_H
#define RUNG_EVENT_H
#include "rung/base.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef enum rung_level {
    RUNG_DEBUG = 0,
    RUNG_INFO = 1,
    RUNG_WARN = 2,
    RUNG_PROGRESS = 3
} rung_level;
typedef enum rung_field_kind {
    RUNG_FIELD_END = 0,
    RUNG_FIELD_INT,
    RUNG_FIELD_REAL,
    RUNG_FIELD_STR
} rung_field_kind;
typedef struct rung_field {
    rung_field_kind kind;
    const char *key;
    int64_t i;
    double d;
    const char *s;
} rung_field;
#define RUNG_I(key, value)                                                                         \
    { RUNG_FIELD_INT, key, (int64_t)(value), 0.0, 0 }
#define RUNG_D(key, value)                                                                         \
    { RUNG_FIELD_REAL, key, 0, (double)(value), 0 }
#define RUNG_S(key, value)                                                                         \
    { RUNG_FIELD_STR, key, 0, 0.0, value }

/* Non-zero from emit on a RUNG_PROGRESS event asks the module to stop: it returns E_CANCELLED with
 * everything done so far kept. */
typedef struct rung_log {
    int (*emit)(void *ud, rung_level level, const char *name, const rung_field *fields);
    void *ud;
} rung_log;
int rung_emit(const rung_log *log, rung_level level, const char *name,
              const rung_field *fields); /* log NULL: 0 */
#define rung_event(log, level, name, ...)                                                          \
    rung_emit(log, level, name, (const rung_field[]){__VA_ARGS__, {RUNG_FIELD_END, 0, 0, 0.0, 0}})
/* Unit progress of a long job: event "progress" with fields unit, done, total (0 = unknown), tok.
 * May be called per unit of work: at most 5 a second pass (per thread, log, unit and total), always
 * the first and the last. RUNG_E_CANCELLED when the caller asked to stop. unit: "traces",
 * "rollouts", ...; n_tok so far. */
rung_status rung_progress(const rung_log *log, const char *unit, int64_t done, int64_t total,
                          int64_t n_tok, rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
