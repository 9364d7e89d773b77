/* Marks of people, from JSON lines. A bad line is named with its reason and costs nothing else. */
#include "base/json.h"
#include "rung/label.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct named { /* a trace by what it is: set, key, i */
    uint64_t key;
    int64_t trace;
} named;

typedef struct human {
    rung_store *store;
    int64_t run;
    const char *labeler;
    const rung_log *log;
    named *by_name;
    size_t n_named;
    bool is_read;
    const rung_filter *traces;
    rung_human_report report;
    int64_t line;
    const char *path;
} human;

static uint64_t name_of(const char *set, const char *key, int64_t i) {
    uint64_t h = rung_hash64(set, strlen(set), (uint64_t)i);
    return rung_hash64(key, strlen(key), h);
}

static int by_key(const void *a, const void *b) {
    const named *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

static rung_status read_names(human *w, rung_error *err) {
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_status st;
    size_t cap = 0;
    rung_arena *a = rung_arena_new(0);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "no memory for the names of traces");
    st = rung_trace_iter(&it, w->store, w->traces, err);
    while (st == RUNG_OK && (st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        rung_problem p;
        rung_arena_reset(a);
        if ((st = rung_problem_get(w->store, &p, a, t->problem, err)) != RUNG_OK) break;
        if (w->n_named == cap) {
            cap = cap ? cap * 2 : 256;
            named *grown = rung_realloc(w->by_name, cap * sizeof *grown);
            if (!grown) {
                st = rung_fail(err, RUNG_E_NOMEM, "no memory for the names of traces");
                break;
            }
            w->by_name = grown;
        }
        w->by_name[w->n_named++] = (named){name_of(p.set, p.key, t->i), t->id};
    }
    rung_iter_free(it);
    rung_arena_free(a);
    if (st != RUNG_DONE) return st;
    if (w->n_named) qsort(w->by_name, w->n_named, sizeof *w->by_name, by_key);
    w->is_read = true;
    return RUNG_OK;
}

static void reject(human *w, const char *why) {
    w->report.n_rejected++;
    rung_event(w->log, RUNG_WARN, "label.reject", RUNG_S("file", w->path), RUNG_I("line", w->line),
               RUNG_S("reason", why));
}

/* 0: the row names no trace that is there (rejected). */
static rung_status trace_of(int64_t *id, human *w, yyjson_val *row, rung_error *err) {
    *id = rung_json_i64(row, "trace", 0);
    if (*id > 0) return RUNG_OK;
    const char *set = rung_json_str(row, "set", NULL), *key = rung_json_str(row, "key", NULL);
    if (!set || !key) {
        reject(w, "neither \"trace\" nor \"set\" and \"key\"");
        return RUNG_OK;
    }
    if (!w->is_read) RUNG_TRY(read_names(w, err));
    named want = {.key = name_of(set, key, rung_json_i64(row, "i", 0))};
    const named *f =
        w->n_named ? bsearch(&want, w->by_name, w->n_named, sizeof want, by_key) : NULL;
    if (f)
        *id = f->trace;
    else
        reject(w, "no trace of this set, key and i is chosen");
    return RUNG_OK;
}

/* Marks per step: 1, 0, -1 none. False: rejected. */
static bool marks_of(int8_t *mark, human *w, yyjson_val *row, int32_t n_steps) {
    yyjson_val *list = yyjson_obj_get(row, "labels"), *x;
    size_t k, n;
    if (yyjson_is_arr(list)) {
        if (yyjson_arr_size(list) > (size_t)n_steps)
            return reject(w, "more labels than the trace has steps"), false;
        for (int32_t i = 0; i < n_steps; i++) mark[i] = -1;
        yyjson_arr_foreach(list, k, n, x) {
            if (yyjson_is_null(x)) continue;
            if (yyjson_is_bool(x))
                mark[k] = yyjson_get_bool(x);
            else if (yyjson_is_int(x) && yyjson_get_sint(x) >= -1 && yyjson_get_sint(x) <= 1)
                mark[k] = (int8_t)yyjson_get_sint(x);
            else
                return reject(w, "a label that is not 1, 0, true, false, -1 or null"), false;
        }
        return true;
    }
    yyjson_val *e = yyjson_obj_get(row, "first_error");
    if (!e) e = yyjson_obj_get(row, "label");
    if (!yyjson_is_int(e)) return reject(w, "no \"first_error\", \"label\" or \"labels\""), false;
    int64_t at = yyjson_get_sint(e);
    if (at < -1 || at >= n_steps) return reject(w, "a first error that is not a step"), false;
    for (int32_t i = 0; i < n_steps; i++)
        mark[i] = (int8_t)(at < 0 || i < at ? 1 : i == at ? 0 : -1);
    return true;
}

static rung_status put_marks(human *w, const rung_trace *t, const int8_t *mark, const char *who,
                             rung_error *err) {
    for (int32_t k = 0; k < t->n_steps; k++) {
        if (mark[k] < 0) continue;
        bool is_new = false;
        rung_label l = {.run = w->run,
                        .node = t->step[k].node,
                        .source = "human",
                        .labeler = who,
                        .hard = mark[k],
                        .soft = mark[k],
                        .n = 1,
                        .c = mark[k]};
        RUNG_TRY(rung_label_put(w->store, &l, &is_new, err));
        w->report.n_labels++;
        w->report.n_new += is_new;
    }
    w->report.n_traces++;
    return RUNG_OK;
}

static rung_status one_row(human *w, yyjson_val *row, rung_error *err) {
    rung_iter *it;
    const rung_trace *t;
    int64_t id;
    if (!yyjson_is_obj(row)) return reject(w, "not an object"), RUNG_OK;
    int64_t before = w->report.n_rejected;
    RUNG_TRY(trace_of(&id, w, row, err));
    if (w->report.n_rejected > before) return RUNG_OK;
    rung_filter one = *w->traces;
    one.trace = id;
    RUNG_TRY(rung_trace_iter(&it, w->store, &one, err));
    rung_status st = rung_trace_next(&t, it, err);
    if (st == RUNG_DONE) {
        reject(w, "no such trace is chosen");
        st = RUNG_OK;
    } else if (st == RUNG_OK) {
        int8_t *mark = rung_alloc((size_t)t->n_steps + 1);
        if (!mark)
            st = rung_fail(err, RUNG_E_NOMEM, "no memory for marks");
        else if (marks_of(mark, w, row, t->n_steps))
            st = put_marks(w, t, mark, rung_json_str(row, "labeler", w->labeler), err);
        rung_free(mark);
    }
    rung_iter_free(it);
    return st;
}

rung_status rung_label_human(rung_human_report *out, rung_store *s, int64_t run_id,
                             const char *path, const char *labeler, const rung_filter *traces,
                             const rung_log *log, rung_error *err) {
    rung_filter all = {0};
    human w = {.store = s,
               .run = run_id,
               .labeler = labeler && labeler[0] ? labeler : "human",
               .log = log,
               .traces = traces ? traces : &all,
               .path = path};
    rung_jsonl *file;
    RUNG_TRY(rung_jsonl_open(&file, path, 0, err));
    rung_status st = rung_store_begin(s, err);
    while (st == RUNG_OK) {
        yyjson_val *row;
        rung_error e = RUNG_ERROR_INIT;
        rung_status got = rung_jsonl_next(&row, file, &e);
        if (got == RUNG_DONE) break;
        w.line = rung_jsonl_line(file);
        if (got == RUNG_E_FORMAT || got == RUNG_E_LIMIT) {
            w.report.n_rows++;
            reject(&w, e.what);
        } else if (got == RUNG_OK) {
            w.report.n_rows++;
            st = one_row(&w, row, err);
        } else {
            if (err) *err = e;
            st = got;
        }
    }
    if (st == RUNG_OK)
        st = rung_store_commit(s, err);
    else
        rung_store_rollback(s);
    rung_jsonl_close(file);
    rung_free(w.by_name);
    if (out) *out = w.report;
    return st;
}
