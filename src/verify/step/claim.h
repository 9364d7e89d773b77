/* Inside of the step claims: tokens of prose with arithmetic in it, sides, exact values. */
#ifndef RUNG_SRC_VERIFY_STEP_CLAIM_H
#define RUNG_SRC_VERIFY_STEP_CLAIM_H
#include "rung/step.h"
#include "verify/exact.h"

enum {
    SIDE_MAX = 192,    /* tokens of one side; longer ones are no claims */
    DIGITS_MAX = 1000, /* of one number */
    UNIT_WORDS_MAX = 5 /* words behind a number that still belong to it */
};

typedef enum ctok_kind {
    C_NUM,   /* digits text[begin, end) with commas; or value num/den of a glyph or word */
    C_OP,    /* + - * / ^ */
    C_OPEN,  /* ( */
    C_CLOSE, /* ) */
    C_REL,   /* op: '=' '~' '<' 'l' '>' 'g' '!' 'i' ("is") */
    C_OF,
    C_PERCENT,
    C_VAR,  /* a letter with or without an index, a LaTeX letter */
    C_FUNC, /* a LaTeX command with a value that is none of a number's: \sqrt, \pi */
    C_WORD,
    C_BREAK /* nothing goes on over it */
} ctok_kind;

typedef struct ctok {
    uint8_t kind;
    char op;           /* C_OP, C_REL */
    bool word;         /* an operator written as a word: a mere word where no operand follows */
    bool glued;        /* no blank before it */
    bool measure;      /* C_WORD: a unit of measure or a number word (hours, dozen) */
    bool stop;         /* C_WORD: never a unit (and, so, has) */
    bool mixed;        /* C_NUM: "1 1/2" */
    uint16_t n_frac;   /* C_NUM: digits behind the point */
    uint32_t num, den; /* den > 0: value of a glyph or a word */
    int32_t begin, end;
} ctok;

typedef struct ctoks {
    ctok *t;
    size_t n, cap;
    bool failed;
} ctoks;
/* Appends the tokens of text[begin, end). Marks << >> are left out: skip_marks. */
void claim_lex(ctoks *out, const char *text, size_t begin, size_t end, bool skip_marks);

/* One side of a relation: what counts of its tokens, in order. */
typedef struct side {
    uint16_t tok[SIDE_MAX]; /* index relative to `first`; implicit products are SIDE_TIMES */
    uint16_t n;
    size_t first, end; /* tokens [first, end) */
    int32_t n_ops;
    bool letters, percent, measure, mixed;
    bool words;        /* a unit stands in it */
    bool of_words;     /* "1/3 of the class": a share of nobody knows what */
    bool of;           /* "20% of 50" */
    bool two_readings; /* 25 / 1/3 is 25/3 or 75; 10% of 400 + 20 */
} side;
enum { SIDE_TIMES = 0xffff };

typedef enum side_value { SIDE_OK, SIDE_UNREAD, SIDE_BY_ZERO, SIDE_LARGE } side_value;
/* The exact value; out is initialised by the caller. */
side_value side_eval(fmpq_t out, const side *s, const ctok *t, const char *text);
/* Fills verdict, rule, reason and value of a claim between numbers. */
void claim_decide(rung_step_claim *c, const side *left, const side *right, char relation,
                  const ctok *t, const char *text, bool strict);
#endif
