/* problem, node, trace: what was asked and what was written. */
#include "store/store_impl.h"
#include "store/store_rows.h"

#include <string.h>

/* --- problem ---------------------------------------------------------------------------------- */

static rung_status put_problem(rung_store *s, rung_problem *p, bool *is_new, rung_error *err) {
    int64_t n = 0;
    RUNG_TRY(store_run(&n, s, err, "put a problem",
                       "INSERT INTO problem(\"set\", split, key, question, answer, solution, world,"
                       " meta, verifier) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"
                       " ON CONFLICT(\"set\", key) DO NOTHING",
                       "ttttttttt", p->set, p->split, p->key, p->question, p->answer, p->solution,
                       p->world, p->meta, p->verifier));
    if (is_new) *is_new = n == 1;
    bool found;
    return store_get_i64(&p->id, &found, s, err, "put a problem",
                         "SELECT id FROM problem WHERE \"set\"=? AND key=?", "tt", p->set, p->key);
}

rung_status rung_problem_put(rung_store *s, rung_problem *p, bool *is_new, rung_error *err) {
    if (!p->set || !p->set[0] || !p->key || !p->key[0])
        return rung_fail(err, RUNG_E_INVAL, "a problem needs a set and a key");
    RUNG_TRY(store_unit_begin(s, err));
    return store_unit_end(s, put_problem(s, p, is_new, err), err);
}

rung_status rung_problem_by_key(int64_t *id, rung_store *s, const char *set, const char *key,
                                rung_error *err) {
    *id = 0;
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, s, "SELECT id FROM problem WHERE \"set\"=? AND key=?", err));
    sqlite3_bind_text(st, 1, set, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, key, -1, SQLITE_STATIC);
    rung_status code = store_step(s, st, err, "find a problem");
    if (code == RUNG_OK) *id = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return code == RUNG_DONE ? RUNG_OK : code;
}

rung_status rung_problem_get(rung_store *s, rung_problem *out, rung_arena *a, int64_t id,
                             rung_error *err) {
    memset(out, 0, sizeof *out);
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, s,
                       "SELECT \"set\", split, key, question, answer, solution, world, meta,"
                       " verifier FROM problem WHERE id=?",
                       err));
    sqlite3_bind_int64(st, 1, id);
    rung_status code = store_step(s, st, err, "read a problem");
    if (code == RUNG_DONE) {
        rung_fail(err, RUNG_E_NOT_FOUND, "there is no problem %lld", (long long)id);
        if (err) err->problem_id = id;
        return RUNG_E_NOT_FOUND;
    }
    if (code != RUNG_OK) return code;
    const char **field[] = {&out->set,      &out->split, &out->key,  &out->question, &out->answer,
                            &out->solution, &out->world, &out->meta, &out->verifier};
    bool whole = true;
    for (int i = 0; i < 9; i++) whole &= (*field[i] = store_text(a, st, i)) != NULL;
    sqlite3_reset(st);
    out->id = id;
    return whole ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "out of memory");
}

/* --- node ------------------------------------------------------------------------------------- */

/* A node's path is XXH3-128 of its parent's path (16 zero bytes above the first step) and its own
 * text: equal prefixes of one problem are one node, whoever wrote them and in whatever order. */
enum { PATH_BYTES = 16 };

static rung_status path_of(unsigned char out[PATH_BYTES], const unsigned char parent[PATH_BYTES],
                           const char *text, size_t n, rung_buf *scratch, rung_error *err) {
    static const char digits[] = "0123456789abcdef";
    rung_buf_reset(scratch);
    rung_buf_append(scratch, parent, PATH_BYTES);
    rung_buf_append(scratch, text, n);
    RUNG_TRY(rung_buf_check(scratch, err));
    char hex[33];
    rung_hash_hex(hex, scratch->data, scratch->n);
    for (int i = 0; i < PATH_BYTES; i++) {
        const char *hi = strchr(digits, hex[2 * i]), *lo = strchr(digits, hex[2 * i + 1]);
        out[i] = (unsigned char)((hi - digits) << 4 | (lo - digits));
    }
    return RUNG_OK;
}

