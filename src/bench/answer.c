/* Every method on the same pool at the same budget (search.md 2.10, 2.13; feedback.md 10.4, 10.5):
 * accuracy with an interval over problems, cost, and paired differences. */
#include "bench/answer.h"
#include "rung/event.h"
#include <math.h>
#include <string.h>

#define LEVEL     0.95
#define N_BOOT    10000
#define N_SUBSETS 200

/* The largest pool decides n; smaller ones (an unfinished run) are left out, not mixed in. */
static rung_status keep_full(rung_measure *a, const rung_log *log, rung_error *err) {
    for (int64_t i = 0; i < a->pool.n_problems; i++)
        if (a->pool.problem[i].n > a->n) a->n = a->pool.problem[i].n;
    if (a->n == 0) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no traces match: nothing to measure");
        return rung_error_hint(err, "sample some with `rung trace sample`, or check set, split and "
                                    "run");
    }
    a->kept = rung_calloc((size_t)a->pool.n_problems, sizeof *a->kept);
    if (!a->kept) return rung_fail(err, RUNG_E_NOMEM, "out of memory for problems");
    for (int64_t i = 0; i < a->pool.n_problems; i++) {
        if (a->pool.problem[i].n == a->n)
            a->kept[a->n_problems++] = a->pool.problem[i];
        else
            a->n_short++;
    }
    if (a->n_short)
        rung_event(log, RUNG_WARN, "bench.short", RUNG_I("problems", a->n_short),
                   RUNG_I("traces", a->n),
                   RUNG_S("meaning", "left out: fewer traces than the others"));
    for (int64_t k = 1; k < a->n && a->n_k < RUNG_K_MAX - 1; k *= 2) a->k[a->n_k++] = (int32_t)k;
    a->k[a->n_k++] = a->n;
    return RUNG_OK;
}

/* NULL when the method can be measured, else why not. */
static const char *reason_against(const rung_measure *a, const rung_method *m) {
    if (m->needs_prm && !a->o->prm_model) return "no process reward model given";
    if (m->needs_prm && a->pool.n_no_prm == a->pool.n_traces)
        return "no trace is scored by the process reward model";
    if (m->needs_orm && !a->o->orm_model) return "no outcome reward model given";
    if (m->needs_orm && a->pool.n_no_orm == a->pool.n_traces)
        return "no trace is scored by the outcome reward model";
    if (m->needs_confidence && a->pool.n_no_confidence == a->pool.n_traces)
        return "the traces have no logprobs";
    return NULL;
}

static rung_status choose_arms(rung_measure *a, rung_error *err) {
    const char *base[RUNG_N_BASELINES] = {"single", a->o->baseline ? a->o->baseline : "majority"};
    for (size_t i = 0; rung_method_at(i); i++) {
        const rung_method *m = rung_method_at(i);
        if (a->n_arms + a->n_skipped >= RUNG_ARM_MAX - 1)
            return rung_fail(err, RUNG_E_LIMIT, "more than %d methods", RUNG_ARM_MAX - 1);
        const char *reason = reason_against(a, m);
        if (reason) {
            a->skipped[a->n_skipped].name = m->name;
            a->skipped[a->n_skipped++].reason = reason;
            continue;
        }
        a->arm[a->n_arms++] = (rung_arm){.name = m->name,
                                         .help = m->help,
                                         .method = m,
                                         .n_k = strcmp(m->name, "single") == 0 ? 1 : a->n_k,
                                         .scored_prm = m->needs_prm,
                                         .scored_orm = m->needs_orm};
    }
    for (int b = 0; b < RUNG_N_BASELINES; b++) {
        a->i_base[b] = -1;
        for (int i = 0; i < a->n_arms; i++)
            if (strcmp(a->arm[i].name, base[b]) == 0) a->i_base[b] = i;
        if (a->i_base[b] >= 0) continue;
        rung_fail(err, RUNG_E_INVAL, "baseline \"%s\" is not among the measured methods", base[b]);
        return rung_error_hint(err, rung_method_find(base[b]) ? "it needs scores that are not there"
                                                              : "see `rung search run --help`");
    }
    return RUNG_OK;
}

/* The greedy run as an arm, when it has a trace for every problem kept. */
static rung_status add_greedy(rung_measure *a, rung_store *s, rung_error *err) {
    if (!a->o->greedy_run) return RUNG_OK;
    rung_filter f = a->o->traces;
    f.run = *a->o->greedy_run;
    f.generator = NULL;
    RUNG_TRY(rung_trace_pool_load(&a->greedy, s, &f, 0, 0, a->o->aggregate, 0, err));
    int64_t n_found = 0;
    for (int64_t i = 0, j = 0; i < a->n_problems; i++) {
        while (j < a->greedy.n_problems && a->greedy.problem[j].id < a->kept[i].id) j++;
        n_found += j < a->greedy.n_problems && a->greedy.problem[j].id == a->kept[i].id;
    }
    if (n_found < a->n_problems) {
        a->skipped[a->n_skipped].name = "greedy";
        a->skipped[a->n_skipped++].reason = "the greedy run lacks traces of some problems";
        return RUNG_OK;
    }
    a->arm[a->n_arms++] = (rung_arm){
        .name = "greedy", .help = "one trace at temperature 0", .method = NULL, .n_k = 1};
    return RUNG_OK;
}

