/* rung verify bench: how long a verdict takes. */
#include "base/json.h"
#include "cli/session.h"
#include "rung/verify.h"
#include <stdlib.h>
#include <string.h>

static const cli_opt bench_opts[] = {
    OPT_PATH("in", "", CLI_KEY,
             "JSON lines with \"gold\" and \"answer\" (or \"text\"); empty = every kind of answer "
             "against every other"),
    OPT_INT("reps", "3", "N", 1, 1000, CLI_KEY,
            "every pair so often; the fastest of a pair counts"),
};
const cli_group cli_verify_bench_group = CLI_GROUP_OF("verify bench", bench_opts);

static const char *const kinds[] = {
    "42",
    "-7.00",
    "3/4",
    "\\frac{11}{20}",
    "1{,}234",
    "0.1\\overline{6}",
    "52_8",
    "50\\%",
    "\\$18.90",
    "15 \\text{ cm}^2",
    "2\\sqrt{3}",
    "\\sqrt[3]{5}+1",
    "\\cos 36^\\circ",
    "12\\pi",
    "\\ln 2",
    "\\binom{5}{2}",
    "1+2i",
    "(a+5)(b+2)",
    "\\frac{x^2-1}{x-1}",
    "\\sin^2 x",
    "1,-2",
    "\\{1\\pm\\sqrt5,-2\\}",
    "(1,2)",
    "[0,1)",
    "(0,9) \\cup (9,36)",
    "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}",
    "y = 2x + 3",
    "x \\ge 2",
    "3:4",
    "\\text{(C)}",
    "3:45 \\text{ p.m.}",
    "\\text{even}",
};

typedef struct pairs {
    const char **gold, **answer, **text;
    double *us;
    size_t n, cap;
} pairs;

static rung_status pairs_add(pairs *p, rung_arena *a, const char *gold, const char *answer,
                             const char *text, rung_error *err) {
    if (p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 1024;
        const char ***list[3] = {&p->gold, &p->answer, &p->text};
        for (int i = 0; i < 3; i++) {
            const char **more = rung_arena_alloc(a, cap * sizeof *more);
            if (!more) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
            if (p->n) memcpy(more, *list[i], p->n * sizeof *more);
            *list[i] = more;
        }
        p->cap = cap;
    }
    const char *const in[3] = {gold, answer, text};
    const char **out[3] = {&p->gold[p->n], &p->answer[p->n], &p->text[p->n]};
    for (int i = 0; i < 3; i++) {
        *out[i] = in[i] ? rung_arena_strndup(a, in[i], strlen(in[i])) : NULL;
        if (in[i] && !*out[i]) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    }
    p->n++;
    return RUNG_OK;
}

static rung_status pairs_read(pairs *p, rung_arena *a, const char *path, rung_error *err) {
    rung_jsonl *r;
    yyjson_val *row;
    RUNG_TRY(rung_jsonl_open(&r, path, 0, err));
    rung_status st;
    while ((st = rung_jsonl_next(&row, r, err)) == RUNG_OK) {
        const char *gold = rung_json_str(row, "gold", NULL);
        const char *answer = rung_json_str(row, "answer", NULL);
        const char *text = rung_json_str(row, "text", NULL);
        if (!gold || (!answer && !text))
            st = rung_fail(err, RUNG_E_FORMAT,
                           "%s:%lld: needs the strings \"gold\" and \"answer\" or \"text\"", path,
                           (long long)rung_jsonl_line(r));
        else
            st = pairs_add(p, a, gold, answer, text, err);
        if (st != RUNG_OK) break;
    }
    rung_jsonl_close(r);
    return st == RUNG_DONE ? RUNG_OK : st;
}

static rung_status pairs_of_kinds(pairs *p, rung_arena *a, rung_error *err) {
    for (size_t i = 0; i < CLI_N(kinds); i++)
        for (size_t k = 0; k < CLI_N(kinds); k++)
            RUNG_TRY(pairs_add(p, a, kinds[i], kinds[k], NULL, err));
    return RUNG_OK;
}

static double time_us(const rung_verifier *v, const char *gold, const char *answer,
                      const char *text) {
    rung_answer x;
    rung_check c;
    double t0 = rung_now();
    if (!answer) {
        v->extract(&x, text, strlen(text));
        answer = x.text;
    }
    v->check(&c, gold, answer);
    return (rung_now() - t0) * 1e6;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(cli_call *c, const pairs *p, double t0) {
    double sum = 0;
    for (size_t i = 0; i < p->n; i++) sum += p->us[i];
    double mean = sum / (double)p->n, mid = p->us[p->n / 2];
    double p99 = p->us[(size_t)(0.99 * (double)(p->n - 1))], worst = p->us[p->n - 1];
    cli_result_open(c, NULL);
    cli_result_str(c, "verifier", "math");
    cli_result_int(c, "n", (int64_t)p->n);
    cli_result_int(c, "reps", cli_int(c, "reps"));
    cli_result_real(c, "mean_us", mean);
    cli_result_real(c, "median_us", mid);
    cli_result_real(c, "p99_us", p99);
    cli_result_real(c, "max_us", worst);
    cli_result_close(c, t0);
    rung_buf_printf(&c->summary,
                    "%zu pairs: mean %.1f us, median %.1f, 99%% below %.1f, worst %.1f", p->n, mean,
                    mid, p99, worst);
}

rung_status cli_verify_bench(cli_call *c, rung_error *err) {
    const rung_verifier *v = rung_verifier_find("math");
    const char *path = cli_str(c, "in");
    double t0 = rung_now();
    pairs p = {.n = 0};
    rung_arena *a = rung_arena_new(0);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_status st = path ? pairs_read(&p, a, path, err) : pairs_of_kinds(&p, a, err);
    if (st == RUNG_OK && p.n == 0) st = rung_fail(err, RUNG_E_FORMAT, "%s: no pairs", path);
    if (st == RUNG_OK) p.us = rung_arena_alloc(a, p.n * sizeof *p.us);
    if (st == RUNG_OK && !p.us) st = rung_fail(err, RUNG_E_NOMEM, "out of memory");
    for (int64_t rep = 0; st == RUNG_OK && rep < cli_int(c, "reps"); rep++)
        for (size_t i = 0; i < p.n; i++) {
            double us = time_us(v, p.gold[i], p.answer[i], p.text[i]);
            if (rep == 0 || us < p.us[i]) p.us[i] = us;
        }
    if (st == RUNG_OK) {
        qsort(p.us, p.n, sizeof *p.us, by_size);
        report(c, &p, t0);
    }
    rung_arena_free(a);
    return st;
}
