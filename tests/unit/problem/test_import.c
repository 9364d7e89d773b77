/* Importers: counts, every reject named, repeats free; published files when RUNG_DATA is set. */
#include "rung/problem.h"
#include "rung/verify.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64], data[128], base[128];

/* ---- the log: every reject with its line ---- */

typedef struct rejects {
    int n;
    int64_t line[64];
    char reason[64][200];
} rejects;

static int on_event(void *ud, rung_level level, const char *name, const rung_field *f) {
    rejects *r = ud;
    (void)level;
    if (strcmp(name, "import.reject") != 0) return 0;
    assert_true(r->n < 64);
    assert_string_equal(f[0].key, "file");
    assert_true(strcmp(f[1].key, "line") == 0 || strcmp(f[1].key, "element") == 0);
    assert_string_equal(f[2].key, "reason");
    r->line[r->n] = f[1].i;
    snprintf(r->reason[r->n++], sizeof r->reason[0], "%s", f[2].s);
    return 0;
}

static rung_store *open_store(void) {
    rung_error err = RUNG_ERROR_INIT;
    rung_store *s = NULL;
    static const char *const tails[] = {"", "-wal", "-shm"};
    for (int k = 0; k < 3; k++) {
        char path[160];
        snprintf(path, sizeof path, "%s%s", base, tails[k]);
        unlink(path);
    }
    if (rung_store_open(&s, base, RUNG_STORE_CREATE, &err) != RUNG_OK) fail_msg("%s", err.what);
    return s;
}

static void write_file(const char *text, size_t n) {
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_file_write(data, text, n, &err), RUNG_OK);
}

static rung_import_report import(rung_store *s, const char *importer, const char *path, rejects *r,
                                 const rung_import_opts *o) {
    rung_error err = RUNG_ERROR_INIT;
    rung_import_report rep;
    rung_log log = {on_event, r};
    memset(r, 0, sizeof *r);
    if (rung_import(&rep, s, rung_format_find(importer), path, o, &log, &err) != RUNG_OK)
        fail_msg("%s: %s", err.what, err.detail);
    assert_int_equal(rep.n_rejected, r->n);
    return rep;
}

static void counts(const rung_import_report *r, int rows, int n_new, int same, int rejected,
                   int traces) {
    if (r->n_rows != rows || r->n_new != n_new || r->n_same != same || r->n_rejected != rejected ||
        r->n_traces != traces)
        fail_msg("rows %d new %d same %d rejected %d traces %d", (int)r->n_rows, (int)r->n_new,
                 (int)r->n_same, (int)r->n_rejected, (int)r->n_traces);
}

static void rejected(const rejects *r, int k, int64_t line, const char *part) {
    if (k >= r->n || r->line[k] != line || !strstr(r->reason[k], part))
        fail_msg("reject %d of %d: line %d \"%s\", want %d \"%s\"", k, r->n,
                 k < r->n ? (int)r->line[k] : -1, k < r->n ? r->reason[k] : "", (int)line, part);
}

/* ---- gsm8k ---- */

