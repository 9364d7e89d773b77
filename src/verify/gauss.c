/* Exact values: Gaussian rationals, sizes bounded before every operation. */
#include "verify/eval.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

void gauss_init(gauss *g) {
    fmpq_init(g->re);
    fmpq_init(g->im);
}

void gauss_clear(gauss *g) {
    fmpq_clear(g->re);
    fmpq_clear(g->im);
}

static void set_real(gauss *g, const fmpq_t re) {
    fmpq_set(g->re, re);
    fmpq_zero(g->im);
}

static flint_bitcnt_t bits(const fmpq_t q) {
    return fmpz_bits(fmpq_numref(q)) + fmpz_bits(fmpq_denref(q));
}

static value_state sized(const gauss *g) {
    return bits(g->re) + bits(g->im) <= 2 * EXACT_BITS_MAX ? VALUE_OK : VALUE_BUDGET;
}

static bool real(const gauss *g) {
    return fmpq_is_zero(g->im);
}
static bool integer(const gauss *g) {
    return real(g) && fmpz_is_one(fmpq_denref(g->re));
}

/* Digits of any base up to 36. */
static value_state digits(fmpz_t out, const char *p, size_t n, ulong base) {
    if (n > EXACT_BITS_MAX / 4) return VALUE_BUDGET;
    fmpz_zero(out);
    for (size_t i = 0; i < n; i++) {
        fmpz_mul_ui(out, out, base);
        fmpz_add_ui(out, out, (ulong)(p[i] <= '9' ? p[i] - '0' : p[i] - 'A' + 10));
    }
    return VALUE_OK;
}

static value_state literal(gauss *out, const expr *x, const expr_node *n) {
    const char *p = x->text + n->off;
    fmpz_t den, head;
    value_state st = digits(fmpq_numref(out->re), p, n->len, 10);
    fmpq_zero(out->im);
    if (st != VALUE_OK) return st;
    fmpz_one(fmpq_denref(out->re));
    if (n->frac == 0) return VALUE_OK;
    fmpz_init(den);
    fmpz_init(head);
    if (n->rep == 0) {
        fmpz_ui_pow_ui(den, 10, n->frac);
    } else { /* 0.1(6): (16 - 1) / (10 (10 - 1)) */
        (void)digits(head, p, (size_t)(n->len - n->rep), 10);
        fmpz_sub(fmpq_numref(out->re), fmpq_numref(out->re), head);
        fmpz_ui_pow_ui(den, 10, n->rep);
        fmpz_sub_ui(den, den, 1);
        fmpz_ui_pow_ui(head, 10, (ulong)(n->frac - n->rep));
        fmpz_mul(den, den, head);
    }
    fmpz_set(fmpq_denref(out->re), den);
    fmpq_canonicalise(out->re);
    fmpz_clear(den);
    fmpz_clear(head);
    return VALUE_OK;
}

static void times(gauss *out, const gauss *a, const gauss *b) {
    fmpq_t t, u;
    if (real(a) && real(b)) {
        fmpq_mul(out->re, a->re, b->re);
        fmpq_zero(out->im);
        return;
    }
    fmpq_init(t);
    fmpq_init(u);
    fmpq_mul(t, a->re, b->re);
    fmpq_submul(t, a->im, b->im);
    fmpq_mul(u, a->re, b->im);
    fmpq_addmul(u, a->im, b->re);
    fmpq_swap(out->re, t);
    fmpq_swap(out->im, u);
    fmpq_clear(t);
    fmpq_clear(u);
}

static value_state over(gauss *out, const gauss *a, const gauss *b) {
    gauss c;
    fmpq_t norm;
    if (fmpq_is_zero(b->re) && real(b)) return VALUE_UNDEFINED;
    if (real(a) && real(b)) {
        fmpq_div(out->re, a->re, b->re);
        fmpq_zero(out->im);
        return VALUE_OK;
    }
    gauss_init(&c);
    fmpq_init(norm);
    fmpq_mul(norm, b->re, b->re);
    fmpq_addmul(norm, b->im, b->im);
    fmpq_set(c.re, b->re);
    fmpq_neg(c.im, b->im);
    times(out, a, &c);
    fmpq_div(out->re, out->re, norm);
    fmpq_div(out->im, out->im, norm);
    fmpq_clear(norm);
    gauss_clear(&c);
    return VALUE_OK;
}

