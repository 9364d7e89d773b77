/* rung/problem.h: problems in: generated worlds and published sets. */
#ifndef RUNG_PROBLEM_H
#define RUNG_PROBLEM_H
#include "rung/event.h"
#include "rung/format.h"
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
    int32_t operand_max; /* + and - take 2..operand_max; 0 = 9 (one digit), up to 99 */
} rung_world_opts;
#define RUNG_WORLD_OPTS_INIT                                                                       \
    { .struct_size = sizeof(rung_world_opts), .hard = -1.0 }
struct rung_planted;
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
    const char *verifier; /* of its problems: a row of rung_verifier */
    /* the reference solution with errors planted (rung/planted.h), appended to trace: number j of
     * this problem, each step spoiled with chance slip; NULL: the world cannot */
    rung_status (*plant)(rung_buf *trace, struct rung_planted *out, const char *meta, uint64_t j,
                         double slip, rung_error *err);
} rung_world;
const rung_world *rung_world_at(size_t i);
const rung_world *rung_world_find(const char *name);
/* Does this line of a solution do a hard operation: one whose carry or borrow the tiny policy was
 * taught to forget with confidence (docs/design/problem.md)? */
bool rung_world_is_hard(const char *line, size_t n_bytes);
/* Which split a question may belong to, by its hash: 0 "test", 1 "val", 2..7 all others. Seeds,
 * options and calls cannot move a question from one side to the other. */
int rung_world_bucket(const char *question, size_t n_bytes);
/* Problems into the store: splits "train=300,test=200"; each split takes, from index i0 on, the
 * next indices whose question falls into its bucket and was not seen before in this call. key =
 * hash of the question, so a repeat is free (n_new counts new rows only). set NULL or "" = the
 * world's name; the verifier is the world's. E_LIMIT when the world has too few different
 * questions. */
rung_status rung_problem_generate(int64_t *n_new, rung_store *s, const char *world, const char *set,
                                  const char *splits, uint64_t i0, const rung_world_opts *o,
                                  const rung_log *log, rung_error *err);

/* Text that the tiny policy learns from (docs/design/problem.md): noisy solutions of the worlds
 * (kind SOLVE) and checking text (kind CHECK). One document per number i, addressed by (seed, i);
 * pure, thread-safe.
 *   prompt  the question, with its closing newline
 *   doc     SOLVE: the solution's lines "17+5=22\n22x2=44\n#### 44\n"; all of it carries loss, the
 *           caller appends <|eos|> (with loss)
 *           CHECK: "17+5=22\n<+>29+9=28\n<->#### 28\n<+>": after each line's newline a verdict
 *           whether the line's own arithmetic holds (#### n: equals the total just above). Only
 *           the verdicts carry loss: the lines are 40% wrong on purpose. No <|eos|>.
 * No prompt of a SOLVE or CHECK document is ever a question of a split "test" or "val" that
 * rung_problem_generate makes, whatever the seeds: the question's hash decides (rung_world_bucket).
 */
typedef enum { RUNG_CORPUS_SOLVE = 0, RUNG_CORPUS_CHECK = 1 } rung_corpus_kind;
typedef struct rung_corpus_opts {
    uint64_t seed;
    double share_check;   /* share of CHECK documents; < 0 = .3 */
    double slip;          /* per-line random slips; < 0 = per document from {0, .01, .03, .06} */
    double repair;        /* chance per line after an error to restart from the truth; < 0 = .1 */
    double misconception; /* chance to forget carry or borrow at a hard operation; < 0 = .6 */
    const char *worlds;   /* "total,word"; NULL or "" = every world, equal shares */
    double hard;          /* share of hard operations in SOLVE; <= 0 = as they fall (about 8%) */
    double distract;      /* word: chance per line of the distractor number; 0 = .03, < 0 = never */
    double bare;          /* share of CHECK that is lines alone, without a problem; < 0 = .5 */
} rung_corpus_opts;
#define RUNG_CORPUS_OPTS_INIT                                                                      \
    { 0, -1.0, -1.0, -1.0, -1.0, NULL, 0.0, 0.0, -1.0 }
rung_corpus_kind rung_corpus_kind_at(const rung_corpus_opts *o, uint64_t i);
rung_status rung_corpus_make(rung_buf *prompt, rung_buf *doc, const rung_corpus_opts *o, uint64_t i,
                             rung_error *err);

/* The tiny model's vocabulary. Token ids, in order: 0 <|eos|>, 1 <?>, 2 <+>, 3 <->, 4 + byte for
 * all 256 single bytes, then the words of the worlds from 260 on: " word" with its leading space,
 * "Word" for those that open a question, " +" " -" " x" before an operand and "#### ". Bytes are
 * raw (any value, NUL too) with a length. No word holds a digit, so digits and the operators inside
 * a line are one token each. */
typedef enum { RUNG_VOCAB_CONTROL = 0, RUNG_VOCAB_BYTE = 1, RUNG_VOCAB_WORD = 2 } rung_vocab_kind;
enum { RUNG_VOCAB_EOS = 0, RUNG_VOCAB_ASK = 1, RUNG_VOCAB_PLUS = 2, RUNG_VOCAB_MINUS = 3 };
typedef struct rung_vocab_token {
    const char *bytes; /* NUL-terminated too, but mind the NUL byte's own token */
    int32_t n_bytes;
    rung_vocab_kind kind;
} rung_vocab_token;
typedef struct rung_vocab rung_vocab;
rung_status rung_corpus_vocab(rung_vocab **out, rung_error *err);
void rung_vocab_free(rung_vocab *v);
int32_t rung_vocab_size(const rung_vocab *v);
const rung_vocab_token *rung_vocab_at(const rung_vocab *v, int32_t id); /* NULL outside */
/* Greedy longest match; control tokens match their text when `control` is true. Writes at most
 * n_max ids (n_max = n always suffices), returns how many there are. Joining the tokens' bytes
 * gives the text back. */
int32_t rung_vocab_encode(int32_t *out, int32_t n_max, const rung_vocab *v, const char *text,
                          int32_t n, bool control);

/* Rows of a file in any format (rung/format.h) into the store: problems, their solutions as traces
 * of one run, with labels on request. Every rejected row is an event "import.reject" with file,
 * line, reason. A repeat changes nothing.
 * A problem of the verifier sql that names a database by db_id (Spider's questions) gets the one
 * that lies beside the file as database/ID/ID.sqlite, its tables before the question; a row whose
 * database is missing or whose query does not run is rejected. */
typedef struct rung_import_opts {
    size_t struct_size;
    const char *set, *split; /* NULL or "" = the format's name; by the file's name, else "test" */
    const char *name;        /* of the new run: that of the labels when there are any */
    bool labels;             /* put the labels too; each branch of a tree is a trace then */
    const rung_format_opts *format; /* NULL = defaults; its limit and skip are not looked at */
    int64_t limit, skip;
} rung_import_opts;
#define RUNG_IMPORT_OPTS_INIT                                                                      \
    { .struct_size = sizeof(rung_import_opts) }
typedef struct rung_import_report {
    int64_t n_rows, n_new, n_same, n_rejected, n_left_out, n_traces, n_labels;
    int64_t run, label_run; /* ids; 0 = none was needed */
} rung_import_report;
rung_status rung_import(rung_import_report *out, rung_store *s, const rung_format *format,
                        const char *path, const rung_import_opts *o, const rung_log *log,
                        rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
