/* rung store check: is the file whole, do the rows fit together, what is left to do. */
#include "store/store_impl.h"

#include <string.h>

/* Each query counts rows that must not be there (damage) or that nothing uses (waste). */
static const struct {
    const char *name, *sql;
    bool is_damage;
} checks[] = {
    {"labels_without_node", "SELECT count(*) FROM label WHERE node NOT IN (SELECT id FROM node)",
     true},
    {"rollouts_without_node",
     "SELECT count(*) FROM rollout WHERE node NOT IN (SELECT id FROM node)", true},
    {"scores_without_node", "SELECT count(*) FROM score WHERE node NOT IN (SELECT id FROM node)",
     true},
    {"steps_without_trace",
     "SELECT count(*) FROM trace_step WHERE trace NOT IN (SELECT id FROM trace)", true},
    {"steps_without_node",
     "SELECT count(*) FROM trace_step WHERE node NOT IN (SELECT id FROM node)", true},
    {"nodes_without_parent",
     "SELECT count(*) FROM node n WHERE parent IS NOT NULL AND NOT EXISTS"
     " (SELECT 1 FROM node p WHERE p.id=n.parent AND p.problem=n.problem AND p.depth=n.depth-1)",
     true},
    /* The spans of a trace's steps follow each other and cover its text and its tokens. */
    {"traces_not_covered",
     "SELECT count(*) FROM trace t LEFT JOIN (SELECT trace, count(*) AS n, min(byte_begin) AS b0,"
     " max(byte_end) AS b1, sum(byte_end-byte_begin) AS b, min(tok_begin) AS t0,"
     " max(tok_end) AS t1, sum(tok_end-tok_begin) AS tk FROM trace_step GROUP BY trace) s"
     " ON s.trace=t.id WHERE ifnull(s.n, 0)<>t.n_steps OR"
     " ifnull(s.b0, 0)<>0 OR ifnull(s.b1, 0)<>length(CAST(t.text AS BLOB)) OR"
     " ifnull(s.b, 0)<>length(CAST(t.text AS BLOB)) OR ifnull(s.t0, 0)<>0 OR"
     " (t.n_steps>0 AND (s.t1<>t.n_tok OR s.tk<>t.n_tok))",
     true},
    {"steps_not_contiguous",
     "SELECT count(*) FROM trace_step a JOIN trace_step b ON b.trace=a.trace AND b.k=a.k+1"
     " WHERE b.byte_begin<>a.byte_end OR b.tok_begin<>a.tok_end",
     true},
    {"steps_with_other_text",
     "SELECT count(*) FROM trace_step s JOIN trace t ON t.id=s.trace JOIN node n ON n.id=s.node"
     " WHERE substr(CAST(t.text AS BLOB), s.byte_begin+1, s.byte_end-s.byte_begin)"
     " IS NOT CAST(n.text AS BLOB) OR n.problem<>t.problem OR n.depth<>s.k",
     true},
    {"tokens_with_other_count",
     "SELECT count(*) FROM trace WHERE length(tok)<>4*n_tok OR length(logprob)<>4*n_tok"
     " OR coalesce(length(logprob_draw)<>4*n_tok, 0)",
     true},
    {"nodes_unused",
     "SELECT count(*) FROM node n WHERE NOT EXISTS(SELECT 1 FROM trace_step WHERE node=n.id)"
     " AND NOT EXISTS(SELECT 1 FROM rollout WHERE node=n.id)"
     " AND NOT EXISTS(SELECT 1 FROM node c WHERE c.parent=n.id)",
     false},
};

/* PRAGMA integrity_check gives "ok" or up to 100 complaints. */
static rung_status check_pages(rung_buf *json, bool *damaged, rung_store *s, rung_error *err) {
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, s, "PRAGMA integrity_check", err));
    rung_buf_str(json, ",\"integrity\":[");
    rung_status code;
    for (int i = 0; (code = store_step(s, st, err, "check pages")) == RUNG_OK; i++) {
        const char *text = (const char *)sqlite3_column_text(st, 0);
        if (!text) text = "";
        if (strcmp(text, "ok") != 0) *damaged = true;
        if (i) rung_buf_str(json, ",");
        rung_buf_json_str(json, text, strlen(text));
    }
    if (code == RUNG_E_STORE && err) { /* a page so broken that the check itself stops */
        *damaged = true;
        if (json->data[json->n - 1] != '[') rung_buf_str(json, ",");
        rung_buf_json_str(json, err->detail, strlen(err->detail));
        *err = (rung_error)RUNG_ERROR_INIT;
        code = RUNG_DONE;
    }
    rung_buf_str(json, "]");
    return code == RUNG_DONE ? RUNG_OK : code;
}

