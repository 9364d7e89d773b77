/* Live traces and their scores.
 *
 * run sorts the traces with unscored steps by their tokens, so that what shares a prefix is read
 * one after the other, and queues them all before the engine starts: one evaluation per trace that
 * reads every new position (layout ask: one per step, a branch each; log-ratio: one per model). A
 * step that the trace before it in that order has with the same tokens is not read: it is copied.
 */
#include "reward/reward_scorer.h"
#include "reward/reward_ensemble.h"
#include "reward/reward_refcache.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct live_trace {
    bool used, too_long;
    reward_layout l;
    double *score; /* [cap]; NaN: not scored here */
    double *ratio; /* log-ratio: of the step alone, before beta */
    int32_t cap;
    int32_t n_done, n_target; /* steps that are scored; that this run scores */
    int32_t n_left;           /* evaluations not reported yet */
    int64_t twin;             /* its first steps to score are this trace's: [n_done, n_twin) */
    int32_t n_twin;
    char why[160];
} live_trace;

typedef struct read_job {
    int64_t live;
    int32_t first, n, n_tok;
    bool reference;
} read_job;

struct rung_scorer {
    rung_reward *r;
    reward_plan plan;
    live_trace *live;
    int64_t n_live, cap_live; /* slots */
    read_job *job;
    int64_t n_jobs, cap_jobs, n_queued[2];
    int64_t *order, n_order;
    int32_t *branch, cap_branch; /* ask: tokens of one question */
    reward_scorer_cb cb;
    rung_scorer_stats stats;
    ensemble_scorer *ensemble; /* then that is all there is */
    reward_refcache *cache;    /* log-ratio with a store; NULL */
};

rung_status rung_scorer_open(rung_scorer **out, rung_reward *r, rung_error *err) {
    *out = NULL;
    if (!r->engine && !r->n_members)
        return rung_fail(err, RUNG_E_MISUSE, "%s reads no tokens: there is nothing to run",
                         rung_reward_kind_name(r->kind));
    rung_scorer *s = rung_calloc(1, sizeof *s);
    if (!s) return rung_fail(err, RUNG_E_NOMEM, "no memory for a scorer");
    s->r = r;
    rung_status st =
        r->n_members ? ensemble_open(&s->ensemble, r, err)
                     : reward_plan_init(&s->plan, rung_engine_model(r->engine), &r->format, err);
    if (st == RUNG_OK)
        *out = s;
    else
        rung_scorer_close(s);
    return st;
}

static void live_clear(live_trace *t) {
    reward_layout_clear(&t->l);
    rung_free(t->score);
    rung_free(t->ratio);
    *t = (live_trace){0};
}

void rung_scorer_close(rung_scorer *s) {
    if (!s) return;
    ensemble_close(s->ensemble);
    for (int64_t i = 0; i < s->n_live; i++) live_clear(&s->live[i]);
    reward_plan_clear(&s->plan);
    rung_free(s->live);
    rung_free(s->job);
    rung_free(s->order);
    rung_free(s->branch);
    rung_free(s->cache);
    rung_free(s);
}

rung_status rung_scorer_cache(rung_scorer *s, rung_store *store, rung_error *err) {
    if (s->ensemble) return ensemble_cache(s->ensemble, store, err);
    if (!s->r->reference) return RUNG_OK;
    if (!s->cache) s->cache = rung_calloc(1, sizeof *s->cache);
    if (!s->cache) return rung_fail(err, RUNG_E_NOMEM, "no memory for a cache");
    reward_refcache_init(s->cache, store, s->r->reference);
    return RUNG_OK;
}

const reward_plan *reward_scorer_plan(const rung_scorer *s) {
    return &s->plan;
}

void rung_scorer_get_stats(rung_scorer_stats *out, const rung_scorer *s) {
    *out = s->stats;
    if (s->ensemble) ensemble_stats(out, s->ensemble);
}

/* Live traces ---------------------------------------------------------------------------------- */

static rung_status no_such(int64_t live, rung_error *err) {
    return rung_fail(err, RUNG_E_MISUSE, "no live trace %lld", (long long)live);
}

static live_trace *at(const rung_scorer *s, int64_t live) {
    bool ok = live >= 0 && live < s->n_live && s->live[live].used;
    return ok ? &s->live[live] : NULL;
}

