/* The claims of GSM8K's solutions. Needs RUNG_DATA (a folder with gsm8k/); skips loudly without it.
 *
 * Gold: 27,998 marks, all exactly right. (A reader that takes a mark's right side for a decimal has
 * one mismatch: <<3/4=3/4>>, test row 319.) Plain claims of the gold prose, marks left out: what is
 * called wrong was read one by one (docs/verify-steps.md).
 *
 * Published models' solutions: per system, marks that are wrong, and marks that are not decided.
 * The figures 19 / 38 / 29 / 16 that are commonly had count together what Python's eval cannot read
 * (commas, clocks, letters) and what differs by more than a hundredth; `loose` redoes that count.
 */
#include "base/json.h"
#include "rung/step.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CLAIMS_MAX = 256 };
#define MARK  RUNG_CLAIM_MARK
#define PLAIN RUNG_CLAIM_PLAIN

typedef struct tally {
    int n[3][3];        /* kind, verdict */
    int rounded, loose; /* of marks */
} tally;

/* One mark as eval(left) and float(right) of Python would see it, to a hundredth of the left. */
static bool loosely_bad(const rung_step_claim *c, const char *text) {
    const char *p = text + c->begin, *r = text + c->right_begin;
    int n = c->end - c->begin, n_right = c->end - c->right_begin;
    char right[4096], *end;
    if (c->value[0] == '\0' || n_right >= (int)sizeof right) return true;
    for (int i = 0; i < n; i++) {
        if (p[i] == ',' || (unsigned char)p[i] >= 'A') return true;
        if (p[i] == '(' && i > 0 && strchr(")0123456789", p[i - 1])) return true; /* a call */
    }
    memcpy(right, r, (size_t)n_right);
    right[n_right] = '\0';
    double b = strtod(right, &end);
    if (end == right || *end) return true;
    char *slash = strchr(c->value, '/');
    double a = strtod(c->value, NULL) / (slash ? strtod(slash + 1, NULL) : 1.0);
    return !(fabs(a - b) <= 0.01 * fabs(a));
}

/* Marks that a loose reader rejects; one without "=" it does not see. */
static int loose_marks(const char *text, const rung_step_claim *c, size_t n) {
    int n_bad = 0;
    for (const char *p = text; (p = strstr(p, "<<")) != NULL;) {
        const char *end = p + 2 + strcspn(p + 2, "<>");
        const rung_step_claim *in = NULL;
        int n_in = 0;
        p += 2;
        if (strncmp(end, ">>", 2) != 0) continue;
        for (size_t i = 0; i < n; i++) {
            if (text + c[i].begin < p || text + c[i].end > end) continue;
            in = &c[i];
            n_in++;
        }
        if (!memchr(p, '=', (size_t)(end - p))) continue;
        bool bad = n_in != 1 || loosely_bad(in, text);
        n_bad += bad;
        if (bad && getenv("RUNG_CLAIMS_SHOW")) print_message("  loose: %.*s\n", (int)(end - p), p);
    }
    return n_bad;
}

static void count(tally *t, const char *text, const char *where, int row) {
    static rung_step_claim c[CLAIMS_MAX];
    size_t n = rung_step_claims(c, CLAIMS_MAX, text, strlen(text), NULL);
    assert_true(n <= CLAIMS_MAX);
    t->loose += loose_marks(text, c, n);
    for (size_t i = 0; i < n; i++) {
        t->n[c[i].kind][c[i].verdict]++;
        t->rounded += c[i].kind == MARK && c[i].verdict == RUNG_VERDICT_CORRECT &&
                      strcmp(c[i].rule, "exact") != 0;
        if (c[i].kind != RUNG_CLAIM_ALGEBRA && c[i].verdict == RUNG_VERDICT_WRONG &&
            getenv("RUNG_CLAIMS_SHOW"))
            print_message("  %s row %d: %s \"%.*s\" (%s)\n", where, row,
                          c[i].kind == MARK ? "mark" : "plain", (int)(c[i].end - c[i].begin),
                          text + c[i].begin, c[i].value);
    }
}

