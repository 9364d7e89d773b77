/* Export and import: one JSON object a line, every table, exact both ways. */
#include "base/json.h"
#include "base/utf8.h"
#include "store/base64.h"
#include "store/store_impl.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define DUMP_MAX_LINE ((size_t)512 << 20)

static size_t n_columns(const store_table *t) {
    size_t n = 0;
    while (n < sizeof t->col / sizeof t->col[0] && t->col[n].name) n++;
    return n;
}

/* --- export ----------------------------------------------------------------------------------- */

static bool is_utf8(const char *s, size_t n) {
    for (size_t i = 0; i < n;) {
        size_t k = rung_utf8_len(s + i, n - i, NULL);
        if (!k) return false;
        i += k;
    }
    return true;
}

static void put_value(rung_buf *b, sqlite3_stmt *st, int i, store_col_kind kind) {
    if (sqlite3_column_type(st, i) == SQLITE_NULL) {
        rung_buf_str(b, "null");
        return;
    }
    if (kind == COL_INT) {
        rung_buf_printf(b, "%" PRId64, (int64_t)sqlite3_column_int64(st, i));
        return;
    }
    if (kind == COL_REAL) { /* 17 digits name every double */
        rung_buf_printf(b, "%.17g", sqlite3_column_double(st, i));
        return;
    }
    const void *p =
        kind == COL_TEXT ? (const void *)sqlite3_column_text(st, i) : sqlite3_column_blob(st, i);
    size_t n = p ? (size_t)sqlite3_column_bytes(st, i) : 0;
    if (!p) p = "";
    if (kind == COL_TEXT && is_utf8(p, n)) {
        rung_buf_json_str(b, p, n);
        return;
    }
    /* A model may stop in the middle of a character: such text keeps its bytes. */
    rung_buf_str(b, kind == COL_TEXT ? "{\"base64\":\"" : "\"");
    store_base64_put(b, p, n);
    rung_buf_str(b, kind == COL_TEXT ? "\"}" : "\"");
}

static void select_sql(rung_buf *b, const store_table *t) {
    rung_buf_str(b, "SELECT ");
    for (size_t i = 0; i < n_columns(t); i++)
        rung_buf_printf(b, "%s\"%s\"", i ? "," : "", t->col[i].name);
    rung_buf_printf(b, " FROM \"%s\" ORDER BY %s", t->name, t->order);
}

typedef struct sink {
    int (*write)(void *ud, const char *line, size_t n);
    void *ud;
    rung_buf line;
} sink;

static rung_status send(sink *out, rung_error *err) {
    RUNG_TRY(rung_buf_check(&out->line, err));
    if (out->write(out->ud, out->line.data, out->line.n) == 0) return RUNG_OK;
    return rung_fail(err, RUNG_E_CANCELLED, "the export was stopped");
}

static rung_status export_table(sink *out, rung_store *s, const store_table *t, rung_error *err) {
    rung_buf sql;
    rung_buf_init(&sql, 4096);
    select_sql(&sql, t);
    sqlite3_stmt *st = NULL;
    rung_status code = rung_buf_check(&sql, err);
    if (code != RUNG_OK) goto out;
    int rc = sqlite3_prepare_v2(s->db, sql.data, (int)sql.n, &st, NULL);
    if (rc != SQLITE_OK) {
        code = store_fail(s, rc, err, "could not read table %s", t->name);
        goto out;
    }
    while ((code = store_step(s, st, err, "export rows")) == RUNG_OK) {
        rung_buf_reset(&out->line);
        rung_buf_printf(&out->line, "{\"table\":\"%s\"", t->name);
        for (size_t i = 0; i < n_columns(t); i++) {
            rung_buf_printf(&out->line, ",\"%s\":", t->col[i].name);
            put_value(&out->line, st, (int)i, t->col[i].kind);
        }
        rung_buf_str(&out->line, "}\n");
        if ((code = send(out, err)) != RUNG_OK) break;
    }
    if (code == RUNG_DONE) code = RUNG_OK;
out:
    sqlite3_finalize(st);
    rung_buf_clear(&sql);
    return code;
}

