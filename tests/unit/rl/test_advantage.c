/* Advantages by hand, for the rows without published code; what every row keeps to; refusals. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "rung/advantage.h"
#include "rung/rng.h"

#include <cmocka.h>

static void near_to(double got, double want) {
    if (!(fabs(got - want) <= 1e-6 * fmax(1, fabs(want)))) fail_msg("%.9g is not %.9g", got, want);
}
static void all_near(const float *got, const double *want, int n) {
    for (int t = 0; t < n; t++) near_to((double)got[t], want[t]);
}

/* Two answers to one problem: right, 6 tokens, steps ending at 1, 3, 5; wrong, 4 tokens, steps at
 * 1, 3. */
static const int64_t first[] = {0, 6, 10}, step_first[] = {0, 3, 5};
static const int32_t group[] = {7, 7}, ends[] = {1, 3, 5, 1, 3};
static const double outcome[] = {1, 0};

static rung_advantage_data two(const rung_step_rewards *steps) {
    return (rung_advantage_data){.n = 2,
                                 .first = first,
                                 .group = group,
                                 .outcome = outcome,
                                 .source = steps,
                                 .n_sources = steps != NULL};
}
static rung_step_rewards with(const double *reward) {
    return (rung_step_rewards){.first = step_first, .end = ends, .reward = reward};
}
static void run(float *a, rung_advantage_id id, const rung_advantage_data *d,
                const rung_advantage_opts *o) {
    rung_error err = RUNG_ERROR_INIT;
    if (rung_advantage(a, NULL, NULL, id, d, o, &err) != RUNG_OK) fail_msg("%s", err.what);
}

/* Right, wrong, right thought of the right answer; the wrong one's second is adopted. z of {1, 0}
 * is
 * +-1/sqrt 2 (unbiased sd sqrt(1/2)), accuracy 1/2; rewards.md 6: correct thoughts z, wrong z -
 * alpha / 2; matching z, mismatched 0. */
static void test_thought(void **state) {
    (void)state;
    const double label[] = {1, 0, 1, 0, 1};
    rung_step_rewards s = with(label);
    rung_advantage_data d = two(&s);
    float a[10];
    double z = 0.5 / (sqrt(0.5) + 1e-6);
    const double want[] = {z, z, z - .5, z - .5, z, z, 0, 0, -z, -z};
    run(a, RUNG_ADVANTAGE_THOUGHT, &d, NULL);
    all_near(a, want, 10);
    /* The sum form of the paper: z + process rewards of the thoughts from here on, the last without
     * one: +r_c, -r_c alternate, so for the right answer a wrong thought before a right one sums to
     * z - r_c, a right one before that to z. */
    near_to((double)a[0], z + .5 - .5);
    near_to((double)a[2], z - .5);
}

/* W (2, 1): tokens of the right answer 2, 2, 1, 1, 2, 2; of the wrong one -1, -1, 0, 0. */
static void test_capo(void **state) {
    (void)state;
    const double weight[] = {0, 1, 0, 1, 0}, r[] = {2, 2, 1, 1, 2, 2, -1, -1, 0, 0};
    rung_step_rewards s = with(weight);
    rung_advantage_data d = two(&s);
    float a[10];
    double mean = 0.8, sum = 0, want[10];
    for (int t = 0; t < 10; t++) sum += (r[t] - mean) * (r[t] - mean);
    for (int t = 0; t < 10; t++) want[t] = (r[t] - mean) / (sqrt(sum / 9) + 1e-6);
    run(a, RUNG_ADVANTAGE_CAPO, &d, NULL);
    all_near(a, want, 10);
}

/* o + 3 A of the step it belongs to, minus the value; never a suffix sum. */
static void test_pav(void **state) {
    (void)state;
    const double progress[] = {.25, -.5, .125, -.25, 0};
    float value[10], a[10];
    for (int t = 0; t < 10; t++) value[t] = 0.5f;
    rung_step_rewards s = with(progress);
    rung_advantage_data d = two(&s);
    d.value = value;
    const double want[] = {1.25, 1.25, -1, -1, .875, .875, -1.25, -1.25, -.5, -.5};
    run(a, RUNG_ADVANTAGE_PAV, &d, NULL);
    all_near(a, want, 10);
}