const rung_trace_pool_problem *rung_answer_greedy(const rung_measure *a, int64_t id) {
    int64_t lo = 0, hi = a->greedy.n_problems;
    while (hi - lo > 1) {
        int64_t mid = lo + (hi - lo) / 2;
        if (a->greedy.problem[mid].id <= id)
            lo = mid;
        else
            hi = mid;
    }
    return &a->greedy.problem[lo];
}

static rung_cell greedy_cell(const rung_measure *a, int64_t i) {
    rung_outcome o = rung_answer_greedy(a, a->kept[i].id)->outcome[0];
    return (rung_cell){.acc = o == RUNG_OUTCOME_CORRECT,
                       .no_answer = o == RUNG_OUTCOME_NO_ANSWER,
                       .unknown = o == RUNG_OUTCOME_UNKNOWN};
}

/* Right with the whole pool: what McNemar pairs. Of "single" it is the first trace. */
static uint8_t right_at_n(const rung_measure *a, const rung_arm *m, int64_t i) {
    if (!m->method) return greedy_cell(a, i).acc > 0.5;
    int at = m->method->choose(a->kept[i].c, a->n);
    return at >= 0 && a->kept[i].c[at].correct;
}

static rung_status fill_problem(rung_measure *a, int64_t i, rung_cell *cell, rung_error *err) {
    const rung_method *method[RUNG_ARM_MAX];
    int n_methods = 0;
    while (n_methods < a->n_arms && a->arm[n_methods].method) {
        method[n_methods] = a->arm[n_methods].method;
        n_methods++;
    }
    RUNG_TRY(rung_answer_cells(cell, &a->kept[i], method, n_methods, a->k, a->n_k, a->n_subsets,
                               a->o->seed, err));
    for (int k = 0; n_methods < a->n_arms && k < a->n_k; k++)
        cell[rung_column(a, n_methods, k)] = greedy_cell(a, i);
    double *row = a->x + (size_t)i * (size_t)a->m;
    for (int c = 0; c < a->n_arms * a->n_k; c++) {
        row[c] = cell[c].acc;
        a->cell[c].acc += cell[c].acc / (double)a->n_problems;
        a->cell[c].no_answer += cell[c].no_answer / (double)a->n_problems;
        a->cell[c].unknown += cell[c].unknown / (double)a->n_problems;
    }
    for (int j = 0; j < a->n_arms; j++) {
        a->full[(size_t)j * (size_t)a->n_problems + (size_t)i] = right_at_n(a, &a->arm[j], i);
        for (int b = 0; b < RUNG_N_BASELINES; b++)
            row[rung_diff_column(a, j, b)] =
                row[rung_column(a, j, a->n_k - 1)] - row[rung_column(a, a->i_base[b], a->n_k - 1)];
    }
    return RUNG_OK;
}

static rung_status fill(rung_measure *a, const rung_log *log, rung_error *err) {
    a->m = a->n_arms * (a->n_k + RUNG_N_BASELINES);
    size_t n = (size_t)a->n_problems, m = (size_t)a->m;
    a->x = rung_calloc(n * m, sizeof *a->x);
    a->mean = rung_calloc(m, sizeof *a->mean);
    a->ci = rung_calloc(m, sizeof *a->ci);
    a->cell = rung_calloc(m, sizeof *a->cell);
    a->full = rung_calloc(n * (size_t)a->n_arms, 1);
    rung_cell *cell = rung_calloc(m, sizeof *cell);
    rung_status st = RUNG_OK;
    if (!a->x || !a->mean || !a->ci || !a->cell || !a->full || !cell) {
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld problems", (long long)n);
        goto out;
    }
    for (int64_t i = 0; i < a->n_problems; i++) {
        RUNG_GOTO(fill_problem(a, i, cell, err));
        for (int j = 0; j < a->m; j++)
            a->mean[j] += a->x[(size_t)i * m + (size_t)j] / (double)a->n_problems;
        RUNG_GOTO(rung_progress(log, "problems", i + 1, a->n_problems, 0, err));
    }
    st = RUNG_OK;
out:
    rung_free(cell);
    return st;
}

/* Seconds per sampled token of the pool's run, as its ledger says; NaN when there is none. */
static rung_status seconds_per_token(double *out, rung_store *s, int64_t run, rung_error *err) {
    *out = (double)NAN;
    rung_arena *arena = rung_arena_new(0);
    if (!arena) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_run *runs;
    int64_t n = 0;
    rung_status st = rung_run_list(&runs, &n, arena, s, err);
    for (int64_t i = 0; st == RUNG_OK && i < n; i++)
        if (runs[i].id == run && runs[i].tokens > 0 && runs[i].wall_s > 0.0)
            *out = runs[i].wall_s / (double)runs[i].tokens;
    rung_arena_free(arena);
    return st;
}

/* What scoring costs per trace: the ledger's cost of one score, times the scored prefixes of this
 * pool. A model that no run of the ledger is tied to (an older store): NaN. */
