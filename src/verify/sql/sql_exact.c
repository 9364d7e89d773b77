/* Exact-set match: the parts of two queries, compared as Spider's evaluation.py compares them
 * (Yu et al. 2018; peers.md 2.3 has the data). Read there, written anew:
 * - values and DISTINCT are left out, but not inside a query that stands as a value or a table;
 * - a column that a foreign key ties to others stands for all of them, as far as the query's own
 *   tables hold it;
 * - lists of select, where and group are multisets, order and having are not. */
#include "verify/sql/sql_parts.h"
#include <stdio.h>
#include <string.h>

const char *rung_sql_part_text(rung_sql_part p) {
    static const char *const text[] = {
#define X(id, name) name,
        RUNG_SQL_PARTS(X)
#undef X
    };
    return (size_t)p < sizeof text / sizeof *text ? text[p] : "?";
}

/* ---- columns by foreign key ---- */

static int32_t tied(int32_t col, const parts_schema *s, const parts_query *top) {
    if (col <= COL_STAR) return col;
    for (int32_t i = 0; i < top->n_tables; i++)
        if (top->table[i] == s->column[col].table) return s->column[col].key;
    return col;
}

static void tie_col(parts_col *c, const parts_schema *s, const parts_query *top) {
    c->col = tied(c->col, s, top);
    c->distinct = false;
}

static void tie_unit(parts_unit *u, const parts_schema *s, const parts_query *top) {
    tie_col(&u->a, s, top);
    if (u->op) tie_col(&u->b, s, top);
}

/* Values out, but for queries, whose own conditions lose theirs. */
static void plain_conds(parts_conds *list, const parts_schema *s, const parts_query *top);
static void drop_value(parts_value *v);

static void drop_values_of(parts_query *q) {
    parts_conds *all[] = {&q->on, &q->where, &q->having};
    for (size_t k = 0; k < 3; k++)
        for (int32_t i = 0; i < all[k]->n; i++) {
            drop_value(&all[k]->c[i].v1);
            drop_value(&all[k]->c[i].v2);
        }
    parts_query *sides[] = {q->intersect, q->unite, q->except};
    for (size_t k = 0; k < 3; k++)
        if (sides[k]) drop_values_of(sides[k]);
}

static void drop_value(parts_value *v) {
    if (v->kind == VALUE_QUERY)
        drop_values_of(v->query);
    else
        *v = (parts_value){.kind = VALUE_NONE};
}

static void plain_conds(parts_conds *list, const parts_schema *s, const parts_query *top) {
    for (int32_t i = 0; i < list->n; i++) {
        tie_unit(&list->c[i].unit, s, top);
        drop_value(&list->c[i].v1);
        drop_value(&list->c[i].v2);
    }
}

/* The query and the sides of its set operations, ready to be compared; `top` names the tables. */
static void plain(parts_query *q, const parts_schema *s, const parts_query *top) {
    q->distinct = false;
    for (int32_t i = 0; i < q->n_items; i++) tie_unit(&q->item[i].unit, s, top);
    plain_conds(&q->on, s, top);
    plain_conds(&q->where, s, top);
    plain_conds(&q->having, s, top);
    for (int32_t i = 0; i < q->n_groups; i++) tie_col(&q->group[i], s, top);
    for (int32_t i = 0; i < q->n_orders; i++) tie_unit(&q->order[i], s, top);
    if (q->intersect) plain(q->intersect, s, top);
    if (q->unite) plain(q->unite, s, top);
    if (q->except) plain(q->except, s, top);
}

/* ---- equality, item by item ---- */

static bool same_col(const parts_col *a, const parts_col *b) {
    return a->agg == b->agg && a->col == b->col && a->distinct == b->distinct;
}

static bool same_unit(const parts_unit *a, const parts_unit *b) {
    return a->op == b->op && same_col(&a->a, &b->a) && (!a->op || same_col(&a->b, &b->b));
}

static bool same_query(const parts_query *a, const parts_query *b);

static bool same_value(const parts_value *a, const parts_value *b) {
    if (a->kind != b->kind) return false;
    switch (a->kind) {
    case VALUE_TEXT: { /* 'x' and "x" are one */
        int32_t skip = a->n > 1 && (a->p[0] == '\'' || a->p[0] == '"') && b->n == a->n ? 1 : 0;
        return a->n == b->n && memcmp(a->p + skip, b->p + skip, (size_t)(a->n - 2 * skip)) == 0;
    }
    case VALUE_NUMBER: return !(a->number < b->number) && !(a->number > b->number);
    case VALUE_COL: return same_col(&a->col, &b->col);
    case VALUE_QUERY: return same_query(a->query, b->query);
    case VALUE_NONE: break;
    }
    return true;
}

static bool same_cond(const parts_cond *a, const parts_cond *b) {
    return a->is_not == b->is_not && a->op == b->op && same_unit(&a->unit, &b->unit) &&
           same_value(&a->v1, &b->v1) && same_value(&a->v2, &b->v2);
}

