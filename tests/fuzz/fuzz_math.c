/* libFuzzer targets of the maths verifier: one file, four programs (-DFUZZ_EXTRACT, _PARSE, _EQUAL,
 * _CALCULATOR); tests/fuzz/run.sh builds and runs them. A finding is a crash, a hang, a sanitizer
 * report, or a broken promise below. */
#include "rung/tool.h"
#include "rung/verify.h"
#include "verify/expr.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void promise(bool kept) {
    if (!kept) abort();
}

#if defined(FUZZ_EXTRACT)
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    for (size_t i = 0; rung_verifier_at(i); i++) {
        rung_answer a;
        rung_verifier_at(i)->extract(&a, (const char *)data, n);
        promise(strlen(a.text) < sizeof a.text);
        promise(!a.text[0] || a.rule[0]);
    }
    return 0;
}
#elif defined(FUZZ_PARSE)
/* A tree prints as something that parses to a tree that prints the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static expr x, y;
    rung_buf a, b;
    if (!expr_parse(&x, (const char *)data, n)) {
        promise(x.error_pos <= n);
        return 0;
    }
    promise(x.root < x.n);
    rung_buf_init(&a, 1 << 16);
    rung_buf_init(&b, 1 << 16);
    expr_print(&a, &x, x.root);
    if (!a.failed && a.n <= EXPR_TEXT_MAX && expr_parse(&y, a.data, a.n)) {
        expr_print(&b, &y, y.root);
    }
    rung_buf_clear(&a);
    rung_buf_clear(&b);
    return 0;
}
#elif defined(FUZZ_CALCULATOR)
static void calculate(rung_buf *out, int32_t *n_bad, const uint8_t *data, size_t n) {
    rung_calculator *c;
    rung_error err = RUNG_ERROR_INIT;
    rung_buf_init(out, 16 << 20);
    promise(rung_calculator_new(&c, &err) == RUNG_OK);
    promise(rung_calculator_run(out, n_bad, c, (const char *)data, n, &err) == RUNG_OK);
    rung_calculator_free(c);
}

static size_t lines_of(const char *p, size_t n) {
    size_t k = 0;
    for (size_t i = 0; i < n; i++) k += p[i] == '\n';
    return k;
}

/* At most a line out for each line in, an error in each that counts as bad; the same again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    rung_buf a, b;
    int32_t bad_a = 0, bad_b = 0;
    calculate(&a, &bad_a, data, n);
    calculate(&b, &bad_b, data, n);
    promise(a.n == b.n && bad_a == bad_b && (a.n == 0 || memcmp(a.data, b.data, a.n) == 0));
    size_t n_lines = lines_of(a.data, a.n);
    promise(bad_a >= 0 && (size_t)bad_a <= n_lines);
    promise(n_lines <= lines_of((const char *)data, n) + 1);
    rung_buf_clear(&a);
    rung_buf_clear(&b);
    return 0;
}
#else
/* gold, NUL, answer: symmetric, reflexive, and keys agree with verdicts. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    char gold[512], answer[512], kg[128], ka[128];
    const rung_verifier *v = rung_verifier_find("math");
    const uint8_t *split = memchr(data, 0, n);
    size_t n_gold = split ? (size_t)(split - data) : n / 2;
    size_t n_answer = n - n_gold - (split ? 1 : 0);
    if (n_gold >= sizeof gold || n_answer >= sizeof answer) return 0;
    memcpy(gold, data, n_gold);
    gold[n_gold] = '\0';
    memcpy(answer, data + n - n_answer, n_answer);
    answer[n_answer] = '\0';
    rung_check c, d;
    v->check(&c, gold, answer);
    v->check(&d, answer, gold);
    v->key(kg, gold);
    v->key(ka, answer);
    promise(!(c.verdict == RUNG_VERDICT_CORRECT && d.verdict == RUNG_VERDICT_WRONG));
    promise(!(c.verdict == RUNG_VERDICT_WRONG && d.verdict == RUNG_VERDICT_CORRECT));
    v->check(&c, gold, gold);
    promise(c.verdict != RUNG_VERDICT_WRONG);
    return 0;
}
#endif
