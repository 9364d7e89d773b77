/* Exact values of sides (FLINT's rationals, sizes bounded before each operation), and the verdict
 * of a claim between two of them. */
#include "verify/step/claim.h"
#include <stdlib.h>
#include <string.h>

enum { POWER_MAX = 1024 };

typedef struct machine {
    fmpq *value;
    uint8_t op[SIDE_MAX];
    size_t n_value, n_op;
    side_value state;
} machine;

static void fail(machine *m, side_value why) {
    if (m->state == SIDE_OK) m->state = why;
}

static bool fits(const fmpq *a) {
    return fmpz_bits(fmpq_numref(a)) <= EXACT_BITS_MAX &&
           fmpz_bits(fmpq_denref(a)) <= EXACT_BITS_MAX;
}

static void power(machine *m, fmpq *a, const fmpq *b) {
    if (!fmpz_is_one(fmpq_denref(b)) || !fmpz_fits_si(fmpq_numref(b))) {
        fail(m, SIDE_UNREAD); /* a root */
        return;
    }
    slong e = fmpz_get_si(fmpq_numref(b));
    ulong bits = fmpz_bits(fmpq_numref(a)) + fmpz_bits(fmpq_denref(a));
    if (e < -POWER_MAX || e > POWER_MAX || bits * (ulong)labs(e) > 2 * EXACT_BITS_MAX) {
        fail(m, SIDE_LARGE);
    } else if (fmpz_is_zero(fmpq_numref(a)) && e <= 0) {
        fail(m, e == 0 ? SIDE_UNREAD : SIDE_BY_ZERO);
    } else {
        fmpq_pow_si(a, a, e);
    }
}

/* Takes the operator at the top. */
static void apply(machine *m) {
    char op = (char)m->op[--m->n_op];
    if (op == 'n') {
        if (m->n_value < 1)
            fail(m, SIDE_UNREAD);
        else
            fmpq_neg(&m->value[m->n_value - 1], &m->value[m->n_value - 1]);
        return;
    }
    if (op == '(' || m->n_value < 2) {
        fail(m, SIDE_UNREAD);
        return;
    }
    fmpq *a = &m->value[m->n_value - 2], *b = &m->value[m->n_value - 1];
    if (!fits(a) || !fits(b)) {
        fail(m, SIDE_LARGE);
    } else if ((op == '/' || op == 'q') && fmpq_is_zero(b)) {
        fail(m, SIDE_BY_ZERO);
    } else {
        switch (op) {
        case '+': fmpq_add(a, a, b); break;
        case '-': fmpq_sub(a, a, b); break;
        case '*': fmpq_mul(a, a, b); break;
        case '/': fmpq_div(a, a, b); break;
        case 'q':
            fmpq_div(a, a, b);
            fmpz_fdiv_q(fmpq_numref(a), fmpq_numref(a), fmpq_denref(a));
            fmpz_one(fmpq_denref(a));
            break;
        default: power(m, a, b);
        }
    }
    m->n_value--;
}

static int binding(char op) {
    switch (op) {
    case '(': return 0;
    case '+':
    case '-': return 1;
    case '*':
    case '/':
    case 'q': return 2;
    case 'n': return 3;
    default: return 4;
    }
}

static void operator_in(machine *m, char op) {
    int b = binding(op);
    bool right = op == '^' || op == 'n';
    while (m->state == SIDE_OK && m->n_op > 0 && op != 'n' && op != '(' &&
           (binding((char)m->op[m->n_op - 1]) > b ||
            (binding((char)m->op[m->n_op - 1]) == b && !right)))
        apply(m);
    m->op[m->n_op++] = (uint8_t)op;
}

static void literal(machine *m, const ctok *t, const char *text) {
    fmpq *v = &m->value[m->n_value++];
    fmpq_zero(v);
    if (t->den > 0) {
        fmpq_set_si(v, (slong)t->num, t->den);
        return;
    }
    int digits = 0;
    for (int32_t i = t->begin; i < t->end; i++) {
        if (text[i] < '0' || text[i] > '9') continue;
        if (++digits > DIGITS_MAX) {
            fail(m, SIDE_LARGE);
            return;
        }
        fmpz_mul_ui(fmpq_numref(v), fmpq_numref(v), 10);
        fmpz_add_ui(fmpq_numref(v), fmpq_numref(v), (ulong)(text[i] - '0'));
    }
    if (t->n_frac > 0) fmpz_ui_pow_ui(fmpq_denref(v), 10, t->n_frac);
    fmpq_canonicalise(v);
}

