/* Small exact integers; schoolbook throughout, at most 20 limbs. */
#include "verify/big.h"
#include <string.h>

static void trim(big *x) {
    while (x->n > 0 && x->d[x->n - 1] == 0) x->n--;
}

big big_from(uint64_t v) {
    big x = {2, {(uint32_t)v, (uint32_t)(v >> 32)}};
    trim(&x);
    return x;
}

bool big_mul_add(big *x, uint32_t m, uint32_t a) {
    uint64_t carry = a;
    for (int32_t i = 0; i < x->n; i++) {
        carry += (uint64_t)x->d[i] * m;
        x->d[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry) {
        if (x->n == BIG_LIMBS) return false;
        x->d[x->n++] = (uint32_t)carry;
    }
    trim(x);
    return true;
}

bool big_mul(big *out, const big *a, const big *b) {
    uint32_t d[2 * BIG_LIMBS] = {0};
    for (int32_t i = 0; i < a->n; i++) {
        uint64_t carry = 0;
        for (int32_t k = 0; k < b->n; k++) {
            carry += (uint64_t)a->d[i] * b->d[k] + d[i + k];
            d[i + k] = (uint32_t)carry;
            carry >>= 32;
        }
        d[i + b->n] = (uint32_t)carry;
    }
    int32_t n = a->n + b->n;
    while (n > 0 && d[n - 1] == 0) n--;
    if (n > BIG_LIMBS) return false;
    memset(out, 0, sizeof *out);
    memcpy(out->d, d, (size_t)n * sizeof *d);
    out->n = n;
    return true;
}

bool big_add(big *out, const big *a, const big *b) {
    big r = {0, {0}};
    uint64_t carry = 0;
    int32_t n = a->n > b->n ? a->n : b->n;
    for (int32_t i = 0; i < n; i++) {
        carry += (uint64_t)(i < a->n ? a->d[i] : 0) + (i < b->n ? b->d[i] : 0);
        r.d[i] = (uint32_t)carry;
        carry >>= 32;
    }
    r.n = n;
    if (carry) {
        if (n == BIG_LIMBS) return false;
        r.d[r.n++] = 1;
    }
    *out = r;
    return true;
}

void big_sub(big *out, const big *a, const big *b) {
    big r = *a;
    uint64_t borrow = 0;
    for (int32_t i = 0; i < a->n; i++) {
        uint64_t take = (i < b->n ? b->d[i] : 0) + borrow;
        borrow = a->d[i] < take;
        r.d[i] = (uint32_t)(a->d[i] - take);
    }
    trim(&r);
    *out = r;
}

int big_cmp(const big *a, const big *b) {
    if (a->n != b->n) return a->n < b->n ? -1 : 1;
    for (int32_t i = a->n - 1; i >= 0; i--)
        if (a->d[i] != b->d[i]) return a->d[i] < b->d[i] ? -1 : 1;
    return 0;
}

static void halve(big *x) {
    for (int32_t i = 0; i < x->n; i++)
        x->d[i] = x->d[i] >> 1 | (i + 1 < x->n ? x->d[i + 1] << 31 : 0);
    trim(x);
}

static bool even(const big *x) {
    return x->n == 0 || (x->d[0] & 1) == 0;
}

/* Binary gcd of a, b > 0. */
static big gcd(big a, big b) {
    int32_t shift = 0;
    while (even(&a) && even(&b)) halve(&a), halve(&b), shift++;
    while (b.n > 0) {
        while (even(&a)) halve(&a);
        while (even(&b)) halve(&b);
        if (big_cmp(&a, &b) > 0) {
            big t = a;
            a = b;
            b = t;
        }
        big_sub(&b, &b, &a);
    }
    while (shift-- > 0) (void)big_mul_add(&a, 2, 0); /* not above the smaller input: no overflow */
    return a;
}

/* Quotient by long division, bit by bit. */
static big divide(const big *a, const big *b) {
    big q = {0, {0}}, r = {0, {0}};
    for (int32_t i = a->n * 32 - 1; i >= 0; i--) {
        (void)big_mul_add(&r, 2, a->d[i / 32] >> (i % 32) & 1); /* r < 2 b: no overflow */
        if (big_cmp(&r, b) < 0) continue;
        big_sub(&r, &r, b);
        q.d[i / 32] |= 1u << (i % 32);
    }
    q.n = a->n;
    trim(&q);
    return q;
}

void big_reduce(big *a, big *b) {
    if (a->n == 0) {
        *b = big_from(1);
        return;
    }
    big g = gcd(*a, *b);
    if (g.n == 1 && g.d[0] == 1) return;
    *a = divide(a, &g);
    *b = divide(b, &g);
}

bool big_print(char *out, size_t n_max, const big *x) {
    char digit[BIG_DIGITS_MAX + 16];
    size_t n = 0;
    big r = *x;
    do {
        uint64_t rest = 0;
        for (int32_t i = r.n - 1; i >= 0; i--) {
            rest = rest << 32 | r.d[i];
            r.d[i] = (uint32_t)(rest / 10);
            rest %= 10;
        }
        trim(&r);
        digit[n++] = (char)('0' + rest);
    } while (r.n > 0 && n < sizeof digit);
    if (r.n > 0 || n + 1 > n_max) return false;
    for (size_t i = 0; i < n; i++) out[i] = digit[n - 1 - i];
    out[n] = '\0';
    return true;
}