static void gsm8k(void **state) {
    (void)state;
    static const char text[] =
        "{\"question\":\"3 bags of 4 nuts?\",\"answer\":\"There are 3*4=<<3*4=12>>12.\\n#### "
        "12\"}\n"
        "\n"
        "{\"question\":\"Cut\",\"answer\":\"ab\n"                       /* 3: cut short */
        "{\"question\":\"No final\",\"answer\":\"It is 5.\"}\n"         /* 4 */
        "{\"question\":\"No answer\"}\n"                                /* 5 */
        "{\"question\":7,\"answer\":\"#### 1\"}\n"                      /* 6 */
        "{\"question\":\"\",\"answer\":\"#### 1\"}\n"                   /* 7 */
        "[1,2]\n"                                                       /* 8 */
        "{\"question\":\"Bad \xff utf8\",\"answer\":\"#### 1\"}\n"      /* 9 */
        "{\"question\":\"3 bags of 4 nuts?\",\"answer\":\"#### 13\"}\n" /* 10: another answer */
        "{\"question\":\"NUL\\u0000in\",\"answer\":\"#### 1\"}\n"       /* 11 */
        "{\"question\":\"Money?\",\"answer\":\"#### 1,450\"}";          /* 12, no newline */
    rejects r;
    rung_store *s = open_store();
    write_file(text, sizeof text - 1);
    rung_import_report rep = import(s, "gsm8k", data, &r, NULL);
    counts(&rep, 11, 2, 0, 9, 0);
    rejected(&r, 0, 3, "bad JSON");
    assert_non_null(strstr(r.reason[0], ":3:"));
    rejected(&r, 1, 4, "#### n");
    rejected(&r, 2, 5, "\"answer\" is missing");
    rejected(&r, 3, 6, "\"question\" must be a string");
    rejected(&r, 4, 7, "\"question\" is empty");
    rejected(&r, 5, 8, "not a JSON object");
    rejected(&r, 6, 9, "bad JSON");
    rejected(&r, 7, 10, "duplicate key with another");
    rejected(&r, 8, 11, "NUL");
    rep = import(s, "gsm8k", data, &r, NULL);
    counts(&rep, 11, 0, 2, 9, 0);
    rung_error err = RUNG_ERROR_INIT;
    rung_filter f = {.set = "gsm8k", .split = "test"};
    rung_iter *it;
    const rung_problem *p;
    assert_int_equal(rung_problem_iter(&it, s, &f, &err), RUNG_OK);
    assert_int_equal(rung_problem_next(&p, it, &err), RUNG_OK);
    assert_string_equal(p->answer, "12");
    assert_string_equal(p->solution, "There are 3*4=<<3*4=12>>12.\n#### 12");
    assert_string_equal(p->verifier, "math");
    assert_int_equal(rung_problem_next(&p, it, &err), RUNG_OK);
    assert_string_equal(p->answer, "1,450");
    assert_int_equal(rung_problem_next(&p, it, &err), RUNG_DONE);
    rung_iter_free(it);
    /* the same question in another split would leak */
    rung_import_opts o = RUNG_IMPORT_OPTS_INIT;
    o.split = "train";
    rep = import(s, "gsm8k", data, &r, &o);
    counts(&rep, 11, 0, 0, 11, 0);
    rejected(&r, 0, 1, "already in another split");
    rung_store_close(s);
}

static void skip_limit_and_long_line(void **state) {
    (void)state;
    rejects r;
    rung_buf b;
    rung_buf_init(&b, 32 << 20);
    for (int i = 0; i < 10; i++) {
        rung_buf_printf(&b, "{\"question\":\"q%d", i);
        if (i == 4)
            for (int k = 0; k < (10 << 20); k += 16) rung_buf_str(&b, "0123456789abcdef");
        rung_buf_printf(&b, "\",\"answer\":\"#### %d\"}\n", i);
    }
    write_file(b.data, b.n);
    rung_buf_clear(&b);
    rung_store *s = open_store();
    rung_import_opts o = RUNG_IMPORT_OPTS_INIT;
    o.skip = 3, o.limit = 4, o.set = "mine", o.split = "val";
    rung_import_report rep = import(s, "gsm8k", data, &r, &o);
    counts(&rep, 7, 3, 0, 1, 0);
    rejected(&r, 0, 5, "longer than");
    rep = import(s, "gsm8k", data, &r,
                 &(rung_import_opts){.struct_size = sizeof o, .set = "mine", .split = "val"});
    counts(&rep, 10, 6, 3, 1, 0);
    rung_store_close(s);
}