static void percent(machine *m) {
    if (m->n_value == 0) {
        fail(m, SIDE_UNREAD);
        return;
    }
    fmpz_t hundred;
    fmpz_init_set_ui(hundred, 100);
    fmpq_div_fmpz(&m->value[m->n_value - 1], &m->value[m->n_value - 1], hundred);
    fmpz_clear(hundred);
}

static void close_bracket(machine *m) {
    while (m->state == SIDE_OK && m->n_op > 0 && m->op[m->n_op - 1] != '(') apply(m);
    if (m->n_op == 0)
        fail(m, SIDE_UNREAD);
    else
        m->n_op--;
}

static void take(machine *m, const side *s, size_t i, const ctok *toks, const char *text) {
    const ctok *t = s->tok[i] == SIDE_TIMES ? NULL : &toks[s->first + s->tok[i]];
    const ctok *before =
        i > 0 && s->tok[i - 1] != SIDE_TIMES ? &toks[s->first + s->tok[i - 1]] : NULL;
    bool operand_wanted =
        i == 0 || !before || before->kind == C_OP || before->kind == C_OPEN || before->kind == C_OF;
    if (!t) {
        operator_in(m, '*');
    } else if (t->kind == C_NUM) {
        literal(m, t, text);
    } else if (t->kind == C_PERCENT) {
        percent(m);
    } else if (t->kind == C_OPEN) {
        operator_in(m, '(');
    } else if (t->kind == C_CLOSE) {
        close_bracket(m);
    } else if (t->kind == C_OF) {
        operator_in(m, '*');
    } else if (t->kind == C_OP && operand_wanted) {
        if (t->op == '-') operator_in(m, 'n');
    } else if (t->kind == C_OP) {
        operator_in(m, t->op);
    } else {
        fail(m, SIDE_UNREAD);
    }
}

side_value side_eval(fmpq_t out, const side *s, const ctok *toks, const char *text) {
    machine m = {.state = SIDE_OK};
    size_t n_max = (size_t)s->n + 1;
    m.value = rung_alloc(n_max * sizeof *m.value);
    if (!m.value) return SIDE_LARGE;
    for (size_t i = 0; i < n_max; i++) fmpq_init(&m.value[i]);
    for (size_t i = 0; i < s->n && m.state == SIDE_OK; i++) take(&m, s, i, toks, text);
    while (m.state == SIDE_OK && m.n_op > 0) apply(&m);
    if (m.state == SIDE_OK && m.n_value != 1) m.state = SIDE_UNREAD;
    if (m.state == SIDE_OK && !fits(&m.value[0])) m.state = SIDE_LARGE;
    if (m.state == SIDE_OK) fmpq_set(out, &m.value[0]);
    for (size_t i = 0; i < n_max; i++) fmpq_clear(&m.value[i]);
    rung_free(m.value);
    return m.state;
}

/* ---- verdicts ---- */

static void set(rung_step_claim *c, rung_verdict v, const char *rule, const char *reason) {
    c->verdict = v;
    c->rule = rule;
    c->reason = reason;
}

/* Digits behind the point of a side that is one written number; -1 otherwise. */
static int written_digits(const side *s, const ctok *t) {
    size_t i = 0;
    while (i < s->n && s->tok[i] != SIDE_TIMES && t[s->first + s->tok[i]].kind == C_OP) i++;
    if (i >= s->n || s->tok[i] == SIDE_TIMES) return -1;
    const ctok *n = &t[s->first + s->tok[i]];
    if (n->kind != C_NUM || n->den > 0) return -1;
    if (i + 1 < s->n &&
        (s->tok[i + 1] == SIDE_TIMES || t[s->first + s->tok[i + 1]].kind != C_PERCENT))
        return -1; /* 2{3} is a product */
    return i + 2 < s->n ? -1 : n->n_frac;
}

