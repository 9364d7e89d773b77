/* ProcessBench from stored scores, and step scores against labels. */
#include "base/json.h"
#include "bench/steps.h"
#include "rung/problem.h"
#include "rung/rng.h"
#include "unit/bench/bench_fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NEAR(a, b, tol) assert_true(fabs((a) - (b)) <= (tol))

static yyjson_doc *read_buf(rung_buf *b) {
    yyjson_doc *doc = yyjson_read(b->data, b->n, 0);
    assert_non_null(doc);
    rung_buf_clear(b);
    return doc;
}

static double num(yyjson_doc *d, const char *key) {
    return rung_json_f64(yyjson_doc_get_root(d), key, NAN);
}

/* n problems of one trace with 3 steps each; first error -1, 0, 1, 2 in turn. score(i, k, label).
 */
static int n_questions = 1 << 20; /* after so many, the same texts again under other ids */

static void pb_store(fixture *f, int n, double (*score)(int i, int k, int label)) {
    fix_open(f, ":memory:");
    for (int i = 0; i < n; i++) {
        char question[32], text[3][32];
        const char *step[3];
        snprintf(question, sizeof question, "q%d", i % n_questions);
        fix_trace t = {.run = f->pool,
                       .problem = fix_problem(f->store, "cases", i, question),
                       .n_steps = 3,
                       .first_error = i % 4 - 1,
                       .answer = "1",
                       .key = "1",
                       .verdict = RUNG_VERDICT_WRONG,
                       .orm = NAN,
                       .confidence = {NAN, NAN, NAN}};
        for (int k = 0; k < 3; k++) {
            snprintf(text[k], sizeof text[k], "step %d\n", k);
            step[k] = text[k];
            t.prm[k] = score(i, k, t.first_error);
        }
        int64_t node[FIX_STEPS];
        fix_put(f, &t, step, node);
    }
}

static yyjson_doc *pb(const fixture *f, double tau, const char *tune_set) {
    rung_pb_opts o = RUNG_PB_OPTS_INIT;
    o.set = "cases";
    o.model = f->prm;
    o.tau = tau;
    o.tune_set = tune_set;
    o.n_boot = 300;
    rung_buf b;
    rung_buf_init(&b, 1 << 20);
    FIX(rung_bench_processbench(&b, f->store, &o, err));
    return read_buf(&b);
}

static double perfect(int i, int k, int label) {
    (void)i;
    return k == label ? .4 : .9;
}
static double high(int i, int k, int label) {
    (void)i, (void)k, (void)label;
    return .9;
}
static double low(int i, int k, int label) {
    (void)i, (void)k, (void)label;
    return .1;
}
static double at_tau(int i, int k, int label) {
    (void)i;
    return k == label ? .5 : .9; /* equal to tau is not below it */
}
static double missing(int i, int k, int label) {
    return i % 4 == 1 && k == 2 ? NAN : perfect(i, k, label);
}
static double shifted(int i, int k, int label) {
    (void)i;
    return k == label ? .08 : .2 + .1 * k; /* separable, but far from one half */
}

static void golden(void **ud) {
    (void)ud;
    fixture f;
    pb_store(&f, 40, perfect);
    yyjson_doc *d = pb(&f, .5, NULL);
    assert_true(num(d, "acc_err") == 100 && num(d, "acc_cor") == 100 && num(d, "f1") == 100);
    assert_int_equal(num(d, "n"), 40);
    assert_int_equal(num(d, "n_err"), 30);
    yyjson_val *ci = yyjson_obj_get(yyjson_doc_get_root(d), "ci95");
    assert_true(yyjson_get_num(yyjson_arr_get(ci, 0)) == 100);
    assert_string_equal(rung_json_str(yyjson_doc_get_root(d), "subset", ""), "cases");
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(yyjson_doc_get_root(d), "sweep")), 21);
    yyjson_doc_free(d);
    rung_store_close(f.store);

    pb_store(&f, 40, high); /* always -1 */
    d = pb(&f, .5, NULL);
    assert_true(num(d, "acc_err") == 0 && num(d, "acc_cor") == 100 && num(d, "f1") == 0);
    yyjson_doc_free(d);
    rung_store_close(f.store);

    pb_store(&f, 40, low); /* always 0: a third of the erroneous cases */
    d = pb(&f, .5, NULL);
    NEAR(num(d, "acc_err"), 100.0 / 3, 1e-6);
    assert_true(num(d, "acc_cor") == 0 && num(d, "f1") == 0);
    yyjson_doc_free(d);
    rung_store_close(f.store);

    pb_store(&f, 40, at_tau);
    d = pb(&f, .5, NULL);
    assert_true(num(d, "acc_err") == 0 && num(d, "acc_cor") == 100);
    yyjson_doc_free(d);
    rung_store_close(f.store);
}

