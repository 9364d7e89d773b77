/* ProcessBench (labels.md 1): the first step whose score falls below tau, or a labeler's claim,
 * against the marked first error. Exact index, strict <, subsets never pooled. */
#include "base/json.h"
#include "bench/pool.h"
#include "rung/claim.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N_BOOT  10000
#define LEVEL   0.95
#define N_SWEEP 21

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

/* Half way between neighbouring scores is every threshold that differs; the least tau with the
 * largest F1 wins, over the cases that are scored. */
static rung_status tune(double *tau, const cases *c, rung_error *err) {
    int64_t *first = rung_calloc((size_t)c->n + 1, sizeof *first), n = 0;
    int32_t *label = rung_calloc((size_t)c->n + 1, sizeof *label);
    double *score = rung_calloc((size_t)c->n_score + 1, sizeof *score), f1;
    rung_status st = RUNG_OK;
    if (!first || !label || !score)
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld scores", (long long)c->n_score);
    const int64_t *begin = c->begin;
    for (int64_t i = 0; i < c->n && st == RUNG_OK; i++) {
        if (!((bool *)c->complete)[i]) continue;
        label[n] = ((int32_t *)c->label)[i];
        first[n + 1] = first[n];
        for (int64_t k = begin[i]; k < begin[i + 1]; k++)
            score[first[n + 1]++] = ((double *)c->score)[k];
        n++;
    }
    if (st == RUNG_OK) st = rung_first_error_threshold(tau, &f1, score, first, label, n, err);
    rung_free(first);
    rung_free(label);
    rung_free(score);
    return st;
}

/* The threshold that came with the model's calibration: its scorer put it into the model's row. */
static rung_status model_threshold(double *tau, rung_store *s, int64_t model, rung_error *err) {
    rung_arena *a = rung_arena_new(0);
    rung_model_row m = {.meta = "{}"};
    *tau = (double)NAN;
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "out of memory for a model");
    rung_status st = model ? rung_model_get(&m, a, s, model, err) : RUNG_OK;
    if (st == RUNG_OK) {
        yyjson_doc *doc = yyjson_read(m.meta, strlen(m.meta), 0);
        *tau = rung_json_f64(yyjson_doc_get_root(doc), "threshold", (double)NAN);
        yyjson_doc_free(doc);
    }
    rung_arena_free(a);
    if (st != RUNG_OK || !isnan(*tau)) return st;
    rung_fail(err, RUNG_E_INVAL, "model %lld has no threshold of its own", (long long)model);
    return rung_error_hint(err, "rung reward calibrate gives it one; or name the set to choose it "
                                "on: --tune SET");
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

/* The threshold and where it is from. */
typedef struct choice {
    double tau;
    const char *on; /* NULL: it was given */
    bool on_test;   /* chosen on the very cases that are measured */
} choice;

static void put_pb(rung_buf *b, rung_pb r) {
    rung_buf_str(b, "\"acc_err\":");
    rung_put_num(b, r.acc_err);
    rung_buf_str(b, ",\"acc_cor\":");
    rung_put_num(b, r.acc_cor);
    rung_buf_str(b, ",\"f1\":");
    rung_put_num(b, r.f1);
}

