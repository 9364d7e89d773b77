/* Labels on the messages of an agent (AgentProcessBench) and labels by step number alone (potato's
 * export). peers.md 2.1 */
#include "format/row.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_role(yyjson_val *message, const char *role) {
    const char *s = yyjson_get_str(yyjson_obj_get(message, "role"));
    return s && strcmp(s, role) == 0;
}

/* -1, 0, 1 or null */
static rung_status three_way(rung_mark *out, yyjson_val *v, const char *what, rung_error *err) {
    *out = RUNG_MARK_NONE;
    if (!v || yyjson_is_null(v)) return RUNG_OK;
    int64_t x = yyjson_is_int(v) ? yyjson_get_sint(v) : 2;
    if (x < -1 || x > 1) return rung_fail(err, RUNG_E_FORMAT, "%s is not -1, 0, 1 or null", what);
    *out = x > 0 ? RUNG_MARK_RIGHT : x < 0 ? RUNG_MARK_WRONG : RUNG_MARK_NEUTRAL;
    return RUNG_OK;
}

static int value_of(rung_mark m) {
    return m == RUNG_MARK_RIGHT ? 1 : m == RUNG_MARK_WRONG ? -1 : 0;
}

/* ---- AgentProcessBench: {"messages","tools","step_labels":{"2":1,"4":-1},"final_label"}; the
 * steps are the assistant's messages */

/* Its text, or its tool calls as JSON. */
static rung_status message_text(const char **out, yyjson_val *m, size_t at, rung_arena *a,
                                rung_error *err) {
    *out = yyjson_get_str(yyjson_obj_get(m, "content"));
    if (*out && **out) return RUNG_OK;
    yyjson_val *calls = yyjson_obj_get(m, "tool_calls");
    if (!calls) return rung_fail(err, RUNG_E_FORMAT, "message %zu has no text", at);
    char *json = yyjson_val_write_opts(calls, 0, &rung_json_alc, NULL, NULL);
    rung_status st = json ? arena_text(out, a, json, strlen(json), err)
                          : rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_free(json);
    return st;
}

static rung_status agent_steps(rung_rated *out, yyjson_val *messages, yyjson_val *labels,
                               rung_arena *a, rung_error *err) {
    size_t k, n, n_labels = 0;
    yyjson_val *m;
    out->step = steps_new(yyjson_arr_size(messages), a, err);
    if (!out->step) return err->code;
    yyjson_arr_foreach(messages, k, n, m) {
        char index[24], what[48];
        if (is_role(m, "user") && !out->question)
            out->question = yyjson_get_str(yyjson_obj_get(m, "content"));
        snprintf(index, sizeof index, "%zu", k);
        yyjson_val *label = yyjson_obj_get(labels, index);
        n_labels += label != NULL;
        if (!is_role(m, "assistant")) {
            if (label)
                return rung_fail(err, RUNG_E_FORMAT,
                                 "message %zu is labelled, but not the assistant's", k);
            continue;
        }
        rung_rated_step *s = &out->step[out->n_steps];
        RUNG_TRY(message_text(&s->text, m, k, a, err));
        snprintf(what, sizeof what, "the label of message %zu", k);
        RUNG_TRY(three_way(&s->mark, label, what, err));
        out->n_steps++;
    }
    if (n_labels != yyjson_obj_size(labels))
        return rung_fail(err, RUNG_E_FORMAT, "%zu labels for messages that are not there",
                         yyjson_obj_size(labels) - n_labels);
    out->last = out->n_steps - 1;
    return out->n_steps ? RUNG_OK : rung_fail(err, RUNG_E_FORMAT, "there are no steps");
}

rung_status agentprocessbench_read(rung_rated *out, yyjson_val *root, const char *key,
                                   rung_arena *a, const rung_format_opts *o, rung_error *err) {
    (void)key;
    (void)o;
    yyjson_val *messages, *labels = yyjson_obj_get(root, "step_labels");
    yyjson_val *final = yyjson_obj_get(root, "final_label");
    rung_mark outcome;
    RUNG_TRY(field_array(&messages, root, "messages", err));
    if (!yyjson_is_obj(labels))
        return rung_fail(err, RUNG_E_FORMAT, "key \"step_labels\" must be an object");
    RUNG_TRY(agent_steps(out, messages, labels, a, err));
    if (!out->question) return rung_fail(err, RUNG_E_FORMAT, "no message is the user's");
    RUNG_TRY(three_way(&outcome, final, "\"final_label\"", err));
    out->outcome_given = outcome == RUNG_MARK_RIGHT || outcome == RUNG_MARK_WRONG;
    if (out->outcome_given)
        out->outcome = outcome == RUNG_MARK_RIGHT ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG;
    set_first_error(out);
    if (out->outcome_given)
        return KEEP_REST(out, "agentprocessbench", root, a, err, "step_labels", "final_label");
    return KEEP_REST(out, "agentprocessbench", root, a, err, "step_labels");
}

