/* Requests for scores (vLLM's, OpenRLHF's) and for verdicts (ours, verl's). */
#include "serve/serve_ask.h"

#include "rung/verify.h"

#include <stdlib.h>
#include <string.h>

enum { ITEMS_MAX = 4096 };

static rung_status no_memory(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "no memory for a request");
}

/* A text or a list of texts. */
typedef struct texts {
    const char **text;
    size_t n;
    bool one, there;
} texts;

static rung_status read_texts(texts *out, rung_arena *a, yyjson_val *v, const char *what,
                              rung_error *err) {
    *out = (texts){.n = 1, .one = true, .there = v && !yyjson_is_null(v)};
    if (!out->there) return RUNG_OK;
    out->one = !yyjson_is_arr(v);
    if (!out->one) out->n = yyjson_arr_size(v);
    if (out->n == 0) return rung_fail(err, RUNG_E_INVAL, "%s: is an empty list", what);
    if (out->n > ITEMS_MAX)
        return rung_fail(err, RUNG_E_LIMIT, "%s: %zu texts, at most %d at once", what, out->n,
                         ITEMS_MAX);
    out->text = rung_arena_alloc(a, out->n * sizeof *out->text);
    if (!out->text) return no_memory(err);
    for (size_t i = 0; i < out->n; i++) {
        yyjson_val *x = out->one ? v : yyjson_arr_get(v, i);
        if (!yyjson_is_str(x))
            return rung_fail(err, RUNG_E_INVAL, "%s: must be text or a list of texts", what);
        RUNG_TRY(serve_text_of(&out->text[i], a, x, what, err));
    }
    return RUNG_OK;
}

/* The first of several names that is there. */
static yyjson_val *first_of(yyjson_val *root, const char *const *names, const char **name) {
    for (; *names; names++) {
        yyjson_val *v = yyjson_obj_get(root, *names);
        *name = *names;
        if (v && !yyjson_is_null(v)) return v;
    }
    return NULL;
}

static rung_status room(serve_ask *o, rung_arena *a, size_t n, rung_error *err) {
    o->scored = rung_arena_alloc(a, n * sizeof *o->scored);
    o->n_scored = (int32_t)n;
    return o->scored ? RUNG_OK : no_memory(err);
}

/* ---- vLLM: text as it is, or a conversation whose last turn is scored */

static rung_status read_conversation(serve_ask *o, rung_arena *a, yyjson_val *list,
                                     rung_error *err) {
    size_t i, n;
    yyjson_val *m;
    const char *question = NULL, *text = NULL;
    yyjson_arr_foreach(list, i, n, m) {
        const char *role = rung_json_str(m, "role", "");
        const char **to = strcmp(role, "user") == 0        ? &question
                          : strcmp(role, "assistant") == 0 ? &text
                                                           : NULL;
        if (to)
            RUNG_TRY(serve_text_of(to, a, yyjson_obj_get(m, "content"), "messages: content", err));
    }
    if (!question || !text)
        return rung_fail(err, RUNG_E_INVAL, "messages: a user's and an assistant's are needed");
    RUNG_TRY(room(o, a, 1, err));
    o->scored[0] = (serve_scored){.question = question, .text = text};
    o->one = true;
    return RUNG_OK;
}

static rung_status read_input(serve_ask *o, rung_arena *a, yyjson_val *root, rung_error *err) {
    yyjson_val *messages = yyjson_obj_get(root, "messages");
    texts in;
    if (yyjson_is_arr(messages)) return read_conversation(o, a, messages, err);
    RUNG_TRY(read_texts(&in, a, yyjson_obj_get(root, "input"), "input", err));
    if (!in.there) return rung_fail(err, RUNG_E_INVAL, "input: is missing");
    RUNG_TRY(room(o, a, in.n, err));
    for (size_t i = 0; i < in.n; i++) o->scored[i] = (serve_scored){.text = in.text[i]};
    o->one = in.one;
    return RUNG_OK;
}

