/* GGUF files: round trip of keys and of every tensor type, and files that are cut, flipped or of
 * another kind: an error or a readable file, never a crash. */
#include <ggml.h>
#include <gguf.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/gguf_file.h"
#include "rung/rng.h"

static char dir[] = "/tmp/rung_gguf_XXXXXX";
static char path[64];

static void quiet(enum ggml_log_level level, const char *text, void *ud) {
    (void)level, (void)text, (void)ud;
}

static int setup(void **state) {
    (void)state;
    ggml_log_set(quiet, NULL);
    if (!mkdtemp(dir)) return 1;
    snprintf(path, sizeof path, "%s/a.gguf", dir);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void fill(float *x, int n) {
    rung_rng r = rung_rng_at(1, RUNG_STREAM_TEST, 0, 0);
    for (int i = 0; i < n; i++) x[i] = (float)rung_rng_normal(&r);
}

static void write_sample(void) {
    float x[128];
    fill(x, 128);
    const char *tok[] = {"a", "\\n", ""};
    int32_t types[] = {1, 3, -7};
    float scores[] = {0.5f, -1.0f};
    rung_gguf_writer *w = rung_gguf_writer_new();
    assert_non_null(w);
    rung_gguf_put_str(w, "general.architecture", "old");
    rung_gguf_put_str(w, "general.architecture", "llama");
    rung_gguf_put_u32(w, "n", 4000000000u);
    rung_gguf_put_f32(w, "eps", 1e-5f);
    rung_gguf_put_bool(w, "yes", true);
    rung_gguf_put_arr_str(w, "tok", tok, 3);
    rung_gguf_put_arr_i32(w, "types", types, 3);
    rung_gguf_put_arr_f32(w, "scores", scores, 2);
    rung_gguf_put_u32(w, "gone", 1);
    rung_gguf_put_remove(w, "gone");
    int64_t d1[] = {3}, d2[] = {32, 4};
    rung_gguf_put_tensor(w, "three", RUNG_GGUF_F32, 1, d1, x); /* forces padding after it */
    rung_gguf_put_tensor(w, "f32", RUNG_GGUF_F32, 2, d2, x);
    rung_gguf_put_tensor(w, "f16", RUNG_GGUF_F16, 2, d2, x);
    rung_gguf_put_tensor(w, "bf16", RUNG_GGUF_BF16, 2, d2, x);
    rung_gguf_put_tensor(w, "q8", RUNG_GGUF_Q8_0, 2, d2, x);
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_gguf_write(w, path, &err), RUNG_OK);
    rung_gguf_writer_free(w);
}

static void test_keys(void **state) {
    (void)state;
    write_sample();
    rung_gguf *g;
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_gguf_open(&g, path, &err), RUNG_OK);
    assert_string_equal(rung_gguf_str(g, "general.architecture", "?"), "llama");
    assert_string_equal(rung_gguf_str(g, "absent", "?"), "?");
    assert_string_equal(rung_gguf_str(g, "n", "?"), "?"); /* another type: the default, no abort */
    assert_int_equal(rung_gguf_i64(g, "n", -1), 4000000000LL);
    assert_int_equal(rung_gguf_i64(g, "yes", -1), 1);
    assert_int_equal(rung_gguf_i64(g, "eps", -1), -1);
    assert_int_equal(rung_gguf_i64(g, "tok", -1), -1);
    assert_float_equal(rung_gguf_f64(g, "eps", 0), 1e-5, 1e-11);
    assert_float_equal(rung_gguf_f64(g, "n", 0), 4e9, 0);
    assert_true(rung_gguf_has(g, "tok") && !rung_gguf_has(g, "gone"));
    assert_int_equal(rung_gguf_arr_n(g, "tok"), 3);
    assert_int_equal(rung_gguf_arr_n(g, "n"), -1);
    assert_string_equal(rung_gguf_arr_str(g, "tok", 1), "\\n");
    assert_null(rung_gguf_arr_str(g, "tok", 3));
    assert_null(rung_gguf_arr_str(g, "types", 0));
    assert_float_equal(rung_gguf_arr_f64(g, "types", 2, 0), -7, 0);
    assert_float_equal(rung_gguf_arr_f64(g, "scores", 1, 0), -1, 0);
    assert_float_equal(rung_gguf_arr_f64(g, "tok", 1, 9), 9, 0);
    assert_int_equal(rung_gguf_n_tensors(g), 5);
    assert_string_equal(rung_gguf_tensor_name(g, 0), "three");
    assert_null(rung_gguf_tensor_name(g, 5));
    rung_gguf_free(g);
    rung_gguf_free(NULL);
}

