/* The report file: data and page put together so that no text of a model can become markup. */
#include "base/json.h"
#include "bench/report.h"
#include "unit/bench/search_fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

static void script_safe(void **ud) {
    (void)ud;
    rung_buf b;
    rung_buf_init(&b, 1 << 16);
    const char json[] = "{\"a\":\"</script><!-- & x > y\"}";
    rung_put_script_safe(&b, json, sizeof json - 1);
    assert_string_equal(b.data, "{\"a\":\"\\u003c/script\\u003e\\u003c!-- \\u0026 x \\u003e y\"}");
    yyjson_doc *d = yyjson_read(b.data, b.n, 0); /* and it still means the same */
    assert_string_equal(rung_json_str(yyjson_doc_get_root(d), "a", ""), "</script><!-- & x > y");
    yyjson_doc_free(d);
    rung_buf_reset(&b);
    rung_put_html_text(&b, "a<b>&\"c\"");
    assert_string_equal(b.data, "a&lt;b&gt;&amp;&quot;c&quot;");
    rung_buf_clear(&b);
}

static double mean_of(yyjson_val *run, const char *key) {
    return rung_json_f64(run, key, -1.0);
}

/* Searches: means per problem, an interval, trees of different methods; alone in a store, too. */
static void searched(void **ud) {
    (void)ud;
    fixture f;
    fix_open(&f, ":memory:");
    for (int i = 0; i < 8; i++) (void)fix_problem(f.store, "sums", i, "2 + 2?");
    rung_buf b;
    rung_buf_init(&b, 1 << 24);
    rung_error fault = RUNG_ERROR_INIT;
    assert_int_equal(rung_report_data(&b, f.store, "t", "", NULL, &fault), RUNG_E_NOT_FOUND);
    rung_buf_reset(&b);
    fix_search_run(&f, "beam", 4, 8);
    fix_search_run(&f, "beam", 16, 8);
    fix_search_run(&f, "bon", 16, 8);
    fix_search_run(&f, "dvts", 16, 4);
    FIX(rung_report_data(&b, f.store, "t", "", NULL, err));
    yyjson_doc *d = yyjson_read(b.data, b.n, 0);
    yyjson_val *o = yyjson_doc_get_root(d), *list = yyjson_obj_get(o, "searches");
    assert_non_null(o);
    assert_int_equal(yyjson_arr_size(list), 4);
    yyjson_val *run = yyjson_arr_get(list, 3); /* the oldest: beam of 4, right where i < 6 */
    assert_string_equal(rung_json_str(run, "method", ""), "beam");
    assert_int_equal(rung_json_i64(run, "n", 0), 4);
    assert_int_equal(rung_json_i64(run, "n_problems", 0), 8);
    assert_true(fabs(mean_of(run, "acc") - .75) < 1e-12);
    assert_true(fabs(mean_of(run, "tokens") - 200.0) < 1e-9);
    assert_true(fabs(mean_of(run, "flops_cached") - 4e8) < 1e-3);
    assert_true(fabs(mean_of(run, "wall_s") - .25) < 1e-9);
    assert_true(fabs(mean_of(run, "flip") - .1) < 1e-12);
    assert_string_equal(rung_json_str(run, "score", ""), "truth");
    yyjson_val *ci = yyjson_obj_get(run, "ci95");
    assert_true(yyjson_get_num(yyjson_arr_get(ci, 0)) < .75 &&
                yyjson_get_num(yyjson_arr_get(ci, 1)) > .75);
    yyjson_val *trees = yyjson_obj_get(o, "trees");
    assert_int_equal(yyjson_arr_size(trees), 2); /* one of beam, one of dvts, none of samples */
    assert_string_equal(rung_json_str(yyjson_arr_get(trees, 0), "name", ""), "dvts_16");
    yyjson_val *nodes = yyjson_obj_get(yyjson_arr_get(trees, 1), "nodes");
    assert_int_equal(yyjson_arr_size(nodes), 4);
    yyjson_val *third = yyjson_arr_get(nodes, 2);
    assert_int_equal(rung_json_i64(third, "parent", -1), 1);
    assert_true(yyjson_get_bool(yyjson_obj_get(third, "chosen")));
    assert_true(yyjson_get_bool(yyjson_obj_get(yyjson_arr_get(nodes, 1), "pruned")));
    yyjson_doc_free(d);
    rung_buf_clear(&b);
    rung_store_close(f.store);
}

static void the_data(void **ud) {
    (void)ud;
    fixture f;
    fix_full(&f, ":memory:", 24);
    fix_measure(&f);
    rung_buf b;
    rung_buf_init(&b, 1 << 24);
    FIX(rung_report_data(&b, f.store, "t", "rung run x", NULL, err));
    yyjson_doc *d = yyjson_read(b.data, b.n, 0);
    yyjson_val *o = yyjson_doc_get_root(d);
    assert_non_null(o);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(o, "answers")), 1);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(o, "steps")), 2);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(o, "processbench")), 1);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(o, "examples")), 10);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(o, "runs")), 5);
    assert_int_equal(yyjson_obj_size(yyjson_obj_get(o, "models")), 2);
    yyjson_val *training = yyjson_obj_get(o, "training");
    assert_int_equal(yyjson_arr_size(training), 1); /* runs without metrics leave nothing */
    yyjson_val *series = yyjson_obj_get(yyjson_arr_get(training, 0), "series");
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(series, "train/loss")), 41);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(series, "eval/auc")), 11);
    /* examples: wrong and right in turn, with score, exact label and Monte Carlo label */
    yyjson_val *e = yyjson_arr_get(yyjson_obj_get(o, "examples"), 0);
    yyjson_val *step = yyjson_arr_get(yyjson_obj_get(e, "steps"), 0);
    assert_true(rung_json_i64(e, "first_error", -9) >= 0);
    assert_true(yyjson_is_num(yyjson_obj_get(step, "score")));
    assert_int_equal(rung_json_i64(yyjson_obj_get(step, "mc"), "n", 0), 8);
    e = yyjson_arr_get(yyjson_obj_get(o, "examples"), 1);
    assert_string_equal(rung_json_str(e, "outcome", ""), "correct");
    yyjson_doc_free(d);
    rung_buf_clear(&b);
    rung_store_close(f.store);
}

