/* PyTorch's numbers from tests/data/golden (tools/golden). A file that is not there fails the test.
 */
#ifndef RUNG_TESTS_GOLDEN_H
#define RUNG_TESTS_GOLDEN_H
#include "base/json.h"
#include "rung/train.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static inline yyjson_doc *golden_load(const char *name) {
    yyjson_doc *doc = NULL;
    rung_error err = RUNG_ERROR_INIT;
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/data/golden/%s.json", RUNG_SOURCE_DIR, name);
    if (rung_json_load(&doc, path, &err) != RUNG_OK)
        fail_msg("golden file: %s; make it with tools/golden", err.what);
    return doc;
}

/* A member that must be there. */
static inline yyjson_val *golden_get(yyjson_val *obj, const char *key) {
    yyjson_val *v = yyjson_obj_get(obj, key);
    if (!v) fail_msg("golden file: no member \"%s\"", key);
    return v;
}

/* Numbers of an array, f64; free() it. */
static inline double *golden_numbers(yyjson_val *arr, size_t *n) {
    size_t i, count;
    yyjson_val *v;
    if (!yyjson_is_arr(arr)) fail_msg("golden file: not an array");
    double *x = calloc(yyjson_arr_size(arr) + 1, sizeof *x);
    yyjson_arr_foreach(arr, i, count, v) x[i] = yyjson_get_num(v);
    *n = yyjson_arr_size(arr);
    return x;
}

static inline int32_t *golden_ints(yyjson_val *arr) {
    size_t n;
    double *x = golden_numbers(arr, &n);
    int32_t *y = calloc(n + 1, sizeof *y);
    for (size_t i = 0; i < n; i++) y[i] = (int32_t)x[i];
    free(x);
    return y;
}

static inline float *golden_floats(yyjson_val *arr) {
    size_t n;
    double *x = golden_numbers(arr, &n);
    float *y = calloc(n + 1, sizeof *y);
    for (size_t i = 0; i < n; i++) y[i] = (float)x[i];
    free(x);
    return y;
}

static inline rung_net_shape golden_shape(yyjson_val *root) {
    yyjson_val *s = golden_get(root, "shape");
    bool qwen2 = strcmp(yyjson_get_str(golden_get(root, "arch")), "qwen2") == 0;
#define DIM(name)  (int32_t) yyjson_get_int(golden_get(s, #name))
#define REAL(name) (float)yyjson_get_num(golden_get(s, #name))
    return (rung_net_shape){.n_vocab = DIM(n_vocab),
                            .n_embd = DIM(n_embd),
                            .n_layer = DIM(n_layer),
                            .n_head = DIM(n_head),
                            .n_head_kv = DIM(n_head_kv),
                            .n_ff = DIM(n_ff),
                            .n_ctx = DIM(n_ctx),
                            .rope_base = REAL(rope_base),
                            .rms_eps = REAL(rms_eps),
                            .tied = DIM(tied) != 0,
                            .arch = qwen2 ? RUNG_ARCH_QWEN2 : RUNG_ARCH_LLAMA};
#undef DIM
#undef REAL
}
#endif
