/* Ensembles: combinations by hand, stored and live scores against the members' own, the file. */
#include "fixture_reward.h"
#include "rung/calibrate.h"
#include "rung/ensemble.h"
#include <math.h>

#include <cmocka.h>

static void near(double a, double b, double tol) {
    if (!(fabs(a - b) <= tol)) fail_msg("%.17g is not %.17g", a, b);
}

static void by_hand(void **state) {
    (void)state;
    const double s[] = {.2, .6, .7}; /* mean .5, deviations -.3 .1 .2: variance .14/3 */
    near(rung_combine(RUNG_COMBINE_MEAN, s, 3), .5, 1e-15);
    near(rung_combine(RUNG_COMBINE_MIN, s, 3), .2, 0);
    near(rung_combine(RUNG_COMBINE_LOWER, s, 3), .5 - sqrt(.14 / 3), 1e-15);
    near(rung_combine(RUNG_COMBINE_DISAGREEMENT, s, 3), 1 - 2 * sqrt(.14 / 3), 1e-15);
    const double split[] = {0, 1}, one[] = {.3};
    near(rung_combine(RUNG_COMBINE_DISAGREEMENT, split, 2), 0, 1e-15);
    near(rung_combine(RUNG_COMBINE_LOWER, split, 2), 0, 0);
    for (int c = 0; c < RUNG_COMBINE_COUNT; c++) {
        rung_combine_id back;
        assert_true(rung_combine_find(&back, rung_combine_name(c)));
        assert_int_equal(back, c);
        near(rung_combine(c, one, 1), c == RUNG_COMBINE_DISAGREEMENT ? 1 : .3, 0);
    }
}

static char head[400], token[400], both[400], pool[400];

static rung_reward *open_on(const char *path, rung_engine *base) {
    rung_reward *r;
    OK(rung_reward_open(&r, path, base, err));
    return r;
}

static void make(const char *out, rung_combine_id how, const char *const *member, size_t n) {
    rung_reward_ensemble_opts o = RUNG_REWARD_ENSEMBLE_OPTS_INIT;
    o.member = member;
    o.n_members = n;
    o.combine = how;
    o.out_path = out;
    OK(rung_reward_ensemble(&o, err));
}

/* A head on the policy, a model of its own, the policy's confidence. */
static void stored_scores(void **state) {
    (void)state;
    rung_store *s;
    coin_policy base = coin_open(base_path);
    OK(rung_store_open(&s, pool, 0, err));
    static const char *const members[] = {"head.gguf", "token.gguf", "confidence"};
    rung_reward *alone[3] = {open_on(head, base.e), open_on(token, NULL),
                             open_on("confidence", NULL)};
    int64_t model[3];
    model[0] = score_with(alone[0], s, &(rung_filter){0}); /* one is there already */
    for (int c = 0; c < RUNG_COMBINE_COUNT; c++) {
        make(coin_path(both, "three.gguf"), c, members, 3);
        bool needs;
        OK(rung_reward_needs_base(&needs, both, err));
        assert_true(needs);
        rung_reward *r = open_on(both, base.e);
        rung_score_report o;
        OK(rung_reward_score(&o, r, s, 0, &(rung_filter){0}, NULL, err));
        assert_true(c == 0 ? o.n_tok > 0 : o.n_tok == 0); /* members are scored once */
        for (int i = 1; i < 3; i++) model[i] = score_with(alone[i], s, &(rung_filter){0});
        rung_iter *it;
        const rung_trace *t;
        int n = 0;
        OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
        while (rung_trace_next(&t, it, NULL) == RUNG_OK)
            for (int32_t k = 0; k < t->n_steps; k++, n++) {
                double v[3], got;
                bool found;
                for (int i = 0; i < 3; i++) {
                    OK(rung_score_get(&v[i], &found, s, t->step[k].node, model[i], err));
                    assert_true(found);
                }
                OK(rung_score_get(&got, &found, s, t->step[k].node, o.model, err));
                assert_true(found);
                near(got, rung_combine(c, v, 3), 0);
            }
        assert_true(n > 300);
        rung_iter_free(it);
        rung_reward_free(r);
    }
    for (int i = 0; i < 3; i++) rung_reward_free(alone[i]);
    rung_store_close(s);
    coin_close(base);
}