/* f16 keeps 11 bits (relative 2^-11), bf16 8 (2^-9 by rounding), q8_0 half a step of max/127. */
static void test_tensors(void **state) {
    (void)state;
    write_sample();
    float x[128];
    fill(x, 128);
    rung_gguf *g;
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_gguf_open(&g, path, &err), RUNG_OK);
    static const struct {
        const char *name;
        double rel, abs;
    } cases[] = {{"f32", 0, 0}, {"f16", 1.0 / 2048, 1e-7}, {"bf16", 1.0 / 256, 0}, {"q8", 0, 0.02}};
    for (size_t c = 0; c < 4; c++) {
        float *y;
        int64_t dims[4];
        assert_int_equal(rung_gguf_tensor(&y, dims, g, cases[c].name, &err), RUNG_OK);
        assert_int_equal(dims[0], 32);
        assert_int_equal(dims[1], 4);
        assert_int_equal(dims[2] * dims[3], 1);
        for (int i = 0; i < 128; i++)
            assert_true(fabs((double)y[i] - (double)x[i]) <=
                        cases[c].rel * fabs((double)x[i]) + cases[c].abs);
        rung_free(y);
    }
    float *y;
    int64_t dims[4];
    assert_int_equal(rung_gguf_tensor(&y, dims, g, "three", &err), RUNG_OK);
    assert_int_equal(dims[0], 3);
    assert_true(y[2] == x[2]);
    rung_free(y);
    assert_int_equal(rung_gguf_tensor(&y, dims, g, "absent", &err), RUNG_E_MODEL);
    rung_gguf_free(g);
}

static void test_writer_refuses(void **state) {
    (void)state;
    float x[64] = {0};
    int64_t odd[] = {31, 2}, ok[] = {32, 2}, none[] = {0};
    static const char too_long[] =
        "0123456789012345678901234567890123456789012345678901234567890123456789";
    for (int c = 0; c < 5; c++) {
        rung_gguf_writer *w = rung_gguf_writer_new();
        rung_error err = RUNG_ERROR_INIT;
        if (c == 0) rung_gguf_put_tensor(w, "t", RUNG_GGUF_Q8_0, 2, odd, x);
        if (c == 1) rung_gguf_put_tensor(w, "t", RUNG_GGUF_F32, 1, none, x);
        if (c == 2) rung_gguf_put_tensor(w, too_long, RUNG_GGUF_F32, 2, ok, x);
        if (c == 3) rung_gguf_put_str(w, "", "v");
        if (c == 4) {
            rung_gguf_put_tensor(w, "t", RUNG_GGUF_F32, 2, ok, x);
            rung_gguf_put_tensor(w, "t", RUNG_GGUF_F32, 2, ok, x);
        }
        assert_int_equal(rung_gguf_write(w, path, &err), RUNG_E_INVAL);
        assert_true(err.what[0] != 0);
        rung_gguf_writer_free(w);
    }
    rung_gguf_writer *w = rung_gguf_writer_new();
    rung_error err = RUNG_ERROR_INIT;
    rung_gguf_put_u32(w, "n", 1);
    assert_true(rung_gguf_write(w, "/nonexistent/dir/a.gguf", &err) < 0);
    rung_gguf_writer_free(w);
}

static int mem = -1; /* hostile files live in memory: thousands of them on a disk take a minute */
static char mem_path[64];

