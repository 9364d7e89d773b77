/* Losses: every row of the table against finite differences in f64 at 1e-6 relative, on random
 * shapes (length 1, odd sizes, samples that are masked whole); properties that hold for every row;
 * hand-computed values; the maths the rows are chosen for. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "rung/loss.h"
#include "rung/rng.h"

#include <cmocka.h>

/* A random case ------------------------------------------------------------------------------- */

enum { MAX_ITEMS = 400, MAX_SAMPLES = 40, MAX_CLASS = 5, MAX_PAIRS = 400 };

typedef struct scene {
    rung_loss_data d;
    rung_loss_opts o;
    double x[MAX_ITEMS * MAX_CLASS], mask[MAX_ITEMS], target[MAX_ITEMS], ref[MAX_ITEMS],
        old[MAX_ITEMS], sampler[MAX_ITEMS], advantage[MAX_ITEMS];
    int32_t sample[MAX_ITEMS], group[MAX_SAMPLES], pair[2 * MAX_PAIRS];
    uint8_t selected[MAX_ITEMS];
    double weight[MAX_SAMPLES], label[MAX_SAMPLES], reward[MAX_SAMPLES], pair_weight[MAX_PAIRS],
        pair_margin[MAX_PAIRS];
} scene;

static bool takes_scores(rung_loss_id id) {
    return rung_loss_takes_of(id) == RUNG_LOSS_TAKES_SCORE;
}

/* Items of each sample, lengths 1 to longest; sample 2 is masked whole, every fifth item too;
 * groups of three samples, pairs inside a group. */
static void fill(scene *c, rung_loss_id id, int n_samples, int longest, uint64_t address) {
    rung_rng r = rung_rng_at(21, RUNG_STREAM_TEST, address, (uint64_t)id);
    memset(c, 0, sizeof *c);
    c->o = (rung_loss_opts)RUNG_LOSS_OPTS_INIT;
    c->o.n_class = id == RUNG_LOSS_CLASS_CE ? 2 + (int)(address % 4) : 0;
    c->o.length_max = 11;
    c->o.alpha = 0.7;
    c->o.margin = 0.3;
    c->o.smoothing = address % 2 ? 0.1 : 0;
    c->o.kto_zero = 0.4;
    c->o.undesirable = 1.25;
    int width = c->o.n_class ? c->o.n_class : 1, n = 0;
    for (int s = 0; s < n_samples; s++) {
        int len = (int)rung_rng_between(&r, 1, longest);
        for (int t = 0; t < len; t++, n++) {
            bool logprob = !takes_scores(id);
            for (int k = 0; k < width; k++)
                c->x[n * width + k] =
                    logprob ? -fabs(rung_rng_normal(&r)) : 2 * rung_rng_normal(&r);
            c->sample[n] = s;
            c->mask[n] = s == 2 || n % 5 == 4 ? 0 : n % 7 == 3 ? 0.5 : 1;
            c->target[n] = rung_rng_f64(&r);
            if (c->o.n_class > 2) c->target[n] = (double)rung_rng_below(&r, (uint64_t)width);
            c->ref[n] = -fabs(rung_rng_normal(&r));
            c->old[n] = c->x[n] + 0.3 * rung_rng_normal(&r);
            c->sampler[n] = c->old[n] + 0.5 * rung_rng_normal(&r);
            c->advantage[n] = rung_rng_normal(&r);
            c->selected[n] = n % 4 == 1;
        }
        c->weight[s] = s == 4 ? 0 : 0.2 + rung_rng_f64(&r);
        c->label[s] = id == RUNG_LOSS_IMPLICIT_CE ? rung_rng_f64(&r) : s % 2;
        c->group[s] = s / 3;
        c->reward[s] = s % 5 ? rung_rng_f64(&r) : 0.5;
    }
    int n_pairs = 0;
    for (int a = 0; a < n_samples; a++) {
        for (int b = 0; b < n_samples; b++) {
            if (a == b || c->group[a] != c->group[b] || rung_rng_f64(&r) < 0.5) continue;
            c->pair[2 * n_pairs] = a;
            c->pair[2 * n_pairs + 1] = b;
            c->pair_weight[n_pairs] = rung_rng_f64(&r);
            c->pair_margin[n_pairs] = 0.2 * rung_rng_f64(&r);
            n_pairs++;
        }
    }
    c->d = (rung_loss_data){n,         c->x,           c->mask,        c->sample,    c->target,
                            c->ref,    c->old,         c->sampler,     c->advantage, n_samples,
                            c->weight, c->label,       c->group,       c->reward,    n_pairs,
                            c->pair,   c->pair_weight, c->pair_margin, c->selected};
}

static double value_of(rung_loss_id id, const scene *c, double *dx) {
    double v;
    rung_error err = RUNG_ERROR_INIT;
    if (rung_loss_eval(&v, dx, NULL, id, &c->d, &c->o, &err) != RUNG_OK) fail_msg("%s", err.what);
    assert_true(isfinite(v));
    return v;
}

static double rel_error(double a, double b) {
    double top = fmax(fabs(a), fabs(b));
    return fabs(a - b) / fmax(top, 1e-4); /* below that f64 rounding in the differences is seen */
}