/* One question with many solutions, or as many as there are. */
static rung_status read_pairs(serve_ask *o, rung_arena *a, yyjson_val *root, rung_error *err) {
    static const char *const first[] = {"text_1", "queries", "data_1", NULL};
    static const char *const second[] = {"text_2", "documents", "items", "data_2", NULL};
    const char *name_1 = "", *name_2 = "";
    yyjson_val *v1 = first_of(root, first, &name_1), *v2 = first_of(root, second, &name_2);
    texts t1, t2;
    if (!v1 || !v2) return rung_fail(err, RUNG_E_INVAL, "%s: is missing", v1 ? "text_2" : "text_1");
    RUNG_TRY(read_texts(&t1, a, v1, name_1, err));
    RUNG_TRY(read_texts(&t2, a, v2, name_2, err));
    if (t1.n != 1 && t1.n != t2.n)
        return rung_fail(err, RUNG_E_INVAL, "%s: %zu texts for %zu of %s", name_1, t1.n, t2.n,
                         name_2);
    RUNG_TRY(room(o, a, t2.n, err));
    for (size_t i = 0; i < t2.n; i++)
        o->scored[i] = (serve_scored){.question = t1.text[t1.n == 1 ? 0 : i], .text = t2.text[i]};
    return RUNG_OK;
}

/* completion_ids: the tokens of each reply, for spans in them. */
static rung_status read_ids(serve_ask *o, rung_arena *a, yyjson_val *list, rung_error *err) {
    size_t i, n, k, n_tok;
    yyjson_val *v, *id;
    if (!list || yyjson_is_null(list)) return RUNG_OK;
    if (yyjson_arr_size(list) != (size_t)o->n_scored)
        return rung_fail(err, RUNG_E_INVAL, "completion_ids: a list for each query");
    yyjson_arr_foreach(list, i, n, v) {
        int32_t *tok = rung_arena_alloc(a, (yyjson_arr_size(v) + 1) * sizeof *tok);
        if (!tok) return no_memory(err);
        if (!yyjson_is_arr(v))
            return rung_fail(err, RUNG_E_INVAL, "completion_ids: a list for each query");
        yyjson_arr_foreach(v, k, n_tok, id) {
            if (!yyjson_is_int(id) || yyjson_get_sint(id) < 0 || yyjson_get_sint(id) > INT32_MAX)
                return rung_fail(err, RUNG_E_INVAL, "completion_ids: item %zu has no token %zu", i,
                                 k);
            tok[k] = (int32_t)yyjson_get_sint(id);
        }
        o->scored[i].tok = tok;
        o->scored[i].n_tok = (int32_t)yyjson_arr_size(v);
    }
    return RUNG_OK;
}

/* Ours beside OpenRLHF's: steps, credit, completion_ids, timeout_s. */
static rung_status read_reward_opts(serve_ask *o, rung_arena *a, yyjson_val *root,
                                    rung_error *err) {
    static const char *const shapes[] = {"none", "sum", "min_form", "min", "progress", NULL};
    int i = 0;
    RUNG_TRY(serve_get_bool(&o->steps, root, "steps", err));
    RUNG_TRY(serve_get_text(&o->credit, a, root, "credit", err));
    RUNG_TRY(serve_get_real(&o->deadline_s, root, "timeout_s", .001, 86400, err));
    RUNG_TRY(read_ids(o, a, yyjson_obj_get(root, "completion_ids"), err));
    while (o->credit && shapes[i] && strcmp(shapes[i], o->credit) != 0) i++;
    if (shapes[i]) return RUNG_OK;
    rung_fail(err, RUNG_E_INVAL, "credit: no shape \"%.40s\"", o->credit);
    return rung_error_hint(err, "none, sum, min_form, min, progress");
}

