/* Rational functions over the integers. What is no rational operation (a root, pi, a sine) is an
 * atom: equal as rational functions of atoms is equal. Unequal says nothing, since atoms may
 * depend on each other; that is for balls to show. */
#include "verify/eval.h"
#include <stdlib.h>
#include <string.h>

enum { ATOMS_MAX = 12, GCD_TERMS_MAX = 60 };
typedef struct atoms {
    size_t n;
    bool foreign; /* one that is no variable */
    poly_pair at[ATOMS_MAX];
    work *w;
} atoms;

static bool exponent(slong *out, work *w, const expr *x, uint16_t i) {
    gauss g;
    gauss_init(&g);
    bool ok = gauss_eval(&g, w, x, i, NULL) == VALUE_OK && fmpq_is_zero(g.im) &&
              fmpz_is_one(fmpq_denref(g.re)) &&
              fmpz_cmpabs(fmpq_numref(g.re), (fmpz[]){POLY_DEGREE_MAX}) <= 0;
    if (ok) *out = fmpz_get_si(fmpq_numref(g.re));
    gauss_clear(&g);
    return ok;
}

static bool is_operation(atoms *a, const expr *x, uint16_t i) {
    slong e;
    switch (expr_at(x, i)->kind) {
    case X_ADD:
    case X_SUB:
    case X_MUL:
    case X_DIV:
    case X_NEG:
    case X_PERCENT:
    case X_UNIT:
    case X_DEG: return true;
    case X_POW: return exponent(&e, a->w, x, expr_kid(x, i, 1));
    default: return false;
    }
}

static bool rational(fmpq_t out, work *w, const expr *x, uint16_t i) {
    gauss g;
    gauss_init(&g);
    bool ok = gauss_eval(&g, w, x, i, NULL) == VALUE_OK && fmpq_is_zero(g.im);
    if (ok) fmpq_set(out, g.re);
    gauss_clear(&g);
    return ok;
}

static bool atom_find(size_t *out, const atoms *a, const expr *x, uint16_t i) {
    for (size_t k = 0; k < a->n; k++) {
        if (!expr_same(a->at[k].x, a->at[k].node, x, i)) continue;
        *out = k;
        return true;
    }
    return false;
}

/* Variables first come sorted by name (the caller puts them in), other atoms as they appear. */
static bool collect(atoms *a, const expr *x, uint16_t i) {
    size_t k;
    const expr_node *n = expr_at(x, i);
    if (!work_spend(a->w, 1)) return false;
    if (is_operation(a, x, i)) {
        size_t n_kids = n->kind == X_POW ? 1 : n->n_kids;
        for (size_t c = 0; c < n_kids; c++)
            if (!collect(a, x, expr_kid(x, i, c))) return false;
        return true;
    }
    fmpq_t q;
    fmpq_init(q);
    bool known = n->kind == X_NUM || rational(q, a->w, x, i);
    fmpq_clear(q);
    if (known || atom_find(&k, a, x, i)) return true;
    if (a->n == ATOMS_MAX || n->kind > X_UNIT || n->kind == X_PM || n->kind == X_MP ||
        n->kind == X_TEXT || n->kind == X_INF)
        return false;
    if (n->kind != X_VAR) a->foreign = true;
    a->at[a->n++] = (poly_pair){x, i};
    return true;
}

/* By name: the canonical text of an equation must not depend on the order of appearance. */
static void sort_variables(atoms *a) {
    for (size_t i = 1; i < a->n; i++)
        for (size_t k = i; k > 0; k--) {
            const expr_node *n = expr_at(a->at[k - 1].x, a->at[k - 1].node);
            const expr_node *m = expr_at(a->at[k].x, a->at[k].node);
            if (n->kind != X_VAR || m->kind != X_VAR) return;
            size_t len = n->len < m->len ? n->len : m->len;
            int c = memcmp(a->at[k - 1].x->text + n->off, a->at[k].x->text + m->off, len);
            if (c < 0 || (c == 0 && n->len <= m->len)) break;
            poly_pair t = a->at[k];
            a->at[k] = a->at[k - 1];
            a->at[k - 1] = t;
        }
}

typedef struct ratio {
    fmpz_mpoly_t num, den;
} ratio;
typedef struct ring {
    fmpz_mpoly_ctx_t ctx;
    atoms *a;
} ring;

static void ratio_init(ratio *r, ring *g) {
    fmpz_mpoly_init(r->num, g->ctx);
    fmpz_mpoly_init(r->den, g->ctx);
    fmpz_mpoly_one(r->den, g->ctx);
}
static void ratio_clear(ratio *r, ring *g) {
    fmpz_mpoly_clear(r->num, g->ctx);
    fmpz_mpoly_clear(r->den, g->ctx);
}

static bool product(fmpz_mpoly_t out, ring *g, const fmpz_mpoly_t a, const fmpz_mpoly_t b) {
    int64_t n = (int64_t)fmpz_mpoly_length(a, g->ctx) * fmpz_mpoly_length(b, g->ctx);
    if (n > 20 * POLY_TERMS_MAX || !work_spend(g->a->w, 1 + n / 8)) return false;
    fmpz_mpoly_mul(out, a, b, g->ctx);
    return fmpz_mpoly_length(out, g->ctx) <= POLY_TERMS_MAX &&
           labs(fmpz_mpoly_max_bits(out)) <= EXACT_BITS_MAX;
}

