/* Several processes on one store: writers wait for each other, readers read on. */
#include "unit/store/store_fixture.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

#define N_PUTS 500

static int64_t count(rung_store *s, const char *sql) {
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(rung_store_sqlite(s), sql, -1, &st, NULL) != SQLITE_OK) return -1;
    int64_t n = sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : -1;
    sqlite3_finalize(st);
    return n;
}

/* In a child: its own handle, N_PUTS traces of its own run; shares problems and nodes. */
static int writer(int who) {
    rung_error err = RUNG_ERROR_INIT;
    rung_store *s = NULL;
    if (rung_store_open(&s, fx_db, RUNG_STORE_CREATE, &err) != RUNG_OK) {
        print_error("%s\n", err.what);
        return 1;
    }
    char kind[16];
    snprintf(kind, sizeof kind, "w%d", who);
    rung_run run = {.kind = kind, .config = "{}", .name = kind};
    if (rung_run_begin(s, &run, &err) != RUNG_OK) return 2;
    for (int i = 0; i < N_PUTS; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i % 20);
        rung_problem p = {.set = "a", .split = "test", .key = key};
        if (rung_problem_put(s, &p, NULL, &err) != RUNG_OK) return 3;
        char text[64];
        rung_step step[2] = {{.byte_end = 5}, {.byte_begin = 5}};
        int n = snprintf(text, sizeof text, "first|%d", i);
        step[1].byte_end = n;
        rung_trace t = {.run = run.id,
                        .problem = p.id,
                        .i = i,
                        .text = text,
                        .n_bytes = n,
                        .n_steps = 2,
                        .first_error = -1};
        if (rung_trace_put(s, &t, step, NULL, &err) != RUNG_OK) {
            print_error("%s (%s)\n", err.what, err.detail);
            return 4;
        }
    }
    if (rung_run_finish(s, run.id, &err) != RUNG_OK) return 5;
    rung_store_close(s);
    return 0;
}

static pid_t start(int (*body)(int), int who) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) _exit(body(who));
    return pid;
}

static void expect_exit_0(pid_t pid) {
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Both also create the store: only one of them makes the schema. */
static void two_writers_wait(void **state) {
    (void)state;
    pid_t a = start(writer, 1), b = start(writer, 2);
    expect_exit_0(a);
    expect_exit_0(b);
    rung_store *s = fx_open(fx_db, 0);
    assert_int_equal(count(s, "SELECT count(*) FROM trace"), 2 * N_PUTS);
    assert_int_equal(count(s, "SELECT count(*) FROM problem"), 20);
    assert_int_equal(count(s, "SELECT count(*) FROM node"), 20 + N_PUTS); /* shared by both */
    fx_check_ok(s);
    rung_store_close(s);
}

/* Whole units only: never a trace without its steps. */
static int reader(int who) {
    (void)who;
    rung_error err = RUNG_ERROR_INIT;
    rung_store *s = NULL;
    if (rung_store_open(&s, fx_db, RUNG_STORE_READ_ONLY, &err) != RUNG_OK) return 1;
    int64_t last = 0;
    double end = rung_now() + 20.0;
    while (rung_now() < end) {
        rung_iter *it = NULL;
        const rung_trace *t;
        int64_t n = 0;
        if (rung_trace_iter(&it, s, NULL, &err) != RUNG_OK) return 2;
        rung_status st;
        while ((st = rung_trace_next(&t, it, &err)) == RUNG_OK) {
            if (t->n_steps != 2 || memcmp(t->text, "first", 5) != 0) return 3;
            n++;
        }
        if (st != RUNG_DONE) {
            print_error("%s\n", err.what);
            return 4;
        }
        rung_iter_free(it);
        if (n < last) return 5;
        last = n;
        if (count(s, "SELECT count(*) FROM trace t WHERE n_steps<>(SELECT count(*) FROM trace_step"
                     " WHERE trace=t.id)") != 0)
            return 6;
        if (n == N_PUTS) break;
    }
    rung_store_close(s);
    return last == N_PUTS ? 0 : 7;
}

static void readers_read_while_one_writes(void **state) {
    (void)state;
    rung_store_close(fx_open(fx_db, RUNG_STORE_CREATE));
    pid_t r1 = start(reader, 0), r2 = start(reader, 0), w = start(writer, 1);
    expect_exit_0(w);
    expect_exit_0(r1);
    expect_exit_0(r2);
}

static void a_writer_that_never_ends_gives_busy(void **state) {
    (void)state;
    rung_store *a = fx_open(fx_db, RUNG_STORE_CREATE), *b = fx_open(fx_db, 0);
    rung_error err = RUNG_ERROR_INIT;
    sqlite3_busy_timeout(rung_store_sqlite(b), 50);
    fx_ok(rung_store_begin(a, e));
    fx_problem(a, "a", "test", 1);
    rung_problem p = {.set = "b", .split = "", .key = "1"};
    assert_int_equal(rung_problem_put(b, &p, NULL, &err), RUNG_E_BUSY);
    assert_non_null(strstr(err.what, "another process is writing"));
    assert_true(err.hint[0]);
    rung_iter *it = NULL; /* reading goes on */
    fx_ok(rung_problem_iter(&it, b, NULL, e));
    rung_iter_free(it);
    fx_ok(rung_store_commit(a, e));
    fx_ok(rung_problem_put(b, &p, NULL, e));
    rung_store_close(a);
    rung_store_close(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(two_writers_wait, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(readers_read_while_one_writes, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(a_writer_that_never_ends_gives_busy, fx_setup, fx_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
