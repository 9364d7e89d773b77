/* Formats that mark the first wrong step only: ProcessBench (0-based), BIG-Bench-Mistake (0-based
 * or null), MR-GSM8K and Mr-Ben (1-based). peers.md 2.1 */
#include "format/row.h"
#include "rung/verify.h"
#include <stdlib.h>
#include <string.h>

/* label counted from `base`; below base: no error */
static rung_status set_index(rung_rated *r, int64_t label, int64_t base, const char *key,
                             rung_error *err) {
    int64_t k = label - base;
    if (k < -1 || k >= r->n_steps)
        return rung_fail(err, RUNG_E_FORMAT, "\"%s\" is %lld, but there are %d steps", key,
                         (long long)label, r->n_steps);
    r->first_error = (int32_t)k;
    set_marks(r);
    return RUNG_OK;
}

/* What the last steps give as answer; "" when none. */
static void own_answer(rung_answer *out, rung_buf *text, const rung_rated *r) {
    for (int32_t k = 0; k < r->n_steps; k++) {
        rung_buf_str(text, r->step[k].text);
        rung_buf_str(text, "\n");
    }
    rung_verifier_find("math")->extract(out, text->data ? text->data : "", text->n);
}

/* Whether the final answer is right: as given, else checked against the reference answer. */
static rung_status outcome_of(bool *right, const rung_rated *r, rung_error *err) {
    if (r->outcome_given && r->outcome != RUNG_VERDICT_UNKNOWN) {
        *right = r->outcome == RUNG_VERDICT_CORRECT;
        return RUNG_OK;
    }
    rung_check c = {.verdict = RUNG_VERDICT_UNKNOWN};
    if (r->answer && *r->answer) {
        rung_answer a;
        rung_buf text;
        rung_buf_init(&text, 2 * (size_t)FORMAT_LINE_MAX);
        own_answer(&a, &text, r);
        if (a.text[0])
            rung_verifier_check(&c, rung_verifier_find("math"), r->meta ? r->meta : "{}", r->answer,
                                a.text);
        rung_buf_clear(&text);
    }
    *right = c.verdict == RUNG_VERDICT_CORRECT;
    if (c.verdict != RUNG_VERDICT_UNKNOWN) return RUNG_OK;
    return rung_fail(err, RUNG_E_FORMAT, "whether the final answer is right is not known");
}

/* ---- ProcessBench: {"id","generator","problem","steps","final_answer_correct","label"} */

rung_status processbench_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                              const rung_format_opts *o, rung_error *err) {
    (void)key;
    (void)o;
    int64_t label;
    bool right;
    yyjson_val *steps;
    RUNG_TRY(field_text(&out->id, root, "id", err));
    RUNG_TRY(field_text(&out->question, root, "problem", err));
    RUNG_TRY(field_text(&out->generator, root, "generator", err));
    RUNG_TRY(rung_json_i64_req(&label, root, "label", err));
    RUNG_TRY(field_bool(&right, root, "final_answer_correct", err));
    RUNG_TRY(field_array(&steps, root, "steps", err));
    RUNG_TRY(chain_of(out, steps, "steps", a, err));
    out->outcome = right ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG;
    out->outcome_given = true;
    RUNG_TRY(set_index(out, label, 0, "label", err));
    return KEEP_REST(out, "processbench", root, a, err, "id", "generator", "problem", "steps",
                     "final_answer_correct", "label");
}

rung_status processbench_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                               rung_error *err) {
    (void)o;
    bool right;
    RUNG_TRY(outcome_of(&right, r, err));
    obj_writer w = obj_open(b);
    obj_str(&w, "id", r->id ? r->id : "");
    obj_str(&w, "generator", r->generator ? r->generator : "unknown");
    obj_str(&w, "problem", r->question);
    obj_steps(&w, "steps", r);
    obj_bool(&w, "final_answer_correct", right);
    obj_int(&w, "label", r->first_error);
    obj_extra(&w, r, "processbench", NULL);
    obj_close(&w);
    return RUNG_OK;
}

/* ---- BIG-Bench-Mistake: {"input","steps","target","answer","mistake_index"} */

