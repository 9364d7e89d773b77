/* kill -9 at 20 random points of a writing process: the store is whole, and running the same work
 * again ends with the rows of a run that was never killed (apart from times). */
#include "rung/rng.h"
#include "unit/store/store_fixture.h"

#include <signal.h>
#include <sys/wait.h>

#define N_PROBLEMS 40
#define N_SAMPLES  6
#define N_KILLS    20

/* The work of a sampling stage and a labelling stage, resumable by keys alone. */
static rung_status work(rung_store *s, int64_t p_usleep, rung_error *err) {
    rung_run sample = {.name = "pool", .kind = "trace.sample", .config = "{}", .seed = 3};
    rung_run mc = {.name = "mc", .kind = "label.mc", .config = "{}", .seed = 3};
    RUNG_TRY(rung_run_begin(s, &sample, err));
    RUNG_TRY(rung_run_begin(s, &mc, err));
    for (int k = 0; k < N_PROBLEMS; k++) {
        char key[16];
        snprintf(key, sizeof key, "%d", k);
        rung_problem p = {.set = "w", .split = "train", .key = key, .question = "q", .answer = "1"};
        RUNG_TRY(rung_store_begin(s, err)); /* a batch: the traces of one problem */
        RUNG_TRY(rung_problem_put(s, &p, NULL, err));
        for (int i = 0; i < N_SAMPLES; i++) {
            rung_step step[3];
            char text[128];
            int n = 0;
            rung_rng r = rung_rng_at(3, RUNG_STREAM_TEST, (uint64_t)k, (uint64_t)i);
            for (int j = 0; j < 3; j++) {
                step[j] = (rung_step){.byte_begin = n};
                n += snprintf(text + n, sizeof text - (size_t)n, "s%d\n",
                              (int)rung_rng_below(&r, 3));
                step[j].byte_end = n;
            }
            rung_trace t = {.run = sample.id,
                            .problem = p.id,
                            .i = i,
                            .generator = "tiny",
                            .text = text,
                            .n_bytes = n,
                            .n_steps = 3,
                            .first_error = -1};
            RUNG_TRY(rung_trace_put(s, &t, step, NULL, err));
        }
        RUNG_TRY(rung_store_commit(s, err));
        if (p_usleep) usleep((useconds_t)p_usleep);
    }
    RUNG_TRY(rung_run_finish(s, sample.id, err));
    rung_iter *it = NULL;
    const rung_trace *t;
    RUNG_TRY(rung_trace_iter(&it, s, &(rung_filter){.run = sample.id}, err));
    rung_status st;
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        for (int j = 0; j < t->n_steps && st == RUNG_OK; j++) {
            rung_rollout r = {.run = mc.id,
                              .node = t->step[j].node,
                              .text = "x",
                              .answer = "1",
                              .verdict = RUNG_VERDICT_CORRECT,
                              .n_tok = 4,
                              .logprob = -1.0};
            st = rung_rollout_put(s, &r, NULL, err);
            rung_label l = {.run = mc.id,
                            .node = r.node,
                            .source = "mc",
                            .labeler = "tiny",
                            .hard = 1,
                            .soft = 1.0,
                            .n = 1,
                            .c = 1};
            if (st == RUNG_OK) st = rung_label_put(s, &l, NULL, err);
        }
        if (st != RUNG_OK) break;
    }
    rung_iter_free(it);
    if (st != RUNG_DONE) return st;
    return rung_run_finish(s, mc.id, err);
}

static int child(int64_t p_usleep) {
    rung_error err = RUNG_ERROR_INIT;
    rung_store *s = NULL;
    rung_status st = rung_store_open(&s, fx_db, RUNG_STORE_CREATE, &err);
    if (st == RUNG_OK) st = work(s, p_usleep, &err);
    rung_store_close(s);
    if (st != RUNG_OK) print_error("%s (%s)\n", err.what, err.detail);
    return st == RUNG_OK ? 0 : 1;
}

static pid_t start(int64_t p_usleep) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) _exit(child(p_usleep));
    return pid;
}

/* All rows, with the two columns of times set to 0. */
static char *rows_without_times(void) {
    rung_store *s = fx_open(fx_db, RUNG_STORE_READ_ONLY);
    fx_check_ok(s);
    char *text = fx_export(s);
    rung_store_close(s);
    static const char *const keys[] = {"\"started_ms\":", "\"finished_ms\":"};
    for (int k = 0; k < 2; k++)
        for (char *p = text; (p = strstr(p, keys[k]));) {
            char *digits = p += strlen(keys[k]);
            while (*p >= '0' && *p <= '9') p++;
            if (*digits != '0')
                memset(digits, '9', (size_t)(p - digits)); /* finished or not stays */
        }
    return text;
}

static void killed_and_resumed_equals_unkilled(void **state) {
    (void)state;
    double t0 = rung_now();
    pid_t pid = start(500);
    int status = -1;
    waitpid(pid, &status, 0);
    double whole = rung_now() - t0;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    char *want = rows_without_times();
    fx_teardown(NULL);
    fx_setup(NULL);
    rung_rng r = rung_rng_at((uint64_t)rung_unix_ms(), RUNG_STREAM_TEST, 0, 0);
    int n_killed = 0;
    for (int k = 0; k < N_KILLS; k++) {
        /* later and later, so that all of the work is hit: a third of the store is made anew */
        if (k % 3 == 0) {
            fx_teardown(NULL);
            fx_setup(NULL);
        }
        pid = start(500);
        usleep((useconds_t)(rung_rng_f64(&r) * whole * 1e6 * 0.9));
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        n_killed += WIFSIGNALED(status);
        /* the first run was slower than these: the disk was cold, or the machine busy */
        if (!WIFSIGNALED(status)) whole *= 0.7;
        if (access(fx_db, F_OK) != 0) continue; /* killed before it made the file */
        rung_error err = RUNG_ERROR_INIT;
        rung_store *s = NULL;
        rung_status st = rung_store_open(&s, fx_db, RUNG_STORE_CREATE, &err);
        if (st != RUNG_OK) fail_msg("after kill %d: %s (%s)", k, err.what, err.detail);
        fx_check_ok(s);
        rung_store_close(s);
        if (k % 3 != 2) continue;
        pid = start(0); /* the same command again */
        waitpid(pid, &status, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        char *got = rows_without_times();
        assert_string_equal(got, want);
        rung_free(got);
    }
    print_message("killed %d of %d writers\n", n_killed, N_KILLS);
    assert_true(n_killed >= N_KILLS / 2);
    pid = start(0);
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    char *got = rows_without_times();
    assert_string_equal(got, want);
    rung_free(got);
    rung_free(want);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(killed_and_resumed_equals_unkilled, fx_setup, fx_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
