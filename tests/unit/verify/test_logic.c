/* Proofs against the solver: each verdict was worked out by hand. */
#include "rung/step.h"
#include "verify/step/formula.h"
#include "verify/step/solver.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static rung_solver *solver;

static int setup(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    return rung_solver_new(&solver, NULL, &err) == RUNG_OK ? 0 : -1;
}
static int teardown(void **state) {
    (void)state;
    rung_solver_free(solver);
    return 0;
}

enum { STEPS_MAX = 16 };

typedef struct outcome {
    rung_step_verdict v[STEPS_MAX];
    char letters[STEPS_MAX + 1];
    rung_arena *a;
} outcome;

/* Lines are steps; "CWU.." of them. */
static void run(outcome *o, const char *question, const char *lines, const char *answer) {
    const char *step[STEPS_MAX];
    int32_t n_bytes[STEPS_MAX], n = 0;
    rung_step_task t = RUNG_STEP_TASK_INIT;
    rung_error err = RUNG_ERROR_INIT;
    for (const char *p = lines; *p && n < STEPS_MAX;) {
        size_t k = strcspn(p, "\n");
        step[n] = p;
        n_bytes[n++] = (int32_t)k;
        p += k + (p[k] == '\n');
    }
    o->a = rung_arena_new(0);
    t.question = question;
    t.answer = answer;
    t.step = step;
    t.n_bytes = n_bytes;
    t.n_steps = n;
    const rung_step_verifier *v = rung_step_verifier_find("logic");
    assert_int_equal(v->check(o->v, o->a, &t, solver, &err), RUNG_OK);
    for (int32_t i = 0; i < n; i++) o->letters[i] = "UCW"[o->v[i].verdict];
    o->letters[n] = '\0';
}

static void expect(const char *question, const char *lines, const char *answer, const char *want) {
    outcome o;
    run(&o, question, lines, answer);
    if (strcmp(o.letters, want) != 0)
        for (size_t i = 0; o.letters[i]; i++)
            print_message("  step %zu: %c rule \"%s\" reason \"%s\" note \"%s\"\n", i, o.letters[i],
                          o.v[i].rule, o.v[i].reason, o.v[i].note);
    assert_string_equal(o.letters, want);
    rung_arena_free(o.a);
}

static const char facts[] = "fact1: (x): {A}x -> {B}x\n"
                            "fact2: {A}{a}\n"
                            "fact3: {B}{a} -> ({C}{a} & \xc2\xac{D}{a})\n"
                            "fact12: {E} v {F}\n"
                            "fact4: \xc2\xac{E}\n"
                            "hypothesis: {C}{a}\n";

static void fld(void **state) {
    (void)state;
    expect(facts,
           "$proof$:\nfact1 & fact2 -> int1: {B}{a};\nfact3 & int1 -> int2: {C}{a} & "
           "\xc2\xac{D}{a};\nint2 -> hypothesis;\n$proof_label$: PROVED",
           "PROVED", "UCCCC");
    /* fact12 is not fact1 with a 2 behind it */
    expect(facts, "fact12 & fact4 -> int1: {F}\nfact1 & fact4 -> int2: {F}", NULL, "CW");
    /* the converse, another constant, a missing premise */
    expect(facts,
           "fact1 & fact3 -> int1: {A}{a}\nfact1 & fact2 -> int2: {B}{b}\nfact1 -> int3: {B}{a}",
           NULL, "WWW");
    /* local validity: int1 is wrong, what follows from it is right */
    expect(facts, "fact2 -> int1: {D}{a}\nint1 -> int2: {D}{a} v {E}", NULL, "WC");
    /* split at the first arrow; the conclusion holds an arrow */
    expect(facts,
           "fact1 -> int1: {A}{b} -> {B}{b}\nfact1 -> int2: (x): \xc2\xac{B}x -> \xc2\xac{A}x",
           NULL, "CC");
    expect(facts, "fact2 -> int1: (Ex): {A}x\nfact2 -> int2: (x): {A}x", NULL, "CW");
    /* what is not read, or not defined, is unknown; so is a label nobody knows */
    expect(facts, "fact99 -> int1: {B}{a}\nfact1 & -> {B}\nno arrow\nfact2 -> {A}{a", NULL, "UUUU");
    expect(facts, "fact2 -> int1: \xc2\xac\xc2\xachypothesis\n$proof_label$: PROVED", NULL, "WU");
    expect(facts, "The final answer is DISPROVED", "PROVED", "W");
    expect(facts, "fact2 -> int1: {A}y", NULL, "U"); /* a free variable */
    /* facts on one line; the original's heads */
    expect("$hypothesis$ = {B}{a} ; $context$ = fact1: {A}{a} fact2: {A}{a} -> {B}{a}",
           "fact2 & fact1 -> hypothesis", NULL, "C");
    /* precedence: not, and, or, arrow to the right */
    expect("fact1: \xc2\xac{A} & {B} v {C} -> {D} -> {E}",
           "fact1 -> int1: (((\xc2\xac{A}) & {B}) v {C}) -> ({D} -> {E})\n"
           "fact1 -> int2: \xc2\xac({A} & {B}) v {C} -> ({D} -> {E})",
           NULL, "CW");
    /* {A} alone and {A} of something are two things */
    expect("fact1: {A}\nfact2: {A}{a}", "fact1 -> int1: {A}{a}\nfact2 -> int1: {A}", NULL, "WW");
}

