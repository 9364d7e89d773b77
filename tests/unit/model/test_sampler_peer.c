/* Equality with libllama's own samplers on the same logits: what is kept, with which probability,
 * what penalties and biases make of it. Thousands of random rows: normal, peaked, flat, full of
 * ties, half -inf; vocabularies of 1, 2, 404 and 151,936. */
#include "random_model.h"

#include "model/sampler.h"

enum { BIG = 151936, N_SEEN = 90 };
static float z[BIG];
static double lg[BIG];
static llama_token_data data[BIG];
static bool kept[BIG];
static void *scratch;
static rung_logit_bias bias[6];
static int32_t history[N_SEEN];
static int n_rows, n_border;

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

static int pick(rung_rng *r, int n) {
    return (int)(rung_rng_f64(r) * n);
}

static void fill_row(rung_rng *r, int n, int shape) {
    for (int i = 0; i < n; i++) {
        z[i] = (float)(3 * rung_rng_normal(r));
        if (shape == 1) z[i] = 0.25f; /* flat: all equal */
        if (shape == 2) z[i] = roundf(z[i]);
        if (shape == 3 && i % 2) z[i] = -INFINITY;
        if (shape == 4) z[i] *= 0.01f;
    }
    if (shape == 5)
        for (int k = 0; k < 3; k++) z[pick(r, n)] = 25.0f + (float)k;
}

static rung_sampling settings(rung_rng *r, int n) {
    static const double ts[] = {0.7, 1.0, 1.0, 1.6}, ps[] = {1, 1, 0.5, 0.95}, ms[] = {0, 0, 0.05};
    static const int ks[] = {0, 0, 1, 5, 40};
    rung_sampling s = {.temperature = ts[pick(r, 4)],
                       .top_k = ks[pick(r, 5)],
                       .top_p = ps[pick(r, 4)],
                       .min_p = ms[pick(r, 3)],
                       .temperature_first = pick(r, 2)};
    if (pick(r, 2)) {
        s.n_bias = 1 + pick(r, n < 6 ? n : 6);
        s.bias = bias;
        for (int i = 0; i < s.n_bias; i++)
            bias[i] = (rung_logit_bias){i * (n / s.n_bias),
                                        i % 3 == 2 ? -INFINITY : (float)rung_rng_normal(r)};
    }
    if (pick(r, 2)) {
        s.repeat_penalty = 1 + 0.5 * rung_rng_f64(r);
        s.presence_penalty = pick(r, 2) ? 0.4 : 0;
        s.frequency_penalty = pick(r, 2) ? -0.1 : 0;
        s.penalty_last_n = 1 + pick(r, 100);
    }
    return s;
}

/* libllama's chain in the order that rung/model.h states. Fills kept[] and lg[] (logits before
 * the temperature, in f64 from its own floats). */
static void peer(int n, const rung_sampling *s) {
    struct llama_sampler *c = llama_sampler_chain_init(llama_sampler_chain_default_params());
    struct llama_sampler *pre = llama_sampler_chain_init(llama_sampler_chain_default_params());
    llama_logit_bias lb[6];
    for (int i = 0; i < s->n_bias; i++) lb[i] = (llama_logit_bias){s->bias[i].tok, s->bias[i].bias};
    llama_sampler_chain_add(pre, llama_sampler_init_logit_bias(n, s->n_bias, lb));
    float rep = s->repeat_penalty > 0 ? (float)s->repeat_penalty : 1;
    llama_sampler_chain_add(pre, llama_sampler_init_penalties(n, s->penalty_last_n, rep,
                                                              (float)s->frequency_penalty,
                                                              (float)s->presence_penalty));
    for (int i = 0; i < N_SEEN; i++) llama_sampler_accept(pre, history[i]);
    if (s->temperature_first)
        llama_sampler_chain_add(c, llama_sampler_init_temp((float)s->temperature));
    if (s->top_k) llama_sampler_chain_add(c, llama_sampler_init_top_k(s->top_k));
    if (s->top_p < 1) llama_sampler_chain_add(c, llama_sampler_init_top_p((float)s->top_p, 1));
    if (s->min_p > 0) llama_sampler_chain_add(c, llama_sampler_init_min_p((float)s->min_p, 1));
    if (!s->temperature_first)
        llama_sampler_chain_add(c, llama_sampler_init_temp((float)s->temperature));
    for (int i = 0; i < n; i++) data[i] = (llama_token_data){i, z[i], 0};
    llama_token_data_array a = {data, (size_t)n, -1, false};
    llama_sampler_apply(pre, &a);
    for (size_t i = 0; i < a.size; i++) lg[a.data[i].id] = a.data[i].logit;
    llama_sampler_apply(c, &a);
    memset(kept, 0, sizeof kept);
    for (size_t i = 0; i < a.size; i++) kept[a.data[i].id] = a.data[i].logit > -INFINITY;
    llama_sampler_free(c);
    llama_sampler_free(pre);
}