static double check_gradient(rung_loss_id id, scene *c) {
    static double dx[MAX_ITEMS * MAX_CLASS];
    int width = c->o.n_class ? c->o.n_class : 1;
    double worst = 0;
    value_of(id, c, dx);
    for (int64_t i = 0; i < c->d.n * width; i++) {
        static const double at[] = {-2, -1, 1, 2};
        double keep = c->x[i], h = 1e-4, f[4];
        bool held = id == RUNG_LOSS_CISPO; /* its ratio has no gradient: it moves along */
        double old = c->old[i], sampler = c->sampler[i];
        for (int q = 0; q < 4; q++) {
            c->x[i] = keep + at[q] * h;
            if (held) c->old[i] = old + at[q] * h;
            if (held) c->sampler[i] = sampler + at[q] * h;
            f[q] = value_of(id, c, NULL);
        }
        c->x[i] = keep;
        c->old[i] = old;
        c->sampler[i] = sampler;
        double fd = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h), e = rel_error(fd, dx[i]);
        if (e > worst) worst = e;
        if (e > 1e-6)
            fail_msg("%s: dx[%lld] is %.10g, finite difference %.10g", rung_loss_name(id),
                     (long long)i, dx[i], fd);
        if (c->mask[i / width] == 0) assert_true(dx[i] == 0);
    }
    return worst;
}

static void test_gradients(void **state) {
    (void)state;
    static scene c;
    static const int sizes[][2] = {{1, 1}, {3, 1}, {5, 7}, {13, 5}};
    for (int id = 0; id < RUNG_LOSS_COUNT; id++) {
        double worst = 0;
        for (int k = 0; k < 4; k++) {
            for (int a = 0; a < RUNG_LOSS_AGGREGATION_COUNT; a++) {
                fill(&c, id, sizes[k][0], sizes[k][1], (uint64_t)(k + 4 * a));
                c.o.aggregation = a;
                worst = fmax(worst, check_gradient(id, &c));
            }
        }
        print_message("  %-18s worst relative error %.2g\n", rung_loss_name(id), worst);
    }
}

/* Options that change a formula. */
static void test_gradients_of_options(void **state) {
    (void)state;
    static scene c;
    for (uint64_t k = 0; k < 4; k++) {
        fill(&c, RUNG_LOSS_PPO, 9, 6, 100 + k);
        c.o.clip_dual = 1.1;
        c.o.clip_low = 0.1;
        c.o.clip_high = k == 1 ? -1 : 0.28;
        c.o.sequence_ratio = k % 2 == 1;
        c.o.kl_coef = k > 1 ? 0.3 : 0;
        c.o.kl = k == 3 ? RUNG_LOSS_KL_K3 : 0;
        c.o.aggregation = k % 2 ? RUNG_LOSS_SEQ_MEAN_TOKEN_MEAN : RUNG_LOSS_SEQ_SUM_CONST;
        if (k == 2) c.d.sampler = NULL;
        check_gradient(RUNG_LOSS_PPO, &c);
        static const rung_loss_id policies[] = {RUNG_LOSS_CISPO, RUNG_LOSS_SAPO, RUNG_LOSS_GEO_MEAN,
                                                RUNG_LOSS_CLIP_COV, RUNG_LOSS_KL_COV};
        for (int i = 0; i < 5; i++) {
            fill(&c, policies[i], 9, 6, 150 + k);
            c.o.clip_low = k == 0 ? -1 : 0.1;
            c.o.clip_high = k == 1 ? -1 : 0.28;
            c.o.kl_coef = k > 1 ? 0.3 : 0;
            c.o.kl = k == 3 ? RUNG_LOSS_KL_ABS : RUNG_LOSS_KL_K3;
            c.o.aggregation = k % RUNG_LOSS_AGGREGATION_COUNT;
            if (k == 2) c.d.sampler = NULL;
            check_gradient(policies[i], &c);
        }
        fill(&c, RUNG_LOSS_VALUE, 9, 6, 200 + k);
        c.o.clip_value = 0.2;
        check_gradient(RUNG_LOSS_VALUE, &c);
        static const rung_loss_id by_sample[] = {RUNG_LOSS_DPO, RUNG_LOSS_IPO, RUNG_LOSS_KTO,
                                                 RUNG_LOSS_NCA};
        for (int i = 0; i < 4; i++) {
            fill(&c, by_sample[i], 9, 6, 300 + k);
            c.o.mean_tokens = true;
            c.o.beta = 1.5;
            c.o.no_reference = i < 2 && k % 2;
            check_gradient(by_sample[i], &c);
        }
    }
}

/* With one advantage a sample the gradient of a sequence's ratio is the same by tokens and by the
 * mean; a KL's value and gradient may come from two estimators. */
static void test_policy_options(void **state) {
    (void)state;
    static scene c;
    static double a[MAX_ITEMS], b[MAX_ITEMS], k2[MAX_ITEMS], k3[MAX_ITEMS];
    fill(&c, RUNG_LOSS_PPO, 9, 6, 400);
    c.d.sampler = NULL;
    for (int64_t i = 0; i < c.d.n; i++) {
        c.advantage[i] = c.reward[c.sample[i]] - 0.4;
        c.mask[i] = c.mask[i] > 0;
    }
    for (int how = 0; how < RUNG_LOSS_AGGREGATION_COUNT; how++) {
        c.o.aggregation = how;
        c.o.sequence_ratio = true;
        c.o.sequence_token = false;
        double v = value_of(RUNG_LOSS_PPO, &c, a);
        c.o.sequence_token = true;
        assert_float_equal(v, value_of(RUNG_LOSS_PPO, &c, b), 1e-14);
        for (int64_t i = 0; i < c.d.n; i++) assert_float_equal(a[i], b[i], 1e-13);
    }
    c.o.kl_coef = .5;
    c.o.kl = RUNG_LOSS_KL_K3;
    double v3 = value_of(RUNG_LOSS_PPO, &c, k3);
    c.o.kl = RUNG_LOSS_KL_K2;
    (void)value_of(RUNG_LOSS_PPO, &c, k2);
    c.o.kl_value = RUNG_LOSS_KL_K3;
    assert_true(value_of(RUNG_LOSS_PPO, &c, a) == v3);
    assert_memory_equal(a, k2, (size_t)c.d.n * sizeof *a);
}

/* kl_cov takes the top share; clip_cov takes of what lies between its bounds, by (seed, item),
 * never more than the share. */
