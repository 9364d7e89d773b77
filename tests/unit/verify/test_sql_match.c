/* Execution match, keys, sessions, the cache, extraction; exact-set match on Spider's own terms. */
#include "rung/verify.h"
#include "sql_fixture.h"
#include "verify/sql/sql_lex.h"
#include <pthread.h>

static rung_sql_check match(rung_sql *s, const char *gold, const char *answer, bool in_order) {
    rung_error err = RUNG_ERROR_INIT;
    rung_sql_check c;
    rung_sql_check_opts o = RUNG_SQL_CHECK_OPTS_INIT;
    o.columns_in_order = in_order;
    if (rung_sql_match(&c, s, &DB, gold, answer, &o, &err) != RUNG_OK) fail_msg("%s", err.what);
    return c;
}

static void execution(void **state) {
    (void)state;
    static const struct {
        const char *gold, *answer, *want, *rule; /* want: c w u */
    } t[] = {
        {"SELECT name FROM city", "SELECT name FROM city ORDER BY people", "c", "execution"},
        {"SELECT name FROM city", "SELECT name FROM city WHERE id<4", "w", "execution"},
        {"SELECT name FROM city WHERE id<3", "SELECT name FROM city WHERE id IN (1,3)", "w",
         "execution"},
        /* multisets, not sets */
        {"SELECT people FROM city", "SELECT DISTINCT people FROM city", "w", "execution"},
        {"SELECT people FROM city WHERE id>1", "SELECT 29 UNION ALL SELECT 290 UNION ALL SELECT 29",
         "c", "execution"},
        {"SELECT people FROM city WHERE id>1",
         "SELECT 29 UNION ALL SELECT 290 UNION ALL SELECT 290", "w", "execution"},
        /* columns in any order, but each with its rows */
        {"SELECT name, people FROM city", "SELECT people, name FROM city", "c", "execution"},
        {"SELECT id, people FROM city WHERE id<3", "SELECT 290, 1 UNION ALL SELECT 700, 2", "w",
         "execution"},
        {"SELECT name FROM city", "SELECT name, id FROM city", "w", "execution"},
        {"SELECT name, name FROM city", "SELECT name, id FROM city", "w", "execution"},
        /* order only where gold orders, and ties are free */
        {"SELECT name FROM city ORDER BY people DESC", "SELECT name FROM city ORDER BY people", "w",
         "order"},
        {"SELECT name FROM city ORDER BY people", "SELECT name FROM city ORDER BY people, name",
         "c", "execution"},
        {"SELECT name FROM city ORDER BY people",
         "SELECT name FROM city ORDER BY people, name DESC", "c", "execution"},
        {"SELECT name, people FROM city ORDER BY 2",
         "SELECT name, people FROM city ORDER BY people, id DESC", "c", "execution"},
        {"SELECT DISTINCT name FROM city ORDER BY people",
         "SELECT name FROM city ORDER BY people, id DESC", "u", ""},
        {"SELECT DISTINCT people FROM city ORDER BY people",
         "SELECT DISTINCT people FROM city ORDER BY people DESC", "w", "order"},
        {"SELECT name FROM city UNION SELECT name FROM person ORDER BY name",
         "SELECT name FROM person UNION SELECT name FROM city ORDER BY name DESC", "w", "order"},
        {"SELECT city_id, count(*) FROM person GROUP BY city_id ORDER BY count(*)",
         "SELECT city_id, count(*) AS n FROM person GROUP BY city_id ORDER BY n, city_id DESC", "c",
         "execution"},
        {"SELECT name FROM (SELECT * FROM city ORDER BY id)", "SELECT name FROM city ORDER BY name",
         "c", "execution"}, /* an inner order is none */
        /* a LIMIT that cuts through equal rows */
        {"SELECT name FROM city ORDER BY people LIMIT 1", "SELECT name FROM city WHERE id=4", "u",
         ""},
        {"SELECT name FROM city ORDER BY people LIMIT 1", "SELECT name FROM city WHERE people=29",
         "u", ""},
        {"SELECT name FROM city ORDER BY people DESC LIMIT 1", "SELECT name FROM city WHERE id=4",
         "w", "execution"},
        {"SELECT name FROM city ORDER BY people LIMIT 1 OFFSET 1",
         "SELECT name FROM city WHERE id=2", "u", ""},
        /* values */
        {"SELECT 1", "SELECT 1.0", "c", "execution"},
        {"SELECT 1", "SELECT '1'", "w", "execution"},
        {"SELECT 'a'", "SELECT 'A'", "w", "execution"},
        {"SELECT NULL", "SELECT NULL", "c", "execution"},
        {"SELECT NULL", "SELECT ''", "w", "execution"},
        {"SELECT NULL", "SELECT 0", "w", "execution"},
        {"SELECT 0.1+0.2", "SELECT 0.3", "c", "execution"},
        {"SELECT 1.0/3", "SELECT 0.333333", "w", "execution"},
        {"SELECT 1.0/3", "SELECT 1-2.0/3", "c", "execution"},
        {"SELECT 0.0", "SELECT -0.0", "c", "execution"},
        {"SELECT 3.0000000000000004", "SELECT 3", "c", "execution"},
        {"SELECT 9007199254740993", "SELECT 9007199254740992", "w", "execution"},
        {"SELECT x'41'", "SELECT 'A'", "w", "execution"},
        {"SELECT avg(area) FROM city", "SELECT sum(area)/count(*) FROM city", "c", "execution"},
        /* errors */
        {"SELECT name FROM city", "SELECT nam FROM city", "w", "error"},
        {"SELECT name FROM city", "SELECT name FROM", "w", "error"},
        {"SELECT name FROM city", "DELETE FROM city", "w", "not a query"},
        {"SELECT name FROM city", "SELECT name FROM city; SELECT 1", "w", "not a query"},
        {"SELECT name FROM city", "SELECT load_extension('x')", "u", ""},
        {"SELECT name FROM city",
         "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c",
         "u", ""},
        {"SELECT name FROM city",
         "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c", "w",
         "execution"}, /* over the cap, but more rows than gold */
        {"SELECT nam FROM city", "SELECT name FROM city", "u", ""},
        {"SELECT name FROM city", "", "u", ""},
        {"", "SELECT 1", "u", ""},
    };
    rung_sql *s = sql_new(NULL);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rung_sql_check c = match(s, t[i].gold, t[i].answer, false);
        char got = rung_verdict_name(c.verdict)[0];
        if (got != t[i].want[0] || strcmp(c.rule, t[i].rule) != 0)
            fail_msg("%s / %s: %s (%s) %s %s", t[i].gold, t[i].answer, rung_verdict_name(c.verdict),
                     c.rule, c.reason, c.detail);
        assert_int_equal(c.verdict == RUNG_VERDICT_UNKNOWN, c.reason[0] != '\0');
    }
    rung_sql_check c = match(s, "SELECT name FROM city WHERE id>9", "SELECT 1 WHERE 0", false);
    assert_int_equal(c.verdict, RUNG_VERDICT_CORRECT);
    assert_true(c.gold_empty);
    c = match(s, "SELECT name FROM city WHERE id>9", "SELECT 1", false);
    assert_int_equal(c.verdict, RUNG_VERDICT_WRONG);
    assert_true(c.gold_empty);
    c = match(s, "SELECT name, people FROM city", "SELECT people, name FROM city", true);
    assert_int_equal(c.verdict, RUNG_VERDICT_WRONG);
    rung_sql_free(s);
}

