/* The answer object: docs/formats-bench.md has its fields. Paired tests are made here, where they
 * are shown. */
#include "bench/answer.h"
#include <math.h>
#include <string.h>

static void put_key(rung_buf *b, const char *key, const char *value) {
    rung_buf_printf(b, "\"%s\":", key);
    rung_buf_json_str(b, value, strlen(value));
    rung_buf_str(b, ",");
}

/* What scoring k traces costs, by every reward model that the method asks. */
static void put_scoring(rung_buf *b, const rung_measure *a, const rung_arm *m, int32_t k) {
    double tok = 0.0, s = 0.0;
    bool asks[2] = {m->scored_prm, m->scored_orm};
    for (int w = 0; w < 2; w++) {
        if (!asks[w]) continue;
        tok += a->scoring[w].tok * k;
        s += a->scoring[w].s * k;
    }
    rung_buf_str(b, ",\"scored_tokens\":");
    rung_put_num(b, tok);
    rung_buf_str(b, ",\"score_s\":");
    rung_put_num(b, s);
}

static void put_point(rung_buf *b, const rung_measure *a, int i_arm, int i_k) {
    const rung_arm *m = &a->arm[i_arm];
    int c = rung_column(a, i_arm, i_k);
    double tokens = a->tokens_mean * a->k[i_k];
    if (!m->method) tokens = (double)a->greedy.n_tok / (double)a->greedy.n_traces;
    rung_buf_printf(b, "{\"k\":%d,\"acc\":", a->k[i_k]);
    rung_put_num(b, a->mean[c]);
    rung_buf_str(b, ",\"ci95\":");
    rung_put_interval(b, a->ci[c]);
    rung_buf_str(b, ",\"tokens\":");
    rung_put_num(b, tokens);
    put_scoring(b, a, m, a->k[i_k]);
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
static rung_status pair_up(paired *out, const rung_measure *a, int i_arm, int b, rung_error *err) {
    size_t n = (size_t)a->n_problems;
    const uint8_t *one = a->full + (size_t)i_arm * n, *two = a->full + (size_t)a->i_base[b] * n;
    int64_t wins = 0, losses = 0;
    bool binary = true;
    double *d = rung_calloc(n, sizeof *d);
    if (!d) return rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld pairs", (long long)n);
    for (size_t i = 0; i < n; i++) {
        wins += one[i] && !two[i];
        losses += two[i] && !one[i];
        d[i] = a->x[i * (size_t)a->m + (size_t)rung_diff_column(a, i_arm, b)];
        binary = binary && d[i] == (double)one[i] - (double)two[i];
    }
    out->mcnemar = rung_mcnemar_test(wins, losses);
    out->test = binary ? "mcnemar_exact" : "sign_flip";
    out->p = binary ? out->mcnemar.p_exact
                    : rung_permutation_paired(d, a->n_problems, a->n_boot, a->o->seed);
    rung_free(d);
    return RUNG_OK;
}

static void put_paired(rung_buf *b, const rung_measure *a, int i_arm, int base, const paired *t,
                       double p_holm) {
    int c = rung_diff_column(a, i_arm, base);
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
static rung_status pair_all(paired *t, double *p_holm, const rung_measure *a, int b,
                            rung_error *err) {
    double p[RUNG_ARM_MAX], adjusted[RUNG_ARM_MAX];
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

static rung_status put_methods(rung_buf *b, const rung_measure *a, rung_error *err) {
    paired t[RUNG_N_BASELINES][RUNG_ARM_MAX];
    double p_holm[RUNG_N_BASELINES][RUNG_ARM_MAX];
    for (int base = 0; base < RUNG_N_BASELINES; base++)
        RUNG_TRY(pair_all(t[base], p_holm[base], a, base, err));
    rung_buf_str(b, "\"methods\":[");
    for (int i = 0; i < a->n_arms; i++) {
        const rung_arm *m = &a->arm[i];
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
        for (int base = 0; base < RUNG_N_BASELINES; base++) {
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

static void put_head(rung_buf *b, const rung_measure *a) {
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
    for (int w = 0; w < 2; w++) {
        rung_buf_str(b, w ? ",\"orm\":{\"tokens_per_trace\":"
                          : ",\"scoring\":{\"prm\":{\"tokens_per_trace\":");
        rung_put_num(b, a->scoring[w].tok);
        rung_buf_str(b, ",\"s_per_trace\":");
        rung_put_num(b, a->scoring[w].s);
        rung_buf_str(b, "}");
    }
    rung_buf_str(b, "},");
}

rung_status rung_answer_put(rung_buf *json, const rung_measure *a, rung_store *s, rung_error *err) {
    size_t mark = json->n;
    put_head(json, a);
    rung_status st = put_methods(json, a, err);
    rung_buf_str(json, ",");
    if (st == RUNG_OK) st = rung_answer_put_sets(json, a, s, err);
    rung_buf_str(json, "}");
    if (st == RUNG_OK) return rung_buf_check(json, err);
    json->n = mark; /* no half object */
    if (json->data) json->data[mark] = 0;
    return st;
}