static rung_status export_all(sink *out, rung_store *s, rung_error *err) {
    rung_buf_printf(&out->line, "{\"table\":\"store\",\"v\":1,\"schema\":%d}\n",
                    store_n_migrations);
    RUNG_TRY(send(out, err));
    for (size_t i = 0; i < store_n_tables; i++)
        RUNG_TRY(export_table(out, s, &store_tables[i], err));
    return RUNG_OK;
}

/* One read transaction: all lines belong to one moment, also while another process writes. */
rung_status rung_store_export(rung_store *s, int (*write)(void *ud, const char *line, size_t n),
                              void *ud, rung_error *err) {
    sink out = {.write = write, .ud = ud};
    rung_buf_init(&out.line, DUMP_MAX_LINE);
    bool own = sqlite3_get_autocommit(s->db) != 0;
    rung_status st = own ? store_exec(s, "BEGIN", err) : RUNG_OK;
    if (st == RUNG_OK) {
        st = export_all(&out, s, err);
        if (own) sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
    }
    rung_buf_clear(&out.line);
    return st;
}

/* --- import ----------------------------------------------------------------------------------- */

typedef struct importer {
    rung_store *s;
    const char *path;
    rung_jsonl *in;
    int schema;   /* of the file */
    bool compare; /* the store has rows: every line must be there already */
    sqlite3_stmt *stmt[32];
    int64_t n_rows[32];
    rung_buf bytes[32]; /* decoded base64 of the current row, by column */
} importer;

static rung_status bad_line(const importer *im, rung_error *err, const char *what,
                            const char *which) {
    return rung_fail(err, RUNG_E_FORMAT, "%s:%lld: %s%s%s%s", im->path,
                     (long long)rung_jsonl_line(im->in), what, which ? " \"" : "",
                     which ? which : "", which ? "\"" : "");
}

static rung_status bind_base64(importer *im, sqlite3_stmt *st, size_t i, yyjson_val *v,
                               const store_col *col, rung_error *err) {
    rung_buf *b = &im->bytes[i];
    rung_buf_reset(b);
    if (!yyjson_is_str(v) || !store_base64_get(b, yyjson_get_str(v), yyjson_get_len(v)))
        return bad_line(im, err, "not base64: key", col->name);
    RUNG_TRY(rung_buf_check(b, err));
    int at = (int)i + 1, rc;
    if (col->kind == COL_TEXT) {
        rc = sqlite3_bind_text64(st, at, b->n ? b->data : "", b->n, SQLITE_STATIC, SQLITE_UTF8);
    } else {
        rc = b->n ? sqlite3_bind_blob64(st, at, b->data, b->n, SQLITE_STATIC)
                  : sqlite3_bind_zeroblob(st, at, 0);
    }
    return rc == SQLITE_OK ? RUNG_OK : store_fail(im->s, rc, err, "could not import");
}

static rung_status bind_value(importer *im, sqlite3_stmt *st, size_t i, yyjson_val *v,
                              const store_col *col, rung_error *err) {
    int at = (int)i + 1, rc = SQLITE_OK;
    bool later = col->since > im->schema;
    if (!v && !later) return bad_line(im, err, "missing key", col->name);
    if (!v || yyjson_is_null(v)) {
        rc = sqlite3_bind_null(st, at);
    } else if (col->kind == COL_BLOB) {
        return bind_base64(im, st, i, v, col, err);
    } else if (col->kind == COL_TEXT && yyjson_is_obj(v)) {
        return bind_base64(im, st, i, yyjson_obj_get(v, "base64"), col, err);
    } else if (col->kind == COL_TEXT && yyjson_is_str(v)) {
        rc = sqlite3_bind_text64(st, at, yyjson_get_str(v), yyjson_get_len(v), SQLITE_STATIC,
                                 SQLITE_UTF8);
    } else if (col->kind == COL_REAL && yyjson_is_num(v)) {
        rc = sqlite3_bind_double(st, at, yyjson_get_num(v));
    } else if (col->kind == COL_INT && yyjson_is_int(v) &&
               !(yyjson_is_uint(v) && yyjson_get_uint(v) > INT64_MAX)) {
        rc = sqlite3_bind_int64(st, at, yyjson_get_sint(v));
    } else {
        return bad_line(im, err, "a value of the wrong type: key", col->name);
    }
    return rc == SQLITE_OK ? RUNG_OK : store_fail(im->s, rc, err, "could not import");
}

