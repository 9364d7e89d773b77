/* Row `logic`: proofs whose steps are formulas, each decided by the solver from what it cites
 * (labels.md 6): FLD's notation (6A), and the small format assume / have .. from. */
#include "verify/step/formula.h"
#include "verify/step/solver.h"
#include "verify/step/step.h"
#include <string.h>

enum { PREMISES_MAX = 128 };

typedef struct proof {
    theory t;
    formula_names names;
    int32_t assumed[PREMISES_MAX]; /* hold everywhere (the small format) */
    size_t n_assumed;
    int32_t last; /* conclusion so far */
    rung_solver *solver;
    rung_arena *arena;
    rung_buf *explain; /* NULL none */
} proof;

typedef struct span {
    const char *p;
    size_t n;
} span;

static span trimmed(const char *p, size_t n) {
    while (n > 0 && (unsigned char)*p <= ' ') p++, n--;
    while (n > 0 && ((unsigned char)p[n - 1] <= ' ' || p[n - 1] == ';')) n--;
    return (span){p, n};
}

static bool letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static bool wordly(char c) {
    return letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '\'';
}

/* The word s begins with, or nothing. */
static span word_of(span s) {
    size_t n = 0;
    while (n < s.n && wordly(s.p[n])) n++;
    return (span){s.p, n};
}
static bool is_word(span w, const char *word) {
    return strlen(word) == w.n && memcmp(w.p, word, w.n) == 0;
}
static span behind(span s, size_t n) {
    return trimmed(s.p + n, s.n - n);
}

/* fact12, int3: `stem` and digits. */
static bool is_numbered(span w, const char *stem) {
    size_t k = strlen(stem);
    if (w.n <= k || memcmp(w.p, stem, k) != 0) return false;
    for (size_t i = k; i < w.n; i++)
        if (w.p[i] < '0' || w.p[i] > '9') return false;
    return true;
}

/* ---- asking */

typedef struct question {
    const int32_t *given;
    size_t n_given;
    int32_t goal;
} question;

static rung_status ask(solver_answer *out, rung_buf *model, proof *p, const question *q,
                       rung_error *err) {
    rung_buf text;
    rung_buf_init(&text, FORMULA_TEXT_MAX);
    rung_status st = RUNG_OK;
    if (formula_query(&text, &p->t, q->given, q->n_given, q->goal)) {
        st = solver_ask(out, model, p->solver, text.data, text.n, err);
        if (st == RUNG_OK) solver_explain(p->explain, text.data, text.n, *out);
    } else {
        *out = SOLVER_LIMIT;
        rung_buf_str(model, "too large");
    }
    rung_buf_clear(&text);
    return st;
}

static const char *why_unknown(solver_answer a) {
    return a == SOLVER_LIMIT  ? "out of resources"
           : a == SOLVER_DIED ? "the solver died"
           : a == SOLVER_BAD  ? "the solver did not read it"
                              : "undecided";
}

/* The step's class is the formula that it concludes. */
static rung_status classify(rung_step_verdict *v, proof *p, int32_t goal, rung_error *err) {
    rung_buf b;
    rung_status st = RUNG_OK;
    rung_buf_init(&b, FORMULA_TEXT_MAX);
    if (formula_text(&b, &p->t, goal))
        st = step_key(&v->key, p->arena, STEP_KEY_FORMULA, b.data, b.n, err);
    rung_buf_clear(&b);
    return st;
}

/* Does the goal follow? A step from premises that contradict each other is right, and told apart.
 */
