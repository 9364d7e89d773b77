/* Where does a labeler put the first error, against the truth? (labels.md 4, noise analysis) */
#include "rung/label.h"
#include "rung/stat.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double edges[RUNG_AUDIT_BUCKETS + 1] = {0.0, 0.25, 0.5, 0.75, 1.0};

typedef struct audited {
    int64_t problem;
    uint64_t generator;
    int32_t n_steps, truth, pred;
    rung_verdict verdict;
    int64_t n_steps_said, n_steps_right;
} audited;

typedef struct audit {
    audited *row;
    int64_t n, cap;
} audit;

/* Step labels against the truth: up to the true first error, later ones are masked. */
static rung_status steps_of(audited *v, rung_store *s, const rung_trace *t,
                            const rung_label_source *from, rung_error *err) {
    int32_t last = t->first_error < 0 ? t->n_steps - 1 : t->first_error;
    for (int32_t k = 0; k <= last; k++) {
        rung_label l;
        bool found;
        RUNG_TRY(rung_label_get(&l, &found, s, from->run, t->step[k].node, from->source, err));
        if (!found || l.hard < 0) continue;
        v->n_steps_said++;
        v->n_steps_right += l.hard == (k != t->first_error);
    }
    return RUNG_OK;
}

static rung_status read_rows(audit *z, rung_store *s, const rung_filter *f,
                             const rung_label_source *from, rung_error *err) {
    rung_iter *it;
    const rung_trace *t;
    rung_status st;
    RUNG_TRY(rung_trace_iter(&it, s, f, err));
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if (z->n == z->cap) {
            int64_t cap = z->cap ? z->cap * 2 : 256;
            audited *grown = rung_realloc(z->row, (size_t)cap * sizeof *grown);
            if (!grown) {
                st = rung_fail(err, RUNG_E_NOMEM, "no memory to audit");
                break;
            }
            z->row = grown;
            z->cap = cap;
        }
        audited *v = &z->row[z->n++];
        *v = (audited){.problem = t->problem,
                       .generator = rung_hash64(t->generator, strlen(t->generator), 0),
                       .n_steps = t->n_steps,
                       .truth = t->first_error,
                       .verdict = t->verdict};
        if ((st = rung_label_claim(&v->pred, s, t, from, err)) != RUNG_OK) break;
        if (t->first_error != RUNG_FIRST_ERROR_UNKNOWN &&
            (st = steps_of(v, s, t, from, err)) != RUNG_OK)
            break;
    }
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

static double confidence(const audit *z, int64_t at) {
    int64_t n = 0, right = 0, i = at;
    while (i > 0 && z->row[i - 1].problem == z->row[at].problem) i--;
    for (; i < z->n && z->row[i].problem == z->row[at].problem; i++) {
        if (z->row[i].generator != z->row[at].generator) continue;
        n++;
        right += z->row[i].verdict == RUNG_VERDICT_CORRECT;
    }
    return (double)right / (double)n;
}

static void count(rung_audit_bucket *b, const audited *v) {
    int32_t err = v->truth < 0 ? v->n_steps : v->truth, pred = v->pred < 0 ? v->n_steps : v->pred;
    int32_t off = pred - err;
    b->n++;
    b->n_under += off < 0;
    b->n_over += off > 0;
    b->n_exact_error += off == 0 && v->truth >= 0;
    b->n_exact_right += off == 0 && v->truth < 0;
    off = off < -RUNG_AUDIT_OFFSET  ? -RUNG_AUDIT_OFFSET
          : off > RUNG_AUDIT_OFFSET ? RUNG_AUDIT_OFFSET
                                    : off;
    b->offset[off + RUNG_AUDIT_OFFSET]++;
    b->n_steps += v->n_steps_said;
    b->n_step_right += v->n_steps_right;
}

static rung_status score(rung_audit *out, const audit *z, rung_error *err) {
    int32_t *pred = rung_alloc(((size_t)z->n + 1) * 2 * sizeof *pred);
    if (!pred) return rung_fail(err, RUNG_E_NOMEM, "no memory to audit");
    int32_t *truth = pred + z->n + 1;
    int64_t n = 0;
    for (int64_t i = 0; i < z->n; i++) {
        if (z->row[i].truth == RUNG_FIRST_ERROR_UNKNOWN) continue;
        pred[n] = z->row[i].pred; /* UNKNOWN is the same number as "no prediction" */
        truth[n++] = z->row[i].truth;
    }
    rung_pb pb = rung_processbench(pred, truth, n);
    out->acc_err = pb.acc_err;
    out->acc_cor = pb.acc_cor;
    out->f1 = pb.f1;
    rung_free(pred);
    return RUNG_OK;
}

rung_status rung_label_audit(rung_audit *out, rung_store *s, const rung_filter *traces,
                             const rung_label_source *labels, rung_error *err) {
    audit z = {0};
    memset(out, 0, sizeof *out);
    for (int k = 0; k < RUNG_AUDIT_BUCKETS; k++) {
        out->bucket[k].lo = edges[k];
        out->bucket[k].hi = edges[k + 1];
    }
    out->bucket[RUNG_AUDIT_BUCKETS].hi = 1.0;
    rung_status st = read_rows(&z, s, traces, labels, err);
    for (int64_t i = 0; i < z.n && st == RUNG_OK; i++) {
        const audited *v = &z.row[i];
        if (v->truth == RUNG_FIRST_ERROR_UNKNOWN) continue;
        double sc = confidence(&z, i);
        int k = 0;
        while (k + 1 < RUNG_AUDIT_BUCKETS && sc >= edges[k + 1]) k++;
        for (int which = 0; which < 2; which++) {
            rung_audit_bucket *b = &out->bucket[which ? RUNG_AUDIT_BUCKETS : k];
            b->n_right_answer += v->verdict == RUNG_VERDICT_CORRECT;
            b->n_hidden += v->verdict == RUNG_VERDICT_CORRECT && v->truth >= 0;
            if (v->pred != RUNG_FIRST_ERROR_UNKNOWN) count(b, v);
        }
        out->n_unlabelled += v->pred == RUNG_FIRST_ERROR_UNKNOWN;
    }
    if (st == RUNG_OK) st = score(out, &z, err);
    rung_free(z.row);
    return st;
}
