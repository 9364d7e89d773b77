/* Base64, RFC 4648 section 4. */
#include "store/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void store_base64_put(rung_buf *b, const unsigned char *p, size_t n) {
    for (size_t i = 0; i < n; i += 3) {
        size_t k = n - i < 3 ? n - i : 3;
        uint32_t v = (uint32_t)p[i] << 16;
        if (k > 1) v |= (uint32_t)p[i + 1] << 8;
        if (k > 2) v |= p[i + 2];
        char out[4] = {digits[v >> 18], digits[v >> 12 & 63], k > 1 ? digits[v >> 6 & 63] : '=',
                       k > 2 ? digits[v & 63] : '='};
        rung_buf_append(b, out, 4);
    }
}

static int value_of(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+') return 62;
    return c == '/' ? 63 : -1;
}

bool store_base64_get(rung_buf *b, const char *text, size_t n) {
    if (n % 4 != 0) return false;
    for (size_t i = 0; i < n; i += 4) {
        size_t n_pad = 0;
        if (i + 4 == n && text[i + 3] == '=') n_pad = text[i + 2] == '=' ? 2 : 1;
        uint32_t v = 0;
        for (size_t k = 0; k < 4; k++) {
            int d = k < 4 - n_pad ? value_of(text[i + k]) : 0;
            if (d < 0) return false;
            v = v << 6 | (uint32_t)d;
        }
        unsigned char out[3] = {(unsigned char)(v >> 16), (unsigned char)(v >> 8),
                                (unsigned char)v};
        if ((n_pad == 1 && out[2]) || (n_pad == 2 && (out[1] || out[2]))) return false;
        rung_buf_append(b, out, 3 - n_pad);
    }
    return true;
}
