/* World `logic`: its proofs are right, its planted errors are where it says, its checker agrees
 * with Z3 on every step that Z3 decides (labels.md 6, honest check a). */
#include "problem/logic_exact.h"
#include "rung/planted.h"
#include "rung/step.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { BUFS = 4, LINES_MAX = 64 };

typedef struct problem {
    rung_buf b[BUFS]; /* question, answer, solution, meta */
} problem;

static void make(problem *p, uint64_t seed, uint64_t i) {
    const rung_world *w = rung_world_find("logic");
    rung_world_opts o = RUNG_WORLD_OPTS_INIT;
    rung_error err = RUNG_ERROR_INIT;
    o.seed = seed;
    for (int k = 0; k < BUFS; k++) rung_buf_init(&p->b[k], 0);
    assert_int_equal(w->make(&p->b[0], &p->b[1], &p->b[2], &p->b[3], &o, i, &err), RUNG_OK);
}
static void clear(problem *p) {
    for (int k = 0; k < BUFS; k++) rung_buf_clear(&p->b[k]);
}

typedef struct lines {
    const char *p[LINES_MAX];
    int32_t n_bytes[LINES_MAX], n;
} lines;
static void split(lines *l, const char *text) {
    l->n = 0;
    while (*text && l->n < LINES_MAX) {
        size_t n = strcspn(text, "\n");
        l->p[l->n] = text;
        l->n_bytes[l->n++] = (int32_t)n;
        text += n + (text[n] == '\n');
    }
}
static int32_t first_error(const problem *p, const char *text) {
    const rung_world *w = rung_world_find("logic");
    rung_error err = RUNG_ERROR_INIT;
    lines l;
    int32_t at = -9;
    split(&l, text);
    assert_int_equal(w->first_error(&at, p->b[3].data, l.p, l.n_bytes, l.n, &err), RUNG_OK);
    return at;
}

/* Formulas of one place: hand-decided. */
static void exact(void **state) {
    (void)state;
    static const struct {
        const char *premise, *goal;
        exact_answer want;
    } rows[] = {
        {"{A} & ({A} -> {B})", "{B}", EXACT_YES},
        {"{B} & ({A} -> {B})", "{A}", EXACT_NO},
        {"((x): {A}x -> {B}x) & {A}{a}", "{B}{a}", EXACT_YES},
        {"((x): {A}x -> {B}x) & {A}{a}", "{B}{b}", EXACT_NO},
        {"((x): {A}x -> {B}x) & ((x): {B}x -> {C}x)", "(x): {A}x -> {C}x", EXACT_YES},
        {"(x): {A}x v {B}x", "((x): {A}x) v ((x): {B}x)", EXACT_NO}, /* needs two things */
        {"((Ex): {A}x) & ((Ex): {B}x)", "(Ex): {A}x & {B}x", EXACT_NO},
        {"(Ex): {A}x & {B}x", "((Ex): {A}x) & ((Ex): {B}x)", EXACT_YES},
        {"{A}{a}", "(Ex): {A}x", EXACT_YES},
        {"(x): {A}x", "(Ex): {A}x", EXACT_YES}, /* a world has a thing */
        {"{A} & \xc2\xac{A}", "{B}", EXACT_YES},
        {"{A}", "{A}{a}", EXACT_NO},
        {"(x): (Ex): {A}x", "{A}{a}", EXACT_OPEN}, /* nested */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        theory t;
        theory_init(&t);
        int32_t p = fld_parse(&t, NULL, rows[i].premise, strlen(rows[i].premise));
        int32_t g = fld_parse(&t, NULL, rows[i].goal, strlen(rows[i].goal));
        assert_true(p >= 0 && g >= 0);
        if (exact_follows(&t, p, g) != rows[i].want)
            fail_msg("row %zu: %s => %s", i, rows[i].premise, rows[i].goal);
        theory_clear(&t);
    }
}

static void reference(void **state) {
    (void)state;
    int n_label[3] = {0};
    for (uint64_t i = 0; i < 300; i++) {
        problem p, again;
        make(&p, 7, i);
        make(&again, 7, i);
        for (int k = 0; k < BUFS; k++) assert_string_equal(p.b[k].data, again.b[k].data);
        assert_int_equal(first_error(&p, p.b[2].data), -1);
        n_label[0] += strcmp(p.b[1].data, "PROVED") == 0;
        n_label[1] += strcmp(p.b[1].data, "DISPROVED") == 0;
        n_label[2] += strcmp(p.b[1].data, "UNKNOWN") == 0;
        clear(&p);
        clear(&again);
    }
    assert_int_equal(n_label[0] + n_label[1] + n_label[2], 300);
    for (int k = 0; k < 3; k++) assert_true(n_label[k] > 60);
}

/* The label is the truth: what all facts together say of the hypothesis. */
static void labels(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 60; i++) {
        problem p;
        make(&p, 3, i);
        theory t;
        theory_init(&t);
        int32_t all = -1, h = -1;
        lines l;
        split(&l, p.b[0].data);
        for (int32_t k = 0; k < l.n; k++) {
            const char *colon = memchr(l.p[k], ':', (size_t)l.n_bytes[k]);
            int32_t f = fld_parse(&t, NULL, colon + 1, (size_t)(l.p[k] + l.n_bytes[k] - colon - 1));
            assert_true(f >= 0);
            if (k + 1 == l.n)
                h = f;
            else
                all = all < 0 ? f : formula_add(&t, L_AND, 0, -1, all, f);
        }
        int32_t not_h = formula_add(&t, L_NOT, 0, -1, h, -1);
        exact_answer yes = exact_follows(&t, all, h), no = exact_follows(&t, all, not_h);
        if (yes != EXACT_OPEN && no != EXACT_OPEN) {
            assert_string_equal(p.b[1].data, yes == EXACT_YES  ? "PROVED"
                                             : no == EXACT_YES ? "DISPROVED"
                                                               : "UNKNOWN");
            assert_false(yes == EXACT_YES && no == EXACT_YES); /* the facts do not contradict */
        }
        theory_clear(&t);
        clear(&p);
    }
}

