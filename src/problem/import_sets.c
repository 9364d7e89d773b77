/* What the rows of each published format hold (formats: docs/formats-problem.md). */
#include "problem/import.h"
#include <stdlib.h>
#include <string.h>

/* A string that must be there and hold something. */
static rung_status text_req(const char **out, yyjson_val *root, const char *key, rung_error *err) {
    RUNG_TRY(rung_json_str_req(out, root, key, err));
    if (**out) return RUNG_OK;
    return rung_fail(err, RUNG_E_FORMAT, "key \"%s\" is empty", key);
}

/* A string that may be absent or null, but nothing else. */
static rung_status text_opt(const char **out, yyjson_val *root, const char *key, rung_error *err) {
    yyjson_val *v = yyjson_obj_get(root, key);
    *out = NULL;
    if (!v || yyjson_is_null(v)) return RUNG_OK;
    return rung_json_str_req(out, root, key, err);
}

static rung_status answer_of(const char **out, const char *solution, const char *rule,
                             rung_arena *a, rung_error *err) {
    rung_answer answer;
    rung_verifier_find("math")->extract(&answer, solution, strlen(solution));
    if (strcmp(answer.rule, rule) != 0 || !answer.text[0])
        return rung_fail(err, RUNG_E_FORMAT, "the solution has no final answer (%s)",
                         strcmp(rule, "gsm8k") == 0 ? "#### n" : "\\boxed{}");
    *out = rung_arena_strndup(a, answer.text, strlen(answer.text));
    return *out ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "out of memory");
}

/* {"question", "answer": "lines\n#### 18"} */
static rung_status gsm8k_row(import_row *out, yyjson_val *root, rung_arena *a, rung_error *err) {
    RUNG_TRY(text_req(&out->p.question, root, "question", err));
    RUNG_TRY(text_req(&out->p.solution, root, "answer", err));
    if (!strstr(out->p.solution, "#### "))
        return rung_fail(err, RUNG_E_FORMAT, "key \"answer\" has no line \"#### n\"");
    return answer_of(&out->p.answer, out->p.solution, "gsm8k", a, err);
}

/* Level as 3, "3" or "Level 3"; 0 unknown. */
static int64_t level_of(yyjson_val *v) {
    if (yyjson_is_int(v)) return yyjson_get_sint(v);
    const char *s = yyjson_get_str(v);
    while (s && *s && (*s < '0' || *s > '9')) s++;
    return s && *s ? strtol(s, NULL, 10) : 0;
}

/* {"problem", "solution", "answer"?, "subject" | "type", "level", "unique_id"?} */
static rung_status math500_row(import_row *out, yyjson_val *root, rung_arena *a, rung_error *err) {
    const char *subject, *type;
    RUNG_TRY(text_req(&out->p.question, root, "problem", err));
    RUNG_TRY(text_req(&out->p.solution, root, "solution", err));
    RUNG_TRY(text_opt(&out->p.answer, root, "answer", err));
    RUNG_TRY(text_opt(&out->p.key, root, "unique_id", err));
    RUNG_TRY(text_opt(&subject, root, "subject", err));
    RUNG_TRY(text_opt(&type, root, "type", err));
    if (!out->p.answer) RUNG_TRY(answer_of(&out->p.answer, out->p.solution, "boxed", a, err));
    if (!out->p.answer[0]) return rung_fail(err, RUNG_E_FORMAT, "key \"answer\" is empty");
    if (!subject) subject = type ? type : "";
    rung_buf meta;
    rung_buf_init(&meta, 1 << 16);
    rung_buf_str(&meta, "{\"subject\":");
    rung_buf_json_str(&meta, subject, strlen(subject));
    rung_buf_printf(&meta, ",\"level\":%lld}", (long long)level_of(yyjson_obj_get(root, "level")));
    out->p.meta = meta.failed ? NULL : rung_arena_strndup(a, meta.data, meta.n);
    rung_buf_clear(&meta);
    return out->p.meta ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "out of memory");
}

