/* The labelled set: which steps of which traces are trained on, with what target; the split of
 * problems; the figures on it. */
#include "base/grow.h"
#include "reward/reward_ids.h"
#include "reward/reward_impl.h"
#include "rung/stat.h"
#include "trace/flow.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ECE_BINS = 10 };

typedef struct set_row {
    int32_t step;
    int64_t node, after; /* after: the node of the step before, or minus the problem */
    double target;
    bool hard;
} set_row;

static rung_status push_row(reward_set *set, reward_ids *groups, set_row row, rung_error *err) {
    const grow_array rows[] = {GROW_ARRAY(set->step), GROW_ARRAY(set->target),
                               GROW_ARRAY(set->hard), GROW_ARRAY(set->node),
                               GROW_ARRAY(set->same), GROW_ARRAY(set->group)};
    if (!grow_arrays(&set->cap_rows, set->n_rows + 1, rows, sizeof rows / sizeof *rows))
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld labels", (long long)set->n_rows);
    int64_t group = (int64_t)groups->n;
    bool is_new;
    RUNG_TRY(reward_ids_put(&group, &is_new, groups, row.after, err));
    int64_t r = set->n_rows++;
    set->step[r] = row.step;
    set->node[r] = row.node;
    set->same[r] = (int32_t)r;
    set->group[r] = (int32_t)group;
    set->target[r] = (float)row.target;
    set->hard[r] = row.hard;
    return RUNG_OK;
}

static rung_status push_example(reward_set *set, const rung_trace *t, int64_t first,
                                rung_error *err) {
    const grow_array all = GROW_ARRAY(set->example);
    if (!grow_arrays(&set->cap_examples, set->n_examples + 1, &all, 1))
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld traces",
                         (long long)set->n_examples);
    set->example[set->n_examples++] = (reward_example){.trace = t->id,
                                                       .problem = t->problem,
                                                       .first = (int32_t)first,
                                                       .n = (int32_t)(set->n_rows - first)};
    return RUNG_OK;
}

/* Steps after the first hard = 0 are masked (labels.md 0.1) unless asked for: what follows an error
 * is neither right nor wrong by its own doing. */
static rung_status read_steps(reward_set *set, reward_ids *groups, rung_store *s,
                              const rung_trace *t, const rung_reward_train_opts *o,
                              rung_error *err) {
    for (int32_t k = 0; k < t->n_steps; k++) {
        rung_label l;
        bool found = false;
        RUNG_TRY(
            rung_label_get(&l, &found, s, o->label_run, t->step[k].node, o->label_source, err));
        if (!found || l.hard < 0) continue;
        double target = o->soft && isfinite(l.soft) ? l.soft : (double)l.hard;
        if (!(target >= 0.0 && target <= 1.0))
            return rung_fail(err, RUNG_E_FORMAT, "trace %lld, step %d: label %g is not in [0,1]",
                             (long long)t->id, k, target);
        int64_t after = k > 0 ? t->step[k - 1].node : -t->problem;
        set_row row = {k, t->step[k].node, after, target, l.hard == 1};
        RUNG_TRY(push_row(set, groups, row, err));
        if (l.hard == 0 && !o->keep_after_error) break;
    }
    return RUNG_OK;
}

static rung_status read_outcome(reward_set *set, reward_ids *groups, const rung_trace *t,
                                rung_error *err) {
    if (t->verdict == RUNG_VERDICT_UNKNOWN || t->n_steps == 0) return RUNG_OK;
    bool right = t->verdict == RUNG_VERDICT_CORRECT;
    int32_t last = t->n_steps - 1;
    set_row row = {last, t->step[last].node, -t->problem, right ? 1.0 : 0.0, right};
    return push_row(set, groups, row, err);
}

static rung_status read_traces(reward_set *set, rung_store *s, const rung_reward_train_opts *o,
                               rung_error *err) {
    rung_iter *it;
    RUNG_TRY(rung_trace_iter(&it, s, &o->traces, err));
    const rung_trace *t;
    rung_status st;
    reward_ids groups = {0};
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        int64_t first = set->n_rows;
        st = reward_reads_outcome(o->kind) ? read_outcome(set, &groups, t, err)
                                           : read_steps(set, &groups, s, t, o, err);
        if (st == RUNG_OK && set->n_rows > first) st = push_example(set, t, first, err);
        if (st != RUNG_OK) break;
    }
    reward_ids_clear(&groups);
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