/* The exact k-th root of a non-negative rational. */
static bool exact_root(fmpq_t out, const fmpq_t q, slong k) {
    fmpz_t a, b;
    fmpz_init(a);
    fmpz_init(b);
    bool ok = fmpz_root(a, fmpq_numref(q), k) && fmpz_root(b, fmpq_denref(q), k);
    if (ok) {
        fmpz_set(fmpq_numref(out), a);
        fmpz_set(fmpq_denref(out), b);
    }
    fmpz_clear(a);
    fmpz_clear(b);
    return ok;
}

static value_state root(gauss *out, const gauss *a, const gauss *index) {
    if (!integer(index) || fmpz_cmp_ui(fmpq_numref(index->re), 64) > 0 ||
        fmpz_sgn(fmpq_numref(index->re)) <= 0 || !real(a))
        return VALUE_OPEN;
    slong k = fmpz_get_si(fmpq_numref(index->re));
    bool neg = fmpq_sgn(a->re) < 0;
    fmpq_t t;
    fmpq_init(t);
    fmpq_abs(t, a->re);
    bool ok = (!neg || k % 2 == 1 || k == 2) && exact_root(t, t, k);
    if (ok) {
        set_real(out, t);
        if (neg && k % 2 == 1) fmpq_neg(out->re, out->re);
        if (neg && k == 2) {
            fmpq_swap(out->re, out->im);
        }
    }
    fmpq_clear(t);
    return ok ? VALUE_OK : VALUE_OPEN;
}

static value_state power_int(gauss *out, work *w, const gauss *a, const fmpz_t e) {
    if (fmpz_is_zero(e)) {
        if (fmpq_is_zero(a->re) && real(a)) return VALUE_UNDEFINED;
        fmpq_one(out->re);
        fmpq_zero(out->im);
        return VALUE_OK;
    }
    bool unit = real(a) && fmpz_is_pm1(fmpq_numref(a->re)) && fmpz_is_one(fmpq_denref(a->re));
    bool zero = real(a) && fmpq_is_zero(a->re);
    if (zero) {
        if (fmpz_sgn(e) < 0) return VALUE_UNDEFINED;
        fmpq_zero(out->re);
        fmpq_zero(out->im);
        return VALUE_OK;
    }
    if (unit) {
        bool minus = fmpq_sgn(a->re) < 0 && fmpz_is_odd(e);
        fmpq_set_si(out->re, minus ? -1 : 1, 1);
        fmpq_zero(out->im);
        return VALUE_OK;
    }
    ulong size = bits(a->re) + bits(a->im);
    if (fmpz_bits(e) > 20) return VALUE_BUDGET;
    ulong n = (ulong)labs(fmpz_get_si(e));
    if (size * n > 2 * EXACT_BITS_MAX || !work_spend(w, 2 + (int64_t)n / 16)) return VALUE_BUDGET;
    gauss base, r;
    gauss_init(&base);
    gauss_init(&r);
    fmpq_set(base.re, a->re);
    fmpq_set(base.im, a->im);
    fmpq_one(r.re);
    for (; n > 0; n >>= 1) {
        if (n & 1) times(&r, &r, &base);
        if (n > 1) times(&base, &base, &base);
    }
    value_state st = VALUE_OK;
    if (fmpz_sgn(e) < 0) {
        fmpq_one(base.re);
        fmpq_zero(base.im);
        st = over(out, &base, &r);
    } else {
        fmpq_set(out->re, r.re);
        fmpq_set(out->im, r.im);
    }
    gauss_clear(&base);
    gauss_clear(&r);
    return st;
}

static value_state power(gauss *out, work *w, const gauss *a, const gauss *e) {
    if (!real(e)) return VALUE_OPEN;
    if (integer(e)) return power_int(out, w, a, fmpq_numref(e->re));
    if (!real(a) || fmpq_sgn(a->re) < 0 || fmpz_cmp_ui(fmpq_denref(e->re), 64) > 0)
        return VALUE_OPEN;
    gauss index, r;
    gauss_init(&index);
    gauss_init(&r);
    fmpz_set(fmpq_numref(index.re), fmpq_denref(e->re));
    value_state st = root(&r, a, &index);
    if (st == VALUE_OK) st = power_int(out, w, &r, fmpq_numref(e->re));
    gauss_clear(&index);
    gauss_clear(&r);
    return st;
}

