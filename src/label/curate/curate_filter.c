/* Filters that judge a trace by its labels: consensus, self-confidence, SCAN's denoising,
 * truncation, merging. */
#include "label/curate/curate.h"

#include <math.h>
#include <string.h>

static rung_status trace_of(rung_iter **it, const rung_trace **row, const cur_set *set,
                            const cur_trace *t, rung_error *err) {
    RUNG_TRY(rung_trace_iter(it, set->store, &(rung_filter){.trace = t->trace}, err));
    rung_status st = rung_trace_next(row, *it, err);
    if (st == RUNG_DONE)
        st = rung_fail(err, RUNG_E_NOT_FOUND, "there is no trace %lld", (long long)t->trace);
    if (st != RUNG_OK) rung_iter_free(*it);
    return st;
}

/* Keep a trace only where both put the first error in the same place; both "none" agrees; dropped
 * whole otherwise (labels.md 2, stage D). */
rung_status cur_consensus(cur_set *set, rung_curate_count *z, rung_error *err) {
    if (!set->o->other.source)
        return rung_fail(err, RUNG_E_INVAL, "consensus: with whom? --other-source and --other-run");
    for (int64_t i = 0; i < set->n; i++) {
        cur_trace *t = &set->trace[i];
        if (t->dropped) continue;
        int32_t mine = cur_first_zero(set, t), other;
        rung_iter *it;
        const rung_trace *row;
        RUNG_TRY(trace_of(&it, &row, set, t, err));
        rung_status st = rung_label_claim(&other, set->store, row, &set->o->other, err);
        rung_iter_free(it);
        RUNG_TRY(st);
        if (mine == RUNG_FIRST_ERROR_UNKNOWN)
            cur_drop(t, z, "not labelled");
        else if (other == RUNG_FIRST_ERROR_UNKNOWN)
            cur_drop(t, z, "the other says nothing, or unparsed");
        else if (mine != other)
            cur_drop(t, z, "first errors differ");
    }
    return RUNG_OK;
}

static rung_status confidence(double **sc, const cur_set *set, rung_error *err) {
    *sc = rung_alloc(((size_t)set->n + 1) * sizeof **sc);
    if (!*sc) return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld traces", (long long)set->n);
    return cur_confidence(*sc, set, err);
}

rung_status cur_confident(cur_set *set, rung_curate_count *z, rung_error *err) {
    double *sc, least = set->o->confidence > 0.0 ? set->o->confidence : 0.75;
    RUNG_TRY(confidence(&sc, set, err));
    for (int64_t i = 0; i < set->n; i++)
        if (!set->trace[i].dropped && sc[i] < least)
            cur_drop(&set->trace[i], z, "self-confidence too low");
    rung_free(sc);
    return RUNG_OK;
}

/* SCAN: right traces are right in every step; of wrong ones the steps within `distance` before the
 * first zero get min(1, c_t / SC), the rest before it 1, it 0; later ones are cut off. A wrong
 * trace without a zero says nothing. Only wrong traces are softened. */
static void denoise_one(cur_set *set, cur_trace *t, double sc, rung_curate_count *z) {
    int32_t d = set->o->distance == 0 ? 2 : set->o->distance < 0 ? 0 : set->o->distance;
    cur_step *s = set->step + t->first;
    if (t->verdict == RUNG_VERDICT_UNKNOWN) {
        cur_drop(t, z, "outcome unknown");
        return;
    }
    if (t->verdict == RUNG_VERDICT_CORRECT) {
        for (int32_t k = 0; k < t->n_steps; k++) s[k].hard = 1, s[k].soft = 1.0;
        return;
    }
    int32_t at = 0;
    while (at < t->n_steps && s[at].hard == 1) at++;
    if (at == t->n_steps || s[at].hard < 0) {
        cur_drop(t, z, at == t->n_steps ? "no error found" : "not labelled up to an error");
        return;
    }
    double by = set->o->undivided ? 1.0 : sc;
    int64_t n_soft = 0;
    for (int32_t k = 0; k < at; k++) {
        bool near = at - k <= d;
        double soft = near && isfinite(s[k].soft) && sc > 0.0 ? fmin(1.0, s[k].soft / by) : 1.0;
        n_soft += soft < 1.0;
        s[k].soft = soft;
        s[k].hard = soft >= 0.5;
    }
    s[at].soft = 0.0;
    cur_because(z, "labels softened", n_soft);
    cur_because(z, "steps after the error", t->n_steps - at - 1);
    t->n_steps = at + 1;
}

rung_status cur_denoise(cur_set *set, rung_curate_count *z, rung_error *err) {
    double *sc;
    RUNG_TRY(confidence(&sc, set, err));
    for (int64_t i = 0; i < set->n; i++)
        if (!set->trace[i].dropped) denoise_one(set, &set->trace[i], sc[i], z);
    rung_free(sc);
    return RUNG_OK;
}

rung_status cur_truncate(cur_set *set, rung_curate_count *z, rung_error *err) {
    (void)err;
    for (int64_t i = 0; i < set->n; i++) {
        cur_trace *t = &set->trace[i];
        if (t->dropped) continue;
        int32_t k = 0;
        while (k < t->n_steps && set->step[t->first + k].hard != 0) k++;
        if (k + 1 >= t->n_steps) continue;
        cur_because(z, "steps after the first error", t->n_steps - k - 1);
        t->n_steps = k + 1;
    }
    return RUNG_OK;
}

/* FoVer: pairs of neighbours become one step with probability `merge`, its label the AND; never the
 * final step; drawn per trace and place. */
static int64_t merge_one(cur_set *set, cur_trace *t, double share) {
    cur_step *s = set->step + t->first;
    int32_t out = 0, last = t->n_steps - 1;
    bool whole = t->n_steps == t->n_whole; /* else the final step is not here */
    int64_t n = 0;
    for (int32_t k = 0; k < t->n_steps; k++) {
        bool pair = k + 1 < t->n_steps && !(whole && k + 1 == last) && cur_draw(set, t, k) < share;
        cur_step v = s[k];
        if (pair) {
            cur_step *b = &s[k + 1];
            v.node = 0; /* a new one */
            v.byte_end = b->byte_end;
            v.tok_end = b->tok_end;
            v.hard = v.hard == 0 || b->hard == 0 ? 0 : v.hard < 0 ? v.hard : b->hard;
            v.soft = isfinite(v.soft) && isfinite(b->soft) ? fmin(v.soft, b->soft) : (double)NAN;
            v.n = b->n;
            v.c = b->c;
            v.n_unknown = b->n_unknown;
            k++;
            n++;
        }
        s[out++] = v;
    }
    t->n_whole -= (int32_t)n;
    t->n_steps = out;
    return n;
}

rung_status cur_merge(cur_set *set, rung_curate_count *z, rung_error *err) {
    (void)err;
    double share = set->o->merge > 0.0 ? set->o->merge : 0.2;
    for (int64_t i = 0; i < set->n; i++)
        if (!set->trace[i].dropped)
            cur_because(z, "pairs merged", merge_one(set, &set->trace[i], share));
    return RUNG_OK;
}