static double partly(int i, int k, int label) {
    return i % 20 % 3 ? perfect(i, k, label) : high(i, k, label);
}

/* Four copies of each of 20 questions know no more than the 20: the same interval to the last bit,
 * though there are 80 cases. */
static void copies_of_a_question_count_once(void **ud) {
    (void)ud;
    double ci[3][2];
    for (int round = 0; round < 3; round++) {
        fixture f;
        n_questions = round == 1 ? 20 : 1 << 20;
        pb_store(&f, round ? 80 : 20, partly);
        n_questions = 1 << 20;
        yyjson_doc *d = pb(&f, .5, NULL);
        assert_int_equal(num(d, "n"), round ? 80 : 20);
        assert_int_equal(num(d, "n_questions"), round == 2 ? 80 : 20);
        yyjson_val *v = yyjson_obj_get(yyjson_doc_get_root(d), "ci95");
        for (size_t i = 0; i < 2; i++) ci[round][i] = yyjson_get_num(yyjson_arr_get(v, i));
        yyjson_doc_free(d);
        rung_store_close(f.store);
    }
    assert_true(ci[1][0] == ci[0][0] && ci[1][1] == ci[0][1]);
    assert_true(ci[2][1] - ci[2][0] < .7 * (ci[0][1] - ci[0][0])); /* about half as wide */
}

static void unscored_is_a_miss(void **ud) {
    (void)ud;
    fixture f;
    pb_store(&f, 40, missing); /* the ten cases with label 0 lack their last score */
    yyjson_doc *d = pb(&f, .5, NULL);
    assert_int_equal(num(d, "n_unscored"), 10);
    NEAR(num(d, "acc_err"), 100.0 * 20 / 30, 1e-6);
    yyjson_doc_free(d);
    rung_error fault = RUNG_ERROR_INIT;
    rung_buf b;
    rung_buf_init(&b, 1 << 20);
    rung_pb_opts o = RUNG_PB_OPTS_INIT;
    o.set = "cases";
    o.model = f.orm; /* has scored nothing here */
    assert_int_equal(rung_bench_processbench(&b, f.store, &o, &fault), RUNG_E_NOT_FOUND);
    o.set = "absent";
    assert_int_equal(rung_bench_processbench(&b, f.store, &o, &fault), RUNG_E_NOT_FOUND);
    o.set = NULL;
    assert_int_equal(rung_bench_processbench(&b, f.store, &o, &fault), RUNG_E_INVAL);
    assert_int_equal(b.n, 0);
    rung_store_close(f.store);
}