static rung_status new_live(int64_t *live, rung_scorer *s, rung_error *err) {
    int64_t i = 0;
    while (i < s->n_live && s->live[i].used) i++;
    if (i == s->cap_live) {
        int64_t want = s->cap_live * 2 + 16;
        live_trace *grown = rung_realloc(s->live, (size_t)want * sizeof *grown);
        if (!grown)
            return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld traces", (long long)want);
        s->live = grown;
        s->cap_live = want;
    }
    if (i == s->n_live) s->n_live++;
    s->live[i] = (live_trace){.used = true};
    *live = i;
    return RUNG_OK;
}

/* Room for the scores of every step. */
static rung_status room(live_trace *t, rung_error *err) {
    if (t->l.n_at <= t->cap) return RUNG_OK;
    int32_t want = t->l.n_at * 2 + 8;
    double *score = rung_realloc(t->score, (size_t)want * sizeof *score);
    if (score) t->score = score;
    double *ratio = rung_realloc(t->ratio, (size_t)want * sizeof *ratio);
    if (ratio) t->ratio = ratio;
    if (!score || !ratio) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d scores", want);
    t->cap = want;
    return RUNG_OK;
}

void rung_scorer_drop(rung_scorer *s, int64_t live) {
    if (s->ensemble) {
        ensemble_drop(s->ensemble, live);
        return;
    }
    live_trace *t = at(s, live);
    if (t) live_clear(t);
}

rung_status rung_scorer_begin(int64_t *live, rung_scorer *s, const char *question,
                              rung_error *err) {
    if (s->ensemble) return ensemble_begin(live, s->ensemble, question, err);
    int64_t i = 0;
    RUNG_TRY(new_live(&i, s, err));
    rung_status st = reward_layout_begin(&s->live[i].l, &s->plan, question, err);
    if (st == RUNG_OK)
        *live = i;
    else
        live_clear(&s->live[i]);
    return st;
}

rung_status reward_scorer_add(int64_t *live, rung_scorer *s, reward_layout *take, int32_t first,
                              rung_error *err) {
    int64_t i = 0;
    RUNG_TRY(new_live(&i, s, err));
    live_trace *t = &s->live[i];
    t->l = *take;
    rung_status st = room(t, err);
    if (st != RUNG_OK) {
        t->l = (reward_layout){0};
        live_clear(t);
        return st;
    }
    bool sums = s->r->format.score == REWARD_READOUT_LOG_RATIO && !s->r->format.single;
    for (int32_t k = 0; k < first; k++) t->score[k] = t->ratio[k] = (double)NAN;
    t->n_done = sums ? 0 : first;
    *take = (reward_layout){0};
    *live = i;
    return RUNG_OK;
}

rung_status rung_scorer_fork(int64_t *live, rung_scorer *s, int64_t from, rung_error *err) {
    if (s->ensemble) return ensemble_fork(live, s->ensemble, from, err);
    int64_t i = 0;
    if (!at(s, from)) return no_such(from, err);
    RUNG_TRY(new_live(&i, s, err));
    const live_trace *f = at(s, from); /* the table may have moved */
    live_trace *t = &s->live[i];
    t->n_done = f->n_done;
    rung_status st = reward_layout_copy(&t->l, &f->l, err);
    if (st == RUNG_OK) st = room(t, err);
    if (st != RUNG_OK) {
        live_clear(t);
        return st;
    }
    if (t->n_done) {
        memcpy(t->score, f->score, (size_t)t->n_done * sizeof *t->score);
        memcpy(t->ratio, f->ratio, (size_t)t->n_done * sizeof *t->ratio);
    }
    *live = i;
    return RUNG_OK;
}

rung_status rung_scorer_step(rung_scorer *s, int64_t live, const char *text, size_t n,
                             const int32_t *tok, int32_t n_tok, rung_error *err) {
    if (s->ensemble) return ensemble_step(s->ensemble, live, text, n, tok, n_tok, err);
    live_trace *t = at(s, live);
    if (!t) return no_such(live, err);
    return reward_layout_step(&t->l, &s->plan, text, n, tok, n_tok, err);
}

