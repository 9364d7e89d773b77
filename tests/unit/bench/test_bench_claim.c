/* Arms of a claim by hand and by simulation; critics on ProcessBench; PRMBench's classes; what a
 * labelling run gave. */
#include "base/json.h"
#include "rung/bench_file.h"
#include "rung/claim.h"
#include "unit/bench/bench_fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <unistd.h>

#define NEAR(a, b, tol) assert_true(fabs((a) - (b)) <= (tol))

static void push(rung_arm *a, uint64_t cluster, double x, double y) {
    FIX(rung_arm_push(a, cluster, x, y, err));
}

/* ---- figures by hand */

static void test_figures(void **state) {
    (void)state;
    rung_arm a = {0};
    push(&a, 1, 1, 1); /* three cases with an error, one of them found: 1/3 */
    push(&a, 1, 0, 1);
    push(&a, 2, 0, 1);
    push(&a, 2, 1, 0); /* two without, one left alone: 1/2 */
    push(&a, 3, 0, 0);
    NEAR(rung_arm_value(RUNG_ARM_ACC_ERR, &a), 1.0 / 3.0, 1e-12);
    NEAR(rung_arm_value(RUNG_ARM_ACC_COR, &a), 0.5, 1e-12);
    NEAR(rung_arm_value(RUNG_ARM_F1, &a), 0.4, 1e-12); /* 2 (1/3)(1/2) / (5/6) */
    NEAR(rung_arm_value(RUNG_ARM_RATIO, &a), 2.0 / 3.0, 1e-12);
    rung_arm_clear(&a);
    push(&a, 1, 9, 10);
    push(&a, 2, 6, 10); /* 15 of 20 are positive: the rarer class has a quarter */
    NEAR(rung_arm_value(RUNG_ARM_RARE, &a), 0.25, 1e-12);
    rung_arm_clear(&a);
    push(&a, 1, .9, 1); /* of the 4 pairs 2 are won, 1 is tied: 2.5 / 4 */
    push(&a, 1, .3, 1);
    push(&a, 2, .3, 0);
    push(&a, 2, .5, 0);
    NEAR(rung_arm_value(RUNG_ARM_AUROC, &a), 0.625, 1e-12);
    rung_arm_clear(&a);
    push(&a, 1, 0, 1);
    push(&a, 2, 0, 0);
    NEAR(rung_arm_value(RUNG_ARM_F1, &a), 0.0, 0); /* both are 0 */
    rung_arm_clear(&a);
    push(&a, 1, 1, 1);
    assert_true(isnan(rung_arm_value(RUNG_ARM_F1, &a))); /* a class is missing */
    rung_arm_clear(&a);
}

/* ---- coverage: seeds that differ and problems that differ, both known */

static void test_interval(void **state) {
    (void)state;
    enum { S = 8, N = 60, TIMES = 200 };
    int covered = 0, excludes = 0;
    for (int rep = 0; rep < TIMES; rep++) {
        rung_arm a[S] = {{0}}, b[S] = {{0}};
        for (int j = 0; j < S; j++) {
            rung_rng r = rung_rng_at(77, RUNG_STREAM_TEST, (uint64_t)rep, (uint64_t)j);
            double of_seed = 0.05 * rung_rng_normal(&r);
            for (int i = 0; i < N; i++) {
                rung_rng p = rung_rng_at(78, RUNG_STREAM_TEST, (uint64_t)rep, (uint64_t)(1000 + i));
                double of_problem = 0.2 * rung_rng_normal(&p);
                push(&a[j], (uint64_t)i, 0.1 + of_seed + of_problem + 0.1 * rung_rng_normal(&r), 1);
                push(&b[j], (uint64_t)i, 0.1 * rung_rng_normal(&r), 1);
            }
        }
        rung_arms z;
        FIX(rung_arms_compare(&z, RUNG_ARM_RATIO, a, b, 0, S, 300, 5, err));
        assert_int_equal(z.n_clusters, N);
        NEAR(z.arm - z.over, z.diff, 1e-12);
        covered += z.ci.lo <= 0.1 && 0.1 <= z.ci.hi;
        excludes += z.ci.lo > 0;
        for (int j = 0; j < S; j++) {
            rung_arm_clear(&a[j]);
            rung_arm_clear(&b[j]);
        }
    }
    /* .95, less what eight seeds leave out; an interval over problems alone covers less */
    assert_true(covered >= 0.88 * TIMES && covered <= 0.99 * TIMES);
    assert_true(excludes > 0.6 * TIMES);
}