static rung_status put_node(int64_t *id, rung_store *s, int64_t problem, int64_t parent,
                            int32_t depth, const unsigned char *path, const char *text, size_t n,
                            rung_error *err) {
    bool found;
    RUNG_TRY(store_get_i64(id, &found, s, err, "look up a node",
                           "SELECT id FROM node WHERE problem=? AND path=?", "ib", problem, path,
                           (size_t)PATH_BYTES));
    if (found) return RUNG_OK;
    RUNG_TRY(store_run(NULL, s, err, "put a node",
                       "INSERT INTO node(problem, parent, depth, path, text) VALUES(?, ?, ?, ?, ?)",
                       "iIibT", problem, parent, (int64_t)depth, path, (size_t)PATH_BYTES, text,
                       n));
    *id = sqlite3_last_insert_rowid(s->db);
    return RUNG_OK;
}

static rung_status node_below(int64_t *id, rung_store *s, int64_t problem, int64_t parent,
                              const char *text, size_t n, rung_buf *scratch, rung_error *err) {
    unsigned char path[PATH_BYTES] = {0};
    int32_t depth = n > 0 || parent ? 0 : -1; /* nothing below nothing: the bare problem */
    if (parent) {
        sqlite3_stmt *st = NULL;
        RUNG_TRY(store_sql(&st, s, "SELECT path, depth FROM node WHERE id=? AND problem=?", err));
        store_bind(st, "ii", parent, problem);
        rung_status code = store_step(s, st, err, "read a node");
        if (code == RUNG_DONE)
            return rung_fail(err, RUNG_E_NOT_FOUND, "problem %lld has no node %lld",
                             (long long)problem, (long long)parent);
        if (code != RUNG_OK) return code;
        const void *of = sqlite3_column_blob(st, 0);
        if (of && sqlite3_column_bytes(st, 0) == PATH_BYTES) memcpy(path, of, PATH_BYTES);
        depth = sqlite3_column_int(st, 1) + 1;
        sqlite3_reset(st);
    }
    RUNG_TRY(path_of(path, path, text, n, scratch, err));
    return put_node(id, s, problem, parent, depth, path, text, n, err);
}

rung_status rung_node_put(int64_t *id, rung_store *s, int64_t problem, int64_t parent,
                          const char *text, size_t n, rung_error *err) {
    rung_buf scratch;
    rung_buf_init(&scratch, 0);
    rung_status st = store_unit_begin(s, err);
    if (st == RUNG_OK)
        st = store_unit_end(s, node_below(id, s, problem, parent, text, n, &scratch, err), err);
    rung_buf_clear(&scratch);
    return st;
}

rung_status rung_node_get(rung_node *out, rung_arena *a, rung_store *s, int64_t id,
                          rung_error *err) {
    memset(out, 0, sizeof *out);
    sqlite3_stmt *st = NULL;
    RUNG_TRY(
        store_sql(&st, s, "SELECT problem, parent, depth, text, path FROM node WHERE id=?", err));
    sqlite3_bind_int64(st, 1, id);
    rung_status code = store_step(s, st, err, "read a node");
    if (code == RUNG_DONE)
        return rung_fail(err, RUNG_E_NOT_FOUND, "there is no node %lld", (long long)id);
    if (code != RUNG_OK) return code;
    out->id = id;
    out->problem = sqlite3_column_int64(st, 0);
    out->parent = sqlite3_column_int64(st, 1); /* NULL reads as 0 */
    out->depth = sqlite3_column_int(st, 2);
    out->text = store_text(a, st, 3);
    const unsigned char *path = sqlite3_column_blob(st, 4);
    for (int i = 0; path && i < 8 && i < sqlite3_column_bytes(st, 4); i++)
        out->path |= (uint64_t)path[i] << (8 * i);
    sqlite3_reset(st);
    return out->text ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "out of memory");
}

