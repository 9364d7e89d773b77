/* Exact numbers: integers, decimals, fractions, mixed numbers, percent, money, scientific notation,
 * scale words and trailing units. What is not wholly a number is none. */
#include "verify/answer.h"
#include <stdlib.h>
#include <string.h>

enum { EXPONENT_MAX = 60, TERM_DIGITS_MAX = 78, UNIT_WORDS_MAX = 6 };

static bool letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static bool digit(char c) {
    return c >= '0' && c <= '9';
}

/* A run of digits with well-formed groups: "1,234,567" -> its length, else that of its first
 * digits.
 */
size_t digits_with_groups(const char *p) {
    size_t n = 0;
    while (digit(p[n])) n++;
    if (n == 0 || n > 3) return n;
    size_t k = n;
    while (p[k] == ',' && digit(p[k + 1]) && digit(p[k + 2]) && digit(p[k + 3])) k += 4;
    return k > n && !digit(p[k]) && !(p[k] == ',' && digit(p[k + 1])) ? k : n;
}

typedef struct cursor {
    const char *p;
    bool ok;
} cursor;

static void blanks(cursor *c) {
    while (*c->p == ' ') c->p++;
}

static bool take(cursor *c, const char *word) {
    size_t n = strlen(word);
    if (strncmp(c->p, word, n) != 0) return false;
    c->p += n;
    return true;
}

/* x = mantissa / 10^n_frac; n_frac -1 without a point. */
typedef struct decimal {
    big mant;
    int32_t n_frac;
} decimal;

static bool take_decimal(cursor *c, decimal *x) {
    size_t n_int = digits_with_groups(c->p), n_frac = 0;
    x->mant = big_from(0);
    x->n_frac = -1;
    if (c->p[n_int] == '.')
        while (digit(c->p[n_int + 1 + n_frac])) n_frac++;
    if (n_int == 0 && n_frac == 0) return false;
    size_t n = n_int + (n_frac ? n_frac + 1 : 0);
    for (size_t i = 0; i < n; i++)
        if (digit(c->p[i]) && !big_mul_add(&x->mant, 10, (uint32_t)(c->p[i] - '0'))) c->ok = false;
    if (n_frac > 0) x->n_frac = (int32_t)n_frac;
    c->p += n;
    return c->ok;
}

static bool times_ten(big *x, int64_t power) {
    while (power-- > 0)
        if (!big_mul_add(x, 10, 0)) return false;
    return true;
}

/* num / den = a / b, both decimals. */
static bool quotient(number *x, const decimal *a, const decimal *b) {
    x->num = a->mant;
    x->den = b->mant;
    return b->mant.n > 0 && times_ten(&x->num, b->n_frac > 0 ? b->n_frac : 0) &&
           times_ten(&x->den, a->n_frac > 0 ? a->n_frac : 0);
}

/* An argument of \frac: "{-3}" or one digit. */
static bool take_argument(cursor *c, decimal *x, bool *neg) {
    blanks(c);
    if (digit(*c->p)) {
        *x = (decimal){big_from((uint64_t)(*c->p++ - '0')), -1};
        return true;
    }
    if (!take(c, "{")) return false;
    blanks(c);
    if (take(c, "-")) *neg = !*neg;
    blanks(c);
    if (!take_decimal(c, x)) return false;
    blanks(c);
    return take(c, "}");
}

static bool take_frac(cursor *c, number *x, bool *neg) {
    decimal a, b;
    return take(c, "\\frac") && take_argument(c, &a, neg) && take_argument(c, &b, neg) &&
           quotient(x, &a, &b);
}

/* whole + x, x a proper fraction of integers. */
static bool add_whole(number *x, const big *whole) {
    big w;
    return big_cmp(&x->num, &x->den) < 0 && big_mul(&w, whole, &x->den) &&
           big_add(&x->num, &x->num, &w);
}

/* "e-3", "\times 10^{3}", "*10^3" after a mantissa; bare: "10^3" itself. 0 and c unmoved: none;
 * ok false: there but too large. */
static int64_t take_exponent(cursor *c, bool bare) {
    const char *start = c->p;
    bool sci = !bare && (*c->p == 'e' || *c->p == 'E');
    if (sci) {
        c->p++;
    } else {
        blanks(c);
        bool times = bare || take(c, "\\times") || take(c, "\\cdot") || take(c, "*");
        blanks(c);
        if (!times || !take(c, "10^")) {
            c->p = start;
            return 0;
        }
    }
    bool braced = !sci && take(c, "{");
    bool neg = take(c, "-");
    if (!neg && sci) (void)take(c, "+");
    int64_t e = 0;
    if (!digit(*c->p)) {
        c->p = start;
        return 0;
    }
    while (digit(*c->p) && e <= EXPONENT_MAX) e = e * 10 + (*c->p++ - '0');
    if (e > EXPONENT_MAX || (braced && !take(c, "}"))) c->ok = false;
    return neg ? -e : e;
}

