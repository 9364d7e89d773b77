/* Worlds sql and lookup: the truth that the generator computed against SQLite and the index, exact
 * first errors, recall against the supporting documents; Spider's importer on a small folder. */
#include "base/json.h"
#include "rung/problem.h"
#include "rung/retrieve.h"
#include "rung/sql.h"
#include "rung/verify.h"
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct bufs {
    rung_buf q, a, s, m;
} bufs;

static void make(bufs *b, const char *world, uint64_t seed, uint64_t i) {
    rung_error err = RUNG_ERROR_INIT;
    rung_world_opts o = RUNG_WORLD_OPTS_INIT;
    o.seed = seed;
    rung_buf *all[] = {&b->q, &b->a, &b->s, &b->m};
    for (int k = 0; k < 4; k++) rung_buf_reset(all[k]);
    if (rung_world_find(world)->make(&b->q, &b->a, &b->s, &b->m, &o, i, &err) != RUNG_OK)
        fail_msg("%s", err.what);
}

static void init(bufs *b) {
    rung_buf *all[] = {&b->q, &b->a, &b->s, &b->m};
    for (int k = 0; k < 4; k++) rung_buf_init(all[k], 1 << 20);
}

static void clear(bufs *b) {
    rung_buf_clear(&b->q), rung_buf_clear(&b->a), rung_buf_clear(&b->s), rung_buf_clear(&b->m);
}

static int32_t first_error(const char *world, const char *meta, const char *text) {
    const char *step[64];
    int32_t n_bytes[64], n = 0, out = -99;
    for (const char *p = text; *p && n < 64; n++) {
        const char *end = strchr(p, '\n');
        size_t len = end ? (size_t)(end - p) + 1 : strlen(p);
        step[n] = p;
        n_bytes[n] = (int32_t)len;
        p += len;
    }
    rung_error err = RUNG_ERROR_INIT;
    if (rung_world_find(world)->first_error(&out, meta, step, n_bytes, n, &err) != RUNG_OK)
        fail_msg("%s", err.what);
    return out;
}

static int n_lines(const char *s) {
    int n = 0;
    for (; *s; s++) n += *s == '\n';
    return n;
}

static rung_status covered(void *ud, rung_sql *s, const rung_sql_db *db, rung_error *err) {
    rung_sql_exact e;
    rung_sql_check c;
    RUNG_TRY(rung_sql_exact_match(&e, s, db, ud, ud, err));
    RUNG_TRY(rung_sql_match(&c, s, db, ud, ud, NULL, err));
    if (e.verdict != RUNG_VERDICT_CORRECT) fail_msg("%s: %s %s", (char *)ud, e.reason, e.detail);
    if (c.verdict != RUNG_VERDICT_CORRECT || c.gold_empty || c.gold_tied)
        fail_msg("%s", (char *)ud);
    return RUNG_OK;
}

/* The lines were computed from the rows in C: SQLite must agree with every one of them. */
static void sql_truth(void **state) {
    (void)state;
    bufs b;
    rung_error err = RUNG_ERROR_INIT;
    int kinds = 0;
    init(&b);
    for (uint64_t i = 0; i < 48; i++) {
        make(&b, "sql", 5, i);
        int32_t e = first_error("sql", b.m.data, b.s.data);
        if (e != -1) fail_msg("problem %d line %d:\n%s%s", (int)i, e, b.q.data, b.s.data);
        assert_in_range(n_lines(b.s.data), 3, 4);
        assert_int_equal(rung_sql_with_meta(b.m.data, covered, b.a.data, &err), RUNG_OK);
        yyjson_doc *doc = yyjson_read(b.m.data, b.m.n, 0);
        const char *kind = rung_json_str(yyjson_doc_get_root(doc), "kind", "");
        kinds |= strcmp(kind, "count") == 0      ? 1
                 : strcmp(kind, "above") == 0    ? 2
                 : strcmp(kind, "most") == 0     ? 4
                 : strcmp(kind, "none") == 0     ? 8
                 : strcmp(kind, "at least") == 0 ? 16
                                                 : 32;
        yyjson_doc_free(doc);
        /* the trace's answer is the reference itself, by the problem's verifier */
        const rung_verifier *v = rung_verifier_find(rung_world_find("sql")->verifier);
        rung_answer a;
        rung_check c;
        v->extract(&a, b.s.data, b.s.n);
        assert_string_equal(a.rule, "marks");
        rung_verifier_check(&c, v, b.m.data, b.a.data, a.text);
        assert_int_equal(c.verdict, RUNG_VERDICT_CORRECT);
        rung_verifier_check(&c, v, b.m.data, b.a.data, "SELECT 'no such thing', 2, 3");
        assert_int_equal(c.verdict, RUNG_VERDICT_WRONG);
    }
    assert_int_equal(kinds, 63);
    clear(&b);
}

