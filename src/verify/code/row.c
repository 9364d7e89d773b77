/* JSON rows -> jobs: HumanEval, MBPP and rung's own. docs/verifiers.md has the fields. */
#include "verify/code/pool.h"
#include <stdio.h>
#include <string.h>

static rung_status missing(const char *what, rung_error *err) {
    return rung_fail(err, RUNG_E_FORMAT, "a row of code needs %s", what);
}

static const char *keep(rung_arena *a, const char *s, size_t n, bool *failed) {
    char *p = rung_arena_strndup(a, s, n);
    *failed |= !p;
    return p;
}

static const char *joined(rung_arena *a, bool *failed, const char *const *part, size_t n) {
    rung_buf b;
    rung_buf_init(&b, 64u << 20);
    rung_buf_str(&b, "");
    for (size_t i = 0; i < n; i++) rung_buf_str(&b, part[i]);
    const char *s = keep(a, b.failed || !b.data ? "" : b.data, b.n, failed);
    *failed |= b.failed;
    rung_buf_clear(&b);
    return s;
}

static rung_code_test *tests(rung_code_job *job, rung_arena *a, size_t n, bool *failed) {
    rung_code_test *t = rung_arena_alloc(a, (n + 1) * sizeof *t);
    *failed |= !t;
    job->test = t;
    job->n_tests = t ? n : 0;
    return t;
}

/* human-eval: the program is prompt + completion; the prompt alone gives the tests its helpers
 * (poly, encode_cyclic), so that a completion cannot bring its own. */
static rung_status human_eval(rung_code_job *job, rung_arena *a, yyjson_val *row, bool *failed,
                              rung_error *err) {
    const char *prompt = rung_json_str(row, "prompt", NULL), *test, *entry;
    const char *body = rung_json_str(row, "completion", NULL);
    if (!body) body = rung_json_str(row, "canonical_solution", NULL);
    RUNG_TRY(rung_json_str_req(&test, row, "test", err));
    RUNG_TRY(rung_json_str_req(&entry, row, "entry_point", err));
    if (!prompt || !body) return missing("\"prompt\" and \"completion\"", err);
    job->program = joined(a, failed, (const char *const[]){prompt, body}, 2);
    job->entry = keep(a, entry, strlen(entry), failed);
    job->setup = keep(a, prompt, strlen(prompt), failed);
    rung_code_test *t = tests(job, a, 1, failed);
    if (*failed) return RUNG_OK;
    t->kind = RUNG_TEST_ASSERT;
    t->input = joined(a, failed, (const char *const[]){test, "\ncheck(", entry, ")\n"}, 4);
    t->n_input = *failed ? 0 : strlen(t->input);
    return RUNG_OK;
}

static rung_status mbpp(rung_code_job *job, rung_arena *a, yyjson_val *row, bool *failed,
                        rung_error *err) {
    yyjson_val *list = yyjson_obj_get(row, "test_list"), *one;
    const char *code = rung_json_str(row, "completion", NULL);
    if (!code) code = rung_json_str(row, "code", NULL);
    const char *setup = rung_json_str(row, "test_setup_code", "");
    if (!code || !yyjson_is_arr(list)) return missing("\"code\" and \"test_list\"", err);
    job->program = keep(a, code, strlen(code), failed);
    job->setup = keep(a, setup, strlen(setup), failed);
    rung_code_test *t = tests(job, a, yyjson_arr_size(list), failed);
    for (size_t i = 0; i < job->n_tests; i++) {
        one = yyjson_arr_get(list, i);
        if (!yyjson_is_str(one)) return missing("strings in \"test_list\"", err);
        t[i].kind = RUNG_TEST_ASSERT;
        t[i].n_input = yyjson_get_len(one);
        t[i].input = keep(a, yyjson_get_str(one), t[i].n_input, failed);
    }
    return RUNG_OK;
}

static const char *as_text(rung_arena *a, size_t *n, yyjson_val *v, bool *failed) {
    char *text = yyjson_val_write_opts(v, 0, &rung_json_alc, n, NULL);
    const char *s = text ? keep(a, text, *n, failed) : NULL;
    *failed |= !text;
    rung_free(text);
    return s;
}

