/* Sampling: distribution against the analytic one (chi-square), penalties, hand-made ties and
 * edges, logprobs against f64. libllama's samplers are in test_sampler_peer.c, grammars in
 * test_sampler_grammar.c. */
#include "random_model.h"

#include "model/sampler.h"
#include "model/sampler_kernel.h"

enum { BIG = 151936 };
static void *scratch;

static int setup(void **state) {
    (void)state;
    scratch = malloc(rung_sample_scratch(BIG));
    return scratch == NULL;
}

static int teardown(void **state) {
    (void)state;
    free(scratch);
    return 0;
}

/* Straight from the definition in rung/model.h, with a full sort and f64. Returns how many are
 * kept.
 */
static const double *sort_z;
static int by_logit(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    if (sort_z[x] != sort_z[y]) return sort_z[x] > sort_z[y] ? -1 : 1;
    return x < y ? -1 : 1;
}

static void change_logits(double *v, const float *z, int n, const rung_sampling *s,
                          const tok_count *seen, int n_seen) {
    double rep = s->repeat_penalty > 0 ? s->repeat_penalty : 1;
    for (int i = 0; i < n; i++) v[i] = z[i];
    for (int i = 0; i < s->n_bias; i++) v[s->bias[i].tok] += s->bias[i].bias;
    for (int i = 0; i < n_seen; i++) {
        double *x = &v[seen[i].tok];
        *x = *x > 0 ? *x / rep : *x * rep;
        *x -= seen[i].n * s->frequency_penalty + s->presence_penalty;
    }
}

static int analytic(double *p, const float *z, int n, const rung_sampling *s, const tok_count *seen,
                    int n_seen) {
    int *id = malloc(sizeof *id * (size_t)n), kept = n;
    double *v = malloc(sizeof *v * (size_t)n), *w = malloc(sizeof *w * (size_t)n), sum = 0;
    double t_cut = s->temperature_first ? s->temperature : 1;
    change_logits(v, z, n, s, seen, n_seen);
    for (int i = 0; i < n; i++) id[i] = i, p[i] = 0;
    sort_z = v;
    qsort(id, (size_t)n, sizeof *id, by_logit);
    for (int i = 0; i < n; i++) w[i] = exp((v[id[i]] - v[id[0]]) / t_cut);
    if (s->top_k > 0 && s->top_k < n) kept = s->top_k;
    for (int i = 0; i < kept; i++) sum += w[i];
    if (s->top_p < 1) {
        double run = 0;
        int i = 0;
        while (i < kept && run < s->top_p * sum) run += w[i++];
        kept = i;
    }
    while (kept > 1 && w[kept - 1] < s->min_p) kept--;
    sum = 0;
    for (int i = 0; i < kept; i++) sum += w[i] = exp((v[id[i]] - v[id[0]]) / s->temperature);
    for (int i = 0; i < kept; i++) p[id[i]] = w[i] / sum;
    free(id);
    free(v);
    free(w);
    return kept;
}

static void random_logits(float *z, int n, uint64_t seed, double sd) {
    rung_rng r = rung_rng_at(seed, RUNG_STREAM_TEST, 1, 0);
    for (int i = 0; i < n; i++) z[i] = (float)(sd * rung_rng_normal(&r));
}

static const rung_logit_bias biases[] = {{3, 2.0f}, {5, -INFINITY}, {9, -1.5f}, {20, 0.5f}};

/* Every filter alone, both places of the temperature, and combinations. */
#define CUT(t, k, p, m) .temperature = t, .top_k = k, .top_p = p, .min_p = m
static const rung_sampling options[] = {
    {CUT(1.0, 0, 1.0, 0)},
    {CUT(0.7, 0, 1.0, 0)},
    {CUT(1.6, 0, 1.0, 0)},
    {CUT(0.01, 0, 1.0, 0)},
    {CUT(1.0, 5, 1.0, 0)},
    {CUT(1.0, 1, 1.0, 0)},
    {CUT(0.7, 7, 1.0, 0)},
    {CUT(1.0, 0, 0.5, 0)},
    {CUT(0.8, 0, 0.9, 0)},
    {CUT(0.8, 0, 0.9, 0), .temperature_first = true},
    {CUT(1.5, 0, 0.95, 0), .temperature_first = true},
    {CUT(1.0, 0, 0.999, 0)},
    {CUT(1.0, 0, 1.0, 0.1)},
    {CUT(1.8, 0, 1.0, 0.1)},
    {CUT(1.8, 0, 1.0, 0.1), .temperature_first = true},
    {CUT(0.6, 12, 0.95, 0)},
    {CUT(1.3, 20, 0.8, 0.05)},
    {CUT(1.3, 20, 0.8, 0.05), .temperature_first = true},
    {CUT(1.0, 0, 1.0, 0), .bias = biases, .n_bias = 4},
    {CUT(1.2, 10, 0.9, 0), .bias = biases, .n_bias = 4},
    {CUT(1.0, 0, 1.0, 0), .repeat_penalty = 1.5},
    {CUT(1.0, 0, 1.0, 0), .presence_penalty = 1.0},
    {CUT(0.9, 0, 1.0, 0), .frequency_penalty = 0.4},
    {CUT(0.9, 15, 0.95, 0.01), .repeat_penalty = 1.2, .presence_penalty = 0.3,
     .frequency_penalty = -0.2, .bias = biases, .n_bias = 4},
};
enum { N_OPTIONS = sizeof options / sizeof *options };

