/* Formulas as nodes of a theory, and their text for the solver. */
#include "verify/step/formula.h"
#include <string.h>

void theory_init(theory *t) {
    memset(t, 0, sizeof *t);
    rung_buf_init(&t->text, FORMULA_TEXT_MAX);
}

void theory_clear(theory *t) {
    rung_free(t->node);
    rung_free(t->sym);
    rung_buf_clear(&t->text);
    memset(t, 0, sizeof *t);
}

int32_t formula_fail(theory *t, const char *why) {
    if (!t->why) t->why = why;
    return FORMULA_NONE;
}

static formula_sort wider(const theory *t, int32_t a, int32_t b) {
    uint8_t x = t->node[a].sort, y = t->node[b].sort;
    return (formula_sort)(x > y ? x : y);
}

static formula_sort sort_of(const theory *t, formula_kind kind, int32_t sym, int32_t a, int32_t b) {
    switch (kind) {
    case L_NUM: return SORT_NAT;
    case L_VAR: return (formula_sort)t->sym[sym].sort;
    case L_ADD:
    case L_SUB:
    case L_MUL:
    case L_IDIV:
    case L_MOD:
    case L_MIN:
    case L_MAX: return wider(t, a, b);
    case L_DIV: return SORT_REAL;
    case L_POW:
    case L_ABS: return (formula_sort)t->node[a].sort;
    case L_NEG: return t->node[a].sort == SORT_NAT ? SORT_INT : (formula_sort)t->node[a].sort;
    default: return SORT_BOOL;
    }
}

int32_t formula_add(theory *t, formula_kind kind, uint8_t op, int32_t sym, int32_t a, int32_t b) {
    if (t->n == FORMULA_NODES_MAX) return formula_fail(t, "too large");
    if (t->n == t->cap) {
        int32_t cap = t->cap ? 2 * t->cap : 256;
        formula_node *grown = rung_realloc(t->node, (size_t)cap * sizeof *grown);
        if (!grown) return formula_fail(t, "no memory");
        t->node = grown;
        t->cap = cap;
    }
    bool pred = kind == L_PRED;
    int da = a >= 0 && !pred ? t->node[a].depth : 0, db = b >= 0 ? t->node[b].depth : 0;
    int depth = 1 + (da > db ? da : db);
    if (depth > FORMULA_DEPTH_MAX) return formula_fail(t, "nested too deeply");
    t->node[t->n] = (formula_node){
        (uint8_t)kind, op, (uint8_t)sort_of(t, kind, sym, a, b), (uint16_t)depth, sym, a, b};
    return t->n++;
}

int32_t formula_number(theory *t, const char *digits, size_t n) {
    size_t off = t->text.n;
    bool point = memchr(digits, '.', n) != NULL;
    rung_buf_append(&t->text, digits, n);
    if (t->text.failed) return formula_fail(t, "too large");
    int32_t i = formula_add(t, L_NUM, 0, FORMULA_NONE, FORMULA_NONE, FORMULA_NONE);
    if (i < 0) return i;
    t->node[i].a = (int32_t)off;
    t->node[i].b = (int32_t)n;
    if (point) t->node[i].sort = SORT_REAL;
    return i;
}

int32_t formula_find(const theory *t, const char *name, size_t n, sym_kind kind) {
    for (int32_t i = 0; i < t->n_sym; i++)
        if (t->sym[i].kind == kind && strncmp(t->sym[i].name, name, n) == 0 &&
            t->sym[i].name[n] == '\0')
            return i;
    return FORMULA_NONE;
}

int32_t formula_symbol(theory *t, const char *name, size_t n, sym_kind kind, formula_sort sort) {
    if (n >= FORMULA_NAME_MAX) return formula_fail(t, "a name is too long");
    int32_t i = formula_find(t, name, n, kind);
    if (i >= 0) return i;
    if (t->n_sym == FORMULA_SYMS_MAX) return formula_fail(t, "too many names");
    if (!t->sym) t->sym = rung_calloc(FORMULA_SYMS_MAX, sizeof *t->sym);
    if (!t->sym) return formula_fail(t, "no memory");
    formula_sym *s = &t->sym[t->n_sym];
    memcpy(s->name, name, n);
    s->name[n] = '\0';
    s->kind = (uint8_t)kind;
    s->sort = (uint8_t)sort;
    return t->n_sym++;
}

