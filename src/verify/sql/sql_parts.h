/* A query in the parts that Spider's evaluation compares. Internal header. The grammar is in
 * docs/verifiers.md; what it does not hold is "not covered", never a guess. */
#ifndef RUNG_SRC_VERIFY_SQL_PARTS_H
#define RUNG_SRC_VERIFY_SQL_PARTS_H
#include "rung/sql.h"

enum {
    PARTS_ITEMS = 64,
    PARTS_TABLES = 16,
    PARTS_CONDS = 32,
    PARTS_GROUPS = 16,
    PARTS_ORDERS = 16,
    PARTS_DEPTH = 12,
    COL_NONE = -1,
    COL_STAR = 0
};

/* ---- the names of a database: column 0 is *, the others from 1 on */
typedef struct parts_column {
    const char *name; /* in small letters */
    int32_t table;
    int32_t key; /* the column that stands for all that foreign keys tie to this one; itself */
} parts_column;
typedef struct parts_schema {
    const char **table;
    parts_column *column;
    int32_t n_tables, n_columns;
} parts_schema;
rung_status parts_schema_read(parts_schema *out, rung_arena *a, rung_sql *s, const rung_sql_db *db,
                              rung_error *err);

/* ---- a query */
typedef enum { AGG_NONE = 0, AGG_MAX, AGG_MIN, AGG_COUNT, AGG_SUM, AGG_AVG } parts_agg;
typedef enum {
    OP_NONE = 0,
    OP_BETWEEN,
    OP_EQ,
    OP_GT,
    OP_LT,
    OP_GE,
    OP_LE,
    OP_NE,
    OP_IN,
    OP_LIKE,
    OP_IS
} parts_op;
typedef struct parts_query parts_query;
typedef struct parts_col {
    parts_agg agg;
    int32_t col;
    bool distinct;
} parts_col;
typedef struct parts_unit { /* a, or a op b */
    char op;                /* 0, + - * / */
    parts_col a, b;
} parts_unit;
typedef enum { VALUE_NONE = 0, VALUE_TEXT, VALUE_NUMBER, VALUE_COL, VALUE_QUERY } parts_kind;
typedef struct parts_value {
    parts_kind kind;
    const char *p; /* of a text: with its quotes; of a list: all of it */
    int32_t n;
    double number;
    parts_col col;
    parts_query *query;
} parts_value;
typedef struct parts_cond {
    bool is_not, is_or; /* is_or: joined to the one before it by OR */
    parts_op op;
    parts_unit unit;
    parts_value v1, v2;
} parts_cond;
typedef struct parts_conds {
    parts_cond c[PARTS_CONDS];
    int32_t n;
} parts_conds;
typedef struct parts_item {
    parts_agg agg;
    parts_unit unit;
} parts_item;
struct parts_query {
    bool distinct;
    parts_item item[PARTS_ITEMS];
    int32_t table[PARTS_TABLES]; /* -1: a query in brackets */
    parts_query *table_query[PARTS_TABLES];
    parts_conds on, where, having;
    parts_col group[PARTS_GROUPS];
    parts_unit order[PARTS_ORDERS];
    int32_t n_items, n_tables, n_groups, n_orders;
    bool desc, has_limit;
    double limit;
    parts_query *intersect, *unite, *except;
};

/* false: why says what is not covered, or which name the database has not. E_NOMEM in *st. */
bool parts_parse(parts_query **out, rung_arena *a, const parts_schema *s, const char *sql,
                 char why[160]);
#endif
