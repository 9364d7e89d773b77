/* Tokens. Every step takes at least one byte or says why it cannot; all tables are constant. */
#include "verify/lex.h"
#include "verify/lex_number.h"
#include "verify/units.h"
#include <string.h>

static bool digit(char c) {
    return c >= '0' && c <= '9';
}
static bool letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static char at(const lexer *l, size_t i) {
    return i < l->n ? l->text[i] : '\0';
}
static bool starts(const lexer *l, size_t i, const char *with) {
    size_t n = strlen(with);
    return i + n <= l->n && memcmp(l->text + i, with, n) == 0;
}

typedef struct row {
    const char *name;
    tok_kind kind;
    uint8_t op;
} row;

/* Marks: the longest first where one begins another. */
static const row marks[] = {
    {"!!", T_DFACT, 0},
    {"!=", T_REL, REL_NE},
    {"<=", T_REL, REL_LE},
    {">=", T_REL, REL_GE},
    {"**", T_POW, 0},
    {"+", T_OP, X_ADD},
    {"-", T_OP, X_SUB},
    {"*", T_OP, X_MUL},
    {"/", T_OP, X_DIV},
    {":", T_OP, X_RATIO},
    {"=", T_REL, REL_EQ},
    {"<", T_REL, REL_LT},
    {">", T_REL, REL_GT},
    {"^", T_POW, 0},
    {"_", T_SUB, 0},
    {"!", T_FACT, 0},
    {"%", T_PERCENT, 0},
    {"(", T_OPEN, '('},
    {"[", T_OPEN, '['},
    {"{", T_OPEN, '{'},
    {")", T_CLOSE, ')'},
    {"]", T_CLOSE, ']'},
    {"}", T_CLOSE, '}'},
    {"|", T_BAR, 0},
    {",", T_COMMA, 0},
    {";", T_COMMA, 0},
    {"&", T_AMP, 0},
    {"~", T_NONE, 0},
    {"$", T_NONE, 0},
    {"`", T_NONE, 0},
    {"\xe2\x88\x92", T_OP, X_SUB}, /* minus sign */
    {"\xe2\x80\x93", T_OP, X_SUB}, /* en dash */
    {"\xc3\x97", T_OP, X_MUL},
    {"\xc2\xb7", T_OP, X_MUL},
    {"\xe2\x8b\x85", T_OP, X_MUL},
    {"\xc3\xb7", T_OP, X_DIV},
    {"\xc2\xb1", T_OP, X_PM},
    {"\xe2\x88\x93", T_OP, X_MP},
    {"\xe2\x89\xa4", T_REL, REL_LE},
    {"\xe2\x89\xa5", T_REL, REL_GE},
    {"\xe2\x89\xa0", T_REL, REL_NE},
    {"\xe2\x88\x88", T_REL, REL_IN},
    {"\xe2\x88\xaa", T_OP, X_UNION},
    {"\xe2\x88\xa9", T_OP, X_INTER},
    {"\xe2\x88\x9e", T_ATOM, X_INF},
    {"\xcf\x80", T_ATOM, X_PI},
    {"\xe2\x88\x9a", T_SQRT, 0},
    {"\xc2\xb0", T_DEG, 0},
    {"\xe2\x82\xac", T_NONE, 0}, /* euro */
    {"\xc2\xa3", T_NONE, 0},     /* pound */
    {"\xc2\xa0", T_NONE, 0},
    {"\xe2\x80\x89", T_NONE, 0},
};

