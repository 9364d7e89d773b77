/* Problems with an outcome: GSM8K, MATH, verl's rows, samples of lm-evaluation-harness.
 * peers.md 2.2, 2.3, 2.6 */
#include "format/row.h"
#include "rung/verify.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What this extraction rule finds in a solution; E_FORMAT when nothing. */
static rung_status answer_of(const char **out, const char *solution, const char *rule,
                             rung_arena *a, rung_error *err) {
    rung_answer answer;
    rung_verifier_find("math")->extract(&answer, solution, strlen(solution));
    if (strcmp(answer.rule, rule) != 0 || !answer.text[0])
        return rung_fail(err, RUNG_E_FORMAT, "the solution has no final answer (%s)",
                         strcmp(rule, "gsm8k") == 0 ? "#### n" : "\\boxed{}");
    return arena_text(out, a, answer.text, strlen(answer.text), err);
}

/* ---- GSM8K: {"question","answer": "lines\n#### 18"} */

rung_status gsm8k_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                       const rung_format_opts *o, rung_error *err) {
    (void)key;
    (void)o;
    RUNG_TRY(field_text(&out->question, root, "question", err));
    RUNG_TRY(field_text(&out->solution, root, "answer", err));
    if (!strstr(out->solution, "#### "))
        return rung_fail(err, RUNG_E_FORMAT, "key \"answer\" has no line \"#### n\"");
    RUNG_TRY(answer_of(&out->answer, out->solution, "gsm8k", a, err));
    return KEEP_REST(out, "gsm8k", root, a, err, "question", "answer");
}

rung_status gsm8k_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                        rung_error *err) {
    (void)o;
    const char *solution = r->solution ? r->solution : "";
    bool marked = strstr(solution, "#### ") != NULL;
    if (!marked && !(r->answer && *r->answer))
        return rung_fail(err, RUNG_E_FORMAT, "there is no reference answer");
    rung_buf text;
    rung_buf_init(&text, 2 * (size_t)FORMAT_LINE_MAX);
    rung_buf_str(&text, solution);
    if (!marked) rung_buf_printf(&text, "%s#### %s", *solution ? "\n" : "", r->answer);
    obj_writer w = obj_open(b);
    obj_str(&w, "question", r->question);
    obj_str(&w, "answer", text.data ? text.data : "");
    if (text.failed) b->failed = true;
    obj_extra(&w, r, "gsm8k", NULL);
    obj_close(&w);
    rung_buf_clear(&text);
    return RUNG_OK;
}

/* ---- MATH: {"problem","solution","answer"?,"subject"|"type","level","unique_id"?} */

/* Level as 3, "3" or "Level 3"; 0 unknown. */
static int64_t level_of(yyjson_val *v) {
    if (yyjson_is_int(v)) return yyjson_get_sint(v);
    const char *s = yyjson_get_str(v);
    while (s && *s && (*s < '0' || *s > '9')) s++;
    return s && *s ? strtol(s, NULL, 10) : 0;
}

rung_status math500_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                         const rung_format_opts *o, rung_error *err) {
    (void)key;
    (void)o;
    const char *subject, *type;
    RUNG_TRY(field_text(&out->question, root, "problem", err));
    RUNG_TRY(field_text(&out->solution, root, "solution", err));
    RUNG_TRY(field_text_opt(&out->answer, root, "answer", err));
    RUNG_TRY(field_text_opt(&out->id, root, "unique_id", err));
    RUNG_TRY(field_text_opt(&subject, root, "subject", err));
    RUNG_TRY(field_text_opt(&type, root, "type", err));
    if (!out->answer) RUNG_TRY(answer_of(&out->answer, out->solution, "boxed", a, err));
    if (!out->answer[0]) return rung_fail(err, RUNG_E_FORMAT, "key \"answer\" is empty");
    if (!subject) subject = type ? type : "";
    rung_buf meta;
    rung_buf_init(&meta, 1 << 16);
    obj_writer w = obj_open(&meta);
    obj_str(&w, "subject", subject);
    obj_int(&w, "level", level_of(yyjson_obj_get(root, "level")));
    obj_close(&w);
    rung_status st = rung_buf_check(&meta, err);
    if (st == RUNG_OK) st = arena_text(&out->meta, a, meta.data, meta.n, err);
    rung_buf_clear(&meta);
    if (st != RUNG_OK) return st;
    /* subject or type, 3 or "Level 3": as this copy of the set has it */
    return KEEP_REST(out, "math500", root, a, err, "problem", "solution", "answer", "unique_id");
}

