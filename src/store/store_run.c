/* run, model, metric, result, cache: the rows about work rather than about steps. */
#include "base/names.h"
#include "store/store_impl.h"

#include <math.h>
#include <string.h>

/* --- run -------------------------------------------------------------------------------------- */

static rung_status hash_config(rung_run *run, rung_error *err) {
    if (run->config_hash[0]) return RUNG_OK;
    rung_buf b;
    rung_buf_init(&b, 16 << 20);
    rung_buf_printf(&b, "%s\n%llu\n%s", run->kind, (unsigned long long)run->seed,
                    run->config ? run->config : "");
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) rung_hash_hex(run->config_hash, b.data, b.n);
    rung_buf_clear(&b);
    return st;
}

#define RUN_COLUMNS                                                                                \
    "id, name, kind, config, config_hash, seed, versions, machine, started_ms, finished_ms, "      \
    "tokens, wall_s"

static rung_status run_of_row(rung_run *run, rung_arena *a, sqlite3_stmt *st, rung_error *err) {
    run->id = sqlite3_column_int64(st, 0);
    run->name = store_text(a, st, 1);
    run->kind = store_text(a, st, 2);
    run->config = store_text(a, st, 3);
    const char *hash = (const char *)sqlite3_column_text(st, 4);
    memset(run->config_hash, 0, sizeof run->config_hash);
    if (hash) strncpy(run->config_hash, hash, sizeof run->config_hash - 1);
    run->seed = (uint64_t)sqlite3_column_int64(st, 5);
    run->versions = store_text(a, st, 6);
    run->machine = store_text(a, st, 7);
    run->started_ms = sqlite3_column_int64(st, 8);
    run->finished_ms = sqlite3_column_int64(st, 9);
    run->tokens = sqlite3_column_int64(st, 10);
    run->wall_s = sqlite3_column_double(st, 11);
    if (run->name && run->kind && run->config && run->versions && run->machine) return RUNG_OK;
    return rung_fail(err, RUNG_E_NOMEM, "out of memory");
}

static rung_status insert_run(rung_store *s, const rung_run *run, rung_error *err) {
    rung_buf versions, machine;
    rung_buf_init(&versions, 4096);
    rung_buf_init(&machine, 4096);
    if (!run->versions) store_versions_json(&versions, s);
    if (!run->machine) store_machine_json(&machine);
    rung_status st = rung_buf_check(&versions, err);
    if (st == RUNG_OK) st = rung_buf_check(&machine, err);
    if (st == RUNG_OK)
        st = store_run(NULL, s, err, "begin a run",
                       "INSERT INTO run(name, kind, config, config_hash, seed, versions, machine,"
                       " started_ms) VALUES(nullif(?1, ''), ?, ?, ?, ?, ?, ?, ?)"
                       " ON CONFLICT(kind, config_hash) DO NOTHING",
                       "ttttitti", run->name, run->kind, run->config, run->config_hash,
                       (int64_t)run->seed, run->versions ? run->versions : versions.data,
                       run->machine ? run->machine : machine.data,
                       run->started_ms ? run->started_ms : rung_unix_ms());
    rung_buf_clear(&versions);
    rung_buf_clear(&machine);
    return st;
}

/* The name is free, or already this run's. */
static rung_status check_name(rung_store *s, const rung_run *run, rung_error *err) {
    if (!run->name || !run->name[0]) return RUNG_OK;
    bool found;
    int64_t other = 0;
    RUNG_TRY(store_get_i64(&other, &found, s, err, "look up a run",
                           "SELECT id FROM run WHERE name=? AND (kind<>? OR config_hash<>?)", "ttt",
                           run->name, run->kind, run->config_hash));
    if (!found) return RUNG_OK;
    rung_fail(err, RUNG_E_INVAL, "the name \"%s\" is already another run's (run %lld)", run->name,
              (long long)other);
    return rung_error_hint(err, "choose another name; the same name resumes only the same work");
}

static rung_status read_run(rung_run *run, rung_store *s, rung_error *err) {
    sqlite3_stmt *st = NULL;
    const char *what = "read a run";
    RUNG_TRY(
        store_sql(&st, s, "SELECT " RUN_COLUMNS " FROM run WHERE kind=? AND config_hash=?", err));
    char hash[33];
    memcpy(hash, run->config_hash, sizeof hash);
    int rc = store_bind(st, "tt", run->kind, hash);
    if (rc != SQLITE_OK) return store_fail(s, rc, err, "could not %s", what);
    rung_status code = store_step(s, st, err, what);
    if (code != RUNG_OK) return code == RUNG_DONE ? RUNG_E_STORE : code;
    code = run_of_row(run, s->strings, st, err);
    sqlite3_reset(st);
    return code;
}

