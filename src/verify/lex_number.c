/* Numbers: thousands groups of several conventions, decimals, repeating decimals, scientific
 * notation, mixed numbers, base-n numerals. */
#include "verify/lex_number.h"
#include <string.h>

static bool digit(char c) {
    return c >= '0' && c <= '9';
}

static char at(const lexer *l, size_t i) {
    return i < l->n ? l->text[i] : '\0';
}

static bool starts(const lexer *l, size_t i, const char *with) {
    size_t n = strlen(with);
    return i + n <= l->n && memcmp(l->text + i, with, n) == 0;
}

static size_t run(const lexer *l, size_t i) {
    size_t n = 0;
    while (digit(at(l, i + n))) n++;
    return n;
}

static void keep(lexer *l, size_t i, size_t n) {
    for (size_t k = 0; k < n && l->n_buf < EXPR_TEXT_MAX; k++) l->buf[l->n_buf++] = l->text[i + k];
}

/* What may stand between groups of three digits; a plain comma or blank only outside brackets. */
static const struct {
    const char *mark;
    bool anywhere;
} group_marks[] = {{",\\!", true},
                   {"{,}", true},
                   {"\\,", true},
                   {"\xe2\x80\x89", true},
                   {"\xe2\x80\xaf", true},
                   {"\xc2\xa0", true},
                   {"'", true},
                   {",", false},
                   {" ", false}};

static size_t mark_length(const lexer *l, size_t i, size_t mark) {
    if (!starts(l, i, group_marks[mark].mark)) return 0;
    size_t n = strlen(group_marks[mark].mark);
    if (mark == 0)
        while (at(l, i + n) == ' ') n++;
    return n;
}

/* Groups behind the first 1 to 3 digits at i; returns the end, 0 when there are none. */
static size_t grouped(const lexer *l, size_t i, size_t first) {
    if (first > 3 || (first == 1 && at(l, i) == '0')) return 0;
    for (size_t m = 0; m < sizeof group_marks / sizeof *group_marks; m++) {
        if (l->in_brackets && !group_marks[m].anywhere) continue;
        size_t p = i + first, n_groups = 0, n;
        while ((n = mark_length(l, p, m)) > 0 && run(l, p + n) == 3) p += n + 3, n_groups++;
        if (n_groups == 0) continue;
        n = mark_length(l, p, m);
        if (n > 0 && run(l, p + n) > 0) continue;           /* "1,234,56" */
        if (m == 8 && (at(l, p) == '/' || n > 0)) continue; /* "1 100/200" */
        return p;
    }
    /* 1.234.567: at least two groups, else it is a decimal */
    size_t p = i + first, n_groups = 0;
    while (at(l, p) == '.' && run(l, p + 1) == 3) p += 4, n_groups++;
    return n_groups >= 2 && !(at(l, p) == '.' && digit(at(l, p + 1))) ? p : 0;
}

static void keep_digits(lexer *l, size_t from, size_t to) {
    for (size_t i = from; i < to; i++)
        if (digit(l->text[i])) keep(l, i, 1);
}

/* \overline{3} behind a point. */
static size_t repeating(lexer *l, size_t i, tok *t) {
    static const char *const marks[] = {"\\overline{", "\\bar{", "\\dot{", "("};
    for (size_t m = 0; m < sizeof marks / sizeof *marks; m++) {
        if (!starts(l, i, marks[m])) continue;
        if (m == 3 && at(l, i - 1) != '.') continue; /* 0.5(3) is a product, 0.(3) is not */
        size_t from = i + strlen(marks[m]), n = run(l, from);
        if (n == 0 || at(l, from + n) != (m == 3 ? ')' : '}')) continue;
        keep(l, from, n);
        t->frac = (uint16_t)(t->frac + n);
        t->rep = (uint16_t)n;
        return from + n + 1;
    }
    return i;
}

/* "0.333..." repeats when its end was written at least twice (one digit: three times). */
static size_t dotted(const lexer *l, size_t i, tok *t) {
    size_t n = starts(l, i, "\\ldots")  ? 6
               : starts(l, i, "\\dots") ? 5
               : starts(l, i, "...")    ? 3
                                        : 0;
    if (n == 0) return i;
    for (size_t len = 1; len * (len == 1 ? 3 : 2) <= t->frac; len++) {
        size_t times = len == 1 ? 3 : 2, same = 0;
        const char *end = l->buf + l->n_buf;
        while (same < (times - 1) * len &&
               end[-1 - (ptrdiff_t)same] == end[-1 - (ptrdiff_t)(same + len)])
            same++;
        if (same < (times - 1) * len) continue;
        t->rep = (uint16_t)len;
        return i + n;
    }
    return i;
}

