/* Filters that choose among traces and steps: balance, last-step balance, duplicates, contamination
 * by a test set, the split by problem. Draws are addressed by trace and step. */
#include "base/keymap.h"
#include "label/curate/curate.h"
#include "trace/flow.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct drawn { /* a trace (step -1) or a step of one */
    double u;
    int64_t trace;
    int32_t step;
    int32_t group, side;
} drawn;

static int by_draw(const void *a, const void *b) {
    const drawn *x = a, *y = b;
    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    if (x->side != y->side) return x->side < y->side ? -1 : 1;
    if (x->u != y->u) return x->u < y->u ? -1 : 1;
    if (x->trace != y->trace) return x->trace < y->trace ? -1 : 1;
    return x->step < y->step ? -1 : x->step > y->step;
}

static rung_status room(drawn **list, const cur_set *set, rung_error *err) {
    size_t n = (size_t)(set->n > set->n_step ? set->n : set->n_step) + 1;
    *list = rung_alloc(n * sizeof **list);
    return *list ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "no memory to draw from labels");
}

/* In each group as many of side 0 as of side 1: those with the smallest draws stay. */
static void even_out(cur_set *set, drawn *list, int64_t n, rung_curate_count *z, const char *why) {
    qsort(list, (size_t)n, sizeof *list, by_draw);
    for (int64_t i = 0, end; i < n; i = end) {
        int64_t mid = i;
        while (mid < n && list[mid].group == list[i].group && list[mid].side == 0) mid++;
        for (end = mid; end < n && list[end].group == list[i].group;) end++;
        int64_t a = mid - i, b = end - mid, most = a < b ? a : b;
        for (int64_t k = i; k < end; k++) {
            int64_t at = k < mid ? k - i : k - mid;
            cur_trace *t = &set->trace[list[k].trace];
            if (at < most) continue;
            if (list[k].step < 0) {
                cur_drop(t, z, why);
            } else {
                set->step[t->first + list[k].step].hard = -1;
                set->step[t->first + list[k].step].soft = (double)NAN;
                cur_because(z, why, 1);
            }
        }
    }
}

static rung_status balance_traces(cur_set *set, rung_curate_count *z, rung_error *err) {
    drawn *list;
    int64_t n = 0;
    RUNG_TRY(room(&list, set, err));
    for (int64_t i = 0; i < set->n; i++) {
        cur_trace *t = &set->trace[i];
        if (t->dropped) continue;
        int32_t e = cur_first_zero(set, t);
        if (e == RUNG_FIRST_ERROR_UNKNOWN) {
            cur_drop(t, z, "not labelled");
            continue;
        }
        list[n++] = (drawn){cur_draw(set, t, -1), i, -1, 0, e >= 0};
    }
    even_out(set, list, n, z, "too many of its kind");
    rung_free(list);
    return RUNG_OK;
}

static rung_status balance_steps(cur_set *set, rung_curate_count *z, bool by_length,
                                 rung_error *err) {
    drawn *list;
    int64_t n = 0;
    RUNG_TRY(room(&list, set, err));
    for (int64_t i = 0; i < set->n; i++) {
        const cur_trace *t = &set->trace[i];
        for (int32_t k = 0; !t->dropped && k < t->n_steps; k++) {
            int8_t hard = set->step[t->first + k].hard;
            if (hard >= 0) list[n++] = (drawn){cur_draw(set, t, k), i, k, by_length ? k : 0, hard};
        }
    }
    even_out(set, list, n, z, "labels too many of their class");
    rung_free(list);
    return RUNG_OK;
}

rung_status cur_balance(cur_set *set, rung_curate_count *z, rung_error *err) {
    const char *by = set->o->by ? set->o->by : "traces";
    if (strcmp(by, "traces") == 0) return balance_traces(set, z, err);
    if (strcmp(by, "classes") == 0) return balance_steps(set, z, false, err);
    if (strcmp(by, "length") == 0) return balance_steps(set, z, true, err);
    return rung_fail(err, RUNG_E_INVAL, "balance by \"%s\": traces, classes or length", by);
}

