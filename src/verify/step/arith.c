/* Formulas of the proof format: arithmetic over nat, int and real, and propositions. Precedence
 * climbing, depth capped. */
#include "verify/step/formula.h"
#include <string.h>

typedef enum arith_op {
    A_NONE,
    A_IFF,
    A_IMP,
    A_OR,
    A_AND,
    A_REL,
    A_ADD,
    A_SUB,
    A_MUL,
    A_DIV,
    A_IDIV,
    A_MOD,
    A_POW
} arith_op;
enum { SCOPE_MAX = 32 };
enum { B_IFF = 1, B_IMP, B_OR, B_AND, B_NOT, B_REL, B_ADD, B_MUL, B_NEG, B_POW };

typedef struct arith_reader {
    theory *t;
    const char *p, *end;
    int depth;
    int32_t scope[SCOPE_MAX]; /* variables of the quantifiers around */
    int n_scope;
} arith_reader;

bool sort_read(formula_sort *out, const char *p, size_t n) {
    static const struct {
        const char *name;
        formula_sort sort;
    } sorts[] = {{"int", SORT_INT},   {"nat", SORT_NAT},   {"real", SORT_REAL},
                 {"bool", SORT_BOOL}, {"prop", SORT_BOOL}, {"rat", SORT_REAL}};
    for (size_t i = 0; i < sizeof sorts / sizeof *sorts; i++) {
        if (strlen(sorts[i].name) != n || memcmp(sorts[i].name, p, n) != 0) continue;
        *out = sorts[i].sort;
        return true;
    }
    return false;
}

static bool letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static bool digit(char c) {
    return c >= '0' && c <= '9';
}

static void blanks(arith_reader *r) {
    while (r->p < r->end && (unsigned char)*r->p <= ' ') r->p++;
}

/* Bytes of the word at p, 0: none. */
static size_t word(const arith_reader *r) {
    const char *q = r->p;
    if (q >= r->end || !letter(*q)) return 0;
    while (q < r->end && (letter(*q) || digit(*q) || *q == '_' || *q == '\'')) q++;
    return (size_t)(q - r->p);
}

/* Eats `what`; a word only as a whole. */
static bool eat(arith_reader *r, const char *what) {
    size_t n = strlen(what);
    blanks(r);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, what, n) != 0) return false;
    if (letter(*what) && word(r) != n) return false;
    r->p += n;
    return true;
}

typedef struct op_row {
    const char *text;
    arith_op op;
    int bind;
    char rel;
} op_row;
static const op_row ops[] = {
    {"<->", A_IFF, B_IFF, 0},
    {"iff", A_IFF, B_IFF, 0},
    {"-->", A_IMP, B_IMP, 0},
    {"->", A_IMP, B_IMP, 0},
    {"==>", A_IMP, B_IMP, 0},
    {"implies", A_IMP, B_IMP, 0},
    {"or", A_OR, B_OR, 0},
    {"|", A_OR, B_OR, 0},
    {"\xe2\x88\xa8", A_OR, B_OR, 0},
    {"and", A_AND, B_AND, 0},
    {"&", A_AND, B_AND, 0},
    {"\xe2\x88\xa7", A_AND, B_AND, 0},
    {"<=", A_REL, B_REL, 'l'},
    {">=", A_REL, B_REL, 'g'},
    {"!=", A_REL, B_REL, '!'},
    {"==", A_REL, B_REL, '='},
    {"=", A_REL, B_REL, '='},
    {"<", A_REL, B_REL, '<'},
    {">", A_REL, B_REL, '>'},
    {"dvd", A_REL, B_REL, 'd'},
    {"\xe2\x89\xa4", A_REL, B_REL, 'l'},
    {"\xe2\x89\xa5", A_REL, B_REL, 'g'},
    {"\xe2\x89\xa0", A_REL, B_REL, '!'},
    {"+", A_ADD, B_ADD, 0},
    {"-", A_SUB, B_ADD, 0},
    {"\xe2\x88\x92", A_SUB, B_ADD, 0},
    {"*", A_MUL, B_MUL, 0},
    {"\xc2\xb7", A_MUL, B_MUL, 0},
    {"\xc3\x97", A_MUL, B_MUL, 0},
    {"/", A_DIV, B_MUL, 0},
    {"div", A_IDIV, B_MUL, 0},
    {"mod", A_MOD, B_MUL, 0},
    {"%", A_MOD, B_MUL, 0},
    {"^", A_POW, B_POW, 0},
};