rung_status math500_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                          rung_error *err) {
    (void)o;
    if (!(r->answer && *r->answer))
        return rung_fail(err, RUNG_E_FORMAT, "there is no reference answer");
    yyjson_doc *own = extra_of(r, "math500");
    yyjson_doc *meta = r->meta ? yyjson_read(r->meta, strlen(r->meta), 0) : NULL;
    obj_writer w = obj_open(b);
    obj_str(&w, "problem", r->question);
    obj_str(&w, "solution", r->solution ? r->solution : "");
    obj_str(&w, "answer", r->answer);
    if (!own) {
        const char *subject = rung_json_str(yyjson_doc_get_root(meta), "subject", "");
        obj_str(&w, "subject", subject);
        obj_int(&w, "level", rung_json_i64(yyjson_doc_get_root(meta), "level", 0));
    }
    obj_str_opt(&w, "unique_id", r->id);
    obj_extra(&w, r, "math500", NULL);
    obj_close(&w);
    yyjson_doc_free(own);
    yyjson_doc_free(meta);
    return RUNG_OK;
}

/* ---- verl: {"data_source","prompt":[{"role","content"}],"ability","reward_model":{"style",
 * "ground_truth"},"extra_info":{"split","index"}}, JSON lines of its parquet (peers.md 2.3) */

static const char *last_user(yyjson_val *prompt) {
    const char *text = NULL;
    size_t k, n;
    yyjson_val *m;
    yyjson_arr_foreach(prompt, k, n, m) {
        const char *role = yyjson_get_str(yyjson_obj_get(m, "role"));
        if (role && strcmp(role, "user") == 0) text = yyjson_get_str(yyjson_obj_get(m, "content"));
    }
    return text;
}

rung_status verl_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                      const rung_format_opts *o, rung_error *err) {
    (void)key;
    (void)o;
    yyjson_val *prompt, *reward = yyjson_obj_get(root, "reward_model");
    yyjson_val *info = yyjson_obj_get(root, "extra_info");
    RUNG_TRY(field_text(&out->set, root, "data_source", err));
    RUNG_TRY(field_array(&prompt, root, "prompt", err));
    out->question = last_user(prompt);
    if (!out->question || !*out->question)
        return rung_fail(err, RUNG_E_FORMAT, "no message of \"prompt\" is the user's");
    if (!yyjson_is_obj(reward))
        return rung_fail(err, RUNG_E_FORMAT, "key \"reward_model\" must be an object");
    RUNG_TRY(field_text_opt(&out->answer, reward, "ground_truth", err));
    if (yyjson_is_obj(info)) RUNG_TRY(field_text_opt(&out->split, info, "split", err));
    if (yyjson_arr_size(prompt) == 1)
        return KEEP_REST(out, "verl", root, a, err, "data_source", "prompt",
                         "reward_model.ground_truth", "extra_info.split");
    return KEEP_REST(out, "verl", root, a, err, "data_source", "reward_model.ground_truth",
                     "extra_info.split");
}

rung_status verl_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                       rung_error *err) {
    (void)o;
    (void)err;
    static const char *const done[] = {"reward_model", "extra_info"};
    yyjson_doc *own = extra_of(r, "verl");
    yyjson_val *root = yyjson_doc_get_root(own);
    obj_writer w = obj_open(b);
    obj_str(&w, "data_source", r->set ? r->set : "rung");
    if (!yyjson_obj_get(root, "prompt")) {
        obj_key(&w, "prompt");
        rung_buf_str(b, "[{\"role\":\"user\",\"content\":");
        rung_buf_json_str(b, r->question, strlen(r->question));
        rung_buf_str(b, "}]");
    }
    if (!root) obj_str(&w, "ability", "math");
    obj_key(&w, "reward_model");
    obj_writer reward = obj_open(b);
    obj_str(&reward, "ground_truth", r->answer);
    if (!root) obj_str(&reward, "style", "rule");
    obj_extra(&reward, r, "verl", "reward_model");
    obj_close(&reward);
    obj_key(&w, "extra_info");
    obj_writer info = obj_open(b);
    obj_str_opt(&info, "split", r->split);
    obj_extra(&info, r, "verl", "extra_info");
    obj_close(&info);
    obj_members_but(&w, root, done, 2);
    obj_close(&w);
    yyjson_doc_free(own);
    return RUNG_OK;
}

/* ---- lm-evaluation-harness, a line of its samples file: {"doc_id","doc","target","resps",
 * "filtered_resps", metrics}; several replies are several one-step solutions (peers.md 2.6) */

