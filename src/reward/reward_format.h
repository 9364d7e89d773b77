/* What a reward model reads and where its score is: data, from YAML (docs/formats-reward.md).
 * Internal to reward/. All zero: the trace's own tokens after the prompt as in sampling, read at
 * each step's last token. */
#ifndef RUNG_SRC_REWARD_FORMAT_H
#define RUNG_SRC_REWARD_FORMAT_H
#include "base/yaml.h"
#include "rung/reward.h"

#define REWARD_LAYOUTS(X)                                                                          \
    X(CONTINUE, "continue", "the steps are the assistant's reply, a tag after each")               \
    X(TURNS, "turns", "each step is a user's turn; the reply would be the score")                  \
    X(ASK, "ask", "the steps stand in the user's turn; after each a question, then forgotten")
#define REWARD_READOUTS(X)                                                                         \
    X(HEAD, "head", "a head on the hidden state: one output by sigmoid, more by softmax")          \
    X(TOKENS, "tokens", "next-token probability of the positive against the negative tokens")      \
    X(LOG_RATIO, "log_ratio", "beta times the log-ratio of policy and reference over the step")
typedef enum {
#define X(id, name, help) REWARD_LAYOUT_##id,
    REWARD_LAYOUTS(X)
#undef X
} reward_layout_id;
typedef enum {
#define X(id, name, help) REWARD_READOUT_##id,
    REWARD_READOUTS(X)
#undef X
} reward_readout_id;

enum { REWARD_WORDS_MAX = 8 };
typedef struct reward_words {
    const char *word[REWARD_WORDS_MAX];
    int32_t n;
} reward_words;

typedef struct reward_format {
    const char *name, *help;
    const char *chat; /* NULL the model's own template, "raw", a name or a template's text */
    int32_t layout;   /* reward_layout_id */
    const char *system;
    const char *prompt;  /* with {question}; NULL = "{question}" */
    const char *suffix;  /* after it */
    const char *step;    /* with {step}, may have {k}, its number from 1; NULL = "{step}" */
    const char *between; /* before every step but the first */
    bool trim;           /* white space at a step's ends does not count */
    int32_t tokens;      /* 0: the trace's own where they spell its text; 1: from the text */
    const char *tag;     /* NULL or "" none */
    int32_t tag_tokens;  /* 0: a token of its own; 1: tokenised together with the step's text */
    bool tag_first;      /* it also stands before the first step */
    bool read_before_tag;
    const char *ask;   /* ask: what stands after the steps so far; {k} */
    const char *reply; /* turns: what the assistant said to earlier steps; ask: how it begins */
    int32_t score;     /* reward_readout_id */
    reward_words positive, negative;
    int64_t class_number; /* of a head with several outputs */
    double beta;
    bool single;            /* log-ratio of the step alone, not of all up to it */
    bool plain;             /* log-ratio as it is, not through a sigmoid */
    int32_t aggregate;      /* rung_aggregate_id */
    reward_words head;      /* the published head: tensors NAME.weight, NAME.bias */
    const char *activation; /* between two layers: relu, tanh or none */
} reward_format;

/* A format with the document its strings live in. */
typedef struct reward_format_doc {
    reward_format format;
    rung_yaml *yaml;
} reward_format_doc;
/* E_FORMAT with file:line:column for what does not fit together. clear() whatever the status. */
rung_status reward_format_parse(reward_format_doc *out, const char *text, size_t n,
                                const char *name, rung_error *err);
/* A row of the table of formats, or a YAML file. E_NOT_FOUND with the nearest name. */
rung_status reward_format_find(reward_format_doc *out, const char *name_or_path, rung_error *err);
void reward_format_clear(reward_format_doc *d);
/* As YAML with every key that is not at its default: equal formats, equal text. with_name: its name
 * and help, too. */
void reward_format_print(rung_buf *b, const reward_format *f, bool with_name);
/* The nth built-in format's YAML, comments and all; NULL past the end. */
const char *reward_format_text(size_t i);

/* t with {question}, {step} (n bytes) and {k} filled in. NULL t: `dflt`. */
void reward_expand(rung_buf *b, const char *t, const char *question, const char *step, size_t n,
                   int32_t k);
#endif
