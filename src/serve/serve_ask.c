/* Requests for text: /v1/chat/completions, /v1/completions. */
#include "serve/serve_ask.h"

#include "base/names.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static rung_status no_memory(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "no memory for a request");
}

/* ---- members */

rung_status serve_text_of(const char **out, rung_arena *a, yyjson_val *v, const char *what,
                          rung_error *err) {
    if (yyjson_is_str(v)) {
        size_t n = yyjson_get_len(v);
        if (memchr(yyjson_get_str(v), 0, n))
            return rung_fail(err, RUNG_E_INVAL, "%s: text may not hold a NUL character", what);
        *out = rung_arena_strndup(a, yyjson_get_str(v), n);
        return *out ? RUNG_OK : no_memory(err);
    }
    if (!yyjson_is_arr(v)) return rung_fail(err, RUNG_E_INVAL, "%s: must be text", what);
    rung_buf b;
    rung_buf_init(&b, 64u << 20);
    size_t i, n;
    yyjson_val *part;
    rung_status st = RUNG_OK;
    yyjson_arr_foreach(v, i, n, part) {
        const char *type = rung_json_str(part, "type", "");
        yyjson_val *text = yyjson_obj_get(part, "text");
        if (strcmp(type, "text") != 0 || !yyjson_is_str(text)) {
            st = rung_fail(err, RUNG_E_INVAL, "%s: part %zu is not of type \"text\"", what, i);
            break;
        }
        rung_buf_append(&b, yyjson_get_str(text), yyjson_get_len(text));
    }
    if (st == RUNG_OK) st = rung_buf_check(&b, err);
    if (st == RUNG_OK && b.n && memchr(b.data, 0, b.n))
        st = rung_fail(err, RUNG_E_INVAL, "%s: text may not hold a NUL character", what);
    if (st == RUNG_OK) {
        *out = rung_arena_strndup(a, b.data ? b.data : "", b.n);
        if (!*out) st = no_memory(err);
    }
    rung_buf_clear(&b);
    return st;
}

static yyjson_val *member(yyjson_val *obj, const char *key) {
    yyjson_val *v = yyjson_obj_get(obj, key);
    return yyjson_is_null(v) ? NULL : v;
}

rung_status serve_get_text(const char **out, rung_arena *a, yyjson_val *obj, const char *key,
                           rung_error *err) {
    yyjson_val *v = member(obj, key);
    if (!v) return RUNG_OK;
    if (!yyjson_is_str(v)) return rung_fail(err, RUNG_E_INVAL, "%s: must be text", key);
    return serve_text_of(out, a, v, key, err);
}

rung_status serve_get_bool(bool *out, yyjson_val *obj, const char *key, rung_error *err) {
    yyjson_val *v = member(obj, key);
    if (!v) return RUNG_OK;
    if (!yyjson_is_bool(v)) return rung_fail(err, RUNG_E_INVAL, "%s: must be true or false", key);
    *out = yyjson_get_bool(v);
    return RUNG_OK;
}

rung_status serve_get_real(double *out, yyjson_val *obj, const char *key, double lo, double hi,
                           rung_error *err) {
    yyjson_val *v = member(obj, key);
    if (!v) return RUNG_OK;
    double x = yyjson_is_num(v) ? yyjson_get_num(v) : (double)NAN;
    if (!(x >= lo && x <= hi))
        return rung_fail(err, RUNG_E_INVAL, "%s: must be a number in %g..%g", key, lo, hi);
    *out = x;
    return RUNG_OK;
}

rung_status serve_get_int(int64_t *out, yyjson_val *obj, const char *key, int64_t lo, int64_t hi,
                          rung_error *err) {
    double x = (double)NAN;
    yyjson_val *v = member(obj, key);
    if (!v) return RUNG_OK;
    if (yyjson_is_num(v)) x = yyjson_get_num(v);
    if (!(x >= (double)lo && x <= (double)hi) || x != floor(x))
        return rung_fail(err, RUNG_E_INVAL, "%s: must be a whole number in %lld..%lld", key,
                         (long long)lo, (long long)hi);
    *out = yyjson_is_int(v) ? yyjson_get_sint(v) : (int64_t)x;
    if (yyjson_is_uint(v)) *out = (int64_t)yyjson_get_uint(v);
    return RUNG_OK;
}

