/* Unsigned integers of up to 640 bits on the stack: enough for exact comparison of any two
 * fractions with 78-digit terms. No allocation, no abort: an overflow is a false return. */
#ifndef RUNG_SRC_VERIFY_BIG_H
#define RUNG_SRC_VERIFY_BIG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BIG_LIMBS = 20, BIG_DIGITS_MAX = 192 };
typedef struct big {
    int32_t n; /* limbs in use; 0 = the number 0 */
    uint32_t d[BIG_LIMBS];
} big;

big big_from(uint64_t v);
bool big_mul_add(big *x, uint32_t m, uint32_t a); /* x = x m + a */
bool big_mul(big *out, const big *a, const big *b);
bool big_add(big *out, const big *a, const big *b);
void big_sub(big *out, const big *a, const big *b); /* a >= b */
int big_cmp(const big *a, const big *b);
void big_reduce(big *a, big *b); /* both divided by their greatest common divisor; b > 0 */
/* Decimal digits and NUL; false when they need more than n_max bytes. */
bool big_print(char *out, size_t n_max, const big *x);
#endif