static size_t exponent(const lexer *l, size_t i, tok *t) {
    if (at(l, i) != 'e' && at(l, i) != 'E') return i;
    size_t p = i + 1;
    bool neg = at(l, p) == '-';
    if (neg || at(l, p) == '+') p++;
    size_t n = run(l, p);
    if (n == 0 || n > 7) return i;
    t->has_exponent = true;
    for (size_t k = 0; k < n; k++) t->exponent = t->exponent * 10 + (l->text[p + k] - '0');
    if (neg) t->exponent = -t->exponent;
    return p + n;
}

/* "1 1/2": digits of the proper fraction behind those of the whole. */
static size_t mixed(lexer *l, size_t i, tok *t) {
    size_t p = i;
    while (at(l, p) == ' ') p++;
    size_t n = run(l, p);
    if (p == i || n == 0 || at(l, p + n) != '/') return i;
    size_t d = run(l, p + n + 1);
    if (d == 0 || n > d || (n == d && memcmp(l->text + p, l->text + p + n + 1, n) >= 0)) return i;
    size_t before = l->n_buf;
    keep(l, p, n);
    keep(l, p + n + 1, d);
    if (l->n_buf != before + n + d) return i;
    t->mixed_num = n;
    t->mixed_den = d;
    return p + n + 1 + d;
}

/* Digits and A-Z, then _8, _{16} or _{\text{nine}}. */
static size_t based(lexer *l, size_t i, tok *t) {
    static const char *const names[] = {"two",    "three",    "four",     "five",    "six",
                                        "seven",  "eight",    "nine",     "ten",     "eleven",
                                        "twelve", "thirteen", "fourteen", "fifteen", "sixteen"};
    size_t n = 0, base = 0;
    while (digit(at(l, i + n)) || (at(l, i + n) >= 'A' && at(l, i + n) <= 'Z')) n++;
    size_t p = i + n;
    while (at(l, p) == ' ') p++;
    if (n == 0 || at(l, p) != '_') return 0;
    p++;
    bool braced = at(l, p) == '{';
    if (braced) p++;
    bool text = braced && starts(l, p, "\\text{");
    if (text) p += 6;
    size_t k = run(l, p);
    if (!braced && k > 2) return 0;
    for (size_t j = 0; j < k && base < 100; j++) base = base * 10 + (size_t)(l->text[p + j] - '0');
    p += k;
    for (size_t j = 0; k == 0 && j < sizeof names / sizeof *names; j++)
        if (starts(l, p, names[j])) base = j + 2;
    if (k == 0)
        while (at(l, p) >= 'a' && at(l, p) <= 'z') p++;
    if (text && at(l, p++) != '}') return 0;
    if (braced && at(l, p++) != '}') return 0;
    bool letters = false;
    for (size_t j = 0; j < n; j++) {
        char c = l->text[i + j];
        size_t v = digit(c) ? (size_t)(c - '0') : (size_t)(c - 'A') + 10;
        letters |= !digit(c);
        if (v >= base) return 0;
    }
    if (base < 2 || base > 36 || (letters && !digit(l->text[i]) && base != 16)) return 0;
    t->kind = T_BASE;
    t->op = (uint8_t)base;
    keep(l, i, n);
    return p;
}

bool lex_number(tok *t, lexer *l) {
    size_t i = l->at, n = run(l, i);
    l->n_buf = 0;
    bool hex = n == 0 && at(l, i) >= 'A' && at(l, i) <= 'F';
    if (n == 0 && !hex &&
        !(at(l, i) == '.' && (digit(at(l, i + 1)) || starts(l, i + 1, "\\overline{"))))
        return false;
    t->kind = T_NUM;
    if (l->single && n > 0) {
        keep(l, i, 1);
        t->n = 1;
        l->at++;
        return true;
    }
    size_t end = l->single ? 0 : based(l, i, t);
    if (end > 0) {
        t->n = l->n_buf;
        l->at = end;
        return true;
    }
    if (hex) return false;
    end = grouped(l, i, n);
    bool dots = end > 0 && at(l, i + n) == '.';
    keep_digits(l, i, end > 0 ? end : i + n);
    bool groups = end > 0;
    end = end > 0 ? end : i + n;
    size_t after = 1;
    if (dots && at(l, end) == ',' && digit(at(l, end + 1))) { /* 1.234.567,89 */
        t->frac = (uint16_t)run(l, end + 1);
        keep(l, end + 1, t->frac);
        end += 1 + t->frac;
    } else if (at(l, end) == '.' && !dots) {
        size_t f = run(l, end + 1);
        size_t save = l->n_buf;
        keep(l, end + 1, f);
        t->frac = (uint16_t)f;
        after = dotted(l, repeating(l, end + 1 + f, t), t);
        if (f > 0 || t->rep > 0) {
            end = after;
        } else {
            l->n_buf = save;
        }
    }
    t->n = l->n_buf;
    if (t->rep == 0) {
        size_t e = exponent(l, end, t);
        if (e == end && t->frac == 0 && !groups) e = mixed(l, end, t);
        end = e;
    }
    l->at = end;
    return true;
}