rung_status rung_scorer_get(const double **score, int32_t *n, const rung_scorer *s, int64_t live,
                            rung_error *err) {
    if (s->ensemble) return ensemble_get(score, n, s->ensemble, live, err);
    const live_trace *t = at(s, live);
    *score = NULL;
    *n = 0;
    if (!t) return no_such(live, err);
    *score = t->score;
    *n = t->n_done;
    return t->too_long ? rung_fail(err, RUNG_E_LIMIT, "%s", t->why) : RUNG_OK;
}

int32_t rung_scorer_tokens(const rung_scorer *s, int64_t live) {
    const live_trace *t = at(s, live);
    return t ? t->l.n_tok : 0;
}

/* Order and twins ------------------------------------------------------------------------------ */

static int32_t shared(const reward_layout *a, const reward_layout *b) {
    int32_t n = a->n_tok < b->n_tok ? a->n_tok : b->n_tok, i = 0;
    while (i < n && a->tok[i] == b->tok[i]) i++;
    return i;
}

static int by_tokens(const void *x, const void *y, void *ud) {
    const rung_scorer *s = ud;
    int64_t i = *(const int64_t *)x, j = *(const int64_t *)y;
    const reward_layout *a = &s->live[i].l, *b = &s->live[j].l;
    int32_t n = shared(a, b);
    if (n < a->n_tok && n < b->n_tok) return a->tok[n] < b->tok[n] ? -1 : 1;
    if (a->n_tok != b->n_tok) return a->n_tok < b->n_tok ? -1 : 1;
    return i < j ? -1 : i > j;
}

/* Steps of t that f has with the same tokens, read at the same place: scored once. */
static void find_twin(live_trace *t, const live_trace *f, int64_t number) {
    int32_t n = shared(&f->l, &t->l), k = t->n_done;
    for (; k < t->n_target && k < f->n_target; k++) {
        bool known = k >= f->n_done || !isnan(f->score[k]);
        if (!known || f->l.end[k] > n || f->l.at[k] != t->l.at[k] || f->l.end[k] != t->l.end[k] ||
            f->l.begin[k] != t->l.begin[k])
            break;
        if (f->l.n_tail == 0 && f->l.at[k] >= n) break; /* the tag, too */
    }
    t->twin = number;
    t->n_twin = k;
}

static rung_status put_in_order(rung_scorer *s, rung_error *err) {
    rung_free(s->order);
    s->n_order = 0;
    s->order = rung_alloc(((size_t)s->n_live + 1) * sizeof *s->order);
    if (!s->order) return rung_fail(err, RUNG_E_NOMEM, "no memory to order the traces");
    for (int64_t i = 0; i < s->n_live; i++) {
        live_trace *t = &s->live[i];
        if (!t->used || t->too_long || t->n_done == t->l.n_at) continue;
        RUNG_TRY(room(t, err));
        t->n_target = t->l.n_at;
        t->n_left = 0;
        t->n_twin = t->n_done;
        s->order[s->n_order++] = i;
    }
    qsort_r(s->order, (size_t)s->n_order, sizeof *s->order, by_tokens, s);
    for (int64_t i = 1; i < s->n_order; i++)
        find_twin(&s->live[s->order[i]], &s->live[s->order[i - 1]], s->order[i - 1]);
    return RUNG_OK;
}

/* Queueing ------------------------------------------------------------------------------------- */

static rung_status queue_one(rung_scorer *s, int64_t live, rung_eval *v, int32_t first, int32_t n,
                             bool reference, rung_error *err) {
    if (s->n_jobs == s->cap_jobs)
        return rung_fail(err, RUNG_E_MISUSE, "more evaluations than were counted");
    rung_engine *e = reference ? s->r->reference_engine : s->r->engine;
    read_job *j = &s->job[s->n_jobs];
    *j = (read_job){live, first, n, v->logprobs ? v->n_tok - 1 : v->n_tok, reference};
    v->ud = j;
    rung_error local = RUNG_ERROR_INIT;
    rung_status st = rung_engine_eval(e, v, &local);
    live_trace *t = &s->live[live];
    if (st == RUNG_E_LIMIT) { /* this trace, not the others */
        t->too_long = true;
        t->n_target = reference || s->r->format.layout != REWARD_LAYOUT_ASK ? t->n_done : first;
        snprintf(t->why, sizeof t->why, "step %d: %.120s", first, local.what);
        return RUNG_OK;
    }
    if (st != RUNG_OK) {
        if (err) *err = local;
        return st;
    }
    s->n_jobs++;
    s->n_queued[reference]++;
    t->n_left++;
    s->stats.n_reads++;
    return RUNG_OK;
}

