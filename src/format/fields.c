/* Fields of a JSON row in and out. */
#include "format/row.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

rung_status field_text(const char **out, yyjson_val *root, const char *key, rung_error *err) {
    RUNG_TRY(rung_json_str_req(out, root, key, err));
    if (**out) return RUNG_OK;
    return rung_fail(err, RUNG_E_FORMAT, "key \"%s\" is empty", key);
}

rung_status field_text_opt(const char **out, yyjson_val *root, const char *key, rung_error *err) {
    yyjson_val *v = yyjson_obj_get(root, key);
    *out = NULL;
    if (!v || yyjson_is_null(v)) return RUNG_OK;
    return rung_json_str_req(out, root, key, err);
}

rung_status field_array(yyjson_val **out, yyjson_val *root, const char *key, rung_error *err) {
    *out = yyjson_obj_get(root, key);
    if (yyjson_is_arr(*out)) return RUNG_OK;
    return rung_fail(err, RUNG_E_FORMAT, "key \"%s\" must be an array", key);
}

rung_status field_bool(bool *out, yyjson_val *root, const char *key, rung_error *err) {
    yyjson_val *v = yyjson_obj_get(root, key);
    if (!yyjson_is_bool(v))
        return rung_fail(err, RUNG_E_FORMAT, "key \"%s\" must be true or false", key);
    *out = yyjson_get_bool(v);
    return RUNG_OK;
}

rung_status unit_value(double *out, yyjson_val *v, const char *what, size_t k, rung_error *err) {
    double x = yyjson_is_num(v) ? yyjson_get_num(v) : (double)NAN;
    if (!(x >= 0 && x <= 1))
        return rung_fail(err, RUNG_E_FORMAT, "%s %zu is not a number in 0..1", what, k);
    *out = x;
    return RUNG_OK;
}

rung_status arena_text(const char **out, rung_arena *a, const char *p, size_t n, rung_error *err) {
    *out = rung_arena_strndup(a, p, n);
    return *out ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "out of memory");
}

rung_rated_step *steps_new(size_t n, rung_arena *a, rung_error *err) {
    if (n == 0) {
        rung_fail(err, RUNG_E_FORMAT, "there are no steps");
        return NULL;
    }
    if (n > FORMAT_STEPS_MAX) {
        rung_fail(err, RUNG_E_FORMAT, "%zu steps, more than %d", n, FORMAT_STEPS_MAX);
        return NULL;
    }
    rung_rated_step *s = rung_arena_alloc(a, n * sizeof *s);
    if (!s) rung_fail(err, RUNG_E_NOMEM, "out of memory");
    for (size_t k = 0; s && k < n; k++)
        s[k] = (rung_rated_step){.parent = (int32_t)k - 1, .soft = (double)NAN};
    return s;
}

rung_status chain_of(rung_rated *out, yyjson_val *steps, const char *key, rung_arena *a,
                     rung_error *err) {
    size_t k, n;
    yyjson_val *v;
    if (yyjson_arr_size(steps) == 0) return rung_fail(err, RUNG_E_FORMAT, "\"%s\" is empty", key);
    out->step = steps_new(yyjson_arr_size(steps), a, err);
    if (!out->step) return err ? err->code : RUNG_E_FORMAT;
    out->n_steps = (int32_t)yyjson_arr_size(steps);
    out->last = out->n_steps - 1;
    yyjson_arr_foreach(steps, k, n, v) {
        out->step[k].text = yyjson_get_str(v);
        if (!out->step[k].text)
            return rung_fail(err, RUNG_E_FORMAT, "\"%s\": step %zu is not a string", key, k);
        if (!*out->step[k].text)
            return rung_fail(err, RUNG_E_FORMAT, "\"%s\": step %zu is empty", key, k);
    }
    return RUNG_OK;
}

rung_status same_count(size_t n_labels, const char *key, const rung_rated *r, rung_error *err) {
    if (n_labels == (size_t)r->n_steps) return RUNG_OK;
    return rung_fail(err, RUNG_E_FORMAT, "\"%s\" holds %zu labels for %d steps", key, n_labels,
                     r->n_steps);
}

/* ---- first error and marks: the same knowledge in two forms */

static int32_t depth_of(const rung_rated *r, int32_t at) {
    int32_t d = 0;
    while ((at = r->step[at].parent) >= 0) d++;
    return d;
}

void set_first_error(rung_rated *r) {
    int32_t depth = r->last >= 0 ? depth_of(r, r->last) : -1, wrong = -1, gap = -1;
    for (int32_t at = r->last; at >= 0; at = r->step[at].parent, depth--) {
        if (r->step[at].mark == RUNG_MARK_WRONG) wrong = depth;
        if (r->step[at].mark == RUNG_MARK_NONE) gap = depth;
    }
    if (gap >= 0 && (wrong < 0 || gap < wrong)) {
        r->first_error = RUNG_FIRST_ERROR_UNKNOWN;
        return;
    }
    r->first_error = r->last < 0 ? RUNG_FIRST_ERROR_UNKNOWN : wrong;
}

void set_marks(rung_rated *r) {
    if (r->first_error == RUNG_FIRST_ERROR_UNKNOWN || r->last < 0) return;
    int32_t depth = depth_of(r, r->last);
    for (int32_t at = r->last; at >= 0; at = r->step[at].parent, depth--) {
        bool before = r->first_error < 0 || depth < r->first_error;
        if (before) r->step[at].mark = RUNG_MARK_RIGHT;
        if (depth == r->first_error) r->step[at].mark = RUNG_MARK_WRONG;
    }
}

