/* LaTeX mathematics -> expression tree: operator precedence with explicit stacks of operators,
 * values, list items and open groups. No function here calls itself; the grammar is written down
 * in docs/verifiers.md. */
#include "verify/lex.h"
#include <string.h>

/* Binding strength. A prefix behind another operator (2*-3, x^-1) binds tighter than it. */
enum {
    B_CHOOSE = 5,
    B_REL = 10,
    B_RATIO = 12,
    B_SET = 15,
    B_SUM = 20,
    B_SERIES = 24,
    B_NEG = 25,
    B_MUL = 30,
    B_FN = 35,
    B_IMPLICIT = 40,
    B_POW = 50,
    B_TIGHT = 60
};

typedef struct op {
    uint8_t kind, op, bind;
    bool prefix, implicit, paren, plain; /* paren: f( ), done when the group closes */
    uint16_t sub, sup;
} op;

typedef enum group_kind {
    G_TOP,
    G_BRACKET,
    G_BRACE,
    G_MATRIX,
    G_ARGS,
    G_INDEX,
    G_SCRIPT
} group_kind;
typedef struct group {
    uint8_t kind, open, need, n_args,
        make; /* make: T_FRAC, T_BINOM, T_SQRT; G_SCRIPT: '^' or '_' */
    uint16_t op_base, val_base, item_base, rows, columns, pos;
    uint16_t arg[2];
} group;

enum { OPS_MAX = 512, VALS_MAX = 1024, ITEMS_MAX = 512 };
typedef struct parser {
    expr *x;
    lexer l;
    tok t;
    bool want; /* an operand */
    uint16_t n_op, n_val, n_item, n_group, n_brackets;
    op op[OPS_MAX];
    uint16_t val[VALS_MAX], item[ITEMS_MAX];
    group group[EXPR_GROUPS_MAX + 1];
} parser;

static void fail(parser *p, const char *why) {
    if (p->x->error) return;
    p->x->error = why;
    p->x->error_pos = (uint16_t)p->t.pos;
}

static group *top(parser *p) {
    return &p->group[p->n_group - 1];
}

static void push_group(parser *p, group_kind kind, uint8_t open) {
    if (p->n_group > EXPR_GROUPS_MAX) {
        fail(p, "nested too deeply");
        return;
    }
    p->group[p->n_group++] = (group){.kind = (uint8_t)kind,
                                     .open = open,
                                     .need = 1,
                                     .op_base = p->n_op,
                                     .val_base = p->n_val,
                                     .item_base = p->n_item,
                                     .pos = (uint16_t)p->t.pos};
    if (kind == G_BRACKET || kind == G_MATRIX) p->n_brackets++;
    p->want = true;
}

static void pop_group(parser *p) {
    const group *g = top(p);
    if (g->kind == G_BRACKET || g->kind == G_MATRIX) p->n_brackets--;
    p->n_item = g->item_base;
    p->n_group--;
}

static void push_op(parser *p, op o) {
    if (p->n_op == OPS_MAX) {
        fail(p, "too many operators");
        return;
    }
    p->op[p->n_op++] = o;
    p->want = true;
}

static void push_val(parser *p, uint16_t v) {
    if (v == EXPR_NONE) {
        fail(p, "too many terms");
    } else if (p->n_val == VALS_MAX) {
        fail(p, "too many terms");
    } else {
        p->val[p->n_val++] = v;
        p->want = false;
    }
}

static uint16_t add(parser *p, expr_kind kind, uint8_t o, uint16_t a, uint16_t b) {
    return expr_add(p->x, kind, o, (uint16_t[]){a, b}, b == EXPR_NONE ? 1 : 2);
}

/* ---- building nodes from operators ---- */

static bool integer(const parser *p, uint16_t i) {
    const expr_node *n = expr_at(p->x, i);
    return n->kind == X_NUM && n->frac == 0;
}

