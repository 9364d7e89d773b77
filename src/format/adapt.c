/* A record as a format can carry it: what must be decided is decided by a named policy, what cannot
 * be carried is counted (peers.md 2.1, the traps). */
#include "format/row.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct fitting {
    rung_rated *r; /* being changed */
    const rung_format *f;
    const rung_format_opts *o;
    rung_tally *lost;
    int64_t line;
    rung_error *err;
} fitting;

static bool can(const fitting *z, unsigned what) {
    return (z->f->can & what) != 0;
}

static void lose(const fitting *z, const char *what, int64_t n) {
    tally_add(z->lost, what, n, z->line);
}

/* The path from the question to leaf as a chain. */
static rung_status take_path(rung_rated *out, const rung_rated *r, int32_t leaf, rung_arena *a,
                             rung_error *err) {
    int32_t n = 0;
    for (int32_t at = leaf; at >= 0; at = r->step[at].parent) n++;
    out->step = rung_arena_alloc(a, (size_t)(n ? n : 1) * sizeof *out->step);
    if (!out->step) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    out->n_steps = n;
    out->last = n - 1;
    for (int32_t at = leaf; at >= 0; at = r->step[at].parent) {
        out->step[--n] = r->step[at];
        out->step[n].parent = n - 1;
    }
    return RUNG_OK;
}

static bool any_mark(const rung_rated *r) {
    for (int32_t k = 0; k < r->n_steps; k++)
        if (r->step[k].mark != RUNG_MARK_NONE || isfinite(r->step[k].soft)) return true;
    return false;
}

static rung_status fit_neutral(fitting *z) {
    static const rung_mark to[] = {RUNG_MARK_NEUTRAL, RUNG_MARK_RIGHT, RUNG_MARK_WRONG,
                                   RUNG_MARK_NONE};
    int64_t n = 0;
    if (can(z, RUNG_CAN_NEUTRAL) || !can(z, RUNG_CAN_HARD | RUNG_CAN_SOFT | RUNG_CAN_INDEX))
        return RUNG_OK;
    for (int32_t k = 0; k < z->r->n_steps; k++) {
        rung_rated_step *s = &z->r->step[k];
        if (s->mark != RUNG_MARK_NEUTRAL) continue;
        if (isfinite(s->soft) && can(z, RUNG_CAN_SOFT)) { /* its value says it */
            s->mark = RUNG_MARK_NONE;
            continue;
        }
        if (z->o->neutral == RUNG_NEUTRAL_REJECT) {
            rung_fail(z->err, RUNG_E_FORMAT,
                      "step %d is neutral, which %s cannot say: --neutral right, wrong or "
                      "unlabelled decides",
                      k, z->f->name);
            return RUNG_E_FORMAT;
        }
        s->mark = to[z->o->neutral];
        n++;
    }
    static const char *const said[] = {"", "neutral written as right", "neutral written as wrong",
                                       "neutral written as unlabelled"};
    lose(z, said[z->o->neutral], n);
    return RUNG_OK;
}

/* Values where marks are wanted, marks where values are. */
static void fit_kind(fitting *z) {
    int64_t n_hardened = 0, n_softened = 0;
    bool hard = can(z, RUNG_CAN_HARD | RUNG_CAN_INDEX), soft = can(z, RUNG_CAN_SOFT);
    for (int32_t k = 0; k < z->r->n_steps; k++) {
        rung_rated_step *s = &z->r->step[k];
        if (hard && !soft && isfinite(s->soft)) {
            if (s->mark == RUNG_MARK_NONE)
                s->mark = s->soft > z->o->threshold ? RUNG_MARK_RIGHT : RUNG_MARK_WRONG;
            s->soft = (double)NAN;
            n_hardened++;
        }
        if (soft && !hard && s->mark != RUNG_MARK_NONE) {
            if (!isfinite(s->soft)) {
                s->soft = s->mark == RUNG_MARK_RIGHT ? 1 : s->mark == RUNG_MARK_WRONG ? 0 : .5;
                n_softened++;
            }
            s->mark = RUNG_MARK_NONE;
        }
    }
    if (n_hardened) {
        char what[96];
        snprintf(what, sizeof what, "values made right or wrong at > %g", z->o->threshold);
        lose(z, what, n_hardened);
    }
    lose(z, "right and wrong written as 1 and 0", n_softened);
}

/* On a chain: how far it is labelled, and a label for what comes after the first error. */
static rung_status fit_after_error(fitting *z) {
    rung_rated *r = z->r;
    int32_t fe = r->first_error;
    for (int32_t k = 0; k < r->n_steps; k++) {
        rung_rated_step *s = &r->step[k];
        bool labelled = s->mark != RUNG_MARK_NONE || isfinite(s->soft);
        if (labelled) continue;
        if (fe < 0 || k < fe) return rung_fail(z->err, RUNG_E_FORMAT, "step %d has no label", k);
        switch (z->o->after_error) {
        case RUNG_AFTER_TRUNCATE:
            lose(z, "steps after the first error", r->n_steps - k);
            r->n_steps = k;
            r->last = k - 1;
            return RUNG_OK;
        case RUNG_AFTER_WRONG:
        case RUNG_AFTER_RIGHT:
            s->mark = z->o->after_error == RUNG_AFTER_WRONG ? RUNG_MARK_WRONG : RUNG_MARK_RIGHT;
            if (!can(z, RUNG_CAN_HARD)) {
                s->soft = s->mark == RUNG_MARK_RIGHT;
                s->mark = RUNG_MARK_NONE;
            }
            lose(z, "labels made up after the first error", 1);
            break;
        case RUNG_AFTER_REJECT:
        default:
            return rung_fail(z->err, RUNG_E_FORMAT,
                             "step %d, after the first error, has no label: --after-error "
                             "truncate, wrong or right decides",
                             k);
        }
    }
    return RUNG_OK;
}