/* Behind a backslash. */
static const row commands[] = {
    {"!", T_NONE, 0},
    {",", T_NONE, 0},
    {";", T_NONE, 0},
    {":", T_NONE, 0},
    {" ", T_NONE, 0},
    {"(", T_NONE, 0},
    {")", T_NONE, 0},
    {"[", T_NONE, 0},
    {"]", T_NONE, 0},
    {"$", T_NONE, 0},
    {"%", T_PERCENT, 0},
    {"{", T_OPEN, 's'},
    {"}", T_CLOSE, 's'},
    {"\\", T_ROW, 0},
    {"quad", T_NONE, 0},
    {"qquad", T_NONE, 0},
    {"displaystyle", T_NONE, 0},
    {"textstyle", T_NONE, 0},
    {"limits", T_NONE, 0},
    {"big", T_NONE, 0},
    {"Big", T_NONE, 0},
    {"bigl", T_NONE, 0},
    {"bigr", T_NONE, 0},
    {"Bigl", T_NONE, 0},
    {"Bigr", T_NONE, 0},
    {"bigg", T_NONE, 0},
    {"Bigg", T_NONE, 0},
    {"euro", T_NONE, 0},
    {"pounds", T_NONE, 0},
    {"cdot", T_OP, X_MUL},
    {"times", T_OP, X_MUL},
    {"ast", T_OP, X_MUL},
    {"div", T_OP, X_DIV},
    {"pm", T_OP, X_PM},
    {"mp", T_OP, X_MP},
    {"cup", T_OP, X_UNION},
    {"cap", T_OP, X_INTER},
    {"setminus", T_OP, X_MINUS},
    {"backslash", T_OP, X_MINUS},
    {"choose", T_OP, X_BINOM},
    {"colon", T_OP, X_RATIO},
    {"ne", T_REL, REL_NE},
    {"neq", T_REL, REL_NE},
    {"lt", T_REL, REL_LT},
    {"gt", T_REL, REL_GT},
    {"le", T_REL, REL_LE},
    {"leq", T_REL, REL_LE},
    {"leqslant", T_REL, REL_LE},
    {"leqq", T_REL, REL_LE},
    {"ge", T_REL, REL_GE},
    {"geq", T_REL, REL_GE},
    {"geqslant", T_REL, REL_GE},
    {"geqq", T_REL, REL_GE},
    {"in", T_REL, REL_IN},
    {"pi", T_ATOM, X_PI},
    {"infty", T_ATOM, X_INF},
    {"imath", T_ATOM, X_I},
    {"frac", T_FRAC, 0},
    {"dfrac", T_FRAC, 0},
    {"tfrac", T_FRAC, 0},
    {"cfrac", T_FRAC, 0},
    {"binom", T_BINOM, 0},
    {"dbinom", T_BINOM, 0},
    {"tbinom", T_BINOM, 0},
    {"sqrt", T_SQRT, 0},
    {"sum", T_SUM, 0},
    {"prod", T_PROD, 0},
    {"langle", T_OPEN, '<'},
    {"rangle", T_CLOSE, '>'},
    {"lbrace", T_OPEN, 's'},
    {"rbrace", T_CLOSE, 's'},
    {"lbrack", T_OPEN, '['},
    {"rbrack", T_CLOSE, ']'},
    {"lparen", T_OPEN, '('},
    {"rparen", T_CLOSE, ')'},
    {"lfloor", T_OPEN, 'f'},
    {"rfloor", T_CLOSE, 'f'},
    {"lceil", T_OPEN, 'c'},
    {"rceil", T_CLOSE, 'c'},
    {"lvert", T_OPEN, '|'},
    {"rvert", T_CLOSE, '|'},
    {"vert", T_BAR, 0},
    {"degree", T_DEG, 0},
    {"degrees", T_DEG, 0},
    {"land", T_WORD_SEP, 0},
    {"lor", T_WORD_SEP, 0},
    {"emptyset", T_VAR, 0},
    {"varnothing", T_VAR, 0},
    {"R", T_VAR, 0},
};

static const struct {
    const char *name;
    uint8_t fn;
} functions[] = {{"sin", FN_SIN},     {"cos", FN_COS},   {"tan", FN_TAN},     {"cot", FN_COT},
                 {"sec", FN_SEC},     {"csc", FN_CSC},   {"arcsin", FN_ASIN}, {"arccos", FN_ACOS},
                 {"arctan", FN_ATAN}, {"asin", FN_ASIN}, {"acos", FN_ACOS},   {"atan", FN_ATAN},
                 {"sinh", FN_SINH},   {"cosh", FN_COSH}, {"tanh", FN_TANH},   {"ln", FN_LN},
                 {"log", FN_LOG},     {"lg", FN_LOG},    {"exp", FN_EXP},     {"Re", FN_RE},
                 {"Im", FN_IM},       {"sgn", FN_SGN},   {"gcd", FN_GCD},     {"lcm", FN_LCM},
                 {"max", FN_MAX},     {"min", FN_MIN},   {"sqrt", FN_SQRT},   {"abs", FN_ABS},
                 {"cbrt", FN_CBRT},   {"tg", FN_TAN},    {"ctg", FN_COT},     {"cosec", FN_CSC}};