static const tok_count seen[] = {{2, 1}, {5, 1}, {7, 3}, {12, 2}, {30, 1}};

static int32_t draw_with(double lp[2], const float *z, int n, const rung_sampling *s, double u) {
    sampler_plan p = {.s = *s, .n_vocab = n};
    sampler_seq q = {.plan = &p};
    rung_draw d = {.logits = z, .seq = &q, .u = u};
    if (s->repeat_penalty != 0 || s->presence_penalty != 0 || s->frequency_penalty != 0) {
        q.count = (tok_count *)(uintptr_t)seen;
        q.n_count = 5;
    }
    rung_draw_one(&d, scratch);
    lp[0] = d.logprob;
    lp[1] = d.logprob_draw;
    return d.tok;
}

/* Each option: 40,000 draws over 40 tokens, fixed seeds. Bins with an expected count below 5 are
 * joined. Bound: chi-square below df + 5 sd (sd = sqrt(2 df)), p below 1e-4 for every df here, so
 * the seeds that pass are no luck. It can fail: draws at temperature 1.05 instead of 1 or with the
 * top_p border one token off are beyond it (the last two checks). */
static double chi_square(const double *p, const float *z, int n, const rung_sampling *s, int *df) {
    enum { DRAWS = 40000 };
    int count[64] = {0};
    double chi = 0, rest_e = 0, rest_c = 0;
    rung_rng r = rung_rng_at(9, RUNG_STREAM_TEST, (uint64_t)n, 0);
    for (int d = 0; d < DRAWS; d++) {
        double lp[2];
        int32_t t = draw_with(lp, z, n, s, rung_rng_f64(&r));
        assert_in_range(t, 0, n - 1);
        count[t]++;
    }
    *df = -1;
    for (int i = 0; i < n; i++) {
        double e = p[i] * DRAWS;
        if (e == 0 && count[i] > 0) return 1e9; /* outside the support */
        if (e < 5) {
            rest_e += e, rest_c += count[i];
            continue;
        }
        chi += (count[i] - e) * (count[i] - e) / e;
        ++*df;
    }
    if (rest_e >= 5) chi += (rest_c - rest_e) * (rest_c - rest_e) / rest_e, ++*df;
    return chi;
}

static bool too_far(double chi, int df) {
    return df > 0 ? chi > df + 5 * sqrt(2.0 * df) : chi > 1e-9;
}

static void distribution_is_exact(void **state) {
    (void)state;
    enum { N = 40 };
    float z[N];
    double p[N];
    int df;
    for (int o = 0; o < N_OPTIONS; o++) {
        random_logits(z, N, (uint64_t)o, 1.5);
        z[7] = z[3]; /* ties count too */
        z[11] = -INFINITY;
        bool pen = options[o].repeat_penalty != 0 || options[o].presence_penalty != 0 ||
                   options[o].frequency_penalty != 0;
        analytic(p, z, N, &options[o], seen, pen ? 5 : 0);
        double chi = chi_square(p, z, N, &options[o], &df);
        if (too_far(chi, df)) fail_msg("option %d: chi2 %g, df %d", o, chi, df);
    }
    rung_sampling s = options[0];
    random_logits(z, N, 0, 1.5);
    analytic(p, z, N, &s, seen, 0);
    s.temperature = 1.05;
    double chi = chi_square(p, z, N, &s, &df);
    assert_true(too_far(chi, df));
    s = options[8];
    int kept = analytic(p, z, N, &s, seen, 0);
    s.top_p = 1;
    s.top_k = kept - 1;
    chi = chi_square(p, z, N, &s, &df);
    assert_true(too_far(chi, df));
}