static value_state factorial(gauss *out, work *w, const gauss *a, bool twice) {
    if (!integer(a) || fmpz_sgn(fmpq_numref(a->re)) < 0) return VALUE_OPEN;
    if (fmpz_cmp_ui(fmpq_numref(a->re), 600) > 0) return VALUE_BUDGET; /* 600! has 4,676 bits */
    ulong n = fmpz_get_ui(fmpq_numref(a->re));
    if (!work_spend(w, 1 + (int64_t)n / 8)) return VALUE_BUDGET;
    fmpq_one(out->re);
    fmpq_zero(out->im);
    if (twice) {
        for (; n > 1; n -= 2) fmpz_mul_ui(fmpq_numref(out->re), fmpq_numref(out->re), n);
    } else {
        fmpz_fac_ui(fmpq_numref(out->re), n);
    }
    return fmpz_bits(fmpq_numref(out->re)) <= EXACT_BITS_MAX ? VALUE_OK : VALUE_BUDGET;
}

static value_state binomial(gauss *out, work *w, const gauss *n, const gauss *k) {
    if (!integer(n) || !integer(k) || fmpq_sgn(n->re) < 0 || fmpq_sgn(k->re) < 0) return VALUE_OPEN;
    if (fmpz_cmp_ui(fmpq_numref(n->re), 100000) > 0) return VALUE_BUDGET;
    ulong a = fmpz_get_ui(fmpq_numref(n->re));
    fmpq_zero(out->im);
    fmpz_one(fmpq_denref(out->re));
    if (fmpz_cmp(fmpq_numref(k->re), fmpq_numref(n->re)) > 0) {
        fmpz_zero(fmpq_numref(out->re));
        return VALUE_OK;
    }
    ulong b = fmpz_get_ui(fmpq_numref(k->re));
    if (b > a - b) b = a - b;
    if (b * FLINT_BIT_COUNT(a) > 2 * EXACT_BITS_MAX || !work_spend(w, 1 + (int64_t)b))
        return VALUE_BUDGET;
    fmpz_bin_uiui(fmpq_numref(out->re), a, b);
    return VALUE_OK;
}

/* log_base(arg) = p/q when base^p = arg^q. */
static value_state logarithm(gauss *out, work *w, const gauss *a, const gauss *b) {
    if (!real(a) || !real(b)) return VALUE_OPEN;
    if (fmpq_sgn(a->re) <= 0 || fmpq_sgn(b->re) <= 0 || fmpq_is_one(b->re))
        return fmpq_is_zero(a->re) || fmpq_is_one(b->re) ? VALUE_UNDEFINED : VALUE_OPEN;
    double guess = fmpz_dlog(fmpq_numref(a->re)) - fmpz_dlog(fmpq_denref(a->re));
    guess /= fmpz_dlog(fmpq_numref(b->re)) - fmpz_dlog(fmpq_denref(b->re));
    if (!isfinite(guess) || fabs(guess) > 4096) return VALUE_OPEN;
    gauss l, r;
    fmpz_t e;
    value_state st = VALUE_OPEN;
    gauss_init(&l);
    gauss_init(&r);
    fmpz_init(e);
    for (slong q = 1; q <= 12 && st == VALUE_OPEN; q++) {
        double p = nearbyint(guess * (double)q);
        if (fabs(guess * (double)q - p) > 1e-9 * (1 + fabs(p))) continue;
        fmpz_set_si(e, (slong)p);
        if (fmpz_is_zero(e)) {
            fmpq_one(l.re);
        } else if (power_int(&l, w, b, e) != VALUE_OK) {
            continue;
        }
        fmpz_set_si(e, q);
        if (power_int(&r, w, a, e) != VALUE_OK || !fmpq_equal(l.re, r.re)) continue;
        fmpq_set_si(out->re, (slong)p, (ulong)q);
        fmpq_zero(out->im);
        st = VALUE_OK;
    }
    gauss_clear(&l);
    gauss_clear(&r);
    fmpz_clear(e);
    return st;
}