static rung_status decide(rung_step_verdict *v, proof *p, const question *q, bool look,
                          rung_error *err) {
    rung_buf model;
    solver_answer a;
    rung_buf_init(&model, SOLVER_MODEL_MAX);
    rung_status st = classify(v, p, q->goal, err);
    if (st == RUNG_OK) st = ask(&a, &model, p, q, err);
    if (st == RUNG_OK && a == SOLVER_UNSAT) {
        step_set(v, RUNG_VERDICT_CORRECT, "z3", "");
        if (look) {
            question all = {q->given, q->n_given, FORMULA_NONE};
            st = ask(&a, &model, p, &all, err);
            if (st == RUNG_OK && a == SOLVER_UNSAT)
                step_set(v, RUNG_VERDICT_CORRECT, "contradiction", "");
        }
    } else if (st == RUNG_OK && a == SOLVER_SAT) {
        step_set(v, RUNG_VERDICT_WRONG, "z3", "does not follow");
        char *note = rung_arena_strndup(p->arena, model.n ? model.data : "", model.n);
        if (note) v->note = note;
    } else if (st == RUNG_OK) {
        step_set(v, RUNG_VERDICT_UNKNOWN, "", why_unknown(a));
        char *note = rung_arena_strndup(p->arena, model.n ? model.data : "", model.n);
        if (note) v->note = note;
    }
    rung_buf_clear(&model);
    return st;
}

static void unread(rung_step_verdict *v, const proof *p) {
    step_set(v, RUNG_VERDICT_UNKNOWN, "", p->t.why ? p->t.why : "not read");
}

/* ---- FLD */

/* A head "fact3:" "hypothesis:" "$hypothesis$ =" at p[i]: its name, and the bytes of all of it. */
static size_t head_at(span *name, span s, size_t i) {
    bool dollar = s.p[i] == '$';
    if (i > 0 && wordly(s.p[i - 1])) return 0;
    span w = word_of((span){s.p + i + dollar, s.n - i - dollar});
    bool fits = is_word(w, "hypothesis") || is_word(w, "context") || is_word(w, "facts") ||
                is_word(w, "proof") || is_word(w, "proof_label") || is_numbered(w, "fact") ||
                is_numbered(w, "sent");
    size_t k = i + dollar + w.n;
    if (!fits) return 0;
    if (dollar && k < s.n && s.p[k] == '$') k++;
    while (k < s.n && s.p[k] == ' ') k++;
    if (k >= s.n || (s.p[k] != ':' && s.p[k] != '=')) return 0;
    *name = w;
    return k + 1 - i;
}

/* Facts and hypothesis, on lines of their own or one behind the other. */
static void read_facts(proof *p, const char *text) {
    span s = {text, strlen(text)}, name = {NULL, 0};
    size_t begin = 0;
    for (size_t i = 0; i <= s.n; i++) {
        span next;
        size_t n = i < s.n ? head_at(&next, s, i) : 0;
        if (n == 0 && i < s.n && s.p[i] != '\n' && s.p[i] != ';') continue;
        if (name.n > 0) {
            span f = trimmed(s.p + begin, i - begin);
            int32_t formula = f.n ? fld_parse(&p->t, NULL, f.p, f.n) : FORMULA_NONE;
            if (formula >= 0) formula_names_set(&p->names, name.p, name.n, formula);
            name.n = 0;
        }
        if (n == 0) continue;
        name = next;
        begin = i + n;
        i += n - 1;
    }
}

/* The label of "$proof_label$: PROVED" or "The final answer is PROVED"; n 0: another step. */
static span label_of(span s) {
    static const char *const heads[] = {"$proof_label$:", "The final answer is", "#### "};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        size_t n = strlen(heads[i]);
        if (s.n >= n && memcmp(s.p, heads[i], n) == 0) return word_of(behind(s, n));
    }
    return (span){NULL, 0};
}

/* Where the proof has come to, beside the label: at the hypothesis, at its negation, at neither. */
static rung_status note_end(rung_step_verdict *v, proof *p, rung_error *err) {
    int32_t h = formula_names_get(&p->names, "hypothesis", 10);
    static const char *const where[] = {"the proof ends at the hypothesis",
                                        "the proof ends at the hypothesis' negation"};
    if (h < 0 || p->last < 0) return RUNG_OK;
    for (int k = 0; k < 2; k++) {
        if (k == 1) h = formula_add(&p->t, L_NOT, 0, FORMULA_NONE, h, FORMULA_NONE);
        int32_t same = h < 0 ? h : formula_add(&p->t, L_IFF, 0, FORMULA_NONE, h, p->last);
        if (same < 0) return RUNG_OK;
        rung_buf model;
        solver_answer a;
        rung_buf_init(&model, SOLVER_MODEL_MAX);
        rung_status st = ask(&a, &model, p, &(question){NULL, 0, same}, err);
        rung_buf_clear(&model);
        if (st != RUNG_OK) return st;
        if (a == SOLVER_UNSAT) {
            v->note = where[k];
            return RUNG_OK;
        }
    }
    v->note = "the proof ends at neither";
    return RUNG_OK;
}

