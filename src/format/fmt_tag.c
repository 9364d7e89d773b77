/* Formats that put a tag behind every step of one text: Math-Shepherd, the placeholder form of
 * trainers, openr's. Tags are found by position, labels never by looking for signs (peers.md 2.1).
 * White space around the tags is kept beside the texts when it is not the usual one. */
#include "format/row.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct piece {
    const char *p;
    size_t n;
} piece;

typedef struct tagged {
    piece *step; /* texts without the space around them */
    piece *gap;  /* 2 n + 1: before step 0, behind it, before step 1, ..., behind the last tag */
    size_t n;
    piece question;
} tagged;

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* "Step 1:" that opens the solution: the last one before the first tag. */
static size_t find_first_step(const char *p, size_t n) {
    size_t at = n;
    for (size_t i = 0; i + 7 <= n; i++)
        if (memcmp(p + i, "Step 1:", 7) == 0) at = i;
    return at;
}

static rung_status split(tagged *t, const char *text, const char *tag, bool with_question,
                         bool must_find, rung_arena *a, rung_error *err) {
    size_t n_tag = strlen(tag);
    const char *p = text, *at;
    memset(t, 0, sizeof *t);
    for (const char *q = text; (q = strstr(q, tag)); q += n_tag) t->n++;
    if (t->n == 0) return rung_fail(err, RUNG_E_FORMAT, "there is no tag \"%.20s\"", tag);
    if (t->n > FORMAT_STEPS_MAX)
        return rung_fail(err, RUNG_E_FORMAT, "%zu steps, more than %d", t->n, FORMAT_STEPS_MAX);
    t->step = rung_arena_alloc(a, t->n * sizeof *t->step);
    t->gap = rung_arena_alloc(a, (2 * t->n + 1) * sizeof *t->gap);
    if (!t->step || !t->gap) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    for (size_t k = 0; k < t->n; k++, p = at + n_tag) {
        at = strstr(p, tag);
        const char *begin = p, *end = at;
        if (k == 0 && with_question) {
            size_t first = find_first_step(p, (size_t)(at - p));
            if (p + first == at && must_find)
                return rung_fail(err, RUNG_E_FORMAT, "there is no \"Step 1:\"");
            if (p + first < at) {
                begin = p + first;
                const char *q = begin;
                while (q > p && is_space(q[-1])) q--;
                t->question = (piece){p, (size_t)(q - p)};
                p = q;
            }
        }
        while (begin < end && is_space(*begin)) begin++;
        while (end > begin && is_space(end[-1])) end--;
        if (begin == end) return rung_fail(err, RUNG_E_FORMAT, "step %zu is empty", k);
        t->gap[2 * k] = (piece){p, (size_t)(begin - p)};
        t->step[k] = (piece){begin, (size_t)(end - begin)};
        t->gap[2 * k + 1] = (piece){end, (size_t)(at - end)};
    }
    t->gap[2 * t->n] = (piece){p, strlen(p)};
    for (const char *q = p; *q; q++)
        if (!is_space(*q))
            return rung_fail(err, RUNG_E_FORMAT, "there is text behind the last tag");
    return RUNG_OK;
}

static const char *usual_gap(const tagged *t, size_t i, const char *between) {
    if (i == 0) return t->question.n ? " " : "";
    if (i == 2 * t->n) return "";
    return i % 2 ? " " : between;
}

static rung_status take_steps(rung_rated *out, const tagged *t, rung_arena *a, rung_error *err) {
    out->step = steps_new(t->n, a, err);
    if (!out->step) return err->code;
    out->n_steps = (int32_t)t->n;
    out->last = out->n_steps - 1;
    for (size_t k = 0; k < t->n; k++)
        RUNG_TRY(arena_text(&out->step[k].text, a, t->step[k].p, t->step[k].n, err));
    if (t->question.n) RUNG_TRY(arena_text(&out->question, a, t->question.p, t->question.n, err));
    return RUNG_OK;
}

