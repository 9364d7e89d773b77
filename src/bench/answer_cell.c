/* What a method is expected to answer with k of one problem's n traces (search.md 2.10): exactly
 * where there is a closed form, over subsets without replacement otherwise. */
#include "bench/answer.h"
#include "rung/rng.h"
#include <math.h>
#include <string.h>

typedef struct pool_view {
    const rung_trace_pool_problem *p;
    double *score; /* [n] scratch */
    bool *flag;    /* [n] scratch */
} pool_view;

static int count(const rung_trace_pool_problem *p, rung_outcome o) {
    int n = 0;
    for (int32_t i = 0; i < p->n; i++) n += p->outcome[i] == o;
    return n;
}

/* single: one trace, whatever k */
static rung_cell cell_single(const pool_view *v, int k, double (*score)(const rung_candidate *)) {
    (void)k;
    (void)score;
    double n = (double)v->p->n;
    return (rung_cell){.acc = count(v->p, RUNG_OUTCOME_CORRECT) / n,
                       .no_answer = count(v->p, RUNG_OUTCOME_NO_ANSWER) / n,
                       .unknown = count(v->p, RUNG_OUTCOME_UNKNOWN) / n};
}

/* oracle: pass@k. Without a correct trace among the k, one unknown verdict leaves it open whether
 * there was one; no answer means that none of the k has any. */
static rung_cell cell_oracle(const pool_view *v, int k, double (*score)(const rung_candidate *)) {
    (void)score;
    int n = v->p->n, correct = count(v->p, RUNG_OUTCOME_CORRECT);
    int unknown = count(v->p, RUNG_OUTCOME_UNKNOWN), none = count(v->p, RUNG_OUTCOME_NO_ANSWER);
    rung_cell c = {.acc = rung_pass_at_k(n, correct, k)};
    c.no_answer = 1.0 - rung_pass_at_k(n, n - none, k);
    c.unknown = rung_pass_at_k(n, correct + unknown, k) - c.acc;
    return c;
}

/* Best of k by a score, ties averaged. A trace without a score is never chosen: when all k lack one
 * there is no answer. */
static rung_cell cell_best(const pool_view *v, int k, double (*score)(const rung_candidate *)) {
    int n = v->p->n;
    double value[RUNG_OUTCOME_COUNT];
    for (int i = 0; i < n; i++) v->score[i] = score(&v->p->c[i]);
    for (int o = 0; o < RUNG_OUTCOME_COUNT; o++) {
        for (int i = 0; i < n; i++)
            v->flag[i] = (isnan(v->score[i]) ? RUNG_OUTCOME_NO_ANSWER : (int)v->p->outcome[i]) == o;
        value[o] = rung_bon_at_k(v->score, v->flag, n, k);
    }
    return (rung_cell){.acc = value[RUNG_OUTCOME_CORRECT],
                       .no_answer = value[RUNG_OUTCOME_NO_ANSWER],
                       .unknown = value[RUNG_OUTCOME_UNKNOWN]};
}

static double by_prm(const rung_candidate *c) {
    return c->prm;
}
static double by_orm(const rung_candidate *c) {
    return c->orm;
}
static double by_confidence(const rung_candidate *c) {
    return c->confidence;
}

static const struct closed {
    const char *name;
    rung_cell (*cell)(const pool_view *v, int k, double (*score)(const rung_candidate *));
    double (*score)(const rung_candidate *);
} closed_forms[] = {
    {"single", cell_single, NULL},
    {"oracle", cell_oracle, NULL},
    {"bon_prm", cell_best, by_prm},
    {"bon_orm", cell_best, by_orm},
    {"bon_confidence", cell_best, by_confidence},
};

static const struct closed *closed_form(const rung_method *m) {
    for (size_t i = 0; i < sizeof closed_forms / sizeof *closed_forms; i++)
        if (strcmp(closed_forms[i].name, m->name) == 0) return &closed_forms[i];
    return NULL;
}

const char *rung_estimator_of(const rung_method *m) {
    return closed_form(m) ? "exact" : "subsets";
}

/* Walks k-subsets of 0..n-1, each ascending, so that "first come" means what it means on the whole
 * pool. All of them in order when there are at most n_subsets, else n_subsets random ones. */
typedef struct subsets {
    int32_t n, k, n_left;
    bool all;
    int32_t *item;  /* [k] the current subset */
    uint8_t *taken; /* [n] scratch */
    rung_rng rng;
} subsets;

