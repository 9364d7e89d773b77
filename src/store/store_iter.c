/* Filters and iterators.  An iterator takes the keys of its rows when it is made and reads each row
 * when it is asked for, with a statement that is reset before it returns: no read transaction stays
 * open, so the same handle may write in between and the WAL can be checkpointed. */
#include "store/store_impl.h"
#include "store/store_rows.h"

#include <math.h>
#include <string.h>

typedef enum { ITER_PROBLEM, ITER_TRACE, ITER_METRIC, ITER_RESULT } iter_kind;

struct rung_iter {
    rung_store *s;
    iter_kind kind;
    int64_t *id; /* metric: one id for its whole list of rows, see metric_next */
    size_t n, at;
    rung_arena *row_arena;
    union {
        rung_problem problem;
        rung_trace trace;
    } row;
    int64_t run;       /* metric: the run */
    char *name;        /* metric: only this name; NULL all */
    int64_t last_step; /* metric: the key last returned */
    char *last_name;
};

/* --- filter to SQL ---------------------------------------------------------------------------- */

/* Named parameters: each may occur several times and is bound once. */
static void add_problem_filter(rung_buf *b, const rung_filter *f) {
    if (f->set && f->set[0]) rung_buf_str(b, " AND p.\"set\"=:set");
    if (f->split && f->split[0]) rung_buf_str(b, " AND p.split=:split");
    if (f->problem) rung_buf_str(b, " AND p.id=:problem");
}

static void add_trace_filter(rung_buf *b, const rung_filter *f) {
    if (f->run) rung_buf_str(b, " AND t.run=:run");
    if (f->trace) rung_buf_str(b, " AND t.id=:trace");
    if (f->generator && f->generator[0]) rung_buf_str(b, " AND t.generator=:generator");
}

static bool filters_traces(const rung_filter *f) {
    return f->run || f->trace || (f->generator && f->generator[0]);
}

/* The ids of the problems that count. */
static void add_problems(rung_buf *b, const rung_filter *f, bool with_traces) {
    rung_buf_str(b, "SELECT p.id FROM problem p WHERE 1");
    add_problem_filter(b, f);
    if (with_traces || filters_traces(f)) {
        rung_buf_str(b, " AND EXISTS(SELECT 1 FROM trace t WHERE t.problem=p.id");
        add_trace_filter(b, f);
        rung_buf_str(b, ")");
    }
    rung_buf_str(b, " ORDER BY p.id");
    if (f->limit > 0 || f->skip > 0) rung_buf_str(b, " LIMIT :limit OFFSET :skip");
}

static int bind_named_i64(sqlite3_stmt *st, const char *name, int64_t x) {
    int i = sqlite3_bind_parameter_index(st, name);
    return i ? sqlite3_bind_int64(st, i, x) : SQLITE_OK;
}

static int bind_named_text(sqlite3_stmt *st, const char *name, const char *x) {
    int i = sqlite3_bind_parameter_index(st, name);
    return i ? sqlite3_bind_text(st, i, x, -1, SQLITE_STATIC) : SQLITE_OK;
}

static int bind_filter(sqlite3_stmt *st, const rung_filter *f) {
    int rc = bind_named_text(st, ":set", f->set);
    if (rc == SQLITE_OK) rc = bind_named_text(st, ":split", f->split);
    if (rc == SQLITE_OK) rc = bind_named_text(st, ":generator", f->generator);
    if (rc == SQLITE_OK) rc = bind_named_i64(st, ":run", f->run);
    if (rc == SQLITE_OK) rc = bind_named_i64(st, ":problem", f->problem);
    if (rc == SQLITE_OK) rc = bind_named_i64(st, ":trace", f->trace);
    if (rc == SQLITE_OK) rc = bind_named_i64(st, ":limit", f->limit > 0 ? f->limit : -1);
    if (rc == SQLITE_OK) rc = bind_named_i64(st, ":skip", f->skip > 0 ? f->skip : 0);
    return rc;
}

/* --- ids -------------------------------------------------------------------------------------- */

static rung_status collect_ids(rung_iter *it, sqlite3_stmt *st, rung_error *err) {
    rung_buf ids;
    rung_buf_init(&ids, SIZE_MAX / 4);
    rung_status code;
    while ((code = store_step(it->s, st, err, "list rows")) == RUNG_OK) {
        int64_t id = sqlite3_column_int64(st, 0);
        rung_buf_append(&ids, &id, sizeof id);
        it->n++;
    }
    if (code == RUNG_DONE) code = rung_buf_check(&ids, err);
    if (code == RUNG_OK) {
        it->id = (int64_t *)(void *)rung_buf_take(&ids, NULL);
        if (!it->id) code = rung_fail(err, RUNG_E_NOMEM, "out of memory");
    }
    rung_buf_clear(&ids);
    return code;
}