/* Digits of two integers compared as numbers. */
static int compare_digits(const expr *x, uint16_t i, uint16_t k) {
    const expr_node *a = expr_at(x, i), *b = expr_at(x, k);
    const char *p = x->text + a->off, *q = x->text + b->off;
    size_t n = a->len, m = b->len;
    while (n > 0 && *p == '0') p++, n--;
    while (m > 0 && *q == '0') q++, m--;
    if (n != m) return n < m ? -1 : 1;
    return memcmp(p, q, n);
}

/* 1\frac{4}{5}: an integer before a proper \frac of integers is their sum. */
static bool mixed_number(const parser *p, uint16_t a, uint16_t b) {
    const expr_node *f = expr_at(p->x, b);
    if (!integer(p, a) || f->kind != X_DIV || f->op != 1) return false;
    uint16_t num = expr_kid(p->x, b, 0), den = expr_kid(p->x, b, 1);
    return integer(p, num) && integer(p, den) && compare_digits(p->x, num, den) < 0;
}

static uint16_t call(parser *p, const op *o, uint16_t arg) {
    expr *x = p->x;
    uint16_t made;
    const expr_node *a = expr_at(x, arg);
    if (o->op >= FN_GCD && o->op <= FN_MIN) { /* of several */
        bool many = a->kind == X_TUPLE && a->op == 0;
        uint16_t kids[8];
        size_t n = many ? a->n_kids : 1;
        if (n > 8) {
            fail(p, "too many arguments");
            return EXPR_NONE;
        }
        for (size_t i = 0; i < n; i++) kids[i] = many ? expr_kid(x, arg, i) : arg;
        made = expr_add(x, X_FN, o->op, kids, n);
    } else if (o->op == FN_SQRT || o->op == FN_CBRT) {
        made = add(p, X_ROOT, 0, arg, expr_add_text(x, X_NUM, o->op == FN_SQRT ? "2" : "3", 1));
    } else if (o->op == FN_ABS) {
        made = add(p, X_ABS, 0, arg, EXPR_NONE);
    } else if (o->op == FN_LOG) {
        made =
            add(p, X_LOG, 0, arg, o->sub != EXPR_NONE ? o->sub : expr_add_text(x, X_NUM, "10", 2));
    } else if (o->op == FN_EXP) {
        made = add(p, X_POW, 0, expr_add(x, X_E, 0, NULL, 0), arg);
    } else {
        uint8_t fn = o->op;
        const expr_node *s = o->sup != EXPR_NONE ? expr_at(x, o->sup) : NULL;
        bool inverse = s && s->kind == X_NEG && fn <= FN_TAN &&
                       integer(p, expr_kid(x, o->sup, 0)) &&
                       x->text[expr_at(x, expr_kid(x, o->sup, 0))->off] == '1';
        if (inverse) return expr_add(x, X_FN, (uint8_t)(fn - FN_SIN + FN_ASIN), &arg, 1);
        made = expr_add(x, X_FN, fn, &arg, 1);
    }
    if (o->sup != EXPR_NONE && made != EXPR_NONE) made = add(p, X_POW, 0, made, o->sup);
    return made;
}

static uint16_t series(parser *p, const op *o, uint16_t body) {
    const expr *x = p->x;
    if (o->sub == EXPR_NONE || o->sup == EXPR_NONE) {
        fail(p, "a sum or product needs its bounds");
        return EXPR_NONE;
    }
    const expr_node *s = expr_at(x, o->sub);
    if (s->kind != X_REL || s->op != REL_EQ) {
        fail(p, "a sum or product runs from \"index = ...\"");
        return EXPR_NONE;
    }
    uint16_t index = expr_kid(x, o->sub, 0);
    if (expr_at(x, index)->kind == X_I) index = expr_add_text(p->x, X_VAR, "i", 1);
    if (index == EXPR_NONE || expr_at(x, index)->kind != X_VAR) {
        fail(p, "a sum or product runs over a letter");
        return EXPR_NONE;
    }
    return expr_add(p->x, (expr_kind)o->kind, 0,
                    (uint16_t[]){index, expr_kid(x, o->sub, 1), o->sup, body}, 4);
}

