/* The maths verifier on hand-checked pairs (tests/data/math_pairs.jsonl), its keys, its printed
 * forms, its budget, several threads. */
#include "base/json.h"
#include "rung/verify.h"
#include "verify/expr.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { PAIRS_MAX = 1000 };
typedef struct pair {
    char *type, *gold, *answer;
    rung_verdict want;
    char key[2][128];
} pair;
static pair pairs[PAIRS_MAX];
static size_t n_pairs;

static const rung_verifier *math(void) {
    return rung_verifier_find("math");
}

static int load(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_jsonl *r = NULL;
    yyjson_val *v;
    if (rung_jsonl_open(&r, RUNG_SOURCE_DIR "/tests/data/math_pairs.jsonl", 0, &err)) return -1;
    while (n_pairs < PAIRS_MAX && rung_jsonl_next(&v, r, &err) == RUNG_OK) {
        pair *p = &pairs[n_pairs++];
        const char *want = yyjson_get_str(yyjson_obj_get(v, "want"));
        p->type = rung_strdup(yyjson_get_str(yyjson_obj_get(v, "type")));
        p->gold = rung_strdup(yyjson_get_str(yyjson_obj_get(v, "gold")));
        p->answer = rung_strdup(yyjson_get_str(yyjson_obj_get(v, "answer")));
        p->want = want[0] == 'c'   ? RUNG_VERDICT_CORRECT
                  : want[0] == 'w' ? RUNG_VERDICT_WRONG
                                   : RUNG_VERDICT_UNKNOWN;
        math()->key(p->key[0], p->gold);
        math()->key(p->key[1], p->answer);
    }
    rung_jsonl_close(r);
    return 0;
}

static int unload(void **state) {
    (void)state;
    for (size_t i = 0; i < n_pairs; i++) {
        rung_free(pairs[i].type);
        rung_free(pairs[i].gold);
        rung_free(pairs[i].answer);
    }
    return 0;
}

static void verdicts(void **state) {
    (void)state;
    size_t n_bad = 0, n_wrong = 0;
    for (size_t i = 0; i < n_pairs; i++) {
        const pair *p = &pairs[i];
        rung_check c, d;
        math()->check(&c, p->gold, p->answer);
        math()->check(&d, p->answer, p->gold);
        n_wrong += p->want == RUNG_VERDICT_WRONG;
        if (c.verdict != p->want || d.verdict != p->want) {
            n_bad++;
            print_error("%s: gold %s answer %s: %s (%s %s), the other way %s, want %s\n", p->type,
                        p->gold, p->answer, rung_verdict_name(c.verdict), c.rule, c.reason,
                        rung_verdict_name(d.verdict), rung_verdict_name(p->want));
        }
        assert_true((c.verdict == RUNG_VERDICT_UNKNOWN) == (c.reason[0] != '\0'));
        math()->check(&c, p->gold, p->gold);
        assert_int_equal(c.verdict, RUNG_VERDICT_CORRECT);
    }
    print_message("%zu pairs, %zu of them wrong but similar, %zu not as expected\n", n_pairs,
                  n_wrong, n_bad);
    assert_true(n_pairs >= 400);
    assert_int_equal(n_bad, 0);
}

/* Equal key <=> correct, over all pairs of texts of one kind. The exceptions are counted and only
 * of the two kinds that docs/design/verify.md names: units, and letters of "x =". */