static rung_status count_table(rung_buf *json, rung_store *s, const char *name, rung_error *err) {
    char *sql = sqlite3_mprintf("SELECT count(*) FROM \"%w\"", name);
    sqlite3_stmt *st = NULL;
    if (!sql) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
    sqlite3_free(sql);
    if (rc != SQLITE_OK) return store_fail(s, rc, err, "could not count rows");
    rung_status code = store_step(s, st, err, "count rows");
    if (code == RUNG_OK)
        rung_buf_printf(json, "%s\"%s\":%lld", json->data[json->n - 1] == '{' ? "" : ",", name,
                        (long long)sqlite3_column_int64(st, 0));
    sqlite3_finalize(st);
    return code;
}

static rung_status count_rows(rung_buf *json, rung_store *s, rung_error *err) {
    rung_status st = RUNG_OK;
    rung_buf_str(json, ",\"rows\":{");
    for (size_t i = 0; i < store_n_tables && st == RUNG_OK; i++)
        st = count_table(json, s, store_tables[i].name, err);
    rung_buf_str(json, "}");
    return st;
}
static rung_status check_rows(rung_buf *json, bool *damaged, rung_store *s, rung_error *err) {
    rung_status st = RUNG_OK;
    rung_buf_str(json, ",\"orphans\":{");
    for (size_t i = 0; i < sizeof checks / sizeof checks[0] && st == RUNG_OK; i++) {
        int64_t n = 0;
        bool found;
        st = store_get_i64(&n, &found, s, err, "check rows", checks[i].sql, "");
        if (st != RUNG_OK) break;
        if (n > 0 && checks[i].is_damage) *damaged = true;
        rung_buf_printf(json, "%s\"%s\":%lld", i ? "," : "", checks[i].name, (long long)n);
    }
    rung_buf_str(json, "}");
    return st;
}

static rung_status list_unfinished(rung_buf *json, rung_store *s, rung_error *err) {
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, s,
                       "SELECT id, ifnull(name, ''), kind FROM run WHERE finished_ms=0"
                       " ORDER BY id",
                       err));
    rung_buf_str(json, ",\"unfinished\":[");
    rung_status code;
    for (int i = 0; (code = store_step(s, st, err, "list runs")) == RUNG_OK; i++) {
        const char *name = (const char *)sqlite3_column_text(st, 1);
        const char *kind = (const char *)sqlite3_column_text(st, 2);
        rung_buf_printf(json, "%s{\"run\":%lld,\"name\":", i ? "," : "",
                        (long long)sqlite3_column_int64(st, 0));
        rung_buf_json_str(json, name ? name : "", name ? strlen(name) : 0);
        rung_buf_str(json, ",\"kind\":");
        rung_buf_json_str(json, kind ? kind : "", kind ? strlen(kind) : 0);
        rung_buf_str(json, "}");
    }
    rung_buf_str(json, "]");
    return code == RUNG_DONE ? RUNG_OK : code;
}

rung_status rung_store_check(rung_buf *json, rung_store *s, rung_error *err) {
    bool damaged = false;
    rung_error own = RUNG_ERROR_INIT; /* the checks read it even when the caller does not */
    rung_error *e = err ? err : &own;
    rung_buf_printf(
        json, "{\"v\":1,\"kind\":\"store.check\",\"schema\":%d,\"store\":", store_n_migrations);
    rung_buf_json_str(json, s->path, strlen(s->path));
    RUNG_TRY(check_pages(json, &damaged, s, e));
    rung_status st = RUNG_OK;
    /* On a damaged file the row checks may fail too: that is a finding, not a failure. */
    st = count_rows(json, s, e);
    if (st == RUNG_OK) st = check_rows(json, &damaged, s, e);
    if (st == RUNG_OK) st = list_unfinished(json, s, e);
    if (st == RUNG_E_STORE) damaged = true;
    if (st != RUNG_OK && st != RUNG_E_STORE) return st;
    rung_buf_printf(json, ",\"ok\":%s}", damaged ? "false" : "true");
    RUNG_TRY(rung_buf_check(json, e));
    if (!damaged) return RUNG_OK;
    rung_fail(e, RUNG_E_STORE, "store \"%s\" is damaged", s->path);
    return rung_error_hint(
        e, "`rung store export` saves what can be read; import it into a new store");
}
