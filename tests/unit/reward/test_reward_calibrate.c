/* Calibration as part of a model: maps by hand, the file, problems it was trained on left out,
 * stored raw scores mapped and not read again. */
#include "fixture_reward.h"
#include "rung/calibrate.h"
#include <math.h>

#include <cmocka.h>

static void near(double a, double b, double tol) {
    if (!(fabs(a - b) <= tol)) fail_msg("%.17g is not %.17g", a, b);
}

static const char RAW[] = "0123456789abcdef0123456789abcdef";

static reward_calibration parse(const char *fmt, ...) {
    char json[1000];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(json, sizeof json, fmt, ap);
    va_end(ap);
    snprintf(json + n, sizeof json - (size_t)n, ",\"raw_hash\":\"%s\"}", RAW);
    reward_calibration c;
    OK(reward_calibration_parse(&c, json, "test", err));
    return c;
}

static void maps_by_hand(void **state) {
    (void)state;
    /* logit .8 = ln 4; T = 2 halves it: sqrt 4 : 1 = 2/3 */
    reward_calibration c =
        parse("{\"method\":\"temperature\",\"input\":\"probability\",\"map\":{\"temperature\":2}");
    near(reward_calibration_at(&c, .8, 0), 2. / 3, 1e-12);
    assert_true(isnan(c.threshold));
    near(reward_calibration_at(&c, 0, 0), sqrt(1e-7 / (1 - 1e-7)) / (1 + sqrt(1e-7 / (1 - 1e-7))),
         1e-12); /* a score of 0 has a map, too */
    reward_calibration_clear(&c);
    /* a logit in: sigmoid(2 x ln 3 - ln 3) = 3/4; step 3 has a map of its own: sigmoid(-ln 3) */
    c = parse("{\"method\":\"platt\",\"input\":\"logit\",\"map\":{\"a\":2,\"b\":%.17g},"
              "\"maps\":[{\"step\":3,\"a\":-1,\"b\":0}],\"threshold\":0.25",
              -log(3));
    near(reward_calibration_at(&c, log(3), 0), .75, 1e-12);
    near(reward_calibration_at(&c, log(3), 3), .25, 1e-12);
    near(reward_calibration_at(&c, log(3), 64), .75, 1e-12);
    near(c.threshold, .25, 0);
    rung_buf b; /* printed and read again it is the same */
    rung_buf_init(&b, 10000);
    rung_buf_str(&b, "{");
    reward_calibration_print(&b, &c);
    rung_buf_str(&b, "}");
    reward_calibration d;
    OK(reward_calibration_parse(&d, b.data, "test", err));
    for (double x = -3; x < 3; x += .37)
        for (int k = 0; k < 5; k++)
            assert_true(reward_calibration_at(&c, x, k) == reward_calibration_at(&d, x, k));
    rung_buf_clear(&b);
    reward_calibration_clear(&c);
    reward_calibration_clear(&d);
    c = parse("{\"method\":\"isotonic\",\"input\":\"probability\",\"map\":{\"knots\":[[0.2,0.1],[0."
              "4,0.5],"
              "[0.8,0.5]]}");
    near(reward_calibration_at(&c, .1, 0), .1, 0);
    near(reward_calibration_at(&c, .3, 0), .3, 1e-12);
    near(reward_calibration_at(&c, .6, 0), .5, 1e-12);
    reward_calibration_clear(&c);
}

static void bad_calibrations(void **state) {
    (void)state;
    static const char *const bad[] = {
        "not json",
        "[]",
        "{}",
        "{\"method\":\"platt\",\"input\":\"probability\"",
        "{\"method\":\"magic\",\"input\":\"probability\"",
        "{\"method\":\"none\",\"input\":\"colour\"",
        "{\"method\":\"platt\",\"input\":\"logit\",\"map\":{\"a\":1}",
        "{\"method\":\"temperature\",\"input\":\"logit\",\"map\":{\"temperature\":-1}",
        "{\"method\":\"isotonic\",\"input\":\"logit\",\"map\":{\"knots\":[]}",
        "{\"method\":\"isotonic\",\"input\":\"logit\",\"map\":{\"knots\":[[1,0.5],[1,0.6]]}",
        "{\"method\":\"isotonic\",\"input\":\"logit\",\"map\":{\"knots\":[[1,0.5],[2,0.4]]}",
        "{\"method\":\"isotonic\",\"input\":\"logit\",\"map\":{\"knots\":[[1,1.5]]}",
        "{\"method\":\"isotonic\",\"input\":\"logit\",\"map\":{\"knots\":[[1,\"x\"]]}",
        ("{\"method\":\"platt\",\"input\":\"logit\",\"map\":{\"a\":1,\"b\":0},\"maps\":[{\"a\":1,"
         "\"b\":0}]"),
        "{\"method\":\"none\",\"input\":\"logit\",\"raw_hash\":\"abc\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char json[400];
        reward_calibration c;
        rung_error e = RUNG_ERROR_INIT;
        bool open = bad[i][0] == '{' && bad[i][strlen(bad[i]) - 1] != '}';
        snprintf(json, sizeof json, open ? "%s,\"raw_hash\":\"%s\"}" : "%s", bad[i], RAW);
        if (reward_calibration_parse(&c, json, "file.gguf", &e) != RUNG_E_FORMAT)
            fail_msg("taken: %s", json);
        assert_non_null(strstr(e.what, "file.gguf"));
    }
}

