/* 20,000 traces of 6 steps in one batch, then read back. Prints its figures; the bound is generous,
 * it catches a lost index or a lost statement cache (minutes), not a slow machine. */
#include "store_fixture.h"

#include <time.h>

#define N_PROBLEMS_BATCH 1250
#define N_SAMPLES_BATCH  16

/* CPU seconds: the tests share their cores with others. */
static double cpu_s(void) {
    return (double)clock() / CLOCKS_PER_SEC;
}

static void twenty_thousand_traces(void **state) {
    (void)state;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    int64_t run = fx_run(s, "trace.sample");
    double t0 = cpu_s();
    fx_ok(rung_store_begin(s, e));
    for (int k = 0; k < N_PROBLEMS_BATCH; k++) {
        int64_t p = fx_problem(s, "a", "test", k);
        for (int i = 0; i < N_SAMPLES_BATCH; i++) fx_trace(s, run, p, i, 6, i % 6, NULL);
    }
    fx_ok(rung_store_commit(s, e));
    double t1 = cpu_s();
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_error err = RUNG_ERROR_INIT;
    int n = 0;
    int64_t n_steps = 0;
    fx_ok(rung_trace_iter(&it, s, &(rung_filter){.run = run, .set = "a"}, e));
    for (; rung_trace_next(&t, it, &err) == RUNG_OK; n++) n_steps += t->n_steps;
    rung_iter_free(it);
    double t2 = cpu_s();
    fx_check_ok(s);
    double t3 = cpu_s();
    print_message("20000 traces: put %.2f s, read %.2f s, check %.2f s of CPU\n", t1 - t0, t2 - t1,
                  t3 - t2);
    assert_int_equal(n, N_PROBLEMS_BATCH * N_SAMPLES_BATCH);
    assert_int_equal(n_steps, 6 * n);
    assert_true(t3 - t0 < 60.0);
    rung_store_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(twenty_thousand_traces, fx_setup, fx_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
