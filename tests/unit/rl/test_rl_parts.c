/* The loop's parts by themselves: which groups and answers are trained on, bad configurations,
 * alarms. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rung/rl.h"
#include "rung/rng.h"

#include <cmocka.h>

static void test_filter(void **state) {
    (void)state;
    const uint8_t all[] = {1, 1, 1, 1}, some[] = {1, 0, 0, 1}, one[] = {0, 0, 1, 0};
    const double mixed[] = {1, 0, 0, 0}, right[] = {1, 1, 1, 1}, odd[] = {1, 0, NAN, 1};
    rung_rl_filter f = {0};
    assert_null(rung_rl_filter_group(&f, mixed, all, 4));
    assert_string_equal(rung_rl_filter_group(&f, right, all, 4), "flat");
    assert_string_equal(rung_rl_filter_group(&f, mixed, one, 4), "unknown");
    assert_string_equal(rung_rl_filter_group(&f, odd, some, 4), "flat"); /* NaN is not looked at */
    f.pass_lo = .3;
    assert_string_equal(rung_rl_filter_group(&f, mixed, all, 4), "pass_low");
    f = (rung_rl_filter){.pass_lo = .25, .pass_hi = .25};
    assert_null(rung_rl_filter_group(&f, mixed, all, 4)); /* inclusive on both sides */
    f = (rung_rl_filter){.pass_hi = .2};
    assert_string_equal(rung_rl_filter_group(&f, mixed, all, 4), "pass_high");
    f = (rung_rl_filter){.keep_flat = true};
    assert_null(rung_rl_filter_group(&f, right, all, 4));
}

/* For every (right, wrong, m): k+ k- is the largest that the limits allow. */
static void test_prof_balance(void **state) {
    (void)state;
    for (int n_right = 0; n_right <= 8; n_right++) {
        for (int n_wrong = 0; n_wrong + n_right <= 16 && n_wrong <= 8; n_wrong++) {
            int n = n_right + n_wrong;
            for (int m = 1; m <= n; m++) {
                double outcome[16], score[16];
                uint8_t keep[16];
                int best = -1, kept = 0;
                for (int i = 0; i < n; i++) {
                    outcome[i] = i < n_right ? 1 : -1;
                    score[i] = .5;
                }
                for (int k = 0; k <= m; k++)
                    if (k <= n_right && m - k <= n_wrong && k * (m - k) > best) best = k * (m - k);
                assert_int_equal(rung_rl_prof(keep, outcome, score, NULL, n, m, true), m);
                for (int i = 0; i < n_right; i++) kept += keep[i];
                assert_int_equal(kept * (m - kept), best);
            }
        }
    }
}

/* The spec's example, n = 8, m = 4, five right, three wrong: two of each; right ones with the best
 * steps, wrong ones with the worst; odd lengths and unreadable scores go first. */
static void test_prof_ranks(void **state) {
    (void)state;
    const double outcome[] = {1, 1, 1, 1, 1, 0, 0, 0}, score[] = {.9, .2, .8, .95, .1, .7, .1, .4};
    const uint8_t want[] = {1, 0, 0, 1, 0, 0, 1, 1}, first[] = {1, 0, 0, 1, 0, 1, 1, 0};
    uint8_t keep[8];
    assert_int_equal(rung_rl_prof(keep, outcome, score, NULL, 8, 4, true), 4);
    assert_memory_equal(keep, want, 8);
    assert_int_equal(rung_rl_prof(keep, outcome, score, NULL, 8, 4, false), 4); /* PROF-POS */
    assert_memory_equal(keep, first, 8);
    const int32_t steps[] = {3, 3, 3, 1, 3, 3, 40, 3};
    const uint8_t sane[] = {1, 0, 1, 0, 0, 1, 0, 1};
    assert_int_equal(rung_rl_prof(keep, outcome, score, steps, 8, 4, true), 4);
    assert_memory_equal(keep, sane, 8);
    const double lost[] = {NAN, .2, .8, .95, .1, .7, NAN, .4};
    const uint8_t known[] = {0, 0, 1, 1, 0, 1, 0, 1};
    assert_int_equal(rung_rl_prof(keep, outcome, lost, NULL, 8, 4, true), 4);
    assert_memory_equal(keep, known, 8);
    assert_int_equal(rung_rl_prof(keep, outcome, score, NULL, 3, 8, true), 3);
}

static rung_rl_opts good(void) {
    rung_rl_opts o = RUNG_RL_OPTS_INIT;
    o.policy = "policy.gguf";
    o.steps = 10;
    o.prompts = o.group = 8;
    o.max_tok = 64;
    o.temperature = 1;
    o.rows = 8;
    o.row_tok = 128;
    return o;
}

