/* UTF-8, strictly (no overlong forms, no surrogates, nothing above U+10FFFF). Internal header. */
#ifndef RUNG_SRC_UTF8_H
#define RUNG_SRC_UTF8_H
#include <stddef.h>

/* Bytes of the character at s[0..n), n > 0; 0 when it is not valid, and then *n_bad (NULL allowed)
 * is how many bytes one U+FFFD replaces: the longest start of a character, at least 1. */
size_t rung_utf8_len(const char *s, size_t n, size_t *n_bad);
/* How many bytes at the end of s[0..n) are the start of an unfinished character: 0..3. */
size_t rung_utf8_partial(const char *s, size_t n);
#endif
