/* Probing for an endpoint's concurrency, as congestion control does for a line: one step up while
 * throughput follows, half when the endpoint says or shows that it is overloaded.
 *
 * An epoch is `size` replies to settle (they were sent under the old size) and then max(size, 8)
 * that are measured. A step up of the size by a share s is kept when throughput rose by more than
 * GAIN * s; else the size goes back and rests for REST epochs. At first the steps double, so that
 * a server of 256 slots is filled after a few epochs; afterwards they add. Epochs in which the
 * window was not full say nothing about it and change nothing. */
#include "model/remote_window.h"

#define GAIN    0.25 /* share of the ideal gain that a larger window must bring */
#define REST    8    /* epochs between two probes of a window that has settled */
#define MEASURE 8    /* replies that are the least worth measuring */

static void epoch(remote_window *w, double now) {
    w->t0 = now;
    w->work = 0.0;
    w->n_done = 0;
    w->full = true;
}

static void resize(remote_window *w, int32_t size, double now) {
    if (size > w->max) size = w->max;
    if (size < 1) size = 1;
    w->settle = w->size; /* what is in flight now */
    w->size = size;
    if (size > w->top) w->top = size;
    epoch(w, now);
}

void rung_window_init(remote_window *w, int32_t size, int32_t max, double now) {
    *w = (remote_window){.max = max < 1 ? 1 : max, .doubling = true};
    resize(w, size, now);
    w->settle = 0;
}

static void step_up(remote_window *w, double rate, double now) {
    w->base_size = w->size;
    w->base_rate = rate;
    int32_t step = w->doubling ? w->size : 1 + w->size / 16;
    resize(w, w->size + step, now);
}

static void judge(remote_window *w, double rate, double now) {
    if (w->base_rate > 0.0 && w->size > w->base_size) {
        double gain = rate / w->base_rate - 1.0, ideal = (double)w->size / w->base_size - 1.0;
        if (gain <= GAIN * ideal) {
            w->doubling = false;
            w->hold = REST;
            resize(w, w->base_size, now);
            return;
        }
    } else if (w->hold > 0) {
        w->hold--;
        epoch(w, now);
        return;
    }
    if (w->size < w->max) {
        step_up(w, rate, now);
    } else {
        epoch(w, now);
    }
}

void rung_window_done(remote_window *w, double now, double work, bool was_full) {
    if (w->settle > 0) {
        if (--w->settle == 0) epoch(w, now);
        return;
    }
    w->work += work;
    w->full = w->full && was_full;
    w->n_done++;
    if (w->n_done < (w->size > MEASURE ? w->size : MEASURE)) return;
    if (w->full && now > w->t0) {
        judge(w, w->work / (now - w->t0), now);
    } else {
        epoch(w, now);
    }
}

void rung_window_cut(remote_window *w, double now, double sent) {
    if (sent <= w->cut_t) return;
    w->cut_t = now;
    w->doubling = false;
    w->hold = REST;
    w->base_rate = 0.0;
    resize(w, w->size / 2, now);
}
