/* The guard: what a query may do, what it may not, and that nothing it asks for takes the worker or
 * rung with it. Every hostile query runs in a real worker. */
#include "sql_fixture.h"
#include "verify/sql/frame.h"
#include "verify/sql/guard.h"
#include <sqlite3.h>
#include <sys/stat.h>

static void reads(void **state) {
    (void)state;
    rung_sql *s = sql_new(NULL);
    rung_arena *a = rung_arena_new(0);
    rung_sql_result r = sql_run(a, s, "SELECT name, people, area FROM city ORDER BY id;");
    assert_int_equal(r.outcome, RUNG_SQL_OK);
    assert_int_equal(r.n_rows, 4);
    assert_int_equal(r.n_cols, 3);
    assert_string_equal(r.col[1], "people");
    assert_string_equal(r.cell[0].s, "Oslo");
    assert_int_equal(r.cell[1].i, 700);
    assert_int_equal(r.cell[2].type, RUNG_SQL_REAL);
    assert_true(r.cell[2].d > 1.49 && r.cell[2].d < 1.51);
    static const struct {
        const char *sql, *want;
    } t[] = {
        {"SELECT count(*) AS n FROM person", "n\n5\n"},
        {"SELECT NULL, x'00ff', 2.0, 'a\nb'",
         "NULL | x'00ff' | 2.0 | 'a\\nb'\nNULL | x'00ff' | 2.0 | a\\nb\n"},
        {"SELECT name FROM city WHERE 0", "name\n(no rows)\n"},
        {"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<4) SELECT sum(x) s "
         "FROM c",
         "s\n10\n"},
        {"PRAGMA table_info(city)",
         "cid | name | type | notnull | dflt_value | pk\n0 | id | INTEGER | 0 | NULL | 1\n"
         "1 | name | TEXT | 0 | NULL | 0\n2 | people | INT | 0 | NULL | 0\n"
         "3 | area | REAL | 0 | NULL | 0\n"},
        {"SELECT name FROM sqlite_master WHERE type='table'", "name\ncity\nperson\n"},
        {"SELECT name FROM pragma_table_info('person')", "name\nid\nname\nage\ncity_id\n"},
        {"SELECT json_extract('{\"a\":3}','$.a') AS j", "j\n3\n"},
        {"SELECT value FROM json_each('[3,4]')", "value\n3\n4\n"},
        {"SELECT rank() OVER (ORDER BY people) AS r FROM city", "r\n1\n1\n3\n4\n"},
        {"SELECT nope FROM city", "error: no such column: nope\n"},
        {"SELECT \"Oslo\" AS x", "x\nOslo\n"}, /* SQLite's reading, as Spider's gold needs it */
        {"SELEC 1", "error: near \"SELEC\": syntax error\n"},
        {"", "error: there is no statement\n"},
        {" -- nothing\n", "error: there is no statement\n"},
        {"EXPLAIN QUERY PLAN SELECT 1 FROM city", NULL},
        {"SELECT datetime('now') AS n", "n\n2024-01-01 12:00:00\n"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rung_buf b;
        rung_buf_init(&b, 0);
        r = sql_run(a, s, t[i].sql);
        rung_sql_render(&b, &r, 0);
        if (t[i].want && strcmp(b.data, t[i].want) != 0)
            fail_msg("%s\ngave: %s\nwant: %s", t[i].sql, b.data, t[i].want);
        if (!t[i].want) assert_int_equal(r.outcome, RUNG_SQL_OK);
        rung_buf_clear(&b);
    }
    rung_arena_free(a);
    rung_sql_free(s);
}

static void denied(void **state) {
    (void)state;
    static const struct {
        const char *sql;
        rung_sql_outcome want;
    } t[] = {
        {"INSERT INTO city VALUES(9,'X',1,1)", RUNG_SQL_NO_QUERY},
        {"UPDATE city SET people=0", RUNG_SQL_NO_QUERY},
        {"DELETE FROM city", RUNG_SQL_NO_QUERY},
        {"REPLACE INTO city VALUES(1,'X',1,1)", RUNG_SQL_NO_QUERY},
        {"INSERT INTO city VALUES(9,'X',1,1) RETURNING id", RUNG_SQL_NO_QUERY},
        {"WITH x AS (SELECT 1) DELETE FROM city", RUNG_SQL_NO_QUERY},
        {"DROP TABLE city", RUNG_SQL_NO_QUERY},
        {"CREATE TABLE t(a)", RUNG_SQL_NO_QUERY},
        {"CREATE TEMP TABLE t AS SELECT 1", RUNG_SQL_NO_QUERY},
        {"CREATE VIEW v AS SELECT 1", RUNG_SQL_NO_QUERY},
        {"CREATE TRIGGER t AFTER INSERT ON city BEGIN SELECT 1; END", RUNG_SQL_NO_QUERY},
        {"CREATE VIRTUAL TABLE t USING fts5(a)", RUNG_SQL_NO_QUERY},
        {"ALTER TABLE city ADD COLUMN z", RUNG_SQL_NO_QUERY},
        {"ATTACH DATABASE '/etc/passwd' AS p", RUNG_SQL_NO_QUERY},
        {"ATTACH DATABASE ':memory:' AS m", RUNG_SQL_NO_QUERY},
        {"DETACH DATABASE main", RUNG_SQL_NO_QUERY},
        {"VACUUM INTO '/tmp/rung-stolen.db'", RUNG_SQL_NO_QUERY},
        {"BEGIN IMMEDIATE", RUNG_SQL_NO_QUERY},
        {"SAVEPOINT x", RUNG_SQL_NO_QUERY},
        {"REINDEX", RUNG_SQL_NO_QUERY},
        {"ANALYZE", RUNG_SQL_NO_QUERY},
        {"PRAGMA query_only=0", RUNG_SQL_NO_QUERY},
        {"PRAGMA writable_schema=ON", RUNG_SQL_NO_QUERY},
        {"PRAGMA journal_mode=WAL", RUNG_SQL_NO_QUERY},
        {"PRAGMA temp_store_directory='/tmp'", RUNG_SQL_NO_QUERY},
        {"PRAGMA database_list", RUNG_SQL_NO_QUERY},
        {"PRAGMA hard_heap_limit=1", RUNG_SQL_NO_QUERY},
        {"PRAGMA user_version=7", RUNG_SQL_NO_QUERY},
        {"SELECT 1; SELECT 2", RUNG_SQL_NO_QUERY},
        {"SELECT 1; DROP TABLE city", RUNG_SQL_NO_QUERY},
        {"SELECT load_extension('/lib/x86_64-linux-gnu/libm.so.6')", RUNG_SQL_DENIED},
        {"SELECT fts3_tokenizer('simple')", RUNG_SQL_DENIED},
        {"SELECT writefile('/tmp/rung-x','y')", RUNG_SQL_ERROR}, /* there is no such function */
        {"SELECT readfile('/etc/passwd')", RUNG_SQL_ERROR},
        {"SELECT sqlite_source_id()", RUNG_SQL_DENIED},
        {"SELECT * FROM dbstat", RUNG_SQL_DENIED},
        {"SELECT * FROM pragma_database_list", RUNG_SQL_DENIED},
        {"SELECT 1; -- and a comment", RUNG_SQL_OK},
        {"SELECT 1;; /* ; */", RUNG_SQL_OK},
    };
    rung_sql *s = sql_new(NULL);
    rung_arena *a = rung_arena_new(0);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rung_sql_result r = sql_run(a, s, t[i].sql);
        if (r.outcome != t[i].want)
            fail_msg("%s: %s (%s)", t[i].sql, rung_sql_outcome_text(r.outcome), r.error);
    }
    assert_int_equal(sql_run(a, s, "SELECT count(*) FROM city").cell[0].i, 4);
    assert_int_equal(rung_sql_count(s).n_workers, 1); /* none of them took the worker with it */
    assert_int_not_equal(access("/tmp/rung-stolen.db", F_OK), 0);
    rung_arena_free(a);
    rung_sql_free(s);
}

