/* The table of formats. */
#include "format/row.h"
#include <string.h>

#define ID     RUNG_CAN_ID
#define ANSWER RUNG_CAN_ANSWER
#define GOLD   (RUNG_CAN_ANSWER | RUNG_CAN_SOLUTION)
#define WHO    RUNG_CAN_GENERATOR
#define END    RUNG_CAN_OUTCOME
#define STEPS  RUNG_CAN_STEPS
#define TREE   RUNG_CAN_TREE
#define HARD   RUNG_CAN_HARD
#define THREE  (RUNG_CAN_HARD | RUNG_CAN_NEUTRAL | RUNG_CAN_PARTIAL)
#define SOFT   RUNG_CAN_SOFT
#define PART   RUNG_CAN_PARTIAL
#define FIRST  RUNG_CAN_INDEX
#define JUDGE  RUNG_CAN_LABELER
#define BLANK  (RUNG_CAN_NO_TEXT | RUNG_CAN_NO_QUESTION)
#define MANY   RUNG_CAN_REPEAT_ID
#define ALL                                                                                        \
    (ID | MANY | GOLD | WHO | END | STEPS | TREE | THREE | SOFT | JUDGE | BLANK | RUNG_CAN_KEYS)

/* name, what it can carry, source of its labels, help */
#define FORMATS(X)                                                                                 \
    X(jsonl, ALL, "human", "rung's own form, which holds everything")                              \
    X(processbench, ID | WHO | END | STEPS | FIRST, "human", "first wrong step from 0, -1 none")   \
    X(prm800k, GOLD | STEPS | TREE | THREE | JUDGE, "human",                                       \
      "phases 1 and 2: a path with the other candidates, rated -1, 0, 1")                          \
    X(math_shepherd, STEPS | HARD, "mc", "steps closed by a tag, labels + and - in its place")     \
    X(math_aps, ID | ANSWER | STEPS | TREE | SOFT | PART, "mc",                                    \
      "OmegaPRM's prefixes with Monte-Carlo values")                                               \
    X(math_aps_tree, ID | ANSWER | STEPS | TREE | SOFT | PART, "mc", "the same as a tree")         \
    X(openr, STEPS | HARD | SOFT, "mc", "steps joined by a tag, a list of + and -")                \
    X(trl, STEPS | HARD, "human", "stepwise supervision: prompt, completions, labels")             \
    X(tag, STEPS | HARD | SOFT | RUNG_CAN_NO_QUESTION, "human",                                    \
      "placeholder token behind each step, a list of +, - or values")                              \
    X(prmbench, ID | STEPS | HARD, "human", "wrong steps from 1, all others right")                \
    X(bigbench_mistake, ANSWER | STEPS | FIRST | END, "human", "first mistake from 0, null none")  \
    X(mr_gsm8k, ID | GOLD | END | STEPS | FIRST, "human", "first wrong step from 1")               \
    X(mr_ben, ID | MANY | RUNG_CAN_MEMBERS | ANSWER | WHO | STEPS | FIRST, "human",                \
      "first wrong step from 1, \"N/A\" none")                                                     \
    X(scan, STEPS | SOFT, "mc", "question, steps, scores")                                         \
    X(fover, ID | STEPS | HARD | PART, "formal", "true = the step is right, null = not judged")    \
    X(agentprocessbench, END | STEPS | THREE, "human", "messages, labels by message number")       \
    X(potato, ID | MANY | STEPS | THREE | SOFT | JUDGE | BLANK, "human",                           \
      "labels by step number, without texts")                                                      \
    X(gsm8k, GOLD, "", "problems: question, answer with #### n")                                   \
    X(math500, ID | GOLD | RUNG_CAN_KEYS, "", "problems of MATH: problem, solution, answer")       \
    X(verl, ANSWER, "", "rows of verl's parquet as JSON lines")                                    \
    X(lm_eval, ID | MANY | GOLD | END | STEPS | TREE, "", "samples of lm-evaluation-harness")      \
    X(humaneval, ID | ANSWER | RUNG_CAN_KEYS, "", "programs: prompt, entry_point, test")           \
    X(mbpp, ID | ANSWER | RUNG_CAN_KEYS, "", "programs: text, code, test_list")                    \
    X(spider, ANSWER | RUNG_CAN_KEYS, "", "queries: db_id, question, query")

static const rung_format formats[] = {
#define X(name, can, source, help) {#name, help, can, name##_read, name##_write, source},
    FORMATS(X)
#undef X
};
enum { N_FORMATS = sizeof formats / sizeof *formats };

const rung_format *rung_format_at(size_t i) {
    return i < N_FORMATS ? &formats[i] : NULL;
}

const rung_format *rung_format_find(const char *name) {
    for (size_t i = 0; name && i < N_FORMATS; i++)
        if (strcmp(formats[i].name, name) == 0) return &formats[i];
    return NULL;
}

const char *rung_format_name(const rung_format *f) {
    return f->name;
}

const char *rung_format_help(const rung_format *f) {
    return f->help;
}

unsigned rung_format_can_carry(const rung_format *f) {
    return f->can;
}

const char *rung_format_source(const rung_format *f) {
    return f->source;
}