/* Both logprobs against f64, for every token that comes. */
static void logprobs_are_exact(void **state) {
    (void)state;
    enum { N = 40 };
    float z[N];
    double p[N];
    for (int o = 0; o < N_OPTIONS; o++) {
        random_logits(z, N, (uint64_t)o + 50, 2);
        bool pen = options[o].repeat_penalty != 0 || options[o].presence_penalty != 0 ||
                   options[o].frequency_penalty != 0;
        analytic(p, z, N, &options[o], seen, pen ? 5 : 0);
        double sum = 0;
        for (int i = 0; i < N; i++) sum += exp((double)z[i]);
        for (int k = 0; k < 100; k++) {
            double lp[2];
            int32_t t = draw_with(lp, z, N, &options[o], k / 100.0);
            assert_true(fabs(lp[0] - (z[t] - log(sum))) < 1e-6);
            if (!(fabs(lp[1] - log(p[t])) < 2e-6 / fmin(1.0, options[o].temperature)))
                fail_msg("option %d: token %d, %.9g, not %.9g", o, t, lp[1], log(p[t]));
        }
    }
}

/* The window: what the last n tokens of prompt and continuation are, by brute force. */
static void window_slides(void **state) {
    (void)state;
    enum { N_TOK = 400 };
    static const int32_t windows[] = {1, 2, 5, 64, 1000, -1};
    int32_t tok[N_TOK];
    rung_rng r = rung_rng_at(3, RUNG_STREAM_TEST, 5, 0);
    for (int i = 0; i < N_TOK; i++) tok[i] = (int32_t)(rung_rng_f64(&r) * 30);
    sampler_seq q = {0};
    for (size_t k = 0; k < sizeof windows / sizeof *windows; k++) {
        sampler_plan p = {.penalties = true, .n_vocab = 30};
        p.s.penalty_last_n = windows[k];
        int n_prompt = 37 * (int)k;
        assert_int_equal(rung_seq_begin(&q, &p, tok, n_prompt, NULL), RUNG_OK);
        for (int n = n_prompt; n < N_TOK; n++) {
            int want[30] = {0}, have[30] = {0};
            int from = windows[k] > 0 && n > windows[k] ? n - windows[k] : 0;
            for (int i = from; i < n; i++) want[tok[i]]++;
            for (int i = 0; i < q.n_count; i++) {
                if (i > 0) assert_true(q.count[i].tok > q.count[i - 1].tok);
                assert_true(q.count[i].n > 0);
                have[q.count[i].tok] = q.count[i].n;
            }
            assert_memory_equal(want, have, sizeof want);
            bool ended;
            assert_int_equal(rung_seq_accept(&q, tok[n], &ended, NULL), RUNG_OK);
            assert_false(ended);
        }
    }
    rung_seq_clear(&q);
}

static void edges(void **state) {
    (void)state;
    rung_sampling s = {CUT(0, 0, 1.0, 0)};
    float tie[5] = {1, 3, 2, 3, 3};
    double lp[2];
    assert_int_equal(rung_sample_token(lp, tie, 5, &s, 0.99, scratch), 1); /* lowest id */
    /* by hand: ln(e^3 / (e + 3e^3 + e^2)) = -ln(3 + e^-1 + e^-2) = -1.25396... */
    assert_true(fabs(lp[0] + log(3 + exp(-1) + exp(-2))) < 1e-6);
    assert_true(lp[1] == 0);                  /* an argmax is certain */
    s = (rung_sampling){CUT(1.0, 2, 1.0, 0)}; /* two of three equals: the lower ids */
    for (int i = 0; i < 50; i++) {
        int32_t t = rung_sample_token(lp, tie, 5, &s, i / 50.0, scratch);
        assert_true(t == 1 || t == 3);
        assert_true(fabs(lp[1] - log(0.5)) < 1e-12);
    }
    float two[2] = {0.0f, 0.0f}; /* u walks the ids: half and half */
    s = (rung_sampling)RUNG_SAMPLING_INIT;
    assert_int_equal(rung_sample_token(NULL, two, 2, &s, 0.0, scratch), 0);
    assert_int_equal(rung_sample_token(NULL, two, 2, &s, 0.4999, scratch), 0);
    assert_int_equal(rung_sample_token(NULL, two, 2, &s, 0.5, scratch), 1);
    assert_int_equal(rung_sample_token(NULL, two, 2, &s, 1.0 - 0x1p-53, scratch), 1);
    float one_token = -7;
    assert_int_equal(rung_sample_token(lp, &one_token, 1, &s, 0.3, scratch), 0);
    assert_true(lp[0] == 0 && lp[1] == 0);
    /* The window's tokens by hand, temperature last: top_p .6 of 4/7, 2/7, 1/7 keeps two at T = 1;
     * at T = .5 first, 16/21 alone. ln 4 = 1.386.., ln 2 = .693.. */
    float three[3] = {logf(4), logf(2), 0};
    s = (rung_sampling){CUT(0.5, 0, 0.6, 0)};
    assert_int_equal(rung_sample_token(lp, three, 3, &s, 0.9, scratch), 1);
    assert_true(fabs(lp[1] - log(0.2)) < 1e-6); /* 4 / (16 + 4) */
    s.temperature_first = true;
    assert_int_equal(rung_sample_token(lp, three, 3, &s, 0.9, scratch), 0);
    assert_true(fabs(lp[1]) < 1e-12);
    rung_logit_bias all[3] = {{0, -INFINITY}, {1, -INFINITY}, {2, -INFINITY}};
    s = (rung_sampling)RUNG_SAMPLING_INIT;
    s.bias = all;
    s.n_bias = 2;
    assert_int_equal(rung_sample_token(lp, three, 3, &s, 0.1, scratch), 2);
    assert_true(fabs(lp[0] - log(1.0 / 7)) < 1e-6 && lp[1] == 0);
    s.n_bias = 3;
    assert_int_equal(rung_sample_token(lp, three, 3, &s, 0.1, scratch), -2);
}

