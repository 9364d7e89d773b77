/* libFuzzer targets of the verifiers of steps: one file, three programs. -DFUZZ_CLAIMS looks for
 * claims in any text, _STEPS judges a step under what is given, _PROOFS reads proofs in both
 * notations and, for one input in 64, asks the solver too. A finding is a crash, a hang, a
 * sanitizer report, or a broken promise below. */
#include "rung/step.h"
#include "verify/step/formula.h"
#include "verify/step/solver.h"
#include "verify/step/step.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void promise(bool kept) {
    if (!kept) abort();
}

#if defined(FUZZ_CLAIMS)

enum { CLAIMS_MAX = 64 };

static void claim_kept(const rung_step_claim *c, const char *text, size_t n) {
    promise(c->begin >= 0 && c->begin <= c->left_end && c->left_end <= c->right_begin);
    promise(c->right_begin <= c->end && (size_t)c->end <= n);
    promise(c->relation[0] && memchr(c->relation, '\0', sizeof c->relation));
    promise(strlen(c->value) < sizeof c->value);
    if (c->verdict == RUNG_VERDICT_UNKNOWN)
        promise(!c->rule[0] && c->reason[0]);
    else
        promise(c->rule[0] && c->kind != RUNG_CLAIM_ALGEBRA);
    if (c->verdict == RUNG_VERDICT_WRONG) promise(c->reason[0]);
    (void)text;
}

/* Spans lie in the text and in order; strictness only takes away: who is right when = means equal
 * is right, who is wrong when it need not is wrong. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static rung_step_claim lax[CLAIMS_MAX], strict[CLAIMS_MAX];
    rung_claim_opts o = RUNG_CLAIM_OPTS_INIT;
    char *text = malloc(n ? n : 1); /* no byte behind the last */
    promise(text != NULL);
    memcpy(text, data, n);
    size_t n_lax = rung_step_claims(lax, CLAIMS_MAX, text, n, &o);
    o.strict = true;
    size_t n_strict = rung_step_claims(strict, CLAIMS_MAX, text, n, &o);
    promise(n_lax == n_strict && n_lax == rung_step_claims(NULL, 0, text, n, NULL));
    for (size_t i = 0; i < n_lax && i < CLAIMS_MAX; i++) {
        const rung_step_claim *a = &lax[i], *b = &strict[i];
        claim_kept(a, text, n);
        claim_kept(b, text, n);
        promise(i == 0 || lax[i - 1].begin <= a->begin);
        promise(a->begin == b->begin && a->end == b->end && strcmp(a->value, b->value) == 0);
        if (b->verdict == RUNG_VERDICT_CORRECT) promise(a->verdict == RUNG_VERDICT_CORRECT);
        if (a->verdict == RUNG_VERDICT_WRONG) promise(b->verdict == RUNG_VERDICT_WRONG);
    }
    free(text);
    return 0;
}

#else

enum { STEPS_MAX = 64 };

/* The text before the first NUL, its own; what stands behind it is steps, a line each. */
typedef struct input {
    char *head, *body;
    const char *step[STEPS_MAX];
    int32_t n_bytes[STEPS_MAX], n_steps;
} input;

static void input_read(input *in, const uint8_t *data, size_t n) {
    const uint8_t *split = memchr(data, 0, n);
    size_t n_head = split ? (size_t)(split - data) : 0, skip = split ? n_head + 1 : 0;
    size_t n_body = n - skip;
    in->head = malloc(n_head + 1);
    in->body = malloc(n_body ? n_body : 1);
    promise(in->head && in->body);
    memcpy(in->head, data, n_head);
    in->head[n_head] = '\0';
    memcpy(in->body, data + skip, n_body);
    in->n_steps = 0;
    for (size_t i = 0; i < n_body && in->n_steps < STEPS_MAX;) {
        const char *end = memchr(in->body + i, '\n', n_body - i);
        size_t k = end ? (size_t)(end - in->body) - i : n_body - i;
        in->step[in->n_steps] = in->body + i;
        in->n_bytes[in->n_steps++] = (int32_t)k;
        i += k + 1;
    }
}