/* Equal arms: nothing, whatever is drawn; a constant; an arm with nothing in it. */
static void test_edges(void **state) {
    (void)state;
    rung_arm a[2] = {{0}}, none[2] = {{0}};
    for (int j = 0; j < 2; j++)
        for (int i = 0; i < 10; i++) push(&a[j], (uint64_t)i, i % 2, 1);
    rung_arms z;
    FIX(rung_arms_compare(&z, RUNG_ARM_RATIO, a, a, 0, 2, 200, 1, err));
    assert_true(z.diff == 0 && z.ci.lo == 0 && z.ci.hi == 0);
    FIX(rung_arms_compare(&z, RUNG_ARM_RATIO, a, NULL, 0.25, 2, 200, 1, err));
    NEAR(z.diff, 0.25, 1e-12);
    NEAR(z.over, 0.25, 1e-12);
    rung_arms again;
    FIX(rung_arms_compare(&again, RUNG_ARM_RATIO, a, NULL, 0.25, 2, 200, 1, err));
    assert_true(z.ci.lo == again.ci.lo && z.ci.hi == again.ci.hi);
    rung_error e = RUNG_ERROR_INIT;
    assert_int_equal(rung_arms_compare(&z, RUNG_ARM_RATIO, a, none, 0, 2, 200, 1, &e),
                     RUNG_E_NOT_FOUND);
    assert_int_equal(rung_arms_compare(&z, RUNG_ARM_RATIO, a, a, 0, 0, 200, 1, &e), RUNG_E_INVAL);
    for (int j = 0; j < 2; j++) rung_arm_clear(&a[j]);
}

/* ---- a critic on ProcessBench, one vote and three */

static void put_critique(fixture *f, int64_t run, int64_t trace, int i, int32_t first_error) {
    char meta[64];
    snprintf(meta, sizeof meta, "{\"claim\":\"%d\"}", first_error);
    if (first_error == RUNG_FIRST_ERROR_UNKNOWN) snprintf(meta, sizeof meta, "{\"claim\":\"\"}");
    bool is_new;
    rung_critique c = {.run = run,
                       .trace = trace,
                       .i = i,
                       .critic = "critic",
                       .text = "",
                       .first_error = first_error,
                       .meta = meta};
    FIX(rung_critique_put(f->store, &c, &is_new, err));
}

static yyjson_doc *critic(fixture *f, int64_t run) {
    rung_pb_opts o = RUNG_PB_OPTS_INIT;
    rung_label_source from = {.run = run, .source = "judge"};
    rung_buf b;
    o.set = "cases";
    o.labels = &from;
    o.n_boot = 200;
    rung_buf_init(&b, 0);
    FIX(rung_bench_processbench(&b, f->store, &o, err));
    yyjson_doc *d = yyjson_read(b.data, b.n, 0);
    assert_non_null(d);
    rung_buf_clear(&b);
    return d;
}

static double num(yyjson_doc *d, const char *key) {
    return rung_json_f64(yyjson_doc_get_root(d), key, NAN);
}

/* Labels -1 -1 1 2. One vote: -1, 0, 1, unparsed: half of either class, F1 50. Three votes: the
 * majority of claims (the first seen on a tie, unparsed ones do not vote): -1; 0 -1 -1 -> -1; 1 ? 1
 * -> 1; 0 2 ? -> 0, a tie: acc_cor 100, acc_err 50, F1 66.67. */
