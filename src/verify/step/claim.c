/* Finding the claims of a step: sides, relations between them, chains of relations. */
#include "verify/step/claim.h"
#include "verify/eval.h"
#include <string.h>

typedef struct finder {
    const char *text;
    size_t n_text;
    const ctok *t;
    size_t n;
    const rung_claim_opts *o;
    rung_step_claim *out;
    size_t n_max, n_found;
} finder;

static const ctok *at(const finder *f, size_t i) {
    static const ctok none = {.kind = C_BREAK};
    return i < f->n ? &f->t[i] : &none;
}

static bool add_sig(side *s, size_t tok) {
    if (s->n == SIDE_MAX) return false;
    s->tok[s->n++] = tok == SIDE_TIMES ? SIDE_TIMES : (uint16_t)(tok - s->first);
    return true;
}

static bool opens_operand(const ctok *t) {
    return t->kind == C_NUM || t->kind == C_OPEN || t->kind == C_VAR || t->kind == C_FUNC;
}
/* An operator; one in words only where an operand follows it ("3 times a day" has none). */
static bool is_operator(const finder *f, size_t i) {
    const ctok *t = at(f, i);
    return t->kind == C_OP && (!t->word || opens_operand(at(f, i + 1)));
}
static bool is_wordy(const finder *f, size_t i) {
    const ctok *t = at(f, i);
    return (t->kind == C_WORD && !t->stop) || (t->kind == C_OP && t->word && !is_operator(f, i)) ||
           (t->kind == C_OP && t->op == '/' && at(f, i + 1)->kind == C_WORD) ||
           (t->kind == C_OF && at(f, i + 1)->kind == C_WORD);
}

/* "(apples)" at i: the tokens of it, 0: none. */
static size_t words_in_brackets(const finder *f, size_t i) {
    size_t k = i + 1;
    if (at(f, i)->kind != C_OPEN || at(f, i)->op != '(') return 0;
    while (k - i <= UNIT_WORDS_MAX && at(f, k)->kind == C_WORD) k++;
    return k > i + 1 && at(f, k)->kind == C_CLOSE ? k + 1 - i : 0;
}

/* Words behind an operand that are its unit: what stands behind them, when the side goes on there.
 */
static size_t skip_unit(const finder *f, size_t i, side *s, int depth) {
    size_t k = i, n = 0;
    bool measure = false;
    for (;; n++) {
        size_t in = words_in_brackets(f, k);
        if (in > 0) {
            k += in;
        } else if (is_wordy(f, k)) {
            measure |= at(f, k)->measure;
            k++;
        } else {
            break;
        }
        if (n == UNIT_WORDS_MAX) return i;
    }
    if (k == i) return i;
    const ctok *t = at(f, k);
    bool goes_on = is_operator(f, k) || t->kind == C_REL || t->kind == C_OF ||
                   (t->kind == C_CLOSE && depth > 0);
    if (!goes_on) return i;
    s->measure |= measure;
    s->words = true;
    s->of_words |= at(f, i)->kind == C_OF;
    return k;
}

/* Is what stands before an "of" a share: a percentage or a fraction? */
static bool is_share(const finder *f, const side *s) {
    const ctok *last =
        s->n && s->tok[s->n - 1] != SIDE_TIMES ? at(f, s->first + s->tok[s->n - 1]) : at(f, f->n);
    if (last->kind == C_PERCENT || (last->kind == C_CLOSE && last->op == 'f')) return true;
    if (last->kind != C_NUM) return false;
    if (last->den > 0) return true;
    if (s->n < 3 || s->tok[s->n - 2] == SIDE_TIMES) return false;
    const ctok *slash = at(f, s->first + s->tok[s->n - 2]);
    return slash->kind == C_OP && slash->op == '/';
}

/* After an operator nothing that could be an operand: did the side end before it? A dash before a
 * line's end, or the ** of bold type. */
static bool ends_before(const finder *f, size_t i_op) {
    const ctok *op = at(f, i_op), *next = at(f, i_op + 1);
    if (op->op == '*' && next->kind == C_OP && next->op == '*') return true;
    return (op->op == '*' || op->op == '-') && next->kind == C_BREAK;
}

typedef struct scan {
    size_t i;
    int depth;
    bool want; /* an operand */
} scan;