static void counter_model(void **state) {
    (void)state;
    outcome o;
    run(&o, facts, "fact1 & fact3 -> int1: {A}{a}", NULL);
    assert_int_equal(o.v[0].verdict, RUNG_VERDICT_WRONG);
    assert_non_null(strstr(o.v[0].note, "{A}{a} = false"));
    rung_arena_free(o.a);
    run(&o, facts, "fact1 & fact2 -> int1: {B}{a}\nThe final answer is PROVED", "PROVED");
    assert_string_equal(o.v[1].note, "the proof ends at neither");
    rung_arena_free(o.a);
    run(&o, "int x, y", "have: x + y > 3", NULL);
    assert_int_equal(o.v[0].verdict, RUNG_VERDICT_WRONG);
    assert_non_null(strstr(o.v[0].note, "x = "));
    assert_non_null(strstr(o.v[0].note, ", y = "));
    rung_arena_free(o.a);
}

static void proofs(void **state) {
    (void)state;
    const char *q = "real x, y\nassume sum: x + y = 10\nassume diff: x - y = 2";
    expect(q, "have a: 2x = 12\nthus: x = 6\nthen have: y = 5\nhence y = 4", NULL, "CCWC");
    expect("int n\nassume: n > 3", "have: n >= 4\nhave: n > 4", NULL, "CW");
    expect("real n\nassume: n > 3", "have: n >= 4", NULL, "W");
    /* natural numbers: never negative, differences cut at zero, div to the floor */
    expect("nat m, n", "have: n >= 0\nhave: n - m + m = n\nhave: n - m <= n\nhave: 2 - 5 = 0", NULL,
           "CWCC");
    expect("int m, n", "have: n >= 0\nhave: n - m + m = n\nhave: 0 - 5 = -5", NULL, "WCW");
    expect("int n",
           "have: (0 - 1 * 7) div 2 = 0\nhave: -7 div 2 = -4\nhave: -7 mod 2 = 1\n"
           "have: 7 div -2 = -4\nhave: 7 mod -2 = -1\nhave: n div 0 = 0\nhave: n mod 0 = n",
           NULL, "CCCCCCC");
    /* polynomials */
    expect("real a, b",
           "have: (a + b)^2 = a^2 + 2a*b + b^2\nhave: (a + b)^2 = a^2 + b^2\n"
           "have: a^2 + b^2 >= 2*a*b",
           NULL, "CWC");
    expect("real x\nassume: x^2 = 2\nassume: x > 0", "have: x > 1.4 and x < 1.5\nhave: x = 1.41",
           NULL, "CW");
    /* what is cited, and what is not; a wrong step cited */
    expect("real x\nassume: x > 1",
           "have a: x > 5\nhave: x > 4 from a\nhave: x > 4\nhave: x > 4 from b", NULL, "WCWU");
    expect("", "have: 12 * 3 = 36\nhave: 1/3 + 1/6 = 1/2\nhave: 7 mod 3 = 2", NULL, "CCW");
    expect("bool p, q\nassume: p -> q\nassume: not q", "have: not p\nhave: p or q", NULL, "CW");
    expect("int n",
           "have: forall int k: k * k >= 0\nhave: exists int k: k + n = 0\n"
           "have: forall int k: k > n\nhave: 3 dvd 6 and not 4 dvd 6\nhave: max(n, 3) >= 3",
           NULL, "CCWCC");
    /* Isabelle's look */
    expect("fixes x y :: nat\nassumes h: \"x = y + 3\"", "have \"x >= 3\" using h\nthus \"x > y\"",
           NULL, "CC");
    /* contradictory premises prove anything, and it is said */
    outcome o;
    run(&o, "real x\nassume: x > 1\nassume: x < 0", "have: x = 7", NULL);
    assert_string_equal(o.letters, "C");
    assert_string_equal(o.v[0].rule, "contradiction");
    rung_arena_free(o.a);
    /* not read */
    expect("real x",
           "have: x +\nhave: x\nhave: (x = 1\nhave: sqrt(x) = 1\nhave: x ^ x = 1\nhave:\n"
           "have: p(x) = 2\nassume: x = 1",
           NULL, "UUUUUUUU");
}

