/* The fine-tuning loop: it learns, it resumes bit-equal after a stop and after kill -9, it packs
 * whole documents, it tells what happens. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rung/train.h"
#include "train/net.h"

#include <cmocka.h>

static const rung_net_shape SHAPE = {16, 16, 2, 2, 1, 24, 32, 10000, 1e-5f, true, 0, 0};
static rung_error err;
static char path[] = "/tmp/rung_sft_XXXXXX";

/* Document i: a run that counts up from an addressed start; the next token is certain. */
typedef struct corpus {
    int32_t tok[40], target[40];
    float weight[40];
    bool whole;       /* every document fills a row */
    int32_t n_held;   /* times the held-out loss was asked for */
    int32_t long_doc; /* this document is too long; -1 none */
    uint64_t seen[512];
    size_t n_seen;
} corpus;

static rung_status doc(void *ud, uint64_t i, const int32_t **tok, const int32_t **target,
                       const float **weight, int32_t *n, rung_error *e) {
    (void)e;
    corpus *c = ud;
    rung_rng r = rung_rng_at(3, RUNG_STREAM_TEST, i, 0);
    *n = (int32_t)rung_rng_between(&r, 3, 14);
    if ((int64_t)i == c->long_doc) *n = 33;
    if (c->whole) *n = 32;
    int32_t start = (int32_t)rung_rng_below(&r, 16);
    for (int32_t k = 0; k < *n; k++) {
        c->tok[k] = (start + k) % 16;
        c->target[k] = (start + k + 1) % 16;
        c->weight[k] = k > 0;
    }
    if (c->n_seen < 512) c->seen[c->n_seen++] = i;
    *tok = c->tok;
    *target = c->target;
    *weight = c->weight;
    return RUNG_OK;
}

static rung_sft_opts options(corpus *c, const char *checkpoint, int64_t steps) {
    memset(c, 0, sizeof *c);
    c->long_doc = -1;
    rung_adamw adamw = RUNG_ADAMW_INIT;
    adamw.lr = 0.01;
    return (rung_sft_opts){.struct_size = sizeof(rung_sft_opts),
                           .steps = steps,
                           .rows = 4,
                           .n_tok = 32,
                           .adamw = adamw,
                           .schedule = RUNG_SCHEDULE_COSINE,
                           .warmup = 5,
                           .seed = 9,
                           .checkpoint = checkpoint,
                           .checkpoint_every = 10,
                           .doc = doc,
                           .ud = c};
}

typedef struct log_count {
    int n, stop_at;
    int64_t first, last;
    double loss, eta;
} log_count;

static int emit(void *ud, rung_level level, const char *name, const rung_field *f) {
    log_count *k = ud;
    if (level != RUNG_PROGRESS || strcmp(name, "train.step") != 0) return 0;
    for (; f->kind != RUNG_FIELD_END; f++) {
        if (strcmp(f->key, "step") == 0) k->last = f->i;
        if (strcmp(f->key, "loss") == 0) k->loss = f->d;
        if (strcmp(f->key, "eta_s") == 0) k->eta = f->d;
    }
    if (k->n++ == 0) k->first = k->last;
    return k->stop_at > 0 && k->n >= k->stop_at;
}

static rung_net *make(void) {
    rung_net *net;
    assert_int_equal(rung_net_new(&net, &SHAPE, 1, &err), RUNG_OK);
    return net;
}

static void assert_same(const rung_net *a, const rung_net *b) {
    size_t n = (size_t)rung_net_n_params(a) * sizeof(float);
    assert_int_equal(rung_net_steps(a), rung_net_steps(b));
    assert_memory_equal(a->core->w, b->core->w, n);
    assert_memory_equal(a->m, b->m, n);
    assert_memory_equal(a->v, b->v, n);
}

typedef struct metric_count {
    int n_loss;
    double first, last;
} metric_count;

