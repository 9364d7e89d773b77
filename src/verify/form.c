/* Answers as mathematical objects. What is taken off or rewritten first: a unit at the end,
 * "x =" before a constant, "x \in" before a set, a plus-minus (two values), chains of inequalities
 * (an interval), linear equations in one letter (their root). */
#include "verify/form.h"
#include <stdlib.h>
#include <string.h>

enum { SET_MAX = 64 }; /* elements that are matched against each other */

static uint16_t add2(expr *x, expr_kind kind, uint8_t op, uint16_t a, uint16_t b) {
    return expr_add(x, kind, op, (uint16_t[]){a, b}, 2);
}

static bool is_group(uint8_t kind) {
    return kind == X_TUPLE || kind == X_SET || kind == X_LIST || kind == X_UNION ||
           kind == X_INTER || kind == X_MINUS || kind == X_MATRIX || kind == X_REL ||
           kind == X_AND || kind == X_TEXT || kind == X_RATIO;
}

static bool is_constant(const expr *x, uint16_t i) {
    expr_vars v = {0};
    return expr_vars_add(&v, x, i) && v.n == 0;
}

/* ---- plus-minus ---- */

static bool has_pm(const expr *x, uint16_t i) {
    return expr_contains(x, i, X_PM) || expr_contains(x, i, X_MP);
}

/* A copy with every plus-minus decided. */
static uint16_t with_sign(expr *x, uint16_t i, bool upper) {
    expr_node n = x->node[i];
    uint16_t kid[4];
    if (i == EXPR_NONE || n.n_kids > 4 || !has_pm(x, i)) return i;
    for (size_t k = 0; k < n.n_kids; k++) kid[k] = with_sign(x, expr_kid(x, i, k), upper);
    uint16_t made;
    if (n.kind == X_PM || n.kind == X_MP) {
        bool plus = (n.kind == X_PM) == upper;
        if (n.n_kids == 2) return add2(x, plus ? X_ADD : X_SUB, 0, kid[0], kid[1]);
        return plus ? kid[0] : expr_add(x, X_NEG, 0, kid, 1);
    }
    made = expr_add(x, (expr_kind)n.kind, n.op, kid, n.n_kids);
    if (made == EXPR_NONE) return made;
    x->node[made].off = n.off;
    x->node[made].len = n.len;
    return made;
}

/* ---- lists ---- */

typedef struct items {
    size_t n;
    uint16_t at[SET_MAX];
    bool over;
} items;

static void item_put(items *t, uint16_t i) {
    if (t->n == SET_MAX || i == EXPR_NONE) {
        t->over = true;
    } else {
        t->at[t->n++] = i;
    }
}

static bool assigned(const expr *x, uint16_t i) {
    const expr_node *n = expr_at(x, i);
    return n->kind == X_REL && n->op == REL_EQ && expr_at(x, expr_kid(x, i, 0))->kind == X_VAR &&
           !is_group(expr_at(x, expr_kid(x, i, 1))->kind) && is_constant(x, expr_kid(x, i, 1));
}

static bool same_name(const expr *x, uint16_t i, uint16_t k) {
    return expr_same(x, expr_kid(x, i, 0), x, expr_kid(x, k, 0));
}

/* "x = 1 or x = 2", "x = 1, 2": one letter in all of them, which is taken off. */
static bool one_letter(const expr *x, uint16_t list) {
    const expr_node *n = expr_at(x, list);
    uint16_t first = expr_kid(x, list, 0);
    if (!assigned(x, first)) return false;
    for (size_t k = 1; k < n->n_kids; k++) {
        uint16_t i = expr_kid(x, list, k);
        if (assigned(x, i) ? !same_name(x, first, i)
                           : is_group(expr_at(x, i)->kind) || !is_constant(x, i))
            return false;
    }
    return true;
}

