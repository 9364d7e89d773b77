/* Best-of-N from a file: a pool small enough to count by hand, bad lines, the biases. The published
 * table is tests/long/test_pool_reference_long.sh. */
#include "base/json.h"
#include "rung/bench_file.h"
#include "unit/bench/bench_fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <unistd.h>

#define NEAR(a, b, tol) assert_true(fabs((a) - (b)) <= (tol))

static char path[64];

static void write_file(const char *text) {
    snprintf(path, sizeof path, "pool-%ld.jsonl", (long)getpid());
    FIX(rung_file_write(path, text, strlen(text), err));
}

static yyjson_doc *measure(const char *text) {
    rung_pool_file_opts o = RUNG_POOL_FILE_OPTS_INIT;
    rung_buf b;
    write_file(text);
    o.n_boot = 200;
    rung_buf_init(&b, 0);
    FIX(rung_bench_pool_file(&b, path, &o, NULL, err));
    yyjson_doc *doc = yyjson_read(b.data, b.n, 0);
    assert_non_null(doc);
    rung_buf_clear(&b);
    unlink(path);
    return doc;
}

static yyjson_val *method(yyjson_doc *d, const char *name) {
    yyjson_arr_iter it = yyjson_arr_iter_with(yyjson_obj_get(yyjson_doc_get_root(d), "methods"));
    for (yyjson_val *m; (m = yyjson_arr_iter_next(&it)) != NULL;)
        if (!strcmp(rung_json_str(m, "name", ""), name)) return m;
    fail_msg("no method %s", name);
    return NULL;
}

static double acc(yyjson_doc *d, const char *name) {
    return rung_json_f64(method(d, name), "acc", NAN);
}

static double num(yyjson_doc *d, const char *key) {
    return rung_json_f64(yyjson_doc_get_root(d), key, NAN);
}

/* Two problems of three candidates.
 *   P: A right .9 .2 | B wrong .5 .5 | B wrong .4 .6      Q: X wrong .9 .8 | Y right .7 .9 | none
 *   min  .2 .5 .4 -> B wrong    .8 .7 -> X wrong      last .2 .5 .6 -> B    .8 .9 -> Y right
 *   prod .18 .25 .24 -> B       .72 .63 -> X          mean .55 .5 .5 -> A right   .85 .8 -> X
 *   max  .9 .5 .6 -> A          .9 .9 -> X, the first of equal ones
 *   vote: P A 1 of 3 -> B; Q X and Y tie -> X. weighted by mean: P A .55, B 1.0; by last: Q Y. */
static const char by_hand[] =
    "{\"problem_id\":\"P\",\"candidate\":2,\"answer\":\"B\",\"correct\":false,"
    "\"step_scores\":[0.4,0.6],\"first_error\":1}\n"
    "{\"problem_id\":\"P\",\"candidate\":0,\"answer\":\"A\",\"correct\":true,"
    "\"step_scores\":[0.9,0.2],\"first_error\":1}\n"
    "{\"problem_id\":\"P\",\"candidate\":1,\"answer\":\"B\",\"correct\":false,"
    "\"step_scores\":[0.5,0.5],\"first_error\":0}\n"
    "{\"problem_id\":7,\"candidate\":0,\"answer\":\"X\",\"correct\":false,"
    "\"step_scores\":[0.9,0.8]}\n"
    "{\"problem_id\":7,\"candidate\":1,\"answer\":\"Y\",\"correct\":true,"
    "\"step_scores\":[0.7,0.9],\"first_error\":-1}\n"
    "{\"problem_id\":7,\"candidate\":2,\"answer\":null,\"correct\":null,\"step_scores\":[]}\n";

