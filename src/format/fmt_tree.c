/* OmegaPRM's releases: prefixes with their Monte-Carlo value, flat or as a tree (peers.md 2.1). */
#include "format/row.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The leaf that the row's own path leads to: always the likeliest child. */
static int32_t best_leaf(const rung_rated *r) {
    int32_t at = -1;
    for (;;) {
        int32_t best = -1;
        for (int32_t k = at + 1; k < r->n_steps; k++) {
            if (r->step[k].parent != at) continue;
            double x = isfinite(r->step[k].soft) ? r->step[k].soft : -1;
            double y = best >= 0 && isfinite(r->step[best].soft) ? r->step[best].soft : -2;
            if (x > y) best = k;
        }
        if (best < 0) return at;
        at = best;
    }
}

static rung_status value_of(double *out, yyjson_val *v, size_t k, rung_error *err) {
    *out = (double)NAN;
    if (!v || yyjson_is_null(v)) return RUNG_OK;
    return unit_value(out, v, "mc_value", k, err);
}

static rung_status head(rung_rated *out, yyjson_val *root, rung_arena *a, rung_error *err) {
    yyjson_val *id = yyjson_obj_get(root, "question_id");
    RUNG_TRY(field_text(&out->question, root, "question", err));
    RUNG_TRY(field_text_opt(&out->answer, root, "final_answer", err));
    if (!id || yyjson_is_null(id)) return RUNG_OK;
    if (yyjson_is_str(id)) return rung_json_str_req(&out->id, root, "question_id", err);
    char *json = yyjson_val_write_opts(id, 0, &rung_json_alc, NULL, NULL);
    rung_status st = json ? arena_text(&out->id, a, json, strlen(json), err)
                          : rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_free(json);
    return st;
}

static void put_head(obj_writer *w, const rung_rated *r, const char *format) {
    yyjson_doc *own = extra_of(r, format);
    obj_str(w, "question", r->question);
    obj_str_opt(w, "final_answer", r->answer);
    if (!yyjson_obj_get(yyjson_doc_get_root(own), "question_id"))
        obj_str_opt(w, "question_id", r->id);
    yyjson_doc_free(own);
}

/* ---- flat: {"question","final_answer","question_id","reasoning_steps":[{"solution_prefix",
 * "mc_value"}]}; a prefix that continues another of the row is its child */

typedef struct prefix {
    const char *p;
    size_t n;
    double value;
    int32_t at; /* in the file */
} prefix;

static int shorter_first(const void *x, const void *y) {
    const prefix *a = x, *b = y;
    if (a->n != b->n) return a->n < b->n ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}

static rung_status read_prefixes(prefix *p, yyjson_val *list, rung_error *err) {
    size_t k, n;
    yyjson_val *v;
    yyjson_arr_foreach(list, k, n, v) {
        p[k].at = (int32_t)k;
        p[k].p = yyjson_get_str(yyjson_obj_get(v, "solution_prefix"));
        if (!p[k].p || !*p[k].p)
            return rung_fail(err, RUNG_E_FORMAT, "reasoning step %zu has no \"solution_prefix\"",
                             k);
        p[k].n = strlen(p[k].p);
        RUNG_TRY(value_of(&p[k].value, yyjson_obj_get(v, "mc_value"), k, err));
    }
    return RUNG_OK;
}

static rung_status link_prefixes(rung_rated *out, const prefix *p, rung_arena *a, rung_error *err) {
    for (int32_t k = 0; k < out->n_steps; k++) {
        rung_rated_step *s = &out->step[k];
        s->parent = -1;
        for (int32_t j = k - 1; j >= 0 && s->parent < 0; j--) {
            if (p[j].n == p[k].n && memcmp(p[j].p, p[k].p, p[k].n) == 0)
                return rung_fail(err, RUNG_E_FORMAT,
                                 "two reasoning steps have one prefix: %d and %d", p[j].at,
                                 p[k].at);
            if (p[j].n < p[k].n && memcmp(p[j].p, p[k].p, p[j].n) == 0) s->parent = j;
        }
        size_t from = s->parent < 0 ? 0 : p[s->parent].n;
        while (from < p[k].n && strchr(" \n\r\t", p[k].p[from])) from++;
        if (from == p[k].n)
            return rung_fail(err, RUNG_E_FORMAT, "reasoning step %d adds white space only",
                             p[k].at);
        RUNG_TRY(arena_text(&s->text, a, p[k].p + from, p[k].n - from, err));
        s->soft = p[k].value;
    }
    return RUNG_OK;
}