static rung_status own_test(rung_code_test *t, rung_arena *a, yyjson_val *v, bool *failed,
                            rung_error *err) {
    const char *in = rung_json_str(v, "stdin", NULL), *out = rung_json_str(v, "stdout", NULL);
    const char *check = rung_json_str(v, "assert", NULL), *entry = rung_json_str(v, "entry", NULL);
    yyjson_val *call = yyjson_obj_get(v, "call"), *want = yyjson_obj_get(v, "want");
    t->tolerance = rung_json_f64(v, "tolerance", 0.0);
    if (out) {
        t->kind = RUNG_TEST_STDIN;
        t->n_input = in ? yyjson_get_len(yyjson_obj_get(v, "stdin")) : 0;
        t->input = keep(a, in ? in : "", t->n_input, failed);
        t->n_want = yyjson_get_len(yyjson_obj_get(v, "stdout"));
        t->want = keep(a, out, t->n_want, failed);
    } else if (check) {
        t->kind = RUNG_TEST_ASSERT;
        t->n_input = strlen(check);
        t->input = keep(a, check, t->n_input, failed);
    } else if (call && want) {
        t->kind = RUNG_TEST_CALL;
        t->input = as_text(a, &t->n_input, call, failed);
        t->want = as_text(a, &t->n_want, want, failed);
        if (entry) t->entry = keep(a, entry, strlen(entry), failed);
    } else {
        return missing("tests with \"stdin\" and \"stdout\", \"assert\", or \"call\" and \"want\"",
                       err);
    }
    return RUNG_OK;
}

static rung_status own(rung_code_job *job, rung_arena *a, yyjson_val *row, bool *failed,
                       rung_error *err) {
    static const char *const ways[] = {"lines", "exact", "tokens"};
    yyjson_val *list = yyjson_obj_get(row, "tests");
    const char *program, *setup = rung_json_str(row, "setup", "");
    const char *entry = rung_json_str(row, "entry_point", "");
    const char *how = rung_json_str(row, "compare", "lines");
    RUNG_TRY(rung_json_str_req(&program, row, "program", err));
    if (!yyjson_is_arr(list)) return missing("the array \"tests\"", err);
    RUNG_TRY(rung_code_lang_find(&job->lang, rung_json_str(row, "language", "python"), err));
    size_t k = 0;
    while (k < 3 && strcmp(how, ways[k]) != 0) k++;
    if (k == 3) return missing("\"compare\" to be lines, exact or tokens", err);
    job->compare = (rung_code_compare)k;
    job->program = keep(a, program, strlen(program), failed);
    job->setup = keep(a, setup, strlen(setup), failed);
    job->entry = keep(a, entry, strlen(entry), failed);
    rung_code_test *t = tests(job, a, yyjson_arr_size(list), failed);
    for (size_t i = 0; i < job->n_tests; i++)
        RUNG_TRY(own_test(&t[i], a, yyjson_arr_get(list, i), failed, err));
    return RUNG_OK;
}

rung_status rung_code_job_parse(rung_code_job *out, rung_arena *a, const char *json, size_t n,
                                rung_error *err) {
    yyjson_read_err e;
    bool failed = false;
    *out = (rung_code_job){.entry = "", .setup = ""};
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)json, n, 0, &rung_json_alc, &e);
    if (!doc) return rung_fail(err, RUNG_E_FORMAT, "not JSON: %s at byte %zu", e.msg, e.pos);
    yyjson_val *row = yyjson_doc_get_root(doc);
    rung_status st;
    if (yyjson_obj_get(row, "tests"))
        st = own(out, a, row, &failed, err);
    else if (yyjson_obj_get(row, "test_list"))
        st = mbpp(out, a, row, &failed, err);
    else if (yyjson_obj_get(row, "test"))
        st = human_eval(out, a, row, &failed, err);
    else
        st = missing("\"tests\", \"test_list\" (MBPP) or \"test\" (HumanEval)", err);
    yyjson_doc_free(doc);
    if (st == RUNG_OK && failed) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    if (st == RUNG_OK) out->n_program = strlen(out->program);
    return st;
}

/* Where each kind of row has its program. */
static const char *program_key(yyjson_val *row) {
    return yyjson_obj_get(row, "tests") ? "program" : "completion";
}

rung_status rung_code_job_with(rung_code_job *out, rung_arena *a, const char *tests, size_t n,
                               const char *program, rung_error *err) {
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)tests, n, 0, &rung_json_alc, NULL);
    yyjson_val *root = yyjson_doc_get_root(doc), *inner = yyjson_obj_get(root, "code");
    yyjson_val *row = yyjson_is_obj(inner) ? inner : root;
    yyjson_mut_doc *to = yyjson_mut_doc_new(&rung_json_alc);
    yyjson_mut_val *job = row && to ? yyjson_val_mut_copy(to, row) : NULL;
    size_t n_text = 0;
    char *text = NULL;
    rung_status st = RUNG_OK;
    if (!yyjson_mut_is_obj(job)) {
        st = missing("an object of tests", err);
    } else {
        yyjson_mut_obj_remove_key(job, program_key(row));
        yyjson_mut_obj_add_str(to, job, program_key(row), program);
        text = yyjson_mut_val_write_opts(job, 0, &rung_json_alc, &n_text, NULL);
        if (!text) st = rung_fail(err, RUNG_E_FORMAT, "the program is no UTF-8 text");
    }
    yyjson_doc_free(doc);
    yyjson_mut_doc_free(to);
    if (st == RUNG_OK) st = rung_code_job_parse(out, a, text, n_text, err);
    rung_free(text);
    return st;
}
