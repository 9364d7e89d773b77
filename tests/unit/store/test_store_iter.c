/* Filters, and iterators that stay valid while the same handle writes. */
#include "store_fixture.h"

#include <sqlite3.h>

/* 12 problems: sets a (k 0..7) and b (k 8..11); split test for even k, train for odd; traces in run
 * 1 for k 2..9 (two each), in run 2 for k 4 only. */
typedef struct world {
    rung_store *s;
    int64_t run1, run2, problem[12];
} world;

static world make_world(void) {
    world w = {.s = fx_open(fx_db, RUNG_STORE_CREATE)};
    w.run1 = fx_run(w.s, "one");
    w.run2 = fx_run(w.s, "two");
    fx_ok(rung_store_begin(w.s, e));
    for (int k = 0; k < 12; k++)
        w.problem[k] = fx_problem(w.s, k < 8 ? "a" : "b", k % 2 ? "train" : "test", k);
    for (int k = 9; k >= 2; k--)
        for (int i = 1; i >= 0; i--) fx_trace(w.s, w.run1, w.problem[k], i, 3, 1, NULL);
    fx_trace(w.s, w.run2, w.problem[4], 0, 2, 1, NULL);
    fx_ok(rung_store_commit(w.s, e));
    return w;
}

/* Keys of the problems as text: "2 4 6". */
static void check_problems(const world *w, rung_filter f, const char *want) {
    rung_iter *it = NULL;
    const rung_problem *p;
    rung_buf b;
    rung_buf_init(&b, 4096);
    rung_buf_str(&b, "");
    rung_error err = RUNG_ERROR_INIT;
    fx_ok(rung_problem_iter(&it, w->s, &f, e));
    rung_status st;
    while ((st = rung_problem_next(&p, it, &err)) == RUNG_OK)
        rung_buf_printf(&b, "%s%s", b.n ? " " : "", p->key + 1);
    assert_int_equal(st, RUNG_DONE);
    assert_string_equal(b.data, want);
    rung_iter_free(it);
    rung_buf_clear(&b);
}

/* "problem index/run/i" of each trace. */
static void check_traces(const world *w, rung_filter f, const char *want) {
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_buf b;
    rung_buf_init(&b, 4096);
    rung_buf_str(&b, "");
    rung_error err = RUNG_ERROR_INIT;
    fx_ok(rung_trace_iter(&it, w->s, &f, e));
    rung_status st;
    while ((st = rung_trace_next(&t, it, &err)) == RUNG_OK) {
        int k = 0;
        while (w->problem[k] != t->problem) k++;
        rung_buf_printf(&b, "%s%d/%d/%d", b.n ? " " : "", k, t->run == w->run1 ? 1 : 2, t->i);
    }
    assert_int_equal(st, RUNG_DONE);
    assert_string_equal(b.data, want);
    rung_iter_free(it);
    rung_buf_clear(&b);
}

static void problem_filters(void **state) {
    (void)state;
    world w = make_world();
    check_problems(&w, (rung_filter){0}, "0 1 2 3 4 5 6 7 8 9 10 11");
    check_problems(&w, (rung_filter){.set = "b"}, "8 9 10 11");
    check_problems(&w, (rung_filter){.set = "a", .split = "test"}, "0 2 4 6");
    check_problems(&w, (rung_filter){.set = "a", .split = "test", .limit = 2}, "0 2");
    check_problems(&w, (rung_filter){.set = "a", .split = "test", .limit = 2, .skip = 1}, "2 4");
    check_problems(&w, (rung_filter){.skip = 10}, "10 11");
    check_problems(&w, (rung_filter){.problem = w.problem[5]}, "5");
    check_problems(&w, (rung_filter){.run = w.run1, .limit = 3}, "2 3 4");
    check_problems(&w, (rung_filter){.run = w.run2}, "4");
    check_problems(&w, (rung_filter){.generator = "nobody"}, "");
    check_problems(&w, (rung_filter){.set = "", .split = ""}, "0 1 2 3 4 5 6 7 8 9 10 11");
    check_problems(&w, (rung_filter){.set = "a' OR '1"}, ""); /* a value, never SQL */
    rung_store_close(w.s);
}

