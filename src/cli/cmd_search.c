/* rung search run: one method, one pool, one answer per problem. With a policy: cmd_search_live.c.
 */
#include "bench/pool.h"
#include "cli/session.h"
#include "rung/search.h"
#include <math.h>
#include <string.h>

static const cli_opt run_opts[] = {
    OPT_NAMES("method", "majority", cli_names_searches, CLI_KEY,
              "how to choose from a pool, or what to search with --policy"),
    OPT_STR("prm", "", "MODEL", CLI_NOTE,
            "process scores of this model: its file, or, of a pool, its name or number"),
    OPT_STR("orm", "", "MODEL", CLI_NOTE, "outcome scores of this model"),
    OPT_NAMES("aggregate", "", cli_names_aggregates, CLI_KEY,
              "how step scores make one score; empty = min, in a search last"),
    OPT_INT(
        "n", "0", "TRACES", 0, 100000, CLI_KEY,
        "pool: the first n traces, 0 = all; search: samples, beams, particles, simulations, 0 = "
        "the method's"),
    OPT_NAMES("score", "", cli_names_scorers, CLI_KEY,
              "search: where step scores come from; empty = the reward model if there is one"),
    OPT_REAL("flip", "0", "CHANCE", 0, 1, CLI_KEY, "search: chance that truth is turned around"),
    OPT_NAMES("select", "", cli_names_methods, CLI_KEY,
              "search: who takes the answer from what is finished; empty = the method's"),
    OPT_INT("width", "4", "CHILDREN", 1, 1000, CLI_KEY, "search: children of a state"),
    OPT_INT("depth", "40", "STEPS", 1, 500, CLI_KEY, "search: most rounds, or steps of a trace"),
    OPT_INT("step-tokens", "256", "TOKENS", 1, 1e6, CLI_KEY, "search: longest step"),
    OPT_STR("split-steps", "", "HOW", CLI_KEY,
            "search: line, blank or delimiter:TEXT; empty = line for worlds, else blank"),
    OPT_INT("lookahead", "0", "STEPS", 0, 64, CLI_KEY,
            "beam, dvts: greedy steps before a candidate is scored"),
    OPT_INT("tau", "64", "TOKENS", 1, 1e6, CLI_KEY,
            "early_rejection: tokens before the partial score"),
    OPT_REAL("tau-share", "0", "SHARE", 0, 1, CLI_KEY,
             "early_rejection: tau as a share of the running median step, 0 = off"),
    OPT_BOOL("rescore", "false", CLI_KEY, "early_rejection: score finished steps once more"),
    OPT_BOOL("replicate", "false", CLI_KEY,
             "as the method's reference code has it, slips included"),
    OPT_REAL("explore", "0", "C", 0, 1e6, CLI_KEY, "tree search: the rule's constant, 0 = its own"),
    OPT_INT("budget-tokens", "0", "TOKENS", 0, 9e15, CLI_KEY,
            "search: the round that passes this many sampled tokens is the last, 0 = no limit"),
    OPT_REAL("sure", "0.95", "P", 0.5, 1, CLI_KEY,
             "sc_adaptive: posterior of the leading answer at which sampling stops"),
    OPT_REAL("threshold", "0.5", "SCORE", 0, 1, CLI_KEY, "tot_dfs: states below it are left"),
    OPT_INT("iterations", "2", "N", 1, 1000, CLI_KEY, "particle_gibbs: iterations"),
    OPT_INT("references", "1", "N", 1, 1000, CLI_KEY, "particle_gibbs: reference particles"),
    OPT_BOOL("draw", "false", CLI_KEY, "particles: draw the answer by weight, not the largest"),
    OPT_STR(
        "reuse", "", "RUN", CLI_NOTE,
        "search: take whole traces from this sampling run, which had the same policy, sampling, "
        "length and seed"),
    OPT_INT("at-once", "32", "PROBLEMS", 1, 4096, CLI_NOTE, "search: problems searched at once"),
    OPT_NAME,
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
    if (cli_str(c, "policy") || cli_str(c, "endpoint")) return cli_search_live(c, err);
    const rung_method *m = rung_method_find(cli_str(c, "method"));
    if (!m) {
        rung_fail(err, RUNG_E_INVAL, "%s samples on its own: it needs a policy",
                  cli_str(c, "method"));
        return rung_error_hint(err, "--policy models/tiny.gguf");
    }
    RUNG_TRY(check_needs(c, m, err));
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_READ_ONLY, err));
    RUNG_TRY(cli_filter(&f, c, s, err));
    if (cli_str(c, "prm")) RUNG_TRY(cli_model_lookup(&prm, c, s, cli_str(c, "prm"), "prm", err));
    if (cli_str(c, "orm")) RUNG_TRY(cli_model_lookup(&orm, c, s, cli_str(c, "orm"), "orm", err));
    if (cli_str(c, "aggregate")) (void)rung_aggregate_find(&agg, cli_str(c, "aggregate"));
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
