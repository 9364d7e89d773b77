/* Formats with a list of steps and a list of labels beside it: TRL, PRMBench, SCAN, FoVer.
 * peers.md 2.1 */
#include "format/row.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- TRL: {"prompt","completions","labels"}; booleans, or numbers, which its trainer cuts to an
 * integer: they are written as booleans */

rung_status trl_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                     const rung_format_opts *o, rung_error *err) {
    (void)key;
    (void)o;
    yyjson_val *steps, *labels, *v;
    size_t k, n;
    RUNG_TRY(field_text(&out->question, root, "prompt", err));
    RUNG_TRY(field_array(&steps, root, "completions", err));
    RUNG_TRY(field_array(&labels, root, "labels", err));
    RUNG_TRY(chain_of(out, steps, "completions", a, err));
    RUNG_TRY(same_count(yyjson_arr_size(labels), "labels", out, err));
    yyjson_arr_foreach(labels, k, n, v) {
        double x = yyjson_get_bool(v) ? 1 : 0;
        if (!yyjson_is_bool(v)) RUNG_TRY(unit_value(&x, v, "label", k, err));
        if (yyjson_is_bool(v) || x == 0 || x == 1)
            out->step[k].mark = x > 0 ? RUNG_MARK_RIGHT : RUNG_MARK_WRONG;
        else
            out->step[k].soft = x;
    }
    set_first_error(out);
    return KEEP_REST(out, "trl", root, a, err, "prompt", "completions", "labels");
}

rung_status trl_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                      rung_error *err) {
    (void)o;
    (void)err;
    obj_writer w = obj_open(b);
    obj_str(&w, "prompt", r->question);
    obj_steps(&w, "completions", r);
    obj_key(&w, "labels");
    rung_buf_str(b, "[");
    for (int32_t k = 0; k < r->n_steps; k++)
        rung_buf_printf(b, "%s%s", k ? "," : "",
                        r->step[k].mark == RUNG_MARK_RIGHT ? "true" : "false");
    rung_buf_str(b, "]");
    obj_extra(&w, r, "trl", NULL);
    obj_close(&w);
    return RUNG_OK;
}

/* ---- PRMBench: {"idx","question","modified_question","modified_process","error_steps" from 1,
 * ...}; every step not listed is right, those after an error too */

rung_status prmbench_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                          const rung_format_opts *o, rung_error *err) {
    (void)key;
    (void)o;
    yyjson_val *steps, *wrong, *v, *idx = yyjson_obj_get(root, "idx");
    size_t k, n;
    char text[32];
    if (yyjson_is_int(idx)) {
        int len = snprintf(text, sizeof text, "%lld", (long long)yyjson_get_sint(idx));
        RUNG_TRY(arena_text(&out->id, a, text, (size_t)len, err));
    } else {
        RUNG_TRY(field_text_opt(&out->id, root, "idx", err));
    }
    RUNG_TRY(field_text(&out->question, root, "modified_question", err));
    RUNG_TRY(field_array(&steps, root, "modified_process", err));
    RUNG_TRY(field_array(&wrong, root, "error_steps", err));
    RUNG_TRY(chain_of(out, steps, "modified_process", a, err));
    for (int32_t i = 0; i < out->n_steps; i++) out->step[i].mark = RUNG_MARK_RIGHT;
    yyjson_arr_foreach(wrong, k, n, v) {
        int64_t at = yyjson_is_int(v) ? yyjson_get_sint(v) : 0;
        if (at < 1 || at > out->n_steps)
            return rung_fail(err, RUNG_E_FORMAT, "\"error_steps\" %zu is no step in 1..%d", k,
                             out->n_steps);
        out->step[at - 1].mark = RUNG_MARK_WRONG;
    }
    set_first_error(out);
    if (!yyjson_is_int(idx))
        return KEEP_REST(out, "prmbench", root, a, err, "idx", "modified_question",
                         "modified_process", "error_steps");
    /* a number must be written back as one: it stays with the rest */
    return KEEP_REST(out, "prmbench", root, a, err, "modified_question", "modified_process",
                     "error_steps");
}