static value_state modulus(gauss *out, const gauss *a) {
    if (real(a)) {
        fmpq_abs(out->re, a->re);
        fmpq_zero(out->im);
        return VALUE_OK;
    }
    fmpq_t t;
    fmpq_init(t);
    fmpq_mul(t, a->re, a->re);
    fmpq_addmul(t, a->im, a->im);
    bool ok = exact_root(t, t, 2);
    if (ok) set_real(out, t);
    fmpq_clear(t);
    return ok ? VALUE_OK : VALUE_OPEN;
}

static value_state whole(gauss *out, const gauss *a, bool up) {
    if (!real(a)) return VALUE_OPEN;
    fmpz_t t;
    fmpz_init(t);
    if (up) {
        fmpz_cdiv_q(t, fmpq_numref(a->re), fmpq_denref(a->re));
    } else {
        fmpz_fdiv_q(t, fmpq_numref(a->re), fmpq_denref(a->re));
    }
    fmpq_set_fmpz(out->re, t);
    fmpq_zero(out->im);
    fmpz_clear(t);
    return VALUE_OK;
}

/* gcd, lcm, max, min: one argument more. */
static value_state several(gauss *acc, const gauss *a, uint8_t fn) {
    if (!real(a) || ((fn == FN_GCD || fn == FN_LCM) && !integer(a))) return VALUE_OPEN;
    int c = fmpq_cmp(a->re, acc->re);
    if (fn == FN_GCD) fmpz_gcd(fmpq_numref(acc->re), fmpq_numref(acc->re), fmpq_numref(a->re));
    if (fn == FN_LCM) fmpz_lcm(fmpq_numref(acc->re), fmpq_numref(acc->re), fmpq_numref(a->re));
    if ((fn == FN_MAX && c > 0) || (fn == FN_MIN && c < 0)) fmpq_set(acc->re, a->re);
    return sized(acc);
}

static value_state function(gauss *out, work *w, const expr *x, uint16_t i, const binding *env) {
    const expr_node *n = expr_at(x, i);
    if (n->op != FN_RE && n->op != FN_IM && n->op != FN_SGN && (n->op < FN_GCD || n->op > FN_MIN))
        return VALUE_OPEN;
    gauss a;
    gauss_init(&a);
    value_state st = gauss_eval(out, w, x, expr_kid(x, i, 0), env);
    if (st == VALUE_OK && n->op == FN_IM) fmpq_swap(out->re, out->im);
    if (st == VALUE_OK && n->op == FN_SGN) {
        if (real(out)) {
            fmpq_set_si(out->re, fmpq_sgn(out->re), 1);
        } else {
            st = VALUE_OPEN;
        }
    }
    if (st == VALUE_OK && n->op < FN_GCD) fmpq_zero(out->im);
    if (st == VALUE_OK && n->op >= FN_GCD) st = several(out, out, n->op);
    for (size_t k = 1; st == VALUE_OK && k < n->n_kids; k++) {
        st = gauss_eval(&a, w, x, expr_kid(x, i, k), env);
        if (st == VALUE_OK) st = several(out, &a, n->op);
    }
    gauss_clear(&a);
    return st;
}

value_state series_bounds(slong *from, slong *to, work *w, const expr *x, uint16_t i,
                          const binding *env) {
    gauss lo, hi;
    gauss_init(&lo);
    gauss_init(&hi);
    value_state st = gauss_eval(&lo, w, x, expr_kid(x, i, 1), env);
    if (st == VALUE_OK) st = gauss_eval(&hi, w, x, expr_kid(x, i, 2), env);
    if (st == VALUE_OK && (!integer(&lo) || !integer(&hi))) st = VALUE_OPEN;
    if (st == VALUE_OK &&
        (fmpz_bits(fmpq_numref(lo.re)) > 40 || fmpz_bits(fmpq_numref(hi.re)) > 40))
        st = VALUE_BUDGET;
    if (st == VALUE_OK) {
        *from = fmpz_get_si(fmpq_numref(lo.re));
        *to = fmpz_get_si(fmpq_numref(hi.re));
        if (*to - *from >= SUM_TERMS_MAX) st = VALUE_BUDGET;
    }
    gauss_clear(&lo);
    gauss_clear(&hi);
    return st;
}

