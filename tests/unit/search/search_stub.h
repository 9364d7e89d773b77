/* A policy and a scorer by rule, for tests of the bookkeeping alone: text and score of a draw
 * follow from where it is, so that every run gives the same tree. */
#ifndef RUNG_TESTS_SEARCH_STUB_H
#define RUNG_TESTS_SEARCH_STUB_H
#include "search/search_impl.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NEAR(a, b, tol) assert_true(fabs((a) - (b)) <= (tol))

typedef struct stub {
    search s;
    rung_search_opts o;
    int32_t end_depth; /* a step at this depth is the last */
    bool reversed;     /* deliver the last draw first */
    int32_t n_tok;     /* of a step */
    /* text of draw i of ask a into buf; NULL: a rule of its own */
    const char *(*text)(struct stub *z, const search_ask *a, int32_t i, char buf[64]);
    double (*score)(struct stub *z, int32_t node);
    int64_t n_rounds, n_scored;
} stub;

static inline const char *stub_text(stub *z, const search_ask *a, int32_t i, char buf[64]) {
    (void)z;
    snprintf(buf, 64, "%d.%d\n", a->node, a->i0 + i);
    return buf;
}

static inline double stub_score(stub *z, int32_t node) {
    return (double)(z->s.node[node].addr >> 40) / (double)(1 << 24);
}

static inline void stub_deliver(stub *z, int32_t k, int32_t i) {
    const search_ask *a = &z->s.ask[k];
    int32_t tok[64];
    float lp[64];
    char buf[64];
    int32_t rest = a->extend ? z->n_tok - z->s.node[a->node].n_tok : z->n_tok;
    int32_t n = a->max_tok < rest ? a->max_tok : rest > 0 ? rest : 0;
    bool last = z->s.node[a->node].depth + (a->extend ? 0 : 1) >= z->end_depth || a->n_steps == 0;
    for (int32_t j = 0; j < n && j < 64; j++)
        tok[j] = j, lp[j] = -.1f * (float)(1 + (a->i0 + i) % 3);
    const char *text = z->text ? z->text(z, a, i, buf) : stub_text(z, a, i, buf);
    bool cut = a->partial && n < z->n_tok;
    search_text t = {.text = text,
                     .n_bytes = (int32_t)strlen(text),
                     .tok = tok,
                     .logprob = lp,
                     .logprob_draw = lp,
                     .n_tok = n,
                     .stop = cut    ? "length"
                             : last ? "eos"
                                    : "stop"};
    assert_int_equal(search_deliver(&z->s, k, i, &t, NULL), RUNG_OK);
}

static inline void stub_run(stub *z, const char *method, uint64_t address) {
    const search_method *m = search_method_find(method);
    rung_error err = RUNG_ERROR_INIT;
    search_need need = SEARCH_NEEDS_TEXT;
    assert_non_null(m);
    if (!z->o.n) z->o.n = m->n;
    search_opts_fill(&z->o);
    if (!z->n_tok) z->n_tok = 4;
    if (!z->s.arena) z->s.arena = rung_arena_new(0);
    z->s.delimiter = "\n";
    z->n_rounds = z->n_scored = 0;
    assert_int_equal(search_begin(&z->s, &z->o, m, address, &err), RUNG_OK);
    for (;;) {
        assert_int_equal(search_advance(&need, &z->s, &err), RUNG_OK);
        if (need == SEARCH_IS_OVER) return;
        z->n_rounds++;
        if (need == SEARCH_NEEDS_SCORES) {
            for (int32_t i = 0; i < z->s.n_want; i++)
                for (int32_t v = z->s.want[i]; v > 0 && !z->s.node[v].scored;
                     v = z->s.node[v].parent, z->n_scored++)
                    search_set_score(&z->s, v, z->score ? z->score(z, v) : stub_score(z, v));
            continue;
        }
        for (int32_t j = 0; j < z->s.n_asks; j++) {
            int32_t k = z->reversed ? z->s.n_asks - 1 - j : j, n = z->s.ask[k].n;
            for (int32_t i = 0; i < n; i++) stub_deliver(z, k, z->reversed ? n - 1 - i : i);
        }
    }
}

static inline void stub_end(stub *z) {
    search_clear(&z->s);
    rung_arena_free(z->s.arena);
    z->s.arena = NULL;
}

static inline stub stub_make(int32_t n, int32_t width, int32_t end_depth) {
    stub z = {.end_depth = end_depth};
    z.o = (rung_search_opts)RUNG_SEARCH_OPTS_INIT;
    z.o.n = n;
    z.o.width = width;
    z.o.scorer = RUNG_SEARCH_SCORE_TRUTH;
    return z;
}

static inline int32_t count_events(const search *s, const char *kind) {
    int32_t n = 0;
    for (int32_t i = 0; i < s->n_events; i++) n += strcmp(s->event[i].kind, kind) == 0;
    return n;
}
#endif