static const char *const greek[] = {
    "alpha",   "beta",  "gamma",  "delta", "epsilon", "varepsilon", "zeta",  "eta",     "theta",
    "iota",    "kappa", "lambda", "mu",    "nu",      "xi",         "rho",   "sigma",   "tau",
    "upsilon", "phi",   "varphi", "chi",   "psi",     "omega",      "Gamma", "Delta",   "Theta",
    "Lambda",  "Xi",    "Sigma",  "Phi",   "Psi",     "Omega",      "ell",   "emptyset"};

static bool is(const char *name, const char *p, size_t n) {
    return strlen(name) == n && memcmp(name, p, n) == 0;
}

static void bad(tok *t, const char *why) {
    t->kind = T_BAD;
    t->p = why;
}

static bool function(tok *t, const char *p, size_t n) {
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (!is(functions[i].name, p, n)) continue;
        t->kind = T_FN;
        t->op = functions[i].fn;
        return true;
    }
    return false;
}

static const char *greek_name(const char *p, size_t n) {
    for (size_t i = 0; i < sizeof greek / sizeof *greek; i++)
        if (is(greek[i], p, n)) return greek[i];
    return NULL;
}

/* x_1, x_{12}, f': the name is kept as "x_1", "x_{12}". */
static void variable(tok *t, lexer *l, const char *name, size_t n) {
    l->n_buf = 0;
    if (n > 20) n = 20;
    memcpy(l->buf, name, n);
    l->n_buf = n;
    size_t i = l->at, k = 0;
    if (!l->single && at(l, i) == '_') {
        bool braced = at(l, i + 1) == '{';
        size_t from = i + 1 + braced;
        while (digit(at(l, from + k)) || letter(at(l, from + k))) {
            k++;
            if (!braced) break;
        }
        if (k > 0 && k <= 12 && (!braced || at(l, from + k) == '}') && n + k + 3 < 24) {
            l->buf[l->n_buf++] = '_';
            if (k > 1) l->buf[l->n_buf++] = '{';
            memcpy(l->buf + l->n_buf, l->text + from, k);
            l->n_buf += k;
            if (k > 1) l->buf[l->n_buf++] = '}';
            l->at = from + k + braced;
        }
    }
    t->kind = T_VAR;
    t->p = l->buf;
    t->n = l->n_buf;
    if (n == 1 && l->n_buf == 1 && (name[0] == 'e' || name[0] == 'i')) {
        t->kind = T_ATOM;
        t->op = name[0] == 'e' ? X_E : X_I;
    }
}

/* Words behind an operand that are a unit: "cm^2", "miles per hour". */
static bool unit_words(tok *t, lexer *l) {
    size_t n = unit_span(l->text + l->at, l->n - l->at);
    if (n == 0) return false;
    t->kind = T_UNIT;
    t->p = l->text + l->at;
    t->n = n;
    l->at += n;
    return true;
}

static bool word_row(tok *t, const char *p, size_t n) {
    static const row words[] = {
        {"and", T_WORD_SEP, 0},      {"or", T_WORD_SEP, 0},  {"pi", T_ATOM, X_PI},
        {"infinity", T_ATOM, X_INF}, {"inf", T_ATOM, X_INF}, {"oo", T_ATOM, X_INF},
        {"degrees", T_DEG, 0},       {"degree", T_DEG, 0},   {"percent", T_PERCENT, 0}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!is(words[i].name, p, n)) continue;
        t->kind = words[i].kind;
        t->op = words[i].op;
        return true;
    }
    return false;
}

/* Letters without a backslash: a known word, a function glued to its letter ("sinx"), or a product
 * of letters when they are few. */
