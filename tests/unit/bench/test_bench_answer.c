/* Accuracy at equal budget: hand-computed pools, closed forms against every subset, the record. */
#include "base/json.h"
#include "bench/answer.h"
#include "unit/bench/bench_fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NEAR(a, b, tol) assert_true(fabs((a) - (b)) <= (tol))

/* Two problems of four traces. Problem A: right (prm .9), wrong 7 (.2), wrong 7 (.3), right (.1).
 * Problem B: wrong 8 (.5), no answer (.95), right (.6), unknown 9 (.4). */
static void two_problems(fixture *f) {
    static const struct {
        int problem;
        const char *key;
        rung_verdict verdict;
        double prm;
    } row[] = {
        {0, "40", RUNG_VERDICT_CORRECT, .9}, {0, "7", RUNG_VERDICT_WRONG, .2},
        {0, "7", RUNG_VERDICT_WRONG, .3},    {0, "40", RUNG_VERDICT_CORRECT, .1},
        {1, "8", RUNG_VERDICT_WRONG, .5},    {1, "", RUNG_VERDICT_UNKNOWN, .95},
        {1, "41", RUNG_VERDICT_CORRECT, .6}, {1, "9", RUNG_VERDICT_UNKNOWN, .4},
    };
    fix_open(f, ":memory:");
    int64_t problem[2] = {fix_problem(f->store, "sums", 0, "a?"),
                          fix_problem(f->store, "sums", 1, "b?")};
    for (int i = 0; i < 8; i++) {
        char text[2][32];
        snprintf(text[0], sizeof text[0], "one %d\n", i);
        snprintf(text[1], sizeof text[1], "two %d\n", i);
        const char *const step[2] = {text[0], text[1]};
        fix_trace t = {.run = f->pool,
                       .problem = problem[row[i].problem],
                       .i = i % 4,
                       .n_steps = 2,
                       .first_error = -2,
                       .answer = row[i].key,
                       .key = row[i].key,
                       .verdict = row[i].verdict,
                       .prm = {.99, row[i].prm}, /* the least is the second */
                       .orm = NAN,
                       .confidence = {NAN, NAN}};
        int64_t node[FIX_STEPS];
        fix_put(f, &t, step, node);
    }
}

static rung_answer_opts options(const fixture *f) {
    rung_answer_opts o = RUNG_ANSWER_OPTS_INIT;
    o.traces = (rung_filter){.set = "sums", .split = "test", .run = f->pool};
    o.prm_model = f->prm;
    o.n_boot = 500;
    return o;
}

static yyjson_doc *measured(const fixture *f, const rung_answer_opts *o) {
    rung_buf b;
    rung_buf_init(&b, 1 << 22);
    FIX(rung_bench_answer(&b, f->store, o, NULL, err));
    yyjson_doc *doc = yyjson_read(b.data, b.n, 0);
    assert_non_null(doc);
    rung_buf_clear(&b);
    return doc;
}

static yyjson_val *named(yyjson_val *list, const char *name) {
    size_t i, n;
    yyjson_val *m;
    yyjson_arr_foreach(list, i, n, m) if (!strcmp(rung_json_str(m, "name", ""), name)) return m;
    return NULL;
}

static double point(yyjson_doc *doc, const char *method, size_t i_k, const char *member) {
    yyjson_val *m = named(yyjson_obj_get(yyjson_doc_get_root(doc), "methods"), method);
    yyjson_val *p = yyjson_arr_get(yyjson_obj_get(m, "points"), i_k);
    assert_non_null(p);
    return rung_json_f64(p, member, NAN);
}

