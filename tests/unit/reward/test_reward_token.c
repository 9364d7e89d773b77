/* The +/- token PRM: learns, resumes bit-equal after kill -9, scores what the trainer sees. */
#include "fixture_reward.h"
#include "rung/loss.h"
#include <math.h>

#include <cmocka.h>

static rung_reward_kind kind = RUNG_REWARD_PRM_TOKEN;

static rung_status train_into(rung_reward_report *r, const char *store, const char *out,
                              const rung_log *log) {
    rung_store *s;
    OK(rung_store_open(&s, store, 0, err));
    rung_reward_train_opts o = train_opts(kind, out);
    bool token = kind == RUNG_REWARD_PRM_TOKEN;
    if (token) o.tag = "<?>";
    o.beta = 0.5;
    o.balance = RUNG_BALANCE_INSTRUCTION;
    o.epochs = token ? 20 : 6;
    o.patience = 20;
    o.batch = 2;
    o.lr = 3e-3;
    o.save_type = "f32";
    rung_error e = RUNG_ERROR_INIT;
    rung_status st = rung_reward_train(r, s, coin_run(s, "reward.train", "{}"), &o, log, &e);
    if (st != RUNG_OK && st != RUNG_E_CANCELLED) fail_msg("%s %s", e.what, e.detail);
    rung_store_close(s);
    return st;
}

static char made[400];
static double whole_s;

static void learns(void **state) {
    (void)state;
    char path[400];
    pool_copy(path, "whole.db");
    rung_reward_report r;
    double start = rung_now();
    assert_int_equal(train_into(&r, path, coin_path(made, "token.gguf"), NULL), RUNG_OK);
    whole_s = rung_now() - start;
    printf("%d epochs, %.3f s, held loss %.4f, auc %.4f, brier %.4f, ece %.4f\n", r.epochs, whole_s,
           r.loss_held, r.auc_held, r.brier_held, r.ece_held);
    assert_true(r.auc_held > .99 && r.loss_held < .3 && r.brier_held < .1);
    rung_reward_report again; /* a finished file is not made again */
    start = rung_now();
    assert_int_equal(train_into(&again, path, made, NULL), RUNG_OK);
    assert_memory_equal(&r, &again, sizeof r);
}

static void scores(void **state) {
    (void)state;
    char path[400];
    pool_copy(path, "score.db");
    rung_store *s;
    OK(rung_store_open(&s, path, 0, err));
    rung_reward *r;
    OK(rung_reward_open(&r, made, NULL, err));
    assert_string_equal(rung_reward_key(r, "tag", ""), "<?>");
    assert_string_equal(rung_reward_key(r, "label_source", ""), "hand");
    assert_int_equal(rung_reward_aggregate_of(r), RUNG_AGGREGATE_MIN);
    int64_t model;
    model = score_with(r, s, &(rung_filter){0});
    double right, wrong;
    int n = score_range(&right, &wrong, s, model);
    assert_true(n > 300);
    assert_true(right > wrong); /* every right step above every wrong one */
    rung_reward_free(r);
    rung_store_close(s);
}

static int cancel_third(void *ud, rung_level level, const char *name, const rung_field *f) {
    (void)f;
    if (!strcmp(name, "reward.epoch")) ++*(int *)ud;
    return level == RUNG_PROGRESS && *(int *)ud >= 1;
}

/* The implicit PRM (rewards.md 1): trained on outcomes alone by its log-ratio to the base, stopped
 * and gone on from to the same bytes, scored against that base and no other. */
