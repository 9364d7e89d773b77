/* Types of weights: what a type keeps, which tensors change, the cache of converted files. */
#include "random_model.h"

#include "model/weights.h"
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int setup(void **state) {
    (void)state;
    rm_dir_make();
    setenv("XDG_CACHE_HOME", rm_dir, 1);
    random_model_write(rm_path("m.gguf"), &(random_model_opts){.seed = 3});
    return 0;
}

static int teardown(void **state) {
    (void)state;
    rm_dir_remove();
    return 0;
}

static void names(void **state) {
    (void)state;
    for (int i = 0; i < RUNG_WEIGHTS_COUNT; i++) {
        rung_weights w = RUNG_WEIGHTS_COUNT;
        assert_true(rung_weights_find(&w, rung_weights_name((rung_weights)i)));
        assert_int_equal(w, i);
        assert_true(strlen(rung_weights_help((rung_weights)i)) > 0);
    }
    rung_weights w;
    assert_false(rung_weights_find(&w, "q3_0"));
    assert_null(rung_weights_name(RUNG_WEIGHTS_COUNT));
}

/* Root mean square of y - x. */
static double rms(const float *x, const float *y, int n) {
    double s = 0;
    for (int i = 0; i < n; i++) s += ((double)y[i] - x[i]) * ((double)y[i] - x[i]);
    return sqrt(s / n);
}

static void round_trip(float *out, const float *in, int n, enum ggml_type type) {
    char *raw = malloc(ggml_row_size(type, n));
    assert_non_null(raw);
    if (type == GGML_TYPE_F32) {
        memcpy(out, in, (size_t)n * sizeof *in);
    } else {
        ggml_quantize_chunk(type, in, raw, 0, 1, n, NULL);
        ggml_get_type_traits(type)->to_float(raw, out, n);
    }
    free(raw);
}

/* The table against the numbers: a kept type adds at most half of what the file's own type has
 * rounded already. */
static void keeping_is_measured(void **state) {
    (void)state;
    enum { N = 1 << 15 };
    static float x[N], y[N], z[N];
    static const enum ggml_type from[] = {
        GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1,   GGML_TYPE_Q8_0,
        GGML_TYPE_Q2_K, GGML_TYPE_Q3_K, GGML_TYPE_Q4_K, GGML_TYPE_Q5_K,   GGML_TYPE_Q6_K,
        GGML_TYPE_F16,  GGML_TYPE_BF16, GGML_TYPE_F32,  GGML_TYPE_IQ4_NL, GGML_TYPE_IQ4_XS};
    static const enum ggml_type to[] = {GGML_TYPE_F32, GGML_TYPE_BF16, GGML_TYPE_F16,
                                        GGML_TYPE_Q8_0, GGML_TYPE_Q4_0};
    rung_rng r = rung_rng_at(5, RUNG_STREAM_TEST, 1, 0);
    for (int i = 0; i < N; i++) x[i] = 0.02f * (float)rung_rng_normal(&r);
    int kept = 0;
    for (size_t f = 0; f < sizeof from / sizeof *from; f++) {
        round_trip(y, x, N, from[f]);
        double own = rms(x, y, N);
        for (size_t t = 0; t < sizeof to / sizeof *to; t++) {
            round_trip(z, y, N, to[t]);
            double added = rms(y, z, N);
            bool keeps = rung_weights_keeps(to[t], from[f]);
            kept += keeps;
            if (keeps && to[t] != from[f] && added > 0.5 * own + 1e-12) {
                fail_msg("%s from %s adds %g to %g", ggml_type_name(to[t]), ggml_type_name(from[f]),
                         added, own);
            }
            if (!keeps && ggml_is_quantized(from[f]) && to[t] == GGML_TYPE_Q4_0) {
                assert_true(added > 0.2 * own); /* the refusal is no mere caution */
            }
        }
    }
    assert_int_equal(kept, 15 + 13 + 13 + 12 + 1); /* f32, bf16, f16, q8_0, q4_0 */
}

