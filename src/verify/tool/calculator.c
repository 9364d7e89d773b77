/* A calculator with names: exact values by the maths verifier's trees. Names are put in as text,
 * in brackets, so that a line is read as one that a person had written out. */
#include "rung/tool.h"
#include "verify/form.h"
#include <string.h>

enum { NAMES_MAX = 256, NAME_MAX_BYTES = 32, DECIMALS = 15, BITS = 256 };

typedef struct name {
    char text[NAME_MAX_BYTES];
    char *value; /* "(7/2)" */
} name;

struct rung_calculator {
    name *name;
    int32_t n;
    expr *x;
    rung_buf line; /* with the names put in */
};

rung_status rung_calculator_new(rung_calculator **out, rung_error *err) {
    *out = NULL;
    rung_calculator *c = rung_calloc(1, sizeof *c);
    if (c) c->name = rung_calloc(NAMES_MAX, sizeof *c->name);
    if (c) c->x = rung_alloc(sizeof *c->x);
    if (!c || !c->name || !c->x) {
        rung_calculator_free(c);
        return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    }
    rung_buf_init(&c->line, 1 << 16);
    *out = c;
    return RUNG_OK;
}

void rung_calculator_free(rung_calculator *c) {
    if (!c) return;
    for (int32_t i = 0; i < c->n; i++) rung_free(c->name[i].value);
    rung_buf_clear(&c->line);
    rung_free(c->name);
    rung_free(c->x);
    rung_free(c);
}

static bool digit(char c) {
    return c >= '0' && c <= '9';
}
static bool letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Bytes of the name that p[0, n) begins with; 0 none. */
static size_t name_at(const char *p, size_t n) {
    size_t k = 0;
    if (n == 0 || !letter(p[0])) return 0;
    while (k < n && (letter(p[k]) || digit(p[k]))) k++;
    return k;
}

static bool is(const char *p, size_t n, const char *word) {
    return strlen(word) == n && memcmp(p, word, n) == 0;
}

/* Words that have a meaning of their own. */
static bool is_taken(const char *p, size_t n) {
    static const char *const words[] = {"e", "i", "pi", "floor", "ceil"};
    for (size_t k = 0; k < sizeof words / sizeof *words; k++)
        if (is(p, n, words[k])) return true;
    for (uint8_t f = 0; f < FN_COUNT; f++)
        if (is(p, n, expr_fn_name(f))) return true;
    return false;
}

static name *find(rung_calculator *c, const char *p, size_t n) {
    for (int32_t i = 0; i < c->n; i++)
        if (is(p, n, c->name[i].text)) return &c->name[i];
    return NULL;
}

/* 6e23: the e belongs to the number. */
static size_t exponent_at(const char *p, size_t n) {
    size_t k = 1;
    if (n < 2 || (p[0] != 'e' && p[0] != 'E')) return 0;
    if (p[k] == '+' || p[k] == '-') k++;
    if (k >= n || !digit(p[k])) return 0;
    while (k < n && digit(p[k])) k++;
    return k < n && letter(p[k]) ? 0 : k;
}

/* The line with values in the place of names, == as =; NULL, or a name that nothing defines. */
static const char *put_names(rung_calculator *c, const char *p, size_t n, size_t *n_unknown) {
    rung_buf *b = &c->line;
    rung_buf_reset(b);
    for (size_t i = 0; i < n;) {
        bool behind_number = i > 0 && (digit(p[i - 1]) || p[i - 1] == '.');
        size_t k = behind_number ? exponent_at(p + i, n - i) : 0;
        if (p[i] == '\\') { /* a command of LaTeX, whole */
            k = 1;
            while (i + k < n && letter(p[i + k]) && p[i + k] != '_') k++;
        } else if (k == 0 && (k = name_at(p + i, n - i)) > 0) {
            const name *v = find(c, p + i, k);
            if (!v && !is_taken(p + i, k)) {
                *n_unknown = k;
                return p + i;
            }
            if (v) {
                rung_buf_str(b, v->value);
                i += k;
                continue;
            }
        }
        if (k == 0) k = 1;
        if (p[i] == '=' && i > 0 && p[i - 1] == '=') {
            i++;
            continue;
        }
        rung_buf_append(b, p + i, k);
        i += k;
    }
    rung_buf_str(b, "");
    return NULL;
}

/* ---- values */

static void put_decimal(rung_buf *b, const acb_t z) {
    char *re = arb_get_str(acb_realref(z), DECIMALS, ARB_STR_NO_RADIUS);
    rung_buf_str(b, re);
    flint_free(re);
    if (arb_is_zero(acb_imagref(z))) return;
    char *im = arb_get_str(acb_imagref(z), DECIMALS, ARB_STR_NO_RADIUS);
    rung_buf_printf(b, " + (%s) i", im);
    flint_free(im);
}

static void put_rational(rung_buf *b, const fmpq_t q) {
    char *text = fmpq_get_str(NULL, 10, q);
    rung_buf_str(b, text);
    flint_free(text);
}

