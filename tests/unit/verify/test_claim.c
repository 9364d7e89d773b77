/* Claims of steps: what is found, where, and what is said of it. Each row was worked out by hand.
 */
#include "rung/step.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* text -> the claims, "span|verdict|rule or reason" joined by "; ". C correct, W wrong, U unknown
 */
static const struct {
    const char *text, *want;
} rows[] = {
    {"12 * 3 = 36", "12 * 3 = 36|C|exact"},
    {"12 * 3 = 35", "12 * 3 = 35|W|not equal"},
    {"36/4 is 9.", "36/4 is 9|C|exact"},
    {"36/4 is 8.", "36/4 is 8|W|not equal"},
    {"So 2*3+4 = 6+4 = 10.", "2*3+4 = 6+4|C|exact; 6+4 = 10|C|exact"},
    {"So 2*3+4 = 6+5 = 11.", "2*3+4 = 6+5|W|not equal; 6+5 = 11|C|exact"},
    {"<<48/2=24>>", "48/2=24|C|exact"},
    {"He sold 48/2 = <<48/2=24>>25 clips", "48/2 = <<48/2=24>>25|W|not equal; 48/2=24|C|exact"},
    {"<<15-2:38=12>>", "15-2:38=12|U|not read"},
    {"<<x+56=86>>", "x+56=86|U|letters"},
    {"<<560//10=56>>", "560//10=56|C|exact"},
    {"<<71+-3=68>>", "71+-3=68|C|exact"},
    {"<<9,300/30=275>>", "9,300/30=275|W|not equal"},
    {"20% of 50 is 10", "20% of 50 is 10|C|exact"},
    {"20% of 50 is 12", "20% of 50 is 12|W|not equal"},
    {"half of 10 is 5", "half of 10 is 5|C|exact"},
    {"3/4 of 20 is 15", "3/4 of 20 is 15|C|exact"},
    {"3/4 of the class is 15", "3/4 of the class is 15|U|loose words"},
    {"1/3 of the class = 60 / 4", "1/3 of the class = 60 / 4|U|loose words"},
    {"Since 3/4 is 9, all are 12.", "3/4 is 9|U|a share of something"},
    {"(5/20) * 100 = 25%", "(5/20) * 100 = 25%|C|percent"},
    {"1 - 0.2 = 80%", "1 - 0.2 = 80%|C|exact"},
    {"2/3 = 66.67%", "2/3 = 66.67%|C|rounded"},
    {"2/3 = 65.67%", "2/3 = 65.67%|U|percent of something"},
    {"\\frac{3}{4} \\times 8 = 6", "\\frac{3}{4} \\times 8 = 6|C|exact"},
    {"$\\frac{1}{2} + \\frac13 = \\frac{5}{6}$", "\\frac{1}{2} + \\frac13 = \\frac{5}{6}|C|exact"},
    {"$\\frac{1}{2} + \\frac13 = \\frac{2}{5}$",
     "\\frac{1}{2} + \\frac13 = \\frac{2}{5}|W|not equal"},
    {"1 1/2 * 4 = 6", "1 1/2 * 4 = 6|C|exact"},
    {"1\xc2\xbd + \xc2\xbd = 2", "1\xc2\xbd + \xc2\xbd = 2|C|exact"},
    {"12 \xc3\xb7 4 \xc3\x97 2 = 6", "12 \xc3\xb7 4 \xc3\x97 2 = 6|C|exact"},
    {"2^10 = 1024", "2^10 = 1024|C|exact"},
    {"-2^2 = -4", "-2^2 = -4|C|exact"},
    {"2^3^2 = 512", "2^3^2 = 512|C|exact"},
    {"10 - 3 - 2 = 5", "10 - 3 - 2 = 5|C|exact"},
    {"12 / 3 / 2 = 2", "12 / 3 / 2 = 2|C|exact"},
    {"5(3) + (2)(4) = 23", "5(3) + (2)(4) = 23|C|exact"},
    {"1,234 + 1 = 1,235", "1,234 + 1 = 1,235|C|exact"},
    {"10 / 3 = 3.33", "10 / 3 = 3.33|C|rounded"},
    {"10 / 3 = 3.34", "10 / 3 = 3.34|U|cut off, not rounded"},
    {"10 / 3 = 3.43", "10 / 3 = 3.43|W|not equal"},
    {"20 / 3 = 6", "20 / 3 = 6|U|a whole number near it"},
    {"20 / 3 = 5", "20 / 3 = 5|W|not equal"},
    {"20 / 3 \xe2\x89\x88 7", "20 / 3 \xe2\x89\x88 7|C|rounded"},
    {"20 / 3 \xe2\x89\x88 9", "20 / 3 \xe2\x89\x88 9|W|not near"},
    {"<<1/3*5=1.6666666666666665>>", "1/3*5=1.6666666666666665|C|float"},
    {"<<4.20+9.45+1.35=14.999999999999998>>", "4.20+9.45+1.35=14.999999999999998|C|float"},
    {"3*4 = 12 + 5 = 17", "3*4 = 12 + 5|U|runs on; 12 + 5 = 17|C|exact"},
    {"50 cents * 3 = $1.50", "50 cents * 3 = $1.50|U|units"},
    {"5 apples * 3 = 15 apples", "5 apples * 3 = 15|C|exact"},
    {"5 apples * 3 = 16 apples", "5 apples * 3 = 16|W|not equal"},
    {"$5/hour * 8 hours = $40", "5/hour * 8 hours = $40|C|exact"},
    {"5 - 2 = 3, 3 + 4 = 8", "5 - 2 = 3|C|exact; 3 + 4 = 8|W|not equal"},
    {"3 + 4 < 8", "3 + 4 < 8|C|exact"},
    {"3 + 4 >= 8", "3 + 4 >= 8|W|not so"},
    {"1/0 = 3", "1/0 = 3|U|division by zero"},
    {"9^999999 = 1", "9^999999 = 1|U|too large"},
    {"5 plus 3 is 8, 5 times 3 equals 14",
     "5 plus 3 is 8|C|exact; 5 times 3 equals 14|W|not equal"},
    {"24 divided by 4 is equal to 6", "24 divided by 4 is equal to 6|C|exact"},
    {"3 times a day for 2 days", ""},
    {"1 + 1 = 2\nis -", "1 + 1 = 2|C|exact"}, /* and this: a sign that ends the text */
    {"1 + 5 = 2{3}", "1 + 5 = 2{3}|C|exact"}, /* found by the fuzzer: no number stands there */
    {"2x + 3 = 7", "2x + 3 = 7|U|letters"},
    {"2 x 3 = 6 and 2x3=7", "2 x 3 = 6|C|exact; 2x3=7|W|not equal"},
    {"x = 5 * 3 = 15", "x = 5 * 3|U|letters; 5 * 3 = 15|C|exact"},
    {"rate + 3 = 7", ""},
    {"3 + rate = 7", ""},
    {"+ $5 + $3 = $18", ""},
    {"- 4 + 5 = 9", "4 + 5 = 9|C|exact"},
    {"his 2 cars + his 1 bike = 3", ""},
    {"Step 2: 3+4=7", "3+4=7|C|exact"},
    {"Day 3:70-21-15=34", ""},
    {"$350 000 + $17500 = $367 500", ""},
    {"(1) 3 + 4 = 7", "3 + 4 = 7|C|exact"},
    {"25 / 1/3 = 75", "25 / 1/3 = 75|U|two readings"},
    {"the 3rd + 4 = 7", ""},
    {"x => 3, 5 == 5", ""},
    {"", ""},
    {"<<", ""},
    {"<<=>>", "=|U|not read"},
    {"= = 3 = ", ""},
    {"((((3+4)))) = 7", "((((3+4)))) = 7|C|exact"},
    {"(3+4 = 7", "3+4 = 7|C|exact"},
    {"\\frac{1}{2", ""},
};