bool formula_names_set(formula_names *s, const char *name, size_t n, int32_t formula) {
    if (n >= FORMULA_NAME_MAX) return false;
    int32_t i = 0;
    while (i < s->n && !(strncmp(s->v[i].name, name, n) == 0 && s->v[i].name[n] == '\0')) i++;
    if (i == s->cap) {
        int32_t cap = s->cap ? 2 * s->cap : 32;
        formula_name *grown = rung_realloc(s->v, (size_t)cap * sizeof *grown);
        if (!grown) return false;
        s->v = grown;
        s->cap = cap;
    }
    if (i == s->n) s->n++;
    memcpy(s->v[i].name, name, n);
    s->v[i].name[n] = '\0';
    s->v[i].formula = formula;
    return true;
}

int32_t formula_names_get(const formula_names *s, const char *name, size_t n) {
    for (int32_t i = 0; s && i < s->n; i++)
        if (strncmp(s->v[i].name, name, n) == 0 && s->v[i].name[n] == '\0') return s->v[i].formula;
    return FORMULA_NONE;
}

/* ---- SMT-LIB */

/* Names keep apart what the logic keeps apart: a predicate and a proposition may both be {A}. */
static void put_name(rung_buf *b, const formula_sym *s) {
    switch (s->kind) {
    case SYM_PRED: rung_buf_printf(b, "|{%s}_|", s->name); break;
    case SYM_PROP: rung_buf_printf(b, s->sort == SORT_THING ? "|{%s}|" : "|%s|", s->name); break;
    case SYM_CONST: rung_buf_printf(b, "|{%s} |", s->name); break;
    case SYM_BOUND: rung_buf_printf(b, "|%s.|", s->name); break;
    default: rung_buf_printf(b, "|%s|", s->name);
    }
}

static void put(rung_buf *b, const theory *t, int32_t i);

/* A number in its sort, as a real when the place wants one. */
static void put_as(rung_buf *b, const theory *t, int32_t i, formula_sort want) {
    bool lift = want == SORT_REAL && t->node[i].sort != SORT_REAL;
    if (lift) rung_buf_str(b, "(to_real ");
    put(b, t, i);
    if (lift) rung_buf_str(b, ")");
}

static void put_two(rung_buf *b, const theory *t, const char *op, const formula_node *n,
                    formula_sort want) {
    rung_buf_printf(b, "(%s ", op);
    put_as(b, t, n->a, want);
    rung_buf_str(b, " ");
    put_as(b, t, n->b, want);
    rung_buf_str(b, ")");
}

static void put_number(rung_buf *b, const theory *t, const formula_node *n) {
    const char *p = t->text.data + n->a;
    const char *point = memchr(p, '.', (size_t)n->b);
    size_t whole = point ? (size_t)(point - p) : (size_t)n->b;
    if (whole == 0) rung_buf_str(b, "0");
    while (whole > 1 && *p == '0') p++, whole--;
    rung_buf_append(b, p, whole);
    if (point) rung_buf_append(b, point, (size_t)n->b - (size_t)(point - (t->text.data + n->a)));
}

/* To the floor, which is what division of int means here; Z3's own rounds so that the rest is
 * positive. By zero: 0, and the rest is the dividend, as Isabelle has it. */
static void put_div(rung_buf *b, const theory *t, const formula_node *n, bool rest) {
    rung_buf_str(b, "(let ((!1 ");
    put(b, t, n->a);
    rung_buf_str(b, ") (!2 ");
    put(b, t, n->b);
    rung_buf_str(b, ")) ");
    if (rest) rung_buf_str(b, "(- !1 (* !2 ");
    rung_buf_str(b, "(ite (= !2 0) 0 (ite (> !2 0) (div !1 !2) (div (- !1) (- !2))))");
    rung_buf_str(b, rest ? ")))" : ")");
}

static void put_ite(rung_buf *b, const theory *t, const formula_node *n, const char *test) {
    formula_sort s = (formula_sort)n->sort;
    rung_buf_str(b, "(let ((!1 ");
    put_as(b, t, n->a, s);
    rung_buf_str(b, ") (!2 ");
    put_as(b, t, n->b, s);
    rung_buf_printf(b, ")) %s)", test);
}