static void letters(tok *t, lexer *l) {
    const char *p = l->text + l->at;
    size_t n = 0;
    while (letter(at(l, l->at + n))) n++;
    if (l->single || n == 1) {
        char next = at(l, l->at + 1 + (at(l, l->at + 1) == ' '));
        if (p[0] == 'U' && l->after_operand && !l->single &&
            (next == '(' || next == '[' || next == '{' || next == '\\')) {
            l->at++;
            t->kind = T_OP;
            t->op = X_UNION;
            return;
        }
        l->at++;
        variable(t, l, p, 1);
        return;
    }
    if (word_row(t, p, n) || function(t, p, n)) {
        t->word = true;
        l->at += n;
        return;
    }
    char behind = at(l, l->at + n + 1);
    if (n == 2 && p[0] == 'i' && p[1] == 'n' && at(l, l->at + 2) == ' ' &&
        (behind == '[' || behind == '(' || behind == '{' || behind == '\\')) {
        l->at += n;
        t->kind = T_REL;
        t->op = REL_IN;
        return;
    }
    if (l->after_operand && unit_words(t, l)) return;
    const char *name = greek_name(p, n);
    if (name) {
        l->at += n;
        variable(t, l, name, n);
        return;
    }
    for (size_t k = n - 1; k >= 2 && k + 1 >= n; k--)
        if (function(t, p, k) && t->op <= FN_LN) {
            t->word = true;
            l->at += k;
            return;
        }
    t->kind = T_NONE;
    if (n > 3) {
        bad(t, "a word that is no mathematics");
        return;
    }
    l->at++;
    variable(t, l, p, 1);
}

/* The text between the brace at l->at and its partner; false when it is never closed. */
static bool braced(const lexer *l, size_t from, size_t *n) {
    size_t depth = 0;
    for (size_t i = from; i < l->n; i++) {
        if (l->text[i] == '{') depth++;
        if (l->text[i] == '}' && --depth == 0) {
            *n = i - from - 1;
            return true;
        }
    }
    return false;
}

/* \text{...} and its kin. */
static bool text_command(tok *t, lexer *l, const char *name, size_t n_name) {
    static const char *const texts[] = {
        "text",         "mbox", "textbf", "textit",         "textrm", "textnormal",   "mathrm",
        "operatorname", "rm",   "mathit", "mathbf",         "mathbb", "mathcal",      "mathsf",
        "boldsymbol",   "bold", "vec",    "overrightarrow", "hat",    "operatorname*"};
    size_t k = 0, n = 0, i = l->at;
    while (k < sizeof texts / sizeof *texts && !is(texts[k], name, n_name)) k++;
    if (k == sizeof texts / sizeof *texts) return false;
    while (at(l, i) == ' ' || at(l, i) == '*') i++;
    if (at(l, i) != '{' || !braced(l, i, &n)) {
        bad(t, "an argument in braces expected");
        return true;
    }
    const char *p = l->text + i + 1;
    l->at = i + n + 2;
    while (n > 0 && (*p == ' ' || *p == '\t')) p++, n--;
    while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t')) n--;
    bool words = k < 6;
    if (n == 0) {
        t->kind = T_NONE;
    } else if (word_row(t, p, n) || function(t, p, n)) {
    } else if (n == 1 && letter(p[0]) && !words) {
        variable(t, l, p, 1);
    } else if (k >= 11 && !(k == 13 || k == 14)) {
        bad(t, "one letter expected");
    } else {
        t->kind = l->after_operand ? T_UNIT : T_TEXT;
        t->p = p;
        t->n = n;
    }
    return true;
}

static void environment(tok *t, lexer *l, bool begin) {
    static const char *const names[] = {"pmatrix}", "bmatrix}",     "matrix}",
                                        "Bmatrix}", "smallmatrix}", "array}"};
    if (at(l, l->at) == '{') l->at++;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!starts(l, l->at, names[i])) continue;
        l->at += strlen(names[i]);
        t->kind = begin ? T_BEGIN : T_FINISH;
        size_t n;
        if (begin && i == 5 && at(l, l->at) == '{' && braced(l, l->at, &n)) l->at += n + 2;
        return;
    }
    bad(t, "not a matrix");
}

/* \left and \right: the delimiter behind them, "|" with its side. */
static bool side(tok *t, lexer *l, const char *p, size_t n) {
    bool left = is("left", p, n), right = is("right", p, n);
    if (!left && !right) return false;
    while (at(l, l->at) == ' ') l->at++;
    t->kind = T_NONE;
    if (at(l, l->at) == '|') {
        l->at++;
        t->kind = left ? T_OPEN : T_CLOSE;
        t->op = '|';
    } else if (at(l, l->at) == '.') {
        bad(t, "one-sided bracket");
    }
    return true;
}

