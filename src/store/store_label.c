/* rollout, label, score: what is known about a step; critique: what a judge says of a trace. */
#include "store/store_impl.h"

#include <math.h>
#include <string.h>

/* --- rollout ---------------------------------------------------------------------------------- */

static rung_status put_rollout(rung_store *s, rung_rollout *r, bool *is_new, rung_error *err) {
    bool found;
    RUNG_TRY(store_get_i64(&r->id, &found, s, err, "look up a rollout",
                           "SELECT id FROM rollout WHERE run=? AND node=? AND i=?", "iii", r->run,
                           r->node, (int64_t)r->i));
    if (is_new) *is_new = !found;
    if (found) return RUNG_OK;
    RUNG_TRY(
        store_run(NULL, s, err, "put a rollout",
                  "INSERT INTO rollout(run, node, i, text, answer, rule, reason, stop, verdict,"
                  " n_tok, logprob, verifier, decided_by, us, at_ms)"
                  " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                  "iiitttttiidNNII", r->run, r->node, (int64_t)r->i, r->text, r->answer, r->rule,
                  r->reason, r->stop, (int64_t)r->verdict, (int64_t)r->n_tok, r->logprob,
                  r->verifier, r->decided_by, r->judged_us,
                  !r->verifier ? (int64_t)0
                  : r->at_ms   ? r->at_ms
                               : rung_unix_ms()));
    r->id = sqlite3_last_insert_rowid(s->db);
    return RUNG_OK;
}

rung_status rung_rollout_put(rung_store *s, rung_rollout *r, bool *is_new, rung_error *err) {
    if ((unsigned)r->verdict > RUNG_VERDICT_WRONG || r->n_tok < 0 || isinf(r->logprob)) {
        rung_fail(err, RUNG_E_INVAL, "rollout %d of node %lld: bad verdict, token count or logprob",
                  r->i, (long long)r->node);
        if (err) err->rollout = r->i;
        return RUNG_E_INVAL;
    }
    RUNG_TRY(store_unit_begin(s, err));
    return store_unit_end(s, put_rollout(s, r, is_new, err), err);
}

rung_status rung_rollout_count(rung_rollout_counts *out, rung_store *s, int64_t run, int64_t node,
                               rung_error *err) {
    memset(out, 0, sizeof *out);
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, s,
                       "SELECT count(*), sum(verdict=1), sum(verdict=2), sum(verdict=0), sum(n_tok)"
                       " FROM rollout WHERE run=? AND node=?",
                       err));
    store_bind(st, "ii", run, node);
    rung_status code = store_step(s, st, err, "count rollouts");
    if (code != RUNG_OK) return code == RUNG_DONE ? RUNG_OK : code;
    out->n = sqlite3_column_int(st, 0);
    out->n_correct = sqlite3_column_int(st, 1);
    out->n_wrong = sqlite3_column_int(st, 2);
    out->n_unknown = sqlite3_column_int(st, 3);
    out->n_tok = sqlite3_column_int64(st, 4);
    sqlite3_reset(st);
    return RUNG_OK;
}

rung_status rung_rollout_have(bool *have, int32_t n_max, rung_store *s, int64_t run, int64_t node,
                              rung_error *err) {
    sqlite3_stmt *st = NULL;
    for (int32_t i = 0; i < n_max; i++) have[i] = false;
    RUNG_TRY(store_sql(
        &st, s, "SELECT i FROM rollout WHERE run=? AND node=? AND i BETWEEN 0 AND ?-1", err));
    store_bind(st, "iii", run, node, (int64_t)n_max);
    rung_status code;
    while ((code = store_step(s, st, err, "read rollouts")) == RUNG_OK)
        have[sqlite3_column_int64(st, 0)] = true;
    return code == RUNG_DONE ? RUNG_OK : code;
}

static rung_status rollout_row(rung_rollout *r, rung_arena *a, sqlite3_stmt *st, rung_error *err) {
    *r = (rung_rollout){
        .id = sqlite3_column_int64(st, 0),
        .i = sqlite3_column_int(st, 1),
        .verdict = (rung_verdict)sqlite3_column_int(st, 2),
        .n_tok = sqlite3_column_int(st, 3),
        .logprob =
            sqlite3_column_type(st, 4) == SQLITE_NULL ? (double)NAN : sqlite3_column_double(st, 4),
        .text = store_text(a, st, 5),
        .answer = store_text(a, st, 6),
        .rule = store_text(a, st, 7),
        .reason = store_text(a, st, 8),
        .stop = store_text(a, st, 9),
        .judged_us = sqlite3_column_int64(st, 12),
        .at_ms = sqlite3_column_int64(st, 13),
    };
    bool known = sqlite3_column_type(st, 10) != SQLITE_NULL;
    if (known) {
        r->verifier = store_text(a, st, 10);
        r->decided_by = store_text(a, st, 11);
    }
    return r->text && r->answer && r->rule && r->reason && r->stop &&
                   (!known || (r->verifier && r->decided_by))
               ? RUNG_OK
               : rung_fail(err, RUNG_E_NOMEM, "no memory for a rollout");
}