static bool same_conds(const parts_conds *a, const parts_conds *b) {
    if (a->n != b->n) return false;
    for (int32_t i = 0; i < a->n; i++)
        if (!same_cond(&a->c[i], &b->c[i]) || a->c[i].is_or != b->c[i].is_or) return false;
    return true;
}

static bool same_groups(const parts_query *a, const parts_query *b) {
    if (a->n_groups != b->n_groups) return false;
    for (int32_t i = 0; i < a->n_groups; i++)
        if (!same_col(&a->group[i], &b->group[i])) return false;
    return true;
}

static bool same_orders(const parts_query *a, const parts_query *b) {
    if (a->n_orders != b->n_orders || (a->n_orders > 0 && a->desc != b->desc)) return false;
    for (int32_t i = 0; i < a->n_orders; i++)
        if (!same_unit(&a->order[i], &b->order[i])) return false;
    return true;
}

static bool same_side(const parts_query *a, const parts_query *b) {
    return (!a && !b) || (a && b && same_query(a, b));
}

/* As written, lists in order: of a query that is a value or a table. */
static bool same_query(const parts_query *a, const parts_query *b) {
    if (a->distinct != b->distinct || a->n_items != b->n_items || a->n_tables != b->n_tables)
        return false;
    for (int32_t i = 0; i < a->n_items; i++)
        if (a->item[i].agg != b->item[i].agg || !same_unit(&a->item[i].unit, &b->item[i].unit))
            return false;
    for (int32_t i = 0; i < a->n_tables; i++)
        if (a->table[i] != b->table[i] || !same_side(a->table_query[i], b->table_query[i]))
            return false;
    bool limit = a->has_limit == b->has_limit && !(a->limit < b->limit) && !(a->limit > b->limit);
    return limit && same_conds(&a->on, &b->on) && same_conds(&a->where, &b->where) &&
           same_conds(&a->having, &b->having) && same_groups(a, b) && same_orders(a, b) &&
           same_side(a->intersect, b->intersect) && same_side(a->unite, b->unite) &&
           same_side(a->except, b->except);
}

/* ---- parts ---- */

/* Is there a one-to-one pairing of equal members? Equality is an equivalence: greedy will do. */
typedef bool (*same_at)(const parts_query *a, int32_t i, const parts_query *b, int32_t k,
                        const parts_schema *s);
static bool same_set(const parts_query *a, int32_t n_a, const parts_query *b, int32_t n_b,
                     same_at same, const parts_schema *s) {
    uint64_t used = 0;
    if (n_a != n_b) return false;
    for (int32_t i = 0; i < n_a; i++) {
        int32_t k = 0;
        while (k < n_b && (used >> k & 1 || !same(a, i, b, k, s))) k++;
        if (k == n_b) return false;
        used |= (uint64_t)1 << k;
    }
    return true;
}

static bool item_at(const parts_query *a, int32_t i, const parts_query *b, int32_t k,
                    const parts_schema *s) {
    (void)s;
    return a->item[i].agg == b->item[k].agg && same_unit(&a->item[i].unit, &b->item[k].unit);
}

static bool unit_at(const parts_query *a, int32_t i, const parts_query *b, int32_t k,
                    const parts_schema *s) {
    (void)s;
    return same_unit(&a->item[i].unit, &b->item[k].unit);
}

static bool where_at(const parts_query *a, int32_t i, const parts_query *b, int32_t k,
                     const parts_schema *s) {
    (void)s;
    return same_cond(&a->where.c[i], &b->where.c[k]);
}

static bool where_unit_at(const parts_query *a, int32_t i, const parts_query *b, int32_t k,
                          const parts_schema *s) {
    (void)s;
    return same_unit(&a->where.c[i].unit, &b->where.c[k].unit);
}

/* By the column's name alone, whatever its table. */
static bool group_at(const parts_query *a, int32_t i, const parts_query *b, int32_t k,
                     const parts_schema *s) {
    return strcmp(s->column[a->group[i].col].name, s->column[b->group[k].col].name) == 0;
}

static bool table_at(const parts_query *a, int32_t i, const parts_query *b, int32_t k,
                     const parts_schema *s) {
    (void)s;
    return a->table[i] == b->table[k] && same_side(a->table_query[i], b->table_query[k]);
}

static bool same_columns(const parts_query *a, const parts_query *b) {
    for (int32_t i = 0; i < a->n_groups && i < b->n_groups; i++)
        if (a->group[i].col != b->group[i].col) return false;
    return a->n_groups == b->n_groups;
}

static bool part_group(const parts_query *a, const parts_query *b) {
    if (a->n_groups == 0 && b->n_groups == 0) return true;
    return a->n_groups > 0 && b->n_groups > 0 && same_columns(a, b) &&
           same_conds(&a->having, &b->having);
}