static void test_select(void **state) {
    (void)state;
    static scene c;
    uint8_t one[MAX_ITEMS], two[MAX_ITEMS];
    rung_error err = RUNG_ERROR_INIT;
    fill(&c, RUNG_LOSS_KL_COV, 30, 9, 5);
    c.o.cov_share = .1;
    c.o.cov_low = -1e9;
    c.o.cov_high = 1e9;
    int64_t n = 0, picked = 0, other = 0, same = 0;
    double mean_a = 0, mean_x = 0, least = INFINITY, most = -INFINITY;
    for (int64_t i = 0; i < c.d.n; i++) {
        if (c.mask[i] == 0 || c.weight[c.sample[i]] == 0) continue;
        n++, mean_a += c.advantage[i], mean_x += c.x[i];
    }
    assert_int_equal(rung_loss_select(one, RUNG_LOSS_KL_COV, &c.d, &c.o, &err), RUNG_OK);
    for (int64_t i = 0; i < c.d.n; i++) {
        bool counts = c.mask[i] > 0 && c.weight[c.sample[i]] > 0;
        double cov = (c.advantage[i] - mean_a / n) * (c.x[i] - mean_x / n);
        if (one[i]) assert_true(counts);
        if (one[i]) picked++, least = fmin(least, cov);
        if (!one[i] && counts) most = fmax(most, cov);
    }
    assert_int_equal(picked, n / 10);
    assert_true(least >= most);
    assert_int_equal(rung_loss_select(one, RUNG_LOSS_CLIP_COV, &c.d, &c.o, &err), RUNG_OK);
    assert_int_equal(rung_loss_select(two, RUNG_LOSS_CLIP_COV, &c.d, &c.o, &err), RUNG_OK);
    assert_memory_equal(one, two, (size_t)c.d.n);
    c.o.seed = 2;
    assert_int_equal(rung_loss_select(two, RUNG_LOSS_CLIP_COV, &c.d, &c.o, &err), RUNG_OK);
    picked = 0;
    for (int64_t i = 0; i < c.d.n; i++) picked += one[i], other += two[i], same += one[i] && two[i];
    assert_true(picked == n / 10 && other == picked && same < picked);
    c.o.cov_low = 1e9 - 1; /* nothing lies there */
    assert_int_equal(rung_loss_select(two, RUNG_LOSS_CLIP_COV, &c.d, &c.o, &err), RUNG_OK);
    for (int64_t i = 0; i < c.d.n; i++) assert_int_equal(two[i], 0);
    assert_int_equal(rung_loss_select(two, RUNG_LOSS_PPO, &c.d, &c.o, &err), RUNG_E_INVAL);
}

static void test_policy_names(void **state) {
    (void)state;
    const struct {
        const char *name;
        rung_loss_id id;
        bool sequence;
        rung_loss_aggregation how;
    } rows[] = {{"verl:vanilla", RUNG_LOSS_PPO, false, RUNG_LOSS_TOKEN_MEAN},
                {"gspo", RUNG_LOSS_PPO, true, RUNG_LOSS_SEQ_MEAN_TOKEN_MEAN},
                {"geo_mean", RUNG_LOSS_GEO_MEAN, false, 0},
                {"trl:dr_grpo", RUNG_LOSS_PPO, false, RUNG_LOSS_SEQ_SUM_CONST},
                {"grpo", RUNG_LOSS_PPO, false, RUNG_LOSS_SEQ_MEAN_TOKEN_MEAN},
                {"verl:gpg", RUNG_LOSS_REINFORCE, false, RUNG_LOSS_TOKEN_MEAN},
                {"trl:cispo", RUNG_LOSS_CISPO, false, RUNG_LOSS_TOKEN_MEAN}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rung_loss_opts o = RUNG_LOSS_OPTS_INIT;
        rung_loss_id id;
        assert_true(rung_loss_policy_find(&id, &o, rows[i].name));
        assert_int_equal(id, rows[i].id);
        assert_int_equal(o.sequence_ratio, rows[i].sequence);
        assert_int_equal(o.aggregation, rows[i].how);
    }
    rung_loss_opts o = RUNG_LOSS_OPTS_INIT;
    rung_loss_id id;
    assert_true(rung_loss_policy_find(&id, &o, "trl:dapo") && o.clip_high == .28);
    assert_false(rung_loss_policy_find(&id, &o, "dpo") ||
                 rung_loss_policy_find(&id, &o, "trl:gspo") ||
                 rung_loss_policy_find(&id, &o, "verl:") || rung_loss_policy_find(&id, &o, ""));
}

/* Properties of every row ------------------------------------------------------------------------
 */

/* The samples of c for which keep is true, renumbered; order says in which order they come. */
static void pick(scene *out, int64_t *item_of, const scene *c, const int32_t *order, int n) {
    int32_t new_of[MAX_SAMPLES];
    int width = c->o.n_class ? c->o.n_class : 1, at = 0, n_pairs = 0;
    memset(out, 0, sizeof *out);
    out->o = c->o;
    for (int s = 0; s < MAX_SAMPLES; s++) new_of[s] = -1;
    for (int k = 0; k < n; k++) {
        int32_t s = order[k];
        new_of[s] = k;
        out->weight[k] = c->weight[s];
        out->label[k] = c->label[s];
        out->reward[k] = c->reward[s];
        out->group[k] = c->group[s];
        for (int64_t i = 0; i < c->d.n; i++) {
            if (c->sample[i] != s) continue;
            memcpy(out->x + at * width, c->x + i * width, (size_t)width * sizeof *c->x);
            out->sample[at] = k;
            out->mask[at] = c->mask[i];
            out->target[at] = c->target[i];
            out->ref[at] = c->ref[i];
            out->old[at] = c->old[i];
            out->sampler[at] = c->sampler[i];
            out->advantage[at] = c->advantage[i];
            out->selected[at] = c->selected[i];
            item_of[at++] = i;
        }
    }
    for (int64_t p = 0; p < c->d.n_pairs; p++) {
        int32_t a = new_of[c->pair[2 * p]], b = new_of[c->pair[2 * p + 1]];
        if (a < 0 || b < 0) continue;
        out->pair[2 * n_pairs] = a;
        out->pair[2 * n_pairs + 1] = b;
        out->pair_weight[n_pairs] = c->pair_weight[p];
        out->pair_margin[n_pairs++] = c->pair_margin[p];
    }
    out->d = (rung_loss_data){
        at,          out->x,           out->mask,        out->sample,    out->target,
        out->ref,    out->old,         out->sampler,     out->advantage, n,
        out->weight, out->label,       out->group,       out->reward,    n_pairs,
        out->pair,   out->pair_weight, out->pair_margin, out->selected};
}

