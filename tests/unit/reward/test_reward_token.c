/* The +/- token PRM: learns, resumes bit-equal after kill -9, scores what the trainer sees. */
#include "fixture_reward.h"
#include "reward/reward_tune.h"
#include "rung/loss.h"
#include <math.h>

#include <cmocka.h>

static rung_reward_kind kind = RUNG_REWARD_PRM_TOKEN;
static const char *loss; /* NULL: cross entropy */

static rung_status train_into(rung_reward_report *r, const char *store, const char *out,
                              const rung_log *log) {
    rung_store *s;
    OK(rung_store_open(&s, store, 0, err));
    rung_reward_train_opts o = train_opts(kind, out);
    bool token = kind == RUNG_REWARD_PRM_TOKEN;
    if (token) o.tag = "<?>";
    o.beta = 0.5;
    o.balance = loss ? RUNG_BALANCE_NONE : RUNG_BALANCE_INSTRUCTION;
    o.loss = loss;
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

/* What is said of the reference: how many documents were read, how many the store had. */
static int64_t n_read, n_stored;
static int on_reference(void *ud, rung_level level, const char *name, const rung_field *f) {
    (void)ud, (void)level;
    if (strcmp(name, "reward.reference") != 0) return 0;
    for (; f->key; f++) {
        if (!strcmp(f->key, "read")) n_read = f->i;
        if (!strcmp(f->key, "from_store")) n_stored = f->i;
    }
    return 0;
}

/* Every other loss of log-ratios: it learns, goes on to the same bytes after a stop; what the base
 * says is read once, whatever is trained on it (kto also asks about answers to other problems). */
static void implicit_losses(void **state) {
    (void)state;
    static const char *const losses[] = {"implicit_ce", "dpo", "ipo", "kto", "nca", "info_nca"};
    char path[400], out[400], stopped[400], name[40], cmd[900];
    kind = RUNG_REWARD_PRM_IMPLICIT;
    pool_copy(path, "losses.db");
    rung_log log = {on_reference, NULL};
    int64_t n_docs = 0;
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        rung_reward_report r, again;
        loss = losses[i];
        snprintf(name, sizeof name, "%s.gguf", loss);
        assert_int_equal(train_into(&r, path, coin_path(out, name), &log), RUNG_OK);
        printf("%s: %d epochs, held loss %.4f, auc %.4f; reference: %lld read, %lld stored\n", loss,
               r.epochs, r.loss_held, r.auc_held, (long long)n_read, (long long)n_stored);
        assert_true(r.auc_held > .6 && isfinite(r.loss_held));
        if (i == 0) n_docs = n_read;
        bool kto = !strcmp(loss, "kto");
        assert_true(n_docs > 100);
        assert_int_equal(n_stored, i == 0 ? 0 : n_docs);
        assert_int_equal(n_read, i == 0 || kto ? n_docs : 0);
        int n = 0;
        rung_log stop = {cancel_third, &n};
        snprintf(name, sizeof name, "%s-stopped.gguf", loss);
        assert_int_equal(train_into(NULL, path, coin_path(stopped, name), &stop), RUNG_E_CANCELLED);
        assert_int_equal(train_into(&again, path, stopped, NULL), RUNG_OK);
        snprintf(cmd, sizeof cmd, "cmp -s %s %s", out, stopped);
        assert_int_equal(system(cmd), 0);
    }
    kind = RUNG_REWARD_PRM_TOKEN;
    loss = NULL;
}

static rung_score_report score_ratio(double *last, const char *policy, const char *store) {
    rung_reward *m;
    rung_store *s;
    rung_score_report o;
    rung_iter *it;
    const rung_trace *t;
    char path[400];
    rung_reward_open_opts oo = RUNG_REWARD_OPEN_OPTS_INIT;
    oo.reference = base_path;
    OK(rung_reward_open_as(&m, coin_path(path, policy), &oo, err));
    OK(rung_store_open(&s, store, 0, err));
    OK(rung_reward_score(&o, m, s, 0, &(rung_filter){0}, NULL, err));
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    for (int i = 0; rung_trace_next(&t, it, NULL) == RUNG_OK; i++) {
        bool found = true;
        last[i] = 0;
        if (t->n_steps > 0)
            OK(rung_score_get(&last[i], &found, s, t->step[t->n_steps - 1].node, o.model, err));
        assert_true(found);
    }
    rung_iter_free(it);
    rung_store_close(s);
    rung_reward_free(m);
    return o;
}

