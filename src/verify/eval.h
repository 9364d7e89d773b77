/* Values of expression trees: exact (Gaussian rationals), balls (Arb), polynomials, root bounds.
 * One budget for a whole check, counted in operations: when it is spent, everything says so at
 * once. No clock, no signal. */
#ifndef RUNG_SRC_VERIFY_EVAL_H
#define RUNG_SRC_VERIFY_EVAL_H
#include "verify/exact.h"
#include "verify/expr.h"

typedef enum value_state {
    VALUE_OK,
    VALUE_OPEN,      /* not of this kind: a variable, an irrational, a set .. */
    VALUE_UNDEFINED, /* division by zero and the like */
    VALUE_BUDGET     /* too large or too much work */
} value_state;

/* A sum's index while its body is evaluated. */
typedef struct binding {
    const struct binding *next;
    const char *name;
    size_t n;
    const fmpz *value;
} binding;

typedef struct work {
    int64_t left; /* units of about a microsecond */
} work;
static inline bool work_spend(work *w, int64_t n) {
    w->left -= n;
    return w->left >= 0;
}

/* Exact: re + im i. out is initialised by the caller (gauss_init) and reusable. */
typedef struct gauss {
    fmpq_t re, im;
} gauss;
void gauss_init(gauss *g);
void gauss_clear(gauss *g);
value_state gauss_eval(gauss *out, work *w, const expr *x, uint16_t node, const binding *env);
/* The index bounds of a sum as machine integers. */
value_state series_bounds(slong *from, slong *to, work *w, const expr *x, uint16_t node,
                          const binding *env);

/* Balls at point number `point` of the plane of variables (fixed by the variables' names). */
enum { POINTS_POSITIVE = 3, POINTS_MIXED = 3, POINTS = POINTS_POSITIVE + POINTS_MIXED };
typedef struct ball_env {
    work *w;
    slong bits;
    int point;
    bool in_trig; /* degrees are turned into radians */
    const binding *env;
} ball_env;
value_state ball_eval(acb_t out, ball_env *e, const expr *x, uint16_t node);
/* The point's coordinate of a variable, exactly, for --explain: k / 2^10. */
int32_t ball_coordinate(const char *name, size_t n, int point);

/* log2 of a bound under which a non-zero |a - b| cannot lie; false: not algebraic numbers, or the
 * bound is beyond BALL_BITS_MAX. b NULL: of a alone. */
bool root_bound(slong *bits, work *w, const expr *a, uint16_t i, const expr *b, uint16_t k);
/* Is a - b identically zero as a rational function of the variables and of all other atoms? */
typedef struct poly_pair {
    const expr *x;
    uint16_t node;
} poly_pair;
bool poly_equal(work *w, poly_pair a, poly_pair b);
/* Equation left = right -> its canonical polynomial as text; false: not a polynomial one. `sign`:
 * an inequality, which may not be multiplied by -1. */
bool poly_equation(rung_buf *out, work *w, const expr *x, uint16_t left, uint16_t right, bool sign);
/* a x + b = 0 with rational a, b in its one variable: x. */
bool poly_linear_root(fmpq_t root, work *w, const expr *x, uint16_t left, uint16_t right);

/* Frees what FLINT keeps per thread when the thread ends. Cheap; call before the first use. */
void eval_thread(void);
#endif