static rung_status get_i32(int32_t *out, yyjson_val *obj, const char *key, int64_t lo, int64_t hi,
                           rung_error *err) {
    int64_t v = *out;
    RUNG_TRY(serve_get_int(&v, obj, key, lo, hi, err));
    *out = (int32_t)v;
    return RUNG_OK;
}

/* ---- chat */

static rung_status join(const char **text, rung_arena *a, const char *more, rung_error *err) {
    size_t n = *text ? strlen(*text) : 0, m = strlen(more);
    char *s = rung_arena_alloc(a, n + m + 3);
    if (!s) return no_memory(err);
    if (n) memcpy(s, *text, n);
    if (n) memcpy(s + n, "\n\n", 2);
    memcpy(s + n + (n ? 2 : 0), more, m);
    *text = s;
    return RUNG_OK;
}

static rung_status add_message(serve_ask *o, rung_arena *a, const char *role, const char *text,
                               const char **reply, rung_error *err) {
    bool user = strcmp(role, "user") == 0, assistant = strcmp(role, "assistant") == 0;
    if (strcmp(role, "system") == 0 || strcmp(role, "developer") == 0) {
        if (o->user)
            return rung_fail(err, RUNG_E_INVAL,
                             "messages: a system message after the conversation has begun");
        return join(&o->system, a, text, err);
    }
    if (!user && !assistant)
        return rung_fail(err, RUNG_E_INVAL, "messages: role \"%.40s\" is not served", role);
    if (assistant && !o->user)
        return rung_fail(err, RUNG_E_INVAL, "messages: a reply before the first question");
    if (assistant) return join(reply, a, text, err);
    if (*reply) { /* a turn is whole */
        o->turn[o->n_turns++] = (rung_turn){o->user, *reply};
        o->user = *reply = NULL;
    }
    return join(&o->user, a, text, err);
}

rung_status serve_ask_messages(serve_ask *o, rung_arena *a, yyjson_val *root, rung_error *err) {
    yyjson_val *list = yyjson_obj_get(root, "messages"), *m;
    const char *reply = NULL;
    bool go_on = false;
    size_t i, n;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0)
        return rung_fail(err, RUNG_E_INVAL, "messages: must be a list of at least one message");
    o->turn = rung_arena_alloc(a, yyjson_arr_size(list) * sizeof *o->turn);
    if (!o->turn) return no_memory(err);
    yyjson_arr_foreach(list, i, n, m) {
        const char *role = rung_json_str(m, "role", NULL), *text = NULL;
        if (!role) return rung_fail(err, RUNG_E_INVAL, "messages[%zu]: has no role", i);
        if (yyjson_obj_get(m, "tool_calls"))
            return rung_fail(err, RUNG_E_INVAL, "messages[%zu]: tools are not served", i);
        RUNG_TRY(serve_text_of(&text, a, yyjson_obj_get(m, "content"), "messages: content", err));
        RUNG_TRY(add_message(o, a, role, text, &reply, err));
    }
    RUNG_TRY(serve_get_bool(&go_on, root, "continue_final_message", err));
    if (!o->user) return rung_fail(err, RUNG_E_INVAL, "messages: nobody asks anything");
    if (reply && !go_on) {
        rung_fail(err, RUNG_E_INVAL, "messages: the last one is the assistant's");
        return rung_error_hint(err, "\"continue_final_message\": true goes on with it");
    }
    if (go_on && !reply)
        return rung_fail(err, RUNG_E_INVAL,
                         "messages: the last one is not the assistant's: "
                         "there is nothing to continue");
    o->prefix = reply;
    return RUNG_OK;
}