static void fits(void **state) {
    (void)state;
    rung_weights_fit f[RUNG_WEIGHTS_COUNT];
    assert_ok(rung_weights_fits(f, rm_path("m.gguf"), &terr));
    int64_t matrix = RM_EMBD * RM_VOCAB + RM_LAYER * (4 * RM_EMBD * RM_EMBD + 3 * RM_EMBD * RM_FF);
    int64_t rest =
        RM_EMBD * RM_VOCAB /* the table: looked up only */ + RM_EMBD + RM_LAYER * 2 * RM_EMBD;
    assert_int_equal(f[RUNG_WEIGHTS_AS_IS].n_bytes, 4 * (matrix + rest));
    assert_int_equal(f[RUNG_WEIGHTS_F32].n_bytes, 4 * (matrix + rest));
    assert_false(f[RUNG_WEIGHTS_F32].changes);
    assert_int_equal(f[RUNG_WEIGHTS_BF16].n_bytes, 2 * matrix + 4 * rest);
    assert_int_equal(f[RUNG_WEIGHTS_Q8_0].n_bytes, matrix * 34 / 32 + 4 * rest);
    assert_int_equal(f[RUNG_WEIGHTS_Q4_0].n_bytes, matrix * 18 / 32 + 4 * rest);
    assert_true(f[RUNG_WEIGHTS_BF16].changes && !f[RUNG_WEIGHTS_BF16].keeps); /* f32 holds more */
    assert_false(f[RUNG_WEIGHTS_BF16].made);
    assert_int_equal(f[RUNG_WEIGHTS_AUTO].n_bytes, 0);
}

static void copy_at(char out[512], const rung_buf *b) {
    assert_true(b->n < 512);
    memcpy(out, b->data, b->n + 1);
}

static void make_file(char out[512], rung_weights w) {
    rung_buf b;
    rung_buf_init(&b, 4096);
    assert_ok(rung_weights_file(&b, rm_path("m.gguf"), w, NULL, &terr));
    copy_at(out, &b);
    rung_buf_clear(&b);
}

static void tensor_of(float **x, int64_t dims[4], const char *path, const char *name) {
    rung_gguf *g = NULL;
    assert_ok(rung_gguf_open(&g, path, &terr));
    assert_ok(rung_gguf_tensor(x, dims, g, name, &terr));
    rung_gguf_free(g);
}

/* Every number of the converted file is ggml's own rounding of the source's. */
static void converted_numbers(void **state) {
    (void)state;
    static const rung_weights types[] = {RUNG_WEIGHTS_BF16, RUNG_WEIGHTS_F16, RUNG_WEIGHTS_Q8_0,
                                         RUNG_WEIGHTS_Q4_0};
    static const char *const tensors[] = {"token_embd.weight", "blk.1.ffn_down.weight",
                                          "output.weight", "blk.0.attn_norm.weight"};
    for (size_t k = 0; k < 4; k++) {
        char at[512];
        make_file(at, types[k]);
        for (size_t i = 0; i < 4; i++) {
            float *x, *y;
            int64_t dx[4], dy[4];
            tensor_of(&x, dx, rm_path("m.gguf"), tensors[i]);
            tensor_of(&y, dy, at, tensors[i]);
            assert_memory_equal(dx, dy, sizeof dx);
            int64_t n = dx[0] * dx[1];
            float *want = malloc((size_t)n * sizeof *want);
            bool changes = i == 1 || i == 2;
            enum ggml_type t = changes ? rung_weights_type(types[k]) : GGML_TYPE_F32;
            for (int64_t r = 0; r < dx[1]; r++)
                round_trip(want + r * dx[0], x + r * dx[0], (int)dx[0], t);
            assert_memory_equal(y, want, (size_t)n * sizeof *y);
            free(want);
            rung_free(x);
            rung_free(y);
        }
    }
}

static void loaded_as(void **state) {
    (void)state;
    rung_model_opts o = RUNG_MODEL_OPTS_INIT;
    rung_model *m = NULL;
    rung_model_info i, as_is;
    assert_ok(rung_model_load(&m, rm_path("m.gguf"), NULL, &terr));
    rung_model_get_info(&as_is, m);
    rung_model_free(m);
    assert_string_equal(as_is.weights, "as-is");
    o.weights = RUNG_WEIGHTS_BF16;
    assert_ok(rung_model_load(&m, rm_path("m.gguf"), &o, &terr));
    rung_model_get_info(&i, m);
    rung_model_free(m);
    assert_string_equal(i.weights, "bf16");
    assert_string_equal(i.hash, as_is.hash); /* the model is the same */
    assert_string_equal(i.name, as_is.name);
    rung_weights_fit f[RUNG_WEIGHTS_COUNT];
    assert_ok(rung_weights_fits(f, rm_path("m.gguf"), &terr));
    assert_int_equal(i.n_bytes, f[RUNG_WEIGHTS_BF16].n_bytes);
    assert_true(f[RUNG_WEIGHTS_BF16].made);
    o.weights = RUNG_WEIGHTS_COUNT;
    assert_int_equal(rung_model_load(&m, rm_path("m.gguf"), &o, NULL), RUNG_E_INVAL);
}