static void assert_gradient(rung_loss_id id, const scene *c, const double *want,
                            const int64_t *item_of, const double *got, int64_t n) {
    int width = c->o.n_class ? c->o.n_class : 1;
    for (int64_t i = 0; i < n * width; i++) {
        double w = want[item_of[i / width] * width + i % width];
        if (fabs(w - got[i]) > 1e-13)
            fail_msg("%s: gradient %.17g, was %.17g", rung_loss_name(id), got[i], w);
    }
}

/* Gradients of parts, with the whole batch's denominator, are those of the whole batch. */
static void test_accumulation(void **state) {
    (void)state;
    static scene c, part;
    static double want[MAX_ITEMS * MAX_CLASS], got[MAX_ITEMS * MAX_CLASS];
    static int64_t item_of[MAX_ITEMS];
    rung_error err = RUNG_ERROR_INIT;
    for (int id = 0; id < RUNG_LOSS_COUNT; id++) {
        for (int a = 0; a < RUNG_LOSS_AGGREGATION_COUNT; a++) {
            int32_t order[MAX_SAMPLES];
            double all, den = 0, sum = 0, whole;
            fill(&c, id, 15, 6, 31 + (uint64_t)a);
            c.o.aggregation = a;
            c.o.kl_coef = 0.2;
            whole = value_of(id, &c, want);
            assert_int_equal(rung_loss_denominator(&den, id, &c.d, &c.o, &err), RUNG_OK);
            all = 0;
            for (int pass = 0; pass < 2; pass++) {
                for (int s = 0, n; s < 15; s += n) { /* whole groups: 3, 6, 6 samples */
                    n = s == 0 ? 3 : 6;
                    for (int k = 0; k < n; k++) order[k] = s + k;
                    pick(&part, item_of, &c, order, n);
                    if (pass == 0) {
                        double d;
                        assert_int_equal(rung_loss_denominator(&d, id, &part.d, &part.o, &err),
                                         RUNG_OK);
                        all += d;
                        continue;
                    }
                    part.o.denominator = all;
                    sum += value_of(id, &part, got);
                    assert_gradient(id, &c, want, item_of, got, part.d.n);
                }
            }
            assert_float_equal(all, den, 1e-12);
            assert_float_equal(sum, whole, 1e-12 * fmax(1, fabs(whole)));
        }
    }
}

/* Another order of the samples: the same value, gradients that go with them. */
static void test_permutation(void **state) {
    (void)state;
    static scene c, other;
    static double want[MAX_ITEMS * MAX_CLASS], got[MAX_ITEMS * MAX_CLASS];
    static int64_t item_of[MAX_ITEMS];
    for (int id = 0; id < RUNG_LOSS_COUNT; id++) {
        uint32_t shuffled[MAX_SAMPLES];
        int32_t order[MAX_SAMPLES];
        rung_rng r = rung_rng_at(4, RUNG_STREAM_TEST, (uint64_t)id, 7);
        fill(&c, id, 14, 6, 51);
        c.o.aggregation = id % RUNG_LOSS_AGGREGATION_COUNT;
        for (uint32_t s = 0; s < 14; s++) shuffled[s] = s;
        rung_rng_shuffle(&r, shuffled, 14);
        for (int s = 0; s < 14; s++) order[s] = (int32_t)shuffled[s];
        pick(&other, item_of, &c, order, 14);
        double a = value_of(id, &c, want), b = value_of(id, &other, got);
        assert_float_equal(a, b, 1e-12 * fmax(1, fabs(a)));
        assert_gradient(id, &c, want, item_of, got, other.d.n);
    }
}

/* Padding of any content between and after the items, and samples of nothing else: no change, and
 * no gradient there. Masked items may hold NaN. */
static void test_padding(void **state) {
    (void)state;
    static scene c, p;
    static double want[MAX_ITEMS * MAX_CLASS], got[MAX_ITEMS * MAX_CLASS];
    for (int id = 0; id < RUNG_LOSS_COUNT; id++) {
        for (int a = 0; a < RUNG_LOSS_AGGREGATION_COUNT; a++) {
            int64_t item_of[MAX_ITEMS];
            fill(&c, id, 8, 5, 71);
            c.o.aggregation = a;
            double v = value_of(id, &c, want);
            int32_t order[] = {0, 1, 2, 3, 4, 5, 6, 7};
            pick(&p, item_of, &c, order, 8);
            int width = c.o.n_class ? c.o.n_class : 1;
            for (int k = 0; k < 9; k++) { /* no sample; a masked sample; a token more, masked */
                int64_t at = p.d.n++;
                p.sample[at] = k % 3 == 0 ? -1 : k % 3 == 1 ? 8 : 3;
                p.mask[at] = k % 3 == 0 ? 1 : 0;
                for (int q = 0; q < width; q++) p.x[at * width + q] = NAN;
                p.ref[at] = p.old[at] = p.target[at] = p.advantage[at] = p.sampler[at] = NAN;
            }
            p.d.n_samples = 9;
            p.weight[8] = 1;
            p.group[8] = 0;
            p.reward[8] = 3;
            assert_true(value_of(id, &p, got) == v);
            assert_gradient(id, &c, want, item_of, got, c.d.n);
            for (int64_t i = c.d.n * width; i < p.d.n * width; i++) assert_true(got[i] == 0);
        }
    }
}

