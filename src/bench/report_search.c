/* Searches in the report: what each run answered and cost, so that curves against tokens, FLOPs and
 * seconds can be drawn, and a few trees. Chosen by place, never by outcome. */
#include "base/grow.h"
#include "base/json.h"
#include "bench/report.h"
#include "rung/search.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N_RUNS = 64, N_TREES = 3, NODES_MIN = 4, NODES_MAX = 160, N_BOOT = 2000 };

typedef struct answers {
    rung_search_ledger cost;
    double *correct;
    int64_t *problem, n, cap, n_unknown, n_none;
    int32_t *n_nodes;
    char method[48];
} answers;

static rung_status note(void *ud, const rung_search_row *r, rung_error *err) {
    answers *w = ud;
    const grow_array rows[] = {GROW_ARRAY(w->correct), GROW_ARRAY(w->problem),
                               GROW_ARRAY(w->n_nodes)};
    rung_search_ledger cost;
    if (!grow_arrays(&w->cap, w->n + 1, rows, sizeof rows / sizeof *rows))
        return rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld answers", (long long)w->n);
    RUNG_TRY(rung_search_ledger_read(&cost, r->ledger, err));
    rung_search_ledger_add(&w->cost, &cost);
    w->correct[w->n] = strcmp(r->outcome, "correct") == 0;
    w->n_unknown += strcmp(r->outcome, "unknown") == 0;
    w->n_none += strcmp(r->outcome, "no_answer") == 0;
    w->n_nodes[w->n] = r->n_nodes;
    w->problem[w->n++] = r->problem;
    if (w->n == 1) snprintf(w->method, sizeof w->method, "%s", r->method);
    return RUNG_OK;
}

static void put_str(rung_buf *b, const char *key, const char *value) {
    rung_buf_printf(b, ",\"%s\":", key);
    rung_buf_json_str(b, value ? value : "", value ? strlen(value) : 0);
}

static void put_mean(rung_buf *b, const char *key, double sum, int64_t n) {
    rung_buf_printf(b, ",\"%s\":", key);
    rung_put_num(b, sum / (double)n);
}

/* What makes runs points of one curve, and what moves along it. */
static void put_setting(rung_buf *b, const char *config) {
    yyjson_doc *doc = config ? yyjson_read(config, strlen(config), 0) : NULL;
    yyjson_val *o = yyjson_doc_get_root(doc);
    rung_buf_printf(b, ",\"n\":%lld,\"width\":%lld,\"seed\":%lld,\"flip\":",
                    (long long)rung_json_i64(o, "n", 0), (long long)rung_json_i64(o, "width", 0),
                    (long long)rung_json_i64(o, "seed", 0));
    rung_put_num(b, rung_json_f64(o, "flip", 0.0));
    put_str(b, "asked", rung_json_str(o, "method", ""));
    put_str(b, "score", rung_json_str(o, "score", ""));
    put_str(b, "prm", rung_json_str(o, "prm", ""));
    yyjson_doc_free(doc);
}

static void put_run(rung_buf *b, const rung_run *run, const answers *w) {
    double sum = 0.0;
    for (int64_t i = 0; i < w->n; i++) sum += w->correct[i];
    rung_buf_printf(b, "{\"run\":%lld,\"n_problems\":%lld,\"n_unknown\":%lld,\"n_no_answer\":%lld",
                    (long long)run->id, (long long)w->n, (long long)w->n_unknown,
                    (long long)w->n_none);
    put_str(b, "name", run->name);
    put_str(b, "method", w->method);
    put_setting(b, run->config);
    put_mean(b, "acc", sum, w->n);
    rung_buf_str(b, ",\"ci95\":");
    rung_put_interval(b, rung_bootstrap_mean(w->correct, w->n, N_BOOT, .95, 1));
    put_mean(b, "tokens", (double)w->cost.gen_tok, w->n);
    put_mean(b, "scored_tokens", (double)w->cost.scored_new_tok, w->n);
    put_mean(b, "judge_tokens", (double)(w->cost.judge_in_tok + w->cost.judge_out_tok), w->n);
    put_mean(b, "flops_cached", w->cost.flops_cached, w->n);
    put_mean(b, "flops_naive", w->cost.flops_naive, w->n);
    put_mean(b, "wall_s", run->wall_s, w->n); /* a problem's own seconds hold those of others */
    rung_buf_str(b, "}");
}