static void test_critic(void **state) {
    (void)state;
    enum { U = RUNG_FIRST_ERROR_UNKNOWN };
    static const int32_t label[4] = {-1, -1, 1, 2};
    static const int32_t one[4] = {-1, 0, 1, U};
    static const int32_t three[4][3] = {{-1, -1, 2}, {0, -1, -1}, {1, U, 1}, {0, 2, U}};
    fixture f;
    fix_open(&f, ":memory:");
    int64_t run1 = fix_run(f.store, "one", "label.judge");
    int64_t run3 = fix_run(f.store, "three", "label.judge");
    for (int i = 0; i < 4; i++) {
        char question[16], text[3][32];
        const char *step[3];
        snprintf(question, sizeof question, "q%d", i);
        fix_trace t = {.run = f.pool,
                       .problem = fix_problem(f.store, "cases", i, question),
                       .n_steps = 3,
                       .first_error = label[i],
                       .answer = "1",
                       .key = "1",
                       .verdict = RUNG_VERDICT_WRONG,
                       .prm = {NAN, NAN, NAN},
                       .orm = NAN,
                       .confidence = {NAN, NAN, NAN}};
        for (int k = 0; k < 3; k++) {
            snprintf(text[k], sizeof text[k], "step %d of %d\n", k, i);
            step[k] = text[k];
        }
        int64_t node[FIX_STEPS];
        fix_put(&f, &t, step, node);
        put_critique(&f, run1, i + 1, 0, one[i]);
        for (int v = 0; v < 3; v++) put_critique(&f, run3, i + 1, v, three[i][v]);
    }
    yyjson_doc *d = critic(&f, run1);
    NEAR(num(d, "acc_err"), 50, 1e-9);
    NEAR(num(d, "acc_cor"), 50, 1e-9);
    NEAR(num(d, "f1"), 50, 1e-9);
    NEAR(num(d, "n_unscored"), 1, 0); /* the unparsed one: a miss */
    assert_true(isnan(num(d, "threshold")));
    yyjson_doc_free(d);
    d = critic(&f, run3);
    NEAR(num(d, "acc_err"), 50, 1e-9);
    NEAR(num(d, "acc_cor"), 100, 1e-9);
    NEAR(num(d, "f1"), 200.0 / 3.0, 1e-6);
    yyjson_doc_free(d);
    rung_arm a = {0};
    rung_pb_opts o = RUNG_PB_OPTS_INIT;
    rung_label_source from = {.run = run3, .source = "judge"};
    o.set = "cases";
    o.labels = &from;
    FIX(rung_arm_processbench(&a, f.store, &o, err));
    assert_int_equal(a.n, 4);
    NEAR(rung_arm_value(RUNG_ARM_F1, &a), 2.0 / 3.0, 1e-12);
    rung_arm_clear(&a);
    rung_store_close(f.store);
}

/* ---- PRMBench */

/* Scores of the six steps, errors {3,4}: labels 1 1 1 0 1 0 -> TP 3 FP 1 TN 1 FN 1, score .625
 * (feedback.md 10.7). The second case has the same in a redundant class: there .2 is above .15, so
 * its labels are 1 1 1 1 1 1 -> TP 4 FP 2: F1 .8, negative F1 undefined. All: TP 7 FP 3 TN 1 FN 1:
 * F1 7/9, negative 1/3, score 5/9. "correct" is in no total. */
static void test_prmbench(void **state) {
    (void)state;
    fixture f;
    char path[64];
    fix_open(&f, ":memory:");
    static const double score[6] = {.9, .8, .7, .2, .6, .2};
    static const char *const class_name[4] = {"confidence", "circular", "correct", "deception"};
    rung_buf b;
    rung_buf_init(&b, 0);
    for (int i = 0; i < 4; i++) {
        char text[6][32];
        const char *step[6];
        fix_trace t = {.run = f.pool,
                       .problem = fix_problem(f.store, "bench", i, "q"),
                       .n_steps = 6,
                       .first_error = 2,
                       .answer = "1",
                       .key = "1",
                       .verdict = RUNG_VERDICT_WRONG,
                       .orm = NAN,
                       .confidence = {NAN, NAN, NAN, NAN, NAN, NAN}};
        rung_buf_printf(&b,
                        "{\"idx\":\"bench-%d\",\"classification\":\"%s\",\"modified_question\":"
                        "\"q\",\"modified_process\":[",
                        i, class_name[i]);
        for (int k = 0; k < 6; k++) {
            snprintf(text[k], sizeof text[k], "step %d of %d\n", k, i);
            step[k] = text[k];
            t.prm[k] = i == 3 ? NAN : score[k]; /* the last case is not scored */
            rung_buf_printf(&b, "%s\"step %d\"", k ? "," : "", k);
        }
        rung_buf_str(&b, "],\"error_steps\":[3,4]}\n");
        int64_t node[FIX_STEPS];
        fix_put(&f, &t, step, node);
    }
    rung_buf_str(&b, "{\"idx\":\"bench-9\",\"classification\":\"odd\",\"modified_question\":\"q\","
                     "\"modified_process\":[\"a\"],\"error_steps\":[1]}\n");
    snprintf(path, sizeof path, "prmbench-%ld.jsonl", (long)getpid());
    FIX(rung_file_write(path, b.data, b.n, err));
    rung_prmbench_opts o = RUNG_PRMBENCH_OPTS_INIT;
    o.set = "bench";
    o.model = f.prm;
    o.n_boot = 200;
    rung_buf_reset(&b);
    FIX(rung_bench_prmbench(&b, f.store, path, &o, NULL, err));
    unlink(path);
    yyjson_doc *d = yyjson_read(b.data, b.n, 0);
    assert_non_null(d);
    NEAR(num(d, "n"), 2, 0);
    NEAR(num(d, "n_unscored"), 1, 0);
    NEAR(num(d, "n_correct_class"), 1, 0);
    yyjson_val *root = yyjson_doc_get_root(d), *classes = yyjson_obj_get(root, "classes");
    assert_int_equal(yyjson_arr_size(classes), 9);
    yyjson_val *circular = yyjson_arr_get(classes, 1), *confidence = yyjson_arr_get(classes, 5);
    NEAR(rung_json_f64(confidence, "prmscore", NAN), 0.625, 1e-9);
    NEAR(rung_json_f64(confidence, "f1", NAN), 0.75, 1e-9);
    NEAR(rung_json_f64(confidence, "f1_negative", NAN), 0.5, 1e-9);
    NEAR(rung_json_f64(confidence, "acc_first", NAN), 0.0, 0);
    NEAR(rung_json_f64(circular, "f1", NAN), 0.8, 1e-9);
    assert_true(isnan(rung_json_f64(circular, "prmscore", NAN)));
    yyjson_val *total = yyjson_obj_get(root, "total");
    NEAR(rung_json_f64(total, "prmscore", NAN), 5.0 / 9.0, 1e-8);
    NEAR(rung_json_f64(yyjson_obj_get(root, "file"), "rows_in", NAN), 5, 0);
    yyjson_doc_free(d);
    rung_buf_clear(&b);
    rung_store_close(f.store);
}