static void test_nothing_there(void **state) {
    (void)state;
    static scene c;
    static double dx[MAX_ITEMS * MAX_CLASS];
    for (int id = 0; id < RUNG_LOSS_COUNT; id++) {
        for (int a = 0; a < RUNG_LOSS_AGGREGATION_COUNT; a++) {
            fill(&c, id, 6, 4, 91);
            c.o.aggregation = a;
            memset(c.mask, 0, sizeof c.mask);
            assert_true(value_of(id, &c, dx) == 0);
            for (int64_t i = 0; i < c.d.n; i++) assert_true(dx[i] == 0);
            c.d = (rung_loss_data){0};
            assert_true(value_of(id, &c, dx) == 0);
        }
    }
}

/* Scores and logprobs as large as floats come: everything stays finite, and the asymptotes are
 * right. */
static void test_extreme(void **state) {
    (void)state;
    static scene c;
    static double dx[MAX_ITEMS * MAX_CLASS];
    for (int id = 0; id < RUNG_LOSS_COUNT; id++) {
        for (int k = 0; k < 8; k++) {
            fill(&c, id, 9, 6, 400 + (uint64_t)k);
            for (int i = 0; i < MAX_ITEMS * MAX_CLASS; i++) {
                c.x[i] = takes_scores(id) ? c.x[i] * 1e30 : -1e30 * (i % 3);
                if (i < MAX_ITEMS && k % 2) c.ref[i] *= 1e30, c.old[i] = -1e30 * (i % 2);
                if (i < MAX_ITEMS) c.sampler[i] = -1e30 * (i % 5 == 0);
            }
            if (id == RUNG_LOSS_VALUE || id == RUNG_LOSS_IPO || id == RUNG_LOSS_KL_K2 ||
                id == RUNG_LOSS_REGRESSION)
                for (int i = 0; i < MAX_ITEMS * MAX_CLASS; i++) c.x[i] /= 1e10;
            value_of(id, &c, dx);
            for (int64_t i = 0; i < c.d.n; i++) assert_true(isfinite(dx[i]));
        }
    }
    double x[] = {800, -800}, t[] = {0, 0}, v;
    rung_loss_data d = {.n = 1, .x = x, .target = t, .n_samples = 1};
    assert_int_equal(rung_loss_eval(&v, dx, NULL, RUNG_LOSS_BCE, &d, NULL, NULL), RUNG_OK);
    assert_true(v == 800 && dx[0] == 1); /* softplus(800) = 800 */
    x[0] = -800;
    assert_int_equal(rung_loss_eval(&v, dx, NULL, RUNG_LOSS_BCE, &d, NULL, NULL), RUNG_OK);
    assert_true(v >= 0 && v < 1e-300 && dx[0] >= 0 && dx[0] < 1e-300);
}

/* Values by hand ------------------------------------------------------------------------------- */

static double at_defaults(rung_loss_id id, double *dx, const rung_loss_data *d) {
    double v;
    rung_error err = RUNG_ERROR_INIT;
    if (rung_loss_eval(&v, dx, NULL, id, d, NULL, &err) != RUNG_OK) fail_msg("%s", err.what);
    return v;
}

static void test_scores_by_hand(void **state) {
    (void)state;
    double x[] = {log(3), 0}, t[] = {0.5, 1}, dx[4], v;
    rung_loss_data d = {.n = 2, .x = x, .target = t, .n_samples = 2};
    v = at_defaults(RUNG_LOSS_BCE, dx, &d); /* s = 3/4, 1/2 */
    assert_float_equal(v, (-(log(.75) + log(.25)) / 2 - log(.5)) / 2, 1e-15);
    assert_float_equal(dx[0], .125, 1e-15);
    assert_float_equal(dx[1], -.25, 1e-15);
    v = at_defaults(RUNG_LOSS_MSE, dx, &d); /* e = 1/4, -1/2; ds = 3/16, 1/4 */
    assert_float_equal(v, (1. / 16 + 1. / 4) / 2, 1e-15);
    assert_float_equal(dx[0], 2 * .25 * 3 / 16 / 2, 1e-15);
    assert_float_equal(dx[1], 2 * -.5 / 4 / 2, 1e-15);
    v = at_defaults(RUNG_LOSS_VALUE, dx, &d);
    assert_float_equal(v, ((log(3) - .5) * (log(3) - .5) + 1) / 4, 1e-15);
    int32_t pair[] = {1, 0};
    d.pair = pair;
    d.n_pairs = 1;
    v = at_defaults(RUNG_LOSS_BRADLEY_TERRY, dx, &d); /* -ln sigma(-ln 3) = ln 4 */
    assert_float_equal(v, log(4), 1e-15);
    assert_float_equal(dx[1], -.75, 1e-15);
    assert_float_equal(dx[0], .75, 1e-15);
    v = at_defaults(RUNG_LOSS_MARGIN, dx, &d);
    assert_float_equal(v, 1 + log(3), 1e-15);
    assert_true(dx[1] == -1 && dx[0] == 1);
    double z[] = {0, log(2), 0, log(5)}, one[] = {1, 0.25};
    d = (rung_loss_data){.n = 2, .x = z, .target = one, .n_samples = 2};
    v = at_defaults(RUNG_LOSS_CLASS_CE, dx, &d); /* -ln 2/3; -(1/4 ln 5/6 + 3/4 ln 1/6) */
    assert_float_equal(v, (-log(2. / 3) - .25 * log(5. / 6) - .75 * log(1. / 6)) / 2, 1e-15);
    assert_float_equal(dx[0], 1. / 6, 1e-15);
}

