/* Step scores by the first wrong step: is it below the steps before it, does the least score tell a
 * trace with an error from one without, and ProcessBench's three numbers at a threshold
 * (feedback.md 10.7, labels.md 1). Steps after the first wrong one are not looked at: what they are
 * is not known. */
#include "bench/steps.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEVEL 0.95

void rung_first_clear(rung_first_set *f) {
    rung_free(f->item);
    rung_free(f->whole);
    rung_free(f->score);
    rung_free(f->first);
    rung_free(f->label);
    rung_free(f->problem);
    *f = (rung_first_set){0};
}

rung_status rung_first_add(rung_first_set *f, const double *score, const double *y, int32_t n,
                           uint32_t problem, rung_error *err) {
    int32_t end = 0, label = -1;
    double least = (double)INFINITY;
    while (end < n && label < 0 && !isnan(y[end]) && !isnan(score[end])) {
        if (y[end] < 0.5) label = end;
        end++;
    }
    if (end == 0 || (end < n && label < 0)) { /* unknown before an error was met */
        f->n_incomplete++;
        return RUNG_OK;
    }
    for (int32_t k = 0; k < n; k++)
        if (score[k] < least) least = score[k];
    RUNG_TRY(rung_grow(&f->item, &f->cap_item, f->n_item + end, sizeof(rung_step_item), err));
    RUNG_TRY(rung_grow(&f->score, &f->cap_score, f->n_item + end, sizeof(double), err));
    RUNG_TRY(rung_grow(&f->whole, &f->cap_whole, f->n + 1, sizeof(rung_step_item), err));
    RUNG_TRY(rung_grow(&f->first, &f->cap_first, f->n + 2, sizeof(int64_t), err));
    RUNG_TRY(rung_grow(&f->label, &f->cap_label, f->n + 1, sizeof(int32_t), err));
    RUNG_TRY(rung_grow(&f->problem, &f->cap_problem, f->n + 1, sizeof(uint32_t), err));
    const double none = (double)NAN;
    for (int32_t k = 0; k < end; k++) {
        ((double *)f->score)[f->n_item + k] = score[k];
        ((rung_step_item *)f->item)[f->n_item + k] =
            (rung_step_item){score[k], k == label ? 0.0 : 1.0, none, problem, false, 0};
    }
    ((rung_step_item *)f->whole)[f->n] =
        (rung_step_item){least, label < 0 ? 1.0 : 0.0, none, problem, false, 0};
    ((int64_t *)f->first)[f->n] = f->n_item;
    ((int32_t *)f->label)[f->n] = label;
    ((uint32_t *)f->problem)[f->n] = problem;
    f->n_item += end;
    ((int64_t *)f->first)[++f->n] = f->n_item;
    return RUNG_OK;
}

typedef struct hits {
    const rung_first_set *f;
    const bool *hit; /* [f->n] the right index was named */
    double *weight;  /* [n_problems] */
    uint32_t n_problems;
} hits;

static double f1_of(void *ud, const uint32_t *index, int64_t n_index) {
    hits *h = ud;
    double all[2] = {0, 0}, right[2] = {0, 0};
    for (uint32_t i = 0; i < h->n_problems; i++) h->weight[i] = 0.0;
    for (int64_t i = 0; i < n_index; i++) h->weight[index[i]] += 1.0;
    for (int64_t i = 0; i < h->f->n; i++) {
        int cls = ((const int32_t *)h->f->label)[i] == -1;
        double w = h->weight[((const uint32_t *)h->f->problem)[i]];
        all[cls] += w;
        right[cls] += h->hit[i] ? w : 0.0;
    }
    double a = 100.0 * right[0] / all[0], b = 100.0 * right[1] / all[1]; /* 0/0: left out */
    return a + b == 0.0 ? 0.0 : 2.0 * a * b / (a + b);
}

