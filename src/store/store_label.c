/* rollout, label, score: what is known about a step. */
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
                  " n_tok, logprob) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                  "iiitttttiid", r->run, r->node, (int64_t)r->i, r->text, r->answer, r->rule,
                  r->reason, r->stop, (int64_t)r->verdict, (int64_t)r->n_tok, r->logprob));
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