static void by_hand(void **ud) {
    (void)ud;
    fixture f;
    two_problems(&f);
    rung_answer_opts o = options(&f);
    yyjson_doc *d = measured(&f, &o);
    /* one of four: A 2/4, B 1/4; B: a quarter has no answer, a quarter is unknown */
    NEAR(point(d, "single", 0, "acc"), (.5 + .25) / 2, 1e-8);
    NEAR(point(d, "single", 0, "no_answer"), .125, 1e-8);
    NEAR(point(d, "single", 0, "unknown"), .125, 1e-8);
    /* pass@2: A 1 - C(2,2)/C(4,2) = 5/6, B 1 - C(3,2)/C(4,2) = 1/2; at 4 both 1 */
    NEAR(point(d, "oracle", 1, "acc"), (5. / 6 + .5) / 2, 1e-8);
    NEAR(point(d, "oracle", 2, "acc"), 1.0, 1e-8);
    /* best of 4 by the least step score: A the first (right), B the one without an answer */
    NEAR(point(d, "bon_prm", 2, "acc"), .5, 1e-8);
    NEAR(point(d, "bon_prm", 2, "no_answer"), .5, 1e-8);
    /* best of 2, pairs of A by score .9 .3 .2 .1: right wins in 3 with .9, wrong in the other 3;
     * B by .95 .6 .5 .4: .95 in 3 (no answer), .6 in 2 (right), .5 in 1 (wrong) */
    NEAR(point(d, "bon_prm", 1, "acc"), (3. / 6 + 2. / 6) / 2, 1e-8);
    NEAR(point(d, "bon_prm", 1, "no_answer"), (0 + 3. / 6) / 2, 1e-8);
    /* majority of 4: A is a tie, 40 came first: right; B is a tie of 8, 41, 9: 8 came first: wrong
     */
    NEAR(point(d, "majority", 2, "acc"), .5, 1e-8);
    /* majority of 2, A: {0,1} {0,2} {0,3} right, {1,2} wrong, {1,3} {2,3} tie, 7 first: wrong
     * B: no answer never votes: {8,-} 8, {8,41} 8, {8,9} 8, {-,41} right, {-,9} unknown, {41,9}
     * right */
    NEAR(point(d, "majority", 1, "acc"), (3. / 6 + 2. / 6) / 2, 1e-8);
    NEAR(point(d, "majority", 1, "unknown"), (0 + 1. / 6) / 2, 1e-8);
    /* weighted votes of 4, A: 40 has 1.0, 7 has .5; B: 41 has .6, 8 .5, 9 .4 */
    NEAR(point(d, "vote_prm", 2, "acc"), 1.0, 1e-8);
    /* at k = 4: vote_prm beats majority on B only, one sample on both halves of the expectation */
    yyjson_val *m = named(yyjson_obj_get(yyjson_doc_get_root(d), "methods"), "vote_prm");
    yyjson_val *vs = yyjson_obj_get(yyjson_obj_get(m, "vs"), "majority");
    NEAR(rung_json_f64(vs, "diff", NAN), .5, 1e-8);
    yyjson_val *mc = yyjson_obj_get(vs, "mcnemar");
    assert_int_equal(rung_json_i64(mc, "wins", -1), 1);
    assert_int_equal(rung_json_i64(mc, "losses", -1), 0);
    NEAR(rung_json_f64(mc, "p_exact", NAN), 1.0, 1e-8);
    assert_string_equal(rung_json_str(vs, "test", ""), "mcnemar_exact");
    vs = yyjson_obj_get(yyjson_obj_get(m, "vs"), "single");
    NEAR(rung_json_f64(vs, "diff", NAN), 1 - .375, 1e-8);
    assert_string_equal(rung_json_str(vs, "test", ""), "sign_flip");
    yyjson_doc_free(d);
    rung_store_close(f.store);
}