/* z of outcomes + z of the five step rewards 1, 2, 3, 4, 0 (mean 2, sd sqrt 2.5). */
static void test_oprl(void **state) {
    (void)state;
    const double r[] = {1, 2, 3, 4, 0};
    rung_step_rewards s = with(r);
    rung_advantage_data d = two(&s);
    float a[10];
    double z = 0.5 / (sqrt(0.5) + 1e-6), q = sqrt(2.5) + 1e-6;
    const double want[] = {z - 1 / q, z - 1 / q,  z,          z,          z + 1 / q,
                           z + 1 / q, -z + 2 / q, -z + 2 / q, -z - 2 / q, -z - 2 / q};
    run(a, RUNG_ADVANTAGE_OPRL, &d, NULL);
    all_near(a, want, 10);
}

/* All steps of the group standardised, later ones added up. */
static void test_process_form(void **state) {
    (void)state;
    const double r[] = {1, 2, 3, 4, 0};
    rung_step_rewards s = with(r);
    rung_advantage_data d = two(&s);
    float a[10];
    double q = sqrt(2.5) + 1e-6;
    const double want[] = {0, 0, 1 / q, 1 / q, 1 / q, 1 / q, 0, 0, -2 / q, -2 / q};
    run(a, RUNG_ADVANTAGE_GRPO_PROCESS, &d, NULL);
    all_near(a, want, 10);
}

/* r_p + o - 1 at the ends of all turns but the last, o at the end; lambda = gamma = 1 and V = 0:
 * sums to come. Process reward is never above 0 for a wrong answer, never below for a right one. */
static void test_renorm(void **state) {
    (void)state;
    const double judged[] = {.5, .25, .9, .75, .1};
    float value[10] = {0}, a[10];
    rung_step_rewards s = with(judged);
    rung_advantage_data d = two(&s);
    rung_advantage_opts o = RUNG_ADVANTAGE_OPTS_INIT;
    d.value = value;
    o.whiten = RUNG_WHITEN_OFF;
    const double want[] = {1.75, 1.75, 1.25, 1.25, 1, 1, -.25, -.25, 0, 0};
    run(a, RUNG_ADVANTAGE_RENORM, &d, &o);
    all_near(a, want, 10);
    o.mu = -1; /* none: the raw sum */
    const double raw[] = {3.75, 3.75, 2.25, 2.25, 1, 1, .75, .75, 0, 0};
    run(a, RUNG_ADVANTAGE_RENORM, &d, &o);
    all_near(a, raw, 10);
}

/* Two sources: +1/-1 a step (weight .3), one score standardised by (mean 2, sd 4), weight .5. */
static void test_multi_density(void **state) {
    (void)state;
    const double clean[] = {1, -1, 1, -1, 1}, whole[] = {4, -2};
    const int64_t one[] = {0, 1, 2};
    const int32_t last[] = {5, 3};
    rung_step_rewards s[2] = {with(clean), {one, last, whole, .5, 2, 4}};
    s[0].weight = .3;
    rung_advantage_data d = two(s);
    float value[10] = {0}, a[10];
    rung_advantage_opts o = RUNG_ADVANTAGE_OPTS_INIT;
    d.value = value;
    d.n_sources = 2;
    d.outcome = NULL;
    o.whiten = RUNG_WHITEN_OFF;
    o.lambda = 1;
    double r[10] = {0, .3, 0, -.3, 0, .3 + .25, 0, -.3, 0, .3 - .5}, mean = 0, var = 0, want[10];
    for (int t = 0; t < 10; t++) mean += r[t] / 10;
    for (int t = 0; t < 10; t++) var += (r[t] - mean) * (r[t] - mean) / 9;
    for (int t = 0; t < 10; t++) r[t] = (r[t] - mean) / sqrt(var + 1e-8) + mean;
    for (int t = 9; t >= 0; t--) want[t] = r[t] + (t == 9 || t == 5 ? 0 : want[t + 1]);
    run(a, RUNG_ADVANTAGE_FG, &d, &o);
    all_near(a, want, 10);
}

