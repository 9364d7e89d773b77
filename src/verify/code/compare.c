/* Comparing what a program printed with what it should have. */
#include "verify/code/compare.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct text {
    const char *p, *end;
} text;

static bool blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* The next line without blanks at its end; false at the end of the text. */
static bool next_line(text *line, text *t) {
    if (t->p >= t->end) return false;
    const char *nl = memchr(t->p, '\n', (size_t)(t->end - t->p));
    *line = (text){t->p, nl ? nl : t->end};
    t->p = nl ? nl + 1 : t->end;
    while (line->end > line->p && blank(line->end[-1])) line->end--;
    return true;
}

static bool next_word(text *word, text *t) {
    while (t->p < t->end && (blank(*t->p) || *t->p == '\n')) t->p++;
    word->p = t->p;
    while (t->p < t->end && !blank(*t->p) && *t->p != '\n') t->p++;
    word->end = t->p;
    return word->end > word->p;
}

static bool equal(const text *a, const text *b) {
    size_t n = (size_t)(a->end - a->p);
    return n == (size_t)(b->end - b->p) && memcmp(a->p, b->p, n) == 0;
}

static bool as_number(double *out, const text *w) {
    char s[64], *end;
    size_t n = (size_t)(w->end - w->p);
    if (n == 0 || n >= sizeof s) return false;
    memcpy(s, w->p, n);
    s[n] = '\0';
    if (strspn(s, "0123456789+-.eE") != n) return false;
    *out = strtod(s, &end);
    return *end == '\0' && isfinite(*out);
}

static bool near(const text *a, const text *b, double tolerance) {
    double x, y;
    if (tolerance <= 0 || !as_number(&x, a) || !as_number(&y, b)) return false;
    return fabs(x - y) <= tolerance * fmax(1.0, fabs(y));
}

static void say(char why[320], const char *unit, size_t i, const text *got, const text *want) {
    snprintf(why, 320, "%s %zu: got \"%.*s\", not \"%.*s\"", unit, i,
             (int)(got->end - got->p > 100 ? 100 : got->end - got->p), got->p,
             (int)(want->end - want->p > 100 ? 100 : want->end - want->p), want->p);
}

bool output_same(char why[320], const char *got, size_t n_got, const char *want, size_t n_want,
                 rung_code_compare how, double tolerance) {
    text g = {got, got + n_got}, w = {want, want + n_want};
    bool (*next)(text *, text *) = how == RUNG_COMPARE_TOKENS ? next_word : next_line;
    if (how == RUNG_COMPARE_EXACT && n_got == n_want && (n_got == 0 || !memcmp(got, want, n_got)))
        return true;
    for (size_t i = 1;; i++) {
        text a = {"", ""}, b = {"", ""};
        bool more_a = next(&a, &g), more_b = next(&b, &w);
        if (!more_a && !more_b) break;
        if (more_a != more_b && how == RUNG_COMPARE_LINES && equal(&a, &b)) continue;
        if (more_a == more_b && equal(&a, &b)) continue;
        if (more_a == more_b && how == RUNG_COMPARE_TOKENS && near(&a, &b, tolerance)) continue;
        say(why, how == RUNG_COMPARE_TOKENS ? "word" : "line", i, &a, &b);
        return false;
    }
    if (how != RUNG_COMPARE_EXACT) return true;
    snprintf(why, 320, "differs in blanks only: %zu bytes, not %zu", n_got, n_want);
    return false;
}
