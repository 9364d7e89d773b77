/* The loop on the tiny policy: killed in mid-step and gone on, the weights of an unkilled run; the
 * same seed the same run; rows of the store with the policy's version; the update's direction. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rung/problem.h"
#include "rung/rl.h"

#include <cmocka.h>

static char folder[64], policy[1024];

static const char *at(const char *name) {
    static char path[4][160];
    static int k;
    k = (k + 1) % 4;
    snprintf(path[k], sizeof path[k], "%s/%s", folder, name);
    return path[k];
}

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/rung-rl.XXXXXX");
    snprintf(policy, sizeof policy, "%s/models/tiny.gguf", RUNG_SOURCE_DIR);
    return mkdtemp(folder) == NULL;
}
static int tear_down(void **state) {
    char cmd[128];
    (void)state;
    snprintf(cmd, sizeof cmd, "rm -rf %s", folder);
    return system(cmd) != 0;
}

static rung_rl_opts small(void) {
    rung_rl_opts o = RUNG_RL_OPTS_INIT;
    o.policy = policy;
    o.steps = 4;
    o.prompts = 2;
    o.group = 4;
    o.max_tok = 80;
    o.temperature = 1;
    o.rows = 4;
    o.row_tok = 192;
    o.seed = 3;
    o.exact = true;
    o.n_threads = 1;
    o.waves = 2;
    o.epochs = 2;
    o.minibatches = 2;
    o.checkpoint_every = 2;
    o.loss_opts.kl_coef = .01;
    o.keep_traces = true;
    return o;
}

static rung_store *open_store(const char *path, int64_t *run_id) {
    rung_store *s = NULL;
    rung_error err = RUNG_ERROR_INIT;
    rung_world_opts wo = RUNG_WORLD_OPTS_INIT;
    rung_run run = {.kind = "rl.train", .config = "{}", .seed = 1};
    int64_t n_new;
    wo.seed = 5;
    if (rung_store_open(&s, path, RUNG_STORE_CREATE, &err) != RUNG_OK ||
        rung_problem_generate(&n_new, s, "total", NULL, "train=12", 0, &wo, NULL, &err) !=
            RUNG_OK ||
        rung_run_begin(s, &run, &err) != RUNG_OK)
        fail_msg("%s", err.what);
    *run_id = run.id;
    return s;
}

static void die_at(void *ud, int64_t step, const char *name, double value) {
    (void)value;
    if (name && step == *(int64_t *)ud && strcmp(name, "train/loss") == 0) raise(SIGKILL);
}

static rung_status go(const char *name, const rung_rl_opts *o, rung_rl_report *r, rung_error *err) {
    int64_t run;
    char db[64];
    snprintf(db, sizeof db, "%s.db", name);
    rung_store *s = open_store(at(db), &run);
    rung_status st = rung_rl_train(r, s, run, o, NULL, err);
    rung_store_close(s);
    return st;
}

static void hash_of(char out[33], const char *path) {
    rung_error err = RUNG_ERROR_INIT;
    if (rung_hash_file(out, path, &err) != RUNG_OK) fail_msg("%s", err.what);
}

typedef struct job {
    const char *name;
    rung_rl_opts o;
    char out_a[160], out_b[160], ckpt[160], db_a[32], db_b[32], whole[33];
} job;

static void fill_jobs(job j[4]) {
    static const char *const names[] = {"plain", "gae", "prime", "lora"};
    for (int k = 0; k < 4; k++) {
        j[k] = (job){.name = names[k], .o = small()};
        snprintf(j[k].out_a, sizeof j[k].out_a, "%s/%s.a.gguf", folder, names[k]);
        snprintf(j[k].out_b, sizeof j[k].out_b, "%s/%s.b.gguf", folder, names[k]);
        snprintf(j[k].ckpt, sizeof j[k].ckpt, "%s/%s.ckpt", folder, names[k]);
        snprintf(j[k].db_a, sizeof j[k].db_a, "%s.a", names[k]);
        snprintf(j[k].db_b, sizeof j[k].db_b, "%s.b", names[k]);
        j[k].o.out_type = "f32";
        j[k].o.out = j[k].out_b;
        j[k].o.checkpoint = j[k].ckpt;
    }
    j[1].o.estimator = "gae";
    j[2].o.estimator = "prime";
    j[2].o.source = RUNG_RL_SOURCE_IMPLICIT;
    j[3].o.lora_rank = 4;
    j[3].o.lora_targets = "all";
    j[3].o.adamw.lr = 1e-3;
}

/* Killed in step 3, after the checkpoint of step 2. */
static void kill_one(job *j) {
    rung_rl_report r;
    rung_error err = RUNG_ERROR_INIT;
    int64_t fatal = 3;
    int status;
    pid_t child = fork();
    if (child == 0) {
        j->o.on_metric = die_at;
        j->o.metric_ud = &fatal;
        (void)go(j->db_b, &j->o, &r, &err);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(access(j->ckpt, R_OK), 0);
    assert_int_not_equal(access(j->out_b, R_OK), 0);
}

/* Gone on, and a run that nobody killed. */
static void resume_one(job *j) {
    rung_rl_report r;
    rung_error err = RUNG_ERROR_INIT;
    char resumed[33], cmd[256];
    if (go(j->db_b, &j->o, &r, &err) != RUNG_OK) fail_msg("%s: %s", j->name, err.what);
    j->o.out = j->out_a;
    j->o.checkpoint = NULL;
    if (go(j->db_a, &j->o, &r, &err) != RUNG_OK) fail_msg("%s: %s", j->name, err.what);
    assert_int_equal(r.steps, 4);
    assert_true(r.n_answers >= 4 * 8 && r.sampler_gap < 5e-2);
    print_message("  %s: push %.1f ms, gap %.2g, kl %.3g\n", j->name, r.push_ms, r.sampler_gap,
                  r.kl_last);
    hash_of(j->whole, j->out_a);
    hash_of(resumed, j->out_b);
    assert_string_equal(j->whole, resumed);
    j->o.out = j->out_b;
    j->o.checkpoint = j->ckpt;
    j->o.group = 5; /* a checkpoint of another configuration */
    assert_int_equal(go(j->db_b, &j->o, &r, &err), RUNG_E_MISMATCH);
    rung_rl_remove_checkpoint(j->ckpt);
    snprintf(cmd, sizeof cmd, "test -z \"$(ls %s | grep '^%s.ckpt')\"", folder, j->name);
    assert_int_equal(system(cmd), 0); /* nothing of it is left */
}

static void test_killed(void **state) {
    (void)state;
    job j[4];
    char start[33];
    fill_jobs(j);
    /* first: a child of a process that has run OpenMP threads cannot run its own */
    for (int k = 0; k < 4; k++) kill_one(&j[k]);
    for (int k = 0; k < 4; k++) resume_one(&j[k]);
    hash_of(start, policy);
    for (int k = 0; k < 4; k++) {
        assert_string_not_equal(j[k].whole, start);
        for (int i = 0; i < k; i++) assert_string_not_equal(j[k].whole, j[i].whole);
    }
}

/* Every answer is there, with the policy's version beside it. */
static void test_rows(void **state) {
    (void)state;
    int64_t run, n = 0, late = 0;
    rung_store *s = open_store(at("plain.a.db"), &run);
    rung_iter *it;
    const rung_trace *t;
    rung_error err = RUNG_ERROR_INIT;
    rung_status st;
    assert_int_equal(rung_trace_iter(&it, s, &(rung_filter){.run = run}, &err), RUNG_OK);
    while ((st = rung_trace_next(&t, it, &err)) == RUNG_OK) {
        int version = -1;
        assert_int_equal(sscanf(t->generator, "policy@%d", &version), 1);
        assert_true(version >= 0 && version < 4);
        assert_true(t->n_tok > 0 && t->logprob_draw != NULL);
        late += version == 3;
        n++;
    }
    assert_int_equal(st, RUNG_DONE);
    assert_true(n >= 32 && late >= 8);
    rung_iter_free(it);
    rung_store_close(s);
}

/* Step rewards that a world gives through every estimator; those of an implicit model too. */
static void test_estimators(void **state) {
    (void)state;
    for (int id = 0; id < RUNG_ADVANTAGE_COUNT; id++) {
        rung_rl_opts o = small();
        rung_rl_report r;
        rung_error err = RUNG_ERROR_INIT;
        char name[32];
        o.estimator = rung_advantage_name((rung_advantage_id)id);
        o.source = RUNG_RL_SOURCE_TRUTH;
        o.exact = false;
        o.steps = 1;
        o.waves = o.epochs = o.minibatches = 1;
        o.keep_traces = false;
        o.group = 2;
        o.filter.keep_flat = true;
        snprintf(name, sizeof name, "e%d", id);
        if (go(name, &o, &r, &err) != RUNG_OK) fail_msg("%s: %s", o.estimator, err.what);
        assert_int_equal(r.n_answers, 4);
        if (id != RUNG_ADVANTAGE_PRIME && id != RUNG_ADVANTAGE_OPRL &&
            id != RUNG_ADVANTAGE_MIN_FORM)
            continue;
        o.source = RUNG_RL_SOURCE_IMPLICIT;
        o.implicit_loss = id == RUNG_ADVANTAGE_OPRL ? RUNG_RL_IMPLICIT_DPO : RUNG_RL_IMPLICIT_CE;
        o.implicit_update_first = true;
        o.implicit_rolling = id == RUNG_ADVANTAGE_OPRL;
        if (go(name, &o, &r, &err) != RUNG_OK) fail_msg("%s: %s", o.estimator, err.what);
    }
}

/* What a run told of one series. */
typedef struct series {
    const char *name;
    double v[64];
    int n;
} series;
static void keep_series(void *ud, int64_t step, const char *name, double value) {
    series *s = ud;
    (void)step;
    if (name && strcmp(name, s->name) == 0 && s->n < 64) s->v[s->n++] = value;
}

static rung_rl_opts quick(void) {
    rung_rl_opts o = small();
    o.exact = false;
    o.keep_traces = false;
    o.waves = o.epochs = o.minibatches = 1;
    o.filter.keep_flat = true;
    return o;
}

/* The critic learns alone while it warms up: the policy's weights stay. */
static void test_critic_warmup(void **state) {
    (void)state;
    rung_rl_opts o = quick();
    rung_rl_report r;
    rung_error err = RUNG_ERROR_INIT;
    series s = {.name = "critic/vf_loss"};
    char start[33], end[33], moved[33], a[160], b[160];
    snprintf(a, sizeof a, "%s", at("warm.gguf"));
    snprintf(b, sizeof b, "%s", at("start.gguf"));
    rung_net *net = NULL;
    assert_int_equal(rung_net_load(&net, policy, &err), RUNG_OK);
    assert_int_equal(rung_net_save(net, b, "f32", &err), RUNG_OK);
    rung_net_free(net);
    o.out = a;
    o.out_type = "f32";
    o.estimator = "gae";
    o.steps = o.critic_warmup = 9;
    o.adamw.lr = 1e-3;
    o.on_metric = keep_series;
    o.metric_ud = &s;
    if (go("warm", &o, &r, &err) != RUNG_OK) fail_msg("%s", err.what);
    hash_of(start, b);
    hash_of(end, a);
    assert_string_equal(start, end);
    assert_int_equal(s.n, 9);
    double first = (s.v[0] + s.v[1] + s.v[2]) / 3, last = (s.v[6] + s.v[7] + s.v[8]) / 3;
    print_message("  value loss %.3g, then %.3g\n", first, last);
    assert_true(last < .9 * first);
    o.critic_warmup = 1;
    o.steps = 2;
    if (go("warm", &o, &r, &err) != RUNG_OK) fail_msg("%s", err.what);
    hash_of(moved, a);
    assert_string_not_equal(start, moved);
}

/* An implicit model that starts as the reference gives rewards of 0: frozen, prime is whitened
 * rloo; learning, it comes to tell right answers from wrong ones (rewards.md 2). */
static void test_implicit(void **state) {
    (void)state;
    rung_rl_opts o = quick();
    rung_rl_report r;
    rung_error err = RUNG_ERROR_INIT;
    series frozen = {.name = "rewards/step/mean"}, loss = {.name = "rewards/implicit/loss"};
    o.estimator = "prime";
    o.source = RUNG_RL_SOURCE_IMPLICIT;
    o.implicit_frozen = true;
    o.on_metric = keep_series;
    o.metric_ud = &frozen;
    o.adamw.lr = 1e-4;
    o.steps = 2;
    if (go("frozen", &o, &r, &err) != RUNG_OK) fail_msg("%s", err.what);
    for (int i = 0; i < 2; i++) assert_true(fabs(frozen.v[i]) < 1e-6);
    o.implicit_frozen = false;
    o.implicit_lr = 2e-3;
    o.prompts = 4;
    o.adamw.lr = 1e-7; /* the answers stay as they are */
    o.steps = 8;
    for (int how = 0; how < 2; how++) {
        loss.n = 0;
        o.implicit_loss = how ? RUNG_RL_IMPLICIT_DPO : RUNG_RL_IMPLICIT_CE;
        o.metric_ud = &loss;
        if (go("online", &o, &r, &err) != RUNG_OK) fail_msg("%s", err.what);
        double last = 0;
        for (int i = 6; i < 8; i++) last += loss.v[i] / 2;
        print_message("  implicit loss %.4g at first, %.4g at last\n", loss.v[0], last);
        assert_true(fabs(loss.v[0] - log(2)) < 1e-3); /* sigma(0) */
        assert_true(last < log(2) - 5e-3);
    }
}

/* Too fast a learner goes far from the reference; it is brought back, thrice, then stops. */
static void test_roll_back(void **state) {
    (void)state;
    rung_rl_opts o = quick();
    rung_rl_report r;
    rung_error err = RUNG_ERROR_INIT;
    char ckpt[160], out[160];
    snprintf(ckpt, sizeof ckpt, "%s", at("back.ckpt"));
    snprintf(out, sizeof out, "%s", at("back.gguf"));
    o.watch_action = "rollback";
    assert_int_equal(rung_rl_check(&o, &err), RUNG_E_INVAL); /* back to where? */
    o.checkpoint = ckpt;
    o.checkpoint_every = 1;
    o.out = out;
    o.steps = 40;
    o.adamw.lr = .03;
    if (go("back", &o, &r, &err) != RUNG_OK) fail_msg("%s", err.what);
    print_message("  %lld roll-backs, %lld alarms, paused %d at step %lld\n",
                  (long long)r.n_rollbacks, (long long)r.n_alarms, r.paused, (long long)r.steps);
    assert_int_equal(r.n_rollbacks, 3);
    assert_true(r.paused && r.n_alarms >= 4 && r.steps < 40);
    assert_int_not_equal(access(out, F_OK), 0);
    assert_int_equal(access(ckpt, F_OK), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed),     cmocka_unit_test(test_rows),
        cmocka_unit_test(test_estimators), cmocka_unit_test(test_critic_warmup),
        cmocka_unit_test(test_implicit),   cmocka_unit_test(test_roll_back)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
