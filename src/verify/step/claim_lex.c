/* Tokens of a step: numbers, operators and relations as people and models write them in prose, in
 * plain notation and in LaTeX. One pass, no recursion. */
#include "verify/step/claim.h"
#include <string.h>

typedef struct clexer {
    const char *s;
    size_t at, end;
    ctoks *out;
    /* open LaTeX braces: 'n' the numerator of a \frac, 'd' its denominator, 'g' a group */
    char brace[64];
    size_t n_brace;
    bool line_start, skip_marks;
} clexer;

static ctok *push(clexer *l, ctok_kind kind, char op, size_t begin, size_t end) {
    ctoks *o = l->out;
    if (o->n == o->cap) {
        size_t cap = o->cap ? 2 * o->cap : 64;
        ctok *grown = o->failed ? NULL : rung_realloc(o->t, cap * sizeof *grown);
        if (!grown) {
            static _Thread_local ctok sink; /* written, never read */
            o->failed = true;
            return &sink;
        }
        o->t = grown;
        o->cap = cap;
    }
    ctok *t = &o->t[o->n++];
    memset(t, 0, sizeof *t);
    t->kind = (uint8_t)kind;
    t->op = op;
    t->begin = (int32_t)begin;
    t->end = (int32_t)end;
    t->glued = begin > 0 && (unsigned char)l->s[begin - 1] > ' ';
    l->line_start = false;
    return t;
}

static char peek(const clexer *l, size_t k) {
    return l->at + k < l->end ? l->s[l->at + k] : '\0';
}
static bool digit(char c) {
    return c >= '0' && c <= '9';
}
static bool letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static bool starts(const clexer *l, const char *word) {
    size_t n = strlen(word);
    return l->end - l->at >= n && memcmp(l->s + l->at, word, n) == 0;
}

static const ctok *last(const clexer *l) {
    return l->out->n > 0 ? &l->out->t[l->out->n - 1] : NULL;
}
static bool operand_ends(const ctok *t) {
    return t && (t->kind == C_NUM || t->kind == C_CLOSE || t->kind == C_PERCENT ||
                 t->kind == C_VAR || t->kind == C_FUNC);
}

/* ---- numbers ---- */

/* Bytes of digits with well-formed groups: 1,234,567 (also TeX's 1{,}234). */
static size_t whole_digits(const clexer *l, size_t at) {
    size_t k = at;
    while (k < l->end && digit(l->s[k])) k++;
    if (k - at > 3 || k == at) return k - at;
    for (;;) {
        size_t c = k < l->end && l->s[k] == ',' ? 1 : 0;
        if (!c && k + 3 <= l->end && memcmp(l->s + k, "{,}", 3) == 0) c = 3;
        if (!c || k + c + 3 > l->end) break;
        const char *g = l->s + k + c;
        if (!digit(g[0]) || !digit(g[1]) || !digit(g[2])) break;
        if (k + c + 3 < l->end && digit(g[3])) break;
        k += c + 3;
    }
    return k - at;
}

static bool small_integer(const clexer *l, size_t at, size_t n, uint32_t *out) {
    *out = 0;
    if (n == 0 || n > 6) return false;
    for (size_t i = 0; i < n; i++) {
        if (!digit(l->s[at + i])) return false;
        *out = *out * 10 + (uint32_t)(l->s[at + i] - '0');
    }
    return true;
}

static size_t digit_run(const clexer *l, size_t at) {
    size_t k = at;
    while (k < l->end && digit(l->s[k])) k++;
    return k - at;
}

/* "1 1/2": a whole number, one blank, a proper fraction that no operator goes on from. */
static bool mixed(clexer *l, size_t n_whole) {
    uint32_t w, a, b;
    size_t at = l->at + n_whole;
    if (at >= l->end || l->s[at] != ' ') return false;
    size_t na = digit_run(l, at + 1), slash = at + 1 + na;
    if (slash >= l->end || l->s[slash] != '/') return false;
    size_t nb = digit_run(l, slash + 1), end = slash + 1 + nb;
    if (end < l->end && (l->s[end] == '/' || l->s[end] == ',')) return false;
    if (end + 1 < l->end && l->s[end] == '.' && digit(l->s[end + 1])) return false;
    if (!small_integer(l, l->at, n_whole, &w) || !small_integer(l, at + 1, na, &a) ||
        !small_integer(l, slash + 1, nb, &b) || na > 3 || nb > 3 || w > 9999 || a == 0 || a >= b)
        return false;
    ctok *t = push(l, C_NUM, 0, l->at, end);
    t->num = w * b + a;
    t->den = b;
    t->mixed = true;
    l->at = end;
    return true;
}