static rung_status begin_run(rung_store *s, rung_run *run, rung_error *err) {
    const char *want = run->name;
    RUNG_TRY(check_name(s, run, err));
    RUNG_TRY(insert_run(s, run, err));
    RUNG_TRY(read_run(run, s, err));
    if (!want || !want[0] || strcmp(want, run->name) == 0) return RUNG_OK;
    if (run->name[0]) {
        rung_fail(err, RUNG_E_INVAL, "this work already has the name \"%s\" (run %lld), not \"%s\"",
                  run->name, (long long)run->id, want);
        return rung_error_hint(err, "use that name, or another seed for another run");
    }
    run->name = rung_arena_strndup(s->strings, want, strlen(want));
    if (!run->name) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    return store_run(NULL, s, err, "name a run", "UPDATE run SET name=? WHERE id=?", "ti",
                     run->name, run->id);
}

rung_status rung_run_begin(rung_store *s, rung_run *run, rung_error *err) {
    if (!run->kind || !run->kind[0]) return rung_fail(err, RUNG_E_INVAL, "a run needs a kind");
    RUNG_TRY(hash_config(run, err));
    RUNG_TRY(store_unit_begin(s, err));
    return store_unit_end(s, begin_run(s, run, err), err);
}

static rung_status no_such_run(rung_store *s, const char *name, rung_error *err) {
    enum { MAX_NAMES = 1000 };
    rung_fail(err, RUNG_E_NOT_FOUND, "no run has the name \"%s\" in store \"%s\"", name, s->path);
    rung_arena *a = rung_arena_new(0);
    const char **names = a ? rung_arena_alloc(a, MAX_NAMES * sizeof *names) : NULL;
    sqlite3_stmt *st = NULL;
    size_t n = 0;
    if (names && store_sql(&st, s, "SELECT name FROM run WHERE name IS NOT NULL ORDER BY id DESC",
                           NULL) == RUNG_OK) {
        while (n < MAX_NAMES && sqlite3_step(st) == SQLITE_ROW) {
            const char *text = store_text(a, st, 0);
            if (text) names[n++] = text;
        }
        sqlite3_reset(st);
        const char *near = rung_nearest(name, names, n);
        if (near) {
            rung_error_hint(err, "did you mean \"%s\"?", near);
        } else if (n) {
            rung_error_hint(err, "the newest run with a name is \"%s\"", names[0]);
        } else {
            rung_error_hint(err, "no run of this store has a name; --name gives one");
        }
    }
    rung_arena_free(a);
    return RUNG_E_NOT_FOUND;
}

rung_status rung_run_find(rung_run *out, rung_arena *a, rung_store *s, const char *name,
                          rung_error *err) {
    memset(out, 0, sizeof *out);
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, s, "SELECT " RUN_COLUMNS " FROM run WHERE name=?", err));
    int rc = store_bind(st, "t", name);
    if (rc != SQLITE_OK) return store_fail(s, rc, err, "could not look up a run");
    rung_status code = store_step(s, st, err, "look up a run");
    if (code == RUNG_DONE) return no_such_run(s, name, err);
    if (code != RUNG_OK) return code;
    code = run_of_row(out, a, st, err);
    sqlite3_reset(st);
    return code;
}

rung_status rung_run_list(rung_run **out, int64_t *n, rung_arena *a, rung_store *s,
                          rung_error *err) {
    *n = 0;
    *out = NULL;
    int64_t n_rows = 0;
    bool found;
    RUNG_TRY(store_get_i64(&n_rows, &found, s, err, "count runs", "SELECT count(*) FROM run", ""));
    *out = rung_arena_alloc(a, (size_t)(n_rows + 1) * sizeof **out);
    if (!*out) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, s, "SELECT " RUN_COLUMNS " FROM run ORDER BY id LIMIT ?", err));
    sqlite3_bind_int64(st, 1, n_rows); /* a run begun meanwhile has no room */
    rung_status code;
    while ((code = store_step(s, st, err, "list runs")) == RUNG_OK) {
        code = run_of_row(&(*out)[*n], a, st, err);
        if (code != RUNG_OK) break;
        (*n)++;
    }
    sqlite3_reset(st);
    return code == RUNG_DONE ? RUNG_OK : code;
}

static rung_status one_run_changed(int64_t n, int64_t run_id, rung_error *err) {
    if (n == 1) return RUNG_OK;
    return rung_fail(err, RUNG_E_NOT_FOUND, "there is no run %lld", (long long)run_id);
}

rung_status rung_run_spend(rung_store *s, int64_t run_id, int64_t tokens, double wall_s,
                           rung_error *err) {
    if (!isfinite(wall_s)) return rung_fail(err, RUNG_E_INVAL, "wall_s is not finite");
    int64_t n = 0;
    RUNG_TRY(store_unit_begin(s, err));
    rung_status st = store_run(&n, s, err, "add up a run's cost",
                               "UPDATE run SET tokens=tokens+?, wall_s=wall_s+? WHERE id=?", "idi",
                               tokens, wall_s, run_id);
    if (st == RUNG_OK) st = one_run_changed(n, run_id, err);
    return store_unit_end(s, st, err);
}

