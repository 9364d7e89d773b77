/* Heads on the frozen base: they learn, the file remembers its base, training resumes after kill -9
 * to the same bytes, scores are per step (prm) or at the leaf (orm). */
#include "fixture_reward.h"
#include <math.h>

#include <cmocka.h>

static const char *loss_name; /* NULL: the default */

static rung_status train_into(rung_reward_report *r, const char *store, const char *out,
                              rung_reward_kind kind, int32_t n_hidden, const rung_log *log) {
    rung_store *s;
    OK(rung_store_open(&s, store, 0, err));
    rung_reward_train_opts o = train_opts(kind, out);
    o.loss = loss_name;
    o.n_hidden = n_hidden;
    o.epochs = 60;
    o.batch = 64;
    o.lr = 1e-2;
    rung_error e = RUNG_ERROR_INIT;
    rung_status st = rung_reward_train(r, s, coin_run(s, "reward.train", "{}"), &o, log, &e);
    if (st != RUNG_OK && st != RUNG_E_CANCELLED) fail_msg("%s %s", e.what, e.detail);
    rung_store_close(s);
    return st;
}

static char prm_path[400];
static double whole_s;

static void learns(void **state) {
    (void)state;
    char path[400], out[400];
    pool_copy(path, "whole.db");
    for (int32_t n_hidden = 0; n_hidden <= 16; n_hidden += 16) {
        rung_reward_report r;
        double start = rung_now();
        coin_path(out, n_hidden ? "prm2.gguf" : "prm.gguf");
        assert_int_equal(train_into(&r, path, out, RUNG_REWARD_PRM_HEAD, n_hidden, NULL), RUNG_OK);
        if (!n_hidden) whole_s = rung_now() - start, memcpy(prm_path, out, sizeof prm_path);
        printf("hidden %d: %.3f s, held loss %.4f, auc %.4f, brier %.4f, ece %.4f\n", n_hidden,
               rung_now() - start, r.loss_held, r.auc_held, r.brier_held, r.ece_held);
        assert_true(r.auc_held > .98 && r.loss_held < .2);
        rung_reward_report again;
        assert_int_equal(train_into(&again, path, out, RUNG_REWARD_PRM_HEAD, n_hidden, NULL),
                         RUNG_OK);
        assert_true(again.auc_held == r.auc_held && again.n_held == r.n_held);
    }
    char left[470];
    snprintf(left, sizeof left, "find %s -name '*.features' -o -name '*.checkpoint' | grep -q .",
             coin_dir);
    assert_int_not_equal(system(left), 0); /* nothing is left beside the result */
}

static void scores_steps(void **state) {
    (void)state;
    char path[400];
    pool_copy(path, "score.db");
    coin_policy base = coin_open(base_path);
    rung_store *s;
    OK(rung_store_open(&s, path, 0, err));
    rung_reward *r;
    OK(rung_reward_open(&r, prm_path, base.e, err));
    assert_string_equal(rung_reward_key(r, "target", ""), "hard");
    int64_t model, again;
    model = score_with(r, s, &(rung_filter){.split = "test"});
    double right, wrong;
    int n_test = score_range(&right, &wrong, s, model);
    again = score_with(r, s, &(rung_filter){0});
    int n_all = score_range(&right, &wrong, s, model);
    assert_int_equal(model, again);
    assert_true(n_test > 100 && n_all > n_test);
    assert_true(right > wrong);
    rung_reward_free(r);
    rung_store_close(s);
    coin_close(base);
}