static void the_record(void **ud) {
    (void)ud;
    fixture f;
    two_problems(&f);
    rung_answer_opts o = options(&f);
    yyjson_doc *d = measured(&f, &o);
    yyjson_val *r = yyjson_doc_get_root(d), *v = yyjson_obj_get(r, "verdicts");
    assert_int_equal(rung_json_i64(r, "v", 0), 1);
    assert_string_equal(rung_json_str(r, "metric", ""), "answer");
    assert_int_equal(rung_json_i64(r, "n_problems", 0), 2);
    assert_int_equal(rung_json_i64(r, "n_samples", 0), 4);
    assert_int_equal(rung_json_i64(v, "correct", 0), 3);
    assert_int_equal(rung_json_i64(v, "wrong", 0), 3);
    assert_int_equal(rung_json_i64(v, "unknown", 0), 1);
    assert_int_equal(rung_json_i64(v, "no_answer", 0), 1);
    yyjson_val *sets = yyjson_obj_get(r, "sets"), *s = yyjson_arr_get(sets, 0);
    assert_int_equal(yyjson_arr_size(sets), 1);
    assert_string_equal(rung_json_str(s, "set", ""), "sums");
    assert_int_equal(rung_json_i64(s, "n", 0), 2);
    NEAR(rung_json_f64(yyjson_obj_get(yyjson_obj_get(s, "methods"), "single"), "acc", NAN), .375,
         1e-8);
    /* what cannot be measured is named with its reason */
    yyjson_val *skipped = yyjson_obj_get(r, "skipped");
    assert_string_equal(rung_json_str(named(skipped, "bon_orm"), "reason", ""),
                        "no outcome reward model given");
    assert_string_equal(rung_json_str(named(skipped, "bon_confidence"), "reason", ""),
                        "the traces have no logprobs");
    assert_null(named(yyjson_obj_get(r, "methods"), "bon_orm"));
    yyjson_doc_free(d);
    rung_store_close(f.store);
}

/* Two sets in one run: each has its own row, and the whole is their mean. */
static void set_by_set(void **ud) {
    (void)ud;
    fixture f;
    two_problems(&f);
    int64_t problem = fix_problem(f.store, "words", 0, "w?");
    for (int i = 0; i < 4; i++) {
        char text[32];
        snprintf(text, sizeof text, "w %d\n", i);
        const char *const step[1] = {text};
        fix_trace t = {.run = f.pool,
                       .problem = problem,
                       .i = i,
                       .n_steps = 1,
                       .first_error = -2,
                       .answer = "40",
                       .key = "40",
                       .verdict = RUNG_VERDICT_CORRECT,
                       .prm = {.5},
                       .orm = NAN,
                       .confidence = {NAN}};
        int64_t node[FIX_STEPS];
        fix_put(&f, &t, step, node);
    }
    rung_answer_opts o = options(&f);
    o.traces.set = NULL;
    yyjson_doc *d = measured(&f, &o);
    yyjson_val *sets = yyjson_obj_get(yyjson_doc_get_root(d), "sets");
    const double want[2] = {.375, 1.0};
    assert_int_equal(yyjson_arr_size(sets), 2);
    for (size_t i = 0; i < 2; i++) {
        yyjson_val *m = yyjson_obj_get(yyjson_arr_get(sets, i), "methods");
        NEAR(rung_json_f64(yyjson_obj_get(m, "single"), "acc", NAN), want[i], 1e-8);
    }
    assert_string_equal(rung_json_str(yyjson_arr_get(sets, 1), "set", ""), "words");
    NEAR(point(d, "single", 0, "acc"), (2 * .375 + 1) / 3, 1e-8);
    yyjson_doc_free(d);
    rung_store_close(f.store);
}

static void refusals(void **ud) {
    (void)ud;
    fixture f;
    two_problems(&f);
    rung_error fault = RUNG_ERROR_INIT;
    rung_buf b;
    rung_buf_init(&b, 1 << 20);
    rung_answer_opts o = options(&f);
    o.baseline = "majorty";
    assert_int_equal(rung_bench_answer(&b, f.store, &o, NULL, &fault), RUNG_E_INVAL);
    assert_non_null(strstr(fault.what, "majorty"));
    o = options(&f);
    o.baseline = "bon_orm"; /* exists, cannot be measured here */
    assert_int_equal(rung_bench_answer(&b, f.store, &o, NULL, &fault), RUNG_E_INVAL);
    o = options(&f);
    o.traces.set = "none";
    assert_int_equal(rung_bench_answer(&b, f.store, &o, NULL, &fault), RUNG_E_NOT_FOUND);
    assert_true(fault.hint[0]);
    o.struct_size = 4;
    assert_int_equal(rung_bench_answer(&b, f.store, &o, NULL, &fault), RUNG_E_INVAL);
    assert_int_equal(b.n, 0);
    rung_buf_clear(&b);
    rung_store_close(f.store);
}