/* One pass reads all of [first, n_target). */
static rung_status queue_pass(rung_scorer *s, int64_t live, int32_t first, rung_error *err) {
    const live_trace *t = &s->live[live];
    const reward_layout *l = &t->l;
    bool hidden = s->r->format.score == REWARD_READOUT_HEAD;
    int32_t n = t->n_target - first;
    rung_eval v = {.tok = l->tok,
                   .n_tok = l->at[t->n_target - 1] + 1, /* nothing after it is needed */
                   .at = l->at + first,
                   .n_at = n,
                   .hidden = hidden,
                   .logits = !hidden};
    return queue_one(s, live, &v, first, n, false, err);
}

/* Steps from `first` on whose reference the store knows are counted now; the rest is read. */
static rung_status known_steps(int32_t *from, rung_scorer *s, const live_trace *t, int32_t first,
                               rung_error *err) {
    *from = first;
    for (int32_t k = first; s->cache && k < t->n_target; k++) {
        double value;
        bool found;
        RUNG_TRY(reward_refcache_get(&value, &found, s->cache, &t->l, k, err));
        if (!found) break;
        t->ratio[k] -= value;
        *from = k + 1;
    }
    return RUNG_OK;
}

static rung_status queue_ratio(rung_scorer *s, int64_t live, int32_t first, rung_error *err) {
    const live_trace *t = &s->live[live];
    int32_t n = t->n_target - first;
    for (int32_t k = first; k < t->n_target; k++) t->ratio[k] = 0.0;
    for (int who = 0; who < 2 && !t->too_long; who++) {
        int32_t from = first;
        if (who == 1) RUNG_TRY(known_steps(&from, s, t, first, err));
        if (from == t->n_target) break;
        rung_eval v = {.tok = t->l.tok,
                       .n_tok = t->l.end[t->n_target - 1],
                       .logprobs = true,
                       .from = t->l.begin[from] - 1};
        if (v.from < 0) v.from = 0;
        RUNG_TRY(queue_one(s, live, &v, from, first + n - from, who == 1, err));
    }
    return RUNG_OK;
}

/* A branch per step: what is read so far, and the question. */
static rung_status queue_questions(rung_scorer *s, int64_t live, int32_t first, rung_error *err) {
    const reward_layout *l = &s->live[live].l;
    bool hidden = s->r->format.score == REWARD_READOUT_HEAD;
    for (int32_t k = first; k < s->live[live].n_target; k++) {
        int32_t n_before = l->end[k], from = k ? l->tail_end[k - 1] : 0,
                n_ask = l->tail_end[k] - from, n = n_before + n_ask;
        if (n > s->cap_branch) {
            int32_t *grown = rung_realloc(s->branch, (size_t)n * 2 * sizeof *grown);
            if (!grown) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d tokens", n);
            s->branch = grown;
            s->cap_branch = n * 2;
        }
        memcpy(s->branch, l->tok, (size_t)n_before * sizeof *s->branch);
        memcpy(s->branch + n_before, l->tail + from, (size_t)n_ask * sizeof *s->branch);
        rung_eval v = {.tok = s->branch,
                       .n_tok = n,
                       .at = &l->at[k],
                       .n_at = 1,
                       .hidden = hidden,
                       .logits = !hidden};
        RUNG_TRY(queue_one(s, live, &v, k, 1, false, err));
    }
    return RUNG_OK;
}