/* Rows of one node (traces that share a prefix) are read once. */
static rung_status find_owners(reward_set *set, rung_error *err) {
    reward_ids seen = {0};
    rung_status st = RUNG_OK;
    for (int64_t i = 0; i < set->n_examples && st == RUNG_OK; i++) {
        reward_example *e = &set->example[i];
        e->own = e->first + e->n;
        for (int32_t r = e->first; r < e->first + e->n && st == RUNG_OK; r++) {
            int64_t row = r;
            bool is_new;
            st = reward_ids_put(&row, &is_new, &seen, set->node[r], err);
            set->same[r] = (int32_t)row;
            if (st == RUNG_OK && is_new && r < e->own) e->own = r;
        }
    }
    reward_ids_clear(&seen);
    return st;
}

typedef struct ranked {
    double u;
    uint64_t address;
    int64_t problem;
} ranked;

static int by_draw(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->u != y->u) return x->u < y->u ? -1 : 1;
    return x->address < y->address ? -1 : x->address > y->address;
}
static int by_problem(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    return x->problem < y->problem ? -1 : x->problem > y->problem;
}

static rung_status rank_problems(ranked *r, int32_t *n_problems, const reward_set *set,
                                 rung_store *s, uint64_t seed, rung_error *err) {
    rung_arena *a = rung_arena_new(0);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "no memory to split problems");
    int32_t n = 0;
    rung_status st = RUNG_OK;
    for (int64_t i = 0; i < set->n_examples && st == RUNG_OK; i++) {
        int64_t id = set->example[i].problem;
        if (n && r[n - 1].problem == id) continue;
        rung_problem p;
        st = rung_problem_get(s, &p, a, id, err);
        if (st != RUNG_OK) break;
        uint64_t address = rung_problem_address(&p);
        rung_rng g = rung_rng_at(seed, RUNG_STREAM_SPLIT, address, 0);
        r[n++] = (ranked){rung_rng_f64_at(&g, 0), address, id};
        rung_arena_reset(a);
    }
    rung_arena_free(a);
    *n_problems = n;
    return st;
}

static int by_address(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    return x->address < y->address ? -1 : x->address > y->address;
}

/* So that a calibration or a measurement can tell whether the model has seen a problem. */
static rung_status name_trained(reward_set *set, ranked *trained, size_t n, rung_error *err) {
    set->trained_on = rung_alloc(16 * n + 1);
    if (!set->trained_on) return rung_fail(err, RUNG_E_NOMEM, "no memory for %zu problems", n);
    qsort(trained, n, sizeof *trained, by_address);
    for (size_t i = 0; i < n; i++)
        snprintf(set->trained_on + 16 * i, 17, "%016llx", (unsigned long long)trained[i].address);
    return RUNG_OK;
}

/* Held out: the share of problems with the smallest draws, addressed by what the problem is. At
 * least one, and one is left for training. */
static rung_status split_problems(reward_set *set, rung_store *s, uint64_t seed, double share,
                                  rung_error *err) {
    ranked *r = rung_alloc(((size_t)set->n_examples + 1) * sizeof *r);
    if (!r) return rung_fail(err, RUNG_E_NOMEM, "no memory to split problems");
    rung_status st = rank_problems(r, &set->n_problems, set, s, seed, err);
    size_t n = (size_t)set->n_problems;
    if (st == RUNG_OK && n < 2) {
        st = rung_fail(err, RUNG_E_FORMAT,
                       "labels of %zu problems: at least 2 are needed, one to "
                       "train on and one held out",
                       n);
        rung_error_hint(err, "label the traces of more problems");
    }
    if (st == RUNG_OK) {
        qsort(r, n, sizeof *r, by_draw);
        size_t n_held = (size_t)lround(share * (double)n);
        n_held = n_held < 1 ? 1 : n_held >= n ? n - 1 : n_held;
        set->n_held_problems = (int32_t)n_held;
        qsort(r, n_held, sizeof *r, by_problem);
        for (int64_t i = 0; i < set->n_examples; i++) {
            reward_example *e = &set->example[i];
            ranked key = {.problem = e->problem};
            e->held = bsearch(&key, r, n_held, sizeof *r, by_problem) != NULL;
            if (e->held) set->n_held_rows += e->n;
        }
        st = name_trained(set, r + n_held, n - n_held, err);
    }
    rung_free(r);
    return st;
}

