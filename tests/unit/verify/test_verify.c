/* Extraction rules, exact numbers, verdicts, keys, hostile input. */
#include "rung/verify.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static const rung_verifier *math(void) {
    return rung_verifier_find("math");
}

static void extraction_rules(void **state) {
    (void)state;
    static const struct {
        const char *text, *rule, *answer;
        bool flexible;
    } t[] = {
        {"17+5=22\n#### 22\n", "gsm8k", "22", false},
        {"It is 18.\n#### 1,450,000", "gsm8k", "1,450,000", false},
        {"#### -5\nmore", "gsm8k", "-5", false},
        {"#### 3/4", "gsm8k", "3/4", false},
        {"#### 18 dollars", "gsm8k", "18 dollars", false},
        {"#### 18\nQ: another?\n#### 20", "gsm8k", "18",
         false}, /* the first, as GSM8K's own code */
        {"#### 1. Count the eggs\nthen\n#### 7", "gsm8k", "7", false}, /* a heading is none */
        {"#### 12 +", "gsm8k", "12", false},
        {"so 9 * 2 = $<<9*2=18>>18\nA: 18", "gsm8k", "18", false},
        {"cut off 9 * 2 =", "number", "2", true},
        {"Final Answer: The final answer is $\\frac{1}{2}$. I hope it is correct.", "minerva",
         "$\\frac{1}{2}$", false},
        {"First \\boxed{1}, then \\boxed{\\frac{1}{2}} ok 7", "boxed", "\\frac{1}{2}", false},
        {"\\boxed{a{b}c} \\fbox{5}", "boxed", "5", false},
        {"is $\\boxed 5$ now 7", "boxed", "5", false},
        {"is \\boxed{5 and 7", "number", "7", true}, /* unclosed: none */
        {"\\boxed{1} is \\boxed{5 and 7", "number", "7", true},
        {"$\\boxed{1}$ or $\\boxed{\\frac{1}{2}}$.", "boxed", "1, \\frac{1}{2}", false},
        {"$\\boxed{1} \\text{ and } \\boxed{2}, \\boxed{3}$", "boxed", "1, 2, 3", false},
        {"\\boxed{1}. Later, and that is it, \\boxed{2}", "boxed", "2", false},
        {"\\boxed{1}\\boxed{2}", "boxed", "2", false},
        {"$\\boxed{15\\frac{39}{40}}$ or $\\boxed{\\frac{639}{40}}$.", "boxed", "\\frac{639}{40}",
         false},
        {"\\boxed{\\{1, 2\\}}", "boxed", "\\{1, 2\\}", false},
        {"The answer is 18.", "phrase", "18", false},
        {"The answer is:\n\n18\nbye", "phrase", "18", false},
        {"the answer is 3. So the final answer is $4$.\nOr 5", "phrase", "$4$", false},
        {"He pays 1,234 dollars.", "number", "1,234", true},
        {"one of 1, 2, 3", "number", "3", true},
        {"1,2,3", "number", "3", true},
        {"so 16-3", "number", "3", true},
        {"it is -3", "number", "-3", true},
        {"version 1.2.3 ends", "number", "2.3", true},
        {"costs $.50", "number", ".50", true},
        {"no number here", "", "", false},
        {"", "", "", false},
        {"#### ", "", "", false},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rung_answer a;
        math()->extract(&a, t[i].text, strlen(t[i].text));
        if (strcmp(a.rule, t[i].rule) || strcmp(a.text, t[i].answer) || a.flexible != t[i].flexible)
            fail_msg("\"%s\": %s \"%s\" %d", t[i].text, a.rule, a.text, a.flexible);
    }
    rung_answer a;
    math()->extract(&a, NULL, 0);
    assert_string_equal(a.rule, "");
}

