/* Records of a file into the store: problems, their solutions as traces, their labels. Reading and
 * rejecting rows is the formats' (rung/format.h). A repeat changes nothing. */
#include "base/keymap.h"
#include "problem/import_db.h"
#include "rung/format.h"
#include "rung/problem.h"
#include "rung/verify.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COMMIT_EVERY = 1000, TEXT_MAX = 8 << 20 };

typedef struct importing {
    rung_store *s;
    const rung_format *format;
    const char *set, *split, *path;
    const rung_import_opts *o;
    rung_import_report *report;
    rung_arena *arena, *old_arena;
    rung_buf text;
    rung_run run, label_run; /* begun with the first trace, the first label */
    keymap count;            /* rows of this file by hash of the key */
    int64_t n_taken;
} importing;

/* The row's solution, or one branch of it: steps in order. */
typedef struct solution {
    const rung_rated *r;
    rung_step *step;
    const rung_rated_step **rated;
    int32_t n, first_error;
    const char *first_error_source;
} solution;

static rung_status out_of_memory(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "out of memory");
}

/* ---- how often a key was seen ---- */

/* How many rows of this key came before; -1 out of memory. */
static int32_t count_key(importing *im, const char *key) {
    int64_t *n = keymap_at(&im->count, rung_hash64(key, strlen(key), 1));
    return n ? (int32_t)(*n)++ : -1;
}

/* ---- solutions ---- */

/* Text and contiguous spans of the path to leaf. The separator is put behind every step but the
 * last that has no newline of its own. */
static rung_status join_steps(solution *z, importing *im, int32_t leaf, rung_error *err) {
    const char *separator = z->r->separator ? z->r->separator : "\n\n";
    z->n = 0;
    for (int32_t at = leaf; at >= 0; at = z->r->step[at].parent) z->n++;
    z->step = rung_arena_alloc(im->arena, (size_t)z->n * sizeof *z->step);
    z->rated = rung_arena_alloc(im->arena, (size_t)z->n * sizeof *z->rated);
    if (!z->step || !z->rated) return out_of_memory(err);
    int32_t k = z->n;
    for (int32_t at = leaf; at >= 0; at = z->r->step[at].parent) z->rated[--k] = &z->r->step[at];
    rung_buf_reset(&im->text);
    for (k = 0; k < z->n; k++) {
        const char *s = z->rated[k]->text;
        if (!s) return rung_fail(err, RUNG_E_FORMAT, "step %d has no text", k);
        size_t len = strlen(s);
        z->step[k].byte_begin = (int32_t)im->text.n;
        rung_buf_append(&im->text, s, len);
        if (k + 1 < z->n && s[len - 1] != '\n') rung_buf_str(&im->text, separator);
        z->step[k].byte_end = (int32_t)im->text.n;
    }
    return rung_buf_check(&im->text, err);
}

/* A world's checker knows every step of its own problems. */
static rung_status exact_first_error(solution *z, importing *im, const rung_problem *p,
                                     rung_error *err) {
    const rung_world *w = rung_world_find(p->world);
    if (!w || z->first_error != RUNG_FIRST_ERROR_UNKNOWN) return RUNG_OK;
    const char **text = rung_arena_alloc(im->arena, (size_t)z->n * sizeof *text);
    int32_t *n_bytes = rung_arena_alloc(im->arena, (size_t)z->n * sizeof *n_bytes);
    if (!text || !n_bytes) return out_of_memory(err);
    for (int32_t k = 0; k < z->n; k++) {
        text[k] = im->text.data + z->step[k].byte_begin;
        n_bytes[k] = z->step[k].byte_end - z->step[k].byte_begin;
    }
    z->first_error_source = "truth";
    return w->first_error(&z->first_error, p->meta, text, n_bytes, z->n, err);
}

static rung_status begin_run(rung_run *run, importing *im, const char *kind, const char *name,
                             rung_error *err) {
    if (run->id) return RUNG_OK;
    const char *base = strrchr(im->path, '/');
    base = base ? base + 1 : im->path;
    rung_buf config;
    rung_buf_init(&config, 1 << 16);
    rung_buf_printf(&config, "{\"importer\":\"%s\",\"set\":", rung_format_name(im->format));
    rung_buf_json_str(&config, im->set, strlen(im->set));
    rung_buf_str(&config, ",\"file\":");
    rung_buf_json_str(&config, base, strlen(base));
    rung_buf_str(&config, "}");
    rung_status st = rung_buf_check(&config, err);
    *run = (rung_run){.kind = kind, .config = config.data, .name = name};
    if (st == RUNG_OK) st = rung_run_begin(im->s, run, err);
    run->config = NULL;
    rung_buf_clear(&config);
    return st;
}

