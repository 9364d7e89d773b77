/* Labels: Monte Carlo against a recount of the stored rollouts, the cutting mode, truth, kill -9.
 */
#include "../trace/fixture_coin.h"
#include "rung/label.h"
#include <math.h>

#include <cmocka.h>

enum { N_PROBLEMS = 6, N_SAMPLES = 6, K = 4 };
static char model_path[400], pool_path[400];

static void label_into(const char *path, bool cut, int32_t per_problem, const rung_log *log,
                       rung_status want) {
    coin_policy p = coin_open(model_path);
    rung_store *s;
    OK(rung_store_open(&s, path, 0, err));
    rung_mc_opts o = RUNG_MC_OPTS_INIT;
    o.k = K;
    o.max_tok = 24;
    o.seed = 21;
    o.stop_at_zero = cut;
    o.traces_per_problem = per_problem;
    int64_t run = coin_run(s, "label.mc", cut ? "{\"cut\":1}" : "{}");
    rung_error e = RUNG_ERROR_INIT;
    rung_status st = rung_label_mc(s, p.e, run, &o, log, &e);
    if (st != want) fail_msg("%s: %s", rung_status_name(st), e.what);
    rung_store_close(s);
    coin_close(p);
}

static void copy_pool(char path[400], const char *name) {
    coin_copy(path, name, pool_path);
}

/* Every node of the pool: label and rollouts, without ids of rows. */
static char *dump(const char *path, bool cut, int *n_labels) {
    rung_store *s;
    OK(rung_store_open(&s, path, 0, err));
    int64_t run = coin_run(s, "label.mc", cut ? "{\"cut\":1}" : "{}");
    rung_buf b;
    rung_buf_init(&b, 64u << 20);
    rung_iter *it;
    const rung_trace *t;
    *n_labels = 0;
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK)
        for (int32_t k = 0; k < t->n_steps; k++) {
            rung_label l;
            bool found, have[K];
            rung_rollout_counts c;
            OK(rung_label_get(&l, &found, s, run, t->step[k].node, "mc", err));
            OK(rung_rollout_count(&c, s, run, t->step[k].node, err));
            memset(have, 0, sizeof have);
            OK(rung_rollout_have(have, K, s, run, t->step[k].node, err));
            rung_buf_printf(&b, "%lld %d.%d roll %d %d %d %lld", (long long)t->problem, t->i, k,
                            c.n_correct, c.n_wrong, c.n_unknown, (long long)c.n_tok);
            if (found)
                rung_buf_printf(&b, " label %d %g %d %d %d", l.hard, l.soft, l.n, l.c, l.n_unknown);
            rung_buf_str(&b, "\n");
            *n_labels += found;
        }
    rung_iter_free(it);
    rung_arena *a = rung_arena_new(0);
    rung_run r;
    OK(rung_run_find(&r, a, s, "label.mc", err));
    rung_buf_printf(&b, "tokens %lld\n", (long long)r.tokens);
    rung_arena_free(a);
    rung_store_close(s);
    return rung_buf_take(&b, NULL);
}

static char *reference;
static int n_reference;
static double whole_s;

/* The definition, checked on every node: n = K outcomes, hard = 1[c > 0], soft = c / known; the
 * last step says what the verifier said. */
static void by_definition(void **state) {
    (void)state;
    char path[400];
    copy_pool(path, "whole.db");
    double start = rung_now();
    label_into(path, false, 0, NULL, RUNG_OK);
    whole_s = rung_now() - start;
    reference = dump(path, false, &n_reference);
    rung_store *s;
    OK(rung_store_open(&s, path, 0, err));
    int64_t run = coin_run(s, "label.mc", "{}");
    rung_iter *it;
    const rung_trace *t;
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    int n_soft = 0, n_steps = 0;
    while (rung_trace_next(&t, it, NULL) == RUNG_OK)
        for (int32_t k = 0; k < t->n_steps; k++) {
            rung_label l;
            bool found;
            rung_rollout_counts c;
            OK(rung_label_get(&l, &found, s, run, t->step[k].node, "mc", err));
            OK(rung_rollout_count(&c, s, run, t->step[k].node, err));
            assert_true(found);
            assert_string_equal(l.source, "mc");
            n_steps++;
            if (c.n == 0) { /* a last step */
                if (t->verdict != RUNG_VERDICT_UNKNOWN && k + 1 == t->n_steps) {
                    assert_int_equal(l.hard, t->verdict == RUNG_VERDICT_CORRECT);
                    assert_int_equal(l.n, 1);
                }
                continue;
            }
            assert_int_equal(c.n, K);
            assert_int_equal(l.c, c.n_correct);
            assert_int_equal(l.n, c.n_correct + c.n_wrong);
            assert_int_equal(l.n_unknown, c.n_unknown);
            if (l.n == 0) {
                assert_int_equal(l.hard, -1);
                assert_true(isnan(l.soft));
            } else {
                assert_int_equal(l.hard, c.n_correct > 0);
                assert_true(l.soft == (double)c.n_correct / l.n);
                n_soft += l.soft > 0 && l.soft < 1;
            }
        }
    rung_iter_free(it);
    assert_true(n_soft > 10 && n_steps > 50);
    rung_store_close(s);
}

