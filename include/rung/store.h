/* rung/store.h: the records. SQLite in WAL mode; many readers, one writer (others wait up to 60 s).
 *
 * Every *_put is keyed so that a repeat is free: an existing row is kept and its id returned
 * (*is_new = false). Outside rung_store_begin/commit each put is its own transaction. Rows handed
 * out by iterators are borrowed until the next call on that iterator. One handle per thread. */
#ifndef RUNG_STORE_H
#define RUNG_STORE_H
#include "rung/base.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef enum rung_verdict {
    RUNG_VERDICT_UNKNOWN = 0,
    RUNG_VERDICT_CORRECT = 1,
    RUNG_VERDICT_WRONG = 2
} rung_verdict;
const char *rung_verdict_name(rung_verdict v); /* "unknown" "correct" "wrong" */

typedef struct rung_store rung_store;
typedef enum { RUNG_STORE_CREATE = 1, RUNG_STORE_READ_ONLY = 2 } rung_store_flags;
rung_status rung_store_open(rung_store **out, const char *path, int flags, rung_error *err);
void rung_store_close(rung_store *s);
/* Transactions nest by counting; the outermost commit writes. An inner rollback dooms the whole:
 * the outermost commit then rolls back and returns E_STORE. A put that fails inside undoes itself
 * only, except that a full disk may undo the whole batch: every later call then fails too. */
rung_status rung_store_begin(rung_store *s, rung_error *err);
rung_status rung_store_commit(rung_store *s, rung_error *err);
void rung_store_rollback(rung_store *s);
/* llama.cpp's version for the `versions` of later runs (the store cannot ask the model layer). */
void rung_store_set_llama(rung_store *s, const char *version);

/* run: one stage with one configuration. The same (kind, config_hash) gives the same id back: that
 * is how work resumes. */
typedef struct rung_run {
    int64_t id;
    const char
        *name; /* unique when not NULL or "": how later stages and flags refer to it ("pool") */
    const char *kind;     /* "trace.sample", "label.mc", ... */
    const char *config;   /* resolved options as JSON, one object */
    char config_hash[33]; /* filled by run_begin when empty: hash of kind + config + seed */
    uint64_t seed;
    const char *versions, *machine;  /* JSON; NULL: filled by the store (rung, llama, CPU) */
    int64_t started_ms, finished_ms; /* 0 = not finished */
    int64_t tokens;                  /* spent by this run */
    double wall_s;
} rung_run;
rung_status rung_run_begin(rung_store *s, rung_run *run,
                           rung_error *err); /* in: kind, config, seed; out: id and the rest,
                                                strings of the row live until the store closes */
/* By name; strings in a. E_NOT_FOUND with the nearest name as hint. A name that is already another
 * (kind, config)'s: run_begin gives E_INVAL. */
rung_status rung_run_find(rung_run *out, rung_arena *a, rung_store *s, const char *name,
                          rung_error *err);
/* All runs, oldest first: *out[*n] and its strings in a. */
rung_status rung_run_list(rung_run **out, int64_t *n, rung_arena *a, rung_store *s,
                          rung_error *err);
rung_status rung_run_spend(rung_store *s, int64_t run_id, int64_t tokens, double wall_s,
                           rung_error *err); /* adds */
rung_status rung_run_finish(rung_store *s, int64_t run_id, rung_error *err);

typedef struct rung_problem {
    int64_t id;
    const char *set;   /* "gsm8k", "total", ... */
    const char *split; /* "train", "val", "test" */
    const char *key;   /* unique within set */
    const char *question;
    const char *answer;   /* reference answer as text; "" when there is none */
    const char *solution; /* reference solution; "" when there is none */
    const char *world;    /* "" or the generated world whose checker knows every step */
    const char *meta;     /* JSON object: what a world's checker needs, level, subject, ... */
    const char *verifier; /* name of a rung_verifier row: "math", ... */
} rung_problem;
rung_status rung_problem_put(rung_store *s, rung_problem *p, bool *is_new,
                             rung_error *err); /* fills p->id */