/* The paper's split formula, written out for two answers; N = 8. */
static void test_min_form_paper(void **state) {
    (void)state;
    const double r[] = {.5, -.5, 1, .25, -.75};
    double w[5], back[2][6], sum[2] = {0, 0}, want[10];
    rung_step_rewards s = with(r);
    rung_advantage_data d = two(&s);
    rung_advantage_opts o = RUNG_ADVANTAGE_OPTS_INIT;
    float a[10];
    o.whiten = RUNG_WHITEN_OFF;
    o.length_max = 8;
    o.gamma = .9;
    for (int i = 0; i < 2; i++) {
        double z = 0;
        for (int h = (int)step_first[i]; h < step_first[i + 1]; h++) z += exp(-r[h] / .1);
        for (int h = (int)step_first[i]; h < step_first[i + 1]; h++)
            w[h] = exp(-r[h] / .1) / z * r[h];
    }
    for (int i = 0; i < 2; i++) {
        int n = (int)(first[i + 1] - first[i]);
        for (int t = n - 1; t >= 0; t--) {
            double here = 0;
            for (int h = (int)step_first[i]; h < step_first[i + 1]; h++)
                here += ends[h] == t ? w[h] : 0;
            back[i][t] = here + (t + 1 < n ? .9 * back[i][t + 1] : 0);
            sum[i] += back[i][t];
        }
    }
    for (int i = 0; i < 2; i++)
        for (int t = 0; t < first[i + 1] - first[i]; t++)
            want[first[i] + t] = (i == 0 ? 1 : -1) + back[i][t] - sum[1 - i] / 8;
    run(a, RUNG_ADVANTAGE_MIN_FORM, &d, &o);
    all_near(a, want, 10);
}

/* Soft weights of smaller and smaller temperature give the least; suffix sums then are the min-form
 * returns: the least of all up to the worst step, about 0 behind it (rewards.md 3). */
static void test_softmin(void **state) {
    (void)state;
    rung_rng r = rung_rng_at(5, RUNG_STREAM_TEST, 1, 0);
    for (int k = 0; k < 200; k++) {
        double x[9], w[9], low = 2, last = 3;
        int n = (int)rung_rng_between(&r, 1, 9);
        for (int h = 0; h < n; h++) {
            x[h] = floor(rung_rng_f64(&r) * 41) / 20 - 1; /* apart by 0.05 or equal */
            low = fmin(low, x[h]);
        }
        for (double temperature = 1; temperature > 0.001; temperature /= 4) {
            double sum = 0;
            rung_softmin_rewards(w, x, n, temperature);
            for (int h = 0; h < n; h++) sum += w[h];
            assert_true(sum >= low - 1e-12 && sum <= last + 1e-12);
            last = sum;
        }
        near_to(last, low);
    }
    double one[1] = {.3};
    rung_softmin_rewards(one, one, 1, .1);
    near_to(one[0], .3);
}

/* Steps .5, -.5, 1: strict returns -.5, -.5 up to the end of the second, then 1. */
static void test_strict_minimum(void **state) {
    (void)state;
    const double r[] = {.5, -.5, 1, .25, -.75};
    rung_step_rewards s = with(r);
    rung_advantage_data d = two(&s);
    rung_advantage_opts o = RUNG_ADVANTAGE_OPTS_INIT;
    float a[10];
    o.whiten = RUNG_WHITEN_OFF;
    o.min_credit = RUNG_MIN_STRICT;
    o.length_max = 10;
    double own[2] = {(-.5 * 4 + 2) / 10, -.75 * 4 / 10};
    const double want[] = {-.5, -.5, -.5, -.5, 1, 1, -.75, -.75, -.75, -.75};
    run(a, RUNG_ADVANTAGE_MIN_FORM, &d, &o);
    for (int t = 0; t < 10; t++)
        near_to((double)a[t], want[t] + (t < 6 ? 1 - own[1] : -1 - own[0]));
}

/* PRIME as the paper has it: a_i + sum over u >= t of (s_u - mean of the other's s). Equal to plain
 * rloo when process rewards are 0 (a frozen implicit reward model). */
