/* FLD's formulas (labels.md 6A). Precedence climbing: what recurses is the depth of brackets and
 * arrows, capped. */
#include "verify/step/formula.h"
#include <string.h>

typedef struct fld_reader {
    theory *t;
    const formula_names *names;
    const char *p, *end;
    int depth;
} fld_reader;

enum { BIND_IMP = 1, BIND_OR, BIND_AND, BIND_NOT };

static void blanks(fld_reader *r) {
    while (r->p < r->end && (unsigned char)*r->p <= ' ') r->p++;
}
static bool eat(fld_reader *r, const char *what) {
    size_t n = strlen(what);
    blanks(r);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, what, n) != 0) return false;
    r->p += n;
    return true;
}
static bool lower(char c) {
    return c >= 'a' && c <= 'z';
}
static bool upper(char c) {
    return c >= 'A' && c <= 'Z';
}
static bool wordly(char c) {
    return lower(c) || upper(c) || (c >= '0' && c <= '9') || c == '_';
}

/* {name}: its first letter says what it is. */
static bool braces(fld_reader *r, const char **name, size_t *n) {
    if (r->p >= r->end || *r->p != '{') return false;
    const char *q = r->p + 1;
    while (q < r->end && wordly(*q)) q++;
    if (q >= r->end || *q != '}' || q == r->p + 1) return false;
    *name = r->p + 1;
    *n = (size_t)(q - *name);
    r->p = q + 1;
    return true;
}

/* A variable: one small letter, digits behind it. Not "v", the or. */
static size_t variable(const fld_reader *r) {
    const char *q = r->p;
    if (q >= r->end || !lower(*q) || *q == 'v') return 0;
    q++;
    while (q < r->end && *q >= '0' && *q <= '9') q++;
    return q < r->end && wordly(*q) ? 0 : (size_t)(q - r->p);
}

static int32_t expression(fld_reader *r, int bind);

/* "(x):" and "(Ex):"; 0: none here. */
static formula_kind quantifier(fld_reader *r, const char **name, size_t *n) {
    fld_reader q = *r;
    formula_kind kind = L_ALL;
    if (!eat(&q, "(")) return L_TRUE;
    if (q.p < q.end && *q.p == 'E') {
        kind = L_EX;
        q.p++;
    }
    *n = variable(&q);
    *name = q.p;
    if (*n == 0) return L_TRUE;
    q.p += *n;
    if (!eat(&q, ")") || !eat(&q, ":")) return L_TRUE;
    r->p = q.p;
    return kind;
}

static int32_t atom(fld_reader *r) {
    const char *name, *arg;
    size_t n, n_arg;
    theory *t = r->t;
    if (braces(r, &name, &n)) {
        if (!upper(*name)) return formula_fail(t, "a constant where a predicate is wanted");
        if (braces(r, &arg, &n_arg)) {
            if (upper(*arg)) return formula_fail(t, "a predicate where a constant is wanted");
            int32_t p = formula_symbol(t, name, n, SYM_PRED, SORT_THING);
            int32_t c = formula_symbol(t, arg, n_arg, SYM_CONST, SORT_THING);
            return p < 0 || c < 0 ? FORMULA_NONE : formula_add(t, L_PRED, 0, p, c, FORMULA_NONE);
        }
        size_t n_var = variable(r);
        if (n_var > 0) {
            int32_t p = formula_symbol(t, name, n, SYM_PRED, SORT_THING);
            int32_t v = formula_symbol(t, r->p, n_var, SYM_BOUND, SORT_THING);
            r->p += n_var;
            return p < 0 || v < 0 ? FORMULA_NONE : formula_add(t, L_PRED, 1, p, v, FORMULA_NONE);
        }
        int32_t p = formula_symbol(t, name, n, SYM_PROP, SORT_THING);
        return p < 0 ? p : formula_add(t, L_PROP, 0, p, FORMULA_NONE, FORMULA_NONE);
    }
    const char *q = r->p;
    while (q < r->end && wordly(*q)) q++;
    if (q == r->p) return formula_fail(t, "a formula is wanted");
    int32_t f = formula_names_get(r->names, r->p, (size_t)(q - r->p));
    if (f < 0) return formula_fail(t, "refers to what nothing defines");
    r->p = q;
    return f;
}