/* "7/2", "1 + (2) i", and as a decimal behind it where that says more. */
static void put_exact(rung_buf *b, const gauss *g, bool decimal) {
    acb_t z;
    put_rational(b, g->re);
    if (!fmpq_is_zero(g->im)) {
        rung_buf_str(b, " + (");
        put_rational(b, g->im);
        rung_buf_str(b, ") i");
    }
    bool whole = fmpz_is_one(fmpq_denref(g->re)) && fmpz_is_one(fmpq_denref(g->im));
    if (!decimal || whole) return;
    acb_init(z);
    arb_set_fmpq(acb_realref(z), g->re, BITS);
    arb_set_fmpq(acb_imagref(z), g->im, BITS);
    rung_buf_str(b, " (");
    put_decimal(b, z);
    rung_buf_str(b, ")");
    acb_clear(z);
}

static const char *why_no_value(value_state s) {
    return s == VALUE_UNDEFINED ? "not defined" : s == VALUE_BUDGET ? "too large" : "no number";
}

/* A whole number that a constant is by proof, where it looks like one: sqrt(2)^2. */
static bool proven_whole(rung_buf *out, rung_buf *text, expr *x, uint16_t i, const acb_t z) {
    fmpz_t n;
    fmpz_init(n);
    work w = {WORK_MAX};
    bool same = arb_is_zero(acb_imagref(z)) && arb_get_unique_fmpz(n, acb_realref(z)) &&
                fmpz_bits(n) < EXACT_BITS_MAX;
    if (same) {
        bool neg = fmpz_sgn(n) < 0;
        char *digits = fmpz_get_str(NULL, 10, n);
        uint16_t k = expr_add_text(x, X_NUM, digits + neg, strlen(digits + neg));
        if (neg && k != EXPR_NONE) k = expr_add(x, X_NEG, 0, &k, 1);
        decision d = {.verdict = RUNG_VERDICT_UNKNOWN};
        if (k != EXPR_NONE) d = scalar_compare(&w, x, i, x, k);
        same = d.verdict == RUNG_VERDICT_CORRECT && strcmp(d.rule, "numeric") != 0;
        if (same) {
            rung_buf_str(out, digits);
            rung_buf_printf(text, "(%s)", digits);
        }
        flint_free(digits);
    }
    fmpz_clear(n);
    return same;
}

/* The value of a node: out gets what is shown, text what stands for it in later lines; the error,
 * or NULL. */
static const char *value_of(rung_buf *out, rung_buf *text, expr *x, uint16_t i) {
    work w = {WORK_MAX};
    gauss g;
    gauss_init(&g);
    value_state s = gauss_eval(&g, &w, x, i, NULL);
    if (s == VALUE_OK) {
        put_exact(out, &g, true);
        rung_buf_str(text, "(");
        put_exact(text, &g, false);
        rung_buf_str(text, ")");
    }
    gauss_clear(&g);
    if (s != VALUE_OPEN) return s == VALUE_OK ? NULL : why_no_value(s);
    ball_env e = {.w = &w, .bits = BITS};
    acb_t z;
    acb_init(z);
    s = ball_eval(z, &e, x, i);
    if (s == VALUE_OK && !acb_is_finite(z)) s = VALUE_UNDEFINED;
    if (s == VALUE_OK && !proven_whole(out, text, x, i, z)) {
        expr_print(out, x, i);
        rung_buf_str(out, " (");
        put_decimal(out, z);
        rung_buf_str(out, ")");
        rung_buf_str(text, "(");
        expr_print(text, x, i);
        rung_buf_str(text, ")");
    }
    acb_clear(z);
    return s == VALUE_OK ? NULL : why_no_value(s);
}

/* ---- relations */

/* -1, 0, 1 of left - right, both real; 2: not told. */
static int order(const expr *x, uint16_t l, uint16_t r) {
    work w = {WORK_MAX};
    int found = 2;
    gauss a, b;
    gauss_init(&a), gauss_init(&b);
    bool exact = gauss_eval(&a, &w, x, l, NULL) == VALUE_OK &&
                 gauss_eval(&b, &w, x, r, NULL) == VALUE_OK && fmpq_is_zero(a.im) &&
                 fmpq_is_zero(b.im);
    if (exact) found = fmpq_cmp(a.re, b.re);
    gauss_clear(&a), gauss_clear(&b);
    if (exact) return found < 0 ? -1 : found > 0;
    ball_env e = {.w = &w, .bits = BITS};
    acb_t y, z;
    acb_init(y), acb_init(z);
    if (ball_eval(y, &e, x, l) == VALUE_OK && ball_eval(z, &e, x, r) == VALUE_OK &&
        acb_is_real(y) && acb_is_real(z)) {
        if (arb_lt(acb_realref(y), acb_realref(z))) found = -1;
        if (arb_gt(acb_realref(y), acb_realref(z))) found = 1;
    }
    acb_clear(y), acb_clear(z);
    return found;
}

