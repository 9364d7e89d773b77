/* From logits to logprobs and back, the source compiled with double: every row of the table through
 * logits against finite differences at 1e-6 relative; also entropy and temperature. Takes of the
 * library what knows nothing of the number type. */
#define RUNG_REAL_F64 1
#include "../../../src/train/loss_logits.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include "rung/loss.h"
#include "rung/rng.h"

#include <cmocka.h>

enum { N = 13, V = 9, S = 4 };

typedef struct bench {
    double logits[N * V], mask[N], ref[N], old[N], adv[N], label[S], reward[S];
    int32_t tok[N], sample[N], group[S], pair[4];
    uint8_t selected[N];
    rung_loss_data d;
    rung_loss_opts o;
    double temperature, entropy_coef;
} bench;

static void make(bench *b, int id) {
    rung_rng r = rung_rng_at(17, RUNG_STREAM_TEST, (uint64_t)id, 0);
    *b = (bench){.o = RUNG_LOSS_OPTS_INIT, .temperature = 0.7, .entropy_coef = 0.2};
    for (int i = 0; i < N * V; i++) b->logits[i] = rung_rng_normal(&r);
    for (int i = 0; i < N; i++) {
        b->tok[i] = (int32_t)rung_rng_below(&r, V);
        b->sample[i] = i == 12 ? 3 : i / 4;
        b->mask[i] = i % 6 == 5 || i >= 9 ? 0 : 1; /* samples 2, 3 all but gone */
        b->ref[i] = -fabs(rung_rng_normal(&r));
        b->old[i] = -2 + 0.2 * rung_rng_normal(&r);
        b->adv[i] = rung_rng_normal(&r);
        b->selected[i] = i % 3 == 0;
    }
    for (int s = 0; s < S; s++) b->label[s] = s % 2, b->reward[s] = s, b->group[s] = s / 3;
    b->pair[0] = 0, b->pair[1] = 1, b->pair[2] = 2, b->pair[3] = 1;
    b->d = (rung_loss_data){.n = N,
                            .mask = b->mask,
                            .sample = b->sample,
                            .ref = b->ref,
                            .old = b->old,
                            .advantage = b->adv,
                            .n_samples = S,
                            .label = b->label,
                            .group = b->group,
                            .reward = b->reward,
                            .pair = b->pair,
                            .n_pairs = 2,
                            .selected = b->selected};
}

static double loss_of(bench *b, int id, double *dlogits) {
    double logprob[N], entropy[N], dx[N], de[N], v;
    rung_error err = RUNG_ERROR_INIT;
    rung_logits_logprob(logprob, entropy, b->logits, b->tok, b->mask, N, V, b->temperature);
    b->d.x = logprob;
    if (rung_loss_eval(&v, dx, NULL, id, &b->d, &b->o, &err) != RUNG_OK) fail_msg("%s", err.what);
    for (int i = 0; i < N; i++) {
        de[i] = -b->entropy_coef * b->mask[i] / N;
        v += de[i] * entropy[i];
    }
    if (dlogits)
        rung_logits_logprob_back(dlogits, dx, de, b->logits, b->tok, b->mask, N, V, b->temperature);
    return v;
}

static void test_through_logits(void **state) {
    (void)state;
    static bench b;
    double dz[N * V], worst = 0;
    for (int id = 0; id < RUNG_LOSS_COUNT; id++) {
        if (rung_loss_takes_of(id) == RUNG_LOSS_TAKES_SCORE) continue;
        if (id == RUNG_LOSS_CISPO) continue; /* no gradient through its ratio: test_loss.c */
        make(&b, id);
        loss_of(&b, id, dz);
        for (int i = 0; i < N * V; i++) {
            static const double at[] = {-2, -1, 1, 2};
            double keep = b.logits[i], h = 1e-4, f[4];
            for (int q = 0; q < 4; q++) {
                b.logits[i] = keep + at[q] * h;
                f[q] = loss_of(&b, id, NULL);
            }
            b.logits[i] = keep;
            double fd = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h);
            double e = fabs(fd - dz[i]) / fmax(fmax(fabs(fd), fabs(dz[i])), 1e-3);
            if (e > worst) worst = e;
            if (e > 1e-6)
                fail_msg("%s: dlogits[%d] %.10g, finite difference %.10g", rung_loss_name(id), i,
                         dz[i], fd);
            if (b.mask[i / V] == 0) assert_true(dz[i] == 0);
        }
    }
    print_message("  worst relative error %.2g\n", worst);
}

