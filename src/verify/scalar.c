/* Numbers and functions: one key per value, and proofs that two are equal or not.
 *
 * The key of an irrational is its value rounded to KEY_BITS bits: enclosures of one number give one
 * rounding unless the number lies on a boundary between two roundings, which a rational of small
 * height does (it is told by its fraction instead) and nothing else is known to. The key of a
 * function is its values at fixed points. */
#include "verify/form.h"
#include <string.h>

enum {
    KEY_BITS = 100,      /* 30 decimal digits */
    ACCURACY_BITS = 170, /* an enclosure must have before it is rounded */
    HEIGHT_BITS = 80,    /* numerator and denominator of a value that is told as a fraction */
    NUMERIC_BITS = 768,  /* "indistinguishable": no difference seen at this precision */
    ZERO_BITS = 500,     /* an enclosure of zero this narrow is zero to us */
    AGREE_POINTS = 3,    /* where two functions must agree to be called equal */
    TRIED_POINTS = 12
};

bool expr_contains(const expr *x, uint16_t i, expr_kind kind) {
    const expr_node *n = expr_at(x, i);
    if (n->kind == kind) return true;
    for (size_t k = 0; k < n->n_kids; k++)
        if (expr_contains(x, expr_kid(x, i, k), kind)) return true;
    return false;
}

/* ---- keys ---- */

static void put_fmpq(rung_buf *out, const fmpq_t q) {
    char *num = fmpz_get_str(NULL, 10, fmpq_numref(q)),
         *den = fmpz_get_str(NULL, 10, fmpq_denref(q));
    rung_buf_printf(out, "%s/%s", num, den);
    flint_free(num);
    flint_free(den);
}

/* The simplest fraction inside a narrow ball. */
static bool simple_fraction(fmpq_t out, const arb_t x) {
    if (arb_rel_accuracy_bits(x) < ACCURACY_BITS && !arb_contains_zero(x)) return false;
    fmpz_t a, b, e;
    fmpq_t lo, hi;
    fmpz_init(a);
    fmpz_init(b);
    fmpz_init(e);
    fmpq_init(lo);
    fmpq_init(hi);
    arb_get_interval_fmpz_2exp(a, b, e, x);
    bool ok = fmpz_cmpabs(e, (fmpz[]){4 * BALL_BITS_MAX}) < 0;
    if (ok) {
        slong s = fmpz_get_si(e);
        fmpq_set_fmpz(lo, a);
        fmpq_set_fmpz(hi, b);
        if (s >= 0) {
            fmpq_mul_2exp(lo, lo, (flint_bitcnt_t)s);
            fmpq_mul_2exp(hi, hi, (flint_bitcnt_t)s);
        } else {
            fmpq_div_2exp(lo, lo, (flint_bitcnt_t)-s);
            fmpq_div_2exp(hi, hi, (flint_bitcnt_t)-s);
        }
        fmpq_simplest_between(out, lo, hi);
        ok = fmpz_bits(fmpq_numref(out)) + fmpz_bits(fmpq_denref(out)) <= HEIGHT_BITS;
    }
    fmpz_clear(a);
    fmpz_clear(b);
    fmpz_clear(e);
    fmpq_clear(lo);
    fmpq_clear(hi);
    return ok;
}

/* One real number; false: not accurate enough to be rounded. */
static bool put_real(rung_buf *out, const arb_t x) {
    fmpq_t q;
    fmpq_init(q);
    bool simple = simple_fraction(q, x);
    if (simple) put_fmpq(out, q);
    fmpq_clear(q);
    if (simple) return true;
    if (arb_rel_accuracy_bits(x) < ACCURACY_BITS) return false;
    arb_t y;
    fmpz_t n, e;
    arb_init(y);
    fmpz_init(n);
    fmpz_init(e);
    arf_abs_bound_lt_2exp_fmpz(e, arb_midref(x));
    bool ok = fmpz_cmpabs(e, (fmpz[]){1 << 20}) < 0;
    if (ok) {
        slong s = fmpz_get_si(e);
        arb_mul_2exp_si(y, x, KEY_BITS - s);
        arf_t half;
        arf_init(half);
        arf_set_d(half, 0.5);
        arb_add_arf(y, y, half, 2 * KEY_BITS + 64);
        arb_floor(y, y, 2 * KEY_BITS);
        arf_clear(half);
        ok = arb_get_unique_fmpz(n, y) != 0;
        char *text = fmpz_get_str(NULL, 32, n);
        if (ok) rung_buf_printf(out, "%s^%ld", text, (long)s);
        flint_free(text);
    }
    arb_clear(y);
    fmpz_clear(n);
    fmpz_clear(e);
    return ok;
}