static bool scaled(number *x, int64_t e) {
    return times_ten(e < 0 ? &x->den : &x->num, e < 0 ? -e : e);
}

static bool take_value(cursor *c, number *x) {
    static const decimal one = {{1, {1}}, -1};
    decimal a, b;
    bool sign = false;
    if (c->p[0] == '\\') {
        if (!take_frac(c, x, &sign)) return false;
        if (sign) x->neg = !x->neg;
        return true;
    }
    if (!take_decimal(c, &a)) return false;
    x->n_frac = a.n_frac;
    if (!quotient(x, &a, &one)) return false;
    cursor after = *c;
    bool gap = *after.p == ' ';
    blanks(&after);
    if (a.n_frac < 0 && strncmp(after.p, "\\frac", 5) == 0) {
        if (!take_frac(&after, x, &sign) || sign || !add_whole(x, &a.mant)) return false;
        *c = after;
        return true;
    }
    if (a.n_frac < 0 && gap && digit(*after.p)) { /* "1 1/2" */
        decimal den;
        if (!take_decimal(&after, &b) || !take(&after, "/") || !take_decimal(&after, &den) ||
            b.n_frac >= 0 || den.n_frac >= 0 || !quotient(x, &b, &den) || !add_whole(x, &a.mant))
            return false;
        *c = after;
        return true;
    }
    if (take(&after, "/")) {
        blanks(&after);
        if (digit(*after.p) || *after.p == '.') {
            x->n_frac = -1;
            if (!take_decimal(&after, &b) || !quotient(x, &a, &b)) return false;
            *c = after;
            return true;
        }
        return false;
    }
    bool power = a.n_frac < 0 && a.mant.n == 1 && a.mant.d[0] == 10 && *c->p == '^'; /* "10^3" */
    if (power) c->p -= 2;
    if (power) x->num = big_from(1);
    int64_t e = take_exponent(c, power);
    if (e != 0) x->n_frac = -1;
    return c->ok && scaled(x, e);
}

/* ---- what may follow a number ---- */

static const struct {
    const char *word;
    uint32_t scale;
} scale_words[] = {{"hundred", 100u},        {"thousand", 1000u},      {"million", 1000000u},
                   {"billion", 1000000000u}, {"hundreds", 100u},       {"thousands", 1000u},
                   {"millions", 1000000u},   {"billions", 1000000000u}};
/* Units below three letters; the lower-case ones also stand right behind a digit ("12cm"). */
static const char *const short_units[] = {"cm", "mm", "km", "kg", "mg", "ft", "in", "yd",
                                          "mi", "lb", "oz", "ml", "mL", "hr", "am", "pm",
                                          "of", "an", "sq", "cu", "at", "on", "a",  "to"};
/* Words after a number that change or may change what it says. */
static const char *const not_units[] = {
    "and",      "base",     "below",   "between", "but",    "cos",     "divided",  "dozen",
    "dozens",   "eighth",   "eighths", "fifth",   "fifths", "fourth",  "fourths",  "half",
    "halves",   "infinity", "less",    "log",     "minus",  "mod",     "modulo",   "more",
    "nor",      "not",      "or",      "over",    "pairs",  "plus",    "power",    "quarter",
    "quarters", "sin",      "sixth",   "sixths",  "sqrt",   "squared", "cubed",    "tan",
    "tenth",    "tenths",   "than",    "third",   "thirds", "times",   "trillion", "trillions",
    "under",    "unless",   "until",   "versus",  "without"};

static bool listed(const char *const *list, size_t n_list, const char *p, size_t n) {
    for (size_t i = 0; i < n_list; i++)
        if (strlen(list[i]) == n && strncmp(list[i], p, n) == 0) return true;
    return false;
}
#define LISTED(list, p, n) listed(list, sizeof(list) / sizeof *(list), p, n)

