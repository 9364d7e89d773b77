/* Live traces of an ensemble: one in each member's scorer. */
#include "reward/reward_ensemble.h"

#include <math.h>
#include <string.h>

typedef struct ensemble_live {
    bool used;
    int64_t at[RUNG_ENSEMBLE_MAX]; /* its number in each member's scorer */
    double *score;                 /* [cap] combined, as get last found them */
    int32_t cap, n;
} ensemble_live;

struct ensemble_scorer {
    rung_reward *r;
    rung_scorer *member[RUNG_ENSEMBLE_MAX];
    int32_t n;
    ensemble_live *live;
    int64_t n_live, cap_live;
    double wall_s;
    int64_t n_steps;
};

rung_status ensemble_open(ensemble_scorer **out, rung_reward *r, rung_error *err) {
    ensemble_scorer *s = rung_calloc(1, sizeof *s);
    *out = NULL;
    if (!s) return rung_fail(err, RUNG_E_NOMEM, "no memory for a scorer");
    s->r = r;
    rung_status st = RUNG_OK;
    for (; s->n < r->n_members && st == RUNG_OK; s->n++)
        st = rung_scorer_open(&s->member[s->n], r->member[s->n], err);
    if (st == RUNG_OK)
        *out = s;
    else
        ensemble_close(s);
    return st;
}

void ensemble_close(ensemble_scorer *s) {
    if (!s) return;
    for (int32_t i = 0; i < s->n; i++) rung_scorer_close(s->member[i]);
    for (int64_t i = 0; i < s->n_live; i++) rung_free(s->live[i].score);
    rung_free(s->live);
    rung_free(s);
}

rung_status ensemble_cache(ensemble_scorer *s, rung_store *store, rung_error *err) {
    for (int32_t i = 0; i < s->n; i++) RUNG_TRY(rung_scorer_cache(s->member[i], store, err));
    return RUNG_OK;
}

static ensemble_live *at(const ensemble_scorer *s, int64_t live) {
    bool ok = live >= 0 && live < s->n_live && s->live[live].used;
    return ok ? &s->live[live] : NULL;
}

static rung_status no_such(int64_t live, rung_error *err) {
    return rung_fail(err, RUNG_E_MISUSE, "no live trace %lld", (long long)live);
}

static rung_status new_live(int64_t *live, ensemble_scorer *s, rung_error *err) {
    int64_t i = 0;
    while (i < s->n_live && s->live[i].used) i++;
    if (i == s->cap_live) {
        int64_t want = s->cap_live * 2 + 16;
        ensemble_live *grown = rung_realloc(s->live, (size_t)want * sizeof *grown);
        if (!grown)
            return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld traces", (long long)want);
        s->live = grown;
        s->cap_live = want;
    }
    if (i == s->n_live) s->n_live++;
    s->live[i] = (ensemble_live){.used = true};
    *live = i;
    return RUNG_OK;
}

/* The first n members' live traces. */
static void drop_first(ensemble_scorer *s, const int64_t *number, int32_t n) {
    for (int32_t i = 0; i < n; i++) rung_scorer_drop(s->member[i], number[i]);
}

rung_status ensemble_begin(int64_t *live, ensemble_scorer *s, const char *question,
                           rung_error *err) {
    int64_t number[RUNG_ENSEMBLE_MAX], i = 0;
    int32_t n = 0;
    rung_status st = RUNG_OK;
    for (; n < s->n && st == RUNG_OK; n += st == RUNG_OK)
        st = rung_scorer_begin(&number[n], s->member[n], question, err);
    if (st == RUNG_OK) st = new_live(&i, s, err);
    if (st != RUNG_OK) {
        drop_first(s, number, n);
        return st;
    }
    memcpy(s->live[i].at, number, (size_t)s->n * sizeof *number);
    *live = i;
    return RUNG_OK;
}

static rung_status fork_all(int64_t *number, ensemble_scorer *s, int64_t from, rung_error *err) {
    const ensemble_live *t = at(s, from);
    if (!t) return no_such(from, err);
    for (int32_t n = 0; n < s->n; n++) {
        rung_status st = rung_scorer_fork(&number[n], s->member[n], t->at[n], err);
        if (st == RUNG_OK) continue;
        drop_first(s, number, n);
        return st;
    }
    return RUNG_OK;
}