/* FoVer: every prefix is an example whose last step is the target; right and wrong targets 50/50,
 * the final-answer step apart from the others. */
rung_status cur_last_step(cur_set *set, rung_curate_count *z, rung_error *err) {
    drawn *list;
    int64_t n = 0;
    RUNG_TRY(room(&list, set, err));
    for (int64_t i = 0; i < set->n; i++) {
        const cur_trace *t = &set->trace[i];
        for (int32_t k = 0; !t->dropped && k < t->n_steps; k++) {
            int8_t hard = set->step[t->first + k].hard;
            if (hard >= 0)
                list[n++] = (drawn){cur_draw(set, t, k), i, k, k + 1 == t->n_whole, hard};
        }
    }
    even_out(set, list, n, z, "targets too many of their class");
    rung_free(list);
    return RUNG_OK;
}

rung_status cur_sample(cur_set *set, rung_curate_count *z, rung_error *err) {
    drawn *list;
    int64_t n = 0;
    if (set->o->keep < 1) return rung_fail(err, RUNG_E_INVAL, "sample: how many traces to keep?");
    RUNG_TRY(room(&list, set, err));
    for (int64_t i = 0; i < set->n; i++)
        if (!set->trace[i].dropped)
            list[n++] = (drawn){cur_draw(set, &set->trace[i], -1), i, -1, 0, 0};
    qsort(list, (size_t)n, sizeof *list, by_draw);
    for (int64_t i = set->o->keep; i < n; i++) cur_drop(&set->trace[list[i].trace], z, "not drawn");
    rung_free(list);
    return RUNG_OK;
}

/* ---- duplicates */

static rung_status see(bool *is_new, keymap *seen, uint64_t key, rung_error *err) {
    int64_t *value = keymap_at(seen, key);
    if (!value) return rung_fail(err, RUNG_E_NOMEM, "no memory for hashes");
    *is_new = !*value;
    *value = 1;
    return RUNG_OK;
}

rung_status cur_dedupe(cur_set *set, rung_curate_count *z, rung_error *err) {
    keymap s = {0};
    rung_status st = RUNG_OK;
    for (int64_t i = 0; i < set->n && st == RUNG_OK; i++) {
        cur_trace *t = &set->trace[i];
        bool is_new = true;
        if (t->dropped) continue;
        st = see(&is_new, &s, t->text, err);
        if (st == RUNG_OK && !is_new) cur_drop(t, z, "the same text for the same problem");
    }
    keymap_clear(&s);
    return st;
}

/* ---- contamination: questions of a test set, whole or by n-grams of words */

typedef struct words {
    uint64_t *hash;
    int32_t n, cap;
} words;

/* Words in lower case, punctuation apart. */
static rung_status words_of(words *w, const char *text, rung_error *err) {
    w->n = 0;
    for (const char *p = text; *p;) {
        char word[64];
        size_t n = 0;
        while (*p && !isalnum((unsigned char)*p) && !((unsigned char)*p & 0x80)) p++;
        for (; *p && (isalnum((unsigned char)*p) || ((unsigned char)*p & 0x80)); p++)
            if (n < sizeof word) word[n++] = (char)tolower((unsigned char)*p);
        if (n == 0) break;
        if (w->n == w->cap) {
            int32_t cap = w->cap ? w->cap * 2 : 256;
            uint64_t *grown = rung_realloc(w->hash, (size_t)cap * sizeof *grown);
            if (!grown) return rung_fail(err, RUNG_E_NOMEM, "no memory for words");
            w->hash = grown;
            w->cap = cap;
        }
        w->hash[w->n++] = rung_hash64(word, n, 0);
    }
    return RUNG_OK;
}

typedef struct bench_grams {
    keymap whole, gram;
    words w;
    int32_t n;
} bench_grams;

static uint64_t gram(const bench_grams *b, int32_t from, int32_t n) {
    return rung_hash64(b->w.hash + from, (size_t)n * sizeof *b->w.hash, (uint64_t)n);
}