rung_status rung_rollout_list(rung_rollout **out, int32_t *n, rung_arena *a, rung_store *s,
                              int64_t run, int64_t node, rung_error *err) {
    rung_rollout_counts count;
    RUNG_TRY(rung_rollout_count(&count, s, run, node, err));
    *n = 0;
    *out = rung_arena_alloc(a, ((size_t)count.n + 1) * sizeof **out);
    if (!*out) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d rollouts", count.n);
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, s,
                       "SELECT id, i, verdict, n_tok, logprob, text, answer, rule, reason, stop,"
                       " verifier, decided_by, us, at_ms"
                       " FROM rollout WHERE run=? AND node=? ORDER BY i",
                       err));
    store_bind(st, "ii", run, node);
    rung_status code;
    while ((code = store_step(s, st, err, "read rollouts")) == RUNG_OK && *n < count.n) {
        rung_rollout *r = &(*out)[(*n)++];
        code = rollout_row(r, a, st, err);
        r->run = run;
        r->node = node;
        if (code != RUNG_OK) break;
    }
    sqlite3_reset(st);
    return code == RUNG_DONE ? RUNG_OK : code;
}

/* --- label ------------------------------------------------------------------------------------ */

rung_status rung_label_put(rung_store *s, const rung_label *l, bool *is_new, rung_error *err) {
    if (l->hard < -1 || l->hard > 1 || isinf(l->soft) || l->soft < 0.0 || l->soft > 1.0 ||
        l->c < 0 || l->c > l->n || l->n_unknown < 0 || !l->source || !l->source[0])
        return rung_fail(err, RUNG_E_INVAL,
                         "label of node %lld: wants a source, hard in -1..1, soft in [0,1] or NaN, "
                         "0 <= c <= n",
                         (long long)l->node);
    int64_t n = 0;
    RUNG_TRY(store_unit_begin(s, err));
    rung_status st =
        store_run(&n, s, err, "put a label",
                  "INSERT INTO label(run, node, source, labeler, hard, soft, n, c,"
                  " n_unknown) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"
                  " ON CONFLICT(run, node, source) DO NOTHING",
                  "iittidiii", l->run, l->node, l->source, l->labeler, (int64_t)l->hard, l->soft,
                  (int64_t)l->n, (int64_t)l->c, (int64_t)l->n_unknown);
    if (is_new) *is_new = n == 1;
    return store_unit_end(s, st, err);
}

rung_status rung_label_get(rung_label *out, bool *found, rung_store *s, int64_t run, int64_t node,
                           const char *source, rung_error *err) {
    *found = false;
    memset(out, 0, sizeof *out);
    sqlite3_stmt *st = NULL;
    RUNG_TRY(
        store_sql(&st, s,
                  "SELECT run, hard, soft, n, c, n_unknown FROM label"
                  " WHERE node=?1 AND source=?2 AND (?3=0 OR run=?3) ORDER BY run DESC LIMIT 1",
                  err));
    int rc = store_bind(st, "iti", node, source, run);
    if (rc != SQLITE_OK) return store_fail(s, rc, err, "could not read a label");
    rung_status code = store_step(s, st, err, "read a label");
    if (code != RUNG_OK) return code == RUNG_DONE ? RUNG_OK : code;
    *out = (rung_label){
        .run = sqlite3_column_int64(st, 0),
        .node = node,
        .source = source,
        .labeler = "",
        .hard = sqlite3_column_int(st, 1),
        .soft =
            sqlite3_column_type(st, 2) == SQLITE_NULL ? (double)NAN : sqlite3_column_double(st, 2),
        .n = sqlite3_column_int(st, 3),
        .c = sqlite3_column_int(st, 4),
        .n_unknown = sqlite3_column_int(st, 5),
    };
    sqlite3_reset(st);
    *found = true;
    return RUNG_OK;
}

rung_status rung_label_list(rung_label **out, int64_t *n, rung_arena *a, rung_store *s, int64_t run,
                            const char *source, rung_error *err) {
    int64_t n_rows = 0;
    bool found;
    *n = 0;
    RUNG_TRY(store_get_i64(&n_rows, &found, s, err, "count labels",
                           "SELECT count(*) FROM label WHERE run=?1 AND (?2='' OR source=?2)", "it",
                           run, source));
    *out = rung_arena_alloc(a, ((size_t)n_rows + 1) * sizeof **out);
    if (!*out) return rung_fail(err, RUNG_E_NOMEM, "no memory for labels");
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, s,
                       "SELECT node, source, labeler, hard, soft, n, c, n_unknown FROM label"
                       " WHERE run=?1 AND (?2='' OR source=?2) ORDER BY node, source",
                       err));
    store_bind(st, "it", run, source);
    rung_status code;
    while ((code = store_step(s, st, err, "read labels")) == RUNG_OK && *n < n_rows) {
        rung_label *l = &(*out)[(*n)++];
        *l = (rung_label){.run = run,
                          .node = sqlite3_column_int64(st, 0),
                          .source = store_text(a, st, 1),
                          .labeler = store_text(a, st, 2),
                          .hard = sqlite3_column_int(st, 3),
                          .soft = sqlite3_column_type(st, 4) == SQLITE_NULL
                                      ? (double)NAN
                                      : sqlite3_column_double(st, 4),
                          .n = sqlite3_column_int(st, 5),
                          .c = sqlite3_column_int(st, 6),
                          .n_unknown = sqlite3_column_int(st, 7)};
        if (!l->source || !l->labeler) code = rung_fail(err, RUNG_E_NOMEM, "no memory for a label");
        if (code != RUNG_OK) break;
    }
    sqlite3_reset(st);
    return code == RUNG_DONE ? RUNG_OK : code;
}