static bool tally_file(tally *t, const char *file, const char *key, const char *sub) {
    const char *dir = getenv("RUNG_DATA");
    char path[512];
    rung_error err = RUNG_ERROR_INIT;
    rung_jsonl *r = NULL;
    yyjson_val *v;
    rung_status st;
    int row = 0;
    if (!dir || !*dir) {
        print_message("SKIPPED: set RUNG_DATA to a folder with gsm8k/%s\n", file);
        return false;
    }
    snprintf(path, sizeof path, "%s/gsm8k/%s", dir, file);
    assert_int_equal(rung_jsonl_open(&r, path, 0, &err), RUNG_OK);
    for (; (st = rung_jsonl_next(&v, r, &err)) == RUNG_OK; row++) {
        yyjson_val *x = yyjson_obj_get(v, key);
        if (sub) x = yyjson_obj_get(x, sub);
        count(t, yyjson_get_str(x), sub ? key : file, row);
    }
    assert_int_equal(st, RUNG_DONE);
    rung_jsonl_close(r);
    return true;
}

static void gold(void **state) {
    (void)state;
    tally t = {0};
    double t0 = rung_now();
    if (!tally_file(&t, "train.jsonl", "answer", NULL) ||
        !tally_file(&t, "test.jsonl", "answer", NULL))
        skip();
    double s = rung_now() - t0;
    print_message("gold marks: %d right (%d of them rounded), %d wrong, %d unknown; as a loose "
                  "reader counts: %d bad\n",
                  t.n[MARK][1], t.rounded, t.n[MARK][2], t.n[MARK][0], t.loose);
    print_message("gold prose: %d right, %d wrong, %d unknown; %d claims with letters\n",
                  t.n[PLAIN][1], t.n[PLAIN][2], t.n[PLAIN][0], t.n[2][0] + t.n[2][1] + t.n[2][2]);
    int n = 0;
    for (int i = 0; i < 9; i++) n += t.n[i / 3][i % 3];
    print_message("%d claims in %.2f s: %.1f us each\n", n, s, 1e6 * s / n);
    assert_int_equal(t.n[MARK][1], 27998);
    assert_int_equal(t.n[MARK][0] + t.n[MARK][2], 0);
    assert_int_equal(t.rounded, 0);
    assert_int_equal(t.loose, 1); /* <<3/4=3/4>> */
    assert_int_equal(t.n[PLAIN][2], 38);
    assert_true(t.n[PLAIN][1] > 28000);
}

static void models(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int marks, wrong, loose;
    } want[] = {{"6b_finetuning", 4196, 13, 19},
                {"6b_verification", 4047, 20, 38},
                {"175b_finetuning", 4210, 10, 29},
                {"175b_verification", 4240, 9, 16}};
    int n_bad = 0;
    for (size_t i = 0; i < 4; i++) {
        tally t = {0};
        if (!tally_file(&t, "example_model_solutions.jsonl", want[i].name, "solution")) skip();
        int n = t.n[MARK][0] + t.n[MARK][1] + t.n[MARK][2];
        print_message("%s: marks of numbers %d: %d right (%d rounded), %d wrong, %d unknown; as a "
                      "loose reader counts: %d bad. prose: %d right, %d wrong, %d unknown\n",
                      want[i].name, n, t.n[MARK][1], t.rounded, t.n[MARK][2], t.n[MARK][0], t.loose,
                      t.n[PLAIN][1], t.n[PLAIN][2], t.n[PLAIN][0]);
        n_bad += t.n[MARK][2] != want[i].wrong || t.loose != want[i].loose || n > want[i].marks;
    }
    assert_int_equal(n_bad, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gold), cmocka_unit_test(models)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