/* Share of the wrong traces whose first wrong step scores below every step before it. */
static double lowest_share(const rung_first_set *f) {
    const double *score = f->score;
    const int64_t *first = f->first;
    int64_t n = 0, n_low = 0;
    for (int64_t i = 0; i < f->n; i++) {
        if (((const int32_t *)f->label)[i] < 1) continue; /* nothing before it: says nothing */
        bool low = true;
        for (int64_t k = first[i]; k < first[i + 1] - 1; k++)
            low = low && score[first[i + 1] - 1] < score[k];
        n++;
        n_low += low;
    }
    return n ? (double)n_low / (double)n : (double)NAN;
}

static void put(rung_buf *b, const char *key, double v) {
    rung_buf_printf(b, ",\"%s\":", key);
    rung_put_num(b, v);
}

static rung_status put_at(rung_buf *b, const rung_first_set *f, double tau, const rung_step_draw *d,
                          rung_error *err) {
    size_t n = (size_t)f->n + 1;
    int32_t *pred = rung_alloc(n * sizeof *pred);
    bool *hit = rung_alloc(n);
    if (!pred || !hit) {
        rung_free(pred);
        rung_free(hit);
        return rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld traces", (long long)f->n);
    }
    const int64_t *first = f->first;
    for (int64_t i = 0; i < f->n; i++) {
        pred[i] = rung_first_below((const double *)f->score + first[i],
                                   (int32_t)(first[i + 1] - first[i]), tau);
        hit[i] = pred[i] == ((const int32_t *)f->label)[i];
    }
    rung_pb r = rung_processbench(pred, f->label, f->n);
    put(b, "acc_err", r.acc_err);
    put(b, "acc_cor", r.acc_cor);
    put(b, "f1", r.f1);
    hits h = {f, hit, d->weight, d->n_problems};
    rung_buf_str(b, ",\"f1_ci95\":");
    rung_put_interval(b, rung_bootstrap(f1_of, &h, d->n_problems, d->n_boot, LEVEL, d->seed));
    rung_free(pred);
    rung_free(hit);
    return RUNG_OK;
}

rung_status rung_first_put(rung_buf *b, rung_first_set *f, double tau, const char *tau_from,
                           rung_step_draw d, rung_error *err) {
    int64_t n_err = 0;
    for (int64_t i = 0; i < f->n; i++) n_err += ((const int32_t *)f->label)[i] >= 0;
    rung_buf_printf(b,
                    ",\"first_error\":{\"n_traces\":%lld,\"n_err\":%lld,\"n_cor\":%lld,"
                    "\"n_incomplete\":%lld,\"n_steps\":%lld",
                    (long long)f->n, (long long)n_err, (long long)(f->n - n_err),
                    (long long)f->n_incomplete, (long long)f->n_item);
    put(b, "lowest", lowest_share(f));
    bool on_test = isnan(tau);
    if (on_test) {
        double f1;
        tau_from = "chosen on these very traces";
        rung_error e = RUNG_ERROR_INIT;
        rung_status st =
            rung_first_error_threshold(&tau, &f1, f->score, f->first, f->label, f->n, &e);
        if (st != RUNG_OK && st != RUNG_E_FORMAT) {
            if (err) *err = e;
            return st;
        }
    }
    put(b, "threshold", tau);
    rung_buf_str(b, ",\"threshold_from\":");
    rung_buf_json_str(b, tau_from ? tau_from : "", tau_from ? strlen(tau_from) : 0);
    rung_buf_printf(b, ",\"threshold_on_test\":%s", on_test ? "true" : "false");
    RUNG_TRY(put_at(b, f, tau, &d, err));
    if (f->n_item) qsort(f->item, (size_t)f->n_item, sizeof(rung_step_item), rung_step_item_cmp);
    if (f->n) qsort(f->whole, (size_t)f->n, sizeof(rung_step_item), rung_step_item_cmp);
    d.item = f->item, d.n = f->n_item;
    rung_step_put(b, "auroc", rung_step_auroc, &d);
    rung_step_put(b, "ap", rung_step_ap, &d);
    d.item = f->whole, d.n = f->n;
    rung_step_put(b, "trace_auroc", rung_step_auroc, &d);
    rung_step_put(b, "trace_ap", rung_step_ap, &d);
    rung_buf_str(b, "}");
    return RUNG_OK;
}