/* The same text without tokens (a foreign trace) gets the same score. */
static void foreign_traces(void **state) {
    (void)state;
    char path[400], other[400];
    pool_copy(path, "own.db");
    coin_store(coin_path(other, "foreign.db"), POOL_PROBLEMS);
    rung_store *s, *f;
    OK(rung_store_open(&s, path, 0, err));
    OK(rung_store_open(&f, other, 0, err));
    int64_t run = coin_run(f, "trace.import", "{}");
    rung_iter *it;
    const rung_trace *t;
    OK(rung_trace_iter(&it, s, &(rung_filter){.limit = 5}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK) {
        rung_trace copy = *t;
        rung_step *step = malloc((size_t)t->n_steps * sizeof *step + 1);
        memcpy(step, t->step, (size_t)t->n_steps * sizeof *step);
        for (int32_t k = 0; k < t->n_steps; k++) step[k].tok_begin = step[k].tok_end = 0;
        copy.run = run;
        copy.n_tok = 0;
        copy.tok = NULL;
        copy.logprob = NULL;
        copy.step = step;
        OK(rung_trace_put(f, &copy, step, NULL, err));
        free(step);
    }
    rung_iter_free(it);
    coin_policy base = coin_open(base_path);
    rung_reward *r;
    OK(rung_reward_open(&r, prm_path, base.e, err));
    int64_t m1, m2;
    m1 = score_with(r, s, &(rung_filter){.limit = 5});
    m2 = score_with(r, f, &(rung_filter){0});
    rung_iter *jt;
    const rung_trace *u;
    OK(rung_trace_iter(&it, s, &(rung_filter){.limit = 5}, err));
    OK(rung_trace_iter(&jt, f, &(rung_filter){0}, err));
    int n = 0;
    while (rung_trace_next(&t, it, NULL) == RUNG_OK) {
        OK(rung_trace_next(&u, jt, err));
        for (int32_t k = 0; k < t->n_steps; k++) {
            double a, b;
            bool x, y;
            OK(rung_score_get(&a, &x, s, t->step[k].node, m1, err));
            OK(rung_score_get(&b, &y, f, u->step[k].node, m2, err));
            assert_true(x && y && fabs(a - b) < 1e-4);
            n++;
        }
    }
    assert_true(n > 50);
    rung_iter_free(it);
    rung_iter_free(jt);
    rung_reward_free(r);
    coin_close(base);
    rung_store_close(s);
    rung_store_close(f);
}

static void outcome_model(void **state) {
    (void)state;
    char path[400], out[400];
    pool_copy(path, "orm.db");
    rung_reward_report rep;
    assert_int_equal(
        train_into(&rep, path, coin_path(out, "orm.gguf"), RUNG_REWARD_ORM_HEAD, 0, NULL), RUNG_OK);
    printf("orm: held loss %.4f, auc %.4f on %lld\n", rep.loss_held, rep.auc_held,
           (long long)rep.n_held);
    coin_policy base = coin_open(base_path);
    rung_store *s;
    OK(rung_store_open(&s, path, 0, err));
    rung_reward *r;
    OK(rung_reward_open(&r, out, base.e, err));
    assert_string_equal(rung_reward_key(r, "label_source", ""), "verdict");
    assert_int_equal(rung_reward_aggregate_of(r), RUNG_AGGREGATE_LAST);
    int64_t model;
    model = score_with(r, s, &(rung_filter){0});
    rung_iter *it;
    const rung_trace *t;
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    double sum[2] = {0};
    int n[2] = {0};
    while (rung_trace_next(&t, it, NULL) == RUNG_OK) {
        if (t->n_steps == 0) continue;
        double v;
        bool found;
        OK(rung_score_get(&v, &found, s, t->step[t->n_steps - 1].node, model, err));
        assert_true(found); /* leaves only ... */
        if (t->verdict == RUNG_VERDICT_UNKNOWN) continue;
        sum[t->verdict == RUNG_VERDICT_CORRECT] += v;
        n[t->verdict == RUNG_VERDICT_CORRECT]++;
    }
    rung_iter_free(it);
    assert_true(sum[1] / n[1] > sum[0] / n[0]);
    rung_reward_free(r);
    rung_store_close(s);
    coin_close(base);
}

/* Other rows of the table of losses: squared error, and pairs - of steps after the same steps, of
 * the traces of one problem. They rank as well; the file says which it was. */
static void other_losses(void **state) {
    (void)state;
    static const struct {
        const char *loss;
        rung_reward_kind kind;
        int32_t n_hidden;
        double auc;
    } row[] = {{"mse", RUNG_REWARD_PRM_HEAD, 16, .98},
               {"omega_pairwise", RUNG_REWARD_PRM_HEAD, 0, .95},
               {"bradley_terry", RUNG_REWARD_PRM_HEAD, 16, .95},
               {"omega_pairwise", RUNG_REWARD_ORM_HEAD, 0, .5},
               {"margin", RUNG_REWARD_ORM_HEAD, 0, .5}};
    char path[400], out[400], name[40];
    pool_copy(path, "losses.db");
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        rung_reward_report r;
        snprintf(name, sizeof name, "loss%zu.gguf", i);
        loss_name = row[i].loss;
        assert_int_equal(
            train_into(&r, path, coin_path(out, name), row[i].kind, row[i].n_hidden, NULL),
            RUNG_OK);
        printf("%s: auc %.4f\n", row[i].loss, r.auc_held);
        assert_true(r.auc_held > row[i].auc);
        coin_policy base = coin_open(base_path);
        rung_reward *m;
        OK(rung_reward_open(&m, out, base.e, err));
        assert_string_equal(rung_reward_key(m, "loss", "bce"), row[i].loss);
        rung_reward_free(m);
        coin_close(base);
    }
    loss_name = NULL;
    rung_store *s;
    OK(rung_store_open(&s, path, 0, err));
    rung_reward_train_opts o = train_opts(RUNG_REWARD_PRM_HEAD, out);
    rung_error e = RUNG_ERROR_INIT;
    o.loss = "dpo";
    assert_int_equal(rung_reward_train(NULL, s, coin_run(s, "reward.train", "{}"), &o, NULL, &e),
                     RUNG_E_INVAL);
    o.loss = "hinge";
    assert_int_equal(rung_reward_train(NULL, s, coin_run(s, "reward.train", "{}"), &o, NULL, &e),
                     RUNG_E_INVAL);
    rung_store_close(s);
}