static void hash_set(reward_set *set) {
    uint64_t h[2] = {0, 1};
    for (int i = 0; i < 2; i++) {
        h[i] = rung_hash64(set->step, (size_t)set->n_rows * sizeof *set->step, h[i]);
        h[i] = rung_hash64(set->target, (size_t)set->n_rows * sizeof *set->target, h[i]);
        h[i] = rung_hash64(set->hard, (size_t)set->n_rows * sizeof *set->hard, h[i]);
        for (int64_t e = 0; e < set->n_examples; e++) {
            int64_t v[4] = {set->example[e].trace, set->example[e].first, set->example[e].n,
                            set->example[e].held};
            h[i] = rung_hash64(v, sizeof v, h[i]);
        }
    }
    rung_hash_hex(set->hash, h, sizeof h);
}

/* What does not fit ---------------------------------------------------------------------------- */

static rung_status length_of(int32_t *n_tok, const reward_set *set, const reward_example *e,
                             rung_store *s, const rung_model *m, const reward_format *f,
                             rung_arena *a, rung_error *err) {
    const rung_trace *t;
    rung_iter *it = NULL;
    rung_problem p;
    reward_layout l = {0};
    bool spelled, by_step;
    rung_status st = reward_trace_get(&t, &it, s, e->trace, err);
    if (st == RUNG_OK) st = rung_problem_get(s, &p, a, e->problem, err);
    if (st == RUNG_OK) st = reward_layout_make(&l, &spelled, &by_step, m, f, &p, t, err);
    if (st == RUNG_OK) *n_tok = l.at[set->step[e->first + e->n - 1]] + 1;
    reward_layout_clear(&l);
    rung_iter_free(it);
    rung_arena_reset(a);
    return st;
}

/* Without the dropped examples: who owns a row, how many are held out, the hash. */
static rung_status settle(reward_set *set, int64_t n_kept, int32_t n_ctx, rung_error *err) {
    int64_t n_dropped = set->n_examples - n_kept, n_held = 0;
    set->n_examples = n_kept;
    set->n_held_rows = 0;
    for (int64_t i = 0; i < n_kept; i++) {
        if (!set->example[i].held) continue;
        set->n_held_rows += set->example[i].n;
        n_held++;
    }
    if (n_held == 0 || n_held == n_kept) {
        rung_fail(err, RUNG_E_LIMIT,
                  "%lld traces do not fit the base (%d tokens) or the format: none left to %s",
                  (long long)n_dropped, n_ctx, n_held == 0 ? "hold out" : "train on");
        return rung_error_hint(err, "train on a base with a longer context, or with another tag");
    }
    RUNG_TRY(find_owners(set, err));
    hash_set(set);
    return RUNG_OK;
}

/* One that the format cannot lay out (a step that holds the tag, one without tokens) or that the
 * base cannot read: why it is left out; *keep when it is not. */
static rung_status fits(bool *keep, const reward_example *e, rung_status laid, int32_t n_tok,
                        int32_t n_ctx, bool drop, const rung_log *log, rung_error *err,
                        const rung_error *why) {
    *keep = laid == RUNG_OK && (n_ctx <= 0 || n_tok <= n_ctx);
    if (laid == RUNG_E_FORMAT || laid == RUNG_E_MISMATCH) {
        rung_event(log, RUNG_WARN, "reward.skip", RUNG_I("trace", e->trace),
                   RUNG_S("why", why->what));
        return RUNG_OK;
    }
    if (laid != RUNG_OK) {
        if (err) *err = *why;
        return laid;
    }
    if (*keep) return RUNG_OK;
    if (drop) {
        rung_event(log, RUNG_WARN, "reward.too_long", RUNG_I("trace", e->trace),
                   RUNG_I("tokens", n_tok), RUNG_I("context", n_ctx));
        return RUNG_OK;
    }
    rung_fail(err, RUNG_E_LIMIT, "trace %lld has %d tokens, the base reads %d", (long long)e->trace,
              n_tok, n_ctx);
    return rung_error_hint(err, "leave such traces out: --too-long drop");
}

