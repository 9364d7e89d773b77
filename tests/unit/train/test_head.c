/* Head training: learns what is there, stops when held-out loss rises, resumes bit-equal, refuses
 * bad rows and foreign checkpoints. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rung/loss.h"
#include "rung/rng.h"
#include "rung/train.h"

#include <cmocka.h>

#define D 12
static rung_error err;
static char path[] = "/tmp/rung_head_XXXXXX";

typedef struct data {
    float *x, *y;
    rung_head_data d;
} data;

/* y from a logistic model of column 0 (times sign of column 1 when cross), in odd units; the last
 * column never varies. */
static data make(int64_t n, bool cross, uint64_t address) {
    data k = {calloc((size_t)(n * D), sizeof(float)), calloc((size_t)n, sizeof(float)), {0}};
    rung_rng r = rung_rng_at(11, RUNG_STREAM_TEST, address, 0);
    for (int64_t i = 0; i < n; i++) {
        double z[D];
        for (int c = 0; c < D; c++) {
            z[c] = rung_rng_normal(&r);
            k.x[i * D + c] = (float)(c == D - 1 ? 3.25 : 100 * c + 40 * z[c]);
        }
        double s = cross ? 6 * z[0] * z[1] : 3 * z[0];
        k.y[i] = rung_rng_f64(&r) < 1 / (1 + exp(-s)) ? 1 : 0;
    }
    k.d = (rung_head_data){.x = k.x, .y = k.y, .n = n};
    return k;
}

static void drop(data *k) {
    free(k->x);
    free(k->y);
}

typedef struct seen {
    int64_t epochs;
    double first_loss, loss, held, auc, least;
    int64_t stop_at;
} seen;

static int emit(void *ud, rung_level level, const char *name, const rung_field *f) {
    seen *s = ud;
    if (level != RUNG_PROGRESS || strcmp(name, "reward.epoch") != 0) return 0;
    for (; f->kind != RUNG_FIELD_END; f++) {
        if (strcmp(f->key, "epoch") == 0) s->epochs = f->i;
        if (strcmp(f->key, "loss") == 0) s->loss = f->d;
        if (strcmp(f->key, "held_loss") == 0) s->held = f->d;
        if (strcmp(f->key, "held_auc") == 0) s->auc = f->d;
    }
    if (s->epochs == 1) {
        s->first_loss = s->loss;
        s->least = s->held;
    }
    if (s->held < s->least) s->least = s->held;
    return s->stop_at > 0 && s->epochs >= s->stop_at;
}

static double loss_of(const rung_head *h, const rung_head_data *d) {
    double s = 0;
    for (int64_t i = 0; i < d->n; i++) {
        double p = rung_head_score(h, d->x + i * D);
        s -= d->y[i] > 0.5f ? log(p) : log(1 - p);
    }
    return s / (double)d->n;
}

static void test_learns(void **state) {
    (void)state;
    for (int cross = 0; cross < 2; cross++) {
        data train = make(1500, cross, 1), held = make(500, cross, 2);
        rung_head_opts o = {.n_hidden = cross ? 16 : 0, .epochs = 60, .batch = 64, .lr = 0.01};
        seen s = {0};
        rung_log log = {emit, &s};
        rung_head *h;
        assert_int_equal(rung_head_train(&h, D, &train.d, &held.d, &o, NULL, &log, &err), RUNG_OK);
        print_message("  %s: %lld epochs, held loss %.3f, auc %.3f\n",
                      cross ? "two layers" : "linear", (long long)s.epochs, s.least, s.auc);
        assert_true(s.auc >
                    (cross ? 0.85 : 0.88)); /* the model that made the data reaches about .90 */
        /* The head returned is the one with the least held-out loss, and scores like training did.
         */
        assert_float_equal(loss_of(h, &held.d), s.least, 1e-5);
        assert_true(h->inv_sd[D - 1] == 0);
        assert_int_equal(h->epochs, s.epochs);
        rung_head_free(h);
        drop(&train);
        drop(&held);
    }
}

/* Losses that compare rows inside groups, where every group has a level of its own: they learn what
 * differs inside; squared error learns, too. */