/* Work, rows, bytes and memory: each ends in its own outcome, and the next query runs. */
static void bombs(void **state) {
    (void)state;
    static const struct {
        const char *sql;
        rung_sql_outcome want;
    } t[] = {
        {"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c",
         RUNG_SQL_WORK},
        {"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x FROM c) SELECT x FROM c WHERE x>1",
         RUNG_SQL_WORK},
        {"WITH RECURSIVE c(x) AS (SELECT 'a' UNION ALL SELECT x||x FROM c) SELECT length(x) FROM c",
         RUNG_SQL_MEMORY},
        {"SELECT count(*) FROM person a, person b, person c, person d, person e, person f, person "
         "g, person h, person i, person j, person k",
         RUNG_SQL_WORK},
        {"SELECT hex(zeroblob(500000000))", RUNG_SQL_MEMORY},
        {"SELECT replace(hex(zeroblob(400000)), '0', hex(zeroblob(400000)))", RUNG_SQL_MEMORY},
        {"SELECT group_concat(hex(zeroblob(100000))) FROM person a, person b, person c",
         RUNG_SQL_MEMORY},
        {"SELECT randomblob(1000000000)", RUNG_SQL_MEMORY},
        {"WITH RECURSIVE c(x,s) AS (SELECT 1, hex(randomblob(200000)) UNION ALL SELECT x+1, "
         "hex(randomblob(200000)) FROM c WHERE x<5000) SELECT count(DISTINCT s) FROM c",
         RUNG_SQL_MEMORY},
    };
    rung_sql *s = sql_new(NULL);
    rung_arena *a = rung_arena_new(0);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rung_sql_result r = sql_run(a, s, t[i].sql);
        if (r.outcome != t[i].want)
            fail_msg("%s: %s (%s)", t[i].sql, rung_sql_outcome_text(r.outcome), r.error);
        assert_int_equal(sql_run(a, s, "SELECT count(*) FROM city").cell[0].i, 4);
    }
    assert_int_equal(rung_sql_count(s).n_workers, 1);
    rung_sql_result r = sql_run(
        a, s, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c");
    assert_int_equal(r.outcome, RUNG_SQL_OK);
    assert_true(r.truncated);
    assert_int_equal(r.n_rows, 10000);
    r = sql_run(a, s,
                "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT "
                "hex(zeroblob(400000)) FROM c");
    assert_true(r.truncated);
    assert_in_range(r.n_rows, 3, 6);
    /* deep and long text */
    rung_buf b;
    rung_buf_init(&b, 0);
    rung_buf_str(&b, "SELECT ");
    for (int i = 0; i < 20000; i++) rung_buf_str(&b, "(");
    assert_int_equal(sql_run(a, s, b.data).outcome, RUNG_SQL_ERROR);
    rung_buf_reset(&b);
    rung_buf_str(&b, "SELECT 1");
    for (int i = 0; i < 3000; i++) rung_buf_str(&b, "+1");
    assert_int_equal(sql_run(a, s, b.data).outcome, RUNG_SQL_ERROR);
    rung_buf_reset(&b);
    rung_buf_str(&b, "SELECT '");
    for (int i = 0; i < 200000; i++) rung_buf_str(&b, "x");
    rung_buf_str(&b, "'");
    assert_int_equal(sql_run(a, s, b.data).outcome, RUNG_SQL_ERROR);
    assert_int_equal(rung_sql_count(s).n_workers, 1);
    rung_buf_clear(&b);
    rung_arena_free(a);
    rung_sql_free(s);
}