/* 3rd, 10am, 2:38, 1.2.3: no numbers. Returns the bytes of the odd thing, 0: a number. */
static size_t odd_number(const clexer *l, size_t at) {
    static const char *const tails[] = {"st", "nd", "rd", "th", "am", "pm"};
    size_t k = at;
    if (k + 1 < l->end && (l->s[k] == ':' || l->s[k] == '.') && digit(l->s[k + 1])) {
        while (k < l->end && (digit(l->s[k]) || l->s[k] == ':' || l->s[k] == '.')) k++;
        return l->s[at] == '.' && l->s[k - 1] == '.' ? 0 : k - at;
    }
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        if (l->end - at < 2 || memcmp(l->s + at, tails[i], 2) != 0) continue;
        if (at + 2 == l->end || !letter(l->s[at + 2])) return 2;
    }
    return 0;
}

static void lex_number(clexer *l) {
    size_t n = whole_digits(l, l->at), frac = 0;
    if (n > 0 && mixed(l, n)) return;
    size_t at = l->at + n;
    if (at + 1 < l->end && l->s[at] == '.' && digit(l->s[at + 1])) {
        frac = digit_run(l, at + 1);
        at += 1 + frac;
    }
    size_t odd = odd_number(l, at);
    if (odd > 0) {
        push(l, C_BREAK, 'o', l->at, at + odd);
        l->at = at + odd;
        return;
    }
    ctok *t = push(l, C_NUM, 0, l->at, at);
    t->n_frac = (uint16_t)(frac > 1000 ? 1000 : frac);
    l->at = at;
}

/* ---- words ---- */

static bool same_word(const char *p, size_t n, const char *word) {
    for (size_t i = 0; i < n; i++)
        if (word[i] == '\0' || (p[i] | 0x20) != word[i]) return false;
    return word[n] == '\0';
}
static bool among(const char *p, size_t n, const char *const *list) {
    for (; *list; list++)
        if (same_word(p, n, *list)) return true;
    return false;
}

static const char *const measures[] = {
    "second",  "seconds",   "minute",   "minutes",   "min",     "mins",       "hour",    "hours",
    "hr",      "hrs",       "day",      "days",      "week",    "weeks",      "month",   "months",
    "year",    "years",     "cent",     "cents",     "dollar",  "dollars",    "dozen",   "dozens",
    "hundred", "hundreds",  "thousand", "thousands", "million", "millions",   "billion", "inch",
    "inches",  "foot",      "feet",     "ft",        "yard",    "yards",      "mile",    "miles",
    "cm",      "mm",        "km",       "meter",     "meters",  "kilometers", "gram",    "grams",
    "kg",      "kilograms", "ounce",    "ounces",    "oz",      "pound",      "pounds",  "lb",
    "lbs",     "cup",       "cups",     "pint",      "pints",   "quart",      "quarts",  "gallon",
    "gallons", "liter",     "liters",   "ml",        "penny",   "pennies",    "nickel",  "nickels",
    "dime",    "dimes",     "quarter",  "quarters",  "pair",    "pairs",      "century", "decade",
    "decades", "ton",       "tons",     "degrees",   "square",  "cubic",      "percent", NULL};
static const char *const stops[] = {
    "and",   "or",    "so",        "then",  "has",   "have", "had",  "he",    "she",
    "they",  "it",    "we",        "that",  "which", "who",  "if",   "but",   "because",
    "since", "while", "when",      "with",  "than",  "was",  "were", "be",    "will",
    "would", "can",   "out",       "as",    "more",  "less", "not",  "their", "his",
    "her",   "there", "this",      "these", "those", "now",  "thus", "hence", "therefore",
    "total", "left",  "remaining", "need",  "needs", "to",   "from", "into",  NULL};

