/* Events go to the caller's function; progress is thinned here, so every stage may call it per
 * unit of work. */
#include "rung/event.h"

#include <string.h>

#define PROGRESS_EVERY_S 0.2 /* at most 5 a second */
#define PROGRESS_SLOTS   4   /* jobs of one thread that report in turn */

/* When each job of this thread last spoke.  Only the rate depends on it, never a result. */
typedef struct slot {
    const rung_log *log;
    uint64_t unit;
    int64_t total, done;
    double at;
} slot;
static _Thread_local slot slots[PROGRESS_SLOTS];
static _Thread_local unsigned slot_next;

int rung_emit(const rung_log *log, rung_level level, const char *name, const rung_field *fields) {
    if (!log || !log->emit) return 0;
    return log->emit(log->ud, level, name, fields);
}

static slot *slot_of(const rung_log *log, uint64_t unit, int64_t total, bool *is_new) {
    *is_new = false;
    for (size_t i = 0; i < PROGRESS_SLOTS; i++)
        if (slots[i].log == log && slots[i].unit == unit && slots[i].total == total)
            return &slots[i];
    *is_new = true;
    slot *s = &slots[slot_next++ % PROGRESS_SLOTS];
    *s = (slot){.log = log, .unit = unit, .total = total};
    return s;
}

rung_status rung_progress(const rung_log *log, const char *unit, int64_t done, int64_t total,
                          int64_t n_tok, rung_error *err) {
    if (!log || !log->emit) return RUNG_OK;
    bool is_new;
    slot *s = slot_of(log, rung_hash64(unit, strlen(unit), 0), total, &is_new);
    bool first = is_new || done < s->done; /* going back: another job of the same kind */
    bool last = total > 0 && done >= total && done != s->done;
    double now = rung_now();
    bool due = first || last || now - s->at >= PROGRESS_EVERY_S;
    s->done = done;
    if (!due) return RUNG_OK;
    s->at = now;
    int stop = rung_event(log, RUNG_PROGRESS, "progress", RUNG_S("unit", unit),
                          RUNG_I("done", done), RUNG_I("total", total), RUNG_I("tok", n_tok));
    if (!stop) return RUNG_OK;
    return rung_fail(err, RUNG_E_CANCELLED, "stopped after %lld of %lld %s", (long long)done,
                     (long long)total, unit);
}