static rung_status iter_new(rung_iter **out, rung_store *s, iter_kind kind, rung_error *err) {
    *out = NULL;
    rung_iter *it = rung_calloc(1, sizeof *it);
    if (it) it->row_arena = rung_arena_new(0);
    if (!it || !it->row_arena) {
        rung_free(it);
        return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    }
    it->s = s;
    it->kind = kind;
    *out = it;
    return RUNG_OK;
}

/* Filters make too many different texts to cache; one preparation per iterator is nothing. */
static rung_status run_id_query(rung_iter *it, const rung_buf *sql, const rung_filter *f,
                                rung_error *err) {
    sqlite3_stmt *st = NULL;
    RUNG_TRY(rung_buf_check(sql, err));
    int rc = sqlite3_prepare_v2(it->s->db, sql->data, (int)sql->n, &st, NULL);
    if (rc == SQLITE_OK) rc = bind_filter(st, f);
    rung_status code =
        rc == SQLITE_OK ? collect_ids(it, st, err)
                        : store_fail(it->s, rc, err, "could not query store \"%s\"", it->s->path);
    sqlite3_finalize(st);
    return code;
}

static rung_status iter_open(rung_iter **out, rung_store *s, const rung_filter *f, iter_kind kind,
                             rung_error *err) {
    static const rung_filter all = {0};
    if (!f) f = &all;
    rung_buf sql;
    rung_buf_init(&sql, 1 << 16);
    if (kind == ITER_TRACE) {
        rung_buf_str(&sql, "SELECT t.id FROM trace t WHERE t.problem IN (");
        add_problems(&sql, f, true);
        rung_buf_str(&sql, ")");
        add_trace_filter(&sql, f);
        rung_buf_str(&sql, " ORDER BY t.problem, t.run, t.i");
    } else {
        add_problems(&sql, f, false);
    }
    rung_status st = iter_new(out, s, kind, err);
    if (st == RUNG_OK) st = run_id_query(*out, &sql, f, err);
    if (st != RUNG_OK) {
        rung_iter_free(*out);
        *out = NULL;
    }
    rung_buf_clear(&sql);
    return st;
}

void rung_iter_free(rung_iter *it) {
    if (!it) return;
    rung_arena_free(it->row_arena);
    rung_free(it->id);
    rung_free(it->name);
    rung_free(it->last_name);
    rung_free(it);
}

static rung_status wrong_iter(rung_error *err) {
    return rung_fail(err, RUNG_E_MISUSE, "this iterator is of another kind");
}

/* --- problem, trace --------------------------------------------------------------------------- */

rung_status rung_problem_iter(rung_iter **out, rung_store *s, const rung_filter *f,
                              rung_error *err) {
    return iter_open(out, s, f, ITER_PROBLEM, err);
}

rung_status rung_problem_next(const rung_problem **row, rung_iter *it, rung_error *err) {
    *row = NULL;
    if (it->kind != ITER_PROBLEM) return wrong_iter(err);
    rung_arena_reset(it->row_arena);
    if (it->at >= it->n) return RUNG_DONE;
    RUNG_TRY(rung_problem_get(it->s, &it->row.problem, it->row_arena, it->id[it->at], err));
    it->at++;
    *row = &it->row.problem;
    return RUNG_OK;
}

rung_status rung_trace_iter(rung_iter **out, rung_store *s, const rung_filter *f, rung_error *err) {
    return iter_open(out, s, f, ITER_TRACE, err);
}

static rung_status no_memory(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "out of memory");
}