static void put_power(rung_buf *b, const theory *t, const formula_node *n) {
    int k = n->op;
    if (k == 0) {
        rung_buf_str(b, n->sort == SORT_REAL ? "1.0" : "1");
        return;
    }
    if (k == 1) {
        put(b, t, n->a);
        return;
    }
    rung_buf_str(b, "(let ((!1 ");
    put(b, t, n->a);
    rung_buf_str(b, ")) (*");
    for (int i = 0; i < k; i++) rung_buf_str(b, " !1");
    rung_buf_str(b, "))");
}

static void put_cmp(rung_buf *b, const theory *t, const formula_node *n) {
    formula_sort s = wider(t, n->a, n->b);
    switch (n->op) {
    case '!':
        rung_buf_str(b, "(not ");
        put_two(b, t, "=", n, s);
        rung_buf_str(b, ")");
        break;
    case 'l': put_two(b, t, "<=", n, s); break;
    case 'g': put_two(b, t, ">=", n, s); break;
    case 'd': put_ite(b, t, n, "(ite (= !1 0) (= !2 0) (= (mod !2 !1) 0))"); break;
    default: put_two(b, t, n->op == '<' ? "<" : n->op == '>' ? ">" : "=", n, s);
    }
}

static void put_bound(rung_buf *b, const theory *t, const formula_node *n) {
    static const char *const sorts[] = {"Bool", "Int", "Int", "Real", "U"};
    const formula_sym *s = &t->sym[n->sym];
    rung_buf_printf(b, "(%s ((", n->kind == L_ALL ? "forall" : "exists");
    put_name(b, s);
    rung_buf_printf(b, " %s)) ", sorts[s->sort]);
    if (s->sort == SORT_NAT) {
        rung_buf_str(b, n->kind == L_ALL ? "(=> (>= " : "(and (>= ");
        put_name(b, s);
        rung_buf_str(b, " 0) ");
    }
    put(b, t, n->a);
    rung_buf_str(b, s->sort == SORT_NAT ? "))" : ")");
}

static void put_pair(rung_buf *b, const theory *t, const char *op, const formula_node *n) {
    put_two(b, t, op, n, SORT_BOOL);
}

static void put(rung_buf *b, const theory *t, int32_t i) {
    const formula_node *n = &t->node[i];
    if (b->failed) return;
    switch ((formula_kind)n->kind) {
    case L_TRUE: rung_buf_str(b, "true"); break;
    case L_FALSE: rung_buf_str(b, "false"); break;
    case L_PROP:
    case L_VAR: put_name(b, &t->sym[n->sym]); break;
    case L_PRED:
        rung_buf_str(b, "(");
        put_name(b, &t->sym[n->sym]);
        rung_buf_str(b, " ");
        put_name(b, &t->sym[n->a]);
        rung_buf_str(b, ")");
        break;
    case L_NOT:
        rung_buf_str(b, "(not ");
        put(b, t, n->a);
        rung_buf_str(b, ")");
        break;
    case L_AND: put_pair(b, t, "and", n); break;
    case L_OR: put_pair(b, t, "or", n); break;
    case L_IMP: put_pair(b, t, "=>", n); break;
    case L_IFF: put_pair(b, t, "=", n); break;
    case L_ALL:
    case L_EX: put_bound(b, t, n); break;
    case L_CMP: put_cmp(b, t, n); break;
    case L_NUM: put_number(b, t, n); break;
    case L_ADD: put_two(b, t, "+", n, (formula_sort)n->sort); break;
    case L_SUB:
        if (n->sort == SORT_NAT) /* of natural numbers: cut at zero */
            put_ite(b, t, n, "(ite (>= !1 !2) (- !1 !2) 0)");
        else
            put_two(b, t, "-", n, (formula_sort)n->sort);
        break;
    case L_MUL: put_two(b, t, "*", n, (formula_sort)n->sort); break;
    case L_DIV: put_two(b, t, "/", n, SORT_REAL); break;
    case L_IDIV: put_div(b, t, n, false); break;
    case L_MOD: put_div(b, t, n, true); break;
    case L_POW: put_power(b, t, n); break;
    case L_NEG:
        rung_buf_str(b, "(- ");
        put(b, t, n->a);
        rung_buf_str(b, ")");
        break;
    case L_ABS:
        rung_buf_str(b, "(let ((!1 ");
        put(b, t, n->a);
        rung_buf_str(b, ")) (ite (>= !1 0) !1 (- !1)))");
        break;
    case L_MIN: put_ite(b, t, n, "(ite (<= !1 !2) !1 !2)"); break;
    case L_MAX: put_ite(b, t, n, "(ite (>= !1 !2) !1 !2)"); break;
    }
}