/* 20 columns of the same values: the search for an order of columns ends. */
static void many_columns(void **state) {
    (void)state;
    rung_sql *s = sql_new(NULL);
    rung_buf g, w;
    rung_buf_init(&g, 0), rung_buf_init(&w, 0);
    for (int row = 0; row < 2; row++) {
        rung_buf_str(&g, row ? " UNION ALL SELECT " : "SELECT ");
        rung_buf_str(&w, row ? " UNION ALL SELECT " : "SELECT ");
        for (int c = 0; c < 20; c++) {
            rung_buf_printf(&g, "%s%d", c ? "," : "", (c + row) % 2);
            rung_buf_printf(&w, "%s%d", c ? "," : "",
                            row ? (c == 3 || c == 5 ? c % 2 : c + 1) % 2 : c % 2);
        }
    }
    rung_sql_check c = match(s, g.data, w.data, false);
    assert_int_equal(c.verdict, RUNG_VERDICT_WRONG); /* other counts of columns: told at once */
    /* the same counts, but rows that no order of columns gives: 10!^2 orders, cut off */
    rung_buf_reset(&g), rung_buf_reset(&w);
    for (int row = 0; row < 3; row++) {
        rung_buf_str(&g, row ? " UNION ALL SELECT " : "SELECT ");
        rung_buf_str(&w, row ? " UNION ALL SELECT " : "SELECT ");
        for (int k = 0; k < 20; k++) {
            rung_buf_printf(&g, "%s%d", k ? "," : "", row == k % 3);
            rung_buf_printf(&w, "%s%d", k ? "," : "", row == (k == 19 ? 1 : k == 18 ? 0 : k % 3));
        }
    }
    rung_buf_str(&g, " UNION ALL SELECT 1"), rung_buf_str(&w, " UNION ALL SELECT 0");
    for (int k = 1; k < 20; k++) rung_buf_str(&g, ",0"), rung_buf_str(&w, k == 1 ? ",1" : ",0");
    c = match(s, g.data, w.data, false);
    assert_int_not_equal(c.verdict, RUNG_VERDICT_WRONG);
    rung_buf_clear(&g), rung_buf_clear(&w);
    rung_sql_free(s);
}

