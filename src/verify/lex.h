/* Tokens of LaTeX mathematics and of the plain notation that models write beside it. */
#ifndef RUNG_SRC_VERIFY_LEX_H
#define RUNG_SRC_VERIFY_LEX_H
#include "verify/expr.h"

typedef enum tok_kind {
    T_END,
    T_NUM,   /* digits, frac, rep, exponent, mixed fraction */
    T_BASE,  /* digits of base op */
    T_VAR,   /* p, n: the name */
    T_ATOM,  /* op: X_PI, X_E, X_I, X_INF */
    T_TEXT,  /* p, n */
    T_UNIT,  /* p, n: words behind an operand */
    T_FN,    /* op: expr_fn */
    T_OPEN,  /* op: one of ( [ < { s (set) f (floor) c (ceiling) | */
    T_CLOSE, /* op: ) ] > } s f c | */
    T_BAR,
    T_COMMA,
    T_WORD_SEP, /* and, or */
    T_OP,       /* op: expr_kind */
    T_REL,      /* op: expr_rel */
    T_POW,
    T_SUB,
    T_FACT,
    T_DFACT,
    T_PERCENT,
    T_DEG,
    T_FRAC,
    T_BINOM,
    T_SQRT,
    T_SUM,
    T_PROD,
    T_BEGIN, /* of a matrix */
    T_FINISH,
    T_AMP,
    T_ROW,
    T_NONE, /* spacing */
    T_BAD   /* why: p */
} tok_kind;

typedef struct tok {
    tok_kind kind;
    uint8_t op;
    bool word;     /* a function written without a backslash */
    const char *p; /* name, words, reason */
    size_t n;
    size_t pos;
    /* T_NUM: digits[0, n) in the lexer's buffer */
    uint16_t frac, rep;
    int32_t exponent;
    bool has_exponent;
    size_t mixed_num, mixed_den; /* digits behind the first n; 0 none */
} tok;

typedef struct lexer {
    const char *text;
    size_t n, at;
    bool in_brackets;            /* "1,234" is two numbers there */
    bool after_operand;          /* words may be a unit */
    bool single;                 /* TeX's argument without braces: one digit or letter */
    char buf[EXPR_TEXT_MAX + 8]; /* digits of the last number */
    size_t n_buf;
} lexer;

void lex_next(tok *out, lexer *l);
/* The byte that the next token begins with, blanks skipped; NUL at the end. */
char lex_peek(lexer *l);
#endif