static bool narrow_zero(const arb_t x, slong bits) {
    return arb_contains_zero(x) && mag_cmp_2exp_si(arb_radref(x), -bits) < 0;
}

/* Is a ball good enough, and does it lie in the real domain where it should? */
typedef enum { SEEN, UNSEEN, OUTSIDE } seen;
static seen look(acb_t z, bool imaginary) {
    bool re = arb_rel_accuracy_bits(acb_realref(z)) >= ACCURACY_BITS ||
              narrow_zero(acb_realref(z), ZERO_BITS);
    bool im = arb_is_zero(acb_imagref(z)) ||
              arb_rel_accuracy_bits(acb_imagref(z)) >= ACCURACY_BITS ||
              narrow_zero(acb_imagref(z), ZERO_BITS);
    if (!imaginary && !arb_contains_zero(acb_imagref(z))) return OUTSIDE;
    if (!re || !im) return UNSEEN;
    if (arb_contains_zero(acb_realref(z))) arb_zero(acb_realref(z));
    if (arb_contains_zero(acb_imagref(z))) arb_zero(acb_imagref(z));
    return SEEN;
}

/* The value at a point as text; false: undefined there, or the budget is spent. */
static bool put_value(rung_buf *out, work *w, const expr *x, uint16_t i, int point,
                      bool imaginary) {
    bool ok = false;
    acb_t z;
    acb_init(z);
    for (slong bits = 256; bits <= 4 * NUMERIC_BITS; bits *= 3) {
        ball_env e = {.w = w, .bits = bits, .point = point};
        if (ball_eval(z, &e, x, i) != VALUE_OK) break;
        seen s = look(z, imaginary);
        if (s == OUTSIDE) break;
        if (s == UNSEEN) continue;
        size_t before = out->n;
        ok = put_real(out, acb_realref(z));
        if (ok && !arb_is_zero(acb_imagref(z))) {
            rung_buf_str(out, ",");
            ok = put_real(out, acb_imagref(z));
        }
        if (ok) break;
        out->n = before;
    }
    acb_clear(z);
    return ok;
}

static void put_string_key(rung_buf *out, const expr *x, uint16_t i) {
    rung_buf_str(out, "s:");
    expr_print(out, x, i);
}

/* Of a value's text: a fraction, a rounded real, a complex number. */
static char kind_of(const char *value) {
    return strchr(value, ',') ? 'c' : strchr(value, '^') ? 'n' : 'q';
}

static void constant_key(rung_buf *out, work *w, const expr *x, uint16_t i) {
    size_t before = out->n;
    rung_buf_str(out, "q:");
    if (put_value(out, w, x, i, 0, true)) {
        out->data[before] = kind_of(out->data + before);
        return;
    }
    out->n = before;
    put_string_key(out, x, i);
}

static void function_key(rung_buf *out, work *w, const expr *x, uint16_t i) {
    rung_buf all;
    char text[POINTS][256];
    size_t n_seen = 0, same = 0;
    bool imaginary = expr_contains(x, i, X_I);
    rung_buf_init(&all, 1 << 16);
    for (int p = 0; p < POINTS; p++) {
        rung_buf one;
        rung_buf_init(&one, 1 << 12);
        bool ok = put_value(&one, w, x, i, p, imaginary);
        snprintf(text[p], sizeof text[p], "%s", ok && one.data ? one.data : "-");
        rung_buf_clear(&one);
        n_seen += ok;
        same += strcmp(text[p], text[0]) == 0;
        rung_buf_printf(&all, "%s|", text[p]);
    }
    if (n_seen == 0 || all.failed) {
        put_string_key(out, x, i);
    } else if (same == POINTS) { /* a constant after all */
        rung_buf_printf(out, "%c:%s", kind_of(text[0]), text[0]);
    } else {
        char hash[33];
        rung_hash_hex(hash, all.data, all.n);
        rung_buf_printf(out, "f:%s", hash);
    }
    rung_buf_clear(&all);
}