/* What the reference says is asked once: a second policy against it reads its own tokens alone, and
 * its scores are those of a store that knows nothing. */
static void reference_is_kept(void **state) {
    (void)state;
    static double a[400], b[400], c[400];
    char kept[400], fresh[400];
    pool_copy(kept, "kept.db");
    pool_copy(fresh, "fresh.db");
    rung_score_report first = score_ratio(a, "dpo.gguf", kept);
    rung_score_report second = score_ratio(b, "nca.gguf", kept);
    rung_score_report alone = score_ratio(c, "nca.gguf", fresh);
    printf("tokens: %lld with the reference, %lld when it is known\n", (long long)first.n_tok,
           (long long)second.n_tok);
    assert_int_equal(alone.n_tok, first.n_tok);
    assert_int_equal(2 * second.n_tok, first.n_tok);
    int differ = 0;
    for (int i = 0; i < POOL_PROBLEMS * POOL_SAMPLES; i++) {
        assert_true(fabs(b[i] - c[i]) < 5e-3);
        differ += fabs(a[i] - b[i]) > 1e-3;
    }
    assert_true(differ > 50);
}

/* Every loss of scores at the tags. */
static void tag_losses(void **state) {
    (void)state;
    static const char *const losses[] = {"mse", "bradley_terry", "margin", "omega_pairwise"};
    char path[400], out[400], name[40];
    pool_copy(path, "tags.db");
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        rung_reward_report r;
        loss = losses[i];
        snprintf(name, sizeof name, "tag-%s.gguf", loss);
        assert_int_equal(train_into(&r, path, coin_path(out, name), NULL), RUNG_OK);
        printf("%s: %d epochs, held loss %.4f, auc %.4f\n", loss, r.epochs, r.loss_held,
               r.auc_held);
        assert_true(r.auc_held > .95);
    }
    loss = NULL;
}

static void refused(void **state) {
    (void)state;
    static const struct {
        rung_reward_kind kind;
        const char *loss;
    } bad[] = {{RUNG_REWARD_PRM_TOKEN, "dpo"},
               {RUNG_REWARD_PRM_IMPLICIT, "mse"},
               {RUNG_REWARD_PRM_HEAD, "kto"},
               {RUNG_REWARD_PRM_HEAD, "class_ce"}};
    char path[400];
    rung_store *s;
    rung_error e = RUNG_ERROR_INIT;
    pool_copy(path, "refused.db");
    OK(rung_store_open(&s, path, 0, err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rung_reward_train_opts o = train_opts(bad[i].kind, "x.gguf");
        o.loss = bad[i].loss;
        assert_int_equal(rung_reward_train(NULL, s, 1, &o, NULL, &e), RUNG_E_INVAL);
        assert_non_null(strstr(e.what, "does not train by"));
    }
    rung_reward_train_opts o = train_opts(RUNG_REWARD_PRM_IMPLICIT, "x.gguf");
    o.loss = "dpo";
    o.balance = RUNG_BALANCE_DATASET;
    assert_int_equal(rung_reward_train(NULL, s, 1, &o, NULL, &e), RUNG_E_INVAL);
    o = train_opts(RUNG_REWARD_PRM_TOKEN, "x.gguf");
    o.n_out = 2;
    assert_int_equal(rung_reward_train(NULL, s, 1, &o, NULL, &e), RUNG_E_INVAL);
    rung_store_close(s);
}

/* Problems that compare nothing take no part: the second has no wrong trace. */
static void plain_groups(void **state) {
    (void)state;
    int32_t group[] = {3, 3, 3, 7, 7, 9};
    const double label[] = {1, 0, 0, 1, 1, 0};
    reward_drop_plain_groups(group, label, 6);
    const int32_t want[] = {3, 3, 3, -1, -1, -1};
    assert_memory_equal(group, want, sizeof want);
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
        cmocka_unit_test(implicit_losses),
        cmocka_unit_test(reference_is_kept),
        cmocka_unit_test(tag_losses),
        cmocka_unit_test(refused),
        cmocka_unit_test(plain_groups),
        cmocka_unit_test(killed_and_resumed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
