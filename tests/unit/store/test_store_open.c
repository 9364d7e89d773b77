/* What is not a store, is damaged, old, new, read-only: each said clearly, nothing harmed. */
#include "store/store_impl.h"
#include "store_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char *in_folder(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", fx_folder, name);
    return path;
}

static void expect_refused(const char *path, int flags, rung_status want, const char *part) {
    rung_error err = RUNG_ERROR_INIT;
    rung_store *s = (void *)1;
    rung_status st = rung_store_open(&s, path, flags, &err);
    if (st != want || !strstr(err.what, part) || !err.hint[0])
        fail_msg("%s: %d \"%s\" hint \"%s\"", path, (int)st, err.what, err.hint);
    assert_null(s);
}

static void not_stores(void **state) {
    (void)state;
    expect_refused(in_folder("none.db"), 0, RUNG_E_NOT_FOUND, "none.db");
    expect_refused(fx_folder, RUNG_STORE_CREATE, RUNG_E_STORE, "it is a folder");
    expect_refused(in_folder("no/such.db"), RUNG_STORE_CREATE, RUNG_E_STORE, "no/such.db");
    const char *path = in_folder("text");
    fx_ok(rung_file_write(path, "hello, this is a text file\n", 27, e));
    expect_refused(path, RUNG_STORE_CREATE, RUNG_E_STORE, "it is not a SQLite file");
    rung_buf b;
    rung_buf_init(&b, 100);
    fx_ok(rung_file_read(&b, path, e));
    assert_string_equal(b.data, "hello, this is a text file\n"); /* untouched */
    rung_buf_clear(&b);
    path = in_folder("empty");
    fx_ok(rung_file_write(path, "", 0, e));
    expect_refused(path, 0, RUNG_E_STORE, "it is empty");
    rung_store_close(fx_open(path, RUNG_STORE_CREATE)); /* a new store may fill it */
    path = in_folder("foreign.db");
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "CREATE TABLE t(x); INSERT INTO t VALUES(1)", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    expect_refused(path, RUNG_STORE_CREATE, RUNG_E_STORE, "another program's SQLite file");
    /* the header of SQLite, then rubbish */
    char junk[8192];
    memset(junk, 'j', sizeof junk);
    memcpy(junk, "SQLite format 3", 16);
    path = in_folder("junk.db");
    fx_ok(rung_file_write(path, junk, sizeof junk, e));
    expect_refused(path, RUNG_STORE_CREATE, RUNG_E_STORE, "junk.db");
}

static void newer_schema(void **state) {
    (void)state;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    assert_int_equal(sqlite3_exec(rung_store_sqlite(s), "PRAGMA user_version=99", NULL, NULL, NULL),
                     SQLITE_OK);
    rung_store_close(s);
    expect_refused(fx_db, 0, RUNG_E_STORE, "has schema version 99");
}

