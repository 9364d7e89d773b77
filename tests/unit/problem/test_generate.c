/* Problems of a world into a store: counts, splits, no question twice, repeats free. */
#include "rung/problem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];

static rung_store *open_store(const char *name) {
    char path[128];
    rung_error err = RUNG_ERROR_INIT;
    rung_store *s = NULL;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (rung_store_open(&s, path, RUNG_STORE_CREATE, &err) != RUNG_OK) fail_msg("%s", err.what);
    return s;
}

typedef struct listing {
    int n, n_split[3];
    char *question[4000], *split[4000];
} listing;

static void list(listing *l, rung_store *s, const char *set) {
    rung_error err = RUNG_ERROR_INIT;
    rung_iter *it;
    const rung_problem *p;
    memset(l, 0, sizeof *l);
    rung_filter f = {.set = set};
    assert_int_equal(rung_problem_iter(&it, s, &f, &err), RUNG_OK);
    while (rung_problem_next(&p, it, &err) == RUNG_OK) {
        l->question[l->n] = rung_strdup(p->question);
        l->split[l->n++] = rung_strdup(p->split);
        l->n_split[strcmp(p->split, "train") == 0 ? 0 : strcmp(p->split, "val") == 0 ? 1 : 2]++;
        assert_string_equal(p->verifier, rung_world_find(p->world)->verifier);
        assert_non_null(rung_world_find(p->world));
        int bucket = rung_world_bucket(p->question, strlen(p->question));
        assert_int_equal(bucket == 0, strcmp(p->split, "test") == 0);
        assert_int_equal(bucket == 1, strcmp(p->split, "val") == 0);
    }
    rung_iter_free(it);
}

static void list_clear(listing *l) {
    for (int i = 0; i < l->n; i++) rung_free(l->question[i]), rung_free(l->split[i]);
}

static int64_t generate(rung_store *s, const char *world, const char *splits, uint64_t i0,
                        uint64_t seed) {
    rung_error err = RUNG_ERROR_INIT;
    rung_world_opts o = RUNG_WORLD_OPTS_INIT;
    int64_t n = -1;
    o.seed = seed;
    if (rung_problem_generate(&n, s, world, NULL, splits, i0, &o, NULL, &err) != RUNG_OK)
        fail_msg("%s", err.what);
    return n;
}

static void splits_share_no_question(void **state) {
    (void)state;
    rung_store *s = open_store("a.db");
    listing l;
    assert_int_equal(generate(s, "total", "train=300,val=50,test=200", 0, 1), 550);
    assert_int_equal(generate(s, "total", "train=300,val=50,test=200", 0, 1), 0); /* free */
    assert_int_equal(generate(s, "word", "train=100,test=100", 0, 1), 200);
    list(&l, s, "total");
    assert_int_equal(l.n_split[0], 300);
    assert_int_equal(l.n_split[1], 50);
    assert_int_equal(l.n_split[2], 200);
    for (int i = 0; i < l.n; i++)
        for (int k = 0; k < i; k++) assert_string_not_equal(l.question[i], l.question[k]);
    list_clear(&l);
    /* another seed, split the other way round: buckets keep the sides apart */
    assert_int_equal(generate(s, "total", "test=300,train=200", 5, 2), 500);
    list(&l, s, "total");
    assert_int_equal(l.n, 1050);
    list_clear(&l);
    rung_store_close(s);
}

/* A world so small that questions repeat: each comes once, and asking too many is an error. */
static void small_worlds_repeat_nothing(void **state) {
    (void)state;
    rung_store *s = open_store("b.db");
    rung_error err = RUNG_ERROR_INIT;
    rung_world_opts o = RUNG_WORLD_OPTS_INIT;
    int64_t n = -1;
    listing l;
    o.steps_min = o.steps_max = 1;
    o.max = 20;
    assert_int_equal(
        rung_problem_generate(&n, s, "total", "tiny", "train=150,test=25", 0, &o, NULL, &err),
        RUNG_OK);
    assert_int_equal(n, 175);
    list(&l, s, "tiny");
    assert_int_equal(l.n, 175);
    for (int i = 0; i < l.n; i++)
        for (int k = 0; k < i; k++) assert_string_not_equal(l.question[i], l.question[k]);
    list_clear(&l);
    assert_int_equal(
        rung_problem_generate(&n, s, "total", "tiny2", "train=5000", 0, &o, NULL, &err),
        RUNG_E_LIMIT);
    list(&l, s, "tiny2"); /* all or nothing */
    assert_int_equal(l.n, 0);
    list_clear(&l);
    rung_store_close(s);
}

static void bad_splits_and_worlds(void **state) {
    (void)state;
    rung_store *s = open_store("c.db");
    static const char *const bad[] = {
        "",        "train",          "train=",
        "train=x", "train=0",        "train=-3",
        "=5",      "train=5;test=3", "a123456789012345678901234567890123=5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rung_error err = RUNG_ERROR_INIT;
        int64_t n;
        if (rung_problem_generate(&n, s, "total", NULL, bad[i], 0, NULL, NULL, &err) !=
            RUNG_E_INVAL)
            fail_msg("splits \"%s\" accepted", bad[i]);
        assert_true(err.hint[0] != '\0');
    }
    rung_error err = RUNG_ERROR_INIT;
    int64_t n;
    assert_int_equal(rung_problem_generate(&n, s, "nope", NULL, "train=5", 0, NULL, NULL, &err),
                     RUNG_E_NOT_FOUND);
    rung_store_close(s);
}

/* Progress is told at the first problem; later only now and then. */
static int stop_at_once(void *ud, rung_level level, const char *name, const rung_field *f) {
    (void)ud, (void)name, (void)f;
    return level == RUNG_PROGRESS;
}

static void a_stop_keeps_what_is_done(void **state) {
    (void)state;
    rung_store *s = open_store("d.db");
    rung_error err = RUNG_ERROR_INIT;
    int64_t n;
    rung_log log = {stop_at_once, NULL};
    assert_int_equal(rung_problem_generate(&n, s, "total", NULL, "train=300", 0, NULL, &log, &err),
                     RUNG_E_CANCELLED);
    listing l;
    list(&l, s, "total");
    assert_int_equal(l.n, 1);
    list_clear(&l);
    assert_int_equal(rung_problem_generate(&n, s, "total", NULL, "train=300", 0, NULL, NULL, &err),
                     RUNG_OK);
    assert_int_equal(n, 299);
    rung_store_close(s);
}

static int setup(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/rung-generate-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    char path[128];
    for (const char *n = "abcd"; *n; n++)
        for (int k = 0; k < 3; k++) {
            snprintf(path, sizeof path, "%s/%c.db%s", dir, *n,
                     k == 0   ? ""
                     : k == 1 ? "-wal"
                              : "-shm");
            unlink(path);
        }
    return rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_share_no_question),
        cmocka_unit_test(small_worlds_repeat_nothing),
        cmocka_unit_test(bad_splits_and_worlds),
        cmocka_unit_test(a_stop_keeps_what_is_done),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