static rung_status queue_all(rung_scorer *s, rung_error *err) {
    const reward_format *f = &s->r->format;
    int64_t n = 0;
    for (int64_t i = 0; i < s->n_order; i++) {
        const live_trace *t = &s->live[s->order[i]];
        n += f->layout == REWARD_LAYOUT_ASK ? t->n_target - t->n_done : 2;
    }
    rung_free(s->job);
    s->job = rung_alloc(((size_t)n + 1) * sizeof *s->job);
    if (!s->job) return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld jobs", (long long)n);
    s->cap_jobs = n;
    s->n_jobs = s->n_queued[0] = s->n_queued[1] = 0;
    for (int64_t i = 0; i < s->n_order; i++) {
        int64_t live = s->order[i];
        int32_t first = s->live[live].n_twin;
        if (first == s->live[live].n_target) continue;
        if (f->score == REWARD_READOUT_LOG_RATIO)
            RUNG_TRY(queue_ratio(s, live, first, err));
        else if (f->layout == REWARD_LAYOUT_ASK)
            RUNG_TRY(queue_questions(s, live, first, err));
        else
            RUNG_TRY(queue_pass(s, live, first, err));
    }
    return RUNG_OK;
}

/* Reading -------------------------------------------------------------------------------------- */

/* log of the summed probability of some tokens, up to the common normaliser */
static double log_mass(const float *logit, const int32_t *tok, int32_t n) {
    double most = (double)-INFINITY, sum = 0.0;
    for (int32_t i = 0; i < n; i++) most = fmax(most, (double)logit[tok[i]]);
    for (int32_t i = 0; i < n; i++) sum += exp((double)logit[tok[i]] - most);
    return most + log(sum);
}

static double sigmoid(double x) {
    return 1.0 / (1.0 + exp(-x));
}

static rung_status value_of(double *out, const rung_scorer *s, const float *hidden,
                            const float *logits, rung_error *err) {
    const rung_reward *r = s->r;
    const reward_format *f = &r->format;
    if (f->score == REWARD_READOUT_TOKENS) { /* P(+) / (P(+) + P(-)) */
        *out = sigmoid(log_mass(logits, s->plan.positive, f->positive.n) -
                       log_mass(logits, s->plan.negative, f->negative.n));
        return RUNG_OK;
    }
    if (!r->head) return reward_classifier_score(out, &r->classifier, hidden, f->class_number, err);
    *out = rung_head_score(r->head, hidden);
    return RUNG_OK;
}

static rung_status check_finite(double v, int32_t step, rung_error *err) {
    if (isfinite(v)) return RUNG_OK;
    rung_fail(err, RUNG_E_MODEL, "the score of step %d is not finite", step);
    if (err) err->step = step;
    return RUNG_E_MODEL;
}

/* Step scores of a log-ratio (rewards.md 1): q^t is the sum up to the step, r^t = q^t - q^(t-1). */
static rung_status finish_ratio(const rung_scorer *s, live_trace *t, int32_t first, int32_t end,
                                rung_error *err) {
    const reward_format *f = &s->r->format;
    double sum = 0.0;
    for (int32_t k = 0; k < first && !f->single; k++) sum += t->ratio[k];
    for (int32_t k = first; k < end; k++) {
        sum = f->single ? t->ratio[k] : sum + t->ratio[k];
        t->score[k] = f->plain ? f->beta * sum : sigmoid(f->beta * sum);
        t->score[k] = rung_reward_calibrated(s->r, t->score[k], k);
        RUNG_TRY(check_finite(t->score[k], k, err));
    }
    return RUNG_OK;
}

static rung_status tell(rung_scorer *s, int64_t live, rung_error *err) {
    return s->cb.done ? s->cb.done(s->cb.ud, live, err) : RUNG_OK;
}

/* All evaluations of a trace without a twin are in. */
static rung_status all_read(rung_scorer *s, int64_t live, rung_error *err) {
    live_trace *t = &s->live[live];
    if (t->n_twin > t->n_done) return RUNG_OK; /* its turn comes when all are read */
    if (s->r->format.score == REWARD_READOUT_LOG_RATIO)
        RUNG_TRY(finish_ratio(s, t, t->n_done, t->n_target, err));
    s->stats.n_steps += t->n_target - t->n_done;
    t->n_done = t->n_target;
    return tell(s, live, err);
}

