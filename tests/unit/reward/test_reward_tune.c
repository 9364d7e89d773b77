/* Every kind of reward model with its base training too, whole or through adapters, under every
 * loss that a head takes: it learns, stops and goes on to the same bytes, is one file that opens
 * itself and scores as training did. */
#include "fixture_reward.h"
#include <math.h>

#include <cmocka.h>

typedef struct tune_case {
    const char *name;
    rung_reward_kind kind;
    rung_tune tune;
    const char *loss;
    double clip_value;
    int32_t n_hidden;
    double dropout, lr;
    int32_t epochs;
    double auc; /* reached at least */
} tune_case;

static const tune_case cases[] = {
    {"prm whole", RUNG_REWARD_PRM_HEAD, RUNG_TUNE_ALL, "bce", 0, 0, 0, 1e-3, 8, .99},
    {"prm two layers, mse", RUNG_REWARD_PRM_HEAD, RUNG_TUNE_ALL, "mse", 0, 8, 0, 1e-3, 8, .99},
    {"critic, clipped, adapters", RUNG_REWARD_PRM_HEAD, RUNG_TUNE_LORA, "value", .2, 8, .1, 3e-3, 8,
     .99},
    {"orm pairs", RUNG_REWARD_ORM_HEAD, RUNG_TUNE_ALL, "bradley_terry", 0, 0, 0, 1e-3, 6, .7},
    {"orm pairs, adapters", RUNG_REWARD_ORM_HEAD, RUNG_TUNE_LORA, "omega_pairwise", 0, 0, 0, 3e-3,
     6, .7},
    {"prm margin", RUNG_REWARD_PRM_HEAD, RUNG_TUNE_ALL, "margin", 0, 0, 0, 1e-3, 6, .7},
    {"token, adapters", RUNG_REWARD_PRM_TOKEN, RUNG_TUNE_LORA, NULL, 0, 0, 0, 1e-2, 20, .9},
    {"implicit, adapters", RUNG_REWARD_PRM_IMPLICIT, RUNG_TUNE_LORA, NULL, 0, 0, 0, 3e-2, 8, .7},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

typedef struct listener {
    int epochs, stop_at;
    double auc[64], loss[64];
} listener;

static int listen_in(void *ud, rung_level level, const char *name, const rung_field *f) {
    listener *l = ud;
    if (!strcmp(name, "reward.epoch")) {
        for (; f->kind != RUNG_FIELD_END; f++) {
            if (!strcmp(f->key, "held_auc")) l->auc[l->epochs] = f->d;
            if (!strcmp(f->key, "held_loss")) l->loss[l->epochs] = f->d;
        }
        l->epochs++;
    }
    /* in the middle of an epoch */
    return level == RUNG_PROGRESS && l->stop_at > 0 && l->epochs >= l->stop_at &&
           !strcmp(name, "reward.step");
}

static rung_reward_train_opts opts_of(const tune_case *k, const char *out) {
    rung_reward_train_opts o = train_opts(k->kind, out);
    o.tune = k->tune;
    o.loss = k->loss;
    o.clip_value = k->clip_value;
    o.n_hidden = k->n_hidden;
    o.lora.rank = 4;
    o.lora.dropout = k->dropout;
    o.lora.targets = "all";
    o.epochs = k->epochs;
    o.patience = k->epochs;
    o.batch = 2;
    o.lr = k->lr;
    o.beta = 0.5;
    o.save_type = "f32";
    if (k->kind == RUNG_REWARD_PRM_TOKEN) o.tag = "<?>";
    return o;
}

static rung_status train(rung_reward_report *r, const tune_case *k, const char *store,
                         const char *out, listener *l) {
    rung_store *s;
    OK(rung_store_open(&s, store, 0, err));
    rung_reward_train_opts o = opts_of(k, out);
    rung_error e = RUNG_ERROR_INIT;
    rung_log log = {listen_in, l};
    rung_status st = rung_reward_train(r, s, coin_run(s, "reward.train", "{}"), &o, &log, &e);
    if (st != RUNG_OK && st != RUNG_E_CANCELLED)
        fail_msg("%s: %s %s %s", k->name, e.what, e.detail, e.hint);
    rung_store_close(s);
    return st;
}

static void learn(const tune_case *k, int number) {
    char path[400], out[400], part[400], name[40], cmd[900];
    rung_reward_report r, again;
    listener l = {0}, stopping = {.stop_at = 2}, rest = {0};
    snprintf(name, sizeof name, "tune%d", number);
    coin_path(out, name);
    snprintf(name, sizeof name, "tune%d.db", number);
    pool_copy(path, name);
    assert_int_equal(train(&r, k, path, out, &l), RUNG_OK);
    printf("%-26s %2d epochs, held loss %.4f, auc %.4f\n", k->name, r.epochs, l.loss[l.epochs - 1],
           r.auc_held);
    assert_int_equal(r.epochs, l.epochs);
    assert_true(r.auc_held >= k->auc);
    /* one definition of AUC: the file's is that of the epoch that was kept */
    int best = 0;
    for (int i = 1; i < l.epochs; i++)
        if (l.loss[i] < l.loss[best]) best = i;
    assert_float_equal(r.auc_held, l.auc[best], 1e-9);
    snprintf(name, sizeof name, "part%d", number);
    coin_path(part, name);
    assert_int_equal(train(NULL, k, path, part, &stopping), RUNG_E_CANCELLED);
    assert_int_equal(train(&again, k, path, part, &rest), RUNG_OK);
    assert_int_equal(stopping.epochs + rest.epochs, l.epochs);
    assert_memory_equal(&r, &again, sizeof r);
    snprintf(cmd, sizeof cmd, "cmp -s %s %s", out, part);
    assert_int_equal(system(cmd), 0);
}

static void all_learn(void **state) {
    (void)state;
    for (int i = 0; i < N_CASES; i++) learn(&cases[i], i);
}

/* libllama on the file that was written scores the held-out steps as the trainer did. */
static void one_file(void **state) {
    (void)state;
    char path[400], out[400];
    rung_store *s;
    rung_reward *r;
    bool base;
    double right, wrong;
    coin_path(out, "tune0");
    OK(rung_reward_needs_base(&base, out, err));
    assert_false(base);
    pool_copy(path, "one.db");
    OK(rung_store_open(&s, path, 0, err));
    OK(rung_reward_open(&r, out, NULL, err));
    assert_int_equal(rung_reward_kind_of(r), RUNG_REWARD_PRM_HEAD);
    assert_string_equal(rung_reward_key(r, "tune", ""), "all");
    int64_t model = score_with(r, s, &(rung_filter){0});
    assert_true(score_range(&right, &wrong, s, model) > 300);
    assert_true(right > wrong);
    /* the same set, measured from the stored scores */
    reward_set set;
    rung_reward_train_opts o = opts_of(&cases[0], out);
    OK(reward_set_read(&set, s, &o, err));
    double *p = calloc((size_t)set.n_rows, sizeof *p);
    for (int64_t i = 0; i < set.n_rows; i++) {
        bool found;
        OK(rung_score_get(&p[i], &found, s, set.node[i], model, err));
        assert_true(found);
    }
    rung_reward_report m = {0};
    reward_measure(&m, p, &set);
    assert_float_equal(m.loss_held, strtod(rung_reward_key(r, "held_loss", "nan"), NULL), 1e-3);
    assert_float_equal(m.auc_held, strtod(rung_reward_key(r, "held_auc", "nan"), NULL), 1e-3);
    free(p);
    reward_set_clear(&set);
    rung_reward_free(r);
    rung_store_close(s);
    coin_path(out, "tune2"); /* adapters, value: merged, the output itself is the score */
    OK(rung_reward_open(&r, out, NULL, err));
    assert_true(r->head && r->head->value && r->head->n_hidden == 8);
    rung_reward_free(r);
}

static void refusals(void **state) {
    (void)state;
    char path[400], out[400];
    rung_store *s;
    rung_reward_report r;
    rung_error e = RUNG_ERROR_INIT;
    pool_copy(path, "refuse.db");
    OK(rung_store_open(&s, path, 0, err));
    rung_reward_train_opts o = opts_of(&cases[6], coin_path(out, "no.gguf"));
    o.tune = RUNG_TUNE_HEAD;
    assert_int_equal(rung_reward_train(&r, s, 0, &o, NULL, &e), RUNG_E_INVAL);
    o = opts_of(&cases[0], out);
    o.clip_value = .1;
    assert_int_equal(rung_reward_train(&r, s, 0, &o, NULL, &e), RUNG_E_INVAL);
    assert_non_null(strstr(e.what, "clip"));
    o = opts_of(&cases[0], out);
    o.loss = "dpo";
    assert_int_equal(rung_reward_train(&r, s, 0, &o, NULL, &e), RUNG_E_INVAL);
    o = opts_of(&cases[0], out);
    o.memory = 1;
    assert_int_equal(rung_reward_train(&r, s, 0, &o, NULL, &e), RUNG_E_LIMIT);
    o = opts_of(&cases[0], out);
    o.precision = "f8";
    assert_int_equal(rung_reward_train(&r, s, 0, &o, NULL, &e), RUNG_E_INVAL);
    rung_store_close(s);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_learn),
        cmocka_unit_test(one_file),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