/* NaN, +inf or nothing finite, at every place of a row that fills blocks and at T = 0 and above. */
static void bad_logits_are_refused(void **state) {
    (void)state;
    enum { N = 700 };
    static float z[N];
    const float bad[] = {NAN, -NAN, INFINITY};
    double lp[2];
    rung_sampling s = RUNG_SAMPLING_INIT;
    for (int t = 0; t < 3; t++) {
        s.temperature = t;
        s.top_p = t == 2 ? 0.9 : 1;
        for (int at = 0; at < N; at += 1) {
            for (int k = 0; k < 3; k++) {
                z[at] = bad[k];
                if (rung_sample_token(lp, z, N, &s, 0.5, scratch) != -1)
                    fail_msg("T %d: %g at %d went through", t, bad[k], at);
            }
            z[at] = 0;
        }
        for (int i = 0; i < N; i++) z[i] = -INFINITY;
        assert_int_equal(rung_sample_token(lp, z, N, &s, 0.5, scratch), -1);
        z[3] = NAN; /* in a block that is empty otherwise */
        z[600] = 1;
        assert_int_equal(rung_sample_token(lp, z, N, &s, 0.5, scratch), -1);
        z[3] = -INFINITY;
        for (double u = 0; u < 1; u += 0.25)
            assert_int_equal(rung_sample_token(lp, z, N, &s, u, scratch), 600);
        assert_true(fabs(lp[0]) < 1e-12);
        memset(z, 0, sizeof z);
    }
    s = (rung_sampling)RUNG_SAMPLING_INIT;
    assert_int_equal(rung_sample_token(lp, z, 0, &s, 0.5, scratch), -1);
}

/* Weights against libm: every 4,001st f32 in (-87, 0], 0 beyond; all kernels that this machine has
 * give the same bits. The stated bound is 2.4e-7 with fused multiply-add (9.9e-8 seen). */
static void weights_are_exps(void **state) {
    (void)state;
    exp_scale one = rung_exp_scale(1.0);
    float in[SAMPLER_BLOCK], w[SAMPLER_BLOCK], other[SAMPLER_BLOCK];
    uint32_t bits = 0;
#if defined(__FMA__)
    const double bound = 2.4e-7;
#else
    const double bound = 6e-6;
#endif
    for (bool more = true; more;) {
        for (int j = 0; j < SAMPLER_BLOCK; j++, bits += 4001) {
            float x;
            memcpy(&x, &bits, sizeof x);
            in[j] = -x;
        }
        more = in[SAMPLER_BLOCK - 1] > -200.0f;
        rung_sampler_kernel_at(0)->weights(w, in, 0.0f, &one);
        for (int j = 0; j < SAMPLER_BLOCK; j++) {
            double e = exp((double)in[j]);
            if (in[j] < one.min_x) {
                assert_true(w[j] == 0);
            } else if (fabs(w[j] - e) > bound * e) {
                fail_msg("exp(%.9g) = %.9g, not %.9g", in[j], w[j], e);
            }
        }
        for (int k = 1; rung_sampler_kernel_at(k); k++) {
            rung_sampler_kernel_at(k)->weights(other, in, 0.0f, &one);
            assert_memory_equal(w, other, sizeof w);
        }
    }
    assert_true(w[SAMPLER_BLOCK - 1] == 0);
}