static int infinite(const expr *x, uint16_t i) {
    const expr_node *n = expr_at(x, i);
    if (n->kind == X_INF) return 1;
    if (n->kind == X_NEG && expr_at(x, expr_kid(x, i, 0))->kind == X_INF) return -1;
    return 0;
}

void scalar_key(rung_buf *out, work *w, const expr *x, uint16_t i) {
    gauss g;
    expr_vars vars = {0};
    int inf = infinite(x, i);
    if (inf) {
        rung_buf_str(out, inf > 0 ? "+inf" : "-inf");
        return;
    }
    gauss_init(&g);
    value_state st = gauss_eval(&g, w, x, i, NULL);
    if (st == VALUE_OK) {
        rung_buf_str(out, fmpq_is_zero(g.im) ? "q:" : "c:");
        put_fmpq(out, g.re);
        if (!fmpq_is_zero(g.im)) {
            rung_buf_str(out, ",");
            put_fmpq(out, g.im);
        }
    } else if (st != VALUE_OPEN || !expr_vars_add(&vars, x, i)) {
        put_string_key(out, x, i);
    } else if (vars.n == 0) {
        constant_key(out, w, x, i);
    } else {
        function_key(out, w, x, i);
    }
    gauss_clear(&g);
}

/* ---- comparison ---- */

static decision decided(rung_verdict v, const char *rule, const char *reason) {
    return (decision){v, rule, reason, -1, 0};
}
#define CORRECT RUNG_VERDICT_CORRECT
#define WRONG   RUNG_VERDICT_WRONG
#define UNKNOWN RUNG_VERDICT_UNKNOWN

static const char *state_reason(value_state st) {
    return st == VALUE_UNDEFINED ? "undefined value"
           : st == VALUE_BUDGET  ? "beyond the work budget"
                                 : "no number";
}

/* x - y at a point. */
static value_state gap(acb_t out, work *w, const expr *x, uint16_t i, const expr *y, uint16_t k,
                       int point, slong bits, bool *outside, bool imaginary) {
    acb_t a, b;
    acb_init(a);
    acb_init(b);
    ball_env e = {.w = w, .bits = bits, .point = point};
    value_state st = ball_eval(a, &e, x, i);
    if (st == VALUE_OK) st = ball_eval(b, &e, y, k);
    *outside = st == VALUE_OK && !imaginary &&
               (!arb_contains_zero(acb_imagref(a)) || !arb_contains_zero(acb_imagref(b)));
    if (st == VALUE_OK) acb_sub(out, a, b, bits);
    acb_clear(a);
    acb_clear(b);
    return st;
}

static bool near_zero(const acb_t z, slong bits) {
    return narrow_zero(acb_realref(z), bits) &&
           (arb_is_zero(acb_imagref(z)) || narrow_zero(acb_imagref(z), bits));
}

static decision constants(work *w, const expr *x, uint16_t i, const expr *y, uint16_t k) {
    slong bound = 0;
    bool algebraic = root_bound(&bound, w, x, i, y, k), outside;
    const char *rule = algebraic ? "algebraic" : "numeric";
    slong need = algebraic ? bound : ZERO_BITS, last = 0;
    decision d = decided(UNKNOWN, rule, "precision exhausted");
    acb_t z;
    acb_init(z);
    for (slong bits = 128; d.verdict == UNKNOWN && last < BALL_BITS_MAX; bits *= 2) {
        if (bits > need + 64 && last < need + 64) bits = need + 64;
        if (bits > BALL_BITS_MAX) bits = BALL_BITS_MAX;
        last = bits;
        value_state st = gap(z, w, x, i, y, k, 0, bits, &outside, true);
        if (st != VALUE_OK) {
            d.reason = state_reason(st);
            break;
        }
        d.bits = bits;
        if (!acb_contains_zero(z)) {
            d.verdict = WRONG;
            d.reason = "";
        } else if (near_zero(z, need)) {
            d.verdict = CORRECT;
            d.reason = "";
        }
    }
    acb_clear(z);
    return d;
}

