/* Sampling: distribution against the analytic one (chi-square), support against libllama's own
 * samplers, hand-made ties and edges. */
#include "random_model.h"

#include "model/model_impl.h"

#include <time.h>

static uint8_t scratch[16 << 20];

/* Straight from the definition in sampler.c, with a full sort and f64. Returns how many are kept.
 */
static const float *sort_z;
static int by_logit(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    if (sort_z[x] != sort_z[y]) return sort_z[x] > sort_z[y] ? -1 : 1;
    return x < y ? -1 : 1;
}

static int analytic(double *p, const float *z, int n, const rung_sampling *s) {
    int *id = malloc(sizeof *id * (size_t)n), kept = n;
    double *w = malloc(sizeof *w * (size_t)n), sum = 0;
    for (int i = 0; i < n; i++) id[i] = i, p[i] = 0;
    sort_z = z;
    qsort(id, (size_t)n, sizeof *id, by_logit);
    for (int i = 0; i < n; i++) w[i] = exp(((double)z[id[i]] - (double)z[id[0]]) / s->temperature);
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
    for (int i = 0; i < kept; i++) sum += w[i];
    for (int i = 0; i < kept; i++) p[id[i]] = w[i] / sum;
    free(id);
    free(w);
    return kept;
}

static void random_logits(float *z, int n, uint64_t seed, double sd) {
    rung_rng r = rung_rng_at(seed, RUNG_STREAM_TEST, 1, 0);
    for (int i = 0; i < n; i++) z[i] = (float)(sd * rung_rng_normal(&r));
}

#define OPT(t, k, p, m)                                                                            \
    { .temperature = t, .top_k = k, .top_p = p, .min_p = m, .temperature_first = true }
static const rung_sampling options[] = {
    OPT(1.0, 0, 1.0, 0),     OPT(0.7, 0, 1.0, 0),   OPT(1.6, 0, 1.0, 0),   OPT(1.0, 5, 1.0, 0),
    OPT(0.8, 0, 0.9, 0),     OPT(1.0, 0, 0.5, 0),   OPT(1.0, 0, 1.0, 0.1), OPT(0.6, 12, 0.95, 0),
    OPT(1.3, 20, 0.8, 0.05), OPT(1.0, 0, 0.999, 0), OPT(1.0, 1, 1.0, 0),   OPT(0.01, 0, 1.0, 0),
};
enum { N_OPTIONS = sizeof options / sizeof *options };

/* Each option: 40,000 draws over 40 tokens. Bins with an expected count below 5 are joined; the
 * statistic is compared with mean + 5 sd of chi-square (sd = sqrt(2 df)). */
static void distribution_is_exact(void **state) {
    (void)state;
    enum { N = 40, DRAWS = 40000 };
    float z[N];
    double p[N];
    for (int o = 0; o < N_OPTIONS; o++) {
        random_logits(z, N, (uint64_t)o, 1.5);
        z[7] = z[3]; /* ties count too */
        z[11] = -INFINITY;
        analytic(p, z, N, &options[o]);
        int count[N] = {0};
        rung_rng r = rung_rng_at(9, RUNG_STREAM_TEST, (uint64_t)o, 0);
        for (int d = 0; d < DRAWS; d++) {
            double lp[2];
            int32_t t = rung_sample_token(lp, z, N, &options[o], rung_rng_f64(&r), scratch);
            assert_in_range(t, 0, N - 1);
            count[t]++;
        }
        double chi = 0, rest_e = 0, rest_c = 0;
        int df = -1;
        for (int i = 0; i < N; i++) {
            double e = p[i] * DRAWS;
            if (e == 0) assert_int_equal(count[i], 0);
            if (e < 5) {
                rest_e += e, rest_c += count[i];
                continue;
            }
            chi += (count[i] - e) * (count[i] - e) / e;
            df++;
        }
        if (rest_e >= 5) chi += (rest_c - rest_e) * (rest_c - rest_e) / rest_e, df++;
        if (df > 0 && chi > df + 5 * sqrt(2.0 * df))
            fail_msg("option %d: chi2 %g, df %d", o, chi, df);
    }
}

/* Which tokens can come out at all: sweep u over [0,1). */
static void support_of(bool *have, const float *z, int n, const rung_sampling *s) {
    memset(have, 0, (size_t)n);
    for (int i = 0; i < 20000; i++) {
        int32_t t = rung_sample_token(NULL, z, n, s, (i + 0.5) / 20000, scratch);
        have[t] = true;
    }
}