static void command(tok *t, lexer *l) {
    size_t i = ++l->at, n = 0;
    while (letter(at(l, i + n))) n++;
    if (n == 0) n = i < l->n ? 1 : 0;
    const char *p = l->text + i;
    l->at += n;
    if (n == 0) {
        bad(t, "a backslash at the end");
        return;
    }
    if (side(t, l, p, n) || text_command(t, l, p, n)) return;
    if (is("begin", p, n) || is("end", p, n)) {
        environment(t, l, p[0] == 'b');
        return;
    }
    for (size_t k = 0; k < sizeof commands / sizeof *commands; k++) {
        if (!is(commands[k].name, p, n)) continue;
        t->kind = commands[k].kind;
        t->op = commands[k].op;
        if (t->kind == T_VAR) variable(t, l, n == 1 ? "R" : "emptyset", n == 1 ? 1 : 8);
        return;
    }
    if (function(t, p, n)) return;
    const char *name = greek_name(p, n);
    if (name) {
        variable(t, l, name, n);
        return;
    }
    bad(t, "an unknown command");
}

/* ^\circ and ^{\circ} are degrees. */
static bool degrees(tok *t, lexer *l) {
    size_t i = l->at;
    if (at(l, i) != '^') return false;
    i++;
    while (at(l, i) == ' ') i++;
    bool brace = at(l, i) == '{';
    i += brace;
    while (at(l, i) == ' ') i++;
    if (starts(l, i, "\\circ")) {
        i += 5;
    } else if (starts(l, i, "\\degree")) {
        i += 7;
    } else if (starts(l, i, "\xc2\xb0") || starts(l, i, "\xe2\x88\x98")) {
        i += at(l, i) == '\xc2' ? 2 : 3;
    } else {
        return false;
    }
    if (letter(at(l, i))) return false;
    while (at(l, i) == ' ') i++;
    if (brace && at(l, i++) != '}') return false;
    t->kind = T_DEG;
    l->at = i;
    return true;
}

/* A stop that ends the answer. */
static bool last_stop(lexer *l) {
    if (at(l, l->at) != '.') return false;
    for (size_t i = l->at + 1; i < l->n; i++)
        if (!strchr(" .\n\t$", l->text[i]) || !l->text[i]) return false;
    l->at = l->n;
    return true;
}

static void one(tok *t, lexer *l) {
    char c = l->text[l->at];
    if ((unsigned char)c <= ' ' || c == 127) {
        l->at++;
        if (c == '\0') bad(t, "a NUL byte");
        return;
    }
    if (last_stop(l) || degrees(t, l)) return;
    if (!(l->single && letter(c)) && lex_number(t, l)) {
        t->p = l->buf;
        return;
    }
    if (letter(c)) {
        letters(t, l);
        return;
    }
    if (c == '\\') {
        command(t, l);
        return;
    }
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (!starts(l, l->at, marks[i].name)) continue;
        if (marks[i].kind == T_DFACT && at(l, l->at + 2) == '=') continue;
        l->at += strlen(marks[i].name);
        t->kind = marks[i].kind;
        t->op = marks[i].op;
        return;
    }
    bad(t, "an unexpected byte");
}

void lex_next(tok *out, lexer *l) {
    for (;;) {
        memset(out, 0, sizeof *out);
        out->kind = T_END;
        out->pos = l->at;
        if (l->at >= l->n) return;
        out->kind = T_NONE;
        one(out, l);
        if (out->kind != T_NONE) return;
    }
}

char lex_peek(lexer *l) {
    while (l->at < l->n) {
        char c = l->text[l->at];
        if (c == ' ' || c == '\n' || c == '\t') {
            l->at++;
        } else if (starts(l, l->at, "\\left") && !letter(at(l, l->at + 5))) {
            size_t i = l->at + 5;
            while (at(l, i) == ' ') i++;
            return at(l, i);
        } else {
            return c;
        }
    }
    return '\0';
}
