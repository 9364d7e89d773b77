/* Advantages against the authors' own functions (tools/golden/credit.py) to 1e-6, for one and three
 * threads. */
#include "unit/train/golden.h"

#include "rung/advantage.h"

static const double TOLERANCE = 1e-6;

typedef struct row {
    rung_advantage_data d;
    rung_step_rewards steps;
    int64_t *first, *step_first;
    int32_t *group, *end;
    uint8_t *mask;
    double *outcome, *baseline, *reward;
    float *token, *value, *old, *ref;
    size_t n_tok;
} row;

static float *floats_of(yyjson_val *data, const char *key) {
    yyjson_val *v = yyjson_obj_get(data, key);
    return v ? golden_floats(v) : NULL;
}
static double *doubles_of(yyjson_val *data, const char *key) {
    size_t n;
    yyjson_val *v = yyjson_obj_get(data, key);
    return v ? golden_numbers(v, &n) : NULL;
}

static void take_steps(row *r, yyjson_val *data) {
    yyjson_val *ends = yyjson_obj_get(data, "end"), *steps = yyjson_obj_get(data, "step");
    if (!ends) return;
    size_t n = yyjson_arr_size(ends), i, max, at = 0, k, most;
    yyjson_val *v, *w;
    r->step_first = calloc(n + 1, sizeof *r->step_first);
    r->end = calloc(r->n_tok + 1, sizeof *r->end);
    r->reward = calloc(r->n_tok + 1, sizeof *r->reward);
    yyjson_arr_foreach(ends, i, max, v) {
        yyjson_val *mine = yyjson_arr_get(steps, i);
        yyjson_arr_foreach(v, k, most, w) {
            r->end[at] = (int32_t)yyjson_get_int(w);
            r->reward[at++] = yyjson_get_num(yyjson_arr_get(mine, k));
        }
        r->step_first[i + 1] = (int64_t)at;
    }
    r->steps = (rung_step_rewards){.first = r->step_first, .end = r->end, .reward = r->reward};
    r->d.source = &r->steps;
    r->d.n_sources = 1;
}

static void take(row *r, yyjson_val *c) {
    yyjson_val *data = golden_get(c, "data");
    size_t n, n_mask;
    double *lengths = golden_numbers(golden_get(data, "lengths"), &n);
    double *mask = golden_numbers(golden_get(data, "mask"), &n_mask);
    memset(r, 0, sizeof *r);
    r->first = calloc(n + 1, sizeof *r->first);
    for (size_t i = 0; i < n; i++) r->first[i + 1] = r->first[i] + (int64_t)lengths[i];
    r->n_tok = (size_t)r->first[n];
    assert_int_equal(r->n_tok, n_mask);
    r->mask = calloc(n_mask + 1, 1);
    for (size_t t = 0; t < n_mask; t++) r->mask[t] = mask[t] != 0;
    r->group = golden_ints(golden_get(data, "group"));
    r->outcome = doubles_of(data, "outcome");
    r->baseline = doubles_of(data, "baseline");
    r->token = floats_of(data, "token");
    r->value = floats_of(data, "value");
    r->old = floats_of(data, "old");
    r->ref = floats_of(data, "ref");
    r->d = (rung_advantage_data){.n = (int32_t)n,
                                 .first = r->first,
                                 .mask = r->mask,
                                 .group = r->group,
                                 .outcome = r->outcome,
                                 .baseline = r->baseline,
                                 .token_reward = r->token,
                                 .value = r->value,
                                 .old = r->old,
                                 .ref = r->ref};
    take_steps(r, data);
    free(lengths);
    free(mask);
}