static void input_clear(input *in) {
    free(in->head);
    free(in->body);
}

static void kept(const rung_step_verdict *v, int32_t n) {
    promise(v->rule && v->reason && v->note && v->key && strlen(v->key) < 128);
    promise(v->begin >= 0 && v->begin <= v->end && v->end <= n);
    promise(v->n_wrong >= 0 && v->n_unknown >= 0);
    if (v->verdict == RUNG_VERDICT_UNKNOWN)
        promise(!v->rule[0] && v->reason[0]);
    else
        promise(v->rule[0] && (v->verdict != RUNG_VERDICT_WRONG || v->reason[0]));
}

static void check(rung_step_verdict *out, rung_arena *a, const input *in, const char *verifier,
                  bool strict, rung_solver *solver) {
    rung_step_task t = RUNG_STEP_TASK_INIT;
    rung_error err = RUNG_ERROR_INIT;
    t.question = t.given = in->head;
    t.answer = "PROVED";
    t.step = in->step;
    t.n_bytes = in->n_bytes;
    t.n_steps = in->n_steps;
    t.strict = strict;
    promise(rung_step_verifier_find(verifier)->check(out, a, &t, solver, &err) == RUNG_OK);
    for (int32_t i = 0; i < in->n_steps; i++) kept(&out[i], in->n_bytes[i]);
    int32_t first = rung_step_first_wrong(out, in->n_steps);
    promise(first == -1 || out[first].verdict == RUNG_VERDICT_WRONG);
}

#if defined(FUZZ_STEPS)
/* given, NUL, steps: without a solver nothing follows; a letter's claim is right or wrong only as
 * an identity or a value; strictness only takes away. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static rung_step_verdict lax[STEPS_MAX], strict[STEPS_MAX];
    input in;
    rung_arena *a = rung_arena_new(0);
    promise(a != NULL);
    input_read(&in, data, n);
    check(lax, a, &in, "step", false, NULL);
    check(strict, a, &in, "step", true, NULL);
    for (int32_t i = 0; i < in.n_steps; i++) {
        promise(lax[i].n_claims == strict[i].n_claims);
        promise(strcmp(lax[i].rule, "follows") != 0 && strcmp(lax[i].rule, "z3") != 0);
        if (lax[i].verdict == RUNG_VERDICT_WRONG) promise(strict[i].verdict == RUNG_VERDICT_WRONG);
    }
    rung_arena_free(a);
    input_clear(&in);
    return 0;
}
#else
/* question, NUL, proof: without the solver only a label has a verdict; what is asked of the solver
 * is always something that it can read. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static rung_step_verdict v[STEPS_MAX];
    static rung_solver *solver;
    input in;
    rung_arena *a = rung_arena_new(0);
    promise(a != NULL);
    input_read(&in, data, n);
    check(v, a, &in, "logic", false, NULL);
    for (int32_t i = 0; i < in.n_steps; i++)
        promise(v[i].verdict == RUNG_VERDICT_UNKNOWN || strcmp(v[i].rule, "label") == 0);
    if (rung_hash64(data, n, 0) % 64 == 0) {
        rung_solver_opts o = RUNG_SOLVER_OPTS_INIT;
        rung_error err = RUNG_ERROR_INIT;
        o.rlimit = 20000;
        o.wall_s = 600;
        if (!solver) promise(rung_solver_new(&solver, &o, &err) == RUNG_OK);
        check(v, a, &in, "logic", false, solver);
        for (int32_t i = 0; i < in.n_steps; i++)
            promise(strcmp(v[i].reason, "the solver did not read it") != 0 &&
                    strcmp(v[i].reason, "the solver died") != 0);
    }
    rung_arena_free(a);
    input_clear(&in);
    return 0;
}
#endif
#endif