rung_status agentprocessbench_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                                    rung_error *err) {
    (void)o;
    yyjson_doc *own = extra_of(r, "agentprocessbench");
    yyjson_val *messages = yyjson_obj_get(yyjson_doc_get_root(own), "messages"), *m;
    rung_status st = RUNG_OK;
    obj_writer w = obj_open(b);
    if (!messages) {
        obj_key(&w, "messages");
        rung_buf_str(b, "[{\"role\":\"user\",\"content\":");
        rung_buf_json_str(b, r->question, strlen(r->question));
        for (int32_t k = 0; k < r->n_steps; k++) {
            rung_buf_str(b, "},{\"role\":\"assistant\",\"content\":");
            rung_buf_json_str(b, r->step[k].text, strlen(r->step[k].text));
        }
        rung_buf_str(b, "}]");
    }
    obj_extra(&w, r, "agentprocessbench", NULL);
    obj_key(&w, "step_labels");
    obj_writer labels = obj_open(b);
    size_t at = 1, n = messages ? yyjson_arr_size(messages) : (size_t)r->n_steps + 1;
    int32_t k = 0;
    for (at = 0; at < n; at++) {
        m = yyjson_arr_get(messages, at);
        if (messages ? !is_role(m, "assistant") : at == 0) continue;
        if (k == r->n_steps) break;
        char index[24];
        snprintf(index, sizeof index, "%zu", at);
        if (r->step[k].mark != RUNG_MARK_NONE) obj_int(&labels, index, value_of(r->step[k].mark));
        k++;
    }
    if (k != r->n_steps)
        st = rung_fail(err, RUNG_E_FORMAT, "%d steps, but %d messages of the assistant", r->n_steps,
                       k);
    obj_close(&labels);
    if (r->outcome_given) obj_int(&w, "final_label", r->outcome == RUNG_VERDICT_CORRECT ? 1 : -1);
    obj_close(&w);
    yyjson_doc_free(own);
    return st;
}

/* ---- potato: {"instance_id","annotator","mode","steps":[{"index","reward","source",...}]}; labels
 * by number, no texts; a reward is -1, 0, 1, null or a value between */

static rung_status potato_step(rung_rated *out, yyjson_val *v, size_t k, rung_error *err) {
    yyjson_val *reward = yyjson_obj_get(v, "reward"), *index = yyjson_obj_get(v, "index");
    rung_rated_step *s = &out->step[k];
    if (!yyjson_is_int(index) || yyjson_get_sint(index) != (int64_t)k)
        return rung_fail(err, RUNG_E_FORMAT, "step %zu has another index or none", k);
    if (yyjson_is_real(reward)) return unit_value(&s->soft, reward, "reward", k, err);
    char what[40];
    snprintf(what, sizeof what, "reward %zu", k);
    return three_way(&s->mark, reward, what, err);
}

rung_status potato_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                        const rung_format_opts *o, rung_error *err) {
    (void)key;
    (void)o;
    static const char *const known[] = {"index", "reward"};
    yyjson_val *steps, *v;
    size_t k, n;
    rung_buf b;
    RUNG_TRY(field_text(&out->id, root, "instance_id", err));
    RUNG_TRY(field_text_opt(&out->labeler, root, "annotator", err));
    RUNG_TRY(field_array(&steps, root, "steps", err));
    out->step = steps_new(yyjson_arr_size(steps), a, err);
    if (!out->step) return err->code;
    out->n_steps = (int32_t)yyjson_arr_size(steps);
    out->last = out->n_steps - 1;
    yyjson_arr_foreach(steps, k, n, v) RUNG_TRY(potato_step(out, v, k, err));
    set_first_error(out);
    RUNG_TRY(KEEP_REST(out, "potato", root, a, err, "instance_id", "annotator", "steps"));
    rung_buf_init(&b, 2 * (size_t)FORMAT_LINE_MAX);
    obj_writer w = obj_open(&b);
    obj_extra(&w, out, "potato", NULL);
    obj_key(&w, "_steps"); /* their other members */
    rung_buf_str(&b, "[");
    yyjson_arr_foreach(steps, k, n, v) {
        rung_buf_str(&b, k ? "," : "");
        obj_writer one = obj_open(&b);
        obj_members_but(&one, v, known, 2);
        obj_close(&one);
    }
    rung_buf_str(&b, "]");
    obj_close(&w);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) st = arena_text(&out->extra, a, b.data, b.n, err);
    out->extra_format = "potato";
    rung_buf_clear(&b);
    return st;
}

rung_status potato_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                         rung_error *err) {
    (void)o;
    (void)err;
    yyjson_doc *own = extra_of(r, "potato");
    yyjson_val *rest = yyjson_obj_get(yyjson_doc_get_root(own), "_steps");
    obj_writer w = obj_open(b);
    obj_str(&w, "instance_id", r->id ? r->id : "");
    obj_str_opt(&w, "annotator", r->labeler);
    if (!own) obj_str(&w, "mode", "per_step");
    obj_key(&w, "steps");
    rung_buf_str(b, "[");
    for (int32_t k = 0; k < r->n_steps; k++) {
        const rung_rated_step *s = &r->step[k];
        rung_buf_str(b, k ? "," : "");
        obj_writer one = obj_open(b);
        obj_int(&one, "index", k);
        obj_key(&one, "reward");
        if (isfinite(s->soft) && s->mark == RUNG_MARK_NONE) {
            size_t n = b->n;
            buf_real(b, s->soft);
            if (!b->failed && !strpbrk(b->data + n, ".e")) rung_buf_str(b, ".0");
        } else if (s->mark == RUNG_MARK_NONE) {
            rung_buf_str(b, "null");
        } else {
            rung_buf_printf(b, "%d", value_of(s->mark));
        }
        obj_members_but(&one, yyjson_arr_get(rest, (size_t)k), NULL, 0);
        obj_close(&one);
    }
    rung_buf_str(b, "]");
    obj_extra_but(&w, r, "potato", "_steps");
    obj_close(&w);
    yyjson_doc_free(own);
    return RUNG_OK;
}