static void on_metric(void *ud, int64_t step, const char *name, double value) {
    metric_count *m = ud;
    if (!name || strcmp(name, "train/loss") != 0) return;
    if (step == 1) m->first = value;
    m->last = value;
    m->n_loss++;
}

static void test_learns_and_tells(void **state) {
    (void)state;
    corpus c;
    rung_sft_opts o = options(&c, NULL, 150);
    metric_count m = {0};
    log_count k = {0};
    rung_log log = {emit, &k};
    o.on_metric = on_metric;
    o.metric_ud = &m;
    rung_net *net = make();
    assert_int_equal(rung_sft_train(net, &o, &log, &err), RUNG_OK);
    assert_int_equal(m.n_loss, 150);
    print_message("  loss %.3f -> %.4f\n", m.first, m.last);
    assert_true(m.first > 2.5 && m.last < 0.05); /* ln 16 = 2.77 before */
    assert_true(k.first == 1 && k.last == 150 && k.loss == m.last && k.eta == 0);
    rung_net_free(net);
}

/* 40 steps = 20, stop, 20: the stop by the caller's wish or by a kill in the middle of a step. */
static void test_resume(void **state) {
    (void)state;
    close(mkstemp(path));
    unlink(path);
    corpus c;
    rung_net *whole = make(), *part = make();
    rung_sft_opts o = options(&c, NULL, 40);
    assert_int_equal(rung_sft_train(whole, &o, NULL, &err), RUNG_OK);

    log_count k = {.stop_at = 1};
    rung_log log = {emit, &k};
    o = options(&c, path, 40);
    assert_int_equal(rung_sft_train(part, &o, &log, &err), RUNG_E_CANCELLED);
    assert_true(rung_net_steps(part) < 40 && err.hint[0]);
    rung_net_free(part);
    part = make();
    o = options(&c, path, 40);
    assert_int_equal(rung_sft_train(part, &o, NULL, &err), RUNG_OK);
    assert_same(whole, part);
    rung_net_free(part);

    part = make(); /* finished: nothing left to do, same weights */
    assert_int_equal(rung_sft_train(part, &o, NULL, &err), RUNG_OK);
    assert_same(whole, part);
    rung_net_free(part);

    o.rows = 5;
    part = make();
    assert_int_equal(rung_sft_train(part, &o, NULL, &err), RUNG_E_MISMATCH);
    rung_net_free(part);
    rung_net_free(whole);
    unlink(path);
}

static void kill_at(void *ud, int64_t step, const char *name, double value) {
    (void)name, (void)value;
    if (step == *(int64_t *)ud) raise(SIGKILL);
}

/* The system says so in the middle of the write that would cross the limit. */
static void die(int signal) {
    (void)signal;
    kill(getpid(), SIGKILL);
}

static void limit_files(rlim_t bytes) {
    struct rlimit l;
    getrlimit(RLIMIT_FSIZE, &l);
    l.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

/* From that step on, a checkpoint is written up to its middle. */
static void kill_in_save(void *ud, int64_t step, const char *name, double value) {
    (void)value;
    if (name || step < *(int64_t *)ud) return;
    signal(SIGXFSZ, die);
    limit_files(8192);
}

/* libgomp's threads do not survive a fork, so the killed child is this program started anew. */
static int child(const char *checkpoint, int64_t kill_step) {
    corpus c;
    rung_net *net;
    bool in_save = kill_step < 0;
    if (in_save) kill_step = -kill_step;
    rung_sft_opts o = options(&c, checkpoint, 40);
    o.on_metric = in_save ? kill_in_save : kill_at;
    o.metric_ud = &kill_step;
    o.keep_last = in_save ? 2 : 0;
    if (rung_net_new(&net, &SHAPE, 1, &err) != RUNG_OK) return 1;
    return rung_sft_train(net, &o, NULL, &err) == RUNG_OK ? 0 : 1;
}

static const char *self;

static void test_kill(void **state) {
    (void)state;
    corpus c;
    rung_net *whole = make(), *part = make();
    rung_sft_opts o = options(&c, NULL, 40);
    assert_int_equal(rung_sft_train(whole, &o, NULL, &err), RUNG_OK);
    static const char *const at[] = {"7", "23", "30"}; /* before the first, between, on one */
    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            execl(self, self, "--child", path, at[i], (char *)NULL);
            _exit(9);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    o = options(&c, path, 40);
    assert_int_equal(rung_sft_train(part, &o, NULL, &err), RUNG_OK);
    assert_same(whole, part);
    rung_net_free(whole);
    rung_net_free(part);
    unlink(path);
}

static void run_child(const char *at) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        execl(self, self, "--child", path, at, (char *)NULL);
        _exit(9);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void drop_files(void) {
    static const char *const suffixes[] = {"", ".1", ".2", ".3", ".best", ".next"};
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        char file[80];
        snprintf(file, sizeof file, "%s%s", path, suffixes[i]);
        unlink(file);
    }
}