/* a < b < c: the second relation shares b. */
static uint16_t relation(parser *p, uint8_t rel, uint16_t a, uint16_t b) {
    const expr *x = p->x;
    const expr_node *n = expr_at(x, a);
    uint16_t last = n->kind == X_AND ? expr_kid(x, a, 1) : a;
    if (n->kind != X_REL && n->kind != X_AND) return add(p, X_REL, rel, a, b);
    if (n->kind == X_AND) { /* three relations: keep the list of equals short */
        fail(p, "more than two relations in a chain");
        return EXPR_NONE;
    }
    uint16_t second = add(p, X_REL, rel, expr_kid(x, last, 1), b);
    return second == EXPR_NONE ? second : add(p, X_AND, 0, a, second);
}

static void reduce(parser *p) {
    op o = p->op[--p->n_op];
    uint16_t need = o.prefix ? 1 : 2, made;
    if (p->n_val < top(p)->val_base + need) {
        fail(p, "an operand is missing");
        return;
    }
    uint16_t b = p->val[--p->n_val];
    if (o.prefix) {
        if (o.kind == X_FN) {
            made = call(p, &o, b);
        } else if (o.kind == X_SUM || o.kind == X_PROD) {
            made = series(p, &o, b);
        } else if (o.kind == X_ADD) {
            made = b;
        } else {
            made = add(p, (expr_kind)o.kind, 0, b, EXPR_NONE);
        }
    } else {
        uint16_t a = p->val[--p->n_val];
        if (o.kind == X_REL) {
            made = relation(p, o.op, a, b);
        } else if (o.kind == X_MUL && o.implicit && mixed_number(p, a, b)) {
            made = add(p, X_ADD, 0, a, b);
        } else {
            made = add(p, (expr_kind)o.kind, 0, a, b);
        }
    }
    if (made == EXPR_NONE) fail(p, p->x->error ? p->x->error : "too many terms");
    if (!p->x->error) push_val(p, made);
}

/* All operators of the innermost group that bind at least as tightly. */
static void reduce_to(parser *p, uint8_t bind) {
    while (!p->x->error && p->n_op > top(p)->op_base && p->op[p->n_op - 1].bind >= bind) reduce(p);
}

/* ---- delivering a finished operand ---- */

static void after_function(parser *p);

static uint16_t build_args(parser *p, const group *g) {
    switch (g->make) {
    case T_FRAC: return add(p, X_DIV, 1, g->arg[0], g->arg[1]);
    case T_BINOM: return add(p, X_BINOM, 0, g->arg[0], g->arg[1]);
    default: /* T_SQRT: [index] first when there are two */
        if (g->need == 2) return add(p, X_ROOT, 0, g->arg[1], g->arg[0]);
        return add(p, X_ROOT, 0, g->arg[0], expr_add_text(p->x, X_NUM, "2", 1));
    }
}

static void deliver(parser *p, uint16_t v) {
    while (!p->x->error) {
        if (v == EXPR_NONE) {
            fail(p, "too many terms");
            return;
        }
        group *g = top(p);
        if (g->kind == G_SCRIPT) {
            op *o = &p->op[p->n_op - 1];
            if (g->make == '^') {
                o->sup = v;
            } else {
                o->sub = v;
            }
            pop_group(p);
            after_function(p);
            return;
        }
        if (g->kind != G_ARGS) break;
        g->arg[g->n_args++] = v;
        p->want = true;
        if (g->n_args < g->need) return;
        group done = *g;
        pop_group(p);
        v = build_args(p, &done);
    }
    push_val(p, v);
    while (!p->x->error && p->n_op > top(p)->op_base && p->op[p->n_op - 1].paren) reduce(p);
}

/* Behind a function's name or \sum: scripts, and whether its argument is a bracket. */
static void after_function(parser *p) {
    p->want = true;
    op *o = &p->op[p->n_op - 1];
    char c = lex_peek(&p->l);
    if ((c == '^' && o->sup == EXPR_NONE) || (c == '_' && o->sub == EXPR_NONE)) {
        p->l.at++;
        push_group(p, G_SCRIPT, 0);
        top(p)->make = (uint8_t)c;
        return;
    }
    if (o->kind == X_FN && (c == '(' || (c == '{' && !o->plain) || (c == '[' && o->plain)))
        o->paren = true;
}

