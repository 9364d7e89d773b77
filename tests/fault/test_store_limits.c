/* The disk is full, memory is gone: an error with the right code, and a store that is whole. */
#include "unit/store/store_fixture.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* --- a full disk -------------------------------------------------------------------------------
 */

/* Puts until the size limit; one exit code per outcome. */
static int write_until_full(bool in_batch) {
    rung_error err = RUNG_ERROR_INIT;
    rung_store *s = NULL;
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit lim = {1024 * 1024, 1024 * 1024};
    if (setrlimit(RLIMIT_FSIZE, &lim) != 0) return 20;
    if (rung_store_open(&s, fx_db, 0, &err) != RUNG_OK) return 21;
    rung_run run = {.kind = "fill", .config = "{}"};
    if (rung_run_begin(s, &run, &err) != RUNG_OK) return 22;
    static char big[20000];
    memset(big, 'x', sizeof big);
    if (in_batch && rung_store_begin(s, &err) != RUNG_OK) return 23;
    rung_status st = RUNG_OK;
    int i = 0;
    /* A batch is held in memory at first; the cache of 32 MiB is smaller than these puts. */
    for (; i < 4000 && st == RUNG_OK; i++) {
        rung_problem p = {.set = "a", .split = "", .key = "1"};
        rung_step step = {.byte_end = (int32_t)sizeof big};
        snprintf(big, sizeof big, "%06d", i);
        big[6] = 'x';
        rung_trace t = {.run = run.id,
                        .i = i,
                        .text = big,
                        .n_bytes = (int32_t)sizeof big,
                        .n_steps = 1,
                        .first_error = -1};
        st = rung_problem_put(s, &p, NULL, &err);
        t.problem = p.id;
        if (st == RUNG_OK) st = rung_trace_put(s, &t, &step, NULL, &err);
    }
    if (st != RUNG_E_FULL || !strstr(err.what, "disk full") || !err.hint[0]) {
        print_error("%d %s (%s)\n", (int)st, err.what, err.detail);
        return 24;
    }
    if (in_batch) {
        rung_problem p = {.set = "a", .split = "", .key = "after"};
        rung_status late = rung_problem_put(s, &p, NULL, &err); /* never half a batch */
        rung_status done = rung_store_commit(s, &err);
        if (late == RUNG_OK && done == RUNG_OK) return 25;
    }
    rung_store_close(s);
    return i > 5 ? 0 : 26;
}

static void check_full(bool in_batch) {
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    fx_problem(s, "kept", "test", 1);
    rung_store_close(s);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) _exit(write_until_full(in_batch));
    int status = -1;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    s = fx_open(fx_db, 0);
    fx_check_ok(s);
    rung_iter *it = NULL;
    const rung_trace *t;
    int n = 0;
    rung_error err = RUNG_ERROR_INIT;
    fx_ok(rung_trace_iter(&it, s, NULL, e));
    for (; rung_trace_next(&t, it, &err) == RUNG_OK; n++) assert_int_equal(t->n_bytes, 20000);
    rung_iter_free(it);
    if (in_batch) {
        assert_int_equal(n, 0); /* all or nothing */
    } else {
        assert_true(n > 3);
    }
    const rung_problem *p;
    fx_ok(rung_problem_iter(&it, s, &(rung_filter){.set = "kept"}, e));
    fx_ok(rung_problem_next(&p, it, e));
    rung_iter_free(it);
    fx_trace(s, fx_run(s, "fill"), fx_problem(s, "a", "", 7), 0, 3, 1,
             NULL); /* with room it goes on */
    rung_store_close(s);
}

static void full_disk_put_by_put(void **state) {
    (void)state;
    check_full(false);
}

static void full_disk_in_a_batch(void **state) {
    (void)state;
    check_full(true);
}

/* --- no memory ---------------------------------------------------------------------------------
 */

