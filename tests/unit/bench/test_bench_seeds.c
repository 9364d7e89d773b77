/* A difference over several seeds, by hand; and the differences that it is made of. */
#include "base/json.h"
#include "rung/bench.h"
#include "unit/bench/bench_fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NEAR(a, b, tol) assert_true(fabs((a) - (b)) <= (tol))

static void by_hand(void **state) {
    (void)state;
    /* problem 2 is missing with the second seed, 9 with the first */
    rung_answer_diff a[] = {{1, .5}, {2, 1}, {4, 0}, {7, -.5}},
                     b[] = {{1, 0}, {4, .25}, {7, 0}, {9, 1}},
                     c[] = {{1, 1}, {2, 1}, {4, -1}, {7, -.25}};
    rung_answer_diff *diff[] = {a, b, c};
    int64_t n[] = {4, 4, 4};
    rung_seeds s;
    FIX(rung_bench_seeds(&s, diff, n, 3, 5, err));
    assert_int_equal(s.n_problems, 3);
    assert_int_equal(s.n_left_out, 1);
    /* inside problems: .5, -.25, -.25; over seeds: 0, .25/3, -.25/3 */
    NEAR(s.diff, 0.0, 1e-15);
    NEAR(s.seed_diff[0], 0.0, 1e-15);
    NEAR(s.seed_diff[1], .25 / 3, 1e-15);
    NEAR(s.seed_diff[2], -.25 / 3, 1e-15);
    NEAR(s.seed_sd, .25 / 3, 1e-15);
    double mean[] = {.5, -.25, -.25};
    rung_interval ci = rung_bootstrap_mean(mean, 3, 10000, .95, 5);
    assert_true(s.ci.lo == ci.lo && s.ci.hi == ci.hi);
    FIX(rung_bench_seeds(&s, diff, n, 1, 5, err)); /* one seed: itself, no spread */
    assert_int_equal(s.n_problems, 4);
    NEAR(s.diff, .25, 1e-15);
    assert_true(isnan(s.seed_sd));
    int64_t none[] = {4, 0, 4};
    rung_error e = RUNG_ERROR_INIT;
    assert_int_equal(rung_bench_seeds(&s, diff, none, 3, 5, &e), RUNG_E_NOT_FOUND);
    assert_int_equal(rung_bench_seeds(&s, diff, n, 0, 5, &e), RUNG_E_INVAL);
    assert_int_equal(rung_bench_seeds(&s, diff, n, 65, 5, &e), RUNG_E_INVAL);
}

/* Their mean is the object's vs. */
static void diffs_average_to_the_object(void **state) {
    (void)state;
    fixture f;
    fix_full(&f, ":memory:", 12);
    rung_answer_opts o = RUNG_ANSWER_OPTS_INIT;
    o.traces.run = f.pool;
    o.prm_model = f.prm;
    o.n_boot = 100;
    o.seed = 3;
    rung_buf b;
    rung_buf_init(&b, 1 << 22);
    FIX(rung_bench_answer(&b, f.store, &o, NULL, err));
    yyjson_doc *d = yyjson_read(b.data, b.n, 0);
    rung_buf_clear(&b);
    yyjson_val *m;
    size_t i, max;
    int n_checked = 0;
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(d), "methods"), i, max, m) {
        yyjson_val *vs = yyjson_obj_get(yyjson_obj_get(m, "vs"), "majority");
        if (!vs) continue;
        rung_answer_diff *diff;
        int64_t n;
        FIX(rung_bench_answer_diffs(&diff, &n, f.store, &o, rung_json_str(m, "name", ""),
                                    "majority", NULL, err));
        double sum = 0.0;
        for (int64_t k = 0; k < n; k++) {
            sum += diff[k].diff;
            assert_true(k == 0 || diff[k].problem > diff[k - 1].problem);
        }
        NEAR(sum / (double)n, rung_json_f64(vs, "diff", NAN), 1e-8);
        n_checked++;
        rung_free(diff);
    }
    assert_true(n_checked >= 3);
    yyjson_doc_free(d);
    rung_error e = RUNG_ERROR_INIT;
    rung_answer_diff *diff;
    int64_t n;
    assert_int_equal(rung_bench_answer_diffs(&diff, &n, f.store, &o, "nothing", "single", NULL, &e),
                     RUNG_E_NOT_FOUND);
    assert_null(diff);
    rung_store_close(f.store);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_hand),
                                       cmocka_unit_test(diffs_average_to_the_object)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