/* Killed with half of a checkpoint written, twice: what was there before is whole, nothing of the
 * half is found, and the run that goes on ends in the same bits. */
static void test_kill_in_save(void **state) {
    (void)state;
    corpus c;
    rung_net *whole = make(), *part = make();
    rung_sft_opts o = options(&c, NULL, 40);
    assert_int_equal(rung_sft_train(whole, &o, NULL, &err), RUNG_OK);
    drop_files();
    run_child("-20");
    run_child("-30");
    char next[80];
    snprintf(next, sizeof next, "%s.next", path);
    assert_int_not_equal(access(next, F_OK), 0);
    o = options(&c, path, 40); /* what is there: step 20, the second child's first save */
    o.keep_last = 2;
    log_count k = {0};
    rung_log log = {emit, &k};
    assert_int_equal(rung_sft_train(part, &o, &log, &err), RUNG_OK);
    assert_int_equal(k.first, 21);
    assert_same(whole, part);
    rung_net_free(whole);
    rung_net_free(part);
    drop_files();
}

static rung_status falling(void *ud, double *loss, rung_net *net, rung_error *e) {
    (void)ud, (void)e;
    *loss = 1.0 / (double)(1 + rung_net_steps(net));
    return RUNG_OK;
}

static void fill_disk(void *ud, int64_t step, const char *name, double value) {
    (void)value;
    if (name && step == *(int64_t *)ud) limit_files(8192);
}

static int64_t steps_in(const char *suffix) {
    char file[80];
    unsigned char bytes[256];
    rung_net *net = make();
    snprintf(file, sizeof file, "%s%s", path, suffix);
    rung_status st = RUNG_E_MISMATCH;
    for (size_t n = 8; n <= sizeof bytes && st == RUNG_E_MISMATCH; n += 8)
        st = rung_net_resume(net, file, bytes, n, &err);
    int64_t steps = st == RUNG_OK ? rung_net_steps(net) : -1;
    rung_net_free(net);
    return steps;
}

/* A disk that fills up: the last ones and the best stay as they were, all of them whole, and the
 * run goes on from there when there is room again. */
static void test_disk_full(void **state) {
    (void)state;
    corpus c;
    int64_t full_at = 35;
    rung_net *whole = make(), *part = make();
    rung_sft_opts o = options(&c, NULL, 40);
    assert_int_equal(rung_sft_train(whole, &o, NULL, &err), RUNG_OK);
    drop_files();
    signal(SIGXFSZ, SIG_IGN);
    o = options(&c, path, 40);
    o.keep_last = 3;
    o.on_metric = fill_disk;
    o.metric_ud = &full_at;
    for (int again = 0; again < 2; again++) { /* trying again loses nothing more */
        rung_net *net = make();
        o.held = again ? NULL : falling; /* the best comes first; then the last */
        rung_status st = rung_sft_train(net, &o, NULL, &err);
        limit_files(RLIM_INFINITY);
        assert_int_equal(st, RUNG_E_FULL);
        assert_true(err.hint[0]);
        rung_net_free(net);
        assert_int_equal(steps_in(""), 30);
        assert_int_equal(steps_in(".1"), 20);
        assert_int_equal(steps_in(".2"), 10);
        assert_int_equal(steps_in(".best"), 30);
    }
    o.on_metric = NULL;
    assert_int_equal(rung_sft_train(part, &o, NULL, &err), RUNG_OK);
    assert_same(whole, part);
    assert_int_equal(steps_in(".1"), 30);
    rung_net_free(whole);
    rung_net_free(part);
    drop_files();
}

