/* The names of a database, and which columns its foreign keys tie together. */
#include "verify/sql/sql_parts.h"
#include <string.h>

static const char columns_sql[] =
    "SELECT lower(m.name), lower(p.name), p.pk FROM sqlite_master m, pragma_table_info(m.name) p "
    "WHERE m.type IN ('table','view') AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
    "ORDER BY m.rowid, p.cid";
static const char keys_sql[] =
    "SELECT lower(m.name), lower(f.\"from\"), lower(f.\"table\"), lower(f.\"to\") "
    "FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE m.type='table' "
    "ORDER BY m.rowid, f.id, f.seq";

static const char *text(const rung_sql_result *r, int32_t row, int32_t col) {
    const rung_sql_value *v = &r->cell[(size_t)row * (size_t)r->n_cols + (size_t)col];
    return v->type == RUNG_SQL_TEXT ? v->s : "";
}

static int32_t find(const parts_schema *s, const char *table, const char *column) {
    for (int32_t c = 1; c < s->n_columns; c++)
        if (strcmp(s->table[s->column[c].table], table) == 0 &&
            strcmp(s->column[c].name, column) == 0)
            return c;
    return COL_NONE;
}

/* Spider's order of "__table.column__". */
static bool before(const parts_schema *s, int32_t a, int32_t b) {
    int by_table = strcmp(s->table[s->column[a].table], s->table[s->column[b].table]);
    return by_table ? by_table < 0 : strcmp(s->column[a].name, s->column[b].name) < 0;
}

static void tie(parts_schema *s, int32_t a, int32_t b) {
    int32_t ka = s->column[a].key, kb = s->column[b].key;
    int32_t keep = before(s, kb, ka) ? kb : ka;
    for (int32_t c = 1; c < s->n_columns; c++)
        if (s->column[c].key == ka || s->column[c].key == kb) s->column[c].key = keep;
}

static void read_columns(parts_schema *out, const rung_sql_result *r) {
    out->column[COL_STAR] = (parts_column){"*", -1, COL_STAR};
    out->n_columns = 1;
    for (int32_t k = 0; k < r->n_rows; k++) {
        const char *table = text(r, k, 0);
        if (out->n_tables == 0 || strcmp(out->table[out->n_tables - 1], table) != 0)
            out->table[out->n_tables++] = table;
        out->column[out->n_columns] =
            (parts_column){text(r, k, 1), out->n_tables - 1, out->n_columns};
        out->n_columns++;
    }
}

/* The column of a table's primary key, where a foreign key names none. */
static int32_t primary(const parts_schema *s, const rung_sql_result *r, const char *table) {
    for (int32_t k = 0; k < r->n_rows; k++)
        if (strcmp(text(r, k, 0), table) == 0 && r->cell[(size_t)k * 3 + 2].i == 1)
            return find(s, table, text(r, k, 1));
    return COL_NONE;
}

rung_status parts_schema_read(parts_schema *out, rung_arena *a, rung_sql *s, const rung_sql_db *db,
                              rung_error *err) {
    rung_sql_result columns, keys;
    memset(out, 0, sizeof *out);
    RUNG_TRY(rung_sql_run(&columns, a, s, db, columns_sql, err));
    RUNG_TRY(rung_sql_run(&keys, a, s, db, keys_sql, err));
    if (columns.outcome != RUNG_SQL_OK || keys.outcome != RUNG_SQL_OK)
        return rung_fail(err, RUNG_E_FORMAT, "could not read the database's schema: %s%s",
                         columns.error, keys.error);
    size_t n = (size_t)columns.n_rows + 1;
    out->table = rung_arena_alloc(a, n * sizeof *out->table);
    out->column = rung_arena_alloc(a, n * sizeof *out->column);
    if (!out->table || !out->column) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    read_columns(out, &columns);
    for (int32_t k = 0; k < keys.n_rows; k++) {
        int32_t one = find(out, text(&keys, k, 0), text(&keys, k, 1));
        const char *to = text(&keys, k, 3);
        int32_t other =
            *to ? find(out, text(&keys, k, 2), to) : primary(out, &columns, text(&keys, k, 2));
        if (one != COL_NONE && other != COL_NONE) tie(out, one, other);
    }
    return RUNG_OK;
}
