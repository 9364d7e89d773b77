/* Expression trees: building, printing back, comparing by structure, free variables. */
#include "verify/expr.h"
#include <string.h>

static const char *const fn_names[] = {
#define X(id, name) name,
    EXPR_FNS(X)
#undef X
};

const char *expr_fn_name(uint8_t fn) {
    return fn < FN_COUNT ? fn_names[fn] : "?";
}

void expr_fail(expr *x, const char *why) {
    if (!x->error) x->error = why;
}

uint16_t expr_add(expr *x, expr_kind kind, uint8_t op, const uint16_t *kid, size_t n_kids) {
    uint16_t depth = 0;
    for (size_t i = 0; i < n_kids; i++) {
        if (kid[i] == EXPR_NONE) return EXPR_NONE;
        if (x->node[kid[i]].depth >= depth) depth = (uint16_t)(x->node[kid[i]].depth + 1);
    }
    if (x->n >= EXPR_NODES_MAX || x->n_kids + n_kids > EXPR_KIDS_MAX || depth > EXPR_DEPTH_MAX) {
        expr_fail(x, depth > EXPR_DEPTH_MAX ? "nested too deeply" : "too many terms");
        return EXPR_NONE;
    }
    expr_node *n = &x->node[x->n];
    *n = (expr_node){.kind = (uint8_t)kind, .op = op, .depth = depth};
    n->kid = x->n_kids;
    n->n_kids = (uint16_t)n_kids;
    for (size_t i = 0; i < n_kids; i++) x->kids[x->n_kids++] = kid[i];
    return x->n++;
}

uint16_t expr_add_text(expr *x, expr_kind kind, const char *p, size_t n) {
    if (x->n_text + n > sizeof x->text) {
        expr_fail(x, "too long");
        return EXPR_NONE;
    }
    uint16_t i = expr_add(x, kind, 0, NULL, 0);
    if (i == EXPR_NONE) return i;
    x->node[i].off = x->n_text;
    x->node[i].len = (uint16_t)n;
    memcpy(x->text + x->n_text, p, n);
    x->n_text = (uint16_t)(x->n_text + n);
    return i;
}

/* ---- printing ---- */

/* Binding strength of what a node prints as; a child weaker than its place gets parentheses. */
enum { P_LIST, P_REL, P_SET, P_SUM, P_NEG, P_PRODUCT, P_POWER, P_ATOM };

static int strength(const expr_node *n) {
    switch (n->kind) {
    case X_LIST: return P_LIST;
    case X_REL:
    case X_AND: return P_REL;
    case X_UNION:
    case X_INTER:
    case X_MINUS:
    case X_RATIO: return P_SET;
    case X_ADD:
    case X_SUB:
    case X_PM:
    case X_MP: return n->n_kids == 1 ? P_NEG : P_SUM;
    case X_NEG: return P_NEG;
    case X_MUL:
    case X_DIV: return P_PRODUCT;
    case X_UNIT: return P_PRODUCT;
    case X_POW: return P_POWER;
    default: return P_ATOM;
    }
}

static void put_node(rung_buf *b, const expr *x, uint16_t i, int place);

static void put_kids(rung_buf *b, const expr *x, uint16_t i, const char *between) {
    const expr_node *n = expr_at(x, i);
    for (size_t k = 0; k < n->n_kids; k++) {
        if (k > 0) rung_buf_str(b, between);
        put_node(b, x, expr_kid(x, i, k), P_REL);
    }
}

static void put_binary(rung_buf *b, const expr *x, uint16_t i, const char *op, int left,
                       int right) {
    put_node(b, x, expr_kid(x, i, 0), left);
    rung_buf_str(b, op);
    put_node(b, x, expr_kid(x, i, 1), right);
}

static void put_number(rung_buf *b, const expr *x, const expr_node *n) {
    const char *d = x->text + n->off;
    size_t whole = (size_t)(n->len - n->frac);
    if (whole == 0) rung_buf_str(b, "0");
    rung_buf_append(b, d, whole);
    if (n->frac == 0) return;
    rung_buf_str(b, ".");
    rung_buf_append(b, d + whole, (size_t)(n->frac - n->rep));
    if (n->rep == 0) return;
    rung_buf_str(b, "\\overline{");
    rung_buf_append(b, d + n->len - n->rep, n->rep);
    rung_buf_str(b, "}");
}