/* Resource units, not seconds: a hard query is unknown, always after the same count; and a query's
 * count does not depend on what was asked before. */
static void resources(void **state) {
    (void)state;
    static const char hard[] = "(declare-const x Int)(declare-const y Int)(declare-const z Int)"
                               "(assert (and (> x 2) (> y 2) (> z 2) "
                               "(= (+ (* x x x) (* y y y)) (* z z z))))";
    static const char easy[] = "(declare-const x Real)(assert (> x 3))(assert (< x 4))";
    rung_solver_opts so = RUNG_SOLVER_OPTS_INIT;
    rung_solver *s;
    rung_error err = RUNG_ERROR_INIT;
    rung_solver_counts c[4];
    solver_answer a;
    rung_buf m;
    so.rlimit = 40000;
    rung_buf_init(&m, 0);
    assert_int_equal(rung_solver_new(&s, &so, &err), RUNG_OK);
    const char *const ask[] = {easy, hard, easy, hard};
    for (int i = 0; i < 4; i++) {
        rung_buf_reset(&m);
        assert_int_equal(solver_ask(&a, &m, s, ask[i], strlen(ask[i]), &err), RUNG_OK);
        assert_int_equal(a, i % 2 ? SOLVER_LIMIT : SOLVER_SAT);
        rung_solver_counted(&c[i], s);
    }
    assert_int_equal(c[2].rlimit - c[1].rlimit, c[0].rlimit);
    assert_int_equal(c[3].rlimit - c[2].rlimit, c[1].rlimit - c[0].rlimit);
    assert_int_equal(c[3].n_limit, 2);
    assert_int_equal(c[3].n_unknown, 2);
    rung_solver_free(s);
    rung_buf_clear(&m);
}

/* A worker that dies or hangs is unknown, counted, and replaced. */
static void death(void **state) {
    (void)state;
    static const char easy[] = "(declare-const x Real)(assert (> x 3))";
    static const char hard[] = "(declare-const x Int)(declare-const y Int)(declare-const z Int)"
                               "(assert (and (> x 2) (> y 2) (> z 2) "
                               "(= (+ (* x x x) (* y y y)) (* z z z))))";
    rung_solver_opts so = RUNG_SOLVER_OPTS_INIT;
    rung_solver *s;
    rung_error err = RUNG_ERROR_INIT;
    rung_solver_counts c;
    solver_answer a;
    rung_buf m;
    so.rlimit = 4000000000u;
    so.wall_s = 0.3;
    rung_buf_init(&m, 0);
    assert_int_equal(rung_solver_new(&s, &so, &err), RUNG_OK);
    assert_int_equal(solver_ask(&a, &m, s, hard, strlen(hard), &err), RUNG_OK);
    assert_int_equal(a, SOLVER_DIED);
    rung_solver_free(s);
    assert_int_equal(rung_solver_new(&s, NULL, &err), RUNG_OK);
    rung_buf_reset(&m);
    assert_int_equal(solver_ask(&a, &m, s, "(assert", 7, &err), RUNG_OK);
    assert_int_equal(a, SOLVER_BAD);
    rung_buf_reset(&m);
    assert_int_equal(solver_ask(&a, &m, s, easy, strlen(easy), &err), RUNG_OK);
    assert_int_equal(a, SOLVER_SAT);
    rung_solver_counted(&c, s);
    assert_int_equal(c.n, 2);
    assert_int_equal(c.n_unknown, 1);
    rung_solver_free(s);
    rung_buf_clear(&m);
}

/* Any bytes: no crash of ours; the query is never one that the solver cannot read. */
static void any_bytes(void **state) {
    (void)state;
    static const char *const parts[] = {"have: ",
                                        "assume: ",
                                        "x",
                                        "y",
                                        " = ",
                                        " + ",
                                        " * ",
                                        "2",
                                        "(",
                                        ")",
                                        " and ",
                                        "not ",
                                        "forall int k: ",
                                        "^2",
                                        "-",
                                        " div ",
                                        "{A}",
                                        "{a}",
                                        " & ",
                                        " v ",
                                        " -> ",
                                        "(x): ",
                                        "\xc2\xac",
                                        "fact1",
                                        "int1: ",
                                        " from ",
                                        "|",
                                        "\\",
                                        "\"",
                                        "\xff",
                                        "1.5",
                                        "abs(",
                                        "max(",
                                        ", ",
                                        "{B}x",
                                        " mod ",
                                        " < ",
                                        "nat n\n",
                                        ":"};
    uint64_t r = 88172645463325252u;
    char text[1024];
    for (int k = 0; k < 600; k++) {
        size_t n = 0;
        text[0] = '\0';
        for (int j = 0; j < 14; j++) {
            r ^= r << 13, r ^= r >> 7, r ^= r << 17;
            const char *p = parts[r % (sizeof parts / sizeof *parts)];
            if (j == 0) p = k % 2 ? "have: " : "fact1 -> ";
            memcpy(text + n, p, strlen(p) + 1);
            n += strlen(p);
        }
        outcome o;
        run(&o, k % 2 ? "nat n\nint x" : facts, text, NULL);
        for (size_t i = 0; o.letters[i]; i++) {
            if (strcmp(o.v[i].reason, "the solver did not read it") == 0)
                print_message("  %s: %s\n", text, o.v[i].note);
            assert_string_not_equal(o.v[i].reason, "the solver did not read it");
        }
        rung_arena_free(o.a);
    }
}