typedef struct word_row {
    const char *word, *then; /* "divided", "by" */
    ctok_kind kind;
    char op;
    uint32_t num, den;
} word_row;
static const word_row rows[] = {
    {"plus", "", C_OP, '+', 0, 0},        {"minus", "", C_OP, '-', 0, 0},
    {"times", "", C_OP, '*', 0, 0},       {"multiplied", "by", C_OP, '*', 0, 0},
    {"divided", "by", C_OP, '/', 0, 0},   {"of", "the", C_OF, '*', 0, 0},
    {"of", "", C_OF, '*', 0, 0},          {"percent", "", C_PERCENT, '%', 0, 0},
    {"is", "equal to", C_REL, '=', 0, 0}, {"are", "equal to", C_REL, '=', 0, 0},
    {"is", "about", C_REL, '~', 0, 0},    {"is", "approximately", C_REL, '~', 0, 0},
    {"is", "roughly", C_REL, '~', 0, 0},  {"is", "", C_REL, 'i', 0, 0},
    {"are", "", C_REL, 'i', 0, 0},        {"equals", "", C_REL, '=', 0, 0},
    {"equal", "to", C_REL, '=', 0, 0},    {"gives", "", C_REL, 'i', 0, 0},
    {"makes", "", C_REL, 'i', 0, 0},      {"half", "of", C_NUM, 0, 1, 2},
    {"third", "of", C_NUM, 0, 1, 3},      {"quarter", "of", C_NUM, 0, 1, 4},
    {"fourth", "of", C_NUM, 0, 1, 4},     {"fifth", "of", C_NUM, 0, 1, 5},
    {"tenth", "of", C_NUM, 0, 1, 10},
};

/* Bytes of the words `then` behind at, blanks between; 0: not there ("" is there, with 0). */
static bool follows(const clexer *l, size_t at, const char *then, size_t *end) {
    *end = at;
    while (*then) {
        size_t n = strcspn(then, " ");
        while (at < l->end && l->s[at] == ' ') at++;
        if (l->end - at < n) return false;
        for (size_t i = 0; i < n; i++)
            if ((l->s[at + i] | 0x20) != then[i]) return false;
        at += n;
        if (at < l->end && letter(l->s[at])) return false;
        then += n + (then[n] == ' ');
        *end = at;
    }
    return true;
}

/* x or X between two operands, with the same space on both sides: a product. */
static bool is_times(const clexer *l, size_t begin, size_t end) {
    bool before = begin > 0 && l->s[begin - 1] == ' ', after = end < l->end && l->s[end] == ' ';
    const ctok *t = last(l);
    if (before != after || !t || !(operand_ends(t) || (t->kind == C_WORD && before))) return false;
    size_t k = end + after;
    while (k < l->end && (l->s[k] == '$' || l->s[k] == '(')) k++;
    if (k + 1 < l->end && l->s[k] == '<' && l->s[k + 1] == '<') return true;
    return k < l->end &&
           (digit(l->s[k]) || (l->s[k] == '.' && k + 1 < l->end && digit(l->s[k + 1])));
}