/* ---- groups ---- */

static void close_items(parser *p) {
    group *g = top(p);
    reduce_to(p, 0);
    if (p->x->error) return;
    if (p->n_val != g->val_base + 1) {
        fail(p, p->want ? "an operand is missing" : "a list item is missing");
        return;
    }
    if (p->n_item == ITEMS_MAX) {
        fail(p, "too many list items");
        return;
    }
    p->item[p->n_item++] = p->val[--p->n_val];
    p->want = true;
}

static uint16_t close_bracket(parser *p, const group *g, char close) {
    expr *x = p->x;
    size_t n = (size_t)(p->n_item - g->item_base);
    const uint16_t *item = p->item + g->item_base;
    switch (g->open) {
    case 's': return expr_add(x, X_SET, 0, item, n);
    case '|': return expr_add(x, X_ABS, 0, item, 1);
    case 'f': return expr_add(x, X_FLOOR, 0, item, 1);
    case 'c': return expr_add(x, X_CEIL, 0, item, 1);
    default: break;
    }
    uint8_t sides = (uint8_t)((g->open == '[' ? 1 : 0) | (close == ']' ? 2 : 0));
    if (n == 1 && (sides == 0 || sides == 3)) return item[0];
    return expr_add(x, X_TUPLE, sides, item, n);
}

static bool closes(const group *g, uint8_t close) {
    if (g->kind != G_BRACKET) return false;
    switch (g->open) {
    case '(':
    case '[': return close == ')' || close == ']';
    case '<': return close == '>';
    default: return close == g->open;
    }
}

static void close_group(parser *p, uint8_t close) {
    group g = *top(p);
    if (close == '}' && g.kind == G_BRACE) {
        if (p->want && p->n_val == g.val_base && p->n_item == g.item_base && p->n_op == g.op_base) {
            pop_group(p);
            if (top(p)->kind == G_ARGS || top(p)->kind == G_SCRIPT) fail(p, "an empty argument");
            return; /* {} is nothing */
        }
        close_items(p);
        if (p->x->error) return;
        size_t n = (size_t)(p->n_item - g.item_base);
        uint16_t v =
            n == 1 ? p->item[g.item_base] : expr_add(p->x, X_SET, 0, p->item + g.item_base, n);
        pop_group(p);
        deliver(p, v);
        return;
    }
    if (g.kind == G_INDEX && close == ']') {
        close_items(p);
        if (p->x->error) return;
        uint16_t v = p->item[g.item_base];
        pop_group(p);
        deliver(p, v);
        return;
    }
    if (!closes(&g, close)) {
        fail(p, "a bracket closes what was not opened");
        return;
    }
    bool empty =
        p->want && p->n_item == g.item_base && p->n_val == g.val_base && p->n_op == g.op_base;
    if (empty && g.open != 's') {
        fail(p, "empty brackets");
        return;
    }
    if (!empty) close_items(p);
    if (p->x->error) return;
    if (p->n_item - g.item_base != 1 && strchr("|fc", g.open)) {
        fail(p, "a list where one value belongs");
        return;
    }
    uint16_t v = close_bracket(p, &g, (char)close);
    pop_group(p);
    deliver(p, v);
}

static void close_row(parser *p, bool last) {
    group *g = top(p);
    bool blank = last && p->want && p->n_val == g->val_base;
    if (!blank) close_items(p);
    if (p->x->error) return;
    size_t n = (size_t)(p->n_item - g->item_base);
    if (blank && g->rows > 0) return; /* "\\" before \end */
    g->rows++;
    if (g->rows == 1) g->columns = (uint16_t)n;
    if (n != (size_t)g->rows * g->columns || g->rows > 64) fail(p, "a matrix with uneven rows");
}

static void close_matrix(parser *p) {
    close_row(p, true);
    if (p->x->error) return;
    group g = *top(p);
    uint16_t v = expr_add(p->x, X_MATRIX, (uint8_t)g.rows, p->item + g.item_base,
                          (size_t)(p->n_item - g.item_base));
    pop_group(p);
    deliver(p, v);
}