rung_status rung_node_prefix(rung_buf *b, rung_store *s, int64_t node, rung_error *err) {
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, s,
                       "WITH RECURSIVE up(id, parent, depth, text) AS ("
                       " SELECT id, parent, depth, text FROM node WHERE id=?"
                       " UNION ALL SELECT n.id, n.parent, n.depth, n.text"
                       " FROM node n JOIN up ON n.id=up.parent)"
                       " SELECT text FROM up ORDER BY depth",
                       err));
    sqlite3_bind_int64(st, 1, node);
    bool any = false;
    rung_status code;
    while ((code = store_step(s, st, err, "read a prefix")) == RUNG_OK) {
        const char *text = (const char *)sqlite3_column_text(st, 0);
        if (text) rung_buf_append(b, text, (size_t)sqlite3_column_bytes(st, 0));
        any = true;
    }
    if (code != RUNG_DONE) return code;
    if (!any) return rung_fail(err, RUNG_E_NOT_FOUND, "there is no node %lld", (long long)node);
    return rung_buf_check(b, err);
}

/* --- trace ------------------------------------------------------------------------------------ */

static rung_status bad_trace(const rung_trace *t, int32_t step, rung_error *err, const char *why) {
    rung_fail(err, RUNG_E_INVAL, "trace of problem %lld, sample %d: %s", (long long)t->problem,
              t->i, why);
    if (err) {
        err->problem_id = t->problem;
        err->rollout = t->i;
        err->step = step;
    }
    return RUNG_E_INVAL;
}

/* step = span = tokens, or an error: nothing downstream has to doubt it. */
static rung_status check_trace(const rung_trace *t, const rung_step *step, rung_error *err) {
    if (t->n_bytes < 0 || t->n_tok < 0 || t->n_steps < 0)
        return bad_trace(t, -1, err, "a count is negative");
    if (t->n_bytes > 0 && !t->text) return bad_trace(t, -1, err, "it has no text");
    if (t->n_tok > 0 && (!t->tok || !t->logprob))
        return bad_trace(t, -1, err, "it has a token count but no tokens or logprobs");
    if (t->n_steps > 0 && !step) return bad_trace(t, -1, err, "it has a step count but no steps");
    if (t->n_steps == 0 && t->n_bytes > 0) return bad_trace(t, -1, err, "it has text but no steps");
    if ((unsigned)t->verdict > RUNG_VERDICT_WRONG) return bad_trace(t, -1, err, "no such verdict");
    if (t->first_error < RUNG_FIRST_ERROR_UNKNOWN ||
        (t->first_error >= 0 && t->first_error >= t->n_steps))
        return bad_trace(t, t->first_error, err, "first_error is not one of its steps");
    int32_t byte = 0, tok = 0;
    for (int32_t k = 0; k < t->n_steps; k++) {
        if (step[k].byte_begin != byte || step[k].byte_end < byte)
            return bad_trace(t, k, err, "the byte spans of its steps are not contiguous");
        if (step[k].tok_begin != tok || step[k].tok_end < tok)
            return bad_trace(t, k, err, "the token spans of its steps are not contiguous");
        byte = step[k].byte_end;
        tok = step[k].tok_end;
    }
    if (byte != t->n_bytes) return bad_trace(t, -1, err, "its steps do not cover its text");
    if (t->n_steps > 0 && tok != t->n_tok)
        return bad_trace(t, -1, err, "its steps do not cover its tokens");
    return RUNG_OK;
}

