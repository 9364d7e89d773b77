/* The engine behind every importer: reads JSON lines or one JSON array, names every row it rejects,
 * stores the rest. A repeat changes nothing. */
#include "problem/import.h"
#include <stdio.h>
#include <string.h>

enum { COMMIT_EVERY = 1000 };

typedef struct key_count {
    uint64_t hash;
    int32_t n;
} key_count;

typedef struct importing {
    rung_store *s;
    const char *importer, *set, *split, *path;
    import_row_fn row;
    const rung_import_opts *o;
    const rung_log *log;
    rung_import_report *report;
    rung_arena *row_arena, *old_arena;
    rung_buf text;
    rung_run run;     /* begun with the first trace */
    key_count *count; /* open-addressed: rows of this file by key */
    size_t n_count, cap_count;
    int64_t line; /* 1-based: line, or element of the array */
    bool is_array;
} importing;

static rung_status reject(importing *im, const char *reason) {
    im->report->n_rejected++;
    int stop =
        rung_event(im->log, RUNG_WARN, "import.reject", RUNG_S("file", im->path),
                   RUNG_I(im->is_array ? "element" : "line", im->line), RUNG_S("reason", reason));
    (void)stop; /* only progress events ask to stop */
    return RUNG_OK;
}

/* ---- how often a key was seen ---- */

static bool count_grow(importing *im) {
    size_t cap = im->cap_count ? im->cap_count * 2 : 1024;
    key_count *fresh = rung_calloc(cap, sizeof *fresh);
    if (!fresh) return false;
    for (size_t i = 0; i < im->cap_count; i++) {
        if (im->count[i].n == 0) continue;
        size_t k = im->count[i].hash & (cap - 1);
        while (fresh[k].n) k = (k + 1) & (cap - 1);
        fresh[k] = im->count[i];
    }
    rung_free(im->count);
    im->count = fresh;
    im->cap_count = cap;
    return true;
}

/* How many rows of this key came before; -1 out of memory. */
static int32_t count_key(importing *im, const char *key) {
    if (im->n_count * 2 >= im->cap_count && !count_grow(im)) return -1;
    uint64_t h = rung_hash64(key, strlen(key), 1);
    size_t k = h & (im->cap_count - 1);
    while (im->count[k].n && im->count[k].hash != h) k = (k + 1) & (im->cap_count - 1);
    if (im->count[k].n == 0) im->n_count++;
    im->count[k].hash = h;
    return im->count[k].n++;
}

/* ---- traces ---- */

/* Text and contiguous spans of the steps; E_FORMAT names the step that cannot be one. */
static rung_status join_steps(rung_step **out, importing *im, const import_row *row,
                              rung_error *err) {
    size_t n = yyjson_arr_size(row->steps), k, max;
    yyjson_val *v;
    if (n == 0) return rung_fail(err, RUNG_E_FORMAT, "\"steps\" is empty");
    if (n > IMPORT_STEPS_MAX)
        return rung_fail(err, RUNG_E_FORMAT, "\"steps\" holds %zu steps, more than %d", n,
                         IMPORT_STEPS_MAX);
    rung_step *step = rung_arena_alloc(im->row_arena, n * sizeof *step);
    if (!step) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_buf_reset(&im->text);
    yyjson_arr_foreach(row->steps, k, max, v) {
        const char *s = yyjson_get_str(v);
        size_t len = yyjson_get_len(v);
        if (!s) return rung_fail(err, RUNG_E_FORMAT, "step %zu is not a string", k);
        if (len == 0) return rung_fail(err, RUNG_E_FORMAT, "step %zu is empty", k);
        if (memchr(s, '\0', len)) return rung_fail(err, RUNG_E_FORMAT, "step %zu holds a NUL", k);
        step[k].byte_begin = (int32_t)im->text.n;
        rung_buf_append(&im->text, s, len);
        if (k + 1 < n && s[len - 1] != '\n') rung_buf_str(&im->text, row->separator);
        step[k].byte_end = (int32_t)im->text.n;
    }
    RUNG_TRY(rung_buf_check(&im->text, err));
    if (row->first_error >= (int32_t)n)
        return rung_fail(err, RUNG_E_FORMAT, "first error %d, but there are %zu steps",
                         row->first_error, n);
    *out = step;
    return RUNG_OK;
}

