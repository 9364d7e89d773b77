#include "label/curate/curate.h"
#include "trace/flow.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static rung_status no_memory(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "no memory for labelled traces");
}

static rung_status room(cur_set *set, int32_t n_steps, rung_error *err) {
    if (set->n == set->cap) {
        int64_t cap = set->cap ? set->cap * 2 : 256;
        cur_trace *t = rung_realloc(set->trace, (size_t)cap * sizeof *t);
        if (!t) return no_memory(err);
        set->trace = t;
        set->cap = cap;
    }
    while (set->n_step + n_steps > set->cap_step) {
        int64_t cap = set->cap_step ? set->cap_step * 2 : 1024;
        cur_step *s = rung_realloc(set->step, (size_t)cap * sizeof *s);
        if (!s) return no_memory(err);
        set->step = s;
        set->cap_step = cap;
    }
    return RUNG_OK;
}

static rung_status add_trace(cur_set *set, const rung_trace *t, uint64_t problem, rung_error *err) {
    RUNG_TRY(room(set, t->n_steps, err));
    cur_trace *v = &set->trace[set->n];
    size_t n = strlen(t->generator);
    *v = (cur_trace){.trace = t->id,
                     .problem = t->problem,
                     .i = t->i,
                     .address = rung_hash64(t->generator, n, problem + (uint64_t)t->i),
                     .text = rung_hash64(t->text, (size_t)t->n_bytes, problem),
                     .verdict = t->verdict,
                     .first = set->n_step,
                     .n_steps = t->n_steps,
                     .n_whole = t->n_steps};
    v->generator = set->n && strcmp(set->trace[set->n - 1].generator, t->generator) == 0
                       ? set->trace[set->n - 1].generator
                       : rung_arena_strndup(set->arena, t->generator, n);
    if (!v->generator) return no_memory(err);
    for (int32_t k = 0; k < t->n_steps; k++) {
        rung_label l = {.hard = -1, .soft = (double)NAN};
        bool found;
        RUNG_TRY(rung_label_get(&l, &found, set->store, set->o->labels.run, t->step[k].node,
                                set->o->labels.source, err));
        set->step[set->n_step++] = (cur_step){.node = t->step[k].node,
                                              .byte_end = t->step[k].byte_end,
                                              .tok_end = t->step[k].tok_end,
                                              .hard = found ? (int8_t)l.hard : -1,
                                              .soft = found ? l.soft : (double)NAN,
                                              .n = l.n,
                                              .c = l.c,
                                              .n_unknown = l.n_unknown};
    }
    set->n++;
    return RUNG_OK;
}

rung_status cur_read(cur_set *out, rung_store *s, const rung_curate_opts *o, rung_error *err) {
    *out = (cur_set){.store = s, .o = o, .arena = rung_arena_new(0)};
    rung_arena *a = rung_arena_new(0);
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_status st = out->arena && a ? rung_trace_iter(&it, s, &o->traces, err) : no_memory(err);
    int64_t last = 0;
    uint64_t address = 0;
    while (st == RUNG_OK && (st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if (t->problem != last) {
            rung_problem p;
            rung_arena_reset(a);
            if ((st = rung_problem_get(s, &p, a, t->problem, err)) != RUNG_OK) break;
            address = rung_problem_address(&p);
            last = t->problem;
        }
        st = add_trace(out, t, address, err);
    }
    rung_iter_free(it);
    rung_arena_free(a);
    return st == RUNG_DONE ? RUNG_OK : st;
}

void cur_clear(cur_set *set) {
    rung_free(set->trace);
    rung_free(set->step);
    rung_arena_free(set->arena);
    *set = (cur_set){0};
}

void cur_because(rung_curate_count *z, const char *why, int64_t n) {
    for (int k = 0; n > 0 && k < RUNG_CURATE_REASONS; k++) {
        if (z->reason[k].why && strcmp(z->reason[k].why, why) != 0) continue;
        z->reason[k].why = why;
        z->reason[k].n += n;
        return;
    }
}

void cur_drop(cur_trace *t, rung_curate_count *z, const char *why) {
    t->dropped = true;
    cur_because(z, why, 1);
}

int64_t cur_labels(const cur_set *set) {
    int64_t n = 0;
    for (int64_t i = 0; i < set->n; i++) {
        const cur_trace *t = &set->trace[i];
        for (int32_t k = 0; !t->dropped && k < t->n_steps; k++)
            n += set->step[t->first + k].hard >= 0;
    }
    return n;
}

int32_t cur_first_zero(const cur_set *set, const cur_trace *t) {
    for (int32_t k = 0; k < t->n_steps; k++) {
        int8_t hard = set->step[t->first + k].hard;
        if (hard < 0) return RUNG_FIRST_ERROR_UNKNOWN;
        if (hard == 0) return k;
    }
    return t->n_steps > 0 ? -1 : RUNG_FIRST_ERROR_UNKNOWN;
}

double cur_draw(const cur_set *set, const cur_trace *t, int32_t step) {
    rung_rng r = rung_rng_at(set->o->seed, RUNG_STREAM_SUBSET, t->address, (uint64_t)(step + 1));
    return rung_rng_f64_at(&r, 0);
}

/* The denominator holds the unknown ones, too: SC is a share of what was sampled (labels.md 4). One
 * model's SC is never used for another model's samples. */
rung_status cur_confidence(double *sc, const cur_set *set, rung_error *err) {
    (void)err;
    for (int64_t i = 0, j; i < set->n; i = j) {
        for (j = i; j < set->n && set->trace[j].problem == set->trace[i].problem; j++) sc[j] = -1.0;
        for (int64_t a = i; a < j; a++) {
            if (sc[a] >= 0.0) continue;
            int64_t n = 0, right = 0;
            for (int64_t b = a; b < j; b++) {
                if (strcmp(set->trace[b].generator, set->trace[a].generator) != 0) continue;
                n++;
                right += set->trace[b].verdict == RUNG_VERDICT_CORRECT;
            }
            for (int64_t b = a; b < j; b++)
                if (strcmp(set->trace[b].generator, set->trace[a].generator) == 0)
                    sc[b] = (double)right / (double)n;
        }
    }
    return RUNG_OK;
}