static void sql_first_errors(void **state) {
    (void)state;
    static const char meta[] =
        "{\"world\":\"sql\",\"gold\":\"SELECT name FROM city WHERE id=1\",\"db\":{\"script\":"
        "\"CREATE TABLE city(id INTEGER PRIMARY KEY, name TEXT);INSERT INTO city "
        "VALUES(1,'Oslo'),(2,'Vik');\"}}";
    static const struct {
        const char *text;
        int32_t want;
    } t[] = {
        {"SELECT count(*) FROM city => 2\n#### SELECT name FROM city LIMIT 1\n", -1},
        {"SELECT count(*) FROM city => 3\n#### SELECT name FROM city LIMIT 1\n", 0},
        {"SELECT name FROM city => Oslo; Vik\n#### SELECT name FROM city\n", 1},
        {"SELECT name FROM city => Oslo; Vik\n#### SELECT 'Oslo'", -1}, /* gives what gold gives */
        {"SELECT id, name FROM city => 1, Oslo; 2, Vik\n", -1},
        {"SELECT name FROM city WHERE id = 9 => \n", 0}, /* no arrow is left of a blank result */
        {"SELECT nam FROM city => Oslo\n", 0},
        {"DELETE FROM city => \n", 0},
        {"let me think\n", 0},
        {"\n", 0},
        {"#### SELECT name FROM city WHERE id=1\nSELECT 1 => 1\n", 1},
        {"#### SELECT name FROM city WHERE id=1\n#### SELECT name FROM city WHERE id=1\n", 1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        if (first_error("sql", meta, t[i].text) != t[i].want)
            fail_msg("case %zu: %d", i, first_error("sql", meta, t[i].text));
    rung_error err = RUNG_ERROR_INIT;
    int32_t out;
    assert_int_equal(rung_world_find("sql")->first_error(&out, "{}", NULL, NULL, 0, &err),
                     RUNG_E_FORMAT);
}

static void lookup_truth(void **state) {
    (void)state;
    bufs b;
    init(&b);
    for (uint64_t i = 0; i < 200; i++) {
        make(&b, "lookup", 3, i);
        if (first_error("lookup", b.m.data, b.s.data) != -1) fail_msg("%s", b.s.data);
        char want[80];
        snprintf(want, sizeof want, "#### %s\n", b.a.data);
        assert_string_equal(b.s.data + b.s.n - strlen(want), want);
        assert_int_equal(strchr(b.q.data, '\n') - b.q.data, (ptrdiff_t)b.q.n - 1);
        /* without any one of its lines the chain has a hole: the answer is not in the question */
        assert_null(strstr(b.q.data, b.a.data));
        yyjson_doc *doc = yyjson_read(b.m.data, b.m.n, 0);
        yyjson_val *root = yyjson_doc_get_root(doc);
        size_t n = yyjson_arr_size(yyjson_obj_get(root, "support"));
        assert_int_equal(n, n_lines(b.s.data) - 1);
        assert_in_range(n, 2, 3);
        assert_int_equal(yyjson_arr_size(yyjson_obj_get(root, "docs")), 15);
        yyjson_doc_free(doc);
    }
    clear(&b);
}

static void lookup_first_errors(void **state) {
    (void)state;
    static const char meta[] =
        "{\"world\":\"lookup\",\"answer\":\"Vik\",\"docs\":[{\"id\":\"p0\",\"text\":\"Ann works "
        "for "
        "Tec. Ann is 30 years old.\"},{\"id\":\"c0\",\"text\":\"Tec has its seat in Vik.\"}]}";
    static const struct {
        const char *text;
        int32_t want;
    } t[] = {
        {"Ann works for Tec. [p0]\nTec has its seat in Vik. [c0]\n#### Vik\n", -1},
        {"Ann works for Tec. Ann is 30 years old. [p0]\n#### the vik.", -1},
        {"Ann works for Tec. [c0]\n", 0}, /* another document */
        {"Ann works for Tex. [p0]\n", 0}, /* not its words */
        {"works for Tec. [p0]\n", 0},     /* half a sentence */
        {"Ann works for Tec [p0]\n", 0},
        {"Ann works for Tec.\n", 0},
        {"Ann works for Tec. [p9]\n", 0},
        {"Ann works for Tec. [p0]\n#### Tec\n", 1},
        {"#### Vik\nAnn works for Tec. [p0]\n", 1},
        {"[p0]\n", 0},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        if (first_error("lookup", meta, t[i].text) != t[i].want)
            fail_msg("case %zu: %d", i, first_error("lookup", meta, t[i].text));
}

/* 60 problems' documents in one index: the question alone finds where the chain begins, a search
 * for the name that each fact gives finds the rest. */
static void recall_against_truth(void **state) {
    (void)state;
    enum { N = 60 };
    rung_error err = RUNG_ERROR_INIT;
    rung_index *x;
    bufs b;
    rung_arena *a = rung_arena_new(0);
    yyjson_doc *doc[N];
    char *question[N];
    double first = 0, whole = 0, followed = 0;
    init(&b);
    assert_int_equal(rung_index_new(&x, NULL, NULL, &err), RUNG_OK);
    for (int i = 0; i < N; i++) {
        make(&b, "lookup", 11, (uint64_t)i);
        question[i] = rung_strdup(b.q.data);
        doc[i] = yyjson_read(b.m.data, b.m.n, 0);
        yyjson_val *d;
        size_t k, max;
        yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc[i]), "docs"), k, max, d) {
            char id[32];
            snprintf(id, sizeof id, "%d/%s", i, rung_json_str(d, "id", ""));
            assert_int_equal(rung_index_add(x, id, rung_json_str(d, "title", ""),
                                            rung_json_str(d, "text", ""), &err),
                             RUNG_OK);
        }
    }
    assert_int_equal(rung_index_count(x), N * 15);
    for (int i = 0; i < N; i++) {
        yyjson_val *root = yyjson_doc_get_root(doc[i]), *one, *d;
        size_t k, max, j, max2;
        char id[8][32];
        const char *want[8], *title[8];
        int32_t n = 0, n_want = 0;
        rung_hit *h;
        yyjson_arr_foreach(yyjson_obj_get(root, "support"), k, max, one) {
            snprintf(id[n_want], sizeof id[0], "%d/%s", i, yyjson_get_str(one));
            yyjson_arr_foreach(yyjson_obj_get(root, "docs"), j, max2,
                               d) if (strcmp(rung_json_str(d, "id", ""), yyjson_get_str(one)) == 0)
                title[n_want] = rung_json_str(d, "title", "");
            want[n_want] = id[n_want];
            n_want++;
        }
        assert_int_equal(rung_index_search(&h, &n, a, x, question[i], 5, RUNG_RANK_BM25, &err), 0);
        first += rung_recall(h, n, want, 1);
        whole += rung_recall(h, n, want, n_want);
        for (int w = 0; w < n_want; w++) {
            assert_int_equal(rung_index_search(&h, &n, a, x, title[w], 3, RUNG_RANK_BM25, &err), 0);
            followed += rung_recall(h, n, &want[w], 1) / n_want;
        }
        yyjson_doc_free(doc[i]);
        rung_free(question[i]);
    }
    print_message(
        "recall@5 of the first document %.3f, of the whole chain %.3f; followed, @3 %.3f\n",
        first / N, whole / N, followed / N);
    assert_true(first / N >= 0.95);
    assert_true(whole / N < 0.85); /* one search is not enough, by construction */
    assert_true(followed / N >= 0.95);
    rung_arena_free(a);
    rung_index_free(x);
    clear(&b);
}