static void math500(void **state) {
    (void)state;
    static const char text[] =
        "{\"problem\":\"p1\",\"solution\":\"so "
        "$\\\\boxed{\\\\frac{1}{2}}$\",\"answer\":\"\\\\frac{1}{2}\","
        "\"subject\":\"Algebra\",\"level\":3,\"unique_id\":\"test/a/1.json\"}\n"
        "{\"problem\":\"p2\",\"solution\":\"so "
        "$\\\\boxed{7}$\",\"type\":\"Geometry\",\"level\":\"Level 5\"}\n"
        "{\"problem\":\"p3\",\"solution\":\"no box\"}\n"
        "{\"problem\":\"p4\",\"solution\":\"s\",\"answer\":\"4\",\"unique_id\":\"test/a/"
        "1.json\"}\n";
    rejects r;
    rung_store *s = open_store();
    write_file(text, sizeof text - 1);
    rung_import_report rep = import(s, "math500", data, &r, NULL);
    counts(&rep, 4, 2, 0, 2, 0);
    rejected(&r, 0, 3, "\\boxed");
    rejected(&r, 1, 4, "duplicate id");
    rung_error err = RUNG_ERROR_INIT;
    rung_filter f = {.set = "math500"};
    rung_iter *it;
    const rung_problem *p;
    assert_int_equal(rung_problem_iter(&it, s, &f, &err), RUNG_OK);
    assert_int_equal(rung_problem_next(&p, it, &err), RUNG_OK);
    assert_string_equal(p->key, "test/a/1.json");
    assert_string_equal(p->meta, "{\"subject\":\"Algebra\",\"level\":3}");
    assert_int_equal(rung_problem_next(&p, it, &err), RUNG_OK);
    assert_string_equal(p->answer, "7");
    assert_string_equal(p->meta, "{\"subject\":\"Geometry\",\"level\":5}");
    rung_iter_free(it);
    rung_store_close(s);
}

/* ---- processbench ---- */

#define PB(id, steps, correct, label)                                                              \
    "{\"id\":\"" id                                                                                \
    "\",\"generator\":\"toy-1b\",\"problem\":\"3 bags of 4 nuts?\",\"steps\":" steps               \
    ",\"final_answer_correct\":" correct ",\"label\":" label "}"

/* a row a line */
/* clang-format off */
static const char processbench_text[] = "[\n  "
    PB("g-0", "[\"3 bags.\",\"3 * 4 = 14.\",\"So \\\\boxed{14}.\"]", "false", "1") ",\n  "
    PB("g-1", "[\"3 * 4 = 12.\",\"So \\\\boxed{12}.\"]", "true", "-1") ",\n"
    PB("g-2", "[]", "true", "-1") ",\n"
    PB("g-3", "[\"a\"]", "true", "1") ",\n"
    PB("g-4", "[\"a\",\"\"]", "true", "0") ",\n"
    PB("g-5", "[\"a\",7]", "true", "0") ",\n"
    PB("g-6", "[\"a\"]", "1", "0") ",\n"
    PB("g-7", "[\"a\"]", "true", "\"x\"") ",\n7,\n"
    PB("g-1", "[\"else\"]", "true", "-1") "]";
/* clang-format on */