rung_status rung_problem_get(rung_store *s, rung_problem *out, rung_arena *a, int64_t id,
                             rung_error *err); /* strings in a */
rung_status rung_problem_by_key(int64_t *id /* 0: no such key */, rung_store *s, const char *set,
                                const char *key, rung_error *err);

/* A step of a trace. bytes and tokens are spans of the trace's own text and tokens: [begin, end),
 * contiguous, covering all. */
typedef struct rung_step {
    int64_t node; /* id of the node this step ends at */
    int32_t byte_begin, byte_end, tok_begin,
        tok_end; /* tok_* are 0 when the trace has no tokens (foreign traces) */
} rung_step;

typedef struct rung_trace {
    int64_t id, run, problem;
    int32_t i;             /* which sample of the problem in this run */
    const char *generator; /* model name */
    const char *text;
    int32_t n_bytes; /* what the policy wrote, without the prompt */
    const int32_t *tok;
    const float *logprob;
    int32_t n_tok;             /* sampled tokens, ln p under the model at T = 1; may be empty */
    const float *logprob_draw; /* ln p under what they were drawn from; NULL not known */
    const rung_step *step;
    int32_t n_steps;
    const char *answer;     /* extracted; "" none */
    const char *answer_key; /* canonical: equal key <=> same class; "" none */
    rung_verdict verdict;
    const char *verifier, *rule,
        *reason;                    /* who said so, which extraction rule fired, why unknown */
    const char *stop;               /* "eos" "length" "context" "delimiter" "given" */
    int32_t first_error;            /* exact index, -1 none, RUNG_FIRST_ERROR_UNKNOWN */
    const char *first_error_source; /* "truth" "human" "" */
    const char *decided_by;         /* of a trace just judged: the rule ("rational"); else NULL */
    int64_t judged_us;              /* and the time that took; 0 not known */
} rung_trace;
#define RUNG_FIRST_ERROR_UNKNOWN (-2)
/* in: all but id and step[].node; makes the nodes (shared with other traces of equal prefix text).
 */
rung_status rung_trace_put(rung_store *s, rung_trace *t, rung_step *step, bool *is_new,
                           rung_error *err);

typedef struct rung_node {
    int64_t id, problem, parent /* 0 = root */;
    int32_t depth;    /* 0 = first step */
    const char *text; /* this step's text */
    uint64_t path; /* hash of the texts from the first step: its address for draws, in any store */
} rung_node;
rung_status rung_node_get(rung_node *out, rung_arena *a, rung_store *s, int64_t id,
                          rung_error *err); /* strings in a */
/* The node of this step text below parent (0: a first step); made when there is none. Parent 0 and
 * no text: the bare problem (depth -1), so that rollouts from it have a place; no step's parent. */
rung_status rung_node_put(int64_t *id, rung_store *s, int64_t problem, int64_t parent,
                          const char *text, size_t n, rung_error *err);
/* Text of the whole prefix from the first step to this node, appended to b. */
rung_status rung_node_prefix(rung_buf *b, rung_store *s, int64_t node, rung_error *err);

/* What to iterate; zero or NULL fields do not filter. limit and skip count problems, in the order
 * of their ids, among those that match set, split and problem and - when traces are iterated, or
 * run, trace or generator is given - have at least one matching trace. An iterator takes the ids
 * when it is made and each row when it is asked for: the same handle (or another process) may put
 * rows meanwhile; rows added later are not seen. */
typedef struct rung_filter {
    const char *set, *split;
    int64_t run, problem, trace;
    int64_t limit; /* at most this many PROBLEMS (the first by id); 0 = all */
    int64_t skip;  /* leave out the first `skip` problems */
    const char *generator;
} rung_filter;
typedef struct rung_iter rung_iter;
rung_status rung_problem_iter(rung_iter **out, rung_store *s, const rung_filter *f,
                              rung_error *err); /* by id */
rung_status rung_problem_next(const rung_problem **row, rung_iter *it,
                              rung_error *err); /* OK, DONE or failure */
rung_status rung_trace_iter(rung_iter **out, rung_store *s, const rung_filter *f,
                            rung_error *err); /* by problem, run, i */