static void rationals(void **state) {
    (void)state;
    static const struct {
        const char *text, *num, *den; /* num NULL: not a number */
        bool percent;
    } t[] = {
        {"0", "0", "1", false},
        {"-0", "0", "1", false},
        {"1,234", "1234", "1", false},
        {"11,\\! 111,\\! 111,\\! 100", "11111111100", "1", false},
        {"$3.50", "7", "2", false},
        {"\\$18.90", "189", "10", false},
        {"-$5", "-5", "1", false},
        {"50%", "50", "1", true},
        {"12.5\\%", "25", "2", true},
        {"50 percent", "50", "1", true},
        {"3/4", "3", "4", false},
        {"6/8", "3", "4", false},
        {"-7 / 14", "-1", "2", false},
        {"1 1/2", "3", "2", false},
        {"-1 1/2", "-3", "2", false},
        {".5", "1", "2", false},
        {"-.5", "-1", "2", false},
        {"-7.00", "-7", "1", false},
        {"\\frac{3}{4}", "3", "4", false},
        {"\\dfrac{17}{50}", "17", "50", false},
        {"-\\frac{35}{9}", "-35", "9", false},
        {"\\frac{-35}{9}", "-35", "9", false},
        {"-\\frac{-35}{-9}", "-35", "9", false},
        {"\\frac43", "4", "3", false},
        {"\\frac 59", "5", "9", false},
        {"\\frac9{19}", "9", "19", false},
        {"\\frac{270}7\\text{ degrees}", "270", "7", false},
        {"1\\frac{4}{5}", "9", "5", false},
        {"137 \\frac{1}{2}", "275", "2", false},
        {"12 apples", "12", "1", false},
        {"12cm", "12", "1", false},
        {"864 \\mbox{ inches}^2", "864", "1", false},
        {"5.4 \\text{ cents}", "27", "5", false},
        {"30^\\circ", "30", "1", false},
        {"60 miles/hour", "60", "1", false},
        {"12 square feet.", "12", "1", false},
        {"\xe2\x88\x92"
         "3",
         "-3", "1", false},
        {"1.5e3", "1500", "1", false},
        {"2.5E-3", "1", "400", false},
        {"1.5 \\times 10^{3}", "1500", "1", false},
        {"3\\cdot10^2", "300", "1", false},
        {"10^3", "1000", "1", false},
        {"10^{-2}", "1", "100", false},
        {"-1.8 billion", "-1800000000", "1", false},
        {"x = 5", "5", "1", false},
        {"twelve", "12", "1", false},
        {"**18**", "18", "1", false},
        {"= 5", "5", "1", false},
        {"0.1/0.3", "1", "3", false},
        {"1\n", "1", "1", false},
        {"123456789012345678901234567890.5", "246913578024691357802469135781", "2", false},
        {"1e-30", "1", "1000000000000000000000000000000", false},
        /* not numbers */
        {"", NULL, NULL, false},
        {"-", NULL, NULL, false},
        {"abc", NULL, NULL, false},
        {"1,23", NULL, NULL, false},
        {"1234,567", NULL, NULL, false},
        {"1, 234", NULL, NULL, false},
        {"3, 5, 7", NULL, NULL, false},
        {"1/0", NULL, NULL, false},
        {"\\frac{1}{0}", NULL, NULL, false},
        {"--3", NULL, NULL, false},
        {"1 3/2", NULL, NULL, false}, /* improper: 5/2 or a slip? */
        {"2k", NULL, NULL, false},
        {"5 m", NULL, NULL, false},
        {"5x", NULL, NULL, false},
        {"52_8", NULL, NULL, false},
        {"40 base nine", NULL, NULL, false},
        {"3 or 5", NULL, NULL, false},
        {"2 thirds", NULL, NULL, false},
        {"5 more than x", NULL, NULL, false},
        {"10+John's age", NULL, NULL, false},
        {"3:4", NULL, NULL, false},
        {"2^{10}", NULL, NULL, false},
        {"6 - 5i", NULL, NULL, false},
        {"\\pi", NULL, NULL, false},
        {"3\\sqrt{13}", NULL, NULL, false},
        {"1e99999999999", NULL, NULL, false},
        {"1 \\pm 2", NULL, NULL, false},
        {"1.2.3", NULL, NULL, false},
        {"\\frac{1}{2", NULL, NULL, false},
        {"\\frac", NULL, NULL, false},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rung_rational r;
        bool percent;
        bool ok = rung_rational_parse(&r, t[i].text, &percent);
        if (ok != (t[i].num != NULL))
            fail_msg("\"%s\": parsed %d as %s/%s", t[i].text, ok, r.num, r.den);
        if (ok && (strcmp(r.num, t[i].num) || strcmp(r.den, t[i].den) || percent != t[i].percent))
            fail_msg("\"%s\": %s/%s %d", t[i].text, r.num, r.den, percent);
    }
    char nines[200]; /* 78 digits are a number, 79 are not */
    rung_rational r;
    memset(nines, '9', sizeof nines);
    nines[78] = '\0';
    assert_true(rung_rational_parse(&r, nines, NULL));
    assert_string_equal(r.num, nines);
    nines[78] = '9', nines[79] = '\0';
    assert_false(rung_rational_parse(&r, nines, NULL));
    assert_false(rung_rational_parse(&r, NULL, NULL));
}