static void tuned(void **ud) {
    (void)ud;
    fixture f;
    pb_store(&f, 40, shifted);
    yyjson_doc *d = pb(&f, .5, NULL); /* everything is below one half */
    assert_true(num(d, "f1") == 0);
    assert_true(yyjson_is_null(yyjson_obj_get(yyjson_doc_get_root(d), "tuned_on")));
    yyjson_doc_free(d);
    d = pb(&f, -1, "cases"); /* the measured set, by name only */
    assert_true(num(d, "f1") == 100);
    assert_true(yyjson_get_bool(yyjson_obj_get(yyjson_doc_get_root(d), "tuned_on_test")));
    assert_true(num(d, "threshold") > .08 && num(d, "threshold") <= .2);
    assert_string_equal(rung_json_str(yyjson_doc_get_root(d), "tuned_on", ""), "cases");
    yyjson_doc_free(d);
    /* without a set the model's own is meant: it has none until it is calibrated */
    rung_pb_opts o = RUNG_PB_OPTS_INIT;
    rung_error fault = RUNG_ERROR_INIT;
    rung_buf b;
    rung_model_row row = {.name = "calibrated",
                          .kind = "prm",
                          .hash = "cal",
                          .path = "",
                          .meta = "{\"threshold\":0.5}"};
    rung_buf_init(&b, 1 << 20);
    o.set = "cases";
    o.model = f.prm;
    o.tau = -1;
    assert_int_equal(rung_bench_processbench(&b, f.store, &o, &fault), RUNG_E_INVAL);
    assert_non_null(strstr(fault.hint, "--tune"));
    FIX(rung_store_begin(f.store, err));
    FIX(rung_model_put(f.store, &row, err));
    FIX(rung_store_commit(f.store, err));
    o.model = row.id;
    rung_iter *it = NULL;
    const rung_trace *t;
    FIX(rung_store_begin(f.store, err));
    FIX(rung_trace_iter(&it, f.store, &(rung_filter){0}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK)
        for (int32_t k = 0; k < t->n_steps; k++)
            FIX(rung_score_put(f.store, t->step[k].node, o.model, k == t->first_error ? .4 : .6,
                               err));
    rung_iter_free(it);
    FIX(rung_store_commit(f.store, err));
    FIX(rung_bench_processbench(&b, f.store, &o, err));
    d = read_buf(&b);
    assert_true(num(d, "f1") == 100 && num(d, "threshold") == .5);
    assert_string_equal(rung_json_str(yyjson_doc_get_root(d), "tuned_on", ""),
                        "the model's calibration");
    assert_false(yyjson_get_bool(yyjson_obj_get(yyjson_doc_get_root(d), "tuned_on_test")));
    yyjson_doc_free(d);
    rung_store_close(f.store);
}

/* The published subset: 207 erroneous of 400, of which 37 at step 0 (labels.md 1.7a). */
static void published_subset(void **ud) {
    (void)ud;
    const char *data = getenv("RUNG_DATA");
    char path[1024];
    snprintf(path, sizeof path, "%s/processbench/gsm8k.json", data ? data : "");
    const rung_format *imp = rung_format_find("processbench");
    if (!data || !imp) {
        print_message("SKIPPED: RUNG_DATA is not set: the published subset is not read\n");
        skip();
    }
    fixture f;
    fix_open(&f, ":memory:");
    rung_import_opts o = RUNG_IMPORT_OPTS_INIT;
    o.set = "pb-gsm8k";
    o.split = "test";
    rung_import_report rep;
    FIX(rung_import(&rep, f.store, imp, path, &o, NULL, err));
    assert_int_equal(rep.n_traces, 400);
    rung_filter filter = {.set = "pb-gsm8k"};
    for (int round = 0; round < 3; round++) { /* three models: the labels, always -1, always 0 */
        char name[16];
        snprintf(name, sizeof name, "model %d", round);
        int64_t model = fix_model(f.store, name, "prm");
        rung_iter *it;
        const rung_trace *t;
        FIX(rung_trace_iter(&it, f.store, &filter, err));
        while (rung_trace_next(&t, it, NULL) == RUNG_OK)
            for (int k = 0; k < t->n_steps; k++) {
                bool bad = round == 0 ? k == t->first_error : round == 2;
                FIX(rung_score_put(f.store, t->step[k].node, model, bad ? .1 : .9, err));
            }
        rung_iter_free(it);
        rung_pb_opts p = RUNG_PB_OPTS_INIT;
        p.set = "pb-gsm8k";
        p.model = model;
        p.n_boot = 200;
        rung_buf b;
        rung_buf_init(&b, 1 << 20);
        FIX(rung_bench_processbench(&b, f.store, &p, err));
        yyjson_doc *d = read_buf(&b);
        const double want[3][3] = {{100, 100, 100}, {0, 100, 0}, {17.9, 0, 0}};
        NEAR(num(d, "acc_err"), want[round][0], .05);
        NEAR(num(d, "acc_cor"), want[round][1], .05);
        NEAR(num(d, "f1"), want[round][2], .05);
        assert_int_equal(num(d, "n_questions"), 375); /* 25 of the 400 questions repeat */
        assert_int_equal(num(d, "n_err"), 207);
        assert_int_equal(num(d, "n_cor"), 193);
        yyjson_doc_free(d);
    }
    rung_store_close(f.store);
}

/* The calibration vector of feedback.md 10.6 as ten one-step traces with "human" labels. */
static void published_vector(void **ud) {
    (void)ud;
    static const double p[] = {.95, .9, .8, .7, .65, .55, .45, .3, .2, .05};
    static const int y[] = {1, 1, 0, 1, 1, 0, 1, 0, 0, 0};
    fixture f;
    fix_open(&f, ":memory:");
    int64_t labels = fix_run(f.store, "people", "label.import");
    for (int i = 0; i < 10; i++) {
        char question[16];
        snprintf(question, sizeof question, "q%d", i);
        const char *const step[1] = {"the step\n"};
        fix_trace t = {.run = f.pool,
                       .problem = fix_problem(f.store, "vector", i, question),
                       .n_steps = 1,
                       .first_error = -2,
                       .answer = "1",
                       .key = "1",
                       .verdict = y[i] ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG,
                       .prm = {p[i]},
                       .orm = NAN,
                       .confidence = {p[9 - i]}};
        int64_t node[FIX_STEPS];
        fix_put(&f, &t, step, node);
        rung_label l = {.run = labels,
                        .node = node[0],
                        .source = "human",
                        .labeler = "we",
                        .hard = y[i],
                        .soft = NAN};
        FIX(rung_label_put(f.store, &l, NULL, err));
    }
    rung_filter all = {.set = "vector"};
    rung_buf b;
    rung_buf_init(&b, 1 << 20);
    FIX(rung_bench_steps(&b, f.store, f.prm, "human", &all, 1, err));
    yyjson_doc *d = read_buf(&b);
    assert_int_equal(num(d, "n_steps"), 10);
    NEAR(num(d, "auroc"), .84, 1e-8);
    NEAR(num(d, "brier"), .16025, 1e-8);
    NEAR(num(d, "brier_skill"), .359, 1e-8);
    NEAR(num(d, "nll"), .478168, 5e-7);
    NEAR(num(d, "ece_mass10"),
         rung_ece_mass(p, (const double[]){1, 1, 0, 1, 1, 0, 1, 0, 0, 0}, 10, 10), 1e-8);
    NEAR(num(d, "share_wrong"), .5, 1e-8);
    /* wrong steps are positive for AP: by 1 - p their ranks are 1 2 3 5 8 */
    NEAR(num(d, "ap_wrong"), (1 + 1 + 1 + 4. / 5 + 5. / 8) / 5, 1e-8);
    assert_true(yyjson_is_null(yyjson_obj_get(yyjson_doc_get_root(d), "brier_soft")));
    yyjson_val *ci = yyjson_obj_get(yyjson_doc_get_root(d), "auroc_ci95");
    assert_true(yyjson_get_num(yyjson_arr_get(ci, 0)) < .84);
    assert_true(yyjson_get_num(yyjson_arr_get(ci, 1)) > .84);
    yyjson_doc_free(d);
    /* model 0 reads the logprobs: the scores in reverse, so AUROC is 1 - .84 (the vector of ranks
     * reversed), up to the f32 of a logprob */
    FIX(rung_bench_steps(&b, f.store, 0, "human", &all, 1, err));
    d = read_buf(&b);
    assert_string_equal(rung_json_str(yyjson_doc_get_root(d), "score", ""), "confidence");
    assert_int_equal(num(d, "n_steps"), 10);
    yyjson_val *bins = yyjson_obj_get(yyjson_doc_get_root(d), "bins");
    assert_true(yyjson_arr_size(bins) >= 8);
    yyjson_doc_free(d);
    /* labels that are not there: nothing is invented */
    FIX(rung_bench_steps(&b, f.store, f.prm, "mc", &all, 1, err));
    d = read_buf(&b);
    assert_int_equal(num(d, "n_steps"), 0);
    assert_int_equal(num(d, "n_unlabelled"), 10);
    assert_true(yyjson_is_null(yyjson_obj_get(yyjson_doc_get_root(d), "auroc")));
    yyjson_doc_free(d);
    rung_store_close(f.store);
}

/* Hard operations apart, and only on problems of a world: right ones at .9 and .1, wrong ones at .2
 * and .3 make an AUROC of 2/4; with the easy wrong one at .95 it is 2/6. */
static void hard_operations(void **ud) {
    (void)ud;
    static const struct {
        const char *text;
        bool wrong;
        double score;
    } line[] = {{"47+9=46\n", true, .2},
                {"47+9=56\n", false, .9},
                {"8+9=17\n", false, .1},
                {"50-9=51\n", true, .3},
                {"4+3=8\n", true, .95}};
    for (int world = 0; world < 2; world++) {
        fixture f;
        fix_open(&f, ":memory:");
        for (int i = 0; i < 5; i++) {
            char key[8];
            snprintf(key, sizeof key, "%d", i);
            rung_problem p = {.set = "w",
                              .split = "test",
                              .key = key,
                              .question = key,
                              .answer = "1",
                              .solution = "",
                              .world = world ? "total" : "",
                              .meta = "{}",
                              .verifier = "math"};
            FIX(rung_problem_put(f.store, &p, NULL, err));
            fix_trace t = {.run = f.pool,
                           .problem = p.id,
                           .n_steps = 1,
                           .first_error = line[i].wrong ? 0 : -1,
                           .answer = "1",
                           .key = "1",
                           .verdict = RUNG_VERDICT_WRONG,
                           .prm = {line[i].score},
                           .orm = NAN,
                           .confidence = {.5}};
            int64_t node[FIX_STEPS];
            fix_put(&f, &t, &line[i].text, node);
        }
        rung_filter all = {.set = "w"};
        rung_buf b;
        rung_buf_init(&b, 1 << 20);
        FIX(rung_bench_steps(&b, f.store, f.prm, "truth", &all, 1, err));
        yyjson_doc *d = read_buf(&b);
        NEAR(num(d, "auroc"), 2.0 / 6, 1e-8);
        if (world) {
            assert_int_equal(num(d, "n_hard"), 4);
            assert_int_equal(num(d, "n_hard_wrong"), 2);
            NEAR(num(d, "auroc_hard"), 0.5, 1e-8);
        } else {
            assert_null(yyjson_obj_get(yyjson_doc_get_root(d), "n_hard"));
        }
        yyjson_doc_free(d);
        rung_store_close(f.store);
    }
}

/* Exact labels come from the first error; steps after it are left out. */
static void truth_labels(void **ud) {
    (void)ud;
    fixture f;
    pb_store(&f, 40, perfect); /* labels per group of 4: -1: 3 steps, 0: 1, 1: 2, 2: 3 */
    rung_filter all = {.set = "cases"};
    rung_buf b;
    rung_buf_init(&b, 1 << 20);
    FIX(rung_bench_steps(&b, f.store, f.prm, "truth", &all, 1, err));
    yyjson_doc *d = read_buf(&b);
    assert_int_equal(num(d, "n_steps"), 10 * (3 + 1 + 2 + 3));
    assert_int_equal(num(d, "n_unlabelled"), 10 * (2 + 1));
    assert_true(num(d, "auroc") == 1.0);
    NEAR(num(d, "share_wrong"), 30.0 / 90, 1e-8);
    /* lined up on the first wrong step the score is .4 there and .9 elsewhere */
    size_t i, n;
    yyjson_val *o;
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(d), "offsets"), i, n, o)
        NEAR(rung_json_f64(o, "mean", NAN), rung_json_i64(o, "from_first_error", 9) == 0 ? .4 : .9,
             1e-8);
    assert_true(n == 5);
    yyjson_doc_free(d);
    rung_error fault = RUNG_ERROR_INIT;
    assert_int_equal(rung_bench_steps(&b, f.store, f.prm, "", &all, 1, &fault), RUNG_E_INVAL);
    all.set = "absent";
    assert_int_equal(rung_bench_steps(&b, f.store, f.prm, "truth", &all, 1, &fault),
                     RUNG_E_NOT_FOUND);
    rung_store_close(f.store);
}