static rung_status fld_label(rung_step_verdict *v, proof *p, span label, const char *answer,
                             rung_error *err) {
    if (!answer || !*answer) {
        step_set(v, RUNG_VERDICT_UNKNOWN, "", "the label is not known");
    } else if (is_word(label, answer)) {
        step_set(v, RUNG_VERDICT_CORRECT, "label", "");
    } else {
        step_set(v, RUNG_VERDICT_WRONG, "label", "another label");
    }
    RUNG_TRY(step_key(&v->key, p->arena, STEP_KEY_LABEL, label.p, label.n, err));
    return p->solver ? note_end(v, p, err) : RUNG_OK;
}

static rung_status fld_step(rung_step_verdict *v, proof *p, span s, const char *answer,
                            rung_error *err) {
    static const char arrow[] = " -> ", head[] = "$proof$:";
    if (s.n >= sizeof head - 1 && memcmp(s.p, head, sizeof head - 1) == 0)
        s = behind(s, sizeof head - 1);
    span label = label_of(s);
    if (label.n > 0) return fld_label(v, p, label, answer, err);
    if (s.n == 0) {
        step_set(v, RUNG_VERDICT_UNKNOWN, "", "no step");
        return RUNG_OK;
    }
    const char *at = memmem(s.p, s.n, arrow, sizeof arrow - 1); /* the first one */
    if (!at) {
        step_set(v, RUNG_VERDICT_UNKNOWN, "", "not read");
        return RUNG_OK;
    }
    span from = trimmed(s.p, (size_t)(at - s.p));
    span to = behind(s, (size_t)(at - s.p) + sizeof arrow - 1), name = word_of(to);
    if (is_numbered(name, "int") && name.n < to.n && to.p[name.n] == ':')
        to = behind(to, name.n + 1);
    else
        name.n = 0;
    int32_t premise = fld_parse(&p->t, &p->names, from.p, from.n);
    const char *why = p->t.why;
    int32_t goal = fld_parse(&p->t, &p->names, to.p, to.n);
    if (goal >= 0 && name.n > 0) formula_names_set(&p->names, name.p, name.n, goal);
    if (premise < 0 || goal < 0) {
        if (premise < 0) p->t.why = why;
        unread(v, p);
        return RUNG_OK;
    }
    p->last = goal;
    return decide(v, p, &(question){&premise, 1, goal}, false, err);
}

/* ---- the small format */

static const char *const joins[] = {"then", "hence", "thus", "therefore", NULL};
static const char *const claims[] = {"have", "show", "shows", "obtain", NULL};
static const char *const assumes[] = {"assume", "assumes", "given", "let", "define", NULL};

static bool among(span w, const char *const *list) {
    for (; *list; list++)
        if (is_word(w, *list)) return true;
    return false;
}

/* "int x, y", "fixes x y :: nat". */
static bool declaration(proof *p, span s) {
    formula_sort sort = SORT_REAL;
    span w = word_of(s);
    bool fix = is_word(w, "fix") || is_word(w, "fixes");
    if (!fix && !sort_read(&sort, w.p, w.n)) return false;
    s = behind(s, w.n);
    if (fix) {
        const char *colons = memmem(s.p, s.n, "::", 2);
        if (!colons) return false;
        span of = trimmed(colons + 2, s.n - (size_t)(colons + 2 - s.p));
        if (!sort_read(&sort, of.p, of.n)) return false;
        s.n = (size_t)(colons - s.p);
    }
    while (s.n > 0) {
        w = word_of(s);
        if (w.n == 0) {
            s = behind(s, 1);
            continue;
        }
        formula_symbol(&p->t, w.p, w.n, sort == SORT_BOOL ? SYM_PROP : SYM_NUMBER, sort);
        s = behind(s, w.n);
    }
    return true;
}