static void spread(expr *x, items *out, uint16_t i, bool strip) {
    if (strip && assigned(x, i)) i = expr_kid(x, i, 1);
    if (!is_group(expr_at(x, i)->kind) && has_pm(x, i)) {
        item_put(out, with_sign(x, i, true));
        item_put(out, with_sign(x, i, false));
    } else {
        item_put(out, i);
    }
}

static void take_name(form *f, uint16_t var) {
    const expr_node *n = expr_at(f->x, var);
    size_t len = n->len < sizeof f->variable ? n->len : sizeof f->variable - 1;
    memcpy(f->variable, f->x->text + n->off, len);
    f->variable[len] = '\0';
}

/* Lists and sets with every plus-minus spread out; a lone plus-minus becomes a list of two. */
static uint16_t spread_list(form *f, uint16_t i) {
    expr *x = f->x;
    items t = {0};
    const expr_node n = *expr_at(x, i);
    bool list = n.kind == X_LIST || n.kind == X_SET;
    if (!list && (is_group(n.kind) || !has_pm(x, i))) return i;
    bool strip = list && n.n_kids > 0 && one_letter(x, i);
    if (strip) take_name(f, expr_kid(x, expr_kid(x, i, 0), 0));
    if (list) {
        for (size_t k = 0; k < n.n_kids; k++) spread(x, &t, expr_kid(x, i, k), strip);
    } else {
        spread(x, &t, i, false);
    }
    if (t.over) return i;
    return expr_add(x, n.kind == X_SET ? X_SET : X_LIST, 0, t.at, t.n);
}

/* ---- inequalities as intervals ---- */

static uint16_t infinity(expr *x, bool minus) {
    uint16_t i = expr_add(x, X_INF, 0, NULL, 0);
    return minus ? expr_add(x, X_NEG, 0, &i, 1) : i;
}

/* x > 5, 5 < x: the letter's bound; upper: the letter is below it. */
static bool bound_of(const expr *x, uint16_t rel, uint16_t *var, uint16_t *limit, bool *upper,
                     bool *closed) {
    const expr_node *n = expr_at(x, rel);
    if (n->kind != X_REL || n->op < REL_LT || n->op > REL_GE) return false;
    uint16_t l = expr_kid(x, rel, 0), r = expr_kid(x, rel, 1);
    bool less = n->op == REL_LT || n->op == REL_LE;
    bool left = expr_at(x, l)->kind == X_VAR;
    *var = left ? l : r;
    *limit = left ? r : l;
    *upper = left == less;
    *closed = n->op == REL_LE || n->op == REL_GE;
    return expr_at(x, *var)->kind == X_VAR && is_constant(x, *limit) &&
           !is_group(expr_at(x, *limit)->kind);
}

static uint16_t interval(form *f, uint16_t i) {
    expr *x = f->x;
    uint16_t v, w, a, b;
    bool up, up2, closed, closed2;
    if (expr_at(x, i)->kind == X_REL) {
        if (!bound_of(x, i, &v, &a, &up, &closed)) return i;
        take_name(f, v);
        uint8_t side = closed ? (up ? 2 : 1) : 0;
        return up ? add2(x, X_TUPLE, side, infinity(x, true), a)
                  : add2(x, X_TUPLE, side, a, infinity(x, false));
    }
    if (expr_at(x, i)->kind != X_AND) return i;
    if (!bound_of(x, expr_kid(x, i, 0), &v, &a, &up, &closed) ||
        !bound_of(x, expr_kid(x, i, 1), &w, &b, &up2, &closed2) || up == up2 ||
        !expr_same(x, v, x, w))
        return i;
    take_name(f, v);
    uint8_t left = (uint8_t)(up ? closed2 : closed), right = (uint8_t)(up ? closed : closed2);
    return add2(x, X_TUPLE, (uint8_t)(left | right << 1), up ? b : a, up ? a : b);
}

/* ---- equations ---- */

