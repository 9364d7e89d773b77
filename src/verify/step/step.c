/* The table of verifiers of steps; its row `step`: the claims of each step. */
#include "verify/step/step.h"
#include <string.h>

void step_set(rung_step_verdict *v, rung_verdict verdict, const char *rule, const char *reason) {
    v->verdict = verdict;
    v->rule = rule;
    v->reason = reason;
}

/* Wrong when a claim is wrong (the first one is named); right when one is right and none wrong. */
static void sum_up(rung_step_verdict *v, const rung_step_claim *c, size_t n) {
    const rung_step_claim *wrong = NULL, *right = NULL, *open = NULL;
    for (size_t i = 0; i < n; i++) {
        v->n_wrong += c[i].verdict == RUNG_VERDICT_WRONG;
        v->n_unknown += c[i].verdict == RUNG_VERDICT_UNKNOWN;
        if (c[i].verdict == RUNG_VERDICT_WRONG && !wrong) wrong = &c[i];
        if (c[i].verdict == RUNG_VERDICT_CORRECT && !right) right = &c[i];
        if (c[i].verdict == RUNG_VERDICT_UNKNOWN && !open) open = &c[i];
    }
    const rung_step_claim *by = wrong ? wrong : right ? right : open;
    if (!by) {
        step_set(v, RUNG_VERDICT_UNKNOWN, "", "no claim");
        return;
    }
    step_set(v, by->verdict, by->verdict == RUNG_VERDICT_UNKNOWN ? "" : by->rule, by->reason);
    v->begin = by->begin;
    v->end = by->end;
}

rung_status step_check(rung_step_verdict *out, rung_arena *a, const rung_step_task *task,
                       rung_solver *solver, rung_error *err) {
    rung_claim_opts o = RUNG_CLAIM_OPTS_INIT;
    rung_step_claim *c = rung_alloc(STEP_CLAIMS_MAX * sizeof *c);
    if (!c) return rung_fail(err, RUNG_E_NOMEM, "no memory for the claims of a step");
    (void)a, (void)solver;
    o.strict = task->strict;
    for (int32_t i = 0; i < task->n_steps; i++) {
        memset(&out[i], 0, sizeof out[i]);
        out[i].note = "";
        size_t n = rung_step_claims(c, STEP_CLAIMS_MAX, task->step[i],
                                    task->n_bytes[i] > 0 ? (size_t)task->n_bytes[i] : 0, &o);
        out[i].n_claims = (int32_t)n;
        sum_up(&out[i], c, n < STEP_CLAIMS_MAX ? n : STEP_CLAIMS_MAX);
    }
    rung_free(c);
    return RUNG_OK;
}

#define VERIFIERS(X)                                                                               \
    X("step", "arithmetic that a step states", "step-1", "tool", step_check)                       \
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

int32_t rung_step_first_wrong(const rung_step_verdict *v, int32_t n_steps) {
    for (int32_t i = 0; i < n_steps; i++)
        if (v[i].verdict == RUNG_VERDICT_WRONG) return i;
    return -1;
}