/* ---- operands ---- */

static uint16_t number(parser *p) {
    const tok *t = &p->t;
    expr *x = p->x;
    uint16_t v = expr_add_text(x, X_NUM, t->p, t->n);
    if (v == EXPR_NONE) return v;
    x->node[v].frac = t->frac;
    x->node[v].rep = t->rep;
    if (t->mixed_num > 0) {
        uint16_t num = expr_add_text(x, X_NUM, t->p + t->n, t->mixed_num);
        uint16_t den = expr_add_text(x, X_NUM, t->p + t->n + t->mixed_num, t->mixed_den);
        return add(p, X_ADD, 0, v, add(p, X_DIV, 1, num, den));
    }
    if (t->has_exponent) {
        char digits[12];
        int32_t e = t->exponent < 0 ? -t->exponent : t->exponent;
        size_t n = 0, k = sizeof digits;
        do digits[--k] = (char)('0' + e % 10), n++;
        while ((e /= 10) > 0);
        uint16_t power = expr_add_text(x, X_NUM, digits + k, n);
        if (t->exponent < 0) power = add(p, X_NEG, 0, power, EXPR_NONE);
        uint16_t ten = expr_add_text(x, X_NUM, "10", 2);
        return add(p, X_MUL, 0, v, add(p, X_POW, 0, ten, power));
    }
    return v;
}

static void push_prefix(parser *p, expr_kind kind) {
    bool behind = p->n_op > top(p)->op_base;
    uint8_t bind = B_NEG;
    if (behind && p->op[p->n_op - 1].bind > B_NEG) bind = p->op[p->n_op - 1].bind;
    push_op(p, (op){.kind = (uint8_t)kind,
                    .bind = bind,
                    .prefix = true,
                    .sub = EXPR_NONE,
                    .sup = EXPR_NONE});
}

static void open_args(parser *p, uint8_t make) {
    push_group(p, G_ARGS, 0);
    if (p->x->error) return;
    top(p)->make = make;
    top(p)->need = make == T_SQRT ? 1 : 2;
    if (make == T_SQRT && lex_peek(&p->l) == '[') {
        top(p)->need = 2;
        p->l.at++;
        push_group(p, G_INDEX, '[');
    }
}

static void open_function(parser *p) {
    bool sum = p->t.kind == T_SUM || p->t.kind == T_PROD;
    push_op(p, (op){.kind = p->t.kind == T_SUM    ? X_SUM
                            : p->t.kind == T_PROD ? X_PROD
                                                  : X_FN,
                    .op = p->t.op,
                    .bind = sum ? B_SERIES : B_FN,
                    .prefix = true,
                    .plain = p->t.word,
                    .sub = EXPR_NONE,
                    .sup = EXPR_NONE});
    if (!p->x->error) after_function(p);
}

/* One token where an operand must begin; false: none does. */
static bool operand(parser *p) {
    const tok *t = &p->t;
    switch (t->kind) {
    case T_NUM: deliver(p, number(p)); return true;
    case T_VAR: deliver(p, expr_add_text(p->x, X_VAR, t->p, t->n)); return true;
    case T_TEXT: deliver(p, expr_add_text(p->x, X_TEXT, t->p, t->n)); return true;
    case T_BASE: {
        uint16_t v = expr_add_text(p->x, X_BASE, t->p, t->n);
        if (v != EXPR_NONE) p->x->node[v].op = t->op;
        deliver(p, v);
        return true;
    }
    case T_ATOM: deliver(p, expr_add(p->x, (expr_kind)t->op, 0, NULL, 0)); return true;
    case T_FRAC:
    case T_BINOM:
    case T_SQRT: open_args(p, (uint8_t)t->kind); return true;
    case T_OPEN: push_group(p, t->op == '{' ? G_BRACE : G_BRACKET, t->op); return true;
    case T_BEGIN: push_group(p, G_MATRIX, 0); return true;
    default: return false;
    }
}