/* Another base: an error that names both hashes. Here: the same weights under another name. */
static void another_base(void **state) {
    (void)state;
    char other[400];
    rung_buf b;
    rung_buf_init(&b, 1u << 28);
    OK(rung_file_read(&b, base_path, err));
    char *name = memmem(b.data, b.n, "coin", 4);
    assert_non_null(name);
    name[0] = 'k';
    OK(rung_file_write(coin_path(other, "koin.gguf"), b.data, b.n, err));
    rung_buf_clear(&b);
    coin_policy p = coin_open(other), base = coin_open(base_path);
    rung_model_info a, c;
    rung_model_get_info(&a, base.m);
    rung_model_get_info(&c, p.m);
    rung_reward *r;
    rung_error e = RUNG_ERROR_INIT;
    assert_int_equal(rung_reward_open(&r, prm_path, p.e, &e), RUNG_E_MISMATCH);
    assert_null(r);
    assert_non_null(strstr(e.what, a.hash));
    assert_non_null(strstr(e.what, c.hash));
    assert_int_equal(rung_reward_open(&r, prm_path, NULL, &e), RUNG_E_MISUSE);
    OK(rung_reward_open(&r, prm_path, base.e, err));
    rung_reward_free(r);
    coin_close(p);
    coin_close(base);
}

static void damaged_file(void **state) {
    (void)state;
    char cut[400];
    rung_buf b;
    rung_buf_init(&b, 1u << 28);
    OK(rung_file_read(&b, prm_path, err));
    coin_policy base = coin_open(base_path);
    for (size_t n = 0; n < b.n; n += b.n / 13 + 1) {
        OK(rung_file_write(coin_path(cut, "cut.gguf"), b.data, n, err));
        rung_reward *r;
        rung_error e = RUNG_ERROR_INIT;
        assert_true(rung_reward_open(&r, cut, base.e, &e) < 0);
        assert_null(r);
        assert_true(e.what[0] != 0);
    }
    coin_close(base);
    rung_buf_clear(&b);
}

static void work(char *path) {
    char out[460];
    snprintf(out, sizeof out, "%s.gguf", path);
    train_into(NULL, path, out, RUNG_REWARD_PRM_HEAD, 0, NULL);
}

static int stop_at_progress(void *ud, rung_level level, const char *name, const rung_field *f) {
    (void)f;
    return level == RUNG_PROGRESS && !strcmp(name, ud);
}

