/* Traces with planted errors: each step's truth is a label, the first error is where it was put,
 * and Z3 says of every decided step what the truth says (labels.md 6, honest check a). */
#include "rung/planted.h"
#include "rung/problem.h"
#include "rung/step.h"
#include "rung/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], db[96];
static rung_store *s;
static int64_t run_id;

#define OK(expr)                                                                                   \
    do {                                                                                           \
        rung_error ok_e = RUNG_ERROR_INIT, *e = &ok_e;                                             \
        if ((expr) != RUNG_OK) fail_msg("%s: %s (%s)", #expr, ok_e.what, ok_e.detail);             \
    } while (0)

static int setup(void **state) {
    (void)state;
    rung_world_opts o = RUNG_WORLD_OPTS_INIT;
    rung_run run = {.kind = "trace.plant", .config = "{}", .seed = 1};
    int64_t n = 0;
    strcpy(folder, "/tmp/rung_plant_XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(db, sizeof db, "%s/s.db", folder);
    OK(rung_store_open(&s, db, RUNG_STORE_CREATE, e));
    o.seed = 5;
    o.steps_min = 2;
    o.steps_max = 5;
    OK(rung_problem_generate(&n, s, "logic", NULL, "train=20", 0, &o, NULL, e));
    assert_int_equal(n, 20);
    OK(rung_problem_generate(&n, s, "total", NULL, "train=3", 0, NULL, NULL, e));
    OK(rung_run_begin(s, &run, e));
    run_id = run.id;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    char cmd[128];
    rung_store_close(s);
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", folder);
    return system(cmd);
}

static void planted(void **state) {
    (void)state;
    rung_plant_opts o = RUNG_PLANT_OPTS_INIT;
    rung_plant_counts n;
    rung_error err = RUNG_ERROR_INIT;
    o.n = 3;
    OK(rung_trace_plant(&n, s, run_id, &o, NULL, e));
    assert_int_equal(n.n_traces, 60);
    assert_int_equal(n.n_left_out, 3);
    assert_true(n.n_planted > 20 && n.n_wrong >= n.n_planted);
    OK(rung_trace_plant(&n, s, run_id, &o, NULL, e)); /* a repeat makes nothing */
    assert_int_equal(n.n_traces, 0);
    assert_int_equal(n.n_had, 60);
    o.slip = 1.5;
    assert_int_equal(rung_trace_plant(&n, s, run_id, &o, NULL, &err), RUNG_E_INVAL);
    o.slip = 0.3;
    o.n = 0;
    assert_int_equal(rung_trace_plant(&n, s, run_id, &o, NULL, &err), RUNG_E_INVAL);
}

typedef struct totals {
    int n_traces, n_steps, n_known, n_decided, n_agree, n_first;
} totals;

static void judge_trace(totals *n, rung_solver *solver, const rung_trace *t) {
    enum { STEPS_MAX = 64 };
    const char *step[STEPS_MAX];
    int32_t n_bytes[STEPS_MAX];
    rung_step_verdict v[STEPS_MAX];
    rung_step_task task = RUNG_STEP_TASK_INIT;
    rung_problem p;
    rung_arena *a = rung_arena_new(0);
    OK(rung_problem_get(s, &p, a, t->problem, e));
    assert_true(t->n_steps <= STEPS_MAX);
    for (int32_t k = 0; k < t->n_steps; k++) {
        step[k] = t->text + t->step[k].byte_begin;
        n_bytes[k] = t->step[k].byte_end - t->step[k].byte_begin;
    }
    task.question = p.question;
    task.answer = p.answer;
    task.step = step;
    task.n_bytes = n_bytes;
    task.n_steps = t->n_steps;
    OK(rung_step_verifier_find("logic")->check(v, a, &task, solver, e));
    for (int32_t k = 0; k < t->n_steps; k++) {
        rung_label l;
        bool found;
        OK(rung_label_get(&l, &found, s, run_id, t->step[k].node, "planted", e));
        n->n_steps++;
        n->n_known += found;
        n->n_decided += v[k].verdict != RUNG_VERDICT_UNKNOWN;
        n->n_agree += found && v[k].verdict != RUNG_VERDICT_UNKNOWN &&
                      (v[k].verdict == RUNG_VERDICT_CORRECT) == (l.hard == 1);
    }
    n->n_traces++;
    n->n_first += rung_step_first_wrong(v, t->n_steps) == t->first_error;
    assert_string_equal(t->first_error_source, "truth");
    rung_arena_free(a);
}

static void against_z3(void **state) {
    (void)state;
    rung_iter *it;
    const rung_trace *t;
    rung_solver *solver;
    totals n = {0};
    rung_filter f = {.run = run_id};
    OK(rung_solver_new(&solver, NULL, e));
    OK(rung_trace_iter(&it, s, &f, e));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK) judge_trace(&n, solver, t);
    rung_iter_free(it);
    rung_solver_free(solver);
    print_message("%d steps of %d planted proofs: Z3 decides %d, as the truth is %d\n", n.n_steps,
                  n.n_traces, n.n_decided, n.n_agree);
    assert_int_equal(n.n_traces, 60);
    assert_int_equal(n.n_known, n.n_steps);
    assert_int_equal(n.n_decided, n.n_steps);
    assert_int_equal(n.n_agree, n.n_decided);
    assert_int_equal(n.n_first, n.n_traces);
}

/* A problem that its meta does not describe is not planted on. */
static void another_meta(void **state) {
    (void)state;
    const rung_world *w = rung_world_find("logic");
    rung_planted none;
    rung_error err = RUNG_ERROR_INIT;
    rung_buf b;
    rung_buf_init(&b, 1 << 16);
    assert_int_equal(w->plant(&b, &none, "{\"world\":\"logic\",\"seed\":1,\"i\":2}", 0, 0.3, &err),
                     RUNG_E_FORMAT);
    assert_int_equal(w->plant(&b, &none, "[", 0, 0.3, &err), RUNG_E_FORMAT);
    rung_buf_clear(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(planted), cmocka_unit_test(against_z3),
                                       cmocka_unit_test(another_meta)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
