/* Is an algebraic number zero?  Every expression of integers, + - * /, roots and cosines of
 * rational multiples of pi is U / L with algebraic integers U, L whose conjugates are bounded:
 * |conjugates of U| <= 2^u, of L <= 2^l, and U lies in a field of degree at most D. The norm of a
 * non-zero algebraic integer is at least 1, so |U| >= 2^(-u (D - 1)) and |U / L| is zero or at
 * least 2^-(u (D - 1) + l): evaluating it to that many bits decides. The rules for u, l are those
 * of Burnikel, Funke, Mehlhorn, Schirra, Schmitt, "A separation bound for real algebraic
 * expressions" (2001/2009); principal roots of complex numbers obey them as well, a conjugate of a
 * root being a root of a conjugate. */
#include "verify/eval.h"
#include <math.h>
#include <string.h>

enum { RADICALS_MAX = 24 };
typedef struct bound {
    double u, l;
} bound;
typedef struct radical {
    const expr *x;
    uint16_t node;
} radical;
typedef struct walk {
    work *w;
    double degree;    /* D so far */
    slong cyclotomic; /* lcm of the denominators of angles / (2 pi) */
    bool i;
    size_t n;
    radical seen[RADICALS_MAX];
} walk;

static bool integer_bits(double *out, const fmpz_t z) {
    *out = fmpz_is_zero(z) ? 0.0 : (double)fmpz_bits(z);
    return true;
}

static bool new_radical(walk *k, const expr *x, uint16_t i, double degree) {
    for (size_t r = 0; r < k->n; r++)
        if (expr_same(k->seen[r].x, k->seen[r].node, x, i)) return true;
    if (k->n == RADICALS_MAX) return false;
    k->seen[k->n++] = (radical){x, i};
    k->degree *= degree;
    return k->degree <= 4096.0;
}

/* angle = pi p / q?  in degrees or radians */
static bool angle(fmpq_t turns, walk *k, const expr *x, uint16_t i) {
    const expr_node *n = expr_at(x, i);
    gauss g;
    bool ok = false, left = false;
    gauss_init(&g);
    switch (n->kind) {
    case X_DEG:
        ok = gauss_eval(&g, k->w, x, expr_kid(x, i, 0), NULL) == VALUE_OK && fmpq_is_zero(g.im);
        fmpq_set(turns, g.re);
        if (ok) fmpq_div_fmpz(turns, turns, (fmpz[]){360});
        break;
    case X_PI:
        fmpq_set_si(turns, 1, 2);
        ok = true;
        break;
    case X_NEG:
        ok = angle(turns, k, x, expr_kid(x, i, 0));
        if (ok) fmpq_neg(turns, turns);
        break;
    case X_MUL:
    case X_DIV:
        left = angle(turns, k, x, expr_kid(x, i, 0));
        if (!left && (n->kind == X_DIV || !angle(turns, k, x, expr_kid(x, i, 1)))) break;
        ok = gauss_eval(&g, k->w, x, expr_kid(x, i, left ? 1 : 0), NULL) == VALUE_OK &&
             fmpq_is_zero(g.im) && !fmpq_is_zero(g.re);
        if (ok && n->kind == X_MUL) fmpq_mul(turns, turns, g.re);
        if (ok && n->kind == X_DIV) fmpq_div(turns, turns, g.re);
        break;
    default:
        ok = gauss_eval(&g, k->w, x, i, NULL) == VALUE_OK && fmpq_is_zero(g.re) &&
             fmpq_is_zero(g.im);
        fmpq_zero(turns);
        break;
    }
    gauss_clear(&g);
    return ok;
}

static bool trig(bound *b, walk *k, const expr *x, uint16_t i) {
    fmpq_t turns;
    bool ok = false;
    fmpq_init(turns);
    if (angle(turns, k, x, expr_kid(x, i, 0)) && fmpz_cmp_ui(fmpq_denref(turns), 720) <= 0) {
        slong q = fmpz_get_si(fmpq_denref(turns));
        slong a = k->cyclotomic, c = q * 4; /* sines need i: a fourth root of unity more */
        while (c) {
            slong t = a % c;
            a = c;
            c = t;
        }
        k->cyclotomic = k->cyclotomic / a * (q * 4);
        ok = k->cyclotomic <= 2880;
    }
    fmpq_clear(turns);
    switch (expr_at(x, i)->op) {
    case FN_SIN:
    case FN_COS: *b = (bound){1.0, 1.0}; return ok; /* 2 cos / 2 */
    case FN_TAN:
    case FN_COT: *b = (bound){1.0, 1.0}; return ok; /* 2 sin / 2 cos */
    case FN_SEC:
    case FN_CSC: *b = (bound){1.0, 1.0}; return ok;
    default: return false;
    }
}

static double log2_sum(double a, double b) {
    double hi = a > b ? a : b, lo = a > b ? b : a;
    return hi + log2(1.0 + exp2(lo - hi));
}

static bool bounds(bound *out, walk *k, const expr *x, uint16_t i);

