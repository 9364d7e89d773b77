/* Philox 4x32-10: J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011.  A block is a pure function of (counter, key); see docs/design/base.md for how
 * an address becomes both. */
#include "rung/rng.h"

#include <math.h>

#define PHILOX_M0     0xD2511F53u
#define PHILOX_M1     0xCD9E8D57u
#define PHILOX_W0     0x9E3779B9u /* golden ratio */
#define PHILOX_W1     0xBB67AE85u /* sqrt(3) - 1 */
#define PHILOX_ROUNDS 10
#define KEY_DOMAIN    0x52554E47u /* "RUNG": keys never come from a counter that draws use */

void rung_philox4x32(uint32_t out[4], const uint32_t ctr[4], const uint32_t key[2]) {
    uint32_t c0 = ctr[0], c1 = ctr[1], c2 = ctr[2], c3 = ctr[3], k0 = key[0], k1 = key[1];
    for (int i = 0; i < PHILOX_ROUNDS; i++) {
        uint64_t p0 = (uint64_t)PHILOX_M0 * c0, p1 = (uint64_t)PHILOX_M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The low halves of problem and rollout are counter words, so no two of them share a draw; their
 * high halves (0 for row ids, set for hashes) are mixed into the key with seed and stream. */
rung_rng rung_rng_at(uint64_t seed, rung_stream stream, uint64_t problem, uint64_t rollout) {
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t ctr[4] = {(uint32_t)stream, (uint32_t)(problem >> 32), (uint32_t)(rollout >> 32),
                             KEY_DOMAIN};
    uint32_t mixed[4];
    rung_philox4x32(mixed, ctr, key);
    return (rung_rng){.key = {mixed[0], mixed[1]}, .hi = {(uint32_t)problem, (uint32_t)rollout}};
}

uint64_t rung_rng_u64_at(const rung_rng *r, uint64_t draw) {
    const uint32_t ctr[4] = {(uint32_t)draw, (uint32_t)(draw >> 32), r->hi[0], r->hi[1]};
    uint32_t out[4];
    rung_philox4x32(out, ctr, r->key);
    return (uint64_t)out[1] << 32 | out[0];
}

double rung_rng_f64_at(const rung_rng *r, uint64_t draw) {
    return (double)(rung_rng_u64_at(r, draw) >> 11) * 0x1p-53;
}

double rung_rng_f64(rung_rng *r) {
    return rung_rng_f64_at(r, r->next++);
}

/* Lemire 2019: the high word of x * n, rejecting the few x that would make it uneven. */
uint64_t rung_rng_below(rung_rng *r, uint64_t n) {
    if (n == 0) return 0;
    __extension__ unsigned __int128 m = (unsigned __int128)rung_rng_u64_at(r, r->next++) * n;
    if ((uint64_t)m < n) {
        uint64_t floor = (0 - n) % n; /* 2^64 mod n */
        while ((uint64_t)m < floor) m = (unsigned __int128)rung_rng_u64_at(r, r->next++) * n;
    }
    return (uint64_t)(m >> 64);
}

int64_t rung_rng_between(rung_rng *r, int64_t lo, int64_t hi) {
    if (hi <= lo) return lo;
    uint64_t width = (uint64_t)hi - (uint64_t)lo + 1; /* 0: all of them */
    uint64_t x = width ? rung_rng_below(r, width) : rung_rng_u64_at(r, r->next++);
    return (int64_t)((uint64_t)lo + x);
}

/* Two draws each, always: the address of the next draw does not depend on a cached second value. */
double rung_rng_normal(rung_rng *r) {
    static const double two_pi = 6.283185307179586476925286766559;
    double u = 1.0 - rung_rng_f64(r), v = rung_rng_f64(r); /* u in (0,1]: the log is finite */
    return sqrt(-2.0 * log(u)) * cos(two_pi * v);
}

void rung_rng_shuffle(rung_rng *r, uint32_t *items, uint32_t n) {
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = (uint32_t)rung_rng_below(r, i), t = items[i - 1];
        items[i - 1] = items[j];
        items[j] = t;
    }
}
