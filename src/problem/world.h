/* Inside of the worlds: a problem as a chain of operations, from which question, solution, meta and
 * the exact checker all follow. */
#ifndef RUNG_SRC_PROBLEM_WORLD_H
#define RUNG_SRC_PROBLEM_WORLD_H
#include "rung/problem.h"

enum { CHAIN_OPS_MAX = 32, CHAIN_DISTRACT_MAX = 2, CHAIN_TOTAL_MAX = 99999 };
enum { WORLD_BUCKETS = 8, WORLD_BUCKET_TEST = 0, WORLD_BUCKET_VAL = 1 };
enum { OPERAND_MIN = 2, OPERAND_DEFAULT = 9, OPERAND_LIMIT = 99, TIMES_MIN = 2, TIMES_MAX = 5 };
enum { DISTRACT_LIMIT = 15 }; /* distractors are 2..15: always some that no operation uses */

typedef struct chain_op {
    char o; /* '+' '-' 'x' */
    int32_t b;
} chain_op;

typedef struct chain {
    int32_t start, n;
    chain_op op[CHAIN_OPS_MAX];
    int32_t n_distract;
    int32_t distract[CHAIN_DISTRACT_MAX]; /* numbers of the text that must not be used */
} chain;

/* Options with every default filled in; E_INVAL when out of range. */
typedef struct chain_opts {
    uint64_t seed;
    int32_t steps_min, steps_max, max;
    double hard;
    int32_t operand_max;
} chain_opts;
rung_status chain_opts_fill(chain_opts *out, const rung_world_opts *o, int32_t steps_min,
                            int32_t steps_max, rung_error *err);

int64_t chain_apply(int64_t a, char o, int64_t b);
/* Hard: units of b are 9 and the operation carries out of (+) or borrows into (-) the units. */
bool chain_is_hard(int64_t a, char o, int64_t b);
void chain_draw(chain *c, rung_rng *r, const chain_opts *o);
int64_t chain_total(const chain *c, int32_t n_ops); /* true total after n_ops operations */
void chain_solution(rung_buf *out, const chain *c);
void chain_meta(rung_buf *out, const chain *c, const char *world, const chain_opts *o, uint64_t i);
rung_status chain_from_meta(chain *c, const char *world, const char *meta, rung_error *err);

/* "a o b = c" without spaces, or "#### c". */
typedef enum { LINE_BAD = 0, LINE_OP, LINE_FINAL } line_kind;
typedef struct line {
    line_kind kind;
    int64_t a, b, c;
    char o;
} line;
line line_parse(const char *text, size_t n); /* blanks around are ignored */
rung_status chain_first_error(int32_t *out, const chain *c, const char *const *step,
                              const int32_t *n_bytes, int32_t n_steps, rung_error *err);

/* A world's inner half: the chain and question of problem i. */
typedef struct world_impl {
    const char *name;
    int32_t steps_min, steps_max;
    void (*question)(rung_buf *out, chain *c, rung_rng *r); /* may add distractors to c */
    uint64_t rollout; /* RNG address: one column per world, never renumbered */
} world_impl;
extern const world_impl world_total, world_word;
const world_impl *world_impl_find(const char *name, size_t n);
const world_impl *world_impl_at(size_t i);
void world_make(chain *c, rung_buf *question, const world_impl *w, const chain_opts *o, uint64_t i);

/* Every text a world's questions are made of, for the vocabulary: calls add(ud, text, opens). */
void world_total_texts(void (*add)(void *ud, const char *text, bool opens), void *ud);
void world_word_texts(void (*add)(void *ud, const char *text, bool opens), void *ud);
#endif
