/* Labels that somebody knows: a world's checker, or the person who marked the first wrong step. */
#include "rung/label.h"
#include "trace/flow.h"

#include <string.h>

enum { TRUTH_BATCH = 1024 };

/* Labels wait as (node, hard, source) until the iterator is closed. */
typedef struct truth_row {
    int64_t node;
    bool right, human;
} truth_row;

typedef struct truth_rows {
    truth_row *row;
    size_t n, cap;
} truth_rows;

static rung_status push(truth_rows *r, truth_row row, rung_error *err) {
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 1024;
        truth_row *grown = rung_realloc(r->row, cap * sizeof *grown);
        if (!grown) return rung_fail(err, RUNG_E_NOMEM, "no memory for %zu labels", cap);
        r->row = grown;
        r->cap = cap;
    }
    r->row[r->n++] = row;
    return RUNG_OK;
}

static rung_status collect(truth_rows *r, rung_store *s, const rung_filter *f, rung_error *err) {
    rung_iter *it;
    RUNG_TRY(rung_trace_iter(&it, s, f, err));
    const rung_trace *t;
    rung_status st;
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if (t->first_error == RUNG_FIRST_ERROR_UNKNOWN) continue;
        bool human = strcmp(t->first_error_source, "human") == 0;
        int32_t last = t->first_error < 0 ? t->n_steps - 1 : t->first_error;
        if (last >= t->n_steps) {
            st = rung_fail(err, RUNG_E_FORMAT, "trace %lld: first error %d, but %d steps",
                           (long long)t->id, t->first_error, t->n_steps);
            break;
        }
        for (int32_t k = 0; k <= last && st == RUNG_OK; k++)
            st = push(r, (truth_row){t->step[k].node, k != t->first_error, human}, err);
        if (st != RUNG_OK) break;
    }
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

static rung_status put_batch(int64_t *n, rung_store *s, int64_t run, const truth_row *row,
                             size_t n_rows, rung_error *err) {
    RUNG_TRY(rung_store_begin(s, err));
    rung_status st = RUNG_OK;
    for (size_t i = 0; i < n_rows && st == RUNG_OK; i++) {
        const char *source = row[i].human ? "human" : "truth";
        bool is_new = false;
        rung_label l = {.run = run,
                        .node = row[i].node,
                        .source = source,
                        .labeler = row[i].human ? "human" : "world",
                        .hard = row[i].right,
                        .soft = row[i].right ? 1.0 : 0.0,
                        .n = 1,
                        .c = row[i].right};
        st = rung_label_put(s, &l, &is_new, err);
        *n += is_new;
    }
    if (st == RUNG_OK) return rung_store_commit(s, err);
    rung_store_rollback(s);
    return st;
}

rung_status rung_label_truth(int64_t *n, rung_store *s, int64_t run_id, const rung_filter *traces,
                             rung_error *err) {
    int64_t n_new = 0;
    truth_rows rows = {0};
    rung_status st = collect(&rows, s, traces, err);
    for (size_t i = 0; i < rows.n && st == RUNG_OK; i += TRUTH_BATCH)
        st = put_batch(&n_new, s, run_id, rows.row + i,
                       rows.n - i < TRUTH_BATCH ? rows.n - i : TRUTH_BATCH, err);
    rung_free(rows.row);
    if (n) *n = n_new;
    return st;
}