static bool root(bound *out, walk *k, const expr *x, uint16_t i, double n) {
    bound a;
    if (!bounds(&a, k, x, expr_kid(x, i, 0)) || !new_radical(k, x, i, n)) return false;
    /* U/L -> (U L^(n-1))^(1/n) / L or U / (U^(n-1) L)^(1/n), whichever is smaller */
    if (a.u >= a.l) {
        *out = (bound){(a.u + (n - 1.0) * a.l) / n, a.l};
    } else {
        *out = (bound){a.u, ((n - 1.0) * a.u + a.l) / n};
    }
    return true;
}

/* A small positive integer that stands there as a number. */
static int small(const expr *x, uint16_t i) {
    const expr_node *n = expr_at(x, i);
    int v = 0;
    if (n->kind != X_NUM || n->frac > 0 || n->len > 2) return 0;
    for (size_t c = 0; c < n->len; c++) v = v * 10 + (x->text[n->off + c] - '0');
    return v;
}

static bool power(bound *out, walk *k, const expr *x, uint16_t i) {
    gauss g;
    bound a;
    gauss_init(&g);
    bool ok = gauss_eval(&g, k->w, x, expr_kid(x, i, 1), NULL) == VALUE_OK && fmpq_is_zero(g.im) &&
              fmpz_cmpabs(fmpq_numref(g.re), (fmpz[]){64}) <= 0 &&
              fmpz_cmp_ui(fmpq_denref(g.re), 16) <= 0 && bounds(&a, k, x, expr_kid(x, i, 0));
    if (ok) {
        double p = fabs(fmpz_get_d(fmpq_numref(g.re))), q = fmpz_get_d(fmpq_denref(g.re));
        if (fmpq_sgn(g.re) < 0) a = (bound){a.l, a.u};
        a = (bound){a.u * p, a.l * p};
        if (q > 1.0) {
            ok = new_radical(k, x, i, q);
            a = a.u >= a.l ? (bound){(a.u + (q - 1.0) * a.l) / q, a.l}
                           : (bound){a.u, ((q - 1.0) * a.u + a.l) / q};
        }
        *out = a;
    }
    gauss_clear(&g);
    return ok;
}

static bool rational(bound *out, walk *k, const expr *x, uint16_t i) {
    gauss g;
    gauss_init(&g);
    bool ok = gauss_eval(&g, k->w, x, i, NULL) == VALUE_OK && fmpq_is_zero(g.im);
    if (ok) {
        (void)integer_bits(&out->u, fmpq_numref(g.re));
        (void)integer_bits(&out->l, fmpq_denref(g.re));
    }
    gauss_clear(&g);
    return ok;
}

static bool bounds(bound *out, walk *k, const expr *x, uint16_t i) {
    const expr_node *n = expr_at(x, i);
    bound a, b;
    if (!work_spend(k->w, 1)) return false;
    switch (n->kind) {
    case X_I:
        k->i = true;
        *out = (bound){0.0, 0.0};
        return true;
    case X_NEG:
    case X_PERCENT:
    case X_DEG:
    case X_UNIT: return bounds(out, k, x, expr_kid(x, i, 0));
    case X_ADD:
    case X_SUB:
        if (!bounds(&a, k, x, expr_kid(x, i, 0)) || !bounds(&b, k, x, expr_kid(x, i, 1)))
            return false;
        *out = (bound){log2_sum(a.u + b.l, a.l + b.u), a.l + b.l};
        return true;
    case X_MUL:
        if (!bounds(&a, k, x, expr_kid(x, i, 0)) || !bounds(&b, k, x, expr_kid(x, i, 1)))
            return false;
        *out = (bound){a.u + b.u, a.l + b.l};
        return true;
    case X_DIV:
        if (!bounds(&a, k, x, expr_kid(x, i, 0)) || !bounds(&b, k, x, expr_kid(x, i, 1)))
            return false;
        *out = (bound){a.u + b.l, a.l + b.u};
        return true;
    case X_ROOT: {
        int index = small(x, expr_kid(x, i, 1));
        return index > 0 && root(out, k, x, i, (double)index);
    }
    case X_POW: return power(out, k, x, i);
    case X_FN: return n->n_kids == 1 && n->op <= FN_CSC && trig(out, k, x, i);
    default: return rational(out, k, x, i);
    }
}

bool root_bound(slong *bits, work *w, const expr *x, uint16_t i, const expr *y, uint16_t j) {
    walk k = {.w = w, .degree = 1.0, .cyclotomic = 1};
    bound a, b = {0.0, 0.0};
    if (!bounds(&a, &k, x, i)) return false;
    if (y && !bounds(&b, &k, y, j)) return false;
    double u = y ? log2_sum(a.u + b.l, a.l + b.u) : a.u, l = a.l + b.l;
    double degree = k.degree * (k.i ? 2.0 : 1.0);
    if (k.cyclotomic > 1) { /* Euler's phi */
        slong phi = k.cyclotomic, m = k.cyclotomic;
        for (slong p = 2; p <= m; p++) {
            if (m % p) continue;
            phi -= phi / p;
            while (m % p == 0) m /= p;
        }
        degree *= (double)phi;
    }
    double need = ceil(u * (degree - 1.0) + l) + 8.0;
    if (!(need <= (double)BALL_BITS_MAX - 128.0)) return false;
    *bits = (slong)need;
    return true;
}
