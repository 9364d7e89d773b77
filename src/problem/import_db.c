/* Spider's questions (dev.json, train_*.json) with the databases that lie beside the file. */
#include "base/json.h"
#include "rung/problem.h"
#include "rung/sql.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reading {
    rung_store *s;
    const char *path, *set, *split;
    const rung_log *log;
    rung_import_report *report;
    rung_arena *a, *old;
} reading;

static rung_status reject(reading *k, int64_t element, const char *reason) {
    k->report->n_rejected++;
    int stop = rung_event(k->log, RUNG_WARN, "import.reject", RUNG_S("file", k->path),
                          RUNG_I("element", element), RUNG_S("reason", reason));
    (void)stop; /* only progress events ask to stop */
    return RUNG_OK;
}

static rung_status text_of(const char **out, yyjson_val *root, const char *key, rung_error *err) {
    RUNG_TRY(rung_json_str_req(out, root, key, err));
    if (**out && !memchr(*out, '\0', yyjson_get_len(yyjson_obj_get(root, key)))) return RUNG_OK;
    return rung_fail(err, RUNG_E_FORMAT, "key \"%s\" is empty or holds a NUL", key);
}

/* database/NAME/NAME.sqlite, or test_database/..., in the file's folder. */
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
static rung_status read_row(rung_problem *p, reading *k, yyjson_val *root, rung_buf *b,
                            rung_error *err) {
    const char *id, *question;
    char path[PATH_MAX], hash[33];
    RUNG_TRY(text_of(&id, root, "db_id", err));
    RUNG_TRY(text_of(&question, root, "question", err));
    RUNG_TRY(text_of(&p->answer, root, "query", err));
    RUNG_TRY(find_db(path, k->path, id, err));
    rung_buf_str(b, "{\"db\":");
    rung_buf_json_str(b, path, strlen(path));
    rung_buf_str(b, ",\"db_id\":");
    rung_buf_json_str(b, id, strlen(id));
    size_t open = b->n;
    rung_buf_str(b, "}");
    RUNG_TRY(rung_buf_check(b, err));
    look d = {.a = k->a, .gold = p->answer};
    RUNG_TRY(rung_sql_with_meta(b->data, look_at, &d, err));
    if (d.check.verdict == RUNG_VERDICT_UNKNOWN)
        return rung_fail(err, RUNG_E_FORMAT, "the reference query: %.60s %.100s", d.check.reason,
                         d.check.detail);
    b->n = open;
    rung_buf_printf(b, ",\"gold_empty\":%s}", d.check.gold_empty ? "true" : "false");
    p->meta = keep(k->a, b);
    rung_buf_printf(b, "%s%s\n", d.ddl, question);
    p->question = keep(k->a, b);
    rung_hash_hex(hash, p->question ? p->question : "", p->question ? strlen(p->question) : 0);
    p->key = rung_arena_strndup(k->a, hash, 16);
    p->set = k->set;
    p->split = k->split;
    p->solution = p->world = "";
    p->verifier = "sql";
    if (!p->meta || !p->question || !p->key) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    return RUNG_OK;
}

static rung_status take(reading *k, yyjson_val *root, int64_t element, rung_error *err) {
    rung_problem p = {0}, old;
    rung_error e = RUNG_ERROR_INIT;
    rung_buf b;
    bool is_new = false;
    rung_arena_reset(k->a);
    rung_buf_init(&b, 4 << 20);
    rung_status st = read_row(&p, k, root, &b, &e);
    rung_buf_clear(&b);
    if (st == RUNG_E_FORMAT || st == RUNG_E_NOT_FOUND) return reject(k, element, e.what);
    if (st != RUNG_OK) {
        if (err) *err = e;
        return st;
    }
    RUNG_TRY(rung_problem_put(k->s, &p, &is_new, err));
    k->report->n_new += is_new;
    if (is_new) return RUNG_OK;
    rung_arena_reset(k->old);
    RUNG_TRY(rung_problem_get(k->s, &old, k->old, p.id, err));
    if (strcmp(old.answer, p.answer) != 0)
        return reject(k, element, "duplicate question with another query");
    if (strcmp(old.split, p.split) != 0)
        return reject(k, element, "the problem is already in another split");
    k->report->n_same++;
    return RUNG_OK;
}

static rung_status read_all(reading *k, const rung_import_opts *o, yyjson_val *rows,
                            rung_error *err) {
    size_t i, n;
    yyjson_val *row;
    if (!yyjson_is_arr(rows))
        return rung_fail(err, RUNG_E_FORMAT, "\"%s\" is no JSON array of questions", k->path);
    yyjson_arr_foreach(rows, i, n, row) {
        if (o->limit > 0 && (int64_t)i >= o->skip + o->limit) break;
        k->report->n_rows++;
        if ((int64_t)i < o->skip) continue;
        RUNG_TRY(take(k, row, (int64_t)i + 1, err));
        RUNG_TRY(rung_progress(k->log, "rows", (int64_t)i + 1, (int64_t)n, 0, err));
    }
    return RUNG_OK;
}

rung_status rung_spider_import(rung_import_report *out, rung_store *s, const char *path,
                               const rung_import_opts *o, const rung_log *log, rung_error *err) {
    static const rung_import_opts dflt = RUNG_IMPORT_OPTS_INIT;
    yyjson_doc *doc = NULL;
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    if (!o) o = &dflt;
    memset(out, 0, sizeof *out);
    reading k = {.s = s, .path = path, .log = log, .report = out};
    k.set = o->set && *o->set ? o->set : "spider";
    k.split = o->split && *o->split   ? o->split
              : strstr(base, "train") ? "train"
              : strstr(base, "dev")   ? "val"
                                      : "test";
    RUNG_TRY(rung_json_load(&doc, path, err));
    rung_status st = RUNG_OK;
    k.a = rung_arena_new(0);
    k.old = rung_arena_new(0);
    if (!k.a || !k.old) st = rung_fail(err, RUNG_E_NOMEM, "out of memory");
    if (st == RUNG_OK) st = rung_store_begin(s, err);
    if (st == RUNG_OK) {
        st = read_all(&k, o, yyjson_doc_get_root(doc), err);
        if (st == RUNG_OK || st == RUNG_E_CANCELLED) { /* what was done stays */
            rung_status st_commit = rung_store_commit(s, st == RUNG_OK ? err : NULL);
            if (st == RUNG_OK) st = st_commit;
        } else {
            rung_store_rollback(s);
        }
    }
    rung_arena_free(k.a);
    rung_arena_free(k.old);
    yyjson_doc_free(doc);
    return st;
}