/* The operator at r->p, its bytes in *n; A_NONE. A variable right behind a number: times, 0 bytes.
 */
static const op_row *operator_at(arith_reader *r, size_t *n) {
    blanks(r);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        *n = strlen(ops[i].text);
        if ((size_t)(r->end - r->p) < *n || memcmp(r->p, ops[i].text, *n) != 0) continue;
        if (letter(*ops[i].text) && word(r) != *n) continue;
        return &ops[i];
    }
    return NULL;
}

static int32_t expression(arith_reader *r, int bind);

static bool is_bool(const theory *t, int32_t i) {
    return t->node[i].sort == SORT_BOOL;
}

static int32_t two(theory *t, arith_op op, int32_t a, int32_t b) {
    static const struct {
        formula_kind kind;
        bool logic;
    } kinds[] = {[A_IFF] = {L_IFF, true},  [A_IMP] = {L_IMP, true},  [A_OR] = {L_OR, true},
                 [A_AND] = {L_AND, true},  [A_ADD] = {L_ADD, false}, [A_SUB] = {L_SUB, false},
                 [A_MUL] = {L_MUL, false}, [A_DIV] = {L_DIV, false}, [A_IDIV] = {L_IDIV, false},
                 [A_MOD] = {L_MOD, false}};
    if (is_bool(t, a) != kinds[op].logic || is_bool(t, b) != kinds[op].logic)
        return formula_fail(t, kinds[op].logic ? "a number where a formula is wanted"
                                               : "a formula where a number is wanted");
    if ((op == A_IDIV || op == A_MOD) &&
        (t->node[a].sort == SORT_REAL || t->node[b].sort == SORT_REAL))
        return formula_fail(t, "div and mod want int or nat");
    return formula_add(t, kinds[op].kind, 0, FORMULA_NONE, a, b);
}

static int32_t power(theory *t, int32_t a, int32_t b) {
    const formula_node *n = &t->node[b];
    int k = 0;
    if (is_bool(t, a)) return formula_fail(t, "a formula where a number is wanted");
    if (n->kind != L_NUM || n->sort != SORT_NAT || n->b > 2)
        return formula_fail(t, "an exponent that is no small number");
    for (int32_t i = 0; i < n->b; i++) k = 10 * k + (t->text.data[n->a + i] - '0');
    if (k > FORMULA_POWER_MAX) return formula_fail(t, "an exponent that is no small number");
    return formula_add(t, L_POW, (uint8_t)k, FORMULA_NONE, a, FORMULA_NONE);
}

static int32_t compare(theory *t, char rel, int32_t a, int32_t b) {
    if (is_bool(t, a) || is_bool(t, b)) {
        if (rel != '=' || !is_bool(t, a) || !is_bool(t, b))
            return formula_fail(t, "a formula where a number is wanted");
        return formula_add(t, L_IFF, 0, FORMULA_NONE, a, b);
    }
    if (rel == 'd' && (t->node[a].sort == SORT_REAL || t->node[b].sort == SORT_REAL))
        return formula_fail(t, "dvd wants int or nat");
    return formula_add(t, L_CMP, (uint8_t)rel, FORMULA_NONE, a, b);
}

/* a < b = c: both. */
static int32_t chain(arith_reader *r, int32_t a) {
    int32_t all = FORMULA_NONE;
    for (;;) {
        size_t n;
        const op_row *o = operator_at(r, &n);
        if (!o || o->op != A_REL) return all;
        r->p += n;
        int32_t b = expression(r, B_ADD);
        int32_t c = b < 0 ? b : compare(r->t, o->rel, a, b);
        if (c < 0) return c;
        all = all < 0 ? c : formula_add(r->t, L_AND, 0, FORMULA_NONE, all, c);
        if (all < 0) return all;
        a = b;
    }
}