static void repeat_is_free(void **state) {
    (void)state;
    char path[400];
    label_into(coin_path(path, "whole.db"), false, 0, NULL, RUNG_OK);
    int n;
    char *again = dump(path, false, &n);
    assert_string_equal(again, reference);
    rung_free(again);
}

/* After a prefix with hard = 0 nothing is sampled or labelled; everything else is as in the full
 * mode, to the draw. */
static void cutting_mode(void **state) {
    (void)state;
    char path[400];
    copy_pool(path, "cut.db");
    label_into(path, true, 0, NULL, RUNG_OK);
    rung_store *s, *full;
    char full_path[400];
    OK(rung_store_open(&s, path, 0, err));
    OK(rung_store_open(&full, coin_path(full_path, "whole.db"), 0, err));
    int64_t run = coin_run(s, "label.mc", "{\"cut\":1}"),
            full_run = coin_run(full, "label.mc", "{}");
    rung_iter *it;
    const rung_trace *t;
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    int n_cut = 0;
    while (rung_trace_next(&t, it, NULL) == RUNG_OK) {
        bool reached = true;
        for (int32_t k = 0; k < t->n_steps; k++) {
            rung_label l, f;
            bool found, found_full;
            rung_rollout_counts c;
            OK(rung_label_get(&l, &found, s, run, t->step[k].node, "mc", err));
            OK(rung_label_get(&f, &found_full, full, full_run, t->step[k].node, "mc", err));
            OK(rung_rollout_count(&c, s, run, t->step[k].node, err));
            assert_true(found_full);
            assert_int_equal(found, reached);
            if (!reached) {
                assert_int_equal(c.n, 0);
                n_cut++;
                continue;
            }
            assert_int_equal(l.hard, f.hard);
            assert_int_equal(l.c, f.c);
            assert_int_equal(l.n, f.n);
            if (l.hard == 0) reached = false;
        }
    }
    rung_iter_free(it);
    assert_true(n_cut > 0);
    rung_store_close(s);
    rung_store_close(full);
}

static void first_traces_only(void **state) {
    (void)state;
    char path[400];
    copy_pool(path, "few.db");
    label_into(path, false, 2, NULL, RUNG_OK);
    int n;
    char *some = dump(path, false, &n);
    assert_true(n > 0 && n < n_reference);
    rung_free(some);
}

static int cancel_now(void *ud, rung_level level, const char *name, const rung_field *f) {
    (void)ud, (void)name, (void)f;
    return level == RUNG_PROGRESS;
}

static void cancelled_and_resumed(void **state) {
    (void)state;
    char path[400];
    copy_pool(path, "cancel.db");
    label_into(path, false, 0, &(rung_log){cancel_now, NULL}, RUNG_E_CANCELLED);
    label_into(path, false, 0, NULL, RUNG_OK);
    int n;
    char *all = dump(path, false, &n);
    assert_string_equal(all, reference);
    rung_free(all);
}

static void work(char *path) {
    label_into(path, false, 0, NULL, RUNG_OK);
}

static void check(char *path) {
    int n;
    char *all = dump(path, false, &n);
    assert_string_equal(all, reference);
    rung_free(all);
}

static void killed_and_resumed(void **state) {
    (void)state;
    coin_kill_and_resume(&(coin_kills){.seed = 4,
                                       .n_rounds = 7,
                                       .n_kills = 3,
                                       .least = 5,
                                       .whole_s = whole_s,
                                       .begin = copy_pool,
                                       .work = work,
                                       .check = check});
}

/* Traces by hand: "a|b|#### 1", first error given. */
static int64_t put(rung_store *s, int64_t run, int i, const char *text, rung_verdict v,
                   int32_t first, const char *source, rung_step *step, int32_t *n) {
    rung_step *made;
    OK(rung_split_steps(&made, n, "line", text, strlen(text), err));
    memcpy(step, made, (size_t)*n * sizeof *step);
    rung_free(made);
    rung_trace t = {.run = run,
                    .problem = 1,
                    .i = i,
                    .generator = "hand",
                    .text = text,
                    .n_bytes = (int32_t)strlen(text),
                    .n_steps = *n,
                    .answer = "",
                    .answer_key = "",
                    .verdict = v,
                    .verifier = "",
                    .rule = "",
                    .reason = "",
                    .stop = "eos",
                    .first_error = first,
                    .first_error_source = source,
                    .step = step};
    OK(rung_trace_put(s, &t, step, NULL, err));
    return t.id;
}

