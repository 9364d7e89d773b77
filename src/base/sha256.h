/* SHA-256 in hex. Pure. */
#ifndef RUNG_SRC_SHA256_H
#define RUNG_SRC_SHA256_H
#include <stddef.h>
#include <stdint.h>
void rung_sha256_hex(char out[65], const void *data, size_t n);
#endif