static int n_warned;
static int on_event(void *ud, rung_level level, const char *name, const rung_field *fields) {
    (void)ud, (void)fields;
    n_warned += level == RUNG_WARN && !strcmp(name, "bench.short");
    return 0;
}

static void short_pools(void **ud) {
    (void)ud;
    fixture f;
    two_problems(&f);
    int64_t problem = fix_problem(f.store, "sums", 2, "c?");
    const char *const step[1] = {"only\n"};
    fix_trace t = {.run = f.pool,
                   .problem = problem,
                   .n_steps = 1,
                   .first_error = -2,
                   .answer = "42",
                   .key = "42",
                   .verdict = RUNG_VERDICT_CORRECT,
                   .prm = {.5},
                   .orm = NAN,
                   .confidence = {NAN}};
    int64_t node[FIX_STEPS];
    fix_put(&f, &t, step, node);
    rung_answer_opts o = options(&f);
    rung_log log = {on_event, NULL};
    rung_buf b;
    rung_buf_init(&b, 1 << 22);
    n_warned = 0;
    FIX(rung_bench_answer(&b, f.store, &o, &log, err));
    assert_non_null(strstr(b.data, "\"n_problems\":2,\"n_problems_short\":1,"));
    assert_int_equal(n_warned, 1);
    rung_buf_clear(&b);
    rung_store_close(f.store);
}

/* A random pool of n: ties, missing scores, missing answers, all outcomes. */
static rung_trace_pool_problem random_pool(rung_candidate *c, uint8_t *outcome, int n, uint64_t i,
                                           bool ties) {
    static const char *const key[] = {"a", "b", "c"};
    rung_rng r = rung_rng_at(21, RUNG_STREAM_TEST, i, 0);
    for (int j = 0; j < n; j++) {
        outcome[j] = (uint8_t)rung_rng_below(&r, RUNG_OUTCOME_COUNT);
        double prm = ties ? (double)rung_rng_below(&r, 3) / 4 : rung_rng_f64(&r);
        if (rung_rng_below(&r, 5) == 0) prm = NAN;
        c[j] = (rung_candidate){
            .key = outcome[j] == RUNG_OUTCOME_NO_ANSWER ? "" : key[rung_rng_below(&r, 3)],
            .correct = outcome[j] == RUNG_OUTCOME_CORRECT,
            .prm = prm,
            .orm = rung_rng_f64(&r),
            .confidence = rung_rng_f64(&r),
            .tokens = 1};
    }
    return (rung_trace_pool_problem){.id = (int64_t)i, .n = n, .c = c, .outcome = outcome};
}

static rung_cell brute(const rung_method *m, const rung_trace_pool_problem *p, int k) {
    rung_cell sum = {0};
    int n_sets = 0;
    for (unsigned set = 0; set < 1u << p->n; set++) {
        if (__builtin_popcount(set) != k) continue;
        rung_candidate drawn[16];
        int at[16], n = 0;
        for (int i = 0; i < p->n; i++)
            if (set >> i & 1u) at[n] = i, drawn[n++] = p->c[i];
        int chosen = m->choose(drawn, n);
        int o = chosen < 0 ? RUNG_OUTCOME_NO_ANSWER : p->outcome[at[chosen]];
        sum.acc += o == RUNG_OUTCOME_CORRECT;
        sum.no_answer += o == RUNG_OUTCOME_NO_ANSWER;
        sum.unknown += o == RUNG_OUTCOME_UNKNOWN;
        n_sets++;
    }
    return (rung_cell){sum.acc / n_sets, sum.no_answer / n_sets, sum.unknown / n_sets};
}

/* Without ties every method's value equals the mean over all subsets of what it chooses; "single"
 * and "oracle" are judged by accuracy (what they return when wrong is theirs to say). */