static void put_file(const char *bytes, size_t n) {
    assert_int_equal(ftruncate(mem, 0), 0);
    assert_int_equal(pwrite(mem, bytes, n, 0), n);
}

/* Open and read everything; any status is fine, a crash is not. */
static rung_status try_all(void) {
    rung_gguf *g;
    rung_error err = RUNG_ERROR_INIT;
    rung_status st = rung_gguf_open(&g, mem_path, &err);
    if (st != RUNG_OK) {
        assert_true(st == RUNG_E_MODEL && err.what[0] != 0);
        return st;
    }
    for (int64_t i = 0; i < rung_gguf_n_tensors(g); i++) {
        float *y;
        int64_t dims[4];
        if (rung_gguf_tensor(&y, dims, g, rung_gguf_tensor_name(g, i), &err) == RUNG_OK)
            rung_free(y);
    }
    static const char *const keys[] = {"general.architecture", "n", "eps", "tok", "types", "yes"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        rung_gguf_str(g, keys[i], NULL);
        rung_gguf_i64(g, keys[i], 0);
        rung_gguf_f64(g, keys[i], 0);
        rung_gguf_arr_str(g, keys[i], 2);
        rung_gguf_arr_f64(g, keys[i], 2, 0);
    }
    rung_gguf_free(g);
    return RUNG_OK;
}

static void test_hostile(void **state) {
    (void)state;
    write_sample();
    mem = memfd_create("hostile", 0);
    assert_true(mem >= 0);
    snprintf(mem_path, sizeof mem_path, "/proc/self/fd/%d", mem);
    rung_buf b;
    rung_buf_init(&b, 1 << 20);
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_file_read(&b, path, &err), RUNG_OK);
    for (size_t cut = 0; cut < b.n; cut++) {
        put_file(b.data, cut);
        rung_status st = try_all();
        if (cut + 32 < b.n) assert_int_equal(st, RUNG_E_MODEL); /* only padding may be missing */
    }
    rung_rng r = rung_rng_at(7, RUNG_STREAM_TEST, 1, 0);
    for (int i = 0; i < 4000; i++) {
        char *copy = malloc(b.n);
        memcpy(copy, b.data, b.n);
        for (uint64_t k = 0, n = 1 + rung_rng_below(&r, 3); k < n; k++)
            copy[rung_rng_below(&r, b.n < 700 ? b.n : 700)] = (char)rung_rng_below(&r, 256);
        put_file(copy, b.n);
        try_all();
        free(copy);
    }
    rung_buf_clear(&b);
    put_file("SQLite format 3", 15);
    assert_int_equal(try_all(), RUNG_E_MODEL);
    close(mem);
    rung_gguf *g;
    assert_int_equal(rung_gguf_open(&g, dir, &err), RUNG_E_MODEL); /* a folder */
    assert_int_equal(rung_gguf_open(&g, "/nonexistent.gguf", &err), RUNG_E_NOT_FOUND);
    assert_null(g);
}

/* Data that ggml itself would not check: an empty dimension. */
static void test_empty_dimension(void **state) {
    (void)state;
    struct gguf_context *c = gguf_init_empty();
    struct ggml_tensor t;
    memset(&t, 0, sizeof t);
    t.type = GGML_TYPE_F32;
    t.ne[0] = 0;
    t.ne[1] = t.ne[2] = t.ne[3] = 1;
    t.nb[0] = 4;
    ggml_set_name(&t, "t");
    gguf_add_tensor(c, &t);
    assert_true(gguf_write_to_file(c, path, true));
    gguf_free(c);
    rung_gguf *g;
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_gguf_open(&g, path, &err), RUNG_E_MODEL);
    assert_non_null(strstr(err.what, "empty dimension"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_keys), cmocka_unit_test(test_tensors),
                                       cmocka_unit_test(test_writer_refuses),
                                       cmocka_unit_test(test_hostile),
                                       cmocka_unit_test(test_empty_dimension)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
