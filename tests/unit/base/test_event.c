/* Events pass as they are; progress is thinned but never loses its first and last. */
#include "rung/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

typedef struct seen {
    int n, stop_at;
    int64_t done[64], total;
    char name[32], unit[32];
} seen;

static int collect(void *ud, rung_level level, const char *name, const rung_field *f) {
    (void)level;
    seen *s = ud;
    strncpy(s->name, name, sizeof s->name - 1);
    for (; f->kind != RUNG_FIELD_END; f++) {
        if (strcmp(f->key, "done") == 0) s->done[s->n % 64] = f->i;
        if (strcmp(f->key, "total") == 0) s->total = f->i;
        if (strcmp(f->key, "unit") == 0) strncpy(s->unit, f->s, sizeof s->unit - 1);
    }
    s->n++;
    return s->stop_at && s->n >= s->stop_at;
}

static void fields_arrive(void **state) {
    (void)state;
    seen s = {0};
    rung_log log = {collect, &s};
    assert_int_equal(rung_event(&log, RUNG_INFO, "a.b", RUNG_I("done", 4), RUNG_D("loss", 0.5),
                                RUNG_S("unit", "steps")),
                     0);
    assert_string_equal(s.name, "a.b");
    assert_string_equal(s.unit, "steps");
    assert_int_equal(s.done[0], 4);
    assert_int_equal(rung_event(NULL, RUNG_INFO, "a.b", RUNG_I("i", 1)), 0);
    rung_log silent = {NULL, NULL};
    assert_int_equal(rung_event(&silent, RUNG_INFO, "a.b", RUNG_I("i", 1)), 0);
}

static void progress_is_thinned(void **state) {
    (void)state;
    seen s = {0};
    rung_log log = {collect, &s};
    rung_error e = RUNG_ERROR_INIT;
    double t0 = rung_now();
    for (int64_t i = 1; i <= 10000; i++)
        assert_int_equal(rung_progress(&log, "traces", i, 10000, 0, &e), RUNG_OK);
    double wall = rung_now() - t0;
    assert_int_equal(s.done[0], 1);
    assert_int_equal(s.done[(s.n - 1) % 64], 10000);
    assert_true(s.n >= 2 && s.n <= 3 + (int)(wall * 5.0));
    /* the same job again: its first passes although the last one was just now */
    int before = s.n;
    rung_progress(&log, "traces", 1, 10000, 0, &e);
    assert_int_equal(s.n, before + 1);
    /* another job in between does not open the gate for the first */
    rung_progress(&log, "rollouts", 1, 7, 0, &e);
    rung_progress(&log, "traces", 2, 10000, 0, &e);
    assert_int_equal(s.n, before + 2);
    struct timespec wait = {0, 220000000};
    nanosleep(&wait, NULL);
    rung_progress(&log, "traces", 3, 10000, 0, &e);
    assert_int_equal(s.n, before + 3);
    /* the last is told once */
    rung_progress(&log, "rollouts", 7, 7, 0, &e);
    rung_progress(&log, "rollouts", 7, 7, 0, &e);
    assert_int_equal(s.n, before + 4);
    assert_int_equal(rung_progress(NULL, "x", 1, 2, 0, &e), RUNG_OK);
}

static void caller_can_stop(void **state) {
    (void)state;
    seen s = {.stop_at = 1};
    rung_log log = {collect, &s};
    rung_error e = RUNG_ERROR_INIT;
    assert_int_equal(rung_progress(&log, "traces", 3, 9, 0, &e), RUNG_E_CANCELLED);
    assert_string_equal(e.what, "stopped after 3 of 9 traces");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_arrive),
        cmocka_unit_test(progress_is_thinned),
        cmocka_unit_test(caller_can_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