static void test_by_hand(void **state) {
    (void)state;
    yyjson_doc *d = measure(by_hand);
    NEAR(num(d, "n_problems"), 2, 0);
    NEAR(num(d, "n_candidates"), 6, 0);
    NEAR(num(d, "n_unscored"), 1, 0);
    NEAR(num(d, "n_unknown"), 1, 0);
    NEAR(acc(d, "mean"), 1.0 / 3.0, 1e-9); /* nine digits are written */
    NEAR(acc(d, "pass"), 1.0, 0);
    NEAR(acc(d, "majority"), 0.0, 0);
    NEAR(acc(d, "bon_min"), 0.0, 0);
    NEAR(acc(d, "bon_last"), 0.5, 0);
    NEAR(acc(d, "bon_prod"), 0.0, 0);
    NEAR(acc(d, "bon_mean"), 0.5, 0);
    NEAR(acc(d, "bon_max"), 0.5, 0);
    NEAR(acc(d, "vote_mean"), 0.0, 0);
    NEAR(acc(d, "vote_last"), 0.5, 0);
    NEAR(rung_json_f64(method(d, "bon_last"), "diff", NAN), 0.5, 0);
    NEAR(rung_json_f64(method(d, "bon_last"), "p", NAN), 1.0, 1e-12); /* one win of one */
    yyjson_doc_free(d);
}

/* Right answers with a known process: A of P (error at 1) and Y of 7 (none): 1 of 2; A's least
 * score .2 is flagged: 1 of 1. Least at the last step: A, X of five scored ones (B: .5 .5 is no
 * last). */
static void test_bias(void **state) {
    (void)state;
    yyjson_doc *d = measure(by_hand);
    yyjson_val *b = yyjson_obj_get(yyjson_doc_get_root(d), "bias");
    NEAR(rung_json_f64(b, "process_error", NAN), 0.5, 0);
    NEAR(rung_json_f64(b, "flagged", NAN), 1.0, 0);
    NEAR(rung_json_f64(b, "least_last", NAN), 0.4, 1e-12);
    NEAR(rung_json_f64(b, "n_scored", NAN), 5, 0);
    yyjson_doc_free(d);
}

static void test_bad_lines(void **state) {
    (void)state;
    char text[2048];
    snprintf(text, sizeof text, "%s%s", by_hand,
             "not json\n"
             "{\"problem_id\":\"P\",\"candidate\":2,\"answer\":\"B\",\"correct\":false}\n"
             "{\"problem_id\":\"P\",\"candidate\":9,\"step_scores\":[0.1,null]}\n"
             "{\"problem_id\":\"P\",\"candidate\":10,\"step_scores\":[0.1],\"first_error\":1}\n"
             "{\"problem_id\":\"P\",\"candidate\":\"x\"}\n{\"candidate\":1}\n"
             "{\"problem_id\":\"P\",\"candidate\":11,\"correct\":\"yes\"}\n");
    yyjson_doc *d = measure(text);
    NEAR(num(d, "n_rejected"), 7, 0);
    NEAR(num(d, "n_candidates"), 6, 0);
    NEAR(acc(d, "bon_mean"), 0.5, 0);
    yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(d), "rejected");
    assert_int_equal(yyjson_arr_size(list), 7);
    yyjson_val *twice = yyjson_arr_get(list, 1);
    assert_string_equal(rung_json_str(twice, "reason", ""),
                        "this candidate of the problem stands above");
    assert_int_equal(yyjson_get_int(yyjson_arr_get_first(yyjson_obj_get(twice, "lines"))), 8);
    yyjson_doc_free(d);
}

/* Whatever the scores: nothing beats the bound; equal scores choose the first; the order of lines
 * is of no account. */
