/* The database that a problem names by its id: Spider's lie beside the file. */
#include "problem/import_db.h"
#include "base/json.h"
#include "rung/sql.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* database/ID/ID.sqlite, or test_database/..., in the file's folder. */
static rung_status find_db(char path[PATH_MAX], const char *file, const char *id, rung_error *err) {
    static const char *const folders[] = {"database", "test_database"};
    const char *slash = strrchr(file, '/');
    char found[PATH_MAX];
    if (strchr(id, '/') || strcmp(id, "..") == 0)
        return rung_fail(err, RUNG_E_FORMAT, "bad database name \"%.60s\"", id);
    for (size_t k = 0; k < sizeof folders / sizeof *folders; k++) {
        int n = snprintf(found, sizeof found, "%.*s/%s/%s/%s.sqlite",
                         slash ? (int)(slash - file) : 1, slash ? file : ".", folders[k], id, id);
        if (n < (int)sizeof found && realpath(found, path)) return RUNG_OK;
    }
    return rung_fail(err, RUNG_E_FORMAT, "no database/%.60s/%.60s.sqlite beside the file", id, id);
}

typedef struct look {
    rung_arena *a;
    const char *gold, *ddl;
    rung_sql_check check; /* gold against itself: does it run? */
} look;

static rung_status look_at(void *ud, rung_sql *s, const rung_sql_db *db, rung_error *err) {
    look *d = ud;
    rung_sql_result r;
    rung_buf b;
    RUNG_TRY(rung_sql_run(&r, d->a, s, db,
                          "SELECT sql FROM sqlite_master WHERE type='table' AND sql IS NOT NULL "
                          "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid",
                          err));
    if (r.outcome != RUNG_SQL_OK)
        return rung_fail(err, RUNG_E_FORMAT, "could not read the schema: %.100s", r.error);
    rung_buf_init(&b, 1 << 20);
    for (int32_t k = 0; k < r.n_rows; k++) {
        rung_buf_append(&b, r.cell[k].s, (size_t)r.cell[k].n);
        rung_buf_str(&b, ";\n");
    }
    d->ddl = b.failed ? NULL : rung_arena_strndup(d->a, b.data ? b.data : "", b.n);
    rung_buf_clear(&b);
    if (!d->ddl) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    return rung_sql_match(&d->check, s, db, d->gold, d->gold, NULL, err);
}

static char *keep(rung_arena *a, rung_buf *b) {
    char *text = b->failed ? NULL : rung_arena_strndup(a, b->data ? b->data : "", b->n);
    rung_buf_reset(b);
    return text;
}

/* The question is given with the tables, as text-to-SQL prompts have it. */
static rung_status ground(rung_problem *p, const char *path, const char *id, rung_arena *a,
                          rung_buf *b, rung_error *err) {
    rung_buf_str(b, "{\"db\":");
    rung_buf_json_str(b, path, strlen(path));
    rung_buf_str(b, ",\"db_id\":");
    rung_buf_json_str(b, id, strlen(id));
    size_t open = b->n;
    rung_buf_str(b, "}");
    RUNG_TRY(rung_buf_check(b, err));
    look d = {.a = a, .gold = p->answer};
    RUNG_TRY(rung_sql_with_meta(b->data, look_at, &d, err));
    if (d.check.verdict == RUNG_VERDICT_UNKNOWN)
        return rung_fail(err, RUNG_E_FORMAT, "the reference query: %.60s %.100s", d.check.reason,
                         d.check.detail);
    b->n = open;
    rung_buf_printf(b, ",\"gold_empty\":%s}", d.check.gold_empty ? "true" : "false");
    p->meta = keep(a, b);
    rung_buf_printf(b, "%s%s\n", d.ddl, p->question);
    p->question = keep(a, b);
    return p->meta && p->question ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "out of memory");
}

rung_status import_db(rung_problem *p, const char *file, rung_arena *a, rung_error *err) {
    char path[PATH_MAX];
    rung_error e = RUNG_ERROR_INIT;
    rung_buf b;
    if (strcmp(p->verifier, "sql") != 0) return RUNG_OK;
    yyjson_doc *doc = yyjson_read(p->meta, strlen(p->meta), 0);
    yyjson_val *meta = yyjson_doc_get_root(doc);
    const char *id = rung_json_str(meta, "db_id", NULL);
    if (!id || yyjson_obj_get(meta, "db")) {
        yyjson_doc_free(doc);
        return RUNG_OK;
    }
    rung_buf_init(&b, 16 << 20);
    rung_status st = find_db(path, file, id, &e);
    if (st == RUNG_OK) st = ground(p, path, id, a, &b, &e);
    rung_buf_clear(&b);
    yyjson_doc_free(doc);
    if (st == RUNG_E_NOT_FOUND) st = RUNG_E_FORMAT; /* the row's fault, not the call's */
    if (st != RUNG_OK && err) {
        *err = e;
        err->code = st;
    }
    return st;
}