static void test_prime_paper(void **state) {
    (void)state;
    float s[] = {.5f, 0, -.25f, 1, 0, .25f, -1, .5f, 0, 0}, zero[10] = {0}, a[10], b[10];
    rung_advantage_data d = two(NULL);
    rung_advantage_opts o = RUNG_ADVANTAGE_OPTS_INIT;
    d.token_reward = s;
    o.whiten = RUNG_WHITEN_OFF;
    o.prime_unscaled = true;
    double mean[2] = {1.5 / 6, -.5 / 4}, want[10];
    for (int i = 0; i < 2; i++) {
        double run_sum = 0;
        for (int64_t t = first[i + 1] - 1; t >= first[i]; t--) {
            run_sum += (double)s[t] - mean[1 - i];
            want[t] = (i == 0 ? 1 : -1) + run_sum;
        }
    }
    run(a, RUNG_ADVANTAGE_PRIME, &d, &o);
    all_near(a, want, 10);
    d.token_reward = zero;
    run(a, RUNG_ADVANTAGE_PRIME, &d, &o);
    d.token_reward = NULL;
    run(b, RUNG_ADVANTAGE_RLOO, &d, &o);
    assert_memory_equal(a, b, sizeof a);
}

static void test_votes(void **state) {
    (void)state;
    const uint8_t wrong[] = {1, 1, 0, 0, /**/ 1, 0, 1, 0, /**/ 1, 1, 0, 0, /**/ 1, 0, 0, 0},
                  usable[] = {1, 1, 1, 0}, none[] = {0, 0, 0, 0};
    const struct {
        rung_vote vote;
        double want[4];
    } rows[] = {{RUNG_VOTE_INTERSECTION, {1, 0, 0, 0}},
                {RUNG_VOTE_MAJORITY, {1, 1, 0, 0}}, /* the second: a tie of four */
                {RUNG_VOTE_UNION, {1, 1, 1, 0}},
                {RUNG_VOTE_AVERAGE, {1, .5, .25, 0}},
                {RUNG_VOTE_GREEDY, {1, 1, 0, 0}}};
    double w[4];
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
        rung_vote_steps(w, rows[k].vote, wrong, NULL, 4, 4);
        for (int s = 0; s < 4; s++) near_to(w[s], rows[k].want[s]);
        rung_vote_steps(w, rows[k].vote, wrong, none, 4, 4);
        for (int s = 0; s < 4; s++) near_to(w[s], 0);
    }
    rung_vote_steps(w, RUNG_VOTE_AVERAGE, wrong, usable, 4, 4);
    near_to(w[1], 2 / 3.);
    rung_vote v;
    assert_true(rung_vote_find(&v, "union") && v == RUNG_VOTE_UNION && !rung_vote_find(&v, "vote"));
}

/* gae with lambda 1 and no values is the reward to go; reinforce whitened is reinforce++. */
static void test_identities(void **state) {
    (void)state;
    float token[10], value[10] = {0}, a[10], b[10];
    rung_rng r = rung_rng_at(6, RUNG_STREAM_TEST, 2, 0);
    for (int t = 0; t < 10; t++) token[t] = (float)rung_rng_normal(&r);
    rung_advantage_data d = two(NULL);
    rung_advantage_opts o = RUNG_ADVANTAGE_OPTS_INIT;
    d.token_reward = token;
    d.value = value;
    o.lambda = 1;
    o.gamma = .8;
    o.whiten = RUNG_WHITEN_OFF;
    run(a, RUNG_ADVANTAGE_GAE, &d, &o);
    run(b, RUNG_ADVANTAGE_REINFORCE, &d, &o);
    for (int t = 0; t < 10; t++) near_to((double)a[t], (double)b[t]);
    d.token_reward = NULL; /* rloo = K/(K-1) (R - mean), learning.md 4.7 */
    run(a, RUNG_ADVANTAGE_RLOO, &d, &o);
    run(b, RUNG_ADVANTAGE_GRPO_NOSTD, &d, &o);
    for (int t = 0; t < 10; t++) near_to((double)a[t], 2 * (double)b[t]);
}

/* Every row ------------------------------------------------------------------------------------ */

enum { N = 8, MAX_TOK = 12 };
typedef struct world {
    rung_advantage_data d;
    rung_step_rewards steps;
    int64_t first[N + 1], step_first[N + 1];
    int32_t group[N], end[N * MAX_TOK];
    uint8_t mask[N * MAX_TOK], known[N];
    double outcome[N], baseline[N], reward[N * MAX_TOK];
    float token[N * MAX_TOK], value[N * MAX_TOK], old[N * MAX_TOK], ref[N * MAX_TOK];
    rung_advantage_opts o;
} world;

