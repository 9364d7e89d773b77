/* ProcessBench (labels.md 1): the first step whose score falls below tau, or a labeler's claim,
 * against the marked first error. Exact index, strict <, subsets never pooled. */
#include "bench/pool.h"
#include "rung/claim.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N_BOOT    10000
#define LEVEL     0.95
#define N_TAU_MAX 4096 /* thresholds tried; more distinct scores than that are thinned evenly */
#define N_SWEEP   21

/* Cases in columns; the steps of case i are score[begin[i]] .. score[begin[i+1]]. */
typedef struct cases {
    int64_t n, cap, n_score, score_cap, begin_cap, question_cap, complete_cap, claim_cap;
    void *label;    /* int32_t[n] */
    void *question; /* uint64_t[n]: hash of the question's text */
    void *begin;    /* int64_t[n+1] */
    void *complete; /* bool[n]: every step has a score, or the labeler has spoken */
    void *claim;    /* int32_t[n]: of a labeler; NULL: scores decide */
    void *score;    /* double[n_score] */
    int64_t n_unscored, n_unlabelled;
} cases;

static void cases_clear(cases *c) {
    rung_free(c->label);
    rung_free(c->question);
    rung_free(c->begin);
    rung_free(c->complete);
    rung_free(c->claim);
    rung_free(c->score);
}

/* Sets hold a question under several ids (ProcessBench: one for each model that answered it). */
static rung_status question_hash(uint64_t *out, rung_store *s, int64_t problem, rung_error *err) {
    rung_arena *a = rung_arena_new(0);
    rung_problem p;
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "out of memory for a question");
    rung_status st = rung_problem_get(s, &p, a, problem, err);
    if (st == RUNG_OK) *out = rung_hash64(p.question, strlen(p.question), 0);
    rung_arena_free(a);
    return st;
}

static rung_status add_claim(bool *spoken, cases *c, rung_store *s, const rung_trace *t,
                             const rung_label_source *from, rung_error *err) {
    int32_t e;
    RUNG_TRY(rung_grow(&c->claim, &c->claim_cap, c->n + 1, sizeof(int32_t), err));
    RUNG_TRY(rung_label_claim(&e, s, t, from, err));
    *spoken = e != RUNG_FIRST_ERROR_UNKNOWN;
    ((int32_t *)c->claim)[c->n] = *spoken ? e : RUNG_PRED_NONE;
    return RUNG_OK;
}

static rung_status add_case(cases *c, rung_store *s, const rung_trace *t, const rung_pb_opts *o,
                            rung_error *err) {
    RUNG_TRY(rung_grow(&c->label, &c->cap, c->n + 1, sizeof(int32_t), err));
    RUNG_TRY(rung_grow(&c->question, &c->question_cap, c->n + 1, sizeof(uint64_t), err));
    RUNG_TRY(rung_grow(&c->begin, &c->begin_cap, c->n + 2, sizeof(int64_t), err));
    RUNG_TRY(rung_grow(&c->complete, &c->complete_cap, c->n + 1, sizeof(bool), err));
    RUNG_TRY(rung_grow(&c->score, &c->score_cap, c->n_score + t->n_steps + 1, sizeof(double), err));
    double *score = (double *)c->score + c->n_score;
    bool complete = t->n_steps > 0;
    if (o->labels) {
        RUNG_TRY(add_claim(&complete, c, s, t, o->labels, err));
        for (int32_t i = 0; i < t->n_steps; i++) score[i] = (double)NAN;
    } else {
        RUNG_TRY(rung_step_scores(score, s, t, o->model, err));
        for (int32_t i = 0; i < t->n_steps; i++) complete = complete && !isnan(score[i]);
    }
    ((int32_t *)c->label)[c->n] = t->first_error;
    RUNG_TRY(question_hash((uint64_t *)c->question + c->n, s, t->problem, err));
    ((bool *)c->complete)[c->n] = complete;
    ((int64_t *)c->begin)[c->n] = c->n_score;
    c->n_score += t->n_steps;
    ((int64_t *)c->begin)[++c->n] = c->n_score;
    c->n_unscored += !complete;
    return RUNG_OK;
}