static void put_call(rung_buf *b, const expr *x, uint16_t i, const char *name) {
    rung_buf_printf(b, "%s(", name);
    put_kids(b, x, i, ", ");
    rung_buf_str(b, ")");
}

static void put_group(rung_buf *b, const expr *x, uint16_t i) {
    const expr_node *n = expr_at(x, i);
    if (n->kind == X_MATRIX) {
        rung_buf_str(b, "\\begin{pmatrix}");
        size_t columns = n->op ? (size_t)n->n_kids / n->op : 0;
        for (size_t k = 0; k < n->n_kids; k++) {
            if (k > 0) rung_buf_str(b, k % columns ? " & " : " \\\\ ");
            put_node(b, x, expr_kid(x, i, k), P_REL);
        }
        rung_buf_str(b, "\\end{pmatrix}");
        return;
    }
    bool set = n->kind == X_SET;
    rung_buf_str(b, set ? "\\{" : n->op & 1 ? "[" : "(");
    put_kids(b, x, i, ", ");
    rung_buf_str(b, set ? "\\}" : n->op & 2 ? "]" : ")");
}

static void put_series(rung_buf *b, const expr *x, uint16_t i, const char *name) {
    rung_buf_printf(b, "%s_{", name);
    put_binary(b, x, i, "=", P_ATOM, P_SUM);
    rung_buf_str(b, "}^{");
    put_node(b, x, expr_kid(x, i, 2), P_SUM);
    rung_buf_str(b, "}(");
    put_node(b, x, expr_kid(x, i, 3), P_SUM);
    rung_buf_str(b, ")");
}

static void put_root(rung_buf *b, const expr *x, uint16_t i) {
    rung_buf_str(b, "\\sqrt[");
    put_node(b, x, expr_kid(x, i, 1), P_SUM);
    rung_buf_str(b, "]{");
    put_node(b, x, expr_kid(x, i, 0), P_SUM);
    rung_buf_str(b, "}");
}

static void put_around(rung_buf *b, const expr *x, uint16_t i, const char *before,
                       const char *after, int place) {
    rung_buf_str(b, before);
    put_node(b, x, expr_kid(x, i, 0), place);
    rung_buf_str(b, after);
}

static void put_log(rung_buf *b, const expr *x, uint16_t i) {
    rung_buf_str(b, "\\log_{");
    put_node(b, x, expr_kid(x, i, 1), P_SUM);
    rung_buf_str(b, "}(");
    put_node(b, x, expr_kid(x, i, 0), P_SUM);
    rung_buf_str(b, ")");
}

static void put_relations(rung_buf *b, const expr *x, uint16_t i) {
    static const char *const rel[] = {" = ", " \\ne ", " < ", " \\le ", " > ", " \\ge ", " \\in "};
    const expr_node *n = expr_at(x, i);
    if (n->kind == X_REL) {
        put_binary(b, x, i, rel[n->op], P_SET, P_SET);
        return;
    }
    put_node(b, x, expr_kid(x, i, 0), P_REL); /* a < x, then "< b" of the second */
    uint16_t right = expr_kid(x, i, 1);
    rung_buf_str(b, rel[expr_at(x, right)->op]);
    put_node(b, x, expr_kid(x, right, 1), P_SET);
}