rung_status bigbench_mistake_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                                  const rung_format_opts *o, rung_error *err) {
    (void)key;
    (void)o;
    int64_t label = -1;
    const char *answer;
    yyjson_val *steps, *at = yyjson_obj_get(root, "mistake_index");
    RUNG_TRY(field_text(&out->question, root, "input", err));
    RUNG_TRY(field_text_opt(&out->answer, root, "target", err));
    RUNG_TRY(field_text_opt(&answer, root, "answer", err));
    RUNG_TRY(field_array(&steps, root, "steps", err));
    RUNG_TRY(chain_of(out, steps, "steps", a, err));
    if (!at) return rung_fail(err, RUNG_E_FORMAT, "key \"mistake_index\" is missing");
    if (!yyjson_is_null(at)) {
        RUNG_TRY(rung_json_i64_req(&label, root, "mistake_index", err));
        if (label < 0)
            return rung_fail(err, RUNG_E_FORMAT, "\"mistake_index\" is %lld; none is null",
                             (long long)label);
    }
    RUNG_TRY(set_index(out, label, 0, "mistake_index", err));
    if (answer && out->answer) {
        out->outcome_given = true;
        out->outcome = strcmp(answer, out->answer) == 0 ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG;
    }
    return KEEP_REST(out, "bigbench_mistake", root, a, err, "input", "steps", "target",
                     "mistake_index");
}

rung_status bigbench_mistake_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                                   rung_error *err) {
    (void)o;
    (void)err;
    yyjson_doc *own = extra_of(r, "bigbench_mistake");
    obj_writer w = obj_open(b);
    obj_str(&w, "input", r->question);
    obj_steps(&w, "steps", r);
    obj_str_opt(&w, "target", r->answer);
    if (!yyjson_obj_get(yyjson_doc_get_root(own), "answer")) {
        rung_answer answer;
        rung_buf text;
        rung_buf_init(&text, 2 * (size_t)FORMAT_LINE_MAX);
        own_answer(&answer, &text, r);
        obj_str(&w, "answer", answer.text);
        rung_buf_clear(&text);
    }
    yyjson_doc_free(own);
    if (r->first_error < 0) {
        obj_key(&w, "mistake_index");
        rung_buf_str(b, "null");
    } else {
        obj_int(&w, "mistake_index", r->first_error);
    }
    obj_extra(&w, r, "bigbench_mistake", NULL);
    obj_close(&w);
    return RUNG_OK;
}

/* ---- MR-GSM8K and Mr-Ben: the same columns under other names, the index from 1 or "N/A" */

/* true: right. Strings as both sets have them. */
static rung_status correctness(bool *out, yyjson_val *root, const char *key, rung_error *err) {
    yyjson_val *v = yyjson_obj_get(root, key);
    const char *s = yyjson_get_str(v);
    if (yyjson_is_bool(v)) {
        *out = yyjson_get_bool(v);
    } else if (s && strcmp(s, "correct") == 0) {
        *out = true;
    } else if (s && (strcmp(s, "incorrect") == 0 || strcmp(s, "wrong") == 0)) {
        *out = false;
    } else {
        return rung_fail(err, RUNG_E_FORMAT, "key \"%s\" must be correct or incorrect", key);
    }
    return RUNG_OK;
}

static rung_status mr_label(rung_rated *out, yyjson_val *root, const char *right_key,
                            const char *step_key, rung_error *err) {
    bool right;
    RUNG_TRY(correctness(&right, root, right_key, err));
    if (right) return set_index(out, 0, 1, step_key, err);
    yyjson_val *v = yyjson_obj_get(root, step_key);
    const char *s = yyjson_get_str(v);
    char *end = NULL;
    int64_t k = yyjson_is_int(v) ? yyjson_get_sint(v) : s ? strtol(s, &end, 10) : 0;
    if (k < 1 || (s && *end))
        return rung_fail(err, RUNG_E_FORMAT,
                         "the solution is wrong, but \"%s\" names no step (they count from 1)",
                         step_key);
    return set_index(out, k, 1, step_key, err);
}