static value_state series(gauss *out, work *w, const expr *x, uint16_t i, const binding *env) {
    slong from = 0, to = -1;
    bool sum = expr_at(x, i)->kind == X_SUM;
    value_state st = series_bounds(&from, &to, w, x, i, env);
    if (st != VALUE_OK) return st;
    const expr_node *index = expr_at(x, expr_kid(x, i, 0));
    gauss term;
    fmpz_t k;
    gauss_init(&term);
    fmpz_init(k);
    fmpq_set_si(out->re, sum ? 0 : 1, 1);
    fmpq_zero(out->im);
    for (slong v = from; v <= to && st == VALUE_OK; v++) {
        fmpz_set_si(k, v);
        binding b = {env, x->text + index->off, index->len, k};
        st = gauss_eval(&term, w, x, expr_kid(x, i, 3), &b);
        if (st != VALUE_OK) break;
        if (sum) {
            fmpq_add(out->re, out->re, term.re);
            fmpq_add(out->im, out->im, term.im);
        } else {
            times(out, out, &term);
        }
        st = sized(out);
    }
    gauss_clear(&term);
    fmpz_clear(k);
    return st;
}

static value_state variable(gauss *out, const expr *x, const expr_node *n, const binding *env) {
    const char *p = n->kind == X_I ? "i" : x->text + n->off;
    size_t len = n->kind == X_I ? 1 : n->len;
    for (; env; env = env->next) {
        if (env->n != len || memcmp(env->name, p, len) != 0) continue;
        fmpq_set_fmpz(out->re, env->value);
        fmpq_zero(out->im);
        return VALUE_OK;
    }
    if (n->kind != X_I) return VALUE_OPEN;
    fmpq_zero(out->re);
    fmpq_one(out->im);
    return VALUE_OK;
}

static value_state combine(gauss *out, work *w, uint8_t kind, const gauss *a, const gauss *b) {
    switch (kind) {
    case X_ADD:
        fmpq_add(out->re, a->re, b->re);
        fmpq_add(out->im, a->im, b->im);
        return VALUE_OK;
    case X_SUB:
        fmpq_sub(out->re, a->re, b->re);
        fmpq_sub(out->im, a->im, b->im);
        return VALUE_OK;
    case X_MUL: times(out, a, b); return VALUE_OK;
    case X_DIV: return over(out, a, b);
    case X_POW: return power(out, w, a, b);
    case X_ROOT: return root(out, a, b);
    case X_LOG: return logarithm(out, w, a, b);
    case X_BINOM: return binomial(out, w, a, b);
    case X_NEG:
        fmpq_neg(out->re, a->re);
        fmpq_neg(out->im, a->im);
        return VALUE_OK;
    case X_FACT: return factorial(out, w, a, false);
    case X_DFACT: return factorial(out, w, a, true);
    case X_ABS: return modulus(out, a);
    case X_FLOOR: return whole(out, a, false);
    case X_CEIL: return whole(out, a, true);
    case X_DEG:
    case X_PERCENT:
    case X_UNIT:
        fmpq_set(out->re, a->re);
        fmpq_set(out->im, a->im);
        return VALUE_OK;
    default: return VALUE_OPEN;
    }
}

value_state gauss_eval(gauss *out, work *w, const expr *x, uint16_t i, const binding *env) {
    const expr_node *n = expr_at(x, i);
    if (!work_spend(w, 1)) return VALUE_BUDGET;
    switch (n->kind) {
    case X_NUM: return literal(out, x, n);
    case X_BASE:
        fmpq_one(out->re);
        fmpq_zero(out->im);
        return digits(fmpq_numref(out->re), x->text + n->off, n->len, n->op);
    case X_VAR:
    case X_I: return variable(out, x, n, env);
    case X_FN: return function(out, w, x, i, env);
    case X_SUM:
    case X_PROD: return series(out, w, x, i, env);
    default: break;
    }
    if (n->kind < X_ADD || n->kind > X_UNIT || n->n_kids == 0 || n->n_kids > 2 || n->kind == X_PM ||
        n->kind == X_MP)
        return VALUE_OPEN;
    gauss a, b;
    gauss_init(&a);
    gauss_init(&b);
    value_state st = gauss_eval(&a, w, x, expr_kid(x, i, 0), env);
    if (st == VALUE_OK && n->n_kids == 2) st = gauss_eval(&b, w, x, expr_kid(x, i, 1), env);
    if (st == VALUE_OK) st = combine(out, w, n->kind, &a, &b);
    if (st == VALUE_OK) st = sized(out);
    gauss_clear(&a);
    gauss_clear(&b);
    return st;
}
