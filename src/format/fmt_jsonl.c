/* rung's own form: everything a record holds (docs/formats-problem.md, docs/formats-labels.md). */
#include "format/row.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const known[] = {"question",
                                    "answer",
                                    "solution",
                                    "key",
                                    "split",
                                    "set",
                                    "world",
                                    "meta",
                                    "verifier",
                                    "steps",
                                    "separator",
                                    "generator",
                                    "i",
                                    "correct",
                                    "marks",
                                    "values",
                                    "parents",
                                    "last",
                                    "first_error",
                                    "source",
                                    "labeler",
                                    "extra",
                                    "first_error_source"};
enum { N_KNOWN = sizeof known / sizeof *known };

static rung_status no_stranger(yyjson_val *root, rung_error *err) {
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&it))) {
        size_t k = 0;
        while (k < N_KNOWN && strcmp(known[k], yyjson_get_str(key)) != 0) k++;
        if (k == N_KNOWN)
            return rung_fail(err, RUNG_E_FORMAT, "unknown key \"%.60s\"", yyjson_get_str(key));
    }
    return RUNG_OK;
}

static const char *or_none(const char *s) {
    return s && *s ? s : NULL;
}

static rung_status object_text(const char **out, yyjson_val *root, const char *key, rung_arena *a,
                               rung_error *err) {
    yyjson_val *v = yyjson_obj_get(root, key);
    *out = NULL;
    if (!v || yyjson_is_null(v)) return RUNG_OK;
    if (!yyjson_is_obj(v)) return rung_fail(err, RUNG_E_FORMAT, "\"%s\" must be an object", key);
    size_t n;
    char *json = yyjson_val_write_opts(v, 0, &rung_json_alc, &n, NULL);
    rung_status st =
        json ? arena_text(out, a, json, n, err) : rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_free(json);
    return st;
}

static rung_status read_steps(rung_rated *out, yyjson_val *root, yyjson_val *steps, rung_arena *a,
                              rung_error *err) {
    yyjson_val *v, *parents = yyjson_obj_get(root, "parents");
    size_t k, n;
    int64_t last = (int64_t)yyjson_arr_size(steps) - 1;
    if (!yyjson_is_arr(steps))
        return rung_fail(err, RUNG_E_FORMAT, "key \"steps\" must be an array of strings");
    if (last < 0) return rung_fail(err, RUNG_E_FORMAT, "\"steps\" is empty");
    out->step = steps_new(yyjson_arr_size(steps), a, err);
    if (!out->step) return err->code;
    out->n_steps = (int32_t)yyjson_arr_size(steps);
    yyjson_arr_foreach(steps, k, n, v) {
        if (!yyjson_is_str(v) && !yyjson_is_null(v))
            return rung_fail(err, RUNG_E_FORMAT, "step %zu is not a string", k);
        out->step[k].text = yyjson_get_str(v);
        if (yyjson_is_str(v) && yyjson_get_len(v) == 0)
            return rung_fail(err, RUNG_E_FORMAT, "step %zu is empty", k);
    }
    if (parents && !yyjson_is_null(parents)) {
        RUNG_TRY(same_count(yyjson_arr_size(parents), "parents", out, err));
        yyjson_arr_foreach(parents, k, n, v) {
            int64_t p = yyjson_is_int(v) ? yyjson_get_sint(v) : -2;
            if (p < -1 || p >= (int64_t)k)
                return rung_fail(err, RUNG_E_FORMAT, "parent of step %zu is not a step before it",
                                 k);
            out->step[k].parent = (int32_t)p;
        }
    }
    if (yyjson_obj_get(root, "last")) RUNG_TRY(rung_json_i64_req(&last, root, "last", err));
    if (last < 0 || last >= out->n_steps)
        return rung_fail(err, RUNG_E_FORMAT, "\"last\" is %lld of %d steps", (long long)last,
                         out->n_steps);
    out->last = (int32_t)last;
    return RUNG_OK;
}