/* The clip of the value: V 2 from V_old 1, c .2, R 0: max(2^2, 1.2^2)/2 = 2, gradient 2; R 3:
 * max(1, 1.8^2)/2, no gradient. */
static void test_value_clip(void **state) {
    (void)state;
    double x = 2, old = 1, r = 0, dx, v;
    rung_loss_data d = {.n = 1, .x = &x, .target = &r, .old = &old, .n_samples = 1};
    rung_loss_opts o = RUNG_LOSS_OPTS_INIT;
    o.clip_value = .2;
    assert_int_equal(rung_loss_eval(&v, &dx, NULL, RUNG_LOSS_VALUE, &d, &o, NULL), RUNG_OK);
    assert_true(v == 2 && dx == 2);
    r = 3;
    assert_int_equal(rung_loss_eval(&v, &dx, NULL, RUNG_LOSS_VALUE, &d, &o, NULL), RUNG_OK);
    assert_float_equal(v, 1.62, 1e-15);
    assert_true(dx == 0);
}

/* Two tokens a sample. Better: d = .5 + 1; worse: d = -.25 - .25; z = 1.5, -.5. */
static void test_preferences_by_hand(void **state) {
    (void)state;
    double x[] = {-1, -1, -2, -2}, ref[] = {-1.5, -2, -1.75, -1.75}, dx[4], v;
    int32_t sample[] = {0, 0, 1, 1}, pair[] = {0, 1}, group[] = {0, 0};
    double label[] = {1, 0}, reward[] = {1, 0};
    rung_loss_data d = {.n = 4,
                        .x = x,
                        .ref = ref,
                        .sample = sample,
                        .n_samples = 2,
                        .pair = pair,
                        .n_pairs = 1,
                        .label = label,
                        .group = group,
                        .reward = reward};
    v = at_defaults(RUNG_LOSS_DPO, dx, &d); /* h = .1 x 2 */
    assert_float_equal(v, log1p(exp(-.2)), 1e-15);
    assert_float_equal(dx[0], -.1 / (1 + exp(.2)), 1e-15);
    assert_float_equal(dx[3], .1 / (1 + exp(.2)), 1e-15);
    v = at_defaults(RUNG_LOSS_IPO, dx, &d); /* (2 - 5)^2 */
    assert_float_equal(v, 9, 1e-12);
    assert_float_equal(dx[1], -6, 1e-12);
    v = at_defaults(RUNG_LOSS_REGRESSION, dx, &d); /* (.2 - 1)^2 */
    assert_float_equal(v, .64, 1e-15);
    v = at_defaults(RUNG_LOSS_IMPLICIT_CE, dx, &d); /* h = .075, -.025 */
    assert_float_equal(v, (log1p(exp(-.075)) + log1p(exp(-.025))) / 2, 1e-15);
    assert_float_equal(dx[0], .05 * -1 / (1 + exp(.075)) / 2, 1e-15);
    v = at_defaults(RUNG_LOSS_KTO, dx, &d); /* z0 0: 1 - s(.15), 1 - s(.05) */
    assert_float_equal(v, (1 / (1 + exp(.15)) + 1 / (1 + exp(.05))) / 2, 1e-15);
    v = at_defaults(RUNG_LOSS_NCA, dx, &d); /* h = .015, -.005 */
    assert_float_equal(v, log1p(exp(-.015)) + .5 * log1p(exp(.015)) + .5 * log1p(exp(-.005)),
                       1e-15);
    /* InfoNCA of two, one better: DPO (learning.md 4.2 E) */
    double a, b, da[4];
    rung_loss_opts o = RUNG_LOSS_OPTS_INIT;
    o.beta = .3;
    assert_int_equal(rung_loss_eval(&a, da, NULL, RUNG_LOSS_INFO_NCA, &d, &o, NULL), RUNG_OK);
    assert_int_equal(rung_loss_eval(&b, dx, NULL, RUNG_LOSS_DPO, &d, &o, NULL), RUNG_OK);
    assert_float_equal(a, b, 1e-14);
    for (int i = 0; i < 4; i++) assert_float_equal(da[i], dx[i], 1e-14);
    /* SimPO: no reference, means: -1 and -2, beta 2, gamma .5: h = 2 - .5 */
    o = (rung_loss_opts){.struct_size = sizeof o,
                         .beta = 2,
                         .margin = .5,
                         .mean_tokens = true,
                         .no_reference = true};
    d.ref = NULL;
    assert_int_equal(rung_loss_eval(&v, dx, NULL, RUNG_LOSS_DPO, &d, &o, NULL), RUNG_OK);
    assert_float_equal(v, log1p(exp(-1.5)), 1e-15);
    /* a tie of rewards is an equal split of q */
    double z[] = {.4, .1}, none[] = {0, 0}, same[] = {7, 7};
    d = (rung_loss_data){
        .n = 2, .x = z, .ref = none, .n_samples = 2, .group = group, .reward = same};
    assert_float_equal(at_defaults(RUNG_LOSS_INFO_NCA, dx, &d), log(exp(.004) + exp(.001)) - .0025,
                       1e-15);
    assert_true(at_defaults(RUNG_LOSS_OMEGA, dx, &d) == 0);
}