static void equals_all_subsets(void **ud) {
    (void)ud;
    const rung_method *method[32];
    int n_methods = 0;
    while (rung_method_at((size_t)n_methods))
        method[n_methods] = rung_method_at((size_t)n_methods), n_methods++;
    assert_true(n_methods >= 8);
    for (uint64_t i = 0; i < 40; i++) {
        rung_candidate c[8];
        uint8_t outcome[8];
        rung_trace_pool_problem p = random_pool(c, outcome, 8, i, false);
        const int32_t k[] = {1, 2, 4, 8};
        rung_cell cell[32 * 4];
        FIX(rung_answer_cells(cell, &p, method, n_methods, k, 4, 200, 3, err));
        for (int m = 0; m < n_methods; m++) {
            if (!strcmp(method[m]->name, "single")) continue; /* fixed to the first, not random */
            for (int j = 0; j < 4; j++) {
                rung_cell want = brute(method[m], &p, k[j]), got = cell[m * 4 + j];
                NEAR(got.acc, want.acc, 1e-12);
                if (!strcmp(method[m]->name, "oracle")) continue;
                NEAR(got.no_answer, want.no_answer, 1e-12);
                NEAR(got.unknown, want.unknown, 1e-12);
            }
        }
    }
}

/* n = 16, k = 8 has 12,870 subsets: 200 drawn ones are repeatable, and near the truth on average.
 */
static void random_subsets(void **ud) {
    (void)ud;
    const rung_method *m[1] = {rung_method_find("majority")};
    const int32_t k[] = {8};
    double gap = 0.0;
    int differ = 0;
    for (uint64_t i = 0; i < 20; i++) {
        rung_candidate c[16];
        uint8_t outcome[16];
        rung_trace_pool_problem p = random_pool(c, outcome, 16, 100 + i, true);
        rung_cell one, again, other;
        FIX(rung_answer_cells(&one, &p, m, 1, k, 1, 200, 3, err));
        FIX(rung_answer_cells(&again, &p, m, 1, k, 1, 200, 3, err));
        FIX(rung_answer_cells(&other, &p, m, 1, k, 1, 200, 4, err));
        assert_true(one.acc == again.acc);
        differ += one.acc != other.acc;
        gap += (one.acc - brute(m[0], &p, 8).acc) / 20;
    }
    assert_true(differ > 5);
    NEAR(gap, 0.0, 4 * 0.5 / sqrt(20.0 * 200.0)); /* 4 standard errors at most */
}

static void whole_pool(void **ud) {
    (void)ud;
    fixture f;
    fix_full(&f, ":memory:", 30);
    rung_answer_opts o = options(&f);
    o.orm_model = f.orm;
    o.greedy_run = &f.greedy;
    yyjson_doc *d = measured(&f, &o), *again = measured(&f, &o);
    assert_true(yyjson_equals(yyjson_doc_get_root(d), yyjson_doc_get_root(again)));
    /* all methods are one sample at k = 1; more samples help the bound; nothing passes it */
    size_t i, n;
    yyjson_val *m, *methods = yyjson_obj_get(yyjson_doc_get_root(d), "methods");
    assert_true(yyjson_arr_size(methods) == 10);
    yyjson_arr_foreach(methods, i, n, m) {
        const char *name = rung_json_str(m, "name", "");
        if (!strcmp(name, "greedy")) continue;
        NEAR(point(d, name, 0, "acc"), point(d, "single", 0, "acc"), 1e-8);
        if (!strcmp(name, "single")) continue;
        NEAR(point(d, name, 4, "tokens"), 16 * point(d, "single", 0, "tokens"), 1e-6);
        for (size_t k = 0; k < 5; k++) {
            assert_true(point(d, name, k, "acc") <= point(d, "oracle", k, "acc") + 1e-9);
            yyjson_val *ci = yyjson_obj_get(yyjson_arr_get(yyjson_obj_get(m, "points"), k), "ci95");
            double lo = yyjson_get_num(yyjson_arr_get(ci, 0));
            double hi = yyjson_get_num(yyjson_arr_get(ci, 1));
            assert_true(lo <= point(d, name, k, "acc") && point(d, name, k, "acc") <= hi);
        }
    }
    /* 34560 tokens in 41.5 s were spent by the run of this pool */
    NEAR(point(d, "single", 0, "wall_s"), point(d, "single", 0, "tokens") * 41.5 / 34560, 1e-6);
    assert_true(point(d, "bon_prm", 4, "acc") > point(d, "single", 0, "acc") + .2);
    yyjson_doc_free(d);
    yyjson_doc_free(again);
    rung_store_close(f.store);
}

