/* Every method on the same pool at the same budget (search.md 2.10, 2.13; feedback.md 10.4, 10.5):
 * accuracy with an interval over problems, cost, and paired differences. */
#include "bench/answer.h"
#include "rung/event.h"
#include <math.h>
#include <string.h>

#define METHOD_MAX  64
#define K_MAX       16 /* k = 1, 2, 4, .. 16384 and n */
#define LEVEL       0.95
#define N_BOOT      10000
#define N_SUBSETS   200
#define N_BASELINES 2

/* One method as it is measured: a row of the table, or the greedy run. */
typedef struct arm {
    const char *name, *help;
    const rung_method *method; /* NULL: the greedy run */
    int n_k;                   /* points of its curve: 1 for one trace, else all */
    bool scored_prm, scored_orm;
} arm;
typedef struct measure {
    const rung_answer_opts *o;
    rung_trace_pool pool, greedy;
    int32_t n, n_short; /* traces of each problem; problems with fewer, left out */
    int64_t n_problems;
    rung_trace_pool_problem *kept; /* [n_problems] */
    int32_t k[K_MAX];
    int n_k;
    arm arm[METHOD_MAX];
    int n_arms, i_base[N_BASELINES]; /* -1 none */
    struct {
        const char *name, *reason;
    } skipped[METHOD_MAX];
    int n_skipped;
    int m;             /* columns: n_arms * n_k accuracies, then differences */
    double *x;         /* [n_problems][m] */
    double *mean;      /* [m] */
    rung_interval *ci; /* [m] */
    rung_cell *cell;   /* [n_arms * n_k] means over problems */
    uint8_t *full;     /* [n_arms][n_problems] right with the whole pool: 0 or 1 */
    double tokens_mean, s_per_tok;
    int32_t n_subsets, n_boot;
} measure;

static int column(const measure *a, int i_arm, int i_k) {
    return i_arm * a->n_k + i_k;
}
static int diff_column(const measure *a, int i_arm, int i_base) {
    return a->n_arms * a->n_k + i_arm * N_BASELINES + i_base;
}

/* The largest pool decides n; smaller ones (an unfinished run) are left out, not mixed in. */
static rung_status keep_full(measure *a, const rung_log *log, rung_error *err) {
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
    for (int64_t k = 1; k < a->n && a->n_k < K_MAX - 1; k *= 2) a->k[a->n_k++] = (int32_t)k;
    a->k[a->n_k++] = a->n;
    return RUNG_OK;
}