/* ---- completions */

rung_status serve_ask_token_list(serve_prompt *p, rung_arena *a, yyjson_val *list,
                                 rung_error *err) {
    size_t i, n = yyjson_arr_size(list);
    yyjson_val *v;
    int32_t *tok = rung_arena_alloc(a, n * sizeof *tok + 1);
    if (!tok) return no_memory(err);
    yyjson_arr_foreach(list, i, n, v) {
        if (!yyjson_is_int(v) || yyjson_get_sint(v) < 0 || yyjson_get_sint(v) > INT32_MAX)
            return rung_fail(err, RUNG_E_INVAL, "prompt: %zu is not a token", i);
        tok[i] = (int32_t)yyjson_get_sint(v);
    }
    if (n == 0) return rung_fail(err, RUNG_E_INVAL, "prompt: is empty");
    *p = (serve_prompt){.tok = tok, .n_tok = (int32_t)n};
    return RUNG_OK;
}

static rung_status read_prompt(serve_prompt *p, rung_arena *a, yyjson_val *v, rung_error *err) {
    if (yyjson_is_arr(v)) return serve_ask_token_list(p, a, v, err);
    if (!yyjson_is_str(v))
        return rung_fail(err, RUNG_E_INVAL, "prompt: must be text, tokens, or a list of these");
    return serve_text_of(&p->text, a, v, "prompt", err);
}

static rung_status read_prompts(serve_ask *o, rung_arena *a, yyjson_val *root, rung_error *err) {
    yyjson_val *v = yyjson_obj_get(root, "prompt");
    bool many = yyjson_is_arr(v) && !yyjson_is_int(yyjson_arr_get_first(v));
    size_t n = many ? yyjson_arr_size(v) : 1;
    if (n == 0) return rung_fail(err, RUNG_E_INVAL, "prompt: is an empty list");
    if (n > SERVE_PROMPTS_MAX)
        return rung_fail(err, RUNG_E_LIMIT, "prompt: %zu prompts, at most %d at once", n,
                         SERVE_PROMPTS_MAX);
    o->prompt = rung_arena_alloc(a, n * sizeof *o->prompt);
    if (!o->prompt) return no_memory(err);
    o->n_prompts = (int32_t)n;
    if (!many) return read_prompt(&o->prompt[0], a, v, err);
    for (size_t i = 0; i < n; i++)
        RUNG_TRY(read_prompt(&o->prompt[i], a, yyjson_arr_get(v, i), err));
    return RUNG_OK;
}

/* ---- what both have */

static rung_status read_stop(serve_ask *o, rung_arena *a, yyjson_val *root, rung_error *err) {
    yyjson_val *v = member(root, "stop"), *x;
    size_t i, n;
    if (yyjson_is_str(v)) {
        o->n_stop = 1;
        RUNG_TRY(serve_text_of(&o->stop[0], a, v, "stop", err));
    } else if (yyjson_is_arr(v)) {
        if (yyjson_arr_size(v) > SERVE_STOP_MAX)
            return rung_fail(err, RUNG_E_LIMIT, "stop: more than %d texts", SERVE_STOP_MAX);
        yyjson_arr_foreach(v, i, n, x) {
            if (!yyjson_is_str(x)) return rung_fail(err, RUNG_E_INVAL, "stop: must be texts");
            RUNG_TRY(serve_text_of(&o->stop[o->n_stop++], a, x, "stop", err));
        }
    } else if (v) {
        return rung_fail(err, RUNG_E_INVAL, "stop: must be text or a list of texts");
    }
    for (int32_t k = 0; k < o->n_stop; k++) {
        size_t len = strlen(o->stop[k]);
        if (len < 1 || len > 256)
            return rung_fail(err, RUNG_E_INVAL, "stop: a text has %zu bytes, not 1..256", len);
    }
    v = member(root, "stop_token_ids");
    if (!v) return RUNG_OK;
    if (!yyjson_is_arr(v) || yyjson_arr_size(v) > RUNG_STOP_TOK_MAX)
        return rung_fail(err, RUNG_E_INVAL, "stop_token_ids: must be a list of at most %d",
                         RUNG_STOP_TOK_MAX);
    yyjson_arr_foreach(v, i, n, x) {
        if (!yyjson_is_int(x) || yyjson_get_sint(x) < 0 || yyjson_get_sint(x) > INT32_MAX)
            return rung_fail(err, RUNG_E_INVAL, "stop_token_ids: %zu is not a token", i);
        o->stop_tok[o->n_stop_tok++] = (int32_t)yyjson_get_sint(x);
    }
    return RUNG_OK;
}