static void test_other_losses(void **state) {
    (void)state;
    static const rung_loss_id ids[] = {RUNG_LOSS_MSE, RUNG_LOSS_BRADLEY_TERRY, RUNG_LOSS_MARGIN,
                                       RUNG_LOSS_OMEGA, RUNG_LOSS_VALUE};
    data train = make(1500, false, 21), held = make(500, false, 22);
    int32_t *group = calloc(1500, sizeof *group);
    for (int i = 0; i < 1500; i++) group[i] = i * 7 % 300; /* five rows each, far apart */
    for (int k = 0; k < 5; k++) {
        rung_head_opts o = {
            .n_hidden = k % 2 ? 16 : 0, .epochs = 40, .batch = 64, .lr = 0.01, .loss = ids[k]};
        if (k == 4) o.clip_value = 0.3;
        seen s = {0};
        rung_log log = {emit, &s};
        rung_head *h;
        train.d.group = held.d.group = NULL;
        if (k > 0 && k < 4) {
            assert_int_equal(rung_head_train(&h, D, &train.d, &held.d, &o, NULL, &log, &err),
                             RUNG_E_INVAL);
            assert_non_null(strstr(err.what, "groups"));
        }
        train.d.group = held.d.group = group;
        assert_int_equal(rung_head_train(&h, D, &train.d, &held.d, &o, NULL, &log, &err), RUNG_OK);
        print_message("  %s: %lld epochs, held loss %.3f, auc %.3f\n", rung_loss_name(ids[k]),
                      (long long)s.epochs, s.least, s.auc);
        assert_true(s.auc > 0.87);
        assert_int_equal(h->value, k == 4);
        rung_head_free(h);
    }
    rung_head_opts o = {.loss = RUNG_LOSS_DPO};
    rung_head *h;
    assert_int_equal(rung_head_train(&h, D, &train.d, &held.d, &o, NULL, NULL, &err), RUNG_E_INVAL);
    free(group);
    drop(&train);
    drop(&held);
}

/* Soft targets all on one side of 1/2: the AUC is of the hard ones, where they are given. */
static void test_sides(void **state) {
    (void)state;
    data train = make(1500, false, 31), held = make(500, false, 32);
    bool *side = calloc(1500, sizeof *side);
    rung_head *h;
    rung_head_opts o = {.epochs = 30, .batch = 64, .lr = 0.01};
    seen s = {0};
    rung_log log = {emit, &s};
    for (int i = 0; i < 500; i++) side[i] = held.y[i] > 0.5f;
    for (int i = 0; i < 500; i++) held.y[i] = 0.1f + 0.3f * held.y[i];
    for (int i = 0; i < 1500; i++) train.y[i] = 0.1f + 0.3f * train.y[i];
    assert_int_equal(rung_head_train(&h, D, &train.d, &held.d, &o, NULL, &log, &err), RUNG_OK);
    assert_true(isnan(s.auc));
    rung_head_free(h);
    held.d.positive = side;
    assert_int_equal(rung_head_train(&h, D, &train.d, &held.d, &o, NULL, &log, &err), RUNG_OK);
    assert_true(s.auc > 0.88);
    rung_head_free(h);
    free(side);
    drop(&train);
    drop(&held);
}

/* Few rows, noise for labels: held-out loss soon rises and training stops long before its epochs.
 */
static void test_early_stop(void **state) {
    (void)state;
    data train = make(60, false, 3), held = make(200, false, 4);
    rung_rng r = rung_rng_at(1, RUNG_STREAM_TEST, 1, 1);
    for (int i = 0; i < 60; i++) train.y[i] = rung_rng_f64(&r) < 0.5 ? 1 : 0;
    rung_head_opts o = {.n_hidden = 32, .epochs = 500, .batch = 8, .lr = 0.01, .patience = 3};
    seen s = {0};
    rung_log log = {emit, &s};
    rung_head *h;
    assert_int_equal(rung_head_train(&h, D, &train.d, &held.d, &o, NULL, &log, &err), RUNG_OK);
    assert_true(s.epochs < 60 && s.held > s.least);
    assert_float_equal(loss_of(h, &held.d), s.least, 1e-5);
    rung_head_free(h);
    drop(&train);
    drop(&held);
}

static void assert_equal(const rung_head *a, const rung_head *b) {
    assert_int_equal(a->n_hidden, b->n_hidden);
    assert_memory_equal(a->w1, b->w1, (size_t)(a->n_hidden * D) * sizeof(float));
    assert_memory_equal(a->b1, b->b1, (size_t)a->n_hidden * sizeof(float));
    assert_memory_equal(a->w2, b->w2, (size_t)a->n_hidden * sizeof(float));
    assert_memory_equal(a->b2, b->b2, sizeof(float));
    assert_memory_equal(a->mean, b->mean, D * sizeof(float));
    assert_memory_equal(a->inv_sd, b->inv_sd, D * sizeof(float));
}