/* OpenRLHF: query holds the prompt and what came after it; prompts says where it ends. */
static rung_status read_queries(serve_ask *o, rung_arena *a, yyjson_val *root, rung_error *err) {
    texts query, prompt;
    RUNG_TRY(read_texts(&query, a, yyjson_obj_get(root, "query"), "query", err));
    RUNG_TRY(read_texts(&prompt, a, yyjson_obj_get(root, "prompts"), "prompts", err));
    if (!query.there) return rung_fail(err, RUNG_E_INVAL, "query: is missing");
    if (prompt.there && prompt.n != query.n)
        return rung_fail(err, RUNG_E_INVAL, "prompts: %zu of them for %zu queries", prompt.n,
                         query.n);
    RUNG_TRY(room(o, a, query.n, err));
    for (size_t i = 0; i < query.n; i++) {
        const char *q = query.text[i], *p = prompt.there ? prompt.text[i] : "";
        size_t n = strlen(p);
        if (n > 0 && strncmp(q, p, n) == 0)
            o->scored[i] = (serve_scored){.question = p, .text = q + n};
        else
            o->scored[i] = (serve_scored){.question = n ? p : NULL,
                                          .text = q}; /* the reply alone; or all in one */
    }
    return read_reward_opts(o, a, root, err);
}

rung_status serve_ask_scoring(serve_ask *o, rung_arena *a, yyjson_val *root, rung_error *err) {
    o->activation = true;
    RUNG_TRY(serve_get_text(&o->model, a, root, "model", err));
    if (o->kind == SERVE_SCORE) return read_pairs(o, a, root, err);
    if (o->kind == SERVE_GET_REWARD) return read_queries(o, a, root, err);
    RUNG_TRY(serve_get_bool(&o->activation, root, "activation", err));
    RUNG_TRY(serve_get_bool(&o->activation, root, "use_activation", err));
    yyjson_val *how = yyjson_obj_get(root, "encoding_format");
    if (how && !yyjson_is_null(how) && !yyjson_equals_str(how, "float"))
        return rung_fail(err, RUNG_E_INVAL, "encoding_format: only \"float\" is served");
    return read_input(o, a, root, err);
}

/* ---- vLLM: /tokenize, of text or of a conversation as the model is asked it; /detokenize */

rung_status serve_ask_tokens(serve_ask *o, rung_arena *a, yyjson_val *root, rung_error *err) {
    bool add_prompt = true;
    yyjson_val *text = yyjson_obj_get(root, "prompt"), *tok = yyjson_obj_get(root, "tokens");
    o->add_special = true;
    RUNG_TRY(serve_get_text(&o->model, a, root, "model", err));
    o->prompt = rung_arena_alloc(a, sizeof *o->prompt);
    if (!o->prompt) return no_memory(err);
    o->n_prompts = 1;
    if (o->kind == SERVE_DETOKENIZE && !yyjson_is_arr(tok))
        return rung_fail(err, RUNG_E_INVAL, "tokens: must be a list of tokens");
    if (o->kind == SERVE_DETOKENIZE) return serve_ask_token_list(o->prompt, a, tok, err);
    RUNG_TRY(serve_get_bool(&o->add_special, root, "add_special_tokens", err));
    RUNG_TRY(serve_get_bool(&o->token_texts, root, "return_token_strs", err));
    if (yyjson_is_str(text)) return serve_text_of(&o->prompt->text, a, text, "prompt", err);
    if (!yyjson_obj_get(root, "messages"))
        return rung_fail(err, RUNG_E_INVAL, "prompt: must be text; or messages");
    RUNG_TRY(serve_get_bool(&add_prompt, root, "add_generation_prompt", err));
    if (!add_prompt)
        return rung_fail(err, RUNG_E_INVAL, "add_generation_prompt: false is not served");
    return serve_ask_messages(o, a, root, err);
}

/* ---- verdicts */

/* What reads files that a problem names is not for requests. */
static rung_status check_verifier(const char *name, rung_error *err) {
    const rung_verifier *v = rung_verifier_find(name);
    if (v && !v->check_in) return RUNG_OK;
    rung_fail(err, RUNG_E_INVAL, "verifier: \"%.40s\" is not served", name);
    return rung_error_hint(err, "math, exact, choice, qa");
}

