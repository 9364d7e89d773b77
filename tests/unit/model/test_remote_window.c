/* Probing for concurrency, against servers that exist in virtual time only. */
#include "model/remote_window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A server of n_slots: each request takes `base` seconds in a slot, and `share` seconds of what all
 * running requests share (a batch that gets slower with its size). Requests beyond the slots wait.
 * Returns the window after n replies. `limit` > 0: more than that at once are refused. */
typedef struct server {
    int n_slots, limit;
    double base, share;
} server;
enum { MOST = 512 };

static int32_t play(const server *s, int32_t start, int32_t max, int n_replies, double *elapsed,
                    int *n_refused) {
    remote_window w;
    double now = 0.0, left[MOST], sent[MOST];
    int n = 0, done = 0;
    *n_refused = 0;
    rung_window_init(&w, start, max, now);
    while (done < n_replies) {
        while (n < w.size && n < MOST) {
            if (s->limit && n >= s->limit) {
                ++*n_refused;
                rung_window_cut(&w, now, now - 1e-9);
                break;
            }
            sent[n] = now;
            left[n++] = s->base;
        }
        int running = n < s->n_slots ? n : s->n_slots, first = 0;
        for (int i = 1; i < running; i++) {
            if (left[i] < left[first]) first = i;
        }
        double speed = 1.0 / (1.0 + s->share * running), dt = left[first] / speed;
        now += dt;
        for (int i = 0; i < running; i++) left[i] -= dt * speed;
        bool was_full = n >= w.size;
        n--;
        for (int i = first; i < n; i++) left[i] = left[i + 1], sent[i] = sent[i + 1];
        if (n >= running) left[running - 1] = s->base;
        rung_window_done(&w, now, 100.0, was_full);
        done++;
    }
    *elapsed = now;
    return w.size;
}

static void fills_the_slots_and_stops_there(void **state) {
    (void)state;
    double t;
    int refused;
    for (int n_slots = 1; n_slots <= 128; n_slots *= 2) {
        server s = {.n_slots = n_slots, .base = 1.0};
        int32_t w = play(&s, 8, 256, 40 * n_slots + 400, &t, &refused);
        if (w < n_slots || w > 2 * n_slots + 16) fail_msg("%d slots: window %d", n_slots, w);
    }
}

/* A batch that slows its members: throughput at n is n / (1 + share n); more than 25% of the ideal
 * gain is there as long as 1 / (1 + share n)^2, roughly, is above it: n about 1 / share. */
static void stops_where_a_larger_batch_does_not_pay(void **state) {
    (void)state;
    double t;
    int refused;
    server s = {.n_slots = 1000, .base = 1.0, .share = 0.05};
    int32_t w = play(&s, 8, 256, 6000, &t, &refused);
    assert_in_range(w, 12, 90);
    s.share = 0.0; /* nothing ever gets slower */
    assert_int_equal(play(&s, 8, 256, 6000, &t, &refused), 256);
}

static void halves_when_told(void **state) {
    (void)state;
    double t;
    int refused;
    server s = {.n_slots = 1000, .limit = 20, .base = 1.0};
    int32_t w = play(&s, 8, 256, 4000, &t, &refused);
    assert_in_range(w, 8, 21);
    assert_in_range(refused, 1, 4000 / 50);
    remote_window x;
    rung_window_init(&x, 16, 64, 0.0);
    rung_window_cut(&x, 1.0, 0.5);
    assert_int_equal(x.size, 8);
    rung_window_cut(&x, 1.1, 0.9); /* sent before the first cut was known */
    assert_int_equal(x.size, 8);
    rung_window_cut(&x, 1.2, 1.05);
    assert_int_equal(x.size, 4);
    for (int i = 0; i < 9; i++) rung_window_cut(&x, 2.0 + i, 1.9 + i);
    assert_int_equal(x.size, 1);
}

/* Half of the work is missing: what is measured then says nothing about the window. */
static void a_window_that_is_not_full_stays(void **state) {
    (void)state;
    remote_window w;
    rung_window_init(&w, 8, 256, 0.0);
    for (int i = 0; i < 1000; i++) rung_window_done(&w, i, 1.0, i % 8 != 0);
    assert_int_equal(w.size, 8);
    rung_window_init(&w, 99, 4, 0.0);
    assert_int_equal(w.size, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_the_slots_and_stops_there),
        cmocka_unit_test(stops_where_a_larger_batch_does_not_pay),
        cmocka_unit_test(halves_when_told),
        cmocka_unit_test(a_window_that_is_not_full_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
