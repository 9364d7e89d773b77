/* From step rewards to tokens: each stands at its step's end token, with the numbers worked by
 * hand; the last step takes the end token; a masked answer gets none; density; values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "rl/loop.h"

#include <cmocka.h>

enum { N = 2, T = 6 };

/* Two answers of one problem, six tokens each; steps end at tokens 1, 3, 5 and at 2, 5. */
static void two(rl_loop *l, rung_rl_opts *o, rl_answer a[N]) {
    static int32_t end[N][3] = {{1, 3, 5}, {2, 5, 0}};
    static double p[N][3] = {{.9, .8, .6}, {.75, .1, 0}}, old[T], greedy[1];
    static int32_t tok[T + 1];
    *o = (rung_rl_opts)RUNG_RL_OPTS_INIT;
    o->max_tok = 8;
    o->n_threads = 1;
    o->source = RUNG_RL_SOURCE_REWARD;
    o->overlong = RUNG_RL_OVERLONG_MASK;
    *l = (rl_loop){.o = o, .answer = a, .n_answers = N, .greedy = greedy};
    l->arena = rung_arena_new(0);
    for (int i = 0; i < N; i++)
        a[i] = (rl_answer){.i = i,
                           .tok = tok,
                           .n_prompt = 1,
                           .n_resp = T,
                           .old = old,
                           .known = true,
                           .right = i == 0,
                           .outcome = i == 0,
                           .n_steps = i == 0 ? 3 : 2,
                           .step_end = end[i],
                           .step_p = p[i]};
}

static void credit(rl_loop *l) {
    rung_error err = RUNG_ERROR_INIT;
    if (rl_credit(l, &err) != RUNG_OK) fail_msg("%s", err.what);
}

static void near(const float *x, const double *want) {
    for (int t = 0; t < T; t++)
        if (fabs((double)x[t] - want[t]) > 1e-6)
            fail_msg("token %d: %.7f, by hand %.7f", t, (double)x[t], want[t]);
}

/* reinforce: G_t = outcome + all step rewards 2 P - 1 that end at t or later. */
static void test_places(void **state) {
    (void)state;
    rl_loop l;
    rung_rl_opts o;
    rl_answer a[N];
    two(&l, &o, a);
    l.estimator = RUNG_ADVANTAGE_REINFORCE;
    credit(&l);
    near(a[0].advantage, (double[]){2.6, 2.6, 1.8, 1.8, 1.2, 1.2}); /* .8, .6, .2 and 1 */
    near(a[1].advantage, (double[]){-.3, -.3, -.3, -.8, -.8, -.8}); /* .5, -.8 */
    o.step_weight = .5;
    credit(&l);
    near(a[0].advantage, (double[]){1.8, 1.8, 1.4, 1.4, 1.1, 1.1});
    o.step_weight = 0;
    o.steps_at_end = true;
    credit(&l);
    near(a[0].advantage, (double[]){2.6, 2.6, 2.6, 2.6, 2.6, 2.6});
    near(a[1].advantage, (double[]){-.3, -.3, -.3, -.3, -.3, -.3});
    rung_arena_free(l.arena);
}

/* A cut answer under "mask" has no step rewards and no advantage; one without scores still has its
 * outcome in rows that do not need steps, and is unknown in those that do. */
static void test_left_out(void **state) {
    (void)state;
    rl_loop l;
    rung_rl_opts o;
    rl_answer a[N];
    const double none[T] = {0, 0, 0, 0, 0, 0};
    two(&l, &o, a);
    l.estimator = RUNG_ADVANTAGE_REINFORCE;
    a[1].truncated = true;
    credit(&l);
    near(a[1].advantage, none);
    assert_true(a[0].trained && !a[1].trained);
    rung_arena_free(l.arena);
    two(&l, &o, a);
    l.estimator = RUNG_ADVANTAGE_REINFORCE;
    a[0].step_p = NULL;
    credit(&l);
    near(a[0].advantage, (double[]){1, 1, 1, 1, 1, 1});
    l.estimator = RUNG_ADVANTAGE_PAV;
    credit(&l);
    near(a[0].advantage, none);
    assert_true(!a[0].trained);
    rung_arena_free(l.arena);
}

/* Implicit rewards by step: beta times the log-ratios of its tokens; prime takes them by token. */
static void test_implicit(void **state) {
    (void)state;
    static float dense[N][T] = {{1, 1, 2, 2, -1, 3}, {0, 0, -4, 1, 1, 1}};
    rl_loop l;
    rung_rl_opts o;
    rl_answer a[N];
    rung_net *there = (rung_net *)dense; /* only asked whether it is there */
    two(&l, &o, a);
    o.source = RUNG_RL_SOURCE_IMPLICIT;
    o.implicit_beta = .1;
    l.implicit = there;
    for (int i = 0; i < N; i++) {
        a[i].step_p = NULL;
        a[i].dense = dense[i];
    }
    l.estimator = RUNG_ADVANTAGE_REINFORCE;
    credit(&l);
    near(a[0].advantage, (double[]){1.8, 1.8, 1.6, 1.6, 1.2, 1.2}); /* .2, .4, .2 and 1 */
    near(a[1].advantage, (double[]){-.1, -.1, -.1, .3, .3, .3});
    /* prime, not whitened: outcome 1 - 0, and sums of d / S less the other's token mean; the
     * largest suffix sum is 8: means (8 / 6) / 8 and (-1 / 6) / 8 */
    o.credit.whiten = RUNG_WHITEN_OFF;
    l.estimator = RUNG_ADVANTAGE_PRIME;
    credit(&l);
    double want[T], sum = 0, other = -1.0 / 6 / 8;
    for (int t = T - 1; t >= 0; t--) {
        sum += (double)dense[0][t] / 8 - other;
        want[t] = 1 + sum;
    }
    for (int t = 0; t < T; t++)
        if (fabs((double)a[0].advantage[t] - want[t]) > 1e-5)
            fail_msg("prime, token %d: %.7f, by hand %.7f", t, (double)a[0].advantage[t], want[t]);
    rung_arena_free(l.arena);
}

/* gae with lambda 1 and values: A_t = G_t - V_t, returns G_t. */
static void test_values(void **state) {
    (void)state;
    static double v[N][T] = {{.5, .4, .3, .2, .1, 0}, {1, 1, 1, 1, 1, 1}};
    rl_loop l;
    rung_rl_opts o;
    rl_answer a[N];
    two(&l, &o, a);
    l.estimator = RUNG_ADVANTAGE_GAE;
    l.critic = (rung_net *)v;
    o.credit.lambda = 1;
    o.credit.whiten = RUNG_WHITEN_OFF;
    for (int i = 0; i < N; i++) a[i].value = v[i];
    credit(&l);
    near(a[0].ret, (double[]){2.6, 2.6, 1.8, 1.8, 1.2, 1.2});
    near(a[0].advantage, (double[]){2.1, 2.2, 1.5, 1.6, 1.1, 1.2});
    near(a[1].advantage, (double[]){-1.3, -1.3, -1.3, -1.8, -1.8, -1.8});
    rung_arena_free(l.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places), cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_implicit), cmocka_unit_test(test_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