static rung_status load(cases *c, rung_store *s, const rung_pb_opts *o, const char *set,
                        rung_error *err) {
    rung_filter f = o->traces;
    if (set && set[0]) f.set = set;
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_status st = rung_trace_iter(&it, s, &f, err);
    if (st != RUNG_OK) goto out;
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if (t->first_error == RUNG_FIRST_ERROR_UNKNOWN)
            c->n_unlabelled++;
        else
            RUNG_GOTO(add_case(c, s, t, o, err));
    }
    if (st == RUNG_DONE) st = RUNG_OK;
    if (st == RUNG_OK && c->n == 0) {
        st = rung_fail(err, RUNG_E_NOT_FOUND, "set \"%s\" has no traces with a known first error",
                       set ? set : "");
        rung_error_hint(err, "import the set first: `rung problem import processbench FILE`");
    }
out:
    rung_iter_free(it);
    return st;
}

static void predict(int32_t *pred, const cases *c, double tau) {
    const int64_t *begin = c->begin;
    for (int64_t i = 0; i < c->n; i++)
        pred[i] = c->claim ? ((int32_t *)c->claim)[i]
                  : ((bool *)c->complete)[i]
                      ? rung_first_below((double *)c->score + begin[i],
                                         (int32_t)(begin[i + 1] - begin[i]), tau)
                      : RUNG_PRED_NONE;
}