/* SQLite's memory passes through rung_alloc too, each block with its size in front. */
static void *m_malloc(int n) {
    int64_t *p = rung_alloc((size_t)n + 16);
    if (p) *p = n;
    return p ? p + 2 : NULL;
}
static void m_free(void *p) {
    if (p) rung_free((int64_t *)p - 2);
}
static void *m_realloc(void *p, int n) {
    int64_t *q = rung_realloc((int64_t *)p - 2, (size_t)n + 16);
    if (q) *q = n;
    return q ? q + 2 : NULL;
}
static int m_size(void *p) {
    return p ? (int)((int64_t *)p)[-2] : 0;
}
static int m_roundup(int n) {
    return (n + 7) & ~7;
}
static int m_init(void *ud) {
    (void)ud;
    return SQLITE_OK;
}
static void m_shutdown(void *ud) {
    (void)ud;
}

/* Open, put one of everything, iterate, close. */
static rung_status use_store(rung_error *err) {
    rung_store *s = NULL;
    rung_iter *it = NULL;
    rung_arena *a = NULL;
    rung_status st = rung_store_open(&s, fx_db, RUNG_STORE_CREATE, err);
    if (st != RUNG_OK) return st;
    rung_run run = {.name = "n", .kind = "k", .config = "{}"};
    RUNG_GOTO(rung_run_begin(s, &run, err));
    rung_problem p = {.set = "a", .split = "", .key = "1"};
    RUNG_GOTO(rung_problem_put(s, &p, NULL, err));
    int32_t tok[2] = {1, 2};
    float lp[2] = {-1, -2};
    rung_step step[2] = {{.byte_end = 1, .tok_end = 1},
                         {.byte_begin = 1, .byte_end = 2, .tok_begin = 1, .tok_end = 2}};
    rung_trace t = {.run = run.id,
                    .problem = p.id,
                    .text = "ab",
                    .n_bytes = 2,
                    .tok = tok,
                    .logprob = lp,
                    .n_tok = 2,
                    .n_steps = 2,
                    .first_error = -1,
                    .answer = "4"};
    RUNG_GOTO(rung_trace_put(s, &t, step, NULL, err));
    rung_label l = {
        .run = run.id, .node = step[1].node, .source = "mc", .soft = 0.5, .n = 2, .c = 1};
    RUNG_GOTO(rung_label_put(s, &l, NULL, err));
    RUNG_GOTO(rung_trace_iter(&it, s, NULL, err));
    const rung_trace *row;
    RUNG_GOTO(rung_trace_next(&row, it, err));
    if (row->n_steps != 2 || strcmp(row->answer, "4") != 0 || row->tok[1] != 2) {
        st = rung_fail(err, RUNG_E_ANSWER_NO, "a row came back wrong");
        goto out;
    }
    if (!(a = rung_arena_new(0))) {
        st = RUNG_E_NOMEM;
        goto out;
    }
    RUNG_GOTO(rung_run_find(&run, a, s, "n", err));
out:
    rung_arena_free(a);
    rung_iter_free(it);
    rung_store_close(s);
    return st;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    int n = 1, n_failed = 0;
    for (;; n++) {
        rung_error err = RUNG_ERROR_INIT;
        rung_alloc_fail_after(n);
        rung_status st = use_store(&err);
        rung_alloc_fail_after(0);
        if (st == RUNG_OK && n_failed > 100) break;
        if (st != RUNG_OK) n_failed++;
        if (st != RUNG_OK && st != RUNG_E_NOMEM)
            fail_msg("allocation %d: %d %s (%s)", n, (int)st, err.what, err.detail);
        if (n % 50 == 0) { /* whole in between */
            rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
            fx_check_ok(s);
            rung_store_close(s);
        }
        assert_true(n < 20000);
    }
    print_message("%d allocations failed in turn\n", n_failed);
    rung_store *s = fx_open(fx_db, 0);
    fx_check_ok(s);
    rung_store_close(s);
}

int main(void) {
    static const sqlite3_mem_methods methods = {m_malloc,  m_free, m_realloc,  m_size,
                                                m_roundup, m_init, m_shutdown, NULL};
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK) return 1;
    if (sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) != SQLITE_OK) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(full_disk_put_by_put, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(full_disk_in_a_batch, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, fx_setup, fx_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