/* Live: forks, steps that a member refuses, confidence, which reads no text. */
static void live_scores(void **state) {
    (void)state;
    static const char *const members[] = {"head.gguf", "token.gguf"};
    static const char *const step[] = {"a\n", "b\n", "c\n"};
    coin_policy base = coin_open(base_path);
    make(coin_path(both, "two.gguf"), RUNG_COMBINE_MEAN, members, 2);
    rung_reward *r[3] = {open_on(both, base.e), open_on(head, base.e), open_on(token, NULL)};
    double got[3][2][3];
    for (int i = 0; i < 3; i++) {
        rung_scorer *s;
        int64_t live, fork;
        const double *score;
        int32_t n;
        rung_error e = RUNG_ERROR_INIT;
        OK(rung_scorer_open(&s, r[i], err));
        OK(rung_scorer_begin(&live, s, "toss 1\n", err));
        OK(rung_scorer_step(s, live, step[0], 2, NULL, 0, err));
        OK(rung_scorer_run(s, err));
        OK(rung_scorer_fork(&fork, s, live, err));
        OK(rung_scorer_get(&score, &n, s, fork, err));
        assert_int_equal(n, 1); /* a fork has the scores so far */
        if (i == 0) { /* the token model refuses a step without tokens: nobody has taken it */
            assert_int_equal(rung_scorer_step(s, live, "", 0, NULL, 0, &e), RUNG_E_FORMAT);
        }
        for (int k = 1; k < 3; k++) {
            OK(rung_scorer_step(s, live, step[k], 2, NULL, 0, err));
            OK(rung_scorer_step(s, fork, step[3 - k], 2, NULL, 0, err));
        }
        OK(rung_scorer_run(s, err));
        for (int f = 0; f < 2; f++) {
            OK(rung_scorer_get(&score, &n, s, f ? fork : live, err));
            assert_int_equal(n, 3);
            memcpy(got[i][f], score, sizeof got[i][f]);
        }
        rung_scorer_stats stats;
        rung_scorer_get_stats(&stats, s);
        assert_true(stats.n_tok > 0 && stats.n_steps == 5);
        rung_scorer_drop(s, fork);
        assert_int_equal(rung_scorer_get(&score, &n, s, fork, &e), RUNG_E_MISUSE);
        rung_scorer_close(s);
        rung_reward_free(r[i]);
    }
    for (int f = 0; f < 2; f++)
        for (int k = 0; k < 3; k++) near(got[0][f][k], (got[1][f][k] + got[2][f][k]) / 2, 5e-3);
    coin_close(base);
}