static bool take_scale_word(cursor *c, number *x) {
    for (size_t i = 0; i < sizeof scale_words / sizeof *scale_words; i++) {
        size_t n = strlen(scale_words[i].word);
        if (strncmp(c->p, scale_words[i].word, n) != 0 || letter(c->p[n])) continue;
        c->p += n;
        x->scale = scale_words[i].scale;
        if (!big_mul_add(&x->num, scale_words[i].scale, 0)) c->ok = false;
        blanks(c);
        return true;
    }
    return false;
}

/* Words only, each a possible unit: copied to x->unit in lower case without a plural s. */
static bool take_unit(cursor *c, number *x, bool glued) {
    const char *p = c->p;
    size_t n_words = 0, n_unit = 0;
    while (letter(*p)) {
        size_t n = 0;
        while (letter(p[n])) n++;
        bool is_short = LISTED(short_units, p, n);
        if ((n < 3 && !is_short) || LISTED(not_units, p, n) || n_words++ == UNIT_WORDS_MAX)
            return false;
        if (glued && n_words == 1 && n < 4 && !(is_short && n == 2)) return false;
        for (size_t i = 0; i < n && n_unit + 2 < sizeof x->unit; i++)
            x->unit[n_unit++] = (char)(p[i] | 0x20);
        p += n;
        if (strncmp(p, "^2", 2) == 0 || strncmp(p, "^3", 2) == 0) p += 2;
        while (*p == ' ' || *p == '/' || *p == '-' || *p == '.') p++;
    }
    if (*p) return false;
    if (n_unit > 1 && x->unit[n_unit - 1] == 's') n_unit--;
    x->unit[n_unit] = '\0';
    size_t n_phrase = (size_t)(p - c->p);
    if (n_phrase >= sizeof x->phrase) n_phrase = 0;
    memcpy(x->phrase, c->p, n_phrase);
    x->phrase[n_phrase] = '\0';
    c->p = p;
    return true;
}

static void suffix(cursor *c, number *x) {
    bool glued = *c->p != ' ';
    blanks(c);
    if (take(c, "%") || take(c, "percent")) {
        x->percent = true;
        x->scale = 100;
        blanks(c);
    }
    if (*c->p && take_scale_word(c, x)) glued = false;
    if (*c->p && !take_unit(c, x, glued)) c->ok = false;
    if (strcmp(x->unit, "cent") == 0) x->scale = 100;
    if (*c->p) c->ok = false;
}

/* "twelve" as a whole answer. */
static bool number_word(number *x, const char *text) {
    static const char *const words[] = {
        "zero",     "one",     "two",     "three",     "four",     "five",     "six",
        "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",   "thirteen",
        "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const char *w = words[i], *p = text;
        if ((*p | 0x20) != *w) continue;
        if (strcmp(p + 1, w + 1) != 0) continue;
        x->num = big_from(i);
        x->den = big_from(1);
        return true;
    }
    return false;
}

bool number_parse(number *out, const tidy *t) {
    memset(out, 0, sizeof *out);
    out->n_frac = -1;
    out->scale = 1;
    if (number_word(out, t->text)) return true;
    cursor c = {t->text, true};
    if (take(&c, "-")) {
        out->neg = true;
    } else {
        (void)take(&c, "+");
    }
    blanks(&c);
    if (!take_value(&c, out) || !c.ok) return false;
    suffix(&c, out);
    if (c.ok && t->unit[0] && !out->unit[0]) { /* \text{unit} */
        char unit[sizeof t->unit];
        memcpy(unit, t->unit, sizeof unit);
        c.p = unit;
        blanks(&c);
        suffix(&c, out);
    }
    if (!c.ok) return false;
    if ((t->money || t->degrees) && !out->unit[0]) {
        const char *word = t->money ? "dollar" : "degree";
        memcpy(out->unit, word, strlen(word) + 1);
        memcpy(out->phrase, word, strlen(word) + 1);
    }
    big_reduce(&out->num, &out->den);
    if (out->num.n == 0) out->neg = false;
    char digits[TERM_DIGITS_MAX + 1];
    return big_print(digits, sizeof digits, &out->num) &&
           big_print(digits, sizeof digits, &out->den);
}

bool rung_rational_parse(rung_rational *out, const char *text, bool *had_percent) {
    static const rung_rational zero = {"0", "1"};
    tidy t;
    number x;
    *out = zero;
    if (had_percent) *had_percent = false;
    if (!text || !tidy_make(&t, text) || !number_parse(&x, &t)) return false;
    if (had_percent) *had_percent = x.percent;
    out->num[0] = '-';
    return big_print(out->num + x.neg, sizeof out->num - x.neg, &x.num) &&
           big_print(out->den, sizeof out->den, &x.den);
}