static void keys_are_classes(void **state) {
    (void)state;
    size_t n = 0, n_equal = 0, n_unit = 0, n_letter = 0;
    for (size_t i = 0; i < n_pairs; i++)
        for (size_t k = 0; k <= i; k++) {
            if (strcmp(pairs[i].type, pairs[k].type) != 0) continue;
            for (int s = 0; s < 4; s++) {
                const char *a = s & 1 ? pairs[i].answer : pairs[i].gold;
                const char *b = s & 2 ? pairs[k].answer : pairs[k].gold;
                bool equal = strcmp(pairs[i].key[s & 1], pairs[k].key[s >> 1]) == 0;
                rung_check c;
                math()->check(&c, a, b);
                n++;
                n_equal += equal;
                if (equal == (c.verdict == RUNG_VERDICT_CORRECT)) continue;
                if (strcmp(c.rule, "unit") == 0) {
                    n_unit++;
                } else if (strcmp(c.rule, "equation") == 0 && equal) {
                    n_letter++;
                } else {
                    fail_msg("%s and %s: %s by %s, keys %s %s", a, b, rung_verdict_name(c.verdict),
                             c.rule, pairs[i].key[s & 1], pairs[k].key[s >> 1]);
                }
            }
        }
    print_message("%zu comparisons, %zu of equal keys; %zu decided by units, %zu by letters\n", n,
                  n_equal, n_unit, n_letter);
}

/* What a tree prints is read as the same tree's print. */
static void printing_back(void **state) {
    (void)state;
    expr *x = rung_alloc(sizeof *x), *y = rung_alloc(sizeof *y);
    size_t n = 0;
    for (size_t i = 0; i < 2 * n_pairs; i++) {
        const char *text = i & 1 ? pairs[i / 2].answer : pairs[i / 2].gold;
        rung_buf a, b;
        if (!expr_parse(x, text, strlen(text))) continue;
        rung_buf_init(&a, 0);
        rung_buf_init(&b, 0);
        expr_print(&a, x, x->root);
        if (!expr_parse(y, a.data, a.n))
            fail_msg("%s printed as %s: %s at %u", text, a.data, y->error, y->error_pos);
        expr_print(&b, y, y->root);
        assert_string_equal(a.data, b.data);
        rung_buf_clear(&a);
        rung_buf_clear(&b);
        n++;
    }
    print_message("%zu texts parsed and printed\n", n);
    assert_true(n > 900);
    rung_free(x);
    rung_free(y);
}

static void errors_have_a_place(void **state) {
    (void)state;
    static const struct {
        const char *text, *error;
        unsigned at;
    } t[] = {
        {"", "nothing there", 0},
        {"2+", "an operand is missing", 2},
        {"\\frac{1}{2", "opened here and never closed", 8},
        {"\\frac{1}", "an argument is missing", 0},
        {"(1,2", "opened here and never closed", 0},
        {"1)", "a bracket closes what was not opened", 1},
        {"\\foo", "an unknown command", 0},
        {"2 @ 3", "an unexpected byte", 2},
        {"\\begin{pmatrix}1&2\\\\3\\end{pmatrix}", "a matrix with uneven rows", 21},
        {"\\sum k", "a sum or product needs its bounds", 6},
        {"3,", "a list item is missing", 2},
        {"apples", "a word that is no mathematics", 0},
    };
    expr *x = rung_alloc(sizeof *x);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        assert_false(expr_parse(x, t[i].text, strlen(t[i].text)));
        if (strcmp(x->error, t[i].error) || x->error_pos != t[i].at)
            fail_msg("\"%s\": %s at %u", t[i].text, x->error, x->error_pos);
    }
    rung_free(x);
}

/* Options: rounding only when asked for. */
static void rounding(void **state) {
    (void)state;
    rung_math_opts o = RUNG_MATH_OPTS_INIT;
    rung_check c;
    o.rounded = true;
    static const struct {
        const char *gold, *answer;
        rung_verdict want;
    } t[] = {{"0.33", "1/3", RUNG_VERDICT_CORRECT},     {"0.33", "0.334", RUNG_VERDICT_CORRECT},
             {"0.33", "0.34", RUNG_VERDICT_WRONG},      {"1.41", "\\sqrt{2}", RUNG_VERDICT_CORRECT},
             {"1.42", "\\sqrt{2}", RUNG_VERDICT_WRONG}, {"3.1", "\\pi", RUNG_VERDICT_CORRECT},
             {"3", "\\pi", RUNG_VERDICT_WRONG}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rung_math_check(&c, t[i].gold, t[i].answer, &o);
        assert_int_equal(c.verdict, t[i].want);
        rung_math_check(&c, t[i].gold, t[i].answer, NULL);
        assert_int_equal(c.verdict, RUNG_VERDICT_WRONG);
    }
}