static int cmp_f64(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Half way between neighbouring scores is every threshold that differs; the least tau with the
 * largest F1 wins. */
static rung_status tune(double *tau, const cases *c, rung_error *err) {
    double *s = rung_calloc((size_t)c->n_score + 1, sizeof *s);
    int32_t *pred = rung_calloc((size_t)c->n, sizeof *pred);
    if (!s || !pred) {
        rung_free(s);
        rung_free(pred);
        return rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld scores", (long long)c->n_score);
    }
    int64_t n = 0;
    for (int64_t i = 0; i < c->n_score; i++)
        if (!isnan(((double *)c->score)[i])) s[n++] = ((double *)c->score)[i];
    qsort(s, (size_t)n, sizeof *s, cmp_f64);
    int64_t stride = n / N_TAU_MAX + 1;
    double best = -1.0;
    *tau = 0.5;
    for (int64_t i = 0; i + stride < n; i += stride) {
        if (s[i] == s[i + stride]) continue;
        double at = 0.5 * (s[i] + s[i + stride]);
        predict(pred, c, at);
        double f1 = rung_processbench(pred, c->label, c->n).f1;
        if (f1 > best) { /* false when undefined */
            best = f1;
            *tau = at;
        }
    }
    rung_free(s);
    rung_free(pred);
    return RUNG_OK;
}

/* Bootstrap over questions: all cases of a drawn question come along, whatever problem they are
 * stored under; drawn one by one, copies of a question would make the interval too narrow. */
typedef struct resampled {
    const cases *c;
    const int32_t *pred;
    const int64_t *order; /* [n]: cases, those of a question beside each other */
    const int64_t *first; /* [n_questions+1]: places in order */
} resampled;

static double f1_of(void *ud, const uint32_t *index, int64_t n) {
    const resampled *r = ud;
    const int32_t *label = r->c->label;
    double n_err = 0.0, n_cor = 0.0, hit_err = 0.0, hit_cor = 0.0;
    for (int64_t j = 0; j < n; j++) {
        for (int64_t k = r->first[index[j]]; k < r->first[index[j] + 1]; k++) {
            int64_t i = r->order[k];
            double hit = r->pred[i] == label[i];
            *(label[i] == -1 ? &n_cor : &n_err) += 1.0;
            *(label[i] == -1 ? &hit_cor : &hit_err) += hit;
        }
    }
    double a = 100.0 * hit_err / n_err, b = 100.0 * hit_cor / n_cor; /* 0/0 is NaN: left out */
    return a + b == 0.0 ? 0.0 : 2.0 * a * b / (a + b);
}

typedef struct member {
    uint64_t question;
    int64_t first, i; /* first case of the question */
} member;

static int cmp_question(const void *a, const void *b) {
    const member *x = a, *y = b;
    if (x->question != y->question) return x->question < y->question ? -1 : 1;
    return (x->i > y->i) - (x->i < y->i);
}

static int cmp_first(const void *a, const void *b) {
    const member *x = a, *y = b;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return (x->i > y->i) - (x->i < y->i);
}

/* Questions in the order in which they first appear. first: [c->n+1]; *n_questions of them. */
static rung_status group(int64_t *order, int64_t *first, int64_t *n_questions, const cases *c,
                         rung_error *err) {
    member *m = rung_calloc((size_t)c->n + 1, sizeof *m);
    if (!m) return rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld cases", (long long)c->n);
    for (int64_t i = 0; i < c->n; i++) m[i] = (member){((uint64_t *)c->question)[i], i, i};
    qsort(m, (size_t)c->n, sizeof *m, cmp_question);
    for (int64_t k = 1; k < c->n; k++)
        if (m[k].question == m[k - 1].question) m[k].first = m[k - 1].first;
    qsort(m, (size_t)c->n, sizeof *m, cmp_first);
    int64_t n = 0;
    for (int64_t k = 0; k < c->n; k++) {
        if (k == 0 || m[k].first != m[k - 1].first) first[n++] = k;
        order[k] = m[k].i;
    }
    first[n] = c->n;
    *n_questions = n;
    rung_free(m);
    return RUNG_OK;
}

static rung_status interval_of(rung_interval *ci, int64_t *n_questions, const cases *c,
                               const int32_t *pred, const rung_pb_opts *o, rung_error *err) {
    int64_t *first = rung_calloc((size_t)c->n + 1, sizeof *first);
    int64_t *order = rung_calloc((size_t)c->n + 1, sizeof *order);
    rung_status st = RUNG_OK;
    if (!first || !order)
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld cases", (long long)c->n);
    if (st == RUNG_OK) st = group(order, first, n_questions, c, err);
    if (st == RUNG_OK) {
        resampled r = {c, pred, order, first};
        int n_boot = o->n_boot > 0 ? o->n_boot : N_BOOT;
        *ci = rung_bootstrap(f1_of, &r, *n_questions, n_boot, LEVEL, o->seed);
    }
    rung_free(first);
    rung_free(order);
    return st;
}

static void put_pb(rung_buf *b, rung_pb r) {
    rung_buf_str(b, "\"acc_err\":");
    rung_put_num(b, r.acc_err);
    rung_buf_str(b, ",\"acc_cor\":");
    rung_put_num(b, r.acc_cor);
    rung_buf_str(b, ",\"f1\":");
    rung_put_num(b, r.f1);
}

static void put_result(rung_buf *b, const rung_pb_opts *o, const cases *c, int32_t *pred,
                       double tau, const char *tuned_on, rung_interval ci, int64_t n_questions) {
    rung_pb r = rung_processbench(pred, c->label, c->n);
    rung_buf_str(b, "{\"v\":1,\"metric\":\"processbench\",\"subset\":");
    rung_buf_json_str(b, o->set ? o->set : "", o->set ? strlen(o->set) : 0);
    rung_buf_printf(b, ",\"n\":%lld,", (long long)c->n);
    put_pb(b, r);
    rung_buf_str(b, ",\"threshold\":");
    rung_put_num(b, tau);
    rung_buf_str(b, ",\"ci95\":");
    rung_put_interval(b, ci);
    rung_buf_printf(
        b,
        ",\"n_questions\":%lld,\"model\":%lld,\"n_err\":%lld,\"n_cor\":%lld,\"n_unscored\":%lld,"
        "\"n_unlabelled\":%lld,\"seed\":%llu,\"tuned_on\":",
        (long long)n_questions, (long long)o->model, (long long)r.n_err, (long long)r.n_cor,
        (long long)c->n_unscored, (long long)c->n_unlabelled, (unsigned long long)o->seed);
    if (tuned_on)
        rung_buf_json_str(b, tuned_on, strlen(tuned_on));
    else
        rung_buf_str(b, "null");
    if (o->labels) {
        rung_buf_str(b, ",\"labels\":");
        rung_buf_json_str(b, o->labels->source, strlen(o->labels->source));
        rung_buf_printf(b, ",\"label_run\":%lld}", (long long)o->labels->run);
        return;
    }
    rung_buf_str(b, ",\"sweep\":[");
    for (int i = 0; i < N_SWEEP; i++) {
        double at = (double)i / (double)(N_SWEEP - 1);
        predict(pred, c, at);
        rung_buf_printf(b, "%s{\"threshold\":%g,", i ? "," : "", at);
        put_pb(b, rung_processbench(pred, c->label, c->n));
        rung_buf_str(b, "}");
    }
    rung_buf_str(b, "]}");
}

/* Cases with their predictions; cases_clear(c) and rung_free(*pred) whatever the status. */
static rung_status predictions(cases *c, int32_t **pred, double *tau, const char **tuned_on,
                               rung_store *s, const rung_pb_opts *o, rung_error *err) {
    if (!o || o->struct_size != sizeof *o || ((!o->set || !o->set[0]) && !o->traces.run))
        return rung_fail(err, RUNG_E_INVAL, "processbench needs a set or a run");
    *tau = o->labels ? (double)NAN : o->tau;
    RUNG_TRY(load(c, s, o, o->set, err));
    if (*tau < 0.0) {
        cases other = {0};
        rung_status st = RUNG_OK;
        *tuned_on = o->tune_set && o->tune_set[0] ? o->tune_set : o->set ? o->set : "itself";
        bool itself = !o->tune_set || !o->tune_set[0] || (o->set && !strcmp(*tuned_on, o->set));
        if (!itself) st = load(&other, s, o, *tuned_on, err);
        if (st == RUNG_OK) st = tune(tau, itself ? c : &other, err);
        cases_clear(&other);
        RUNG_TRY(st);
    }
    if (c->n_unscored == c->n) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no trace of \"%s\" is scored by model %lld",
                  o->set ? o->set : "the run", (long long)o->model);
        return rung_error_hint(err, o->labels ? "label them first with `rung label`"
                                              : "score them first with `rung reward score`");
    }
    *pred = rung_calloc((size_t)c->n, sizeof **pred);
    if (!*pred)
        return rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld cases", (long long)c->n);
    predict(*pred, c, *tau);
    return RUNG_OK;
}

