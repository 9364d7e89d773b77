/* The net as callers see it: losses and their gradients, packing, AdamW against hand-computed
 * steps, schedules, refusals, checkpoints. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "rung/train.h"
#include "train/net.h"
#include "train/parallel.h"
#include "train/real.h"

#include <cmocka.h>

static const rung_net_shape SHAPE = {19, 24, 2, 4, 2, 20, 32, 10000, 1e-5f, false, 0, 0};
static rung_error err;

static rung_net *make(const rung_net_shape *s, uint64_t seed) {
    rung_net *net;
    assert_int_equal(rung_net_new(&net, s, seed, &err), RUNG_OK);
    return net;
}

static void fill_noise(float *x, int64_t n, double sd, uint64_t address) {
    rung_rng r = rung_rng_at(2, RUNG_STREAM_TEST, address, 0);
    for (int64_t i = 0; i < n; i++) x[i] = (float)(sd * rung_rng_normal(&r));
}

/* 2 ulp of f32 is 2.4e-7 relative. */
static void test_exp(void **state) {
    (void)state;
    double worst = 0;
    for (double x = -87; x <= 87.9; x += 0.0013) {
        double e = fabs((double)rung_real_exp((float)x) / exp((double)(float)x) - 1);
        if (e > worst) worst = e;
    }
    print_message("  exp: worst relative error %.2g\n", worst);
    assert_true(worst < 2.4e-7);
    assert_true(rung_real_exp(0) == 1);
    assert_true(isnan(rung_real_exp(NAN)));
    assert_true(rung_real_exp(-INFINITY) < 2e-38f && isfinite(rung_real_exp(INFINITY)));
}

/* Logits (0, ln 2, ln 3): softmax (1, 2, 3)/6. Weights 1 and 3: shares 1/4 and 3/4. */
static void test_ce_by_hand(void **state) {
    (void)state;
    const float ln2 = 0.69314718f, ln3 = 1.09861229f;
    float z[] = {0, ln2, ln3, 0, ln2, ln3, 9, 9, 9}, dz[9];
    int32_t tok[3] = {0}, doc[3] = {0}, target[] = {0, 2, -5};
    float weight[] = {1, 3, 0};
    rung_batch b = {1, 3, tok, doc};
    rung_loss_ce ce = {target, weight};
    double value;
    int64_t n;
    assert_int_equal(rung_loss_ce_fn(&value, &n, dz, z, &b, 3, &ce, &err), RUNG_OK);
    assert_int_equal(n, 2);
    assert_float_equal(value, 0.25 * log(6.0) + 0.75 * log(2.0), 1e-7);
    const double want[] = {0.25 * (1 / 6.0 - 1), 0.25 / 3, 0.25 / 2, 0.75 / 6, 0.75 / 3,
                           0.75 * (0.5 - 1),     0,        0,        0};
    for (int i = 0; i < 9; i++) assert_float_equal((double)dz[i], want[i], 1e-7);
    weight[0] = weight[1] = 0; /* nothing counted: value 0, no gradient, no NaN */
    assert_int_equal(rung_loss_ce_fn(&value, &n, dz, z, &b, 3, &ce, &err), RUNG_OK);
    assert_true(value == 0 && n == 0);
    for (int i = 0; i < 9; i++) assert_true(dz[i] == 0);
    weight[0] = 1;
    target[0] = 3;
    assert_int_equal(rung_loss_ce_fn(&value, &n, dz, z, &b, 3, &ce, &err), RUNG_E_INVAL);
    target[0] = 1;
    weight[0] = NAN;
    assert_int_equal(rung_loss_ce_fn(&value, &n, dz, z, &b, 3, &ce, &err), RUNG_E_INVAL);
}

