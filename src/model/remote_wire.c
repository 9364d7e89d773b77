/* OpenAI-compatible requests and replies, in the dialect of the server. */
#include "model/remote_wire.h"

#include "base/json.h"
#include "model/remote_sampling.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool message(yyjson_mut_doc *d, yyjson_mut_val *list, const char *role, const char *text) {
    yyjson_mut_val *m = yyjson_mut_arr_add_obj(d, list);
    return m && yyjson_mut_obj_add_str(d, m, "role", role) &&
           yyjson_mut_obj_add_str(d, m, "content", text);
}

/* Completions get the raw text; chat gets a last assistant message that it shall go on with. */
static bool add_prompt(yyjson_mut_doc *d, yyjson_mut_val *root, const rung_gen *g,
                       const wire_dialect *w, bool completions, rung_buf *raw) {
    const rung_prompt *p = &g->prompt;
    const char *user = p->user ? p->user : "";
    bool prefix = p->prefix && *p->prefix;
    if (completions) {
        if (p->system) rung_buf_str(raw, p->system);
        for (int32_t i = 0; i < g->n_turns; i++) {
            rung_buf_str(raw, g->turn[i].user);
            rung_buf_str(raw, g->turn[i].reply);
        }
        rung_buf_str(raw, user);
        if (prefix) rung_buf_str(raw, p->prefix);
        return !raw->failed &&
               yyjson_mut_obj_add_str(d, root, "prompt", raw->data ? raw->data : "");
    }
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(d, root, "messages");
    bool ok = list && (!p->system || message(d, list, "system", p->system));
    for (int32_t i = 0; ok && i < g->n_turns; i++)
        ok = message(d, list, "user", g->turn[i].user) &&
             message(d, list, "assistant", g->turn[i].reply);
    ok = ok && message(d, list, "user", user);
    if (prefix) {
        ok = ok && message(d, list, "assistant", p->prefix);
    }
    if (prefix && w->go_on == WIRE_CONTINUE_FLAGS) {
        ok = ok && yyjson_mut_obj_add_bool(d, root, "continue_final_message", true) &&
             yyjson_mut_obj_add_bool(d, root, "add_generation_prompt", false);
    } else if (prefix && w->go_on == WIRE_CONTINUE_PREFIX) {
        ok = ok && yyjson_mut_obj_add_bool(d, yyjson_mut_arr_get_last(list), "prefix", true);
    }
    return ok;
}

static int64_t seed_of(const rung_gen *g, int32_t i) {
    rung_rng r = rung_rng_at(g->seed, g->stream, g->key, 0);
    return (int64_t)(rung_rng_u64_at(&r, 0) & 0x3fffffff) + i;
}

static bool add_stop(yyjson_mut_doc *d, yyjson_mut_val *root, const rung_gen *g,
                     const wire_dialect *w) {
    if (!g->stop[0]) return true;
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(d, root, "stop");
    bool ok = list && (!w->keep_stop || yyjson_mut_obj_add_bool(d, root, w->keep_stop, true));
    for (int k = 0; ok && k < 4 && g->stop[k]; k++) {
        ok = yyjson_mut_arr_add_str(d, list, g->stop[k]);
    }
    return ok;
}

static bool add_sampling(yyjson_mut_doc *d, yyjson_mut_val *root, const rung_gen *g,
                         const wire_dialect *w, bool completions, int32_t i, int32_t n) {
    const rung_sampling *s = &g->sampling;
    bool ok =
        yyjson_mut_obj_add_int(d, root, "n", n) &&
        yyjson_mut_obj_add_int(d, root, completions ? "max_tokens" : w->max_key, g->max_tok) &&
        yyjson_mut_obj_add_real(d, root, "temperature", s->temperature) &&
        yyjson_mut_obj_add_real(d, root, "top_p", s->top_p);
    if (n == 1 || w->seed == WIRE_SEED_STEPS) {
        ok = ok && yyjson_mut_obj_add_int(d, root, w->seed_key, seed_of(g, i));
    }
    ok = ok && yyjson_mut_obj_add_bool(d, root, "stream", false);
    /* not in OpenAI's own API, so only when asked for */
    if (s->top_k > 0) ok = ok && yyjson_mut_obj_add_int(d, root, "top_k", s->top_k);
    if (s->min_p > 0) ok = ok && yyjson_mut_obj_add_real(d, root, "min_p", s->min_p);
    if (completions) {
        ok = ok && yyjson_mut_obj_add_int(d, root, "logprobs", 1);
    } else {
        ok = ok && yyjson_mut_obj_add_bool(d, root, "logprobs", true);
    }
    return ok && add_stop(d, root, g, w);
}

