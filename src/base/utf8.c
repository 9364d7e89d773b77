/* UTF-8 by the table of well-formed byte sequences (Unicode standard, table 3-7). */
#include "base/utf8.h"

/* How many bytes a character with this lead byte has, and the bounds of its second byte. */
static size_t lead_info(unsigned char c, unsigned char *lo, unsigned char *hi) {
    *lo = 0x80;
    *hi = 0xBF;
    if (c < 0x80) return 1;
    if (c < 0xC2) return 0;
    if (c < 0xE0) return 2;
    if (c < 0xF0) {
        if (c == 0xE0) *lo = 0xA0; /* overlong below */
        if (c == 0xED) *hi = 0x9F; /* surrogates above */
        return 3;
    }
    if (c < 0xF5) {
        if (c == 0xF0) *lo = 0x90;
        if (c == 0xF4) *hi = 0x8F;
        return 4;
    }
    return 0;
}

/* Bytes of a valid start of a character at s; *want = its full length (0: no such lead byte). */
static size_t valid_start(const char *s, size_t n, size_t *want) {
    unsigned char lo, hi;
    *want = lead_info((unsigned char)s[0], &lo, &hi);
    if (*want == 0) return 0;
    size_t i = 1;
    for (; i < *want && i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c < lo || c > hi) break;
        lo = 0x80;
        hi = 0xBF;
    }
    return i;
}

size_t rung_utf8_len(const char *s, size_t n, size_t *n_bad) {
    size_t want, have = valid_start(s, n, &want);
    if (want && have == want) return want;
    if (n_bad) *n_bad = have ? have : 1;
    return 0;
}

size_t rung_utf8_partial(const char *s, size_t n) {
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        unsigned char c = (unsigned char)s[n - back];
        if ((c & 0xC0) == 0x80) continue;
        size_t want, have = valid_start(s + n - back, back, &want);
        return want > back && have == back ? back : 0;
    }
    return 0;
}