static char head[400], cal[400], pool[400];

static rung_reward *open_head(const char *path, rung_engine *base, bool raw) {
    rung_reward_open_opts o = RUNG_REWARD_OPEN_OPTS_INIT;
    rung_reward *r;
    o.base = base;
    o.keys_only = base == NULL;
    o.raw = raw;
    OK(rung_reward_open_as(&r, path, &o, err));
    return r;
}

static rung_calibrate_opts options(rung_calibration_id method, const char *out) {
    rung_calibrate_opts o = RUNG_CALIBRATE_OPTS_INIT;
    o.method = method;
    o.label_source = "hand";
    o.out_path = out;
    return o;
}

/* Trained, scored, calibrated: what a user does. */
static void calibrates(void **state) {
    (void)state;
    rung_store *s;
    pool_copy(pool, "calibrate.db");
    OK(rung_store_open(&s, pool, 0, err));
    rung_reward_train_opts t = train_opts(RUNG_REWARD_PRM_HEAD, coin_path(head, "head.gguf"));
    t.epochs = 3; /* far from sure of itself */
    t.lr = 1e-3;
    t.held_share = .4;
    OK(rung_reward_train(NULL, s, coin_run(s, "reward.train", "{}"), &t, NULL, err));
    coin_policy base = coin_open(base_path);
    rung_reward *r = open_head(head, base.e, false);
    rung_calibrate_report c, all;
    rung_calibrate_opts o = options(RUNG_CALIBRATION_PLATT, coin_path(cal, "cal.gguf"));
    rung_error e = RUNG_ERROR_INIT;
    assert_int_equal(rung_reward_calibrate(&c, r, s, &o, NULL, &e), RUNG_E_NOT_FOUND);
    assert_non_null(strstr(e.hint, "reward score"));
    score_with(r, s, &(rung_filter){0});
    OK(rung_reward_calibrate(&c, r, s, &o, NULL, err));
    printf("platt on %lld steps: ECE %.3f -> %.3f, NLL %.3f -> %.3f, threshold %.3f, F1 %.1f\n",
           (long long)c.n_steps, c.ece[0], c.ece[1], c.nll[0], c.nll[1], c.threshold, c.f1);
    assert_true(c.trained_known);
    assert_int_equal(c.n_problems, 8); /* .4 of 20 were held out */
    assert_int_equal(c.n_left_out, 12 * POOL_SAMPLES);
    assert_true(c.ece[1] < c.ece[0] && c.nll[1] < c.nll[0]);
    assert_true(c.threshold > 0 && c.threshold < 1 && c.f1 > 90);
    o.all_problems = true;
    char other[400];
    for (int m = 0; m < RUNG_CALIBRATION_COUNT; m++) { /* every row of the table; by position */
        o.method = (rung_calibration_id)m;
        o.by_position = true;
        o.least = 10;
        o.out_path = coin_path(other, "other.gguf");
        OK(rung_reward_calibrate(&all, r, s, &o, NULL, err));
        assert_int_equal(all.n_left_out, 0);
        assert_int_equal(all.n_problems, 20);
        if (m == RUNG_CALIBRATION_NONE) {
            assert_true(isnan(all.ece[1]));
            continue;
        }
        printf("%s: ECE %.3f -> %.3f, %d maps\n", rung_calibration_name(o.method), all.ece[0],
               all.ece[1], all.n_maps);
        assert_true(all.ece[1] < all.ece[0] && all.n_maps > 0);
        rung_reward *x = open_head(other, NULL, false);
        assert_string_equal(rung_reward_key(x, "kind", ""), "prm_head");
        rung_reward_free(x);
    }
    rung_reward_free(r);
    rung_store_close(s);
    coin_close(base);
}