/* What the dialect has no words for is refused, not left out: the samples would be others. */
static rung_status sayable(const rung_gen *g, const wire_dialect *w, bool completions,
                           rung_error *err) {
    if (!w->more_sampling && (g->sampling.top_k > 0 || g->sampling.min_p > 0)) {
        rung_fail(err, RUNG_E_INVAL, "an endpoint of dialect %s knows no top_k and no min_p",
                  w->name);
        return rung_error_hint(err, "leave them off, or name another dialect with --dialect");
    }
    RUNG_TRY(rung_wire_more_check(&g->sampling, w->name, err));
    if (completions || w->go_on != WIRE_CONTINUE_NONE || !g->prompt.prefix || !*g->prompt.prefix) {
        return RUNG_OK;
    }
    rung_fail(err, RUNG_E_INVAL,
              "chat of an endpoint of dialect %s cannot go on with a begun answer", w->name);
    return rung_error_hint(err, "use --api completions, another endpoint, or --dialect if this one "
                                "can");
}

rung_status rung_wire_body(rung_buf *out, const rung_gen *g, const wire_dialect *w,
                           const char *model_name, bool completions, int32_t i, int32_t n,
                           rung_error *err) {
    RUNG_TRY(sayable(g, w, completions, err));
    yyjson_mut_doc *d = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = d ? yyjson_mut_obj(d) : NULL;
    rung_buf raw;
    rung_buf_init(&raw, (size_t)1 << 26);
    bool ok = root != NULL;
    if (ok) yyjson_mut_doc_set_root(d, root);
    if (ok && model_name) ok = yyjson_mut_obj_add_str(d, root, "model", model_name);
    ok = ok && add_prompt(d, root, g, w, completions, &raw) &&
         add_sampling(d, root, g, w, completions, i, n) &&
         rung_wire_more_add(d, root, &g->sampling, w->name);
    size_t len = 0;
    yyjson_write_err we = {0};
    char *text = ok ? yyjson_mut_write_opts(d, YYJSON_WRITE_NOFLAG, NULL, &len, &we) : NULL;
    rung_status st = RUNG_OK;
    if (text) {
        rung_buf_append(out, text, len);
        st = rung_buf_check(out, err);
    } else if (we.code == YYJSON_WRITE_ERROR_INVALID_STRING) {
        st = rung_fail(err, RUNG_E_INVAL,
                       "the prompt is not valid UTF-8: it cannot be sent as JSON");
    } else {
        st = rung_fail(err, RUNG_E_NOMEM, "no memory for a request");
    }
    free(text);
    rung_buf_clear(&raw);
    yyjson_mut_doc_free(d);
    return st;
}

void rung_wire_choice_clear(wire_choice *c) {
    rung_free(c->text);
    rung_free(c->logprob);
    memset(c, 0, sizeof *c);
}

/* Chat style {"content":[{"logprob":x},...]} or completions style {"token_logprobs":[x,...]}. */
static rung_status read_logprobs(wire_choice *c, yyjson_val *choice, rung_error *err) {
    yyjson_val *lp = yyjson_obj_get(choice, "logprobs");
    yyjson_val *list = yyjson_obj_get(lp, "content");
    if (!yyjson_is_arr(list)) list = yyjson_obj_get(lp, "token_logprobs");
    size_t n = yyjson_arr_size(list), i, max;
    if (n == 0) return RUNG_OK;
    c->logprob = rung_alloc(n * sizeof *c->logprob);
    if (!c->logprob) return rung_fail(err, RUNG_E_NOMEM, "no memory for a reply");
    yyjson_val *v;
    yyjson_arr_foreach(list, i, max, v) {
        yyjson_val *x = yyjson_is_obj(v) ? yyjson_obj_get(v, "logprob") : v;
        if (!yyjson_is_num(x)) { /* some servers give null: then none is offered */
            rung_free(c->logprob);
            c->logprob = NULL;
            return RUNG_OK;
        }
        c->logprob[i] = (float)yyjson_get_num(x);
    }
    c->n_tok = (int32_t)n;
    return RUNG_OK;
}

static bool ends_with(const char *s, size_t n, const char *end) {
    size_t k = strlen(end);
    return k <= n && memcmp(s + n - k, end, k) == 0;
}

/* Why it ended, and the stop string that the server cut off (*cut). Servers that leave it in the
 * text show by that whether one was met. Of those that do not say which, a stop string is taken to
 * have been met when any was asked for: if it was the end of the text in truth, the next request
 * ends at once. */