/* {"id", "generator", "problem", "steps", "final_answer_correct", "label"}: peers.md 2.1 */
static rung_status processbench_row(import_row *out, yyjson_val *root, rung_arena *a,
                                    rung_error *err) {
    (void)a;
    int64_t label;
    RUNG_TRY(text_req(&out->p.key, root, "id", err));
    RUNG_TRY(text_req(&out->p.question, root, "problem", err));
    RUNG_TRY(text_req(&out->generator, root, "generator", err));
    RUNG_TRY(rung_json_i64_req(&label, root, "label", err));
    yyjson_val *correct = yyjson_obj_get(root, "final_answer_correct");
    out->steps = yyjson_obj_get(root, "steps");
    if (!yyjson_is_arr(out->steps))
        return rung_fail(err, RUNG_E_FORMAT, "key \"steps\" must be an array of strings");
    if (!yyjson_is_bool(correct))
        return rung_fail(err, RUNG_E_FORMAT, "key \"final_answer_correct\" must be true or false");
    if (label < -1 || label >= (int64_t)yyjson_arr_size(out->steps))
        return rung_fail(err, RUNG_E_FORMAT, "label %lld, but there are %zu steps",
                         (long long)label, yyjson_arr_size(out->steps));
    out->first_error = (int32_t)label;
    out->first_error_source = "human";
    out->verdict = yyjson_get_bool(correct) ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG;
    out->verdict_by = "human";
    return RUNG_OK;
}

static rung_status jsonl_trace(import_row *out, yyjson_val *root, rung_error *err) {
    const char *source;
    yyjson_val *first = yyjson_obj_get(root, "first_error");
    yyjson_val *correct = yyjson_obj_get(root, "correct");
    RUNG_TRY(text_opt(&out->generator, root, "generator", err));
    RUNG_TRY(text_opt(&source, root, "first_error_source", err));
    const char *separator;
    RUNG_TRY(text_opt(&separator, root, "separator", err));
    if (separator) out->separator = separator;
    out->first_error_source = source ? source : "human";
    if (strcmp(out->first_error_source, "human") != 0 &&
        strcmp(out->first_error_source, "truth") != 0)
        return rung_fail(err, RUNG_E_FORMAT, "\"first_error_source\" must be human or truth");
    if (first && !yyjson_is_null(first)) {
        int64_t k;
        RUNG_TRY(rung_json_i64_req(&k, root, "first_error", err));
        if (k < -1 || k >= (int64_t)yyjson_arr_size(out->steps))
            return rung_fail(err, RUNG_E_FORMAT, "first_error %lld, but there are %zu steps",
                             (long long)k, yyjson_arr_size(out->steps));
        out->first_error = (int32_t)k;
    }
    if (correct && !yyjson_is_null(correct)) {
        if (!yyjson_is_bool(correct))
            return rung_fail(err, RUNG_E_FORMAT, "key \"correct\" must be true or false");
        out->verdict = yyjson_get_bool(correct) ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG;
        out->verdict_by = "given";
    }
    if (yyjson_obj_get(root, "i")) {
        int64_t i;
        RUNG_TRY(rung_json_i64_req(&i, root, "i", err));
        if (i < 0 || i > INT32_MAX) return rung_fail(err, RUNG_E_FORMAT, "\"i\" must be 0 or more");
        out->i = (int32_t)i;
    }
    return RUNG_OK;
}

/* rung's own form: {"question", "answer"?, "solution"?, "key"?, "split"?, "set"?, "world"?,
 * "meta"?, "verifier"?, "steps"? [...], "separator"?, "generator"?, "i"?, "first_error"?,
 * "first_error_source"?, "correct"?} */
