/* Curves: rows in the store, kept back but never lost by a flush, free when told again; TensorBoard
 * files, read back by the published framing: lengths, both checksums, fields. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "rung/curve.h"

#include <cmocka.h>

static rung_error err;

/* bitwise, on purpose not the table of the source */
static uint32_t crc32c(const unsigned char *p, size_t n) {
    uint32_t c = ~0u;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
    }
    return ~c;
}

static uint32_t masked(uint32_t c) {
    return (c >> 15 | c << 17) + 0xa282ead8u;
}

static uint64_t le(const unsigned char *p, int n) {
    uint64_t v = 0;
    for (int i = n - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

typedef struct event {
    double wall, value;
    int64_t step;
    char tag[128], version[32];
    int session; /* SessionLog.status */
} event;

static uint64_t varint(const unsigned char **p) {
    uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
        unsigned char c = *(*p)++;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80)) return v;
    }
}

static void parse(event *e, const unsigned char *p, size_t n, int depth) {
    const unsigned char *end = p + n;
    while (p < end) {
        uint64_t key = varint(&p), field = key >> 3, v = 0;
        if ((key & 7) == 0) v = varint(&p);
        if ((key & 7) == 1) {
            uint64_t bits = le(p, 8);
            memcpy(&e->wall, &bits, 8);
            p += 8;
        }
        if ((key & 7) == 5) {
            uint32_t bits = (uint32_t)le(p, 4);
            float f;
            memcpy(&f, &bits, 4);
            e->value = f;
            p += 4;
        }
        if ((key & 7) == 2) {
            size_t len = varint(&p);
            if (depth == 0 && field == 3) memcpy(e->version, p, len);
            if (depth == 2 && field == 1) memcpy(e->tag, p, len);
            if (depth == 0 && field == 7) e->session = p[0] == 8 ? p[1] : -1;
            if ((depth == 0 && field == 5) || (depth == 1 && field == 1))
                parse(e, p, len, depth + 1);
            p += len;
        }
        if (depth == 0 && field == 2) e->step = (int64_t)v;
    }
    assert_true(p == end);
}

static size_t read_events(event *out, size_t max, const char *path) {
    static unsigned char all[1 << 16];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(all, 1, sizeof all, f), at = 0, count = 0;
    fclose(f);
    while (at < n && count < max) {
        size_t len = le(all + at, 8);
        assert_int_equal(le(all + at + 8, 4), masked(crc32c(all + at, 8)));
        assert_true(at + 16 + len <= n);
        assert_int_equal(le(all + at + 12 + len, 4), masked(crc32c(all + at + 12, len)));
        memset(&out[count], 0, sizeof *out);
        parse(&out[count++], all + at + 12, len, 0);
        at += 16 + len;
    }
    assert_int_equal(at, n);
    return count;
}

static void test_file(void **state) {
    (void)state;
    assert_int_equal(crc32c((const unsigned char *)"123456789", 9), 0xe3069283u); /* RFC 3720 */
    char dir[] = "/tmp/rung_tb_XXXXXX", path[512], sub[64];
    assert_non_null(mkdtemp(dir));
    snprintf(sub, sizeof sub, "%s/run", dir);
    rung_tensorboard *t, *other;
    assert_int_equal(rung_tensorboard_open(&t, sub, &err), RUNG_OK);
    assert_int_equal(rung_tensorboard_open(&other, sub, &err), RUNG_OK); /* the same second */
    assert_int_equal(rung_tensorboard_put(t, 300, "train/loss", 2.5, &err), RUNG_OK);
    assert_int_equal(rung_tensorboard_put(t, 5000000000, "eval/auc", NAN, &err), RUNG_OK);
    assert_int_equal(rung_tensorboard_put(t, -1, "x", 1, &err), RUNG_E_INVAL);
    assert_int_equal(rung_tensorboard_close(t, &err), RUNG_OK);
    assert_int_equal(rung_tensorboard_close(other, &err), RUNG_OK);
    assert_int_equal(rung_tensorboard_close(NULL, &err), RUNG_OK);
    DIR *d = opendir(sub);
    int n_files = 0, n_whole = 0;
    for (struct dirent *f; (f = readdir(d));) {
        if (f->d_name[0] == '.') continue;
        event e[8];
        assert_int_equal(strncmp(f->d_name, "events.out.tfevents.", 20), 0);
        snprintf(path, sizeof path, "%s/%s", sub, f->d_name);
        size_t n = read_events(e, 8, path);
        assert_string_equal(e[0].version, "brain.Event:2");
        assert_true(e[0].wall > 1.7e9 && e[0].wall < 1e11);
        if (n == 4) {
            n_whole++;
            assert_int_equal(e[1].session, 1);
            assert_int_equal(e[1].step, 300);
            assert_string_equal(e[2].tag, "train/loss");
            assert_true(e[2].value == 2.5 && e[2].step == 300);
            assert_string_equal(e[3].tag, "eval/auc");
            assert_true(isnan(e[3].value) && e[3].step == 5000000000);
        }
        n_files++;
        unlink(path);
    }
    closedir(d);
    assert_int_equal(n_files, 2);
    assert_int_equal(n_whole, 1);
    rmdir(sub);
    rmdir(dir);
}