static rung_status read_biases(serve_ask *o, rung_arena *a, yyjson_val *root, rung_error *err) {
    yyjson_val *v = member(root, "logit_bias"), *key, *value;
    size_t i, n;
    if (!v) return RUNG_OK;
    if (!yyjson_is_obj(v))
        return rung_fail(err, RUNG_E_INVAL, "logit_bias: must be an object, token: bias");
    n = yyjson_obj_size(v);
    rung_logit_bias *b = rung_arena_alloc(a, n * sizeof *b + 1);
    if (!b) return no_memory(err);
    yyjson_obj_foreach(v, i, n, key, value) {
        char *end = NULL;
        long tok = strtol(yyjson_get_str(key), &end, 10);
        double x = yyjson_is_num(value) ? yyjson_get_num(value) : (double)NAN;
        if (end == yyjson_get_str(key) || *end || tok < 0 || tok > INT32_MAX || !(fabs(x) <= 100.0))
            return rung_fail(err, RUNG_E_INVAL,
                             "logit_bias: \"%.20s\" is no token, or its bias "
                             "is not in -100..100",
                             yyjson_get_str(key));
        b[i] = (rung_logit_bias){(int32_t)tok, x <= -100.0 ? -INFINITY : (float)x};
    }
    o->sampling.bias = b;
    o->sampling.n_bias = (int32_t)n;
    return RUNG_OK;
}

static rung_status read_sampling(serve_ask *o, rung_arena *a, yyjson_val *root, rung_error *err) {
    rung_sampling *s = &o->sampling;
    int64_t seed = 0, top_k = s->top_k;
    RUNG_TRY(serve_get_real(&s->temperature, root, "temperature", 0.0, 100.0, err));
    RUNG_TRY(serve_get_real(&s->top_p, root, "top_p", 0.0, 1.0, err));
    RUNG_TRY(serve_get_real(&s->min_p, root, "min_p", 0.0, 1.0, err));
    RUNG_TRY(serve_get_int(&top_k, root, "top_k", -1, INT32_MAX, err));
    s->top_k = top_k < 0 ? 0 : (int32_t)top_k;
    RUNG_TRY(serve_get_real(&s->presence_penalty, root, "presence_penalty", -100, 100, err));
    RUNG_TRY(serve_get_real(&s->frequency_penalty, root, "frequency_penalty", -100, 100, err));
    RUNG_TRY(serve_get_real(&s->repeat_penalty, root, "repetition_penalty", 0, 100, err));
    RUNG_TRY(serve_get_text(&s->grammar, a, root, "grammar", err));
    RUNG_TRY(read_biases(o, a, root, err));
    o->has_seed = member(root, "seed") != NULL;
    RUNG_TRY(serve_get_int(&seed, root, "seed", INT64_MIN / 2, INT64_MAX / 2, err));
    o->seed = (uint64_t)seed;
    return rung_sampling_check(s, err);
}

