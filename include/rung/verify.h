/* rung/verify.h: an answer -> verdict. A table of verifiers; each row: extract, canonical key,
 * check. */
#ifndef RUNG_VERIFY_H
#define RUNG_VERIFY_H
#include "rung/store.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Extraction (search.md 2.14): tries the rules in order and says which fired. */
enum { RUNG_ANSWER_MAX = 8192 }; /* of a program; other answers: 1,023 bytes */
typedef struct rung_answer {
    char text[RUNG_ANSWER_MAX]; /* "" where the rule fired on what is too long */
    const char *rule;           /* "gsm8k" "minerva" "boxed" "phrase" "number" "" = none */
    bool flexible;              /* only the last-number rule fired */
} rung_answer;
typedef struct rung_check {
    rung_verdict verdict;
    const char *rule;   /* "string" "rational" "percent" ... */
    const char *reason; /* why unknown; "" */
} rung_check;
typedef struct rung_verifier {
    const char *name, *help, *version;
    void (*extract)(rung_answer *out, const char *text, size_t n); /* from a whole trace */
    void (*key)(char key[128],
                const char *answer); /* equal key <=> same class; "" when there is no answer */
    void (*check)(rung_check *out, const char *gold,
                  const char *answer); /* answer "" -> UNKNOWN, reason "no answer" */
    /* For answers that mean something only beside what the problem stands on (a database, say):
     * the same two with the problem's meta, a JSON object. NULL: key and check say it all. */
    void (*key_in)(char key[128], const char *meta, const char *answer);
    void (*check_in)(rung_check *out, const char *meta, const char *gold, const char *answer);
} rung_verifier;
/* key_in and check_in where the row has them, key and check where it has not. */
void rung_verifier_key(char key[128], const rung_verifier *v, const char *meta, const char *answer);
void rung_verifier_check(rung_check *out, const rung_verifier *v, const char *meta,
                         const char *gold, const char *answer);
const rung_verifier *rung_verifier_at(size_t i); /* NULL past the end: walk the table */
const rung_verifier *rung_verifier_find(const char *name);

/* "math" with options. The row of the table is the same with NULL. */
typedef struct rung_math_opts {
    size_t struct_size; /* RUNG_MATH_OPTS_INIT fills it */
    bool rounded; /* the problem asks for a rounded decimal: an answer within half a unit of the
                     reference's last digit is correct, rule "rounded" */
} rung_math_opts;
#define RUNG_MATH_OPTS_INIT                                                                        \
    { .struct_size = sizeof(rung_math_opts) }
void rung_math_check(rung_check *out, const char *gold, const char *answer,
                     const rung_math_opts *opts);
/* How a pair was read and what decided it, in lines of text; rung_free() it. NULL: no memory. */
char *rung_math_explain(const char *gold, const char *answer);

/* Exact rationals behind "math": "1,234" "$3.50" "50%" "3/4" "1 1/2" ".5" "-7.00" "\frac{3}{4}" "12
 * apples". false: not a number. */
typedef struct rung_rational {
    char num[80], den[80];
} rung_rational; /* decimal digits, reduced, den > 0, sign in num */
bool rung_rational_parse(rung_rational *out, const char *text, bool *had_percent);

#ifdef __cplusplus
}
#endif
#endif