/* Torn, damaged, foreign: told apart from a run that begins, with what to do. */
static void test_bad_checkpoints(void **state) {
    (void)state;
    corpus c;
    rung_net *net = make();
    rung_sft_opts o = options(&c, path, 10);
    drop_files();
    assert_int_equal(rung_sft_train(net, &o, NULL, &err), RUNG_OK);
    rung_net_free(net);
    rung_buf good;
    rung_buf_init(&good, 1u << 24);
    assert_int_equal(rung_file_read(&good, path, &err), RUNG_OK);
    for (int k = 0; k < 4; k++) {
        size_t n = k == 0 ? good.n / 2 : k == 1 ? 3 : good.n;
        if (k == 2) good.data[good.n / 2] ^= 1; /* a bit */
        if (k == 3) good.data[0] = 'X';
        assert_int_equal(rung_file_write(path, good.data, n, &err), RUNG_OK);
        net = make();
        assert_int_equal(rung_sft_train(net, &o, NULL, &err), RUNG_E_FORMAT);
        assert_non_null(strstr(err.what, path));
        assert_non_null(strstr(err.hint, "delete it"));
        assert_int_equal(rung_net_steps(net), 0);
        rung_net_free(net);
    }
    rung_buf_clear(&good);
    drop_files();
}

typedef struct drops {
    int64_t document, tokens, total;
} drops;

static int count_drops(void *ud, rung_level level, const char *name, const rung_field *f) {
    drops *d = ud;
    if (level != RUNG_WARN) return 0;
    for (; f->kind != RUNG_FIELD_END; f++) {
        if (strcmp(name, "train.too_long") == 0 && strcmp(f->key, "document") == 0)
            d->document = f->i;
        if (strcmp(name, "train.too_long") == 0 && strcmp(f->key, "tokens") == 0) d->tokens = f->i;
        if (strcmp(name, "train.dropped") == 0 && strcmp(f->key, "documents") == 0) d->total = f->i;
    }
    return 0;
}

static void test_packing(void **state) {
    (void)state;
    corpus c;
    rung_net *net = make();
    rung_sft_opts o = options(&c, NULL, 10);
    assert_int_equal(rung_sft_train(net, &o, NULL, &err), RUNG_OK);
    /* In order, none left out; one that did not fit is asked for again, not skipped. */
    for (size_t i = 1; i < c.n_seen; i++)
        assert_true(c.seen[i] == c.seen[i - 1] || c.seen[i] == c.seen[i - 1] + 1);
    o = options(&c, NULL, 10);
    c.long_doc = 3;
    assert_int_equal(rung_sft_train(net, &o, NULL, &err), RUNG_OK); /* has its 10 steps already */
    rung_net_free(net);
    net = make();
    assert_int_equal(rung_sft_train(net, &o, NULL, &err), RUNG_E_LIMIT);
    assert_non_null(strstr(err.what, "document 3"));
    /* Left out by choice, and told. */
    drops d = {0};
    rung_log log = {count_drops, &d};
    c.n_seen = 0;
    o.drop_too_long = true;
    assert_int_equal(rung_sft_train(net, &o, &log, &err), RUNG_OK);
    assert_true(d.document == 3 && d.tokens == 33 && d.total == 1);
    for (size_t i = 1; i < c.n_seen; i++)
        assert_true(c.seen[i] == c.seen[i - 1] || c.seen[i] == c.seen[i - 1] + 1);
    o.n_tok = 33;
    assert_int_equal(rung_sft_train(net, &o, NULL, &err), RUNG_E_INVAL); /* above n_ctx */
    o.struct_size = 3;
    assert_int_equal(rung_sft_train(net, &o, NULL, &err), RUNG_E_INVAL);
    rung_net_free(net);
}

