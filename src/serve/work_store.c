/* What the store keeps, for those who look at it: trees, runs, the searches of a run, the report.
 */
#include "rung/bench.h"
#include "serve/work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SEARCHES_SHOWN = 200 };

static rung_status no_such(rung_error *err) {
    return rung_fail(err, RUNG_E_NOT_FOUND, "the store keeps nothing of this number");
}

static void text(rung_buf *b, const char *key, const char *s) {
    rung_buf_printf(b, ",\"%s\":", key);
    rung_buf_json_str(b, s ? s : "", s ? strlen(s) : 0);
}

/* ---- a tree: RUN-PROBLEM */

static void tree_json(rung_buf *b, const char *id, const rung_tree *t, const rung_problem *p) {
    rung_buf_str(b, "{\"id\":");
    rung_buf_json_str(b, id, strlen(id));
    text(b, "question", p->question);
    rung_buf_str(b, ",\"nodes\":");
    rung_tree_json(b, t);
    rung_buf_str(b, "}");
}

static rung_status tree(rung_buf *b, rung_store *s, rung_arena *a, const char *id,
                        rung_error *err) {
    rung_tree t;
    rung_problem p;
    char *end = NULL;
    long long run = strtoll(id, &end, 10);
    long long problem = end != id && *end == '-' ? strtoll(end + 1, &end, 10) : 0;
    if (run <= 0 || problem <= 0 || *end) return no_such(err);
    RUNG_TRY(rung_search_replay(&t, a, s, run, problem, err));
    if (t.n == 1) return no_such(err);
    RUNG_TRY(rung_problem_get(s, &p, a, problem, err));
    tree_json(b, id, &t, &p);
    return RUNG_OK;
}

/* ---- runs */

static rung_status count(void *ud, const rung_search_row *r, rung_error *err) {
    (void)r;
    (void)err;
    ++*(int64_t *)ud;
    return RUNG_OK;
}

static rung_status all_runs(rung_buf *b, rung_store *s, rung_arena *a, rung_error *err) {
    rung_run *run = NULL;
    int64_t n = 0;
    RUNG_TRY(rung_run_list(&run, &n, a, s, err));
    rung_buf_str(b, "{\"runs\":[");
    for (int64_t i = n - 1; i >= 0; i--) {
        int64_t searches = 0;
        RUNG_TRY(rung_search_rows(s, run[i].id, 0, count, &searches, err));
        rung_buf_printf(b, "%s{\"id\":%lld", i < n - 1 ? "," : "", (long long)run[i].id);
        text(b, "name", run[i].name);
        text(b, "kind", run[i].kind);
        rung_buf_printf(b,
                        ",\"started_ms\":%lld,\"tokens\":%lld,\"wall_s\":%.3f,\"searches\":%lld}",
                        (long long)run[i].started_ms, (long long)run[i].tokens, run[i].wall_s,
                        (long long)searches);
    }
    rung_buf_str(b, "]}");
    return RUNG_OK;
}

/* ---- searches of a run: the last ones */

typedef struct found {
    int64_t problem, tokens;
    char method[32];
    int32_t chosen, n_nodes;
} found;
typedef struct searches {
    found row[SEARCHES_SHOWN];
    int64_t n; /* seen; the newest are kept */
} searches;

static rung_status note(void *ud, const rung_search_row *r, rung_error *err) {
    searches *all = ud;
    found *f = &all->row[all->n++ % SEARCHES_SHOWN];
    rung_search_ledger cost;
    RUNG_TRY(rung_search_ledger_read(&cost, r->ledger, err));
    *f = (found){
        .problem = r->problem, .tokens = cost.gen_tok, .chosen = r->chosen, .n_nodes = r->n_nodes};
    size_t n = strlen(r->method);
    memcpy(f->method, r->method, n < sizeof f->method ? n : sizeof f->method - 1);
    return RUNG_OK;
}

/* The answer as the chosen trace has it. */
static rung_status answer_of(rung_buf *b, rung_store *s, int64_t run, const found *f,
                             rung_error *err) {
    rung_filter filter = {.run = run, .problem = f->problem};
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_status st;
    RUNG_TRY(rung_trace_iter(&it, s, &filter, err));
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if (t->i != f->chosen) continue;
        text(b, "answer", t->answer);
        break;
    }
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

static rung_status searches_of(rung_buf *b, rung_store *s, rung_arena *a, const char *id,
                               rung_error *err) {
    char *end = NULL;
    long long run = strtoll(id, &end, 10);
    searches *all = rung_arena_alloc(a, sizeof *all);
    if (end == id || *end || run <= 0) return no_such(err);
    if (!all) return rung_fail(err, RUNG_E_NOMEM, "no memory for a list");
    RUNG_TRY(rung_search_rows(s, run, 0, note, all, err));
    int64_t from = all->n > SEARCHES_SHOWN ? all->n - SEARCHES_SHOWN : 0;
    rung_buf_printf(b, "{\"run\":%lld,\"n\":%lld,\"searches\":[", run, (long long)all->n);
    for (int64_t i = all->n - 1; i >= from; i--) {
        const found *f = &all->row[i % SEARCHES_SHOWN];
        rung_problem p;
        RUNG_TRY(rung_problem_get(s, &p, a, f->problem, err));
        rung_buf_printf(b, "%s{\"id\":\"%lld-%lld\",\"nodes\":%d,\"tokens\":%lld",
                        i < all->n - 1 ? "," : "", run, (long long)f->problem, f->n_nodes,
                        (long long)f->tokens);
        text(b, "method", f->method);
        text(b, "question", p.question);
        RUNG_TRY(answer_of(b, s, run, f, err));
        rung_buf_str(b, "}");
    }
    rung_buf_str(b, "]}");
    return RUNG_OK;
}

rung_status work_read_store(rung_buf *b, serve_kind kind, const char *path, size_t n, rung_arena *a,
                            const char *store, rung_error *err) {
    rung_store *s = NULL;
    char *id = rung_arena_strndup(a, path, n);
    if (!id) return rung_fail(err, RUNG_E_NOMEM, "no memory for a request");
    if (!store || access(store, R_OK) != 0)
        return rung_fail(err, RUNG_E_NOT_FOUND, "this server has no store");
    RUNG_TRY(rung_store_open(&s, store, RUNG_STORE_READ_ONLY, err));
    rung_status st;
    switch (kind) {
    case SERVE_TREE: st = tree(b, s, a, id, err); break;
    case SERVE_RUNS: st = all_runs(b, s, a, err); break;
    case SERVE_SEARCHES: st = searches_of(b, s, a, id, err); break;
    default: st = rung_report_html(b, s, "rung", "rung serve", NULL, err);
    }
    rung_store_close(s);
    return st == RUNG_OK ? rung_buf_check(b, err) : st;
}