/* At one point: WRONG proven different, CORRECT indistinguishable, UNKNOWN no value there. */
static rung_verdict at_point(work *w, const expr *x, uint16_t i, const expr *y, uint16_t k,
                             int point, bool imaginary, value_state *st) {
    rung_verdict v = RUNG_VERDICT_UNKNOWN;
    bool outside;
    acb_t z;
    acb_init(z);
    for (slong bits = 128; bits <= NUMERIC_BITS; bits *= 6) {
        *st = gap(z, w, x, i, y, k, point, bits, &outside, imaginary);
        if (*st != VALUE_OK || outside) break;
        if (!acb_contains_zero(z)) {
            v = RUNG_VERDICT_WRONG;
            break;
        }
        if (near_zero(z, ZERO_BITS)) v = RUNG_VERDICT_CORRECT;
    }
    acb_clear(z);
    return v;
}

static decision functions(work *w, const expr *x, uint16_t i, const expr *y, uint16_t k) {
    bool imaginary = expr_contains(x, i, X_I) || expr_contains(y, k, X_I);
    int agree = 0;
    value_state st = VALUE_OK;
    for (int p = 0; p < TRIED_POINTS; p++) {
        rung_verdict v = at_point(w, x, i, y, k, p, imaginary, &st);
        if (st == VALUE_BUDGET) return decided(UNKNOWN, "numeric", state_reason(st));
        if (v == WRONG) {
            decision d = decided(WRONG, "numeric", "");
            d.point = p;
            d.bits = 128;
            return d;
        }
        agree += v == CORRECT;
        if (p + 1 >= POINTS && agree >= AGREE_POINTS) break;
    }
    if (agree < AGREE_POINTS) return decided(UNKNOWN, "numeric", "no common domain seen");
    decision d = decided(CORRECT, "numeric", "");
    d.bits = NUMERIC_BITS;
    return d;
}

static decision exact(const gauss *a, const gauss *b) {
    return decided(fmpq_equal(a->re, b->re) && fmpq_equal(a->im, b->im) ? CORRECT : WRONG,
                   "rational", "");
}

decision scalar_compare(work *w, const expr *x, uint16_t i, const expr *y, uint16_t k) {
    int p = infinite(x, i), q = infinite(y, k);
    if (p || q) return decided(p == q ? CORRECT : WRONG, "infinity", "");
    gauss a, b;
    gauss_init(&a);
    gauss_init(&b);
    value_state s = gauss_eval(&a, w, x, i, NULL), t = gauss_eval(&b, w, y, k, NULL);
    decision d = decided(UNKNOWN, "", "");
    bool done = true;
    if (s == VALUE_OK && t == VALUE_OK) {
        d = exact(&a, &b);
    } else if ((s != VALUE_OK && s != VALUE_OPEN) || (t != VALUE_OK && t != VALUE_OPEN)) {
        d.reason = state_reason(s != VALUE_OK && s != VALUE_OPEN ? s : t);
        if (expr_same(x, i, y, k)) d = decided(CORRECT, "string", "");
    } else {
        done = false;
    }
    gauss_clear(&a);
    gauss_clear(&b);
    if (done) return d;
    expr_vars vars = {0};
    if (!expr_vars_add(&vars, x, i) || !expr_vars_add(&vars, y, k))
        return decided(UNKNOWN, "numeric", "too many variables");
    if (vars.n == 0) return constants(w, x, i, y, k);
    if (poly_equal(w, (poly_pair){x, i}, (poly_pair){y, k}))
        return decided(CORRECT, "polynomial", "");
    return functions(w, x, i, y, k);
}

void scalar_explain(rung_buf *out, const expr *x, uint16_t i, int point) {
    work w = {WORK_MAX};
    ball_env e = {.w = &w, .bits = 128, .point = point < 0 ? 0 : point};
    acb_t z;
    acb_init(z);
    if (ball_eval(z, &e, x, i) == VALUE_OK) {
        char *re = arb_get_str(acb_realref(z), 20, 0), *im = arb_get_str(acb_imagref(z), 20, 0);
        rung_buf_str(out, re);
        if (!arb_is_zero(acb_imagref(z))) rung_buf_printf(out, " + (%s) i", im);
        flint_free(re);
        flint_free(im);
    } else {
        rung_buf_str(out, "no value");
    }
    acb_clear(z);
}
