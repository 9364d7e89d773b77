/* rung search run --policy, and rung search show. */
#include "cli/session.h"
#include "rung/search.h"
#include "rung/train.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const cli_opt show_opts[] = {
    OPT_INT("problem", "0", "ID", 0, 9e15, CLI_FREE, "the tree of this problem"),
};
const cli_group cli_search_show_group = CLI_GROUP_OF("show", show_opts);

/* ---- search run --policy */

static rung_status open_scorer(rung_search_opts *o, cli_call *c, const cli_engine *e,
                               const char *path, rung_error *err) {
    rung_reward_open_opts ro = RUNG_REWARD_OPEN_OPTS_INIT;
    rung_engine_opts eo = RUNG_ENGINE_OPTS_INIT;
    bool base = false;
    eo.n_threads = c->app->threads;
    eo.exact = cli_flag(c, "exact");
    ro.engine = &eo;
    ro.log = &c->app->log;
    RUNG_TRY(rung_reward_needs_base(&base, path, err));
    if (base && !e->model) {
        rung_fail(err, RUNG_E_INVAL, "%s reads the policy's hidden states: an endpoint has none",
                  path);
        return rung_error_hint(err, "a reward model of its own (prm_token) goes with any policy");
    }
    if (!base) RUNG_TRY(cli_weights(&ro.weights, c, path, 0, err));
    ro.base = base ? e->engine : NULL;
    RUNG_TRY(rung_reward_open_as(&o->reward, path, &ro, err));
    o->reward_on_policy = base;
    o->reward_size = cli_model_size(e->model);
    return rung_reward_register(&o->score_model, o->reward, c->app->store, err);
}

/* A pool method with a policy samples n traces and chooses by it. */
static void set_method(rung_search_opts *o, cli_call *c) {
    const char *name = cli_str(c, "method");
    rung_search_info info;
    o->method = name;
    o->select = cli_str(c, "select");
    if (rung_search_find(&info, name)) return;
    o->method = "sc";
    if (!o->select) o->select = name;
}

static void set_numbers(rung_search_opts *o, cli_call *c) {
    o->n = (int32_t)cli_int(c, "n");
    o->width = (int32_t)cli_int(c, "width");
    o->depth = (int32_t)cli_int(c, "depth");
    o->step_tok = (int32_t)cli_int(c, "step-tokens");
    o->max_tok = (int32_t)cli_int(c, "max-tokens");
    o->lookahead = (int32_t)cli_int(c, "lookahead");
    o->tau = (int32_t)cli_int(c, "tau");
    o->tau_share = cli_real(c, "tau-share");
    o->rescore = cli_flag(c, "rescore");
    o->replicate = cli_flag(c, "replicate");
    o->explore = cli_real(c, "explore");
    o->budget_tok = cli_int(c, "budget-tokens");
    o->confidence = cli_real(c, "sure");
    o->threshold = cli_real(c, "threshold");
    o->iterations = (int32_t)cli_int(c, "iterations");
    o->n_ref = (int32_t)cli_int(c, "references");
    o->draw = cli_flag(c, "draw");
    o->flip = cli_real(c, "flip");
    o->at_once = (int32_t)cli_int(c, "at-once");
    o->seed = (uint64_t)cli_int(c, "seed");
    o->system = cli_str(c, "system");
    o->suffix = cli_str(c, "suffix");
    o->stop = cli_str(c, "stop");
    o->split = cli_str(c, "split-steps");
}