/* The row's other members, and the gaps when they are not the usual ones. */
static rung_status keep(rung_rated *out, const char *format, yyjson_val *root,
                        const char *const known[3], const tagged *t, const char *between,
                        rung_arena *a, rung_error *err) {
    bool usual = true;
    for (size_t i = 0; i <= 2 * t->n && usual; i++) {
        const char *u = usual_gap(t, i, between);
        usual = t->gap[i].n == strlen(u) && memcmp(t->gap[i].p, u, t->gap[i].n) == 0;
    }
    RUNG_TRY(keep_rest(out, format, root, known, 3, a, err));
    if (usual) return RUNG_OK;
    rung_buf b;
    rung_buf_init(&b, 2 * (size_t)FORMAT_LINE_MAX);
    obj_writer w = obj_open(&b);
    obj_extra(&w, out, format, NULL);
    obj_key(&w, "_gaps");
    rung_buf_str(&b, "[");
    for (size_t i = 0; i <= 2 * t->n; i++) {
        if (i) rung_buf_str(&b, ",");
        rung_buf_json_str(&b, t->gap[i].p, t->gap[i].n);
    }
    rung_buf_str(&b, "]");
    obj_close(&w);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) st = arena_text(&out->extra, a, b.data, b.n, err);
    out->extra_format = format;
    rung_buf_clear(&b);
    return st;
}

/* ---- writing: the text with `tag` (or the step's sign when signs) behind every step */

/* Where the tag comes first in the text with the tag behind it: not behind it when the text holds
 * it or runs into it (a newline before a tag of newlines). */
static bool closes(const char *text, const char *tag, bool *memory) {
    rung_buf b;
    rung_buf_init(&b, 2 * (size_t)FORMAT_LINE_MAX);
    rung_buf_str(&b, text);
    size_t n = b.n;
    rung_buf_str(&b, tag);
    *memory = !b.failed;
    bool does = !b.failed && strstr(b.data, tag) == b.data + n;
    rung_buf_clear(&b);
    return does;
}

static rung_status no_tag_inside(const rung_rated *r, const char *tag, rung_error *err) {
    bool memory = true;
    for (int32_t k = 0; k < r->n_steps; k++)
        if (!closes(r->step[k].text, tag, &memory) && memory)
            return rung_fail(err, RUNG_E_FORMAT, "step %d holds the tag \"%.20s\"", k, tag);
    if (r->question && strstr(r->question, tag))
        return rung_fail(err, RUNG_E_FORMAT, "the question holds the tag \"%.20s\"", tag);
    return memory ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "out of memory");
}

static bool numbered(const char *text, int32_t k) {
    char want[24];
    int n = snprintf(want, sizeof want, "Step %d:", k + 1);
    return strncmp(text, want, (size_t)n) == 0;
}

typedef struct text_form {
    const char *format, *tag, *between;
    bool number, signs, question;
} text_form;

static void put_text(rung_buf *to, const rung_rated *r, const text_form *f) {
    yyjson_doc *own = extra_of(r, f->format);
    yyjson_val *gaps = yyjson_obj_get(yyjson_doc_get_root(own), "_gaps");
    size_t n = (size_t)r->n_steps;
    if (yyjson_arr_size(gaps) != 2 * n + 1) gaps = NULL;
    bool has_question = f->question && r->question && *r->question;
    if (has_question) rung_buf_str(to, r->question);
    for (size_t i = 0; i <= 2 * n; i++) {
        const char *gap = yyjson_get_str(yyjson_arr_get(gaps, i));
        if (!gap)
            gap = i == 0 ? (has_question ? " " : "") : i == 2 * n ? "" : i % 2 ? " " : f->between;
        rung_buf_str(to, gap);
        if (i == 2 * n) break;
        const rung_rated_step *s = &r->step[i / 2];
        if (i % 2) {
            rung_buf_str(to, !f->signs ? f->tag : s->mark == RUNG_MARK_RIGHT ? "+" : "-");
        } else {
            if (f->number && !numbered(s->text, (int32_t)(i / 2)))
                rung_buf_printf(to, "Step %zu: ", i / 2 + 1);
            rung_buf_str(to, s->text);
        }
    }
    yyjson_doc_free(own);
}

