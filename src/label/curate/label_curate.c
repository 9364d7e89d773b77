/* Curation: read, filter, write what is left as a run of its own. */
#include "label/curate/curate.h"
#include "label/node_sums.h"

#include <math.h>
#include <string.h>

static const struct {
    rung_curator row;
    cur_filter fn;
} filters[] = {
    {{"consensus", "keep a trace where two labelers put the first error in one place"},
     cur_consensus},
    {{"confidence", "keep problems that the policy solves often enough"}, cur_confident},
    {{"denoise", "SCAN: right traces right throughout, soft labels before the error"}, cur_denoise},
    {{"truncate", "cut a trace after its first wrong step"}, cur_truncate},
    {{"balance", "as many right as wrong: traces, classes of steps, classes by prefix length"},
     cur_balance},
    {{"merge", "merge some neighbouring steps, wrong if either is"}, cur_merge},
    {{"last_step", "as many right as wrong targets, final steps apart"}, cur_last_step},
    {{"dedupe", "one of traces with the same text"}, cur_dedupe},
    {{"decontaminate", "drop problems that share a question or words in a row with a test set"},
     cur_decontaminate},
    {{"sample", "keep so many traces, drawn: arms of equal size"}, cur_sample},
    {{"split", "keep one side of a split by problem"}, cur_split},
};
enum { N_FILTERS = sizeof filters / sizeof filters[0] };

const rung_curator *rung_curator_at(size_t i) {
    return i < N_FILTERS ? &filters[i].row : NULL;
}

cur_filter cur_filter_find(const rung_curator **row, const char *name, size_t n) {
    for (size_t i = 0; i < N_FILTERS; i++) {
        if (strlen(filters[i].row.name) != n || memcmp(filters[i].row.name, name, n) != 0) continue;
        *row = &filters[i].row;
        return filters[i].fn;
    }
    return NULL;
}

static int64_t traces_left(const cur_set *set) {
    int64_t n = 0;
    for (int64_t i = 0; i < set->n; i++) n += !set->trace[i].dropped;
    return n;
}

static rung_status run_filters(rung_curate_count *count, int32_t *n, int32_t n_max, cur_set *set,
                               const char *names, const rung_log *log, rung_error *err) {
    *n = 0;
    for (const char *p = names; *p;) {
        size_t len = strcspn(p, ", ");
        if (len == 0) {
            p++;
            continue;
        }
        const rung_curator *row;
        cur_filter fn = cur_filter_find(&row, p, len);
        if (!fn) {
            rung_fail(err, RUNG_E_NOT_FOUND, "no filter named \"%.*s\"", (int)len, p);
            return rung_error_hint(err, "rung help label curate lists them");
        }
        if (*n == n_max) return rung_fail(err, RUNG_E_LIMIT, "more than %d filters", n_max);
        rung_curate_count *z = &count[(*n)++];
        *z = (rung_curate_count){
            .filter = row->name, .traces_in = traces_left(set), .labels_in = cur_labels(set)};
        RUNG_TRY(fn(set, z, err));
        z->traces_out = traces_left(set);
        z->labels_out = cur_labels(set);
        rung_event(log, RUNG_INFO, "label.curate", RUNG_S("filter", z->filter),
                   RUNG_I("traces_in", z->traces_in), RUNG_I("traces_out", z->traces_out),
                   RUNG_I("labels_in", z->labels_in), RUNG_I("labels_out", z->labels_out));
        p += len;
    }
    return *n ? RUNG_OK : rung_fail(err, RUNG_E_INVAL, "no filters given");
}

/* ---- writing */

/* The trace as it is now: its steps up to n_steps; a cut trace keeps its text up to there. */
static rung_status put_trace(cur_set *set, const cur_trace *t, int64_t run, rung_arena *a,
                             rung_step *step, rung_error *err) {
    rung_iter *it;
    const rung_trace *row;
    RUNG_TRY(rung_trace_iter(&it, set->store, &(rung_filter){.trace = t->trace}, err));
    rung_status st = rung_trace_next(&row, it, err);
    if (st == RUNG_DONE) st = rung_fail(err, RUNG_E_NOT_FOUND, "a trace is gone");
    if (st == RUNG_OK) {
        const cur_step *s = set->step + t->first;
        rung_trace v = *row;
        int32_t byte = 0, tok = 0;
        for (int32_t k = 0; k < t->n_steps; k++) {
            step[k] = (rung_step){0, byte, s[k].byte_end, tok, s[k].tok_end};
            byte = s[k].byte_end;
            tok = s[k].tok_end;
        }
        v.id = 0;
        v.run = run;
        v.n_bytes = byte;
        v.text = rung_arena_strndup(a, row->text, (size_t)byte);
        v.n_tok = row->n_tok > 0 ? tok : 0;
        v.n_steps = t->n_steps;
        if (v.first_error >= v.n_steps) { /* cut before it: of what is left nothing is known */
            v.first_error = RUNG_FIRST_ERROR_UNKNOWN;
            v.first_error_source = "";
        }
        if (t->n_whole != row->n_steps) { /* merged: its index is another one */
            v.first_error = RUNG_FIRST_ERROR_UNKNOWN;
            v.first_error_source = "";
        }
        st = v.text ? rung_trace_put(set->store, &v, step, NULL, err)
                    : rung_fail(err, RUNG_E_NOMEM, "no memory for a trace");
    }
    rung_iter_free(it);
    return st;
}

