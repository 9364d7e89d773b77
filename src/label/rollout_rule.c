#include "label/rollout_rule.h"
#include "rung/stat.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name, *help;
} stoppings[] = {
#define X(id, name, help) {name, help},
    RUNG_STOPPINGS(X)
#undef X
};

const char *rung_stopping_name(rung_stopping s) {
    return (unsigned)s < RUNG_STOPPING_COUNT ? stoppings[s].name : NULL;
}

const char *rung_stopping_help(rung_stopping s) {
    return (unsigned)s < RUNG_STOPPING_COUNT ? stoppings[s].help : NULL;
}

bool rung_stopping_find(rung_stopping *out, const char *name) {
    for (int i = 0; i < RUNG_STOPPING_COUNT; i++)
        if (strcmp(stoppings[i].name, name) == 0) {
            *out = (rung_stopping)i;
            return true;
        }
    return false;
}

static const double LEVEL = 0.95, WIDTH = 0.3, PROGRESS_LEVEL = 0.8;
static const double PROGRESS_MARGIN = 0.625; /* of eps: .3 is a sure loss where .8 is kept */

rollout_rule rollout_rule_of(const rung_mc_opts *o) {
    return (rollout_rule){.stopping = o->stopping,
                          .k = o->k,
                          .theta = o->theta,
                          .level = o->level > 0.0 ? o->level : LEVEL,
                          .margin = o->margin,
                          .width = o->width > 0.0 ? o->width : WIDTH};
}

int32_t rollout_rule_next(const rollout_rule *r, int32_t m) {
    if (r->stopping == RUNG_STOPPING_FIXED) return r->k;
    int32_t next = m == 0 ? 1 : m <= r->k / 2 ? 2 * m : r->k;
    return next < r->k ? next : r->k;
}

int32_t rollout_rule_hard(const rollout_rule *r, int32_t c, int32_t wrong) {
    if (c + wrong == 0) return -1;
    return (double)c > r->theta * (double)(c + wrong);
}

/* Can K - m more outcomes still change 1[c / known > theta]? */
static bool settled_exactly(const rollout_rule *r, int32_t m, int32_t c, int32_t wrong) {
    double left = (double)(r->k - m), known = (double)(c + wrong);
    if (c > 0 && (double)c > r->theta * (known + left)) return true; /* even if all fail */
    return (double)c + left <= r->theta * (known + left);            /* even if all succeed */
}

bool rollout_rule_settled(const rollout_rule *r, int32_t m, int32_t c, int32_t wrong) {
    if (m >= r->k) return true;
    if (r->stopping == RUNG_STOPPING_FIXED || c + wrong == 0) return false;
    if (r->stopping == RUNG_STOPPING_EXACT) return settled_exactly(r, m, c, wrong);
    rung_interval set = rung_confseq_bernoulli(c, c + wrong, r->level);
    if (r->stopping == RUNG_STOPPING_WIDTH) return set.hi - set.lo <= r->width;
    return settled_exactly(r, m, c, wrong) || set.lo > r->theta || set.hi < r->theta + r->margin;
}

double rollout_rule_doubt(const rollout_rule *r, int32_t m, int32_t c, int32_t wrong) {
    int32_t left = r->k - m, known = c + wrong;
    if (left <= 0) return 0.0;
    double bar = r->theta * (double)(known + left) - (double)c; /* successes wanted: more than */
    int64_t least = bar < 0.0 ? 0 : (int64_t)bar + 1;
    double right = rung_urn_above(c, known, left, least);
    return right < 0.5 ? right : 1.0 - right;
}

progress_rule progress_rule_of(rung_stopping stopping, bool difference, double eps, double level,
                               double margin) {
    progress_rule r = {.stopping = stopping,
                       .difference = difference,
                       .eps = eps > 0.0    ? eps
                              : difference ? 0.3
                                           : 0.8,
                       .level = level > 0.0 ? level : PROGRESS_LEVEL,
                       .gain = {1.0, 1.0}};
    if (difference) {
        r.loss[0] = r.eps + (margin > 0.0 ? margin : r.eps);
    } else {
        r.gain[0] =
            fmax(r.eps - (margin > 0.0 ? margin : PROGRESS_MARGIN * r.eps), 0.01); /* above 0 */
        r.gain[1] = fmax(1.0, r.eps);
    }
    return r;
}

int32_t progress_next(const progress_rule *r, int32_t m, int32_t k) {
    if (r->stopping == RUNG_STOPPING_FIXED) return k;
    int32_t next = m == 0 ? 4 : m + (m < 6 ? 2 : m / 3); /* a ratio of less says nothing */
    return next < k ? next : k;
}

static double share(progress_counts k) {
    return (double)k.c / (double)(k.c + k.wrong);
}

int32_t progress_hard(double *soft, const progress_rule *r, progress_counts step,
                      progress_counts before) {
    *soft = (double)NAN;
    if (step.c + step.wrong == 0 || before.c + before.wrong == 0) return -1;
    double p = share(step), q = share(before);
    double x = r->difference ? 1.0 + p - q : q > 0.0 ? p / q : p > 0.0;
    *soft = fmin(1.0, fmax(0.0, x));
    return r->difference ? p - q >= -r->eps : q > 0.0 && p >= r->eps * q;
}

/* Would these shares make the step right? */
static bool keeps(const progress_rule *r, double p, double q) {
    return r->difference ? p - q >= -r->eps : q > 0.0 && p >= r->eps * q;
}

/* The label at the ends of what the shares can still become. */
static bool progress_exact(const progress_rule *r, int32_t left, progress_counts step,
                           progress_counts before, bool right) {
    double n = step.c + step.wrong + left, n2 = before.c + before.wrong + left;
    double lo = step.is_sure ? share(step) : step.c / n;
    double hi = step.is_sure ? share(step) : (step.c + left) / n;
    double lo2 = before.c / n2, hi2 = (before.c + left) / n2;
    return right ? keeps(r, lo, hi2) && lo2 > 0.0 : !keeps(r, hi, lo2) && (lo2 > 0.0 || hi2 <= 0.0);
}

bool progress_settled(const progress_rule *r, int32_t m, int32_t k, progress_counts step,
                      progress_counts before) {
    double soft, e;
    int32_t hard = progress_hard(&soft, r, step, before);
    if (m >= k) return true;
    if (hard < 0 || r->stopping == RUNG_STOPPING_FIXED) return false;
    if (progress_exact(r, k - m, step, before, hard == 1)) return true;
    if (r->stopping == RUNG_STOPPING_EXACT) return false;
    int other = hard == 1 ? 0 : 1; /* the line that is to be excluded */
    double gain = r->gain[other], loss = r->loss[other];
    if (step.is_sure)
        e = rung_evalue_known(before.c, before.wrong, (share(step) + loss) / gain, hard == 1);
    else
        e = rung_evalue_line(step.c, step.wrong, before.c, before.wrong, gain, loss, hard == 1);
    return e >= -log1p(-r->level);
}