static rung_status set_scorer(rung_search_opts *o, cli_call *c, const cli_engine *e,
                              rung_error *err) {
    const char *prm = cli_str(c, "prm"), *orm = cli_str(c, "orm"), *score = cli_str(c, "score");
    const char *path = prm ? prm : orm;
    rung_search_info info = {0};
    (void)rung_search_find(&info, o->method);
    o->scorer = path               ? RUNG_SEARCH_SCORE_REWARD
                : info.needs_score ? RUNG_SEARCH_SCORE_CONFIDENCE
                                   : RUNG_SEARCH_SCORE_NONE;
    if (strncmp(o->method, "tot_", 4) == 0 && !path) o->scorer = RUNG_SEARCH_SCORE_JUDGE;
    if (score) (void)rung_search_scorer_find(&o->scorer, score);
    o->aggregate = RUNG_AGGREGATE_LAST;
    if (cli_str(c, "aggregate")) (void)rung_aggregate_find(&o->aggregate, cli_str(c, "aggregate"));
    bool reads = o->scorer == RUNG_SEARCH_SCORE_REWARD || o->scorer == RUNG_SEARCH_SCORE_ENSEMBLE;
    if (!reads) return RUNG_OK;
    if (!path) {
        rung_fail(err, RUNG_E_INVAL, "--score %s needs a reward model",
                  rung_search_scorer_name(o->scorer));
        return rung_error_hint(err, "--prm prm.gguf");
    }
    return open_scorer(o, c, e, path, err);
}

/* Sums over the answers of a run. */
typedef struct tally {
    int64_t n, n_correct, n_unknown, n_none, n_nodes, n_traces;
    rung_search_ledger sum;
} tally;

static rung_status count(void *ud, const rung_search_row *r, rung_error *err) {
    tally *t = ud;
    t->n++;
    t->n_correct += strcmp(r->outcome, "correct") == 0;
    t->n_unknown += strcmp(r->outcome, "unknown") == 0;
    t->n_none += strcmp(r->outcome, "no_answer") == 0;
    t->n_nodes += r->n_nodes;
    t->n_traces += r->n_traces;
    rung_search_ledger x;
    RUNG_TRY(rung_search_ledger_read(&x, r->ledger, err));
    rung_search_ledger_add(&t->sum, &x);
    return RUNG_OK;
}

static void report(cli_call *c, const rung_run *run, const char *method, const char *scorer,
                   const tally *t, double t0) {
    double acc = t->n ? (double)t->n_correct / (double)t->n : (double)NAN;
    rung_buf_printf(&c->summary,
                    "%s: %lld of %lld problems correct (%.1f%%), %lld without answer; %lld tokens "
                    "drawn, %lld of %lld prompt tokens computed, %lld of %lld scored tokens read",
                    method, (long long)t->n_correct, (long long)t->n, 100.0 * acc,
                    (long long)t->n_none, (long long)t->sum.gen_tok,
                    (long long)t->sum.prompt_new_tok, (long long)t->sum.prompt_tok,
                    (long long)t->sum.scored_new_tok, (long long)t->sum.scored_tok);
    cli_result_open(c, run);
    cli_result_str(c, "method", method);
    if (scorer) cli_result_str(c, "score", scorer);
    cli_result_int(c, "n_problems", t->n);
    cli_result_int(c, "n_correct", t->n_correct);
    cli_result_int(c, "n_unknown", t->n_unknown);
    cli_result_int(c, "n_no_answer", t->n_none);
    cli_result_real(c, "accuracy", acc);
    cli_result_int(c, "n_traces", t->n_traces);
    cli_result_int(c, "n_nodes", t->n_nodes);
    cli_result_int(c, "n_gen", t->sum.n_gen);
    cli_result_int(c, "prompt_tokens", t->sum.prompt_tok);
    cli_result_int(c, "prompt_tokens_computed", t->sum.prompt_new_tok);
    cli_result_int(c, "tokens", t->sum.gen_tok);
    cli_result_int(c, "scored_tokens", t->sum.scored_tok);
    cli_result_int(c, "scored_tokens_read", t->sum.scored_new_tok);
    cli_result_int(c, "judge_tokens_in", t->sum.judge_in_tok);
    cli_result_int(c, "judge_tokens_out", t->sum.judge_out_tok);
    cli_result_real(c, "flops_cached", t->sum.flops_cached);
    cli_result_real(c, "flops_naive", t->sum.flops_naive);
    cli_result_real(c, "tool_s", t->sum.tool_s);
    cli_result_close(c, t0);
}

