/* XXH3: fast, not cryptographic.  Used as identity of texts and files, never against an attacker.
 */
#include "rung/base.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

static void hex_of(char out[33], XXH128_hash_t h) {
    static const char digits[] = "0123456789abcdef";
    XXH128_canonical_t c;
    XXH128_canonicalFromHash(&c, h);
    for (int i = 0; i < 16; i++) {
        out[2 * i] = digits[c.digest[i] >> 4];
        out[2 * i + 1] = digits[c.digest[i] & 15];
    }
    out[32] = '\0';
}

void rung_hash_hex(char out[33], const void *p, size_t n) {
    hex_of(out, XXH3_128bits(p, n));
}

uint64_t rung_hash64(const void *p, size_t n, uint64_t seed) {
    return XXH3_64bits_withSeed(p, n, seed);
}

rung_status rung_hash_file(char out[33], const char *path, rung_error *err) {
    enum { CHUNK = 1 << 18 };
    rung_status st = RUNG_OK;
    XXH3_state_t *state = NULL;
    char *chunk = rung_alloc(CHUNK);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        st = rung_fail_errno(err, "could not open \"%s\"", path);
        goto out;
    }
    state = XXH3_createState();
    if (!chunk || !state) {
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory");
        goto out;
    }
    XXH3_128bits_reset(state);
    for (;;) {
        ssize_t n = read(fd, chunk, CHUNK);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            st = rung_fail_errno(err, "could not read \"%s\"", path);
            goto out;
        }
        if (n == 0) break;
        XXH3_128bits_update(state, chunk, (size_t)n);
    }
    hex_of(out, XXH3_128bits_digest(state));
out:
    if (fd >= 0) close(fd);
    XXH3_freeState(state);
    rung_free(chunk);
    return st;
}
