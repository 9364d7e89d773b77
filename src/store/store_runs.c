/* The list of runs: what a ledger or a report walks. */
#include "store/store_impl.h"
#include <string.h>

static void fill(rung_run *r, rung_arena *a, sqlite3_stmt *q) {
    r->id = sqlite3_column_int64(q, 0);
    r->name = store_text(a, q, 1);
    r->kind = store_text(a, q, 2);
    r->config = store_text(a, q, 3);
    const char *hash = store_text(a, q, 4);
    if (hash) memcpy(r->config_hash, hash, strnlen(hash, sizeof r->config_hash - 1));
    r->seed = (uint64_t)sqlite3_column_int64(q, 5);
    r->versions = store_text(a, q, 6);
    r->machine = store_text(a, q, 7);
    r->started_ms = sqlite3_column_int64(q, 8);
    r->finished_ms = sqlite3_column_int64(q, 9);
    r->tokens = sqlite3_column_int64(q, 10);
    r->wall_s = sqlite3_column_double(q, 11);
}

rung_status rung_run_list(rung_run **out, int64_t *n, rung_arena *a, rung_store *s,
                          rung_error *err) {
    int64_t n_rows = 0, i = 0;
    bool found;
    *n = 0;
    RUNG_TRY(store_get_i64(&n_rows, &found, s, err, "count runs", "SELECT count(*) FROM run", ""));
    *out = rung_arena_alloc(a, (size_t)(n_rows + 1) * sizeof **out);
    if (!*out)
        return rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld runs", (long long)n_rows);
    sqlite3_stmt *q;
    RUNG_TRY(store_sql(&q, s,
                       "SELECT id, name, kind, config, config_hash, seed, versions, machine,"
                       " started_ms, finished_ms, tokens, wall_s FROM run ORDER BY id LIMIT ?",
                       err));
    store_bind(q, "i", n_rows);
    rung_status st;
    while ((st = store_step(s, q, err, "list runs")) == RUNG_OK && i < n_rows) {
        fill(&(*out)[i], a, q);
        if (!(*out)[i].config)
            st = rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld runs", (long long)n_rows);
        if (st != RUNG_OK) break;
        i++;
    }
    sqlite3_reset(q);
    *n = i;
    return st == RUNG_DONE ? RUNG_OK : st;
}