rung_status prmbench_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                           rung_error *err) {
    (void)o;
    (void)err;
    yyjson_doc *own = extra_of(r, "prmbench");
    obj_writer w = obj_open(b);
    if (!yyjson_obj_get(yyjson_doc_get_root(own), "idx")) obj_str_opt(&w, "idx", r->id);
    yyjson_doc_free(own);
    obj_str(&w, "modified_question", r->question);
    obj_steps(&w, "modified_process", r);
    obj_key(&w, "error_steps");
    rung_buf_str(b, "[");
    for (int32_t k = 0, n = 0; k < r->n_steps; k++)
        if (r->step[k].mark == RUNG_MARK_WRONG) rung_buf_printf(b, "%s%d", n++ ? "," : "", k + 1);
    rung_buf_str(b, "]");
    obj_extra(&w, r, "prmbench", NULL);
    obj_close(&w);
    return RUNG_OK;
}

/* ---- SCAN: {"question","steps","scores"} */

rung_status scan_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                      const rung_format_opts *o, rung_error *err) {
    (void)key;
    (void)o;
    yyjson_val *steps, *scores, *v;
    size_t k, n;
    RUNG_TRY(field_text(&out->question, root, "question", err));
    RUNG_TRY(field_array(&steps, root, "steps", err));
    RUNG_TRY(field_array(&scores, root, "scores", err));
    RUNG_TRY(chain_of(out, steps, "steps", a, err));
    RUNG_TRY(same_count(yyjson_arr_size(scores), "scores", out, err));
    yyjson_arr_foreach(scores, k, n, v)
        RUNG_TRY(unit_value(&out->step[k].soft, v, "score", k, err));
    return KEEP_REST(out, "scan", root, a, err, "question", "steps", "scores");
}

rung_status scan_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                       rung_error *err) {
    (void)o;
    (void)err;
    obj_writer w = obj_open(b);
    obj_str(&w, "question", r->question);
    obj_steps(&w, "steps", r);
    obj_key(&w, "scores");
    rung_buf_str(b, "[");
    for (int32_t k = 0; k < r->n_steps; k++) {
        if (k) rung_buf_str(b, ",");
        buf_real(b, r->step[k].soft);
    }
    rung_buf_str(b, "]");
    obj_extra(&w, r, "scan", NULL);
    obj_close(&w);
    return RUNG_OK;
}

/* ---- FoVer: {"id","problem","solution_steps","error_labels"}: true = the step is right, null =
 * not judged (labels.md 6) */

rung_status fover_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                       const rung_format_opts *o, rung_error *err) {
    (void)key;
    (void)o;
    yyjson_val *steps, *labels, *v;
    size_t k, n;
    RUNG_TRY(field_text_opt(&out->id, root, "id", err));
    RUNG_TRY(field_text(&out->question, root, "problem", err));
    RUNG_TRY(field_array(&steps, root, "solution_steps", err));
    RUNG_TRY(field_array(&labels, root, "error_labels", err));
    RUNG_TRY(chain_of(out, steps, "solution_steps", a, err));
    RUNG_TRY(same_count(yyjson_arr_size(labels), "error_labels", out, err));
    yyjson_arr_foreach(labels, k, n, v) {
        if (!yyjson_is_bool(v) && !yyjson_is_null(v))
            return rung_fail(err, RUNG_E_FORMAT, "label %zu is not true, false or null", k);
        if (yyjson_is_bool(v))
            out->step[k].mark = yyjson_get_bool(v) ? RUNG_MARK_RIGHT : RUNG_MARK_WRONG;
    }
    set_first_error(out);
    return KEEP_REST(out, "fover", root, a, err, "id", "problem", "solution_steps", "error_labels");
}

rung_status fover_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                        rung_error *err) {
    (void)o;
    (void)err;
    static const char *const said[] = {"null", "true", "false", "null"};
    obj_writer w = obj_open(b);
    obj_str_opt(&w, "id", r->id);
    obj_str(&w, "problem", r->question);
    obj_steps(&w, "solution_steps", r);
    obj_key(&w, "error_labels");
    rung_buf_str(b, "[");
    for (int32_t k = 0; k < r->n_steps; k++)
        rung_buf_printf(b, "%s%s", k ? "," : "", said[r->step[k].mark]);
    rung_buf_str(b, "]");
    obj_extra(&w, r, "fover", NULL);
    obj_close(&w);
    return RUNG_OK;
}
