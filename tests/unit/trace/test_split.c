/* Splitters: hand cases and the invariants on random bytes. */
#include "rung/rng.h"
#include "rung/trace.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The pieces joined by '|' must be `want`. */
static void splits(const char *how, const char *text, const char *want) {
    rung_step *v;
    int32_t n;
    rung_error e = RUNG_ERROR_INIT;
    assert_int_equal(rung_split_steps(&v, &n, how, text, strlen(text), &e), RUNG_OK);
    char got[512] = "";
    size_t at = 0;
    for (int32_t i = 0; i < n; i++) {
        if (i) got[at++] = '|';
        size_t len = (size_t)(v[i].byte_end - v[i].byte_begin);
        memcpy(got + at, text + v[i].byte_begin, len);
        at += len;
    }
    assert_string_equal(got, want);
    rung_free(v);
}

static void by_hand(void **s) {
    (void)s;
    splits("line", "a\nb\nc", "a\n|b\n|c");
    splits("line", "a\n\n\nb\n", "a\n\n\n|b\n");
    splits("line", "\n \na\nb", "\n \na\n|b"); /* white at the start joins the one after */
    splits("line", "a\n  \n", "a\n  \n");
    splits("line", " \n\n ", " \n\n ");
    splits("line", "", "");
    splits("blank", "a\nb\n\nc", "a\nb\n\n|c");
    splits("blank", "a\n \n\n\tb\r\n\r\nc", "a\n \n\n|\tb\r\n\r\n|c");
    splits("blank", "a\n", "a\n");
    splits("step", "Hi\nStep 1: x\ny\nStep 2: z", "Hi\n|Step 1: x\ny\n|Step 2: z");
    splits("step", "## Step 1: x\n**Step 2.** y\n step 3) z",
           "## Step 1: x\n|**Step 2.** y\n| step 3) z");
    splits("step", "a Step 1: b\nStep x: c\nSteps 2: d\nStep 3",
           "a Step 1: b\nStep x: c\nSteps 2: d\nStep 3");
    splits("delimiter:;", "a;b;;c", "a;|b;|;|c");
    splits("delimiter:\\n\\n", "a\nb\n\nc", "a\nb\n\n|c");
    splits("delimiter:<s>", "a<s>b<s>", "a<s>|b<s>");
    splits("given", "a\n\nb", "a\n\nb");
}

static void refusals(void **s) {
    (void)s;
    rung_step *v;
    int32_t n;
    const char *bad[] = {"lines", "", "delimiter", "delimiter:", "line:x", "delim:x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        rung_error e = RUNG_ERROR_INIT;
        assert_int_equal(rung_split_steps(&v, &n, bad[i], "a", 1, &e), RUNG_E_INVAL);
        assert_null(v);
        assert_true(strlen(e.what) > 0);
    }
    char longer[128] = "delimiter:";
    memset(longer + 10, 'x', 65);
    assert_int_equal(rung_split_steps(&v, &n, longer, "a", 1, NULL), RUNG_E_INVAL);
}

static bool white_only(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\n\r\v\f", p[i]) || !p[i]) return false;
    return true;
}

static void invariants(void **s) {
    (void)s;
    static const char *ways[] = {"line",         "blank",        "step",          "given",
                                 "delimiter:\n", "delimiter:ab", "delimiter:\xc3"};
    /* Bytes that make borders, and pieces of multi-byte characters. */
    static const char alphabet[] =
        "ab \n\n\t\r1:.)#*Step 1:;\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x80\xff";
    rung_rng g = rung_rng_at(2, RUNG_STREAM_TEST, 0, 0);
    for (int round = 0; round < 20000; round++) {
        char text[64];
        size_t n = rung_rng_below(&g, sizeof text);
        bool any = round % 2;
        for (size_t i = 0; i < n; i++)
            text[i] = any ? (char)rung_rng_below(&g, 256)
                          : alphabet[rung_rng_below(&g, sizeof alphabet - 1)];
        for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
            rung_step *v;
            int32_t k;
            assert_int_equal(rung_split_steps(&v, &k, ways[w], text, n, NULL), RUNG_OK);
            assert_true((k == 0) == (n == 0));
            int32_t at = 0;
            for (int32_t i = 0; i < k; i++) {
                assert_int_equal(v[i].byte_begin, at);
                assert_true(v[i].byte_end > at);
                at = v[i].byte_end;
                assert_true(at >= (int32_t)n || ((unsigned char)text[at] & 0xC0) != 0x80);
                bool white = white_only(text + v[i].byte_begin, (size_t)(at - v[i].byte_begin));
                assert_true(!white || k == 1);
            }
            assert_int_equal(at, n);
            rung_free(v);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(refusals),
        cmocka_unit_test(invariants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
