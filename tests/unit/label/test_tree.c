/* OmegaPRM and relative progress on a real engine and store: labels recounted from the rollouts,
 * nothing made twice, kill -9. */
#include "../trace/fixture_coin.h"
#include "base/json.h"
#include "rung/label.h"
#include <math.h>

#include <cmocka.h>

enum { N_PROBLEMS = 6, N_SAMPLES = 6, K = 6 };
static char model_path[400], pool_path[400];
static int64_t pool_run;

static rung_store *fresh(const char *name) {
    char path[400];
    rung_store *s;
    coin_copy(path, name, pool_path);
    OK(rung_store_open(&s, path, 0, err));
    return s;
}

static rung_mc_opts roll_opts(rung_store *s) {
    rung_mc_opts o = RUNG_MC_OPTS_INIT;
    o.k = K;
    o.max_tok = 24;
    o.seed = 21;
    o.rollouts = coin_run(s, "rollouts", "{}");
    o.traces.run = pool_run;
    o.labeler = "coin";
    return o;
}

static int64_t tokens_of(rung_store *s, const char *name) {
    rung_arena *a = rung_arena_new(0);
    rung_run r;
    OK(rung_run_find(&r, a, s, name, err));
    rung_arena_free(a);
    return r.tokens;
}

static int64_t binary(rung_store *s, const char *name, rung_binary_report *z) {
    coin_policy p = coin_open(model_path);
    rung_binary_opts o = RUNG_BINARY_OPTS_INIT;
    o.roll = roll_opts(s);
    o.limit = 8;
    int64_t run = coin_run(s, name, "{}");
    OK(rung_label_binary(z, s, p.e, run, &o, NULL, err));
    coin_close(p);
    return run;
}

/* Every label is what the rollouts of its prefix say, or a verdict; a searched rollout is a trace
 * of the run whose first wrong unit has MC 0 and whose unit before has not. */