/* z = ln 3: sigma = 3/4. Soft target 1/2: -(ln(3/4) + ln(1/4))/2; dz = 1/4. */
static void test_pair_by_hand(void **state) {
    (void)state;
    float z[] = {5, 1.09861229f, 0, 5, -800, 800}, dz[6];
    int32_t tok[2] = {0}, doc[2] = {0};
    float target[] = {0.5f, 1}, weight[] = {1, 0};
    rung_batch b = {1, 2, tok, doc};
    rung_loss_pair pair = {1, 2, target, weight};
    double value;
    int64_t n;
    assert_int_equal(rung_loss_pair_fn(&value, &n, dz, z, &b, 3, &pair, &err), RUNG_OK);
    assert_int_equal(n, 1);
    assert_float_equal(value, -0.5 * (log(0.75) + log(0.25)), 1e-7);
    const double want[] = {0, 0.25, -0.25, 0, 0, 0};
    for (int i = 0; i < 6; i++) assert_float_equal((double)dz[i], want[i], 1e-7);
    weight[0] = 0;
    weight[1] = 2; /* far out: softplus(1600), gradient -1, no overflow */
    assert_int_equal(rung_loss_pair_fn(&value, &n, dz, z, &b, 3, &pair, &err), RUNG_OK);
    assert_float_equal(value, 1600, 1e-9);
    assert_float_equal((double)dz[4], -1, 1e-7);
    target[1] = 1.5f;
    assert_int_equal(rung_loss_pair_fn(&value, &n, dz, z, &b, 3, &pair, &err), RUNG_E_INVAL);
    pair.minus = 1;
    assert_int_equal(rung_loss_pair_fn(&value, &n, dz, z, &b, 3, &pair, &err), RUNG_E_INVAL);
}

/* Both losses: the gradient against finite differences of the loss itself. Logits are f32, so a
 * step of 2^-6 leaves rounding of about 1e-6 in the difference; tolerance 2e-4 absolute. */
static void test_loss_differences(void **state) {
    (void)state;
    enum { N = 6, V = 7 };
    float z[N * V], dz[N * V], ws[N], soft[N];
    int32_t tok[N] = {0}, doc[N] = {0}, target[N];
    fill_noise(z, N * V, 2, 1);
    for (int i = 0; i < N; i++) {
        ws[i] = i == 3 ? 0 : 0.5f + (float)i;
        target[i] = (3 * i + 1) % V;
        soft[i] = (float)i / N;
    }
    rung_batch b = {2, 3, tok, doc};
    rung_loss_ce ce = {target, ws};
    rung_loss_pair pair = {2, 5, soft, ws};
    const rung_loss losses[] = {{rung_loss_ce_fn, &ce}, {rung_loss_pair_fn, &pair}};
    for (int l = 0; l < 2; l++) {
        for (int i = 0; i < N * V; i++) {
            double v, up, down;
            int64_t n;
            float unused[N * V], keep = z[i];
            losses[l].fn(&v, &n, dz, z, &b, V, losses[l].ud, &err);
            z[i] = keep + 0.015625f;
            losses[l].fn(&up, &n, unused, z, &b, V, losses[l].ud, &err);
            z[i] = keep - 0.015625f;
            losses[l].fn(&down, &n, unused, z, &b, V, losses[l].ud, &err);
            z[i] = keep;
            assert_float_equal((up - down) / 0.03125, (double)dz[i], 2e-4);
        }
    }
}

typedef struct sample {
    int32_t tok[64], doc[64], target[64];
    float weight[64];
    rung_loss_ce ce;
} sample;

static rung_loss sample_init(sample *s, uint64_t address) {
    rung_rng r = rung_rng_at(4, RUNG_STREAM_TEST, address, 1);
    for (int i = 0; i < 64; i++) {
        s->tok[i] = (int32_t)rung_rng_below(&r, 19);
        s->target[i] = (int32_t)rung_rng_below(&r, 19);
        s->weight[i] = rung_rng_f64(&r) < 0.7 ? 1 : 0;
        s->doc[i] = 0;
    }
    s->ce = (rung_loss_ce){s->target, s->weight};
    return (rung_loss){rung_loss_ce_fn, &s->ce};
}

/* f32: packed documents against each alone, logits to 1e-5; gradients of two halves, scaled by
 * their share of the terms, against one batch. */