/* Labels are of nodes: where traces that share one differ, it gets the mean. */
static rung_status sum_labels(node_sums *z, node_sums *counts, const cur_set *set,
                              const cur_trace *t, const rung_step *step, rung_error *err) {
    for (int32_t k = 0; k < t->n_steps; k++) {
        const cur_step *s = &set->step[t->first + k];
        if (s->hard < 0) continue;
        double soft = isfinite(s->soft) ? s->soft : (double)s->hard;
        bool seen = node_sums_find(z, step[k].node) != NULL;
        RUNG_TRY(node_sums_add_soft(z, step[k].node, s->hard == 1, soft, err));
        if (seen) continue; /* n and c are those of the node, whoever shares it */
        RUNG_TRY(node_sums_add(counts, step[k].node, true, err));
        node_sum *v = node_sums_find(counts, step[k].node);
        v->n = s->n;
        v->c = s->c;
        v->soft = s->n_unknown;
    }
    return RUNG_OK;
}

static rung_status put_labels(const node_sums *z, const node_sums *counts, cur_set *set,
                              int64_t run, rung_error *err) {
    for (int64_t i = 0; i < z->n; i++) {
        const node_sum *v = &z->row[i], *k = node_sums_find(counts, v->node);
        bool is_new;
        rung_label l = {.run = run,
                        .node = v->node,
                        .source = "curated",
                        .labeler = set->o->labels.source,
                        .hard = 2 * v->c == v->n ? v->soft / v->n >= 0.5 : 2 * v->c > v->n,
                        .soft = fmin(1.0, v->soft / v->n),
                        .n = k->n,
                        .c = k->c,
                        .n_unknown = (int32_t)k->soft};
        RUNG_TRY(rung_label_put(set->store, &l, &is_new, err));
    }
    return RUNG_OK;
}

static rung_status write_set(cur_set *set, int64_t run, rung_error *err) {
    node_sums z = {0}, counts = {0};
    rung_arena *a = rung_arena_new(0);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "no memory for labels");
    rung_status st = rung_store_begin(set->store, err);
    for (int64_t i = 0; i < set->n && st == RUNG_OK; i++) {
        const cur_trace *t = &set->trace[i];
        if (t->dropped || t->n_steps == 0) continue;
        rung_arena_reset(a);
        rung_step *step = rung_arena_alloc(a, (size_t)t->n_steps * sizeof *step);
        st = step ? put_trace(set, t, run, a, step, err)
                  : rung_fail(err, RUNG_E_NOMEM, "no memory for steps");
        if (st == RUNG_OK) st = sum_labels(&z, &counts, set, t, step, err);
    }
    if (st == RUNG_OK) st = put_labels(&z, &counts, set, run, err);
    if (st == RUNG_OK)
        st = rung_store_commit(set->store, err);
    else
        rung_store_rollback(set->store);
    node_sums_clear(&z);
    node_sums_clear(&counts);
    rung_arena_free(a);
    return st;
}

rung_status rung_label_curate(rung_curate_count *count, int32_t *n, int32_t n_max, rung_store *s,
                              int64_t run_id, const char *names, const rung_curate_opts *o,
                              const rung_log *log, rung_error *err) {
    if (o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "rung_curate_opts of another size");
    if (!o->labels.source || !o->labels.source[0])
        return rung_fail(err, RUNG_E_INVAL, "curate: labels of which source?");
    cur_set set;
    rung_status st = cur_read(&set, s, o, err);
    if (st == RUNG_OK && set.n == 0) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no traces match");
        st = rung_error_hint(err, "--run names the run whose traces are curated");
    }
    if (st == RUNG_OK) st = run_filters(count, n, n_max, &set, names, log, err);
    if (st == RUNG_OK) st = write_set(&set, run_id, err);
    cur_clear(&set);
    return st;
}