static rung_status run_live(cli_call *c, cli_engine *e, rung_search_opts *o, double t0,
                            rung_error *err) {
    rung_store *s = c->app->store;
    rung_run run = {0};
    tally before = {0}, t = {0};
    char extra[160];
    snprintf(extra, sizeof extra, "%s%s%s", e->hash, o->reward ? "+" : "",
             o->reward ? rung_reward_hash(o->reward) : "");
    RUNG_TRY(cli_run_begin(&run, c, extra, err));
    RUNG_TRY(rung_search_rows(s, run.id, 0, count, &before, err));
    rung_status st = rung_search_run(s, e->engine, run.id, o, &c->app->log, err);
    cli_engine_stats(c, e);
    st = cli_ledger_keep(c, e, &run, st, err);
    if (st == RUNG_OK) st = rung_search_rows(s, run.id, 0, count, &t, err);
    if (st != RUNG_OK) return st;
    c->tokens = t.sum.gen_tok;
    report(c, &run, cli_str(c, "method"), rung_search_scorer_name(o->scorer), &t, t0);
    /* done before and nothing added: its result stands, whatever this look took */
    bool stands = run.finished_ms > 0 && before.n == t.n;
    return cli_run_end(c, &run, stands ? NULL : "search", 0, err);
}

rung_status cli_search_live(cli_call *c, rung_error *err) {
    rung_search_opts o = RUNG_SEARCH_OPTS_INIT;
    rung_store *s;
    cli_engine e = {0};
    double t0 = rung_now();
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    set_method(&o, c);
    set_numbers(&o, c);
    o.problems = (rung_filter){.set = cli_str(c, "set"),
                               .split = cli_str(c, "split"),
                               .limit = cli_int(c, "limit"),
                               .skip = cli_int(c, "skip")};
    if (cli_str(c, "reuse")) RUNG_TRY(cli_run_lookup(&o.reuse_run, c, s, cli_str(c, "reuse"), err));
    RUNG_TRY(cli_sampling(&o.sampling, c, err));
    RUNG_TRY(cli_engine_open(&e, c, err));
    o.generator = e.name;
    o.policy_size = cli_model_size(e.model);
    rung_status st = set_scorer(&o, c, &e, err);
    if (st == RUNG_OK) st = run_live(c, &e, &o, t0, err);
    rung_reward_free(o.reward);
    cli_engine_close(&e);
    return st;
}

/* ---- search show */

typedef struct shown {
    cli_call *c;
    cli_table table;
} shown;

static rung_status show_row(void *ud, const rung_search_row *r, rung_error *err) {
    shown *z = ud;
    if (z->c->app->json) {
        rung_buf key;
        rung_buf_init(&key, 1u << 16);
        rung_buf_json_str(&key, r->answer_key, strlen(r->answer_key));
        rung_status st = rung_buf_check(&key, err);
        if (st == RUNG_OK)
            st = cli_outf(z->c->app, err,
                          "{\"v\":1,\"problem\":%lld,\"method\":\"%s\",\"chosen\":%d,\"answer\":%s,"
                          "\"outcome\":\"%s\",\"n_traces\":%d,\"n_nodes\":%d,\"ledger\":%s}\n",
                          (long long)r->problem, r->method, r->chosen, key.data, r->outcome,
                          r->n_traces, r->n_nodes, r->ledger);
        rung_buf_clear(&key);
        return st;
    }
    cli_cell(&z->table, "%lld", (long long)r->problem);
    cli_cell(&z->table, "%s", r->method);
    cli_cell(&z->table, "%s", r->answer_key);
    cli_cell(&z->table, "%s", r->outcome);
    cli_cell(&z->table, "%d", r->n_traces);
    cli_cell(&z->table, "%d", r->n_nodes);
    rung_search_ledger cost;
    RUNG_TRY(rung_search_ledger_read(&cost, r->ledger, err));
    cli_cell(&z->table, "%lld", (long long)cost.gen_tok);
    return RUNG_OK;
}