/* INSERT, or when the store has rows a search for a row equal in every column. */
static void row_sql(rung_buf *b, const store_table *t, bool compare) {
    size_t n = n_columns(t);
    rung_buf_printf(b, compare ? "SELECT 1 FROM \"%s\" WHERE " : "INSERT INTO \"%s\"(", t->name);
    for (size_t i = 0; i < n; i++)
        rung_buf_printf(b, compare ? "%s\"%s\" IS ?" : "%s\"%s\"",
                        !i        ? ""
                        : compare ? " AND "
                                  : ",",
                        t->col[i].name);
    if (compare) return;
    rung_buf_str(b, ") VALUES(");
    for (size_t i = 0; i < n; i++) rung_buf_str(b, i ? ",?" : "?");
    rung_buf_str(b, ")");
}

static rung_status row_stmt(sqlite3_stmt **out, importer *im, size_t table, rung_error *err) {
    if (!im->stmt[table]) {
        rung_buf sql;
        rung_buf_init(&sql, 8192);
        row_sql(&sql, &store_tables[table], im->compare);
        rung_status st = rung_buf_check(&sql, err);
        if (st == RUNG_OK) {
            int rc = sqlite3_prepare_v2(im->s->db, sql.data, (int)sql.n, &im->stmt[table], NULL);
            if (rc != SQLITE_OK) st = store_fail(im->s, rc, err, "could not import");
        }
        rung_buf_clear(&sql);
        if (st != RUNG_OK) return st;
    }
    *out = im->stmt[table];
    sqlite3_reset(*out);
    sqlite3_clear_bindings(*out);
    return RUNG_OK;
}

static rung_status unequal(const importer *im, rung_error *err, const char *what) {
    rung_fail(err, RUNG_E_STORE, "%s: %s store \"%s\"", im->path, what, im->s->path);
    return rung_error_hint(err, "import into a new store; nothing was changed");
}

static rung_status no_extra_keys(const importer *im, yyjson_val *row, const store_table *t,
                                 rung_error *err) {
    size_t i, n;
    yyjson_val *key, *value;
    yyjson_obj_foreach(row, i, n, key, value) {
        const char *name = yyjson_get_str(key);
        bool known = strcmp(name, "table") == 0;
        for (size_t k = 0; !known && k < n_columns(t); k++)
            known = strcmp(name, t->col[k].name) == 0;
        if (!known) return bad_line(im, err, "unknown key", name);
    }
    return RUNG_OK;
}

static rung_status import_row(importer *im, yyjson_val *row, size_t table, rung_error *err) {
    const store_table *t = &store_tables[table];
    sqlite3_stmt *st = NULL;
    RUNG_TRY(row_stmt(&st, im, table, err));
    RUNG_TRY(no_extra_keys(im, row, t, err));
    for (size_t i = 0; i < n_columns(t); i++)
        RUNG_TRY(bind_value(im, st, i, yyjson_obj_get(row, t->col[i].name), &t->col[i], err));
    rung_status code = store_step(im->s, st, err, "import a row");
    im->n_rows[table]++;
    if (im->compare && code == RUNG_OK) {
        sqlite3_reset(st);
        return RUNG_OK;
    }
    if (im->compare && code == RUNG_DONE) return unequal(im, err, "differs from the rows of");
    if (code == RUNG_DONE) return RUNG_OK;
    if (code != RUNG_E_INVAL) return code;
    char why[200] = ""; /* a key twice, a check that fails: the file is at fault */
    if (err) memcpy(why, err->detail, sizeof why - 1);
    return bad_line(im, err, why, NULL);
}