#define U RUNG_VERDICT_UNKNOWN
#define C RUNG_VERDICT_CORRECT
#define W RUNG_VERDICT_WRONG
static void verdicts(void **state) {
    (void)state;
    static const struct {
        const char *gold, *answer;
        rung_verdict want;
        const char *rule;
    } t[] = {
        {"18", "18", C, "rational"},
        {"18", "18.0", C, "rational"},
        {"18", "$18", C, "rational"},
        {"18", "18 dollars", C, "rational"},
        {"65,960", "65960", C, "rational"},
        {"0.5", "\\frac{1}{2}", C, "rational"},
        {"\\frac{3}{2}", "1.5", C, "rational"},
        {"18", "17", W, "rational"},
        {"18", "180", W, "rational"},
        {"10", "1000", W, "rational"}, /* no percent anywhere: 100 times is just wrong */
        {"5", "-5", W, "rational"},
        {"1/3", "0.34", W, "rational"},
        {"50", "50%", C, "percent"},
        {"50%", "50%", C, "rational"},
        {"0.5", "50%", U, "rational"},
        {"50%", "0.5", U, "rational"},
        {"50%", "60%", W, "rational"},
        {"5.4 \\text{ cents}", "0.054", U, "rational"},
        {"2", "2 million", U, "rational"},
        {"2000000", "2 million", C, "rational"},
        {"3 feet", "36 inches", C, "unit"},
        {"3 feet", "36 feet", W, "rational"},
        {"3 apples", "3 apple", C, "rational"},
        {"1/3", "0.333", W, "rational"},
        {"201.9", "201.89999999999998", U, "rational"},
        {"18", "18.4", W, "rational"},
        {"18", "", U, ""},
        {"18", "   ", U, ""},
        {"", "18", U, ""},
        {"18", "eighteen", C, "rational"},
        {"18", "many", U, "string"},
        {"18", "2x", W, "numeric"},
        {"\\text{(C)}", "C", C, "choice"},
        {"(C)", "D", W, "choice"},
        {"C", "3", U, "string"},
        {"\\text{Evelyn}", "evelyn", C, "text"},
        {"\\text{even}", "odd", W, "text"},
        {"e", "E", U, "string"}, /* one letter is not folded; e is no choice */
        {"11\\sqrt2", "11\\sqrt{2}", C, "algebraic"},
        {"\\left( 3, \\frac{\\pi}{2} \\right)", "(3,\\frac{\\pi}{2})", C, "structure"},
        {"(1/2, .5, 7.00)", "(\\frac{1}{2},0.5,7)", C, "structure"},
        {"\\begin{pmatrix} 1/5 \\\\ -18/5 \\end{pmatrix}",
         "\\begin{bmatrix}\\frac{1}{5}\\\\-\\frac{18}{5}\\end{bmatrix}", C, "structure"},
        {"\\begin{pmatrix} -2 \\\\ -14 \\end{pmatrix}", "\\begin{bmatrix}-2\\\\-14\\end{bmatrix}",
         C, "structure"},
        {"4210_{5}", "4210_5", C, "rational"},
        {"y = 2x + 3", "2x+3", U, "structure"},
        {"x \\in [-2,7]", "[-2,7]", C, "structure"},
        {"p - q", "q - p", W, "numeric"},
        {"(3,4]", "(3,4)", W, "structure"},
        {"\\frac{11+9a}{20}", "\\dfrac{11+9a}{20}", C, "polynomial"},
        {"3, 5, 7", "3,5,7", C, "structure"},
        {"90^\\circ", "90", C, "rational"},
        {"x=5", "5", C, "rational"},
        {"$", "$", C, "string"},
    };
    int n_bad = 0;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rung_check c;
        char kg[128], ka[128];
        math()->check(&c, t[i].gold, t[i].answer);
        if (c.verdict != t[i].want || strcmp(c.rule, t[i].rule)) {
            print_error("gold \"%s\" answer \"%s\": %s %s (%s)\n", t[i].gold, t[i].answer,
                        rung_verdict_name(c.verdict), c.rule, c.reason);
            n_bad++;
        }
        assert_true((c.verdict == U) == (c.reason[0] != '\0'));
        math()->key(kg, t[i].gold), math()->key(ka, t[i].answer);
        if (kg[0] && ka[0] && (strcmp(kg, ka) == 0) != (c.verdict == C) && strcmp(c.rule, "unit")) {
            print_error("gold \"%s\" answer \"%s\": %s, keys %s %s\n", t[i].gold, t[i].answer,
                        rung_verdict_name(c.verdict), kg, ka);
            n_bad++;
        }
    }
    assert_int_equal(n_bad, 0);
    rung_check c;
    math()->check(&c, NULL, NULL);
    assert_int_equal(c.verdict, U);
}