static void test_packing_and_accumulation(void **state) {
    (void)state;
    rung_net *net = make(&SHAPE, 1);
    float *noise = calloc((size_t)rung_net_n_params(net), sizeof *noise);
    fill_noise(noise, rung_net_n_params(net), 0.2, 9);
    memcpy(net->core->w, noise, (size_t)rung_net_n_params(net) * sizeof *noise);
    sample s;
    rung_loss loss = sample_init(&s, 1);
    float packed[32 * 19];
    const float *logits, *hidden;
    for (int i = 0; i < 32; i++) s.doc[i] = i < 11 ? 0 : i < 12 ? 1 : i < 30 ? 2 : -1;
    assert_int_equal(
        rung_net_forward(&logits, &hidden, net, &(rung_batch){1, 32, s.tok, s.doc}, &err), RUNG_OK);
    memcpy(packed, logits, sizeof packed);
    static const int start[] = {0, 11, 12, 30};
    int32_t zero[32] = {0};
    for (int d = 0; d < 3; d++) {
        int n = start[d + 1] - start[d];
        assert_int_equal(
            rung_net_forward(&logits, NULL, net, &(rung_batch){1, n, s.tok + start[d], zero}, &err),
            RUNG_OK);
        for (int i = 0; i < n * 19; i++)
            assert_float_equal((double)logits[i], (double)packed[start[d] * 19 + i], 1e-5);
    }
    memset(s.doc, 0, sizeof s.doc);
    double all, half[2];
    int64_t n_all, n_half[2], n_params = rung_net_n_params(net);
    assert_int_equal(
        rung_net_grad(&all, &n_all, net, &(rung_batch){4, 16, s.tok, s.doc}, &loss, 1, &err),
        RUNG_OK);
    float *whole = calloc((size_t)n_params, sizeof *whole);
    memcpy(whole, net->core->dw, (size_t)n_params * sizeof *whole);
    memset(net->core->dw, 0, (size_t)n_params * sizeof *whole);
    int64_t counts[2] = {0, 0};
    for (int i = 0; i < 64; i++) counts[i / 32] += s.weight[i] > 0;
    for (int h = 0; h < 2; h++) {
        s.ce = (rung_loss_ce){s.target + 32 * h, s.weight + 32 * h};
        assert_int_equal(rung_net_grad(&half[h], &n_half[h], net,
                                       &(rung_batch){2, 16, s.tok + 32 * h, s.doc}, &loss,
                                       (double)counts[h] / (double)n_all, &err),
                         RUNG_OK);
        assert_int_equal(n_half[h], counts[h]);
    }
    assert_float_equal((half[0] * (double)counts[0] + half[1] * (double)counts[1]) / (double)n_all,
                       all, 1e-6);
    for (int64_t i = 0; i < n_params; i++)
        assert_float_equal((double)net->core->dw[i], (double)whole[i], 1e-5);
    free(whole);
    free(noise);
    rung_net_free(net);
}

/* Products large enough to be cut into tiles: the same bits with 1, 2, 3 and 5 threads. */
static void test_threads(void **state) {
    (void)state;
    static const rung_net_shape wide = {50, 160, 2, 5, 5, 333, 200, 10000, 1e-5f, true, 0, 0};
    enum { ROWS = 5, T = 160, N = ROWS * T };
    static int32_t tok[N], doc[N], target[N];
    static float weight[N];
    for (int i = 0; i < N; i++) {
        tok[i] = (i * 37 + i / 5) % 50;
        target[i] = (i * 11 + 5) % 50;
        doc[i] = i % T < 90 ? 0 : 1;
        weight[i] = (float)(i % 3);
    }
    rung_loss_ce ce = {target, weight};
    rung_loss loss = {rung_loss_ce_fn, &ce};
    rung_adamw o = RUNG_ADAMW_INIT;
    float *first = NULL;
    int before = omp_get_max_threads();
    static const int threads[] = {1, 2, 3, 5};
    for (int k = 0; k < 4; k++) {
        omp_set_num_threads(threads[k]);
        rung_net *net = make(&wide, 1);
        double norm;
        for (int i = 0; i < 2; i++) {
            assert_int_equal(
                rung_net_grad(NULL, NULL, net, &(rung_batch){ROWS, T, tok, doc}, &loss, 1, &err),
                RUNG_OK);
            assert_int_equal(rung_net_step(&norm, net, &o, &err), RUNG_OK);
        }
        size_t size = (size_t)rung_net_n_params(net) * sizeof(float);
        if (!first) {
            first = malloc(size);
            memcpy(first, net->core->w, size);
        }
        assert_memory_equal(first, net->core->w, size);
        rung_net_free(net);
    }
    omp_set_num_threads(before);
    free(first);
}