/* Does writing it back give the same rows? Else the prefixes themselves stay with the row. */
static bool as_written(const rung_rated *r, const prefix *p, const char *separator) {
    size_t ns = strlen(separator);
    for (int32_t k = 0; k < r->n_steps; k++) {
        int32_t j = r->step[k].parent;
        size_t from = j < 0 ? 0 : p[j].n + ns, n = strlen(r->step[k].text);
        if (p[k].at != k || p[k].n != from + n) return false;
        if (j >= 0 && memcmp(p[k].p + p[j].n, separator, ns) != 0) return false;
    }
    return true;
}

static rung_status keep_prefixes(rung_rated *out, const prefix *p, rung_arena *a, rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, 4 * (size_t)FORMAT_LINE_MAX);
    obj_writer w = obj_open(&b);
    obj_extra(&w, out, "math_aps", NULL);
    obj_key(&w, "_prefixes"); /* [place in the file, text], step by step */
    rung_buf_str(&b, "[");
    for (int32_t k = 0; k < out->n_steps; k++) {
        rung_buf_printf(&b, "%s[%d,", k ? "," : "", p[k].at);
        rung_buf_json_str(&b, p[k].p, p[k].n);
        rung_buf_str(&b, "]");
    }
    rung_buf_str(&b, "]");
    obj_close(&w);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) st = arena_text(&out->extra, a, b.data, b.n, err);
    out->extra_format = "math_aps";
    rung_buf_clear(&b);
    return st;
}

rung_status math_aps_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                          const rung_format_opts *o, rung_error *err) {
    static const char *const separator[] = {"\n", "\n\n", " ", ""};
    (void)key;
    (void)o;
    yyjson_val *list;
    RUNG_TRY(head(out, root, a, err));
    RUNG_TRY(field_array(&list, root, "reasoning_steps", err));
    size_t n = yyjson_arr_size(list);
    out->step = steps_new(n, a, err);
    prefix *p = out->step ? rung_arena_alloc(a, n * sizeof *p) : NULL;
    if (!p) return err->code;
    out->n_steps = (int32_t)n;
    RUNG_TRY(read_prefixes(p, list, err));
    qsort(p, n, sizeof *p, shorter_first);
    RUNG_TRY(link_prefixes(out, p, a, err));
    out->last = best_leaf(out);
    if (yyjson_is_str(yyjson_obj_get(root, "question_id")))
        RUNG_TRY(KEEP_REST(out, "math_aps", root, a, err, "question", "final_answer",
                           "reasoning_steps", "question_id"));
    else
        RUNG_TRY(KEEP_REST(out, "math_aps", root, a, err, "question", "final_answer",
                           "reasoning_steps"));
    for (size_t i = 0; i < sizeof separator / sizeof *separator; i++) {
        if (!as_written(out, p, separator[i])) continue;
        out->separator = separator[i];
        return RUNG_OK;
    }
    return keep_prefixes(out, p, a, err);
}

static void put_prefix(rung_buf *to, const rung_rated *r, int32_t k, const char *separator) {
    int32_t path[FORMAT_STEPS_MAX], n = 0;
    for (int32_t at = k; at >= 0 && n < FORMAT_STEPS_MAX; at = r->step[at].parent) path[n++] = at;
    while (n > 0) {
        rung_buf_str(to, r->step[path[--n]].text);
        if (n) rung_buf_str(to, separator);
    }
}