static int32_t n_subsets_upto(int32_t n, int32_t k, int32_t limit) {
    double c = 1.0;
    for (int32_t i = 1; i <= k && c <= (double)limit; i++) c = c * (double)(n - k + i) / (double)i;
    return c <= (double)limit + 0.5 ? (int32_t)(c + 0.5) : limit + 1;
}

static void subsets_start(subsets *s, int32_t k, int32_t limit, uint64_t seed, int64_t problem) {
    int32_t n_all = n_subsets_upto(s->n, k, limit);
    s->k = k;
    s->all = n_all <= limit;
    s->n_left = s->all ? n_all : limit;
    s->rng = rung_rng_at(seed, RUNG_STREAM_SUBSET, (uint64_t)problem, (uint64_t)k);
    for (int32_t i = 0; i < k; i++) s->item[i] = i;
    if (s->all && k > 0) s->item[k - 1]--; /* so that the first step lands on 0, 1, .. k-1 */
}

static bool subsets_next(subsets *s) {
    if (s->n_left-- <= 0) return false;
    if (s->all) { /* the next combination in lexical order */
        int32_t i = s->k - 1;
        while (i > 0 && s->item[i] == s->n - s->k + i) i--;
        s->item[i]++;
        for (int32_t j = i + 1; j < s->k; j++) s->item[j] = s->item[j - 1] + 1;
        return true;
    }
    memset(s->taken, 0, (size_t)s->n); /* Floyd: k draws, every subset equally likely */
    for (int32_t j = s->n - s->k; j < s->n; j++) {
        int32_t t = (int32_t)rung_rng_below(&s->rng, (uint64_t)j + 1);
        s->taken[s->taken[t] ? j : t] = 1;
    }
    for (int32_t i = 0, m = 0; i < s->n; i++)
        if (s->taken[i]) s->item[m++] = i;
    return true;
}

static void add_choice(rung_cell *cell, const rung_method *m, const rung_trace_pool_problem *p,
                       const subsets *s, const rung_candidate *drawn) {
    int at = m->choose(drawn, s->k);
    rung_outcome o = at < 0 ? RUNG_OUTCOME_NO_ANSWER : p->outcome[s->item[at]];
    cell->acc += o == RUNG_OUTCOME_CORRECT;
    cell->no_answer += o == RUNG_OUTCOME_NO_ANSWER;
    cell->unknown += o == RUNG_OUTCOME_UNKNOWN;
}

static void subset_cells(rung_cell *cell, const rung_trace_pool_problem *p,
                         const rung_method *const *method, int n_methods, int n_k, int i_k,
                         subsets *s, rung_candidate *drawn) {
    int32_t n_done = 0;
    for (; subsets_next(s); n_done++) {
        for (int32_t i = 0; i < s->k; i++) drawn[i] = p->c[s->item[i]];
        for (int m = 0; m < n_methods; m++)
            if (!closed_form(method[m])) add_choice(&cell[m * n_k + i_k], method[m], p, s, drawn);
    }
    for (int m = 0; m < n_methods; m++) {
        rung_cell *c = &cell[m * n_k + i_k];
        if (closed_form(method[m])) continue;
        c->acc /= n_done;
        c->no_answer /= n_done;
        c->unknown /= n_done;
    }
}

rung_status rung_answer_cells(rung_cell *cell, const rung_trace_pool_problem *p,
                              const rung_method *const *method, int n_methods, const int32_t *k,
                              int n_k, int n_subsets, uint64_t seed, rung_error *err) {
    size_t n = (size_t)p->n;
    pool_view v = {p, rung_calloc(n, sizeof(double)), rung_calloc(n, sizeof(bool))};
    subsets s = {.n = p->n,
                 .item = rung_calloc(n, sizeof *s.item),
                 .taken = rung_calloc(n, sizeof *s.taken)};
    rung_candidate *drawn = rung_calloc(n, sizeof *drawn);
    rung_status st = RUNG_OK;
    if (!v.score || !v.flag || !s.item || !s.taken || !drawn) {
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory for subsets of %d traces", p->n);
        goto out;
    }
    memset(cell, 0, (size_t)n_methods * (size_t)n_k * sizeof *cell);
    for (int i = 0; i < n_k; i++) {
        for (int m = 0; m < n_methods; m++) {
            const struct closed *f = closed_form(method[m]);
            if (f) cell[m * n_k + i] = f->cell(&v, k[i], f->score);
        }
        subsets_start(&s, k[i], n_subsets, seed, p->id);
        subset_cells(cell, p, method, n_methods, n_k, i, &s, drawn);
    }
out:
    rung_free(v.score);
    rung_free(v.flag);
    rung_free(s.item);
    rung_free(s.taken);
    rung_free(drawn);
    return st;
}