static void processbench(void **state) {
    (void)state;
    rejects r;
    rung_store *s = open_store();
    write_file(processbench_text, sizeof processbench_text - 1);
    rung_import_report rep = import(s, "processbench", data, &r, NULL);
    /* a row whose steps are bad leaves no problem behind; the tenth has the first one's id */
    counts(&rep, 10, 2, 0, 8, 2);
    rejected(&r, 0, 3, "\"steps\" is empty");
    rejected(&r, 1, 4, "\"label\" is 1, but there are 1 steps");
    rejected(&r, 2, 5, "step 1 is empty");
    rejected(&r, 3, 6, "step 1 is not a string");
    rejected(&r, 4, 7, "\"final_answer_correct\"");
    rejected(&r, 5, 8, "\"label\" must be an integer");
    rejected(&r, 6, 9, "not a JSON object");
    rep = import(s, "processbench", data, &r, NULL);
    rejected(&r, 7, 10, "duplicate id, first on line 2");
    counts(&rep, 10, 0, 2, 8, 0);
    rung_error err = RUNG_ERROR_INIT;
    rung_filter f = {.set = "processbench"};
    rung_iter *it;
    const rung_trace *t;
    assert_int_equal(rung_trace_iter(&it, s, &f, &err), RUNG_OK);
    assert_int_equal(rung_trace_next(&t, it, &err), RUNG_OK);
    assert_string_equal(t->generator, "toy-1b");
    assert_string_equal(t->text, "3 bags.\n\n3 * 4 = 14.\n\nSo \\boxed{14}.");
    assert_int_equal(t->n_steps, 3);
    assert_int_equal(t->step[1].byte_begin, 9);
    assert_int_equal(t->step[1].byte_end, 22);
    assert_int_equal(t->first_error, 1);
    assert_string_equal(t->first_error_source, "human");
    assert_int_equal(t->verdict, RUNG_VERDICT_WRONG);
    assert_string_equal(t->verifier, "human");
    assert_string_equal(t->answer, "14");
    assert_string_equal(t->rule, "boxed");
    assert_string_equal(t->answer_key, "q:14/1");
    assert_string_equal(t->stop, "given");
    assert_int_equal(t->n_tok, 0);
    assert_int_equal(rung_trace_next(&t, it, &err), RUNG_OK);
    assert_int_equal(t->first_error, -1);
    assert_int_equal(t->verdict, RUNG_VERDICT_CORRECT);
    assert_int_equal(rung_trace_next(&t, it, &err), RUNG_DONE);
    rung_iter_free(it);
    rung_store_close(s);
}

static void another_trace_under_the_same_number(void **state) {
    (void)state;
    rejects r;
    rung_store *s = open_store();
    static const char a[] = PB("g-0", "[\"one\"]", "true", "-1") "\n";
    static const char b[] = PB("g-0", "[\"two\"]", "true", "-1") "\n";
    write_file(a, sizeof a - 1);
    rung_import_report rep = import(s, "processbench", data, &r, NULL);
    counts(&rep, 1, 1, 0, 0, 1);
    write_file(b, sizeof b - 1);
    rep = import(s, "processbench", data, &r, NULL);
    counts(&rep, 1, 0, 1, 1, 0);
    rejected(&r, 0, 1, "another trace");
    rung_store_close(s);
}

/* ---- jsonl ---- */