static void test_failures(void **state) {
    (void)state;
    rung_tensorboard *t;
    assert_int_not_equal(rung_tensorboard_open(&t, "/proc/no/such", &err), RUNG_OK);
    assert_null(t);
    assert_non_null(strstr(err.what, "/proc/no/such"));
}

static int n_warnings;
static int count_warnings(void *ud, rung_level level, const char *name, const rung_field *f) {
    (void)ud, (void)f;
    n_warnings += level == RUNG_WARN && strcmp(name, "curve.tensorboard_lost") == 0;
    return 0;
}

static int64_t rows_of(rung_store *s, int64_t run, double *last) {
    rung_iter *it;
    const char *name;
    int64_t step, n = 0;
    assert_int_equal(rung_metric_iter(&it, s, run, "train/loss", &err), RUNG_OK);
    while (rung_metric_next(&step, &name, last, it, &err) == RUNG_OK) n++;
    rung_iter_free(it);
    return n;
}

static void test_rows(void **state) {
    (void)state;
    rung_store *s;
    rung_curve *c;
    double last = 0;
    rung_run r = {.kind = "model.train", .config = "{}"};
    rung_log log = {count_warnings, NULL};
    assert_int_equal(rung_store_open(&s, ":memory:", RUNG_STORE_CREATE, &err), RUNG_OK);
    assert_int_equal(rung_run_begin(s, &r, &err), RUNG_OK);
    char dir[] = "/tmp/rung_tb_XXXXXX", cmd[128];
    assert_non_null(mkdtemp(dir));
    assert_int_equal(rung_curve_open(&c, s, r.id, dir, &log, &err), RUNG_OK);
    for (int i = 1; i <= 70; i++) rung_curve_put(c, i, RUNG_CURVE_LOSS, 1.0 / i);
    rung_curve_put(c, 70, RUNG_CURVE_EVAL_AUC, NAN); /* there is none yet: no row */
    assert_int_equal(rows_of(s, r.id, &last), 64);
    assert_int_equal(rung_curve_flush(c, &err), RUNG_OK);
    assert_int_equal(rows_of(s, r.id, &last), 70);
    for (int i = 60; i <= 80; i++) rung_curve_put(c, i, RUNG_CURVE_LOSS, 1.0 / i);
    assert_int_equal(rung_curve_close(c, &err), RUNG_OK);
    assert_int_equal(rows_of(s, r.id, &last), 80);
    assert_true(last == 1.0 / 80);
    assert_int_equal(n_warnings, 0);
    snprintf(cmd, sizeof cmd, "rm -r %s", dir);
    assert_int_equal(system(cmd), 0);
    /* a run that is not there: told by the flush, once; puts go on without harm */
    assert_int_equal(rung_curve_open(&c, s, 4711, NULL, &log, &err), RUNG_OK);
    for (int i = 0; i < 200; i++) rung_curve_put(c, i, RUNG_CURVE_LOSS, 1);
    rung_error e = RUNG_ERROR_INIT;
    assert_int_not_equal(rung_curve_flush(c, &e), RUNG_OK);
    assert_true(e.what[0] != 0);
    assert_int_not_equal(rung_curve_close(c, &err), RUNG_OK);
    rung_store_close(s);
}

/* A full disk under the event file: one warning, the curve in the store is whole. */
static void test_board_lost(void **state) {
    (void)state;
    rung_store *s;
    rung_curve *c;
    double last;
    rung_run r = {.kind = "model.train", .config = "{}"};
    rung_log log = {count_warnings, NULL};
    rlim_t keep;
    struct rlimit limit;
    char dir[] = "/tmp/rung_tb_XXXXXX", cmd[128];
    assert_non_null(mkdtemp(dir));
    assert_int_equal(rung_store_open(&s, ":memory:", RUNG_STORE_CREATE, &err), RUNG_OK);
    assert_int_equal(rung_run_begin(s, &r, &err), RUNG_OK);
    assert_int_equal(rung_curve_open(&c, s, r.id, dir, &log, &err), RUNG_OK);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    keep = limit.rlim_cur;
    limit.rlim_cur = 512;
    setrlimit(RLIMIT_FSIZE, &limit);
    n_warnings = 0;
    for (int i = 0; i < 500; i++) rung_curve_put(c, i, RUNG_CURVE_LOSS, i);
    assert_int_equal(rung_curve_close(c, &err), RUNG_OK);
    limit.rlim_cur = keep;
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_int_equal(n_warnings, 1);
    assert_int_equal(rows_of(s, r.id, &last), 500);
    rung_store_close(s);
    snprintf(cmd, sizeof cmd, "rm -r %s", dir);
    assert_int_equal(system(cmd), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_file), cmocka_unit_test(test_failures),
                                       cmocka_unit_test(test_rows),
                                       cmocka_unit_test(test_board_lost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
