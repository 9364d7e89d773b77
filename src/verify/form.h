/* An answer as a mathematical object: its tree brought to one shape, its canonical key, and the
 * comparison of two of them. */
#ifndef RUNG_SRC_VERIFY_FORM_H
#define RUNG_SRC_VERIFY_FORM_H
#include "rung/verify.h"
#include "verify/eval.h"
#include "verify/expr.h"
#include "verify/units.h"

typedef struct form {
    expr *x;           /* owned */
    uint16_t root;     /* after "x =", "x \in" and a unit at the end are taken off */
    char variable[24]; /* of "x ="; "" none */
    bool has_unit;
    unit u;
} form;

/* How a comparison was decided, for --explain. */
typedef struct decision {
    rung_verdict verdict;
    const char *rule, *reason;
    int point;  /* of the variables where two values differ; -1 none */
    slong bits; /* precision that decided; 0: exact */
} decision;

/* false: no tree; x->error says why. The form keeps x. */
bool form_make(form *f, expr *x, work *w, const char *text, size_t n);
/* Canonical key, without its cap of 127 bytes (the caller hashes a longer one). */
void form_key(rung_buf *out, const form *f, work *w);
decision form_compare(const form *a, const form *b, work *w);
/* Two scalars. */
decision scalar_compare(work *w, const expr *x, uint16_t i, const expr *y, uint16_t k);
void scalar_key(rung_buf *out, work *w, const expr *x, uint16_t i);
bool expr_contains(const expr *x, uint16_t i, expr_kind kind);
/* Values of both at a point as decimals, for --explain. */
void scalar_explain(rung_buf *out, const expr *x, uint16_t i, int point);
#endif
