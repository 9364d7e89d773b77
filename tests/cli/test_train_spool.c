/* The file of tokens: what was put is what is read; another key is no file; torn or damaged is
 * told; one that was not ended leaves nothing. */
#include "cli/train_spool.c"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static char path[] = "/tmp/rung-spool-XXXXXX";
static rung_error err;

static void fill(train_spool *s, const char *key) {
    int32_t tok[20];
    for (int k = 0; k < 20; k++) tok[k] = 100 + k;
    assert_int_equal(train_spool_begin(s, path, key, &err), RUNG_OK);
    for (int i = 0; i < 300; i++) {
        train_doc d = {.id = 1000 + i, .group = (uint64_t)i / 3, .n = 2 + i % 17, .n_prompt = 1};
        d.n_learn = d.n;
        assert_int_equal(train_spool_put(s, tok + i % 3, &d, &err), RUNG_OK);
    }
}

static void test_round_trip(void **state) {
    (void)state;
    train_spool s;
    bool found;
    unlink(path);
    assert_int_equal(train_spool_open(&s, &found, path, "a", &err), RUNG_OK);
    assert_false(found);
    fill(&s, "a");
    train_spool_clear(&s); /* not ended */
    assert_int_not_equal(access(path, F_OK), 0);
    fill(&s, "a");
    assert_int_equal(train_spool_end(&s, path, &err), RUNG_OK);
    train_spool_clear(&s);
    assert_int_equal(train_spool_open(&s, &found, path, "b", &err), RUNG_OK);
    assert_false(found);
    assert_int_equal(train_spool_open(&s, &found, path, "a", &err), RUNG_OK);
    assert_true(found && s.n_docs == 300);
    for (int i = 0; i < 300; i++) {
        const train_doc *d = &s.doc[i];
        assert_true(d->id == 1000 + i && d->n == 2 + i % 17 && d->group == (uint64_t)i / 3);
        for (int k = 0; k < d->n; k++) assert_int_equal(s.tok[d->at + k], 100 + i % 3 + k);
    }
    train_spool_clear(&s);
}

static void test_damage(void **state) {
    (void)state;
    train_spool s;
    bool found;
    rung_buf good;
    rung_buf_init(&good, 1u << 24);
    assert_int_equal(rung_file_read(&good, path, &err), RUNG_OK);
    const size_t at[] = {0, 40, good.n / 2, good.n - 200, good.n - 20};
    for (int k = 0; k < 7; k++) {
        size_t n = k == 5 ? good.n - 8 : k == 6 ? 30 : good.n;
        if (k < 5) good.data[at[k]] ^= 4;
        assert_int_equal(rung_file_write(path, good.data, n, &err), RUNG_OK);
        assert_int_equal(train_spool_open(&s, &found, path, "a", &err), RUNG_E_FORMAT);
        assert_non_null(strstr(err.hint, "delete it"));
        if (k < 5) good.data[at[k]] ^= 4;
    }
    rung_buf_clear(&good);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
                                       cmocka_unit_test(test_damage)};
    close(mkstemp(path));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