static rung_status fit_index(fitting *z) {
    rung_rated *r = z->r;
    if (r->first_error == RUNG_FIRST_ERROR_UNKNOWN) {
        for (int32_t k = 0; k < r->n_steps; k++)
            if (r->step[k].mark == RUNG_MARK_NONE)
                return rung_fail(z->err, RUNG_E_FORMAT,
                                 "step %d has no label, so the first error is not known", k);
        return rung_fail(z->err, RUNG_E_FORMAT, "the first error is not known");
    }
    int64_t n = 0;
    for (int32_t k = r->first_error + 1; r->first_error >= 0 && k < r->n_steps; k++)
        n += r->step[k].mark != RUNG_MARK_NONE;
    lose(z, "labels after the first error", n);
    return RUNG_OK;
}

static rung_status fit_labels(fitting *z) {
    rung_rated *r = z->r;
    if (r->first_error != RUNG_FIRST_ERROR_UNKNOWN && !any_mark(r)) set_marks(r);
    RUNG_TRY(fit_neutral(z));
    fit_kind(z);
    if (!can(z, RUNG_CAN_HARD | RUNG_CAN_SOFT | RUNG_CAN_INDEX)) {
        if (any_mark(r) || r->first_error != RUNG_FIRST_ERROR_UNKNOWN) lose(z, "step labels", 1);
        return RUNG_OK;
    }
    if (can(z, RUNG_CAN_TREE)) return RUNG_OK;
    if (can(z, RUNG_CAN_HARD | RUNG_CAN_INDEX) && any_mark(r)) {
        int32_t before = r->first_error;
        set_first_error(r);
        if (r->first_error == RUNG_FIRST_ERROR_UNKNOWN) r->first_error = before;
    }
    if (can(z, RUNG_CAN_INDEX) && !can(z, RUNG_CAN_PARTIAL)) return fit_index(z);
    return can(z, RUNG_CAN_PARTIAL) ? RUNG_OK : fit_after_error(z);
}

static void fit_fields(fitting *z) {
    rung_rated *r = z->r;
    const struct {
        unsigned bit;
        bool there;
        const char *name;
    } field[] = {
        {RUNG_CAN_ID, r->id != NULL, "id"},
        {RUNG_CAN_ANSWER, r->answer && *r->answer, "reference answer"},
        {RUNG_CAN_SOLUTION, r->solution && *r->solution, "reference solution"},
        {RUNG_CAN_GENERATOR, r->generator && *r->generator, "generator"},
        {RUNG_CAN_OUTCOME, r->outcome_given, "whether the final answer is right"},
        {RUNG_CAN_LABELER, r->labeler && *r->labeler, "labeler"},
        {RUNG_CAN_KEYS, r->world && *r->world, "world"},
        {RUNG_CAN_KEYS, r->meta && strcmp(r->meta, "{}") != 0, "meta"},
        {RUNG_CAN_STEPS, r->n_steps > 0, "steps"},
    };
    for (size_t i = 0; i < sizeof field / sizeof *field; i++)
        if (field[i].there && !can(z, field[i].bit)) lose(z, field[i].name, 1);
    if (!r->extra || strcmp(z->f->name, "jsonl") == 0 || strcmp(r->extra_format, z->f->name) == 0)
        return;
    yyjson_doc *doc = extra_of(r, r->extra_format);
    yyjson_obj_iter it = yyjson_obj_iter_with(yyjson_doc_get_root(doc));
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&it))) {
        const char *name = yyjson_get_str(key);
        char what[96];
        snprintf(what, sizeof what, "\"%.50s\" of %.30s", name ? name : "", r->extra_format);
        if (name && *name != '_') lose(z, what, 1); /* _: how it was laid out */
    }
    yyjson_doc_free(doc);
}

rung_status adapt(rung_rated *out, const rung_format *f, const rung_rated *r, int32_t leaf,
                  const rung_format_opts *o, int64_t line, rung_tally *lost, rung_arena *a,
                  rung_error *err) {
    rung_error own = RUNG_ERROR_INIT;
    fitting z = {out, f, o, lost, line, err ? err : &own};
    *out = *r;
    if (!can(&z, RUNG_CAN_NO_QUESTION) && !(r->question && *r->question))
        return rung_fail(err, RUNG_E_FORMAT, "there is no question, which %s wants", f->name);
    if (can(&z, RUNG_CAN_TREE)) {
        size_t n = (size_t)r->n_steps * sizeof *r->step;
        out->step = rung_arena_alloc(a, n ? n : 1);
        if (!out->step) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
        if (n) memcpy(out->step, r->step, n);
    } else {
        RUNG_TRY(take_path(out, r, leaf, a, err));
        if (leaf != r->last) { /* what is said of the row's own solution is not said of this one */
            out->first_error = RUNG_FIRST_ERROR_UNKNOWN;
            out->outcome_given = false;
            out->outcome = RUNG_VERDICT_UNKNOWN;
        }
    }
    if (can(&z, RUNG_CAN_STEPS) && !can(&z, RUNG_CAN_NO_TEXT)) {
        if (out->n_steps == 0) return rung_fail(err, RUNG_E_FORMAT, "there are no steps");
        for (int32_t k = 0; k < out->n_steps; k++)
            if (!out->step[k].text)
                return rung_fail(err, RUNG_E_FORMAT, "step %d has no text, which %s wants", k,
                                 f->name);
    }
    RUNG_TRY(fit_labels(&z));
    fit_fields(&z);
    return RUNG_OK;
}