/* One token where an operand is wanted; false: the side is none. */
static bool scan_operand(const finder *f, side *s, scan *c) {
    const ctok *t = at(f, c->i);
    if (t->kind == C_OP && !t->word && (t->op == '-' || t->op == '+')) {
        if (s->n > 1 && at(f, c->i - 1)->kind == C_OP && at(f, c->i - 2)->kind == C_OP)
            return false;
    } else if (t->kind == C_OPEN) {
        c->depth++;
    } else if (t->kind == C_NUM || t->kind == C_VAR || t->kind == C_FUNC) {
        if (t->kind == C_NUM && t->den == 0 && t->n_frac == 0 && t->end - t->begin > 1 &&
            f->text[t->begin] == '0')
            return false; /* 0930, the 000 of 80, 000 */
        s->letters |= t->kind != C_NUM;
        s->mixed |= t->mixed;
        c->want = false;
    } else {
        return false;
    }
    if (!add_sig(s, c->i)) return false;
    c->i++;
    return true;
}

typedef enum scan_step { GO_ON, SIDE_ENDS, NO_SIDE } scan_step;

/* One step where an operand has just ended. */
static scan_step scan_after(const finder *f, side *s, scan *c) {
    const ctok *t = at(f, c->i), *before = at(f, c->i - 1);
    if (t->kind == C_PERCENT) {
        s->percent = true;
    } else if (t->kind == C_CLOSE && c->depth > 0) {
        c->depth--;
    } else if (is_operator(f, c->i) && !is_wordy(f, c->i)) {
        if (c->depth == 0 && ends_before(f, c->i)) return SIDE_ENDS;
        if (t->op == '/' && s->n >= 2 && s->tok[s->n - 2] != SIDE_TIMES)
            s->two_readings |= at(f, s->first + s->tok[s->n - 2])->op == '/';
        s->two_readings |= s->of && (t->op == '+' || t->op == '-');
        s->n_ops++;
        c->want = true;
    } else if (t->kind == C_OF && is_share(f, s) && opens_operand(at(f, c->i + 1))) {
        if (before->kind == C_PERCENT) s->percent = false; /* used up */
        s->of = true;
        s->n_ops++;
        c->want = true;
    } else if (words_in_brackets(f, c->i) == 0 &&
               ((t->kind == C_OPEN && t->glued && before->kind != C_VAR) ||
                (t->kind == C_VAR && (before->kind != C_NUM || t->glued)) || t->kind == C_FUNC ||
                (t->kind == C_NUM && (before->kind == C_VAR || before->kind == C_FUNC)))) {
        if (t->kind == C_NUM) return NO_SIDE; /* x2: who knows */
        s->n_ops++;
        c->want = true;
        return add_sig(s, SIDE_TIMES) ? GO_ON : NO_SIDE;
    } else if (t->kind == C_OPEN && t->glued && before->kind == C_VAR) {
        return NO_SIDE; /* f(3) */
    } else {
        size_t k = skip_unit(f, c->i, s, c->depth);
        if (k == c->i) return SIDE_ENDS;
        c->i = k;
        return GO_ON;
    }
    if (!add_sig(s, c->i)) return NO_SIDE;
    c->i++;
    return GO_ON;
}

/* Three digits one blank (or comma and blank) behind a number: is it one number, 18 000? */
static bool is_group(const finder *f, size_t i) {
    const ctok *t = at(f, i), *before = i > 0 ? at(f, i - 1) : NULL;
    if (before && before->kind == C_BREAK && before->op == ',' && i > 1) before = at(f, i - 2);
    return before && t->kind == C_NUM && before->kind == C_NUM && t->den == 0 && before->den == 0 &&
           before->n_frac == 0 && t->end - t->begin - (t->n_frac ? t->n_frac + 1 : 0) == 3 &&
           t->begin - before->end <= 2 && before->end - before->begin <= 7;
}

/* The longest side that begins at token i. */
static bool scan_side(const finder *f, side *s, size_t i) {
    scan c = {i, 0, true};
    memset(s, 0, sizeof *s);
    s->first = i;
    for (;;) {
        if (c.i - i > 2000) return false;
        if (c.want) {
            if (!scan_operand(f, s, &c)) return false;
            continue;
        }
        scan_step step = scan_after(f, s, &c);
        if (step == NO_SIDE) return false;
        if (step == SIDE_ENDS) break;
    }
    s->end = c.i;
    return c.depth == 0 && !is_group(f, c.i);
}