static uint16_t number_node(expr *x, const fmpq_t q) {
    char *num = fmpz_get_str(NULL, 10, fmpq_numref(q)),
         *den = fmpz_get_str(NULL, 10, fmpq_denref(q));
    bool neg = num[0] == '-';
    uint16_t a = expr_add_text(x, X_NUM, num + neg, strlen(num) - neg);
    if (strcmp(den, "1") != 0) a = add2(x, X_DIV, 0, a, expr_add_text(x, X_NUM, den, strlen(den)));
    if (neg && a != EXPR_NONE) a = expr_add(x, X_NEG, 0, &a, 1);
    flint_free(num);
    flint_free(den);
    return a;
}

static uint16_t solved(form *f, uint16_t i, work *w) {
    expr *x = f->x;
    const expr_node *n = expr_at(x, i);
    if (n->kind != X_REL) return i;
    uint16_t l = expr_kid(x, i, 0), r = expr_kid(x, i, 1);
    if (n->op == REL_IN && expr_at(x, l)->kind == X_VAR) {
        take_name(f, l);
        return r;
    }
    if (n->op != REL_EQ || is_group(expr_at(x, l)->kind)) return i;
    bool value = expr_at(x, r)->kind == X_TUPLE || expr_at(x, r)->kind == X_MATRIX ||
                 expr_at(x, r)->kind == X_SET || is_constant(x, r);
    if (expr_at(x, l)->kind == X_VAR && value) { /* x = 5, v = (1, 2) */
        take_name(f, l);
        return r;
    }
    if (expr_at(x, r)->kind == X_VAR && is_constant(x, l)) {
        take_name(f, r);
        return l;
    }
    if (is_group(expr_at(x, r)->kind)) return i;
    fmpq_t root;
    expr_vars vars = {0};
    uint16_t out = i;
    fmpq_init(root);
    if (expr_vars_add(&vars, x, i) && vars.n == 1 && poly_linear_root(root, w, x, l, r)) {
        out = number_node(x, root);
        memcpy(f->variable, vars.name[0], sizeof vars.name[0]);
        if (out == EXPR_NONE) out = i;
    }
    fmpq_clear(root);
    return out;
}

static uint16_t without_unit(form *f, uint16_t i) {
    expr *x = f->x;
    const expr_node *n = expr_at(x, i);
    if (n->kind != X_UNIT) return i;
    f->has_unit = unit_read(&f->u, x->text + n->off, n->len);
    return expr_kid(x, i, 0);
}

bool form_make(form *f, expr *x, work *w, const char *text, size_t n) {
    *f = (form){.x = x, .u = {{0}, 1, 1}};
    if (!expr_parse(x, text, n)) return false;
    uint16_t i = without_unit(f, x->root);
    i = solved(f, i, w);
    i = without_unit(f, i);
    i = interval(f, i);
    uint16_t list = spread_list(f, i);
    f->root = list == EXPR_NONE ? i : list;
    x->error = NULL; /* a rewriting that found no room leaves the tree as it was */
    return true;
}

/* ---- keys ---- */

static void node_key(rung_buf *out, const expr *x, uint16_t i, work *w);

typedef struct key_text {
    char *p;
} key_text;

static int by_text(const void *a, const void *b) {
    return strcmp(((const key_text *)a)->p, ((const key_text *)b)->p);
}

/* Sorted, and for sets without repetition. */
static void sorted_keys(rung_buf *out, const expr *x, uint16_t i, work *w, bool once) {
    const expr_node *n = expr_at(x, i);
    size_t n_kids = n->n_kids;
    key_text *k = rung_calloc(n_kids + 1, sizeof *k);
    if (!k) {
        out->failed = true;
        return;
    }
    for (size_t c = 0; c < n_kids; c++) {
        rung_buf one;
        rung_buf_init(&one, 1 << 16);
        node_key(&one, x, expr_kid(x, i, c), w);
        k[c].p = rung_buf_take(&one, NULL);
        if (!k[c].p) k[c].p = rung_strdup("?");
    }
    qsort(k, n_kids, sizeof *k, by_text);
    for (size_t c = 0; c < n_kids; c++)
        if (!once || c == 0 || strcmp(k[c].p, k[c - 1].p) != 0) rung_buf_printf(out, "%s;", k[c].p);
    for (size_t c = 0; c < n_kids; c++) rung_free(k[c].p);
    rung_free(k);
}