/* Products in bf16: each operand rounded to 8 bits of mantissa, sums in f32. Against f64 sums of
 * rounded operands; f32 sums of 70 terms leave less than 1e-5 of the largest. Native too, where the
 * CPU has it. */
static double rounded(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    u = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &u, sizeof u);
    return (double)x;
}

static void test_bf16(void **state) {
    (void)state;
    enum { M = 33, N = 17, K = 70 };
    static float a[M * K], b[K * N], c[M * N];
    fill_noise(a, M * K, 1, 21);
    fill_noise(b, K * N, 1, 22);
    /* without the instruction oneDNN either refuses, or makes the numbers some other way */
    bool native = rung_gemm_in(RUNG_GEMM_BF16, false, true, M, N, K, a, K, b, K, 0, c, N);
    assert_true(native || !rung_gemm_has_bf16());
    if (!native) print_message("  oneDNN has no bf16 products on this CPU: emulated alone\n");
    for (int mode = RUNG_GEMM_BF16; mode <= RUNG_GEMM_EMULATED; mode++) {
        if (mode == RUNG_GEMM_BF16 && !native) continue;
        for (int t = 0; t < 4; t++) {
            bool ta = t & 1, tb = t & 2;
            for (int i = 0; i < M * N; i++) c[i] = 1;
            assert_true(rung_gemm_in((rung_gemm_mode)mode, ta, tb, M, N, K, a, ta ? M : K, b,
                                     tb ? K : N, 1, c, N));
            for (int i = 0; i < M; i++) {
                for (int j = 0; j < N; j++) {
                    double s = 1;
                    for (int p = 0; p < K; p++)
                        s += rounded(ta ? a[p * M + i] : a[i * K + p]) *
                             rounded(tb ? b[j * K + p] : b[p * N + j]);
                    assert_float_equal((double)c[i * N + j], s, 2e-5);
                }
            }
        }
    }
    rung_net *net = make(&SHAPE, 1);
    assert_int_equal(rung_net_set_precision(net, "auto", &err), RUNG_OK);
    assert_int_equal(rung_net_set_precision(net, "f16", &err), RUNG_E_INVAL);
    assert_int_equal(rung_net_set_precision(net, "bf16", &err),
                     rung_gemm_has_bf16() ? RUNG_OK : RUNG_E_NOT_BUILT);
    if (!rung_gemm_has_bf16()) {
        assert_non_null(strstr(err.what, "avx512_bf16"));
        assert_non_null(strstr(err.hint, "--precision f32"));
    }
    sample s;
    rung_loss loss = sample_init(&s, 1);
    double value[2];
    for (int k = 0; k < 2; k++) {
        net->core->mode = k == 0 ? RUNG_GEMM_F32 : RUNG_GEMM_EMULATED;
        assert_int_equal(
            rung_net_grad(&value[k], NULL, net, &(rung_batch){2, 32, s.tok, s.doc}, &loss, 1, &err),
            RUNG_OK);
    }
    assert_true(value[0] != value[1]); /* it does round */
    assert_float_equal(value[0], value[1], 1e-2);
    rung_net_free(net);
}