/* ---- Spider's format ---- */

static char dir[64];

static void spider_folder(void) {
    char path[200];
    sqlite3 *db;
    static const char rows[] =
        "[{\"db_id\":\"geo\",\"query\":\"SELECT count(*) FROM city\",\"question\":\"How many?\","
        "\"query_toks\":[\"SELECT\"],\"sql\":{}},\n"
        "{\"db_id\":\"geo\",\"query\":\"SELECT name FROM city WHERE name = \\\"Vik\\\"\","
        "\"question\":\"Vik?\"},\n"
        "{\"db_id\":\"geo\",\"query\":\"SELECT name FROM city WHERE id > "
        "8\",\"question\":\"None?\"},\n"
        "{\"db_id\":\"geo\",\"query\":\"SELECT nam FROM city\",\"question\":\"Broken?\"},\n"
        "{\"db_id\":\"nowhere\",\"query\":\"SELECT 1\",\"question\":\"Missing?\"},\n"
        "{\"db_id\":\"../geo\",\"query\":\"SELECT 1\",\"question\":\"Up?\"},\n"
        "{\"db_id\":\"geo\",\"query\":\"\",\"question\":\"Empty?\"}]";
    rung_error err = RUNG_ERROR_INIT;
    snprintf(path, sizeof path, "%s/database", dir);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s/database/geo", dir);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s/database/geo/geo.sqlite", dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "CREATE TABLE city(id INTEGER PRIMARY KEY, name TEXT);"
                                  "INSERT INTO city VALUES(1,'Oslo'),(2,'Vik')",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    snprintf(path, sizeof path, "%s/dev.json", dir);
    assert_int_equal(rung_file_write(path, rows, sizeof rows - 1, &err), RUNG_OK);
}