static void put_folded(rung_buf *out, const char *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char c = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] | 0x20) : p[i];
        if (c != ' ' && c != '.') rung_buf_append(out, &c, 1);
    }
}

static void relation_key(rung_buf *out, const expr *x, uint16_t i, work *w) {
    const expr_node *n = expr_at(x, i);
    static const char *const names[] = {"e:", "ne:", "gt:", "ge:", "gt:", "ge:", "in:"};
    bool flip = n->op == REL_LT || n->op == REL_LE, sign = n->op >= REL_LT && n->op <= REL_GE;
    uint16_t l = expr_kid(x, i, flip ? 1 : 0), r = expr_kid(x, i, flip ? 0 : 1);
    size_t before;
    rung_buf_str(out, names[n->op]);
    before = out->n;
    if (n->op != REL_IN && !is_group(expr_at(x, l)->kind) && !is_group(expr_at(x, r)->kind) &&
        poly_equation(out, w, x, l, r, sign))
        return;
    out->n = before;
    if (!out->failed && out->data) out->data[before] = '\0';
    expr_print(out, x, l);
    rung_buf_str(out, "=");
    expr_print(out, x, r);
}

/* a : b with rational terms. */
static bool ratio_value(fmpq_t q, work *w, const expr *x, uint16_t i) {
    gauss a, b;
    gauss_init(&a);
    gauss_init(&b);
    bool ok = gauss_eval(&a, w, x, expr_kid(x, i, 0), NULL) == VALUE_OK &&
              gauss_eval(&b, w, x, expr_kid(x, i, 1), NULL) == VALUE_OK && fmpq_is_zero(a.im) &&
              fmpq_is_zero(b.im) && !fmpq_is_zero(b.re);
    if (ok) fmpq_div(q, a.re, b.re);
    gauss_clear(&a);
    gauss_clear(&b);
    return ok;
}

static void node_key(rung_buf *out, const expr *x, uint16_t i, work *w) {
    const expr_node *n = expr_at(x, i);
    if (out->failed) return;
    switch (n->kind) {
    case X_SET:
    case X_LIST:
        rung_buf_str(out, "{");
        sorted_keys(out, x, i, w, n->kind == X_SET);
        rung_buf_str(out, "}");
        break;
    case X_TUPLE:
    case X_MATRIX:
        rung_buf_printf(out, "%s%u(", n->kind == X_TUPLE ? "t" : "m", n->op);
        for (size_t k = 0; k < n->n_kids; k++) {
            node_key(out, x, expr_kid(x, i, k), w);
            rung_buf_str(out, ";");
        }
        rung_buf_str(out, ")");
        break;
    case X_UNION:
    case X_INTER: {
        rung_buf_printf(out, "%s(", n->kind == X_UNION ? "u" : "n");
        sorted_keys(out, x, i, w, true);
        rung_buf_str(out, ")");
        break;
    }
    case X_REL: relation_key(out, x, i, w); break;
    case X_AND:
    case X_MINUS:
        rung_buf_str(out, n->kind == X_AND ? "and(" : "minus(");
        node_key(out, x, expr_kid(x, i, 0), w);
        rung_buf_str(out, ";");
        node_key(out, x, expr_kid(x, i, 1), w);
        rung_buf_str(out, ")");
        break;
    case X_RATIO: {
        fmpq_t q;
        fmpq_init(q);
        rung_buf_str(out, "r:");
        if (ratio_value(q, w, x, i)) {
            char *t = fmpq_get_str(NULL, 10, q);
            rung_buf_str(out, t);
            flint_free(t);
        } else {
            expr_print(out, x, i);
        }
        fmpq_clear(q);
        break;
    }
    case X_TEXT:
        rung_buf_str(out, "w:");
        put_folded(out, x->text + n->off, n->len);
        break;
    default: scalar_key(out, w, x, i); break;
    }
}