static int64_t pragma(rung_store *s, const char *sql) {
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_prepare_v2(s->db, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t v = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return v;
}

static void settings(void **state) {
    (void)state;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    assert_int_equal(pragma(s, "PRAGMA foreign_keys"), 1);
    assert_int_equal(pragma(s, "PRAGMA synchronous"), 1);
    assert_int_equal(pragma(s, "PRAGMA application_id"), STORE_APPLICATION_ID);
    assert_int_equal(pragma(s, "PRAGMA user_version"), store_n_migrations);
    assert_int_equal(pragma(s, "SELECT journal_mode='wal' FROM pragma_journal_mode"), 1);
    assert_int_equal(pragma(s, "PRAGMA busy_timeout"), 60000);
    rung_store_close(s);
}

/* The table of columns that export walks is the schema's own. */
static void table_list_matches_the_schema(void **state) {
    (void)state;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    assert_int_equal(pragma(s, "SELECT count(*) FROM sqlite_schema WHERE type='table' AND"
                               " name NOT LIKE 'sqlite_%'"),
                     (int64_t)store_n_tables);
    for (size_t t = 0; t < store_n_tables; t++) {
        char sql[160];
        sqlite3_stmt *st = NULL;
        snprintf(sql, sizeof sql, "SELECT name, type FROM pragma_table_info('%s') ORDER BY cid",
                 store_tables[t].name);
        assert_int_equal(sqlite3_prepare_v2(s->db, sql, -1, &st, NULL), SQLITE_OK);
        size_t i = 0;
        for (; sqlite3_step(st) == SQLITE_ROW; i++) {
            static const char *const types[] = {"INTEGER", "REAL", "TEXT", "BLOB"};
            assert_non_null(store_tables[t].col[i].name);
            assert_string_equal(sqlite3_column_text(st, 0), store_tables[t].col[i].name);
            assert_string_equal(sqlite3_column_text(st, 1), types[store_tables[t].col[i].kind]);
        }
        sqlite3_finalize(st);
        assert_null(store_tables[t].col[i].name);
    }
    rung_store_close(s);
}

/* A store as version 1 left it, with a trace: opened by this version its rows are whole. */
static void schema_1_is_taken_over(void **state) {
    (void)state;
    const float lp[2] = {-0.5f, -1.0f}, drawn[2] = {-0.25f, -0.125f};
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    int64_t run = fx_run(s, "trace.sample"), p = fx_problem(s, "a", "test", 1);
    fx_trace(s, run, p, 0, 1, 1, NULL);
    assert_int_equal(sqlite3_exec(rung_store_sqlite(s),
                                  "ALTER TABLE trace DROP COLUMN logprob_draw;"
                                  "DROP TABLE search_event; DROP TABLE search; DROP TABLE verdict;"
                                  "ALTER TABLE rollout DROP COLUMN verifier;"
                                  "ALTER TABLE rollout DROP COLUMN decided_by;"
                                  "ALTER TABLE rollout DROP COLUMN us;"
                                  "ALTER TABLE rollout DROP COLUMN at_ms;"
                                  "PRAGMA user_version=1",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    rung_store_close(s);
    s = fx_open(fx_db, RUNG_STORE_CREATE);
    assert_int_equal(pragma(s, "PRAGMA user_version"), store_n_migrations);
    int32_t tok[2] = {1, 2};
    rung_step step = {.byte_end = 2, .tok_end = 2};
    rung_trace t = {.run = run,
                    .problem = p,
                    .i = 1,
                    .text = "ab",
                    .n_bytes = 2,
                    .tok = tok,
                    .logprob = lp,
                    .logprob_draw = drawn,
                    .n_tok = 2,
                    .n_steps = 1,
                    .first_error = -1};
    fx_ok(rung_trace_put(s, &t, &step, NULL, e));
    rung_iter *it = NULL;
    const rung_trace *r = NULL;
    fx_ok(rung_trace_iter(&it, s, NULL, e));
    fx_ok(rung_trace_next(&r, it, e));
    assert_int_equal(r->n_tok, 2);
    assert_null(r->logprob_draw);
    fx_ok(rung_trace_next(&r, it, e));
    assert_memory_equal(r->logprob_draw, drawn, sizeof drawn);
    rung_iter_free(it);
    fx_check_ok(s);
    rung_store_close(s);
}

static void migrations(void **state) {
    (void)state;
    enum { MAX = 16 };
    const char *steps[MAX];
    const int n = store_n_migrations; /* what this build writes, then two made-up ones */
    assert_true(n + 2 <= MAX);
    memcpy(steps, store_migrations, sizeof *steps * (size_t)n);
    rung_error err = RUNG_ERROR_INIT;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    int64_t p = fx_problem(s, "a", "test", 1);
    /* a step that fails in its middle leaves the version before whole */
    steps[n] = "ALTER TABLE problem ADD COLUMN level INTEGER; CREATE TABLE problem(x)";
    assert_int_equal(rung_store_begin(s, &err), RUNG_OK);
    rung_store_rollback(s);
    assert_int_equal(store_migrate(s, steps, n + 1, &err), RUNG_E_STORE);
    assert_int_equal(pragma(s, "PRAGMA user_version"), n);
    assert_int_equal(
        pragma(s, "SELECT count(*) FROM pragma_table_info('problem') WHERE name='level'"), 0);
    /* two steps in one go */
    steps[n] = "ALTER TABLE problem ADD COLUMN level INTEGER NOT NULL DEFAULT 7";
    steps[n + 1] = "UPDATE problem SET level=level*2";
    fx_ok(store_migrate(s, steps, n + 2, e));
    assert_int_equal(pragma(s, "PRAGMA user_version"), n + 2);
    assert_int_equal(pragma(s, "SELECT level FROM problem"), 14);
    fx_ok(store_migrate(s, steps, n + 2, e)); /* and once only */
    assert_int_equal(pragma(s, "SELECT level FROM problem"), 14);
    rung_arena *a = rung_arena_new(0);
    rung_problem q;
    fx_ok(rung_problem_get(s, &q, a, p, e));
    rung_arena_free(a);
    rung_store_close(s);
    char newer[48];
    snprintf(newer, sizeof newer, "has schema version %d", n + 2);
    expect_refused(fx_db, 0, RUNG_E_STORE, newer);
}

static void read_only_handle(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    int64_t p = fx_problem(s, "a", "test", 1);
    rung_store_close(s);
    s = fx_open(fx_db, RUNG_STORE_READ_ONLY);
    rung_arena *a = rung_arena_new(0);
    rung_problem q;
    fx_ok(rung_problem_get(s, &q, a, p, e));
    assert_int_equal(rung_store_begin(s, &err), RUNG_E_STORE);
    assert_int_equal(rung_metric_put(s, 1, 1, "m", 1.0, &err), RUNG_E_STORE);
    assert_non_null(strstr(err.what, "read-only"));
    assert_true(err.hint[0]);
    fx_check_ok(s);
    char *text = fx_export(s);
    rung_free(text);
    rung_arena_free(a);
    rung_store_close(s);
    expect_refused(in_folder("none.db"), RUNG_STORE_READ_ONLY | RUNG_STORE_CREATE, RUNG_E_NOT_FOUND,
                   "none");
}

/* As an ordinary user (root may write anything): a read-only file, and a read-only folder. */
static void read_only_file(void **state) {
    (void)state;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    fx_problem(s, "a", "test", 1);
    rung_store_close(s);
    assert_int_equal(chmod(fx_db, 0444), 0);
    assert_int_equal(chmod(fx_folder, 0555), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (getuid() == 0 && setuid(65534) != 0) _exit(99);
        rung_error err = RUNG_ERROR_INIT;
        rung_store *t = NULL;
        if (rung_store_open(&t, fx_db, 0, &err) != RUNG_E_STORE) _exit(1);
        if (!strstr(err.what, "read-only") || !err.hint[0]) _exit(2);
        if (rung_store_open(&t, fx_db, RUNG_STORE_READ_ONLY, &err) != RUNG_OK) {
            print_error("%s (%s)\n", err.what, err.detail);
            _exit(3);
        }
        rung_iter *it = NULL;
        const rung_problem *p;
        if (rung_problem_iter(&it, t, NULL, &err) != RUNG_OK) _exit(4);
        if (rung_problem_next(&p, it, &err) != RUNG_OK) _exit(5);
        rung_iter_free(it);
        rung_store_close(t);
        _exit(0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    chmod(fx_folder, 0755);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void damage_page(const char *path, long page, long offset, size_t n) {
    int fd = open(path, O_RDWR);
    char junk[512];
    memset(junk, 0xA5, sizeof junk);
    assert_true(pwrite(fd, junk, n, (page - 1) * 4096 + offset) == (ssize_t)n);
    close(fd);
}

static void damaged_pages_are_found(void **state) {
    (void)state;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    int64_t run = fx_run(s, "one");
    fx_ok(rung_store_begin(s, e));
    for (int k = 0; k < 100; k++) fx_trace(s, run, fx_problem(s, "a", "test", k), 0, 8, 2, NULL);
    fx_ok(rung_store_commit(s, e));
    int64_t root = pragma(s, "SELECT rootpage FROM sqlite_schema WHERE name='trace'");
    rung_store_close(s);
    damage_page(fx_db, root, 0, 100);
    rung_error err = RUNG_ERROR_INIT;
    s = fx_open(fx_db, 0);
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_status st = rung_trace_iter(&it, s, NULL, &err);
    if (st == RUNG_OK) st = rung_trace_next(&t, it, &err);
    assert_int_equal(st, RUNG_E_STORE);
    rung_iter_free(it);
    assert_non_null(strstr(err.what, "damaged"));
    assert_non_null(strstr(err.hint, "rung store check"));
    rung_buf b;
    rung_buf_init(&b, 0);
    assert_int_equal(rung_store_check(&b, s, &err), RUNG_E_STORE);
    assert_non_null(strstr(b.data, "\"ok\":false"));
    assert_non_null(strstr(err.what, "is damaged"));
    rung_buf_reset(&b);
    assert_int_equal(rung_store_check(&b, s, NULL), RUNG_E_STORE);
    rung_buf_clear(&b);
    rung_store_close(s);
}

/* Every row check of `store check` can fail. */
static void wrong_rows_are_found(void **state) {
    (void)state;
    static const struct {
        const char *sql, *finding;
        bool is_damage;
    } wrong[] = {
        {"INSERT INTO label VALUES(9, 1, 999, 'mc', '', 1, 1, 1, 1, 0)",
         "\"labels_without_node\":1", true},
        {"INSERT INTO rollout VALUES(9, 1, 999, 0, '', '', '', '', '', 0, 0, 0, NULL, NULL, NULL,"
         " NULL)",
         "\"rollouts_without_node\":1", true},
        {"INSERT INTO score VALUES(999, 1, 0.5)", "\"scores_without_node\":1", true},
        {"INSERT INTO trace_step VALUES(999, 0, 1, 0, 1, 0, 1)", "\"steps_without_trace\":1", true},
        {"UPDATE trace_step SET node=999 WHERE trace=1 AND k=2", "\"steps_without_node\":1", true},
        {"UPDATE node SET parent=999 WHERE id=2", "\"nodes_without_parent\":1", true},
        {"DELETE FROM trace_step WHERE trace=1 AND k=2", "\"traces_not_covered\":1", true},
        {"UPDATE trace_step SET byte_end=byte_end-1 WHERE trace=1 AND k=2",
         "\"traces_not_covered\":1", true},
        {"UPDATE trace_step SET tok_end=tok_end+1 WHERE trace=1 AND k=2",
         "\"traces_not_covered\":1", true},
        {"UPDATE trace_step SET byte_begin=byte_begin-1 WHERE trace=1 AND k=1;"
         "UPDATE trace_step SET byte_begin=byte_begin+1 WHERE trace=1 AND k=2",
         "\"steps_not_contiguous\":2", true},
        {"UPDATE node SET text='other' WHERE id=2", "\"steps_with_other_text\":1", true},
        {"UPDATE trace SET n_tok=5 WHERE id=1", "\"tokens_with_other_count\":1", true},
        {"INSERT INTO node VALUES(50, 1, NULL, 0, x'00', 'alone')", "\"nodes_unused\":1", false},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        fx_setup(NULL);
        rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
        fx_trace(s, fx_run(s, "one"), fx_problem(s, "a", "test", 1), 0, 3, 3, NULL);
        fx_check_ok(s);
        assert_int_equal(sqlite3_exec(s->db, "PRAGMA foreign_keys=OFF", NULL, NULL, NULL),
                         SQLITE_OK);
        char *why = NULL;
        if (sqlite3_exec(s->db, wrong[i].sql, NULL, NULL, &why) != SQLITE_OK) fail_msg("%s", why);
        rung_buf b;
        rung_buf_init(&b, 0);
        rung_error err = RUNG_ERROR_INIT;
        rung_status st = rung_store_check(&b, s, &err);
        if (st != (wrong[i].is_damage ? RUNG_E_STORE : RUNG_OK) ||
            !strstr(b.data, wrong[i].finding))
            fail_msg("case %zu: %d %s", i, (int)st, b.data);
        rung_buf_clear(&b);
        rung_store_close(s);
        fx_teardown(NULL);
    }
}

static void check_says_what_is_left(void **state) {
    (void)state;
    rung_store *s = fx_open(fx_db, RUNG_STORE_CREATE);
    fx_ok(rung_run_finish(s, fx_run(s, "done"), e));
    rung_run r = {.name = "pool", .kind = "trace.sample", .config = "{}"};
    fx_ok(rung_run_begin(s, &r, e));
    rung_buf b;
    rung_buf_init(&b, 0);
    fx_ok(rung_store_check(&b, s, e));
    assert_non_null(
        strstr(b.data, "\"unfinished\":[{\"run\":2,\"name\":\"pool\",\"kind\":\"trace.sample\"}]"));
    assert_non_null(strstr(b.data, "\"run\":2,\"model\":0,"));
    assert_non_null(strstr(b.data, "\"integrity\":[\"ok\"]"));
    rung_buf_clear(&b);
    rung_store_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(not_stores, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(newer_schema, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(settings, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(table_list_matches_the_schema, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(schema_1_is_taken_over, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(migrations, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(read_only_handle, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(read_only_file, fx_setup, fx_teardown),
        cmocka_unit_test_setup_teardown(damaged_pages_are_found, fx_setup, fx_teardown),
        cmocka_unit_test(wrong_rows_are_found),
        cmocka_unit_test_setup_teardown(check_says_what_is_left, fx_setup, fx_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
