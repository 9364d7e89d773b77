/* rung/retrieve.h: documents -> passages -> the ones that a query finds; and answers judged as in
 * open-domain question answering.
 *
 * An index is SQLite's FTS5 (BM25) over passages, in memory or in a file, and, when an embedder is
 * given, a vector per passage beside it; the two rankings are fused by reciprocal rank. One caller
 * at a time. docs/design/retrieve.md. */
#ifndef RUNG_RETRIEVE_H
#define RUNG_RETRIEVE_H
#include "rung/store.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Text -> vector, from whoever has a model (rung_embedder, model.h, has this shape). out: n_dim
 * floats of length 1 for each of n texts; is_query: some models want the two told apart. */
typedef struct rung_embed_fn {
    rung_status (*embed)(float *out, void *ud, const char *const *text, int32_t n, bool is_query,
                         rung_error *err);
    void *ud;
    int32_t n_dim;
} rung_embed_fn;

typedef struct rung_index_opts {
    size_t struct_size;
    int32_t words,
        overlap; /* of a passage, and how many of them the next one repeats; 0 = 100, 0 */
    const rung_embed_fn *embed; /* NULL: BM25 alone. Copied */
} rung_index_opts;
#define RUNG_INDEX_OPTS_INIT                                                                       \
    { .struct_size = sizeof(rung_index_opts) }

typedef struct rung_index rung_index;
/* path NULL: in memory. E_NOT_BUILT: this SQLite has no FTS5. */
rung_status rung_index_new(rung_index **out, const char *path, const rung_index_opts *opts,
                           rung_error *err);
void rung_index_free(rung_index *x);
/* A document: cut at words into passages, its title with each. id is the caller's, unique
 * (E_FORMAT). E_FORMAT: not UTF-8 or without a word. */
rung_status rung_index_add(rung_index *x, const char *id, const char *title, const char *text,
                           rung_error *err);
/* JSON lines {"id", "title"?, "text"}. A bad line is E_FORMAT with its number. */
rung_status rung_index_add_file(int64_t *n_docs, rung_index *x, const char *path, rung_error *err);
int64_t rung_index_count(const rung_index *x); /* passages */

typedef enum rung_rank { RUNG_RANK_BM25 = 0, RUNG_RANK_DENSE, RUNG_RANK_FUSED } rung_rank;
typedef struct rung_hit {
    const char *id, *title;        /* of the document */
    int32_t passage;               /* its passages count from 0 */
    const char *text;              /* the passage */
    const char *snippet;           /* the part of it that fits best, found words in [brackets] */
    double score;                  /* greater is better: BM25, cosine, or sum of 1 / (60 + rank) */
    int32_t rank_bm25, rank_dense; /* from 1; 0: not among the first 100 of that ranking */
} rung_hit;
/* The best k, best first; equal scores by document and passage in the order they were added. Any
 * bytes are a query: its words are looked for, nothing in it is an operator. Strings in a. */
rung_status rung_index_search(rung_hit **hit, int32_t *n, rung_arena *a, rung_index *x,
                              const char *query, int32_t k, rung_rank by, rung_error *err);
/* Share of `want` (document ids) among the documents of the hits; NaN without any wanted. */
double rung_recall(const rung_hit *hit, int32_t n, const char *const *want, int32_t n_want);
/* Fused ranking of n_lists rankings of items 0..n-1 (rank[l][i] from 1, 0 = absent): the sum of
 * 1 / (60 + rank) (Cormack, Clarke, Buettcher 2009). */
void rung_fuse(double *score, int32_t n, const int32_t *const *rank, int32_t n_lists);

/* A session: the searches of one rollout. */
typedef struct rung_search_session rung_search_session;
typedef struct rung_search_tally {
    int32_t n_issued, n_found, n_distinct; /* queries, those that found something, different ones */
} rung_search_tally;
/* x is borrowed. n_max searches, 0 = 4; k passages shown, 0 = 3. */
rung_status rung_search_session_new(rung_search_session **out, rung_index *x, int32_t n_max,
                                    int32_t k, rung_rank by, rung_error *err);
void rung_search_session_free(rung_search_session *t);
/* Appends what the policy is shown: "[1] Title (id): passage" a line each, "(nothing found)", or
 * "limit reached". */
rung_status rung_search_session_query(rung_buf *observation, rung_search_session *t,
                                      const char *query, rung_error *err);
rung_search_tally rung_search_session_tally(const rung_search_session *t);

/* ---- answers, as SQuAD's and HotpotQA's published evaluations take them */

/* Small letters, punctuation out, the words a, an and the out, blanks single. ASCII, as published;
 * other characters stay as they are. */
void rung_qa_normal(rung_buf *out, const char *text);
typedef struct rung_qa {
    bool em; /* equal when normalised */
    double f1, precision,
        recall; /* over the bags of words; yes, no and noanswer only match whole */
} rung_qa;
/* The best of several references (by EM, then F1). false: no memory. */
bool rung_qa_score(rung_qa *out, const char *const *gold, int32_t n_gold, const char *answer);

#ifdef __cplusplus
}
#endif
#endif