/* e0 = w0; after a step e = w0 + (1 - 3/4) (w1 - w0). */
static void test_ema(void **state) {
    (void)state;
    rung_net *net = make(&SHAPE, 1);
    rung_adamw o = RUNG_ADAMW_INIT;
    double norm, w0 = (double)net->core->w[5];
    assert_int_equal(rung_net_set_ema(net, 1, &err), RUNG_E_INVAL);
    assert_int_equal(rung_net_set_ema(net, 0.75, &err), RUNG_OK);
    net->core->dw[5] = 1;
    assert_int_equal(rung_net_step(&norm, net, &o, &err), RUNG_OK);
    double w1 = (double)net->core->w[5];
    assert_true(w1 != w0);
    rung_net_swap_ema(net);
    assert_float_equal((double)net->core->w[5], w0 + 0.25 * (w1 - w0), 1e-7);
    rung_net_swap_ema(net);
    assert_true((double)net->core->w[5] == w1);
    rung_net_free(net);
}

/* Recomputed layers give the very bits of kept ones; the fused cross entropy what all logits give.
 */
static void test_memory(void **state) {
    (void)state;
    sample s;
    rung_loss loss = sample_init(&s, 1);
    rung_net_shape deep = SHAPE;
    deep.n_layer = 4;
    rung_batch b = {2, 32, s.tok, s.doc};
    rung_net *all = make(&deep, 1), *few = make(&deep, 1);
    double v[2];
    int64_t n = all->core->n_params;
    rung_net_set_memory(few, rung_core_memory(few->core, 64, 32, 1));
    assert_int_equal(rung_net_grad(&v[0], NULL, all, &b, &loss, 1, &err), RUNG_OK);
    assert_int_equal(rung_net_grad(&v[1], NULL, few, &b, &loss, 1, &err), RUNG_OK);
    assert_int_equal(few->core->n_keep, 1);
    assert_true(few->core->n_block < all->core->n_block && v[0] == v[1]);
    assert_memory_equal(all->core->dw, few->core->dw, (size_t)n * sizeof(float));
    rung_net_set_memory(few, 1000);
    assert_int_equal(rung_net_grad(&v[1], NULL, few, &b, &loss, 1, &err), RUNG_E_LIMIT);
    assert_non_null(strstr(err.what, "budget"));
    double fused, rows[64], plain;
    const float *logits;
    float *dlogits = malloc(64 * 19 * sizeof *dlogits);
    int64_t terms;
    assert_int_equal(rung_net_ce(&fused, rows, all, &b, &s.ce, &err), RUNG_OK);
    assert_int_equal(rung_net_forward(&logits, NULL, all, &b, &err), RUNG_OK);
    assert_int_equal(rung_loss_ce_fn(&plain, &terms, dlogits, logits, &b, 19, &s.ce, &err),
                     RUNG_OK);
    assert_float_equal(fused, plain, 1e-6);
    double sum = 0;
    for (int i = 0; i < 64; i++) sum += rows[i];
    assert_float_equal(sum / (double)terms, plain, 1e-6);
    free(dlogits);
    rung_net_free(all);
    rung_net_free(few);
}