static void put_inside(rung_buf *b, const expr *x, uint16_t i) {
    const expr_node *n = expr_at(x, i);
    const char *t = x->text + n->off;
    switch ((expr_kind)n->kind) {
    case X_NUM: put_number(b, x, n); break;
    case X_VAR: rung_buf_append(b, t, n->len); break;
    case X_PI: rung_buf_str(b, "\\pi "); break;
    case X_E: rung_buf_str(b, "e"); break;
    case X_I: rung_buf_str(b, "i"); break;
    case X_INF: rung_buf_str(b, "\\infty "); break;
    case X_TEXT: rung_buf_printf(b, "\\text{%.*s}", (int)n->len, t); break;
    case X_BASE: rung_buf_printf(b, "%.*s_{%u}", (int)n->len, t, n->op); break;
    case X_ADD: put_binary(b, x, i, "+", P_SUM, P_NEG); break;
    case X_SUB: put_binary(b, x, i, "-", P_SUM, P_PRODUCT); break;
    case X_PM:
    case X_MP:
        if (n->n_kids == 1) {
            put_around(b, x, i, n->kind == X_PM ? "\\pm " : "\\mp ", "", P_PRODUCT);
        } else {
            put_binary(b, x, i, n->kind == X_PM ? " \\pm " : " \\mp ", P_SUM, P_PRODUCT);
        }
        break;
    case X_MUL: put_binary(b, x, i, "*", P_PRODUCT, P_POWER); break;
    case X_DIV: put_binary(b, x, i, "/", P_PRODUCT, P_POWER); break;
    case X_RATIO: put_binary(b, x, i, ":", P_SUM, P_SUM); break;
    case X_UNION: put_binary(b, x, i, " \\cup ", P_SET, P_SUM); break;
    case X_INTER: put_binary(b, x, i, " \\cap ", P_SET, P_SUM); break;
    case X_MINUS: put_binary(b, x, i, " \\setminus ", P_SET, P_SUM); break;
    case X_POW:
        put_node(b, x, expr_kid(x, i, 0), P_ATOM);
        rung_buf_str(b, "^{");
        put_node(b, x, expr_kid(x, i, 1), P_SUM);
        rung_buf_str(b, "}");
        break;
    case X_NEG: put_around(b, x, i, "-", "", P_PRODUCT); break;
    case X_ROOT: put_root(b, x, i); break;
    case X_FN: put_call(b, x, i, expr_fn_name(n->op)); break;
    case X_LOG: put_log(b, x, i); break;
    case X_FACT: put_around(b, x, i, "", "!", P_ATOM); break;
    case X_DFACT: put_around(b, x, i, "", "!!", P_ATOM); break;
    case X_BINOM:
        rung_buf_str(b, "\\binom{");
        put_binary(b, x, i, "}{", P_SUM, P_SUM);
        rung_buf_str(b, "}");
        break;
    case X_ABS: put_call(b, x, i, "abs"); break;
    case X_FLOOR: put_around(b, x, i, "\\lfloor ", "\\rfloor ", P_SUM); break;
    case X_CEIL: put_around(b, x, i, "\\lceil ", "\\rceil ", P_SUM); break;
    case X_SUM: put_series(b, x, i, "\\sum"); break;
    case X_PROD: put_series(b, x, i, "\\prod"); break;
    case X_DEG: put_around(b, x, i, "", "^\\circ ", P_ATOM); break;
    case X_PERCENT: put_around(b, x, i, "", "\\%", P_ATOM); break;
    case X_UNIT:
        put_node(b, x, expr_kid(x, i, 0), P_PRODUCT);
        rung_buf_printf(b, "\\text{ %.*s}", (int)n->len, t);
        break;
    case X_TUPLE:
    case X_SET:
    case X_MATRIX: put_group(b, x, i); break;
    case X_LIST: put_kids(b, x, i, ", "); break;
    case X_REL:
    case X_AND: put_relations(b, x, i); break;
    }
}

static void put_node(rung_buf *b, const expr *x, uint16_t i, int place) {
    bool brackets = strength(expr_at(x, i)) < place;
    if (b->failed) return;
    if (brackets) rung_buf_str(b, "(");
    put_inside(b, x, i);
    if (brackets) rung_buf_str(b, ")");
}

void expr_print(rung_buf *b, const expr *x, uint16_t i) {
    put_node(b, x, i, P_LIST);
}

static const char *const kind_names[] = {"number",
                                         "variable",
                                         "pi",
                                         "e",
                                         "i",
                                         "infinity",
                                         "text",
                                         "sum",
                                         "difference",
                                         "product",
                                         "quotient",
                                         "power",
                                         "minus",
                                         "plus-minus",
                                         "minus-plus",
                                         "root",
                                         "function",
                                         "log",
                                         "factorial",
                                         "double factorial",
                                         "binomial",
                                         "absolute",
                                         "floor",
                                         "ceiling",
                                         "series",
                                         "product over",
                                         "base-n",
                                         "degrees",
                                         "percent",
                                         "unit",
                                         "ratio",
                                         "tuple or interval",
                                         "set",
                                         "list",
                                         "union",
                                         "intersection",
                                         "set difference",
                                         "matrix",
                                         "relation",
                                         "chain"};