static void test_resume(void **state) {
    (void)state;
    close(mkstemp(path));
    unlink(path);
    data train = make(300, true, 5), held = make(100, true, 6);
    rung_head_opts o = {.n_hidden = 8, .epochs = 12, .batch = 32, .lr = 0.01, .patience = 12};
    rung_head *whole, *part;
    assert_int_equal(rung_head_train(&whole, D, &train.d, &held.d, &o, NULL, NULL, &err), RUNG_OK);
    seen s = {.stop_at = 5};
    rung_log log = {emit, &s};
    assert_int_equal(rung_head_train(&part, D, &train.d, &held.d, &o, path, &log, &err),
                     RUNG_E_CANCELLED);
    assert_null(part);
    s = (seen){0};
    assert_int_equal(rung_head_train(&part, D, &train.d, &held.d, &o, path, &log, &err), RUNG_OK);
    assert_true(s.first_loss == 0 && s.epochs == 12); /* began after epoch 5 */
    assert_equal(whole, part);
    rung_head_free(part);
    assert_int_equal(rung_head_train(&part, D, &train.d, &held.d, &o, path, NULL, &err), RUNG_OK);
    assert_equal(whole, part); /* finished already */
    rung_head_free(part);
    o.lr = 0.02;
    assert_int_equal(rung_head_train(&part, D, &train.d, &held.d, &o, path, NULL, &err),
                     RUNG_E_MISMATCH);
    o.lr = 0.01;
    train.y[3] = 0.25f;
    assert_int_equal(rung_head_train(&part, D, &train.d, &held.d, &o, path, NULL, &err),
                     RUNG_E_MISMATCH);
    assert_true(truncate(path, 100) == 0);
    assert_int_equal(rung_head_train(&part, D, &train.d, &held.d, &o, path, NULL, &err),
                     RUNG_E_FORMAT);
    unlink(path);
    rung_head_free(whole);
    drop(&train);
    drop(&held);
}

/* Weights act like repeated rows, and a weight of 0 like no row at all: full batches, same rows. */
static void test_weights(void **state) {
    (void)state;
    data one = make(40, false, 7);
    float w[40], probe[D];
    for (int i = 0; i < 40; i++) w[i] = 1;
    rung_head_opts o = {.epochs = 5, .batch = 40, .lr = 0.05};
    rung_head *a, *b;
    rung_head_data weighted = one.d;
    weighted.w = w;
    assert_int_equal(rung_head_train(&a, D, &one.d, NULL, &o, NULL, NULL, &err), RUNG_OK);
    assert_int_equal(rung_head_train(&b, D, &weighted, NULL, &o, NULL, NULL, &err), RUNG_OK);
    memcpy(probe, one.x, sizeof probe);
    assert_true(rung_head_score(a, probe) == rung_head_score(b, probe));
    rung_head_free(b);
    for (int i = 0; i < 40; i++) w[i] = one.y[i] > 0.5f ? 1 : 0; /* only positives count */
    assert_int_equal(rung_head_train(&b, D, &weighted, NULL, &o, NULL, NULL, &err), RUNG_OK);
    assert_true(rung_head_score(b, probe) > rung_head_score(a, probe) || one.y[0] > 0.5f);
    double mean = 0;
    for (int i = 0; i < 40; i++) mean += rung_head_score(b, one.x + i * D) / 40;
    assert_true(mean > 0.5);
    rung_head_free(a);
    rung_head_free(b);
    drop(&one);
}

static void test_refusals(void **state) {
    (void)state;
    data k = make(20, false, 8);
    rung_head *h;
    rung_head_data none = {0};
    assert_int_equal(rung_head_train(&h, D, &none, NULL, NULL, NULL, NULL, &err), RUNG_E_INVAL);
    assert_int_equal(rung_head_train(&h, 0, &k.d, NULL, NULL, NULL, NULL, &err), RUNG_E_INVAL);
    k.x[5 * D + 2] = NAN;
    assert_int_equal(rung_head_train(&h, D, &k.d, NULL, NULL, NULL, NULL, &err), RUNG_E_FORMAT);
    assert_non_null(strstr(err.what, "row 5"));
    k.x[5 * D + 2] = 0;
    k.y[7] = 1.5f;
    assert_int_equal(rung_head_train(&h, D, &k.d, NULL, NULL, NULL, NULL, &err), RUNG_E_FORMAT);
    assert_non_null(strstr(err.what, "row 7"));
    drop(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),     cmocka_unit_test(test_other_losses),
        cmocka_unit_test(test_early_stop), cmocka_unit_test(test_resume),
        cmocka_unit_test(test_weights),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_sides)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
