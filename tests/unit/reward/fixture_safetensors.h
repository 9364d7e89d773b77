/* safetensors files written by a test. */
#ifndef RUNG_TEST_FIXTURE_SAFETENSORS_H
#define RUNG_TEST_FIXTURE_SAFETENSORS_H
#include "rung/base.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct st_file {
    rung_buf head, data;
} st_file;

static void st_begin(st_file *f) {
    rung_buf_init(&f->head, 1 << 20);
    rung_buf_init(&f->data, 1 << 20);
    rung_buf_str(&f->head, "{\"__metadata__\":{\"format\":\"pt\"}");
}

static uint16_t st_half(float v) { /* of values that a half holds exactly, not subnormal, or 0 */
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    if (v == 0) return 0;
    return (uint16_t)((u >> 16 & 0x8000) | (((u >> 23 & 255) - 112) << 10) | (u >> 13 & 1023));
}

/* cols 0: a vector of `rows`. Values must be exact in the type. */
static void st_put(st_file *f, const char *name, const char *dtype, int rows, int cols,
                   const float *x) {
    int n = rows * (cols ? cols : 1);
    size_t begin = f->data.n;
    for (int i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, &x[i], sizeof u);
        uint16_t half = st_half(x[i]), top = (uint16_t)(u >> 16);
        double d = x[i];
        if (!strcmp(dtype, "F16")) rung_buf_append(&f->data, &half, 2);
        if (!strcmp(dtype, "BF16")) rung_buf_append(&f->data, &top, 2);
        if (!strcmp(dtype, "F32")) rung_buf_append(&f->data, &u, 4);
        if (!strcmp(dtype, "F64")) rung_buf_append(&f->data, &d, 8);
    }
    rung_buf_printf(&f->head, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%d", name, dtype, rows);
    if (cols) rung_buf_printf(&f->head, ",%d", cols);
    rung_buf_printf(&f->head, "],\"data_offsets\":[%zu,%zu]}", begin, f->data.n);
}

static void st_write(st_file *f, const char *path) {
    rung_buf all;
    rung_error e = RUNG_ERROR_INIT;
    rung_buf_init(&all, 1 << 22);
    rung_buf_str(&f->head, "}");
    uint64_t n = f->head.n;
    rung_buf_append(&all, &n, 8);
    rung_buf_append(&all, f->head.data, f->head.n);
    rung_buf_append(&all, f->data.data, f->data.n);
    if (rung_file_write(path, all.data, all.n, &e) != RUNG_OK) fail_msg("%s", e.what);
    rung_buf_clear(&all);
    rung_buf_clear(&f->head);
    rung_buf_clear(&f->data);
}
#endif