static bool in_arguments(parser *p) {
    return top(p)->kind == G_ARGS || top(p)->kind == G_SCRIPT;
}

static void want_operand(parser *p) {
    const tok *t = &p->t;
    if (in_arguments(p)) {
        if (t->kind == T_OPEN && t->op != '{') {
            fail(p, "an argument in braces expected");
        } else if (t->kind == T_OP && t->op == X_SUB && top(p)->kind == G_SCRIPT) {
            fail(p, "an exponent with a sign needs braces here");
        } else if (!operand(p)) {
            fail(p, "an argument is missing");
        }
        return;
    }
    if (operand(p)) return;
    switch (t->kind) {
    case T_FN:
    case T_SUM:
    case T_PROD: open_function(p); break;
    case T_BAR: push_group(p, G_BRACKET, '|'); break;
    case T_OP:
        if (t->op == X_ADD) {
            push_prefix(p, X_ADD);
        } else if (t->op == X_SUB) {
            push_prefix(p, X_NEG);
        } else if (t->op == X_PM || t->op == X_MP) {
            push_prefix(p, (expr_kind)t->op);
        } else {
            fail(p, "an operand is missing before this");
        }
        break;
    case T_CLOSE: close_group(p, t->op); break;
    case T_FINISH:
        if (top(p)->kind == G_MATRIX) {
            close_matrix(p);
        } else {
            fail(p, "\\end without \\begin");
        }
        break;
    case T_WORD_SEP:
        if (p->n_item > top(p)->item_base && p->n_val == top(p)->val_base) break; /* ", and" */
        fail(p, "an operand is missing before this");
        break;
    case T_BAD: fail(p, t->p); break;
    default: fail(p, "an operand is missing before this"); break;
    }
}

/* ---- behind an operand ---- */

static void postfix(parser *p, expr_kind kind) {
    uint16_t v = add(p, kind, 0, p->val[--p->n_val], EXPR_NONE);
    push_val(p, v);
}

static void unit_behind(parser *p) {
    expr *x = p->x;
    reduce_to(p, B_NEG);
    if (x->error) return;
    uint16_t words = expr_add_text(x, X_TEXT, p->t.p, p->t.n);
    if (words == EXPR_NONE) {
        fail(p, "too long");
        return;
    }
    uint16_t v = add(p, X_UNIT, 0, p->val[--p->n_val], EXPR_NONE);
    if (v != EXPR_NONE) {
        x->node[v].off = x->node[words].off;
        x->node[v].len = x->node[words].len;
    }
    push_val(p, v);
}

static void binary(parser *p, uint8_t kind, uint8_t o, uint8_t bind) {
    reduce_to(p, bind);
    if (p->x->error) return;
    push_op(p, (op){.kind = kind, .op = o, .bind = bind, .sub = EXPR_NONE, .sup = EXPR_NONE});
}

static uint8_t bind_of(uint8_t kind) {
    switch (kind) {
    case X_ADD:
    case X_SUB:
    case X_PM:
    case X_MP: return B_SUM;
    case X_MUL:
    case X_DIV: return B_MUL;
    case X_RATIO: return B_RATIO;
    case X_BINOM: return B_CHOOSE;
    default: return B_SET;
    }
}

/* Two operands side by side are a product; "1/2 x" is (1/2) x, as read from left to right. */
static void implicit(parser *p) {
    uint8_t bind = B_IMPLICIT;
    if (p->n_op > top(p)->op_base) {
        const op *o = &p->op[p->n_op - 1];
        if (o->kind == X_DIV && !o->prefix) bind = B_MUL;
    }
    if (p->t.kind == T_FN || p->t.kind == T_SUM || p->t.kind == T_PROD) bind = B_MUL;
    const expr_node *left = expr_at(p->x, p->val[p->n_val - 1]);
    if (p->t.kind == T_NUM && (left->kind == X_NUM || left->kind == X_VAR)) {
        fail(p, "a number behind a number or a letter");
        return;
    }
    reduce_to(p, bind);
    if (p->x->error) return;
    push_op(
        p, (op){.kind = X_MUL, .bind = bind, .implicit = true, .sub = EXPR_NONE, .sup = EXPR_NONE});
    if (!p->x->error) want_operand(p);
}