/* The same query gives the same result: work is counted, the clock stands, random repeats. */
static void repeats(void **state) {
    (void)state;
    static const char *const t[] = {"SELECT random(), hex(randomblob(8)), datetime('now')",
                                    "SELECT count(*) FROM person a, person b, person c, person d"};
    for (size_t i = 0; i < 2; i++) {
        rung_arena *a = rung_arena_new(0);
        rung_sql *s = sql_new(NULL), *s2 = sql_new(NULL);
        rung_sql_result r = sql_run(a, s, t[i]);
        (void)sql_run(a, s2, "SELECT random()");
        rung_sql_result q = sql_run(a, s2, t[i]);
        assert_true(r.cell[0].i == q.cell[0].i);
        assert_int_equal(r.work, q.work);
        rung_sql_free(s);
        rung_sql_free(s2);
        rung_arena_free(a);
    }
    rung_arena *a = rung_arena_new(0);
    rung_sql_limits l = {.work = 40000};
    rung_sql *s = sql_new(&l);
    rung_sql_result r =
        sql_run(a, s,
                "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT "
                "count(*) FROM c");
    assert_int_equal(r.outcome, RUNG_SQL_WORK);
    assert_in_range(r.work, 40000, 42000);
    rung_sql_free(s);
    rung_arena_free(a);
}