static rung_status read_tokens(rung_trace *t, rung_arena *a, sqlite3_stmt *st, rung_error *err) {
    t->n_tok = sqlite3_column_int(st, 5);
    size_t n = t->n_tok > 0 ? (size_t)t->n_tok : 0;
    const unsigned char *tok = sqlite3_column_blob(st, 6), *lp = sqlite3_column_blob(st, 7);
    if ((size_t)sqlite3_column_bytes(st, 6) != 4 * n ||
        (size_t)sqlite3_column_bytes(st, 7) != 4 * n)
        return rung_fail(err, RUNG_E_STORE, "trace %lld: token bytes and token count differ",
                         (long long)t->id);
    const unsigned char *drawn = NULL;
    if (n && sqlite3_column_type(st, 18) != SQLITE_NULL) drawn = sqlite3_column_blob(st, 18);
    if (drawn && (size_t)sqlite3_column_bytes(st, 18) != 4 * n)
        return rung_fail(err, RUNG_E_STORE, "trace %lld: token bytes and token count differ",
                         (long long)t->id);
    if (drawn) {
        float *out = rung_arena_alloc(a, 4 * n);
        if (!out) return no_memory(err);
        store_unpack_f32(out, drawn, n);
        t->logprob_draw = out;
    }
    int32_t *tok_out = rung_arena_alloc(a, 4 * n);
    float *lp_out = rung_arena_alloc(a, 4 * n);
    if (!tok_out || !lp_out) return no_memory(err);
    if (n) store_unpack_i32(tok_out, tok, n);
    if (n) store_unpack_f32(lp_out, lp, n);
    t->tok = tok_out;
    t->logprob = lp_out;
    return RUNG_OK;
}

static rung_status trace_of_row(rung_trace *t, rung_arena *a, sqlite3_stmt *st, rung_error *err) {
    t->run = sqlite3_column_int64(st, 0);
    t->problem = sqlite3_column_int64(st, 1);
    t->i = sqlite3_column_int(st, 2);
    t->generator = store_text(a, st, 3);
    t->text = store_text(a, st, 4);
    t->n_bytes = sqlite3_column_bytes(st, 4);
    RUNG_TRY(read_tokens(t, a, st, err));
    t->n_steps = sqlite3_column_int(st, 8);
    t->answer = store_text(a, st, 9);
    t->answer_key = store_text(a, st, 10);
    t->verdict = (rung_verdict)sqlite3_column_int(st, 11);
    t->verifier = store_text(a, st, 12);
    t->rule = store_text(a, st, 13);
    t->reason = store_text(a, st, 14);
    t->stop = store_text(a, st, 15);
    t->first_error = sqlite3_column_int(st, 16);
    t->first_error_source = store_text(a, st, 17);
    bool whole = t->generator && t->text && t->answer && t->answer_key && t->verifier && t->rule &&
                 t->reason && t->stop && t->first_error_source;
    return whole ? RUNG_OK : no_memory(err);
}

static rung_status read_steps(rung_trace *t, rung_arena *a, rung_store *s, rung_error *err) {
    size_t n = t->n_steps > 0 ? (size_t)t->n_steps : 0, at = 0;
    rung_step *step = rung_arena_alloc(a, (n ? n : 1) * sizeof *step);
    if (!step) return no_memory(err);
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, s,
                       "SELECT node, byte_begin, byte_end, tok_begin, tok_end FROM trace_step"
                       " WHERE trace=? ORDER BY k",
                       err));
    sqlite3_bind_int64(st, 1, t->id);
    rung_status code;
    while ((code = store_step(s, st, err, "read steps")) == RUNG_OK && at < n)
        step[at++] = (rung_step){.node = sqlite3_column_int64(st, 0),
                                 .byte_begin = sqlite3_column_int(st, 1),
                                 .byte_end = sqlite3_column_int(st, 2),
                                 .tok_begin = sqlite3_column_int(st, 3),
                                 .tok_end = sqlite3_column_int(st, 4)};
    sqlite3_reset(st);
    if (code < 0) return code;
    if (code != RUNG_DONE || at != n) {
        rung_fail(err, RUNG_E_STORE, "trace %lld: steps are missing or too many", (long long)t->id);
        return rung_error_hint(err, "run `rung store check`");
    }
    t->step = step;
    return RUNG_OK;
}

static rung_status read_trace(rung_trace *t, rung_arena *a, rung_store *s, int64_t id,
                              rung_error *err) {
    memset(t, 0, sizeof *t);
    t->id = id;
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, s,
                       "SELECT run, problem, i, generator, text, n_tok, tok, logprob, n_steps,"
                       " answer, answer_key, verdict, verifier, rule, reason, stop, first_error,"
                       " first_error_source, logprob_draw FROM trace WHERE id=?",
                       err));
    sqlite3_bind_int64(st, 1, id);
    rung_status code = store_step(s, st, err, "read a trace");
    if (code == RUNG_DONE)
        return rung_fail(err, RUNG_E_NOT_FOUND, "there is no trace %lld", (long long)id);
    if (code != RUNG_OK) return code;
    code = trace_of_row(t, a, st, err);
    sqlite3_reset(st);
    if (code != RUNG_OK) return code;
    return read_steps(t, a, s, err);
}