static void obj_text(obj_writer *w, const char *key, const rung_rated *r, const text_form *f) {
    rung_buf text;
    rung_buf_init(&text, 4 * (size_t)FORMAT_LINE_MAX);
    put_text(&text, r, f);
    obj_key(w, key);
    rung_buf_json_str(w->b, text.data ? text.data : "", text.n);
    if (text.failed) w->b->failed = true;
    rung_buf_clear(&text);
}

/* ---- Math-Shepherd: {"input","label","task"}; label is input with a sign for each tag */

static const char *shepherd_tag(const rung_format_opts *o) {
    return o->tag ? o->tag : "\xD0\xBA\xD0\xB8"; /* ки */
}

static rung_status align(rung_rated *out, const char *input, const char *label, const char *tag,
                         rung_error *err) {
    size_t n_tag = strlen(tag);
    const char *p = input, *q = label, *at;
    for (int32_t k = 0; k < out->n_steps; k++, p = at + n_tag, q++) {
        at = strstr(p, tag);
        size_t n = (size_t)(at - p);
        if (strncmp(p, q, n) != 0)
            return rung_fail(err, RUNG_E_FORMAT,
                             "\"label\" leaves the text of \"input\" in step %d", k);
        q += n;
        if (*q != '+' && *q != '-')
            return rung_fail(err, RUNG_E_FORMAT, "\"label\" has no + or - at the tag of step %d",
                             k);
        out->step[k].mark = *q == '+' ? RUNG_MARK_RIGHT : RUNG_MARK_WRONG;
    }
    if (strcmp(p, q) == 0) return RUNG_OK;
    return rung_fail(err, RUNG_E_FORMAT,
                     "\"label\" leaves the text of \"input\" behind the last tag");
}

rung_status math_shepherd_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                               const rung_format_opts *o, rung_error *err) {
    static const char *const known[3] = {"input", "label", "label"};
    (void)key;
    const char *input, *label;
    tagged t;
    RUNG_TRY(field_text(&input, root, "input", err));
    RUNG_TRY(field_text(&label, root, "label", err));
    RUNG_TRY(split(&t, input, shepherd_tag(o), true, true, a, err));
    RUNG_TRY(take_steps(out, &t, a, err));
    if (!out->question) return rung_fail(err, RUNG_E_FORMAT, "there is nothing before \"Step 1:\"");
    RUNG_TRY(align(out, input, label, shepherd_tag(o), err));
    set_first_error(out);
    return keep(out, "math_shepherd", root, known, &t, "\n", a, err);
}

rung_status math_shepherd_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                                rung_error *err) {
    text_form f = {"math_shepherd", shepherd_tag(o), "\n", true, false, true};
    RUNG_TRY(no_tag_inside(r, f.tag, err));
    obj_writer w = obj_open(b);
    obj_text(&w, "input", r, &f);
    f.signs = true;
    obj_text(&w, "label", r, &f);
    obj_extra_but(&w, r, "math_shepherd", "_gaps");
    obj_close(&w);
    return RUNG_OK;
}

/* ---- labels of the other two: "+", "-", or a value */

static rung_status take_labels(rung_rated *out, yyjson_val *labels, const char *key,
                               rung_error *err) {
    yyjson_val *v;
    size_t k, n;
    RUNG_TRY(same_count(yyjson_arr_size(labels), key, out, err));
    yyjson_arr_foreach(labels, k, n, v) {
        const char *s = yyjson_get_str(v);
        if (s && (strcmp(s, "+") == 0 || strcmp(s, "-") == 0))
            out->step[k].mark = *s == '+' ? RUNG_MARK_RIGHT : RUNG_MARK_WRONG;
        else
            RUNG_TRY(unit_value(&out->step[k].soft, v, "label", k, err));
    }
    set_first_error(out);
    return RUNG_OK;
}

static void put_labels(rung_buf *b, const rung_rated *r) {
    rung_buf_str(b, "[");
    for (int32_t k = 0; k < r->n_steps; k++) {
        if (k) rung_buf_str(b, ",");
        if (isfinite(r->step[k].soft))
            buf_real(b, r->step[k].soft);
        else
            rung_buf_str(b, r->step[k].mark == RUNG_MARK_RIGHT ? "\"+\"" : "\"-\"");
    }
    rung_buf_str(b, "]");
}