static const char *question_of(yyjson_val *doc) {
    static const char *const keys[] = {"question", "problem", "prompt", "query", "input"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *s = yyjson_get_str(yyjson_obj_get(doc, keys[i]));
        if (s && *s) return s;
    }
    return NULL;
}

static rung_status target_of(rung_rated *out, yyjson_val *target, rung_arena *a, rung_error *err) {
    if (yyjson_is_str(target)) {
        const char *text = yyjson_get_str(target);
        if (!strstr(text, "#### ")) {
            out->answer = text;
            return RUNG_OK;
        }
        out->solution = text; /* the gsm8k task has the whole solution here */
        return answer_of(&out->answer, text, "gsm8k", a, err);
    }
    if (!yyjson_is_num(target)) return RUNG_OK;
    char *json = yyjson_val_write_opts(target, 0, &rung_json_alc, NULL, NULL);
    rung_status st = json ? arena_text(&out->answer, a, json, strlen(json), err)
                          : rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_free(json);
    return st;
}

static void metric_of(rung_rated *out, yyjson_val *root) {
    static const char *const keys[] = {"exact_match", "acc", "math_verify", "pass@1"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !out->outcome_given; i++) {
        yyjson_val *v = yyjson_obj_get(root, keys[i]);
        double x = yyjson_is_bool(v) ? yyjson_get_bool(v) : yyjson_get_num(v);
        if (!v || (x != 0 && x != 1)) continue;
        out->outcome_given = true;
        out->outcome = x > 0 ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG;
    }
}

rung_status lm_eval_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                         const rung_format_opts *o, rung_error *err) {
    (void)key;
    (void)o;
    yyjson_val *resps, *v, *id = yyjson_obj_get(root, "doc_id");
    size_t k, n;
    char text[32];
    if (!yyjson_is_int(id))
        return rung_fail(err, RUNG_E_FORMAT, "key \"doc_id\" must be an integer");
    int len = snprintf(text, sizeof text, "%lld", (long long)yyjson_get_sint(id));
    RUNG_TRY(arena_text(&out->id, a, text, (size_t)len, err));
    out->question = question_of(yyjson_obj_get(root, "doc"));
    if (!out->question) return rung_fail(err, RUNG_E_FORMAT, "\"doc\" has no question");
    RUNG_TRY(field_array(&resps, root, "resps", err));
    if (yyjson_is_arr(yyjson_arr_get_first(resps))) resps = yyjson_arr_get_first(resps);
    RUNG_TRY(target_of(out, yyjson_obj_get(root, "target"), a, err));
    out->step = steps_new(yyjson_arr_size(resps), a, err);
    if (!out->step) return err->code;
    yyjson_arr_foreach(resps, k, n, v) {
        out->step[k].text = yyjson_get_str(v);
        out->step[k].parent = -1;
        if (!out->step[k].text || !*out->step[k].text)
            return rung_fail(err, RUNG_E_FORMAT, "reply %zu is no text", k);
    }
    out->n_steps = (int32_t)n;
    out->last = 0;
    metric_of(out, root);
    return keep_rest(out, "lm_eval", root, NULL, 0, a, err); /* written back as it was */
}

rung_status lm_eval_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                          rung_error *err) {
    (void)o;
    (void)err;
    obj_writer w = obj_open(b);
    if (r->extra_format && strcmp(r->extra_format, "lm_eval") == 0) {
        obj_extra(&w, r, "lm_eval", NULL);
        obj_close(&w);
        return RUNG_OK;
    }
    char *end = NULL;
    long long id = r->id ? strtoll(r->id, &end, 10) : 0;
    obj_int(&w, "doc_id", end && *end == '\0' ? id : 0);
    obj_key(&w, "doc");
    obj_writer doc = obj_open(b);
    obj_str(&doc, "question", r->question);
    obj_str_opt(&doc, "answer", r->answer);
    obj_close(&doc);
    obj_str(&w, "target", r->answer);
    rung_buf text;
    rung_buf_init(&text, 2 * (size_t)FORMAT_LINE_MAX);
    for (int32_t k = 0; k < r->n_steps; k++) {
        if (k) rung_buf_str(&text, r->separator ? r->separator : "\n");
        rung_buf_str(&text, r->step[k].text);
    }
    obj_key(&w, "resps");
    rung_buf_str(b, "[[");
    rung_buf_json_str(b, text.data ? text.data : "", text.n);
    rung_buf_str(b, "]]");
    if (text.failed) b->failed = true;
    rung_buf_clear(&text);
    if (r->outcome_given) obj_int(&w, "exact_match", r->outcome == RUNG_VERDICT_CORRECT);
    obj_close(&w);
    return RUNG_OK;
}