/* Neither the file nor a half-made one beside it. */
static void assert_nothing_left(const char *at) {
    char all[600];
    glob_t g;
    snprintf(all, sizeof all, "%s*", at);
    assert_int_equal(glob(all, 0, NULL, &g), GLOB_NOMATCH);
}

/* Cut, or of another source: made again. */
static void broken_cache_files(void **state) {
    (void)state;
    char at[512], hash[33], again[33];
    make_file(at, RUNG_WEIGHTS_Q8_0);
    assert_ok(rung_hash_file(hash, at, &terr));
    struct stat sb;
    assert_int_equal(stat(at, &sb), 0);
    assert_int_equal(truncate(at, sb.st_size / 2), 0);
    make_file(at, RUNG_WEIGHTS_Q8_0);
    assert_ok(rung_hash_file(again, at, &terr));
    assert_string_equal(again, hash);
    random_model_write(at, &(random_model_opts){.seed = 9}); /* a model, but not this one's */
    make_file(at, RUNG_WEIGHTS_Q8_0);
    assert_ok(rung_hash_file(again, at, &terr));
    assert_string_equal(again, hash);
}

/* In a process of its own: the limit on file sizes stands for a full disk. */
static void full_disk(void **state) {
    (void)state;
    char at[512];
    make_file(at, RUNG_WEIGHTS_F16);
    assert_int_equal(unlink(at), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit l = {20000, 20000};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &l);
        rung_error e = RUNG_ERROR_INIT;
        rung_buf b;
        rung_buf_init(&b, 4096);
        rung_status st = rung_weights_file(&b, rm_path("m.gguf"), RUNG_WEIGHTS_F16, NULL, &e);
        _exit(st == RUNG_E_FULL && e.hint[0] ? 0 : 1);
    }
    int code;
    assert_int_equal(waitpid(pid, &code, 0), pid);
    assert_int_equal(code, 0);
    assert_nothing_left(at);
}

static void no_cache_folder(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_buf b;
    rung_buf_init(&b, 4096);
    char file[256];
    snprintf(file, sizeof file, "%s", rm_path("m.gguf"));
    setenv("XDG_CACHE_HOME", file, 1); /* a file where a folder should be */
    rung_status st = rung_weights_file(&b, file, RUNG_WEIGHTS_F16, NULL, &err);
    setenv("XDG_CACHE_HOME", rm_dir, 1);
    rung_buf_clear(&b);
    assert_int_equal(st, RUNG_E_IO);
    assert_non_null(strstr(err.hint, "XDG_CACHE_HOME"));
}

static int stop_it(void *ud, rung_level level, const char *name, const rung_field *f) {
    (void)ud;
    (void)name;
    (void)f;
    return level == RUNG_PROGRESS;
}

static void cancelled(void **state) {
    (void)state;
    rung_log log = {stop_it, NULL};
    rung_buf b;
    char at[512];
    make_file(at, RUNG_WEIGHTS_F16);
    assert_int_equal(unlink(at), 0);
    rung_buf_init(&b, 4096);
    assert_int_equal(rung_weights_file(&b, rm_path("m.gguf"), RUNG_WEIGHTS_F16, &log, NULL),
                     RUNG_E_CANCELLED);
    rung_buf_clear(&b);
    assert_nothing_left(at);
}

/* Four processes want the same file: it is made once and is whole for all. */
static void many_processes(void **state) {
    (void)state;
    char at[512];
    make_file(at, RUNG_WEIGHTS_Q4_0);
    assert_int_equal(unlink(at), 0);
    pid_t pid[4];
    for (int i = 0; i < 4; i++) {
        pid[i] = fork();
        if (pid[i] != 0) continue;
        rung_gguf *g = NULL;
        rung_buf b;
        rung_buf_init(&b, 4096);
        rung_status st = rung_weights_file(&b, rm_path("m.gguf"), RUNG_WEIGHTS_Q4_0, NULL, NULL);
        if (st == RUNG_OK) st = rung_gguf_open(&g, b.data, NULL);
        _exit(st == RUNG_OK ? 0 : 1);
    }
    for (int i = 0; i < 4; i++) {
        int code;
        assert_int_equal(waitpid(pid[i], &code, 0), pid[i]);
        assert_int_equal(code, 0);
    }
}

static void memory(void **state) {
    (void)state;
    int64_t n = rung_memory_available();
    assert_true(n > (1 << 20));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),     cmocka_unit_test(keeping_is_measured),
        cmocka_unit_test(fits),      cmocka_unit_test(converted_numbers),
        cmocka_unit_test(loaded_as), cmocka_unit_test(broken_cache_files),
        cmocka_unit_test(full_disk), cmocka_unit_test(no_cache_folder),
        cmocka_unit_test(cancelled), cmocka_unit_test(many_processes),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