static void dump(rung_buf *b, const expr *x, uint16_t i, int depth) {
    const expr_node *n = expr_at(x, i);
    if (b->failed) return;
    rung_buf_printf(b, "%*s%s", 2 * depth, "", kind_names[n->kind]);
    if (n->n_kids == 0) {
        rung_buf_str(b, " ");
        put_inside(b, x, i);
    } else if (n->kind == X_FN) {
        rung_buf_printf(b, " %s", expr_fn_name(n->op));
    } else if (n->kind == X_TUPLE) {
        rung_buf_printf(b, " %c %c", n->op & 1 ? '[' : '(', n->op & 2 ? ']' : ')');
    } else if (n->kind == X_REL) {
        static const char *const rel[] = {"=", "!=", "<", "<=", ">", ">=", "in"};
        rung_buf_printf(b, " %s", rel[n->op]);
    } else if (n->kind == X_UNIT) {
        rung_buf_printf(b, " %.*s", (int)n->len, x->text + n->off);
    }
    rung_buf_str(b, "\n");
    for (size_t k = 0; k < n->n_kids; k++) dump(b, x, expr_kid(x, i, k), depth + 1);
}

void expr_dump(rung_buf *b, const expr *x, uint16_t i) {
    dump(b, x, i, 1);
}

/* ---- structure ---- */

bool expr_same(const expr *a, uint16_t i, const expr *b, uint16_t k) {
    const expr_node *n = expr_at(a, i), *m = expr_at(b, k);
    if (n->kind != m->kind || n->op != m->op || n->n_kids != m->n_kids || n->len != m->len ||
        n->frac != m->frac || n->rep != m->rep || n->depth != m->depth)
        return false;
    if (memcmp(a->text + n->off, b->text + m->off, n->len) != 0) return false;
    for (size_t c = 0; c < n->n_kids; c++)
        if (!expr_same(a, expr_kid(a, i, c), b, expr_kid(b, k, c))) return false;
    return true;
}

static bool var_put(expr_vars *v, const char *p, size_t n) {
    size_t at = 0;
    if (n >= sizeof v->name[0]) return false;
    while (at < v->n) {
        int c = strncmp(v->name[at], p, n);
        if (c == 0 && v->name[at][n] != '\0') c = 1;
        if (c == 0) return true;
        if (c > 0) break;
        at++;
    }
    if (v->n == EXPR_VARS_MAX) return false;
    memmove(v->name[at + 1], v->name[at], (v->n - at) * sizeof v->name[0]);
    memcpy(v->name[at], p, n);
    v->name[at][n] = '\0';
    v->n++;
    return true;
}

static void var_drop(expr_vars *v, const char *p, size_t n) {
    for (size_t at = 0; at < v->n; at++) {
        if (strncmp(v->name[at], p, n) != 0 || v->name[at][n] != '\0') continue;
        memmove(v->name[at], v->name[at + 1], (v->n - at - 1) * sizeof v->name[0]);
        v->n--;
        return;
    }
}

bool expr_vars_add(expr_vars *v, const expr *x, uint16_t i) {
    const expr_node *n = expr_at(x, i);
    if (n->kind == X_VAR) return var_put(v, x->text + n->off, n->len);
    if (n->kind == X_SUM || n->kind == X_PROD) {
        expr_vars body = {0};
        const expr_node *bound = expr_at(x, expr_kid(x, i, 0));
        if (!expr_vars_add(&body, x, expr_kid(x, i, 3))) return false;
        var_drop(&body, x->text + bound->off, bound->len);
        for (size_t k = 0; k < body.n; k++)
            if (!var_put(v, body.name[k], strlen(body.name[k]))) return false;
        return expr_vars_add(v, x, expr_kid(x, i, 1)) && expr_vars_add(v, x, expr_kid(x, i, 2));
    }
    for (size_t k = 0; k < n->n_kids; k++)
        if (!expr_vars_add(v, x, expr_kid(x, i, k))) return false;
    return true;
}