/* The problem in the middle, or the next one whose tree can be looked at. 0: none. */
static int64_t tree_of(const answers *w) {
    for (int64_t k = 0; k < w->n; k++) {
        int64_t i = (w->n / 2 + k) % w->n;
        if (w->n_nodes[i] >= NODES_MIN && w->n_nodes[i] <= NODES_MAX) return w->problem[i];
    }
    return 0;
}

static rung_status put_tree(rung_buf *b, rung_store *s, const rung_run *run, const answers *w,
                            int64_t problem, rung_error *err) {
    rung_arena *a = rung_arena_new(0);
    rung_tree t;
    rung_problem p;
    rung_status st = a ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "out of memory for a tree");
    if (st == RUNG_OK) st = rung_search_replay(&t, a, s, run->id, problem, err);
    if (st == RUNG_OK) st = rung_problem_get(s, &p, a, problem, err);
    if (st == RUNG_OK) {
        rung_buf_printf(b, "{\"run\":%lld,\"problem\":%lld", (long long)run->id,
                        (long long)problem);
        put_str(b, "name", run->name);
        put_str(b, "method", w->method);
        put_str(b, "question", p.question);
        put_str(b, "gold", p.answer);
        rung_buf_str(b, ",\"nodes\":");
        rung_tree_json(b, &t);
        rung_buf_str(b, "}");
    }
    rung_arena_free(a);
    return st;
}

typedef struct shown {
    char method[N_TREES][48];
    int n;
} shown;

/* A tree of each method, the newest runs first; whole samples side by side are no tree to see. */
static bool wants_tree(const shown *x, const answers *w) {
    static const char *const flat[] = {"greedy", "sc", "sc_weighted", "sc_adaptive", "bon", "vote"};
    for (size_t i = 0; i < sizeof flat / sizeof *flat; i++)
        if (strcmp(w->method, flat[i]) == 0) return false;
    for (int i = 0; i < x->n; i++)
        if (strcmp(x->method[i], w->method) == 0) return false;
    return x->n < N_TREES;
}

rung_status rung_report_searches(rung_buf *b, bool *any, rung_store *s, const rung_run *runs,
                                 int64_t n_runs, rung_error *err) {
    rung_buf trees;
    shown seen = {.n = 0};
    int n = 0;
    rung_status st = RUNG_OK;
    rung_buf_init(&trees, 64u << 20);
    rung_buf_str(b, "\"searches\":[");
    for (int64_t i = n_runs - 1; i >= 0 && n < N_RUNS && st == RUNG_OK; i--) {
        answers w = {.n = 0};
        st = rung_search_rows(s, runs[i].id, 0, note, &w, err);
        if (st == RUNG_OK && w.n > 0) {
            if (n++) rung_buf_str(b, ",");
            put_run(b, &runs[i], &w);
            int64_t problem = wants_tree(&seen, &w) ? tree_of(&w) : 0;
            if (problem) {
                if (seen.n) rung_buf_str(&trees, ",");
                memcpy(seen.method[seen.n++], w.method, sizeof w.method);
                st = put_tree(&trees, s, &runs[i], &w, problem, err);
            }
        }
        rung_free(w.correct);
        rung_free(w.problem);
        rung_free(w.n_nodes);
    }
    rung_buf_str(b, "],\"trees\":[");
    if (st == RUNG_OK) st = rung_buf_check(&trees, err);
    if (trees.n) rung_buf_append(b, trees.data, trees.n);
    rung_buf_str(b, "],");
    rung_buf_clear(&trees);
    *any = n > 0;
    return st;
}