rung_status rung_bench_processbench(rung_buf *json, rung_store *s, const rung_pb_opts *o,
                                    rung_error *err) {
    cases c = {0};
    double tau;
    const char *tuned_on = NULL;
    int32_t *pred = NULL;
    rung_interval ci;
    int64_t n_questions = 0;
    rung_status st = predictions(&c, &pred, &tau, &tuned_on, s, o, err);
    if (st == RUNG_OK) st = interval_of(&ci, &n_questions, &c, pred, o, err);
    if (st == RUNG_OK) {
        put_result(json, o, &c, pred, tau, tuned_on, ci, n_questions);
        st = rung_buf_check(json, err);
    }
    rung_free(pred);
    cases_clear(&c);
    return st;
}

rung_status rung_arm_processbench(rung_arm *out, rung_store *s, const rung_pb_opts *o,
                                  rung_error *err) {
    cases c = {0};
    double tau;
    const char *tuned_on = NULL;
    int32_t *pred = NULL;
    rung_status st = predictions(&c, &pred, &tau, &tuned_on, s, o, err);
    for (int64_t i = 0; i < c.n && st == RUNG_OK; i++) {
        int32_t label = ((int32_t *)c.label)[i];
        st = rung_arm_push(out, ((uint64_t *)c.question)[i], pred[i] == label, label != -1, err);
    }
    rung_free(pred);
    cases_clear(&c);
    return st;
}