static void deep(void **state) {
    (void)state;
    enum { N = 100000 };
    char *text = rung_alloc(N + 16);
    static const char *const fills[] = {"(", "\xc2\xac", "{A} -> ", "{A} & ", "(x): ", "-", "not "};
    for (size_t k = 0; k < sizeof fills / sizeof *fills; k++) {
        outcome o;
        size_t n = 0, len = strlen(fills[k]);
        n = (size_t)sprintf(text, "%s", k < 5 ? "fact1 -> " : "have: ");
        for (; n + len < N; n += len) memcpy(text + n, fills[k], len);
        text[n] = '\0';
        run(&o, k < 5 ? facts : "", text, NULL);
        assert_string_equal(o.letters, "U");
        rung_arena_free(o.a);
    }
    rung_free(text);
}

/* Every name cites the one before twice: a walk that does not share doubles with each. */
static void doubling(void **state) {
    (void)state;
    enum { N = 60 };
    char text[N][64];
    const char *step[N];
    int32_t n_bytes[N];
    rung_step_verdict out[N];
    rung_step_task t = RUNG_STEP_TASK_INIT;
    rung_error err = RUNG_ERROR_INIT;
    rung_arena *a = rung_arena_new(0);
    for (int k = 0; k < N; k++) {
        if (k == 0)
            n_bytes[k] = sprintf(text[k], "fact1 -> int1: fact1 & fact1");
        else
            n_bytes[k] = sprintf(text[k], "int%d -> int%d: int%d & int%d", k, k + 1, k, k);
        step[k] = text[k];
    }
    t.question = "fact1: {A}\nhypothesis: {A}";
    t.step = step;
    t.n_bytes = n_bytes;
    t.n_steps = N;
    double t0 = rung_cpu_now(); /* work, whatever else the machine does */
    assert_int_equal(rung_step_verifier_find("logic")->check(out, a, &t, NULL, &err), RUNG_OK);
    assert_true(rung_cpu_now() - t0 < 10.0);
    for (int k = 0; k < N; k++) assert_int_equal(out[k].verdict, RUNG_VERDICT_UNKNOWN);
    rung_arena_free(a);
}

/* What --explain shows: the formulas as they were asked, and the answer. */
static void explained(void **state) {
    (void)state;
    const char *step = "fact1 & fact2 -> hypothesis";
    int32_t n = (int32_t)strlen(step);
    rung_step_verdict out;
    rung_step_task t = RUNG_STEP_TASK_INIT;
    rung_error err = RUNG_ERROR_INIT;
    rung_arena *a = rung_arena_new(0);
    rung_buf b;
    rung_buf_init(&b, 1 << 16);
    t.question = "fact1: {A} -> {B}\nfact2: {A}\nhypothesis: {B}";
    t.step = &step;
    t.n_bytes = &n;
    t.n_steps = 1;
    t.explain = &b;
    assert_int_equal(rung_step_verifier_find("logic")->check(&out, a, &t, solver, &err), RUNG_OK);
    assert_non_null(strstr(b.data, "step 1: fact1 & fact2 -> hypothesis\n"));
    assert_non_null(strstr(b.data, "(assert (and (=> |{A}| |{B}|) |{A}|))\n"));
    assert_non_null(strstr(b.data, "(assert (not |{B}|))\n"));
    assert_non_null(strstr(b.data, "    unsat\n"));
    assert_non_null(strstr(b.data, "correct by z3"));
    rung_buf_clear(&b);
    rung_arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubling),      cmocka_unit_test(explained), cmocka_unit_test(fld),
        cmocka_unit_test(counter_model), cmocka_unit_test(proofs),    cmocka_unit_test(resources),
        cmocka_unit_test(death),         cmocka_unit_test(any_bytes), cmocka_unit_test(deep),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