/* Two groups of four; answer 2 was masked whole (cut off), answer 5 has one token. */
static void build(world *w, uint64_t address) {
    rung_rng r = rung_rng_at(9, RUNG_STREAM_TEST, address, 0);
    memset(w, 0, sizeof *w);
    int64_t at = 0, step = 0;
    for (int i = 0; i < N; i++) {
        int n = i == 5 ? 1 : (int)rung_rng_between(&r, 2, MAX_TOK);
        w->group[i] = i % 2;
        w->known[i] = 1;
        w->outcome[i] = rung_rng_f64(&r) > .5;
        w->baseline[i] = rung_rng_f64(&r);
        for (int t = 0; t < n; t++) {
            w->mask[at + t] = i != 2 && (t == n - 1 || rung_rng_f64(&r) > .2);
            w->token[at + t] = w->mask[at + t] ? (float)rung_rng_normal(&r) : NAN;
            w->value[at + t] = w->mask[at + t] ? (float)rung_rng_normal(&r) : NAN;
            w->old[at + t] = w->mask[at + t] ? -(float)rung_rng_f64(&r) : NAN;
            w->ref[at + t] = w->mask[at + t] ? -(float)rung_rng_f64(&r) : NAN;
            if (w->mask[at + t] && (t == n - 1 || rung_rng_f64(&r) > .6)) {
                w->end[step] = t;
                w->reward[step++] = rung_rng_f64(&r);
            }
        }
        at += n;
        w->first[i + 1] = at;
        w->step_first[i + 1] = step;
    }
    w->steps = (rung_step_rewards){.first = w->step_first, .end = w->end, .reward = w->reward};
    w->d = (rung_advantage_data){N,          w->first,    w->mask,   w->group, w->known,
                                 w->outcome, w->baseline, &w->steps, 1,        w->token,
                                 w->value,   w->old,      w->ref};
    w->o = (rung_advantage_opts)RUNG_ADVANTAGE_OPTS_INIT;
    w->o.length_max = MAX_TOK;
    w->o.kl_coef = .1;
}

static void test_every_row(void **state) {
    (void)state;
    for (int id = 0; id < RUNG_ADVANTAGE_COUNT; id++) {
        for (uint64_t k = 0; k < 20; k++) {
            world w;
            float a[N * MAX_TOK], b[N * MAX_TOK], ret[N * MAX_TOK];
            rung_advantage_figures f;
            rung_error err = RUNG_ERROR_INIT;
            build(&w, k);
            w.known[3] = k % 3 != 0;
            for (w.o.n_threads = 1; w.o.n_threads <= 3; w.o.n_threads++) {
                float *to = w.o.n_threads == 1 ? a : b;
                memset(to, 0x7f, sizeof a);
                if (rung_advantage(to, ret, &f, (rung_advantage_id)id, &w.d, &w.o, &err))
                    fail_msg("%s: %s", rung_advantage_name((rung_advantage_id)id), err.what);
                assert_memory_equal(a, to, (size_t)w.first[N] * sizeof *a);
            }
            assert_int_equal(f.n_empty, 1);
            assert_int_equal(f.n_unknown, k % 3 == 0);
            double most = 0;
            for (int i = 0; i < N; i++) {
                for (int64_t t = w.first[i]; t < w.first[i + 1]; t++) {
                    assert_true(isfinite(a[t]) && isfinite(ret[t]));
                    if (!w.mask[t] || !w.known[i]) assert_true(a[t] == 0 && ret[t] == 0);
                    most = fmax(most, fabs((double)a[t]));
                }
            }
            near_to(f.max_abs, most);
        }
    }
}