rung_status reward_set_fit(reward_set *set, rung_store *s, const rung_model *m,
                           const reward_format *f, int32_t n_ctx, bool drop, const rung_log *log,
                           rung_error *err) {
    rung_arena *a = rung_arena_new(0);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "no memory to read traces");
    int64_t kept = 0, n_all = set->n_examples;
    rung_status st = RUNG_OK;
    for (int64_t i = 0; i < n_all && st == RUNG_OK; i++) {
        const reward_example *e = &set->example[i];
        rung_error why = RUNG_ERROR_INIT;
        int32_t n_tok = 0;
        bool keep;
        rung_status laid = length_of(&n_tok, set, e, s, m, f, a, &why);
        st = fits(&keep, e, laid, n_tok, n_ctx, drop, log, err, &why);
        if (st == RUNG_OK && keep) set->example[kept++] = *e;
    }
    rung_arena_free(a);
    if (st != RUNG_OK || kept == n_all) return st;
    rung_event(log, RUNG_WARN, "reward.dropped", RUNG_I("traces", n_all - kept),
               RUNG_I("of", n_all), RUNG_I("context", n_ctx));
    return settle(set, kept, n_ctx, err);
}

rung_status reward_set_read(reward_set *out, rung_store *s, const rung_reward_train_opts *o,
                            rung_error *err) {
    *out = (reward_set){0};
    rung_status st = read_traces(out, s, o, err);
    if (st == RUNG_OK && out->n_rows == 0) {
        st = rung_fail(err, RUNG_E_NOT_FOUND, "no %s of the chosen traces to train on",
                       reward_reads_outcome(o->kind) ? "verdicts" : "labels");
        rung_error_hint(err, "run label first; this source was asked for: %s", o->label_source);
    }
    if (st == RUNG_OK && out->n_rows > INT32_MAX)
        st = rung_fail(err, RUNG_E_LIMIT, "%lld labels are too many", (long long)out->n_rows);
    if (st == RUNG_OK) st = split_problems(out, s, o->seed, reward_defaults_of(o).held_share, err);
    if (st == RUNG_OK) st = find_owners(out, err);
    if (st == RUNG_OK) {
        hash_set(out);
        return RUNG_OK;
    }
    reward_set_clear(out);
    return st;
}

void reward_set_clear(reward_set *set) {
    rung_free(set->example);
    rung_free(set->step);
    rung_free(set->node);
    rung_free(set->same);
    rung_free(set->group);
    rung_free(set->target);
    rung_free(set->hard);
    rung_free(set->trained_on);
    *set = (reward_set){0};
}

/* -[t ln p + (1-t) ln (1-p)] with p kept off the ends, where a head in floats may land. */
static double cross_entropy(double p, double t) {
    const double margin = 1e-12;
    p = fmin(fmax(p, margin), 1.0 - margin);
    return -(t * log(p) + (1.0 - t) * log1p(-p));
}

void reward_measure(rung_reward_report *out, const double *p, const reward_set *set) {
    double *hp = rung_alloc(((size_t)set->n_held_rows + 1) * 2 * sizeof *hp);
    double *hy = hp ? hp + set->n_held_rows + 1 : NULL, sum[2] = {0, 0};
    int64_t n[2] = {0, 0};
    for (int64_t e = 0; e < set->n_examples; e++) {
        const reward_example *x = &set->example[e];
        for (int32_t r = x->first; r < x->first + x->n; r++) {
            sum[x->held] += cross_entropy(p[r], (double)set->target[r]);
            if (x->held && hp) hp[n[1]] = p[r], hy[n[1]] = set->hard[r];
            n[x->held]++;
        }
    }
    out->n_train = n[0];
    out->n_held = n[1];
    out->loss_train = sum[0] / (double)n[0];
    out->loss_held = sum[1] / (double)n[1];
    out->auc_held = hp ? rung_auroc(hp, hy, n[1]) : (double)NAN;
    out->brier_held = hp ? rung_brier(hp, hy, n[1]) : (double)NAN;
    out->ece_held = hp ? rung_ece(hp, hy, n[1], ECE_BINS) : (double)NAN;
    rung_free(hp);
}
