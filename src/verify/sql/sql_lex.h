/* SQL as tokens. Total: any bytes are a list of tokens. Internal header. */
#ifndef RUNG_SRC_VERIFY_SQL_LEX_H
#define RUNG_SRC_VERIFY_SQL_LEX_H
#include "rung/sql.h"

typedef enum sql_kind {
    SQL_END = 0,
    SQL_WORD,   /* name, keyword or function */
    SQL_QUOTED, /* "name" `name` [name]; SQLite takes "text" for a string where no column fits */
    SQL_STRING, /* 'text' */
    SQL_BLOB,   /* x'00ff' */
    SQL_NUMBER,
    SQL_SIGN, /* one of ( ) , ; . + - * / % < > = ! | & ~ ?, or two: <> <= >= != == || << >> */
    SQL_BAD   /* any other byte, or a quote that is never closed */
} sql_kind;
typedef struct sql_token {
    sql_kind kind;
    const char *p;
    int32_t n;
    bool gap; /* blanks or a comment before it */
} sql_token;
/* The token at *p, which moves behind it. */
sql_token sql_next(const char **p, const char *end);
bool sql_is(const sql_token *t, const char *word); /* a word or sign, in any case */
#endif