void form_key(rung_buf *out, const form *f, work *w) {
    node_key(out, f->x, f->root, w);
}

/* ---- comparison ---- */

static decision decided(rung_verdict v, const char *rule, const char *reason) {
    return (decision){v, rule, reason, -1, 0};
}

static decision node_compare(work *w, const expr *x, uint16_t i, const expr *y, uint16_t k);

/* Elements in order. */
static decision ordered(work *w, const expr *x, uint16_t i, const expr *y, uint16_t k) {
    decision all = decided(RUNG_VERDICT_CORRECT, "structure", "");
    size_t n = expr_at(x, i)->n_kids;
    if (n != expr_at(y, k)->n_kids) return decided(RUNG_VERDICT_WRONG, "structure", "");
    for (size_t c = 0; c < n; c++) {
        decision d = node_compare(w, x, expr_kid(x, i, c), y, expr_kid(y, k, c));
        if (d.verdict == RUNG_VERDICT_WRONG) return decided(d.verdict, "structure", "");
        if (d.verdict == RUNG_VERDICT_UNKNOWN) all = decided(d.verdict, "structure", d.reason);
    }
    return all;
}

static bool same_key(const expr *x, uint16_t i, const expr *y, uint16_t k, work *w) {
    rung_buf a, b;
    rung_buf_init(&a, 1 << 16);
    rung_buf_init(&b, 1 << 16);
    node_key(&a, x, i, w);
    node_key(&b, y, k, w);
    bool same = !a.failed && !b.failed && a.n == b.n && memcmp(a.data, b.data, a.n) == 0;
    rung_buf_clear(&a);
    rung_buf_clear(&b);
    return same;
}

/* Every element of one side has an equal on the other. WRONG when one differs from all. */
static decision covered(work *w, const expr *x, uint16_t i, const expr *y, uint16_t k) {
    decision all = decided(RUNG_VERDICT_CORRECT, "structure", "");
    for (size_t c = 0; c < expr_at(x, i)->n_kids; c++) {
        bool found = false, doubt = false;
        for (size_t e = 0; e < expr_at(y, k)->n_kids && !found; e++) {
            decision d = node_compare(w, x, expr_kid(x, i, c), y, expr_kid(y, k, e));
            found = d.verdict == RUNG_VERDICT_CORRECT;
            doubt |= d.verdict == RUNG_VERDICT_UNKNOWN;
        }
        if (!found && !doubt) return decided(RUNG_VERDICT_WRONG, "structure", "");
        if (!found)
            all = decided(RUNG_VERDICT_UNKNOWN, "structure", "an element could not be compared");
    }
    return all;
}

static decision unordered(work *w, const expr *x, uint16_t i, const expr *y, uint16_t k) {
    const expr_node *n = expr_at(x, i), *m = expr_at(y, k);
    if (same_key(x, i, y, k, w)) return decided(RUNG_VERDICT_CORRECT, "structure", "");
    if (n->n_kids > SET_MAX || m->n_kids > SET_MAX)
        return decided(RUNG_VERDICT_UNKNOWN, "structure", "too many elements");
    decision d = covered(w, x, i, y, k);
    if (d.verdict == RUNG_VERDICT_CORRECT) d = covered(w, y, k, x, i);
    bool lists = n->kind == X_LIST && m->kind == X_LIST;
    if (d.verdict == RUNG_VERDICT_CORRECT && lists && n->n_kids != m->n_kids)
        return decided(RUNG_VERDICT_WRONG, "structure", "");
    return d;
}

