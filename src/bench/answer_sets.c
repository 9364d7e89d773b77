/* The same accuracies set by set: a pool may hold problems of several sets, and a gain on one of
 * them is not a gain on all. */
#include "bench/answer.h"
#include <string.h>

#define SET_MAX 32 /* sets told apart; the problems of more are not shown by set */

typedef struct sets {
    char name[SET_MAX][64];
    int n;
    int8_t *of; /* [n_problems]: which set, -1 none */
} sets;

static rung_status find_sets(sets *t, const rung_measure *a, rung_store *s, rung_error *err) {
    rung_arena *arena = rung_arena_new(0);
    rung_status st = RUNG_OK;
    t->of = rung_calloc((size_t)a->n_problems, 1);
    if (!arena || !t->of) st = rung_fail(err, RUNG_E_NOMEM, "out of memory for sets");
    for (int64_t i = 0; st == RUNG_OK && i < a->n_problems; i++) {
        rung_problem p;
        rung_arena_reset(arena);
        RUNG_GOTO(rung_problem_get(s, &p, arena, a->kept[i].id, err));
        int j = 0;
        while (j < t->n && strncmp(t->name[j], p.set, sizeof t->name[j] - 1) != 0) j++;
        if (j == t->n && t->n < SET_MAX) {
            memcpy(t->name[j], p.set, strnlen(p.set, sizeof t->name[j] - 1));
            t->n++;
        }
        t->of[i] = j < t->n ? (int8_t)j : -1;
    }
out:
    rung_arena_free(arena);
    return st;
}

/* Each arm at its last point, on the problems of one set: means and intervals. */
static rung_status put_set(rung_buf *b, const sets *t, int i_set, const rung_measure *a,
                           rung_error *err) {
    size_t n = 0, m = (size_t)a->n_arms;
    double *x = rung_calloc((size_t)a->n_problems * m, sizeof *x);
    double *mean = rung_calloc(m, sizeof *mean);
    rung_interval *ci = rung_calloc(m, sizeof *ci);
    rung_status st = RUNG_OK;
    if (!x || !mean || !ci) {
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory for sets");
        goto out;
    }
    for (int64_t i = 0; i < a->n_problems; i++) {
        if (t->of[i] != i_set) continue;
        for (int j = 0; j < a->n_arms; j++) {
            double v =
                a->x[(size_t)i * (size_t)a->m + (size_t)rung_column(a, j, a->arm[j].n_k - 1)];
            x[n * m + (size_t)j] = v;
            mean[j] += v;
        }
        n++;
    }
    RUNG_GOTO(rung_bootstrap_means(ci, x, (int64_t)n, a->n_arms, a->n_boot, 0.95, a->o->seed, err));
    rung_buf_str(b, i_set ? ",{\"set\":" : "{\"set\":");
    rung_buf_json_str(b, t->name[i_set], strlen(t->name[i_set]));
    rung_buf_printf(b, ",\"n\":%zu,\"methods\":{", n);
    for (int j = 0; j < a->n_arms; j++) {
        rung_buf_printf(b, "%s\"%s\":{\"acc\":", j ? "," : "", a->arm[j].name);
        rung_put_num(b, mean[j] / (double)n);
        rung_buf_str(b, ",\"ci95\":");
        rung_put_interval(b, ci[j]);
        rung_buf_str(b, "}");
    }
    rung_buf_str(b, "}}");
out:
    rung_free(x);
    rung_free(mean);
    rung_free(ci);
    return st;
}

rung_status rung_answer_put_sets(rung_buf *b, const rung_measure *a, rung_store *s,
                                 rung_error *err) {
    sets *t = rung_calloc(1, sizeof *t);
    if (!t) return rung_fail(err, RUNG_E_NOMEM, "out of memory for sets");
    rung_status st;
    RUNG_GOTO(find_sets(t, a, s, err));
    rung_buf_str(b, "\"sets\":[");
    for (int i = 0; i < t->n; i++) RUNG_GOTO(put_set(b, t, i, a, err));
    rung_buf_str(b, "]");
out:
    rung_free(t->of);
    rung_free(t);
    return st;
}
