/* Arrays of numbers as little-endian bytes, whatever the machine. Internal to src/store. */
#ifndef RUNG_SRC_STORE_ROWS_H
#define RUNG_SRC_STORE_ROWS_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void store_pack_i32(unsigned char *out, const int32_t *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t u = (uint32_t)x[i];
        for (size_t k = 0; k < 4; k++) out[4 * i + k] = (unsigned char)(u >> (8 * k));
    }
}

static inline void store_unpack_i32(int32_t *out, const unsigned char *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t u = 0;
        for (size_t k = 0; k < 4; k++) u |= (uint32_t)p[4 * i + k] << (8 * k);
        out[i] = (int32_t)u;
    }
}

static inline void store_pack_f32(unsigned char *out, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        store_pack_i32(out + 4 * i, &bits, 1);
    }
}

static inline void store_unpack_f32(float *out, const unsigned char *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int32_t bits;
        store_unpack_i32(&bits, p + 4 * i, 1);
        memcpy(&out[i], &bits, sizeof bits);
    }
}
#endif
