/* Ten solutions for the eye: problems spread evenly over the set, right and wrong traces in turn.
 * Chosen by place, never by score, so that they show what a reader would meet. */
#include "bench/report.h"
#include "trace/flow.h"
#include <math.h>
#include <string.h>

#define N_EXAMPLES 10

/* Per problem the first trace of each kind; 0 none. A wrong one with a known first error is
 * preferred to one without. */
typedef struct choice {
    int64_t problem, right, wrong, wrong_known;
} choice;
typedef struct choices {
    void *v;
    int64_t n, cap;
} choices;

static rung_status collect(choices *c, rung_store *s, const rung_filter *f, rung_error *err) {
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_status st = rung_trace_iter(&it, s, f, err);
    if (st != RUNG_OK) goto out;
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        choice *at = c->n ? (choice *)c->v + (c->n - 1) : NULL;
        if (!at || at->problem != t->problem) {
            RUNG_GOTO(rung_grow(&c->v, &c->cap, c->n + 1, sizeof(choice), err));
            at = (choice *)c->v + c->n++;
            *at = (choice){.problem = t->problem};
        }
        bool right = t->verdict == RUNG_VERDICT_CORRECT;
        int64_t *place = right ? &at->right : t->first_error >= 0 ? &at->wrong_known : &at->wrong;
        if (!*place) *place = t->id;
    }
    if (st == RUNG_DONE) st = RUNG_OK;
out:
    rung_iter_free(it);
    return st;
}

static void put_label(rung_buf *b, const rung_label *l) {
    rung_buf_printf(b, "{\"n\":%d,\"c\":%d,\"n_unknown\":%d,\"soft\":", l->n, l->c, l->n_unknown);
    rung_put_num(b, l->soft);
    rung_buf_str(b, "}");
}

static rung_status put_step(rung_buf *b, rung_store *s, const rung_trace *t, int32_t i,
                            double score, rung_error *err) {
    const rung_step *step = &t->step[i];
    rung_buf_str(b, i ? ",{\"text\":" : "{\"text\":");
    rung_buf_json_str(b, t->text + step->byte_begin, (size_t)(step->byte_end - step->byte_begin));
    rung_buf_str(b, ",\"score\":");
    rung_put_num(b, score);
    rung_buf_str(b, ",\"truth\":");
    rung_put_num(b, rung_trace_truth(t, i));
    rung_label l;
    bool found = false;
    RUNG_TRY(rung_label_get(&l, &found, s, 0, step->node, "mc", err));
    rung_buf_str(b, ",\"mc\":");
    if (found)
        put_label(b, &l);
    else
        rung_buf_str(b, "null");
    rung_buf_str(b, "}");
    return RUNG_OK;
}

static void put_str(rung_buf *b, const char *key, const char *value) {
    rung_buf_printf(b, "\"%s\":", key);
    rung_buf_json_str(b, value ? value : "", value ? strlen(value) : 0);
    rung_buf_str(b, ",");
}

static rung_status put_example(rung_buf *b, rung_store *s, const rung_trace *t, int64_t model,
                               rung_error *err) {
    static const char *const outcome[] = {"correct", "wrong", "unknown", "no_answer"};
    rung_arena *a = rung_arena_new(0);
    double *score = rung_calloc((size_t)t->n_steps + 1, sizeof *score);
    rung_status st = RUNG_OK;
    if (!a || !score) {
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory for an example");
        goto out;
    }
    rung_problem p;
    RUNG_GOTO(rung_problem_get(s, &p, a, t->problem, err));
    RUNG_GOTO(rung_step_scores(score, s, t, model, err));
    rung_buf_printf(b, "{\"problem\":%lld,\"trace\":%lld,\"first_error\":", (long long)t->problem,
                    (long long)t->id);
    if (t->first_error == RUNG_FIRST_ERROR_UNKNOWN)
        rung_buf_str(b, "null,");
    else
        rung_buf_printf(b, "%d,", t->first_error);
    put_str(b, "set", p.set);
    put_str(b, "key", p.key);
    put_str(b, "question", p.question);
    put_str(b, "gold", p.answer);
    put_str(b, "answer", t->answer);
    put_str(b, "outcome", outcome[rung_outcome_of(t)]);
    put_str(b, "first_error_source", t->first_error_source);
    rung_buf_str(b, "\"steps\":[");
    for (int32_t i = 0; i < t->n_steps; i++) RUNG_GOTO(put_step(b, s, t, i, score[i], err));
    rung_buf_str(b, "]}");
out:
    rung_free(score);
    rung_arena_free(a);
    return st;
}

static rung_status put_one(rung_buf *b, rung_store *s, int64_t trace, int64_t model,
                           rung_error *err) {
    rung_filter f = {.trace = trace};
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_status st = rung_trace_iter(&it, s, &f, err);
    if (st == RUNG_OK) st = rung_trace_next(&t, it, err);
    if (st == RUNG_OK) st = put_example(b, s, t, model, err);
    if (st == RUNG_DONE)
        st = rung_fail(err, RUNG_E_STORE, "trace %lld has gone away", (long long)trace);
    rung_iter_free(it);
    return st;
}

static int64_t pick(const choice *c, bool want_wrong) {
    int64_t wrong = c->wrong_known ? c->wrong_known : c->wrong;
    if (want_wrong) return wrong ? wrong : c->right;
    return c->right ? c->right : wrong;
}

rung_status rung_report_examples(rung_buf *b, rung_store *s, const rung_filter *f, int64_t model,
                                 rung_error *err) {
    choices c = {0};
    rung_status st;
    RUNG_GOTO(collect(&c, s, f, err));
    int64_t n = c.n < N_EXAMPLES ? c.n : N_EXAMPLES;
    rung_buf_str(b, "\"examples\":[");
    for (int64_t i = 0; i < n; i++) {
        const choice *at = (const choice *)c.v + i * c.n / n;
        if (i) rung_buf_str(b, ",");
        RUNG_GOTO(put_one(b, s, pick(at, i % 2 == 0), model, err));
    }
    rung_buf_str(b, "]");
out:
    rung_free(c.v);
    return st;
}