static void support_is_libllamas(void **state) {
    (void)state;
    enum { N = 300 };
    float z[N];
    llama_token_data data[N];
    for (int o = 0; o < N_OPTIONS; o++) {
        for (uint64_t seed = 0; seed < 4; seed++) {
            random_logits(z, N, 100 + seed, 3.0);
            const rung_sampling *s = &options[o];
            struct llama_sampler *c =
                llama_sampler_chain_init(llama_sampler_chain_default_params());
            llama_sampler_chain_add(c, llama_sampler_init_temp((float)s->temperature));
            if (s->top_k) llama_sampler_chain_add(c, llama_sampler_init_top_k(s->top_k));
            if (s->top_p < 1)
                llama_sampler_chain_add(c, llama_sampler_init_top_p((float)s->top_p, 1));
            if (s->min_p > 0)
                llama_sampler_chain_add(c, llama_sampler_init_min_p((float)s->min_p, 1));
            for (int i = 0; i < N; i++) data[i] = (llama_token_data){i, z[i], 0};
            llama_token_data_array a = {data, N, -1, false};
            llama_sampler_apply(c, &a);
            bool theirs[N] = {0}, ours[N];
            double m = -INFINITY, sum = 0;
            for (size_t i = 0; i < a.size; i++) m = fmax(m, (double)a.data[i].logit);
            for (size_t i = 0; i < a.size; i++) sum += exp((double)a.data[i].logit - m);
            double p[N];
            analytic(p, z, N, s);
            for (size_t i = 0; i < a.size; i++) {
                theirs[a.data[i].id] = true;
                double q = exp((double)a.data[i].logit - m) / sum;
                assert_true(fabs(q - p[a.data[i].id]) < 1e-5);
            }
            support_of(ours, z, N, s);
            for (int i = 0; i < N; i++) {
                if (ours[i]) assert_true(theirs[i]);
                if (theirs[i] && p[i] > 2e-4)
                    assert_true(ours[i]); /* finer than the sweep's grid */
            }
            llama_sampler_free(c);
        }
    }
}

static void edges(void **state) {
    (void)state;
    rung_sampling s = OPT(0, 0, 1.0, 0);
    float tie[5] = {1, 3, 2, 3, 3};
    double lp[2];
    assert_int_equal(rung_sample_token(lp, tie, 5, &s, 0.99, scratch), 1); /* lowest id */
    /* by hand: ln(e^3 / (e + 3e^3 + e^2)) = -ln(3 + e^-1 + e^-2) = -1.25396... */
    assert_true(fabs(lp[0] + log(3 + exp(-1) + exp(-2))) < 1e-6);
    s = (rung_sampling)OPT(1.0, 2, 1.0, 0); /* two of three equals: the lower ids */
    for (int i = 0; i < 50; i++) {
        int32_t t = rung_sample_token(NULL, tie, 5, &s, i / 50.0, scratch);
        assert_true(t == 1 || t == 3);
    }
    float two[2] = {0.0f, 0.0f}; /* u walks the ids: half and half */
    s = (rung_sampling)RUNG_SAMPLING_INIT;
    assert_int_equal(rung_sample_token(NULL, two, 2, &s, 0.0, scratch), 0);
    assert_int_equal(rung_sample_token(NULL, two, 2, &s, 0.4999, scratch), 0);
    assert_int_equal(rung_sample_token(NULL, two, 2, &s, 0.5, scratch), 1);
    assert_int_equal(rung_sample_token(NULL, two, 2, &s, 1.0 - 0x1p-53, scratch), 1);
    float bad[20] = {0};
    for (int t = 0; t < 2; t++) {
        s.temperature = t;
        bad[17] = NAN;
        assert_int_equal(rung_sample_token(lp, bad, 20, &s, 0.5, scratch), -1);
        bad[17] = INFINITY;
        assert_int_equal(rung_sample_token(lp, bad, 20, &s, 0.5, scratch), -1);
        bad[17] = 0;
        for (int i = 0; i < 20; i++) bad[i] = -INFINITY;
        assert_int_equal(rung_sample_token(lp, bad, 20, &s, 0.5, scratch), -1);
        bad[4] = -3;
        assert_int_equal(rung_sample_token(lp, bad, 20, &s, 0.5, scratch), 4);
        assert_true(fabs(lp[0]) < 1e-12);
        memset(bad, 0, sizeof bad);
    }
}

/* ln p in f64 by libm, over a large vocabulary; and the cost of one token there. */
static void logprob_and_cost_at_152k(void **state) {
    (void)state;
    enum { N = 151936 };
    float *z = malloc(sizeof *z * N);
    random_logits(z, N, 77, 2.5);
    for (int i = 0; i < 5; i++) z[1000 * i + 3] = 16.0f + (float)i; /* a head over a flat tail */
    double m = 20, sum = 0;
    for (int i = 0; i < N; i++) sum += exp((double)z[i] - m);
    rung_rng r = rung_rng_at(1, RUNG_STREAM_TEST, 2, 0);
    for (int o = 0; o < N_OPTIONS; o++) {
        clock_t t0 = clock();
        for (int i = 0; i < 20; i++) {
            double lp[2];
            int32_t t = rung_sample_token(lp, z, N, &options[o], rung_rng_f64(&r), scratch);
            assert_in_range(t, 0, N - 1);
            assert_true(fabs(lp[0] - ((double)z[t] - m - log(sum))) < 1e-6);
        }
        double ms = 1e3 * (double)(clock() - t0) / CLOCKS_PER_SEC / 20;
        print_message("T %.2f top_k %d top_p %.3f min_p %.2f: %.2f CPU ms a token\n",
                      options[o].temperature, options[o].top_k, options[o].top_p, options[o].min_p,
                      ms);
    }
    assert_true(fabs(rung_logprob_of(z, N, 9) - ((double)z[9] - m - log(sum))) < 1e-6);
    free(z);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distribution_is_exact),
        cmocka_unit_test(support_is_libllamas),
        cmocka_unit_test(edges),
        cmocka_unit_test(logprob_and_cost_at_152k),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
