/* Reads the rows of a file, whatever holds them; names every row it rejects. */
#include "base/keymap.h"
#include "format/row.h"
#include <stdio.h>
#include <string.h>

typedef struct reading {
    const rung_format *f;
    const char *path;
    const rung_format_opts *o;
    const rung_log *log;
    rung_format_report *report;
    rung_rated_fn take;
    void *ud;
    rung_arena *arena;
    keymap id;    /* hash -> the line that had it */
    int64_t line; /* from 1: line, or element */
} reading;

static rung_status reject(reading *z, const char *reason) {
    z->report->n_rejected++;
    tally_add(&z->report->rejected, reason, 1, z->line);
    int stop = rung_event(z->log, RUNG_WARN, "import.reject", RUNG_S("file", z->path),
                          RUNG_I(z->report->by_element ? "element" : "line", z->line),
                          RUNG_S("reason", reason));
    (void)stop; /* only progress events ask to stop */
    return RUNG_OK;
}

/* ---- ids */

/* 0: new; else the line that had it. -1: out of memory. */
static int64_t id_seen(reading *z, const char *id) {
    int64_t *line = keymap_at(&z->id, rung_hash64(id, strlen(id), 2));
    if (!line) return -1;
    int64_t before = *line;
    if (!before) *line = z->line;
    return before;
}

/* ---- one row */

/* A NUL inside a string would cut it short without a word. The values of a row lie one after the
 * other, so depth costs nothing. */
static bool holds_nul(yyjson_val *root) {
    yyjson_val *end = unsafe_yyjson_get_next(root);
    for (yyjson_val *v = root; v < end; v++)
        if (yyjson_is_str(v) && memchr(yyjson_get_str(v), '\0', yyjson_get_len(v))) return true;
    return false;
}

static rung_status take_row(reading *z, yyjson_val *root, const char *key, rung_error *err) {
    rung_rated r = RUNG_RATED_INIT;
    if (!yyjson_is_obj(root)) return reject(z, "not a JSON object");
    if (holds_nul(root)) return reject(z, "a string holds a NUL byte");
    rung_arena_reset(z->arena);
    rung_status st = z->f->read(&r, root, key, z->arena, z->o, err);
    if (st == RUNG_DONE) {
        z->report->n_left_out++;
        return RUNG_OK;
    }
    if (st == RUNG_OK && r.id && (z->f->can & RUNG_CAN_ID) && !(z->f->can & RUNG_CAN_REPEAT_ID)) {
        int64_t line = id_seen(z, r.id);
        if (line < 0) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
        if (line)
            st = rung_fail(err, RUNG_E_FORMAT, "duplicate id, first on line %lld", (long long)line);
    }
    if (st == RUNG_OK) st = z->take(z->ud, &r, z->line, err);
    return st == RUNG_E_FORMAT || st == RUNG_E_LIMIT ? reject(z, err->what) : st;
}

static bool wanted(const reading *z) {
    int64_t n = z->report->n_in;
    return n > z->o->skip && (z->o->limit <= 0 || n <= z->o->skip + z->o->limit);
}

static bool past_limit(const reading *z) {
    return z->o->limit > 0 && z->report->n_in >= z->o->skip + z->o->limit;
}

/* ---- what holds the rows */

static rung_status read_lines(reading *z, rung_error *err) {
    rung_jsonl *r = NULL;
    yyjson_val *root;
    rung_status st = RUNG_DONE;
    RUNG_TRY(rung_jsonl_open(&r, z->path, FORMAT_LINE_MAX, err));
    while (!past_limit(z) && (st = rung_jsonl_next(&root, r, err)) != RUNG_DONE) {
        if (st != RUNG_OK && st != RUNG_E_FORMAT && st != RUNG_E_LIMIT) break;
        z->line = rung_jsonl_line(r);
        z->report->n_in++;
        if (!wanted(z)) continue;
        st = st == RUNG_OK ? take_row(z, root, NULL, err) : reject(z, err->what);
        if (st == RUNG_OK)
            st = rung_progress(z->log, "rows", z->report->n_in - z->o->skip, z->o->limit, 0, err);
        if (st != RUNG_OK) break;
        st = RUNG_DONE;
    }
    rung_jsonl_close(r);
    return st == RUNG_DONE ? RUNG_OK : st;
}

static rung_status element(reading *z, yyjson_val *v, const char *key, rung_error *err) {
    z->line = ++z->report->n_in;
    if (!wanted(z)) return RUNG_OK;
    RUNG_TRY(take_row(z, v, key, err));
    return rung_progress(z->log, "rows", z->report->n_in - z->o->skip, z->o->limit, 0, err);
}