static double ms_of(const char *gold, const char *answer) {
    rung_check c;
    clock_t t = clock();
    math()->check(&c, gold, answer);
    return (double)(clock() - t) * 1e3 / CLOCKS_PER_SEC;
}

/* What no check may compute ends at once. */
static void budget(void **state) {
    (void)state;
    static const char *const heavy[] = {
        "10^{10^{10}}",
        "9^{9^{9^{9}}}",
        "1000!",
        "((((5!)!)!)!)!",
        "x^{1000000}",
        "(x+y+z+w)^{200}",
        "(a+b+c+d+e+f+g+h)^{60}",
        "\\sum_{k=1}^{1000000} k",
        "\\sum_{a=1}^{2000} \\sum_{b=1}^{2000} \\sum_{c=1}^{2000} a b c",
        "\\sum_{a=1}^{2000} \\sin(a)",
        "\\prod_{k=1}^{2000} (x+k)",
        "\\sin(10^{1000})",
        "e^{e^{e^{e^{e}}}}",
        "\\sqrt{\\sqrt{\\sqrt{\\sqrt{\\sqrt{\\sqrt{2}+3}+5}+7}+11}+13}+\\sqrt{17}+\\sqrt[7]{19}",
        "\\binom{100000}{50000}",
        "\\cos\\frac{\\pi}{719}+\\cos\\frac{\\pi}{709}+\\cos\\frac{\\pi}{701}",
        "2^{0.123456789123456789}^{7.77}",
        "0.\\overline{123456789012345678901234567890}",
        "\\frac{1}{(x+1)^{99}}+\\frac{1}{(y+2)^{98}}+\\frac{1}{(z+3)^{97}}",
        "\\tan(\\tan(\\tan(\\tan(\\tan(\\tan(x))))))"};
    double worst = 0;
    for (size_t i = 0; i < sizeof heavy / sizeof *heavy; i++)
        for (size_t k = 0; k < sizeof heavy / sizeof *heavy; k++) {
            double ms = ms_of(heavy[i], heavy[k]);
            if (ms > worst) worst = ms;
            if (ms > 1000) fail_msg("%s against %s: %.0f ms", heavy[i], heavy[k], ms);
        }
    print_message("the slowest of %zu heavy pairs took %.1f ms\n",
                  sizeof heavy / sizeof *heavy * (sizeof heavy / sizeof *heavy), worst);
}

/* ---- hostile bytes ---- */

static uint64_t seed;
static uint32_t draw(uint32_t n) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static const char *const bits[] = {"\\frac",
                                   "{",
                                   "}",
                                   "(",
                                   ")",
                                   "[",
                                   "]",
                                   "\\sqrt",
                                   "^",
                                   "_",
                                   "1",
                                   "23",
                                   "x",
                                   "y",
                                   "\\pi",
                                   "\\sin",
                                   "\\cos",
                                   "+",
                                   "-",
                                   "*",
                                   "/",
                                   "=",
                                   "<",
                                   ",",
                                   "\\left",
                                   "\\right",
                                   "|",
                                   "!",
                                   "\\log",
                                   "\\sum",
                                   "\\prod",
                                   "\\begin{pmatrix}",
                                   "\\end{pmatrix}",
                                   "&",
                                   "\\\\",
                                   "\\cup",
                                   "\\pm",
                                   "\\text{cm}",
                                   "e",
                                   "i",
                                   "\\infty",
                                   "0.\\overline{3}",
                                   "^\\circ",
                                   "%",
                                   "\\binom",
                                   ".",
                                   " ",
                                   "\\{",
                                   "\\}",
                                   "9!",
                                   "10^",
                                   "\\ln",
                                   "or",
                                   "k"};