/* a / b + sign c / d, by the plain rule when the denominators differ */
static bool sum(ratio *out, ring *g, ratio *a, ratio *b, bool minus) {
    fmpz_mpoly_t t;
    bool ok = true;
    if (!fmpz_mpoly_equal(a->den, b->den, g->ctx)) {
        fmpz_mpoly_init(t, g->ctx);
        ok = product(t, g, a->num, b->den) && product(b->num, g, b->num, a->den) &&
             product(out->den, g, a->den, b->den);
        fmpz_mpoly_swap(a->num, t, g->ctx);
        fmpz_mpoly_clear(t, g->ctx);
    } else {
        fmpz_mpoly_set(out->den, a->den, g->ctx);
    }
    if (!ok) return false;
    if (minus) {
        fmpz_mpoly_sub(out->num, a->num, b->num, g->ctx);
    } else {
        fmpz_mpoly_add(out->num, a->num, b->num, g->ctx);
    }
    return fmpz_mpoly_length(out->num, g->ctx) <= POLY_TERMS_MAX;
}

static bool power(ratio *out, ring *g, ratio *a, slong e) {
    slong n = e < 0 ? -e : e;
    if (e < 0) fmpz_mpoly_swap(a->num, a->den, g->ctx);
    if (fmpz_mpoly_is_zero(a->den, g->ctx)) return false;
    fmpz_mpoly_one(out->num, g->ctx);
    fmpz_mpoly_one(out->den, g->ctx);
    for (slong k = 0; k < n; k++)
        if (!product(out->num, g, out->num, a->num) || !product(out->den, g, out->den, a->den))
            return false;
    return true;
}

static bool build(ratio *out, ring *g, const expr *x, uint16_t i) {
    const expr_node *n = expr_at(x, i);
    if (!work_spend(g->a->w, 2)) return false;
    if (!is_operation(g->a, x, i)) {
        size_t k;
        if (n->kind != X_NUM && atom_find(&k, g->a, x, i)) {
            fmpz_mpoly_gen(out->num, (slong)k, g->ctx);
            fmpz_mpoly_one(out->den, g->ctx);
            return true;
        }
        fmpq_t q;
        fmpq_init(q);
        bool ok = rational(q, g->a->w, x, i);
        if (ok) {
            fmpz_mpoly_set_fmpz(out->num, fmpq_numref(q), g->ctx);
            fmpz_mpoly_set_fmpz(out->den, fmpq_denref(q), g->ctx);
        }
        fmpq_clear(q);
        return ok;
    }
    slong e = 0;
    ratio a, b;
    ratio_init(&a, g);
    ratio_init(&b, g);
    bool ok = build(&a, g, x, expr_kid(x, i, 0));
    if (ok && n->kind == X_POW) {
        ok = exponent(&e, g->a->w, x, expr_kid(x, i, 1)) && power(out, g, &a, e);
    } else if (ok && n->n_kids == 1) {
        fmpz_mpoly_swap(out->num, a.num, g->ctx);
        fmpz_mpoly_swap(out->den, a.den, g->ctx);
        if (n->kind == X_NEG) fmpz_mpoly_neg(out->num, out->num, g->ctx);
    } else if (ok) {
        ok = build(&b, g, x, expr_kid(x, i, 1));
        if (ok && n->kind == X_DIV) {
            fmpz_mpoly_swap(b.num, b.den, g->ctx);
            ok = !fmpz_mpoly_is_zero(b.den, g->ctx);
        }
        if (ok && (n->kind == X_MUL || n->kind == X_DIV))
            ok = product(out->num, g, a.num, b.num) && product(out->den, g, a.den, b.den);
        if (ok && (n->kind == X_ADD || n->kind == X_SUB))
            ok = sum(out, g, &a, &b, n->kind == X_SUB);
    }
    ratio_clear(&a, g);
    ratio_clear(&b, g);
    return ok;
}

/* left - right as one ratio over the atoms of both. */
static bool difference(ratio *d, ring *g, poly_pair l, poly_pair r) {
    ratio a, b;
    ratio_init(&a, g);
    ratio_init(&b, g);
    bool ok = build(&a, g, l.x, l.node) && build(&b, g, r.x, r.node) && sum(d, g, &a, &b, true);
    ratio_clear(&a, g);
    ratio_clear(&b, g);
    return ok;
}

static bool open_ring(ring *g, atoms *a, work *w, poly_pair l, poly_pair r) {
    *a = (atoms){.w = w};
    if (!collect(a, l.x, l.node) || !collect(a, r.x, r.node)) return false;
    sort_variables(a);
    g->a = a;
    fmpz_mpoly_ctx_init(g->ctx, a->n > 0 ? (slong)a->n : 1, ORD_LEX);
    return true;
}

