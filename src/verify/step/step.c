/* The table of verifiers of steps; its row `step`: the claims of each step. */
#include "verify/step/step.h"
#include "verify/answer.h"
#include "verify/step/algebra.h"
#include <string.h>

void step_set(rung_step_verdict *v, rung_verdict verdict, const char *rule, const char *reason) {
    v->verdict = verdict;
    v->rule = rule;
    v->reason = reason;
}

/* Wrong when a claim is wrong (the first one is named); right when one is right and none wrong. */
static void sum_up(rung_step_verdict *v, const rung_step_claim *c, const char *const *note,
                   size_t n) {
    size_t first[3] = {n, n, n};
    for (size_t i = n; i > 0; i--) {
        v->n_wrong += c[i - 1].verdict == RUNG_VERDICT_WRONG;
        v->n_unknown += c[i - 1].verdict == RUNG_VERDICT_UNKNOWN;
        first[c[i - 1].verdict] = i - 1;
    }
    size_t by = first[RUNG_VERDICT_WRONG];
    if (by == n) by = first[RUNG_VERDICT_CORRECT];
    if (by == n) by = first[RUNG_VERDICT_UNKNOWN];
    if (by == n) {
        step_set(v, RUNG_VERDICT_UNKNOWN, "", "no claim");
        return;
    }
    step_set(v, c[by].verdict, c[by].verdict == RUNG_VERDICT_UNKNOWN ? "" : c[by].rule,
             c[by].reason);
    v->begin = c[by].begin;
    v->end = c[by].end;
    v->note = note[by];
}

/* "  2*3+4 = 6+5: 10 against 11, wrong: not equal" */
static void explain_claim(rung_buf *b, const rung_step_claim *c, const char *note,
                          const char *text) {
    rung_buf_str(b, "  ");
    rung_buf_append(b, text + c->begin, (size_t)(c->end - c->begin));
    rung_buf_str(b, ": ");
    if (c->value[0] || c->right[0])
        rung_buf_printf(b, "%s against %s, ", c->value[0] ? c->value : "?",
                        c->right[0] ? c->right : "?");
    rung_buf_str(b, rung_verdict_name(c->verdict));
    rung_buf_printf(b, "%s%s%s%s", c->rule[0] ? " by " : "", c->rule, c->reason[0] ? ": " : "",
                    c->reason);
    rung_buf_printf(b, note[0] ? " [%s]\n" : "\n", note);
}

static void explain_head(rung_buf *b, int32_t i, size_t n_claims) {
    rung_buf_printf(b, "step %d: %zu claim%s\n", i + 1, n_claims, n_claims == 1 ? "" : "s");
}

/* What a claim states, whatever its spelling: both values and the relation; of letters, the class
 * of the equation. */
static void claim_class(rung_buf *b, const rung_step_claim *c, const char *text) {
    char key[128] = "", one[ANSWER_BYTES_MAX];
    size_t n = (size_t)(c->end - c->begin);
    if (c->value[0] && c->right[0]) {
        rung_buf_printf(b, "%s%s %s %s", b->n ? ";" : "", c->value,
                        strcmp(c->relation, "is") == 0 ? "=" : c->relation, c->right);
    } else if (n < sizeof one) {
        memcpy(one, text + c->begin, n);
        one[n] = '\0';
        key_math(key, one);
        if (key[0]) rung_buf_printf(b, "%s%s", b->n ? ";" : "", key);
    }
}

rung_status step_key(const char **out, rung_arena *a, char mark, const char *text, size_t n,
                     rung_error *err) {
    char key[128];
    *out = "";
    if (n == 0) return RUNG_OK;
    key_set(key, mark, text, n);
    *out = rung_arena_strndup(a, key, strlen(key));
    return *out ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "no memory for a key");
}

static rung_status classify(rung_step_verdict *v, rung_arena *a, const rung_step_claim *c, size_t n,
                            const char *text, rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, 1 << 20);
    for (size_t i = 0; i < n; i++) claim_class(&b, &c[i], text);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) st = step_key(&v->key, a, STEP_KEY_CLAIMS, b.data, b.n, err);
    rung_buf_clear(&b);
    return st;
}