/* Combined scores of the steps that every member has scored. */
static rung_status combine(ensemble_scorer *s, ensemble_live *t, rung_error *err) {
    const double *score[RUNG_ENSEMBLE_MAX];
    int32_t n = INT32_MAX;
    for (int32_t i = 0; i < s->n; i++) {
        int32_t n_own;
        (void)rung_scorer_get(&score[i], &n_own, s->member[i], t->at[i], NULL); /* get tells */
        if (n_own < n) n = n_own;
    }
    if (n > t->cap) {
        double *grown = rung_realloc(t->score, (size_t)n * sizeof *grown);
        if (!grown) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d scores", n);
        t->score = grown;
        t->cap = n;
    }
    if (n > t->n) s->n_steps += n - t->n;
    for (int32_t k = 0; k < n; k++) {
        double each[RUNG_ENSEMBLE_MAX];
        for (int32_t i = 0; i < s->n; i++) each[i] = score[i][k];
        t->score[k] = reward_ensemble_score(s->r, each, k);
    }
    t->n = n;
    return RUNG_OK;
}

rung_status ensemble_fork(int64_t *live, ensemble_scorer *s, int64_t from, rung_error *err) {
    int64_t number[RUNG_ENSEMBLE_MAX], i = 0;
    RUNG_TRY(fork_all(number, s, from, err));
    rung_status st = new_live(&i, s, err);
    if (st != RUNG_OK) {
        drop_first(s, number, s->n);
        return st;
    }
    ensemble_live *t = &s->live[i];
    memcpy(t->at, number, (size_t)s->n * sizeof *number);
    t->n = at(s, from)->n; /* what is scored of it is no new step */
    *live = i;
    return combine(s, t, err);
}

/* On copies, which take the place of the traces when every member has taken the step: a member that
 * refuses leaves all as they were. The policy's tokens are those of members on its states. */
rung_status ensemble_step(ensemble_scorer *s, int64_t live, const char *text, size_t n,
                          const int32_t *tok, int32_t n_tok, rung_error *err) {
    int64_t number[RUNG_ENSEMBLE_MAX];
    RUNG_TRY(fork_all(number, s, live, err));
    ensemble_live *t = at(s, live);
    rung_status st = RUNG_OK;
    for (int32_t i = 0; i < s->n && st == RUNG_OK; i++) {
        bool own = s->r->member[i]->owns_engine;
        st = rung_scorer_step(s->member[i], number[i], text, n, own ? NULL : tok, own ? 0 : n_tok,
                              err);
    }
    drop_first(s, st == RUNG_OK ? t->at : number, s->n);
    if (st == RUNG_OK) memcpy(t->at, number, (size_t)s->n * sizeof *number);
    return st;
}

rung_status ensemble_run(ensemble_scorer *s, rung_error *err) {
    double t0 = rung_now();
    rung_status st = RUNG_OK;
    for (int32_t i = 0; i < s->n && st == RUNG_OK; i++) st = rung_scorer_run(s->member[i], err);
    for (int64_t i = 0; i < s->n_live && st == RUNG_OK; i++)
        if (s->live[i].used) st = combine(s, &s->live[i], err);
    s->wall_s += rung_now() - t0;
    return st;
}

rung_status ensemble_get(const double **score, int32_t *n, const ensemble_scorer *s, int64_t live,
                         rung_error *err) {
    const ensemble_live *t = at(s, live);
    *score = NULL;
    *n = 0;
    if (!t) return no_such(live, err);
    *score = t->score;
    *n = t->n;
    for (int32_t i = 0; i < s->n; i++) {
        const double *each;
        int32_t n_each;
        RUNG_TRY(rung_scorer_get(&each, &n_each, s->member[i], t->at[i], err));
    }
    return RUNG_OK;
}

void ensemble_drop(ensemble_scorer *s, int64_t live) {
    ensemble_live *t = at(s, live);
    if (!t) return;
    drop_first(s, t->at, s->n);
    rung_free(t->score);
    *t = (ensemble_live){0};
}

void ensemble_stats(rung_scorer_stats *out, const ensemble_scorer *s) {
    *out = (rung_scorer_stats){.n_steps = s->n_steps, .wall_s = s->wall_s};
    for (int32_t i = 0; i < s->n; i++) {
        rung_scorer_stats one;
        rung_scorer_get_stats(&one, s->member[i]);
        out->n_tok += one.n_tok;
        out->n_tok_cached += one.n_tok_cached;
        out->n_reads += one.n_reads;
    }
}