/* ---- what has no place in the record */

static bool listed(const char *const *known, size_t n, const char *prefix, const char *key) {
    size_t np = prefix ? strlen(prefix) : 0;
    for (size_t i = 0; i < n; i++) {
        const char *k = known[i];
        if (prefix) {
            if (strncmp(k, prefix, np) != 0 || k[np] != '.') continue;
            k += np + 1;
        }
        if (strcmp(k, key) == 0) return true;
    }
    return false;
}

static bool has_inner(const char *const *known, size_t n, const char *key) {
    size_t nk = strlen(key);
    for (size_t i = 0; i < n; i++)
        if (strncmp(known[i], key, nk) == 0 && known[i][nk] == '.') return true;
    return false;
}

static void put_members(obj_writer *w, yyjson_val *obj, const char *const *known, size_t n,
                        const char *prefix) {
    yyjson_obj_iter it = yyjson_obj_iter_with(obj);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&it))) {
        const char *name = yyjson_get_str(key);
        yyjson_val *v = yyjson_obj_iter_get_val(key);
        if (listed(known, n, prefix, name)) continue;
        if (!prefix && yyjson_is_obj(v) && has_inner(known, n, name)) {
            rung_buf inner;
            rung_buf_init(&inner, FORMAT_LINE_MAX);
            obj_writer in = obj_open(&inner);
            put_members(&in, v, known, n, name);
            obj_close(&in);
            if (in.n) {
                obj_key(w, name);
                rung_buf_append(w->b, inner.data, inner.n);
            }
            if (inner.failed) w->b->failed = true;
            rung_buf_clear(&inner);
            continue;
        }
        size_t len;
        char *json = yyjson_val_write_opts(v, 0, &rung_json_alc, &len, NULL);
        obj_key(w, name);
        if (json)
            rung_buf_append(w->b, json, len);
        else
            w->b->failed = true;
        rung_free(json);
    }
}

rung_status keep_rest(rung_rated *out, const char *format, yyjson_val *root,
                      const char *const *known, size_t n_known, rung_arena *a, rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, 2 * (size_t)FORMAT_LINE_MAX);
    obj_writer w = obj_open(&b);
    put_members(&w, root, known, n_known, NULL);
    obj_close(&w);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK && w.n) {
        st = arena_text(&out->extra, a, b.data, b.n, err);
        out->extra_format = format;
    }
    rung_buf_clear(&b);
    return st;
}

yyjson_doc *extra_of(const rung_rated *r, const char *format) {
    if (!r->extra || !r->extra_format || strcmp(r->extra_format, format) != 0) return NULL;
    return yyjson_read(r->extra, strlen(r->extra), 0);
}

/* ---- writing */

obj_writer obj_open(rung_buf *b) {
    rung_buf_str(b, "{");
    return (obj_writer){b, 0};
}

void obj_key(obj_writer *w, const char *key) {
    if (w->n++) rung_buf_str(w->b, ",");
    rung_buf_json_str(w->b, key, strlen(key));
    rung_buf_str(w->b, ":");
}

void obj_str(obj_writer *w, const char *key, const char *v) {
    obj_key(w, key);
    if (v)
        rung_buf_json_str(w->b, v, strlen(v));
    else
        rung_buf_str(w->b, "null");
}

void obj_str_opt(obj_writer *w, const char *key, const char *v) {
    if (v) obj_str(w, key, v);
}

void obj_int(obj_writer *w, const char *key, int64_t v) {
    obj_key(w, key);
    rung_buf_printf(w->b, "%lld", (long long)v);
}

void obj_bool(obj_writer *w, const char *key, bool v) {
    obj_key(w, key);
    rung_buf_str(w->b, v ? "true" : "false");
}

void obj_steps(obj_writer *w, const char *key, const rung_rated *r) {
    obj_key(w, key);
    rung_buf_str(w->b, "[");
    for (int32_t k = 0; k < r->n_steps; k++) {
        if (k) rung_buf_str(w->b, ",");
        rung_buf_json_str(w->b, r->step[k].text, strlen(r->step[k].text));
    }
    rung_buf_str(w->b, "]");
}

void buf_real(rung_buf *b, double v) {
    char text[40];
    if (!isfinite(v)) {
        rung_buf_str(b, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        double back;
        if (sscanf(text, "%lf", &back) == 1 && back == v) break;
    }
    rung_buf_str(b, text);
}

void obj_extra(obj_writer *w, const rung_rated *r, const char *format, const char *inside) {
    yyjson_doc *doc = extra_of(r, format);
    yyjson_val *obj = yyjson_doc_get_root(doc);
    if (inside) obj = yyjson_obj_get(obj, inside);
    if (yyjson_is_obj(obj)) put_members(w, obj, NULL, 0, NULL);
    yyjson_doc_free(doc);
}

void obj_members_but(obj_writer *w, yyjson_val *obj, const char *const *but, size_t n) {
    if (yyjson_is_obj(obj)) put_members(w, obj, but, n, NULL);
}

void obj_extra_but(obj_writer *w, const rung_rated *r, const char *format, const char *but) {
    yyjson_doc *doc = extra_of(r, format);
    obj_members_but(w, yyjson_doc_get_root(doc), &but, 1);
    yyjson_doc_free(doc);
}

void obj_close(obj_writer *w) {
    rung_buf_str(w->b, "}");
}
