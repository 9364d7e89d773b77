/* Ball arithmetic: a rigorous enclosure of a tree's value at one point. Variables are real; what
 * leaves the domain of a real function at that point (a logarithm of a negative number where no
 * imaginary unit is written) shows as an imaginary part and is the caller's to judge. */
#include "verify/eval.h"
#include <math.h>
#include <pthread.h>
#include <string.h>

static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;

static void thread_end(void *unused) {
    (void)unused;
    flint_cleanup();
}
static void thread_key_make(void) {
    (void)pthread_key_create(&thread_key, thread_end);
}

void eval_thread(void) {
    (void)pthread_once(&thread_once, thread_key_make);
    if (!pthread_getspecific(thread_key)) (void)pthread_setspecific(thread_key, &thread_key);
}

/* Between 0.36 and 2.9, away from 1 where many functions coincide; the first points are positive,
 * the others have either sign. */
int32_t ball_coordinate(const char *name, size_t n, int point) {
    uint64_t h = rung_hash64(name, n, 0x9e3779b97f4a7c15u + (uint64_t)point);
    int32_t k = 371 + (int32_t)(h % 2609u);
    if (k > 960 && k < 1090) k += 173;
    return point >= POINTS_POSITIVE && (h >> 40 & 1) ? -k : k;
}

/* Cost in units of a microsecond, roughly: an elementary function at 64 bits takes one. */
static bool pay(ball_env *e, int64_t unit) {
    int64_t limbs = 1 + e->bits / 64;
    return work_spend(e->w, unit * (1 + limbs * limbs / 16));
}

static value_state both(acb_t a, acb_t b, ball_env *e, const expr *x, uint16_t i) {
    value_state st = ball_eval(a, e, x, expr_kid(x, i, 0));
    return st == VALUE_OK ? ball_eval(b, e, x, expr_kid(x, i, 1)) : st;
}

static value_state checked(const acb_t z) {
    return acb_is_finite(z) ? VALUE_OK : VALUE_UNDEFINED;
}

static bool real(const acb_t z) {
    return arb_is_zero(acb_imagref(z));
}

/* Exact rational subtrees first: the ball is then as tight as its precision. */
static bool rational(acb_t out, ball_env *e, const expr *x, uint16_t i, value_state *st) {
    gauss g;
    gauss_init(&g);
    *st = gauss_eval(&g, e->w, x, i, e->env);
    if (*st == VALUE_OK) {
        arb_set_fmpq(acb_realref(out), g.re, e->bits);
        arb_set_fmpq(acb_imagref(out), g.im, e->bits);
    }
    gauss_clear(&g);
    return *st == VALUE_OK || *st == VALUE_BUDGET;
}

static value_state variable(acb_t out, ball_env *e, const expr *x, const expr_node *n) {
    const char *p = n->kind == X_I ? "i" : x->text + n->off;
    size_t len = n->kind == X_I ? 1 : n->len;
    for (const binding *b = e->env; b; b = b->next) {
        if (b->n != len || memcmp(b->name, p, len) != 0) continue;
        acb_set_fmpz(out, b->value);
        return VALUE_OK;
    }
    if (n->kind == X_I) {
        acb_onei(out);
    } else {
        acb_set_si(out, ball_coordinate(p, len, e->point));
        acb_mul_2exp_si(out, out, -10);
    }
    return VALUE_OK;
}

/* The real k-th root of a negative number when k is odd, else the principal one. */
static value_state root(acb_t out, acb_t a, acb_t k, ball_env *e) {
    if (!acb_is_int(k) || arf_cmp_si(arb_midref(acb_realref(k)), 1) < 0 ||
        arf_cmp_si(arb_midref(acb_realref(k)), 64) > 0)
        return VALUE_OPEN;
    ulong n = (ulong)arf_get_si(arb_midref(acb_realref(k)), ARF_RND_DOWN);
    if (!pay(e, 2)) return VALUE_BUDGET;
    if (real(a) && n % 2 == 1 && arb_is_negative(acb_realref(a))) {
        acb_neg(out, a);
        arb_root_ui(acb_realref(out), acb_realref(out), n, e->bits);
        acb_neg(out, out);
    } else if (real(a) && arb_is_nonnegative(acb_realref(a))) {
        arb_root_ui(acb_realref(out), acb_realref(a), n, e->bits);
        arb_zero(acb_imagref(out));
    } else if (n == 2) {
        acb_sqrt(out, a, e->bits);
    } else {
        acb_root_ui(out, a, n, e->bits);
    }
    return checked(out);
}