/* A variable and its sort are one symbol: |x int.| */
static int32_t bound_symbol(theory *t, const char *p, size_t n, formula_sort sort) {
    static const char *const sorts[] = {"", " nat", " int", " real", ""};
    char name[FORMULA_NAME_MAX];
    size_t n_sort = strlen(sorts[sort]);
    if (n + n_sort >= sizeof name) return formula_fail(t, "a name is too long");
    memcpy(name, p, n);
    memcpy(name + n, sorts[sort], n_sort);
    return formula_symbol(t, name, n + n_sort, SYM_BOUND, sort);
}

/* "forall int x, y: F" behind the word. */
static int32_t quantified(arith_reader *r, formula_kind kind) {
    formula_sort sort = SORT_REAL;
    int n_before = r->n_scope;
    blanks(r);
    size_t n = word(r);
    bool said = sort_read(&sort, r->p, n);
    if (said) r->p += n;
    if (sort == SORT_BOOL) return formula_fail(r->t, "a quantifier over propositions");
    do {
        blanks(r);
        n = word(r);
        if (n == 0 || r->n_scope == SCOPE_MAX) return formula_fail(r->t, "a variable is wanted");
        int32_t known = formula_find(r->t, r->p, n, SYM_NUMBER);
        if (!said && known >= 0) sort = (formula_sort)r->t->sym[known].sort;
        int32_t v = bound_symbol(r->t, r->p, n, sort);
        if (v < 0) return v;
        r->scope[r->n_scope++] = v;
        r->p += n;
    } while (eat(r, ","));
    if (!eat(r, ":") && !eat(r, ".")) return formula_fail(r->t, "a quantifier without its colon");
    int32_t a = expression(r, B_IFF);
    if (a >= 0 && !is_bool(r->t, a))
        return formula_fail(r->t, "a number where a formula is wanted");
    for (; r->n_scope > n_before; r->n_scope--)
        if (a >= 0) a = formula_add(r->t, kind, 0, r->scope[r->n_scope - 1], a, FORMULA_NONE);
    return a;
}

static int32_t function(arith_reader *r, formula_kind kind, int n_args) {
    if (!eat(r, "(")) return formula_fail(r->t, "a function without its bracket");
    int32_t a = expression(r, B_ADD), b = FORMULA_NONE;
    if (a >= 0 && n_args == 2) {
        if (!eat(r, ",")) return formula_fail(r->t, "a function wants two numbers");
        b = expression(r, B_ADD);
    }
    if (a < 0 || (n_args == 2 && b < 0)) return FORMULA_NONE;
    if (!eat(r, ")")) return formula_fail(r->t, "a bracket is not closed");
    if (is_bool(r->t, a) || (b >= 0 && is_bool(r->t, b)))
        return formula_fail(r->t, "a formula where a number is wanted");
    return formula_add(r->t, kind, 0, FORMULA_NONE, a, b);
}

static int32_t name(arith_reader *r) {
    theory *t = r->t;
    size_t n = word(r);
    const char *p = r->p;
    r->p += n;
    for (int k = r->n_scope; k > 0; k--) {
        const char *bound = t->sym[r->scope[k - 1]].name;
        if (strncmp(bound, p, n) != 0 || bound[n] != ' ') continue;
        return formula_add(t, L_VAR, 0, r->scope[k - 1], FORMULA_NONE, FORMULA_NONE);
    }
    int32_t s = formula_find(t, p, n, SYM_PROP);
    if (s >= 0) return formula_add(t, L_PROP, 0, s, FORMULA_NONE, FORMULA_NONE);
    s = formula_symbol(t, p, n, SYM_NUMBER, SORT_REAL);
    return s < 0 ? s : formula_add(t, L_VAR, 0, s, FORMULA_NONE, FORMULA_NONE);
}