/* ---- yield */

/* Three problems: one trace with labels 1 1 0 (truth: error at 2, so all agree), one with a label 0
 * on a right step, one without labels. */
static void test_yield(void **state) {
    (void)state;
    fixture f;
    fix_open(&f, ":memory:");
    int64_t run = fix_run(f.store, "mc", "label.mc");
    static const int hard[3][3] = {{1, 1, 0}, {0, -1, -1}, {-1, -1, -1}};
    static const int32_t error[3] = {2, -1, -1};
    for (int i = 0; i < 3; i++) {
        char text[3][32];
        const char *step[3];
        fix_trace t = {.run = f.pool,
                       .problem = fix_problem(f.store, "cases", i, "q"),
                       .n_steps = 3,
                       .first_error = error[i],
                       .answer = "1",
                       .key = "1",
                       .verdict = RUNG_VERDICT_WRONG,
                       .prm = {NAN, NAN, NAN},
                       .orm = NAN,
                       .confidence = {NAN, NAN, NAN}};
        for (int k = 0; k < 3; k++) {
            snprintf(text[k], sizeof text[k], "step %d of %d\n", k, i);
            step[k] = text[k];
        }
        int64_t node[FIX_STEPS];
        fix_put(&f, &t, step, node);
        for (int k = 0; k < 3; k++) {
            if (hard[i][k] < 0) continue;
            bool is_new;
            rung_label l = {.run = run,
                            .node = node[k],
                            .source = "mc",
                            .labeler = "x",
                            .hard = (int8_t)hard[i][k],
                            .soft = hard[i][k],
                            .n = 4,
                            .c = hard[i][k]};
            FIX(rung_label_put(f.store, &l, &is_new, err));
        }
    }
    rung_label_source from = {.run = run, .source = "mc"};
    rung_filter traces = {.run = f.pool}, all = {0};
    static const double want[3] = {4.0 / 3.0, 0.5, 0.75};
    for (int k = 0; k < 3; k++) {
        rung_label_yield z;
        rung_arm a = {0};
        FIX(rung_bench_yield(&z, &a, (rung_yield_figure)k, f.store, &from, &traces, &all, err));
        assert_int_equal(z.n_problems, 3);
        assert_int_equal(z.n_labels, 4);
        assert_int_equal(z.n_hard_1, 2);
        assert_int_equal(z.n_known, 4);
        assert_int_equal(z.n_agree, 3);
        NEAR(rung_arm_value(k == RUNG_YIELD_RARE ? RUNG_ARM_RARE : RUNG_ARM_RATIO, &a), want[k],
             1e-12);
        rung_arm_clear(&a);
    }
    rung_store_close(f.store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figures),  cmocka_unit_test(test_interval),
        cmocka_unit_test(test_edges),    cmocka_unit_test(test_critic),
        cmocka_unit_test(test_prmbench), cmocka_unit_test(test_yield),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