/* An object of rows is told from a single row by its members: every one an object or an array of
 * objects, whatever their names. */
static bool object_of_rows(yyjson_val *root) {
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&it))) {
        yyjson_val *v = yyjson_obj_iter_get_val(key);
        if (yyjson_is_arr(v)) v = yyjson_arr_get_first(v);
        if (!yyjson_is_obj(v)) return false;
    }
    return yyjson_obj_size(root) > 0;
}

static rung_status read_members(reading *z, yyjson_val *root, rung_error *err) {
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    yyjson_val *key, *v;
    size_t k, n;
    while ((key = yyjson_obj_iter_next(&it))) {
        yyjson_val *rows = yyjson_obj_iter_get_val(key);
        if (!yyjson_is_arr(rows)) {
            if (past_limit(z)) return RUNG_OK;
            RUNG_TRY(element(z, rows, yyjson_get_str(key), err));
            continue;
        }
        yyjson_arr_foreach(rows, k, n, v) {
            if (past_limit(z)) return RUNG_OK;
            RUNG_TRY(element(z, v, yyjson_get_str(key), err));
        }
    }
    return RUNG_OK;
}

static rung_status read_whole(reading *z, yyjson_val *root, rung_error *err) {
    yyjson_val *v;
    size_t k, n;
    if (yyjson_is_obj(root)) return read_members(z, root, err);
    yyjson_arr_foreach(root, k, n, v) {
        if (past_limit(z)) return RUNG_OK;
        RUNG_TRY(element(z, v, NULL, err));
    }
    return RUNG_OK;
}

/* How the file holds its rows: an array by its first byte; one object over several lines, or one
 * whose members are rows, by reading it whole. Standard input is always read by lines. */
static rung_status look(format_holds *out, const char *path, bool keyed, rung_error *err) {
    *out = HOLDS_LINES;
    if (strcmp(path, "-") == 0) return RUNG_OK;
    FILE *f = fopen(path, "rb");
    if (!f) return rung_fail_errno(err, "could not open \"%s\"", path);
    int c, first;
    do {
        c = fgetc(f);
    } while (c == ' ' || c == '\n' || c == '\r' || c == '\t');
    first = c;
    if (first == '[') *out = HOLDS_ARRAY;
    if (first == '{' && keyed) { /* {"id": {   or   {"id": [{   : an object of rows */
        bool in_string = false, escaped = false;
        for (c = fgetc(f); c != EOF && (in_string || c != ':'); c = fgetc(f)) {
            if (in_string && escaped)
                escaped = false;
            else if (in_string && c == '\\')
                escaped = true;
            else if (c == '"')
                in_string = !in_string;
        }
        do {
            c = fgetc(f);
        } while (c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '[');
        if (c == '{') *out = HOLDS_OBJECT;
    }
    fclose(f);
    return RUNG_OK;
}

rung_status rung_format_read(rung_format_report *out, const rung_format *f, const char *path,
                             const rung_format_opts *o, const rung_log *log, rung_rated_fn take,
                             void *ud, rung_error *err) {
    static const rung_format_opts dflt = RUNG_FORMAT_OPTS_INIT;
    rung_error own = RUNG_ERROR_INIT;
    format_holds holds;
    yyjson_doc *doc = NULL;
    if (!err) err = &own; /* reasons of rejected rows are read from it */
    if (!o) o = &dflt;
    if (o->struct_size > sizeof *o || o->skip < 0 || o->limit < 0)
        return rung_fail(err, RUNG_E_INVAL, "%s: bad options", f->name);
    reading z = {.f = f, .path = path, .o = o, .log = log, .report = out, .take = take, .ud = ud};
    RUNG_TRY(look(&holds, path, f->can & RUNG_CAN_MEMBERS, err));
    z.arena = rung_arena_new(0);
    if (!z.arena) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_status st = RUNG_OK;
    if (holds != HOLDS_LINES) {
        st = rung_json_load(&doc, path, err);
        /* {"question": {...}} a line each: lines after all */
        if (holds == HOLDS_OBJECT &&
            (st == RUNG_E_FORMAT || (st == RUNG_OK && !object_of_rows(yyjson_doc_get_root(doc)))))
            holds = HOLDS_LINES;
    }
    out->by_element = holds != HOLDS_LINES;
    if (holds == HOLDS_LINES)
        st = read_lines(&z, err);
    else if (st == RUNG_OK)
        st = read_whole(&z, yyjson_doc_get_root(doc), err);
    yyjson_doc_free(doc);
    rung_arena_free(z.arena);
    keymap_clear(&z.id);
    return st;
}