/* L - R of both: a constant multiple of each other at the points? */
static decision equations(work *w, const expr *x, uint16_t i, const expr *y, uint16_t k) {
    const expr_node *n = expr_at(x, i), *m = expr_at(y, k);
    static const uint8_t turned[] = {REL_EQ, REL_NE, REL_GT, REL_GE, REL_LT, REL_LE, REL_IN};
    if (same_key(x, i, y, k, w)) return decided(RUNG_VERDICT_CORRECT, "equation", "");
    bool kind = n->op == m->op || n->op == turned[m->op];
    if (!kind) return decided(RUNG_VERDICT_WRONG, "equation", "");
    uint16_t l = expr_kid(x, i, 0), r = expr_kid(x, i, 1), s = expr_kid(y, k, 0),
             t = expr_kid(y, k, 1);
    rung_buf a, b;
    rung_buf_init(&a, 1 << 16);
    rung_buf_init(&b, 1 << 16);
    bool sign = n->op >= REL_LT && n->op <= REL_GE;
    bool both = n->op != REL_IN && !is_group(expr_at(x, l)->kind) &&
                !is_group(expr_at(x, r)->kind) && !is_group(expr_at(y, s)->kind) &&
                !is_group(expr_at(y, t)->kind) && poly_equation(&a, w, x, l, r, sign) &&
                poly_equation(&b, w, y, s, t, sign);
    rung_buf_clear(&a);
    rung_buf_clear(&b);
    if (both) return decided(RUNG_VERDICT_WRONG, "equation", "");
    if (n->op == m->op) {
        decision p = node_compare(w, x, l, y, s), q = node_compare(w, x, r, y, t);
        if (p.verdict == RUNG_VERDICT_CORRECT && q.verdict == RUNG_VERDICT_CORRECT)
            return decided(RUNG_VERDICT_CORRECT, "equation", "");
        if (p.verdict == RUNG_VERDICT_CORRECT && q.verdict == RUNG_VERDICT_WRONG)
            return decided(RUNG_VERDICT_WRONG, "equation", "");
    }
    return decided(RUNG_VERDICT_UNKNOWN, "equation", "equations that are no polynomials");
}

static decision texts(const expr *x, uint16_t i, const expr *y, uint16_t k) {
    rung_buf a, b;
    rung_buf_init(&a, 1 << 12);
    rung_buf_init(&b, 1 << 12);
    put_folded(&a, x->text + expr_at(x, i)->off, expr_at(x, i)->len);
    put_folded(&b, y->text + expr_at(y, k)->off, expr_at(y, k)->len);
    bool same = a.n == b.n && a.data && b.data && memcmp(a.data, b.data, a.n) == 0;
    rung_buf_clear(&a);
    rung_buf_clear(&b);
    return same ? decided(RUNG_VERDICT_CORRECT, "text", "")
                : decided(RUNG_VERDICT_UNKNOWN, "text", "texts differ");
}

static bool set_like(uint8_t kind) {
    return kind == X_SET || kind == X_LIST;
}