rung_status rung_trace_next(const rung_trace **row, rung_iter *it, rung_error *err);
void rung_iter_free(rung_iter *it);

typedef struct rung_rollout { /* UNIQUE(run, node, i) */
    int64_t id, run, node;    /* node: the prefix it continues */
    int32_t i;
    const char *text, *answer, *rule, *reason, *stop; /* text: the continuation */
    rung_verdict verdict;
    int32_t n_tok;
    double logprob;                    /* sum */
    const char *verifier, *decided_by; /* as in a trace; NULL: not known (before schema 5) */
    int64_t judged_us, at_ms;          /* 0: not known; at_ms 0 to rung_rollout_put: now */
} rung_rollout;
rung_status rung_rollout_put(rung_store *s, rung_rollout *r, bool *is_new, rung_error *err);
typedef struct rung_rollout_counts {
    int32_t n, n_correct, n_wrong, n_unknown;
    int64_t n_tok;
} rung_rollout_counts;
rung_status rung_rollout_count(rung_rollout_counts *out, rung_store *s, int64_t run, int64_t node,
                               rung_error *err);
/* Which i in [0,n_max) exist: sets have[i] = true. */
rung_status rung_rollout_have(bool *have, int32_t n_max, rung_store *s, int64_t run, int64_t node,
                              rung_error *err);

/* Rollouts of a prefix, by i; strings in a. */
rung_status rung_rollout_list(rung_rollout **out, int32_t *n, rung_arena *a, rung_store *s,
                              int64_t run, int64_t node, rung_error *err);

typedef struct rung_label {
    int64_t run, node;
    const char *source;      /* "mc" "truth" "human" "judge" ... */
    const char *labeler;     /* model or person */
    int32_t hard;            /* 0, 1, -1 none */
    double soft;             /* NaN none */
    int32_t n, c, n_unknown; /* n = known outcomes (correct + wrong), c = correct */
} rung_label;
rung_status rung_label_put(rung_store *s, const rung_label *l, bool *is_new,
                           rung_error *err); /* UNIQUE(run, node, source) */
/* found = false (and OK) when there is none. run 0: the newest run that has one of that source.
 * out->source is the caller's own string, out->labeler is "". */
rung_status rung_label_get(rung_label *out, bool *found, rung_store *s, int64_t run, int64_t node,
                           const char *source, rung_error *err);

/* All labels of a run, of one source or (NULL) of all, by node; strings in a. */
rung_status rung_label_list(rung_label **out, int64_t *n, rung_arena *a, rung_store *s, int64_t run,
                            const char *source, rung_error *err);

/* What a judge wrote about a trace, and the first error that it names: -1 none, RUNG_FIRST_ERROR_
 * UNKNOWN: no verdict could be read. UNIQUE(run, trace, i): vote i. */
typedef struct rung_critique {
    int64_t id, run, trace;
    int32_t i;
    const char *critic, *text;
    int32_t first_error;
    const char *meta; /* JSON object; NULL = {} */
} rung_critique;
rung_status rung_critique_put(rung_store *s, rung_critique *c, bool *is_new, rung_error *err);
/* Of a trace in a run (0: every run), by run and i; strings in a. */
rung_status rung_critique_list(rung_critique **out, int32_t *n, rung_arena *a, rung_store *s,
                               int64_t run, int64_t trace, rung_error *err);

/* score: of the prefix ending at node, by a model (a row of `model`). UNIQUE(node, model): the
 * first value stays. Values that are not finite are refused here (E_INVAL), as in labels (NaN there
 * means none); a metric's NaN is stored as NULL. */
rung_status rung_score_put(rung_store *s, int64_t node, int64_t model, double value,
                           rung_error *err);
rung_status rung_score_get(double *value, bool *found, rung_store *s, int64_t node, int64_t model,
                           rung_error *err);
rung_status rung_score_count(int64_t *n, rung_store *s, int64_t model, rung_error *err);

typedef struct rung_model_row {
    int64_t id;
    const char *name, *path, *hash, *kind /* policy|orm|prm|remote */, *meta;
} rung_model_row;
rung_status rung_model_put(rung_store *s, rung_model_row *m,
                           rung_error *err); /* UNIQUE(hash, kind); fills id */