static rung_status tree_json(cli_call *c, const rung_tree *t, rung_error *err) {
    rung_status st = RUNG_OK;
    for (int32_t v = 1; v < t->n && st == RUNG_OK; v++) {
        const rung_tree_node *x = &t->node[v];
        rung_buf b;
        rung_buf_init(&b, 1u << 24);
        rung_buf_printf(&b, "{\"v\":1,\"node\":%d,\"parent\":%d,\"text\":", v, x->parent);
        rung_buf_json_str(&b, x->text, strlen(x->text));
        if (!isnan(x->score)) rung_buf_printf(&b, ",\"score\":%.6g", x->score);
        if (x->n_visits)
            rung_buf_printf(&b, ",\"visits\":%d,\"value\":%.6g", x->n_visits, x->value);
        rung_buf_printf(&b, ",\"kept\":%s,\"pruned\":%s,\"done\":%s,\"chosen\":%s}\n",
                        x->kept ? "true" : "false", x->pruned ? "true" : "false",
                        x->done ? "true" : "false", x->chosen ? "true" : "false");
        st = rung_buf_check(&b, err);
        if (st == RUNG_OK) st = cli_out(c->app, b.data, b.n, err);
        rung_buf_clear(&b);
    }
    return st;
}

static rung_status show_tree(cli_call *c, rung_store *s, int64_t run, int64_t problem,
                             rung_error *err) {
    rung_tree t;
    rung_problem p;
    RUNG_TRY(rung_problem_get(s, &p, c->app->arena, problem, err));
    RUNG_TRY(rung_search_replay(&t, c->app->arena, s, run, problem, err));
    if (t.n == 1) {
        rung_fail(err, RUNG_E_NOT_FOUND, "run %lld has no search of problem %lld", (long long)run,
                  (long long)problem);
        return rung_error_hint(err, "rung search show --run NAME lists its problems");
    }
    if (c->app->json) return tree_json(c, &t, err);
    rung_buf b, clean;
    rung_buf_init(&b, 1u << 28);
    rung_buf_init(&clean, 1u << 28);
    rung_buf_printf(&b, "%s\n", p.question);
    rung_tree_print(&b, &t);
    rung_buf_str(&b,
                 "* chosen   = finished   x pruned   - open   [score]   (visits x mean value)\n");
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) cli_clean(&clean, b.data, b.n);
    if (st == RUNG_OK) st = cli_out(c->app, clean.data, clean.n, err);
    rung_buf_clear(&b);
    rung_buf_clear(&clean);
    return st;
}

rung_status cli_search_show(cli_call *c, rung_error *err) {
    static const char *const head[] = {"problem", "method", "answer", "outcome",
                                       "traces",  "nodes",  "tokens"};
    rung_store *s;
    rung_filter f;
    shown z = {.c = c};
    tally t = {0};
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_READ_ONLY, err));
    RUNG_TRY(cli_need(c, "run", "--run names the search", err));
    RUNG_TRY(cli_filter(&f, c, s, err));
    if (cli_int(c, "problem")) return show_tree(c, s, f.run, cli_int(c, "problem"), err);
    cli_table_init(&z.table, head, CLI_N(head));
    rung_status st = rung_search_rows(s, f.run, 0, show_row, &z, err);
    if (st == RUNG_OK && !c->app->json)
        st = cli_table_print(&z.table, c->app, err);
    else
        rung_buf_clear(&z.table.cells);
    if (st == RUNG_OK) st = rung_search_rows(s, f.run, 0, count, &t, err);
    if (st == RUNG_OK) report(c, NULL, "search", NULL, &t, 0);
    return st;
}