static rung_status check_schema_line(importer *im, yyjson_val *row, rung_error *err) {
    int64_t schema = rung_json_i64(row, "schema", -1);
    if (schema >= 1 && schema <= store_n_migrations) {
        im->schema = (int)schema;
        return RUNG_OK;
    }
    rung_fail(err, RUNG_E_FORMAT, "%s:%lld: written by schema version %lld, this rung knows %d",
              im->path, (long long)rung_jsonl_line(im->in), (long long)schema, store_n_migrations);
    return rung_error_hint(err, "import it with the newer rung that wrote it");
}

static rung_status import_line(importer *im, yyjson_val *row, rung_error *err) {
    const char *name = rung_json_str(row, "table", NULL);
    if (!name) return bad_line(im, err, "no key \"table\": not an export of a store", NULL);
    if (strcmp(name, "store") == 0) return check_schema_line(im, row, err);
    for (size_t i = 0; i < store_n_tables; i++)
        if (strcmp(name, store_tables[i].name) == 0) return import_row(im, row, i, err);
    return bad_line(im, err, "unknown table", name);
}

static rung_status table_rows(int64_t *n, rung_store *s, const store_table *t, rung_error *err) {
    char *sql = sqlite3_mprintf("SELECT count(*) FROM \"%w\"", t->name);
    if (!sql) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
    sqlite3_free(sql);
    if (rc != SQLITE_OK) return store_fail(s, rc, err, "could not count rows");
    rung_status code = store_step(s, st, err, "count rows");
    if (code == RUNG_OK) *n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return code;
}

static rung_status import_lines(importer *im, rung_error *err) {
    int64_t before[32] = {0};
    for (size_t i = 0; i < store_n_tables; i++) {
        RUNG_TRY(table_rows(&before[i], im->s, &store_tables[i], err));
        if (before[i]) im->compare = true;
    }
    yyjson_val *row;
    rung_status st;
    while ((st = rung_jsonl_next(&row, im->in, err)) == RUNG_OK) {
        if (!yyjson_is_obj(row)) return bad_line(im, err, "not a JSON object", NULL);
        RUNG_TRY(import_line(im, row, err));
    }
    if (st != RUNG_DONE) return st;
    for (size_t i = 0; im->compare && i < store_n_tables; i++)
        if (before[i] != im->n_rows[i]) return unequal(im, err, "has fewer or more rows than");
    return RUNG_OK;
}

rung_status rung_store_import(int64_t *n_rows, rung_store *s, const char *path, rung_error *err) {
    _Static_assert(sizeof((importer *)0)->stmt / sizeof(void *) == 32, "as n_rows and before");
    importer im = {.s = s, .path = path, .schema = store_n_migrations};
    if (n_rows) *n_rows = 0;
    for (size_t i = 0; i < 32; i++) rung_buf_init(&im.bytes[i], DUMP_MAX_LINE);
    RUNG_TRY(rung_jsonl_open(&im.in, path, DUMP_MAX_LINE, err));
    rung_status st = store_unit_begin(s, err);
    if (st == RUNG_OK) {
        st = store_exec(s, "PRAGMA defer_foreign_keys=ON", err); /* lines may come in any order */
        if (st == RUNG_OK) st = import_lines(&im, err);
        for (size_t i = 0; i < 32; i++) sqlite3_finalize(im.stmt[i]);
        rung_status lines = st;
        st = store_unit_end(s, st, err);
        if (lines == RUNG_OK && st == RUNG_E_INVAL) /* the commit found a reference to nothing */
            st = rung_fail(err, RUNG_E_FORMAT, "%s: a row refers to a row that is not there", path);
    }
    for (size_t i = 0; st == RUNG_OK && !im.compare && n_rows && i < 32; i++)
        *n_rows += im.n_rows[i];
    for (size_t i = 0; i < 32; i++) rung_buf_clear(&im.bytes[i]);
    rung_jsonl_close(im.in);
    return st;
}
