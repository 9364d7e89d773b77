/* Traces and their labels out, in the formats of others. */
#include "base/keymap.h"
#include "rung/label.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NODES_MAX = 1 << 16, ROW_MAX = 64 << 20 };

typedef struct exporting {
    rung_store *s;
    const rung_format *f;
    const rung_export_opts *o;
    const rung_format_opts *how;
    rung_format_report *report;
    const rung_log *log;
    rung_out *out;
    rung_arena *arena; /* of the row */
    rung_buf row;
    rung_problem p; /* the row's problem; strings in arena */
    rung_rated r;
    keymap of_node; /* a tree's: node -> its step + 1 */
    bool by_problem;
} exporting;

static rung_status out_of_memory(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "out of memory");
}

/* ---- a step: its text without the newlines that close it, and its label */

static rung_status label_of(rung_rated_step *out, rung_rated *r, exporting *z, int64_t node,
                            rung_error *err) {
    rung_label l;
    bool found = false;
    if (!z->o->source) return RUNG_OK;
    RUNG_TRY(rung_label_get(&l, &found, z->s, z->o->label_run, node, z->o->source, err));
    if (!found) return RUNG_OK;
    out->soft = l.soft;
    if (l.hard >= 0) out->mark = l.hard ? RUNG_MARK_RIGHT : RUNG_MARK_WRONG;
    if (l.hard < 0 && l.n == 0 && l.soft >= .5 && l.soft <= .5) { /* as imports keep neutral */
        out->mark = RUNG_MARK_NEUTRAL;
        out->soft = (double)NAN;
    }
    r->source = z->o->source;
    return RUNG_OK;
}

static rung_status take_step(rung_rated_step *out, rung_rated *r, exporting *z, const rung_trace *t,
                             int32_t k, rung_error *err) {
    const char *text = t->text + t->step[k].byte_begin;
    size_t n = (size_t)(t->step[k].byte_end - t->step[k].byte_begin), whole = n;
    while (n > 0 && text[n - 1] == '\n') n--;
    if (n == 0) n = whole; /* a step of newlines only stays */
    if (!r->separator && n < whole && k + 1 < t->n_steps)
        r->separator = rung_arena_strndup(z->arena, text + n, whole - n);
    char *copy = rung_arena_strndup(z->arena, text, n);
    if (!copy) return out_of_memory(err);
    for (size_t i = 0; i < n; i++) /* JSON texts end at a NUL */
        if (copy[i] == '\0') copy[i] = ' ';
    *out = (rung_rated_step){.text = copy, .parent = k - 1, .soft = (double)NAN};
    return label_of(out, r, z, t->step[k].node, err);
}

/* ---- rows */

static rung_status open_row(exporting *z, int64_t problem, rung_error *err) {
    rung_arena_reset(z->arena);
    RUNG_TRY(rung_problem_get(z->s, &z->p, z->arena, problem, err));
    z->r = (rung_rated)RUNG_RATED_INIT;
    z->r.id = z->p.key;
    z->r.set = z->p.set;
    z->r.split = z->p.split;
    z->r.question = z->p.question;
    z->r.answer = z->p.answer;
    if (*z->p.solution) z->r.solution = z->p.solution;
    if (*z->p.world) z->r.world = z->p.world;
    if (strcmp(z->p.meta, "{}") != 0) z->r.meta = z->p.meta;
    z->r.verifier = z->p.verifier;
    return RUNG_OK;
}

static rung_status close_row(exporting *z, rung_error *err) {
    int64_t n = 0;
    rung_buf_reset(&z->row);
    z->report->n_in++;
    rung_error why = RUNG_ERROR_INIT;
    rung_status st = rung_format_write(&z->row, &n, z->f, &z->r, z->how, 0, &z->report->lost, &why);
    if (st == RUNG_E_FORMAT || st == RUNG_E_LIMIT) {
        z->report->n_rejected++;
        rung_format_report_reject(z->report, why.what, z->report->n_in);
        return RUNG_OK;
    }
    if (st != RUNG_OK) {
        if (err) *err = why;
        return st;
    }
    z->report->n_out += n;
    return rung_out_write(z->out, z->row.data, z->row.n, err);
}