static void jsonl(void **state) {
    (void)state;
    static const char text[] =
        "{\"question\":\"Start at 17. +5 x2. Total?\\n\",\"answer\":\"44\",\"world\":\"total\","
        "\"meta\":{\"world\":\"total\",\"start\":17,\"ops\":[\"+5\",\"x2\"]},\"key\":\"k1\","
        "\"split\":\"train\","
        "\"steps\":[\"17+5=22\\n\",\"22x2=45\\n\",\"#### 45\\n\"],\"generator\":\"hand\"}\n"
        "{\"question\":\"q2\",\"answer\":\"5\",\"steps\":[\"a\",\"The answer is "
        "5.\"],\"separator\":\"\\n\","
        "\"first_error\":-1}\n"
        "{\"question\":\"q2\",\"answer\":\"5\",\"steps\":[\"b\"],\"first_error\":0,\"correct\":"
        "false}\n"
        "{\"question\":\"q3\",\"typo\":1}\n"
        "{\"question\":\"q4\",\"verifier\":\"nope\"}\n"
        "{\"question\":\"q5\",\"steps\":[\"a\"],\"first_error\":1}\n"
        "{\"question\":\"q6\",\"steps\":\"a\"}\n"
        "{\"question\":\"q7\",\"meta\":3}\n"
        "{\"question\":\"q8\",\"world\":\"total\",\"steps\":[\"a\"]}\n" /* meta of no world */
        "{\"question\":\"q9\",\"set\":\"other\",\"answer\":\"x\"}\n"
        "{\"question\":\"qa\",\"steps\":[\"a\"],\"first_error_source\":\"guess\"}\n";
    rejects r;
    rung_store *s = open_store();
    write_file(text, sizeof text - 1);
    rung_import_report rep = import(s, "jsonl", data, &r, NULL);
    counts(&rep, 11, 3, 1, 7, 3); /* a rejected line leaves nothing behind */
    rejected(&r, 0, 4, "unknown key \"typo\"");
    rejected(&r, 1, 5, "no verifier");
    rejected(&r, 2, 6, "first_error 1");
    rejected(&r, 3, 7, "\"steps\" must be an array");
    rejected(&r, 4, 8, "\"meta\" must be an object");
    rejected(&r, 5, 9, "meta is not world total's");
    rejected(&r, 6, 11, "first_error_source");
    rep = import(s, "jsonl", data, &r, NULL);
    counts(&rep, 11, 0, 4, 7, 0);
    rung_error err = RUNG_ERROR_INIT;
    rung_filter f = {.set = "jsonl"};
    rung_iter *it;
    const rung_trace *t;
    assert_int_equal(rung_trace_iter(&it, s, &f, &err), RUNG_OK);
    assert_int_equal(rung_trace_next(&t, it, &err), RUNG_OK);
    assert_int_equal(t->first_error, 1); /* by the world's checker */
    assert_string_equal(t->first_error_source, "truth");
    assert_int_equal(t->verdict, RUNG_VERDICT_WRONG);
    assert_string_equal(t->verifier, rung_verifier_find("math")->version);
    assert_int_equal(rung_trace_next(&t, it, &err), RUNG_OK);
    assert_string_equal(t->text, "a\nThe answer is 5.");
    assert_int_equal(t->verdict, RUNG_VERDICT_CORRECT);
    assert_int_equal(t->first_error, -1);
    assert_int_equal(rung_trace_next(&t, it, &err), RUNG_OK);
    assert_int_equal(t->i, 1);
    assert_int_equal(t->first_error, 0);
    assert_string_equal(t->verifier, "given");
    assert_int_equal(rung_trace_next(&t, it, &err), RUNG_DONE);
    rung_iter_free(it);
    rung_store_close(s);
}

static void bad_files(void **state) {
    (void)state;
    rung_store *s = open_store();
    rung_error err = RUNG_ERROR_INIT;
    rung_import_report rep;
    for (size_t i = 0; rung_format_at(i); i++) {
        const rung_format *f = rung_format_at(i);
        assert_ptr_equal(rung_format_find(rung_format_name(f)), f);
        assert_int_equal(rung_import(&rep, s, f, "/nonexistent/file", NULL, NULL, &err),
                         RUNG_E_NOT_FOUND);
        assert_non_null(strstr(err.what, "/nonexistent/file"));
        write_file("", 0);
        assert_int_equal(rung_import(&rep, s, f, data, NULL, NULL, &err), RUNG_OK);
        assert_int_equal(rep.n_rows, 0);
        write_file("[{\"id\":1},\n{\"id\":", 17); /* a broken array cannot be read at all */
        assert_int_equal(rung_import(&rep, s, f, data, NULL, NULL, &err), RUNG_E_FORMAT);
        assert_non_null(strstr(err.what, ":2:"));
        write_file("garbage\n", 8);
        assert_int_equal(rung_import(&rep, s, f, data, NULL, NULL, NULL),
                         RUNG_OK); /* no err object */
        assert_int_equal(rep.n_rejected, 1);
    }
    rung_store_close(s);
}

/* The nth allocation fails: out of memory is said so, nothing is half stored, and a later import
 * makes the store whole. */