static void keys_and_cache(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_sql *s = sql_new(NULL);
    char a[128], b[128], c[128];
    assert_int_equal(rung_sql_key(a, s, &DB, "SELECT name FROM city", &err), RUNG_OK);
    assert_int_equal(rung_sql_key(b, s, &DB, "SELECT name FROM city ORDER BY people", &err), 0);
    assert_int_equal(rung_sql_key(c, s, &DB, "SELECT name FROM city WHERE id<4", &err), RUNG_OK);
    assert_string_equal(a, b);
    assert_string_not_equal(a, c);
    assert_int_equal(rung_sql_key(c, s, &DB, "SELECT nope", &err), RUNG_OK);
    assert_string_equal(c, "");
    rung_sql_counts n = rung_sql_count(s);
    rung_arena *m = rung_arena_new(0);
    /* blanks, comments, case of keywords: the same query */
    (void)sql_run(m, s, "select  name\nfrom city -- all\n;");
    (void)sql_run(m, s, "SELECT nope");
    rung_sql_counts n2 = rung_sql_count(s);
    assert_int_equal(n2.n_run, n.n_run);
    assert_int_equal(n2.n_cached, n.n_cached + 2);
    (void)sql_run(m, s, "select Name from city"); /* another name of the column */
    assert_int_equal(rung_sql_count(s).n_run, n.n_run + 1);
    rung_arena_free(m);
    rung_sql_free(s);
}

static void store_cache(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    char path[64] = "/tmp/rung-sqlc-XXXXXX";
    rung_store *st;
    rung_arena *m = rung_arena_new(0);
    close(mkstemp(path));
    unlink(path);
    assert_int_equal(rung_store_open(&st, path, RUNG_STORE_CREATE, &err), RUNG_OK);
    rung_sql_opts o = RUNG_SQL_OPTS_INIT;
    o.cache = st;
    for (int round = 0; round < 2; round++) {
        rung_sql *s;
        assert_int_equal(rung_sql_new(&s, &o, &err), RUNG_OK);
        rung_sql_result r = sql_run(m, s, "SELECT sum(people) FROM city");
        assert_int_equal(r.cell[0].i, 1048);
        assert_int_equal(rung_sql_count(s).n_workers, 1 - round); /* the second needs no worker */
        rung_sql_free(s);
    }
    /* other limits, other results */
    rung_sql *s;
    o.limits.rows = 2;
    assert_int_equal(rung_sql_new(&s, &o, &err), RUNG_OK);
    (void)sql_run(m, s, "SELECT sum(people) FROM city");
    assert_int_equal(rung_sql_count(s).n_run, 1);
    rung_sql_free(s);
    rung_store_close(st);
    unlink(path);
    rung_arena_free(m);
}