static void spider_import(void **state) {
    (void)state;
    char path[200], store[200];
    rung_error err = RUNG_ERROR_INIT;
    rung_store *s;
    rung_import_report r;
    rung_iter *it;
    const rung_problem *p;
    spider_folder();
    snprintf(path, sizeof path, "%s/dev.json", dir);
    snprintf(store, sizeof store, "%s/s.db", dir);
    assert_int_equal(rung_store_open(&s, store, RUNG_STORE_CREATE, &err), RUNG_OK);
    const rung_format *spider = rung_format_find("spider");
    assert_non_null(spider);
    if (rung_import(&r, s, spider, path, NULL, NULL, &err) != RUNG_OK) fail_msg("%s", err.what);
    assert_int_equal(r.n_rows, 7);
    assert_int_equal(r.n_new, 3);
    assert_int_equal(r.n_rejected, 4);
    rung_filter f = {.set = "spider", .split = "val"};
    assert_int_equal(rung_problem_iter(&it, s, &f, &err), RUNG_OK);
    int n = 0;
    while (rung_problem_next(&p, it, &err) == RUNG_OK) {
        const rung_verifier *v = rung_verifier_find(p->verifier);
        rung_check c;
        assert_string_equal(p->verifier, "sql");
        assert_int_equal(strncmp(p->question, "CREATE TABLE city(", 18), 0);
        assert_int_equal(strstr(p->meta, "\"gold_empty\":true") != NULL, n == 2);
        rung_verifier_check(&c, v, p->meta, p->answer, p->answer);
        assert_int_equal(c.verdict, RUNG_VERDICT_CORRECT);
        rung_verifier_check(&c, v, p->meta, p->answer, "SELECT 'x', 'y'");
        assert_int_equal(c.verdict, RUNG_VERDICT_WRONG);
        n++;
    }
    rung_iter_free(it);
    assert_int_equal(n, 3);
    assert_int_equal(rung_import(&r, s, spider, path, NULL, NULL, &err),
                     RUNG_OK); /* a repeat is free */
    assert_int_equal(r.n_new, 0);
    assert_int_equal(r.n_same, 3);
    rung_store_close(s);
}

static int setup(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/rung-spider-XXXXXX");
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
        cmocka_unit_test(sql_truth),
        cmocka_unit_test(sql_first_errors),
        cmocka_unit_test(lookup_truth),
        cmocka_unit_test(lookup_first_errors),
        cmocka_unit_test(recall_against_truth),
        cmocka_unit_test(spider_import),
    };
    return cmocka_run_group_tests(t, setup, teardown);
}