static rung_status read_marks(rung_rated *out, yyjson_val *root, rung_error *err) {
    yyjson_val *v, *marks = yyjson_obj_get(root, "marks"), *values = yyjson_obj_get(root, "values");
    size_t k, n;
    if (marks && !yyjson_is_null(marks)) {
        RUNG_TRY(same_count(yyjson_arr_size(marks), "marks", out, err));
        yyjson_arr_foreach(marks, k, n, v) {
            const char *s = yyjson_get_str(v);
            int m = yyjson_is_null(v) ? RUNG_MARK_NONE : RUNG_MARK_RIGHT;
            while (s && m <= RUNG_MARK_NEUTRAL && strcmp(s, rung_mark_name((rung_mark)m))) m++;
            if ((!s && m != RUNG_MARK_NONE) || m > RUNG_MARK_NEUTRAL)
                return rung_fail(err, RUNG_E_FORMAT,
                                 "mark %zu is not right, wrong, neutral or null", k);
            out->step[k].mark = (rung_mark)m;
        }
    }
    if (values && !yyjson_is_null(values)) {
        RUNG_TRY(same_count(yyjson_arr_size(values), "values", out, err));
        yyjson_arr_foreach(values, k, n, v) if (!yyjson_is_null(v))
            RUNG_TRY(unit_value(&out->step[k].soft, v, "value", k, err));
    }
    return RUNG_OK;
}

static rung_status read_trace(rung_rated *out, yyjson_val *root, rung_error *err) {
    yyjson_val *first = yyjson_obj_get(root, "first_error");
    yyjson_val *correct = yyjson_obj_get(root, "correct");
    int32_t n_path = 0;
    for (int32_t at = out->last; at >= 0; at = out->step[at].parent) n_path++;
    if (first && !yyjson_is_null(first)) {
        int64_t k;
        RUNG_TRY(rung_json_i64_req(&k, root, "first_error", err));
        if (k < -1 || k >= n_path)
            return rung_fail(err, RUNG_E_FORMAT, "first_error %lld, but there are %d steps",
                             (long long)k, n_path);
        out->first_error = (int32_t)k;
    } else if (yyjson_obj_get(root, "marks")) {
        set_first_error(out);
    }
    if (correct && !yyjson_is_null(correct)) {
        bool right;
        RUNG_TRY(field_bool(&right, root, "correct", err));
        out->outcome = right ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG;
        out->outcome_given = true;
    }
    if (yyjson_obj_get(root, "i")) {
        int64_t i;
        RUNG_TRY(rung_json_i64_req(&i, root, "i", err));
        if (i < 0 || i > INT32_MAX) return rung_fail(err, RUNG_E_FORMAT, "\"i\" must be 0 or more");
        out->i = (int32_t)i;
    }
    return RUNG_OK;
}

static rung_status read_extra(rung_rated *out, yyjson_val *root, rung_arena *a, rung_error *err) {
    yyjson_val *extra = yyjson_obj_get(root, "extra");
    if (!extra || yyjson_is_null(extra)) return RUNG_OK;
    const char *name = yyjson_get_str(yyjson_obj_get(extra, "format"));
    if (!rung_format_find(name)) return rung_fail(err, RUNG_E_FORMAT, "\"extra\" names no format");
    out->extra_format = rung_format_name(rung_format_find(name));
    RUNG_TRY(object_text(&out->extra, extra, "fields", a, err));
    return out->extra ? RUNG_OK : rung_fail(err, RUNG_E_FORMAT, "\"extra\" has no \"fields\"");
}

rung_status jsonl_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                       const rung_format_opts *o, rung_error *err) {
    (void)key;
    (void)o;
    const char *by;
    RUNG_TRY(no_stranger(root, err));
    const struct {
        const char **to, *name;
    } opt[] = {{&out->question, "question"},   {&out->answer, "answer"},
               {&out->solution, "solution"},   {&out->id, "key"},
               {&out->split, "split"},         {&out->set, "set"},
               {&out->world, "world"},         {&out->verifier, "verifier"},
               {&out->separator, "separator"}, {&out->generator, "generator"},
               {&out->labeler, "labeler"},     {&out->source, "source"},
               {&by, "first_error_source"}};
    for (size_t k = 0; k < sizeof opt / sizeof *opt; k++)
        RUNG_TRY(field_text_opt(opt[k].to, root, opt[k].name, err));
    out->id = or_none(out->id);
    out->split = or_none(out->split);
    out->set = or_none(out->set);
    if (by && strcmp(by, "human") != 0 && strcmp(by, "truth") != 0)
        return rung_fail(err, RUNG_E_FORMAT, "\"first_error_source\" must be human or truth");
    if (!out->source) out->source = by;
    RUNG_TRY(object_text(&out->meta, root, "meta", a, err));
    RUNG_TRY(read_extra(out, root, a, err));
    yyjson_val *steps = yyjson_obj_get(root, "steps");
    if (!out->question && !out->id && !steps)
        return rung_fail(err, RUNG_E_FORMAT, "key \"question\" is missing");
    if (out->question && !*out->question)
        return rung_fail(err, RUNG_E_FORMAT, "key \"question\" is empty");
    if (!steps || yyjson_is_null(steps)) return RUNG_OK;
    RUNG_TRY(read_steps(out, root, steps, a, err));
    RUNG_TRY(read_marks(out, root, err));
    return read_trace(out, root, err);
}

