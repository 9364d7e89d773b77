/* SHA-256 against the vectors of FIPS 180-4, and at every length around a block. */
#include "base/sha256.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void is(const char *text, size_t n, const char *hex) {
    char got[65];
    rung_sha256_hex(got, text, n);
    assert_string_equal(got, hex);
}

static void published(void **ud) {
    (void)ud;
    is("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    is("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    const char *two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    is(two, strlen(two), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    static char a[1000000];
    memset(a, 'a', sizeof a);
    is(a, sizeof a, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* Padding that does not fit is a block of its own; no two lengths of one letter are the same. */
static void around_a_block(void **ud) {
    (void)ud;
    static char seen[130][65];
    char a[130];
    memset(a, 'x', sizeof a);
    for (size_t n = 0; n < 130; n++) {
        rung_sha256_hex(seen[n], a, n);
        for (size_t k = 0; k < n; k++) assert_string_not_equal(seen[k], seen[n]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(published),
                                       cmocka_unit_test(around_a_block)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