/* Draws are addressed: many rows over 1, 2 or 3 threads give what each gives alone, to the bit. */
static void threads_change_nothing(void **state) {
    (void)state;
    enum { ROWS = 48, N = 5000 };
    float *z = malloc(sizeof *z * ROWS * N);
    static rung_draw want[ROWS], have[ROWS];
    sampler_plan p = {.s = {CUT(0.8, 0, 0.95, 0)}, .n_vocab = N};
    sampler_seq q = {.plan = &p};
    void *three = malloc(3 * rung_sample_scratch(N));
    random_logits(z, ROWS * N, 5, 3);
    rung_rng r = rung_rng_at(1, RUNG_STREAM_TEST, 2, 0);
    for (int i = 0; i < ROWS; i++) {
        want[i] =
            (rung_draw){.logits = z + i * N, .seq = &q, .u = rung_rng_f64_at(&r, (uint64_t)i)};
        have[i] = want[i];
        rung_draw_one(&want[i], scratch);
    }
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        rung_draw_many(have, ROWS, N, n_threads, three);
        assert_memory_equal(have, want, sizeof have);
        for (int i = 0; i < ROWS; i++) have[i].tok = 0, have[i].logprob = 0;
    }
    free(three);
    free(z);
}

/* ln p in f64 by libm, over a large vocabulary: peaked with a flat tail, flat, very spread. */
static void logprob_at_152k(void **state) {
    (void)state;
    float *z = malloc(sizeof *z * BIG);
    rung_rng r = rung_rng_at(1, RUNG_STREAM_TEST, 2, 0);
    for (int shape = 0; shape < 3; shape++) {
        random_logits(z, BIG, 77, shape == 0 ? 2.5 : shape == 1 ? 1e-3 : 30);
        for (int i = 0; i < 5 && shape == 0; i++) z[1000 * i + 3] = 16.0f + (float)i;
        double m = -1e30, sum = 0;
        for (int i = 0; i < BIG; i++) m = fmax(m, (double)z[i]);
        for (int i = 0; i < BIG; i++) sum += exp((double)z[i] - m);
        for (int o = 0; o < N_OPTIONS; o++) {
            if (options[o].n_bias) continue;
            double lp[2];
            int32_t t = rung_sample_token(lp, z, BIG, &options[o], rung_rng_f64(&r), scratch);
            assert_in_range(t, 0, BIG - 1);
            assert_true(fabs(lp[0] - ((double)z[t] - m - log(sum))) < 1e-6);
            assert_true(lp[1] <= 1e-6);
        }
        assert_true(fabs(rung_logprob_of(z, BIG, 9) - ((double)z[9] - m - log(sum))) < 1e-6);
    }
    free(z);
}

static void settings_are_checked(void **state) {
    (void)state;
    static const rung_logit_bias bad[] = {{1, NAN}, {1, INFINITY}, {-1, 1}};
    rung_error err = RUNG_ERROR_INIT;
    rung_sampling s = RUNG_SAMPLING_INIT;
    assert_int_equal(rung_sampling_check(&s, &err), RUNG_OK);
#define REFUSED(field, value)                                                                      \
    do {                                                                                           \
        rung_sampling t = s;                                                                       \
        t.field = value;                                                                           \
        err = (rung_error)RUNG_ERROR_INIT;                                                         \
        assert_int_equal(rung_sampling_check(&t, &err), RUNG_E_INVAL);                             \
        assert_true(err.what[0] != 0);                                                             \
    } while (0)
    REFUSED(temperature, -0.1);
    REFUSED(temperature, NAN);
    REFUSED(top_k, -1);
    REFUSED(top_p, 0);
    REFUSED(min_p, 1.5);
    REFUSED(repeat_penalty, -1);
    REFUSED(repeat_penalty, NAN);
    REFUSED(presence_penalty, NAN);
    REFUSED(frequency_penalty, INFINITY);
    REFUSED(penalty_last_n, -2);
    REFUSED(n_bias, 1); /* and no list */
    for (int i = 0; i < 3; i++) {
        s.bias = &bad[i];
        REFUSED(n_bias, 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distribution_is_exact),  cmocka_unit_test(logprobs_are_exact),
        cmocka_unit_test(window_slides),          cmocka_unit_test(edges),
        cmocka_unit_test(bad_logits_are_refused), cmocka_unit_test(weights_are_exps),
        cmocka_unit_test(threads_change_nothing), cmocka_unit_test(logprob_at_152k),
        cmocka_unit_test(settings_are_checked),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