static span unquoted(span s) {
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"') return trimmed(s.p + 1, s.n - 2);
    return s;
}

/* Takes "name:" off; not the "x ::" of a sort. */
static span named(span *s) {
    span w = word_of(*s);
    if (w.n == 0 || w.n >= s->n || s->p[w.n] != ':' || (w.n + 1 < s->n && s->p[w.n + 1] == ':'))
        return (span){NULL, 0};
    *s = behind(*s, w.n + 1);
    return w;
}

static bool add_premise(int32_t *given, size_t *n, int32_t f) {
    if (f < 0 || *n == PREMISES_MAX) return false;
    given[(*n)++] = f;
    return true;
}

/* The references behind "from" / "using" / "by", taken off s; false: one is not defined. */
static bool references(proof *p, span *s, int32_t *given, size_t *n) {
    static const char *const words[] = {" from ", " using ", " by "};
    const char *cut = NULL;
    size_t n_cut = 0;
    for (size_t k = 0; k < sizeof words / sizeof *words; k++) {
        size_t len = strlen(words[k]);
        for (size_t i = 0; i + len <= s->n; i++) {
            if (memcmp(s->p + i, words[k], len) != 0 || (cut && s->p + i < cut)) continue;
            cut = s->p + i;
            n_cut = len;
        }
    }
    if (!cut) return true;
    span refs = behind(*s, (size_t)(cut - s->p) + n_cut);
    *s = trimmed(s->p, (size_t)(cut - s->p));
    while (refs.n > 0) {
        span w = word_of(refs);
        if (w.n == 0) {
            refs = behind(refs, 1);
            continue;
        }
        bool joining = is_word(w, "and") || is_word(w, "assms");
        if (!joining && !add_premise(given, n, formula_names_get(&p->names, w.p, w.n)))
            return false;
        refs = behind(refs, w.n);
    }
    return true;
}

static rung_status have(rung_step_verdict *v, proof *p, span s, bool joined, rung_error *err) {
    int32_t given[PREMISES_MAX];
    size_t n = p->n_assumed;
    memcpy(given, p->assumed, n * sizeof *given);
    span name = named(&s);
    bool known = references(p, &s, given, &n);
    if (joined && p->last >= 0) (void)add_premise(given, &n, p->last);
    s = unquoted(s);
    int32_t goal = arith_parse(&p->t, s.p, s.n);
    if (goal < 0) {
        unread(v, p);
        return RUNG_OK;
    }
    if (name.n > 0) formula_names_set(&p->names, name.p, name.n, goal);
    p->last = goal;
    if (!known) {
        step_set(v, RUNG_VERDICT_UNKNOWN, "", "refers to what nothing defines");
        return RUNG_OK;
    }
    return decide(v, p, &(question){given, n, goal}, true, err);
}

static void assume(rung_step_verdict *v, proof *p, span s) {
    if (s.n > 0 && s.p[0] == ':') s = behind(s, 1); /* "assume: F" */
    span name = named(&s);
    s = unquoted(s);
    int32_t f = arith_parse(&p->t, s.p, s.n);
    if (f < 0) {
        unread(v, p);
        return;
    }
    if (name.n > 0) formula_names_set(&p->names, name.p, name.n, f);
    if (add_premise(p->assumed, &p->n_assumed, f))
        step_set(v, RUNG_VERDICT_UNKNOWN, "", "an assumption");
    else
        step_set(v, RUNG_VERDICT_UNKNOWN, "", "too many assumptions");
}