static rung_verdict holds(const expr *x, uint16_t i) {
    const expr_node *n = expr_at(x, i);
    uint16_t l = expr_kid(x, i, 0), r = expr_kid(x, i, 1);
    if (n->kind == X_AND) {
        rung_verdict a = holds(x, l), b = holds(x, r);
        if (a == RUNG_VERDICT_WRONG || b == RUNG_VERDICT_WRONG) return RUNG_VERDICT_WRONG;
        return a == RUNG_VERDICT_CORRECT ? b : RUNG_VERDICT_UNKNOWN;
    }
    if (n->kind != X_REL || n->op == REL_IN) return RUNG_VERDICT_UNKNOWN;
    work w = {WORK_MAX};
    rung_verdict same = scalar_compare(&w, x, l, x, r).verdict;
    if (n->op == REL_EQ) return same;
    if (n->op == REL_NE)
        return same == RUNG_VERDICT_UNKNOWN ? same
               : same == RUNG_VERDICT_WRONG ? RUNG_VERDICT_CORRECT
                                            : RUNG_VERDICT_WRONG;
    int o = same == RUNG_VERDICT_CORRECT ? 0 : order(x, l, r);
    if (o == 2) return RUNG_VERDICT_UNKNOWN;
    bool yes = n->op == REL_LT   ? o < 0
               : n->op == REL_LE ? o <= 0
               : n->op == REL_GT ? o > 0
                                 : o >= 0;
    return yes ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG;
}

/* ---- lines */

static const char *define(rung_calculator *c, const char *p, size_t n, char *value) {
    name *v = find(c, p, n);
    if (!v && c->n == NAMES_MAX) return "too many names";
    if (!v) {
        v = &c->name[c->n++];
        memcpy(v->text, p, n);
        v->text[n] = '\0';
    }
    rung_free(v->value);
    v->value = value;
    return NULL;
}

static bool blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

/* "name = expression": bytes of the name, and where the expression begins; 0: another line. */
static size_t named(const char *p, size_t n, size_t *begin) {
    size_t k = name_at(p, n), i = k;
    while (i < n && blank(p[i])) i++;
    if (k == 0 || i >= n || p[i] != '=' || (i + 1 < n && p[i + 1] == '=')) return 0;
    *begin = i + 1;
    return k;
}

static const char *one_line(rung_buf *out, rung_calculator *c, const char *p, size_t n) {
    size_t begin = 0, n_unknown = 0, n_name = named(p, n, &begin);
    if (n_name >= NAME_MAX_BYTES) return "a name of more than 31 bytes";
    if (n_name > 0 && is_taken(p, n_name)) return "that name has a meaning of its own";
    const char *unknown = put_names(c, p + begin, n - begin, &n_unknown);
    if (unknown) {
        rung_buf_printf(out, "error: %.*s is not defined\n", (int)(n_unknown < 80 ? n_unknown : 80),
                        unknown);
        return "";
    }
    if (c->line.failed || c->line.n > EXPR_TEXT_MAX) return "too long";
    if (!expr_parse(c->x, c->line.data ? c->line.data : "", c->line.n)) return c->x->error;
    const expr_node *root = expr_at(c->x, c->x->root);
    if (n_name == 0 && (root->kind == X_REL || root->kind == X_AND)) {
        rung_verdict v = holds(c->x, c->x->root);
        rung_buf_str(out, v == RUNG_VERDICT_CORRECT ? "true\n"
                          : v == RUNG_VERDICT_WRONG ? "false\n"
                                                    : "unknown\n");
        return NULL;
    }
    rung_buf shown, text;
    rung_buf_init(&shown, 1 << 16);
    rung_buf_init(&text, 1 << 16);
    const char *why = value_of(&shown, &text, c->x, c->x->root);
    if (!why && (shown.failed || text.failed)) why = "too large";
    if (!why && n_name > 0) {
        char *value = rung_buf_take(&text, NULL);
        why = value ? define(c, p, n_name, value) : "no memory";
        if (why) rung_free(value);
        if (!why) rung_buf_printf(out, "%.*s = ", (int)n_name, p);
    }
    if (!why) rung_buf_printf(out, "%s\n", shown.data);
    rung_buf_clear(&shown);
    rung_buf_clear(&text);
    return why;
}

rung_status rung_calculator_run(rung_buf *out, int32_t *n_bad, rung_calculator *c,
                                const char *block, size_t n, rung_error *err) {
    int32_t bad = 0;
    eval_thread();
    for (size_t i = 0; i < n;) {
        const char *end = memchr(block + i, '\n', n - i);
        size_t len = end ? (size_t)(end - (block + i)) : n - i;
        const char *p = block + i;
        i += len + 1;
        while (len > 0 && blank(*p)) p++, len--;
        while (len > 0 && blank(p[len - 1])) len--;
        if (len == 0 || *p == '#') continue;
        const char *why = one_line(out, c, p, len);
        bad += why != NULL;
        if (why && *why) rung_buf_printf(out, "error: %s\n", why);
    }
    if (n_bad) *n_bad = bad;
    return rung_buf_check(out, err);
}
