/* Training curves: steps and epochs become metric rows under the names that dashboards know, other
 * events pass by, a store that fails stops the training and says so. */
#include "reward/reward_curve.h"
#include "rung/event.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define OK(expr) assert_int_equal(expr, RUNG_OK)

static int n_seen, answer;
static int see(void *ud, rung_level level, const char *name, const rung_field *fields) {
    (void)ud, (void)level, (void)name, (void)fields;
    n_seen++;
    return answer;
}

static int64_t new_run(rung_store *s) {
    rung_run r = {.kind = "reward.train", .config = "{}"};
    OK(rung_run_begin(s, &r, NULL));
    return r.id;
}

static int epoch(const rung_log *log, int i, double loss, double auc) {
    return rung_event(log, RUNG_PROGRESS, "reward.epoch", RUNG_I("epoch", i), RUNG_I("epochs", 9),
                      RUNG_D("loss", loss), RUNG_D("held_loss", loss + .1),
                      RUNG_D("held_auc", auc));
}

static void rows(void **state) {
    (void)state;
    rung_store *s;
    OK(rung_store_open(&s, ":memory:", RUNG_STORE_CREATE, NULL));
    int64_t run = new_run(s);
    rung_log log = {see, NULL};
    reward_curve c;
    OK(reward_curve_init(&c, s, run, NULL, &log, NULL));
    n_seen = answer = 0;
    assert_int_equal(epoch(&c.log, 1, .7, NAN), 0); /* no AUC yet: no row */
    assert_int_equal(epoch(&c.log, 2, .5, .8), 0);
    assert_int_equal(epoch(&c.log, 2, .5, .8), 0); /* told again after a resume: free */
    rung_event(&c.log, RUNG_INFO, "reward.train", RUNG_D("loss", 3.0));
    assert_int_equal(n_seen, 4);
    answer = 1; /* whoever listens may stop the training */
    assert_int_not_equal(epoch(&c.log, 3, .4, .9), 0);
    assert_int_equal(reward_curve_close(&c, RUNG_E_CANCELLED, NULL), RUNG_E_CANCELLED);
    static const struct {
        const char *name;
        int64_t step;
        double value;
    } want[] = {{"eval/auc", 2, .8},   {"eval/auc", 3, .9},   {"eval/loss", 1, .8},
                {"eval/loss", 2, .6},  {"eval/loss", 3, .5},  {"train/epoch", 1, 1},
                {"train/epoch", 2, 2}, {"train/epoch", 3, 3}, {"train/loss", 1, .7},
                {"train/loss", 2, .5}, {"train/loss", 3, .4}};
    rung_iter *it;
    const char *name;
    int64_t step;
    double value;
    OK(rung_metric_iter(&it, s, run, NULL, NULL));
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        OK(rung_metric_next(&step, &name, &value, it, NULL));
        assert_string_equal(name, want[i].name);
        assert_int_equal(step, want[i].step);
        assert_true(fabs(value - want[i].value) < 1e-12);
    }
    assert_int_equal(rung_metric_next(&step, &name, &value, it, NULL), RUNG_DONE);
    rung_iter_free(it);
    rung_store_close(s);
}

static int64_t n_rows(rung_store *s, int64_t run, const char *metric) {
    rung_iter *it;
    const char *name;
    int64_t step, n = 0;
    double value;
    OK(rung_metric_iter(&it, s, run, metric, NULL));
    while (rung_metric_next(&step, &name, &value, it, NULL) == RUNG_OK) n++;
    rung_iter_free(it);
    return n;
}

/* Steps are kept back until a checkpoint is about to be written; an epoch's mean loss is then not a
 * point of the curve of steps. */
static void steps(void **state) {
    (void)state;
    rung_store *s;
    OK(rung_store_open(&s, ":memory:", RUNG_STORE_CREATE, NULL));
    int64_t run = new_run(s);
    reward_curve c;
    OK(reward_curve_init(&c, s, run, NULL, NULL, NULL));
    for (int i = 1; i <= 3; i++)
        rung_event(&c.log, RUNG_PROGRESS, "reward.step", RUNG_I("at_step", i),
                   RUNG_I("tok", 10 * i), RUNG_D("loss", 1. / i), RUNG_D("lr", .1),
                   RUNG_D("grad_norm", 2), RUNG_D("tok_s", 99));
    assert_int_equal(n_rows(s, run, NULL), 0);
    rung_event(&c.log, RUNG_DEBUG, "reward.checkpoint", RUNG_I("at_step", 3));
    assert_int_equal(n_rows(s, run, NULL), 15);
    rung_event(&c.log, RUNG_PROGRESS, "reward.epoch", RUNG_I("at_step", 3), RUNG_I("epoch", 1),
               RUNG_D("loss", .5), RUNG_D("held_loss", .6));
    assert_int_equal(n_rows(s, run, "train/loss"), 3);
    assert_int_equal(n_rows(s, run, "train/num_tokens"), 3);
    assert_int_equal(n_rows(s, run, "eval/loss"), 1);
    OK(reward_curve_close(&c, RUNG_OK, NULL));
    rung_store_close(s);
}

static void store_fails(void **state) {
    (void)state;
    rung_store *s;
    OK(rung_store_open(&s, ":memory:", RUNG_STORE_CREATE, NULL));
    reward_curve c;
    OK(reward_curve_init(&c, s, 4711, NULL, NULL, NULL)); /* no such run: the row is refused */
    assert_int_not_equal(epoch(&c.log, 1, .7, .5), 0);
    rung_error e = RUNG_ERROR_INIT;
    assert_int_not_equal(reward_curve_close(&c, RUNG_E_CANCELLED, &e), RUNG_E_CANCELLED);
    assert_true(e.what[0]);
    rung_store_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows), cmocka_unit_test(steps),
                                       cmocka_unit_test(store_fails)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