static int32_t number(arith_reader *r) {
    const char *p = r->p, *q = p;
    while (q < r->end && digit(*q)) q++;
    if (q + 1 < r->end && *q == '.' && digit(q[1])) {
        q++;
        while (q < r->end && digit(*q)) q++;
    }
    r->p = q;
    if (q - p > 200) return formula_fail(r->t, "too large");
    return formula_number(r->t, p, (size_t)(q - p));
}

static int32_t prefix(arith_reader *r) {
    theory *t = r->t;
    blanks(r);
    if (r->p >= r->end) return formula_fail(t, "the formula ends too early");
    if (eat(r, "not") || eat(r, "\xc2\xac") || eat(r, "~")) {
        int32_t a = expression(r, B_NOT);
        if (a >= 0 && !is_bool(t, a)) return formula_fail(t, "a number where a formula is wanted");
        return a < 0 ? a : formula_add(t, L_NOT, 0, FORMULA_NONE, a, FORMULA_NONE);
    }
    if (eat(r, "-") || eat(r, "\xe2\x88\x92")) {
        int32_t a = expression(r, B_NEG);
        if (a >= 0 && is_bool(t, a)) return formula_fail(t, "a formula where a number is wanted");
        return a < 0 ? a : formula_add(t, L_NEG, 0, FORMULA_NONE, a, FORMULA_NONE);
    }
    if (eat(r, "(")) {
        int32_t a = expression(r, B_IFF);
        if (a >= 0 && !eat(r, ")")) return formula_fail(t, "a bracket is not closed");
        return a;
    }
    if (eat(r, "forall") || eat(r, "\xe2\x88\x80")) return quantified(r, L_ALL);
    if (eat(r, "exists") || eat(r, "\xe2\x88\x83")) return quantified(r, L_EX);
    if (eat(r, "true") || eat(r, "True"))
        return formula_add(t, L_TRUE, 0, FORMULA_NONE, FORMULA_NONE, FORMULA_NONE);
    if (eat(r, "false") || eat(r, "False"))
        return formula_add(t, L_FALSE, 0, FORMULA_NONE, FORMULA_NONE, FORMULA_NONE);
    if (eat(r, "abs")) return function(r, L_ABS, 1);
    if (eat(r, "min")) return function(r, L_MIN, 2);
    if (eat(r, "max")) return function(r, L_MAX, 2);
    if (digit(*r->p)) return number(r);
    if (word(r) > 0) return name(r);
    return formula_fail(t, "what stands here is not read");
}

/* A number, or minus a number: what a letter may stand beside. */
static bool is_number(const theory *t, int32_t i) {
    if (t->node[i].kind == L_NEG) i = t->node[i].a;
    return t->node[i].kind == L_NUM;
}

static int32_t expression(arith_reader *r, int bind) {
    if (++r->depth > FORMULA_DEPTH_MAX) return formula_fail(r->t, "nested too deeply");
    int32_t a = prefix(r);
    while (a >= 0) {
        size_t n;
        const op_row *o = operator_at(r, &n);
        bool beside = !o && is_number(r->t, a) && (word(r) > 0 || (r->p < r->end && *r->p == '('));
        if (beside) { /* 2x, 3(x + 1) */
            if (bind > B_MUL) break;
            int32_t b = expression(r, B_NEG);
            a = b < 0 ? b : two(r->t, A_MUL, a, b);
            continue;
        }
        if (!o || o->bind < bind) break;
        if (o->op == A_REL) {
            a = chain(r, a);
            continue;
        }
        r->p += n;
        bool right = o->op == A_IMP || o->op == A_POW;
        int32_t b = expression(r, right ? o->bind : o->bind + 1);
        if (b < 0) return b;
        a = o->op == A_POW ? power(r->t, a, b) : two(r->t, o->op, a, b);
    }
    r->depth--;
    return a;
}

int32_t arith_parse(theory *t, const char *text, size_t n) {
    arith_reader r = {.t = t, .p = text, .end = text + n};
    t->why = NULL;
    int32_t f = expression(&r, B_IFF);
    if (f < 0) return f;
    blanks(&r);
    if (r.p < r.end) return formula_fail(t, "text behind the formula");
    if (!is_bool(t, f)) return formula_fail(t, "a number where a formula is wanted");
    return f;
}
