/* Formulas of logic and arithmetic, and their text for the solver (SMT-LIB 2). All formulas of an
 * instance live in one theory: nodes by index, children before parents, so that a formula that
 * refers to an earlier one shares it. */
#ifndef RUNG_SRC_VERIFY_STEP_FORMULA_H
#define RUNG_SRC_VERIFY_STEP_FORMULA_H
#include "rung/base.h"

enum {
    FORMULA_NODES_MAX = 1 << 16,
    FORMULA_SYMS_MAX = 512,
    FORMULA_DEPTH_MAX = 200, /* of a tree; walks recurse on it */
    FORMULA_NAME_MAX = 32,
    FORMULA_TEXT_MAX = 1 << 18, /* bytes of a query */
    FORMULA_POWER_MAX = 16
};

typedef enum formula_kind {
    L_TRUE,
    L_FALSE,
    L_PROP, /* sym */
    L_PRED, /* sym of a predicate; a: sym of a constant or a bound variable */
    L_NOT,
    L_AND,
    L_OR,
    L_IMP,
    L_IFF,
    L_ALL, /* sym: the variable; a: the body */
    L_EX,
    L_CMP, /* op: = ! < l > g d (divides) */
    L_NUM, /* text off, len of the theory's text */
    L_VAR, /* sym: a number */
    L_ADD,
    L_SUB,
    L_MUL,
    L_DIV,  /* of reals */
    L_IDIV, /* to the floor; by zero: 0 */
    L_MOD,  /* a - b (a div b) */
    L_POW,  /* b: a small number */
    L_NEG,
    L_ABS,
    L_MIN,
    L_MAX
} formula_kind;
typedef enum formula_sort { SORT_BOOL, SORT_NAT, SORT_INT, SORT_REAL, SORT_THING } formula_sort;

typedef struct formula_node {
    uint8_t kind, op, sort;
    uint16_t depth;
    int32_t sym, a, b;
} formula_node;

typedef enum sym_kind { SYM_PROP, SYM_PRED, SYM_CONST, SYM_BOUND, SYM_NUMBER } sym_kind;
typedef struct formula_sym {
    char name[FORMULA_NAME_MAX];
    uint8_t kind, sort;
} formula_sym;

typedef struct theory {
    formula_node *node;
    int32_t n, cap;
    formula_sym *sym;
    int32_t n_sym;
    rung_buf text;   /* digits of L_NUM; */
    const char *why; /* why the last formula could not be read; NULL */
} theory;
void theory_init(theory *t);
void theory_clear(theory *t);

enum { FORMULA_NONE = -1 };
int32_t formula_add(theory *t, formula_kind kind, uint8_t op, int32_t sym, int32_t a, int32_t b);
int32_t formula_number(theory *t, const char *digits, size_t n); /* "12", "1.50" */
/* The symbol of that name and kind, made when it is new; FORMULA_NONE: too many, too long. */
int32_t formula_symbol(theory *t, const char *name, size_t n, sym_kind kind, formula_sort sort);
int32_t formula_find(const theory *t, const char *name, size_t n, sym_kind kind);
/* Sets t->why (the first reason stays) and returns FORMULA_NONE. */
int32_t formula_fail(theory *t, const char *why);

/* Is it true that whatever makes all of `given` true makes `goal` true? The query that is
 * unsatisfiable exactly then; goal FORMULA_NONE: are the given ones contradictory? false: too
 * large. */
bool formula_query(rung_buf *out, const theory *t, const int32_t *given, size_t n_given,
                   int32_t goal);

/* One formula as the solver reads it, without declarations; false: too large. */
bool formula_text(rung_buf *out, const theory *t, int32_t f);

/* What a name stands for in a formula, beside the theory's symbols ("fact1"). */
typedef struct formula_name {
    char name[FORMULA_NAME_MAX];
    int32_t formula;
} formula_name;
typedef struct formula_names {
    formula_name *v;
    int32_t n, cap;
} formula_names;
bool formula_names_set(formula_names *s, const char *name, size_t n, int32_t formula);
int32_t formula_names_get(const formula_names *s, const char *name, size_t n);
static inline void formula_names_clear(formula_names *s) {
    rung_free(s->v);
    *s = (formula_names){0};
}

/* FLD's grammar (labels.md 6A): {A} {AB} {A}{a} {A}x (x): F (Ex): F not: ¬ ~ and: & or: v implies:
 * -> brackets, and names. FORMULA_NONE: t->why. */
int32_t fld_parse(theory *t, const formula_names *names, const char *text, size_t n);
/* Arithmetic and propositions: docs/verifiers.md. Names that are not declared are real numbers. */
int32_t arith_parse(theory *t, const char *text, size_t n);
/* "int", "nat", "real", "bool", "prop": false: none of them. */
bool sort_read(formula_sort *out, const char *p, size_t n);
#endif