static void test_properties(void **state) {
    (void)state;
    rung_buf b[2];
    yyjson_doc *d[2];
    for (int way = 0; way < 2; way++) {
        rung_buf_init(&b[way], 0);
        for (int i = 0; i < 240; i++) {
            int k = way ? 239 - i : i;
            rung_rng r = rung_rng_at(9, RUNG_STREAM_TEST, (uint64_t)k, 0);
            bool right = rung_rng_f64(&r) < 0.4;
            rung_buf_printf(&b[way],
                            "{\"problem_id\":%d,\"candidate\":%d,\"answer\":\"%d\",\"correct\":%s,"
                            "\"step_scores\":[%.3f,%.3f,%.3f]}\n",
                            k / 8, k % 8, right ? 0 : 1 + (k % 3), right ? "true" : "false",
                            rung_rng_f64(&r), rung_rng_f64(&r), rung_rng_f64(&r));
        }
        d[way] = measure(b[way].data);
        rung_buf_clear(&b[way]);
    }
    yyjson_arr_iter it = yyjson_arr_iter_with(yyjson_obj_get(yyjson_doc_get_root(d[0]), "methods"));
    for (yyjson_val *m; (m = yyjson_arr_iter_next(&it)) != NULL;) {
        const char *name = rung_json_str(m, "name", "");
        assert_true(acc(d[0], name) <= acc(d[0], "pass"));
        NEAR(acc(d[0], name), acc(d[1], name), 1e-12);
    }
    NEAR(acc(d[0], "bon_geo"), acc(d[0], "bon_prod"), 1e-12); /* equal lengths: equal orders */
    yyjson_doc_free(d[0]);
    yyjson_doc_free(d[1]);
}

static void test_nothing(void **state) {
    (void)state;
    rung_pool_file_opts o = RUNG_POOL_FILE_OPTS_INIT;
    rung_error e = RUNG_ERROR_INIT;
    rung_buf b;
    rung_buf_init(&b, 0);
    write_file("{}\n");
    assert_int_equal(rung_bench_pool_file(&b, path, &o, NULL, &e), RUNG_E_NOT_FOUND);
    unlink(path);
    assert_int_equal(rung_bench_pool_file(&b, path, &o, NULL, &e), RUNG_E_NOT_FOUND);
    rung_buf_clear(&b);
}

/* From the store: the problems of ProcessBench's gsm8k subset have 7 flawed among 200 right answers
 * (labels.md 1); here 2 of 8, and a model that flags one of them. */
static void test_bias_of_store(void **state) {
    (void)state;
    fixture f;
    fix_open(&f, ":memory:");
    for (int i = 0; i < 10; i++) {
        char text[3][32];
        const char *step[3];
        fix_trace t = {.run = f.pool,
                       .problem = fix_problem(f.store, "cases", i, "q"),
                       .n_steps = 3,
                       .first_error = i < 2   ? 1
                                      : i < 8 ? -1
                                              : 2,
                       .answer = "1",
                       .key = "1",
                       .verdict = i < 8 ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG,
                       .orm = NAN,
                       .prm = {0.9, i == 0 ? 0.3 : 0.8, i == 9 ? 0.1 : 0.85},
                       .confidence = {NAN, NAN, NAN}};
        for (int k = 0; k < 3; k++) {
            snprintf(text[k], sizeof text[k], "step %d of %d\n", k, i);
            step[k] = text[k];
        }
        int64_t node[FIX_STEPS];
        fix_put(&f, &t, step, node);
    }
    rung_buf b;
    rung_buf_init(&b, 0);
    rung_filter all = {0};
    FIX(rung_bench_bias(&b, f.store, f.prm, 0.5, &all, 200, 1, err));
    yyjson_doc *d = yyjson_read(b.data, b.n, 0);
    yyjson_val *z = yyjson_obj_get(yyjson_doc_get_root(d), "bias");
    NEAR(rung_json_f64(z, "process_error", NAN), 0.25, 0);
    NEAR(rung_json_f64(z, "flagged", NAN), 0.5, 0);
    NEAR(rung_json_f64(z, "least_last", NAN), 0.1, 1e-12);
    yyjson_doc_free(d);
    rung_buf_clear(&b);
    rung_store_close(f.store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),   cmocka_unit_test(test_bias),
        cmocka_unit_test(test_bad_lines), cmocka_unit_test(test_properties),
        cmocka_unit_test(test_nothing),   cmocka_unit_test(test_bias_of_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