/* By hand: two traces with an error and one without; a fourth without a label says nothing. */
static void first_wrong_step(void **ud) {
    (void)ud;
    const double a[] = {.9, .8, .3, .1}, ya[] = {1, 1, 0, NAN}, b[] = {.7, .6}, yb[] = {1, 1},
                 c[] = {.4}, yc[] = {0}, d[] = {.9, .2}, yd[] = {1, NAN};
    rung_first_set f = {0};
    FIX(rung_first_add(&f, a, ya, 4, 0, err));
    FIX(rung_first_add(&f, b, yb, 2, 0, err));
    FIX(rung_first_add(&f, c, yc, 1, 1, err));
    FIX(rung_first_add(&f, d, yd, 2, 1, err));
    assert_true(f.n == 3 && f.n_item == 6 && f.n_incomplete == 1);
    double weight[2];
    rung_step_draw draw = {.weight = weight, .n_problems = 2, .seed = 1, .n_boot = 50};
    static const double tau[] = {.5, .65, NAN}, f1[] = {100, 0, 100}, at[] = {.5, .65, .5};
    for (int i = 0; i < 3; i++) {
        rung_buf json;
        rung_buf_init(&json, 1 << 16);
        rung_buf_str(&json, "{\"v\":1");
        FIX(rung_first_put(&json, &f, tau[i], "given", draw, err));
        rung_buf_str(&json, "}");
        yyjson_doc *doc = read_buf(&json);
        yyjson_val *o = yyjson_obj_get(yyjson_doc_get_root(doc), "first_error");
        assert_true(rung_json_f64(o, "auroc", 0) == 1 && rung_json_f64(o, "ap", 0) == 1);
        assert_true(rung_json_f64(o, "trace_auroc", 0) == 1 && rung_json_f64(o, "lowest", 0) == 1);
        assert_true(fabs(rung_json_f64(o, "f1", -1) - f1[i]) < 1e-9);
        assert_true(fabs(rung_json_f64(o, "threshold", 0) - at[i]) < 1e-12);
        assert_true(yyjson_get_bool(yyjson_obj_get(o, "threshold_on_test")) == (i == 2));
        assert_int_equal(rung_json_i64(o, "n_err", 0), 2);
        yyjson_doc_free(doc);
        /* put sorts what it ranks; a set is put once, so that the next round needs its own */
        rung_first_clear(&f);
        FIX(rung_first_add(&f, a, ya, 4, 0, err));
        FIX(rung_first_add(&f, b, yb, 2, 0, err));
        FIX(rung_first_add(&f, c, yc, 1, 1, err));
    }
    rung_first_clear(&f);
}

