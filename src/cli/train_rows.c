#include "cli/train_rows.h"
#include "reward/reward_impl.h"
#include "trace/flow.h"
#include <string.h>

typedef struct rows {
    const train_source *src;
    rung_arena *arena;
    rung_problem problem; /* of the trace in hand; strings in arena */
    uint64_t address;
    uint64_t *seen; /* hashes of this problem's texts so far */
    size_t n_seen, cap_seen;
    reward_format format;
} rows;

static bool wanted(const train_source *src, const rung_trace *t) {
    if (t->n_bytes == 0) return false;
    if (src->correct) return t->verdict == RUNG_VERDICT_CORRECT;
    return !src->known || t->verdict != RUNG_VERDICT_UNKNOWN;
}

/* A text that this problem has had already? Traces come problem by problem. */
static rung_status is_new(bool *yes, rows *r, const rung_trace *t, rung_error *err) {
    uint64_t hash = rung_hash64(t->text, (size_t)t->n_bytes, 0);
    *yes = true;
    for (size_t i = 0; i < r->n_seen && *yes; i++) *yes = r->seen[i] != hash;
    if (!*yes) {
        *yes = r->src->duplicates;
        return RUNG_OK;
    }
    if (r->n_seen == r->cap_seen) {
        size_t more = r->cap_seen * 2 + 16;
        uint64_t *grown = rung_realloc(r->seen, more * sizeof *grown);
        if (!grown) return rung_fail(err, RUNG_E_NOMEM, "no memory for %zu traces", more);
        r->seen = grown;
        r->cap_seen = more;
    }
    r->seen[r->n_seen++] = hash;
    return RUNG_OK;
}

static rung_status take_problem(rows *r, const rung_trace *t, rung_error *err) {
    if (r->problem.id == t->problem) return RUNG_OK;
    rung_arena_reset(r->arena);
    r->n_seen = 0;
    RUNG_TRY(rung_problem_get(r->src->store, &r->problem, r->arena, t->problem, err));
    r->address = rung_problem_address(&r->problem);
    return RUNG_OK;
}

/* Ended by itself: what follows the last token is the end. */
static bool ended(const rung_trace *t) {
    return strcmp(t->stop, "length") != 0 && strcmp(t->stop, "context") != 0;
}

/* Tokens up to the first step that the labels call wrong. */
static rung_status learn_until(int32_t *n, const rows *r, const rung_trace *t,
                               const reward_layout *l, rung_error *err) {
    for (int32_t k = 0; r->src->labels && k < l->n_at; k++) {
        rung_label label;
        bool found;
        RUNG_TRY(rung_label_get(&label, &found, r->src->store, r->src->label_run, t->step[k].node,
                                r->src->labels, err));
        if (!found || label.hard != 0) continue;
        *n = l->begin[k];
        return RUNG_OK;
    }
    return RUNG_OK;
}

static rung_status one_trace(rows *r, const rung_trace *t, train_put *put, void *ud,
                             rung_error *err) {
    reward_layout l;
    bool spelled, by_step;
    RUNG_TRY(
        reward_layout_make(&l, &spelled, &by_step, r->src->vocab, &r->format, &r->problem, t, err));
    int32_t eos = rung_model_eos(r->src->vocab), n = l.n_tok;
    train_doc d = {.id = t->id, .group = r->address, .n = n, .n_prompt = l.n_prompt};
    int32_t *tok = rung_alloc(((size_t)n + 1) * sizeof *tok);
    rung_status st = tok ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "no memory for %d tokens", n);
    if (tok) memcpy(tok, l.tok, (size_t)n * sizeof *tok);
    if (tok && eos >= 0 && ended(t) && (n == 0 || tok[n - 1] != eos)) tok[d.n++] = eos;
    d.n_learn = d.n;
    if (st == RUNG_OK) st = learn_until(&d.n_learn, r, t, &l, err);
    if (st == RUNG_OK && d.n_prompt < 1)
        st = rung_fail(err, RUNG_E_FORMAT, "trace %lld: an empty prompt", (long long)t->id);
    if (st == RUNG_OK && d.n_learn > d.n_prompt) st = put(ud, tok, &d, err);
    rung_free(tok);
    reward_layout_clear(&l);
    return st;
}

rung_status train_rows_read(const train_source *src, train_put *put, void *ud, rung_error *err) {
    rows r = {.src = src,
              .arena = rung_arena_new(0),
              .format = {.name = "sft", .system = src->system, .suffix = src->suffix}};
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_status st = RUNG_OK;
    if (!r.arena) RUNG_GOTO(rung_fail(err, RUNG_E_NOMEM, "no memory to read traces"));
    RUNG_GOTO(rung_trace_iter(&it, src->store, &src->filter, err));
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        bool take = true;
        if (!wanted(src, t)) continue;
        RUNG_GOTO(take_problem(&r, t, err));
        RUNG_GOTO(is_new(&take, &r, t, err));
        if (take) RUNG_GOTO(one_trace(&r, t, put, ud, err));
    }
    if (st == RUNG_DONE) st = RUNG_OK;
out:
    rung_iter_free(it);
    rung_arena_free(r.arena);
    rung_free(r.seen);
    return st;
}

rung_status train_rows_hash(char out[33], const train_source *src, rung_error *err) {
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_status st;
    uint64_t h[2] = {0, 1};
    RUNG_TRY(rung_trace_iter(&it, src->store, &src->filter, err));
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if (!wanted(src, t)) continue;
        for (int k = 0; k < 2; k++) {
            h[k] = rung_hash64(&t->problem, sizeof t->problem, h[k]);
            h[k] = rung_hash64(t->text, (size_t)t->n_bytes, h[k]);
        }
        for (int32_t i = 0; src->labels && i < t->n_steps; i++) {
            rung_label label = {0};
            bool found;
            RUNG_GOTO(rung_label_get(&label, &found, src->store, src->label_run, t->step[i].node,
                                     src->labels, err));
            int32_t says = found ? label.hard : -2;
            h[0] = rung_hash64(&says, sizeof says, h[0]);
        }
    }
out:
    rung_iter_free(it);
    if (st != RUNG_DONE) return st;
    rung_hash_hex(out, h, sizeof h);
    return RUNG_OK;
}
