/* Formulas with predicates of one place and quantifiers side by side have small counter-models: the
 * constants and one thing more for each quantifier (a witness each; what is said of all holds of a
 * part of them). So a counter-model is searched for among these, thing by thing, with three-valued
 * evaluation to cut the search. Shares nothing with the solver. */
#include "problem/logic_exact.h"
#include <string.h>

enum { THINGS_MAX = 12, ATOMS_MAX = 192, BUDGET = 400000, SEEN_MAX = 1 << 16 };
enum { FALSE3 = 0, TRUE3 = 1, OPEN3 = 2 };

typedef struct search {
    const theory *t;
    int32_t premise, goal;
    int n_things, n_atoms;
    int thing_of[FORMULA_SYMS_MAX]; /* of constants and, while they are bound, of variables */
    int atom_of[FORMULA_SYMS_MAX];  /* first atom of a predicate or a proposition; -1 none */
    uint8_t value[ATOMS_MAX];
    int64_t left, n_seen;
    bool over;
} search;

static int eval(search *s, int32_t i) {
    const formula_node *n = &s->t->node[i];
    int a, b;
    if (s->left-- <= 0) {
        s->over = true;
        return OPEN3;
    }
    switch (n->kind) {
    case L_TRUE: return TRUE3;
    case L_FALSE: return FALSE3;
    case L_PROP: return s->value[s->atom_of[n->sym]];
    case L_PRED: return s->value[s->atom_of[n->sym] + s->thing_of[n->a]];
    case L_NOT: a = eval(s, n->a); return a == OPEN3 ? OPEN3 : !a;
    case L_AND:
        a = eval(s, n->a);
        if (a == FALSE3) return a;
        b = eval(s, n->b);
        return b == FALSE3 ? b : a == OPEN3 ? a : b;
    case L_OR:
        a = eval(s, n->a);
        if (a == TRUE3) return a;
        b = eval(s, n->b);
        return b == TRUE3 ? b : a == OPEN3 ? a : b;
    case L_IMP:
        a = eval(s, n->a);
        if (a == FALSE3) return TRUE3;
        b = eval(s, n->b);
        return b == TRUE3 ? b : a == OPEN3 ? a : b;
    case L_ALL:
    case L_EX:
        a = n->kind == L_ALL ? TRUE3 : FALSE3;
        for (int k = 0; k < s->n_things; k++) {
            s->thing_of[n->sym] = k;
            b = eval(s, n->a);
            if (b == (n->kind == L_ALL ? FALSE3 : TRUE3)) return b;
            if (b == OPEN3) a = OPEN3;
        }
        return a;
    default: s->over = true; return OPEN3;
    }
}

/* Is there a way to go on that makes the premise true and the goal false? */
static bool counter_model(search *s, int from) {
    int p = eval(s, s->premise);
    if (s->over || p == FALSE3) return false;
    int g = eval(s, s->goal);
    if (s->over || g == TRUE3) return false;
    if (p == TRUE3 && g == FALSE3) return true;
    if (from == s->n_atoms) return false;
    for (int v = 0; v < 2; v++) {
        s->value[from] = (uint8_t)v;
        bool found = counter_model(s, from + 1);
        if (found || s->over) return found;
    }
    s->value[from] = OPEN3;
    return false;
}

/* Numbers constants and atoms; false: nested quantifiers or other formulas, or too many nodes: a
 * formula that cites others twice doubles with each, and is walked as a tree. */
static bool survey(search *s, int32_t i, bool inside, int *n_quantifiers, bool *used) {
    const formula_node *n = &s->t->node[i];
    if (s->n_seen++ >= SEEN_MAX) return false;
    switch (n->kind) {
    case L_TRUE:
    case L_FALSE: return true;
    case L_PROP: used[n->sym] = true; return true;
    case L_PRED:
        used[n->sym] = true;
        used[n->a] = true;
        return true;
    case L_NOT: return survey(s, n->a, inside, n_quantifiers, used);
    case L_AND:
    case L_OR:
    case L_IMP:
        return survey(s, n->a, inside, n_quantifiers, used) &&
               survey(s, n->b, inside, n_quantifiers, used);
    case L_ALL:
    case L_EX: ++*n_quantifiers; return !inside && survey(s, n->a, true, n_quantifiers, used);
    default: return false;
    }
}

exact_answer exact_follows(const theory *t, int32_t premise, int32_t goal) {
    static const bool none[FORMULA_SYMS_MAX];
    bool used[FORMULA_SYMS_MAX];
    search s = {.t = t, .premise = premise, .goal = goal, .left = BUDGET};
    int n_quantifiers = 0;
    memcpy(used, none, sizeof used);
    if (!survey(&s, premise, false, &n_quantifiers, used) ||
        !survey(&s, goal, false, &n_quantifiers, used))
        return EXACT_OPEN;
    for (int32_t k = 0; k < t->n_sym; k++)
        if (used[k] && t->sym[k].kind == SYM_CONST) s.thing_of[k] = s.n_things++;
    s.n_things += n_quantifiers;
    if (s.n_things == 0) s.n_things = 1;
    if (s.n_things > THINGS_MAX) return EXACT_OPEN;
    for (int32_t k = 0; k < t->n_sym; k++) {
        if (!used[k] || (t->sym[k].kind != SYM_PRED && t->sym[k].kind != SYM_PROP)) continue;
        s.atom_of[k] = s.n_atoms;
        s.n_atoms += t->sym[k].kind == SYM_PRED ? s.n_things : 1;
        if (s.n_atoms > ATOMS_MAX) return EXACT_OPEN;
    }
    memset(s.value, OPEN3, sizeof s.value);
    bool found = counter_model(&s, 0);
    return s.over ? EXACT_OPEN : found ? EXACT_NO : EXACT_YES;
}