static void the_file(void **state) {
    (void)state;
    coin_policy base = coin_open(base_path);
    static const char *const two[] = {"head.gguf", "token.gguf"}, *const conf[] = {"confidence"},
                             *const absent[] = {"nothing.gguf"}, *const nested[] = {"two.gguf"},
                             *const mixed[] = {"head.gguf", "orm.gguf"};
    rung_reward_ensemble_opts o = RUNG_REWARD_ENSEMBLE_OPTS_INIT;
    rung_error e = RUNG_ERROR_INIT;
    char out[400], orm[400], moved[400], cmd[4000];
    o.out_path = coin_path(out, "bad.gguf");
    o.n_members = 1;
    o.member = absent;
    assert_int_not_equal(rung_reward_ensemble(&o, &e), RUNG_OK);
    make(coin_path(both, "two.gguf"), RUNG_COMBINE_MIN, two, 2);
    o.member = nested;
    assert_int_equal(rung_reward_ensemble(&o, &e), RUNG_E_INVAL);
    rung_store *s;
    OK(rung_store_open(&s, pool, 0, err));
    rung_reward_train_opts t = train_opts(RUNG_REWARD_ORM_HEAD, coin_path(orm, "orm.gguf"));
    t.epochs = 2;
    OK(rung_reward_train(NULL, s, coin_run(s, "reward.train", "{}"), &t, NULL, err));
    o.member = mixed;
    o.n_members = 2;
    assert_int_equal(rung_reward_ensemble(&o, &e), RUNG_E_INVAL); /* answers with steps */
    /* calibrated: an ensemble of the confidence alone gives it a file */
    make(out, RUNG_COMBINE_MEAN, conf, 1);
    rung_reward *r = open_on(out, NULL);
    char raw[33];
    snprintf(raw, sizeof raw, "%s", rung_reward_hash(r));
    score_with(r, s, &(rung_filter){0});
    rung_calibrate_opts c = RUNG_CALIBRATE_OPTS_INIT;
    rung_calibrate_report report;
    c.label_source = "hand";
    c.out_path = out;
    OK(rung_reward_calibrate(&report, r, s, &c, NULL, err));
    assert_true(report.trained_known && report.n_left_out == 0 && report.n_problems == 20);
    assert_true(report.nll[1] < report.nll[0]);
    rung_reward_free(r);
    r = open_on(out, NULL);
    assert_non_null(rung_reward_calibration(r));
    assert_string_not_equal(rung_reward_hash(r), raw);
    rung_score_report done;
    OK(rung_reward_score(&done, r, s, 0, &(rung_filter){0}, NULL, err));
    assert_true(done.n_steps > 300);
    rung_reward_free(r);
    static const char *const with[] = {"head.gguf", "bad.gguf"}; /* one of one is a model */
    make(coin_path(moved, "with.gguf"), RUNG_COMBINE_MEAN, with, 2);
    r = open_on(moved, base.e);
    OK(rung_reward_score(&done, r, s, 0, &(rung_filter){0}, NULL, err));
    assert_true(done.n_steps > 300);
    rung_reward_free(r);
    rung_store_close(s);
    /* another file in a member's place */
    snprintf(moved, sizeof moved, "%s/moved", coin_dir);
    snprintf(cmd, sizeof cmd,
             "mkdir %s && cp %s %s/two.gguf && cp %s %s/head.gguf && cp %s %s/"
             "token.gguf",
             moved, both, moved, orm, moved, token, moved);
    assert_int_equal(system(cmd), 0);
    snprintf(moved, sizeof moved, "%s/moved/two.gguf", coin_dir);
    assert_int_equal(rung_reward_open(&r, moved, base.e, &e), RUNG_E_MISMATCH);
    assert_non_null(strstr(e.what, "head.gguf"));
    snprintf(cmd, sizeof cmd, "cp %s %s/moved/head.gguf", head, coin_dir);
    assert_int_equal(system(cmd), 0);
    OK(rung_reward_open(&r, moved, base.e, err)); /* and in another folder it is the same model */
    rung_reward *here = open_on(both, base.e);
    assert_string_equal(rung_reward_hash(r), rung_reward_hash(here));
    rung_reward_free(here);
    rung_reward_free(r);
    coin_close(base);
}

static int setup(void **state) {
    (void)state;
    pool_make();
    pool_copy(pool, "ensemble.db");
    rung_store *s;
    OK(rung_store_open(&s, pool, 0, err));
    rung_reward_train_opts t = train_opts(RUNG_REWARD_PRM_HEAD, coin_path(head, "head.gguf"));
    t.epochs = 5;
    OK(rung_reward_train(NULL, s, coin_run(s, "reward.train", "{}"), &t, NULL, err));
    t = train_opts(RUNG_REWARD_PRM_TOKEN, coin_path(token, "token.gguf"));
    t.tag = "<?>";
    t.epochs = 2;
    t.batch = 2;
    t.lr = 1e-3;
    OK(rung_reward_train(NULL, s, coin_run(s, "reward.train", "{}"), &t, NULL, err));
    rung_store_close(s);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    coin_teardown();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_hand), cmocka_unit_test(stored_scores),
                                       cmocka_unit_test(live_scores), cmocka_unit_test(the_file)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
