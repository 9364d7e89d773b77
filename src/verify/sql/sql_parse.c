/* The parser of Spider's subset of SQL (its process_sql, described there; written anew). By
 * recursion on nested queries only, PARTS_DEPTH deep. */
#include "verify/sql/sql_lex.h"
#include "verify/sql/sql_parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ALIASES_MAX = 32, NAME_MAX_ = 128 };

typedef struct scope scope;
struct scope { /* the tables of a query that is being read */
    const scope *outer;
    parts_query *q;
    struct {
        char name[NAME_MAX_];
        int32_t table;
    } alias[ALIASES_MAX];
    int32_t n_aliases;
    struct {
        char name[NAME_MAX_];
        int32_t item;
    } as[PARTS_ITEMS]; /* names that the select list gives */
    int32_t n_as;
};

typedef struct parser {
    const parts_schema *schema;
    rung_arena *a;
    const char *p, *end;
    sql_token t; /* the next one */
    int depth;
    char *why;
} parser;

static bool fail(parser *ps, const char *what, const sql_token *t) {
    if (!ps->why[0]) {
        if (t && t->n > 0)
            snprintf(ps->why, 160, "%s: %.*s", what, t->n < 60 ? t->n : 60, t->p);
        else
            snprintf(ps->why, 160, "%s", what);
    }
    return false;
}

static void advance(parser *ps) {
    ps->t = sql_next(&ps->p, ps->end);
}

static bool at(const parser *ps, const char *word) {
    return sql_is(&ps->t, word);
}

static bool take(parser *ps, const char *word) {
    if (!at(ps, word)) return false;
    advance(ps);
    return true;
}

static bool need(parser *ps, const char *word) {
    return take(ps, word) || fail(ps, "not covered", &ps->t);
}

/* A name in small letters, its quotes off. */
static bool name_of(char out[NAME_MAX_], const sql_token *t) {
    const char *p = t->p;
    int32_t n = t->n;
    if (t->kind == SQL_QUOTED)
        p++, n -= 2;
    else if (t->kind != SQL_WORD)
        return false;
    if (n <= 0 || n >= NAME_MAX_) return false;
    for (int32_t i = 0; i < n; i++)
        out[i] = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] | 0x20) : p[i];
    out[n] = '\0';
    return true;
}