rung_status rung_model_get(rung_model_row *out, rung_arena *a, rung_store *s, int64_t id,
                           rung_error *err);

rung_status rung_metric_put(rung_store *s, int64_t run, int64_t step, const char *name,
                            double value, rung_error *err);
rung_status rung_metric_iter(rung_iter **out, rung_store *s, int64_t run,
                             const char *name /* NULL all */, rung_error *err);
rung_status rung_metric_next(int64_t *step, const char **name, double *value, rung_iter *it,
                             rung_error *err);

/* result: a measured object (JSON) of a run, e.g. the last line of `bench answer --json`. claim
 * rows are results of kind "claim". UNIQUE(run, kind, text): put it in one transaction with
 * rung_run_finish, or a run that was killed between the two leaves a second row. */
rung_status rung_result_put(rung_store *s, int64_t run, const char *kind, const char *json,
                            rung_error *err);
rung_status rung_result_iter(rung_iter **out, rung_store *s, const char *kind,
                             rung_error *err); /* newest run first */
rung_status rung_result_next(int64_t *run, const char **json, rung_iter *it, rung_error *err);

/* search: the answer to one problem by a search, and the events that built its tree. The row and
 * its events are put together, or not at all. */
typedef struct rung_search_row {
    int64_t run, problem;
    const char *method;
    int32_t chosen; /* trace i of (run, problem); -1 none */
    const char *answer_key;
    rung_verdict verdict; /* of the chosen trace; WRONG when nothing was chosen: no answer */
    const char *outcome;  /* "correct" "wrong" "unknown" "no_answer" */
    int32_t n_traces, n_nodes;
    const char *ledger; /* JSON object: search.md 2.13 */
} rung_search_row;
typedef struct rung_search_event {
    const char *kind;     /* "node" "score" "keep" "prune" "done" "value" "choose" */
    int32_t node, parent; /* numbers inside the search; parent of "node" */
    double value;         /* NaN none */
    int32_t n;            /* of "node": 1 = scratch; of "value": visits */
    const char *text;     /* of "node": the step */
    int32_t n_bytes;
} rung_search_event;
rung_status rung_search_put(rung_store *s, const rung_search_row *row,
                            const rung_search_event *event, int32_t n_events, bool *is_new,
                            rung_error *err);
/* Rows of a run by problem; problem 0: all. Borrowed until the next call of the handle. */
rung_status rung_search_rows(rung_store *s, int64_t run, int64_t problem,
                             rung_status (*row)(void *ud, const rung_search_row *r,
                                                rung_error *err),
                             void *ud, rung_error *err);
rung_status rung_search_events(rung_store *s, int64_t run, int64_t problem,
                               rung_status (*event)(void *ud, const rung_search_event *e,
                                                    rung_error *err),
                               void *ud, rung_error *err);

rung_status rung_cache_put(rung_store *s, const char *key, const char *reply, size_t n,
                           rung_error *err);
rung_status rung_cache_get(rung_buf *reply, bool *found, rung_store *s, const char *key,
                           rung_error *err);

/* Integrity, orphans, counts, work left. Appends one JSON object; E_STORE when damaged, OK
 * otherwise (unfinished runs and nodes that nothing uses are reported, not damage). */
rung_status rung_store_check(rung_buf *json, rung_store *s, rung_error *err);
/* JSONL of every table: {"table":"problem",...columns...}; blobs as base64, text that is no UTF-8
 * as {"base64":...}. write: non-zero stops (E_CANCELLED). import into an empty or an equal store,
 * all or nothing; *n_rows (NULL allowed) = rows added. */
rung_status rung_store_export(rung_store *s, int (*write)(void *ud, const char *line, size_t n),
                              void *ud, rung_error *err);
rung_status rung_store_import(int64_t *n_rows, rung_store *s, const char *path, rung_error *err);
/* The sqlite3 handle, for reports that need a query of their own. */
void *rung_store_sqlite(rung_store *s);

#ifdef __cplusplus
}
#endif
#endif