/* The statistics of the intervals are those of stat/ when every problem is drawn once, and those of
 * a doubled sample when one is drawn twice. */
static void drawn_figures(void **ud) {
    (void)ud;
    enum { N = 60 };
    rung_step_item item[N];
    double p[2 * N], y[2 * N], weight[3];
    rung_rng g = rung_rng_at(4, RUNG_STREAM_TEST, 0, 0);
    for (int i = 0; i < N; i++)
        item[i] = (rung_step_item){i == 0   ? 0
                                   : i == 1 ? 1
                                            : (double)rung_rng_below(&g, 90) / 90,
                                   rung_rng_below(&g, 2),
                                   NAN,
                                   (uint32_t)(i % 3),
                                   false,
                                   0};
    qsort(item, N, sizeof *item, rung_step_item_cmp);
    rung_step_draw draw = {item, N, weight, 3, 1, 100};
    static const uint32_t index[2][3] = {{0, 1, 2}, {1, 1, 0}};
    for (int round = 0; round < 2; round++) {
        int64_t n = 0;
        for (int k = 0; k < 3; k++)
            for (int i = 0; i < N; i++)
                if (item[i].problem == index[round][k]) p[n] = item[i].p, y[n++] = item[i].y;
        assert_true(fabs(rung_step_brier(&draw, index[round], 3) - rung_brier(p, y, n)) < 1e-12);
        assert_true(fabs(rung_step_ece(&draw, index[round], 3) -
                         rung_ece(p, y, n, RUNG_STEP_BINS)) < 1e-12);
        assert_true(fabs(rung_step_auroc(&draw, index[round], 3) - rung_auroc(p, y, n)) < 1e-12);
    }
}