/* Of measurements made twice the newest counts; without stored step measurements they are made. */
static void newest_and_missing(void **ud) {
    (void)ud;
    fixture f;
    fix_full(&f, ":memory:", 12);
    rung_answer_opts a = RUNG_ANSWER_OPTS_INIT;
    a.traces = (rung_filter){.set = "sums", .split = "test", .run = f.pool};
    a.prm_model = f.prm;
    a.n_boot = 200;
    rung_buf b;
    rung_buf_init(&b, 1 << 24);
    for (int i = 0; i < 2; i++) {
        char name[16];
        snprintf(name, sizeof name, "measure %d", i);
        a.seed = (uint64_t)i;
        rung_buf_reset(&b);
        FIX(rung_bench_answer(&b, f.store, &a, NULL, err));
        FIX(rung_result_put(f.store, fix_run(f.store, name, "bench.answer"), "answer", b.data,
                            err));
    }
    rung_buf_reset(&b);
    FIX(rung_report_data(&b, f.store, NULL, NULL, NULL, err));
    yyjson_doc *d = yyjson_read(b.data, b.n, 0);
    yyjson_val *o = yyjson_doc_get_root(d), *answers = yyjson_obj_get(o, "answers");
    assert_int_equal(yyjson_arr_size(answers), 1);
    assert_int_equal(rung_json_i64(yyjson_arr_get(answers, 0), "seed", -1), 1);
    yyjson_val *steps = yyjson_obj_get(o, "steps");
    assert_int_equal(yyjson_arr_size(steps), 2);
    assert_string_equal(rung_json_str(yyjson_arr_get(steps, 0), "label_source", ""), "truth");
    yyjson_doc_free(d);
    rung_buf_clear(&b);
    rung_store_close(f.store);
}

static void the_file(void **ud) {
    (void)ud;
    char path[] = "/tmp/rung_test_report_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    fixture f;
    fix_open(&f, ":memory:");
    rung_error fault = RUNG_ERROR_INIT;
    rung_status st = rung_report_write(path, f.store, "t", "c", NULL, &fault);
    rung_store_close(f.store);
    if (st == RUNG_E_NOT_BUILT) {
        print_message("SKIPPED: built without the report page\n");
        unlink(path);
        skip();
    }
    assert_int_equal(st, RUNG_E_NOT_FOUND); /* nothing measured, searched or trained yet */
    assert_non_null(strstr(fault.hint, "rung bench answer"));
    fix_full(&f, ":memory:", 12);
    fix_measure(&f);
    FIX(rung_report_write(path, f.store, "<i>t</i>", "c", NULL, err));
    rung_buf b;
    rung_buf_init(&b, 1 << 25);
    FIX(rung_file_read(&b, path, err));
    assert_non_null(strstr(b.data, "<title>&lt;i&gt;t&lt;/i&gt;</title>"));
    assert_non_null(strstr(b.data, "default-src 'none'"));
    assert_null(strstr(b.data, "<img"));
    assert_null(strstr(b.data, "__RUNG_"));
    char *data = strstr(b.data, "id=\"rung-data\">") + strlen("id=\"rung-data\">");
    size_t n = (size_t)(strstr(data, "</script>") - data);
    assert_null(memchr(data, '<', n));
    yyjson_doc *d = yyjson_read(data, n, 0);
    assert_string_equal(rung_json_str(yyjson_doc_get_root(d), "title", ""), "<i>t</i>");
    yyjson_doc_free(d);
    /* no way to write: an error, no file, nothing printed */
    st = rung_report_write("/nonexistent/dir/report.html", f.store, "t", "c", NULL, &fault);
    assert_true(st == RUNG_E_IO || st == RUNG_E_NOT_FOUND);
    assert_true(fault.what[0]);
    rung_buf_clear(&b);
    rung_store_close(f.store);
    unlink(path);
}

/* Every allocation fails in turn: an error each time, never a crash, and no leak (ASan). */
static void out_of_memory(void **ud) {
    (void)ud;
    fixture f;
    fix_full(&f, ":memory:", 3);
    rung_answer_opts a = RUNG_ANSWER_OPTS_INIT;
    a.traces = (rung_filter){.set = "sums", .split = "test", .run = f.pool};
    a.prm_model = f.prm;
    a.greedy_run = &f.greedy;
    a.n_boot = 20;
    for (int64_t nth = 1; nth < 4000; nth += nth < 40 ? 1 : 331) {
        rung_buf b;
        rung_error fault = RUNG_ERROR_INIT;
        rung_buf_init(&b, 1 << 24);
        rung_alloc_fail_after(nth);
        rung_status st = rung_bench_answer(&b, f.store, &a, NULL, &fault);
        rung_alloc_fail_after(0);
        rung_buf_clear(&b);
        if (st == RUNG_OK) break;
        assert_true(st == RUNG_E_NOMEM || st == RUNG_E_STORE);
    }
    rung_store_close(f.store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(script_safe), cmocka_unit_test(searched),
        cmocka_unit_test(the_data),    cmocka_unit_test(newest_and_missing),
        cmocka_unit_test(the_file),    cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
