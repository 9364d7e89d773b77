/* Expression trees of the maths verifier. Nodes live in one fixed array per tree (the arena): a
 * node's children stand before it, no node is deeper than EXPR_DEPTH_MAX, so that walks may recurse
 * on depth and never on input length. */
#ifndef RUNG_SRC_VERIFY_EXPR_H
#define RUNG_SRC_VERIFY_EXPR_H
#include "rung/base.h"

enum {
    EXPR_TEXT_MAX = 1024, /* bytes of an answer that are parsed */
    EXPR_NODES_MAX = 2048,
    EXPR_KIDS_MAX = 6144,
    EXPR_DEPTH_MAX = 600, /* of a tree; "1+1+..." leans to the left */
    EXPR_GROUPS_MAX = 64, /* of brackets */
    EXPR_VARS_MAX = 16
};

typedef enum expr_kind {
    X_NUM, /* digits text[off, off + len) without the point; frac, rep of them behind it */
    X_VAR, /* name text[off, off + len) */
    X_PI,
    X_E,
    X_I,
    X_INF,
    X_TEXT, /* words of a \text{} */
    X_ADD,
    X_SUB,
    X_MUL,
    X_DIV,
    X_POW,
    X_NEG,
    X_PM, /* a +- b; one kid: +- a */
    X_MP,
    X_ROOT, /* kids: radicand, index */
    X_FN,   /* op: expr_fn */
    X_LOG,  /* kids: argument, base */
    X_FACT,
    X_DFACT, /* n!! */
    X_BINOM,
    X_ABS,
    X_FLOOR,
    X_CEIL,
    X_SUM, /* kids: variable, from, to, body */
    X_PROD,
    X_BASE, /* digits text[off, off + len); op: the base */
    X_DEG,
    X_PERCENT,
    X_UNIT, /* kid: value; text[off, off + len) its words */
    X_RATIO,
    X_TUPLE, /* op: 1 closed on the left, 2 on the right: (a,b) is 0, [a,b] is 3 */
    X_SET,
    X_LIST, /* "3, 5 and 7" without brackets */
    X_UNION,
    X_INTER,
    X_MINUS,
    X_MATRIX, /* op: rows */
    X_REL,    /* op: expr_rel */
    X_AND     /* a < x < b: both relations */
} expr_kind;

#define EXPR_FNS(X)                                                                                \
    X(SIN, "sin")                                                                                  \
    X(COS, "cos")                                                                                  \
    X(TAN, "tan")                                                                                  \
    X(COT, "cot")                                                                                  \
    X(SEC, "sec") X(CSC, "csc") X(ASIN, "arcsin") X(ACOS, "arccos") X(ATAN, "arctan")              \
        X(SINH, "sinh") X(COSH, "cosh") X(TANH, "tanh") X(LN, "ln") X(EXP, "exp") X(RE, "Re")      \
            X(IM, "Im") X(SGN, "sgn") X(GCD, "gcd") X(LCM, "lcm") X(MAX, "max") X(MIN, "min")      \
                X(SQRT, "sqrt") X(ABS, "abs") X(LOG, "log") X(CBRT, "cbrt")
typedef enum expr_fn {
#define X(id, name) FN_##id,
    EXPR_FNS(X)
#undef X
        FN_COUNT
} expr_fn;
typedef enum expr_rel { REL_EQ, REL_NE, REL_LT, REL_LE, REL_GT, REL_GE, REL_IN } expr_rel;

typedef struct expr_node {
    uint8_t kind, op;
    uint16_t depth;
    uint16_t off, len;    /* X_NUM, X_VAR, X_TEXT, X_UNIT, X_BASE */
    uint16_t frac, rep;   /* X_NUM: digits behind the point, of them repeating */
    uint16_t kid, n_kids; /* in kids[] */
} expr_node;

typedef struct expr {
    uint16_t n, n_kids, n_text, root;
    uint16_t error_pos;
    const char *error;              /* NULL: parsed; else why not, at error_pos */
    expr_node node[EXPR_NODES_MAX]; /* grows; what lies behind n is not set */
    uint16_t kids[EXPR_KIDS_MAX];
    char text[2 * EXPR_TEXT_MAX + 64]; /* names and digits */
} expr;

/* Any bytes give a tree (true) or an error with its place (false). Linear in n. */
bool expr_parse(expr *x, const char *text, size_t n);
/* The canonical form in plain ASCII; parses back to an equal tree. */
void expr_print(rung_buf *b, const expr *x, uint16_t node);
/* One node a line, indented. */
void expr_dump(rung_buf *b, const expr *x, uint16_t node);
bool expr_same(const expr *a, uint16_t i, const expr *b, uint16_t k); /* structurally */

/* Adds a node; 0xffff and x->error when a cap is reached. */
enum { EXPR_NONE = 0xffff };
uint16_t expr_add(expr *x, expr_kind kind, uint8_t op, const uint16_t *kid, size_t n_kids);
uint16_t expr_add_text(expr *x, expr_kind kind, const char *p, size_t n);
void expr_fail(expr *x, const char *why); /* the first reason stays */
static inline const expr_node *expr_at(const expr *x, uint16_t i) {
    return &x->node[i];
}
static inline uint16_t expr_kid(const expr *x, uint16_t i, size_t k) {
    return x->kids[x->node[i].kid + k];
}

const char *expr_fn_name(uint8_t fn);
/* Free variables (a sum's index is bound), sorted by name; false: too many. */
typedef struct expr_vars {
    size_t n;
    char name[EXPR_VARS_MAX][24];
} expr_vars;
bool expr_vars_add(expr_vars *v, const expr *x, uint16_t node);
#endif