static char *describe(const char *text, size_t n, const rung_claim_opts *o) {
    static char out[4096];
    rung_step_claim c[32];
    size_t k = rung_step_claims(c, 32, text, n, o);
    out[0] = '\0';
    for (size_t i = 0; i < k; i++) {
        assert_true(c[i].begin >= 0 && c[i].begin <= c[i].left_end);
        assert_true(c[i].right_begin <= c[i].end && (size_t)c[i].end <= n);
        size_t at = strlen(out);
        snprintf(out + at, sizeof out - at, "%s%.*s|%c|%s", i ? "; " : "",
                 (int)(c[i].end - c[i].begin), text + c[i].begin, "UCW"[c[i].verdict],
                 c[i].verdict == RUNG_VERDICT_CORRECT ? c[i].rule : c[i].reason);
    }
    return out;
}

static void claims(void **state) {
    (void)state;
    int n_bad = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n = strlen(rows[i].text);
        char *whole = rung_alloc(n ? n : 1); /* nothing stands behind the last byte */
        memcpy(whole, rows[i].text, n);
        char *got = describe(whole, n, NULL);
        rung_free(whole);
        if (strcmp(got, rows[i].want) == 0) continue;
        print_message("  \"%s\":\n    got  %s\n    want %s\n", rows[i].text, got, rows[i].want);
        n_bad++;
    }
    assert_int_equal(n_bad, 0);
}