/* ---- writing: members that say nothing are left out */

static void put_marks(obj_writer *w, const rung_rated *r) {
    bool marks = false, values = false, chain = true;
    for (int32_t k = 0; k < r->n_steps; k++) {
        marks |= r->step[k].mark != RUNG_MARK_NONE;
        values |= (bool)isfinite(r->step[k].soft);
        chain &= r->step[k].parent == k - 1;
    }
    if (!chain) {
        obj_key(w, "parents");
        rung_buf_str(w->b, "[");
        for (int32_t k = 0; k < r->n_steps; k++)
            rung_buf_printf(w->b, "%s%d", k ? "," : "", r->step[k].parent);
        rung_buf_str(w->b, "]");
    }
    if (r->last != r->n_steps - 1) obj_int(w, "last", r->last);
    if (marks) {
        obj_key(w, "marks");
        rung_buf_str(w->b, "[");
        for (int32_t k = 0; k < r->n_steps; k++) {
            rung_mark m = r->step[k].mark;
            rung_buf_str(w->b, k ? "," : "");
            if (m == RUNG_MARK_NONE)
                rung_buf_str(w->b, "null");
            else
                rung_buf_printf(w->b, "\"%s\"", rung_mark_name(m));
        }
        rung_buf_str(w->b, "]");
    }
    if (values) {
        obj_key(w, "values");
        rung_buf_str(w->b, "[");
        for (int32_t k = 0; k < r->n_steps; k++) {
            rung_buf_str(w->b, k ? "," : "");
            buf_real(w->b, r->step[k].soft);
        }
        rung_buf_str(w->b, "]");
    }
}

rung_status jsonl_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                        rung_error *err) {
    (void)o;
    (void)err;
    obj_writer w = obj_open(b);
    const struct {
        const char *name, *text;
    } opt[] = {{"set", r->set},
               {"split", r->split},
               {"key", r->id},
               {"question", r->question},
               {"answer", r->answer},
               {"solution", r->solution},
               {"world", r->world},
               {"verifier", r->verifier},
               {"generator", r->generator},
               {"separator", r->separator},
               {"source", r->source},
               {"labeler", r->labeler}};
    for (size_t k = 0; k < sizeof opt / sizeof *opt; k++) obj_str_opt(&w, opt[k].name, opt[k].text);
    if (r->meta) {
        obj_key(&w, "meta");
        rung_buf_str(b, r->meta);
    }
    if (r->i >= 0) obj_int(&w, "i", r->i);
    if (r->n_steps) {
        obj_key(&w, "steps");
        rung_buf_str(b, "[");
        for (int32_t k = 0; k < r->n_steps; k++) {
            rung_buf_str(b, k ? "," : "");
            if (r->step[k].text)
                rung_buf_json_str(b, r->step[k].text, strlen(r->step[k].text));
            else
                rung_buf_str(b, "null");
        }
        rung_buf_str(b, "]");
        put_marks(&w, r);
        if (r->first_error != RUNG_FIRST_ERROR_UNKNOWN) obj_int(&w, "first_error", r->first_error);
        if (r->outcome_given) obj_bool(&w, "correct", r->outcome == RUNG_VERDICT_CORRECT);
    }
    if (r->extra) {
        obj_key(&w, "extra");
        rung_buf_printf(b, "{\"format\":\"%s\",\"fields\":%s}", r->extra_format, r->extra);
    }
    obj_close(&w);
    return RUNG_OK;
}
