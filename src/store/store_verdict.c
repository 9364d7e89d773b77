/* verdict: what each verifier, by version, has said of a trace, by which rule and when. */
#include "rung/verdict.h"
#include "store/store_impl.h"

#include <string.h>

static rung_status put_row(rung_store *s, const rung_verdict_row *v, rung_error *err) {
    return store_run(NULL, s, err, "put a verdict",
                     "INSERT OR REPLACE INTO verdict(trace, verifier, version, verdict, answer,"
                     " answer_key, extracted_by, rule, reason, us, at_ms)"
                     " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                     "ittitttttIi", v->trace, v->verifier, v->version, (int64_t)v->verdict,
                     v->answer, v->answer_key, v->extracted_by, v->rule, v->reason, v->us,
                     v->at_ms > 0 ? v->at_ms : rung_unix_ms());
}

rung_status rung_verdict_put(rung_store *s, const rung_verdict_row *v, rung_error *err) {
    if ((unsigned)v->verdict > RUNG_VERDICT_WRONG || !v->verifier || !v->verifier[0] ||
        !v->version || !v->version[0] || v->us < 0)
        return rung_fail(err, RUNG_E_INVAL, "verdict of trace %lld: bad verdict, verifier or time",
                         (long long)v->trace);
    RUNG_TRY(store_unit_begin(s, err));
    return store_unit_end(s, put_row(s, v, err), err);
}

/* "math" of "math-3". */
static void name_of(char *out, size_t n_out, const char *version) {
    const char *dash = strrchr(version, '-');
    size_t n = dash && dash > version ? (size_t)(dash - version) : strlen(version);
    if (n >= n_out) n = n_out - 1;
    memcpy(out, version, n);
    out[n] = '\0';
}

rung_status store_put_judged(rung_store *s, const rung_trace *t, rung_error *err) {
    char name[64];
    if (!t->verifier || !t->verifier[0]) return RUNG_OK;
    name_of(name, sizeof name, t->verifier);
    return put_row(s,
                   &(rung_verdict_row){.trace = t->id,
                                       .verifier = name,
                                       .version = t->verifier,
                                       .verdict = t->verdict,
                                       .answer = t->answer,
                                       .answer_key = t->answer_key,
                                       .extracted_by = t->rule,
                                       .rule = t->decided_by,
                                       .reason = t->reason,
                                       .us = t->judged_us > 0 ? t->judged_us : 0},
                   err);
}

static rung_status rejudge(rung_store *s, const rung_trace *t, rung_error *err) {
    int64_t n = 0;
    RUNG_TRY(store_run(&n, s, err, "judge a trace again",
                       "UPDATE trace SET answer=?, answer_key=?, verdict=?, verifier=?, rule=?,"
                       " reason=?, first_error=?, first_error_source=? WHERE id=?",
                       "ttitttiti", t->answer, t->answer_key, (int64_t)t->verdict, t->verifier,
                       t->rule, t->reason, (int64_t)t->first_error, t->first_error_source, t->id));
    if (n == 0) return rung_fail(err, RUNG_E_NOT_FOUND, "there is no trace %lld", (long long)t->id);
    return store_put_judged(s, t, err);
}

rung_status rung_trace_rejudge(rung_store *s, const rung_trace *t, rung_error *err) {
    if ((unsigned)t->verdict > RUNG_VERDICT_WRONG || t->first_error < RUNG_FIRST_ERROR_UNKNOWN ||
        t->first_error >= (t->n_steps > 0 ? t->n_steps : 0))
        return rung_fail(err, RUNG_E_INVAL, "trace %lld: bad verdict or first error",
                         (long long)t->id);
    RUNG_TRY(store_unit_begin(s, err));
    return store_unit_end(s, rejudge(s, t, err), err);
}

static bool read_row(rung_verdict_row *v, rung_arena *a, sqlite3_stmt *st) {
    *v = (rung_verdict_row){.trace = sqlite3_column_int64(st, 0),
                            .verifier = store_text(a, st, 1),
                            .version = store_text(a, st, 2),
                            .verdict = (rung_verdict)sqlite3_column_int(st, 3),
                            .answer = store_text(a, st, 4),
                            .answer_key = store_text(a, st, 5),
                            .extracted_by = store_text(a, st, 6),
                            .rule = store_text(a, st, 7),
                            .reason = store_text(a, st, 8),
                            .us = sqlite3_column_int64(st, 9),
                            .at_ms = sqlite3_column_int64(st, 10)};
    return v->verifier && v->version && v->answer && v->answer_key && v->extracted_by && v->rule &&
           v->reason;
}

rung_status rung_verdict_rows(rung_verdict_row **out, size_t *n, rung_arena *a, rung_store *s,
                              int64_t trace, rung_error *err) {
    int64_t count = 0;
    bool found;
    *n = 0;
    *out = NULL;
    RUNG_TRY(store_get_i64(&count, &found, s, err, "count verdicts",
                           "SELECT count(*) FROM verdict WHERE trace=?", "i", trace));
    if (count <= 0) return RUNG_OK;
    *out = rung_arena_alloc(a, (size_t)count * sizeof **out);
    if (!*out) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    sqlite3_stmt *st = NULL;
    RUNG_TRY(store_sql(&st, s,
                       "SELECT trace, verifier, version, verdict, answer, answer_key, extracted_by,"
                       " rule, reason, us, at_ms FROM verdict WHERE trace=?"
                       " ORDER BY verifier, version",
                       err));
    sqlite3_bind_int64(st, 1, trace);
    rung_status code;
    while ((code = store_step(s, st, err, "read verdicts")) == RUNG_OK && *n < (size_t)count) {
        if (!read_row(&(*out)[*n], a, st)) code = rung_fail(err, RUNG_E_NOMEM, "out of memory");
        if (code != RUNG_OK) break;
        ++*n;
    }
    sqlite3_reset(st);
    return code == RUNG_DONE ? RUNG_OK : code;
}