/* --- score ------------------------------------------------------------------------------------ */

rung_status rung_score_put(rung_store *s, int64_t node, int64_t model, double value,
                           rung_error *err) {
    if (!isfinite(value))
        return rung_fail(err, RUNG_E_INVAL, "score of node %lld is not finite", (long long)node);
    RUNG_TRY(store_unit_begin(s, err));
    rung_status st = store_run(NULL, s, err, "put a score",
                               "INSERT INTO score(node, model, value) VALUES(?, ?, ?)"
                               " ON CONFLICT(node, model) DO NOTHING",
                               "iid", node, model, value);
    return store_unit_end(s, st, err);
}

rung_status rung_score_get(double *value, bool *found, rung_store *s, int64_t node, int64_t model,
                           rung_error *err) {
    *found = false;
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, s, "SELECT value FROM score WHERE node=? AND model=?", err));
    store_bind(st, "ii", node, model);
    rung_status code = store_step(s, st, err, "read a score");
    if (code != RUNG_OK) return code == RUNG_DONE ? RUNG_OK : code;
    *value = sqlite3_column_double(st, 0);
    sqlite3_reset(st);
    *found = true;
    return RUNG_OK;
}

rung_status rung_score_count(int64_t *n, rung_store *s, int64_t model, rung_error *err) {
    bool found;
    *n = 0;
    return store_get_i64(n, &found, s, err, "count scores",
                         "SELECT count(*) FROM score WHERE model=?", "i", model);
}

/* --- critique --------------------------------------------------------------------------------- */

rung_status rung_critique_put(rung_store *s, rung_critique *c, bool *is_new, rung_error *err) {
    if (c->first_error < RUNG_FIRST_ERROR_UNKNOWN || !c->critic || !c->text)
        return rung_fail(err, RUNG_E_INVAL, "critique %d of trace %lld: no critic, text or claim",
                         c->i, (long long)c->trace);
    int64_t n = 0;
    bool found = false;
    RUNG_TRY(store_unit_begin(s, err));
    rung_status st =
        store_run(&n, s, err, "put a critique",
                  "INSERT INTO critique(run, trace, i, critic, text, first_error, meta)"
                  " VALUES(?, ?, ?, ?, ?, ?, ?) ON CONFLICT(run, trace, i) DO NOTHING",
                  "iiittit", c->run, c->trace, (int64_t)c->i, c->critic, c->text,
                  (int64_t)c->first_error, c->meta ? c->meta : "{}");
    if (st == RUNG_OK)
        st = store_get_i64(&c->id, &found, s, err, "put a critique",
                           "SELECT id FROM critique WHERE run=? AND trace=? AND i=?", "iii", c->run,
                           c->trace, (int64_t)c->i);
    if (is_new) *is_new = n == 1;
    return store_unit_end(s, st, err);
}

rung_status rung_critique_list(rung_critique **out, int32_t *n, rung_arena *a, rung_store *s,
                               int64_t run, int64_t trace, rung_error *err) {
    int64_t n_rows = 0;
    bool found;
    *n = 0;
    RUNG_TRY(store_get_i64(&n_rows, &found, s, err, "count critiques",
                           "SELECT count(*) FROM critique WHERE trace=?1 AND (?2=0 OR run=?2)",
                           "ii", trace, run));
    *out = rung_arena_alloc(a, ((size_t)n_rows + 1) * sizeof **out);
    if (!*out) return rung_fail(err, RUNG_E_NOMEM, "no memory for critiques");
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, s,
                       "SELECT id, run, i, critic, text, first_error, meta FROM critique"
                       " WHERE trace=?1 AND (?2=0 OR run=?2) ORDER BY run, i",
                       err));
    store_bind(st, "ii", trace, run);
    rung_status code;
    while ((code = store_step(s, st, err, "read critiques")) == RUNG_OK && *n < n_rows) {
        rung_critique *c = &(*out)[(*n)++];
        *c = (rung_critique){.id = sqlite3_column_int64(st, 0),
                             .run = sqlite3_column_int64(st, 1),
                             .trace = trace,
                             .i = sqlite3_column_int(st, 2),
                             .critic = store_text(a, st, 3),
                             .text = store_text(a, st, 4),
                             .first_error = sqlite3_column_int(st, 5),
                             .meta = store_text(a, st, 6)};
        if (!c->critic || !c->text || !c->meta)
            code = rung_fail(err, RUNG_E_NOMEM, "no memory for a critique");
        if (code != RUNG_OK) break;
    }
    sqlite3_reset(st);
    return code == RUNG_DONE ? RUNG_OK : code;
}
