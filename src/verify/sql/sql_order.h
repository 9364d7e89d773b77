/* How a reference orders its rows. Internal header. */
#ifndef RUNG_SRC_VERIFY_SQL_ORDER_H
#define RUNG_SRC_VERIFY_SQL_ORDER_H
#include "verify/sql/sql_lex.h"

enum { ORDER_TERMS_MAX = 8 };
typedef struct sql_order {
    bool ordered; /* a top-level ORDER BY */
    int32_t n_terms;
    /* The query whose rows are gold's with the terms' values behind them, and without gold's LIMIT
     * (all). term k stands in column at[k]. NULL: the terms cannot be told from the rows. */
    char *keys, *all;
    int32_t at[ORDER_TERMS_MAX];
    int64_t limit, offset; /* -1: none, or not a plain number */
} sql_order;
/* gold: its result, for the names of its columns; strings in a. */
rung_status sql_order_read(sql_order *out, rung_arena *a, const char *sql,
                           const rung_sql_result *gold, rung_error *err);
#endif