static void tree(void **state) {
    (void)state;
    rung_store *s = fresh("tree.db");
    rung_binary_report z;
    int64_t run = binary(s, "binary", &z), rolls = coin_run(s, "rollouts", "{}");
    assert_true(z.n_problems == N_PROBLEMS && z.n_skipped < N_PROBLEMS && z.n_searches > 8);
    assert_int_equal(z.n_abandoned, 0);
    rung_arena *a = rung_arena_new(0);
    rung_label *l;
    int64_t n, n_rolled = 0;
    OK(rung_label_list(&l, &n, a, s, run, "binary", err));
    for (int64_t i = 0; i < n; i++) {
        rung_rollout_counts c;
        OK(rung_rollout_count(&c, s, rolls, l[i].node, err));
        if (c.n == 0) { /* the end of a whole wrong rollout */
            assert_true(l[i].n == 1 && l[i].c == 0 && l[i].hard == 0);
            continue;
        }
        n_rolled++;
        assert_true(c.n == K && l[i].c == c.n_correct && l[i].n == c.n_correct + c.n_wrong);
        assert_true(l[i].hard == (c.n_correct > 0) && l[i].soft == (double)l[i].c / l[i].n);
    }
    assert_int_equal(n_rolled, z.n_probes);
    rung_iter *it;
    const rung_trace *t;
    int n_traces = 0;
    OK(rung_trace_iter(&it, s, &(rung_filter){.run = run}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK) {
        assert_int_equal(t->verdict, RUNG_VERDICT_WRONG);
        int n_zero = 0;
        for (int32_t k = 0; k < t->n_steps; k++) {
            rung_label x;
            bool found;
            OK(rung_label_get(&x, &found, s, run, t->step[k].node, "binary", err));
            if (!found) continue;
            n_zero += x.hard == 0;
        }
        assert_true(n_zero >= 1);
        n_traces++;
    }
    rung_iter_free(it);
    assert_int_equal(n_traces, z.n_searches);
    rung_arena_free(a);
    /* again, under another name: every rollout is found, nothing is paid for */
    rung_binary_report again;
    binary(s, "again", &again);
    assert_int_equal(tokens_of(s, "again"), 0);
    assert_int_equal(again.n_searches, z.n_searches);
    rung_store_close(s);
}

typedef struct counted {
    int64_t n;
    double last;
} counted;

/* prefix + step is the text of a labelled node; of pairs the chosen one is better. */
static int read_example(void *ud, const char *line, size_t n) {
    counted *z = ud;
    yyjson_doc *doc = yyjson_read(line, n - 1, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    assert_non_null(root);
    assert_true(line[n - 1] == '\n');
    if (yyjson_obj_get(root, "chosen")) {
        assert_true(yyjson_get_num(yyjson_obj_get(root, "soft_chosen")) >
                    yyjson_get_num(yyjson_obj_get(root, "soft_rejected")));
        assert_true(strcmp(yyjson_get_str(yyjson_obj_get(root, "chosen")),
                           yyjson_get_str(yyjson_obj_get(root, "rejected"))) != 0);
    } else if (yyjson_obj_get(root, "step")) {
        double soft = yyjson_get_num(yyjson_obj_get(root, "soft"));
        assert_true(yyjson_get_len(yyjson_obj_get(root, "step")) > 0);
        assert_int_equal(yyjson_get_int(yyjson_obj_get(root, "hard")), soft > 0);
        z->last = soft;
    } else {
        assert_true(yyjson_arr_size(yyjson_obj_get(root, "children")) > 0);
    }
    yyjson_doc_free(doc);
    z->n++;
    return 0;
}

static void examples(void **state) {
    (void)state;
    rung_store *s = fresh("examples.db");
    rung_binary_report z;
    rung_label_source from = {binary(s, "binary", &z), "binary", 0};
    rung_arena *a = rung_arena_new(0);
    rung_label *l;
    int64_t n, n_out;
    OK(rung_label_list(&l, &n, a, s, from.run, "binary", err));
    rung_arena_free(a);
    counted edges = {0}, pairs = {0}, trees = {0};
    OK(rung_label_examples(&n_out, s, &from, "pointwise", read_example, &edges, err));
    assert_true(edges.n == n && n_out == n);
    OK(rung_label_examples(&n_out, s, &from, "pairwise", read_example, &pairs, err));
    assert_true(pairs.n > 0 && n_out == pairs.n);
    OK(rung_label_examples(&n_out, s, &from, "tree", read_example, &trees, err));
    assert_int_equal(trees.n, z.n_problems - z.n_skipped);
    rung_error e = RUNG_ERROR_INIT;
    assert_int_equal(rung_label_examples(&n_out, s, &from, "no", read_example, &trees, &e),
                     RUNG_E_NOT_FOUND);
    rung_store_close(s);
}

/* Prefixes that the tree estimated cost Monte Carlo nothing, and the other way round. */
static void shares_with_mc(void **state) {
    (void)state;
    rung_store *s = fresh("share.db"), *u = fresh("share2.db");
    coin_policy p = coin_open(model_path);
    rung_mc_opts o = roll_opts(s);
    rung_binary_report z;
    OK(rung_label_mc(s, p.e, coin_run(s, "mc", "{}"), &o, NULL, err));
    binary(s, "binary", &z);
    binary(u, "binary", &z);
    assert_true(tokens_of(s, "binary") < tokens_of(u, "binary"));
    o = roll_opts(u);
    OK(rung_label_mc(u, p.e, coin_run(u, "mc", "{}"), &o, NULL, err));
    assert_int_equal(tokens_of(u, "mc") + tokens_of(u, "binary"),
                     tokens_of(s, "mc") + tokens_of(s, "binary"));
    coin_close(p);
    rung_store_close(s);
    rung_store_close(u);
}

static int64_t relative(rung_store *s, const char *name, rung_relative_opts o,
                        rung_relative_report *z) {
    coin_policy p = coin_open(model_path);
    int64_t run = coin_run(s, name, "{}");
    OK(rung_label_relative(z, s, p.e, run, &o, NULL, err));
    coin_close(p);
    return run;
}

static rung_relative_opts relative_opts(rung_store *s) {
    rung_relative_opts o = RUNG_RELATIVE_OPTS_INIT;
    o.roll = roll_opts(s);
    o.k_hard = 32;
    o.k_mid = 16;
    o.k_easy = 12;
    return o;
}

/* P = MC(step) / MC(before) from the stored rollouts; the bare problem's are the traces and, where
 * K asks for more, rollouts of the root; all 0 below a prefix that never succeeds. */
static void relative_progress(void **state) {
    (void)state;
    rung_store *s = fresh("relative.db");
    rung_relative_report z;
    rung_relative_opts o = relative_opts(s);
    int64_t run = relative(s, "relative", o, &z), rolls = coin_run(s, "rollouts", "{}");
    assert_int_equal(z.n_problems, N_PROBLEMS);
    rung_iter *it;
    const rung_trace *t;
    int n = 0, n_zero = 0;
    OK(rung_trace_iter(&it, s, &(rung_filter){.run = pool_run}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK) {
        bool dead = false;
        for (int32_t k = 1; k < t->n_steps; k++) {
            rung_label x, y;
            bool fx, fy;
            rung_rollout_counts a;
            OK(rung_label_get(&x, &fx, s, run, t->step[k - 1].node, "relative", err));
            OK(rung_label_get(&y, &fy, s, run, t->step[k].node, "relative", err));
            if (!fx || !fy) continue;
            if (dead || (x.n && x.c == 0)) {
                dead = true;
                assert_true(y.hard == 0);
                n_zero++;
                continue;
            }
            if (x.n == 0 || y.n == 0) continue;
            OK(rung_rollout_count(&a, s, rolls, t->step[k - 1].node, err));
            assert_true(a.n == 16 || a.n == 12 || a.n == 32);
            assert_int_equal(x.c, a.n_correct);
            double p = ((double)y.c / y.n) / ((double)x.c / x.n);
            assert_int_equal(y.hard, p >= .8);
            assert_true(fabs(y.soft - fmin(1, p)) < 1e-12);
            n++;
        }
    }
    rung_iter_free(it);
    assert_true(n > 20 && n_zero > 0);
    rung_store_close(s);
}

/* Stopping by both bounds: fewer tokens, and where it differs from all K it was close. */
static void relative_stops(void **state) {
    (void)state;
    rung_store *s = fresh("rel1.db"), *u = fresh("rel2.db");
    rung_relative_report z;
    rung_relative_opts o = relative_opts(s);
    o.k_hard = o.k_mid = o.k_easy = 64;
    o.roll.stop_at_zero = true;
    int64_t a = relative(s, "relative", o, &z);
    o.roll.rollouts = coin_run(u, "rollouts", "{}");
    o.roll.stopping = RUNG_STOPPING_CONFIDENCE;
    o.roll.level = .8;
    int64_t b = relative(u, "relative", o, &z);
    assert_true(tokens_of(u, "relative") * 10 < tokens_of(s, "relative") * 9);
    rung_iter *it;
    const rung_trace *t;
    int n = 0, n_differ = 0;
    OK(rung_trace_iter(&it, s, &(rung_filter){.run = pool_run}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK)
        for (int32_t k = 0; k < t->n_steps; k++) {
            rung_label x, y;
            bool fx, fy;
            OK(rung_label_get(&x, &fx, s, a, t->step[k].node, "relative", err));
            OK(rung_label_get(&y, &fy, u, b, t->step[k].node, "relative", err));
            if (!fx || !fy) continue;
            n++;
            n_differ += x.hard != y.hard;
        }
    rung_iter_free(it);
    printf("relative: %lld tokens with stopping, %lld without; %d of %d labels differ\n",
           (long long)tokens_of(u, "relative"), (long long)tokens_of(s, "relative"), n_differ, n);
    assert_true(n > 20 && n_differ * 5 < n);
    rung_store_close(s);
    rung_store_close(u);
}

/* ---- kill -9 */

static char *reference;

static void work(char *path) {
    rung_store *s;
    rung_binary_report z;
    rung_relative_report y;
    OK(rung_store_open(&s, path, 0, err));
    binary(s, "binary", &z);
    relative(s, "relative", relative_opts(s), &y);
    rung_store_close(s);
}

/* Labels by what their prefix is, not by number of row. */
static char *dump(char *path) {
    rung_store *s;
    rung_buf b, prefix;
    rung_buf_init(&b, 1u << 24);
    rung_buf_init(&prefix, 1u << 20);
    OK(rung_store_open(&s, path, 0, err));
    for (int k = 0; k < 2; k++) {
        rung_arena *a = rung_arena_new(0);
        rung_label *l;
        int64_t n;
        uint64_t sum = 0;
        int64_t run = coin_run(s, k ? "relative" : "binary", "{}");
        OK(rung_label_list(&l, &n, a, s, run, NULL, err));
        for (int64_t i = 0; i < n; i++) { /* a sum does not mind the order */
            rung_node v;
            char row[200];
            OK(rung_node_get(&v, a, s, l[i].node, err));
            rung_buf_reset(&prefix);
            OK(rung_node_prefix(&prefix, s, l[i].node, err));
            snprintf(row, sizeof row, "%lld %d %g %d %d %d", (long long)v.problem, l[i].hard,
                     l[i].soft, l[i].n, l[i].c, l[i].n_unknown);
            sum += rung_hash64(row, strlen(row), rung_hash64(prefix.data, prefix.n, 0));
        }
        rung_buf_printf(&b, "%d: %lld labels %016llx, tokens %lld\n", k, (long long)n,
                        (unsigned long long)sum,
                        (long long)tokens_of(s, k ? "relative" : "binary"));
        rung_arena_free(a);
    }
    rung_store_close(s);
    rung_buf_clear(&prefix);
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
    double whole_s = rung_now() - t0;
    reference = dump(path);
    coin_kill_and_resume(&(coin_kills){.seed = 8,
                                       .n_rounds = 3,
                                       .n_kills = 3,
                                       .least = 2,
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
    o.generator = "coin";
    pool_run = coin_run(s, "trace.sample", "{}");
    OK(rung_trace_sample(s, p.e, pool_run, &o, NULL, err));
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
    pool_run = 1; /* of a process that is killed: the first run of the store */
    if (coin_is_work(argc, argv, model_path, work)) return 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree),           cmocka_unit_test(examples),
        cmocka_unit_test(shares_with_mc), cmocka_unit_test(relative_progress),
        cmocka_unit_test(relative_stops), cmocka_unit_test(killed_and_resumed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