static rung_status jsonl_row(import_row *out, yyjson_val *root, rung_arena *a, rung_error *err) {
    static const char *const known[] = {
        "question", "answer",      "solution",           "key",    "split",     "set",
        "world",    "meta",        "verifier",           "steps",  "separator", "generator",
        "i",        "first_error", "first_error_source", "correct"};
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&it))) {
        size_t k = 0, n = sizeof known / sizeof *known;
        while (k < n && strcmp(known[k], yyjson_get_str(key)) != 0) k++;
        if (k == n)
            return rung_fail(err, RUNG_E_FORMAT, "unknown key \"%.60s\"", yyjson_get_str(key));
    }
    RUNG_TRY(text_req(&out->p.question, root, "question", err));
    const struct {
        const char **to, *name;
    } opt[] = {{&out->p.answer, "answer"},    {&out->p.solution, "solution"},
               {&out->p.key, "key"},          {&out->p.split, "split"},
               {&out->p.set, "set"},          {&out->p.world, "world"},
               {&out->p.verifier, "verifier"}};
    for (size_t k = 0; k < sizeof opt / sizeof *opt; k++)
        RUNG_TRY(text_opt(opt[k].to, root, opt[k].name, err));
    if (out->p.key && !*out->p.key) out->p.key = NULL;
    if (out->p.split && !*out->p.split) out->p.split = NULL;
    if (out->p.set && !*out->p.set) out->p.set = NULL;
    if (out->p.verifier && !rung_verifier_find(out->p.verifier))
        return rung_fail(err, RUNG_E_FORMAT, "no verifier \"%.60s\"", out->p.verifier);
    if (out->p.world && *out->p.world && !rung_world_find(out->p.world))
        return rung_fail(err, RUNG_E_FORMAT, "no world \"%.60s\"", out->p.world);
    yyjson_val *meta = yyjson_obj_get(root, "meta");
    if (meta && !yyjson_is_null(meta)) {
        if (!yyjson_is_obj(meta))
            return rung_fail(err, RUNG_E_FORMAT, "\"meta\" must be an object");
        size_t n;
        char *json = yyjson_val_write_opts(meta, 0, &rung_json_alc, &n, NULL);
        out->p.meta = json ? rung_arena_strndup(a, json, n) : NULL;
        rung_free(json);
        if (!out->p.meta) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    }
    out->steps = yyjson_obj_get(root, "steps");
    if (yyjson_is_null(out->steps)) out->steps = NULL;
    if (!out->steps) return RUNG_OK;
    if (!yyjson_is_arr(out->steps))
        return rung_fail(err, RUNG_E_FORMAT, "key \"steps\" must be an array of strings");
    return jsonl_trace(out, root, err);
}

#define IMPORTERS(X)                                                                               \
    X(gsm8k, "{question, answer with #### n}, a line each")                                        \
    X(math500, "MATH and MATH-500: {problem, solution, answer, subject, level, unique_id}")        \
    X(processbench, "solutions with the first wrong step marked by people")                        \
    X(jsonl, "rung's own form: {question, answer, steps, first_error, ...}")
#define X(n, help_text)                                                                            \
    static rung_status n##_import(rung_import_report *out, rung_store *s, const char *path,        \
                                  const rung_import_opts *o, const rung_log *log,                  \
                                  rung_error *err) {                                               \
        return import_rows(out, s, #n, #n, n##_row, path, o, log, err);                            \
    }
IMPORTERS(X)
#undef X
static const rung_importer importers[] = {
#define X(n, help_text) {#n, help_text, n##_import},
    IMPORTERS(X)
#undef X
};
enum { N_IMPORTERS = sizeof importers / sizeof *importers };

const rung_importer *rung_importer_at(size_t i) {
    return i < N_IMPORTERS ? &importers[i] : NULL;
}

const rung_importer *rung_importer_find(const char *name) {
    for (size_t i = 0; name && i < N_IMPORTERS; i++)
        if (strcmp(importers[i].name, name) == 0) return &importers[i];
    return NULL;
}