static void strictly(void **state) {
    (void)state;
    rung_claim_opts o = RUNG_CLAIM_OPTS_INIT;
    o.strict = true;
    assert_string_equal(describe("10/3 = 3.33", 11, &o), "10/3 = 3.33|W|equal only when rounded");
    assert_string_equal(describe("1/8 = 0.125", 11, &o), "1/8 = 0.125|C|exact");
    assert_string_equal(describe("20/3 = 7", 8, &o), "20/3 = 7|W|not equal");
}

static void value_and_sides(void **state) {
    (void)state;
    const char *text = "So 7 / 4 = 1.75 here";
    rung_step_claim c;
    assert_int_equal(rung_step_claims(&c, 1, text, strlen(text), NULL), 1);
    assert_string_equal(c.value, "7/4");
    assert_int_equal(c.begin, 3);
    assert_int_equal(c.left_end, 8);
    assert_int_equal(c.right_begin, 11);
    assert_int_equal(c.end, 15);
    assert_string_equal(c.relation, "=");
    /* more claims than there is room for: counted */
    assert_int_equal(rung_step_claims(&c, 1, "1+1=2, 2+2=4, 3+3=6", 19, NULL), 3);
    assert_string_equal(c.value, "2");
}

/* Any bytes: no crash, spans inside. A small generator of its own, seeded. */
static void any_bytes(void **state) {
    (void)state;
    static const char *const parts[] = {"1",        "23",
                                        ".5",       "1,000",
                                        "+",        "-",
                                        "*",        "/",
                                        "^",        "(",
                                        ")",        "=",
                                        " is ",     " of ",
                                        "%",        "<<",
                                        ">>",       "\\frac{",
                                        "}",        "{",
                                        "\\times ", "x",
                                        " apples ", "\n",
                                        "\xc2\xbd", "\xe2\x89\x88",
                                        ":",        "$",
                                        "**",       "99999999999999999999",
                                        "\\",       "\xff",
                                        "<",        ">",
                                        "half of ", "1 1/2",
                                        "//"};
    uint64_t r = 88172645463325252u;
    static char text[4096];
    for (int k = 0; k < 20000; k++) {
        size_t n = 0;
        for (int j = 0; j < 40; j++) {
            r ^= r << 13, r ^= r >> 7, r ^= r << 17;
            const char *p = parts[r % (sizeof parts / sizeof *parts)];
            memcpy(text + n, p, strlen(p));
            n += strlen(p);
        }
        (void)describe(text, n, NULL);
    }
}

static void long_text(void **state) {
    (void)state;
    enum { N = 1 << 20 };
    char *text = rung_alloc(N);
    rung_step_claim c[4];
    static const char *const fills[] = {"1+", "(",       "1=", "1 ", "<<1",
                                        "{",  "\\frac{", "-",  "a ", "1/"};
    for (size_t k = 0; k < sizeof fills / sizeof *fills; k++) {
        for (size_t i = 0; i < N; i++) text[i] = fills[k][i % strlen(fills[k])];
        double t0 = rung_cpu_now();
        (void)rung_step_claims(c, 4, text, N, NULL);
        assert_true(rung_cpu_now() - t0 < 20.0); /* quadratic would be hours */
    }
    rung_free(text);
}

static void row_step(void **state) {
    (void)state;
    const rung_step_verifier *v = rung_step_verifier_find("step");
    const char *step[] = {"First 2+2=4.", "Then 4*3=13, 1+1=2.", "So it is big."};
    int32_t n[3];
    rung_step_verdict out[3];
    rung_step_task t = RUNG_STEP_TASK_INIT;
    rung_error err = RUNG_ERROR_INIT;
    rung_arena *a = rung_arena_new(0);
    for (int i = 0; i < 3; i++) n[i] = (int32_t)strlen(step[i]);
    t.step = step;
    t.n_bytes = n;
    t.n_steps = 3;
    assert_int_equal(v->check(out, a, &t, NULL, &err), RUNG_OK);
    assert_int_equal(out[0].verdict, RUNG_VERDICT_CORRECT);
    assert_int_equal(out[1].verdict, RUNG_VERDICT_WRONG);
    assert_int_equal(out[1].n_claims, 2);
    assert_int_equal(out[1].n_wrong, 1);
    assert_int_equal(out[1].begin, 5);
    assert_int_equal(out[1].end, 11);
    assert_int_equal(out[2].verdict, RUNG_VERDICT_UNKNOWN);
    assert_string_equal(out[2].reason, "no claim");
    assert_int_equal(rung_step_first_wrong(out, 3), 1);
    assert_int_equal(rung_step_first_wrong(out, 1), -1);
    rung_arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claims),    cmocka_unit_test(strictly),  cmocka_unit_test(value_and_sides),
        cmocka_unit_test(any_bytes), cmocka_unit_test(long_text), cmocka_unit_test(row_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
