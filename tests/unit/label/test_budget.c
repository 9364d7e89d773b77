/* The budgeter: rollouts made once and used by all, exact stopping against a fixed K to the label,
 * budgets, allocation, kill -9 in the stopping mode. */
#include "../trace/fixture_coin.h"
#include "rung/label.h"
#include <math.h>
#include <sqlite3.h>

#include <cmocka.h>

enum { N_PROBLEMS = 6, N_SAMPLES = 5, K = 8 };
static char model_path[400], pool_path[400];

static rung_mc_opts opts_of(void) {
    rung_mc_opts o = RUNG_MC_OPTS_INIT;
    o.k = K;
    o.max_tok = 24;
    o.seed = 21;
    return o;
}

static int64_t label(rung_store *s, const char *name, rung_mc_opts o) {
    coin_policy p = coin_open(model_path);
    int64_t run = coin_run(s, name, "{}");
    OK(rung_label_mc(s, p.e, run, &o, NULL, err));
    coin_close(p);
    return run;
}

static int64_t tokens_of(rung_store *s, const char *name) {
    rung_arena *a = rung_arena_new(0);
    rung_run r;
    OK(rung_run_find(&r, a, s, name, err));
    rung_arena_free(a);
    return r.tokens;
}

static rung_store *fresh(const char *name) {
    char path[400];
    rung_store *s;
    coin_copy(path, name, pool_path);
    OK(rung_store_open(&s, path, 0, err));
    return s;
}