/* 16 scores took 320 tokens and 1.6 s in two runs, one of them killed: 40 tokens and .2 s a trace.
 * A model without a run in the ledger: not known. */
static void scoring_cost(void **ud) {
    (void)ud;
    fixture f;
    two_problems(&f);
    rung_answer_opts o = options(&f);
    yyjson_doc *d = measured(&f, &o);
    yyjson_val *p = yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(d), "scoring"), "prm");
    assert_true(yyjson_is_null(yyjson_obj_get(p, "tokens_per_trace")));
    NEAR(point(d, "single", 0, "scored_tokens"), 0, 0);
    yyjson_doc_free(d);
    char json[64];
    for (int i = 0; i < 2; i++) {
        int64_t run =
            fix_run(f.store, i ? "again" : "score", i ? "reward.score.b" : "reward.score");
        snprintf(json, sizeof json, "{\"v\":1,\"model\":%lld}", (long long)f.prm);
        FIX(rung_result_put(f.store, run, "score.model", json, err));
        FIX(rung_run_spend(f.store, run, 160, .8, err));
    }
    d = measured(&f, &o);
    p = yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(d), "scoring"), "prm");
    NEAR(rung_json_f64(p, "tokens_per_trace", -1), 40, 1e-9);
    NEAR(rung_json_f64(p, "s_per_trace", -1), .2, 1e-9);
    NEAR(point(d, "bon_prm", 2, "scored_tokens"), 160, 1e-9);
    NEAR(point(d, "bon_prm", 1, "score_s"), .4, 1e-9);
    NEAR(point(d, "majority", 2, "scored_tokens"), 0, 0);
    rung_buf json_text, text;
    rung_buf_init(&json_text, 1 << 22);
    rung_buf_init(&text, 1 << 20);
    FIX(rung_bench_answer(&json_text, f.store, &o, NULL, err));
    FIX(rung_bench_answer_table(&text, json_text.data, err));
    assert_non_null(strstr(text.data, "; prm: 160 tokens read in 0.80 s"));
    rung_buf_clear(&json_text);
    rung_buf_clear(&text);
    yyjson_doc_free(d);
    rung_store_close(f.store);
}

static void table(void **ud) {
    (void)ud;
    fixture f;
    two_problems(&f);
    rung_answer_opts o = options(&f);
    rung_buf json, text;
    rung_buf_init(&json, 1 << 22);
    rung_buf_init(&text, 1 << 20);
    FIX(rung_bench_answer(&json, f.store, &o, NULL, err));
    FIX(rung_bench_answer_table(&text, json.data, err));
    assert_non_null(strstr(text.data, "sums/test: 2 problems, 4 traces each by tiny <policy>"));
    assert_non_null(strstr(text.data, "\nbon_prm            37.5   41.7   50.0  [0.0, 100.0]"));
    assert_non_null(strstr(text.data, "not measured: bon_orm (no outcome reward model given)"));
    rung_error fault = RUNG_ERROR_INIT;
    assert_int_equal(rung_bench_answer_table(&text, "{\"metric\":\"other\"}", &fault),
                     RUNG_E_FORMAT);
    assert_int_equal(rung_bench_answer_table(&text, "not json", &fault), RUNG_E_FORMAT);
    rung_buf_clear(&json);
    rung_buf_clear(&text);
    rung_store_close(f.store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),        cmocka_unit_test(the_record),
        cmocka_unit_test(set_by_set),     cmocka_unit_test(refusals),
        cmocka_unit_test(short_pools),    cmocka_unit_test(equals_all_subsets),
        cmocka_unit_test(random_subsets), cmocka_unit_test(whole_pool),
        cmocka_unit_test(scoring_cost),   cmocka_unit_test(table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
