/* What a request asks for, read from its JSON and checked. Pure: the server reads it to refuse what
 * is wrong, the worker reads it again to do it. */
#ifndef RUNG_SRC_SERVE_ASK_H
#define RUNG_SRC_SERVE_ASK_H
#include "base/json.h"
#include "rung/serve.h"

typedef enum serve_kind {
    SERVE_CHAT = 0,
    SERVE_COMPLETION,
    SERVE_POOLING,
    SERVE_SCORE,
    SERVE_CLASSIFY,
    SERVE_GET_REWARD,
    SERVE_VERIFY,
    SERVE_COMPUTE_SCORE,
    SERVE_TOKENIZE,
    SERVE_DETOKENIZE,
    SERVE_TOKENIZER, /* nothing is asked */
    SERVE_TREE,      /* from here on nothing is asked but a path: what the store keeps */
    SERVE_RUNS,
    SERVE_SEARCHES,
    SERVE_REPORT,
    SERVE_N_KINDS
} serve_kind;

enum { SERVE_STOP_MAX = 16, SERVE_DEPTH_MAX = 64, SERVE_PROMPTS_MAX = 1024 };

typedef struct serve_prompt { /* text or tokens */
    const char *text;
    const int32_t *tok;
    int32_t n_tok;
} serve_prompt;

/* A text to be scored: a question and an answer that falls into steps, or text as it is. */
typedef struct serve_scored {
    const char *question; /* NULL: raw */
    const char *text;
    const int32_t *tok; /* get_reward: the reply's tokens, as the trainer has them; NULL */
    int32_t n_tok;
} serve_scored;

typedef struct serve_check { /* an answer to be verified */
    const char *gold, *text, *verifier;
    bool whole; /* text is a whole solution: the answer is taken out of it */
} serve_check;

typedef struct serve_ask {
    serve_kind kind;
    const char *model;
    /* chat: the conversation; completions: prompts */
    const char *system, *user, *prefix;
    rung_turn *turn;
    int32_t n_turns;
    serve_prompt *prompt;
    int32_t n_prompts;
    bool stream, include_usage, echo, keep_stop, logprobs;
    int32_t n_top, n, max_tok;
    rung_sampling sampling;
    const char *stop[SERVE_STOP_MAX];
    int32_t n_stop, stop_tok[RUNG_STOP_TOK_MAX], n_stop_tok;
    uint64_t seed;
    bool has_seed;
    /* the rung object; 0 and NULL: as the server has it */
    const char *method, *scorer, *aggregate, *select;
    int32_t search_n, width, depth, step_tok, lookahead;
    int64_t budget_tok;
    double deadline_s;
    bool events, tree, no_keep;
    /* scoring and verifying */
    serve_scored *scored;
    int32_t n_scored;
    serve_check *check;
    int32_t n_checks;
    bool one;           /* a single object was asked, not a list */
    bool activation;    /* classify: probabilities, not what is before them */
    bool steps;         /* get_reward: each step's score and span too */
    const char *credit; /* get_reward: how the steps are shaped; NULL: not asked for */
    /* tokenize: the conversation or prompt[0]; detokenize: prompt[0] */
    bool add_special, token_texts;
} serve_ask;

/* E_FORMAT: no JSON, too deep; E_INVAL: a field is wrong; E_LIMIT: above what the server allows;
 * E_NOT_FOUND: another model. Strings in a. */
rung_status serve_ask_read(serve_ask *out, rung_arena *a, serve_kind kind, const char *body,
                           size_t n, const rung_serve_caps *caps, rung_error *err);
/* The search that the request runs; "sample": none. */
const char *serve_ask_method(const serve_ask *a, const rung_serve_caps *caps);
/* serve_ask_more.c */
rung_status serve_ask_scoring(serve_ask *out, rung_arena *a, yyjson_val *root, rung_error *err);
rung_status serve_ask_tokens(serve_ask *out, rung_arena *a, yyjson_val *root, rung_error *err);
rung_status serve_ask_verify(serve_ask *out, rung_arena *a, yyjson_val *root, rung_error *err);
/* serve_ask.c: the conversation of "messages"; a list of tokens. */
rung_status serve_ask_messages(serve_ask *o, rung_arena *a, yyjson_val *root, rung_error *err);
rung_status serve_ask_token_list(serve_prompt *p, rung_arena *a, yyjson_val *list, rung_error *err);
/* Typed members; absent or null leaves *out. */
rung_status serve_get_text(const char **out, rung_arena *a, yyjson_val *obj, const char *key,
                           rung_error *err);
rung_status serve_get_bool(bool *out, yyjson_val *obj, const char *key, rung_error *err);
rung_status serve_get_int(int64_t *out, yyjson_val *obj, const char *key, int64_t lo, int64_t hi,
                          rung_error *err);
rung_status serve_get_real(double *out, yyjson_val *obj, const char *key, double lo, double hi,
                           rung_error *err);
/* A string value, or a list of text parts, as text; text with a NUL is refused. */
rung_status serve_text_of(const char **out, rung_arena *a, yyjson_val *v, const char *what,
                          rung_error *err);
#endif