static void lex_word(clexer *l) {
    size_t begin = l->at, k = begin;
    while (k < l->end && (letter(l->s[k]) || (unsigned char)l->s[k] >= 0x80)) k++;
    size_t n = k - begin;
    const char *p = l->s + begin;
    if (n == 1 && letter(*p)) {
        if ((*p | 0x20) == 'x' && is_times(l, begin, k)) {
            push(l, C_OP, '*', begin, k);
            l->at = k;
            return;
        }
        if (k < l->end && l->s[k] == '_') k++;
        while (k < l->end && digit(l->s[k])) k++;
        bool article = k - begin == 1 && (*p | 0x20) == 'a' && k + 1 < l->end && l->s[k] == ' ' &&
                       letter(l->s[k + 1]);
        ctok *t = push(l, article ? C_WORD : C_VAR, 0, begin, k);
        t->stop = false;
        l->at = k;
        return;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const word_row *r = &rows[i];
        size_t end;
        if (!same_word(p, n, r->word) || !follows(l, k, r->then, &end)) continue;
        if (r->kind == C_NUM) end = k; /* "of" stays a token */
        ctok *t = push(l, r->kind, r->op, begin, end);
        t->word = true;
        t->num = r->num;
        t->den = r->den;
        l->at = end;
        return;
    }
    while (k < l->end && (letter(l->s[k]) || digit(l->s[k]) || l->s[k] == '\'' || l->s[k] == '_' ||
                          (l->s[k] == '-' && k + 1 < l->end && letter(l->s[k + 1]))))
        k++;
    ctok *t = push(l, C_WORD, 0, begin, k);
    t->measure = among(p, k - begin, measures);
    t->stop = among(p, k - begin, stops);
    l->at = k;
}

/* ---- signs beyond ASCII ---- */

typedef struct glyph {
    const char *bytes;
    ctok_kind kind;
    char op;
    uint32_t num, den;
} glyph;
static const glyph glyphs[] = {
    {"\xc3\x97", C_OP, '*', 0, 0},      {"\xc3\xb7", C_OP, '/', 0, 0},
    {"\xc2\xb7", C_OP, '*', 0, 0},      {"\xe2\x8b\x85", C_OP, '*', 0, 0},
    {"\xe2\x88\x92", C_OP, '-', 0, 0},  {"\xe2\x80\x93", C_OP, '-', 0, 0},
    {"\xe2\x89\x88", C_REL, '~', 0, 0}, {"\xe2\x89\xa0", C_REL, '!', 0, 0},
    {"\xe2\x89\xa4", C_REL, 'l', 0, 0}, {"\xe2\x89\xa5", C_REL, 'g', 0, 0},
    {"\xc2\xbd", C_NUM, 0, 1, 2},       {"\xc2\xbc", C_NUM, 0, 1, 4},
    {"\xc2\xbe", C_NUM, 0, 3, 4},       {"\xe2\x85\x93", C_NUM, 0, 1, 3},
    {"\xe2\x85\x94", C_NUM, 0, 2, 3},
};

static bool lex_glyph(clexer *l) {
    for (size_t i = 0; i < sizeof glyphs / sizeof *glyphs; i++) {
        const glyph *g = &glyphs[i];
        if (!starts(l, g->bytes)) continue;
        size_t end = l->at + strlen(g->bytes);
        ctok *before = l->out->n > 0 ? &l->out->t[l->out->n - 1] : NULL;
        uint32_t whole;
        if (g->kind == C_NUM && before && before->kind == C_NUM && before->den == 0 &&
            (size_t)before->end == l->at && before->n_frac == 0 &&
            small_integer(l, (size_t)before->begin, (size_t)(before->end - before->begin),
                          &whole)) { /* 1 and a half */
            before->num = whole * g->den + g->num;
            before->den = g->den;
            before->end = (int32_t)end;
        } else {
            ctok *t = push(l, g->kind, g->op, l->at, end);
            t->num = g->num;
            t->den = g->den;
        }
        l->at = end;
        return true;
    }
    /* money and blanks of other kinds */
    static const char *const none[] = {"\xe2\x82\xac", "\xc2\xa3", "\xc2\xa0", "\xe2\x80\xaf"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        if (!starts(l, none[i])) continue;
        l->at += strlen(none[i]);
        return true;
    }
    return false;
}

/* ---- LaTeX ---- */