/* Words that end a list or begin a clause: never a name without AS before it. */
static bool reserved(const sql_token *t) {
    static const char *const words[] = {
        "select", "from", "where", "group",   "having", "order",  "limit", "intersect", "union",
        "except", "join", "on",    "as",      "and",    "or",     "not",   "between",   "in",
        "like",   "is",   "null",  "by",      "asc",    "desc",   "left",  "right",     "inner",
        "outer",  "full", "cross", "natural", "using",  "exists", "case",  "when",      "then",
        "else",   "end",  "cast",  "offset",  "all",    "with",   "values"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (sql_is(t, words[i])) return true;
    return false;
}

static parts_agg agg_of(const sql_token *t) {
    static const char *const names[] = {"", "max", "min", "count", "sum", "avg"};
    for (int i = 1; i < 6; i++)
        if (sql_is(t, names[i])) return (parts_agg)i;
    return AGG_NONE;
}

/* ---- names ---- */

static int32_t column_in(const parts_schema *s, int32_t table, const char *name) {
    for (int32_t c = 1; c < s->n_columns; c++)
        if (s->column[c].table == table && strcmp(s->column[c].name, name) == 0) return c;
    return COL_NONE;
}

static int32_t table_named(const parts_schema *s, const char *name) {
    for (int32_t i = 0; i < s->n_tables; i++)
        if (strcmp(s->table[i], name) == 0) return i;
    return -1;
}

static int32_t resolve_qualified(const parser *ps, const scope *sc, const char *alias,
                                 const char *name) {
    for (; sc; sc = sc->outer)
        for (int32_t i = 0; i < sc->n_aliases; i++)
            if (strcmp(sc->alias[i].name, alias) == 0)
                return column_in(ps->schema, sc->alias[i].table, name);
    return COL_NONE;
}

static int32_t resolve_plain(const parser *ps, const scope *sc, const char *name) {
    for (int32_t i = 0; i < sc->q->n_tables; i++) {
        int32_t c = sc->q->table[i] < 0 ? COL_NONE : column_in(ps->schema, sc->q->table[i], name);
        if (c != COL_NONE) return c;
    }
    return COL_NONE;
}

/* * | name | name.name */
static bool column(parser *ps, const scope *sc, int32_t *out) {
    char first[NAME_MAX_], second[NAME_MAX_];
    sql_token t = ps->t;
    if (take(ps, "*")) {
        *out = COL_STAR;
        return true;
    }
    if (reserved(&t) || !name_of(first, &t)) return fail(ps, "not covered", &t);
    advance(ps);
    if (take(ps, ".")) {
        t = ps->t;
        if (!name_of(second, &t)) return fail(ps, "not covered", &t);
        advance(ps);
        *out = resolve_qualified(ps, sc, first, second);
    } else {
        if (at(ps, "(")) return fail(ps, "not covered", &t);
        *out = resolve_plain(ps, sc, first);
    }
    return *out != COL_NONE || fail(ps, "no such column", &t);
}

/* [agg] ( [DISTINCT] column ) | [DISTINCT] column */
static bool col_unit(parser *ps, const scope *sc, parts_col *out) {
    *out = (parts_col){AGG_NONE, COL_NONE, false};
    const char *ahead = ps->p;
    sql_token after = sql_next(&ahead, ps->end);
    bool block = false;
    if (agg_of(&ps->t) && sql_is(&after, "(")) {
        out->agg = agg_of(&ps->t);
        advance(ps);
        block = take(ps, "(");
    } else {
        block = take(ps, "(");
    }
    out->distinct = take(ps, "distinct");
    if (!column(ps, sc, &out->col)) return false;
    return !block || need(ps, ")");
}

static bool unit_op(const parser *ps, char *op) {
    if (ps->t.kind != SQL_SIGN || ps->t.n != 1 || !strchr("+-*/", *ps->t.p)) return false;
    *op = *ps->t.p;
    return true;
}

/* The unit of a name that the select list gave; false: it is none. */
static bool named_unit(parser *ps, const scope *sc, parts_unit *out) {
    char name[NAME_MAX_];
    if (!name_of(name, &ps->t)) return false;
    for (int32_t i = 0; i < sc->n_as; i++) {
        const parts_item *it = &sc->q->item[sc->as[i].item];
        if (strcmp(sc->as[i].name, name) != 0) continue;
        if (it->agg && (it->unit.op || it->unit.a.agg)) return false;
        *out = it->unit;
        if (it->agg) out->a.agg = it->agg;
        advance(ps);
        return true;
    }
    return false;
}

/* col_unit [op col_unit], in brackets or not */
static bool val_unit(parser *ps, const scope *sc, parts_unit *out) {
    *out = (parts_unit){0, {AGG_NONE, COL_NONE, false}, {AGG_NONE, COL_NONE, false}};
    if (sc->n_as > 0 && named_unit(ps, sc, out)) return true;
    bool block = take(ps, "(");
    if (!col_unit(ps, sc, &out->a)) return false;
    if (unit_op(ps, &out->op)) {
        advance(ps);
        if (!col_unit(ps, sc, &out->b)) return false;
    }
    return !block || need(ps, ")");
}

/* ---- conditions ---- */

static bool query(parser *ps, const scope *outer, parts_query **out);

static bool number(parser *ps, parts_value *out) {
    char text[64];
    bool minus = take(ps, "-");
    if (!minus) (void)take(ps, "+");
    if (ps->t.kind != SQL_NUMBER || ps->t.n >= (int32_t)sizeof text)
        return fail(ps, "not covered", &ps->t);
    memcpy(text, ps->t.p, (size_t)ps->t.n);
    text[ps->t.n] = '\0';
    out->kind = VALUE_NUMBER;
    out->number = minus ? -strtod(text, NULL) : strtod(text, NULL);
    advance(ps);
    return true;
}

/* ( v, v, ... ): its values count as little as a single one's, so its text is enough. */
static bool list(parser *ps, parts_value *out) {
    out->kind = VALUE_TEXT;
    out->p = ps->t.p;
    for (;;) {
        if (!take(ps, "-")) (void)take(ps, "+");
        if (ps->t.kind != SQL_STRING && ps->t.kind != SQL_QUOTED && ps->t.kind != SQL_NUMBER &&
            !at(ps, "null"))
            return fail(ps, "not covered", &ps->t);
        out->n = (int32_t)(ps->t.p + ps->t.n - out->p);
        advance(ps);
        if (take(ps, ")")) return true;
        if (!need(ps, ",")) return false;
    }
}

static bool value(parser *ps, const scope *sc, parts_op op, parts_value *out) {
    *out = (parts_value){.kind = VALUE_NONE};
    if (take(ps, "(")) {
        if (at(ps, "select")) {
            out->kind = VALUE_QUERY;
            return query(ps, sc, &out->query) && need(ps, ")");
        }
        if (op == OP_IN) return list(ps, out);
        return value(ps, sc, OP_NONE, out) && need(ps, ")");
    }
    if (ps->t.kind == SQL_STRING || ps->t.kind == SQL_QUOTED) {
        out->kind = VALUE_TEXT;
        out->p = ps->t.p;
        out->n = ps->t.n;
        advance(ps);
        return true;
    }
    if (ps->t.kind == SQL_NUMBER || at(ps, "-") || at(ps, "+")) return number(ps, out);
    if (take(ps, "null")) {
        out->kind = VALUE_TEXT;
        out->p = "null";
        out->n = 4;
        return true;
    }
    out->kind = VALUE_COL;
    return col_unit(ps, sc, &out->col);
}

static parts_op op_of(const sql_token *t) {
    static const struct {
        const char *word;
        parts_op op;
    } ops[] = {{"between", OP_BETWEEN}, {"=", OP_EQ},  {"==", OP_EQ}, {">", OP_GT},  {"<", OP_LT},
               {">=", OP_GE},           {"<=", OP_LE}, {"!=", OP_NE}, {"<>", OP_NE}, {"in", OP_IN},
               {"like", OP_LIKE},       {"is", OP_IS}};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (sql_is(t, ops[i].word)) return ops[i].op;
    return OP_NONE;
}

static bool condition(parser *ps, const scope *sc, parts_cond *c) {
    if (at(ps, "not") || at(ps, "exists")) return fail(ps, "not covered", &ps->t);
    if (!val_unit(ps, sc, &c->unit)) return false;
    c->is_not = take(ps, "not");
    c->op = op_of(&ps->t);
    if (c->op == OP_NONE) return fail(ps, "not covered", &ps->t);
    advance(ps);
    if (c->op == OP_IS && take(ps, "not")) c->is_not = true;
    if (!value(ps, sc, c->op, &c->v1)) return false;
    if (c->op == OP_BETWEEN && !(need(ps, "and") && value(ps, sc, OP_NONE, &c->v2))) return false;
    char op;
    return !unit_op(ps, &op) || fail(ps, "not covered", &ps->t);
}

static bool conditions(parser *ps, const scope *sc, parts_conds *out) {
    bool is_or = false; /* a further ON is joined by AND */
    do {
        if (out->n == PARTS_CONDS) return fail(ps, "too many conditions", NULL);
        parts_cond *c = &out->c[out->n];
        memset(c, 0, sizeof *c);
        c->is_or = is_or;
        if (!condition(ps, sc, c)) return false;
        out->n++;
        is_or = at(ps, "or");
    } while (take(ps, "and") || take(ps, "or"));
    return true;
}

/* ---- clauses ---- */

static bool add_alias(parser *ps, scope *sc, const char *name, int32_t table) {
    if (sc->n_aliases == ALIASES_MAX) return fail(ps, "too many tables", NULL);
    snprintf(sc->alias[sc->n_aliases].name, NAME_MAX_, "%s", name);
    sc->alias[sc->n_aliases++].table = table;
    return true;
}

static bool table_unit(parser *ps, scope *sc) {
    char name[NAME_MAX_];
    parts_query *q = sc->q;
    if (q->n_tables == PARTS_TABLES) return fail(ps, "too many tables", NULL);
    int32_t *table = &q->table[q->n_tables];
    *table = -1;
    if (take(ps, "(")) {
        if (!at(ps, "select")) return fail(ps, "not covered", &ps->t);
        if (!query(ps, sc, &q->table_query[q->n_tables]) || !need(ps, ")")) return false;
    } else {
        sql_token t = ps->t;
        if (reserved(&t) || !name_of(name, &t)) return fail(ps, "not covered", &t);
        *table = table_named(ps->schema, name);
        if (*table < 0) return fail(ps, "no such table", &t);
        advance(ps);
        if (!add_alias(ps, sc, name, *table)) return false;
    }
    q->n_tables++;
    bool as = take(ps, "as");
    if (as || ((ps->t.kind == SQL_WORD || ps->t.kind == SQL_QUOTED) && !reserved(&ps->t))) {
        if (!name_of(name, &ps->t)) return fail(ps, "not covered", &ps->t);
        advance(ps);
        return add_alias(ps, sc, name, *table);
    }
    return true;
}

static bool from(parser *ps, scope *sc) {
    if (!need(ps, "from")) return false;
    do {
        if (!table_unit(ps, sc)) return false;
        if (take(ps, "on") && !conditions(ps, sc, &sc->q->on)) return false;
        if (take(ps, "inner") && !at(ps, "join")) return fail(ps, "not covered", &ps->t);
    } while (take(ps, "join"));
    return true;
}

static bool item(parser *ps, scope *sc, parts_item *it) {
    char name[NAME_MAX_];
    const char *ahead = ps->p;
    sql_token after = sql_next(&ahead, ps->end);
    it->agg = sql_is(&after, "(") ? agg_of(&ps->t) : AGG_NONE;
    if (it->agg) advance(ps);
    if (!val_unit(ps, sc, &it->unit)) return false;
    bool as = take(ps, "as");
    if (as || (ps->t.kind == SQL_WORD && !reserved(&ps->t))) {
        if (!name_of(name, &ps->t)) return fail(ps, "not covered", &ps->t);
        advance(ps);
        snprintf(sc->as[sc->n_as].name, NAME_MAX_, "%s", name);
        sc->as[sc->n_as++].item = sc->q->n_items;
    }
    return true;
}

static bool select_list(parser *ps, scope *sc) {
    int32_t n_as = 0;
    sc->q->distinct = take(ps, "distinct");
    do {
        if (sc->q->n_items == PARTS_ITEMS) return fail(ps, "too many columns", NULL);
        n_as = sc->n_as;
        sc->n_as = 0; /* a name is not known within its own list */
        memset(&sc->as[n_as], 0, sizeof sc->as[0]);
        scope plain = *sc;
        bool ok = item(ps, &plain, &sc->q->item[sc->q->n_items]);
        sc->n_as = n_as;
        if (!ok) return false;
        if (plain.n_as > 0) {
            sc->as[n_as] = plain.as[0];
            sc->n_as++;
        }
        sc->q->n_items++;
    } while (take(ps, ","));
    return true;
}

static bool group_by(parser *ps, const scope *sc) {
    parts_query *q = sc->q;
    if (!take(ps, "group")) return true;
    if (!need(ps, "by")) return false;
    do {
        if (q->n_groups == PARTS_GROUPS) return fail(ps, "too many columns", NULL);
        if (!col_unit(ps, sc, &q->group[q->n_groups])) return false;
        q->n_groups++;
    } while (take(ps, ","));
    return true;
}

static bool order_by(parser *ps, const scope *sc) {
    parts_query *q = sc->q;
    if (!take(ps, "order")) return true;
    if (!need(ps, "by")) return false;
    do {
        if (q->n_orders == PARTS_ORDERS) return fail(ps, "too many columns", NULL);
        if (!val_unit(ps, sc, &q->order[q->n_orders])) return false;
        q->n_orders++;
        if (take(ps, "desc"))
            q->desc = true; /* one direction for all: the last that is said */
        else if (take(ps, "asc"))
            q->desc = false;
    } while (take(ps, ","));
    return true;
}

static bool limit(parser *ps, parts_query *q) {
    parts_value v = {.kind = VALUE_NONE};
    if (!take(ps, "limit")) return true;
    if (!number(ps, &v)) return false;
    q->has_limit = true;
    q->limit = v.number;
    return true;
}

static bool set_operation(parser *ps, const scope *outer, parts_query *q) {
    parts_query **side = NULL;
    if (take(ps, "intersect"))
        side = &q->intersect;
    else if (take(ps, "union"))
        side = &q->unite;
    else if (take(ps, "except"))
        side = &q->except;
    if (!side) return true;
    if (at(ps, "all")) return fail(ps, "not covered", &ps->t);
    return query(ps, outer, side);
}

/* FROM is read before the select list, whose names it explains. */
static bool from_first(parser *ps, scope *sc) {
    parser list_at = *ps;
    int depth = 0;
    while (ps->t.kind != SQL_END && !(depth == 0 && at(ps, "from"))) {
        if (at(ps, "(")) depth++;
        if (at(ps, ")") && depth-- == 0) return fail(ps, "not covered", &ps->t);
        advance(ps);
    }
    const char *from_at = ps->t.p;
    if (!from(ps, sc)) return false;
    parser behind = *ps;
    *ps = list_at;
    if (!select_list(ps, sc)) return false;
    if (ps->t.p != from_at) return fail(ps, "not covered", &ps->t);
    *ps = behind;
    return true;
}

static bool query(parser *ps, const scope *outer, parts_query **out) {
    if (ps->depth == PARTS_DEPTH) return fail(ps, "nested too deep", NULL);
    parts_query *q = rung_arena_alloc(ps->a, sizeof *q);
    scope *sc = rung_arena_alloc(ps->a, sizeof *sc);
    if (!q || !sc) return fail(ps, "out of memory", NULL);
    *out = q;
    sc->outer = outer;
    sc->q = q;
    ps->depth++;
    bool ok = need(ps, "select") && from_first(ps, sc) &&
              (!take(ps, "where") || conditions(ps, sc, &q->where)) && group_by(ps, sc) &&
              (!take(ps, "having") || conditions(ps, sc, &q->having)) && order_by(ps, sc) &&
              limit(ps, q) && set_operation(ps, outer, q);
    ps->depth--;
    return ok;
}

bool parts_parse(parts_query **out, rung_arena *a, const parts_schema *s, const char *sql,
                 char why[160]) {
    parser ps = {.schema = s, .a = a, .p = sql, .end = sql + strlen(sql), .why = why};
    why[0] = '\0';
    advance(&ps);
    if (!query(&ps, NULL, out)) return false;
    while (take(&ps, ";")) {
    }
    return ps.t.kind == SQL_END || fail(&ps, "not covered", &ps.t);
}