static void truth(void **state) {
    (void)state;
    char path[400];
    coin_store(coin_path(path, "truth.db"), 1);
    rung_store *s;
    OK(rung_store_open(&s, path, 0, err));
    int64_t pool = coin_run(s, "pool", "{}"), run = coin_run(s, "label.truth", "{}"), n;
    rung_step a[8], b[8], c[8], d[8];
    int32_t na, nb, nc, nd;
    put(s, pool, 0, "a\nb\n#### 1\n", RUNG_VERDICT_CORRECT, -1, "truth", a, &na);
    put(s, pool, 1, "a\nc\nc\n#### 0\n", RUNG_VERDICT_WRONG, 1, "truth", b, &nb);
    put(s, pool, 2, "c\na\n", RUNG_VERDICT_WRONG, 0, "human", c, &nc);
    put(s, pool, 3, "d\n", RUNG_VERDICT_WRONG, RUNG_FIRST_ERROR_UNKNOWN, "", d, &nd);
    OK(rung_label_truth(&n, s, run, &(rung_filter){0}, err));
    assert_int_equal(
        n, 5); /* a, b, "####" of the first; c of the second (a is shared); c of the third */
    OK(rung_label_truth(&n, s, run, &(rung_filter){0}, err));
    assert_int_equal(n, 0);
    const struct {
        int64_t node;
        const char *source;
        int hard; /* 2: no label */
    } want[] = {{a[0].node, "truth", 1}, {a[1].node, "truth", 1}, {a[2].node, "truth", 1},
                {b[1].node, "truth", 0}, {b[2].node, "truth", 2}, {b[3].node, "truth", 2},
                {c[0].node, "human", 0}, {c[0].node, "truth", 2}, {c[1].node, "human", 2},
                {d[0].node, "truth", 2}};
    assert_int_equal(a[0].node, b[0].node);
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        rung_label l;
        bool found;
        OK(rung_label_get(&l, &found, s, run, want[i].node, want[i].source, err));
        assert_int_equal(found ? l.hard : 2, want[i].hard);
        if (found) assert_true(l.soft == l.hard && l.n == 1 && l.c == l.hard);
    }
    rung_store_close(s);
}

/* A trace that only broke off at a prefix of another does not settle it; one with a verdict does.
 */
static void shared_ends(void **state) {
    (void)state;
    char path[400];
    coin_store(coin_path(path, "ends.db"), 1);
    rung_store *s;
    OK(rung_store_open(&s, path, 0, err));
    int64_t pool = coin_run(s, "pool", "{}");
    rung_step a[8], b[8], c[8];
    int32_t na, nb, nc;
    put(s, pool, 0, "a\nb\n", RUNG_VERDICT_UNKNOWN, -2, "", a, &na);
    put(s, pool, 1, "a\nb\n#### 0\nc\n", RUNG_VERDICT_WRONG, -2, "", b, &nb);
    put(s, pool, 2, "a\nb\n#### 0\n", RUNG_VERDICT_WRONG, -2, "", c, &nc);
    put(s, pool, 3, "b\n", RUNG_VERDICT_UNKNOWN, -2, "", a, &na);
    rung_store_close(s);
    label_into(path, false, 0, NULL, RUNG_OK);
    OK(rung_store_open(&s, path, 0, err));
    int64_t run = coin_run(s, "label.mc", "{}");
    const struct {
        int64_t node;
        int n_rollouts, n, hard;
    } want[] = {{b[0].node, K, -1, -2},
                {b[1].node, K, -1, -2},
                {b[2].node, 0, 1, 0},
                {b[3].node, 0, 1, 0},
                {a[0].node, 0, 0, -1}};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        rung_rollout_counts c2;
        rung_label l;
        bool found;
        OK(rung_rollout_count(&c2, s, run, want[i].node, err));
        OK(rung_label_get(&l, &found, s, run, want[i].node, "mc", err));
        assert_true(found);
        assert_int_equal(c2.n, want[i].n_rollouts);
        if (want[i].n >= 0) assert_int_equal(l.n, want[i].n);
        if (want[i].hard >= -1) assert_int_equal(l.hard, want[i].hard);
        if (want[i].n == 0) assert_int_equal(l.n_unknown, 1);
    }
    rung_store_close(s);
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
        cmocka_unit_test(by_definition),
        cmocka_unit_test(repeat_is_free),
        cmocka_unit_test(cutting_mode),
        cmocka_unit_test(first_traces_only),
        cmocka_unit_test(cancelled_and_resumed),
        cmocka_unit_test(killed_and_resumed),
        cmocka_unit_test(truth),
        cmocka_unit_test(shared_ends),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