static bool part_order(const parts_query *a, const parts_query *b) {
    if (a->n_orders == 0 && b->n_orders == 0) return true;
    return same_orders(a, b) && a->n_orders > 0 && a->has_limit == b->has_limit;
}

/* Which of AND and OR join the conditions; how often does not count. */
static unsigned joins(const parts_conds *w) {
    unsigned set = 0;
    for (int32_t i = 1; i < w->n; i++) set |= w->c[i].is_or ? 2u : 1u;
    return set;
}

static unsigned cond_words(const parts_conds *list) {
    unsigned set = 0;
    for (int32_t i = 0; i < list->n; i++) {
        if (i > 0 && list->c[i].is_or) set |= 1u;
        if (list->c[i].is_not) set |= 2u;
        if (list->c[i].op == OP_IN) set |= 4u;
        if (list->c[i].op == OP_LIKE) set |= 8u;
    }
    return set;
}

static unsigned keywords(const parts_query *q) {
    unsigned set = cond_words(&q->on) | cond_words(&q->where) | cond_words(&q->having);
    const bool has[] = {q->where.n > 0,
                        q->n_groups > 0,
                        q->having.n > 0,
                        q->n_orders > 0,
                        q->n_orders > 0 && q->desc,
                        q->has_limit,
                        q->except != NULL,
                        q->unite != NULL,
                        q->intersect != NULL};
    for (unsigned k = 0; k < sizeof has / sizeof *has; k++)
        if (has[k]) set |= 16u << k;
    return set;
}

static bool exact(bool same[RUNG_SQL_PART_COUNT], const parts_query *a, const parts_query *b,
                  const parts_schema *s);

static bool exact_side(const parts_query *a, const parts_query *b, const parts_schema *s) {
    bool ignored[RUNG_SQL_PART_COUNT];
    return (!a && !b) || (a && b && exact(ignored, a, b, s));
}

static bool exact(bool same[RUNG_SQL_PART_COUNT], const parts_query *a, const parts_query *b,
                  const parts_schema *s) {
    same[RUNG_SQL_PART_SELECT] = same_set(a, a->n_items, b, b->n_items, item_at, s);
    same[RUNG_SQL_PART_SELECT_NO_AGG] = same_set(a, a->n_items, b, b->n_items, unit_at, s);
    same[RUNG_SQL_PART_WHERE] = same_set(a, a->where.n, b, b->where.n, where_at, s);
    same[RUNG_SQL_PART_WHERE_NO_OP] = same_set(a, a->where.n, b, b->where.n, where_unit_at, s);
    same[RUNG_SQL_PART_GROUP_NO_HAVING] = same_set(a, a->n_groups, b, b->n_groups, group_at, s);
    same[RUNG_SQL_PART_GROUP] = part_group(a, b);
    same[RUNG_SQL_PART_ORDER] = part_order(a, b);
    same[RUNG_SQL_PART_AND_OR] = joins(&a->where) == joins(&b->where);
    same[RUNG_SQL_PART_IUEN] = exact_side(a->intersect, b->intersect, s) &&
                               exact_side(a->unite, b->unite, s) &&
                               exact_side(a->except, b->except, s);
    same[RUNG_SQL_PART_KEYWORDS] = keywords(a) == keywords(b);
    same[RUNG_SQL_PART_FROM] = same_set(a, a->n_tables, b, b->n_tables, table_at, s);
    for (int k = 0; k < RUNG_SQL_PART_COUNT; k++)
        if (!same[k]) return false;
    return true;
}

static rung_status judge(rung_sql_exact *out, rung_arena *a, rung_sql *s, const rung_sql_db *db,
                         const char *gold, const char *answer, rung_error *err) {
    parts_schema schema;
    parts_query *g, *w;
    char why[160];
    RUNG_TRY(parts_schema_read(&schema, a, s, db, err));
    if (!parts_parse(&g, a, &schema, gold, why)) {
        out->reason = "the reference is not covered";
    } else if (!parts_parse(&w, a, &schema, answer, why)) {
        out->reason = "the answer is not covered";
    } else {
        plain(g, &schema, g);
        plain(w, &schema, w);
        out->verdict = exact(out->same, w, g, &schema) ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG;
        out->reason = "";
        return RUNG_OK;
    }
    snprintf(out->detail, sizeof out->detail, "%s", why);
    if (strcmp(why, "out of memory") == 0) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    return RUNG_OK;
}

rung_status rung_sql_exact_match(rung_sql_exact *out, rung_sql *s, const rung_sql_db *db,
                                 const char *gold, const char *answer, rung_error *err) {
    memset(out, 0, sizeof *out);
    out->reason = "";
    rung_arena *a = rung_arena_new(0);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_status st = judge(out, a, s, db, gold ? gold : "", answer ? answer : "", err);
    rung_arena_free(a);
    return st;
}