static void trace_filters(void **state) {
    (void)state;
    world w = make_world();
    check_traces(&w, (rung_filter){.set = "a", .split = "test"},
                 "2/1/0 2/1/1 4/1/0 4/1/1 4/2/0 6/1/0 6/1/1"); /* by problem, run, i */
    check_traces(&w, (rung_filter){.run = w.run2}, "4/2/0");
    /* limit counts problems that have such traces */
    check_traces(&w, (rung_filter){.limit = 1}, "2/1/0 2/1/1");
    check_traces(&w, (rung_filter){.run = w.run1, .limit = 1, .skip = 2}, "4/1/0 4/1/1");
    check_traces(&w, (rung_filter){.run = w.run2, .limit = 1, .skip = 1}, "");
    check_traces(&w, (rung_filter){.split = "train", .skip = 3}, "9/1/0 9/1/1");
    check_traces(&w, (rung_filter){.generator = "tiny", .problem = w.problem[9]}, "9/1/0 9/1/1");
    check_traces(&w, (rung_filter){.generator = "nobody"}, "");
    rung_iter *it = NULL;
    const rung_trace *t;
    fx_ok(rung_trace_iter(&it, w.s, &(rung_filter){.run = w.run2}, e));
    fx_ok(rung_trace_next(&t, it, e));
    check_traces(&w, (rung_filter){.trace = t->id}, "4/2/0");
    const rung_problem *p;
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_problem_next(&p, it, &err), RUNG_E_MISUSE);
    rung_iter_free(it);
    rung_store_close(w.s);
}

/* As the stages do: read a trace, write labels, rollouts, scores, even new traces. */
static void writing_while_iterating(void **state) {
    (void)state;
    world w = make_world();
    rung_iter *it = NULL, *inner = NULL;
    const rung_trace *t, *u;
    rung_error err = RUNG_ERROR_INIT;
    rung_model_row m = {.name = "m", .path = "", .hash = "h", .kind = "prm", .meta = ""};
    fx_ok(rung_model_put(w.s, &m, e));
    int n = 0;
    fx_ok(rung_trace_iter(&it, w.s, NULL, e));
    rung_status st;
    while ((st = rung_trace_next(&t, it, &err)) == RUNG_OK) {
        char *copy = rung_strdup(t->text);
        int64_t id = t->id;
        if (n % 3 == 0) fx_ok(rung_store_begin(w.s, e));
        for (int k = 0; k < t->n_steps; k++) {
            rung_label l = {.run = w.run2,
                            .node = t->step[k].node,
                            .source = "mc",
                            .hard = -1,
                            .soft = 0.5,
                            .n = 2,
                            .c = 1};
            fx_ok(rung_label_put(w.s, &l, NULL, e));
            fx_ok(rung_score_put(w.s, t->step[k].node, m.id, 0.25, e));
        }
        fx_trace(w.s, w.run2, t->problem, 10 + n, 2, 0, NULL); /* not seen by this iterator */
        fx_ok(rung_trace_iter(&inner, w.s, &(rung_filter){.trace = id}, e));
        fx_ok(rung_trace_next(&u, inner, e));
        assert_string_equal(u->text, copy);
        rung_iter_free(inner);
        assert_string_equal(t->text, copy); /* still this iterator's row */
        assert_int_equal(t->id, id);
        if (n % 3 == 0) fx_ok(rung_store_commit(w.s, e));
        rung_free(copy);
        n++;
    }
    assert_int_equal(st, RUNG_DONE);
    assert_int_equal(n, 17);
    rung_iter_free(it);
    fx_check_ok(w.s);
    rung_store_close(w.s);
}

/* No read transaction stays open: a checkpoint in the middle of an iteration empties the WAL. */
static void iterators_do_not_hold_the_wal(void **state) {
    (void)state;
    world w = make_world();
    rung_iter *it = NULL;
    const rung_trace *t;
    fx_ok(rung_trace_iter(&it, w.s, NULL, e));
    fx_ok(rung_trace_next(&t, it, e));
    rung_store *other = fx_open(fx_db, 0);
    fx_problem(other, "c", "test", 1);
    sqlite3 *db = rung_store_sqlite(other);
    int n_log = -1, n_done = -1;
    assert_int_equal(
        sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, &n_log, &n_done),
        SQLITE_OK);
    assert_int_equal(n_log, 0);
    rung_store_close(other);
    fx_ok(rung_trace_next(&t, it, e));
    rung_iter_free(it);
    rung_store_close(w.s);
}

static void empty_store(void **state) {
    (void)state;
    world w = {.s = fx_open(fx_db, RUNG_STORE_CREATE)};
    check_problems(&w, (rung_filter){0}, "");
    check_traces(&w, (rung_filter){.limit = 5}, "");
    rung_store_close(w.s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(problem_filters, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(trace_filters, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(writing_while_iterating, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(iterators_do_not_hold_the_wal, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(empty_store, fx_setup, fx_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
