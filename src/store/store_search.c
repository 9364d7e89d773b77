/* search, search_event: what a search answered, what it cost, and how its tree grew. */
#include "store/store_impl.h"

#include <math.h>

static rung_status put_event(rung_store *s, const rung_search_row *r, const rung_search_event *e,
                             int32_t seq, rung_error *err) {
    return store_run(NULL, s, err, "put an event of a search",
                     "INSERT INTO search_event(run, problem, seq, kind, node, parent, value, n,"
                     " text) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
                     "iiitiidiT", r->run, r->problem, (int64_t)seq, e->kind, (int64_t)e->node,
                     (int64_t)e->parent, isfinite(e->value) ? e->value : (double)NAN, (int64_t)e->n,
                     e->text ? e->text : "", (size_t)e->n_bytes);
}

static rung_status put_search(rung_store *s, const rung_search_row *r,
                              const rung_search_event *event, int32_t n_events, bool *is_new,
                              rung_error *err) {
    int64_t n = 0;
    RUNG_TRY(store_run(&n, s, err, "put a search",
                       "INSERT INTO search(run, problem, method, chosen, answer_key, verdict,"
                       " outcome, n_traces, n_nodes, ledger) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                       " ON CONFLICT(run, problem) DO NOTHING",
                       "iitititiit", r->run, r->problem, r->method, (int64_t)r->chosen,
                       r->answer_key, (int64_t)r->verdict, r->outcome, (int64_t)r->n_traces,
                       (int64_t)r->n_nodes, r->ledger));
    if (is_new) *is_new = n > 0;
    for (int32_t i = 0; i < n_events && n > 0; i++) RUNG_TRY(put_event(s, r, &event[i], i, err));
    return RUNG_OK;
}

rung_status rung_search_put(rung_store *s, const rung_search_row *r, const rung_search_event *event,
                            int32_t n_events, bool *is_new, rung_error *err) {
    if ((unsigned)r->verdict > RUNG_VERDICT_WRONG || r->chosen < -1 || !r->method || !r->method[0])
        return rung_fail(err, RUNG_E_INVAL, "search of problem %lld: bad verdict, choice or method",
                         (long long)r->problem);
    RUNG_TRY(store_unit_begin(s, err));
    return store_unit_end(s, put_search(s, r, event, n_events, is_new, err), err);
}

static const char *text_at(sqlite3_stmt *st, int column) {
    const char *t = (const char *)sqlite3_column_text(st, column);
    return t ? t : "";
}

rung_status rung_search_rows(rung_store *s, int64_t run, int64_t problem,
                             rung_status (*row)(void *ud, const rung_search_row *r,
                                                rung_error *err),
                             void *ud, rung_error *err) {
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, s,
                       "SELECT run, problem, method, chosen, answer_key, verdict, outcome,"
                       " n_traces, n_nodes, ledger FROM search WHERE run=?1 AND"
                       " (?2=0 OR problem=?2) ORDER BY problem",
                       err));
    store_bind(st, "ii", run, problem);
    rung_status code, told = RUNG_OK;
    while (told == RUNG_OK && (code = store_step(s, st, err, "read searches")) == RUNG_OK) {
        rung_search_row r = {.run = sqlite3_column_int64(st, 0),
                             .problem = sqlite3_column_int64(st, 1),
                             .method = text_at(st, 2),
                             .chosen = sqlite3_column_int(st, 3),
                             .answer_key = text_at(st, 4),
                             .verdict = (rung_verdict)sqlite3_column_int(st, 5),
                             .outcome = text_at(st, 6),
                             .n_traces = sqlite3_column_int(st, 7),
                             .n_nodes = sqlite3_column_int(st, 8),
                             .ledger = text_at(st, 9)};
        told = row(ud, &r, err);
    }
    sqlite3_reset(st);
    if (told != RUNG_OK) return told;
    return code == RUNG_DONE ? RUNG_OK : code;
}

rung_status rung_search_events(rung_store *s, int64_t run, int64_t problem,
                               rung_status (*event)(void *ud, const rung_search_event *e,
                                                    rung_error *err),
                               void *ud, rung_error *err) {
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, s,
                       "SELECT kind, node, parent, value, n, text FROM search_event"
                       " WHERE run=? AND problem=? ORDER BY seq",
                       err));
    store_bind(st, "ii", run, problem);
    rung_status code, told = RUNG_OK;
    while (told == RUNG_OK && (code = store_step(s, st, err, "read a search")) == RUNG_OK) {
        bool none = sqlite3_column_type(st, 3) == SQLITE_NULL;
        rung_search_event e = {.kind = text_at(st, 0),
                               .node = sqlite3_column_int(st, 1),
                               .parent = sqlite3_column_int(st, 2),
                               .value = none ? (double)NAN : sqlite3_column_double(st, 3),
                               .n = sqlite3_column_int(st, 4),
                               .text = text_at(st, 5)};
        e.n_bytes = sqlite3_column_bytes(st, 5);
        told = event(ud, &e, err);
    }
    sqlite3_reset(st);
    if (told != RUNG_OK) return told;
    return code == RUNG_DONE ? RUNG_OK : code;
}
