/* Claims with letters. An identity is decided by the maths verifier; what rests on stated equations
 * by the solver over the reals (or int, nat where that is said): unsatisfiable with the claim's
 * negation: it follows; satisfiable: wrong, with the counter-model (labels.md 6). */
#include "verify/step/algebra.h"
#include "verify/answer.h"
#include "verify/form.h"
#include "verify/step/solver.h"
#include "verify/step/step.h"
#include <string.h>

/* ---- trees of the maths parser -> formulas */

static int32_t tree(theory *t, const expr *x, uint16_t i);

static int32_t numeral(theory *t, const expr *x, const expr_node *n) {
    char digits[128];
    size_t len = n->len, k = 0;
    if (n->rep > 0 || len + n->frac + 2 > sizeof digits)
        return formula_fail(t, "a number of another kind");
    for (size_t z = len; z <= n->frac; z++) digits[k++] = '0'; /* .05 is kept as 05 */
    memcpy(digits + k, x->text + n->off, len);
    k += len;
    if (n->frac > 0) {
        memmove(digits + k - n->frac + 1, digits + k - n->frac, n->frac);
        digits[k - n->frac] = '.';
        k++;
    }
    return formula_number(t, digits, k);
}

static int32_t variable(theory *t, const expr *x, const expr_node *n) {
    char name[FORMULA_NAME_MAX];
    size_t k = 0;
    for (size_t i = 0; i < n->len && k + 1 < sizeof name; i++) {
        char c = x->text[n->off + i];
        if (c != '\\' && c != '|' && c != '{' && c != '}') name[k++] = c;
    }
    int32_t s = formula_symbol(t, name, k, SYM_NUMBER, SORT_REAL);
    return s < 0 ? s : formula_add(t, L_VAR, 0, s, FORMULA_NONE, FORMULA_NONE);
}

static int32_t power(theory *t, const expr *x, uint16_t i) {
    const expr_node *e = expr_at(x, expr_kid(x, i, 1));
    int k = 0;
    if (e->kind != X_NUM || e->frac > 0 || e->len > 2)
        return formula_fail(t, "an exponent that is no small number");
    for (uint16_t d = 0; d < e->len; d++) k = 10 * k + (x->text[e->off + d] - '0');
    if (k > FORMULA_POWER_MAX) return formula_fail(t, "an exponent that is no small number");
    int32_t a = tree(t, x, expr_kid(x, i, 0));
    return a < 0 ? a : formula_add(t, L_POW, (uint8_t)k, FORMULA_NONE, a, FORMULA_NONE);
}

static int32_t tree(theory *t, const expr *x, uint16_t i) {
    const expr_node *n = expr_at(x, i);
    formula_kind kind;
    switch (n->kind) {
    case X_NUM: return numeral(t, x, n);
    case X_VAR: return variable(t, x, n);
    case X_POW: return power(t, x, i);
    case X_NEG: kind = L_NEG; break;
    case X_ADD: kind = L_ADD; break;
    case X_SUB: kind = L_SUB; break;
    case X_MUL: kind = L_MUL; break;
    case X_DIV: kind = L_DIV; break;
    default: return formula_fail(t, "not a polynomial");
    }
    int32_t a = tree(t, x, expr_kid(x, i, 0));
    for (uint16_t k = 1; a >= 0 && k < n->n_kids; k++) {
        int32_t b = tree(t, x, expr_kid(x, i, k));
        a = b < 0 ? b : formula_add(t, kind, 0, FORMULA_NONE, a, b);
    }
    if (kind == L_NEG && a >= 0) a = formula_add(t, L_NEG, 0, FORMULA_NONE, a, FORMULA_NONE);
    return a;
}

/* One side's text; false: no tree. */
static bool parse_side(expr **x, const char *p, size_t n) {
    *x = rung_alloc(sizeof **x);
    if (*x && expr_parse(*x, p, n)) return true;
    rung_free(*x);
    *x = NULL;
    return false;
}

static bool constant(const expr *x) {
    expr_vars v = {0};
    return expr_vars_add(&v, x, x->root) && v.n == 0 && !expr_contains(x, x->root, X_E) &&
           !expr_contains(x, x->root, X_I);
}

typedef struct sides {
    expr *left, *right;
} sides;
static void sides_clear(sides *s) {
    rung_free(s->left);
    rung_free(s->right);
}
static bool sides_read(sides *s, const rung_step_claim *c, const char *text) {
    *s = (sides){0};
    return parse_side(&s->left, text + c->begin, (size_t)(c->left_end - c->begin)) &&
           parse_side(&s->right, text + c->right_begin, (size_t)(c->end - c->right_begin));
}