/* ---- placeholder tag: {"input","value"}; a count of labels unlike the count of tags is an error
 * here, where peers crash or cut */

rung_status tag_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                     const rung_format_opts *o, rung_error *err) {
    (void)key;
    const char *input_key = o->input_key ? o->input_key : "input", *input;
    const char *value_key = o->value_key ? o->value_key : "value";
    const char *const known[3] = {input_key, value_key, value_key};
    yyjson_val *labels;
    tagged t;
    RUNG_TRY(field_text(&input, root, input_key, err));
    RUNG_TRY(field_array(&labels, root, value_key, err));
    RUNG_TRY(split(&t, input, shepherd_tag(o), true, false, a, err));
    RUNG_TRY(take_steps(out, &t, a, err));
    RUNG_TRY(take_labels(out, labels, value_key, err));
    return keep(out, "tag", root, known, &t, " ", a, err);
}

rung_status tag_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                      rung_error *err) {
    text_form f = {"tag", shepherd_tag(o), " ", r->question && *r->question, false, true};
    RUNG_TRY(no_tag_inside(r, f.tag, err));
    obj_writer w = obj_open(b);
    obj_text(&w, o->input_key ? o->input_key : "input", r, &f);
    obj_key(&w, o->value_key ? o->value_key : "value");
    put_labels(b, r);
    obj_extra_but(&w, r, "tag", "_gaps");
    obj_close(&w);
    return RUNG_OK;
}

/* ---- openr: {"question","process","label"}, steps joined by five newlines */

static const char *openr_tag(const rung_format_opts *o) {
    return o->tag ? o->tag : "\n\n\n\n\n";
}

/* The tag stands behind every step; the last one may lack it. */
static rung_status openr_split(rung_rated *out, const char *process, const char *tag, rung_arena *a,
                               rung_error *err) {
    size_t n = 1, n_tag = strlen(tag), len = strlen(process);
    for (const char *q = process; (q = strstr(q, tag)); q += n_tag) n++;
    n -= len >= n_tag && strcmp(process + len - n_tag, tag) == 0;
    out->step = steps_new(n, a, err);
    if (!out->step) return err->code;
    out->n_steps = (int32_t)n;
    out->last = out->n_steps - 1;
    for (size_t k = 0; k < n; k++) {
        const char *at = strstr(process, tag);
        size_t n_text = at ? (size_t)(at - process) : strlen(process);
        if (n_text == 0) return rung_fail(err, RUNG_E_FORMAT, "step %zu is empty", k);
        RUNG_TRY(arena_text(&out->step[k].text, a, process, n_text, err));
        process += n_text + (at ? n_tag : 0);
    }
    return RUNG_OK;
}

rung_status openr_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                       const rung_format_opts *o, rung_error *err) {
    (void)key;
    const char *process;
    yyjson_val *labels;
    RUNG_TRY(field_text(&out->question, root, "question", err));
    RUNG_TRY(field_text(&process, root, "process", err));
    RUNG_TRY(field_array(&labels, root, "label", err));
    RUNG_TRY(openr_split(out, process, openr_tag(o), a, err));
    RUNG_TRY(take_labels(out, labels, "label", err));
    return KEEP_REST(out, "openr", root, a, err, "question", "process", "label");
}

rung_status openr_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                        rung_error *err) {
    const char *tag = openr_tag(o);
    rung_buf text;
    RUNG_TRY(no_tag_inside(r, tag, err));
    rung_buf_init(&text, 4 * (size_t)FORMAT_LINE_MAX);
    for (int32_t k = 0; k < r->n_steps; k++) {
        rung_buf_str(&text, r->step[k].text);
        rung_buf_str(&text, tag);
    }
    obj_writer w = obj_open(b);
    obj_str(&w, "question", r->question);
    obj_key(&w, "process");
    rung_buf_json_str(b, text.data ? text.data : "", text.n);
    if (text.failed) b->failed = true;
    obj_key(&w, "label");
    put_labels(b, r);
    obj_extra(&w, r, "openr", NULL);
    obj_close(&w);
    rung_buf_clear(&text);
    return RUNG_OK;
}