static value_state power(acb_t out, acb_t a, acb_t b, ball_env *e) {
    if (!pay(e, 4)) return VALUE_BUDGET;
    double size = fabs(arf_get_d(arb_midref(acb_realref(b)), ARF_RND_NEAR));
    if (!(size < 1e6)) return VALUE_BUDGET;
    if (acb_contains_zero(a) && !(acb_is_zero(a) && arb_is_positive(acb_realref(b))))
        return VALUE_UNDEFINED;
    if (real(a) && real(b) && arb_is_nonnegative(acb_realref(a))) {
        arb_pow(acb_realref(out), acb_realref(a), acb_realref(b), e->bits);
        arb_zero(acb_imagref(out));
    } else {
        acb_pow(out, a, b, e->bits);
    }
    return checked(out);
}

static value_state logarithm(acb_t out, acb_t a, acb_t base, ball_env *e) {
    if (!pay(e, 3)) return VALUE_BUDGET;
    if (acb_contains_zero(a) || acb_contains_zero(base)) return VALUE_UNDEFINED;
    acb_log(out, a, e->bits);
    acb_log(base, base, e->bits);
    if (acb_contains_zero(base)) return VALUE_UNDEFINED;
    acb_div(out, out, base, e->bits);
    return checked(out);
}

static value_state inverse(acb_t out, acb_t a, uint8_t fn, ball_env *e) {
    if (!real(a)) return VALUE_OPEN;
    if (fn == FN_ASIN) arb_asin(acb_realref(out), acb_realref(a), e->bits);
    if (fn == FN_ACOS) arb_acos(acb_realref(out), acb_realref(a), e->bits);
    if (fn == FN_ATAN) arb_atan(acb_realref(out), acb_realref(a), e->bits);
    arb_zero(acb_imagref(out));
    return checked(out);
}

static value_state elementary(acb_t out, acb_t a, uint8_t fn, ball_env *e) {
    if (!pay(e, 4)) return VALUE_BUDGET;
    if (fabs(arf_get_d(arb_midref(acb_realref(a)), ARF_RND_NEAR)) > 1e6 ||
        fabs(arf_get_d(arb_midref(acb_imagref(a)), ARF_RND_NEAR)) > 1e6)
        return fn == FN_LN || fn == FN_ATAN ? (acb_log(out, a, e->bits), checked(out))
                                            : VALUE_BUDGET;
    switch (fn) {
    case FN_SIN: acb_sin(out, a, e->bits); break;
    case FN_COS: acb_cos(out, a, e->bits); break;
    case FN_TAN: acb_tan(out, a, e->bits); break;
    case FN_COT: acb_cot(out, a, e->bits); break;
    case FN_SEC:
        acb_cos(out, a, e->bits);
        acb_inv(out, out, e->bits);
        break;
    case FN_CSC:
        acb_sin(out, a, e->bits);
        acb_inv(out, out, e->bits);
        break;
    case FN_SINH: acb_sinh(out, a, e->bits); break;
    case FN_COSH: acb_cosh(out, a, e->bits); break;
    case FN_TANH: acb_tanh(out, a, e->bits); break;
    case FN_LN:
        if (acb_contains_zero(a)) return VALUE_UNDEFINED;
        acb_log(out, a, e->bits);
        break;
    case FN_ASIN:
    case FN_ACOS:
    case FN_ATAN: return inverse(out, a, fn, e);
    default: return VALUE_OPEN;
    }
    return checked(out);
}

