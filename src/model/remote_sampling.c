/* OpenAI's own fields (presence_penalty, frequency_penalty, logit_bias) go to every server; a
 * repeat penalty, a grammar and an order of the filters only to servers that know them. The
 * servers' definitions hold: llama-server's penalties look at the last repeat_last_n tokens of
 * prompt and continuation, vLLM's and SGLang's repetition penalty at all of both, and everybody
 * else's presence and frequency at the continuation alone. */
#include "model/remote_sampling.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define BIAS_BAN (-100.0) /* what OpenAI's API calls a ban; -inf cannot be written in JSON */

typedef struct server_words {
    const char *name, *repeat, *window, *grammar;
    bool hot_first; /* its own order is temperature first */
    bool order;     /* the order can be asked for */
    bool ban;       /* false as a bias bans */
} server_words;

static const server_words servers[] = {
    {"llama-server", "repeat_penalty", "repeat_last_n", "grammar", false, true, true},
    {"vllm", "repetition_penalty", NULL, NULL, true, false, false},
    {"sglang", "repetition_penalty", NULL, "ebnf", true, false, false},
};
static const server_words other = {0};

static const server_words *words_of(const char *server) {
    for (size_t i = 0; server && i < sizeof servers / sizeof *servers; i++) {
        if (strcmp(servers[i].name, server) == 0) return &servers[i];
    }
    return &other;
}

static bool repeats(const rung_sampling *s) {
    return s->repeat_penalty > 0.0 && s->repeat_penalty != 1.0;
}

static bool penalizes(const rung_sampling *s) {
    return repeats(s) || s->presence_penalty != 0.0 || s->frequency_penalty != 0.0;
}

rung_status rung_wire_more_check(const rung_sampling *s, const char *server, rung_error *err) {
    const server_words *w = words_of(server);
    const char *what = NULL,
               *hint = "leave it off, use a local model, or name another dialect with --dialect";
    if (repeats(s) && !w->repeat) {
        what = "a repeat penalty";
        hint = "use presence and frequency penalty, or name another dialect with --dialect";
    } else if (s->grammar && s->grammar[0] && !w->grammar) {
        what = "a GBNF grammar";
    } else if (s->temperature_first && !w->hot_first && !w->order) {
        what = "an order of the filters";
    } else if (penalizes(s) && !w->window &&
               !(s->penalty_last_n == -1 || (s->penalty_last_n == 0 && !repeats(s)))) {
        what = "a window of the penalties";
        hint = "penalty_last_n -1: it looks at all tokens";
    }
    if (!what) return RUNG_OK;
    rung_fail(err, RUNG_E_INVAL, "an endpoint of dialect %s cannot be asked for %s",
              server ? server : "generic", what);
    return rung_error_hint(err, "%s", hint);
}

static bool add_biases(yyjson_mut_doc *d, yyjson_mut_val *root, const rung_sampling *s,
                       const server_words *w) {
    yyjson_mut_val *map = yyjson_mut_obj_add_obj(d, root, "logit_bias");
    bool ok = map != NULL;
    for (int32_t i = 0; ok && i < s->n_bias; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", s->bias[i].tok);
        double b = (double)s->bias[i].bias;
        yyjson_mut_val *value = isfinite(b) ? yyjson_mut_real(d, b)
                                : w->ban    ? yyjson_mut_bool(d, false)
                                            : yyjson_mut_real(d, BIAS_BAN);
        ok = yyjson_mut_obj_add(map, yyjson_mut_strcpy(d, id), value);
    }
    return ok;
}

/* The server's own order, with the temperature moved to the front. */
static bool add_order(yyjson_mut_doc *d, yyjson_mut_val *root) {
    static const char *const order[] = {"penalties", "temperature", "top_k", "top_p", "min_p"};
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(d, root, "samplers");
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < sizeof order / sizeof *order; i++)
        ok = yyjson_mut_arr_add_str(d, list, order[i]);
    return ok;
}

bool rung_wire_more_add(yyjson_mut_doc *d, yyjson_mut_val *root, const rung_sampling *s,
                        const char *server) {
    const server_words *w = words_of(server);
    bool ok = true;
    if (s->presence_penalty != 0.0)
        ok = ok && yyjson_mut_obj_add_real(d, root, "presence_penalty", s->presence_penalty);
    if (s->frequency_penalty != 0.0)
        ok = ok && yyjson_mut_obj_add_real(d, root, "frequency_penalty", s->frequency_penalty);
    if (repeats(s)) ok = ok && yyjson_mut_obj_add_real(d, root, w->repeat, s->repeat_penalty);
    if (penalizes(s) && w->window && s->penalty_last_n != 0)
        ok = ok && yyjson_mut_obj_add_int(d, root, w->window, s->penalty_last_n);
    if (s->n_bias > 0) ok = ok && add_biases(d, root, s, w);
    if (s->grammar && s->grammar[0])
        ok = ok && yyjson_mut_obj_add_strcpy(d, root, w->grammar, s->grammar);
    if (s->temperature_first && w->order) ok = ok && add_order(d, root);
    return ok;
}
