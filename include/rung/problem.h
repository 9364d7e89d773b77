/* rung/problem.h: problems in: generated worlds and published sets. */
#ifndef RUNG_PROBLEM_H
#define RUNG_PROBLEM_H
#include "rung/event.h"
#include "rung/rng.h"
#include "rung/store.h"
#ifdef __cplusplus
extern "C" {
#endif

/* A world: seeded problems whose every step can be checked exactly (design.md 6). */
typedef struct rung_world_opts {
    size_t struct_size;
    uint64_t seed;
    int32_t steps_min, steps_max; /* operations per problem; 0 = the world's default */
    int32_t max;                  /* totals stay within 0..max; 0 = default */
    double hard; /* share of operations of the hard kind (see docs/design/problem.md); < 0 = as they
                    fall */
} rung_world_opts;
#define RUNG_WORLD_OPTS_INIT                                                                       \
    { .struct_size = sizeof(rung_world_opts), .hard = -1.0 }
typedef struct rung_world {
    const char *name, *help;
    /* problem number i of the world with these options: question, answer, solution, meta; appended
     * to the buffers */
    rung_status (*make)(rung_buf *question, rung_buf *answer, rung_buf *solution, rung_buf *meta,
                        const rung_world_opts *o, uint64_t i, rung_error *err);
    /* 0-based index of the first wrong step of these step texts, -1 none; E_FORMAT when meta is not
     * this world's */
    rung_status (*first_error)(int32_t *out, const char *meta, const char *const *step,
                               const int32_t *n_bytes, int32_t n_steps, rung_error *err);
} rung_world;
const rung_world *rung_world_at(size_t i);
const rung_world *rung_world_find(const char *name);
/* n problems into the store, split names and counts "train=300,test=200" assigned in order of i
 * from i0. */
rung_status rung_problem_generate(int64_t *n_new, rung_store *s, const char *world, const char *set,
                                  const char *splits, uint64_t i0, const rung_world_opts *o,
                                  const rung_log *log, rung_error *err);

/* Text that the tiny policy learns from: noisy solutions of the worlds, and checking text (see
 * docs/design/problem.md). One document per call, addressed by (seed, i). user = prompt, doc = what
 * follows; n_loss_from = first byte of doc that carries loss. */
typedef struct rung_corpus_opts {
    uint64_t seed;
    double share_check, slip, repair, misconception;
    const char *worlds;
} rung_corpus_opts;
rung_status rung_corpus_make(rung_buf *prompt, rung_buf *doc, const rung_corpus_opts *o, uint64_t i,
                             rung_error *err);

/* Importers: a table (gsm8k, math500, processbench, jsonl). Every rejected line is an event
 * "import.reject" with file, line, reason. */
typedef struct rung_import_opts {
    size_t struct_size;
    const char *set, *split;
    int64_t limit, skip;
} rung_import_opts;
#define RUNG_IMPORT_OPTS_INIT                                                                      \
    { .struct_size = sizeof(rung_import_opts) }
typedef struct rung_import_report {
    int64_t n_rows, n_new, n_same, n_rejected, n_traces;
} rung_import_report;
typedef struct rung_importer {
    const char *name, *help;
    rung_status (*import)(rung_import_report *out, rung_store *s, const char *path,
                          const rung_import_opts *o, const rung_log *log, rung_error *err);
} rung_importer;
const rung_importer *rung_importer_at(size_t i);
const rung_importer *rung_importer_find(const char *name);

#ifdef __cplusplus
}
#endif
#endif