static value_state several(acb_t out, ball_env *e, const expr *x, uint16_t i) {
    const expr_node *n = expr_at(x, i);
    if (n->op != FN_MAX && n->op != FN_MIN) return VALUE_OPEN;
    acb_t a;
    acb_init(a);
    value_state st = ball_eval(out, e, x, expr_kid(x, i, 0));
    for (size_t k = 1; st == VALUE_OK && k < n->n_kids; k++) {
        st = ball_eval(a, e, x, expr_kid(x, i, k));
        if (st == VALUE_OK && (!real(a) || !real(out))) st = VALUE_OPEN;
        if (st != VALUE_OK) break;
        if (n->op == FN_MAX) arb_max(acb_realref(out), acb_realref(out), acb_realref(a), e->bits);
        if (n->op == FN_MIN) arb_min(acb_realref(out), acb_realref(out), acb_realref(a), e->bits);
    }
    acb_clear(a);
    return st;
}

static value_state function(acb_t out, ball_env *e, const expr *x, uint16_t i) {
    const expr_node *n = expr_at(x, i);
    if (n->op >= FN_GCD) return several(out, e, x, i);
    acb_t a;
    acb_init(a);
    bool outside = e->in_trig;
    e->in_trig = n->op <= FN_CSC;
    value_state st = ball_eval(a, e, x, expr_kid(x, i, 0));
    e->in_trig = outside;
    if (st == VALUE_OK && n->op == FN_RE) acb_set_arb(out, acb_realref(a));
    if (st == VALUE_OK && n->op == FN_IM) acb_set_arb(out, acb_imagref(a));
    if (st == VALUE_OK && n->op == FN_SGN) {
        if (!real(a) || (arb_contains_zero(acb_realref(a)) && !acb_is_zero(a))) st = VALUE_OPEN;
        if (st == VALUE_OK)
            acb_set_si(out, arb_is_zero(acb_realref(a))       ? 0
                            : arb_is_positive(acb_realref(a)) ? 1
                                                              : -1);
    }
    if (st == VALUE_OK && n->op != FN_RE && n->op != FN_IM && n->op != FN_SGN)
        st = elementary(out, a, n->op, e);
    acb_clear(a);
    return st;
}

static value_state rounded(acb_t out, acb_t a, bool up, ball_env *e) {
    if (!real(a)) return VALUE_OPEN;
    if (up) {
        arb_ceil(acb_realref(out), acb_realref(a), e->bits);
    } else {
        arb_floor(acb_realref(out), acb_realref(a), e->bits);
    }
    arb_zero(acb_imagref(out));
    return arb_is_exact(acb_realref(out)) ? VALUE_OK : VALUE_OPEN;
}

static value_state series(acb_t out, ball_env *e, const expr *x, uint16_t i) {
    slong from = 0, to = -1;
    bool sum = expr_at(x, i)->kind == X_SUM;
    value_state st = series_bounds(&from, &to, e->w, x, i, e->env);
    if (st != VALUE_OK) return st;
    const expr_node *index = expr_at(x, expr_kid(x, i, 0));
    const binding *outer = e->env;
    acb_t term;
    fmpz_t k;
    acb_init(term);
    fmpz_init(k);
    acb_set_si(out, sum ? 0 : 1);
    for (slong v = from; v <= to && st == VALUE_OK; v++) {
        fmpz_set_si(k, v);
        binding b = {outer, x->text + index->off, index->len, k};
        e->env = &b;
        st = ball_eval(term, e, x, expr_kid(x, i, 3));
        if (st != VALUE_OK) break;
        if (sum) {
            acb_add(out, out, term, e->bits);
        } else {
            acb_mul(out, out, term, e->bits);
        }
    }
    e->env = outer;
    acb_clear(term);
    fmpz_clear(k);
    return st == VALUE_OK ? checked(out) : st;
}