static void drop(row *r) {
    void *all[] = {r->first,    r->step_first, r->group, r->end,   r->mask, r->outcome,
                   r->baseline, r->reward,     r->token, r->value, r->old,  r->ref};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

static int word(yyjson_val *opts, const char *key, const char *const *words, int n) {
    const char *s = rung_json_str(opts, key, NULL);
    for (int i = 0; s && i < n; i++)
        if (strcmp(words[i], s) == 0) return i;
    if (s) fail_msg("golden file: %s \"%s\"", key, s);
    return 0;
}

static rung_advantage_opts options(yyjson_val *o) {
    static const char *const variants[] = {"paper", "code_verl", "code_token", "code_step"};
    static const char *const credits[] = {"soft", "sum", "strict", "tokens"};
    rung_advantage_opts a = RUNG_ADVANTAGE_OPTS_INIT;
    const char *kl = rung_json_str(o, "kl", NULL);
    a.gamma = rung_json_f64(o, "gamma", 0);
    a.lambda = rung_json_f64(o, "lambda", 0);
    a.eps = rung_json_f64(o, "eps", 0);
    a.kl_coef = rung_json_f64(o, "kl_coef", 0);
    if (kl) assert_true(rung_kl_find(&a.kl, kl));
    a.outcome_coef = rung_json_f64(o, "outcome_coef", 0);
    a.temperature = rung_json_f64(o, "temperature", 0);
    a.length_max = (int32_t)rung_json_i64(o, "length_max", 0);
    a.min_variant = (rung_min_variant)word(o, "min_variant", variants, 4);
    a.min_credit = (rung_min_credit)word(o, "min_credit", credits, 4);
    a.plain_std = yyjson_is_true(yyjson_obj_get(o, "plain_std"));
    a.prime_code = yyjson_is_true(yyjson_obj_get(o, "prime_code"));
    a.prime_unscaled = yyjson_is_true(yyjson_obj_get(o, "prime_unscaled"));
    a.keep_step_ends = yyjson_is_true(yyjson_obj_get(o, "keep_step_ends"));
    a.fg_code = yyjson_is_true(yyjson_obj_get(o, "fg_code"));
    return a;
}

static void compare(const char *name, const char *source, const char *what, const float *got,
                    const double *want, const uint8_t *mask, size_t n) {
    for (size_t t = 0; t < n; t++) {
        if (!mask[t]) {
            assert_true(got[t] == 0);
        } else if (!(fabs(got[t] - want[t]) <= TOLERANCE * fmax(1, fabs(want[t])))) {
            fail_msg("%s (%s): %s of token %zu is %.9g, theirs %.9g", name, source, what, t,
                     (double)got[t], want[t]);
        }
    }
}

static void check_case(yyjson_val *c) {
    const char *name = yyjson_get_str(golden_get(c, "row"));
    const char *source = yyjson_get_str(golden_get(c, "source"));
    yyjson_val *returns = yyjson_obj_get(c, "returns");
    rung_error err = RUNG_ERROR_INIT;
    rung_advantage_id id;
    row r;
    size_t n, n_ret = 0;
    assert_true(rung_advantage_find(&id, name));
    take(&r, c);
    double *want = golden_numbers(golden_get(c, "advantage"), &n);
    double *want_ret = returns ? golden_numbers(returns, &n_ret) : NULL;
    assert_int_equal(n, r.n_tok);
    float *got = calloc(3 * n + 1, sizeof *got), *again = got + n, *ret = again + n;
    for (int threads = 1; threads <= 3; threads += 2) {
        rung_advantage_opts o = options(golden_get(c, "opts"));
        o.n_threads = threads;
        float *to = threads == 1 ? got : again;
        if (rung_advantage(to, ret, NULL, id, &r.d, &o, &err) != RUNG_OK)
            fail_msg("%s (%s): %s", name, source, err.what);
        compare(name, source, "advantage", to, want, r.mask, n);
        if (returns) compare(name, source, "return", ret, want_ret, r.mask, n);
    }
    assert_memory_equal(got, again, n * sizeof *got);
    free(got);
    free(want);
    free(want_ret);
    drop(&r);
}

static void test_published(void **state) {
    yyjson_doc *doc = golden_load("credit");
    yyjson_val *cases = golden_get(yyjson_doc_get_root(doc), "cases"), *c;
    size_t i, n;
    (void)state;
    assert_true(yyjson_arr_size(cases) > 100);
    yyjson_arr_foreach(cases, i, n, c) check_case(c);
    yyjson_doc_free(doc);
}

static void test_overlong(void **state) {
    yyjson_doc *doc = golden_load("credit");
    yyjson_val *o = golden_get(yyjson_doc_get_root(doc), "overlong"), *c;
    int64_t max = rung_json_i64(o, "length_max", 0), cache = rung_json_i64(o, "cache", 0);
    size_t i, n;
    (void)state;
    yyjson_arr_foreach(golden_get(o, "rows"), i, n, c) {
        int64_t len = yyjson_get_int(yyjson_arr_get(c, 0));
        assert_true(fabs(rung_overlong_penalty(len, max, cache) -
                         yyjson_get_num(yyjson_arr_get(c, 1))) < 1e-12);
    }
    yyjson_doc_free(doc);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_published),
                                       cmocka_unit_test(test_overlong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