/* The exact KL: its gradient by differences; 0 against itself; by hand for two tokens; and what the
 * estimators are estimates of: over all draws of a token, mean gradient of k1 is 0, of k2 that of
 * KL(policy, reference), of k3 that of KL(reference, policy) (learning.md 4.2 K). */
static void test_exact_kl(void **state) {
    (void)state;
    static bench b, other;
    double kl[N], dkl[N], dz[N * V], worst = 0;
    make(&b, 3);
    make(&other, 4);
    for (int i = 0; i < N; i++) dkl[i] = 0.3 + 0.1 * i;
    memset(dz, 0, sizeof dz);
    rung_logits_exact_kl_back(dz, dkl, b.logits, other.logits, b.mask, N, V, 0.7);
    for (int i = 0; i < N * V; i++) {
        double keep = b.logits[i], h = 1e-4, f[2];
        for (int q = 0; q < 2; q++) {
            b.logits[i] = keep + (q ? h : -h);
            rung_logits_exact_kl(kl, b.logits, other.logits, b.mask, N, V, 0.7);
            f[q] = kl[i / V];
        }
        b.logits[i] = keep;
        double fd = dkl[i / V] * (f[1] - f[0]) / (2 * h);
        worst = fmax(worst, fabs(fd - dz[i]) / fmax(fabs(fd), 1e-2));
    }
    assert_true(worst < 1e-6);
    rung_logits_exact_kl(kl, b.logits, b.logits, b.mask, N, V, 1);
    for (int i = 0; i < N; i++) assert_true(fabs(kl[i]) < 1e-14);
    double two[] = {0, log(3)}, even[] = {1, 1}, one = 1; /* 1/4, 3/4 against 1/2, 1/2 */
    rung_logits_exact_kl(kl, two, even, &one, 1, 2, 1);
    assert_float_equal(kl[0], .25 * log(.5) + .75 * log(1.5), 1e-14);
    double p[2] = {.25, .75}, r[2] = {.5, .5}, k1[2] = {0}, k2[2] = {0}, k3[2] = {0};
    for (int v = 0; v < 2; v++) {
        double d = log(p[v] / r[v]);
        for (int k = 0; k < 2; k++) { /* dl_v/dz_k = 1[v = k] - p_k */
            double dl = (v == k) - p[k];
            k1[k] += p[v] * dl;
            k2[k] += p[v] * d * dl;
            k3[k] += p[v] * (1 - exp(-d)) * dl;
        }
    }
    double full[2] = {0}, unit = 1;
    rung_logits_exact_kl_back(full, &unit, two, even, &one, 1, 2, 1);
    for (int k = 0; k < 2; k++) {
        assert_float_equal(k1[k], 0, 1e-15);
        assert_float_equal(k2[k], full[k], 1e-14);
        assert_float_equal(k3[k], p[k] - r[k], 1e-14); /* d KL(ref, pi)/dz = pi - ref */
    }
}

/* Logits 0 and 710 apart: logprobs stay finite, gradients too; the entropy of a coin is ln 2. */
static void test_extreme(void **state) {
    (void)state;
    double z[] = {1e6, 1e6, 0, 0, 0, 1e300}, l[3], h[3], mask[] = {1, 1, 1}, dz[6];
    double dl[] = {1, 1, 1}, de[] = {1, 1, 1};
    int32_t tok[] = {0, 1, 0};
    rung_logits_logprob(l, h, z, tok, mask, 3, 2, 1);
    assert_float_equal(l[0], -log(2), 1e-9);
    assert_float_equal(h[1], log(2), 1e-15);
    assert_true(l[2] == -1e300 && h[2] == 0);
    rung_logits_logprob_back(dz, dl, de, z, tok, mask, 3, 2, 1);
    for (int i = 0; i < 6; i++) assert_true(isfinite(dz[i]));
    assert_float_equal(dz[4], 1, 1e-15);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_through_logits),
                                       cmocka_unit_test(test_exact_kl),
                                       cmocka_unit_test(test_extreme)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