/* Two AdamW steps of one weight and one norm weight, worked out in f64 beside it. */
static void test_adamw(void **state) {
    (void)state;
    rung_net *net = make(&SHAPE, 1);
    rung_core *c = net->core;
    rung_adamw o = {0.1, 0.9, 0.95, 1e-8, 0.5, 0};
    int64_t plain = c->tensor[c->layer[0].slot[SLOT_OUT]].at;
    int64_t norm = c->tensor[c->layer[0].slot[SLOT_ATTN_NORM]].at;
    double w[2] = {(double)c->w[plain], (double)c->w[norm]}, m[2] = {0, 0}, v[2] = {0, 0};
    static const double g[2][2] = {{0.3, -0.2}, {-0.1, 0.4}};
    for (int t = 1; t <= 2; t++) {
        c->dw[plain] = (float)g[t - 1][0];
        c->dw[norm] = (float)g[t - 1][1];
        double grad_norm;
        assert_int_equal(rung_net_step(&grad_norm, net, &o, &err), RUNG_OK);
        assert_float_equal(grad_norm, hypot(g[t - 1][0], g[t - 1][1]), 1e-7);
        for (int i = 0; i < 2; i++) {
            m[i] = 0.9 * m[i] + 0.1 * g[t - 1][i];
            v[i] = 0.95 * v[i] + 0.05 * g[t - 1][i] * g[t - 1][i];
            double mh = m[i] / (1 - pow(0.9, t)), vh = v[i] / (1 - pow(0.95, t));
            if (i == 0) w[i] -= 0.1 * 0.5 * w[i];
            w[i] -= 0.1 * mh / (sqrt(vh) + 1e-8);
        }
        assert_float_equal((double)c->w[plain], w[0], 1e-6);
        assert_float_equal((double)c->w[norm], w[1], 1e-6);
        assert_true(c->dw[plain] == 0);
    }
    assert_int_equal(rung_net_steps(net), 2);
    /* Clipping at 1: a gradient of norm 5 acts like one of norm 1. First step of fresh moments with
     * eps large enough to see the size: update = lr * g / (|g| + eps). */
    rung_net *clip = make(&SHAPE, 1);
    rung_adamw k = {0.1, 0.9, 0.95, 1.0, 0, 1.0};
    double before = (double)clip->core->w[plain], grad_norm;
    clip->core->dw[plain] = 3;
    clip->core->dw[norm] = 4;
    assert_int_equal(rung_net_step(&grad_norm, clip, &k, &err), RUNG_OK);
    assert_float_equal(grad_norm, 5, 1e-6);
    assert_float_equal((double)clip->core->w[plain], before - 0.1 * 0.6 / (0.6 + 1), 1e-6);
    rung_net_free(clip);
    rung_net_free(net);
}

/* With no gradient a step is decay alone: w (1 - lr decay) for matrices, nothing for norms, biases.
 */
static void test_decay_groups(void **state) {
    (void)state;
    rung_net_shape shape = SHAPE;
    shape.arch = RUNG_ARCH_QWEN2;
    rung_net *net = make(&shape, 1);
    const rung_core *c = net->core;
    size_t n = (size_t)c->n_params;
    float *before = malloc(n * sizeof *before);
    rung_adamw o = {0.1, 0.9, 0.95, 1e-8, 0.5, 0};
    double norm;
    int n_of[2] = {0, 0};
    for (size_t i = 0; i < n; i++) before[i] = c->w[i] += 0.25f; /* fresh biases are 0 */
    assert_int_equal(rung_net_step(&norm, net, &o, &err), RUNG_OK);
    for (int32_t k = 0; k < c->n_tensors; k++) {
        const rung_core_tensor *t = &c->tensor[k];
        bool decays = !strstr(t->name, "norm") && !strstr(t->name, "bias");
        n_of[decays]++;
        for (int64_t i = t->at; i < t->at + t->rows * t->cols; i++)
            assert_float_equal(c->w[i], before[i] * (decays ? 0.95 : 1), decays ? 1e-6 : 0);
    }
    assert_int_equal(n_of[0], 2 * (2 + 3) + 1); /* layers of two norms and three biases; the last */
    assert_int_equal(n_of[1], 2 * 7 + 2);
    free(before);
    rung_net_free(net);
}

static void test_schedule(void **state) {
    (void)state;
    assert_float_equal(rung_lr_at(RUNG_SCHEDULE_COSINE, 1, 0.1, 0, 10, 110), 0.1, 1e-12);
    assert_float_equal(rung_lr_at(RUNG_SCHEDULE_COSINE, 1, 0.1, 9, 10, 110), 1, 1e-12);
    assert_float_equal(rung_lr_at(RUNG_SCHEDULE_COSINE, 1, 0.1, 60, 10, 110), 0.55, 1e-12);
    assert_float_equal(rung_lr_at(RUNG_SCHEDULE_COSINE, 1, 0.1, 110, 10, 110), 0.1, 1e-12);
    assert_float_equal(rung_lr_at(RUNG_SCHEDULE_COSINE, 1, 0.1, 900, 10, 110), 0.1, 1e-12);
    assert_float_equal(rung_lr_at(RUNG_SCHEDULE_LINEAR, 2, 0, 35, 10, 110), 1.5, 1e-12);
    assert_float_equal(rung_lr_at(RUNG_SCHEDULE_CONSTANT, 2, 0, 99, 0, 100), 2, 1e-12);
}