static rung_status read_bench(bench_grams *b, const cur_set *set, rung_error *err) {
    rung_iter *it;
    const rung_problem *p;
    rung_status st;
    rung_filter f = {.set = set->o->bench, .split = set->o->bench_split};
    int64_t n = 0;
    bool any;
    RUNG_TRY(rung_problem_iter(&it, set->store, &f, err));
    while ((st = rung_problem_next(&p, it, err)) == RUNG_OK) {
        n++;
        if ((st = words_of(&b->w, p->question, err)) != RUNG_OK) break;
        st = see(&any, &b->whole, gram(b, 0, b->w.n), err);
        for (int32_t k = 0; k + b->n <= b->w.n && st == RUNG_OK; k++)
            st = see(&any, &b->gram, gram(b, k, b->n), err);
        if (st != RUNG_OK) break;
    }
    rung_iter_free(it);
    if (st == RUNG_DONE && n == 0)
        return rung_fail(err, RUNG_E_NOT_FOUND, "decontaminate: no problems in set \"%s\"",
                         set->o->bench);
    return st == RUNG_DONE ? RUNG_OK : st;
}

static const char *found_in(const bench_grams *b) {
    if (keymap_get(&b->whole, gram(b, 0, b->w.n))) return "the question is in the test set";
    for (int32_t k = 0; k + b->n <= b->w.n; k++)
        if (keymap_get(&b->gram, gram(b, k, b->n)))
            return "shares words in a row with the test set";
    return NULL;
}

rung_status cur_decontaminate(cur_set *set, rung_curate_count *z, rung_error *err) {
    if (!set->o->bench || !set->o->bench[0])
        return rung_fail(err, RUNG_E_INVAL, "decontaminate: against which set? --bench-set");
    bench_grams b = {.n = set->o->ngram > 0 ? set->o->ngram : 13};
    rung_arena *a = rung_arena_new(0);
    rung_status st = a ? read_bench(&b, set, err) : rung_fail(err, RUNG_E_NOMEM, "out of memory");
    const char *why = NULL;
    int64_t last = 0;
    for (int64_t i = 0; i < set->n && st == RUNG_OK; i++) {
        cur_trace *t = &set->trace[i];
        if (t->problem != last) {
            rung_problem p;
            rung_arena_reset(a);
            st = rung_problem_get(set->store, &p, a, t->problem, err);
            if (st == RUNG_OK) st = words_of(&b.w, p.question, err);
            why = st == RUNG_OK ? found_in(&b) : NULL;
            last = t->problem;
        }
        if (why && !t->dropped) cur_drop(t, z, why);
    }
    rung_arena_free(a);
    keymap_clear(&b.whole);
    keymap_clear(&b.gram);
    rung_free(b.w.hash);
    return st;
}

/* By problem: no problem has traces on both sides. The draw is addressed by the problem, as in the
 * trainer's own split. */
rung_status cur_split(cur_set *set, rung_curate_count *z, rung_error *err) {
    double share = set->o->held > 0.0 ? set->o->held : 0.1;
    rung_arena *a = rung_arena_new(0);
    rung_status st = a ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "out of memory");
    int64_t last = 0;
    bool held = false;
    for (int64_t i = 0; i < set->n && st == RUNG_OK; i++) {
        cur_trace *t = &set->trace[i];
        if (t->problem != last) {
            rung_problem p;
            rung_arena_reset(a);
            st = rung_problem_get(set->store, &p, a, t->problem, err);
            if (st != RUNG_OK) break;
            rung_rng r = rung_rng_at(set->o->seed, RUNG_STREAM_SPLIT, rung_problem_address(&p), 0);
            held = rung_rng_f64_at(&r, 0) < share;
            last = t->problem;
        }
        if (!t->dropped && held != set->o->keep_held)
            cur_drop(t, z, held ? "its problem is held out" : "its problem is not held out");
    }
    rung_arena_free(a);
    return st;
}