/* CORRECT is equality of keys: reflexive, symmetric, transitive over every pair of these. */
static void keys_are_classes(void **state) {
    (void)state;
    static const char *const a[] = {"18",   "18.0",  "$18",    "18%",   "0.18", "9/50", "18 cents",
                                    "2k",   "k2",    "C",      "(C)",   "c",    "1e2",  "100",
                                    "\\pi", "\\pi ", "(1, 2)", "(1,2)", "",     " ",    "1,234",
                                    "1234", "many",  "Many",   "1 1/2", "3/2",  "1.5"};
    enum { N = sizeof a / sizeof *a };
    for (size_t v = 0; rung_verifier_at(v); v++) {
        const rung_verifier *r = rung_verifier_at(v);
        for (size_t i = 0; i < N; i++)
            for (size_t k = 0; k < N; k++) {
                char ki[128], kk[128];
                rung_check c, d;
                r->key(ki, a[i]), r->key(kk, a[k]);
                r->check(&c, a[i], a[k]), r->check(&d, a[k], a[i]);
                bool same = ki[0] && strcmp(ki, kk) == 0;
                if ((c.verdict == RUNG_VERDICT_CORRECT) != same)
                    fail_msg("%s: \"%s\" and \"%s\": verdict %d, keys %s %s", r->name, a[i], a[k],
                             c.verdict, ki, kk);
                assert_int_equal(c.verdict, d.verdict);
                if (!ki[0] || !kk[0]) assert_int_equal(c.verdict, RUNG_VERDICT_UNKNOWN);
            }
    }
}

static void table(void **state) {
    (void)state;
    assert_non_null(rung_verifier_find("math"));
    assert_non_null(rung_verifier_find("exact"));
    assert_null(rung_verifier_find("nope"));
    assert_null(rung_verifier_find(NULL));
    for (size_t i = 0; rung_verifier_at(i); i++) {
        const rung_verifier *v = rung_verifier_at(i);
        assert_ptr_equal(rung_verifier_find(v->name), v);
        assert_true(v->help[0] && v->version[0]);
    }
    rung_check c;
    rung_answer a;
    const rung_verifier *exact = rung_verifier_find("exact");
    exact->check(&c, "Paris", " paris. ");
    assert_int_equal(c.verdict, RUNG_VERDICT_CORRECT);
    exact->check(&c, "Paris", "Rome");
    assert_int_equal(c.verdict, RUNG_VERDICT_WRONG);
    exact->check(&c, "Paris", "");
    assert_int_equal(c.verdict, RUNG_VERDICT_UNKNOWN);
    exact->extract(&a, "let me see\nParis\n", 17);
    assert_string_equal(a.text, "Paris");
    assert_string_equal(a.rule, "line");
    const rung_verifier *choice = rung_verifier_find("choice");
    choice->extract(&a, "A cat. The answer is (B).", 25);
    assert_string_equal(a.text, "B");
    choice->check(&c, "B", a.text);
    assert_int_equal(c.verdict, RUNG_VERDICT_CORRECT);
    choice->check(&c, "B", "dog");
    assert_int_equal(c.verdict, RUNG_VERDICT_UNKNOWN);
}