static rung_status proof_line(rung_step_verdict *v, proof *p, span s, rung_error *err) {
    bool joined = false;
    span w = word_of(s);
    if (s.n == 0 || s.p[0] == '#') {
        step_set(v, RUNG_VERDICT_UNKNOWN, "", "no step");
        return RUNG_OK;
    }
    if (declaration(p, s)) {
        step_set(v, RUNG_VERDICT_UNKNOWN, "", "a declaration");
        return RUNG_OK;
    }
    if (among(w, assumes)) {
        assume(v, p, behind(s, w.n));
        return RUNG_OK;
    }
    if (among(w, joins)) {
        joined = true;
        s = behind(s, w.n);
        w = word_of(s);
    }
    bool claim = among(w, claims);
    if (claim) s = behind(s, w.n);
    if (!claim && !joined) {
        step_set(v, RUNG_VERDICT_UNKNOWN, "", "no step");
        return RUNG_OK;
    }
    if (s.n > 0 && s.p[0] == ':') s = behind(s, 1); /* "thus: F" */
    return have(v, p, s, joined, err);
}

/* All lines of a text; the verdict is of the first wrong one, else of the last one decided. */
static rung_status proof_text(rung_step_verdict *v, proof *p, const char *text, size_t n,
                              rung_error *err) {
    rung_step_verdict line;
    bool any = false;
    for (size_t i = 0; i <= n;) {
        const char *end = i < n ? memchr(text + i, '\n', n - i) : NULL;
        size_t len = end ? (size_t)(end - (text + i)) : n - i;
        memset(&line, 0, sizeof line);
        line.note = line.rule = line.reason = line.key = "";
        RUNG_TRY(proof_line(&line, p, trimmed(text + i, len), err));
        bool better = !any || line.verdict == RUNG_VERDICT_WRONG ||
                      (v->verdict == RUNG_VERDICT_UNKNOWN && strcmp(line.reason, "no step") != 0);
        if (better && v->verdict != RUNG_VERDICT_WRONG) *v = line;
        any = true;
        i += len + 1;
    }
    return RUNG_OK;
}

/* ---- the row */

static bool is_fld(const rung_step_task *task) {
    const char *q = task->question ? task->question : "";
    if (strstr(q, "hypothesis") || strchr(q, '{')) return true;
    for (int32_t i = 0; i < task->n_steps && !*q; i++)
        if (task->n_bytes[i] > 0 && memchr(task->step[i], '{', (size_t)task->n_bytes[i]))
            return true;
    return false;
}

rung_status logic_check(rung_step_verdict *out, rung_arena *a, const rung_step_task *task,
                        rung_solver *solver, rung_error *err) {
    proof *p = rung_calloc(1, sizeof *p);
    if (!p) return rung_fail(err, RUNG_E_NOMEM, "no memory for the proof");
    bool fld = is_fld(task);
    rung_status st = RUNG_OK;
    theory_init(&p->t);
    p->last = FORMULA_NONE;
    p->solver = solver;
    p->arena = a;
    p->explain = task->explain;
    if (fld) {
        read_facts(p, task->question ? task->question : "");
    } else if (task->question) {
        rung_step_verdict none = {0};
        rung_solver *later = p->solver;
        rung_buf *explain = p->explain;
        p->explain = NULL;
        p->solver = NULL; /* what the question claims is not judged */
        st = proof_text(&none, p, task->question, strlen(task->question), err);
        p->solver = later;
        p->explain = explain;
    }
    for (int32_t i = 0; i < task->n_steps && st == RUNG_OK; i++) {
        size_t n = task->n_bytes[i] > 0 ? (size_t)task->n_bytes[i] : 0;
        memset(&out[i], 0, sizeof out[i]);
        out[i].note = out[i].rule = out[i].reason = out[i].key = "";
        if (p->explain) {
            span s = trimmed(task->step[i], n);
            rung_buf_printf(p->explain, "step %d: ", i + 1);
            rung_buf_append(p->explain, s.p, s.n);
            rung_buf_str(p->explain, "\n");
        }
        st = fld ? fld_step(&out[i], p, trimmed(task->step[i], n), task->answer, err)
                 : proof_text(&out[i], p, task->step[i], n, err);
        if (p->explain && st == RUNG_OK)
            rung_buf_printf(p->explain, "  %s%s%s%s%s\n", rung_verdict_name(out[i].verdict),
                            out[i].rule[0] ? " by " : "", out[i].rule, out[i].reason[0] ? ": " : "",
                            out[i].reason);
    }
    theory_clear(&p->t);
    formula_names_clear(&p->names);
    rung_free(p);
    return st;
}