static rung_status trace_row(exporting *z, const rung_trace *t, rung_error *err) {
    RUNG_TRY(open_row(z, t->problem, err));
    rung_rated *r = &z->r;
    r->step = rung_arena_alloc(z->arena, (size_t)(t->n_steps + 1) * sizeof *r->step);
    r->generator =
        *t->generator ? rung_arena_strndup(z->arena, t->generator, strlen(t->generator)) : NULL;
    if (!r->step) return out_of_memory(err);
    for (int32_t k = 0; k < t->n_steps; k++) RUNG_TRY(take_step(&r->step[k], r, z, t, k, err));
    r->n_steps = t->n_steps;
    r->last = t->n_steps - 1;
    r->first_error = t->first_error;
    r->outcome = t->verdict;
    r->outcome_given = t->verdict != RUNG_VERDICT_UNKNOWN;
    if (rung_format_can_carry(z->f) & RUNG_CAN_KEYS) r->i = t->i;
    if (!(rung_format_can_carry(z->f) & RUNG_CAN_REPEAT_ID)) { /* an id per trace */
        char id[32];
        rung_buf b;
        rung_buf_init(&b, 1 << 20);
        snprintf(id, sizeof id, "#%d", t->i);
        rung_buf_str(&b, z->p.key);
        rung_buf_str(&b, id);
        r->id = b.failed ? NULL : rung_arena_strndup(z->arena, b.data, b.n);
        rung_buf_clear(&b);
    }
    return close_row(z, err);
}

/* Adds a trace to the problem's tree: steps that other traces have are there already. */
static rung_status add_to_tree(exporting *z, const rung_trace *t, rung_error *err) {
    rung_rated *r = &z->r;
    int32_t at = -1;
    for (int32_t k = 0; k < t->n_steps; k++) {
        int64_t *known = keymap_at(&z->of_node, (uint64_t)t->step[k].node);
        if (!known) return out_of_memory(err);
        int32_t j = *known ? (int32_t)*known - 1 : r->n_steps;
        if (j == r->n_steps) {
            if (j == NODES_MAX)
                return rung_fail(err, RUNG_E_LIMIT, "problem %lld has more than %d steps",
                                 (long long)t->problem, NODES_MAX);
            RUNG_TRY(take_step(&r->step[j], r, z, t, k, err));
            r->step[j].parent = at;
            *known = ++r->n_steps;
        }
        at = j;
    }
    r->last = at;
    return RUNG_OK;
}

static rung_status tree_open(exporting *z, int64_t problem, rung_error *err) {
    RUNG_TRY(open_row(z, problem, err));
    z->r.step = rung_arena_alloc(z->arena, NODES_MAX * sizeof *z->r.step);
    keymap_clear(&z->of_node);
    return z->r.step ? RUNG_OK : out_of_memory(err);
}

static rung_status all_traces(exporting *z, rung_error *err) {
    rung_iter *it = NULL;
    const rung_trace *t;
    int64_t open = 0, n = 0;
    rung_status st = rung_trace_iter(&it, z->s, &z->o->traces, err);
    while (st == RUNG_OK && (st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if (!z->by_problem) {
            st = trace_row(z, t, err);
        } else {
            if (open && open != t->problem) st = close_row(z, err);
            if (st == RUNG_OK && open != t->problem) st = tree_open(z, t->problem, err);
            open = t->problem;
            if (st == RUNG_OK) st = add_to_tree(z, t, err);
        }
        if (st == RUNG_OK) st = rung_progress(z->log, "traces", ++n, 0, 0, err);
    }
    rung_iter_free(it);
    if (st == RUNG_DONE) st = RUNG_OK;
    if (st == RUNG_OK && open) st = close_row(z, err);
    if (st == RUNG_OK && n == 0) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no trace matches");
        st = rung_error_hint(err, "look at --run and --set");
    }
    return st;
}

rung_status rung_label_export(rung_format_report *out, rung_store *s, const rung_format *f,
                              const char *path, const rung_export_opts *o,
                              const rung_format_opts *how, const rung_log *log, rung_error *err) {
    memset(out, 0, sizeof *out);
    unsigned can = rung_format_can_carry(f);
    exporting z = {.s = s, .f = f, .o = o, .how = how, .report = out, .log = log};
    z.by_problem = (can & RUNG_CAN_TREE) && (can & RUNG_CAN_SOFT) && !(can & RUNG_CAN_KEYS);
    RUNG_TRY(rung_out_open(&z.out, path, err));
    rung_buf_init(&z.row, ROW_MAX);
    z.arena = rung_arena_new(0);
    rung_status st = z.arena ? all_traces(&z, err) : out_of_memory(err);
    keymap_clear(&z.of_node);
    rung_arena_free(z.arena);
    rung_buf_clear(&z.row);
    if (st == RUNG_OK) return rung_out_commit(z.out, err);
    rung_out_discard(z.out);
    return st;
}