static size_t random_text(char *out, size_t max) {
    size_t n = 0, want = 1 + draw(40);
    bool raw = draw(3) == 0;
    while (want-- > 0) {
        if (raw) {
            if (n + 1 >= max) break;
            out[n++] = (char)(1 + draw(255));
        } else {
            const char *b = bits[draw(sizeof bits / sizeof *bits)];
            if (n + strlen(b) + 1 >= max) break;
            memcpy(out + n, b, strlen(b));
            n += strlen(b);
        }
    }
    out[n] = '\0';
    return n;
}

static void hostile(void **state) {
    (void)state;
    const char *wish = getenv("RUNG_HOSTILE");
    int n = wish ? atoi(wish) : 4000;
    char a[1024], b[1024], key[128], deep[1200];
    double worst = 0;
    seed = 7;
    for (int i = 0; i < n; i++) {
        rung_check c;
        rung_answer x;
        size_t n_a = random_text(a, sizeof a);
        random_text(b, sizeof b);
        if (draw(4) == 0) { /* an answer of ours with a byte changed */
            snprintf(a, sizeof a, "%s", pairs[draw((uint32_t)n_pairs)].gold);
            n_a = strlen(a);
            a[draw((uint32_t)n_a)] = (char)(1 + draw(255));
        }
        math()->extract(&x, a, n_a);
        math()->key(key, a);
        clock_t t = clock();
        math()->check(&c, a, b);
        double ms = (double)(clock() - t) * 1e3 / CLOCKS_PER_SEC;
        if (ms > worst) worst = ms;
        math()->check(&c, a, a);
        assert_int_not_equal(c.verdict, RUNG_VERDICT_WRONG);
    }
    static const char *const nest[] = {
        "(", "{",       "\\frac", "\\sqrt", "-",   "|",          "\\sin",           "^", "x^", "1+",
        "[", "\\left(", "2",      "x ",     "\\{", "\\frac{1}{", "\\sum_{k=1}^{2}", "!"};
    for (size_t i = 0; i < sizeof nest / sizeof *nest; i++) {
        size_t len = 0;
        while (len + strlen(nest[i]) < 1000)
            len += (size_t)snprintf(deep + len, 100, "%s", nest[i]);
        math()->key(key, deep);
        memcpy(deep + len, "1", 2);
        double ms = ms_of(deep, "1");
        if (ms > worst) worst = ms;
    }
    print_message("%d random pairs, the slowest check took %.2f ms of CPU\n", n, worst);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(worst < 250); /* of CPU; the aim is 100, the machine may be slow */
#endif
}

/* ---- threads ---- */

static void *check_all(void *out) {
    rung_verdict *v = out;
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < n_pairs; i++) {
            rung_check c;
            math()->check(&c, pairs[i].gold, pairs[i].answer);
            v[i] = c.verdict;
        }
    return NULL;
}

static void threads(void **state) {
    (void)state;
    enum { N = 4 };
    pthread_t t[N];
    static rung_verdict v[N][PAIRS_MAX];
    for (int i = 0; i < N; i++) assert_int_equal(pthread_create(&t[i], NULL, check_all, v[i]), 0);
    for (int i = 0; i < N; i++) pthread_join(t[i], NULL);
    for (int i = 0; i < N; i++)
        for (size_t k = 0; k < n_pairs; k++) assert_int_equal(v[i][k], pairs[k].want);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts),      cmocka_unit_test(keys_are_classes),
        cmocka_unit_test(printing_back), cmocka_unit_test(errors_have_a_place),
        cmocka_unit_test(rounding),      cmocka_unit_test(budget),
        cmocka_unit_test(hostile),       cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