static void checker(void **state) {
    (void)state;
    problem p;
    make(&p, 7, 1);
    assert_int_equal(first_error(&p, ""), -1);
    assert_int_equal(first_error(&p, "no step"), 0);
    assert_int_equal(first_error(&p, "fact1 -> fact1\nfact99 -> fact1"), 1);
    assert_int_equal(first_error(&p, "fact1 -> int1: \xc2\xac(fact1)"), 0);
    char label[64];
    snprintf(label, sizeof label, "The final answer is %s", p.b[1].data);
    assert_int_equal(first_error(&p, label), -1);
    snprintf(label, sizeof label, "The final answer is %s\nfact1 -> fact1", p.b[1].data);
    assert_int_equal(first_error(&p, label), 1);
    assert_int_equal(first_error(&p, "The final answer is MAYBE"), 0);
    const rung_world *w = rung_world_find("logic");
    rung_error err = RUNG_ERROR_INIT;
    int32_t at;
    assert_int_equal(w->first_error(&at, "{\"world\":\"total\"}", NULL, NULL, 0, &err),
                     RUNG_E_FORMAT);
    rung_world_opts o = RUNG_WORLD_OPTS_INIT;
    o.max = 50;
    assert_int_equal(w->make(&p.b[0], &p.b[1], &p.b[2], &p.b[3], &o, 0, &err), RUNG_E_INVAL);
    clear(&p);
}

/* Every line cites the one before twice: what is walked as a tree doubles with each. */
static void doubling(void **state) {
    (void)state;
    enum { N = 60 };
    problem p;
    rung_buf text;
    make(&p, 7, 1);
    rung_buf_init(&text, 0);
    rung_buf_str(&text, "fact1 -> int1: fact1 & fact1\n");
    for (int k = 1; k < N; k++)
        rung_buf_printf(&text, "int%d -> int%d: int%d & int%d\n", k, k + 1, k, k);
    double t0 = rung_cpu_now(); /* work, whatever else the machine does */
    assert_int_equal(first_error(&p, "fact1 -> int1: fact1 & fact1\nint1 -> int2: int1 & int1"),
                     -1);
    assert_true(first_error(&p, text.data) > 3); /* right as far as it can be shown */
    assert_true(rung_cpu_now() - t0 < 20.0);
    rung_buf_clear(&text);
    clear(&p);
}

/* Z3's labels equal the generator's truth on 100% of decided steps. */
static void against_z3(void **state) {
    (void)state;
    enum { N = 120 };
    const rung_step_verifier *v = rung_step_verifier_find("logic");
    rung_error err = RUNG_ERROR_INIT;
    rung_solver *solver;
    rung_step_verdict out[LINES_MAX];
    int n_steps = 0, n_planted = 0, n_wrong = 0, n_unknown = 0, n_differ = 0, n_first = 0;
    assert_int_equal(rung_solver_new(&solver, NULL, &err), RUNG_OK);
    for (uint64_t i = 0; i < N; i++) {
        problem p;
        rung_buf trace;
        rung_planted truth;
        rung_world_opts o = RUNG_WORLD_OPTS_INIT;
        rung_step_task task = RUNG_STEP_TASK_INIT;
        rung_arena *a = rung_arena_new(0);
        lines l;
        o.seed = 11;
        make(&p, 11, i);
        rung_buf_init(&trace, 0);
        assert_int_equal(rung_logic_planted(&trace, &truth, &o, i, i % 3, 0.3, &err), RUNG_OK);
        split(&l, trace.data);
        assert_int_equal(l.n, truth.n_steps);
        assert_int_equal(first_error(&p, trace.data), truth.first_error);
        task.question = p.b[0].data;
        task.answer = p.b[1].data;
        task.step = l.p;
        task.n_bytes = l.n_bytes;
        task.n_steps = l.n;
        assert_int_equal(v->check(out, a, &task, solver, &err), RUNG_OK);
        for (int32_t k = 0; k < l.n; k++) {
            n_steps++;
            n_planted += truth.planted[k];
            n_wrong += !truth.right[k];
            assert_false(truth.planted[k] && truth.right[k]);
            if (out[k].verdict == RUNG_VERDICT_UNKNOWN) {
                n_unknown++;
            } else if ((out[k].verdict == RUNG_VERDICT_CORRECT) != truth.right[k]) {
                n_differ++;
                print_message("  problem %d step %d: %.*s\n", (int)i, (int)k, (int)l.n_bytes[k],
                              l.p[k]);
            }
        }
        n_first += rung_step_first_wrong(out, l.n) == truth.first_error;
        rung_buf_clear(&trace);
        rung_arena_free(a);
        clear(&p);
    }
    rung_solver_counts c;
    rung_solver_counted(&c, solver);
    print_message(
        "%d steps of %d proofs: %d planted errors, %d wrong in all; Z3 unknown %d, differs "
        "%d; %.0f units a query\n",
        n_steps, N, n_planted, n_wrong, n_unknown, n_differ, (double)c.rlimit / (double)c.n);
    assert_int_equal(n_differ, 0);
    assert_int_equal(n_unknown, 0);
    assert_int_equal(n_first, N);
    assert_true(n_planted > N / 2);
    rung_solver_free(solver);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact),   cmocka_unit_test(reference),  cmocka_unit_test(labels),
        cmocka_unit_test(checker), cmocka_unit_test(against_z3), cmocka_unit_test(doubling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