/* Marks the symbols and ground atoms that stand in a formula. */
typedef struct used {
    bool sym[FORMULA_SYMS_MAX];
    bool *node;
} used;

static void mark(used *u, const theory *t, int32_t i) {
    const formula_node *n = &t->node[i];
    if (u->node[i]) return;
    u->node[i] = true;
    if (n->sym >= 0) u->sym[n->sym] = true;
    if (n->kind == L_NUM) return;
    if (n->kind == L_PRED) {
        u->sym[n->a] = true;
        return;
    }
    if (n->a >= 0) mark(u, t, n->a);
    if (n->b >= 0) mark(u, t, n->b);
}

static void declare(rung_buf *b, const theory *t, const used *u) {
    static const char *const sorts[] = {"Bool", "Int", "Int", "Real", "U"};
    rung_buf_str(b, "(declare-sort U 0)");
    for (int32_t i = 0; i < t->n_sym; i++) {
        const formula_sym *s = &t->sym[i];
        if (!u->sym[i] || s->kind == SYM_BOUND) continue;
        rung_buf_str(b, "(declare-fun ");
        put_name(b, s);
        rung_buf_printf(b, " %s %s)", s->kind == SYM_PRED ? "(U)" : "()",
                        s->kind == SYM_PRED || s->kind == SYM_PROP ? "Bool" : sorts[s->sort]);
        if (s->kind == SYM_NUMBER && s->sort == SORT_NAT) {
            rung_buf_str(b, "(assert (>= ");
            put_name(b, s);
            rung_buf_str(b, " 0))");
        }
    }
    rung_buf_str(b, "\n");
}

/* Every ground atom gets a name, so that a counter-model can be told in the problem's own words. */
static void name_atoms(rung_buf *b, const theory *t, const used *u) {
    for (int32_t p = 0; p < t->n_sym; p++) {
        if (!u->sym[p] || t->sym[p].kind != SYM_PRED) continue;
        for (int32_t c = 0; c < t->n_sym; c++) {
            if (!u->sym[c] || t->sym[c].kind != SYM_CONST) continue;
            const char *name = t->sym[p].name, *of = t->sym[c].name;
            rung_buf_printf(b, "(declare-fun |{%s}{%s}| () Bool)", name, of);
            rung_buf_printf(b, "(assert (= |{%s}{%s}| (|{%s}_| |{%s} |)))\n", name, of, name, of);
        }
    }
}

bool formula_text(rung_buf *out, const theory *t, int32_t f) {
    put(out, t, f);
    return !out->failed;
}

bool formula_query(rung_buf *out, const theory *t, const int32_t *given, size_t n_given,
                   int32_t goal) {
    used *u = rung_calloc(1, sizeof *u);
    if (u) u->node = rung_calloc((size_t)t->n + 1, sizeof *u->node);
    if (!u || !u->node) {
        rung_free(u);
        return false;
    }
    for (size_t i = 0; i < n_given; i++) mark(u, t, given[i]);
    if (goal >= 0) mark(u, t, goal);
    declare(out, t, u);
    name_atoms(out, t, u);
    for (size_t i = 0; i < n_given; i++) {
        rung_buf_str(out, "(assert ");
        put(out, t, given[i]);
        rung_buf_str(out, ")\n");
    }
    if (goal >= 0) {
        rung_buf_str(out, "(assert (not ");
        put(out, t, goal);
        rung_buf_str(out, "))\n");
    }
    rung_free(u->node);
    rung_free(u);
    return !out->failed;
}