/* A world's checker knows every step of its own problems. */
static rung_status exact_first_error(importing *im, import_row *row, const rung_step *step,
                                     rung_error *err) {
    const rung_world *w = rung_world_find(row->p.world);
    if (!w || row->first_error != RUNG_FIRST_ERROR_UNKNOWN) return RUNG_OK;
    size_t n = yyjson_arr_size(row->steps);
    const char **text = rung_arena_alloc(im->row_arena, n * sizeof *text);
    int32_t *n_bytes = rung_arena_alloc(im->row_arena, n * sizeof *n_bytes);
    if (!text || !n_bytes) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    for (size_t k = 0; k < n; k++) {
        text[k] = im->text.data + step[k].byte_begin;
        n_bytes[k] = step[k].byte_end - step[k].byte_begin;
    }
    row->first_error_source = "truth";
    return w->first_error(&row->first_error, row->p.meta, text, n_bytes, (int32_t)n, err);
}

static rung_status begin_run(importing *im, rung_error *err) {
    if (im->run.id) return RUNG_OK;
    const char *base = strrchr(im->path, '/');
    base = base ? base + 1 : im->path;
    rung_buf config;
    rung_buf_init(&config, 1 << 16);
    rung_buf_printf(&config, "{\"importer\":\"%s\",\"set\":", im->importer);
    rung_buf_json_str(&config, im->set, strlen(im->set));
    rung_buf_str(&config, ",\"file\":");
    rung_buf_json_str(&config, base, strlen(base));
    rung_buf_str(&config, "}");
    rung_status st = rung_buf_check(&config, err);
    im->run = (rung_run){.kind = "trace.import", .config = config.data};
    if (st == RUNG_OK) st = rung_run_begin(im->s, &im->run, err);
    im->run.config = NULL;
    rung_buf_clear(&config);
    return st;
}

/* Is the stored trace i of this problem the same one? */
static rung_status same_trace(bool *same, importing *im, const rung_trace *t, rung_error *err) {
    rung_filter f = {.run = t->run, .problem = t->problem};
    rung_iter *it = NULL;
    const rung_trace *old;
    rung_status st = rung_trace_iter(&it, im->s, &f, err);
    *same = false;
    while (st == RUNG_OK && (st = rung_trace_next(&old, it, err)) == RUNG_OK)
        if (old->i == t->i)
            *same = old->n_bytes == t->n_bytes && old->n_steps == t->n_steps &&
                    memcmp(old->text, t->text, (size_t)t->n_bytes) == 0 &&
                    old->first_error == t->first_error &&
                    (strcmp(t->verifier, old->verifier) != 0 || old->verdict == t->verdict);
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

static void judge(rung_trace *t, const import_row *row, rung_answer *answer, char key[128]) {
    const rung_verifier *v = rung_verifier_find(row->p.verifier);
    if (!v) v = rung_verifier_find("math");
    v->extract(answer, t->text, (size_t)t->n_bytes);
    rung_verifier_key(key, v, row->p.meta, answer->text);
    t->answer = answer->text;
    t->answer_key = key;
    t->rule = answer->rule;
    t->reason = "";
    if (row->verdict_by) {
        t->verdict = row->verdict;
        t->verifier = row->verdict_by;
        return;
    }
    rung_check c;
    rung_verifier_check(&c, v, row->p.meta, row->p.answer ? row->p.answer : "", answer->text);
    t->verdict = c.verdict;
    t->verifier = v->name;
    t->reason = c.reason;
}

static rung_status put_trace(importing *im, const import_row *row, int32_t i, rung_step *step,
                             rung_error *err) {
    rung_answer answer;
    char key[128];
    RUNG_TRY(begin_run(im, err));
    rung_trace t = {.run = im->run.id,
                    .problem = row->p.id,
                    .i = row->i >= 0 ? row->i : i,
                    .generator = row->generator ? row->generator : "",
                    .text = im->text.data,
                    .n_bytes = (int32_t)im->text.n,
                    .n_steps = (int32_t)yyjson_arr_size(row->steps),
                    .stop = "given",
                    .first_error = row->first_error,
                    .first_error_source = row->first_error == RUNG_FIRST_ERROR_UNKNOWN
                                              ? ""
                                              : row->first_error_source};
    judge(&t, row, &answer, key);
    bool is_new = false, same = true;
    RUNG_TRY(rung_trace_put(im->s, &t, step, &is_new, err));
    im->report->n_traces += is_new;
    if (!is_new) RUNG_TRY(same_trace(&same, im, &t, err));
    if (!same) return reject(im, "another trace is already stored under this problem and number");
    return RUNG_OK;
}

/* ---- problems ---- */

static bool equal(const char *a, const char *b) {
    return strcmp(a ? a : "", b ? b : "") == 0;
}

/* NULL, or what differs between the stored problem and this one. */
static const char *conflict(const rung_problem *old, const rung_problem *p) {
    if (!equal(old->question, p->question)) return "duplicate key with another question";
    if (!equal(old->answer, p->answer)) return "duplicate key with another answer";
    if (!equal(old->solution, p->solution)) return "duplicate key with another solution";
    if (!equal(old->world, p->world)) return "duplicate key with another world";
    if (!equal(old->verifier, p->verifier)) return "duplicate key with another verifier";
    if (!equal(old->split, p->split)) return "the problem is already in another split";
    return NULL;
}

static rung_status fill_problem(importing *im, rung_problem *p, rung_error *err) {
    char hash[33];
    if (!p->set) p->set = im->set;
    if (!p->split) p->split = im->split;
    if (!p->answer) p->answer = "";
    if (!p->solution) p->solution = "";
    if (!p->world) p->world = "";
    if (!p->meta) p->meta = "{}";
    if (!p->verifier) p->verifier = "math";
    if (p->key) return RUNG_OK;
    rung_hash_hex(hash, p->question, strlen(p->question));
    p->key = rung_arena_strndup(im->row_arena, hash, 16);
    return p->key ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "out of memory");
}