typedef struct command {
    const char *name;
    ctok_kind kind;
    char op;
} command;
static const command commands[] = {
    {"times", C_OP, '*'}, {"cdot", C_OP, '*'}, {"div", C_OP, '/'},  {"approx", C_REL, '~'},
    {"le", C_REL, 'l'},   {"leq", C_REL, 'l'}, {"ge", C_REL, 'g'},  {"geq", C_REL, 'g'},
    {"ne", C_REL, '!'},   {"neq", C_REL, '!'}, {"lt", C_REL, '<'},  {"gt", C_REL, '>'},
    {"sqrt", C_FUNC, 0},  {"pi", C_FUNC, 0},   {"sin", C_FUNC, 0},  {"cos", C_FUNC, 0},
    {"tan", C_FUNC, 0},   {"log", C_FUNC, 0},  {"ln", C_FUNC, 0},   {"binom", C_FUNC, 0},
    {"alpha", C_VAR, 0},  {"beta", C_VAR, 0},  {"theta", C_VAR, 0}, {"lambda", C_VAR, 0},
    {"mu", C_VAR, 0},     {"phi", C_VAR, 0},   {"sum", C_FUNC, 0},  {"prod", C_FUNC, 0},
};

/* \frac behind its name: "34" at once, else the first brace is opened. */
static void lex_frac(clexer *l, size_t begin) {
    while (l->at < l->end && l->s[l->at] == ' ') l->at++;
    if (digit(peek(l, 0)) && digit(peek(l, 1))) {
        ctok *t = push(l, C_NUM, 0, begin, l->at + 2);
        t->num = (uint32_t)(peek(l, 0) - '0');
        t->den = (uint32_t)(peek(l, 1) - '0');
        if (t->den == 0) t->kind = C_BREAK;
        l->at += 2;
        return;
    }
    if (peek(l, 0) != '{' || l->n_brace + 1 >= sizeof l->brace) {
        push(l, C_BREAK, 0, begin, l->at);
        return;
    }
    push(l, C_OPEN, 'f', begin, l->at);
    push(l, C_OPEN, 'f', l->at, l->at + 1);
    l->brace[l->n_brace++] = 'n';
    l->at++;
}

/* Text in braces as one word. */
static void lex_text(clexer *l, size_t begin) {
    size_t k = l->at;
    while (k < l->end && l->s[k] != '}' && l->s[k] != '\n') k++;
    ctok *t = push(l, C_WORD, 0, begin, k < l->end ? k + 1 : k);
    t->measure = true; /* mostly a unit */
    l->at = k < l->end ? k + 1 : k;
}

static void lex_command(clexer *l) {
    static const char *const texts[] = {"text", "mathrm", "textbf", "mbox", NULL};
    static const char *const nothing[] = {"left", "right", "displaystyle", "quad",   "qquad",
                                          "big",  "bigl",  "bigr",         "mathbf", "textstyle",
                                          NULL};
    static const char *const fractions[] = {"frac", "dfrac", "tfrac", NULL};
    size_t begin = l->at++, k = l->at;
    while (k < l->end && letter(l->s[k])) k++;
    size_t n = k - l->at;
    const char *name = l->s + l->at;
    if (n == 0) { /* \, \! \; \$ \% \( \[ \\ */
        char c = peek(l, 0);
        if (l->at < l->end) l->at++;
        if (c == '%') {
            push(l, C_PERCENT, '%', begin, l->at);
        } else if (!(c == ',' || c == '!' || c == ';' || c == ':' || c == '$' || c == ' ')) {
            push(l, C_BREAK, 0, begin, l->at);
        }
        return;
    }
    l->at = k;
    if (among(name, n, nothing)) return;
    if (among(name, n, fractions)) {
        lex_frac(l, begin);
    } else if (among(name, n, texts) && peek(l, 0) == '{') {
        lex_text(l, begin);
    } else {
        for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
            if (strlen(commands[i].name) != n || memcmp(commands[i].name, name, n) != 0) continue;
            push(l, commands[i].kind, commands[i].op, begin, k);
            return;
        }
        push(l, C_BREAK, 0, begin, k);
    }
}