/* A NaN anywhere stops the step and leaves weights, moments and the count as they were. */
static void test_nan(void **state) {
    (void)state;
    rung_net *net = make(&SHAPE, 1);
    sample s;
    rung_loss loss = sample_init(&s, 2);
    size_t n = (size_t)rung_net_n_params(net) * sizeof(float);
    float *before = malloc(n);
    memcpy(before, net->core->w, n);
    rung_adamw o = RUNG_ADAMW_INIT;
    double norm;
    net->core->dw[7] = NAN;
    assert_int_equal(rung_net_step(&norm, net, &o, &err), RUNG_E_FORMAT);
    assert_non_null(strstr(err.what, "step 0"));
    assert_memory_equal(before, net->core->w, n);
    assert_true(net->m[0] == 0 && rung_net_steps(net) == 0 && net->core->dw[7] == 0);
    net->core->w[net->core->tensor[net->core->out].at] = INFINITY;
    double value;
    int64_t terms;
    assert_int_equal(
        rung_net_grad(&value, &terms, net, &(rung_batch){4, 16, s.tok, s.doc}, &loss, 1, &err),
        RUNG_E_FORMAT);
    for (int i = 0; i < 100; i++) assert_true(net->core->dw[i] == 0);
    free(before);
    rung_net_free(net);
}

static void test_bad_batches(void **state) {
    (void)state;
    rung_net *net = make(&SHAPE, 1);
    int32_t tok[64] = {0}, doc[64] = {0};
    tok[3] = 19;
    assert_int_equal(rung_net_forward(NULL, NULL, net, &(rung_batch){1, 4, tok, doc}, &err),
                     RUNG_E_INVAL);
    tok[3] = 0;
    doc[1] = 1; /* 0 1 0 0: document 0 comes back */
    assert_int_equal(rung_net_forward(NULL, NULL, net, &(rung_batch){1, 4, tok, doc}, &err),
                     RUNG_E_INVAL);
    doc[1] = 0;
    assert_int_equal(rung_net_forward(NULL, NULL, net, &(rung_batch){1, 33, tok, doc}, &err),
                     RUNG_E_INVAL); /* longer than n_ctx */
    assert_int_equal(rung_net_forward(NULL, NULL, net, &(rung_batch){0, 4, tok, doc}, &err),
                     RUNG_E_INVAL);
    assert_int_equal(rung_net_forward(NULL, NULL, net, &(rung_batch){2, 32, tok, doc}, &err),
                     RUNG_OK);
    rung_net_free(net);
}

static char path[] = "/tmp/rung_ckpt_XXXXXX";