/* Two batches of two rows a step = one of four, up to the order of sums. */
static void test_accumulate(void **state) {
    (void)state;
    float *w[2];
    size_t n = 0;
    for (int k = 0; k < 2; k++) {
        corpus c;
        rung_net *net;
        rung_sft_opts o = options(&c, NULL, 5);
        c.whole = true;
        o.rows = k == 0 ? 4 : 2;
        o.accumulate = k == 0 ? 1 : 2;
        assert_int_equal(rung_net_new(&net, &SHAPE, 1, &err), RUNG_OK);
        assert_int_equal(rung_sft_train(net, &o, NULL, &err), RUNG_OK);
        n = (size_t)net->core->n_params;
        w[k] = malloc(n * sizeof(float));
        memcpy(w[k], net->core->w, n * sizeof(float));
        rung_net_free(net);
    }
    for (size_t i = 0; i < n; i++) assert_float_equal((double)w[0][i], (double)w[1][i], 2e-5);
    free(w[0]);
    free(w[1]);
}

/* Held-out losses 3, 1, 2, 2 at steps 2, 4, 6, 8: the best is that of step 4. */
static rung_status held(void *ud, double *loss, rung_net *net, rung_error *e) {
    static const double losses[] = {3, 1, 2, 2};
    corpus *c = ud;
    (void)net;
    (void)e;
    *loss = losses[c->n_held++];
    return RUNG_OK;
}

static void test_last_and_best(void **state) {
    (void)state;
    static const struct {
        const char *suffix;
        int64_t step; /* -1: no such file */
    } want[] = {{"", 8}, {".1", 6}, {".2", 4}, {".3", -1}, {".best", 4}};
    corpus c;
    rung_net *net;
    unlink(path);
    rung_sft_opts o = options(&c, path, 8);
    o.checkpoint_every = 2;
    o.keep_last = 3;
    o.held = held;
    assert_int_equal(rung_net_new(&net, &SHAPE, 1, &err), RUNG_OK);
    assert_int_equal(rung_sft_train(net, &o, NULL, &err), RUNG_OK);
    assert_int_equal(c.n_held, 4);
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        char file[80], state_bytes[96];
        snprintf(file, sizeof file, "%s%s", path, want[i].suffix);
        if (want[i].step < 0) {
            assert_int_not_equal(access(file, F_OK), 0);
            continue;
        }
        rung_status st = RUNG_E_MISMATCH;
        for (size_t n = 8; n <= sizeof state_bytes && st == RUNG_E_MISMATCH; n += 8)
            st = rung_net_resume(net, file, state_bytes, n, &err);
        assert_int_equal(st, RUNG_OK);
        assert_int_equal(rung_net_steps(net), want[i].step);
        unlink(file);
    }
    rung_net_free(net);
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "--child") == 0) return child(argv[2], atoll(argv[3]));
    self = argv[0];
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_learns_and_tells),
                                       cmocka_unit_test(test_resume),
                                       cmocka_unit_test(test_kill),
                                       cmocka_unit_test(test_kill_in_save),
                                       cmocka_unit_test(test_disk_full),
                                       cmocka_unit_test(test_bad_checkpoints),
                                       cmocka_unit_test(test_packing),
                                       cmocka_unit_test(test_accumulate),
                                       cmocka_unit_test(test_last_and_best)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