static void normal(void **state) {
    (void)state;
    static const struct {
        const char *in, *want;
    } t[] = {
        {"  select  a ,b\nfrom\tt ; ", "SELECT a ,b FROM t"},
        {"select 'a  b', \"c  d\", [e  f] -- x", "SELECT 'a  b', \"c  d\", [e  f]"},
        {"select 1 - -1", "SELECT 1 - -1"},
        {"select 1/*x*/+2", "SELECT 1 +2"},
        {"select x'41', 'it''s;'", "SELECT x'41', 'it''s;'"},
        {"select 'open", "SELECT 'open"},
        {"/* never closed", ""},
        {"select 1;;;", "SELECT 1"},
        {"select 1; select 2;", "SELECT 1; SELECT 2"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rung_buf b;
        rung_buf_init(&b, 0);
        rung_sql_normal(&b, t[i].in);
        assert_string_equal(b.data, t[i].want);
        rung_buf_clear(&b);
    }
}

static void sessions(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_sql *s = sql_new(NULL);
    rung_sql_session *a, *b;
    rung_buf o;
    rung_buf_init(&o, 0);
    assert_int_equal(rung_sql_session_new(&a, s, &DB, 4, 0, &err), RUNG_OK);
    assert_int_equal(rung_sql_session_new(&b, s, &DB, 0, 1, &err), RUNG_OK);
    static const char *const q[] = {"SELECT name FROM city", "select name  from city", "SELECT 1",
                                    "SELECT nope FROM city", "SELECT name FROM person"};
    for (int i = 0; i < 5; i++) assert_int_equal(rung_sql_session_query(&o, a, q[i], &err), 0);
    assert_string_equal(o.data, "name\nOslo\nBergen\nVik\n(3 of 4 rows)\n"
                                "name\nOslo\nBergen\nVik\n(3 of 4 rows)\n"
                                "1\n1\n"
                                "error: no such column: nope\n"
                                "limit reached: 4 queries\n");
    rung_sql_tally n = rung_sql_session_tally(a);
    assert_int_equal(n.n_issued, 4);
    assert_int_equal(n.n_ok, 3);
    assert_int_equal(n.n_distinct, 1); /* a repeat and SELECT 1 explore nothing */
    assert_int_equal(rung_sql_session_tally(b).n_issued, 0);
    rung_sql_db gone = {"/nonexistent.db", NULL};
    rung_sql_session *c;
    assert_int_equal(rung_sql_session_new(&c, s, &gone, 0, 0, &err), RUNG_E_NOT_FOUND);
    rung_sql_session_free(a);
    rung_sql_session_free(b);
    rung_buf_clear(&o);
    rung_sql_free(s);
}

static void extraction(void **state) {
    (void)state;
    const rung_verifier *v = rung_verifier_find("sql");
    assert_non_null(v);
    static const struct {
        const char *text, *want, *rule;
    } t[] = {
        {"<think>x</think><final_sql>SELECT 1;</final_sql>", "SELECT 1", "final_sql"},
        {"<final_sql>SELECT 1</final_sql> no: <final_sql> SELECT 2 </final_sql>", "SELECT 2",
         "final_sql"},
        {"Query:\n```sql\nSELECT a\nFROM t;\n```\nDone.", "SELECT a\nFROM t", "fence"},
        {"```\nselect 1\n```\n```\n1\n```", "select 1", "fence"},
        {"```python\nprint(1)\n```\nSELECT 3", "SELECT 3", "line"},
        {"SELECT 1 => 1\n#### SELECT count(*) FROM t\n", "SELECT count(*) FROM t", "marks"},
        {"We use\nSELECT a FROM t\nWHERE b = 1;\nwhich is right", "SELECT a FROM t\nWHERE b = 1",
         "line"},
        {"SELECT a;\n\nSELECT b", "SELECT b", "line"},
        {"WITH c AS (\n SELECT 1)\nSELECT * FROM c", "WITH c AS (\n SELECT 1)\nSELECT * FROM c",
         "line"},
        {"no query here", "", ""},
        {"", "", ""},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rung_answer a;
        v->extract(&a, t[i].text, strlen(t[i].text));
        assert_string_equal(a.text, t[i].want);
        assert_string_equal(a.rule, t[i].rule);
    }
    /* through the table, with the database in the meta */
    rung_buf meta;
    rung_buf_init(&meta, 0);
    rung_buf_str(&meta, "{\"db\":{\"script\":");
    rung_buf_json_str(&meta, SCRIPT, strlen(SCRIPT));
    rung_buf_str(&meta, "}}");
    rung_check c;
    char ka[128], kb[128];
    rung_verifier_check(&c, v, meta.data, "SELECT name FROM city", "SELECT name FROM city WHERE 1");
    assert_int_equal(c.verdict, RUNG_VERDICT_CORRECT);
    rung_verifier_key(ka, v, meta.data, "SELECT id FROM city");
    rung_verifier_key(kb, v, meta.data, "SELECT id FROM city ORDER BY -id");
    assert_string_equal(ka, kb);
    rung_verifier_check(&c, v, "{}", "SELECT 1", "SELECT 1");
    assert_int_equal(c.verdict, RUNG_VERDICT_UNKNOWN);
    assert_string_equal(c.reason, "no such database");
    rung_buf_clear(&meta);
}

/* Exact-set match. c: equal, w: not, u: not covered. The rules are evaluation.py's. */
static void exact_set(void **state) {
    (void)state;
    static const struct {
        const char *gold, *answer;
        char want;
        rung_sql_part part; /* one that differs, of the wrong ones */
    } t[] = {
        {"SELECT name FROM city", "select T1.name from city as T1", 'c', 0},
        {"SELECT name, people FROM city", "SELECT people, name FROM city", 'c', 0},
        {"SELECT name FROM city", "SELECT people FROM city", 'w', RUNG_SQL_PART_SELECT},
        {"SELECT max(people) FROM city", "SELECT min(people) FROM city", 'w', RUNG_SQL_PART_SELECT},
        {"SELECT name FROM city", "SELECT DISTINCT name FROM city", 'c', 0},
        {"SELECT count(name) FROM city", "SELECT count(DISTINCT name) FROM city", 'c', 0},
        /* values do not count, operators do */
        {"SELECT name FROM city WHERE people > 100", "SELECT name FROM city WHERE people > 5", 'c',
         0},
        {"SELECT name FROM city WHERE people > 100", "SELECT name FROM city WHERE people >= 100",
         'w', RUNG_SQL_PART_WHERE},
        {"SELECT name FROM city WHERE people > 1 AND id = 2",
         "SELECT name FROM city WHERE id = 7 AND people > 3", 'c', 0},
        {"SELECT name FROM city WHERE people > 1 AND id = 2",
         "SELECT name FROM city WHERE people > 1 OR id = 2", 'w', RUNG_SQL_PART_AND_OR},
        {"SELECT name FROM city WHERE name LIKE '%a%'", "SELECT name FROM city WHERE name = '%a%'",
         'w', RUNG_SQL_PART_KEYWORDS},
        {"SELECT name FROM city WHERE id BETWEEN 1 AND 2",
         "SELECT name FROM city WHERE id BETWEEN 3 AND 9", 'c', 0},
        {"SELECT name FROM city WHERE id IN (1,2)", "SELECT name FROM city WHERE id IN (3)", 'c',
         0},
        {"SELECT name FROM city WHERE id NOT IN (SELECT city_id FROM person)",
         "SELECT name FROM city WHERE id IN (SELECT city_id FROM person)", 'w',
         RUNG_SQL_PART_WHERE},
        {"SELECT name FROM person WHERE age IS NULL",
         "SELECT name FROM person WHERE age IS NOT NULL", 'w', RUNG_SQL_PART_WHERE},
        /* columns that a foreign key ties are one, where both tables are there */
        {"SELECT count(*) FROM person JOIN city ON person.city_id = city.id GROUP BY city.id",
         "SELECT count(*) FROM person JOIN city ON person.city_id = city.id GROUP BY "
         "person.city_id",
         'c', 0},
        {"SELECT T2.name FROM person AS T1 JOIN city AS T2 ON T1.city_id = T2.id WHERE T1.age > 3",
         "SELECT b.name FROM city AS b JOIN person AS a ON a.city_id = b.id WHERE a.age > 1", 'c',
         0},
        {"SELECT T2.name FROM person AS T1 JOIN city AS T2 ON T1.city_id = T2.id",
         "SELECT T1.name FROM person AS T1 JOIN city AS T2 ON T1.city_id = T2.id", 'w',
         RUNG_SQL_PART_SELECT},
        {"SELECT name FROM city",
         "SELECT city.name FROM city JOIN person ON city.id = "
         "person.city_id",
         'w', RUNG_SQL_PART_FROM},
        /* group, having, order, limit */
        {"SELECT city_id, count(*) FROM person GROUP BY city_id HAVING count(*) > 2",
         "SELECT city_id, count(*) FROM person GROUP BY city_id HAVING count(*) > 1", 'c', 0},
        {"SELECT city_id, count(*) FROM person GROUP BY city_id HAVING count(*) > 2",
         "SELECT city_id, count(*) FROM person GROUP BY city_id", 'w', RUNG_SQL_PART_GROUP},
        {"SELECT name FROM city ORDER BY people", "SELECT name FROM city ORDER BY people ASC", 'c',
         0},
        {"SELECT name FROM city ORDER BY people", "SELECT name FROM city ORDER BY people DESC", 'w',
         RUNG_SQL_PART_ORDER},
        {"SELECT name FROM city ORDER BY people LIMIT 1",
         "SELECT name FROM city ORDER BY people LIMIT 3", 'c', 0},
        {"SELECT name FROM city ORDER BY people LIMIT 1", "SELECT name FROM city ORDER BY people",
         'w', RUNG_SQL_PART_ORDER},
        {"SELECT city_id, count(*) FROM person GROUP BY city_id ORDER BY count(*) DESC",
         "SELECT city_id, count(*) AS n FROM person GROUP BY city_id ORDER BY n DESC", 'c', 0},
        {"SELECT people - area FROM city", "SELECT area - people FROM city", 'w',
         RUNG_SQL_PART_SELECT},
        /* set operations: their sides by parts again */
        {"SELECT name FROM city EXCEPT SELECT name FROM person",
         "SELECT name FROM city EXCEPT SELECT DISTINCT name FROM person", 'c', 0},
        {"SELECT name FROM city EXCEPT SELECT name FROM person",
         "SELECT name FROM city INTERSECT SELECT name FROM person", 'w', RUNG_SQL_PART_IUEN},
        {"SELECT name FROM city WHERE id=1 UNION SELECT name FROM city WHERE people>3 AND id<4",
         "SELECT name FROM city WHERE id=2 UNION SELECT name FROM city WHERE id<2 AND people>1",
         'c', 0},
        /* nested queries are compared as written */
        {"SELECT name FROM city WHERE people > (SELECT avg(people) FROM city)",
         "SELECT name FROM city WHERE people > (SELECT avg(people) FROM city)", 'c', 0},
        {"SELECT name FROM city WHERE people > (SELECT avg(people) FROM city)",
         "SELECT name FROM city WHERE people > (SELECT min(people) FROM city)", 'w',
         RUNG_SQL_PART_WHERE},
        {"SELECT name FROM city WHERE id IN (SELECT city_id FROM person WHERE age > 3)",
         "SELECT name FROM city WHERE id IN (SELECT city_id FROM person WHERE age > 9)", 'c', 0},
        {"SELECT count(*) FROM (SELECT name FROM city WHERE id = 1)",
         "SELECT count(*) FROM (SELECT name FROM city WHERE id = 2)", 'w', RUNG_SQL_PART_FROM},
        {"SELECT name FROM city WHERE name = 'Oslo'", "SELECT name FROM city WHERE name = \"x\"",
         'c', 0},
        /* beyond the grammar, or the database */
        {"SELECT name FROM city", "SELECT name FROM city LEFT JOIN person ON city.id = city_id",
         'u', 0},
        {"SELECT name FROM city", "SELECT name FROM city, person", 'u', 0},
        {"SELECT name FROM city", "SELECT CASE WHEN id THEN 1 END FROM city", 'u', 0},
        {"SELECT name FROM city", "SELECT upper(name) FROM city", 'u', 0},
        {"SELECT name FROM city", "SELECT name FROM city WHERE (id=1 OR id=2) AND people>1", 'u',
         0},
        {"SELECT name FROM city", "SELECT name FROM city UNION ALL SELECT name FROM city", 'u', 0},
        {"SELECT name FROM city", "SELECT nope FROM city", 'u', 0},
        {"SELECT name FROM city", "SELECT name FROM nowhere", 'u', 0},
        {"SELECT name FROM city", "SELECT", 'u', 0},
        {"SELECT name FROM city", "", 'u', 0},
        {"WITH c AS (SELECT 1) SELECT * FROM c", "SELECT name FROM city", 'u', 0},
    };
    rung_sql *s = sql_new(NULL);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rung_error err = RUNG_ERROR_INIT;
        rung_sql_exact e;
        assert_int_equal(rung_sql_exact_match(&e, s, &DB, t[i].gold, t[i].answer, &err), RUNG_OK);
        if (rung_verdict_name(e.verdict)[0] != t[i].want)
            fail_msg("%s / %s: %s: %s %s", t[i].gold, t[i].answer, rung_verdict_name(e.verdict),
                     e.reason, e.detail);
        if (t[i].want == 'w' && e.same[t[i].part])
            fail_msg("%s / %s: %s does not differ", t[i].gold, t[i].answer,
                     rung_sql_part_text(t[i].part));
        /* what is covered is equal to itself */
        if (t[i].want != 'u') {
            assert_int_equal(rung_sql_exact_match(&e, s, &DB, t[i].answer, t[i].answer, &err), 0);
            assert_int_equal(e.verdict, RUNG_VERDICT_CORRECT);
        }
    }
    rung_sql_free(s);
}