rung_status rung_trace_next(const rung_trace **row, rung_iter *it, rung_error *err) {
    *row = NULL;
    if (it->kind != ITER_TRACE) return wrong_iter(err);
    rung_arena_reset(it->row_arena);
    if (it->at >= it->n) return RUNG_DONE;
    RUNG_TRY(read_trace(&it->row.trace, it->row_arena, it->s, it->id[it->at], err));
    it->at++;
    *row = &it->row.trace;
    return RUNG_OK;
}

/* --- metric, result --------------------------------------------------------------------------- */

rung_status rung_metric_iter(rung_iter **out, rung_store *s, int64_t run, const char *name,
                             rung_error *err) {
    RUNG_TRY(iter_new(out, s, ITER_METRIC, err));
    (*out)->run = run;
    (*out)->last_step = INT64_MIN;
    (*out)->last_name = rung_strdup(name ? name : "");
    (*out)->name = name ? rung_strdup(name) : NULL;
    if ((*out)->last_name && (!name || (*out)->name)) return RUNG_OK;
    rung_iter_free(*out);
    *out = NULL;
    return no_memory(err);
}

/* By (name, step), each row found by the key of the one before. */
rung_status rung_metric_next(int64_t *step, const char **name, double *value, rung_iter *it,
                             rung_error *err) {
    if (it->kind != ITER_METRIC) return wrong_iter(err);
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, it->s,
                       "SELECT name, step, value FROM metric WHERE run=?1 AND"
                       " (name, step)>(?2, ?3) AND (?4='' OR name=?4) ORDER BY name, step LIMIT 1",
                       err));
    int rc = store_bind(st, "itit", it->run, it->last_name, it->last_step, it->name);
    if (rc != SQLITE_OK) return store_fail(it->s, rc, err, "could not read metrics");
    RUNG_TRY(store_step(it->s, st, err, "read metrics"));
    const char *text = (const char *)sqlite3_column_text(st, 0);
    char *now = rung_strdup(text ? text : "");
    int64_t now_step = sqlite3_column_int64(st, 1);
    bool none = sqlite3_column_type(st, 2) == SQLITE_NULL;
    double now_value = none ? (double)NAN : sqlite3_column_double(st, 2);
    sqlite3_reset(st);
    if (!now) return no_memory(err);
    rung_free(it->last_name);
    it->last_name = now;
    it->last_step = now_step;
    *step = now_step;
    *name = now;
    *value = now_value;
    return RUNG_OK;
}

rung_status rung_result_iter(rung_iter **out, rung_store *s, const char *kind, rung_error *err) {
    rung_status code = iter_new(out, s, ITER_RESULT, err);
    if (code != RUNG_OK) return code;
    sqlite3_stmt *st = NULL;
    code = store_sql(
        &st, s, "SELECT id FROM result WHERE ?1='' OR kind=?1 ORDER BY run DESC, id DESC", err);
    if (code == RUNG_OK) {
        int rc = store_bind(st, "t", kind);
        code = rc == SQLITE_OK ? collect_ids(*out, st, err)
                               : store_fail(s, rc, err, "could not list results");
    }
    if (code != RUNG_OK) {
        rung_iter_free(*out);
        *out = NULL;
    }
    return code;
}

rung_status rung_result_next(int64_t *run, const char **json, rung_iter *it, rung_error *err) {
    *json = NULL;
    if (it->kind != ITER_RESULT) return wrong_iter(err);
    rung_arena_reset(it->row_arena);
    if (it->at >= it->n) return RUNG_DONE;
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, it->s, "SELECT run, json FROM result WHERE id=?", err));
    sqlite3_bind_int64(st, 1, it->id[it->at]);
    rung_status code = store_step(it->s, st, err, "read a result");
    if (code != RUNG_OK)
        return code == RUNG_DONE ? rung_fail(err, RUNG_E_NOT_FOUND, "a result is gone") : code;
    *run = sqlite3_column_int64(st, 0);
    *json = store_text(it->row_arena, st, 1);
    sqlite3_reset(st);
    if (!*json) return no_memory(err);
    it->at++;
    return RUNG_OK;
}