/* A NaN that counts is refused by name; K = 1 is refused where answers are compared. */
static void test_refusals(void **state) {
    (void)state;
    for (int id = 0; id < RUNG_ADVANTAGE_COUNT; id++) {
        rung_advantage_id row = (rung_advantage_id)id;
        unsigned needs = rung_advantage_needs(row);
        float a[N * MAX_TOK];
        rung_error err = RUNG_ERROR_INIT;
        world w;
        build(&w, 3);
        w.outcome[4] = NAN;
        assert_int_equal(rung_advantage(a, NULL, NULL, row, &w.d, &w.o, &err), RUNG_E_INVAL);
        assert_non_null(strstr(err.what, "outcome of answer 4"));
        build(&w, 3);
        w.reward[w.step_first[4]] = INFINITY;
        assert_int_equal(rung_advantage(a, NULL, NULL, row, &w.d, &w.o, &err), RUNG_E_INVAL);
        assert_non_null(strstr(err.what, "step reward of answer 4"));
        if (needs & RUNG_ADVANTAGE_NEEDS_VALUE) {
            build(&w, 3);
            w.value[w.first[5] - 1] = NAN;
            assert_int_equal(rung_advantage(a, NULL, NULL, row, &w.d, &w.o, &err), RUNG_E_INVAL);
            assert_non_null(strstr(err.what, "value of answer 4"));
        }
        build(&w, 3);
        w.token[w.first[5] - 1] = NAN;
        assert_int_equal(rung_advantage(a, NULL, NULL, row, &w.d, &w.o, &err), RUNG_E_INVAL);
        assert_non_null(strstr(err.what, "token reward of answer 4"));
        build(&w, 3);
        w.group[6] = 99;
        bool refused = rung_advantage(a, NULL, NULL, row, &w.d, &w.o, &err) == RUNG_E_INVAL;
        assert_int_equal(refused, (needs & RUNG_ADVANTAGE_NEEDS_GROUP) != 0);
        if (refused) assert_non_null(strstr(err.what, "group 99 has one answer"));
        build(&w, 3);
        w.end[0] = 0;
        w.mask[0] = 0;
        assert_int_equal(rung_advantage(a, NULL, NULL, row, &w.d, &w.o, &err), RUNG_E_INVAL);
        assert_non_null(strstr(err.what, "did not write"));
    }
    world w;
    float a[N * MAX_TOK];
    build(&w, 3);
    w.o.length_max = 0;
    assert_int_equal(rung_advantage(a, NULL, NULL, RUNG_ADVANTAGE_MIN_FORM, &w.d, &w.o, NULL),
                     RUNG_E_INVAL);
    w.o.kl_coef = .1;
    w.d.ref = NULL;
    assert_int_equal(rung_advantage(a, NULL, NULL, RUNG_ADVANTAGE_RLOO, &w.d, &w.o, NULL),
                     RUNG_E_INVAL);
}

/* Equal rewards carry no signal: exactly 0, not the rounding of a mean. */
static void test_flat_groups(void **state) {
    (void)state;
    static const rung_advantage_id rows[] = {
        RUNG_ADVANTAGE_RLOO,       RUNG_ADVANTAGE_GRPO,
        RUNG_ADVANTAGE_GRPO_NOSTD, RUNG_ADVANTAGE_DR_GRPO,
        RUNG_ADVANTAGE_DAPO,       RUNG_ADVANTAGE_GRPO_BATCH_STD,
        RUNG_ADVANTAGE_OPO,        RUNG_ADVANTAGE_PASS_AT_K,
        RUNG_ADVANTAGE_GPG,        RUNG_ADVANTAGE_REINFORCE_PP_BASELINE};
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
        world w;
        float a[N * MAX_TOK];
        rung_advantage_figures f;
        build(&w, 1);
        w.d.token_reward = NULL;
        w.d.n_sources = 0;
        w.o.kl_coef = 0;
        for (int i = 0; i < N; i++) w.outcome[i] = i % 2 ? .1 : .7;
        assert_int_equal(rung_advantage(a, NULL, &f, rows[k], &w.d, &w.o, NULL), RUNG_OK);
        for (int64_t t = 0; t < w.first[N]; t++) assert_true(a[t] == 0);
        assert_int_equal(f.n_flat, 2);
    }
}