/* Any bytes are tokens and a verdict, and nested queries end. */
static void hostile_text(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_sql *s = sql_new(NULL);
    rung_buf b;
    rung_buf_init(&b, 0);
    for (int i = 0; i < 3000; i++) rung_buf_str(&b, "SELECT name FROM (");
    rung_sql_exact e;
    assert_int_equal(rung_sql_exact_match(&e, s, &DB, "SELECT name FROM city", b.data, &err), 0);
    assert_int_equal(e.verdict, RUNG_VERDICT_UNKNOWN);
    uint32_t seed = 3;
    static const char pool[] =
        "select from where ()',\"`[]*/;-- x.1=<>\x01\xff union order by limit";
    for (int i = 0; i < 400; i++) {
        char text[64];
        int n = i % 63;
        for (int k = 0; k < n; k++) {
            seed = seed * 1664525u + 1013904223u;
            text[k] = pool[(seed >> 9) % (sizeof pool - 1)];
        }
        text[n] = '\0';
        rung_sql_check c = match(s, "SELECT name FROM city ORDER BY people LIMIT 2", text, false);
        assert_int_not_equal(c.verdict, RUNG_VERDICT_CORRECT);
        c = match(s, text, "SELECT name FROM city", false);
        assert_int_not_equal(c.verdict, RUNG_VERDICT_CORRECT);
        assert_int_equal(rung_sql_exact_match(&e, s, &DB, text, text, &err), RUNG_OK);
    }
    assert_int_equal(rung_sql_count(s).n_workers, 1);
    rung_buf_clear(&b);
    rung_sql_free(s);
}