static int significant(const side *s, const ctok *t, const char *text) {
    const ctok *n = &t[s->first + s->tok[s->n - 1]];
    if (n->kind == C_PERCENT) n = &t[s->first + s->tok[s->n - 2]];
    int k = 0;
    for (int32_t i = n->begin; i < n->end; i++)
        k += (text[i] >= '1' && text[i] <= '9') || (k > 0 && text[i] == '0');
    return k;
}

/* |a - b| against k / (d 10^digits): -1, 0, 1. */
static int gap(const fmpq_t a, const fmpq_t b, ulong k, ulong d, ulong digits) {
    fmpq_t x, y;
    fmpz_t p;
    fmpq_init(x);
    fmpq_init(y);
    fmpz_init(p);
    fmpq_sub(x, a, b);
    fmpq_abs(x, x);
    fmpz_ui_pow_ui(p, 10, digits);
    fmpz_mul_ui(p, p, d);
    fmpz_set_ui(fmpq_numref(y), k);
    fmpz_set(fmpq_denref(y), p);
    fmpq_canonicalise(y);
    int r = fmpq_cmp(x, y);
    fmpz_clear(p);
    fmpq_clear(x);
    fmpq_clear(y);
    return r;
}

/* |a - b| <= |a| / d */
static bool within(const fmpq_t a, const fmpq_t b, ulong d) {
    fmpq_t x, y;
    fmpz_t p;
    fmpq_init(x);
    fmpq_init(y);
    fmpz_init_set_ui(p, d);
    fmpq_sub(x, a, b);
    fmpq_abs(x, x);
    fmpq_abs(y, a);
    fmpq_div_fmpz(y, y, p);
    bool r = fmpq_cmp(x, y) <= 0;
    fmpz_clear(p);
    fmpq_clear(x);
    fmpq_clear(y);
    return r;
}

typedef struct pair {
    const fmpq *a, *b;
    int digits;    /* of the right side as written, in its own unit; -1 not one number */
    int n_figures; /* significant digits written */
} pair;

/* Equal only after rounding: what to call it. */
static bool near(rung_step_claim *c, const pair *p, bool strict, bool about) {
    if (p->digits < 0) return false;
    ulong d = (ulong)p->digits;
    bool half = gap(p->a, p->b, 1, 2, d) <= 0, unit = gap(p->a, p->b, 1, 1, d) < 0;
    const char *not_equal = "equal only when rounded";
    if (p->n_figures >= 10 && within(p->a, p->b, 1000000000u)) {
        if (strict)
            set(c, RUNG_VERDICT_UNKNOWN, "", "noise of a computed value");
        else
            set(c, RUNG_VERDICT_CORRECT, half ? "rounded" : "float", "");
    } else if (half && (p->digits > 0 || about)) {
        if (strict)
            set(c, RUNG_VERDICT_WRONG, "exact", not_equal);
        else
            set(c, RUNG_VERDICT_CORRECT, "rounded", "");
    } else if (unit && !strict) {
        set(c, RUNG_VERDICT_UNKNOWN, "",
            p->digits > 0 ? "cut off, not rounded" : "a whole number near it");
    } else {
        return false;
    }
    return true;
}

/* (5/20) * 100 = 25%: the number before the mark; 0.25 = 25: a percentage without it. Both in the
 * right side's own digits. */
static bool as_percent(rung_step_claim *c, const pair *p, bool strict, bool about) {
    fmpq_t a, b, hundred;
    pair q = *p;
    fmpq_init(a);
    fmpq_init(b);
    fmpq_init(hundred);
    fmpq_set_si(hundred, 100, 1);
    fmpq_mul(a, p->a, hundred);
    fmpq_mul(b, p->b, hundred);
    bool ok = fmpq_equal(b, p->a) || fmpq_equal(a, p->b);
    if (ok) {
        set(c, RUNG_VERDICT_CORRECT, "percent", "");
    } else {
        q.digits = p->digits >= 2 ? p->digits - 2 : p->digits;
        q.b = b;
        ok = near(c, &q, strict, about);
    }
    fmpq_clear(a);
    fmpq_clear(b);
    fmpq_clear(hundred);
    return ok;
}