bool poly_equal(work *w, poly_pair l, poly_pair r) {
    atoms a;
    ring g;
    ratio d;
    if (!open_ring(&g, &a, w, l, r)) return false;
    ratio_init(&d, &g);
    bool same = difference(&d, &g, l, r) && fmpz_mpoly_is_zero(d.num, g.ctx);
    ratio_clear(&d, &g);
    fmpz_mpoly_ctx_clear(g.ctx);
    return same;
}

/* Content out, leading coefficient positive (not for inequalities). */
static void primitive(fmpz_mpoly_t p, ring *g, bool sign) {
    fmpz_t c, k;
    fmpz_init(c);
    fmpz_init(k);
    for (slong i = 0; i < fmpz_mpoly_length(p, g->ctx); i++) {
        fmpz_mpoly_get_term_coeff_fmpz(k, p, i, g->ctx);
        fmpz_gcd(c, c, k);
    }
    if (!fmpz_is_zero(c)) {
        fmpz_mpoly_get_term_coeff_fmpz(k, p, 0, g->ctx);
        if (!sign && fmpz_sgn(k) < 0) fmpz_neg(c, c);
        fmpz_mpoly_scalar_divexact_fmpz(p, p, c, g->ctx);
    }
    fmpz_clear(c);
    fmpz_clear(k);
}

static bool canonical(rung_buf *out, ratio *d, ring *g, bool sign) {
    if (!fmpz_mpoly_is_fmpz(d->den, g->ctx)) {
        if (sign) return false; /* the denominator's sign would matter */
        fmpz_mpoly_t gcd;
        if (fmpz_mpoly_length(d->num, g->ctx) > GCD_TERMS_MAX ||
            fmpz_mpoly_length(d->den, g->ctx) > GCD_TERMS_MAX || !work_spend(g->a->w, 2000))
            return false;
        fmpz_mpoly_init(gcd, g->ctx);
        bool ok = fmpz_mpoly_gcd(gcd, d->num, d->den, g->ctx) && !fmpz_mpoly_is_zero(gcd, g->ctx) &&
                  fmpz_mpoly_divides(d->num, d->num, gcd, g->ctx);
        fmpz_mpoly_clear(gcd, g->ctx);
        if (!ok) return false;
    }
    if (fmpz_mpoly_is_fmpz(d->num, g->ctx)) return false; /* true or false for every x */
    primitive(d->num, g, sign);
    char name[ATOMS_MAX][24];
    const char *names[ATOMS_MAX];
    for (size_t k = 0; k < g->a->n; k++) {
        const expr *x = g->a->at[k].x;
        const expr_node *n = expr_at(x, g->a->at[k].node);
        size_t len = n->len < sizeof name[k] ? n->len : sizeof name[k] - 1;
        memcpy(name[k], x->text + n->off, len);
        name[k][len] = '\0';
        names[k] = name[k];
    }
    char *text = fmpz_mpoly_get_str_pretty(d->num, names, g->ctx);
    rung_buf_str(out, text);
    flint_free(text);
    return true;
}

bool poly_equation(rung_buf *out, work *w, const expr *x, uint16_t left, uint16_t right,
                   bool sign) {
    atoms a;
    ring g;
    ratio d;
    poly_pair l = {x, left}, r = {x, right};
    if (!open_ring(&g, &a, w, l, r)) return false;
    ratio_init(&d, &g);
    bool ok = a.n > 0 && !a.foreign && difference(&d, &g, l, r);
    /* den > 0 where it is a number: its sign goes into the numerator */
    if (ok && fmpz_mpoly_is_fmpz(d.den, g.ctx)) {
        fmpz_t c;
        fmpz_init(c);
        fmpz_mpoly_get_fmpz(c, d.den, g.ctx);
        if (fmpz_sgn(c) < 0) fmpz_mpoly_neg(d.num, d.num, g.ctx);
        fmpz_clear(c);
    }
    ok = ok && canonical(out, &d, &g, sign);
    ratio_clear(&d, &g);
    fmpz_mpoly_ctx_clear(g.ctx);
    return ok;
}

bool poly_linear_root(fmpq_t root, work *w, const expr *x, uint16_t left, uint16_t right) {
    atoms a;
    ring g;
    ratio d;
    bool ok = false;
    poly_pair l = {x, left}, r = {x, right};
    if (!open_ring(&g, &a, w, l, r)) return false;
    ratio_init(&d, &g);
    if (a.n == 1 && !a.foreign && difference(&d, &g, l, r) && fmpz_mpoly_is_fmpz(d.den, g.ctx) &&
        !fmpz_mpoly_is_fmpz(d.num, g.ctx) && fmpz_mpoly_degree_si(d.num, 0, g.ctx) == 1) {
        fmpz_mpoly_get_coeff_fmpz_ui(fmpq_numref(root), d.num, (const ulong[]){0}, g.ctx);
        fmpz_mpoly_get_coeff_fmpz_ui(fmpq_denref(root), d.num, (const ulong[]){1}, g.ctx);
        fmpq_canonicalise(root);
        fmpq_neg(root, root);
        ok = true;
    }
    ratio_clear(&d, &g);
    fmpz_mpoly_ctx_clear(g.ctx);
    return ok;
}