/* A worker that is stopped: the query is unknown, the next one gets a new worker. */
static void a_killed_worker(void **state) {
    (void)state;
    rung_sql_limits l = {.work = (int64_t)1 << 60, .wall_s = 0.3};
    rung_sql *s = sql_new(&l);
    rung_arena *a = rung_arena_new(0);
    rung_sql_result r =
        sql_run(a, s,
                "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT "
                "count(*) FROM c");
    assert_int_equal(r.outcome, RUNG_SQL_STARVED);
    rung_sql_free(s);
    s = sql_new(NULL);
    assert_int_equal(sql_run(a, s, "SELECT count(*) FROM city").cell[0].i, 4);
    rung_sql_free(s);
    rung_arena_free(a);
}

static char dir[64];

static const char *make_file(const char *name, const char *script) {
    static char path[128];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, script, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    return path;
}

static rung_status open_as(rung_sql *s, const char *file, const char *script, rung_error *err) {
    rung_sql_db db = {file, script};
    rung_sql_result r;
    rung_arena *a = rung_arena_new(0);
    rung_status st = rung_sql_run(&r, a, s, &db, "SELECT count(*) FROM sqlite_master", err);
    rung_arena_free(a);
    return st;
}

static void files_and_scripts(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_sql *s = sql_new(NULL);
    const char *path = make_file("a b%?#.db", SCRIPT); /* a name that a URI must escape */
    assert_int_equal(open_as(s, path, NULL, &err), RUNG_OK);
    assert_int_equal(open_as(s, "/nonexistent.db", NULL, &err), RUNG_E_NOT_FOUND);
    char junk[128];
    snprintf(junk, sizeof junk, "%s/junk.db", dir);
    assert_int_equal(rung_file_write(junk, "this is no database at all, but long", 36, &err), 0);
    assert_int_equal(open_as(s, junk, NULL, &err), RUNG_E_FORMAT);
    assert_non_null(strstr(err.what, "not a database"));
    assert_int_equal(open_as(s, NULL, "CREATE TABLE t(", &err), RUNG_E_FORMAT);
    assert_int_equal(open_as(s, NULL, "ATTACH '/tmp/x' AS y", &err), RUNG_E_FORMAT);
    assert_int_equal(open_as(s, NULL, "CREATE TABLE t(a); VACUUM INTO '/tmp/rung-v.db'", &err),
                     RUNG_E_FORMAT);
    assert_int_equal(
        open_as(s, NULL, "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; END", &err),
        RUNG_E_FORMAT);
    assert_int_equal(open_as(s, NULL,
                             "CREATE TABLE t(a); INSERT INTO t WITH RECURSIVE c(x) AS "
                             "(SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c",
                             &err),
                     RUNG_E_FORMAT);
    assert_int_equal(
        open_as(s, NULL, "BEGIN; CREATE TABLE t(a); INSERT INTO t VALUES(1); COMMIT;", &err),
        RUNG_OK);
    /* rows in a write-ahead log would not be seen */
    char wal[160];
    snprintf(wal, sizeof wal, "%s-wal", path);
    assert_int_equal(rung_file_write(wal, "x", 1, &err), RUNG_OK);
    assert_int_equal(open_as(s, path, NULL, &err), RUNG_E_FORMAT);
    unlink(wal);
    /* a file that changes gives new results */
    rung_sql_db db = {path, NULL};
    rung_arena *a = rung_arena_new(0);
    rung_sql_result r;
    assert_int_equal(rung_sql_run(&r, a, s, &db, "SELECT count(*) FROM city", &err), RUNG_OK);
    assert_int_equal(r.cell[0].i, 4);
    make_file("a b%?#.db", "DELETE FROM city WHERE id=4");
    assert_int_equal(rung_sql_run(&r, a, s, &db, "SELECT count(*) FROM city", &err), RUNG_OK);
    assert_int_equal(r.cell[0].i, 3);
    rung_arena_free(a);
    rung_sql_free(s);
}