rung_status math_aps_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                           rung_error *err) {
    (void)o;
    (void)err;
    yyjson_doc *own = extra_of(r, "math_aps");
    yyjson_val *kept = yyjson_obj_get(yyjson_doc_get_root(own), "_prefixes");
    if (yyjson_arr_size(kept) != (size_t)r->n_steps) kept = NULL;
    obj_writer w = obj_open(b);
    put_head(&w, r, "math_aps");
    obj_key(&w, "reasoning_steps");
    rung_buf_str(b, "[");
    for (int32_t i = 0; i < r->n_steps; i++) {
        int32_t k = i;
        const char *text = NULL;
        for (int32_t j = 0; kept && j < r->n_steps; j++) {
            yyjson_val *one = yyjson_arr_get(kept, (size_t)j);
            if (yyjson_get_int(yyjson_arr_get(one, 0)) != i) continue;
            k = j;
            text = yyjson_get_str(yyjson_arr_get(one, 1));
        }
        rung_buf whole;
        rung_buf_init(&whole, 2 * (size_t)FORMAT_LINE_MAX);
        if (text)
            rung_buf_str(&whole, text);
        else
            put_prefix(&whole, r, k, r->separator ? r->separator : "\n");
        rung_buf_str(b, i ? ",{\"solution_prefix\":" : "{\"solution_prefix\":");
        rung_buf_json_str(b, whole.data ? whole.data : "", whole.n);
        if (whole.failed) b->failed = true;
        rung_buf_clear(&whole);
        rung_buf_str(b, ",\"mc_value\":");
        buf_real(b, r->step[k].soft);
        rung_buf_str(b, "}");
    }
    rung_buf_str(b, "]");
    obj_extra_but(&w, r, "math_aps", "_prefixes");
    obj_close(&w);
    yyjson_doc_free(own);
    return RUNG_OK;
}

/* ---- tree: {"question","final_answer","question_id","tree":{"text","mc_value","children":[...]}};
 * the root's own text is the question or empty */

typedef struct pending {
    yyjson_val *node;
    int32_t parent;
} pending;

static rung_status take_node(rung_rated *out, yyjson_val *node, int32_t parent, rung_error *err) {
    rung_rated_step *s = &out->step[out->n_steps];
    if (!yyjson_is_obj(node))
        return rung_fail(err, RUNG_E_FORMAT, "node %d is not an object", out->n_steps);
    yyjson_obj_iter it = yyjson_obj_iter_with(node);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&it))) {
        const char *name = yyjson_get_str(key);
        if (strcmp(name, "text") && strcmp(name, "mc_value") && strcmp(name, "children"))
            return rung_fail(err, RUNG_E_FORMAT, "node %d has the unknown key \"%.40s\"",
                             out->n_steps, name);
    }
    s->text = yyjson_get_str(yyjson_obj_get(node, "text"));
    if (!s->text || !*s->text)
        return rung_fail(err, RUNG_E_FORMAT, "node %d has no text", out->n_steps);
    s->parent = parent;
    RUNG_TRY(value_of(&s->soft, yyjson_obj_get(node, "mc_value"), (size_t)out->n_steps, err));
    out->n_steps++;
    return RUNG_OK;
}

/* Breadth first, so that a parent has the lower index; children keep their order. */
static rung_status take_tree(rung_rated *out, yyjson_val *root, rung_arena *a, rung_error *err) {
    pending *todo = rung_arena_alloc(a, FORMAT_STEPS_MAX * sizeof *todo);
    out->step = steps_new(FORMAT_STEPS_MAX, a, err);
    if (!todo || !out->step) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    size_t n_todo = 0, k, n;
    yyjson_val *v, *node = root;
    int32_t parent = -1;
    for (size_t done = 0;; done++) {
        yyjson_arr_foreach(yyjson_obj_get(node, "children"), k, n, v) {
            if (n_todo == FORMAT_STEPS_MAX)
                return rung_fail(err, RUNG_E_FORMAT, "more than %d nodes", FORMAT_STEPS_MAX);
            todo[n_todo++] = (pending){v, parent};
        }
        if (done == n_todo) break;
        node = todo[done].node;
        RUNG_TRY(take_node(out, node, todo[done].parent, err));
        parent = out->n_steps - 1;
    }
    return out->n_steps ? RUNG_OK : rung_fail(err, RUNG_E_FORMAT, "the tree has no steps");
}