/* Fields of others that would change what comes out, and are not served: said, not ignored. */
static rung_status refuse_others(yyjson_val *root, rung_error *err) {
    static const char *const not_served[] = {
        "tools",        "functions",          "tool_choice",    "function_call",
        "audio",        "modalities",         "json_schema",    "guided_json",
        "guided_regex", "structured_outputs", "prompt_logprobs"};
    int64_t one = 1, zero = 0;
    for (size_t i = 0; i < sizeof not_served / sizeof *not_served; i++) {
        yyjson_val *v = member(root, not_served[i]);
        bool empty = yyjson_is_arr(v) && yyjson_arr_size(v) == 0;
        bool none = yyjson_is_str(v) && strcmp(yyjson_get_str(v), "none") == 0;
        if (v && !empty && !none)
            return rung_fail(err, RUNG_E_INVAL, "%s: is not served", not_served[i]);
    }
    yyjson_val *format = member(root, "response_format");
    if (format && strcmp(rung_json_str(format, "type", "text"), "text") != 0) {
        rung_fail(err, RUNG_E_INVAL, "response_format: only {\"type\":\"text\"} is served");
        return rung_error_hint(err, "\"grammar\" takes a GBNF grammar");
    }
    RUNG_TRY(serve_get_int(&one, root, "best_of", 1, 1, err));
    RUNG_TRY(serve_get_int(&zero, root, "min_tokens", 0, 0, err));
    return RUNG_OK;
}

static rung_status check_names(const serve_ask *o, rung_error *err) {
    rung_search_info info;
    rung_search_scorer scorer;
    rung_aggregate_id aggregate;
    if (o->method && strcmp(o->method, "sample") != 0 && !rung_search_find(&info, o->method) &&
        !rung_method_find(o->method)) {
        rung_fail(err, RUNG_E_INVAL, "rung.method: no method \"%.60s\"", o->method);
        return rung_error_hint(err, "/v1/models lists them");
    }
    if (o->scorer && !rung_search_scorer_find(&scorer, o->scorer))
        return rung_fail(err, RUNG_E_INVAL, "rung.score: no scorer \"%.60s\"", o->scorer);
    if (o->aggregate && !rung_aggregate_find(&aggregate, o->aggregate))
        return rung_fail(err, RUNG_E_INVAL, "rung.aggregate: none named \"%.60s\"", o->aggregate);
    if (o->select && !rung_method_find(o->select))
        return rung_fail(err, RUNG_E_INVAL, "rung.select: no method \"%.60s\"", o->select);
    return RUNG_OK;
}

/* Our own object: every key is known, or it is a mistake. */
static rung_status read_rung(serve_ask *o, rung_arena *a, yyjson_val *root,
                             const rung_serve_caps *caps, rung_error *err) {
    static const char *const keys[] = {
        "method",      "n",      "width",     "depth", "score",         "aggregate", "select",
        "step_tokens", "events", "lookahead", "tree",  "budget_tokens", "keep",      "deadline_s"};
    yyjson_val *v = member(root, "rung"), *key, *value;
    size_t i, n;
    bool keep = true;
    o->budget_tok = caps->budget_tok;
    o->deadline_s = caps->deadline_s;
    if (!v) return RUNG_OK;
    if (!yyjson_is_obj(v)) return rung_fail(err, RUNG_E_INVAL, "rung: must be an object");
    yyjson_obj_foreach(v, i, n, key, value) {
        bool known = false;
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            known |= strcmp(keys[k], yyjson_get_str(key)) == 0;
        if (!known)
            return rung_fail(err, RUNG_E_INVAL, "rung: has no field \"%.60s\"",
                             yyjson_get_str(key));
    }
    RUNG_TRY(serve_get_text(&o->method, a, v, "method", err));
    RUNG_TRY(serve_get_text(&o->scorer, a, v, "score", err));
    RUNG_TRY(serve_get_text(&o->aggregate, a, v, "aggregate", err));
    RUNG_TRY(serve_get_text(&o->select, a, v, "select", err));
    RUNG_TRY(get_i32(&o->search_n, v, "n", 1, 100000, err));
    RUNG_TRY(get_i32(&o->width, v, "width", 1, 1000, err));
    RUNG_TRY(get_i32(&o->depth, v, "depth", 1, 500, err));
    RUNG_TRY(get_i32(&o->step_tok, v, "step_tokens", 1, caps->max_tok, err));
    RUNG_TRY(get_i32(&o->lookahead, v, "lookahead", 0, 64, err));
    int64_t most = caps->budget_tok > 0 ? caps->budget_tok : INT64_C(1) << 40;
    RUNG_TRY(serve_get_int(&o->budget_tok, v, "budget_tokens", 1, most, err));
    RUNG_TRY(serve_get_real(&o->deadline_s, v, "deadline_s", 0.001, caps->deadline_s, err));
    RUNG_TRY(serve_get_bool(&o->events, v, "events", err));
    RUNG_TRY(serve_get_bool(&o->tree, v, "tree", err));
    RUNG_TRY(serve_get_bool(&keep, v, "keep", err));
    o->no_keep = !keep;
    return check_names(o, err);
}

