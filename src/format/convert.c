/* Records into rows, files into files. */
#include "format/row.h"
#include <string.h>

const char *rung_mark_name(rung_mark m) {
    static const char *const name[] = {"none", "right", "wrong", "neutral"};
    return (unsigned)m < 4 ? name[m] : "?";
}

/* One row, or nothing: b is as before when it fails. */
static rung_status write_one(rung_buf *b, const rung_format *f, const rung_rated *r, int32_t leaf,
                             const rung_format_opts *o, int64_t line, rung_tally *lost,
                             rung_arena *a, rung_error *err) {
    rung_rated fit;
    rung_tally here = {0}; /* of a row that is not written, nothing was lost */
    size_t n = b->n;
    rung_status st = adapt(&fit, f, r, leaf, o, line, &here, a, err);
    if (st == RUNG_OK) st = f->write(b, &fit, o, err);
    rung_buf_str(b, "\n");
    if (st == RUNG_OK) st = rung_buf_check(b, err);
    if (st != RUNG_OK && !b->failed) b->n = n;
    tally_move(st == RUNG_OK ? lost : NULL, &here, line);
    return st;
}

bool rung_rated_is_leaf(const rung_rated *r, int32_t k) {
    for (int32_t j = k + 1; j < r->n_steps; j++)
        if (r->step[j].parent == k) return false;
    return true;
}

rung_status rung_format_write(rung_buf *b, int64_t *n_rows, const rung_format *f,
                              const rung_rated *r, const rung_format_opts *o, int64_t line,
                              rung_tally *lost, rung_error *err) {
    static const rung_format_opts dflt = RUNG_FORMAT_OPTS_INIT;
    rung_error own = RUNG_ERROR_INIT;
    if (!err) err = &own;
    if (!o) o = &dflt;
    *n_rows = 0;
    rung_arena *a = rung_arena_new(0);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_status st = RUNG_OK;
    bool tree = f->can & RUNG_CAN_TREE, each = o->each_branch && !tree;
    size_t n = b->n;
    if (!each) {
        int32_t on_path = 0;
        for (int32_t at = r->last; at >= 0; at = r->step[at].parent) on_path++;
        if (!tree) tally_add(lost, "steps off the row's own path", r->n_steps - on_path, line);
        st = write_one(b, f, r, r->last, o, line, lost, a, err);
        *n_rows = st == RUNG_OK;
    }
    for (int32_t k = 0; each && k < r->n_steps && st == RUNG_OK; k++) {
        if (!rung_rated_is_leaf(r, k)) continue;
        st = write_one(b, f, r, k, o, line, lost, a, err);
        *n_rows += st == RUNG_OK;
    }
    if (st != RUNG_OK && !b->failed) {
        b->n = n;
        *n_rows = 0;
    }
    rung_arena_free(a);
    return st;
}

typedef struct converting {
    const rung_format *to;
    const rung_format_opts *o;
    rung_format_report *report;
    rung_out *out;
    rung_buf row;
} converting;

static rung_status convert_row(void *ud, const rung_rated *r, int64_t line, rung_error *err) {
    converting *z = ud;
    int64_t n = 0;
    rung_buf_reset(&z->row);
    RUNG_TRY(rung_format_write(&z->row, &n, z->to, r, z->o, line, &z->report->lost, err));
    z->report->n_out += n;
    return rung_out_write(z->out, z->row.data, z->row.n, err);
}

rung_status rung_format_convert(rung_format_report *out, const rung_format *from,
                                const char *from_path, const rung_format *to, const char *to_path,
                                const rung_format_opts *o, const rung_log *log, rung_error *err) {
    static const rung_format_opts dflt = RUNG_FORMAT_OPTS_INIT;
    memset(out, 0, sizeof *out);
    converting z = {.to = to, .o = o ? o : &dflt, .report = out};
    RUNG_TRY(rung_out_open(&z.out, to_path, err));
    rung_buf_init(&z.row, 16 * (size_t)FORMAT_LINE_MAX);
    rung_status st = rung_format_read(out, from, from_path, o, log, convert_row, &z, err);
    rung_buf_clear(&z.row);
    if (st == RUNG_OK) return rung_out_commit(z.out, err);
    rung_out_discard(z.out);
    return st;
}