static void lex_brace(clexer *l) {
    size_t at = l->at++;
    if (l->s[at] == '{') {
        if (l->n_brace < sizeof l->brace) {
            l->brace[l->n_brace++] = 'g';
            push(l, C_OPEN, '{', at, at + 1);
        } else {
            push(l, C_BREAK, 0, at, at + 1);
        }
        return;
    }
    char kind = l->n_brace > 0 ? l->brace[--l->n_brace] : 0;
    if (kind == 'g') {
        push(l, C_CLOSE, '}', at, at + 1);
    } else if (kind == 'n' && peek(l, 0) == '{') {
        push(l, C_CLOSE, 'f', at, at + 1);
        push(l, C_OP, '/', at, at + 1);
        push(l, C_OPEN, 'f', l->at, l->at + 1);
        l->brace[l->n_brace++] = 'd';
        l->at++;
    } else if (kind == 'd') {
        push(l, C_CLOSE, 'f', at, at + 1);
        push(l, C_CLOSE, 'f', at, at + 1);
    } else {
        push(l, C_BREAK, 0, at, at + 1);
    }
}

/* ---- ASCII signs ---- */

static void lex_relation(clexer *l) {
    static const struct {
        const char *text;
        char op;
    } table[] = {{"=>", 0},  {"==", '='}, {"<=", 'l'}, {">=", 'g'}, {"!=", '!'}, {"~=", '~'},
                 {"=", '='}, {"<", '<'},  {">", '>'},  {"~", '~'},  {"!", 0}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (!starts(l, table[i].text)) continue;
        size_t n = strlen(table[i].text);
        push(l, table[i].op ? C_REL : C_BREAK, table[i].op, l->at, l->at + n);
        l->at += n;
        return;
    }
}

static void lex_sign(clexer *l) {
    char c = peek(l, 0);
    size_t at = l->at;
    bool bullet = l->line_start && (c == '-' || c == '*') && peek(l, 1) == ' ';
    switch (c) {
    case '+':
    case '-':
    case '*':
    case '/':
    case '^':
        if (c == '*' && peek(l, 1) == '*' && digit(peek(l, 2))) { /* Python's power */
            push(l, C_OP, '^', at, at + 2);
            l->at += 2;
            return;
        }
        if (c == '/' && peek(l, 1) == '/' && digit(peek(l, 2)) && operand_ends(last(l))) {
            push(l, C_OP, 'q', at, at + 2);
            l->at += 2;
            return;
        }
        push(l, bullet ? C_BREAK : C_OP, c, at, at + 1);
        break;
    case '(': push(l, C_OPEN, c, at, at + 1); break;
    case ')': push(l, C_CLOSE, c, at, at + 1); break;
    case '%': push(l, C_PERCENT, c, at, at + 1); break;
    case '$': break;
    default: push(l, C_BREAK, c, at, at + 1);
    }
    l->at++;
}

/* "<<...>>" at l->at: its bytes with the marks, 0 none. A mark does not go over a line's end. */
static size_t mark_here(const clexer *l) {
    if (!starts(l, "<<")) return 0;
    for (size_t k = l->at + 2; k + 1 < l->end && l->s[k] != '\n' && l->s[k] != '<'; k++)
        if (l->s[k] == '>' && l->s[k + 1] == '>') return k + 2 - l->at;
    return 0;
}

void claim_lex(ctoks *out, const char *text, size_t begin, size_t end, bool skip_marks) {
    clexer l = {.s = text,
                .at = begin,
                .end = end,
                .out = out,
                .line_start = true,
                .skip_marks = skip_marks};
    while (l.at < l.end && !out->failed) {
        char c = l.s[l.at];
        size_t n_mark = skip_marks ? mark_here(&l) : 0;
        if (n_mark > 0) {
            l.at += n_mark;
        } else if (c == '\n') {
            push(&l, C_BREAK, c, l.at, l.at + 1);
            l.at++;
            l.n_brace = 0;
            l.line_start = true;
        } else if ((unsigned char)c <= ' ') {
            l.at++;
        } else if (digit(c) || (c == '.' && digit(peek(&l, 1)))) {
            lex_number(&l);
        } else if (letter(c)) {
            lex_word(&l);
        } else if ((unsigned char)c >= 0x80) {
            if (!lex_glyph(&l)) lex_word(&l);
        } else if (c == '\\') {
            lex_command(&l);
        } else if (c == '{' || c == '}') {
            lex_brace(&l);
        } else if (c == '=' || c == '<' || c == '>' || c == '~' || c == '!') {
            lex_relation(&l);
        } else {
            lex_sign(&l);
        }
    }
}
