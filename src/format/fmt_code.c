/* Problems whose answer is a program: HumanEval, MBPP. Their tests are the problem's meta, as the
 * verifier `code` reads them. peers.md 2.2 */
#include "format/row.h"
#include <string.h>

/* {"code": the row without its solution}: all that a verdict needs. */
static rung_status tests_meta(rung_rated *out, yyjson_val *root, const char *const *keys, size_t n,
                              rung_arena *a, rung_error *err) {
    rung_buf meta;
    rung_buf_init(&meta, 2 * (size_t)FORMAT_LINE_MAX);
    rung_buf_str(&meta, "{\"code\":{");
    bool first = true;
    for (size_t i = 0; i < n; i++) {
        yyjson_val *v = yyjson_obj_get(root, keys[i]);
        char *json = v ? yyjson_val_write_opts(v, 0, &rung_json_alc, NULL, NULL) : NULL;
        if (!json) continue;
        rung_buf_printf(&meta, "%s\"%s\":%s", first ? "" : ",", keys[i], json);
        rung_free(json);
        first = false;
    }
    rung_buf_str(&meta, "}}");
    rung_status st = rung_buf_check(&meta, err);
    if (st == RUNG_OK) st = arena_text(&out->meta, a, meta.data, meta.n, err);
    rung_buf_clear(&meta);
    out->verifier = "code";
    return st;
}

/* The members of meta's "code", for a format that has them at the top; false: it has no such. */
static yyjson_doc *code_of(const rung_rated *r, const char *must_have, yyjson_val **code) {
    yyjson_doc *doc = r->meta ? yyjson_read(r->meta, strlen(r->meta), 0) : NULL;
    *code = yyjson_obj_get(yyjson_doc_get_root(doc), "code");
    if (yyjson_obj_get(*code, must_have)) return doc;
    yyjson_doc_free(doc);
    return NULL;
}

static void copy_members(obj_writer *w, rung_buf *b, yyjson_val *obj, const char *const *keys,
                         size_t n) {
    for (size_t i = 0; i < n; i++) {
        yyjson_val *v = yyjson_obj_get(obj, keys[i]);
        char *json = v ? yyjson_val_write_opts(v, 0, &rung_json_alc, NULL, NULL) : NULL;
        if (!json) continue;
        obj_key(w, keys[i]);
        rung_buf_str(b, json);
        rung_free(json);
    }
}

/* ---- HumanEval: {"task_id","prompt","entry_point","canonical_solution","test"} */

static const char *const human_tests[] = {"prompt", "entry_point", "test"};

rung_status humaneval_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                           const rung_format_opts *o, rung_error *err) {
    (void)key;
    (void)o;
    const char *test, *entry;
    RUNG_TRY(field_text_opt(&out->id, root, "task_id", err));
    RUNG_TRY(field_text(&out->question, root, "prompt", err));
    RUNG_TRY(field_text(&out->answer, root, "canonical_solution", err));
    RUNG_TRY(field_text(&entry, root, "entry_point", err));
    RUNG_TRY(field_text(&test, root, "test", err));
    RUNG_TRY(tests_meta(out, root, human_tests, 3, a, err));
    return KEEP_REST(out, "humaneval", root, a, err, "task_id", "prompt", "canonical_solution",
                     "entry_point", "test");
}

rung_status humaneval_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                            rung_error *err) {
    (void)o;
    yyjson_val *code;
    yyjson_doc *doc = code_of(r, "test", &code);
    if (!doc || !(r->answer && *r->answer)) {
        yyjson_doc_free(doc);
        return rung_fail(err, RUNG_E_FORMAT, "the problem has no tests of HumanEval");
    }
    obj_writer w = obj_open(b);
    obj_str_opt(&w, "task_id", r->id);
    copy_members(&w, b, code, human_tests, 3);
    obj_str(&w, "canonical_solution", r->answer);
    obj_extra(&w, r, "humaneval", NULL);
    obj_close(&w);
    yyjson_doc_free(doc);
    return RUNG_OK;
}

/* ---- MBPP: {"task_id": n,"text"|"prompt","code","test_list","test_setup_code"} */

static const char *const mbpp_tests[] = {"test_list", "test_setup_code"};

rung_status mbpp_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                      const rung_format_opts *o, rung_error *err) {
    (void)key;
    (void)o;
    yyjson_val *list, *id = yyjson_obj_get(root, "task_id");
    const char *text = NULL, *prompt = NULL;
    RUNG_TRY(field_text_opt(&text, root, "text", err));
    RUNG_TRY(field_text_opt(&prompt, root, "prompt", err));
    RUNG_TRY(field_text(&out->answer, root, "code", err));
    RUNG_TRY(field_array(&list, root, "test_list", err));
    out->question = text ? text : prompt;
    if (!out->question) return rung_fail(err, RUNG_E_FORMAT, "missing key \"text\" or \"prompt\"");
    if (yyjson_is_int(id)) {
        char *json = yyjson_val_write_opts(id, 0, &rung_json_alc, NULL, NULL);
        rung_status st = json ? arena_text(&out->id, a, json, strlen(json), err)
                              : rung_fail(err, RUNG_E_NOMEM, "out of memory");
        rung_free(json);
        if (st != RUNG_OK) return st;
    } else {
        RUNG_TRY(field_text_opt(&out->id, root, "task_id", err));
    }
    RUNG_TRY(tests_meta(out, root, mbpp_tests, 2, a, err));
    return KEEP_REST(out, "mbpp", root, a, err, "text", "code", "test_list", "test_setup_code");
}

rung_status mbpp_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                       rung_error *err) {
    (void)o;
    yyjson_val *code;
    yyjson_doc *own = extra_of(r, "mbpp"), *doc = code_of(r, "test_list", &code);
    bool has_id = yyjson_obj_get(yyjson_doc_get_root(own), "task_id") != NULL;
    bool has_prompt = yyjson_obj_get(yyjson_doc_get_root(own), "prompt") != NULL;
    yyjson_doc_free(own);
    if (!doc || !(r->answer && *r->answer)) {
        yyjson_doc_free(doc);
        return rung_fail(err, RUNG_E_FORMAT, "the problem has no tests of MBPP");
    }
    obj_writer w = obj_open(b);
    if (!has_id) obj_str_opt(&w, "task_id", r->id);
    if (!has_prompt) obj_str(&w, "text", r->question); /* the sanitized set's word for it */
    obj_str(&w, "code", r->answer);
    copy_members(&w, b, code, mbpp_tests, 2);
    obj_extra(&w, r, "mbpp", NULL);
    obj_close(&w);
    yyjson_doc_free(doc);
    return RUNG_OK;
}