/* Is the stored trace i of this problem the same one? Then step gets its nodes. */
static rung_status same_trace(bool *same, importing *im, const rung_trace *t, rung_step *step,
                              rung_error *err) {
    rung_filter f = {.run = t->run, .problem = t->problem};
    rung_iter *it = NULL;
    const rung_trace *old;
    rung_status st = rung_trace_iter(&it, im->s, &f, err);
    *same = false;
    while (st == RUNG_OK && (st = rung_trace_next(&old, it, err)) == RUNG_OK) {
        if (old->i != t->i) continue;
        *same = old->n_bytes == t->n_bytes && old->n_steps == t->n_steps &&
                memcmp(old->text, t->text, (size_t)t->n_bytes) == 0 &&
                old->first_error == t->first_error &&
                (strcmp(t->verifier, old->verifier) != 0 || old->verdict == t->verdict);
        for (int32_t k = 0; *same && k < t->n_steps; k++) step[k].node = old->step[k].node;
    }
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

static const char *label_source(const importing *im, const rung_rated *r) {
    if (r->source && *r->source) return r->source;
    const char *own = rung_format_source(im->format);
    return *own ? own : "given";
}

static void judge(rung_trace *t, const importing *im, const solution *z, const rung_problem *p,
                  rung_answer *answer, char key[128]) {
    const rung_verifier *v = rung_verifier_find(p->verifier);
    if (!v) v = rung_verifier_find("math");
    v->extract(answer, t->text, (size_t)t->n_bytes);
    rung_verifier_key(key, v, p->meta, answer->text);
    t->answer = answer->text;
    t->answer_key = key;
    t->rule = answer->rule;
    t->reason = "";
    if (z->r->outcome_given) {
        bool own = strcmp(rung_format_name(im->format), "jsonl") == 0;
        t->verdict = z->r->outcome;
        t->verifier = own ? "given" : label_source(im, z->r);
        return;
    }
    rung_check c;
    rung_verifier_check(&c, v, p->meta, p->answer, answer->text);
    t->verdict = c.verdict;
    t->verifier = v->version;
    t->decided_by = c.rule ? c.rule : "";
    t->reason = c.reason;
}

static rung_status put_trace(importing *im, solution *z, const rung_problem *p, int32_t i,
                             rung_error *err) {
    rung_answer answer;
    char key[128];
    RUNG_TRY(begin_run(&im->run, im, "trace.import", im->o->labels ? NULL : im->o->name, err));
    rung_trace t = {.run = im->run.id,
                    .problem = p->id,
                    .i = i,
                    .generator = z->r->generator ? z->r->generator : "",
                    .text = im->text.data,
                    .n_bytes = (int32_t)im->text.n,
                    .n_steps = z->n,
                    .stop = "given",
                    .first_error = z->first_error,
                    .first_error_source =
                        z->first_error == RUNG_FIRST_ERROR_UNKNOWN ? "" : z->first_error_source};
    judge(&t, im, z, p, &answer, key);
    bool is_new = false, same = true;
    RUNG_TRY(rung_trace_put(im->s, &t, z->step, &is_new, err));
    im->report->n_traces += is_new;
    if (!is_new) RUNG_TRY(same_trace(&same, im, &t, z->step, err));
    if (same) return RUNG_OK;
    return rung_fail(err, RUNG_E_FORMAT,
                     "another trace is already stored under this problem and number");
}

/* ---- labels ---- */

/* A third mark has no column: it is the value .5 of no outcomes (docs/formats-labels.md). */
static rung_status put_labels(importing *im, const solution *z, rung_error *err) {
    for (int32_t k = 0; k < z->n; k++) {
        const rung_rated_step *r = z->rated[k];
        if (r->mark == RUNG_MARK_NONE && !isfinite(r->soft)) continue;
        RUNG_TRY(begin_run(&im->label_run, im, "label.import", im->o->name, err));
        rung_label l = {.run = im->label_run.id,
                        .node = z->step[k].node,
                        .source = label_source(im, z->r),
                        .labeler = z->r->labeler ? z->r->labeler : "",
                        .hard = r->mark == RUNG_MARK_RIGHT   ? 1
                                : r->mark == RUNG_MARK_WRONG ? 0
                                                             : -1,
                        .soft = r->soft};
        if (r->mark == RUNG_MARK_NEUTRAL) l.soft = .5;
        bool is_new = false;
        RUNG_TRY(rung_label_put(im->s, &l, &is_new, err));
        im->report->n_labels += is_new;
    }
    return RUNG_OK;
}

/* Labels for steps that the store has: a format without texts names problem and solution,
 * "KEY" or "KEY#I". */
static rung_status label_stored(importing *im, const rung_rated *r, rung_error *err) {
    int64_t problem = 0, trace = 0;
    int32_t i = 0;
    const char *hash = strrchr(r->id, '#');
    size_t n_key = hash ? (size_t)(hash - r->id) : strlen(r->id);
    if (hash) i = (int32_t)strtol(hash + 1, NULL, 10);
    char *key = rung_arena_strndup(im->arena, r->id, n_key);
    if (!key) return out_of_memory(err);
    RUNG_TRY(rung_problem_by_key(&problem, im->s, im->set, key, err));
    rung_filter f = {.problem = problem};
    rung_iter *it = NULL;
    const rung_trace *t;
    solution z = {.r = r, .n = r->n_steps};
    z.step = rung_arena_alloc(im->arena, (size_t)z.n * sizeof *z.step);
    z.rated = rung_arena_alloc(im->arena, (size_t)z.n * sizeof *z.rated);
    if (!z.step || !z.rated) return out_of_memory(err);
    rung_status st = problem ? rung_trace_iter(&it, im->s, &f, err) : RUNG_DONE;
    while (st == RUNG_OK && (st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if (t->i != i || t->n_steps != z.n) continue;
        for (int32_t k = 0; k < z.n; k++) {
            z.step[k].node = t->step[k].node;
            z.rated[k] = &r->step[k];
        }
        trace = t->id;
        break;
    }
    rung_iter_free(it);
    if (st != RUNG_OK && st != RUNG_DONE) return st;
    if (trace) return put_labels(im, &z, err);
    return rung_fail(err, RUNG_E_FORMAT, "set %s has no solution %d of %d steps under this id",
                     im->set, i, z.n);
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

static const char *given(const char *s, const char *dflt) {
    return s && *s ? s : dflt;
}

static rung_status fill_problem(rung_problem *p, importing *im, const rung_rated *r,
                                rung_error *err) {
    char hash[33];
    if (!r->question || !*r->question) return rung_fail(err, RUNG_E_FORMAT, "there is no question");
    bool own_split = (rung_format_can_carry(im->format) & RUNG_CAN_KEYS) && r->split;
    *p = (rung_problem){.set = given(r->set, im->set),
                        .split = own_split ? given(r->split, im->split) : im->split,
                        .key = r->id,
                        .question = r->question,
                        .answer = given(r->answer, ""),
                        .solution = given(r->solution, ""),
                        .world = given(r->world, ""),
                        .meta = given(r->meta, "{}"),
                        .verifier = given(r->verifier, "math")};
    if (!rung_verifier_find(p->verifier))
        return rung_fail(err, RUNG_E_FORMAT, "no verifier \"%.60s\"", p->verifier);
    if (*p->world && !rung_world_find(p->world))
        return rung_fail(err, RUNG_E_FORMAT, "no world \"%.60s\"", p->world);
    RUNG_TRY(import_db(p, im->path, im->arena, err));
    if (p->key) return RUNG_OK;
    rung_hash_hex(hash, p->question, strlen(p->question));
    p->key = rung_arena_strndup(im->arena, hash, 16);
    return p->key ? RUNG_OK : out_of_memory(err);
}

static rung_status put_problem(importing *im, rung_problem *p, rung_error *err) {
    bool is_new = false;
    RUNG_TRY(rung_problem_put(im->s, p, &is_new, err));
    if (is_new) {
        im->report->n_new++;
        return RUNG_OK;
    }
    rung_problem old;
    rung_arena_reset(im->old_arena);
    RUNG_TRY(rung_problem_get(im->s, &old, im->old_arena, p->id, err));
    const char *why = conflict(&old, p);
    if (why) return rung_fail(err, RUNG_E_FORMAT, "%s", why);
    im->report->n_same++;
    return RUNG_OK;
}

/* ---- rows ---- */

/* The solution that ends in leaf; only the row's own one has its first error and outcome. */
static rung_status put_solution(importing *im, const rung_rated *r, rung_problem *p, int32_t leaf,
                                bool put_p, int32_t i, rung_error *err) {
    rung_rated branch = *r;
    solution z = {.r = &branch, .first_error = RUNG_FIRST_ERROR_UNKNOWN, .first_error_source = ""};
    const char *source = label_source(im, r);
    if (leaf != r->last) branch.outcome_given = false;
    if (leaf == r->last && (strcmp(source, "human") == 0 || strcmp(source, "truth") == 0)) {
        z.first_error = r->first_error;
        z.first_error_source = source;
    }
    RUNG_TRY(join_steps(&z, im, leaf, err));
    RUNG_TRY(exact_first_error(&z, im, p, err));
    if (put_p) RUNG_TRY(put_problem(im, p, err));
    RUNG_TRY(put_trace(im, &z, p, i, err));
    return im->o->labels ? put_labels(im, &z, err) : RUNG_OK;
}

static rung_status put_row(importing *im, const rung_rated *r, rung_error *err) {
    rung_problem p;
    if (rung_format_can_carry(im->format) & RUNG_CAN_NO_TEXT && r->n_steps && !r->step[0].text) {
        if (im->o->labels && r->id) return label_stored(im, r, err);
        return rung_fail(err, RUNG_E_FORMAT, "the row has labels by number only");
    }
    RUNG_TRY(fill_problem(&p, im, r, err));
    int32_t i = count_key(im, p.key);
    if (i < 0) return out_of_memory(err);
    if (r->i >= 0) i = r->i;
    if (r->n_steps == 0) return put_problem(im, &p, err);
    RUNG_TRY(put_solution(im, r, &p, r->last, true, i, err));
    for (int32_t k = 0; im->o->labels && k < r->n_steps; k++) {
        if (k == r->last || !rung_rated_is_leaf(r, k)) continue;
        if ((i = count_key(im, p.key)) < 0) return out_of_memory(err);
        RUNG_TRY(put_solution(im, r, &p, k, false, i, err));
    }
    return RUNG_OK;
}

/* Commits what is there now and then, so that a stop keeps it. */
static rung_status take(void *ud, const rung_rated *r, int64_t line, rung_error *err) {
    importing *im = ud;
    (void)line;
    rung_arena_reset(im->arena);
    RUNG_TRY(put_row(im, r, err));
    if (++im->n_taken % COMMIT_EVERY) return RUNG_OK;
    RUNG_TRY(rung_store_commit(im->s, err));
    return rung_store_begin(im->s, err);
}

static const char *guess_split(const char *path) {
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    if (strstr(base, "train")) return "train";
    if (strstr(base, "val") || strstr(base, "dev")) return "val";
    return "test";
}

static rung_status read_all(importing *im, const rung_log *log, rung_error *err) {
    rung_format_report rows = {0};
    rung_format_opts o = im->o->format ? *im->o->format : (rung_format_opts)RUNG_FORMAT_OPTS_INIT;
    o.limit = im->o->limit;
    o.skip = im->o->skip;
    rung_status st = rung_format_read(&rows, im->format, im->path, &o, log, take, im, err);
    im->report->n_rows = rows.n_in;
    im->report->n_rejected = rows.n_rejected;
    im->report->n_left_out = rows.n_left_out;
    rung_format_report_clear(&rows);
    im->report->run = im->run.id;
    im->report->label_run = im->label_run.id;
    if (st == RUNG_OK && im->run.id) st = rung_run_finish(im->s, im->run.id, err);
    if (st == RUNG_OK && im->label_run.id) st = rung_run_finish(im->s, im->label_run.id, err);
    return st;
}

rung_status rung_import(rung_import_report *out, rung_store *s, const rung_format *format,
                        const char *path, const rung_import_opts *o, const rung_log *log,
                        rung_error *err) {
    static const rung_import_opts dflt = RUNG_IMPORT_OPTS_INIT;
    rung_import_report ignored;
    if (!out) out = &ignored;
    memset(out, 0, sizeof *out);
    if (!o) o = &dflt;
    if (o->struct_size > sizeof *o || o->skip < 0 || o->limit < 0)
        return rung_fail(err, RUNG_E_INVAL, "import: bad options");
    importing im = {.s = s,
                    .format = format,
                    .set = given(o->set, rung_format_name(format)),
                    .split = given(o->split, guess_split(path)),
                    .path = path,
                    .o = o,
                    .report = out};
    rung_status st;
    im.arena = rung_arena_new(0);
    im.old_arena = rung_arena_new(0);
    rung_buf_init(&im.text, TEXT_MAX);
    if (!im.arena || !im.old_arena) RUNG_GOTO(out_of_memory(err));
    RUNG_GOTO(rung_store_begin(s, err));
    st = read_all(&im, log, err);
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
    rung_arena_free(im.arena);
    rung_arena_free(im.old_arena);
    rung_buf_clear(&im.text);
    keymap_clear(&im.count);
    return st;
}