/* Objects of different kinds: never equal, but some may be one thing written in two ways. */
static decision mixed(work *w, const expr *x, uint16_t i, const expr *y, uint16_t k) {
    uint8_t a = expr_at(x, i)->kind, b = expr_at(y, k)->kind;
    if (a == X_REL && !is_group(b)) { /* y = 2x + 3 against 2x + 3 */
        decision d = node_compare(w, x, expr_kid(x, i, 1), y, k);
        if (d.verdict == RUNG_VERDICT_WRONG) return decided(d.verdict, "structure", "");
        return decided(RUNG_VERDICT_UNKNOWN, "structure", "an equation against one side of it");
    }
    if (b == X_REL && !is_group(a)) return mixed(w, y, k, x, i);
    if (a == X_RATIO && !is_group(b)) { /* 2:1 against 2 */
        fmpq_t q;
        gauss g;
        fmpq_init(q);
        gauss_init(&g);
        bool same = ratio_value(q, w, x, i) && gauss_eval(&g, w, y, k, NULL) == VALUE_OK &&
                    fmpq_is_zero(g.im) && fmpq_equal(q, g.re);
        fmpq_clear(q);
        gauss_clear(&g);
        return same ? decided(RUNG_VERDICT_UNKNOWN, "ratio", "a ratio against its quotient")
                    : decided(RUNG_VERDICT_WRONG, "ratio", "");
    }
    if (b == X_RATIO && !is_group(a)) return mixed(w, y, k, x, i);
    bool a_row = a == X_TUPLE && (expr_at(x, i)->op == 0 || expr_at(x, i)->op == 3);
    bool b_row = b == X_TUPLE && (expr_at(y, k)->op == 0 || expr_at(y, k)->op == 3);
    bool a_list = a == X_LIST || a == X_MATRIX || a_row,
         b_list = b == X_LIST || b == X_MATRIX || b_row;
    if (a_list && b_list) {
        decision d = ordered(w, x, i, y, k);
        if (d.verdict == RUNG_VERDICT_WRONG) return d;
        return decided(RUNG_VERDICT_UNKNOWN, "structure",
                       "the same elements, written as another kind");
    }
    if (a == X_TEXT || b == X_TEXT || a == X_REL || b == X_REL || a == X_AND || b == X_AND)
        return decided(RUNG_VERDICT_UNKNOWN, "structure", "kinds that cannot be compared");
    bool a_set = a == X_UNION || a == X_INTER || a == X_MINUS || a == X_TUPLE || a == X_SET;
    bool b_set = b == X_UNION || b == X_INTER || b == X_MINUS || b == X_TUPLE || b == X_SET;
    bool simple = (a == X_TUPLE && b == X_SET) || (a == X_SET && b == X_TUPLE);
    if (a_set && b_set && !simple)
        return decided(RUNG_VERDICT_UNKNOWN, "structure", "sets written in different ways");
    if ((set_like(a) && expr_at(x, i)->n_kids == 1) || (set_like(b) && expr_at(y, k)->n_kids == 1))
        return decided(RUNG_VERDICT_UNKNOWN, "structure", "a set of one against its element");
    if ((!is_group(a) && !is_constant(x, i)) || (!is_group(b) && !is_constant(y, k)))
        return decided(RUNG_VERDICT_UNKNOWN, "structure", "a letter may stand for anything");
    return decided(RUNG_VERDICT_WRONG, "structure", "");
}

static decision node_compare(work *w, const expr *x, uint16_t i, const expr *y, uint16_t k) {
    const expr_node *n = expr_at(x, i), *m = expr_at(y, k);
    if (!work_spend(w, 1)) return decided(RUNG_VERDICT_UNKNOWN, "", "beyond the work budget");
    if (!is_group(n->kind) && !is_group(m->kind)) return scalar_compare(w, x, i, y, k);
    if (set_like(n->kind) && set_like(m->kind)) return unordered(w, x, i, y, k);
    if (n->kind != m->kind) return mixed(w, x, i, y, k);
    switch (n->kind) {
    case X_TUPLE:
    case X_MATRIX:
        if (n->op != m->op) return decided(RUNG_VERDICT_WRONG, "structure", "");
        return ordered(w, x, i, y, k);
    case X_UNION:
    case X_INTER: {
        decision d = unordered(w, x, i, y, k);
        if (d.verdict == RUNG_VERDICT_WRONG && n->kind == X_INTER) d.verdict = RUNG_VERDICT_UNKNOWN;
        if (d.verdict == RUNG_VERDICT_UNKNOWN && !d.reason[0])
            d.reason = "sets written differently";
        return d;
    }
    case X_REL: return equations(w, x, i, y, k);
    case X_TEXT: return texts(x, i, y, k);
    case X_RATIO:
        return same_key(x, i, y, k, w) ? decided(RUNG_VERDICT_CORRECT, "ratio", "")
                                       : ordered(w, x, i, y, k);
    default: {
        decision d = ordered(w, x, i, y, k);
        if (d.verdict == RUNG_VERDICT_WRONG)
            return decided(RUNG_VERDICT_UNKNOWN, "structure", "sets written differently");
        return d;
    }
    }
}

decision form_compare(const form *a, const form *b, work *w) {
    return node_compare(w, a->x, a->root, b->x, b->root);
}