static void no_memory(void **state) {
    (void)state;
    static const char text[] =
        "{\"question\":\"Start at 17. +5. Total?\\n\",\"answer\":\"22\",\"world\":\"total\","
        "\"meta\":{\"world\":\"total\",\"start\":17,\"ops\":[\"+5\"]},\"steps\":[\"17+5=22\\n\"]}"
        "\n";
    rejects r;
    rung_error err = RUNG_ERROR_INIT;
    rung_import_report rep;
    write_file(text, sizeof text - 1);
    int n_failed = 0;
    for (int nth = 1; nth < 300; nth++) {
        rung_store *s = open_store();
        rung_alloc_fail_after(nth);
        rung_status st = rung_import(&rep, s, rung_format_find("jsonl"), data, NULL, NULL, &err);
        rung_alloc_fail_after(0);
        if (st != RUNG_OK) assert_int_equal(st, RUNG_E_NOMEM);
        n_failed += st != RUNG_OK;
        rep = import(s, "jsonl", data, &r, NULL);
        assert_int_equal(rep.n_new + rep.n_same, 1);
        assert_int_equal(rep.n_rejected, 0);
        rung_store_close(s);
        if (st == RUNG_OK) break;
    }
    print_message("  %d allocations failed in turn\n", n_failed);
    assert_in_range(n_failed, 5, 298);
}

/* ---- published files ---- */

static void published(void **state) {
    (void)state;
    const char *root = getenv("RUNG_DATA");
    if (!root || !*root) {
        print_message("SKIPPED: set RUNG_DATA to a folder with gsm8k/, math500/, processbench/\n");
        skip();
    }
    static const struct {
        const char *importer, *file;
        int rows, traces;
    } t[] = {{"gsm8k", "gsm8k/test.jsonl", 1319, 0},
             {"gsm8k", "gsm8k/train.jsonl", 7473, 0},
             {"math500", "math500/test.jsonl", 500, 0},
             {"processbench", "processbench/gsm8k.json", 400, 400},
             {"processbench", "processbench/math.json", 1000, 1000}};
    rung_store *s = open_store();
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char path[512];
        rejects r;
        snprintf(path, sizeof path, "%s/%s", root, t[i].file);
        double t0 = rung_now();
        rung_import_report rep = import(s, t[i].importer, path, &r, NULL);
        print_message("  %-26s %lld rows in %.2f s\n", t[i].file, (long long)rep.n_rows,
                      rung_now() - t0);
        counts(&rep, t[i].rows, t[i].rows, 0, 0, t[i].traces);
        rep = import(s, t[i].importer, path, &r, NULL);
        counts(&rep, t[i].rows, 0, t[i].rows, 0, 0);
    }
    rung_error err = RUNG_ERROR_INIT;
    rung_filter f = {.set = "processbench"};
    rung_iter *it;
    const rung_trace *tr;
    int n_error = 0, n = 0, n_answer = 0;
    assert_int_equal(rung_trace_iter(&it, s, &f, &err), RUNG_OK);
    while (rung_trace_next(&tr, it, &err) == RUNG_OK) {
        n++;
        n_error += tr->first_error >= 0;
        n_answer += tr->answer[0] != '\0';
    }
    rung_iter_free(it);
    assert_int_equal(n, 1400);
    assert_int_equal(n_error, 207 + 594); /* labels.md 1.4, counted in the published files */
    print_message("  processbench: %d of %d traces with an answer\n", n_answer, n);
    rung_store_close(s);
}

static int setup(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/rung-import-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    snprintf(data, sizeof data, "%s/test.jsonl", dir);
    snprintf(base, sizeof base, "%s/store.db", dir);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    static const char *const names[] = {"test.jsonl", "store.db", "store.db-wal", "store.db-shm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[160];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gsm8k),
        cmocka_unit_test(skip_limit_and_long_line),
        cmocka_unit_test(math500),
        cmocka_unit_test(processbench),
        cmocka_unit_test(another_trace_under_the_same_number),
        cmocka_unit_test(jsonl),
        cmocka_unit_test(bad_files),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(published),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