static rung_status put_row(importing *im, import_row *row, rung_error *err) {
    rung_step *step = NULL;
    rung_status st = RUNG_OK;
    RUNG_TRY(fill_problem(im, &row->p, err));
    int32_t i = count_key(im, row->p.key);
    if (i < 0) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    if (row->steps) st = join_steps(&step, im, row, err);
    if (row->steps && st == RUNG_OK) st = exact_first_error(im, row, step, err);
    if (st == RUNG_E_FORMAT || st == RUNG_E_LIMIT) return reject(im, err->what);
    if (st != RUNG_OK) return st;
    bool is_new = false;
    RUNG_TRY(rung_problem_put(im->s, &row->p, &is_new, err));
    if (is_new) {
        im->report->n_new++;
    } else {
        rung_problem old;
        rung_arena_reset(im->old_arena);
        RUNG_TRY(rung_problem_get(im->s, &old, im->old_arena, row->p.id, err));
        const char *why = conflict(&old, &row->p);
        if (why) return reject(im, why);
        im->report->n_same++;
    }
    return row->steps ? put_trace(im, row, i, step, err) : RUNG_OK;
}

/* ---- rows ---- */

/* A NUL inside a string would cut it short without a word. */
static const char *nul_inside(yyjson_val *root) {
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&it))) {
        yyjson_val *v = yyjson_obj_iter_get_val(key);
        if (yyjson_is_str(v) && memchr(yyjson_get_str(v), '\0', yyjson_get_len(v)))
            return yyjson_get_str(key);
    }
    return NULL;
}

static rung_status take_row(importing *im, yyjson_val *root, rung_error *err) {
    import_row row = {.separator = "\n\n",
                      .first_error = RUNG_FIRST_ERROR_UNKNOWN,
                      .first_error_source = "",
                      .i = -1};
    char reason[200];
    if (!yyjson_is_obj(root)) return reject(im, "not a JSON object");
    const char *key = nul_inside(root);
    if (key) {
        snprintf(reason, sizeof reason, "key \"%.80s\" holds a NUL byte", key);
        return reject(im, reason);
    }
    rung_arena_reset(im->row_arena);
    rung_status st = im->row(&row, root, im->row_arena, err);
    if (st == RUNG_E_FORMAT) return reject(im, err->what);
    if (st != RUNG_OK) return st;
    return put_row(im, &row, err);
}

/* Commits what is there now and then, so that a stop keeps it. */
static rung_status after_row(importing *im, int64_t n_done, rung_error *err) {
    if (n_done % COMMIT_EVERY == 0) {
        RUNG_TRY(rung_store_commit(im->s, err));
        RUNG_TRY(rung_store_begin(im->s, err));
    }
    return rung_progress(im->log, "rows", n_done, im->o->limit, 0, err);
}

static bool wanted(const importing *im) {
    int64_t n = im->report->n_rows;
    return n > im->o->skip && (im->o->limit <= 0 || n <= im->o->skip + im->o->limit);
}