/* What training leaves in the store: the figures of the run, and the points of its curves. */
static int n_curve;
static int figures(double out[16], char names[512], const char *store) {
    rung_store *s;
    OK(rung_store_open(&s, store, 0, err));
    rung_iter *it;
    int64_t step;
    const char *name;
    int n = 0;
    names[0] = 0;
    n_curve = 0;
    OK(rung_metric_iter(&it, s, coin_run(s, "reward.train", "{}"), NULL, err));
    while (n < 16 && rung_metric_next(&step, &name, &out[n], it, NULL) == RUNG_OK) {
        if (strchr(name, '/')) { /* train/loss, eval/auc, ... */
            n_curve++;
            continue;
        }
        size_t at = strlen(names);
        snprintf(names + at, 512 - at, "%s ", name);
        n++;
    }
    rung_iter_free(it);
    rung_store_close(s);
    return n;
}

/* Of the base's hidden states only the last digits depend on what was in one batch with them, so a
 * resumed file is the same training on numbers that differ in the last digits. */
static void same_training(const char *path, const char *whole) {
    static const char *same[] = {"data", "config", "split", "base_hash", "n_train", "n_held"};
    rung_gguf *a, *b;
    OK(rung_gguf_open(&a, path, err));
    OK(rung_gguf_open(&b, whole, err));
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        char key[64];
        snprintf(key, sizeof key, "rung.reward.%s", same[i]);
        assert_string_equal(rung_gguf_str(a, key, "a"), rung_gguf_str(b, key, "b"));
    }
    float *x, *y;
    int64_t dims[4];
    OK(rung_gguf_tensor(&x, dims, a, "head.w1", err));
    OK(rung_gguf_tensor(&y, dims, b, "head.w1", err));
    for (int i = 0; i < COIN_D; i++) assert_true(fabs((double)(x[i] - y[i])) < 1e-2);
    rung_free(x);
    rung_free(y);
    rung_gguf_free(a);
    rung_gguf_free(b);
}

static char whole_names[512];
static double whole_fig[16];
static int n_whole, whole_curve;

/* In two rounds it is cancelled instead: while reading features, while training. */
static bool cancel_twice(int round, char *path) {
    static char at[2][16] = {"progress", "reward.epoch"};
    char out[460];
    if (round >= 2) return false;
    rung_log log = {stop_at_progress, at[round]};
    snprintf(out, sizeof out, "%s.gguf", path);
    assert_int_equal(train_into(NULL, path, out, RUNG_REWARD_PRM_HEAD, 0, &log), RUNG_E_CANCELLED);
    return true;
}

static void check(char *path) {
    char out[460], names[512];
    double fig[16];
    snprintf(out, sizeof out, "%s.gguf", path);
    same_training(out, prm_path);
    assert_int_equal(figures(fig, names, path), n_whole);
    assert_string_equal(names, whole_names);
    assert_int_equal(n_curve, whole_curve);
    for (int i = 0; i < n_whole; i++) assert_true(fabs(fig[i] - whole_fig[i]) < 1e-3);
}

static void killed_and_resumed(void **state) {
    (void)state;
    char path[400];
    pool_copy(path, "unkilled.db");
    work(path);
    n_whole = figures(whole_fig, whole_names, path);
    whole_curve = n_curve;
    assert_true(whole_curve >= 3);
    assert_non_null(strstr(whole_names, "held_auc"));
    coin_kill_and_resume(&(coin_kills){.seed = 6,
                                       .n_rounds = 6,
                                       .n_kills = 5,
                                       .least = 5,
                                       .whole_s = whole_s,
                                       .begin = pool_copy,
                                       .stop = cancel_twice,
                                       .work = work,
                                       .check = check});
}

static int setup(void **state) {
    (void)state;
    pool_make();
    return 0;
}
static int teardown(void **state) {
    (void)state;
    coin_teardown();
    return 0;
}

int main(int argc, char **argv) {
    if (coin_is_work(argc, argv, base_path, work)) return 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns),         cmocka_unit_test(scores_steps),
        cmocka_unit_test(foreign_traces), cmocka_unit_test(outcome_model),
        cmocka_unit_test(other_losses),   cmocka_unit_test(another_base),
        cmocka_unit_test(damaged_file),   cmocka_unit_test(killed_and_resumed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