/* Of equal logits at the border libllama keeps any; the definition keeps the lower ids. */
static void settle_ties(int n) {
    double least = HUGE_VAL;
    int n_tied = 0;
    for (int i = 0; i < n; i++)
        if (kept[i] && lg[i] < least) least = lg[i];
    for (int i = 0; i < n; i++) n_tied += kept[i] && lg[i] == least;
    for (int i = 0; i < n; i++)
        if (lg[i] == least) kept[i] = n_tied-- > 0;
}

static int cmp(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x > y ? -1 : x < y;
}

/* Do f32 sums decide? The border's cumulative share lies within 2e-5 of top_p (libllama adds up to
 * 151,936 floats), or a logit within 1e-5 of min_p's. */
static bool at_border(int n, const rung_sampling *s) {
    double t = s->temperature_first ? s->temperature : 1, m = -HUGE_VAL, sum = 0, in = 0;
    double slack = n > 1000 ? 2e-3 : 2e-5;
    for (int i = 0; i < n; i++) m = fmax(m, lg[i]);
    double floor = s->min_p > 0 ? m + t * log(s->min_p) : -HUGE_VAL;
    for (int i = 0; i < n; i++)
        if (fabs(lg[i] - floor) < 1e-5) return true;
    if (!(s->top_p < 1)) return false;
    if (s->min_p > 0 || s->top_k) slack = 2e-5;
    /* the head in the order of the definition, over the k largest */
    int left = s->top_k && s->top_k < n ? s->top_k : n;
    static double sorted[BIG];
    memcpy(sorted, lg, sizeof *lg * (size_t)n);
    qsort(sorted, (size_t)n, sizeof *sorted, cmp);
    for (int i = 0; i < left; i++) sum += exp((sorted[i] - m) / t);
    for (int i = 0; i < left; i++) {
        in += exp((sorted[i] - m) / t) / sum;
        if (fabs(in - s->top_p) < slack) return true;
        if (in > s->top_p) break;
    }
    return false;
}

/* Ours walks the kept tokens in id order: the middle of each one's share has to draw it. */
static void compare(int n, const rung_sampling *s, int most) {
    sampler_plan plan = {.s = *s, .n_vocab = n, .penalties = s->repeat_penalty != 0};
    sampler_seq q = {0};
    rung_error err = RUNG_ERROR_INIT;
    double m = -HUGE_VAL, sum = 0, run = 0;
    int n_kept = 0, k = 0;
    for (int i = 0; i < n; i++)
        if (kept[i]) m = fmax(m, lg[i]), n_kept++;
    for (int i = 0; i < n; i++)
        if (kept[i]) sum += exp((lg[i] - m) / s->temperature);
    assert_int_equal(rung_seq_begin(&q, &plan, history, N_SEEN, &err), RUNG_OK);
    if (n_kept == 0) {
        rung_draw d = {.logits = z, .seq = &q};
        rung_draw_one(&d, scratch);
        assert_int_equal(d.tok, DRAW_NOTHING_LEFT);
    }
    int every = 1 + n_kept / most;
    for (int i = 0; i < n; i++) {
        if (!kept[i]) continue;
        double share = exp((lg[i] - m) / s->temperature) / sum;
        if (share > 1e-5 && k++ % every == 0) {
            rung_draw d = {.logits = z, .seq = &q, .u = run + share / 2};
            rung_draw_one(&d, scratch);
            if (d.tok != i || fabs(d.logprob_draw - log(share)) > 1e-5)
                fail_msg("vocabulary %d, row %d, T %g k %d p %g m %g first %d: token %d (ln p "
                         "%.8g), libllama %d (%.8g) of %d",
                         n, n_rows, s->temperature, s->top_k, s->top_p, s->min_p,
                         s->temperature_first, d.tok, d.logprob_draw, i, log(share), n_kept);
        }
        run += share;
    }
    rung_seq_clear(&q);
}

