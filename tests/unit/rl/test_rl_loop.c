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

static void test_killed(void **state) {
    (void)state;
    rung_rl_opts o = small();
    rung_rl_report r;
    rung_error err = RUNG_ERROR_INIT;
    char whole[33], resumed[33], start[33], out_a[160], out_b[160], ckpt[160];
    int64_t fatal = 3;
    snprintf(out_a, sizeof out_a, "%s", at("a.gguf"));
    snprintf(out_b, sizeof out_b, "%s", at("b.gguf"));
    snprintf(ckpt, sizeof ckpt, "%s", at("b.ckpt"));
    o.out_type = "f32";
    o.out = out_b;
    o.checkpoint = ckpt;
    /* first: a child of a process that has run OpenMP threads cannot run its own */
    pid_t child = fork();
    if (child == 0) {
        o.on_metric = die_at;
        o.metric_ud = &fatal;
        (void)go("b", &o, &r, &err);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(access(ckpt, R_OK), 0);
    assert_int_not_equal(access(out_b, R_OK), 0);
    if (go("b", &o, &r, &err) != RUNG_OK) fail_msg("%s", err.what);
    o.out = out_a;
    o.checkpoint = NULL;
    if (go("a", &o, &r, &err) != RUNG_OK) fail_msg("%s", err.what);
    assert_int_equal(r.steps, 4);
    assert_true(r.n_answers >= 4 * 8 && r.sampler_gap < 1e-2);
    print_message("  push %.1f ms, gap %.2g, kl %.3g\n", r.push_ms, r.sampler_gap, r.kl_last);
    hash_of(whole, out_a);
    hash_of(resumed, out_b);
    hash_of(start, policy);
    assert_string_equal(whole, resumed);
    assert_string_not_equal(whole, start);
    o.out = out_b;
    o.checkpoint = ckpt;
    o.group = 5; /* a checkpoint of another configuration */
    assert_int_equal(go("b", &o, &r, &err), RUNG_E_MISMATCH);
}

/* Every answer is there, with the policy's version beside it. */
static void test_rows(void **state) {
    (void)state;
    int64_t run, n = 0, late = 0;
    rung_store *s = open_store(at("a.db"), &run);
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

/* Step rewards that a world gives, min-form, through every estimator that needs no value head. */
static void test_estimators(void **state) {
    (void)state;
    for (int id = 0; id < RUNG_ADVANTAGE_COUNT; id++) {
        rung_rl_opts o = small();
        rung_rl_report r;
        rung_error err = RUNG_ERROR_INIT;
        char name[32];
        if (rung_advantage_needs((rung_advantage_id)id) & RUNG_ADVANTAGE_NEEDS_VALUE) continue;
        o.estimator = rung_advantage_name((rung_advantage_id)id);
        o.source = RUNG_RL_SOURCE_TRUTH;
        o.exact = false;
        o.steps = 1;
        o.waves = o.epochs = o.minibatches = 1;
        o.keep_traces = false;
        snprintf(name, sizeof name, "e%d", id);
        if (go(name, &o, &r, &err) != RUNG_OK) fail_msg("%s: %s", o.estimator, err.what);
        assert_int_equal(r.n_answers, 8);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_killed), cmocka_unit_test(test_rows),
                                       cmocka_unit_test(test_estimators)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
