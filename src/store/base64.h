/* Base64 (RFC 4648, padded). Internal to src/store. */
#ifndef RUNG_SRC_BASE64_H
#define RUNG_SRC_BASE64_H
#include "rung/base.h"

void store_base64_put(rung_buf *b, const unsigned char *p, size_t n); /* text, no quotes */
/* Appends the bytes; false when text is not canonical base64. */
bool store_base64_get(rung_buf *b, const char *text, size_t n);
#endif