static void test_ppo_by_hand(void **state) {
    (void)state;
    /* ratio 1 gives plain REINFORCE: gradient -A/n */
    double x[] = {-1, -2, -3}, old[] = {-1, -2, -3}, a[] = {2, -1, .5}, dx[3], v;
    rung_loss_data d = {.n = 3, .x = x, .old = old, .advantage = a, .n_samples = 3};
    v = at_defaults(RUNG_LOSS_PPO, dx, &d);
    assert_float_equal(v, -.5, 1e-15);
    for (int i = 0; i < 3; i++) assert_float_equal(dx[i], -a[i] / 3, 1e-15);
    /* rho 1.5, .5, 4: cut from above, cut from below, dual clip 3 */
    x[0] = -1 + log(1.5), x[1] = -2 + log(.5), x[2] = -3 + log(4), a[2] = -1;
    rung_loss_opts o = RUNG_LOSS_OPTS_INIT;
    rung_loss_figures f;
    o.clip_high = .28;
    o.clip_dual = 3;
    assert_int_equal(rung_loss_eval(&v, dx, &f, RUNG_LOSS_PPO, &d, &o, NULL), RUNG_OK);
    assert_float_equal(v, (-2 * 1.28 + .8 + 3) / 3, 1e-14);
    assert_true(dx[0] == 0 && dx[1] == 0 && dx[2] == 0);
    assert_float_equal(f.clip_high, 1. / 3, 1e-15);
    assert_float_equal(f.clip_low, 1. / 3, 1e-15);
    assert_float_equal(f.clip_dual, 1. / 3, 1e-15);
    o.clip_dual = 0;
    assert_int_equal(rung_loss_eval(&v, dx, NULL, RUNG_LOSS_PPO, &d, &o, NULL), RUNG_OK);
    assert_float_equal(dx[2], 4. / 3, 1e-14);
    /* the bounded weight of the sampler: min(e^1, 2) and e^-1 */
    double sampler[] = {-2, -1, -3};
    d.sampler = sampler;
    assert_int_equal(rung_loss_eval(&v, dx, NULL, RUNG_LOSS_PPO, &d, &o, NULL), RUNG_OK);
    assert_float_equal(v, (-2 * 1.28 * 2 + .8 * exp(-1) + 4) / 3, 1e-14);
}

/* Lengths 1 and 3, losses -l = 1 | 2 3 4, by each aggregation. */
static void test_aggregations(void **state) {
    (void)state;
    double x[] = {-1, -2, -3, -4}, v;
    int32_t sample[] = {0, 1, 1, 1};
    rung_loss_data d = {.n = 4, .x = x, .sample = sample, .n_samples = 2};
    static const struct {
        const char *names[3];
        double want;
    } rows[] = {{{"token_mean", "token-mean", "dapo"}, 2.5},
                {{"seq_mean_token_mean", "seq-mean-token-mean", "grpo"}, 2},
                {{"seq_mean_token_sum", "seq-mean-token-sum", "seq_mean_token_sum"}, 5},
                {{"seq_sum_const", "seq-mean-token-sum-norm", "dr_grpo"}, 5. / 8}};
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 3; k++) {
            rung_loss_opts o = {.struct_size = sizeof o, .length_max = 8};
            assert_true(rung_loss_aggregation_find(&o.aggregation, rows[i].names[k]));
            assert_string_equal(rung_loss_aggregation_name(o.aggregation), rows[i].names[0]);
            assert_int_equal(rung_loss_eval(&v, NULL, NULL, RUNG_LOSS_CE, &d, &o, NULL), RUNG_OK);
            assert_float_equal(v, rows[i].want, 1e-15);
        }
    }
    rung_loss_aggregation a;
    assert_false(rung_loss_aggregation_find(&a, ""));
    assert_false(rung_loss_aggregation_find(&a, "mean"));
}

/* learning.md 4.2 K and 4.7, by enumeration instead of draws: over a ~ softmax(z), the mean
 * gradient of k1 is 0, of k2 that of KL(policy, reference), of k3 that of KL(reference, policy). */
static void test_kl_forms(void **state) {
    (void)state;
    enum { V = 10 };
    double z[V], zr[V], p[V], r[V], s = 0, sr = 0, want[3][V], kl = 0, mean[3] = {0};
    rung_rng g = rung_rng_at(3, RUNG_STREAM_TEST, 3, 3);
    for (int v = 0; v < V; v++) {
        z[v] = rung_rng_normal(&g);
        zr[v] = rung_rng_normal(&g);
        s += exp(z[v]);
        sr += exp(zr[v]);
    }
    for (int v = 0; v < V; v++) {
        p[v] = exp(z[v]) / s;
        r[v] = exp(zr[v]) / sr;
        kl += p[v] * log(p[v] / r[v]);
    }
    for (int v = 0; v < V; v++) {
        want[0][v] = 0;
        want[1][v] = p[v] * (log(p[v] / r[v]) - kl);
        want[2][v] = p[v] - r[v];
    }
    for (int k = 0; k < 3; k++) {
        double got[V] = {0};
        for (int a = 0; a < V; a++) {
            double x = log(p[a]), ref = log(r[a]), dx, value;
            rung_loss_data d = {.n = 1, .x = &x, .ref = &ref, .n_samples = 1};
            value = at_defaults(RUNG_LOSS_KL_K1 + k, &dx, &d);
            mean[k] += p[a] * value;
            for (int v = 0; v < V; v++) got[v] += p[a] * dx * ((v == a) - p[v]);
        }
        for (int v = 0; v < V; v++) assert_float_equal(got[v], want[k][v], 1e-14);
    }
    assert_float_equal(mean[0], kl, 1e-14);
    assert_float_equal(mean[2], kl, 1e-14);
}

/* What losses are given --------------------------------------------------------------------------
 */