static void diagram(void **ud) {
    (void)ud;
    static const char json[] = "{\"ece15\":0.1,\"brier\":0.2,\"n_steps\":3,\"n_problems\":2,"
                               "\"bins\":[{\"lo\":0,\"hi\":0.1,"
                               "\"n\":1,\"p\":0.05,\"y\":0,\"ci95\":[0,0.8]},{\"lo\":0.9,\"hi\":1,"
                               "\"n\":2,\"p\":0.95,\"y\":1,"
                               "\"ci95\":[0.3,1]}]}";
    rung_buf svg;
    rung_error e = RUNG_ERROR_INIT;
    rung_buf_init(&svg, 1 << 20);
    FIX(rung_bench_reliability_svg(&svg, json, "a<b>&c", err));
    assert_non_null(strstr(svg.data, "a&lt;b&gt;&amp;c"));
    assert_non_null(strstr(svg.data, "3 steps of 2 problems"));
    int n = 0;
    for (const char *c = svg.data; (c = strstr(c, "<circle")); c++) n++;
    assert_int_equal(n, 2);
    assert_int_equal(rung_bench_reliability_svg(&svg, "{\"bins\":[]}", "x", &e), RUNG_E_NOT_FOUND);
    rung_buf_clear(&svg);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden),
        cmocka_unit_test(copies_of_a_question_count_once),
        cmocka_unit_test(unscored_is_a_miss),
        cmocka_unit_test(tuned),
        cmocka_unit_test(first_wrong_step),
        cmocka_unit_test(drawn_figures),
        cmocka_unit_test(diagram),
        cmocka_unit_test(published_subset),
        cmocka_unit_test(published_vector),
        cmocka_unit_test(hard_operations),
        cmocka_unit_test(truth_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
