/* The table of worlds. */
#include "problem/world.h"
#include "problem/world_docs.h"
#include "problem/world_logic.h"
#include <string.h>

static const world_impl *const impls[] = {&world_total, &world_word};
enum { N_CHAINS = sizeof impls / sizeof *impls };

const world_impl *world_impl_at(size_t i) {
    return i < N_CHAINS ? impls[i] : NULL;
}

const world_impl *world_impl_find(const char *name, size_t n) {
    for (size_t i = 0; i < N_CHAINS; i++)
        if (strlen(impls[i]->name) == n && memcmp(impls[i]->name, name, n) == 0) return impls[i];
    return NULL;
}

void world_make(chain *c, rung_buf *question, const world_impl *w, const chain_opts *o,
                uint64_t i) {
    rung_rng r = rung_rng_at(o->seed, RUNG_STREAM_WORLD, i, w->rollout);
    chain_draw(c, &r, o);
    w->question(question, c, &r);
}

static rung_status make(rung_buf *question, rung_buf *answer, rung_buf *solution, rung_buf *meta,
                        const world_impl *w, const rung_world_opts *o, uint64_t i,
                        rung_error *err) {
    chain_opts co;
    chain c;
    RUNG_TRY(chain_opts_fill(&co, o, w->steps_min, w->steps_max, err));
    world_make(&c, question, w, &co, i);
    rung_buf_printf(answer, "%lld", (long long)chain_total(&c, c.n));
    chain_solution(solution, &c);
    chain_meta(meta, &c, w->name, &co, i);
    RUNG_TRY(rung_buf_check(question, err));
    RUNG_TRY(rung_buf_check(answer, err));
    RUNG_TRY(rung_buf_check(solution, err));
    return rung_buf_check(meta, err);
}

/* name, help: one row per world of chains, and its two functions bound to the inner half. */
#define CHAINS(X)                                                                                  \
    X(total, "a running total: start, then + - x")                                                 \
    X(word, "the same told in English, with numbers that must not be used")
#define X(w, help_text)                                                                            \
    static rung_status w##_make(rung_buf *q, rung_buf *a, rung_buf *s, rung_buf *m,                \
                                const rung_world_opts *o, uint64_t i, rung_error *err) {           \
        return make(q, a, s, m, &world_##w, o, i, err);                                            \
    }                                                                                              \
    static rung_status w##_first_error(int32_t *out, const char *meta, const char *const *step,    \
                                       const int32_t *n_bytes, int32_t n, rung_error *err) {       \
        chain c;                                                                                   \
        RUNG_TRY(chain_from_meta(&c, #w, meta, err));                                              \
        return chain_first_error(out, &c, step, n_bytes, n, err);                                  \
    }
CHAINS(X)
#undef X
static const rung_world worlds[] = {
#define X(w, help_text) {#w, help_text, w##_make, w##_first_error, "math", NULL},
    CHAINS(X)
#undef X
        {"sql", "questions over a generated database of three tables; the answer is a query",
         sql_make, sql_first_error, "sql", NULL},
    {"lookup", "questions over a few generated documents, 2 to 4 facts deep", lookup_make,
     lookup_first_error, "qa", NULL},
    {"logic", "deductions from facts, in FLD's notation", logic_make, logic_first_error, "exact",
     logic_plant},
};
enum { N_WORLDS = sizeof worlds / sizeof *worlds };

const rung_world *rung_world_at(size_t i) {
    return i < N_WORLDS ? &worlds[i] : NULL;
}

const rung_world *rung_world_find(const char *name) {
    for (size_t i = 0; name && i < N_WORLDS; i++)
        if (strcmp(worlds[i].name, name) == 0) return &worlds[i];
    return NULL;
}

int rung_world_bucket(const char *question, size_t n_bytes) {
    return (int)(rung_hash64(question, n_bytes, 0) % WORLD_BUCKETS);
}