static const char *read_stop(const char **cut, yyjson_val *choice, yyjson_val *text,
                             const rung_gen *g, const wire_dialect *w) {
    const char *why = rung_json_str(choice, "finish_reason", "");
    yyjson_val *reason = w->stop_key ? yyjson_obj_get(choice, w->stop_key) : NULL;
    *cut = "";
    if (strcmp(why, "length") == 0) return "length";
    if (strcmp(why, "stop") != 0 && strcmp(why, "eos") != 0) return "error";
    if (yyjson_is_str(reason)) {
        *cut = yyjson_get_str(reason);
        return "stop";
    }
    if (!g->stop[0] || reason || strcmp(why, "eos") == 0) return "eos";
    for (int k = 0; w->keep_stop && k < 4 && g->stop[k]; k++) {
        if (ends_with(yyjson_get_str(text), yyjson_get_len(text), g->stop[k])) return "stop";
    }
    if (w->keep_stop) return "eos";
    if (!g->stop[1]) *cut = g->stop[0];
    return "stop";
}

static rung_status read_choice(wire_choice *c, yyjson_val *choice, const rung_gen *g,
                               const wire_dialect *w, rung_error *err) {
    yyjson_val *text = yyjson_obj_get(choice, "text");
    if (!text) text = yyjson_obj_get(yyjson_obj_get(choice, "message"), "content");
    if (!yyjson_is_str(text)) return rung_fail(err, RUNG_E_FORMAT, "a choice has no text");
    const char *cut;
    c->stop = read_stop(&cut, choice, text, g, w);
    rung_buf b;
    rung_buf_init(&b, (size_t)1 << 28);
    rung_buf_append(&b, yyjson_get_str(text), yyjson_get_len(text));
    if (!ends_with(yyjson_get_str(text), yyjson_get_len(text), cut)) rung_buf_str(&b, cut);
    rung_buf_append(&b, "", 0);
    c->n_bytes = b.n;
    rung_status st = rung_buf_check(&b, err);
    c->text = b.n ? rung_buf_take(&b, NULL) : rung_strdup("");
    if (st == RUNG_OK && !c->text) st = rung_fail(err, RUNG_E_NOMEM, "no memory for a reply");
    rung_buf_clear(&b);
    return st == RUNG_OK ? read_logprobs(c, choice, err) : st;
}

/* Where choice number `at` of the list belongs; -1 nowhere. */
static int32_t place_of(yyjson_val *choice, size_t at, bool numbered, int32_t n) {
    int64_t k = numbered ? yyjson_get_sint(yyjson_obj_get(choice, "index")) : (int64_t)at;
    return k >= 0 && k < n ? (int32_t)k : -1;
}

/* Do the choices carry numbers of their own, each once? */
static bool is_numbered(yyjson_val *choices) {
    size_t i, j, max, max2;
    yyjson_val *a, *b;
    yyjson_arr_foreach(choices, i, max, a) {
        yyjson_val *index = yyjson_obj_get(a, "index");
        if (!yyjson_is_int(index)) return false;
        yyjson_arr_foreach(choices, j, max2, b) {
            if (j < i && yyjson_equals(index, yyjson_obj_get(b, "index"))) return false;
        }
    }
    return true;
}

/* usage is of all `got` choices together. llama-server leaves tokens that end inside a character
 * out of its logprobs: a list that is short by more than the end tokens is not offered to the
 * caller. */
static void check_counts(wire_choice *out, int32_t n, int64_t used, int64_t got) {
    int64_t with = 0;
    bool any = false;
    for (int32_t k = 0; k < n; k++) {
        if (out[k].logprob) any = true, with += out[k].n_tok;
    }
    bool is_short = any && used - got > with;
    for (int32_t k = 0; k < n; k++) {
        if (!out[k].text) continue;
        if (is_short) {
            rung_free(out[k].logprob);
            out[k].logprob = NULL;
            out[k].n_tok = 0;
        }
        if (out[k].n_tok == 0 && used > 0) out[k].n_tok = (int32_t)(used / got);
    }
}

static rung_status read_choices(wire_choice *out, int64_t used, yyjson_val *root, const rung_gen *g,
                                const wire_dialect *w, int32_t n, rung_error *err) {
    yyjson_val *choices = yyjson_obj_get(root, "choices"), *c;
    bool numbered = is_numbered(choices), any = false;
    size_t i, max;
    yyjson_arr_foreach(choices, i, max, c) {
        int32_t k = place_of(c, i, numbered, n);
        if (k < 0 || out[k].text) continue;
        RUNG_TRY(read_choice(&out[k], c, g, w, err));
        any = true;
    }
    if (!any) return rung_fail(err, RUNG_E_FORMAT, "reply holds no choice that was asked for");
    check_counts(out, n, used, (int64_t)max);
    return RUNG_OK;
}