static value_state one(acb_t out, acb_t a, ball_env *e, uint8_t kind) {
    switch (kind) {
    case X_NEG: acb_neg(out, a); return VALUE_OK;
    case X_ABS:
        acb_abs(acb_realref(out), a, e->bits);
        arb_zero(acb_imagref(out));
        return VALUE_OK;
    case X_FLOOR:
    case X_CEIL: return rounded(out, a, kind == X_CEIL, e);
    case X_DEG:
        acb_set(out, a);
        if (e->in_trig) {
            arb_t pi;
            arb_init(pi);
            arb_const_pi(pi, e->bits);
            acb_mul_arb(out, out, pi, e->bits);
            acb_div_ui(out, out, 180, e->bits);
            arb_clear(pi);
        }
        return VALUE_OK;
    case X_PERCENT:
    case X_UNIT: acb_set(out, a); return VALUE_OK;
    default: return VALUE_OPEN;
    }
}

static value_state two(acb_t out, acb_t a, acb_t b, ball_env *e, uint8_t kind) {
    switch (kind) {
    case X_ADD: acb_add(out, a, b, e->bits); return VALUE_OK;
    case X_SUB: acb_sub(out, a, b, e->bits); return VALUE_OK;
    case X_MUL: acb_mul(out, a, b, e->bits); return VALUE_OK;
    case X_DIV:
        if (acb_contains_zero(b)) return VALUE_UNDEFINED;
        acb_div(out, a, b, e->bits);
        return checked(out);
    case X_POW: return power(out, a, b, e);
    case X_ROOT: return root(out, a, b, e);
    case X_LOG: return logarithm(out, a, b, e);
    default: return VALUE_OPEN;
    }
}

/* x^n with a small integer n: by multiplication, at any base. */
static bool integer_power(acb_t out, ball_env *e, const expr *x, uint16_t i, value_state *st) {
    const expr_node *n = expr_at(x, expr_kid(x, i, 1));
    if (expr_at(x, i)->kind != X_POW || n->kind != X_NUM || n->frac > 0 || n->len > 3) return false;
    ulong k = 0;
    for (size_t c = 0; c < n->len; c++) k = k * 10 + (ulong)(x->text[n->off + c] - '0');
    *st = ball_eval(out, e, x, expr_kid(x, i, 0));
    if (*st == VALUE_OK && k == 0 && acb_contains_zero(out)) *st = VALUE_UNDEFINED;
    if (*st == VALUE_OK) acb_pow_ui(out, out, k, e->bits);
    return true;
}

value_state ball_eval(acb_t out, ball_env *e, const expr *x, uint16_t i) {
    const expr_node *n = expr_at(x, i);
    value_state st;
    if (!pay(e, 1)) return VALUE_BUDGET;
    switch (n->kind) {
    case X_NUM:
    case X_BASE:
    case X_FACT:
    case X_DFACT:
    case X_BINOM: (void)rational(out, e, x, i, &st); return st;
    case X_VAR:
    case X_I: return variable(out, e, x, n);
    case X_PI: acb_const_pi(out, e->bits); return VALUE_OK;
    case X_E:
        arb_const_e(acb_realref(out), e->bits);
        arb_zero(acb_imagref(out));
        return VALUE_OK;
    case X_FN: return function(out, e, x, i);
    case X_SUM:
    case X_PROD: return series(out, e, x, i);
    default: break;
    }
    if (n->kind < X_ADD || n->kind > X_UNIT || n->n_kids == 0 || n->n_kids > 2 || n->kind == X_PM ||
        n->kind == X_MP)
        return VALUE_OPEN;
    if (integer_power(out, e, x, i, &st)) return st;
    acb_t a, b;
    acb_init(a);
    acb_init(b);
    if (n->n_kids == 1) {
        st = ball_eval(a, e, x, expr_kid(x, i, 0));
        if (st == VALUE_OK) st = one(out, a, e, n->kind);
    } else {
        st = both(a, b, e, x, i);
        if (st == VALUE_OK) st = two(out, a, b, e, n->kind);
    }
    acb_clear(a);
    acb_clear(b);
    return st;
}