static void put_file(const char *p, const void *bytes, size_t n) {
    FILE *f = fopen(p, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static void test_checkpoint(void **state) {
    (void)state;
    close(mkstemp(path));
    rung_net *net = make(&SHAPE, 1), *other = make(&SHAPE, 2);
    net->steps = 41;
    fill_noise(net->m, rung_net_n_params(net), 1, 5);
    int64_t st = 77, got = 0;
    assert_int_equal(rung_net_checkpoint(net, path, &st, sizeof st, &err), RUNG_OK);
    assert_int_equal(rung_net_resume(other, path, &got, sizeof got, &err), RUNG_OK);
    size_t n = (size_t)rung_net_n_params(net) * sizeof(float);
    assert_memory_equal(net->core->w, other->core->w, n);
    assert_memory_equal(net->m, other->m, n);
    assert_true(got == 77 && rung_net_steps(other) == 41);

    rung_net_shape wide = SHAPE;
    wide.n_ff = 21;
    rung_net *w = make(&wide, 1);
    assert_int_equal(rung_net_resume(w, path, &got, sizeof got, &err), RUNG_E_MISMATCH);
    assert_true(err.hint[0] && strstr(err.detail, "F 20"));
    assert_int_equal(rung_net_resume(other, path, &got, 4, &err), RUNG_E_MISMATCH);

    rung_buf b;
    rung_buf_init(&b, 1 << 24);
    assert_int_equal(rung_file_read(&b, path, &err), RUNG_OK);
    float before = other->core->w[0];
    static const double cuts[] = {0, 1e-5, 0.001, 0.3, 0.9, 0.99999};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        put_file(path, b.data, (size_t)(cuts[i] * (double)b.n));
        assert_int_equal(rung_net_resume(other, path, &got, sizeof got, &err), RUNG_E_FORMAT);
        assert_true(err.hint[0] != 0);
    }
    b.data[b.n / 2] ^= 1;
    put_file(path, b.data, b.n);
    assert_int_equal(rung_net_resume(other, path, &got, sizeof got, &err), RUNG_E_FORMAT);
    put_file(path, "GGUF....................", 24);
    assert_int_equal(rung_net_resume(other, path, &got, sizeof got, &err), RUNG_E_FORMAT);
    assert_true(other->core->w[0] == before); /* nothing was taken from a bad file */
    assert_int_equal(rung_net_resume(other, "/nonexistent", &got, sizeof got, &err),
                     RUNG_E_NOT_FOUND);
    rung_buf_clear(&b);

    /* A full disk (here: a limit of the file size) leaves the checkpoint before it. */
    assert_int_equal(rung_net_checkpoint(net, path, &st, sizeof st, &err), RUNG_OK);
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 1000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    net->steps = 42;
    rung_status full = rung_net_checkpoint(net, path, &st, sizeof st, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(full, RUNG_E_FULL);
    assert_int_equal(rung_net_resume(other, path, &got, sizeof got, &err), RUNG_OK);
    assert_int_equal(rung_net_steps(other), 41);
    unlink(path);
    rung_net_free(w);
    rung_net_free(net);
    rung_net_free(other);
}

/* Every allocation of a net, a step and a checkpoint fails once: an error, never a crash. */
static void test_no_memory(void **state) {
    (void)state;
    sample s;
    rung_loss loss = sample_init(&s, 3);
    int failed = 0;
    for (int64_t nth = 1; nth < 60; nth++) {
        rung_net *net = NULL;
        rung_alloc_fail_after(nth);
        rung_status st = rung_net_new(&net, &SHAPE, 1, &err);
        if (st == RUNG_OK)
            st = rung_net_grad(NULL, NULL, net, &(rung_batch){4, 16, s.tok, s.doc}, &loss, 1, &err);
        if (st == RUNG_OK) st = rung_net_checkpoint(net, "/tmp/rung_nomem_ckpt", NULL, 0, &err);
        rung_alloc_fail_after(0);
        if (st != RUNG_OK) {
            assert_int_equal(st, RUNG_E_NOMEM);
            failed++;
        }
        rung_net_free(net);
    }
    unlink("/tmp/rung_nomem_ckpt");
    assert_true(failed > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exp),
                                       cmocka_unit_test(test_ce_by_hand),
                                       cmocka_unit_test(test_pair_by_hand),
                                       cmocka_unit_test(test_loss_differences),
                                       cmocka_unit_test(test_packing_and_accumulation),
                                       cmocka_unit_test(test_threads),
                                       cmocka_unit_test(test_bf16),
                                       cmocka_unit_test(test_ema),
                                       cmocka_unit_test(test_memory),
                                       cmocka_unit_test(test_adamw),
                                       cmocka_unit_test(test_decay_groups),
                                       cmocka_unit_test(test_schedule),
                                       cmocka_unit_test(test_nan),
                                       cmocka_unit_test(test_bad_batches),
                                       cmocka_unit_test(test_checkpoint),
                                       cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
