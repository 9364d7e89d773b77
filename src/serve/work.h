/* Inside of a worker: requests under way on one engine, which all of them share. Every request is
 * a number of parts (samples, readings, searches, scores); when the last one is in, its reply is
 * whole. Nothing here may end the worker for the sake of one request. */
#ifndef RUNG_SRC_SERVE_WORK_H
#define RUNG_SRC_SERVE_WORK_H
#include "serve/serve_ask.h"
#include "serve/serve_pipe.h"

typedef struct work work;
typedef struct work_ask work_ask;

/* A continuation as it is known so far: borrowed from the engine, or kept in the arena. */
typedef struct work_text {
    const char *text;
    int32_t n_bytes, n_tok;
    int32_t n_end; /* 1: tok, logprob and the likeliest have one more, which ended it */
    const int32_t *tok;
    const float *logprob;
    const int32_t *top_tok; /* [n_tok][n_top] or NULL */
    const float *top_logprob;
} work_text;

typedef struct work_choice {
    int32_t index;
    bool begun, done, echoed; /* streamed: its first chunk is out; whole; its prompt is out */
    work_text t;              /* when done */
    const char *finish;
    rung_search_answer answer;    /* of a search; its strings are in the arena */
    int32_t *end, n_end, cap_end; /* bytes of the text up to the end of each token */
    int32_t n_sent, n_tok_sent;
} work_choice;

typedef struct work_spans { /* steps of a text: bytes [2 n] of it */
    int32_t n, cap, *at;
} work_spans;

typedef struct work_gen { /* samples of one prompt */
    rung_taker taker;
    work_ask *a;
    int32_t prompt;
    bool counted;
} work_gen;

typedef struct work_read { /* the prompt itself, for echo with logprobs */
    rung_taker taker;      /* take is NULL: readings come by on_eval */
    work_ask *a;
    int32_t *tok, n_tok;
    const float *logprob, *top_logprob;
    const int32_t *top_tok;
} work_read;

typedef struct work_find { /* a search */
    work_ask *a;
    rung_search_live *live;
    int32_t choice;
    rung_tree tree; /* as its events told it; when the tree was asked for */
    int32_t cap;
    char id[48];
} work_find;

struct work_ask {
    work_ask *next;
    work *w;
    uint64_t id;
    rung_arena *arena;
    serve_ask ask;
    char name[40]; /* chatcmpl-... */
    int64_t created;
    double t0, deadline;
    bool head_sent, cancelled, stopped, failed, scores, whole, told; /* told: its reply is out */
    int status;
    rung_error why;
    int32_t n_left, n_choices, n_gens, n_reads, n_finds;
    work_choice *choice;
    work_gen *gen;
    work_read *read;
    work_find *find;
    int64_t *live;    /* of the scorer, for each text to be scored; -1 none */
    work_spans *span; /* [n_scored] */
    bool late;        /* get_reward: its time was over before it was scored */
    serve_cost cost;
    rung_search_ledger ledger;
    uint64_t seed;
};

struct work {
    const rung_serve_work_opts *o;
    serve_pipe pipe;
    rung_engine *e;
    const rung_model *m; /* NULL: remote */
    rung_scorer *scorer;
    work_ask *first;
    int32_t n, n_rounds; /* rounds since somebody began to wait for scores */
    bool gone;           /* the server is */
    uint64_t seed, n_begun;
    double gauge_t;
    rung_buf out; /* scratch of replies */
};

/* ---- work.c */
void work_send(work_ask *a, const char *data, size_t n); /* of the reply; the head goes before */
/* The request cannot be answered: what is under way is given up. status: of HTTP. */
void work_fail(work_ask *a, int status, const rung_error *why);
void work_part_done(work_ask *a); /* one part less; after the last one the reply is finished */
int work_status_of(rung_status st);
void work_give_up(work_ask *a); /* cancels what is under way */

/* ---- work_text.c */
rung_status work_begin_text(work_ask *a, rung_error *err);
rung_status work_on_token(void *ud, const rung_gen_out *o, rung_error *err);
rung_status work_on_eval(void *ud, const rung_eval_out *o, rung_error *err);
rung_status work_keep(work_choice *c, work_ask *a, const work_text *t, rung_error *err);

/* ---- work_search.c */
rung_status work_begin_search(work_ask *a, rung_error *err);
void work_search_json(rung_buf *b, const work_ask *a, const work_choice *c);

/* ---- work_reply.c: shapes */
/* A piece of a choice that is under way; last: it ends here. */
void work_chunk(work_ask *a, work_choice *c, const work_text *t, bool last);
void work_finish_text(work_ask *a); /* the whole reply, or the end of the stream */

/* ---- work_score.c */
rung_status work_begin_score(work_ask *a, rung_error *err);
void work_finish_score(work_ask *a); /* its scores are known */
void work_drop_score(work_ask *a);
/* ---- work_reward.c: the reply of /get_reward, appended to b */
rung_status work_reward_body(rung_buf *b, work_ask *a, rung_error *err);

/* ---- work_tokens.c: answers at once */
rung_status work_tokens(work_ask *a, rung_error *err);

/* ---- work_store.c: what is kept. path: what follows the route's */
rung_status work_read_store(rung_buf *b, serve_kind kind, const char *path, size_t n, rung_arena *a,
                            const char *store, rung_error *err);

/* ---- serve_error.c */
void serve_error_json(rung_buf *b, int status, const char *code, const char *message,
                      const char *hint);
const char *serve_code_of(int status);
#endif