static void implicit(void **state) {
    (void)state;
    char path[400], out[400], stopped[400], cmd[900];
    rung_reward_report r, again;
    kind = RUNG_REWARD_PRM_IMPLICIT;
    pool_copy(path, "implicit.db");
    assert_int_equal(train_into(&r, path, coin_path(out, "implicit.gguf"), NULL), RUNG_OK);
    printf("implicit: %d epochs, held loss %.4f, auc %.4f on %lld\n", r.epochs, r.loss_held,
           r.auc_held, (long long)r.n_held);
    assert_true(r.auc_held > .7);
    int n = 0;
    rung_log log = {cancel_third, &n};
    coin_path(stopped, "stopped.gguf");
    assert_int_equal(train_into(NULL, path, stopped, &log), RUNG_E_CANCELLED);
    assert_int_equal(train_into(&again, path, stopped, NULL), RUNG_OK);
    kind = RUNG_REWARD_PRM_TOKEN;
    assert_memory_equal(&r, &again, sizeof r);
    snprintf(cmd, sizeof cmd, "cmp -s %s %s", out, stopped);
    assert_int_equal(system(cmd), 0);

    rung_store *s;
    rung_reward *m;
    rung_reward_open_opts oo = RUNG_REWARD_OPEN_OPTS_INIT;
    rung_error e = RUNG_ERROR_INIT;
    bool base;
    OK(rung_reward_needs_base(&base, out, err));
    assert_false(base);
    assert_int_equal(rung_reward_open_as(&m, out, &oo, &e), RUNG_E_INVAL); /* no reference */
    oo.reference = made;
    assert_int_equal(rung_reward_open_as(&m, out, &oo, &e), RUNG_E_MISMATCH);
    oo.reference = base_path;
    OK(rung_store_open(&s, path, 0, err));
    if (rung_reward_open_as(&m, out, &oo, &e) != RUNG_OK) fail_msg("%s; %s", e.what, e.detail);
    assert_string_equal(rung_reward_key(m, "label_source", ""), "verdict");
    int64_t model = score_with(m, s, &(rung_filter){0});
    rung_iter *it;
    const rung_trace *t;
    double sum[2] = {0}, count[2] = {0}, v;
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK) {
        bool found;
        if (t->n_steps == 0 || t->verdict == RUNG_VERDICT_UNKNOWN) continue;
        OK(rung_score_get(&v, &found, s, t->step[t->n_steps - 1].node, model, err));
        assert_true(found);
        sum[t->verdict == RUNG_VERDICT_CORRECT] += v;
        count[t->verdict == RUNG_VERDICT_CORRECT]++;
    }
    printf("mean score of right traces %.3f, of wrong ones %.3f\n", sum[1] / count[1],
           sum[0] / count[0]);
    assert_true(sum[1] / count[1] > sum[0] / count[0] + .02);
    rung_iter_free(it);
    rung_reward_free(m);
    rung_store_close(s);
}

static void work(char *path) {
    char out[460];
    snprintf(out, sizeof out, "%s.gguf", path);
    train_into(NULL, path, out, NULL);
}

static bool cancel_once(int round, char *path) {
    int epochs = 0;
    rung_log log = {cancel_third, &epochs};
    char out[460];
    snprintf(out, sizeof out, "%s.gguf", path);
    if (round == 0) assert_int_equal(train_into(NULL, path, out, &log), RUNG_E_CANCELLED);
    return round == 0;
}

static void check(char *path) {
    char out[460];
    rung_buf want, got;
    rung_buf_init(&want, 1u << 28);
    rung_buf_init(&got, 1u << 28);
    snprintf(out, sizeof out, "%s.gguf", path);
    OK(rung_file_read(&want, made, err));
    OK(rung_file_read(&got, out, err));
    assert_int_equal(got.n, want.n);
    assert_memory_equal(got.data, want.data, want.n);
    rung_buf_clear(&want);
    rung_buf_clear(&got);
}

static void killed_and_resumed(void **state) {
    (void)state;
    coin_kill_and_resume(&(coin_kills){.seed = 5,
                                       .n_rounds = 4,
                                       .n_kills = 2,
                                       .least = 1,
                                       .whole_s = whole_s,
                                       .begin = pool_copy,
                                       .stop = cancel_once,
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
        cmocka_unit_test(learns),
        cmocka_unit_test(scores),
        cmocka_unit_test(implicit),
        cmocka_unit_test(killed_and_resumed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