static void test_pairs_and_weights(void **state) {
    (void)state;
    double label[] = {1, 0, 0, 1, 1, 0, 1}, w[7];
    int32_t group[] = {5, 5, 5, 2, 2, 2, 9}, *pair;
    int64_t n;
    assert_int_equal(rung_loss_pairs(&pair, &n, label, group, 7, NULL), RUNG_OK);
    static const int32_t want[] = {3, 5, 4, 5, 0, 1, 0, 2}; /* group 9 has no wrong sample */
    assert_int_equal(n, 4);
    assert_memory_equal(pair, want, sizeof want);
    rung_free(pair);
    rung_loss_weights(w, RUNG_BALANCE_DATASET, label, group, 7, NULL); /* 4 right, 3 wrong */
    for (int i = 0; i < 7; i++) assert_float_equal(w[i], label[i] > .5 ? .75 : 1, 1e-15);
    rung_loss_weights(w, RUNG_BALANCE_INSTRUCTION, label, group, 7, NULL);
    static const double by_group[] = {1, .5, .5, .5, .5, 1, 0};
    for (int i = 0; i < 7; i++) assert_float_equal(w[i], by_group[i], 1e-15);
    rung_loss_weights(w, RUNG_BALANCE_NONE, label, group, 7, NULL);
    for (int i = 0; i < 7; i++) assert_true(w[i] == 1);
    double x[] = {-1, -1, -5, -1}, ref[] = {-2, -2, -3, NAN}, mask[] = {1, 1, 1, 0}, zero;
    int32_t sample[] = {0, 0, 1, 1};
    rung_loss_data d = {.n = 4, .x = x, .ref = ref, .mask = mask, .sample = sample, .n_samples = 2};
    assert_int_equal(rung_loss_kto_zero(&zero, &d, NULL), RUNG_OK);
    assert_true(zero == 0); /* (2 - 2) / 2 */
    x[2] = -3;
    assert_int_equal(rung_loss_kto_zero(&zero, &d, NULL), RUNG_OK);
    assert_float_equal(zero, 1, 1e-15);
    x[2] = -30;
    assert_int_equal(rung_loss_kto_zero(&zero, &d, NULL), RUNG_OK);
    assert_true(zero == 0); /* never below */
}

/* Everything a row needs is asked for; bad numbers are refused where they count. */
static void test_refuses(void **state) {
    (void)state;
    static scene c;
    static double dx[MAX_ITEMS * MAX_CLASS];
    double v;
    for (int id = 0; id < RUNG_LOSS_COUNT; id++) {
        rung_error err = RUNG_ERROR_INIT;
        for (int part = 0; part < 9; part++) {
            fill(&c, id, 6, 4, 5);
            unsigned needs = rung_loss_needs(id);
            const void **field[] = {(const void **)&c.d.target, (const void **)&c.d.ref,
                                    (const void **)&c.d.old,    (const void **)&c.d.advantage,
                                    (const void **)&c.d.label,  (const void **)&c.d.group,
                                    (const void **)&c.d.reward, (const void **)&c.d.pair};
            if (part < 8) *field[part] = NULL;
            if (part == 8) c.x[0] = NAN;
            bool bad = part == 8 || (needs & (1u << part));
            assert_int_equal(rung_loss_eval(&v, dx, NULL, id, &c.d, &c.o, &err),
                             bad ? RUNG_E_INVAL : RUNG_OK);
            if (bad) assert_non_null(strstr(err.what, rung_loss_name(id)));
        }
        fill(&c, id, 6, 4, 5);
        c.weight[1] = -1;
        assert_int_equal(rung_loss_eval(&v, dx, NULL, id, &c.d, &c.o, NULL), RUNG_E_INVAL);
        rung_loss_id found;
        assert_true(rung_loss_find(&found, rung_loss_name(id)) && (int)found == id);
    }
    rung_loss_id none;
    assert_false(rung_loss_find(&none, "dpo2"));
    fill(&c, RUNG_LOSS_BCE, 3, 2, 5);
    c.target[0] = 1.5;
    assert_int_equal(rung_loss_eval(&v, dx, NULL, RUNG_LOSS_BCE, &c.d, &c.o, NULL), RUNG_E_INVAL);
    fill(&c, RUNG_LOSS_DPO, 3, 2, 5);
    c.pair[1] = 3;
    c.d.n_pairs = 1;
    assert_int_equal(rung_loss_eval(&v, dx, NULL, RUNG_LOSS_DPO, &c.d, &c.o, NULL), RUNG_E_INVAL);
    c.o.struct_size = 8;
    assert_int_equal(rung_loss_eval(&v, dx, NULL, RUNG_LOSS_CE, &c.d, &c.o, NULL), RUNG_E_INVAL);
    fill(&c, RUNG_LOSS_CE, 3, 2, 5);
    c.o.aggregation = RUNG_LOSS_SEQ_SUM_CONST;
    c.o.length_max = 0;
    assert_int_equal(rung_loss_eval(&v, dx, NULL, RUNG_LOSS_CE, &c.d, &c.o, NULL), RUNG_E_INVAL);
    fill(&c, RUNG_LOSS_KTO, 3, 2, 5);
    c.o.no_reference = true;
    assert_int_equal(rung_loss_eval(&v, dx, NULL, RUNG_LOSS_KTO, &c.d, &c.o, NULL), RUNG_E_INVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),           cmocka_unit_test(test_gradients_of_options),
        cmocka_unit_test(test_policy_options),      cmocka_unit_test(test_select),
        cmocka_unit_test(test_policy_names),        cmocka_unit_test(test_accumulation),
        cmocka_unit_test(test_permutation),         cmocka_unit_test(test_padding),
        cmocka_unit_test(test_nothing_there),       cmocka_unit_test(test_extreme),
        cmocka_unit_test(test_scores_by_hand),      cmocka_unit_test(test_value_clip),
        cmocka_unit_test(test_preferences_by_hand), cmocka_unit_test(test_ppo_by_hand),
        cmocka_unit_test(test_aggregations),        cmocka_unit_test(test_kl_forms),
        cmocka_unit_test(test_pairs_and_weights),   cmocka_unit_test(test_refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