static rung_status read_lines(importing *im, rung_error *err) {
    rung_jsonl *r = NULL;
    yyjson_val *root;
    RUNG_TRY(rung_jsonl_open(&r, im->path, IMPORT_LINE_MAX, err));
    rung_status st;
    while ((st = rung_jsonl_next(&root, r, err)) != RUNG_DONE) {
        if (st != RUNG_OK && st != RUNG_E_FORMAT && st != RUNG_E_LIMIT) break;
        im->line = rung_jsonl_line(r);
        im->report->n_rows++;
        if (!wanted(im)) {
            st = RUNG_OK;
            if (im->report->n_rows > im->o->skip) { /* past the limit */
                im->report->n_rows--;
                st = RUNG_DONE;
                break;
            }
            continue;
        }
        st = st == RUNG_OK ? take_row(im, root, err) : reject(im, err->what);
        if (st == RUNG_OK) st = after_row(im, im->report->n_rows - im->o->skip, err);
        if (st != RUNG_OK) break;
    }
    rung_jsonl_close(r);
    return st == RUNG_DONE ? RUNG_OK : st;
}

static rung_status read_array(importing *im, rung_error *err) {
    yyjson_doc *doc = NULL;
    yyjson_val *root, *v;
    size_t k, n;
    RUNG_TRY(rung_json_load(&doc, im->path, err));
    rung_status st = RUNG_OK;
    root = yyjson_doc_get_root(doc);
    yyjson_arr_foreach(root, k, n, v) {
        if (im->o->limit > 0 && (int64_t)k >= im->o->skip + im->o->limit) break;
        im->line = (int64_t)k + 1;
        im->report->n_rows++;
        if (!wanted(im)) continue;
        st = take_row(im, v, err);
        if (st == RUNG_OK) st = after_row(im, im->report->n_rows - im->o->skip, err);
        if (st != RUNG_OK) break;
    }
    yyjson_doc_free(doc);
    return st;
}

/* Does the file open with a '['? Standard input is always read by lines. */
static rung_status starts_as_array(bool *out, const char *path, rung_error *err) {
    *out = false;
    if (strcmp(path, "-") == 0) return RUNG_OK;
    FILE *f = fopen(path, "rb");
    if (!f) return rung_fail_errno(err, "could not open \"%s\"", path);
    int c;
    do {
        c = fgetc(f);
    } while (c == ' ' || c == '\n' || c == '\r' || c == '\t');
    *out = c == '[';
    fclose(f);
    return RUNG_OK;
}

static const char *guess_split(const char *path) {
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    if (strstr(base, "train")) return "train";
    if (strstr(base, "val") || strstr(base, "dev")) return "val";
    return "test";
}

rung_status import_rows(rung_import_report *out, rung_store *s, const char *importer,
                        const char *set_default, import_row_fn row, const char *path,
                        const rung_import_opts *o, const rung_log *log, rung_error *err) {
    static const rung_import_opts dflt = RUNG_IMPORT_OPTS_INIT;
    rung_import_report ignored;
    rung_error own = RUNG_ERROR_INIT;
    if (!err) err = &own; /* reasons of rejected rows are read from it */
    if (!out) out = &ignored;
    memset(out, 0, sizeof *out);
    if (!o) o = &dflt;
    if (o->struct_size > sizeof *o || o->skip < 0 || o->limit < 0)
        return rung_fail(err, RUNG_E_INVAL, "import: bad options");
    importing im = {.s = s,
                    .importer = importer,
                    .set = o->set && *o->set ? o->set : set_default,
                    .split = o->split && *o->split ? o->split : guess_split(path),
                    .path = path,
                    .row = row,
                    .o = o,
                    .log = log,
                    .report = out};
    rung_status st = starts_as_array(&im.is_array, path, err);
    if (st != RUNG_OK) return st;
    im.row_arena = rung_arena_new(0);
    im.old_arena = rung_arena_new(0);
    rung_buf_init(&im.text, 2 * (size_t)IMPORT_LINE_MAX);
    if (!im.row_arena || !im.old_arena) {
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory");
        goto out;
    }
    RUNG_GOTO(rung_store_begin(s, err));
    st = im.is_array ? read_array(&im, err) : read_lines(&im, err);
    if (st == RUNG_OK && im.run.id) st = rung_run_finish(s, im.run.id, err);
    if (st == RUNG_OK || st == RUNG_E_CANCELLED) {
        rung_status st_commit = rung_store_commit(s, st == RUNG_OK ? err : NULL);
        if (st == RUNG_OK) st = st_commit;
    } else {
        rung_store_rollback(s);
    }
    if (st == RUNG_OK)
        rung_event(log, RUNG_INFO, "import.done", RUNG_S("file", path), RUNG_I("rows", out->n_rows),
                   RUNG_I("new", out->n_new), RUNG_I("same", out->n_same),
                   RUNG_I("rejected", out->n_rejected), RUNG_I("traces", out->n_traces));
out:
    rung_arena_free(im.row_arena);
    rung_arena_free(im.old_arena);
    rung_buf_clear(&im.text);
    rung_free(im.count);
    return st;
}