/* "NAME" or "NAME:METHOD": a client that can set nothing else can set the model. */
static rung_status read_model(serve_ask *o, rung_arena *a, yyjson_val *root,
                              const rung_serve_caps *caps, rung_error *err) {
    RUNG_TRY(serve_get_text(&o->model, a, root, "model", err));
    if (!o->model || !o->model[0]) return RUNG_OK;
    size_t n = strlen(caps->name);
    bool ours = strncmp(o->model, caps->name, n) == 0 && (!o->model[n] || o->model[n] == ':');
    if (!ours) {
        rung_fail(err, RUNG_E_NOT_FOUND, "model: \"%.80s\" is not served here", o->model);
        return rung_error_hint(err, "\"%.80s\" is; /v1/models lists all names", caps->name);
    }
    if (o->model[n] && !o->method) o->method = o->model + n + 1;
    return RUNG_OK;
}

static rung_status read_logprobs(serve_ask *o, yyjson_val *root, rung_error *err) {
    int64_t top = 0;
    if (o->kind == SERVE_CHAT) {
        RUNG_TRY(serve_get_bool(&o->logprobs, root, "logprobs", err));
        RUNG_TRY(serve_get_int(&top, root, "top_logprobs", 0, RUNG_TOP_MAX, err));
        if (top > 0 && !o->logprobs)
            return rung_fail(err, RUNG_E_INVAL, "top_logprobs: needs \"logprobs\": true");
    } else {
        o->logprobs = member(root, "logprobs") != NULL;
        RUNG_TRY(serve_get_int(&top, root, "logprobs", 0, RUNG_TOP_MAX, err));
    }
    o->n_top = (int32_t)top;
    return RUNG_OK;
}

const char *serve_ask_method(const serve_ask *a, const rung_serve_caps *caps) {
    if (a->method) return a->method;
    return a->kind == SERVE_CHAT && caps->method ? caps->method : "sample";
}

static rung_status check_together(const serve_ask *o, const rung_serve_caps *caps,
                                  rung_error *err) {
    bool searches = strcmp(serve_ask_method(o, caps), "sample") != 0;
    if (!searches) return RUNG_OK;
    if (o->echo || o->n_prompts > 1)
        return rung_fail(err, RUNG_E_INVAL, "a search answers one prompt, without echo");
    if (o->kind == SERVE_COMPLETION && o->prompt[0].tok)
        return rung_fail(err, RUNG_E_INVAL, "a search needs its prompt as text");
    if (o->n_top > 0)
        return rung_fail(err, RUNG_E_INVAL,
                         "a search keeps the logprobs of what it drew alone: "
                         "no likeliest others");
    if (o->n_stop > 1 || o->n_stop_tok > 0)
        return rung_fail(err, RUNG_E_INVAL, "a search stops at one text");
    return RUNG_OK;
}