typedef struct step_work {
    rung_step_claim c[STEP_CLAIMS_MAX];
    const char *note[STEP_CLAIMS_MAX];
    algebra a;
} step_work;

static rung_status one_step(rung_step_verdict *v, step_work *w, const char *text, size_t n,
                            const rung_claim_opts *o, int32_t i_step, rung_error *err) {
    rung_buf *explain = w->a.explain;
    size_t n_claims = rung_step_claims(w->c, STEP_CLAIMS_MAX, text, n, o);
    v->n_claims = (int32_t)n_claims;
    if (n_claims > STEP_CLAIMS_MAX) n_claims = STEP_CLAIMS_MAX;
    if (explain) explain_head(explain, i_step, n_claims);
    for (size_t i = 0; i < n_claims; i++) {
        w->note[i] = "";
        if (w->c[i].kind == RUNG_CLAIM_ALGEBRA)
            RUNG_TRY(algebra_decide(&w->c[i], &w->note[i], &w->a, text, n, err));
        if (explain) explain_claim(explain, &w->c[i], w->note[i], text);
    }
    sum_up(v, w->c, w->note, n_claims);
    return classify(v, w->a.arena, w->c, n_claims, text, err);
}

rung_status step_check(rung_step_verdict *out, rung_arena *a, const rung_step_task *task,
                       rung_solver *solver, rung_error *err) {
    rung_claim_opts o = RUNG_CLAIM_OPTS_INIT;
    step_work *w = rung_alloc(sizeof *w);
    if (!w) return rung_fail(err, RUNG_E_NOMEM, "no memory for the claims of a step");
    o.strict = task->strict;
    rung_status st = algebra_init(&w->a, task->given, solver, a, task->explain, err);
    for (int32_t i = 0; i < task->n_steps && st == RUNG_OK; i++) {
        memset(&out[i], 0, sizeof out[i]);
        out[i].note = out[i].key = "";
        st = one_step(&out[i], w, task->step[i],
                      task->n_bytes[i] > 0 ? (size_t)task->n_bytes[i] : 0, &o, i, err);
    }
    algebra_clear(&w->a);
    rung_free(w);
    return st;
}

#define VERIFIERS(X)                                                                               \
    X("step", "what a step states: arithmetic, algebra", "step-2", "tool", step_check)             \
    X("logic", "proofs: FLD's logic, and assume / have .. from over arithmetic", "logic-1",        \
      "formal", logic_check)
static const rung_step_verifier verifiers[] = {
#define X(name, help, version, source, check) {name, help, version, source, check},
    VERIFIERS(X)
#undef X
};
enum { N_VERIFIERS = sizeof verifiers / sizeof *verifiers };

const rung_step_verifier *rung_step_verifier_at(size_t i) {
    return i < N_VERIFIERS ? &verifiers[i] : NULL;
}

const rung_step_verifier *rung_step_verifier_find(const char *name) {
    for (size_t i = 0; name && i < N_VERIFIERS; i++)
        if (strcmp(verifiers[i].name, name) == 0) return &verifiers[i];
    return NULL;
}

void rung_step_key(char key[128], const rung_step_verdict *v, int32_t n_steps) {
    rung_buf b;
    const char *one = "";
    size_t n = 0;
    rung_buf_init(&b, 64u << 20);
    for (int32_t i = 0; i < n_steps; i++) {
        if (!v[i].key[0]) continue;
        one = v[i].key;
        n++;
        rung_buf_printf(&b, "%s\n", v[i].key);
        if (one[0] == STEP_KEY_LABEL) break;
    }
    key[0] = '\0';
    if (n == 1 || one[0] == STEP_KEY_LABEL)
        memcpy(key, one, strlen(one) + 1);
    else if (n > 1 && !b.failed)
        key_set(key, STEP_KEY_ALL, b.data, b.n);
    rung_buf_clear(&b);
}

int32_t rung_step_first_wrong(const rung_step_verdict *v, int32_t n_steps) {
    for (int32_t i = 0; i < n_steps; i++)
        if (v[i].verdict == RUNG_VERDICT_WRONG) return i;
    return -1;
}