static rung_status insert_trace(rung_store *s, rung_trace *t, rung_error *err) {
    size_t n = (size_t)t->n_tok;
    rung_status st = RUNG_OK;
    unsigned char *tok = rung_alloc(4 * n), *logprob = rung_alloc(4 * n);
    unsigned char *drawn = t->logprob_draw ? rung_alloc(4 * n) : NULL;
    if (!tok || !logprob || (t->logprob_draw && !drawn)) {
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory");
        goto out;
    }
    store_pack_i32(tok, t->tok, n);
    store_pack_f32(logprob, t->logprob, n);
    if (drawn) store_pack_f32(drawn, t->logprob_draw, n);
    st = store_run(NULL, s, err, "put a trace",
                   "INSERT INTO trace(run, problem, i, generator, text, n_tok, tok, logprob,"
                   " n_steps, answer, answer_key, verdict, verifier, rule, reason, stop,"
                   " first_error, first_error_source, logprob_draw)"
                   " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                   "iiitTibbittittttitB", t->run, t->problem, (int64_t)t->i, t->generator, t->text,
                   (size_t)t->n_bytes, (int64_t)t->n_tok, tok, 4 * n, logprob, 4 * n,
                   (int64_t)t->n_steps, t->answer, t->answer_key, (int64_t)t->verdict, t->verifier,
                   t->rule, t->reason, t->stop, (int64_t)t->first_error, t->first_error_source,
                   drawn, 4 * n);
    if (st == RUNG_OK) t->id = sqlite3_last_insert_rowid(s->db);
out:
    rung_free(tok);
    rung_free(logprob);
    rung_free(drawn);
    return st;
}

static rung_status insert_steps(rung_store *s, const rung_trace *t, rung_step *step,
                                rung_buf *scratch, rung_error *err) {
    unsigned char path[PATH_BYTES] = {0};
    int64_t parent = 0;
    for (int32_t k = 0; k < t->n_steps; k++) {
        const char *text = t->text + step[k].byte_begin;
        size_t n = (size_t)(step[k].byte_end - step[k].byte_begin);
        RUNG_TRY(path_of(path, path, text, n, scratch, err));
        RUNG_TRY(put_node(&step[k].node, s, t->problem, parent, k, path, text, n, err));
        parent = step[k].node;
        RUNG_TRY(store_run(NULL, s, err, "put a step",
                           "INSERT INTO trace_step(trace, k, node, byte_begin, byte_end, tok_begin,"
                           " tok_end) VALUES(?, ?, ?, ?, ?, ?, ?)",
                           "iiiiiii", t->id, (int64_t)k, step[k].node, (int64_t)step[k].byte_begin,
                           (int64_t)step[k].byte_end, (int64_t)step[k].tok_begin,
                           (int64_t)step[k].tok_end));
    }
    return RUNG_OK;
}

/* An existing trace: its id, and the nodes of as many steps as the caller has room for. */
static rung_status nodes_of(rung_store *s, const rung_trace *t, rung_step *step, rung_error *err) {
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, s, "SELECT k, node FROM trace_step WHERE trace=? ORDER BY k", err));
    sqlite3_bind_int64(st, 1, t->id);
    rung_status code;
    while ((code = store_step(s, st, err, "read steps")) == RUNG_OK) {
        int64_t k = sqlite3_column_int64(st, 0);
        if (k < t->n_steps) step[k].node = sqlite3_column_int64(st, 1);
    }
    return code == RUNG_DONE ? RUNG_OK : code;
}

static rung_status put_trace(rung_store *s, rung_trace *t, rung_step *step, bool *is_new,
                             rung_error *err) {
    bool found;
    RUNG_TRY(store_get_i64(&t->id, &found, s, err, "look up a trace",
                           "SELECT id FROM trace WHERE run=? AND problem=? AND i=?", "iii", t->run,
                           t->problem, (int64_t)t->i));
    if (is_new) *is_new = !found;
    if (found) return nodes_of(s, t, step, err);
    RUNG_TRY(insert_trace(s, t, err));
    if (t->decided_by) RUNG_TRY(store_put_judged(s, t, err));
    rung_buf scratch;
    rung_buf_init(&scratch, 0);
    rung_status st = insert_steps(s, t, step, &scratch, err);
    rung_buf_clear(&scratch);
    return st;
}

rung_status rung_trace_put(rung_store *s, rung_trace *t, rung_step *step, bool *is_new,
                           rung_error *err) {
    RUNG_TRY(check_trace(t, step, err));
    RUNG_TRY(store_unit_begin(s, err));
    rung_status st = store_unit_end(s, put_trace(s, t, step, is_new, err), err);
    if (st == RUNG_OK) t->step = step;
    return st;
}