static rung_status on_eval(void *ud, const rung_eval_out *o, rung_error *err) {
    rung_scorer *s = ud;
    const read_job *j = o->ud;
    live_trace *t = &s->live[j->live];
    rung_model_info info;
    s->stats.n_tok += o->n_new;
    s->stats.n_tok_cached += j->n_tok - o->n_new;
    if (t->n_target <= j->first) return RUNG_OK; /* its other model refused it */
    if (s->r->format.score == REWARD_READOUT_LOG_RATIO) {
        if (!o->logprob) return rung_fail(err, RUNG_E_MODEL, "the engine gave no logprobs");
        for (int32_t k = j->first; k < j->first + j->n; k++) {
            double sum = 0.0;
            for (int32_t p = t->l.begin[k]; p < t->l.end[k]; p++) sum += (double)o->logprob[p];
            t->ratio[k] += j->reference ? -sum : sum;
            if (j->reference && s->cache)
                RUNG_TRY(reward_refcache_put(s->cache, &t->l, k, sum, err));
        }
    } else {
        bool hidden = s->r->format.score == REWARD_READOUT_HEAD;
        rung_model_get_info(&info, rung_engine_model(s->r->engine));
        if (o->n_at != j->n || !(hidden ? o->hidden : o->logits))
            return rung_fail(err, RUNG_E_MODEL, "the engine gave %d read-outs for %d steps",
                             o->n_at, j->n);
        for (int32_t k = 0; k < j->n; k++) {
            double *v = &t->score[j->first + k];
            RUNG_TRY(value_of(v, s, hidden ? o->hidden + (size_t)k * (size_t)info.n_embd : NULL,
                              hidden ? NULL : o->logits + (size_t)k * (size_t)info.n_vocab, err));
            RUNG_TRY(check_finite(*v, j->first + k, err));
            *v = rung_reward_calibrated(s->r, *v, j->first + k);
        }
    }
    return --t->n_left == 0 ? all_read(s, j->live, err) : RUNG_OK;
}

/* Traces whose first steps were another's, in the order in which that other is known. */
static rung_status copy_twins(rung_scorer *s, rung_error *err) {
    for (int64_t i = 0; i < s->n_order; i++) {
        int64_t live = s->order[i];
        live_trace *t = &s->live[live];
        if (t->n_done == t->n_target || t->n_left) continue;
        const live_trace *f = &s->live[t->twin];
        int32_t n = t->n_twin < f->n_done ? t->n_twin : f->n_done;
        for (int32_t k = t->n_done; k < n; k++) {
            t->score[k] = f->score[k];
            t->ratio[k] = f->ratio[k];
        }
        if (n < t->n_twin) t->n_target = n; /* it was too long for the context */
        if (s->r->format.score == REWARD_READOUT_LOG_RATIO)
            RUNG_TRY(finish_ratio(s, t, n, t->n_target, err));
        s->stats.n_steps += t->n_target - n;
        t->n_twin = t->n_done = t->n_target;
        RUNG_TRY(tell(s, live, err));
    }
    return RUNG_OK;
}

static rung_status run_engines(rung_scorer *s, rung_error *err) {
    rung_engine_cb cb = {.on_eval = on_eval, .ud = s};
    rung_engine *e[2] = {s->r->engine, s->r->reference_engine};
    for (int who = 0; who < 2; who++)
        if (s->n_queued[who]) RUNG_TRY(rung_engine_run(e[who], &cb, err));
    if (s->cache) RUNG_TRY(reward_refcache_flush(s->cache, err));
    return copy_twins(s, err);
}

rung_status reward_scorer_run(rung_scorer *s, const reward_scorer_cb *cb, rung_error *err) {
    double t0 = rung_now();
    s->cb = cb ? *cb : (reward_scorer_cb){0};
    rung_status st = put_in_order(s, err);
    if (st == RUNG_OK) st = queue_all(s, err);
    if (st == RUNG_OK) st = run_engines(s, err);
    if (st != RUNG_OK) { /* forget what is queued, keep what is known */
        rung_engine_clear(s->r->engine);
        if (s->r->reference_engine) rung_engine_clear(s->r->reference_engine);
    }
    s->stats.wall_s += rung_now() - t0;
    return st;
}

rung_status rung_scorer_run(rung_scorer *s, rung_error *err) {
    if (s->ensemble) return ensemble_run(s->ensemble, err);
    return reward_scorer_run(s, NULL, err);
}