static void put_result(rung_buf *b, const rung_pb_opts *o, const cases *c, int32_t *pred, choice by,
                       rung_interval ci, int64_t n_questions) {
    rung_pb r = rung_processbench(pred, c->label, c->n);
    rung_buf_str(b, "{\"v\":1,\"metric\":\"processbench\",\"subset\":");
    rung_buf_json_str(b, o->set ? o->set : "", o->set ? strlen(o->set) : 0);
    rung_buf_printf(b, ",\"n\":%lld,", (long long)c->n);
    put_pb(b, r);
    rung_buf_str(b, ",\"threshold\":");
    rung_put_num(b, by.tau);
    rung_buf_str(b, ",\"ci95\":");
    rung_put_interval(b, ci);
    rung_buf_printf(
        b,
        ",\"n_questions\":%lld,\"model\":%lld,\"n_err\":%lld,\"n_cor\":%lld,\"n_unscored\":%lld,"
        "\"n_unlabelled\":%lld,\"seed\":%llu,\"tuned_on\":",
        (long long)n_questions, (long long)o->model, (long long)r.n_err, (long long)r.n_cor,
        (long long)c->n_unscored, (long long)c->n_unlabelled, (unsigned long long)o->seed);
    if (by.on)
        rung_buf_json_str(b, by.on, strlen(by.on));
    else
        rung_buf_str(b, "null");
    rung_buf_printf(b, ",\"tuned_on_test\":%s", by.on_test ? "true" : "false");
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

/* As asked: given; the model's own; chosen on a set, which may be the measured one only by name. */
static rung_status choose(choice *by, const cases *c, rung_store *s, const rung_pb_opts *o,
                          rung_error *err) {
    *by = (choice){.tau = o->labels ? (double)NAN : o->tau};
    if (!(by->tau < 0.0)) return RUNG_OK;
    if (!o->tune_set || !o->tune_set[0]) {
        by->on = "the model's calibration";
        return model_threshold(&by->tau, s, o->model, err);
    }
    cases other = {0};
    by->on = o->tune_set;
    by->on_test = o->set && !strcmp(o->tune_set, o->set);
    rung_status st = by->on_test ? RUNG_OK : load(&other, s, o, by->on, err);
    if (st == RUNG_OK) st = tune(&by->tau, by->on_test ? c : &other, err);
    cases_clear(&other);
    return st;
}

/* Cases with their predictions; cases_clear(c) and rung_free(*pred) whatever the status. */
static rung_status predictions(cases *c, int32_t **pred, choice *by, rung_store *s,
                               const rung_pb_opts *o, rung_error *err) {
    if (!o || o->struct_size != sizeof *o || ((!o->set || !o->set[0]) && !o->traces.run))
        return rung_fail(err, RUNG_E_INVAL, "processbench needs a set or a run");
    RUNG_TRY(load(c, s, o, o->set, err));
    if (c->n_unscored == c->n) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no trace of \"%s\" is scored by model %lld",
                  o->set ? o->set : "the run", (long long)o->model);
        return rung_error_hint(err, o->labels ? "label them first with `rung label`"
                                              : "score them first with `rung reward score`");
    }
    *pred = rung_calloc((size_t)c->n, sizeof **pred);
    if (!*pred)
        return rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld cases", (long long)c->n);
    RUNG_TRY(choose(by, c, s, o, err));
    predict(*pred, c, by->tau);
    return RUNG_OK;
}

rung_status rung_bench_processbench(rung_buf *json, rung_store *s, const rung_pb_opts *o,
                                    rung_error *err) {
    cases c = {0};
    choice by;
    int32_t *pred = NULL;
    rung_interval ci;
    int64_t n_questions = 0;
    rung_status st = predictions(&c, &pred, &by, s, o, err);
    if (st == RUNG_OK) st = interval_of(&ci, &n_questions, &c, pred, o, err);
    if (st == RUNG_OK) {
        put_result(json, o, &c, pred, by, ci, n_questions);
        st = rung_buf_check(json, err);
    }
    rung_free(pred);
    cases_clear(&c);
    return st;
}

rung_status rung_arm_processbench(rung_arm *out, rung_store *s, const rung_pb_opts *o,
                                  rung_error *err) {
    cases c = {0};
    choice by;
    int32_t *pred = NULL;
    rung_status st = predictions(&c, &pred, &by, s, o, err);
    for (int64_t i = 0; i < c.n && st == RUNG_OK; i++) {
        int32_t label = ((int32_t *)c.label)[i];
        st = rung_arm_push(out, ((uint64_t *)c.question)[i], pred[i] == label, label != -1, err);
    }
    rung_free(pred);
    cases_clear(&c);
    return st;
}