typedef struct manner {
    bool percent, both_percent, measure, strict, about;
} manner;

static void decide_equal(rung_step_claim *c, const pair *p, const manner *m) {
    if (fmpq_equal(p->a, p->b)) {
        set(c, RUNG_VERDICT_CORRECT, "exact", "");
    } else if (near(c, p, m->strict, m->about)) {
        return;
    } else if (m->about && within(p->a, p->b, 10)) {
        set(c, RUNG_VERDICT_UNKNOWN, "", "about");
    } else if (m->percent && as_percent(c, p, m->strict, m->about)) {
        return;
    } else if (m->percent && !m->both_percent) {
        set(c, RUNG_VERDICT_UNKNOWN, "", "percent of something");
    } else if (m->measure) {
        set(c, RUNG_VERDICT_UNKNOWN, "", "units");
    } else {
        set(c, RUNG_VERDICT_WRONG, "exact", m->about ? "not near" : "not equal");
    }
}

static void decide_order(rung_step_claim *c, const fmpq_t a, const fmpq_t b, char relation,
                         bool loose) {
    int r = fmpq_cmp(a, b);
    bool holds = relation == '<'   ? r < 0
                 : relation == 'l' ? r <= 0
                 : relation == '>' ? r > 0
                 : relation == 'g' ? r >= 0
                                   : r != 0;
    if (!holds && loose)
        set(c, RUNG_VERDICT_UNKNOWN, "", "units");
    else
        set(c, holds ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG, "exact", holds ? "" : "not so");
}

/* "3*4 = 12 + 5 = 17": the right side goes on calculating with the left one's value. */
static bool runs_on(const fmpq_t left, const side *right, const ctok *t, const char *text) {
    side head = *right;
    fmpq_t v;
    if (right->n < 3 || right->tok[0] == SIDE_TIMES) return false;
    head.n = 1;
    fmpq_init(v);
    bool same = side_eval(v, &head, t, text) == SIDE_OK && fmpq_equal(v, left);
    fmpq_clear(v);
    return same;
}

static void print_value(char *out, size_t n, const fmpq_t q) {
    if (fmpz_sizeinbase(fmpq_numref(q), 10) + fmpz_sizeinbase(fmpq_denref(q), 10) + 4 > n) {
        out[0] = '\0';
        return;
    }
    (void)fmpq_get_str(out, 10, q);
}

void claim_decide(rung_step_claim *c, const side *left, const side *right, char relation,
                  const ctok *t, const char *text, bool strict) {
    fmpq_t a, b;
    fmpq_init(a);
    fmpq_init(b);
    side_value va = side_eval(a, left, t, text), vb = side_eval(b, right, t, text);
    if (va == SIDE_OK) print_value(c->value, sizeof c->value, a);
    if (vb == SIDE_OK) print_value(c->right, sizeof c->right, b);
    side_value bad = va != SIDE_OK ? va : vb;
    if (bad != SIDE_OK) {
        set(c, RUNG_VERDICT_UNKNOWN, "",
            bad == SIDE_BY_ZERO ? "division by zero"
            : bad == SIDE_LARGE ? "too large"
                                : "not read");
    } else if (relation == '=' || relation == 'i' || relation == '~') {
        int digits = written_digits(right, t);
        pair p = {a, b, digits, digits >= 0 ? significant(right, t, text) : 0};
        /* a percentage's digits stand two places further right than its value's */
        if (digits >= 0 && right->percent) p.digits = digits + 2;
        decide_equal(c, &p,
                     &(manner){left->percent || right->percent, left->percent && right->percent,
                               left->measure || right->measure, strict, relation == '~'});
        if (c->verdict == RUNG_VERDICT_WRONG && runs_on(a, right, t, text))
            set(c, RUNG_VERDICT_UNKNOWN, "", "runs on");
    } else {
        decide_order(c, a, b, relation, left->measure || right->measure);
    }
    fmpq_clear(a);
    fmpq_clear(b);
}
