/* Half the rollouts at equal accuracy of the first error: the closed form of docs/labels.md, small.
 */
#include "../../../benchmarks/micro/label_efficiency.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

/* The chain's formula against its draws. */
static void formula(void **state) {
    (void)state;
    eff_trace t = eff_make(1, 4, .08); /* slips with .2 */
    t.bad[2] = true;
    int c = eff_count(&t, 2, 20000), d = eff_count(&t, -1, 20000);
    assert_true(fabs(c / 20000. - eff_chance(&t, 2)) < .012);
    assert_true(fabs(d / 20000. - eff_chance(&t, -1)) < .012);
    /* by hand, no repair: right with (1 - p)^(steps left), never from a bad state */
    t.rho = 0;
    t.bad[3] = false;
    assert_true(fabs(eff_chance(&t, 3) - pow(.8, 4)) < 1e-12 && eff_chance(&t, 2) == 0);
}

/* Exact stopping never changes a first error, and halves the tokens of a fixed K. */
static void exact_halves(void **state) {
    (void)state;
    const double rhos[] = {0, .03, .08};
    for (int i = 0; i < 3; i++)
        for (int k = 8; k <= 32; k += 24) {
            for (int who = 0; who < EFF_RELATIVE; who++) {
                eff_row z =
                    eff_measure((eff_labeler)who, rhos[i], k, RUNG_STOPPING_EXACT, .95, 300, 3);
                assert_true(z.diff == 0.0 && z.diff_ci.lo == 0.0);
                assert_true(z.ratio < (who == EFF_BINARY ? .85 : .6));
            }
        }
}

/* Without repair every labeler is near exact (spec: hard 100, ratio .8 93.9); with it a zero is a
 * bad sign of an error and relative progress a good one (hard 11.4, ratio .8 85.9 at .05). */
static void orderings(void **state) {
    (void)state;
    eff_row none = eff_measure(EFF_MC_CUT, 0, 32, RUNG_STOPPING_EXACT, .95, 600, 3);
    eff_row hard = eff_measure(EFF_MC_CUT, .08, 32, RUNG_STOPPING_EXACT, .95, 600, 3);
    eff_row ratio = eff_measure(EFF_RELATIVE, .08, 32, RUNG_STOPPING_CONFIDENCE, .8, 400, 3);
    printf("first error exact: hard %.1f%% (rho 0), %.1f%% (rho .08); ratio %.1f%%, stopped %.1f%% "
           "for %.2f of the tokens\n",
           100 * none.acc[0], 100 * hard.acc[0], 100 * ratio.acc[0], 100 * ratio.acc[1],
           ratio.ratio);
    assert_true(none.acc[0] > .95);
    assert_true(ratio.acc[0] > hard.acc[0] + .1);
    assert_true(ratio.diff_ci.lo > -.03 && ratio.ratio_ci.hi < .55);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formula),
        cmocka_unit_test(exact_halves),
        cmocka_unit_test(orderings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