rung_status rung_run_finish(rung_store *s, int64_t run_id, rung_error *err) {
    int64_t n = 0;
    RUNG_TRY(store_unit_begin(s, err));
    rung_status st =
        store_run(&n, s, err, "finish a run",
                  "UPDATE run SET finished_ms=iif(finished_ms=0, ?, finished_ms) WHERE id=?", "ii",
                  rung_unix_ms(), run_id);
    if (st == RUNG_OK) st = one_run_changed(n, run_id, err);
    return store_unit_end(s, st, err);
}

/* --- model ------------------------------------------------------------------------------------ */

static rung_status put_model(rung_store *s, rung_model_row *m, rung_error *err) {
    RUNG_TRY(store_run(NULL, s, err, "put a model",
                       "INSERT INTO model(name, path, hash, kind, meta) VALUES(?, ?, ?, ?, ?)"
                       " ON CONFLICT(hash, kind) DO NOTHING",
                       "ttttt", m->name, m->path, m->hash, m->kind, m->meta));
    bool found;
    return store_get_i64(&m->id, &found, s, err, "put a model",
                         "SELECT id FROM model WHERE hash=? AND kind=?", "tt", m->hash, m->kind);
}

rung_status rung_model_put(rung_store *s, rung_model_row *m, rung_error *err) {
    RUNG_TRY(store_unit_begin(s, err));
    return store_unit_end(s, put_model(s, m, err), err);
}

rung_status rung_model_get(rung_model_row *out, rung_arena *a, rung_store *s, int64_t id,
                           rung_error *err) {
    memset(out, 0, sizeof *out);
    sqlite3_stmt *st = NULL;
    RUNG_TRY(
        store_sql(&st, s, "SELECT id, name, path, hash, kind, meta FROM model WHERE id=?", err));
    sqlite3_bind_int64(st, 1, id);
    rung_status code = store_step(s, st, err, "read a model");
    if (code == RUNG_DONE)
        return rung_fail(err, RUNG_E_NOT_FOUND, "there is no model %lld", (long long)id);
    if (code != RUNG_OK) return code;
    *out = (rung_model_row){.id = id,
                            .name = store_text(a, st, 1),
                            .path = store_text(a, st, 2),
                            .hash = store_text(a, st, 3),
                            .kind = store_text(a, st, 4),
                            .meta = store_text(a, st, 5)};
    sqlite3_reset(st);
    if (out->name && out->path && out->hash && out->kind && out->meta) return RUNG_OK;
    return rung_fail(err, RUNG_E_NOMEM, "out of memory");
}

/* --- metric, result, cache -------------------------------------------------------------------- */

rung_status rung_metric_put(rung_store *s, int64_t run, int64_t step, const char *name,
                            double value, rung_error *err) {
    if (isinf(value)) return rung_fail(err, RUNG_E_INVAL, "metric \"%s\" is infinite", name);
    RUNG_TRY(store_unit_begin(s, err));
    rung_status st = store_run(NULL, s, err, "put a metric",
                               "INSERT INTO metric(run, name, step, value) VALUES(?, ?, ?, ?)"
                               " ON CONFLICT(run, name, step) DO NOTHING",
                               "itid", run, name, step, value);
    return store_unit_end(s, st, err);
}

rung_status rung_result_put(rung_store *s, int64_t run, const char *kind, const char *json,
                            rung_error *err) {
    char hash[33];
    rung_hash_hex(hash, json, strlen(json));
    RUNG_TRY(store_unit_begin(s, err));
    rung_status st = store_run(NULL, s, err, "put a result",
                               "INSERT INTO result(run, kind, hash, json) VALUES(?, ?, ?, ?)"
                               " ON CONFLICT(run, kind, hash) DO NOTHING",
                               "ittt", run, kind, hash, json);
    return store_unit_end(s, st, err);
}

rung_status rung_cache_put(rung_store *s, const char *key, const char *reply, size_t n,
                           rung_error *err) {
    RUNG_TRY(store_unit_begin(s, err));
    rung_status st = store_run(NULL, s, err, "put a reply into the cache",
                               "INSERT INTO cache(key, reply) VALUES(?, ?)"
                               " ON CONFLICT(key) DO NOTHING",
                               "tb", key, reply, n);
    return store_unit_end(s, st, err);
}

rung_status rung_cache_get(rung_buf *reply, bool *found, rung_store *s, const char *key,
                           rung_error *err) {
    *found = false;
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, s, "SELECT reply FROM cache WHERE key=?", err));
    int rc = store_bind(st, "t", key);
    if (rc != SQLITE_OK) return store_fail(s, rc, err, "could not read the cache");
    rung_status code = store_step(s, st, err, "read the cache");
    if (code == RUNG_DONE) return RUNG_OK;
    if (code != RUNG_OK) return code;
    const void *p = sqlite3_column_blob(st, 0);
    rung_buf_append(reply, p ? p : "", p ? (size_t)sqlite3_column_bytes(st, 0) : 0);
    sqlite3_reset(st);
    *found = true;
    return rung_buf_check(reply, err);
}