/* NULL when the method can be measured, else why not. */
static const char *reason_against(const measure *a, const rung_method *m) {
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

static rung_status choose_arms(measure *a, rung_error *err) {
    const char *base[N_BASELINES] = {"single", a->o->baseline ? a->o->baseline : "majority"};
    for (size_t i = 0; rung_method_at(i); i++) {
        const rung_method *m = rung_method_at(i);
        if (a->n_arms + a->n_skipped >= METHOD_MAX - 1)
            return rung_fail(err, RUNG_E_LIMIT, "more than %d methods", METHOD_MAX - 1);
        const char *reason = reason_against(a, m);
        if (reason) {
            a->skipped[a->n_skipped].name = m->name;
            a->skipped[a->n_skipped++].reason = reason;
            continue;
        }
        a->arm[a->n_arms++] = (arm){.name = m->name,
                                    .help = m->help,
                                    .method = m,
                                    .n_k = strcmp(m->name, "single") == 0 ? 1 : a->n_k,
                                    .scored_prm = m->needs_prm,
                                    .scored_orm = m->needs_orm};
    }
    for (int b = 0; b < N_BASELINES; b++) {
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
static rung_status add_greedy(measure *a, rung_store *s, rung_error *err) {
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
    a->arm[a->n_arms++] =
        (arm){.name = "greedy", .help = "one trace at temperature 0", .method = NULL, .n_k = 1};
    return RUNG_OK;
}

static const rung_trace_pool_problem *greedy_problem(const measure *a, int64_t id) {
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

static rung_cell greedy_cell(const measure *a, int64_t i) {
    rung_outcome o = greedy_problem(a, a->kept[i].id)->outcome[0];
    return (rung_cell){.acc = o == RUNG_OUTCOME_CORRECT,
                       .no_answer = o == RUNG_OUTCOME_NO_ANSWER,
                       .unknown = o == RUNG_OUTCOME_UNKNOWN};
}

/* Right with the whole pool: what McNemar pairs. Of "single" it is the first trace. */
static uint8_t right_at_n(const measure *a, const arm *m, int64_t i) {
    if (!m->method) return greedy_cell(a, i).acc > 0.5;
    int at = m->method->choose(a->kept[i].c, a->n);
    return at >= 0 && a->kept[i].c[at].correct;
}

static rung_status fill_problem(measure *a, int64_t i, rung_cell *cell, rung_error *err) {
    const rung_method *method[METHOD_MAX];
    int n_methods = 0;
    while (n_methods < a->n_arms && a->arm[n_methods].method) {
        method[n_methods] = a->arm[n_methods].method;
        n_methods++;
    }
    RUNG_TRY(rung_answer_cells(cell, &a->kept[i], method, n_methods, a->k, a->n_k, a->n_subsets,
                               a->o->seed, err));
    for (int k = 0; n_methods < a->n_arms && k < a->n_k; k++)
        cell[column(a, n_methods, k)] = greedy_cell(a, i);
    double *row = a->x + (size_t)i * (size_t)a->m;
    for (int c = 0; c < a->n_arms * a->n_k; c++) {
        row[c] = cell[c].acc;
        a->cell[c].acc += cell[c].acc / (double)a->n_problems;
        a->cell[c].no_answer += cell[c].no_answer / (double)a->n_problems;
        a->cell[c].unknown += cell[c].unknown / (double)a->n_problems;
    }
    for (int j = 0; j < a->n_arms; j++) {
        a->full[(size_t)j * (size_t)a->n_problems + (size_t)i] = right_at_n(a, &a->arm[j], i);
        for (int b = 0; b < N_BASELINES; b++)
            row[diff_column(a, j, b)] =
                row[column(a, j, a->n_k - 1)] - row[column(a, a->i_base[b], a->n_k - 1)];
    }
    return RUNG_OK;
}

static rung_status fill(measure *a, const rung_log *log, rung_error *err) {
    a->m = a->n_arms * (a->n_k + N_BASELINES);
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
    st = rung_bootstrap_means(a->ci, a->x, a->n_problems, a->m, a->n_boot, LEVEL, a->o->seed, err);
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

static void put_key(rung_buf *b, const char *key, const char *value) {
    rung_buf_printf(b, "\"%s\":", key);
    rung_buf_json_str(b, value, strlen(value));
    rung_buf_str(b, ",");
}

static void put_point(rung_buf *b, const measure *a, int i_arm, int i_k) {
    const arm *m = &a->arm[i_arm];
    int c = column(a, i_arm, i_k);
    double tokens = a->tokens_mean * a->k[i_k];
    if (!m->method) tokens = (double)a->greedy.n_tok / (double)a->greedy.n_traces;
    rung_buf_printf(b, "{\"k\":%d,\"acc\":", a->k[i_k]);
    rung_put_num(b, a->mean[c]);
    rung_buf_str(b, ",\"ci95\":");
    rung_put_interval(b, a->ci[c]);
    rung_buf_str(b, ",\"tokens\":");
    rung_put_num(b, tokens);
    rung_buf_str(b, ",\"scored_tokens\":");
    rung_put_num(b, m->scored_prm || m->scored_orm ? tokens : 0.0);
    rung_buf_str(b, ",\"wall_s\":");
    rung_put_num(b, tokens * a->s_per_tok);
    rung_buf_str(b, ",\"no_answer\":");
    rung_put_num(b, a->cell[c].no_answer);
    rung_buf_str(b, ",\"unknown\":");
    rung_put_num(b, a->cell[c].unknown);
    rung_buf_str(b, "}");
}

typedef struct paired {
    rung_mcnemar mcnemar;
    double p;
    const char *test;
} paired;

/* Exact McNemar when both sides are right or wrong on each problem; a side that is an expectation
 * (one trace at random) takes the sign-flip test, which is the same test on -1, 0, 1. */
static rung_status pair_up(paired *out, const measure *a, int i_arm, int b, rung_error *err) {
    size_t n = (size_t)a->n_problems;
    const uint8_t *one = a->full + (size_t)i_arm * n, *two = a->full + (size_t)a->i_base[b] * n;
    int64_t wins = 0, losses = 0;
    bool binary = true;
    double *d = rung_calloc(n, sizeof *d);
    if (!d) return rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld pairs", (long long)n);
    for (size_t i = 0; i < n; i++) {
        wins += one[i] && !two[i];
        losses += two[i] && !one[i];
        d[i] = a->x[i * (size_t)a->m + (size_t)diff_column(a, i_arm, b)];
        binary = binary && d[i] == (double)one[i] - (double)two[i];
    }
    out->mcnemar = rung_mcnemar_test(wins, losses);
    out->test = binary ? "mcnemar_exact" : "sign_flip";
    out->p = binary ? out->mcnemar.p_exact
                    : rung_permutation_paired(d, a->n_problems, a->n_boot, a->o->seed);
    rung_free(d);
    return RUNG_OK;
}

static void put_paired(rung_buf *b, const measure *a, int i_arm, int base, const paired *t,
                       double p_holm) {
    int c = diff_column(a, i_arm, base);
    rung_buf_str(b, "{\"diff\":");
    rung_put_num(b, a->mean[c]);
    rung_buf_str(b, ",\"ci95\":");
    rung_put_interval(b, a->ci[c]);
    rung_buf_printf(b, ",\"test\":\"%s\",\"p\":", t->test);
    rung_put_num(b, t->p);
    rung_buf_str(b, ",\"p_holm\":");
    rung_put_num(b, p_holm);
    rung_buf_printf(b, ",\"mcnemar\":{\"wins\":%lld,\"losses\":%lld,\"p_exact\":",
                    (long long)t->mcnemar.b, (long long)t->mcnemar.c);
    rung_put_num(b, t->mcnemar.p_exact);
    rung_buf_str(b, ",\"p_mid\":");
    rung_put_num(b, t->mcnemar.p_mid);
    rung_buf_str(b, "}}");
}

/* All arms against baseline b, with Holm over the arms other than the baseline itself. The oracle
 * is a bound, not a method: it is shown but is no member of the family. */
static rung_status pair_all(paired *t, double *p_holm, const measure *a, int b, rung_error *err) {
    double p[METHOD_MAX], adjusted[METHOD_MAX];
    size_t m = 0;
    for (int i = 0; i < a->n_arms; i++) {
        RUNG_TRY(pair_up(&t[i], a, i, b, err));
        p_holm[i] = (double)NAN;
        if (i != a->i_base[b] && strcmp(a->arm[i].name, "oracle") != 0) p[m++] = t[i].p;
    }
    rung_holm(adjusted, p, m);
    m = 0;
    for (int i = 0; i < a->n_arms; i++)
        if (i != a->i_base[b] && strcmp(a->arm[i].name, "oracle") != 0) p_holm[i] = adjusted[m++];
    return RUNG_OK;
}

static rung_status put_methods(rung_buf *b, const measure *a, rung_error *err) {
    paired t[N_BASELINES][METHOD_MAX];
    double p_holm[N_BASELINES][METHOD_MAX];
    for (int base = 0; base < N_BASELINES; base++)
        RUNG_TRY(pair_all(t[base], p_holm[base], a, base, err));
    rung_buf_str(b, "\"methods\":[");
    for (int i = 0; i < a->n_arms; i++) {
        const arm *m = &a->arm[i];
        rung_buf_str(b, i ? ",{" : "{");
        put_key(b, "name", m->name);
        put_key(b, "help", m->help);
        put_key(b, "estimator", m->method ? rung_estimator_of(m->method) : "exact");
        rung_buf_str(b, "\"points\":[");
        for (int k = 0; k < m->n_k; k++) {
            if (k) rung_buf_str(b, ",");
            put_point(b, a, i, k);
        }
        rung_buf_str(b, "],\"vs\":{");
        bool first = true;
        for (int base = 0; base < N_BASELINES; base++) {
            if (i == a->i_base[base] || (base && a->i_base[1] == a->i_base[0])) continue;
            rung_buf_printf(b, "%s\"%s\":", first ? "" : ",", a->arm[a->i_base[base]].name);
            put_paired(b, a, i, base, &t[base][i], p_holm[base][i]);
            first = false;
        }
        rung_buf_str(b, "}}");
    }
    rung_buf_str(b, "],\"skipped\":[");
    for (int i = 0; i < a->n_skipped; i++) {
        rung_buf_str(b, i ? ",{" : "{");
        put_key(b, "name", a->skipped[i].name);
        rung_buf_str(b, "\"reason\":");
        rung_buf_json_str(b, a->skipped[i].reason, strlen(a->skipped[i].reason));
        rung_buf_str(b, "}");
    }
    rung_buf_str(b, "]");
    return RUNG_OK;
}

static void put_head(rung_buf *b, const measure *a) {
    const rung_answer_opts *o = a->o;
    const rung_trace_pool *p = &a->pool;
    rung_buf_str(b, "{\"v\":1,\"metric\":\"answer\",");
    put_key(b, "set", o->traces.set ? o->traces.set : "");
    put_key(b, "split", o->traces.split ? o->traces.split : "");
    put_key(b, "policy", p->policy);
    rung_buf_printf(
        b, "\"run\":%lld,\"limit\":%lld,\"skip\":%lld,\"greedy_run\":", (long long)o->traces.run,
        (long long)o->traces.limit, (long long)o->traces.skip);
    if (o->greedy_run)
        rung_buf_printf(b, "%lld", (long long)*o->greedy_run);
    else
        rung_buf_str(b, "null");
    rung_buf_printf(b, ",\"prm_model\":%lld,\"orm_model\":%lld,\"aggregate\":\"%s\",",
                    (long long)o->prm_model, (long long)o->orm_model,
                    rung_aggregate_name(o->aggregate));
    rung_buf_printf(b, "\"n_problems\":%lld,\"n_problems_short\":%d,\"n_samples\":%d,",
                    (long long)a->n_problems, a->n_short, a->n);
    rung_buf_printf(b, "\"seed\":%llu,\"n_boot\":%d,\"n_subsets\":%d,", (unsigned long long)o->seed,
                    a->n_boot, a->n_subsets);
    int64_t n[RUNG_OUTCOME_COUNT] = {0};
    for (int64_t i = 0; i < a->n_problems; i++)
        for (int32_t j = 0; j < a->n; j++) n[a->kept[i].outcome[j]]++;
    rung_buf_printf(b,
                    "\"verdicts\":{\"correct\":%lld,\"wrong\":%lld,\"unknown\":%lld,"
                    "\"no_answer\":%lld},",
                    (long long)n[RUNG_OUTCOME_CORRECT], (long long)n[RUNG_OUTCOME_WRONG],
                    (long long)n[RUNG_OUTCOME_UNKNOWN], (long long)n[RUNG_OUTCOME_NO_ANSWER]);
    rung_buf_printf(b, "\"n_unscored\":{\"prm\":%lld,\"orm\":%lld,\"confidence\":%lld},",
                    o->prm_model ? (long long)p->n_no_prm : 0,
                    o->orm_model ? (long long)p->n_no_orm : 0, (long long)p->n_no_confidence);
    rung_buf_str(b, "\"tokens_per_trace\":");
    rung_put_num(b, a->tokens_mean);
    rung_buf_str(b, ",\"s_per_token\":");
    rung_put_num(b, a->s_per_tok);
    rung_buf_str(b, ",");
}

static void measure_clear(measure *a) {
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

rung_status rung_bench_answer(rung_buf *json, rung_store *s, const rung_answer_opts *o,
                              const rung_log *log, rung_error *err) {
    if (!o || o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "answer options are missing or of another version");
    measure *a = rung_calloc(1, sizeof *a);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    a->o = o;
    a->n_subsets = o->n_subsets > 0 ? o->n_subsets : N_SUBSETS;
    a->n_boot = o->n_boot > 0 ? o->n_boot : N_BOOT;
    rung_status st;
    int64_t greedy = o->greedy_run && !o->traces.run ? *o->greedy_run : 0;
    RUNG_GOTO(rung_trace_pool_load(&a->pool, s, &o->traces, o->prm_model, o->orm_model,
                                   o->aggregate, greedy, err));
    RUNG_GOTO(keep_full(a, log, err));
    RUNG_GOTO(choose_arms(a, err));
    RUNG_GOTO(add_greedy(a, s, err));
    int64_t tok = 0;
    for (int64_t i = 0; i < a->n_problems; i++)
        for (int32_t j = 0; j < a->n; j++) tok += a->kept[i].c[j].tokens;
    a->tokens_mean = (double)tok / ((double)a->n_problems * a->n);
    RUNG_GOTO(seconds_per_token(&a->s_per_tok, s, o->traces.run, err));
    RUNG_GOTO(fill(a, log, err));
    put_head(json, a);
    RUNG_GOTO(put_methods(json, a, err));
    rung_buf_str(json, "}");
    st = rung_buf_check(json, err);
out:
    measure_clear(a);
    return st;
}