/* A database file made by an enemy: functions and triggers in its schema do not run. */
static void hostile_file(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_sql *s = sql_new(NULL);
    const char *path = make_file(
        "evil.db", "CREATE TABLE t(a); INSERT INTO t VALUES(1);"
                   "CREATE VIEW v AS SELECT load_extension('/tmp/x.so') AS a FROM t;"
                   "CREATE VIEW big AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM "
                   "c) SELECT count(*) AS n FROM c;");
    rung_sql_db db = {path, NULL};
    rung_arena *a = rung_arena_new(0);
    rung_sql_result r;
    assert_int_equal(rung_sql_run(&r, a, s, &db, "SELECT * FROM v", &err), RUNG_OK);
    assert_int_not_equal(r.outcome, RUNG_SQL_OK);
    assert_int_equal(rung_sql_run(&r, a, s, &db, "SELECT n FROM big", &err), RUNG_OK);
    assert_int_equal(r.outcome, RUNG_SQL_WORK);
    /* bytes changed at random: an error or a result, the worker lives or is replaced */
    rung_buf b;
    rung_buf_init(&b, 0);
    assert_int_equal(rung_file_read(&b, make_file("good.db", SCRIPT), &err), RUNG_OK);
    uint32_t seed = 7;
    for (int i = 0; i < 60; i++) {
        char bad[128];
        char *copy = malloc(b.n);
        memcpy(copy, b.data, b.n);
        for (int k = 0; k < 1 + i % 8; k++) {
            seed = seed * 1664525u + 1013904223u;
            copy[(seed >> 8) % b.n] = (char)(seed >> 3);
        }
        snprintf(bad, sizeof bad, "%s/bad%d.db", dir, i);
        assert_int_equal(rung_file_write(bad, copy, b.n, &err), RUNG_OK);
        free(copy);
        rung_sql_db d = {bad, NULL};
        rung_status st = rung_sql_run(&r, a, s, &d, "SELECT * FROM city, person", &err);
        if (st != RUNG_OK) assert_int_equal(st, RUNG_E_FORMAT);
    }
    rung_buf_clear(&b);
    rung_arena_free(a);
    rung_sql_free(s);
}

/* A frame that no honest worker sends is refused, whatever its bytes. */
static void hostile_frames(void **state) {
    (void)state;
    rung_buf b;
    rung_sql_result r;
    char why[200];
    sql_guard *g = guard_open(NULL, SCRIPT, NULL, why);
    assert_non_null(g);
    rung_buf_init(&b, 0);
    guard_query(&b, g, "SELECT * FROM city", 18, NULL);
    rung_arena *a = rung_arena_new(0);
    assert_true(frame_read(&r, a, b.data, b.n));
    for (size_t n = 0; n < b.n; n++) assert_false(frame_read(&r, a, b.data, n));
    uint32_t seed = 1;
    for (int i = 0; i < 20000; i++) {
        char *copy = malloc(b.n);
        memcpy(copy, b.data, b.n);
        for (int k = 0; k < 3; k++) {
            seed = seed * 1664525u + 1013904223u;
            copy[(seed >> 8) % b.n] = (char)(seed >> 3);
        }
        rung_arena_reset(a);
        (void)frame_read(&r, a, copy, b.n);
        free(copy);
    }
    rung_arena_free(a);
    rung_buf_clear(&b);
    guard_close(g);
}

static int setup(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/rung-sql-XXXXXX");
    return mkdtemp(dir) ? 0 : 1;
}

static int teardown(void **state) {
    (void)state;
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
    return system(cmd);
}

int main(void) {
    const struct CMUnitTest t[] = {
        cmocka_unit_test(reads),           cmocka_unit_test(denied),
        cmocka_unit_test(bombs),           cmocka_unit_test(repeats),
        cmocka_unit_test(a_killed_worker), cmocka_unit_test(files_and_scripts),
        cmocka_unit_test(hostile_file),    cmocka_unit_test(hostile_frames),
    };
    return cmocka_run_group_tests(t, setup, teardown);
}