/* 10 MB of each kind in linear time: 20 s of CPU each is generous even under a sanitizer; a
 * quadratic scan would take hours. */
static void hostile(void **state) {
    (void)state;
    enum { N = 10 << 20 };
    char *text = rung_alloc(N + 1);
    static const char *const fill[] = {
        "{",  "}", "\\boxed{", "#### ",    "9", ",9", "\\text{", "he answer is ", "#", "-",
        ".9", "A", "\\frac{",  "#### 1\n", " ", "\n", "1/",      "\\boxed {{"};
    for (size_t f = 0; f < sizeof fill / sizeof *fill; f++) {
        size_t n = strlen(fill[f]);
        for (size_t i = 0; i < N; i++) text[i] = fill[f][i % n];
        text[N] = '\0';
        for (size_t v = 0; rung_verifier_at(v); v++) {
            rung_answer a;
            rung_check c;
            char key[128];
            size_t n_text = v == 0 ? N : N / 16; /* the other rows share math's rules */
            const char *tail = text + N - n_text;
            clock_t t0 = clock();
            rung_verifier_at(v)->extract(&a, tail, n_text);
            rung_verifier_at(v)->key(key, tail);
            rung_verifier_at(v)->check(&c, tail, a.text);
            rung_verifier_at(v)->check(&c, "5", tail);
            if (v == 0) assert_int_not_equal(c.verdict, RUNG_VERDICT_CORRECT);
            double s = (double)(clock() - t0) / CLOCKS_PER_SEC;
            if (s > 20.0) fail_msg("%s on %s: %.1f s", rung_verifier_at(v)->name, fill[f], s);
        }
    }
    memset(text, 0, N); /* NULs */
    rung_answer a;
    math()->extract(&a, text, N);
    assert_string_equal(a.rule, "");
    memcpy(text,
           "\\boxed{1\0"
           "2} is 7",
           16);
    math()->extract(&a, text, N);
    assert_string_equal(a.rule, "boxed"); /* it fired, but what it holds is no answer */
    assert_string_equal(a.text, "");
    memset(text, '{', 200000); /* 100k deep, closed */
    memset(text + 100000, '}', 100000);
    memcpy(text, "\\boxed", 6);
    math()->extract(&a, text, 200000);
    rung_free(text);
}

/* Every prefix and every single-byte change of some answers: nothing may crash or hang. */
static void mutations(void **state) {
    (void)state;
    static const char *const seeds[] = {"\\left( \\frac{3}{2}, -13 \\right)",
                                        "137 \\frac{1}{2}",
                                        "1.5 \\times 10^{3}",
                                        "10^{-2}",
                                        "864 \\mbox{ inches}^2",
                                        "\\text{(C)}",
                                        "-1,234.50 dollars",
                                        "x \\in [1,2]",
                                        "**\\$32,\\!348**",
                                        "1 1/2 cups"};
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        size_t n = strlen(seeds[i]);
        char text[128], key[128];
        rung_check c;
        for (size_t k = 0; k < n; k++)
            for (int b = 1; b < 256; b++) {
                memcpy(text, seeds[i], n + 1);
                text[k] = (char)b;
                math()->key(key, text);
                math()->check(&c, seeds[i], text);
                text[k] = '\0';
            }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extraction_rules), cmocka_unit_test(rationals), cmocka_unit_test(verdicts),
        cmocka_unit_test(keys_are_classes), cmocka_unit_test(table),     cmocka_unit_test(hostile),
        cmocka_unit_test(mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