static rung_status read_text_request(serve_ask *o, rung_arena *a, yyjson_val *root,
                                     const rung_serve_caps *caps, rung_error *err) {
    o->n = 1;
    o->max_tok = caps->max_tok;
    o->sampling = caps->sampling;
    RUNG_TRY(read_rung(o, a, root, caps, err));
    RUNG_TRY(read_model(o, a, root, caps, err));
    RUNG_TRY(check_names(o, err));
    RUNG_TRY(refuse_others(root, err));
    RUNG_TRY(o->kind == SERVE_CHAT ? serve_ask_messages(o, a, root, err)
                                   : read_prompts(o, a, root, err));
    RUNG_TRY(get_i32(&o->n, root, "n", 1, caps->n, err));
    bool chat = o->kind == SERVE_CHAT;
    if (chat && !member(root, "max_completion_tokens"))
        RUNG_TRY(get_i32(&o->max_tok, root, "max_tokens", 1, caps->max_tok, err));
    else if (chat)
        RUNG_TRY(get_i32(&o->max_tok, root, "max_completion_tokens", 1, caps->max_tok, err));
    else
        RUNG_TRY(get_i32(&o->max_tok, root, "max_tokens", 0, caps->max_tok, err));
    RUNG_TRY(serve_get_bool(&o->stream, root, "stream", err));
    yyjson_val *so = member(root, "stream_options");
    if (so) RUNG_TRY(serve_get_bool(&o->include_usage, so, "include_usage", err));
    if (!chat) RUNG_TRY(serve_get_bool(&o->echo, root, "echo", err));
    if (o->max_tok == 0 && !o->echo)
        return rung_fail(err, RUNG_E_INVAL, "max_tokens: 0 without echo asks for nothing");
    RUNG_TRY(serve_get_bool(&o->keep_stop, root, "include_stop_str_in_output", err));
    RUNG_TRY(read_logprobs(o, root, err));
    RUNG_TRY(read_stop(o, a, root, err));
    RUNG_TRY(read_sampling(o, a, root, err));
    return check_together(o, caps, err);
}

/* ---- the body */

static bool too_deep(const char *s, size_t n) {
    int depth = 0;
    bool in = false;
    for (size_t i = 0; i < n; i++) {
        if (in && s[i] == '\\')
            i++;
        else if (s[i] == '"')
            in = !in;
        else if (!in && (s[i] == '[' || s[i] == '{') && ++depth > SERVE_DEPTH_MAX)
            return true;
        else if (!in && (s[i] == ']' || s[i] == '}'))
            depth--;
    }
    return false;
}

rung_status serve_ask_read(serve_ask *out, rung_arena *a, serve_kind kind, const char *body,
                           size_t n, const rung_serve_caps *caps, rung_error *err) {
    yyjson_read_err why;
    *out = (serve_ask){.kind = kind};
    if (kind == SERVE_TOKENIZER) return RUNG_OK;
    if (too_deep(body, n))
        return rung_fail(err, RUNG_E_FORMAT, "the body is nested deeper than %d", SERVE_DEPTH_MAX);
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)body, n, 0, &rung_json_alc, &why);
    if (!doc)
        return rung_fail(err, RUNG_E_FORMAT, "the body is not JSON: %s at byte %zu",
                         why.msg ? why.msg : "?", why.pos);
    yyjson_val *root = yyjson_doc_get_root(doc);
    rung_status st;
    if (!yyjson_is_obj(root))
        st = rung_fail(err, RUNG_E_FORMAT, "the body is not a JSON object");
    else if (kind == SERVE_CHAT || kind == SERVE_COMPLETION)
        st = read_text_request(out, a, root, caps, err);
    else if (kind == SERVE_VERIFY || kind == SERVE_COMPUTE_SCORE)
        st = serve_ask_verify(out, a, root, err);
    else if (kind == SERVE_TOKENIZE || kind == SERVE_DETOKENIZE)
        st = serve_ask_tokens(out, a, root, err);
    else
        st = serve_ask_scoring(out, a, root, err);
    if (out->deadline_s > caps->deadline_s) out->deadline_s = caps->deadline_s;
    yyjson_doc_free(doc);
    return st;
}