/* May a side begin here? Not in the middle of another one. */
static bool may_begin(const finder *f, size_t i) {
    const ctok *t = at(f, i);
    bool sign = t->kind == C_OP && !t->word && t->op == '-';
    if (!sign && !opens_operand(t)) return false;
    if (i == 0) return true;
    const ctok *before = at(f, i - 1), *second = i > 1 ? at(f, i - 2) : at(f, f->n);
    switch (before->kind) {
    case C_BREAK:
        if ((before->op == 'o' && t->glued) || (before->op == ',' && is_group(f, i))) return false;
        return second->kind != C_OP || before->op == '\n';
    case C_REL:
    case C_OPEN: return true;
    case C_OP: return before->word && !sign;
    case C_PERCENT:
    case C_VAR:
    case C_FUNC: return false;
    case C_CLOSE: /* only behind a list's number: (1) 3 + 4 = 7 */
        return !sign && !t->glued && second->kind == C_NUM && i > 2 &&
               at(f, i - 3)->kind == C_OPEN && (i == 3 || at(f, i - 4)->kind == C_BREAK);
    case C_NUM: return t->kind == C_NUM && !is_group(f, i);
    default: break;
    }
    for (size_t k = i - 1; k > 0 && i - k <= UNIT_WORDS_MAX; k--) { /* "+ his 1 brother" */
        if (at(f, k)->kind != C_WORD) break;
        if (at(f, k - 1)->kind == C_OP && !at(f, k - 1)->word) return false;
    }
    bool before_text = (size_t)t->end < f->n_text && f->text[t->end] > ' ';
    return !sign || (!t->glued && before_text);
}

static void side_span(const finder *f, const side *s, int32_t *begin, int32_t *end) {
    *begin = at(f, s->first)->begin;
    *end = at(f, s->end - 1)->end;
    for (size_t k = s->end; k > s->first; k--) { /* without the unit's words */
        const ctok *t = at(f, k - 1);
        if (t->kind == C_WORD || (t->kind == C_OP && t->word)) continue;
        *end = t->end;
        break;
    }
}

/* A proper fraction or a percentage and nothing else. */
static bool is_share_alone(const finder *f, const side *s) {
    if (s->n == 2 && at(f, s->first + s->tok[1])->kind == C_PERCENT) return true;
    if (s->n != 3 || s->tok[1] == SIDE_TIMES || at(f, s->first + s->tok[1])->op != '/')
        return false;
    fmpq_t v;
    fmpq_init(v);
    bool proper = side_eval(v, s, f->t, f->text) == SIDE_OK &&
                  fmpz_cmpabs(fmpq_numref(v), fmpq_denref(v)) < 0;
    fmpq_clear(v);
    return proper;
}

/* Prose that says something else than its equals sign: not shown to be wrong. */
static void soften(const finder *f, rung_step_claim *c, const side *a, const side *b,
                   char relation) {
    const char *why = NULL;
    if ((a->n_ops == 0 && a->words) || a->of_words || b->of_words ||
        (relation == 'i' && b->n_ops > 0)) {
        why = "loose words"; /* "1 bedroom = 11 * 11", "5 + 3 is 8 + 2 more" */
    } else if (is_share_alone(f, a)) {
        why = "a share of something"; /* "3/4 is 9" */
    } else if (a->two_readings || b->two_readings || a->mixed || b->mixed) {
        why = "two readings";
    }
    if (!why) return;
    c->verdict = RUNG_VERDICT_UNKNOWN;
    c->rule = "";
    c->reason = why;
}

static const char *relation_name(char op) {
    static const struct {
        char op;
        char name[4];
    } names[] = {{'~', "~"},  {'<', "<"},  {'l', "<="}, {'>', ">"},
                 {'g', ">="}, {'!', "!="}, {'i', "is"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].op == op) return names[i].name;
    return "=\0\0";
}

static rung_step_claim *next_claim(finder *f, rung_step_claim *spare) {
    rung_step_claim *c = f->n_found < f->n_max ? &f->out[f->n_found] : spare;
    f->n_found++;
    memset(c, 0, sizeof *c);
    c->rule = c->reason = "";
    return c;
}