/* Rollouts that do not say who judged them, in what time and when. */
static int64_t unknown_judges(rung_store *s) {
    sqlite3_stmt *st;
    assert_int_equal(
        sqlite3_prepare_v2(rung_store_sqlite(s),
                           "SELECT count(*) FROM rollout WHERE verifier NOT LIKE '_%-_%'"
                           " OR us < 1 OR at_ms < 1700000000000 OR verifier IS NULL"
                           " OR decided_by IS NULL OR us IS NULL OR at_ms IS NULL",
                           -1, &st, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

typedef struct sums {
    int n_labels, n_differ, n_wrong;
    int64_t n, n_tok_node_max;
} sums;

/* Labels of two runs at every step: the hard ones must agree where both are. */
static sums compare(rung_store *s, int64_t a, int64_t b) {
    sums z = {0};
    rung_iter *it;
    const rung_trace *t;
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK)
        for (int32_t k = 0; k < t->n_steps; k++) {
            rung_label x, y;
            bool fx, fy;
            OK(rung_label_get(&x, &fx, s, a, t->step[k].node, "mc", err));
            OK(rung_label_get(&y, &fy, s, b, t->step[k].node, "mc", err));
            if (!fx || !fy) continue;
            z.n_labels++;
            z.n_differ += x.hard != y.hard;
            z.n += y.n + y.n_unknown;
        }
    rung_iter_free(it);
    return z;
}

/* Every hard label is that of all K, for fewer rollouts; then another labeler with the same draws
 * finds them and makes only what is missing. */
static void exact_and_shared(void **state) {
    (void)state;
    rung_store *s = fresh("exact.db");
    int64_t shared = coin_run(s, "rollouts", "{}");
    rung_mc_opts o = opts_of();
    o.rollouts = shared;
    o.stopping = RUNG_STOPPING_EXACT;
    int64_t exact = label(s, "exact", o);
    int64_t spent = tokens_of(s, "exact");
    o.stopping = RUNG_STOPPING_FIXED;
    int64_t fixed = label(s, "fixed", o);
    int64_t rest = tokens_of(s, "fixed");
    rung_store *alone = fresh("alone.db");
    o.rollouts = 0;
    label(alone, "fixed", o);
    int64_t whole = tokens_of(alone, "fixed");
    rung_store_close(alone);
    sums z = compare(s, fixed, exact);
    assert_true(z.n_labels > 40);
    assert_int_equal(z.n_differ, 0);
    assert_int_equal(spent + rest, whole); /* no rollout was paid for twice */
    assert_true(spent * 10 < whole * 7);
    o.rollouts = shared;
    int64_t again = label(s, "again", o);
    assert_int_equal(tokens_of(s, "again"), 0);
    assert_int_equal(unknown_judges(s), 0);
    assert_int_equal(compare(s, fixed, again).n_differ, 0);
    printf("exact stopping: %lld of %lld tokens\n", (long long)spent, (long long)whole);
    rung_store_close(s);
}

/* What a label says does not depend on what others left in the store. */
static void found_is_as_made(void **state) {
    (void)state;
    rung_store *a = fresh("made.db"), *b = fresh("found.db");
    rung_mc_opts o = opts_of();
    o.rollouts = coin_run(b, "rollouts", "{}");
    label(b, "fixed", o);
    o.stopping = RUNG_STOPPING_CONFIDENCE;
    o.theta = .4;
    o.level = .8;
    int64_t rb = label(b, "bound", o);
    o.rollouts = 0;
    int64_t ra = label(a, "bound", o);
    rung_iter *it;
    const rung_trace *t;
    int n = 0;
    OK(rung_trace_iter(&it, a, &(rung_filter){0}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK)
        for (int32_t k = 0; k < t->n_steps; k++) {
            rung_label x, y;
            bool fx, fy;
            OK(rung_label_get(&x, &fx, a, ra, t->step[k].node, "mc", err));
            OK(rung_label_get(&y, &fy, b, rb, t->step[k].node, "mc", err));
            assert_true(fx && fy && x.hard == y.hard && x.c == y.c && x.n == y.n);
            assert_int_equal(x.n_unknown, y.n_unknown);
            n++;
        }
    rung_iter_free(it);
    assert_true(n > 40);
    rung_store_close(a);
    rung_store_close(b);
}

/* A run's budget: it stops near it, what is labelled is labelled as without one, and a run with
 * more goes on from there. */
static void run_budget(void **state) {
    (void)state;
    rung_store *s = fresh("budget.db");
    rung_mc_opts o = opts_of();
    o.rollouts = coin_run(s, "rollouts", "{}");
    o.budget_tok = 400;
    int64_t some = label(s, "some", o);
    int64_t spent = tokens_of(s, "some");
    o.budget_tok = 0;
    int64_t all = label(s, "all", o);
    int64_t rest = tokens_of(s, "all");
    assert_true(spent >= 400 && spent < 400 + 512 * 24 && spent < rest);
    sums z = compare(s, all, some), whole = compare(s, all, all);
    assert_true(z.n_labels > 0 && z.n_labels < whole.n_labels);
    assert_int_equal(z.n_differ, 0);
    o.budget_tok = 400; /* the same again finds its rollouts and is not charged for more */
    label(s, "same", o);
    assert_int_equal(tokens_of(s, "same"), 0);
    rung_store_close(s);
}

/* A problem's budget is a function of the draws alone: two runs, one of them in two parts. */
static void problem_budget(void **state) {
    (void)state;
    rung_store *s = fresh("problem.db"), *u = fresh("problem2.db");
    rung_mc_opts o = opts_of();
    o.problem_tok = 120;
    int64_t a = label(s, "a", o);
    o.rollouts = coin_run(u, "rollouts", "{}");
    o.problem_tok = 60;
    label(u, "little", o);
    o.problem_tok = 120;
    int64_t b = label(u, "b", o);
    rung_iter *it;
    const rung_trace *t;
    int n_found = 0, n_not = 0;
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK)
        for (int32_t k = 0; k < t->n_steps; k++) {
            rung_label x, y;
            bool fx, fy;
            OK(rung_label_get(&x, &fx, s, a, t->step[k].node, "mc", err));
            OK(rung_label_get(&y, &fy, u, b, t->step[k].node, "mc", err));
            assert_int_equal(fx, fy);
            if (fx) assert_true(x.c == y.c && x.n == y.n);
            n_found += fx;
            n_not += !fx;
        }
    rung_iter_free(it);
    assert_true(n_found > 10 && n_not > 0);
    assert_true(tokens_of(s, "a") < N_PROBLEMS * (120 + K * 24));
    rung_store_close(s);
    rung_store_close(u);
}

/* Under one budget, going where the doubt is settles more labels than going in order. */
static void allocation(void **state) {
    (void)state;
    int n[2] = {0};
    for (int on = 0; on < 2; on++) {
        rung_store *s = fresh(on ? "value.db" : "order.db");
        rung_mc_opts o = opts_of();
        o.stopping = RUNG_STOPPING_EXACT;
        o.budget_tok = 250;
        o.allocate = on;
        int64_t run = label(s, "run", o);
        n[on] = compare(s, run, run).n_labels;
        rung_store_close(s);
    }
    printf("labels under 250 tokens: in order %d, by doubt %d\n", n[0], n[1]);
    assert_true(n[0] > 0 && n[1] > n[0]);
}

/* Eager: rollouts under way are cancelled when the label is settled; the hard labels are the same,
 * nothing is lost, and what was cancelled is paid for. */
static void eager(void **state) {
    (void)state;
    rung_store *s = fresh("eager.db");
    rung_mc_opts o = opts_of();
    int64_t fixed = label(s, "fixed", o);
    o.stopping = RUNG_STOPPING_EXACT;
    o.eager = true;
    int64_t e = label(s, "eager", o);
    sums z = compare(s, fixed, e);
    assert_int_equal(z.n_differ, 0);
    assert_int_equal(z.n_labels, compare(s, fixed, fixed).n_labels);
    assert_true(tokens_of(s, "eager") < tokens_of(s, "fixed"));
    rung_store_close(s);
}

static void bad_options(void **state) {
    (void)state;
    rung_store *s = fresh("bad.db");
    coin_policy p = coin_open(model_path);
    int64_t run = coin_run(s, "run", "{}");
    rung_error e = RUNG_ERROR_INIT;
    for (int i = 0; i < 4; i++) {
        rung_mc_opts o = opts_of();
        if (i == 0) o.k = 0;
        if (i == 1) o.theta = 1;
        if (i == 2) o.level = 1;
        if (i == 3) o.stopping = RUNG_STOPPING_COUNT;
        assert_int_equal(rung_label_mc(s, p.e, run, &o, NULL, &e), RUNG_E_INVAL);
    }
    coin_close(p);
    rung_store_close(s);
}

/* ---- kill -9 */

static char *reference;
static double whole_s;

static void work(char *path) {
    rung_store *s;
    OK(rung_store_open(&s, path, 0, err));
    rung_mc_opts o = opts_of();
    o.stopping = RUNG_STOPPING_EXACT;
    o.stop_at_zero = true;
    o.rollouts = coin_run(s, "rollouts", "{}");
    label(s, "label", o);
    rung_store_close(s);
}

static char *dump(char *path) {
    rung_store *s;
    rung_buf b;
    rung_iter *it;
    const rung_trace *t;
    rung_buf_init(&b, 1u << 24);
    OK(rung_store_open(&s, path, 0, err));
    int64_t run = coin_run(s, "label", "{}"), rolls = coin_run(s, "rollouts", "{}");
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK)
        for (int32_t k = 0; k < t->n_steps; k++) {
            rung_label l;
            bool found;
            rung_rollout_counts c;
            OK(rung_label_get(&l, &found, s, run, t->step[k].node, "mc", err));
            OK(rung_rollout_count(&c, s, rolls, t->step[k].node, err));
            rung_buf_printf(&b, "%lld.%d.%d %d %d %lld", (long long)t->problem, t->i, k, c.n,
                            c.n_correct, (long long)c.n_tok);
            if (found) rung_buf_printf(&b, " %d %g %d %d", l.hard, l.soft, l.n, l.c);
            rung_buf_str(&b, "\n");
        }
    rung_iter_free(it);
    rung_buf_printf(&b, "tokens %lld\n", (long long)tokens_of(s, "label"));
    rung_store_close(s);
    return rung_buf_take(&b, NULL);
}

static void begin(char path[400], const char *name) {
    coin_copy(path, name, pool_path);
}

static void check(char *path) {
    char *all = dump(path);
    assert_string_equal(all, reference);
    rung_free(all);
}

static void killed_and_resumed(void **state) {
    (void)state;
    char path[400];
    begin(path, "unkilled.db");
    double t0 = rung_now();
    work(path);
    whole_s = rung_now() - t0;
    reference = dump(path);
    coin_kill_and_resume(&(coin_kills){.seed = 6,
                                       .n_rounds = 4,
                                       .n_kills = 3,
                                       .least = 3,
                                       .whole_s = whole_s,
                                       .begin = begin,
                                       .work = work,
                                       .check = check});
}

static int setup(void **state) {
    (void)state;
    coin_setup();
    coin_model(coin_path(model_path, "coin.gguf"));
    coin_store(coin_path(pool_path, "pool.db"), N_PROBLEMS);
    coin_policy p = coin_open(model_path);
    rung_store *s;
    OK(rung_store_open(&s, pool_path, 0, err));
    rung_sample_opts o = RUNG_SAMPLE_OPTS_INIT;
    o.n = N_SAMPLES;
    o.max_tok = 24;
    o.seed = 11;
    o.split_how = "line";
    OK(rung_trace_sample(s, p.e, coin_run(s, "trace.sample", "{}"), &o, NULL, err));
    rung_store_close(s);
    coin_close(p);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    rung_free(reference);
    coin_teardown();
    return 0;
}

int main(int argc, char **argv) {
    if (coin_is_work(argc, argv, model_path, work)) return 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_and_shared), cmocka_unit_test(found_is_as_made),
        cmocka_unit_test(run_budget),       cmocka_unit_test(problem_budget),
        cmocka_unit_test(allocation),       cmocka_unit_test(eager),
        cmocka_unit_test(bad_options),      cmocka_unit_test(killed_and_resumed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