static void have_operand(parser *p) {
    const tok *t = &p->t;
    switch (t->kind) {
    case T_OP: binary(p, t->op, 0, bind_of(t->op)); break;
    case T_REL: binary(p, X_REL, t->op, B_REL); break;
    case T_POW: /* to the right: only what binds tighter is done first */
        reduce_to(p, B_POW + 1);
        if (p->x->error) break;
        push_op(p, (op){.kind = X_POW, .bind = B_POW, .sub = EXPR_NONE, .sup = EXPR_NONE});
        break;
    case T_FACT: postfix(p, X_FACT); break;
    case T_DFACT: postfix(p, X_DFACT); break;
    case T_PERCENT: postfix(p, X_PERCENT); break;
    case T_DEG: postfix(p, X_DEG); break;
    case T_UNIT: unit_behind(p); break;
    case T_COMMA:
    case T_WORD_SEP:
        if (top(p)->kind == G_MATRIX || top(p)->kind == G_INDEX) {
            fail(p, "a comma does not belong here");
        } else {
            close_items(p);
        }
        break;
    case T_CLOSE: close_group(p, t->op); break;
    case T_BAR:
        if (top(p)->kind == G_BRACKET && top(p)->open == '|') {
            close_group(p, '|');
        } else {
            fail(p, "a bar that opens nothing");
        }
        break;
    case T_AMP:
    case T_ROW:
        if (top(p)->kind != G_MATRIX) {
            fail(p, "not inside a matrix");
        } else if (t->kind == T_AMP) {
            close_items(p);
        } else {
            close_row(p, false);
        }
        break;
    case T_FINISH: want_operand(p); break;
    case T_SUB: fail(p, "an index behind this means nothing here"); break;
    case T_BAD: fail(p, t->p); break;
    default: implicit(p); break;
    }
}

/* \\ keeps its place when a row ends in it: x^{2\\} cannot reach here, braces are groups. */
static void finish(parser *p) {
    group *g = top(p);
    if (p->n_group > 1) {
        p->t.pos = g->pos;
        fail(p, g->kind == G_ARGS || g->kind == G_SCRIPT ? "an argument is missing"
                                                         : "opened here and never closed");
        return;
    }
    if (p->want && p->n_item == 0 && p->n_val == 0 && p->n_op == 0) {
        fail(p, "nothing there");
        return;
    }
    if (p->want && p->n_item > 0 && p->n_val == 0 && p->n_op == 0) {
        fail(p, "a list item is missing");
        return;
    }
    close_items(p);
    if (p->x->error) return;
    p->x->root = p->n_item == 1 ? p->item[0] : expr_add(p->x, X_LIST, 0, p->item, p->n_item);
    if (p->x->root == EXPR_NONE) fail(p, "too many terms");
}

bool expr_parse(expr *x, const char *text, size_t n) {
    x->n = x->n_kids = x->n_text = x->root = x->error_pos = 0;
    x->error = NULL;
    parser *p = rung_alloc(sizeof *p);
    if (!p || n > EXPR_TEXT_MAX) {
        x->error = p ? "too long" : "no memory";
        rung_free(p);
        return false;
    }
    p->x = x;
    p->l = (lexer){.text = text, .n = n};
    p->n_op = p->n_val = p->n_item = p->n_group = p->n_brackets = 0;
    memset(&p->t, 0, sizeof p->t);
    push_group(p, G_TOP, 0);
    while (!x->error) {
        p->l.in_brackets = p->n_brackets > 0;
        p->l.after_operand = !p->want;
        p->l.single = in_arguments(p) &&
                      !(top(p)->kind == G_SCRIPT && p->n_op > 0 && p->op[p->n_op - 1].plain);
        lex_next(&p->t, &p->l);
        if (p->t.kind == T_END) {
            finish(p);
            break;
        }
        if (p->want) {
            want_operand(p);
        } else {
            have_operand(p);
        }
    }
    rung_free(p);
    return x->error == NULL;
}