static void put_claim(finder *f, const side *a, const side *b, char relation, bool mark) {
    rung_step_claim spare, *c;
    int32_t left_begin, right_end;
    bool letters = a->letters || b->letters;
    if (!mark && !letters && a->n_ops == 0 && b->n_ops == 0) return;
    if (relation == 'i' && (letters || a->n_ops == 0)) return;
    c = next_claim(f, &spare);
    c->kind = letters ? RUNG_CLAIM_ALGEBRA : mark ? RUNG_CLAIM_MARK : RUNG_CLAIM_PLAIN;
    side_span(f, a, &left_begin, &c->left_end);
    side_span(f, b, &c->right_begin, &right_end);
    c->begin = left_begin;
    c->end = right_end;
    memcpy(c->relation, relation_name(relation), sizeof c->relation);
    if (letters) {
        c->reason = "letters";
        return;
    }
    if (c == &spare) return; /* nobody reads it */
    claim_decide(c, a, b, relation, f->t, f->text, f->o->strict);
    if (c->verdict == RUNG_VERDICT_WRONG && !mark) soften(f, c, a, b, relation);
}

/* The chain of sides that begins at token i; returns where it ends, i: none here. */
static size_t chain(finder *f, size_t i, bool mark) {
    side s[2];
    int cur = 0;
    if (!scan_side(f, &s[0], i)) return i;
    size_t end = s[0].end;
    for (;;) {
        const ctok *rel = at(f, end);
        if (rel->kind != C_REL || !scan_side(f, &s[!cur], end + 1)) break;
        put_claim(f, &s[cur], &s[!cur], rel->op, mark);
        cur = !cur;
        end = s[cur].end;
        if (rel->op == 'i') break;
    }
    return end;
}

static void find_plain(finder *f, size_t from) {
    for (size_t i = from; i < f->n;) {
        size_t end = may_begin(f, i) ? chain(f, i, false) : i;
        i = end > i ? end : i + 1;
    }
}

/* What is inside << >>: all of it has to be one chain. */
static void find_mark(finder *f, int32_t begin, int32_t end) {
    size_t n0 = f->n_found;
    rung_step_claim spare;
    size_t done = f->n > 0 ? chain(f, 0, true) : 0;
    if (done == f->n && f->n_found > n0) return;
    f->n_found = n0;
    rung_step_claim *c = next_claim(f, &spare);
    c->kind = RUNG_CLAIM_MARK;
    c->begin = begin;
    c->end = c->right_begin = c->left_end = end;
    c->relation[0] = '=';
    c->reason = "not read";
}

static void sort_claims(rung_step_claim *c, size_t n) { /* marks are few; nearly sorted */
    for (size_t i = 1; i < n; i++) {
        rung_step_claim x = c[i];
        size_t k = i;
        for (; k > 0 && c[k - 1].begin > x.begin; k--) c[k] = c[k - 1];
        c[k] = x;
    }
}

size_t rung_step_claims(rung_step_claim *out, size_t n_max, const char *text, size_t n,
                        const rung_claim_opts *opts) {
    const rung_claim_opts none = RUNG_CLAIM_OPTS_INIT;
    ctoks toks = {0};
    finder f = {.text = text, .n_text = n, .o = opts ? opts : &none, .out = out, .n_max = n_max};
    if (n > INT32_MAX) return 0;
    eval_thread();
    for (size_t k = 0; k + 1 < n; k++) {
        if (text[k] != '<' || text[k + 1] != '<') continue;
        size_t end = k + 2;
        while (end + 1 < n && text[end] != '\n' && text[end] != '<' &&
               !(text[end] == '>' && text[end + 1] == '>'))
            end++;
        if (end + 1 >= n || text[end] != '>') continue;
        toks.n = 0;
        claim_lex(&toks, text, k + 2, end, false);
        f.t = toks.t;
        f.n = toks.n;
        find_mark(&f, (int32_t)k + 2, (int32_t)end);
        k = end + 1;
    }
    toks.n = 0;
    claim_lex(&toks, text, 0, n, true);
    f.t = toks.t;
    f.n = toks.n;
    if (!toks.failed) find_plain(&f, 0);
    rung_free(toks.t);
    if (toks.failed) return 0;
    sort_claims(out, f.n_found < n_max ? f.n_found : n_max);
    return f.n_found;
}