static void mr_label_write(obj_writer *w, const rung_rated *r, const char *right_key,
                           const char *step_key) {
    obj_str(w, right_key, r->first_error < 0 ? "correct" : "incorrect");
    if (r->first_error < 0)
        obj_str(w, step_key, "N/A");
    else
        obj_int(w, step_key, r->first_error + 1);
}

#define MR(what) "model_output_" what
rung_status mr_gsm8k_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                          const rung_format_opts *o, rung_error *err) {
    (void)key;
    (void)o;
    bool right;
    yyjson_val *steps;
    RUNG_TRY(field_text_opt(&out->id, root, "uuid", err));
    RUNG_TRY(field_text(&out->question, root, "question", err));
    RUNG_TRY(field_text_opt(&out->solution, root, "ground_truth_solution", err));
    RUNG_TRY(field_text_opt(&out->answer, root, "ground_truth_answer", err));
    RUNG_TRY(field_array(&steps, root, MR("steps"), err));
    RUNG_TRY(chain_of(out, steps, MR("steps"), a, err));
    RUNG_TRY(correctness(&right, root, MR("answer_correctness"), err));
    out->outcome = right ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG;
    out->outcome_given = true;
    RUNG_TRY(mr_label(out, root, MR("solution_correctness"), MR("solution_first_error_step"), err));
    return KEEP_REST(out, "mr_gsm8k", root, a, err, "uuid", "question", "ground_truth_solution",
                     "ground_truth_answer", MR("steps"), MR("answer_correctness"),
                     MR("solution_correctness"), MR("solution_first_error_step"));
}

rung_status mr_gsm8k_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                           rung_error *err) {
    (void)o;
    bool right;
    RUNG_TRY(outcome_of(&right, r, err));
    obj_writer w = obj_open(b);
    obj_str_opt(&w, "uuid", r->id);
    obj_str(&w, "question", r->question);
    obj_str_opt(&w, "ground_truth_solution", r->solution);
    obj_str_opt(&w, "ground_truth_answer", r->answer);
    obj_steps(&w, MR("steps"), r);
    obj_str(&w, MR("answer_correctness"), right ? "correct" : "incorrect");
    mr_label_write(&w, r, MR("solution_correctness"), MR("solution_first_error_step"));
    obj_extra(&w, r, "mr_gsm8k", NULL);
    obj_close(&w);
    return RUNG_OK;
}
#undef MR

#define MB(what) "Model_Solution_" what
rung_status mr_ben_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                        const rung_format_opts *o, rung_error *err) {
    (void)o;
    yyjson_val *steps;
    out->id = key;
    if (!key) RUNG_TRY(field_text_opt(&out->id, root, "uuid", err));
    RUNG_TRY(field_text(&out->question, root, "Question", err));
    RUNG_TRY(field_text_opt(&out->answer, root, "Ground_Truth_Answer", err));
    RUNG_TRY(field_text_opt(&out->generator, root, "Sampled_Model", err));
    RUNG_TRY(field_array(&steps, root, MB("Steps"), err));
    RUNG_TRY(chain_of(out, steps, MB("Steps"), a, err));
    RUNG_TRY(mr_label(out, root, MB("Correctness"), MB("First_Error_Step"), err));
    return KEEP_REST(out, "mr_ben", root, a, err, "uuid", "Question", "Ground_Truth_Answer",
                     "Sampled_Model", MB("Steps"), MB("Correctness"), MB("First_Error_Step"));
}

rung_status mr_ben_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                         rung_error *err) {
    (void)o;
    (void)err;
    obj_writer w = obj_open(b);
    obj_str_opt(&w, "uuid", r->id);
    obj_str(&w, "Question", r->question);
    obj_str_opt(&w, "Ground_Truth_Answer", r->answer);
    obj_str_opt(&w, "Sampled_Model", r->generator);
    obj_steps(&w, MB("Steps"), r);
    mr_label_write(&w, r, MB("Correctness"), MB("First_Error_Step"));
    obj_extra(&w, r, "mr_ben", NULL);
    obj_close(&w);
    return RUNG_OK;
}
#undef MB