static int32_t prefix(fld_reader *r) {
    const char *name;
    size_t n;
    theory *t = r->t;
    if (eat(r, "\xc2\xac") || eat(r, "~")) {
        int32_t a = expression(r, BIND_NOT);
        return a < 0 ? a : formula_add(t, L_NOT, 0, FORMULA_NONE, a, FORMULA_NONE);
    }
    formula_kind kind = quantifier(r, &name, &n);
    if (kind != L_TRUE) {
        int32_t v = formula_symbol(t, name, n, SYM_BOUND, SORT_THING);
        int32_t a = v < 0 ? v : expression(r, BIND_IMP);
        return a < 0 ? a : formula_add(t, kind, 0, v, a, FORMULA_NONE);
    }
    if (eat(r, "(")) {
        int32_t a = expression(r, BIND_IMP);
        if (a >= 0 && !eat(r, ")")) return formula_fail(t, "a bracket is not closed");
        return a;
    }
    return atom(r);
}

static int operator_at(fld_reader *r, formula_kind *kind, size_t *n) {
    static const struct {
        const char *text;
        formula_kind kind;
        int bind;
    } table[] = {{"->", L_IMP, BIND_IMP},
                 {"&", L_AND, BIND_AND},
                 {"\xe2\x88\xa7", L_AND, BIND_AND},
                 {"\xe2\x88\xa8", L_OR, BIND_OR},
                 {"v", L_OR, BIND_OR},
                 {",", L_AND, BIND_AND}}; /* between references */
    blanks(r);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        *n = strlen(table[i].text);
        if ((size_t)(r->end - r->p) < *n || memcmp(r->p, table[i].text, *n) != 0) continue;
        if (table[i].text[0] == 'v' && r->p + 1 < r->end && wordly(r->p[1])) continue;
        *kind = table[i].kind;
        return table[i].bind;
    }
    return 0;
}

static int32_t expression(fld_reader *r, int bind) {
    if (++r->depth > FORMULA_DEPTH_MAX) return formula_fail(r->t, "nested too deeply");
    int32_t a = prefix(r);
    while (a >= 0) {
        formula_kind kind;
        size_t n;
        int b = operator_at(r, &kind, &n);
        if (b == 0 || b < bind) break;
        r->p += n;
        int32_t c = expression(r, kind == L_IMP ? b : b + 1); /* -> to the right */
        a = c < 0 ? c : formula_add(r->t, kind, 0, FORMULA_NONE, a, c);
    }
    r->depth--;
    return a;
}

/* Every variable stands under its quantifier. Nodes before n_old belong to formulas that were read
 * before and are closed: a walk through them would double with every name that cites one twice. */
static bool closed(const theory *t, int32_t i, int32_t n_old, const int32_t *bound, int n_bound) {
    const formula_node *n = &t->node[i];
    if (i < n_old) return true;
    if (n->kind == L_PRED) {
        if (t->sym[n->a].kind != SYM_BOUND) return true;
        for (int k = 0; k < n_bound; k++)
            if (bound[k] == n->a) return true;
        return false;
    }
    if (n->kind == L_ALL || n->kind == L_EX) {
        int32_t more[16];
        if (n_bound == 16) return false;
        memcpy(more, bound, (size_t)n_bound * sizeof *more);
        more[n_bound] = n->sym;
        return closed(t, n->a, n_old, more, n_bound + 1);
    }
    return (n->a < 0 || closed(t, n->a, n_old, bound, n_bound)) &&
           (n->b < 0 || closed(t, n->b, n_old, bound, n_bound));
}

int32_t fld_parse(theory *t, const formula_names *names, const char *text, size_t n) {
    fld_reader r = {t, names, text, text + n, 0};
    static const int32_t none[1];
    const int32_t n_old = t->n;
    t->why = NULL;
    int32_t f = expression(&r, BIND_IMP);
    if (f < 0) return f;
    blanks(&r);
    if (r.p < r.end) return formula_fail(t, "text behind the formula");
    if (!closed(t, f, n_old, none, 0)) return formula_fail(t, "a variable without its quantifier");
    return f;
}
