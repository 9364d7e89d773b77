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

static const double LEVEL = 0.95, WIDTH = 0.3;

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

int32_t progress_next(const progress_rule *r, int32_t m, int32_t k) {
    if (r->stopping == RUNG_STOPPING_FIXED) return k;
    int32_t next = m == 0 ? 4 : 2 * m; /* a ratio of less says nothing */
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

/* Each bound at half of what may go wrong. */
bool progress_settled(const progress_rule *r, progress_counts step, progress_counts before) {
    double level = 1.0 - 0.5 * (1.0 - r->level), sure = share(step);
    rung_interval c = {sure, sure};
    if (!step.is_sure) c = rung_confseq_bernoulli(step.c, step.c + step.wrong, level);
    rung_interval p = rung_confseq_bernoulli(before.c, before.c + before.wrong, level);
    if (r->difference) return c.lo - p.hi >= -r->eps || c.hi - p.lo < -r->eps;
    return c.lo >= r->eps * p.hi || c.hi < r->eps * p.lo;
}