static int32_t formula_of(theory *t, const rung_step_claim *c, const sides *s) {
    static const struct {
        const char *name;
        uint8_t op;
    } ops[] = {{"=", '='}, {"is", '='}, {"<", '<'}, {"<=", 'l'},
               {">", '>'}, {">=", 'g'}, {"!=", '!'}};
    t->why = NULL;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (strcmp(ops[i].name, c->relation) != 0) continue;
        int32_t a = tree(t, s->left, s->left->root);
        int32_t b = a < 0 ? a : tree(t, s->right, s->right->root);
        return b < 0 ? b : formula_add(t, L_CMP, ops[i].op, FORMULA_NONE, a, b);
    }
    return formula_fail(t, "about");
}

/* ---- what is given */

static void declare(algebra *a, const char *p, size_t n, formula_sort sort) {
    for (size_t i = 0; i < n;) {
        size_t k = i;
        while (k < n && (unsigned char)p[k] > ' ' && p[k] != ',' && p[k] != '|' && p[k] != '\\')
            k++;
        if (k > i) (void)formula_symbol(&a->t, p + i, k - i, SYM_NUMBER, sort);
        i = k + 1;
    }
}

static void take_line(algebra *a, const char *p, size_t n) {
    enum { CLAIMS_MAX = 16 };
    rung_step_claim c[CLAIMS_MAX];
    formula_sort sort;
    size_t w = 0;
    while (n > 0 && (unsigned char)*p <= ' ') p++, n--;
    while (w < n && p[w] >= 'a' && p[w] <= 'z') w++;
    if (w > 0 && w < n && p[w] == ' ' && sort_read(&sort, p, w) && sort != SORT_BOOL) {
        declare(a, p + w, n - w, sort);
        return;
    }
    size_t k = rung_step_claims(c, CLAIMS_MAX, p, n, NULL);
    for (size_t i = 0; i < k && i < CLAIMS_MAX; i++) {
        sides s;
        if (c[i].kind != RUNG_CLAIM_ALGEBRA || a->n_given == GIVEN_MAX) continue;
        int32_t f = sides_read(&s, &c[i], p) ? formula_of(&a->t, &c[i], &s) : FORMULA_NONE;
        sides_clear(&s);
        if (f >= 0) a->given[a->n_given++] = f;
    }
}

static rung_status ask(solver_answer *out, rung_buf *model, algebra *a, int32_t goal,
                       rung_error *err) {
    rung_buf q;
    rung_buf_init(&q, FORMULA_TEXT_MAX);
    rung_status st = RUNG_OK;
    *out = SOLVER_LIMIT;
    if (formula_query(&q, &a->t, a->given, a->n_given, goal))
        st = solver_ask(out, model, a->solver, q.data, q.n, err);
    if (st == RUNG_OK) solver_explain(a->explain, q.data, q.n, *out);
    rung_buf_clear(&q);
    return st;
}

rung_status algebra_init(algebra *a, const char *given, rung_solver *solver, rung_arena *arena,
                         rung_buf *explain, rung_error *err) {
    memset(a, 0, sizeof *a);
    a->explain = explain;
    theory_init(&a->t);
    a->solver = solver;
    a->arena = arena;
    for (const char *p = given ? given : ""; *p;) {
        size_t n = strcspn(p, "\n;");
        take_line(a, p, n);
        p += n + (p[n] != '\0');
    }
    if (explain && given)
        rung_buf_printf(explain, "given: %zu statement%s; do they agree?\n", a->n_given,
                        a->n_given == 1 ? "" : "s");
    if (a->n_given == 0 || !solver) return RUNG_OK;
    rung_buf model;
    solver_answer all;
    rung_buf_init(&model, SOLVER_MODEL_MAX);
    rung_status st = ask(&all, &model, a, FORMULA_NONE, err);
    rung_buf_clear(&model);
    a->contradictory = st == RUNG_OK && all == SOLVER_UNSAT;
    return st;
}

void algebra_clear(algebra *a) {
    theory_clear(&a->t);
}

/* ---- claims */

static void set(rung_step_claim *c, rung_verdict v, const char *rule, const char *reason) {
    c->verdict = v;
    c->rule = rule;
    c->reason = reason;
}