static void rows(int n, int n_wanted, int most) {
    n_rows = n_border = 0;
    for (int k = 0; k < n_wanted; k++, n_rows++) {
        rung_rng r = rung_rng_at((uint64_t)n, RUNG_STREAM_TEST, (uint64_t)k, 0);
        fill_row(&r, n, k % 6);
        for (int i = 0; i < N_SEEN; i++)
            history[i] = pick(&r, n < 50 ? n : 50) * (n / 50 + (n < 50));
        bool any = false;
        for (int i = 0; i < n; i++) any |= z[i] > -INFINITY;
        if (!any) continue;
        rung_sampling s = settings(&r, n);
        peer(n, &s);
        if (at_border(n, &s)) {
            n_border++;
            continue;
        }
        settle_ties(n);
        compare(n, &s, most);
    }
    print_message("vocabulary %d: %d rows equal, %d left out (f32 sums decide)\n", n,
                  n_rows - n_border, n_border);
    assert_true(n_border * 4 < n_rows + 4);
}

static void vocabulary_of_1(void **state) {
    (void)state;
    rows(1, 300, 1);
}
static void vocabulary_of_2(void **state) {
    (void)state;
    rows(2, 1000, 2);
}
static void vocabulary_of_404(void **state) {
    (void)state;
    rows(404, 3000, 404);
}
static void vocabulary_of_151936(void **state) {
    (void)state;
    rows(BIG, 36, 60);
}

/* Penalties by hand (libllama's definition): window 4 of 2 7 7 3 7 holds 7 three times, 3 once. z =
 * 2, r = 2: 2/2 - 3*0.5 - 0.25 = -0.75; z = -1: -1*2 - 0.5 - 0.25 = -2.75; token 2 has slid out. */
static void penalties_by_hand(void **state) {
    (void)state;
    float row[8] = {0, 0, 1, -1, 0, 0, 0, 2};
    static const int32_t prompt[] = {2, 7, 7, 3, 7};
    sampler_plan plan = {.n_vocab = 8, .penalties = true, .s = RUNG_SAMPLING_INIT};
    sampler_seq q = {0};
    plan.s.repeat_penalty = 2;
    plan.s.frequency_penalty = 0.5;
    plan.s.presence_penalty = 0.25;
    plan.s.penalty_last_n = 4;
    assert_int_equal(rung_seq_begin(&q, &plan, prompt, 5, NULL), RUNG_OK);
    const double want[8] = {0, 0, 1, -2.75, 0, 0, 0, -0.75};
    double sum = 0;
    for (int i = 0; i < 8; i++) sum += exp(want[i]);
    for (int k = 0; k < 400; k++) {
        rung_draw d = {.logits = row, .seq = &q, .u = k / 400.0};
        rung_draw_one(&d, scratch);
        assert_true(fabs(d.logprob_draw - (want[d.tok] - log(sum))) < 1e-6);
    }
    rung_seq_clear(&q);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vocabulary_of_1),   cmocka_unit_test(vocabulary_of_2),
        cmocka_unit_test(vocabulary_of_404), cmocka_unit_test(vocabulary_of_151936),
        cmocka_unit_test(penalties_by_hand),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
