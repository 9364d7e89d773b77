/* Step scores -> one score of a trace (search.md 2.3). One row per aggregate. */
#include "rung/reward.h"

#include <math.h>
#include <string.h>

/* Keeps one zero finite in a sum of logs (search.md 2.3). */
#define P_FLOOR 1e-9
/* Keeps logits finite: |logit| <= 16.1 (search.md 2.3). */
#define P_LOGIT_MARGIN 1e-7
/* Score of a trace without scored steps: below every probability, so it never wins. */
#define EMPTY_SCORE (-1.0)
#define EMPTY_SUM   (-1e300) /* sums of log-ratios may be below any bound */

typedef double (*aggregate_fn)(const double *r, size_t n);

static double agg_min(const double *r, size_t n) {
    double v = r[0];
    for (size_t i = 1; i < n; i++) v = fmin(v, r[i]);
    return v;
}
static double agg_max(const double *r, size_t n) {
    double v = r[0];
    for (size_t i = 1; i < n; i++) v = fmax(v, r[i]);
    return v;
}
static double log_sum(const double *r, size_t n) {
    double v = 0.0;
    for (size_t i = 0; i < n; i++) v += log(fmax(r[i], P_FLOOR));
    return v;
}
static double agg_prod(const double *r, size_t n) {
    return exp(log_sum(r, n));
}
static double agg_geo(const double *r, size_t n) {
    return exp(log_sum(r, n) / (double)n);
}
static double agg_last(const double *r, size_t n) {
    return r[n - 1];
}
static double agg_mean(const double *r, size_t n) {
    double v = 0.0;
    for (size_t i = 0; i < n; i++) v += r[i];
    return v / (double)n;
}
static double agg_sum(const double *r, size_t n) {
    double v = 0.0;
    for (size_t i = 0; i < n; i++) v += r[i];
    return v;
}
static double agg_logit_sum(const double *r, size_t n) {
    double v = 0.0;
    for (size_t i = 0; i < n; i++) {
        double p = fmin(fmax(r[i], P_LOGIT_MARGIN), 1.0 - P_LOGIT_MARGIN);
        v += log(p) - log1p(-p);
    }
    return v;
}

static const aggregate_fn aggregate_of[] = {
    [RUNG_AGGREGATE_MIN] = agg_min,
    [RUNG_AGGREGATE_PROD] = agg_prod,
    [RUNG_AGGREGATE_LAST] = agg_last,
    [RUNG_AGGREGATE_MEAN] = agg_mean,
    [RUNG_AGGREGATE_MAX] = agg_max,
    [RUNG_AGGREGATE_GEO] = agg_geo,
    [RUNG_AGGREGATE_LOGIT_SUM] = agg_logit_sum,
    [RUNG_AGGREGATE_SUM] = agg_sum,
};
_Static_assert(sizeof aggregate_of / sizeof aggregate_of[0] == RUNG_AGGREGATE_COUNT,
               "every aggregate has a row");
static const char *const names[] = {
#define X(id, name, help) name,
    RUNG_AGGREGATES(X)
#undef X
};

const char *rung_aggregate_name(rung_aggregate_id id) {
    return (unsigned)id < RUNG_AGGREGATE_COUNT ? names[id] : "?";
}

bool rung_aggregate_find(rung_aggregate_id *out, const char *name) {
    for (int i = 0; i < RUNG_AGGREGATE_COUNT; i++)
        if (!strcmp(names[i], name)) {
            *out = (rung_aggregate_id)i;
            return true;
        }
    return false;
}

rung_status rung_aggregate(double *out, rung_aggregate_id id, const double *score, size_t n_steps,
                           rung_error *err) {
    if ((unsigned)id >= RUNG_AGGREGATE_COUNT)
        return rung_fail(err, RUNG_E_INVAL, "no aggregate number %d", (int)id);
    for (size_t i = 0; i < n_steps; i++)
        if (!isfinite(score[i])) {
            rung_fail(err, RUNG_E_INVAL, "score of step %zu is not finite", i);
            if (err) err->step = (int32_t)i;
            return RUNG_E_INVAL;
        }
    double empty = id == RUNG_AGGREGATE_SUM ? EMPTY_SUM : EMPTY_SCORE;
    *out = n_steps ? aggregate_of[id](score, n_steps) : empty;
    return RUNG_OK;
}