static bool letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool among(const char *p, size_t n, const char *const *list) {
    for (; *list; list++) {
        size_t k = 0;
        while (k < n && (*list)[k] && (p[k] | 0x20) == (*list)[k]) k++;
        if (k == n && (*list)[k] == '\0') return true;
    }
    return false;
}

/* Not a claim but a definition, a case, or one of several: by the word before or behind it. */
static const char *not_claimed(const rung_step_claim *c, const char *text, size_t n) {
    static const char *const lets[] = {"let",     "set",    "define", "denote",
                                       "suppose", "assume", "say",    NULL};
    static const char *const cases[] = {"if", "when", "where", "case", "for", "unless", NULL};
    static const char *const or [] = {"or", NULL};
    size_t e = (size_t)c->begin, k = (size_t)c->end;
    while (e > 0 && !letter(text[e - 1]) && text[e - 1] != '.' && text[e - 1] != '\n') e--;
    size_t b = e;
    while (b > 0 && letter(text[b - 1])) b--;
    if (among(text + b, e - b, lets)) return "a definition";
    if (among(text + b, e - b, cases)) return "a case";
    if (among(text + b, e - b, or)) return "one of several";
    while (k < n && !letter(text[k]) && text[k] != '.' && text[k] != '\n') k++;
    e = k;
    while (e < n && letter(text[e])) e++;
    return among(text + k, e - k, or) ? "one of several" : NULL;
}

/* By the maths verifier: an identity, or constants. true: decided. */
static bool by_maths(rung_step_claim *c, const sides *s, const char *text) {
    char left[ANSWER_BYTES_MAX], right[ANSWER_BYTES_MAX];
    size_t n_left = (size_t)(c->left_end - c->begin), n_right = (size_t)(c->end - c->right_begin);
    rung_check r;
    if (n_left >= sizeof left || n_right >= sizeof right || strcmp(c->relation, "=") != 0)
        return false;
    memcpy(left, text + c->begin, n_left);
    memcpy(right, text + c->right_begin, n_right);
    left[n_left] = right[n_right] = '\0';
    check_math(&r, left, right);
    bool constants = constant(s->left) && constant(s->right);
    if (r.verdict == RUNG_VERDICT_CORRECT)
        set(c, r.verdict, constants ? "value" : "identity", "");
    else if (constants && r.verdict == RUNG_VERDICT_WRONG)
        set(c, r.verdict, "value", "not equal");
    else
        return false;
    return true;
}

static rung_status by_solver(rung_step_claim *c, const char **note, algebra *a, int32_t goal,
                             rung_error *err) {
    rung_buf model;
    solver_answer got;
    rung_buf_init(&model, SOLVER_MODEL_MAX);
    rung_status st = ask(&got, &model, a, goal, err);
    if (st == RUNG_OK && got == SOLVER_UNSAT) {
        set(c, RUNG_VERDICT_CORRECT, "follows", "");
    } else if (st == RUNG_OK && got == SOLVER_SAT) {
        set(c, RUNG_VERDICT_WRONG, "z3", "does not follow");
        char *text = rung_arena_strndup(a->arena, model.n ? model.data : "", model.n);
        if (text) *note = text;
    } else if (st == RUNG_OK) {
        set(c, RUNG_VERDICT_UNKNOWN, "", got == SOLVER_LIMIT ? "out of resources" : "undecided");
    }
    rung_buf_clear(&model);
    return st;
}

rung_status algebra_decide(rung_step_claim *c, const char **note, algebra *a, const char *text,
                           size_t n, rung_error *err) {
    sides s;
    rung_status st = RUNG_OK;
    const char *why = not_claimed(c, text, n);
    *note = "";
    set(c, RUNG_VERDICT_UNKNOWN, "", "letters");
    if (!sides_read(&s, c, text)) {
        c->reason = "not read";
    } else if (by_maths(c, &s, text)) {
        why = NULL;
    } else if (why) {
        c->reason = why;
    } else if (a->n_given > 0) {
        int32_t n_sym = a->t.n_sym, goal = formula_of(&a->t, c, &s);
        bool new_names = a->t.n_sym > n_sym;
        a->t.n_sym = n_sym;
        if (goal < 0)
            c->reason = a->t.why ? a->t.why : "not read";
        else if (new_names)
            c->reason = "of a letter nothing is stated";
        else if (a->contradictory)
            c->reason = "what is given contradicts itself";
        else
            st = by_solver(c, note, a, goal, err);
    }
    sides_clear(&s);
    return st;
}