static void refused(const rung_rl_opts *o, const char *word) {
    rung_error err = RUNG_ERROR_INIT;
    if (rung_rl_check(o, &err) == RUNG_OK) fail_msg("not refused: %s", word);
    if (!strstr(err.what, word)) fail_msg("\"%s\" has no \"%s\"", err.what, word);
}

/* Stops before anything is read. */
static void test_bad_configs(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_rl_opts o = good();
    assert_int_equal(rung_rl_check(&o, &err), RUNG_OK);
    o.estimator = "grpo2";
    refused(&o, "no estimator \"grpo2\"");
    o = good();
    o.loss = "dpo";
    refused(&o, "no policy loss \"dpo\"");
    o = good();
    o.aggregation = "mean";
    refused(&o, "no aggregation");
    o = good();
    o.group = 1;
    refused(&o, "compares answers");
    o.estimator = "reinforce";
    assert_int_equal(rung_rl_check(&o, &err), RUNG_OK);
    o = good();
    o.loss_opts.kl_coef = .01;
    o.credit.kl_coef = .01;
    refused(&o, "both in the reward");
    o = good();
    o.credit.kl_coef = .01;
    o.kl_exact = .01;
    refused(&o, "both in the reward");
    o = good();
    o.loss_opts.kl_coef = .01;
    o.no_reference = true;
    refused(&o, "needs the reference");
    o = good();
    o.estimator = "min_form";
    refused(&o, "needs step rewards");
    o.source = RUNG_RL_SOURCE_REWARD;
    refused(&o, "which file");
    o = good();
    o.estimator = "verl:gae";
    o.critic_lr = -1;
    refused(&o, "critic_lr");
    o = good();
    o.temperature = 0;
    refused(&o, "temperature");
    o = good();
    o.push_every = 4;
    refused(&o, "max_stale");
    o = good();
    o.prof_keep = 4;
    refused(&o, "PROF");
    o = good();
    o.filter.pass_lo = .9;
    o.filter.pass_hi = .1;
    refused(&o, "pass_lo");
}

/* Alarms -----------------------------------------------------------------------------------------
 */

static rung_watch_row calm(int64_t step, rung_rng *r) {
    return (rung_watch_row){.step = step,
                            .reward = .5 + .03 * rung_rng_normal(r),
                            .verifier = .5 + .03 * rung_rng_normal(r),
                            .kl = .1,
                            .entropy = .5 + .01 * rung_rng_normal(r),
                            .length = 50 + 2 * rung_rng_normal(r),
                            .steps = 6 + .2 * rung_rng_normal(r),
                            .repeats = .05 + .02 * rung_rng_f64(r),
                            .undivided = .02,
                            .flat = .3,
                            .agreement = .8 + .02 * rung_rng_normal(r),
                            .grad_norm = 1 + .1 * rung_rng_normal(r)};
}

/* 100 steps that only waver, 200 times over: hardly a word. Steps that learn: none at all. */
static void test_calm_runs(void **state) {
    (void)state;
    int n_told = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        rung_rng r = rung_rng_at(seed, RUNG_STREAM_TEST, 7, 0);
        rung_watch w = {0}, better = {0};
        char say[2048];
        for (int64_t s = 0; s < 100; s++) {
            rung_watch_row row = calm(s, &r);
            n_told += rung_watch_put(&w, say, sizeof say, &row, NULL) != 0;
            row.reward += .003 * s;
            row.verifier += .003 * s;
            assert_int_equal(rung_watch_put(&better, say, sizeof say, &row, NULL), 0);
        }
    }
    print_message("  %d of 200 calm runs of 100 steps told something\n", n_told);
    assert_true(n_told <= 6);
}

typedef struct planted {
    rung_alarm alarm;
    void (*change)(rung_watch_row *row,
                   double t); /* t: 0 at the start of the fault, 1 at its end */
} planted;
static void hack(rung_watch_row *x, double t) {
    x->reward += .4 * t;
    x->verifier -= .3 * t;
}
static void far(rung_watch_row *x, double t) {
    x->kl += 20 * t;
}
static void collapse(rung_watch_row *x, double t) {
    x->entropy *= 1 - .99 * t;
}
static void grow(rung_watch_row *x, double t) {
    x->length *= 1 + 3 * t;
}
static void fewer(rung_watch_row *x, double t) {
    x->steps *= 1 - .8 * t;
}
static void stutter(rung_watch_row *x, double t) {
    x->repeats += .6 * t;
}
static void whole(rung_watch_row *x, double t) {
    x->undivided += .8 * t;
}
static void nothing(rung_watch_row *x, double t) {
    x->flat += .69 * t;
}
static void disagree(rung_watch_row *x, double t) {
    x->agreement -= .4 * t;
}
static void explode(rung_watch_row *x, double t) {
    x->grad_norm *= 1 + 60 * t;
}