/* min_form is written step by step where it can be: the same as token by token. */
static void test_min_form_paths(void **state) {
    (void)state;
    for (uint64_t k = 0; k < 40; k++) {
        world w;
        float a[N * MAX_TOK], b[N * MAX_TOK], ra[N * MAX_TOK], rb[N * MAX_TOK];
        rung_advantage_figures fa, fb;
        rung_error err = RUNG_ERROR_INIT;
        build(&w, k);
        w.known[3] = k % 3 != 0;
        w.d.token_reward = NULL;
        w.o.kl_coef = 0;
        w.o.min_variant = k % 2 ? RUNG_MIN_CODE_VERL : RUNG_MIN_PAPER;
        w.o.min_credit = k % 4 < 2 ? RUNG_MIN_SOFT : RUNG_MIN_SUM;
        w.o.whiten = k % 5 == 0 ? RUNG_WHITEN_OFF : RUNG_WHITEN_ROW;
        memset(w.mask, 1, sizeof w.mask);
        w.d.mask = w.mask;
        assert_int_equal(rung_advantage(a, ra, &fa, RUNG_ADVANTAGE_MIN_FORM, &w.d, &w.o, &err), 0);
        w.d.mask = NULL;
        assert_int_equal(rung_advantage(b, rb, &fb, RUNG_ADVANTAGE_MIN_FORM, &w.d, &w.o, &err), 0);
        for (int64_t t = 0; t < w.first[N]; t++) {
            near_to((double)b[t], (double)a[t]);
            near_to((double)rb[t], (double)ra[t]);
        }
        near_to(fb.max_abs, fa.max_abs);
        near_to(fb.sd, fa.sd);
        near_to(fb.mean, fa.mean);
    }
}

static void test_names(void **state) {
    (void)state;
    const struct {
        const char *name;
        rung_advantage_id id;
    } rows[] = {{"verl:gae", RUNG_ADVANTAGE_GAE},
                {"reinforce_plus_plus_baseline", RUNG_ADVANTAGE_REINFORCE_PP_BASELINE},
                {"grpo_passk", RUNG_ADVANTAGE_PASS_AT_K},
                {"trl:group", RUNG_ADVANTAGE_GRPO},
                {"trl:none", RUNG_ADVANTAGE_GRPO_NOSTD},
                {"openrlhf:group_norm", RUNG_ADVANTAGE_GRPO},
                {"rloo_vectorized", RUNG_ADVANTAGE_RLOO}};
    rung_advantage_id id;
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++)
        assert_true(rung_advantage_find(&id, rows[k].name) && id == rows[k].id);
    for (int i = 0; i < RUNG_ADVANTAGE_COUNT; i++)
        assert_true(rung_advantage_find(&id, rung_advantage_name((rung_advantage_id)i)) &&
                    id == (rung_advantage_id)i);
    assert_false(rung_advantage_find(&id, "verl:grpo2") || rung_advantage_find(&id, "") ||
                 rung_advantage_find(&id, "verl:"));
}

static void test_kl(void **state) {
    (void)state;
    near_to(rung_kl_of(RUNG_KL_K1, -1, -1.5), .5);
    near_to(rung_kl_of(RUNG_KL_ABS, -2, -1.5), .5);
    near_to(rung_kl_of(RUNG_KL_K2, -1, -1.5), .125);
    near_to(rung_kl_of(RUNG_KL_K3, -1, -1.5), exp(-.5) - 1 + .5);
    near_to(rung_kl_of(RUNG_KL_K3, -50, 0), 10);
    near_to(rung_kl_adapt(.1, 3, 2, .1), .1 * 1.02); /* off by half: the bound .2 */
    near_to(rung_kl_adapt(.1, 2.2, 2, .5), .1 * 1.05);
    near_to(rung_kl_adapt(.1, 0, 2, 1), .08);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thought),
        cmocka_unit_test(test_capo),
        cmocka_unit_test(test_pav),
        cmocka_unit_test(test_oprl),
        cmocka_unit_test(test_process_form),
        cmocka_unit_test(test_renorm),
        cmocka_unit_test(test_multi_density),
        cmocka_unit_test(test_min_form_paper),
        cmocka_unit_test(test_softmin),
        cmocka_unit_test(test_strict_minimum),
        cmocka_unit_test(test_prime_paper),
        cmocka_unit_test(test_votes),
        cmocka_unit_test(test_identities),
        cmocka_unit_test(test_every_row),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_flat_groups),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_min_form_paths),
        cmocka_unit_test(test_kl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