/* With raw scores in the store nothing is read; without them the scorer maps what it reads. */
static void applied_by_the_scorer(void **state) {
    (void)state;
    coin_policy base = coin_open(base_path);
    rung_reward *raw = open_head(head, base.e, false), *r = open_head(cal, base.e, false);
    rung_store *s[2];
    char fresh[400];
    pool_copy(fresh, "fresh.db");
    OK(rung_store_open(&s[0], pool, 0, err));
    OK(rung_store_open(&s[1], fresh, 0, err));
    for (int i = 0; i < 2; i++) {
        rung_score_report o;
        rung_iter *it;
        const rung_trace *t;
        int n = 0;
        OK(rung_reward_score(&o, r, s[i], 0, &(rung_filter){0}, NULL, err));
        int64_t mapped = o.model, plain = score_with(raw, s[i], &(rung_filter){0});
        assert_true(mapped != plain);
        assert_true(i == 0 ? o.n_tok == 0 : o.n_tok > 0);
        assert_true(o.n_steps > 300);
        OK(rung_trace_iter(&it, s[i], &(rung_filter){0}, err));
        while (rung_trace_next(&t, it, NULL) == RUNG_OK)
            for (int32_t k = 0; k < t->n_steps; k++, n++) {
                double a, b;
                bool found;
                OK(rung_score_get(&a, &found, s[i], t->step[k].node, plain, err));
                assert_true(found);
                OK(rung_score_get(&b, &found, s[i], t->step[k].node, mapped, err));
                assert_true(found);
                double want = rung_reward_calibrated(r, a, k);
                assert_true(want != a);
                near(b, want, i == 0 ? 0 : 2e-2);
            }
        assert_true(n > 300);
        rung_iter_free(it);
        rung_store_close(s[i]);
    }
    rung_reward *again = open_head(cal, base.e, true); /* as the model gives them */
    assert_string_equal(rung_reward_hash(again), rung_reward_hash(raw));
    assert_true(strcmp(rung_reward_hash(r), rung_reward_hash(raw)) != 0);
    assert_true(isnan(rung_reward_threshold(again)));
    assert_true(rung_reward_threshold(r) > 0);
    rung_reward_free(again);
    rung_reward_free(raw);
    rung_reward_free(r);
    coin_close(base);
}

/* Its file says which problems it was trained on: all but the held-out ones. */
static void names_its_problems(void **state) {
    (void)state;
    rung_reward *r = open_head(head, NULL, false);
    rung_store *s;
    rung_iter *it;
    const rung_problem *p;
    int n[2] = {0, 0};
    OK(rung_store_open(&s, pool, 0, err));
    OK(rung_problem_iter(&it, s, &(rung_filter){0}, err));
    while (rung_problem_next(&p, it, NULL) == RUNG_OK) n[rung_reward_trained_on(r, p)]++;
    rung_iter_free(it);
    rung_store_close(s);
    assert_int_equal(n[0], 8);
    assert_int_equal(n[1], 12);
    rung_problem other = {.set = "another", .key = "x"};
    assert_int_equal(rung_reward_trained_on(r, &other), 0);
    rung_reward_free(r);
}

/* One class only; a model without a file; its own file written over; a disk that refuses. */
static void refusals(void **state) {
    (void)state;
    rung_store *s;
    OK(rung_store_open(&s, pool, 0, err));
    rung_reward *r = open_head(head, NULL, false), *conf;
    rung_calibrate_report c;
    rung_calibrate_opts o = options(RUNG_CALIBRATION_PLATT, "/nowhere/at/all.gguf");
    rung_error e = RUNG_ERROR_INIT;
    assert_int_not_equal(rung_reward_calibrate(&c, r, s, &o, NULL, &e), RUNG_OK);
    o.label_source = "nobody";
    assert_int_equal(rung_reward_calibrate(&c, r, s, &o, NULL, &e), RUNG_E_NOT_FOUND);
    OK(rung_reward_open(&conf, "confidence", NULL, err));
    assert_int_equal(rung_reward_calibrate(&c, conf, s, &o, NULL, &e), RUNG_E_INVAL);
    rung_reward_free(conf);
    char over[400];
    coin_copy(over, "over.gguf", head);
    rung_reward *mine = open_head(over, NULL, true);
    o = options(RUNG_CALIBRATION_ISOTONIC, over);
    OK(rung_reward_calibrate(&c, mine, s, &o, NULL, err));
    rung_reward_free(mine);
    mine = open_head(over, NULL, true); /* and again, from the raw scores */
    OK(rung_reward_calibrate(&c, mine, s, &o, NULL, err));
    assert_string_equal(rung_reward_hash(mine), rung_reward_hash(r));
    rung_reward_free(mine);
    rung_reward_free(r);
    rung_store_close(s);
}

static int setup(void **state) {
    (void)state;
    pool_make();
    return 0;
}
static int teardown(void **state) {
    (void)state;
    coin_teardown();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_by_hand),       cmocka_unit_test(bad_calibrations),
        cmocka_unit_test(calibrates),         cmocka_unit_test(applied_by_the_scorer),
        cmocka_unit_test(names_its_problems), cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