/* A reference may be a number. */
static rung_status answer_text(const char **out, rung_arena *a, yyjson_val *v, const char *what,
                               rung_error *err) {
    if (!yyjson_is_num(v)) return serve_text_of(out, a, v, what, err);
    char *text = yyjson_val_write_opts(v, 0, &rung_json_alc, NULL, NULL);
    if (text) *out = rung_arena_strndup(a, text, strlen(text));
    rung_free(text);
    return text && *out ? RUNG_OK : no_memory(err);
}

static rung_status read_check(serve_check *c, rung_arena *a, yyjson_val *v, rung_error *err) {
    static const char *const golds[] = {"gold", "reference", "ground_truth", NULL};
    static const char *const wholes[] = {"text", "solution", "solution_str", NULL};
    const char *name = "", *verifier = "math";
    yyjson_val *gold = first_of(v, golds, &name), *answer = yyjson_obj_get(v, "answer");
    yyjson_val *whole = first_of(v, wholes, &name);
    if (!yyjson_is_obj(v)) return rung_fail(err, RUNG_E_INVAL, "items: must be objects");
    if (!gold) return rung_fail(err, RUNG_E_INVAL, "gold: the reference answer is missing");
    if (!answer && !whole)
        return rung_fail(err, RUNG_E_INVAL, "answer: is missing; or text, of a whole solution");
    c->whole = !answer;
    RUNG_TRY(answer_text(&c->gold, a, gold, "gold", err));
    RUNG_TRY(answer_text(&c->text, a, answer ? answer : whole, "answer", err));
    RUNG_TRY(serve_get_text(&verifier, a, v, "verifier", err));
    c->verifier = verifier;
    return check_verifier(verifier, err);
}

/* verl's batch: solution_strs and ground_truths. */
static rung_status read_batch(serve_ask *o, rung_arena *a, yyjson_val *root, rung_error *err) {
    texts text;
    yyjson_val *gold = yyjson_obj_get(root, "ground_truths");
    RUNG_TRY(read_texts(&text, a, yyjson_obj_get(root, "solution_strs"), "solution_strs", err));
    if (text.one || yyjson_arr_size(gold) != text.n)
        return rung_fail(err, RUNG_E_INVAL, "ground_truths: must be as many as solution_strs");
    o->check = rung_arena_alloc(a, text.n * sizeof *o->check);
    if (!o->check) return no_memory(err);
    o->n_checks = (int32_t)text.n;
    for (size_t i = 0; i < text.n; i++) {
        serve_check *c = &o->check[i];
        *c = (serve_check){.text = text.text[i], .verifier = "math", .whole = true};
        RUNG_TRY(answer_text(&c->gold, a, yyjson_arr_get(gold, i), "ground_truths", err));
    }
    return RUNG_OK;
}

rung_status serve_ask_verify(serve_ask *o, rung_arena *a, yyjson_val *root, rung_error *err) {
    yyjson_val *items = yyjson_obj_get(root, "items");
    if (o->kind == SERVE_COMPUTE_SCORE && yyjson_obj_get(root, "solution_strs"))
        return read_batch(o, a, root, err);
    size_t n = yyjson_is_arr(items) ? yyjson_arr_size(items) : 1;
    if (n == 0 || n > ITEMS_MAX)
        return rung_fail(err, RUNG_E_LIMIT, "items: %zu of them, not 1..%d", n, ITEMS_MAX);
    o->check = rung_arena_alloc(a, n * sizeof *o->check);
    if (!o->check) return no_memory(err);
    o->n_checks = (int32_t)n;
    o->one = !yyjson_is_arr(items);
    for (size_t i = 0; i < n; i++)
        RUNG_TRY(read_check(&o->check[i], a, o->one ? root : yyjson_arr_get(items, i), err));
    return RUNG_OK;
}