static void test_each_alarm(void **state) {
    (void)state;
    static const planted rows[RUNG_ALARM_COUNT] = {
        {RUNG_ALARM_HACK, hack},       {RUNG_ALARM_KL, far},       {RUNG_ALARM_ENTROPY, collapse},
        {RUNG_ALARM_LENGTH, grow},     {RUNG_ALARM_STEPS, fewer},  {RUNG_ALARM_REPEATS, stutter},
        {RUNG_ALARM_UNDIVIDED, whole}, {RUNG_ALARM_FLAT, nothing}, {RUNG_ALARM_AGREEMENT, disagree},
        {RUNG_ALARM_GRADIENT, explode}};
    for (size_t k = 0; k < RUNG_ALARM_COUNT; k++) {
        rung_rng r = rung_rng_at(k, RUNG_STREAM_TEST, 8, 0);
        rung_watch w = {0};
        uint32_t seen = 0;
        int times = 0;
        char say[2048];
        for (int64_t s = 0; s < 90; s++) {
            rung_watch_row row = calm(s, &r);
            if (s > 30) rows[k].change(&row, fmin(1, (s - 30) / 40.));
            uint32_t begun = rung_watch_put(&w, say, sizeof say, &row, NULL);
            if (begun & (1u << rows[k].alarm)) {
                times++;
                assert_non_null(strstr(say, rung_alarm_name(rows[k].alarm)));
                assert_true(s > 30);
            }
            seen |= begun;
        }
        if (seen != 1u << rows[k].alarm)
            fail_msg("%s: alarms %x", rung_alarm_name(rows[k].alarm), seen);
        assert_true(times >= 1 && times <= 3); /* told when it begins, not at every step */
    }
}

/* NaN rows are not measured: nothing is said of them; an infinite gradient norm is. */
static void test_missing(void **state) {
    (void)state;
    rung_watch w = {0};
    char say[256];
    rung_watch_row none = {.step = 1, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    for (int i = 0; i < 50; i++) assert_int_equal(rung_watch_put(&w, say, 256, &none, NULL), 0);
    none.grad_norm = INFINITY;
    assert_int_equal(rung_watch_put(&w, say, 256, &none, NULL), 1u << RUNG_ALARM_GRADIENT);
}

/* A configuration of verl's carries over; what does not is named. */
static void test_from_verl(void **state) {
    (void)state;
    static const char text[] =
        "algorithm:\n  adv_estimator: grpo\n  norm_adv_by_std_in_grpo: False\n"
        "  gamma: 1.0\n  use_kl_in_reward: False\n"
        "actor_rollout_ref:\n  actor:\n    policy_loss:\n      loss_mode: gspo\n"
        "    clip_ratio: 0.2\n    clip_ratio_high: 0.28\n    use_kl_loss: True\n"
        "    kl_loss_coef: 0.01\n    kl_loss_type: low_var_kl\n"
        "    ppo_mini_batch_size: 64\n    loss_agg_mode: token-mean\n"
        "  rollout:\n    n: 16\n    top_p: 0.9\n"
        "data:\n  train_batch_size: 256\n  max_response_length: 512\n";
    char path[] = "/tmp/rung-verl.XXXXXX";
    rung_error err = RUNG_ERROR_INIT;
    rung_buf ours, lost;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(rung_file_write(path, text, sizeof text - 1, &err), RUNG_OK);
    rung_buf_init(&ours, 1 << 16);
    rung_buf_init(&lost, 1 << 16);
    if (rung_rl_from_verl(&ours, &lost, path, &err) != RUNG_OK) fail_msg("%s", err.what);
    unlink(path);
    static const char *const want[] = {"rl.train.estimator = grpo_nostd ",
                                       "rl.train.loss = verl:gspo ",
                                       "rl.train.clip-low = 0.2 ",
                                       "rl.train.clip-high = 0.28 ",
                                       "rl.train.kl = 0.01 ",
                                       "rl.train.kl-estimator = k3 ",
                                       "rl.train.minibatches = 4 ",
                                       "rl.train.group = 16 ",
                                       "rl.train.prompts = 256 ",
                                       "rl.train.max-tokens = 512 ",
                                       "rl.train.aggregation = token-mean "};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        if (!strstr(ours.data, want[i])) fail_msg("no \"%s\" in\n%s", want[i], ours.data);
    assert_non_null(strstr(lost.data, "# no place: actor_rollout_ref.rollout.top_p = 0.9"));
    rung_buf_clear(&ours);
    rung_buf_clear(&lost);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filter),     cmocka_unit_test(test_prof_balance),
        cmocka_unit_test(test_prof_ranks), cmocka_unit_test(test_bad_configs),
        cmocka_unit_test(test_calm_runs),  cmocka_unit_test(test_each_alarm),
        cmocka_unit_test(test_missing),    cmocka_unit_test(test_from_verl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
