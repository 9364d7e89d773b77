/* How many requests an endpoint is given at once. No I/O, no clock of its own. */
#ifndef RUNG_SRC_REMOTE_WINDOW_H
#define RUNG_SRC_REMOTE_WINDOW_H
#include "rung/base.h"

typedef struct remote_window {
    int32_t size, max; /* now; never above */
    int32_t top;       /* the largest that it has been */
    bool doubling;     /* until the first sign that more does not help */
    int32_t settle, n_done, hold;
    bool full;   /* every reply of this epoch found the window full */
    double t0;   /* start of the epoch */
    double work; /* done in it */
    int32_t base_size;
    double base_rate; /* work per second at the size before the last step up; 0 = not known */
    double cut_t;
} remote_window;

void rung_window_init(remote_window *w, int32_t size, int32_t max, double now);
/* A good reply of `work` (tokens, or choices); was_full: the endpoint had size requests in flight.
 */
void rung_window_done(remote_window *w, double now, double work, bool was_full);
/* The endpoint is overloaded (429, 503, time-out): half, once for all requests sent before. */
void rung_window_cut(remote_window *w, double now, double sent);
#endif