static void read_usage(wire_usage *out, yyjson_val *root) {
    yyjson_val *u = yyjson_obj_get(root, "usage");
    *out = (wire_usage){.prompt_tok = rung_json_i64(u, "prompt_tokens", 0),
                        .completion_tok = rung_json_i64(u, "completion_tokens", 0),
                        .cached_tok = rung_json_i64(yyjson_obj_get(u, "prompt_tokens_details"),
                                                    "cached_tokens", 0)};
    out->known = out->prompt_tok > 0 || out->completion_tok > 0;
}

rung_status rung_wire_reply(wire_choice *out, wire_usage *usage, const char *reply, size_t n_reply,
                            const rung_gen *g, const wire_dialect *w, int32_t n, rung_error *err) {
    yyjson_read_err re;
    memset(out, 0, (size_t)n * sizeof *out);
    yyjson_doc *d =
        yyjson_read_opts((char *)(uintptr_t)reply, n_reply, YYJSON_READ_NOFLAG, NULL, &re);
    if (!d) {
        return rung_fail(err, RUNG_E_FORMAT, "reply is not JSON at byte %zu: %s", re.pos, re.msg);
    }
    yyjson_val *root = yyjson_doc_get_root(d);
    read_usage(usage, root);
    rung_status st = read_choices(out, usage->completion_tok, root, g, w, n, err);
    for (int32_t k = 0; st != RUNG_OK && k < n; k++) rung_wire_choice_clear(&out[k]);
    yyjson_doc_free(d);
    return st;
}

void rung_wire_message(char *out, size_t n_out, const char *reply, size_t n_reply) {
    out[0] = 0;
    yyjson_doc *d = yyjson_read(reply, n_reply, YYJSON_READ_NOFLAG);
    yyjson_val *root = yyjson_doc_get_root(d), *e = yyjson_obj_get(root, "error");
    const char *text = yyjson_get_str(e);
    if (!text) text = rung_json_str(yyjson_is_obj(e) ? e : root, "message", NULL);
    size_t n = 0;
    for (; text && text[n] && n + 1 < n_out; n++) {
        out[n] = (unsigned char)text[n] < ' ' ? ' ' : text[n];
    }
    out[n] = 0;
    yyjson_doc_free(d);
}

void rung_wire_models(wire_hello *h, const char *reply, size_t n) {
    yyjson_doc *d = yyjson_read(reply, n, YYJSON_READ_NOFLAG);
    yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(d), "data"), *m;
    size_t i, max, at = 0;
    yyjson_arr_foreach(list, i, max, m) {
        const char *id = rung_json_str(m, "id", NULL);
        if (!id) continue;
        if (h->n_models++ == 0) {
            snprintf(h->model, sizeof h->model, "%s", id);
            h->dialect = rung_wire_dialect_of_owner(rung_json_str(m, "owned_by", ""));
            h->size = rung_json_i64(yyjson_obj_get(m, "meta"), "size", 0);
        }
        if (at + 1 < sizeof h->models) {
            int more = snprintf(h->models + at, sizeof h->models - at, "%s%s", at ? ", " : "", id);
            at += more > 0 ? (size_t)more : 0;
        }
    }
    yyjson_doc_free(d);
}

/* llama-server has this path; nobody else has these fields. */
void rung_wire_props(wire_hello *h, const char *reply, size_t n) {
    yyjson_doc *d = yyjson_read(reply, n, YYJSON_READ_NOFLAG);
    yyjson_val *root = yyjson_doc_get_root(d);
    int64_t n_slots = rung_json_i64(root, "total_slots", 0);
    if (n_slots > 0 && n_slots < INT32_MAX) {
        h->n_slots = (int32_t)n_slots;
        if (!h->dialect) h->dialect = rung_wire_dialect("llama-server");
    }
    yyjson_doc_free(d);
}

rung_status rung_wire_url(rung_buf *out, const char *base, const char *path, rung_error *err) {
    bool http = strncmp(base, "http://", 7) == 0, https = strncmp(base, "https://", 8) == 0;
    size_t n = strlen(base), host = https ? 8 : 7;
    if ((!http && !https) || n <= host || strpbrk(base, " \t\r\n?#")) {
        rung_fail(err, RUNG_E_INVAL, "\"%s\" is not the address of an endpoint", base);
        return rung_error_hint(err, "like http://127.0.0.1:8080/v1");
    }
    while (n > host && base[n - 1] == '/') n--;
    rung_buf_append(out, base, n);
    if (!memchr(base + host, '/', n - host)) rung_buf_str(out, "/v1");
    rung_buf_str(out, path);
    return rung_buf_check(out, err);
}