static rung_status scoring_cost(rung_measure *a, rung_store *s, rung_error *err) {
    int64_t model[2] = {a->o->prm_model, a->o->orm_model};
    int64_t n_nodes[2] = {a->pool.n_prm_nodes, a->pool.n_orm_nodes};
    for (int w = 0; w < 2; w++) {
        rung_score_cost c = {0};
        bool found = false;
        a->scoring[w].tok = a->scoring[w].s = (double)NAN;
        if (model[w]) RUNG_TRY(rung_reward_cost(&c, &found, s, model[w], err));
        if (!found || c.n_steps == 0) continue;
        double per = (double)n_nodes[w] / (double)c.n_steps / (double)a->pool.n_traces;
        a->scoring[w].tok = (double)c.n_tok * per;
        a->scoring[w].s = c.wall_s * per;
    }
    return RUNG_OK;
}

static void measure_clear(rung_measure *a) {
    rung_trace_pool_clear(&a->pool);
    rung_trace_pool_clear(&a->greedy);
    rung_free(a->kept);
    rung_free(a->x);
    rung_free(a->mean);
    rung_free(a->ci);
    rung_free(a->cell);
    rung_free(a->full);
    rung_free(a);
}

/* Everything but the intervals. */
static rung_status measure(rung_measure *a, rung_store *s, const rung_answer_opts *o,
                           const rung_log *log, rung_error *err) {
    a->o = o;
    a->n_subsets = o->n_subsets > 0 ? o->n_subsets : N_SUBSETS;
    a->n_boot = o->n_boot > 0 ? o->n_boot : N_BOOT;
    int64_t greedy = o->greedy_run && !o->traces.run ? *o->greedy_run : 0;
    RUNG_TRY(rung_trace_pool_load(&a->pool, s, &o->traces, o->prm_model, o->orm_model, o->aggregate,
                                  greedy, err));
    RUNG_TRY(keep_full(a, log, err));
    RUNG_TRY(choose_arms(a, err));
    RUNG_TRY(add_greedy(a, s, err));
    int64_t tok = 0;
    for (int64_t i = 0; i < a->n_problems; i++)
        for (int32_t j = 0; j < a->n; j++) tok += a->kept[i].c[j].tokens;
    a->tokens_mean = (double)tok / ((double)a->n_problems * a->n);
    RUNG_TRY(seconds_per_token(&a->s_per_tok, s, o->traces.run, err));
    RUNG_TRY(scoring_cost(a, s, err));
    return fill(a, log, err);
}

static rung_status check_opts(const rung_answer_opts *o, rung_error *err) {
    if (o && o->struct_size == sizeof *o) return RUNG_OK;
    return rung_fail(err, RUNG_E_INVAL, "answer options are missing or of another version");
}

rung_status rung_bench_answer(rung_buf *json, rung_store *s, const rung_answer_opts *o,
                              const rung_log *log, rung_error *err) {
    RUNG_TRY(check_opts(o, err));
    rung_measure *a = rung_calloc(1, sizeof *a);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_status st = measure(a, s, o, log, err);
    if (st == RUNG_OK)
        st = rung_bootstrap_means(a->ci, a->x, a->n_problems, a->m, a->n_boot, LEVEL, o->seed, err);
    if (st == RUNG_OK) st = rung_answer_put(json, a, s, err);
    if (st == RUNG_OK && o->lm_eval) st = rung_answer_lm_eval(o->lm_eval, s, a, err);
    measure_clear(a);
    return st;
}

static rung_status arm_named(int *out, const rung_measure *a, const char *name, rung_error *err) {
    for (*out = 0; *out < a->n_arms; ++*out)
        if (strcmp(a->arm[*out].name, name) == 0) return RUNG_OK;
    return rung_fail(err, RUNG_E_NOT_FOUND, "method \"%s\" was not measured", name);
}

rung_status rung_bench_answer_diffs(rung_answer_diff **out, int64_t *n, rung_store *s,
                                    const rung_answer_opts *o, const char *method, const char *over,
                                    const rung_log *log, rung_error *err) {
    int i_method, i_over;
    *out = NULL;
    *n = 0;
    RUNG_TRY(check_opts(o, err));
    rung_measure *a = rung_calloc(1, sizeof *a);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_status st;
    RUNG_GOTO(measure(a, s, o, log, err));
    RUNG_GOTO(arm_named(&i_method, a, method, err));
    RUNG_GOTO(arm_named(&i_over, a, over, err));
    *out = rung_calloc((size_t)a->n_problems, sizeof **out);
    if (!*out) {
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld problems",
                       (long long)a->n_problems);
        goto out;
    }
    *n = a->n_problems;
    for (int64_t i = 0; i < *n; i++) {
        const double *row = a->x + (size_t)i * (size_t)a->m;
        (*out)[i] = (rung_answer_diff){a->kept[i].id, row[rung_column(a, i_method, a->n_k - 1)] -
                                                          row[rung_column(a, i_over, a->n_k - 1)]};
    }
out:
    measure_clear(a);
    return st;
}