rung_status math_aps_tree_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                               const rung_format_opts *o, rung_error *err) {
    (void)key;
    (void)o;
    yyjson_val *tree = yyjson_obj_get(root, "tree");
    RUNG_TRY(head(out, root, a, err));
    if (!yyjson_is_obj(tree))
        return rung_fail(err, RUNG_E_FORMAT, "key \"tree\" must be an object");
    const char *text = yyjson_get_str(yyjson_obj_get(tree, "text"));
    if (text && *text && strcmp(text, out->question) != 0)
        return rung_fail(err, RUNG_E_FORMAT, "the root's text is not the question");
    RUNG_TRY(take_tree(out, tree, a, err));
    out->last = best_leaf(out);
    if (yyjson_is_str(yyjson_obj_get(root, "question_id")))
        return KEEP_REST(out, "math_aps_tree", root, a, err, "question", "final_answer",
                         "question_id", "tree.children");
    return KEEP_REST(out, "math_aps_tree", root, a, err, "question", "final_answer",
                     "tree.children");
}

/* Depth first over links: first child, next sibling, way back; no recursion. */
static void put_nodes(rung_buf *b, const rung_rated *r) {
    int32_t n = r->n_steps;
    int32_t *first = rung_alloc((size_t)(n + 1) * sizeof *first);
    int32_t *next = rung_alloc((size_t)(n + 1) * sizeof *next);
    if (!first || !next) {
        b->failed = true;
        goto out;
    }
    for (int32_t k = 0; k <= n; k++) first[k] = next[k] = -1;
    for (int32_t k = n - 1; k >= 0; k--) { /* slot 0: the root, slot k + 1: step k */
        int32_t up = r->step[k].parent + 1;
        next[k + 1] = first[up];
        first[up] = k;
    }
    int32_t at = first[0];
    while (at >= 0) {
        rung_buf_str(b, "{\"text\":");
        rung_buf_json_str(b, r->step[at].text, strlen(r->step[at].text));
        rung_buf_str(b, ",\"mc_value\":");
        buf_real(b, r->step[at].soft);
        rung_buf_str(b, ",\"children\":[");
        if (first[at + 1] >= 0) {
            at = first[at + 1];
            continue;
        }
        rung_buf_str(b, "]}");
        while (at >= 0 && next[at + 1] < 0) { /* up until there is a sibling */
            at = r->step[at].parent;
            if (at >= 0) rung_buf_str(b, "]}");
        }
        if (at < 0) break;
        at = next[at + 1];
        rung_buf_str(b, ",");
    }
out:
    rung_free(first);
    rung_free(next);
}

rung_status math_aps_tree_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                                rung_error *err) {
    (void)o;
    (void)err;
    yyjson_doc *own = extra_of(r, "math_aps_tree");
    yyjson_val *tree = yyjson_obj_get(yyjson_doc_get_root(own), "tree");
    obj_writer w = obj_open(b);
    put_head(&w, r, "math_aps_tree");
    obj_key(&w, "tree");
    obj_writer in = obj_open(b);
    obj_extra(&in, r, "math_aps_tree", "tree");
    if (!tree) obj_str(&in, "text", "");
    obj_key(&in, "children");
    rung_buf_str(b, "[");
    put_nodes(b, r);
    rung_buf_str(b, "]");
    obj_close(&in);
    obj_extra_but(&w, r, "math_aps_tree", "tree");
    obj_close(&w);
    yyjson_doc_free(own);
    return RUNG_OK;
}