/* The row of the table from several threads: one set of workers, the same verdicts. */
static void *judge_many(void *ud) {
    const rung_verifier *v = rung_verifier_find("sql");
    rung_buf meta;
    int *bad = ud;
    rung_buf_init(&meta, 0);
    rung_buf_str(&meta, "{\"db\":{\"script\":");
    rung_buf_json_str(&meta, SCRIPT, strlen(SCRIPT));
    rung_buf_str(&meta, "}}");
    for (int i = 0; i < 40; i++) {
        char sql[64];
        rung_check c;
        snprintf(sql, sizeof sql, "SELECT name FROM city WHERE id <= %d", i % 7);
        rung_verifier_check(&c, v, meta.data, "SELECT name FROM city", sql);
        *bad += c.verdict != (i % 7 >= 4 ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG);
    }
    rung_buf_clear(&meta);
    return NULL;
}

static void threads(void **state) {
    (void)state;
    pthread_t t[4];
    int bad[4] = {0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, judge_many, &bad[i]), 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    for (int i = 0; i < 4; i++) assert_int_equal(bad[i], 0);
}

int main(void) {
    const struct CMUnitTest t[] = {
        cmocka_unit_test(execution),      cmocka_unit_test(many_columns),
        cmocka_unit_test(keys_and_cache), cmocka_unit_test(store_cache),
        cmocka_unit_test(normal),         cmocka_unit_test(sessions),
        cmocka_unit_test(extraction),     cmocka_unit_test(exact_set),
        cmocka_unit_test(hostile_text),   cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(t, NULL, NULL);
}
