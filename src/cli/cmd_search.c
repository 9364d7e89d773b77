/* rung search run: one method, one pool, one answer per problem. */
#include "bench/pool.h"
#include "cli/session.h"
#include "rung/search.h"
#include <math.h>
#include <string.h>

static const cli_opt run_opts[] = {
    OPT_NAMES("method", "majority", cli_names_methods, CLI_KEY, "how to choose"),
    OPT_STR("prm", "", "MODEL", CLI_KEY, "process scores of this model: its file, name or number"),
    OPT_STR("orm", "", "MODEL", CLI_KEY, "outcome scores of this model"),
    OPT_NAMES("aggregate", "min", cli_names_aggregates, CLI_KEY,
              "how step scores make one score of a trace"),
    OPT_INT("n", "0", "TRACES", 0, 100000, CLI_KEY, "choose among the first n traces, 0 = all"),
};
const cli_group cli_search_run_group = CLI_GROUP_OF("search", run_opts);

static rung_status check_needs(const cli_call *c, const rung_method *m, rung_error *err) {
    if (m->needs_prm && !cli_str(c, "prm")) {
        rung_fail(err, RUNG_E_INVAL, "method %s needs process scores", m->name);
        return rung_error_hint(err, "--prm prm.gguf, after rung reward score prm.gguf");
    }
    if (m->needs_orm && !cli_str(c, "orm")) {
        rung_fail(err, RUNG_E_INVAL, "method %s needs outcome scores", m->name);
        return rung_error_hint(err, "--orm orm.gguf, after rung reward score orm.gguf");
    }
    return RUNG_OK;
}

static void row_json(rung_buf *b, const rung_trace_pool_problem *p, int at, int n) {
    const rung_candidate *x = at >= 0 ? &p->c[at] : NULL;
    rung_buf_printf(
        b, "{\"v\":1,\"problem\":%lld,\"n\":%d,\"chosen\":%d,\"answer\":", (long long)p->id, n, at);
    if (x)
        rung_buf_json_str(b, x->key, strlen(x->key));
    else
        rung_buf_str(b, "null");
    rung_buf_printf(b, ",\"correct\":%s", x && x->correct ? "true" : "false");
    const struct {
        const char *key;
        double v;
    } score[] = {{"prm", x ? x->prm : (double)NAN},
                 {"orm", x ? x->orm : (double)NAN},
                 {"confidence", x ? x->confidence : (double)NAN}};
    for (size_t i = 0; i < 3; i++) {
        if (isfinite(score[i].v)) rung_buf_printf(b, ",\"%s\":%.6g", score[i].key, score[i].v);
    }
    rung_buf_str(b, "}\n");
}

static void row_cells(cli_table *t, const rung_trace_pool_problem *p, int at, int n) {
    const rung_candidate *x = at >= 0 ? &p->c[at] : NULL;
    cli_cell(t, "%lld", (long long)p->id);
    cli_cell(t, "%d", n);
    cli_cell(t, "%d", at);
    cli_cell(t, "%s", x ? x->key : "");
    cli_cell(t, "%s", x ? (x->correct ? "correct" : "wrong") : "no answer");
    if (x && isfinite(x->prm))
        cli_cell(t, "%.3f", x->prm);
    else if (x && isfinite(x->orm))
        cli_cell(t, "%.3f", x->orm);
    else if (x && isfinite(x->confidence))
        cli_cell(t, "%.3f", x->confidence);
    else
        cli_cell(t, "-");
}

static rung_status choose_all(cli_call *c, const rung_trace_pool *pool, const rung_method *m,
                              int64_t *n_right, int64_t *n_none, rung_error *err) {
    static const char *const head[] = {"problem", "n", "chosen", "answer", "verdict", "score"};
    cli_table t;
    rung_status st = RUNG_OK;
    cli_table_init(&t, head, CLI_N(head));
    for (int64_t i = 0; i < pool->n_problems && st == RUNG_OK; i++) {
        const rung_trace_pool_problem *p = &pool->problem[i];
        int n = p->n;
        int64_t most = cli_int(c, "n");
        if (most > 0 && most < n) n = (int)most;
        int at = n > 0 ? m->choose(p->c, n) : -1;
        *n_right += at >= 0 && p->c[at].correct;
        *n_none += at < 0;
        if (c->app->json) {
            rung_buf b;
            rung_buf_init(&b, 1u << 20);
            row_json(&b, p, at, n);
            st = rung_buf_check(&b, err);
            if (st == RUNG_OK) st = cli_out(c->app, b.data, b.n, err);
            rung_buf_clear(&b);
        } else {
            row_cells(&t, p, at, n);
        }
    }
    if (st == RUNG_OK && !c->app->json)
        st = cli_table_print(&t, c->app, err);
    else
        rung_buf_clear(&t.cells);
    return st;
}

rung_status cli_search_run(cli_call *c, rung_error *err) {
    rung_store *s;
    rung_filter f;
    rung_trace_pool pool;
    int64_t prm = 0, orm = 0, n_right = 0, n_none = 0;
    rung_aggregate_id agg = RUNG_AGGREGATE_MIN;
    double t0 = rung_now();
    const rung_method *m = rung_method_find(cli_str(c, "method"));
    if (!m) return rung_fail(err, RUNG_E_INVAL, "no method %s", cli_str(c, "method"));
    RUNG_TRY(check_needs(c, m, err));
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_READ_ONLY, err));
    RUNG_TRY(cli_filter(&f, c, s, err));
    if (cli_str(c, "prm")) RUNG_TRY(cli_model_lookup(&prm, c, s, cli_str(c, "prm"), "prm", err));
    if (cli_str(c, "orm")) RUNG_TRY(cli_model_lookup(&orm, c, s, cli_str(c, "orm"), "orm", err));
    (void)rung_aggregate_find(&agg, cli_str(c, "aggregate"));
    rung_status st = rung_trace_pool_load(&pool, s, &f, prm, orm, agg, 0, err);
    if (st == RUNG_OK && pool.n_problems == 0) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no traces match");
        st = rung_error_hint(err, "look at --run, --set and --split");
    }
    if (st == RUNG_OK) st = choose_all(c, &pool, m, &n_right, &n_none, err);
    if (st == RUNG_OK) {
        rung_buf_printf(&c->summary,
                        "%s: %lld of %lld problems correct (%.1f%%), %lld without answer", m->name,
                        (long long)n_right, (long long)pool.n_problems,
                        100.0 * (double)n_right / (double)pool.n_problems, (long long)n_none);
        cli_result_open(c, NULL);
        cli_result_str(c, "method", m->name);
        cli_result_int(c, "n_problems", pool.n_problems);
        cli_result_int(c, "n_correct", n_right);
        cli_result_int(c, "n_no_answer", n_none);
        cli_result_real(c, "accuracy", (double)n_right / (double)pool.n_problems);
        cli_result_int(c, "tokens", pool.n_tok);
        cli_result_close(c, t0);
    }
    rung_trace_pool_clear(&pool);
    return st;
}
